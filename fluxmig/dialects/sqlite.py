"""SQLite through the standard library's driver."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import OperationalError

from fluxmig import sql
from fluxmig.dialects import existing
from fluxmig.dialects.base import Dialect, ServerError
from fluxmig.model import DatabaseInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Table
    from sqlalchemy.exc import DBAPIError

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
_NEAR = re.compile(r'near "(?P<token>.+?)": syntax error')


class SQLite(Dialect):
    """SQLite: DDL is transactional, one writer at a time, no users."""

    name: ClassVar[str] = "sqlite"
    product: str = "SQLite"
    rules: sql.Rules = sql.SQLITE
    has_lock: ClassVar[bool] = True
    has_transactional_ddl: ClassVar[bool] = True
    begin_sql: ClassVar[str] = "BEGIN IMMEDIATE"
    shell_head: ClassVar[str] = ".bail on\n"

    # --- connections and transactions ---------------------------------------------------------------------

    @contextmanager
    def transaction(self, bind: Engine | Connection) -> Iterator[Connection]:
        """As everywhere, but that the driver opens none by itself before DDL; `claim` does.

        Where SQLAlchemy is in a transaction and SQLite is not yet, a savepoint would be the outermost
        transaction, and releasing it would commit behind the caller's back; so it is opened first.
        """
        if not isinstance(bind, Engine) and bind.in_transaction() and not _is_open(bind):
            bind.exec_driver_sql(self.begin_sql)
        with super().transaction(bind) as connection:
            yield connection

    @contextmanager
    def reading(self, bind: Engine | Connection) -> Iterator[Connection]:
        """`PRAGMA query_only` for as long as it lasts."""
        with self.transaction(bind) as connection:
            connection.exec_driver_sql("PRAGMA query_only = ON")
            try:
                yield connection
            finally:
                connection.exec_driver_sql("PRAGMA query_only = OFF")

    # --- running ------------------------------------------------------------------------------------------

    def is_in_transaction(self, connection: Connection) -> bool | None:
        """sqlite3_get_autocommit, as the driver tells."""
        return _is_open(connection)

    def may_be_atomic(self, statement: str) -> bool:
        """By the verb: everything but VACUUM, ATTACH, DETACH, PRAGMA and transaction control."""
        return sql.words(statement, self.rules, 1)[0] in _ATOMIC

    def no_transaction_reason(self, words: Sequence[str]) -> str | None:
        """VACUUM: "cannot VACUUM from within a transaction" (lang_vacuum.html)."""
        return "VACUUM" if words[:1] == ("VACUUM",) else None

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
        return True

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
            code=getattr(error.orig, "sqlite_errorname", None) or type(error.orig).__name__,
            offset=_only_place(near["token"], script) if near else None,
            object=name.strip('"') if name else None,
        )

    def is_duplicate(self, error: ServerError) -> bool:
        """By the message, for want of a code."""
        return error.code == "SQLITE_ERROR" and _DUPLICATE.search(error.message) is not None

    def way_out(self, error: ServerError) -> str | None:
        """For SQLITE_READONLY and its extended codes."""
        read_only = (error.code or "").startswith("SQLITE_READONLY")
        return "make the file and its folder writable" if read_only else None

    def existing(self, connection: Connection, wanted: Sequence[Created]) -> Mapping[Created, Presence]:
        """By sqlite_master."""
        return existing.sqlite(connection, wanted)

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
