"""Rows of the ledger and of the log."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Event", "LogEntry", "Progress", "Record"]


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
