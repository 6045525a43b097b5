"""One script -> one StepResult: in a transaction with its ledger row, or statement by statement without."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fluxmig import sql
from fluxmig.errors import DatabaseConnectionError, LockTimeoutError
from fluxmig.excerpt import excerpt
from fluxmig.model import Event, Failure, LogEntry, Mode, OnDuplicate, Outcome, StepResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from fluxmig.dialects import Dialect
    from fluxmig.dialects.base import ServerError
    from fluxmig.ledger import Ledger
    from fluxmig.model import Script, Statement

__all__ = ["Executor"]

_PAUSE_S = 0.1
"""Between two tries at the lock."""


class _RefusedError(Exception):
    """The database refused a script; everything of it that could be rolled back is."""

    def __init__(self, failure: Failure, *, is_duplicate: bool) -> None:
        super().__init__(failure.headline)
        self.failure = failure
        self.is_duplicate = is_duplicate


class _AlreadyThereError(Exception):
    """The ledger got or lost the row while we waited for the lock: another runner was faster."""


@dataclass(frozen=True, slots=True)
class Executor:
    """Runs scripts on one database.

    Attributes:
        bind: An Engine; or the caller's Connection, which is used and never closed.
        dialect: What its database can do.
        ledger: Where to record.
        on_duplicate: What to do when an object is already there.
        wait_lock_s: How long to wait for another runner; 0 is at once.
        failed_before: The migrations whose last attempt failed. Without a transaction, what such a one finds
            there already is its own leftover, and no duplicate.
        causes: The driver's errors behind the failures so far, by migration.
    """

    bind: Engine | Connection
    dialect: Dialect
    ledger: Ledger
    on_duplicate: OnDuplicate = OnDuplicate.MARK
    wait_lock_s: float = 300.0
    failed_before: frozenset[str] = frozenset()
    causes: dict[str, BaseException | None] = field(default_factory=dict)

    # --- what a migrator asks for -------------------------------------------------------------------------

    def apply(self, script: Script) -> StepResult:
        """Runs a migration and records it, or says why not.

        Raises:
            DatabaseConnectionError: The connection was lost; what was in a transaction is rolled back,
                unless it was lost at the commit itself, and then the message says so.
            LockTimeoutError: Another runner had the lock for too long; nothing was run.
        """
        started = time.perf_counter()

        def record(connection: Connection) -> None:
            self.ledger.record(
                connection,
                Event.APPLIED,
                name=script.name,
                checksum=script.checksum,
                duration_ms=_ms_since(started),
            )

        try:
            self._run(script, record, present=False)
        except _AlreadyThereError:
            return self._result(script, Outcome.SKIPPED, started)
        except _RefusedError as refused:
            failure = refused.failure
            if refused.is_duplicate and self.on_duplicate is OnDuplicate.MARK:
                return self._mark(script, failure, started)
            self._log_failure(script, failure, started)
            self.causes[script.name] = refused.__cause__
            return replace(self._result(script, Outcome.FAILED, started), failure=failure)
        return self._result(script, Outcome.APPLIED, started)

    def reverse(self, script: Script) -> StepResult:
        """Runs a down script and removes its migration's record; raises as `apply` does."""
        started = time.perf_counter()

        def remove(connection: Connection) -> None:
            self.ledger.remove(
                connection, Event.ROLLED_BACK, name=script.name, duration_ms=_ms_since(started)
            )

        try:
            self._run(script, remove, present=True)
        except _AlreadyThereError:
            return self._result(script, Outcome.SKIPPED, started)
        except _RefusedError as refused:
            self.causes[script.name] = refused.__cause__
            return replace(self._result(script, Outcome.FAILED, started), failure=refused.failure)
        return self._result(script, Outcome.APPLIED, started)

    def unrecord(self, name: str) -> bool:
        """Removes a record and touches nothing else; False where it was gone already."""
        with self.claimed() as connection:
            if not self.ledger.has(connection, name):
                return False
            self.ledger.remove(connection, Event.UNRECORDED, name=name, duration_ms=0)
        return True

    def prepare(self) -> str | None:
        """Creates the ledger and the log where they are missing.

        Returns:
            Why there is no log, where the ledger could be had and the log could not; or None.
        """
        with self.claimed() as connection:
            self.ledger.create(connection)
        try:
            with self.claimed() as connection:
                self.ledger.create_log(connection)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            self.ledger.writes_log = False
            return self.dialect.explain(error).message
        return None

    @contextmanager
    def claimed(self) -> Iterator[Connection]:
        """A transaction that holds the runner's lock, asked for again and again, never waited for inside.

        Raises:
            LockTimeoutError: Another runner kept it for longer than `wait_lock_s`.
        """
        deadline = time.monotonic() + self.wait_lock_s
        while True:
            with self.dialect.transaction(self.bind) as connection:
                if self.dialect.claim(connection, self._key):
                    yield connection
                    return
                holder = self._holder_if_late(connection, deadline)
            self._pause(deadline, holder)

    # --- running ------------------------------------------------------------------------------------------

    def _run(self, script: Script, finish: Callable[[Connection], None], *, present: bool) -> None:
        """Runs a script, then `finish` for its ledger row; in one transaction where its mode allows it.

        Args:
            script: What to run.
            finish: Writes the ledger row.
            present: Whether the ledger must have the migration now; if not so, nothing is run.
        """
        if script.mode is Mode.TRANSACTION:
            self._run_in_transaction(script, finish, present=present)
        else:
            self._run_without(script, finish, present=present)

    def _run_in_transaction(
        self, script: Script, finish: Callable[[Connection], None], *, present: bool
    ) -> None:
        phase = "before the script"
        try:
            with self.claimed() as connection:
                if self.ledger.has(connection, script.name) is not present:
                    raise _AlreadyThereError
                phase = "script"
                with self._same_session(connection, script):
                    self._send(connection, script)
                phase = "when its ledger row was written"
                finish(connection)
                if isinstance(self.bind, Engine) and self.dialect.leaves_traces(script):
                    connection.detach()  # so that no later user of the pool sees what the script has set
                phase = "at the commit"
        except DBAPIError as error:
            self._raise_if_lost(error, script, in_doubt=phase == "at the commit")
            server = self.dialect.explain(error)
            remedy = f"This came {phase}, after every statement had run. Everything is rolled back."
            failure = _failure(script, server, None, None, remedy=remedy)
            raise _RefusedError(failure, is_duplicate=False) from error

    def _run_without(self, script: Script, finish: Callable[[Connection], None], *, present: bool) -> None:
        with self.dialect.autocommit(self.bind) as connection:
            self._wait_for_session_lock(connection)
            try:
                if self.ledger.has(connection, script.name) is not present:
                    raise _AlreadyThereError
                with self._same_session(connection, script):
                    for statement in script.statements:
                        self._send_one(connection, script, statement, done=statement.number - 1)
                finish(connection)
            except DBAPIError as error:
                self._raise_if_lost(error, script, in_doubt=False)
                raise
            finally:
                with suppress(SQLAlchemyError):  # the server frees the lock of a session that is gone
                    self.dialect.release_session(connection, self._key)
                if isinstance(self.bind, Engine) and self.dialect.leaves_traces(script):
                    connection.invalidate()

    @contextmanager
    def _same_session(self, connection: Connection, script: Script) -> Iterator[None]:
        """Keeps what a script sets from the ledger's row, the next script, and the caller.

        In a transaction that fails, the rollback does it.
        """
        if not self.dialect.may_change_session(script):
            yield
            return
        state = self.dialect.session_state(connection)
        try:
            yield
        except _RefusedError:
            if script.mode is Mode.NO_TRANSACTION:
                with suppress(SQLAlchemyError):
                    self.dialect.restore_session(connection, state)
            raise
        self.dialect.restore_session(connection, state)

    def _send(self, connection: Connection, script: Script) -> None:
        """The whole file in one message where the driver can, else one statement after the other."""
        if not script.statements:
            return
        if not self.dialect.whole_file(connection):
            for statement in script.statements:
                self._send_one(connection, script, statement, done=0)
            return
        try:
            self.dialect.send(connection, script.sql)
        except DBAPIError as error:
            self._raise_if_lost(error, script, in_doubt=False)
            server = self.dialect.explain(error, script.sql)
            failing = _statement_at(script, server)
            raise self._refused(connection, script, server, failing, server.offset, done=0) from error

    def _send_one(self, connection: Connection, script: Script, statement: Statement, *, done: int) -> None:
        try:
            self.dialect.send(connection, statement.sql)
        except DBAPIError as error:
            self._raise_if_lost(error, script, in_doubt=False)
            server = self.dialect.explain(error, statement.sql)
            offset = None if server.offset is None else statement.start + server.offset
            raise self._refused(connection, script, server, statement, offset, done=done) from error

    def _refused(
        self,
        connection: Connection,
        script: Script,
        server: ServerError,
        statement: Statement | None,
        offset: int | None,
        *,
        done: int,
    ) -> _RefusedError:
        """What to raise for a statement that the database refused."""
        remedy = None
        is_duplicate = self.dialect.is_duplicate(server)
        if is_duplicate and script.mode is Mode.NO_TRANSACTION:
            remedy = self.dialect.broken_duplicate(connection, server)
            if remedy is None and script.name in self.failed_before:
                remedy = (
                    "An earlier attempt stopped half-way and left this behind. Undo what it did, or let its"
                    " statements bear repeating (IF NOT EXISTS), and run again."
                )
            is_duplicate = remedy is None
        if done and not remedy:
            remedy = (
                f"Statements 1 to {done} of {len(script.statements)} are done and stay done: the script ran"
                f" without a transaction ({script.reason}). The next run begins with statement 1 again."
            )
        return _RefusedError(
            _failure(script, server, statement, offset, done=done, remedy=remedy), is_duplicate=is_duplicate
        )

    def _raise_if_lost(self, error: DBAPIError, script: Script, *, in_doubt: bool) -> None:
        if not error.connection_invalidated:
            return
        message = f"the connection was lost in {script.path}: {self.dialect.explain(error).message}"
        if in_doubt:
            remedy = "It was lost at the commit: `fluxmig status` tells whether the migration is applied."
        elif script.mode is Mode.TRANSACTION:
            remedy = "The server rolls the migration back; run again when it is there."
        else:
            remedy = "The script ran without a transaction: some of its statements may be done."
        raise DatabaseConnectionError(message, remedy=remedy) from error

    # --- recording ----------------------------------------------------------------------------------------

    def _mark(self, script: Script, failure: Failure, started: float) -> StepResult:
        """Records a migration whose object was there already, and keeps in the log what was lost."""
        failing = failure.statement.number if failure.statement else None
        lost = tuple(
            statement for statement in script.statements if failure.done < statement.number != failing
        )
        result = replace(self._result(script, Outcome.MARKED, started), failure=failure, lost=lost)
        message = f"{failure.message}; {result.loss}"
        entry = LogEntry(Event.MARKED, script.name, message, failure.code, failing, failure.line)
        with self.claimed() as connection:
            if self.ledger.has(connection, script.name):
                return self._result(script, Outcome.SKIPPED, started)
            self.ledger.record(
                connection,
                Event.MARKED,
                name=script.name,
                checksum=script.checksum,
                duration_ms=result.duration_ms,
                entry=entry,
            )
        return result

    def _log_failure(self, script: Script, failure: Failure, started: float) -> None:
        """Keeps the failure in the log; an error on the way never hides the failure itself."""
        number = failure.statement.number if failure.statement else None
        entry = LogEntry(Event.FAILED, script.name, failure.message, failure.code, number, failure.line)
        with suppress(SQLAlchemyError), self.dialect.transaction(self.bind) as connection:
            self.ledger.log(connection, entry, checksum=script.checksum, duration_ms=_ms_since(started))

    def _result(self, script: Script, outcome: Outcome, started: float) -> StepResult:
        return StepResult(script.name, outcome, _ms_since(started), script.mode, len(script.statements))

    # --- the lock -----------------------------------------------------------------------------------------

    @property
    def _key(self) -> str:
        """One lock a ledger: runners of different ledgers in one database do not wait for each other."""
        return f"fluxmig:{self.ledger.table.fullname}"

    def _wait_for_session_lock(self, connection: Connection) -> None:
        deadline = time.monotonic() + self.wait_lock_s
        while not self.dialect.claim_session(connection, self._key):
            self._pause(deadline, self._holder_if_late(connection, deadline))

    def _holder_if_late(self, connection: Connection, deadline: float) -> str | None:
        return self.dialect.lock_holder(connection, self._key) if time.monotonic() >= deadline else None

    def _pause(self, deadline: float, holder: str | None) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise LockTimeoutError(
                f"another runner holds the lock: {holder or 'it is not known which'}",
                remedy="wait for it to finish, or give --wait-lock more seconds",
            )
        time.sleep(min(_PAUSE_S, left))


