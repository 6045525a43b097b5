"""A script in one message with its rows and the commit, where the dialect can: one round trip a file.

Behind the commit, the message goes on to begin the next file's transaction, takes the lock for it and looks
for its row. The first file's is begun behind what makes the ledger or tries the log; where none is begun, a
message of its own does. Nothing less is promised than step by step, but that a lost connection leaves it open
whether the commit, which was on its way, was made. What is odd is left to the longer way, which tells it in
full.
"""

from __future__ import annotations

import math
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sqlalchemy import Engine, NullPool, QueuePool
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fluxmig.dialects.base import literal
from fluxmig.model import Event, LogEntry, Mode
from fluxmig.script import messages
from fluxmig.sending import MESSAGE_LIMIT, raise_if_lost, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Insert
    from sqlalchemy import Dialect as Driver

    from fluxmig.dialects import Dialect
    from fluxmig.dialects.base import Opening
    from fluxmig.ledger import Ledger
    from fluxmig.model import Limits, Script
    from fluxmig.script import Message

__all__ = ["AtOnce", "CommittedError", "NotAtOnceError", "may_keep"]


_ROWS = "fluxmig: the rows that were compiled"
"""In `Table.info` of a ledger."""

_CERTAIN = "WITH added AS ({} RETURNING 1) SELECT 1 / count(*) FROM added"
"""An INSERT that is an error where no row was added: a rule or a trigger may swallow it."""

_FRESH_S = 0.5
"""How long a transaction may wait for its script: by so much its `now()` is late, and others have to wait."""


Next: TypeAlias = "tuple[Script, Limits]"
"""What will be run next, and its time-outs."""


class NotAtOnceError(Exception):
    """It could not be done so, and nothing of it is done once the transaction is rolled back."""


class CommittedError(Exception):
    """The script is done and committed; what was to follow has failed, and its transaction is to be ended."""


class Whole(NamedTuple):
    """A script with what belongs to it.

    Attributes:
        message: All of the script.
        text: The script.
        sql: That, both rows, and the commit.
        statements: How many before the commit.
    """

    message: Message
    text: str
    sql: str
    statements: int


