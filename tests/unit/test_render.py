"""What people and programs are shown: every text as a whole, every document as a whole."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fluxmig import render
from fluxmig.errors import ConfigError, LedgerError, MigrationFailedError
from fluxmig.model import (
    Condition,
    DatabaseInfo,
    Event,
    Failure,
    Finding,
    LogEntry,
    Lost,
    Migration,
    MigrationStatus,
    Mode,
    Notice,
    Outcome,
    Plan,
    Progress,
    Record,
    RedoPlan,
    RedoReport,
    Report,
    RollbackReport,
    RollbackResult,
    Script,
    State,
    Statement,
    StepResult,
    Verification,
)
from fluxmig.sql import GENERIC, split

if TYPE_CHECKING:
    from fluxmig.render import Line

SUM = "0123456789abcdef" * 4
AT = datetime(2025, 3, 9, 17, 4, 5, 678901, tzinfo=UTC)
FOLDER = Path("migrations")


def applied(
    name: str, time_ms: int | None = None, *conditions: Condition, message: str | None = None
) -> MigrationStatus:
    record = Record(7, name, AT, time_ms, SUM[:16], "ada")
    migration = None if Condition.MISSING in conditions else Migration(name, 1, FOLDER / name, SUM, b"")
    event = LogEntry(Event.MARKED, name, message) if message else None
    return MigrationStatus(name, State.APPLIED, conditions, migration, record, event)


def pending(name: str, *conditions: Condition, message: str | None = None) -> MigrationStatus:
    event = LogEntry(Event.FAILED, name, message) if message else None
    return MigrationStatus(
        name, State.PENDING, conditions, Migration(name, 1, FOLDER / name, SUM, b""), None, event
    )


# --- status -----------------------------------------------------------------------------------------------

GUIDE = """\
MIGRATION STATUS
============================================================

Applied Migrations:
  [x] 001_create_initial_schema.sql (1.23s)
  [x] 002_add_messaging_tables.sql (0.45s)

Pending Migrations:
  [ ] 106_add_user_settings.sql

============================================================
Total: 3 | Applied: 2 | Pending: 1"""

ALL_CONDITIONS = """\
MIGRATION STATUS
============================================================

Applied Migrations:
  [x] 001_a.sql (N/A)
  [x] 002_b.sql (0.00s) [marked]
  [x] 003_c.sql (0.01s) [modified]
  [x] 004_d.sql (1.00s) [missing]
  [x] 005_e.sql (3723.00s) [marked, modified]

Pending Migrations:
  [ ] 000_z.sql [out of order]
  [ ] 000_y.sql [failed, out of order]
  [ ] 006_f.sql [failed]
  [ ] 007_g.sql [failed, partial]

============================================================
Total: 9 | Applied: 5 | Pending: 4"""

NOTHING = """\
MIGRATION STATUS
============================================================

Applied Migrations:

Pending Migrations:

