"""One pass over a fleet: to look, or to apply what is pending."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fluxmig.errors import ConfigError, StoppedError
from fluxmig.files import Files
from fluxmig.fleet.crew import crew_of
from fluxmig.fleet.model import FleetReport, Job, Manner, Pace, Result
from fluxmig.fleet.pacing import Pacing
from fluxmig.fleet.runner import Runner
from fluxmig.fleet.state import opened
from fluxmig.fleet.targets import unique
from fluxmig.fleet.waves import waves
from fluxmig.planner import named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Executor

    from fluxmig.fleet.model import Target, Task, Wave
    from fluxmig.fleet.state import State

__all__ = ["run", "status"]

_BEFORE = "before"
"""The wave of what an earlier run has done."""


def status(
    targets: Iterable[Target] | Callable[[], Iterable[Target]],
    migrations: str | Path | Files = "migrations",
    *,
    pace: Pace | None = None,
    manner: Manner | None = None,
    executor: Executor | str | None = None,
    environ: Mapping[str, str] | None = None,
    on_result: Callable[[Result], None] | None = None,
) -> FleetReport:
    """What each target has applied, and what is pending there, in one pass over all. Only reads.

    Args:
        targets: The fleet, or what gives it.
        migrations: The folder, or its files.
        pace: How many at once, and for how long each; waves and failures end nothing here.
        manner: How to connect.
        executor: None for threads; any of `concurrent.futures`; or `dask://HOST:PORT`.
        environ: What `${NAME}` in URLs stands for, and libpq's own variables. Executors look into the
            environment of their workers instead.
        on_result: Called with each result, on the calling thread.

    Raises:
        ConfigError: Two targets have one name, or are one database.
        MigrationFileError: A file cannot be read as a migration.
    """
    fleet, files = _fleet(targets), _files(migrations)
    pace, manner = replace(pace or Pace(), canary=0, waves=(), max_failures=None), manner or Manner()
    _refuse_unfit(fleet, files, pace, manner)
    began_at = datetime.now(UTC)
    job_of = partial(_job, pace, manner, writes=False)
    with crew_of(executor, files, environ or {}) as crew:
        runner = Runner(Pacing(waves(fleet, pace), pace), crew, job_of, on_result=on_result)
        runner.go()
    return _report(fleet, runner, began_at)


def run(  # noqa: PLR0913  # keywords, and each a decision of the caller
    targets: Iterable[Target] | Callable[[], Iterable[Target]],
    migrations: str | Path | Files = "migrations",
    *,
    pace: Pace | None = None,
    manner: Manner | None = None,
    executor: Executor | str | None = None,
    environ: Mapping[str, str] | None = None,
    state: str | Path | None = None,
    resume: bool = False,
    on_wave: Callable[[Wave], None] | None = None,
    on_result: Callable[[Result], None] | None = None,
) -> FleetReport:
    """Applies what is pending on each target. Writes; one target's failure is its result, and no error.

    Args:
        targets: As those of `status`.
        migrations: Likewise.
        pace: How many at once, in which waves, and when to stop.
        manner: How each is migrated.
        executor: As that of `status`.
        environ: Likewise.
        state: A SQLite file or the URL of a control database, where results are kept as they come.
        resume: Whether to leave out what earlier runs of the same files have done, by the state.
        on_wave: Called at the end of each wave, on the calling thread.
        on_result: Called with each result, likewise.

    Raises:
        ConfigError: As `status`; or the waves or the state cannot be had.
        MigrationFileError: A file cannot be read as a migration. Nothing was run.
        StoppedError: A signal has ended it; `fleet` tells what was done.
    """
    fleet, files = _fleet(targets), _files(migrations)
    pace, manner = pace or Pace(), manner or Manner()
    _refuse_unfit(fleet, files, pace, manner)
    if resume and state is None:
        raise ConfigError("there is no state to resume from", remedy="give the state of the earlier run")
    began_at = datetime.now(UTC)
    opening = nullcontext() if state is None else opened(state, environ or {}, must_exist=resume)
    with opening as kept, crew_of(executor, files, environ or {}) as crew:
        digest = _digest(files, manner)
        done = _carried(kept, digest, fleet) if kept and resume else {}
        left = tuple(target for target in fleet if target.name not in done)
        pacing = Pacing(waves(left, _fitting(pace, done)), pace, manner.wait_lock_s)
        begun = [done.get(target.name) or _waiting(target) for target in fleet]
        name = kept.begin(digest, begun) if kept else ""
        job_of = partial(_job, pace, manner, writes=True)
        runner = Runner(pacing, crew, job_of, kept, name, on_wave, on_result, dict(done))
        try:
            runner.go()
        except StoppedError as error:
            error.fleet = _report(fleet, runner, began_at)
            raise
        finally:
            if kept and runner.trouble is None:
                kept.end(name, pacing.stopped)
    return _report(fleet, runner, began_at)


# --- parts ------------------------------------------------------------------------------------------------


def _fleet(targets: Iterable[Target] | Callable[[], Iterable[Target]]) -> tuple[Target, ...]:
    return unique(targets() if callable(targets) else targets)


def _files(migrations: str | Path | Files) -> Files:
    return migrations if isinstance(migrations, Files) else Files.read(Path(migrations))


def _job(pace: Pace, manner: Manner, task: Task, *, writes: bool) -> Job:
    return Job(task, manner, pace.timeout_s, writes)


def _digest(files: Files, manner: Manner) -> str:
    """What two runs have in common, of which one can go on where the other has ended."""
    said = f"{files.digest}\0{manner.schema or ''}\0{manner.table}\0{manner.to or ''}"
    return hashlib.sha256(said.encode()).hexdigest()


def _carried(kept: State, digest: str, fleet: Iterable[Target]) -> dict[str, Result]:
    """Of what earlier runs have done, what is still in the fleet."""
    kept.refuse_strangers([target.name for target in fleet])
    done = kept.done(digest)
    return {target.name: replace(done[target.name], wave=_BEFORE) for target in fleet if target.name in done}


def _fitting(pace: Pace, done: Mapping[str, Result]) -> Pace:
    """Without the canaries that an earlier run has done."""
    if isinstance(pace.canary, int):
        return pace
    return replace(pace, canary=tuple(name for name in pace.canary if name not in done))


def _report(fleet: Iterable[Target], runner: Runner, began_at: datetime) -> FleetReport:
    found, ended_at = runner.results, datetime.now(UTC)
    return FleetReport(
        tuple(found.get(target.name) or _waiting(target) for target in fleet),
        runner.pacing.stopped,
        round((ended_at - began_at).total_seconds() * 1000),
        runner.run or None,
        began_at,
        ended_at,
        own_code=runner.trouble.exit_code if runner.trouble else 0,
    )


def _waiting(target: Target) -> Result:
    return Result(target.name, target.group)


def _refuse_unfit(fleet: Sequence[Target], files: Files, pace: Pace, manner: Manner) -> None:
    """Raises `ConfigError` for what is wrong of all targets, before one is connected to."""
    if manner.to is not None:
        named(files.folder.migrations, manner.to, "--to")
    waves(fleet, pace)
    if pace.parallel < 1 or (pace.per_host is not None and pace.per_host < 1):
        raise ConfigError("nothing can be done by fewer than one at a time", remedy="give 1 or more")
