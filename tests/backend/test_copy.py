"""COPY ... FROM stdin with its rows in the file: as psql reads it, and with each error at its row."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from fluxmig import DatabaseConnectionError, LedgerError, MigrationFailedError, Migrator, Outcome
from fluxmig.dialects.postgresql import _row
from fluxmig.embedded import find_binaries
from tests.support import POSTGRESQL_15

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fluxmig.model import Failure
    from tests.support import Database, Servers, Write

CONTAINERS = False


@pytest.fixture
def twin(postgresql: Database, servers: Servers) -> Iterator[Database]:
    """Another database on the same server."""
    with servers.get(postgresql.source).database() as database:
        yield database


def psql(database: Database, file: Path) -> None:
    """Runs a file with psql, which must find nothing wrong with it."""
    folder = POSTGRESQL_15 if database.source == "postgresql-15" else find_binaries()
    program = shutil.which("psql", path=folder)
    if program is None:
        pytest.skip(f"no psql in {folder}")
    url = make_url(database.url).set(drivername="postgresql").render_as_string(hide_password=False)
    done = subprocess.run(
        [program, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file, url],
        env={**os.environ, "PGCLIENTENCODING": "UTF8", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def contents(database: Database) -> dict[str, list[str]]:
    """The rows of every table but fluxmig's own, as text that tells NULL from nothing."""
    tables = database.rows(
        "SELECT quote_ident(relname) FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND relname NOT IN ('schema_migrations', 'schema_migrations_log') ORDER BY 1"
    )
    return {
        str(table): [str(row) for (row,) in database.rows(f"SELECT t::text FROM {table} AS t ORDER BY 1")]
        for (table,) in tables
    }


def refused(database: Database, folder: Path) -> Failure:
    """Why the folder's one migration failed."""
    with pytest.raises(MigrationFailedError) as caught:
        Migrator(database.engine(), folder).run()
    failure = caught.value.failures[0].failure
    assert failure is not None
    return failure


# --- as psql ----------------------------------------------------------------------------------------------

