"""What all commands share: options, settings, output, a database, errors. It alone prints and exits."""

from __future__ import annotations

import gc
import os
import re
import sys
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from fluxmig import config, lines
from fluxmig.config import Color, Settings
from fluxmig.errors import ConfigError, DataFileError, FluxmigError, LoadError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sqlalchemy import Engine

    from fluxmig.lines import Line
    from fluxmig.migrator import Migrator
    from fluxmig.model import Finding, Wait

__all__ = ["COMMON", "EPILOG", "PATIENCE", "Group", "Session", "command", "quiet", "setting_option"]
__all__ += ["write"]

COMMON = (
    "database_url",
    "direct_url",
    "migrations",
    "table",
    "schema",
    "json",
    "color",
    "debug",
    "wait_s",
    "postgres_bin",
)
EPILOG = "Common options (--database-url, --migrations, --json, ...): fluxmig --help"
PATIENCE = ("wait_lock_s", "lock_timeout_s", "lock_retries", "statement_timeout_s", "no_query_text")
"""Settings of what runs scripts."""
_SELDOM = 200_000
"""Objects that are made before those are looked through that may be garbage; Python's own number is 700."""
_METAVARS = {
    "database_url": "URL",
    "direct_url": "URL",
    "migrations": "FOLDER",
    "table": "NAME",
    "schema": "NAME",
    "postgres_bin": "FOLDER",
}
_METAVARS |= dict.fromkeys(
    ("wait_s", "wait_lock_s", "lock_timeout_s", "statement_timeout_s", "retry_connection_s"), "SECONDS"
)
_METAVARS |= {"lock_retries": "N"}


# --- options, which may stand before or after the command -------------------------------------------------


