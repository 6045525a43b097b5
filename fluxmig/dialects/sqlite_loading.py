"""Rows into SQLite: its types are words, and its foreign keys can always wait for the end."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import types
from sqlalchemy.exc import IntegrityError

from fluxmig.dialects.base import identifier, send_as_is
from fluxmig.dialects.loading import Loading
from fluxmig.loading.tables import Breach, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.engine import Inspector
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.types import TypeEngine

    from fluxmig.loading.tables import Column, TableShape

__all__ = ["SQLiteLoading"]

# What a declared type begins with, where SQLAlchemy knows no such word and takes it for a number.
_WORDS = {
    "UUID": Kind.UUID,
    "TIMESTAMPTZ": Kind.TIMESTAMPTZ,
    "TIMESTAMP WITH TIME ZONE": Kind.TIMESTAMPTZ,
    "JSONB": Kind.JSONB,
    "BOOL": Kind.BOOLEAN,
}
_NUMBERS = ("NUMERIC", "DECIMAL")
_BROKEN = 'SELECT DISTINCT "table", fkid FROM pragma_foreign_key_check'
_NAMED = re.compile(r"(?:UNIQUE|NOT NULL) constraint failed: (?P<names>.+)")
_DIGITS = 15  # of a number with a point (datatype3.html, "Type Affinity")


class SQLiteLoading(Loading):
    """SQLite."""

    defers: ClassVar[bool] = True
    twice: ClassVar[frozenset[str]] = frozenset(  # rescode.html
        {"SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID", "SQLITE_CONSTRAINT_UNIQUE"}
    )

    def columns(
        self,
        connection: Connection,
        word: str,
        schema: str | None,
        described: Sequence[Mapping[str, Any]],
        primary: tuple[str, ...],
    ) -> dict[str, Column]:
        """By the words that the table was made with."""
        found = super().columns(connection, word, schema, described, primary)
        before = f"{identifier(schema)}." if schema else ""
        for row in connection.exec_driver_sql(f"PRAGMA {before}table_xinfo({identifier(word)})"):
            name, declared = row[1], str(row[2]).upper()
            if name not in found:
                continue
            kind = next((kind for begin, kind in _WORDS.items() if declared.startswith(begin)), None)
            if kind is None and found[name].kind is Kind.NUMERIC and not declared.startswith(_NUMBERS):
                kind = Kind.OTHER
            if kind:
                found[name] = replace(found[name], kind=kind, type=declared)
        return found

    def uniques(
        self, connection: Connection, catalog: Inspector, word: str, schema: str | None
    ) -> dict[str, tuple[str, ...]]:
        """Also those that SQLAlchemy, which reads the table's SQL, does not find: by their columns.

        `email varchar(40) UNIQUE` is one: behind a type with brackets, it looks for none.
        """
        found = super().uniques(connection, catalog, word, schema)
        before = f"{identifier(schema)}." if schema else ""
        for row in connection.exec_driver_sql(f"PRAGMA {before}index_list({identifier(word)})").all():
            index, is_unique, origin, is_partial = row[1:5]
            info = connection.exec_driver_sql(f"PRAGMA {before}index_info({identifier(index)})")
            names = tuple(each[2] for each in info)
            is_whole = is_unique and not is_partial and None not in names
            if is_whole and origin == "u" and names not in found.values():
                found[",".join(names)] = names
        return found

    def blamed(self, error: DBAPIError, shape: TableShape) -> tuple[str, ...]:
        """By the message, which names columns, but none of a foreign key; where there is one, it is that."""
        said = str(error.orig)
        if said.startswith("FOREIGN KEY") and len(shape.foreign_keys) == 1:
            return shape.foreign_keys[0].columns
        prefix = f"{shape.name.rpartition('.')[2]}."
        named = _NAMED.match(said)
        words = named["names"].split(", ") if named else []
        return tuple(name for word in words if (name := word.removeprefix(prefix)) in shape.columns)

    def counts(self, kind: TypeEngine[Any]) -> bool:
        """INTEGER PRIMARY KEY is the number of the row (autoinc.html)."""
        return isinstance(kind, types.INTEGER)

    def of_type(self, name: str, kind: TypeEngine[Any]) -> Column:
        """Whole numbers have 64 bits, others 15 digits; and the length of a text is nobody's concern."""
        found = super().of_type(name, kind)
        if found.kind is Kind.INTEGER:
            return replace(found, low=-(2**63), high=2**63 - 1)
        return replace(found, digits=_DIGITS) if found.kind is Kind.NUMERIC else found

    def __init__(self) -> None:
        self._unmet: dict[tuple[str, tuple[str, ...]], frozenset[str]] = {}

    @contextmanager
    def session(self, connection: Connection, *, defer: bool) -> Iterator[None]:
        """PRAGMA defer_foreign_keys, which ends with the transaction.

        A COMMIT that a key does not let pass leaves the transaction open (foreignkeys.html, 4.2), and tells
        no row; so it is sent here, where the rows can still be asked for. An empty transaction follows.
        """
        if defer:
            send_as_is(connection, "PRAGMA defer_foreign_keys = ON")
        yield
        if connection.in_nested_transaction():
            return
        try:
            send_as_is(connection, "COMMIT")
        except IntegrityError:
            self._unmet = _unmet(connection)
            raise
        send_as_is(connection, "BEGIN")

    def breaches(self, error: DBAPIError, shapes: Iterable[TableShape]) -> list[Breach]:
        """The keys that did not let a COMMIT pass; also those of rows that were there before."""
        code = getattr(error.orig, "sqlite_errorname", None)
        return [
            Breach(shape.name, key.columns, keys, code=code)
            for shape in shapes
            for key in shape.foreign_keys
            if (keys := self._unmet.get((shape.name.rpartition(".")[2], key.columns)))
        ]

    def keys(
        self, connection: Connection, shape: TableShape, column: Column, count: int, behind: int
    ) -> list[Any] | None:
        """By counting on: the file has one writer."""
        return self.counted(connection, shape, column, count, behind)

    def bound(self, column: Column, values: list[Any]) -> list[Any]:
        """Times as SQLAlchemy writes and reads them, in UTC; numbers with a point as such."""
        match column.kind:
            case Kind.TIMESTAMP | Kind.TIMESTAMPTZ:
                return [_utc(value) for value in values]
            case Kind.DATE | Kind.TIME:
                return [None if value is None else value.isoformat() for value in values]
            case Kind.NUMERIC:
                return [float(value) if isinstance(value, Decimal) else value for value in values]
            case _:
                return values


def _unmet(connection: Connection) -> dict[tuple[str, tuple[str, ...]], frozenset[str]]:
    """The keys of rows that reference nothing, by table and columns; of a table without row numbers, none."""
    found: dict[tuple[str, tuple[str, ...]], frozenset[str]] = {}
    for word, number in connection.exec_driver_sql(_BROKEN).all():
        listed = connection.exec_driver_sql(f"PRAGMA foreign_key_list({identifier(word)})")
        columns = tuple(row[3] for row in listed if row[0] == number)
        values = ", ".join(f"of.{identifier(name)}" for name in columns)
        rows = connection.exec_driver_sql(
            f"SELECT DISTINCT {values} FROM pragma_foreign_key_check(?) AS broken"  # noqa: S608  # quoted
            f" JOIN {identifier(word)} AS of ON of.rowid = broken.rowid WHERE broken.fkid = ?",
            (word, number),
        )
        found[word, columns] = frozenset(", ".join(map(str, row)) for row in rows)
    return found


def _utc(value: datetime | None) -> str | None:
    if value is None:
        return None
    plain = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return plain.isoformat(" ", "microseconds")
