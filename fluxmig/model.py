"""The nouns: frozen values that the rest of fluxmig passes around.

Positions: `line` and `column` count from 1, in characters; offsets from 0, in bytes of the file without its
byte order mark. Durations are milliseconds (`_ms`). Nothing here touches a file or a database.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, overload

from fluxmig.policies import OnDuplicate

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

__all__ = [
    "Action",
    "Adoption",
    "AdoptionKind",
    "AdoptionReport",
    "Allowance",
    "Capabilities",
    "Change",
    "Condition",
    "DatabaseInfo",
    "DownScript",
    "Event",
    "Failure",
    "FileProblem",
    "Finding",
    "Limits",
    "LogEntry",
    "Lost",
    "Mending",
    "Migration",
    "MigrationStatus",
    "Mode",
    "Notice",
    "OnDuplicate",
    "Outcome",
    "Plan",
    "Progress",
    "Record",
    "RedoPlan",
    "RedoReport",
    "Report",
    "RollbackReport",
    "RollbackResult",
    "Script",
    "Session",
    "Settlement",
    "State",
    "Statement",
    "Statements",
    "StepResult",
    "Verification",
    "Wait",
    "WaitReason",
]


class Mode(StrEnum):
    """How a script runs: in one transaction with its ledger row, or statement by statement without."""

    TRANSACTION = "transaction"
    NO_TRANSACTION = "no-transaction"


# --- files ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FileProblem:
    """Why a file cannot be read as a migration, where, and the way out."""

    path: Path
    message: str
    line: int | None = None
    column: int | None = None
    excerpt: str = ""
    remedy: str | None = None

    def __str__(self) -> str:
        lines = [f"{place(self.path, self.line, self.column)}: {self.message}", self.excerpt, self.remedy]
        return "\n".join(line for line in lines if line)


@dataclass(frozen=True, slots=True)
class DownScript:
    """The script that reverses a migration: `NNN_description.down.sql` beside it.

    Attributes:
        name: Its file name.
        path: Where it was read.
        checksum: SHA-256 of the bytes of the file, 64 hexadecimal digits.
        source: Its bytes, which are UTF-8, without a byte order mark.
    """

    name: str
    path: Path
    checksum: str
    source: bytes


@dataclass(frozen=True, slots=True)
class Migration:
    """One `.sql` file.

    Attributes:
        name: Its file name, `.sql` included: its identity.
        number: Its leading number, or None.
        path: Where it was read.
        checksum: SHA-256 of the bytes of the file, 64 hexadecimal digits.
        source: Its bytes, which are UTF-8, without a byte order mark.
        down: Its down script, or None.
    """

    name: str
    number: int | None
    path: Path
    checksum: str
    source: bytes
    down: DownScript | None = None

    @property
    def sql(self) -> str:
        """Its text; a copy, each time."""
        return self.source.decode()


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a script, exactly as written, without its terminator.

    Attributes:
        number: Its place in the script, from 1.
        sql: From its first token to its last; comments inside it included, those before it not.
        start: Offset of its first byte in the script.
        end: Offset behind its last byte.
        line: Line of its first character, from 1.
        column: Column of its first character, from 1.
        data: The rows behind a `COPY ... FROM stdin`: the offset of their first byte and that behind their
            last, without the line that ends them. None for any other statement.
    """

    number: int
    sql: str
    start: int
    end: int
    line: int
    column: int
    data: tuple[int, int] | None = None

    @property
    def first_line(self) -> str:
        """Its first line, for naming it to a person."""
        return self.sql.split("\n", 1)[0].strip()


