"""`fluxmig rollback`: what it takes back, and when it asks."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.support import masked, process, terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Cli
    from tests.support import Database

QUESTION = "Roll back? [y/N]:"
WOULD = "  [ ] 003_teams.sql its down script runs, and its record goes\n"
DID = "  [ ] 003_teams.sql reversed by its down script (0.00s)\n"


@pytest.fixture
def applied(cli: Cli, write: Callable[..., None]) -> None:
    """Three applied migrations; the last has a down script."""
    write(
        {
            "001_users.sql": "CREATE TABLE users (id integer);",
            "002_files.sql": "CREATE TABLE files (id integer);",
            "003_teams.sql": "CREATE TABLE teams (id integer);",
            "003_teams.down.sql": "DROP TABLE teams;",
        }
    )
    assert cli("run").code == 0


def ledger(database: Database) -> list[object]:
    return [row[0] for row in database.rows("SELECT migration_name FROM schema_migrations ORDER BY id")]


# --- what is taken back -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("applied")
def test_a_down_script_runs(cli: Cli, sqlite: Database) -> None:
    result = cli("rollback")
    assert (result.code, masked(result.out), result.err) == (0, DID, "")
    assert ledger(sqlite) == ["001_users.sql", "002_files.sql"]
    assert "teams" not in sqlite.tables()


@pytest.mark.usefixtures("applied")
def test_record_only(cli: Cli, sqlite: Database) -> None:
    result = cli("rollback", "--record-only")
    assert (result.code, result.out, result.err) == (
        0,
        "  [ ] 003_teams.sql record removed; the SQL is NOT reversed\n",
        "",
    )
    assert ledger(sqlite) == ["001_users.sql", "002_files.sql"]
    assert "teams" in sqlite.tables()


@pytest.mark.usefixtures("applied")
def test_several_steps(cli: Cli, sqlite: Database) -> None:
    result = cli("rollback", "--steps", 2)
    assert (result.code, masked(result.out), result.err) == (
        0,
        DID + "  [ ] 002_files.sql record removed; the SQL is NOT reversed\n",
        "",
    )
    assert ledger(sqlite) == ["001_users.sql"]
    assert {"files", "users"} <= sqlite.tables()


@pytest.mark.usefixtures("applied")
def test_more_steps_than_there_are(cli: Cli, sqlite: Database) -> None:
    assert cli("rollback", "--steps", 99).out.count("\n") == 3
    assert ledger(sqlite) == []
    result = cli("rollback")
    assert (result.code, result.out, result.err) == (
        1,
        "",
        "error: nothing is applied, so there is nothing to roll back\n",
    )


@pytest.mark.parametrize("steps", ["0", "-1", "x"])
def test_a_wrong_number_of_steps(steps: str, cli: Cli) -> None:
    result = cli("rollback", "--steps", steps)
    assert (result.code, result.out) == (2, "")
    assert "Error: Invalid value for '--steps': " in result.err


@pytest.mark.usefixtures("applied")
def test_a_down_script_that_fails(cli: Cli, write: Callable[..., None], sqlite: Database) -> None:
    write({"003_teams.down.sql": "DROP TABLE teams;\nDROP TABLE nowhere;\n"})
    result = cli("rollback")
    assert (result.code, result.out) == (1, "")
    lines = result.err.splitlines()
    assert lines[0] == "error: the down script of 003_teams.sql failed, and changed nothing"
    assert lines[1].startswith("migrations/003_teams.down.sql:2:")
    assert lines[1].endswith(": no such table: nowhere [SQLITE_ERROR]")
    assert lines[2] == "in statement 2 of 2: DROP TABLE nowhere"
    assert ledger(sqlite) == ["001_users.sql", "002_files.sql", "003_teams.sql"]
    assert "teams" in sqlite.tables()


# --- asking -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize("answer", ["y", "Y", "yes"])
def test_yes_on_a_terminal(answer: str, sqlite: Database) -> None:
    shown = terminal("rollback", "--color", "never", answers=[(QUESTION, f"{answer}\n")])
    assert masked(shown.out) == f"{WOULD}{QUESTION} {answer}\n{DID}"
    assert shown.code == 0
    assert ledger(sqlite) == ["001_users.sql", "002_files.sql"]


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize("answer", ["n", "no", ""])
def test_no_on_a_terminal(answer: str, sqlite: Database) -> None:
    shown = terminal("rollback", "--color", "never", answers=[(QUESTION, f"{answer}\n")])
    assert shown.out == f"{WOULD}{QUESTION} {answer}\nNothing was changed.\n"
    assert shown.code == 1
    assert len(ledger(sqlite)) == 3


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_leaving_the_question(key: str, sqlite: Database) -> None:
    shown = terminal("rollback", "--color", "never", answers=[(QUESTION, key)])
    assert shown.out.startswith(f"{WOULD}{QUESTION}")
    assert shown.out.endswith("Aborted!\n")
    assert "Traceback" not in shown.out
    assert shown.code == 1
    assert len(ledger(sqlite)) == 3


@pytest.mark.usefixtures("applied")
def test_the_question_says_what_a_rollback_without_down_script_is(sqlite: Database) -> None:
    shown = terminal(
        "rollback", "--record-only", "--steps", "2", "--color", "never", answers=[(QUESTION, "n\n")]
    )
    assert shown.out.startswith(
        "  [ ] 003_teams.sql only its record goes; the SQL is NOT reversed\n"
        "  [ ] 002_files.sql only its record goes; the SQL is NOT reversed\n" + QUESTION
    )
    assert len(ledger(sqlite)) == 3


@pytest.mark.usefixtures("applied")
def test_the_question_leaves_standard_output_alone(sqlite: Database) -> None:
    shown = terminal("rollback", "--json", answers=[(QUESTION, "y\n")], stdout=subprocess.PIPE)
    assert shown.json["results"][0]["name"] == "003_teams.sql"
    assert QUESTION in shown.err
    assert shown.code == 0


@pytest.mark.usefixtures("applied")
def test_yes_is_not_asked() -> None:
    shown = terminal("rollback", "--yes", "--color", "never")
    assert (shown.code, masked(shown.out)) == (0, DID)


@pytest.mark.usefixtures("applied")
def test_without_a_terminal_nobody_is_asked() -> None:
    result = process("rollback")
    assert (result.returncode, masked(result.stdout), result.stderr) == (0, DID, "")


def test_nothing_applied_is_said_before_the_question(cli: Cli) -> None:
    shown = terminal("rollback", "--color", "never")
    assert (shown.code, shown.out) == (1, "error: nothing is applied, so there is nothing to roll back\n")


def test_a_dry_run_takes_nothing_back(
    cli: Cli, write: Callable[..., None], sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);", "001_a.down.sql": "DROP TABLE a;"})
    cli("run")
    for arguments in (["--dry-run"], []):
        result = cli("rollback", *arguments)
        monkeypatch.setenv("DRY_RUN", "true")
        assert (result.code, result.out) == (
            0,
            "  [ ] 001_a.sql its down script runs, and its record goes\n",
        )
    assert "a" in sqlite.tables()
