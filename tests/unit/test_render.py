"""What people and programs are shown: every text as a whole, every document as a whole."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
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
    Migration,
    MigrationStatus,
    Mode,
    Outcome,
    Plan,
    Record,
    Report,
    RollbackReport,
    RollbackResult,
    Script,
    State,
    Statement,
    StepResult,
    Verification,
)

if TYPE_CHECKING:
    from fluxmig.render import Line

SUM = "0123456789abcdef" * 4
AT = datetime(2025, 3, 9, 17, 4, 5, 678901, tzinfo=UTC)
FOLDER = Path("migrations")


def applied(
    name: str, time_ms: int | None = None, *conditions: Condition, message: str | None = None
) -> MigrationStatus:
    record = Record(7, name, AT, time_ms, SUM[:16], "ada")
    migration = None if Condition.MISSING in conditions else Migration(name, 1, FOLDER / name, SUM, "")
    event = LogEntry(Event.MARKED, name, message) if message else None
    return MigrationStatus(name, State.APPLIED, conditions, migration, record, event)


def pending(name: str, *conditions: Condition, message: str | None = None) -> MigrationStatus:
    event = LogEntry(Event.FAILED, name, message) if message else None
    return MigrationStatus(
        name, State.PENDING, conditions, Migration(name, 1, FOLDER / name, SUM, ""), None, event
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

============================================================
Total: 8 | Applied: 5 | Pending: 3"""

NOTHING = """\
MIGRATION STATUS
============================================================

Applied Migrations:

Pending Migrations:

============================================================
Total: 0 | Applied: 0 | Pending: 0"""

MARKED, MODIFIED, MISSING = Condition.MARKED, Condition.MODIFIED, Condition.MISSING
FAILED, LATE = Condition.FAILED, Condition.OUT_OF_ORDER


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


def test_status_json() -> None:
    statuses = [
        applied("001_a.sql", 1234),
        applied("002_b.sql", None, MARKED, message='relation "b" already exists'),
        applied("003_c.sql", 0, MISSING),
        pending("004_d.sql"),
        pending("005_e.sql", FAILED, message="syntax error"),
        MigrationStatus("006_f.sql", State.APPLIED, (MISSING,), None, Record(1, "006_f.sql")),
        pending("007_g.sql", message="of an old failure"),
    ]
    nothing = {
        "recorded_checksum": None,
        "applied_at": None,
        "applied_by": None,
        "execution_time_ms": None,
        "message": None,
    }
    recorded = {
        "state": "applied",
        "checksum": SUM,
        "recorded_checksum": SUM[:16],
        "applied_at": "2025-03-09T17:04:05.678901+00:00",
        "applied_by": "ada",
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
            },
            {"name": "007_g.sql", **to_do, **nothing},
        ],
        "total": 7,
        "applied": 4,
        "pending": 3,
    }


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
    return StepResult("002_b.sql", Outcome.MARKED, 12, Mode.TRANSACTION, statements, failure, lost)


