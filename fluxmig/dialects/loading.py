"""How rows get into a table: by what SQLAlchemy promises of every database. An override does better.

The values are those of `loading.convert`. They go to the driver as they are, or as `bound` makes them: the
types of SQLAlchemy, which would convert them again, are left out.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from sqlalchemy import and_, bindparam, func, insert, inspect, or_, select, table, types, update
from sqlalchemy import column as named
from sqlalchemy.exc import NoSuchTableError, SAWarning

from fluxmig.loading.nouns import OnConflict
from fluxmig.loading.tables import Column, ForeignKey, Kind, TableShape, Written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Select, TableClause
    from sqlalchemy.engine import Inspector
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.types import TypeEngine

    from fluxmig.dialects.base import ServerError
    from fluxmig.loading.tables import Breach, Rows, Target

__all__ = ["Loading", "ManyWriter", "Writer", "clause", "place_of"]

_AT_ONCE = 100
"""Keys in one query: databases allow so many parameters and not many more."""

_KINDS: tuple[tuple[type[TypeEngine[Any]], Kind], ...] = (
    (types.Boolean, Kind.BOOLEAN),
    (types.Enum, Kind.ENUM),
    (types.JSON, Kind.JSON),
    (types.Uuid, Kind.UUID),
    (types.ARRAY, Kind.ARRAY),
    (types.DateTime, Kind.TIMESTAMP),
    (types.Date, Kind.DATE),
    (types.Time, Kind.TIME),
    (types.Integer, Kind.INTEGER),
    (types.Float, Kind.FLOAT),
    (types.Numeric, Kind.NUMERIC),
    (types.LargeBinary, Kind.BYTES),
    (types.String, Kind.TEXT),
)
"""In this order: an enum is a string, too, and a float a number."""


class Writer(Protocol):
    """What takes the rows of one table, in a transaction."""

    def write(self, rows: Rows) -> None:
        """Takes some more."""

    def finish(self) -> Written:
        """Has the database take what was given; then there may be more."""

    def abandon(self) -> None:
        """Forgets what the database has not taken."""

    def blamed(self, row: int, context: str) -> tuple[int | None, str | None]:
        """The number of the record behind a line of what was sent last, and the column; None where not told.

        Args:
            row: The line, from 1.
            context: Where the database was.
        """


class Loading:
    """A database of which nothing is known but that SQLAlchemy can talk to it.

    Attributes:
        keeps_nul: Whether a text may hold the character NUL.
        defers: Whether every foreign key can be checked at the end of the transaction.
        streams: Whether a writer takes rows of any number at once, and tells which one was refused.
        twice: The codes that mean "a row has this key already".
    """

    keeps_nul: ClassVar[bool] = True
    defers: ClassVar[bool] = False
    streams: ClassVar[bool] = False
    twice: ClassVar[frozenset[str]] = frozenset()

    # --- what there is ------------------------------------------------------------------------------------

    def shapes(self, connection: Connection, names: Iterable[str]) -> dict[str, TableShape | None]:
        """The tables of these names; None where there is none. Only reads.

        SQLAlchemy warns of types that it does not know, which take text here, and of indexes of expressions,
        which tell no conflict.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)
            return self._shapes(connection, names)

    def _shapes(self, connection: Connection, names: Iterable[str]) -> dict[str, TableShape | None]:
        catalog = inspect(connection)
        default = catalog.default_schema_name
        places = {name: place_of(name) for name in names}
        by_place = {(schema or default, word): name for name, (schema, word) in places.items()}
        found: dict[str, TableShape | None] = {}
        for name, (schema, word) in places.items():
            try:
                described = catalog.get_columns(word, schema=schema)
            except NoSuchTableError:
                found[name] = None
                continue
            primary_key = catalog.get_pk_constraint(word, schema=schema)
            primary = tuple(primary_key["constrained_columns"])
            columns = self.columns(connection, word, schema, described, primary)
            uniques = self.uniques(connection, catalog, word, schema)
            if primary:
                uniques[primary_key["name"] or "primary key"] = primary
            keys = [
                ForeignKey(
                    key["name"],
                    tuple(key["constrained_columns"]),
                    by_place.get((key["referred_schema"] or default, key["referred_table"]), ""),
                    tuple(key["referred_columns"]),
                    deferrable=bool(key.get("options", {}).get("deferrable")),
                )
                for key in catalog.get_foreign_keys(word, schema=schema)
            ]
            found[name] = TableShape(name, columns, primary, uniques, tuple(keys))
        return found

    def uniques(
        self, connection: Connection, catalog: Inspector, word: str, schema: str | None
    ) -> dict[str, tuple[str, ...]]:
        """The columns of each unique constraint, or unique index of whole columns and rows, by name."""
        found: dict[str, tuple[str, ...]] = {}
        for index in catalog.get_indexes(word, schema=schema):
            options = index.get("dialect_options", {})
            partial = any(key.endswith("_where") and value is not None for key, value in options.items())
            names = index["column_names"]
            if index["unique"] and not partial and not index.get("expressions") and None not in names:
                found[str(index["name"])] = tuple(map(str, names))
        for constraint in catalog.get_unique_constraints(word, schema=schema):
            found[str(constraint["name"])] = tuple(constraint["column_names"])
        return found

    def tables(self, connection: Connection) -> list[str]:
        """The names of the tables that need no schema."""
        return inspect(connection).get_table_names()

    def columns(
        self,
        connection: Connection,
        word: str,
        schema: str | None,
        described: Sequence[Mapping[str, Any]],
        primary: tuple[str, ...],
    ) -> dict[str, Column]:
        """What SQLAlchemy tells of columns, by name."""
        return {each["name"]: self.column(each, is_alone=primary == (each["name"],)) for each in described}

    def column(self, described: Mapping[str, Any], *, is_alone: bool = False) -> Column:
        """What SQLAlchemy tells of a column.

        Args:
            described: As its inspector does.
            is_alone: Whether it is the primary key by itself, and may be counted.
        """
        kind = described["type"]
        counted = described.get("identity") is not None or described.get("autoincrement") is True
        made = self.of_type(str(described["name"]), kind)
        computed = described.get("computed") is not None
        has_default = described.get("default") is not None or counted
        return replace(
            made,
            nullable=bool(described["nullable"]),
            default=described.get("default"),
            has_default=has_default or (is_alone and self.counts(kind)),
            is_generated=computed,
        )

    def counts(self, kind: TypeEngine[Any]) -> bool:
        """Whether a column of that type counts by itself, being the primary key."""
        return False

    def of_type(self, name: str, kind: TypeEngine[Any]) -> Column:
        """A column by its type alone."""
        found = next((mine for theirs, mine in _KINDS if isinstance(kind, theirs)), Kind.OTHER)
        if found is Kind.TIMESTAMP and getattr(kind, "timezone", False):
            found = Kind.TIMESTAMPTZ
        low, high = _bounds(kind) if found is Kind.INTEGER else (None, None)
        item = getattr(kind, "item_type", None)
        return Column(
            name,
            found,
            str(kind),
            length=getattr(kind, "length", None) if found is Kind.TEXT else None,
            low=low,
            high=high,
            precision=getattr(kind, "precision", None) if found is Kind.NUMERIC else None,
            scale=getattr(kind, "scale", None) if found is Kind.NUMERIC else None,
            choices=tuple(getattr(kind, "enums", ()) or ()) if found is Kind.ENUM else (),
            item=self.of_type(name, item) if item is not None else None,
        )

    # --- writing ------------------------------------------------------------------------------------------

    @contextmanager
    def session(self, connection: Connection, *, defer: bool) -> Iterator[None]:
        """Around all of a transaction's writing: what the session has to be set to.

        Args:
            connection: In a transaction.
            defer: Whether foreign keys shall be checked at its end.
        """
        yield

    def writer(self, connection: Connection, target: Target) -> Writer:
        """What takes rows for a table."""
        return ManyWriter(self, connection, target)

    def bound(self, column: Column, values: list[Any]) -> list[Any]:
        """The values of a column as the driver takes them."""
        return values

    def keys(
        self, connection: Connection, shape: TableShape, column: Column, count: int, behind: int
    ) -> list[Any] | None:
        """So many values that the database gives a column, for rows that follow; None where it cannot.

        Args:
            connection: In a transaction that has the lock of those who write.
            shape: The table.
            column: The column, whose default or counting it is.
            count: How many.
            behind: The greatest that was given before.
        """
        return None

    def counted(
        self, connection: Connection, shape: TableShape, column: Column, count: int, behind: int
    ) -> list[Any] | None:
        """The next numbers, behind the greatest in the table; for databases that let nobody write between."""
        if column.kind is not Kind.INTEGER:
            return None
        query: Select[Any] = (
            select(func.max(named(column.name))).select_from(clause(shape.name)).with_for_update()
        )
        first = max(connection.scalar(query) or 0, behind) + 1
        return list(range(first, first + count))

    def is_twice(self, error: ServerError) -> bool:
        """Whether it says that a row has this key already."""
        return error.code in self.twice

    def breaches(self, error: DBAPIError, shapes: Iterable[TableShape]) -> list[Breach]:
        """The keys that may be what was refused; none where a writer tells the row itself."""
        return []

    def blamed(self, error: DBAPIError, shape: TableShape) -> tuple[str, ...]:
        """The columns of a table that an error speaks of; none where it does not, or not in a way we know."""
        return next((breach.columns for breach in self.breaches(error, [shape])), ())

    def among(
        self, connection: Connection, shape: TableShape, breach: Breach, keys: Sequence[tuple[Any, ...]]
    ) -> list[int]:
        """The places of those keys that are the breach's, by how the database writes them. Only reads."""
        columns = [shape.columns[name] for name in breach.columns]
        stored = zip(*map(self.bound, columns, map(list, zip(*keys, strict=True))), strict=True)
        return [place for place, key in enumerate(stored) if ", ".join(map(str, key)) in breach.keys]

    def move(self, connection: Connection, shape: TableShape, names: Sequence[str]) -> list[str]:
        """Moves what counts columns on past the greatest value in them; what it was, and where it is now."""
        return []


