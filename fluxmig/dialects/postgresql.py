"""PostgreSQL, and what speaks its protocol. Section numbers are those of the manual of version 18."""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Engine, bindparam, func, select, text

from fluxmig import sql
from fluxmig.dialects.base import Dialect, ServerError, quoted
from fluxmig.model import DatabaseInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Table
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.sql.functions import FunctionElement

    from fluxmig.model import Script

__all__ = ["PostgreSQL"]

_WAYS_OUT = {
    "42501": "`fluxmig verify` lists the privileges that are missing",
    "3F000": "CREATE SCHEMA first, or choose another with --schema",
    "25006": "the server, or the login's default_transaction_read_only, admits no writing",
}

# What the manual's reference pages say "cannot be executed inside a transaction block" of. The patterns meet
# the statement's words in upper case with one space between; of a quoted name only a quotation mark is left.
_OPTIONS = r"(?: \( [^)]*\))?"
_OUTSIDE = {
    "VACUUM": r"VACUUM\b",
    "CREATE DATABASE": r"CREATE DATABASE\b",
    "DROP DATABASE": r"DROP DATABASE\b",
    "CREATE TABLESPACE": r"CREATE TABLESPACE\b",
    "DROP TABLESPACE": r"DROP TABLESPACE\b",
    "ALTER DATABASE ... SET TABLESPACE": r"ALTER DATABASE .* SET TABLESPACE\b",
    "ALTER SYSTEM": r"ALTER SYSTEM\b",
    "CREATE INDEX CONCURRENTLY": r"CREATE (?:UNIQUE )?INDEX CONCURRENTLY\b",
    "DROP INDEX CONCURRENTLY": r"DROP INDEX CONCURRENTLY\b",
    "REINDEX CONCURRENTLY": rf"REINDEX(?: \( [^)]*\bCONCURRENTLY\b|{_OPTIONS} [A-Z]+ CONCURRENTLY\b)",
    "REINDEX DATABASE": rf"REINDEX{_OPTIONS} DATABASE\b",
    "REINDEX SYSTEM": rf"REINDEX{_OPTIONS} SYSTEM\b",
    "REINDEX SCHEMA": rf"REINDEX{_OPTIONS} SCHEMA\b",
    "DETACH PARTITION CONCURRENTLY": r"ALTER TABLE .* DETACH PARTITION .* CONCURRENTLY$",
    "CREATE SUBSCRIPTION": r"CREATE SUBSCRIPTION\b",
    "DROP SUBSCRIPTION": r"DROP SUBSCRIPTION\b",
    "ALTER SUBSCRIPTION": r"ALTER SUBSCRIPTION .* (?:REFRESH|SET|ADD|DROP) PUBLICATION\b",
    "CLUSTER of all tables": rf"CLUSTER(?: VERBOSE|{_OPTIONS})$",
    "DISCARD ALL": r"DISCARD ALL\b",
    "COMMIT PREPARED": r"COMMIT PREPARED\b",
    "ROLLBACK PREPARED": r"ROLLBACK PREPARED\b",
}

# One of these words is in every statement that `_outlives` knows.
_TRACES = re.compile(
    r"\b(?:SET|RESET|PREPARE|LISTEN|LOAD|DISCARD|TEMP|TEMPORARY|LOCAL|GLOBAL|SET_CONFIG)\b", re.IGNORECASE
)

_INVALID_INDEX = text(
    "SELECT 1 FROM pg_catalog.pg_index JOIN pg_catalog.pg_class ON pg_class.oid = indexrelid"
    " WHERE relname = :name AND NOT indisvalid"
)
# A transaction's own characteristics end with it, and cannot be reset.
_SESSION = text(
    "SELECT 0 AS place, 'session_authorization' AS name, session_user::text AS value"
    " UNION ALL SELECT 1, 'role', current_setting('role')"
    " UNION ALL SELECT 2, name, setting FROM pg_catalog.pg_settings"
    " WHERE source = 'session' AND name NOT LIKE 'transaction%' ORDER BY place"
)
_LEDGER_SCHEMA = text(
    "SELECT coalesce((SELECT nspname FROM pg_catalog.pg_class"
    " JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE pg_class.oid = to_regclass(:name)), current_schema())"
)
_INFO = text(
    "SELECT current_setting('server_version'), current_database(), current_user, now()::text,"
    " (SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid())"
)
# classid and objid hold the key's halves (52.12 pg_locks); objsubid 1 says that it is one bigint.
_HOLDER = text(
    "SELECT pid, usename, application_name, coalesce(host(client_addr), 'local'), backend_start::text"
    " FROM pg_catalog.pg_locks JOIN pg_catalog.pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND pg_locks.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
    " AND (classid::bigint << 32) | objid::bigint = :key"
)


