"""SQLite through the standard library's driver."""

from __future__ import annotations

import math
import os
import re
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Engine, event, func, select, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from fluxmig import sql
from fluxmig.dialects import existing, sqlite_catalog, sqlite_session
from fluxmig.dialects.base import Dialect, ServerError, UnsoundError
from fluxmig.errors import ConfigError
from fluxmig.model import DatabaseInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Table
    from sqlalchemy.exc import DBAPIError

    from fluxmig.catalog import Catalog
    from fluxmig.dialects.loading import Loading
    from fluxmig.dialects.sqlite_session import SessionState, Violation
    from fluxmig.model import Limits, Script, Session, Statement
    from fluxmig.objects import Created, Presence

__all__ = ["SQLite"]

# One code, SQLITE_ERROR, for all of these; the messages stand in SQLite's build.c, trigger.c and alter.c.
_DUPLICATE = re.compile(
    r"(?:table|index|view|trigger) (?P<object>.+) already exists$"
    r"|there is already an? (?:table|index|view) named (?P<named>.+)$"
    r"|duplicate column name: (?P<column>.+)$"
)
_ATOMIC = frozenset(
    {"ALTER", "ANALYZE", "CREATE", "DELETE", "DROP", "INSERT"}
    | {"REINDEX", "REPLACE", "SELECT", "UPDATE", "VALUES", "WITH"}
)
# Of these the value, and not the question; and what copies pages.
_CHECKPOINT = "WAL_CHECKPOINT"
_OUTSIDE = frozenset({"JOURNAL_MODE", "SYNCHRONOUS", _CHECKPOINT})
_CODES = {
    "SQLITE_BUSY": "database is locked",
    "SQLITE_LOCKED": "database table is locked",
    "SQLITE_READONLY": "attempt to write a readonly database",
    "SQLITE_CANTOPEN": "unable to open database file",
    "SQLITE_NOTADB": "file is not a database",
}
_WAYS_OUT = {
    "SQLITE_READONLY": "make the file and its folder writable",
    "SQLITE_NOTADB": "is it another file, or encrypted with another passphrase?",
    "SQLITE_BUSY": "another process is writing: try again when it has ended",
    "SQLITE_LOCKED": "another connection is writing: try again when it has ended",
}
_TROUBLES = {
    "SQLITE_FULL": "there is no room on the disk of the file: make some, and run again",
    "SQLITE_IOERR": "look at the disk of the file, its room and its limits, and run again",
}
_KEYS, _BEFORE, _VIOLATIONS = "fluxmig: foreign_keys", "fluxmig: the session before", "fluxmig: violations"
"""Where a transaction leaves what its end puts back, in `Connection.info`; and what violated keys before."""
_FOR_EVER_MS = 2**31 - 1
_STRUCTURE = text(
    "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    " AND name NOT IN (SELECT name FROM pragma_table_list WHERE type = 'shadow') ORDER BY rowid"
)
_NEAR = re.compile(r'near "(?P<token>.+?)": syntax error')


