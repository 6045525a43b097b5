"""`fluxmig load`: parse, call, render; no decisions."""

from __future__ import annotations

import gc
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from fluxmig import render_load
from fluxmig.console import command
from fluxmig.errors import ConfigError, StoppedError
from fluxmig.loading.mapping import read, zone
from fluxmig.loading.nouns import DataFiles, OnConflict, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from fluxmig.console import Session
    from fluxmig.loading.nouns import LoadMapping, LoadProgress, Refusal

__all__ = ["load"]


def _said(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a mapping says, too."""
    for option in (
        click.option("--zone", metavar="NAME", help="The time zone of times that name none, UTC say."),
        click.option(
            "--key",
            metavar="NAME",
            help="The unique constraint, or its columns, that tells a conflict; else the primary key.",
        ),
        click.option(
            "--on-conflict",
            type=click.Choice([choice.value for choice in OnConflict]),
            help="If a row's key is there: end with an error (the default), skip the row, or update.",
        ),
        click.option(
            "--rest-into", metavar="COLUMN", help="A column of JSON for fields that no column takes."
        ),
        click.option("--ignore-unknown", is_flag=True, help="Pass over fields that no column takes."),
        click.option("--lines", is_flag=True, help="Files have one record a line, whatever they are called."),
        click.option("--into", metavar="TABLE,...", help="The table of each file; of several arrays in one."),
    ):
        function = option(function)
    return function


@command("dry_run", "wait_lock_s", "lock_timeout_s", "statement_timeout_s")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--mapping", metavar="FILE", help="Says which part goes where: load.toml.")
@_said
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="Commit every N records.")
@click.option(
    "--max-rejects",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Let so many records be refused.",
)
@click.option("--rejects", metavar="FILE", help="Keep what is refused, and why, a line each.")
def load(
    session: Session,
    *,
    files: tuple[str, ...],
    mapping: str | None,
    batch: int | None,
    max_rejects: int,
    rejects: str | None,
    **said: Any,
) -> None:
    """Load files of JSON into tables.

    FILE is a document (.json, .json.gz), has a record a line (.ndjson, .jsonl, also with .gz), or is - for
    standard input. Its name, or the array in it, names the table, and fields find their columns by name. All
    of it is one transaction: what does not fit ends it, and nothing is loaded.
    """
    what, inputs = _mapping(files, mapping, said)
    settings = session.settings
    with ExitStack() as stack, session.migrator(read_only=settings.dry_run) as migrator:
        kept = _kept(rejects, inputs, stack, adds=batch is not None)

        def on_refusal(refusal: Refusal, data: Any) -> None:
            if kept:
                kept.write(f"{render_load.refusal_line(refusal, data)}\n")

        def on_progress(progress: LoadProgress) -> None:
            session.show_passing(render_load.progress_text(progress))

        # Records come by the million and hold no circles: to look for some takes a tenth of the time.
        gc.disable()
        stack.callback(gc.enable)
        try:
            report = migrator.load(
                what,
                batch=batch,
                max_rejects=max_rejects,
                dry_run=settings.dry_run,
                stdin=session.stdin,
                on_refusal=on_refusal,
                on_progress=on_progress,
            )
        except StoppedError as error:
            error.remedy = (
                "nothing is loaded" if batch is None else "the same command goes on behind the last batch"
            )
            raise
    session.out(render_load.load_lines(report), render_load.load_json(report))
    session.warn(report.findings)


def _mapping(
    files: tuple[str, ...], mapping: str | None, said: dict[str, Any]
) -> tuple[DataFiles | LoadMapping, list[str]]:
    """What is asked for: a mapping, or files alone; and the files that it reads."""
    if mapping is not None:
        if files or any(said.values()):
            raise ConfigError(
                "a mapping says all that there is to say of files",
                remedy="put it into the mapping, or leave that out",
            )
        found = read(Path(mapping))
        return found, [mapping, *(each.file for each in found.rules)]
    rule = Rule(
        "",
        ignore_unknown=said["ignore_unknown"],
        rest_into=said["rest_into"],
        on_conflict=OnConflict(said["on_conflict"] or OnConflict.ERROR),
        key=said["key"],
        zone=zone(said["zone"], "--zone"),
    )
    into = tuple(filter(None, (said["into"] or "").split(",")))
    return DataFiles(files, into, True if said["lines"] else None, rule), list(files)


def _kept(path: str | None, inputs: list[str], stack: ExitStack, *, adds: bool) -> IO[str] | None:
    """The file for what is refused, empty; or as it is, where a load may go on that has refused before."""
    if path is None:
        return None
    if Path(path).exists() and any(Path(file).exists() and Path(path).samefile(file) for file in inputs):
        raise ConfigError(
            f"{path} is a file to be read, and --rejects would empty it", remedy="--rejects FILE"
        )
    try:
        return stack.enter_context(Path(path).open("a" if adds else "w", encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}", remedy="--rejects FILE") from error