class ManyWriter:
    """Statements with many sets of parameters; keys are looked up first where it matters who is there."""

    def __init__(self, loading: Loading, connection: Connection, target: Target) -> None:
        self._loading, self._connection, self._target = loading, connection, target
        self._written = Written()
        self._queries: dict[int, Select[Any]] = {}

    def write(self, rows: Rows) -> None:
        """Has the database take them at once."""
        columns = self._target.shape.columns
        bound = [
            self._loading.bound(columns[name], values)
            for name, values in zip(rows.names, rows.columns, strict=True)
        ]
        given = [dict(zip(rows.names, values, strict=True)) for values in zip(*bound, strict=True)]
        if self._target.on_conflict is OnConflict.ERROR or not set(self._target.key) <= set(rows.names):
            self._insert(given)
            return
        known = self._known(list(filter(_is_whole, map(self._key, given))))
        new: list[dict[str, Any]] = []
        there: list[dict[str, Any]] = []
        for row in given:
            key = self._key(row)
            (there if key in known else new).append(row)
            if _is_whole(key):
                known.add(key)
        if new:
            self._insert(new)
        if there and self._target.on_conflict is OnConflict.UPDATE:
            self._update(there)

    def finish(self) -> Written:
        """They are all taken."""
        written, self._written = self._written, Written()
        return written

    def abandon(self) -> None:
        """Nothing is kept."""
        self._written = Written()

    def blamed(self, row: int, context: str) -> tuple[int | None, str | None]:
        """Databases do not tell."""
        return None, None

    def _key(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in self._target.key)

    def _known(self, keys: Sequence[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
        """Which of these keys the table has; where it takes another one for the same, each is asked for."""
        known: set[tuple[Any, ...]] = set()
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            found = self._found(some)
            if not found.issubset(some):  # by a collation, say, which case does not matter to
                found = {key for key in some if key in found or self._found([key])}
            known |= found
        return known

    def _found(self, keys: Sequence[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
        """The keys in the table that the database takes for one of these."""
        if len(keys) not in self._queries:
            self._queries[len(keys)] = self._query(len(keys))
        given = {
            f"key {number} {place}": value
            for number, key in enumerate(keys)
            for place, value in enumerate(key)
        }
        if len(self._target.key) == 1:
            given = {"keys": [value for (value,) in keys]}
        return {tuple(row) for row in self._connection.execute(self._queries[len(keys)], given)}

    def _query(self, count: int) -> Select[Any]:
        """What looks up so many keys; made once, since SQLAlchemy takes longer for it than the database."""
        mine: list[ColumnElement[Any]] = [named(name) for name in self._target.key]
        wanted: ColumnElement[bool] = mine[0].in_(bindparam("keys", expanding=True))
        if len(mine) > 1:
            wanted = or_(
                *(
                    and_(*(each == bindparam(f"key {number} {place}") for place, each in enumerate(mine)))
                    for number in range(count)
                )
            )
        return select(*mine).select_from(clause(self._target.shape.name, mine)).where(wanted)

    def _insert(self, given: list[dict[str, Any]]) -> None:
        to = clause(self._target.shape.name, [named(name) for name in given[0]])
        options = {"preserve_rowcount": True}
        count = self._connection.execute(insert(to).inline(), given, execution_options=options).rowcount
        told = 0 <= count <= len(given)  # not every driver counts what has many sets of parameters
        self._written += Written(inserted=count if told else len(given))

    def _update(self, given: list[dict[str, Any]]) -> None:
        key, values = self._target.key, [name for name in given[0] if name not in self._target.key]
        if not values:
            return
        to = clause(self._target.shape.name, [named(name) for name in given[0]])
        statement = (
            update(to)
            .where(and_(*(to.c[name] == bindparam(f"key {place}") for place, name in enumerate(key))))
            .values({name: bindparam(f"value {place}") for place, name in enumerate(values)})
        )
        parameters = [
            {f"key {place}": row[name] for place, name in enumerate(key)}
            | {f"value {place}": row[name] for place, name in enumerate(values)}
            for row in given
        ]
        self._connection.execute(statement, parameters)
        self._written += Written(updated=len(given))


def _is_whole(key: tuple[Any, ...]) -> bool:
    """Whether a key can be another row's, too: null is like no other."""
    return None not in key


def clause(name: str, columns: Sequence[ColumnElement[Any]] = ()) -> TableClause:
    """A table, for SQLAlchemy; its schema is before a dot in the name."""
    schema, _, word = name.rpartition(".")
    return table(word, *columns, schema=schema or None)  # type: ignore[arg-type]


def place_of(name: str) -> tuple[str | None, str]:
    """The schema and the name of a table; a dot is between the two."""
    schema, _, word = name.rpartition(".")
    return schema or None, word


def _bounds(kind: TypeEngine[Any]) -> tuple[int, int]:
    bits = 16 if isinstance(kind, types.SmallInteger) else 64 if isinstance(kind, types.BigInteger) else 32
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
