"""Rows into PostgreSQL by COPY; through a temporary table where a key may be there already.

Section numbers are those of the manual of version 18.
"""

from __future__ import annotations

import json
import re
from array import array
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import count
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import cast, func, select, text, types
from sqlalchemy import column as word
from sqlalchemy.dialects import postgresql

from fluxmig.dialects import psycopg_driver
from fluxmig.dialects.base import escape, identifier, send_as_is
from fluxmig.dialects.loading import Loading, clause
from fluxmig.loading.nouns import OnConflict
from fluxmig.loading.tables import Breach, Kind, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Select
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.types import TypeEngine

    from fluxmig.dialects.loading import Writer
    from fluxmig.dialects.psycopg_driver import Copying
    from fluxmig.loading.tables import Column, Rows, TableShape, Target

__all__ = ["CopyLoading", "PostgreSQLLoading"]

_NULL = "\\N"
_SPECIAL = re.compile(r"[\\\t\n\r]")
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_SEQUENCE = re.compile(r"^nextval\('(?P<name>.+)'::regclass\)$")
_OF_IDENTITY = "SELECT pg_catalog.pg_get_serial_sequence(%(table)s, %(column)s)"
_NO_SUCH_ROW, _TWICE = "23503", "23505"  # foreign_key_violation, unique_violation
_WITHOUT_SPECIALS = {Kind.BOOLEAN, Kind.INTEGER, Kind.NUMERIC, Kind.FLOAT}
_WITHOUT_SPECIALS |= {Kind.TIMESTAMP, Kind.TIMESTAMPTZ, Kind.DATE, Kind.TIME}
_numbers = count(1)


class PostgreSQLLoading(Loading):
    """By statements with many parameters: for drivers that have no COPY."""

    keeps_nul: ClassVar[bool] = False  # 8.3: the character with the code zero cannot be stored
    twice: ClassVar[frozenset[str]] = frozenset({_TWICE})

    def column(self, described: Mapping[str, Any], *, is_alone: bool = False) -> Column:
        """Also the sequence of a serial column, which is its default."""
        found = super().column(described, is_alone=is_alone)
        sequence = _SEQUENCE.match(str(described.get("default") or ""))
        return replace(found, sequence=sequence["name"].replace("''", "'") if sequence else None)

    def columns(
        self,
        connection: Connection,
        word: str,
        schema: str | None,
        described: Sequence[Mapping[str, Any]],
        primary: tuple[str, ...],
    ) -> dict[str, Column]:
        """Also the sequences of identity columns (9.17, pg_get_serial_sequence)."""
        found = super().columns(connection, word, schema, described, primary)
        for each in described:
            if each.get("identity") is not None:
                asked = {"table": identifier(schema, word), "column": each["name"]}
                name = connection.exec_driver_sql(_OF_IDENTITY, asked).scalar()
                found[each["name"]] = replace(found[each["name"]], sequence=name)
        return found

    def of_type(self, name: str, kind: TypeEngine[Any]) -> Column:
        """Also domains by what they are made of, and jsonb apart from json."""
        if isinstance(kind, postgresql.DOMAIN):
            return replace(self.of_type(name, kind.data_type), type=kind.name or "domain")
        found = super().of_type(name, kind)
        if isinstance(kind, postgresql.JSONB):
            return replace(found, kind=Kind.JSONB)
        is_zoned = (
            isinstance(kind, types.Time) and kind.timezone
        )  # JSON has no such time: the server reads it
        return replace(found, kind=Kind.OTHER) if is_zoned or isinstance(kind, types.Interval) else found

    @contextmanager
    def session(self, connection: Connection, *, defer: bool) -> Iterator[None]:
        """SET CONSTRAINTS ALL DEFERRED, until the transaction's end, of those that can be."""
        if defer:
            send_as_is(connection, "SET CONSTRAINTS ALL DEFERRED")
        yield
        if defer:
            send_as_is(connection, "SET CONSTRAINTS ALL IMMEDIATE")

    def keys(
        self, connection: Connection, shape: TableShape, column: Column, count: int, behind: int
    ) -> list[Any] | None:
        """What the default gives, as often as it is needed; a sequence gives no number twice."""
        quoted = (column.sequence or "").replace("'", "''")
        default = f"nextval('{quoted}')" if column.sequence else column.default
        query = f"SELECT {default} FROM generate_series(1, {count})"  # noqa: S608  # as the catalog tells it
        made = connection.exec_driver_sql(query, execution_options={"no_parameters": True}).scalars()
        return [value if isinstance(value, int) else str(value) for value in made]

    def breaches(self, error: DBAPIError, shapes: Iterable[TableShape]) -> list[Breach]:
        """By the names that the error has, and `(columns)=(values)` in its DETAIL, of whatever language.

        Foreign keys are checked behind a COPY, or at the end of the transaction, and what is in a temporary
        table is moved by one statement: no line is told then.
        """
        said: Any = getattr(error.orig, "diag", None)
        code = getattr(said, "sqlstate", None)
        if code not in {_NO_SUCH_ROW, _TWICE}:
            return []
        for shape in shapes:
            schema, _, word = shape.name.rpartition(".")
            if word != said.table_name or schema not in {"", said.schema_name}:
                continue
            keys = {key.name: key.columns for key in shape.foreign_keys}
            columns = (keys if code == _NO_SUCH_ROW else shape.uniques).get(said.constraint_name, ())
            _, _, behind = (said.message_detail or "").partition(")=(")
            if columns and behind:
                told = frozenset({behind.rpartition(")")[0]})
                return [Breach(shape.name, tuple(columns), told, is_twice=code == _TWICE, code=code)]
        return []

    def among(
        self, connection: Connection, shape: TableShape, breach: Breach, keys: Sequence[tuple[Any, ...]]
    ) -> list[int]:
        """By having the server read them for these columns and write them again, as its DETAIL does.

        `format` writes with the type's own output function (9.4.1), and so does the DETAIL.
        """
        writers = [_plain_of(shape.columns[name]) for name in breach.columns]
        documents = [
            json.dumps(
                {name: write(of) for name, write, of in zip(breach.columns, writers, key, strict=True)}
            )
            for key in keys
        ]
        read = ", ".join(f"of.{identifier(name)}" for name in breach.columns)
        form = ", ".join(["%s"] * len(breach.columns))
        record = escape(f"json_populate_record(NULL::{_table(shape.name)}, given.document::json) AS of")
        query = text(
            "SELECT given.place - 1 FROM unnest(CAST(:documents AS text[])) WITH ORDINALITY"  # noqa: S608
            f" AS given (document, place), {record}"
            f" WHERE format('{form}', {escape(read)}) = ANY (CAST(:keys AS text[])) ORDER BY given.place"
        )
        return list(connection.scalars(query, {"documents": documents, "keys": list(breach.keys)}))

    def move(self, connection: Connection, shape: TableShape, names: Sequence[str]) -> list[str]:
        """By setval (9.17), never back."""
        moved = []
        for column in (shape.columns[name] for name in names if shape.columns[name].sequence):
            sequence = cast(column.sequence, postgresql.REGCLASS)
            greatest: Select[Any] = select(func.max(word(column.name)).label("greatest")).select_from(
                clause(shape.name)
            )
            loaded = greatest.subquery()
            reached = func.coalesce(func.pg_sequence_last_value(sequence), 0)
            found = connection.scalar(
                select(func.setval(sequence, loaded.c.greatest)).where(loaded.c.greatest > reached)
            )
            if found is not None:
                moved.append(f"{column.sequence} is moved to {found}")
        return moved


