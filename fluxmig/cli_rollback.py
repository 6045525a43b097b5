"""The commands that take back what is applied."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from fluxmig import render
from fluxmig.console import PATIENCE, command
from fluxmig.errors import FluxmigError, StoppedError
from fluxmig.model import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from fluxmig.console import Session
    from fluxmig.model import Notice, RollbackResult

__all__ = ["redo", "rollback"]


@command("dry_run", *PATIENCE)
@click.option(
    "--steps", type=click.IntRange(min=1), metavar="N", help="How many, newest first; 1 by default."
)
@click.option("--to", metavar="NAME_OR_NUMBER", help="All that was applied after this one; 0: everything.")
@click.option("--record-only", is_flag=True, help="Only remove the records, and reverse nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rollback(session: Session, *, steps: int | None, to: str | None, record_only: bool, yes: bool) -> None:
    """Take the last migration back.

    Runs its down script, NNN_description.down.sql, and removes its record. Several go newest first, each in a
    transaction of its own, and none if one of them has no down script. Asks first if there is a terminal to
    ask on.
    """
    if session.settings.dry_run:
        with session.migrator(read_only=True) as migrator:
            planned = migrator.rollback_plan(steps, to=to, record_only=record_only)
        lines = render.rollback_lines(planned, done=False)
        lines += [render.NOTHING_WRITTEN] if planned.results else []
        session.out(lines, render.rollback_json(planned, dry_run=True))
        session.warn(planned.findings)
        return

    def on_step(result: RollbackResult) -> None:
        if not session.settings.json:
            session.show(render.taken_back_lines(result, done=True))

    with session.migrator() as migrator:
        agreed, known = None, frozenset[Finding]()
        if not yes and session.can_ask:
            planned = migrator.rollback_plan(steps, to=to, record_only=record_only)
            if planned.results:
                session.show(render.rollback_lines(planned, done=False), err=True)
                session.warn(planned.findings)
                session.confirm("Roll back?", yes=yes)
            agreed, known = planned.names, frozenset(planned.findings)
        with _warnings(session, known):
            report = migrator.rollback(
                steps,
                to=to,
                record_only=record_only,
                expected=agreed,
                on_step=on_step,
                on_notice=_telling(session),
            )
    if session.settings.json or not report.results:
        session.out(render.rollback_lines(report, done=True), render.rollback_json(report))
    session.warn(finding for finding in report.findings if finding not in known)


@command("dry_run", *PATIENCE)
@click.argument("name", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
def redo(session: Session, *, name: str | None, yes: bool) -> None:
    """Take a migration back and apply it again.

    By its down script, and then by its file as it is now: for whoever is still writing it. NAME is the last
    one applied if not given. Both in one transaction where they can, so that a failure changes nothing.
    """
    dry_run = session.settings.dry_run
    with session.migrator(read_only=dry_run) as migrator:
        planned = migrator.redo_plan(name)
        if dry_run:
            lines = [*render.redo_plan_lines(planned), render.NOTHING_WRITTEN]
            session.out(lines, render.redo_plan_json(planned))
            session.warn(planned.findings)
            return
        if not yes:
            session.show(render.redo_plan_lines(planned), err=True)
            session.warn(planned.findings)
            session.confirm("Redo?", yes=yes)
        known = frozenset(() if yes else planned.findings)
        with _warnings(session, known):
            report = migrator.redo(planned.name, on_notice=_telling(session))
    session.out(render.redo_lines(report), render.redo_json(report))
    session.warn(finding for finding in report.findings if finding not in known)


@contextmanager
def _warnings(session: Session, known: Container[Finding]) -> Iterator[None]:
    """Shows the findings of what fails, too, but for those that were shown before."""
    try:
        yield
    except (FluxmigError, StoppedError) as error:
        if error.report and not session.settings.json:
            session.warn(finding for finding in error.report.findings if finding not in known)
        raise


def _telling(session: Session) -> Callable[[Notice], None]:
    """Shows what the server says, as it comes."""

    def on_notice(notice: Notice) -> None:
        if not session.settings.json:
            session.show(render.notice_lines(notice), err=True)

    return on_notice
