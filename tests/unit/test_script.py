"""A file made ready to run: how it runs, and everything that refuses it before anything runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxmig.dialects.base import Dialect
from fluxmig.dialects.postgresql import PostgreSQL
from fluxmig.dialects.sqlite import SQLite
from fluxmig.excerpt import excerpt
from fluxmig.model import FileProblem, Mode, Script
from fluxmig.script import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

PATH = Path("migrations/001_a.sql")
CHECKSUM = "ab" * 32
POSTGRESQL, SQLITE, GENERIC = PostgreSQL(), SQLite(), Dialect()


def make(text: str, dialect: Dialect = POSTGRESQL) -> Script | FileProblem:
    return prepare(PATH.name, PATH, CHECKSUM, text, dialect.rules, dialect.no_transaction_reason)


def script(text: str, dialect: Dialect = POSTGRESQL) -> Script:
    found = make(text, dialect)
    assert isinstance(found, Script), found
    return found


def problem(text: str, dialect: Dialect = POSTGRESQL) -> FileProblem:
    """The problem, whose path and excerpt are those of its place."""
    found = make(text, dialect)
    assert isinstance(found, FileProblem), found
    assert found.line is not None
    assert (found.path, found.excerpt) == (PATH, excerpt(text, found.line, found.column))
    return found


def told(found: FileProblem) -> tuple[int | None, int | None, str, str | None]:
    return found.line, found.column, found.message, found.remedy


# --- an ordinary file -------------------------------------------------------------------------------------


def test_an_ordinary_file() -> None:
    text = "-- first\nCREATE TABLE a (b int);\n\nINSERT INTO a\n  VALUES (1);\n"
    found = script(text)
    assert (found.name, found.path, found.checksum, found.sql) == ("001_a.sql", PATH, CHECKSUM, text)
    assert (found.mode, found.reason) == (Mode.TRANSACTION, None)
    assert [(s.number, s.sql, s.line, s.column) for s in found.statements] == [
        (1, "CREATE TABLE a (b int)", 2, 1),
        (2, "INSERT INTO a\n  VALUES (1)", 4, 1),
    ]
    assert [text[s.start : s.end] for s in found.statements] == [s.sql for s in found.statements]


@pytest.mark.parametrize("text", ["", "\n", "-- nothing\n", "/* nothing */", ";;\n;"], ids=repr)
def test_a_file_without_statements(text: str) -> None:
    assert make(text) == Script("001_a.sql", PATH, CHECKSUM, text, ())


# --- what cannot run in a transaction ---------------------------------------------------------------------

NEEDING: dict[str, Sequence[str]] = {
    "VACUUM": (
        "VACUUM",
        "VACUUM users",
        "VACUUM FULL users",
        "VACUUM (ANALYZE, VERBOSE) users",
        "vacuum",
        "Vacuum Analyze",
        "/* now */ VACUUM -- all\n users",
        "VACUUM/**/users",
    ),
    "CREATE DATABASE": ("CREATE DATABASE a", 'create\n\tdatabase "A" TEMPLATE template0'),
    "DROP DATABASE": ("DROP DATABASE a", "DROP DATABASE IF EXISTS a WITH (FORCE)"),
    "CREATE TABLESPACE": ("CREATE TABLESPACE fast LOCATION '/srv'",),
    "DROP TABLESPACE": ("DROP TABLESPACE IF EXISTS fast",),
    "CREATE SUBSCRIPTION": ("CREATE SUBSCRIPTION s CONNECTION 'host=a' PUBLICATION p",),
    "DROP SUBSCRIPTION": ("DROP SUBSCRIPTION IF EXISTS s",),
    "ALTER SYSTEM": ("ALTER SYSTEM SET work_mem = '1GB'", "ALTER SYSTEM RESET ALL"),
    "ALTER DATABASE ... SET TABLESPACE": (
        "ALTER DATABASE studio SET TABLESPACE fast",
        'alter database "studio" set /* the */ tablespace fast',
    ),
    "CREATE INDEX CONCURRENTLY": (
        "CREATE INDEX CONCURRENTLY i ON t (a)",
        "CREATE INDEX CONCURRENTLY ON t (a)",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)",
        "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)",
        "create unique index concurrently if not exists i on t using btree (a)",
        "CREATE\r\nINDEX\r\nCONCURRENTLY\r\ni ON t (a)",
        "CREATE /* x */ INDEX -- y\n CONCURRENTLY i ON t (a)",
        'CREATE INDEX CONCURRENTLY "I" ON "T" ("A")',
    ),
    "DROP INDEX CONCURRENTLY": (
        "DROP INDEX CONCURRENTLY i",
        "drop index concurrently if exists a.i, a.j",
    ),
    "REINDEX CONCURRENTLY": (
        "REINDEX INDEX CONCURRENTLY i",
        "REINDEX TABLE CONCURRENTLY t",
        "REINDEX (CONCURRENTLY) TABLE t",
        "REINDEX (VERBOSE, CONCURRENTLY true) INDEX i",
        "REINDEX SCHEMA CONCURRENTLY s",
    ),
    "REINDEX DATABASE": ("REINDEX DATABASE studio", "REINDEX DATABASE", "REINDEX (VERBOSE) DATABASE studio"),
    "REINDEX SYSTEM": ("REINDEX SYSTEM studio", "REINDEX (VERBOSE) SYSTEM studio"),
    "REINDEX SCHEMA": ("REINDEX SCHEMA public", "REINDEX (TABLESPACE fast) SCHEMA public"),
    "DETACH PARTITION CONCURRENTLY": (
        "ALTER TABLE t DETACH PARTITION t_2020 CONCURRENTLY",
        "alter table only public.t detach partition public.t_2020 concurrently",
    ),
    "CLUSTER of all tables": ("CLUSTER", "CLUSTER VERBOSE", "CLUSTER (VERBOSE)", "cluster /* all */"),
    "DISCARD ALL": ("DISCARD ALL",),
    "ALTER SUBSCRIPTION": (
        "ALTER SUBSCRIPTION s REFRESH PUBLICATION",
        "ALTER SUBSCRIPTION s SET PUBLICATION p",
    ),
    "COMMIT PREPARED": ("COMMIT PREPARED 'a'",),
    "ROLLBACK PREPARED": ("ROLLBACK PREPARED 'a'",),
}


@pytest.mark.parametrize(
    ("sql", "reason"), [(sql, reason) for reason, forms in NEEDING.items() for sql in forms]
)
def test_what_postgresql_refuses_in_a_transaction(sql: str, reason: str) -> None:
    found = script(f"SELECT 1;\n{sql};")
    assert (found.mode, found.reason) == (Mode.NO_TRANSACTION, reason)


ORDINARY = (
    'ALTER TABLE t ADD COLUMN "concurrently" int',
    'CREATE INDEX "concurrently" ON t (a)',
    'CREATE UNIQUE INDEX "CONCURRENTLY" ON t (a)',
    'DROP INDEX "concurrently"',
    'REINDEX TABLE "concurrently"',
    "CREATE INDEX i ON t (a) -- CONCURRENTLY",
    "CREATE INDEX /* CONCURRENTLY */ i ON t (a)",
    "-- CREATE INDEX CONCURRENTLY i ON t (a);\nCREATE INDEX i ON t (a)",
    "/* VACUUM; */ SELECT 1",
    "SELECT 'CREATE INDEX CONCURRENTLY i ON t (a)'",
    "SELECT '; VACUUM; '",
    "INSERT INTO t VALUES ('a;\nVACUUM;\n')",
    'SELECT ";VACUUM;" FROM t',
    "DO $$ BEGIN EXECUTE 'x'; VACUUM; CREATE INDEX CONCURRENTLY i ON t (a); END $$",
    "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN DROP DATABASE a; END $f$",
    "COMMENT ON INDEX i IS 'made by CREATE INDEX CONCURRENTLY'",
    "CREATE TABLE vacuum (a int)",
    "SELECT vacuum, discard FROM cluster",
    "ALTER DATABASE studio SET work_mem = '1GB'",
    "ALTER TABLE t SET TABLESPACE fast",
    "ALTER TABLE t DETACH PARTITION t_2020",
    "ALTER TABLE t DETACH PARTITION t_2020 FINALIZE",
    'ALTER TABLE t DETACH PARTITION "concurrently"',
    "CREATE TABLE t (a int) TABLESPACE fast",
    "CLUSTER t USING i",
    "CLUSTER VERBOSE t",
    "REINDEX TABLE t",
    "REINDEX INDEX i",
    "DISCARD PLANS",
    "ANALYZE t",
    "ALTER TYPE mood ADD VALUE 'fine'",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
    "DROP INDEX i",
    "DROP TABLE concurrent",
    "CREATE SCHEMA database",
)


@pytest.mark.parametrize("sql", ORDINARY)
def test_what_only_looks_like_it(sql: str) -> None:
    found = script(f"{sql};\nSELECT 1;")
    assert (found.mode, found.reason) == (Mode.TRANSACTION, None)


def test_the_first_statement_that_needs_it_gives_the_reason() -> None:
    found = script("SELECT 1;\nDROP INDEX CONCURRENTLY i;\nVACUUM;\n")
    assert (found.mode, found.reason) == (Mode.NO_TRANSACTION, "DROP INDEX CONCURRENTLY")
    assert [statement.number for statement in found.statements] == [1, 2, 3]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("VACUUM", "VACUUM"),
        ("vacuum main INTO 'copy.db'", "VACUUM"),
        ("CREATE INDEX concurrently ON t (a)", None),
        ("SELECT 'VACUUM'", None),
        ("REINDEX i", None),
    ],
)
def test_what_sqlite_refuses_in_a_transaction(sql: str, reason: str | None) -> None:
    found = script(f"SELECT 1; {sql};", SQLITE)
    assert (found.mode, found.reason) == (
        Mode.NO_TRANSACTION if reason else Mode.TRANSACTION,
        reason,
    )


def test_nothing_is_known_of_another_database() -> None:
    found = script("VACUUM;", GENERIC)
    assert (found.mode, found.reason) == (Mode.TRANSACTION, None)


# --- directives -------------------------------------------------------------------------------------------

BY_HAND = (Mode.NO_TRANSACTION, "the file says so")
DEFAULT = (Mode.TRANSACTION, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("-- fluxmig: no-transaction\nSELECT 1;", BY_HAND, id="first line"),
        pytest.param("--fluxmig:no-transaction\nSELECT 1;", BY_HAND, id="no spaces"),
        pytest.param(" \t--  fluxmig:  no-transaction \t\nSELECT 1;", BY_HAND, id="indented"),
        pytest.param("-- fluxmig: no-transaction\r\nSELECT 1;\r\n", BY_HAND, id="windows line end"),
        pytest.param("-- Fluxmig: no-transaction\nSELECT 1;", BY_HAND, id="a capital"),
        pytest.param("-- a\n\n/* b */\n-- fluxmig: no-transaction\n;\nSELECT 1;", BY_HAND, id="later"),
        pytest.param("-- fluxmig: no-transaction", BY_HAND, id="nothing else"),
        pytest.param("-- fluxmig: no-transaction\n-- fluxmig: no-transaction\nSELECT 1", BY_HAND, id="twice"),
        pytest.param("-- fluxmig: transaction\nSELECT 1;", DEFAULT, id="transaction"),
        pytest.param("SELECT 1;\n-- fluxmig: no-transaction\nSELECT 2;", DEFAULT, id="behind a statement"),
        pytest.param("SELECT 1 -- fluxmig: no-transaction\n;", DEFAULT, id="in a statement"),
        pytest.param("SELECT 1;\n-- fluxmig: nonsense\n", DEFAULT, id="unknown, behind a statement"),
        pytest.param("-- see fluxmig: no-transaction\nSELECT 1;", DEFAULT, id="in a sentence"),
        pytest.param("-- fluxmig runs it\nSELECT 1;", DEFAULT, id="no colon"),
        pytest.param("SELECT '\n-- fluxmig: no-transaction\n';", DEFAULT, id="in a string"),
    ],
)  # fmt: skip
def test_directives(text: str, expected: tuple[Mode, str | None]) -> None:
    found = script(text)
    assert (found.mode, found.reason) == expected
    assert found.sql == text


def test_a_reason_in_the_sql_says_more_than_the_directive() -> None:
    assert script("-- fluxmig: no-transaction\nSELECT 1;\nVACUUM;").reason == "VACUUM"


KNOWN = "known are transaction, no-transaction"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "-- fluxmig: no-transactoin\nSELECT 1;",
            (1, 13, "unknown directive 'no-transactoin'", "did you mean `-- fluxmig: no-transaction`?"),
            id="a slip",
        ),
        pytest.param(
            "-- x\r\n\t--fluxmig:  Transaction \r\nSELECT 1;",
            (2, 14, "unknown directive 'Transaction'", "did you mean `-- fluxmig: transaction`?"),
            id="another case, indented",
        ),
        pytest.param(
            "-- fluxmig: whatever you like\nSELECT 1;",
            (1, 13, "unknown directive 'whatever you like'", KNOWN),
            id="nothing near",
        ),
        pytest.param("-- fluxmig:\nSELECT 1;", (1, 12, "unknown directive ''", KNOWN), id="empty"),
        pytest.param(
            "-- fluxmig: transaction\n-- fluxmig: no-transaction\nSELECT 1;",
            (2, 13, "no-transaction contradicts transaction", "keep one of the two"),
            id="contradiction",
        ),
        pytest.param(
            "-- fluxmig: transaction\nSELECT 1;\n\n  DROP INDEX CONCURRENTLY i;",
            (
                4,
                3,
                "DROP INDEX CONCURRENTLY cannot run in a transaction",
                "remove `-- fluxmig: transaction`",
            ),
            id="a transaction that cannot be",
        ),
    ],
)
def test_directives_that_cannot_be(text: str, expected: tuple[int, int, str, str]) -> None:
    assert told(problem(text)) == expected


# --- a file wrapped in BEGIN and COMMIT -------------------------------------------------------------------

WRAPS = {
    "BEGIN and COMMIT": ("BEGIN;", "COMMIT;"),
    "small letters": ("begin;", "commit;"),
    "WORK": ("BEGIN WORK;", "COMMIT WORK;"),
    "TRANSACTION": ("BEGIN TRANSACTION;", "END TRANSACTION;"),
    "START TRANSACTION": ("START TRANSACTION;", "END;"),
    "END WORK": ("BEGIN;", "END WORK;"),
    "no terminator at the end": ("BEGIN;", "COMMIT"),
    "a space before the terminator": ("BEGIN ;", "COMMIT\n;"),
    "over lines, windows": ("START\r\nTRANSACTION\r\n;", "END\r\n\tTRANSACTION\r\n;\r\n"),
    "comments": ("-- x\nBEGIN /* y; */ WORK; -- z", "/* x */ COMMIT; -- done; really"),
    "a comment before the terminator": ("BEGIN -- x\n;", "COMMIT /* y */;"),
    "behind the directive": ("-- fluxmig: transaction\nBEGIN;", "COMMIT;"),
}
INNER = '\r\nCREATE TABLE "é" (a text);\nINSERT INTO "é" VALUES (\';BEGIN;\');\n'


@pytest.mark.parametrize(("opening", "closing"), WRAPS.values(), ids=WRAPS)
def test_a_wrapped_file_is_one_transaction(opening: str, closing: str) -> None:
    text = opening + INNER + closing
    found = script(text)
    assert (found.mode, found.reason) == (Mode.TRANSACTION, None)
    assert [(statement.number, statement.sql) for statement in found.statements] == [
        (1, 'CREATE TABLE "é" (a text)'),
        (2, "INSERT INTO \"é\" VALUES (';BEGIN;')"),
    ]
    # Places in the file are places in what the server gets, and the rest is as written.
    assert len(found.sql) == len(text)
    assert [at for at, c in enumerate(found.sql) if c in "\r\n"] == [
        at for at, c in enumerate(text) if c in "\r\n"
    ]
    assert [found.sql[s.start : s.end] for s in found.statements] == [s.sql for s in found.statements]
    assert all(now in (was, " ") for now, was in zip(found.sql, text, strict=True))
    assert found.sql[len(opening) : len(opening) + len(INNER)] == INNER
    around = found.sql[: len(opening)] + found.sql[len(opening) + len(INNER) :]
    assert re.sub(r"--[^\n]*|/\*.*?\*/|;", "", around).strip() == ""
    for statement in found.statements:
        assert text.count("\n", 0, statement.start) + 1 == statement.line


def test_what_becomes_of_the_words() -> None:
    text = "-- é\nBEGIN\n WORK ; SELECT 1;\r\nCOMMIT\r\n\t;\n"
    found = script(text)
    assert found.sql == "-- é\n     \n        SELECT 1;\r\n      \r\n\t \n"
    (statement,) = found.statements
    assert (statement.number, statement.sql, statement.line, statement.column) == (1, "SELECT 1", 3, 9)


def test_a_wrapped_file_may_hold_savepoints() -> None:
    found = script("BEGIN;SAVEPOINT a;SELECT 1;ROLLBACK TO a;RELEASE a;COMMIT;")
    assert [statement.sql for statement in found.statements] == [
        "SAVEPOINT a",
        "SELECT 1",
        "ROLLBACK TO a",
        "RELEASE a",
    ]


def test_a_wrapped_file_may_hold_nothing() -> None:
    assert make("BEGIN;\nCOMMIT;\n") == Script("001_a.sql", PATH, CHECKSUM, "      \n       \n", ())


def test_nothing_is_taken_out_of_a_file_that_brings_its_own_transaction() -> None:
    text = "-- fluxmig: no-transaction\nBEGIN;\nSELECT 1;\nCOMMIT;\n"
    found = script(text)
    assert found.sql == text
    assert [statement.sql for statement in found.statements] == ["BEGIN", "SELECT 1", "COMMIT"]


def test_what_needs_no_transaction_in_a_wrapped_file() -> None:
    found = problem("BEGIN;\nSELECT 1;\n VACUUM;\nCOMMIT;")
    assert told(found) == (3, 2, "VACUUM cannot run between BEGIN and COMMIT", "remove BEGIN and COMMIT")


@given(
    st.text(st.sampled_from(" \t\r\né;-"), max_size=12),
    st.lists(st.sampled_from(["SELECT ';'", "a\r\nb", "/* c; */ d", "-- e;\nf"]), max_size=4),
)
@settings(deadline=None)
def test_a_wrapped_file_keeps_its_places(space: str, inner: list[str]) -> None:
    space = space.replace("-", "-- x;\n")
    text = f"{space};BEGIN{';'.join(['', *inner])};\nCOMMIT;{space}"
    found = make(text)
    if "é" in re.sub("--.*", "", space):
        assert isinstance(found, FileProblem)  # there is a statement outside
    else:
        assert isinstance(found, Script)
        assert len(found.sql) == len(text)
        assert [found.sql[s.start : s.end] for s in found.statements] == [s.sql for s in found.statements]
        assert [s.number for s in found.statements] == list(range(1, len(inner) + 1))


# --- transactions where they may not be -------------------------------------------------------------------

REMOVE = (
    "remove the statement: the whole file is one transaction with its ledger row;"
    " or begin the file with `-- fluxmig: no-transaction`"
)
NO = "-- fluxmig: no-transaction\n"
MISPLACED: dict[str, tuple[str, tuple[int, int, str, str]]] = {
    "COMMIT in the middle": (
        "SELECT 1;\n  COMMIT;\nSELECT 2;",
        (2, 3, "COMMIT in the middle of a file that fluxmig runs", REMOVE),
    ),
    "BEGIN in the middle": (
        "SELECT 1; BEGIN; SELECT 2; COMMIT;",
        (1, 11, "BEGIN in the middle of a file that fluxmig runs", REMOVE),
    ),
    "COMMIT at the end alone": (
        "SELECT 1;\nCOMMIT;",
        (2, 1, "COMMIT in the middle of a file that fluxmig runs", REMOVE),
    ),
    "BEGIN at the start alone": (
        "BEGIN;\nSELECT 1;",
        (1, 1, "BEGIN in the middle of a file that fluxmig runs", REMOVE),
    ),
    "BEGIN alone": ("begin", (1, 1, "BEGIN in the middle of a file that fluxmig runs", REMOVE)),
    "END": ("SELECT 1; END; SELECT 2;", (1, 11, "END in the middle of a file that fluxmig runs", REMOVE)),
    "START TRANSACTION": (
        "SELECT 1; START TRANSACTION; SELECT 2;",
        (1, 11, "START in the middle of a file that fluxmig runs", REMOVE),
    ),
    "BEGIN with an isolation level": (
        "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT;",
        (1, 1, "BEGIN in the middle of a file that fluxmig runs", REMOVE),
    ),
    "COMMIT AND CHAIN": (
        "BEGIN; SELECT 1; COMMIT AND CHAIN;",
        (1, 1, "BEGIN in the middle of a file that fluxmig runs", REMOVE),
    ),
    "two transactions": (
        "BEGIN; SELECT 1; COMMIT;\nBEGIN; SELECT 2; COMMIT;",
        (1, 1, "BEGIN in the middle of a file that fluxmig runs", REMOVE),
    ),
    "PREPARE TRANSACTION": (
        "SELECT 1;\nPREPARE TRANSACTION 'a';",
        (2, 1, "PREPARE in the middle of a file that fluxmig runs", REMOVE),
    ),
    "ROLLBACK": (
        "SELECT 1;\nROLLBACK;\nSELECT 2;",
        (2, 1, "ROLLBACK would undo what the ledger records as done", "remove the statement"),
    ),
    "ROLLBACK WORK": (
        "SELECT 1; rollback work;",
        (1, 11, "ROLLBACK would undo what the ledger records as done", "remove the statement"),
    ),
    "ABORT": (
        "SELECT 1; ABORT;",
        (1, 11, "ABORT would undo what the ledger records as done", "remove the statement"),
    ),
    "BEGIN and ROLLBACK": (
        "BEGIN;\nSELECT 1;\nROLLBACK;",
        (1, 1, "BEGIN in the middle of a file that fluxmig runs", REMOVE),
    ),
    "BEGIN beside what needs no transaction": (
        "VACUUM;\nBEGIN; SELECT 1; COMMIT;",
        (2, 1, "BEGIN in the middle of a file that fluxmig runs", REMOVE),
    ),
    "no-transaction: ROLLBACK": (
        f"{NO}BEGIN;\nSELECT 1;\nROLLBACK;",
        (4, 1, "ROLLBACK would undo what the ledger records as done", "remove the statement"),
    ),
    "no-transaction: COMMIT without BEGIN": (
        f"{NO}SELECT 1;\nCOMMIT;",
        (3, 1, "COMMIT ends a transaction that the file did not begin", "remove the statement"),
    ),
    "no-transaction: a second COMMIT": (
        f"{NO}BEGIN; SELECT 1; COMMIT;\nEND;",
        (3, 1, "END ends a transaction that the file did not begin", "remove the statement"),
    ),
    "no-transaction: BEGIN in BEGIN": (
        f"{NO}BEGIN;\nSELECT 1;\n START TRANSACTION; COMMIT;",
        (4, 2, "START inside the transaction of line 2", "remove one"),
    ),
    "no-transaction: never committed": (
        f"{NO}BEGIN; SELECT 1; COMMIT;\nBEGIN;\nSELECT 2;",
        (3, 1, "this transaction is never committed", "add COMMIT, or remove the statement"),
    ),
}


@pytest.mark.parametrize(("text", "expected"), MISPLACED.values(), ids=MISPLACED)
def test_transactions_where_they_may_not_be(text: str, expected: tuple[int, int, str, str]) -> None:
    assert told(problem(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("SAVEPOINT a; SELECT 1; ROLLBACK TO a; RELEASE a;", id="savepoint"),
        pytest.param("SAVEPOINT a; SELECT 1; ROLLBACK TO SAVEPOINT a;", id="rollback to savepoint"),
        pytest.param("SAVEPOINT a; ROLLBACK WORK TO a; ROLLBACK TRANSACTION TO a;", id="rollback work to"),
        pytest.param("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1;", id="set transaction"),
        pytest.param("SET CONSTRAINTS ALL DEFERRED;", id="set constraints"),
        pytest.param("PREPARE transactions AS SELECT 1; EXECUTE transactions;", id="prepare a statement"),
        pytest.param("CREATE TABLE commit (begin int, rollback int);", id="as names"),
        pytest.param("SELECT '; COMMIT; '; -- COMMIT;\n/* ROLLBACK; */", id="in a string and in comments"),
        pytest.param("DO $$ BEGIN NULL; EXCEPTION WHEN others THEN NULL; END $$;", id="in a DO body"),
        pytest.param(
            "CREATE PROCEDURE p() LANGUAGE plpgsql AS $p$ BEGIN COMMIT; ROLLBACK; END; $p$;",
            id="in a procedure",
        ),
        pytest.param(
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END;", id="in BEGIN ATOMIC"
        ),
        pytest.param("COMMIT PREPARED 'a'; ROLLBACK PREPARED 'b';", id="prepared transactions of others"),
    ],
)
def test_what_is_no_transaction(text: str) -> None:
    assert script(text).sql == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        pytest.param("BEGIN; SELECT 1; COMMIT;", 3, id="one"),
        pytest.param("BEGIN; SELECT 1; COMMIT; SELECT 2; START TRANSACTION; END;", 6, id="two"),
        pytest.param(
            "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT AND NO CHAIN;", 3, id="with words"
        ),
        pytest.param("BEGIN; PREPARE TRANSACTION 'a'; COMMIT PREPARED 'a';", 3, id="prepared"),
        pytest.param("BEGIN; SAVEPOINT a; ROLLBACK TO a; COMMIT;", 4, id="with a savepoint"),
        pytest.param("SELECT 1; VACUUM;", 2, id="none"),
    ],
)
def test_complete_transactions_of_its_own(text: str, count: int) -> None:
    found = script(NO + text)
    assert (found.mode, found.sql, len(found.statements)) == (Mode.NO_TRANSACTION, NO + text, count)


def test_a_trigger_of_sqlite_is_no_transaction() -> None:
    text = "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END;"
    assert script(text, SQLITE).sql == text


# --- what is not SQL for a server -------------------------------------------------------------------------

PSQL = ("a command of psql, not SQL", "remove the line, or write it as SQL")
COPY = ("COPY ... FROM stdin needs data from the client", "write the rows as INSERT")
COLUMNS = ", ".join(f"column_{number}" for number in range(1600))
NOT_SQL: dict[str, tuple[str, tuple[int, int, str, str]]] = {
    "psql include": ("\\i other.sql\nSELECT 1;", (1, 1, *PSQL)),
    "psql set": ("SELECT 1;\n  \\set x 1\nSELECT 2;", (2, 3, *PSQL)),
    "psql echo with a lone quote": ("SELECT 1;\n\\echo it's here\nSELECT 2;", (2, 1, *PSQL)),
    "psql connect": ("\\connect studio\n", (1, 1, *PSQL)),
    "psql restrict, as pg_dump writes": ("--\n-- dump\n--\n\n\\restrict aBc\n\nSET x = 0;", (5, 1, *PSQL)),
    "COPY": ("COPY t FROM stdin;\n1\t2\n\\.\n", (1, 1, *COPY)),
    "COPY, odd case": ('copy "T" (a, "B") from STDIN with (format csv);\n', (1, 1, *COPY)),
    "COPY, with comments": ("SELECT 1;\nCOPY t /* x */ FROM -- y\n stdin;", (2, 1, *COPY)),
    "COPY, with a lone quote in its data": ("COPY t (a) FROM stdin;\nit's\n\\.\nSELECT 1;", (1, 1, *COPY)),
    "COPY, with a comment's start in its data": ("COPY t FROM stdin;\n/* a\n\\.\n", (1, 1, *COPY)),
    "COPY of as many columns as there can be": (f"COPY t ({COLUMNS}) FROM stdin;", (1, 1, *COPY)),
}


@pytest.mark.parametrize(("text", "expected"), NOT_SQL.values(), ids=NOT_SQL)
def test_what_is_not_sql_for_a_server(text: str, expected: tuple[int, int, str, str]) -> None:
    assert told(problem(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "COPY t FROM '/srv/t.csv'",
        "COPY t FROM PROGRAM 'cat'",
        "COPY t TO stdout",
        "COPY (SELECT a FROM t) TO '/srv/t.csv'",
        'COPY t FROM "stdin"',
        "SELECT 'COPY t FROM stdin'",
        "SELECT a FROM stdin",
        r"SELECT '\i'",
    ],
)
def test_what_only_looks_like_it_is_not_sql(text: str) -> None:
    assert [statement.sql for statement in script(text).statements] == [text]


# --- what is not closed -----------------------------------------------------------------------------------

UNCLOSED: dict[str, tuple[str, int, int, str]] = {
    "a string": ("SELECT 1;\nSELECT 'abc;\n", 2, 8, "string"),
    "an E string": (r"SELECT E'a\';", 1, 8, "string"),
    "an identifier": ('SELECT 1;\r\n  SELECT "abc;\r\n', 2, 10, "quoted identifier"),
    "a comment": ("SELECT 1; /* a /* b */\nSELECT 2;", 1, 11, "block comment"),
    "a comment at the start": ("/*\n-- fluxmig: nonsense\n", 1, 1, "block comment"),
    "a dollar quote": ("DO $$\nBEGIN\nEND;", 1, 4, "dollar-quoted string $$"),
    "a tagged dollar quote": ("é;\nDO $fn$ $$ $FN$;", 2, 4, "dollar-quoted string $fn$"),
    "behind a directive that is wrong": ("-- fluxmig: nonsense\n'", 2, 1, "string"),
}


@pytest.mark.parametrize(("text", "line", "column", "what"), UNCLOSED.values(), ids=UNCLOSED)
def test_what_is_not_closed(text: str, line: int, column: int, what: str) -> None:
    assert told(problem(text)) == (line, column, f"this {what} is not closed", None)


def test_a_problem_as_a_person_reads_it() -> None:
    text = "CREATE TABLE a (b int);\nINSERT INTO a VALUES ('é);\n"
    assert str(problem(text)) == (
        "migrations/001_a.sql:2:23: this string is not closed\n"
        "  1 | CREATE TABLE a (b int);\n"
        "  2 | INSERT INTO a VALUES ('é);\n"
        "    |                       ^"
    )


def test_a_problem_with_its_remedy_as_a_person_reads_it() -> None:
    assert str(problem("SELECT 1;\nROLLBACK;\nSELECT 2;")) == (
        "migrations/001_a.sql:2:1: ROLLBACK would undo what the ledger records as done\n"
        "  1 | SELECT 1;\n"
        "  2 | ROLLBACK;\n"
        "    | ^\n"
        "  3 | SELECT 2;\n"
        "remove the statement"
    )
