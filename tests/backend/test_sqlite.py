"""What only SQLite does: pragmas outside of transactions, ATTACH, WAL, databases in memory, locked files."""

from __future__ import annotations

import sqlite3
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.pool import StaticPool

from fluxmig import (
    ConfigError,
    LedgerError,
    LockTimeoutError,
    MigrationFailedError,
    Migrator,
    Mode,
    Outcome,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from fluxmig import Failure
    from tests.support import Database, Write

PARENTS = (
    "CREATE TABLE p (id integer PRIMARY KEY);\n"
    "CREATE TABLE c (id integer PRIMARY KEY, p integer REFERENCES p (id));\n"
    "INSERT INTO p VALUES (1), (2);\nINSERT INTO c VALUES (1, 1), (2, 2);\n"
)
REBUILT = (
    "CREATE TABLE new (id integer PRIMARY KEY, name text);\nINSERT INTO new (id) SELECT id FROM p{};\n"
    "DROP TABLE p;\nALTER TABLE new RENAME TO p;\n"
)
OFF, ON, CHECK = "PRAGMA foreign_keys = OFF;\n", "PRAGMA foreign_keys = ON;\n", "PRAGMA foreign_key_check;\n"
LOSES = " WHERE id = 1"
VIOLATED = "1 row violates a foreign key: row 2 of c, which references p"
MEND = "mend these rows before, or what the file does to them; PRAGMA foreign_key_check lists them all"


def enforcing(database: Database) -> Engine:
    """An engine whose connections enforce foreign keys, as applications have it."""
    engine = database.engine()
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
    return engine


def pragma(engine: Engine, name: str) -> object:
    with engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def failure_of(migrator: Migrator) -> Failure:
    with pytest.raises(MigrationFailedError) as caught:
        migrator.run()
    (step,) = caught.value.failures
    assert step.failure is not None
    return step.failure


# --- foreign keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        OFF + REBUILT,
        OFF + REBUILT + ON,
        OFF + REBUILT + CHECK + ON,
        "PRAGMA foreign_keys(0);\n" + REBUILT,
        "PRAGMA cache_size = 500; pragma Main.Foreign_Keys='off';\n" + REBUILT,
        f"{OFF}BEGIN;\n{REBUILT}{CHECK}COMMIT;\n{ON}",
        f"{OFF}BEGIN;\n{REBUILT}COMMIT;\n",
    ],
)
def test_a_table_that_others_reference_is_built_again(
    sqlite: Database, folder: Path, write: Write, content: str
) -> None:
    write({"001_a.sql": PARENTS, "002_b.sql": content.format("")})
    engine = enforcing(sqlite)
    report = Migrator(engine, folder).run()
    assert [step.outcome for step in report.results] == [Outcome.APPLIED] * 2
    assert report.results[1].mode is (Mode.NO_TRANSACTION if "BEGIN" in content else Mode.TRANSACTION)
    assert report.findings == ()
    assert sqlite.rows("SELECT id, name FROM p") == [(1, None), (2, None)]
    assert pragma(engine, "foreign_keys") == 1
    assert pragma(engine, "cache_size") == -2000


