"""What the driver receives is the file: through `text()`, SQLAlchemy's compiler, and the driver's own rules.

SQLite runs here for real. For the other two, SQLAlchemy gets a connection that only keeps what it is given,
and what the driver would make of that is done by the driver's code (PyMySQL) or by its documented rule
(psycopg, "Passing parameters to SQL queries": with parameters given, `%%` stands for `%`, and any other `%`
is a placeholder).
"""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from fluxmig.dialects.base import _MISREAD, Dialect, escape
from fluxmig.dialects.postgresql import PostgreSQL
from fluxmig.dialects.sqlite import SQLite

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy
    from sqlalchemy import Connection, Engine

# Whatever a layer on the way has been known to read as something else.
COLONS = [
    ":",
    "::",
    ":::",
    ":name",
    "::int",
    ":1",
    ":é",
    "\\:",
    "\\\\:",
    "\\:name",
    "\\",
    "\\\\",
    "12:30:00",
    "a:=b",
]
PERCENTS = ["%", "%%", "%%%", "%s", "%%s", "%d", "%(x)s", "%%(x)s", "%(a b)s", "%(", ")s", "LIKE '%x%'"]
OTHERS = ["?", "??", "?1", "?|", "$1", "$$", "@x", "{", "}", "{x}", "{0}", "[x]", "<x>", "#", "&"]
QUOTES = ["'", "''", '"', "`", "--", "/*", "*/", ";", "E'\\''"]
SPACES = [" ", "\n", "\r\n", "\r", "\t", "\f", "\N{NO-BREAK SPACE}", "\N{LINE SEPARATOR}", "\ufeff"]
LETTERS = ["a", "_", "1", "é", "e\u0301", "漢", "\N{GRINNING FACE}", '{"a": "b:c"}', "::jsonb", "POSTCOMPILE"]
SOUP = st.lists(
    st.one_of(
        st.sampled_from([*COLONS, *PERCENTS, *OTHERS, *QUOTES, *SPACES, *LETTERS]),
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
    ),
    max_size=25,
).map("".join)

thorough = settings(max_examples=200)


class Cursor:
    """A cursor that keeps what it is given, and has nothing to say."""

    description = None
    rowcount = -1
    lastrowid = 0
    arraysize = 1

    def __init__(self, given: list[tuple[Any, ...]]) -> None:
        self._given = given

    def execute(self, *arguments: object) -> None:
        self._given.append(arguments)

    def close(self) -> None:
        pass

    def _check_results(self, results: object) -> None:
        """Where fluxmig's own cursor for psycopg hooks in."""


class Driver:
    """A connection of a driver, without a server."""

    autocommit = False

    def __init__(self) -> None:
        self.given: list[tuple[Any, ...]] = []
        self.cursor_factory = Cursor

    def cursor(self, *_: object, **__: object) -> Cursor:
        return self.cursor_factory(self.given)

    def commit(self) -> None:
        pass

    rollback = close = commit


def connect(url: str) -> Iterator[tuple[Connection, Driver]]:
    driver = Driver()
    engine: Engine = create_engine(url, creator=lambda: driver, _initialize=False)
    engine.dialect.on_connect = lambda: None  # type: ignore[method-assign]
    with engine.connect() as connection:
        yield connection, driver
    engine.dispose()


@pytest.fixture(scope="module")
def psycopg() -> Iterator[tuple[Connection, Driver]]:
    yield from connect("postgresql+psycopg://")


@pytest.fixture(scope="module")
def pymysql() -> Iterator[tuple[Connection, Driver]]:
    pytest.importorskip("pymysql", reason="PyMySQL is not installed, so what it receives is not tested")
    yield from connect("mysql+pymysql://")


@pytest.fixture(scope="module")
def real_sqlite() -> Iterator[tuple[Connection, sqlite3.Connection]]:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute("CREATE TABLE seen (text TEXT)")
        yield connection, driver
    engine.dispose()


def sent(dialect: Dialect, to: tuple[Connection, Driver], script: str) -> tuple[Any, ...]:
    """What the driver's `execute` is given when a script is sent."""
    connection, driver = to
    driver.given.clear()
    dialect.send(connection, script)
    (arguments,) = driver.given
    return arguments


def as_psycopg_reads(statement: str, parameters: object = None) -> str:
    if parameters is None:
        return statement
    assert not parameters
    assert "%" not in statement.replace("%%", "")  # it would be a placeholder, or refused
    return statement.replace("%%", "%")


def as_pymysql_reads(statement: str, parameters: object = None) -> str:
    from pymysql.connections import Connection as Unconnected

    assert not parameters
    return str(Unconnected(defer_connect=True).cursor().mogrify(statement, parameters))


# --- the properties ---------------------------------------------------------------------------------------


@given(SOUP)
@thorough
def test_psycopg_receives_the_file(psycopg: tuple[Connection, Driver], script: str) -> None:
    assert as_psycopg_reads(*sent(PostgreSQL(), psycopg, script)) == script


@given(SOUP)
@thorough
def test_pymysql_receives_the_file(pymysql: tuple[Connection, Driver], script: str) -> None:
    assert as_pymysql_reads(*sent(Dialect(), pymysql, script)) == script


