"""What a person has the ledger say, written in one transaction under the runner's lock."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from fluxmig.errors import DatabaseConnectionError, LedgerError
from fluxmig.layouts.numbered import down_of
from fluxmig.model import Action, Event, LogEntry
from fluxmig.planner import MARKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy import Connection

    from fluxmig.ledger import Ledger
    from fluxmig.lock import Lock
    from fluxmig.model import Change, Migration

__all__ = ["IN_THE_LOG_ALONE", "write"]

IN_THE_LOG_ALONE = frozenset({Action.SETTLE, Action.RETRY, Action.RETRY_DOWN})
"""What changes no row of the ledger."""

_DONE, _AGAIN = "as done", "to be run again"


def write(
    changes: Iterable[Change],
    reason: str | None,
    *,
    ledger: Ledger,
    lock: Lock,
    check: Callable[[Connection], None],
) -> None:
    """Writes all of the changes, or none.

    Args:
        changes: In the order of writing.
        reason: Why, for the log.
        ledger: It has to be there.
        lock: That of the runners.
        check: Called under the lock, before anything is written; raises where the changes no longer fit.

    Raises:
        LedgerError: A row to be changed is not there, or not once.
        LockTimeoutError: Another runner had the lock for too long.
        DatabaseConnectionError: The connection was lost at the commit.
    """
    is_at_commit = False
    try:
        with lock.transaction() as connection:
            check(connection)
            for change in changes:
                _write(ledger, connection, change, reason)
            is_at_commit = True
    except DBAPIError as error:
        if not (is_at_commit and lock.dialect.is_lost(error)):
            raise
        raise DatabaseConnectionError(
            f"the connection was lost at the commit: {lock.dialect.explain(error).message}",
            remedy="`fluxmig status` tells whether the change was made: all of it, or nothing",
            in_doubt=True,
        ) from error


def _write(ledger: Ledger, connection: Connection, change: Change, reason: str | None) -> None:
    name = change.name
    match change.action:
        case Action.MARK:
            _record(ledger, connection, change, LogEntry(Event.MARKED_BY_HAND, name, reason=reason))
        case Action.RECORD:
            _record(ledger, connection, change, LogEntry(Event.RESOLVED, name, _DONE, reason=reason))
        case Action.UNMARK:
            ledger.remove(connection, LogEntry(Event.UNRECORDED, name, reason=reason))
        case Action.RERUN:
            ledger.remove(connection, LogEntry(Event.RESOLVED, name, _AGAIN, reason=reason))
        case Action.SETTLE:
            ledger.log(connection, LogEntry(Event.RESOLVED, name, _DONE, reason=reason))
        case Action.RETRY:
            ledger.log(connection, LogEntry(Event.RESOLVED, name, _AGAIN, reason=reason))
        case Action.RETRY_DOWN:  # under its own name: the migration stays what it is, marked say
            ledger.log(connection, LogEntry(Event.RESOLVED, down_of(name), _AGAIN, reason=reason))
        case Action.ACCEPT:
            file = _file(change)
            ledger.update(connection, name, {"checksum": file.checksum})
            entry = LogEntry(Event.ACCEPTED, name, reason=reason)
            ledger.log(connection, entry, checksum=file.checksum, source=file.source)
        case Action.RENAME:
            _rename(ledger, connection, change, reason)


def _record(ledger: Ledger, connection: Connection, change: Change, entry: LogEntry) -> None:
    file = _file(change)
    ledger.record(connection, entry, checksum=file.checksum, duration_ms=None, source=file.source)


def _rename(ledger: Ledger, connection: Connection, change: Change, reason: str | None) -> None:
    """The row gets the new name; where the log says that it is marked, it says so of the new name."""
    file, last = _file(change), change.status.last_event
    applied = ledger.text(connection, change.name)
    ledger.update(connection, change.name, {"migration_name": file.name})
    ledger.log(connection, LogEntry(Event.RENAMED, change.name, f"to {file.name}", reason=reason))
    entry = LogEntry(Event.RENAMED, file.name, f"from {change.name}", reason=reason)
    if last and last.event in MARKS:
        ledger.log(connection, entry)
        entry = replace(last, name=file.name)
    # Where the two differ by line endings, the record stands for what was applied.
    source = file.source if applied is None else applied
    ledger.log(connection, entry, checksum=file.checksum, source=source)


def _file(change: Change) -> Migration:
    status = change.to or change.status
    if status.migration is None:
        raise LedgerError(f"{status.name} is not in the folder", names=[status.name])
    return status.migration
