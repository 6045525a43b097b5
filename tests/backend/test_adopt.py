"""`adopt`: what is recorded of a database that has the objects, and that nothing of a file is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine, event, make_url, text
from sqlalchemy.exc import DBAPIError

from fluxmig import Event, LockTimeoutError, MigrationFailedError, MigrationFileError, Migrator
from fluxmig.model import AdoptionKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support import Database, Write

CONTAINERS = VERSIONS = False

FILES = {
    "001_users.sql": "CREATE TABLE users (id integer, email varchar(50));\n"
    "CREATE INDEX users_email ON users (email);",
    "002_files.sql": "CREATE TABLE files (id integer, owner integer);",
    "003_teams.sql": "CREATE TABLE teams (id integer);",
    "004_names.sql": "ALTER TABLE users ADD COLUMN name text;",
    "005_data.sql": "CREATE TABLE kinds (id integer);\nINSERT INTO kinds VALUES (1);",
    "006_nothing.sql": "-- to come\n",
}
THERE = """
CREATE TABLE users (id integer, email varchar(50), name text); CREATE INDEX users_email ON users (email);
CREATE TABLE files (id integer); CREATE TABLE kinds (id integer)
"""
KINDS = ["exists", "conflict", "absent", "exists", "unknown", "unknown"]


@pytest.fixture
def taken_over(database: Database, write: Write) -> Database:
    """A database with the objects of some files, and no ledger."""
    write(FILES)
    with database.engine().begin() as connection:
        for statement in THERE.split(";"):
            connection.execute(text(statement))
    return database


@pytest.fixture
def sent() -> Iterator[list[str]]:
    """Every statement that any engine sends."""
    statements: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    yield statements
    event.remove(Engine, "before_cursor_execute", hear)


def rows(database: Database) -> list[str]:
    return [str(row[0]) for row in database.rows("SELECT migration_name FROM schema_migrations ORDER BY id")]


def kinds(engine: Engine, folder: Path) -> list[str]:
    return [each.kind.value for each in Migrator(engine, folder).adopt_plan()]


def test_the_plan_only_reads(taken_over: Database, folder: Path) -> None:
    before = taken_over.tables()
    found = Migrator(taken_over.engine(), folder).adopt_plan()
    assert [each.name for each in found] == list(FILES)
    assert [each.kind.value for each in found] == KINDS
    assert [each.reason for each in found] == [
        "table users and index users_email on users are there",
        "table files is there, column owner on files is not",
        "table teams is not there",
        "column name on users is there",
        "what it makes is there; the effect of line 2 (INSERT INTO kinds VALUES (1)) cannot be seen",
        "holds no statement",
    ]
    assert taken_over.tables() == before


def test_what_exists_is_recorded_and_nothing_is_run(
    taken_over: Database, folder: Path, sent: list[str]
) -> None:
    engine = taken_over.engine()
    report = Migrator(engine, folder).adopt("taken over")
    assert [each.name for each in report.recorded] == ["001_users.sql", "004_names.sql"]
    assert {each.kind for each in report.recorded} == {AdoptionKind.EXISTS}
    assert report.findings == ()
    assert rows(taken_over) == ["001_users.sql", "004_names.sql"]
    statements = [line.strip() for file in FILES.values() for line in file.split("\n")]
    assert [each for each in sent if each.strip().rstrip(";") + ";" in statements] == []
    assert not any(
        word in each for each in sent for word in ("users_email", "INSERT INTO kinds", "ADD COLUMN")
    )
    assert taken_over.scalar("SELECT count(*) FROM kinds") == 0
    assert "teams" not in taken_over.tables()

    migrator = Migrator(engine, folder)
    entries = migrator.log()
    assert [(entry.event, entry.name, entry.reason) for entry in entries] == [
        (Event.ADOPTED, "001_users.sql", "taken over"),
        (Event.ADOPTED, "004_names.sql", "taken over"),
    ]
    assert entries[0].message == "table users and index users_email on users are there"
    assert [(record.execution_time_ms, len(record.checksum or "")) for record in migrator.applied()] == [
        (None, 64)
    ] * 2
    assert taken_over.scalar("SELECT count(source) FROM schema_migrations_log") == 2


def test_a_run_applies_what_is_absent(taken_over: Database, folder: Path) -> None:
    migrator = Migrator(taken_over.engine(), folder)
    migrator.adopt()
    assert migrator.run(only="003_teams.sql").results[0].name == "003_teams.sql"
    assert "teams" in taken_over.tables()
    assert kinds(taken_over.engine(), folder) == ["conflict", "unknown", "unknown"]
    assert {item.kind for item in migrator.plan().findings} >= {"out of order"}


def test_nothing_to_record_writes_nothing(database: Database, folder: Path, write: Write) -> None:
    write(FILES)
    report = Migrator(database.engine(), folder).adopt()
    assert report.recorded == ()
    assert database.tables() == set()


def test_a_torn_ledger(taken_over: Database, folder: Path) -> None:
    engine = taken_over.engine()
    Migrator(engine, folder).adopt()
    taken_over.rows("DELETE FROM schema_migrations WHERE migration_name = '001_users.sql'")
    report = Migrator(engine, folder).adopt()
    assert [each.name for each in report.recorded] == ["001_users.sql"]
    assert sorted(rows(taken_over)) == ["001_users.sql", "004_names.sql"]
    assert Migrator(engine, folder).adopt().recorded == ()


def test_another_runner_was_faster(
    taken_over: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the lock."""
    engine = taken_over.engine()
    migrator = Migrator(engine, folder)
    plan = Migrator.adopt_plan

    def then_another(self: Migrator) -> object:
        found = plan(self)
        monkeypatch.undo()
        (folder / "004_names.sql").rename(folder / "004_names.txt")
        assert len(Migrator(engine, folder).adopt().recorded) == 1
        (folder / "004_names.txt").rename(folder / "004_names.sql")
        return found

    monkeypatch.setattr(Migrator, "adopt_plan", then_another)
    assert [each.name for each in migrator.adopt().recorded] == ["004_names.sql"]
    assert rows(taken_over) == ["001_users.sql", "004_names.sql"]


