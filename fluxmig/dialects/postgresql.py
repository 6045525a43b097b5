"""PostgreSQL, and what speaks its protocol. Section numbers are those of the manual of version 18."""

from __future__ import annotations

import hashlib
import re
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Engine, bindparam, func, select, text

from fluxmig import sql
from fluxmig.dialects import (
    postgresql_databases,
    postgresql_dump,
    postgresql_errors,
    postgresql_index,
    postgresql_ledger,
    postgresql_limits,
    postgresql_pooler,
    postgresql_session,
    postgresql_watch,
    psycopg_driver,
)
from fluxmig.dialects.base import (
    GIVEN,
    Dialect,
    Opening,
    UnsoundError,
    first_error,
    identifier,
    literal,
    send_as_is,
    shut_down,
)
from fluxmig.model import DatabaseInfo, Session
from fluxmig.script import messages, session_statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import ColumnElement, Connection, Table
    from sqlalchemy.exc import DBAPIError

    from fluxmig.catalog import Catalog
    from fluxmig.dialects.base import Heard, Onlooker, ServerError, Tables
    from fluxmig.dialects.loading import Loading
    from fluxmig.dialects.postgresql_session import SessionState
    from fluxmig.dialects.tracing import Tracer
    from fluxmig.errors import ConfigError
    from fluxmig.model import Limits, Script, Statement
    from fluxmig.objects import Created, Presence
    from fluxmig.trace import TableSize

__all__ = ["PostgreSQL"]

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
    "CREATE SUBSCRIPTION": r"CREATE SUBSCRIPTION\b(?!.* (?:CREATE_SLOT|CONNECT) = (?:FALSE|OFF|0)\b)",
    "DROP SUBSCRIPTION": r"DROP SUBSCRIPTION\b",
    "ALTER SUBSCRIPTION": r"ALTER SUBSCRIPTION .* (?:(?:REFRESH|SET|ADD|DROP) PUBLICATION"
    r"|SET \( .*\b(?:FAILOVER|TWO_PHASE))\b",
    "CLUSTER of all tables": rf"CLUSTER(?: VERBOSE|{_OPTIONS})$",
    "DISCARD ALL": r"DISCARD ALL\b",
    "COMMIT PREPARED": r"COMMIT PREPARED\b",
    "ROLLBACK PREPARED": r"ROLLBACK PREPARED\b",
}

_OUTSIDE_BY_VERB: dict[str, list[tuple[str, str]]] = {}
for _reason, _pattern in _OUTSIDE.items():
    _OUTSIDE_BY_VERB.setdefault(re.split("[^A-Z]", _pattern)[0], []).append((_reason, _pattern))

_COMMITS = re.compile(r"\b(?:COMMIT|ROLLBACK)\b", re.IGNORECASE)
_ATOMIC = frozenset(
    {"INSERT", "UPDATE", "DELETE", "MERGE", "SELECT", "WITH", "VALUES", "TABLE", "COPY", "TRUNCATE", "CREATE"}
    | {"ALTER", "DROP", "COMMENT", "GRANT", "REVOKE", "SECURITY", "REASSIGN", "IMPORT", "EXPLAIN", "EXECUTE"}
    | {"REFRESH", "ANALYZE", "NOTIFY", "CALL", "DO", "("}
)
"""Verbs whose statements can be in a transaction, but for those of the table above."""

_EXISTS = re.compile(rb"(?i)EXISTS")
_IF_NOT_EXISTS = re.compile(r"(?i)CREATE\b.*?\bINDEX\b.*?\bIF\b.*?\bNOT\b.*?\bEXISTS\b", re.DOTALL)
_LEDGER_SCHEMA = text(
    "SELECT coalesce((SELECT nspname FROM pg_catalog.pg_class"
    " JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE pg_class.oid = to_regclass(:name)), current_schema())"
)
_INFO = text(
    "SELECT current_setting('server_version'), current_database(), current_user, now()::text,"
    " (SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid())"
)
_ROLES = text("SELECT rolname FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_' ORDER BY 1")
_LOCK = "fluxmig: the lock"
"""Where a claim leaves the lock's number, in `Connection.info`."""
_BACKEND = "fluxmig: the server's process"
"""Likewise that of a session of its process."""
_SETTINGS = "fluxmig: what sets the time-outs and the watch"
"""In `Connection.info`, by limits: to find out what is less strict takes three times as long as to set it."""
_CANCEL_S = 2.0
"""How long a request to cancel may take."""
_HELD_UP = frozenset({"55P03", "40P01", "40001"})
"""Appendix A: lock_not_available, deadlock_detected, serialization_failure."""
_HOLDER = text(
    "SELECT pid, usename, application_name, coalesce(host(client_addr), 'local'), backend_start::text"  # noqa: S608
    " FROM pg_catalog.pg_locks JOIN pg_catalog.pg_stat_activity USING (pid)"
    f" WHERE {postgresql_watch.HELD.format(key=':key')}"
)


