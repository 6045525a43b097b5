"""What is taken back, and applied again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fluxmig.model.files import Finding
    from fluxmig.model.reports import StepResult
    from fluxmig.model.scripts import Script

__all__ = ["RedoPlan", "RedoReport", "RollbackReport", "RollbackResult"]


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """One record removed from the ledger.

    Attributes:
        name: The migration.
        reversed: Whether its down script ran; else only the record is gone.
        duration_ms: The down script and the ledger row.
    """

    name: str
    reversed: bool
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class RollbackReport:
    """What a rollback took back, or would.

    Attributes:
        results: The records removed, newest first.
        findings: What to know beside.
        to: The migration behind which everything was taken back; None where none was named.
    """

    results: tuple[RollbackResult, ...] = ()
    findings: tuple[Finding, ...] = ()
    to: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The migrations, in that order."""
        return tuple(result.name for result in self.results)


@dataclass(frozen=True, slots=True)
class RedoPlan:
    """A migration that would be taken back and applied again. Nothing was written to make it.

    Attributes:
        down: Its down script.
        up: Its file, as it is now.
        apart: Why the two would not share a transaction, in words; None where they do, and a failure of
            either changes nothing.
        later: What was applied after it, in the order of application, and is not touched.
        findings: What to know.
    """

    down: Script
    up: Script
    apart: str | None = None
    later: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def name(self) -> str:
        """The migration."""
        return self.up.name


@dataclass(frozen=True, slots=True)
class RedoReport:
    """A migration that was taken back and applied again.

    Attributes:
        reversed: What its down script did.
        applied: What its file did then; skipped where another runner applied it in between.
        later: As in `RedoPlan`.
        findings: What to know beside.
    """

    reversed: RollbackResult
    applied: StepResult
    later: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
