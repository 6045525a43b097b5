"""Rows into DuckDB: its own functions tell of its tables, and lists of texts go into them.

SQLAlchemy's dialect of it asks the catalog of PostgreSQL, of which DuckDB has a part only. Its functions
duckdb_columns() and the like have it all (duckdb.org, "DuckDB Table Functions").
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from fluxmig.dialects.base import escape, identifier, literal
from fluxmig.dialects.loading import Loading, ManyWriter, place_of
from fluxmig.loading.nouns import OnConflict
from fluxmig.loading.tables import Breach, Column, ForeignKey, Kind, TableShape, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.exc import DBAPIError

    from fluxmig.dialects.base import ServerError
    from fluxmig.dialects.loading import Writer
    from fluxmig.loading.tables import Rows, Target

__all__ = ["DuckDBLoading"]

_KINDS = {
    "VARCHAR": Kind.TEXT,
    "BOOLEAN": Kind.BOOLEAN,
    "UUID": Kind.UUID,
    "JSON": Kind.JSON,
    "BLOB": Kind.BYTES,
    "FLOAT": Kind.FLOAT,
    "DOUBLE": Kind.FLOAT,
    "DATE": Kind.DATE,
    "TIME": Kind.TIME,
    "TIMESTAMP": Kind.TIMESTAMP,
    "TIMESTAMP_S": Kind.TIMESTAMP,
    "TIMESTAMP_MS": Kind.TIMESTAMP,
    "TIMESTAMP_NS": Kind.TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": Kind.TIMESTAMPTZ,
}
_BITS = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64, "HUGEINT": 128}
_DIMENSIONS = re.compile(r"(?:\[\d*\])+$")
_DECIMAL = re.compile(r"DECIMAL\((?P<precision>\d+),(?P<scale>\d+)\)")
_CHOICE = re.compile(r"'((?:[^']|'')*)'")
_HERE = "database_name = current_database() AND schema_name = coalesce(:schema, current_schema())"
_COLUMNS = text(
    "SELECT column_name, data_type, is_nullable, column_default, is_generated FROM duckdb_columns()"  # noqa: S608
    f" WHERE {_HERE} AND table_name = :table ORDER BY column_index"
)
_CONSTRAINTS = text(
    "SELECT constraint_type, constraint_name, constraint_column_names, referenced_table,"  # noqa: S608
    f" referenced_column_names FROM duckdb_constraints() WHERE {_HERE} AND table_name = :table"
)
_INDEXES = text(
    "SELECT index_name, expressions FROM duckdb_indexes()"  # noqa: S608
    f" WHERE {_HERE} AND table_name = :table AND is_unique"
)
_TABLES = text(f"SELECT table_name FROM duckdb_tables() WHERE {_HERE}")  # noqa: S608
_SEQUENCE = text(
    "SELECT coalesce(last_value, start_value - increment_by), increment_by FROM duckdb_sequences()"  # noqa: S608
    f" WHERE {_HERE} AND sequence_name = :name"
)
_NEXT = re.compile(r"^nextval\('(?P<name>.+)'\)$")
_WORD = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')
_TWICE = re.compile(r'[Dd]uplicate key "(?P<key>.*)"(?: violates |$)', re.DOTALL)
_ABSENT = re.compile(r'because key "(?P<key>.*)" does not exist', re.DOTALL)
_NAMED = re.compile(r"[^,]+: ")
_UNCHECKED = re.compile(r"with expression (?P<key>CHECK\(.*\))", re.DOTALL)
_FURTHEST = 100_000_000
"""Numbers that a sequence is moved by at most, which takes some seconds: they are drawn one by one."""


class DuckDBLoading(Loading):
    """DuckDB 1.2 and later: keys are checked with each statement, and there are no savepoints."""

    # --- what there is ------------------------------------------------------------------------------------

    def shapes(self, connection: Connection, names: Iterable[str]) -> dict[str, TableShape | None]:
        """By duckdb_columns(), duckdb_constraints() and duckdb_indexes()."""
        here = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
        places = {name: place_of(name) for name in names}
        given = {(schema or here, word): name for name, (schema, word) in places.items()}
        return {name: _shape(connection, name, schema, word, given) for (schema, word), name in given.items()}

    def tables(self, connection: Connection) -> list[str]:
        """By duckdb_tables()."""
        return list(connection.scalars(_TABLES, {"schema": None}))

    # --- writing ------------------------------------------------------------------------------------------

    def writer(self, connection: Connection, target: Target) -> Writer:
        """What sends a list for each column."""
        return _ListWriter(self, connection, target)

    def bound(self, column: Column, values: list[Any]) -> list[Any]:
        """As texts, which DuckDB reads by the column's type."""
        write = _text_of(column)
        return [None if value is None else write(value) for value in values]

    def keys(
        self, connection: Connection, shape: TableShape, column: Column, count: int, behind: int
    ) -> list[Any] | None:
        """What the default gives, as often as it is needed."""
        query = text(escape(f"SELECT {column.default} FROM range({count})"))  # noqa: S608  # the catalog's
        return [value if isinstance(value, int) else str(value) for value in connection.scalars(query)]

    def is_twice(self, error: ServerError) -> bool:
        """By the message, for want of a code."""
        return error.code == "ConstraintException" and _TWICE.search(error.message) is not None

    def breaches(self, error: DBAPIError, shapes: Iterable[TableShape]) -> list[Breach]:
        """By the message, which has the key with or without the names of its columns, and no constraint's.

        Of a CHECK, it has the expression, which a row can be tried on by itself; that is the key then.
        """
        said, code = str(error.orig), type(error.orig).__name__
        twice, absent, unchecked = _TWICE.search(said), _ABSENT.search(said), _UNCHECKED.search(said)
        found = twice or absent
        into = next((each for each in shapes if _goes_to(each, error.statement)), None)
        if into and unchecked:
            expression = unchecked["key"]
            columns = tuple(name for name in into.columns if re.search(rf"\b{re.escape(name)}\b", expression))
            return [Breach(into.name, columns, frozenset({expression}), code=code)]
        if not found or not into:
            return []
        if twice:
            named = [(columns, columns) for columns in into.uniques.values()]
        else:
            named = [(key.columns, key.referred) for key in into.foreign_keys]
        key = found["key"]
        fitting = [
            columns for columns, names in named if not _NAMED.match(key) or key.startswith(f"{names[0]}: ")
        ]
        return [
            Breach(into.name, columns, frozenset({key}), twice is not None, code, len(fitting) == 1)
            for columns in fitting
        ]

    def among(
        self, connection: Connection, shape: TableShape, breach: Breach, keys: Sequence[tuple[Any, ...]]
    ) -> list[int]:
        """By having DuckDB read and write them, or try an expression on them."""
        columns = [shape.columns[name] for name in breach.columns]
        lists = map(self.bound, columns, map(list, zip(*keys, strict=True)))
        (key,) = breach.keys
        if key.startswith("CHECK("):
            is_it = f"NOT {key.removeprefix('CHECK')}"
        else:
            referred = [of.referred for of in shape.foreign_keys if of.columns == breach.columns]
            named = [_form(breach.columns, names) for names in (None, breach.columns, *referred)]
            is_it = f"{literal(key)} IN ({', '.join(named)})"
        query = f"SELECT place FROM ({_given(columns)}) WHERE {is_it} ORDER BY place"  # noqa: S608  # quoted
        found = connection.exec_driver_sql(query, tuple(lists))
        return [row[0] for row in found]

    def move(self, connection: Connection, shape: TableShape, names: Sequence[str]) -> list[str]:
        """By drawing numbers, which is all that moves a sequence on."""
        moved = []
        for column in (shape.columns[name] for name in names):
            given = _NEXT.match(column.default or "")
            if given:
                moved += _moved(connection, shape, column, given["name"].replace("''", "'"))
        return moved