class PostgreSQL(Dialect):
    """PostgreSQL through psycopg 3; other drivers work, with less exact places in errors."""

    name: ClassVar[str] = "postgresql"
    product: str = "PostgreSQL"
    rules: sql.Rules = sql.POSTGRESQL
    duplicates: ClassVar[Mapping[str, str]] = {  # Appendix A, class 42
        "42P07": "duplicate_table",
        "42710": "duplicate_object",
        "42701": "duplicate_column",
        "42P06": "duplicate_schema",
        "42723": "duplicate_function",
        "42P16": "invalid_table_definition",
    }
    # Of a second primary key, for one (index.c, index_check_primary_key).
    doubtful_duplicates: ClassVar[frozenset[str]] = frozenset({"42P16"})
    current_user: ClassVar[ColumnElement[str] | None] = func.current_user()
    has_lock: ClassVar[bool] = True
    has_transactional_ddl: bool | None = True
    has_session_lock: ClassVar[bool] = True
    elapsed_ms_sql: ClassVar[str] = (  # 9.9.5; statement_timestamp() is when the message came
        "CAST(extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp()) * 1000"
        " AS pg_catalog.int4)"
    )
    # psql takes the encoding from the server; RESET ALL brings that back. A table whose constraints are still
    # to be checked cannot be dropped.
    reset_sql: ClassVar[str] = (
        "SET SESSION AUTHORIZATION DEFAULT;\nRESET ROLE;\nRESET ALL;\nSET client_encoding = 'UTF8';\n"
        "CLOSE ALL;\nDEALLOCATE ALL;\nUNLISTEN *;\nSET CONSTRAINTS ALL IMMEDIATE;\nDISCARD TEMP;\n"
    )
    owner_sql: ClassVar[str] = "SET LOCAL SESSION AUTHORIZATION DEFAULT;\nSET LOCAL ROLE NONE;\n"
    shell_head: ClassVar[str] = "\\set ON_ERROR_STOP on\nSET client_encoding = 'UTF8';\n"
    lock_kind: ClassVar[str] = "advisory"
    duplicates_by: ClassVar[str] = "SQLSTATE"
    places_by: ClassVar[str] = "the server"
    has_concurrent_index: ClassVar[bool] = True
    scratch: ClassVar[tuple[str, ...]] = ("embedded", "container", GIVEN)
    image: ClassVar[str] = "postgres"
    has_templates: ClassVar[bool] = True
    release_length: ClassVar[int] = 1
    async_driver: ClassVar[str] = "postgresql+psycopg"
    tested: ClassVar[str] = "15, 18"
    encoding_remedy: ClassVar[str] = (
        "files are UTF-8: take out what sets client_encoding, or end the URL with ?client_encoding=utf8"
    )

    # --- connections and transactions ---------------------------------------------------------------------

    @contextmanager
    def transaction(self, bind: Engine | Connection) -> Iterator[Connection]:
        """As everywhere, without the driver's prepared statements."""
        with super().transaction(bind) as connection, _unprepared(connection):
            yield connection

    @contextmanager
    def autocommit(self, bind: Engine | Connection) -> Iterator[Connection]:
        """Likewise."""
        with super().autocommit(bind) as connection, _unprepared(connection):
            yield connection

    @contextmanager
    def reading(self, bind: Engine | Connection) -> Iterator[Connection]:
        """A read-only transaction; a savepoint where the caller's connection is in a transaction already.

        Not by SQLAlchemy's `postgresql_readonly`: it leaves the pool's connection at READ WRITE afterwards,
        whatever default_transaction_read_only says.
        """
        nested = not isinstance(bind, Engine) and bind.in_transaction()
        with (
            first_error(bind.begin()) if isinstance(bind, Engine) else self.transaction(bind) as connection,
            _unprepared(connection),
        ):
            if not nested:
                begin = postgresql_watch.READ_ONLY
                connection.exec_driver_sql(begin if self.whole_file(connection) else begin.partition(";")[0])
            if _is_psycopg(connection):
                psycopg_driver.refuse_backslashes(connection)
            yield connection

    @contextmanager
    def reading_tables(
        self, bind: Engine | Connection, table: str, schema: str | None
    ) -> Iterator[tuple[Connection, Tables | None]]:
        """In one message with what begins the transaction, where the driver is psycopg."""
        if not isinstance(bind, Engine) or bind.dialect.driver != "psycopg" or bind.dialect.is_async:
            with super().reading_tables(bind, table, schema) as found:
                yield found
            return
        with first_error(bind.begin()) as connection, _unprepared(connection):
            psycopg_driver.refuse_backslashes(connection)
            ask = postgresql_ledger.tables_sql(table, schema)
            *_, row = psycopg_driver.run(connection, f"{postgresql_watch.BEGIN_READ_ONLY}; {ask}")
            yield connection, postgresql_ledger.tables(row)

    def meet_briefly(self, engine: Engine) -> None:
        """In one round trip and not in six, where the driver is psycopg."""
        if engine.dialect.driver == "psycopg" and not engine.dialect.is_async:
            psycopg_driver.meet_briefly(engine.dialect)

    def begin_again(self, connection: Connection) -> None:
        """By one command; 11 and older have none, and their next command fails as it would without."""
        if not connection.in_nested_transaction():
            connection.exec_driver_sql("ROLLBACK AND CHAIN")

    # --- running ------------------------------------------------------------------------------------------

    def is_in_transaction(self, connection: Connection) -> bool | None:
        """As the server said at the end of the last message (55.8, ReadyForQuery)."""
        return psycopg_driver.is_in_transaction(connection) if _is_psycopg(connection) else None

    def may_be_atomic(self, statement: str) -> bool:
        """By the verb; of CALL and DO, which may commit, that is to be found out."""
        words = sql.words(statement, self.rules, 64)
        if words[0] == "DO" and _COMMITS.search(statement):
            return False
        return words[0] in _ATOMIC and self.no_transaction_reason(words) is None

    def must_be_alone(self, error: ServerError) -> bool:
        """invalid_transaction_termination, active_sql_transaction."""
        return error.code in {"2D000", "25001"}

    def is_done(self, statement: str, error: ServerError) -> bool:
        """Also of a database that is there or gone, and of an index that is gone."""
        match sql.words(statement, self.rules, 1):
            case ("CREATE",):
                return self.is_duplicate(error) or error.code == "42P04"  # duplicate_database
            case ("DROP",):
                return error.code in {"42704", "3D000"}  # undefined_object, invalid_catalog_name
            case _:
                return False

    def whole_file(self, connection: Connection) -> bool:
        """Only drivers that use the simple query protocol where there are no parameters (54.2.2.1)."""
        return connection.dialect.driver in {"psycopg", "psycopg_async", "psycopg2"}

    def send(self, connection: Connection, script: str) -> None:
        """As everywhere; but errors tell how many statements were done before."""
        with psycopg_driver.counting(connection) if _is_psycopg(connection) else nullcontext():
            super().send(connection, script)

    def opening_at_once(
        self, connection: Connection, key: str, ledger: Table, name: str, limits: Limits
    ) -> Opening | None:
        """By psycopg alone, whose errors tell how far a message has come; not where backslashes escape."""
        if not psycopg_driver.can_begin(connection) or psycopg_driver.is_watched(connection):
            return None
        connection.info[_LOCK] = _number(key)
        known = connection.info.setdefault(_SETTINGS, {})
        row = f"SELECT FROM {identifier(ledger.schema, ledger.name)} WHERE migration_name = {literal(name)}"
        # Each with a snapshot of its own (54.2.2.1): the second one's is from when it has the lock.
        looks = f"SELECT EXISTS ({row}), {self.elapsed_ms_sql}"
        statements = ("BEGIN", _claiming(key), looks, *(known.get(limits) or [_asking(limits)]))
        return Opening("; ".join(statements), len(statements), limits)

    def send_at_once(
        self,
        connection: Connection,
        message: str,
        opening: Opening | None,
        meanwhile: Callable[[], None] | None = None,
    ) -> float | None:
        """By psycopg."""
        if opening is None:
            psycopg_driver.run(connection, message, 0, meanwhile)
            return None
        whole = f"{message}; {opening.text}" if message else opening.text
        rows = psycopg_driver.run(connection, whole, opening.statements, meanwhile)
        (is_mine,), (is_there, elapsed_ms), *settings = rows
        for each in settings:
            connection.info[_SETTINGS][opening.limits] = _setting(*each)
        return int(elapsed_ms) / 1000 if (is_mine, is_there) == ("t", "f") else None

    def can_send_at_once(self, connection: Connection) -> bool:
        """By psycopg, where the server has said that it takes what is written."""
        return psycopg_driver.can_begin(connection) and _told(connection) == ("off", "off")

    def trial_at_once(self, statement: str, limits: Limits) -> str:
        """In a transaction that is rolled back."""
        return f"BEGIN; SELECT {postgresql_limits.calls(limits, session=False)}; {statement}; ROLLBACK"

    def claim_at_once(
        self, connection: Connection, key: str, tables: Sequence[Table], limits: Limits
    ) -> bool:
        """By psycopg, and by to_regclass (9.27.5)."""
        names = (literal(identifier(table.schema, table.name)) for table in tables)
        absent = " AND ".join(f"pg_catalog.to_regclass({name}) IS NULL" for name in names)
        message = f"BEGIN; {_claiming(key)}; SELECT {absent}; {_asking(limits)}"
        is_mine, are_absent, settings = psycopg_driver.run(connection, message)
        connection.info.setdefault(_SETTINGS, {})[limits] = _setting(*settings)
        return (is_mine, are_absent) == (["t"], ["t"])

    def copy(self, connection: Connection, statement: str, rows: memoryview) -> None:
        """By psycopg's copy (54.2.6)."""
        if not _is_psycopg(connection):
            raise UnsoundError(
                f"the driver {connection.dialect.driver} cannot stream the rows of a COPY",
                "take postgresql+psycopg:// for the URL",
            )
        psycopg_driver.copy(connection, statement, rows)

    def loading(self, connection: Connection) -> Loading:
        """By COPY, where the driver has it."""
        from fluxmig.dialects.postgresql_loading import (  # noqa: PLC0415  # as that of the base
            CopyLoading,
            PostgreSQLLoading,
        )

        return CopyLoading() if _is_psycopg(connection) else PostgreSQLLoading()

    def listening(
        self, connection: Connection, hear: Callable[[Heard], None]
    ) -> AbstractContextManager[None]:
        """NoticeResponse (54.7) as it comes."""
        return psycopg_driver.listening(connection, hear) if _is_psycopg(connection) else nullcontext()

    def no_transaction_reason(self, words: Sequence[str]) -> str | None:
        """By the table above."""
        patterns = _OUTSIDE_BY_VERB.get(words[0])
        if patterns is None:
            return None
        opening = " ".join(words)
        return next((reason for reason, pattern in patterns if re.match(pattern, opening)), None)

    def may_change_session(self, script: Script) -> bool:
        """By the words that such SQL cannot do without, wherever they stand: in a DO block, too."""
        return postgresql_session.may_change(script.source)

    def session_state(self, connection: Connection, script: Script) -> SessionState:
        """The role, settings, and what is temporary."""
        source = "\n".join(statement.sql for statement in session_statements(script))
        return postgresql_session.state(connection, source.encode())

    def restore_session(self, connection: Connection, state: SessionState) -> None:
        """The role first, then all that is new."""
        postgresql_session.restore(connection, state)

    @contextmanager
    def acting_as(self, connection: Connection, state: SessionState | None) -> Iterator[None]:
        """By SET LOCAL, and back again, for what comes of the transaction at its end."""
        with postgresql_session.acting_as(connection, state) if state else nullcontext():
            yield

    def repeatable(self, statement: str) -> bool | None:
        """SET and its like; None for temporary tables and the like."""
        return postgresql_session.repeatable(statement)

    def leaves_traces(self, script: Script) -> bool:
        """Whether a statement sets, prepares or makes something that lives with the session."""
        return any(postgresql_session.outlives(statement.sql) for statement in session_statements(script))

    # --- locks --------------------------------------------------------------------------------------------

    def claim(self, connection: Connection, key: str) -> bool:
        """A transaction-level advisory lock (9.28.10): safe behind poolers, gone with the transaction."""
        connection.info[_LOCK] = _number(key)
        return postgresql_watch.claim(connection, _number(key))

    def claim_session(self, connection: Connection, key: str) -> bool:
        """A session-level advisory lock, never waited for.

        A waiter would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for those in turn: a deadlock.
        """
        connection.info[_LOCK] = _number(key)
        claim = {"key": _number(key)}
        is_mine, connection.info[_BACKEND] = connection.execute(postgresql_pooler.CLAIM_SESSION, claim).one()
        if is_mine:
            postgresql_watch.watch(connection)
        return bool(is_mine)

    def is_pooled(self, connection: Connection) -> bool:
        """Whether another process answers than the one that the handshake told of."""
        return postgresql_pooler.is_pooled(connection)

    def holds_session(self, connection: Connection, key: str) -> bool:
        """As the server's own list of locks says."""
        return postgresql_pooler.holds(connection, _number(key))

    def release_session(self, connection: Connection, key: str) -> None:
        """Gives the session-level lock back, wherever a pooler has it."""
        postgresql_pooler.release(connection, _number(key), taken_by=connection.info.get(_BACKEND))
        postgresql_watch.unwatch(connection)

    def why_shared(self, bind: Engine | Connection) -> str | None:
        """By the processes of the server that answer."""
        with self.autocommit(bind) as connection:
            return postgresql_pooler.why_shared(connection)

    def claim_sql(self, key: str, *, session: bool) -> str:
        """In a DO block, since psql could not tell a false from a true."""
        level = "" if session else "xact_"
        return (
            f"DO $$ BEGIN IF NOT pg_catalog.pg_try_advisory_{level}lock({_number(key)}) THEN"
            " RAISE EXCEPTION 'another runner holds the lock'; END IF; END $$;\n"
        )

    def release_sql(self, key: str) -> str:
        """In a DO block, since psql would show what a SELECT returns."""
        return f"DO $$ BEGIN PERFORM pg_catalog.pg_advisory_unlock({_number(key)}); END $$;\n"

    def lock_holder(self, connection: Connection, key: str) -> Session | None:
        """The holder's process, user, application, host and start."""
        row = connection.execute(_HOLDER, {"key": _number(key)}).first()
        return Session(*row) if row else None

    # --- time-outs ----------------------------------------------------------------------------------------

    def limit(self, connection: Connection, limits: Limits) -> None:
        """SET LOCAL lock_timeout and statement_timeout (19.11.1)."""
        postgresql_limits.limit(connection, limits, session=False)

    @contextmanager
    def limited(self, connection: Connection, limits: Limits, *, session: bool) -> Iterator[None]:
        """Likewise, or SET, and back again."""
        with postgresql_limits.limited(connection, limits, session=session):
            yield

    def limit_sql(self, limits: Limits, *, session: bool) -> str:
        """By a query, since the default depends on what the session has."""
        return postgresql_limits.by_hand(limits, session=session)

    def is_held_up(self, error: ServerError) -> bool:
        """By the code: a lock not had in time, a deadlock, a transaction that cannot be serialized."""
        return error.code in _HELD_UP

    def cancel(self, driver: Any, engine: Engine) -> None:
        """By a request to cancel (54.2.8), on a connection of its own."""
        if cancel := getattr(driver, "cancel_safe", None):
            cancel(timeout=_CANCEL_S)

    def sever(self, driver: Any) -> None:
        """By psycopg's socket."""
        if descriptor := getattr(driver, "fileno", None):
            shut_down(descriptor())

    def onlooker(self, connection: Connection) -> Onlooker | None:
        """By pg_blocking_pids (9.27.2), in a second session of psycopg's."""
        lock = connection.info.get(_LOCK)
        if lock is None or not _is_psycopg(connection):
            return None
        return psycopg_driver.onlooker(connection, lock)

    # --- errors -------------------------------------------------------------------------------------------

    def is_lost(self, error: DBAPIError) -> bool:
        """Also where there was none."""
        return postgresql_errors.is_lost(error)

    def ends_session(self, error: ServerError) -> bool:
        """Two time-outs, which end the session and not the statement."""
        return error.code in postgresql_errors.ENDS_SESSION

    def trouble(self, error: ServerError) -> str | None:
        """By code."""
        return postgresql_errors.trouble(error)

    def explain(self, error: DBAPIError, script: str = "") -> ServerError:
        """Also the row of a COPY."""
        server = postgresql_errors.of(error)
        return replace(server, row=_row(server.context, script)) if server.context else server

    def broken_duplicate(self, connection: Connection, statement: str) -> str | None:
        """An index that a failed CREATE INDEX CONCURRENTLY left behind is there, but does not work."""
        name = postgresql_index.invalid_index(connection, statement)
        if name is None:
            return None
        index = identifier(name)
        return (
            f"the index {index} is there, but invalid: an earlier CREATE INDEX CONCURRENTLY failed;"
            f" DROP INDEX {index}, and run again"
        )

    @contextmanager
    def guarded(
        self, connection: Connection, statement: str, tell: Callable[[str], None], *, again: bool
    ) -> Iterator[None]:
        """Around a concurrent index build."""
        with (
            postgresql_limits.waiting_for_others(connection, statement),
            postgresql_index.guarded(connection, statement, tell, again=again),
        ):
            yield

    def to_check(self, script: Script) -> Iterator[Statement]:
        """What makes an index IF NOT EXISTS."""
        source = script.source
        parts = (part for part in messages(script, len(source)) if not part.rows)  # there may be many
        if not any(_EXISTS.search(source, part.start, part.end) for part in parts):
            return
        for statement in session_statements(script):
            if _IF_NOT_EXISTS.match(statement.sql):
                yield statement

    def check(self, connection: Connection, script: Script) -> tuple[Statement, UnsoundError] | None:
        """An index that IF NOT EXISTS took for there, and that is invalid."""
        for statement in self.to_check(script):
            if reason := self.broken_duplicate(connection, statement.sql):
                return statement, UnsoundError("IF NOT EXISTS met an index that is not valid", reason)
        return None

    def remedy(self, error: ServerError) -> str | None:
        """For what a directive or a setting mends, and for a server in trouble."""
        return postgresql_errors.remedy(error)

    def way_out(self, error: ServerError) -> str | None:
        """For a missing privilege or schema, for what cannot be written, and for a pooler's refusal."""
        return postgresql_errors.way_out(error)

    def existing(self, connection: Connection, wanted: Sequence[Created]) -> Mapping[Created, Presence]:
        """By the catalog, in one query."""
        from fluxmig.dialects import existing  # noqa: PLC0415  # most runs do not ask

        return existing.postgresql(connection, wanted)

    def structure(
        self,
        connection: Connection,
        tables: Sequence[Table],
        programs: Callable[[str], Iterable[Path]],
        environ: Mapping[str, str],
    ) -> list[bytes]:
        """By pg_dump, and the rows along."""
        return postgresql_dump.structure(connection, tables, programs("pg_dump"), environ)

    def roles(self, connection: Connection) -> tuple[str, ...]:
        """All but those that every server has."""
        return tuple(connection.scalars(_ROLES))

    def create_role(self, connection: Connection, name: str) -> None:
        """By SQL."""
        send_as_is(connection, f"CREATE ROLE {identifier(name)}")

    def sizes(self, connection: Connection) -> Mapping[str, TableSize]:
        """As VACUUM or ANALYZE has counted last."""
        from fluxmig.dialects import postgresql_trace  # noqa: PLC0415

        return postgresql_trace.sizes(connection)

    def tracer(self, own: frozenset[str]) -> Tracer:
        """With the locks, and what was rewritten, built and scanned."""
        from fluxmig.dialects.postgresql_trace import PostgreSQLTracer  # noqa: PLC0415

        return PostgreSQLTracer(self, own)

    def catalog(self, connection: Connection, without: frozenset[str] = frozenset()) -> Catalog | None:
        """By the catalog, in one query."""
        from fluxmig.dialects import postgresql_catalog  # noqa: PLC0415

        return postgresql_catalog.snapshot(connection, without)

    # --- databases ----------------------------------------------------------------------------------------

    def create_database(self, connection: Connection, name: str, template: str | None = None) -> None:
        """By what is the fastest way of the server."""
        postgresql_databases.create(connection, name, template)

    def drop_database(self, connection: Connection, name: str) -> None:
        """Whoever is in it."""
        postgresql_databases.drop(connection, name)

    def rename_database(self, connection: Connection, old: str, new: str) -> None:
        """By ALTER DATABASE."""
        postgresql_databases.rename(connection, old, new)

    def database_names(self, connection: Connection, prefix: str) -> Mapping[str, str | None]:
        """With their comments."""
        return postgresql_databases.names(connection, prefix)

    def note_database(self, connection: Connection, name: str, words: str) -> None:
        """As a comment."""
        postgresql_databases.note(connection, name, words)

    def claim_name(self, connection: Connection, key: str, *, shared: bool, wait: bool) -> bool:
        """An advisory lock, of the database that one is connected to."""
        return postgresql_databases.claim(connection, key, shared=shared, wait=wait)

    # --- facts --------------------------------------------------------------------------------------------

    def read_only(self, connection: Connection) -> ConfigError | None:
        """A standby, or default_transaction_read_only."""
        told = _told(connection) if _is_psycopg(connection) else (None, None)
        return postgresql_errors.read_only(connection, told)

    def ledger_schema(self, connection: Connection, table: str) -> str | None:
        """Where the search path finds the ledger, as it does for the Node runner; else its first schema."""
        schema: str | None = connection.scalar(_LEDGER_SCHEMA, {"name": identifier(table)})
        return schema

    def info(self, connection: Connection, schema: str | None) -> DatabaseInfo:
        """As the server tells it, in one query."""
        version, database, user, time, ssl = connection.execute(_INFO).one()
        driver = f"{connection.dialect.name}+{connection.dialect.driver}"
        return DatabaseInfo(driver, self.product, version, database, user, time, ssl, schema)

    def may_create(self, connection: Connection, schema: str | None) -> bool | None:
        """has_schema_privilege (9.27.2); None where there is no such schema."""
        exists = select(func.to_regnamespace(bindparam("quoted")))
        name = identifier(schema)
        if not name or connection.scalar(exists, {"quoted": name}) is None:
            return None
        return bool(connection.scalar(select(func.has_schema_privilege(schema, "CREATE"))))

    def may_read(self, connection: Connection, table: Table) -> bool:
        """has_table_privilege."""
        name = identifier(table.schema, table.name)
        return bool(connection.scalar(select(func.has_table_privilege(name, "SELECT"))))

    def may_write(self, connection: Connection, table: Table) -> bool | None:
        """has_table_privilege, for each of what a ledger needs."""
        name = identifier(table.schema, table.name)
        needed = ("SELECT", "INSERT", "DELETE")
        checks = select(*(func.has_table_privilege(name, privilege) for privilege in needed))
        return all(connection.execute(checks).one())


