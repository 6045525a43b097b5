"""Scripts without a transaction: progress, going on behind it, starting over, and what the log says."""

from __future__ import annotations

import getpass
import hashlib
import itertools
import re
import shlex
import socket
import sqlite3
from contextlib import closing, nullcontext
from threading import Event, Thread
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.pool import NullPool

import fluxmig
from fluxmig import (
    Condition,
    ConfigError,
    Failure,
    LedgerError,
    LockTimeoutError,
    MigrationFailedError,
    Migrator,
    Mode,
    Outcome,
    RollbackError,
    StepResult,
)
from fluxmig.embedded import start_embedded
from tests.support import FAST, Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support import Servers, Write

CONTAINERS = False

HEAD = "-- fluxmig: no-transaction\n"
LOG = "SELECT event, statement_number FROM schema_migrations_log WHERE migration_name = '{}' ORDER BY id"
ROWS = "SELECT id FROM t ORDER BY id"
NEXT_IS_4 = (
    "The next run goes on with statement 4; `fluxmig run --restart 001_a.sql` begins with statement 1."
)


def three_of_seven(database: Database, why: str = "no transaction, since the file says so") -> str:
    """That three statements stay done, without what follows from that."""
    if database.is_mysql:
        stays = "statements 1 to 3 are done and cannot be rolled back on"
        return f"Statement 4 of 7 failed; {stays} {database.product}."
    return f"3 of 7 statements are done, and stay so: {why}."


def seven(fourth: str) -> str:
    """Seven statements, the fourth as given."""
    return (
        f"{HEAD}CREATE TABLE t (id integer);\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES (2);\n"
        f"  {fourth};\nINSERT INTO t VALUES (4);\nINSERT INTO t VALUES (5);\nINSERT INTO t VALUES (6);\n"
    )


BAD, GOOD = "INSERT INTO nowhere VALUES (3)", "INSERT INTO t VALUES (3)"


def failure_of(migrator: Migrator, **options: str) -> Failure:
    with pytest.raises(MigrationFailedError) as caught:
        migrator.run(**options)  # type: ignore[arg-type]
    (step,) = caught.value.failures
    assert step.failure is not None
    assert str(caught.value) == str(step.failure)
    return step.failure


def log_of(database: Database, name: str = "001_a.sql") -> list[tuple[object, ...]]:
    return database.rows(LOG.format(name))


def digest(*statements: str) -> str:
    """As the log keeps it: each statement behind its length, and then the length of its rows: none."""
    found = hashlib.sha256()
    for statement in statements:
        found.update(len(statement).to_bytes(8, "big") + statement.encode() + bytes(8))
    return found.hexdigest()


@pytest.fixture
def half_way(database: Database, folder: Path, write: Write) -> Migrator:
    """A script that has failed at its fourth statement of seven."""
    write({"001_a.sql": seven(BAD)})
    migrator = Migrator(database.engine(), folder)
    failure_of(migrator)
    return migrator


# --- failing, and going on --------------------------------------------------------------------------------


