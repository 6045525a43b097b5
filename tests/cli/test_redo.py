"""`fluxmig redo`: what it shows, asks and does."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.support import masked, process, terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Cli
    from tests.support import Database

QUESTION = "Redo? [y/N]:"
WOULD = (
    "  [ ] 002_files.sql its down script runs (1 statement)\n"
    "  [x] 002_files.sql is applied again, as it is now (2 statements)\n"
    "Both in one transaction: if one fails, nothing is changed.\n"
)
DID = "  [ ] 002_files.sql reversed by its down script (0.00s)\n  [x] 002_files.sql (0.00s)\n"
NO = "-- fluxmig: no-transaction\n"


@pytest.fixture
def applied(cli: Cli, write: Callable[..., None]) -> None:
    """Two applied migrations with down scripts; the second has been edited since."""
    write(
        {
            "001_users.sql": "CREATE TABLE users (id integer);",
            "001_users.down.sql": "DROP TABLE users;",
            "002_files.sql": "CREATE TABLE files (id integer);",
            "002_files.down.sql": "DROP TABLE files;",
        }
    )
    assert cli("run").code == 0
    write(
        {"002_files.sql": "CREATE TABLE files (id integer, name text);\nINSERT INTO files VALUES (1, 'x');"}
    )


def ledger(database: Database) -> list[object]:
    return [row[0] for row in database.rows("SELECT migration_name FROM schema_migrations ORDER BY id")]


def is_redone(database: Database) -> bool:
    return len(database.rows("PRAGMA table_info(files)")) == 2


@pytest.mark.usefixtures("applied")
def test_the_last_one(cli: Cli, sqlite: Database) -> None:
    result = cli("redo", "--yes")
    assert (result.code, masked(result.out), result.err) == (0, DID, "")
    assert is_redone(sqlite)
    assert ledger(sqlite) == ["001_users.sql", "002_files.sql"]
    assert "modified" not in cli("status").out


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize("name", ["1", "001_users", "001_users.sql"])
def test_one_that_is_not_the_last(name: str, cli: Cli, sqlite: Database) -> None:
    result = cli("redo", name, "--yes")
    assert (result.code, masked(result.out), result.err) == (
        0,
        DID.replace("002_files", "001_users") + "Applied after it, and not touched: 002_files.sql\n",
        "",
    )
    assert ledger(sqlite) == ["002_files.sql", "001_users.sql"]
    assert not is_redone(sqlite)


@pytest.mark.usefixtures("applied")
def test_a_dry_run(cli: Cli, sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (["--dry-run"], ["--yes"], []):
        result = cli("redo", *arguments)
        monkeypatch.setenv("DRY_RUN", "true")
        assert (result.code, result.out, result.err) == (0, f"{WOULD}Nothing was written.\n", "")
    assert not is_redone(sqlite)


@pytest.mark.usefixtures("applied")
def test_a_dry_run_of_one_after_the_other(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_users.down.sql": f"{NO}DROP TABLE users;"})
    assert cli("redo", "1", "--dry-run").out == (
        "  [ ] 001_users.sql its down script runs (1 statement)\n"
        "  [x] 001_users.sql is applied again, as it is now (1 statement)\n"
        "One after the other, not in one transaction: 001_users.down.sql runs without a transaction: the file"
        " says so.\n"
        "If the second fails, the migration is taken back and pending.\n"
        "Applied after it, and not touched: 002_files.sql\n"
        "Nothing was written.\n"
    )


@pytest.mark.usefixtures("applied")
def test_many_came_after_it(cli: Cli, write: Callable[..., None]) -> None:
    write({f"{number:03}_x.sql": "SELECT 1;" for number in range(3, 14)})
    cli("run")
    last = cli("redo", "1", "--dry-run").out.splitlines()[-2]
    names = ", ".join(f"{number:03}_x.sql" for number in range(3, 12))
    assert last == f"Applied after it, and not touched: 002_files.sql, {names} and 2 more"


# --- failures ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("applied")
def test_a_file_that_fails(cli: Cli, write: Callable[..., None], sqlite: Database) -> None:
    write({"002_files.sql": "CREATE TABLE files (id integer, name text);\nINSERT INTO nowhere VALUES (1);\n"})
    result = cli("redo", "--yes")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "error: migrations/002_files.sql:2:1: no such table: nowhere [SQLITE_ERROR]\n"
        "in statement 2 of 2: INSERT INTO nowhere VALUES (1)\n"
        "  1 | CREATE TABLE files (id integer, name text);\n"
        "  2 | INSERT INTO nowhere VALUES (1);\n"
        "    | ^\n"
        "Nothing was changed: 002_files.sql is applied as it was.\n"
    )
    assert ledger(sqlite) == ["001_users.sql", "002_files.sql"]
    assert not is_redone(sqlite)
    assert "failed      002_files.sql" in cli("log", "--last", 1).out


@pytest.mark.usefixtures("applied")
def test_a_file_that_fails_when_the_other_is_committed(
    cli: Cli, write: Callable[..., None], sqlite: Database
) -> None:
    write(
        {"002_files.sql": "INSERT INTO nowhere VALUES (1);", "002_files.down.sql": f"{NO}DROP TABLE files;"}
    )
    result = cli("redo", "--yes")
    assert (result.code, result.out) == (1, "")
    assert result.err.endswith("\n002_files.sql is taken back, and pending: `fluxmig run` applies it.\n")
    assert ledger(sqlite) == ["001_users.sql"]
    assert "  [ ] 002_files.sql [failed]\n" in cli("status").out


@pytest.mark.usefixtures("applied")
def test_a_down_script_that_fails(cli: Cli, write: Callable[..., None], sqlite: Database) -> None:
    write({"002_files.down.sql": "DROP TABLE nowhere;"})
    result = cli("redo", "--yes")
    assert (result.code, result.out) == (1, "")
    first, second, *_ = result.err.splitlines()
    assert first == "error: the down script of 002_files.sql failed, and changed nothing"
    assert second.startswith("migrations/002_files.down.sql:1:")
    assert not is_redone(sqlite)


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("9", 2, "redo 9: there is no such migration\n`fluxmig status` lists them\n"),
        ("sqlite://u:secret@x", 2, "redo: there is no such migration\n"),
        ("3", 4, "003_new.sql is not applied, so it cannot be redone\n"),
        ("004_bare", 1, "nothing was taken back: 004_bare.sql has no down script\nwrite 004_bare.down.sql\n"),
    ],
)
def test_what_is_refused(name: str, code: int, message: str, cli: Cli, write: Callable[..., None]) -> None:
    write({"004_bare.sql": "SELECT 1;"})
    cli("run")
    write({"003_new.sql": "SELECT 1;", "003_new.down.sql": "SELECT 1;"})
    for arguments in (["--yes"], ["--dry-run"], []):
        result = cli("redo", name, *arguments)
        assert (result.code, result.out) == (code, "")
        assert result.err.startswith(f"error: {message}")


# --- asking -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("applied")
def test_yes_on_a_terminal(sqlite: Database) -> None:
    shown = terminal("redo", "--color", "never", answers=[(QUESTION, "y\n")])
    assert (shown.code, masked(shown.out)) == (0, f"{WOULD}{QUESTION} y\n{DID}")
    assert is_redone(sqlite)


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize(
    ("answer", "end", "code"),
    [
        ("n\n", "Nothing was changed.\n", 1),
        ("\x03", "interrupted by SIGINT: nothing was changed\n", 130),
    ],
)
def test_no_on_a_terminal(answer: str, end: str, code: int, sqlite: Database) -> None:
    shown = terminal("redo", "--color", "never", answers=[(QUESTION, answer)])
    assert shown.out.startswith(f"{WOULD}{QUESTION}")
    assert shown.out.endswith(end)
    assert shown.code == code
    assert not is_redone(sqlite)


@pytest.mark.usefixtures("applied")
def test_without_a_terminal_it_needs_yes(sqlite: Database) -> None:
    result = process("redo")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"{WOULD}error: nothing was changed: there is no terminal to ask on\ngive --yes\n"
    )
    assert not is_redone(sqlite)
    result = process("redo", "--yes")
    assert (result.returncode, masked(result.stdout), result.stderr) == (0, DID, "")


@pytest.mark.usefixtures("applied")
def test_the_question_leaves_standard_output_alone(sqlite: Database) -> None:
    shown = terminal("redo", "--json", answers=[(QUESTION, "y\n")], stdout=subprocess.PIPE)
    assert shown.json["results"][0]["name"] == "002_files.sql"
    assert QUESTION in shown.err
    assert is_redone(sqlite)


@pytest.mark.usefixtures("applied")
def test_a_warning_is_given_once(write: Callable[..., None]) -> None:
    write({"002_files.down.sql": "-- DROP TABLE files;"})
    warning = "warning: holds no statement: 002_files.down.sql\n  is the SQL missing?\n"
    write({"002_files.sql": "SELECT 1;"})
    shown = terminal("redo", "--color", "never", answers=[(QUESTION, "y\n")])
    assert shown.out.count(warning) == 1
    result = process("redo", "--yes")
    assert result.stderr == warning


@pytest.mark.usefixtures("applied")
def test_a_warning_is_given_with_the_failure(cli: Cli, write: Callable[..., None]) -> None:
    write({"002_files.down.sql": "-- DROP TABLE files;"})
    warning = "warning: holds no statement: 002_files.down.sql\n  is the SQL missing?\n"
    result = cli("redo", "--yes")
    assert result.err.startswith(f"{warning}error: migrations/002_files.sql:1:")
    assert "\n002_files.down.sql leaves it there: it has to take back all that 002_files.sql" in result.err
    shown = terminal("redo", "--color", "never", answers=[(QUESTION, "y\n")])
    assert shown.out.count(warning) == 1
    result = cli("redo", "--yes", "--json")
    assert result.json["findings"][0]["kind"] == "empty"
    assert not result.err.startswith("warning")


def test_what_the_server_says(on_postgresql: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;", "001_a.down.sql": "DROP TABLE IF EXISTS nowhere;"})
    on_postgresql("run")
    result = on_postgresql("redo", "--yes")
    assert result.err == '001_a.sql: NOTICE: table "nowhere" does not exist, skipping\n'
