"""A folder of files: their order, what is refused and how it is told, and making the next one."""

from __future__ import annotations

import codecs
import errno
import hashlib
import json
import os
import random
import shutil
import socket
import string
import subprocess
import sys
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, chdir
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import fluxmig
from fluxmig import creation, layouts
from fluxmig.creation import create
from fluxmig.errors import ConfigError, MigrationFileError
from fluxmig.layouts import numbered
from fluxmig.layouts.numbered import Folder, is_fit, number_of, read, sort_key, survey
from fluxmig.model import DownScript, FileProblem, Finding, Migration
from fluxmig.names import entries_in, problem_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[[dict[str, str | bytes]], None]

ROOT = Path(fluxmig.__file__).parent.parent
NOW = datetime(2025, 3, 9, 17, 4, 5, 678901, tzinfo=UTC)


def names(folder: Path) -> list[str]:
    return [migration.name for migration in read(folder).migrations]


def problems(folder: Path) -> tuple[FileProblem, ...]:
    with pytest.raises(MigrationFileError) as raised:
        read(folder)
    return raised.value.problems


# --- the order --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("001_a.sql", 1),
        ("0.sql", 0),
        ("000_a.sql", 0),
        ("1234567890123456789_a.sql", 1234567890123456789),
        ("20250309170405_a.sql", 20250309170405),
        ("7a.sql", 7),
        ("1.5_a.sql", 1),
        ("a_001.sql", None),
        ("_1.sql", None),
        ("-1.sql", None),
        (" 1.sql", None),
        ("٣_a.sql", None),
        ("²_a.sql", None),
        ("", None),
    ],
)
def test_the_leading_number(name: str, number: int | None) -> None:
    assert number_of(name) == number


# Each in the order in which it must come out.
ORDERS: dict[str, list[str]] = {
    "as numbers, not as text": ["1_z.sql", "2_y.sql", "9_x.sql", "10_w.sql", "100_v.sql", "1000_u.sql"],
    "zeros count as text": ["001_b.sql", "01_c.sql", "1_a.sql", "002_b.sql", "2_a.sql"],
    "equal numbers by name": ["001_a.sql", "001_b.sql", "001_c.sql", "002_a.sql"],
    "no number comes last": ["999_z.sql", "20250309170405_z.sql", "a.sql", "seeds.sql"],
    "zero is a number": ["0_z.sql", "1_a.sql", "a.sql"],
    "the Node runner's underscore": ["010_files_table_text.sql", "010_files_table.sql"],
    "the Node runner's punctuation": [
        "01 x.sql", "01_x.sql", "01-x.sql", "01,x.sql", "01;x.sql", "01:x.sql", "01!x.sql", "01?x.sql",
        "01.x.sql", "01'x.sql", '01"x.sql', "01(x.sql", "01)x.sql", "01[x.sql", "01]x.sql", "01{x.sql",
        "01}x.sql", "01@x.sql", "01*x.sql", "01\\x.sql", "01&x.sql", "01#x.sql", "01%x.sql", "01`x.sql",
        "01^x.sql", "01+x.sql", "01<x.sql", "01=x.sql", "01>x.sql", "01|x.sql", "01~x.sql", "01$x.sql",
        "01x.sql",
    ],
    "digits before letters": ["01_1.sql", "01_2.sql", "01_a.sql"],
    "case counts last": ["01_a.sql", "01_A.sql", "01_ab.sql", "01_Ab.sql", "01_b.sql", "01_B.sql"],
    "accents count before case": ["01_e.sql", "01_E.sql", "01_é.sql", "01_É.sql", "01_ea.sql", "01_f.sql"],
    "composed and decomposed": ["01_e\u0301.sql", "01_\u00e9.sql", "01_\u00e9a.sql", "01_e\u0301b.sql"],
    "the longer name last": ["01.sql", "01a.sql", "01ab.sql"],
}  # fmt: skip


@pytest.mark.parametrize("ordered", ORDERS.values(), ids=ORDERS)
def test_the_order(ordered: list[str]) -> None:
    backwards = ordered[::-1]
    assert sorted(backwards, key=sort_key) == ordered


@pytest.mark.parametrize("ordered", ORDERS.values(), ids=ORDERS)
def test_the_order_of_a_folder(ordered: list[str], folder: Path, write: Write) -> None:
    write(dict.fromkeys(ordered, "SELECT 1;"))
    if len(set(names(folder))) < len(ordered):
        pytest.skip("this file system keeps one file for two of these names")
    assert names(folder) == ordered