class _ListWriter(ManyWriter):
    """A statement with a list for each column. A list is six times as fast as a set of parameters a row."""

    def write(self, rows: Rows) -> None:
        """Has the database take them at once; rows of a table that refers to itself one by one, in order.

        Of such rows, a statement would not see those that it brings itself.
        """
        shape = self._target.shape
        columns = [shape.columns[name] for name in rows.names]
        lists = [self._loading.bound(of, values) for of, values in zip(columns, rows.columns, strict=True)]
        action = self._action(rows.names)
        to = f"INSERT INTO {_table(shape.name)} ({', '.join(map(identifier, rows.names))})"
        before = self._count()
        if any(key.table == shape.name for key in shape.foreign_keys):
            casts = ", ".join(f"CAST({_read('?', column)} AS {column.type})" for column in columns)
            given = list(zip(*lists, strict=True))
            self._connection.exec_driver_sql(f"{to} VALUES ({casts}) {action}", given)
        else:
            source = self._chosen(rows.names) if action else "SELECT * EXCLUDE (place) FROM given"
            statement = f"WITH given AS ({_given(columns)}) {source}"
            self._connection.exec_driver_sql(f"{to} {statement} {action}", tuple(lists))
        new = self._count() - before
        self._written += Written(new, len(rows) - new if "UPDATE" in action else 0)

    def _action(self, names: Sequence[str]) -> str:
        target = self._target
        if target.on_conflict is OnConflict.ERROR or not set(target.key) <= set(names):
            return ""
        values = [identifier(name) for name in names if name not in target.key]
        updates = target.on_conflict is OnConflict.UPDATE and values
        action = (
            f"UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in values)}"
            if updates
            else "NOTHING"
        )
        return f"ON CONFLICT ({', '.join(map(identifier, target.key))}) DO {action}"

    def _chosen(self, names: Sequence[str]) -> str:
        """Of rows with one key, the last one where they update, and else the first; null is like no other."""
        key = [identifier(name) for name in self._target.key]
        alone = " OR ".join(f"{name} IS NULL" for name in key)
        each = f"{', '.join(key)}, CASE WHEN {alone} THEN place END"
        order = "DESC" if self._target.on_conflict is OnConflict.UPDATE else "ASC"
        columns = ", ".join(map(identifier, names))
        return f"SELECT DISTINCT ON ({each}) {columns} FROM given ORDER BY {each}, place {order}"  # noqa: S608

    def _count(self) -> int:
        table = _table(self._target.shape.name)
        return int(self._connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())  # noqa: S608


