"""A folder's files, and what is to be said of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DownScript", "FileProblem", "Finding", "Migration", "place"]


@dataclass(frozen=True, slots=True)
class FileProblem:
    """Why a file cannot be read as a migration, where, and the way out."""

    path: Path
    message: str
    line: int | None = None
    column: int | None = None
    excerpt: str = ""
    remedy: str | None = None

    def __str__(self) -> str:
        lines = [f"{place(self.path, self.line, self.column)}: {self.message}", self.excerpt, self.remedy]
        return "\n".join(line for line in lines if line)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should know: what kind, in which migrations, and the way out.

    Attributes:
        kind: A word for programs: "modified", "missing", "renamed", "marked", "failed", "out of order",
            "empty", "orphan", "number", "log", "files", "permission", "partial", "directive", "duplicate",
            "overtaken", "absent", "session".
        message: A sentence for people.
        names: The migrations in question.
        remedy: The way out, or None.
    """

    kind: str
    message: str
    names: tuple[str, ...] = ()
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class DownScript:
    """The script that reverses a migration: `NNN_description.down.sql` beside it.

    Attributes:
        name: Its file name.
        path: Where it was read.
        checksum: SHA-256 of the bytes of the file, 64 hexadecimal digits.
        source: Its bytes, which are UTF-8, without a byte order mark.
    """

    name: str
    path: Path
    checksum: str
    source: bytes


@dataclass(frozen=True, slots=True)
class Migration:
    """One `.sql` file.

    Attributes:
        name: Its file name, `.sql` included: its identity.
        number: Its leading number, or None.
        path: Where it was read.
        checksum: SHA-256 of the bytes of the file, 64 hexadecimal digits.
        source: Its bytes, which are UTF-8, without a byte order mark.
        down: Its down script, or None.
    """

    name: str
    number: int | None
    path: Path
    checksum: str
    source: bytes
    down: DownScript | None = None

    @property
    def sql(self) -> str:
        """Its text; a copy, each time."""
        return self.source.decode()


def place(path: Path, line: int | None, column: int | None) -> str:
    """`file:line:column`, as far as it is known; editors and terminals make it a link."""
    return ":".join(str(part) for part in (path, line, column) if part is not None)
