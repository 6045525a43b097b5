"""Names and statuses -> what a person has the ledger say, or why that would not be true. Pure.

Each function takes the statuses of all migrations, in the order of the files, and words: a file name, whose
`.sql` may be left out, or a number that one file alone has. Naming one twice is naming it once. The changes
are in the order of the files. All of them raise

- `ConfigError` where a word stands for nothing, or for several;
- `LedgerError` where what is asked for does not fit what is so; its message says what is.
"""

from __future__ import annotations

import difflib
from shlex import quote
from typing import TYPE_CHECKING

from fluxmig.content import content
from fluxmig.errors import ConfigError, LedgerError
from fluxmig.layouts.numbered import sort_key
from fluxmig.model import Action, Change, Condition, Event, Settlement, State
from fluxmig.planner import matching, same_content

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fluxmig.model import Migration, MigrationStatus, Progress

__all__ = ["accept", "mark", "refuse_if_changed", "refuse_unfit", "rename", "resolve", "unmark"]

_Refusal = tuple[str, str, str | None]
"""A migration, what is true of it, and the way out."""


def mark(
    statuses: Sequence[MigrationStatus],
    names: Sequence[str] = (),
    *,
    through: str | None = None,
    all_pending: bool = False,
) -> tuple[Change, ...]:
    """Pending migrations are recorded as applied: those named, all, or all up to and including one.

    Without names there may be nothing to do.
    """
    if bool(names) + (through is not None) + all_pending != 1:
        raise ConfigError(
            "which migrations to mark is not said, or said in two ways",
            remedy="give their names, or --through NAME, or --all",
        )
    if names:
        chosen = _chosen(statuses, names)
    else:
        last = None if through is None else sort_key(_one(statuses, through).name)
        chosen = tuple(
            status
            for status in statuses
            if status.state is State.PENDING and (last is None or sort_key(status.name) <= last)
        )
    refusals: list[_Refusal] = []
    for status in chosen:
        if status.state is State.APPLIED:
            refusals.append((status.name, _truth(status, "already"), None))
        elif Condition.PARTIAL in status.conditions:
            refusals.append((status.name, _truth(status), _resolve(status)))
    return _changes(Action.MARK, chosen, refusals)


def unmark(statuses: Sequence[MigrationStatus], names: Sequence[str]) -> tuple[Change, ...]:
    """The records of migrations go, however they came to be."""
    chosen = _chosen(statuses, names)
    refusals = [
        (status.name, f"{_truth(status)}: there is no record to remove", None)
        for status in chosen
        if status.state is State.PENDING
    ]
    return _changes(Action.UNMARK, chosen, refusals)


def accept(statuses: Sequence[MigrationStatus], names: Sequence[str]) -> tuple[Change, ...]:
    """The edited files of applied migrations are the right ones; so is a file of no recorded checksum."""
    chosen = _chosen(statuses, names)
    refusals: list[_Refusal] = []
    for status in chosen:
        if status.state is State.PENDING:
            refusals.append((status.name, f"{_truth(status)}: the next run takes the file as it is", None))
        elif Condition.MISSING in status.conditions:
            remedy = "bring the file back, or `fluxmig unmark` removes the record"
            refusals.append((status.name, "is applied, but not in the folder", remedy))
        elif Condition.MODIFIED not in status.conditions and status.record and status.record.checksum:
            refusals.append((status.name, "is unchanged since it was applied", None))
    return _changes(Action.ACCEPT, chosen, refusals)


def resolve(
    statuses: Sequence[MigrationStatus], names: Sequence[str], settlement: Settlement
) -> tuple[Change, ...]:
    """Migrations that failed, stopped half-way or were marked for a duplicate are settled.

    `DONE`: what failed or is partial is recorded as applied, and the record of a marked one is right.
    `RETRY`: the next run begins with its first statement; for that the record of a marked one goes. Of an
    applied one whose down script stopped half-way, the next rollback begins with the first statement.
    """
    changes: list[Change] = []
    refusals: list[_Refusal] = []
    for status in _chosen(statuses, names):
        settled = _settled(status, settlement)
        if isinstance(settled, Action):
            changes.append(Change(settled, status))
        else:
            refusals.append(settled)
    _refuse(refusals)
    return tuple(changes)


def rename(statuses: Sequence[MigrationStatus], old: str, new: str) -> tuple[Change, ...]:
    """The record of a migration whose file has got another name gets that name."""
    was, now = _one(statuses, old), _one(statuses, new)
    refusals: list[_Refusal] = []
    if was.state is State.PENDING:
        refusals.append((was.name, f"{_truth(was)}: there is no record to rename", None))
    elif was.migration:
        refusals.append((was.name, "is still in the folder", None))
    elif was.down_progress:
        remedy = f"`fluxmig resolve {quote(was.name)} --retry`, once what it did is undone"
        refusals.append((was.name, _truth(was), remedy))
    if now.record:
        truth = _truth(now, "already") if now.migration else "is not in the folder"
        refusals.append((now.name, truth, None))
    elif Condition.PARTIAL in now.conditions:
        refusals.append((now.name, _truth(now), _resolve(now)))
    _refuse(refusals)
    if was.record and now.migration and not _is_same(was, now.migration):
        raise LedgerError(
            f"{now.name} is not what was applied as {was.name}: the ledger has the checksum"
            f" {was.record.checksum}, and the file {now.migration.checksum}",
            remedy=f"if it stands for the same all the same: `fluxmig unmark {quote(was.name)}`, and"
            f" `fluxmig mark {quote(now.name)}`",
            names=[was.name, now.name],
        )
    return (Change(Action.RENAME, was, now),)


