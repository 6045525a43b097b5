"""`fluxmig run`: what each option does, and every word it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.support import masked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.support import Database

THREE = {
    "001_users.sql": "CREATE TABLE users (id integer);\n",
    "002_files.sql": "CREATE TABLE files (id integer);\nCREATE TABLE tags (id integer);\n",
    "010_teams.sql": "CREATE TABLE teams (id integer);\n",
}
BROKEN = "CREATE TABLE broken (\n  näme tekst DEFAULT x y\n);\n"
BROKEN_ERROR = """\
error: migrations/002_broken.sql:2:24: near "y": syntax error [SQLITE_ERROR]
  1 | CREATE TABLE broken (
  2 |   näme tekst DEFAULT x y
    |                        ^
  3 | );
"""


def ledger(database: Database) -> list[object]:
    return [row[0] for row in database.rows("SELECT migration_name FROM schema_migrations ORDER BY id")]


# --- without trouble --------------------------------------------------------------------------------------


def test_all_pending_in_order(cli: Cli, write: Callable[..., None], sqlite: Database) -> None:
    write(THREE)
    result = cli("run")
    assert (
        masked(result.out)
        == """\
  [x] 001_users.sql (0.00s)
  [x] 002_files.sql (0.00s)
  [x] 010_teams.sql (0.00s)

Applied: 3 | Marked: 0 | Failed: 0 | Pending: 0 | Time: 0.00s
"""
    )
    assert (result.code, result.err) == (0, "")
    assert ledger(sqlite) == list(THREE)


def test_nothing_to_do(cli: Cli, write: Callable[..., None]) -> None:
    write(THREE)
    cli("run")
    result = cli("run")
    assert (
        masked(result.out)
        == """\
Nothing to run: every migration is applied.

Applied: 0 | Marked: 0 | Failed: 0 | Pending: 0 | Time: 0.00s
"""
    )
    assert (result.code, result.err) == (0, "")


def test_an_empty_folder(cli: Cli, folder: Path) -> None:
    result = cli("run")
    assert masked(result.out).startswith("Nothing to run: every migration is applied.\n")
    assert (result.code, result.err) == (0, "")


def test_a_migration_without_a_transaction_says_so(on_postgresql: Cli, write: Callable[..., None]) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (id integer);",
            "002_index.sql": "CREATE INDEX CONCURRENTLY a_id ON a (id);",
        }
    )
    result = on_postgresql("run")
    assert (
        masked(result.out)
        == """\
  [x] 001_a.sql (0.00s)
  [x] 002_index.sql (0.00s, no transaction: CREATE INDEX CONCURRENTLY)

Applied: 2 | Marked: 0 | Failed: 0 | Pending: 0 | Time: 0.00s
"""
    )
    assert (result.code, result.err) == (0, "")


# --- which ones -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "applied"),
    [
        (("--to", "002_files.sql"), ["001_users.sql", "002_files.sql"]),
        (("--to", "002_files"), ["001_users.sql", "002_files.sql"]),
        (("--to", "2"), ["001_users.sql", "002_files.sql"]),
        (("--to", "002"), ["001_users.sql", "002_files.sql"]),
        (("--to", "10"), list(THREE)),
        (("--steps", "1"), ["001_users.sql"]),
        (("--steps", "9"), list(THREE)),
        (("--steps=2",), ["001_users.sql", "002_files.sql"]),
        (("--only", "002_files.sql"), ["002_files.sql"]),
        (("--only", "002_files"), ["002_files.sql"]),
        (("--only", "10"), ["010_teams.sql"]),
        (("--to", "10", "--steps", "2"), ["001_users.sql", "002_files.sql"]),
    ],
)
def test_selection(
    options: tuple[str, ...], applied: list[str], cli: Cli, write: Callable[..., None], sqlite: Database
) -> None:
    write(THREE)
    result = cli("run", *options)
    assert (result.code, result.err) == (0, "")
    assert ledger(sqlite) == applied


def test_what_is_left_is_listed(cli: Cli, write: Callable[..., None]) -> None:
    write(THREE)
    result = cli("run", "--steps", 1)
    assert (
        masked(result.out)
        == """\
  [x] 001_users.sql (0.00s)

Still pending:
  [ ] 002_files.sql
  [ ] 010_teams.sql