@cache
def _number(key: str) -> int:
    """The key as a signed bigint."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)


def _claiming(key: str) -> str:
    """What asks for the lock of a transaction."""
    return f"SELECT pg_catalog.pg_try_advisory_xact_lock({_number(key)})"


def _asking(limits: Limits) -> str:
    """What sets the time-outs and the watch of a transaction, as far as what is there is less strict."""
    return f"SELECT ({postgresql_watch.GIVEN_SQL}), {postgresql_limits.calls(limits, session=False)}"


def _setting(given: str, *times: str) -> list[str]:
    """What does the same without asking, by the answer."""
    found = zip(postgresql_limits.NAMES, times, strict=False)
    timeouts = [f"SET LOCAL {what} = '{time}'" for what, time in found]
    return timeouts + (given.split("; ") if given else [])


def _unprepared(connection: Connection) -> AbstractContextManager[None]:
    return psycopg_driver.unprepared(connection) if _is_psycopg(connection) else nullcontext()


def _told(connection: Connection) -> tuple[str | None, ...]:
    """What the server has said, if it says so (14 and later): whether it is a standby, or only to be read."""
    return psycopg_driver.reported(connection, "in_hot_standby", "default_transaction_read_only")


def _is_psycopg(connection: Connection) -> bool:
    return connection.dialect.driver in {"psycopg", "psycopg_async"}


def _row(context: str | None, statement: str) -> int | None:
    """The line of a COPY's rows that the CONTEXT tells, "COPY users, line 3, column id", in any language."""
    tokens = sql.tokens(statement, sql.POSTGRESQL, 8) if context else []
    if not context or tokens[:1] == [] or tokens[0].upper() != "COPY":
        return None
    place = 1
    while tokens[place + 1 : place + 2] == ["."]:
        place += 2
    name = sql.unquoted(tokens[place]) or ""
    found = re.search(rf"^(?:COPY )?{re.escape(name)}\D+(\d+)", context, re.MULTILINE)
    return int(found[1]) if found else None
