"""A database that no class knows: Firebird for real; and the others, of which fluxmig is told nothing."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event

from fluxmig import (
    Condition,
    ConfigError,
    MigrationFailedError,
    Migrator,
    Mode,
    Outcome,
    Settlement,
    State,
)
from fluxmig.dialects import Generic

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from fluxmig import Failure
    from tests.support import Database, Write

CONTAINERS = False
OWN = {"schema_migrations", "schema_migrations_log"}
TABLE = "CREATE TABLE a (id integer);\n"
HALF = f"{TABLE}INSERT INTO a VALUES (1);\nINSERT INTO nowhere VALUES (2);\nINSERT INTO a VALUES (3);"
LEDGER = "SELECT migration_name FROM schema_migrations ORDER BY id"


@pytest.fixture
def unknown(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Each database of the tests, as if nobody knew it."""
    if database.is_duckdb:
        pytest.skip("DuckDB numbers no rows and has no savepoints: that has to be known of it")

    def dialect_of(_bind: Engine | Connection) -> Generic:
        return Generic(database.product)

    monkeypatch.setattr("fluxmig.migrator.dialect_of", dialect_of)
    return database


def creations(engine: Engine) -> list[str]:
    """Hears of every CREATE that is sent from now on."""
    heard: list[str] = []

    def hear(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip().startswith("CREATE"):
            heard.append(statement.split()[2])

    event.listen(engine, "before_cursor_execute", hear)
    return heard


def failure_of(migrator: Migrator) -> Failure:
    with pytest.raises(MigrationFailedError) as caught:
        migrator.run()
    (step,) = caught.value.failures
    assert step.failure is not None
    return step.failure


# --- the probe --------------------------------------------------------------------------------------------


def test_a_probe_tells_what_is_rolled_back(database: Database) -> None:
    """Python's sqlite3 begins no transaction before what creates."""
    rolls_back = database.is_postgresql or database.is_duckdb
    with database.engine().connect() as connection:
        known = Generic(database.product).probed(connection, None)
        assert (known.has_transactional_ddl, connection.in_transaction()) == (rolls_back, False)
    assert database.tables() == set()


def test_as_the_probe_says(unknown: Database, folder: Path, write: Write) -> None:
    """A failed file is rolled back whole, or goes on behind what is done."""
    write({"001_a.sql": HALF})
    migrator = Migrator(unknown.engine(), folder)
    failure = failure_of(migrator)
    assert failure.line == 3
    if unknown.is_postgresql:
        assert (failure.done, unknown.tables()) == (0, OWN)
        assert failure.remedy is None
    else:
        assert (failure.done, unknown.tables(), unknown.rows("SELECT id FROM a")) == (2, {*OWN, "a"}, [(1,)])
        assert failure.remedy == (
            "Statement 3 of 4 failed; statements 1 and 2 are done and cannot be rolled back on"
            f" {unknown.product}. The next run goes on with statement 3; `fluxmig run --restart 001_a.sql`"
            " begins with statement 1."
        )
    write({"001_a.sql": HALF.replace("nowhere", "a")})
    (step,) = migrator.run().results
    assert (step.outcome, unknown.rows("SELECT id FROM a ORDER BY id")) == (
        Outcome.APPLIED,
        [(1,), (2,), (3,)],
    )


def test_it_is_asked_for_where_something_runs_and_nowhere_else(
    firebird: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": TABLE, "001_a.down.sql": "DROP TABLE a;"})
    engine = firebird.engine()
    heard = creations(engine)

    def probes() -> int:
        found = [name for name in heard if name.startswith("fluxmig_probe_")]
        heard.clear()
        return len(found)

    migrator = Migrator(engine, folder)
    assert [status.state for status in migrator.status()] == [State.PENDING]
    verified = migrator.verify()
    assert verified.capabilities is not None
    assert (verified.ok, verified.capabilities.transactional_ddl) == (True, None)
    plan = migrator.plan()
    (finding,) = plan.findings
    assert finding.kind == "probe"
    assert finding.message == (
        "whether firebird rolls back what creates and drops is found out when something runs; where it does"
        " not, files that do so run statement by statement"
    )
    assert (heard, firebird.tables()) == ([], set())
    migrator.mark("001_a.sql")
    migrator.unmark("001_a.sql")
    assert probes() == 0
    migrator.run()
    assert probes() == 1
    verified = migrator.verify()
    assert verified.capabilities is not None
    assert verified.capabilities.transactional_ddl is False
    assert Migrator(engine, folder).run().results == ()
    why = "whether firebird rolls back what creates and drops is found out when something runs"
    assert Migrator(engine, folder).redo_plan().apart == why
    assert probes() == 0
    assert Migrator(engine, folder).rollback().names == ("001_a.sql",)
    assert (probes(), firebird.tables()) == (1, OWN)


def test_a_probe_that_stays_is_named(firebird: Database, folder: Path, write: Write) -> None:
    firebird.rows("CREATE EXCEPTION not_dropped 'nothing is dropped here'")
    firebird.rows("CREATE TRIGGER keep BEFORE DROP TABLE AS BEGIN EXCEPTION not_dropped; END")
    write({"001_a.sql": TABLE})
    engine = firebird.engine()

    def commit(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip().startswith("CREATE"):
            connection.connection.dbapi_connection.commit()  # type: ignore[union-attr]

    event.listen(engine, "after_cursor_execute", commit)
    with pytest.raises(ConfigError) as caught:
        Migrator(engine, folder).run()
    (left,) = firebird.tables()
    assert caught.value.message.startswith(
        f"{left}, which was made to see whether that can be rolled back, cannot be dropped: "
    )
    assert caught.value.remedy == "drop it, and give fluxmig a login that may drop what it makes"


def test_inside_a_transaction_of_the_caller_nothing_is_tried(
    firebird: Database, folder: Path, write: Write
) -> None:
    engine = firebird.engine()
    write({"001_a.sql": TABLE})
    Migrator(engine, folder).run()
    write({"002_b.sql": "INSERT INTO a VALUES (1);", "003_c.sql": "CREATE TABLE c (id integer);"})
    heard = creations(engine)
    with engine.begin() as connection:
        migrator = Migrator(connection, folder)
        with pytest.raises(ConfigError) as caught:
            migrator.run()
        assert caught.value.message == (
            "003_c.sql has to run outside a transaction (CREATE TABLE), and the given connection is inside"
            " one"
        )
        migrator.run(to="002_b.sql")
    assert (heard, firebird.rows("SELECT id FROM a")) == ([], [(1,)])
    assert firebird.rows(LEDGER) == [("001_a.sql",), ("002_b.sql",)]


# --- Firebird ---------------------------------------------------------------------------------------------


def test_from_the_first_run_to_the_last_rollback(firebird: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": TABLE, "001_a.down.sql": "DROP TABLE a;"})
    write({"002_b.sql": "INSERT INTO a VALUES (1);\nINSERT INTO a VALUES (2);"})
    write({"002_b.down.sql": "DELETE FROM a WHERE id IN (1, 2);"})
    migrator = Migrator(firebird.engine(), folder)
    steps = [(step.name, step.mode, step.reason) for step in migrator.run().results]
    assert steps == [
        ("001_a.sql", Mode.NO_TRANSACTION, "CREATE TABLE"),
        ("002_b.sql", Mode.TRANSACTION, None),
    ]
    assert firebird.log() == [("applied", "001_a.sql"), ("applied", "002_b.sql")]
    verified = migrator.verify()
    assert (verified.ok, verified.info.server, verified.applied) == (True, "firebird", 2)
    assert migrator.redo().applied.outcome is Outcome.APPLIED
    assert firebird.rows("SELECT id FROM a ORDER BY id") == [(1,), (2,)]
    assert migrator.rollback(to="0").names == ("002_b.sql", "001_a.sql")
    assert (firebird.tables(), firebird.rows(LEDGER)) == (OWN, [])


def test_a_file_of_rows_is_all_or_nothing(firebird: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": TABLE, "002_b.sql": "INSERT INTO a VALUES (1);\nINSERT INTO nowhere VALUES (1);"})
    migrator = Migrator(firebird.engine(), folder)
    failure = failure_of(migrator)
    assert (failure.done, failure.code, failure.line) == (0, "42S02", 2)
    assert firebird.rows("SELECT id FROM a") == []
    assert [status.conditions for status in migrator.status()] == [(), (Condition.FAILED,)]
    assert firebird.rows(LEDGER) == [("001_a.sql",)]


def test_a_transaction_of_the_file_s_own(firebird: Database, folder: Path, write: Write) -> None:
    """It is the driver's, for Firebird has no such statements."""
    rows = "BEGIN;\nINSERT INTO a VALUES (1);\nINSERT INTO {} VALUES (2);\nCOMMIT;\n"
    write({"001_a.sql": TABLE + rows.format("nowhere") + "INSERT INTO a VALUES (3);"})
    migrator = Migrator(firebird.engine(), folder)
    assert failure_of(migrator).done == 1
    assert firebird.rows("SELECT id FROM a") == []
    write({"001_a.sql": TABLE + rows.format("a") + "INSERT INTO a VALUES (3);"})
    (step,) = migrator.run().results
    assert (step.resumed_at, firebird.rows("SELECT id FROM a ORDER BY id")) == (2, [(1,), (2,), (3,)])


def test_what_is_partial_is_settled(firebird: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": HALF})
    migrator = Migrator(firebird.engine(), folder)
    failure_of(migrator)
    (status,) = migrator.status()
    assert status.conditions == (Condition.FAILED, Condition.PARTIAL)
    migrator.resolve("001_a.sql", settlement=Settlement.DONE)
    assert (migrator.run().results, firebird.rows(LEDGER)) == ((), [("001_a.sql",)])
    migrator.unmark("001_a.sql")
    write({"001_a.sql": TABLE})
    assert [each.kind.value for each in migrator.adopt_plan()] == ["exists"]
    migrator.adopt("it was there")
    assert migrator.log()[-1].reason == "it was there"


def test_a_connection_of_the_caller(firebird: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": HALF.replace("nowhere", "a")})
    with firebird.engine().connect() as connection:
        assert Migrator(connection, folder).run().results[0].outcome is Outcome.APPLIED
        assert (connection.closed, connection.in_transaction()) == (False, False)
        connection.exec_driver_sql("INSERT INTO a VALUES (4)")
        connection.rollback()
    assert firebird.rows("SELECT id FROM a ORDER BY id") == [(1,), (2,), (3,)]


def test_two_runners_at_once(firebird: Database, folder: Path, write: Write) -> None:
    """The ledger's unique row decides: rows come once, whoever is faster."""
    write({"001_a.sql": TABLE})
    Migrator(firebird.engine(), folder).run()
    write({f"{n:03}_rows.sql": f"INSERT INTO a VALUES ({n});" for n in range(2, 8)})
    gate, errors = threading.Barrier(2), list[BaseException]()

    def run() -> None:
        migrator = Migrator(firebird.engine(), folder)
        gate.wait(60)
        try:
            migrator.run()
        except BaseException as error:  # noqa: BLE001  # shown below
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert firebird.rows("SELECT id FROM a ORDER BY id") == [(n,) for n in range(2, 8)]
    assert len(firebird.rows(LEDGER)) == 7
