"""The splitter against the real scanners: PostgreSQL's in libpg_query, SQLite's in sqlite3.

libpg_query's own splitters say less than its scanner. The one on the scanner drops a statement without a
keyword and knows no BEGIN ATOMIC; the one on the parser takes valid SQL only. So PostgreSQL is compared three
ways: with statements cut out of the scanner's tokens by psql's rule (semicolons outside parentheses), for any
text; with both splitters, for valid SQL; and with the parser alone, for bodies.
"""

from __future__ import annotations

import runpy
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pglast import parser

from fluxmig.sql import POSTGRESQL, SQLITE, SplitError, UnclosedError, split

CASES = runpy.run_path(str(Path(__file__).with_name("test_sql.py")))

SERVER = replace(POSTGRESQL, psql=False)
"""To the server, a backslash is a character like any other."""

enough = settings(max_examples=500)


def texts(sql: str) -> list[str]:
    return [statement.sql for statement in split(sql.encode(), POSTGRESQL)]


# --- PostgreSQL -------------------------------------------------------------------------------------------


def cut_by_scanner(sql: str) -> list[str]:
    """The statements by libpg_query's tokens, whose ends are inclusive."""
    found: list[str] = []
    start = end = -1
    depth = 0
    for token in parser.scan(sql):
        if token.name in {"SQL_COMMENT", "C_COMMENT"}:
            continue
        if token.name == "ASCII_59" and depth == 0:
            found += [sql[start:end]] if start >= 0 else []
            start = -1
            continue
        start = token.start if start < 0 else start
        end = token.end + 1
        depth = max(0, depth + (token.name == "ASCII_40") - (token.name == "ASCII_41"))
    return found + ([sql[start:end]] if start >= 0 else [])


def bare(sql: str) -> str:
    """A statement without the comments around it, which libpg_query's splitters leave on."""
    tokens = [token for token in parser.scan(sql) if token.name not in {"SQL_COMMENT", "C_COMMENT"}]
    return sql[tokens[0].start : tokens[-1].end + 1]


TABLE = [
    (case, sql)
    for case, sql, _ in CASES["COMMON"] + CASES["POSTGRESQL_CASES"]
    if "body" not in case and case != "two functions"
]


@pytest.mark.parametrize("sql", [pytest.param(sql, id=case) for case, sql in TABLE])
def test_table_by_the_scanner(sql: str) -> None:
    assert texts(sql) == cut_by_scanner(sql)


def test_the_table_is_long_enough() -> None:
    assert len(TABLE) == len({sql for _, sql in TABLE}) >= 200


SOUP = st.lists(
    st.sampled_from(
        [
            *(
                "",
                "a",
                "e",
                "1",
                " ",
                "\n",
                ";",
                ";",
                ";\n",
                "'b;'",
                "'b''c'",
                '"c;"',
                '"d"""',
                "(e)",
                "(f;g)",
                ".",
            ),
            *(
                "$$;h$$",
                "$i$;$i$",
                "$é$;$$;$é$",
                "$1",
                "a$b$",
                "E'\\';'",
                "e'j\\\\'",
                "N'k'",
                "U&'l'",
            ),
            *(
                "/* m; */",
                "/* /* ; */ */",
                "/***/",
                "-- n;\n",
                "-- o\r",
                "--\n",
                "select ",
                "case ",
                "begin ",
                "end ",
            ),
            *(
                "'",
                '"',
                "(",
                ")",
                "$",
                "$$",
                "$a$",
                "E'",
                "\\",
                "\\'",
                "'\n'",
                "' -- p\n '",
                "'\r'",
                "'/**/\n'",
            ),
            *(
                "/*",
                "*/",
                "*",
                "/",
                "-",
                "--",
                "+",
                "@",
                "#",
                "`",
                "[",
                "]",
                ",",
                ":",
                "::",
                "é",
                "\t",
                "\f",
                "\v",
                "\r",
            ),
        ]
    ),
    min_size=5,
    max_size=25,
).map("".join)

UNTERMINATED: Final = {
    "unterminated quoted string": "string",
    "unterminated bit string literal": "string",
    "unterminated hexadecimal string literal": "string",
    "unterminated quoted identifier": "quoted identifier",
    "unterminated /* comment": "block comment",
    "unterminated dollar-quoted string": "dollar-quoted string",
}


