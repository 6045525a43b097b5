"""A caller's Connection, an AsyncEngine, and runners that meet."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select, text

from fluxmig import ConfigError, LockTimeoutError, MigrationFailedError, Migrator, Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Database, Write

TWO: dict[str, str] = {
    "001_a.sql": "CREATE TABLE a (id integer);",
    "002_b.sql": "CREATE TABLE b (id integer);\nINSERT INTO b VALUES (1);",
}
LEDGER = "SELECT count(*) FROM schema_migrations"


# --- a Connection -----------------------------------------------------------------------------------------


def test_a_connection_outside_a_transaction_commits_each_migration(
    database: Database, folder: Path, write: Write
) -> None:
    write({**TWO, "003_c.sql": "bad;"})
    with database.engine().connect() as connection:
        with pytest.raises(MigrationFailedError):
            Migrator(connection, folder).run()
        assert not connection.closed
        assert not connection.in_transaction()
    assert database.scalar(LEDGER) == 2
    assert database.tables() == {"a", "b", "schema_migrations", "schema_migrations_log"}


@pytest.mark.savepoints
@pytest.mark.transactional_ddl
def test_inside_a_transaction_the_caller_decides(database: Database, folder: Path, write: Write) -> None:
    write(TWO)
    with database.engine().connect() as connection:
        transaction = connection.begin()
        report = Migrator(connection, folder).run()
        assert [step.outcome for step in report.results] == [Outcome.APPLIED, Outcome.APPLIED]
        assert connection.in_transaction()
        assert connection.scalar(text("SELECT count(*) FROM b")) == 1
        transaction.rollback()
    assert database.tables() == set()


@pytest.mark.savepoints
@pytest.mark.transactional_ddl
def test_inside_a_transaction_that_commits(database: Database, folder: Path, write: Write) -> None:
    write(TWO)
    with database.engine().begin() as connection:
        Migrator(connection, folder).run()
        assert connection.scalar(text("SELECT count(*) FROM b")) == 1
    assert database.scalar(LEDGER) == 2


@pytest.mark.savepoints
@pytest.mark.transactional_ddl
def test_a_failure_inside_a_transaction_leaves_it_usable(
    database: Database, folder: Path, write: Write
) -> None:
    write({**TWO, "002_b.sql": "CREATE TABLE b (id integer);\nbad;"})
    with database.engine().begin() as connection:
        connection.execute(text("CREATE TABLE mine (id integer)"))
        with pytest.raises(MigrationFailedError):
            Migrator(connection, folder).run()
        connection.execute(text("INSERT INTO mine VALUES (1)"))
    assert database.tables() == {"a", "mine", "schema_migrations", "schema_migrations_log"}
    assert database.scalar("SELECT count(*) FROM mine") == 1


@pytest.mark.savepoints
def test_status_on_a_connection_leaves_it_as_it_was(database: Database, folder: Path, write: Write) -> None:
    write(TWO)
    with database.engine().connect() as connection:
        Migrator(connection, folder).status()
        assert not connection.in_transaction()
        connection.execute(text("CREATE TABLE mine (id integer)"))
        Migrator(connection, folder).status()
        connection.commit()
    assert database.tables() == {"mine"}


# --- an AsyncEngine ---------------------------------------------------------------------------------------


def test_an_async_engine_through_run_sync(one_postgresql: Database, folder: Path, write: Write) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    write({**TWO, "003_c.sql": "SELECT 1;\nSELECT 1/0;"})

    async def migrate() -> None:
        engine = create_async_engine(one_postgresql.url.replace("+psycopg:", "+psycopg_async:"))
        try:
            async with engine.connect() as connection:
                await connection.run_sync(lambda c: Migrator(c, folder).run())
        finally:
            await engine.dispose()

    with pytest.raises(MigrationFailedError) as caught:
        asyncio.run(migrate())
    failure = caught.value.failures[0].failure
    assert failure is not None
    assert failure.statement is not None
    assert (failure.message, failure.line, failure.statement.number) == ("division by zero", 2, 2)
    assert one_postgresql.scalar(LEDGER) == 2


def test_an_async_engine_itself_is_refused_with_the_way(one_postgresql: Database) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(one_postgresql.url.replace("+psycopg:", "+psycopg_async:"))
    with pytest.raises(ConfigError) as caught:
        Migrator(engine)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "an Engine or a Connection is needed, and not AsyncEngine\n"
        "for an AsyncEngine: await connection.run_sync(lambda c: Migrator(c).run())"
    )


# --- runners that meet ------------------------------------------------------------------------------------


@pytest.mark.concurrent_writers
def test_several_runners_apply_each_migration_once(database: Database, folder: Path, write: Write) -> None:
    write(
        {
            f"{n:03}_m.sql": f"CREATE TABLE t{n} (id integer);\nINSERT INTO t{n} VALUES (1);"
            for n in range(1, 9)
        }
    )
    results: list[str] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            report = Migrator(database.engine(), folder).run()
            results.extend(step.name for step in report.results if step.outcome is Outcome.APPLIED)
        except BaseException as error:  # noqa: BLE001  # shown below
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sorted(results) == [f"{n:03}_m.sql" for n in range(1, 9)]
    assert database.scalar(LEDGER) == 8
    assert [database.scalar(f"SELECT count(*) FROM t{n}") for n in range(1, 9)] == [1] * 8


def test_a_held_lock_is_waited_for_and_then_reported(
    postgresql: Database, folder: Path, write: Write
) -> None:
    from fluxmig.dialects.postgresql import _number

    write(TWO)
    key = _number("fluxmig:public.schema_migrations")
    holder = postgresql.engine(connect_args={"application_name": "the other one"})
    with holder.begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(key)))
        pid = connection.scalar(select(func.pg_backend_pid()))
        with pytest.raises(LockTimeoutError) as caught:
            Migrator(postgresql.engine(), folder, wait_lock_s=0).run()
        assert str(caught.value).startswith(f"another runner holds the lock: process {pid}, user ")
        assert "application the other one" in str(caught.value)
        assert str(caught.value).endswith("\nwait for it to finish, or give --wait-lock more seconds")
        assert caught.value.report is not None
        assert postgresql.tables() == set()
        timer = threading.Timer(0.3, connection.connection.driver_connection.rollback)  # type: ignore[union-attr]
        timer.start()
        Migrator(postgresql.engine(), folder, wait_lock_s=30).run()
        timer.join()
    assert postgresql.scalar(LEDGER) == 2


def test_a_held_lock_stops_a_no_transaction_migration_too(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    from fluxmig.dialects.postgresql import _number

    write(TWO)
    Migrator(one_postgresql.engine(), folder).run()
    write({"003_c.sql": "CREATE INDEX CONCURRENTLY i ON a (id);"})
    engine = one_postgresql.engine()
    with engine.begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(_number("fluxmig:public.schema_migrations"))))
        with pytest.raises(LockTimeoutError):
            Migrator(one_postgresql.engine(), folder, wait_lock_s=0).run()
    assert (
        Migrator(one_postgresql.engine(), folder, wait_lock_s=0).run().results[0].outcome is Outcome.APPLIED
    )


def test_nothing_to_do_takes_no_lock(one_postgresql: Database, folder: Path, write: Write) -> None:
    from fluxmig.dialects.postgresql import _number

    write(TWO)
    Migrator(one_postgresql.engine(), folder).run()
    with one_postgresql.engine().begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(_number("fluxmig:public.schema_migrations"))))
        assert Migrator(one_postgresql.engine(), folder, wait_lock_s=0).run().results == ()


def test_a_locked_sqlite_file_is_reported(sqlite: Database, folder: Path, write: Write) -> None:
    write(TWO)
    with sqlite.engine().connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        migrator = Migrator(sqlite.engine(connect_args={"timeout": 0}), folder, wait_lock_s=0.2)
        held = "the file is locked: by another runner, or by any other connection that writes"
        with pytest.raises(LockTimeoutError, match=f"^{held}\n"):
            migrator.run()
    assert sqlite.tables() == set()


@pytest.mark.parametrize("options", [{}, {"isolation_level": "SERIALIZABLE"}])
def test_an_engine_that_opens_transactions_itself(
    sqlite: Database, folder: Path, write: Write, options: dict[str, object]
) -> None:
    """SQLAlchemy's recipe for pysqlite: no transactions by the driver, BEGIN by a listener."""
    from sqlalchemy import event

    engine = sqlite.engine(**options)

    @event.listens_for(engine, "connect")
    def _connect(connection: object, record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def _begin(connection: object) -> None:
        connection.exec_driver_sql("BEGIN")  # type: ignore[attr-defined]

    write({**TWO, "003_c.sql": "CREATE TABLE c (id integer);\nbad;"})
    with pytest.raises(MigrationFailedError):
        Migrator(engine, folder).run()
    assert sqlite.tables() == {"a", "b", "schema_migrations", "schema_migrations_log"}


@pytest.mark.parametrize("options", [{}, {"isolation_level": None}, {"autocommit": False}])
def test_every_way_in_which_sqlites_driver_opens_transactions(
    sqlite: Database, folder: Path, write: Write, options: dict[str, object]
) -> None:
    if "autocommit" in options and sys.version_info < (3, 12):
        pytest.skip("sqlite3 has `autocommit` since Python 3.12")
    write({**TWO, "003_c.sql": "CREATE TABLE c (id integer);\nINSERT INTO b VALUES (2);\nbad;"})
    engine = sqlite.engine(connect_args=options)
    with pytest.raises(MigrationFailedError):
        Migrator(engine, folder).run()
    with engine.begin() as connection, pytest.raises(MigrationFailedError):
        Migrator(connection, folder).run()
    assert sqlite.tables() == {"a", "b", "schema_migrations", "schema_migrations_log"}
    assert sqlite.rows("SELECT id FROM b") == [(1,)]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sqlite3 has `autocommit` since Python 3.12")
def test_a_sqlite_driver_that_commits_by_itself_is_refused(
    sqlite: Database, folder: Path, write: Write
) -> None:
    write(TWO)
    with pytest.raises(ConfigError, match=r"^the engine is in AUTOCOMMIT"):
        Migrator(sqlite.engine(connect_args={"autocommit": True}), folder).run()
    assert sqlite.tables() == set()


def test_an_autocommit_engine_is_refused(one_postgresql: Database, folder: Path, write: Write) -> None:
    write(TWO)
    with pytest.raises(ConfigError) as caught:
        Migrator(one_postgresql.engine(isolation_level="AUTOCOMMIT"), folder).run()
    assert str(caught.value) == (
        "the engine is in AUTOCOMMIT: a failed migration could not be rolled back\n"
        "take autocommit out of the URL, or give fluxmig"
        ' engine.execution_options(isolation_level="READ COMMITTED")'
    )
    assert one_postgresql.tables() == set()
