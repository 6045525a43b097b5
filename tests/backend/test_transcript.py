"""The SQL of `plan --sql`, run by psql and the sqlite3 shell: the database is the one that a run makes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from sqlalchemy import make_url

from fluxmig import Migrator
from fluxmig.embedded import find_binaries
from fluxmig.errors import MigrationFailedError
from tests.support import POSTGRESQL_15, Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support import Servers, Write

    Psql = Callable[[Database, str], subprocess.CompletedProcess[str]]

CONTAINERS = False

MASKS: Final = (
    "UPDATE schema_migrations SET applied_at = '2000-01-01', execution_time_ms = NULL",
    (
        "UPDATE schema_migrations_log SET logged_at = '2000-01-01', duration_ms = NULL, source = NULL,"
        " id = (SELECT count(*) FROM schema_migrations_log AS o WHERE o.id <= schema_migrations_log.id)"
    ),
)
ORDER: Final = (
    "SELECT setval('schema_migrations_log_id_seq', 1)",
    "CLUSTER schema_migrations USING schema_migrations_pkey",
    "CLUSTER schema_migrations_log USING schema_migrations_log_pkey",
)
FILES: Final[dict[str, str]] = {
    "001_text.sql": (
        "CREATE TABLE a (b text, c text[]);\n"
        "INSERT INTO a VALUES ('100%s %% %(x)s :name ::x \\n ''q''', ARRAY['x'::text, E'\\\\ \\x41']);\n"
        "COMMENT ON TABLE a IS $its$ it's $$; \\. -- %\n$its$;\n"
        "SELECT c[1:2], b LIKE '%' FROM a -- :b; 'open\n"
        "/* a /* nested */ ; ' */ ;"
    ),
    "002_concurrently.sql": (
        "-- first\nCREATE INDEX CONCURRENTLY a_b ON a (b);\n/* then */ INSERT INTO a VALUES ('2') -- the end;"
    ),
    "003_own.sql": (
        "BEGIN;\nCREATE TABLE own (a int);\nINSERT INTO own VALUES (1);\nCOMMIT;\n"
        "INSERT INTO own VALUES (2); START TRANSACTION ISOLATION LEVEL SERIALIZABLE;\n"
        "INSERT INTO own SELECT length(current_setting('transaction_isolation')); END"
    ),
    "004_rows.sql": (
        "CREATE TABLE rows (a int, b text);\n-- before; it's\n"
        "COPY rows FROM stdin;\n1\t\\N\n2\tit's; -- %s\\n:x\n"
        "\\.\n-- between\nINSERT INTO rows VALUES (3, 'c');\n"
        'COPY rows (b, a) FROM stdin (FORMAT csv);\n"a\nb;",4\n\\.\nCOPY rows FROM stdin;\n\\.\n'
    ),
    "005_restrict.sql": (
        "\\restrict abc\nCREATE TABLE restricted (a int);\n"
        "COPY restricted FROM stdin;\n1\n\\.\n\\unrestrict abc\n"
    ),
    '006_it\'s 100% \\done\\ "%%s" :x.sql': "INSERT INTO a VALUES ('six')",
    "007_comment.sql": "INSERT INTO a VALUES ('seven') -- the end;",
    "008_set.sql": (
        "SET search_path = pg_catalog;\nSET ROLE pg_monitor;\nRESET ROLE;\n"
        "SET SESSION AUTHORIZATION pg_monitor;\n"
        "SET escape_string_warning = off; SET standard_conforming_strings = off; SET DateStyle = 'SQL';\n"
        "RESET SESSION AUTHORIZATION;\n"
        "INSERT INTO public.a VALUES ('\\x41', ARRAY[DATE '2000-12-31'])"
    ),
    "009_as_set.sql": "INSERT INTO a VALUES ('\\x41', ARRAY[current_setting('search_path')])",
    "010_isolation.sql": (
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\n"
        "INSERT INTO a VALUES (current_setting('transaction_isolation'));"
    ),
    "011_wrapped.sql": (
        "-- a head;\nBEGIN ISOLATION LEVEL REPEATABLE READ;\n"
        "INSERT INTO a VALUES (current_setting('transaction_isolation')) ;\nCOMMIT; -- a tail"
    ),
    "012_body.sql": (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1;\n"
        "SELECT CASE WHEN true THEN 2 END;\n"
        "END; DO $do$ BEGIN EXECUTE $$INSERT INTO a VALUES (';')$$; END $do$"
    ),
    "013_empty.sql": "",
    "014_comment.sql": "-- only; a comment",
    "015_größe_名.sql": "INSERT INTO a VALUES ('größe 名 \N{GRINNING FACE}')",
    "016_windows.sql": "INSERT INTO a\r\n VALUES ('a\r\nb');\r\n-- the end\r\n",
    "018_read_only.sql": "BEGIN READ ONLY; SELECT 1; COMMIT; INSERT INTO a VALUES ('eighteen');",
    "017_no_transaction.sql": (
        "-- fluxmig: no-transaction\nSET search_path = pg_catalog; INSERT INTO public.a VALUES ('17');\n"
        "COPY public.a (b) FROM stdin;\nseventeen\n\\.\nVACUUM public.a"
    ),
}


@pytest.fixture
def by_hand(postgresql: Database, servers: Servers) -> Iterator[Database]:
    """A second database on the server of the fixture `postgresql`."""
    with servers.get(postgresql.source).database() as database:
        yield database


def binaries(database: Database) -> Path:
    return POSTGRESQL_15 if database.source.endswith("-15") else find_binaries()


def conninfo(database: Database) -> str:
    return make_url(database.url).set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
def psql() -> Psql:
    """Pipes SQL into psql, of the server's own version."""

    def run(database: Database, sql: str) -> subprocess.CompletedProcess[str]:
        program = shutil.which("psql", path=binaries(database))
        if program is None:
            pytest.skip(f"no psql in {binaries(database)}")
        return subprocess.run(
            [program, "-X", "-q", conninfo(database)],
            input=sql,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=60,
        )

    return run