class SQLite(Dialect):
    """SQLite: DDL is transactional, one writer at a time, no users."""

    name: ClassVar[str] = "sqlite"
    product: str = "SQLite"
    schemas_are_databases: ClassVar[bool] = True
    rules: sql.Rules = sql.SQLITE
    has_lock: ClassVar[bool] = True
    has_transactional_ddl: bool | None = True
    begin_sql: ClassVar[str] = "BEGIN IMMEDIATE"
    shell_head: ClassVar[str] = ".bail on\n"
    lock_kind: ClassVar[str] = "of the file, by BEGIN IMMEDIATE"
    duplicates_by: ClassVar[str] = "message"
    places_by: ClassVar[str] = "the token that the message quotes"
    scratch: ClassVar[tuple[str, ...]] = ("sqlite",)
    async_driver: ClassVar[str] = "sqlite+aiosqlite"
    release_length: ClassVar[int] = 0  # it is in this very process
    tested: ClassVar[str] = "3.40 and Python's own"

    # --- connections and transactions ---------------------------------------------------------------------

    @contextmanager
    def transaction(self, bind: Engine | Connection) -> Iterator[Connection]:
        """As everywhere, but that the driver opens none by itself before DDL; `claim` does.

        Where SQLAlchemy is in a transaction and SQLite is not yet, a savepoint would be the outermost
        transaction, and releasing it would commit behind the caller's back; so it is opened first.
        """
        if isinstance(bind, Engine):
            with bind.connect() as connection, self.transaction(connection):
                yield connection
            return
        nested = bind.in_transaction()
        if nested and not _is_open(bind):
            bind.exec_driver_sql(self.begin_sql)
        try:
            with super().transaction(bind) as connection:
                yield connection
        finally:
            _put_back(bind, nested=nested)

    @contextmanager
    def reading(self, bind: Engine | Connection) -> Iterator[Connection]:
        """`PRAGMA query_only` for as long as it lasts."""
        with self.transaction(bind) as connection:
            connection.exec_driver_sql("PRAGMA query_only = ON")
            try:
                yield connection
            finally:
                connection.exec_driver_sql("PRAGMA query_only = OFF")

    def begin_all(self, engine: Engine) -> None:
        """By SQLAlchemy, and not by the driver, which waits for what writes rows."""

        def let_be(connection: Any, _record: object) -> None:
            connection.isolation_level = None

        event.listen(engine, "connect", let_be)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))

    # --- running ------------------------------------------------------------------------------------------

    def begin(self, connection: Connection) -> bool:
        """As `claim` does."""
        return self.claim(connection, "")

    def is_in_transaction(self, connection: Connection) -> bool | None:
        """sqlite3_get_autocommit, as the driver tells."""
        return _is_open(connection)

    def characterize(self, connection: Connection, characteristics: str) -> None:
        """PRAGMA foreign_keys, which has no effect inside a transaction (pragma.html): `claim` begins that.

        Raises:
            ConfigError: The caller's connection is inside a transaction.
        """
        if connection.in_nested_transaction():
            raise ConfigError(
                "a migration begins with PRAGMA foreign_keys, which has no effect inside a transaction, and"
                " the given connection is inside one",
                remedy="give fluxmig an Engine, or a Connection that is not in a transaction",
            )
        if _is_open(connection):  # by the engine's own "begin" listener, and still empty
            connection.exec_driver_sql("ROLLBACK")
        connection.info[_VIOLATIONS] = frozenset()
        _set(connection, characteristics)

    def enforce(self, connection: Connection) -> None:
        """PRAGMA foreign_keys = ON; not inside a transaction of the caller's, where that has no effect."""
        if connection.in_nested_transaction():
            return
        if _is_open(connection):
            connection.exec_driver_sql("ROLLBACK")
        _set(connection, "foreign_keys = ON")

    def begin_by_hand(self, characteristics: str | None) -> str:
        """Likewise."""
        before = f"PRAGMA {characteristics};\n" if characteristics else ""
        return f"{before}{self.begin_sql};\n"

    def send(self, connection: Connection, script: str) -> None:
        """As everywhere; but a PRAGMA foreign_key_check that finds something is an error.

        Raises:
            UnsoundError: It does.
        """
        if not sqlite_session.foreign_key(sql.words(script, self.rules, 4)):
            super().send(connection, script)
        elif found := sqlite_session.violations(connection, script):
            raise _unsound(found)

    def loading(self, connection: Connection) -> Loading:
        """By statements with many parameters."""
        from fluxmig.dialects.sqlite_loading import SQLiteLoading  # noqa: PLC0415  # as that of the base

        return SQLiteLoading()

    def check(self, connection: Connection, script: Script) -> tuple[Statement, UnsoundError] | None:
        """What references nothing behind a script that begins with PRAGMA foreign_keys, and did before it."""
        before = connection.info.get(_VIOLATIONS)
        if before is None:
            return None
        found = [each for each in sqlite_session.violations(connection) if each not in before]
        return (script.statements[-1], _unsound(found)) if found else None

    def may_change_session(self, script: Script) -> bool:
        """By the words that such SQL cannot do without."""
        return sqlite_session.may_change(script.source)

    def session_state(self, connection: Connection, script: Script) -> SessionState:
        """Pragmas, what is attached, and what is temporary."""
        before = connection.info[_BEFORE] = sqlite_session.state(connection)
        return before

    def restore_session(self, connection: Connection, state: SessionState) -> None:
        """Each by its own statement; inside a transaction, what it does not let happen comes behind it."""
        sqlite_session.restore(connection, state)
        if not _is_open(connection):
            connection.info.pop(_BEFORE, None)

    def repeatable(self, statement: str) -> bool | None:
        """PRAGMA and ATTACH; None for what is temporary."""
        match sql.words(statement, self.rules, 2):
            case ("PRAGMA" | "ATTACH", *_):
                return True
            case ("CREATE", "TEMP" | "TEMPORARY"):
                return None
            case _:
                return False

    def may_be_atomic(self, statement: str) -> bool:
        """By the verb: everything but VACUUM, ATTACH, DETACH, PRAGMA and transaction control."""
        return sql.words(statement, self.rules, 1)[0] in _ATOMIC

    def no_transaction_reason(self, words: Sequence[str]) -> str | None:
        """What SQLite says of itself: "... from within a transaction", "... inside a transaction".

        ATTACH and DETACH, too (lang_attach.html): what has been written to cannot be detached inside.
        """
        match words:
            case ("VACUUM" | "ATTACH" | "DETACH" as verb, *_):
                return verb
            case ("PRAGMA", *rest):
                name = next((word for word in rest[:3] if word in _OUTSIDE), None)
                is_asked = name != _CHECKPOINT and rest[-1:] == [name]
                return f"PRAGMA {name.lower()}" if name and not is_asked else None
            case _:
                return None

    # --- locks --------------------------------------------------------------------------------------------

    def claim(self, connection: Connection, key: str) -> bool:
        """`BEGIN IMMEDIATE`: the write lock of the file, now and not at the first write.

        At once, whatever the connection's own patience is: how long to wait is for the caller to say. A
        transaction that the engine's own "begin" listener has opened is a deferred one and still empty.
        """
        if connection.in_nested_transaction():
            return True
        if _is_open(connection):
            connection.exec_driver_sql("ROLLBACK")
        patience_ms = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
        try:
            connection.exec_driver_sql("PRAGMA busy_timeout = 0")
            connection.exec_driver_sql(self.begin_sql)
        except OperationalError as error:
            if self.explain(error).code in {"SQLITE_BUSY", "SQLITE_LOCKED"}:
                return False
            raise
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {patience_ms}")
        if _VIOLATIONS in connection.info:
            connection.info[_VIOLATIONS] = frozenset(sqlite_session.violations(connection))
        return True

    def lock_held(self, holder: Session | None) -> str:
        """It is the lock of every writer, and nobody tells who has it."""
        return "the file is locked: by another runner, or by any other connection that writes"

    @contextmanager
    def limited(self, connection: Connection, limits: Limits, *, session: bool) -> Iterator[None]:
        """busy_timeout: how long a file's own BEGIN or a single statement waits for other writers.

        By default as long as the driver has it, 5 seconds.
        """
        if limits.lock_timeout_s is None:
            yield
            return
        before = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
        patience_ms = min(math.ceil(limits.lock_timeout_s * 1000) or _FOR_EVER_MS, _FOR_EVER_MS)
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {patience_ms}")
        try:
            yield
        finally:
            with suppress(SQLAlchemyError):  # the connection may be lost
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {before}")

    def cancel(self, driver: Any, engine: Engine) -> None:
        """sqlite3_interrupt."""
        if interrupt := getattr(driver, "interrupt", None):
            interrupt()

    def interrupter(self, connection: Connection) -> Callable[[], None] | None:
        """sqlite3_interrupt, which other threads may call."""
        interrupt: Callable[[], None] | None = getattr(
            connection.connection.driver_connection, "interrupt", None
        )
        return interrupt

    # --- errors -------------------------------------------------------------------------------------------

    def explain(self, error: DBAPIError, script: str = "") -> ServerError:
        """The message and the result code's name. A syntax error's place is that of the token it names."""
        message = str(error.orig)
        duplicate, near = _DUPLICATE.search(message), _NEAR.search(message)
        name = next((group for group in duplicate.groups() if group), None) if duplicate else None
        return ServerError(
            message=message,
            code=getattr(error.orig, "sqlite_errorname", None) or _code(error.orig, message),
            offset=_only_place(near["token"], script) if near else None,
            object=name.strip('"') if name else None,
        )

    def is_duplicate(self, error: ServerError) -> bool:
        """By the message, for want of a code."""
        return error.code == "SQLITE_ERROR" and _DUPLICATE.search(error.message) is not None

    def trouble(self, error: ServerError) -> str | None:
        """By the result code, extended or not."""
        return _by_code(error, _TROUBLES)

    def remedy(self, error: ServerError) -> str | None:
        """Where nothing can be written."""
        if (error.code or "").startswith("SQLITE_READONLY"):
            return self.way_out(error)
        return self.trouble(error)

    def way_out(self, error: ServerError) -> str | None:
        """By the result code, extended or not."""
        return _by_code(error, _WAYS_OUT)

    def existing(self, connection: Connection, wanted: Sequence[Created]) -> Mapping[Created, Presence]:
        """By sqlite_master."""
        return existing.sqlite(connection, wanted)

    def structure(
        self,
        connection: Connection,
        tables: Sequence[Table],
        programs: Callable[[str], Iterable[Path]],
        environ: Mapping[str, str],
    ) -> list[bytes]:
        """As sqlite_schema has it, but for what a virtual table makes for itself."""
        return [statement.encode() for statement in connection.scalars(_STRUCTURE)]

    def catalog(self, connection: Connection, without: frozenset[str] = frozenset()) -> Catalog | None:
        """By the text that SQLite keeps of each object."""
        return sqlite_catalog.snapshot(connection, without)

    # --- facts --------------------------------------------------------------------------------------------

    def info(self, connection: Connection, schema: str | None) -> DatabaseInfo:
        """The library's version, the file, and the library's clock."""
        version, time = connection.execute(
            select(func.sqlite_version(), func.strftime("%Y-%m-%d %H:%M:%S+00", "now"))
        ).one()
        driver = f"{connection.dialect.name}+{connection.dialect.driver}"
        file = _file(connection)
        return DatabaseInfo(
            driver, self.product, version, str(file) if file else ":memory:", time=time, schema=schema
        )

    def may_create(self, connection: Connection, schema: str | None) -> bool | None:
        """Whether the file and its folder, which takes the journal, are writable."""
        file = _file(connection)
        return file is None or (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))

    def may_write(self, connection: Connection, table: Table) -> bool | None:
        """As `may_create`: a file has one permission for all."""
        return self.may_create(connection, table.schema)


