"""`NNN_description.sql`, with `NNN_description.down.sql` beside it where there is one.

Order: the leading number as an integer, then the name; files without a number last. Names are compared as
FluxStudio's Node runner compares them (JavaScript's `localeCompare`: the Unicode root collation), so that
both tools run files of one number in the same order: `_` sorts before `.`, and case counts last.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import stat
import sys
import unicodedata
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fluxmig.errors import ConfigError, MigrationFileError
from fluxmig.model import DownScript, FileProblem, Finding, Migration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["MAX_NAME", "Folder", "create", "down_of", "encoding_problem", "is_down", "is_fit", "migration_of"]
__all__ += ["number_of", "read", "sort_key", "survey"]

MAX_NAME = 255
"""Characters that `migration_name VARCHAR(255)` holds."""

_DOWN = ".down.sql"
_CHUNK = 2**20
_BOMS = {  # that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
# CLDR root collation of ASCII: white space, punctuation and symbols in this order, then digits, then letters.
_RANKED = "\t\n _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789"
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""What no file name should hold: control characters, and what stands for bytes that are no UTF-8."""


@dataclass(frozen=True, slots=True)
class Folder:
    """What a folder holds.

    Attributes:
        path: The folder.
        migrations: In the order they run.
        findings: What is odd about the folder, but stops nothing.
        problems: What looks like a migration and cannot be read as one; empty unless it was surveyed.
        strays: Down scripts whose migration is not there, or cannot be read.
    """

    path: Path
    migrations: tuple[Migration, ...]
    findings: tuple[Finding, ...] = ()
    problems: tuple[FileProblem, ...] = ()
    strays: tuple[DownScript, ...] = ()


def number_of(name: str) -> int | None:
    """The leading number of a file name, or None."""
    digits = re.match(r"[0-9]+", name)
    return int(digits[0]) if digits else None


def is_down(name: str) -> bool:
    """Whether it is the name of a down script."""
    return name.endswith(_DOWN)


def migration_of(name: str) -> str:
    """The file name of the migration that a script belongs to, be it a down script or the migration."""
    return name.removesuffix(_DOWN) + ".sql" if is_down(name) else name


def is_fit(name: str) -> bool:
    """Whether a file of that name is a migration or a down script, as far as its name goes."""
    return not name.startswith(".") and _name_problem(name) is None


def down_of(name: str) -> str:
    """The file name of a migration's down script, whether there is one or not."""
    return name.removesuffix(".sql") + _DOWN


def sort_key(name: str) -> tuple[object, ...]:
    """What file names are ordered by: a total order, since the name itself comes last."""
    number = number_of(name)
    decomposed = base = unicodedata.normalize("NFD", name)
    if not name.isascii():
        base = "".join(character for character in decomposed if not unicodedata.combining(character))
    return (
        number is None,
        number or 0,
        base.translate(_RANKS),
        decomposed.casefold(),
        decomposed.swapcase(),
        name,
    )


class _Ranks(dict[int, str]):
    """For `str.translate`: the characters in whose order those of names are compared."""

    def __missing__(self, code: int) -> str:
        rank = min(len(_RANKED) + ord(chr(code).lower()[0]), sys.maxunicode)
        return self.setdefault(code, chr(rank))


_RANKS = _Ranks({ord(character): chr(rank) for rank, character in enumerate(_RANKED)})


def read(folder: Path) -> Folder:
    """Reads and checks every migration of a folder.

    Hidden files (a name that begins with a dot: editors' locks, macOS's `._` files) and names that do not
    end in `.sql`, or in what may be meant for it, are left alone.

    Raises:
        ConfigError: There is no such folder.
        MigrationFileError: Something looks like a migration and cannot be read as one; all such are named.
    """
    found = survey(folder)
    if found.problems:
        raise MigrationFileError(found.problems)
    return found