def first_backslash(sql: str) -> int | None:
    """The offset in bytes of the first backslash that is a token, which it is for psql only."""
    places = (token.start for token in parser.scan(sql) if token.name == "ASCII_92")
    return next((len(sql[:place].encode()) for place in places), None)


@enough
@given(SOUP)
@example("é \\'a")
def test_soup_by_the_scanner(sql: str) -> None:
    try:
        expected = cut_by_scanner(sql)
    except parser.ParseError as error:
        message, location = error.args
        what = UNTERMINATED.get(message.partition(" at or near ")[0])
        assume(what)  # the rest is not lexical: bad escapes, numbers with junk behind, empty identifiers
        with pytest.raises(UnclosedError, match=f": this {what}.* is not closed$") as caught:
            split(sql.encode(), SERVER)
        # The scanner names the prefix of U&'...', and the first of strings that continue one another.
        assert len(sql[:location].encode()) <= caught.value.offset
        assert cut_by_scanner(sql.encode()[: caught.value.offset].decode()) is not None
    else:
        assert [statement.sql for statement in split(sql.encode(), SERVER)] == expected
        if (backslash := first_backslash(sql)) is None:
            assert texts(sql) == expected
        else:
            with pytest.raises(SplitError) as refused:
                split(sql.encode(), POSTGRESQL)
            assert refused.value.offset == backslash


VALID = [
    "SELECT 1; SELECT 2 ; -- x\n ;;; SELECT 3 -- end",
    "SELECT 'a;b', \"c;d\", $$e;f$$, $g$h;$$;$g$ FROM \"c;d\"; SELECT E'\\';', U&'\\0041;', B'1', X'F', N';'",
    "SELECT E'a'\n'b\\';c'; SELECT 'a' -- x'\n 'b;'; SELECT 'a\\'; SELECT 1",
    "SELECT 1 +/* ; */ 2; SELECT 1 -- ;\n - 2; SELECT 1*-- ;\n2; /* /* ; */ ; */ SELECT 3",
    "CREATE TABLE t (a int DEFAULT (1), b text[] DEFAULT ARRAY['x;y']); INSERT INTO t VALUES ($1); TABLE t",
    "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM u; SELECT 1;); SELECT 2",
    "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN RETURN 1; END; $f$; SELECT f()",
    'DO $$ BEGIN PERFORM 1; END $$; BEGIN; COMMIT; SELECT a$b$c FROM a$b$c; SELECT é FROM "ü;"',
    "SELECT CASE WHEN a THEN 1 ELSE 2 END FROM t; SELECT 1 AS begin; SELECT 2 AS end",
    "-- fluxmig\nCREATE INDEX CONCURRENTLY i ON t (a) WHERE (b ~ ';');\n/* c */ VACUUM t;\r\nANALYZE",
]


@pytest.mark.parametrize("with_parser", [True, False])
@pytest.mark.parametrize("sql", VALID)
def test_valid_sql_by_both_splitters(sql: str, *, with_parser: bool) -> None:
    assert texts(sql) == [bare(text) for text in parser.split(sql, with_parser, False)]


ATOMIC = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC "

BODIES = [
    f"{ATOMIC} SELECT 1; SELECT 2; END; SELECT 3",
    f"{ATOMIC} ; SELECT 1;; END; SELECT 3",
    f"{ATOMIC} SELECT CASE WHEN a THEN CASE b WHEN 1 THEN 2 END END FROM t; END; SELECT 3",
    f"{ATOMIC} SELECT (CASE WHEN a THEN 1 END) FROM (SELECT 1 AS a) q; END; SELECT 3",
    f"{ATOMIC} SELECT 1 AS end; SELECT 2 AS case; SELECT t.end, t.case FROM t; END; SELECT 3",
    f"{ATOMIC} SELECT begin FROM t; SELECT end_ FROM t; END; SELECT 3",
    f"{ATOMIC} SELECT 'END;', \"end\" FROM t /* END; */; END; SELECT 3",
    f"{ATOMIC} SELECT CASE WHEN a THEN 1 END AS end, CASE WHEN a THEN 1 END; END; {ATOMIC} SELECT 1; END",
    "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END; SELECT 3",
    "CREATE PROCEDURE f(begin int) BEGIN ATOMIC END; CREATE PROCEDURE g() BEGIN ATOMIC SELECT 1; END",
    "CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT begin(); SELECT 3",
    "CREATE FUNCTION s.begin(begin text) RETURNS int RETURN 1; SELECT 3",
    "CREATE FUNCTION f(a int) RETURNS int RETURN CASE a WHEN 1 THEN 2 END; SELECT 3",
]


