"""What the catalogs say of objects that statements would create, and whether a plan's duplicates are real."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import DBAPIError

from fluxmig import sql
from fluxmig.dialects import existing
from fluxmig.model import Script
from fluxmig.objects import Created, created, foreseen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from tests.support import Database

    Existing = Callable[[Connection, Sequence[Created]], frozenset[Created]]

CONTAINERS = False

SCHEMA = """
CREATE SCHEMA app;
CREATE TABLE t (a int, gone int, CONSTRAINT positive CHECK (a > 0));
ALTER TABLE t DROP COLUMN gone;
CREATE TABLE app.hidden (a int CONSTRAINT key PRIMARY KEY);
CREATE TABLE heir () INHERITS (t);
CREATE INDEX i ON t (a);
CREATE VIEW v AS SELECT 1 AS a;
CREATE MATERIALIZED VIEW m AS SELECT 1 AS a;
CREATE SEQUENCE s;
CREATE TYPE mood AS ENUM ('sad');
CREATE TYPE announced;
CREATE TABLE parent (a int) PARTITION BY LIST (a);
CREATE TABLE partition PARTITION OF parent DEFAULT;
CREATE TYPE pair AS (a int);
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER x BEFORE INSERT ON t EXECUTE FUNCTION noted();
CREATE TABLE "Odd ""name: %s" ("Col" int);
"""

# Statements that the server refuses because of what is there, and statements that it does not refuse.
REFUSED = [
    "CREATE TABLE t ()",
    "CREATE TABLE public.t ()",
    "CREATE TABLE app.hidden ()",
    "CREATE VIEW t AS SELECT 1",
    "CREATE TABLE v ()",
    "CREATE MATERIALIZED VIEW m AS SELECT 1",
    "CREATE SEQUENCE s",
    "CREATE SEQUENCE t",
    "CREATE INDEX i ON t (a)",
    "CREATE INDEX v ON public.t (a)",
    "CREATE INDEX key ON app.hidden (a)",
    "CREATE TABLE mood ()",
    "CREATE TYPE mood AS ENUM ()",
    "CREATE TYPE t AS ENUM ()",
    "CREATE TYPE pair AS (a int)",
    "CREATE DOMAIN mood AS text",
    "CREATE SCHEMA app",
    "CREATE EXTENSION plpgsql",
    "CREATE TRIGGER x BEFORE DELETE ON t EXECUTE FUNCTION noted()",
    "ALTER TABLE t ADD COLUMN a text",
    "ALTER TABLE t ADD ctid int",
    "ALTER TABLE app.hidden ADD COLUMN a text",
    "ALTER TABLE t ADD CONSTRAINT positive CHECK (a > 1)",
    "ALTER TABLE app.hidden ADD CONSTRAINT key UNIQUE (a)",
    'CREATE TABLE "Odd ""name: %s" ()',
    'ALTER TABLE "Odd ""name: %s" ADD "Col" int',
]
ACCEPTED = [
    "CREATE TABLE u ()",
    'CREATE TABLE "T" ()',
    "CREATE TABLE hidden ()",
    "CREATE TABLE app.t ()",
    "CREATE INDEX i ON app.hidden (a)",
    "CREATE TYPE i AS ENUM ()",
    "CREATE TYPE _mood AS ENUM ()",
    "CREATE TABLE _pair ()",
    "CREATE TRIGGER x BEFORE INSERT ON app.hidden EXECUTE FUNCTION noted()",
    "ALTER TABLE t ADD gone int",
    "ALTER TABLE heir ADD CONSTRAINT positive CHECK (a > 0)",
    "ALTER TABLE app.hidden ADD CONSTRAINT positive CHECK (a > 0)",
]


def script(*statements: str, rules: sql.Rules = sql.POSTGRESQL) -> Script:
    return Script("1.sql", Path("1.sql"), "", sql.split(";\n".join(statements).encode(), rules))


def prepare(database: Database, statements: str, rules: sql.Rules = sql.POSTGRESQL) -> None:
    with database.engine().begin() as connection:
        for statement in sql.split(statements.encode(), rules):
            connection.exec_driver_sql(statement.sql, execution_options={"no_parameters": True})


def refusal(database: Database, statement: str) -> str | None:
    """What the server says of a statement, which leaves nothing behind."""
    with database.engine().connect() as connection:
        if not database.is_postgresql:
            connection.exec_driver_sql("BEGIN")  # the driver opens none before DDL
        try:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        except DBAPIError as error:
            return str(error.orig)
        finally:
            connection.rollback()
    return None


def asked(database: Database, ask: Existing, wanted: Sequence[Created]) -> frozenset[Created]:
    """The answer, in a transaction that may only read."""
    with database.engine().connect() as connection:
        read_only = "SET TRANSACTION READ ONLY" if database.is_postgresql else "PRAGMA query_only = ON"
        connection.exec_driver_sql(read_only)
        return ask(connection, wanted)


def test_what_the_server_refuses_is_there_and_what_it_accepts_is_not(postgresql: Database) -> None:
    prepare(postgresql, SCHEMA)
    said = {statement: refusal(postgresql, statement) for statement in REFUSED + ACCEPTED}
    assert [statement for statement in ACCEPTED if said[statement]] == []
    assert [
        statement
        for statement in REFUSED
        if not re.search("already exists|conflicts with a system column name", said[statement] or "")
    ] == []
    wanted = {statement: created(statement, sql.POSTGRESQL) for statement in said}
    assert {len(objects) for objects in wanted.values()} == {1}
    there = asked(postgresql, existing.postgresql, [each for (each,) in wanted.values()])
    assert [statement for statement, (each,) in wanted.items() if each in there] == REFUSED


def test_a_plan_foresees_what_the_server_refuses(postgresql: Database) -> None:
    prepare(postgresql, SCHEMA)
    files = [script(statement) for statement in REFUSED + ACCEPTED]
    with postgresql.engine().connect() as connection:
        found = foreseen(files, sql.POSTGRESQL, lambda wanted: existing.postgresql(connection, wanted))
    assert [each.statement.sql for each in found] == REFUSED
    assert {each.made_by for each in found} == {None}


def test_a_login_that_may_only_connect(postgresql: Database) -> None:
    prepare(postgresql, SCHEMA)
    wanted = [
        Created("table", "hidden", "app"),
        Created("column", "a", table="hidden", table_schema="app"),
        Created("table", "t"),
    ]
    with postgresql.engine().connect() as connection:
        connection.exec_driver_sql("CREATE ROLE reader")
        connection.exec_driver_sql("SET LOCAL ROLE reader")
        connection.exec_driver_sql("SAVEPOINT reading")
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        assert refusal_of_reading(connection) == "permission denied for schema app"
        assert existing.postgresql(connection, wanted) == frozenset(wanted)
        connection.rollback()


def refusal_of_reading(connection: Connection) -> str:
    with pytest.raises(DBAPIError) as caught, connection.begin_nested():
        connection.exec_driver_sql("SELECT a FROM app.hidden")
    return str(caught.value.orig).split("\n", 1)[0]


def test_an_invalid_index_is_no_duplicate(postgresql: Database) -> None:
    prepare(postgresql, "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1)")
    engine = postgresql.engine(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection, pytest.raises(DBAPIError, match="could not create unique index"):
        connection.exec_driver_sql("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)")
    assert "already exists" in (refusal(postgresql, "CREATE INDEX i ON t (a)") or "")
    assert (
        asked(postgresql, existing.postgresql, created("CREATE INDEX i ON t (a)", sql.POSTGRESQL))
        == frozenset()
    )


def test_a_partition_can_go_with_its_table(postgresql: Database) -> None:
    prepare(postgresql, SCHEMA)
    wanted = created("CREATE TABLE partition ()", sql.POSTGRESQL)
    assert "already exists" in (refusal(postgresql, "CREATE TABLE partition ()") or "")
    assert asked(postgresql, existing.postgresql, wanted) == frozenset()
    assert refusal(postgresql, "DROP TABLE parent; CREATE TABLE partition ()") is None


def test_unqualified_names_on_a_search_path(postgresql: Database) -> None:
    prepare(
        postgresql,
        "CREATE SCHEMA app; CREATE TABLE t (a int); CREATE TABLE app.u (a int); CREATE INDEX i ON t (a)",
    )
    wanted = [
        Created("table", "t"),
        Created("table", "u"),
        Created("column", "a", table="t"),
        Created("index", "i", table="t"),
    ]
    with postgresql.engine().connect() as connection:
        connection.exec_driver_sql("SET search_path = later, app, public")
        assert existing.postgresql(connection, wanted) == frozenset(wanted[1:])


def test_many_at_once(one_postgresql: Database) -> None:
    prepare(one_postgresql, "CREATE TABLE t (a int)")
    wanted = [Created("table", f"t{number}") for number in range(20_000)] + [Created("table", "t")]
    assert asked(one_postgresql, existing.postgresql, wanted) == {Created("table", "t")}
    assert asked(one_postgresql, existing.postgresql, []) == frozenset()


SQLITE_SCHEMA = """
CREATE TABLE T (A int, b int GENERATED ALWAYS AS (A) VIRTUAL);
CREATE INDEX i ON T (A);
CREATE VIEW v AS SELECT 1;
CREATE VIEW broken AS SELECT * FROM nowhere;
CREATE TRIGGER x AFTER INSERT ON T BEGIN SELECT 1; END
"""
SQLITE_REFUSED = [
    "CREATE TABLE t (a)",
    "CREATE TABLE main.t (a)",
    "CREATE TABLE V (a)",
    "CREATE VIEW t AS SELECT 1",
    "CREATE INDEX I ON t (a)",
    "CREATE INDEX v ON t (a)",
    "CREATE TRIGGER X AFTER DELETE ON t BEGIN SELECT 1; END",
    "ALTER TABLE t ADD COLUMN a int",
    "ALTER TABLE t ADD B int",
]
SQLITE_ACCEPTED = ["CREATE TABLE x (a)", "CREATE INDEX x ON t (a)", "ALTER TABLE t ADD COLUMN c int"]


def test_what_sqlite_refuses_is_there_and_what_it_accepts_is_not(sqlite: Database) -> None:
    prepare(sqlite, SQLITE_SCHEMA, sql.SQLITE)
    said = {statement: refusal(sqlite, statement) for statement in SQLITE_REFUSED}
    refused = re.compile("already exists|there is already an? |duplicate column name")
    assert [statement for statement in said if not refused.search(said[statement] or "")] == []
    wanted = {statement: created(statement, sql.SQLITE) for statement in SQLITE_REFUSED + SQLITE_ACCEPTED}
    there = asked(sqlite, existing.sqlite, [each for (each,) in wanted.values()])
    assert [statement for statement, (each,) in wanted.items() if each in there] == SQLITE_REFUSED
    assert sqlite.tables() == {"T"}
    for statement in SQLITE_ACCEPTED:
        assert refusal(sqlite, statement) is None


def test_the_generic_way_on_every_database(database: Database) -> None:
    prepare(database, "CREATE TABLE t (a int); CREATE INDEX i ON t (a); CREATE VIEW v AS SELECT 1 AS a")
    there = [
        Created("table", "t"),
        Created("view", "v"),
        Created("index", "i", table="t"),
        Created("column", "a", table="t"),
    ]
    absent = [
        Created("table", "u"),
        Created("index", "i", table="u"),
        Created("column", "b", table="t"),
        Created("column", "a", table="u"),
        Created("trigger", "t", table="t"),
    ]
    assert asked(database, existing.generic, there + absent) == frozenset(there)