def test_what_is_done_stays_done(database: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": seven(BAD)})
    migrator = Migrator(database.engine(), folder)
    failure = failure_of(migrator)
    assert (failure.done, failure.statements, failure.line) == (3, 7, 5)
    assert failure.remedy == f"{three_of_seven(database)} {NEXT_IS_4}"
    assert str(failure).endswith(f"\n{failure.remedy}")
    assert log_of(database) == [
        ("started", 1),
        ("progress", 1),
        ("progress", 2),
        ("progress", 3),
        ("failed", 4),
    ]
    assert database.rows(ROWS) == [(1,), (2,)]
    assert database.scalar("SELECT count(*) FROM schema_migrations") == 0
    (status,) = migrator.status()
    assert status.conditions == (Condition.FAILED, Condition.PARTIAL)
    assert status.progress is not None
    assert (status.progress.done, status.progress.interrupted) == (3, False)
    (finding,) = migrator.verify().findings
    assert finding.kind == "failed"
    assert finding.message.endswith("; 3 of its statements are done")
    assert finding.remedy == "mend it, and `fluxmig run`, which goes on with statement 4"


def test_the_commands_that_it_names_can_be_pasted_into_a_shell(
    sqlite: Database, folder: Path, write: Write
) -> None:
    name = "001 a's.sql"
    write({name: seven(BAD)})
    migrator = Migrator(sqlite.engine(), folder)
    remedies = [failure_of(migrator).remedy or ""]
    with pytest.raises(LedgerError) as caught:
        migrator.mark(name)
    remedies.append(caught.value.remedy or "")
    write({name: seven(BAD).replace("(1)", "(7)")})
    with pytest.raises(LedgerError) as caught:
        migrator.run()
    remedies.append(caught.value.remedy or "")
    commands = re.findall(r"`(fluxmig .*?)`", "\n".join(remedies))
    assert [shlex.split(command)[1:] for command in commands] == [
        ["run", "--restart", name],
        ["resolve", name, "--done"],
        ["run", "--restart", name],
    ]


def test_the_next_run_goes_on_behind_what_is_done(
    database: Database, half_way: Migrator, write: Write
) -> None:
    commented = seven(GOOD).replace(
        "\nINSERT INTO t VALUES (2)", "\n-- one more\n/* row */ INSERT INTO t VALUES (2)"
    )
    write({"001_a.sql": commented})
    (script,) = half_way.plan().scripts
    assert script.done == 3
    (step,) = half_way.run().results
    assert (step.outcome, step.resumed_at, step.statements) == (Outcome.APPLIED, 4, 7)
    assert database.rows(ROWS) == [(1,), (2,), (3,), (4,), (5,), (6,)]
    assert log_of(database)[5:] == [
        ("started", 4),
        ("progress", 4),
        ("progress", 5),
        ("progress", 6),
        ("progress", 7),
        ("applied", None),
    ]
    (status,) = half_way.status()
    assert (status.conditions, status.progress) == ((), None)


def test_a_second_failure_keeps_what_both_have_done(
    database: Database, half_way: Migrator, write: Write
) -> None:
    write({"001_a.sql": seven(GOOD).replace("t VALUES (6)", "nowhere VALUES (6)")})
    failure = failure_of(half_way)
    assert failure.done == 6
    kept = "6 of 7 statements are done, and stay so: "
    if database.is_mysql:
        kept = "Statement 7 of 7 failed; statements 1 to 6 are done and cannot be rolled back on "
    assert (failure.remedy or "").startswith(kept)
    write({"001_a.sql": seven(GOOD)})
    assert half_way.run().results[0].resumed_at == 7
    assert database.rows(ROWS) == [(1,), (2,), (3,), (4,), (5,), (6,)]


@pytest.mark.parametrize(
    "changed",
    [
        seven(GOOD).replace("VALUES (2)", "VALUES (22)"),
        seven(GOOD).replace("VALUES (2)", "VALUES /* two */ (2)"),
        seven(GOOD).replace("INSERT INTO t VALUES (1);\n", ""),
        HEAD + "CREATE TABLE t (id integer);",
    ],
    ids=["another value", "a comment inside", "one less", "too short"],
)
def test_what_is_done_must_not_have_changed(
    database: Database, half_way: Migrator, write: Write, changed: str
) -> None:
    write({"001_a.sql": changed, "002_b.sql": "CREATE TABLE b (id integer);"})
    before = log_of(database)
    for refused in (half_way.run, half_way.plan):
        with pytest.raises(LedgerError) as caught:
            refused()
        assert str(caught.value) == (
            "001_a.sql: an earlier attempt has done its statements 1 to 3, and the file has changed there"
            " since\nput the old text back, and change only what comes after; or"
            " `fluxmig run --restart 001_a.sql` begins with statement 1, once what they did is undone"
        )
        assert (caught.value.exit_code, caught.value.names) == (4, ("001_a.sql",))
    assert log_of(database) == before
    assert "b" not in database.tables()


def test_starting_over(database: Database, half_way: Migrator, write: Write) -> None:
    database.rows("DROP TABLE t")
    write({"001_a.sql": seven("INSERT INTO nowhere VALUES (33)").replace("VALUES (1)", "VALUES (11)")})
    assert half_way.plan(restart="1").scripts[0].done == 0
    assert failure_of(half_way, restart="001_a").done == 3
    write({"001_a.sql": seven(GOOD).replace("VALUES (1)", "VALUES (11)")})
    (step,) = half_way.run().results
    assert step.resumed_at == 4
    assert database.rows(ROWS) == [(2,), (3,), (4,), (5,), (6,), (11,)]
    assert log_of(database)[4:8] == [("failed", 4), ("restarted", None), ("started", 1), ("progress", 1)]


def test_starting_over_what_is_not_half_way(half_way: Migrator, write: Write) -> None:
    write({"001_a.sql": seven(GOOD), "002_b.sql": "SELECT 1;"})
    with pytest.raises(
        ConfigError, match=r"^--restart 002_b.sql: it has done nothing yet that could be done again$"
    ):
        half_way.run(restart="2")
    half_way.run()
    with pytest.raises(ConfigError, match=r"^--restart 001_a.sql: it is applied$"):
        half_way.run(restart="1")


def test_a_script_that_fails_at_once_is_not_half_way(database: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": f"{HEAD}{BAD};\nSELECT 1;"})
    migrator = Migrator(database.engine(), folder)
    failure = failure_of(migrator)
    assert (failure.done, failure.remedy) == (0, None)
    assert migrator.status()[0].conditions == (Condition.FAILED,)
    write({"001_a.sql": f"{HEAD}SELECT 1;"})
    assert migrator.run().results[0].resumed_at == 1


def test_one_statement_is_done(database: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": f"{HEAD}SELECT 1;\n{BAD};"})
    said = "1 of 2 statements is done, and stays so: "
    if database.is_mysql:
        said = (
            f"Statement 2 of 2 failed; statement 1 is done and cannot be rolled back on {database.product}. "
        )
    assert (failure_of(Migrator(database.engine(), folder)).remedy or "").startswith(said)


@pytest.mark.transactional_ddl
def test_going_on_in_one_transaction(database: Database, half_way: Migrator, write: Write) -> None:
    write({"001_a.sql": seven(GOOD).replace(HEAD, "").replace("t VALUES (6)", "nowhere VALUES (6)")})
    failure = failure_of(half_way)
    assert failure.done == 3
    assert failure.remedy == f"{three_of_seven(database, 'by an earlier attempt')} {NEXT_IS_4}"
    assert database.rows(ROWS) == [(1,), (2,)]
    write({"001_a.sql": seven(GOOD).replace(HEAD, "")})
    (step,) = half_way.run().results
    assert (step.mode, step.resumed_at) == (Mode.TRANSACTION, 4)
    assert database.rows(ROWS) == [(1,), (2,), (3,), (4,), (5,), (6,)]


@pytest.mark.transactional_ddl
def test_going_on_between_begin_and_commit(database: Database, half_way: Migrator, write: Write) -> None:
    write({"001_a.sql": f"BEGIN;\n{seven(GOOD).replace(HEAD, '')}COMMIT;"})
    (step,) = half_way.run().results
    assert (step.mode, step.resumed_at) == (Mode.TRANSACTION, 4)
    assert database.rows(ROWS) == [(1,), (2,), (3,), (4,), (5,), (6,)]


def test_the_files_behind_one_that_is_half_way(database: Database, half_way: Migrator, write: Write) -> None:
    write({"002_b.sql": "CREATE TABLE b (id integer);"})
    with pytest.raises(MigrationFailedError) as caught:
        half_way.run(keep_going=True)
    assert [(step.name, step.outcome.value) for step in caught.value.report.results] == [
        ("001_a.sql", "failed"),
        ("002_b.sql", "applied"),
    ]
    assert log_of(database)[-2:] == [("started", 4), ("failed", 4)]


# --- the log ----------------------------------------------------------------------------------------------


def test_the_columns_of_the_log(database: Database, half_way: Migrator, write: Write) -> None:
    write({"001_a.sql": seven(GOOD)})
    failed = hashlib.sha256(seven(BAD).encode()).hexdigest()
    applied = hashlib.sha256(seven(GOOD).encode()).hexdigest()
    half_way.run()
    entries = half_way.log("001_a.sql")
    assert entries == half_way.log("001_a") == half_way.log()
    assert [entry.id for entry in entries] == sorted({entry.id for entry in entries})
    client = f"{getpass.getuser()}@{socket.gethostname()}"
    user = make_url(database.url).username if database.is_postgresql else client
    if database.is_mysql:
        user = str(database.scalar("SELECT CURRENT_USER()"))
    assert {(entry.client, entry.database_user, entry.fluxmig_version) for entry in entries} == {
        (client, user, fluxmig.__version__)
    }
    assert all(entry.logged_at is not None and entry.logged_at.tzinfo is not None for entry in entries)
    first, _, _, third, broken, again = entries[:6]
    last = entries[-1]
    without = "no transaction: " + ("CREATE TABLE" if database.is_mysql else "the file says so")
    assert (first.event, first.message, first.checksum) == ("started", without, failed)
    assert third.checksum == digest(
        "CREATE TABLE t (id integer)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"
    )
    assert (third.event, third.message, third.duration_ms, third.line) == ("progress", None, None, None)
    assert (broken.event, broken.statement_number, broken.line, broken.checksum) == ("failed", 4, 5, failed)
    code, message = "SQLITE_ERROR", "no such table: nowhere"
    if database.is_postgresql:
        code, message = "42P01", 'relation "nowhere" does not exist'
    elif database.is_mysql:
        code, message = "1146", f"Table '{make_url(database.url).database}.nowhere' doesn't exist"
    elif database.is_duckdb:
        code, message = "CatalogException", "Catalog Error: Table with name nowhere does not exist!"
    first_line = (broken.message or "").partition("\n")[0]  # on the second, DuckDB guesses
    assert (broken.error_code, first_line) == (code, message)
    assert broken.duration_ms is not None
    assert (again.event, again.statement_number, again.checksum) == ("started", 4, applied)
    assert (last.event, last.message, last.checksum) == ("applied", without, applied)
    assert last.duration_ms is not None


def test_a_failure_in_a_transaction_is_in_the_log(database: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": f"SELECT 1;\n  {BAD};"})
    migrator = Migrator(database.engine(), folder)
    failure_of(migrator)
    (entry,) = migrator.log()
    assert (entry.event, entry.statement_number, entry.line) == ("failed", 2, 2)
    assert entry.duration_ms is not None
    assert entry.checksum == hashlib.sha256(f"SELECT 1;\n  {BAD};".encode()).hexdigest()


NO_RESUME = "There is no log to keep this, so the next run begins with statement 1."


@pytest.mark.parametrize(
    "log",
    [
        "CREATE VIEW schema_migrations_log AS SELECT 1 AS id",
        "CREATE TABLE schema_migrations_log (id integer, note text)",
        "CREATE TABLE schema_migrations_log (id integer, event integer, migration_name text)",
    ],
    ids=["a view", "a table", "a table with some of its columns"],
)
def test_where_there_can_be_no_log(database: Database, folder: Path, write: Write, log: str) -> None:
    database.rows(log)
    write({"001_a.sql": seven(BAD)})
    migrator = Migrator(database.engine(), folder)
    with pytest.raises(MigrationFailedError) as caught:
        migrator.run()
    failure = caught.value.failures[0].failure
    assert failure is not None
    assert (failure.done, failure.remedy) == (3, f"{three_of_seven(database)} {NO_RESUME}")
    (finding,) = caught.value.report.findings
    assert finding.kind == "log"
    assert finding.message.partition("schema_migrations_log cannot be made, so no events are kept: ")[2]
    (status,) = migrator.status()
    assert (status.conditions, status.progress) == ((), None)
    write({"001_a.sql": seven(GOOD).replace("CREATE TABLE t", "CREATE TABLE IF NOT EXISTS t")})
    report = migrator.run()
    assert [(step.outcome, step.resumed_at) for step in report.results] == [(Outcome.APPLIED, 1)]
    assert [found.kind for found in report.findings] == ["log"]
    assert database.rows(ROWS) == [(1,), (1,), (2,), (2,), (3,), (4,), (5,), (6,)]
    assert migrator.status()[0].record is not None
    if not log.startswith("CREATE VIEW"):
        assert database.scalar("SELECT count(*) FROM schema_migrations_log") == 0


@pytest.mark.parametrize("granted", ["SELECT", "INSERT", "SELECT, INSERT"])
def test_where_the_log_may_not_be_written(
    one_postgresql: Database, folder: Path, write: Write, granted: str
) -> None:
    """SELECT and INSERT are not enough: the number of a row comes from a sequence."""
    write({"001_a.sql": "SELECT 1;"})
    Migrator(one_postgresql.engine(), folder).run()
    name = f"writer_{make_url(one_postgresql.url).database}"
    for sql in (
        f"CREATE ROLE {name} LOGIN",
        f"GRANT CREATE ON SCHEMA public TO {name}",
        f"GRANT SELECT, INSERT ON schema_migrations TO {name}",
        f"GRANT USAGE ON SEQUENCE schema_migrations_id_seq TO {name}",
        f"GRANT {granted} ON schema_migrations_log TO {name}",
    ):
        one_postgresql.rows(sql)
    write({"002_b.sql": seven(GOOD)})
    engine = create_engine(make_url(one_postgresql.url).set(username=name), poolclass=NullPool)
    report = Migrator(engine, folder).run()
    (finding,) = report.findings
    assert finding.message.startswith(
        "public.schema_migrations_log cannot be made, so no events are kept: permission"
    )
    assert [step.outcome for step in report.results] == [Outcome.APPLIED]
    assert one_postgresql.rows("SELECT migration_name FROM schema_migrations_log") == [("001_a.sql",)]


def test_trying_the_log_leaves_nothing_in_it(database: Database, folder: Path, write: Write) -> None:
    for name in ("001_a.sql", "002_b.sql"):
        write({name: "SELECT 1;"})
        Migrator(database.engine(), folder).run()
    assert database.rows("SELECT event, migration_name FROM schema_migrations_log ORDER BY id") == [
        ("applied", "001_a.sql"),
        ("applied", "002_b.sql"),
    ]


# --- transactions of the file's own -----------------------------------------------------------------------

OWN = """CREATE TABLE t (id integer);
BEGIN;
INSERT INTO t VALUES (1);
COMMIT;
BEGIN;
INSERT INTO t VALUES (2);
{};
COMMIT;
INSERT INTO t VALUES (4);
"""


def test_a_failure_in_a_transaction_of_its_own(database: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": OWN.format(BAD)})
    migrator = Migrator(database.engine(), folder)
    assert [(script.mode.value, script.reason) for script in migrator.plan().scripts] == [
        ("no-transaction", "CREATE TABLE" if database.is_mysql else "it has transactions of its own")
    ]
    failure = failure_of(migrator)
    assert (failure.done, failure.statement and failure.statement.number) == (4, 7)
    kept = "4 of 9 statements are done, and stay so: no transaction, since it has transactions of its own."
    if database.is_mysql:
        stays = "statements 1 to 4 are done and cannot be rolled back on"
        kept = f"Statement 7 of 9 failed; {stays} {database.product}."
    assert failure.remedy == (
        f"{kept} The"
        " next run goes on with statement 5; `fluxmig run --restart 001_a.sql` begins with statement 1."
    )
    assert database.rows(ROWS) == [(1,)]
    assert log_of(database) == [("started", 1), ("progress", 1), ("progress", 4), ("failed", 7)]
    write({"001_a.sql": OWN.format(GOOD)})
    (step,) = migrator.run().results
    assert (step.outcome, step.resumed_at) == (Outcome.APPLIED, 5)
    assert step.notices == ()
    assert database.rows(ROWS) == [(1,), (2,), (3,), (4,)]
    assert log_of(database)[4:] == [("started", 5), ("progress", 8), ("progress", 9), ("applied", None)]


@pytest.mark.savepoints
def test_a_savepoint_in_a_transaction_of_its_own(database: Database, folder: Path, write: Write) -> None:
    inner = "SAVEPOINT s;\nINSERT INTO t VALUES (9);\nROLLBACK TO SAVEPOINT s;\nRELEASE SAVEPOINT s"
    write({"001_a.sql": OWN.format(inner)})
    Migrator(database.engine(), folder).run()
    assert database.rows(ROWS) == [(1,), (2,), (4,)]


def test_a_constraint_that_fails_at_the_commit(postgresql: Database, folder: Path, write: Write) -> None:
    deferred = "ALTER TABLE t ADD UNIQUE (id) DEFERRABLE INITIALLY DEFERRED;\nINSERT INTO t VALUES (2)"
    write({"001_a.sql": OWN.format(deferred)})
    migrator = Migrator(postgresql.engine(), folder)
    with pytest.raises(MigrationFailedError) as caught:
        migrator.run()
    (step,) = caught.value.failures
    failure = step.failure
    assert failure is not None
    assert (failure.code, failure.done) == ("23505", 4)
    assert (failure.statement and failure.statement.sql, failure.line) == ("COMMIT", 9)
    assert step.notices == ()
    assert postgresql.rows(ROWS) == [(1,)]
    assert log_of(postgresql) == [("started", 1), ("progress", 1), ("progress", 4), ("failed", 9)]
    write({"001_a.sql": OWN.format(GOOD)})
    assert migrator.run().results[0].resumed_at == 5
    assert postgresql.rows(ROWS) == [(1,), (2,), (3,), (4,)]


def test_a_constraint_that_fails_behind_its_statement(
    postgresql: Database, folder: Path, write: Write
) -> None:
    """Outside the file's own transactions, too, the statement and its row of progress commit together."""
    write(
        {
            "001_a.sql": f"{HEAD}CREATE TABLE t (id integer UNIQUE DEFERRABLE INITIALLY DEFERRED);\n"
            "INSERT INTO t VALUES (1);\nINSERT INTO t VALUES (1);"
        }
    )
    migrator = Migrator(postgresql.engine(), folder)
    with pytest.raises(MigrationFailedError) as caught:
        migrator.run()
    (step,) = caught.value.failures
    assert step.failure is not None
    assert (step.failure.code, step.failure.done, step.failure.line) == ("23505", 2, 4)
    assert step.notices == ()
    assert log_of(postgresql) == [("started", 1), ("progress", 1), ("progress", 2), ("failed", 3)]


@pytest.fixture(scope="module")
def preparing(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A server that admits PREPARE TRANSACTION."""
    folder = tmp_path_factory.mktemp("preparing")
    for parent in (folder, *folder.parents):
        if parent.stat().st_mode & 0o005 != 0o005:
            parent.chmod(0o755)  # for the server's own user, where the tests run as root
    with start_embedded(folder / "pg", options={**FAST, "max_prepared_transactions": "3"}) as server:
        yield Database("preparing", server.url)


def test_a_transaction_that_is_prepared(preparing: Database, folder: Path, write: Write) -> None:
    start = "CREATE TABLE t (id integer);\nBEGIN;\nINSERT INTO t VALUES (1);\nPREPARE TRANSACTION 'one';\n"
    write({"001_a.sql": f"{start}{BAD};"})
    migrator = Migrator(preparing.engine(), folder)
    assert failure_of(migrator).done == 4
    assert preparing.rows("SELECT gid FROM pg_prepared_xacts") == [("one",)]
    assert preparing.rows(ROWS) == []
    write({"001_a.sql": f"{start}COMMIT PREPARED 'one';\nINSERT INTO t VALUES (2);"})
    assert migrator.run().results[0].resumed_at == 5
    assert preparing.rows(ROWS) == [(1,), (2,)]
    assert log_of(preparing)[:5] == [
        ("started", 1),
        ("progress", 1),
        ("progress", 4),
        ("failed", 5),
        ("started", 5),
    ]
    preparing.dispose()


@pytest.mark.parametrize("way", ["engine", "connection"])
def test_an_interrupt_in_a_transaction_of_its_own(
    postgresql: Database, folder: Path, write: Write, way: str
) -> None:
    """It leaves no lock on a connection that lives on, nothing of its session, and what was done before."""
    write({"001_a.sql": OWN.format(GOOD).replace("CREATE", "SET work_mem = '7MB';\nCREATE")})

    def interrupt(_connection: object, cursor: psycopg.Cursor, statement: str, *_: object) -> None:
        if statement == "INSERT INTO t VALUES (2)":
            with pytest.raises(psycopg.errors.DivisionByZero):  # the state that a cancelled statement leaves
                cursor.execute("SELECT 1/0")
            raise KeyboardInterrupt

    engine = postgresql.engine(pool_size=1, max_overflow=0)
    event.listen(engine, "before_cursor_execute", interrupt)
    with engine.connect() as connection:
        if way == "engine":
            connection.close()
        with pytest.raises(KeyboardInterrupt):
            Migrator(engine if way == "engine" else connection, folder).run()
        assert postgresql.scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
        if way == "connection":
            assert connection.scalar(text("SHOW work_mem")) == "4MB"
    other = Migrator(postgresql.engine(), folder, wait_lock_s=0)
    (status,) = other.status()
    assert status.conditions == (Condition.PARTIAL,)
    assert status.progress is not None
    assert (status.progress.done, status.progress.interrupted) == (5, True)
    assert other.run().results[0].resumed_at == 6
    assert postgresql.rows(ROWS) == [(1,), (2,), (3,), (4,)]


# --- COMMIT in a block ------------------------------------------------------------------------------------

COMMITS = "DO $$ BEGIN INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2); END $$;"


@pytest.mark.parametrize(
    "statement", [COMMITS, "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;\nCALL p();"]
)
def test_a_commit_in_a_block_needs_the_directive(
    postgresql: Database, folder: Path, write: Write, statement: str
) -> None:
    write({"001_a.sql": f"CREATE TABLE t (id integer);\n{statement}"})
    migrator = Migrator(postgresql.engine(), folder)
    failure = failure_of(migrator)
    assert (failure.code, failure.done) == ("2D000", 0)
    assert failure.remedy == (
        "COMMIT and ROLLBACK in a procedure or DO need a file without a transaction: begin the file with"
        " `-- fluxmig: no-transaction`"
    )
    assert "t" not in postgresql.tables()
    write({"001_a.sql": f"{HEAD}CREATE TABLE t (id integer);\n{statement}"})
    (step,) = migrator.run().results
    assert (step.outcome, step.mode) == (Outcome.APPLIED, Mode.NO_TRANSACTION)
    assert postgresql.rows(ROWS) == ([(1,), (2,)] if "DO" in statement else [])


def test_what_cannot_run_in_a_transaction_needs_the_directive(
    postgresql: Database, folder: Path, write: Write
) -> None:
    """Where it is not seen by its words: the server runs it, by the name of a prepared one say."""
    partitioned = (
        "CREATE TABLE t (id integer) PARTITION BY RANGE (id);\n"
        "CREATE TABLE u PARTITION OF t FOR VALUES FROM (1) TO (9);\nCREATE INDEX i ON t (id);\n"
    )
    write({"001_a.sql": partitioned, "002_b.sql": "REINDEX TABLE t;"})
    migrator = Migrator(postgresql.engine(), folder)
    failure = failure_of(migrator)
    assert (failure.code, failure.message) == (
        "25001",
        "REINDEX TABLE cannot run inside a transaction block",
    )
    assert failure.remedy == (
        "it cannot run inside a transaction: begin the file with `-- fluxmig: no-transaction`"
    )
    write({"002_b.sql": f"{HEAD}REINDEX TABLE t;"})
    assert migrator.run().results[0].outcome is Outcome.APPLIED


def test_the_remedy_of_the_error_and_what_is_done(postgresql: Database, folder: Path, write: Write) -> None:
    """Both are said."""
    own = "BEGIN;\nCREATE TABLE u (id integer);\nDO $$ BEGIN COMMIT; END $$;\nCOMMIT;"
    write({"001_a.sql": f"{HEAD}CREATE TABLE t (id integer);\n{own}"})
    failure = failure_of(Migrator(postgresql.engine(), folder))
    advice, done = (failure.remedy or "").split("\n")
    assert advice.startswith("COMMIT and ROLLBACK in a procedure or DO need")
    assert done.startswith("1 of 5 statements is done, and stays so: no transaction, since ")
    assert "u" not in postgresql.tables()


# --- the session ------------------------------------------------------------------------------------------


def test_what_the_session_had_is_set_again(postgresql: Database, folder: Path, write: Write) -> None:
    sql = (
        f"{HEAD}CREATE SCHEMA other;\nSET search_path = other;\n"
        "SELECT pg_catalog.set_config('work_mem', '7MB', false);\nSET ROLE pg_database_owner;\nRESET ROLE;\n"
        "PREPARE three AS SELECT 3;\n{};\nCREATE TABLE t AS EXECUTE three;\n"
        "CREATE TABLE seen AS SELECT current_setting('work_mem') AS w, current_user::text AS u;\n"
    )
    write({"001_a.sql": sql.format("SELECT 1/0")})
    migrator = Migrator(postgresql.engine(), folder)
    assert failure_of(migrator).done == 6
    write({"001_a.sql": sql.format("SELECT 1")})
    assert migrator.run().results[0].resumed_at == 7
    assert postgresql.rows("SELECT * FROM other.t") == [(3,)]
    assert postgresql.rows("SELECT w, u FROM other.seen") == [("7MB", make_url(postgresql.url).username)]


def test_a_setting_that_cannot_be_made_again(postgresql: Database, folder: Path, write: Write) -> None:
    role = f"gone_{make_url(postgresql.url).database}"
    postgresql.rows(f"CREATE ROLE {role}")
    write({"001_a.sql": f"{HEAD}SET ROLE {role};\nSELECT 1;\n{BAD};"})
    migrator = Migrator(postgresql.engine(), folder)
    assert failure_of(migrator).done == 2
    postgresql.rows(f"DROP ROLE {role}")
    failure = failure_of(migrator)
    assert (failure.message, failure.done, failure.line) == (f'role "{role}" does not exist', 2, 2)
    assert (failure.remedy or "").startswith("2 of 3 statements are done, and stay so: ")
    assert migrator.status()[0].conditions == (Condition.FAILED, Condition.PARTIAL)


def test_a_temporary_table_cannot_be_gone_on_with(postgresql: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": f"{HEAD}SELECT 1;\nCREATE TEMP TABLE x (id integer);\n{BAD};"})
    migrator = Migrator(postgresql.engine(), folder)
    assert failure_of(migrator).done == 2
    before = log_of(postgresql)
    with pytest.raises(LedgerError) as caught:
        migrator.run()
    assert str(caught.value) == (
        "001_a.sql: an earlier attempt has done its statements 1 to 2; what statement 2 made was gone with"
        " its session: CREATE TEMP TABLE x (id integer)\n"
        "`fluxmig run --restart 001_a.sql` begins with statement 1, once what they did is undone"
    )
    assert log_of(postgresql) == before
    write({"001_a.sql": f"{HEAD}SELECT 1;\nCREATE TEMP TABLE x (id integer);\nINSERT INTO x VALUES (1);"})
    assert migrator.run(restart="1").results[0].outcome is Outcome.APPLIED


@pytest.mark.parametrize("way", ["engine", "connection"])
def test_a_role_without_power_keeps_progress(
    postgresql: Database, folder: Path, write: Write, way: str
) -> None:
    name = f"powerless_{make_url(postgresql.url).database}"
    postgresql.rows(f"CREATE ROLE {name}")
    write(
        {
            "001_a.sql": f"{HEAD}SET ROLE {name};\nSELECT 1;\nDO $$ BEGIN COMMIT; END $$;\n"
            f"BEGIN;\nSELECT 2;\nCOMMIT;\n{BAD};"
        }
    )
    engine = postgresql.engine()
    with engine.connect() as connection:
        failure = failure_of(Migrator(connection if way == "connection" else engine, folder))
        assert connection.scalar(text("SHOW role")) == "none"
    assert (failure.code, failure.done) == ("42P01", 6)
    assert log_of(postgresql) == [
        ("started", 1),
        ("progress", 1),
        ("progress", 2),
        ("progress", 3),
        ("progress", 6),
        ("failed", 7),
    ]
    assert postgresql.rows("SELECT DISTINCT database_user FROM schema_migrations_log") == [
        (make_url(postgresql.url).username,)
    ]
    postgresql.rows(f"DROP ROLE {name}")


# --- several runners --------------------------------------------------------------------------------------


@pytest.mark.concurrent_writers
def test_two_runners_at_once(database: Database, folder: Path, write: Write) -> None:
    """Every statement runs once, whoever runs it."""
    inserts = "".join(f"INSERT INTO t VALUES ({number});\n" for number in range(40))
    write({"001_a.sql": f"{HEAD}CREATE TABLE t (id integer);\n{inserts}"})
    Migrator(database.engine(), folder).plan()
    outcomes: list[str] = []

    def run() -> None:
        engine = create_engine(database.url, poolclass=NullPool)
        outcomes.extend(step.outcome.value for step in Migrator(engine, folder).run().results)

    runners = [Thread(target=run) for _ in range(3)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join(60)
    assert outcomes.count("applied") == 1
    assert set(outcomes) <= {"applied", "skipped"}
    assert database.rows(ROWS) == [(number,) for number in range(40)]
    assert [number for what, number in log_of(database) if what == "progress"] == list(range(1, 42))


OVERTAKEN = (
    f"{HEAD}CREATE TABLE t (id integer);\nINSERT INTO t VALUES (1);\n"
    "BEGIN IMMEDIATE;\nINSERT INTO t VALUES (2);\nCOMMIT;\nINSERT INTO t VALUES (3);"
)


def run_overtaken(database: Database, folder: Path, when: int, overtake: Callable[[], object]) -> StepResult:
    """Runs, and has another run begin where this one sends its n-th BEGIN for the script; 0 is the start."""
    begins = itertools.count(-2)  # the first two are those for the ledger and the log

    def meanwhile(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement == "BEGIN IMMEDIATE" and next(begins) == when:
            overtake()

    engine = database.engine()
    event.listen(engine, "before_cursor_execute", meanwhile)
    (step,) = Migrator(engine, folder).run().results
    assert database.rows(ROWS) == [(1,), (2,), (3,)]
    assert [number for what, number in log_of(database) if what == "progress"] == [1, 2, 5, 6]
    assert database.scalar("SELECT count(*) FROM schema_migrations") == 1
    return step


@pytest.mark.parametrize("when", range(6))
def test_another_runner_comes_between_two_statements(
    sqlite: Database, folder: Path, write: Write, when: int
) -> None:
    """SQLite has no lock for a session: the one that finds itself overtaken leaves the rest to the other."""
    write({"001_a.sql": OVERTAKEN})
    others: list[StepResult] = []
    step = run_overtaken(
        sqlite, folder, when, lambda: others.extend(Migrator(sqlite.engine(), folder).run().results)
    )
    assert step.outcome is Outcome.SKIPPED
    assert [other.outcome for other in others] == [Outcome.APPLIED]


@pytest.mark.parametrize("when", range(5))
def test_another_runner_comes_and_is_cut_off(sqlite: Database, folder: Path, write: Write, when: int) -> None:
    write({"001_a.sql": OVERTAKEN})

    def cut_off(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement == "INSERT INTO t VALUES (3)":
            raise KeyboardInterrupt

    def overtake() -> None:
        engine = sqlite.engine()
        event.listen(engine, "before_cursor_execute", cut_off)
        with pytest.raises(KeyboardInterrupt):
            Migrator(engine, folder).run()

    assert run_overtaken(sqlite, folder, when, overtake).outcome is Outcome.APPLIED


ALONE = f"{HEAD}CREATE TABLE t (id integer);\nVACUUM;\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES (2);"


@pytest.mark.parametrize("cut_off_at", ["INSERT INTO t VALUES (2)", ""])
def test_another_runner_comes_meanwhile_and_goes_further(
    sqlite: Database, folder: Path, write: Write, cut_off_at: str
) -> None:
    """What a runner has done alone says nothing, where another one has done that, and more, since."""
    write({"001_a.sql": ALONE})

    def cut_off(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement == cut_off_at:
            raise KeyboardInterrupt

    def meanwhile(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement == "VACUUM":
            other = sqlite.engine()
            event.listen(other, "before_cursor_execute", cut_off)
            with pytest.raises(KeyboardInterrupt) if cut_off_at else nullcontext():
                Migrator(other, folder).run()

    engine = sqlite.engine()
    event.listen(engine, "before_cursor_execute", meanwhile)
    (step,) = Migrator(engine, folder).run().results
    assert step.outcome is (Outcome.APPLIED if cut_off_at else Outcome.SKIPPED)
    assert sqlite.rows(ROWS) == [(1,), (2,)]
    assert [number for what, number in log_of(sqlite) if what == "progress"] == [1, 2, 3, 4]


def test_a_transaction_of_the_files_own_waits_for_another_runner(
    sqlite: Database, folder: Path, write: Write
) -> None:
    """It asks to write before it reads: from the one to the other, SQLite lets only one of two."""
    write({"001_a.sql": f"{HEAD}CREATE TABLE t (id integer);\nBEGIN;\nINSERT INTO t VALUES (1);\nCOMMIT;"})
    writes, waits = Event(), Event()

    def write_meanwhile() -> None:
        with closing(sqlite3.connect(make_url(sqlite.url).database or "")) as connection:
            connection.execute("BEGIN IMMEDIATE")
            writes.set()
            waits.wait(60)

    def meanwhile(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement == "BEGIN":
            other.start()
            writes.wait(60)
        elif statement.startswith("UPDATE schema_migrations_log"):
            waits.set()

    other = Thread(target=write_meanwhile)
    engine = sqlite.engine()
    event.listen(engine, "before_cursor_execute", meanwhile)
    try:
        (step,) = Migrator(engine, folder).run().results
    finally:
        waits.set()
        other.join(60)
    assert step.outcome is Outcome.APPLIED
    assert sqlite.rows(ROWS) == [(1,)]


def test_a_runner_that_does_not_wait(postgresql: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": f"{HEAD}CREATE TABLE t (id integer);"})
    seen: list[str] = []

    def meanwhile(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("CREATE TABLE t "):
            with pytest.raises(LockTimeoutError) as caught:
                Migrator(postgresql.engine(), folder, wait_lock_s=0).run()
            seen.append(str(caught.value))

    engine = postgresql.engine()
    event.listen(engine, "before_cursor_execute", meanwhile)
    assert Migrator(engine, folder).run().results[0].outcome is Outcome.APPLIED
    (message,) = seen
    assert message.startswith("another runner holds the lock: process ")
    assert log_of(postgresql) == [("started", 1), ("progress", 1), ("applied", None)]


# --- down scripts -----------------------------------------------------------------------------------------

UP = "CREATE TABLE a (id integer);\nCREATE TABLE b (id integer);\nCREATE TABLE c (id integer);"
DOWN = f"{HEAD}DROP TABLE a;\n{{}}DROP TABLE b;\nDROP TABLE c;"
BROKEN, WHOLE = DOWN.format("DROP TABLE nowhere;\n"), DOWN.format("")
REST = "SELECT event, migration_name, statement_number FROM schema_migrations_log ORDER BY id"


@pytest.fixture
def half_down(database: Database, folder: Path, write: Write) -> Migrator:
    """A down script that has failed at its second statement."""
    write({"001_a.sql": UP, "001_a.down.sql": BROKEN})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    with pytest.raises(RollbackError) as caught:
        migrator.rollback()
    assert str(caught.value).startswith("the down script of 001_a.sql failed\n")
    kept = "1 of 4 statements is done, and stays so: no transaction, since the file says so."
    if database.is_mysql:
        kept = (
            f"Statement 2 of 4 failed; statement 1 is done and cannot be rolled back on {database.product}."
        )
    assert str(caught.value).endswith(
        f"\n{kept} The next rollback"
        " goes on with statement 2; `fluxmig resolve 001_a.sql --retry` has it begin with statement 1."
    )
    return migrator


def test_a_down_script_goes_on(database: Database, half_down: Migrator, write: Write) -> None:
    assert [row for row in database.rows(REST) if row[1] == "001_a.down.sql"] == [
        ("started", "001_a.down.sql", 1),
        ("progress", "001_a.down.sql", 1),
        ("failed", "001_a.down.sql", 2),
    ]
    assert half_down.status()[0].conditions == ()
    write({"001_a.down.sql": WHOLE})
    (result,) = half_down.rollback().results
    assert result.reversed
    assert database.tables() == {"schema_migrations", "schema_migrations_log"}
    assert database.scalar("SELECT count(*) FROM schema_migrations") == 0
    assert half_down.status()[0].conditions == ()


@pytest.mark.parametrize("way", ["by the script", "in a transaction", "record only"])
def test_what_a_down_script_has_done_does_not_count_next_time(
    database: Database, half_down: Migrator, write: Write, way: str
) -> None:
    if way == "record only":
        half_down.rollback(record_only=True)
        database.rows("DROP TABLE b")
        database.rows("DROP TABLE c")
    else:
        write({"001_a.down.sql": WHOLE if way == "by the script" else WHOLE.replace(HEAD, "")})
        half_down.rollback()
    half_down.run()
    assert {"a", "b", "c"} <= database.tables()
    write({"001_a.down.sql": WHOLE.replace("DROP TABLE a", "DROP TABLE a /* now */")})
    half_down.rollback()
    assert database.tables() == {"schema_migrations", "schema_migrations_log"}


# --- what ends the transaction behind the splitter's back ---------------------------------------------------

HIDDEN = r"SELECT 'a\'' ; COMMIT; --';"
"""With standard_conforming_strings off, the string ends at the second quotation mark from the end."""


def test_a_script_that_ends_its_transaction_unseen(postgresql: Database, folder: Path, write: Write) -> None:
    # The function's doing is not seen; and it is the next message that the server reads by it.
    off = "SELECT set_config('standard_conforming_strings', 'off', false);\n"
    rows = "CREATE TABLE t (id integer);\nCOPY t FROM stdin;\n1\n\\.\n"
    write({"001_a.sql": f"{off}{rows}{HIDDEN}"})
    failure = failure_of(Migrator(postgresql.engine(), folder))
    assert failure.message == "the script ended the transaction it ran in"
    assert failure.remedy == (
        "What it had done until then is committed, and not recorded. Undo it, take out what ends the"
        " transaction, or begin the file with `-- fluxmig: no-transaction`."
    )
    assert "t" in postgresql.tables()
    assert postgresql.scalar("SELECT count(*) FROM schema_migrations") == 0
    assert log_of(postgresql) == [("failed", None)]


def test_a_session_that_reads_strings_in_another_way_is_refused(
    postgresql: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": f"CREATE TABLE t (id integer);\n{HIDDEN}"})
    url = make_url(postgresql.url).update_query_dict({"options": "-c standard_conforming_strings=off"})
    with pytest.raises(ConfigError) as caught:
        Migrator(create_engine(url, poolclass=NullPool), folder).run()
    assert str(caught.value) == (
        "standard_conforming_strings is off for this connection\n"
        "end the URL with ?options=-c%20standard_conforming_strings=on; a file that needs it off begins with"
        " SET standard_conforming_strings = off;"
    )
    assert postgresql.tables() == set()
