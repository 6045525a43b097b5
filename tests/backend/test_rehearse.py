"""A rehearsal on every database: what it tells of files that run, fail, are marked, and go back and forth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fluxmig import Migrator
from fluxmig.dialects import dialect_of
from fluxmig.errors import MigrationFileError
from fluxmig.rehearsal import Stage, rehearse
from tests.support import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

    from fluxmig.trace import Rehearsal
    from tests.support import Database, Servers, Write

CONTAINERS = False
OWN = frozenset({"schema_migrations", "schema_migrations_log"})
TABLE = {"001_a.sql": "CREATE TABLE a (b integer);\n", "001_a.down.sql": "DROP TABLE a;\n"}


def rehearsed(
    database: Database, folder: Path, *, round_trip: bool = False, keep_going: bool = False
) -> Rehearsal:
    engine = database.engine()
    stage = Stage(engine, Migrator(engine, folder), OWN, "a test", "nothing", round_trip=round_trip)
    return rehearse(stage, keep_going=keep_going)


def outcomes(of: Rehearsal) -> list[tuple[str, str]]:
    return [(file.name, file.result.outcome.value) for file in of.files]


def of_files(of: Rehearsal) -> list[tuple[str, str]]:
    """The findings that are about no statement."""
    return [(each.name, each.path.name) for each in of.findings if each.statement is None]


def test_what_is_told(database: Database, folder: Path, write: Write) -> None:
    write(
        {**TABLE, "002_b.sql": "INSERT INTO a VALUES (1);\nINSERT INTO a VALUES (2);\nUPDATE a SET b = 3;\n"}
    )
    found = rehearsed(database, folder)
    assert (found.product, found.source, found.base) == (database.product, "a test", "nothing")
    assert outcomes(found) == [("001_a.sql", "applied"), ("002_b.sql", "applied")]
    assert [(trace.number, trace.last, trace.rows) for trace in found.files[1].statements] == [
        (1, 2, 2),
        (3, 3, 2),
    ]
    assert (found.findings, found.pending, found.ok, found.exit_code) == ((), (), True, 0)
    assert found.knows_locks is database.is_postgresql


def test_up_to_the_first_failure(database: Database, folder: Path, write: Write) -> None:
    write({**TABLE, "002_no.sql": "SELECT 1;\nINSERT INTO nobody VALUES (1);\n", "003_c.sql": "SELECT 1;\n"})
    found = rehearsed(database, folder)
    assert outcomes(found) == [("001_a.sql", "applied"), ("002_no.sql", "failed")]
    assert (found.pending, found.ok, found.exit_code) == (("003_c.sql",), False, 1)
    *_, last = found.failed[0].statements
    assert last.number == 2
    assert "nobody" in (last.error or "")


def test_on_behind_a_failure(database: Database, folder: Path, write: Write) -> None:
    write({**TABLE, "002_no.sql": "INSERT INTO nobody VALUES (1);\n", "003_c.sql": "SELECT 1;\n"})
    found = rehearsed(database, folder, keep_going=True)
    assert outcomes(found) == [("001_a.sql", "applied"), ("002_no.sql", "failed"), ("003_c.sql", "applied")]
    assert (found.pending, found.ok) == ((), False)


def test_what_would_be_marked(database: Database, folder: Path, write: Write) -> None:
    write({**TABLE, "002_again.sql": "CREATE TABLE a (b integer);\nCREATE TABLE c (d integer);\n"})
    found = rehearsed(database, folder)
    assert outcomes(found) == [("001_a.sql", "applied"), ("002_again.sql", "marked")]
    (marked,) = found.findings
    assert (marked.name, marked.line, marked.statement) == ("marked", 1, 1)
    assert marked.message.endswith("the file would be marked as applied, 1 of 2 statements lost (line 2)")


def test_a_file_that_cannot_be_read(database: Database, folder: Path, write: Write) -> None:
    write({**TABLE, "002_open.sql": "SELECT 'open;\n"})
    with pytest.raises(MigrationFileError):
        rehearsed(database, folder)
    assert database.tables() == set()


def test_what_is_rehearsed_is_what_a_run_does(servers: Servers) -> None:
    """The examples, which have a file without a transaction, types, triggers and functions."""
    server = servers.get("postgresql-18")
    with server.database() as one, server.database() as other:
        assert rehearsed(one, EXAMPLES).ok
        Migrator(other.engine(), EXAMPLES).run()
        held = []
        for database in (one, other):
            engine = database.engine()
            with engine.connect() as connection:
                held.append(dialect_of(engine).met(connection).catalog(connection))
        assert held[0] == held[1]
        names = "SELECT migration_name, checksum FROM schema_migrations ORDER BY id"
        assert one.rows(names) == other.rows(names)
        events = "SELECT event, migration_name, message FROM schema_migrations_log ORDER BY id"
        assert one.rows(events) == other.rows(events)


# --- back and forth ---------------------------------------------------------------------------------------


def test_a_way_back_that_is_right(database: Database, folder: Path, write: Write) -> None:
    write(
        {
            **TABLE,
            "002_i.sql": "CREATE INDEX a_b_idx ON a (b);\n",
            "002_i.down.sql": "DROP INDEX a_b_idx" + (" ON a;\n" if database.is_mysql else ";\n"),
        }
    )
    found = rehearsed(database, folder, round_trip=True)
    assert outcomes(found) == [("001_a.sql", "applied"), ("002_i.sql", "applied")]
    assert of_files(found) == []
    assert database.tables() >= {"a"}


def test_a_way_back_that_leaves_something(database: Database, folder: Path, write: Write) -> None:
    write(
        {
            **TABLE,
            "002_c.sql": "CREATE TABLE IF NOT EXISTS c (d integer);\n",
            "002_c.down.sql": "SELECT 1;\n",
            "003_d.sql": "SELECT 1;\n",
        }
    )
    found = rehearsed(database, folder, round_trip=True)
    if database.is_duckdb:  # what it holds cannot be compared
        assert of_files(found) == [("down-missing", "003_d.sql")]
        return
    assert of_files(found) == [("down-incomplete", "002_c.sql"), ("down-missing", "003_d.sql")]
    (incomplete, _) = (each for each in found.findings if each.statement is None)
    assert incomplete.message.startswith("the down script does not bring back what was there: table c is new")


def test_a_way_back_that_fails(database: Database, folder: Path, write: Write) -> None:
    write({**TABLE, "001_a.down.sql": "DROP TABLE nobody;\n", "002_b.sql": "SELECT 1;\n"})
    found = rehearsed(database, folder, round_trip=True)
    assert outcomes(found) == [("001_a.sql", "applied"), ("002_b.sql", "applied")]
    assert of_files(found) == [("down-failed", "001_a.sql"), ("down-missing", "002_b.sql")]
    assert "001_a.down.sql:1:" in found.findings[0].message
    assert "nobody" in found.findings[0].message


def test_a_file_that_cannot_go_there_again(database: Database, folder: Path, write: Write) -> None:
    write({**TABLE, "001_a.down.sql": "SELECT 1;\n", "002_b.sql": "SELECT 1;\n"})
    found = rehearsed(database, folder, round_trip=True)
    assert outcomes(found) == [("001_a.sql", "applied")]
    assert of_files(found)[-1] == ("again-differs", "001_a.sql")
    assert found.pending == ("002_b.sql",)