@given(SOUP, SOUP)
@thorough
def test_sqlite_stores_the_text(
    real_sqlite: tuple[Connection, sqlite3.Connection], literal: str, comment: str
) -> None:
    connection, driver = real_sqlite
    quoted, remark = literal.replace("'", "''"), comment.replace("*/", "* /").rstrip("*")
    script = f"INSERT INTO seen /*{remark}*/ VALUES ('{quoted}')"
    received: list[str] = []
    driver.set_trace_callback(received.append)
    SQLite().send(connection, script)
    driver.set_trace_callback(None)
    assert [statement for statement in received if not statement.startswith("BEGIN")] == [script]
    assert driver.execute("SELECT text FROM seen").fetchall() == [(literal,)]
    driver.execute("DELETE FROM seen")


@pytest.mark.parametrize(
    ("url", "doubles"),
    [("postgresql+psycopg://", True), ("mysql+pymysql://", True), ("sqlite://", False)],
)
@given(script=SOUP)
@example(script=r"SELECT ':a', '\:b', '\\:c', '::d', 12:30, '%', '%%', '%(e)s', '%s', ?, $1, {f}")
@thorough
def test_the_compiler_gives_the_script_back(url: str, *, doubles: bool, script: str) -> None:
    assume(doubles or not _MISREAD.search(script))  # such a script is not compiled
    compiled = text(escape(script)).compile(dialect=dialect_of(url))
    assert str(compiled) == (script.replace("%", "%%") if doubles else script)
    assert compiled.params == {}


@cache
def dialect_of(url: str) -> sqlalchemy.Dialect:
    """SQLAlchemy's dialect as an engine has it, with its driver."""
    if "pymysql" in url:
        pytest.importorskip("pymysql", reason="PyMySQL is not installed, so its dialect is not tested")
    return create_engine(url).dialect


# --- what such files hold, written out --------------------------------------------------------------------

SCRIPTS = {
    "casts": "SELECT '1'::int, '{}'::jsonb, a::text::varchar(10), '::'::text;",
    "JSON": """INSERT INTO a VALUES ('{"time": "12:30:00", "a":":b", "c": [":d"], "e":null}');""",
    "times": "SELECT '2025-03-09 17:04:05+00:00', TIME '12:30:00.5';",
    "assignment": "DO $$ DECLARE a int := 1; b text:='x'; BEGIN a:=a+1; END $$;",
    "slices": "SELECT a[1:2], a[:2], a[1:], a[:], a[b:c];",
    "LIKE": "SELECT * FROM a WHERE b LIKE '%x%' OR b LIKE '%%' OR b LIKE '100\\%';",
    "RAISE": "DO $$ BEGIN RAISE NOTICE '% and %%: %', 1, 2; END $$;",
    "format": "SELECT format('%I.%L %s %1$s', 'a', 'b'), 10 % 3, 10%3;",
    "operators of JSON": "SELECT a ? 'b', a ?| array['c'], a @? '$.d', a #>> '{e,f}';",
    "named parameters": "SELECT ':name', :name, \":name\", @name, $name, ?;",
    "Python's": "INSERT INTO t VALUES ('%(name)s', '%s', '{name}', '{{}}', '${name}');",
    "backslashes": r"SELECT E'\\:a\:', '\', 'C:\x:\y', '\\\:', E'\x3a';",
    "positional": "PREPARE a AS SELECT $1, $2; EXECUTE a(1, 2);",
    "a URL": "SELECT 'postgresql://ada:secret@host:5432/db?a=b%20c&d=:e';",
    "not ASCII": "SELECT 'é:漢::\N{GRINNING FACE}:ü', 'ñ%ß';\r\n-- ключ:значение\n",
    "nothing": "",
    "only a colon": ":",
    "only a percent sign": "%",
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_scripts_to_psycopg(psycopg: tuple[Connection, Driver], script: str) -> None:
    assert as_psycopg_reads(*sent(PostgreSQL(), psycopg, script)) == script


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_scripts_to_pymysql(pymysql: tuple[Connection, Driver], script: str) -> None:
    assert as_pymysql_reads(*sent(Dialect(), pymysql, script)) == script


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_scripts_to_sqlite(real_sqlite: tuple[Connection, sqlite3.Connection], script: str) -> None:
    connection, driver = real_sqlite
    quoted = script.replace("'", "''")
    SQLite().send(connection, f"INSERT INTO seen VALUES ('{quoted}')")
    assert driver.execute("SELECT text FROM seen").fetchall() == [(script,)]
    driver.execute("DELETE FROM seen")


# --- SQLAlchemy's own marks --------------------------------------------------------------------------------

POSTCOMPILE = "SELECT '__[POSTCOMPILE_x]'"


def test_a_marker_of_sqlalchemy_to_psycopg(psycopg: tuple[Connection, Driver]) -> None:
    assert as_psycopg_reads(*sent(PostgreSQL(), psycopg, POSTCOMPILE)) == POSTCOMPILE


def test_a_marker_of_sqlalchemy_to_pymysql(pymysql: tuple[Connection, Driver]) -> None:
    assert as_pymysql_reads(*sent(Dialect(), pymysql, POSTCOMPILE)) == POSTCOMPILE


def test_a_marker_of_sqlalchemy_to_sqlite(real_sqlite: tuple[Connection, sqlite3.Connection]) -> None:
    SQLite().send(real_sqlite[0], POSTCOMPILE)
