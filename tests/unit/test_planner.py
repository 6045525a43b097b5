"""Files and ledger rows in, statuses and choices out: tables of plain values."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluxmig import planner
from fluxmig.errors import ConfigError, FluxmigError, LedgerError
from fluxmig.layouts.numbered import number_of
from fluxmig.model import (
    Condition,
    Event,
    Finding,
    LogEntry,
    Migration,
    MigrationStatus,
    Mode,
    Progress,
    Record,
    Script,
    State,
    Statements,
)
from fluxmig.planner import Selection, same_checksum

SUM = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4

APPLIED, PENDING = State.APPLIED, State.PENDING
MARKED, MODIFIED, MISSING = Condition.MARKED, Condition.MODIFIED, Condition.MISSING
FAILED, LATE = Condition.FAILED, Condition.OUT_OF_ORDER


def on_disk(*names: str) -> list[Migration]:
    return [Migration(name, number_of(name), Path("migrations", name), SUM, b"SELECT 1") for name in names]


def recorded(*names: str, checksum: str | None = SUM) -> list[Record]:
    return [Record(number, name, checksum=checksum) for number, name in enumerate(names, start=1)]


def logged(**events: Event) -> dict[str, LogEntry]:
    """`_1=Event.FAILED` -> the log's newest row of `1.sql`."""
    return {f"{name[1:]}.sql": LogEntry(event, f"{name[1:]}.sql") for name, event in events.items()}


# --- checksums --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "same"),
    [
        pytest.param(SUM, True, id="all digits"),
        pytest.param(SUM[:16], True, id="16 digits, as the Node runner writes"),
        pytest.param(SUM[:40], True, id="40 digits"),
        pytest.param(SUM[:15], False, id="15 digits prove nothing"),
        pytest.param(SUM[:1], False, id="one digit"),
        pytest.param(SUM.upper(), True, id="upper case"),
        pytest.param(SUM[:16].upper(), True, id="upper case, 16 digits"),
        pytest.param(f"{SUM[:16]}   ", True, id="padded by a CHAR column"),
        pytest.param(None, True, id="unknown"),
        pytest.param("", True, id="empty is unknown"),
        pytest.param(OTHER, False, id="another"),
        pytest.param(OTHER[:16], False, id="another, 16 digits"),
        pytest.param(SUM[:63] + "0", False, id="another at the last digit"),
        pytest.param(SUM + "0", False, id="longer than a checksum"),
        pytest.param(SUM[1:], False, id="the end of it"),
    ],
)
def test_same_checksum(stored: str | None, *, same: bool) -> None:
    assert same_checksum(stored, SUM) is same


# --- statuses ---------------------------------------------------------------------------------------------

