"""`fluxmig status --diff`, renamed files, and what `verify` warns of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.support import masked, process, terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.support import Database

RED, GREEN, DIM, BOLD, END = "\x1b[31m", "\x1b[32m", "\x1b[2m", "\x1b[1m", "\x1b[0m"
AT = "UPDATE schema_migrations SET applied_at = '2026-01-05 09:30:00.000000'"

DIFFS = """\
--- 001_a.sql\tapplied 2026-01-05 09:30:00+00:00
+++ migrations/001_a.sql
@@ -1,3 +1,3 @@
 CREATE TABLE a (
-  id integer
+  id bigint, -- {}[2J
 );

--- 003_c.sql\tapplied 2026-01-05 09:30:00+00:00
+++ migrations/003_c.sql
@@ -1 +1,2 @@
 SELECT 3;
+SELECT 4;
\\ No newline at end of file
"""


@pytest.fixture
def edited(cli: Cli, write: Callable[..., None], sqlite: Database) -> None:
    """Two edited files, and one whose line endings alone are others."""
    write(
        {
            "001_a.sql": "CREATE TABLE a (\r\n  id integer\r\n);\r\n",
            "002_b.sql": "SELECT 2;\nSELECT 2;\r\n",
            "003_c.sql": "SELECT 3;\n",
        }
    )
    cli("run")
    sqlite.rows(AT)
    write(
        {
            "001_a.sql": "\ufeffCREATE TABLE a (\n  id bigint, -- \x1b[2J\n);\n",
            "002_b.sql": "SELECT 2;\nSELECT 2;\n",
            "003_c.sql": "SELECT 3;\r\nSELECT 4;",
        }
    )


@pytest.mark.usefixtures("edited")
def test_the_diffs_stand_below_the_table(cli: Cli) -> None:
    table, result = cli("status"), cli("status", "--diff")
    assert "  [x] 002_b.sql (0.00s)\n" in masked(table.out)
    assert result.out == f"{table.out}\n{DIFFS.format('␛')}"
    assert (result.code, result.err) == (0, "")


@pytest.mark.usefixtures("edited")
def test_colours_on_a_terminal_and_none_in_a_pipe() -> None:
    shown, piped = terminal("status", "--diff"), process("status", "--diff")
    assert piped.stdout.endswith(f"\n\n{DIFFS.format('␛')}")
    for line in (
        f"{BOLD}+++ migrations/001_a.sql{END}",
        f"{DIM}@@ -1,3 +1,3 @@{END}",
        " CREATE TABLE a (",
        f"{RED}-  id integer{END}",
        f"{GREEN}+  id bigint, -- ␛[2J{END}",
        f"{DIM}\\ No newline at end of file{END}",
    ):
        assert f"\n{line}\n" in shown.out


@pytest.mark.usefixtures("edited")
def test_json(cli: Cli) -> None:
    first, second = DIFFS.format("\x1b").split("\n\n")
    migrations = cli("status", "--diff", "--json").json["migrations"]
    assert [(each["diff"], each["applied_text_kept"]) for each in migrations] == [
        (first + "\n", True),
        (None, None),
        (second, True),
    ]
    for migration in migrations:
        del migration["diff"], migration["applied_text_kept"]
    assert cli("status", "--json").json["migrations"] == migrations


@pytest.mark.usefixtures("edited")
def test_what_is_not_kept(cli: Cli, sqlite: Database) -> None:
    sqlite.rows("DROP TABLE schema_migrations_log")
    result = cli("status", "--diff")
    assert (
        result.out.partition("Total: 3 | Applied: 3 | Pending: 0\n")[2]
        == """
001_a.sql: applied 2026-01-05 09:30:00+00:00, and changed since; the old text is not kept
  another tool or an earlier version recorded it, or it was larger than 1 MiB; \
`git log -p -- migrations/001_a.sql` may have it

002_b.sql: applied 2026-01-05 09:30:00+00:00, and changed since; the old text is not kept
  another tool or an earlier version recorded it, or it was larger than 1 MiB; \
`git log -p -- migrations/002_b.sql` may have it

003_c.sql: applied 2026-01-05 09:30:00+00:00, and changed since; the old text is not kept
  another tool or an earlier version recorded it, or it was larger than 1 MiB; \
`git log -p -- migrations/003_c.sql` may have it
"""
    )
    migrations = cli("status", "--diff", "--json").json["migrations"]
    assert [(each["diff"], each["applied_text_kept"]) for each in migrations] == [(None, False)] * 3


def test_nothing_is_modified(cli: Cli, write: Callable[..., None], folder: Path) -> None:
    write({"001_a.sql": "SELECT 1;\n", "002_b.sql": "SELECT 2;\n"})
    cli("run")
    (folder / "002_b.sql").unlink()
    write({"001_a.sql": "SELECT 1;\r\n", "003_c.sql": "SELECT 3;\n"})
    assert cli("status", "--diff") == cli("status")
    migrations = cli("status", "--diff", "--json").json["migrations"]
    assert [(each["diff"], each["applied_text_kept"]) for each in migrations] == [(None, None)] * 3
    assert cli("status", "--diff", "--check").code == 10


def test_on_postgresql(on_postgresql: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 'ü';\n"})
    on_postgresql("run")
    write({"001_a.sql": "SELECT 'ö';\n"})
    assert on_postgresql("status", "--diff").out.endswith("@@ -1 +1 @@\n-SELECT 'ü';\n+SELECT 'ö';\n")


# --- renamed files ----------------------------------------------------------------------------------------

RENAME = (
    "`fluxmig rename 001_a.sql 003_a.sql` mends the ledger; `fluxmig unmark 001_a.sql` if it shall run again"
)
NOW = "001_a.sql is now 003_a.sql: same content"


@pytest.fixture
def renamed(cli: Cli, write: Callable[..., None], folder: Path) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);\n", "002_b.sql": "SELECT 2;\n"})
    cli("run")
    (folder / "001_a.sql").rename(folder / "003_a.sql")


@pytest.mark.usefixtures("renamed")
def test_status_tells_the_new_name(cli: Cli) -> None:
    out = masked(cli("status").out)
    assert "  [x] 001_a.sql (0.00s) [missing, now 003_a.sql]\n" in out
    assert "  [ ] 003_a.sql\n" in out
    assert [each["renamed_to"] for each in cli("status", "--json").json["migrations"]] == [
        ["003_a.sql"],
        [],
        [],
    ]


@pytest.mark.usefixtures("renamed")
@pytest.mark.parametrize(
    "command", [["run"], ["run", "--dry-run"], ["plan"], ["plan", "--sql"], ["run", "--keep-going"]]
)
def test_a_renamed_file_is_refused(command: list[str], cli: Cli, sqlite: Database) -> None:
    result = cli(*command)
    assert (result.code, result.out) == (4, "")
    assert result.err == f"error: would run a second time: {NOW}\n{RENAME}\n"
    assert sqlite.scalar("SELECT count(*) FROM schema_migrations") == 2


@pytest.mark.usefixtures("renamed")
def test_verify_tells_it_once(cli: Cli) -> None:
    result = cli("verify")
    assert result.out.partition("\n\n")[2] == f"problem: {NOW}\n  {RENAME}\n1 problem\n"
    assert result.code == 4


# --- what verify warns of ---------------------------------------------------------------------------------


def test_warnings_of_verify(cli: Cli, write: Callable[..., None]) -> None:
    write({"002_b.sql": "SELECT 2;\n", "02_c.sql": "SELECT 3;\n"})
    cli("run")
    write({"001_a.sql": "SELECT 1;\n", "2_d.sql": "SELECT 4;\n"})
    result = cli("verify")
    assert (
        result.out.partition("\n\n")[2]
        == """\
warning: sorted before 02_c.sql, which is applied: 001_a.sql
  renumber it if it depends on what was applied since
warning: number 002 is shared by 002_b.sql, 02_c.sql, 2_d.sql
  they run in the order of their names; to have another, renumber 2_d.sql
no problems, 2 warnings
"""
    )
    assert (result.code, result.err) == (0, "")
    document = cli("verify", "--json").json
    assert (document["ok"], document["findings"]) == (True, [])
    assert [finding["kind"] for finding in document["warnings"]] == ["out of order", "number"]
