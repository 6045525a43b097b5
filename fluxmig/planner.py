"""Files + ledger rows -> statuses, and which of them to run. Pure: no file, no database."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from fluxmig.errors import ConfigError, LedgerError
from fluxmig.layouts.numbered import MAX_NAME, down_of, number_of, sort_key
from fluxmig.model import Condition, Event, Finding, MigrationStatus, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fluxmig.model import LogEntry, Migration, Progress, Record

__all__ = [
    "MARKS",
    "Selection",
    "findings",
    "matching",
    "pending",
    "same_checksum",
    "select",
    "statuses",
    "to_restart",
    "unsettled",
]

MARKS = frozenset({Event.MARKED, Event.MARKED_BY_HAND, Event.ADOPTED})
"""Events that record a migration without having run it to the end."""

_SHORTEST_PREFIX = 16
"""Digits of a checksum that the Node runner stores."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the pending migrations to run; all of them by default.

    Attributes:
        to: Up to and including this file name or number.
        steps: At most so many.
        only: This one file name, or number, alone.
        restart: This partial one begins with its statement 1 again.
    """

    to: str | None = None
    steps: int | None = None
    only: str | None = None
    restart: str | None = None


def same_checksum(stored: str | None, actual: str) -> bool:
    """Whether a stored checksum, or a prefix of 16 digits and more, is that of the file; unknown is."""
    if not stored:
        return True
    stored = stored.strip().lower()
    return len(stored) >= _SHORTEST_PREFIX and actual.startswith(stored)


def statuses(
    migrations: Iterable[Migration],
    records: Iterable[Record],
    last_events: Mapping[str, LogEntry],
    progress: Mapping[str, Progress] = MappingProxyType({}),
) -> tuple[MigrationStatus, ...]:
    """The status of every migration on disk or in the ledger, in the order of the files."""
    on_disk = {migration.name: migration for migration in migrations}
    recorded = {record.name: record for record in records}
    last_applied = max((sort_key(name) for name in recorded), default=None)
    found = []
    for name in sorted(on_disk.keys() | recorded.keys(), key=sort_key):
        migration, record, event = on_disk.get(name), recorded.get(name), last_events.get(name)
        halfway = None if record else progress.get(name)
        down = progress.get(down_of(name)) if record else None
        conditions = []
        if record:
            if event and event.event in MARKS:
                conditions.append(Condition.MARKED)
            if not migration:
                conditions.append(Condition.MISSING)
            elif not same_checksum(record.checksum, migration.checksum):
                conditions.append(Condition.MODIFIED)
        else:
            if event and event.event is Event.FAILED:
                conditions.append(Condition.FAILED)
            if _is_half_way(halfway):
                conditions.append(Condition.PARTIAL)
            if last_applied is not None and sort_key(name) < last_applied:
                conditions.append(Condition.OUT_OF_ORDER)
        state = State.APPLIED if record else State.PENDING
        found.append(
            MigrationStatus(
                name,
                state,
                tuple(conditions),
                migration,
                record,
                event,
                halfway,
                down if _is_half_way(down) else None,
            )
        )
    return tuple(found)


def _is_half_way(progress: Progress | None) -> bool:
    """Whether something of the script is done, or may be."""
    return progress is not None and (progress.done > 0 or progress.interrupted)


def pending(all_statuses: Iterable[MigrationStatus]) -> tuple[Migration, ...]:
    """The migrations that the ledger does not have, in the order they run."""
    return tuple(
        status.migration for status in all_statuses if status.state is State.PENDING and status.migration
    )


def select(all_statuses: Sequence[MigrationStatus], selection: Selection) -> tuple[Migration, ...]:
    """The pending migrations to run, in order.

    Raises:
        ConfigError: `to` or `only` names nothing, or `only` a number that several files have; or `steps` is
            less than 1.
        LedgerError: `only` names something that is applied already.
    """
    if selection.steps is not None and selection.steps < 1:
        raise ConfigError(f"steps must be 1 or more, and not {selection.steps}")
    todo = pending(all_statuses)
    if selection.only is not None:
        chosen = _named(all_statuses, selection.only, "--only")
        if len(chosen) > 1:
            names = " and ".join(status.name for status in chosen)
            raise ConfigError(f"--only {selection.only} is ambiguous: {names}", remedy="give the file's name")
        if chosen[0].state is State.APPLIED:
            raise LedgerError(f"{chosen[0].name} is applied already", names=[chosen[0].name])
        todo = tuple(migration for migration in todo if migration.name == chosen[0].name)
    if selection.to is not None:
        last = max(sort_key(status.name) for status in _named(all_statuses, selection.to, "--to"))
        todo = tuple(migration for migration in todo if sort_key(migration.name) <= last)
    return todo if selection.steps is None else todo[: selection.steps]


def to_restart(
    all_statuses: Sequence[MigrationStatus], todo: Iterable[Migration], selection: Selection
) -> str | None:
    """The name of the migration that begins with its statement 1 again, or None.

    Raises:
        ConfigError: `restart` names nothing, or several, or one that is not about to run or not partial.
    """
    if selection.restart is None:
        return None
    chosen = _named(all_statuses, selection.restart, "--restart")
    if len(chosen) > 1:
        names = " and ".join(status.name for status in chosen)
        raise ConfigError(
            f"--restart {selection.restart} is ambiguous: {names}", remedy="give the file's name"
        )
    (status,) = chosen
    if Condition.PARTIAL not in status.conditions:
        why = (
            "is applied" if status.state is State.APPLIED else "has done nothing yet that could be done again"
        )
        raise ConfigError(f"--restart {status.name}: it {why}")
    if status.name not in {migration.name for migration in todo}:
        raise ConfigError(f"--restart {status.name}: it is not among those that would run")
    return status.name


def matching(all_statuses: Sequence[MigrationStatus], word: str) -> tuple[MigrationStatus, ...]:
    """The statuses that a file name (its `.sql` may be left out) or a number stands for."""
    for name in (word, f"{word}.sql"):
        if exact := tuple(status for status in all_statuses if status.name == name):
            return exact
    if not (word.isascii() and word.isdigit()) or len(word) > MAX_NAME:  # Python reads 4300 digits at most
        return ()
    return tuple(status for status in all_statuses if number_of(status.name) == int(word))


def _named(all_statuses: Sequence[MigrationStatus], word: str, option: str) -> tuple[MigrationStatus, ...]:
    """As `matching`; raises `ConfigError` where that is nothing."""
    if found := matching(all_statuses, word):
        return found
    shown = option if "://" in word else f"{option} {word}"  # a URL in the wrong place may hold a password
    raise ConfigError(f"{shown}: there is no such migration", remedy="`fluxmig status` lists them")


def findings(all_statuses: Iterable[MigrationStatus], todo: Iterable[Migration]) -> tuple[Finding, ...]:
    """What is wrong with the applied migrations, and which of those about to run are out of order.

    Findings of kind "modified" and "out of order" are what `--strict` and `--strict-order` refuse.
    """
    all_statuses = tuple(all_statuses)
    about = {migration.name for migration in todo}
    modified = _with(all_statuses, Condition.MODIFIED)
    missing = _with(all_statuses, Condition.MISSING)
    late = tuple(name for name in _with(all_statuses, Condition.OUT_OF_ORDER) if name in about)
    found = []
    if modified:
        found.append(
            Finding(
                "modified",
                f"changed since {_they(modified, 'it was', 'they were')} applied: {', '.join(modified)}",
                modified,
                "put the old text back, and write the change as a new migration",
            )
        )
    if missing:
        found.append(
            Finding(
                "missing",
                f"applied, but not in the folder: {', '.join(missing)}",
                missing,
                "bring the file back, or check --migrations",
            )
        )
    if late:
        found.append(
            Finding(
                "out of order",
                f"sorted before something applied: {', '.join(late)}",
                late,
                "renumber it if it depends on what was applied since",
            )
        )
    return tuple(found)


def unsettled(all_statuses: Iterable[MigrationStatus]) -> tuple[Finding, ...]:
    """What the log says of migrations that failed, or were marked without having run to the end."""
    found = []
    for status in all_statuses:
        event, name = status.last_event, status.name
        if status.down_progress:
            message = (
                f"the down script of {name} stopped half-way, or is under way: {_done(status.down_progress)}"
            )
            remedy = (
                f"`fluxmig rollback` goes on with statement {status.down_progress.done + 1};"
                f" `fluxmig resolve {name} --retry` has it begin with statement 1"
            )
            found.append(Finding("partial", message, (name,), remedy))
        if event and Condition.FAILED in status.conditions:
            place = f" (line {event.line})" if event.line else ""
            message = f"{name} failed at its last attempt{place}: {event.message}"
            remedy = "mend it, and `fluxmig run`"
            if status.progress and status.progress.done:
                done = status.progress.done
                message += f"; {done} of its statements {'are' if done > 1 else 'is'} done"
                remedy += f", which goes on with statement {done + 1}"
            found.append(Finding("failed", message, (name,), remedy))
        elif status.progress and Condition.PARTIAL in status.conditions:
            message = f"{name} is under way, or was cut off: {_done(status.progress)}"
            following = status.progress.done + 1
            remedy = f"unless a run is at work on it, `fluxmig run` goes on with statement {following}"
            found.append(Finding("partial", message, (name,), remedy))
        elif event and _may_have_lost(event) and Condition.MARKED in status.conditions:
            message = f"{name} is recorded without having run to the end: {event.message}"
            remedy = (
                f"make what is missing in a new migration, then `fluxmig resolve {name} --done`; or"
                f" `fluxmig resolve {name} --retry` and run it with --on-duplicate complete"
            )
            found.append(Finding("marked", message, (name,), remedy))
    return tuple(found)


def _may_have_lost(event: LogEntry) -> bool:
    """Whether a migration was marked for a duplicate, unless the log says that nothing was lost by it."""
    return event.event is Event.MARKED and (event.lost, event.unchecked) != (0, 0)


def _done(progress: Progress) -> str:
    known = (
        "1 of its statements is" if progress.done == 1 else f"{progress.done or 'none'} of its statements are"
    )
    return f"{known} known to be done"


def _with(all_statuses: Iterable[MigrationStatus], condition: Condition) -> tuple[str, ...]:
    return tuple(status.name for status in all_statuses if condition in status.conditions)


def _they(names: Sequence[str], one: str, many: str) -> str:
    return one if len(names) == 1 else many
