"""What a script, sent with its rows in one message, must not lose of what it has when it is sent alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import NullPool, QueuePool, StaticPool, event, text

from fluxmig import DatabaseConnectionError, LedgerError, MigrationFailedError, Migrator, Outcome
from fluxmig.dialects import postgresql as postgresql_dialect
from fluxmig.dialects import psycopg_driver
from fluxmig.dialects.postgresql import PostgreSQL
from fluxmig.lock import Lock
from fluxmig.model import StepResult

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from fluxmig.model import Failure, Script
    from tests.support import Database, Write

FIRST = {"001_a.sql": "CREATE TABLE a (id integer PRIMARY KEY);\n"}


@pytest.fixture
def migrator(postgresql: Database, folder: Path, write: Write) -> Migrator:
    """On a database that has a ledger, a log and the table `a`."""
    write(FIRST)
    migrator = Migrator(postgresql.engine(), folder)
    migrator.run()
    return migrator


def failure_of(migrator: Migrator) -> Failure:
    with pytest.raises(MigrationFailedError) as caught:
        migrator.run()
    (failed,) = caught.value.failures
    assert failed.failure
    return failed.failure


@pytest.mark.parametrize(
    "end", ["", ";", ";;\n", "\n-- done", "; -- done; it's", " /* ; */", ";\n\\unrestrict x\n"]
)
def test_whatever_a_script_ends_with(
    migrator: Migrator, postgresql: Database, write: Write, end: str
) -> None:
    write({"002_b.sql": f"INSERT INTO a VALUES (1); INSERT INTO a VALUES (2){end}"})
    assert [result.outcome for result in migrator.run().results] == [Outcome.APPLIED]
    assert postgresql.rows("SELECT id FROM a ORDER BY id") == [(1,), (2,)]
    assert postgresql.log() == [("applied", "001_a.sql"), ("applied", "002_b.sql")]


Hook = Callable[[str], None]


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Callable[[Hook], None]:
    """Has something done before each message of a file is sent."""
    run, hooks = psycopg_driver.run, list[Hook]()

    def running(connection: Connection, message: str, *more: Any) -> list[list[str]]:
        if "INSERT INTO public.schema_migrations " in message:
            for hook in hooks:
                hook(message)
        return run(connection, message, *more)

    monkeypatch.setattr(psycopg_driver, "run", running)
    return hooks.append


@pytest.fixture
def sent(before: Callable[[Hook], None]) -> list[str]:
    """The messages of files."""
    messages = list[str]()
    before(messages.append)
    return messages


def test_a_file_with_all_that_belongs_to_it_is_one_message(
    migrator: Migrator, write: Write, sent: list[str]
) -> None:
    """With what begins the next one, where there is one."""
    write({"002_b.sql": "INSERT INTO a VALUES (1);", "003_c.sql": "INSERT INTO a VALUES (2);"})
    migrator.run()
    assert len(sent) == 2
    for message, number in zip(sent, (1, 2), strict=True):
        parts = [f"INTO a VALUES ({number})", "INTO public.schema_migrations "]
        parts += ["INTO public.schema_migrations_log ", "COMMIT"]
        parts += ["BEGIN;", "pg_try_advisory_xact_lock", "'003_c.sql'"] if number == 1 else []
        assert sorted(parts, key=message.rindex) == parts
    assert "BEGIN" not in sent[1]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, True),
        ({"poolclass": NullPool}, True),
        ({"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.1}, False),
        ({"poolclass": StaticPool}, False),
    ],
)
def test_who_is_told_of_a_file_can_use_the_pool(
    migrator: Migrator,
    postgresql: Database,
    write: Write,
    sent: list[str],
    options: dict[str, Any],
    *,
    kept: bool,
) -> None:
    """A connection is kept for the next file only where the pool has another one."""
    write({"002_b.sql": "INSERT INTO a VALUES (1);", "003_c.sql": "INSERT INTO a VALUES (2);"})
    engine, counts = postgresql.engine(**options), list[int]()

    def count(_: StepResult) -> None:
        with engine.connect() as connection:
            counts.append(connection.scalar(text("SELECT count(*) FROM a")) or 0)

    Migrator(engine, migrator._folder).run(on_step=count)
    assert counts == [1, 2]
    assert ["BEGIN" in message for message in sent] == [kept, False]


def test_nothing_is_kept_of_a_connection_in_use(
    migrator: Migrator, postgresql: Database, write: Write, sent: list[str]
) -> None:
    write({"002_b.sql": "INSERT INTO a VALUES (1);", "003_c.sql": "INSERT INTO a VALUES (2);"})
    with postgresql.engine().connect() as connection:
        Migrator(connection, migrator._folder).run()
        assert not connection.in_transaction()
    assert ["BEGIN" in message for message in sent] == [False, False]


def test_what_was_begun_is_not_kept_for_long(
    migrator: Migrator, postgresql: Database, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a file whose `now()` would be late, or behind which somebody takes his time, one begins anew."""
    monkeypatch.setattr("fluxmig.at_once._FRESH_S", 0.5)
    postgresql.rows("CREATE TABLE times (number integer, began timestamptz, came timestamptz)")
    insert = "INSERT INTO times VALUES ({}, now(), clock_timestamp());"
    write({f"00{number}_b.sql": insert.format(number) for number in (2, 5)})
    write({"003_b.sql": f"{insert.format(3)} SELECT pg_sleep(0.6);", "004_b.sql": insert.format(4)})

    def pause(result: StepResult) -> None:
        if result.name == "004_b.sql":
            time.sleep(0.6)

    migrator.run(on_step=pause)
    anew = (
        "SELECT number, began >= (SELECT came FROM times WHERE number = t.number - 1) + interval '0.6 s'"
        " FROM times t WHERE number > 3 ORDER BY number"
    )
    assert postgresql.rows(anew) == [(4, True), (5, True)]


