"""A file made ready to run: how it runs and is sent, and everything that refuses it before anything runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxmig.dialects.base import Dialect
from fluxmig.dialects.postgresql import PostgreSQL
from fluxmig.dialects.sqlite import SQLite
from fluxmig.excerpt import excerpt
from fluxmig.model import Allowance, FileProblem, Finding, Mode, Progress, Script, Statements
from fluxmig.script import Digest, Message, Unit, messages, prepare, resume, session_statements, units
from fluxmig.sql import split

if TYPE_CHECKING:
    from collections.abc import Sequence

PATH = Path("migrations/001_a.sql")
CHECKSUM = "ab" * 32
POSTGRESQL, SQLITE, GENERIC = PostgreSQL(), SQLite(), Dialect()
NO = "-- fluxmig: no-transaction\n"
YES = "-- fluxmig: transaction\n"
OWN = "it has transactions of its own"


def make(text: str, dialect: Dialect = POSTGRESQL) -> Script | FileProblem:
    return prepare(PATH.name, PATH, CHECKSUM, text.encode(), dialect.rules, dialect.no_transaction_reason)


def script(text: str, dialect: Dialect = POSTGRESQL) -> Script:
    found = make(text, dialect)
    assert isinstance(found, Script), found
    assert (found.name, found.path, found.checksum, found.source) == (
        "001_a.sql",
        PATH,
        CHECKSUM,
        text.encode(),
    )
    assert (found.done, found.interrupted) == (0, False)
    return found


def problem(text: str, dialect: Dialect = POSTGRESQL) -> FileProblem:
    """The problem, whose path and excerpt are those of its place."""
    found = make(text, dialect)
    assert isinstance(found, FileProblem), found
    assert found.line is not None
    assert found.column is not None
    lines = text.split("\n")
    before = "\n".join([*lines[: found.line - 1], lines[found.line - 1][: found.column - 1]])
    assert (found.path, found.excerpt) == (PATH, excerpt(text.encode(), len(before.encode())))
    return found


def told(found: FileProblem) -> tuple[int | None, int | None, str, str | None]:
    return found.line, found.column, found.message, found.remedy


def how(found: Script) -> tuple[Mode, str | None, str | None, tuple[tuple[int, int], ...]]:
    return found.mode, found.reason, found.characteristics, found.transactions


def texts(found: Script) -> list[str]:
    return [statement.sql for statement in found.statements]


def sent(found: Script) -> str:
    """What of the file the server may get."""
    return found.source[found.start : found.end].decode()


IN_ONE = (Mode.TRANSACTION, None, None, ())

# --- an ordinary file -------------------------------------------------------------------------------------


def test_an_ordinary_file() -> None:
    text = "-- first\nCREATE TABLE a (b int);\n\nINSERT INTO a\n  VALUES ('é');\n"
    found = script(text)
    assert how(found) == IN_ONE
    assert (sent(found), found.warnings) == (text, ())
    assert [(s.number, s.sql, s.line, s.column) for s in found.statements] == [
        (1, "CREATE TABLE a (b int)", 2, 1),
        (2, "INSERT INTO a\n  VALUES ('é')", 4, 1),
    ]
    assert [found.source[s.start : s.end].decode() for s in found.statements] == texts(found)


@pytest.mark.parametrize("text", ["", "\n", "-- nothing\n", "/* nothing */", ";;\n;"], ids=repr)
def test_a_file_without_statements(text: str) -> None:
    size = len(text)
    assert make(text) == Script("001_a.sql", PATH, CHECKSUM, Statements(text.encode()), end=size)


def test_data_is_not_looked_at() -> None:
    """A file of data holds millions of statements; each that is looked at costs."""
    asked: list[Sequence[str]] = []

    def reason(words: Sequence[str]) -> None:
        asked.append(words)

    data = "INSERT INTO t VALUES (1);\nwith a as (select 1) select * from a;\nSelect 1;\nvalues (1);\n"
    data += "UPDATE t SET a = 1;\nDELETE FROM t;\n"
    text = f"{data * 10_000}CREATE TABLE u (a int);\n{data * 10_000}(SELECT 1);\n"
    found = prepare("a", PATH, CHECKSUM, text.encode(), POSTGRESQL.rules, reason)
    assert isinstance(found, Script)
    assert len(found.statements) == 120_002
    assert asked == [
        ("CREATE", "TABLE", "U", "(", "A", "INT", ")"),
        ("(", "SELECT", "1", ")"),
    ]


def test_only_the_beginning_of_a_statement_is_looked_at() -> None:
    """Least of what makes a table, and all of a COPY, which names its columns before it says where to."""
    seen: list[int] = []

    def reason(words: Sequence[str]) -> None:
        seen.append(len(words))

    text = f"CREATE TABLE t ({'a int, ' * 1600}b int); COPY t ({'a, ' * 1600}b) FROM '/t.csv';"
    text += f"ALTER TABLE t {'ADD c int, ' * 1600} ADD d int;"
    assert isinstance(prepare("a", PATH, CHECKSUM, text.encode(), POSTGRESQL.rules, reason), Script)
    assert seen == [8, 3207, 64]


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
        pytest.param("-- a\r-- fluxmig: no-transaction\rSELECT 1;", BY_HAND, id="lone carriage returns"),
        pytest.param("-- Fluxmig: no-transaction\nSELECT 1;", BY_HAND, id="a capital"),
        pytest.param("-- a\n\n/* b */\n-- fluxmig: no-transaction\n;\nSELECT 1;", BY_HAND, id="later"),
        pytest.param("\\restrict x\n-- fluxmig: no-transaction\nSELECT 1;", BY_HAND, id="behind restrict"),
        pytest.param("-- fluxmig: no-transaction", BY_HAND, id="nothing else"),
        pytest.param("-- fluxmig: no-transaction\n-- fluxmig: no-transaction\nSELECT 1", BY_HAND, id="twice"),
        pytest.param("-- fluxmig: transaction\nSELECT 1;", DEFAULT, id="transaction"),
        pytest.param("SELECT 1 -- fluxmig: no-transaction\n;", DEFAULT, id="in a statement"),
        pytest.param("-- see fluxmig: no-transaction\nSELECT 1;", DEFAULT, id="in a sentence"),
        pytest.param("-- -- fluxmig: no-transaction\nSELECT 1;", DEFAULT, id="commented out"),
        pytest.param("/*\n-- fluxmig: no-transaction\n*/ SELECT 1;", DEFAULT, id="in a block comment"),
        pytest.param("/* /* */\n-- fluxmig: nonsense\n*/ SELECT 1;", DEFAULT, id="in a nested comment"),
        pytest.param("; -- fluxmig: no-transaction\nSELECT 1;", DEFAULT, id="not alone on its line"),
        pytest.param("-- fluxmig runs it\nSELECT 1;", DEFAULT, id="no colon"),
        pytest.param("SELECT '\n-- fluxmig: no-transaction\n';", DEFAULT, id="in a string"),
    ],
)  # fmt: skip
def test_directives(text: str, expected: tuple[Mode, str | None]) -> None:
    found = script(text)
    assert (found.mode, found.reason) == expected
    assert (sent(found), found.warnings) == (text, ())


def test_a_comment_that_the_end_of_the_file_closes_holds_no_directive() -> None:
    assert script(f"/*\n{NO}", SQLITE).mode is Mode.TRANSACTION
    assert script(f"SELECT 1;\n/*\n{NO}", SQLITE).warnings == ()


def test_a_reason_in_the_sql_says_more_than_the_directive() -> None:
    assert script(f"{NO}SELECT 1;\nVACUUM;").reason == "VACUUM"


def test_what_a_file_allows() -> None:
    head = "-- fluxmig: allow=rewrite , long-hold\n-- fluxmig: lock-timeout=1s\n-- fluxmig: allow = no-such\n"
    found = script(f"{head}SELECT 1;")
    assert found.allowed == (Allowance("rewrite", 1), Allowance("long-hold", 1), Allowance("no-such", 3))
    assert found.limits.lock_timeout_s == 1


KNOWN = (
    "known are transaction, no-transaction, on-duplicate=mark, on-duplicate=verify, on-duplicate=complete,"
    " on-duplicate=fail, lock-timeout=30s, statement-timeout=30s, allow=NAME"
)
NEAR_ALLOW = "did you mean `-- fluxmig: allow=NAME`?"


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
            "-- fluxmig: NO-TRANSACTION\nSELECT 1;",
            (1, 13, "unknown directive 'NO-TRANSACTION'", "did you mean `-- fluxmig: no-transaction`?"),
            id="capitals",
        ),
        pytest.param(
            "/* é */ -- x\n-- fluxmig: no transaction;\nSELECT 1;",
            (2, 13, "unknown directive 'no transaction;'", "did you mean `-- fluxmig: no-transaction`?"),
            id="a space and a semicolon",
        ),
        pytest.param(
            "-- fluxmig: whatever you like\nSELECT 1;",
            (1, 13, "unknown directive 'whatever you like'", KNOWN),
            id="nothing near",
        ),
        pytest.param(
            "-- fluxmig: allow=\nSELECT 1;", (1, 13, "unknown directive 'allow='", NEAR_ALLOW), id="allow="
        ),
        pytest.param("-- fluxmig:\nSELECT 1;", (1, 12, "unknown directive ''", KNOWN), id="empty"),
        pytest.param(
            "-- fluxmig: transaction\n-- fluxmig: no-transaction\nSELECT 1;",
            (2, 13, "no-transaction contradicts transaction", "keep one of the two"),
            id="contradiction",
        ),
        pytest.param(
            f"{NO}--x\n{YES}SELECT 1;",
            (3, 13, "transaction contradicts no-transaction", "keep one of the two"),
            id="contradiction, the other way round",
        ),
        pytest.param(
            f"{YES}SELECT 1;\n\n  DROP INDEX CONCURRENTLY i;",
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


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param(f"SELECT 1;\n{NO}SELECT 2;", [2], id="between"),
        pytest.param(f"SELECT 1;\n{NO}", [2], id="at the end"),
        pytest.param("SELECT 1;\n \t--FLUXMIG:no-transaction", [2], id="odd spelling, no line end"),
        pytest.param(f"SELECT 1;\n{NO};{NO}\n{YES}SELECT 2;", [2, 5], id="several, one not alone"),
        pytest.param("SELECT 1;\n-- fluxmig: nonsense\n", [2], id="unknown"),
        pytest.param(f"BEGIN;\n{NO}SELECT 1;\nCOMMIT;\n{NO}", [2, 5], id="in a wrapped file"),
        pytest.param(f"COPY t FROM stdin;\n1\n\\.\n{NO}", [4], id="behind rows"),
        pytest.param(f"SELECT 1;\n\\unrestrict x\n{NO}", [3], id="behind unrestrict"),
        pytest.param(f"SELECT '\n{NO}';", [], id="in a string"),
        pytest.param(f'SELECT 1 AS "\n{NO}";', [], id="in a name"),
        pytest.param(f"SELECT 1,\n{NO} 2;", [], id="in a comment of a statement"),
        pytest.param(f"SELECT 1; /*\n{NO}*/ SELECT 2;", [], id="in a block comment"),
        pytest.param(f"SELECT 1; /* /* */\n{NO}*/", [], id="in a nested comment"),
        pytest.param(f"DO $$\n{NO}BEGIN END $$;", [], id="in dollar quotes"),
        pytest.param(f"COPY t FROM stdin;\n{NO}\\.\n", [], id="in rows"),
        pytest.param(f"SELECT 1; {NO}", [], id="not alone on its line"),
        pytest.param(f"{NO}SELECT 1;", [], id="where it counts"),
    ],
)
def test_directives_that_come_too_late(text: str, lines: list[int]) -> None:
    assert script(text).warnings == tuple(
        f"the directive in line {line} does not count: it stands behind the first statement" for line in lines
    )


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
    text = f"-- é\n{opening}{INNER}{closing}"
    found = script(text)
    assert how(found) == IN_ONE
    assert [(s.number, s.sql) for s in found.statements] == [
        (1, 'CREATE TABLE "é" (a text)'),
        (2, "INSERT INTO \"é\" VALUES (';BEGIN;')"),
    ]
    for statement in found.statements:
        assert found.source[statement.start : statement.end].decode() == statement.sql
        assert found.source.count(b"\n", 0, statement.start) + 1 == statement.line
    # The server gets what stands between the two, as it is written, and nothing of them.
    assert INNER in sent(found)
    assert [s.sql for s in split(sent(found).encode(), POSTGRESQL.rules)] == texts(found)


@pytest.mark.parametrize(
    ("text", "between"),
    [
        ("BEGIN;\nCOMMIT;\n", "\n"),
        ("BEGIN;COMMIT", ""),
        ("-- é\nBEGIN\n WORK ; SELECT 1;\r\n-- y\nCOMMIT\r\n\t;\n", " ; SELECT 1;\r\n-- y\n"),
        ("\\restrict x\nBEGIN;/* a */COMMIT;\n\\unrestrict x\n", "/* a */"),
    ],
)
def test_what_is_sent_of_a_wrapped_file(text: str, between: str) -> None:
    found = script(text)
    assert (how(found), sent(found)) == (IN_ONE, between)


def test_a_wrapped_file_may_hold_savepoints() -> None:
    found = script("BEGIN;SAVEPOINT a;SELECT 1;ROLLBACK TO a;RELEASE a;COMMIT;")
    assert how(found) == IN_ONE
    assert texts(found) == ["SAVEPOINT a", "SELECT 1", "ROLLBACK TO a", "RELEASE a"]


def test_a_wrapped_file_may_hold_rows() -> None:
    text = "BEGIN;\nSELECT 1;\nCOPY t FROM stdin;\nCOMMIT;\n\\.\nCOMMIT;\n"
    found = script(text)
    assert how(found) == IN_ONE
    assert texts(found) == ["SELECT 1", "COPY t FROM stdin"]
    rows = found.statements[1].data
    assert rows is not None
    assert found.source[slice(*rows)] == b"COMMIT;\n"
    assert found.statements.rows(0) is None


@pytest.mark.parametrize(
    ("opening", "characteristics"),
    [
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "ISOLATION LEVEL SERIALIZABLE"),
        ("start transaction isolation level repeatable read", "ISOLATION LEVEL REPEATABLE READ"),
        ("BEGIN WORK ISOLATION LEVEL READ COMMITTED", "ISOLATION LEVEL READ COMMITTED"),
        (
            "BEGIN TRANSACTION ISOLATION LEVEL READ UNCOMMITTED READ WRITE",
            "ISOLATION LEVEL READ UNCOMMITTED READ WRITE",
        ),
        (
            "BEGIN ISOLATION LEVEL\n SERIALIZABLE, READ WRITE, NOT DEFERRABLE",
            "ISOLATION LEVEL SERIALIZABLE , READ WRITE , NOT DEFERRABLE",
        ),
        ("BEGIN DEFERRABLE", "DEFERRABLE"),
        (
            "BEGIN;\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE",
            "ISOLATION LEVEL SERIALIZABLE , READ WRITE",
        ),
        (
            "BEGIN ISOLATION LEVEL SERIALIZABLE; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "ISOLATION LEVEL SERIALIZABLE",
        ),
        ("BEGIN; SET TRANSACTION READ ONLY", None),
        ("BEGIN; SET TRANSACTION SNAPSHOT '00000003-0000001B-1'", None),
        ("BEGIN; SELECT 1; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", None),
        ("BEGIN; SET LOCAL work_mem = '1GB'", None),
    ],
)
def test_what_a_wrapped_file_asks_of_its_transaction(opening: str, characteristics: str | None) -> None:
    found = script(f"{opening}; SELECT 2; COMMIT;")
    assert how(found) == (Mode.TRANSACTION, None, characteristics, ())
    assert texts(found)[-1] == "SELECT 2"


@pytest.mark.parametrize(
    ("text", "characteristics"),
    [
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1;", "ISOLATION LEVEL SERIALIZABLE"),
        ("-- x\nset transaction deferrable, read write;", "DEFERRABLE , READ WRITE"),
        ("SELECT 1; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;", None),
        ("SET TRANSACTION READ ONLY; SELECT 1;", None),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE;", None),
    ],
)
def test_set_transaction_as_the_first_statement(text: str, characteristics: str | None) -> None:
    found = script(text)
    assert how(found) == (Mode.TRANSACTION, None, characteristics, ())
    assert sent(found) == text  # the server takes the same once more


def test_what_needs_no_transaction_in_a_wrapped_file() -> None:
    found = problem("BEGIN;\nSELECT 1;\n VACUUM;\nCOMMIT;")
    assert told(found) == (3, 2, "VACUUM cannot run between BEGIN and COMMIT", "remove BEGIN and COMMIT")


@given(
    st.text(st.sampled_from(" \t\r\né;-"), max_size=12),
    st.lists(st.sampled_from(["SELECT ';'", "a\r\nb", "/* c; */ d", "-- e;\nf"]), max_size=4),
)
def test_a_wrapped_file_keeps_its_places(space: str, inner: list[str]) -> None:
    space = space.replace("-", "-- x;\n")
    text = f"{space};BEGIN{';'.join(['', *inner])};\nCOMMIT;{space}"
    found = script(text)
    if "é" in space.replace("-- x;\n", ""):
        assert found.mode is Mode.NO_TRANSACTION  # there is a statement outside
        assert sent(found) == text
    else:
        assert how(found) == IN_ONE
        assert sent(found) == f"{';'.join(['', *inner])};\n"[1:]
        assert [s.number for s in found.statements] == list(range(1, len(inner) + 1))
    assert [found.source[s.start : s.end].decode() for s in found.statements] == texts(found)


# --- transactions of its own ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "transactions", "count"),
    [
        pytest.param("BEGIN; SELECT 1; COMMIT;\nBEGIN; COMMIT;", ((0, 2), (3, 4)), 5, id="two"),
        pytest.param(
            "SELECT 1; BEGIN; SELECT 2; END; SELECT 3; START TRANSACTION; COMMIT WORK;",
            ((1, 3), (5, 6)),
            7,
            id="beside statements",
        ),
        pytest.param("SET a = 1;\nBEGIN; SELECT 1; COMMIT;", ((1, 3),), 4, id="SET before it"),
        pytest.param("BEGIN READ ONLY; SELECT 1; COMMIT;", ((0, 2),), 3, id="read only"),
        pytest.param("BEGIN; SELECT 1; COMMIT AND NO CHAIN;", ((0, 2),), 3, id="AND NO CHAIN"),
        pytest.param(
            "BEGIN; SELECT 1; PREPARE TRANSACTION 'a';", ((0, 2),), 3, id="to be committed by another"
        ),
        pytest.param(
            "BEGIN; SAVEPOINT a; ROLLBACK TO a; COMMIT; SELECT 1;", ((0, 3),), 5, id="with a savepoint"
        ),
        pytest.param(f"{NO}BEGIN; SELECT 1; COMMIT;", ((0, 2),), 3, id="one, by hand"),
    ],
)
def test_transactions_of_its_own(text: str, transactions: tuple[tuple[int, int], ...], count: int) -> None:
    found = script(text)
    assert how(found) == (Mode.NO_TRANSACTION, OWN, None, transactions)
    assert (sent(found), len(found.statements)) == (text, count)


@pytest.mark.parametrize(
    ("text", "reason", "transactions"),
    [
        ("BEGIN; SELECT 1; COMMIT; VACUUM;", "VACUUM", ((0, 2),)),
        ("DROP INDEX CONCURRENTLY i; BEGIN; SELECT 1; COMMIT;", "DROP INDEX CONCURRENTLY", ((1, 3),)),
        (
            "BEGIN; PREPARE TRANSACTION 'a'; COMMIT PREPARED 'a';",
            "COMMIT PREPARED",
            ((0, 1),),
        ),
    ],
)
def test_a_statement_says_more_than_transactions(
    text: str, reason: str, transactions: tuple[tuple[int, int], ...]
) -> None:
    assert how(script(text)) == (Mode.NO_TRANSACTION, reason, None, transactions)


REMOVE = "remove the statement"
BY = "; for a file without a transaction, begin it with `-- fluxmig: no-transaction`"
UNDONE = "ROLLBACK would undo what the ledger records as done"
NOT_BEGUN = "COMMIT ends a transaction that the file did not begin"
OPEN = "this transaction is never committed"
IN_ONE_ONLY = "in a file that shall run in one transaction"
NOT_IN_ONE = "remove the statement, or `-- fluxmig: transaction`"
MISPLACED: dict[str, tuple[str, tuple[int, int, str, str]]] = {
    "COMMIT in the middle": ("SELECT 1;\n  COMMIT;\nSELECT 2;", (2, 3, NOT_BEGUN, REMOVE + BY)),
    "COMMIT first": ("COMMIT;\nVACUUM;\nBEGIN;", (1, 1, NOT_BEGUN, REMOVE + BY)),
    "COMMIT alone": ("COMMIT", (1, 1, NOT_BEGUN, REMOVE + BY)),
    "a second COMMIT": ("BEGIN;\nCOMMIT;\nCOMMIT;", (3, 1, NOT_BEGUN, REMOVE + BY)),
    "END": (
        "SELECT 1; END; SELECT 2;",
        (1, 11, "END ends a transaction that the file did not begin", REMOVE + BY),
    ),
    "PREPARE TRANSACTION": (
        "SELECT 1;\nPREPARE TRANSACTION 'a';",
        (2, 1, "PREPARE TRANSACTION ends a transaction that the file did not begin", REMOVE + BY),
    ),
    "BEGIN first": ("BEGIN;\nSELECT 1;", (1, 1, OPEN, f"add COMMIT, or {REMOVE}{BY}")),
    "BEGIN alone": ("begin", (1, 1, OPEN, f"add COMMIT, or {REMOVE}{BY}")),
    "BEGIN last": (
        "BEGIN; SELECT 1; COMMIT;\nSELECT 2;\n BEGIN;",
        (3, 2, OPEN, f"add COMMIT, or {REMOVE}{BY}"),
    ),
    "BEGIN in BEGIN": (
        "BEGIN;\nSELECT 1;\n START TRANSACTION; COMMIT;",
        (
            3,
            2,
            "START TRANSACTION inside the transaction of line 1",
            "remove the statement, or add COMMIT before it",
        ),
    ),
    "COMMIT AND CHAIN": (
        "BEGIN;\nSELECT 1;\nCOMMIT AND CHAIN;\nCOMMIT;",
        (3, 1, "COMMIT AND CHAIN leaves a transaction open", "write COMMIT and BEGIN"),
    ),
    "END WORK AND CHAIN": (
        "BEGIN; END WORK AND CHAIN;",
        (1, 8, "END AND CHAIN leaves a transaction open", "write END and BEGIN"),
    ),
    "ROLLBACK": ("SELECT 1;\nROLLBACK;\nSELECT 2;", (2, 1, UNDONE, REMOVE)),
    "ROLLBACK WORK": ("SELECT 1; rollback work;", (1, 11, UNDONE, REMOVE)),
    "ABORT": ("SELECT 1; ABORT;", (1, 11, "ABORT would undo what the ledger records as done", REMOVE)),
    "BEGIN and ROLLBACK": ("BEGIN;\nSELECT 1;\nROLLBACK;", (3, 1, UNDONE, REMOVE)),
    "ROLLBACK AND CHAIN": ("BEGIN; SELECT 1;\nROLLBACK AND CHAIN; COMMIT;", (2, 1, UNDONE, REMOVE)),
    "ROLLBACK to a savepoint, then ROLLBACK": (
        "BEGIN; SAVEPOINT a; ROLLBACK TO a;\nROLLBACK;",
        (2, 1, UNDONE, REMOVE),
    ),
    "VACUUM between two": (
        "BEGIN; COMMIT;\nBEGIN;\n  VACUUM;\nCOMMIT;",
        (3, 3, "VACUUM cannot run between BEGIN and COMMIT", "move it out of them"),
    ),
    "CONCURRENTLY in one beside a statement": (
        "SELECT 1; BEGIN;\nCREATE INDEX CONCURRENTLY i ON t (a); COMMIT;",
        (2, 1, "CREATE INDEX CONCURRENTLY cannot run between BEGIN and COMMIT", "move it out of them"),
    ),
    "no-transaction: VACUUM in one": (
        f"{NO}BEGIN; VACUUM; COMMIT;",
        (2, 8, "VACUUM cannot run between BEGIN and COMMIT", "move it out of them"),
    ),
    "no-transaction: ROLLBACK": (f"{NO}BEGIN;\nSELECT 1;\nROLLBACK;", (4, 1, UNDONE, REMOVE)),
    "no-transaction: COMMIT without BEGIN": (f"{NO}SELECT 1;\nCOMMIT;", (3, 1, NOT_BEGUN, REMOVE)),
    "no-transaction: never committed": (
        f"{NO}BEGIN; SELECT 1; COMMIT;\nBEGIN;\nSELECT 2;",
        (3, 1, OPEN, f"add COMMIT, or {REMOVE}"),
    ),
    "transaction: BEGIN in the middle": (
        f"{YES}SELECT 1; BEGIN; SELECT 2; COMMIT;",
        (2, 11, f"BEGIN {IN_ONE_ONLY}", NOT_IN_ONE),
    ),
    "transaction: COMMIT": (f"{YES}SELECT 1; COMMIT;", (2, 11, f"COMMIT {IN_ONE_ONLY}", NOT_IN_ONE)),
    "transaction: START TRANSACTION": (
        f"{YES}SELECT 1; START TRANSACTION;",
        (2, 11, f"START TRANSACTION {IN_ONE_ONLY}", NOT_IN_ONE),
    ),
    "transaction: ROLLBACK": (f"{YES}SELECT 1; ROLLBACK;", (2, 11, UNDONE, REMOVE)),
    "transaction: read only": (
        f"{YES}BEGIN READ ONLY; SELECT 1; COMMIT;",
        (2, 1, f"BEGIN {IN_ONE_ONLY}", NOT_IN_ONE),
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
    ],
)
def test_what_is_no_transaction(text: str) -> None:
    found = script(text)
    assert (how(found), sent(found)) == (IN_ONE, text)


def test_prepared_transactions_of_others() -> None:
    found = script("COMMIT PREPARED 'a'; ROLLBACK PREPARED 'b';")
    assert how(found) == (Mode.NO_TRANSACTION, "COMMIT PREPARED", None, ())


@pytest.mark.parametrize(
    "opening", ["BEGIN", "BEGIN IMMEDIATE", "begin exclusive transaction", "BEGIN DEFERRED"]
)
def test_a_wrapped_file_of_sqlite(opening: str) -> None:
    found = script(f"{opening}; SELECT 1; END TRANSACTION;", SQLITE)
    assert (how(found), texts(found)) == (IN_ONE, ["SELECT 1"])


def test_a_trigger_of_sqlite_is_no_transaction() -> None:
    text = "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END;"
    found = script(text, SQLITE)
    assert (how(found), texts(found)) == (IN_ONE, [text[:-1]])


# --- what is not SQL for a server -------------------------------------------------------------------------

RESTRICTED = "\\restrict aBc\n\nSET x = 0;\nCOPY t (a) FROM stdin;\nit's; /* a\n\\.\n\n\\unrestrict aBc\n"


def test_rows_and_restrict_lines_are_taken() -> None:
    found = script(RESTRICTED)
    assert (how(found), sent(found)) == (IN_ONE, RESTRICTED)
    assert texts(found) == ["SET x = 0", "COPY t (a) FROM stdin"]
    rows = found.statements[1].data
    assert rows is not None
    assert found.source[slice(*rows)] == b"it's; /* a\n"


COLUMNS = ", ".join(f"column_{number}" for number in range(1600))
TO_CLIENT = ("COPY ... TO STDOUT sends rows to the client, and there is none to read them", REMOVE)
NOT_SQL: dict[str, tuple[str, tuple[int, int, str, str]]] = {
    "psql include": (
        "\\i other.sql\nSELECT 1;",
        (
            1,
            1,
            "\\i is a command of psql, not SQL",
            "put the SQL of that file here, or into a migration of its own",
        ),
    ),
    "psql set": (
        "SELECT 1;\n  \\set x 1\nSELECT 2;",
        (2, 3, "\\set is a command of psql, not SQL", "write the value where it is used"),
    ),
    "rows without end": (
        "SELECT 1;\nCOPY t FROM stdin;\n1\n",
        (2, 1, "the rows of this COPY have no end", "end them with a line `\\.`; is the file cut off?"),
    ),
    "COPY TO STDOUT": ("SELECT 1;\n COPY t TO stdout;", (2, 2, *TO_CLIENT)),
    "COPY TO STDOUT with options": ("copy t (a) To StdOut WITH (format csv)", (1, 1, *TO_CLIENT)),
    "COPY TO STDOUT of a query": ("COPY (SELECT a FROM t) TO STDOUT;", (1, 1, *TO_CLIENT)),
    "COPY TO STDOUT with comments": ("COPY t /* x */ TO -- y\n STDOUT;", (1, 1, *TO_CLIENT)),
    "COPY TO STDOUT of many columns": (f"COPY t ({COLUMNS}) TO STDOUT;", (1, 1, *TO_CLIENT)),
}


@pytest.mark.parametrize(("text", "expected"), NOT_SQL.values(), ids=NOT_SQL)
def test_what_is_not_sql_for_a_server(text: str, expected: tuple[int, int, str, str]) -> None:
    assert told(problem(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "COPY t FROM '/srv/t.csv'",
        "COPY t FROM PROGRAM 'cat'",
        "COPY t TO '/srv/t.csv'",
        "COPY t TO 'stdout'",
        'COPY t TO PROGRAM "stdout"',
        "COPY (SELECT a FROM t) TO '/srv/t.csv'",
        "COPY (SELECT t.to stdout FROM t) TO '/srv/t.csv'",
        'COPY t FROM "stdin"',
        "SELECT 'COPY t FROM stdin'",
        "SELECT a FROM stdin",
        "SELECT 'COPY t TO STDOUT'",
        r"SELECT '\i'",
    ],
)
def test_what_only_looks_like_it_is_not_sql(text: str) -> None:
    assert texts(script(text)) == [text]


def test_copy_is_an_ordinary_word_where_files_are_not_for_psql() -> None:
    assert texts(script("COPY t TO STDOUT;", GENERIC)) == ["COPY t TO STDOUT"]


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


# --- messages ---------------------------------------------------------------------------------------------

PIECES = [
    *("SELECT 1;", "INSERT INTO a\n VALUES ('é;');", "DO $$ BEGIN; END $$;", "SELECT 2"),
    *(";", "\n", " ", "\r\n", "-- x;\n", "/* é; */", "-- fluxmig: transaction\n", ";\\restrict x\n"),
    *(";COPY t FROM stdin;\n1\té\n;it's\n\\.\n", ";COPY t (a) FROM stdin;\n\\.\n"),
    *(";SET standard_conforming_strings = off;", ";RESET ALL;"),
]


def together(found: Script, parts: Sequence[Message]) -> bytes:
    """What the server gets, statement by statement in its place, with blanks for all that it does not."""
    out = bytearray(b" " * len(found.source))
    for part in parts:
        assert not out[part.start : part.end].strip(), "sent twice"
        out[part.start : part.end] = found.source[part.start : part.end]
    return bytes(out)


@given(st.lists(st.sampled_from(PIECES), max_size=14), st.booleans(), st.integers(1, 120), st.data())
@settings(max_examples=300)
def test_messages_are_the_file(pieces: list[str], wrapped: bool, limit: int, data: st.DataObject) -> None:  # noqa: FBT001
    inner = "".join(pieces)
    found = script(f"\\restrict x\nBEGIN; {inner}\n; COMMIT; -- z\n\\unrestrict x\n" if wrapped else inner)
    statements, source = found.statements, found.source
    done = data.draw(st.integers(0, len(statements)))
    found = replace(found, done=done)
    parts = list(messages(found, limit))

    # Every statement that is left is sent, once, whole and in its turn.
    assert [place for part in parts for place in range(part.first, part.last)] == [
        *range(done, len(statements))
    ]
    got = together(found, parts)
    for part in parts:
        for place in range(part.first, part.last):
            assert part.start <= statements.start(place) < statements.end(place) <= part.end
    # Byte for byte: what is not sent is rows, lines of psql, and stretches without a statement.
    unsent = bytearray(source)
    for part in parts:
        unsent[part.start : part.end] = b"\n" * (part.end - part.start)
    for start, end in statements.gaps:
        unsent[start:end] = b"\n" * (end - start)
    begin = statements.start(done) if done < len(statements) else found.end
    assert len(split(bytes(unsent[begin : found.end]), POSTGRESQL.rules)) == 0
    assert not got[: begin if done else found.start].strip()
    assert not got[found.end :].strip()

    for part in parts:
        if part.rows:
            assert part.rows == statements.rows(part.first)
            assert (part.start, part.end) == (statements.start(part.first), statements.end(part.first))
            assert part.last == part.first + 1
        else:
            assert not any(part.start < b and a < part.end for a, b in statements.gaps)
            assert not any(part.start < a < part.end for a, _ in statements.gaps)
            assert all(statements.rows(place) is None for place in range(part.first, part.last))
            # No more than the limit, unless it is one statement.
            assert part.last == part.first + 1 or statements.end(part.last - 1) - part.start <= limit
    for one, two in pairwise(parts):
        # And as much as the limit allows.
        if one.end == two.start and not any(a == one.end for a, _ in statements.gaps):
            assert statements.end(two.first) - one.start > limit


def test_what_a_server_gets_of_a_dump() -> None:
    text = (
        "-- dump\n\\restrict x\nSET a = 1;\nCREATE TABLE t (a int);\n-- rows\nCOPY t FROM stdin;\n1\n\\.\n\n"
        "SET standard_conforming_strings = off;\nSELECT 'a\\'b';\n\\unrestrict x\n"
    )
    found = script(text)
    parts = messages(found, 2**20)
    assert [(text[part.start : part.end], part.rows and text[slice(*part.rows)]) for part in parts] == [
        ("SET a = 1;\nCREATE TABLE t (a int);\n-- rows\n", None),
        ("COPY t FROM stdin", "1\n"),
        ("\nSET standard_conforming_strings = off;", None),
        ("\nSELECT 'a\\'b';\n", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (0, ["-- a\nSELECT 1; SELECT 2;\n", "SELECT 3;"]),
        (1, ["SELECT 2;\nSELECT 3;"]),
        (2, ["SELECT 3;"]),
        (3, []),
    ],
)
def test_messages_go_on_behind_what_is_done(done: int, expected: list[str]) -> None:
    text = "-- a\nSELECT 1; SELECT 2;\nSELECT 3;"
    found = replace(script(text), done=done)
    assert [text[part.start : part.end] for part in messages(found, 23)] == expected


def test_a_wrapped_file_of_nothing_sends_nothing() -> None:
    assert list(messages(script("BEGIN; -- x\nCOMMIT;"), 10)) == []


# --- units ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "done", "expected"),
    [
        ("SELECT 1; SELECT 2;", 0, [Unit(0, 1), Unit(1, 2)]),
        ("BEGIN; SELECT 1; COMMIT; SELECT 2;", 0, [Unit(0, 3, own=True), Unit(3, 4)]),
        (
            "SELECT 1; BEGIN; COMMIT; BEGIN; SELECT 2; COMMIT; VACUUM;",
            0,
            [Unit(0, 1), Unit(1, 3, own=True), Unit(3, 6, own=True), Unit(6, 7)],
        ),
        ("BEGIN; SELECT 1; COMMIT; SELECT 2;", 3, [Unit(3, 4)]),
        (
            "SELECT 1; SELECT 2; BEGIN; SELECT 3; COMMIT;",
            1,
            [Unit(1, 2), Unit(2, 5, own=True)],
        ),
        ("SELECT 1; BEGIN; COMMIT;", 3, []),
        ("BEGIN; COMMIT;", 0, [Unit(0, 2, own=True)]),
        ("", 0, []),
    ],
)
def test_units(text: str, done: int, expected: list[Unit]) -> None:
    assert list(units(replace(script(NO + text), done=done))) == expected


# --- what is done already ---------------------------------------------------------------------------------

FOUR = "SET a = 1;\nCOPY t FROM stdin;\n1\n2\n\\.\nINSERT INTO a VALUES (1);\nSELECT 4;\n"


def digest(text: str, count: int) -> str:
    return Digest(script(NO + text)).of_first(count)


def test_a_digest_grows_with_what_is_done() -> None:
    growing = Digest(script(NO + FOUR))
    digests = [growing.of_first(count) for count in range(5)]
    assert digests == [digest(FOUR, count) for count in range(5)]
    assert Counter(map(len, digests)) == {64: 5}
    assert len(set(digests)) == 5


@pytest.mark.parametrize(
    "change",
    [
        ("SET a = 1", "SET a = 2"),
        ("SET a = 1", "SET /**/a = 1"),
        ("1\n2\n", "1\n3\n"),
        ("1\n2\n", "1\n"),
        ("\n1\n2\n", "\n"),
        ("COPY t ", "COPY t (a) "),
        ("SET a = 1;", "SELECT 0; SET a = 1;"),
        ("SET a = 1;\n", ""),
    ],
)
def test_a_digest_changes_with_what_is_done(change: tuple[str, str]) -> None:
    changed = FOUR.replace(*change, 1)
    assert changed != FOUR
    assert digest(changed, 2) != digest(FOUR, 2)


@pytest.mark.parametrize(
    "change",
    [
        ("SELECT 4", "SELECT 5"),
        ("INSERT INTO a VALUES (1)", "SELECT 3"),
        ("SET", "-- a comment\nSET"),
        ("SET a = 1;\n", "SET a = 1\n--;\n;"),
        ("\\.\n", "\\.\n\n\n-- x\n;"),
        (";\nCOPY", " ; /* x */ COPY"),
        ("SELECT 4;\n", ""),
    ],
)
def test_a_digest_does_not_change_with_what_is_not(change: tuple[str, str]) -> None:
    changed = FOUR.replace(*change, 1)
    assert changed != FOUR
    assert digest(changed, 2) == digest(FOUR, 2)


def test_no_two_beginnings_have_one_digest() -> None:
    """Where one statement ends and the next begins counts, too."""
    beginnings = ["", "a", "ab", "a;b", "b;a", "a;b;c", "ab;c", "a;bc", "a\nb", "a;a"]
    beginnings += [f"COPY t FROM stdin;\n{rows}\\.\n" for rows in ("", "\n", "a\n", "a\nb\n", "ab\n")]
    beginnings += ["COPY t FROM stdin;\n\\.\na", "COPY t FROM stdin;\na\n\\.\nb"]
    scripts = [script(NO + text) for text in beginnings]
    digests = {Digest(found).of_first(len(found.statements)) for found in scripts}
    assert len(digests) == len(beginnings)


def never(statement: str) -> bool | None:
    raise AssertionError(statement)


def test_without_progress_a_script_begins_at_its_beginning() -> None:
    found = script(NO + FOUR)
    assert resume(replace(found, done=3, interrupted=True), None, never) == found


@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize("done", [0, 2, 4])
def test_a_script_goes_on_behind_what_is_done(done: int, interrupted: bool) -> None:  # noqa: FBT001
    found = script(NO + FOUR)
    progress = Progress(done, digest(FOUR, done), interrupted)
    expected = replace(found, done=done, interrupted=interrupted)
    assert resume(found, progress, lambda _: True) == expected
    assert resume(found, progress, lambda _: False) == expected


def test_an_attempt_that_did_nothing_leaves_the_file_free() -> None:
    found = script(NO + FOUR)
    assert resume(found, Progress(0, "of another text", interrupted=True), never) == replace(
        found, interrupted=True
    )


RESTART = "`fluxmig run --restart 001_a.sql` begins with statement 1, once what they did is undone"


@pytest.mark.parametrize(
    ("done", "changed", "first"),
    [
        (1, "SET a = 2;\n", "its statement 1"),
        (2, FOUR.replace("1\n2\n", "1\n"), "its statements 1 to 2"),
        (4, FOUR.replace("SELECT 4;", ""), "its statements 1 to 4"),
        (3, "", "its statements 1 to 3"),
    ],
)
def test_what_is_done_and_has_changed_is_refused(done: int, changed: str, first: str) -> None:
    progress = Progress(done, digest(FOUR, done), interrupted=False)
    assert resume(script(NO + changed), progress, never) == Finding(
        "partial",
        f"001_a.sql: an earlier attempt has done {first}, and the file has changed there since",
        ("001_a.sql",),
        f"put the old text back, and change only what comes after; or {RESTART}",
    )


def test_what_was_gone_with_its_session_is_refused() -> None:
    text = "SET a = 1;\nCREATE TEMP TABLE b\n (c int);\nINSERT INTO b VALUES (1);\nVACUUM;\n"
    found = script(text)
    asked: list[str] = []

    def repeatable(statement: str) -> bool | None:
        asked.append(statement)
        return None if "TEMP" in statement else True

    assert resume(found, Progress(3, digest(text, 3), interrupted=False), repeatable) == Finding(
        "partial",
        "001_a.sql: an earlier attempt has done its statements 1 to 3; what statement 2 made was gone with"
        " its session: CREATE TEMP TABLE b",
        ("001_a.sql",),
        RESTART,
    )
    assert asked == ["SET a = 1", "CREATE TEMP TABLE b\n (c int)"]
    before = Progress(1, digest(text, 1), interrupted=False)
    assert resume(found, before, repeatable) == replace(found, done=1)


def test_only_what_may_set_the_session_is_asked_about() -> None:
    silent = ["INSERT INTO a VALUES (1)", "UPDATE a SET b = 1", "DELETE FROM a", "COPY a FROM '/a.csv'"]
    silent += ["COMMENT ON TABLE a IS 'b'", "GRANT SELECT ON a TO b", "REVOKE SELECT ON a FROM b"]
    asked = ["SELECT 1", "WITH a AS (SELECT 1) SELECT 1", "SET a = 1", "RESET a", "PREPARE a AS SELECT 1"]
    asked += ["LISTEN a", "LOAD 'a'", "DISCARD PLANS", "CREATE TABLE a (b int)", "DO $$ $$", "CALL a()"]
    asked += ["DECLARE a CURSOR WITH HOLD FOR SELECT 1", "(SELECT 1)"]
    text = ";\n".join([*silent, *asked, "SELECT 'not done'"])
    seen: list[str] = []

    def repeatable(statement: str) -> bool:
        seen.append(statement)
        return False

    count = len(silent) + len(asked)
    found = script(NO + text)
    progress = Progress(count, digest(text, count), interrupted=False)
    assert resume(found, progress, repeatable) == replace(found, done=count)
    assert seen == asked
    assert [statement.sql for statement in session_statements(found)] == [*asked, "SELECT 'not done'"]