def test_only_what_was_looked_at_is_recorded(
    taken_over: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = taken_over.engine()
    migrator = Migrator(engine, folder)
    plan = Migrator.adopt_plan

    def then_a_table(self: Migrator) -> object:
        found = plan(self)
        taken_over.rows("CREATE TABLE teams (id integer)")
        return found

    monkeypatch.setattr(Migrator, "adopt_plan", then_a_table)
    assert [each.name for each in migrator.adopt().recorded] == ["001_users.sql", "004_names.sql"]


def test_a_file_that_cannot_be_read(taken_over: Database, folder: Path, write: Write) -> None:
    write({"007_open.sql": "CREATE TABLE x (a text DEFAULT 'open"})
    for method in (Migrator.adopt_plan, Migrator.adopt):
        with pytest.raises(MigrationFileError, match=r"007_open\.sql"):
            method(Migrator(taken_over.engine(), folder))
    assert "schema_migrations" not in taken_over.tables()


@pytest.mark.savepoints
@pytest.mark.transactional_ddl
def test_on_a_connection_of_the_caller(taken_over: Database, folder: Path) -> None:
    with taken_over.engine().connect() as connection:
        with connection.begin() as transaction:
            assert len(Migrator(connection, folder).adopt().recorded) == 2
            transaction.rollback()
        assert not connection.closed
    assert "schema_migrations" not in taken_over.tables()


def test_a_failed_one_is_looked_at_like_any_other(taken_over: Database, folder: Path) -> None:
    migrator = Migrator(taken_over.engine(), folder, on_duplicate="fail")
    with pytest.raises(MigrationFailedError, match="already"):
        migrator.run()
    assert kinds(taken_over.engine(), folder) == KINDS
    assert len(migrator.adopt().recorded) == 2


# --- PostgreSQL -------------------------------------------------------------------------------------------


def test_a_login_that_may_only_read(one_postgresql: Database, folder: Path, write: Write) -> None:
    write(FILES)
    one_postgresql.rows(THERE)
    role = f"reader_{make_url(one_postgresql.url).database}"
    one_postgresql.rows(f"CREATE ROLE {role} LOGIN")
    try:
        url = make_url(one_postgresql.url).set(username=role).render_as_string(hide_password=False)
        reader = type(one_postgresql)(one_postgresql.source, url)
        assert kinds(reader.engine(), folder) == KINDS
        reader.dispose()
    finally:
        one_postgresql.rows(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_the_lock_of_another_runner(one_postgresql: Database, folder: Path, write: Write) -> None:
    write(FILES)
    one_postgresql.rows(THERE)
    engine = one_postgresql.engine()
    migrator = Migrator(engine, folder, wait_lock_s=0)
    key = migrator._executor(*migrator._read()).lock  # the same lock
    with key.transaction(), pytest.raises(LockTimeoutError):
        migrator.adopt()
    assert "schema_migrations" not in one_postgresql.tables()


def test_an_invalid_index_is_not_there(one_postgresql: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_t.sql": "CREATE TABLE t (a integer);",
            "002_i.sql": "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);",
        }
    )
    one_postgresql.rows("CREATE TABLE t (a integer); INSERT INTO t VALUES (1), (1)")
    engine = one_postgresql.engine()
    free = engine.execution_options(isolation_level="AUTOCOMMIT")
    with free.connect() as connection, pytest.raises(DBAPIError, match="could not create unique index"):
        connection.execute(text("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)"))
    assert kinds(engine, folder) == ["exists", "absent"]


def test_a_partial_one_is_never_recorded(one_postgresql: Database, folder: Path, write: Write) -> None:
    sound = "-- fluxmig: no-transaction\nCREATE TABLE t (a integer);\nCREATE TABLE u (a integer);\n"
    write({"001_t.sql": f"{sound}SELEKT;"})
    engine = one_postgresql.engine()
    with pytest.raises(MigrationFailedError, match="SELEKT"):
        Migrator(engine, folder).run()
    write({"001_t.sql": sound})
    (found,) = Migrator(engine, folder).adopt_plan()
    assert (found.kind, found.reason) == (
        AdoptionKind.UNKNOWN,
        "partial: 2 of its statements are known to be done; settle it with `fluxmig resolve`",
    )
    assert Migrator(engine, folder).adopt().recorded == ()


def test_a_log_that_cannot_be_made(one_postgresql: Database, folder: Path, write: Write) -> None:
    write(FILES)
    one_postgresql.rows(THERE)
    one_postgresql.rows("CREATE VIEW schema_migrations_log AS SELECT 1 AS id")
    report = Migrator(one_postgresql.engine(), folder).adopt()
    assert [each.name for each in report.recorded] == ["001_users.sql", "004_names.sql"]
    assert [finding.kind for finding in report.findings] == ["log"]
    assert rows(one_postgresql) == ["001_users.sql", "004_names.sql"]


def test_all_kinds_of_objects(one_postgresql: Database, folder: Path, write: Write) -> None:
    """What a run makes is there for adopt, kind by kind; and in an empty database it is not."""
    write(
        {
            "001.sql": "CREATE SCHEMA app; CREATE TABLE app.t (id integer, CONSTRAINT c CHECK (id > 0));",
            "002.sql": "ALTER TABLE app.t ADD PRIMARY KEY (id);",
            "003.sql": "CREATE TYPE app.mood AS ENUM ('sad');",
            "004.sql": "ALTER TYPE app.mood ADD VALUE 'glad';",
            "005.sql": "CREATE POLICY p ON app.t; CREATE VIEW app.v AS SELECT 1 AS a; CREATE SEQUENCE s;",
            "006.sql": "CREATE TABLE app.parts (a integer) PARTITION BY LIST (a);"
            "CREATE TABLE app.part PARTITION OF app.parts DEFAULT; CREATE INDEX parts_a ON app.parts (a);",
            "007.sql": "CREATE FUNCTION app.f() RETURNS integer LANGUAGE sql AS 'SELECT 1';",
            "008.sql": "CREATE MATERIALIZED VIEW app.m AS SELECT 1 AS a; CREATE INDEX m_a ON app.m (a);",
        }
    )
    engine = one_postgresql.engine()
    assert kinds(engine, folder) == ["absent"] * 8
    Migrator(engine, folder).run()
    one_postgresql.rows("DROP TABLE schema_migrations, schema_migrations_log")
    assert kinds(engine, folder) == ["exists"] * 6 + ["unknown", "exists"]
