"""The nouns of a fleet: many databases that one folder of migrations is for."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from fluxmig.model import OnDuplicate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from fluxmig.trace import Rehearsal

__all__ = [
    "WORST_FIRST",
    "FleetReport",
    "Job",
    "Manner",
    "Pace",
    "Result",
    "Share",
    "StateRehearsal",
    "Target",
    "TargetState",
    "Task",
    "Wave",
    "worst",
]

WORST_FIRST = (143, 130, 1, 4, 3, 2, 6, 5, 10, 0)
"""Exit codes by what they ask of people: a failed migration would fail elsewhere, too; then comes what has to
be mended by hand; then what may pass by itself."""


@dataclass(frozen=True, slots=True)
class Target:
    """One database, or one schema of it.

    Attributes:
        name: Its identity, in results and in the state.
        url: Where it is; `${NAME}` stands for a variable until the work begins. It is never shown.
        schema: The schema that its ledger and its scripts are in; None: the connection's.
        shared: The schemas whose objects its scripts see behind that one.
        group: What `Pace.per_host` counts: the host, where nothing else is said.
        labels: What else is known of it.
        place: Where it was named, for people.
    """

    name: str
    url: str = field(repr=False)
    schema: str | None = None
    shared: tuple[str, ...] = ()
    group: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    place: str = ""


class TargetState(StrEnum):
    """What has become of a target."""

    DONE = "done"
    PENDING = "pending"
    FAILED = "failed"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    BUSY = "busy"
    TIMED_OUT = "timed out"
    INTERRUPTED = "interrupted"
    RUNNING = "running"
    WAITING = "waiting"

    @property
    def is_failure(self) -> bool:
        """Whether it counts for `Pace.max_failures`."""
        return self in _FAILURES


_FAILURES = frozenset(
    {
        TargetState.FAILED,
        TargetState.REFUSED,
        TargetState.UNREACHABLE,
        TargetState.BUSY,
        TargetState.TIMED_OUT,
    }
)


@dataclass(frozen=True, slots=True)
class Result:
    """What was done with a target, or found there.

    Attributes:
        name: The target's.
        group: Its group.
        state: What has become of it.
        wave: The wave that it was in; empty of a status.
        applied: The migrations that were applied, or marked, in order.
        marked: Those of them that were marked for a duplicate.
        pending: How many are pending; None where that is not known.
        at: The last migration that is applied, in the order of the files.
        conditions: How many migrations are modified, marked, failed and so on.
        fingerprint: The same for targets whose ledgers say the same; None where it was not read.
        exit_code: That which the same would have had for one database.
        message: What went wrong, in a line.
        detail: The whole of it.
        began_at: When it was handed out last.
        duration_ms: How long that took.
        tries: How often it was handed out.
        worker: The process that did it, where it is another one.
    """

    name: str
    group: str = ""
    state: TargetState = TargetState.WAITING
    wave: str = ""
    applied: tuple[str, ...] = ()
    marked: tuple[str, ...] = ()
    pending: int | None = None
    at: str | None = None
    conditions: Mapping[str, int] = field(default_factory=dict)
    fingerprint: str | None = None
    exit_code: int = 0
    message: str | None = None
    detail: str | None = None
    began_at: datetime | None = None
    duration_ms: int | None = None
    tries: int = 0
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """A number of targets, or so many of a hundred."""

    number: float
    is_percentage: bool = False

    def of(self, total: int) -> int:
        """How many that is: of a percentage, the whole number not below it."""
        return min(
            total, math.ceil(total * self.number / 100 - 1e-9) if self.is_percentage else int(self.number)
        )

    def __str__(self) -> str:
        return f"{self.number:g}%" if self.is_percentage else f"{self.number:g}"


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a fleet is worked through, and when that ends early.

    Attributes:
        parallel: How many targets are worked on at once;
        per_host: and how many of one group.
        timeout_s: How long one target may take.
        max_failures: Where more have failed, no more work is handed out. Without it, failures end no wave,
            and no other one begins behind a wave that had one.
        canary: So many targets, or these, go first and alone; one failure there ends it all.
        waves: How many of all targets each of the other waves brings them to; the last one is all.
        tries: How often an unreachable target is tried, the later times at the end of its wave.
    """

    parallel: int = 16
    per_host: int | None = None
    timeout_s: float | None = None
    max_failures: Share | None = None
    canary: int | tuple[str, ...] = 0
    waves: tuple[Share, ...] = ()
    tries: int = 2


