"""What a person has the ledger say, on every database: the state of both tables after each."""

from __future__ import annotations

import hashlib
import time
from threading import Event as Signal
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.pool import NullPool

from fluxmig import (
    Action,
    Change,
    Condition,
    ConfigError,
    DatabaseConnectionError,
    LedgerError,
    LockTimeoutError,
    MigrationFailedError,
    MigrationFileError,
    Migrator,
    Outcome,
    RollbackError,
)
from fluxmig.dialects import dialect_of
from fluxmig.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from tests.support import Database, Write

CONTAINERS = VERSIONS = False

HEAD = "-- fluxmig: no-transaction\n"
FILES = {
    "001_a.sql": "CREATE TABLE a (id integer);",
    "002_b.sql": "CREATE TABLE b (id integer);",
    "003_c.sql": "CREATE TABLE c (id integer);",
}
HALF_WAY = f"{HEAD}CREATE TABLE p (id integer);\nINSERT INTO p VALUES (1);\nINSERT INTO nowhere VALUES (2);\n"
WHOLE = HALF_WAY.replace("nowhere", "p")
LEDGER = "SELECT migration_name, checksum, execution_time_ms FROM schema_migrations ORDER BY id"
LOG = (
    "SELECT event, migration_name, message, reason FROM schema_migrations_log"
    " WHERE event NOT IN ('applied', 'started', 'progress', 'failed') ORDER BY id"
)


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def ledger(database: Database) -> list[object]:
    return [row[0] for row in database.rows(LEDGER)]


