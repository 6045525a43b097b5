"""Bad input: for each file, and each name of one, the exact outcome and the database after it.

A file is refused before anything is sent, and the database is as it was; or it runs, and what it made is
there and in the ledger; or the database refuses it, and all that is left is a row of the log.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine

from fluxmig import ConfigError, FluxmigError, MigrationFailedError, MigrationFileError, Migrator, Mode
from fluxmig.excerpt import excerpt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Engine

    from tests.support import Database, Servers, Write

NAME = "001_a.sql"
NO = "-- fluxmig: no-transaction\n"
YES = "-- fluxmig: transaction\n"
T = "CREATE TABLE t (a text);\n"
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
TRACES = {"schema_migrations", "schema_migrations_log"}


@dataclass(frozen=True)
class Refused:
    """Before anything is sent.

    Attributes:
        says: What stands behind the file's name: the place, and what is wrong.
        remedy: The way out.
        shown: Whether the place is shown.
    """

    says: str
    remedy: str | None = None
    shown: bool = True


@dataclass(frozen=True)
class Runs:
    """To the end.

    Attributes:
        query: What to ask of the database then.
        answer: The rows that it gives.
        reason: Why there was no transaction.
        finding: What a person is told beside.
        notices: What is said meanwhile.
    """

    query: str | None = None
    answer: tuple[tuple[object, ...], ...] = ()
    reason: str | None = None
    finding: str | None = None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fails:
    """In the database, which is as before but for the log.

    Attributes:
        says: As of `Refused`, with the code.
        of: The number of the statement, and how many there are.
        more: What else is told, behind the excerpt.
        left: The tables that are left of it: without a transaction, of what was done before.
    """

    says: str
    of: tuple[int, int] | None = (2, 2)
    more: str = ""
    left: frozenset[str] = frozenset()


Outcome = Refused | Runs | Fails


@dataclass(frozen=True)
class Row:
    """One file, and what becomes of it on each database; None where the file says nothing there."""

    content: bytes
    postgresql: Outcome | None = None
    sqlite: Outcome | None = None


def both(content: str | bytes, outcome: Outcome) -> Row:
    return Row(content if isinstance(content, bytes) else content.encode(), outcome, outcome)


def pg(content: str | bytes, outcome: Outcome, sqlite: Outcome | None = None) -> Row:
    return Row(content if isinstance(content, bytes) else content.encode(), outcome, sqlite)


def lite(content: str, outcome: Outcome) -> Row:
    return Row(content.encode(), None, outcome)


def columns(count: int) -> str:
    return ", ".join(f"c{number} int" for number in range(count))


EMPTY = Runs(finding=f"holds no statement: {NAME}")
T_IS_THERE = Runs("SELECT count(*) FROM t", ((0,),))


def holds(*values: object, **options: Any) -> Runs:
    """It runs, and these are the values of the only column of t."""
    return Runs("SELECT a FROM t", tuple((value,) for value in values), **options)


def closed(place: str, what: str) -> Refused:
    return Refused(f":{place}: this {what} is not closed")


UNCLOSED: dict[str, Row] = {
    "a string": both(f"{T}INSERT INTO t VALUES ('abc);\n", closed("2:23", "string")),
    "a string with a doubled quote": both(f"{T}INSERT INTO t VALUES ('it''s);\n", closed("2:23", "string")),
    "a string after a backslash": both(f"{T}INSERT INTO t VALUES ('it\\'s');\n", closed("2:29", "string")),
    "an E string": pg(
        f"{T}INSERT INTO t VALUES (E'abc\\');\n",
        closed("2:23", "string"),
        Fails(":2:24: near \"'abc\\'\": syntax error [SQLITE_ERROR]"),
    ),
    "a Unicode string": both("SELECT U&'\\0041;\n", closed("1:10", "string")),
    "a quoted identifier": both(f'{T}INSERT INTO "t VALUES (1);\n', closed("2:13", "quoted identifier")),
    "a quoted identifier over lines": both(
        'CREATE TABLE "t\n(a int);\n', closed("1:14", "quoted identifier")
    ),
    "a backtick": lite(f"{T}SELECT `a;\n", closed("2:8", "quoted identifier")),
    "a bracket": lite(f"{T}SELECT [a;\n", closed("2:8", "quoted identifier")),
    "a block comment": pg(f"{T}/* DROP TABLE t;\n", closed("2:1", "block comment"), T_IS_THERE),
    "a block comment at the very end": pg(
        f"{T}/*",
        closed("2:1", "block comment"),
        Fails(':2:1: near "/": syntax error [SQLITE_ERROR]'),
    ),
    "a nested comment": pg(
        f"{T}/* /* */ INSERT INTO t VALUES (1);\n", closed("2:1", "block comment"), holds("1")
    ),
    "a dollar quote": pg(f"{T}DO $$ BEGIN NULL; END;\n", closed("2:4", "dollar-quoted string $$")),
    "a dollar quote in another case": pg(
        "DO $fn$ BEGIN NULL; END; $FN$;\n", closed("1:4", "dollar-quoted string $fn$")
    ),
    "a dollar quote, not ASCII": pg(
        "DO $é$ BEGIN NULL; END; $e$;\n", closed("1:4", "dollar-quoted string $é$")
    ),
    "a parenthesis": pg(
        f"{T}CREATE TABLE u (a int;\nCREATE TABLE v (a int);\n",
        Fails(':2:22: syntax error at or near ";" [42601]'),
        Fails(":2:1: incomplete input [SQLITE_ERROR]", (2, 3)),
    ),
    "BEGIN ATOMIC": pg(
        f"{T}CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1;\nSELECT 2;\n",
        Fails(":4:1: syntax error at end of input [42601]"),
    ),
    "a trigger": lite(
        f"{T}CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1;\n",
        Fails(":2:1: incomplete input [SQLITE_ERROR]"),
    ),
    "a dump, cut in a string": both(
        f"{T}INSERT INTO t VALUES ('a');\nINSERT INTO t VALUES ('b", closed("3:23", "string")
    ),
    "a dump, cut in a statement": pg(
        f"{T}INSERT INTO t VALUES ('a');\nCREATE TABLE u (b int,\n",
        Fails(":4:1: syntax error at end of input [42601]", (3, 3)),
        Fails(":3:1: incomplete input [SQLITE_ERROR]", (3, 3)),
    ),
    "a dump, cut in its rows": pg(
        "CREATE TABLE t (a text, b text);\n\nCOPY t (a, b) FROM stdin;\n1\ta\n2",
        Refused(
            ":3:1: the rows of this COPY have no end", "end them with a line `\\.`; is the file cut off?"
        ),
    ),
}

AS_UTF8 = "save it as UTF-8"
BINARY = "is it a binary file, or UTF-16?"


def no_utf8(place: str, byte: str) -> Refused:
    return Refused(f":{place}: is not UTF-8: byte {byte}", AS_UTF8, shown=False)


def nul(place: str) -> Refused:
    return Refused(f":{place}: holds a NUL byte", BINARY, shown=False)


def encoded(name: str) -> Refused:
    return Refused(f": is {name}, not UTF-8", AS_UTF8, shown=False)


ENCODINGS: dict[str, Row] = {
    "a byte order mark": both(f"{BOM}{T}", T_IS_THERE),
    "nothing but a byte order mark": both(BOM, EMPTY),
    "a byte order mark before COPY": pg(f"{BOM}{T}COPY t FROM stdin;\né\n\\.\n", holds("é")),
    "a byte order mark before a directive": both(
        f"{BOM}{NO}{T}", Runs("SELECT count(*) FROM t", ((0,),), reason="the file says so")
    ),
    "a byte order mark before a directive that is wrong": both(
        f"{BOM}-- fluxmig: no-transactoin\n{T}",
        Refused(":1:13: unknown directive 'no-transactoin'", "did you mean `-- fluxmig: no-transaction`?"),
    ),
    "two byte order marks": pg(
        f"{BOM}{BOM}{T}", Fails(f':1:1: syntax error at or near "{BOM}CREATE" [42601]', (1, 1)), T_IS_THERE
    ),
    "a byte order mark in the middle": pg(
        f"{T}{BOM}DROP TABLE t;\n",
        Fails(f':2:1: syntax error at or near "{BOM}DROP" [42601]'),
        Runs("SELECT count(*) FROM sqlite_master WHERE name = 't'", ((0,),)),
    ),
    "a byte order mark in a string": both(f"{T}INSERT INTO t VALUES ('{BOM}');", holds(BOM)),
    "UTF-16, little end first": both(f"{BOM}{T}".encode("utf-16-le"), encoded("UTF-16")),
    "UTF-16, big end first": both(f"{BOM}{T}".encode("utf-16-be"), encoded("UTF-16")),
    "UTF-16, little end first, without a mark": both(T.encode("utf-16-le"), nul("1:2")),
    "UTF-16, big end first, without a mark": both(T.encode("utf-16-be"), nul("1:1")),
    "UTF-32, little end first": both(f"{BOM}{T}".encode("utf-32-le"), encoded("UTF-32")),
    "UTF-32, big end first": both(f"{BOM}{T}".encode("utf-32-be"), encoded("UTF-32")),
    "latin-1": both(f"{T}\tINSERT INTO t VALUES ('né');\n".encode("latin-1"), no_utf8("2:26", "0xe9")),
    "latin-1 in a comment": both(f"-- né\n{T}".encode("latin-1"), no_utf8("1:5", "0xe9")),
    "windows-1252 quotes": both(
        f"{T}SELECT \N{RIGHT SINGLE QUOTATION MARK}x\N{RIGHT SINGLE QUOTATION MARK};\n".encode("cp1252"),
        no_utf8("2:8", "0x92"),
    ),
    "latin-1 in rows": both(f"{T}COPY t FROM stdin;\né\n\\.\n".encode("latin-1"), no_utf8("3:1", "0xe9")),
    "an overlong character": both(b"SELECT '\xc0\x80';\n", no_utf8("1:9", "0xc0")),
    "a surrogate": both(b"SELECT '\xed\xa0\x80';\n", no_utf8("1:9", "0xed")),
    "a character cut off": both(b"SELECT 1; -- \xe2\x82", no_utf8("1:14", "0xe2")),
    "beyond Unicode": both(b"SELECT '\xf4\x90\x80\x80';\n", no_utf8("1:9", "0xf4")),
    "a NUL in a string": both(f"{T}INSERT INTO t VALUES ('a\0b');\n", nul("2:25")),
    "a NUL at the end": both(f"{T}\0", nul("2:1")),
    "a NUL in rows": both(f"{T}COPY t FROM stdin;\na\0b\n\\.\n", nul("3:2")),
    "nothing but a NUL": both("\0", nul("1:1")),
    "a gzip file": both(b"\x1f\x8b\x08\0abc", no_utf8("1:2", "0x8b")),
    "a dump in pg_dump's own format": both(b"PGDMP\x01\x0e\0\x04\x08\x01\x01", nul("1:8")),
}

TYPOGRAPHIC = "\N{LEFT SINGLE QUOTATION MARK}long_text\N{RIGHT SINGLE QUOTATION MARK}"
SPACES: dict[str, Row] = {
    "lone carriage returns": pg(
        "-- a\rCREATE TABLE t (a int);\r-- b\rINSERT INTO t VALUES (1);\r", holds(1), EMPTY
    ),
    "windows line ends": both(
        "CREATE TABLE t (a text);\r\nINSERT INTO t VALUES ('x\r\ny');\r\n", holds("x\r\ny")
    ),
    "windows line ends and rows": pg(
        "CREATE TABLE t (a text);\r\nCOPY t FROM stdin;\r\nx\r\ny\r\n\\.\r\n", holds("x", "y")
    ),
    "windows line ends in some rows": pg(
        f"{T}COPY t FROM stdin;\nx\r\ny\n\\.\n",
        Fails(
            ":4:1: literal newline found in data [22P04]",
            more='HINT: Use "\\n" to represent newline.\nCONTEXT: COPY t, line 2',
        ),
    ),
    "no line end at the end": both("CREATE TABLE t (a int)", T_IS_THERE),
    "a comment at the end": both("CREATE TABLE t (a int); -- x", T_IS_THERE),
    "form feeds": both("CREATE\fTABLE\ft\f(a\fint)\f;\f", T_IS_THERE),
    "a vertical tab": lite(
        "CREATE\vTABLE t (a int);", Fails(':1:1: unrecognized token: "\v" [SQLITE_ERROR]', (1, 1))
    ),
    "a line separator": pg(
        "CREATE\N{LINE SEPARATOR}TABLE t (a int);",
        Fails(':1:1: syntax error at or near "CREATE\N{LINE SEPARATOR}TABLE" [42601]', (1, 1)),
        Fails(':1:1: near "CREATE\N{LINE SEPARATOR}TABLE": syntax error [SQLITE_ERROR]', (1, 1)),
    ),
    "a no-break space between words": pg(
        f"{T}INSERT\N{NO-BREAK SPACE}INTO t VALUES (1);\n",
        Fails(':2:1: syntax error at or near "INSERT\N{NO-BREAK SPACE}INTO" [42601]'),
        Fails(':2:1: near "INSERT\N{NO-BREAK SPACE}INTO": syntax error [SQLITE_ERROR]'),
    ),
    "a no-break space alone": pg(
        f"{T}\N{NO-BREAK SPACE}\n",
        Fails(':2:1: syntax error at or near "\N{NO-BREAK SPACE}" [42601]'),
        Fails(':2:1: near "\N{NO-BREAK SPACE}": syntax error [SQLITE_ERROR]'),
    ),
    "a zero-width space in a name": pg(
        f"{T}INSERT INTO t\N{ZERO WIDTH SPACE} VALUES (1);\n",
        Fails(':2:13: relation "t\N{ZERO WIDTH SPACE}" does not exist [42P01]'),
        Fails(":2:1: no such table: t\N{ZERO WIDTH SPACE} [SQLITE_ERROR]"),
    ),
    "a right-to-left mark in a name": pg(
        f"{T}INSERT INTO \N{RIGHT-TO-LEFT MARK}t VALUES (1);\n",
        Fails(':2:13: relation "\N{RIGHT-TO-LEFT MARK}t" does not exist [42P01]'),
        Fails(":2:1: no such table: \N{RIGHT-TO-LEFT MARK}t [SQLITE_ERROR]"),
    ),
    "a right-to-left override in a string": both(
        f"{T}INSERT INTO t VALUES ('\u202ea\u202c');\n", holds("\u202ea\u202c")
    ),
    "typographic quotes": pg(
        f"{T}INSERT INTO t VALUES ({TYPOGRAPHIC});\n",
        Fails(f':2:23: column "{TYPOGRAPHIC}" does not exist [42703]'),
        Fails(f":2:1: no such column: {TYPOGRAPHIC} [SQLITE_ERROR]"),
    ),
    "a fullwidth semicolon": pg(
        "CREATE TABLE t (a int)\N{FULLWIDTH SEMICOLON}\nCREATE TABLE u (a int);\n",
        Fails(':1:23: syntax error at or near "\N{FULLWIDTH SEMICOLON}" [42601]', (1, 1)),
        Fails(':1:1: near "CREATE": syntax error [SQLITE_ERROR]', (1, 1)),
    ),
    "Control-Z at the end": pg(
        f"{T}\x1a",
        Fails(':2:1: syntax error at or near "\x1a" [42601]'),
        Fails(':2:1: unrecognized token: "\x1a" [SQLITE_ERROR]'),
    ),
    "an escape character in a string": both(f"{T}INSERT INTO t VALUES ('\x1b[31m');\n", holds("\x1b[31m")),
    "a letter as one character, and as two": pg(
        'CREATE TABLE "e\u0301" (a int);\nINSERT INTO "\u00e9" VALUES (1);\n',
        Fails(':2:13: relation "\u00e9" does not exist [42P01]'),
        Fails(":2:1: no such table: \u00e9 [SQLITE_ERROR]"),
    ),
    "emoji": pg(
        f"{T}SELECT '😀' x y;\n",
        Fails(':2:14: syntax error at or near "y" [42601]'),
        Fails(':2:14: near "y": syntax error [SQLITE_ERROR]'),
    ),
}

NOTHING: dict[str, Row] = {
    name: both(content, EMPTY)
    for name, content in {
        "no byte": "",
        "a line end": "\n",
        "a semicolon": ";",
        "semicolons": " ;\n;; ",
        "blanks": " \t\r\n\f",
        "a line comment": "-- x",
        "a block comment": "/* x; */",
        "a directive": YES,
        "BEGIN and COMMIT": "BEGIN;\nCOMMIT;\n",
    }.items()
}
NOTHING["the directive for no transaction"] = both(
    NO, Runs(finding=f"holds no statement: {NAME}", reason="the file says so")
)
NOTHING["a line for psql"] = pg(
    "\\restrict abc\n", EMPTY, Fails(':1:1: unrecognized token: "\\" [SQLITE_ERROR]', (1, 1))
)

MEGABYTE = "x" * 2**20
SIZES: dict[str, Row] = {
    "a line of 1 MB": both(f"{T}INSERT INTO t VALUES ('{MEGABYTE}');\n", holds(MEGABYTE)),
    "an error at the end of 1 MB": pg(
        f"CREATE TABLE t (a text); INSERT INTO t VALUES ('{MEGABYTE}') oops;\n",
        Fails(':1:1048628: syntax error at or near "oops" [42601]'),
        Fails(':1:1048628: near "oops": syntax error [SQLITE_ERROR]'),
    ),
    "100,000 statements, the last wrong": pg(
        T + "SELECT 1;\n" * 99_998 + "SELECT b FROM t;\n",
        Fails(':100000:8: column "b" does not exist [42703]', (100_000, 100_000)),
    ),
    "20,000 statements": both(
        T + "INSERT INTO t VALUES ('x');\n" * 20_000, Runs("SELECT count(*) FROM t", ((20_000,),))
    ),
    "100,000 semicolons": both(T + ";" * 100_000, T_IS_THERE),
    "50 parentheses": both(f"CREATE TABLE t AS SELECT {'(' * 50}1{')' * 50} AS a;", holds(1)),
    "1,000 parentheses": pg(f"CREATE TABLE t AS SELECT {'(' * 1000}1{')' * 1000} AS a;", holds(1)),
    "100,000 parentheses": pg(
        f"{T}SELECT {'(' * 100_000}1{')' * 100_000};",
        Fails(':2:10004: memory exhausted at or near "(" [42601]'),
    ),
    "1,000 parentheses that nothing opened": pg(
        f"{')' * 1000}{T}",
        Fails(':1:1: syntax error at or near ")" [42601]', (1, 1)),
        Fails(':1:1: near ")": syntax error [SQLITE_ERROR]', (1, 1)),
    ),
    "1,000 nested comments": pg(
        f"{'/*' * 1000}{'*/' * 1000}{T}",
        T_IS_THERE,
        Fails(':1:6: near "*": syntax error [SQLITE_ERROR]', (1, 1)),
    ),
    "10,000 nested CASE": pg(
        f"{T}SELECT {'CASE WHEN true THEN ' * 10_000}1{' END' * 10_000};",
        Fails(':2:39993: memory exhausted at or near "WHEN" [42601]'),
    ),
    "an identifier of 100 KB": pg(
        f'CREATE TABLE "{"x" * 100_000}" (a int);',
        Runs(
            "SELECT count(*) FROM " + "x" * 63,
            ((0,),),
            notices=(f'identifier "{"x" * 100_000}" will be truncated to "{"x" * 63}"',),
        ),
        Runs("SELECT count(*) FROM " + "x" * 100_000, ((0,),)),
    ),
    "1600 columns": both(f"CREATE TABLE t ({columns(1600)});", T_IS_THERE),
    "1600 columns of rows": pg(
        f"CREATE TABLE t ({columns(1600)});\nCOPY t FROM stdin;\n" + "\t".join(["1"] * 1600) + "\n\\.\n",
        Runs("SELECT c0, c1599 FROM t", ((1, 1),)),
    ),
    "1601 columns": pg(
        f"{T}CREATE TABLE u ({columns(1601)});",
        Fails(":2:1: tables can have at most 1600 columns [54011]"),
        Runs("SELECT count(*) FROM u", ((0,),)),
    ),
    "2001 columns": lite(
        f"{T}CREATE TABLE u ({columns(2001)});", Fails(":2:1: too many columns on u [SQLITE_ERROR]")
    ),
}


def value(literal: str, *, is_: str) -> Row:
    return both(f"{T}INSERT INTO t VALUES ({literal});\n", holds(is_))


def bare(expression: str, postgresql: str, sqlite: str) -> Row:
    return pg(f"{T}INSERT INTO t VALUES ({expression});\n", Fails(postgresql), Fails(sqlite))


UNBOUND = (
    ":2:1: Incorrect number of bindings supplied. The current statement uses 1, and there are 0 supplied."
    " [ProgrammingError]"
)
PLACEHOLDERS: dict[str, Row] = {
    ":name in a string": value("'a :name :b::c'", is_="a :name :b::c"),
    "%s and %% in a string": value("'%s %% %(x)s 100%'", is_="%s %% %(x)s 100%"),
    "braces in a string": value("'{ {0} {{x}} ${y} }'", is_="{ {0} {{x}} ${y} }"),
    "dollars in a string": value("'$1 $$'", is_="$1 $$"),
    "question marks in a string": value("'? ?? \\?'", is_="? ?? \\?"),
    "a backslash at the end of a string": value("'\\'", is_="\\"),
    "backslashes before colons": value("'\\:a \\\\:b'", is_="\\:a \\\\:b"),
    "a mark of SQLAlchemy's": value("'__[POSTCOMPILE_x]'", is_="__[POSTCOMPILE_x]"),
    "at signs in a string": value("'@x @@y'", is_="@x @@y"),
    ":name": bare(":name", ':2:23: syntax error at or near ":" [42601]', UNBOUND),
    ":'name' of psql": bare(
        ":'name'",
        ':2:23: syntax error at or near ":" [42601]',
        ':2:1: unrecognized token: ":" [SQLITE_ERROR]',
    ),
    "%s": bare(
        "%s", ':2:23: syntax error at or near "%" [42601]', ':2:23: near "%": syntax error [SQLITE_ERROR]'
    ),
    "%(name)s": bare(
        "%(name)s",
        ':2:23: syntax error at or near "%" [42601]',
        ':2:23: near "%": syntax error [SQLITE_ERROR]',
    ),
    "{name}": bare(
        "{name}", ':2:23: syntax error at or near "{" [42601]', ':2:1: unrecognized token: "{" [SQLITE_ERROR]'
    ),
    "${name}": bare(
        "${name}",
        ':2:23: syntax error at or near "$" [42601]',
        ':2:1: unrecognized token: "$" [SQLITE_ERROR]',
    ),
    "$1": bare("$1", ":2:23: there is no parameter $1 [42P02]", UNBOUND),
    "?": bare("?", ':2:24: syntax error at or near ")" [42601]', UNBOUND),
    "@name": bare("@name", ':2:24: column "name" does not exist [42703]', UNBOUND),
    "operators that look like them": pg(
        "CREATE TABLE t AS SELECT '{\"x\": 1}'::jsonb ? 'x' AND 5 % 3 = 2"
        " AND (array[1, 2, 3])[1:2] = '{1,2}' AS a;",
        holds(True),
    ),
    "the remainder": both("CREATE TABLE t AS SELECT 5 % 3 AS a;\n", holds(2)),
    "a backslash at the end of the file": pg(
        f"{T}INSERT INTO t VALUES ('a');\\",
        Refused(":2:28: a backslash outside of quotes is no SQL", "remove it, or quote it"),
        Fails(':2:28: unrecognized token: "\\" [SQLITE_ERROR]', (3, 3)),
    ),
}

AT_ITS_ROW = (
    "This came when its ledger row was written, after every statement had run. Everything is rolled back."
)
WRONG: dict[str, Row] = {
    "no SQL": pg(
        "hello world, how are you?\n",
        Fails(':1:1: syntax error at or near "hello" [42601]', (1, 1)),
        Fails(':1:1: near "hello": syntax error [SQLITE_ERROR]', (1, 1)),
    ),
    "HTML": pg(
        "<!DOCTYPE html>\n<html></html>\n",
        Fails(':1:1: syntax error at or near "<!" [42601]', (1, 1)),
        Fails(':1:1: near "<": syntax error [SQLITE_ERROR]', (1, 1)),
    ),
    "a merge conflict": pg(
        f"<<<<<<< HEAD\n{T}=======\nCREATE TABLE u (a int);\n>>>>>>> b\n",
        Fails(':1:1: syntax error at or near "<<<<<<<" [42601]', (1, 3)),
        Fails(':1:1: near "<<": syntax error [SQLITE_ERROR]', (1, 3)),
    ),
    "backticks of MySQL": pg(
        "CREATE TABLE `t` (a int);\n",
        Fails(':1:14: syntax error at or near "`" [42601]', (1, 1)),
        T_IS_THERE,
    ),
    "a comment of MySQL": pg(
        f"# comment\n{T}",
        Fails(':1:1: syntax error at or near "#" [42601]', (1, 1)),
        Fails(':1:1: unrecognized token: "#" [SQLITE_ERROR]', (1, 1)),
    ),
    "a DELIMITER of MySQL": pg(
        f"{T}DELIMITER //\nSELECT 1 //\nDELIMITER ;\n",
        Fails(':2:1: syntax error at or near "DELIMITER" [42601]'),
        Fails(':2:1: near "DELIMITER": syntax error [SQLITE_ERROR]'),
    ),
    "GO": pg(
        "CREATE TABLE t (a int)\nGO\nCREATE TABLE u (a int)\nGO\n",
        Fails(':2:1: syntax error at or near "GO" [42601]', (1, 1)),
        Fails(':1:1: near "CREATE": syntax error [SQLITE_ERROR]', (1, 1)),
    ),
    "a slash of Oracle": pg(
        f"{T}/\n",
        Fails(':2:1: syntax error at or near "/" [42601]'),
        Fails(':2:1: near "/": syntax error [SQLITE_ERROR]'),
    ),
    "a comma too many": pg(
        f"{T}CREATE TABLE u (a int,);\n",
        Fails(':2:23: syntax error at or near ")" [42601]'),
        Fails(':2:23: near ")": syntax error [SQLITE_ERROR]'),
    ),
    "no such type": pg(
        f"{T}CREATE TABLE u (a nosuchtype);\n", Fails(':2:19: type "nosuchtype" does not exist [42704]')
    ),
    "a division by zero": pg(f"{T}INSERT INTO t VALUES (1/0);\n", Fails(":2:1: division by zero [22012]")),
    "half a character in an escape": pg(
        f"{T}SELECT U&'\\D800';\n", Fails(":2:16: invalid Unicode surrogate pair [42601]")
    ),
    "a constraint that fails at the commit": pg(
        "CREATE TABLE t (a int PRIMARY KEY, b int REFERENCES t DEFERRABLE INITIALLY DEFERRED);\n"
        "INSERT INTO t VALUES (1, 9);\n",
        Fails(
            ': insert or update on table "t" violates foreign key constraint "t_b_fkey" [23503]',
            None,
            'DETAIL: Key (b)=(9) is not present in table "t".\n'
            "This came at the commit, after every statement had run. Everything is rolled back.",
        ),
    ),
    "the ledger dropped": pg(
        "DROP TABLE schema_migrations;\n",
        Fails(
            ': relation "public.schema_migrations" does not exist [42P01]',
            None,
            AT_ITS_ROW,
        ),
        Fails(
            ": no such table: schema_migrations [SQLITE_ERROR]",
            None,
            AT_ITS_ROW,
        ),
    ),
    "a role that is not there": pg(
        f"SET ROLE nobody_at_all;\n{T}", Fails(':1:10: role "nobody_at_all" does not exist [22023]', (1, 2))
    ),
    "strings with backslashes": pg(
        f"SET standard_conforming_strings = off;\n{T}INSERT INTO t VALUES ('it\\'s; ok');\n",
        holds("it's; ok", notices=("nonstandard use of \\' in a string literal",)),
        closed("3:33", "string"),
    ),
    "an unclosed string with a backslash": pg(
        "SET standard_conforming_strings = off;\nSELECT 'it\\';\n",
        closed("2:8", "string"),
        Fails(':1:1: near "SET": syntax error [SQLITE_ERROR]', (1, 2)),
    ),
    "another encoding of the client": pg(
        f"SET client_encoding = 'LATIN1';\n{T}INSERT INTO t VALUES ('é');\nCOPY t FROM stdin;\né\n\\.\n",
        holds("é", "é"),
    ),
}

BY = "; for a file without a transaction, begin it with `-- fluxmig: no-transaction`"
REMOVE = f"remove the statement{BY}"
NOT_BEGUN = "ends a transaction that the file did not begin"
UNDONE = "would undo what the ledger records as done"
OWN = "it has transactions of its own"
TRANSACTIONS: dict[str, Row] = {
    "COMMIT alone": both("COMMIT;", Refused(f":1:1: COMMIT {NOT_BEGUN}", REMOVE)),
    "COMMIT in the middle": both(
        f"{T}COMMIT;\nINSERT INTO t VALUES ('1');\n", Refused(f":2:1: COMMIT {NOT_BEGUN}", REMOVE)
    ),
    "COMMIT and BEGIN around what cannot be in one": pg(
        f"{T}COMMIT;\nCREATE INDEX CONCURRENTLY i ON t (a);\nBEGIN;\n",
        Refused(f":2:1: COMMIT {NOT_BEGUN}", REMOVE),
    ),
    "END of a body without quotes": pg(
        "CREATE FUNCTION f() RETURNS int AS\nBEGIN\n RETURN 1;\nEND;\n",
        Refused(f":4:1: END {NOT_BEGUN}", REMOVE),
    ),
    "ROLLBACK": both(f"{T}ROLLBACK;\n", Refused(f":2:1: ROLLBACK {UNDONE}", "remove the statement")),
    "BEGIN and ROLLBACK": both(
        f"BEGIN;\n{T}ROLLBACK;\n", Refused(f":3:1: ROLLBACK {UNDONE}", "remove the statement")
    ),
    "ABORT": pg(f"{T}ABORT;\n", Refused(f":2:1: ABORT {UNDONE}", "remove the statement")),
    "BEGIN without COMMIT": both(
        f"BEGIN;\n{T}", Refused(":1:1: this transaction is never committed", f"add COMMIT, or {REMOVE}")
    ),
    "BEGIN at the end": both(
        f"{T}BEGIN;", Refused(":2:1: this transaction is never committed", f"add COMMIT, or {REMOVE}")
    ),
    "BEGIN in BEGIN": both(
        f"BEGIN;\n{T}BEGIN;\nCOMMIT;\nCOMMIT;\n",
        Refused(
            ":3:1: BEGIN inside the transaction of line 1", "remove the statement, or add COMMIT before it"
        ),
    ),
    "COMMIT AND CHAIN": pg(
        f"BEGIN;\n{T}COMMIT AND CHAIN;\nCOMMIT;\n",
        Refused(":3:1: COMMIT AND CHAIN leaves a transaction open", "write COMMIT and BEGIN"),
    ),
    "a wrapped file": both(f"BEGIN;\n{T}COMMIT;\n", T_IS_THERE),
    "a wrapped file with an isolation level": pg(
        f"BEGIN ISOLATION LEVEL SERIALIZABLE;\n{T}"
        "INSERT INTO t VALUES (current_setting('transaction_isolation'));\nCOMMIT;\n",
        holds("serializable"),
    ),
    "a wrapped file that fails": pg(
        f"BEGIN;\n{T}INSERT INTO u VALUES (1);\nCOMMIT;\n",
        Fails(':3:13: relation "u" does not exist [42P01]'),
        Fails(":3:1: no such table: u [SQLITE_ERROR]"),
    ),
    "SET TRANSACTION": pg(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;\n"
        f"{T}INSERT INTO t VALUES (current_setting('transaction_isolation'));\n",
        holds("repeatable read"),
    ),
    "SET TRANSACTION READ ONLY": pg(
        f"SET TRANSACTION READ ONLY;\n{T}",
        Fails(":2:1: cannot execute CREATE TABLE in a read-only transaction [25006]"),
    ),
    "BEGIN READ ONLY": pg(f"BEGIN READ ONLY;\nSELECT 1;\nCOMMIT;\n{T}", holds(reason=OWN)),
    "two transactions": both(
        f"BEGIN;\n{T}COMMIT;\nBEGIN;\nINSERT INTO t VALUES ('1');\nCOMMIT;\n", holds("1", reason=OWN)
    ),
    "two transactions, the second wrong": pg(
        f"BEGIN;\n{T}COMMIT;\nBEGIN;\nINSERT INTO t VALUES ('1');\nINSERT INTO u VALUES ('1');\nCOMMIT;\n",
        Fails(
            ':6:13: relation "u" does not exist [42P01]',
            (6, 7),
            f"3 of 7 statements are done, and stay so: no transaction, since {OWN}. The next run goes on with"
            f" statement 4; `fluxmig run --restart {NAME}` begins with statement 1.",
            frozenset({"t"}),
        ),
    ),
    "what cannot be in a transaction, in one": pg(
        f"BEGIN;\n{T}CREATE INDEX CONCURRENTLY i ON t (a);\nCOMMIT;\n",
        Refused(
            ":3:1: CREATE INDEX CONCURRENTLY cannot run between BEGIN and COMMIT", "remove BEGIN and COMMIT"
        ),
    ),
    "VACUUM in one of several": both(
        "SELECT 1;\nBEGIN;\nVACUUM;\nCOMMIT;\n",
        Refused(":3:1: VACUUM cannot run between BEGIN and COMMIT", "move it out of them"),
    ),
    "VACUUM in spite of a directive": both(
        f"{YES}{T}VACUUM;\n",
        Refused(":3:1: VACUUM cannot run in a transaction", "remove `-- fluxmig: transaction`"),
    ),
    "VACUUM": both(f"{T}VACUUM;\n", Runs("SELECT count(*) FROM t", ((0,),), reason="VACUUM")),
    "COMMIT in DO": pg(
        f"{T}DO $$ BEGIN COMMIT; END $$;\n",
        Fails(
            ":2:1: invalid transaction termination [2D000]",
            more="CONTEXT: PL/pgSQL function inline_code_block line 1 at COMMIT\n"
            "COMMIT and ROLLBACK in a procedure or DO need a file without a transaction: begin the file with"
            " `-- fluxmig: no-transaction`",
        ),
    ),
    "COMMIT in DO, with the directive": pg(
        f"{NO}{T}DO $$ BEGIN INSERT INTO t VALUES ('1'); COMMIT; END $$;\n",
        holds("1", reason="the file says so"),
    ),
    "what only the server knows": pg(
        "CREATE TABLE p (a int) PARTITION BY RANGE (a);\nREINDEX TABLE p;\n",
        Fails(
            ":2:1: REINDEX TABLE cannot run inside a transaction block [25001]",
            more='CONTEXT: while reindexing partitioned table "public.p"\n'
            "it cannot run inside a transaction: begin the file with `-- fluxmig: no-transaction`",
        ),
    ),
    "savepoints": both(
        f"{T}SAVEPOINT s;\nINSERT INTO t VALUES ('1');\nROLLBACK TO s;\nINSERT INTO t VALUES ('2');\n",
        holds("2"),
    ),
    "no such savepoint": pg(
        f"{T}ROLLBACK TO SAVEPOINT s;\n",
        Fails(':2:23: savepoint "s" does not exist [3B001]'),
        Fails(":2:1: no such savepoint: s [SQLITE_ERROR]"),
    ),
    "a prepared transaction that is not there": pg(
        f"{T}COMMIT PREPARED 'x';\n",
        Fails(
            ':2:18: prepared transaction with identifier "x" does not exist [42704]',
            more="1 of 2 statements is done, and stays so: no transaction, since COMMIT PREPARED. The next"
            f" run goes on with statement 2; `fluxmig run --restart {NAME}` begins with statement 1.",
            left=frozenset({"t"}),
        ),
    ),
}


def psql(line: str, remedy: str, *, column: int = 1) -> Row:
    command = re.findall(r"\\\S+", line)[0]
    return pg(f"{T}{line}\n", Refused(f":2:{column}: {command} is a command of psql, not SQL", remedy))


SCREEN = "remove the line: it is for psql's screen, and changes nothing in the database"
PSQL: dict[str, Row] = {
    "\\i": psql("\\i x.sql", "put the SQL of that file here, or into a migration of its own"),
    "\\connect": psql(
        "\\connect other", "name the database with --database-url; one migration runs on one database"
    ),
    "\\set": psql("\\set x 1", "write the value where it is used"),
    "\\echo": psql("\\echo it's", "make it a comment, or DO $$ BEGIN RAISE NOTICE '...'; END $$"),
    "\\gexec": psql("SELECT 'SELECT 1' \\gexec", "write DO $$ BEGIN EXECUTE ...; END $$", column=19),
    "\\g": psql("SELECT 1\\g", "end the statement with a semicolon", column=9),
    "\\q": psql("\\q", "remove the line, and what stands behind it if it shall not run"),
    "\\copy": psql(
        "\\copy t from 'x.csv'", "write COPY ... FROM stdin with the rows behind it, up to a line `\\.`"
    ),
    "\\!": psql("\\! ls", "do it where fluxmig is called"),
    "\\if": psql("\\if true", "write DO $$ BEGIN IF ... THEN ... END IF; END $$"),
    "\\d": psql("\\d", SCREEN),
    "\\nosuch": psql("\\nosuch", SCREEN),
    "\\restricted": psql("\\restricted a", SCREEN),
    "\\.": psql("\\.", "remove the line: there is no COPY ... FROM stdin before it"),
    "two backslashes": pg(
        f"{T}\\\\\n", Refused(":2:1: a backslash outside of quotes is no SQL", "remove it, or quote it")
    ),
    "\\restrict": pg(f"\\restrict x\n{T}\\unrestrict x\n", T_IS_THERE),
}

MOVE = "put it on a line of its own behind the rows"
AS_TEXT = "let the server read them from a file of its own, or write them as text"
NO_END = Refused(
    ":2:1: the rows of this COPY have no end", "end them with a line `\\.`; is the file cut off?"
)
COPY: dict[str, Row] = {
    "rows": pg(
        f"{T}COPY t FROM stdin;\nx\\ty\n\\N\n\\\\N\n\\.\nINSERT INTO t VALUES ('z');\n",
        holds("x\ty", None, "\\N", "z"),
        Fails(':2:1: near "COPY": syntax error [SQLITE_ERROR]', (2, 3)),
    ),
    "rows that look like SQL": pg(
        f"{T}COPY t FROM stdin;\nDROP TABLE t;\n'; --\n/*\n\\.\n", holds("DROP TABLE t;", "'; --", "/*")
    ),
    "CSV over lines": pg(f'{T}COPY t FROM stdin CSV;\n"a\nb;"\n\\.\n', holds("a\nb;")),
    "no end": pg(f"{T}COPY t FROM stdin;\n1\n2\n", NO_END),
    "an end with a blank": pg(f"{T}COPY t FROM stdin;\n1\n\\. \n", NO_END),
    "two ends": pg(
        f"{T}COPY t FROM stdin;\n1\n\\.\n\\.\n",
        Refused(
            ":5:1: \\. is a command of psql, not SQL",
            "remove the line: there is no COPY ... FROM stdin before it",
        ),
    ),
    "a row of the wrong type": pg(
        f"{T}CREATE TABLE n (a int, b int);\nCOPY n FROM stdin;\n1\t2\n3\tx\n\\.\n",
        Fails(
            ':5:1: invalid input syntax for type integer: "x" [22P02]',
            (3, 3),
            'CONTEXT: COPY n, line 2, column b: "x"',
        ),
    ),
    "a row too short": pg(
        f"{T}CREATE TABLE n (a int, b int);\nCOPY n FROM stdin;\n1\t2\n3\n\\.\n",
        Fails(':5:1: missing data for column "b" [22P04]', (3, 3), 'CONTEXT: COPY n, line 2: "3"'),
    ),
    "a row too long": pg(
        f"{T}COPY t FROM stdin;\n1\n3\t4\n\\.\n",
        Fails(":4:1: extra data after last expected column [22P04]", more='CONTEXT: COPY t, line 2: "3\t4"'),
    ),
    "a byte that is no character": pg(
        f"{T}COPY t FROM stdin;\nok\n\\xff\n\\.\n",
        Fails(
            ':4:1: invalid byte sequence for encoding "UTF8": 0xff [22021]',
            more='CONTEXT: COPY t, line 2: "\\xff"',
        ),
    ),
    "no such table": pg(
        f"{T}COPY u FROM stdin;\n1\n\\.\n", Fails(':2:6: relation "u" does not exist [42P01]')
    ),
    "to the client": pg(
        f"{T}COPY t TO STDOUT;\n",
        Refused(
            ":2:1: COPY ... TO STDOUT sends rows to the client, and there is none to read them",
            "remove the statement",
        ),
    ),
    "binary": pg(
        f"{T}COPY t FROM stdin (FORMAT 'binary');\nx\n\\.\n",
        Refused(":2:1: binary rows cannot stand in a script", AS_TEXT),
    ),
    "a statement on its line": pg(
        f"{T}COPY t FROM stdin; SELECT 1;\n1\n\\.\n",
        Refused(":2:20: a statement stands between COPY and its rows", MOVE),
    ),
    "a comment that begins on its line": pg(
        f"{T}COPY t FROM stdin; /*\n*/\n1\n\\.\n",
        Refused(":2:20: a comment stands between COPY and its rows", MOVE),
    ),
    "without a transaction": pg(
        f"{NO}{T}CREATE TABLE n (a int);\nCOPY n FROM stdin;\n1\nx\n\\.\n",
        Fails(
            ':6:1: invalid input syntax for type integer: "x" [22P02]',
            (3, 3),
            'CONTEXT: COPY n, line 2, column a: "x"\n'
            "2 of 3 statements are done, and stay so: no transaction, since the file says so. The next run"
            f" goes on with statement 3; `fluxmig run --restart {NAME}` begins with statement 1.",
            frozenset({"t", "n"}),
        ),
    ),
}


def directive(line: str, place: str, message: str, remedy: str) -> Row:
    return both(f"{line}\n{T}", Refused(f":{place}: {message}", remedy))


MEANT = "did you mean `-- fluxmig: no-transaction`?"
KNOWN = (
    "known are transaction, no-transaction, on-duplicate=mark, on-duplicate=verify, on-duplicate=complete,"
    " on-duplicate=fail, lock-timeout=30s, statement-timeout=30s, allow=NAME"
)
DIRECTIVES: dict[str, Row] = {
    "a slip": directive("-- fluxmig: no-transactoin", "1:13", "unknown directive 'no-transactoin'", MEANT),
    "capitals": directive("-- fluxmig: NO-TRANSACTION", "1:13", "unknown directive 'NO-TRANSACTION'", MEANT),
    "a semicolon": directive(
        "-- fluxmig: no-transaction;", "1:13", "unknown directive 'no-transaction;'", MEANT
    ),
    "two words": directive("-- fluxmig: no transaction", "1:13", "unknown directive 'no transaction'", MEANT),
    "unknown": directive("-- fluxmig: timeout 5", "1:13", "unknown directive 'timeout 5'", KNOWN),
    "no word": directive("-- fluxmig:", "1:12", "unknown directive ''", KNOWN),
    "two that contradict": directive(
        f"{YES}{NO}", "2:13", "no-transaction contradicts transaction", "keep one of the two"
    ),
    "too late": both(
        f"{T}{NO}",
        Runs(
            "SELECT count(*) FROM t",
            ((0,),),
            finding=f"{NAME}: the directive in line 2 does not count: it stands behind the first statement",
        ),
    ),
    "in a string": both(f"{T}INSERT INTO t VALUES ('\n{NO}');\n", holds(f"\n{NO}")),
    "in a block comment": both(f"/*\n{NO}*/\n{T}", T_IS_THERE),
    "taken": both(f"{NO}{T}", Runs("SELECT count(*) FROM t", ((0,),), reason="the file says so")),
}

TABLE: dict[str, Row] = {
    f"{group}: {name}": row
    for group, rows in {
        "not closed": UNCLOSED,
        "encoding": ENCODINGS,
        "spaces": SPACES,
        "nothing but": NOTHING,
        "size": SIZES,
        "placeholder": PLACEHOLDERS,
        "wrong": WRONG,
        "transactions": TRANSACTIONS,
        "psql": PSQL,
        "COPY": COPY,
        "directive": DIRECTIVES,
    }.items()
    for name, row in rows.items()
}


# --- an empty database for each row -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(servers: Servers) -> Iterator[Database]:
    """One database for all rows: what any of them leaves in the session would reach the next."""
    with servers.get("postgresql-18").database() as database:
        yield database


@pytest.fixture(scope="module")
def shared_engine(shared: Database) -> Engine:
    return shared.engine(pool_size=1, max_overflow=0)


@pytest.fixture
def postgresql_engine(shared_engine: Engine) -> Iterator[Engine]:
    yield shared_engine
    if tables(shared_engine):
        ask(shared_engine, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/test.db")
    yield engine
    engine.dispose()


@pytest.fixture(params=["postgresql", "sqlite"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """An empty database, on PostgreSQL and on SQLite."""
    found: Engine = request.getfixturevalue(f"{request.param}_engine")
    return found


def ask(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with engine.begin() as connection:
        result = connection.exec_driver_sql(query)
        return [tuple(row) for row in result] if result.returns_rows else []


def tables(engine: Engine) -> set[object]:
    """What is in the database: tables; and functions and types, of which no row leaves one."""
    if engine.dialect.name == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
    else:
        query = (
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p', 'v')"
            " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            " UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace"
            " AND typtype = 'e'"
        )
    return {row[0] for row in ask(engine, query)}


def ledger(engine: Engine) -> list[tuple[object, ...]]:
    return ask(engine, "SELECT migration_name, checksum FROM schema_migrations ORDER BY id")


def log(engine: Engine) -> list[tuple[object, ...]]:
    """What the log says beside how far a file without a transaction has come."""
    return ask(
        engine,
        "SELECT event, migration_name FROM schema_migrations_log"
        " WHERE event NOT IN ('started', 'progress') ORDER BY id",
    )


def rows_of(files: Mapping[str, str | bytes]) -> list[tuple[object, ...]]:
    return [
        (name, hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest())
        for name, content in files.items()
    ]


def told(text: str, content: bytes, says: str, more: str | None, *, shown: bool = True) -> str:
    """What an error is to say: the file and the place, its lines with a caret, and what else there is."""
    place = re.match(r":(\d+):(\d+): ", says)
    lines = [f"{text}{says}"]
    if place and shown:
        line, column = int(place[1]), int(place[2])
        source = content.removeprefix(BOM.encode())
        start = sum(len(part) + 1 for part in source.split(b"\n")[: line - 1])
        offset = start + len(source[start:].decode()[: column - 1].encode())
        lines.append(excerpt(source, offset))
    return "\n".join([*lines, *([more] if more else [])])


# --- the rows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row.postgresql])
def test_on_postgresql(name: str, postgresql_engine: Engine, folder: Path, write: Write) -> None:
    outcome = TABLE[name].postgresql
    assert outcome
    check(outcome, TABLE[name].content, postgresql_engine, folder, write)


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row.sqlite])
def test_on_sqlite(name: str, sqlite_engine: Engine, folder: Path, write: Write) -> None:
    outcome = TABLE[name].sqlite
    assert outcome
    check(outcome, TABLE[name].content, sqlite_engine, folder, write)


def check(outcome: Outcome, content: bytes, engine: Engine, folder: Path, write: Write) -> None:
    write({NAME: content})
    match outcome:
        case Refused():
            check_refused(outcome, content, engine, folder)
        case Runs():
            check_runs(outcome, content, engine, folder)
        case Fails():
            check_fails(outcome, content, engine, folder)


def check_refused(outcome: Refused, content: bytes, engine: Engine, folder: Path) -> None:
    with pytest.raises(MigrationFileError) as caught:
        Migrator(engine, folder).run()
    file = str(folder / NAME)
    assert str(caught.value) == told(file, content, outcome.says, outcome.remedy, shown=outcome.shown)
    assert caught.value.exit_code == 3
    assert tables(engine) == set()


def check_runs(outcome: Runs, content: bytes, engine: Engine, folder: Path) -> None:
    report = Migrator(engine, folder).run()
    (result,) = report.results
    mode = Mode.NO_TRANSACTION if outcome.reason else Mode.TRANSACTION
    assert (result.outcome, result.mode, result.reason) == ("applied", mode, outcome.reason)
    assert [finding.message for finding in report.findings] == ([outcome.finding] if outcome.finding else [])
    assert tuple(notice.message for notice in result.notices) == outcome.notices
    if outcome.query:
        assert ask(engine, outcome.query) == list(outcome.answer)
    else:
        assert tables(engine) == TRACES
    assert ledger(engine) == rows_of({NAME: content})
    assert log(engine) == [("applied", NAME)]


def check_fails(outcome: Fails, content: bytes, engine: Engine, folder: Path) -> None:
    with pytest.raises(MigrationFailedError) as caught:
        Migrator(engine, folder).run()
    assert caught.value.exit_code == 1
    (result,) = caught.value.failures
    failure = result.failure
    assert failure
    statement = failure.statement
    assert (statement and (statement.number, failure.statements)) == outcome.of
    # The line that names the statement has its first line only, which is for render's tests.
    said = str(caught.value)
    if statement and failure.statements > 1:
        of = f"in statement {statement.number} of {failure.statements}: "
        said = re.sub(rf"\n{of}[^\n]*", "", said, count=1)
    assert said == told(str(folder / NAME), content, outcome.says, outcome.more)
    assert tables(engine) == TRACES | outcome.left
    assert ledger(engine) == []
    assert log(engine) == [("failed", NAME)]


# --- file names -------------------------------------------------------------------------------------------

TAKEN = [
    "001_o'brien.sql",
    '001_"quoted".sql',
    "001_semi;colon.sql",
    "001_a b.sql",
    " 001_a.sql",
    "001_'); DROP TABLE schema_migrations; --.sql",
    "001_back\\slash.sql",
    "001_100%s%%(x)s.sql",
    "001_:name::text.sql",
    "001_{0}${x}$1?.sql",
    "001_[red]markup[.sql",
    "001_*.sql",
    "001_-- fluxmig: no-transaction.sql",
    "001_\N{GRINNING FACE}.sql",
    "001_\N{ZERO WIDTH SPACE}.sql",
    "001_\N{RIGHT-TO-LEFT OVERRIDE}lqs.sql",
    "001_e\u0301.sql",
    "001_a.sql.sql",
    "001_a..sql",
    "001.sql",
    "_.sql",
    "a.sql",
    "-1_a.sql",
    "99999999999999999999999999_a.sql",
    "\N{ARABIC-INDIC DIGIT ONE}_a.sql",
    "a" * 251 + ".sql",
    "é" * 125 + "a.sql",
]


def test_names_that_are_taken(engine: Engine, folder: Path, write: Write) -> None:
    files = {name: f"CREATE TABLE t{number} (a int);\n" for number, name in enumerate(TAKEN)}
    write(files)
    first = Migrator(engine, folder).run(only=TAKEN[0])
    assert ([result.name for result in first.results], ledger(engine)) == ([TAKEN[0]], rows_of(files)[:1])
    report = Migrator(engine, folder).run()
    assert sorted(result.name for result in report.results) == sorted(TAKEN[1:])
    assert sorted(ledger(engine)) == sorted(rows_of(files))
    assert sorted(log(engine)) == sorted(("applied", name) for name in TAKEN)
    assert tables(engine) == {f"t{number}" for number in range(len(TAKEN))} | TRACES
    assert Migrator(engine, folder).run().results == ()


CONTROL = ("the name holds a control character", "rename the file")
SOMETHING = "ends in something like .sql, but not in .sql"


@pytest.mark.parametrize(
    ("name", "shown", "message", "remedy"),
    [
        ("001_a\nb.sql", "001_a\\nb.sql", *CONTROL),
        ("001_a\t.sql", "001_a\\t.sql", *CONTROL),
        ("001_a\x1b[31m.sql", "001_a\\x1b[31m.sql", *CONTROL),
        ("001_a\x7f.sql", "001_a\\x7f.sql", *CONTROL),
        ("001_a\x85.sql", "001_a\\x85.sql", *CONTROL),
        ("001_a.sql\n", "001_a.sql\\n", *CONTROL),
        (os.fsdecode(b"001_\xff.sql"), "001_\\udcff.sql", "the name is not UTF-8", "rename the file"),
        ("001_a.SQL", "001_a.SQL", SOMETHING, "rename it to 001_a.sql"),
        ("001_a.Sql", "001_a.Sql", SOMETHING, "rename it to 001_a.sql"),
        ("001_a.sql ", "001_a.sql ", SOMETHING, "rename it to 001_a.sql"),
        ("001_a.sql.", "001_a.sql.", SOMETHING, "rename it to 001_a.sql"),
        ("001_a.SQL . ", "001_a.SQL . ", SOMETHING, "rename it to 001_a.sql"),
        ("001_a.sql\N{NO-BREAK SPACE}", "001_a.sql\\xa0", SOMETHING, "rename it to 001_a.sql"),
    ],
)
def test_names_that_are_refused(
    name: str, shown: str, message: str, remedy: str, engine: Engine, folder: Path, write: Write
) -> None:
    write({name: T, "002_b.sql": T})
    with pytest.raises(MigrationFileError) as caught:
        Migrator(engine, folder).run()
    assert str(caught.value) == f"{folder}/{shown}: {message}\n{remedy}"
    assert caught.value.exit_code == 3
    assert tables(engine) == set()


LEFT_ALONE = [".001_a.sql", "._001_a.sql", ".sql", "sql", "001_a", "001_a.sq", "001_a.sqlx", "001_a.sql~"]
LEFT_ALONE += ["001_a.sql.bak", "001_a.sql.orig", "#001_a.sql#", "001_a.txt", "README.md", "001_a.sql.swp"]


def test_names_that_are_left_alone(engine: Engine, folder: Path, write: Write) -> None:
    write(dict.fromkeys(LEFT_ALONE, "this is no migration"))
    report = Migrator(engine, folder).run()
    assert (report.results, report.pending, report.findings) == ((), (), ())
    assert tables(engine) == set()


def test_a_name_longer_than_the_ledger_holds(engine: Engine, folder: Path, write: Write) -> None:
    """256 characters: no file system here takes such a file, but a person may ask for one."""
    name = "a" * 252 + ".sql"
    with pytest.raises(OSError, match="File name too long"):
        write({name: T})
    write({NAME: T})
    with pytest.raises(ConfigError) as caught:
        Migrator(engine, folder).run(only=name)
    assert (caught.value.exit_code, name in caught.value.message) == (2, True)
    assert tables(engine) == set()


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["001_a.sql", "001_b.sql", "2_c.sql", "010_d.sql"], id="a number twice"),
        pytest.param(["001_c.sql", "01_b.sql", "1_a.sql"], id="a number in three spellings"),
        pytest.param(["001_a.sql", "001_A.sql"], id="equal but for case"),
        pytest.param(["001_e\u0301.sql", "001_\u00e9.sql"], id="equal but for their encoding"),
        pytest.param(["999_z.sql", "_a.sql", "b.sql"], id="without a number, last"),
        pytest.param(["001_a.sql", "001_a.sql.sql"], id="one begins like the other"),
    ],
)
def test_names_that_are_close(names: list[str], engine: Engine, folder: Path, write: Write) -> None:
    files = {name: f"CREATE TABLE t{number} (a int);\n" for number, name in enumerate(names)}
    write(dict(reversed(files.items())))
    Migrator(engine, folder).run()
    assert ledger(engine) == rows_of(files)
    assert tables(engine) == {f"t{number}" for number in range(len(names))} | TRACES


def test_a_down_script_without_its_migration(engine: Engine, folder: Path, write: Write) -> None:
    write({"001_a.down.sql": "DROP TABLE t;\n"})
    report = Migrator(engine, folder).run()
    assert [(finding.kind, finding.message, finding.remedy) for finding in report.findings] == [
        ("orphan", "001_a.down.sql reverses 001_a.sql, which is not there", "rename it, or add 001_a.sql")
    ]
    assert (report.results, tables(engine)) == ((), set())


# --- what is no file --------------------------------------------------------------------------------------


def unreadable(path: Path) -> None:
    memory = Path("/proc/self/mem")  # root reads everything else
    if not memory.exists():
        pytest.skip("there is no file here that root cannot read")
    path.symlink_to(memory)


SPECIAL: dict[str, tuple[Callable[[Path], object], str, str | None]] = {
    "a folder": (
        lambda path: path.mkdir(),
        "is a folder, not a file",
        "rename the folder so that it does not end in .sql",
    ),
    "a link to a folder": (
        lambda path: path.symlink_to("."),
        "is a folder, not a file",
        "rename the folder so that it does not end in .sql",
    ),
    "a link to nothing": (
        lambda path: path.symlink_to("nowhere.sql"),
        "is a link to nothing",
        "mend the link or remove it",
    ),
    "a link to itself": (
        lambda path: path.symlink_to(path.name),
        "cannot be read: Too many levels of symbolic links",
        None,
    ),
    "a pipe": (os.mkfifo, "is not a regular file", "put a regular file in its place"),
    "a device": (
        lambda path: path.symlink_to("/dev/zero"),
        "is not a regular file",
        "put a regular file in its place",
    ),
    "what cannot be read": (unreadable, "cannot be read: Input/output error", None),
}


@pytest.mark.parametrize(("make", "message", "remedy"), SPECIAL.values(), ids=SPECIAL)
def test_what_is_no_file(
    make: Callable[[Path], object],
    message: str,
    remedy: str | None,
    engine: Engine,
    folder: Path,
    write: Write,
) -> None:
    write({"002_b.sql": T})
    make(folder / NAME)
    with pytest.raises(MigrationFileError) as caught:
        Migrator(engine, folder).run()
    assert str(caught.value) == f"{folder}/{NAME}: {message}" + (f"\n{remedy}" if remedy else "")
    assert caught.value.exit_code == 3
    assert tables(engine) == set()


def test_a_link_to_a_file_is_that_file(engine: Engine, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.txt").write_text(T)
    (folder / NAME).symlink_to("../elsewhere.txt")
    Migrator(engine, folder).run()
    assert ledger(engine) == rows_of({NAME: T})
    assert tables(engine) == {"t"} | TRACES


def test_all_that_is_wrong_is_told_at_once(engine: Engine, folder: Path, write: Write) -> None:
    write({"001_a.sql": T, "010_b.sql": b"\xff", "002_c.sql": b"a\0", "003_d.SQL": T})
    with pytest.raises(MigrationFileError) as caught:
        Migrator(engine, folder).run()
    assert str(caught.value) == (
        f"{folder}/002_c.sql:1:2: holds a NUL byte\n{BINARY}\n"
        f"{folder}/003_d.SQL: {SOMETHING}\nrename it to 003_d.sql\n"
        f"{folder}/010_b.sql:1:1: is not UTF-8: byte 0xff\n{AS_UTF8}"
    )
    assert tables(engine) == set()


@pytest.mark.parametrize(
    ("make", "message", "remedy"),
    [
        pytest.param(
            lambda _: None,
            "there is no folder {}",
            "`fluxmig create NAME` makes it, --migrations FOLDER or FLUXMIG_MIGRATIONS names another",
            id="no folder",
        ),
        pytest.param(
            lambda path: path.write_text(T), "cannot read the folder {}: Not a directory", None, id="a file"
        ),
        pytest.param(
            lambda path: path.symlink_to(path.name),
            "cannot read the folder {}: Too many levels of symbolic links",
            None,
            id="a link to itself",
        ),
    ],
)
def test_what_is_no_folder(
    make: Callable[[Path], object], message: str, remedy: str | None, engine: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "nowhere"
    make(path)
    with pytest.raises(FluxmigError) as caught:
        Migrator(engine, path).run()
    assert isinstance(caught.value, ConfigError)
    assert (caught.value.message, caught.value.remedy) == (message.format(path), remedy)
    assert caught.value.exit_code == 2
    assert tables(engine) == set()
