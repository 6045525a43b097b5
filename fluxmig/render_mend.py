"""Changes of the ledger by hand -> text and JSON, as `render` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fluxmig.model import Action, Condition
from fluxmig.render import findings_json

if TYPE_CHECKING:
    from fluxmig.model import Change, Mending
    from fluxmig.render import Line

__all__ = ["mending_json", "mending_lines"]

_GOOD, _ODD = "green", "yellow"
_PENDING_THEN = frozenset({Action.UNMARK, Action.RETRY, Action.RERUN})
_NOT_REVERSED = "; the SQL is NOT reversed"

# What a change will be, and what it has been.
_WORDS: dict[Action, tuple[str, str]] = {
    Action.MARK: ("is recorded as applied", "recorded as applied"),
    Action.UNMARK: (f"only its record goes{_NOT_REVERSED}", f"record removed{_NOT_REVERSED}"),
    Action.ACCEPT: (
        "its checksum becomes that of the file as it is",
        "has the checksum of the file as it is",
    ),
    Action.RENAME: ("its record gets the name", "its record has the name"),
    Action.RECORD: ("is recorded as applied", "recorded as applied"),
    Action.SETTLE: ("stays recorded, and is settled", "settled, and stays recorded"),
    Action.RETRY: ("the next run begins with its statement 1", "the next run begins with its statement 1"),
    Action.RERUN: ("its record goes, and the next run applies it", "record removed; the next run applies it"),
    Action.RETRY_DOWN: (
        "the next rollback begins with statement 1 of its down script",
        "the next rollback begins with statement 1 of its down script",
    ),
}


def mending_lines(mending: Mending, *, done: bool) -> list[Line]:
    """What was changed, or would be: a migration a line, and what it means for its SQL."""
    lines: list[Line] = []
    for change in mending.changes:
        box, style = ("  [ ] ", _ODD) if change.action in _PENDING_THEN else ("  [x] ", _GOOD)
        text = _WORDS[change.action][done] + _consequence(change)
        lines.append([(box, style), (change.name, ""), (f" {text}", _ODD if " NOT " in text else "")])
    return lines or [[("Nothing to do: none of them is pending.", "")]]


def _consequence(change: Change) -> str:
    """What a person should know of this one beside."""
    progress = change.status.progress or change.status.down_progress
    done = progress.done if progress else 0
    is_partial = Condition.PARTIAL in change.status.conditions
    match change.action:
        case Action.RENAME if change.to:
            return f" {change.to.name}"
        case Action.MARK:
            return "; its SQL is not run"
        case Action.RECORD if is_partial:
            of_it = "1 statement" if done == 1 else f"{done} statements"
            return f" with {of_it} done; the rest is not run"
        case Action.RECORD:
            return "; its SQL is not run"
        case Action.RETRY | Action.RETRY_DOWN if done:
            of_it = "statement 1 has" if done == 1 else f"statements 1 to {done} have"
            return f"; what {of_it} done is NOT undone"
        case Action.UNMARK if change.status.migration:
            return ", and the next run applies it again"
        case _:
            return ""


def mending_json(command: str, mending: Mending, *, reason: str | None, dry_run: bool) -> dict[str, Any]:
    """The changes, each with what was wrong with the migration before; why; and the findings."""
    changes = [
        {
            "name": change.name,
            "action": change.action.value,
            "conditions": [condition.value for condition in change.status.conditions],
            "to": change.to.name if change.to else None,
        }
        for change in mending.changes
    ]
    return {
        "format": 1,
        "command": command,
        "dry_run": dry_run,
        "changes": changes,
        "reason": reason,
        "findings": findings_json(mending.findings),
    }
