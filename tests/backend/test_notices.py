"""What the server says while a migration runs: heard at once, kept, and no longer heard afterwards."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from fluxmig import MigrationFailedError, Migrator, Notice, Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from fluxmig import Report
    from tests.support import Database, Write

CONTAINERS = False

SAY = "DO $$ BEGIN RAISE {} '{}'; END $$;\n"


def run(database: Database, folder: Path) -> tuple[Report, list[Notice]]:
    """The report, and what was heard on the way."""
    heard: list[Notice] = []
    return Migrator(database.engine(), folder).run(on_notice=heard.append), heard


def said(notices: list[Notice]) -> list[tuple[str, str]]:
    return [(notice.severity, notice.message) for notice in notices]


@pytest.mark.parametrize("directive", ["", "-- fluxmig: no-transaction\n", "BEGIN;\nSELECT 1;\nCOMMIT;\n"])
def test_every_kind_with_all_it_has(directive: str, postgresql: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_a.sql": directive
            + SAY.format("DEBUG", "not asked for")
            + SAY.format("LOG", "for the server")
            + SAY.format("NOTICE", "100%% :of \u00e4 it''s; \u20ac\n-- two lines")
            + SAY.format("WARNING", "second")
            + SAY.format("INFO", "third")
            + "DROP TABLE IF EXISTS missing;\n"
            + "DO $$ BEGIN RAISE NOTICE 'm' USING detail = 'd', hint = 'h', errcode = 'FX001'; END $$;\n",
            "002_b.sql": "CREATE TABLE b (id integer);\nCREATE TABLE IF NOT EXISTS b (id integer);\n",
            "003_c.sql": "SELECT 1;\n",
        }
    )
    report, heard = run(postgresql, folder)
    assert heard == [
        Notice("001_a.sql", "NOTICE", "100% :of \u00e4 it's; \u20ac\n-- two lines", "00000"),
        Notice("001_a.sql", "WARNING", "second", "01000"),
        Notice("001_a.sql", "INFO", "third", "00000"),
        Notice("001_a.sql", "NOTICE", 'table "missing" does not exist, skipping', "00000"),
        Notice("001_a.sql", "NOTICE", "m", "FX001", "d", "h"),
        Notice("002_b.sql", "NOTICE", 'relation "b" already exists, skipping', "42P07"),
    ]
    assert [step.notices for step in report.results] == [tuple(heard[:5]), tuple(heard[5:]), ()]


def test_they_are_heard_while_the_statement_runs(postgresql: Database, folder: Path, write: Write) -> None:
    """The file waits for a lock that is only given back when its first notice is heard."""
    wait = "SET LOCAL lock_timeout = '30s'; SELECT pg_advisory_lock(77);"
    write({"001_a.sql": f"{SAY.format('NOTICE', 'now')}{wait}\n{SAY.format('NOTICE', 'later')}"})
    with postgresql.engine().connect() as holder:
        holder.execute(text("SELECT pg_advisory_lock(77)"))
        held: list[object] = []

        def hear(notice: Notice) -> None:
            if notice.message == "now":
                held.append(holder.scalar(text("SELECT pg_advisory_unlock(77)")))

        report = Migrator(postgresql.engine(), folder).run(on_notice=hear)
    assert held == [True]
    assert said(list(report.results[0].notices)) == [("NOTICE", "now"), ("NOTICE", "later")]


def test_one_statement_is_heard_before_it_ends(postgresql: Database, folder: Path, write: Write) -> None:
    body = "BEGIN RAISE NOTICE 'now'; PERFORM pg_advisory_lock(78); END"
    write({"001_a.sql": f"SET LOCAL lock_timeout = '30s';\nDO $$ {body} $$;\n"})
    with postgresql.engine().connect() as holder:
        holder.execute(text("SELECT pg_advisory_lock(78)"))

        def release(_: Notice) -> None:
            holder.execute(text("SELECT pg_advisory_unlock(78)"))

        report = Migrator(postgresql.engine(), folder).run(on_notice=release)
    assert report.results[0].outcome is Outcome.APPLIED


@pytest.mark.parametrize("directive", ["", "-- fluxmig: no-transaction\n"])
def test_a_trigger_among_the_rows_of_a_copy(
    directive: str, postgresql: Database, folder: Path, write: Write
) -> None:
    """So many that what waits to be read would fill every buffer, were it not read while rows are sent."""
    count = 20_000
    head = dedent("""\
        CREATE TABLE t (a integer);
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE NOTICE 'row % %', new.a, repeat('x', 200); RETURN new; END $$;
        CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
        COPY t FROM stdin;
        """)
    rows = "".join(f"{row}\n" for row in range(count))
    write({"001_a.sql": f"{directive}{head}{rows}\\.\n"})
    report, heard = run(postgresql, folder)
    assert report.results[0].outcome is Outcome.APPLIED
    assert [notice.message.split()[1] for notice in heard] == [str(row) for row in range(count)]


def test_those_of_a_failed_migration_are_kept(postgresql: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": f"{SAY.format('NOTICE', 'a')}SELECT 1/0;\n{SAY.format('NOTICE', 'never')}"})
    heard: list[Notice] = []
    with pytest.raises(MigrationFailedError) as caught:
        Migrator(postgresql.engine(), folder).run(on_notice=heard.append)
    assert said(heard) == [("NOTICE", "a")]
    assert caught.value.failures[0].notices == tuple(heard)


def test_client_min_messages_decides(postgresql: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_a.sql": "SET client_min_messages = warning;\n"
            + SAY.format("NOTICE", "quiet")
            + SAY.format("WARNING", "loud"),
            "002_b.sql": SAY.format("NOTICE", "heard again"),
            "003_c.sql": "SET client_min_messages = debug1;\n" + SAY.format("DEBUG", "asked for"),
        }
    )
    _, heard = run(postgresql, folder)
    assert [notice for notice in said(heard) if notice[0] != "DEBUG"] == [
        ("WARNING", "loud"),
        ("NOTICE", "heard again"),
    ]
    assert ("DEBUG", "asked for") in said(heard)


@pytest.mark.parametrize("ending", ["", "SELECT 1/0;"], ids=["done", "failed"])
@pytest.mark.parametrize("directive", ["", "-- fluxmig: no-transaction\n"])
def test_nothing_is_heard_afterwards(
    directive: str, ending: str, postgresql: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": f"{directive}{SAY.format('NOTICE', 'a')}{ending}"})
    engine = postgresql.engine(pool_size=1, max_overflow=0)
    for bind in ("connection", "pool"):
        heard: list[Notice] = []
        with engine.connect() as connection:
            migrator = Migrator(connection, folder)
            if ending:
                with pytest.raises(MigrationFailedError):
                    migrator.run(on_notice=heard.append)
            else:
                migrator.run(on_notice=heard.append)
            if bind == "connection":
                connection.execute(text(SAY.format("NOTICE", "b").replace(":", "\\:")))
        with engine.connect() as connection:
            connection.execute(text(SAY.format("NOTICE", "c").replace(":", "\\:")))
        assert said(heard) == [("NOTICE", "a")]
        postgresql.rows("DROP TABLE schema_migrations, schema_migrations_log")


def test_a_handler_of_the_callers_own_stays(postgresql: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": SAY.format("NOTICE", "a")})
    heard: list[str | None] = []
    with postgresql.engine().connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.add_notice_handler(lambda diagnostic: heard.append(diagnostic.message_primary))
        Migrator(connection, folder).run()
        connection.execute(text("DO $$ BEGIN RAISE NOTICE 'b'; END $$"))
    assert heard == ["a", "b"]


@pytest.mark.parametrize("directive", ["", "-- fluxmig: no-transaction\n"])
def test_an_error_of_the_callback_is_lost_and_breaks_nothing(
    directive: str, postgresql: Database, folder: Path, write: Write
) -> None:
    """psycopg calls it from inside libpq, where no exception can pass; it logs the error."""
    first, second = SAY.format("NOTICE", "a"), SAY.format("NOTICE", "b")
    write({"001_a.sql": f"{directive}{first}CREATE TABLE t ();\n{second}"})
    heard: list[str] = []

    def hear(notice: Notice) -> None:
        heard.append(notice.message)
        raise LookupError(notice.message)

    report = Migrator(postgresql.engine(), folder).run(on_notice=hear)
    assert report.results[0].outcome is Outcome.APPLIED
    assert said(list(report.results[0].notices)) == [("NOTICE", "a"), ("NOTICE", "b")]
    assert heard == ["a", "b"]
    assert postgresql.tables() == {"t", "schema_migrations", "schema_migrations_log"}


def test_without_a_callback_they_are_kept_all_the_same(
    postgresql: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": SAY.format("WARNING", "kept")})
    report = Migrator(postgresql.engine(), folder).run()
    assert said(list(report.results[0].notices)) == [("WARNING", "kept")]


def test_another_database_says_nothing(sqlite: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE t (a);\nCREATE TABLE IF NOT EXISTS t (a);\n"})
    report, heard = run(sqlite, folder)
    assert (report.results[0].outcome, heard, report.results[0].notices) == (Outcome.APPLIED, [], ())
