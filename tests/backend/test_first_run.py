"""The first run on a database makes both tables in one transaction; what that must not lose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine

from fluxmig import Migrator, Outcome, fleet
from fluxmig.dialects import dialect_of
from tests.faults.proxy import Proxy

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from tests.support import Database, Write

FIRST = {"001_a.sql": "CREATE TABLE a (id integer PRIMARY KEY);\n"}
COLUMNS = """
SELECT relname, attname, pg_catalog.format_type(atttypid, atttypmod), attnotnull,
    pg_catalog.pg_get_expr(adbin, adrelid)
FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class ON pg_class.oid = attrelid
LEFT JOIN pg_catalog.pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relname LIKE 'schema_migrations%' AND attnum > 0 ORDER BY relname, attnum
"""
INDEXES = "SELECT indexdef FROM pg_catalog.pg_indexes WHERE tablename LIKE 'schema_migrations%' ORDER BY 1"


def trips_of_own(database: Database, folder: Path) -> list[str]:
    """The round trips of a run before its first script, but for those that begin the session."""
    proxy = Proxy(database.url)
    try:
        engine = create_engine(proxy.url, use_native_hstore=False)
        with engine.connect():
            session = len(proxy.queries)
        Migrator(engine, folder).run()
        engine.dispose()
    finally:
        proxy.close()
    own = proxy.queries[session:]
    script = next(number for number, query in enumerate(own) if "TABLE a" in query)
    return own[:script]


def test_a_first_run_has_four_round_trips_of_its_own(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    write(FIRST)
    looked, ended, begun, made = trips_of_own(one_postgresql, folder)
    assert "BEGIN" in looked
    assert ended == "COMMIT"
    assert "pg_try_advisory_xact_lock" in begun
    parts = ["CREATE TABLE public.schema_migrations ", "COMMIT", "BEGIN", "pg_try_advisory_xact_lock"]
    assert sorted(parts, key=made.rindex) == parts  # the last of them begins the script's transaction
    assert one_postgresql.log() == [("applied", "001_a.sql")]


def test_both_ways_make_the_same_tables(postgresql: Database, folder: Path, write: Write) -> None:
    write(FIRST)
    engine = postgresql.engine()
    Migrator(engine, folder).run()
    at_once = postgresql.rows(COLUMNS), postgresql.rows(INDEXES)
    postgresql.rows("DROP TABLE a, schema_migrations, schema_migrations_log")
    with engine.begin() as connection:
        Migrator(connection, folder).run()
    assert (postgresql.rows(COLUMNS), postgresql.rows(INDEXES)) == at_once


@pytest.mark.parametrize("table", ["100% of 'it'", "%s", 'a "b":c', "Ä"])
def test_odd_names(postgresql: Database, folder: Path, write: Write, table: str) -> None:
    write(FIRST)
    Migrator(postgresql.engine(), folder, table=table).run()
    (status,) = Migrator(postgresql.engine(), folder, table=table).status()
    assert status.record
    assert status.last_event


def test_where_the_log_cannot_be_made_the_ledger_is(postgresql: Database, folder: Path, write: Write) -> None:
    postgresql.rows("CREATE TYPE schema_migrations_log AS ENUM ('x')")
    write(FIRST)
    report = Migrator(postgresql.engine(), folder).run()
    assert [result.outcome for result in report.results] == [Outcome.APPLIED]
    (finding,) = report.findings
    assert finding.message.startswith(
        "public.schema_migrations_log cannot be made, so no events are kept: type"
    )
    assert postgresql.rows("SELECT migration_name FROM schema_migrations") == [("001_a.sql",)]


def test_a_ledger_without_its_log_gets_one(postgresql: Database, folder: Path, write: Write) -> None:
    write(FIRST)
    Migrator(postgresql.engine(), folder).run()
    postgresql.rows("DROP TABLE schema_migrations_log")
    write({"002_b.sql": "SELECT 1;"})
    (result,) = Migrator(postgresql.engine(), folder).run().results
    assert result.name == "002_b.sql"
    assert postgresql.log() == [("applied", "002_b.sql")]


def facts(engine: Engine) -> dict[str, object]:
    """What SQLAlchemy has found out about an engine's server and session."""
    with engine.connect():
        pass
    kinds = (bool, int, str, tuple)
    return {name: value for name, value in vars(engine.dialect).items() if isinstance(value, kinds)}


@pytest.mark.parametrize(
    "setting",
    [
        "application_name = 'as usual'",
        "default_transaction_isolation = 'serializable'",
        "search_path = 'odd'",
    ],
)
def test_what_is_met_briefly_is_known_as_well(postgresql: Database, setting: str) -> None:
    postgresql.rows("CREATE SCHEMA odd")
    known = facts(postgresql.engine(use_native_hstore=False))
    (name,) = postgresql.rows("SELECT current_database()")[0]
    postgresql.rows(f'ALTER DATABASE "{name}" SET {setting}')
    usual = facts(postgresql.engine(use_native_hstore=False))
    for _ in range(2):  # the first may be the one that finds out
        engine = postgresql.engine(use_native_hstore=False)
        dialect_of(engine).meet_briefly(engine)
        met = facts(engine)
        assert {name: met[name] for name in usual} == usual
    assert (usual == known) is (setting == "application_name = 'as usual'")


def test_a_fleet_meets_each_kind_of_server_once(one_postgresql: Database, folder: Path, write: Write) -> None:
    write(FIRST)
    proxy = Proxy(one_postgresql.url)
    try:
        for _ in range(2):
            before = len(proxy.queries)
            report = fleet.status([fleet.Target("x", proxy.url)], folder)
            assert [result.pending for result in report.results] == [1]
    finally:
        proxy.close()
    start_up, met, looked, ended = proxy.queries[before:]
    assert start_up == "(start-up)"
    assert "version()" in met
    assert "BEGIN" in looked
    assert ended == "COMMIT"
