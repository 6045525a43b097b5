"""Who holds up a session of MySQL or MariaDB, and what its statements have warned of."""

from __future__ import annotations

from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from fluxmig.model import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, CursorResult, Pool

    from fluxmig.dialects.base import Heard, Onlooker

__all__ = ["kill", "kill_soon", "number_of", "onlooker", "tell_warnings"]

_QUERY_CHARACTERS: Final = 100
_SESSION: Final = """
SELECT id, user, NULL, host, DATE_FORMAT(UTC_TIMESTAMP() - INTERVAL time SECOND, '%Y-%m-%d %T+00'),
    IF(command = 'Sleep', 'idle', LOWER(command)), info
FROM information_schema.processlist WHERE id <> {0} AND id IN ({1})
"""
# MySQL 8.0, 27.12.13 (performance_schema's tables of locks). A query for each kind of lock: that the login
# may not ask for the one, or the server does not tell it, is no reason to keep quiet of the other.
_MYSQL_ROWS: Final = """
SELECT t.processlist_id FROM performance_schema.data_lock_waits AS w
JOIN performance_schema.threads AS t ON t.thread_id = w.blocking_thread_id
JOIN performance_schema.threads AS mine ON mine.thread_id = w.requesting_thread_id
WHERE mine.processlist_id = {0}
"""
_MYSQL_TABLES: Final = """
SELECT t.processlist_id FROM performance_schema.metadata_locks AS waiting
JOIN performance_schema.threads AS mine ON mine.thread_id = waiting.owner_thread_id
JOIN performance_schema.metadata_locks AS held ON held.object_type = waiting.object_type
    AND held.object_schema = waiting.object_schema AND held.object_name = waiting.object_name
    AND held.lock_status = 'GRANTED'
JOIN performance_schema.threads AS t ON t.thread_id = held.owner_thread_id
WHERE mine.processlist_id = {0} AND waiting.lock_status = 'PENDING'
"""
_MARIADB_ROWS: Final = """
SELECT b.trx_mysql_thread_id FROM information_schema.innodb_lock_waits AS w
JOIN information_schema.innodb_trx AS b ON b.trx_id = w.blocking_trx_id
JOIN information_schema.innodb_trx AS r ON r.trx_id = w.requesting_trx_id
WHERE r.trx_mysql_thread_id = {0}
"""
# MariaDB does not tell for which table one waits, and by a plugin alone who has one: without it, who has a
# transaction open is who may be in the way.
_MARIADB_TABLES: Final = """
SELECT held.thread_id FROM information_schema.metadata_lock_info AS held
JOIN information_schema.processlist AS mine ON mine.id = {0} AND mine.state LIKE '%metadata lock%'
WHERE held.lock_type = 'Table metadata lock' AND held.table_schema = mine.db
    AND LOCATE(held.table_name, mine.info)
"""
_MARIADB_OPEN: Final = """
SELECT t.trx_mysql_thread_id FROM information_schema.innodb_trx AS t
JOIN information_schema.processlist AS mine ON mine.id = {0} AND mine.state LIKE '%metadata lock%'
JOIN information_schema.processlist AS theirs ON theirs.id = t.trx_mysql_thread_id AND theirs.db = mine.db
"""
_MYSQL: Final = (_MYSQL_ROWS, _MYSQL_TABLES)
_MARIADB: Final = (_MARIADB_ROWS, _MARIADB_TABLES, _MARIADB_OPEN)
_SOON_S: Final = 0.3
"""Whoever has sent a signal waits for two seconds."""
_SEVERITIES: Final = {"Note": "NOTICE"}


def onlooker(connection: Connection) -> Onlooker | None:
    """What tells who holds up this session; None where the driver does not tell its number."""
    number = number_of(connection.connection.dbapi_connection)
    if number is None or connection.dialect.is_async:
        return None
    is_mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
    return _Onlooker(connection.engine.pool.recreate(), number, _MARIADB if is_mariadb else _MYSQL)


def number_of(driver: Any) -> int | None:
    """The server's number of a session, without asking it; None where the driver does not tell."""
    found = getattr(driver, "thread_id", None)
    number: int | None = found() if callable(found) else found  # of MariaDB's own driver it is no method
    return number


def kill(pool: Pool, number: int | None) -> None:
    """Ends what a session runs, by another one of the pool's."""
    second = pool.connect()
    try:
        second.cursor().execute(f"KILL QUERY {number}")
    finally:
        second.close()


def kill_soon(pool: Pool, number: int) -> None:
    """The same for who has no time: a server that does not answer is not waited for."""
    second = Thread(target=_kill_quietly, args=(pool, number), name="fluxmig kill", daemon=True)
    second.start()
    second.join(_SOON_S)


def tell_warnings(connection: Connection, result: CursorResult[Any], hear: Callable[[Heard], None]) -> None:
    """Tells what a statement has warned of, where the driver says that it has."""
    if getattr(result.context.cursor, "warning_count", 0):
        for level, code, message in connection.exec_driver_sql("SHOW WARNINGS"):
            severity = _SEVERITIES.get(level, level.upper())
            hear({"severity": severity, "message": message, "code": str(code)})


def _kill_quietly(pool: Pool, number: int) -> None:
    with suppress(Exception):  # whatever the driver raises: the statement, or the server, may have ended
        kill(pool, number)


class _Onlooker:
    """A second connection of the driver's, made when it is first needed."""

    def __init__(self, pool: Pool, number: int, queries: tuple[str, ...]) -> None:
        self._pool, self._number, self._queries = pool, number, queries
        self._second: Any = None

    def blockers(self) -> tuple[Session, ...]:
        """Who is in the way right now."""
        if self._second is None:
            self._second = self._pool.connect()
        for query in self._queries:
            found = self._ask(query.format(self._number))
            if numbers := sorted({str(row[0]) for row in found if row[0] not in {None, self._number}}):
                rows = self._ask(_SESSION.format(self._number, ", ".join(numbers)))
                return tuple(
                    Session(pid, user, application, host, since, state, _beginning(query))
                    for pid, user, application, host, since, state, query in rows
                )
        return ()

    def close(self) -> None:
        """Ends it."""
        if self._second is not None:
            self._second.close()
            self._pool.dispose()
            self._second = None

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        """What it answers; nothing where the login may not ask, or the server does not know of it."""
        cursor = self._second.cursor()
        try:
            cursor.execute(query)
            return list(cursor.fetchall())
        except Exception:  # noqa: BLE001  # whatever the driver raises: a name is all that is at stake
            return []
        finally:
            cursor.close()
            self._second.rollback()


def _beginning(query: str | None) -> str | None:
    line = " ".join((query or "").split())
    return (line if len(line) <= _QUERY_CHARACTERS else f"{line[: _QUERY_CHARACTERS - 1]}…") or None
