"""The command line: parse, call, render, exit; it alone prints, exits and reads the environment."""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import signal
import sys
import traceback
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import fluxmig
from fluxmig import config, render
from fluxmig.config import Color, Settings
from fluxmig.errors import ConfigError, FluxmigError
from fluxmig.model import Report, RollbackReport, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fluxmig.migrator import Migrator
    from fluxmig.model import Notice, Script, StepResult

__all__ = ["main"]

_COMMON = (
    "database_url",
    "migrations",
    "table",
    "schema",
    "json",
    "color",
    "debug",
    "wait_s",
    "postgres_bin",
)
_INTERRUPTED = 128 + signal.SIGINT
"""The exit code of what a signal ends, as shells give it."""
_METAVARS = {
    "database_url": "URL",
    "migrations": "FOLDER",
    "table": "NAME",
    "schema": "NAME",
    "postgres_bin": "FOLDER",
}
_METAVARS |= {"wait_s": "SECONDS", "wait_lock_s": "SECONDS"}


# --- options, which may stand before or after the command -------------------------------------------------


def _option(field: str, *, hidden: bool = False) -> click.Option:
    """The option of a setting; not given is None, so that `config` can look elsewhere."""
    setting = next(setting for setting in config.SETTINGS if setting.field == field)
    words: dict[str, Any] = {"help": setting.help, "default": None, "hidden": hidden}
    if choices := setting.kind.choices:
        words["type"] = click.Choice(choices)
    elif setting.kind.is_flag:
        words |= {"is_flag": True, "flag_value": True, "type": bool}
    else:
        words["metavar"] = _METAVARS[field]
    return click.Option([f"--{setting.key}", field], **words)


