"""Others who are in the way: how long one waits, how often one tries again, and what one says of them."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, event, func, make_url, select, text
from sqlalchemy.pool import NullPool

from fluxmig import (
    DatabaseConnectionError,
    LockTimeoutError,
    MigrationFailedError,
    Migrator,
    Mode,
    Outcome,
    Report,
    Session,
    Wait,
    WaitReason,
)
from fluxmig.dialects.postgresql import _number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from tests.support import Database, Write

CONTAINERS = False  # what the server does, and not where it runs

T = "CREATE TABLE t (id integer);"
SETTINGS = "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
SEEN = f"CREATE TABLE seen AS {SETTINGS.replace('),', ') AS lock,')} AS statement;"


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


@contextmanager
def holding(database: Database, sql: str, application: str = "the other one") -> Iterator[Connection]:
    """Another session that has done something, and is idle in its transaction."""
    options = {"application_name": application}
    engine = create_engine(database.url, poolclass=NullPool, connect_args=options)
    with engine.connect() as connection:
        connection.execute(text(sql))
        yield connection


@contextmanager
def holding_the_lock(database: Database) -> Iterator[Connection]:
    key = _number("fluxmig:public.schema_migrations")
    with holding(database, f"SELECT pg_advisory_xact_lock({key})") as connection:
        yield connection


def pid_of(connection: Connection) -> int:
    return int(connection.scalar(select(func.pg_backend_pid())) or 0)


# --- the runner's lock ------------------------------------------------------------------------------------


def test_who_has_the_lock_is_told_once_and_is_in_the_error(
    postgresql: Database, folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluxmig.lock._PATIENCE_S", 0.0)
    write({"001_a.sql": T})
    waits: list[Wait] = []
    with holding_the_lock(postgresql) as connection:
        pid = pid_of(connection)
        with pytest.raises(LockTimeoutError) as caught:
            Migrator(postgresql.engine(), folder, wait_lock_s=1, on_wait=waits.append).run()
    holder = caught.value.holder
    assert isinstance(holder, Session)
    assert (holder.pid, holder.application, holder.state, holder.query) == (pid, "the other one", None, None)
    assert caught.value.message == f"another runner holds the lock: {holder}"
    (wait,) = waits
    assert (wait.reason, wait.name, wait.sessions) == (WaitReason.LOCK, None, (holder,))
    assert wait.message.startswith("waiting up to ")
    assert wait.message.endswith(f" s more: another runner holds the lock: {holder}")
    assert str(holder).startswith(f"process {pid}, user ")
    assert ", application the other one, host " in str(holder)
    assert ", connected since 20" in str(holder)
    assert postgresql.tables() == set()


def test_a_short_wait_is_not_told(one_postgresql: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": T})
    waits: list[Wait] = []
    with holding_the_lock(one_postgresql), pytest.raises(LockTimeoutError):
        Migrator(one_postgresql.engine(), folder, wait_lock_s=0, on_wait=waits.append).run()
    assert waits == []


@pytest.mark.parametrize("mode", ["", "-- fluxmig: no-transaction\n"])
def test_who_waits_passes_over_what_is_applied_meanwhile(
    mode: str, one_postgresql: Database, folder: Path, write: Write
) -> None:
    """Without the lock, which is held until the end of the test."""
    write({"001_a.sql": T})
    Migrator(one_postgresql.engine(), folder).run()
    write({"002_b.sql": f"{mode}SELECT 1;"})
    key = _number("fluxmig:public.schema_migrations")
    engine = one_postgresql.engine(pool_size=1)  # which keeps nothing between two files, and so no lock
    has_tried = threading.Event()

    @event.listens_for(engine, "before_cursor_execute")
    def _(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if recording.ident and "pg_try_advisory" in statement:
            has_tried.set()

    with one_postgresql.engine().connect() as connection:

        def take_the_lock(_script: object) -> None:
            connection.execute(select(func.pg_advisory_lock(key)))
            connection.commit()
            recording.start()

        def record() -> None:
            assert has_tried.wait(60)
            one_postgresql.rows("INSERT INTO schema_migrations (migration_name) VALUES ('002_b.sql')")

        recording = threading.Thread(target=record)
        report = Migrator(engine, folder, wait_lock_s=60).run(on_start=take_the_lock)
        recording.join(60)
    assert [result.outcome for result in report.results] == [Outcome.SKIPPED]


def test_who_is_behind_does_not_take_the_lock_for_each_file(
    postgresql: Database, folder: Path, write: Write
) -> None:
    write({f"{number:03}_m.sql": f"CREATE TABLE t{number} (id integer);" for number in range(1, 6)})
    engine = postgresql.engine()
    claims: list[str] = []

    def see(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "pg_try_advisory" in statement:
            claims.append(statement)

    event.listen(engine, "before_cursor_execute", see)

    def overtake(_script: object) -> None:
        if not others.status()[0].record:
            others.run()
            claims.clear()

    others = Migrator(postgresql.engine(), folder)
    report = Migrator(engine, folder).run(on_start=overtake)
    assert [result.outcome for result in report.results] == [Outcome.SKIPPED] * 5
    assert len(claims) == 1
    assert report.pending == ()


def test_a_file_without_a_transaction_waits_for_whoever_writes_to_sqlite(
    sqlite: Database, folder: Path, write: Write
) -> None:
    """As long as for the runner's lock, and not as long as the driver would."""
    write({"001_a.sql": T})
    impatient = sqlite.engine(connect_args={"timeout": 0})
    Migrator(impatient, folder).run()
    write({"002_b.sql": "-- fluxmig: no-transaction\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES (2);"})
    with sqlite.engine().connect() as writing:
        writing.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(LockTimeoutError):
            Migrator(impatient, folder, wait_lock_s=0).run()

        writing.exec_driver_sql("ROLLBACK")
    with sqlite.engine(connect_args={"check_same_thread": False}).connect() as writing:

        def hold(_script: object) -> None:
            writing.exec_driver_sql("BEGIN IMMEDIATE")
            ending.start()

        def give_way() -> None:
            time.sleep(0.3)
            writing.exec_driver_sql("INSERT INTO t VALUES (0)")
            writing.exec_driver_sql("COMMIT")

        ending = threading.Thread(target=give_way)
        (result,) = Migrator(impatient, folder, wait_lock_s=60).run(on_start=hold).results
        ending.join(60)
    assert result.outcome is Outcome.APPLIED
    assert sqlite.rows("SELECT id FROM t ORDER BY id") == [(0,), (1,), (2,)]


