"""Taking a migration back and applying it again, on every database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from fluxmig import (
    Condition,
    ConfigError,
    FluxmigError,
    LedgerError,
    LockTimeoutError,
    MigrationFailedError,
    MigrationFileError,
    Migrator,
    Outcome,
    Report,
    RollbackError,
    RollbackReport,
    reversal,
)
from fluxmig.execute import Executor
from fluxmig.reversal import redo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fluxmig import RedoPlan, RedoReport, Script, StepResult
    from tests.support import Database, Write

CONTAINERS = VERSIONS = False
NO = "-- fluxmig: no-transaction\n"
FILES: dict[str, str] = {
    "001_a.sql": "CREATE TABLE a (id integer);\nINSERT INTO a VALUES (1);",
    "001_a.down.sql": "DROP TABLE a;",
    "002_b.sql": "CREATE TABLE b (id integer);\nINSERT INTO b VALUES (1);",
    "002_b.down.sql": "DROP TABLE b;",
}
LEDGER = "SELECT migration_name FROM schema_migrations ORDER BY id"
ROWS = "SELECT id, migration_name, checksum, execution_time_ms FROM schema_migrations ORDER BY id"
OWN = {"schema_migrations", "schema_migrations_log"}
NEW = "CREATE TABLE b (id integer, name text);\nINSERT INTO b VALUES (2, 'two');"
BROKEN = "CREATE TABLE b (id integer, name text);\nINSERT INTO nowhere VALUES (2);"
AS_IT_WAS = "Nothing was changed: 002_b.sql is applied as it was."
PENDING = "002_b.sql is taken back, and pending: `fluxmig run` applies it."


@pytest.fixture
def migrator(database: Database, folder: Path, write: Write) -> Migrator:
    write(FILES)
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    return migrator


def ledger(database: Database) -> list[object]:
    return [row[0] for row in database.rows(LEDGER)]


def log(database: Database) -> list[tuple[object, ...]]:
    """What the log says since the two were applied."""
    return database.log()[2:]


def assert_untouched(database: Database, *events: tuple[str, str]) -> None:
    """Both migrations are applied as they were first; and the log tells of these."""
    assert ledger(database) == ["001_a.sql", "002_b.sql"]
    assert database.rows("SELECT * FROM b") == [(1,)]
    assert database.rows("SELECT * FROM a") == [(1,)]
    assert database.tables() == OWN | {"a", "b"}
    assert log(database) == list(events)


def fails(migrator: Migrator, kind: type[FluxmigError], name: str | None = None) -> Any:
    with pytest.raises(kind) as caught:
        migrator.redo(name)
    return caught.value


# --- what it does -----------------------------------------------------------------------------------------


def test_the_last_one_as_it_is_now(database: Database, migrator: Migrator, write: Write) -> None:
    before = database.rows(ROWS)
    write({"002_b.sql": NEW})
    assert migrator.status()[1].conditions == (Condition.MODIFIED,)
    report = migrator.redo()
    assert (report.reversed.name, report.reversed.reversed) == ("002_b.sql", True)
    assert (report.applied.name, report.applied.outcome) == ("002_b.sql", Outcome.APPLIED)
    assert (report.later, report.findings) == ((), ())
    assert database.rows("SELECT id, name FROM b") == [(2, "two")]
    (first, last), status = database.rows(ROWS), migrator.status()[1]
    assert first == before[0]
    assert status.migration is not None
    assert last[1:3] == ("002_b.sql", status.migration.checksum)
    if database.is_postgresql:  # SQLite takes the one that is free
        assert int(str(last[0])) > int(str(before[1][0]))
    assert status.conditions == ()
    assert log(database) == [("rolled back", "002_b.sql"), ("applied", "002_b.sql")]


@pytest.mark.parametrize("name", ["001_a.sql", "001_a", "1", "0001"])
def test_one_that_is_not_the_last(database: Database, migrator: Migrator, write: Write, name: str) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer, more integer);"})
    assert migrator.redo_plan(name).later == ("002_b.sql",)
    report = migrator.redo(name)
    assert (report.applied.name, report.later) == ("001_a.sql", ("002_b.sql",))
    assert ledger(database) == ["002_b.sql", "001_a.sql"]
    assert database.rows("SELECT id, more FROM a") == []
    assert database.rows("SELECT * FROM b") == [(1,)]
    assert [status.conditions for status in migrator.status()] == [(), ()]


def test_again_and_again(database: Database, migrator: Migrator) -> None:
    for _ in range(3):
        migrator.redo()
    assert_untouched(database, *[("rolled back", "002_b.sql"), ("applied", "002_b.sql")] * 3)


def test_the_plan_writes_nothing(database: Database, migrator: Migrator, write: Write) -> None:
    write({"002_b.sql": NEW})
    plan = migrator.redo_plan()
    assert (plan.name, plan.down.path.name, plan.up.path.name) == (
        "002_b.sql",
        "002_b.down.sql",
        "002_b.sql",
    )
    assert (len(plan.down.statements), len(plan.up.statements)) == (1, 2)
    apart = "002_b.down.sql runs without a transaction: DROP TABLE" if database.is_mysql else None
    apart = "DuckDB has no savepoints" if database.is_duckdb else apart
    assert (plan.apart, plan.later, plan.findings) == (apart, (), ())
    assert_untouched(database)


def test_others_do_not_matter(database: Database, migrator: Migrator, folder: Path, write: Write) -> None:
    """Neither edited nor missing nor pending ones, however strict."""
    del migrator
    write({"001_a.sql": "SELECT 1;", "000_late.sql": "CREATE TABLE late (id integer);"})
    (folder / "001_a.down.sql").unlink()
    strict = Migrator(database.engine(), folder, strict=True, strict_order=True)
    assert strict.redo().findings == ()
    (folder / "001_a.sql").unlink()
    assert strict.redo().findings == ()
    assert ledger(database) == ["001_a.sql", "002_b.sql"]
    assert "late" not in database.tables()


def test_what_is_odd_about_the_files(database: Database, migrator: Migrator, write: Write) -> None:
    write({"002_b.down.sql": "-- nothing yet\n", "002_b.sql": "SELECT 1;\n-- fluxmig: transaction\n"})
    kinds = ["empty", "directive"]
    assert [finding.kind for finding in migrator.redo_plan().findings] == kinds
    report = migrator.redo()
    assert [(finding.kind, finding.names) for finding in report.findings] == [
        ("empty", ("002_b.down.sql",)),
        ("directive", ("002_b.sql",)),
    ]
    assert "b" in database.tables()


# --- what is refused --------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[str | None, type[FluxmigError], str]] = {
    "unknown": (
        "9",
        ConfigError,
        "redo 9: there is no such migration\n`fluxmig status` lists them",
    ),
    "empty": ("", ConfigError, "redo : there is no such migration\n`fluxmig status` lists them"),
    "a URL": (
        "sqlite://u:secret@x/y",
        ConfigError,
        "redo: there is no such migration\n`fluxmig status` lists them",
    ),
    "ambiguous": (
        "4",
        ConfigError,
        "redo 4 is ambiguous: 004_x.sql and 004_y.sql\ngive the file's name",
    ),
    "pending": (
        "004_x",
        LedgerError,
        "004_x.sql is not applied, so it cannot be redone\n`fluxmig run --only 004_x.sql` applies it",
    ),
    "no down script": (
        "1",
        RollbackError,
        "nothing was taken back: 001_a.sql has no down script\nwrite 001_a.down.sql",
    ),
    "missing": (
        "3",
        RollbackError,
        "nothing was taken back: 003_c.sql is not in the folder\nbring the file back",
    ),
    "missing, by default": (
        None,
        RollbackError,
        "nothing was taken back: 003_c.sql is not in the folder\nbring the file back",
    ),
}


@pytest.mark.parametrize(("name", "kind", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_redone(
    database: Database,
    migrator: Migrator,
    folder: Path,
    write: Write,
    name: str | None,
    kind: type[FluxmigError],
    message: str,
) -> None:
    write({"003_c.sql": "SELECT 1;", "003_c.down.sql": "SELECT 1;"})
    migrator.run()
    (folder / "003_c.sql").unlink()
    (folder / "001_a.down.sql").unlink()
    write(dict.fromkeys(("004_x.sql", "004_x.down.sql", "004_y.sql"), "SELECT 1;"))
    with pytest.raises(kind) as caught:
        migrator.redo_plan(name)
    assert str(caught.value) == str(fails(migrator, kind, name)) == message
    assert ledger(database) == ["001_a.sql", "002_b.sql", "003_c.sql"]
    assert log(database) == [("applied", "003_c.sql")]


def test_nothing_is_applied(database: Database, folder: Path, write: Write) -> None:
    write(FILES)
    error = fails(Migrator(database.engine(), folder), RollbackError)
    assert str(error) == "nothing is applied, so there is nothing to roll back"
    assert database.tables() == set()


@pytest.mark.parametrize("name", ["002_b.sql", "002_b.down.sql"])
def test_both_scripts_are_checked_before_one_runs(
    database: Database, migrator: Migrator, write: Write, name: str
) -> None:
    write({name: "DROP TABLE b;\nSELECT 'open;"})
    error = fails(migrator, MigrationFileError)
    assert [problem.path.name for problem in error.problems] == [name]
    assert_untouched(database)


# --- failures in one transaction --------------------------------------------------------------------------


@pytest.mark.savepoints
@pytest.mark.transactional_ddl
def test_a_failing_file_leaves_everything_as_it_was(
    database: Database, migrator: Migrator, write: Write
) -> None:
    before = database.rows(ROWS)
    write({"002_b.sql": BROKEN})
    error = fails(migrator, MigrationFailedError)
    (step,) = error.failures
    assert error.message == str(step.failure)
    assert "002_b.sql:2:" in error.message
    assert error.message.endswith(f"\n{AS_IT_WAS}")
    assert isinstance(error.__cause__, DBAPIError)
    assert (error.report.results, error.report.pending) == ((step,), ())
    assert database.rows(ROWS) == before
    assert_untouched(database, ("failed", "002_b.sql"))
    assert migrator.log("002_b")[-1].line == 2
    # It is applied, and edited; that an attempt to redo it failed says nothing of it.
    assert migrator.status()[1].conditions == (Condition.MODIFIED,)
    write({"002_b.sql": NEW})
    migrator.redo()
    assert database.rows("SELECT * FROM b") == [(2, "two")]


@pytest.mark.transactional_ddl
def test_a_failing_down_script_leaves_everything_as_it_was(
    database: Database, migrator: Migrator, write: Write
) -> None:
    before = database.rows(ROWS)
    write({"002_b.sql": NEW, "002_b.down.sql": "DROP TABLE b;\nDROP TABLE nowhere;"})
    error = fails(migrator, RollbackError)
    assert error.message.startswith("the down script of 002_b.sql failed, and changed nothing\n")
    assert (error.failure.path.name, error.failure.line) == ("002_b.down.sql", 2)
    assert (error.names, error.report) == (("002_b.sql",), RollbackReport())
    assert isinstance(error.__cause__, DBAPIError)
    assert database.rows(ROWS) == before
    assert_untouched(database, ("failed", "002_b.down.sql"))


def test_a_marked_one_stays_marked(database: Database, folder: Path, write: Write) -> None:
    write(FILES)
    database.rows("CREATE TABLE a (id integer)")
    migrator = Migrator(database.engine(), folder)
    migrator.run(only="1")
    write({"001_a.sql": "CREATE TABLE a (id integer);\nSELECT 1 FROM nowhere;"})
    error = fails(migrator, MigrationFailedError)
    assert [finding.kind for finding in error.report.findings] == ["marked"]
    conditions = migrator.status()[0].conditions
    if database.is_mysql:  # what was taken back stays so, and the half of it that was applied again
        assert conditions == (Condition.FAILED, Condition.PARTIAL)
        return
    if database.is_duckdb:  # likewise, without that half
        assert conditions == (Condition.FAILED,)
        return
    assert conditions == (Condition.MARKED, Condition.MODIFIED)
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    assert [finding.kind for finding in migrator.redo().findings] == ["marked"]
    assert migrator.status()[0].conditions == ()


# --- duplicates -------------------------------------------------------------------------------------------

LEAVES = f"002_b.down.sql leaves it there: it has to take back all that 002_b.sql makes.\n{AS_IT_WAS}"
TWICE = f"002_b.down.sql leaves nothing like it: 002_b.sql makes it twice.\n{AS_IT_WAS}"
TABLE_B = "CREATE TABLE b (id integer);"


@pytest.mark.savepoints
@pytest.mark.transactional_ddl
@pytest.mark.parametrize(
    ("setting", "head"),
    [
        *((policy, "") for policy in ("mark", "verify", "fail")),
        *(("fail", f"-- fluxmig: on-duplicate={policy}\n") for policy in ("mark", "verify", "fail")),
    ],
)
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(("DELETE FROM b;", TABLE_B, LEAVES), id="the down script leaves it"),
        pytest.param(("DROP TABLE b;", f"{TABLE_B}\n{TABLE_B}", TWICE), id="the file makes it twice"),
    ],
)
def test_what_is_there_already_is_never_marked(
    database: Database,
    migrator: Migrator,
    folder: Path,
    write: Write,
    setting: str,
    head: str,
    case: tuple[str, str, str],
) -> None:
    del migrator
    down, up, says = case
    write({"002_b.sql": head + up, "002_b.down.sql": down})
    error = fails(Migrator(database.engine(), folder, on_duplicate=setting), MigrationFailedError)
    assert error.failures[0].failure.remedy == says
    assert_untouched(database, ("failed", "002_b.sql"))


def test_a_duplicate_of_which_nothing_is_known(postgresql: Database, folder: Path, write: Write) -> None:
    block = "DO $$ BEGIN EXECUTE 'CREATE TABLE b (id integer)'; END $$;"
    write({"002_b.sql": block, "002_b.down.sql": "SELECT 1;"})
    migrator = Migrator(postgresql.engine(), folder)
    migrator.run()
    assert fails(migrator, MigrationFailedError).failures[0].failure.remedy == (
        "002_b.down.sql leaves it there, unless the file makes it twice: it has to take back all that"
        f" 002_b.sql makes.\n{AS_IT_WAS}"
    )


@pytest.mark.savepoints
def test_what_is_there_already_may_be_completed(
    database: Database, migrator: Migrator, folder: Path, write: Write
) -> None:
    del migrator
    write({"002_b.sql": f"{TABLE_B}\nCREATE TABLE c (id integer);", "002_b.down.sql": "SELECT 1;"})
    report = Migrator(database.engine(), folder, on_duplicate="complete").redo()
    assert [statement.number for statement in report.applied.skipped] == [1]
    assert database.tables() == OWN | {"a", "b", "c"}
    if database.is_mysql:  # never in a transaction
        return
    with database.engine().begin() as connection:
        connection.execute(text("DROP TABLE c"))
        Migrator(connection, folder, on_duplicate="complete").redo()
    assert database.tables() == OWN | {"a", "b", "c"}
    assert ledger(database) == ["001_a.sql", "002_b.sql"]


# --- without a transaction --------------------------------------------------------------------------------


@pytest.mark.parametrize("without", ["002_b.sql", "002_b.down.sql"])
def test_one_after_the_other(database: Database, migrator: Migrator, write: Write, without: str) -> None:
    files = {"002_b.sql": NEW, "002_b.down.sql": "DROP TABLE b;"}
    write({name: NO + content if name == without else content for name, content in files.items()})
    apart = f"{without} runs without a transaction: the file says so"
    if database.is_mysql:  # neither has one
        apart = "002_b.down.sql runs without a transaction: DROP TABLE"
    assert migrator.redo_plan().apart == apart
    assert migrator.redo().applied.outcome is Outcome.APPLIED
    assert ledger(database) == ["001_a.sql", "002_b.sql"]
    assert database.rows("SELECT * FROM b") == [(2, "two")]
    assert [event for event in log(database) if event[0] in {"rolled back", "applied"}] == [
        ("rolled back", "002_b.sql"),
        ("applied", "002_b.sql"),
    ]
    assert [status.conditions for status in migrator.status()] == [(), ()]


def test_a_file_that_fails_after_the_other(database: Database, migrator: Migrator, write: Write) -> None:
    write({"002_b.sql": BROKEN, "002_b.down.sql": f"{NO}DROP TABLE b;"})
    error = fails(migrator, MigrationFailedError)
    assert error.message.endswith(f"\n{PENDING}")
    assert error.report.pending == ("002_b.sql",)
    assert ledger(database) == ["001_a.sql"]
    assert database.tables() == OWN | {"a"} | ({"b"} if database.is_mysql else set())
    partial = (Condition.PARTIAL,) * database.is_mysql
    assert migrator.status()[1].conditions == (Condition.FAILED, *partial)
    write({"002_b.sql": NEW})
    migrator.run()
    assert database.rows("SELECT * FROM b") == [(2, "two")]


def test_a_file_that_fails_half_way(database: Database, migrator: Migrator, write: Write) -> None:
    write({"002_b.sql": NO + BROKEN})
    error = fails(migrator, MigrationFailedError)
    kept = "1 of 2 statements is done, and stays so: no transaction, since the file says so."
    if database.is_mysql:
        kept = "Statement 2 of 2 failed; statement 1 is done and cannot be rolled back on"
        kept = f"{kept} {database.product}."
    assert error.message.endswith(
        f"\n{kept} The next run goes"
        " on with statement 2; `fluxmig run --restart 002_b.sql` begins with statement 1.\n" + PENDING
    )
    assert ledger(database) == ["001_a.sql"]
    assert database.rows("SELECT * FROM b") == []
    write({"002_b.sql": (NO + BROKEN).replace("nowhere", "a")})
    (step,) = migrator.run().results
    assert step.resumed_at == 2


def test_a_down_script_that_fails_half_way(database: Database, migrator: Migrator, write: Write) -> None:
    down = f"{NO}DELETE FROM b;\nDROP TABLE nowhere;\nDROP TABLE b;"
    write({"002_b.down.sql": down})
    error = fails(migrator, RollbackError)
    assert error.message.startswith("the down script of 002_b.sql failed\n")
    assert error.failure.done == 1
    assert ledger(database) == ["001_a.sql", "002_b.sql"]
    assert database.rows("SELECT * FROM b") == []
    write({"002_b.down.sql": down.replace("DROP TABLE nowhere;", "")})
    migrator.redo()
    assert database.rows("SELECT * FROM b") == [(1,)]


@pytest.mark.parametrize(
    ("kind", "way_out", "remedy"),
    [(LockTimeoutError, None, PENDING), (LedgerError, "a way out", f"a way out\n{PENDING}")],
)
def test_what_comes_between_the_two(
    database: Database,
    migrator: Migrator,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[FluxmigError],
    way_out: str | None,
    remedy: str,
) -> None:
    def refuse(_executor: Executor, _script: Script) -> StepResult:
        raise kind("x", remedy=way_out)

    write({"002_b.down.sql": f"{NO}DROP TABLE b;"})
    monkeypatch.setattr(Executor, "apply", refuse)
    caught = fails(migrator, kind)
    assert caught.remedy == remedy
    assert caught.report.names == ("002_b.sql",)
    assert ledger(database) == ["001_a.sql"]


# --- other runners ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("down", ["DROP TABLE b;", f"{NO}DROP TABLE b;"])
def test_another_runner_took_it_back_first(
    database: Database,
    migrator: Migrator,
    folder: Path,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    down: str,
) -> None:
    def late(executor: Executor, plan: RedoPlan) -> RedoReport:
        Migrator(database.engine(), folder).rollback(record_only=True)
        return redo(executor, plan)

    write({"002_b.down.sql": down})
    monkeypatch.setattr(reversal, "redo", late)
    error = fails(migrator, LedgerError)
    assert str(error) == (
        "002_b.sql is not applied any more: another runner took it back\n`fluxmig run` applies it"
    )
    assert ledger(database) == ["001_a.sql"]
    assert database.rows("SELECT * FROM b") == [(1,)]


@pytest.mark.concurrent_writers
def test_another_runner_has_the_lock(database: Database, migrator: Migrator, folder: Path) -> None:
    del migrator
    url = f"{database.url}?timeout=0" if database.source == "sqlite" else database.url
    database.url = url
    holder = Migrator(database.engine(), folder)
    with database.engine().begin() as connection:
        executor = holder._executor(*_read(holder))
        assert executor.dialect.claim(connection, executor.lock.key)
        error = fails(Migrator(database.engine(), folder, wait_lock_s=0), LockTimeoutError)
        assert error.report == RollbackReport()
    assert_untouched(database)


def _read(migrator: Migrator) -> Any:
    return migrator._read()


# --- the caller's connection ------------------------------------------------------------------------------


@pytest.mark.savepoints
@pytest.mark.transactional_ddl
@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("content", [NEW, BROKEN], ids=["applied", "failing"])
def test_in_a_transaction_of_the_caller(
    database: Database, migrator: Migrator, folder: Path, write: Write, end: str, content: str
) -> None:
    del migrator
    write({"002_b.sql": content})
    with database.engine().connect() as connection:
        connection.execute(text("INSERT INTO a VALUES (7)"))
        inside = Migrator(connection, folder)
        if content == NEW:
            inside.redo()
        else:
            assert AS_IT_WAS in fails(inside, MigrationFailedError).message
        assert connection.in_transaction()
        getattr(connection, end)()
    done = end == "commit"
    assert database.scalar("SELECT count(*) FROM a") == 1 + done
    assert database.rows("SELECT * FROM b") == ([(2, "two")] if done and content == NEW else [(1,)])
    events = [("rolled back", "002_b.sql"), ("applied", "002_b.sql")]
    events = [("failed", "002_b.sql")] if content == BROKEN else events
    assert log(database) == (events if done else [])
    assert ledger(database) == ["001_a.sql", "002_b.sql"]


@pytest.mark.parametrize("content", [NEW, BROKEN], ids=["applied", "failing"])
def test_on_a_connection_of_the_caller(
    database: Database, migrator: Migrator, folder: Path, write: Write, content: str
) -> None:
    del migrator
    write({"002_b.sql": content})
    with database.engine().connect() as connection:
        outside = Migrator(connection, folder)
        if content == NEW:
            outside.redo()
        else:
            fails(outside, MigrationFailedError)
        assert not connection.in_transaction()
    if content == BROKEN and database.is_duckdb:  # in two transactions
        assert "b" not in database.tables()
        return
    before = [] if database.is_mysql else [(1,)]  # there, the table stays that the failing file has made
    assert database.rows("SELECT * FROM b") == ([(2, "two")] if content == NEW else before)


@pytest.mark.savepoints
@pytest.mark.parametrize("name", ["002_b.sql", "002_b.down.sql"])
def test_without_a_transaction_it_is_refused_in_one(
    database: Database, migrator: Migrator, folder: Path, write: Write, name: str
) -> None:
    del migrator
    write({name: f"{NO}SELECT 1;"})
    with database.engine().begin() as connection:
        error = fails(Migrator(connection, folder), ConfigError)
    why = f"{name} has to run outside a transaction (the file says so), and "
    if database.is_mysql and name == "002_b.sql":  # the other one has to, too
        why = "002_b.down.sql has to run outside a transaction (DROP TABLE), and "
    assert error.message.startswith(why)
    assert_untouched(database)


# --- PostgreSQL -------------------------------------------------------------------------------------------

LEVEL = "INSERT INTO levels VALUES (current_setting('transaction_isolation'));"


def begin(level: str) -> str:
    return f"BEGIN ISOLATION LEVEL {level};\n{LEVEL}\nCOMMIT;" if level else LEVEL


def set_transaction(level: str) -> str:
    return f"SET TRANSACTION ISOLATION LEVEL {level};\n{LEVEL}" if level else LEVEL


@pytest.mark.parametrize(
    ("down", "up", "apart"),
    [
        ("", "SERIALIZABLE", None),
        ("REPEATABLE READ", "", None),
        ("SERIALIZABLE", "SERIALIZABLE", None),
        ("SERIALIZABLE", "REPEATABLE READ", "they ask for different isolation levels"),
    ],
)
@pytest.mark.parametrize("asking", [begin, set_transaction])
def test_isolation_levels(
    postgresql: Database,
    folder: Path,
    write: Write,
    down: str,
    up: str,
    apart: str | None,
    asking: Callable[[str], str],
) -> None:
    postgresql.rows("CREATE TABLE levels (level text)")
    write({"001_a.sql": "SELECT 1;", "001_a.down.sql": "SELECT 1;"})
    migrator = Migrator(postgresql.engine(), folder)
    migrator.run()
    write({"001_a.sql": asking(up), "001_a.down.sql": asking(down)})
    assert migrator.redo_plan().apart == apart
    migrator.redo()
    seen = [row[0] for row in postgresql.rows("SELECT upper(level) FROM levels")]
    assert seen == [down or up, up or down]


def test_what_the_scripts_set_ends_with_them(postgresql: Database, folder: Path, write: Write) -> None:
    """For the next script, for the ledger's row, and for whoever gets the connection next."""
    settings = "SET search_path = nowhere;\nPREPARE p AS SELECT 1;\nSET TIME ZONE 'Asia/Tokyo';\n"
    down, up = f"{settings}DROP TABLE public.b;", f"CREATE TABLE b (id integer);\n{settings}"
    write({"002_b.sql": up, "002_b.down.sql": down})
    engine = postgresql.engine(poolclass=QueuePool, pool_size=1, max_overflow=0)
    migrator = Migrator(engine, folder)
    migrator.run()
    seen = text("SELECT current_setting('search_path'), count(name) FROM pg_prepared_statements")
    for content in (up, up + "SELECT 1 FROM nowhere;"):
        write({"002_b.sql": content})
        if content == up:
            migrator.redo()
        else:
            fails(migrator, MigrationFailedError)
        with engine.connect() as connection:
            assert connection.execute(seen).one() == ('"$user", public', 0)
    assert "b" in postgresql.tables()
    with postgresql.engine().connect() as connection:
        for expected in (up, up + "SELECT 1 FROM nowhere;"):
            write({"002_b.sql": expected})
            with connection.begin():
                if expected == up:
                    Migrator(connection, folder).redo()
                else:
                    fails(Migrator(connection, folder), MigrationFailedError)
                assert connection.execute(seen).one() == ('"$user", public', 0)
            with connection.begin():
                assert connection.execute(seen).one() == ('"$user", public', 0)