@given(st.text(max_size=10), st.text(max_size=10))
@example("a", "A")
@example("é", "e\u0301")
@example("1", "01")
def test_no_two_names_are_equal_in_order(one: str, other: str) -> None:
    assert (sort_key(one) == sort_key(other)) == (one == other)
    assert (sort_key(one) < sort_key(other)) != (sort_key(other) < sort_key(one)) or one == other


def test_the_order_is_that_of_the_node_runner() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node to compare with")
    letters = string.ascii_letters * 3 + string.digits * 2 + "____--.. " + string.punctuation.replace("/", "")
    letters += "éèêüöäñçåÉÜÖÑÇÅàùîô"
    some = random.Random(20250309)
    stems = {"".join(some.choices(letters, k=some.randint(1, 6))) for _ in range(600)}
    # Neighbours that differ only in case or an accent, where the finer rules decide.
    stems |= {"".join(some.choices("aAáÁ_.", k=3)) for _ in range(300)}
    unordered = [f"010_{unicodedata.normalize('NFC', stem)}.sql" for stem in sorted(stems)]
    program = (
        "const names = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        "names.sort((a, b) => a.localeCompare(b));"
        "process.stdout.write(JSON.stringify(names));"
    )
    sorted_by_node = subprocess.run(
        [node, "-e", program],
        input=json.dumps(unordered),
        capture_output=True,
        encoding="utf-8",
        check=True,
        env={**os.environ, "LC_ALL": "en_US.UTF-8"},
    ).stdout
    assert sorted(unordered, key=sort_key) == json.loads(sorted_by_node)


# --- what is read -----------------------------------------------------------------------------------------


def test_a_folder(folder: Path, write: Write) -> None:
    up, down, other = "CREATE TABLE a (b int);\n", "DROP TABLE a;\n", "SELECT 'é';"
    write({"002_b.sql": other, "001_a.sql": up, "001_a.down.sql": down, "README.md": "# read me"})
    assert read(folder) == Folder(
        folder,
        (
            Migration(
                "001_a.sql",
                1,
                folder / "001_a.sql",
                hashlib.sha256(up.encode()).hexdigest(),
                up.encode(),
                DownScript(
                    "001_a.down.sql",
                    folder / "001_a.down.sql",
                    hashlib.sha256(down.encode()).hexdigest(),
                    down.encode(),
                ),
            ),
            Migration(
                "002_b.sql",
                2,
                folder / "002_b.sql",
                hashlib.sha256(other.encode()).hexdigest(),
                other.encode(),
            ),
        ),
    )
    assert layouts.read(folder) == read(folder)


def test_an_empty_folder(folder: Path) -> None:
    assert read(folder) == Folder(folder, ())


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param(b"", "", id="empty"),
        pytest.param(b"SELECT 1;", "SELECT 1;", id="no line end"),
        pytest.param(b"a;\nb;\n", "a;\nb;\n", id="line feeds"),
        pytest.param(b"a;\r\nb;\r\n", "a;\r\nb;\r\n", id="carriage returns stay"),
        pytest.param(b"a;\rb;\n\rc;\x0b\x0c", "a;\rb;\n\rc;\x0b\x0c", id="odd line ends stay"),
        pytest.param(b"\xef\xbb\xbfSELECT 1;", "SELECT 1;", id="a byte order mark goes"),
        pytest.param(b"\xef\xbb\xbf", "", id="nothing but a byte order mark"),
        pytest.param(b"a\xef\xbb\xbfb", "a\ufeffb", id="one in the middle stays"),
        pytest.param("é漢\N{GRINNING FACE}".encode(), "é漢\N{GRINNING FACE}", id="not ASCII"),
        pytest.param(b"\x01\x1a\x7f", "\x01\x1a\x7f", id="control characters"),
    ],
)
def test_the_text_and_the_checksum_of_the_bytes(
    content: bytes, text: str, folder: Path, write: Write
) -> None:
    write({"1.sql": content})
    (migration,) = read(folder).migrations
    assert (migration.sql, migration.checksum) == (text, hashlib.sha256(content).hexdigest())


