"""The way past a pooler on the command line: where all goes, and when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pooler import pgbouncer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.support import Database, Write

COMMANDS = [("run",), ("status",), ("plan",), ("plan", "--sql"), ("log",), ("verify",), ("adopt",)]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_everything_goes_there(
    bare: Cli, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Also without a database URL; the other one is not even read."""
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    monkeypatch.setenv("FLUXMIG_DIRECT_URL", "sqlite:///direct.db")
    assert bare("run").code == 0
    alone = bare(*command)
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    beside = bare(*command)
    assert beside.code == alone.code == 0
    assert beside.err == alone.err
    assert [path.name for path in tmp_path.glob("*.db")] == ["direct.db"]


def test_check_takes_its_dialect_from_there(bare: Cli, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    monkeypatch.setenv("FLUXMIG_DIRECT_URL", "sqlite:///direct.db")
    assert bare("check").code == 0


@pytest.mark.parametrize("debug", [(), ("--debug",)])
@pytest.mark.parametrize("json", [(), ("--json",)])
@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql://ada:hunter2@127.0.0.1:1/studio", 6),
        ("postgresql://ada:@hunter2@127.0.0.1:1/studio", 2),
        ("hunter2", 2),
    ],
)
def test_it_is_never_shown(
    bare: Cli, folder: Path, url: str, code: int, debug: tuple[str, ...], json: tuple[str, ...]
) -> None:
    result = bare("status", "--direct-url", url, *debug, *json)
    assert result.code == code
    assert "hunter2" not in result.out + result.err


def test_the_refusal_says_the_way_out_and_that_leads_out(
    bare: Cli, one_postgresql: Database, write: Write
) -> None:
    write(
        {"001_t.sql": "CREATE TABLE t (id integer);", "002_i.sql": "CREATE INDEX CONCURRENTLY i ON t (id);"}
    )
    said = (
        "002_i.sql has to run outside a transaction (CREATE INDEX CONCURRENTLY), under a lock that its"
        " session holds; but a pooler is in between, and each transaction may get another session\n"
    )
    remedy = "--direct-url URL or FLUXMIG_DIRECT_URL: the server's own address, past the pooler\n"
    with pgbouncer(one_postgresql, "transaction") as pooled:
        refused = bare("run", "--database-url", pooled.url)
        assert (refused.code, refused.out, refused.err) == (2, "", f"error: {said}{remedy}")
        planned = bare("plan", "--database-url", pooled.url)
        assert (planned.code, planned.err) == (0, f"warning: {said}  {remedy}")
        assert one_postgresql.tables() == set()
        done = bare("run", "--database-url", pooled.url, "--direct-url", one_postgresql.url)
        assert (done.code, done.err) == (0, "")
    assert one_postgresql.scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") is True