# --- the catalog ------------------------------------------------------------------------------------------


def _shape(
    connection: Connection,
    name: str,
    schema: str,
    word: str,
    given: Mapping[tuple[str, str], str],
) -> TableShape | None:
    asked = {"schema": schema, "table": word}
    described = connection.execute(_COLUMNS, asked).all()
    if not described:
        return None
    columns = {each[0]: _column(*each) for each in described}
    primary: tuple[str, ...] = ()
    uniques = dict(_of_indexes(connection.execute(_INDEXES, asked).all(), columns))
    keys = []
    for kind, constraint, names, table, referred in connection.execute(_CONSTRAINTS, asked):
        if kind in {"PRIMARY KEY", "UNIQUE"}:
            uniques[constraint] = tuple(names)
        if kind == "PRIMARY KEY":
            primary = tuple(names)
        if kind == "FOREIGN KEY":  # it never leads out of the schema
            keys.append(ForeignKey(constraint, tuple(names), given.get((schema, table), ""), tuple(referred)))
    return TableShape(name, columns, primary, uniques, tuple(keys))


def _column(name: str, type_: str, nullable: bool, default: str | None, generated: bool) -> Column:  # noqa: FBT001
    made = _of_type(name, type_)
    has_default = default is not None
    return replace(made, nullable=nullable, default=default, has_default=has_default, is_generated=generated)


def _of_type(name: str, type_: str) -> Column:
    """A column by its type as DuckDB writes it."""
    plain = type_.removeprefix("U")
    if found := _DIMENSIONS.search(type_):
        return Column(name, Kind.ARRAY, type_, item=_of_type(name, type_[: found.start()]))
    if type_.startswith("ENUM("):
        choices = tuple(found.replace("''", "'") for found in _CHOICE.findall(type_))
        return Column(name, Kind.ENUM, type_, choices=choices)
    if found := _DECIMAL.fullmatch(type_):
        return Column(name, Kind.NUMERIC, type_, precision=int(found["precision"]), scale=int(found["scale"]))
    if plain in _BITS:
        bits = _BITS[plain]
        low, high = (0, 2**bits - 1) if plain != type_ else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return Column(name, Kind.INTEGER, type_, low=low, high=high)
    return Column(name, _KINDS.get(type_, Kind.OTHER), type_)


