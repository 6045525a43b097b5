"""`fluxmig load`: what it takes, what it shows, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from fluxmig import render_load
from fluxmig.errors import StoppedError
from tests.cli.support import environment, masked, process, terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.support import Database

TABLE = "CREATE TABLE users (id integer PRIMARY KEY, email text NOT NULL, extra JSON)"
ADA, BOB = {"id": 1, "email": "ada@example.com"}, {"id": 2, "email": "bob@example.com"}


@pytest.fixture
def users(sqlite: Database) -> Database:
    sqlite.rows(TABLE)
    return sqlite


def put(folder: Path, name: str, *records: Any, lines: bool = False) -> None:
    text = "".join(f"{json.dumps(each)}\n" for each in records) if lines else json.dumps(records)
    (folder / name).write_text(text)


def test_what_is_shown(cli: Cli, users: Database, tmp_path: Path) -> None:
    put(tmp_path, "users.json", ADA, BOB)
    result = cli("load", "users.json")
    assert (result.code, result.err) == (0, "")
    assert masked(result.out) == (
        "Table      Read  Inserted   Updated   Skipped   Refused\n"
        "users         2         2         0         0         0\n"
        "\n"
        "Inserted: 2 | Updated: 0 | Skipped: 0 | Refused: 0 | Time: 0.00s\n"
    )
    assert masked(cli("log").out).endswith("  loaded      users.json (0.00s, users: 2 inserted, 0 updated)\n")


def test_a_dry_run(cli: Cli, users: Database, tmp_path: Path) -> None:
    put(tmp_path, "users.json", ADA)
    result = cli("load", "users.json", "--dry-run")
    assert (result.code, result.err) == (0, "")
    assert masked(result.out) == (
        "Table      Read  Inserted   Updated   Skipped   Refused\n"
        "users         1                                       0\n"
        "\n"
        "Refused: 0 | Time: 0.00s\n"
        "Nothing was written. Keys of other rows, and checks, only the database knows.\n"
    )
    assert users.tables() == {"users"}


def test_a_record_that_does_not_fit(cli: Cli, users: Database, tmp_path: Path) -> None:
    put(tmp_path, "users.ndjson", ADA, {**BOB, "email": None}, lines=True)
    result = cli("load", "users.ndjson")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "error: users.ndjson:2: record 2, $[*].email -> users.email: null, and the column takes none: null\n"
        "nothing is loaded; --max-rejects N lets so many records be refused, --rejects FILE keeps them\n"
    )
    assert users.scalar("SELECT count(*) FROM users") == 0
    document = cli("load", "users.ndjson", "--json").json
    assert document["error"]["type"] == "LoadError"
    assert document["error"]["refusals"] == [
        {
            "file": "users.ndjson",
            "record": 2,
            "line": 2,
            "table": "users",
            "column": "email",
            "path": "$[*].email",
            "value": "null",
            "reason": "null, and the column takes none",
            "code": None,
        }
    ]


def test_a_file_that_is_no_json(cli: Cli, users: Database, tmp_path: Path) -> None:
    (tmp_path / "users.json").write_text('[{"id": 1,')
    result = cli("load", "users.json")
    assert (result.code, result.out) == (3, "")
    assert result.err == (
        "error: users.json:1:2: the file ends in the middle of record 1\n"
        "was it written, or copied, to its end?\n"
    )


def test_rejects(cli: Cli, users: Database, tmp_path: Path) -> None:
    put(tmp_path, "users.json", ADA, {**ADA, "email": "b"}, {"id": 0.5, "email": "c"}, {"id": 4})
    result = cli("load", "users.json", "--max-rejects", "3", "--rejects", "refused.ndjson")
    assert (result.code, result.err) == (0, "")
    assert "Inserted: 1 | Updated: 0 | Skipped: 0 | Refused: 3 | " in result.out
    assert "users.json:1: record 3, $[*].id -> users.id: not a whole number: 0.5\n" in result.out
    kept = [json.loads(line) for line in (tmp_path / "refused.ndjson").read_text().splitlines()]
    assert [(each["record"], each["data"]) for each in kept] == [
        (3, {"id": 0.5, "email": "c"}),
        (4, {"id": 4}),
        (2, {"id": 1, "email": "b"}),
    ]
    assert users.rows("SELECT id, email FROM users") == [(1, "ada@example.com")]


@pytest.mark.parametrize("name", ["users.json", "./users.json", "load.toml", "link.json"])
def test_rejects_into_a_file_that_is_read(cli: Cli, users: Database, tmp_path: Path, name: str) -> None:
    """It would be empty before the first record is read."""
    put(tmp_path, "users.json", ADA)
    (tmp_path / "load.toml").write_text('[[load]]\nfile = "users.json"\ntable = "users"\n')
    (tmp_path / "link.json").symlink_to("users.json")
    before = {path: path.read_text() for path in tmp_path.glob("*.[jt]*")}
    for what in (("users.json",), ("--mapping", "load.toml")):
        if name == "load.toml" and what == ("users.json",):
            continue  # which is no mapping then
        result = cli("load", *what, "--max-rejects", "3", "--rejects", name)
        assert (result.code, result.out) == (2, "")
        assert (
            result.err
            == f"error: {name} is a file to be read, and --rejects would empty it\n--rejects FILE\n"
        )
        assert {path: path.read_text() for path in before} == before


def test_rejects_of_batches_are_added(cli: Cli, users: Database, tmp_path: Path) -> None:
    """A load that goes on does not take away what it has refused before."""
    put(tmp_path, "users.ndjson", ADA, {"id": 4}, BOB, {"id": 5}, {**ADA, "id": 6}, lines=True)
    users.rows("INSERT INTO users (id, email) VALUES (6, 'in the way')")
    options = ("--batch", "2", "--max-rejects", "1", "--rejects", "refused.ndjson")
    assert cli("load", "users.ndjson", *options).code == 1
    users.rows("DELETE FROM users WHERE id = 6")
    assert cli("load", "users.ndjson", *options).code == 0
    kept = [json.loads(line)["record"] for line in (tmp_path / "refused.ndjson").read_text().splitlines()]
    assert kept == [2, 4, 4]
    assert users.rows("SELECT id FROM users ORDER BY id") == [(1,), (2,), (6,)]


def test_rejects_that_are_no_text(cli: Cli, users: Database, tmp_path: Path) -> None:
    """Half a surrogate pair stays what it was; a line that is no JSON is kept as it is."""
    lines = ['{"id": 1, "email": "x\\\\\\ud800"}', '{oops\t"', '{"id": 2, "email": "é"}']
    (tmp_path / "users.ndjson").write_text("\n".join(lines), encoding="utf-8")
    result = cli("load", "users.ndjson", "--max-rejects", "2", "--rejects", "refused.ndjson")
    assert (result.code, result.err) == (0, "")
    kept = [json.loads(line) for line in (tmp_path / "refused.ndjson").read_text("utf-8").splitlines()]
    assert {each["record"]: each["data"] for each in kept} == {1: json.loads(lines[0]), 2: lines[1]}
    assert users.rows("SELECT email FROM users") == [("é",)]


def test_fields_that_no_column_takes(cli: Cli, users: Database, tmp_path: Path) -> None:
    put(tmp_path, "users.json", {**ADA, "phone": "5", "tags": [1.10]})
    result = cli("load", "users.json")
    said = "--ignore-unknown passes over such, --rest-into COLUMN keeps them"
    assert result.err.splitlines()[0].endswith(f"no column for the fields phone, tags; {said}")
    assert cli("load", "users.json", "--rest-into", "extra").code == 0
    assert users.rows("SELECT extra FROM users") == [('{"phone":"5","tags":[1.1]}',)]
    assert cli("load", "users.json", "--ignore-unknown", "--on-conflict", "update").code == 0
    assert users.rows("SELECT extra FROM users") == [('{"phone":"5","tags":[1.1]}',)]


def test_batches(cli: Cli, users: Database, tmp_path: Path) -> None:
    put(tmp_path, "users.json", ADA, BOB, {"id": "x"})
    result = cli("load", "users.json", "--batch", "1")
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[-1] == (
        "the batches before are loaded; the same command goes on behind them, if no file changes; if one"
        " does, --on-conflict skip passes over what is there"
    )
    document = cli("load", "users.json", "--batch", "1", "--json").json
    assert "tables" not in document
    log = cli("log").out
    assert "  loading     users.json (2 records are done)\n" in log
    put(tmp_path, "more.json", {**ADA, "id": 3}, {**ADA, "id": 4}, {"id": "x"})
    document = cli("load", "more.json", "--into", "users", "--batch", "1", "--json").json
    assert document["tables"][0]["inserted"] == 2
    assert document["error"]["exit_code"] == 1


def test_a_mapping_alone(cli: Cli, users: Database, tmp_path: Path) -> None:
    put(tmp_path, "people.json", ADA)
    (tmp_path / "load.toml").write_text('[[load]]\nfile = "people.json"\ntable = "users"\n')
    assert cli("load", "--mapping", "load.toml").code == 0
    result = cli("load", "--mapping", "load.toml", "--on-conflict", "skip")
    assert result.code == 2
    assert result.err == (
        "error: a mapping says all that there is to say of files\n"
        "put it into the mapping, or leave that out\n"
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "no file is named"),
        (("-",), "standard input has no name to go by"),
        (("users.json", "--zone", "Mars"), "--zone: 'Mars' is no time zone"),
        (("a.json", "b.json", "--into", "a"), "2 files, and 1 tables"),
        (("none.json",), "none.json: cannot be read: No such file or directory"),
        (("--mapping", "none.toml"), "none.toml: cannot be read: No such file or directory"),
        (
            ("users.json", "--rejects", "no/such/folder"),
            "no/such/folder: cannot be written: No such file or directory",
        ),
    ],
)
def test_what_cannot_be_done(cli: Cli, users: Database, args: tuple[str, ...], message: str) -> None:
    result = cli("load", *args)
    assert result.code == (3 if "none.json" in message else 2)
    assert result.err.splitlines()[0] == f"error: {message}"


def test_standard_input(users: Database) -> None:
    command = [sys.executable, "-m", "fluxmig", "load", "-", "--into", "users", "--database-url", users.url]
    given = f"{json.dumps(ADA)}\n{json.dumps(BOB)}\n".encode()
    done = subprocess.run(
        [*command, "--lines"], input=given, env=environment(), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert users.scalar("SELECT count(*) FROM users") == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [((), "nothing is loaded"), (("--batch", "5"), "the same command goes on behind the last batch")],
)
def test_an_interruption(
    cli: Cli,
    users: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    said: str,
) -> None:
    def stop(_: object) -> str:
        raise StoppedError(signal.SIGTERM)

    put(tmp_path, "users.json", ADA)
    monkeypatch.setattr(render_load, "progress_text", stop)
    result = cli("load", "users.json", *options)
    assert (result.code, result.err) == (143, f"interrupted by SIGTERM: {said}\n")
    assert users.scalar("SELECT count(*) FROM users") == 0


def test_progress_on_a_terminal_alone(users: Database, tmp_path: Path) -> None:
    put(tmp_path, "users.json", *({"id": number, "email": "x" * 100} for number in range(9000)))
    url = ("--database-url", users.url)
    shown = terminal("load", "users.json", *url).out
    assert re.search(r"\r\x1b\[2K  \.\.\. users\.json \[#+ *\] +\d+% of 1\.\d MB", shown)
    users.rows("DELETE FROM users")
    piped = process("load", "users.json", *url)
    assert (piped.returncode, piped.stderr) == (0, "")
    assert "MB" not in piped.stdout
