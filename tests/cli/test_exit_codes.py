"""Each exit code of the documentation, produced for real."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from fluxmig import errors
from tests.cli.support import process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.support import Database

GOOD = {"001_a.sql": "SELECT 1;"}


def test_0_done(cli: Cli, write: Callable[..., None]) -> None:
    write({**GOOD, "001_a.down.sql": "SELECT 1;"})
    commands = ("plan", "plan --sql", "run", "status --check", "log", "verify", "redo --yes", "rollback")
    for command in (*commands, "rollback --to 0", "plan"):
        assert cli(*command.split()).code == 0, command


def test_1_a_migration_failed(cli: Cli, write: Callable[..., None]) -> None:
    write({**GOOD, "002_b.sql": "SELEKT 1;"})
    assert cli("run").code == 1
    assert cli("run", "--keep-going").code == 1
    assert cli("verify").code == 1


def test_1_a_rollback_failed(cli: Cli, write: Callable[..., None], folder: Path) -> None:
    write({**GOOD, "001_a.down.sql": "SELEKT 1;"})
    for command in ("rollback", "redo --yes"):
        assert cli(*command.split()).code == 1  # nothing is applied
    cli("run")
    for command in ("rollback", "redo --yes"):
        assert cli(*command.split()).code == 1
    (folder / "001_a.down.sql").unlink()
    for command in ("rollback", "redo --yes"):
        assert cli(*command.split()).code == 1


@pytest.mark.parametrize(
    "args",
    [
        ["nonsense"],
        ["run", "--nonsense"],
        ["run", "--steps", "0"],
        ["run", "--to", "nothing"],
        ["run", "--restart", "nothing"],
        ["rollback", "--to", "nothing"],
        ["rollback", "--to", "1", "--steps", "1"],
        ["redo", "nothing"],
        ["plan", "--restart", "1"],
        ["plan", "--sql", "--json"],
        ["log", "--last", "0"],
        ["run", "--migrations", "nowhere"],
        ["run", "--database-url", "nonsense"],
        ["run", "--database-url", "nonsense://x"],
        ["run", "--wait", "soon"],
        ["run", "--table", "x" * 60],
        ["create"],
        ["mark"],
        ["mark", "nothing", "--yes"],
        ["mark", "--all"],
        ["resolve", "1"],
    ],
)
def test_2_usage_or_configuration(args: list[str], cli: Cli, write: Callable[..., None]) -> None:
    write(GOOD)
    assert cli(*args).code == 2


def test_2_no_permission(on_postgresql: Cli, write: Callable[..., None], one_postgresql: Database) -> None:
    write({"001_a.sql": "SELECT 1;"})
    one_postgresql.rows("REVOKE CREATE ON SCHEMA public FROM PUBLIC; DROP ROLE IF EXISTS guest")
    one_postgresql.rows("CREATE ROLE guest LOGIN")
    try:
        result = on_postgresql("run", "--database-url", one_postgresql.url.replace("postgres@", "guest@", 1))
    finally:
        one_postgresql.rows("DROP ROLE guest")
    assert result.code == 2
    assert result.err == (
        "error: the database refuses: permission denied for schema public [42501]\n"
        "`fluxmig verify` lists the privileges that a run needs; accept and rename need UPDATE, too\n"
    )


@pytest.mark.parametrize("content", [b"\xff", b"a\0b", b"SELECT 'x", b"-- fluxmig: no-transactoin\n"])
def test_3_a_file_that_cannot_be_read(content: bytes, cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": content})
    assert [cli(*args).code for args in (["run"], ["plan"], ["plan", "--sql"])] == [3] * 3


def test_4_ledger_and_files_disagree(cli: Cli, write: Callable[..., None]) -> None:
    write({**GOOD, "002_b.down.sql": "SELECT 1;"})
    cli("run")
    write({"001_a.sql": "SELECT 2;", "002_b.sql": "SELECT 2;"})
    assert cli("rollback", "--to", "2").code == 4
    assert cli("redo", "2").code == 4
    for command in ("run", "plan"):
        assert cli(command, "--strict").code == 4
        assert cli(command, "--only", "1").code == 4
    assert cli("verify").code == 4
    for command in ("mark 1", "resolve 1 --done", "rename 1 1"):
        assert cli(*command.split(), "--yes").code == 4
    assert cli("accept", "1", "--yes").code == 0
    assert cli("accept", "1", "--yes").code == 4


def test_4_a_table_of_another_tool(cli: Cli, write: Callable[..., None], sqlite: Database) -> None:
    write(GOOD)
    sqlite.rows("CREATE TABLE schema_migrations (version text)")
    result = cli("run")
    assert result.code == 4
    assert result.err.endswith("if the table is another tool's, choose another name with --table\n")


def test_5_lock_not_obtained(cli: Cli, write: Callable[..., None], sqlite: Database) -> None:
    write(GOOD)
    with sqlite.engine().connect() as other:
        other.execute(text("CREATE TABLE mine (id integer)"))
        other.execute(text("INSERT INTO mine VALUES (1)"))
        result = cli("run", "--wait-lock", 0, "--database-url", f"{sqlite.url}?timeout=0")
    assert (result.code, result.out) == (5, "")
    assert result.err == (
        "error: the file is locked: by another runner, or by any other connection that writes\n"
        "wait for it to finish, or give --wait-lock more seconds\n"
    )


def test_6_no_connection(cli: Cli, write: Callable[..., None]) -> None:
    write(GOOD)
    for command in ("run", "plan", "log", "status", "verify", "rollback", "redo"):
        assert cli(command, "--database-url", "postgresql://127.0.0.1:1/x").code == 6


def test_10_something_is_pending(cli: Cli, write: Callable[..., None]) -> None:
    write(GOOD)
    assert cli("status", "--check").code == 10


def test_every_error_has_one_of_them() -> None:
    kinds = [getattr(errors, name) for name in errors.__all__]
    assert {kind.exit_code for kind in kinds} == {1, 2, 3, 4, 5, 6}


def test_a_process_ends_with_them(sqlite: Database, write: Callable[..., None]) -> None:
    write(GOOD)
    assert process("--database-url", sqlite.url, "status", "--check").returncode == 10
    assert process("status").returncode == 2