@dataclass(frozen=True, slots=True, repr=False)
class Statements(Sequence[Statement]):
    """The statements of a script in order, kept as places in its source: 32 bytes each.

    Files of data hold millions of them; a `Statement` is made when it is asked for.

    Attributes:
        source: The script.
        cells: Start, end, line and column of each statement, one after the other.
        data: The range of the rows of each COPY, by its place in the sequence, from 0.
        gaps: Ranges that no message to the server may reach across: a COPY with its rows and the line that
            ends them, psql's own lines; and, empty, places behind which text is read by another setting.
    """

    source: bytes
    cells: array[int] = field(default_factory=lambda: array("Q"), hash=False)
    data: Mapping[int, tuple[int, int]] = field(default_factory=dict, hash=False)
    gaps: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.cells) // 4

    @overload
    def __getitem__(self, index: int) -> Statement: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Statement, ...]: ...
    def __getitem__(self, index: int | slice) -> Statement | tuple[Statement, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        index = range(len(self))[index]
        start, end, line, column = self.cells[4 * index : 4 * index + 4]
        sql = self.source[start:end].decode()
        return Statement(index + 1, sql, start, end, line, column, self.data.get(index))

    def start(self, index: int) -> int:
        """The offset of a statement's first byte; without making the statement."""
        return self.cells[4 * index]

    def end(self, index: int) -> int:
        """The offset behind a statement's last byte, likewise."""
        return self.cells[4 * index + 1]

    def rows(self, index: int) -> tuple[int, int] | None:
        """The range of the rows behind a COPY, likewise."""
        return self.data.get(index)

    def index_at(self, offset: int) -> int | None:
        """The place of the last statement that begins at or before an offset, or None."""
        found = bisect_right(range(len(self)), offset, key=self.start)
        return found - 1 if found else None

    def inner(self) -> Statements:
        """All but the first and the last, numbered from 1."""
        data = {place - 1: rows for place, rows in self.data.items()}
        return Statements(self.source, self.cells[4:-4], data, self.gaps)

    def __repr__(self) -> str:
        return f"<{len(self)} statements>"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a statement may keep others waiting, in seconds; 0 is for ever.

    Attributes:
        lock_timeout_s: How long it waits for the lock of a table; those who come after it wait behind it.
            None is 5, or what the session has set, where that is shorter.
        statement_timeout_s: How long it may take. None is what the session has set.
    """

    lock_timeout_s: float | None = None
    statement_timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Allowance:
    """A finding of a rehearsal that a file allows, by its name, and the line that says so, from 1."""

    name: str
    line: int


@dataclass(frozen=True, slots=True)
class Script:
    """A file made ready to run: split, classified, and found to be runnable.

    Attributes:
        name: The migration it belongs to.
        path: The file.
        checksum: SHA-256 of the bytes of the file.
        statements: Its statements, in order; of a file that is one transaction by its own BEGIN and COMMIT,
            without these two.
        mode: How it runs.
        reason: Why it runs without a transaction, or None.
        characteristics: What it asks of its transaction, `ISOLATION LEVEL SERIALIZABLE` say.
        start: Offset of the first byte that is sent, and
        end: behind the last; what is outside is the BEGIN and COMMIT around the whole.
        transactions: Its own, if it runs without one of ours: the places, from 0, of each BEGIN and of the
            COMMIT that belongs to it.
        done: How many of its statements an earlier attempt has done; this one begins behind them.
        interrupted: Whether that attempt ended without a word, so that the next statement may be done, too.
        on_duplicate: What the file says to do when an object is already there; None where it says nothing.
        limits: What the file says of time-outs.
        allowed: The findings of a rehearsal that the file allows.
        warnings: What a person should know of the file, beside.
    """

    name: str
    path: Path
    checksum: str
    statements: Statements
    mode: Mode = Mode.TRANSACTION
    reason: str | None = None
    characteristics: str | None = None
    start: int = 0
    end: int = 0
    transactions: tuple[tuple[int, int], ...] = ()
    done: int = 0
    interrupted: bool = False
    on_duplicate: OnDuplicate | None = None
    limits: Limits = Limits()
    allowed: tuple[Allowance, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def source(self) -> bytes:
        """The file's bytes, without a byte order mark."""
        return self.statements.source

    @property
    def without(self) -> str | None:
        """That it runs without a transaction, and why, in words; None where it has one."""
        return f"no transaction: {self.reason}" if self.reason else None


# --- the ledger and the log -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the ledger. Rows of other tools may lack everything but the name.

    Attributes:
        id: Ascending in the order of application.
        name: `migration_name`: the file name.
        applied_at: When, as the database says.
        execution_time_ms: How long it took.
        checksum: SHA-256 of the bytes of the file in hexadecimal, or a prefix of 16 or more digits.
        applied_by: The database user.
    """

    id: int
    name: str
    applied_at: datetime | None = None
    execution_time_ms: int | None = None
    checksum: str | None = None
    applied_by: str | None = None


class Event(StrEnum):
    """What a row of the log tells.

    An interrupted attempt was ended by a signal. The three behind it are those of a script without a
    transaction, the next six those of a person: the record was removed, or added without running anything, or
    added since all objects are there; an edited file was taken for the right one; a marked, failed or partial
    migration was settled; a record got another name. The last two are those of a file of data: some of its
    records are in the tables, and all of them are.
    """

    APPLIED = "applied"
    MARKED = "marked"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    STARTED = "started"
    PROGRESS = "progress"
    RESTARTED = "restarted"
    ROLLED_BACK = "rolled back"
    UNRECORDED = "unrecorded"
    MARKED_BY_HAND = "marked by hand"
    ADOPTED = "adopted"
    ACCEPTED = "accepted"
    RESOLVED = "resolved"
    RENAMED = "renamed"
    LOADING = "loading"
    LOADED = "loaded"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One row of the log.

    Attributes:
        event: What happened; a plain string where a later version of fluxmig wrote it.
        name: The migration; of a down script without a transaction, its own file name.
        message: The server's message, what was lost, or why there was no transaction.
        error_code: SQLSTATE, or the driver's name of the error.
        statement_number: The failing statement; how many are done, in a row of progress; the first that ran,
            where a script was started; how many records are done, of a file of data.
        line: The line in the file, from 1.
        id: Ascending in the order of writing; 0 before that.
        logged_at: When, as the database says.
        duration_ms: How long it took.
        checksum: SHA-256 of the file; in a row of progress, of the statements that are done.
        database_user: Who the database says it was.
        client: Who ran fluxmig, as `user@host`.
        fluxmig_version: By which version of it.
        reason: Why, in the words of the person who did it.
        statements: How many statements the file has, in a row of a marked one.
        lost: How many of these did not take effect and made nothing that is there otherwise.
        unchecked: How many of these did not take effect, and it cannot be told whether that is so of them.
    """

    event: Event | str
    name: str
    message: str | None = None
    error_code: str | None = None
    statement_number: int | None = None
    line: int | None = None
    id: int = 0
    logged_at: datetime | None = None
    duration_ms: int | None = None
    checksum: str | None = None
    database_user: str | None = None
    client: str | None = None
    fluxmig_version: str | None = None
    reason: str | None = None
    statements: int | None = None
    lost: int | None = None
    unchecked: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a script without a transaction has come, as the log tells.

    Attributes:
        done: Its statements 1 to `done` are.
        digest: SHA-256 of these.
        interrupted: Whether the attempt ended without a word: killed, or cut off. Then the next statement may
            be done, too.
    """

    done: int
    digest: str
    interrupted: bool


# --- statuses and plans -----------------------------------------------------------------------------------


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
class Finding:
    """Something a person should know: what kind, in which migrations, and the way out.

    Attributes:
        kind: A word for programs: "modified", "missing", "renamed", "marked", "failed", "out of order",
            "empty", "orphan", "number", "log", "files", "permission", "partial", "directive", "duplicate",
            "overtaken", "absent", "session".
        message: A sentence for people.
        names: The migrations in question.
        remedy: The way out, or None.
    """

    kind: str
    message: str
    names: tuple[str, ...] = ()
    remedy: str | None = None


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


# --- what a person has the ledger say ---------------------------------------------------------------------


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


# --- results ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the database refused a statement, and where.

    Attributes:
        path: The file.
        message: The server's message, its primary line.
        code: SQLSTATE, or the driver's name of the error, or None.
        line: Line in the file, from 1, of the error. Where the server gives no position: of the only
            mention of `object` in the statement, or else of the statement; None where not even that is
            known.
        column: Column likewise.
        statement: The failing statement, or None where it is not known (a commit, for one).
        statements: How many statements the file has.
        done: How many statements of the file stay done; 0 in a transaction.
        object: The object in question, where the message names one.
        detail: The server's DETAIL.
        hint: The server's HINT.
        context: The server's CONTEXT, such as the line in a function.
        excerpt: The lines around the place, with a caret.
        remedy: fluxmig's own advice, or None.
    """

    path: Path
    message: str
    code: str | None = None
    line: int | None = None
    column: int | None = None
    statement: Statement | None = None
    statements: int = 0
    done: int = 0
    object: str | None = None
    detail: str | None = None
    hint: str | None = None
    context: str | None = None
    excerpt: str = ""
    remedy: str | None = None

    @property
    def headline(self) -> str:
        """One line: file:line:column, the server's message and its code."""
        code = f" [{self.code}]" if self.code else ""
        return f"{place(self.path, self.line, self.column)}: {self.message}{code}"

    def __str__(self) -> str:
        lines = [self.headline]
        if self.statement and self.statements > 1:
            lines.append(
                f"in statement {self.statement.number} of {self.statements}: {_short(self.statement)}"
            )
        lines.append(self.excerpt)
        lines += [
            f"{label}: {text}"
            for label, text in (("DETAIL", self.detail), ("HINT", self.hint), ("CONTEXT", self.context))
            if text
        ]
        if self.remedy:
            lines.append(self.remedy)
        return "\n".join(line for line in lines if line)


@dataclass(frozen=True, slots=True)
class Notice:
    """What the server, or fluxmig, has to say while a migration runs.

    Attributes:
        name: The migration.
        severity: NOTICE, WARNING, INFO and the like, as the server's protocol has it; NOTE for fluxmig's own.
        message: One line or more.
        code: SQLSTATE, or None.
        detail: The server's DETAIL.
        hint: The server's HINT.
    """

    name: str
    severity: str
    message: str
    code: str | None = None
    detail: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody's session on the server: who has the runner's lock, or holds up a statement.

    Attributes:
        pid: Its process on the server.
        user: The login; None where it may not be seen.
        application: The name that the client gave itself, or None.
        host: The client's address; `local` for a socket.
        since: When it connected; or, where there is a state, since when it is in it.
        state: What it is doing: `active`, `idle in transaction` and the like; None where that was not asked.
        query: The beginning of its last statement in one line, or None.
    """

    pid: int
    user: str | None = None
    application: str | None = None
    host: str | None = None
    since: str | None = None
    state: str | None = None
    query: str | None = None

    def __str__(self) -> str:
        name = (self.application or "(unnamed)") if self.user else None
        named = (("user", self.user), ("application", name), ("host", self.host))
        since = (self.state or "connected", f"since {self.since}") if self.since else (self.state, "")
        parts = [f"{word} {value}".strip() for word, value in (*named, since) if word and value is not None]
        text = ", ".join([f"process {self.pid}", *parts])
        return f"{text}: {self.query}" if self.query else text


class WaitReason(StrEnum):
    """What fluxmig waits for: another runner's lock; a better moment to try a migration again; a server."""

    LOCK = "lock"
    RETRY = "retry"
    CONNECTION = "connection"


@dataclass(frozen=True, slots=True)
class Wait:
    """That fluxmig waits, and for what.

    Attributes:
        reason: Which kind of waiting.
        message: In one line, for people.
        name: The migration, or None where it is for all.
        sessions: Who is in the way, as far as it is known.
    """

    reason: WaitReason
    message: str
    name: str | None = None
    sessions: tuple[Session, ...] = ()


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


@dataclass(frozen=True, slots=True)
class DatabaseInfo:
    """Where one is connected to.

    Attributes:
        dialect: SQLAlchemy's name of the database and driver, `postgresql+psycopg` say.
        server: The product, "PostgreSQL" say.
        version: The server's version.
        database: The database's name, or the file.
        user: The database user, or None where there are none.
        time: The server's clock, as it prints it.
        ssl: Whether the connection is encrypted; None where that has no meaning.
        schema: The schema that holds the ledger, or None where there are none.
    """

    dialect: str
    server: str
    version: str
    database: str | None = None
    user: str | None = None
    time: str | None = None
    ssl: bool | None = None
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What fluxmig can promise on a database; a text is empty where there is no such thing.

    Attributes:
        transactional_ddl: Whether what creates and alters is rolled back with a failed file; None where a
            probe tells, when something is to run.
        lock: What keeps other runners out.
        duplicates: By what "this object already exists" is recognised.
        positions: Where the place of an error comes from.
        concurrent_index: Whether an index can be built beside writers, outside of transactions.
        copy: Whether COPY ... FROM stdin with its rows is streamed.
        scratch: The sources of scratch databases, best first.
        tested: The versions that the tests run on.
    """

    transactional_ddl: bool | None
    lock: str
    duplicates: str
    positions: str
    concurrent_index: bool
    copy: bool
    scratch: str
    tested: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found, without changing anything.

    Attributes:
        info: Where one is connected to.
        table: The ledger's name, with its schema.
        ledger_exists: Whether the ledger is there.
        log_exists: Whether the log is there.
        can_create: Whether the login may create in the schema; None where that cannot be known.
        can_write: Whether the login may write the ledger; None where there is none yet.
        applied: How many migrations are applied.
        pending: How many are pending.
        findings: The problems; empty where all is well.
        warnings: What to know beside, and no problem.
        capabilities: What fluxmig can promise there.
    """

    info: DatabaseInfo
    table: str
    ledger_exists: bool
    log_exists: bool
    can_create: bool | None
    can_write: bool | None
    applied: int
    pending: int
    findings: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    capabilities: Capabilities | None = None

    @property
    def ok(self) -> bool:
        """Whether there is nothing to mend."""
        return not self.findings

    @property
    def exit_code(self) -> int:
        """That of the error which the first problem would be in a run; 0 where there is none."""
        codes = {"permission": 2, "session": 2, "files": 3, "failed": 1}
        return codes.get(self.findings[0].kind, 4) if self.findings else 0


def loss(statements: int, lost: int, unchecked: int) -> str:
    """How much of a marked migration is missing, in words: "1 of 10 statements lost"."""
    of_all = f"of {statements} statement" if statements == 1 else f"of {statements} statements"
    if not lost and not unchecked:
        return "nothing lost"
    parts = [f"{lost} {of_all} lost"] if lost else []
    if unchecked:
        parts.append(f"{unchecked} perhaps" if lost else f"{unchecked} {of_all} perhaps lost")
    return ", ".join(parts)


def place(path: Path, line: int | None, column: int | None) -> str:
    """`file:line:column`, as far as it is known; editors and terminals make it a link."""
    return ":".join(str(part) for part in (path, line, column) if part is not None)


def _short(statement: Statement, width: int = 80) -> str:
    first = statement.first_line
    return first if len(first) <= width else first[: width - 1] + "…"
