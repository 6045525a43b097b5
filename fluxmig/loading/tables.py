"""What a load knows of tables: what they take, and rows for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from fluxmig.loading.nouns import OnConflict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Breach", "Column", "ForeignKey", "Kind", "Rows", "TableShape", "Target", "Written"]


class Kind(StrEnum):
    """What a column holds, as far as a value of JSON has to be converted for it."""

    TEXT = "text"
    INTEGER = "integer"
    NUMERIC = "numeric"
    FLOAT = "float"
    BOOLEAN = "boolean"
    UUID = "uuid"
    TIMESTAMP = "timestamp without time zone"
    TIMESTAMPTZ = "timestamp with time zone"
    DATE = "date"
    TIME = "time"
    JSON = "json"
    JSONB = "jsonb"
    BYTES = "bytes"
    ENUM = "enum"
    ARRAY = "array"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Column:
    """What a column takes.

    Attributes:
        name: Its name.
        kind: What it holds.
        type: The database's name of its type, for people.
        nullable: Whether it takes null.
        has_default: Whether the database has a value for it where a row has none.
        is_generated: Whether the database computes it, and takes no value.
        length: The most characters; None is any number.
        low: The least whole number, and
        high: the greatest; None is any.
        precision: The most digits, and
        scale: those behind the point; None is any number.
        digits: The most digits in all that the database keeps; None is all.
        takes_iso: Whether a point in time may stay the text of ISO 8601 that it is.
        choices: The values of an enum.
        item: What an array consists of.
        sequence: The sequence that fills it, as SQL names it; or None.
        default: The expression of its default, as the database tells it; or None.
    """

    name: str
    kind: Kind = Kind.TEXT
    type: str = "text"
    nullable: bool = True
    has_default: bool = False
    is_generated: bool = False
    length: int | None = None
    low: int | None = None
    high: int | None = None
    precision: int | None = None
    scale: int | None = None
    digits: int | None = None
    takes_iso: bool = False
    choices: tuple[str, ...] = ()
    item: Column | None = None
    sequence: str | None = None
    default: str | None = None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """That columns of a table name a row of another one.

    Attributes:
        name: The constraint's, or None.
        columns: The columns.
        table: The other table, as `TableShape.name`.
        referred: Its columns, in the same order.
        deferrable: Whether it can be checked at the end of the transaction.
    """

    name: str | None
    columns: tuple[str, ...]
    table: str
    referred: tuple[str, ...]
    deferrable: bool = False


@dataclass(frozen=True, slots=True)
class TableShape:
    """A table as the database tells it.

    Attributes:
        name: Its name, with its schema before it where the mapping says one.
        columns: Its columns, by name, in order.
        primary_key: The columns of its primary key.
        uniques: The columns of each unique constraint, by name; the primary key's, too.
        foreign_keys: What it refers to.
    """

    name: str
    columns: Mapping[str, Column]
    primary_key: tuple[str, ...] = ()
    uniques: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    foreign_keys: tuple[ForeignKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table that give values to the same columns.

    Attributes:
        table: The table.
        names: The columns.
        columns: The values, a list for each column.
        numbers: The number of the record that each row comes from, from 1.
    """

    table: str
    names: tuple[str, ...]
    columns: Sequence[list[Any]]
    numbers: Sequence[int]

    def __len__(self) -> int:
        return len(self.numbers)

    def part(self, start: int, end: int) -> Rows:
        """Those from one place to another."""
        return Rows(
            self.table, self.names, [column[start:end] for column in self.columns], self.numbers[start:end]
        )

    def row(self, place: int) -> dict[str, Any]:
        """One of them, by the names of the columns."""
        return {name: column[place] for name, column in zip(self.names, self.columns, strict=True)}

    def keys(self, names: Sequence[str]) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """The places of the rows that have values for all of these columns, and these values."""
        if not set(names) <= set(self.names):
            return
        columns = [self.columns[self.names.index(name)] for name in names]
        for place, values in enumerate(zip(*columns, strict=True)):
            if None not in values:
                yield place, values


@dataclass(frozen=True, slots=True)
class Target:
    """Where rows go.

    Attributes:
        shape: The table.
        on_conflict: What to do with a row whose key is there.
        key: The columns that say so.
    """

    shape: TableShape
    on_conflict: OnConflict = OnConflict.ERROR
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """What became of rows.

    Attributes:
        inserted: How many are new.
        updated: How many were there, and have new values.
    """

    inserted: int = 0
    updated: int = 0

    def __add__(self, other: Written) -> Written:
        return Written(self.inserted + other.inserted, self.updated + other.updated)


@dataclass(frozen=True, slots=True)
class Breach:
    """Keys that the database does not take, where it does not say of which row they are.

    Attributes:
        table: The table whose row has one, as `TableShape.name`.
        columns: Its columns.
        keys: Their values, as the database writes them, with commas between; the first row with any is it.
        is_twice: Whether a row has it already: of several records with it, the second one is to blame.
        code: The database's code of the error.
        is_sure: Whether it is this key that is refused; else it is one of several that may be.
    """

    table: str
    columns: tuple[str, ...]
    keys: frozenset[str]
    is_twice: bool = False
    code: str | None = None
    is_sure: bool = True
