"""A script without a transaction that is killed at every point: nothing is done twice, nothing left out.

The points are triggers on the script's table, the log and the ledger. On PostgreSQL such a trigger waits for
a lock that the test holds, so that process or connection is ended exactly there; on SQLite it ends the
process itself.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from fluxmig import DatabaseConnectionError, FluxmigError, MigrationFailedError, Migrator, Notice
from tests.faults.support import LIMIT_S, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support import Database, Write

REPOSITORY = Path(__file__).parents[2]
RUN = (
    "SELECT event, statement_number FROM schema_migrations_log WHERE migration_name = '002_b.sql' ORDER BY id"
)
ROWS = "SELECT id FROM t ORDER BY id"

SCRIPT = """-- fluxmig: no-transaction
INSERT INTO t VALUES (1);
INSERT INTO t VALUES (2);
CREATE INDEX CONCURRENTLY i ON t (id);
BEGIN;
INSERT INTO t VALUES (3);
INSERT INTO t VALUES (4);
COMMIT;
INSERT INTO t VALUES (5);
"""
UNITS = {1: (1,), 2: (2,), 3: (), 7: (3, 4), 8: (5,)}
"""What is done as a whole: after how many statements, and the rows that come with it."""

GATE = """
CREATE TABLE gate (point text);
CREATE FUNCTION wait_at(here text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM public.gate WHERE point = here) THEN
    PERFORM pg_advisory_xact_lock(7, 7);
  END IF;
END $$;
CREATE FUNCTION of_table() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM public.wait_at(concat(TG_ARGV[0], ' row ', NEW.id)); RETURN NEW; END $$;
CREATE FUNCTION of_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.migration_name = '002_b.sql' THEN
    PERFORM public.wait_at(concat_ws(' ', TG_ARGV[0], NEW.event, NEW.statement_number));
  END IF;
  RETURN NEW;
END $$;
CREATE FUNCTION of_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM public.wait_at(concat_ws(' ', TG_ARGV[0], 'ledger', NEW.migration_name)); RETURN NEW; END $$;
CREATE TABLE t (id integer);
CREATE TRIGGER b BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION of_table('before');
CREATE TRIGGER a AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION of_table('after');
CREATE CONSTRAINT TRIGGER c AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION of_table('commit of');
CREATE TRIGGER b BEFORE INSERT ON schema_migrations_log FOR EACH ROW EXECUTE FUNCTION of_log('before');
CREATE TRIGGER a AFTER INSERT ON schema_migrations_log FOR EACH ROW EXECUTE FUNCTION of_log('after');
CREATE TRIGGER b BEFORE INSERT ON schema_migrations FOR EACH ROW EXECUTE FUNCTION of_ledger('before');
CREATE TRIGGER a AFTER INSERT ON schema_migrations FOR EACH ROW EXECUTE FUNCTION of_ledger('after');
"""
POINTS = [
    *(f"{when} row {number}" for number in (1, 4) for when in ("before", "after", "commit of")),
    *(f"before progress {done}" for done in UNITS),
    *(
        f"after {what}"
        for what in ("started 1", "progress 2", "progress 3", "progress 7", "ledger 002_b.sql")
    ),
    "after applied",
]


def arguments(code: str, *values: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, values)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])}


@contextmanager
def gate(database: Database, point: str) -> Iterator[Callable[[], int]]:
    """Closes the gate at a point; gives a function that waits for who stands there, and tells its process."""
    database.rows(f"INSERT INTO gate VALUES ('{point}')")
    waiting = (
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )

    def stands_there() -> int:
        until(lambda: database.scalar(waiting), f"nobody came to {point}")
        return int(str(database.scalar(waiting)))

    with create_engine(database.url, poolclass=NullPool).begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(7, 7)"))
        yield stands_there
        database.rows("DELETE FROM gate")


PROCESS = """
import sys
from sqlalchemy import create_engine
from fluxmig import Migrator
Migrator(create_engine(sys.argv[1]), sys.argv[2]).run()
"""


@contextmanager
def running(database: Database, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that runs the migrations; killed at the end at the latest."""
    process = subprocess.Popen(
        arguments(PROCESS, database.url, folder), stderr=subprocess.PIPE, text=True, env=environment()
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=LIMIT_S)


