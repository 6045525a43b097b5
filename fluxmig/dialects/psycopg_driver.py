"""What SQLAlchemy does not pass through of psycopg 3: COPY, notices, and how far a message has come."""

from __future__ import annotations

import codecs
import logging
import selectors
import time
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from fluxmig.dialects.postgresql_watch import HELD
from fluxmig.errors import ConfigError
from fluxmig.model import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import psycopg
    from sqlalchemy import Connection
    from sqlalchemy import Dialect as Driver

    from fluxmig.dialects.base import Heard, Onlooker

__all__ = ["Copying", "ask", "can_begin", "copy", "copying", "counting", "for_programs"]
__all__ += [
    "is_in_transaction",
    "is_watched",
    "listening",
    "meet_briefly",
    "onlooker",
    "refuse_backslashes",
    "reported",
    "run",
    "unprepared",
]

_CHUNK = 2**18
"""Bytes that are given to psycopg at a time."""

_QUERY_CHARACTERS = 100

_CANCEL_S = 0.7
"""How long a request to cancel may take, and its effect: a process that is to end has 1.7 seconds."""

_Selector = getattr(selectors, "PollSelector", selectors.DefaultSelector)
"""Without a file of its own, where there is such a one: it is needed for one message."""

_FATAL = ("FATAL", "PANIC")
_SEVERITY = ord("V")
"""The field of an ErrorResponse (54.8) that is not translated."""
_LAST_WORDS: WeakKeyDictionary[Any, Exception] = WeakKeyDictionary()
"""Why servers have ended connections, where libpq took it for a notice: it came behind an answer."""

_OF_EVERY_LIBPQ = frozenset(
    {"host", "hostaddr", "port", "user", "dbname", "options", "connect_timeout", "gssencmode"}
    | {"sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "channel_binding"}
)
"""Parameters that lead somewhere, and that libpq has had since version 13."""

_DIFFERS = (
    "SELECT pg_catalog.current_schema(), pg_catalog.version(),"
    " pg_catalog.current_setting('transaction_isolation'),"
    " pg_catalog.current_setting('standard_conforming_strings')"
)
"""What SQLAlchemy asks a server that it meets, in as many queries; the schema is the session's alone."""
_MET: dict[tuple[object, ...], dict[str, object]] = {}
_FACTS = (bool, int, str, tuple)
"""Of these are SQLAlchemy's facts about a server; else nothing of one engine's goes to another."""

# Of a session that may not be looked into, state and query are no more than a word of refusal.
_BLOCKERS = f"""
SELECT activity.pid, usename, nullif(application_name, ''), coalesce(pg_catalog.host(client_addr), 'local'),
    pg_catalog.date_trunc('second', coalesce(state_change, backend_start))::pg_catalog.text,
    coalesce(state, nullif(backend_type, 'client backend')), query
FROM pg_catalog.pg_locks AS runner,
    pg_catalog.unnest(pg_catalog.pg_blocking_pids(runner.pid)) AS blocking (pid)
JOIN pg_catalog.pg_stat_activity AS activity USING (pid)
WHERE {HELD.format(key="%s")}
"""  # noqa: S608


def is_in_transaction(connection: Connection) -> bool:
    """Whether a transaction is open, be it a failed one."""
    driver = _driver(connection)
    return driver.info.transaction_status.name in {"INTRANS", "INERROR"}


def reported(connection: Connection, *names: str) -> tuple[str | None, ...]:
    """What the server has reported of these settings, without asking it; None where it reports none."""
    driver = _driver(connection)
    return tuple(driver.info.parameter_status(name) for name in names)


def for_programs(connection: Connection) -> tuple[str, str, int]:
    """How PostgreSQL's programs connect to the same database: parameters, password; and its release.

    The parameters are in libpq's own form, without those that an older libpq would not know.
    """
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415  # it is there: the connection is its

    info = _driver(connection).info
    given = {name: value for name, value in info.get_parameters().items() if name in _OF_EVERY_LIBPQ}
    return make_conninfo(**given), info.password, info.server_version // 10000


def refuse_backslashes(connection: Connection) -> None:
    """Raises `ConfigError` where backslashes escape in every string: files would be taken apart wrongly.

    A file may set it for itself; here it is the URL's doing, or the role's or the database's.
    """
    if _driver(connection).info.parameter_status("standard_conforming_strings") == "off":
        raise ConfigError(
            "standard_conforming_strings is off for this connection",
            remedy="end the URL with ?options=-c%20standard_conforming_strings=on; a file that needs it off"
            " begins with SET standard_conforming_strings = off;",
        )


def copy(connection: Connection, statement: str, rows: memoryview) -> None:
    """Runs a COPY ... FROM stdin and streams its rows, which are UTF-8, from where they are.

    Raises:
        DBAPIError: As for every other statement.
        UnicodeEncodeError: A row has a character that the client's encoding has not.
    """
    chunks: Iterator[Any] = (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))
    if _driver(connection).info.encoding != "utf-8":  # the script has set it, and psycopg encodes to that
        chunks = codecs.iterdecode(map(bytes, chunks), "utf-8")
    with copying(connection, statement) as stream:
        for chunk in chunks:
            stream.write(chunk)


