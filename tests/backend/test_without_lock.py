"""A database that knows no lock for runners: the ledger's unique row is one.

The databases are those of the tests, told that they have no such lock.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from fluxmig import MigrationFailedError, Migrator, Outcome
from fluxmig.dialects.postgresql import PostgreSQL

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from tests.support import Database, Write

CONTAINERS = False


class WithoutLock(PostgreSQL):
    """PostgreSQL without its advisory locks, as others that speak its protocol are."""

    has_lock = False
    has_session_lock = False

    def claim(self, connection: Connection, key: str) -> bool:
        """Nobody is kept out."""
        return True

    def claim_session(self, connection: Connection, key: str) -> bool:
        """Likewise."""
        return True

    def release_session(self, connection: Connection, key: str) -> None:
        """There is nothing to give back."""


@pytest.fixture(autouse=True)
def without_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    def dialect_of(_bind: Engine | Connection) -> WithoutLock:
        return WithoutLock()

    monkeypatch.setattr("fluxmig.migrator.dialect_of", dialect_of)


def test_many_runners_apply_each_file_once(postgresql: Database, folder: Path, write: Write) -> None:
    """From an empty database, in which the ledger is made by all of them at once."""
    write(
        {
            f"{n:03}_m.sql": f"CREATE TABLE t{n} (id integer); INSERT INTO t{n} VALUES (1);"
            for n in range(1, 9)
        }
    )
    gate = threading.Barrier(6)
    applied: list[str] = []
    errors: list[BaseException] = []

    def run() -> None:
        migrator = Migrator(postgresql.engine(), folder)
        gate.wait(60)
        try:
            report = migrator.run()
        except BaseException as error:  # noqa: BLE001  # shown below
            errors.append(error)
        else:
            applied.extend(step.name for step in report.having(Outcome.APPLIED))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    assert sorted(applied) == [f"{n:03}_m.sql" for n in range(1, 9)]
    assert [postgresql.scalar(f"SELECT count(*) FROM t{n}") for n in range(1, 9)] == [1] * 8
    rows = "SELECT count(*), count(execution_time_ms), count(checksum) FROM schema_migrations"
    assert postgresql.rows(rows) == [(8, 8, 8)]
    events = "SELECT DISTINCT event, count(*) FROM schema_migrations_log GROUP BY event"
    assert postgresql.rows(events) == [("applied", 8)]


def test_a_failed_file_leaves_no_row(postgresql: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE t (id integer);\nSELECT 1/0;"})
    with pytest.raises(MigrationFailedError):
        Migrator(postgresql.engine(), folder).run()
    assert postgresql.scalar("SELECT count(*) FROM schema_migrations") == 0
    assert "t" not in postgresql.tables()
    write({"001_a.sql": "CREATE TABLE t (id integer);"})
    assert Migrator(postgresql.engine(), folder).run().results[0].outcome is Outcome.APPLIED


def test_rollback_redo_and_duplicates(postgresql: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE t (id integer);", "001_a.down.sql": "DROP TABLE t;"})
    migrator = Migrator(postgresql.engine(), folder)
    migrator.run()
    assert migrator.redo().applied.outcome is Outcome.APPLIED
    assert postgresql.scalar("SELECT count(*) FROM schema_migrations") == 1
    assert migrator.rollback().names == ("001_a.sql",)
    assert postgresql.scalar("SELECT count(*) FROM schema_migrations") == 0
    assert "t" not in postgresql.tables()
    postgresql.rows("CREATE TABLE t (id integer)")
    assert migrator.run().results[0].outcome is Outcome.MARKED
    assert [record.name for record in migrator.applied()] == ["001_a.sql"]
