"""Who watches the statements of a rehearsal: times, rows and notices, which every database has."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from fluxmig import sql
from fluxmig.trace import StatementTrace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from fluxmig.dialects.base import Dialect, Heard
    from fluxmig.model import Script, Statement
    from fluxmig.trace import Work

__all__ = ["Seen", "Tracer"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the server tells behind a statement.

    Attributes:
        work: What it did.
        rows: How many rows, where the driver does not tell.
    """

    work: tuple[Work, ...] = ()
    rows: int | None = None


@dataclass
class Tracer:
    """Watches scripts run, one after the other, and keeps what it has seen of the last one.

    A subclass also asks its server. What it asks must not change what a statement does.

    Attributes:
        dialect: What the database can do.
        own: The names of the ledger and the log, which are not the script's to lock.
        knows_locks: Whether the server can be asked who locks what.
    """

    dialect: Dialect
    own: frozenset[str]
    knows_locks: bool = False
    _traces: list[StatementTrace] = field(default_factory=list)
    _elapsed_ms: float = 0.0
    _script: Script | None = None

    def traces(self, script: Script) -> tuple[StatementTrace, ...]:
        """What was seen of each statement of the script; nothing where another one was the last to run."""
        return tuple(self._traces) if self._script is not None and self._script.path == script.path else ()

    def close(self) -> None:
        """Ends what asks the server beside."""

    @contextmanager
    def watching(self, connection: Connection, script: Script, statement: Statement) -> Iterator[None]:
        """Around one statement. A script that is tried again is seen from its first statement on."""
        is_first = self._script is not script or not self._traces or statement.number <= self._traces[-1].last
        if is_first:
            self._script = script
            self._traces.clear()
            self.begin(connection, script)
            self._elapsed_ms = 0.0
        inside = self.dialect.is_in_transaction(connection)
        self.before(connection, statement, inside=bool(inside))
        trace = StatementTrace(statement, statement.number, self._elapsed_ms, 0.0)
        trace = replace(trace, in_transaction=script.reason is None if inside is None else inside)
        told = _Told()
        started = time.perf_counter()
        try:
            with _hearing(self.dialect, connection, told):
                yield
        except Exception as error:
            self.failed()
            why = str(error)
            if isinstance(error, DBAPIError):
                why = self.dialect.explain(error, statement.sql).message
            self._add(replace(trace, notices=tuple(told.said), error=why), started)
            raise
        trace = replace(trace, rows=told.rows, notices=tuple(told.said))
        if not is_first and self._is_one_more(statement):
            self._add_to_last(trace, started)
        else:
            trace = self._add(trace, started)
            seen = self.after(connection, statement, inside=bool(inside))
            rows = seen.rows if trace.rows is None else trace.rows
            self._traces[-1] = replace(trace, rows=rows, work=seen.work)

    def _add(self, trace: StatementTrace, started: float) -> StatementTrace:
        took_ms = 1000 * (time.perf_counter() - started)
        self._elapsed_ms += took_ms
        self._traces.append(replace(trace, duration_ms=took_ms))
        return self._traces[-1]

    # --- what a subclass asks its server ------------------------------------------------------------------

    def begin(self, connection: Connection, script: Script) -> None:
        """Before the first statement of a script."""

    def before(self, connection: Connection, statement: Statement, *, inside: bool) -> None:
        """Before each; `inside`: a transaction."""

    def after(self, connection: Connection, statement: Statement, *, inside: bool) -> Seen:
        """Behind each that went well, but those that were like the one before."""
        return Seen()

    def failed(self) -> None:
        """Behind one that was refused: the transaction may be, too, and is not asked."""

    # --- INSERTs, of which files of data hold millions ----------------------------------------------------

    def _is_one_more(self, statement: Statement) -> bool:
        """Whether it inserts into the table that the one before inserted into, right before it."""
        last = self._traces[-1]
        target = self._target(statement)
        return (
            target is not None
            and last.error is None
            and last.last + 1 == statement.number
            and target == self._target(last.statement)
        )

    def _target(self, statement: Statement) -> tuple[str, ...] | None:
        words = sql.tokens(statement.sql, self.dialect.rules, 5)
        if [word.upper() for word in words[:2]] != ["INSERT", "INTO"]:
            return None
        return tuple(words[2:5] if words[3:4] == ["."] else words[2:3])

    def _add_to_last(self, trace: StatementTrace, started: float) -> None:
        took_ms = 1000 * (time.perf_counter() - started)
        self._elapsed_ms += took_ms
        last = self._traces[-1]
        self._traces[-1] = replace(
            last,
            last=trace.number,
            duration_ms=last.duration_ms + took_ms,
            rows=(last.rows or 0) + (trace.rows or 0),
            notices=(*last.notices, *trace.notices),
        )


@dataclass(slots=True)
class _Told:
    """What is told of one statement while it runs: how many rows, and what the server says."""

    rows: int | None = None
    said: list[str] = field(default_factory=list)


@contextmanager
def _hearing(dialect: Dialect, connection: Connection, told: _Told) -> Iterator[None]:
    """Keeps what is told of what runs on the connection."""

    def count(sent_on: Connection, cursor: Any, *_: Any) -> None:
        if sent_on is connection and cursor.rowcount >= 0:
            told.rows = cursor.rowcount

    def hear(heard: Heard) -> None:
        told.said.append(f"{heard['severity']}: {heard['message']}")

    # The engine's: in SQLAlchemy 2.0.0, a connection in autocommit has no events of its own.
    event.listen(connection.engine, "after_cursor_execute", count)
    try:
        with dialect.listening(connection, hear):
            yield
    finally:
        event.remove(connection.engine, "after_cursor_execute", count)