# --- the time-outs of statements --------------------------------------------------------------------------

DIRECTIVES = "-- fluxmig: lock-timeout=250ms\n-- fluxmig: statement-timeout=2min\n"


@pytest.mark.parametrize(
    ("bind", "mode"),
    [
        ("engine", Mode.TRANSACTION),
        ("engine", Mode.NO_TRANSACTION),
        ("connection", Mode.TRANSACTION),
        ("connection", Mode.NO_TRANSACTION),
        ("inside a transaction", Mode.TRANSACTION),
    ],
)
@pytest.mark.parametrize(
    ("options", "given", "head", "seen"),
    [
        ("", {}, "", ("5s", "0")),
        ("-c lock_timeout=2s -c statement_timeout=1h", {}, "", ("2s", "1h")),
        ("-c lock_timeout=1min", {}, "", ("5s", "0")),
        ("-c lock_timeout=2s", {"lock_timeout_s": 3.5, "statement_timeout_s": 60}, "", ("3500ms", "1min")),
        (
            "-c lock_timeout=2s -c statement_timeout=1h",
            {"lock_timeout_s": 0, "statement_timeout_s": 0},
            "",
            ("0", "0"),
        ),
        ("", {"lock_timeout_s": 3, "statement_timeout_s": 3}, DIRECTIVES, ("250ms", "2min")),
        ("", {}, "-- fluxmig: lock-timeout = 0\n", ("0", "0")),
        ("", {"lock_timeout_s": 0.0001, "statement_timeout_s": 9e99}, "", ("1ms", "2147483647ms")),
    ],
)
def test_time_outs(
    bind: str,
    options: str,
    given: dict[str, float],
    head: str,
    seen: tuple[str, str],
    *,
    mode: Mode,
    one_postgresql: Database,
    folder: Path,
    write: Write,
) -> None:
    """What a file sees, and what the connection has afterwards: what it had before."""
    write({"001_a.sql": f"-- fluxmig: {mode}\n{head}{SEEN}"})
    engine = one_postgresql.engine(pool_size=1, max_overflow=0, connect_args={"options": options})
    with engine.connect() as connection:
        before = connection.execute(text(SETTINGS)).one()
        if bind != "inside a transaction":
            connection.commit()
        if bind == "engine":
            connection.close()
        report = Migrator(engine if bind == "engine" else connection, folder, **given).run()  # type: ignore[arg-type]
        assert report.results[0].mode is mode
        if bind != "engine":
            assert connection.execute(text(SETTINGS)).one() == before
            connection.commit()
            assert connection.execute(text(SETTINGS)).one() == before
    with engine.connect() as connection:
        assert connection.execute(text(SETTINGS)).one() == before
        assert connection.execute(text("SELECT * FROM seen")).one() == seen


