"""Whether a PostgreSQL session is one's own, where a pooler may be in between.

A pooler has fewer connections to the server than clients. Where it pools by transactions (PgBouncer's
pool_mode), it gives each the connection that happens to be free: the next one may come to another process of
the server, and what is left in the session meets other clients. A lock of the session stays behind then.
Where it pools by sessions, a connection is the client's until it leaves, and all is well.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from fluxmig.dialects import psycopg_driver
from fluxmig.dialects.postgresql_watch import HELD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection
    from sqlalchemy.pool import PoolProxiedConnection

__all__ = ["CLAIM_SESSION", "holds", "is_pooled", "release", "why_shared"]

_PROCESS = "SELECT pg_catalog.pg_backend_pid()"
_ROUNDS = 32
"""Of several poolers behind one address, second connections may come to others than the first one has: of two
poolers, all of them once in 4 billion times; of four, once in 10,000."""
_PATIENCE_S = 5.0
_SHARED = "a pooler is in between, and each transaction may get another session"
_UNKNOWN = "a pooler is in between, and it cannot be told whether the session stays the same"

_HELD = f"EXISTS (SELECT FROM pg_catalog.pg_locks WHERE {HELD.format(key=':key')}{{}})"
_MINE = _HELD.format(" AND pid = pg_catalog.pg_backend_pid()")
CLAIM_SESSION = text(
    f"SELECT CASE WHEN {_MINE} THEN false ELSE pg_catalog.pg_try_advisory_lock(:key) END,"
    " pg_catalog.pg_backend_pid()"
)
"""Takes the session's lock, and tells the process that has it; false where another one does.

Also where another client has it through this very process, by a pooler: a process that asks for its own lock
once more would get it (9.28.10).
"""
_HOLDS = text(f"SELECT {_MINE}")
_RELEASE = text(
    f"SELECT CASE WHEN {_MINE} THEN pg_catalog.pg_advisory_unlock(:key) ELSE NOT {_HELD.format('')} END"
)
_END = text(
    "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"  # noqa: S608  # all ours
    f" WHERE pid = :taken AND state = 'idle' AND {_HELD.format(' AND pid = :taken')}"
)
_TRIES = 100
"""To meet the connection again that has the lock, of a pooler's; half of them before it is ended."""
_PAUSE_S = 0.01


def is_pooled(connection: Connection) -> bool:
    """Whether another process answers than the handshake told of; True where the driver keeps none."""
    return _process(connection) != _told(connection)


def why_shared(connection: Connection) -> str | None:
    """Why the next transaction may come to another of the server's processes; None where it does not.

    Where the server itself was at the other end of the handshake, one question tells. PgBouncer's handshake
    tells of a process that does not exist, and then it is found out by second connections, one after the
    other: each asks for its process, and the first one asks again. What cannot be told counts for shared.

    Nothing is written or locked. psycopg waits some seconds at most for a second connection's answer, where
    the pooler has none to spare; other drivers for as long as the pooler lets them.

    Args:
        connection: In autocommit.
    """
    if not is_pooled(connection):
        return None
    mine = _process(connection)
    driver: Any = connection.dialect.dbapi
    for _ in range(_ROUNDS):
        try:
            with _another(connection) as other:
                theirs = _process_of(connection, other)
        except (SQLAlchemyError, driver.Error, OSError) as error:
            reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            return f"{_UNKNOWN} ({reason or type(error).__name__})"
        # Twice: where connections come by turns, two clients that ask by turns would each get its own.
        if theirs == mine or any(_process(connection) != mine for _ in range(2)):
            return _SHARED
    return None


def holds(connection: Connection, key: int) -> bool:
    """Whether the process that answers now has the session's lock."""
    return bool(connection.scalar(_HOLDS, {"key": key}))


def release(connection: Connection, key: int, *, taken_by: int | None) -> None:
    """Gives the session's lock back.

    Where it was taken in another session, that is as soon as that one answers. One that does not, for a
    pooler may not need it for long, is ended while it is idle: the pooler makes itself another.

    Args:
        connection: In autocommit.
        key: The lock's.
        taken_by: The process that has it.
    """
    for number in range(_TRIES):
        if connection.scalar(_RELEASE, {"key": key}):
            return
        if number >= _TRIES // 2:
            connection.execute(_END, {"key": key, "taken": taken_by}).close()
        time.sleep(_PAUSE_S)


def _process(connection: Connection) -> int:
    return int(connection.exec_driver_sql(_PROCESS).scalar_one())


def _told(connection: Connection) -> int | None:
    """The server's process as the handshake told of it (54.2.1, BackendKeyData), if the driver keeps that."""
    driver: Any = connection.connection.driver_connection
    match connection.dialect.driver:
        case "psycopg" | "psycopg_async":
            return int(driver.info.backend_pid)
        case "psycopg2" | "psycopg2cffi":
            return int(driver.get_backend_pid())
        case "asyncpg":
            return int(driver.get_server_pid())
        case _:
            return None


@contextmanager
def _another(connection: Connection) -> Iterator[PoolProxiedConnection]:
    """A second connection to where the first one goes, past the pool, which may have none to spare.

    Made by the pool's own function, which is no public name: there is no other way to the arguments of
    `create_engine`. What listens for new connections is not told: it may ask the server, and wait.
    """
    engine = connection.engine
    other = NullPool(engine.pool._creator, dialect=engine.dialect).connect()  # noqa: SLF001
    if other.driver_connection is connection.connection.driver_connection:
        other.detach()  # the caller's own function, which gives the one connection that it has
        raise OSError("there is no second connection to ask")
    try:
        yield other
    finally:
        other.invalidate()  # closed as it is: it may still wait for its answer


def _process_of(connection: Connection, other: PoolProxiedConnection) -> int:
    if connection.dialect.driver in {"psycopg", "psycopg_async"}:
        return int(psycopg_driver.ask(other.driver_connection, _PROCESS, _PATIENCE_S))
    cursor = other.cursor()
    cursor.execute(_PROCESS)
    row: Any = cursor.fetchone()
    return int(row[0])