# What is in the folder, in the ledger and in the log -> each name with its state and conditions.
STATUSES: dict[
    str,
    tuple[
        list[Migration],
        list[Record],
        dict[str, LogEntry],
        list[tuple[str, State, tuple[Condition, ...]]],
    ],
] = {
    "nothing": ([], [], {}, []),
    "pending": (on_disk("1.sql"), [], {}, [("1.sql", PENDING, ())]),
    "applied": (on_disk("1.sql"), recorded("1.sql"), {}, [("1.sql", APPLIED, ())]),
    "applied by the Node runner": (
        on_disk("1.sql"),
        recorded("1.sql", checksum=SUM[:16]),
        {},
        [("1.sql", APPLIED, ())],
    ),
    "no checksum": (on_disk("1.sql"), recorded("1.sql", checksum=None), {}, [("1.sql", APPLIED, ())]),
    "modified": (
        on_disk("1.sql"),
        recorded("1.sql", checksum=OTHER),
        {},
        [("1.sql", APPLIED, (MODIFIED,))],
    ),
    "missing": ([], recorded("1.sql"), {}, [("1.sql", APPLIED, (MISSING,))]),
    "missing, with another checksum": (
        [],
        recorded("1.sql", checksum=OTHER),
        {},
        [("1.sql", APPLIED, (MISSING,))],
    ),
    "failed": (on_disk("1.sql"), [], logged(_1=Event.FAILED), [("1.sql", PENDING, (FAILED,))]),
    "marked": (
        on_disk("1.sql"),
        recorded("1.sql"),
        logged(_1=Event.MARKED),
        [("1.sql", APPLIED, (MARKED,))],
    ),
    "marked and modified": (
        on_disk("1.sql"),
        recorded("1.sql", checksum=OTHER),
        logged(_1=Event.MARKED),
        [("1.sql", APPLIED, (MARKED, MODIFIED))],
    ),
    "marked and missing": (
        [],
        recorded("1.sql"),
        logged(_1=Event.MARKED),
        [("1.sql", APPLIED, (MARKED, MISSING))],
    ),
    "marked by hand": (
        on_disk("1.sql"),
        recorded("1.sql"),
        logged(_1=Event.MARKED_BY_HAND),
        [("1.sql", APPLIED, (MARKED,))],
    ),
    "adopted": (
        on_disk("1.sql"),
        recorded("1.sql"),
        logged(_1=Event.ADOPTED),
        [("1.sql", APPLIED, (MARKED,))],
    ),
    "resolved": (on_disk("1.sql"), recorded("1.sql"), logged(_1=Event.RESOLVED), [("1.sql", APPLIED, ())]),
    "resolved, and to be run again": (
        on_disk("1.sql"),
        [],
        logged(_1=Event.RESOLVED),
        [("1.sql", PENDING, ())],
    ),
    "failed once, applied since by another tool": (
        on_disk("1.sql"),
        recorded("1.sql"),
        logged(_1=Event.FAILED),
        [("1.sql", APPLIED, ())],
    ),
    "marked once, its record removed since": (
        on_disk("1.sql"),
        [],
        logged(_1=Event.MARKED),
        [("1.sql", PENDING, ())],
    ),
    "applied, as the log says": (
        on_disk("1.sql"),
        recorded("1.sql"),
        logged(_1=Event.APPLIED),
        [("1.sql", APPLIED, ())],
    ),
    "rolled back": (on_disk("1.sql"), [], logged(_1=Event.ROLLED_BACK), [("1.sql", PENDING, ())]),
    "unrecorded": (on_disk("1.sql"), [], logged(_1=Event.UNRECORDED), [("1.sql", PENDING, ())]),
    "only in the log": ([], [], logged(_1=Event.FAILED), []),
    "out of order": (
        on_disk("1.sql", "2.sql", "3.sql"),
        recorded("2.sql"),
        {},
        [("1.sql", PENDING, (LATE,)), ("2.sql", APPLIED, ()), ("3.sql", PENDING, ())],
    ),
    "failed and out of order": (
        on_disk("1.sql", "2.sql"),
        recorded("2.sql"),
        logged(_1=Event.FAILED),
        [("1.sql", PENDING, (FAILED, LATE)), ("2.sql", APPLIED, ())],
    ),
    "out of order before something missing": (
        on_disk("1.sql"),
        recorded("2.sql"),
        {},
        [("1.sql", PENDING, (LATE,)), ("2.sql", APPLIED, (MISSING,))],
    ),
    "out of order among equal numbers": (
        on_disk("1_a.sql", "1_b.sql"),
        recorded("1_b.sql"),
        {},
        [("1_a.sql", PENDING, (LATE,)), ("1_b.sql", APPLIED, ())],
    ),
    "numbers are compared as numbers": (
        on_disk("9.sql", "10.sql"),
        recorded("9.sql"),
        {},
        [("9.sql", APPLIED, ()), ("10.sql", PENDING, ())],
    ),
    "without a number is last": (
        on_disk("a.sql", "7.sql"),
        recorded("7.sql"),
        {},
        [("7.sql", APPLIED, ()), ("a.sql", PENDING, ())],
    ),
    "the order of application does not count": (
        on_disk("1.sql", "2.sql", "3.sql"),
        recorded("3.sql", "1.sql", "2.sql"),
        {},
        [("1.sql", APPLIED, ()), ("2.sql", APPLIED, ()), ("3.sql", APPLIED, ())],
    ),
}


@pytest.mark.parametrize(("migrations", "records", "events", "expected"), STATUSES.values(), ids=STATUSES)
def test_statuses(
    migrations: list[Migration],
    records: list[Record],
    events: dict[str, LogEntry],
    expected: list[tuple[str, State, tuple[Condition, ...]]],
) -> None:
    found = planner.statuses(migrations, records, events)
    assert [(status.name, status.state, status.conditions) for status in found] == expected


