"""Limits that a login or a database has of its own: what they end is a failed migration, with a way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine

from fluxmig import MigrationFailedError, Migrator
from tests.faults.own_server import GATE, OwnServer, command, meanwhile, own_server
from tests.faults.support import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fluxmig import Notice
    from tests.cli.support import Result
    from tests.support import Write

TOO_LONG = "it took longer than statement_timeout allows: "
SCRIPTS = (
    "--statement-timeout, or `-- fluxmig: statement-timeout=...` in the file, sets another; 0 is for ever"
)
LOGINS = "ALTER ROLE ... SET statement_timeout changes it for the login"
LIFTED = (
    "`SET {0} = 0;` at the head of the file lifts it, and ALTER ROLE ... SET {0} changes it for the login"
)
IDLE = "fluxmig kept silent for longer than idle_in_transaction_session_timeout allows: " + LIFTED.format(
    "idle_in_transaction_session_timeout"
)
CANCELLED = "somebody cancelled it on the server, and not fluxmig: run again"

IN_TRANSACTION = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'fluxmig' AND xact_start IS NOT NULL"
)

SLOW = "CREATE TABLE b (id integer);\nSELECT wait_at('here');"
EXCERPT = """in statement 2 of 2: SELECT wait_at('here')
  1 | CREATE TABLE b (id integer);
  2 | SELECT wait_at('here');
    | ^
CONTEXT: SQL statement "SELECT pg_sleep(600)"
PL/pgSQL function wait_at(text) line 4 at PERFORM
"""


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    with own_server() as server:
        server.start()
        yield server


@pytest.fixture
def name(server: OwnServer, folder: Path, write: Write) -> str:
    """A database with one migration applied, and one pending that comes to a gate."""
    name = server.database(GATE)
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    assert run(server, name, folder).code == 0
    server.rows("INSERT INTO gate VALUES ('here')", name)
    write({"002_b.sql": SLOW})
    return name


def run(server: OwnServer, name: str, folder: Path, *args: str) -> Result:
    return command(*(args or ("run",)), "--database-url", server.url(name), "--migrations", folder)


def failed(server: OwnServer, name: str, code: str) -> None:
    """Nothing of the migration is there, but its failure in the log."""
    assert server.rows("SELECT to_regclass('b')", name) == [(None,)]
    assert server.rows("SELECT migration_name FROM schema_migrations", name) == [("001_a.sql",)]
    log = "SELECT event, migration_name, error_code FROM schema_migrations_log ORDER BY id"
    assert server.rows(log, name) == [("applied", "001_a.sql", None), ("failed", "002_b.sql", code)]
    assert server.scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def passes_with(server: OwnServer, name: str, folder: Path, write: Write, way_out: str) -> None:
    """The file lifts the limit, and takes longer than that would have let it."""
    write({"002_b.sql": f"{way_out}\nCREATE TABLE b (id integer);\nSELECT pg_sleep(3.2);"})
    result = run(server, name, folder)
    assert (result.code, result.err) == (0, "")
    assert server.rows("SELECT count(*) FROM b", name) == [(0,)]


def test_statement_timeout(server: OwnServer, name: str, folder: Path, write: Write) -> None:
    server.rows(f"ALTER DATABASE {name} SET statement_timeout = '3s'")
    result = run(server, name, folder)
    said = "canceling statement due to statement timeout [57014]"
    assert result.err == f"error: {folder}/002_b.sql:2:1: {said}\n{EXCERPT}{TOO_LONG}{SCRIPTS}\n"
    assert result.code == 1
    failed(server, name, "57014")
    passes_with(server, name, folder, write, "-- fluxmig: statement-timeout=0")


def test_transaction_timeout(server: OwnServer, name: str, folder: Path, write: Write) -> None:
    """It ends the session, and is the migration's failure all the same: the next try would end so, too."""
    server.rows(f"ALTER DATABASE {name} SET transaction_timeout = '3s'")
    result = run(server, name, folder, "run", "--retry-connection", "30")
    said = "terminating connection due to transaction timeout [25P04]"
    assert result.err == (
        f"error: {folder}/002_b.sql:2:1: {said}\n{EXCERPT}{LIFTED.format('transaction_timeout')}\n"
    )
    assert result.code == 1
    failed(server, name, "25P04")
    passes_with(server, name, folder, write, "SET transaction_timeout = 0;")


