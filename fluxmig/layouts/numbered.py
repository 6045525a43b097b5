"""`NNN_description.sql`, with `NNN_description.down.sql` beside it where there is one.

Order: the leading number as an integer, then the name; files without a number last. Names are compared as
FluxStudio's Node runner compares them (JavaScript's `localeCompare`: the Unicode root collation), so that
both tools run files of one number in the same order: `_` sorts before `.`, and case counts last.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
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

__all__ = ["Folder", "create", "number_of", "read", "sort_key"]

MAX_NAME = 255
"""Characters that `migration_name VARCHAR(255)` holds."""

_DOWN = ".down.sql"
_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
# CLDR root collation of ASCII: white space, punctuation and symbols in this order, then digits, then letters.
_RANK = {
    character: rank for rank, character in enumerate("\t\n _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789")
}


@dataclass(frozen=True, slots=True)
class Folder:
    """What a folder holds.

    Attributes:
        path: The folder.
        migrations: In the order they run.
        findings: What is odd about the folder, but stops nothing.
    """

    path: Path
    migrations: tuple[Migration, ...]
    findings: tuple[Finding, ...] = ()


def number_of(name: str) -> int | None:
    """The leading number of a file name, or None."""
    digits = re.match(r"[0-9]+", name)
    return int(digits[0]) if digits else None


def sort_key(name: str) -> tuple[object, ...]:
    """What file names are ordered by: a total order, since the name itself comes last."""
    number = number_of(name)
    decomposed = unicodedata.normalize("NFD", name)
    base = [character for character in decomposed if not unicodedata.combining(character)]
    return (
        number is None,
        number or 0,
        [_RANK.get(character, len(_RANK) + ord(character.lower()[0])) for character in base],
        decomposed.casefold(),
        decomposed.swapcase(),
        name,
    )


def read(folder: Path) -> Folder:
    """Reads and checks every migration of a folder.

    Hidden files (a name that begins with a dot: editors' locks, macOS's `._` files) and names that do not
    end in `.sql` are left alone.

    Raises:
        ConfigError: There is no such folder.
        MigrationFileError: Something looks like a migration and cannot be read as one; all such are named.
    """
    problems: list[FileProblem] = []
    texts: dict[str, tuple[str, str]] = {}
    for name in _names(folder):
        read_or_problem = _read_file(folder / name)
        if isinstance(read_or_problem, FileProblem):
            problems.append(read_or_problem)
        else:
            texts[name] = read_or_problem
    if problems:
        raise MigrationFileError(sorted(problems, key=lambda problem: sort_key(problem.path.name)))
    ups = {
        name: Migration(name, number_of(name), folder / name, checksum, sql)
        for name, (sql, checksum) in texts.items()
        if not name.endswith(_DOWN)
    }
    findings = []
    for name in sorted(texts.keys() - ups.keys(), key=sort_key):
        up = name.removesuffix(_DOWN) + ".sql"
        if up in ups:
            ups[up] = replace(ups[up], down=DownScript(name, folder / name, texts[name][0]))
        else:
            findings.append(
                Finding(
                    "orphan", f"{name} reverses {up}, which is not there", (name,), f"rename it, or add {up}"
                )
            )
    return Folder(folder, tuple(sorted(ups.values(), key=lambda m: sort_key(m.name))), tuple(findings))


def _names(folder: Path) -> list[str]:
    try:
        names = [entry.name for entry in folder.iterdir()]
    except FileNotFoundError:
        raise ConfigError(
            f"there is no folder {folder}",
            remedy="`fluxmig create NAME` makes it, --migrations FOLDER or FLUXMIG_MIGRATIONS names another",
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read the folder {folder}: {error.strerror}") from error
    return [name for name in names if name.lower().endswith(".sql") and not name.startswith(".")]


def _read_file(path: Path) -> tuple[str, str] | FileProblem:
    """The text without a byte order mark and the checksum of the bytes, or why there is none."""
    if problem := _name_problem(path.name):
        printable = path.with_name(repr(path.name)[1:-1])
        return FileProblem(printable, problem[0], remedy=problem[1])
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return FileProblem(
                path, "is a folder, not a file", remedy="rename the folder so that it does not end in .sql"
            )
        if not stat.S_ISREG(mode):
            return FileProblem(path, "is not a regular file", remedy="put a regular file in its place")
        content = path.read_bytes()
    except FileNotFoundError:
        return FileProblem(path, "is a link to nothing", remedy="mend the link or remove it")
    except OSError as error:
        return FileProblem(path, f"cannot be read: {error.strerror or error}")
    return _decode(path, content)


def _name_problem(name: str) -> tuple[str, str] | None:
    if len(name) > MAX_NAME:
        return (
            f"the name has {len(name)} characters, and the ledger holds {MAX_NAME}",
            "give it a shorter name",
        )
    if any("\ud800" <= character <= "\udfff" for character in name):
        return "the name is not UTF-8", "rename the file"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return "the name holds a control character", "rename the file"
    if not name.endswith(".sql"):
        return "ends in something like .sql, but not in .sql", f"rename it to {name[:-4]}.sql"
    return None


def _decode(path: Path, content: bytes) -> tuple[str, str] | FileProblem:
    if encoding := _BOMS.get(content[:2]):
        return FileProblem(path, f"is {encoding}, not UTF-8", remedy="save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # `utf-8-sig` counts from behind the mark; the bytes before the fault are sound.
        good = content.removeprefix(b"\xef\xbb\xbf")[: error.start].decode("utf-8")
        line, column = _position(good)
        byte = error.object[error.start]
        return FileProblem(path, f"is not UTF-8: byte 0x{byte:02x}", line, column, remedy="save it as UTF-8")
    if (nul := text.find("\0")) >= 0:
        line, column = _position(text[:nul])
        return FileProblem(path, "holds a NUL byte", line, column, remedy="is it a binary file, or UTF-16?")
    return text, hashlib.sha256(content).hexdigest()


def _position(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - before.rfind("\n")


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