def test_a_status_holds_what_it_was_made_of() -> None:
    (migration,), (record,), events = on_disk("1.sql"), recorded("1.sql"), logged(_1=Event.APPLIED)
    assert planner.statuses([migration], [record], events) == (
        MigrationStatus("1.sql", APPLIED, (), migration, record, events["1.sql"]),
    )
    assert planner.statuses([], [record], {}) == (
        MigrationStatus("1.sql", APPLIED, (MISSING,), None, record, None),
    )
    assert planner.statuses([migration], [], {}) == (
        MigrationStatus("1.sql", PENDING, (), migration, None, None),
    )


def test_pending_is_what_can_run_in_order() -> None:
    migrations = on_disk("b.sql", "10.sql", "9.sql", "2.sql")
    statuses = planner.statuses(migrations, recorded("2.sql", "3.sql"), {})
    assert [migration.name for migration in planner.pending(statuses)] == ["9.sql", "10.sql", "b.sql"]


# --- select -----------------------------------------------------------------------------------------------

FOLDER = on_disk("001_a.sql", "002_b.sql", "002_c.sql", "003_d.sql", "010_e.sql", "seeds.sql")
STATUS = planner.statuses(FOLDER, recorded("001_a.sql"), {})
ALL = ["002_b.sql", "002_c.sql", "003_d.sql", "010_e.sql", "seeds.sql"]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        pytest.param(Selection(), ALL, id="everything"),
        pytest.param(Selection(to="003_d.sql"), ALL[:3], id="to a file"),
        pytest.param(Selection(to="003_d"), ALL[:3], id="to a file without .sql"),
        pytest.param(Selection(to="3"), ALL[:3], id="to a number"),
        pytest.param(Selection(to="0003"), ALL[:3], id="to a number with zeros"),
        pytest.param(Selection(to="2"), ALL[:2], id="to a number is to the last file that has it"),
        pytest.param(Selection(to="002_b.sql"), ALL[:1], id="to one of a number's files"),
        pytest.param(Selection(to="1"), [], id="to something applied"),
        pytest.param(Selection(to="seeds"), ALL, id="to the last"),
        pytest.param(Selection(steps=1), ALL[:1], id="one step"),
        pytest.param(Selection(steps=4), ALL[:4], id="four steps"),
        pytest.param(Selection(steps=99), ALL, id="more steps than files"),
        pytest.param(Selection(to="3", steps=2), ALL[:2], id="steps before the end"),
        pytest.param(Selection(to="2", steps=9), ALL[:2], id="the end before the steps"),
        pytest.param(Selection(only="003_d.sql"), ["003_d.sql"], id="only a file"),
        pytest.param(Selection(only="seeds"), ["seeds.sql"], id="only a file without .sql"),
        pytest.param(Selection(only="10"), ["010_e.sql"], id="only a number"),
    ],
)
def test_select(selection: Selection, expected: list[str]) -> None:
    assert [migration.name for migration in planner.select(STATUS, selection)] == expected


LISTS = "`fluxmig status` lists them"
REFUSED: dict[str, tuple[Selection, FluxmigError]] = {
    "no such number": (
        Selection(to="004"),
        ConfigError("--to 004: there is no such migration", remedy=LISTS),
    ),
    "no ASCII digit": (Selection(to="²"), ConfigError("--to ²: there is no such migration", remedy=LISTS)),
    "an empty word": (Selection(to=""), ConfigError("--to : there is no such migration", remedy=LISTS)),
    "another case": (
        Selection(to="002_B.sql"),
        ConfigError("--to 002_B.sql: there is no such migration", remedy=LISTS),
    ),
    "a part of a name": (
        Selection(only="003_"),
        ConfigError("--only 003_: there is no such migration", remedy=LISTS),
    ),
    "only, and a number of two files": (
        Selection(only="2"),
        ConfigError(
            "--only 2 is ambiguous: 002_b.sql and 002_c.sql",
            remedy="give the file's name",
        ),
    ),
    "only, and applied already": (
        Selection(only="1"),
        LedgerError("001_a.sql is applied already", names=["001_a.sql"]),
    ),
}


@pytest.mark.parametrize(("selection", "error"), REFUSED.values(), ids=REFUSED)
def test_select_refuses(selection: Selection, error: FluxmigError) -> None:
    with pytest.raises(FluxmigError) as raised:
        planner.select(STATUS, selection)
    assert _facts(raised.value) == _facts(error)


def _facts(error: FluxmigError) -> tuple[object, ...]:
    return (type(error), error.message, error.remedy, getattr(error, "names", None))


