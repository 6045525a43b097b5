"""What a run does, on every database: results, ledger, log, and the database after it."""

from __future__ import annotations

import hashlib
from importlib import metadata
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import DBAPIError

from fluxmig import (
    ConfigError,
    LedgerError,
    MigrationFailedError,
    MigrationFileError,
    Migrator,
    Mode,
    OnDuplicate,
    Outcome,
    get_applied_migrations,
    run_migration,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Database, Write

VERSIONS = False
LEDGER = "SELECT migration_name FROM schema_migrations ORDER BY id"

THREE = {
    "001_users.sql": "CREATE TABLE users (id integer PRIMARY KEY);\nINSERT INTO users VALUES (1);\n",
    "002_files.sql": "CREATE TABLE files (id integer PRIMARY KEY);\n",
    "003_links.sql": "CREATE TABLE links (id integer PRIMARY KEY);\n",
}


def outcomes(error_or_report: object) -> list[tuple[str, str]]:
    report = getattr(error_or_report, "report", error_or_report)
    return [(result.name, result.outcome.value) for result in report.results]  # type: ignore[attr-defined]


def names(rows: list[tuple[object, ...]]) -> list[object]:
    return [row[0] for row in rows]


def test_everything_pending_runs_in_order(database: Database, folder: Path, write: Write) -> None:
    write(THREE)
    seen: list[str] = []
    report = Migrator(database.engine(), folder).run(on_step=lambda step: seen.append(step.name))
    assert outcomes(report) == [(name, "applied") for name in THREE]
    assert seen == list(THREE)
    assert report.pending == ()
    assert report.findings == ()
    modes = {Mode.NO_TRANSACTION if database.is_mysql else Mode.TRANSACTION}
    assert {step.mode for step in report.results} == modes
    assert [step.statements for step in report.results] == [2, 1, 1]
    assert names(database.rows(LEDGER)) == list(THREE)
    assert database.log() == [("applied", name) for name in THREE]
    assert database.tables() == {"users", "files", "links", "schema_migrations", "schema_migrations_log"}


def test_a_second_run_does_nothing(database: Database, folder: Path, write: Write) -> None:
    write(THREE)
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    report = migrator.run()
    assert (report.results, report.pending, report.findings) == ((), (), ())
    assert len(database.log()) == 3


def test_the_ledger_row(database: Database, folder: Path, write: Write) -> None:
    write({"001_ü.sql": "\ufeffCREATE TABLE users (id integer);\r\n"})
    Migrator(database.engine(), folder).run()
    (record,) = get_applied_migrations(database.engine())
    content = (folder / "001_ü.sql").read_bytes()
    assert record.name == "001_ü.sql"
    assert record.checksum == hashlib.sha256(content).hexdigest()
    assert record.execution_time_ms is not None
    assert 0 <= record.execution_time_ms < 60_000
    assert record.applied_at is not None
    assert record.applied_at.tzinfo is not None
    assert record.applied_by


def test_a_failure_is_rolled_back_whole_and_stops_the_run(
    database: Database, folder: Path, write: Write
) -> None:
    write({**THREE, "002_files.sql": "CREATE TABLE files (id integer);\nINSERT INTO nowhere VALUES (1);\n"})
    migrator = Migrator(database.engine(), folder)
    with pytest.raises(MigrationFailedError) as caught:
        migrator.run()
    error = caught.value
    assert outcomes(error) == [("001_users.sql", "applied"), ("002_files.sql", "failed")]
    assert error.report.pending == ("002_files.sql", "003_links.sql")
    assert isinstance(error.__cause__, DBAPIError)
    (failed,) = error.failures
    assert failed.failure is not None
    assert failed.failure.path == folder / "002_files.sql"
    assert failed.failure.line == 2
    assert failed.failure.statement is not None
    assert (failed.failure.statement.number, failed.failure.statements) == (2, 2)
    assert ("files" in database.tables()) is database.is_mysql
    assert names(database.rows(LEDGER)) == ["001_users.sql"]
    assert database.log() == [("applied", "001_users.sql"), ("failed", "002_files.sql")]


def test_after_mending_the_next_run_goes_on(database: Database, folder: Path, write: Write) -> None:
    write({**THREE, "002_files.sql": "CREATE TABLE files (id integer;\n"})
    migrator = Migrator(database.engine(), folder)
    with pytest.raises(MigrationFailedError):
        migrator.run()
    assert [status.conditions for status in migrator.status()] == [(), ("failed",), ()]
    write(THREE)
    assert outcomes(migrator.run()) == [("002_files.sql", "applied"), ("003_links.sql", "applied")]
    assert [status.conditions for status in migrator.status()] == [(), (), ()]


def test_keep_going(database: Database, folder: Path, write: Write) -> None:
    write({**THREE, "001_users.sql": "bad;", "003_links.sql": "worse;"})
    with pytest.raises(MigrationFailedError, match=r"^2 migrations failed\n\n") as caught:
        Migrator(database.engine(), folder).run(keep_going=True)
    assert outcomes(caught.value) == [
        ("001_users.sql", "failed"),
        ("002_files.sql", "applied"),
        ("003_links.sql", "failed"),
    ]
    assert caught.value.report.pending == ("001_users.sql", "003_links.sql")
    assert names(database.rows(LEDGER)) == ["002_files.sql"]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"to": "002_files.sql"}, ["001_users.sql", "002_files.sql"]),
        ({"to": "2"}, ["001_users.sql", "002_files.sql"]),
        ({"to": "002"}, ["001_users.sql", "002_files.sql"]),
        ({"steps": 1}, ["001_users.sql"]),
        ({"only": "002_files.sql"}, ["002_files.sql"]),
        ({"only": "002_files"}, ["002_files.sql"]),
        ({"to": "2", "steps": 1}, ["001_users.sql"]),
    ],
)
def test_selections(
    sqlite: Database, folder: Path, write: Write, selection: dict[str, object], expected: list[str]
) -> None:
    write(THREE)
    report = Migrator(sqlite.engine(), folder).run(**selection)  # type: ignore[arg-type]
    assert [step.name for step in report.results] == expected
    assert names(sqlite.rows(LEDGER)) == expected
    assert report.pending == tuple(name for name in THREE if name not in expected)