Applied: 1 | Marked: 0 | Failed: 0 | Pending: 2 | Time: 0.00s
"""
    )


def test_a_long_list_of_what_is_left_is_cut(cli: Cli, write: Callable[..., None]) -> None:
    write({f"{number:03d}_a.sql": "SELECT 1;" for number in range(1, 14)})
    result = cli("run", "--steps", 1)
    assert "  [ ] 011_a.sql\n  and 2 more\n" in result.out
    assert "012_a.sql" not in result.out


@pytest.mark.parametrize("option", ["--to", "--only"])
@pytest.mark.parametrize("word", ["nope", "7", "002_file", ""])
def test_no_such_migration(
    option: str, word: str, cli: Cli, write: Callable[..., None], sqlite: Database
) -> None:
    write(THREE)
    result = cli("run", option, word)
    assert result.err == f"error: {option} {word}: there is no such migration\n`fluxmig status` lists them\n"
    assert (result.code, result.out) == (2, "")
    assert sqlite.tables() == set()


def test_only_a_number_that_two_files_have(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;", "001_b.sql": "SELECT 1;"})
    result = cli("run", "--only", 1)
    assert result.err == "error: --only 1 is ambiguous: 001_a.sql and 001_b.sql\ngive the file's name\n"
    assert (result.code, result.out) == (2, "")


def test_only_something_applied(cli: Cli, write: Callable[..., None]) -> None:
    write(THREE)
    cli("run")
    result = cli("run", "--only", 1)
    assert (result.code, result.out, result.err) == (4, "", "error: 001_users.sql is applied already\n")


# --- dry runs ---------------------------------------------------------------------------------------------

DRY = """\
Would apply:
  [ ] 001_users.sql (1 statement)
  [ ] 002_files.sql (2 statements)
  [ ] 010_teams.sql (1 statement)

Would apply: 3 | Nothing was written.
"""


@pytest.mark.parametrize("value", ["true", "1"])
def test_dry_run_by_variable(
    value: str, cli: Cli, write: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(THREE)
    monkeypatch.setenv("DRY_RUN", value)
    result = cli("run")
    assert (result.code, result.out, result.err) == (0, DRY, "")
    assert not (tmp_path / "test.db").exists()


def test_dry_run_false_runs(cli: Cli, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    write(THREE)
    monkeypatch.setenv("DRY_RUN", "false")
    assert "Applied: 3" in cli("run").out


def test_dry_run_touches_nothing(cli: Cli, write: Callable[..., None], tmp_path: Path) -> None:
    write(THREE)
    result = cli("run", "--dry-run")
    assert (result.code, result.out, result.err) == (0, DRY, "")
    assert not (tmp_path / "test.db").exists()


def test_dry_run_creates_no_ledger(
    on_postgresql: Cli, write: Callable[..., None], one_postgresql: Database
) -> None:
    write({**THREE, "003_index.sql": "CREATE INDEX CONCURRENTLY users_id ON users (id);"})
    result = on_postgresql("run", "--dry-run", "--to", 3)
    assert (
        result.out
        == """\
Would apply:
  [ ] 001_users.sql (1 statement)
  [ ] 002_files.sql (2 statements)
  [ ] 003_index.sql (1 statement, no transaction: CREATE INDEX CONCURRENTLY)

Would apply: 3 | Nothing was written.
"""
    )
    assert (result.code, result.err) == (0, "")
    assert one_postgresql.tables() == set()


def test_dry_run_after_a_run(cli: Cli, write: Callable[..., None]) -> None:
    write(THREE)
    cli("run")
    result = cli("run", "--dry-run")
    assert (result.code, result.out) == (0, "Nothing to run.\n")


# --- failures ---------------------------------------------------------------------------------------------


def test_the_first_failure_stops(cli: Cli, write: Callable[..., None], sqlite: Database) -> None:
    write({"001_users.sql": THREE["001_users.sql"], "002_broken.sql": BROKEN, "003_last.sql": "SELECT 1;"})
    result = cli("run")
    assert (
        masked(result.out)
        == """\
  [x] 001_users.sql (0.00s)
  [ ] 002_broken.sql FAILED (0.00s)

Still pending:
  [ ] 002_broken.sql
  [ ] 003_last.sql

Applied: 1 | Marked: 0 | Failed: 1 | Pending: 2 | Time: 0.00s
"""
    )
    assert result.err == BROKEN_ERROR
    assert result.code == 1
    assert ledger(sqlite) == ["001_users.sql"]


def test_a_failure_on_postgresql(on_postgresql: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);\n\n-- größer\nINSERT INTO a (ïd) VALUES (1);\n"})
    result = on_postgresql("run")
    assert (
        result.err
        == """\
