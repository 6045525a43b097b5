"""`fluxmig status`: the guide's form, what stands behind a migration, colour, and --check."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.cli.support import masked, process, terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.support import Database

ESCAPE = "\x1b["


def unstyled(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


# --- the guide's form -------------------------------------------------------------------------------------


def test_the_guides_example(cli: Cli, write: Callable[..., None], sqlite: Database) -> None:
    """Character for character, with the durations that the guide shows."""
    names = ["001_create_initial_schema.sql", "002_add_messaging_tables.sql", "106_add_user_settings.sql"]
    write(dict.fromkeys(names, "SELECT 1;"))
    cli("run", "--steps", 2)
    sqlite.rows("UPDATE schema_migrations SET execution_time_ms = CASE id WHEN 1 THEN 1234 ELSE 450 END")
    result = cli("status")
    assert (
        result.out
        == """\
MIGRATION STATUS
============================================================

Applied Migrations:
  [x] 001_create_initial_schema.sql (1.23s)
  [x] 002_add_messaging_tables.sql (0.45s)

Pending Migrations:
  [ ] 106_add_user_settings.sql

============================================================
Total: 3 | Applied: 2 | Pending: 1
"""
    )
    assert (result.code, result.err) == (0, "")


EMPTY = """\
MIGRATION STATUS
============================================================

Applied Migrations:

Pending Migrations:

============================================================
Total: 0 | Applied: 0 | Pending: 0
"""


def test_an_empty_folder(cli: Cli, folder: Path, tmp_path: Path) -> None:
    result = cli("status")
    assert (result.code, result.out, result.err) == (0, EMPTY, "")
    assert not (tmp_path / "test.db").exists()


def test_an_untouched_database_stays_so(
    on_postgresql: Cli, write: Callable[..., None], one_postgresql: Database
) -> None:
    write({"001_a.sql": "SELECT 1;"})
    assert "Total: 1 | Applied: 0 | Pending: 1\n" in on_postgresql("status").out
    assert one_postgresql.tables() == set()


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        ("0", "0.00s"),
        ("4", "0.00s"),
        ("450", "0.45s"),
        ("999", "1.00s"),
        ("61000", "61.00s"),
        ("NULL", "N/A"),
    ],
)
def test_durations(
    milliseconds: str, shown: str, cli: Cli, write: Callable[..., None], sqlite: Database
) -> None:
    write({"001_a.sql": "SELECT 1;"})
    cli("run")
    sqlite.rows(f"UPDATE schema_migrations SET execution_time_ms = {milliseconds}")
    assert f"  [x] 001_a.sql ({shown})\n" in cli("status").out


# --- what is wrong ----------------------------------------------------------------------------------------


@pytest.fixture
def troubled(cli: Cli, write: Callable[..., None], folder: Path) -> None:
    """One of each condition."""
    write(
        {
            "001_fine.sql": "CREATE TABLE a (id integer);",
            "002_modified.sql": "SELECT 1;",
            "003_missing.sql": "SELECT 3;",
            "004_marked.sql": "CREATE TABLE a (id integer);",
            "009_failed.sql": "SELEKT 1;",
        }
    )
    cli("run")
    write({"002_modified.sql": "SELECT 2;", "000_late.sql": "SELECT 1;", "010_new.sql": "SELECT 1;"})
    (folder / "003_missing.sql").unlink()


TROUBLED = """\
MIGRATION STATUS
============================================================

Applied Migrations:
  [x] 001_fine.sql (0.00s)
  [x] 002_modified.sql (0.00s) [modified]
  [x] 003_missing.sql (0.00s) [missing]
  [x] 004_marked.sql (0.00s) [marked, nothing lost]

Pending Migrations:
  [ ] 000_late.sql [out of order]
  [ ] 009_failed.sql [failed]
  [ ] 010_new.sql

============================================================
Total: 7 | Applied: 4 | Pending: 3
"""


@pytest.mark.usefixtures("troubled")
def test_conditions(cli: Cli) -> None:
    result = cli("status")
    assert masked(result.out) == TROUBLED
    assert (result.code, result.err) == (0, "")


def test_two_conditions_at_once(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);", "002_b.sql": "CREATE TABLE a (id integer);"})
    cli("run")
    write({"002_b.sql": "SELECT 1;"})
    assert "  [x] 002_b.sql (0.00s) [marked, nothing lost, modified]\n" in masked(cli("status").out)


# --- --check ----------------------------------------------------------------------------------------------


def test_check_with_something_pending(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;"})
    unchecked, checked = cli("status"), cli("status", "--check")
    assert (unchecked.code, checked.code) == (0, 10)
    assert (checked.out, checked.err) == (unchecked.out, "")


def test_check_with_nothing_pending(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;"})
    cli("run")
    assert cli("status", "--check").code == 0


# --- colour -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("troubled")
def test_colour_on_a_terminal() -> None:
    shown = terminal("status")
    assert f"{ESCAPE}1mMIGRATION STATUS{ESCAPE}0m\n" in shown.out
    assert f"{ESCAPE}32m  [x] {ESCAPE}0m001_fine.sql" in shown.out
    assert f"{ESCAPE}31m [modified]{ESCAPE}0m\n" in shown.out
    assert f"{ESCAPE}33m [marked, nothing lost]{ESCAPE}0m\n" in shown.out
    assert f"{ESCAPE}33m [out of order]{ESCAPE}0m\n" in shown.out
    assert masked(unstyled(shown.out)) == TROUBLED
    assert shown.code == 0


@pytest.mark.usefixtures("troubled")
def test_no_colour_in_a_pipe() -> None:
    result = process("status")
    assert masked(result.stdout) == TROUBLED
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.usefixtures("troubled")
def test_colour_never_on_a_terminal() -> None:
    shown = terminal("status", "--color", "never")
    assert masked(shown.out) == TROUBLED


@pytest.mark.usefixtures("troubled")
def test_colour_always_in_a_pipe(cli: Cli) -> None:
    result = cli("status", "--color", "always")
    assert f"{ESCAPE}32m  [x] {ESCAPE}0m001_fine.sql" in result.out
    assert masked(unstyled(result.out)) == TROUBLED


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"FLUXMIG_COLOR": "always", "NO_COLOR": "1"}, True),
        ({"TERM": "dumb", "FLUXMIG_COLOR": "always"}, True),
        ({}, False),
    ],
)
def test_colour_by_variable_in_a_pipe(
    variables: dict[str, str],
    coloured: bool,  # noqa: FBT001
    cli: Cli,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (ESCAPE in cli("status").out) is coloured


def test_no_color_on_a_terminal(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal("status").out == EMPTY


def test_standard_error_has_colour_of_its_own(cli: Cli) -> None:
    result = cli("status", "--color", "always")
    assert result.err.startswith(f"{ESCAPE}31merror: {ESCAPE}0m{ESCAPE}1mthere is no folder migrations")


def test_names_in_square_brackets_are_no_markup(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_[bold]a[b].sql": "SELECT 1;", "002_[red].sql": "SELECT 1;"})
    out = unstyled(cli("status", "--color", "always").out)
    assert "  [ ] 001_[bold]a[b].sql\n  [ ] 002_[red].sql\n" in out


def test_long_names_are_not_wrapped(cli: Cli, write: Callable[..., None]) -> None:
    name = f"001_{'a' * 240}.sql"
    write({name: "SELECT 1;"})
    assert f"  [ ] {name}\n" in unstyled(terminal("status").out)