def survey(folder: Path) -> Folder:
    """Like `read`, but what cannot be read is among the folder's `problems`, in order, and hides nothing.

    Raises:
        ConfigError: There is no such folder.
    """
    problems: list[FileProblem] = []
    files: dict[str, tuple[bytes, str]] = {}
    for name in _names(folder):
        read_or_problem = _read_file(folder / name)
        if isinstance(read_or_problem, FileProblem):
            problems.append(read_or_problem)
        else:
            files[name] = read_or_problem
    ups = {
        name: Migration(name, number_of(name), folder / name, checksum, source)
        for name, (source, checksum) in files.items()
        if not is_down(name)
    }
    unread = {problem.path.name for problem in problems}
    findings, strays = [], []
    for name in sorted(files.keys() - ups.keys(), key=sort_key):
        source, checksum = files[name]
        up, down = migration_of(name), DownScript(name, folder / name, checksum, source)
        if up in ups:
            ups[up] = replace(ups[up], down=down)
            continue
        strays.append(down)
        if up not in unread:
            findings.append(
                Finding(
                    "orphan", f"{name} reverses {up}, which is not there", (name,), f"rename it, or add {up}"
                )
            )
    return Folder(
        folder,
        tuple(sorted(ups.values(), key=lambda m: sort_key(m.name))),
        tuple(findings),
        tuple(sorted(problems, key=lambda problem: sort_key(problem.path.name))),
        tuple(strays),
    )


def _names(folder: Path) -> list[str]:
    try:
        names = os.listdir(folder)  # noqa: PTH208  # names are enough, and paths take time
    except FileNotFoundError:
        raise ConfigError(
            f"there is no folder {folder}",
            remedy="`fluxmig create NAME` makes it, --migrations FOLDER or FLUXMIG_MIGRATIONS names another",
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read the folder {folder}: {error.strerror}") from error
    return [name for name in names if _seen(name).lower().endswith(".sql") and not name.startswith(".")]


def _seen(name: str) -> str:
    """The name without the spaces and dots at its end, which hardly show."""
    return name if name.endswith(".sql") else re.sub(r"[\s.]+\Z", "", name)


def _read_file(path: Path) -> tuple[bytes, str] | FileProblem:
    """The bytes without a byte order mark and the checksum of all of them, or why there are none."""
    if unfit := _name_problem(path.name):
        printable = path.with_name(repr(path.name)[1:-1])
        return FileProblem(printable, unfit[0], remedy=unfit[1])
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return FileProblem(
                path, "is a folder, not a file", remedy="rename the folder so that it does not end in .sql"
            )
        if not stat.S_ISREG(mode):
            return FileProblem(path, "is not a regular file", remedy="put a regular file in its place")
        with path.open("rb", buffering=0) as file:  # a buffer would have it twice
            head = file.read(len(codecs.BOM_UTF8))
            if head != codecs.BOM_UTF8:
                file.seek(0)
                head = b""
            source = file.read()
    except FileNotFoundError:
        return FileProblem(path, "is a link to nothing", remedy="mend the link or remove it")
    except OSError as error:
        return FileProblem(path, f"cannot be read: {error.strerror or error}")
    if problem := encoding_problem(path, source):
        return problem
    checksum = hashlib.sha256(head)
    checksum.update(source)
    return source, checksum.hexdigest()


def _name_problem(name: str) -> tuple[str, str] | None:
    if len(name) > MAX_NAME:
        return (
            f"the name has {len(name)} characters, and the ledger holds {MAX_NAME}",
            "give it a shorter name",
        )
    if odd := _ODD.search(name):
        what = "is not UTF-8" if odd[0] >= "\ud800" else "holds a control character"
        return f"the name {what}", "rename the file"
    if not name.endswith(".sql"):
        return "ends in something like .sql, but not in .sql", f"rename it to {_seen(name)[:-4]}.sql"
    return None


def encoding_problem(path: Path, source: bytes) -> FileProblem | None:
    """Why bytes without their byte order mark are no text in UTF-8, or None."""
    if encoding := next((name for mark, name in _BOMS.items() if source.startswith(mark)), None):
        return FileProblem(path, f"is {encoding}, not UTF-8", remedy="save it as UTF-8")
    if (fault := _fault(source)) is not None:
        message, remedy = f"is not UTF-8: byte 0x{source[fault]:02x}", "save it as UTF-8"
    elif (fault := source.find(b"\0")) >= 0:
        message, remedy = "holds a NUL byte", "is it a binary file, or UTF-16?"
    else:
        return None
    line_start = source.rfind(b"\n", 0, fault) + 1
    line, column = source.count(b"\n", 0, fault) + 1, len(source[line_start:fault].decode()) + 1
    return FileProblem(path, message, line, column, remedy=remedy)


def _fault(source: bytes) -> int | None:
    """The offset of the first byte that is no UTF-8, found without holding the text beside the bytes."""
    if source.isascii():
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(source), _CHUNK):
        carried = len(decoder.getstate()[0])  # of a character that the chunk before had begun
        try:
            decoder.decode(source[start : start + _CHUNK], final=start + _CHUNK >= len(source))
        except UnicodeDecodeError as error:
            return start - carried + error.start
    return None