error: migrations/001_a.sql:4:16: column "ïd" of relation "a" does not exist [42703]
in statement 2 of 2: INSERT INTO a (ïd) VALUES (1)
  2 |
  3 | -- größer
  4 | INSERT INTO a (ïd) VALUES (1);
    |                ^
"""
    )
    assert result.code == 1


@pytest.mark.parametrize("how", ["option", "variable", "file"])
def test_keep_going(
    how: str,
    cli: Cli,
    write: Callable[..., None],
    sqlite: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write({"002_broken.sql": BROKEN, "003_also.sql": "SELEKT 1;", "004_good.sql": "SELECT 1;"})
    if how == "variable":
        monkeypatch.setenv("FLUXMIG_KEEP_GOING", "yes")
    elif how == "file":
        (tmp_path / "fluxmig.toml").write_text("keep-going = true\n")
    result = cli("run", *["--keep-going"] * (how == "option"))
    assert (
        masked(result.out)
        == """\
  [ ] 002_broken.sql FAILED (0.00s)
  [ ] 003_also.sql FAILED (0.00s)
  [x] 004_good.sql (0.00s)

Still pending:
  [ ] 002_broken.sql
  [ ] 003_also.sql

Applied: 1 | Marked: 0 | Failed: 2 | Pending: 2 | Time: 0.00s
"""
    )
    assert result.err == (
        "error: 2 migrations failed\n\n"
        + BROKEN_ERROR.removeprefix("error: ")
        + '\nmigrations/003_also.sql:1:1: near "SELEKT": syntax error [SQLITE_ERROR]\n'
        "  1 | SELEKT 1;\n    | ^\n"
    )
    assert result.code == 1
    assert ledger(sqlite) == ["004_good.sql"]


# --- objects that are there already -----------------------------------------------------------------------

AGAIN = {
    "001_users.sql": THREE["001_users.sql"],
    "002_again.sql": "CREATE TABLE users (id integer);\nCREATE TABLE lost (id integer);\nSELECT 1;\n",
}


def test_a_duplicate_is_marked(cli: Cli, write: Callable[..., None], sqlite: Database) -> None:
    write(AGAIN)
    result = cli("run")
    assert (
        masked(result.out)
        == """\
  [x] 001_users.sql (0.00s)
  [!] 002_again.sql MARKED AS APPLIED (0.00s)
      migrations/002_again.sql:1:14: table users already exists [SQLITE_ERROR]
      statement 1 of 3: CREATE TABLE users (id integer)
      1 of 3 statements lost, 1 perhaps:
        line 2: table lost is not there
        line 3: SELECT 1 (whether it ever ran cannot be told)

Applied: 1 | Marked: 1 | Failed: 0 | Pending: 0 | Time: 0.00s
"""
    )
    assert (result.code, result.err) == (0, "")
    assert ledger(sqlite) == list(AGAIN)
    assert "lost" not in sqlite.tables()


@pytest.mark.parametrize(
    ("rest", "said"),
    [("", "nothing lost"), ("SELECT 1;", "1 of 2 statements perhaps lost:")],
)
def test_what_a_marked_migration_lost(rest: str, said: str, cli: Cli, write: Callable[..., None]) -> None:
    write({**AGAIN, "002_again.sql": f"CREATE TABLE users (id integer);{rest}"})
    assert f"      {said}\n" in cli("run").out


def test_a_duplicate_fails_when_told_to(cli: Cli, write: Callable[..., None], sqlite: Database) -> None:
    write(AGAIN)
    result = cli("run", "--on-duplicate", "fail")
    assert (
        result.err
        == """\
error: migrations/002_again.sql:1:14: table users already exists [SQLITE_ERROR]
in statement 1 of 3: CREATE TABLE users (id integer)
  1 | CREATE TABLE users (id integer);
    |              ^
  2 | CREATE TABLE lost (id integer);
