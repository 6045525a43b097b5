"""What is applied -> taken back by its down script; and, for a redo, applied again."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fluxmig.dialects.base import ServerError
from fluxmig.errors import FluxmigError, LedgerError, MigrationFailedError, RollbackError
from fluxmig.model import (
    Mode,
    OnDuplicate,
    Outcome,
    RedoReport,
    Report,
    RollbackReport,
    RollbackResult,
    StepResult,
)
from fluxmig.objects import created
from fluxmig.sending import failure, raise_if_lost

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from fluxmig.execute import Executor
    from fluxmig.model import RedoPlan, Script

__all__ = ["redo", "take_back"]


def take_back(executor: Executor, name: str, script: Script | None) -> RollbackResult | None:
    """Removes a migration's record, together with what its down script reverses. Writes.

    Args:
        executor: The database's.
        name: The migration.
        script: Its down script; None to remove the record alone.

    Returns:
        The result; None where another runner had removed the record before.

    Raises:
        RollbackError: The down script failed; it changed nothing, unless it runs without a transaction.
        FluxmigError: As `Executor.apply`.
    """
    if script:
        result = executor.reverse(script)
        if result.failure:
            nothing = "" if script.mode is Mode.NO_TRANSACTION else ", and changed nothing"
            message = f"the down script of {name} failed{nothing}\n{result.failure}"
            raise RollbackError(message, names=[name], failure=result.failure) from executor.causes[name]
        is_done, took_ms = result.outcome is not Outcome.SKIPPED, result.duration_ms
    else:
        started = time.perf_counter()
        is_done = executor.unrecord(name)
        took_ms = round((time.perf_counter() - started) * 1000)
    return RollbackResult(name, script is not None, took_ms) if is_done else None


def redo(executor: Executor, plan: RedoPlan) -> RedoReport:
    """Takes a migration back and applies it again; in one transaction where the plan says so. Writes.

    What the file finds there already is never a reason to mark it: its own down script should have taken it
    back.

    Raises:
        RollbackError: The down script failed; it changed nothing, unless it runs without a transaction.
        MigrationFailedError: The file failed. In one transaction nothing was changed; else the migration is
            taken back and pending, and the report says so.
        LedgerError: Another runner took the migration back meanwhile; nothing was done.
        FluxmigError: As `Executor.apply`; `report` is there where the migration is taken back.
    """
    policy = plan.up.on_duplicate or executor.on_duplicate
    policy = OnDuplicate.COMPLETE if policy is OnDuplicate.COMPLETE else OnDuplicate.FAIL
    executor = replace(executor, on_duplicate=policy)
    plan = replace(plan, up=replace(plan.up, on_duplicate=policy))
    run = _together if plan.apart is None else _one_by_one
    return run(executor, plan)


def _one_by_one(executor: Executor, plan: RedoPlan) -> RedoReport:
    down = _back(executor, plan)
    pending = f"{plan.name} is taken back, and pending: `fluxmig run` applies it."
    try:
        up = executor.apply(plan.up)
    except FluxmigError as error:
        error.report = RollbackReport((down,))
        error.remedy = "\n".join(filter(None, (error.remedy, pending)))
        raise
    if up.failure:
        raise _failed(executor, plan, _explained(executor, plan, up), pending, left=(plan.name,))
    return RedoReport(down, up, plan.later)


def _together(executor: Executor, plan: RedoPlan) -> RedoReport:
    """Both in one transaction, or in a savepoint of the caller's, and each in a savepoint of its own."""
    started = time.perf_counter()
    characteristics = None
    if isinstance(executor.bind, Engine) or not executor.bind.in_transaction():
        characteristics = plan.down.characteristics or plan.up.characteristics
    if characteristics:  # a savepoint cannot ask for them, and need not
        down, up = (replace(script, characteristics=None) for script in (plan.down, plan.up))
        plan = replace(plan, down=down, up=up)
    report = None
    try:
        with executor.lock.transaction(characteristics) as connection:
            try:
                inner = replace(executor, bind=connection, lock=replace(executor.lock, bind=connection))
                report = _both(inner, plan)
            finally:
                _keep_from_others(executor, connection, plan)
    except RollbackError as error:
        if error.failure:
            executor.log_failure(plan.down, error.failure, started)
        raise
    except MigrationFailedError as error:
        for step in error.failures:
            if step.failure:
                executor.log_failure(plan.up, step.failure, started)
        raise
    except DBAPIError as error:
        if report is None:
            raise
        raise_if_lost(executor.dialect, error, plan.up, at_commit=True)
        remedy = "This came at the commit, after every statement had run."
        why = failure(executor.dialect, plan.up, executor.dialect.explain(error), None, remedy=remedy)
        executor.log_failure(plan.up, why, started)
        executor.causes[plan.name] = error
        step = replace(report.applied, outcome=Outcome.FAILED, failure=why)
        raise _failed(executor, plan, step, _as_before(plan)) from error
    return report


