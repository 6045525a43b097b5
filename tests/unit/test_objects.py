"""What statements create, and which of it a plan would find there already: tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fluxmig import sql
from fluxmig.foresight import foreseen
from fluxmig.model import Script
from fluxmig.objects import Created, Presence, created

if TYPE_CHECKING:
    from collections.abc import Sequence

CREATED: list[tuple[str, list[str]]] = [
    ("CREATE TABLE t (a int)", ["table t"]),
    ("create unlogged table App . T ()", ["table app.t"]),
    ('CREATE TABLE "A b"".c"."T" (a int)', ['table A b".c.T']),
    ("CREATE TABLE É (a int)", ["table É"]),
    ("CREATE TABLE /* x */ t -- y\n (a int)", ["table t"]),
    (f"CREATE TABLE {'x' * 63} ()", [f"table {'x' * 63}"]),
    (f"CREATE TABLE {'x' * 64} ()", []),
    (f"CREATE INDEX i ON {'x' * 64} (a)", []),
    (f"CREATE TABLE {'x' * 64}.t ()", []),
    ('CREATE TABLE "!" ()', []),
    ("CREATE TABLE p PARTITION OF t DEFAULT", []),
    ("CREATE TABLE t AS SELECT 1", ["table t"]),
    ("CREATE TABLE IF NOT EXISTS t (a int)", []),
    ("CREATE TEMP TABLE t (a int)", []),
    ("CREATE LOCAL TEMPORARY TABLE t (a int)", []),
    ("CREATE TABLE pg_temp.t (a int)", []),
    ('CREATE TABLE U&"t" (a int)', []),
    ("CREATE TABLE d.s.t (a int)", []),
    ("CREATE FOREIGN TABLE t (a int) SERVER s", ["foreign table t"]),
    ("CREATE FOREIGN DATA WRAPPER w", []),
    ("CREATE VIEW v AS SELECT 1", ["view v"]),
    ("CREATE RECURSIVE VIEW v (n) AS SELECT 1", ["view v"]),
    ("CREATE OR REPLACE VIEW v AS SELECT 1", []),
    ("CREATE MATERIALIZED VIEW s.v AS SELECT 1", ["materialized view s.v"]),
    ("CREATE SEQUENCE s", ["sequence s"]),
    ("CREATE UNIQUE INDEX CONCURRENTLY i ON ONLY s.t (a)", ["index i on s.t"]),
    ("CREATE INDEX IF NOT EXISTS i ON t (a)", []),
    ("CREATE INDEX ON t (a)", []),
    ("CREATE TYPE mood AS ENUM ('sad')", ["type mood"]),
    ("CREATE TYPE pair AS (a int, b int)", ["type pair"]),
    ("CREATE TYPE announced", []),
    ("CREATE DOMAIN d AS text", ["type d"]),
    ("CREATE SCHEMA s CREATE TABLE t (a int)", ["schema s"]),
    ("CREATE SCHEMA AUTHORIZATION alice", []),
    ("CREATE SCHEMA IF NOT EXISTS s", []),
    ("CREATE EXTENSION hstore", ["extension hstore"]),
    ("CREATE TRIGGER x BEFORE UPDATE OF a, b ON t EXECUTE FUNCTION f()", ["trigger x on t"]),
    ('CREATE TRIGGER x BEFORE UPDATE OF "y ON z" ON t EXECUTE FUNCTION f()', []),
    ("CREATE OR REPLACE TRIGGER x BEFORE UPDATE ON t EXECUTE FUNCTION f()", []),
    ("CREATE CONSTRAINT TRIGGER x AFTER INSERT ON s.t EXECUTE FUNCTION f()", ["trigger x on s.t"]),
    ("CREATE EVENT TRIGGER x ON ddl_command_end EXECUTE FUNCTION f()", []),
    ("CREATE FUNCTION f() RETURNS trigger AS $$ x $$", ["function f"]),
    ("ALTER TABLE t ADD a int", ["column a on t"]),
    ("ALTER TABLE ONLY s.t ADD COLUMN a numeric(5, 2), ADD b int", ["column a on s.t", "column b on s.t"]),
    ("ALTER TABLE t ADD a int CHECK (f(1, add IS NULL)), ADD b int", ["column a on t", "column b on t"]),
    ("ALTER TABLE IF EXISTS t ADD a int", []),
    ("ALTER TABLE t ADD COLUMN IF NOT EXISTS a int, ADD COLUMN b int", ["column b on t"]),
    ("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)", ["constraint c on t"]),
    ("ALTER TABLE t ADD CONSTRAINT c NOT NULL a", []),
    ("ALTER TABLE t ADD CONSTRAINT c PRIMARY KEY USING INDEX i", []),
    ("ALTER TABLE t ADD PRIMARY KEY (a), ADD UNIQUE (b), ADD CHECK (a > b)", ["primary key (a) on t"]),
    ("ALTER TABLE t DROP CONSTRAINT c, ADD CONSTRAINT c CHECK (a > 0)", []),
    ("ALTER TABLE t ALTER COLUMN a DROP NOT NULL, ADD b int", ["column b on t"]),
    ("ALTER TABLE t RENAME TO u", []),
    ("INSERT INTO t SELECT 'CREATE TABLE t'", []),
    ("DROP TABLE t", []),
    ("GRANT CREATE ON SCHEMA s TO u", []),
    ("COMMENT ON TABLE t IS 'x'", []),
]


@pytest.mark.parametrize(("statement", "expected"), CREATED, ids=[case[0] for case in CREATED])
def test_what_a_statement_creates_on_postgresql(statement: str, expected: list[str]) -> None:
    assert [str(each) for each in created(statement, sql.POSTGRESQL)] == expected


@pytest.mark.parametrize(
    ("statement", "rules", "expected"),
    [
        ("CREATE TABLE [My T] (a)", sql.SQLITE, [Created("table", "My T")]),
        ("CREATE VIRTUAL TABLE main.F USING fts5(a)", sql.SQLITE, [Created("table", "F", "main")]),
        ("CREATE TEMP VIEW v AS SELECT 1", sql.SQLITE, []),
        ("CREATE TABLE temp.t (a)", sql.SQLITE, []),
        ("CREATE INDEX main.I ON T (a)", sql.SQLITE, [Created("index", "I", "main", "T")]),
        (
            "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END",
            sql.SQLITE,
            [Created("trigger", "x", table="t")],
        ),
        ("ALTER TABLE t ADD A text", sql.SQLITE, [Created("column", "A", table="t")]),
        ("CREATE TABLE `T` (a int)", sql.MYSQL, [Created("table", "T")]),
        ("ALTER TABLE t ADD INDEX i (a), ADD COLUMN b int", sql.MYSQL, [Created("column", "b", table="t")]),
        ("ALTER TABLE t ADD CONSTRAINT c UNIQUE (a)", sql.MYSQL, []),
    ],
)
def test_what_a_statement_creates_elsewhere(
    statement: str, rules: sql.Rules, expected: list[Created]
) -> None:
    assert list(created(statement, rules)) == expected


# Each file's statements; each duplicate as "file.statement object < file.statement that makes it".
IN_PLAN: list[tuple[list[str], list[str]]] = [
    (["CREATE TABLE t (); CREATE TABLE T ()"], ["1.2 table t < 1.1"]),
    (["CREATE TABLE t ()", "CREATE TABLE t ()"], ["2.1 table t < 1.1"]),
    (['CREATE TABLE "T" (); CREATE TABLE t ()'], []),
    (["CREATE TABLE a.t (); CREATE TABLE a.u (); CREATE TABLE b.t ()"], []),
    (["CREATE TABLE t (); CREATE VIEW t AS SELECT 1"], ["1.2 view t < 1.1"]),
    (["CREATE TYPE t AS ENUM (); CREATE SEQUENCE t"], []),
    (["CREATE TYPE t AS ENUM (); CREATE TABLE t ()"], ["1.2 table t < 1.1"]),
    (["CREATE TYPE t; CREATE TYPE t (INPUT = i)"], []),
    (["CREATE SCHEMA s", "CREATE SCHEMA s"], ["2.1 schema s < 1.1"]),
    (["CREATE INDEX i ON t (a); CREATE INDEX i ON t (b)"], ["1.2 index i on t < 1.1"]),
    (["CREATE INDEX i ON t (a); CREATE INDEX i ON u (a)"], []),
    (["ALTER TABLE t ADD a int; ALTER TABLE t ADD COLUMN A int"], ["1.2 column a on t < 1.1"]),
    (["ALTER TABLE IF EXISTS t ADD a int; ALTER TABLE t ADD a int"], []),
    # The first of a file; what it makes is rolled back.
    (["CREATE TABLE t ()", "CREATE TABLE t (); CREATE TABLE t ()"], ["2.1 table t < 1.1"]),
    (
        ["CREATE TABLE t ()", "CREATE TABLE u (); CREATE TABLE t ()", "CREATE TABLE u ()"],
        ["2.2 table t < 1.1"],
    ),
    # What another statement made: the same, or another with other parts.
    (["ALTER TABLE t ADD a int; CREATE TABLE t (); ALTER TABLE t ADD a int"], []),
    (["ALTER TABLE t ADD a int; CREATE TABLE IF NOT EXISTS t (); ALTER TABLE t ADD a int"], []),
    (["CREATE TABLE t (); CREATE TABLE IF NOT EXISTS t (); CREATE TABLE t ()"], ["1.3 table t < 1.1"]),
    (["CREATE SCHEMA s; CREATE TABLE t ()", "CREATE TABLE t ()"], ["2.1 table t < 1.2"]),
]

# What stands between two statements that make the same table, and whether the second is a duplicate then.
BETWEEN = [
    ("INSERT INTO t VALUES (1); COMMENT ON TABLE t IS 'DROP TABLE t'; SELECT 1, f(2)", True),
    ("SET lock_timeout = 1", True),
    ("SELECT setval('s', 1)", True),
    ("WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT a FROM x", True),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'DROP TABLE t'", True),
    ("ALTER TABLE t ALTER a DROP NOT NULL, ALTER b DROP DEFAULT", True),
    ("ALTER TABLE t DROP a, DROP CONSTRAINT b", True),
    ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u ON DELETE CASCADE", True),
    ("DROP TABLE u", True),
    ("DROP TRIGGER IF EXISTS x ON t", True),
    ("DO $$ BEGIN DROP TABLE u; END $$", True),
    ("DROP TABLE IF EXISTS T", False),
    ("DROP TABLE u CASCADE", False),
    ("DROP SCHEMA s", False),
    ("DROP EXTENSION e", False),
    ('DROP TABLE U&"\\0074"', False),
    ("ALTER TABLE t RENAME TO u", False),
    ("ALTER TABLE t SET SCHEMA s", False),
    ("ALTER TABLE u DROP a CASCADE", False),
    ("ALTER TABLE u DETACH PARTITION t", False),
    ("ALTER SCHEMA public RENAME TO s", False),
    ("CREATE SCHEMA s", False),
    ("DO $$ BEGIN DROP TABLE t; END $$", False),
    ("DO $$ BEGIN EXECUTE x; END $$", False),
    ("DO $$ BEGIN PERFORM f(); END $$", False),
    ("DO LANGUAGE x $$ y $$", False),
    ("CALL p()", False),
    ("SELECT f()", False),
    ("SELECT a INTO t FROM u", False),
    ("FROBNICATE u", False),
    ("COMMIT; BEGIN", False),
    ("SET search_path = s", False),
    ("SET ROLE u", False),
    ("SELECT set_config('search_path', 's', false)", False),
    ("CREATE TEMP TABLE u ()", False),
    (r"SET standard_conforming_strings = 0; SELECT '\''", False),
]


T = Created("table", "t")


def plan(
    files: Sequence[str], rules: sql.Rules, existing: Sequence[Created] = (), **progress: int
) -> list[str]:
    scripts = [
        Script(str(number), Path(f"{number}.sql"), "", sql.split(file.encode(), rules), **progress)  # type: ignore[arg-type]
        for number, file in enumerate(files, start=1)
    ]
    there = Presence(is_there=True, is_taken=True, is_lasting=True)
    found = foreseen(scripts, rules, lambda wanted: {each: there for each in wanted if each in existing})
    return [
        f"{each.script}.{each.statement.number} {each.created}"
        + (f" < {each.made_by[0]}.{each.made_by[1].number}" if each.made_by else "")
        for each in found
    ]


@pytest.mark.parametrize(("files", "expected"), IN_PLAN)
def test_duplicates_in_a_plan(files: list[str], expected: list[str]) -> None:
    assert plan(files, sql.POSTGRESQL) == expected


@pytest.mark.parametrize(("between", "is_seen"), BETWEEN, ids=[case[0] for case in BETWEEN])
def test_what_silences_and_what_does_not(between: str, is_seen: bool) -> None:  # noqa: FBT001
    made = plan([f"CREATE TABLE t (); {between}; CREATE TABLE t ()"], sql.POSTGRESQL)
    there = plan([f"{between}; CREATE TABLE t ()"], sql.POSTGRESQL, [T])
    assert [bool(made), bool(there)] == [is_seen, is_seen]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["SET search_path = x; CREATE TABLE s.t ()"], ["1.2 table s.t"]),
        (["SET search_path = x", "CREATE TABLE t ()"], ["2.1 table t"]),
        (["SET search_path = x; CREATE TABLE t ()", "CREATE INDEX i ON t (a)"], []),
        (["CREATE SCHEMA s"], ["1.1 schema s"]),
        (["CREATE SCHEMA IF NOT EXISTS s; CREATE TABLE t ()"], ["1.2 table t"]),
        (["CREATE INDEX i ON t (a)"], ["1.1 index i on t"]),
        (["CREATE TABLE IF NOT EXISTS t (); CREATE INDEX i ON t (a)"], ["1.2 index i on t"]),
        (["DROP VIEW IF EXISTS t; CREATE TABLE IF NOT EXISTS t (); CREATE INDEX i ON t (a)"], []),
        (["CREATE TABLE app.t (); CREATE INDEX i ON t (a)"], []),
        (["DROP TABLE u; CREATE INDEX i ON t (a)"], []),
        (["DROP TABLE u; ALTER TABLE t ADD a int"], ["1.2 column a on t"]),
        (["DO $$ BEGIN DROP TABLE u; END $$; CREATE INDEX i ON t (a)"], []),
        (["ALTER TABLE u DROP a; CREATE INDEX i ON t (a)"], []),
        (["ALTER TABLE u DROP CONSTRAINT c; CREATE INDEX i ON t (a)"], ["1.2 index i on t"]),
        (["ALTER TABLE t DROP a; ALTER TABLE t ADD a int"], []),
        (["ALTER TABLE t RENAME COLUMN a TO b; ALTER TABLE t ADD a int"], []),
        (["ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX i; CREATE INDEX i ON t (a)"], []),
    ],
)
def test_duplicates_of_what_is_there(files: list[str], expected: list[str]) -> None:
    existing = [
        T,
        Created("table", "t", "s"),
        Created("schema", "s"),
        Created("index", "i", table="t"),
        Created("column", "a", table="t"),
    ]
    assert plan(files, sql.POSTGRESQL, existing) == expected


@pytest.mark.parametrize(
    ("done", "interrupted", "expected"),
    [(0, False, ["1.2 table t"]), (1, False, ["1.2 table t"]), (1, True, ["1.3 table t"]), (3, False, [])],
)
def test_a_script_goes_on_behind_what_is_done(done: int, interrupted: bool, expected: list[str]) -> None:  # noqa: FBT001
    file = "SET lock_timeout = 1; CREATE TABLE t (); CREATE TABLE t (); DROP TABLE u"
    assert plan([file], sql.POSTGRESQL, [T], done=done, interrupted=interrupted) == expected


def test_what_is_done_silences_nothing() -> None:
    assert plan(["DROP TABLE t; CREATE TABLE t ()"], sql.POSTGRESQL, [T], done=1) == ["1.2 table t"]


@pytest.mark.parametrize(
    ("file", "rules", "expected"),
    [
        ("CREATE TABLE t (a); CREATE VIEW t AS SELECT 1", sql.SQLITE, ["1.2 view t < 1.1"]),
        ("CREATE TABLE t (a); DROP TABLE 'T'; CREATE TABLE t (a)", sql.SQLITE, []),
        (
            "CREATE TRIGGER x UPDATE ON t BEGIN SELECT 1; END; DROP VIEW u; CREATE TRIGGER x UPDATE ON t",
            sql.SQLITE,
            [],
        ),
        ("CREATE TABLE t (a); ATTACH 'x' AS t; CREATE TABLE t (a)", sql.SQLITE, []),
        ("CREATE TABLE t (a); CREATE TABLE T (a)", sql.MYSQL, []),
        (
            "CREATE TABLE t (); ALTER TABLE t ADD a int; CREATE OR REPLACE TABLE t; ALTER TABLE t ADD a int",
            sql.MYSQL,
            [],
        ),
        ("ALTER TABLE t ADD a int; ALTER TABLE t CHANGE a b int; ALTER TABLE t ADD a int", sql.MYSQL, []),
        ("CREATE TABLE t (a int); RENAME TABLE t TO u; CREATE TABLE t (a int)", sql.MYSQL, []),
        ("CREATE TABLE t (a int); /*!50001 DROP TABLE t */; CREATE TABLE t (a int)", sql.MYSQL, []),
        ("CREATE TABLE t (a int); USE other; CREATE TABLE t (a int)", sql.MYSQL, []),
    ],
)
def test_duplicates_elsewhere(file: str, rules: sql.Rules, expected: list[str]) -> None:
    assert plan([file], rules) == expected


def test_the_database_is_asked_once_and_only_where_there_is_something_to_ask() -> None:
    asked: list[list[str]] = []

    def existing(wanted: Sequence[Created]) -> dict[Created, Presence]:
        asked.append([str(each) for each in wanted])
        return {}

    def script(text: str) -> Script:
        return Script("1", Path("1.sql"), "", sql.split(text.encode(), sql.POSTGRESQL))

    assert foreseen([script("INSERT INTO t VALUES (1); SELECT 1")], sql.POSTGRESQL, existing) == ()
    assert asked == []
    foreseen([script("CREATE TABLE t ()"), script("CREATE TABLE u ()")], sql.POSTGRESQL, existing)
    assert asked == [["table t", "table u"]]
