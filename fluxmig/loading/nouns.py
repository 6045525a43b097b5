"""The nouns of a load: what goes where, and what became of it. Nothing here touches a file or a database."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from fluxmig.loading.paths import ABSENT, EACH, STDIN, path_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fluxmig.model import Finding

__all__ = [
    "DataFiles",
    "LoadMapping",
    "LoadProgress",
    "LoadReport",
    "OnConflict",
    "Refusal",
    "Rule",
    "Source",
    "TableTotals",
]


class OnConflict(StrEnum):
    """What to do with a row whose key is in the table already."""

    ERROR = "error"
    SKIP = "skip"
    UPDATE = "update"


# --- the mapping ------------------------------------------------------------------------------------------


_LONGEST = 255
"""Characters that the log has for a name."""


@dataclass(frozen=True, slots=True)
class Source:
    """What fills a column.

    Attributes:
        path: The keys that lead to the value in the record; none: the record itself.
        parent: The column of the parent's row whose value it is, instead.
        value: The constant that it is, instead; ABSENT where it is none.
        default: The value where the record has none; ABSENT where the database decides.
        epoch: The unit of a number that is a point in time: `s`, `ms` or `us`.
        encoding: How bytes are written: `base64` or `hex`.
    """

    path: tuple[str, ...] = ()
    parent: str | None = None
    value: Any = ABSENT
    default: Any = ABSENT
    epoch: str | None = None
    encoding: str = "base64"


@dataclass(frozen=True, slots=True)
class Rule:
    """Which part of a document becomes the rows of which table.

    Attributes:
        table: The table, with its schema and a dot before it where that is said.
        path: Keys and `EACH`, from the document, or from the parent's record, to a record.
        file: The file; `STDIN` for standard input. Of a child, its parent's.
        lines: Whether the file has one record a line.
        columns: What is said of columns; others are matched by name.
        ignore: Fields that are passed over.
        ignore_unknown: Whether all fields are that no column takes.
        rest_into: The column of JSON that takes them, instead; or None.
        on_conflict: What to do with a row whose key is there.
        key: The unique constraint that says so; None is the primary key.
        zone: The time zone of a point in time that names none; None refuses it.
        children: What of a record becomes rows of other tables.
    """

    table: str
    path: tuple[str, ...] = (EACH,)
    file: str = ""
    lines: bool = False
    columns: Mapping[str, Source] = field(default_factory=dict)
    ignore: frozenset[str] = frozenset()
    ignore_unknown: bool = False
    rest_into: str | None = None
    on_conflict: OnConflict = OnConflict.ERROR
    key: str | None = None
    zone: str | None = None
    children: tuple[Rule, ...] = ()

    @property
    def label(self) -> str:
        """Its file, and the path where that is not plain, for people and the log."""
        name = "standard input" if self.file == STDIN else self.file.rpartition("/")[2]
        return (name if self.path == (EACH,) else f"{name} {path_text(self.path)}")[:_LONGEST]

    @property
    def root(self) -> tuple[str, ...]:
        """The path up to the first array: what the file is read by, element by element."""
        return self.path[: self.path.index(EACH) + 1] if EACH in self.path else self.path

    @property
    def family(self) -> tuple[Rule, ...]:
        """Itself and all below it, parents first."""
        return (self, *(each for child in self.children for each in child.family))


@dataclass(frozen=True, slots=True)
class LoadMapping:
    """What a load is to do.

    Attributes:
        rules: In the order in which they were said.
    """

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class DataFiles:
    """Files to load, and what is said of all of them.

    Attributes:
        names: The files.
        into: Their tables; none: what they are called names them.
        lines: Whether each has one record a line; None: as its name says.
        rule: What else is said: fields, conflicts, a time zone.
    """

    names: tuple[str, ...]
    into: tuple[str, ...] = ()
    lines: bool | None = None
    rule: Rule = field(default_factory=lambda: Rule(""))


# --- what became of it ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record, or a row of it, is not in the table.

    Attributes:
        file: The file, as the mapping names it.
        record: The number of the record, from 1; None where the database does not tell.
        table: The table.
        reason: Why.
        line: The line on which the record begins, where that is known.
        column: The column, where it is one.
        path: Where in the record the value is.
        value: The beginning of the value, as JSON.
        code: The database's code of the error.
    """

    file: str
    record: int | None
    table: str
    reason: str
    line: int | None = None
    column: str | None = None
    path: str | None = None
    value: str | None = None
    code: str | None = None

    @property
    def place(self) -> str:
        """`file:line: record N`, as far as it is known; editors and terminals make the first part a link."""
        file = "standard input" if self.file == STDIN else self.file
        line = f":{self.line}" if self.line else ""
        return f"{file}{line}: " + (f"record {self.record}" if self.record else "one of its records")

    def __str__(self) -> str:
        where = f", {self.path}" if self.path else ""
        column = f"{self.table}.{self.column}" if self.column else self.table
        value = f": {self.value}" if self.value is not None else ""
        code = f" [{self.code}]" if self.code else ""
        return f"{self.place}{where} -> {column}: {self.reason}{code}{value}"


@dataclass(frozen=True, slots=True)
class TableTotals:
    """What became of the rows of one table.

    Attributes:
        table: The table.
        read: How many rows the files had for it.
        inserted: How many are new.
        updated: How many were there and have new values.
        skipped: How many were there and are as they were.
        refused: How many did not fit, or the database refused.
    """

    table: str
    read: int = 0
    inserted: int = 0
    updated: int = 0
    skipped: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How far a load has come.

    Attributes:
        label: What is being read.
        done: How many bytes of the files are read, of all of them.
        total: How many there are; None where that is not known.
    """

    label: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load did; of a dry run, what it would.

    Attributes:
        tables: In the order of writing.
        refusals: The refused records and rows, in the order in which that was found.
        findings: What to know beside.
        resumed: How many records an earlier attempt had done, by the label of their rule.
        dry_run: Whether nothing was written.
        duration_ms: The whole.
    """

    tables: tuple[TableTotals, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    findings: tuple[Finding, ...] = ()
    resumed: Mapping[str, int] = field(default_factory=dict)
    dry_run: bool = False
    duration_ms: int = 0
