"""`fluxmig run` and `fluxmig plan`: parse, call, render; no decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fluxmig import render
from fluxmig.console import PATIENCE, command, write
from fluxmig.errors import ConfigError, FluxmigError, StoppedError
from fluxmig.model import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from fluxmig.console import Session
    from fluxmig.model import Notice, Script, StepResult

__all__ = ["plan", "run"]


def _selection(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose among what is pending."""
    for option in (
        click.option(
            "--restart", metavar="NAME_OR_NUMBER", help="Of this one, begin with statement 1 again."
        ),
        click.option("--only", metavar="NAME_OR_NUMBER", help="This one alone."),
        click.option("--steps", type=click.IntRange(min=1), metavar="N", help="At most so many."),
        click.option("--to", metavar="NAME_OR_NUMBER", help="Up to and including this one."),
    ):
        function = option(function)
    return function


@command(
    *("dry_run", "on_duplicate", "strict", "strict_order", "keep_going", *PATIENCE, "retry_connection_s")
)
@_selection
def run(session: Session, **selection: Any) -> None:
    """Apply the pending migrations, in order.

    Each runs in a transaction of its own, together with its row in the ledger. The first failure stops the
    run. Where an object is there already, the migration is rolled back and marked: recorded as applied, and
    status keeps showing it; with --on-duplicate fail it is a failure.
    """
    if session.settings.dry_run:
        _show_plan(session, selection, command="run")
        return

    def on_step(result: StepResult) -> None:
        if session.settings.json:
            return
        session.show(render.step_lines(result))

    def on_start(script: Script) -> None:
        session.show_passing(f"  ... {script.name}")

    def on_notice(notice: Notice) -> None:
        if not session.settings.json:
            session.show(render.notice_lines(notice), err=True)
            session.show_passing(f"  ... {notice.name}")

    keep_going = session.settings.keep_going
    with session.migrator() as migrator:
        try:
            report = migrator.run(
                **selection, keep_going=keep_going, on_start=on_start, on_step=on_step, on_notice=on_notice
            )
        except (FluxmigError, StoppedError) as error:
            stopped = isinstance(error, StoppedError)
            # Without a result there was no run, and its summary would only hide why.
            if isinstance(error.report, Report) and (error.report.results or stopped):
                if not session.settings.json:
                    session.show(render.report_lines(error.report))
                    session.warn(error.report.findings)
                if stopped:
                    error.remedy = "run again to go on"
            raise
    session.out(render.report_lines(report), render.report_json(report))
    session.warn(report.findings)


@command("on_duplicate", "strict", "strict_order")
@_selection
@click.option("--sql", is_flag=True, help="The SQL that would be sent, for psql or the sqlite3 shell.")
def plan(session: Session, *, sql: bool, **selection: Any) -> None:
    """Show what run would do.

    In order: each file, how many statements, why it would run without a transaction, and what would go wrong
    as far as that can be seen without writing. Only reads.
    """
    if not sql:
        _show_plan(session, selection, command="plan")
        return
    if session.settings.json:
        raise ConfigError("--sql prints SQL, and --json a document", remedy="take one of the two")
    with session.migrator(read_only=True) as migrator:
        for piece in migrator.plan_sql(**selection):
            write(piece.encode(), newline=False)  # UTF-8, as the files are


def _show_plan(session: Session, selection: dict[str, Any], *, command: str) -> None:
    with session.migrator(read_only=True) as migrator:
        found = migrator.plan(**selection)
    session.out(render.plan_lines(found), render.plan_json(found, command))
    session.warn(found.findings)
