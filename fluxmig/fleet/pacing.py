"""Which target is next, and when there is none: a scheduler without threads and without a clock."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING

from fluxmig.fleet.model import TargetState, Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fluxmig.fleet.model import Pace, Result, Wave

__all__ = ["Pacing"]

_BUSY_S, _BUSY_MOST_S = 0.25, 5.0
"""Between two tries at a target whose lock another runner has."""

_LATE_S = 1.0
"""Before those are tried again that could not be reached."""


@dataclass(slots=True)
class _Queue:
    """What waits to be handed out, by group, so that a group at its limit holds up no other."""

    size: int = 0
    _waiting: dict[str, deque[Task]] = field(default_factory=dict)
    _turns: dict[str, None] = field(default_factory=dict)

    def add(self, task: Task) -> None:
        self._waiting.setdefault(task.target.group, deque()).append(task)
        self.size += 1

    def take(self) -> Task | None:
        """The next task, of each group by turns; its group has no turn then until `has_turn`."""
        if not self._turns:
            return None
        group = next(iter(self._turns))
        del self._turns[group]
        self.size -= 1
        return self._waiting[group].popleft()

    def has_turn(self, group: str) -> None:
        """Lets a group with room take part, if something of it waits."""
        if self._waiting.get(group):
            self._turns[group] = None


class Pacing:
    """A fleet's way through its waves. The time is given, in seconds.

    Attributes:
        wave: The wave under way; None at the end.
        stopped: Why no more is handed out; None while it is.
    """

    def __init__(self, waves: Sequence[Wave], pace: Pace, wait_lock_s: float = 0.0) -> None:
        """Begins with the first wave.

        Args:
            waves: All of them.
            pace: How fast.
            wait_lock_s: How long a target may be busy, in all.
        """
        self.wave: Wave | None = None
        self.stopped: str | None = None
        self._pace, self._wait_lock_s = pace, wait_lock_s
        total = sum(len(wave.targets) for wave in waves)
        self._may_fail = pace.max_failures.of(total) if pace.max_failures else None
        self._to_come = deque(waves)
        self._ready = _Queue()
        self._held: list[tuple[float, int, Task]] = []
        self._late: list[Task] = []
        self._busy: dict[str, tuple[float, float]] = {}
        self._so_far: dict[str, Result] = {}
        self._running: dict[str, str] = {}
        self._running_of: Counter[str] = Counter()
        self._numbers = count()
        self._failed = self._failed_before = 0
        self._begin_wave()

    @property
    def is_over(self) -> bool:
        """Whether nothing runs, and nothing more will be handed out."""
        return not self._running and (self.stopped is not None or self.wave is None)

    def take(self, now: float) -> Task | None:
        """A task to hand out now, or None; it runs until `ended`."""
        if self.stopped is not None or len(self._running) >= self._pace.parallel:
            return None
        while self._held and self._held[0][0] <= now:
            self._make_ready(heapq.heappop(self._held)[2])
        task = self._ready.take()
        if task is not None:
            group = task.target.group
            self._running[task.target.name] = group
            self._running_of[group] += 1
            self._let(group)
        return task

    def wakes_at(self) -> float | None:
        """When there may be more to hand out though nothing has ended; None where nothing waits so."""
        return self._held[0][0] if self._held and self.stopped is None else None

    def ended(self, task: Task, result: Result, now: float) -> Iterator[Result]:
        """The results that are final now that a task has ended: none where it is tried again.

        Where this was the last one of its wave, those are tried again that could not be reached; then the
        next wave begins.
        """
        group = self._running.pop(task.target.name)
        self._running_of[group] -= 1
        self._let(group)
        result = _together(self._so_far.pop(task.target.name, None), result)
        if self.stopped is None and self._is_tried_again(task, result, now):
            self._so_far[task.target.name] = result
        else:
            self._busy.pop(task.target.name, None)
            self._count(result)
            yield result
        if self.stopped is not None:
            yield from self.given_up()
        elif not (self._running or self._ready.size or self._held):
            self._end_wave(now)

    def stop(self, why: str) -> None:
        """Hands out no more."""
        self.stopped = self.stopped or why

    def given_up(self) -> Iterator[Result]:
        """What is final of tasks that would have been tried again, now that nothing more is handed out."""
        for name in [name for name in self._so_far if name not in self._running]:
            yield self._so_far.pop(name)

    # --- parts --------------------------------------------------------------------------------------------

    def _let(self, group: str) -> None:
        """Gives a group a turn, if it has room for one more."""
        if self._pace.per_host is None or self._running_of[group] < self._pace.per_host:
            self._ready.has_turn(group)

    def _make_ready(self, task: Task) -> None:
        self._ready.add(task)
        self._let(task.target.group)

    def _is_tried_again(self, task: Task, result: Result, now: float) -> bool:
        """A busy one after a pause, an unreachable one at the wave's end."""
        again = replace(task, tries=task.tries + 1)
        if result.state is TargetState.BUSY:
            first, pause_s = self._busy.get(task.target.name, (now, _BUSY_S))
            if now - first >= self._wait_lock_s:
                return False
            self._busy[task.target.name] = (first, min(2 * pause_s, _BUSY_MOST_S))
            self._hold(again, min(now + pause_s, first + self._wait_lock_s))
            return True
        if result.state is TargetState.UNREACHABLE and task.late + 1 < self._pace.tries:
            self._late.append(replace(again, late=task.late + 1))
            return True
        return False

    def _hold(self, task: Task, until: float) -> None:
        heapq.heappush(self._held, (until, next(self._numbers), task))

    def _count(self, result: Result) -> None:
        if not result.state.is_failure:
            return
        self._failed += 1
        if self.wave and self.wave.is_canary:
            self.stop(f"the canary {result.name} is {result.state}")
        elif self._may_fail is not None and self._failed > self._may_fail:
            targets = "1 target" if self._failed == 1 else f"{self._failed} targets"
            self.stop(f"{targets} failed, and {self._pace.max_failures} may")

    def _end_wave(self, now: float) -> None:
        if self._late:
            for task in self._late:
                self._hold(task, now + _LATE_S)
            self._late.clear()
            return
        failed = self._failed - self._failed_before
        if failed and self._may_fail is None and self._to_come and self.wave:
            self.stop(f"{failed} of {len(self.wave.targets)} targets failed in {self.wave.name}")
        else:
            self._begin_wave()

    def _begin_wave(self) -> None:
        self._failed_before = self._failed
        self.wave = self._to_come.popleft() if self._to_come else None
        if self.wave:
            for target in self.wave.targets:
                self._make_ready(Task(target, self.wave.name))


def _together(before: Result | None, now: Result) -> Result:
    """The result of the last try, with what earlier ones had done."""
    if before is None:
        return now
    return replace(now, applied=(*before.applied, *now.applied), marked=(*before.marked, *now.marked))