def _failure(
    script: Script,
    server: ServerError,
    statement: Statement | None,
    offset: int | None,
    *,
    done: int = 0,
    remedy: str | None = None,
) -> Failure:
    """The server's error with its place in the file: the error's own, else where its object is named."""
    line = column = None
    if offset is None and statement is not None and server.object:
        offset = _only_mention(statement, server.object)
    if offset is not None:
        line, column = sql.line_column(script.sql, offset)
    elif statement is not None:
        line, column = statement.line, statement.column
    return Failure(
        path=script.path,
        message=server.message,
        code=server.code,
        line=line,
        column=column,
        statement=statement,
        statements=len(script.statements),
        done=done,
        object=server.object,
        detail=server.detail,
        hint=server.hint,
        context=server.context,
        excerpt=excerpt(script.sql, line, column) if line else "",
        remedy=remedy,
    )


def _only_mention(statement: Statement, name: str) -> int | None:
    """The offset of the one place where a statement has the name that the server's message quotes.

    For many errors PostgreSQL sends no position: a missing table behind REFERENCES, a duplicate.
    """
    found = list(re.finditer(rf"(?<![\w$]){re.escape(name)}(?![\w$])", statement.sql, re.IGNORECASE))
    return statement.start + found[0].start() if len(found) == 1 else None


def _statement_at(script: Script, server: ServerError) -> Statement | None:
    """The statement that failed in a message of many: by the place, by what was done, or the only one."""
    if server.offset is not None:
        found = [statement for statement in script.statements if statement.start <= server.offset]
        return found[-1] if found else script.statements[0]
    if server.completed is not None and server.completed < len(script.statements):
        return script.statements[server.completed]
    return script.statements[0] if len(script.statements) == 1 else None


def _ms_since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
