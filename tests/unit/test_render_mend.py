"""What people and programs are shown of changes of the ledger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fluxmig import render, render_mend
from fluxmig.model import (
    Action,
    Change,
    Condition,
    Finding,
    Mending,
    Migration,
    MigrationStatus,
    Progress,
    Record,
    State,
)

FILE = Migration("001_a.sql", 1, Path("migrations/001_a.sql"), "ab" * 32, b"")
PENDING = MigrationStatus("001_a.sql", State.PENDING, (), FILE)
APPLIED = MigrationStatus("001_a.sql", State.APPLIED, (), FILE, Record(1, "001_a.sql"))
MISSING = replace(APPLIED, migration=None, conditions=(Condition.MISSING,))
FAILED = replace(PENDING, conditions=(Condition.FAILED,), progress=Progress(0, "", interrupted=False))


def partial(done: int) -> MigrationStatus:
    return replace(
        PENDING, conditions=(Condition.PARTIAL,), progress=Progress(done, "", interrupted=not done)
    )


NEXT = "the next run begins with its statement 1"
DOWN = "the next rollback begins with statement 1 of its down script"
LINES: dict[str, tuple[Change, str, str]] = {
    "mark": (
        Change(Action.MARK, PENDING),
        "[x] 001_a.sql is recorded as applied; its SQL is not run",
        "[x] 001_a.sql recorded as applied; its SQL is not run",
    ),
    "unmark": (
        Change(Action.UNMARK, APPLIED),
        "[ ] 001_a.sql only its record goes; the SQL is NOT reversed, and the next run applies it again",
        "[ ] 001_a.sql record removed; the SQL is NOT reversed, and the next run applies it again",
    ),
    "unmark what is missing": (
        Change(Action.UNMARK, MISSING),
        "[ ] 001_a.sql only its record goes; the SQL is NOT reversed",
        "[ ] 001_a.sql record removed; the SQL is NOT reversed",
    ),
    "accept": (
        Change(Action.ACCEPT, APPLIED),
        "[x] 001_a.sql its checksum becomes that of the file as it is",
        "[x] 001_a.sql has the checksum of the file as it is",
    ),
    "rename": (
        Change(Action.RENAME, MISSING, replace(PENDING, name="002_b.sql")),
        "[x] 001_a.sql its record gets the name 002_b.sql",
        "[x] 001_a.sql its record has the name 002_b.sql",
    ),
    "record a failed one": (
        Change(Action.RECORD, FAILED),
        "[x] 001_a.sql is recorded as applied; its SQL is not run",
        "[x] 001_a.sql recorded as applied; its SQL is not run",
    ),
    "record a partial one": (
        Change(Action.RECORD, partial(1)),
        "[x] 001_a.sql is recorded as applied with 1 statement done; the rest is not run",
        "[x] 001_a.sql recorded as applied with 1 statement done; the rest is not run",
    ),
    "record one that was cut off": (
        Change(Action.RECORD, partial(0)),
        "[x] 001_a.sql is recorded as applied with 0 statements done; the rest is not run",
        "[x] 001_a.sql recorded as applied with 0 statements done; the rest is not run",
    ),
    "settle": (
        Change(Action.SETTLE, APPLIED),
        "[x] 001_a.sql stays recorded, and is settled",
        "[x] 001_a.sql settled, and stays recorded",
    ),
    "retry a failed one": (Change(Action.RETRY, FAILED), f"[ ] 001_a.sql {NEXT}", f"[ ] 001_a.sql {NEXT}"),
    "retry a partial one": (
        Change(Action.RETRY, partial(1)),
        f"[ ] 001_a.sql {NEXT}; what statement 1 has done is NOT undone",
        f"[ ] 001_a.sql {NEXT}; what statement 1 has done is NOT undone",
    ),
    "retry one that has done more": (
        Change(Action.RETRY, partial(3)),
        f"[ ] 001_a.sql {NEXT}; what statements 1 to 3 have done is NOT undone",
        f"[ ] 001_a.sql {NEXT}; what statements 1 to 3 have done is NOT undone",
    ),
    "retry one that was cut off": (
        Change(Action.RETRY, partial(0)),
        f"[ ] 001_a.sql {NEXT}",
        f"[ ] 001_a.sql {NEXT}",
    ),
    "rerun": (
        Change(Action.RERUN, APPLIED),
        "[ ] 001_a.sql its record goes, and the next run applies it",
        "[ ] 001_a.sql record removed; the next run applies it",
    ),
    "retry a down script": (
        Change(Action.RETRY_DOWN, replace(APPLIED, down_progress=Progress(2, "", interrupted=False))),
        f"[x] 001_a.sql {DOWN}; what statements 1 to 2 have done is NOT undone",
        f"[x] 001_a.sql {DOWN}; what statements 1 to 2 have done is NOT undone",
    ),
}


@pytest.mark.parametrize(("change", "before", "after"), LINES.values(), ids=LINES)
def test_a_change(change: Change, before: str, after: str) -> None:
    mending = Mending((change,))
    assert render.plain(render_mend.mending_lines(mending, done=False)) == f"  {before}"
    assert render.plain(render_mend.mending_lines(mending, done=True)) == f"  {after}"


def test_every_action_has_its_words() -> None:
    assert {change.action for change, _, _ in LINES.values()} == set(Action)


@pytest.mark.parametrize("done", [True, False])
def test_nothing_to_do(done: bool) -> None:  # noqa: FBT001
    assert render.plain(render_mend.mending_lines(Mending(), done=done)) == (
        "Nothing to do: none of them is pending."
    )


def test_json() -> None:
    finding = Finding("log", "no log", (), "make one")
    mending = Mending((LINES["rename"][0], LINES["mark"][0]), (finding,))
    assert render_mend.mending_json("rename", mending, reason="tidy", dry_run=False) == {
        "format": 1,
        "command": "rename",
        "dry_run": False,
        "changes": [
            {"name": "001_a.sql", "action": "rename", "conditions": ["missing"], "to": "002_b.sql"},
            {"name": "001_a.sql", "action": "mark", "conditions": [], "to": None},
        ],
        "reason": "tidy",
        "findings": [{"kind": "log", "message": "no log", "names": [], "remedy": "make one"}],
    }