class _Command(click.Command):
    """A command that also takes the common options, and gets the settings in force as its object."""

    def __init__(self, *args: Any, settings: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._own_settings = tuple(settings)
        self.params += [_option(field) for field in self._own_settings]
        self.params += [_option(field, hidden=True) for field in _COMMON]
        self.epilog = "Common options (--database-url, --migrations, --json, ...): fluxmig --help"

    def invoke(self, ctx: click.Context) -> Any:
        options = dict(ctx.parent.params) if ctx.parent else {}
        for field in (*self._own_settings, *_COMMON):
            value = ctx.params.pop(field)
            if value is not None:
                options[field] = value
        ctx.obj = _Session(ctx.info_name or "", options)
        with ctx.obj.errors():
            ctx.obj.settings = config.load(options, os.environ, Path())
            return super().invoke(ctx)


class _Group(click.Group):
    command_class = _Command

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """In the order in which they stand here, which is that of their use."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _discreet():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _discreet():
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not near:
                raise
            raise click.UsageError(f"No such command {args[0]!r}. Did you mean {near[0]!r}?", ctx) from error


@contextmanager
def _discreet() -> Iterator[None]:
    """Keeps URLs out of usage errors: click repeats what it cannot use, and that may hold a password."""
    try:
        yield
    except click.UsageError as error:
        if not re.search(r"://|:.*@", error.message, re.DOTALL):
            raise
        message = "There is a URL where none is expected. A database goes behind --database-url."
        raise click.UsageError(message, error.ctx) from None


class _Session:
    """What a command needs of the world: settings, output, a database."""

    def __init__(self, command: str, options: dict[str, Any]) -> None:
        self.command = command
        # Until the configuration is read, and if it cannot be, the command line's word counts.
        self.settings = Settings(json=bool(options.get("json")), debug=bool(options.get("debug")))
        self._passing = False

    def show_passing(self, text: str) -> None:
        """On a terminal, a line that goes when the next one comes: what is being done right now."""
        if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not self.settings.json:
            width = shutil.get_terminal_size().columns
            _write(render.cut(text, width - 1), newline=False)
            self._passing = True

    def show(self, lines: list[render.Line], *, err: bool = False) -> None:
        if self._passing:
            _write("\r\x1b[2K", newline=False)
            self._passing = False
        stream = sys.stderr if err else sys.stdout
        color = self.settings.color is Color.ALWAYS or (self.settings.color is Color.AUTO and stream.isatty())
        _write(render.terminal(lines) if color else render.plain(lines), err=err)

    def out(self, lines: list[render.Line], document: dict[str, Any]) -> None:
        """The command's result: text, or JSON."""
        if self.settings.json:
            _write_json(document)
        else:
            self.show(lines)

    def warn(self, findings: Iterable[Any]) -> None:
        for finding in findings:
            self.show(render.finding_lines(finding), err=True)

    @contextmanager
    def migrator(self, *, read_only: bool = False, must_exist: bool = False) -> Iterator[Migrator]:
        """A Migrator on the database that the settings name."""
        from fluxmig.connect import reach  # noqa: PLC0415  # SQLAlchemy loads here and not at start-up
        from fluxmig.migrator import Migrator  # noqa: PLC0415

        settings = self.settings
        if not settings.database_url:
            raise ConfigError(
                "there is no database URL",
                remedy="give --database-url URL, or set DATABASE_URL, also in a .env file;"
                " `--database-url embedded` starts a private PostgreSQL",
            )
        with reach(
            settings.database_url,
            read_only=read_only,
            must_exist=must_exist,
            wait_s=settings.wait_s,
            production=settings.production,
            environ=os.environ,
            postgres_bin=settings.postgres_bin,
        ) as engine:
            try:
                yield Migrator(
                    engine,
                    settings.migrations,
                    table=settings.table,
                    schema=settings.schema,
                    on_duplicate=settings.on_duplicate,
                    strict=settings.strict,
                    strict_order=settings.strict_order,
                    wait_lock_s=settings.wait_lock_s,
                )
            except KeyboardInterrupt:
                if not read_only:
                    words = "`fluxmig status` tells what is applied"
                    self.show([[("interrupted: ", "red"), (words, "")]], err=True)
                raise click.exceptions.Exit(_INTERRUPTED) from None

    @contextmanager
    def errors(self) -> Iterator[None]:
        """One clear line, the way out, and the error's exit code; with --debug, the traceback before it."""
        try:
            yield
        except FluxmigError as error:
            if self.settings.debug:
                _write(traceback.format_exc(), err=True)
            if self.settings.json:
                with suppress(FluxmigError):  # where even this cannot be written, standard error tells
                    _write_json(self._error_json(error))
            self.show(_error_lines(error), err=True)
            raise click.exceptions.Exit(error.exit_code) from error

    def _error_json(self, error: FluxmigError) -> dict[str, Any]:
        match error.report:
            case RollbackReport() as report:
                return render.error_json(self.command, error, render.rollback_json(report))
            case Report() as report:
                return render.error_json(self.command, error, render.report_json(report))
            case _:
                return render.error_json(self.command, error)


def _write(text: str | bytes, *, err: bool = False, newline: bool = True) -> None:
    """Prints; a full disk is an error like others, and a closed pipe is left to click, which exits 1.

    What the stream cannot encode is escaped: no name of a file stops a run in the middle. Bytes stay as they
    are.
    """
    stream = sys.stderr if err else sys.stdout
    if isinstance(text, str):
        encoding = stream.encoding or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        # What is styled was decided before, and is not to be stripped.
        click.echo(text, err=err, nl=newline, color=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        with suppress(OSError):  # what the buffer still holds must not fail again, in Python's words, at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise FluxmigError(f"cannot write the output: {error.strerror}") from error


def _write_json(document: dict[str, Any]) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=2)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2)
    _write(text)


def _error_lines(error: FluxmigError) -> list[render.Line]:
    first, *rest = str(error).split("\n")
    return [[("error: ", "red"), (first, "bold")], *([(line, "")] for line in rest)]


