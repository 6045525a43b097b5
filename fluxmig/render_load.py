"""What became of a load -> plain text, terminal text, JSON. Sees nouns only; prints nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from fluxmig.excerpt import visible
from fluxmig.render import findings_json, refusal_json

if TYPE_CHECKING:
    from fluxmig.loading.nouns import LoadProgress, LoadReport, Refusal
    from fluxmig.render import Line

__all__ = ["load_json", "load_lines", "progress_text", "refusal_line"]

_HEADS = ("Table", "Read", "Inserted", "Updated", "Skipped", "Refused")
_BAR = 24
_JSON = (str, int, float, Decimal, type(None))
_MEGABYTE = 1_000_000


def load_lines(report: LoadReport) -> list[Line]:
    """A line a table, and the sum."""
    rows = [(of.table, of.read, of.inserted, of.updated, of.skipped, of.refused) for of in report.tables]
    if report.dry_run:  # what a database would make of them is not known
        rows = [(table, read, "", "", "", refused) for table, read, _, _, _, refused in rows]  # type: ignore[misc]
    width = max(len(str(row[0])) for row in (_HEADS, *rows))
    lines: list[Line] = [
        [(f"Resumed behind record {done} of {label}.", "")] for label, done in report.resumed.items()
    ]
    for row in (_HEADS, *rows):
        cells = "".join(f"{cell:>10}" for cell in row[1:])
        lines.append([(f"{row[0]!s:<{width}}{cells}", "dim" if row is _HEADS else "")])
    if report.refusals:
        lines += [[], *([(visible(str(refusal)), "yellow")] for refusal in report.refusals)]
    inserted, updated, skipped, refused = (
        sum(getattr(of, name) for of in report.tables)
        for name in ("inserted", "updated", "skipped", "refused")
    )
    counts = f"Inserted: {inserted} | Updated: {updated} | Skipped: {skipped} | Refused: {refused}"
    seconds = f"Time: {report.duration_ms / 1000:.2f}s"
    total = f"Refused: {refused} | {seconds}" if report.dry_run else f"{counts} | {seconds}"
    lines += [[], [(total, "bold")]]
    if report.dry_run:
        lines.append(
            [("Nothing was written. Keys of other rows, and checks, only the database knows.", "bold")]
        )
    return lines


def load_json(report: LoadReport) -> dict[str, Any]:
    """The same, with every refusal."""
    return {
        "format": 1,
        "command": "load",
        "dry_run": report.dry_run,
        "tables": [
            {
                "table": of.table,
                "read": of.read,
                "inserted": of.inserted,
                "updated": of.updated,
                "skipped": of.skipped,
                "refused": of.refused,
            }
            for of in report.tables
        ],
        "refusals": [refusal_json(refusal) for refusal in report.refusals],
        "resumed": dict(report.resumed),
        "findings": findings_json(report.findings),
        "duration_ms": report.duration_ms,
    }


def refusal_line(refusal: Refusal, data: Any) -> str:
    """A line of the file that keeps what was refused: why, and the record, or the row, itself.

    Half a surrogate pair, which no file of UTF-8 can hold, is written as JSON's escape of it.
    """
    from fluxmig.loading.convert import json_text  # noqa: PLC0415  # most loads refuse nothing

    text = json_text({**refusal_json(refusal), "data": _plain(data)})
    return text.encode("utf-8", "backslashreplace").decode()


def progress_text(progress: LoadProgress) -> str:
    """How far a load has come, in one line."""
    read = f"{progress.done / _MEGABYTE:.1f} MB"
    if not progress.total:
        return f"  ... {progress.label} {read}"
    part = min(progress.done / progress.total, 1.0)
    bar = "#" * int(part * _BAR)
    return f"  ... {progress.label} [{bar:<{_BAR}}] {part:4.0%} of {progress.total / _MEGABYTE:.1f} MB"


def _plain(value: Any) -> Any:
    """What JSON has no word for as the text of it."""
    match value:
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case bytes():
            return value.hex()
        case _:
            return value if isinstance(value, _JSON) else str(value)
