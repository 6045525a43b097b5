"""The command line: its commands, and what is said of all of them."""

from __future__ import annotations

from typing import Any

import click

import fluxmig
from fluxmig.console import COMMON, Group, setting_option, write

__all__ = ["main"]

_COMMANDS = {
    "run": ("cli_run", "Apply the pending migrations, in order."),
    "plan": ("cli_run", "Show what run would do."),
    "rehearse": ("cli_rehearse", "Run what is pending on a scratch database."),
    "status": ("cli_status", "Show what is applied and what is pending."),
    "log": ("cli_status", "Show what happened, and when."),
    "rollback": ("cli_rollback", "Take the last migration back."),
    "redo": ("cli_rollback", "Take a migration back and apply it again."),
    "adopt": ("cli_adopt", "Take over a database whose ledger does not say what it has."),
    "mark": ("cli_mend", "Record migrations without running them."),
    "unmark": ("cli_mend", "Remove a record, and nothing else."),
    "accept": ("cli_mend", "Take an edited file for the right one."),
    "resolve": ("cli_mend", "Settle what failed, is partial or was marked."),
    "rename": ("cli_mend", "Give a record the new name of its file."),
    "create": ("cli_create", "Make the next migration's file."),
    "check": ("cli_check", "Check the folder, without any database."),
    "verify": ("cli_status", "Check connection, privileges, ledger and files."),
    "load": ("cli_load", "Load files of JSON into tables."),
    "fleet": ("cli_fleet", "The same for many databases, or schemas, at once."),
}
"""In the order of the help: the module of each command, loaded when that is called, and its first line."""


@click.group(
    cls=Group,
    summaries=_COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[setting_option(field) for field in COMMON],
    epilog="These options may stand before or after the command. Each is also a variable (FLUXMIG_TABLE; for"
    " the URL also DATABASE_URL) and a key in fluxmig.toml or pyproject.toml's [tool.fluxmig].\n\n"
    "Exit codes: 0 done, 1 a migration or load failed, 2 usage or configuration, 3 a file that cannot be"
    " read, or an unsound folder (check), 4 ledger and files disagree, 5 lock not obtained, 6 no connection,"
    " 10 pending (status --check).",
)
@click.version_option(fluxmig.__version__, prog_name="fluxmig")
@click.pass_context
def main(ctx: click.Context, /, **_options: Any) -> None:
    """Plain-SQL database migrations: numbered .sql files, one table, no surprises.

    \b
      fluxmig create "add user settings"
      fluxmig run --database-url postgresql://user@host/database
      fluxmig run --database-url embedded     (a private PostgreSQL of its own)
    """
    if ctx.invoked_subcommand is None:
        write(ctx.get_help())
