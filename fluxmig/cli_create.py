"""`fluxmig create`: parse, call, render; no decisions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from fluxmig.console import command
from fluxmig.creation import create as new_files

if TYPE_CHECKING:
    from fluxmig.console import Session
    from fluxmig.lines import Line

__all__ = ["create"]


@command()
@click.argument("description", nargs=-1, required=True, metavar="NAME...")
@click.option("--with-down", is_flag=True, help="Also a down script.")
@click.option("--timestamp", is_flag=True, help="Number it YYYYMMDDHHMMSS, in UTC.")
def create(session: Session, description: tuple[str, ...], *, with_down: bool, timestamp: bool) -> None:
    """Make the next migration's file.

    Its name is the next number and NAME in snake case.
    """
    paths = new_files(
        session.settings.migrations,
        " ".join(description),
        now=datetime.now(UTC),
        with_down=with_down,
        timestamp=timestamp,
    )
    lines: list[Line] = [[("Created ", ""), (str(path), "bold")] for path in paths]
    session.out(lines, {"format": 1, "command": "create", "files": [str(path) for path in paths]})
