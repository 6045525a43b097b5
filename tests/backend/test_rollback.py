"""Taking migrations back, on every database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fluxmig import (
    ConfigError,
    Finding,
    LedgerError,
    MigrationFailedError,
    MigrationFileError,
    Migrator,
    RollbackError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from fluxmig import RollbackResult
    from tests.support import Database, Write

CONTAINERS = VERSIONS = False
FILES: dict[str, str] = {
    "001_a.sql": "CREATE TABLE a (id integer);",
    "001_a.down.sql": "DROP TABLE a;",
    "002_b.sql": "CREATE TABLE b (id integer);",
    "002_b.down.sql": "DROP TABLE b;",
    "003_c.sql": "CREATE TABLE c (id integer);",
    "003_c.down.sql": "INSERT INTO b VALUES (1);\nDROP TABLE c;",
}
ALL = ["001_a.sql", "002_b.sql", "003_c.sql"]
LEDGER = "SELECT migration_name FROM schema_migrations ORDER BY id"
OWN = {"schema_migrations", "schema_migrations_log"}


@pytest.fixture
def migrator(database: Database, folder: Path, write: Write) -> Migrator:
    write(FILES)
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    return migrator


def ledger(database: Database) -> list[object]:
    return [row[0] for row in database.rows(LEDGER)]


def log(database: Database) -> list[tuple[object, ...]]:
    """What the log says since the three were applied."""
    return database.log()[3:]


def refuses(migrator: Migrator, kind: type[Exception], **asked: Any) -> Any:
    """The error that both the plan and the rollback end with."""
    found = []
    for act in (migrator.rollback_plan, migrator.rollback):
        with pytest.raises(kind) as caught:
            act(**asked)
        found.append(caught.value)
    assert str(found[0]) == str(found[1])
    return found[1]


def assert_untouched(database: Database) -> None:
    assert ledger(database) == ALL
    assert log(database) == []
    assert database.tables() == OWN | {"a", "b", "c"}


# --- by the down script -----------------------------------------------------------------------------------


def test_a_down_script_runs_and_the_record_goes_with_it(database: Database, migrator: Migrator) -> None:
    report = migrator.rollback()
    (result,) = report.results
    assert (result.name, result.reversed) == ("003_c.sql", True)
    assert (report.names, report.findings, report.to) == (("003_c.sql",), (), None)
    assert ledger(database) == ["001_a.sql", "002_b.sql"]
    assert "c" not in database.tables()
    assert database.scalar("SELECT count(*) FROM b") == 1
    assert log(database) == [("rolled back", "003_c.sql")]


def test_several_go_newest_first(database: Database, migrator: Migrator) -> None:
    seen: list[object] = []
    report = migrator.rollback(2, on_step=seen.append)
    assert [(result.name, result.reversed) for result in report.results] == [
        ("003_c.sql", True),
        ("002_b.sql", True),
    ]
    assert seen == list(report.results)
    assert ledger(database) == ["001_a.sql"]
    assert database.tables() == OWN | {"a"}
    assert log(database) == [("rolled back", "003_c.sql"), ("rolled back", "002_b.sql")]


def test_more_steps_than_there_are(database: Database, migrator: Migrator) -> None:
    assert len(migrator.rollback(99).results) == 3
    assert ledger(database) == []
    assert database.tables() == OWN


def test_nothing_to_roll_back(database: Database, folder: Path) -> None:
    migrator = Migrator(database.engine(), folder)
    error = refuses(migrator, RollbackError)
    assert str(error) == "nothing is applied, so there is nothing to roll back"
    assert database.tables() == set()


def test_the_plan_of_a_rollback_changes_nothing(database: Database, migrator: Migrator) -> None:
    planned = migrator.rollback_plan(2)
    assert [(result.name, result.reversed) for result in planned.results] == [
        ("003_c.sql", True),
        ("002_b.sql", True),
    ]
    assert_untouched(database)


def test_what_was_taken_back_runs_again(database: Database, migrator: Migrator) -> None:
    migrator.rollback()
    assert [step.name for step in migrator.run().results] == ["003_c.sql"]
    assert "c" in database.tables()


@pytest.mark.parametrize("steps", [0, -1])
def test_steps_below_one_are_refused(database: Database, migrator: Migrator, steps: int) -> None:
    message = f"steps must be 1 or more, and not {steps}"
    assert str(refuses(migrator, ConfigError, steps=steps)) == message
    with pytest.raises(ConfigError, match=f"^{message}$"):
        migrator.run(steps=steps)
    assert_untouched(database)


# --- without a down script --------------------------------------------------------------------------------

BARE = {
    "one": (["002_b.down.sql"], 2, "002_b.sql has no down script", "write 002_b.down.sql"),
    "two": (
        ["003_c.down.sql", "001_a.down.sql"],
        3,
        "003_c.sql, 001_a.sql have no down script",
        "write 003_c.down.sql and the others",
    ),
    "a missing file": (["003_c.sql"], 1, "003_c.sql is not in the folder", "bring the file back"),
    "missing files": (
        ["003_c.sql", "002_b.sql", "002_b.down.sql"],
        2,
        "003_c.sql, 002_b.sql are not in the folder",
        "bring the files back",
    ),
    "both": (
        ["003_c.sql", "002_b.down.sql"],
        3,
        "002_b.sql has no down script; 003_c.sql is not in the folder",
        "write 002_b.down.sql, bring the file back",
    ),
}


@pytest.mark.parametrize(("gone", "steps", "why", "way"), BARE.values(), ids=BARE)
def test_without_a_down_script_nothing_is_taken_back(
    database: Database, migrator: Migrator, folder: Path, gone: list[str], steps: int, why: str, way: str
) -> None:
    for name in gone:
        (folder / name).unlink()
    error = refuses(migrator, RollbackError, steps=steps)
    assert str(error) == (
        f"nothing was taken back: {why}\n{way}, or `--record-only` removes the records and reverses nothing"
    )
    assert sorted(error.names) == sorted(re.findall(r"\w+\.sql", why))
    assert error.report is not None
    assert error.report.results == ()
    assert_untouched(database)


def test_one_with_a_down_script_does_not_wait_for_those_before_it(
    database: Database, migrator: Migrator, folder: Path
) -> None:
    (folder / "002_b.down.sql").unlink()
    migrator.rollback()
    assert ledger(database) == ["001_a.sql", "002_b.sql"]


def test_record_only(database: Database, migrator: Migrator, folder: Path) -> None:
    (folder / "003_c.sql").unlink()
    (folder / "002_b.down.sql").unlink()
    report = migrator.rollback(2, record_only=True)
    assert [(result.name, result.reversed) for result in report.results] == [
        ("003_c.sql", False),
        ("002_b.sql", False),
    ]
    assert ledger(database) == ["001_a.sql"]
    assert {"b", "c"} <= database.tables()
    assert log(database) == [("unrecorded", "003_c.sql"), ("unrecorded", "002_b.sql")]


@pytest.mark.parametrize("content", [b"\xff", b"SELECT '"])
def test_record_only_needs_no_folder(
    database: Database, migrator: Migrator, folder: Path, write: Write, content: bytes
) -> None:
    write({"003_c.sql": content, "003_c.down.sql": content})
    with pytest.raises(MigrationFileError):
        migrator.rollback()
    migrator.rollback(record_only=True)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    with pytest.raises(ConfigError, match=r"^there is no folder "):
        migrator.rollback()
    assert [result.reversed for result in migrator.rollback(to="1", record_only=True).results] == [False]
    assert ledger(database) == ["001_a.sql"]


def test_every_down_script_is_checked_before_the_first_one_runs(
    database: Database, migrator: Migrator, write: Write
) -> None:
    write({"002_b.down.sql": "SELECT 'open;", "001_a.down.sql": "DROP TABLE a;\nROLLBACK;"})
    error = refuses(migrator, MigrationFileError, steps=3)
    assert [problem.path.name for problem in error.problems] == ["002_b.down.sql", "001_a.down.sql"]
    assert_untouched(database)


# --- --to -------------------------------------------------------------------------------------------------

TO = {
    "001_a.sql": ["003_c.sql", "002_b.sql"],
    "001_a": ["003_c.sql", "002_b.sql"],
    "1": ["003_c.sql", "002_b.sql"],
    "002": ["003_c.sql"],
    "3": [],
    "0": ["003_c.sql", "002_b.sql", "001_a.sql"],
    "000": ["003_c.sql", "002_b.sql", "001_a.sql"],
}


@pytest.mark.parametrize(("to", "expected"), TO.items(), ids=TO)
def test_to(database: Database, migrator: Migrator, to: str, expected: list[str]) -> None:
    planned = migrator.rollback_plan(to=to)
    report = migrator.rollback(to=to)
    left = [name for name in ALL if name not in expected]
    assert list(report.names) == list(planned.names) == expected
    assert report.to == planned.to == (left[-1] if left else None)
    assert ledger(database) == left
    assert database.tables() == OWN | {name[4] for name in left}
    assert log(database) == [("rolled back", name) for name in expected]


def test_to_goes_by_the_order_of_application(
    database: Database, migrator: Migrator, write: Write, folder: Path
) -> None:
    write({"000_late.sql": "CREATE TABLE late (id integer);", "000_late.down.sql": "DROP TABLE late;"})
    migrator.run()
    assert migrator.rollback_plan(to="2").names == ("000_late.sql", "003_c.sql")
    assert migrator.rollback_plan(to="0").names == ()  # a file has that number
    assert migrator.rollback(to="003_c").names == ("000_late.sql",)
    assert ledger(database) == ALL
    # It is pending now, and still meant by its number.
    error = refuses(migrator, LedgerError, to="0")
    assert str(error) == (
        "000_late.sql is not applied, so there is no way back to that\n`fluxmig status` tells what is applied"
    )
    assert (error.names, error.exit_code) == (("000_late.sql",), 4)
    (folder / "000_late.sql").unlink()
    (folder / "000_late.down.sql").unlink()
    assert len(migrator.rollback_plan(to="0").names) == 3


def test_a_number_of_several_is_the_last_of_them_that_was_applied(
    database: Database, migrator: Migrator, write: Write
) -> None:
    write({f"002_{name}.sql": f"CREATE TABLE x{name} (id integer);" for name in "xyz"})
    migrator.run(only="002_y.sql")
    assert migrator.rollback_plan(to="2").names == ()
    migrator.rollback(record_only=True)
    assert migrator.rollback_plan(to="2").names == ("003_c.sql",)
    migrator.rollback(2, record_only=True)
    error = refuses(migrator, LedgerError, to="2")
    assert error.message == (
        "002_b.sql and 002_x.sql and 002_y.sql and 002_z.sql are not applied, so there is no way back to that"
    )
    assert ledger(database) == ["001_a.sql"]


UNKNOWN = [
    "",
    "4",
    "nothing",
    "001_A.sql",
    "1.",
    "-1",
    "01 ",
    "\u0663",
    "001_a.down.sql",
    "%",
    "' OR 1=1",
    "9" * 5000,
]


@pytest.mark.parametrize("to", UNKNOWN, ids=lambda to: to[:20])
def test_to_something_unknown(database: Database, migrator: Migrator, to: str) -> None:
    error = refuses(migrator, ConfigError, to=to)
    assert str(error) == f"--to {to}: there is no such migration\n`fluxmig status` lists them"
    assert_untouched(database)


def test_to_a_url_is_not_repeated(migrator: Migrator) -> None:
    error = refuses(migrator, ConfigError, to="postgresql://ada:secret@db/app")
    assert error.message == "--to: there is no such migration"


def test_to_and_steps(database: Database, migrator: Migrator) -> None:
    for steps in (1, 2):
        error = refuses(migrator, ConfigError, steps=steps, to="1")
        assert str(error) == "--to and --steps both say how far to go back\ngive one of the two"
    assert_untouched(database)


def test_to_with_nothing_applied(database: Database, folder: Path, write: Write) -> None:
    write(FILES)
    migrator = Migrator(database.engine(), folder)
    assert migrator.rollback(to="0").names == ()
    error = refuses(migrator, LedgerError, to="1")
    assert error.message == "001_a.sql is not applied, so there is no way back to that"
    assert database.tables() == set()


# --- failures ---------------------------------------------------------------------------------------------


@pytest.mark.transactional_ddl
def test_a_failing_down_script_changes_nothing(database: Database, migrator: Migrator, write: Write) -> None:
    write({"003_c.down.sql": "DROP TABLE c;\nDROP TABLE nowhere;"})
    with pytest.raises(RollbackError) as caught:
        migrator.rollback()
    error = caught.value
    assert error.failure is not None
    assert error.message == f"the down script of 003_c.sql failed, and changed nothing\n{error.failure}"
    assert "003_c.down.sql:2:" in error.message
    assert "in statement 2 of 2: DROP TABLE nowhere\n" in error.message
    assert "  2 | DROP TABLE nowhere;" in error.message
    assert (error.failure.path.name, error.failure.line, error.failure.done) == ("003_c.down.sql", 2, 0)
    assert (error.names, error.report is not None and error.report.results) == (("003_c.sql",), ())
    assert isinstance(error.__cause__, DBAPIError)
    assert ledger(database) == ALL
    assert "c" in database.tables()
    assert log(database) == [("failed", "003_c.down.sql")]
    assert [status.conditions for status in migrator.status()] == [(), (), ()]


@pytest.mark.parametrize("asked", [{"steps": 3}, {"to": "0"}], ids=["steps", "to"])
def test_steps_before_a_failing_one_stay_taken_back(
    database: Database, migrator: Migrator, write: Write, asked: dict[str, Any]
) -> None:
    write({"002_b.down.sql": "DROP TABLE b;\nDROP TABLE nowhere;"})
    with pytest.raises(RollbackError) as caught:
        migrator.rollback(**asked)
    assert caught.value.report is not None
    assert [result.name for result in caught.value.report.results] == ["003_c.sql"]
    assert ledger(database) == ["001_a.sql", "002_b.sql"]
    assert database.tables() == OWN | {"a"} | (set() if database.is_mysql else {"b"})
    assert log(database) == [("rolled back", "003_c.sql"), ("failed", "002_b.down.sql")]
    write({"002_b.down.sql": "DROP TABLE b;"})
    assert migrator.rollback(to="0").names == ("002_b.sql", "001_a.sql")


# --- what to know -----------------------------------------------------------------------------------------


def test_a_modified_one_is_taken_back_with_a_warning(
    database: Database, migrator: Migrator, write: Write
) -> None:
    write({"002_b.sql": "CREATE TABLE b (id integer, name text);"})
    finding = Finding(
        "modified",
        "changed since it was applied: 002_b.sql",
        ("002_b.sql",),
        "down scripts run as they are now: see that they fit what was applied",
    )
    assert migrator.rollback_plan(2).findings == (finding,)
    assert migrator.rollback_plan(2, record_only=True).findings == ()
    assert migrator.rollback_plan(1).findings == ()
    assert migrator.rollback(2).findings == (finding,)
    assert ledger(database) == ["001_a.sql"]


def test_a_marked_one_is_taken_back_with_a_warning(database: Database, folder: Path, write: Write) -> None:
    write(FILES)
    database.rows("CREATE TABLE a (id integer)")
    migrator = Migrator(database.engine(), folder, on_duplicate="mark")
    migrator.run(only="1")
    finding = Finding(
        "marked",
        "recorded without having run to its end: 001_a.sql",
        ("001_a.sql",),
        "a down script also drops what was there before; `--record-only` removes the record alone",
    )
    assert migrator.rollback_plan().findings == (finding,)
    assert migrator.rollback().findings == (finding,)
    assert database.tables() == OWN


def test_a_partial_one_is_left_as_it_is(database: Database, migrator: Migrator, write: Write) -> None:
    write(
        {
            "004_d.sql": "-- fluxmig: no-transaction\nCREATE TABLE d (id integer);\nSELECT 1 FROM nowhere;",
            "004_d.down.sql": "DROP TABLE d;",
        }
    )
    with pytest.raises(MigrationFailedError, match="nowhere"):
        migrator.run()
    finding = Finding(
        "partial",
        "004_d.sql has stopped half-way and is not applied: a rollback leaves it as it is",
        ("004_d.sql",),
        "`fluxmig run` goes on with it, `fluxmig resolve` settles it",
    )
    report = migrator.rollback()
    assert (report.names, report.findings) == (("003_c.sql",), (finding,))
    assert "d" in database.tables()
    error = refuses(migrator, LedgerError, to="4")
    assert error.message == "004_d.sql is not applied, so there is no way back to that"


def test_an_empty_down_script_is_told(database: Database, migrator: Migrator, write: Write) -> None:
    write({"003_c.down.sql": "-- reverses it\n"})
    finding = Finding(
        "empty", "holds no statement: 003_c.down.sql", ("003_c.down.sql",), "is the SQL missing?"
    )
    assert migrator.rollback_plan().findings == (finding,)
    assert migrator.rollback().findings == (finding,)
    assert ledger(database) == ["001_a.sql", "002_b.sql"]


def test_without_a_log_it_says_so(one_postgresql: Database, folder: Path, write: Write) -> None:
    write(FILES)
    Migrator(one_postgresql.engine(), folder).run()
    one_postgresql.rows("DROP TABLE schema_migrations_log")
    one_postgresql.rows("CREATE TABLE schema_migrations_log (event integer)")
    report = Migrator(one_postgresql.engine(), folder).rollback()
    (finding,) = report.findings
    assert finding.kind == "log"
    assert finding.message.startswith("public.schema_migrations_log cannot be made, so no events are kept: ")
    assert report.names == ("003_c.sql",)


# --- other runners ----------------------------------------------------------------------------------------


def test_what_was_agreed_to_is_what_happens(database: Database, migrator: Migrator, write: Write) -> None:
    planned = migrator.rollback_plan()
    write({"004_d.sql": "CREATE TABLE d (id integer);", "004_d.down.sql": "DROP TABLE d;"})
    migrator.run()
    with pytest.raises(LedgerError) as caught:
        migrator.rollback(expected=planned.names)
    assert str(caught.value) == (
        "nothing was taken back: by now it would be 004_d.sql\n"
        "the ledger has changed meanwhile: look again, by `fluxmig rollback --dry-run`"
    )
    assert "d" in database.tables()
    assert migrator.rollback(to="3", expected=["004_d.sql"]).names == ("004_d.sql",)


@pytest.mark.parametrize("record_only", [False, True])
def test_another_runner_was_faster(
    database: Database, migrator: Migrator, folder: Path, *, record_only: bool
) -> None:
    def meanwhile(result: RollbackResult) -> None:
        if result.name == "003_c.sql":
            Migrator(database.engine(), folder).rollback(record_only=True)

    report = migrator.rollback(3, record_only=record_only, on_step=meanwhile)
    assert report.names == ("003_c.sql", "001_a.sql")
    said = "002_b.sql was taken back by another runner meanwhile"
    assert report.findings == (Finding("overtaken", said, ("002_b.sql",)),)
    assert ledger(database) == []
    assert "b" in database.tables()


# --- the caller's connection ------------------------------------------------------------------------------


@pytest.mark.savepoints
@pytest.mark.transactional_ddl
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_in_a_transaction_of_the_caller(
    database: Database, migrator: Migrator, folder: Path, end: str
) -> None:
    del migrator
    with database.engine().connect() as connection:
        connection.execute(text("INSERT INTO a VALUES (7)"))
        assert Migrator(connection, folder).rollback(to="1").names == ("003_c.sql", "002_b.sql")
        assert connection.in_transaction()
        getattr(connection, end)()
    if end == "rollback":
        assert_untouched(database)
    else:
        assert ledger(database) == ["001_a.sql"]
        assert database.tables() == OWN | {"a"}
    assert database.scalar("SELECT count(*) FROM a") == (end == "commit")


@pytest.mark.savepoints
@pytest.mark.transactional_ddl
def test_a_failure_in_a_transaction_of_the_caller(
    database: Database, migrator: Migrator, folder: Path, write: Write
) -> None:
    del migrator
    write({"002_b.down.sql": "DROP TABLE b;\nDROP TABLE nowhere;"})
    with database.engine().connect() as connection:
        connection.execute(text("INSERT INTO a VALUES (7)"))
        with pytest.raises(
            RollbackError, match=r"^the down script of 002_b.sql failed, and changed nothing\n"
        ):
            Migrator(connection, folder).rollback(to="0")
        connection.commit()
    assert ledger(database) == ["001_a.sql", "002_b.sql"]
    assert log(database) == [("rolled back", "003_c.sql"), ("failed", "002_b.down.sql")]
    assert database.scalar("SELECT count(*) FROM a") == 1


@pytest.mark.savepoints
def test_a_down_script_without_a_transaction_is_refused_in_one(
    database: Database, migrator: Migrator, folder: Path, write: Write
) -> None:
    del migrator
    write({"002_b.down.sql": "-- fluxmig: no-transaction\nDROP TABLE b;"})
    said = r"^002_b.down.sql has to run outside a transaction \(the file says so\)"
    if database.is_mysql:  # all of them do
        said = r"^003_c.down.sql has to run outside a transaction \(DROP TABLE\)"
    with database.engine().begin() as connection, pytest.raises(ConfigError, match=said):
        Migrator(connection, folder).rollback(2)
    assert_untouched(database)


# --- PostgreSQL -------------------------------------------------------------------------------------------


def test_a_down_script_that_drops_concurrently(postgresql: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (id integer);\nCREATE INDEX i ON a (id);",
            "001_a.down.sql": "DROP INDEX CONCURRENTLY i;\nDROP TABLE nowhere;\nDROP TABLE a;",
        }
    )
    migrator = Migrator(postgresql.engine(), folder)
    migrator.run()
    with pytest.raises(RollbackError) as caught:
        migrator.rollback()
    assert caught.value.message.startswith("the down script of 001_a.sql failed\n")
    assert caught.value.failure is not None
    assert caught.value.failure.done == 1
    assert ledger(postgresql) == ["001_a.sql"]
    write({"001_a.down.sql": "DROP INDEX CONCURRENTLY i;\nDROP TABLE a;"})
    assert migrator.rollback().names == ("001_a.sql",)
    assert postgresql.tables() == OWN
    assert postgresql.log()[1:] == [
        ("started", "001_a.down.sql"),
        ("progress", "001_a.down.sql"),
        ("failed", "001_a.down.sql"),
        ("started", "001_a.down.sql"),
        ("progress", "001_a.down.sql"),
        ("rolled back", "001_a.sql"),
    ]
    # What was done then does not count the next time.
    migrator.run()
    assert migrator.rollback().names == ("001_a.sql",)
    assert postgresql.tables() == OWN


def test_what_the_server_says(postgresql: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "SELECT 1;", "001_a.down.sql": "DROP TABLE IF EXISTS nowhere;"})
    migrator = Migrator(postgresql.engine(), folder)
    migrator.run()
    said: list[str] = []
    migrator.rollback(on_notice=lambda notice: said.append(notice.message))
    assert said == ['table "nowhere" does not exist, skipping']


def test_line_endings_that_were_mixed_make_no_edit(database: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);\r\nSELECT 1;\n", "001_a.down.sql": "DROP TABLE a;"})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    write({"001_a.sql": "CREATE TABLE a (id integer);\nSELECT 1;\n"})
    assert migrator.rollback_plan().findings == ()
    assert migrator.rollback().findings == ()