def test_only_refuses_what_is_applied_and_not_in_the_folder() -> None:
    statuses = planner.statuses([], recorded("001_a.sql"), {})
    with pytest.raises(LedgerError) as raised:
        planner.select(statuses, Selection(only="001_a"))
    assert _facts(raised.value) == (LedgerError, "001_a.sql is applied already", None, ("001_a.sql",))


# --- findings ---------------------------------------------------------------------------------------------

PUT_BACK = (
    "put the old text back, and write the change as a new migration; or `fluxmig accept {}` if the edit is"
    " the right one; `fluxmig status --diff` shows it"
)
BRING_BACK = "bring the file back, or check --migrations; `fluxmig unmark {}` if it is gone for good"
RENUMBER = "renumber it if it depends on what was applied since"


def test_nothing_is_wrong() -> None:
    statuses = planner.statuses(on_disk("1.sql", "2.sql"), recorded("1.sql"), {})
    assert planner.findings(statuses, planner.pending(statuses)) == ()


def test_one_of_each_kind() -> None:
    records = recorded("2.sql", "3.sql", checksum=OTHER)
    statuses = planner.statuses(on_disk("1.sql", "2.sql"), records, {})
    assert planner.findings(statuses, planner.pending(statuses)) == (
        Finding("modified", "changed since it was applied: 2.sql", ("2.sql",), PUT_BACK.format("2.sql")),
        Finding("missing", "applied, but not in the folder: 3.sql", ("3.sql",), BRING_BACK.format("3.sql")),
        Finding("out of order", "sorted before 3.sql, which is applied: 1.sql", ("1.sql",), RENUMBER),
    )


def test_several_of_each_kind_in_the_order_of_the_files() -> None:
    records = recorded("11.sql", "9.sql", "4.sql", "3.sql", checksum=OTHER)
    statuses = planner.statuses(on_disk("4.sql", "3.sql", "2.sql", "1.sql"), records, {})
    assert planner.findings(statuses, planner.pending(statuses)) == (
        Finding(
            "modified",
            "changed since they were applied: 3.sql, 4.sql",
            ("3.sql", "4.sql"),
            PUT_BACK.format("NAME"),
        ),
        Finding(
            "missing",
            "applied, but not in the folder: 9.sql, 11.sql",
            ("9.sql", "11.sql"),
            BRING_BACK.format("NAME"),
        ),
        Finding(
            "out of order",
            "sorted before 11.sql, which is applied: 1.sql, 2.sql",
            ("1.sql", "2.sql"),
            RENUMBER,
        ),
    )


def test_out_of_order_counts_only_for_what_is_about_to_run() -> None:
    statuses = planner.statuses(on_disk("1.sql", "2.sql"), recorded("3.sql", checksum=OTHER), {})
    missing = Finding(
        "missing", "applied, but not in the folder: 3.sql", ("3.sql",), BRING_BACK.format("3.sql")
    )
    assert planner.findings(statuses, ()) == (missing,)
    assert planner.findings(statuses, planner.select(statuses, Selection(only="2"))) == (
        missing,
        Finding("out of order", "sorted before 3.sql, which is applied: 2.sql", ("2.sql",), RENUMBER),
    )


# --- unsettled --------------------------------------------------------------------------------------------

MEND = "mend it, and `fluxmig run`"
SETTLE = (
    "make what is missing in a new migration, then `fluxmig resolve 1.sql --done`; or `fluxmig resolve 1.sql"
    " --retry` and run it with --on-duplicate complete"
)


def test_what_failed_or_was_marked_is_unsettled() -> None:
    events = {
        "1.sql": LogEntry(Event.MARKED, "1.sql", 'relation "a" already exists', "42P07", 1, 1),
        "2.sql": LogEntry(Event.APPLIED, "2.sql"),
        "3.sql": LogEntry(Event.FAILED, "3.sql", 'syntax error at or near "x"', "42601", 2, 17),
        "4.sql": LogEntry(Event.FAILED, "4.sql", "server closed the connection"),
    }
    statuses = planner.statuses(
        on_disk("1.sql", "2.sql", "3.sql", "4.sql"), recorded("1.sql", "2.sql"), events
    )
    assert planner.unsettled(statuses) == (
        Finding(
            "marked",
            '1.sql is recorded without having run to the end: relation "a" already exists',
            ("1.sql",),
            SETTLE,
        ),
        Finding(
            "failed",
            '3.sql failed at its last attempt (line 17): syntax error at or near "x"',
            ("3.sql",),
            MEND,
        ),
        Finding("failed", "4.sql failed at its last attempt: server closed the connection", ("4.sql",), MEND),
    )