NAMES = (
    "001_it's.sql",
    '001_"quoted".sql',
    "001 with spaces .sql",
    "001;DROP TABLE a;--.sql",
    "001_50%.sql",
    "001_:name.sql",
    "001_\N{GRINNING FACE}.sql",
    "001_é漢.sql",
    "001_e\u0301.sql",
    "001_$(rm -rf).sql",
    "001_[x].sql",
    "001_\\n.sql",
    "001.sql",
    "001..sql",
    "-rf.sql",
    "001_a.sql.sql",
    "001_a.DOWN.sql",
    "a" * 251 + ".sql",
)


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_fine(name: str, folder: Path, write: Write) -> None:
    write({name: "SELECT 1;"})
    (migration,) = read(folder).migrations
    assert (migration.name, migration.path, migration.sql) == (name, folder / name, "SELECT 1;")


def test_what_is_left_alone(folder: Path, write: Write) -> None:
    left = (
        ".001_hidden.sql",
        ".sql",
        ".#001_lock.sql",
        "._001_a.sql",
        "001_a.sql~",
        "001_a.sql.bak",
        "001_a.sql.gz",
        "#001_a.sql#",
        "001_a.sql.swp",
        "001_a.txt",
        "001_a",
        "001_asql",
        "sql",
    )
    write({**dict.fromkeys(left, b"\xff\x00"), "001_a.sql": "SELECT 1;"})
    (folder / "archive").mkdir()
    assert read(folder).findings == ()
    assert names(folder) == ["001_a.sql"]