@pytest.mark.parametrize("sql", BODIES)
def test_bodies_by_the_parser(sql: str) -> None:
    assert texts(sql) == [bare(text) for text in parser.split(sql, True, False)]


# --- SQLite -----------------------------------------------------------------------------------------------

SQLITE_SOUP = st.lists(
    st.sampled_from(
        [
            *(
                "",
                "a",
                " ",
                "\n",
                ";",
                ";",
                ";\n",
                "'b;'",
                "'b''c'",
                '"c;"',
                "`d;`",
                "[e;']",
                "(f;g)",
                "1",
                "$",
                "\t",
            ),
            *(
                "/* h; */",
                "/*/;*/",
                "/**/",
                "-- i;\n",
                "-- j\r;\n",
                "begin ",
                "case ",
                "end",
                " end ",
                ";end;",
                "; end a;",
            ),
            *(
                "create trigger ",
                "CREATE/**/TEMP TRIGGER ",
                "explain create temporary trigger ",
                "drop trigger ",
                "create ",
            ),
            *(
                "explain query plan create trigger ",
                "'",
                '"',
                "`",
                "[",
                "]",
                "*/",
                "-",
                "/",
                "\\",
                "é",
                "a$",
                "END",
            ),
        ]
    ),
    min_size=5,
    max_size=25,
).map("".join)


def ends_behind(sql: str) -> bool:
    """Whether a script's last character ends a statement, or an empty one."""
    try:
        statements = split(f"{sql}\nx".encode(), SQLITE)
    except UnclosedError:
        return False
    return bool(statements) and statements[-1].sql == "x"


def complete(sql: str) -> bool:
    """The same by `sqlite3_complete`, which takes a script of comments for incomplete."""
    return sqlite3.complete_statement(f";{sql}\n")


def upto_each_semicolon(sql: str) -> list[str]:
    return [sql[: index + 1] for index, character in enumerate(sql) if character == ";"]


@pytest.mark.parametrize(
    "sql", [pytest.param(sql, id=case) for case, sql, _ in CASES["COMMON"] + CASES["SQLITE_CASES"] if sql]
)
def test_sqlite_table_by_sqlite3_complete(sql: str) -> None:
    for script in upto_each_semicolon(sql):
        assert ends_behind(script) is complete(script), script


@enough
@given(SQLITE_SOUP)
def test_sqlite_soup_by_sqlite3_complete(sql: str) -> None:
    for script in upto_each_semicolon(sql):
        assert ends_behind(script) is complete(script), script


SQLITE_VALID = """
CREATE TABLE t ("a;b" text DEFAULT 'x;y', [c;d] int, `e;f` blob DEFAULT x'00'); -- g;
CREATE TABLE log (n int); /* h; /* i */
CREATE TRIGGER one AFTER INSERT ON t BEGIN
    INSERT INTO log SELECT CASE WHEN new."a;b" = '; END;' THEN 1 ELSE 2 END; -- END;
    UPDATE log SET n = n + 1 WHERE n = 1;
/* ; */ END;
CREATE TEMP TRIGGER two BEFORE DELETE ON main.t WHEN old.[c;d] > 0 BEGIN SELECT RAISE(ABORT, 'no;'); END;
EXPLAIN CREATE TRIGGER three AFTER INSERT ON t BEGIN SELECT 1; END;
INSERT INTO t ("a;b") VALUES ('; END;'), ('it''s;'), (';');
BEGIN; INSERT INTO log VALUES (1 - -1); END;
SELECT * FROM t /* unclosed; comment"""


def test_sqlite_runs_each_statement_alone() -> None:
    """Python's `execute` takes one statement, whole; a text cut elsewhere fails."""
    statements = split(SQLITE_VALID.encode(), SQLITE)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement.sql).fetchall()
        assert connection.execute("SELECT n FROM log ORDER BY n").fetchall() == [(2,), (2,), (2,), (2,)]
    assert [statement.line for statement in statements] == [2, 3, 4, 8, 9, 10, 11, 11, 11, 12]