@click.group(
    cls=_Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[_option(field) for field in _COMMON],
    epilog="These options may stand before or after the command. Each is also a variable (FLUXMIG_TABLE; for"
    " the URL also DATABASE_URL) and a key in fluxmig.toml or pyproject.toml's [tool.fluxmig].\n\n"
    "Exit codes: 0 done, 1 a migration failed, 2 usage or configuration, 3 a file that cannot be read,"
    " 4 ledger and files disagree, 5 lock not obtained, 6 no connection, 10 pending (status --check).",
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
        click.echo(ctx.get_help())


def _command(*settings: str, **options: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Registers a command that takes the options of these settings beside its own."""

    def register(function: Callable[..., Any]) -> click.Command:
        return main.command(settings=settings, **options)(click.pass_obj(function))

    return register


def _selection(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose among what is pending."""
    for option in (
        click.option("--restart", metavar="NAME", help="Of this one, begin with statement 1 again."),
        click.option("--only", metavar="NAME", help="This one alone."),
        click.option("--steps", type=click.IntRange(min=1), metavar="N", help="At most so many."),
        click.option("--to", metavar="NAME_OR_NUMBER", help="Up to and including this one."),
    ):
        function = option(function)
    return function


# --- the commands -----------------------------------------------------------------------------------------


@_command("dry_run", "on_duplicate", "strict", "strict_order", "keep_going", "wait_lock_s")
@_selection
def run(session: _Session, **selection: Any) -> None:
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
        except FluxmigError as error:
            # Without a result there was no run, and its summary would only hide why.
            if isinstance(error.report, Report) and error.report.results and not session.settings.json:
                session.show(render.report_lines(error.report))
                session.warn(error.report.findings)
            raise
    session.out(render.report_lines(report), render.report_json(report))
    session.warn(report.findings)


@_command("on_duplicate", "strict", "strict_order")
@_selection
@click.option("--sql", is_flag=True, help="The SQL that would be sent, for psql or the sqlite3 shell.")
def plan(session: _Session, *, sql: bool, **selection: Any) -> None:
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
            _write(piece.encode(), newline=False)  # UTF-8, as the files are


def _show_plan(session: _Session, selection: dict[str, Any], *, command: str) -> None:
    with session.migrator(read_only=True) as migrator:
        found = migrator.plan(**selection)
    session.out(render.plan_lines(found), render.plan_json(found, command))
    session.warn(found.findings)


@_command()
@click.argument("name", required=False)
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="At most so many, the newest.")
def log(session: _Session, *, name: str | None, last: int | None) -> None:
    """Show what happened, and when.

    Every attempt, failed ones too, in the order they were made; of the migration NAME alone if given.
    """
    with session.migrator(read_only=True) as migrator:
        entries = migrator.log(name)
    session.out(render.log_lines(entries, name, last), render.log_json(entries[-(last or 0) :]))


@_command()
@click.option("--check", is_flag=True, help="Exit 10 if something is pending.")
def status(session: _Session, *, check: bool) -> None:
    """Show what is applied and what is pending.

    [x] is applied, [ ] is pending. What is wrong with a migration stands behind it: modified, missing,
    marked, failed, out of order.
    """
    with session.migrator(read_only=True) as migrator:
        statuses = migrator.status()
    session.out(render.status_lines(statuses), render.status_json(statuses))
    if check and any(status.state is State.PENDING for status in statuses):
        raise click.exceptions.Exit(10)


@_command("dry_run", "wait_lock_s")
@click.option("--steps", type=click.IntRange(min=1), default=1, metavar="N", help="How many, newest first.")
@click.option("--record-only", is_flag=True, help="Only remove the record, even if there is a down script.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rollback(session: _Session, *, steps: int, record_only: bool, yes: bool) -> None:
    """Take the last migration back.

    Runs its down script, NNN_description.down.sql, and removes its record. Without a down script only the
    record is removed, and what the SQL has done stays. Asks first if there is a terminal to ask on.
    """
    if session.settings.dry_run:
        with session.migrator(read_only=True) as migrator:
            planned = migrator.rollback_plan(steps, record_only=record_only)
        session.out(render.rollback_lines(planned, done=False), render.rollback_json(planned))
        return
    with session.migrator() as migrator:
        if not yes and sys.stdin.isatty():
            planned = migrator.rollback_plan(steps, record_only=record_only)
            session.show(render.rollback_lines(planned, done=False), err=True)
            if not click.confirm("Roll back?", err=True):
                session.show([[("Nothing was changed.", "")]], err=True)
                raise click.exceptions.Exit(1)
        report = migrator.rollback(steps, record_only=record_only)
    session.out(render.rollback_lines(report, done=True), render.rollback_json(report))


@_command()
@click.argument("description", nargs=-1, required=True, metavar="NAME...")
@click.option("--with-down", is_flag=True, help="Also a down script.")
@click.option("--timestamp", is_flag=True, help="Number it YYYYMMDDHHMMSS, in UTC.")
def create(session: _Session, description: tuple[str, ...], *, with_down: bool, timestamp: bool) -> None:
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


@_command()
def verify(session: _Session) -> None:
    """Check connection, privileges, ledger and files.

    Changes nothing, and exits 0 only if all is well.
    """
    with session.migrator(read_only=True, must_exist=True) as migrator:
        verification = migrator.verify()
    session.out(render.verify_lines(verification), render.verify_json(verification))
    if not verification.ok:
        raise click.exceptions.Exit(verification.exit_code)