def _set(connection: Connection, characteristics: str) -> None:
    """Sets PRAGMA foreign_keys, which is put back behind the transaction."""
    connection.info[_KEYS] = connection.exec_driver_sql("PRAGMA foreign_keys").scalar()
    connection.exec_driver_sql(f"PRAGMA {characteristics}")


def _put_back(connection: Connection, *, nested: bool) -> None:
    """Behind a transaction: what could not be put back inside it."""
    if connection.closed or connection.invalidated:
        return
    before = connection.info.pop(_BEFORE, None)
    keys = None
    if not nested:
        keys = connection.info.pop(_KEYS, None)
        connection.info.pop(_VIOLATIONS, None)
    with suppress(SQLAlchemyError):
        if before is not None:
            sqlite_session.restore(connection, before)
        if keys is not None:
            connection.exec_driver_sql(f"PRAGMA foreign_keys = {keys}")
        if not nested and (before or keys) is not None:
            connection.rollback()


def _unsound(found: Sequence[Violation]) -> UnsoundError:
    table, row, parent, _ = found[0]
    which = f"row {row} of {table}" if row is not None else f"a row of {table}"
    count = len(found)
    what = (
        "1 row violates a foreign key:" if count == 1 else f"{count} rows violate foreign keys; the first is"
    )
    return UnsoundError(
        f"{what} {which}, which references {parent}",
        "mend these rows before, or what the file does to them; PRAGMA foreign_key_check lists them all",
    )


def _code(error: BaseException | None, message: str) -> str:
    """The result code's name, for drivers that do not tell it: those of SQLCipher."""
    for code, said in _CODES.items():
        if said in message:
            return code
    return {"OperationalError": "SQLITE_ERROR", "IntegrityError": "SQLITE_CONSTRAINT"}.get(
        type(error).__name__, type(error).__name__
    )


def _by_code(error: ServerError, ways: Mapping[str, str]) -> str | None:
    return next((way for code, way in ways.items() if (error.code or "").startswith(code)), None)


def _is_open(connection: Connection) -> bool:
    """Whether SQLite itself has a transaction open, whatever SQLAlchemy thinks."""
    return bool(getattr(connection.connection.driver_connection, "in_transaction", False))


def _file(connection: Connection) -> Path | None:
    """The main database's file, or None where it is in memory."""
    rows = connection.exec_driver_sql("PRAGMA database_list").all()
    file = next((row[2] for row in rows if row[1] == "main"), "")
    return Path(file) if file else None


def _only_place(token: str, script: str) -> int | None:
    """The offset of the token, if it stands there only once; SQLite's driver does not give the place."""
    first = script.find(token)
    return first if first >= 0 and script.find(token, first + 1) < 0 else None
