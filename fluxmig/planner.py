"""Files + ledger rows -> statuses, and which of them to run. Pure: no file, no database."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from shlex import quote
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from fluxmig.content import content, content_checksums, file_checksums
from fluxmig.errors import ConfigError, LedgerError, RollbackError
from fluxmig.layouts.numbered import MAX_NAME, down_of, number_of, sort_key
from fluxmig.model import Condition, Event, Finding, MigrationStatus, Mode, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fluxmig.model import LogEntry, Migration, Progress, Record, Script

__all__ = [
    "MARKS",
    "Selection",
    "apart",
    "applied_after",
    "findings",
    "in_question",
    "matching",
    "named",
    "of_reversal",
    "pending",
    "refuse_without_down",
    "same_checksum",
    "same_content",
    "select",
    "shared_numbers",
    "statuses",
    "to_redo",
    "to_restart",
    "to_take_back",
    "unsettled",
]

_Named = TypeVar("_Named", "MigrationStatus", "Migration")

MARKS = frozenset({Event.MARKED, Event.MARKED_BY_HAND, Event.ADOPTED})
"""Events that record a migration without having run it to the end."""

_SHORTEST_PREFIX = 16
"""Digits of a checksum that the Node runner stores."""


class Selection(NamedTuple):
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
    if not stored or stored == actual:
        return True
    stored = stored.strip().lower()
    return len(stored) >= _SHORTEST_PREFIX and actual.startswith(stored)


def same_content(stored: str | None, migration: Migration) -> bool:
    """Whether a stored checksum is that of the file, or of one that differs by a BOM or by line endings.

    One whose line endings were mixed cannot be known by its checksum.
    """
    if stored == migration.checksum or same_checksum(stored, migration.checksum):
        return True
    if not _says_something(stored):
        return False
    return any(same_checksum(stored, form) for form in content_checksums(migration.source))


def _says_something(stored: str | None) -> bool:
    """Whether a stored checksum has digits enough to know a file by."""
    return stored is not None and len(stored.strip()) >= _SHORTEST_PREFIX


def in_question(migrations: Iterable[Migration], records: Iterable[Record]) -> tuple[str, ...]:
    """The applied migrations of which the kept text decides.

    Those that by their checksums are modified; and those that are missing, where a pending one may be theirs
    under a new name.
    """
    recorded = {record.name: record.checksum for record in records}
    on_disk = {migration.name: migration for migration in migrations}
    modified = [
        name
        for name, migration in on_disk.items()
        if name in recorded and not same_content(recorded[name], migration)
    ]
    is_pending = on_disk.keys() - recorded.keys()
    return (*modified, *(name for name in recorded if is_pending and name not in on_disk))


def statuses(
    migrations: Iterable[Migration],
    records: Iterable[Record],
    last_events: Mapping[str, LogEntry],
    progress: Mapping[str, Progress] = MappingProxyType({}),
    texts: Mapping[str, bytes] = MappingProxyType({}),
) -> tuple[MigrationStatus, ...]:
    """The status of every migration on disk or in the ledger, in the order of the files.

    Args:
        migrations: Those on disk.
        records: The ledger.
        last_events: The newest row of the log for each.
        progress: How far each partial one has come.
        texts: What the log has kept of those `in_question`.
    """
    on_disk = {migration.name: migration for migration in migrations}
    recorded = {record.name: record for record in records}
    # Those on disk come in order, or nearly so, and what is in order is sorted in one pass.
    names = sorted((*on_disk, *(name for name in recorded if name not in on_disk)), key=sort_key)
    last_applied = max((place for place, name in enumerate(names) if name in recorded), default=0)
    found = []
    for place, name in enumerate(names):
        migration, record, event = on_disk.get(name), recorded.get(name), last_events.get(name)
        if record:
            found.append(_of_applied(migration, record, event, progress, texts))
        else:
            halfway, is_late = progress.get(name), place < last_applied
            conditions = _conditions_of_pending(event, halfway, is_late=is_late)
            found.append(MigrationStatus(name, State.PENDING, conditions, migration, None, event, halfway))
    return _with_new_names(found)


def _of_applied(
    migration: Migration | None,
    record: Record,
    event: LogEntry | None,
    progress: Mapping[str, Progress],
    texts: Mapping[str, bytes],
) -> MigrationStatus:
    """The status of one that the ledger has; with the text that was applied, where its file is not that."""
    kept = _kept(record, texts)
    conditions = (Condition.MARKED,) if event and event.event in MARKS else ()
    odd = None
    if not migration:
        odd = Condition.MISSING
    elif not same_content(record.checksum, migration) and (
        kept is None or content(kept) != content(migration.source)
    ):
        odd = Condition.MODIFIED
    down = progress.get(down_of(record.name)) if progress else None
    return MigrationStatus(
        record.name,
        State.APPLIED,
        (*conditions, odd) if odd else conditions,
        migration,
        record,
        event,
        applied_source=kept if odd else None,
        down_progress=down if _is_half_way(down) else None,
    )


def _conditions_of_pending(
    event: LogEntry | None, halfway: Progress | None, *, is_late: bool
) -> tuple[Condition, ...]:
    conditions = []
    if event and event.event is Event.FAILED:
        conditions.append(Condition.FAILED)
    if _is_half_way(halfway):
        conditions.append(Condition.PARTIAL)
    if is_late:
        conditions.append(Condition.OUT_OF_ORDER)
    return tuple(conditions)


def _kept(record: Record, texts: Mapping[str, bytes]) -> bytes | None:
    """The text that a record stands for, if it is kept; another tool may have applied another one since."""
    text = texts.get(record.name)
    if text is None or not any(same_checksum(record.checksum, form) for form in file_checksums(text)):
        return None
    return text


def _with_new_names(found: Sequence[MigrationStatus]) -> tuple[MigrationStatus, ...]:
    """The statuses; of missing ones with the names of those pending that have the same content."""
    missing: defaultdict[str, list[Record]] = defaultdict(list)
    for status in found:
        if status.record and not status.migration and _says_something(status.record.checksum):
            missing[_beginning(status.record.checksum)].append(status.record)
    if not missing:
        return tuple(found)
    kept = {status.name: content(status.applied_source) for status in found if status.applied_source}
    names: defaultdict[str, list[str]] = defaultdict(list)
    for migration in pending(found):
        forms = {migration.checksum, *content_checksums(migration.source)}
        same = {
            record.name
            for form in forms
            for record in missing.get(_beginning(form), ())
            if same_checksum(record.checksum, form)
        }
        text = content(migration.source) if kept else b""
        same |= {
            record.name for group in missing.values() for record in group if kept.get(record.name) == text
        }
        for name in same:
            names[name].append(migration.name)
    return tuple(replace(status, renamed_to=tuple(names.get(status.name, ()))) for status in found)


def _beginning(checksum: str | None) -> str:
    """The digits that every stored checksum has, if it says something."""
    return (checksum or "").strip().lower()[:_SHORTEST_PREFIX]


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
        chosen = named(all_statuses, selection.only, "--only")
        if len(chosen) > 1:
            names = " and ".join(status.name for status in chosen)
            raise ConfigError(f"--only {selection.only} is ambiguous: {names}", remedy="give the file's name")
        if chosen[0].state is State.APPLIED:
            raise LedgerError(f"{chosen[0].name} is applied already", names=[chosen[0].name])
        todo = tuple(migration for migration in todo if migration.name == chosen[0].name)
    if selection.to is not None:
        last = max(sort_key(status.name) for status in named(all_statuses, selection.to, "--to"))
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
    chosen = named(all_statuses, selection.restart, "--restart")
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


def matching(all_statuses: Sequence[_Named], word: str) -> tuple[_Named, ...]:
    """The statuses, or migrations, that a file name (its `.sql` may be left out) or a number stands for."""
    for name in (word, f"{word}.sql"):
        if exact := tuple(status for status in all_statuses if status.name == name):
            return exact
    if not (word.isascii() and word.isdigit()) or len(word) > MAX_NAME:  # Python reads 4300 digits at most
        return ()
    return tuple(status for status in all_statuses if number_of(status.name) == int(word))


def named(all_statuses: Sequence[_Named], word: str, option: str) -> tuple[_Named, ...]:
    """As `matching`; raises `ConfigError` where that is nothing."""
    if found := matching(all_statuses, word):
        return found
    shown = option if "://" in word else f"{option} {word}"  # a URL in the wrong place may hold a password
    raise ConfigError(f"{shown}: there is no such migration", remedy="`fluxmig status` lists them")


# --- taking back ------------------------------------------------------------------------------------------


def to_take_back(
    all_statuses: Sequence[MigrationStatus], steps: int | None, to: str | None
) -> tuple[tuple[MigrationStatus, ...], str | None]:
    """The applied migrations to take back, newest first, and the one that all of them came after, if any.

    Args:
        all_statuses: Of the folder and the ledger, whose order of application counts.
        steps: At most so many; 1 where neither is given.
        to: All that was applied after this file name or number; after the last of them, where several
            applied files have that number. 0 is before the first, unless a file has that number.

    Raises:
        ConfigError: `to` names nothing; or both are given, or `steps` is less than 1.
        LedgerError: `to` names something that is not applied.
        RollbackError: Nothing is applied, and `to` does not say that this is well.
    """
    if steps is not None and steps < 1:
        raise ConfigError(f"steps must be 1 or more, and not {steps}")
    if steps is not None and to is not None:
        raise ConfigError("--to and --steps both say how far to go back", remedy="give one of the two")
    newest_first = tuple(reversed(_applied(all_statuses)))
    if to is None:
        _refuse_nothing(newest_first)
        return newest_first[: steps or 1], None
    if _is_zero(to) and not any(number_of(status.name) == 0 for status in all_statuses):
        return newest_first, None
    behind = {status.name for status in named(all_statuses, to, "--to")}
    for place, status in enumerate(newest_first):
        if status.name in behind:
            return newest_first[:place], status.name
    names = sorted(behind, key=sort_key)
    raise LedgerError(
        f"{' and '.join(names)} {_they(names, 'is', 'are')} not applied, so there is no way back to that",
        remedy="`fluxmig status` tells what is applied",
        names=names,
    )


def refuse_without_down(chosen: Iterable[MigrationStatus], *, otherwise: str = "") -> None:
    """Raises `RollbackError` where one of these has no down script, or its file is missing; it names all.

    Args:
        chosen: The migrations.
        otherwise: Another way out, to be told behind the first.
    """
    chosen = tuple(chosen)
    bare = tuple(status.name for status in chosen if status.migration and not status.migration.down)
    missing = tuple(status.name for status in chosen if not status.migration)
    if not bare and not missing:
        return
    said, ways = [], []
    if bare:
        said.append(f"{', '.join(bare)} {_they(bare, 'has', 'have')} no down script")
        ways.append(f"write {down_of(bare[0])}{_they(bare, '', ' and the others')}")
    if missing:
        said.append(f"{', '.join(missing)} {_they(missing, 'is', 'are')} not in the folder")
        ways.append(_they(missing, "bring the file back", "bring the files back"))
    remedy = f"{', '.join(ways)}{otherwise}"
    raise RollbackError(f"nothing was taken back: {'; '.join(said)}", remedy=remedy, names=(*bare, *missing))


def to_redo(all_statuses: Sequence[MigrationStatus], name: str | None) -> MigrationStatus:
    """The applied migration to take back and apply again; the last one applied by default.

    Raises:
        ConfigError: The name is unknown, or a number that several files have.
        LedgerError: It is not applied.
        RollbackError: Nothing is applied, or it has no down script, or its file is missing.
    """
    if name is None:
        applied = _applied(all_statuses)
        _refuse_nothing(applied)
        chosen = applied[-1:]
    else:
        chosen = named(all_statuses, name, "redo")
    if len(chosen) > 1:
        names = " and ".join(status.name for status in chosen)
        raise ConfigError(f"redo {name} is ambiguous: {names}", remedy="give the file's name")
    (status,) = chosen
    if status.state is State.PENDING:
        remedy = f"`fluxmig run --only {quote(status.name)}` applies it"
        raise LedgerError(
            f"{status.name} is not applied, so it cannot be redone", remedy=remedy, names=[status.name]
        )
    refuse_without_down(chosen)
    return status


def applied_after(all_statuses: Iterable[MigrationStatus], name: str) -> tuple[str, ...]:
    """The names of what was applied after a migration, in the order of application."""
    applied = [status.name for status in _applied(all_statuses)]
    return tuple(applied[applied.index(name) + 1 :])


def apart(
    down: Script, up: Script, *, product: str, has_transactional_ddl: bool | None, has_savepoints: bool = True
) -> str | None:
    """Why two scripts cannot share one transaction, in words; None where they can."""
    for script in (down, up):
        if script.mode is Mode.NO_TRANSACTION:
            return f"{script.path.name} runs without a transaction: {script.reason}"
    if has_transactional_ddl is None:
        return f"whether {product} rolls back what creates and drops is found out when something runs"
    if not has_transactional_ddl:
        return f"{product} does not roll back what creates and drops"
    if not has_savepoints:
        return f"{product} has no savepoints"
    if down.characteristics and up.characteristics and down.characteristics != up.characteristics:
        return "they ask for different isolation levels"
    return None


def of_reversal(
    all_statuses: Iterable[MigrationStatus], chosen: Sequence[MigrationStatus]
) -> tuple[Finding, ...]:
    """What to know before down scripts run: what they may not fit, and what no rollback is about."""
    modified, marked = _with(chosen, Condition.MODIFIED), _with(chosen, Condition.MARKED)
    found = []
    if modified:
        they = _they(modified, "it was", "they were")
        message = f"changed since {they} applied: {', '.join(modified)}"
        remedy = "down scripts run as they are now: see that they fit what was applied"
        found.append(Finding("modified", message, modified, remedy))
    if marked:
        message = f"recorded without having run to {_they(marked, 'its', 'their')} end: {', '.join(marked)}"
        remedy = "a down script also drops what was there before; `--record-only` removes the record alone"
        found.append(Finding("marked", message, marked, remedy))
    for name in _with(all_statuses, Condition.PARTIAL):
        message = f"{name} has stopped half-way and is not applied: a rollback leaves it as it is"
        remedy = "`fluxmig run` goes on with it, `fluxmig resolve` settles it"
        found.append(Finding("partial", message, (name,), remedy))
    return tuple(found)


def _applied(all_statuses: Iterable[MigrationStatus]) -> tuple[MigrationStatus, ...]:
    """In the order of application."""
    numbered = [(status.record.id, status) for status in all_statuses if status.record]
    return tuple(status for _, status in sorted(numbered, key=lambda each: each[0]))


def _refuse_nothing(applied: Sequence[MigrationStatus]) -> None:
    if not applied:
        raise RollbackError("nothing is applied, so there is nothing to roll back")


def _is_zero(word: str) -> bool:
    return set(word) == {"0"}


# --- what to know -----------------------------------------------------------------------------------------


def findings(all_statuses: Iterable[MigrationStatus], todo: Iterable[Migration]) -> tuple[Finding, ...]:
    """What is wrong with the applied migrations, and which of those about to run are out of order.

    Findings of kind "modified" and "out of order" are what `--strict` and `--strict-order` refuse, and a
    "renamed" one, where it is about to run, is refused always.
    """
    all_statuses = tuple(all_statuses)
    about = {migration.name for migration in todo}
    modified = _with(all_statuses, Condition.MODIFIED)
    gone = tuple(status for status in all_statuses if Condition.MISSING in status.conditions)
    missing = tuple(status.name for status in gone if not status.renamed_to)
    about = about.difference(*(status.renamed_to for status in gone))
    late = tuple(name for name in _with(all_statuses, Condition.OUT_OF_ORDER) if name in about)
    found = []
    if modified:
        found.append(
            Finding(
                "modified",
                f"changed since {_they(modified, 'it was', 'they were')} applied: {', '.join(modified)}",
                modified,
                "put the old text back, and write the change as a new migration; or"
                f" `fluxmig accept {_one(modified, 'NAME')}` if the edit is the right one; `fluxmig status"
                " --diff` shows it",
            )
        )
    if missing:
        found.append(
            Finding(
                "missing",
                f"applied, but not in the folder: {', '.join(missing)}",
                missing,
                "bring the file back, or check --migrations;"
                f" `fluxmig unmark {_one(missing, 'NAME')}` if it is gone for good",
            )
        )
    found += _renamed(gone)
    if late:
        last = [status.name for status in all_statuses if status.state is State.APPLIED][-1]
        found.append(
            Finding(
                "out of order",
                f"sorted before {last}, which is applied: {', '.join(late)}",
                late,
                "renumber it if it depends on what was applied since",
            )
        )
    return tuple(found)


def _renamed(gone: Iterable[MigrationStatus]) -> list[Finding]:
    """One finding for those missing that have the same pending ones' content."""
    groups: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for status in gone:
        if status.renamed_to:
            groups[status.renamed_to].append(status.name)
    found = []
    for new, old in groups.items():
        if len(old) == len(new) == 1:
            message = f"{old[0]} is now {new[0]}: same content"
            how = f"`fluxmig rename {quote(old[0])} {quote(new[0])}` mends the ledger"
        else:
            message = f"applied, but not in the folder: {', '.join(old)}"
            message += f"; pending, with the same content: {', '.join(new)}"
            how = f"`fluxmig rename {_one(old, 'OLD')} NEW` mends the ledger"
        remedy = f"{how}; `fluxmig unmark {_one(old, 'OLD')}` if it shall run again"
        found.append(Finding("renamed", message, (*old, *new), remedy))
    return found


