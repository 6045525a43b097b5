"""`fluxmig status`, `log` and `verify`: parse, call, render; no decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fluxmig import render, render_diff
from fluxmig.console import command
from fluxmig.model import State

if TYPE_CHECKING:
    from fluxmig.console import Session

__all__ = ["log", "status", "verify"]


@command()
@click.argument("name", required=False)
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="At most so many, the newest.")
def log(session: Session, *, name: str | None, last: int | None) -> None:
    """Show what happened, and when.

    Every attempt, failed ones too, in the order they were made; of the migration NAME alone if given.
    """
    with session.migrator(read_only=True) as migrator:
        entries = migrator.log(name)
    session.out(render.log_lines(entries, name, last), render.log_json(entries[-(last or 0) :]))


@command()
@click.option("--check", is_flag=True, help="Exit 10 if something is pending.")
@click.option("--diff", is_flag=True, help="Also what changed in each modified file.")
def status(session: Session, *, check: bool, diff: bool) -> None:
    """Show what is applied and what is pending.

    [x] is applied, [ ] is pending. What is wrong with a migration stands behind it: modified, missing (and
    its new name), marked, failed, partial, out of order.
    """
    with session.migrator(read_only=True) as migrator:
        statuses = migrator.status()
    if session.settings.json:
        document = render.status_json(statuses)
        session.out([], render_diff.diff_json(document, statuses) if diff else document)
    else:
        lines = render.status_lines(statuses)
        session.show(lines + render_diff.diff_lines(statuses) if diff else lines)
    if check and any(status.state is State.PENDING for status in statuses):
        raise click.exceptions.Exit(10)


@command()
def verify(session: Session) -> None:
    """Check connection, privileges, ledger and files.

    Changes nothing, and exits 0 only if there is no problem. Warnings, as of files out of order or of
    numbers that several files have, are none.
    """
    with session.migrator(read_only=True, must_exist=True) as migrator:
        verification = migrator.verify()
    session.out(render.verify_lines(verification), render.verify_json(verification))
    if not verification.ok:
        raise click.exceptions.Exit(verification.exit_code)