class Copying:
    """A COPY ... FROM stdin that is under way.

    Attributes:
        write: Sends some of its data.
        rows: How many rows the server has taken; known behind the end.
    """

    def __init__(self, write: Callable[[Any], None]) -> None:
        self.write = write
        self.rows = -1


@contextmanager
def copying(connection: Connection, statement: str) -> Iterator[Copying]:
    """Runs a COPY ... FROM stdin for as long as it lasts; raises as for every other statement."""
    driver = _driver(connection)
    with _as_of_sqlalchemy(connection, statement):
        if connection.dialect.is_async:
            with _awaited(driver.cursor()) as cursor:
                with _awaited(cursor.copy(statement)) as stream:
                    copied = Copying(lambda data: await_only(stream.write(data)))
                    yield copied
                copied.rows = cursor.rowcount
        else:
            with driver.cursor() as cursor:
                with cursor.copy(statement) as stream:
                    copied = Copying(stream.write)
                    yield copied
                copied.rows = cursor.rowcount


@contextmanager
def _awaited(manager: Any) -> Iterator[Any]:
    """A context manager that has to be awaited, as one that has not."""
    entered = await_only(manager.__aenter__())
    try:
        yield entered
    except BaseException as error:
        await_only(manager.__aexit__(type(error), error, error.__traceback__))
        raise
    await_only(manager.__aexit__(None, None, None))


@contextmanager
def _as_of_sqlalchemy(connection: Connection, statement: str) -> Iterator[None]:
    """Raises what the driver raises as SQLAlchemy does."""
    driver, errors = _driver(connection), cast("Any", connection.dialect.dbapi)
    try:
        yield
    except errors.Error as error:
        lost = connection.dialect.is_disconnect(error, driver, None)
        if lost:
            connection.invalidate(error)
        said = _LAST_WORDS.get(driver, error) if lost else error
        raise DBAPIError.instance(
            statement, None, said, errors.Error, connection_invalidated=lost, dialect=connection.dialect
        ) from error


def ask(driver: Any, query: str, patience_s: float) -> str:
    """What the query answers, in its first row and column, on a connection that nobody else uses.

    psycopg itself waits for as long as the server, or what is in between, takes. After an error of this one
    the connection can only be closed.

    Raises:
        OSError: There was no answer in time, or a refusal.
    """
    server = driver.pgconn
    server.send_query(query.encode())
    deadline = time.monotonic() + patience_s
    with selectors.DefaultSelector() as selector:
        selector.register(server.socket, selectors.EVENT_READ)
        while server.is_busy():
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"there was no answer in {patience_s:g} s")
            server.consume_input()
    result = server.get_result()
    value = result.get_value(0, 0) if result and result.ntuples else None
    if value is None:
        raise OSError((result.error_message if result else server.error_message).decode(errors="replace"))
    return str(value.decode())


def meet_briefly(dialect: Driver) -> None:
    """Has SQLAlchemy's first connection ask in one round trip for all that makes servers and sessions differ.

    What SQLAlchemy concludes from that, in six, is kept for the next one who hears the same.
    """
    usual = dialect.initialize

    def initialize(connection: Connection) -> None:
        try:
            ((schema, *told),) = run(connection, _DIFFERS)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            usual(connection)  # another server than PostgreSQL
            return
        key = (type(dialect), *told)
        found = _MET.get(key)
        if found is None:
            before = dict(vars(dialect))
            usual(connection)
            _MET[key] = {
                name: value
                for name, value in vars(dialect).items()
                if isinstance(value, _FACTS) and (name not in before or before[name] is not value)
            }
        else:
            vars(dialect).update(found)
            dialect.default_schema_name = schema or None

    dialect.initialize = initialize  # type: ignore[method-assign]