@pytest.mark.parametrize("first", ["", "-- fluxmig: no-transaction\nBEGIN;\n"])
def test_idle_in_transaction_session_timeout(
    server: OwnServer, name: str, folder: Path, write: Write, first: str
) -> None:
    """Who is told a notice keeps fluxmig from sending what is next."""
    last = "COMMIT;" if first else ""
    block = "DO $$ BEGIN RAISE NOTICE 'now'; END $$;"
    write({"002_b.sql": f"{first}CREATE TABLE b (id integer);\n{block}\nCOPY b FROM stdin;\n1\n\\.\n{last}"})
    server.rows(f"ALTER DATABASE {name} SET idle_in_transaction_session_timeout = '3s'")
    engine = create_engine(server.url(name, application_name="fluxmig"))

    def hear(notice: Notice) -> None:
        until(lambda: server.scalar(IN_TRANSACTION) is None, "the session does not end")

    try:
        with pytest.raises(MigrationFailedError) as caught:
            Migrator(engine, folder).run(on_notice=hear)
    finally:
        engine.dispose()
    (failure,) = caught.value.failures
    assert failure.failure
    assert failure.failure.message == "terminating connection due to idle-in-transaction timeout"
    assert (failure.failure.code, failure.failure.remedy) == ("25P03", IDLE)
    assert server.rows("SELECT to_regclass('b')", name) == [(None,)]
    events = (
        "SELECT event, error_code FROM schema_migrations_log WHERE migration_name = '002_b.sql' ORDER BY id"
    )
    started = [("started", None)] if first else []
    assert server.rows(events, name) == [*started, ("failed", "25P03")]


def test_cancelled_by_somebody(server: OwnServer, name: str, folder: Path) -> None:
    with meanwhile(lambda: server.rows(f"SELECT pg_cancel_backend({server.sleeper()})")):
        result = run(server, name, folder)
    said = "canceling statement due to user request [57014]"
    assert result.err == f"error: {folder}/002_b.sql:2:1: {said}\n{EXCERPT}{CANCELLED}\n"
    assert result.code == 1
    failed(server, name, "57014")


def test_a_limit_on_temporary_files(server: OwnServer, name: str, folder: Path, write: Write) -> None:
    server.rows(f"ALTER DATABASE {name} SET temp_file_limit = '64kB'")
    write({"002_b.sql": "CREATE TABLE b AS SELECT n FROM generate_series(1, 300000) AS n ORDER BY -n;"})
    server.rows(f"ALTER DATABASE {name} SET work_mem = '64kB'")
    result = run(server, name, folder)
    assert result.err == (
        f'error: {folder}/002_b.sql:1:1: temporary file size exceeds "temp_file_limit" (64kB) [53400]\n'
        "  1 | CREATE TABLE b AS SELECT n FROM generate_series(1, 300000) AS n ORDER BY -n;\n"
        "    | ^\n"
        "the login or the server has a limit for this: raise it, and run again\n"
    )
    failed(server, name, "53400")


def test_where_the_ledger_is_read(server: OwnServer, name: str, folder: Path) -> None:
    """The login's own time-out, at a statement of fluxmig's."""
    server.rows(f"ALTER DATABASE {name} SET statement_timeout = '3s'")
    engine = create_engine(server.url(name))
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE")
            result = run(server, name, folder, "status")
    finally:
        engine.dispose()
    assert result.err == (
        "error: the server could not go on: canceling statement due to statement timeout [57014]\n"
        f"{TOO_LONG}{LOGINS}\n"
    )
    assert result.code == 6