# --- creating ---------------------------------------------------------------------------------------------


def create(
    folder: Path, description: str, *, now: datetime, with_down: bool = False, timestamp: bool = False
) -> tuple[Path, ...]:
    """Makes the next migration's file, and its down script where asked; never overwrites.

    The number is one more than the highest, three digits at least; two at once get two numbers where the
    system can lock a folder (POSIX), and never the same file anywhere.

    Args:
        folder: Made where it is missing.
        description: Words; the file's name is their snake case.
        now: With a time zone; it becomes the header's `Created` and the timestamp.
        with_down: Whether to make `NNN_description.down.sql` too.
        timestamp: Whether the number is `YYYYMMDDHHMMSS` in UTC.

    Returns:
        The files made, the migration first.

    Raises:
        ConfigError: Nothing of the description can stand in a file name, or the folder cannot be written.
    """
    slug = _snake(description)
    now = now.astimezone(UTC)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            number = _next_number(folder, now if timestamp else None)
            stem = f"{number:03d}_{slug}"
            if (size := len(os.fsencode(stem + _DOWN))) > MAX_NAME:
                raise ConfigError(
                    f"the name would have {size} bytes with {_DOWN}, and {MAX_NAME} is the most",
                    remedy="use fewer words",
                )
            names = [f"{stem}.sql", f"{stem}{_DOWN}"][: 1 + with_down]
            for name in names:
                _write_new(folder / name, _header(description, now, down=name.endswith(_DOWN)))
    except OSError as error:
        raise ConfigError(f"cannot create a file in {folder}: {error.strerror or error}") from error
    return tuple(folder / name for name in names)


def _snake(description: str) -> str:
    text = unicodedata.normalize("NFC", description).removesuffix(".sql")
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    slug = re.sub(r"[\W_]+", "_", text).strip("_").lower()
    if not slug:
        raise ConfigError(
            f"{description!r} holds no letter or digit", remedy="name it like `add user settings`"
        )
    return slug


def _next_number(folder: Path, now: datetime | None) -> int:
    numbers = {number for name in _names(folder) if (number := number_of(name)) is not None}
    if now is None:
        return max(numbers, default=0) + 1
    number = int(now.strftime("%Y%m%d%H%M%S"))
    while number in numbers:
        number += 1
    return number


def _header(description: str, now: datetime, *, down: bool) -> str:
    title = " ".join("".join(c if c.isprintable() else " " for c in description).split())
    created = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    what = "reverses it" if down else ""
    return f"-- Migration: {title}\n-- Created: {created}\n-- Description:{' ' + what if what else ''}\n\n"


def _write_new(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the folder against other `create`s; without `fcntl`, files opened with "x" have to do."""
    try:
        import fcntl  # noqa: PLC0415  # not on every system
    except ImportError:  # pragma: no cover
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
