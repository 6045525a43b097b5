"""`fluxmig fleet`: parse, call, render; no decisions."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fluxmig import render_fleet
from fluxmig.console import COMMON, EPILOG, PATIENCE, Group, command, quiet, setting_option
from fluxmig.errors import ConfigError, StoppedError
from fluxmig.fleet.model import Manner, Pace, worst
from fluxmig.fleet.waves import canary, share, shares, waves

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fluxmig.console import Session
    from fluxmig.fleet.model import FleetReport, Result, Target, Wave

__all__ = ["fleet"]

STATE = Path(".fluxmig", "fleet.sqlite")
_REDRAWN_S = 0.1
_PENDING_CODE = 10
_COUNT, _SECONDS = click.IntRange(min=1), click.FloatRange(min=0, min_open=True)


# --- options ----------------------------------------------------------------------------------------------


def _targets(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which databases."""
    for option in (
        click.option("--select", multiple=True, metavar="WORD", help="Only such names, or KEY=VALUE."),
        click.option(
            "--shared-schema", "shared", multiple=True, metavar="NAME", help="Seen behind each one."
        ),
        click.option("--schemas", metavar="PATTERN", help="Each schema like this: tenant_%."),
        click.option("--targets-sql", metavar="SQL", help="A query: name, url, schema, group, ..."),
        click.option("--targets-url", metavar="URL", help="Where; by default --database-url."),
        click.option("--targets", "file", metavar="FILE", help="A file: NAME, URL or NAME URL a line."),
    ):
        function = option(function)
    return function