def _both(executor: Executor, plan: RedoPlan) -> RedoReport:
    down = _back(executor, plan)
    up = executor.apply(plan.up)
    if up.failure:
        raise _failed(executor, plan, _explained(executor, plan, up), _as_before(plan))
    return RedoReport(down, up, plan.later)


def _back(executor: Executor, plan: RedoPlan) -> RollbackResult:
    result = take_back(executor, plan.name, plan.down)
    if result is None:
        raise LedgerError(
            f"{plan.name} is not applied any more: another runner took it back",
            remedy="`fluxmig run` applies it",
            names=[plan.name],
        )
    return result


def _as_before(plan: RedoPlan) -> str:
    return f"Nothing was changed: {plan.name} is applied as it was."


def _failed(
    executor: Executor, plan: RedoPlan, step: StepResult, state: str, *, left: tuple[str, ...] = ()
) -> MigrationFailedError:
    """The error of a failed step, which ends with the state that the migration is in then."""
    step = _ending(step, state)
    error = MigrationFailedError(report=Report((step,), left, (), step.duration_ms), failures=[step])
    error.__cause__ = executor.causes.get(plan.name)
    return error


def _keep_from_others(executor: Executor, connection: Connection, plan: RedoPlan) -> None:
    """Takes a connection out of the pool in which a script has left what outlives its transaction."""
    if not isinstance(executor.bind, Engine) or connection.invalidated:
        return
    dialect = executor.dialect
    if any(dialect.may_change_session(each) and dialect.leaves_traces(each) for each in (plan.down, plan.up)):
        connection.detach()


def _explained(executor: Executor, plan: RedoPlan, step: StepResult) -> StepResult:
    """The step; where the file met an object that is there already, with who has left it there."""
    why, dialect = step.failure, executor.dialect
    if why is None or why.remedy or not dialect.is_duplicate(ServerError(why.message, why.code)):
        return step
    made = created(why.statement.sql, dialect.rules) if why.statement else ()
    there: bool | None = None
    if made:
        with suppress(SQLAlchemyError), dialect.reading(executor.bind) as connection:
            found = dialect.existing(connection, made)
            there = any(each not in found or found[each].is_taken for each in made)
    if there is False:
        return _ending(step, f"{plan.down.path.name} leaves nothing like it: {plan.name} makes it twice.")
    unless = "" if there else ", unless the file makes it twice"
    all_of_it = f"it has to take back all that {plan.name} makes"
    return _ending(step, f"{plan.down.path.name} leaves it there{unless}: {all_of_it}.")


def _ending(step: StepResult, text: str) -> StepResult:
    """The step; the way out of its failure ends with the text."""
    if step.failure is None:
        return step
    remedy = "\n".join(filter(None, (step.failure.remedy, text)))
    return replace(step, failure=replace(step.failure, remedy=remedy))
