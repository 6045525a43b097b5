"""Rows into SQLite: its types are words, and its foreign keys can always wait for the end."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import types

from fluxmig.dialects.base import identifier, send_as_is
from fluxmig.dialects.loading import Loading
from fluxmig.loading.tables import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection
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
_DIGITS = 15  # of a number with a point (datatype3.html, "Type Affinity")


class SQLiteLoading(Loading):
    """SQLite."""

    defers: ClassVar[bool] = True

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

    def counts(self, kind: TypeEngine[Any]) -> bool:
        """INTEGER PRIMARY KEY is the number of the row (autoinc.html)."""
        return isinstance(kind, types.INTEGER)

    def of_type(self, name: str, kind: TypeEngine[Any]) -> Column:
        """Whole numbers have 64 bits, others 15 digits; and the length of a text is nobody's concern."""
        found = super().of_type(name, kind)
        if found.kind is Kind.INTEGER:
            return replace(found, low=-(2**63), high=2**63 - 1)
        return replace(found, digits=_DIGITS) if found.kind is Kind.NUMERIC else found

    @contextmanager
    def session(self, connection: Connection, *, defer: bool) -> Iterator[None]:
        """PRAGMA defer_foreign_keys, which ends with the transaction; who waits is told of no row."""
        if defer:
            send_as_is(connection, "PRAGMA defer_foreign_keys = ON")
        yield

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


def _utc(value: datetime | None) -> str | None:
    if value is None:
        return None
    plain = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return plain.isoformat(" ", "microseconds")