@pytest.mark.parametrize("size", [numbered._AT_ONCE + extra for extra in (-3, -1, 0, 1, 2**20)])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["", "byte order mark"])
def test_a_file_of_any_size_is_read_whole(mark: bytes, size: int, folder: Path, write: Write) -> None:
    source = b"-- 456789\n" * (size // 10) + b"-" * (size % 10)
    write({"001_a.sql": mark + source})
    (migration,) = read(folder).migrations
    assert migration.source == source
    assert migration.checksum == hashlib.sha256(mark + source).hexdigest()


def test_a_link_to_a_file_is_a_file(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.txt"
    target.write_text("SELECT 1;")
    (folder / "001_a.sql").symlink_to(target)
    (migration,) = read(folder).migrations
    assert (migration.name, migration.path, migration.sql) == (
        "001_a.sql",
        folder / "001_a.sql",
        "SELECT 1;",
    )


def test_a_link_to_a_folder_is_a_folder(folder: Path, write: Write, tmp_path: Path) -> None:
    write({"001_a.sql": "SELECT 1;"})
    (tmp_path / "link").symlink_to(folder)
    assert names(tmp_path / "link") == ["001_a.sql"]


def test_down_scripts(folder: Path, write: Write) -> None:
    write(dict.fromkeys(("1_a.sql", "1_a.down.sql", "1_b.sql", "x.sql", "x.down.sql"), "SELECT 1;"))
    found = {migration.name: migration.down and migration.down.name for migration in read(folder).migrations}
    assert found == {"1_a.sql": "1_a.down.sql", "1_b.sql": None, "x.sql": "x.down.sql"}


def test_down_scripts_of_nothing(folder: Path, write: Write) -> None:
    write(dict.fromkeys(("10_b.down.sql", "9_a.down.sql", "1_a.sql", "1_a.down.down.sql"), "SELECT 1;"))
    found = read(folder)
    assert [migration.name for migration in found.migrations] == ["1_a.sql"]
    assert found.findings == tuple(
        Finding("orphan", f"{name} reverses {up}, which is not there", (name,), f"rename it, or add {up}")
        for name, up in (
            ("1_a.down.down.sql", "1_a.down.sql"),
            ("9_a.down.sql", "9_a.sql"),
            ("10_b.down.sql", "10_b.sql"),
        )
    )


# --- what cannot be read ----------------------------------------------------------------------------------

AS_UTF8 = "save it as UTF-8"
BINARY = "is it a binary file, or UTF-16?"
CONTENTS: dict[str, tuple[bytes, str, int | None, int | None, str]] = {
    "latin-1": (b"a\n'\xe9';", "is not UTF-8: byte 0xe9", 2, 2, AS_UTF8),
    "latin-1 at the start": (b"\xe9", "is not UTF-8: byte 0xe9", 1, 1, AS_UTF8),
    "latin-1 behind characters of many bytes": (
        "é\r\n漢\N{GRINNING FACE}é ".encode() + b"\xfc;",
        "is not UTF-8: byte 0xfc",
        2,
        5,
        AS_UTF8,
    ),
    "latin-1 behind a byte order mark": (b"\xef\xbb\xbfab\xe4", "is not UTF-8: byte 0xe4", 1, 3, AS_UTF8),
    "windows-1252 quotes": (b"\n\n\x93a\x94", "is not UTF-8: byte 0x93", 3, 1, AS_UTF8),
    "a character cut off at the end": (b"ab\xe2\x82", "is not UTF-8: byte 0xe2", 1, 3, AS_UTF8),
    "a surrogate": (b"\xed\xa0\x80", "is not UTF-8: byte 0xed", 1, 1, AS_UTF8),
    "UTF-16, little end first": (b"\xff\xfea\0", "is UTF-16, not UTF-8", None, None, AS_UTF8),
    "UTF-16, big end first": (b"\xfe\xff\0a", "is UTF-16, not UTF-8", None, None, AS_UTF8),
    "UTF-16 without a byte order mark": ("SELECT".encode("utf-16-le"), "holds a NUL byte", 1, 2, BINARY),
    "a NUL byte": (b"a;\r\n\xc3\xa9 \0;", "holds a NUL byte", 2, 3, BINARY),
    "a NUL byte first": (b"\xef\xbb\xbf\0", "holds a NUL byte", 1, 1, BINARY),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message", "line", "column", "remedy"), CONTENTS.values(), ids=CONTENTS)
def test_contents_that_cannot_be_read(
    content: bytes,
    message: str,
    line: int | None,
    column: int | None,
    remedy: str,
    folder: Path,
    write: Write,
) -> None:
    write({"001_a.sql": content, "002_b.sql": "SELECT 1;"})
    assert problems(folder) == (FileProblem(folder / "001_a.sql", message, line, column, remedy=remedy),)


def test_a_down_script_that_cannot_be_read(folder: Path, write: Write) -> None:
    write({"001_a.sql": "SELECT 1;", "001_a.down.sql": b"\xff"})
    assert problems(folder) == (
        FileProblem(folder / "001_a.down.sql", "is not UTF-8: byte 0xff", 1, 1, remedy=AS_UTF8),
    )


RENAME_FOLDER = "rename the folder so that it does not end in .sql"
REGULAR = "put a regular file in its place"


def _folder(path: Path) -> None:
    path.mkdir()


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere.sql")


def _circle(path: Path) -> None:
    path.symlink_to(path.name)


def _link_to_folder(path: Path) -> None:
    path.symlink_to(path.parent)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with chdir(path.parent), socket.socket(socket.AF_UNIX) as server:  # a socket's path has to be short
        server.bind(path.name)


def _device(path: Path) -> None:
    path.symlink_to("/dev/null")


@pytest.mark.parametrize(
    ("make", "message", "remedy"),
    [
        pytest.param(_folder, "is a folder, not a file", RENAME_FOLDER, id="folder"),
        pytest.param(_link_to_folder, "is a folder, not a file", RENAME_FOLDER, id="link to a folder"),
        pytest.param(_dangling, "is a link to nothing", "mend the link or remove it", id="dangling link"),
        pytest.param(_circle, "cannot be read: Too many levels of symbolic links", None, id="circular link"),
        pytest.param(_fifo, "is not a regular file", REGULAR, id="named pipe"),
        pytest.param(_socket, "is not a regular file", REGULAR, id="socket"),
        pytest.param(_device, "is not a regular file", REGULAR, id="device"),
    ],
)
def test_what_is_no_file(
    make: Callable[[Path], None], message: str, remedy: str | None, folder: Path, write: Write
) -> None:
    write({"002_b.sql": "SELECT 1;"})
    make(folder / "001_a.sql")
    assert problems(folder) == (FileProblem(folder / "001_a.sql", message, remedy=remedy),)


def test_a_file_without_permission(folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write({"001_a.sql": "SELECT 1;", "002_b.sql": "SELECT 1;"})
    monkeypatch.setattr(os, "open", _refuse("001_a.sql"))  # root reads everything
    assert problems(folder) == (FileProblem(folder / "001_a.sql", "cannot be read: Permission denied"),)


def _refuse(name: str) -> Callable[[str, int], int]:
    opening = os.open

    def refusing(path: str, flags: int) -> int:
        if Path(path).name == name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return opening(path, flags)

    return refusing


def test_a_file_that_goes_away_meanwhile(folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write({"001_a.sql": "SELECT 1;"})
    listed = entries_in(folder)
    (folder / "001_a.sql").unlink()
    monkeypatch.setattr(numbered, "entries_in", lambda _: listed)
    assert problems(folder) == (
        FileProblem(folder / "001_a.sql", "is a link to nothing", remedy="mend the link or remove it"),
    )


CONTROL = ("the name holds a control character", "rename the file")
NOT_UTF8 = ("the name is not UTF-8", "rename the file")
NOT_SQL = ("ends in something like .sql, but not in .sql", "rename it to 001_a.sql")
BAD_NAMES: dict[str, tuple[bytes, str, tuple[str, str]]] = {
    "line feed": (b"001_a\nb.sql", "001_a\\nb.sql", CONTROL),
    "carriage return": (b"001_a\r.sql", "001_a\\r.sql", CONTROL),
    "tab": (b"001\ta.sql", "001\\ta.sql", CONTROL),
    "escape": (b"001_\x1b[31m.sql", "001_\\x1b[31m.sql", CONTROL),
    "delete": (b"001_\x7f.sql", "001_\\x7f.sql", CONTROL),
    "next line": ("001_\x85.sql".encode(), "001_\\x85.sql", CONTROL),
    "line feed and quotes": (b"001_'a'\n.sql", "001_'a'\\n.sql", CONTROL),
    "latin-1": (b"001_caf\xe9.sql", "001_caf\\udce9.sql", NOT_UTF8),
    "latin-1, but valid elsewhere": ("001_é".encode() + b"\xff.sql", "001_é\\udcff.sql", NOT_UTF8),
    "capital letters": (b"001_a.SQL", "001_a.SQL", NOT_SQL),
    "a capital letter": (b"001_a.Sql", "001_a.Sql", NOT_SQL),
}  # fmt: skip


@pytest.mark.parametrize(("name", "printable", "problem"), BAD_NAMES.values(), ids=BAD_NAMES)
def test_names_that_cannot_be(
    name: bytes, printable: str, problem: tuple[str, str], folder: Path, write: Write
) -> None:
    write({"002_b.sql": "SELECT 1;"})
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"SELECT 1;")
    except OSError as error:
        pytest.skip(f"this file system takes no such name: {error}")
    message, remedy = problem
    (found,) = problems(folder)
    assert found == FileProblem(folder / printable, message, remedy=remedy)
    assert str(found) == f"{folder / printable}: {message}\n{remedy}"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        pytest.param("a" * 251 + ".sql", None, id="255 characters"),
        pytest.param("é" * 251 + ".sql", None, id="255 characters, more bytes"),
        pytest.param(
            "a" * 252 + ".sql",
            ("the name has 256 characters, and the ledger holds 255", "give it a shorter name"),
            id="256 characters",
        ),
        pytest.param(
            "\n" * 300 + ".SQL",
            ("the name has 304 characters, and the ledger holds 255", "give it a shorter name"),
            id="much more",
        ),
    ],
)
def test_names_too_long_for_the_ledger(name: str, problem: tuple[str, str] | None) -> None:
    assert problem_of(name) == problem  # most file systems hold no such name


def test_all_problems_are_told_in_the_order_of_the_files(folder: Path, write: Write) -> None:
    write(
        {
            "010_nul.sql": b"\0",
            "9_latin.sql": b"\xe9",
            "seeds.sql": b"\xff\xfe",
            "1_fine.sql": "SELECT 1;",
            "2_upper.SQL": "SELECT 1;",
        }
    )
    (folder / "100_folder.sql").mkdir()
    with pytest.raises(MigrationFileError) as raised:
        read(folder)
    assert str(raised.value) == (
        f"{folder}/2_upper.SQL: ends in something like .sql, but not in .sql\n"
        "rename it to 2_upper.sql\n"
        f"{folder}/9_latin.sql:1:1: is not UTF-8: byte 0xe9\n"
        "save it as UTF-8\n"
        f"{folder}/010_nul.sql:1:1: holds a NUL byte\n"
        "is it a binary file, or UTF-16?\n"
        f"{folder}/100_folder.sql: is a folder, not a file\n"
        "rename the folder so that it does not end in .sql\n"
        f"{folder}/seeds.sql: is UTF-16, not UTF-8\n"
        "save it as UTF-8"
    )
    assert [problem.path.name for problem in raised.value.problems] == [
        "2_upper.SQL",
        "9_latin.sql",
        "010_nul.sql",
        "100_folder.sql",
        "seeds.sql",
    ]


def told(error: ConfigError) -> tuple[str, str | None]:
    return error.message, error.remedy


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path / "nowhere")
    assert told(raised.value) == (
        f"there is no folder {tmp_path}/nowhere",
        "`fluxmig create NAME` makes it, --migrations FOLDER or FLUXMIG_MIGRATIONS names another",
    )


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as raised:
        read(tmp_path / "file")
    assert told(raised.value) == (f"cannot read the folder {tmp_path}/file: Not a directory", None)


def test_a_folder_without_permission(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "scandir", refuse)  # root reads everything
    with pytest.raises(ConfigError) as raised:
        read(folder)
    assert told(raised.value) == (f"cannot read the folder {folder}: Permission denied", None)


# --- what cannot be read hides nothing --------------------------------------------------------------------


def test_a_survey_of_a_sound_folder_is_what_is_read(folder: Path, write: Write) -> None:
    write({"001_a.sql": "a", "001_a.down.sql": "b", "002_b.down.sql": "c"})
    assert survey(folder) == read(folder)


def test_a_survey_has_the_problems_and_the_rest(folder: Path, write: Write) -> None:
    write(
        {
            "001_a.sql": "a",
            "002_b.sql": b"\xff",
            "002_b.down.sql": "reverses what is there",
            "003_c.sql": b"\0",
            "004_d.down.sql": "an orphan",
        }
    )
    found = survey(folder)
    assert found.problems == problems(folder)
    assert [problem.path.name for problem in found.problems] == ["002_b.sql", "003_c.sql"]
    assert [migration.name for migration in found.migrations] == ["001_a.sql"]
    assert [stray.name for stray in found.strays] == ["002_b.down.sql", "004_d.down.sql"]
    assert [finding.names for finding in found.findings] == [("004_d.down.sql",)]


def test_a_survey_of_nothing(folder: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        survey(folder / "x")


@pytest.mark.parametrize(
    ("name", "fit"),
    [
        ("001_a.sql", True),
        ("001_a.down.sql", True),
        ("a.sql", True),
        (".a.sql", False),
        ("001_a.SQL", False),
        ("001_a.sql ", False),
        ("001_a.txt", False),
        ("a\n.sql", False),
        ("\udcff.sql", False),
        (f"{'a' * 252}.sql", False),
    ],
)
def test_names_that_fit(name: str, *, fit: bool) -> None:
    assert is_fit(name) is fit


# --- creating ---------------------------------------------------------------------------------------------


def made(folder: Path, description: str = "a", **options: bool) -> list[str]:
    """The names of what `create` says it made, which is what is new in the folder."""
    before = set(folder.iterdir()) if folder.exists() else set()
    paths = create(folder, description, now=NOW, **options)
    assert set(folder.iterdir()) - before == set(paths)
    return [path.name for path in paths]


def test_the_header(folder: Path) -> None:
    (path,) = create(folder, "  Add user\n\tsettings ", now=NOW)
    assert path == folder / "001_add_user_settings.sql"
    assert path.read_bytes() == (
        b"-- Migration: Add user settings\n-- Created: 2025-03-09T17:04:05Z\n-- Description:\n\n"
    )


def test_the_header_of_a_down_script(folder: Path) -> None:
    up, down = create(folder, "größe", now=NOW, with_down=True)
    assert (up.name, down.name) == ("001_größe.sql", "001_größe.down.sql")
    assert up.read_text("utf-8") == (
        "-- Migration: größe\n-- Created: 2025-03-09T17:04:05Z\n-- Description:\n\n"
    )
    assert down.read_text("utf-8") == (
        "-- Migration: größe\n-- Created: 2025-03-09T17:04:05Z\n-- Description: reverses it\n\n"
    )


def test_what_is_made_can_be_read(folder: Path) -> None:
    create(folder, "a", now=NOW, with_down=True)
    (migration,) = read(folder).migrations
    assert (migration.name, migration.down and migration.down.name) == ("001_a.sql", "001_a.down.sql")
    assert read(folder).findings == ()


@pytest.mark.parametrize("description", ["a\0b", "a\udce9b", "a\x1b[31mb", "a\u2028b", "a\x85b"], ids=ascii)
def test_the_header_holds_nothing_that_cannot_be_read(description: str, folder: Path) -> None:
    (path,) = create(folder, description, now=NOW)
    title = "a [31mb" if "[" in description else "a b"
    assert path.read_bytes().split(b"\n")[0] == f"-- Migration: {title}".encode()
    assert names(folder) == [path.name]


@pytest.mark.parametrize(
    ("there", "name"),
    [
        pytest.param([], "001_a.sql", id="empty folder"),
        pytest.param(["001_x.sql"], "002_a.sql", id="after one"),
        pytest.param(["001_a.sql"], "002_a.sql", id="the same words again"),
        pytest.param(["001_x.sql", "007_x.sql"], "008_a.sql", id="gaps stay"),
        pytest.param(["1_x.sql", "9_x.sql"], "010_a.sql", id="numbers without zeros"),
        pytest.param(["099_x.sql"], "100_a.sql", id="three digits"),
        pytest.param(["999_x.sql"], "1000_a.sql", id="four digits"),
        pytest.param(["20250101000000_x.sql"], "20250101000001_a.sql", id="after a timestamp"),
        pytest.param(["seeds.sql"], "001_a.sql", id="no number"),
        pytest.param(["000_x.sql"], "001_a.sql", id="zero"),
        pytest.param(["005_x.down.sql"], "006_a.sql", id="a down script of nothing"),
        pytest.param(["005_x.SQL"], "006_a.sql", id="what cannot be read counts"),
        pytest.param(
            ["005_x.txt", ".006_x.sql", "007_x.sql~"], "001_a.sql", id="what is left alone does not"
        ),
        pytest.param(["003_x.sql", "003_y.sql"], "004_a.sql", id="equal numbers"),
    ],
)
def test_the_next_number(there: list[str], name: str, folder: Path, write: Write) -> None:
    write(dict.fromkeys(there, ""))
    assert made(folder) == [name]


@pytest.mark.parametrize(
    ("there", "now", "name"),
    [
        pytest.param([], NOW, "20250309170405_a.sql", id="empty folder"),
        pytest.param(["001_x.sql"], NOW, "20250309170405_a.sql", id="beside plain numbers"),
        pytest.param(["20260101000000_x.sql"], NOW, "20250309170405_a.sql", id="before a later one"),
        pytest.param(["20250309170405_x.sql"], NOW, "20250309170406_a.sql", id="taken"),
        pytest.param(
            ["20250309170405_x.sql", "20250309170406_x.sql", "20250309170408_x.sql"],
            NOW,
            "20250309170407_a.sql",
            id="taken twice",
        ),
        pytest.param(["20250309170405_a.down.sql"], NOW, "20250309170406_a.sql", id="taken by a down script"),
        pytest.param(
            [],
            datetime(2025, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2))),
            "20241231233000_a.sql",
            id="in UTC",
        ),
    ],
)
def test_timestamps(there: list[str], now: datetime, name: str, folder: Path, write: Write) -> None:
    write(dict.fromkeys(there, ""))
    (path,) = create(folder, "a", now=now, timestamp=True)
    assert path.name == name
    created = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert path.read_text().split("\n")[1] == f"-- Created: {created}"


