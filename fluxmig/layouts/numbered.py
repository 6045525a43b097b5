"""`NNN_description.sql`, with `NNN_description.down.sql` beside it where there is one."""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
from dataclasses import dataclass, replace
from io import FileIO
from typing import TYPE_CHECKING

from fluxmig.errors import MigrationFileError
from fluxmig.model import DownScript, FileProblem, Finding, Migration
from fluxmig.names import (
    MAX_NAME,
    down_of,
    entries_in,
    is_down,
    is_fit,
    migration_of,
    number_of,
    problem_of,
    sort_key,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAX_NAME", "Folder", "down_of", "encoding_problem", "is_down", "is_fit", "migration_of"]
__all__ += ["number_of", "read", "sort_key", "survey"]

_CHUNK = 2**20
_AT_ONCE = 2**14
"""Bytes: a file of no more is read by one call."""
_BOMS = {  # that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_MARKS = tuple(_BOMS)


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
    files: dict[str, tuple[Path, bytes, str]] = {}
    for entry in entries_in(folder):
        path = folder / entry.name
        read_or_problem = _read_file(path, entry)
        if isinstance(read_or_problem, FileProblem):
            problems.append(read_or_problem)
        else:
            files[entry.name] = path, *read_or_problem
    ups = {
        name: Migration(name, number_of(name), path, checksum, source)
        for name, (path, source, checksum) in files.items()
        if not is_down(name)
    }
    unread = {problem.path.name for problem in problems}
    findings, strays = [], []
    for name in sorted(files.keys() - ups.keys(), key=sort_key):
        path, source, checksum = files[name]
        up, down = migration_of(name), DownScript(name, path, checksum, source)
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


def _read_file(path: Path, entry: os.DirEntry[str]) -> tuple[bytes, str] | FileProblem:
    """The bytes without a byte order mark and the checksum of all of them, or why there are none."""
    if unfit := problem_of(entry.name):
        printable = path.with_name(repr(entry.name)[1:-1])
        return FileProblem(printable, unfit[0], remedy=unfit[1])
    try:
        if not entry.is_file():  # most file systems have told so already, in the list of the folder
            return _no_file(path)
        mark, source = _bytes(entry.path)
    except FileNotFoundError:
        return FileProblem(path, "is a link to nothing", remedy="mend the link or remove it")
    except OSError as error:
        return FileProblem(path, f"cannot be read: {error.strerror or error}")
    if problem := encoding_problem(path, source):
        return problem
    checksum = hashlib.sha256(mark)
    checksum.update(source)
    return source, checksum.hexdigest()


def _no_file(path: Path) -> FileProblem:
    """What something is that is no regular file; raises `OSError` where that cannot be told."""
    if stat.S_ISDIR(path.stat().st_mode):
        return FileProblem(
            path, "is a folder, not a file", remedy="rename the folder so that it does not end in .sql"
        )
    return FileProblem(path, "is not a regular file", remedy="put a regular file in its place")


def _bytes(place: str) -> tuple[bytes, bytes]:
    """A file's byte order mark, which may be empty, and the rest of its bytes; these in memory once."""
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        source = os.read(descriptor, _AT_ONCE)
        mark = codecs.BOM_UTF8 if source.startswith(codecs.BOM_UTF8) else b""
        if not os.read(descriptor, 1):
            return mark, source[len(mark) :]
        with FileIO(descriptor, closefd=False) as file:  # knows the size; a buffer would have them twice
            file.seek(len(mark))
            return mark, file.readall()
    finally:
        os.close(descriptor)


def encoding_problem(path: Path, source: bytes) -> FileProblem | None:
    """Why bytes without their byte order mark are no text in UTF-8, or None."""
    if source.startswith(_MARKS):
        encoding = next(name for mark, name in _BOMS.items() if source.startswith(mark))
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