def test_one_unreadable_file_stops_everything_before_anything_runs(
    database: Database, folder: Path, write: Write
) -> None:
    write({**THREE, "004_broken.sql": "INSERT INTO users VALUES (2);\n\n  SELECT 'open"})
    with pytest.raises(MigrationFileError) as caught:
        Migrator(database.engine(), folder).run()
    assert str(caught.value) == (
        f"{folder}/004_broken.sql:3:10: this string is not closed\n"
        "  1 | INSERT INTO users VALUES (2);\n"
        "  2 |\n"
        "  3 |   SELECT 'open\n"
        "    |          ^"
    )
    assert database.tables() == set()


def test_an_applied_file_is_not_split_again(database: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    write({"001_a.sql": "SELECT 'open", "002_b.sql": "CREATE TABLE b (id integer);"})
    assert outcomes(migrator.run()) == [("002_b.sql", "applied")]


@pytest.mark.parametrize("content", ["", "\n\n", "-- nothing yet\n", "/* nor\nhere */", ";\n;;", "\ufeff"])
def test_a_migration_that_does_nothing_is_applied_with_a_warning(
    database: Database, folder: Path, write: Write, content: str
) -> None:
    write({"001_empty.sql": content})
    report = Migrator(database.engine(), folder).run()
    assert outcomes(report) == [("001_empty.sql", "applied")]
    assert [(finding.kind, finding.names) for finding in report.findings] == [("empty", ("001_empty.sql",))]
    assert names(database.rows(LEDGER)) == ["001_empty.sql"]


# --- duplicates -------------------------------------------------------------------------------------------

DUPLICATE = {
    "001_users.sql": "CREATE TABLE users (id integer);",
    "002_again.sql": (
        "CREATE TABLE fresh (id integer);\nCREATE TABLE users (id integer);\n"
        "CREATE TABLE more (id integer);\n"
    ),
    "003_next.sql": "CREATE TABLE next_one (id integer);",
}


@pytest.mark.transactional_ddl
def test_a_duplicate_is_marked_and_says_what_was_lost(database: Database, folder: Path, write: Write) -> None:
    write(DUPLICATE)
    migrator = Migrator(database.engine(), folder)
    report = migrator.run()
    assert outcomes(report) == [
        ("001_users.sql", "applied"),
        ("002_again.sql", "marked"),
        ("003_next.sql", "applied"),
    ]
    marked = report.results[1]
    assert marked.failure is not None
    assert marked.failure.object == "users"
    assert marked.failure.line == 2
    assert marked.failure.statement is not None
    assert marked.failure.statement.number == 2
    assert [lost.statement.sql for lost in marked.lost] == [
        "CREATE TABLE fresh (id integer)",
        "CREATE TABLE more (id integer)",
    ]
    assert database.tables().isdisjoint({"fresh", "more"})
    assert names(database.rows(LEDGER)) == list(DUPLICATE)
    message = str(database.scalar("SELECT message FROM schema_migrations_log WHERE event = 'marked'"))
    assert message.replace("!", "").endswith("already exists; 2 of 3 statements lost")
    assert [status.conditions for status in migrator.status()] == [(), ("marked",), ()]


@pytest.mark.transactional_ddl
def test_a_duplicate_fails_where_it_shall(database: Database, folder: Path, write: Write) -> None:
    write(DUPLICATE)
    migrator = Migrator(database.engine(), folder, on_duplicate=OnDuplicate.FAIL)
    with pytest.raises(MigrationFailedError) as caught:
        migrator.run()
    assert outcomes(caught.value) == [("001_users.sql", "applied"), ("002_again.sql", "failed")]
    assert "fresh" not in database.tables()
    assert names(database.rows(LEDGER)) == ["001_users.sql"]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t (id integer)",
        "CREATE INDEX i ON t (id)",
        "CREATE VIEW v AS SELECT 1 AS one",
        "ALTER TABLE t ADD COLUMN id integer",
    ],
)
def test_what_counts_as_a_duplicate_everywhere(
    database: Database, folder: Path, write: Write, statement: str
) -> None:
    setup = "CREATE TABLE t (id integer); CREATE INDEX i ON t (id); CREATE VIEW v AS SELECT 1 AS one;"
    write({"001_a.sql": setup, "002_b.sql": statement})
    report = Migrator(database.engine(), folder).run()
    assert report.results[1].outcome is Outcome.MARKED
    assert report.results[1].lost == ()


