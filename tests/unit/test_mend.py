"""What a person may have the ledger say: every decision, and every refusal in its words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fluxmig import mend, planner
from fluxmig.errors import ConfigError, FluxmigError, LedgerError
from fluxmig.model import Action, Change, Event, LogEntry, Migration, Progress, Record, Settlement

if TYPE_CHECKING:
    from collections.abc import Callable

    from fluxmig.model import MigrationStatus

SUM, OTHER, THIRD = ("0123456789abcdef" * 4, "fedcba9876543210" * 4, "00ff" * 16)
AT = datetime(2026, 1, 5, 9, 30, 0, 123456, tzinfo=UTC)
SINCE = "since 2026-01-05 09:30:00+00:00 by app"

# By file name: the checksum in the folder, that in the ledger, the log's newest row, and the progress.
DISK = {
    "001_applied.sql": SUM,
    "002_edited.sql": SUM,
    "004_marked.sql": SUM,
    "005_lossless.sql": SUM,
    "006_by_hand.sql": SUM,
    "007_adopted.sql": SUM,
    "008_resolved.sql": SUM,
    "009_bare.sql": SUM,
    "011_pending.sql": SUM,
    "012_failed.sql": SUM,
    "013_partial.sql": SUM,
    "014_cut_off.sql": SUM,
    "015_first.sql": SUM,
    "015_second.sql": SUM,
    "016_new_name.sql": THIRD,
    "seeds.sql": SUM,
}
RECORDS = {
    "001_applied.sql": SUM[:16],
    "002_edited.sql": OTHER,
    "003_missing.sql": THIRD[:16],
    "004_marked.sql": SUM,
    "005_lossless.sql": SUM,
    "006_by_hand.sql": SUM,
    "007_adopted.sql": SUM,
    "008_resolved.sql": SUM,
    "009_bare.sql": None,
    "010_marked_and_gone.sql": SUM,
}
EVENTS = {
    "004_marked.sql": LogEntry(Event.MARKED, "004_marked.sql", "exists", statements=9, lost=1, unchecked=0),
    "005_lossless.sql": LogEntry(
        Event.MARKED, "005_lossless.sql", "exists", statements=1, lost=0, unchecked=0
    ),
    "006_by_hand.sql": LogEntry(Event.MARKED_BY_HAND, "006_by_hand.sql"),
    "007_adopted.sql": LogEntry(Event.ADOPTED, "007_adopted.sql"),
    "008_resolved.sql": LogEntry(Event.RESOLVED, "008_resolved.sql", "as done"),
    "010_marked_and_gone.sql": LogEntry(Event.MARKED, "010_marked_and_gone.sql", "exists"),
    "012_failed.sql": LogEntry(Event.FAILED, "012_failed.sql", "syntax error"),
    "013_partial.sql": LogEntry(Event.FAILED, "013_partial.sql", "syntax error"),
}
PROGRESS = {
    "012_failed.sql": Progress(0, "", interrupted=False),
    "013_partial.sql": Progress(2, SUM, interrupted=False),
    "014_cut_off.sql": Progress(0, "", interrupted=True),
}
DOWN = {"001_applied.down.sql": Progress(1, SUM, interrupted=False)}


def statuses(
    disk: dict[str, str] = DISK,
    records: dict[str, str | None] = RECORDS,
    events: dict[str, LogEntry] = EVENTS,
    progress: dict[str, Progress] = PROGRESS,
) -> tuple[MigrationStatus, ...]:
    return planner.statuses(
        [Migration(name, None, Path("migrations", name), checksum, b"") for name, checksum in disk.items()],
        [
            Record(number, name, AT, 7, checksum, "app")
            for number, (name, checksum) in enumerate(records.items(), start=1)
        ],
        events,
        progress,
    )


ALL = statuses()
HALF_DOWN = statuses(progress={**PROGRESS, **DOWN})
SOUND = [
    "011_pending.sql",
    "012_failed.sql",
    "015_first.sql",
    "015_second.sql",
    "016_new_name.sql",
    "seeds.sql",
]
WHOLE = statuses(disk={name: checksum for name, checksum in DISK.items() if name[:3] not in {"013", "014"}})


def told(error: FluxmigError) -> tuple[object, ...]:
    return type(error), error.message, error.remedy, getattr(error, "names", None)


def made(changes: tuple[Change, ...]) -> list[tuple[str, Action]]:
    return [(change.name, change.action) for change in changes]


# --- words ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["011_pending.sql"], ["011_pending.sql"]),
        (["011_pending"], ["011_pending.sql"]),
        (["11"], ["011_pending.sql"]),
        (["011"], ["011_pending.sql"]),
        (["0000011"], ["011_pending.sql"]),
        (["seeds"], ["seeds.sql"]),
        (["11", "011_pending", "011_pending.sql", "11"], ["011_pending.sql"]),
        (["seeds", "15_first", "11"], None),
        (["seeds", "015_second", "11"], ["011_pending.sql", "015_second.sql", "seeds.sql"]),
    ],
)
def test_words(words: list[str], names: list[str] | None) -> None:
    if names is None:
        with pytest.raises(ConfigError, match=r"^15_first: there is no such migration\n"):
            mend.mark(ALL, words)
    else:
        assert [change.name for change in mend.mark(ALL, words)] == names


def test_a_name_comes_before_the_name_with_sql_behind_it() -> None:
    """Another tool may have recorded names without it."""
    both = statuses(records={"001": SUM, "001.sql": SUM, "1": SUM})
    assert [change.name for change in mend.unmark(both, ["001", "1"])] == ["001", "1"]
    assert [change.name for change in mend.unmark(both, ["001.sql"])] == ["001.sql"]


LISTS = "`fluxmig status` lists them"
UNKNOWN: dict[str, tuple[str, str, str]] = {
    "a number that no file has": ("99", "99: there is no such migration", LISTS),
    "nothing near": ("zzz", "zzz: there is no such migration", LISTS),
    "another case": (
        "SEEDS.sql",
        "SEEDS.sql: there is no such migration",
        LISTS,
    ),
    "mistyped": (
        "011_pendign.sql",
        "011_pendign.sql: there is no such migration",
        f"did you mean 011_pending.sql? {LISTS}",
    ),
    "a path": (
        "./migrations/011_pending.sql",
        "./migrations/011_pending.sql: there is no such migration",
        f"did you mean 011_pending.sql? {LISTS}",
    ),
    "empty": ("", "an empty name: there is no such migration", LISTS),
    "no ASCII digit": ("²", "²: there is no such migration", LISTS),
    "a URL": ("postgresql://ada:secret@db/x", "there is no such migration: a URL is no name", LISTS),
    "a URL that ends like a file": (
        "postgresql://ada:secret@db/011_pending.sql",
        "there is no such migration: a URL is no name",
        LISTS,
    ),
    "two files with one number": (
        "15",
        "15 is ambiguous: 015_first.sql and 015_second.sql",
        "give the file's name",
    ),
}


@pytest.mark.parametrize(("word", "message", "remedy"), UNKNOWN.values(), ids=UNKNOWN)
@pytest.mark.parametrize(
    "act",
    [
        lambda word: mend.mark(ALL, ["11", word]),
        lambda word: mend.mark(ALL, through=word),
        lambda word: mend.unmark(ALL, [word, "1"]),
        lambda word: mend.accept(ALL, [word]),
        lambda word: mend.resolve(ALL, [word], Settlement.DONE),
        lambda word: mend.resolve(ALL, [word], Settlement.RETRY),
        lambda word: mend.rename(ALL, word, "016_new_name.sql"),
        lambda word: mend.rename(ALL, "3", word),
    ],
    ids=["mark", "mark through", "unmark", "accept", "resolve done", "resolve retry", "rename old", "new"],
)
def test_words_that_stand_for_nothing(
    act: Callable[[str], object], word: str, message: str, remedy: str
) -> None:
    with pytest.raises(FluxmigError) as raised:
        act(word)
    assert told(raised.value) == (ConfigError, message, remedy, None)


@pytest.mark.parametrize(
    "act",
    [
        lambda: mend.unmark(ALL, []),
        lambda: mend.accept(ALL, []),
        lambda: mend.resolve(ALL, [], Settlement.DONE),
    ],
)
def test_no_name_at_all(act: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match=r"^no migration is named\n"):
        act()


# --- mark -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "through", "all_pending"),
    [
        ([], None, False),
        (["11"], "11", False),
        (["11"], None, True),
        ([], "11", True),
        (["11"], "11", True),
        ([""], "", False),
    ],
)
def test_which_to_mark_is_said_in_one_way(
    names: list[str], through: str | None, *, all_pending: bool
) -> None:
    with pytest.raises(ConfigError) as raised:
        mend.mark(ALL, names, through=through, all_pending=all_pending)
    assert told(raised.value) == (
        ConfigError,
        "which migrations to mark is not said, or said in two ways",
        "give their names, or --through NAME, or --all",
        None,
    )


@pytest.mark.parametrize(
    ("through", "names"),
    [
        ("11", SOUND[:1]),
        ("012_failed", SOUND[:2]),
        ("015_first", SOUND[:3]),
        ("015_second", SOUND[:4]),
        ("seeds", SOUND),
        ("1", []),
        ("003_missing", []),
    ],
)
def test_mark_through(through: str, names: list[str]) -> None:
    assert made(mend.mark(WHOLE, through=through)) == [(name, Action.MARK) for name in names]


def test_mark_through_something_applied_takes_what_is_pending_before_it() -> None:
    late = statuses(disk={**DISK, "000_late.sql": SUM, "002_later.sql": SUM})
    assert [change.name for change in mend.mark(late, through="1")] == ["000_late.sql"]
    assert [change.name for change in mend.mark(late, through="6")] == ["000_late.sql", "002_later.sql"]


def test_mark_all() -> None:
    assert made(mend.mark(WHOLE, all_pending=True)) == [(name, Action.MARK) for name in SOUND]
    nothing = statuses(disk={}, events={}, progress={})
    assert mend.mark(nothing, all_pending=True) == ()
    assert mend.mark((), all_pending=True) == ()


def test_a_change_holds_what_it_was_decided_on() -> None:
    (change,) = mend.mark(ALL, ["11"])
    (status,) = [status for status in ALL if status.name == "011_pending.sql"]
    assert change == Change(Action.MARK, status)
    assert change.statuses == (status,)


def resolve_it(name: str) -> str:
    return (
        f"`fluxmig resolve {name} --done` records it without the rest, `--retry` has it begin with"
        " statement 1"
    )


PARTIAL = "013_partial.sql is partial: 2 of its statements are done"
CUT_OFF = "014_cut_off.sql is partial: it was begun, and none of its statements is known to be done"
BOTH = (resolve_it("013_partial.sql"), resolve_it("014_cut_off.sql"))
NO_RECORD = ": there is no record to remove"
HALF_WAY = f"is applied, {SINCE}; its down script stopped half-way: 1 of its statements is done"
GO_ON = (
    "`fluxmig rollback` goes on with it, `fluxmig resolve 001_applied.sql --retry` has it begin with"
    " statement 1, `fluxmig unmark 001_applied.sql` removes the record, once the rest is done by hand"
)
ANOTHER = (
    "011_pending.sql is not what was applied as 003_missing.sql: the ledger has the checksum"
    f" {THIRD[:16]}, and the file {SUM}"
)
INSTEAD = (
    "if it stands for the same all the same: `fluxmig unmark 003_missing.sql`, and `fluxmig mark"
    " 011_pending.sql`"
)
REFUSED: dict[str, tuple[Callable[[], object], str, str | None, tuple[str, ...]]] = {
    "mark: applied": (
        lambda: mend.mark(ALL, ["1"]),
        f"001_applied.sql is applied already, {SINCE}",
        None,
        ("001_applied.sql",),
    ),
    "mark: in the ledger, and missing": (
        lambda: mend.mark(ALL, ["3"]),
        f"003_missing.sql is applied already, {SINCE}",
        None,
        ("003_missing.sql",),
    ),
    "mark: marked": (
        lambda: mend.mark(ALL, ["4"]),
        f"004_marked.sql is applied already, {SINCE}",
        None,
        ("004_marked.sql",),
    ),
    "mark: partial": (lambda: mend.mark(ALL, ["13"]), PARTIAL, BOTH[0], ("013_partial.sql",)),
    "mark: cut off": (lambda: mend.mark(ALL, ["14"]), CUT_OFF, BOTH[1], ("014_cut_off.sql",)),
    "mark: all that is wrong is told at once": (
        lambda: mend.mark(ALL, ["13", "11", "6", "12"]),
        f"006_by_hand.sql is applied already, {SINCE}\n{PARTIAL}",
        BOTH[0],
        ("006_by_hand.sql", "013_partial.sql"),
    ),
    "mark: partial among all": (
        lambda: mend.mark(ALL, all_pending=True),
        f"{PARTIAL}\n{CUT_OFF}",
        "\n".join(BOTH),
        ("013_partial.sql", "014_cut_off.sql"),
    ),
    "mark: partial among those through one": (
        lambda: mend.mark(ALL, through="13"),
        PARTIAL,
        BOTH[0],
        ("013_partial.sql",),
    ),
    "unmark: pending": (
        lambda: mend.unmark(ALL, ["1", "11"]),
        "011_pending.sql is pending: there is no record to remove",
        None,
        ("011_pending.sql",),
    ),
    "unmark: failed, and partial": (
        lambda: mend.unmark(ALL, ["12", "13"]),
        f"012_failed.sql failed at its last attempt{NO_RECORD}\n{PARTIAL}{NO_RECORD}",
        None,
        ("012_failed.sql", "013_partial.sql"),
    ),
    "accept: unchanged": (
        lambda: mend.accept(ALL, ["1", "2"]),
        "001_applied.sql is unchanged since it was applied",
        None,
        ("001_applied.sql",),
    ),
    "accept: marked, and unchanged": (
        lambda: mend.accept(ALL, ["4"]),
        "004_marked.sql is unchanged since it was applied",
        None,
        ("004_marked.sql",),
    ),
    "accept: missing": (
        lambda: mend.accept(ALL, ["3"]),
        "003_missing.sql is applied, but not in the folder",
        "bring the file back, or `fluxmig unmark` removes the record",
        ("003_missing.sql",),
    ),
    "accept: pending": (
        lambda: mend.accept(ALL, ["11"]),
        "011_pending.sql is pending: the next run takes the file as it is",
        None,
        ("011_pending.sql",),
    ),
    "resolve: applied": (
        lambda: mend.resolve(ALL, ["1"], Settlement.DONE),
        f"001_applied.sql is applied, {SINCE}: nothing of it is to be settled",
        None,
        ("001_applied.sql",),
    ),
    "resolve: by hand, adopted and resolved are settled": (
        lambda: mend.resolve(ALL, ["6", "7", "8", "4"], Settlement.RETRY),
        "\n".join(
            f"{name} is applied, {SINCE}: nothing of it is to be settled"
            for name in ("006_by_hand.sql", "007_adopted.sql", "008_resolved.sql")
        ),
        None,
        ("006_by_hand.sql", "007_adopted.sql", "008_resolved.sql"),
    ),
    "resolve: pending": (
        lambda: mend.resolve(ALL, ["11"], Settlement.RETRY),
        "011_pending.sql is pending, and no attempt at it has failed",
        "`fluxmig run` applies it, `fluxmig mark` records it without running",
        ("011_pending.sql",),
    ),
    "resolve --retry: marked, and missing": (
        lambda: mend.resolve(ALL, ["10"], Settlement.RETRY),
        "010_marked_and_gone.sql is marked, but not in the folder, so that it cannot run",
        "bring the file back, or `fluxmig unmark` removes the record",
        ("010_marked_and_gone.sql",),
    ),
    "resolve --done: its down script is half-way": (
        lambda: mend.resolve(HALF_DOWN, ["1"], Settlement.DONE),
        f"001_applied.sql {HALF_WAY}",
        GO_ON,
        ("001_applied.sql",),
    ),
    "rename: the old file is there": (
        lambda: mend.rename(ALL, "1", "16"),
        "001_applied.sql is still in the folder",
        None,
        ("001_applied.sql",),
    ),
    "rename: the old one is pending": (
        lambda: mend.rename(ALL, "11", "16"),
        "011_pending.sql is pending: there is no record to rename",
        None,
        ("011_pending.sql",),
    ),
    "rename: the new one is applied": (
        lambda: mend.rename(ALL, "3", "2"),
        f"002_edited.sql is applied already, {SINCE}",
        None,
        ("002_edited.sql",),
    ),
    "rename: the new file is not there": (
        lambda: mend.rename(ALL, "3", "10"),
        "010_marked_and_gone.sql is not in the folder",
        None,
        ("010_marked_and_gone.sql",),
    ),
    "rename: to itself": (
        lambda: mend.rename(ALL, "3", "003_missing"),
        "003_missing.sql is not in the folder",
        None,
        ("003_missing.sql",),
    ),
    "rename: the wrong way round": (
        lambda: mend.rename(ALL, "16", "3"),
        "016_new_name.sql is pending: there is no record to rename\n003_missing.sql is not in the folder",
        None,
        ("016_new_name.sql", "003_missing.sql"),
    ),
    "rename: the new one is partial": (
        lambda: mend.rename(ALL, "3", "13"),
        PARTIAL,
        BOTH[0],
        ("013_partial.sql",),
    ),
    "rename: another file": (
        lambda: mend.rename(ALL, "3", "11"),
        ANOTHER,
        INSTEAD,
        ("003_missing.sql", "011_pending.sql"),
    ),
    "rename: the down script is half-way": (
        lambda: mend.rename(
            statuses(progress={"003_missing.down.sql": Progress(1, SUM, interrupted=False)}), "3", "16"
        ),
        f"003_missing.sql {HALF_WAY}",
        "`fluxmig resolve 003_missing.sql --retry`, once what it did is undone",
        ("003_missing.sql",),
    ),
}


@pytest.mark.parametrize(("act", "message", "remedy", "names"), REFUSED.values(), ids=REFUSED)
def test_refused(act: Callable[[], object], message: str, remedy: str | None, names: tuple[str, ...]) -> None:
    with pytest.raises(FluxmigError) as raised:
        act()
    assert told(raised.value) == (LedgerError, message, remedy, names)


@pytest.mark.parametrize(
    ("record", "truth"),
    [
        (Record(1, "1.sql"), "1.sql is applied already"),
        (Record(1, "1.sql", AT), "1.sql is applied already, since 2026-01-05 09:30:00+00:00"),
        (Record(1, "1.sql", applied_by="ada"), "1.sql is applied already by ada"),
    ],
)
def test_rows_of_other_tools_may_lack_everything(record: Record, truth: str) -> None:
    found = planner.statuses([], [record], {})
    with pytest.raises(LedgerError) as raised:
        mend.mark(found, ["1.sql"])
    assert raised.value.message == truth


# --- the others -------------------------------------------------------------------------------------------


def test_unmark_takes_whatever_is_recorded() -> None:
    assert made(mend.unmark(ALL, ["10", "3", "1", "6", "4", "2"])) == [
        ("001_applied.sql", Action.UNMARK),
        ("002_edited.sql", Action.UNMARK),
        ("003_missing.sql", Action.UNMARK),
        ("004_marked.sql", Action.UNMARK),
        ("006_by_hand.sql", Action.UNMARK),
        ("010_marked_and_gone.sql", Action.UNMARK),
    ]
    assert made(mend.unmark(HALF_DOWN, ["1"])) == [("001_applied.sql", Action.UNMARK)]


def test_accept_takes_what_was_edited_and_what_has_no_checksum() -> None:
    assert made(mend.accept(ALL, ["2", "9"])) == [
        ("002_edited.sql", Action.ACCEPT),
        ("009_bare.sql", Action.ACCEPT),
    ]


@pytest.mark.parametrize(
    ("name", "done", "retry"),
    [
        ("004_marked.sql", Action.SETTLE, Action.RERUN),
        ("005_lossless.sql", Action.SETTLE, Action.RERUN),
        ("010_marked_and_gone.sql", Action.SETTLE, None),
        ("012_failed.sql", Action.RECORD, Action.RETRY),
        ("013_partial.sql", Action.RECORD, Action.RETRY),
        ("014_cut_off.sql", Action.RECORD, Action.RETRY),
    ],
)
def test_resolve(name: str, done: Action, retry: Action | None) -> None:
    assert made(mend.resolve(ALL, [name], Settlement.DONE)) == [(name, done)]
    if retry:
        assert made(mend.resolve(ALL, [name], Settlement.RETRY)) == [(name, retry)]


def test_resolve_several() -> None:
    assert made(mend.resolve(ALL, ["13", "4"], Settlement.DONE)) == [
        ("004_marked.sql", Action.SETTLE),
        ("013_partial.sql", Action.RECORD),
    ]


@pytest.mark.parametrize("name", ["001_applied", "004_marked"])
def test_a_down_script_that_is_half_way_comes_before_a_mark(name: str) -> None:
    down = {f"{name}.down.sql": Progress(0, "", interrupted=True)}
    assert made(mend.resolve(statuses(progress=down), [name], Settlement.RETRY)) == [
        (f"{name}.sql", Action.RETRY_DOWN)
    ]


def test_a_down_script_that_failed_at_once_is_nothing_to_settle() -> None:
    found = statuses(progress={"001_applied.down.sql": Progress(0, "", interrupted=False)})
    with pytest.raises(LedgerError, match=r"nothing of it is to be settled$"):
        mend.resolve(found, ["1"], Settlement.RETRY)


@pytest.mark.parametrize("checksum", [THIRD[:16], THIRD, THIRD.upper(), None, ""])
def test_rename(checksum: str | None) -> None:
    found = statuses(records={**RECORDS, "003_missing.sql": checksum})
    (change,) = mend.rename(found, "3", "16")
    assert (change.action, change.name) == (Action.RENAME, "003_missing.sql")
    assert change.to is not None
    assert change.to.name == "016_new_name.sql"
    assert [status.name for status in change.statuses] == ["003_missing.sql", "016_new_name.sql"]


def test_rename_to_one_that_failed() -> None:
    """Somebody renamed the file, and ran it again."""
    found = statuses(records={**RECORDS, "003_missing.sql": SUM})
    (change,) = mend.rename(found, "003_missing", "012_failed")
    assert change.action is Action.RENAME


# --- meanwhile --------------------------------------------------------------------------------------------

PENDING, APPLIED = mend.mark(ALL, ["11"]), mend.unmark(ALL, ["1"])
RENAMED = mend.rename(ALL, "3", "16")
MEANWHILE: dict[str, tuple[tuple[Change, ...], tuple[MigrationStatus, ...], str]] = {
    "applied by another": (
        PENDING,
        statuses(records={**RECORDS, "011_pending.sql": SUM}),
        f"011_pending.sql is applied, {SINCE}",
    ),
    "failed": (
        PENDING,
        statuses(events={**EVENTS, "011_pending.sql": LogEntry(Event.FAILED, "011_pending.sql")}),
        "011_pending.sql failed at its last attempt",
    ),
    "begun": (
        PENDING,
        statuses(progress={**PROGRESS, "011_pending.sql": Progress(1, SUM, interrupted=True)}),
        "011_pending.sql is partial: 1 of its statements is done",
    ),
    "gone on": (
        mend.resolve(ALL, ["13"], Settlement.DONE),
        statuses(progress={**PROGRESS, "013_partial.sql": Progress(3, SUM, interrupted=False)}),
        "013_partial.sql is partial: 3 of its statements are done",
    ),
    "removed": (
        APPLIED,
        statuses(records={name: SUM for name in RECORDS if name != "001_applied.sql"}),
        "001_applied.sql is pending",
    ),
    "removed, and not in the folder": (
        mend.unmark(ALL, ["3"]),
        statuses(records={name: SUM for name in RECORDS if name != "003_missing.sql"}),
        "003_missing.sql is neither in the ledger nor in the folder",
    ),
    "accepted": (
        mend.accept(ALL, ["2"]),
        statuses(records={**RECORDS, "002_edited.sql": SUM}),
        f"002_edited.sql is applied, {SINCE}",
    ),
    "settled": (
        mend.resolve(ALL, ["4"], Settlement.RETRY),
        statuses(events={**EVENTS, "004_marked.sql": EVENTS["008_resolved.sql"]}),
        f"004_marked.sql is applied, {SINCE}",
    ),
    "its down script began": (
        APPLIED,
        HALF_DOWN,
        f"001_applied.sql {HALF_WAY}",
    ),
    "the new name was applied": (
        RENAMED,
        statuses(records={**RECORDS, "016_new_name.sql": THIRD}),
        f"016_new_name.sql is applied, {SINCE}",
    ),
}


@pytest.mark.parametrize(("changes", "now", "truth"), MEANWHILE.values(), ids=MEANWHILE)
def test_what_changed_meanwhile(
    changes: tuple[Change, ...], now: tuple[MigrationStatus, ...], truth: str
) -> None:
    with pytest.raises(LedgerError) as raised:
        mend.refuse_if_changed(changes, now)
    assert told(raised.value) == (
        LedgerError,
        f"meanwhile somebody was faster: {truth}",
        "nothing was changed; `fluxmig status` shows how things stand",
        (truth.split(maxsplit=1)[0],),
    )


def test_what_did_not_change_meanwhile() -> None:
    others = [replace(status, conditions=()) for status in ALL if status.name != "005_lossless.sql"]
    for changes in (PENDING, APPLIED, RENAMED, ()):
        mend.refuse_if_changed(changes, others)


# --- reasons ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [None, "", "restored from a dump", "größer\n\x1b[31m" * 1000])
def test_a_reason_is_any_text(reason: str | None) -> None:
    mend.refuse_unfit(reason)


@pytest.mark.parametrize("reason", ["a\0b", "\udcff", "x\ud800"])
def test_a_reason_that_nobody_can_keep(reason: str) -> None:
    with pytest.raises(ConfigError) as raised:
        mend.refuse_unfit(reason)
    assert told(raised.value) == (
        ConfigError,
        "the reason is not UTF-8, or holds a NUL",
        "write it in plain words",
        None,
    )