@pytest.mark.parametrize("end", ["failure", "error", "lost connection", "without a transaction"])
def test_what_was_begun_for_a_file_is_ended_where_that_does_not_come(
    migrator: Migrator, postgresql: Database, write: Write, end: str
) -> None:
    write({"002_b.sql": "INSERT INTO a VALUES (1);", "003_c.sql": "INSERT INTO a VALUES (2);"})
    engine = postgresql.engine()
    idle = "FROM pg_stat_activity WHERE state LIKE 'idle in%' AND datname = current_database()"

    def stop(result: StepResult) -> None:
        if result.name == "002_b.sql" and end == "error":
            raise OSError
        if result.name == "002_b.sql" and end == "lost connection":
            assert postgresql.rows(f"SELECT pg_terminate_backend(pid) {idle}") == [(True,)]

    if end == "failure":
        write({"003_c.sql": "INSERT INTO a VALUES (1);"})
    if end == "without a transaction":
        write({"003_c.sql": "-- fluxmig: no-transaction\nINSERT INTO a VALUES (2);"})
    with suppress(OSError, MigrationFailedError, DatabaseConnectionError):
        Migrator(engine, migrator._folder).run(on_step=stop)
    assert postgresql.rows(f"SELECT count(*) {idle}") == [(0,)]
    assert isinstance(engine.pool, QueuePool)
    assert engine.pool.checkedout() == 0
    with Lock(engine, PostgreSQL(), "fluxmig:public.schema_migrations", wait_s=0).transaction():
        """It is free."""