def test_rows_that_are_there_already_are_no_duplicate_object(
    database: Database, folder: Path, write: Write
) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE t (id integer PRIMARY KEY); INSERT INTO t VALUES (1);",
            "002_b.sql": "INSERT INTO t VALUES (2); INSERT INTO t VALUES (1);",
        }
    )
    with pytest.raises(MigrationFailedError) as caught:
        Migrator(database.engine(), folder).run()
    assert database.scalar("SELECT count(*) FROM t") == 1
    failure = caught.value.failures[0].failure
    assert failure is not None
    assert failure.statement is not None
    assert failure.statement.number == 2


# --- what the ledger says of the files --------------------------------------------------------------------


def test_a_modified_file_is_reported_on_every_run(database: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    write({"001_a.sql": "CREATE TABLE a (id bigint);"})
    for _ in range(2):
        report = migrator.run()
        assert [(finding.kind, finding.names) for finding in report.findings] == [
            ("modified", ("001_a.sql",))
        ]
    assert [status.conditions for status in migrator.status()] == [("modified",)]
    with pytest.raises(LedgerError, match=r"^changed since it was applied: 001_a\.sql\n") as caught:
        Migrator(database.engine(), folder, strict=True).run()
    assert caught.value.names == ("001_a.sql",)


def test_strict_refuses_before_anything_runs(database: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    migrator = Migrator(database.engine(), folder, strict=True)
    migrator.run()
    write({"001_a.sql": "CREATE TABLE a (id bigint);", "002_b.sql": "CREATE TABLE b (id integer);"})
    with pytest.raises(LedgerError):
        migrator.run()
    assert "b" not in database.tables()


def test_a_missing_file_is_a_finding(database: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);", "002_b.sql": "CREATE TABLE b (id integer);"})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    (folder / "001_a.sql").unlink()
    assert [finding.kind for finding in migrator.run().findings] == ["missing"]
    assert [(status.name, status.conditions) for status in migrator.status()] == [
        ("001_a.sql", ("missing",)),
        ("002_b.sql", ()),
    ]


def test_out_of_order(database: Database, folder: Path, write: Write) -> None:
    write({"002_b.sql": "CREATE TABLE b (id integer);"})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    assert migrator.status()[0].conditions == ("out of order",)
    with pytest.raises(LedgerError, match=r"^sorted before 002_b\.sql, which is applied: 001_a\.sql\n"):
        Migrator(database.engine(), folder, strict_order=True).run()
    assert "a" not in database.tables()
    report = migrator.run()
    assert outcomes(report) == [("001_a.sql", "applied")]
    assert [finding.kind for finding in report.findings] == ["out of order"]


def test_rows_of_the_node_runner_count(database: Database, folder: Path, write: Write) -> None:
    if database.is_duckdb:
        pytest.skip("DuckDB numbers no rows, so no other tool can leave the number to it")
    write(THREE)
    migrator = Migrator(database.engine(), folder)
    migrator.run(to="1")
    prefix = hashlib.sha256((folder / "002_files.sql").read_bytes()).hexdigest()[:16]
    database.rows(
        "INSERT INTO schema_migrations (migration_name, checksum, execution_time_ms)"
        f" VALUES ('002_files.sql', '{prefix}', 12)"
    )
    assert [(status.state.value, status.conditions) for status in migrator.status()] == [
        ("applied", ()),
        ("applied", ()),
        ("pending", ()),
    ]
    assert outcomes(migrator.run()) == [("003_links.sql", "applied")]


# --- reading leaves no trace ------------------------------------------------------------------------------


def test_reading_leaves_an_untouched_database_untouched(
    database: Database, folder: Path, write: Write
) -> None:
    write(THREE)
    migrator = Migrator(database.engine(), folder)
    assert len(migrator.status()) == 3
    assert [script.name for script in migrator.plan().scripts] == list(THREE)
    assert migrator.verify().ledger_exists is False
    assert migrator.applied() == ()
    assert database.tables() == set()


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE good (a integer);\nCREATE TABLE good (b integer);",
        "CREATE TABLE good (a integer);\nCREATE TABLE t (a integer, a integer);",
        "CREATE TABLE good (a int);\nALTER TABLE good ADD COLUMN b int;\nALTER TABLE good ADD COLUMN b int;",
        "CREATE TABLE good (a integer);\nCREATE INDEX i ON good (a);\nCREATE INDEX i ON good (a);",
    ],
)
def test_what_a_file_makes_twice_is_its_fault_and_no_duplicate(
    database: Database, folder: Path, write: Write, sql: str
) -> None:
    write({"001_a.sql": sql})
    with pytest.raises(MigrationFailedError) as caught:
        Migrator(database.engine(), folder).run()
    (step,) = caught.value.failures
    assert step.failure is not None
    if database.is_mysql:  # what it made before stays
        assert (step.failure.remedy or "").startswith(f"Statement {len(sql.splitlines())} of")
    else:
        assert step.failure.remedy == "Nothing like it was there before: the file makes it twice."
        assert database.tables() - {"sqlite_sequence"} == {"schema_migrations", "schema_migrations_log"}
    assert database.scalar("SELECT count(*) FROM schema_migrations") == 0


