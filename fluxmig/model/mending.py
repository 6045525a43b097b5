"""What a person has the ledger say, without running anything."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fluxmig.model.files import Finding
    from fluxmig.model.plan import MigrationStatus

__all__ = ["Action", "Adoption", "AdoptionKind", "AdoptionReport", "Change", "Mending", "Settlement"]


class Settlement(StrEnum):
    """What a person says of a migration that failed, stopped half-way or was marked for a duplicate."""

    DONE = "done"
    RETRY = "retry"


class Action(StrEnum):
    """What becomes of a migration's record. No SQL of it is run or reversed.

    The last five are those of `resolve`: a failed or partial migration is recorded as applied; of a marked
    one it is kept that the record is right; a failed or partial one begins with its statement 1 again; the
    record of a marked one goes, so that it runs again; a down script begins with its statement 1 again.
    """

    MARK = "mark"
    UNMARK = "unmark"
    ACCEPT = "accept"
    RENAME = "rename"
    RECORD = "record"
    SETTLE = "settle"
    RETRY = "retry"
    RERUN = "rerun"
    RETRY_DOWN = "retry down"


@dataclass(frozen=True, slots=True)
class Change:
    """What a person changes in the ledger about one migration.

    Attributes:
        action: What becomes of its record.
        status: The migration as it was when this was decided.
        to: The file whose name the record gets, likewise; None where it gets no other.
    """

    action: Action
    status: MigrationStatus
    to: MigrationStatus | None = None

    @property
    def name(self) -> str:
        """The migration's."""
        return self.status.name

    @property
    def statuses(self) -> tuple[MigrationStatus, ...]:
        """All that it was decided on."""
        return (self.status, self.to) if self.to else (self.status,)


@dataclass(frozen=True, slots=True)
class Mending:
    """The changes of the ledger that were made, or that would be, and what to know beside.

    Attributes:
        changes: In the order of the files.
        findings: What to know.
    """

    changes: tuple[Change, ...] = ()
    findings: tuple[Finding, ...] = ()


class AdoptionKind(StrEnum):
    """What a database has of a pending migration, by the names of what it makes."""

    EXISTS = "exists"
    ABSENT = "absent"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Adoption:
    """What a database has of a pending migration.

    Attributes:
        name: The migration.
        kind: EXISTS: all of it is there, and nothing else is in the file. ABSENT: nothing of it is. CONFLICT:
            some is. UNKNOWN: there is more to it than names can tell.
        reason: Why, in words.
        there: What it makes that is there, in words.
        absent: What it makes that is not there.
    """

    name: str
    kind: AdoptionKind
    reason: str
    there: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AdoptionReport:
    """What `adopt` did.

    Attributes:
        recorded: The migrations that are recorded as applied now, in the order of the files.
        findings: What to know beside.
    """

    recorded: tuple[Adoption, ...] = ()
    findings: tuple[Finding, ...] = ()
