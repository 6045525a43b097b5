"""DuckDB through duckdb-engine: DDL is transactional, there are no savepoints; one process has the file."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from fluxmig import sql
from fluxmig.dialects.base import Dialect, ServerError, TableStyle
from fluxmig.dialects.existing import known
from fluxmig.errors import ConfigError
from fluxmig.objects import Presence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from fluxmig.dialects.loading import Loading
    from fluxmig.objects import Created

__all__ = ["DuckDB"]

# One exception, CatalogException, for all of these.
_DUPLICATE = re.compile(r'^Catalog Error: [A-Z]\w*(?: \w+)? with name "(?P<object>.+)" already exists!')
# Of two transactions that write the same, the second one is refused at once (duckdb.org, "Concurrency").
_CONFLICT = re.compile(
    r"^TransactionContext Error: (?:Catalog write-write conflict|Conflict|Transaction conflict)\b"
)
_PLACE = re.compile(r"\n\nLINE (?P<line>\d+): (?P<text>.*)\n(?P<indent> *)\^")
_FOUND = text(
    "SELECT 'table', schema_name, '', table_name FROM duckdb_tables() WHERE NOT temporary"
    " UNION ALL SELECT 'view', schema_name, '', view_name FROM duckdb_views() WHERE NOT temporary"
    " UNION ALL SELECT 'column', schema_name, table_name, column_name FROM duckdb_columns()"
    " UNION ALL SELECT 'index', schema_name, '', index_name FROM duckdb_indexes()"
    " UNION ALL SELECT 'sequence', schema_name, '', sequence_name FROM duckdb_sequences()"
    " UNION ALL SELECT 'schema', schema_name, '', schema_name FROM duckdb_schemas()"
)
_SHARED = ("table", "view")


class DuckDB(Dialect):
    """DuckDB 1.0 and later."""

    name: ClassVar[str] = "duckdb"
    product: str = "DuckDB"
    # Its parser is PostgreSQL's (duckdb.org, "SQL Introduction").
    rules: sql.Rules = replace(sql.POSTGRESQL, psql=False, block=None)
    table_style: ClassVar[TableStyle] = TableStyle(has_savepoints=False, ddl_in_savepoints=False, counts=True)
    has_transactional_ddl: bool | None = True
    lock_kind: ClassVar[str] = "of the file, by the one process that has it"
    duplicates_by: ClassVar[str] = "message"
    places_by: ClassVar[str] = "the caret of the message"
    tested: ClassVar[str] = "2.0"
    begin_sql: ClassVar[str] = "BEGIN TRANSACTION"

    @contextmanager
    def transaction(self, bind: Engine | Connection) -> Iterator[Connection]:
        """As everywhere; but inside one of the caller's there is none.

        Raises:
            ConfigError: The caller's connection is inside a transaction.
        """
        if not isinstance(bind, Engine) and bind.in_transaction():
            raise ConfigError(
                "DuckDB has no savepoints, and the given connection is inside a transaction",
                remedy="give fluxmig an Engine, or a Connection that is not in a transaction",
            )
        with super().transaction(bind) as connection:
            yield connection

    @contextmanager
    def autocommit(self, bind: Engine | Connection) -> Iterator[Connection]:
        """A connection whose transaction is ended behind SQLAlchemy's back: the driver has no such mode."""
        if isinstance(bind, Engine):
            with bind.connect() as connection, self.autocommit(connection):
                yield connection
            return
        with self.transaction(bind) as connection:
            connection.exec_driver_sql("COMMIT")
            try:
                yield connection
            finally:
                with suppress(DBAPIError):
                    connection.exec_driver_sql(self.begin_sql)  # for SQLAlchemy to end

    def loading(self, connection: Connection) -> Loading:
        """By lists of texts."""
        from fluxmig.dialects.duckdb_loading import DuckDBLoading  # noqa: PLC0415  # as that of the base

        return DuckDBLoading()

    def explain(self, error: DBAPIError, script: str = "") -> ServerError:
        """The first paragraph of the message, the exception's name, and the place of the caret."""
        said = str(error.orig)
        found, duplicate = _PLACE.search(said), _DUPLICATE.search(said)
        offset = None
        if found and not found["text"].startswith("..."):
            column = len(found["indent"]) - len(f"LINE {found['line']}: ")
            lines = script.splitlines(keepends=True)[: int(found["line"]) - 1]
            offset = len("".join(lines)) + column
        return ServerError(
            said.partition("\n\nLINE ")[0].strip(),
            type(error.orig).__name__,
            offset if offset is not None and 0 <= offset <= len(script) else None,
            object=duplicate["object"] if duplicate else None,
        )

    def is_duplicate(self, error: ServerError) -> bool:
        """By the message, for want of a code."""
        return error.code == "CatalogException" and _DUPLICATE.search(error.message) is not None

    def is_held_up(self, error: ServerError) -> bool:
        """By the message: another connection of the process has written the same."""
        return error.code == "TransactionException" and _CONFLICT.search(error.message) is not None

    def no_transaction_reason(self, words: Sequence[str]) -> str | None:
        """What one transaction cannot hold: it writes to one database alone."""
        return words[0] if words[:1] in {("ATTACH",), ("DETACH",), ("USE",)} else None

    def existing(self, connection: Connection, wanted: Sequence[Created]) -> Mapping[Created, Presence]:
        """By duckdb_tables() and its like; case tells no names apart (duckdb.org, "Case Sensitivity")."""
        if not wanted:
            return {}
        here = str(connection.scalar(text("SELECT current_schema()"))).lower()
        there = {tuple(str(part).lower() for part in row) for row in connection.execute(_FOUND)}

        def presence(each: Created) -> Presence | None:
            table, name = (each.table or "").lower(), each.name.lower()
            schema = ((each.table_schema if each.table else each.schema) or here).lower()
            place = ("", name) if each.kind in {"index", "schema"} else (table, name)
            if each.kind == "schema":
                schema = name
            if each.kind not in {*_SHARED, "column", "index", "sequence", "schema"}:
                return None
            is_there = (each.kind, schema, *place) in there
            kinds = _SHARED if each.kind in _SHARED else (each.kind,)
            taken = any((kind, schema, *place) in there for kind in kinds)
            return Presence(is_there=is_there, is_taken=taken, is_lasting=taken)

        return known(wanted, presence)