class CopyLoading(PostgreSQLLoading):
    """By COPY, through psycopg."""

    streams: ClassVar[bool] = True

    def of_type(self, name: str, kind: TypeEngine[Any]) -> Column:
        """The server reads ISO 8601 itself (8.5.1.3)."""
        return replace(super().of_type(name, kind), takes_iso=True)

    def writer(self, connection: Connection, target: Target) -> Writer:
        """COPY into the table, or into a temporary one."""
        return _CopyWriter(connection, target)


class _CopyWriter:
    """COPY FROM stdin in text format, for as long as rows have the same columns."""

    def __init__(self, connection: Connection, target: Target) -> None:
        self._connection, self._target = connection, target
        self._names: tuple[str, ...] = ()
        self._texts: list[Callable[[list[Any]], list[str]]] = []
        self._open: tuple[AbstractContextManager[Copying], Copying] | None = None
        self._table, self._is_staged = "", False
        self._sent: list[Sequence[int]] = []  # the numbers of the records behind the rows
        self._written = Written()

    def write(self, rows: Rows) -> None:
        """Sends them."""
        stream = self._stream(rows.names)
        columns = [text(values) for text, values in zip(self._texts, rows.columns, strict=True)]
        lines = "\n".join(map("\t".join, zip(*columns, strict=True)))
        self._sent.append(rows.numbers if isinstance(rows.numbers, range) else array("Q", rows.numbers))
        stream.write(lines.encode() + b"\n")

    def finish(self) -> Written:
        """Ends the COPY."""
        self._end()
        written, self._written = self._written, Written()
        return written

    def abandon(self) -> None:
        """Ends it with a failure, which the server rolls back."""
        if self._open:
            manager, self._open = self._open[0], None
            manager.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
        self._written = Written()

    def blamed(self, row: int, context: str) -> tuple[int | None, str | None]:
        """By the line that the server counts, and what stands before a colon behind it.

        `COPY users, line 3, column id: "x"`, in any language; of a whole row, nothing is between.
        """
        names = "|".join(map(re.escape, sorted(self._names, key=len, reverse=True)))
        found = re.search(rf"\D{row}\b[^:]*?\s(?P<name>{names}):", context)
        column = found["name"] if found else None
        for numbers in self._sent:
            if 0 < row <= len(numbers):
                return numbers[row - 1], column
            row -= len(numbers)
        return None, column

    def _stream(self, names: tuple[str, ...]) -> Copying:
        """The COPY into these columns, begun if it is not yet."""
        if self._open and names == self._names:
            return self._open[1]
        self._end()
        target = self._target
        self._table = _table(target.shape.name)
        self._is_staged = target.on_conflict is not OnConflict.ERROR and set(target.key) <= set(names)
        self._names = names
        self._texts = [_texts(target.shape.columns[name]) for name in names]
        self._sent = []
        to, columns = self._table, ", ".join(map(identifier, names))
        if self._is_staged:
            to = identifier(f"fluxmig_load_{next(_numbers)}")
            of = f"SELECT {columns} FROM {self._table} WITH NO DATA"  # noqa: S608  # names are quoted
            send_as_is(self._connection, f"CREATE TEMPORARY TABLE {to} ON COMMIT DROP AS {of}")
            self._table = to
        statement = f"COPY {to} ({columns}) FROM STDIN (ENCODING 'UTF8')"
        manager = psycopg_driver.copying(self._connection, statement)
        stream = manager.__enter__()
        self._open = manager, stream
        return stream

    def _end(self) -> None:
        if self._open is None:
            return
        (manager, stream), self._open = self._open, None
        manager.__exit__(None, None, None)
        if self._is_staged:
            self._written += self._move()
        else:
            self._written += Written(inserted=stream.rows)

    def _move(self) -> Written:
        """From the temporary table to the other one."""
        target, staged = self._target, self._table
        columns, key = (", ".join(map(identifier, names)) for names in (self._names, target.key))
        values = [identifier(name) for name in self._names if name not in target.key]
        rows, action = f"SELECT {columns} FROM {staged}", "NOTHING"  # noqa: S608  # names are quoted
        updates = target.on_conflict is OnConflict.UPDATE and bool(values)
        if updates:
            # Of rows with one key the last one counts, as if each had come by itself; null is like no other.
            alone = " OR ".join(f"{identifier(name)} IS NULL" for name in target.key)
            each = f"{key}, CASE WHEN {alone} THEN ctid END"
            rows = f"SELECT DISTINCT ON ({each}) {columns} FROM {staged} ORDER BY {each}, ctid DESC"  # noqa: S608
            action = "UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in values)
        to = _table(target.shape.name)
        new = self._connection.exec_driver_sql(
            f"WITH moved AS (INSERT INTO {to} ({columns}) OVERRIDING SYSTEM VALUE {rows}"  # noqa: S608
            f" ON CONFLICT ({key}) DO {action} RETURNING xmax = 0 AS is_new)"
            " SELECT count(*) FILTER (WHERE is_new) FROM moved",
            execution_options={"no_parameters": True},
        ).scalar_one()
        send_as_is(self._connection, f"DROP TABLE {staged}")
        return Written(new, sum(map(len, self._sent)) - new if updates else 0)


