"""Rows into MySQL and MariaDB. Section numbers are those of the manual of MySQL 8.0."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import text, types
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import SQLAlchemyError

from fluxmig.dialects.base import send_as_is
from fluxmig.dialects.loading import Loading
from fluxmig.loading.tables import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.types import TypeEngine

    from fluxmig.loading.tables import Column, TableShape

__all__ = ["MySQLLoading"]

_CHECKS = text(
    "SELECT check_clause FROM information_schema.check_constraints"
    " WHERE constraint_schema = coalesce(:schema, DATABASE()) AND table_name = :table"
)
_JSON = re.compile(r"json_valid\(`(?P<name>(?:[^`]|``)+)`\)")
_COLUMN = re.compile(r"\b[Cc]olumn (?:'(?P<name>[^']+)'|(?:`[^`]+`\.)*`(?P<quoted>[^`]+)`)")
_FOREIGN = re.compile(r"FOREIGN KEY \((?P<names>[^)]+)\)")
_KEY = re.compile(r" for key '(?P<name>[^']+)'$")
_BITS: tuple[tuple[type[TypeEngine[Any]], int], ...] = (
    (mysql.TINYINT, 8),
    (mysql.MEDIUMINT, 24),
    (types.SmallInteger, 16),
    (types.BigInteger, 64),
    (types.Integer, 32),
)


class MySQLLoading(Loading):
    """MySQL and MariaDB: keys are checked row by row, and no key can wait (13.1.20.5)."""

    twice: ClassVar[frozenset[str]] = frozenset({"1062", "1586"})  # ER_DUP_ENTRY, also with the key's name

    def columns(
        self,
        connection: Connection,
        word: str,
        schema: str | None,
        described: Sequence[Mapping[str, Any]],
        primary: tuple[str, ...],
    ) -> dict[str, Column]:
        """MariaDB's JSON is a LONGTEXT with a check (mariadb.com, "JSON Data Type")."""
        found = super().columns(connection, word, schema, described, primary)
        if getattr(connection.dialect, "is_mariadb", False):
            for checked in connection.scalars(_CHECKS, {"schema": schema, "table": word}):
                is_json = _JSON.fullmatch(checked)
                name = is_json["name"].replace("``", "`") if is_json else ""
                if name in found and found[name].kind is Kind.TEXT:
                    found[name] = replace(found[name], kind=Kind.JSON, type="JSON", length=None)
        return found

    def of_type(self, name: str, kind: TypeEngine[Any]) -> Column:
        """Whole numbers by their bytes and sign (11.1.2); TINYINT(1) is what BOOLEAN means (11.1.1).

        BIT is a number to who writes it, and one bit a truth value (11.1.5); the members of a SET have a
        length, and its values none (11.3.6).
        """
        found = super().of_type(name, kind)
        if isinstance(kind, mysql.BIT):
            high = 2 ** (kind.length or 1) - 1
            return replace(found, kind=Kind.BOOLEAN if high == 1 else Kind.INTEGER, low=0, high=high)
        if isinstance(kind, mysql.SET):
            return replace(found, length=None)
        if found.kind is not Kind.INTEGER:
            return found
        if isinstance(kind, mysql.TINYINT) and kind.display_width == 1:
            return replace(found, kind=Kind.BOOLEAN)
        bits = next(bits for theirs, bits in _BITS if isinstance(kind, theirs))
        low, high = (
            (0, 2**bits - 1)
            if getattr(kind, "unsigned", False)
            else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        )
        return replace(found, low=low, high=high)

    def blamed(self, error: DBAPIError, shape: TableShape) -> tuple[str, ...]:
        """By the message, which names a column, or a key; MySQL's with the table before it."""
        said = str(error.orig.args[-1]) if error.orig and error.orig.args else ""
        if column := _COLUMN.search(said):
            return (column["name"] or column["quoted"],)
        if foreign := _FOREIGN.search(said):
            return tuple(name.strip("`") for name in foreign["names"].split(", "))
        key = _KEY.search(said)
        name = key["name"].rpartition(".")[2] if key else ""
        return shape.primary_key if name == "PRIMARY" else shape.uniques.get(name, ())

    @contextmanager
    def session(self, connection: Connection, *, defer: bool) -> Iterator[None]:
        """In UTC, in which points in time are given; a TIMESTAMP is read by the session's zone (11.2.2)."""
        zone = connection.exec_driver_sql("SELECT @@SESSION.time_zone").scalar()
        send_as_is(connection, "SET time_zone = '+00:00'")
        try:
            yield
        finally:
            with suppress(SQLAlchemyError):  # the connection may be lost
                connection.exec_driver_sql("SET time_zone = %s", (zone,))

    def keys(
        self, connection: Connection, shape: TableShape, column: Column, count: int, behind: int
    ) -> list[Any] | None:
        """By counting on: FOR UPDATE keeps others from the end of the index (14.7.2.4)."""
        return self.counted(connection, shape, column, count, behind)
