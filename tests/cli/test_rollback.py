"""`fluxmig rollback`: what it takes back, what it refuses, and when it asks."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.support import masked, process, terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Cli
    from tests.support import Database

QUESTION = "Roll back? [y/N]:"
WOULD = "  [ ] 003_teams.sql its down script runs, and its record goes\n"
WOULD_TOO = "  [ ] 002_files.sql its down script runs, and its record goes\n"
DID = "  [ ] 003_teams.sql reversed by its down script (0.00s)\n"
DID_TOO = "  [ ] 002_files.sql reversed by its down script (0.00s)\n"


@pytest.fixture
def applied(cli: Cli, write: Callable[..., None]) -> None:
    """Three applied migrations; the last two have a down script."""
    write(
        {
            "001_users.sql": "CREATE TABLE users (id integer);",
            "002_files.sql": "CREATE TABLE files (id integer);",
            "002_files.down.sql": "DROP TABLE files;",
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
        DID + DID_TOO,
        "",
    )
    assert ledger(sqlite) == ["001_users.sql"]
    assert not {"files", "teams"} & sqlite.tables()


@pytest.mark.usefixtures("applied")
def test_one_has_no_down_script(cli: Cli, sqlite: Database) -> None:
    result = cli("rollback", "--steps", 99)
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "error: nothing was taken back: 001_users.sql has no down script\n"
        "write 001_users.down.sql, or `--record-only` removes the records and reverses nothing\n"
    )
    assert len(ledger(sqlite)) == 3
    result = cli("rollback", "--steps", 99, "--record-only")
    assert (result.code, result.out.count("record removed; the SQL is NOT reversed\n")) == (0, 3)
    assert ledger(sqlite) == []
    assert {"users", "files", "teams"} <= sqlite.tables()


@pytest.mark.usefixtures("applied")
def test_more_steps_than_there_are(cli: Cli, sqlite: Database) -> None:
    Path("migrations/001_users.down.sql").write_text("DROP TABLE users;")
    assert cli("rollback", "--steps", 99).out.count("\n") == 3
    assert ledger(sqlite) == []
    result = cli("rollback")
    assert (result.code, result.out, result.err) == (
        1,
        "",
        "error: nothing is applied, so there is nothing to roll back\n",
    )


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize("to", ["1", "001_users", "001_users.sql"])
def test_to(to: str, cli: Cli, sqlite: Database) -> None:
    result = cli("rollback", "--to", to)
    assert (result.code, masked(result.out), result.err) == (0, DID + DID_TOO, "")
    assert ledger(sqlite) == ["001_users.sql"]
    assert "users" in sqlite.tables()
    for arguments in ([], ["--dry-run"], ["--yes"]):
        result = cli("rollback", "--to", to, *arguments)
        said = "Nothing to take back: nothing was applied after 001_users.sql.\n"
        assert (result.code, result.out, result.err) == (0, said, "")
    assert ledger(sqlite) == ["001_users.sql"]


@pytest.mark.usefixtures("applied")
def test_to_the_beginning(cli: Cli, sqlite: Database) -> None:
    Path("migrations/001_users.down.sql").write_text("DROP TABLE users;")
    assert cli("rollback", "--to", 0).code == 0
    assert ledger(sqlite) == []
    result = cli("rollback", "--to", 0)
    assert (result.code, result.out) == (0, "Nothing to take back: nothing is applied.\n")


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--to", "9"], 2, "--to 9: there is no such migration\n`fluxmig status` lists them\n"),
        (["--to", "004"], 4, "004_new.sql is not applied, so there is no way back to that\n"),
        (["--to", "1", "--steps", "1"], 2, "--to and --steps both say how far to go back\ngive one"),
        (["--to", "sqlite://u:secret@x"], 2, "--to: there is no such migration\n"),
    ],
)
def test_what_is_refused(
    arguments: list[str], code: int, message: str, cli: Cli, sqlite: Database, write: Callable[..., None]
) -> None:
    write({"004_new.sql": "SELECT 1;"})
    for more in ([], ["--dry-run"], ["--record-only"]):
        result = cli("rollback", *arguments, *more)
        assert (result.code, result.out) == (code, "")
        assert result.err.startswith(f"error: {message}")
        assert "secret" not in result.err
    assert len(ledger(sqlite)) == 3


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


@pytest.mark.usefixtures("applied")
def test_what_came_before_a_failing_one_is_told(
    cli: Cli, write: Callable[..., None], sqlite: Database
) -> None:
    write({"002_files.down.sql": "DROP TABLE nowhere;\n"})
    result = cli("rollback", "--to", 1)
    assert (result.code, masked(result.out)) == (1, DID)
    assert result.err.startswith("error: the down script of 002_files.sql failed, and changed nothing\n")
    assert ledger(sqlite) == ["001_users.sql", "002_files.sql"]


@pytest.mark.usefixtures("applied")
def test_a_modified_one(cli: Cli, write: Callable[..., None], sqlite: Database) -> None:
    write({"003_teams.sql": "CREATE TABLE teams (id integer, name text);"})
    warning = (
        "warning: changed since it was applied: 003_teams.sql\n"
        "  down scripts run as they are now: see that they fit what was applied\n"
    )
    result = cli("rollback", "--dry-run")
    assert (result.code, result.out, result.err) == (0, f"{WOULD}Nothing was written.\n", warning)
    shown = terminal("rollback", "--color", "never", answers=[(QUESTION, "y\n")])
    assert masked(shown.out) == f"{WOULD}{warning}{QUESTION} y\n{DID}"  # once is enough
    cli("run")
    write({"003_teams.sql": "CREATE TABLE teams (id integer);", "003_teams.down.sql": "DROP TABLE nowhere;"})
    result = cli("rollback", "--yes")
    assert result.err.startswith(f"{warning}error: the down script of 003_teams.sql failed")
    write({"003_teams.down.sql": "DROP TABLE teams;"})
    result = cli("rollback", "--yes")
    assert (result.code, masked(result.out), result.err) == (0, DID, warning)
    assert "teams" not in sqlite.tables()


def test_what_the_server_says(on_postgresql: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;", "001_a.down.sql": "DROP TABLE IF EXISTS nowhere;"})
    on_postgresql("run")
    result = on_postgresql("rollback")
    assert result.err == '001_a.sql: NOTICE: table "nowhere" does not exist, skipping\n'
    on_postgresql("run")
    assert on_postgresql("rollback", "--json").err == ""


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
@pytest.mark.parametrize(
    ("key", "end", "code"),
    [("\x03", "interrupted by SIGINT: nothing was changed\n", 130), ("\x04", "Aborted!\n", 1)],
    ids=["Ctrl-C", "Ctrl-D"],
)
def test_leaving_the_question(key: str, end: str, code: int, sqlite: Database) -> None:
    shown = terminal("rollback", "--color", "never", answers=[(QUESTION, key)])
    assert shown.out.startswith(f"{WOULD}{QUESTION}")
    assert shown.out.endswith(end)
    assert "Traceback" not in shown.out
    assert shown.code == code
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
def test_the_question_names_all_of_them(sqlite: Database) -> None:
    shown = terminal("rollback", "--to", "1", "--color", "never", answers=[(QUESTION, "y\n")])
    assert masked(shown.out) == f"{WOULD}{WOULD_TOO}{QUESTION} y\n{DID}{DID_TOO}"
    assert ledger(sqlite) == ["001_users.sql"]


@pytest.mark.usefixtures("applied")
def test_nothing_to_take_back_is_not_asked(sqlite: Database) -> None:
    shown = terminal("rollback", "--to", "3", "--color", "never")
    said = "Nothing to take back: nothing was applied after 003_teams.sql.\n"
    assert (shown.code, shown.out) == (0, said)
    assert len(ledger(sqlite)) == 3


@pytest.mark.usefixtures("applied")
def test_what_is_refused_is_said_before_the_question(sqlite: Database) -> None:
    shown = terminal("rollback", "--steps", "3", "--color", "never")
    assert shown.out.startswith("error: nothing was taken back: 001_users.sql has no down script\n")
    assert (shown.code, len(ledger(sqlite))) == (1, 3)


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
            "  [ ] 001_a.sql its down script runs, and its record goes\nNothing was written.\n",
        )
    assert "a" in sqlite.tables()
