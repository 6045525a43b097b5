"""`fluxmig rehearse`: what is pending, run for real on a scratch database."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fluxmig import render, render_rehearsal
from fluxmig.console import command
from fluxmig.errors import ConfigError, FluxmigError, StoppedError
from fluxmig.hazards import NAMES, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Engine

    from fluxmig.console import Session
    from fluxmig.model import DatabaseInfo, Notice
    from fluxmig.rehearsal import Stage
    from fluxmig.trace import FileTrace, TableSize

__all__ = ["denied", "rehearse"]

_TARGET = ""
"""What `--from-url` stands for without a URL."""


@command("on_duplicate", "strict", "strict_order", "keep_going")
@click.option(
    "--on",
    "source",
    default="auto",
    metavar="SOURCE",
    help="Where: auto, embedded, container, container:IMAGE, sqlite, or the URL of a server.",
)
@click.option(
    "--from-url",
    is_flag=False,
    flag_value=_TARGET,
    metavar="[URL]",
    help="First make there what this database holds, by default the target: its structure and its ledger.",
)
@click.option("--from-ref", metavar="GIT_REF", help="First apply the files of this branch, like origin/main.")
@click.option("--round-trip", is_flag=True, help="Take each back and apply it again, and compare.")
@click.option(
    "--deny",
    multiple=True,
    metavar="NAMES",
    help="Findings to exit 1 for, by name, separated by commas; or all.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "github")),
    default="text",
    help="For people, or also as GitHub's annotations.",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write a page to look at.",
)
def rehearse(
    session: Session,
    *,
    source: str,
    from_url: str | None,
    from_ref: str | None,
    round_trip: bool,
    deny: Sequence[str],
    html: Path | None,
    form: str,
) -> None:
    """Run what is pending on a scratch database.

    For real, on a throwaway database of the target's kind and release; and tell what each statement locks,
    rewrites and builds, what would go wrong in production, and the safer way. From nothing, unless --from-url
    or --from-ref says what is there before. Exits 1 if a file fails, or for what --deny names; a file allows
    it by `-- fluxmig: allow=NAME`.
    """
    from fluxmig import rehearsal, render_html  # noqa: PLC0415  # no other command needs these

    names = denied(deny)
    if session.settings.json and form == "github":
        raise ConfigError(
            "--format github prints annotations, and --json a document", remedy="take one of the two"
        )
    if from_url is not None and from_ref is not None:
        raise ConfigError(
            "--from-url and --from-ref both say what is there before", remedy="take one of the two"
        )
    if from_url:
        session.settings = replace(session.settings, database_url=from_url, direct_url=None)
    with _stopping(), _stage(session, source, from_url, from_ref) as stage:
        found = rehearsal.rehearse(
            replace(stage, denied=names, round_trip=round_trip), keep_going=session.settings.keep_going
        )
    if html is not None:
        _write(html, render_html.page(found))
    session.out(render_rehearsal.rehearsal_lines(found), render_rehearsal.rehearsal_json(found))
    if form == "github":
        session.show(render_rehearsal.github_lines(found, _prefix(session)))
    session.warn(found.warnings)
    if found.denied and not session.settings.json:
        session.show(render_rehearsal.denied_lines(found), err=True)
    if not found.ok:
        raise click.exceptions.Exit(found.exit_code)


def denied(given: Sequence[str]) -> frozenset[str]:
    """The names of findings that are given; all of them for `all`."""
    names = {name.strip() for each in given for name in each.split(",") if name.strip()}
    if "all" in names:
        return frozenset(NAMES)
    for name in sorted(names - NAMES.keys()):
        raise ConfigError(f"--deny: no finding is called {name!r}", remedy=nearest(name))
    return frozenset(names)


@contextmanager
def _stopping() -> Iterator[None]:
    """Tells who has stopped it that nothing is left."""
    try:
        yield
    except StoppedError as error:
        error.remedy = "nothing is left of the scratch database"
        raise


def _prefix(session: Session) -> str | None:
    """The folder from the root of its repository; None where there is none, or no git."""
    from fluxmig import git  # noqa: PLC0415

    try:
        return git.repository(session.settings.migrations, session.environ, "--format github").prefix
    except ConfigError:
        return None


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", remedy="name another file") from error


# --- the stage --------------------------------------------------------------------------------------------


@contextmanager
def _stage(session: Session, source: str, from_url: str | None, from_ref: str | None) -> Iterator[Stage]:
    """A scratch database with what is there before, and the folder on it."""
    from fluxmig import scratch  # noqa: PLC0415
    from fluxmig.connect import reach  # noqa: PLC0415
    from fluxmig.rehearsal import Stage  # noqa: PLC0415

    settings = session.settings
    with ExitStack() as stack:
        target, like = _target(stack, session, source, from_url)
        server = stack.enter_context(
            scratch.open_server(
                source,
                like=like,
                environ=session.environ,
                postgres_bin=settings.postgres_bin,
                tell=lambda text: session.show([[(text, "")]], err=True),
            )
        )
        engine = stack.enter_context(reach(server.create()))
        sizes: Mapping[str, TableSize] = {}
        if target is not None:
            sizes = _asked(target, engine, is_own="//" not in source)
        base = _base(session, engine, target if from_url is not None else None, from_ref)
        where = (server.product, server.version, server.source, base, server.remarks)
        if not settings.json:
            session.show(render_rehearsal.place_lines(*where))
        yield Stage(
            engine,
            session.migrator_on(engine),
            frozenset({settings.table, f"{settings.table}_log"}),
            server.source,
            base,
            server.remarks,
            sizes,
            on_start=lambda script: session.show_passing(f"  ... {script.name}"),
            on_step=lambda file: _show_step(session, file),
            on_notice=lambda notice: _show_notice(session, notice),
        )


def _base(session: Session, engine: Engine, target: Engine | None, from_ref: str | None) -> str:
    """Makes what is to be there before; gives what that is, for people."""
    from fluxmig import structure  # noqa: PLC0415

    if target is not None:
        structure.refuse_other_database(engine, session.settings.schema)
        return _copied(session, target, engine)
    if session.settings.schema:
        structure.make_schema(engine, session.settings.schema)
    return "nothing" if from_ref is None else _applied(session, engine, from_ref)


def _target(
    stack: ExitStack, session: Session, source: str, from_url: str | None
) -> tuple[Engine | None, DatabaseInfo | None]:
    """The database that is resembled, where there is one to ask, and what it is."""
    from fluxmig.dialects import dialect_of  # noqa: PLC0415

    url = session.settings.url or ""
    # A private server that is only asked what it is would be made for that; a scratch one is the same.
    if from_url is None and (source != "auto" or not url or url.partition(":")[0].strip() == "embedded"):
        return None, None
    engine = stack.enter_context(session.target(read_only=True))
    with engine.connect() as connection:
        return engine, dialect_of(engine).met(connection).info(connection, None)


def _asked(target: Engine, engine: Engine, *, is_own: bool) -> Mapping[str, TableSize]:
    """How large the target's tables are; makes its roles, which files may name, on a server of one's own."""
    from fluxmig.dialects import dialect_of  # noqa: PLC0415

    dialect = dialect_of(target)
    with dialect.reading(target) as connection:
        roles, sizes = dialect.roles(connection), dialect.sizes(connection)
    if is_own:
        with dialect.transaction(engine) as connection:
            there = dialect.roles(connection)
            for role in roles:
                if role not in there:
                    dialect.create_role(connection, role)
    return sizes


def _copied(session: Session, target: Engine, engine: Engine) -> str:
    """Makes what the target holds; gives what that is, for people."""
    from fluxmig import structure  # noqa: PLC0415

    settings = session.settings
    names = (settings.table, f"{settings.table}_log")
    count = structure.copy(
        target,
        engine,
        names,
        settings.schema,
        environ=session.environ,
        postgres_bin=settings.postgres_bin,
    )
    records = "1 record" if count == 1 else f"{count} records"
    return f"the structure of the target, with {records} in its ledger"


def _applied(session: Session, engine: Engine, ref: str) -> str:
    """Applies the files of a branch; gives what that was, for people."""
    from fluxmig import git  # noqa: PLC0415
    from fluxmig.layouts import numbered  # noqa: PLC0415

    where = git.repository(session.settings.migrations, session.environ, "--from-ref")
    (files,) = git.files(where, (git.commit(where, ref),), numbered.is_fit)
    with tempfile.TemporaryDirectory(prefix="fluxmig-") as folder:
        for name, source in files.items():
            if source is not None:
                Path(folder, name).write_bytes(source)
        try:
            report = session.migrator_on(engine, Path(folder)).run()
        except FluxmigError as error:
            error.message = f"the files of {ref} fail by themselves: {error.message}"
            raise
    count = len(report.results)
    return f"{count} file of {ref}" if count == 1 else f"{count} files of {ref}"


# --- on the way -------------------------------------------------------------------------------------------


def _show_step(session: Session, file: FileTrace) -> None:
    if not session.settings.json:
        session.show(render.step_lines(file.result))


def _show_notice(session: Session, notice: Notice) -> None:
    if not session.settings.json:
        session.show(render.notice_lines(notice), err=True)
