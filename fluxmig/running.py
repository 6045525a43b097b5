"""A plan's scripts, one after the other, also across connections that are lost on the way."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Engine, literal, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fluxmig.errors import DatabaseConnectionError
from fluxmig.model import Mode, Outcome, Report, StepResult, Wait, WaitReason
from fluxmig.pauses import growing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fluxmig.execute import Executor
    from fluxmig.model import Finding, Plan, Script

__all__ = ["Run"]

_T = TypeVar("_T")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
"""Between two knocks at a server that is gone."""

_LOSSES = 3
"""How many lost connections one script may cost: it may be the script that ends the server."""


@dataclass(slots=True)
class Run:
    """One run, and what has become of it so far.

    Attributes:
        keep_going: Whether to go on after a failure.
        retry_connection_s: How long to wait for the server after a lost connection; 0 is not to go on.
        tell: Hears when a connection was lost.
        on_start: Called before each script.
        on_step: Called after each script.
        pending: What was pending before, in order.
        findings: What to know beside.
        results: The steps, in order.
    """

    keep_going: bool = False
    retry_connection_s: float = 0.0
    tell: Callable[[Wait], None] | None = None
    on_start: Callable[[Script], None] | None = None
    on_step: Callable[[StepResult], None] | None = None
    pending: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    results: list[StepResult] = field(default_factory=list)
    _started: float = field(default_factory=time.perf_counter)

    def go(self, executor: Executor, plan: Plan) -> None:
        """Applies the plan's scripts, up to the first failure unless it is to keep going.

        Raises:
            FluxmigError: As `Executor.apply`; `report` tells what was done before.
        """
        recorded: frozenset[str] = frozenset()
        interruptions: list[KeyboardInterrupt] = []
        executor = replace(executor, interruptions=interruptions)
        with executor.patience.lookout, ExitStack() as undo:
            undo.callback(executor.release)
            for place, planned in enumerate(plan.scripts):
                after = plan.scripts[place + 1 : place + 3]
                if self.on_start:
                    self.on_start(planned)
                if planned.name in recorded:
                    result = StepResult(planned.name, Outcome.SKIPPED, mode=planned.mode)
                else:
                    result = self._apply(executor, planned, after, restarts=planned.name in plan.restarts)
                    if result.outcome is Outcome.SKIPPED:  # then others are ahead, and not of this one alone
                        with suppress(SQLAlchemyError):  # without this, each is looked up under the lock
                            recorded = executor.recorded()
                self.results.append(result)
                if self.on_step:
                    self.on_step(result)
                if interruptions:
                    raise interruptions[0]
                if result.outcome is Outcome.FAILED and not self.keep_going:
                    break

    def report(self) -> Report:
        """What was done, and what is left."""
        done = {result.name for result in self.results if result.outcome is not Outcome.FAILED}
        left = tuple(name for name in self.pending if name not in done)
        elapsed_ms = round((time.perf_counter() - self._started) * 1000)
        return Report(tuple(self.results), left, tuple(self.findings), elapsed_ms)

    def _apply(
        self, executor: Executor, script: Script, after: Sequence[Script], *, restarts: bool
    ) -> StepResult:
        """Applies a script; again from where it stopped, where the connection was lost and comes back.

        What the ledger and the log say is read again under the lock, which the server's own end of the lost
        connection may hold for a while. So a commit that was in doubt has been made by then, or never will.
        """
        losses, in_doubt = 0, False
        while True:
            try:
                if restarts:
                    executor.restart(script)
                    restarts = False
                result = executor.apply(script, after)
            except DatabaseConnectionError as error:
                losses += 1
                if losses > _LOSSES or not self._comes_back(executor, error, script.name):
                    raise
                in_doubt = in_doubt or error.in_doubt or script.mode is Mode.NO_TRANSACTION
                executor = replace(executor, attempted=executor.attempted | {script.path.name})
            else:
                break
        if in_doubt and result.outcome is Outcome.SKIPPED:  # it was this run that had applied it
            result = replace(result, outcome=Outcome.APPLIED)
        return replace(result, tries=result.tries + losses) if losses else result

    def again(self, executor: Executor, action: Callable[[], _T]) -> _T:
        """What an action gives that changes nothing where it fails; again, where the connection was lost."""
        for _ in range(_LOSSES):
            try:
                return action()
            except DatabaseConnectionError as error:
                if not self._comes_back(executor, error):
                    raise
        return action()

    def _comes_back(self, executor: Executor, lost: DatabaseConnectionError, name: str | None = None) -> bool:
        """Whether the server answers again in time; False at once where one does not wait for it."""
        if self.retry_connection_s <= 0 or not isinstance(executor.bind, Engine):
            return False
        deadline = time.monotonic() + self.retry_connection_s
        if self.tell:
            message = f"{lost.message}; waiting up to {self.retry_connection_s:.0f} s for the server"
            self.tell(Wait(WaitReason.CONNECTION, message, name))
        for pause_s in growing(_FIRST_PAUSE_S, _LONGEST_PAUSE_S):
            time.sleep(pause_s)
            try:
                with executor.bind.connect() as connection:
                    connection.scalar(select(literal(1)))
            except (DBAPIError, OSError):
                if time.monotonic() >= deadline:
                    break
            else:
                return True
        return False