@pytest.mark.parametrize("how", ["event", "log", "echo"])
def test_who_listens_to_sqlalchemy_hears_everything(
    migrator: Migrator,
    postgresql: Database,
    write: Write,
    sent: list[str],
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    write({"002_b.sql": "INSERT INTO a VALUES (1);"})
    engine, heard = postgresql.engine(), list[str]()
    if how == "event":
        event.listen(engine, "before_cursor_execute", lambda *args: heard.append(args[2]))
    elif how == "log":
        caplog.set_level(logging.INFO, "sqlalchemy.engine")
    else:
        engine.echo = True
    Migrator(engine, migrator._folder).run()
    assert sent == []
    heard += caplog.messages
    assert any("INTO a VALUES (1);" in each for each in heard)
    assert any("INTO public.schema_migrations_log " in each for each in heard)


@pytest.mark.parametrize("taken", ["lock", "row"])
def test_another_runner_between_two_files(
    migrator: Migrator, postgresql: Database, write: Write, taken: str
) -> None:
    """The file waits for it, or is passed over; it is no error that the server would log."""
    write({"002_b.sql": "INSERT INTO a VALUES (1);", "003_c.sql": "INSERT INTO a VALUES (2);"})
    lock = Lock(postgresql.engine(), PostgreSQL(), "fluxmig:public.schema_migrations")
    has_come = Event()

    def come() -> None:
        with lock.transaction() as connection:
            if taken == "row":
                ledger = "schema_migrations (migration_name, checksum)"
                connection.execute(text(f"INSERT INTO {ledger} VALUES ('003_c.sql', '{'0' * 64}')"))
            has_come.set()
            time.sleep(0.2)

    engine = postgresql.engine(pool_size=1)  # which keeps nothing between two files
    with ThreadPoolExecutor(1) as pool:

        def meet(result: StepResult) -> None:
            if result.name == "002_b.sql":
                pool.submit(come)
                has_come.wait()

        first, second = Migrator(engine, migrator._folder).run(on_step=meet).results
    assert first.outcome is Outcome.APPLIED
    assert second.outcome is (Outcome.SKIPPED if taken == "row" else Outcome.APPLIED)
    assert postgresql.rows("SELECT id FROM a ORDER BY id") == ([(1,)] if taken == "row" else [(1,), (2,)])


def test_a_refused_commit_is_told_as_ever(
    migrator: Migrator, postgresql: Database, write: Write, sent: list[str]
) -> None:
    postgresql.rows("CREATE TABLE b (id integer REFERENCES a DEFERRABLE INITIALLY DEFERRED)")
    write({"002_b.sql": "INSERT INTO b VALUES (7);"})
    failure = failure_of(migrator)
    assert failure.code == "23503"
    remedy = "This came at the commit, after every statement had run. Everything is rolled back."
    assert failure.remedy == remedy
    assert len(sent) == 1
    assert postgresql.rows("SELECT id FROM b") == []
    assert postgresql.log() == [("applied", "001_a.sql"), ("failed", "002_b.sql")]


@pytest.mark.parametrize("failing", ["1 / 0", "pg_terminate_backend(pg_backend_pid())"])
def test_what_fails_behind_the_commit_is_not_the_files(
    migrator: Migrator,
    postgresql: Database,
    write: Write,
    sent: list[str],
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
) -> None:
    """It is done by then, and the next one begins anew, on another connection where this one is gone."""
    write({f"00{number}_b.sql": f"INSERT INTO a VALUES ({number});" for number in (2, 3)})
    claiming = postgresql_dialect._claiming

    def fail(key: str) -> str:
        if sent or not armed:
            return claiming(key)
        armed.clear()
        return f"SELECT {failing}"

    def arm(script: Script) -> None:
        armed.append(script.name == "002_b.sql")

    armed = list[bool]()
    monkeypatch.setattr(postgresql_dialect, "_claiming", fail)
    results = migrator.run(on_start=arm).results
    assert [each.outcome for each in results] == [Outcome.APPLIED] * 2
    assert [each.tries for each in results] == [1, 1]
    assert len(sent) == 2
    assert failing in sent[0]
    assert postgresql.rows("SELECT id FROM a ORDER BY id") == [(2,), (3,)]
    assert postgresql.log() == [("applied", f"00{number}_{name}.sql") for number, name in enumerate("abb", 1)]


@pytest.mark.parametrize("place", ["first", "last"])
def test_what_the_server_tells_of_its_end_leaves_no_doubt(
    migrator: Migrator, postgresql: Database, write: Write, place: str
) -> None:
    """Its word comes behind all that it has done; and what is not done by then is rolled back."""
    end = "SELECT pg_terminate_backend(pg_backend_pid());"
    write({"002_b.sql": f"{end}\nSELECT 1;" if place == "first" else f"SELECT 1;\n{end}"})
    with pytest.raises(DatabaseConnectionError) as caught:
        migrator.run()
    assert not caught.value.in_doubt
    assert caught.value.remedy == "The server rolls the migration back; run again when it is there."
    assert postgresql.log() == [("applied", "001_a.sql")]


@pytest.mark.parametrize("when", ["on its way", "committed"])
def test_a_signal_while_a_message_is_on_its_way(
    migrator: Migrator,
    postgresql: Database,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    before: Callable[[Hook], None],
    when: str,
) -> None:
    """What is committed is told as applied, and the next file does not begin; the rest is rolled back."""
    pause = "" if when == "committed" else " SELECT pg_sleep(60);"
    write({"002_b.sql": f"INSERT INTO a VALUES (1);{pause}", "003_c.sql": "INSERT INTO a VALUES (2);"})
    steps, results = list[StepResult](), psycopg_driver._results

    def interrupted(server: Any, patience_s: float | None = None) -> list[Any]:
        monkeypatch.setattr(psycopg_driver, "_results", results)
        if when == "committed":
            results(server, patience_s)
        raise KeyboardInterrupt

    before(lambda _: monkeypatch.setattr(psycopg_driver, "_results", interrupted))
    with pytest.raises(KeyboardInterrupt):
        migrator.run(on_step=steps.append)
    done = when == "committed"
    assert [step.outcome for step in steps] == [Outcome.APPLIED] * done
    assert postgresql.rows("SELECT id FROM a") == [(1,)] * done
    last = "applied" if done else "interrupted"
    assert postgresql.log() == [("applied", "001_a.sql"), (last, "002_b.sql")]


@pytest.mark.parametrize(
    ("script", "line", "column", "number"),
    [
        ("SELECT 'ü';\nSELECT nothing;\nSELECT 1", 2, 8, 2),  # with a position
        ("INSERT INTO a VALUES (1);\nSELECT 'ü';\nINSERT INTO a VALUES (1);\nSELECT 1;", 3, 1, 3),  # without
        ("SELECT 1;\nSELECT FROM WHERE;", 2, 13, 2),  # before anything has run
        ("SELECT 1;\nDO $$ BEGIN RAISE 'no'; END $$", 2, 1, 2),
    ],
)
def test_the_place_of_an_error(
    migrator: Migrator, postgresql: Database, write: Write, script: str, line: int, column: int, number: int
) -> None:
    write({"002_b.sql": script})
    failure = failure_of(migrator)
    assert (failure.line, failure.column) == (line, column)
    assert failure.statement
    assert failure.statement.number == number
    assert postgresql.rows("SELECT id FROM a") == []


def test_a_row_that_is_refused_is_told_as_ever(
    migrator: Migrator, postgresql: Database, write: Write
) -> None:
    postgresql.rows("ALTER TABLE schema_migrations ADD CHECK (migration_name <> '002_b.sql')")
    write({"002_b.sql": "INSERT INTO a VALUES (1);"})
    failure = failure_of(migrator)
    assert failure.code == "23514"
    assert failure.remedy == (
        "This came when its ledger row was written, after every statement had run. Everything is rolled back."
    )
    assert postgresql.rows("SELECT id FROM a") == []


def test_a_row_that_is_not_written_is_told_as_ever(
    migrator: Migrator, postgresql: Database, write: Write
) -> None:
    postgresql.rows("CREATE RULE none AS ON INSERT TO schema_migrations DO INSTEAD NOTHING")
    write({"002_b.sql": "INSERT INTO a VALUES (1);"})
    with pytest.raises(LedgerError) as caught:
        migrator.run()
    assert caught.value.message == "public.schema_migrations: 0 rows were written for 002_b.sql, and not 1"
    assert postgresql.rows("SELECT id FROM a") == []


def test_the_server_measures_how_long_it_took(migrator: Migrator, postgresql: Database, write: Write) -> None:
    write({"002_b.sql": "SELECT pg_sleep(0.05);"})
    (result,) = migrator.run().results
    (row,) = postgresql.rows(
        "SELECT execution_time_ms FROM schema_migrations WHERE migration_name = '002_b.sql'"
    )
    (logged,) = postgresql.rows(
        "SELECT duration_ms FROM schema_migrations_log WHERE migration_name = '002_b.sql'"
    )
    assert 50 <= int(str(row[0])) <= int(str(logged[0])) <= result.duration_ms
