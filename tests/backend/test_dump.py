"""What pg_dump writes is a valid first migration, and makes the same database again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url, text

from fluxmig import MigrationFailedError, MigrationFileError, Migrator, Mode, Outcome
from fluxmig.embedded import find_binaries
from tests.support import EXAMPLES, Database

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fluxmig import StepResult
    from tests.support import Servers, Write

CONTAINERS = False

WITHOUT_LEDGER = "--exclude-table=schema_migrations*"
TOKEN = re.compile(r"^\\(un)?restrict \w+$", re.MULTILINE)

EVERYTHING = r"""
CREATE SCHEMA "odd ""schema; %s :x";
COMMENT ON SCHEMA "odd ""schema; %s :x" IS 'it''s; a \ comment %s :x';
CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'happy');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TYPE pair AS (a integer, b text);
CREATE SEQUENCE numbers START 5 INCREMENT 3;
SELECT nextval('numbers'), nextval('numbers');
CREATE TABLE things (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    old serial,
    mood mood DEFAULT 'sad',
    size positive,
    pair pair,
    name text COLLATE "C" NOT NULL DEFAULT E'a\tb',
    upper_name text GENERATED ALWAYS AS (upper(name)) STORED,
    tags text[],
    data jsonb,
    bytes bytea,
    EXCLUDE USING btree (name WITH =)
);
CREATE TABLE "odd ""schema; %s :x"."odd table; -- \" (
    "a;b" integer, ":c" text, "%s" text, thing bigint REFERENCES things DEFERRABLE INITIALLY DEFERRED
);
INSERT INTO things (mood, size, pair, name, tags, data, bytes) VALUES
    ('happy', 1, ROW(1, E'x,"\n'), E'tab\there\nline\\N \\. %s :x it''s', '{a,"b,c",NULL}', '{"a": "\\n"}',
        '\x00ff'),
    (NULL, NULL, NULL, E'\\.', NULL, NULL, ''),
    (DEFAULT, 2, NULL, '', '{}', 'null', NULL),
    (DEFAULT, 2, NULL, 'ä日本\U0001f600', '{}', 'null', NULL);
INSERT INTO "odd ""schema; %s :x"."odd table; -- \" VALUES (1, E'\\.', '%(x)s', 1), (2, NULL, '', 2);
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
CREATE TABLE parent (id integer, day date) PARTITION BY RANGE (day);
CREATE TABLE parent_2024 PARTITION OF parent FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE parent_rest PARTITION OF parent DEFAULT;
CREATE INDEX parent_day ON parent (day);
INSERT INTO parent VALUES (1, '2024-05-05'), (2, '1999-01-01');
CREATE TABLE heir (more text) INHERITS (things);
CREATE INDEX partial ON things (lower(name)) WHERE mood <> 'sad';
CREATE VIEW happy AS SELECT id, name FROM things WHERE mood = 'happy' WITH CASCADED CHECK OPTION;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM things;
CREATE FUNCTION greet(name text, times integer DEFAULT 2) RETURNS text LANGUAGE plpgsql AS $_$
DECLARE s text := 'a;''b';  -- don't; %s :x
BEGIN
    /* BEGIN; */ RETURN format('%s; %L', repeat($1, $2), $$dollar;$$);
END; $_$;
CREATE FUNCTION standard(a integer) RETURNS integer LANGUAGE sql
BEGIN ATOMIC
    SELECT CASE WHEN a > 1 THEN 1 ELSE 2 END;
    SELECT a + 1;
END;
CREATE PROCEDURE tidy() LANGUAGE sql AS 'DELETE FROM things WHERE false; SELECT 1;';
CREATE AGGREGATE total (integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');
CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq);
CREATE CAST (pair AS text) WITH INOUT;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN new.name := new.name || ''!''; RETURN new; END';
CREATE TRIGGER touch BEFORE INSERT OR UPDATE OF name ON things FOR EACH ROW
    WHEN (new.size = 99) EXECUTE FUNCTION touch('a;', '%s');