def everything(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables there are."""
    return {
        name: database.rows(f"SELECT * FROM {database.quoted(name)}") for name in sorted(database.tables())
    }


def text_of(database: Database, name: str) -> str | None:
    """The text that the ledger's record stands for, as the log has it."""
    engine = create_engine(database.url, poolclass=NullPool)
    style = dialect_of(engine).table_style
    found = Ledger("schema_migrations", None, current_user=None, client="x", version="0", style=style)
    with engine.begin() as connection:
        kept = found.text(connection, name)
    return None if kept is None else kept.decode()


def conditions(migrator: Migrator) -> dict[str, tuple[Condition, ...]]:
    return {status.name: status.conditions for status in migrator.status()}


@pytest.fixture
def migrator(database: Database, folder: Path, write: Write) -> Migrator:
    """Three files, and nothing in the database."""
    write(FILES)
    return Migrator(database.engine(), folder)


# --- mark -------------------------------------------------------------------------------------------------


def test_mark_records_without_running(database: Database, migrator: Migrator) -> None:
    mending = migrator.mark("003_c", "1", reason="they were there")
    assert [(change.name, change.action) for change in mending.changes] == [
        ("001_a.sql", Action.MARK),
        ("003_c.sql", Action.MARK),
    ]
    assert mending.findings == ()
    assert database.rows(LEDGER) == [
        ("001_a.sql", digest(FILES["001_a.sql"]), None),
        ("003_c.sql", digest(FILES["003_c.sql"]), None),
    ]
    assert database.rows(LOG) == [
        ("marked by hand", "001_a.sql", None, "they were there"),
        ("marked by hand", "003_c.sql", None, "they were there"),
    ]
    assert database.tables() == {"schema_migrations", "schema_migrations_log"}
    assert text_of(database, "001_a.sql") == FILES["001_a.sql"]
    assert conditions(migrator) == {
        "001_a.sql": (Condition.MARKED,),
        "002_b.sql": (Condition.OUT_OF_ORDER,),
        "003_c.sql": (Condition.MARKED,),
    }
    assert migrator.verify().ok
    assert [step.name for step in migrator.run().results] == ["002_b.sql"]
    columns = "applied_at, applied_by"
    assert all(None not in row for row in database.rows(f"SELECT {columns} FROM schema_migrations"))
    user, client, version, checksum = database.rows(
        "SELECT database_user, client, fluxmig_version, checksum FROM schema_migrations_log ORDER BY id"
    )[0]
    assert (user, checksum) == (
        database.scalar("SELECT applied_by FROM schema_migrations ORDER BY id"),
        digest(FILES["001_a.sql"]),
    )
    assert client
    assert version


def test_mark_through_and_all(database: Database, migrator: Migrator) -> None:
    migrator.mark(through="2")
    assert ledger(database) == ["001_a.sql", "002_b.sql"]
    before = everything(database)
    assert migrator.mark(through="1").changes == ()
    assert everything(database) == before
    migrator.mark(all_pending=True)
    assert ledger(database) == list(FILES)
    before = everything(database)
    assert migrator.mark(all_pending=True).changes == ()
    assert everything(database) == before
    assert database.tables() == {"schema_migrations", "schema_migrations_log"}


def test_no_kept_text_is_read_to_look_again(sqlite: Database, folder: Path, write: Write) -> None:
    write(FILES)
    engine = sqlite.engine()
    migrator = Migrator(engine, folder)
    migrator.run(steps=2)
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    migrator.mark("3")
    assert ledger(sqlite) == list(FILES)
    assert [text for text in asked if text.startswith("SELECT") and "log.source" in text] == []


def test_nothing_to_mark_creates_nothing(database: Database, folder: Path) -> None:
    assert Migrator(database.engine(), folder).mark(all_pending=True).changes == ()
    assert database.tables() == set()


def test_a_file_that_cannot_be_split_may_be_marked(
    database: Database, migrator: Migrator, write: Write
) -> None:
    write({"002_b.sql": "SELECT 'and never closed"})
    migrator.mark("2")
    assert database.rows(LEDGER) == [("002_b.sql", digest("SELECT 'and never closed"), None)]


def test_a_file_that_cannot_be_read_stops_it(database: Database, migrator: Migrator, write: Write) -> None:
    write({"003_c.sql": b"\xff"})
    with pytest.raises(MigrationFileError):
        migrator.mark("1")
    assert database.tables() == set()


def test_a_failed_one_may_be_marked(database: Database, migrator: Migrator, write: Write) -> None:
    write({"001_a.sql": "SELEKT 1;"})
    with pytest.raises(MigrationFailedError):
        migrator.run()
    migrator.mark("1")
    assert ledger(database) == ["001_a.sql"]
    assert conditions(migrator)["001_a.sql"] == (Condition.MARKED,)
    assert migrator.verify().ok


def test_what_is_applied_is_not_marked_and_nothing_else_either(
    database: Database, migrator: Migrator
) -> None:
    migrator.run(only="2")
    before = everything(database)
    with pytest.raises(LedgerError, match=r"^002_b\.sql is applied already, since \d{4}-") as caught:
        migrator.mark("1", "2", "3")
    assert caught.value.names == ("002_b.sql",)
    assert everything(database) == before


def test_a_dry_run_writes_nothing_and_what_it_gives_can_be_made(
    database: Database, migrator: Migrator
) -> None:
    planned = migrator.mark(all_pending=True, dry_run=True)
    assert [change.name for change in planned.changes] == list(FILES)
    assert database.tables() == set()
    made = migrator.mend(planned.changes[:2], reason="these two")
    assert made.changes == planned.changes[:2]
    assert ledger(database) == ["001_a.sql", "002_b.sql"]


def test_what_was_planned_is_written_whatever_became_of_the_file(
    database: Database, migrator: Migrator, write: Write
) -> None:
    planned = migrator.mark("1", dry_run=True)
    write({"001_a.sql": "SELECT 2;"})
    migrator.mend(planned.changes)
    assert database.rows(LEDGER) == [("001_a.sql", digest(FILES["001_a.sql"]), None)]
    assert conditions(migrator)["001_a.sql"] == (Condition.MARKED, Condition.MODIFIED)


@pytest.mark.parametrize("reason", ["a\0b", "\udcff"])
def test_a_reason_that_cannot_be_kept_is_refused_before_anything(
    database: Database, migrator: Migrator, reason: str
) -> None:
    refused = r"^the reason is not UTF-8, or holds a NUL\n"
    for dry_run in (True, False):
        with pytest.raises(ConfigError, match=refused):
            migrator.mark("1", reason=reason, dry_run=dry_run)
    with pytest.raises(ConfigError, match=refused):
        migrator.mend((), reason=reason)
    assert database.tables() == set()


def test_a_reason_may_be_long_and_hold_anything(database: Database, migrator: Migrator) -> None:
    reason = "größer :name %s %(x)s \\ ' \n\x1b[31m" * 5000
    migrator.mark("1", reason=reason)
    assert database.scalar("SELECT reason FROM schema_migrations_log") == reason
    assert [entry.reason for entry in migrator.log()] == [reason]


# --- unmark -----------------------------------------------------------------------------------------------


def test_unmark_removes_the_record_alone(database: Database, migrator: Migrator, folder: Path) -> None:
    migrator.run()
    migrator.unmark("2")
    migrator.mark("2")
    (folder / "003_c.sql").unlink()
    migrator.unmark("1", "2", "003_c.sql", "001_a", reason="wrong database")
    assert ledger(database) == []
    assert {"a", "b", "c"} <= database.tables()
    assert database.rows(LOG) == [
        ("unrecorded", "002_b.sql", None, None),
        ("marked by hand", "002_b.sql", None, None),
        ("unrecorded", "001_a.sql", None, "wrong database"),
        ("unrecorded", "002_b.sql", None, "wrong database"),
        ("unrecorded", "003_c.sql", None, "wrong database"),
    ]
    assert conditions(migrator) == {"001_a.sql": (), "002_b.sql": ()}


def test_what_was_unmarked_runs_again(database: Database, migrator: Migrator) -> None:
    migrator.mark(all_pending=True)
    migrator.unmark("2")
    assert [step.name for step in migrator.run().results] == ["002_b.sql"]
    assert "b" in database.tables()


# --- accept -----------------------------------------------------------------------------------------------


def test_accept_stores_the_checksum_and_nothing_else(
    database: Database, migrator: Migrator, write: Write
) -> None:
    migrator.run()
    columns = "SELECT id, migration_name, applied_at, execution_time_ms, applied_by FROM schema_migrations"
    before = database.rows(f"{columns} ORDER BY id")
    write({"002_b.sql": "-- a comment\n" + FILES["002_b.sql"]})
    assert conditions(migrator)["002_b.sql"] == (Condition.MODIFIED,)
    (change,) = migrator.accept("002_b", reason="only a comment").changes
    assert (change.action, change.name) == (Action.ACCEPT, "002_b.sql")
    assert database.rows(f"{columns} ORDER BY id") == before
    edited = digest("-- a comment\n" + FILES["002_b.sql"])
    assert [row[1] for row in database.rows(LEDGER)] == [
        digest(FILES["001_a.sql"]),
        edited,
        digest(FILES["003_c.sql"]),
    ]
    assert database.rows(LOG) == [("accepted", "002_b.sql", None, "only a comment")]
    assert database.scalar("SELECT checksum FROM schema_migrations_log WHERE event = 'accepted'") == edited
    assert text_of(database, "002_b.sql") == "-- a comment\n" + FILES["002_b.sql"]
    assert conditions(migrator)["002_b.sql"] == ()
    with pytest.raises(LedgerError, match=r"^002_b\.sql is unchanged since it was applied$"):
        migrator.accept("2")


def test_accept_gives_rows_of_the_node_runner_all_digits(
    database: Database, migrator: Migrator, write: Write
) -> None:
    migrator.run()
    database.rows("UPDATE schema_migrations SET checksum = substr(checksum, 1, 16) WHERE id = 1")
    database.rows("UPDATE schema_migrations SET checksum = NULL WHERE id = 2")
    with pytest.raises(LedgerError, match=r"^001_a\.sql is unchanged since it was applied$"):
        migrator.accept("1")
    write({"001_a.sql": "SELECT 1;"})
    migrator.accept("1", "2")
    assert [row[1] for row in database.rows(LEDGER)][:2] == [digest("SELECT 1;"), digest(FILES["002_b.sql"])]


def test_accept_does_not_settle_a_marked_one(database: Database, migrator: Migrator, write: Write) -> None:
    database.rows("CREATE TABLE a (id integer)")
    migrator.run()
    write({"001_a.sql": FILES["001_a.sql"] + "\nCREATE TABLE lost (id integer);"})
    migrator.accept("1")
    assert conditions(migrator)["001_a.sql"] == (Condition.MARKED,)


# --- resolve ----------------------------------------------------------------------------------------------


@pytest.fixture
def half_way(database: Database, folder: Path, write: Write) -> Migrator:
    """A script that has failed at its third statement of three."""
    write({"001_p.sql": HALF_WAY})
    migrator = Migrator(database.engine(), folder)
    with pytest.raises(MigrationFailedError):
        migrator.run()
    assert conditions(migrator) == {"001_p.sql": (Condition.FAILED, Condition.PARTIAL)}
    return migrator


def test_a_partial_one_is_done(database: Database, half_way: Migrator) -> None:
    (change,) = half_way.resolve("1", settlement="done", reason="the rest by hand").changes
    assert change.action is Action.RECORD
    assert database.rows(LEDGER) == [("001_p.sql", digest(HALF_WAY), None)]
    assert database.rows(LOG) == [("resolved", "001_p.sql", "as done", "the rest by hand")]
    assert text_of(database, "001_p.sql") == HALF_WAY
    assert database.scalar("SELECT count(*) FROM p") == 1
    assert conditions(half_way) == {"001_p.sql": ()}
    assert half_way.verify().ok
    assert half_way.run().results == ()


def test_a_partial_one_begins_again(database: Database, half_way: Migrator, write: Write) -> None:
    (change,) = half_way.resolve("1", settlement="retry").changes
    assert change.action is Action.RETRY
    assert ledger(database) == []
    assert database.rows(LOG) == [("resolved", "001_p.sql", "to be run again", None)]
    (status,) = half_way.status()
    assert (status.conditions, status.progress) == ((), None)
    database.rows("DROP TABLE p")
    write({"001_p.sql": WHOLE})
    (step,) = half_way.run().results
    assert (step.outcome, step.resumed_at) == (Outcome.APPLIED, 1)
    assert database.scalar("SELECT count(*) FROM p") == 2


def test_after_a_retry_what_is_there_is_a_duplicate_like_any_other(
    database: Database, half_way: Migrator, write: Write
) -> None:
    """It was said that the attempt does not count; so what it left is what was there before."""
    half_way.resolve("1", settlement="retry")
    write({"001_p.sql": WHOLE})
    (step,) = half_way.run().results
    assert (step.outcome, len(step.lost)) == (Outcome.MARKED, 2)
    assert database.scalar("SELECT count(*) FROM p") == 1


def test_a_failed_one_is_done(database: Database, migrator: Migrator, write: Write) -> None:
    write({"001_a.sql": "SELEKT 1;"})
    with pytest.raises(MigrationFailedError):
        migrator.run()
    migrator.resolve("1", settlement="done")
    assert database.rows(LEDGER) == [("001_a.sql", digest("SELEKT 1;"), None)]
    assert conditions(migrator)["001_a.sql"] == ()
    assert [step.name for step in migrator.run().results] == ["002_b.sql", "003_c.sql"]


def test_a_failed_one_is_failed_no_longer(database: Database, migrator: Migrator, write: Write) -> None:
    write({"001_a.sql": "SELEKT 1;"})
    with pytest.raises(MigrationFailedError):
        migrator.run()
    assert not migrator.verify().ok
    migrator.resolve("1", settlement="retry")
    assert conditions(migrator)["001_a.sql"] == ()
    assert migrator.verify().ok
    assert ledger(database) == []
    with pytest.raises(LedgerError, match=r"^001_a\.sql is pending, and no attempt at it has failed\n"):
        migrator.resolve("1", settlement="retry")


@pytest.fixture
def marked(database: Database, migrator: Migrator, write: Write) -> Migrator:
    """The first of three is marked for a duplicate, and a table of it was lost."""
    database.rows("CREATE TABLE a (id integer)")
    write({"001_a.sql": FILES["001_a.sql"] + "\nCREATE TABLE lost (id integer);"})
    migrator.run()
    assert conditions(migrator)["001_a.sql"] == (Condition.MARKED,)
    assert [finding.kind for finding in migrator.verify().findings] == ["marked"]
    return migrator


def test_a_marked_one_is_settled(database: Database, marked: Migrator) -> None:
    before, kept = database.rows("SELECT * FROM schema_migrations"), text_of(database, "001_a.sql")
    (change,) = marked.resolve("1", settlement="done", reason="004 makes it").changes
    assert change.action is Action.SETTLE
    assert database.rows("SELECT * FROM schema_migrations") == before
    assert database.rows(LOG)[1:] == [("resolved", "001_a.sql", "as done", "004 makes it")]
    assert conditions(marked)["001_a.sql"] == ()
    assert marked.verify().ok
    assert text_of(database, "001_a.sql") == kept
    assert kept is not None
    with pytest.raises(LedgerError, match=r"nothing of it is to be settled$"):
        marked.resolve("1", settlement="done")


def test_a_marked_one_is_run_again(database: Database, marked: Migrator) -> None:
    (change,) = marked.resolve("1", settlement="retry").changes
    assert change.action is Action.RERUN
    assert ledger(database) == ["002_b.sql", "003_c.sql"]
    assert database.rows(LOG)[1:] == [("resolved", "001_a.sql", "to be run again", None)]
    database.rows("DROP TABLE a")
    assert [step.outcome for step in marked.run().results] == [Outcome.APPLIED]
    assert "lost" in database.tables()


DOWN = f"{HEAD}DROP TABLE b;\nDROP TABLE nowhere;\n"


@pytest.fixture
def half_down(database: Database, folder: Path, write: Write) -> Migrator:
    """A down script that has failed at its second statement."""
    write({"001_a.sql": "CREATE TABLE a (id integer);\nCREATE TABLE b (id integer);", "001_a.down.sql": DOWN})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    with pytest.raises(RollbackError):
        migrator.rollback()
    (status,) = migrator.status()
    assert status.down_progress is not None
    assert status.down_progress.done == 1
    return migrator


def test_a_down_script_that_stopped_half_way_begins_again(
    database: Database, half_down: Migrator, write: Write
) -> None:
    (finding,) = half_down.verify().findings
    assert finding.message == (
        "the down script of 001_a.sql stopped half-way, or is under way: 1 of its statements is known to be"
        " done"
    )
    (change,) = half_down.resolve("1", settlement="retry").changes
    assert change.action is Action.RETRY_DOWN
    assert ledger(database) == ["001_a.sql"]
    assert database.rows(LOG) == [("resolved", "001_a.down.sql", "to be run again", None)]
    assert [finding.message for finding in half_down.verify().findings] == [
        "001_a.sql is recorded as applied, but table b (line 2) is not there"
    ]
    database.rows("CREATE TABLE b (id integer)")
    assert half_down.verify().ok
    write({"001_a.down.sql": f"{HEAD}DROP TABLE a;\nDROP TABLE b;\n"})
    assert [result.reversed for result in half_down.rollback().results] == [True]
    assert database.tables() == {"schema_migrations", "schema_migrations_log"}


def test_a_changed_down_script_names_the_way_out(half_down: Migrator, write: Write) -> None:
    write({"001_a.down.sql": f"{HEAD}DROP TABLE a;\n"})
    with pytest.raises(LedgerError) as caught:
        half_down.rollback()
    assert caught.value.remedy == (
        "put the old text back, and change only what comes after; or `fluxmig resolve 001_a.sql --retry` has"
        " the next rollback begin with statement 1, once what they did is undone; `fluxmig rollback"
        " --record-only` removes the record, once all is"
    )


def test_a_mark_survives_its_down_scripts_retry(database: Database, marked: Migrator, write: Write) -> None:
    database.rows("CREATE TABLE lost (id integer)")
    marked.unmark("2", "3")
    write({"001_a.down.sql": f"{HEAD}DROP TABLE lost;\nDROP TABLE nowhere;\n"})
    with pytest.raises(RollbackError):
        marked.rollback()
    with pytest.raises(LedgerError, match=r"; its down script stopped half-way: 1 of its statements is done"):
        marked.resolve("1", settlement="done")
    marked.resolve("1", settlement="retry")
    assert conditions(marked)["001_a.sql"] == (Condition.MARKED,)
    marked.resolve("1", settlement="done")
    assert conditions(marked)["001_a.sql"] == ()


def test_after_unmark_a_half_way_down_script_counts_no_more(database: Database, half_down: Migrator) -> None:
    half_down.unmark("1")
    database.rows("DROP TABLE a")
    half_down.run()
    assert half_down.status()[0].down_progress is None


def test_a_change_of_the_callers_own_making(database: Database, migrator: Migrator, folder: Path) -> None:
    migrator.run()
    (folder / "002_b.sql").unlink()
    statuses = {status.name: status for status in migrator.status()}
    before = everything(database)
    changes = [Change(Action.UNMARK, statuses["001_a.sql"]), Change(Action.ACCEPT, statuses["002_b.sql"])]
    with pytest.raises(LedgerError, match=r"^002_b\.sql is not in the folder$"):
        migrator.mend(changes)
    assert everything(database) == before


# --- rename -----------------------------------------------------------------------------------------------


def test_rename(database: Database, migrator: Migrator, folder: Path) -> None:
    migrator.run()
    columns = "SELECT id, applied_at, execution_time_ms, checksum, applied_by FROM schema_migrations"
    before = database.rows(f"{columns} ORDER BY id")
    (folder / "002_b.sql").rename(folder / "007_better.sql")
    assert conditions(migrator)["002_b.sql"] == (Condition.MISSING,)
    migrator.rename("002_b", "7", reason="a better name")
    assert ledger(database) == ["001_a.sql", "007_better.sql", "003_c.sql"]
    assert database.rows(f"{columns} ORDER BY id") == before
    assert database.rows(LOG) == [
        ("renamed", "002_b.sql", "to 007_better.sql", "a better name"),
        ("renamed", "007_better.sql", "from 002_b.sql", "a better name"),
    ]
    assert text_of(database, "007_better.sql") == FILES["002_b.sql"]
    assert conditions(migrator) == {"001_a.sql": (), "003_c.sql": (), "007_better.sql": ()}
    assert migrator.run().results == ()


def test_rename_by_a_checksum_of_16_digits(database: Database, migrator: Migrator, folder: Path) -> None:
    migrator.run()
    database.rows("UPDATE schema_migrations SET checksum = substr(checksum, 1, 16)")
    (folder / "002_b.sql").rename(folder / "002_bb.sql")
    migrator.rename("002_b", "002_bb")
    assert database.rows(LEDGER)[1][:2] == ("002_bb.sql", digest(FILES["002_b.sql"])[:16])


def test_rename_carries_a_mark_over(database: Database, marked: Migrator, folder: Path) -> None:
    (before,) = [status.last_event for status in marked.status() if status.name == "001_a.sql"]
    (folder / "001_a.sql").rename(folder / "001_z.sql")
    marked.rename("001_a", "001_z", reason="tidy")
    after = marked.status()[0]
    assert (after.name, after.conditions) == ("001_z.sql", (Condition.MARKED,))
    assert before is not None
    assert after.last_event is not None
    kept = ("event", "message", "error_code", "statement_number", "line", "statements", "lost", "unchecked")
    assert [getattr(after.last_event, name) for name in kept] == [getattr(before, name) for name in kept]
    assert after.last_event.statements == 2
    assert [finding.kind for finding in marked.verify().findings] == ["marked"]
    marked.resolve("001_z", settlement="done")
    assert marked.verify().ok


@pytest.mark.parametrize("settled", [True, False])
def test_rename_carries_over_what_is_marked_by_hand(
    migrator: Migrator,
    folder: Path,
    settled: bool,  # noqa: FBT001
) -> None:
    if settled:
        migrator.run()
    else:
        migrator.mark(all_pending=True, reason="restored")
    (folder / "001_a.sql").rename(folder / "001_z.sql")
    migrator.rename("001_a", "001_z")
    assert conditions(migrator)["001_z.sql"] == (() if settled else (Condition.MARKED,))
    assert migrator.log("001_z")[-1].reason == (None if settled else "restored")


def test_rename_refuses_another_file(
    database: Database, migrator: Migrator, folder: Path, write: Write
) -> None:
    migrator.run()
    before = everything(database)
    (folder / "002_b.sql").unlink()
    write({"004_d.sql": "SELECT 4;"})
    with pytest.raises(LedgerError, match=r"^004_d\.sql is not what was applied as 002_b\.sql: "):
        migrator.rename("002_b", "4")
    assert everything(database) == before


# --- binds ------------------------------------------------------------------------------------------------


def all_of_them(migrator: Migrator, write: Write, folder: Path) -> None:
    migrator.mark("1", "2", "3")
    write({"001_a.sql": "SELECT 1;"})
    migrator.accept("1")
    (folder / "002_b.sql").rename(folder / "002_z.sql")
    migrator.rename("002_b", "002_z")
    migrator.unmark("3")


def test_on_a_connection_outside_a_transaction(database: Database, folder: Path, write: Write) -> None:
    write(FILES)
    with database.engine().connect() as connection:
        all_of_them(Migrator(connection, folder), write, folder)
        assert not connection.in_transaction()
    assert ledger(database) == ["001_a.sql", "002_z.sql"]


@pytest.mark.savepoints
@pytest.mark.transactional_ddl
@pytest.mark.parametrize("commits", [True, False])
def test_inside_a_transaction_the_caller_decides(
    database: Database,
    folder: Path,
    write: Write,
    commits: bool,  # noqa: FBT001
) -> None:
    write(FILES)
    with database.engine().connect() as connection, connection.begin() as transaction:
        migrator = Migrator(connection, folder)
        all_of_them(migrator, write, folder)
        with pytest.raises(LedgerError):
            migrator.unmark("3")
        connection.execute(text("CREATE TABLE mine (id integer)"))
        if not commits:
            transaction.rollback()
    if commits:
        assert ledger(database) == ["001_a.sql", "002_z.sql"]
    else:
        assert "schema_migrations" not in database.tables()


# --- a ledger and a log of any kind -----------------------------------------------------------------------


@pytest.fixture
def without_log(database: Database, folder: Path, write: Write) -> Migrator:
    """A ledger whose log cannot be made: something else has its name."""
    write(FILES)
    database.rows("CREATE VIEW schema_migrations_log AS SELECT 1 AS one")
    return Migrator(database.engine(), folder)


def test_without_a_log_the_ledger_is_written_and_that_is_said(
    database: Database, without_log: Migrator, write: Write, folder: Path
) -> None:
    mending = without_log.mark("1", "2", "3")
    (finding,) = mending.findings
    assert finding.kind == "log"
    assert "schema_migrations_log cannot be made, so no events are kept: " in finding.message
    write({"001_a.sql": "SELECT 1;"})
    without_log.accept("1")
    (folder / "002_b.sql").rename(folder / "002_z.sql")
    without_log.rename("002_b", "002_z")
    without_log.unmark("3")
    assert [row[:2] for row in database.rows(LEDGER)] == [
        ("001_a.sql", digest("SELECT 1;")),
        ("002_z.sql", digest(FILES["002_b.sql"])),
    ]


def test_a_log_of_an_earlier_version_gets_its_columns(database: Database, migrator: Migrator) -> None:
    migrator.run(only="1")
    database.age_log()
    migrator.unmark("1", reason="why not")
    assert database.rows(LOG) == [("unrecorded", "001_a.sql", None, "why not")]


def login(database: Database, privileges: str) -> Engine:
    """A role that may log in and do this with the two tables."""
    role = f"clerk_{make_url(database.url).database}"
    database.rows(f"CREATE ROLE {role} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    for grant in filter(None, privileges.split(";")):
        database.rows(f"GRANT {grant} TO {role}")
    return create_engine(make_url(database.url).set(username=role), poolclass=NullPool)


@pytest.fixture
def clerk(postgresql: Database, folder: Path, write: Write) -> Any:
    """Makes a Migrator for a login that may do less."""
    write({**FILES, "004_p.sql": HALF_WAY.replace(" p ", " p4 ")})
    with pytest.raises(MigrationFailedError):
        Migrator(postgresql.engine(), folder).run()
    engines: list[Engine] = []

    def make(privileges: str) -> Migrator:
        engines.append(login(postgresql, privileges))
        return Migrator(engines[-1], folder)

    yield make
    role = f"clerk_{make_url(postgresql.url).database}"
    postgresql.rows(f"DROP OWNED BY {role}; DROP ROLE {role}")


READS = "SELECT ON schema_migrations, schema_migrations_log"
LOGS = f"{READS};INSERT ON schema_migrations_log;USAGE ON SEQUENCE schema_migrations_log_id_seq"


@pytest.mark.parametrize(
    ("privileges", "act"),
    [
        (READS, lambda migrator: migrator.unmark("1")),
        (LOGS, lambda migrator: migrator.unmark("1")),
        (LOGS, lambda migrator: migrator.resolve("4", settlement="done")),
        (f"{LOGS};INSERT, DELETE ON schema_migrations", lambda migrator: migrator.accept("1")),
    ],
)
def test_a_login_without_privileges(
    postgresql: Database,
    clerk: Callable[[str], Migrator],
    write: Write,
    privileges: str,
    act: Callable[[Migrator], object],
) -> None:
    migrator = clerk(privileges)
    write({"001_a.sql": "SELECT 1;"})
    before = everything(postgresql)
    with pytest.raises(ConfigError) as caught:
        act(migrator)
    assert str(caught.value) == (
        "the database refuses: permission denied for table schema_migrations [42501]\n"
        "`fluxmig verify` lists the privileges that a run needs; accept and rename need UPDATE, too"
    )
    assert everything(postgresql) == before


def test_a_login_that_may_write_the_ledger_and_not_the_log(
    postgresql: Database, clerk: Callable[[str], Migrator]
) -> None:
    migrator = clerk(f"{READS};INSERT, DELETE, UPDATE ON schema_migrations")
    before = everything(postgresql)
    with pytest.raises(LedgerError) as caught:
        migrator.resolve("4", settlement="retry")
    assert caught.value.message == (
        "public.schema_migrations_log cannot be made, so no events are kept: permission denied for table"
        " schema_migrations_log; and it alone could keep that 004_p.sql is settled"
    )
    assert caught.value.names == ("004_p.sql",)
    assert everything(postgresql) == before
    (finding,) = migrator.unmark("1", "2").findings
    assert finding.kind == "log"
    assert ledger(postgresql) == ["003_c.sql"]
    assert everything(postgresql)["schema_migrations_log"] == before["schema_migrations_log"]


# --- others at the same time ------------------------------------------------------------------------------


def test_a_record_that_appears_between_plan_and_write(
    database: Database, migrator: Migrator, folder: Path
) -> None:
    planned = migrator.mark(all_pending=True, dry_run=True)
    Migrator(database.engine(), folder).run(only="2")
    before = everything(database)
    with pytest.raises(LedgerError) as caught:
        migrator.mend(planned.changes)
    assert caught.value.message.startswith("meanwhile somebody was faster: 002_b.sql is applied, since ")
    assert caught.value.remedy == "nothing was changed; `fluxmig status` shows how things stand"
    assert caught.value.names == ("002_b.sql",)
    assert everything(database) == before


def test_a_record_that_goes_between_plan_and_write(
    database: Database, migrator: Migrator, folder: Path, write: Write
) -> None:
    migrator.run()
    write({"002_b.sql": "SELECT 2;"})
    accepting = migrator.accept("2", dry_run=True)
    removing = migrator.unmark("1", "2", dry_run=True)
    Migrator(database.engine(), folder).unmark("2")
    before = everything(database)
    for planned in (accepting, removing):
        with pytest.raises(LedgerError, match=r"^meanwhile somebody was faster: 002_b\.sql is pending\n"):
            migrator.mend(planned.changes)
    assert everything(database) == before


def test_an_attempt_that_goes_on_between_plan_and_write(
    database: Database, half_way: Migrator, folder: Path, write: Write
) -> None:
    planned = half_way.resolve("1", settlement="done", dry_run=True)
    write({"001_p.sql": WHOLE.replace("INSERT INTO p VALUES (2)", "INSERT INTO p VALUES (2);SELEKT")})
    with pytest.raises(MigrationFailedError):
        Migrator(database.engine(), folder).run()
    before = everything(database)
    with pytest.raises(
        LedgerError, match=r"^meanwhile somebody was faster: 001_p\.sql is partial: 3 of its "
    ):
        half_way.mend(planned.changes)
    assert everything(database) == before


def test_the_runners_lock_is_waited_for(postgresql: Database, folder: Path, write: Write) -> None:
    """A run is at work on what is about to be marked; when it is done, that is what is told."""
    write({"001_a.sql": "SELECT pg_advisory_xact_lock(7, 7); CREATE TABLE a (id integer);"})
    planner = Migrator(postgresql.engine(), folder)
    planned = planner.mark("1", dry_run=True)
    at_work = Signal()
    runner = Thread(
        target=lambda: Migrator(postgresql.engine(), folder).run(on_start=lambda _: at_work.set())
    )
    caught: list[Exception] = []

    def mend() -> None:
        try:
            planner.mend(planned.changes)
        except LedgerError as error:
            caught.append(error)

    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = 7"
    with create_engine(postgresql.url, poolclass=NullPool).begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(7, 7)"))
        runner.start()
        assert at_work.wait(60)
        deadline = time.monotonic() + 60
        while not postgresql.scalar(waiting):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with pytest.raises(LockTimeoutError):
            Migrator(postgresql.engine(), folder, wait_lock_s=0).mend(planned.changes)
        mender = Thread(target=mend)
        mender.start()
    runner.join(60)
    mender.join(60)
    (error,) = caught
    assert str(error).startswith("meanwhile somebody was faster: 001_a.sql is applied, since ")
    assert ledger(postgresql) == ["001_a.sql"]


def test_two_who_mark_at_once(database: Database, folder: Path, write: Write) -> None:
    write(FILES)
    Migrator(database.engine(), folder).mark("1")
    planned = [Migrator(database.engine(), folder) for _ in range(4)]
    changes = [each.mark("2", "3", dry_run=True).changes for each in planned]
    refused: list[Exception] = []

    def mend(number: int) -> None:
        try:
            planned[number].mend(changes[number])
        except LedgerError as error:
            refused.append(error)

    threads = [Thread(target=mend, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(refused) == 3
    assert ledger(database) == list(FILES)
    assert len(database.rows(LOG)) == 3


def at(engine: Engine, words: str, act: Callable[[Connection], None]) -> None:
    """Has `act` called before the first statement that begins with these words."""
    calls = iter([act])

    @event.listens_for(engine, "before_cursor_execute")
    def before(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.replace('"', "").startswith(words) and (todo := next(calls, None)):
            todo(connection)


def test_a_tool_that_takes_no_lock(postgresql: Database, folder: Path, write: Write) -> None:
    """The Node runner records the file between our look and our row."""
    write(FILES)
    Migrator(postgresql.engine(), folder).mark("1")
    engine = postgresql.engine()

    def record(_: Connection) -> None:
        postgresql.rows("INSERT INTO schema_migrations (migration_name) VALUES ('003_c.sql')")

    at(engine, "INSERT INTO public.schema_migrations (", record)
    with pytest.raises(LedgerError) as caught:
        Migrator(engine, folder).mark("2", "3")
    assert caught.value.message.startswith("meanwhile somebody was faster: 003_c.sql is applied, since ")
    assert ledger(postgresql) == ["001_a.sql", "003_c.sql"]
    assert postgresql.scalar("SELECT count(*) FROM schema_migrations_log") == 1


@pytest.mark.parametrize(
    "words",
    [
        "INSERT INTO public.schema_migrations (",
        "INSERT INTO public.schema_migrations_log (",
    ],
)
def test_a_lost_connection_leaves_nothing(
    postgresql: Database, folder: Path, write: Write, words: str
) -> None:
    write(FILES)
    Migrator(postgresql.engine(), folder).mark("1")
    before = everything(postgresql)
    engine = postgresql.engine()

    def end(connection: Connection) -> None:
        pid = connection.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
        postgresql.rows(f"SELECT pg_terminate_backend({pid}, 60000)")

    planned = Migrator(engine, folder).mark("2", "3", dry_run=True)
    at(engine, words, end)
    with pytest.raises(DatabaseConnectionError, match=r"^the connection was lost: "):
        Migrator(engine, folder).mend(planned.changes)
    assert everything(postgresql) == before
    assert [change.name for change in Migrator(engine, folder).mend(planned.changes).changes] == [
        "002_b.sql",
        "003_c.sql",
    ]
    assert ledger(postgresql) == list(FILES)


def test_a_connection_that_is_lost_at_the_commit(postgresql: Database, folder: Path, write: Write) -> None:
    write(FILES)
    Migrator(postgresql.engine(), folder).mark("1")
    postgresql.rows(
        """
        CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN new; END $$;
        CREATE CONSTRAINT TRIGGER t AFTER INSERT ON schema_migrations_log DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW WHEN (NEW.migration_name = '002_b.sql') EXECUTE FUNCTION die();
        """
    )
    with pytest.raises(DatabaseConnectionError) as caught:
        Migrator(postgresql.engine(), folder).mark("2")
    assert caught.value.message.startswith("the connection was lost at the commit: ")
    assert caught.value.remedy == "`fluxmig status` tells whether the change was made: all of it, or nothing"
    assert ledger(postgresql) == ["001_a.sql"]


def test_a_row_that_is_there_twice(database: Database, migrator: Migrator, write: Write) -> None:
    """A table of another make may have no unique names."""
    migrator.run()
    database.rows("CREATE TABLE copy AS SELECT * FROM schema_migrations")
    database.rows("DROP TABLE schema_migrations")
    database.rows("ALTER TABLE copy RENAME TO schema_migrations")
    database.rows("INSERT INTO schema_migrations SELECT * FROM schema_migrations WHERE id = 2")
    write({"002_b.sql": "SELECT 2;"})
    before = everything(database)
    for act in (migrator.accept, migrator.unmark):
        with pytest.raises(
            LedgerError, match=r"schema_migrations: 2 rows were written for 002_b\.sql, and not 1$"
        ):
            act("1" if act == migrator.unmark else "2", "2")
    assert everything(database) == before
