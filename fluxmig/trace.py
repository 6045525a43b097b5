"""The nouns of a rehearsal: what was seen of each statement, and what a person should know of it.

Durations are milliseconds with fractions (`_ms`), as statements on an empty database take less than one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from fluxmig.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fluxmig.model import Allowance, Finding, Statement, StepResult

__all__ = ["FileTrace", "Lock", "LockMode", "Rehearsal", "RehearsalFinding", "RoundTrip"]
__all__ += ["StatementTrace", "TableSize", "Work", "WorkKind"]


class LockMode(StrEnum):
    """PostgreSQL's locks of a table, from the weakest to the strongest (manual, 13.3.1)."""

    ACCESS_SHARE = "ACCESS SHARE"
    ROW_SHARE = "ROW SHARE"
    ROW_EXCLUSIVE = "ROW EXCLUSIVE"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    SHARE = "SHARE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"

    @property
    def strength(self) -> int:
        """Its place among them, from 0."""
        return list(LockMode).index(self)

    @property
    def blocks_ddl(self) -> bool:
        """Whether others cannot alter or vacuum it meanwhile."""
        return self.strength >= LockMode.SHARE_UPDATE_EXCLUSIVE.strength

    @property
    def blocks_writers(self) -> bool:
        """Whether INSERT, UPDATE and DELETE of others wait."""
        return self.strength >= LockMode.SHARE.strength

    @property
    def blocks_readers(self) -> bool:
        """Whether even SELECT of others waits."""
        return self is LockMode.ACCESS_EXCLUSIVE


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that a statement took.

    Attributes:
        relation: What is locked, with its schema unless that is `public`.
        kind: "table", "index", "view", "materialized view", "sequence" or "foreign table".
        mode: How.
        existed: Whether it was there before the file: what the file has made, nobody else waits for.
        until: The last statement of the file that ran while it was held.
    """

    relation: str
    kind: str
    mode: LockMode
    existed: bool
    until: int


class WorkKind(StrEnum):
    """What a server did for a statement that is slow with many rows, may fail with any, or loses something.

    A required column is new, NOT NULL, and without a default.
    """

    REWRITE = "rewrite"
    INDEX = "index build"
    SCAN = "scan"
    TRUNCATE = "truncate"
    DROP_TABLE = "drop table"
    DROP_COLUMN = "drop column"
    RENAME = "rename"
    REQUIRED = "required column"


@dataclass(frozen=True, slots=True)
class Work:
    """One such thing.

    Attributes:
        kind: What.
        name: What was rewritten, built, scanned, dropped; of what was renamed the old name and the new one.
        table: The table that it belongs to, or that it is.
        existed: Whether this table was there before the file.
    """

    kind: WorkKind
    name: str
    table: str
    existed: bool


@dataclass(frozen=True, slots=True)
class StatementTrace:
    """What was seen of a statement, or of several INSERTs into one table, which count as one.

    Attributes:
        statement: The statement; of several, the first one.
        last: The number of the last one.
        started_ms: How long the statements before it took.
        duration_ms: How long it took.
        rows: How many rows it changed or gave; None where that has no meaning.
        in_transaction: Whether it ran inside a transaction.
        locks: The locks that it took and nothing before it had.
        work: What the server did for it.
        notices: What the server said meanwhile.
        error: What the server refused it with, or None.
    """

    statement: Statement
    last: int
    started_ms: float
    duration_ms: float
    rows: int | None = None
    in_transaction: bool = True
    locks: tuple[Lock, ...] = ()
    work: tuple[Work, ...] = ()
    notices: tuple[str, ...] = ()
    error: str | None = None

    @property
    def number(self) -> int:
        """The number of its first statement in the file."""
        return self.statement.number

    @property
    def count(self) -> int:
        """How many statements it is of."""
        return self.last - self.number + 1


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """What came of a migration's way back and forth again.

    Attributes:
        has_down: Whether it has a down script; without one, nothing else is known.
        down_failure: Why that one failed, or None.
        not_restored: What is not as it was before the migration, in words.
        up_failure: Why the migration failed the second time, or None.
        differs: What is not as it was after the first time, in words.
    """

    has_down: bool = True
    down_failure: str | None = None
    not_restored: tuple[str, ...] = ()
    up_failure: str | None = None
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileTrace:
    """What became of one migration in a rehearsal.

    Attributes:
        path: Its file.
        result: As a run has it.
        allowed: What its directives allow.
        statements: What was seen of each statement, in order; up to the one that failed.
        round_trip: What came of its way back and forth again; None where nobody asked, or it failed.
    """

    path: Path
    result: StepResult
    allowed: tuple[Allowance, ...] = ()
    statements: tuple[StatementTrace, ...] = ()
    round_trip: RoundTrip | None = None

    @property
    def name(self) -> str:
        """The migration."""
        return self.result.name

    @property
    def failed(self) -> bool:
        """Whether the database refused it."""
        return self.result.outcome is Outcome.FAILED

    def held(self, trace: StatementTrace, relation: str) -> Lock | None:
        """The strongest lock of a relation while a statement runs, its own included."""
        return max(self._held(relation, trace.last, trace.number), key=_strength, default=None)

    def stronger(self, trace: StatementTrace) -> tuple[Lock, ...]:
        """Of each relation that was there before, what a statement has locked more strongly than it was."""
        found = []
        for relation in dict.fromkeys(lock.relation for lock in trace.locks if lock.existed):
            lock = max((each for each in trace.locks if each.relation == relation), key=_strength)
            before = max(self._held(relation, trace.number - 1, trace.number), key=_strength, default=None)
            if before is None or lock.mode.strength > before.mode.strength:
                found.append(lock)
        return tuple(found)

    def _held(self, relation: str, by: int, at: int) -> Iterator[Lock]:
        """The locks of a relation that statements up to `by` took, and that are held while `at` runs."""
        for trace in self.statements:
            if trace.number <= by:
                yield from (each for each in trace.locks if each.relation == relation and each.until >= at)


@dataclass(frozen=True, slots=True)
class RehearsalFinding:
    """Something of a rehearsal that a person should know before production.

    Attributes:
        name: Its kind, by which it can be denied or allowed.
        path: The file.
        line: The line of the statement in question, from 1; None where it is about the whole file.
        statement: The number of that statement, or None.
        message: A sentence for people.
        remedy: The safer way, or None.
        relation: The table that it is about, or None.
        allowed: Whether the file allows it.
        denied: Whether the rehearsal fails for it.
    """

    name: str
    path: Path
    line: int | None
    statement: int | None
    message: str
    remedy: str | None = None
    relation: str | None = None
    allowed: bool = False
    denied: bool = False


@dataclass(frozen=True, slots=True)
class TableSize:
    """How large a table is, as its server has last counted: rows, and bytes without indexes."""

    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A whole rehearsal.

    Attributes:
        product: The scratch database's, "PostgreSQL" say.
        version: Its version.
        source: Where it came from.
        base: What it held before: "nothing", or words for it.
        knows_locks: Whether the server could be asked who locks what.
        files: The migrations that were pending, in order, up to the first that failed.
        findings: In the order of the files, and within a file of the statements.
        pending: What was not reached.
        round_trip: Whether each was taken back and applied again.
        remarks: What to know of the scratch database, whole sentences.
        warnings: What to know of the files, as a run would tell.
        sizes: How large the tables of the target are, by name; empty where it was not asked.
        duration_ms: All of it.
    """

    product: str
    version: str
    source: str
    base: str
    knows_locks: bool
    files: tuple[FileTrace, ...] = ()
    findings: tuple[RehearsalFinding, ...] = ()
    pending: tuple[str, ...] = ()
    round_trip: bool = False
    remarks: tuple[str, ...] = ()
    warnings: tuple[Finding, ...] = ()
    sizes: Mapping[str, TableSize] = field(default_factory=dict)
    duration_ms: int = 0

    @property
    def failed(self) -> tuple[FileTrace, ...]:
        """The migrations that the database refused."""
        return tuple(file for file in self.files if file.failed)

    @property
    def denied(self) -> tuple[RehearsalFinding, ...]:
        """The findings that it fails for."""
        return tuple(finding for finding in self.findings if finding.denied)

    @property
    def ok(self) -> bool:
        """Whether every file went through, and nothing that was denied was found."""
        return not self.failed and not self.denied

    @property
    def exit_code(self) -> int:
        """Zero, or that of a failed migration."""
        return 0 if self.ok else 1


def _strength(lock: Lock) -> int:
    return lock.mode.strength