def test_a_statement_that_takes_too_long(one_postgresql: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": f"{T}\nSELECT pg_sleep(60);"})
    with pytest.raises(MigrationFailedError) as caught:
        Migrator(one_postgresql.engine(), folder, statement_timeout_s=0.05).run()
    (failure,) = (step.failure for step in caught.value.failures)
    assert failure
    assert (failure.code, failure.line) == ("57014", 2)
    assert caught.value.failures[0].tries == 1
    assert "t" not in one_postgresql.tables()


def test_a_concurrent_build_waits_for_older_transactions_as_long_as_it_takes(
    postgresql: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": T})
    Migrator(postgresql.engine(), folder).run()
    after = SEEN.replace("seen", "seen_after")
    write({"002_b.sql": f"{SEEN}\nCREATE INDEX CONCURRENTLY i ON t (id);\n{after}"})
    results: list[Outcome] = []

    def run() -> None:
        report = Migrator(postgresql.engine(), folder, lock_timeout_s=0.1).run()
        results.extend(result.outcome for result in report.results)

    running = threading.Thread(target=run)
    with holding(postgresql, "LOCK TABLE t IN ROW EXCLUSIVE MODE"):
        running.start()
        waits = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'"
        until(lambda: postgresql.scalar(waits))
        time.sleep(0.3)  # three times as long as others may keep a statement waiting
        assert postgresql.scalar(waits)
    running.join(60)
    assert results == [Outcome.APPLIED]
    assert postgresql.rows("SELECT lock FROM seen JOIN seen_after USING (lock)") == [("100ms",)]


# --- another try ------------------------------------------------------------------------------------------


def test_who_holds_a_file_up_is_told_and_it_is_tried_again(
    postgresql: Database, folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluxmig.patience._FIRST_PAUSE_S", 0.01)
    write({"001_a.sql": T, "002_b.sql": "CREATE TABLE u (id integer);\nALTER TABLE t ADD COLUMN c integer;"})
    Migrator(postgresql.engine(), folder).run(to="001_a")
    waits: list[Wait] = []
    with holding(postgresql, "SELECT 1 FROM t /* a\nlong one */") as connection:
        pid = pid_of(connection)
        connection.execute(text("SELECT 2 FROM t"))

        def on_wait(wait: Wait) -> None:
            waits.append(wait)
            if len(waits) == 2:
                connection.rollback()

        migrator = Migrator(postgresql.engine(), folder, lock_timeout_s=1, lock_retries=5, on_wait=on_wait)
        (result,) = migrator.run().results
    assert (result.outcome, result.tries) == (Outcome.APPLIED, 3)
    assert [wait.reason for wait in waits] == [WaitReason.RETRY] * 2
    for number, wait in enumerate(waits, 2):
        (blocker,) = wait.sessions
        assert (blocker.pid, blocker.application) == (pid, "the other one")
        assert (blocker.state, blocker.query) == ("idle in transaction", "SELECT 2 FROM t")
        assert wait.name == "002_b.sql"
        assert wait.message.startswith(
            f"{folder}/002_b.sql:2:1: canceling statement due to lock timeout [55P03],"
            f" held up by process {pid}, user "
        )
        assert f", idle in transaction since {blocker.since}: SELECT 2 FROM t; try " in wait.message
        assert f"; try {number} of 6 in " in wait.message
    assert postgresql.scalar("SELECT count(*) FROM u") == 0
    events = "SELECT event FROM schema_migrations_log WHERE migration_name = '002_b.sql'"
    assert postgresql.rows(events) == [("applied",)]


def test_who_is_in_the_way_to_the_end(
    postgresql: Database, folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluxmig.patience._FIRST_PAUSE_S", 0.01)
    write(
        {"001_a.sql": T, "002_b.sql": "CREATE TABLE u (id integer);\nDROP TABLE t;", "003_c.sql": "SELECT 1;"}
    )
    Migrator(postgresql.engine(), folder).run(to="001_a")
    secret = "SELECT 'hunter2' FROM t"
    with holding(postgresql, secret):
        migrator = Migrator(postgresql.engine(), folder, lock_timeout_s=1, lock_retries=1, query_text=False)
        with pytest.raises(MigrationFailedError) as caught:
            migrator.run()
    (step,) = caught.value.failures
    assert step.failure
    assert (step.tries, step.failure.code) == (2, "55P03")
    remedy = step.failure.remedy or ""
    held, tried = remedy.split("\n")
    assert held.startswith("held up by process ")
    assert ", application the other one, " in held
    assert "hunter2" not in remedy
    assert tried == "It was tried 2 times; --lock-retries has it tried more often, --lock-timeout longer."
    assert postgresql.tables() == {"t", "schema_migrations", "schema_migrations_log"}
    assert caught.value.report.pending == ("002_b.sql", "003_c.sql")
    events = "SELECT event, error_code FROM schema_migrations_log WHERE migration_name = '002_b.sql'"
    assert postgresql.rows(events) == [("failed", "55P03")]


def failing(code: str, times: int) -> str:
    """SQL that fails so often: what a sequence has given, no rollback takes back."""
    return (
        f"DO $$ BEGIN IF nextval('attempts') <= {times} THEN"
        f" RAISE EXCEPTION 'not now' USING ERRCODE = '{code}'; END IF; END $$;\n"
    )


@pytest.mark.parametrize("code", ["55P03", "40P01", "40001"])
@pytest.mark.parametrize("head", ["", "-- fluxmig: on-duplicate=complete\n"])
def test_what_is_tried_again(
    head: str,
    code: str,
    postgresql: Database,
    folder: Path,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fluxmig.patience._FIRST_PAUSE_S", 0.001)
    postgresql.rows("CREATE SEQUENCE attempts")
    if head:
        postgresql.rows(T)
    write({"001_a.sql": f"{head}CREATE TABLE u (id integer);\n{T if head else ''}\n{failing(code, 2)}"})
    (result,) = Migrator(postgresql.engine(), folder).run().results
    assert result.outcome is Outcome.APPLIED
    assert result.tries == 3
    assert len(result.skipped) == bool(head)
    assert "u" in postgresql.tables()


@pytest.mark.parametrize(
    ("code", "mode", "inside"),
    [
        ("57014", "transaction", False),
        ("55P03", "no-transaction", False),
        ("40001", "transaction", True),
    ],
    ids=["another error", "without a transaction", "inside the caller's"],
)
def test_what_is_not_tried_again(
    code: str,
    mode: str,
    inside: bool,  # noqa: FBT001
    one_postgresql: Database,
    folder: Path,
    write: Write,
) -> None:
    one_postgresql.rows("CREATE SEQUENCE attempts")
    write({"001_a.sql": f"-- fluxmig: {mode}\n{failing(code, 1)}"})
    with one_postgresql.engine().connect() as connection:
        if inside:
            connection.begin()
        with pytest.raises(MigrationFailedError) as caught:
            Migrator(connection, folder).run()
    assert caught.value.failures[0].tries == 1
    assert one_postgresql.scalar("SELECT last_value FROM attempts") == 1


def test_a_real_deadlock(one_postgresql: Database, folder: Path, write: Write) -> None:
    """The other session does not look for deadlocks, so that it is the migration that the server ends."""
    one_postgresql.rows("CREATE TABLE a (id integer); CREATE TABLE b (id integer)")
    write({"001_a.sql": "ALTER TABLE a ADD COLUMN c integer;\nALTER TABLE b ADD COLUMN c integer;"})
    waits: list[Wait] = []
    with holding(one_postgresql, "SET deadlock_timeout = '10min'; LOCK TABLE b") as connection:
        pid = pid_of(connection)

        def go_for_the_other() -> None:
            blocked = f"SELECT 1 FROM pg_stat_activity WHERE {pid} = ANY (pg_blocking_pids(pid))"
            until(lambda: one_postgresql.scalar(blocked))
            connection.execute(text("LOCK TABLE a"))
            connection.rollback()

        other = threading.Thread(target=go_for_the_other)
        other.start()
        migrator = Migrator(one_postgresql.engine(), folder, lock_timeout_s=0, on_wait=waits.append)
        (result,) = migrator.run().results
        other.join(60)
    assert (result.outcome, result.tries) == (Outcome.APPLIED, 2)
    (wait,) = waits
    assert "001_a.sql:2" in wait.message
    assert "deadlock detected [40P01]" in wait.message


def test_rollback_is_patient_too(
    one_postgresql: Database, folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluxmig.patience._FIRST_PAUSE_S", 0.001)
    one_postgresql.rows("CREATE SEQUENCE attempts")
    write({"001_a.sql": T, "001_a.down.sql": f"DROP TABLE t;\n{failing('55P03', 1)}"})
    waits: list[Wait] = []
    migrator = Migrator(one_postgresql.engine(), folder, on_wait=waits.append)
    migrator.run()
    assert migrator.rollback().names == ("001_a.sql",)
    assert [wait.name for wait in waits] == ["001_a.down.sql"]
    assert "t" not in one_postgresql.tables()


def test_no_second_session_can_be_had(one_postgresql: Database, folder: Path, write: Write) -> None:
    """Then nobody is named, and the run is as it is otherwise."""
    write({"001_a.sql": T})
    Migrator(one_postgresql.engine(), folder).run()
    write({"002_b.sql": "DROP TABLE t;"})
    one_postgresql.rows("CREATE ROLE alone LOGIN CONNECTION LIMIT 1")
    one_postgresql.rows("GRANT ALL ON ALL TABLES IN SCHEMA public TO alone; ALTER TABLE t OWNER TO alone")
    one_postgresql.rows(
        "GRANT ALL ON SCHEMA public TO alone; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO alone"
    )
    # One connection, which is kept: one that is closed counts until its process has gone.
    url = make_url(one_postgresql.url).set(username="alone")
    engine = create_engine(url, pool_size=1, max_overflow=0)
    try:
        with holding(one_postgresql, "SELECT FROM t"), pytest.raises(MigrationFailedError) as caught:
            Migrator(engine, folder, lock_timeout_s=1, lock_retries=0).run()
    finally:
        engine.dispose()
        one_postgresql.rows("DROP OWNED BY alone")
        one_postgresql.rows("DROP ROLE alone")
    (step,) = caught.value.failures
    assert step.failure
    assert (step.failure.code, step.failure.remedy) == ("55P03", None)


# --- a connection that is lost ----------------------------------------------------------------------------


def ended(times: int) -> str:
    """SQL that ends its own session so often."""
    return (
        "SELECT pg_terminate_backend(pg_backend_pid())"
        f" FROM (SELECT nextval('attempts') AS n) AS a WHERE n <= {times};\n"
    )


@pytest.mark.parametrize("mode", list(Mode))
def test_a_run_goes_on_behind_a_lost_connection(
    mode: Mode, postgresql: Database, folder: Path, write: Write
) -> None:
    postgresql.rows("CREATE SEQUENCE attempts; CREATE TABLE rows (id integer)")
    second = f"INSERT INTO rows VALUES (1);\n{ended(1)}INSERT INTO rows VALUES (2);"
    write({"001_a.sql": T, "002_b.sql": f"-- fluxmig: {mode}\n{second}", "003_c.sql": "SELECT 1;"})
    waits: list[Wait] = []
    migrator = Migrator(postgresql.engine(), folder, retry_connection_s=60, on_wait=waits.append)
    report = migrator.run()
    assert [(step.outcome, step.tries) for step in report.results] == [
        (Outcome.APPLIED, 1),
        (Outcome.APPLIED, 2),
        (Outcome.APPLIED, 1),
    ]
    assert postgresql.rows("SELECT id FROM rows ORDER BY id") == [(1,), (2,)]
    (wait,) = waits
    assert (wait.reason, wait.name) == (WaitReason.CONNECTION, "002_b.sql")
    said = wait.message.replace("consuming input failed: ", "")  # with an older libpq
    assert said.startswith(f"the connection was lost in {folder}/002_b.sql: terminating connection")
    assert report.pending == ()


@pytest.mark.parametrize("retry_s", [0, 60])
def test_lost_at_the_commit(retry_s: float, postgresql: Database, folder: Path, write: Write) -> None:
    """By a trigger that is deferred to it."""
    postgresql.rows("CREATE SEQUENCE attempts; CREATE TABLE rows (id integer)")
    postgresql.rows(
        "CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_terminate_backend(pg_backend_pid()) WHERE nextval('attempts') = 1; RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER gone AFTER INSERT ON rows DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION gone()"
    )
    write({"001_a.sql": "INSERT INTO rows VALUES (1);"})
    migrator = Migrator(postgresql.engine(), folder, retry_connection_s=retry_s)
    if retry_s:
        (result,) = migrator.run().results
        assert (result.outcome, result.tries) == (Outcome.APPLIED, 2)
        assert postgresql.scalar("SELECT count(*) FROM rows") == 1
        return
    with pytest.raises(DatabaseConnectionError) as caught:
        migrator.run()
    assert caught.value.in_doubt
    assert caught.value.remedy == (
        "It is applied as a whole, or not at all: `fluxmig status` tells which; run again to go on."
    )
    assert isinstance(caught.value.report, Report)
    assert caught.value.report.pending == ("001_a.sql",)


def test_a_file_that_ends_its_session_each_time(one_postgresql: Database, folder: Path, write: Write) -> None:
    one_postgresql.rows("CREATE SEQUENCE attempts")
    write({"001_a.sql": ended(99)})
    with pytest.raises(DatabaseConnectionError):
        Migrator(one_postgresql.engine(), folder, retry_connection_s=60).run()
    assert one_postgresql.scalar("SELECT last_value FROM attempts") == 4


def test_a_connection_of_the_callers_is_not_made_anew(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    one_postgresql.rows("CREATE SEQUENCE attempts")
    write({"001_a.sql": ended(1)})
    with one_postgresql.engine().connect() as connection, pytest.raises(DatabaseConnectionError):
        Migrator(connection, folder, retry_connection_s=60).run()
    assert one_postgresql.scalar("SELECT last_value FROM attempts") == 1
