"""What a database holds, without its rows but for those of the ledger and the log, made again in another."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import MetaData, Table, func, insert, inspect, select
from sqlalchemy.schema import CreateSchema

from fluxmig import embedded, script
from fluxmig.dialects import dialect_of
from fluxmig.errors import ConfigError
from fluxmig.model import FileProblem
from fluxmig.sending import RefusedError, send_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from sqlalchemy import Connection, Engine

    from fluxmig.dialects import Dialect

__all__ = ["copy", "make_schema", "refuse_other_database"]

_WAY_OUT = "--on names another server, container:IMAGE with what it needs, say; or leave --from-url out"


def copy(
    target: Engine,
    scratch: Engine,
    names: Iterable[str],
    schema: str | None,
    *,
    environ: Mapping[str, str],
    postgres_bin: Path | None = None,
) -> int:
    """Makes in one database what another one holds; how many records its ledger has. Only reads the other.

    Args:
        target: The other.
        scratch: The one, which is empty.
        names: The ledger's and the log's.
        schema: Theirs, where that is given.
        environ: The environment, for programs.
        postgres_bin: The folder of PostgreSQL's programs.

    Raises:
        ConfigError: The structure cannot be read here, or cannot be made there.
        DatabaseConnectionError: It may not be read.
    """
    dialect = dialect_of(target)
    with dialect.reading(target) as connection:
        dialect = dialect.met(connection)
        tables = _tables(connection, dialect, names, schema)
        find = partial(embedded.programs, override=postgres_bin)
        sources = dialect.structure(connection, tables, find, environ)
        rows = {table: connection.execute(select(table)).mappings().all() for table in tables}
    try:
        with dialect.transaction(scratch) as connection:
            for source in sources:
                _make(dialect, connection, source)
            for table, found in rows.items():
                _fill(connection, dialect, table, [dict(row) for row in found])
    finally:
        scratch.dispose()  # a dump sets its session's search path
    return len(rows[tables[0]]) if tables else 0


def make_schema(engine: Engine, name: str) -> None:
    """Makes the ledger's schema, which a run expects to be there. Writes; raises as the next one."""
    refuse_other_database(engine, name)
    with dialect_of(engine).transaction(engine) as connection:
        connection.execute(CreateSchema(name, if_not_exists=True))


def refuse_other_database(engine: Engine, schema: str | None) -> None:
    """Raises `ConfigError` where a schema, if there is one, would be a database of its own."""
    if schema and dialect_of(engine).schemas_are_databases:
        raise ConfigError(
            f"the schema {schema} would be another database of the server, which a rehearsal must not touch",
            remedy="leave --schema out",
        )


def _tables(
    connection: Connection, dialect: Dialect, names: Iterable[str], schema: str | None
) -> list[Table]:
    """Those of the ledger and the log that are there, as they are."""
    found = []
    for name in names:
        place = schema or dialect.ledger_schema(connection, name)
        if inspect(connection).has_table(name, schema=place):
            found.append(Table(name, MetaData(), schema=place, autoload_with=connection))
    return found


def _make(dialect: Dialect, connection: Connection, source: bytes) -> None:
    given = ("the structure", Path("structure.sql"), hashlib.sha256(source).hexdigest(), source)
    made = script.prepare(*given, dialect.rules, dialect.no_transaction_reason)
    if isinstance(made, FileProblem):
        raise ConfigError(f"the structure of the target cannot be read: {made.message}", remedy=_WAY_OUT)
    try:
        send_script(dialect, connection, made)
    except RefusedError as refused:
        why = refused.failure
        statement = f", by {why.statement.first_line}" if why.statement else ""
        raise ConfigError(
            f"the structure of the target cannot be made on the scratch database: {why.message}{statement}",
            remedy=_WAY_OUT,
        ) from refused.__cause__


def _fill(connection: Connection, dialect: Dialect, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Adds the rows, unless they came with the structure."""
    if dialect.schemas_are_databases:  # the other one's is not to be touched
        table = Table(table.name, MetaData(), autoload_with=connection)
    if rows and not connection.scalar(select(func.count()).select_from(table)):
        connection.execute(insert(table), rows)