"""
    )
    assert result.code == 1
    assert ledger(sqlite) == ["001_users.sql"]


# --- findings ---------------------------------------------------------------------------------------------


PUT_BACK = (
    "put the old text back, and write the change as a new migration; or `fluxmig accept NAME` if the edit is"
    " the right one; `fluxmig status --diff` shows it"
)


@pytest.fixture
def edited(cli: Cli, write: Callable[..., None]) -> None:
    """Two applied migrations, both edited since."""
    write(THREE)
    cli("run", "--to", 2)
    write({"001_users.sql": "SELECT 1;", "002_files.sql": "SELECT 2;"})


@pytest.mark.usefixtures("edited")
def test_edited_files_are_reported_on_every_run(cli: Cli, sqlite: Database) -> None:
    warning = f"warning: changed since they were applied: 001_users.sql, 002_files.sql\n  {PUT_BACK}\n"
    first, second = cli("run"), cli("run")
    assert (first.code, first.err) == (second.code, second.err) == (0, warning)
    assert "010_teams.sql" in ledger(sqlite)


@pytest.mark.usefixtures("edited")
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_edited_files_are_refused_when_strict(dry: list[str], cli: Cli, sqlite: Database) -> None:
    result = cli("run", "--strict", *dry)
    assert result.err == (
        f"error: changed since they were applied: 001_users.sql, 002_files.sql\n{PUT_BACK}\n"
    )
    assert (result.code, result.out) == (4, "")
    assert "010_teams.sql" not in ledger(sqlite)


@pytest.fixture
def late(cli: Cli, write: Callable[..., None]) -> None:
    """One applied migration, and one pending that sorts before it."""
    write({"005_new.sql": "SELECT 1;"})
    cli("run")
    write({"002_late.sql": "SELECT 1;"})


@pytest.mark.usefixtures("late")
def test_out_of_order_is_said(cli: Cli, sqlite: Database) -> None:
    result = cli("run")
    assert (result.code, result.err) == (
        0,
        (
            "warning: sorted before 005_new.sql, which is applied: 002_late.sql\n"
            "  renumber it if it depends on what was applied since\n"
        ),
    )
    assert ledger(sqlite) == ["005_new.sql", "002_late.sql"]


@pytest.mark.usefixtures("late")
def test_out_of_order_is_refused_when_strict(cli: Cli, sqlite: Database) -> None:
    result = cli("run", "--strict-order")
    assert (result.code, result.out, result.err) == (
        4,
        "",
        (
            "error: sorted before 005_new.sql, which is applied: 002_late.sql\n"
            "renumber it if it depends on what was applied since\n"
        ),
    )
    assert ledger(sqlite) == ["005_new.sql"]


def test_a_file_without_a_statement(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_empty.sql": "-- later\n"})
    result = cli("run")
    assert (
        masked(result.out)
        == """\
  [x] 001_empty.sql (0.00s)

Applied: 1 | Marked: 0 | Failed: 0 | Pending: 0 | Time: 0.00s
"""
    )
    assert (result.code, result.err) == (
        0,
        "warning: holds no statement: 001_empty.sql\n  is the SQL missing?\n",
    )


def test_findings_come_with_a_failure_too(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_empty.sql": "", "002_broken.sql": BROKEN})
    result = cli("run")
    assert result.err == f"warning: holds no statement: 001_empty.sql\n  is the SQL missing?\n{BROKEN_ERROR}"


# --- before anything runs ---------------------------------------------------------------------------------


def test_unreadable_files_stop_everything(cli: Cli, write: Callable[..., None], sqlite: Database) -> None:
    write({**THREE, "003_latin.sql": b"-- gr\xfc\xdfe\n", "004_quote.sql": "SELECT 'x;\n"})
    result = cli("run")
    assert (result.code, result.out) == (3, "")
    assert result.err == ("error: migrations/003_latin.sql:1:6: is not UTF-8: byte 0xfc\nsave it as UTF-8\n")
    assert sqlite.tables() == set()


def test_an_open_quote_stops_everything(cli: Cli, write: Callable[..., None], sqlite: Database) -> None:
    write({**THREE, "004_quote.sql": "SELECT 1;\nSELECT 'x;\n"})
    result = cli("run")
    assert (result.code, result.out) == (3, "")
    assert result.err == (
        "error: migrations/004_quote.sql:2:8: this string is not closed\n"
        "  1 | SELECT 1;\n  2 | SELECT 'x;\n    |        ^\n"
    )
    assert sqlite.tables() == set()


def test_no_such_folder(cli: Cli, sqlite: Database) -> None:
    result = cli("run", "--migrations", "nowhere")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: there is no folder nowhere")
    assert sqlite.tables() == set()
