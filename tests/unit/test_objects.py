"""What statements create, and which of it a plan would find there already: tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fluxmig import sql
from fluxmig.foresight import foreseen
from fluxmig.model import Script
from fluxmig.objects import Created, Effect, Presence, created, effects, is_of_session, only_reads

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
    ("CREATE OR REPLACE FUNCTION f() RETURNS trigger AS $$ x $$", []),
    ("CREATE FUNCTION app.F(a int, b text) RETURNS int AS $$ x $$", ["function app.f"]),
    ("CREATE FUNCTION pg_temp.f() RETURNS int AS $$ x $$", []),
    ("CREATE PROCEDURE p() AS $$ x $$", ["procedure p"]),
    ("CREATE AGGREGATE a (int) (SFUNC = f, STYPE = int)", ["aggregate a"]),
    ("CREATE POLICY p ON s.t FOR SELECT USING (true)", ["policy p on s.t"]),
    ("CREATE ROLE r LOGIN", ["role r"]),
    ("CREATE USER r", ["role r"]),
    ("CREATE USER MAPPING FOR r SERVER s", []),
    ("ALTER TYPE s.mood ADD VALUE 'it''s' AFTER 'sad'", ["enum value it's of s.mood"]),
    ("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'sad'", []),
    ("ALTER TYPE mood ADD VALUE '!'", []),
    ("ALTER TYPE mood RENAME VALUE 'a' TO 'b'", []),
    ('ALTER TABLE t ADD PRIMARY KEY (a, "B")', ["primary key (a, B) on t"]),
    ("ALTER TABLE t ADD PRIMARY KEY (a) INCLUDE (b)", ["primary key (a) on t"]),
    ("ALTER TABLE t ADD PRIMARY KEY (a, b WITHOUT OVERLAPS)", []),
    ("ALTER TABLE t ADD PRIMARY KEY USING INDEX i", []),
    ("ALTER TABLE t ADD CONSTRAINT c PRIMARY KEY (a)", ["constraint c on t"]),
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
        (
            "ALTER TABLE t ADD INDEX i (a), ADD COLUMN b int",
            sql.MYSQL,
            [Created("index", "i", table="t"), Created("column", "b", table="t")],
        ),
        ("ALTER TABLE t ADD CONSTRAINT c UNIQUE (a)", sql.MYSQL, [Created("index", "c", table="t")]),
        ("ALTER TABLE t ADD CONSTRAINT c UNIQUE KEY d (a)", sql.MYSQL, [Created("index", "d", table="t")]),
        ("ALTER TABLE t ADD FULLTEXT `f` (a)", sql.MYSQL, [Created("index", "f", table="t")]),
        ("ALTER TABLE t ADD UNIQUE (a)", sql.MYSQL, []),
        ("ALTER TABLE t ADD INDEX IF NOT EXISTS i (a)", sql.MYSQL, []),
        (
            "ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES x (a)",
            sql.MYSQL,
            [Created("constraint", "fk", table="t")],
        ),
        ("ALTER TABLE t ADD CONSTRAINT CHECK (a > 0)", sql.MYSQL, []),
        (
            "CREATE DEFINER=`root`@`localhost` TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @a = 1",
            sql.MYSQL,
            [Created("trigger", "tr", table="t")],
        ),
        (
            "CREATE ALGORITHM=UNDEFINED DEFINER='a'@'%' SQL SECURITY DEFINER VIEW v AS SELECT 1",
            sql.MYSQL,
            [Created("view", "v")],
        ),
        ("CREATE DEFINER=CURRENT_USER() PROCEDURE p() SELECT 1", sql.MYSQL, [Created("procedure", "p")]),
        ("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", sql.MYSQL, [Created("event", "e")]),
        ("CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()", sql.POSTGRESQL, []),
        ("CREATE DATABASE d", sql.MYSQL, [Created("schema", "d")]),
        ("CREATE DATABASE d", sql.POSTGRESQL, []),
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
    ("COMMIT; BEGIN", True),
    ("SET LOCAL search_path = s; COMMIT; BEGIN", False),
    ("ROLLBACK; BEGIN", False),
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


# --- what goes with a table, and whether a statement does anything else ------------------------------------

PARTS: list[tuple[str, list[str], bool]] = [
    ("CREATE TABLE t (a int, b numeric(5, 2) DEFAULT f(1, 2))", ["column a on t", "column b on t"], True),
    ("CREATE TABLE IF NOT EXISTS s.t (a int)", ["column a on s.t"], True),
    ('CREATE TABLE t ("A" int, key text, index int, exclude int)', ["A", "key", "index", "exclude"], True),
    ("CREATE TABLE t (a int, PRIMARY KEY (a), UNIQUE (a), CHECK (a > 0))", ["column a on t"], True),
    ("CREATE TABLE t (a int, CONSTRAINT c CHECK (a > 0))", ["column a on t", "constraint c on t"], True),
    ("CREATE TABLE t (a int, CONSTRAINT c NOT NULL a)", ["column a on t"], True),
    ("CREATE TABLE t (a int, EXCLUDE USING gist (a WITH =))", ["column a on t"], True),
    ("CREATE TABLE t (LIKE u INCLUDING ALL, b int)", ["column b on t"], True),
    ("CREATE TABLE t (b int) INHERITS (u)", ["column b on t"], True),
    ("CREATE TABLE t OF pair (a WITH OPTIONS NOT NULL)", [], True),
    ("CREATE TABLE t PARTITION OF p (a NOT NULL) DEFAULT", [], True),
    ("CREATE TABLE t AS SELECT 1 AS a", [], False),
    ("CREATE TABLE t (a, b) AS SELECT 1, 2", ["column a on t", "column b on t"], False),
    ("CREATE TABLE t ()", [], True),
    (f"CREATE TABLE t ({'x' * 64} int)", [], True),
    ("CREATE OR REPLACE VIEW v AS SELECT 1", [], False),
    ("CREATE MATERIALIZED VIEW v AS SELECT 1", [], True),
    ("CREATE SCHEMA s", [], True),
    ("CREATE SCHEMA s CREATE TABLE t ()", [], False),
    ("CREATE FUNCTION f() RETURNS int AS $$ x $$", [], False),
    ("ALTER TABLE t ADD a int, ADD COLUMN IF NOT EXISTS b int", ["column b on t"], True),
    ("ALTER TABLE t ADD a int, ALTER b SET NOT NULL", [], False),
    ("ALTER TABLE t ADD a int, ADD UNIQUE (a)", [], False),
    ("ALTER TABLE t ADD a int, ADD PRIMARY KEY (a)", [], True),
    ("ALTER TABLE t OWNER TO r", [], False),
    ("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'sad'", [], True),
]


@pytest.mark.parametrize(("statement", "parts", "whole"), PARTS, ids=[case[0] for case in PARTS])
def test_what_a_statement_makes_beside(statement: str, parts: list[str], whole: bool) -> None:  # noqa: FBT001
    effect = effect_of(statement)
    assert [str(each) if " on " in parts[0] else each.name for each in effect.parts] == parts
    assert effect.whole is whole


@pytest.mark.parametrize(
    ("statement", "rules", "parts"),
    [
        ("CREATE TABLE t (a, [b c] int, key text, PRIMARY KEY (a))", sql.SQLITE, ["a", "b c"]),
        ("CREATE VIRTUAL TABLE t USING fts5(a, b)", sql.SQLITE, []),
        ("CREATE TABLE t (`a` int, KEY k (a), FULLTEXT (a), CONSTRAINT c CHECK (a > 0))", sql.MYSQL, ["a"]),
    ],
)
def test_what_a_table_is_written_with_elsewhere(statement: str, rules: sql.Rules, parts: list[str]) -> None:
    assert [each.name for each in effect_of(statement, rules).parts] == parts


# --- what a statement may remove ---------------------------------------------------------------------------

REMOVED: list[tuple[str, list[str]]] = [
    ("DROP TABLE a, s.b", ["a", "b", "(parts)"]),
    ("DROP TABLE a CASCADE", ["a", "(cascade)", "(parts)"]),
    ("DROP INDEX a", ["a"]),
    ("DROP TRIGGER IF EXISTS a ON b", ["a"]),
    ("DROP TYPE a CASCADE", ["(all)"]),
    ("DROP FUNCTION a() CASCADE", ["(all)"]),
    ("DROP SCHEMA a", ["(all)"]),
    ("DROP EXTENSION a", ["(all)"]),
    ("ALTER TABLE a DROP b", ["b", "(a)", "(keys)", "(parts)"]),
    ("ALTER TABLE a DROP b CASCADE", ["a", "b", "(a)", "(cascade)", "(keys)", "(parts)"]),
    ("ALTER TABLE a DROP CONSTRAINT b", ["b", "(keys)"]),
    ("ALTER TABLE a RENAME COLUMN b TO c", ["b", "c"]),
    ("ALTER TABLE a RENAME TO b", ["a", "b", "(keys)"]),
    ("ALTER TABLE a ALTER b TYPE text, ADD c int", []),
    ("ALTER TABLE a ADD b int REFERENCES c ON DELETE CASCADE", []),
    ("CREATE OR REPLACE VIEW a AS SELECT 1", []),
    ("CREATE TEMP TABLE a (b int)", []),
    ("SELECT a()", ["(all)"]),
    ("SELECT a FROM b", []),
    ("COMMIT", []),
    ("ROLLBACK", ["(all)"]),
    ("COMMIT PREPARED 'a'", ["(all)"]),
    ("DO $$ BEGIN CREATE TABLE a (b int REFERENCES c ON DELETE CASCADE); END $$", []),
    ("DO $$ BEGIN RAISE NOTICE 'DROP a'; /* DROP b */ END $$", []),
    ("DO $$ BEGIN IF true THEN DROP TABLE a; ELSE ALTER TABLE b DROP CONSTRAINT c; END IF; END $$",
     ["a", "c", "(keys)", "(parts)"]),
    ("DO $x$ BEGIN CREATE FUNCTION f() RETURNS int AS $$ DROP TABLE a $$ LANGUAGE sql; END $x$", []),
    ("DO $x$ BEGIN CREATE TRIGGER a BEFORE INSERT ON b EXECUTE FUNCTION c(); END $x$", []),
    ("DO 'BEGIN DROP TABLE a; END'", ["a", "(parts)"]),
    ("DO E'BEGIN DROP TABLE a; END'", ["(all)"]),
    ("DO LANGUAGE plpgsql $$ BEGIN NULL; END $$", []),
    ("DO $$ x $$ LANGUAGE plpython3u", ["(all)"]),
    ("DO LANGUAGE 'plpython3u' $$ x $$", ["(all)"]),
    ("DO $$ BEGIN NULL; END $$ LANGUAGE 'plpgsql'", []),
    ("DO $$ BEGIN PERFORM a(); END $$", ["(all)"]),
    ("DO $$ BEGIN PERFORM pg_notify('a', 'b'); PERFORM 1 FROM a; PERFORM setval('s', 1); END $$", []),
    ("DO $$ BEGIN CALL a(); END $$", ["(all)"]),
    ("DO $$ BEGIN EXECUTE 'DROP TABLE a'; END $$", ["a", "(parts)"]),
    ("DO $$ BEGIN EXECUTE 'CREATE INDEX a ON b (c)'; END $$", []),
    ("DO $$ BEGIN EXECUTE 'CREATE INDEX a ON ' || b; END $$", []),
    ("DO $$ BEGIN EXECUTE 'DROP TABLE ' || b; END $$", ["(all)"]),
    ("DO $$ DECLARE c text = 'DROP TABLE a'; BEGIN EXECUTE c; END $$", ["(all)"]),
    ("DO $$ BEGIN EXECUTE c; END $$", ["(all)"]),
    ("DO $$ BEGIN EXECUTE format('ALTER TABLE %I ALTER %I TYPE text', a, b); END $$", []),
    ("DO $$ BEGIN EXECUTE format('ALTER TABLE %I DROP CONSTRAINT IF EXISTS %I', a, b); END $$",
     ["(keys)", "(some constraint)"]),
    ("DO $$ BEGIN EXECUTE format('DROP TRIGGER IF EXISTS %I ON %I', a, b); END $$", ["(some trigger)"]),
    ("DO $$ BEGIN EXECUTE format('DROP POLICY %1$I ON t', a); END $$", ["(some policy)"]),
    ("DO $$ BEGIN EXECUTE format('DROP TABLE %I', a); END $$", ["(all)"]),
    ("DO $$ BEGIN EXECUTE format('DROP INDEX %I CASCADE', a); END $$", ["(all)"]),
    ("DO $$ BEGIN EXECUTE format('ALTER TABLE %I DROP COLUMN %I', a, b); END $$", ["(all)"]),
    ("DO $$ BEGIN EXECUTE format('ALTER TABLE a %s', b); END $$", []),
    ("DO $$ BEGIN EXECUTE format('ALTER TABLE a %s', 'DROP b'); END $$", ["(all)"]),
    ("FROBNICATE", ["(all)"]),
]  # fmt: skip
KEYWORDS = {
    "drop",
    "alter",
    "table",
    "index",
    "trigger",
    "column",
    "constraint",
    "rename",
    "to",
    "if",
    "exists",
}


@pytest.mark.parametrize(("statement", "expected"), REMOVED, ids=[case[0] for case in REMOVED])
def test_what_a_statement_may_remove(statement: str, expected: list[str]) -> None:
    removes = effect_of(statement).removes - KEYWORDS - {"cascade", "s"}
    assert sorted(removes) == sorted(expected)


def effect_of(statement: str, rules: sql.Rules = sql.POSTGRESQL) -> Effect:
    script = Script("1", Path("1.sql"), "", sql.split(statement.encode(), rules))
    assert len(script.statements) == 1
    return next((effect for _, effect in effects(script, rules)), Effect())


@pytest.mark.parametrize(
    ("statement", "of_session", "reads"),
    [
        ("SET search_path = a", True, False),
        ("reset all", True, False),
        ("SHOW a", True, False),
        ("BEGIN", True, False),
        ("START TRANSACTION READ WRITE", True, False),
        ("COMMIT AND CHAIN", True, False),
        ("ROLLBACK TO a", True, False),
        ("END", True, False),
        ("SAVEPOINT a", True, False),
        ("SELECT pg_catalog.set_config('search_path', '', false)", True, False),
        ("SET GLOBAL a = 1", False, False),
        ("COMMIT PREPARED 'a'", False, False),
        ("SELECT 'done' AS state", False, True),
        ("SELECT a FROM b WHERE c", False, True),
        ("SELECT count(*) FROM a", False, False),
        ("SELECT a INTO b FROM c", False, False),
        ("VALUES (1)", False, False),
        ("INSERT INTO a DEFAULT VALUES", False, False),
        ("COMMENT ON TABLE a IS 'b'", False, False),
        ("CREATE TABLE a ()", False, False),
    ],
)
def test_statements_that_leave_nothing(statement: str, of_session: bool, reads: bool) -> None:  # noqa: FBT001
    found = is_of_session(statement, sql.POSTGRESQL), only_reads(statement, sql.POSTGRESQL)
    assert found == (of_session, reads)
