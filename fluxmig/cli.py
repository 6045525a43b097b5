"""The command line: parse, call, render, exit; no decisions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

import fluxmig
from fluxmig import cli_mend, render, render_diff
from fluxmig.cli_adopt import adopt
from fluxmig.cli_check import check
from fluxmig.cli_load import load
from fluxmig.cli_rollback import redo, rollback
from fluxmig.console import COMMON, PATIENCE, Group, command, setting_option, write
from fluxmig.errors import ConfigError, FluxmigError, StoppedError
from fluxmig.model import Report, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from fluxmig.console import Session
    from fluxmig.model import Notice, Script, StepResult

__all__ = ["main"]


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


# --- the commands -----------------------------------------------------------------------------------------


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
    lines, document = render.status_lines(statuses), render.status_json(statuses)
    if diff:
        lines, document = lines + render_diff.diff_lines(statuses), render_diff.diff_json(document, statuses)
    session.out(lines, document)
    if check and any(status.state is State.PENDING for status in statuses):
        raise click.exceptions.Exit(10)


@command()
@click.argument("description", nargs=-1, required=True, metavar="NAME...")
@click.option("--with-down", is_flag=True, help="Also a down script.")
@click.option("--timestamp", is_flag=True, help="Number it YYYYMMDDHHMMSS, in UTC.")
def create(session: Session, description: tuple[str, ...], *, with_down: bool, timestamp: bool) -> None:
    """Make the next migration's file.

    Its name is the next number and NAME in snake case.
    """
    from fluxmig.layouts import numbered  # noqa: PLC0415

    paths = numbered.create(
        session.settings.migrations,
        " ".join(description),
        now=datetime.now(UTC),
        with_down=with_down,
        timestamp=timestamp,
    )
    lines: list[render.Line] = [[("Created ", ""), (str(path), "bold")] for path in paths]
    session.out(lines, {"format": 1, "command": "create", "files": [str(path) for path in paths]})


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


# --- all of them ------------------------------------------------------------------------------------------


@click.group(
    cls=Group,
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


for _each in (  # in the order of the help
    *(run, plan, status, log, rollback, redo),
    *(adopt, cli_mend.mark, cli_mend.unmark, cli_mend.accept, cli_mend.resolve, cli_mend.rename),
    *(create, check, verify, load),
):
    main.add_command(_each)
