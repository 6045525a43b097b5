"""What a script, sent with its rows in one message, must not lose of what it has when it is sent alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event

from fluxmig import LedgerError, MigrationFailedError, Migrator, Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from fluxmig.model import Failure
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


def test_a_file_and_its_rows_are_one_message(migrator: Migrator, postgresql: Database, write: Write) -> None:
    write({"002_b.sql": "INSERT INTO a VALUES (1);"})
    engine, sent = postgresql.engine(), list[str]()
    event.listen(engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    Migrator(engine, migrator._folder).run()
    (message,) = [each for each in sent if "INTO a" in each]
    assert "INTO public.schema_migrations " in message
    assert "INTO public.schema_migrations_log " in message


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