@pytest.mark.parametrize(
    ("description", "slug"),
    [
        ("add user settings", "add_user_settings"),
        ("addUserSettings", "add_user_settings"),
        ("AddUserSettings", "add_user_settings"),
        ("add-user-settings", "add_user_settings"),
        ("add_user__settings_", "add_user_settings"),
        ("Add, user: settings!", "add_user_settings"),
        ("parse HTTPHeader", "parse_http_header"),
        ("HTTP", "http"),
        ("userID2Name", "user_id2_name"),
        ("v2Api", "v2_api"),
        ("add_users.sql", "add_users"),
        ("add users.SQL", "add_users_sql"),
        ("2nd index", "2nd_index"),
        ("größe Ändern", "größe_ändern"),
        ("gro\u0308\u00dfe", "größe"),
        ("ДобавитьТаблицу", "добавитьтаблицу"),
        ("用户 表", "用户_表"),
        ("a\N{GRINNING FACE}b", "a_b"),
        ("it's 50%; DROP TABLE a;--", "it_s_50_drop_table_a"),
        ("\ta\n b ", "a_b"),
        ("../../etc/passwd", "etc_passwd"),
        ("/absolute/path", "absolute_path"),
        ("..\\..\\windows", "windows"),
        ("C:\\x", "c_x"),
        ("a/../b", "a_b"),
        ("a\0b", "a_b"),
        ("~root", "root"),
        ("-rf", "rf"),
    ],
)  # fmt: skip
def test_snake_case_that_stays_in_the_folder(description: str, slug: str, folder: Path) -> None:
    assert made(folder, description) == [f"001_{slug}.sql"]
    assert {path.name for path in folder.parent.iterdir()} == {"migrations"}