CREATE RULE redirect AS ON INSERT TO nothing DO ALSO (SELECT 1; NOTIFY channel, 'a;b');
ALTER TABLE things ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON things FOR SELECT TO public USING (name <> 'it''s;');
CREATE EXTENSION IF NOT EXISTS plpgsql;
CREATE STATISTICS related ON mood, size FROM things;
CREATE PUBLICATION news FOR TABLE things;
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE AGGREGATE') EXECUTE FUNCTION watched();
GRANT SELECT ON things TO public;
REVOKE EXECUTE ON FUNCTION greet FROM public;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO public;
COMMENT ON COLUMN things.name IS E'two\nlines; and -- no comment';
COMMENT ON TABLE things IS '\restrict is no command here';
""".replace(
    "CREATE EVENT TRIGGER",
    "CREATE FUNCTION watched() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';\nCREATE EVENT TRIGGER",
)
LARGE_OBJECTS = """
SELECT lo_from_bytea(77001, '\\x00010203'), lo_from_bytea(77002, 'it''s; text'), lo_create(77003);
COMMENT ON LARGE OBJECT 77002 IS 'a comment';
"""


@pytest.fixture
def twin(postgresql: Database, servers: Servers) -> Iterator[Database]:
    """Another database on the same server."""
    with servers.get(postgresql.source).database() as database:
        yield database


def dumped(database: Database, *options: str, program: str = "pg_dump") -> str:
    """What pg_dump of the server's own version writes, without the token that is new each time."""
    major = int(str(database.scalar("SHOW server_version_num"))) // 10000
    parsed = make_url(database.url).set(drivername="postgresql")
    url = parsed.render_as_string(hide_password=False)
    # pg_dumpall hands the URL on without its password.
    environment = os.environ | ({"PGPASSWORD": str(parsed.password)} if parsed.password else {})
    for folder in (Path(f"/usr/lib/postgresql/{major}/bin"), find_binaries()):
        path = shutil.which(program, path=folder)
        if path and f" {major}." in subprocess.check_output([path, "--version"], text=True):
            command = [path, *options, f"--dbname={url}"]
            return subprocess.check_output(command, text=True, timeout=120, env=environment)
    pytest.skip(f"no {program} of version {major}")


def bare(dump: str) -> str:
    """A dump without the tokens, which are new each time."""
    return TOKEN.sub("", dump)


def example(database: Database) -> None:
    """Applies the example migrations of this repository."""
    report = Migrator(database.engine(), EXAMPLES).run()
    assert {step.outcome for step in report.results} == {Outcome.APPLIED}


def run(database: Database, folder: Path) -> tuple[StepResult, ...]:
    return Migrator(database.engine(), folder).run().results


def ledger(database: Database) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT migration_name, checksum, execution_time_ms, applied_at FROM schema_migrations ORDER BY id"
    )


# --- the example ------------------------------------------------------------------------------------------

OPTIONS = [
    [],
    ["--no-owner"],
    ["--inserts"],
    ["--column-inserts"],
    ["--inserts", "--rows-per-insert=100", "--on-conflict-do-nothing"],
    ["--clean", "--if-exists"],
    ["--schema-only"],
    ["--quote-all-identifiers", "--disable-dollar-quoting"],
    ["--no-privileges", "--no-comments", "--no-security-labels"],
    ["--serializable-deferrable", "--encoding=UTF8", "--verbose"],
]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_a_dump_without_the_ledger(
    options: list[str], postgresql: Database, twin: Database, folder: Path, write: Write
) -> None:
    example(postgresql)
    dump = dumped(postgresql, WITHOUT_LEDGER, *options)
    write({"001_dump.sql": dump, "002_more.sql": "CREATE TABLE more (path text DEFAULT current_schema());"})
    steps = run(twin, folder)
    assert [(step.outcome, step.mode) for step in steps] == [(Outcome.APPLIED, Mode.TRANSACTION)] * 2
    assert [row[0] for row in ledger(twin)] == ["001_dump.sql", "002_more.sql"]
    assert twin.rows("INSERT INTO public.more DEFAULT VALUES RETURNING path") == [("public",)]
    twin.rows("DROP TABLE more")
    again = [WITHOUT_LEDGER, *options]
    if "--verbose" in options:  # it writes when it began and ended
        again.remove("--verbose")
        dump = dumped(postgresql, *again)
    assert bare(dumped(twin, *again)) == bare(dump)