@dataclass(frozen=True, slots=True)
class Manner:
    """How each target is worked on; the fields are as `Migrator` has them.

    Attributes:
        schema: The ledger's, of targets that are no schemas themselves.
        to: Up to and including this file name or number.
        wait_s: How long to wait for a server that does not answer, when it is tried again.
        production: Whether PostgreSQL must use SSL, unless the URL says otherwise.
    """

    table: str = "schema_migrations"
    schema: str | None = None
    to: str | None = None
    on_duplicate: OnDuplicate = OnDuplicate.MARK
    strict: bool = False
    strict_order: bool = False
    keep_going: bool = False
    wait_s: float = 0.0
    wait_lock_s: float = 300.0
    lock_timeout_s: float | None = None
    lock_retries: int = 10
    statement_timeout_s: float | None = None
    retry_connection_s: float = 0.0
    query_text: bool = True
    production: bool = False


@dataclass(frozen=True, slots=True)
class Wave:
    """Targets that are worked on before any of the next wave.

    Attributes:
        name: `canary`, or its share of all.
        targets: In the order of the list.
        is_canary: Whether one failure ends it all.
    """

    name: str
    targets: tuple[Target, ...]
    is_canary: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """One try at a target.

    Attributes:
        target: Which.
        wave: The wave that it is in.
        tries: Which try it is, from 1.
        late: How often it was put off to the end of its wave, since it could not be reached.
    """

    target: Target
    wave: str
    tries: int = 1
    late: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """A task, and all that a worker needs to know of it but the files.

    Attributes:
        task: What to do.
        manner: How.
        timeout_s: How long it may take.
        writes: Whether to apply what is pending; else only to look.
    """

    task: Task
    manner: Manner
    timeout_s: float | None = None
    writes: bool = False


@dataclass(frozen=True, slots=True)
class FleetReport:
    """What was done with a fleet, or found there.

    Attributes:
        results: One for each target, in the order of the list.
        stopped: Why no more work was handed out; None where all was.
        duration_ms: The whole.
        run: The run's name in the state; None of a status.
        began_at: When it began.
        ended_at: When it ended; None of one that goes on, or was killed.
        own_code: The exit code of what went wrong with the fleet itself, and no target.
    """

    results: tuple[Result, ...] = ()
    stopped: str | None = None
    duration_ms: int = 0
    run: str | None = None
    began_at: datetime | None = None
    ended_at: datetime | None = None
    own_code: int = 0

    @property
    def counts(self) -> Mapping[TargetState, int]:
        """How many targets are in each state, of those states that occur."""
        found = Counter(result.state for result in self.results)
        return {state: found[state] for state in TargetState if found[state]}

    @property
    def exit_code(self) -> int:
        """The worst of all."""
        return worst((self.own_code, *(result.exit_code for result in self.results)))

    @property
    def failures(self) -> tuple[Result, ...]:
        """The results that are failures."""
        return tuple(result for result in self.results if result.state.is_failure)


@dataclass(frozen=True, slots=True)
class StateRehearsal:
    """What a rehearsal has shown for the targets that are in one state.

    Attributes:
        fingerprint: That of their ledgers.
        names: The targets; the first one was copied.
        at: The last migration that is applied there.
        pending: How many are pending there.
        rehearsal: What was seen; None where there could be none.
        message: Why not.
        own_code: The exit code of that.
    """

    fingerprint: str
    names: tuple[str, ...]
    at: str | None
    pending: int
    rehearsal: Rehearsal | None = None
    message: str | None = None
    own_code: int = 0

    @property
    def exit_code(self) -> int:
        """That which the same would have had for one database."""
        return self.rehearsal.exit_code if self.rehearsal else self.own_code


def worst(codes: Iterable[int]) -> int:
    """The worst of some exit codes, by `WORST_FIRST`; 0 of none."""
    return min(codes, key=WORST_FIRST.index, default=0)