@pytest.mark.parametrize("description", ["", " ", "...", "---", "../..", "\N{GRINNING FACE}", "_", ".sql"])
def test_a_description_without_words(description: str, folder: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        create(folder, description, now=NOW)
    assert told(raised.value) == (
        f"{description!r} holds no letter or digit",
        "name it like `add user settings`",
    )
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("description", "size"),
    [
        pytest.param("a" * 242, None, id="the longest"),
        pytest.param("a" * 243, 256, id="one more"),
        pytest.param("漢" * 80, None, id="the longest of many bytes"),
        pytest.param("漢" * 81, 256, id="one more of many bytes"),
        pytest.param("word " * 1000, 5012, id="much more"),
    ],
)
def test_long_descriptions(description: str, size: int | None, folder: Path) -> None:
    if size is None:
        assert made(folder, description, with_down=True) == [
            f"001_{description}.sql",
            f"001_{description}.down.sql",
        ]
        return
    with pytest.raises(ConfigError) as raised:
        create(folder, description, now=NOW)
    assert told(raised.value) == (
        f"the name would have {size} bytes with .down.sql, and 255 is the most",
        "use fewer words",
    )
    assert list(folder.iterdir()) == []


def test_a_folder_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "db" / "migrations"
    assert made(folder) == ["001_a.sql"]