def _speed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how many at once, and where."""
    for option in (
        click.option("--executor", metavar="dask://HOST:PORT", help="A cluster in place of threads."),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="For each target.",
        ),
        click.option(
            "--per-host",
            type=click.IntRange(min=1),
            metavar="M",
            help="At most so many of one group at once.",
        ),
        click.option("--parallel", type=_COUNT, default=16, metavar="N", help="So many at once (16)."),
    ):
        function = option(function)
    return function


# --- the commands -----------------------------------------------------------------------------------------


@command()
@_targets
@_speed
@click.option("--check", is_flag=True, help="Exit 10 if something is pending.")
def status(session: Session, *, check: bool, **options: Any) -> None:
    """Show how many databases are at which migration.

    One pass over all, in parallel. Only reads.
    """
    report = _status(session, _fleet(session, options), options)
    session.out(render_fleet.status_lines(report), render_fleet.fleet_json(report, session.command))
    is_pending = check and any(result.pending for result in report.results)
    _exit(worst((report.exit_code, _PENDING_CODE if is_pending else 0)))


@command(
    "dry_run",
    also=("on_duplicate", "strict", "strict_order", "keep_going", *PATIENCE, "retry_connection_s"),
)
@_targets
@_speed
@click.option("--to", metavar="NAME_OR_NUMBER", help="Up to and including this migration.")
@click.option("--canary", "canaries", metavar="N|NAMES", help="These first; if one fails, no others.")
@click.option("--waves", "sizes", metavar="1%,10%,100%", help="Then up to so many of all, wave by wave.")
@click.option("--max-failures", metavar="N|P%", help="If more fail, hand out no more.")
@click.option("--state", metavar="FILE|URL", help="Where results are kept.")
@click.option("--resume", is_flag=True, help="Leave out what is done, by the state.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Also a page.")
def run(session: Session, **options: Any) -> None:
    """Apply the pending migrations to many databases.

    Each one's own lock and ledger decide what is done there, whoever else is at work. A failure is a row of
    the report. Ctrl-C ends what is under way and keeps what came of it. The options of `fluxmig run` for
    each of them are taken too: --on-duplicate, --strict, --lock-timeout, --wait-lock and so on.
    """
    pace = _pace(options)
    _refuse_without_folder(options["html"])
    targets = _fleet(session, options)
    if session.settings.dry_run:
        planned, report = waves(targets, pace), _status(session, targets, options, to=options["to"])
        lines = render_fleet.status_lines(report) + render_fleet.plan_lines(planned)
        session.out(lines, render_fleet.fleet_json(report, session.command))
        _exit(report.exit_code)
        return
    from fluxmig import fleet as library  # noqa: PLC0415  # SQLAlchemy loads here and not at start-up

    watch = _Watch(session, targets)
    try:
        report = library.run(
            targets,
            session.settings.migrations,
            pace=pace,
            manner=_manner(session, options["to"]),
            executor=options["executor"],
            environ=session.variables,
            state=_place(session, options["state"]),
            resume=options["resume"],
            on_wave=watch.wave,
            on_result=watch.result,
        )
    except StoppedError as error:
        error.remedy = "`fluxmig fleet run --resume` does what is left"
        if error.fleet and not session.settings.json:
            session.show(render_fleet.summary_lines(error.fleet))
        raise
    _write_page(report, options["html"])
    session.out(render_fleet.summary_lines(report), render_fleet.fleet_json(report, session.command))
    _exit(report.exit_code)


@command()
@click.argument("name", metavar="[RUN]", required=False)
@click.option("--state", metavar="FILE|URL", help="Where results are kept.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Also a page.")
def report(session: Session, *, name: str | None, state: str | None, html: Path | None) -> None:
    """Show what a run has come to, also while it goes on.

    The last one, or the one of that name.
    """
    from fluxmig.fleet.state import opened  # noqa: PLC0415  # SQLAlchemy loads here and not at start-up

    quiet()
    with opened(_place(session, state), session.variables, must_exist=True) as kept:
        found = kept.report(name)
    _write_page(found, html)
    session.out(render_fleet.report_lines(found), render_fleet.fleet_json(found, session.command))


@command("on_duplicate", "strict", "strict_order", "keep_going")
@_targets
@_speed
@click.option("--on", "source", default="auto", metavar="SOURCE", help="Where, as for `fluxmig rehearse`.")
@click.option("--deny", multiple=True, metavar="NAMES", help="Findings to exit 1 for, or all.")
def rehearse(session: Session, *, source: str, deny: Sequence[str], **options: Any) -> None:
    """Run what is pending on a scratch copy of each state.

    Targets whose ledgers say the same are in one state, and one of them stands for all: its structure and its
    ledger are copied to a throwaway database, and what is pending runs there for real.
    """
    from fluxmig import fleet as library  # noqa: PLC0415  # SQLAlchemy loads here and not at start-up
    from fluxmig.cli_rehearse import denied  # noqa: PLC0415  # no other command needs this

    names, targets, settings = denied(deny), _fleet(session, options), session.settings
    found = _status(session, targets, options)
    states = []
    for state in library.rehearse(
        targets,
        found,
        settings.migrations,
        manner=_manner(session),
        source=source,
        environ=session.variables,
        postgres_bin=settings.postgres_bin,
        denied=names,
        tell=lambda text: session.show([[(text, "")]], err=True),
    ):
        states.append(state)
        if not settings.json:
            session.show(render_fleet.state_lines(state))
    code = worst((*(state.exit_code for state in states), *(each.exit_code for each in found.failures)))
    lines = render_fleet.failures_lines(found) or ([] if states else [[("Nothing is pending.", "")]])
    if lines or settings.json:
        session.out(lines, render_fleet.rehearsals_json(states, found, session.command, code))
    _exit(code)


@click.group(
    cls=Group,
    summaries={
        "status": ("cli_fleet", "Show how many databases are at which migration."),
        "run": ("cli_fleet", "Apply the pending migrations to many databases."),
        "rehearse": ("cli_fleet", "Run what is pending on a scratch copy of each state."),
        "report": ("cli_fleet", "Show what a run has come to, also while it goes on."),
    },
    params=[setting_option(field, hidden=True) for field in COMMON],
    epilog=EPILOG,
)
def fleet(**_options: Any) -> None:
    """The same for many databases, or schemas, at once."""


# --- parts ------------------------------------------------------------------------------------------------


class _Watch:
    """What a person sees of a run: failures as they come, a line a wave, and on a terminal a bar a group."""

    def __init__(self, session: Session, targets: Sequence[Target]) -> None:
        self._session = session
        self._totals = Counter(target.group for target in targets)
        self._results: dict[str, Result] = {}
        self._wave_began, self._drawn = time.monotonic(), 0.0

    def result(self, result: Result) -> None:
        self._results[result.name] = result
        if result.state.is_failure and not self._session.settings.json:
            self._session.show(render_fleet.failure_lines(result))
            self._drawn = 0.0
        if time.monotonic() - self._drawn >= _REDRAWN_S:
            self._session.show_passing(*render_fleet.bars(self._totals, self._results.values()))
            self._drawn = time.monotonic()

    def wave(self, wave: Wave) -> None:
        seconds = time.monotonic() - self._wave_began
        if not self._session.settings.json:
            self._session.show(render_fleet.wave_lines(wave, self._results, seconds))
        self._wave_began = time.monotonic()


def _fleet(session: Session, options: dict[str, Any]) -> tuple[Target, ...]:
    """The targets that the options name."""
    from fluxmig.fleet import sources, targets  # noqa: PLC0415  # SQLAlchemy loads here and not at start-up

    quiet()
    base, environ = session.settings.url, session.variables
    given = [name for name in ("file", "targets_sql", "schemas") if options[name]]
    if len(given) != 1:
        raise ConfigError(
            "it is not said which databases" if not given else "it is said in two ways which databases",
            remedy="give one of --targets FILE, --targets-sql SQL and --schemas PATTERN",
        )
    for option, name, of in (
        ("targets_url", "--targets-url", "targets_sql"),
        ("shared", "--shared-schema", "schemas"),
    ):
        if options[option] and not options[of]:
            raise ConfigError(f"{name} says nothing without --{of.replace('_', '-')}", remedy="leave it out")
    if options["file"]:
        found = sources.from_file(options["file"], base=base, environ=environ)
    elif options["targets_sql"]:
        control = options["targets_url"] or _needed(base, "--targets-url")
        found = sources.from_query(control, options["targets_sql"], base=base, environ=environ)
    else:
        url = _needed(base, "--database-url")
        found = sources.from_schemas(url, options["schemas"], shared=options["shared"], environ=environ)
    return targets.selected(targets.unique(found), options["select"])


def _needed(url: str | None, option: str) -> str:
    if not url:
        raise ConfigError("there is no database URL", remedy=f"give {option} URL")
    return url


def _status(
    session: Session, targets: Sequence[Target], options: dict[str, Any], to: str | None = None
) -> FleetReport:
    from fluxmig import fleet as library  # noqa: PLC0415  # SQLAlchemy loads here and not at start-up

    return library.status(
        targets,
        session.settings.migrations,
        pace=Pace(options["parallel"], options["per_host"], options["timeout"]),
        manner=_manner(session, to),
        executor=options["executor"],
        environ=session.variables,
    )


def _pace(options: dict[str, Any]) -> Pace:
    return Pace(
        options["parallel"],
        options["per_host"],
        options["timeout"],
        share(options["max_failures"]) if options["max_failures"] is not None else None,
        canary(options["canaries"]) if options["canaries"] is not None else 0,
        shares(options["sizes"]) if options["sizes"] is not None else (),
    )


def _manner(session: Session, to: str | None = None) -> Manner:
    settings = session.settings
    return Manner(
        table=settings.table,
        schema=settings.schema,
        to=to,
        on_duplicate=settings.on_duplicate,
        strict=settings.strict,
        strict_order=settings.strict_order,
        keep_going=settings.keep_going,
        wait_s=settings.wait_s,
        wait_lock_s=settings.wait_lock_s,
        lock_timeout_s=settings.lock_timeout_s,
        lock_retries=settings.lock_retries,
        statement_timeout_s=settings.statement_timeout_s,
        retry_connection_s=settings.retry_connection_s,
        query_text=not settings.no_query_text,
        production=settings.production,
    )


def _place(session: Session, given: str | None) -> str:
    """Where the state is kept, its variables replaced."""
    from fluxmig.fleet.targets import expanded  # noqa: PLC0415  # SQLAlchemy loads here and not at start-up

    return expanded(given, session.variables) if given else str(STATE)


def _refuse_without_folder(path: Path | None) -> None:
    """Raises `ConfigError` before anything runs, where there is nowhere to write a page to."""
    if path is not None and not path.parent.is_dir():
        raise ConfigError(
            f"{path}: cannot be written: there is no folder {path.parent}", remedy="name another file"
        )


def _write_page(report: FleetReport, path: Path | None) -> None:
    if path is None:
        return
    from fluxmig.render_fleet_html import fleet_page  # noqa: PLC0415  # only where a page is wanted

    try:
        path.write_text(fleet_page(report), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written: {error.strerror}", remedy="name another file"
        ) from error


def _exit(code: int) -> None:
    if code:
        raise click.exceptions.Exit(code)