@pytest.mark.parametrize(
    ("event", "is_recorded"),
    [
        pytest.param(Event.FAILED, True, id="failed, then applied by another tool"),
        pytest.param(Event.MARKED, False, id="marked, then unrecorded by another tool"),
        pytest.param(Event.APPLIED, True, id="applied"),
        pytest.param(Event.ROLLED_BACK, False, id="rolled back"),
        pytest.param(Event.UNRECORDED, False, id="unrecorded"),
        pytest.param(Event.MARKED_BY_HAND, True, id="marked by hand"),
        pytest.param(Event.ADOPTED, True, id="adopted"),
        pytest.param(Event.RESOLVED, True, id="resolved as done"),
        pytest.param(Event.RESOLVED, False, id="resolved to be run again"),
        pytest.param(Event.RENAMED, True, id="renamed"),
    ],
)
def test_what_is_settled_since(event: Event, *, is_recorded: bool) -> None:
    records = recorded("1.sql") if is_recorded else []
    statuses = planner.statuses(on_disk("1.sql"), records, logged(_1=event))
    assert planner.unsettled(statuses) == ()


# --- taking back ------------------------------------------------------------------------------------------

TAKEN_BACK: dict[str, tuple[list[str], int | None, str | None, list[str], str | None]] = {
    "one by default": (["1.sql", "2.sql"], None, None, ["2.sql"], None),
    "several": (["1.sql", "2.sql", "3.sql"], 2, None, ["3.sql", "2.sql"], None),
    "more than there are": (["1.sql", "2.sql"], 9, None, ["2.sql", "1.sql"], None),
    "by the order of application": (["3.sql", "1.sql", "2.sql"], 2, None, ["2.sql", "1.sql"], None),
    "to a name": (["1.sql", "2.sql", "3.sql"], None, "1.sql", ["3.sql", "2.sql"], "1.sql"),
    "to a name without .sql": (["1.sql", "2.sql"], None, "1", ["2.sql"], "1.sql"),
    "to a number": (["01_a.sql", "02_b.sql"], None, "1", ["02_b.sql"], "01_a.sql"),
    "to one that came late": (["3.sql", "1.sql", "2.sql"], None, "3", ["2.sql", "1.sql"], "3.sql"),
    "to the last": (["1.sql", "2.sql"], None, "2", [], "2.sql"),
    "to a number of several": (["1_a.sql", "2.sql", "1_b.sql", "3.sql"], None, "1", ["3.sql"], "1_b.sql"),
    "to a name without number": (["a.sql", "b.sql"], None, "a", ["b.sql"], "a.sql"),
    "to the beginning": (["1.sql", "2.sql"], None, "0", ["2.sql", "1.sql"], None),
    "to the beginning, in full": (["1.sql", "2.sql"], None, "000", ["2.sql", "1.sql"], None),
    "to a file of number 0": (["0_a.sql", "2.sql"], None, "0", ["2.sql"], "0_a.sql"),
    "to the beginning of nothing": ([], None, "0", [], None),
}


@pytest.mark.parametrize(("applied", "steps", "to", "names", "behind"), TAKEN_BACK.values(), ids=TAKEN_BACK)
def test_what_is_taken_back(
    applied: list[str], steps: int | None, to: str | None, names: list[str], behind: str | None
) -> None:
    statuses = planner.statuses(on_disk(*applied, "9_pending.sql"), recorded(*applied), {})
    chosen, found = planner.to_take_back(statuses, steps, to)
    assert ([status.name for status in chosen], found) == (names, behind)


def test_what_came_after() -> None:
    statuses = planner.statuses([], recorded("3.sql", "1.sql", "2.sql"), {})
    assert planner.applied_after(statuses, "3.sql") == ("1.sql", "2.sql")
    assert planner.applied_after(statuses, "2.sql") == ()


def a_script(name: str, mode: Mode = Mode.TRANSACTION, characteristics: str | None = None) -> Script:
    reason = "VACUUM" if mode is Mode.NO_TRANSACTION else None
    return Script("1.sql", Path(name), SUM, Statements(b""), mode, reason, characteristics)