# --- the text format of COPY (COPY, "Text Format") --------------------------------------------------------


def _texts(column: Column) -> Callable[[list[Any]], list[str]]:
    """What writes the values of a column."""
    one = _text_of(column)

    def texts(values: list[Any]) -> list[str]:
        if NoneType not in set(map(type, values)):  # to ask numbers whether they are None takes long
            return list(map(one, values))
        return [_NULL if value is None else one(value) for value in values]

    def plain(values: list[Any]) -> list[str]:
        text = "".join(filter(None, values))
        if any(special in text for special in _ESCAPES):
            return texts(values)
        return [_NULL if value is None else value for value in values] if None in values else values

    return plain if one is _escaped else texts


def _text_of(column: Column) -> Callable[[Any], str]:
    """What writes a value that is not null."""
    plain = _plain_of(column)
    if column.kind in _WITHOUT_SPECIALS:
        return plain
    return _escaped if plain is _itself else lambda value: _escaped(plain(value))


def _plain_of(column: Column) -> Callable[[Any], str]:
    """What writes one as the server reads it, without what COPY wants escaped."""
    match column.kind:
        case Kind.BOOLEAN:
            return {True: "t", False: "f"}.__getitem__
        case Kind.INTEGER | Kind.NUMERIC:
            return str
        case Kind.FLOAT:
            return repr
        case Kind.TIMESTAMP | Kind.TIMESTAMPTZ | Kind.DATE | Kind.TIME:
            return lambda value: value if type(value) is str else value.isoformat()
        case Kind.BYTES:
            return lambda value: f"\\x{value.hex()}"
        case Kind.ARRAY:
            item = _plain_of(column.item or column)
            return lambda value: _array(value, item)
        case _:
            return _itself


def _itself(value: str) -> str:
    return value


def _escaped(value: str) -> str:
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], value) if _SPECIAL.search(value) else value


def _array(values: list[Any], item: Callable[[Any], str]) -> str:
    """An array as PostgreSQL writes it (8.15.2)."""
    parts = []
    for value in values:
        if value is None:
            parts.append("NULL")
        elif isinstance(value, list):
            parts.append(_array(value, item))
        else:
            text = item(value)
            parts.append('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
    return "{" + ",".join(parts) + "}"


def _table(name: str) -> str:
    schema, _, word = name.rpartition(".")
    return identifier(schema, word)