def dump(database: Database) -> str:
    """The whole database, but for times, gaps in the log's numbers, and the random key of each dump."""
    for mask in (*MASKS, *ORDER):
        database.rows(mask)
    program = binaries(database) / "pg_dump"
    done = subprocess.run([program, conninfo(database)], capture_output=True, encoding="utf-8", check=True)
    return re.sub(r"(?m)^(\\(?:un)?restrict) .*$", r"\1 KEY", done.stdout)


def sql_of(database: Database, folder: Path, *, to: str | None = None, restart: str | None = None) -> str:
    return "".join(Migrator(database.engine(), folder).plan_sql(to=to, restart=restart))


def run(database: Database, folder: Path, *, to: str | None = None, restart: str | None = None) -> None:
    Migrator(database.engine(), folder).run(to=to, restart=restart)


def unsettled(database: Database, folder: Path) -> list[object]:
    """What `status` and `verify` have to say of a database whose migrations are all applied."""
    migrator = Migrator(database.engine(), folder)
    odd = [status for status in migrator.status() if status.record is None or status.conditions]
    return [*odd, *migrator.verify().findings]


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What psql has to say, but for "already exists, skipping"."""
    return [line for line in done.stderr.splitlines() if not line.startswith("NOTICE: ")]


def same(psql: Psql, postgresql: Database, by_hand: Database, folder: Path) -> str:
    """Runs the folder on one database, and its SQL on the other; both are equal then, and this is what."""
    sql = sql_of(by_hand, folder)
    done = psql(by_hand, sql)
    assert (done.returncode, said(done)) == (0, [])
    run(postgresql, folder)
    assert dump(by_hand) == dump(postgresql)
    assert unsettled(by_hand, folder) == []
    return sql


# --- PostgreSQL: the same as a run ------------------------------------------------------------------------


def test_all_files_by_psql_are_as_by_a_run(
    psql: Psql, postgresql: Database, by_hand: Database, folder: Path, write: Write
) -> None:
    write(FILES)
    sql = same(psql, postgresql, by_hand, folder)
    assert [line for line in sql.splitlines() if line.startswith("-- 0")][:3] == [
        "-- 001_text.sql (one transaction)",
        "-- 002_concurrently.sql (no transaction: CREATE INDEX CONCURRENTLY)",
        "-- 003_own.sql (no transaction: it has transactions of its own)",
    ]


def test_nothing_is_shown_but_what_the_files_ask_for(
    psql: Psql, one_postgresql: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": "CREATE TABLE a (b int);", "002_b.sql": "CREATE INDEX CONCURRENTLY a_b ON a (b);"})
    done = psql(one_postgresql, sql_of(one_postgresql, folder))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert unsettled(one_postgresql, folder) == []


def test_a_dump_that_brings_the_ledger(
    psql: Psql, postgresql: Database, by_hand: Database, servers: Servers, folder: Path, write: Write
) -> None:
    write({"001_a.sql": "CREATE TABLE a (b int);"})
    with servers.get(postgresql.source).database() as old:
        run(old, folder)
        program = binaries(old) / "pg_dump"
        schema = subprocess.run([program, "--schema-only", conninfo(old)], capture_output=True, check=True)
    write({"001_a.sql": schema.stdout, "002_b.sql": "INSERT INTO a VALUES (1)"})
    sql = same(psql, postgresql, by_hand, folder)
    assert "the ledger and the log" not in sql
    assert sql.count("CREATE TABLE IF NOT EXISTS public.schema_migrations ") == 1


HALF: Final = "CREATE TABLE IF NOT EXISTS half (a int);\nSET search_path = pg_catalog;\nSELECT {};\nSELECT 4"


@pytest.mark.parametrize("restart", [None, "001_half"])
def test_a_migration_that_is_half_done(
    restart: str | None, psql: Psql, postgresql: Database, by_hand: Database, folder: Path, write: Write
) -> None:
    write({"001_half.sql": "-- fluxmig: no-transaction\n" + HALF.format("1 / 0")})
    for database in (postgresql, by_hand):
        with pytest.raises(MigrationFailedError, match=r"division by zero(?s:.*)2 of 4 statements are done"):
            run(database, folder)
    write({"001_half.sql": "-- fluxmig: no-transaction\n" + HALF.format("1")})
    sql = sql_of(by_hand, folder, restart=restart)
    assert (sql.count("CREATE TABLE IF NOT EXISTS half"), sql.count("SET search_path = pg_catalog;")) == (
        (1, 1) if restart else (0, 1)
    )
    assert ("statement 3)\n" in sql) is (restart is None)
    done = psql(by_hand, sql)
    assert (done.returncode, said(done)) == (0, [])
    run(postgresql, folder, restart=restart)
    assert dump(by_hand) == dump(postgresql)
    assert unsettled(by_hand, folder) == []


TEMPORARY: Final = (
    "CREATE TEMP TABLE t (i int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO t VALUES (1);"
    " PREPARE p AS SELECT 1; DECLARE c CURSOR WITH HOLD FOR SELECT * FROM t; LISTEN n;"
)
SESSIONS: Final[dict[str, dict[str, str]]] = {
    "temporary": {"001_a.sql": TEMPORARY, "002_b.sql": TEMPORARY},
    "temporary, no transaction": {
        "001_a.sql": f"-- fluxmig: no-transaction\n{TEMPORARY}",
        "002_b.sql": f"-- fluxmig: no-transaction\n{TEMPORARY}",
    },
    "a role without rights": {
        "001_a.sql": "-- fluxmig: no-transaction\nSET ROLE pg_monitor; SELECT 1; BEGIN; SELECT 2; COMMIT;",
        "002_b.sql": "CREATE TABLE b (c int)",
    },
    "another user": {
        "001_a.sql": "-- fluxmig: no-transaction\nSET SESSION AUTHORIZATION pg_monitor; SELECT 1;",
        "002_b.sql": "CREATE TABLE b (c int)",
    },
}


@pytest.mark.parametrize("files", SESSIONS.values(), ids=SESSIONS)
def test_what_a_file_sets_does_not_reach_the_next(
    files: dict[str, str], psql: Psql, postgresql: Database, by_hand: Database, folder: Path, write: Write
) -> None:
    write(files)
    same(psql, postgresql, by_hand, folder)


def test_the_text_is_read_as_utf_8_whatever_the_databases_encoding(
    psql: Psql, postgresql: Database, folder: Path, write: Write
) -> None:
    """Also behind RESET ALL."""
    name = "fluxmig_test_latin1"
    admin = postgresql.engine(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
        url = make_url(postgresql.url).set(database=name).render_as_string(hide_password=False)
        latin = Database(postgresql.source, url)
        try:
            write({"001_ü.sql": "SET work_mem = '5MB'; CREATE TABLE a AS SELECT 'ü' AS b"})
            write({"002_ß.sql": "INSERT INTO a VALUES ('ß')"})
            done = psql(latin, sql_of(latin, folder))
            assert (done.returncode, done.stderr) == (0, "")
            assert latin.rows("SELECT b FROM a") == [("ü",), ("ß",)]
            assert unsettled(latin, folder) == []
        finally:
            latin.dispose()
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


# --- PostgreSQL: where psql stops -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("CREATE TABLE b (c int);\nSELECT 1 / 0;\nCREATE TABLE d (e int);", {"a"}),
        ("CREATE TABLE b (c int);\nCOPY b FROM stdin;\nx\n\\.\nSELECT 1", {"a"}),
        ("CREATE TABLE b (c int); INSERT INTO a VALUES (1); -- the end", {"a"}),
        ("-- fluxmig: no-transaction\nCREATE TABLE b (c int);\nSELECT 1 / 0;", {"a", "b"}),
    ],
)
def test_psql_stops_at_a_failure(
    sql: str, tables: set[str], psql: Psql, one_postgresql: Database, folder: Path, write: Write
) -> None:
    """And what it leaves is what a run would have left, but for the event of the failure."""
    first = "CREATE TABLE a (b int CHECK (b > 1));"
    write({"001_a.sql": first, "002_b.sql": sql, "003_c.sql": "CREATE TABLE c (d int)"})
    done = psql(one_postgresql, sql_of(one_postgresql, folder))
    assert done.returncode == 3
    assert re.search(r"^ERROR:  (division by zero|invalid input syntax|new row for relation)", done.stderr)
    assert one_postgresql.tables() == {"schema_migrations", "schema_migrations_log", *tables}
    assert one_postgresql.rows("SELECT migration_name FROM schema_migrations") == [("001_a.sql",)]
    (_, *left) = Migrator(one_postgresql.engine(), folder).status()
    partial = [] if tables == {"a"} else ["partial"]
    assert [[*status.conditions] for status in left] == [partial, []]


@pytest.mark.parametrize("first", ["CREATE TABLE a (b int)", "VACUUM"])
def test_it_fails_at_once_where_another_runner_has_the_lock(
    first: str, psql: Psql, one_postgresql: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": "SELECT 1"})
    run(one_postgresql, folder)
    write({"002_b.sql": first})
    sql = sql_of(one_postgresql, folder)
    key = re.search(r"pg_try_advisory_(?:xact_)?lock\((-?\d+)\)", sql)
    assert key
    with psycopg.connect(conninfo(one_postgresql)) as other:
        other.execute(f"SELECT pg_advisory_xact_lock({key[1]})")
        done = psql(one_postgresql, sql)
    assert done.returncode == 3
    assert done.stderr.startswith("ERROR:  another runner holds the lock\n")
    assert one_postgresql.tables() == {"schema_migrations", "schema_migrations_log"}
    assert one_postgresql.rows("SELECT event FROM schema_migrations_log") == [("applied",)]


def test_the_lock_is_the_one_of_a_run_and_free_behind_it(
    psql: Psql, one_postgresql: Database, folder: Path, write: Write
) -> None:
    write(
        {
            "001_a.sql": "-- fluxmig: no-transaction\nCREATE TABLE locks AS SELECT objid FROM pg_locks"
            " WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        }
    )
    sql = sql_of(one_postgresql, folder)
    psql(one_postgresql, f"{sql}INSERT INTO locks SELECT 0 FROM pg_locks WHERE locktype = 'advisory';\n")
    by_psql = one_postgresql.rows("SELECT objid FROM locks")
    one_postgresql.rows("DROP TABLE locks, schema_migrations, schema_migrations_log")
    run(one_postgresql, folder)
    assert one_postgresql.rows("SELECT objid FROM locks") == by_psql
    assert len(by_psql) == 1


# --- SQLite -----------------------------------------------------------------------------------------------

SQLITE: Final = {
    "001_text.sql": (
        "CREATE TABLE a (b);\nINSERT INTO a VALUES ('100%s %% :x \\ \n''q'';'), (x'00ff');\n"
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; DELETE FROM a WHERE b = 9;"
        "END; INSERT INTO a VALUES (9) -- the end;"
    ),
    "002_vacuum.sql": "-- first\nINSERT INTO a VALUES (2);\nVACUUM;\nINSERT INTO a VALUES (3) /* not closed;",
    "003_wrapped.sql": "BEGIN;\nINSERT INTO a VALUES (4);\nCOMMIT;",
    '004_it\'s 100% \\done\\ "%%s" :x.sql': "INSERT INTO a VALUES ('six'); /* not closed;",
    "005_own.sql": "INSERT INTO a VALUES (5); BEGIN IMMEDIATE; INSERT INTO a VALUES (6); END TRANSACTION",
    "006_no_transaction.sql": "-- fluxmig: no-transaction\nPRAGMA user_version = 7; INSERT INTO a VALUES (7)",
    "007_empty.sql": "",
    "008_größe_名.sql": "INSERT INTO a VALUES ('größe 名 \N{GRINNING FACE}');\r\n-- the end",
}


@pytest.mark.parametrize("by", ["shell", "driver"])
def test_sqlite_by_hand_is_as_by_a_run(
    by: str, sqlite: Database, tmp_path: Path, folder: Path, write: Write
) -> None:
    write(SQLITE)
    sql = sql_of(sqlite, folder)
    run(sqlite, folder)
    file = tmp_path / "by_hand.db"
    assert sql_by(by, file, sql) == (0, "")
    with (
        contextlib.closing(sqlite3.connect(file)) as found,
        contextlib.closing(sqlite3.connect(tmp_path / "test.db")) as expected,
    ):
        for connection in (found, expected):
            for mask in MASKS:
                connection.execute(mask)
        assert list(found.iterdump()) == list(expected.iterdump())
        assert found.execute("PRAGMA user_version").fetchone() == (7,)
    assert unsettled(Database("sqlite", f"sqlite:///{file}"), folder) == []


def test_the_sqlite_shell_stops_at_a_failure(
    sqlite: Database, tmp_path: Path, folder: Path, write: Write
) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (b);",
            "002_b.sql": "CREATE TABLE b (c);\nSELECT x;\nSELECT 1",
            "003_c.sql": "SELECT 1",
        }
    )
    code, said = sql_by("shell", tmp_path / "test.db", sql_of(sqlite, folder))
    assert (code, "no such column: x" in said) == (1, True)
    assert sqlite.tables() == {"a", "schema_migrations", "schema_migrations_log"}
    assert sqlite.rows("SELECT migration_name FROM schema_migrations") == [("001_a.sql",)]


def sql_by(what: str, file: Path, sql: str) -> tuple[int, str]:
    """Runs SQL with the sqlite3 shell, or without its own lines by Python's driver."""
    if what == "driver":
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.executescript(re.sub(r"(?m)\A\..*\n", "", sql))
        return 0, ""
    program = shutil.which("sqlite3")
    if program is None:
        pytest.skip("no sqlite3 shell on the path")
    done = subprocess.run([program, file], input=sql.encode(), capture_output=True, check=False)
    return done.returncode, done.stderr.decode()