def shared_numbers(all_statuses: Iterable[MigrationStatus]) -> tuple[Finding, ...]:
    """The numbers that several files of the folder have; they are compared as integers."""
    groups: defaultdict[int, list[MigrationStatus]] = defaultdict(list)
    for status in all_statuses:
        if status.migration and status.migration.number is not None:
            groups[status.migration.number].append(status)
    found = []
    for number, group in groups.items():
        names = tuple(status.name for status in group)
        todo = [status.name for status in group if status.state is State.PENDING]
        if len(names) > 1:
            message = f"number {number:03d} is shared by {', '.join(names)}"
            remedy = "they are applied, so leave their names as they are"
            if todo:
                remedy = f"they run in the order of their names; to have another, renumber {', '.join(todo)}"
            found.append(Finding("number", message, names, remedy))
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
                f" `fluxmig resolve {quote(name)} --retry` has it begin with statement 1"
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
                f"make what is missing in a new migration, then `fluxmig resolve {quote(name)} --done`;"
                f" or `fluxmig resolve {quote(name)} --retry` and run it with --on-duplicate complete"
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


def _one(names: Sequence[str], otherwise: str) -> str:
    """What a command in a remedy is about."""
    return quote(names[0]) if len(names) == 1 else otherwise


def _they(names: Sequence[str], one: str, many: str) -> str:
    return one if len(names) == 1 else many