class PostgreSQL(Dialect):
    """PostgreSQL through psycopg 3; other drivers work, with less exact places in errors."""

    name: ClassVar[str] = "postgresql"
    product: ClassVar[str] = "PostgreSQL"
    rules: ClassVar[sql.Rules] = sql.POSTGRESQL
    duplicates: ClassVar[Mapping[str, str]] = {  # Appendix A, class 42
        "42P07": "duplicate_table",
        "42710": "duplicate_object",
        "42701": "duplicate_column",
        "42P06": "duplicate_schema",
        "42723": "duplicate_function",
    }
    current_user: ClassVar[FunctionElement[str] | None] = func.current_user()

    # --- connections and transactions ---------------------------------------------------------------------

    @contextmanager
    def reading(self, bind: Engine | Connection) -> Iterator[Connection]:
        """A read-only transaction; a savepoint where the caller's connection is in a transaction already.

        Not by SQLAlchemy's `postgresql_readonly`: it leaves the pool's connection at READ WRITE afterwards,
        whatever default_transaction_read_only says.
        """
        nested = not isinstance(bind, Engine) and bind.in_transaction()
        with bind.begin() if isinstance(bind, Engine) else self.transaction(bind) as connection:
            if not nested:
                connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            yield connection

    # --- running ------------------------------------------------------------------------------------------

    def whole_file(self, connection: Connection) -> bool:
        """Only drivers that use the simple query protocol where there are no parameters (54.2.2.1)."""
        return connection.dialect.driver in {"psycopg", "psycopg_async", "psycopg2"}

    def send(self, connection: Connection, script: str) -> None:
        """As everywhere; but errors tell how many statements were done before."""
        counting = connection.dialect.driver in {"psycopg", "psycopg_async"}
        with _counting(connection) if counting else nullcontext():
            super().send(connection, script)

    def no_transaction_reason(self, words: Sequence[str]) -> str | None:
        """By the table above."""
        opening = " ".join(words)
        return next((reason for reason, pattern in _OUTSIDE.items() if re.match(pattern, opening)), None)

    def may_change_session(self, script: Script) -> bool:
        """By the words that such SQL cannot do without, wherever they stand: in a DO block, too."""
        return _TRACES.search(script.sql) is not None

    def session_state(self, connection: Connection) -> Mapping[str, str]:
        """The role, and every setting that was made in this session."""
        return {name: value for _, name, value in connection.execute(_SESSION)}

    def restore_session(self, connection: Connection, state: Mapping[str, str]) -> None:
        """Sets back what differs from the state, the role first."""
        now = self.session_state(connection)
        for name, value in state.items():
            if now.get(name) != value:
                connection.execute(select(func.set_config(name, value, False)))
        for name in now.keys() - state.keys():
            connection.exec_driver_sql(f"RESET {_quoted(*name.split('.'))}")

    def leaves_traces(self, script: Script) -> bool:
        """Whether a statement sets, prepares or makes something that lives with the session."""
        return self.may_change_session(script) and any(
            _outlives(statement.sql) for statement in script.statements
        )

    # --- locks --------------------------------------------------------------------------------------------

    def claim(self, connection: Connection, key: str) -> bool:
        """A transaction-level advisory lock (9.28.10): safe behind poolers, gone with the transaction."""
        return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(_number(key)))))

    def claim_session(self, connection: Connection, key: str) -> bool:
        """A session-level advisory lock, never waited for.

        A waiter would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for those in turn: a deadlock.
        """
        return bool(connection.scalar(select(func.pg_try_advisory_lock(_number(key)))))

    def release_session(self, connection: Connection, key: str) -> None:
        """Gives the session-level lock back."""
        connection.scalar(select(func.pg_advisory_unlock(_number(key))))

    def lock_holder(self, connection: Connection, key: str) -> str | None:
        """The holder's process, user, application, host and start."""
        row = connection.execute(_HOLDER, {"key": _number(key)}).first()
        if row is None:
            return None
        pid, user, application, host, since = row
        name = application or "(unnamed)"
        return f"process {pid}, user {user}, application {name}, host {host}, connected since {since}"

    # --- errors -------------------------------------------------------------------------------------------

    def explain(self, error: DBAPIError, script: str = "") -> ServerError:
        """The fields of the ErrorResponse (54.8), as the driver kept them."""
        original = error.orig
        diagnostic: Any = getattr(original, "diag", None)
        code = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
        message = getattr(diagnostic, "message_primary", None)
        if message is None:
            return ServerError(str(original).strip(), code)
        position = diagnostic.statement_position
        return ServerError(
            message=message,
            code=code,
            offset=int(position) - 1 if position else None,
            completed=getattr(original, "completed", None),
            object=quoted(message),
            detail=diagnostic.message_detail,
            hint=diagnostic.message_hint,
            context=diagnostic.context,
        )

    def broken_duplicate(self, connection: Connection, error: ServerError) -> str | None:
        """An index that a failed CREATE INDEX CONCURRENTLY left behind is there, but does not work."""
        if connection.execute(_INVALID_INDEX, {"name": error.object}).first() is None:
            return None
        return (
            f'the index "{error.object}" is there, but invalid: an earlier CREATE INDEX CONCURRENTLY failed;'
            f' DROP INDEX CONCURRENTLY "{error.object}" and run again'
        )

    def way_out(self, error: ServerError) -> str | None:
        """For insufficient_privilege, invalid_schema_name and read_only_sql_transaction."""
        return _WAYS_OUT.get(error.code or "")

    # --- facts --------------------------------------------------------------------------------------------

    def ledger_schema(self, connection: Connection, table: str) -> str | None:
        """Where the search path finds the ledger, as it does for the Node runner; else its first schema."""
        schema: str | None = connection.scalar(_LEDGER_SCHEMA, {"name": _quoted(table)})
        return schema

    def info(self, connection: Connection, schema: str | None) -> DatabaseInfo:
        """As the server tells it, in one query."""
        version, database, user, time, ssl = connection.execute(_INFO).one()
        driver = f"{connection.dialect.name}+{connection.dialect.driver}"
        return DatabaseInfo(driver, self.product, version, database, user, time, ssl, schema)

    def may_create(self, connection: Connection, schema: str | None) -> bool | None:
        """has_schema_privilege (9.27.2); None where there is no such schema."""
        exists = select(func.to_regnamespace(bindparam("quoted")))
        name = _quoted(schema)
        if not name or connection.scalar(exists, {"quoted": name}) is None:
            return None
        return bool(connection.scalar(select(func.has_schema_privilege(schema, "CREATE"))))

    def may_read(self, connection: Connection, table: Table) -> bool:
        """has_table_privilege."""
        name = _quoted(table.schema, table.name)
        return bool(connection.scalar(select(func.has_table_privilege(name, "SELECT"))))

    def may_write(self, connection: Connection, table: Table) -> bool | None:
        """has_table_privilege, for each of what a ledger needs."""
        name = _quoted(table.schema, table.name)
        needed = ("SELECT", "INSERT", "DELETE")
        checks = select(*(func.has_table_privilege(name, privilege) for privilege in needed))
        return all(connection.execute(checks).one())


