"""What is applied, what is pending, and what would run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fluxmig.model.files import Finding, Migration
    from fluxmig.model.ledger import LogEntry, Progress, Record
    from fluxmig.model.scripts import Script

__all__ = ["Condition", "MigrationStatus", "Plan", "State"]


class State(StrEnum):
    """Whether the ledger has the migration."""

    APPLIED = "applied"
    PENDING = "pending"


class Condition(StrEnum):
    """What is wrong with a migration, beside its state."""

    MARKED = "marked"
    MODIFIED = "modified"
    MISSING = "missing"
    FAILED = "failed"
    PARTIAL = "partial"
    OUT_OF_ORDER = "out of order"


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """One migration, on disk or in the ledger or both.

    Attributes:
        name: The file name.
        state: Applied or pending.
        conditions: What is wrong with it; empty where all is well.
        migration: The file, or None where it is missing.
        record: Its ledger row, or None where it is pending.
        last_event: Its newest row of the log, or None.
        progress: How far it has come, where it is partial.
        applied_source: Where it is modified or missing: the text that was applied, as `Migration.source`;
            None where the log has not kept it, or was not asked.
        renamed_to: Where it is missing: the pending migrations with the same content. One is its new name; of
            several, it cannot be told which.
        down_progress: How far its down script has come, where that stopped half-way.
    """

    name: str
    state: State
    conditions: tuple[Condition, ...] = ()
    migration: Migration | None = None
    record: Record | None = None
    last_event: LogEntry | None = None
    progress: Progress | None = None
    applied_source: bytes | None = None
    renamed_to: tuple[str, ...] = ()
    down_progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What would run, in order, and what to know before. Nothing was written to make it.

    Attributes:
        scripts: In the order they run.
        findings: What to know.
        restarts: The names of those whose earlier progress is not built upon.
    """

    scripts: tuple[Script, ...]
    findings: tuple[Finding, ...] = ()
    restarts: frozenset[str] = frozenset()
