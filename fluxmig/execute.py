"""One script -> one StepResult: in a transaction with its ledger row, or statement by statement without."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fluxmig import presence
from fluxmig.at_once import AtOnce, CommittedError, NotAtOnceError, may_keep
from fluxmig.dialects.base import Dialect, ServerError
from fluxmig.duplicates import Skipping, makes_again, refuted, there_already, with_remedy, would_be_lost
from fluxmig.errors import ConfigError
from fluxmig.model import (
    Event,
    Failure,
    LogEntry,
    Mode,
    Notice,
    OnDuplicate,
    Outcome,
    StepResult,
)
from fluxmig.objects import effects
from fluxmig.patience import Patience, limits_of
from fluxmig.script import resumed, session_statements
from fluxmig.sending import RefusedError, failure, raise_if_lost, send_script, send_statement
from fluxmig.stepwise import AlreadyThereError, Stepwise, half_way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from fluxmig.dialects.base import Heard
    from fluxmig.ledger import Ledger
    from fluxmig.lock import Lock
    from fluxmig.model import Lost, Script, Statement
    from fluxmig.sending import Observer

__all__ = ["Executor"]


@dataclass(slots=True)
class _Phase:
    """How far a transaction has come, for what is said of its error.

    Attributes:
        name: The part of it that runs, as in "This came at the commit".
        has_run: Whether every statement of the script has.
    """

    name: str = "before the script"
    has_run: bool = False


@dataclass(frozen=True, slots=True)
class Executor:
    """Runs scripts on one database.

    Attributes:
        bind: An Engine; or the caller's Connection, which is used and never closed.
        dialect: What its database can do.
        ledger: Where to record.
        lock: What keeps other runners out.
        on_duplicate: What to do when an object is already there, where the file says nothing.
        patience: With those who hold a script up.
        attempted: The scripts that an earlier attempt has begun without a transaction. What such a one finds
            there already is its own leftover, and no duplicate.
        on_notice: Called with what the server says while a script runs.
        at_once: What runs a script with its rows in one message, where that may be done.
        is_ready: Whether the ledger and the log were found, with all of their columns.
        is_new: Whether neither of them was found.
        observer: Who watches the statements run, or nobody; only then they are sent one by one.
        causes: The driver's errors behind the failures so far, by migration.
        interruptions: Where signals are kept that came behind the commit of a script, by who follows them
            when he knows of it; with None, they are raised at once.
    """

    bind: Engine | Connection
    dialect: Dialect
    ledger: Ledger
    lock: Lock
    on_duplicate: OnDuplicate = OnDuplicate.MARK
    patience: Patience = field(default_factory=Patience)
    attempted: frozenset[str] = frozenset()
    on_notice: Callable[[Notice], None] | None = None
    at_once: AtOnce | None = None
    is_ready: bool = False
    is_new: bool = False
    observer: Observer | None = None
    causes: dict[str, BaseException | None] = field(default_factory=dict)
    interruptions: list[KeyboardInterrupt] | None = None
    _notices: list[Notice] = field(default_factory=list)
    _skipped: list[Statement] = field(default_factory=list)

    # --- what a migrator asks for -------------------------------------------------------------------------

    def apply(self, script: Script, after: Sequence[Script] = ()) -> StepResult:
        """Runs a migration and records it, or says why not.

        Args:
            script: What to run.
            after: What will be applied next, in order, as far as that is known and of use: no more than two.
                `release` takes back what is begun for the first.

        Raises:
            DatabaseConnectionError: The connection was lost; what was in a transaction is rolled back,
                unless it was lost at the commit itself, and then the message says so.
            LedgerError: What an earlier attempt has done changed while we waited for the lock.
            LockTimeoutError: Another runner had the lock for too long; nothing was run.
        """
        started = time.perf_counter()

        def record(connection: Connection) -> None:
            there = there_already(each.number for each in self._skipped) if self._skipped else None
            message = "; ".join(filter(None, (script.without, there))) or None
            self.ledger.record(
                connection,
                LogEntry(Event.APPLIED, script.name, message),
                checksum=script.checksum,
                duration_ms=_ms_since(started),
                source=script.source,
            )

        return self._step(script, record, started, present=False, after=after)

    def reverse(self, script: Script) -> StepResult:
        """Runs a down script and removes its migration's record; raises as `apply` does."""
        started = time.perf_counter()

        def remove(connection: Connection) -> None:
            duration_ms = _ms_since(started)
            self.ledger.remove(connection, LogEntry(Event.ROLLED_BACK, script.name), duration_ms=duration_ms)

        return self._step(script, remove, started, present=True)

    def release(self) -> None:
        """Ends what was begun for a script that is not applied next."""
        if self.at_once:
            self.at_once.release()

    def recorded(self) -> frozenset[str]:
        """The names that the ledger has by now, without the lock: what is there does not need it."""
        with self.dialect.reading(self.bind) as connection:
            return self.ledger.names(connection)

    def unrecord(self, name: str) -> bool:
        """Removes a record and touches nothing else; False where it was gone already."""
        with self.lock.transaction() as connection:
            if not self.ledger.has(connection, name):
                return False
            self.ledger.remove(connection, LogEntry(Event.UNRECORDED, name))
        return True

    def restart(self, script: Script) -> None:
        """Keeps in the log that what a script has done is not to be built upon; raises as `apply` does."""
        try:
            with self.lock.transaction() as connection:
                self.ledger.log(connection, LogEntry(Event.RESTARTED, script.name))
        except DBAPIError as error:
            raise_if_lost(self.dialect, error, script)
            raise

    def log_failure(self, script: Script, why: Failure, started: float) -> None:
        """Keeps the failure in the log; an error on the way never hides the failure itself."""
        number = why.statement.number if why.statement else None
        entry = LogEntry(Event.FAILED, script.path.name, why.message, why.code, number, why.line)
        with suppress(SQLAlchemyError), self.dialect.transaction(self.bind) as connection:
            self.ledger.log(connection, entry, checksum=script.checksum, duration_ms=_ms_since(started))

    def follow(
        self, interruption: KeyboardInterrupt, script: Script, started: float, *, present: bool
    ) -> None:
        """Raises a signal that has come while a script ran, and logs that it has ended the attempt.

        Where it came behind the commit, it is kept for later: the script is done.
        """
        entry = LogEntry(Event.INTERRUPTED, script.path.name, str(interruption) or None)
        duration_ms, is_own = _ms_since(started), self._has_own_transactions
        with suppress(SQLAlchemyError), self.dialect.transaction(self.bind) as connection:
            if is_own and self.ledger.has(connection, script.name) is not present:
                if self.interruptions is not None:
                    self.interruptions.append(interruption)
                    return
                raise interruption
            self.ledger.log(connection, entry, checksum=script.checksum, duration_ms=duration_ms)
        raise interruption

    def prepare(self, first: Script | None = None) -> str | None:
        """Creates the ledger and the log where they are missing, unless a script brings them.

        Args:
            first: What will be applied next, if that is known; as the first `after` of `apply`.

        Returns:
            Why there is no log, where the ledger could be had and the log could not; or None.

        Raises:
            ConfigError: The database admits no writing; nothing was tried.
        """
        if self._is_prepared_at_once(first):  # else the longer way does it, or tells why not
            return None
        if not self.ledger.is_brought:
            self._refuse_to_commit()
        self._create(self._create_ledger)
        if self.ledger.is_brought:
            return None
        try:
            self._create(self.ledger.create_log)
        except DBAPIError as error:
            if self.dialect.is_passing(error):
                raise
            self.ledger.writes_log = False
            return self.dialect.explain(error).message
        return None

    def _is_prepared_at_once(self, first: Script | None) -> bool:
        """Whether rows can be added to both tables, by now; nothing is done otherwise."""
        at_once, limits = self.at_once, self.patience.limits
        if at_once is None or not self.dialect.elapsed_ms_sql or not self._has_own_transactions:
            return False
        following = (first, limits_of(first, limits)) if first and not self.observer else None
        if self.is_ready:
            return at_once.can_record(self.bind, limits, following)
        return self.is_new and at_once.can_create(self.bind, limits, following)

    def _create_ledger(self, connection: Connection) -> None:
        """Creates the ledger, unless a script brings it; not where nothing can be written."""
        if refusal := self.dialect.read_only(connection):
            raise refusal
        if not self.ledger.is_brought:
            self.ledger.create(connection)

    def _create(self, create: Callable[[Connection], None]) -> None:
        """Creates a table under the lock; without one, another runner may be faster, and then it is there."""
        is_own = self._has_own_transactions
        try:
            with self.lock.transaction() as connection:
                if is_own:
                    self.dialect.limit(connection, self.patience.limits)
                create(connection)
        except DBAPIError as error:
            if self.dialect.has_lock or self.dialect.is_passing(error):
                raise
            with self.lock.transaction() as connection:
                create(connection)

    def _refuse_to_commit(self) -> None:
        """Raises `ConfigError` where making the tables would commit a transaction of the caller's."""
        bind, ledger = self.bind, self.ledger
        if self.dialect.has_transactional_ddl or isinstance(bind, Engine) or not bind.in_transaction():
            return
        if ledger.exists(bind) and ledger.log_exists(bind):
            return
        raise ConfigError(
            f"{ledger.table.fullname} or its log is not there yet, and making it would commit the transaction"
            " that the given connection is inside",
            remedy="run fluxmig once with an Engine, or a Connection that is not in a transaction",
        )

    # --- one step -----------------------------------------------------------------------------------------

    def _step(
        self,
        script: Script,
        finish: Callable[[Connection], None],
        started: float,
        *,
        present: bool,
        after: Sequence[Script] = (),
    ) -> StepResult:
        """Runs a script, then `finish` for its ledger row; in one transaction where its mode allows it.

        Args:
            script: What to run.
            finish: Writes the ledger row.
            started: When the step began.
            present: Whether the ledger must have the migration now; if not so, nothing is run.
            after: As that of `apply`.
        """
        self._notices.clear()
        self._skipped.clear()
        self.patience.begin()
        policy = OnDuplicate.FAIL if present else script.on_duplicate or self.on_duplicate
        try:
            try:
                if script.mode is Mode.TRANSACTION:
                    self._try(script, finish, present=present, after=after)
                else:
                    self.release()
                    completing = policy is OnDuplicate.COMPLETE
                    self._run_without(script, finish, present=present, completing=completing)
            except RefusedError as refused:
                if not self._is_duplicate(refused):
                    raise
                if policy is OnDuplicate.COMPLETE and script.mode is Mode.TRANSACTION:
                    if not self.dialect.table_style.has_savepoints:
                        why_not = f"{self.dialect.product} has no savepoints, so a file cannot be completed."
                        raise with_remedy(refused, why_not) from refused.__cause__
                    self._try(script, finish, present=present, completing=True)
                elif policy in {OnDuplicate.MARK, OnDuplicate.VERIFY} and self._has_not_begun(
                    script, refused
                ):
                    return self._mark(script, refused, policy, started)
                else:
                    raise
        except AlreadyThereError:
            return self._result(script, Outcome.SKIPPED, started)
        except RefusedError as refused:
            if self._is_overtaken(script, present=present):
                return self._result(script, Outcome.SKIPPED, started)
            why = self._with_remedy(refused)
            self.log_failure(script, why, started)
            self.causes[script.name] = refused.__cause__
            return replace(self._result(script, Outcome.FAILED, started), failure=why)
        except KeyboardInterrupt as error:
            self.follow(error, script, started, present=present)
        return self._result(script, Outcome.APPLIED, started)

    def _try(
        self,
        script: Script,
        finish: Callable[[Connection], None],
        *,
        present: bool,
        completing: bool = False,
        after: Sequence[Script] = (),
    ) -> None:
        """Runs a script in a transaction, as often as patience lasts with those who hold it up."""

        def attempt() -> None:
            self._notices.clear()
            self._skipped.clear()
            if present or completing or not self._run_at_once(script, after):
                self._run_in_transaction(script, finish, present=present, completing=completing)

        self.patience.run(self.dialect, attempt, is_own=self._has_own_transactions)

    def _expect(self, name: str, connection: Connection, *, present: bool) -> None:
        """Raises `AlreadyThereError` where another runner was faster."""
        if self.ledger.has(connection, name) is not present:
            raise AlreadyThereError

    @property
    def _has_own_transactions(self) -> bool:
        return isinstance(self.bind, Engine) or not self.bind.in_transaction()

    def _run_at_once(self, script: Script, after: Sequence[Script]) -> bool:
        """Runs and records a script in one message; False, and nothing done, where it takes more steps."""
        at_once, phase = self.at_once, _Phase()
        if at_once is None or self.observer or not self._has_own_transactions:
            return False
        usual = self.patience.limits
        whole, limits = at_once.whole(script, self.bind.dialect), limits_of(script, usual)
        if whole is None:
            self.release()
            return False
        following = [(each, limits_of(each, usual)) for each in after] if may_keep(self.bind) else []
        try:
            with (
                self._errors_of_transaction(script, phase, present=False),
                at_once.holding(self.bind, script, limits) as connection,
                self._listening(connection, script),
                self.patience.watched(self.dialect, connection),
            ):
                at_once.run(connection, script, whole, following)
        except CommittedError:
            return True
        except NotAtOnceError:
            self._notices.clear()
            return False
        return True

    def _run_in_transaction(
        self,
        script: Script,
        finish: Callable[[Connection], None],
        *,
        present: bool,
        completing: bool = False,
    ) -> None:
        phase, state = _Phase(), None
        try:
            is_own = self._has_own_transactions

            expect = partial(self._expect, script.name, present=present)
            with (
                self._errors_of_transaction(script, phase, present=present),
                self.lock.transaction(script.characteristics, meanwhile=expect) as connection,
            ):
                expect(connection)
                if script.done:
                    script = self._fresh(connection, script)
                if not self.dialect.has_lock and not self.ledger.is_brought:
                    phase.name = "when its ledger row was written"
                    reserve = partial(self.ledger.reserve, checksum=script.checksum, present=present)
                    reserve(connection, script.name)
                phase.name = "script"
                try:
                    with (
                        self._listening(connection, script),
                        self._same_session(connection, script) as state,
                        self.patience.limited(self.dialect, connection, script, is_own=is_own),
                    ):
                        self._set_session_again(connection, script)
                        if completing:
                            skipping = self._skipping(script)
                            for place in range(script.done, len(script.statements)):
                                skipping.send(connection, script.statements[place])
                        else:
                            send_script(self.dialect, connection, script, self.observer)
                        self._check(connection, script)
                    phase.name, phase.has_run = "when its ledger row was written", True
                    finish(connection)
                finally:
                    if self._is_spoilt(script, state) and not connection.invalidated:
                        connection.detach()
                phase.name = "at the commit"
        except RefusedError as refused:
            if state is not None and not isinstance(self.bind, Engine):  # what a rollback does not undo
                with suppress(SQLAlchemyError), self.dialect.transaction(self.bind) as connection:
                    self.dialect.restore_session(connection, state)
            raise half_way(self.dialect, script, refused, script.done, self.ledger) from refused.__cause__
        finally:
            self.ledger.reserved = None

    @contextmanager
    def _errors_of_transaction(self, script: Script, phase: _Phase, *, present: bool) -> Iterator[None]:
        """Around a transaction: what the database says beside the script, as an error of the script's."""
        try:
            yield
        except DBAPIError as error:
            raise_if_lost(self.dialect, error, script, at_commit=phase.name == "at the commit")
            if phase.name.startswith("when") and self._is_overtaken(script, present=present):
                raise AlreadyThereError from error  # under a snapshot older than the other runner's commit
            server = self.dialect.explain(error)
            ran = ", after every statement had run" if phase.has_run else ""
            remedy = _lines(
                f"This came {phase.name}{ran}. Everything is rolled back.", self.dialect.remedy(server)
            )
            why = failure(self.dialect, script, server, None, remedy=remedy)
            raise RefusedError(why, server) from error

    def _run_without(
        self, script: Script, finish: Callable[[Connection], None], *, present: bool, completing: bool
    ) -> None:
        state = None

        expect = partial(self._expect, script.name, present=present)
        with self.dialect.autocommit(self.bind) as connection:
            try:
                with self.lock.session(connection, meanwhile=expect):
                    with self.lock.atomic(connection):
                        expect(connection)
                        script = self._fresh(connection, script)
                        first = script.done + 1
                        started = LogEntry(
                            Event.STARTED, script.path.name, script.without, statement_number=first
                        )
                        self.ledger.log(connection, started, checksum=script.checksum)
                    with (
                        self._listening(connection, script),
                        self._same_session(connection, script) as state,
                        self.patience.limited(self.dialect, connection, script, is_own=False),
                    ):
                        try:
                            self._set_session_again(connection, script)
                        except RefusedError as refused:
                            found = half_way(self.dialect, script, refused, script.done, self.ledger)
                            raise found from refused.__cause__
                        skipping = self._skipping(script) if completing else None
                        steps = Stepwise(
                            self.dialect,
                            self.ledger,
                            connection,
                            script,
                            state,
                            self._tell,
                            self.lock,
                            skipping,
                            self.observer,
                        )
                        while not steps.run():
                            steps = replace(steps, script=self._fresh(connection, script))
                    with self.lock.atomic(connection):
                        expect(connection)
                        finish(connection)
            except DBAPIError as error:
                raise_if_lost(self.dialect, error, script)
                raise
            finally:
                if self._is_spoilt(script, state):
                    connection.invalidate()

    # --- the session --------------------------------------------------------------------------------------

    @contextmanager
    def _same_session(self, connection: Connection, script: Script) -> Iterator[Any]:
        """Keeps what a script sets from the ledger's row, the next script, and the caller.

        In a transaction that fails, the rollback does it, but for PREPARE and its like: these go while it is
        sure that the session is still the same, behind a pooler too.
        """
        if not self.dialect.may_change_session(script):
            yield None
            return
        state = self.dialect.session_state(connection, script)
        try:
            yield state
        except BaseException:
            with suppress(SQLAlchemyError):
                if script.mode is Mode.TRANSACTION:
                    self.dialect.begin_again(connection)
                self.dialect.restore_session(connection, state)
            raise
        self.dialect.restore_session(connection, state)

    def _is_spoilt(self, script: Script, state: Any) -> bool:
        """Whether no later user of the pool may get the connection, for what the script has left in it.

        Args:
            script: What has run.
            state: That of `_same_session`; None where the script changes none.
        """
        return state is not None and isinstance(self.bind, Engine) and self.dialect.leaves_traces(script)

    def _set_session_again(self, connection: Connection, script: Script) -> None:
        """Sends what an earlier attempt had set in its session, which is gone."""
        for statement in session_statements(script, script.done):
            if self.dialect.repeatable(statement.sql):
                send_statement(self.dialect, connection, script, statement)

    def _listening(self, connection: Connection, script: Script) -> AbstractContextManager[None]:
        def hear(said: Heard) -> None:
            self._notice(Notice(script.name, **said))

        return self.dialect.listening(connection, hear)

    def _tell(self, name: str, text: str) -> None:
        self._notice(Notice(name, "NOTE", text))

    def _notice(self, notice: Notice) -> None:
        self._notices.append(notice)
        if self.on_notice:
            with suppress(Exception):  # as the driver has it for what the server says
                self.on_notice(notice)

    def _check(self, connection: Connection, script: Script) -> None:
        """Refuses what a script has left that its ledger row must not stand for."""
        if self.dialect.has_ended(connection):
            server = ServerError("the script ended the transaction it ran in")
            remedy = (
                "What it had done until then is committed, and not recorded. Undo it, take out what ends the"
                " transaction, or begin the file with `-- fluxmig: no-transaction`."
            )
            raise RefusedError(failure(self.dialect, script, server, None, remedy=remedy), server)
        if found := self.dialect.check(connection, script):
            statement, error = found
            server = ServerError(error.message)
            raise RefusedError(failure(self.dialect, script, server, statement, remedy=error.remedy), server)

    # --- recording ----------------------------------------------------------------------------------------

    def _is_duplicate(self, refused: RefusedError) -> bool:
        """Whether what was refused is a duplicate by its code, and none of fluxmig's own tables."""
        return self.dialect.is_duplicate(refused.server) and refused.server.object not in self._own_tables

    def _has_not_begun(self, script: Script, refused: RefusedError) -> bool:
        """Whether nothing of the script stays done: otherwise the rest of it is not to be given up."""
        return not refused.failure.done and script.path.name not in self.attempted

    def _with_remedy(self, refused: RefusedError) -> Failure:
        """The failure, with the way out where only fluxmig can know it."""
        table = self.ledger.table.name
        if self.dialect.is_held_up(refused.server):
            return self.patience.explained(refused.failure)
        if not self.dialect.is_duplicate(refused.server) or self._is_duplicate(refused):
            return refused.failure
        remedy = f"it is fluxmig's own: dump without it, by pg_dump --exclude-table '{table}*'"
        return replace(refused.failure, remedy=remedy)

    @property
    def _own_tables(self) -> frozenset[str]:
        return frozenset({self.ledger.table.name, self.ledger.log_table.name})

    def _mark(self, script: Script, refused: RefusedError, policy: OnDuplicate, started: float) -> StepResult:
        """Records a migration whose object was there already, and keeps in the log what was lost.

        Raises:
            RefusedError: The object was not there or does not work; or, by the policy `verify`, something
                would be lost. Nothing is recorded.
        """
        why, rules = refused.failure, self.dialect.rules
        failing = why.statement.number if why.statement else None
        with self.lock.transaction() as connection:
            if self.ledger.has(connection, script.name):
                raise AlreadyThereError
            if why.statement:
                reason = refuted(self.dialect, connection, script, why.statement, refused.server)
                if reason is None and makes_again(self.dialect, script, why.statement):
                    reason = "The file makes it twice."
                if reason is not None:
                    raise with_remedy(refused, reason)
            lost = presence.lost(script, failing, rules, partial(self.dialect.existing, connection))
            if policy is OnDuplicate.VERIFY:
                missed = tuple(would_be_lost(self.dialect, connection, script, lost))
                if missed:
                    raise with_remedy(refused, _not_verified(missed))
                lost = tuple(replace(each, exists=True) for each in lost)
            marked = replace(self._result(script, Outcome.MARKED, started), failure=why, lost=lost)
            entry = LogEntry(
                Event.MARKED,
                script.name,
                f"{why.message}; {marked.loss}",
                why.code,
                failing,
                why.line,
                statements=len(script.statements),
                lost=sum(each.exists is False for each in lost),
                unchecked=sum(each.exists is None for each in lost),
            )
            self.ledger.record(
                connection,
                entry,
                checksum=script.checksum,
                duration_ms=marked.duration_ms,
                source=script.source,
            )
        return marked

    def _skipping(self, script: Script) -> Skipping:
        tell = partial(self._tell, script.name)
        watch = presence.Watch(script, list(effects(script, self.dialect.rules)))
        return Skipping(self.dialect, script, watch, self._own_tables, tell, self._skipped, self.observer)

    def _is_overtaken(self, script: Script, *, present: bool) -> bool:
        """Whether a script failed that another runner had just come to the end of.

        A serializable transaction has its snapshot from before it gets the lock, and the other's commit may
        be in between. An error on the way never hides that of the script.
        """
        if script.mode is not Mode.TRANSACTION:
            return False
        with suppress(SQLAlchemyError), self.dialect.transaction(self.bind) as connection:
            return self.ledger.has(connection, script.name) is not present
        return False

    def _fresh(self, connection: Connection, script: Script) -> Script:
        """The script, with what is done of it as the log tells now that we have the lock."""
        name = script.path.name
        now = self.ledger.progress(connection, name).get(name)
        return resumed(script, now, self.dialect.repeatable)

    def _result(self, script: Script, outcome: Outcome, started: float) -> StepResult:
        return StepResult(
            script.name,
            outcome,
            _ms_since(started),
            script.mode,
            len(script.statements),
            reason=script.reason,
            resumed_at=script.done + 1,
            tries=self.patience.tries,
            skipped=tuple(self._skipped),
            notices=tuple(self._notices),
        )


def _not_verified(missed: tuple[Lost, ...]) -> str:
    """What a mark would lose, and the way out."""
    first, count = missed[0].statement, len(missed)
    others = "1 statement is no duplicate" if count == 1 else f"{count} statements are no duplicates"
    which = "that" if count == 1 else "the first"
    return (
        f"{others}, and would be lost; {which} of line {first.line}: {first.first_line}\n"
        "Nothing is recorded. --on-duplicate complete runs what is not there, and mark gives it up."
    )


def _ms_since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)


def _lines(*lines: str | None) -> str:
    return "\n".join(filter(None, lines))
