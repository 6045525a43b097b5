"""Taking migrations back, on every database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import DBAPIError

from fluxmig import ConfigError, Migrator, RollbackError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Database, Write

FILES: dict[str, str] = {
    "001_a.sql": "CREATE TABLE a (id integer);",
    "001_a.down.sql": "DROP TABLE a;",
    "002_b.sql": "CREATE TABLE b (id integer);",
    "003_c.sql": "CREATE TABLE c (id integer);",
    "003_c.down.sql": "INSERT INTO b VALUES (1);\nDROP TABLE c;",
}
LEDGER = "SELECT migration_name FROM schema_migrations ORDER BY id"


@pytest.fixture
def migrator(database: Database, folder: Path, write: Write) -> Migrator:
    write(FILES)
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    return migrator


def ledger(database: Database) -> list[object]:
    return [row[0] for row in database.rows(LEDGER)]


def test_a_down_script_runs_and_the_record_goes_with_it(database: Database, migrator: Migrator) -> None:
    (result,) = migrator.rollback().results
    assert (result.name, result.reversed) == ("003_c.sql", True)
    assert ledger(database) == ["001_a.sql", "002_b.sql"]
    assert "c" not in database.tables()
    assert database.scalar("SELECT count(*) FROM b") == 1
    last = database.rows("SELECT event, migration_name FROM schema_migrations_log ORDER BY id")[-1]
    assert last == ("rolled back", "003_c.sql")


def test_without_a_down_script_only_the_record_goes(database: Database, migrator: Migrator) -> None:
    results = migrator.rollback(2).results
    assert [(result.name, result.reversed) for result in results] == [
        ("003_c.sql", True),
        ("002_b.sql", False),
    ]
    assert ledger(database) == ["001_a.sql"]
    assert "b" in database.tables()
    last = database.rows("SELECT event, migration_name FROM schema_migrations_log ORDER BY id")[-1]
    assert last == ("unrecorded", "002_b.sql")


def test_record_only(database: Database, migrator: Migrator) -> None:
    (result,) = migrator.rollback(record_only=True).results
    assert (result.name, result.reversed) == ("003_c.sql", False)
    assert ledger(database) == ["001_a.sql", "002_b.sql"]
    assert "c" in database.tables()


def test_more_steps_than_there_are(database: Database, migrator: Migrator) -> None:
    assert len(migrator.rollback(99).results) == 3
    assert ledger(database) == []
    assert database.tables() == {"b", "schema_migrations", "schema_migrations_log"}


def test_nothing_to_roll_back(database: Database, folder: Path) -> None:
    with pytest.raises(RollbackError, match=r"^nothing is applied, so there is nothing to roll back$"):
        Migrator(database.engine(), folder).rollback()
    assert database.tables() == set()


def test_a_failing_down_script_changes_nothing(database: Database, migrator: Migrator, write: Write) -> None:
    write({"003_c.down.sql": "DROP TABLE c;\nDROP TABLE nowhere;"})
    with pytest.raises(RollbackError) as caught:
        migrator.rollback()
    assert str(caught.value).startswith("the down script of 003_c.sql failed, and changed nothing\n")
    assert "003_c.down.sql:2:" in str(caught.value)
    assert isinstance(caught.value.__cause__, DBAPIError)
    assert ledger(database) == ["001_a.sql", "002_b.sql", "003_c.sql"]
    assert "c" in database.tables()


def test_steps_before_a_failing_one_stay_taken_back(
    database: Database, migrator: Migrator, write: Write
) -> None:
    write({"001_a.down.sql": "DROP TABLE nowhere;"})
    with pytest.raises(RollbackError) as caught:
        migrator.rollback(3)
    assert caught.value.report is not None
    assert [result.name for result in caught.value.report.results] == ["003_c.sql", "002_b.sql"]
    assert ledger(database) == ["001_a.sql"]


def test_the_plan_of_a_rollback_changes_nothing(database: Database, migrator: Migrator) -> None:
    planned = migrator.rollback_plan(2).results
    assert [(result.name, result.reversed) for result in planned] == [
        ("003_c.sql", True),
        ("002_b.sql", False),
    ]
    assert ledger(database) == ["001_a.sql", "002_b.sql", "003_c.sql"]


def test_a_missing_migration_loses_its_record(database: Database, migrator: Migrator, folder: Path) -> None:
    (folder / "003_c.sql").unlink()
    (result,) = migrator.rollback().results
    assert (result.name, result.reversed) == ("003_c.sql", False)
    assert ledger(database) == ["001_a.sql", "002_b.sql"]


def test_what_was_taken_back_runs_again(database: Database, migrator: Migrator) -> None:
    migrator.rollback()
    assert [step.name for step in migrator.run().results] == ["003_c.sql"]
    assert "c" in database.tables()


@pytest.mark.parametrize("steps", [0, -1])
def test_steps_below_one_are_refused(database: Database, migrator: Migrator, steps: int) -> None:
    message = f"^steps must be 1 or more, and not {steps}$"
    for act in (migrator.rollback, migrator.rollback_plan):
        with pytest.raises(ConfigError, match=message):
            act(steps)
    with pytest.raises(ConfigError, match=message):
        migrator.run(steps=steps)
    assert ledger(database) == ["001_a.sql", "002_b.sql", "003_c.sql"]