@pytest.fixture
def prepared(one_postgresql: Database, folder: Path, write: Write) -> Database:
    """A database with the gate, and the script still to be run."""
    write({"001_a.sql": "SELECT 1;"})
    Migrator(one_postgresql.engine(), folder).run()
    one_postgresql.rows(GATE)
    write({"002_b.sql": SCRIPT})
    return one_postgresql


def kept(database: Database) -> None:
    """What is in the table is exactly what the log says is done."""
    done = database.scalar(
        "SELECT coalesce(max(statement_number), 0) FROM schema_migrations_log WHERE event = 'progress'"
    )
    expected = [(row,) for last, rows in UNITS.items() for row in rows if last <= int(str(done))]
    assert database.rows(ROWS) == expected


def finish(database: Database, folder: Path) -> None:
    """The next run comes to the end, once, and every row is there once."""
    Migrator(database.engine(), folder).run()
    assert database.rows(ROWS) == [(1,), (2,), (3,), (4,), (5,)]
    assert database.scalar("SELECT count(*) FROM schema_migrations WHERE migration_name = '002_b.sql'") == 1
    assert database.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == [(True,)]
    progress = [number for event, number in database.rows(RUN) if event == "progress"]
    assert progress == list(UNITS)
    assert database.scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


@pytest.mark.parametrize("point", POINTS)
def test_a_connection_that_is_ended(prepared: Database, folder: Path, point: str) -> None:
    caught: list[FluxmigError] = []

    def run() -> None:
        try:
            Migrator(prepared.engine(), folder).run()
        except FluxmigError as error:
            caught.append(error)

    runner = Thread(target=run)
    with gate(prepared, point) as stands_there:
        runner.start()
        prepared.rows(f"SELECT pg_terminate_backend({stands_there()}, 60000)")
    runner.join(60)
    (error,) = caught
    assert isinstance(error, DatabaseConnectionError)
    assert str(error).startswith(f"the connection was lost in {folder}/002_b.sql: ")
    assert str(error).endswith(
        "The script ran without a transaction: `fluxmig status` tells how many of its statements are done,"
        " and the next run goes on behind them."
    )
    kept(prepared)
    finish(prepared, folder)


@pytest.mark.parametrize(
    "point", ["after row 1", "before progress 3", "after row 4", "after progress 7", "after applied"]
)
def test_a_process_that_is_killed(prepared: Database, folder: Path, point: str) -> None:
    with gate(prepared, point) as stands_there, running(prepared, folder) as process:
        server_process = stands_there()
        process.kill()
        assert process.wait(LIMIT_S) == -signal.SIGKILL
    gone = f"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = {server_process}"
    until(lambda: prepared.scalar(gone), "the server did not notice")
    kept(prepared)
    finish(prepared, folder)


@pytest.mark.parametrize("point", ["after row 2", "after row 3", "before progress 3"])
def test_a_process_that_is_interrupted(prepared: Database, folder: Path, point: str) -> None:
    """By Ctrl-C: the statement is cancelled on the server, and what was done before stays kept."""
    with gate(prepared, point) as stands_there, running(prepared, folder) as process:
        stands_there()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=LIMIT_S)
    assert said.splitlines()[-1].startswith("KeyboardInterrupt")
    kept(prepared)
    finish(prepared, folder)


def test_an_index_that_was_built_when_the_attempt_was_cut_off(prepared: Database, folder: Path) -> None:
    with gate(prepared, "before progress 3") as stands_there, running(prepared, folder):
        prepared.rows(f"SELECT pg_terminate_backend({stands_there()}, 60000)")
    notices: list[Notice] = []
    (step,) = Migrator(prepared.engine(), folder).run(on_notice=notices.append).results
    assert (step.outcome.value, step.resumed_at) == ("applied", 3)
    assert [(notice.severity, notice.message) for notice in notices] == [
        ("NOTE", "statement 3 was done already when the last attempt was cut off")
    ]
    assert step.notices == tuple(notices)


