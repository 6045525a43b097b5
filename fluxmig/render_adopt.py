"""What a database has of pending migrations -> text and JSON, as `render` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fluxmig.model import AdoptionKind
from fluxmig.render import findings_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fluxmig.model import Adoption, AdoptionReport
    from fluxmig.render import Line

__all__ = ["adoption_json", "adoption_lines"]

_GOOD, _ODD, _BAD, _DIM, _HEAD = "green", "yellow", "red", "dim", "bold"

_ADOPTION_STYLES = {
    AdoptionKind.EXISTS: _GOOD,
    AdoptionKind.ABSENT: _DIM,
    AdoptionKind.CONFLICT: _BAD,
    AdoptionKind.UNKNOWN: _ODD,
}


def adoption_lines(adoptions: Sequence[Adoption]) -> list[Line]:
    """What the database has of each pending migration and why that is said, the counts, and what to do."""
    if not adoptions:
        return [[("Nothing to adopt: every migration is applied.", "")]]
    width = max(len(adoption.name) for adoption in adoptions)
    lines: list[Line] = [
        [
            (f"{adoption.kind.upper():<8}  ", _ADOPTION_STYLES[adoption.kind]),
            (f"{adoption.name:<{width}}  ", ""),
            (adoption.reason, _DIM),
        ]
        for adoption in adoptions
    ]
    kinds = [adoption.kind for adoption in adoptions]
    summary = " | ".join(f"{kind.capitalize()}: {kinds.count(kind)}" for kind in AdoptionKind)
    lines += [[], [(summary, _HEAD)], [("Names were compared, not definitions.", "")]]
    if AdoptionKind.ABSENT in kinds and AdoptionKind.EXISTS in kinds[kinds.index(AdoptionKind.ABSENT) :]:
        text = "An absent one before one that exists is no fault: `fluxmig run` applies what is absent."
        lines.append([(text, "")])
    if {AdoptionKind.CONFLICT, AdoptionKind.UNKNOWN} & set(kinds):
        text = (
            "Conflict and unknown are for you to judge: `fluxmig mark` records one, `fluxmig run` applies it."
        )
        lines.append([(text, "")])
    return lines


def adoption_json(adoptions: Sequence[Adoption], report: AdoptionReport, *, dry_run: bool) -> dict[str, Any]:
    """What the database has of each pending migration, and which of them were recorded."""
    return {
        "format": 1,
        "command": "adopt",
        "dry_run": dry_run,
        "adoptions": [
            {
                "name": adoption.name,
                "kind": adoption.kind.value,
                "reason": adoption.reason,
                "there": list(adoption.there),
                "absent": list(adoption.absent),
            }
            for adoption in adoptions
        ],
        "recorded": [adoption.name for adoption in report.recorded],
        "findings": findings_json(report.findings),
    }
