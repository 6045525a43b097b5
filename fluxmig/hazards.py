"""What was seen of a rehearsal -> what a person should know before production. Pure.

Each finding has a name, by which it can be denied on the command line and allowed in a file.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fluxmig import sql
from fluxmig.model import Outcome
from fluxmig.trace import RehearsalFinding, WorkKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from fluxmig.trace import FileTrace, Lock, StatementTrace

__all__ = ["NAMES", "findings", "nearest"]

NAMES: Final[Mapping[str, str]] = {
    "access-exclusive-on-existing": "a table that was there before is locked: readers and writers wait",
    "share-lock-on-existing": "a table that was there before is locked: writers wait",
    "long-hold": "such a lock is kept while more statements run",
    "rewrite": "a table that was there before is written anew, row by row",
    "index-build": "an index is built on such a table while writers wait",
    "depends-on-rows": "what went through on an empty table fails where rows do not allow it",
    "scan-under-lock": "such a table is read as a whole while writers wait, to check a constraint",
    "truncate": "a table that was there before is emptied",
    "drop-table": "a table that was there before is dropped, with its rows",
    "drop-column": "a column of such a table is dropped, with its values",
    "rename": "such a table, or a column of it, gets another name",
    "marked": "a duplicate object would have the file recorded without running to its end",
    "down-missing": "with --round-trip: there is no down script",
    "down-failed": "with --round-trip: the down script failed",
    "down-incomplete": "with --round-trip: the down script does not bring back what was there before",
    "again-differs": "with --round-trip: the file, applied again, fails or gives something else",
    "unknown-name": "the file allows a finding that there is not",
    "unused-allow": "the file allows a finding that it does not have",
}
"""What is found, by name, each in a clause for people."""

_WORDS = 64
"""Words of a statement that tell what it does."""

_SHOWN = 3

_IN_BATCHES = "add a column of the new type, fill it in batches, and switch over to it"
_NOT_VALID = "add it NOT VALID, and VALIDATE CONSTRAINT in a later file"
_USING_INDEX = "CREATE UNIQUE INDEX CONCURRENTLY in a file before, then ADD CONSTRAINT ... USING INDEX"
_WAYS: Final = (
    (r"CREATE (?:UNIQUE )?INDEX(?! CONCURRENTLY)", "CREATE INDEX CONCURRENTLY lets others write meanwhile"),
    (r"DROP INDEX(?! CONCURRENTLY)", "DROP INDEX CONCURRENTLY has nobody wait"),
    (r"REINDEX(?!.* CONCURRENTLY)", "REINDEX ... CONCURRENTLY lets others write meanwhile"),
    (
        r"REFRESH MATERIALIZED VIEW(?! CONCURRENTLY)",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY lets others read meanwhile; it needs a unique index",
    ),
    (r"VACUUM\b.* FULL\b|CLUSTER\b", "plain VACUUM frees the room for new rows, and has nobody wait"),
    (r"ALTER TABLE\b.* DETACH PARTITION\b", "DETACH PARTITION ... CONCURRENTLY has nobody wait"),
    (
        r"ALTER TABLE\b.* ATTACH PARTITION\b",
        "a valid CHECK that says what the partition's bounds say saves reading the table",
    ),
    (r"ALTER TABLE\b.* VALIDATE CONSTRAINT\b", "in a file of its own it lets others write meanwhile"),
    (r"ALTER TABLE\b.* ADD\b.* (?:UNIQUE|PRIMARY KEY)(?!.* USING INDEX)", _USING_INDEX),
    (r"ALTER TABLE\b.* ADD\b(?:(?! NOT VALID).)* (?:REFERENCES|CHECK)(?!.* NOT VALID)", _NOT_VALID),
    (
        r"ALTER TABLE\b.* SET NOT NULL\b",
        "in files before, add CHECK (... IS NOT NULL) NOT VALID and validate it: then nothing is read",
    ),
    (r"ALTER TABLE\b.* (?:SET DATA )?TYPE\b", _IN_BATCHES),
    (
        r"ALTER TABLE\b.* ADD\b",
        "add the column without a value, give it its default then, and fill the rows in batches",
    ),
)
"""The safer way, by how a statement begins; the first that fits."""
_UNIQUE = r"CREATE UNIQUE\b|.* (?:UNIQUE|PRIMARY KEY|EXCLUDE)\b(?!.* USING INDEX)"
_ROWS_WAY = "ask the target for such rows before"
_REQUIRED_WAY = "give it a default; or add it without NOT NULL, fill it, and SET NOT NULL in a later file"
_OF_DATA: Final = {
    WorkKind.TRUNCATE: ("truncate", "{} is emptied", None),
    WorkKind.DROP_TABLE: (
        "drop-table",
        "{} is dropped, with its rows",
        "first a release that does not use it any more",
    ),
    WorkKind.DROP_COLUMN: (
        "drop-column",
        "{} is dropped, with its values",
        "first a release that does not use it any more",
    ),
    WorkKind.RENAME: (
        "rename",
        "{}: what uses the old name fails at once",
        "add the new one beside it, and drop the old one when nobody uses it any more",
    ),
}


def findings(file: FileTrace, rules: sql.Rules, denied: Collection[str]) -> tuple[RehearsalFinding, ...]:
    """What was found about one file, in the order of its statements; allowed and denied as it is.

    Args:
        file: What was seen of it.
        rules: The database's lexical rules.
        denied: The names that a rehearsal fails for, unless the file allows them.
    """
    found: list[RehearsalFinding] = []
    for trace in file.statements:
        if trace.error is None:
            words = " ".join(sql.words(trace.statement.sql, rules, _WORDS))
            found += _of_statement(file, trace, words)
    found += _of_file(file)
    allowed = {each.name for each in file.allowed}
    found = [replace(each, allowed=each.name in allowed) for each in found]
    found += _of_allowances(file, {each.name for each in found})
    return tuple(replace(each, denied=each.name in denied and not each.allowed) for each in found)


def nearest(name: str) -> str:
    """What to say to who names a finding that there is not."""
    near = difflib.get_close_matches(name, NAMES, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(NAMES)}"


# --- statements -------------------------------------------------------------------------------------------


def _of_statement(file: FileTrace, trace: StatementTrace, words: str) -> Iterator[RehearsalFinding]:
    """What it locks of what was there before, what is done under that, and what rows could make of it."""
    way = next((way for pattern, way in _WAYS if re.match(pattern, words)), None)
    has_work = any(
        each.existed and each.kind in {WorkKind.REWRITE, WorkKind.INDEX, WorkKind.SCAN} for each in trace.work
    )
    for lock in file.stronger(trace):
        if not lock.mode.blocks_writers:
            continue
        name = "access-exclusive-on-existing" if lock.mode.blocks_readers else "share-lock-on-existing"
        message = f"{lock.mode} on {lock.relation}, {_how_long(file, trace, lock)}; {_who(lock)} wait"
        is_kept = lock.until > trace.last
        apart = f"put it last in {_whole(file, lock)}, or in a file of its own" if is_kept else None
        yield _finding(file, trace, name, message, way if has_work else apart, lock.relation)
        if is_kept:
            more = _count(lock.until - trace.last, "more statement")
            yield _finding(
                file,
                trace,
                "long-hold",
                f"{lock.mode} on {lock.relation} is kept for {more}",
                apart,
                lock.relation,
            )
    yield from _of_work(file, trace, way)
    yield from _of_rows(file, trace, words)


def _of_work(file: FileTrace, trace: StatementTrace, way: str | None) -> Iterator[RehearsalFinding]:
    for each in trace.work:
        if not each.existed:
            continue
        lock = file.held(trace, each.table)
        if each.kind is WorkKind.REWRITE:
            message = f"{each.name} is written anew, row by row" + (f", under {lock.mode}" if lock else "")
            yield _finding(file, trace, "rewrite", message, way, each.table)
        elif each.kind is WorkKind.INDEX and lock and lock.mode.blocks_writers:
            message = f"index {each.name} is built on {each.table} while {_who(lock)} wait"
            yield _finding(file, trace, "index-build", message, way, each.table)
        elif each.kind is WorkKind.SCAN and lock and lock.mode.blocks_writers:
            message = f"{each.name} is read as a whole while {_who(lock)} wait"
            yield _finding(file, trace, "scan-under-lock", message, way, each.table)
        elif each.kind is WorkKind.REQUIRED:
            message = f"{each.name} is NOT NULL without a default: fails as soon as {each.table} has a row"
            yield _finding(file, trace, "depends-on-rows", message, _REQUIRED_WAY, each.table)
        elif each.kind in _OF_DATA:
            name, message, remedy = _OF_DATA[each.kind]
            yield _finding(file, trace, name, message.format(each.name), remedy, each.table)


def _of_rows(file: FileTrace, trace: StatementTrace, words: str) -> Iterator[RehearsalFinding]:
    """That rows were checked, of which the scratch database has none; once a statement."""
    if any(each.kind is WorkKind.REQUIRED for each in trace.work):
        return
    for each in trace.work:
        if each.existed and each.kind is WorkKind.SCAN:
            message = f"fails where rows of {each.table} do not meet it"
        elif each.existed and each.kind is WorkKind.INDEX and re.search(_UNIQUE, words):
            message = f"fails where rows of {each.table} are not unique"
        else:
            continue
        yield _finding(file, trace, "depends-on-rows", message, _ROWS_WAY, each.table)
        return


def _how_long(file: FileTrace, trace: StatementTrace, lock: Lock) -> str:
    if not trace.in_transaction or lock.until <= trace.last:
        return "held for this statement"
    count = _count(lock.until - trace.number + 1, "statement")
    return f"held to the end of {_whole(file, lock)}: {count}"


def _whole(file: FileTrace, lock: Lock) -> str:
    """To whose end it is held."""
    return "the file" if lock.until >= file.statements[-1].last else "its transaction"


def _who(lock: Lock) -> str:
    return "readers and writers" if lock.mode.blocks_readers else "writers"


# --- files ------------------------------------------------------------------------------------------------


def _of_file(file: FileTrace) -> Iterator[RehearsalFinding]:
    """What is about no statement that ran: a mark, and the way back and forth again."""
    failure = file.result.failure
    if file.result.outcome is Outcome.MARKED and failure:
        statement = failure.statement.number if failure.statement else None
        message = f"{failure.message}: the file would be marked as applied, {file.result.loss}"
        if lost := [each for each in file.result.lost if each.exists is not True]:
            message += f" ({_some(f'line {each.statement.line}' for each in lost)})"
        way = "take out what is there already, or --on-duplicate complete, which runs what is not there"
        yield RehearsalFinding("marked", file.path, failure.line, statement, message, way)
    trip = file.round_trip
    if trip is None:
        return
    if not trip.has_down:
        yield _about(
            file, "down-missing", "there is no down script", "`fluxmig create --with-down` makes one"
        )
    if trip.down_failure:
        yield _about(file, "down-failed", f"the down script failed: {trip.down_failure}")
    if trip.not_restored:
        message = f"the down script does not bring back what was there: {_some(trip.not_restored)}"
        yield _about(file, "down-incomplete", message)
    if trip.up_failure:
        yield _about(file, "again-differs", f"applied again, the file fails: {trip.up_failure}")
    if trip.differs:
        message = f"applied again, the file gives something else: {_some(trip.differs)}"
        yield _about(file, "again-differs", message)


def _of_allowances(file: FileTrace, found: Collection[str]) -> Iterator[RehearsalFinding]:
    """Names that are none, and names of what is not there; the latter only of a file that ran to its end."""
    has_run = file.result.outcome is Outcome.APPLIED
    for allowance in file.allowed:
        name, line = allowance.name, allowance.line
        if name not in NAMES:
            message = f"allow={name}: no finding has that name"
            yield RehearsalFinding("unknown-name", file.path, line, None, message, nearest(name))
        elif name not in found and has_run:
            message = f"allow={name}: there is nothing to allow"
            yield RehearsalFinding("unused-allow", file.path, line, None, message, "take it out")


def _finding(
    file: FileTrace,
    trace: StatementTrace,
    name: str,
    message: str,
    remedy: str | None,
    relation: str,
) -> RehearsalFinding:
    line, number = trace.statement.line, trace.number
    return RehearsalFinding(name, file.path, line, number, message, remedy, relation)


def _about(file: FileTrace, name: str, message: str, remedy: str | None = None) -> RehearsalFinding:
    return RehearsalFinding(name, file.path, None, None, message, remedy)


def _some(texts: Iterable[str]) -> str:
    listed = list(texts)
    more = len(listed) - _SHOWN
    return ", ".join(listed[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
