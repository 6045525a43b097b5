"""The commands by which a person has the ledger say what is true; no decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fluxmig import render_mend
from fluxmig.console import command
from fluxmig.model import Settlement
from fluxmig.render import NOTHING_WRITTEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from fluxmig.console import Session
    from fluxmig.migrator import Migrator
    from fluxmig.model import Mending

__all__ = ["accept", "mark", "rename", "resolve", "unmark"]

_SETTINGS = ("dry_run", "wait_lock_s")


def _asked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that all of them have."""
    for option in (
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--reason", metavar="TEXT", help="Why, for the log."),
    ):
        function = option(function)
    return function


_names = click.argument("names", nargs=-1, required=True, metavar="NAME...")


@command(*_SETTINGS)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--through", metavar="NAME_OR_NUMBER", help="All that are pending, up to and including this one."
)
@click.option("--all", "all_pending", is_flag=True, help="All that are pending.")
@_asked
def mark(
    session: Session, *, names: tuple[str, ...], through: str | None, all_pending: bool, **how: Any
) -> None:
    """Record migrations without running them.

    For what the database has already. Their SQL is not looked at; status shows them as marked by hand.
    """
    if bool(names) + (through is not None) + all_pending != 1:
        raise click.UsageError("Give NAME..., or --through NAME, or --all.")

    def plan(migrator: Migrator, reason: str | None) -> Mending:
        return migrator.mark(*names, through=through, all_pending=all_pending, reason=reason, dry_run=True)

    _carry_out(session, plan, "Mark as applied?", **how)


@command(*_SETTINGS)
@_names
@_asked
def unmark(session: Session, *, names: tuple[str, ...], **how: Any) -> None:
    """Remove a record, and nothing else.

    What the SQL has done stays, and the next run applies the file again.
    """

    def plan(migrator: Migrator, reason: str | None) -> Mending:
        return migrator.unmark(*names, reason=reason, dry_run=True)

    _carry_out(session, plan, "Remove from the ledger?", **how)


@command(*_SETTINGS)
@_names
@_asked
def accept(session: Session, *, names: tuple[str, ...], **how: Any) -> None:
    """Take an edited file for the right one.

    The ledger gets the checksum of the file as it is now. Nothing is run.
    """

    def plan(migrator: Migrator, reason: str | None) -> Mending:
        return migrator.accept(*names, reason=reason, dry_run=True)

    _carry_out(session, plan, "Accept?", **how)


@command(*_SETTINGS)
@_names
@click.option("--done", is_flag=True, help="It is done: recorded as applied, whatever is left of it.")
@click.option("--retry", is_flag=True, help="It is not: the next run begins with its first statement.")
@_asked
def resolve(session: Session, *, names: tuple[str, ...], done: bool, retry: bool, **how: Any) -> None:
    """Settle what failed, is partial or was marked.

    Nothing is run. A migration marked for a duplicate keeps its record with --done, and loses it with
    --retry. With --retry, a down script that stopped half-way begins again.
    """
    if done is retry:
        raise click.UsageError("Give --done or --retry.")
    settlement = Settlement.DONE if done else Settlement.RETRY

    def plan(migrator: Migrator, reason: str | None) -> Mending:
        return migrator.resolve(*names, settlement=settlement, reason=reason, dry_run=True)

    _carry_out(session, plan, f"Resolve, to {'be done' if done else 'run again'}?", **how)


@command(*_SETTINGS)
@click.argument("old")
@click.argument("new")
@_asked
def rename(session: Session, *, old: str, new: str, **how: Any) -> None:
    """Give a record the new name of its file.

    OLD is what the ledger calls it, NEW the file in the folder; its contents must be what was applied.
    """

    def plan(migrator: Migrator, reason: str | None) -> Mending:
        return migrator.rename(old, new, reason=reason, dry_run=True)

    _carry_out(session, plan, "Rename in the ledger?", **how)


def _carry_out(
    session: Session,
    plan: Callable[[Migrator, str | None], Mending],
    question: str,
    *,
    yes: bool,
    reason: str | None,
) -> None:
    """Shows what will be changed, asks, and changes exactly that."""
    dry_run = session.settings.dry_run
    with session.migrator(read_only=dry_run) as migrator:
        mending = plan(migrator, reason)
        if mending.changes and not dry_run:
            if not yes:
                session.show(render_mend.mending_lines(mending, done=False), err=True)
            session.confirm(question, yes=yes)
            mending = migrator.mend(mending.changes, reason=reason)
    lines = render_mend.mending_lines(mending, done=not dry_run)
    lines += [NOTHING_WRITTEN] if dry_run and mending.changes else []
    session.out(lines, render_mend.mending_json(session.command, mending, reason=reason, dry_run=dry_run))
    session.warn(mending.findings)