def test_plan_refuses_what_a_run_would_refuse(database: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "SELECT 'open"})
    with pytest.raises(MigrationFileError):
        Migrator(database.engine(), folder).plan()


def test_the_number_of_queries_does_not_grow_with_the_files(
    database: Database, folder: Path, write: Write
) -> None:
    from sqlalchemy import event

    def queries_for(count: int) -> int:
        write({f"{number:04}_m.sql": "SELECT 1;" for number in range(1, count + 1)})
        seen: list[str] = []
        engine = database.engine()
        migrator = Migrator(engine, folder)
        migrator.run()
        event.listen(engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
        assert len(migrator.status()) == count
        return len(seen)

    few = queries_for(3)
    assert queries_for(40) == few
    assert few <= 11


# --- other ledgers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["ledger", 'we"ird ; name', "Grün", "SELECT", "a:b", "100%", "x" * 59])
def test_any_table_name(database: Database, folder: Path, write: Write, table: str) -> None:
    if database.is_duckdb and "%" in table and metadata.version("sqlalchemy") == "2.0.0":
        pytest.skip("SQLAlchemy 2.0.0 cannot number the parameters of a table with a percent sign")
    write(THREE)
    migrator = Migrator(database.engine(), folder, table=table)
    migrator.run()
    assert [record.name for record in migrator.applied()] == list(THREE)
    assert database.tables() == {"users", "files", "links", table, f"{table}_log"}


@pytest.mark.parametrize("name", ["001_it's; DROP TABLE x.sql", "002_ü ✏️.sql", '003_"q"%s:x.sql'])
def test_any_file_name(database: Database, folder: Path, write: Write, name: str) -> None:
    write({name: "CREATE TABLE t (id integer);"})
    migrator = Migrator(database.engine(), folder)
    assert outcomes(migrator.run()) == [(name, "applied")]
    assert [record.name for record in migrator.applied()] == [name]
    assert migrator.status()[0].conditions == ()


def test_another_tools_table_is_named_as_such(database: Database, folder: Path, write: Write) -> None:
    write(THREE)
    database.rows("CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL)")
    migrator = Migrator(database.engine(), folder)
    for act in (migrator.status, migrator.run, migrator.verify):
        with pytest.raises(LedgerError) as caught:
            act()
        assert str(caught.value).endswith(
            "\nif the table is another tool's, choose another name with --table"
        )
    assert database.tables() == {"schema_migrations"}


# --- the functions beside the class -----------------------------------------------------------------------


def test_run_migration(database: Database, folder: Path, write: Write) -> None:
    write(THREE)
    result = run_migration(database.engine(), folder / "002_files.sql")
    assert (result.name, result.outcome) == ("002_files.sql", Outcome.APPLIED)
    assert [record.name for record in get_applied_migrations(database.engine())] == ["002_files.sql"]
    with pytest.raises(LedgerError, match=r"^002_files\.sql is applied already$"):
        run_migration(database.engine(), str(folder / "002_files.sql"))


def test_something_else_than_an_engine_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^an Engine or a Connection is needed, and not str\n"):
        Migrator("postgresql://host/db")  # type: ignore[arg-type]