def test_without_the_pragma_it_cannot_be(sqlite: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": PARENTS, "002_b.sql": REBUILT.format("")})
    failure = failure_of(Migrator(enforcing(sqlite), folder))
    assert failure.message == "FOREIGN KEY constraint failed"


@pytest.mark.parametrize(
    ("content", "line"),
    [(OFF + REBUILT, 5), (OFF + REBUILT + ON, 6), (OFF + REBUILT + CHECK + ON, 6), (REBUILT + CHECK, 5)],
)
def test_what_references_nothing_fails_the_file(
    sqlite: Database, folder: Path, write: Write, content: str, line: int
) -> None:
    write({"001_a.sql": PARENTS, "002_b.sql": content.format(LOSES)})
    engine = enforcing(sqlite) if OFF in content else sqlite.engine()
    failure = failure_of(Migrator(engine, folder))
    assert (failure.message, failure.remedy, failure.line) == (VIOLATED, MEND, line)
    assert sqlite.rows("SELECT * FROM p") == [(1,), (2,)]
    assert sqlite.rows("SELECT migration_name FROM schema_migrations") == [("001_a.sql",)]
    assert pragma(engine, "foreign_keys") == (OFF in content)


def test_in_a_transaction_of_the_files_own(sqlite: Database, folder: Path, write: Write) -> None:
    file = f"{OFF}BEGIN;\n{REBUILT}{CHECK}COMMIT;\n"
    write({"001_a.sql": PARENTS, "002_b.sql": file.format(LOSES)})
    engine = enforcing(sqlite)
    failure = failure_of(Migrator(engine, folder))
    assert (failure.message, failure.line, failure.done) == (VIOLATED, 7, 1)
    assert sqlite.rows("SELECT * FROM p") == [(1,), (2,)]
    assert pragma(engine, "foreign_keys") == 1
    write({"002_b.sql": file.format("")})
    (step,) = Migrator(engine, folder).run().results
    assert (step.resumed_at, step.outcome) == (2, Outcome.APPLIED)  # foreign_keys was switched off again


def test_what_violated_before_is_not_the_files_fault(sqlite: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": PARENTS + "INSERT INTO c VALUES (3, 99);\n", "002_b.sql": OFF + REBUILT.format("")})
    report = Migrator(sqlite.engine(), folder).run()
    assert [step.outcome for step in report.results] == [Outcome.APPLIED] * 2
    write({"003_c.sql": OFF + "INSERT INTO c VALUES (4, 98), (5, 97);"})
    failure = failure_of(Migrator(sqlite.engine(), folder))
    assert failure.message == "2 rows violate foreign keys; the first is row 4 of c, which references p"


def test_a_pragma_that_comes_too_late(sqlite: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": f"CREATE TABLE t (id integer);\n{OFF}CREATE TABLE u (id integer);"})
    (finding,) = Migrator(sqlite.engine(), folder).run().findings
    assert finding.message == (
        "001_a.sql: PRAGMA foreign_keys in line 2 has no effect inside the transaction: put it at the head of"
        " the file, or begin the file with `-- fluxmig: no-transaction`"
    )


def test_in_a_transaction_of_the_caller_it_is_refused(sqlite: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": OFF + "CREATE TABLE t (id integer);"})
    with sqlite.engine().begin() as connection, pytest.raises(ConfigError) as caught:
        Migrator(connection, folder).run()
    assert str(caught.value) == (
        "a migration begins with PRAGMA foreign_keys, which has no effect inside a transaction, and the given"
        " connection is inside one\ngive fluxmig an Engine, or a Connection that is not in a transaction"
    )
    with sqlite.engine().connect() as connection:
        assert Migrator(connection, folder).run().results[0].outcome is Outcome.APPLIED
        assert not connection.in_transaction()


def test_a_redo_with_foreign_keys_off(sqlite: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_a.sql": PARENTS,
            "002_b.sql": OFF + REBUILT.format(""),
            "002_b.down.sql": OFF + REBUILT.format(""),
        }
    )
    engine = enforcing(sqlite)
    migrator = Migrator(engine, folder)
    migrator.run()
    assert migrator.redo().applied.outcome is Outcome.APPLIED
    assert sqlite.rows("SELECT count(*) FROM p") == [(2,)]
    assert pragma(engine, "foreign_keys") == 1


# --- the session ------------------------------------------------------------------------------------------

SETS = (
    "CREATE TEMP TABLE schema_migrations (id integer);\nCREATE TEMP VIEW v AS SELECT 1;\n"
    "PRAGMA recursive_triggers = ON;\n"
)


@pytest.mark.parametrize("head", ["", "-- fluxmig: no-transaction\n"])
@pytest.mark.parametrize("end", ["", "SELECT 1 FROM nowhere;"])
@pytest.mark.parametrize("of_caller", [True, False])
def test_what_a_file_sets_reaches_nobody(
    sqlite: Database,
    folder: Path,
    write: Write,
    head: str,
    end: str,
    of_caller: bool,  # noqa: FBT001
) -> None:
    last = "" if head else "PRAGMA query_only = ON;\n"  # behind which no progress could be kept
    write({"001_a.sql": head + SETS + last + end})
    engine = sqlite.engine()
    with engine.connect() as connection:
        migrator = Migrator(connection if of_caller else engine, folder)
        if end:
            failure_of(migrator)
        else:
            assert migrator.run().results[0].outcome is Outcome.APPLIED
    assert (pragma(engine, "recursive_triggers"), pragma(engine, "query_only")) == (0, 0)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM sqlite_temp_master")) == 0
    assert sqlite.scalar("SELECT count(*) FROM schema_migrations") == (0 if end else 1)


def test_attached_databases(sqlite: Database, folder: Path, write: Write, tmp_path: Path) -> None:
    file = "ATTACH '{}/other.db' AS other;\nCREATE TABLE other.t (id integer);\nINSERT INTO {} VALUES (1);\n"
    write({"001_a.sql": file.format(tmp_path, "nowhere")})
    engine = sqlite.engine()
    failure = failure_of(Migrator(engine, folder))
    assert failure.done == 2
    write({"001_a.sql": file.format(tmp_path, "other.t")})
    (step,) = Migrator(engine, folder).run().results
    assert (step.resumed_at, step.reason) == (3, "ATTACH")  # it was attached again
    with engine.connect() as connection:
        assert [row[1] for row in connection.exec_driver_sql("PRAGMA database_list")] == ["main", "temp"]
    with sqlite3.connect(tmp_path / "other.db") as other:
        assert other.execute("SELECT * FROM t").fetchall() == [(1,)]
    other.close()


def test_what_is_temporary_cannot_be_gone_behind(sqlite: Database, folder: Path, write: Write) -> None:
    write(
        {"001_a.sql": "-- fluxmig: no-transaction\nCREATE TEMP TABLE t (id integer);\nSELECT 1 FROM nowhere;"}
    )
    migrator = Migrator(sqlite.engine(), folder)
    failure_of(migrator)
    with pytest.raises(LedgerError, match="what statement 1 made was gone with its session"):
        migrator.run()


# --- files ------------------------------------------------------------------------------------------------


def test_write_ahead_logging(sqlite: Database, folder: Path, write: Write) -> None:
    write({"001_wal.sql": "PRAGMA journal_mode = WAL;", "002_a.sql": "CREATE TABLE t (id integer);"})
    write({"003_b.sql": "INSERT INTO t VALUES (1);\nPRAGMA wal_checkpoint;"})
    engine = sqlite.engine()
    report = Migrator(engine, folder).run()
    assert [step.reason for step in report.results] == ["PRAGMA journal_mode", None, "PRAGMA wal_checkpoint"]
    assert pragma(engine, "journal_mode") == "wal"
    with engine.connect() as reader:  # who reads keeps nobody from writing
        assert reader.scalar(text("SELECT count(*) FROM t")) == 1
        write({"004_c.sql": "INSERT INTO t VALUES (2);"})
        assert Migrator(sqlite.engine(), folder, wait_lock_s=0).run().results[0].outcome is Outcome.APPLIED
        assert reader.scalar(text("SELECT count(*) FROM t")) == 2


def test_only_asking_needs_no_other_mode(sqlite: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "PRAGMA journal_mode;\nPRAGMA synchronous;\nPRAGMA table_info(t);"})
    (script,) = Migrator(sqlite.engine(), folder).plan().scripts
    assert script.mode is Mode.TRANSACTION


def test_a_database_in_memory(folder: Path, write: Write) -> None:
    write({"001_a.sql": f"{OFF}CREATE TEMP TABLE x (id integer);\nCREATE TABLE t (id integer);"})
    write({"002_b.sql": "VACUUM;\nINSERT INTO t VALUES (1);"})
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        migrator = Migrator(connection, folder)
        assert [step.outcome for step in migrator.run().results] == [Outcome.APPLIED] * 2
        assert not connection.in_transaction()
        assert migrator.verify().ok
        assert connection.scalar(text("SELECT count(*) FROM t")) == 1
        connection.rollback()
    assert Migrator(engine, folder).run().results == ()
    engine.dispose()


def test_a_file_that_another_writes(sqlite: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE t (id integer);"})
    path = str(make_url(sqlite.url).database)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # and others may read
    sqlite.url += "?timeout=0"
    with pytest.raises(LockTimeoutError):
        Migrator(sqlite.engine(), folder, wait_lock_s=0).run()
    other.execute("COMMIT")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ConfigError) as caught:
        Migrator(sqlite.engine(), folder).status()
    assert str(caught.value) == (
        "the database refuses: database is locked [SQLITE_BUSY]\n"
        "another process is writing: try again when it has ended"
    )
    other.execute("ROLLBACK")
    other.close()
    assert Migrator(sqlite.engine(), folder).run().results[0].outcome is Outcome.APPLIED


def test_how_long_a_transaction_of_the_file_s_own_waits(sqlite: Database, folder: Path, write: Write) -> None:
    """Its BEGIN waits for other writers, and the runner's patience is not with the file's own."""
    seen = "INSERT INTO seen SELECT timeout FROM pragma_busy_timeout;"
    write({"001_a.sql": f"CREATE TABLE seen (ms integer);\nBEGIN IMMEDIATE;\n{seen}\nCOMMIT;\n{seen}"})
    write({"002_b.sql": f"-- fluxmig: no-transaction\n-- fluxmig: lock-timeout=0\n{seen}"})
    with sqlite.engine().connect() as connection:
        before = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
        connection.rollback()
        Migrator(connection, folder, lock_timeout_s=7.5).run()
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == before
    assert sqlite.rows("SELECT ms FROM seen") == [(7500,), (7500,), (2**31 - 1,)]


def test_a_file_that_may_only_be_read(sqlite: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE t (id integer);"})
    Migrator(sqlite.engine(), folder).run()
    path = make_url(sqlite.url).database
    sqlite.url = f"sqlite:///file:{path}?mode=ro&uri=true"
    assert [status.conditions for status in Migrator(sqlite.engine(), folder).status()] == [()]
    write({"002_b.sql": "CREATE TABLE u (id integer);"})
    failure = failure_of(Migrator(sqlite.engine(), folder))
    assert (failure.message, failure.code, failure.remedy) == (
        "attempt to write a readonly database",
        "SQLITE_READONLY",
        "make the file and its folder writable",
    )


def test_an_encrypted_file(sqlite: Database, folder: Path, write: Write) -> None:
    if find_spec("sqlcipher3") is None:
        pytest.skip("sqlcipher3 is not installed")
    write({"001_a.sql": "CREATE TABLE t (id integer);", "002_b.sql": "CREATE TABLE t (id integer);"})
    sqlite.url = f"sqlite+pysqlcipher://:secret@/{make_url(sqlite.url).database}"
    engine = sqlite.engine()
    results = Migrator(engine, folder).run().results
    assert [step.outcome for step in results] == [Outcome.APPLIED, Outcome.MARKED]
    write({"003_c.sql": "SELECT 1 FRM x"})
    failure = failure_of(Migrator(engine, folder))
    assert (failure.code, failure.column) == ("SQLITE_ERROR", 14)
    other = create_engine(sqlite.url.replace("secret", "wrong"))
    with pytest.raises(ConfigError) as caught:
        Migrator(other, folder).status()
    other.dispose()
    assert str(caught.value) == (
        "the database refuses: file is not a database [SQLITE_NOTADB]\n"
        "is it another file, or encrypted with another passphrase?"
    )