def test_what_is_refused_at_the_commit(postgresql: Database, folder: Path, write: Write) -> None:
    up = (
        "CREATE TABLE b (id integer PRIMARY KEY, parent integer REFERENCES b DEFERRABLE INITIALLY DEFERRED);"
        "\nINSERT INTO b VALUES (1, 1);"
    )
    write({"002_b.sql": up, "002_b.down.sql": "DROP TABLE b;"})
    migrator = Migrator(postgresql.engine(), folder)
    migrator.run()
    before = postgresql.rows(ROWS)
    write({"002_b.sql": up.replace("(1, 1)", "(1, 2)")})
    error = fails(migrator, MigrationFailedError)
    assert error.message.endswith(f"\nThis came at the commit, after every statement had run.\n{AS_IT_WAS}")
    assert error.failures[0].failure.code == "23503"
    assert isinstance(error.report, Report)
    assert error.report.pending == ()
    assert isinstance(error.__cause__, DBAPIError)
    assert postgresql.rows(ROWS) == before
    assert postgresql.rows("SELECT * FROM b") == [(1, 1)]
    assert postgresql.log() == [("applied", "002_b.sql"), ("failed", "002_b.sql")]


def test_concurrent_indexes(postgresql: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (id integer);",
            "002_i.sql": "CREATE INDEX CONCURRENTLY i ON a (id);",
            "002_i.down.sql": "DROP INDEX CONCURRENTLY i;",
        }
    )
    migrator = Migrator(postgresql.engine(), folder)
    migrator.run()
    write({"002_i.sql": "CREATE INDEX CONCURRENTLY i ON a (id DESC);"})
    plan = migrator.redo_plan()
    assert plan.apart == "002_i.down.sql runs without a transaction: DROP INDEX CONCURRENTLY"
    migrator.redo()
    assert "DESC" in str(postgresql.scalar("SELECT indexdef FROM pg_indexes WHERE indexname = 'i'"))
    # What the concurrent build meets is told as well.
    write({"002_i.down.sql": "SELECT 1;"})
    error = fails(migrator, MigrationFailedError)
    assert error.message.endswith(
        "\n002_i.down.sql leaves it there: it has to take back all that 002_i.sql makes."
        "\n002_i.sql is taken back, and pending: `fluxmig run` applies it."
    )


def test_what_the_server_says(postgresql: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "SELECT 1;", "001_a.down.sql": "DROP TABLE IF EXISTS nowhere;"})
    migrator = Migrator(postgresql.engine(), folder)
    migrator.run()
    write({"001_a.sql": "DROP TABLE IF EXISTS elsewhere;"})
    said: list[str] = []
    report = migrator.redo(on_notice=lambda notice: said.append(notice.message))
    assert said == [f'table "{name}" does not exist, skipping' for name in ("nowhere", "elsewhere")]
    assert [notice.message for notice in report.applied.notices] == said[1:]
