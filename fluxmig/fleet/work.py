"""One target's work -> a result. Errors are results; nothing is raised, printed or left open."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fluxmig.connect import reach, within
from fluxmig.discretion import masked
from fluxmig.errors import FluxmigError, MigrationFailedError
from fluxmig.fleet import compiled
from fluxmig.fleet.leash import Leash
from fluxmig.fleet.model import Result, TargetState
from fluxmig.fleet.targets import expanded
from fluxmig.migrator import Migrator
from fluxmig.model import Outcome, Report, State
from fluxmig.planner import Selection, select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Engine

    from fluxmig.files import Files
    from fluxmig.fleet.model import Job
    from fluxmig.model import MigrationStatus

__all__ = ["work"]

_STATES = {
    1: TargetState.FAILED,
    5: TargetState.BUSY,
    6: TargetState.UNREACHABLE,
}
_LOST_CODE = 6


def work(job: Job, files: Files, environ: Mapping[str, str], leash: Leash | None = None) -> Result:
    """What came of the job, on this thread. Reads; writes where the job says so.

    Args:
        job: The target, and what to do there.
        files: The migrations.
        environ: Where variables of URLs are looked up, and those of libpq.
        leash: What can end it from another thread.
    """
    task, target = job.task, job.task.target
    began_at, started = datetime.now(UTC), time.perf_counter()
    result = Result(target.name, target.group, wave=task.wave, tries=task.tries, began_at=began_at)
    url = ""
    try:
        with leash or Leash(job.timeout_s) as held:
            try:
                url = expanded(target.url, environ, target.place)
                result = _in_place(job, files, environ, url, held, result)
            except FluxmigError as error:
                result = _of_error(error, result)
            if held.state is not None and result.state is not TargetState.DONE:
                message = f"{held.why}: {result.message}" if result.message != held.why else held.why
                result = replace(result, state=held.state, message=message, exit_code=_LOST_CODE)
    except Exception as error:  # noqa: BLE001  # one target's trouble is no other's, whatever it is
        message = masked(f"{type(error).__name__}: {error}", target.url, url).splitlines()[0]
        result = replace(result, state=TargetState.FAILED, message=message, exit_code=1)
    return replace(result, duration_ms=round((time.perf_counter() - started) * 1000))


def _in_place(
    job: Job, files: Files, environ: Mapping[str, str], url: str, leash: Leash, result: Result
) -> Result:
    target, manner = job.task.target, job.manner
    schema = manner.schema
    if target.schema is not None:
        url, schema = within(url, target.schema, target.shared, environ)
    with reach(
        url,
        read_only=not job.writes,
        wait_s=manner.wait_s if job.task.late else 0.0,
        production=manner.production,
        environ=environ,
        at_most_s=job.timeout_s,
        prepare=compiled.share,
    ) as engine:
        leash.hold(engine)
        migrator = _migrator(job, engine, files, schema, leash)
        if not job.writes:
            return _of_status(migrator.status(), manner.to, result)
        report = migrator.run(to=manner.to, keep_going=manner.keep_going, on_start=leash.check)
        return replace(_of_report(report, result), state=TargetState.DONE)


def _migrator(job: Job, engine: Engine, files: Files, schema: str | None, leash: Leash) -> Migrator:
    """With no patience for the lock: who has it holds up this target, and not this thread."""
    manner = job.manner
    return Migrator(
        engine,
        files,
        table=manner.table,
        schema=schema,
        on_duplicate=manner.on_duplicate,
        strict=manner.strict,
        strict_order=manner.strict_order,
        wait_lock_s=0.0,
        lock_timeout_s=manner.lock_timeout_s,
        lock_retries=manner.lock_retries,
        statement_timeout_s=manner.statement_timeout_s,
        retry_connection_s=manner.retry_connection_s,
        query_text=manner.query_text,
        on_wait=leash.check,
    )


def _of_error(error: FluxmigError, result: Result) -> Result:
    if isinstance(error.report, Report):
        result = _of_report(error.report, result)
    headline = error.message
    if isinstance(error, MigrationFailedError):
        failure = error.failures[0].failure
        headline = failure.headline if failure else headline
    return replace(
        result,
        state=_STATES.get(error.exit_code, TargetState.REFUSED),
        exit_code=error.exit_code,
        message=headline.splitlines()[0],
        detail=str(error),
    )


def _of_report(report: Report, result: Result) -> Result:
    done = (Outcome.APPLIED, Outcome.MARKED)
    return replace(
        result,
        applied=tuple(step.name for step in report.results if step.outcome in done),
        marked=tuple(step.name for step in report.having(Outcome.MARKED)),
        pending=len(report.pending),
        conditions={finding.kind: len(finding.names) for finding in report.findings if finding.names},
    )


def _of_status(statuses: Sequence[MigrationStatus], to: str | None, result: Result) -> Result:
    applied = [status for status in statuses if status.state is State.APPLIED]
    pending = len(select(statuses, Selection(to)))
    return replace(
        result,
        state=TargetState.PENDING if pending else TargetState.DONE,
        pending=pending,
        at=applied[-1].name if applied else None,
        conditions=Counter(condition.value for status in statuses for condition in status.conditions),
        fingerprint=_fingerprint(statuses),
    )


def _fingerprint(statuses: Sequence[MigrationStatus]) -> str:
    """Of what a ledger holds, in 16 digits: in any order, and with checksums as short as another tool's."""
    digest = hashlib.sha256()
    for status in statuses:
        if status.record:
            digest.update(
                f"{status.name}\0{(status.record.checksum or '')[:16]}\0{status.progress}\n".encode()
            )
    return digest.hexdigest()[:16]