def test_nothing_is_overwritten(folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write({"001_a.sql": "SELECT 1;"})
    monkeypatch.setattr(creation, "_next_number", lambda *_: 1)  # as if another had been faster
    with pytest.raises(ConfigError) as raised:
        create(folder, "a", now=NOW)
    assert told(raised.value) == (f"cannot create a file in {folder}: File exists", None)
    assert (folder / "001_a.sql").read_text() == "SELECT 1;"


def test_a_link_is_not_followed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "001_a.sql").symlink_to(tmp_path / "outside.sql")
    monkeypatch.setattr(creation, "_next_number", lambda *_: 1)
    with pytest.raises(ConfigError, match="File exists"):
        create(folder, "a", now=NOW)
    assert not (tmp_path / "outside.sql").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder, reason in ((tmp_path / "file" / "x", "Not a directory"), (tmp_path / "file", "File exists")):
        with pytest.raises(ConfigError) as raised:
            create(folder, "a", now=NOW)
        assert told(raised.value) == (f"cannot create a file in {folder}: {reason}", None)


def test_a_folder_that_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", refuse)  # root writes everywhere
    with pytest.raises(ConfigError) as raised:
        create(folder, "a", now=NOW)
    assert told(raised.value) == (f"cannot create a file in {folder}: Permission denied", None)