ODD = 'CREATE TABLE "odd ""; name\\%s :x" (a int, "b; \'"" %s :y" text);\n'
FILES = {
    "text": "CREATE TABLE t (a int, b text);\nCOPY t FROM stdin;\n1\ta\n2\t\\N\n3\t\n\\N\tnull\n\\.\n",
    "escapes": (
        "CREATE TABLE t (a text);\nCOPY public.t (a) FROM stdin;\n"
        "\\b\\f\\n\\r\\t\\v\\\\\n\\101\\x42\\q\n\\\\N\n\\\\.\na\\\nb\n\\.\n"
    ),
    "what looks like SQL": (
        "CREATE TABLE t (a text, b text);\nCOPY t FROM stdin;\n"
        "it's;\t\"x\n$$\t/* --\n(;\tSELECT 1;\nCOPY t FROM stdin;\t-- fluxmig: no-transaction\n"
        "ROLLBACK;\tCOMMIT;\nCREATE INDEX CONCURRENTLY i ON t (a);\tVACUUM;\n\\.\n"
    ),
    "percent signs and colons": (
        "CREATE TABLE t (a text DEFAULT '%s %(a)s %% :a');\nCOPY t FROM stdin (NULL '%s:x');\n"
        "%s\n%%\n%(name)s\n:name\n::int\n\\\\:a\n%s:x\n__[POSTCOMPILE_a]\n\\.\n"
        "INSERT INTO t VALUES ('%s :b'), (DEFAULT);\n"
    ),
    "odd names": f'{ODD}COPY "odd ""; name\\%s :x" ("b; \'"" %s :y", a) FROM stdin;\nx\t1\n\\.\n',
    "keywords as names": (
        'CREATE TABLE "from" ("stdin" int, "to" int);\nCOPY "from" ("stdin", "to") FROM stdin;\n1\t2\n\\.\n'
    ),
    "some columns": (
        "CREATE TABLE t (a int DEFAULT 7, b text, c text DEFAULT 'c');\nCOPY t (b) FROM stdin;\nx\ny\n\\.\n"
    ),
    "no columns": "CREATE TABLE t ();\nCOPY t FROM stdin;\n\n\n\\.\n",
    "no rows": "CREATE TABLE t (a int);\nCOPY t FROM stdin;\n\\.\nINSERT INTO t VALUES (1);\n",
    "an empty row": "CREATE TABLE t (a text);\nCOPY t FROM stdin;\n\n\\.\nINSERT INTO t VALUES ('b');\n",
    "UTF-8": "CREATE TABLE t (a text);\nCOPY t FROM stdin;\nä€\n日本\n\U0001f600 e\u0301\n\u2028\x85\n\\.\n",
    "a row over a megabyte": f"CREATE TABLE t (a text);\nCOPY t FROM stdin;\n{'ä€' * 300_000}\nb\n\\.\n",
    "options as pg_dump wrote them once": (
        "CREATE TABLE t (a int, b text);\n"
        "COPY t (a, b) FROM stdin WITH DELIMITER AS '|' NULL AS '';\n1|\n2|\\|\n\\.\n"
    ),
    "options": (
        "CREATE TABLE t (a int, b text);\n"
        "COPY t FROM stdin WITH (FORMAT text, DELIMITER ';', NULL 'none', FREEZE off, ENCODING 'UTF8');\n"
        "1;none\n2;ä\n\\.\n"
    ),
    "WHERE": "CREATE TABLE t (a int);\nCOPY t FROM stdin WHERE a > 1;\n1\n2\n3\n\\.\n",
    "FREEZE": "BEGIN;\nCREATE TABLE t (a int);\nCOPY t FROM stdin (FREEZE);\n1\n\\.\nCOMMIT;\n",
    "CSV": (
        "CREATE TABLE t (a int, b text);\nCOPY t FROM stdin CSV;\n"
        '1,"a ""b"", c"\n2,"two\nlines;\n\n-- three"\n3,\n4,""\n\\.\n'
    ),
    "CSV with a header": "CREATE TABLE t (a int, b text);\nCOPY t FROM stdin CSV HEADER;\na,b\n1,x\n\\.\n",
    "CSV with a header to match": (
        "CREATE TABLE t (a int, b text);\nCOPY t FROM stdin (FORMAT csv, HEADER match);\na,b\n1,x\n\\.\n"
    ),
    "CSV with a header of two lines": (
        'CREATE TABLE t (a int, b text);\nCOPY t FROM stdin (FORMAT csv, HEADER);\n"a\n",b\n1,x\n\\.\n'
    ),
    "CSV with other characters": (
        "CREATE TABLE t (a int, b text);\n"
        "COPY t FROM stdin (FORMAT csv, DELIMITER ';', QUOTE '''', ESCAPE '\\', NULL '-');\n"
        "1;'a;\\'b\\\\'\n2;-\n3;'-'\n\\.\n"
    ),
    "CSV with FORCE_NULL": (
        "CREATE TABLE t (a text, b text, c text);\n"
        "COPY t FROM stdin (FORMAT csv, FORCE_NULL (a), FORCE_NOT_NULL (c));\n"
        '"","",""\n,,\n\\.\n'
    ),
    "Windows": (
        "CREATE TABLE t (a int, b text);\r\nCOPY t FROM stdin;\r\n1\ta\r\n2\t\\N\r\n\\.\r\n"
        "INSERT INTO t VALUES (3, 'c');\r\n"
    ),
    "Windows CSV": 'CREATE TABLE t (a int, b text);\r\nCOPY t FROM stdin CSV;\r\n1,"a\r\nb"\r\n\\.\r\n',
    "many": "CREATE TABLE t (a int);\n"
    + "".join(f"COPY t FROM stdin;\n{i}\n\\.\nINSERT INTO t VALUES (-{i});\n" for i in range(1, 40)),
    "generated and identity columns": (
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, a int,"
        " b int GENERATED ALWAYS AS (a * 2) STORED, c serial);\nCOPY t (a) FROM stdin;\n1\n2\n\\.\n"
        "COPY t (id, a, c) FROM stdin;\n30\t3\t40\n\\.\n"
    ),
    "types": (
        "CREATE TABLE t (a int[], b jsonb, c bytea, d timestamptz, e numeric, f boolean, g point);\n"
        'COPY t FROM stdin;\n{1,2,NULL}\t{"a": "\\\\n"}\t\\\\x00ff\t2024-01-31 12:00:00+00\t-0.10\tt\t(1,2)\n'
        "\\.\n"
    ),
    "a view with a trigger": dedent("""\
        CREATE TABLE t (a int);
        CREATE VIEW v AS SELECT a FROM t;
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO t VALUES (new.a * 10); RETURN new; END $$;
        CREATE TRIGGER g INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION f();
        COPY v FROM stdin;
        1
        2
        \\.
        """),
    "partitions": dedent("""\
        CREATE TABLE p (a int) PARTITION BY RANGE (a);
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
        CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);
        COPY p FROM stdin;
        1
        11
        \\.
        """),
    "a constraint that is deferred": dedent("""\
        CREATE TABLE parent (id int PRIMARY KEY);
        CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
        BEGIN;
        COPY child FROM stdin;
        1
        \\.
        COPY parent FROM stdin;
        1
        \\.
        COMMIT;
        """),
    "transactions of its own": (
        "CREATE TABLE t (a int);\nBEGIN;\nCOPY t FROM stdin;\n1\n\\.\nCOMMIT;\n"
        "BEGIN;\nCOPY t FROM stdin;\n2\n"
        "\\.\nCOMMIT;\n"
    ),
    "no transaction": (
        "-- fluxmig: no-transaction\nCREATE TABLE t (a text);\nCOPY t FROM stdin;\nä%s:x\n\\.\n"
        "CREATE INDEX CONCURRENTLY i ON t (a);\nCOPY t FROM stdin;\nb\n\\.\n"
    ),
    "what a SET says": (
        "CREATE TABLE t (a date);\nSET datestyle = 'SQL, DMY';\nCOPY t FROM stdin;\n31/12/2024\n\\.\n"
    ),
    "client_encoding": (
        "CREATE TABLE t (a text);\nSET client_encoding = 'LATIN1';\nCOPY t FROM stdin;\nascii\n\\.\n"
        "RESET client_encoding;\nCOPY t FROM stdin;\nä\n\\.\n"
    ),
    "standard_conforming_strings": (
        "CREATE TABLE t (a text);\nSET standard_conforming_strings = off;\nSET escape_string_warning = off;\n"
        "INSERT INTO t VALUES ('a\\'b');\nCOPY t FROM stdin (DELIMITER '\\t');\n\\'c\n\\.\n"
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_the_rows_are_those_that_psql_writes(
    case: str, postgresql: Database, twin: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": FILES[case]})
    psql(twin, folder / "001_a.sql")
    report = Migrator(postgresql.engine(), folder).run()
    assert [step.outcome for step in report.results] == [Outcome.APPLIED]
    assert contents(postgresql) == contents(twin) != {}


def test_rows_are_read_as_utf8_whatever_the_client_encoding(
    postgresql: Database, folder: Path, write: Write
) -> None:
    """psql would send the bytes as they are: it knows no encoding of a file."""
    text = f"x{'ä' * 300_000}"  # some of its characters stand across the border of two chunks
    encodings = ("latin1", "win1252")
    for encoding in encodings:
        table = f"CREATE TABLE {encoding} (a text);"
        rows = f"COPY {encoding} FROM stdin;\n{text}\n\\.\n"
        write({f"{encoding}.sql": f"{table}\nSET client_encoding = '{encoding}';\n{rows}"})
    Migrator(postgresql.engine(), folder).run()
    for encoding in encodings:
        assert postgresql.rows(f"SELECT a FROM {encoding}") == [(text,)]


@pytest.mark.parametrize(
    ("statement", "rest", "line", "column"),
    [
        ("INSERT INTO t VALUES ('%→')", ";", 6, 25),
        ("COPY t FROM stdin", ";\na\nb→→\n\\.\n", 8, 2),
    ],
)
def test_a_character_that_the_client_encoding_lacks(
    statement: str, rest: str, line: int, column: int, postgresql: Database, folder: Path, write: Write
) -> None:
    head = "CREATE TABLE t (a text); -- →\nSET client_encoding = 'LATIN1';\n\\restrict x\n\n"
    write({"001_a.sql": f"{head}SELECT 1;\n{statement}{rest}"})
    failure = refused(postgresql, folder)
    assert failure.headline == (
        f"{folder}/001_a.sql:{line}:{column}: the character '→' is not in the client's encoding, latin-1"
    )
    assert failure.remedy == (
        "files are UTF-8: take out what sets client_encoding, or end the URL with ?client_encoding=utf8"
    )
    assert failure.statement is not None
    assert failure.statement.sql == statement
    assert postgresql.tables() == {"schema_migrations", "schema_migrations_log"}


def test_a_file_that_ends_with_the_rows(postgresql: Database, folder: Path, write: Write) -> None:
    """psql 18 takes the last line for a row, and the server refuses it; psql 15 does not."""
    write({"001_a.sql": "CREATE TABLE t (a int);\nCOPY t FROM stdin;\n1\n\\."})
    Migrator(postgresql.engine(), folder).run()
    assert contents(postgresql) == {"t": ["(1)"]}


def test_rows_on_an_async_engine(postgresql: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_a.sql": f"CREATE TABLE t (a text);\nCOPY t FROM stdin;\n{'ä' * 200_000}\n\\.\n",
            "002_b.sql": "SET client_encoding = 'LATIN1';\nCOPY t FROM stdin;\nö\n\\.\n",
            "003_c.sql": "COPY t FROM stdin;\nc\nd\te\n\\.\n",
        }
    )

    async def run() -> Failure | None:
        engine = create_async_engine(postgresql.url)
        try:
            async with engine.connect() as connection:
                await connection.run_sync(lambda c: Migrator(c, folder).run())
        except MigrationFailedError as error:
            return error.failures[0].failure
        finally:
            await engine.dispose()
        return None

    failure = asyncio.run(run())
    assert failure is not None
    assert failure.headline == f"{folder}/003_c.sql:3:1: extra data after last expected column [22P04]"
    assert contents(postgresql) == {"t": [f"({'ä' * 200_000})", "(ö)"]}


# --- with the rest of the file ----------------------------------------------------------------------------

ROWS = "COPY t FROM stdin;\n1\n2\n\\.\n"


@pytest.mark.parametrize(
    ("behind", "message"),
    [
        ("SELECT 1/0;", "division by zero"),
        ("COPY t FROM stdin;\nx\n\\.", 'invalid input syntax for type integer: "x"'),
        ("COPY missing FROM stdin;\nx\n\\.", 'relation "missing" does not exist'),
        ("COPY t (missing) FROM stdin;\nx\n\\.", 'column "missing" of relation "t" does not exist'),
    ],
)
def test_a_later_failure_takes_the_rows_back(
    behind: str, message: str, postgresql: Database, folder: Path, write: Write
) -> None:
    write({"001_t.sql": "CREATE TABLE t (a int);", "002_rows.sql": f"{ROWS}{behind}\n"})
    failure = refused(postgresql, folder)
    assert (failure.message, failure.line) == (message, 5 + ("\nx" in behind and "syntax" in message))
    assert contents(postgresql) == {"t": []}
    assert postgresql.rows("SELECT migration_name FROM schema_migrations") == [("001_t.sql",)]


def test_rows_of_a_file_without_a_transaction_stay_done(
    postgresql: Database, folder: Path, write: Write
) -> None:
    head = "-- fluxmig: no-transaction\nCREATE TABLE t (a int);\nCOPY t FROM stdin;\n1\n\\.\n"
    file = f"{head}COPY t FROM stdin;\n2\n{{}}\n\\.\nINSERT INTO t VALUES (4);\n"
    write({"001_a.sql": file.format("x")})
    failure = refused(postgresql, folder)
    assert (failure.message, failure.line) == ('invalid input syntax for type integer: "x"', 8)
    assert (failure.done, failure.statements) == (2, 4)
    assert contents(postgresql) == {"t": ["(1)"]}
    write({"001_a.sql": file.format("3")})
    report = Migrator(postgresql.engine(), folder).run()
    assert (report.results[0].outcome, report.results[0].resumed_at) == (Outcome.APPLIED, 3)
    assert contents(postgresql) == {"t": ["(1)", "(2)", "(3)", "(4)"]}


def test_rows_that_changed_since_they_were_done_stop_the_next_run(
    postgresql: Database, folder: Path, write: Write
) -> None:
    file = "-- fluxmig: no-transaction\nCREATE TABLE t (a int);\nCOPY t FROM stdin;\n{}\n\\.\nSELECT 1/0;\n"
    write({"001_a.sql": file.format(1)})
    assert refused(postgresql, folder).done == 2
    write({"001_a.sql": file.format(2)})
    with pytest.raises(LedgerError, match=r"has done its statements 1 to 2, and the file has changed there"):
        Migrator(postgresql.engine(), folder).run()
    assert contents(postgresql) == {"t": ["(1)"]}


def test_a_failing_transaction_of_the_files_own(postgresql: Database, folder: Path, write: Write) -> None:
    write(
        {"001_a.sql": f"CREATE TABLE t (a int);\nBEGIN;\n{ROWS}COMMIT;\nBEGIN;\n{ROWS}SELECT 1/0;\nCOMMIT;\n"}
    )
    failure = refused(postgresql, folder)
    assert (failure.message, failure.line, failure.done) == ("division by zero", 13, 4)
    assert contents(postgresql) == {"t": ["(1)", "(2)"]}


def test_the_connection_is_as_before(postgresql: Database, folder: Path, write: Write) -> None:
    """Also behind rows that failed, and in the caller's transaction."""
    write({"001_t.sql": f"CREATE TABLE t (a int);\n{ROWS}"})
    with postgresql.engine().connect() as connection, connection.begin() as transaction:
        Migrator(connection, folder).run()
        assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar() == 2
        write({"002_bad.sql": f"{ROWS}COPY t FROM stdin;\nx\n\\.\n"})
        with pytest.raises(MigrationFailedError):
            Migrator(connection, folder).run()
        assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar() == 2
        transaction.commit()
    assert contents(postgresql) == {"t": ["(1)", "(2)"]}


def test_a_connection_lost_among_the_rows(postgresql: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_t.sql": dedent("""\
                CREATE TABLE t (a int);
                CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN new; END $$;
                CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
                """),
            "002_rows.sql": ROWS,
        }
    )
    engine = postgresql.engine()
    with pytest.raises(DatabaseConnectionError) as caught:
        Migrator(engine, folder).run()
    assert caught.value.message.startswith(f"the connection was lost in {folder}/002_rows.sql: ")
    assert "terminating connection due to administrator command" in caught.value.message
    assert contents(postgresql) == {"t": []}
    postgresql.rows("DROP TRIGGER g ON t")
    Migrator(engine, folder).run()
    assert contents(postgresql) == {"t": ["(1)", "(2)"]}


def test_statements_are_seen_by_the_engine_s_events_as_before(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": f"CREATE TABLE t (a int);\n{ROWS}SELECT 1;\n"})
    engine = one_postgresql.engine()
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda c, u, statement, *rest: seen.append(statement))
    Migrator(engine, folder).run()
    assert [text.strip(";\n") for text in seen if text.startswith(("CREATE TABLE t ", "SELECT 1"))] == [
        "CREATE TABLE t (a int)",
        "SELECT 1",
    ]


# --- a bad row --------------------------------------------------------------------------------------------

HEAD = "CREATE TABLE t (a int CHECK (a < 100), b text, UNIQUE (a));\n\n"
TRIGGER = dedent("""\
    CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF new.a = 3 THEN RAISE EXCEPTION 'not 3'; END IF;
        RETURN new;
    END $$;
    CREATE TRIGGER g {} INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
    """)
X = 'invalid input syntax for type integer: "x"'
BAD = {  # a COPY, the message, and the line that begins the bad row
    "the first": ("COPY t FROM stdin;\nx\ty\n2\tb\n\\.\n", X, "x\ty"),
    "the last": ("COPY t FROM stdin;\n1\ta\n2\tb\nx\ty\n\\.\n", X, "x\ty"),
    "in the middle": ("COPY t FROM stdin;\n1\ta\nx\ty\n2\tb\n\\.\n", X, "x\ty"),
    "behind comments": ("COPY t -- 7\n(a, b) FROM\nstdin; -- 8\n1\ta\nx\ty\n\\.\n", X, "x\ty"),
    "too few columns": ("COPY t FROM stdin;\n1\ta\n2\n\\.\n", 'missing data for column "b"', "2"),
    "too many": (
        "COPY t FROM stdin;\n1\ta\n2\tb\tc\n\\.\n",
        "extra data after last expected column",
        "2\tb\tc",
    ),
    "Windows": ("COPY t FROM stdin;\r\n1\ta\r\nx\ty\r\n2\tb\r\n\\.\r\n", X, "x\ty"),
    "an escaped end of a line": ("COPY t FROM stdin;\n1\ta\\\nb\\\\\n2\tc\\\\\\\nd\nx\ty\n\\.\n", X, "x\ty"),
    "not unique": (
        "COPY t FROM stdin;\n1\ta\n2\tb\n1\tc\n3\td\n\\.\n",
        'duplicate key value violates unique constraint "t_a_key"',
        "1\tc",
    ),
    "a check": (
        "COPY t FROM stdin;\n1\ta\n100\tb\n2\tc\n\\.\n",
        'new row for relation "t" violates check constraint "t_a_check"',
        "100\tb",
    ),
    "a trigger before": (
        f"{TRIGGER.format('BEFORE')}COPY t FROM stdin;\n1\ta\n3\tb\n2\tc\n\\.\n",
        "not 3",
        "3\tb",
    ),
    "CSV": ("COPY t FROM stdin CSV;\n1,a\nx,y\n2,b\n\\.\n", X, "x,y"),
    "CSV with a header": ("COPY t FROM stdin CSV HEADER;\na,b\n1,a\nx,y\n2,b\n\\.\n", X, "x,y"),
    "CSV with lines in its rows": (
        'COPY t FROM stdin (FORMAT csv);\n1,"a\n\n""b\n"\n2,"\n"\nx,"y\n\n\n"\n4,d\n\\.\n',
        X,
        'x,"y',
    ),
    "CSV with lines in its header": (
        'COPY t FROM stdin (FORMAT "csv", HEADER);\n"a\n","\n"\n1,"\n"\nx,"y\n"\n\\.\n',
        X,
        'x,"y',
    ),
    "Windows CSV with lines in its rows": (
        'COPY t FROM stdin CSV;\r\n1,"a\r\nb"\r\n2,"c\r\nd"\r\nx,"y\r\nz"\r\n\\.\r\n',
        X,
        'x,"y',
    ),
    "CSV of two kinds of lines": (
        'COPY t FROM stdin CSV;\r\n1,"a\nb"\r\n2,"c\nd"\r\nx,y\r\n\\.\r\n',
        X,
        "x,y",
    ),
    "CSV with other characters": (
        "COPY t FROM stdin CSV QUOTE AS '''' ESCAPE '\\';\n1,'a\\'\n'\n2,'b\\\\'\n3,\"\n4,'c\\''\nx,y\n\\.\n",
        X,
        "x,y",
    ),
    "CSV with escape strings": (
        "COPY t FROM stdin (FORMAT csv, QUOTE E'|', ESCAPE E'\\\\');\n1,|a\n\\|\n|\n2,'\nx,y\n\\.\n",
        X,
        "x,y",
    ),
    "CSV that is never closed": (
        'COPY t FROM stdin CSV;\n1,a\n2,"b\n3,c\n\\.\n',
        "unterminated CSV quoted field",
        '2,"b',
    ),
    "a column named csv": (
        "ALTER TABLE t RENAME b TO csv;\nCOPY t FROM stdin WHERE csv > '';\n1\t\"a\n2\tb\nx\t\"y\n\\.\n",
        X,
        'x\t"y',
    ),
    "NUL": (
        "COPY t FROM stdin;\n1\ta\n2\t\\000\n\\.\n",
        'invalid byte sequence for encoding "UTF8": 0x00',
        "2\t\\000",
    ),
    "behind a megabyte": (
        f"COPY t FROM stdin;\n1\t{'ä' * 600_000}\n2\t{'b' * 600_000}\nx\ty\n\\.\n",
        X,
        "x\ty",
    ),
}
BEFORE = "COPY t FROM stdin;\n11\ta\n12\tb\n\\.\nINSERT INTO t VALUES (13);\n"


@pytest.mark.parametrize("before", ["", BEFORE], ids=["the first COPY", "a later COPY"])
@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_has_its_line(
    case: str, before: str, postgresql: Database, folder: Path, write: Write
) -> None:
    copy, message, row = BAD[case]
    file = HEAD + before + copy
    write({"001_a.sql": file})
    failure = refused(postgresql, folder)
    line = file.count("\n", 0, file.index(f"\n{row}", len(HEAD + before))) + 2
    assert failure.headline == f"{folder}/001_a.sql:{line}:1: {message} [{failure.code}]"
    shown = failure.excerpt.split("\n")
    caret = next(number for number, text in enumerate(shown) if text.endswith("| ^"))
    assert shown[caret - 1].partition(" | ")[2] == row
    assert failure.statement is not None
    assert failure.statement.sql.startswith("COPY t")
    assert postgresql.tables() == {"schema_migrations", "schema_migrations_log"}


@pytest.mark.parametrize(
    "table",
    ['"odd ""; %s :x"', '"Users"', "public.t", 'public."t"', "T", '"2024"', '"t 5, x"', '"COPY 7"'],
)
def test_a_bad_row_in_a_table_of_any_name(
    table: str, postgresql: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": f"CREATE TABLE {table} (a int);\nCOPY {table} FROM stdin;\n1\nx\n2\n\\.\n"})
    failure = refused(postgresql, folder)
    assert (failure.message, failure.line) == (X, 4)


@pytest.mark.parametrize("where", ["AFTER", "deferred"])
def test_what_is_checked_behind_the_rows_has_no_row(
    where: str, postgresql: Database, folder: Path, write: Write
) -> None:
    trigger = TRIGGER.format("AFTER")
    if where == "deferred":
        trigger = trigger.replace("CREATE TRIGGER", "CREATE CONSTRAINT TRIGGER")
        trigger = trigger.replace("ON t", "ON t DEFERRABLE INITIALLY DEFERRED")
    write({"001_a.sql": f"{HEAD}{trigger}COPY t FROM stdin;\n1\ta\n3\tb\n\\.\nSELECT 1;\n"})
    failure = refused(postgresql, folder)
    assert (failure.message, failure.line) == ("not 3", 9 if where == "AFTER" else None)
    assert postgresql.tables() == {"schema_migrations", "schema_migrations_log"}


def test_a_foreign_key(postgresql: Database, folder: Path, write: Write) -> None:
    tables = "CREATE TABLE p (id int PRIMARY KEY);\nCREATE TABLE c (p int REFERENCES p);\n"
    write({"001_a.sql": f"{tables}COPY p FROM stdin;\n1\n\\.\nCOPY c FROM stdin;\n1\n2\n\\.\n"})
    failure = refused(postgresql, folder)
    assert failure.message == 'insert or update on table "c" violates foreign key constraint "c_p_fkey"'
    assert (failure.line, failure.detail) == (6, 'Key (p)=(2) is not present in table "p".')
    assert postgresql.tables() == {"schema_migrations", "schema_migrations_log"}


@pytest.mark.parametrize(
    "context",
    [  # the translations of PostgreSQL 15
        'COPY users, line 3, column a: "x"',
        "COPY users, line 3",
        "COPY users, Zeile 3, Spalte a: »7«",
        "COPY users, línea 3, columna a: «7»",
        "COPY users, ligne 3, colonne a : « 7 »",
        'COPY users, riga 3, colonna a: "7"',
        'COPY users, ხაზი 3, სვეტი a: "7"',
        'COPY users, строка 3, столбец a: "7"',
        'COPY users, rad 3, kolumn a: "7"',
        'COPY users, рядок 3, стовпець a: "7"',
        'COPY users, 行 3, 列 a: "7"',
        'usersのCOPY、行 3、列 a: "7"',
        'users 복사, 3번째 줄, a 열: "7"',
        "PL/pgSQL function f() line 7 at RAISE\nCOPY users, line 3",
    ],
)
def test_the_line_of_a_row_is_read_in_every_language(context: str) -> None:
    assert _row(context, "COPY users (a) FROM stdin") == 3