def can_begin(connection: Connection) -> bool:
    """Whether `run` can be used, and a message reads as it was written: backslashes escape nothing."""
    is_sync = connection.dialect.driver == "psycopg" and not connection.dialect.is_async
    return is_sync and reported(connection, "standard_conforming_strings") == ("on",)


def is_watched(connection: Connection) -> bool:
    """Whether somebody logs or hears what is sent through SQLAlchemy: what goes past it would be missing."""
    heard = connection.dispatch.before_cursor_execute or connection.dispatch.after_cursor_execute
    return bool(heard) or connection.engine.logger.isEnabledFor(logging.INFO)


def run(
    connection: Connection,
    message: str,
    last: int | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> list[list[str]]:
    """Runs a message of one's own, which may begin a transaction: psycopg would send BEGIN, and wait.

    By its wrapper of libpq: psycopg sends no BEGIN where a transaction is open, and takes it for its own.
    Where the message fails, the error's `completed` tells how many of its statements were done.

    Args:
        connection: In a transaction that has not begun yet, as the server knows it.
        message: SQL.
        last: How many of its statements are asked for their rows; None is all.
        meanwhile: Called when it is sent.

    Returns:
        The first row of each query, as the server writes it.
    """
    results = _exchange(connection, message, meanwhile)
    asked = results if last is None else results[len(results) - last :]
    rows = [result for result in asked if result.ntuples]
    return [[_text(result, column) for column in range(result.nfields)] for result in rows]


def _exchange(connection: Connection, message: str, meanwhile: Callable[[], None] | None = None) -> list[Any]:
    """What the server answers to each statement of a message.

    A signal is heard meanwhile. The message is cancelled then; where the server does not say in time what has
    become of it, the connection is closed.
    """
    driver = _driver(connection)
    server, errors = driver.pgconn, cast("Any", connection.dialect.dbapi).errors
    with _as_of_sqlalchemy(connection, message):
        try:
            server.send_query(message.encode(driver.info.encoding))
            server.flush()
            if meanwhile:
                meanwhile()
            results = _results(server)
        except UnicodeEncodeError:
            raise  # nothing was sent
        except Exception as error:
            connection.invalidate(error)
            raise
        except BaseException as error:
            try:
                driver.cancel_safe(timeout=_CANCEL_S)
                _results(server, _CANCEL_S)
            except Exception:  # noqa: BLE001  # whatever it is, an answer may be on its way
                connection.invalidate(error)
            raise
        if results and results[-1].error_message:
            failed = errors.error_from_result(results[-1])
            failed.completed = len(results) - 1
            raise failed
    return results


def _results(server: Any, patience_s: float | None = None) -> list[Any]:
    """The results of what was sent; an error is the last one.

    Raises:
        TimeoutError: There was nothing to hear for so long.
    """
    results: list[Any] = []
    with _Selector() as selector:

        def wait(events: int) -> None:
            selector.modify(server.socket, events)
            ready = selector.select(patience_s)
            if not ready:
                raise TimeoutError
            if ready[0][1] & selectors.EVENT_READ:
                server.consume_input()

        selector.register(server.socket, selectors.EVENT_READ)
        while server.flush():  # what the server says meanwhile is heard, or neither would go on
            wait(selectors.EVENT_READ | selectors.EVENT_WRITE)
        while True:
            try:
                while server.is_busy():
                    wait(selectors.EVENT_READ)
                result = server.get_result()
            except Exception:
                if results and _is_fatal(results[-1]):  # the server has told why it ends the connection
                    return results
                raise
            if result is None:
                return results
            results.append(result)


def _is_fatal(result: Any) -> bool:
    severity = result.error_message and result.error_field(_SEVERITY)
    return bool(severity) and severity.decode() in _FATAL


def _text(result: Any, column: int) -> str:
    value = result.get_value(0, column)
    return "" if value is None else value.decode()


@contextmanager
def listening(connection: Connection, hear: Callable[[Heard], None]) -> Iterator[None]:
    """Has `hear` called with what the server says beside its results, as it comes."""
    driver, errors = _driver(connection), cast("Any", connection.dialect.dbapi)

    def handle(diagnostic: Any) -> None:
        if diagnostic.severity_nonlocalized in _FATAL:
            with suppress(KeyError):  # a code that psycopg does not know
                _LAST_WORDS[driver] = errors.errors.lookup(diagnostic.sqlstate)(diagnostic.message_primary)
            return
        hear(
            {
                "severity": diagnostic.severity_nonlocalized or diagnostic.severity,
                "message": diagnostic.message_primary,
                "code": diagnostic.sqlstate,
                "detail": diagnostic.message_detail,
                "hint": diagnostic.message_hint,
            }
        )

    driver.add_notice_handler(handle)
    try:
        yield
    finally:
        driver.remove_notice_handler(handle)


@contextmanager
def unprepared(connection: Connection) -> Iterator[None]:
    """Keeps psycopg from using statements that it has prepared: a script's DISCARD ALL takes them away.

    psycopg before 3.3.9 does not notice, and none does within a DO block.
    """
    driver = _driver(connection)
    threshold, driver.prepare_threshold = driver.prepare_threshold, None
    try:
        yield
    finally:
        driver.prepare_threshold = threshold


@contextmanager
def counting(connection: Connection) -> Iterator[None]:
    """Has psycopg say, in an error's `completed`, how many statements of the message were done before it.

    libpq hands out one result a statement, the error last. psycopg checks them in `Cursor._check_results`
    and keeps only the error, so that method is where they are counted. It is no public name: were it gone,
    errors without a position would no longer name their statement, and nothing else would change.
    """
    driver = _driver(connection)
    factory = driver.cursor_factory
    driver.cursor_factory = _counting(factory)
    try:
        yield
    except DBAPIError as error:
        if error.connection_invalidated:
            error.orig = _LAST_WORDS.get(driver, error.orig)
        raise
    finally:
        driver.cursor_factory = factory


@lru_cache(maxsize=8)
def _counting(factory: type[Any]) -> type[Any]:
    """A driver's cursor that counts: to make a class takes longer than much of what is sent with one."""

    class Counting(factory):  # type: ignore[misc]
        def _check_results(self, results: Sequence[Any]) -> None:
            try:
                super()._check_results(results)
            except Exception as error:
                error.completed = len(results) - 1  # type: ignore[attr-defined]
                raise

    return Counting


def onlooker(connection: Connection, lock: int) -> Onlooker:
    """What tells who holds up the session that has this advisory lock: behind a pooler it has no other mark.

    By a connection with the same parameters as the driver has, and not by another one of the engine: a pool
    may be exhausted, or have but one connection to give.
    """
    return _Onlooker(_driver(connection), lock)


class _Onlooker:
    """A second connection of psycopg's, made when it is first needed."""

    def __init__(self, driver: Any, lock: int) -> None:
        self._driver, self._lock = driver, lock
        self._second: psycopg.Connection | None = None

    def blockers(self) -> tuple[Session, ...]:
        """Who is in the way right now."""
        if self._second is None:
            import psycopg  # noqa: PLC0415  # it is there: the first connection is its

            info = self._driver.info
            name = "fluxmig lookout"  # not to be taken for the runner
            self._second = psycopg.connect(
                info.dsn,
                password=info.password,
                application_name=name,
                autocommit=True,
                prepare_threshold=None,
            )
        rows = self._second.execute(_BLOCKERS, [self._lock]).fetchall()
        return tuple(
            Session(pid, user, application, host, since, state, _beginning(query))
            for pid, user, application, host, since, state, query in rows
        )

    def close(self) -> None:
        """Ends it."""
        if self._second is not None:
            self._second.close()
            self._second = None


def _beginning(query: str | None) -> str | None:
    line = " ".join((query or "").split())
    return line if len(line) <= _QUERY_CHARACTERS else f"{line[: _QUERY_CHARACTERS - 1]}…"


def _driver(connection: Connection) -> Any:
    """Psycopg's own connection; also where SQLAlchemy has detached it from its pool."""
    dbapi_connection: Any = connection.connection.dbapi_connection
    return connection.dialect.get_driver_connection(dbapi_connection)
