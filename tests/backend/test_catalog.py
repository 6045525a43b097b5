"""Snapshots of real catalogs: what a change of each kind shows as, and what shows as none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from fluxmig.catalog import Catalog, differences
from fluxmig.dialects import dialect_of

if TYPE_CHECKING:
    from tests.support import Database, Servers

CONTAINERS = False
pytestmark = pytest.mark.catalog
TABLE = "CREATE TABLE t (a integer NOT NULL, b integer)"


def snapshot(database: Database, *, without: frozenset[str] = frozenset()) -> Catalog:
    with database.engine().connect() as connection:
        dialect = dialect_of(connection).met(connection)
        found = dialect.catalog(connection, without)
        assert found is not None
        path = "SHOW search_path" if database.is_postgresql else "SELECT 1"
        assert connection.scalar(text(path)) in {1, '"$user", public'}
    return found


def changes(database: Database, *statements: str) -> list[str]:
    """What differs after the statements, in words, with blanks made equal."""
    before = snapshot(database)
    for statement in statements:
        database.rows(statement)
    return [" ".join(str(each).split()) for each in differences(before, snapshot(database))]


def test_there_and_back_again_is_no_difference(database: Database) -> None:
    database.rows(TABLE)
    there = ("ALTER TABLE t ADD COLUMN c integer", "CREATE INDEX i ON t (b)", "CREATE TABLE u (x integer)")
    drop_index = "DROP INDEX i ON t" if database.is_mysql else "DROP INDEX i"
    assert changes(database, *there, "DROP TABLE u", drop_index, "ALTER TABLE t DROP COLUMN c") == []


def test_tables_that_are_left_out(database: Database) -> None:
    database.rows(TABLE)
    database.rows("CREATE INDEX i ON t (b)")
    with_schema = [name for kind, name in snapshot(database, without=frozenset({"t"})) if kind != "schema"]
    assert with_schema == []


def test_a_column_that_comes_later_is_another_order(database: Database) -> None:
    database.rows("CREATE TABLE t (b integer)")
    database.rows("ALTER TABLE t ADD COLUMN a integer")
    other = snapshot(database)
    database.rows("DROP TABLE t")
    database.rows("CREATE TABLE t (a integer, b integer)")
    assert [(each.kind, each.name) for each in differences(other, snapshot(database))] == [
        ("column", "t.a"),
        ("column", "t.b"),
    ]


INTEGER = {"postgresql": "integer", "sqlite": "integer", "mariadb": "int(11)", "mysql": "int"}


def test_what_every_database_has(database: Database) -> None:
    database.rows(TABLE)
    kind = INTEGER[database.url.partition("+")[0].partition(":")[0]]
    default = "DEFAULT NULL " if database.is_mysql and database.product == "MariaDB" else ""
    view = changes(database, "CREATE VIEW v AS SELECT a FROM t")
    assert view[0].startswith("view v is new: ")
    assert changes(database, "ALTER TABLE t ADD COLUMN c integer") == [
        f"column t.c is new: {kind} {default}, number 3".replace(" ,", ",")
    ]
    assert [each.partition(":")[0] for each in changes(database, "CREATE UNIQUE INDEX i ON t (b)")] == [
        "index i on t is new" if database.is_mysql else "index i is new"
    ]


POSTGRESQL = [
    ("ALTER TABLE t ALTER b TYPE bigint", "column t.b was integer, number 2, and is bigint, number 2"),
    (
        "ALTER TABLE t ALTER b SET DEFAULT 7",
        "column t.b was integer, number 2, and is integer DEFAULT 7, number 2",
    ),
    (
        "ALTER TABLE t ALTER b SET NOT NULL",
        "column t.b was integer, number 2, and is integer NOT NULL, number 2",
    ),
    (
        "ALTER TABLE t ALTER a ADD GENERATED ALWAYS AS IDENTITY",
        (
            "column t.a was integer NOT NULL, number 1,"
            " and is integer NOT NULL GENERATED ALWAYS AS IDENTITY, number 1"
        ),
    ),
    (
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID",
        "constraint c on t is new: CHECK ((a > 0)) NOT VALID",
    ),
    ("ALTER TABLE t ADD PRIMARY KEY (a)", "constraint t_pkey on t is new: PRIMARY KEY (a)"),
    ("ALTER TABLE t SET UNLOGGED", "table t was plain, and is unlogged"),
    ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", "table t was plain, and is row security"),
    ("ALTER TABLE t SET (fillfactor = 70)", "table t was plain, and is with fillfactor=70"),
    (
        "CREATE SEQUENCE s OWNED BY t.a",
        "sequence s is new: bigint from 1 by 1 between 1 and 9223372036854775807 cache 1",
    ),
    ("CREATE TYPE mood AS ENUM ('b', 'a')", "type mood is new: enum 'b', 'a'"),
    ("CREATE TYPE pair AS (x integer)", "type pair is new"),
    (
        "CREATE DOMAIN d AS integer DEFAULT 1 CONSTRAINT c CHECK (VALUE > 0)",
        "domain d is new: integer DEFAULT 1 CONSTRAINT c CHECK ((VALUE > 0))",
    ),
    (
        "CREATE FUNCTION f(x integer) RETURNS integer LANGUAGE sql RETURN x",
        (
            "function f(x integer) is new: CREATE OR REPLACE FUNCTION public.f(x integer) RETURNS integer"
            " LANGUAGE sql RETURN x"
        ),
    ),
    (
        "CREATE AGGREGATE total(integer) (sfunc = int4pl, stype = integer)",
        "aggregate total(integer) is new: int4pl - - integer n 0",
    ),
    (
        "CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING",
        "rule r on t is new: CREATE RULE r AS ON DELETE TO public.t DO INSTEAD NOTHING;",
    ),
    (
        "CREATE POLICY p ON t FOR SELECT USING (a > 0)",
        "policy p on t is new: permissive for r to public using ((a > 0))",
    ),
    (
        "CREATE STATISTICS st ON a, b FROM t",
        "statistics st is new: CREATE STATISTICS public.st ON a, b FROM public.t",
    ),
    ("CREATE PUBLICATION p FOR TABLE t", "publication p is new: of public.t insert update delete truncate"),
    ("COMMENT ON COLUMN t.a IS 'it''s'", "comment table column public.t.a is new: 'it''s'"),
    ("CREATE SCHEMA other", "schema other is new"),
    ("CREATE TABLE parts (a integer) PARTITION BY RANGE (a)", "table parts is new: partitioned by RANGE (a)"),
    ("CREATE COLLATION c (provider = libc, locale = 'C')", "collation c is new"),
    (
        "GRANT SELECT ON t TO public",
        "table t was plain, and is privileges =r/postgres postgres={all}/postgres",
    ),
]


def test_what_postgresql_has_beside(postgresql: Database) -> None:
    """All in one database, each on the state before."""
    postgresql.rows(TABLE)
    postgresql.rows("SET client_min_messages = error")
    everything = "arwdDxtm" if "18" in postgresql.source else "arwdDxt"
    engine = postgresql.engine()
    for statement, said in POSTGRESQL:
        with engine.connect() as connection, connection.begin() as transaction:
            dialect = dialect_of(connection)
            before = dialect.catalog(connection)
            connection.execute(text(statement))
            after = dialect.catalog(connection)
            assert before is not None
            assert after is not None
            found = [" ".join(str(each).split()) for each in differences(before, after)]
            assert found == [said.format(all=everything)], statement
            transaction.rollback()


def test_what_belongs_to_an_extension_is_left_out(postgresql: Database) -> None:
    if not postgresql.scalar("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"):
        pytest.skip(f"{postgresql.source} has no pg_trgm")
    found = changes(postgresql, "CREATE EXTENSION pg_trgm")
    assert [each.partition(":")[0] for each in found] == ["extension pg_trgm is new"]


def test_how_sqlite_edits_its_text_is_no_difference(sqlite: Database) -> None:
    """A column that is added comes behind the constraints; a rename puts names in quotes."""
    sqlite.rows("CREATE TABLE x(a integer, CHECK (a > 0))")
    sqlite.rows("ALTER TABLE x ADD COLUMN b text DEFAULT 'B,)'")
    sqlite.rows("ALTER TABLE x RENAME TO t")
    altered = snapshot(sqlite)
    sqlite.rows("DROP TABLE t")
    sqlite.rows("create table  \"t\" (A INTEGER, -- a comment\n b TEXT default 'B,)',\n check(a>0) )")
    assert differences(altered, snapshot(sqlite)) == ()
    sqlite.rows("CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END")
    assert [str(each) for each in differences(altered, snapshot(sqlite))] == [
        "trigger r is new: create trigger r after insert on t begin select 1 ; end"
    ]
    assert changes(sqlite, "DROP TRIGGER r", "DROP TABLE t", "CREATE TABLE t (a integer, b text) STRICT") == [
        "column t.b was text default 'B,)', number 2, and is text, number 2",
        "constraint check ( a > 0 ) on t is gone",
        "table t was plain, and is strict",
        "trigger r is gone: create trigger r after insert on t begin select 1 ; end",
    ]


MARIADB = [
    ("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)", ["constraint c on t is new: check `a` > 0"]),
    (
        "CREATE TABLE u (x integer REFERENCES t (a))",
        ["table u is new: InnoDB utf8mb4_general_ci Dynamic"],
    ),
    (
        "ALTER TABLE u ADD CONSTRAINT f FOREIGN KEY (x) REFERENCES t (a) ON DELETE CASCADE",
        ["constraint f on u is new: foreign key to t by x = a on update RESTRICT on delete CASCADE"],
    ),
    (
        "CREATE FUNCTION f(x integer) RETURNS integer RETURN x",
        ["function f is new: int(11), IN x int(11) CONTAINS SQL security DEFINER RETURN x"],
    ),
    (
        "CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET NEW.b = 1",
        ["trigger r on t is new: BEFORE INSERT 1 SET NEW.b = 1"],
    ),
]
ON_MYSQL = {
    "`a` > 0": "(`a` > 0)",
    "utf8mb4_general_ci": "utf8mb4_0900_ai_ci",
    "on update RESTRICT": "on update NO ACTION",
    "int(11)": "int",
}
"""How MySQL writes what MariaDB writes so."""


def test_what_mariadb_has_beside(mariadb: Database) -> None:
    mariadb.rows("CREATE TABLE t (a integer PRIMARY KEY, b integer)")
    for statement, expected in MARIADB:
        said = expected
        for theirs, ours in ON_MYSQL.items() if mariadb.product == "MySQL" else ():
            said = [each.replace(theirs, ours) for each in said]
        found = changes(mariadb, statement)
        assert [each for each in found if "index" not in each] == said, statement


MYSQL = [
    ("CREATE INDEX e ON t ((b + 1))", ["index e on t is new: BTREE of ((`b` + 1))"]),
    (
        "ALTER TABLE t DROP INDEX e, ADD INDEX e ((b + 2))",
        ["index e on t was BTREE of ((`b` + 1)), and is BTREE of ((`b` + 2))"],
    ),
    (
        "ALTER TABLE t ALTER INDEX e INVISIBLE",
        ["index e on t was BTREE of ((`b` + 2)), and is BTREE of ((`b` + 2)) invisible"],
    ),
    (
        "ALTER TABLE t ALTER CHECK c NOT ENFORCED",
        ["constraint c on t was check (`a` > 0), and is {} not enforced"],
    ),
]


def test_what_only_mysql_has(mariadb: Database) -> None:
    if mariadb.product != "MySQL":
        pytest.skip(f"{mariadb.product} has no indexes of expressions")
    mariadb.rows("CREATE TABLE t (a integer PRIMARY KEY, b integer, CONSTRAINT c CHECK (a > 0))")
    for statement, said in MYSQL:
        assert changes(mariadb, statement) == [each.format("check (`a` > 0)") for each in said]


def test_where_a_view_of_mariadb_stands_is_no_difference(servers: Servers, mariadb: Database) -> None:
    with servers.get(mariadb.source).database() as other:
        for each in (mariadb, other):
            each.rows(TABLE)
            each.rows("CREATE VIEW v AS SELECT a FROM t")
        assert differences(snapshot(mariadb), snapshot(other)) == ()