# --- the text ---------------------------------------------------------------------------------------------


def test_there_is_nothing_to_run(one_postgresql: Database, folder: Path) -> None:
    head, *rest = sql_of(one_postgresql, folder).splitlines()
    assert (head, rest[-1]) == ("\\set ON_ERROR_STOP on", "-- Nothing to run.")
    assert one_postgresql.tables() == set()


def test_findings_stand_at_the_top(sqlite: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "SELECT 1", "002_b.sql": ""})
    run(sqlite, folder, to="1")
    write({"001_a.sql": "SELECT 2"})
    put_back = (
        "put the old text back, and write the change as a new migration; or `fluxmig accept 001_a.sql` if the"
        " edit is the right one; `fluxmig status --diff` shows it"
    )
    assert sql_of(sqlite, folder).splitlines()[:5] == [
        ".bail on",
        "-- warning: changed since it was applied: 001_a.sql",
        f"-- {put_back}",
        "-- warning: holds no statement: 002_b.sql",
        "-- is the SQL missing?",
    ]


def test_large_data_comes_in_pieces(one_postgresql: Database, folder: Path, write: Write) -> None:
    rows = b"1234567890\t\xc3\xbc\n" * 500_000
    write({"001_rows.sql": b"COPY a FROM stdin;\n" + rows + b"\\.\nSELECT 1"})
    pieces = list(Migrator(one_postgresql.engine(), folder).plan_sql())
    assert max(len(piece) for piece in pieces) <= 2**20 + 20
    assert rows.decode() in "".join(pieces)
