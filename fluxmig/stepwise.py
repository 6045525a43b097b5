"""A script without a transaction: its parts one after the other, each with its row of progress in the log."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from shlex import quote
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fluxmig.dialects.base import PAST_THE_POOLER, ServerError
from fluxmig.duplicates import there_already
from fluxmig.model import Event, LogEntry
from fluxmig.script import Digest, holds_progress, units
from fluxmig.sending import RefusedError, failure, raise_if_lost, send_statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from fluxmig.dialects import Dialect
    from fluxmig.duplicates import Skipping
    from fluxmig.ledger import Ledger
    from fluxmig.lock import Lock
    from fluxmig.model import Script, Statement
    from fluxmig.script import Unit
    from fluxmig.sending import Observer

__all__ = ["AlreadyThereError", "Stepwise", "half_way"]


class AlreadyThereError(Exception):
    """The ledger got or lost the row while we waited for the lock: another runner was faster."""


class _OvertakenError(Exception):
    """Another runner has done a part of the script that we were about to do."""


@dataclass(frozen=True, slots=True)
class Stepwise:
    """One script on a connection in autocommit that has the lock, where there is one for sessions.

    Attributes:
        dialect: What the database can do.
        ledger: Whose log keeps the progress.
        connection: Where to send.
        script: What to send, from behind what is done.
        state: What the dialect needs to act as the user before the script; None where it changes none.
        tell: Takes the migration's name and a note for people.
        lock: That of the runners, which the session has.
        skipping: What passes over statements whose object is there already; None where they fail.
        observer: Who watches the statements run, or nobody.
    """

    dialect: Dialect
    ledger: Ledger
    connection: Connection
    script: Script
    state: Any
    tell: Callable[[str, str], None]
    lock: Lock
    skipping: Skipping | None = None
    observer: Observer | None = None

    def run(self) -> bool:
        """Runs what is left; False where another runner has done some of it, and nothing was done twice.

        Raises:
            RefusedError: The database refused a statement; what was done before it is in the log.
            AlreadyThereError: Another runner has come to the script's end.
            DatabaseConnectionError: The connection was lost.
        """
        digest = Digest(self.script)
        is_pooled = self.dialect.is_pooled(self.connection)
        try:
            for unit in units(self.script):
                if is_pooled:
                    self._refuse_without_lock(unit)
                self._run_unit(unit, digest)
        except _OvertakenError:
            return False
        return True

    def _run_unit(self, unit: Unit, digest: Digest) -> None:
        """Runs a unit and keeps in the log that it is done; in one transaction wherever that can be."""

        def keep() -> None:
            entry = LogEntry(
                Event.PROGRESS, self.script.path.name, self._passed_over(unit), statement_number=unit.last
            )
            with self.dialect.acting_as(self.connection, self.state):
                self.ledger.log(self.connection, entry, checksum=digest.of_first(unit.last))

        last = self.script.statements[unit.last - 1]
        try:
            if unit.own:
                self._run_own_transaction(unit, keep)
            elif not self._run_atomic(last, keep):
                self._refuse_if_overtaken(unit.first)
                self._run_alone(last)
                self._keep_behind(unit, keep)
        except DBAPIError as error:
            raise_if_lost(self.dialect, error, self.script)
            server = self.dialect.explain(error)
            refused = RefusedError(failure(self.dialect, self.script, server, last), server)
            raise half_way(self.dialect, self.script, refused, unit.first, self.ledger) from error
        except RefusedError as refused:
            raise half_way(self.dialect, self.script, refused, unit.first, self.ledger) from refused.__cause__

    def _passed_over(self, unit: Unit) -> str | None:
        """What of a unit was there already, for the log: an attempt that goes on behind it cannot tell."""
        skipped = self.skipping.skipped if self.skipping else ()
        numbers = [each.number for each in skipped if unit.first < each.number <= unit.last]
        return there_already(numbers) if numbers else None

    def _run_own_transaction(self, unit: Unit, keep: Callable[[], None]) -> None:
        """From BEGIN to COMMIT, with the row of progress right before the COMMIT."""
        statements = self.script.statements
        holds = holds_progress(self.script, unit)
        try:
            self._send_plain(statements[unit.first])
            if self._looks_out:
                self.ledger.claim(self.connection)  # from a read to a write, SQLite lets only one of two
            self._refuse_if_overtaken(unit.first)
            for place in range(unit.first + 1, unit.last - 1):
                self._send(statements[place])
            if holds:
                keep()
            self._send_plain(statements[unit.last - 1])
        except BaseException:
            with suppress(SQLAlchemyError):
                self.dialect.abandon(self.connection)
            raise
        if not holds:
            self._keep_behind(unit, keep)

    def _keep_behind(self, unit: Unit, keep: Callable[[], None]) -> None:
        """Keeps what is done in a transaction of its own; not where another runner has gone on since.

        It would say less than that one's rows do, and stand behind them.
        """
        with self.lock.atomic(self.connection):
            self._refuse_if_overtaken(unit.first)
            keep()

    def _run_atomic(self, statement: Statement, keep: Callable[[], None]) -> bool:
        """Runs a statement in one transaction with its row of progress; False where that cannot be."""
        if not self.dialect.may_be_atomic(statement.sql):
            return False
        try:
            with self.lock.atomic(self.connection):
                self._refuse_if_overtaken(statement.number - 1)
                self._send(statement)
                keep()
        except RefusedError as refused:
            if not self.dialect.must_be_alone(refused.server):
                raise
            return False
        return True

    def _run_alone(self, statement: Statement) -> None:
        """Runs a statement outside of transactions; it may find that it was done already."""
        try:
            send_statement(self.dialect, self.connection, self.script, statement, self._tell, self.observer)
        except RefusedError as refused:
            is_next = self.script.interrupted and statement.number == self.script.done + 1
            if is_next and self.dialect.is_done(statement.sql, refused.server):
                # Who is cut off after the server has done it cannot say so.
                self._tell(f"statement {statement.number} was done already when the last attempt was cut off")
            elif self.skipping:
                self.skipping.skip(self.connection, statement, refused)
            else:
                raise
        else:
            if self.skipping:
                self.skipping.note(statement)
        if self.dialect.is_in_transaction(self.connection):
            self.dialect.abandon(self.connection)
            server = ServerError("the statement left a transaction open, which is rolled back")
            raise RefusedError(failure(self.dialect, self.script, server, statement), server)

    def _refuse_without_lock(self, unit: Unit) -> None:
        """Raises `RefusedError` before a unit, where the session is not that in which the lock was taken."""
        if not self.dialect.holds_session(self.connection, self.lock.key):
            server = ServerError("a pooler has given us another session, and the lock is in the one before")
            first = self.script.statements[unit.first]
            why = failure(self.dialect, self.script, server, first, remedy=PAST_THE_POOLER)
            raise half_way(self.dialect, self.script, RefusedError(why, server), unit.first, self.ledger)

    def _refuse_if_overtaken(self, done: int) -> None:
        """Where no session lock keeps other runners out, the log tells of them, under the lock of a write.

        Raises:
            _OvertakenError: One of them has gone on with the script.
            AlreadyThereError: One of them has come to its end.
        """
        if not self._looks_out:
            return
        name = self.script.path.name
        progress = self.ledger.progress(self.connection, name).get(name)
        if progress is None:
            raise AlreadyThereError
        if progress.done != done:
            raise _OvertakenError

    @property
    def _looks_out(self) -> bool:
        """Whether there may be other runners, and the log tells of them."""
        return not self.dialect.has_session_lock and self.ledger.keeps_log

    def _send(self, statement: Statement) -> None:
        if self.skipping:
            self.skipping.send(self.connection, statement)
        else:
            self._send_plain(statement)

    def _send_plain(self, statement: Statement) -> None:
        send_statement(self.dialect, self.connection, self.script, statement, observer=self.observer)

    def _tell(self, text: str) -> None:
        self.tell(self.script.name, text)


def half_way(
    dialect: Dialect, script: Script, refused: RefusedError, done: int, ledger: Ledger
) -> RefusedError:
    """The refusal, with how many of the script's statements stay done, and what the next run makes of it."""
    why = replace(refused.failure, done=done)
    if done:
        is_down = script.path.name != script.name
        again = "rollback" if is_down else "run"
        following = f"There is no log to keep this, so the next {again} begins with statement 1."
        if ledger.keeps_log:
            restart = f"; `fluxmig run --restart {quote(script.name)}` begins with statement 1"
            if is_down:
                restart = f"; `fluxmig resolve {quote(script.name)} --retry` has it begin with statement 1"
            following = f"The next {again} goes on with statement {done + 1}{restart}."
        remedy = f"{_kept(dialect, script, done, why.statement)} {following}"
        why = replace(why, remedy=f"{why.remedy}\n{remedy}" if why.remedy else remedy)
    return RefusedError(why, refused.server)


def _kept(dialect: Dialect, script: Script, done: int, failed: Statement | None) -> str:
    """That the first statements of a script stay done, and why."""
    count = len(script.statements)
    if dialect.has_transactional_ddl:
        kept = "are done, and stay so" if done > 1 else "is done, and stays so"
        since = f"no transaction, since {script.reason}" if script.reason else "by an earlier attempt"
        return f"{done} of {count} statements {kept}: {since}."
    number = failed.number if failed else done + 1
    first = {1: "statement 1 is", 2: "statements 1 and 2 are"}.get(done, f"statements 1 to {done} are")
    failing = f"Statement {number} of {count} failed"
    return f"{failing}; {first} done and cannot be rolled back on {dialect.product}."