@pytest.mark.parametrize("options", [[], ["--inserts"], ["--clean", "--if-exists"]], ids=" ".join)
def test_a_dump_with_the_ledger(
    options: list[str], postgresql: Database, twin: Database, folder: Path, write: Write
) -> None:
    example(postgresql)
    dump = dumped(postgresql, *options)
    write({"000_dump.sql": dump, "999_more.sql": "CREATE TABLE more (path text DEFAULT current_schema());"})
    steps = run(twin, folder)
    assert [step.outcome for step in steps] == [Outcome.APPLIED] * 2
    before = ledger(postgresql)
    assert ledger(twin)[: len(before)] == before
    assert [row[0] for row in ledger(twin)[len(before) :]] == ["000_dump.sql", "999_more.sql"]
    log = "SELECT event, migration_name FROM schema_migrations_log ORDER BY id"
    assert twin.rows(log) == [
        *postgresql.rows(log),
        ("applied", "000_dump.sql"),
        ("applied", "999_more.sql"),
    ]
    assert run(twin, folder) == ()
    twin.rows("DROP TABLE more")
    assert bare(dumped(twin, WITHOUT_LEDGER)) == bare(dumped(postgresql, WITHOUT_LEDGER))
    assert bare(dumped(twin, "--schema-only")) == bare(dumped(postgresql, "--schema-only"))


def test_the_schema_and_then_the_data(
    postgresql: Database, twin: Database, folder: Path, write: Write
) -> None:
    example(postgresql)
    schema = dumped(postgresql, WITHOUT_LEDGER, "--schema-only")
    data = dumped(postgresql, WITHOUT_LEDGER, "--data-only", "--disable-triggers")
    write({"001_schema.sql": schema, "002_data.sql": data})
    assert [step.outcome for step in run(twin, folder)] == [Outcome.APPLIED] * 2
    assert bare(dumped(twin, WITHOUT_LEDGER)) == bare(dumped(postgresql, WITHOUT_LEDGER))


# --- more than the example has ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [[], ["--inserts"], ["--column-inserts", "--quote-all-identifiers"]], ids=" ".join
)
def test_a_dump_of_everything(
    options: list[str], postgresql: Database, twin: Database, folder: Path, write: Write
) -> None:
    write({"001_everything.sql": EVERYTHING})
    assert [step.outcome for step in run(postgresql, folder)] == [Outcome.APPLIED]
    dump = dumped(postgresql, WITHOUT_LEDGER, *options)
    write({"001_everything.sql": dump})
    assert [(step.outcome, step.mode) for step in run(twin, folder)] == [(Outcome.APPLIED, Mode.TRANSACTION)]
    assert bare(dumped(twin, WITHOUT_LEDGER, *options)) == bare(dump)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([WITHOUT_LEDGER], id="without the ledger"),
        pytest.param([], id="with the ledger"),
    ],
)
def test_a_dump_with_large_objects_runs_in_its_own_transactions(
    options: list[str], postgresql: Database, twin: Database, folder: Path, write: Write
) -> None:
    write({"001_all.sql": EVERYTHING + LARGE_OBJECTS})
    run(postgresql, folder)
    dump = dumped(postgresql, *options)
    (folder / "001_all.sql").rename(folder / "000_dump.sql")
    write({"000_dump.sql": dump})
    (step,) = run(twin, folder)
    assert (step.outcome, step.mode, step.reason) == (
        Outcome.APPLIED,
        Mode.NO_TRANSACTION,
        "it has transactions of its own",
    )
    assert twin.rows("SELECT loid, pageno, data FROM pg_largeobject ORDER BY loid") == [
        (77001, 0, b"\x00\x01\x02\x03"),
        (77002, 0, b"it's; text"),
    ]
    assert bare(dumped(twin, WITHOUT_LEDGER)) == bare(dumped(postgresql, WITHOUT_LEDGER))
    assert ledger(twin)[-1][0] == "000_dump.sql"
    assert run(twin, folder) == ()


