"""`fluxmig adopt`: parse, call, render; no decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fluxmig import render_adopt
from fluxmig.console import command
from fluxmig.model import AdoptionKind, AdoptionReport

if TYPE_CHECKING:
    from fluxmig.console import Session
    from fluxmig.lines import Line

__all__ = ["adopt"]


@command("dry_run", "wait_lock_s")
@click.option("--yes", is_flag=True, help="Record without asking.")
@click.option("--reason", metavar="TEXT", help="Why, for the log.")
def adopt(session: Session, *, yes: bool, reason: str | None) -> None:
    """Take over a database whose ledger does not say what it has.

    Looks for what each pending file makes. EXISTS: all of it is there, and nothing else is in the file.
    ABSENT: nothing is. CONFLICT: some is. UNKNOWN: data, alterations, blocks. Records the first kind as
    applied, and never runs anything. Asks first if there is a terminal to ask on; else it needs --yes.
    """
    with session.migrator(read_only=True) as migrator:
        found = migrator.adopt_plan()
    chosen = sum(each.kind is AdoptionKind.EXISTS for each in found)
    settings = session.settings
    asks = session.can_ask and not yes
    records = bool(chosen) and (yes or asks) and not settings.dry_run
    if not settings.json or (records and asks):
        session.show(render_adopt.adoption_lines(found), err=settings.json)
    report = AdoptionReport()
    if records:
        session.confirm(f"Record {chosen} {_migrations(chosen)} as applied?", yes=yes)
        with session.migrator() as migrator:
            report = migrator.adopt(reason)
        session.warn(report.findings)
    elif chosen and not settings.dry_run:
        session.show(
            [[(f"Nothing was recorded; --yes records {chosen} {_migrations(chosen)}.", "")]], err=True
        )
    lines: list[Line] = [[(f"Recorded: {len(report.recorded)}", "bold")]] if records else []
    if lines or settings.json:
        session.out(lines, render_adopt.adoption_json(found, report, dry_run=settings.dry_run))


def _migrations(count: int) -> str:
    return "migration" if count == 1 else "migrations"