DOWN, UP = "1.down.sql", "1.sql"
NO = Mode.NO_TRANSACTION
SERIALIZABLE, REPEATABLE = "ISOLATION LEVEL SERIALIZABLE", "ISOLATION LEVEL REPEATABLE READ"
APART: dict[str, tuple[Script, Script, bool | None, str | None]] = {
    "both": (a_script(DOWN), a_script(UP), True, None),
    "down": (a_script(DOWN, NO), a_script(UP), True, "1.down.sql runs without a transaction: VACUUM"),
    "up": (a_script(DOWN), a_script(UP, NO), True, "1.sql runs without a transaction: VACUUM"),
    "neither": (a_script(DOWN), a_script(UP), False, "MySQL does not roll back what creates and drops"),
    "one level": (a_script(DOWN, characteristics=SERIALIZABLE), a_script(UP), True, None),
    "the same level": (
        a_script(DOWN, characteristics=SERIALIZABLE),
        a_script(UP, characteristics=SERIALIZABLE),
        True,
        None,
    ),
    "nobody knows": (
        a_script(DOWN),
        a_script(UP),
        None,
        "whether MySQL rolls back what creates and drops is found out when something runs",
    ),
    "two levels": (
        a_script(DOWN, characteristics=SERIALIZABLE),
        a_script(UP, characteristics=REPEATABLE),
        True,
        "they ask for different isolation levels",
    ),
}


@pytest.mark.parametrize(("down", "up", "can_roll_back", "why"), APART.values(), ids=APART)
def test_whether_two_scripts_share_a_transaction(
    down: Script, up: Script, *, can_roll_back: bool | None, why: str | None
) -> None:
    assert planner.apart(down, up, product="MySQL", has_transactional_ddl=can_roll_back) == why


@pytest.mark.parametrize(
    ("lost", "unchecked", "told"),
    [(0, 0, False), (1, 0, True), (0, 1, True), (2, 3, True), (None, None, True)],
)
def test_a_mark_by_which_nothing_was_lost_is_no_problem(
    lost: int | None,
    unchecked: int | None,
    told: bool,  # noqa: FBT001
) -> None:
    event = LogEntry(Event.MARKED, "1.sql", "exists", statements=9, lost=lost, unchecked=unchecked)
    statuses = planner.statuses(on_disk("1.sql"), recorded("1.sql"), {"1.sql": event})
    assert statuses[0].conditions == (MARKED,)
    assert planner.unsettled(statuses) == (
        (Finding("marked", "1.sql is recorded without having run to the end: exists", ("1.sql",), SETTLE),)
        if told
        else ()
    )


HALF_DOWN = {"1.down.sql": Progress(2, SUM, interrupted=False)}


def test_a_down_script_that_is_half_way_is_unsettled() -> None:
    statuses = planner.statuses(on_disk("1.sql", "2.sql"), recorded("1.sql"), {}, HALF_DOWN)
    assert [status.down_progress for status in statuses] == [HALF_DOWN["1.down.sql"], None]
    assert statuses[0].conditions == ()
    assert planner.unsettled(statuses) == (
        Finding(
            "partial",
            "the down script of 1.sql stopped half-way, or is under way: 2 of its statements are known to be"
            " done",
            ("1.sql",),
            "`fluxmig rollback` goes on with statement 3; `fluxmig resolve 1.sql --retry` has it begin with"
            " statement 1",
        ),
    )


@pytest.mark.parametrize(
    ("records", "progress"),
    [
        pytest.param([], HALF_DOWN, id="it is pending"),
        pytest.param(
            recorded("1.sql"), {"1.down.sql": Progress(0, "", interrupted=False)}, id="nothing is done"
        ),
        pytest.param(
            recorded("1.sql"), {"1.sql": Progress(2, SUM, interrupted=False)}, id="not the down script"
        ),
    ],
)
def test_a_down_script_that_is_not_half_way(records: list[Record], progress: dict[str, Progress]) -> None:
    (status,) = planner.statuses(on_disk("1.sql"), records, {}, progress)
    assert status.down_progress is None


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("1", ["1"]),
        ("1.sql", ["1.sql"]),
        ("2", ["2.sql"]),
        ("3", ["003_a.sql", "003_b.sql"]),
        ("003_a", ["003_a.sql"]),
        ("4", []),
        ("1" * 5000, []),
        ("", []),
    ],
)
def test_matching(word: str, names: list[str]) -> None:
    """A row of another tool may be called like a file without its `.sql`."""
    statuses = planner.statuses(on_disk("1.sql", "2.sql", "003_a.sql", "003_b.sql"), recorded("1"), {})
    assert [status.name for status in planner.matching(statuses, word)] == names
