"""`fluxmig adopt`: the table, the question, and what is recorded."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.support import process, terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.support import Database

QUESTION = "Record 2 migrations as applied? [y/N]:"
TABLE = """\
EXISTS    001_users.sql  table users and index users_email on users are there
ABSENT    002_teams.sql  table teams is not there
EXISTS    003_name.sql   column name on users is there
CONFLICT  004_files.sql  table files is there, column owner on files is not
UNKNOWN   005_data.sql   the effect of line 1 (INSERT INTO users (id) VALUES (1)) cannot be seen

Exists: 2 | Absent: 1 | Conflict: 1 | Unknown: 1
Names were compared, not definitions.
An absent one before one that exists is no fault: `fluxmig run` applies what is absent.
Conflict and unknown are for you to judge: `fluxmig mark` records one, `fluxmig run` applies it.
"""
HINT = "Nothing was recorded; --yes records 2 migrations.\n"


@pytest.fixture
def taken_over(cli: Cli, write: Callable[..., None], sqlite: Database) -> Cli:
    """A database with objects of the files, and no ledger."""
    write(
        {
            "001_users.sql": "CREATE TABLE users (id integer, email text);\n"
            "CREATE INDEX users_email ON users (email);",
            "002_teams.sql": "CREATE TABLE teams (id integer);",
            "003_name.sql": "ALTER TABLE users ADD COLUMN name text;",
            "004_files.sql": "CREATE TABLE files (id integer, owner integer);",
            "005_data.sql": "INSERT INTO users (id) VALUES (1);",
        }
    )
    sqlite.rows("CREATE TABLE users (id integer, email text, name text)")
    sqlite.rows("CREATE INDEX users_email ON users (email)")
    sqlite.rows("CREATE TABLE files (id integer)")
    return cli


def ledger(database: Database) -> list[str]:
    if "schema_migrations" not in database.tables():
        return []
    return [str(row[0]) for row in database.rows("SELECT migration_name FROM schema_migrations ORDER BY id")]


RECORDED = ["001_users.sql", "003_name.sql"]


# --- what is shown, and what is recorded ------------------------------------------------------------------


def test_without_a_terminal_it_only_shows(taken_over: Cli, sqlite: Database) -> None:
    result = taken_over("adopt")
    assert (result.code, result.out, result.err) == (0, TABLE, HINT)
    assert ledger(sqlite) == []
    assert sqlite.tables() == {"users", "files"}


def test_yes_records(taken_over: Cli, sqlite: Database) -> None:
    result = taken_over("adopt", "--yes", "--reason", "was here before")
    assert (result.code, result.out, result.err) == (0, TABLE + "Recorded: 2\n", "")
    assert ledger(sqlite) == RECORDED
    assert (
        sqlite.rows("SELECT reason, event FROM schema_migrations_log") == [("was here before", "adopted")] * 2
    )
    assert sqlite.scalar("SELECT count(*) FROM users") == 0
    assert "teams" not in sqlite.tables()


@pytest.mark.parametrize("how", ["--dry-run", "DRY_RUN"])
def test_a_dry_run_only_shows(
    how: str, taken_over: Cli, sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "DRY_RUN":
        monkeypatch.setenv(how, "true")
    result = taken_over("adopt", "--yes", *([how] if how != "DRY_RUN" else []))
    assert (result.code, result.out, result.err) == (0, TABLE, "")
    assert ledger(sqlite) == []


def test_again_there_is_less(taken_over: Cli, sqlite: Database) -> None:
    taken_over("adopt", "--yes")
    result = taken_over("adopt", "--yes")
    assert result.out == (
        "ABSENT    002_teams.sql  table teams is not there\n"
        "CONFLICT  004_files.sql  table files is there, column owner on files is not\n"
        "UNKNOWN   005_data.sql   the effect of line 1 (INSERT INTO users (id) VALUES (1)) cannot be seen\n"
        "\n"
        "Exists: 0 | Absent: 1 | Conflict: 1 | Unknown: 1\n"
        "Names were compared, not definitions.\n"
        "Conflict and unknown are for you to judge: `fluxmig mark` records one, `fluxmig run` applies it.\n"
    )
    assert (result.code, result.err) == (0, "")
    assert ledger(sqlite) == RECORDED


def test_status_and_log_show_it(taken_over: Cli) -> None:
    taken_over("adopt", "--yes")
    status = taken_over("status").out
    assert "[x] 001_users.sql (N/A) [marked by adopt]\n" in status
    assert "[ ] 002_teams.sql [out of order]\n" in status
    assert "adopted     001_users.sql (table users and index" in taken_over("log").out


def test_everything_is_applied(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    cli("run")
    result = cli("adopt", "--yes")
    assert (result.code, result.out, result.err) == (0, "Nothing to adopt: every migration is applied.\n", "")


def test_no_database_file_yet(cli: Cli, write: Callable[..., None], tmp_path: Path) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    result = cli("adopt", "--yes")
    assert result.out.startswith("ABSENT    001_a.sql  table a is not there\n")
    assert (result.code, result.err) == (0, "")
    assert not (tmp_path / "test.db").exists()


def test_a_file_that_cannot_be_read(taken_over: Cli, write: Callable[..., None], sqlite: Database) -> None:
    write({"006_open.sql": "SELECT 'open"})
    result = taken_over("adopt", "--yes")
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("error: migrations/006_open.sql:1:8: this string is not closed\n")
    assert ledger(sqlite) == []


# --- JSON -------------------------------------------------------------------------------------------------


def test_json(taken_over: Cli, sqlite: Database) -> None:
    shown = taken_over("adopt", "--json")
    assert (shown.code, shown.err) == (0, HINT)
    assert shown.json["recorded"] == []
    assert shown.json["adoptions"][3] == {
        "name": "004_files.sql",
        "kind": "conflict",
        "reason": "table files is there, column owner on files is not",
        "there": ["table files"],
        "absent": ["column owner on files"],
    }
    assert ledger(sqlite) == []
    assert taken_over("adopt", "--json", "--dry-run", "--yes").json["dry_run"] is True
    result = taken_over("adopt", "--json", "--yes")
    assert (result.code, result.err, result.json["recorded"]) == (0, "", RECORDED)
    assert [each["kind"] for each in result.json["adoptions"]] == [
        "exists",
        "absent",
        "exists",
        "conflict",
        "unknown",
    ]


# --- asking -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("taken_over")
def test_yes_on_a_terminal(sqlite: Database) -> None:
    shown = terminal("adopt", "--color", "never", answers=[(QUESTION, "y\n")])
    assert shown.out == f"{TABLE}{QUESTION} y\nRecorded: 2\n"
    assert shown.code == 0
    assert ledger(sqlite) == RECORDED


@pytest.mark.usefixtures("taken_over")
def test_no_on_a_terminal(sqlite: Database) -> None:
    shown = terminal("adopt", "--color", "never", answers=[(QUESTION, "n\n")])
    assert shown.out == f"{TABLE}{QUESTION} n\nNothing was changed.\n"
    assert shown.code == 1
    assert ledger(sqlite) == []


@pytest.mark.usefixtures("taken_over")
def test_the_question_leaves_standard_output_alone() -> None:
    shown = terminal(
        "adopt", "--json", "--color", "never", answers=[(QUESTION, "y\n")], stdout=subprocess.PIPE
    )
    assert shown.json["recorded"] == RECORDED
    assert "EXISTS    001_users.sql" in shown.err
    assert shown.code == 0


def test_nothing_to_ask(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    shown = terminal("adopt", "--color", "never")
    assert shown.code == 0
    assert shown.out.endswith("Names were compared, not definitions.\n")


@pytest.mark.usefixtures("taken_over")
def test_in_a_pipeline() -> None:
    result = process("adopt")
    assert (result.returncode, result.stdout, result.stderr) == (0, TABLE, HINT)