============================================================
Total: 0 | Applied: 0 | Pending: 0"""

MARKED, MODIFIED, MISSING = Condition.MARKED, Condition.MODIFIED, Condition.MISSING
FAILED, LATE, PARTIAL = Condition.FAILED, Condition.OUT_OF_ORDER, Condition.PARTIAL


@pytest.mark.parametrize(
    ("statuses", "text"),
    [
        pytest.param(
            [
                applied("001_create_initial_schema.sql", 1234),
                applied("002_add_messaging_tables.sql", 450),
                pending("106_add_user_settings.sql"),
            ],
            GUIDE,
            id="the guide's form",
        ),
        pytest.param(
            [
                pending("000_z.sql", LATE),
                pending("000_y.sql", FAILED, LATE),
                applied("001_a.sql"),
                applied("002_b.sql", 0, MARKED),
                applied("003_c.sql", 6, MODIFIED),
                applied("004_d.sql", 1000, MISSING),
                applied("005_e.sql", 3723000, MARKED, MODIFIED),
                pending("006_f.sql", FAILED),
                pending("007_g.sql", FAILED, PARTIAL),
            ],
            ALL_CONDITIONS,
            id="everything that can be wrong",
        ),
        pytest.param([], NOTHING, id="nothing"),
    ],
)
def test_status(statuses: list[MigrationStatus], text: str) -> None:
    assert render.plain(render.status_lines(statuses)) == text


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (None, "N/A"),
        (0, "0.00s"),
        (4, "0.00s"),
        (6, "0.01s"),
        (450, "0.45s"),
        (999, "1.00s"),
        (61_000, "61.00s"),
    ],
)
def test_durations(time_ms: int | None, text: str) -> None:
    assert render.plain(render.status_lines([applied("1.sql", time_ms)])).split("\n")[4] == (
        f"  [x] 1.sql ({text})"
    )


@pytest.mark.parametrize(
    ("conditions", "renamed_to", "words"),
    [
        ((MISSING,), (), "missing"),
        ((MISSING,), ("002_b.sql",), "missing, now 002_b.sql"),
        ((MARKED, MISSING), ("002_b.sql",), "marked, missing, now 002_b.sql"),
        ((MISSING,), ("002_b.sql", "003_c.sql"), "missing, now perhaps 002_b.sql or 003_c.sql"),
    ],
)
def test_a_renamed_one(conditions: tuple[Condition, ...], renamed_to: tuple[str, ...], words: str) -> None:
    status = replace(applied("001_a.sql", 1, *conditions), renamed_to=renamed_to)
    assert render.plain(render.status_lines([status])).split("\n")[4] == f"  [x] 001_a.sql (0.00s) [{words}]"


def test_status_json() -> None:
    statuses = [
        applied("001_a.sql", 1234),
        applied("002_b.sql", None, MARKED, message='relation "b" already exists'),
        applied("003_c.sql", 0, MISSING),
        pending("004_d.sql"),
        pending("005_e.sql", FAILED, message="syntax error"),
        MigrationStatus(
            "006_f.sql",
            State.APPLIED,
            (MISSING,),
            None,
            Record(1, "006_f.sql"),
            renamed_to=("004_d.sql", "005_e.sql"),
        ),
        pending("007_g.sql", message="of an old failure"),
        replace(pending("008_h.sql", PARTIAL), progress=Progress(3, SUM, interrupted=True)),
    ]
    nothing: dict[str, object] = {
        "recorded_checksum": None,
        "applied_at": None,
        "applied_by": None,
        "execution_time_ms": None,
        "message": None,
        "statements_done": None,
        "renamed_to": [],
        "marked": None,
    }
    recorded: dict[str, object] = {
        "state": "applied",
        "checksum": SUM,
        "recorded_checksum": SUM[:16],
        "applied_at": "2025-03-09T17:04:05.678901+00:00",
        "applied_by": "ada",
        "statements_done": None,
        "renamed_to": [],
        "marked": None,
    }
    to_do = {"state": "pending", "conditions": [], "checksum": SUM}
    assert render.status_json(statuses) == {
        "format": 1,
        "command": "status",
        "migrations": [
            {
                "name": "001_a.sql",
                "conditions": [],
                **recorded,
                "execution_time_ms": 1234,
                "message": None,
            },
            {
                "name": "002_b.sql",
                "conditions": ["marked"],
                **recorded,
                "execution_time_ms": None,
                "message": 'relation "b" already exists',
                "marked": {"by": "duplicate", "statements": None, "lost": None, "unchecked": None},
            },
            {
                "name": "003_c.sql",
                "conditions": ["missing"],
                **recorded,
                "checksum": None,
                "execution_time_ms": 0,
                "message": None,
            },
            {"name": "004_d.sql", **to_do, **nothing},
            {
                "name": "005_e.sql",
                **to_do,
                "conditions": ["failed"],
                **nothing,
                "message": "syntax error",
            },
            {
                "name": "006_f.sql",
                "state": "applied",
                "conditions": ["missing"],
                "checksum": None,
                **nothing,
                "renamed_to": ["004_d.sql", "005_e.sql"],
            },
            {"name": "007_g.sql", **to_do, **nothing},
            {"name": "008_h.sql", **to_do, **nothing, "conditions": ["partial"], "statements_done": 3},
        ],
        "total": 8,
        "applied": 4,
        "pending": 4,
    }


MARKS: dict[str, tuple[LogEntry | None, str, dict[str, object]]] = {
    "some lost": (
        LogEntry(Event.MARKED, "1.sql", "exists", statements=10, lost=1, unchecked=0),
        "marked, 1 of 10 statements lost",
        {"by": "duplicate", "statements": 10, "lost": 1, "unchecked": 0},
    ),
    "some lost, some perhaps": (
        LogEntry(Event.MARKED, "1.sql", "exists", statements=10, lost=2, unchecked=3),
        "marked, 2 of 10 statements lost, 3 perhaps",
        {"by": "duplicate", "statements": 10, "lost": 2, "unchecked": 3},
    ),
    "nothing lost": (
        LogEntry(Event.MARKED, "1.sql", "exists", statements=1, lost=0, unchecked=0),
        "marked, nothing lost",
        {"by": "duplicate", "statements": 1, "lost": 0, "unchecked": 0},
    ),
    "by an earlier version": (
        LogEntry(Event.MARKED, "1.sql", "exists"),
        "marked",
        {"by": "duplicate", "statements": None, "lost": None, "unchecked": None},
    ),
    "by hand": (
        LogEntry(Event.MARKED_BY_HAND, "1.sql", reason="restored"),
        "marked by hand",
        {"by": "hand", "statements": None, "lost": None, "unchecked": None},
    ),
    "by adopt": (
        LogEntry(Event.ADOPTED, "1.sql"),
        "marked by adopt",
        {"by": "adopt", "statements": None, "lost": None, "unchecked": None},
    ),
}


@pytest.mark.parametrize(("event", "words", "document"), MARKS.values(), ids=MARKS)
def test_how_a_migration_was_marked(event: LogEntry, words: str, document: dict[str, object]) -> None:
    status = replace(applied("1.sql", 0, MARKED, MODIFIED), last_event=event)
    assert render.plain(render.status_lines([status])).split("\n")[4] == (
        f"  [x] 1.sql (0.00s) [{words}, modified]"
    )
    assert render.status_json([status])["migrations"][0]["marked"] == document


# --- run --------------------------------------------------------------------------------------------------

FIRST = Statement(1, "CREATE TABLE a (\n  b int\n)", 0, 26, 1, 1)
SECOND = Statement(2, "INSERT INTO a VALUES (1)", 28, 52, 4, 3)
DUPLICATE = Failure(
    FOLDER / "002_b.sql",
    'relation "a" already exists',
    "42P07",
    1,
    14,
    FIRST,
    2,
    object="a",
    excerpt="  1 | CREATE TABLE a (\n    |              ^",
)


def marked(statements: int, *lost: Statement, failure: Failure | None = DUPLICATE) -> StepResult:
    statements_lost = tuple(Lost(statement, exists=False) for statement in lost)
    return StepResult("002_b.sql", Outcome.MARKED, 12, Mode.TRANSACTION, statements, failure, statements_lost)


HEADLINE = '      migrations/002_b.sql:1:14: relation "a" already exists [42P07]'
STEPS: dict[str, tuple[StepResult, list[str]]] = {
    "applied": (StepResult("001_a.sql", Outcome.APPLIED, 1234), ["  [x] 001_a.sql (1.23s)"]),
    "applied without a transaction": (
        StepResult("001_a.sql", Outcome.APPLIED, 20, Mode.NO_TRANSACTION, reason="VACUUM"),
        ["  [x] 001_a.sql (0.02s, no transaction: VACUUM)"],
    ),
    "resumed": (
        StepResult("001_a.sql", Outcome.APPLIED, 20, Mode.NO_TRANSACTION, reason="VACUUM", resumed_at=4),
        ["  [x] 001_a.sql (0.02s, no transaction: VACUUM, from statement 4)"],
    ),
    "skipped": (
        StepResult("001_a.sql", Outcome.SKIPPED, 20),
        ["  [x] 001_a.sql (another runner was faster)"],
    ),
    "failed": (
        StepResult("002_b.sql", Outcome.FAILED, 20, failure=DUPLICATE),
        ["  [ ] 002_b.sql FAILED (0.02s)"],
    ),
    "marked, nothing lost": (
        marked(1),
        [
            "  [!] 002_b.sql MARKED AS APPLIED (0.01s)",
            HEADLINE,
            "      statement 1 of 1: CREATE TABLE a (",
            "      nothing lost",
        ],
    ),
    "marked, one lost": (
        marked(2, SECOND),
        [
            "  [!] 002_b.sql MARKED AS APPLIED (0.01s)",
            HEADLINE,
            "      statement 1 of 2: CREATE TABLE a (",
            "      1 of 2 statements lost:",
            "        line 4: INSERT INTO a VALUES (1)",
        ],
    ),
    "marked, several lost": (
        marked(3, SECOND, SECOND),
        [
            "  [!] 002_b.sql MARKED AS APPLIED (0.01s)",
            HEADLINE,
            "      statement 1 of 3: CREATE TABLE a (",
            "      2 of 3 statements lost:",
            "        line 4: INSERT INTO a VALUES (1)",
            "        line 4: INSERT INTO a VALUES (1)",
        ],
    ),
    "marked, the statement is not known": (
        marked(1, FIRST, failure=Failure(FOLDER / "002_b.sql", "already exists")),
        [
            "  [!] 002_b.sql MARKED AS APPLIED (0.01s)",
            "      migrations/002_b.sql: already exists",
            "      1 of 1 statement lost:",
            "        line 1: CREATE TABLE a (",
        ],
    ),
    "marked by hand": (marked(1, failure=None), ["  [!] 002_b.sql MARKED AS APPLIED (0.01s)"]),
}


@pytest.mark.parametrize(("result", "lines"), STEPS.values(), ids=STEPS)
def test_a_step(result: StepResult, lines: list[str]) -> None:
    assert render.plain(render.step_lines(result)).split("\n") == lines


def test_every_outcome_has_a_line() -> None:
    for outcome in Outcome:
        assert render.step_lines(StepResult("001_a.sql", outcome))


def step(outcome: Outcome) -> StepResult:
    return StepResult("001_a.sql", outcome)


TWELVE = tuple(f"{number:03d}_x.sql" for number in range(1, 13))
REPORTS: dict[str, tuple[Report, list[str]]] = {
    "nothing to do": (
        Report(duration_ms=4),
        [
            "Nothing to run: every migration is applied.",
            "",
            "Applied: 0 | Marked: 0 | Failed: 0 | Pending: 0 | Time: 0.00s",
        ],
    ),
    "all is done": (
        Report((step(Outcome.APPLIED), step(Outcome.APPLIED), step(Outcome.MARKED)), duration_ms=1234),
        ["", "Applied: 2 | Marked: 1 | Failed: 0 | Pending: 0 | Time: 1.23s"],
    ),
    "something is left": (
        Report((step(Outcome.APPLIED), step(Outcome.FAILED)), ("002_b.sql", "003_c.sql"), duration_ms=50),
        [
            "",
            "Still pending:",
            "  [ ] 002_b.sql",
            "  [ ] 003_c.sql",
            "",
            "Applied: 1 | Marked: 0 | Failed: 1 | Pending: 2 | Time: 0.05s",
        ],
    ),
    "nothing was chosen": (
        Report((), ("002_b.sql",)),
        [
            "",
            "Still pending:",
            "  [ ] 002_b.sql",
            "",
            "Applied: 0 | Marked: 0 | Failed: 0 | Pending: 1 | Time: 0.00s",
        ],
    ),
    "another runner was faster": (
        Report((step(Outcome.SKIPPED),)),
        ["", "Applied: 0 | Marked: 0 | Failed: 0 | Pending: 0 | Time: 0.00s"],
    ),
    "ten are shown": (
        Report((), TWELVE[:10]),
        [
            "",
            "Still pending:",
            *(f"  [ ] {name}" for name in TWELVE[:10]),
            "",
            "Applied: 0 | Marked: 0 | Failed: 0 | Pending: 10 | Time: 0.00s",
        ],
    ),
    "and how many more": (
        Report((), TWELVE),
        [
            "",
            "Still pending:",
            *(f"  [ ] {name}" for name in TWELVE[:10]),
            "  and 2 more",
            "",
            "Applied: 0 | Marked: 0 | Failed: 0 | Pending: 12 | Time: 0.00s",
        ],
    ),
}


@pytest.mark.parametrize(("report", "lines"), REPORTS.values(), ids=REPORTS)
def test_a_report(report: Report, lines: list[str]) -> None:
    assert render.plain(render.report_lines(report)).split("\n") == lines


NOTICE = Notice("001_a.sql", "WARNING", "it is late\nor early", "01000", "a detail", "a hint")
FINDING = Finding("modified", "changed since it was applied: 001_a.sql", ("001_a.sql",), "put it back")
FINDING_JSON = {
    "kind": "modified",
    "message": "changed since it was applied: 001_a.sql",
    "names": ["001_a.sql"],
    "remedy": "put it back",
}
REPORT = Report(
    (
        StepResult(
            "001_a.sql",
            Outcome.APPLIED,
            1234,
            Mode.NO_TRANSACTION,
            3,
            reason="VACUUM",
            resumed_at=2,
            notices=(NOTICE, Notice("001_a.sql", "NOTE", "of our own")),
        ),
        marked(2, SECOND),
        StepResult(
            "003_c.sql",
            Outcome.FAILED,
            5,
            Mode.TRANSACTION,
            1,
            Failure(
                FOLDER / "003_c.sql",
                "it broke",
                done=4,
                detail="a detail",
                hint="a hint",
                context="a context",
                remedy="a remedy",
            ),
        ),
    ),
    ("003_c.sql", "004_d.sql"),
    (FINDING,),
    1300,
)
REPORT_JSON: dict[str, Any] = {
    "format": 1,
    "command": "run",
    "dry_run": False,
    "results": [
        {
            "name": "001_a.sql",
            "outcome": "applied",
            "duration_ms": 1234,
            "mode": "no-transaction",
            "reason": "VACUUM",
            "statements": 3,
            "resumed_at": 2,
            "tries": 1,
            "failure": None,
            "lost_statements": [],
            "skipped_statements": [],
            "notices": [
                {
                    "severity": "WARNING",
                    "message": "it is late\nor early",
                    "code": "01000",
                    "detail": "a detail",
                    "hint": "a hint",
                },
                {"severity": "NOTE", "message": "of our own", "code": None, "detail": None, "hint": None},
            ],
        },
        {
            "name": "002_b.sql",
            "outcome": "marked",
            "duration_ms": 12,
            "mode": "transaction",
            "reason": None,
            "statements": 2,
            "resumed_at": 1,
            "tries": 1,
            "failure": {
                "file": "migrations/002_b.sql",
                "line": 1,
                "column": 14,
                "message": 'relation "a" already exists',
                "code": "42P07",
                "object": "a",
                "detail": None,
                "hint": None,
                "context": None,
                "statement": 1,
                "statements_done": 0,
                "remedy": None,
            },
            "lost_statements": [
                {
                    "number": 2,
                    "line": 4,
                    "first_line": "INSERT INTO a VALUES (1)",
                    "objects": [],
                    "exists": False,
                }
            ],
            "skipped_statements": [],
            "notices": [],
        },
        {
            "name": "003_c.sql",
            "outcome": "failed",
            "duration_ms": 5,
            "mode": "transaction",
            "reason": None,
            "statements": 1,
            "resumed_at": 1,
            "tries": 1,
            "failure": {
                "file": "migrations/003_c.sql",
                "line": None,
                "column": None,
                "message": "it broke",
                "code": None,
                "object": None,
                "detail": "a detail",
                "hint": "a hint",
                "context": "a context",
                "statement": None,
                "statements_done": 4,
                "remedy": "a remedy",
            },
            "lost_statements": [],
            "skipped_statements": [],
            "notices": [],
        },
    ],
    "pending": ["003_c.sql", "004_d.sql"],
    "findings": [FINDING_JSON],
    "duration_ms": 1300,
}


def test_report_json() -> None:
    assert render.report_json(REPORT) == REPORT_JSON


# --- notices ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("notice", "lines"),
    [
        (
            NOTICE,
            ["001_a.sql: WARNING: it is late", "  or early", "  DETAIL: a detail", "  HINT: a hint"],
        ),
        (Notice("001_a.sql", "NOTICE", "skipping"), ["001_a.sql: NOTICE: skipping"]),
        (Notice("001_a.sql", "NOTE", "\x1b[31mred\r"), ["001_a.sql: NOTE: \u241b[31mred\u240d"]),
        (Notice("001_a.sql", "INFO", "many " * 999 + "words"), [f"001_a.sql: INFO: {'many ' * 999}words"]),
    ],
)
def test_a_notice(notice: Notice, lines: list[str]) -> None:
    assert render.plain(render.notice_lines(notice)).split("\n") == lines


# --- dry run ----------------------------------------------------------------------------------------------


def script(name: str, *statements: Statement, reason: str | None = None) -> Script:
    mode = Mode.NO_TRANSACTION if reason else Mode.TRANSACTION
    source = ";\n".join(statement.sql for statement in statements).encode()
    return Script(name, FOLDER / name, SUM, split(source, GENERIC), mode, reason)


PLAN = Plan(
    (
        script("001_a.sql", FIRST, SECOND),
        script("002_b.sql", SECOND, reason="CREATE INDEX CONCURRENTLY"),
        script("003_c.sql"),
        replace(script("004_d.sql", FIRST, SECOND, SECOND, reason="VACUUM"), done=2),
        script("005_e.sql", FIRST, SECOND, reason="VACUUM"),
    ),
    (FINDING,),
    frozenset({"005_e.sql"}),
)


def test_a_plan() -> None:
    assert render.plain(render.plan_lines(PLAN)).split("\n") == [
        "Would apply:",
        "  [ ] 001_a.sql (2 statements)",
        "  [ ] 002_b.sql (1 statement, no transaction: CREATE INDEX CONCURRENTLY)",
        "  [ ] 003_c.sql (0 statements)",
        "  [ ] 004_d.sql (3 statements, from statement 3, no transaction: VACUUM)",
        "  [ ] 005_e.sql (2 statements, from statement 1 again, no transaction: VACUUM)",
        "",
        "Would apply: 5 | Nothing was written.",
    ]


def test_a_plan_of_nothing() -> None:
    # What is pending beyond a --to is not in the plan, so it cannot say that all is applied.
    assert render.plain(render.plan_lines(Plan(()))) == "Nothing to run."


@pytest.mark.parametrize("command", ["plan", "run"])
def test_plan_json(command: str) -> None:
    def entry(name: str, statements: int, reason: str | None = None, resumes_at: int = 1) -> dict[str, Any]:
        mode = "no-transaction" if reason else "transaction"
        found = {"name": name, "checksum": SUM, "mode": mode, "reason": reason}
        return {**found, "statements": statements, "resumes_at": resumes_at}

    assert render.plan_json(PLAN, command) == {
        "format": 1,
        "command": command,
        "dry_run": True,
        "plan": [
            entry("001_a.sql", 2),
            entry("002_b.sql", 1, "CREATE INDEX CONCURRENTLY"),
            entry("003_c.sql", 0),
            entry("004_d.sql", 3, "VACUUM", 3),
            entry("005_e.sql", 2, "VACUUM"),
        ],
        "findings": [FINDING_JSON],
    }


# --- the log ----------------------------------------------------------------------------------------------


def logged(event: Event | str, name: str = "001_a.sql", *, second: int = 0, **more: Any) -> LogEntry:
    at = datetime(2025, 3, 9, 17, 4, second, 678901, tzinfo=UTC)
    found = LogEntry(event, name, logged_at=at, database_user="ada", client="eve@host", fluxmig_version="1.2")
    return replace(found, **more)


HEAD = "ada, eve@host, UTC+00:00:"
VACUUM = "no transaction: VACUUM"
LOGS: dict[str, tuple[list[LogEntry], list[str]]] = {
    "nothing": ([], ["The log is empty."]),
    "applied": (
        [logged(Event.APPLIED, duration_ms=1234), logged(Event.APPLIED, second=9, message=VACUUM)],
        [
            HEAD,
            "  2025-03-09 17:04:00  applied     001_a.sql (1.23s)",
            "  2025-03-09 17:04:09  applied     001_a.sql (no transaction: VACUUM)",
        ],
    ),
    "failed": (
        [
            logged(
                Event.FAILED,
                duration_ms=5,
                error_code="42P01",
                message="it\x1b broke\n!",
                statement_number=2,
                line=14,
            ),
            logged(Event.FAILED, message="at the commit"),
            logged(Event.FAILED, message="somewhere", line=3),
            logged(Event.FAILED),
        ],
        [
            HEAD,
            "  2025-03-09 17:04:00  failed      001_a.sql (0.01s)",
            "      statement 2, line 14: it\u241b broke\u240a! [42P01]",
            "  2025-03-09 17:04:00  failed      001_a.sql",
            "      at the commit",
            "  2025-03-09 17:04:00  failed      001_a.sql",
            "      line 3: somewhere",
            "  2025-03-09 17:04:00  failed      001_a.sql",
        ],
    ),
    "marked, and taken back": (
        [
            logged(Event.MARKED, message="it is there; 1 lost", statement_number=1, line=1, duration_ms=0),
            logged(Event.ROLLED_BACK, duration_ms=10),
            logged(Event.UNRECORDED, duration_ms=0),
            logged(Event.RESTARTED),
        ],
        [
            HEAD,
            "  2025-03-09 17:04:00  marked      001_a.sql (0.00s)",
            "      statement 1, line 1: it is there; 1 lost",
            "  2025-03-09 17:04:00  rolled back 001_a.sql (0.01s)",
            "  2025-03-09 17:04:00  unrecorded  001_a.sql (0.00s)",
            "  2025-03-09 17:04:00  restarted   001_a.sql",
        ],
    ),
    "progress": (
        [
            logged(Event.STARTED, message=VACUUM, statement_number=1),
            logged(Event.PROGRESS, statement_number=1),
            logged(Event.PROGRESS, statement_number=2),
            logged(Event.FAILED, message="no", statement_number=3),
            logged(Event.STARTED, message=VACUUM, statement_number=3),
            logged(Event.PROGRESS, statement_number=3),
            logged(Event.APPLIED, "002_b.sql"),
            logged(Event.PROGRESS, statement_number=4),
            logged(Event.APPLIED, message=VACUUM),
            logged(Event.STARTED, "003_c.sql", message=VACUUM, statement_number=1),
            logged(Event.PROGRESS, "003_c.sql", statement_number=1),
        ],
        [
            HEAD,
            "  2025-03-09 17:04:00  started     001_a.sql (no transaction: VACUUM)",
            "  2025-03-09 17:04:00  progress    001_a.sql (statements 1 to 2 are done)",
            "  2025-03-09 17:04:00  failed      001_a.sql",
            "      statement 3: no",
            "  2025-03-09 17:04:00  started     001_a.sql (no transaction: VACUUM, from statement 3)",
            "  2025-03-09 17:04:00  applied     002_b.sql",
            "  2025-03-09 17:04:00  applied     001_a.sql (no transaction: VACUUM)",
            "  2025-03-09 17:04:00  started     003_c.sql (no transaction: VACUUM)",
            "  2025-03-09 17:04:00  progress    003_c.sql (statement 1 is done)",
        ],
    ),
    "of people": (
        [
            logged(Event.APPLIED),
            logged(Event.MARKED_BY_HAND, reason="restored\nfrom a \x1b[31mdump"),
            logged(Event.UNRECORDED),
            logged(Event.ADOPTED, message="all 3 objects are there"),
            logged(Event.ACCEPTED, reason="a comment"),
            logged(Event.RESOLVED, message="as done", reason="by hand"),
            logged(Event.RENAMED, message="to 002_a.sql"),
        ],
        [
            HEAD,
            "  2025-03-09 17:04:00  applied        001_a.sql",
            "  2025-03-09 17:04:00  marked by hand 001_a.sql (why: restored\u240afrom a \u241b[31mdump)",
            "  2025-03-09 17:04:00  unrecorded     001_a.sql",
            "  2025-03-09 17:04:00  adopted        001_a.sql (all 3 objects are there)",
            "  2025-03-09 17:04:00  accepted       001_a.sql (why: a comment)",
            "  2025-03-09 17:04:00  resolved       001_a.sql (as done, why: by hand)",
            "  2025-03-09 17:04:00  renamed        001_a.sql (to 002_a.sql)",
        ],
    ),
    "of a later version": (
        [logged("vaporised", message="in its own words", statement_number=2, error_code="X")],
        [
            HEAD,
            "  2025-03-09 17:04:00  vaporised   001_a.sql",
            "      statement 2: in its own words [X]",
        ],
    ),
    "by others, and elsewhere": (
        [
            logged(Event.APPLIED),
            logged(Event.APPLIED, client="bob@host"),
            logged(Event.APPLIED, client="bob@host", logged_at=AT.astimezone(timezone(timedelta(hours=2)))),
            logged(Event.APPLIED, database_user="eve@host"),
            logged(Event.APPLIED, database_user=None, client=None),
            logged(Event.APPLIED, database_user=None, client=None, logged_at=None),
        ],
        [
            HEAD,
            "  2025-03-09 17:04:00  applied     001_a.sql",
            "ada, bob@host, UTC+00:00:",
            "  2025-03-09 17:04:00  applied     001_a.sql",
            "ada, bob@host, UTC+02:00:",
            "  2025-03-09 19:04:05  applied     001_a.sql",
            "eve@host, UTC+00:00:",
            "  2025-03-09 17:04:00  applied     001_a.sql",
            "UTC+00:00:",
            "  2025-03-09 17:04:00  applied     001_a.sql",
            "UTC:",
            "    applied     001_a.sql",
        ],
    ),
}


@pytest.mark.parametrize(("entries", "lines"), LOGS.values(), ids=LOGS)
def test_a_log(entries: list[LogEntry], lines: list[str]) -> None:
    assert render.plain(render.log_lines(entries)).split("\n") == lines


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (None, "The log is empty."),
        ("nope", "The log has nothing of nope."),
        ("postgresql://ada:secret@db/studio", "The log is empty."),
    ],
)
def test_a_log_without_what_was_asked_for(name: str | None, text: str) -> None:
    assert render.plain(render.log_lines([], name)) == text


def test_the_last_lines_of_a_log() -> None:
    """The progress that is not shown does not count."""
    entries, lines = LOGS["progress"]
    assert render.plain(render.log_lines(entries, last=3)).split("\n") == [HEAD, *lines[-3:]]
    assert render.plain(render.log_lines(entries, last=99)).split("\n") == lines


def test_log_json() -> None:
    entries = [
        logged(
            Event.FAILED,
            id=7,
            message="it broke",
            error_code="42P01",
            statement_number=2,
            line=14,
            duration_ms=5,
            checksum=SUM,
        ),
        LogEntry("vaporised", "002_b.sql", id=8),
    ]
    assert render.log_json(entries) == {
        "format": 1,
        "command": "log",
        "entries": [
            {
                "id": 7,
                "event": "failed",
                "name": "001_a.sql",
                "logged_at": "2025-03-09T17:04:00.678901+00:00",
                "duration_ms": 5,
                "checksum": SUM,
                "database_user": "ada",
                "client": "eve@host",
                "fluxmig_version": "1.2",
                "error_code": "42P01",
                "message": "it broke",
                "statement": 2,
                "line": 14,
                "reason": None,
                "statements": None,
                "lost": None,
                "unchecked": None,
            },
            {
                "id": 8,
                "event": "vaporised",
                "name": "002_b.sql",
                "logged_at": None,
                "duration_ms": None,
                "checksum": None,
                "database_user": None,
                "client": None,
                "fluxmig_version": None,
                "error_code": None,
                "message": None,
                "statement": None,
                "line": None,
                "reason": None,
                "statements": None,
                "lost": None,
                "unchecked": None,
            },
        ],
    }


# --- rollback ---------------------------------------------------------------------------------------------

ROLLBACK = RollbackReport(
    (
        RollbackResult("002_b.sql", reversed=True, duration_ms=1234),
        RollbackResult("001_a.sql", reversed=False),
    )
)


def test_a_rollback() -> None:
    assert render.plain(render.rollback_lines(ROLLBACK, done=True)).split("\n") == [
        "  [ ] 002_b.sql reversed by its down script (1.23s)",
        "  [ ] 001_a.sql record removed; the SQL is NOT reversed",
    ]


def test_a_rollback_to_be_confirmed() -> None:
    assert render.plain(render.rollback_lines(ROLLBACK, done=False)).split("\n") == [
        "  [ ] 002_b.sql its down script runs, and its record goes",
        "  [ ] 001_a.sql only its record goes; the SQL is NOT reversed",
    ]


def test_rollback_json() -> None:
    assert render.rollback_json(ROLLBACK) == {
        "format": 1,
        "command": "rollback",
        "dry_run": False,
        "results": [
            {"name": "002_b.sql", "reversed": True, "duration_ms": 1234},
            {"name": "001_a.sql", "reversed": False, "duration_ms": 0},
        ],
        "to": None,
        "findings": [],
    }


# --- redo -------------------------------------------------------------------------------------------------

REDO_PLAN = RedoPlan(script("001_a.down.sql", FIRST), script("001_a.sql", FIRST, SECOND))
REDO = RedoReport(
    RollbackResult("001_a.sql", reversed=True, duration_ms=1234), step(Outcome.APPLIED), TWELVE, (FINDING,)
)


def test_a_redo_to_be_confirmed() -> None:
    lines = [
        "  [ ] 001_a.sql its down script runs (1 statement)",
        "  [x] 001_a.sql is applied again, as it is now (2 statements)",
    ]
    together = "Both in one transaction: if one fails, nothing is changed."
    assert render.plain(render.redo_plan_lines(REDO_PLAN)).split("\n") == [*lines, together]
    apart = replace(REDO_PLAN, apart="so it is", later=("002_b.sql",))
    assert render.plain(render.redo_plan_lines(apart)).split("\n") == [
        *lines,
        "One after the other, not in one transaction: so it is.",
        "If the second fails, the migration is taken back and pending.",
        "Applied after it, and not touched: 002_b.sql",
    ]


def test_a_redo() -> None:
    assert render.plain(render.redo_lines(REDO)).split("\n") == [
        "  [ ] 001_a.sql reversed by its down script (1.23s)",
        "  [x] 001_a.sql (0.00s)",
        f"Applied after it, and not touched: {', '.join(TWELVE[:10])} and 2 more",
    ]
    skipped = render.redo_lines(replace(REDO, applied=step(Outcome.SKIPPED), later=()))
    assert render.plain(skipped).split("\n")[1:] == ["  [x] 001_a.sql (another runner was faster)"]


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (RollbackReport(), "Nothing to take back: nothing is applied."),
        (RollbackReport(to="1.sql"), "Nothing to take back: nothing was applied after 1.sql."),
        (RollbackReport(findings=(Finding("partial", "x"),)), "Nothing to take back: nothing is applied."),
        (RollbackReport(findings=(Finding("overtaken", "x"),)), ""),
    ],
)
def test_nothing_to_take_back(report: RollbackReport, text: str) -> None:
    assert render.plain(render.rollback_lines(report, done=True)) == text


# --- verify -----------------------------------------------------------------------------------------------

SERVER = DatabaseInfo(
    "postgresql+psycopg",
    "PostgreSQL",
    "18.1",
    "studio",
    "ada",
    "2025-03-09 17:04:05+00",
    ssl=True,
    schema="public",
)
FILE = DatabaseInfo("sqlite+pysqlite", "SQLite", "3.45.1", "/srv/a.db", time="2025-03-09 17:04:05+00")
SHARED = Finding(
    "number", "number 001 is shared by 001_a.sql, 1_b.sql", ("001_a.sql", "1_b.sql"), "leave them"
)
NO_REMEDY = Finding("permission", "the login may not write public.schema_migrations")
WELL = Verification(
    SERVER,
    "public.schema_migrations",
    ledger_exists=True,
    log_exists=True,
    can_create=True,
    can_write=True,
    applied=104,
    pending=2,
)
ILL = Verification(
    SERVER,
    "public.schema_migrations",
    ledger_exists=True,
    log_exists=False,
    can_create=False,
    can_write=False,
    applied=1,
    pending=0,
    findings=(FINDING, NO_REMEDY),
)
EMPTY = Verification(
    FILE,
    "schema_migrations",
    ledger_exists=False,
    log_exists=False,
    can_create=None,
    can_write=None,
    applied=0,
    pending=0,
    findings=(FINDING,),
)


@pytest.mark.parametrize(
    ("verification", "lines"),
    [
        pytest.param(
            WELL,
            [
                "Server:     PostgreSQL 18.1 (postgresql+psycopg)",
                "Time:       2025-03-09 17:04:05+00",
                "Database:   studio",
                "User:       ada",
                "SSL:        on",
                "Ledger:     public.schema_migrations exists",
                "May create: yes",
                "May write:  yes",
                "Migrations: 104 applied, 2 pending",
                "",
                "All is well.",
            ],
            id="all is well",
        ),
        pytest.param(
            ILL,
            [
                "Server:     PostgreSQL 18.1 (postgresql+psycopg)",
                "Time:       2025-03-09 17:04:05+00",
                "Database:   studio",
                "User:       ada",
                "SSL:        on",
                "Ledger:     public.schema_migrations exists",
                "May create: no",
                "May write:  no",
                "Migrations: 1 applied, 0 pending",
                "",
                "problem: changed since it was applied: 001_a.sql",
                "  put it back",
                "problem: the login may not write public.schema_migrations",
                "2 problems",
            ],
            id="two problems",
        ),
        pytest.param(
            EMPTY,
            [
                "Server:     SQLite 3.45.1 (sqlite+pysqlite)",
                "Time:       2025-03-09 17:04:05+00",
                "Database:   /srv/a.db",
                "Ledger:     schema_migrations is made by the first run",
                "Migrations: 0 applied, 0 pending",
                "",
                "problem: changed since it was applied: 001_a.sql",
                "  put it back",
                "1 problem",
            ],
            id="what is not known is not shown",
        ),
        pytest.param(
            replace(EMPTY, findings=(), warnings=(SHARED,)),
            [
                "Server:     SQLite 3.45.1 (sqlite+pysqlite)",
                "Time:       2025-03-09 17:04:05+00",
                "Database:   /srv/a.db",
                "Ledger:     schema_migrations is made by the first run",
                "Migrations: 0 applied, 0 pending",
                "",
                "warning: number 001 is shared by 001_a.sql, 1_b.sql",
                "  leave them",
                "no problems, 1 warning",
            ],
            id="a warning",
        ),
        pytest.param(
            replace(EMPTY, warnings=(SHARED, NO_REMEDY)),
            [
                "Server:     SQLite 3.45.1 (sqlite+pysqlite)",
                "Time:       2025-03-09 17:04:05+00",
                "Database:   /srv/a.db",
                "Ledger:     schema_migrations is made by the first run",
                "Migrations: 0 applied, 0 pending",
                "",
                "warning: number 001 is shared by 001_a.sql, 1_b.sql",
                "  leave them",
                "warning: the login may not write public.schema_migrations",
                "problem: changed since it was applied: 001_a.sql",
                "  put it back",
                "1 problem, 2 warnings",
            ],
            id="warnings and a problem",
        ),
    ],
)
def test_a_verification(verification: Verification, lines: list[str]) -> None:
    assert render.plain(render.verify_lines(verification)).split("\n") == lines


def test_without_ssl() -> None:
    info = DatabaseInfo("postgresql+psycopg", "PostgreSQL", "18.1", ssl=False)
    verification = Verification(
        info, "t", ledger_exists=True, log_exists=True, can_create=None, can_write=None, applied=0, pending=0
    )
    assert render.plain(render.verify_lines(verification)).split("\n")[1] == "SSL:        off"


def test_verify_json() -> None:
    assert render.verify_json(ILL) == {
        "format": 1,
        "command": "verify",
        "ok": False,
        "server": {
            "product": "PostgreSQL",
            "version": "18.1",
            "dialect": "postgresql+psycopg",
            "time": "2025-03-09 17:04:05+00",
        },
        "database": "studio",
        "user": "ada",
        "ssl": True,
        "ledger": {
            "table": "public.schema_migrations",
            "exists": True,
            "log_exists": False,
            "may_create": False,
            "may_write": False,
        },
        "applied": 1,
        "pending": 0,
        "findings": [
            FINDING_JSON,
            {
                "kind": "permission",
                "message": "the login may not write public.schema_migrations",
                "names": [],
                "remedy": None,
            },
        ],
        "warnings": [],
        "capabilities": None,
    }


def test_verify_json_where_all_is_well() -> None:
    found = render.verify_json(replace(WELL, warnings=(SHARED,)))
    assert (found["ok"], found["findings"]) == (True, [])
    assert found["warnings"] == [
        {
            "kind": "number",
            "message": "number 001 is shared by 001_a.sql, 1_b.sql",
            "names": ["001_a.sql", "1_b.sql"],
            "remedy": "leave them",
        }
    ]
    assert found["ledger"] == {
        "table": "public.schema_migrations",
        "exists": True,
        "log_exists": True,
        "may_create": True,
        "may_write": True,
    }


# --- what all share ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finding", "words", "text"),
    [
        pytest.param(
            FINDING,
            (),
            "warning: changed since it was applied: 001_a.sql\n  put it back",
            id="with its remedy",
        ),
        pytest.param(
            NO_REMEDY,
            ("problem", "red"),
            "problem: the login may not write public.schema_migrations",
            id="without",
        ),
    ],
)
def test_a_finding(finding: Finding, words: tuple[str, ...], text: str) -> None:
    assert render.plain(render.finding_lines(finding, *words)) == text


def test_an_error_before_anything_was_done() -> None:
    error = ConfigError("there is no database URL", remedy="give --database-url URL")
    assert render.error_json("status", error) == {
        "format": 1,
        "command": "status",
        "error": {
            "type": "ConfigError",
            "message": "there is no database URL",
            "remedy": "give --database-url URL",
            "exit_code": 2,
        },
    }


def test_an_error_without_remedy() -> None:
    assert render.error_json("run", LedgerError("x"))["error"] == {
        "type": "LedgerError",
        "message": "x",
        "remedy": None,
        "exit_code": 4,
    }


def test_an_error_with_what_was_done_before_it() -> None:
    error = MigrationFailedError(report=REPORT, failures=REPORT.having(Outcome.FAILED))
    assert render.error_json("run", error, render.report_json(REPORT)) == {
        **REPORT_JSON,
        "error": {
            "type": "MigrationFailedError",
            "message": (
                "migrations/003_c.sql: it broke\nDETAIL: a detail\nHINT: a hint\nCONTEXT: a context\na remedy"
            ),
            "remedy": None,
            "exit_code": 1,
        },
    }


DOCUMENTS: dict[str, dict[str, Any]] = {
    "status": render.status_json([applied("001_a.sql", 1), pending("002_b.sql")]),
    "run": render.report_json(REPORT),
    "plan": render.plan_json(PLAN),
    "log": render.log_json([logged(Event.APPLIED), logged("vaporised")]),
    "rollback": render.rollback_json(ROLLBACK),
    "redo": render.redo_json(REDO),
    "a plan to redo": render.redo_plan_json(REDO_PLAN),
    "verify": render.verify_json(WELL),
    "error": render.error_json("run", ConfigError("x")),
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_documents_are_plain_json(document: dict[str, Any]) -> None:
    assert json.loads(json.dumps(document)) == document
    assert list(document)[:2] == ["format", "command"]


# --- colour -----------------------------------------------------------------------------------------------

ODD_NAME = "001_[red]a[/red] :smile: \\[b] {c} http://x.y/z 'q' 12.5 é漢\N{GRINNING FACE}.sql"
TEXTS: dict[str, list[Line]] = {
    "status": render.status_lines(
        [
            applied("001_a.sql", 1),
            applied("002_b.sql", 1, MARKED),
            applied("003_c.sql", 1, MODIFIED),
            pending("004_d.sql"),
            pending("005_e.sql", FAILED),
        ]
    ),
    "status of nothing": render.status_lines([]),
    "report": render.report_lines(Report((step(Outcome.APPLIED),), TWELVE)),
    "plan": render.plan_lines(PLAN),
    "a notice": render.notice_lines(NOTICE),
    **{f"log, {name}": render.log_lines(entries) for name, (entries, _) in LOGS.items() if entries},
    "rollback": render.rollback_lines(ROLLBACK, done=True),
    "redo": render.redo_lines(REDO),
    "a plan to redo": render.redo_plan_lines(replace(REDO_PLAN, apart="so it is")),
    "all is well": render.verify_lines(WELL),
    "problems": render.verify_lines(ILL),
    "a warning": render.verify_lines(replace(WELL, warnings=(SHARED,))),
    "a finding of many lines": render.finding_lines(Finding("files", "a\n\n  b\nc", (), "d\ne")),
    "an odd name": render.status_lines([applied(ODD_NAME, 1), pending(ODD_NAME)]),
    "a very long line": render.finding_lines(Finding("x", "many words " * 5000 + "end")),
    **{f"step, {name}": render.step_lines(result) for name, (result, _) in STEPS.items()},
}
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("lines", TEXTS.values(), ids=TEXTS)
def test_on_a_terminal_it_is_the_same_in_colour(lines: list[Line]) -> None:
    shown = render.terminal(lines)
    assert ANSI.search(shown)
    assert ANSI.sub("", shown) == render.plain(lines)
    assert shown.count("\x1b[0m") * 2 == len(ANSI.findall(shown))  # whatever is turned on is turned off


@pytest.mark.parametrize(
    "variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": "dumb", "COLUMNS": "20"}]
)
def test_the_environment_does_not_count(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = TEXTS["status"]
    expected = render.terminal(lines)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert render.terminal(lines) == expected


def colors(line: Line) -> list[tuple[str, str]]:
    """Each part of a line with the codes that stand before it, as a terminal gets them."""
    parts = re.findall(r"(?:\x1b\[([0-9;]+)m)?([^\x1b]+)(?:\x1b\[0m)?", render.terminal([line]))
    return [(text, code) for code, text in parts]


GREEN, YELLOW, RED, DIM, BOLD = "32", "33", "31", "2", "1"


def test_which_colours() -> None:
    assert colors(render.step_lines(step(Outcome.APPLIED))[0]) == [
        ("  [x] ", GREEN),
        ("001_a.sql", ""),
        (" (0.00s)", DIM),
    ]
    assert colors(render.step_lines(step(Outcome.FAILED))[0]) == [
        ("  [ ] ", RED),
        ("001_a.sql", ""),
        (" FAILED", RED),
        (" (0.00s)", DIM),
    ]
    assert colors(render.step_lines(step(Outcome.MARKED))[0])[0] == ("  [!] ", YELLOW)
    assert colors(render.status_lines([])[0]) == [("MIGRATION STATUS", BOLD)]


@pytest.mark.parametrize(
    ("condition", "code"),
    [(MODIFIED, RED), (MISSING, RED), (FAILED, RED), (PARTIAL, RED), (MARKED, YELLOW), (LATE, YELLOW)],
)
def test_which_colour_has_what_is_wrong(condition: Condition, code: str) -> None:
    is_pending = condition in {FAILED, PARTIAL, LATE}
    status = pending("1.sql", condition) if is_pending else applied("1.sql", 1, condition)
    line = next(line for line in render.status_lines([status]) if any("1.sql" in text for text, _ in line))
    assert colors(line)[-1] == (f" [{condition.value}]", code)


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (Event.APPLIED, GREEN),
        (Event.STARTED, DIM),
        (Event.PROGRESS, DIM),
        (Event.FAILED, RED),
        (Event.MARKED, YELLOW),
        (Event.RESTARTED, YELLOW),
        (Event.ROLLED_BACK, YELLOW),
        (Event.UNRECORDED, YELLOW),
        ("vaporised", YELLOW),
    ],
)
def test_which_colour_has_an_event(event: Event | str, code: str) -> None:
    assert colors(render.log_lines([logged(event)])[1])[1] == (f"{event:<11} ", code)


CONTROLS = "".join(map(chr, [*range(9), *range(11, 32), 127]))


@pytest.mark.parametrize(
    "lines",
    [
        render.status_lines([applied(f"1{CONTROLS}.sql", 1)]),
        render.step_lines(StepResult(f"1{CONTROLS}.sql", Outcome.APPLIED, reason=CONTROLS)),
        render.step_lines(marked(1, failure=replace(DUPLICATE, message=CONTROLS))),
        render.notice_lines(Notice(CONTROLS, CONTROLS, CONTROLS, CONTROLS, CONTROLS, CONTROLS)),
        render.log_lines(
            [logged(CONTROLS, CONTROLS, message=CONTROLS, error_code=CONTROLS, client=CONTROLS)]
        ),
        render.finding_lines(Finding(CONTROLS, CONTROLS, (), CONTROLS)),
        render.verify_lines(replace(WELL, info=replace(SERVER, database=CONTROLS), table=CONTROLS)),
    ],
)
def test_control_characters_never_reach_a_terminal(lines: list[Line]) -> None:
    for shown in (render.plain(lines), ANSI.sub("", render.terminal(lines))):
        assert "\u241b" in shown
        assert re.findall(r"[^\n -~\u2400-\u2421]", shown) == []


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("  ... 001_a.sql", 79, "  ... 001_a.sql"),
        ("  ... 001_a.sql", 9, "  ... 001"),
        ("名名名名", 8, "名名名名"),
        ("名名名名", 7, "名名名"),
        ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
        ("a\x1b[31m\r", 79, "a\u241b[31m\u240d"),
    ],
)
def test_what_has_room(text: str, columns: int, shown: str) -> None:
    assert render.cut(text, columns) == shown


def test_a_caret_behind_a_tab_stays_in_its_column_on_a_terminal() -> None:
    lines: list[Line] = [[("  1 | a\tb", "")], [("    |  \t^", "")]]
    above, caret = render.terminal(lines).split("\n")
    assert above.index("b") == caret.index("^")


def test_plain_text_has_no_codes() -> None:
    for lines in TEXTS.values():
        assert "\x1b" not in render.plain(lines)
