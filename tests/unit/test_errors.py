"""The errors: what they say, their exit codes, and the tree in the module's docstring."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from fluxmig import errors
from fluxmig.errors import (
    ConfigError,
    DatabaseConnectionError,
    DataFileError,
    FluxmigError,
    LedgerError,
    LoadError,
    LockTimeoutError,
    MigrationFailedError,
    MigrationFileError,
    RollbackError,
)
from fluxmig.model import (
    DatabaseInfo,
    Failure,
    FileProblem,
    Finding,
    Outcome,
    Report,
    RollbackReport,
    RollbackResult,
    Statement,
    StepResult,
    Verification,
)

EXIT_CODES: dict[type[FluxmigError], int] = {
    FluxmigError: 1,
    ConfigError: 2,
    MigrationFileError: 3,
    DataFileError: 3,
    LedgerError: 4,
    LockTimeoutError: 5,
    DatabaseConnectionError: 6,
    MigrationFailedError: 1,
    LoadError: 1,
    RollbackError: 1,
}
CLASSES = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, FluxmigError)]


@pytest.mark.parametrize("cls", CLASSES)
def test_the_exit_code(cls: type[FluxmigError]) -> None:
    assert cls.exit_code == EXIT_CODES[cls]


def test_every_error_is_public() -> None:
    assert sorted(errors.__all__) == sorted(cls.__name__ for cls in CLASSES)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.search(r"```\n(.*?)```", errors.__doc__ or "", re.DOTALL)
    assert drawn
    rows = [re.fullmatch(r"([├└]── )?(\w+) +(\d)(  \S.*)?", row) for row in drawn[1].splitlines()]
    root, *branches = [row.groups() for row in rows if row]
    assert 1 + len(branches) == len(rows)
    assert root == (None, "FluxmigError", "1", None)
    assert {(name, int(code)) for _, name, code, _ in branches} == {
        (cls.__name__, cls.exit_code) for cls in CLASSES if cls is not FluxmigError
    }
    assert all(cls.__bases__ == (FluxmigError,) for cls in CLASSES if cls is not FluxmigError)
    assert [branch for branch, *_ in branches] == ["├── "] * (len(branches) - 1) + ["└── "]
    assert all(text for *_, text in branches)


def test_a_message_with_its_remedy() -> None:
    error = ConfigError("there is no database URL", remedy="set DATABASE_URL")
    assert str(error) == "there is no database URL\nset DATABASE_URL"
    assert (error.message, error.remedy, error.report) == (
        "there is no database URL",
        "set DATABASE_URL",
        None,
    )


@pytest.mark.parametrize(
    "cls", [FluxmigError, ConfigError, LockTimeoutError, DatabaseConnectionError, RollbackError, LedgerError]
)
def test_a_message_without_remedy(cls: type[FluxmigError]) -> None:
    error = cls("it went wrong")
    assert (str(error), error.message, error.remedy, error.report, error.args) == (
        "it went wrong",
        "it went wrong",
        None,
        None,
        ("it went wrong",),
    )


def test_what_was_done_before() -> None:
    report = RollbackReport((RollbackResult("001_a.sql", reversed=True),))
    assert RollbackError("x", report=report).report is report
    assert LockTimeoutError("x", remedy="y", report=Report()).report == Report()


def test_the_fields_of_a_rollback_error() -> None:
    failure = Failure(Path("migrations/001_a.down.sql"), "it broke")
    error = RollbackError("x", remedy="y", names=iter(["001_a.sql"]), failure=failure)
    assert (error.names, error.failure, str(error)) == (("001_a.sql",), failure, "x\ny")
    assert (RollbackError("x").names, RollbackError("x").failure) == ((), None)
    again = pickle.loads(pickle.dumps(error))
    assert (again.names, again.failure, again.remedy) == (error.names, error.failure, "y")


def test_the_names_of_a_ledger_error() -> None:
    error = LedgerError("changed", remedy="put it back", names=iter(["001_a.sql", "002_b.sql"]))
    assert error.names == ("001_a.sql", "002_b.sql")
    assert str(error) == "changed\nput it back"
    assert LedgerError("x").names == ()


A, B = Path("migrations/001_a.sql"), Path("migrations/002_b.sql")


def test_the_problems_of_files() -> None:
    problems = [
        FileProblem(A, "holds a NUL byte", 2, 7, "  2 | a\n    | ^", "is it a binary file?"),
        FileProblem(B, "is a link to nothing"),
        FileProblem(B, "is odd", 3),
    ]
    error = MigrationFileError(iter(problems))
    assert error.problems == tuple(problems)
    assert (
        str(error)
        == error.message
        == (
            "migrations/001_a.sql:2:7: holds a NUL byte\n"
            "  2 | a\n"
            "    | ^\n"
            "is it a binary file?\n"
            "migrations/002_b.sql: is a link to nothing\n"
            "migrations/002_b.sql:3: is odd"
        )
    )
    assert error.remedy is None


def failed(path: Path, message: str, **facts: object) -> StepResult:
    return StepResult(path.name, Outcome.FAILED, failure=Failure(path, message, **facts))  # type: ignore[arg-type]


SYNTAX = failed(A, 'syntax error at or near "x"', code="42601", line=3, column=5)
UNIQUE = failed(B, "duplicate key value", code="23505", hint="look", remedy="mend it")


def test_one_failed_migration() -> None:
    report = Report((SYNTAX,), pending=("001_a.sql", "002_b.sql"))
    error = MigrationFailedError(report=report, failures=[SYNTAX])
    text = 'migrations/001_a.sql:3:5: syntax error at or near "x" [42601]'
    assert (str(error), error.message, error.texts) == (text, text, (text,))
    assert (error.failures, error.report, error.remedy) == ((SYNTAX,), report, None)


def test_several_failed_migrations() -> None:
    report = Report((SYNTAX, UNIQUE))
    error = MigrationFailedError(report=report, failures=iter((SYNTAX, UNIQUE)))
    assert error.message == "2 migrations failed"
    assert error.texts == (
        'migrations/001_a.sql:3:5: syntax error at or near "x" [42601]',
        "migrations/002_b.sql: duplicate key value [23505]\nHINT: look\nmend it",
    )
    assert str(error) == (
        "2 migrations failed\n"
        "\n"
        'migrations/001_a.sql:3:5: syntax error at or near "x" [42601]\n'
        "\n"
        "migrations/002_b.sql: duplicate key value [23505]\n"
        "HINT: look\n"
        "mend it"
    )
    assert (error.failures, error.report) == ((SYNTAX, UNIQUE), report)


LONG = "INSERT INTO a VALUES (" + "1, " * 40


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        pytest.param(Failure(A, "it broke"), "migrations/001_a.sql: it broke", id="only a message"),
        pytest.param(
            Failure(A, "it broke", "XX000", 4), "migrations/001_a.sql:4: it broke [XX000]", id="a line"
        ),
        pytest.param(
            Failure(
                A,
                "it broke",
                line=4,
                column=2,
                statement=Statement(2, " SELECT\n 1", 0, 10, 4, 2),
                statements=1,
            ),
            "migrations/001_a.sql:4:2: it broke",
            id="the only statement is not named",
        ),
        pytest.param(
            Failure(
                A,
                "it broke",
                "XX000",
                4,
                2,
                Statement(2, "SELECT a,\n  b", 0, 10, 4, 2),
                3,
                detail="a detail",
                hint="a hint",
                context="a context",
                excerpt="  4 | SELECT a,\n    |  ^",
                remedy="a remedy",
            ),
            "migrations/001_a.sql:4:2: it broke [XX000]\n"
            "in statement 2 of 3: SELECT a,\n"
            "  4 | SELECT a,\n"
            "    |  ^\n"
            "DETAIL: a detail\n"
            "HINT: a hint\n"
            "CONTEXT: a context\n"
            "a remedy",
            id="everything",
        ),
        pytest.param(
            Failure(A, "it broke", statement=Statement(1, LONG, 0, len(LONG), 1, 1), statements=2),
            f"migrations/001_a.sql: it broke\nin statement 1 of 2: {LONG[:79]}…",
            id="a long statement is cut",
        ),
        pytest.param(
            Failure(A, "it broke", statement=Statement(1, LONG[:80], 0, 80, 1, 1), statements=2),
            f"migrations/001_a.sql: it broke\nin statement 1 of 2: {LONG[:80]}",
            id="80 characters are whole",
        ),
    ],
)
def test_what_a_failure_says(failure: Failure, text: str) -> None:
    assert str(failure) == text
    assert failure.headline == text.split("\n", maxsplit=1)[0]


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ((), 0),
        (("failed",), 1),
        (("permission",), 2),
        (("files",), 3),
        (("modified",), 4),
        (("missing",), 4),
        (("marked",), 4),
        (("orphan",), 4),
        (("failed", "permission", "modified"), 1),
        (("missing", "failed"), 4),
    ],
)
def test_a_verification_exits_like_the_error_of_its_first_problem(kinds: tuple[str, ...], code: int) -> None:
    verification = Verification(
        DatabaseInfo("sqlite+pysqlite", "SQLite", "3.45.1"),
        "schema_migrations",
        ledger_exists=True,
        log_exists=True,
        can_create=True,
        can_write=True,
        applied=1,
        pending=0,
        findings=tuple(Finding(kind, "x") for kind in kinds),
    )
    assert (verification.exit_code, verification.ok) == (code, not kinds)


def test_errors_cross_processes_with_all_they_hold() -> None:
    failure = Failure(Path("001_a.sql"), "no such table", "42P01", line=3)
    report = Report(
        results=(StepResult("001_a.sql", Outcome.FAILED, failure=failure),), pending=("001_a.sql",)
    )
    for error in (
        ConfigError("no URL", remedy="give one"),
        MigrationFileError([FileProblem(Path("x.sql"), "is not UTF-8")]),
        MigrationFailedError(report=report, failures=report.results),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        assert copy.__dict__ == error.__dict__