def test_an_index_that_was_built_when_the_attempt_before_the_last_was_cut_off(
    prepared: Database, folder: Path
) -> None:
    """Whatever the last one failed for, it says nothing of what the one before it has done."""
    with gate(prepared, "before progress 3") as stands_there, running(prepared, folder):
        prepared.rows(f"SELECT pg_terminate_backend({stands_there()}, 60000)")
    with create_engine(prepared.url, poolclass=NullPool).begin() as connection:
        connection.execute(text("LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE"))
        with pytest.raises(MigrationFailedError, match="canceling statement due to statement timeout"):
            Migrator(prepared.engine(), folder, statement_timeout_s=0.1).run()
    (step,) = Migrator(prepared.engine(), folder).run().results
    assert [notice.message for notice in step.notices] == [
        "statement 3 was done already when the last attempt was cut off"
    ]
    assert prepared.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == [(True,)]


def test_a_block_that_was_cut_off_is_not_taken_for_done(
    prepared: Database, folder: Path, write: Write
) -> None:
    """What is there already is not what the whole statement makes."""
    block = "DO $$ BEGIN CREATE TABLE made (id integer); COMMIT; INSERT INTO t VALUES (1); END $$;"
    write({"002_b.sql": f"-- fluxmig: no-transaction\n{block}"})
    with gate(prepared, "before row 1") as stands_there, running(prepared, folder):
        prepared.rows(f"SELECT pg_terminate_backend({stands_there()}, 60000)")
    with pytest.raises(MigrationFailedError, match='relation "made" already exists'):
        Migrator(prepared.engine(), folder).run()
    assert prepared.rows(ROWS) == []
    assert prepared.scalar("SELECT count(*) FROM schema_migrations") == 1


# --- SQLite -----------------------------------------------------------------------------------------------

SQLITE_SCRIPT = SCRIPT.replace("CREATE INDEX CONCURRENTLY i ON t (id)", "VACUUM")
SQLITE_GATE = """
CREATE TABLE t (id integer);
CREATE TRIGGER tb BEFORE INSERT ON t BEGIN SELECT die('before row ' || NEW.id); END;
CREATE TRIGGER ta AFTER INSERT ON t BEGIN SELECT die('after row ' || NEW.id); END;
CREATE TRIGGER lb BEFORE INSERT ON schema_migrations_log WHEN NEW.migration_name = '002_b.sql'
  BEGIN SELECT die('before ' || NEW.event || coalesce(' ' || NEW.statement_number, '')); END;
CREATE TRIGGER la AFTER INSERT ON schema_migrations_log WHEN NEW.migration_name = '002_b.sql'
  BEGIN SELECT die('after ' || NEW.event || coalesce(' ' || NEW.statement_number, '')); END;
CREATE TRIGGER sa AFTER INSERT ON schema_migrations BEGIN SELECT die('after ledger'); END;
"""
DYING = """
import os, signal, sys
from sqlalchemy import create_engine, event
from fluxmig import Migrator
engine = create_engine(sys.argv[1])

@event.listens_for(engine, "connect")
def connected(connection, record):
    def die(point):
        if point == sys.argv[3]:
            os.kill(os.getpid(), signal.SIGKILL)
    connection.create_function("die", 1, die)

Migrator(engine, sys.argv[2]).run()
"""


@pytest.mark.parametrize(
    "point",
    [
        "after started 1",
        "after row 1",
        "after progress 1",
        "before progress 2",
        "before progress 3",
        "after row 3",
        "before progress 7",
        "after progress 7",
        "after ledger",
        "after applied",
    ],
)
def test_a_process_that_is_killed_on_sqlite(sqlite: Database, folder: Path, write: Write, point: str) -> None:
    write({"001_a.sql": "SELECT 1;"})
    Migrator(sqlite.engine(), folder).run()
    with closing(sqlite3.connect(make_url(sqlite.url).database or "")) as connection:
        connection.executescript(SQLITE_GATE)
    write({"002_b.sql": SQLITE_SCRIPT})

    def run(until_point: str) -> int:
        command = arguments(DYING, sqlite.url, folder, until_point)
        return subprocess.run(command, env=environment(), check=False, timeout=LIMIT_S).returncode

    assert run(point) == -signal.SIGKILL
    kept(sqlite)
    assert run("nowhere") == 0
    assert sqlite.rows(ROWS) == [(1,), (2,), (3,), (4,), (5,)]
    assert [number for event, number in sqlite.rows(RUN) if event == "progress"] == list(UNITS)
    assert sqlite.scalar("SELECT count(*) FROM schema_migrations WHERE migration_name = '002_b.sql'") == 1