def _of_indexes(
    rows: Iterable[Sequence[Any]], columns: Iterable[str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The unique indexes of whole columns: `[a, "b c"]`."""
    written = {identifier(name): name for name in columns} | {name: name for name in columns}
    for name, expressions in rows:
        parts = expressions.removeprefix("[").removesuffix("]").split(", ")
        if all(part.strip("'") in written for part in parts):
            yield name, tuple(written[part.strip("'")] for part in parts)


def _moved(connection: Connection, shape: TableShape, column: Column, name: str) -> list[str]:
    words = [quoted.replace('""', '"') or plain for quoted, plain in _WORD.findall(name)]
    asked = {"schema": words[-2] if len(words) > 1 else None, "name": words[-1]}
    found = connection.execute(_SEQUENCE, asked).one_or_none()
    query = f"SELECT max({identifier(column.name)}) FROM {_table(shape.name)}"  # noqa: S608  # quoted
    greatest = connection.exec_driver_sql(query).scalar()
    if found is None or greatest is None or found[1] <= 0 or greatest <= found[0]:
        return []
    steps = -((found[0] - greatest) // found[1])
    if steps > _FURTHEST:
        return [f"{name} stays at {found[0]}, for {column.name} goes up to {greatest}, which is too far"]
    drawn = text(escape(f"SELECT max(nextval({literal(name)})) FROM range({steps})"))  # noqa: S608
    return [f"{name} is moved to {connection.scalar(drawn)}"]


# --- what is sent, and what comes back --------------------------------------------------------------------


def _given(columns: Sequence[Column]) -> str:
    """A query of a list of texts for each column -> rows of the columns' types, and their place from 0."""
    lists = ", ".join(f"unnest(CAST(? AS VARCHAR[])) AS {identifier(each.name)}" for each in columns)
    read = ", ".join(
        f"CAST({_read(identifier(each.name), each)} AS {each.type}) AS {identifier(each.name)}"
        for each in columns
    )
    placed = f"SELECT *, row_number() OVER () - 1 AS place FROM (SELECT {lists})"  # noqa: S608  # quoted
    return f"SELECT {read}, place FROM ({placed})"  # noqa: S608  # quoted


def _read(value: str, column: Column) -> str:
    """A text as its cast to the column's type understands it: an array is JSON, and bytes in it texts."""
    if column.kind is not Kind.ARRAY:
        return value
    item = column.item.type if column.item else ""
    return f"CAST(CAST({value} AS JSON) AS VARCHAR{column.type.removeprefix(item)})"


def _text_of(column: Column) -> Callable[[Any], str]:
    match column.kind:
        case Kind.BYTES:
            return lambda value: "".join(f"\\x{byte:02X}" for byte in value)
        case Kind.TIMESTAMP | Kind.TIMESTAMPTZ | Kind.DATE | Kind.TIME:
            return lambda value: value.isoformat()
        case Kind.FLOAT:
            return repr
        case Kind.ARRAY:
            item = _text_of(column.item or column)
            return lambda value: _array(value, item)
        case _:
            return str


def _array(values: list[Any], item: Callable[[Any], str]) -> str:
    def texts(value: Any) -> Any:
        if isinstance(value, list):
            return [texts(each) for each in value]
        return None if value is None else item(value)

    return json.dumps(texts(values))


def _form(columns: Sequence[str], names: Sequence[str] | None) -> str:
    """The expression of a key as DuckDB writes it, with names or without: `x: 1, y: a`, or `1, a`."""
    labels = [f"{name}: " for name in names] if names else [""] * len(columns)
    parts = [
        f"{literal(label)} || CAST({identifier(column)} AS VARCHAR)"
        for label, column in zip(labels, columns, strict=True)
    ]
    return " || ', ' || ".join(parts)


def _goes_to(shape: TableShape, statement: str | None) -> bool:
    return (statement or "").startswith(f"INSERT INTO {_table(shape.name)} (")


def _table(name: str) -> str:
    return identifier(*place_of(name))
