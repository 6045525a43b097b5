"""`fluxmig check`: the folder alone, or beside a branch; no database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fluxmig.console import command
from fluxmig.errors import ConfigError, MigrationFileError

if TYPE_CHECKING:
    from fluxmig.check import Base
    from fluxmig.console import Session

__all__ = ["check"]

_DIALECTS = ("postgresql", "sqlite", "mysql", "generic")


@command("strict")
@click.option("--base", metavar="GIT_REF", help="Also compare with this branch, like origin/main.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "github")),
    default="text",
    help="For people, or as GitHub's annotations.",
)
@click.option(
    "--dialect", type=click.Choice(_DIALECTS), help="Whose SQL; if not given, that of the database URL."
)
def check(session: Session, *, base: str | None, form: str, dialect: str | None) -> None:
    """Check the folder, without any database.

    Every file must read, split and be runnable. With --base, what the branch changes is also compared with
    another: migrations that are there must stay as they are, and new ones sort behind them. One line a
    finding, and exit 3 if one is an error, or with --strict a warning.
    """
    # Here and not at start-up: no other command needs these, and two of them load SQLAlchemy.
    from fluxmig import git, render_check  # noqa: PLC0415
    from fluxmig.check import examine  # noqa: PLC0415
    from fluxmig.connect import backend_of  # noqa: PLC0415
    from fluxmig.dialects import dialect_named  # noqa: PLC0415
    from fluxmig.layouts import numbered  # noqa: PLC0415

    settings = session.settings
    if settings.json and form == "github":
        raise ConfigError(
            "--format github prints annotations, and --json a document", remedy="take one of the two"
        )
    url = settings.url
    known = dialect_named(dialect or (backend_of(url) if url else _DIALECTS[0]))
    report = examine(
        numbered.survey(settings.migrations),
        known.name,
        known.rules,
        known.no_transaction_reason,
        refusal=known.refusal,
        base=None if base is None else _base(session, base),
        strict=settings.strict,
    )
    lines = render_check.check_lines(report)
    if form == "github":
        try:
            prefix = git.repository(settings.migrations, session.environ).prefix
        except ConfigError:  # no git, no repository: annotations name files as a person would
            prefix = None
        lines = render_check.github_lines(report, prefix)
    summary = render_check.summary_lines(report)
    session.out([*lines, *(summary if report.ok else ())], render_check.check_json(report))
    if not report.ok:
        if not settings.json:
            session.show(summary, err=True)
        raise click.exceptions.Exit(MigrationFileError.exit_code)


def _base(session: Session, ref: str) -> Base:
    """The folder as the branch has it."""
    from fluxmig import git  # noqa: PLC0415
    from fluxmig.check import Base  # noqa: PLC0415
    from fluxmig.layouts import numbered  # noqa: PLC0415

    repository = git.repository(session.settings.migrations, session.environ)
    tip = git.commit(repository, ref)
    start = git.merge_base(repository, tip, ref)
    return Base(ref, *git.files(repository, (start, tip), numbered.is_fit))