# --- what cannot be ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "options"),
    [
        ("pg_dump", ["--create"]),
        ("pg_dump", ["--create", "--clean"]),
        ("pg_dumpall", ["--no-role-passwords"]),
    ],
    ids=["pg_dump --create", "pg_dump --create --clean", "pg_dumpall"],
)
def test_a_dump_that_connects_is_refused(
    program: str, options: list[str], postgresql: Database, twin: Database, folder: Path, write: Write
) -> None:
    dump = dumped(postgresql, *options, program=program)
    write({"001_dump.sql": dump})
    with pytest.raises(MigrationFileError) as caught:
        Migrator(twin.engine(), folder).run()
    (problem,) = caught.value.problems
    assert problem.message == "\\connect is a command of psql, not SQL"
    assert problem.line == dump[: dump.index("\n\\connect ")].count("\n") + 2
    assert problem.remedy == "name the database with --database-url; one migration runs on one database"
    assert twin.tables() == set()


@pytest.mark.parametrize(
    ("options", "left"),
    [([WITHOUT_LEDGER], {"schema_migrations", "schema_migrations_log"}), ([], set())],
    ids=["without the ledger", "with the ledger"],
)
def test_a_dump_that_fails_half_way_leaves_nothing(
    options: list[str], left: set[str], postgresql: Database, twin: Database, folder: Path, write: Write
) -> None:
    example(postgresql)
    dump = dumped(postgresql, *options)
    head, copy, tail = dump.rpartition("\nCOPY public.users ")
    first, row, rest = tail.partition(" FROM stdin;\n")
    assert copy
    assert row
    write({"001_dump.sql": f"{head}{copy}{first}{row}not a row\n{rest}"})
    engine = twin.engine()
    with pytest.raises(MigrationFailedError) as caught:
        Migrator(engine, folder).run()
    failure = caught.value.failures[0].failure
    assert failure is not None
    assert failure.message == 'invalid input syntax for type uuid: "not a row"'
    assert failure.line == f"{head}{copy}{first}{row}".count("\n") + 1
    assert twin.tables() == left
    write({"001_dump.sql": dump})
    assert [step.outcome for step in Migrator(engine, folder).run().results] == [Outcome.APPLIED]
    assert bare(dumped(twin, WITHOUT_LEDGER)) == bare(dumped(postgresql, WITHOUT_LEDGER))


# --- the session ------------------------------------------------------------------------------------------

SETTINGS = (
    "SELECT name, setting FROM pg_settings WHERE source = 'session' AND name <> 'transaction_read_only'"
)


@pytest.mark.parametrize("where", ["outside a transaction", "inside a transaction"])
@pytest.mark.parametrize("ending", ["", "SELECT 1/0;"], ids=["done", "failed"])
def test_what_a_dump_sets_does_not_reach_the_callers_connection(
    ending: str, where: str, postgresql: Database, twin: Database, folder: Path, write: Write
) -> None:
    example(postgresql)
    dump = dumped(postgresql, WITHOUT_LEDGER)
    assert "SELECT pg_catalog.set_config('search_path', '', false);" in dump
    write({"001_dump.sql": f"{dump}{ending}\n", "002_more.sql": "CREATE TABLE more (id integer);"})
    with twin.engine().connect() as connection:
        connection.execute(text("SET search_path = public, pg_catalog"))
        connection.execute(text("SET statement_timeout = '1h'"))
        connection.commit()
        before = set(connection.execute(text(SETTINGS)))
        nested = where == "inside a transaction"
        if not nested:
            connection.commit()
        migrator = Migrator(connection, folder)
        if ending:
            with pytest.raises(MigrationFailedError):
                migrator.run()
        else:
            migrator.run()
        assert connection.in_transaction() is nested
        assert set(connection.execute(text(SETTINGS))) == before
        connection.commit()
        assert set(connection.execute(text(SETTINGS))) == before
    applied: Mapping[str, list[tuple[object, ...]]] = {"": [("001_dump.sql",), ("002_more.sql",)]}
    assert twin.rows("SELECT migration_name FROM schema_migrations ORDER BY id") == applied.get(ending, [])


def test_what_a_dump_sets_does_not_reach_the_pool(
    postgresql: Database, twin: Database, folder: Path, write: Write
) -> None:
    example(postgresql)
    write({"001_dump.sql": dumped(postgresql, WITHOUT_LEDGER)})
    engine = twin.engine(pool_size=1, max_overflow=0)
    Migrator(engine, folder).run()
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW search_path")) == '"$user", public'
        assert connection.execute(text(SETTINGS)).all() == []