AT_ONCE = 8
LIMIT_S = 60
CREATE = """
import sys
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from fluxmig import creation
from fluxmig.creation import create
print("ready", flush=True)
sys.stdin.readline()
print(create(Path(sys.argv[1]), sys.argv[2], now=datetime(2025, 1, 1, tzinfo=UTC))[0].name)
"""


def all_different(folder: Path, created: list[str]) -> bool:
    """Whether every file is there and has a number of its own."""
    numbers = [number_of(name) for name in names(folder)]
    return numbers == list(range(1, AT_ONCE + 1)) and sorted(created) == names(folder)


def test_threads_at_once_get_different_numbers(folder: Path) -> None:
    barrier = threading.Barrier(AT_ONCE)

    def work(number: int) -> str:
        barrier.wait(LIMIT_S)
        return create(folder, f"by {number}", now=NOW)[0].name

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert all_different(folder, list(pool.map(work, range(AT_ONCE))))


def test_processes_at_once_get_different_numbers(folder: Path) -> None:
    waiting, go = os.pipe()
    with ExitStack() as stack, open(go, "wb") as gate, open(waiting, "rb") as queue:  # noqa: PTH123
        workers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-S", "-c", CREATE, str(folder), f"by {number}"],
                    stdin=queue,
                    stdout=subprocess.PIPE,
                    encoding="utf-8",
                    cwd=ROOT,
                )
            )
            for number in range(AT_ONCE)
        ]
        assert {worker.stdout.readline() for worker in workers if worker.stdout} == {"ready\n"}
        gate.close()  # all at once
        created = [worker.communicate(timeout=LIMIT_S)[0].strip() for worker in workers]
    assert all_different(folder, created)