@dataclass(slots=True)
class AtOnce:
    """One ledger's way of running scripts so.

    Attributes:
        dialect: The database's.
        ledger: Where to record.
        key: The lock's.
    """

    dialect: Dialect
    ledger: Ledger
    key: str
    _held: ExitStack | None = None
    _connection: Connection | None = None
    _next: tuple[str, Limits] | None = None
    _fresh_until: float = 0.0
    _ahead: tuple[str, Whole] | None = None
    _announced: tuple[Connection, Next, Message | None, Opening | None] | None = None

    def can_record(self, bind: Engine | Connection, limits: Limits, first: Next | None) -> bool:
        """Whether a row can be added to the log that is there; nothing stays of the one that is tried.

        Args:
            bind: Not in a transaction.
            limits: The time-outs.
            first: What will be run next, and its time-outs, if that is known.
        """
        (trial,) = self._made(bind.dialect, "trial", lambda: [self._trial()])
        return self._prepared(bind, first, None, self.dialect.trial_at_once(trial.text({}), limits))

    def can_create(self, bind: Engine | Connection, limits: Limits, first: Next | None) -> bool:
        """Whether the ledger and its log are made, by now; nothing is done otherwise. As `can_record`."""
        if self.ledger.is_brought:
            return False
        return self._prepared(bind, first, limits, f"{self.ledger.both(bind.dialect)}; COMMIT")

    def _prepared(
        self, bind: Engine | Connection, first: Next | None, creates: Limits | None, message: str
    ) -> bool:
        """Whether a message could be run, behind which the first script's transaction begins."""
        tables = (self.ledger.table, self.ledger.log_table)
        with ExitStack() as stack:
            connection = stack.enter_context(self.dialect.transaction(bind))
            if not self.dialect.can_send_at_once(connection):
                return False
            try:
                if creates and not self.dialect.claim_at_once(connection, self.key, tables, creates):
                    return False
                opening = None
                if first and may_keep(bind) and self._message(first[0]):
                    opening = self._opening(connection, first)
                self._begun(first, self.dialect.send_at_once(connection, message, opening))
            except DBAPIError as error:
                if self.dialect.is_passing(error):
                    raise
                return False
            self._keep(connection, stack)
        return True

    def whole(self, script: Script, driver: Driver) -> Whole | None:
        """The script as one message; None where it is none, or something is to be done before the commit."""
        if self._ahead and self._ahead[0] == script.name:
            return self._ahead[1]
        message = self._message(script)
        return self._whole(script, message, driver) if message else None

    def _message(self, script: Script) -> Message | None:
        if not self.dialect.elapsed_ms_sql or self.ledger.is_brought:
            return None
        if script.mode is not Mode.TRANSACTION or script.done or script.characteristics:
            return None
        found = messages(script, MESSAGE_LIMIT)
        first = next(found, None)
        if first is None or first.rows or next(found, None) or self.dialect.may_change_session(script):
            return None
        return None if any(self.dialect.to_check(script)) else first

    @contextmanager
    def holding(self, bind: Engine | Connection, script: Script, limits: Limits) -> Iterator[Connection]:
        """A transaction that has the lock for a script: a new one, or that which the last message has begun.

        It is rolled back where the body fails, and kept where the body's message has begun the next one.

        Raises:
            NotAtOnceError: Another runner has the lock, or was faster; or the driver cannot.
        """
        if self._next != (script.name, limits) or time.monotonic() > self._fresh_until:
            self.release()
        held, connection = self._held, self._connection
        self._held = self._connection = self._next = None
        with held or ExitStack() as stack:
            if connection is None:
                connection = stack.enter_context(self.dialect.transaction(bind))
                self._claim(connection, (script, limits))
            yield connection
            self._keep(connection, stack)

    def _keep(self, connection: Connection, stack: ExitStack) -> None:
        if self._next:
            self._connection, self._held = connection, stack.pop_all()

    def _begun(self, script: Next | None, age_s: float | None) -> None:
        """Remembers that a transaction has the lock for a script, as old as that."""
        if script and age_s is not None:
            self._next = script[0].name, script[1]
            self._fresh_until = time.monotonic() + _FRESH_S - age_s

    def _opened(self, connection: Connection, script: Next) -> tuple[Message | None, Opening | None]:
        """A script's own message and its opening, which may have been made before."""
        if self._announced and self._announced[:2] == (connection, script):
            return self._announced[2:]
        message = self._message(script[0])
        return message, self._opening(connection, script) if message else None

    def _opening(self, connection: Connection, script: Next) -> Opening | None:
        table = self.ledger.table
        return self.dialect.opening_at_once(connection, self.key, table, script[0].name, script[1])

    def release(self) -> None:
        """Ends the transaction that was begun for a script, if there is one; nothing is in it."""
        held, self._held, self._connection, self._next = self._held, None, None, None
        if held:
            with suppress(SQLAlchemyError):  # whatever it is, who comes next will meet it
                held.close()

    def _claim(self, connection: Connection, script: Next) -> None:
        opening = self._opening(connection, script)
        try:
            if opening is None or self.dialect.send_at_once(connection, "", opening) is None:
                raise NotAtOnceError
        except DBAPIError as error:
            if self.dialect.is_passing(error):
                raise
            raise NotAtOnceError from error

    def run(
        self,
        connection: Connection,
        script: Script,
        whole: Whole,
        following: Sequence[Next],
    ) -> None:
        """Runs a script, records it as applied, and commits.

        Args:
            connection: That of `holding`.
            script: The script.
            whole: What `whole` makes of it.
            following: What will be run next, and its time-outs, as far as that is known: no more than two.

        Raises:
            CommittedError: It is done, and the transaction that was begun behind it has failed.
            NotAtOnceError: A row was refused, or the commit.
            RefusedError: The database refused a statement of the script.
            DatabaseConnectionError: The connection was lost.
        """
        driver, message = connection.dialect, whole.message
        first = following[0] if following else None
        ahead, opening = self._opened(connection, first) if first else (None, None)

        def prepare() -> None:
            """Makes the next message, and the opening of that after it, while the server is busy."""
            if first and ahead:
                self._ahead = first[0].name, self._whole(first[0], ahead, driver)
            for each in following[1:]:
                self._announced = connection, each, *self._opened(connection, each)

        try:
            age_s = self.dialect.send_at_once(connection, whole.sql, opening, prepare)
        except UnicodeEncodeError as error:
            raise NotAtOnceError from error
        except DBAPIError as error:
            server = self.dialect.explain(error, whole.text)
            # What the server tells of its own end comes behind all that it has done until then.
            done = math.inf if server.code is None or server.completed is None else server.completed
            if whole.statements < done < math.inf:
                raise CommittedError from error
            raise_if_lost(self.dialect, error, script, at_commit=done >= whole.statements)
            if done >= message.last - message.first or (server.offset or 0) > len(whole.text):
                raise NotAtOnceError from error
            raise refused(self.dialect, script, message, whole.text, server) from error
        self._begun(first, age_s)

    def _whole(self, script: Script, message: Message, driver: Driver) -> Whole:
        text = script.source[message.start : message.end].decode()
        record, *others = self._both_rows(driver, script)
        # The line's end closes a comment, and the semicolon the script's last statement.
        sql = ";\n".join((f"{text}\n", _CERTAIN.format(record), *others, "COMMIT"))
        return Whole(message, text, sql, message.last - message.first + 1 + len(others))

    def _both_rows(self, driver: Driver, script: Script) -> list[str]:
        kept = self.ledger.kept(script.source)
        rows = self._made(driver, kept is not None, lambda: self._statements(script))
        values = {
            "migration_name": literal(script.name),
            "checksum": literal(script.checksum),
            "execution_time_ms": self.dialect.elapsed_ms_sql,
            "duration_ms": self.dialect.elapsed_ms_sql,
            "source": literal(kept),
        }
        return [row.text(values) for row in rows]

    def _made(self, driver: Driver, which: object, make: Callable[[], list[Insert]]) -> list[_Row]:
        """The rows of these statements: compiled once, also for other databases whose tables are the same."""
        ledger = self.ledger
        known: dict[object, list[_Row]] = ledger.table.info.setdefault(_ROWS, {})
        key = (type(driver), ledger.keeps_log, ledger.log_is_old, which)
        if key not in known:
            known[key] = [_Row(statement, driver) for statement in make()]
        return known[key]

    def _trial(self) -> Insert:
        return self.ledger.log_statement(LogEntry(Event.STARTED, self.ledger.log_table.name))

    def _statements(self, script: Script) -> list[Insert]:
        ledger = self.ledger
        rows = [ledger.record_statement(script.name, script.checksum, 0)]
        if ledger.keeps_log:
            entry = LogEntry(Event.APPLIED, script.name)
            rows.append(
                ledger.log_statement(entry, checksum=script.checksum, duration_ms=0, source=script.source)
            )
        return rows


class _Row:
    """An INSERT as text, compiled once for many rows."""

    def __init__(self, statement: Insert, driver: Driver) -> None:
        compiled = statement.compile(dialect=driver)
        self._sql = str(compiled)
        self._values = {name: literal(value) for name, value in compiled.params.items()}

    def text(self, values: Mapping[str, str]) -> str:
        """The INSERT of these values, which are SQL, and for the rest of those that it was compiled with."""
        return self._sql % {**self._values, **values}


def may_keep(bind: Engine | Connection) -> bool:
    """Whether a connection can be kept between two scripts: whoever is told of the first one gets another."""
    if not isinstance(bind, Engine):
        return False
    return isinstance(bind.pool, NullPool) or (isinstance(bind.pool, QueuePool) and bind.pool.size() != 1)
