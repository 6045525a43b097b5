"""What the catalogs say of objects that statements would create, and whether a plan's duplicates are real."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from fluxmig import sql
from fluxmig.dialects import dialect_named, existing
from fluxmig.foresight import foreseen
from fluxmig.model import Script
from fluxmig.objects import Created, Presence, created
from fluxmig.presence import Applied, absent, sights
from tests.chance import repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from tests.support import Database

    Existing = Callable[[Connection, Sequence[Created]], dict[Created, Presence]]

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
        if database.source == "sqlite":
            connection.exec_driver_sql("BEGIN")  # the driver opens none before DDL
        try:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        except DBAPIError as error:
            return str(error.orig)
        finally:
            connection.rollback()
    return None


def asked(database: Database, ask: Existing, wanted: Sequence[Created]) -> dict[Created, Presence]:
    """The answer, in a transaction that may only read."""
    if database.is_duckdb and ask is existing.generic:
        pytest.skip("duckdb-engine tells nothing of indexes and primary keys, so DuckDB's catalog is asked")
    with database.engine().connect() as connection:
        read_only = {"sqlite": "PRAGMA query_only = ON", "duckdb": None}
        if command := read_only.get(database.source, "SET TRANSACTION READ ONLY"):
            connection.exec_driver_sql(command)
        return ask(connection, wanted)


def taken(found: dict[Created, Presence]) -> set[Created]:
    return {each for each, presence in found.items() if presence.is_lasting}


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
    there = taken(asked(postgresql, existing.postgresql, [each for (each,) in wanted.values()]))
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
        assert taken(existing.postgresql(connection, wanted)) == set(wanted)
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
    (index,) = created("CREATE INDEX i ON t (a)", sql.POSTGRESQL)
    assert asked(postgresql, existing.postgresql, [index]) == {index: Presence()}


def test_a_partition_can_go_with_its_table(postgresql: Database) -> None:
    prepare(postgresql, SCHEMA)
    wanted = created("CREATE TABLE partition ()", sql.POSTGRESQL)
    assert "already exists" in (refusal(postgresql, "CREATE TABLE partition ()") or "")
    (presence,) = asked(postgresql, existing.postgresql, wanted).values()
    assert (presence.is_there, presence.is_taken, presence.is_lasting) == (True, True, False)
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
        found = existing.postgresql(connection, wanted)
    assert [found[each].is_there for each in wanted] == [False, True, True, True]
    assert [found[each].is_elsewhere for each in wanted] == [True, False, False, False]


def test_many_at_once(one_postgresql: Database) -> None:
    prepare(one_postgresql, "CREATE TABLE t (a int)")
    wanted = [Created("table", f"t{number}") for number in range(20_000)] + [Created("table", "t")]
    assert taken(asked(one_postgresql, existing.postgresql, wanted)) == {Created("table", "t")}
    assert asked(one_postgresql, existing.postgresql, []) == {}


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
    there = taken(asked(sqlite, existing.sqlite, [each for (each,) in wanted.values()]))
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
        Created("primary key", "(a)", table="t", columns=("a",)),
    ]
    unknown = [Created("trigger", "t", table="t"), Created("table", "T"), Created("column", "A", table="t")]
    found = asked(database, existing.generic, there + absent + unknown)
    yes = Presence(is_there=True, is_taken=True, is_lasting=True)
    assert found == dict.fromkeys(there, yes) | dict.fromkeys(absent, Presence())


def test_the_generic_way_tells_tables_and_views_and_keys_apart(database: Database) -> None:
    prepare(database, "CREATE TABLE t (a int, b int, PRIMARY KEY (b, a)); CREATE VIEW v AS SELECT 1 AS a")
    wanted = {
        Created("table", "v"): Presence(is_taken=True, is_lasting=True),
        Created("view", "t"): Presence(is_taken=True, is_lasting=True),
        Created("primary key", "(b, a)", table="t", columns=("b", "a")): Presence(
            is_there=True, is_taken=True, is_lasting=True
        ),
        Created("primary key", "(a, b)", table="t", columns=("a", "b")): Presence(),
    }
    assert asked(database, existing.generic, list(wanted)) == wanted


# --- what is there: each object, whether it is there, and whether the server would refuse it ---------------

MORE = """
CREATE TABLE keyed (a int, b int, PRIMARY KEY (b, a));
CREATE TABLE dropped (gone int, a int, b int, PRIMARY KEY (b, a)); ALTER TABLE dropped DROP gone;
CREATE POLICY p ON t; CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TABLE app.single (a int); CREATE FUNCTION app.g() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TABLE t_child PARTITION OF parent FOR VALUES IN (1); CREATE INDEX pi ON ONLY parent (a);
CREATE TYPE app.mood AS ENUM ('glad')
"""
# A statement, and: is it there (None where that cannot be told), is it taken, is it elsewhere.
THERE: list[tuple[str, bool | None, bool, bool]] = [
    ("CREATE TABLE t ()", True, True, False),
    ("CREATE TABLE v ()", False, True, False),
    ("CREATE TABLE i ()", False, True, False),
    ("CREATE TABLE single ()", False, False, True),
    ("CREATE TABLE public.single ()", False, False, False),
    ("CREATE TABLE app.single ()", True, True, False),
    ("CREATE TABLE nowhere.t ()", False, False, False),
    ("CREATE TABLE mood ()", False, True, False),
    ("CREATE TABLE parent ()", True, True, False),
    ("CREATE FOREIGN TABLE t () SERVER s", False, True, False),
    ("CREATE VIEW v AS SELECT 1", True, True, False),
    ("CREATE VIEW m AS SELECT 1", False, True, False),
    ("CREATE VIEW t AS SELECT 1", False, True, False),
    ("CREATE MATERIALIZED VIEW m AS SELECT 1", True, True, False),
    ("CREATE SEQUENCE s", True, True, False),
    ("CREATE SEQUENCE t", False, True, False),
    ("CREATE TYPE mood AS ENUM ()", True, True, True),
    ("CREATE TYPE pair AS (a int)", True, True, False),
    ("CREATE TYPE t AS (a int)", False, True, False),
    ("CREATE TYPE announced AS ENUM ()", False, False, False),
    ("CREATE INDEX i ON t (a)", True, True, False),
    ("CREATE INDEX i ON public.t (a)", True, True, False),
    ("CREATE INDEX i ON keyed (a)", False, True, False),
    ("CREATE INDEX i ON nowhere (a)", False, False, False),
    ("CREATE INDEX pi ON parent (a)", True, True, False),
    ("CREATE TRIGGER x BEFORE INSERT ON t EXECUTE FUNCTION noted()", True, True, False),
    ("CREATE TRIGGER x BEFORE INSERT ON keyed EXECUTE FUNCTION noted()", False, False, False),
    ("CREATE POLICY p ON t", True, True, False),
    ("CREATE POLICY q ON t", False, False, False),
    ("ALTER TABLE t ADD a int", True, True, False),
    ("ALTER TABLE t ADD ctid int", False, True, False),
    ("ALTER TABLE t ADD gone int", False, False, False),
    ("ALTER TABLE single ADD a int", False, False, True),
    ("ALTER TABLE t ADD CONSTRAINT positive CHECK (a > 0)", True, True, False),
    ("ALTER TABLE heir ADD CONSTRAINT positive CHECK (a > 0)", True, False, False),
    ("ALTER TABLE keyed ADD PRIMARY KEY (b, a)", True, True, False),
    ("ALTER TABLE dropped ADD PRIMARY KEY (b, a)", True, True, False),
    ("ALTER TABLE keyed ADD PRIMARY KEY (a, b)", False, False, False),
    ("ALTER TABLE keyed ADD PRIMARY KEY (b)", False, False, False),
    ("ALTER TABLE t ADD PRIMARY KEY (a)", False, False, False),
    ("ALTER TYPE mood ADD VALUE 'sad'", True, True, False),
    ("ALTER TYPE mood ADD VALUE 'Sad'", False, False, False),
    ("ALTER TYPE mood ADD VALUE 'glad'", False, False, True),
    ("ALTER TYPE app.mood ADD VALUE 'glad'", True, True, False),
    ("CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", None, False, False),
    ("CREATE FUNCTION f(text) RETURNS int LANGUAGE sql AS 'SELECT 1'", None, False, False),
    ("CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 1'", False, False, True),
    ("CREATE FUNCTION app.g() RETURNS int LANGUAGE sql AS 'SELECT 1'", None, False, False),
    ("CREATE PROCEDURE h() LANGUAGE sql AS 'SELECT 1'", False, False, False),
    ("CREATE AGGREGATE h(int) (SFUNC = int4pl, STYPE = int)", False, False, False),
    ("CREATE SCHEMA app", True, True, False),
    ("CREATE EXTENSION plpgsql", True, True, False),
    ("CREATE EXTENSION nowhere", False, False, False),
    ("CREATE ROLE postgres", True, True, False),
    ("CREATE USER nobody_of_that_name", False, False, False),
]


def test_what_is_there_by_its_kind(postgresql: Database) -> None:
    prepare(postgresql, SCHEMA + MORE)
    wanted = [created(statement, sql.POSTGRESQL) for statement, *_ in THERE]
    assert [statement for (statement, *_), each in zip(THERE, wanted, strict=True) if len(each) != 1] == []
    found = asked(postgresql, existing.postgresql, [each for (each,) in wanted])
    said = [
        (statement, None, False, False)
        if each not in found
        else (statement, found[each].is_there, found[each].is_taken, found[each].is_elsewhere)
        for (statement, *_), (each,) in zip(THERE, wanted, strict=True)
    ]
    assert said == THERE


def test_the_columns_that_a_table_is_written_with(database: Database) -> None:
    dialect = dialect_named(make_url(database.url).get_backend_name())
    rules, ask = dialect.rules, dialect.existing
    prepare(database, "CREATE TABLE t (a int, b int)", rules)
    statement = script("CREATE TABLE IF NOT EXISTS t (a int, b text, c int)", rules=rules)
    with database.engine().connect() as connection:
        ((sight,),) = sights([statement], rules, partial(ask, connection))
    assert [str(each) for each in sight.absent] == ["column c on t"]
    assert sight.exists is False


@pytest.mark.parametrize(
    ("statement", "is_there"),
    [
        ("CREATE TABLE t (a)", True),
        ("CREATE VIEW t AS SELECT 1", False),
        ("CREATE TABLE v (a)", False),
        ("CREATE VIEW V AS SELECT 1", True),
        ("CREATE INDEX i ON t (A)", True),
        ("CREATE INDEX i ON u (a)", False),
        ("CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END", True),
        ("CREATE TRIGGER y AFTER INSERT ON t BEGIN SELECT 1; END", False),
        ("CREATE TRIGGER x AFTER INSERT ON v BEGIN SELECT 1; END", False),
        ("ALTER TABLE t ADD a int", True),
        ("ALTER TABLE t ADD c int", False),
        ("ALTER TABLE words ADD c int", None),
        ("CREATE TABLE other.t (a)", None),
        ("ALTER TABLE other.t ADD a int", None),
    ],
)
def test_what_is_there_on_sqlite(statement: str, is_there: bool | None, sqlite: Database) -> None:  # noqa: FBT001
    prepare(sqlite, SQLITE_SCHEMA + ";CREATE VIRTUAL TABLE words USING fts5(a)", sql.SQLITE)
    (each,) = created(statement, sql.SQLITE)
    found = asked(sqlite, existing.sqlite, [each])
    assert (found[each].is_there if each in found else None) is is_there


# --- plans at random: what was made and is not told to be removed is there ---------------------------------

NOTED = "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
FRESH = (
    "DROP SCHEMA IF EXISTS public, app, app2, postgres CASCADE",
    "CREATE SCHEMA public",
    "CREATE SCHEMA app",
    NOTED,
)
BASE = """
CREATE TABLE t (x int, y int, z int, CONSTRAINT tc CHECK (x > 0));
CREATE TABLE u (x int PRIMARY KEY, y int); CREATE TABLE w (x int, r int);
CREATE INDEX tx ON t (x); CREATE INDEX tz ON t (z); CREATE UNIQUE INDEX ty ON t (y); CREATE INDEX wx ON w (x);
ALTER TABLE t ADD PRIMARY KEY (x); ALTER TABLE w ADD CONSTRAINT wu FOREIGN KEY (x) REFERENCES u;
ALTER TABLE w ADD CONSTRAINT wk UNIQUE (x); ALTER TABLE u ADD COLUMN d int GENERATED ALWAYS AS (y) STORED;
CREATE VIEW v AS SELECT x FROM t; CREATE MATERIALIZED VIEW m AS SELECT x, y FROM t; CREATE INDEX mx ON m (x);
CREATE TRIGGER tg BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION noted();
CREATE TRIGGER vg INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION noted();
CREATE POLICY wp ON w USING (EXISTS (SELECT FROM u)); CREATE POLICY tp ON t USING (y > 0);
CREATE SEQUENCE s; ALTER SEQUENCE s OWNED BY t.z; CREATE TYPE e AS ENUM ('one'); ALTER TYPE e ADD VALUE 'two';
CREATE TABLE k (c e); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'
"""
CHILDREN = """
;CREATE TABLE parent (x int, y int) PARTITION BY LIST (x); CREATE TABLE part (x int, y int);
CREATE INDEX px ON part (x); CREATE TRIGGER pg BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION noted();
ALTER TABLE part ADD CONSTRAINT pc CHECK (y > 0); ALTER TABLE parent ATTACH PARTITION part DEFAULT;
CREATE INDEX parent_x ON parent (x); CREATE INDEX py ON part (y);
CREATE TABLE default_of PARTITION OF parent FOR VALUES IN (1); CREATE INDEX dy ON default_of (y);
CREATE TABLE heir (h int) INHERITS (t); CREATE INDEX hx ON heir (y)
"""
ROWS = ";CREATE TABLE holder (x int, c t)"
# Of these, a few come behind the base, as the server lets them.
CHANGES = (
    *(
        f"DROP {kind}"
        for kind in ("TABLE t", "TABLE u", "TABLE w", "TABLE k", "VIEW v", "INDEX tx", "INDEX ty")
    ),
    *(f"DROP TABLE {name} CASCADE" for name in ("t", "u", "w", "parent", "part")),
    *("DROP VIEW v CASCADE", "DROP MATERIALIZED VIEW m", "DROP SEQUENCE s", "DROP TYPE e CASCADE"),
    *("DROP POLICY wp ON w", "DROP TRIGGER tg ON t", "DROP FUNCTION f", "DROP FUNCTION noted CASCADE"),
    *(
        "DROP TABLE parent",
        "DROP TABLE part",
        "DROP INDEX parent_x",
        "DROP INDEX px",
        "DROP SCHEMA public CASCADE",
    ),
    *(f"ALTER TABLE t DROP {column}{how}" for column in "xyz" for how in ("", " CASCADE")),
    *(
        "ALTER TABLE parent DROP y",
        "ALTER TABLE u DROP y",
        "ALTER TABLE u DROP y CASCADE",
        "ALTER TABLE w DROP r",
    ),
    *(
        "ALTER TABLE t DROP CONSTRAINT tc",
        "ALTER TABLE t DROP CONSTRAINT t_pkey",
        "ALTER TABLE w DROP CONSTRAINT wk",
    ),
    *("ALTER TABLE u DROP CONSTRAINT u_pkey", "ALTER TABLE u DROP CONSTRAINT u_pkey CASCADE"),
    *("ALTER TABLE t RENAME TO t2", "ALTER TABLE t RENAME COLUMN y TO y2", "ALTER TABLE t RENAME x TO x2"),
    *(
        "ALTER TABLE t RENAME CONSTRAINT tc TO tc2",
        "ALTER INDEX tx RENAME TO tx2",
        "ALTER TABLE t SET SCHEMA app",
    ),
    *(
        "ALTER TYPE e RENAME VALUE 'two' TO 'three'",
        "ALTER TRIGGER tg ON t RENAME TO tg2",
        "ALTER TYPE e RENAME TO e2",
    ),
    *("ALTER TABLE t ADD CONSTRAINT t_y UNIQUE USING INDEX ty", "ALTER POLICY wp ON w RENAME TO wp2"),
    *("ALTER TABLE parent DETACH PARTITION part", "ALTER SCHEMA public RENAME TO app2"),
    *("CREATE SCHEMA postgres", "CREATE TABLE t (x int)", "CREATE TABLE IF NOT EXISTS t (x int, q int)"),
    *(
        "CREATE VIEW v AS SELECT 1 AS x",
        "CREATE OR REPLACE VIEW v AS SELECT x FROM t",
        "CREATE INDEX tx ON u (x)",
    ),
    *(
        "CREATE INDEX IF NOT EXISTS tx ON u (x)",
        "ALTER TABLE t ADD y int",
        "ALTER TABLE t ADD IF NOT EXISTS z int",
    ),
    *(
        "SET search_path = app; CREATE TABLE t (x int); CREATE TABLE fresh (x int)",
        "CREATE TEMP TABLE w (x int)",
    ),
    "CREATE FUNCTION app.tidy() RETURNS void LANGUAGE sql AS 'DROP TABLE k'",
    "SELECT app.tidy()",
    "DO $$ BEGIN PERFORM app.tidy(); END $$",
    "DO $$ BEGIN IF true THEN DROP TABLE IF EXISTS k; END IF; END $$",
    "DO $$ BEGIN ALTER TABLE t DROP CONSTRAINT IF EXISTS tc; END $$",
    "DO $$ BEGIN ALTER TABLE t RENAME TO t3; CREATE TABLE t (x int); END $$",
    "DO $$ BEGIN EXECUTE 'DROP TABLE k'; END $$",
    "DO $$ BEGIN EXECUTE format('DROP TABLE %I', 'k'); END $$",
    "DO $$ BEGIN EXECUTE format('DROP INDEX %I', 'tx'); END $$",
    "DO $$ BEGIN EXECUTE format('DROP TRIGGER %I ON %I', 'tg', 't'); END $$",
    "DO $$ BEGIN EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', 'w', 'wk'); END $$",
    "DO $$ BEGIN EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', 't', 't_pkey'); END $$",
    "DO $$ BEGIN EXECUTE format('ALTER TABLE t %s', 'DROP COLUMN y CASCADE'); END $$",
    "DO $$ DECLARE c text = 'DROP ' || 'TABLE k'; BEGIN EXECUTE c; END $$",
    "DO $$ BEGIN EXECUTE 'DROP TABLE ' || 'k'; END $$",
)


@pytest.mark.parametrize(
    "base",
    [BASE, BASE + CHILDREN, BASE + ROWS],
    ids=["tables", "with partitions and heirs", "with rows as values"],
)
@pytest.mark.parametrize("ten", repeated(1, 3))
def test_random_plans_raise_no_false_alarm(base: str, ten: int, one_postgresql: Database) -> None:
    """What was there when its statement had run, and is not at the end, was removed: that must be seen."""
    chance = random.Random(f"{base} {ten}")
    begun = [each.sql for each in script(base).statements]
    with one_postgresql.engine(isolation_level="AUTOCOMMIT").connect() as connection:
        ask = partial(existing.postgresql, connection)
        for _ in range(10):
            for statement in FRESH:
                connection.exec_driver_sql(statement)
            applied: list[Applied] = []
            made: set[tuple[str, str]] = set()
            for number, text in enumerate([*begun, *chance.sample(CHANGES, 3)]):
                if refused(connection, text):
                    assert number >= len(begun), text
                    continue
                file = replace(script(text), name=f"{number}.sql")
                applied.append(Applied(file.name, file))
                for sight in sights([file], sql.POSTGRESQL, ask)[0]:
                    made |= {(file.name, str(each)) for each in sight.there}
            for finding in absent(applied, sql.POSTGRESQL, ask):
                objects = re.findall(r"(?:but|,|and) ((?!but )\S+(?: \S+)*?) \(line", finding.message)
                alarms = [each for each in objects if (finding.names[0], each) in made]
                assert alarms == [], [file.script.source for file in applied[len(begun) :] if file.script]


def refused(connection: Connection, statement: str) -> bool:
    """Whether the server refuses a statement; what it sets is gone behind it, as it is behind a migration."""
    try:
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    except DBAPIError:
        return True
    finally:
        connection.exec_driver_sql("RESET ALL")
        connection.exec_driver_sql("DISCARD TEMP")
    return False
