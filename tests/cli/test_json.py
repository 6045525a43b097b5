"""`--json`: one document on standard output and nothing beside it, whatever happens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.support import process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.support import Database

CHECKSUM = "17db4fd369edb9244b9f91d9aeed145c3d04ad8ba6e95d06247f07a63527d11a"  # of b"SELECT 1;"


def timeless(document: Any) -> Any:
    """The document with every duration as 0, every time as TIME and every user as USER."""
    masks = {"applied_at": "TIME", "time": "TIME", "applied_by": "USER", "version": "VERSION"}
    match document:
        case dict():
            return {
                key: 0
                if key.endswith("_ms") and value is not None
                else masks[key]
                if key in masks and value is not None
                else timeless(value)
                for key, value in document.items()
            }
        case list():
            return [timeless(item) for item in document]
        case _:
            return document


def step(name: str, outcome: str = "applied", **more: object) -> dict[str, object]:
    return {
        "name": name,
        "outcome": outcome,
        "duration_ms": 0,
        "mode": "transaction",
        "reason": None,
        "statements": 1,
        "resumed_at": 1,
        "tries": 1,
        "failure": None,
        "lost_statements": [],
        "skipped_statements": [],
        "notices": [],
        **more,
    }


# --- success ----------------------------------------------------------------------------------------------


def test_run(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;", "002_b.sql": "SELECT 1;"})
    result = cli("run", "--steps", 1, "--json")
    assert timeless(result.json) == {
        "format": 1,
        "command": "run",
        "dry_run": False,
        "results": [step("001_a.sql")],
        "pending": ["002_b.sql"],
        "findings": [],
        "duration_ms": 0,
    }
    assert (result.code, result.err) == (0, "")


def test_run_with_a_duplicate_and_a_finding(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "CREATE TABLE a (b);", "002_b.sql": "CREATE TABLE a (b); SELECT 1;", "003_c.sql": ""})
    result = cli("run", "--json")
    document = timeless(result.json)
    failure = document["results"][1].pop("failure")
    assert failure["message"] == "table a already exists"
    assert failure["object"] == "a"
    expected = step("002_b.sql", "marked", statements=2)
    expected["lost_statements"] = [
        {"number": 2, "line": 1, "first_line": "SELECT 1", "objects": [], "exists": None}
    ]
    del expected["failure"]
    assert document["results"][1] == expected
    assert document["findings"] == [
        {
            "kind": "empty",
            "message": "holds no statement: 003_c.sql",
            "names": ["003_c.sql"],
            "remedy": "is the SQL missing?",
        }
    ]
    assert (result.code, result.err) == (
        0,
        "warning: holds no statement: 003_c.sql\n  is the SQL missing?\n",
    )


@pytest.mark.parametrize("args", ["run --dry-run", "plan"])
def test_a_plan(args: str, cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;"})
    result = cli(*args.split(), "--json")
    assert result.json == {
        "format": 1,
        "command": args.partition(" ")[0],
        "dry_run": True,
        "plan": [
            {
                "name": "001_a.sql",
                "checksum": CHECKSUM,
                "mode": "transaction",
                "reason": None,
                "statements": 1,
                "resumes_at": 1,
            }
        ],
        "findings": [],
    }
    assert (result.code, result.err) == (0, "")


def test_status(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;", "002_ü.sql": "SELECT 1;"})
    cli("run", "--steps", 1)
    result = cli("status", "--json", "--check")
    assert timeless(result.json) == {
        "format": 1,
        "command": "status",
        "migrations": [
            {
                "name": "001_a.sql",
                "state": "applied",
                "conditions": [],
                "checksum": CHECKSUM,
                "recorded_checksum": CHECKSUM,
                "applied_at": "TIME",
                "applied_by": "USER",
                "execution_time_ms": 0,
                "message": None,
                "statements_done": None,
                "renamed_to": [],
                "marked": None,
            },
            {
                "name": "002_ü.sql",
                "state": "pending",
                "conditions": [],
                "checksum": CHECKSUM,
                "recorded_checksum": None,
                "applied_at": None,
                "applied_by": None,
                "execution_time_ms": None,
                "message": None,
                "statements_done": None,
                "renamed_to": [],
                "marked": None,
            },
        ],
        "total": 2,
        "applied": 1,
        "pending": 1,
    }
    assert (result.code, result.err) == (10, "")
    assert "002_ü.sql" in result.out  # letters as they are


def test_rollback(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;", "002_b.sql": "SELECT 1;", "002_b.down.sql": "SELECT 1;"})
    cli("run")
    document: dict[str, Any] = {
        "format": 1,
        "command": "rollback",
        "dry_run": True,
        "results": [{"name": "002_b.sql", "reversed": True, "duration_ms": 0}],
        "to": "001_a.sql",
        "findings": [],
    }
    assert cli("rollback", "--to", 1, "--json", "--dry-run").json == document
    results: list[Any]
    for results in (document["results"], []):
        result = cli("rollback", "--to", 1, "--json")
        assert timeless(result.json) == document | {"dry_run": False, "results": results}
        assert (result.code, result.err) == (0, "")
    result = cli("rollback", "--record-only", "--json")
    assert timeless(result.json) == document | {
        "dry_run": False,
        "results": [{"name": "001_a.sql", "reversed": False, "duration_ms": 0}],
        "to": None,
    }


def test_redo(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;", "002_b.sql": "SELECT 1;", "001_a.down.sql": "-- none yet"})
    cli("run")
    finding = {
        "kind": "empty",
        "message": "holds no statement: 001_a.down.sql",
        "names": ["001_a.down.sql"],
        "remedy": "is the SQL missing?",
    }
    result = cli("redo", "1", "--json", "--dry-run")
    document = result.json
    checksums = [planned.pop("checksum") for planned in document["plan"]]
    assert [len(checksum) for checksum in checksums] == [64, 64]
    how = {"mode": "transaction", "reason": None, "resumes_at": 1}
    assert document == {
        "format": 1,
        "command": "redo",
        "dry_run": True,
        "plan": [
            {"name": "001_a.down.sql", "statements": 0, **how},
            {"name": "001_a.sql", "statements": 1, **how},
        ],
        "apart": None,
        "later": ["002_b.sql"],
        "findings": [finding],
    }
    assert result.code == 0
    result = cli("redo", "1", "--json", "--yes")
    document = timeless(result.json)
    (applied,) = document.pop("results")
    assert (applied["name"], applied["outcome"]) == ("001_a.sql", "applied")
    assert document == {
        "format": 1,
        "command": "redo",
        "dry_run": False,
        "reversed": {"name": "001_a.sql", "reversed": True, "duration_ms": 0},
        "later": ["002_b.sql"],
        "findings": [finding],
    }
    assert result.code == 0


def test_create(bare: Cli) -> None:
    result = bare("create", "a", "--with-down", "--json")
    assert result.json == {
        "format": 1,
        "command": "create",
        "files": ["migrations/001_a.sql", "migrations/001_a.down.sql"],
    }
    assert (result.code, result.err) == (0, "")


def test_verify(cli: Cli, write: Callable[..., None], tmp_path: Path) -> None:
    write({"001_a.sql": "SELECT 1;"})
    cli("run")
    result = cli("verify", "--json")
    assert timeless(result.json) == {
        "format": 1,
        "command": "verify",
        "ok": True,
        "server": {"product": "SQLite", "version": "VERSION", "dialect": "sqlite+pysqlite", "time": "TIME"},
        "database": f"{tmp_path}/test.db",
        "user": None,
        "ssl": None,
        "ledger": {
            "table": "schema_migrations",
            "exists": True,
            "log_exists": True,
            "may_create": True,
            "may_write": True,
        },
        "applied": 1,
        "pending": 0,
        "findings": [],
        "warnings": [],
        "capabilities": {
            "transactional_ddl": True,
            "lock": "of the file, by BEGIN IMMEDIATE",
            "duplicates": "message",
            "positions": "the token that the message quotes",
            "concurrent_index": False,
            "copy": False,
            "scratch": "sqlite",
            "tested": "3.40 and Python's own",
        },
    }
    assert (result.code, result.err) == (0, "")


# --- errors -----------------------------------------------------------------------------------------------


def test_a_failed_run(on_postgresql: Cli, write: Callable[..., None]) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (b integer UNIQUE);",
            "002_b.sql": "INSERT INTO a VALUES (1);\nINSERT INTO a VALUES (1);",
            "003_c.sql": "SELECT 1;",
        }
    )
    result = on_postgresql("run", "--json")
    failure = {
        "file": "migrations/002_b.sql",
        "line": 2,
        "column": 1,
        "message": 'duplicate key value violates unique constraint "a_b_key"',
        "code": "23505",
        "object": "a_b_key",
        "detail": "Key (b)=(1) already exists.",
        "hint": None,
        "context": None,
        "statement": 2,
        "statements_done": 0,
        "remedy": None,
    }
    document = timeless(result.json)
    error = document.pop("error")
    assert document == {
        "format": 1,
        "command": "run",
        "dry_run": False,
        "results": [step("001_a.sql"), step("002_b.sql", "failed", statements=2, failure=failure)],
        "pending": ["002_b.sql", "003_c.sql"],
        "findings": [],
        "duration_ms": 0,
    }
    assert error["type"] == "MigrationFailedError"
    assert error["exit_code"] == result.code == 1
    assert error["message"].startswith("migrations/002_b.sql:2:1: duplicate key value")
    assert result.err == f"error: {error['message']}\n"


def test_a_rollback_that_stops_half_way(cli: Cli, write: Callable[..., None]) -> None:
    down = {"001_a.down.sql": "DROP TABLE b;", "002_b.down.sql": "SELECT 1;"}
    write({"001_a.sql": "SELECT 1;", "002_b.sql": "SELECT 1;", **down})
    cli("run")
    result = cli("rollback", "--steps", 2, "--json")
    document = timeless(result.json)
    assert document["results"] == [{"name": "002_b.sql", "reversed": True, "duration_ms": 0}]
    error = document["error"]
    assert (error["type"], error["names"]) == ("RollbackError", ["001_a.sql"])
    assert error["failure"] == {
        "file": "migrations/001_a.down.sql",
        "line": 1,
        "column": 1,
        "message": "no such table: b",
        "code": "SQLITE_ERROR",
        "object": None,
        "detail": None,
        "hint": None,
        "context": None,
        "statement": 1,
        "statements_done": 0,
        "remedy": None,
    }
    assert result.code == error["exit_code"] == 1
    assert result.err == f"error: {error['message']}\n"


def test_a_rollback_that_is_refused(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;"})
    cli("run")
    for command in (["rollback"], ["rollback", "--dry-run"], ["redo", "--yes"], ["redo", "--dry-run"]):
        error = cli(*command, "--json").json["error"]
        assert (error["type"], error["names"], error["failure"]) == ("RollbackError", ["001_a.sql"], None)
        assert error["message"] == "nothing was taken back: 001_a.sql has no down script"


@pytest.mark.parametrize("head", ["", "-- fluxmig: no-transaction\n"])
def test_a_redo_that_fails(cli: Cli, write: Callable[..., None], head: str) -> None:
    write({"001_a.sql": "SELECT 1;", "001_a.down.sql": f"{head}SELECT 1;"})
    cli("run")
    write({"001_a.sql": "DROP TABLE b;"})
    result = cli("redo", "--yes", "--json")
    document = timeless(result.json)
    (failed,) = document["results"]
    assert (document["command"], failed["name"], failed["outcome"]) == ("redo", "001_a.sql", "failed")
    assert document["pending"] == (["001_a.sql"] if head else [])
    assert (document["error"]["type"], result.code) == ("MigrationFailedError", 1)
    assert result.err == f"error: {document['error']['message']}\n"


WRONG = {
    "no url": ({}, "ConfigError", 2),
    "bad url": ({"DATABASE_URL": "nonsense"}, "ConfigError", 2),
    "bad variable": ({"FLUXMIG_WAIT": "nonsense"}, "ConfigError", 2),
    "refused": ({"DATABASE_URL": "postgresql://ada@127.0.0.1:1/studio"}, "DatabaseConnectionError", 6),
}


@pytest.mark.parametrize("command", ["run", "plan", "log", "status", "rollback", "redo", "verify"])
@pytest.mark.parametrize("wrong", WRONG)
def test_errors_of_every_command(
    command: str, wrong: str, bare: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables, kind, code = WRONG[wrong]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = bare(command, "--json")
    error = result.json["error"]
    assert list(result.json) == ["format", "command", "error"]
    assert (result.json["format"], result.json["command"]) == (1, command)
    assert (error["type"], error["exit_code"], result.code) == (kind, code, code)
    assert result.err == f"error: {error['message']}\n{error['remedy']}\n"


@pytest.mark.parametrize(("command", "code"), [("run", 2), ("plan", 2), ("status", 2), ("verify", 3)])
def test_a_bad_folder(command: str, code: int, cli: Cli, sqlite: Database) -> None:
    sqlite.rows("CREATE TABLE a (b)")
    result = cli(command, "--migrations", "nowhere", "--json")
    assert result.code == code
    if command == "verify":
        assert result.json["findings"][0]["kind"] == "files"
        assert result.err == ""
    else:
        assert result.json["error"]["message"].startswith("there is no folder nowhere")
        assert result.err.startswith("error: there is no folder nowhere")


def test_an_unreadable_file(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": b"\xff"})
    result = cli("run", "--json")
    assert result.json["error"]["type"] == "MigrationFileError"
    assert result.code == result.json["error"]["exit_code"] == 3


def test_an_impossible_name_for_create(bare: Cli) -> None:
    result = bare("create", "?", "--json")
    assert result.json == {
        "format": 1,
        "command": "create",
        "error": {
            "type": "ConfigError",
            "message": "'?' holds no letter or digit",
            "remedy": "name it like `add user settings`",
            "exit_code": 2,
        },
    }
    assert result.code == 2


@pytest.mark.parametrize("where", ["before", "after"])
def test_debug_leaves_standard_output_alone(where: str, bare: Cli) -> None:
    args = ["--debug", "--json", "status"] if where == "before" else ["status", "--json", "--debug"]
    result = bare(*args)
    assert result.json["error"]["type"] == "ConfigError"
    assert result.err.startswith("Traceback (most recent call last):\n")


def test_no_colour_in_json_ever(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;"})
    for command in ("plan", "run", "log", "status", "verify", "rollback"):
        result = cli(command, "--json", "--color", "always")
        assert "\x1b" not in result.out
        assert result.json["command"] == command


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_whatever_the_encoding(
    encoding: str, cli: Cli, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write({"001_größe_名.sql": "SELECT 1;"})
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    done = process("run", "--json", encoding=encoding)
    assert json.loads(done.stdout)["results"][0]["name"] == "001_größe_名.sql"
    assert (done.returncode, done.stderr) == (0, "")