def _is_same(was: MigrationStatus, file: Migration) -> bool:
    """Whether a file is what was applied, by its checksum, or by the text that the log has kept."""
    checksum = was.record.checksum if was.record else None
    kept = was.applied_source
    return same_content(checksum, file) or (kept is not None and content(kept) == content(file.source))


def refuse_if_changed(changes: Iterable[Change], statuses: Iterable[MigrationStatus]) -> None:
    """Raises `LedgerError` where what the changes were decided on is no longer so.

    Args:
        changes: What is about to be written.
        statuses: Of their migrations at least, as they are now.
    """
    by_name = {status.name: status for status in statuses}
    for before in (status for change in changes for status in change.statuses):
        now = by_name.get(before.name)
        if now is None or _facts(now) != _facts(before):
            truth = _truth(now) if now else "is neither in the ledger nor in the folder"
            raise LedgerError(
                f"meanwhile somebody was faster: {before.name} {truth}",
                remedy="nothing was changed; `fluxmig status` shows how things stand",
                names=[before.name],
            )


def refuse_unfit(reason: str | None) -> None:
    """Raises `ConfigError` for a reason that no database can keep."""
    if reason is not None and ("\0" in reason or any("\ud800" <= letter <= "\udfff" for letter in reason)):
        raise ConfigError("the reason is not UTF-8, or holds a NUL", remedy="write it in plain words")


# --- words ------------------------------------------------------------------------------------------------


def _chosen(statuses: Sequence[MigrationStatus], names: Sequence[str]) -> tuple[MigrationStatus, ...]:
    """The statuses that the words stand for, in the order of the files."""
    if not names:
        raise ConfigError("no migration is named", remedy="give one name, or several")
    found = {_one(statuses, name).name for name in names}
    return tuple(status for status in statuses if status.name in found)


def _one(statuses: Sequence[MigrationStatus], word: str) -> MigrationStatus:
    found = matching(statuses, word)
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(status.name for status in found)
        raise ConfigError(f"{word} is ambiguous: {names}", remedy="give the file's name")
    remedy = "`fluxmig status` lists them"
    if "://" in word:  # a URL in the wrong place may hold a password
        raise ConfigError("there is no such migration: a URL is no name", remedy=remedy)
    known = [status.name for status in statuses]
    file = word.rpartition("/")[2]  # of a path, as a shell completes it
    near = [file] if file in known else difflib.get_close_matches(file, known, cutoff=0.8)
    if near:
        remedy = f"did you mean {' or '.join(near)}? {remedy}"
    raise ConfigError(f"{word or 'an empty name'}: there is no such migration", remedy=remedy)


# --- decisions --------------------------------------------------------------------------------------------


def _settled(status: MigrationStatus, settlement: Settlement) -> Action | _Refusal:
    is_done, event = settlement is Settlement.DONE, status.last_event
    if status.down_progress:
        if not is_done:
            return Action.RETRY_DOWN
        remedy = (
            f"`fluxmig rollback` goes on with it, `fluxmig resolve {quote(status.name)} --retry` has it begin"
            f" with statement 1, `fluxmig unmark {quote(status.name)}` removes the record, once the rest is"
            " done by hand"
        )
        return status.name, _truth(status), remedy
    if {Condition.FAILED, Condition.PARTIAL} & set(status.conditions):
        return Action.RECORD if is_done else Action.RETRY
    if status.state is State.PENDING:
        remedy = "`fluxmig run` applies it, `fluxmig mark` records it without running"
        return status.name, "is pending, and no attempt at it has failed", remedy
    if event and event.event is Event.MARKED:
        if is_done:
            return Action.SETTLE
        if status.migration:
            return Action.RERUN
        remedy = "bring the file back, or `fluxmig unmark` removes the record"
        return status.name, "is marked, but not in the folder, so that it cannot run", remedy
    return status.name, f"{_truth(status)}: nothing of it is to be settled", None


def _changes(
    action: Action, chosen: Iterable[MigrationStatus], refusals: Sequence[_Refusal]
) -> tuple[Change, ...]:
    _refuse(refusals)
    return tuple(Change(action, status) for status in chosen)


def _refuse(refusals: Sequence[_Refusal]) -> None:
    """Raises `LedgerError` with all of them, where there are any."""
    if refusals:
        remedies = dict.fromkeys(remedy for _, _, remedy in refusals if remedy)
        raise LedgerError(
            "\n".join(f"{name} {truth}" for name, truth, _ in refusals),
            remedy="\n".join(remedies) or None,
            names=[name for name, _, _ in refusals],
        )


def _resolve(status: MigrationStatus) -> str:
    return (
        f"`fluxmig resolve {quote(status.name)} --done` records it without the rest, `--retry` has it begin"
        " with statement 1"
    )


# --- truths -----------------------------------------------------------------------------------------------


def _truth(status: MigrationStatus, already: str = "") -> str:
    """What is so, to be read behind the migration's name."""
    record = status.record
    if record:
        since = f", since {record.applied_at.isoformat(' ', 'seconds')}" if record.applied_at else ""
        by = f" by {record.applied_by}" if record.applied_by else ""
        down = f"; its down script stopped half-way: {_done(status.down_progress)}"
        return f"is applied {already}".rstrip() + since + by + (down if status.down_progress else "")
    if Condition.PARTIAL in status.conditions:
        return f"is partial: {_done(status.progress)}"
    return "failed at its last attempt" if Condition.FAILED in status.conditions else "is pending"


def _done(progress: Progress | None) -> str:
    done = progress.done if progress else 0
    if not done:
        return "it was begun, and none of its statements is known to be done"
    return "1 of its statements is done" if done == 1 else f"{done} of its statements are done"


def _facts(status: MigrationStatus) -> tuple[object, ...]:
    """What another runner, or person, could have changed."""
    return status.record, status.last_event, status.progress, status.down_progress
