"""DuckDB: what a database without savepoints, locks and numbers of its own can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fluxmig import (
    Condition,
    ConfigError,
    MigrationFailedError,
    Migrator,
    Mode,
    Outcome,
    Wait,
    WaitReason,
)

if TYPE_CHECKING:
    from pathlib import Path

    from fluxmig import Failure
    from tests.support import Database, Write

LEDGER = "SELECT id, migration_name FROM schema_migrations ORDER BY id"


def failure_of(migrator: Migrator) -> Failure:
    with pytest.raises(MigrationFailedError) as caught:
        migrator.run()
    assert isinstance(caught.value.__cause__, DBAPIError)
    (step,) = caught.value.failures
    assert step.failure is not None
    return step.failure


def test_a_run_and_the_next_one(duckdb: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (id integer);\nINSERT INTO a VALUES (1);",
            "002_b.sql": "SELECT '%' || ':x';",
        }
    )
    migrator = Migrator(duckdb.engine(), folder)
    report = migrator.run()
    assert [(step.outcome, step.mode) for step in report.results] == [(Outcome.APPLIED, Mode.TRANSACTION)] * 2
    assert duckdb.rows(LEDGER) == [(1, "001_a.sql"), (2, "002_b.sql")]
    assert duckdb.rows("SELECT id, event FROM schema_migrations_log ORDER BY id") == [
        (1, "applied"),
        (2, "applied"),
    ]
    assert migrator.run().results == ()
    verified = migrator.verify()
    assert (verified.ok, verified.info.server, verified.applied) == (True, "DuckDB", 2)
    assert [status.conditions for status in migrator.status()] == [(), ()]


def test_a_failure_is_rolled_back_whole(duckdb: Database, folder: Path, write: Write) -> None:
    rows = "INSERT INTO a VALUES (1);\n  SELECT 'é', x FROM nowhere;"
    write({"001_a.sql": f"CREATE TABLE a (id integer);\n{rows}"})
    migrator = Migrator(duckdb.engine(), folder)
    failure = failure_of(migrator)
    assert failure.message.startswith("Catalog Error: Table with name nowhere does not exist!")
    assert (failure.code, failure.line, failure.column, failure.done) == ("CatalogException", 3, 22, 0)
    assert duckdb.tables() == {"schema_migrations", "schema_migrations_log"}
    assert [status.conditions for status in migrator.status()] == [(Condition.FAILED,)]
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    assert migrator.run().results[0].outcome is Outcome.APPLIED


def test_without_a_transaction_progress_is_kept(
    duckdb: Database, folder: Path, write: Write, tmp_path: Path
) -> None:
    rows = "CREATE TABLE a (id integer);\nINSERT INTO {} VALUES (1);"
    file = f"ATTACH '{tmp_path}/other.duckdb' AS other;\n{rows}"
    write({"001_a.sql": file.format("nowhere")})
    migrator = Migrator(duckdb.engine(), folder)
    failure = failure_of(migrator)
    assert (failure.done, failure.statement and failure.statement.number) == (2, 3)
    write({"001_a.sql": file.format("a")})
    (step,) = migrator.run().results
    assert (step.outcome, step.resumed_at, step.reason) == (Outcome.APPLIED, 3, "ATTACH")
    assert duckdb.rows("SELECT id FROM a") == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t (id integer)",
        "CREATE INDEX i ON t (id)",
        "CREATE VIEW v AS SELECT 1 AS one",
        "ALTER TABLE t ADD COLUMN id integer",
        "CREATE SCHEMA s",
        "CREATE SEQUENCE q",
    ],
)
def test_what_counts_as_a_duplicate(duckdb: Database, folder: Path, write: Write, statement: str) -> None:
    setup = "CREATE TABLE t (id integer); CREATE INDEX i ON t (id); CREATE VIEW v AS SELECT 1 AS one;"
    write({"001_a.sql": f"{setup} CREATE SCHEMA s; CREATE SEQUENCE q;", "002_b.sql": statement})
    (_, step) = Migrator(duckdb.engine(), folder).run().results
    assert (step.outcome, step.lost) == (Outcome.MARKED, ())


def test_a_file_cannot_be_completed(duckdb: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    write({"002_b.sql": "CREATE TABLE b (id integer);\nCREATE TABLE a (id integer);"})
    failure = failure_of(Migrator(duckdb.engine(), folder, on_duplicate="complete"))
    assert failure.remedy == "DuckDB has no savepoints, so a file cannot be completed."
    assert "b" not in duckdb.tables()


def test_what_is_made_twice_is_no_duplicate(duckdb: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);\nCREATE TABLE a (id integer);"})
    failure = failure_of(Migrator(duckdb.engine(), folder))
    assert failure.remedy == "Nothing like it was there before: the file makes it twice."


def test_back_and_again(duckdb: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);", "001_a.down.sql": "DROP TABLE a;"})
    migrator = Migrator(duckdb.engine(), folder)
    migrator.run()
    assert migrator.redo_plan().apart == "DuckDB has no savepoints"
    migrator.redo()
    assert migrator.rollback().names == ("001_a.sql",)
    assert duckdb.tables() == {"schema_migrations", "schema_migrations_log"}


def test_adopt_and_absent(duckdb: Database, folder: Path, write: Write) -> None:
    duckdb.rows("CREATE TABLE a (id integer)")
    write({"001_a.sql": "CREATE TABLE a (id integer);", "002_b.sql": "CREATE TABLE b (id integer);"})
    migrator = Migrator(duckdb.engine(), folder)
    assert [each.kind.value for each in migrator.adopt_plan()] == ["exists", "absent"]
    assert [each.name for each in migrator.adopt().recorded] == ["001_a.sql"]
    duckdb.rows("DROP TABLE a")
    assert [finding.kind for finding in migrator.verify().findings] == ["absent"]
    (change,) = migrator.mark("2", reason="by hand").changes
    assert change.name == "002_b.sql"
    assert migrator.log()[-1].reason == "by hand"


def test_inside_a_transaction_of_the_caller(duckdb: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    with duckdb.engine().begin() as connection, pytest.raises(ConfigError) as caught:
        Migrator(connection, folder).run()
    assert str(caught.value) == (
        "DuckDB has no savepoints, and the given connection is inside a transaction\n"
        "give fluxmig an Engine, or a Connection that is not in a transaction"
    )
    with duckdb.engine().connect() as connection:
        assert Migrator(connection, folder).run().results[0].outcome is Outcome.APPLIED


def test_who_writes_the_same_is_waited_for(duckdb: Database, folder: Path, write: Write) -> None:
    duckdb.rows("CREATE TABLE a (id integer PRIMARY KEY, n integer)")
    duckdb.rows("INSERT INTO a VALUES (1, 1)")
    write({"001_a.sql": "UPDATE a SET n = n + 1 WHERE id = 1;"})
    waits: list[Wait] = []
    with duckdb.engine().connect() as other:
        other.execute(text("UPDATE a SET n = 10 WHERE id = 1"))

        def wait(what: Wait) -> None:
            waits.append(what)
            other.commit()

        (step,) = Migrator(duckdb.engine(), folder, on_wait=wait).run().results
    assert (step.outcome, step.tries) == (Outcome.APPLIED, 2)
    assert [each.reason for each in waits] == [WaitReason.RETRY]
    assert duckdb.rows("SELECT n FROM a") == [(11,)]
