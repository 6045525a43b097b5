"""A fleet's targets -> results, by a pacing and a crew; what comes is kept as it comes."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from heapq import heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from fluxmig.errors import FluxmigError
from fluxmig.fleet.model import Result, TargetState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from fluxmig.fleet.crew import Crew
    from fluxmig.fleet.model import Job, Task, Wave
    from fluxmig.fleet.pacing import Pacing
    from fluxmig.fleet.state import State

__all__ = ["Runner"]

_END_S = 1.2
"""How long what is interrupted is waited for: the command line ends after two seconds."""

_UNREACHABLE_CODE = 6


@dataclass(slots=True)
class Runner:
    """One way through a fleet.

    Attributes:
        pacing: What is next.
        crew: Who does it.
        job_of: What a crew is to be told of a task.
        state: Where results are kept, and
        run: as which run.
        on_wave: Called at the end of each wave.
        on_result: Called with each final result, on the calling thread.
        results: The final results so far, by name.
        trouble: What went wrong with the state.
    """

    pacing: Pacing
    crew: Crew
    job_of: Callable[[Task], Job]
    state: State | None = None
    run: str = ""
    on_wave: Callable[[Wave], None] | None = None
    on_result: Callable[[Result], None] | None = None
    results: dict[str, Result] = field(default_factory=dict)
    trouble: FluxmigError | None = None
    _open: dict[Future[Result], Task] = field(default_factory=dict)
    _ended: SimpleQueue[Future[Result]] = field(default_factory=SimpleQueue)
    _deadlines: list[tuple[float, int, Future[Result]]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)
    _unwritten: dict[str, Result] = field(default_factory=dict)

    def go(self) -> None:
        """Works until all is done, or no more is to be handed out.

        A KeyboardInterrupt ends what is under way, keeps what came of it, and is raised again.
        """
        try:
            while not self.pacing.is_over:
                self._hand_out()
                self._write()
                self._hear(self._pause_s())
            self._write()
        except KeyboardInterrupt:
            self._interrupted()
            raise

    # --- parts --------------------------------------------------------------------------------------------

    def _hand_out(self) -> None:
        while task := self.pacing.take(time.monotonic()):
            job = self.job_of(task)
            now = datetime.now(UTC)
            target = task.target
            self._unwritten[target.name] = Result(
                target.name, target.group, TargetState.RUNNING, task.wave, began_at=now, tries=task.tries
            )
            try:
                future = self.crew.submit(job)
            except Exception as error:  # noqa: BLE001  # a pool that is broken, a cluster that is gone
                self._settle(task, _lost(task, error))
                continue
            self._open[future] = task
            if job.timeout_s is not None and self.crew.patience_s is not None:
                at = time.monotonic() + job.timeout_s + self.crew.patience_s
                heappush(self._deadlines, (at, next(self._numbers), future))
            future.add_done_callback(self._ended.put)

    def _pause_s(self) -> float | None:
        """How long to wait for something to end; None: for as long as it takes."""
        while self._deadlines and self._deadlines[0][2] not in self._open:
            heappop(self._deadlines)
        times = [self.pacing.wakes_at(), self._deadlines[0][0] if self._deadlines else None]
        soonest = min((at for at in times if at is not None), default=None)
        return None if soonest is None else max(0.0, soonest - time.monotonic())

    def _hear(self, pause_s: float | None) -> None:
        """Waits for the first job to end, and takes all that have ended by then."""
        if not self.pacing.is_over and (self._open or pause_s is not None):
            with suppress(Empty):
                self._take(self._ended.get(timeout=pause_s))
        with suppress(Empty):
            while True:
                self._take(self._ended.get_nowait())
        while self._deadlines and self._deadlines[0][0] <= time.monotonic():
            future = heappop(self._deadlines)[2]
            if task := self._open.get(future):
                self._settle(task, _hung(task))
                del self._open[future]

    def _take(self, future: Future[Result]) -> None:
        task = self._open.get(future)
        if task is None:  # given up before
            return
        self._settle(task, _result_of(task, future))
        del self._open[future]

    def _settle(self, task: Task, result: Result) -> None:
        wave = self.pacing.wave
        for final in self.pacing.ended(task, result, time.monotonic()):
            self._keep(final)
        if wave and self.on_wave and (self.pacing.wave is not wave or self.pacing.is_over):
            self._write()
            self.on_wave(wave)

    def _keep(self, final: Result) -> None:
        self.results[final.name] = self._unwritten[final.name] = final
        if self.on_result:
            self.on_result(final)

    def _write(self) -> None:
        """Keeps what is new; where that fails, nothing more is handed out, and what runs comes to its end."""
        if self.state and self._unwritten and self.trouble is None:
            try:
                self.state.write(self.run, tuple(self._unwritten.values()))
            except FluxmigError as error:
                self.trouble = error
                self.pacing.stop(error.message)
        self._unwritten.clear()

    def _interrupted(self) -> None:
        """Ends what is under way. The pacing is not asked: the interruption may have met it half-way."""
        self.pacing.stop("interrupted")
        self.crew.stop(TargetState.INTERRUPTED, "interrupted")
        deadline = time.monotonic() + _END_S
        while any(not future.done() for future in self._open) and time.monotonic() < deadline:
            time.sleep(0.01)
        for future, task in self._open.items():
            has_ended = future.done() and not future.cancelled() and future.exception() is None
            self._keep(future.result() if has_ended else _under_way(task))
        for result in self._left():
            self._keep(result)
        self._write()

    def _left(self) -> Iterable[Result]:
        return [result for result in self.pacing.given_up() if result.name not in self.results]


def _result_of(task: Task, future: Future[Result]) -> Result:
    try:
        error = future.exception()  # not raised: it may be a KeyboardInterrupt, which was the worker's
    except CancelledError as cancelled:
        error = cancelled
    return future.result() if error is None else _lost(task, error)


def _lost(task: Task, error: BaseException) -> Result:
    message = f"its worker was lost: {type(error).__name__}"
    return _without(task, TargetState.UNREACHABLE, message)


def _hung(task: Task) -> Result:
    return _without(task, TargetState.TIMED_OUT, "it gave no answer, and was given up")


def _under_way(task: Task) -> Result:
    return _without(task, TargetState.INTERRUPTED, "it was under way; its own ledger tells what is applied")


def _without(task: Task, state: TargetState, message: str) -> Result:
    """A result where none was given."""
    result = Result(task.target.name, task.target.group, state, task.wave, tries=task.tries)
    return replace(result, message=message, exit_code=_UNREACHABLE_CODE)
