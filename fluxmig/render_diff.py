"""What changed in modified migrations -> text and JSON, beside what `render` makes of a status."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from fluxmig.content import content
from fluxmig.diff import hunks
from fluxmig.model import Condition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fluxmig.model import MigrationStatus
    from fluxmig.render import Line

__all__ = ["diff_json", "diff_lines"]

_HEAD, _DIM = "bold", "dim"
_STYLES = {"-": "red", "+": "green", "@": _DIM, "\\": _DIM}
"""By the first character of a line of a diff."""


def diff_lines(statuses: Sequence[MigrationStatus]) -> list[Line]:
    """For each modified migration a unified diff, or why there is none; nothing where none is modified."""
    lines: list[Line] = []
    for status in statuses:
        if Condition.MODIFIED not in status.conditions:
            continue
        lines.append([])
        if status.applied_source is None:
            lines += _not_kept(status)
        else:
            lines += [[(line, _HEAD)] for line in _header(status)]
            lines += [[(line.removesuffix("\n"), _STYLES.get(line[0], ""))] for line in _hunks(status)]
    return lines


def diff_json(document: dict[str, Any], statuses: Sequence[MigrationStatus]) -> dict[str, Any]:
    """The document of `status_json`, with the diff of each migration and whether the applied text is kept."""
    migrations = []
    for migration, status in zip(document["migrations"], statuses, strict=True):
        is_modified = Condition.MODIFIED in status.conditions
        is_kept = is_modified and status.applied_source is not None
        diff = "".join([*(f"{line}\n" for line in _header(status)), *_hunks(status)]) if is_kept else None
        migrations.append({**migration, "diff": diff, "applied_text_kept": is_kept if is_modified else None})
    return {**document, "migrations": migrations}


def _header(status: MigrationStatus) -> tuple[str, str]:
    return f"--- {status.name}\t{_applied(status)}", f"+++ {_path(status)}"


def _hunks(status: MigrationStatus) -> Iterator[str]:
    """From what was applied to the file as it is, without what does not count: line endings and BOM."""
    if status.applied_source is not None and status.migration is not None:
        yield from hunks(content(status.applied_source).decode(), content(status.migration.source).decode())


def _not_kept(status: MigrationStatus) -> list[Line]:
    why = "another tool or an earlier version recorded it, or it was larger than 1 MiB"
    way_out = f"`git log -p -- {shlex.quote(_path(status))}` may have it"
    return [
        [
            (f"{status.name}: ", _HEAD),
            (f"{_applied(status)}, and changed since; the old text is not kept", ""),
        ],
        [(f"  {why}; {way_out}", _DIM)],
    ]


def _applied(status: MigrationStatus) -> str:
    at = status.record.applied_at if status.record else None
    return f"applied {at.isoformat(' ', 'seconds')}" if at else "applied"


def _path(status: MigrationStatus) -> str:
    return str(status.migration.path) if status.migration else status.name