HEADLINE = '      migrations/002_b.sql:1:14: relation "a" already exists [42P07]'
STEPS: dict[str, tuple[StepResult, list[str]]] = {
    "applied": (StepResult("001_a.sql", Outcome.APPLIED, 1234), ["  [x] 001_a.sql (1.23s)"]),
    "applied without a transaction": (
        StepResult("001_a.sql", Outcome.APPLIED, 20, Mode.NO_TRANSACTION),
        ["  [x] 001_a.sql (0.02s, no transaction)"],
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
            "      no other statement was lost",
        ],
    ),
    "marked, one lost": (
        marked(2, SECOND),
        [
            "  [!] 002_b.sql MARKED AS APPLIED (0.01s)",
            HEADLINE,
            "      statement 1 of 2: CREATE TABLE a (",
            "      1 other statement did not take effect",
        ],
    ),
    "marked, several lost": (
        marked(3, SECOND, SECOND),
        [
            "  [!] 002_b.sql MARKED AS APPLIED (0.01s)",
            HEADLINE,
            "      statement 1 of 3: CREATE TABLE a (",
            "      2 other statements did not take effect",
        ],
    ),
    "marked, the statement is not known": (
        marked(1, FIRST, failure=Failure(FOLDER / "002_b.sql", "already exists")),
        [
            "  [!] 002_b.sql MARKED AS APPLIED (0.01s)",
            "      migrations/002_b.sql: already exists",
            "      1 other statement did not take effect",
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


FINDING = Finding("modified", "changed since it was applied: 001_a.sql", ("001_a.sql",), "put it back")
FINDING_JSON = {
    "kind": "modified",
    "message": "changed since it was applied: 001_a.sql",
    "names": ["001_a.sql"],
    "remedy": "put it back",
}
REPORT = Report(
    (
        StepResult("001_a.sql", Outcome.APPLIED, 1234, Mode.NO_TRANSACTION, 3),
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
            "statements": 3,
            "failure": None,
            "lost_statements": [],
        },
        {
            "name": "002_b.sql",
            "outcome": "marked",
            "duration_ms": 12,
            "mode": "transaction",
            "statements": 2,
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
            "lost_statements": [{"number": 2, "line": 4, "first_line": "INSERT INTO a VALUES (1)"}],
        },
        {
            "name": "003_c.sql",
            "outcome": "failed",
            "duration_ms": 5,
            "mode": "transaction",
            "statements": 1,
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
        },
    ],
    "pending": ["003_c.sql", "004_d.sql"],
    "findings": [FINDING_JSON],
    "duration_ms": 1300,
}


def test_report_json() -> None:
    assert render.report_json(REPORT) == REPORT_JSON


# --- dry run ----------------------------------------------------------------------------------------------


def script(name: str, *statements: Statement, reason: str | None = None) -> Script:
    mode = Mode.NO_TRANSACTION if reason else Mode.TRANSACTION
    return Script(name, FOLDER / name, SUM, "", statements, mode, reason)


PLAN = Plan(
    (
        script("001_a.sql", FIRST, SECOND),
        script("002_b.sql", SECOND, reason="CREATE INDEX CONCURRENTLY"),
        script("003_c.sql"),
    ),
    (FINDING,),
)


def test_a_plan() -> None:
    assert render.plain(render.plan_lines(PLAN)).split("\n") == [
        "Would apply:",
        "  [ ] 001_a.sql (2 statements)",
        "  [ ] 002_b.sql (1 statement, no transaction: CREATE INDEX CONCURRENTLY)",
        "  [ ] 003_c.sql (0 statements)",
        "",
        "Would apply: 3 | Nothing was written.",
    ]


def test_a_plan_of_nothing() -> None:
    # What is pending beyond a --to is not in the plan, so it cannot say that all is applied.
    assert render.plain(render.plan_lines(Plan(()))) == "Nothing to run."


def test_plan_json() -> None:
    assert render.plan_json(PLAN) == {
        "format": 1,
        "command": "run",
        "dry_run": True,
        "plan": [
            {
                "name": "001_a.sql",
                "checksum": SUM,
                "mode": "transaction",
                "reason": None,
                "statements": 2,
            },
            {
                "name": "002_b.sql",
                "checksum": SUM,
                "mode": "no-transaction",
                "reason": "CREATE INDEX CONCURRENTLY",
                "statements": 1,
            },
            {
                "name": "003_c.sql",
                "checksum": SUM,
                "mode": "transaction",
                "reason": None,
                "statements": 0,
            },
        ],
        "findings": [FINDING_JSON],
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
        "results": [
            {"name": "002_b.sql", "reversed": True, "duration_ms": 1234},
            {"name": "001_a.sql", "reversed": False, "duration_ms": 0},
        ],
    }


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
    }


def test_verify_json_where_all_is_well() -> None:
    found = render.verify_json(WELL)
    assert (found["ok"], found["findings"]) == (True, [])
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
    "dry run": render.plan_json(PLAN),
    "rollback": render.rollback_json(ROLLBACK),
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
    "rollback": render.rollback_lines(ROLLBACK, done=True),
    "all is well": render.verify_lines(WELL),
    "problems": render.verify_lines(ILL),
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
    [(MODIFIED, RED), (MISSING, RED), (FAILED, RED), (MARKED, YELLOW), (LATE, YELLOW)],
)
def test_which_colour_has_what_is_wrong(condition: Condition, code: str) -> None:
    status = pending("1.sql", condition) if condition in {FAILED, LATE} else applied("1.sql", 1, condition)
    line = next(line for line in render.status_lines([status]) if any("1.sql" in text for text, _ in line))
    assert colors(line)[-1] == (f" [{condition.value}]", code)


def test_a_caret_behind_a_tab_stays_in_its_column_on_a_terminal() -> None:
    lines: list[Line] = [[("  1 | a\tb", "")], [("    |  \t^", "")]]
    above, caret = render.terminal(lines).split("\n")
    assert above.index("b") == caret.index("^")


def test_plain_text_has_no_codes() -> None:
    for lines in TEXTS.values():
        assert "\x1b" not in render.plain(lines)