def setting_option(field: str, *, hidden: bool = False) -> click.Option:
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

    def __init__(
        self, *args: Any, settings: Iterable[str] = (), also: Iterable[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._own_settings = (*settings, *also)
        self.params += [setting_option(field, hidden=field in also) for field in self._own_settings]
        self.params += [setting_option(field, hidden=True) for field in COMMON]
        self.epilog = EPILOG

    def invoke(self, ctx: click.Context) -> Any:
        above = _above(ctx)
        options = {
            field: value for each in above for field, value in each.params.items() if value is not None
        }
        for field in (*self._own_settings, *COMMON):
            value = ctx.params.pop(field)
            if value is not None:
                options[field] = value
        words = [each.info_name for each in (*above[1:], ctx) if each.info_name]
        ctx.obj = Session(" ".join(words), options)
        from fluxmig import signals  # noqa: PLC0415  # not for the help

        with signals.heard(ctx.obj.interrupt), ctx.obj.errors():
            ctx.obj.settings = config.load(options, os.environ, Path())
            return super().invoke(ctx)


def _above(ctx: click.Context) -> list[click.Context]:
    """The contexts of the program and of its groups that a command stands in."""
    found: list[click.Context] = []
    while ctx.parent:
        ctx = ctx.parent
        found.insert(0, ctx)
    return found


class Group(click.Group):
    """The commands, and what people mistype."""

    def __init__(self, *args: Any, summaries: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        """As click does.

        Args:
            args: click's.
            summaries: By name, in the order of the help: a command's module, and the first line of its help.
            kwargs: click's.
        """
        super().__init__(*args, **kwargs)
        self.summaries = summaries

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """In the order in which they stand here, which is that of their use."""
        return list(self.summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Loads the command's module: for the help of all, that of none is needed."""
        if cmd_name not in self.summaries:
            return None
        module, _ = self.summaries[cmd_name]
        found: click.Command = getattr(import_module(f"fluxmig.{module}"), cmd_name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """As click does."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.summaries.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, without repeating URLs."""
        with _discreet():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Likewise."""
        with _discreet():
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; a word that is no command gets the nearest one for an answer."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib  # noqa: PLC0415

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


class Session:
    """What a command needs of the world: settings, output, a database."""

    def __init__(self, command: str, options: dict[str, Any]) -> None:
        self.command = command
        # Until the configuration is read, and if it cannot be, the command line's word counts.
        self.settings = Settings(json=bool(options.get("json")), debug=bool(options.get("debug")))
        self._passing = 0
        self._interrupt: Callable[[], None] | None = None

    def show_passing(self, *texts: str) -> None:
        """On a terminal, lines that go when the next ones come: what is being done right now."""
        if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not self.settings.json:
            import shutil  # noqa: PLC0415

            self._clear()
            width = shutil.get_terminal_size().columns
            write("\n".join(lines.cut(text, width - 1) for text in texts), newline=False)
            self._passing = len(texts)

    def _clear(self) -> None:
        """Takes the passing lines away."""
        if self._passing:
            write("\r\x1b[2K" + "\x1b[1A\x1b[2K" * (self._passing - 1), newline=False)
            self._passing = 0

    def show(self, shown: list[Line], *, err: bool = False) -> None:
        """Prints lines, with colour where that is wanted."""
        self._clear()
        stream = sys.stderr if err else sys.stdout
        color = self.settings.color is Color.ALWAYS or (self.settings.color is Color.AUTO and stream.isatty())
        write(lines.terminal(shown) if color else lines.plain(shown), err=err)

    def out(self, shown: list[Line], document: dict[str, Any]) -> None:
        """The command's result: text, or JSON."""
        if self.settings.json:
            _write_json(document)
        else:
            self.show(shown)

    def warn(self, findings: Iterable[Finding]) -> None:
        """Findings, on standard error."""
        from fluxmig import render  # noqa: PLC0415  # what makes a file or helps has none

        for finding in findings:
            self.show(render.finding_lines(finding), err=True)

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment, for programs that a command runs."""
        return os.environ

    @property
    def stdin(self) -> IO[bytes] | None:
        """Standard input, for what reads data there."""
        return getattr(sys.stdin, "buffer", None)

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment with what `.env` adds, for what a person has written as `${NAME}`."""
        return config.variables(os.environ, Path())

    @property
    def can_ask(self) -> bool:
        """Whether there is a terminal to ask on."""
        return sys.stdin.isatty()

    def confirm(self, question: str, *, yes: bool) -> None:
        """Goes on only if `yes`, or if the person at the terminal says so.

        Raises:
            ConfigError: There is no terminal to ask on.
        """
        if yes:
            return
        if not self.can_ask:
            raise ConfigError("nothing was changed: there is no terminal to ask on", remedy="give --yes")
        try:
            agreed = click.confirm(question, err=True)
        except click.Abort as abort:  # click's word for Ctrl-C, and for the end of the input
            if isinstance(abort.__context__, StoppedError):
                abort.__context__.remedy = "nothing was changed"
                raise abort.__context__ from None
            raise
        if not agreed:
            self.show([[("Nothing was changed.", "")]], err=True)
            raise click.exceptions.Exit(1)

    @contextmanager
    def target(self, *, read_only: bool = False, must_exist: bool = False) -> Iterator[Engine]:
        """The database that the settings name."""
        with _loading():
            from fluxmig.connect import reach  # noqa: PLC0415  # loads here and not at start-up

        quiet()
        settings = self.settings
        if not settings.url:
            raise ConfigError(
                "there is no database URL",
                remedy="give --database-url URL, or set DATABASE_URL, also in a .env file;"
                " `--database-url embedded` starts a private PostgreSQL",
            )
        with reach(
            settings.url,
            read_only=read_only,
            must_exist=must_exist,
            wait_s=settings.wait_s,
            production=settings.production,
            environ=os.environ,
            postgres_bin=settings.postgres_bin,
        ) as engine:
            yield engine

    def migrator_on(self, engine: Engine, folder: Path | None = None) -> Migrator:
        """A Migrator on that database; of the folder that the settings name, unless another is given."""
        with _loading():
            from fluxmig.migrator import Migrator  # noqa: PLC0415

        settings = self.settings
        migrator = Migrator(
            engine,
            folder or settings.migrations,
            table=settings.table,
            schema=settings.schema,
            on_duplicate=settings.on_duplicate,
            strict=settings.strict,
            strict_order=settings.strict_order,
            wait_lock_s=settings.wait_lock_s,
            lock_timeout_s=settings.lock_timeout_s,
            lock_retries=settings.lock_retries,
            statement_timeout_s=settings.statement_timeout_s,
            retry_connection_s=settings.retry_connection_s,
            query_text=not settings.no_query_text,
            on_wait=self._waits,
        )
        self._interrupt = migrator.interrupt
        return migrator

    @contextmanager
    def migrator(self, *, read_only: bool = False, must_exist: bool = False) -> Iterator[Migrator]:
        """A Migrator on the database that the settings name."""
        with self.target(read_only=read_only, must_exist=must_exist) as engine:
            migrator = self.migrator_on(engine)
            try:
                yield migrator
            except StoppedError as error:
                if not read_only and error.remedy is None:
                    error.remedy = "`fluxmig status` tells what is applied"
                raise

    @contextmanager
    def errors(self) -> Iterator[None]:
        """One clear line, the way out, and the error's exit code; with --debug, the traceback before it."""
        try:
            yield
        except (FluxmigError, StoppedError) as error:
            if self.settings.debug:
                import traceback  # noqa: PLC0415

                from fluxmig.discretion import masked  # noqa: PLC0415

                write(
                    masked(traceback.format_exc(), self.settings.database_url, self.settings.direct_url),
                    err=True,
                )
            if self.settings.json:
                with suppress(FluxmigError):  # where even this cannot be written, standard error tells
                    _write_json(self._error_json(error))
            self.show(_error_lines(error), err=True)
            raise click.exceptions.Exit(error.exit_code) from error

    def interrupt(self) -> None:
        """Ends the statement that the main thread is waiting for, where that has to come from another one."""
        if self._interrupt:
            self._interrupt()

    def _waits(self, wait: Wait) -> None:
        """Tells that one has to wait, on standard error, also where the result is JSON."""
        from fluxmig.model import WaitReason  # noqa: PLC0415

        name = f"{wait.name}: " if wait.name and wait.reason is WaitReason.LOCK else ""
        self.show([[(f"{name}{wait.message}", "yellow")]], err=True)

    def _error_json(self, error: FluxmigError | StoppedError) -> dict[str, Any]:
        from fluxmig import render, render_fleet  # noqa: PLC0415
        from fluxmig.model import Report, RollbackReport  # noqa: PLC0415

        if isinstance(error, DataFileError | LoadError) and error.loaded:
            from fluxmig import render_load  # noqa: PLC0415

            return render.error_json(self.command, error, render_load.load_json(error.loaded))
        if isinstance(error, StoppedError) and error.fleet:
            return render.error_json(self.command, error, render_fleet.fleet_json(error.fleet, self.command))
        match error.report:
            case RollbackReport() as report:
                return render.error_json(self.command, error, render.rollback_json(report, self.command))
            case Report() as report:
                return render.error_json(self.command, error, render.report_json(report, self.command))
            case _:
                return render.error_json(self.command, error)


def quiet() -> None:
    """Keeps off standard error what a driver or a pool has to log: it is no second message to people."""
    import logging  # noqa: PLC0415  # only where there is a database

    if not logging.getLogger().hasHandlers():
        logging.getLogger().addHandler(logging.NullHandler())


@contextmanager
def _loading() -> Iterator[None]:
    """Around imports: nothing of what they load is garbage, and to look for it takes a tenth of the time.

    Behind them, it is looked for less often: rows and files by the thousand are no garbage either.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(_SELDOM)
        gc.enable()


def write(text: str | bytes, *, err: bool = False, newline: bool = True) -> None:
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
    import json  # noqa: PLC0415

    text = json.dumps(document, ensure_ascii=False, indent=2)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2)
    write(text)


def _error_lines(error: FluxmigError | StoppedError) -> list[Line]:
    if isinstance(error, StoppedError):
        way_out = f": {error.remedy}" if error.remedy else ""
        return [[(error.message, "red"), (way_out, "")]]
    first, *rest = str(error).split("\n")
    return [[("error: ", "red"), (first, "bold")], *([(line, "")] for line in rest)]


def command(
    *settings: str, also: Iterable[str] = (), **options: Any
) -> Callable[[Callable[..., Any]], click.Command]:
    """A command that takes the options of these settings beside its own, and a `Session` first.

    Args:
        settings: By their fields.
        also: Others, which its help does not list.
        options: As click has them.
    """

    def make(function: Callable[..., Any]) -> click.Command:
        return click.command(cls=_Command, settings=settings, also=also, **options)(click.pass_obj(function))

    return make