def _quoted(*names: str | None) -> str:
    """The names as SQL writes them. Not by SQLAlchemy, which doubles percent signs for a driver's sake."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names if name)


def _number(key: str) -> int:
    """The key as a signed bigint."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)


@contextmanager
def _counting(connection: Connection) -> Iterator[None]:
    """Has psycopg say, in an error's `completed`, how many statements of the message were done before it.

    libpq hands out one result a statement, the error last. psycopg checks them in `Cursor._check_results`
    and keeps only the error, so that method is where they are counted. It is no public name: were it gone,
    errors without a position would no longer name their statement, and nothing else would change.
    """
    driver: Any = connection.connection.driver_connection
    factory = driver.cursor_factory

    class Counting(factory):  # type: ignore[misc, valid-type]
        def _check_results(self, results: Sequence[object]) -> None:
            try:
                super()._check_results(results)
            except Exception as error:
                error.completed = len(results) - 1  # type: ignore[attr-defined]
                raise

    driver.cursor_factory = Counting
    try:
        yield
    finally:
        driver.cursor_factory = factory


def _outlives(statement: str) -> bool:
    match sql.words(statement, sql.POSTGRESQL, 3):
        case ("SET", "LOCAL" | "CONSTRAINTS" | "TRANSACTION", *_):
            return False
        case ("SET" | "RESET" | "PREPARE" | "LISTEN" | "LOAD" | "DISCARD", *_):
            return True
        case ("CREATE", "TEMP" | "TEMPORARY" | "LOCAL" | "GLOBAL", *_):
            return True
        case ("SELECT", *_):
            return "set_config" in statement.lower()
        case _:
            return False
