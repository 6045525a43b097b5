"""What became of the migrations of a run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fluxmig.model.scripts import Mode

if TYPE_CHECKING:
    from fluxmig.model.files import Finding
    from fluxmig.model.news import Failure, Notice
    from fluxmig.model.scripts import Statement

__all__ = ["Lost", "Outcome", "Report", "StepResult", "loss"]


@dataclass(frozen=True, slots=True)
class Lost:
    """A statement that did not take effect, since its migration was marked.

    Attributes:
        statement: The statement.
        objects: What it would have made, in words; empty where it makes nothing, or that cannot be read.
        exists: Whether all that it would have done is there without it; None where that cannot be told.
    """

    statement: Statement
    objects: tuple[str, ...] = ()
    exists: bool | None = None


class Outcome(StrEnum):
    """How one step of a run ended."""

    APPLIED = "applied"
    MARKED = "marked"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of one migration in a run.

    Attributes:
        name: The migration.
        outcome: Applied; marked; failed, and if in a transaction rolled back whole; or skipped because
            another runner had applied it meanwhile.
        duration_ms: The script and its ledger row.
        mode: How it ran.
        statements: How many statements the file has.
        failure: Why it failed, or which duplicate had it marked; None otherwise.
        lost: The other statements, which did not take effect; empty unless marked.
        skipped: The statements whose object was there already, in a migration completed without them.
        reason: Why it ran without a transaction, or None.
        resumed_at: The statement it began with, where an earlier attempt had done those before; else 1.
        tries: How many it took: more than one where others held it up, or it was lost on the way.
        notices: What was said meanwhile, in order.
    """

    name: str
    outcome: Outcome
    duration_ms: int = 0
    mode: Mode = Mode.TRANSACTION
    statements: int = 0
    failure: Failure | None = None
    lost: tuple[Lost, ...] = ()
    skipped: tuple[Statement, ...] = ()
    reason: str | None = None
    resumed_at: int = 1
    tries: int = 1
    notices: tuple[Notice, ...] = ()

    @property
    def loss(self) -> str:
        """How much of a marked migration is missing, in words: "1 of 10 statements lost"."""
        known = sum(lost.exists is False for lost in self.lost)
        return loss(self.statements, known, sum(lost.exists is None for lost in self.lost))


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did.

    Attributes:
        results: The steps, in the order they ran.
        pending: The names still pending afterwards, failed ones included, in order.
        findings: What to know beside.
        duration_ms: The whole run.
    """

    results: tuple[StepResult, ...] = ()
    pending: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    duration_ms: int = 0

    def having(self, outcome: Outcome) -> tuple[StepResult, ...]:
        """The steps with that outcome, in order."""
        return tuple(result for result in self.results if result.outcome is outcome)


def loss(statements: int, lost: int, unchecked: int) -> str:
    """How much of a marked migration is missing, in words: "1 of 10 statements lost"."""
    of_all = f"of {statements} statement" if statements == 1 else f"of {statements} statements"
    if not lost and not unchecked:
        return "nothing lost"
    parts = [f"{lost} {of_all} lost"] if lost else []
    if unchecked:
        parts.append(f"{unchecked} perhaps" if lost else f"{unchecked} {of_all} perhaps lost")
    return ", ".join(parts)
