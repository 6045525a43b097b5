"""The splitter against psql itself: what psql sends of a file, and the rows that it reads from it.

`psql -L` logs each message that it sends, as it stands in its buffer: from the first token to the semicolon.
Most of the files are no valid SQL. psql does not know, and sends them.
"""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from pglast import parser
from sqlalchemy import make_url

from fluxmig.embedded import find_binaries
from fluxmig.sql import POSTGRESQL, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fluxmig.model import Statement
    from tests.support import Database

    Psql = Callable[[bytes], list[str]]

UNIT: Final = runpy.run_path(str(Path(__file__).parents[1] / "unit" / "test_sql.py"))
LOGGED: Final = re.compile(r"^/\*{8} QUERY \*{9}/\n(.*?)\n/\*{24}/\n\n", re.DOTALL | re.MULTILINE)


def conninfo(database: Database) -> str:
    return make_url(database.url).set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
def psql(one_postgresql: Database, tmp_path: Path) -> Psql:
    """Runs a file with psql, and returns what it sent."""
    binaries = find_binaries()
    program = shutil.which("psql", path=binaries)
    if program is None:
        pytest.skip(f"no psql in {binaries}")
    file, log = tmp_path / "file.sql", tmp_path / "log"

    def run(content: bytes) -> list[str]:
        file.write_bytes(content)
        log.unlink(missing_ok=True)
        subprocess.run(
            [program, "-X", "-q", "-f", file, "-L", log, conninfo(one_postgresql)],
            env={**os.environ, "PGCLIENTENCODING": "UTF8", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=60,
        )
        return LOGGED.findall(log.read_bytes().decode())

    return run


# --- statements of any kind -------------------------------------------------------------------------------

# Where psql is not followed. It reads line by line and forgets at each line's end that an E'...' may go on,
# which the server does not; and every BEGIN, CASE and END in a function opens or closes for it, also a name.
# The server refuses these pieces; two statements in one message it takes, if they are valid.
NOT_FOLLOWED: Final = {
    "E string continues on the next line": ["E'a'\n'b\\';", "c';d"],
    "E string continues behind a comment": ["E'a' -- x'\n 'b\\';", "c';d"],
    "E string continues behind two comments": ["E'a'--x\n--y\n'\\';", "c';d"],
    "E string continues twice": ["E'a'\n'b'\n'c\\';", "';d"],
    "E string continues behind an empty line": ["E'a'\n'b\\';", "c';d"],
    "E string continues behind a windows line end": ["E'a'\r\n'b\\';", "c';d"],
    "E string continues behind a comment's own line": ["E'a'\n--'\n'b\\';", "c';d"],
    "atomic body with END as a label": [
        "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1 AS end;",
        "c;",
        "END;",
        "b",
    ],
    "atomic body with END as a column": [
        "CREATE FUNCTION f() BEGIN ATOMIC SELECT t.end;",
        "t.case;",
        "END;",
        "b",
    ],
    "a function named begin": ["CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'x';b"],
}


def bare(message: str) -> str:
    """A message without the comments around it and the semicolon behind it."""
    tokens = [token for token in parser.scan(message) if token.name not in {"SQL_COMMENT", "C_COMMENT"}]
    if tokens and tokens[-1].name == "ASCII_59":
        tokens.pop()
    return message[tokens[0].start : tokens[-1].end + 1] if tokens else ""


def test_psql_sends_the_same_statements(psql: Psql) -> None:
    differences: dict[str, tuple[list[str], list[str]]] = {}
    for case, sql, _ in UNIT["COMMON"] + UNIT["POSTGRESQL_CASES"]:
        statements = [statement.sql for statement in split(sql.encode(), POSTGRESQL)]
        sent = psql(sql.encode())
        if case in NOT_FOLLOWED:
            assert sent == NOT_FOLLOWED[case], case
            assert statements != sent, case
        elif [text for text in map(bare, sent) if text] != [bare(text) for text in statements]:
            differences[case] = sent, statements
    assert differences == {}


# --- rows, lines for psql and settings --------------------------------------------------------------------

COMMENT: Final = "/* x; /* * */ y */"  # psql sends block comments before a statement with it
STRINGS: Final = "SELECT 'a\\';b/*'*/c;SELECT 2"
COLUMNS: Final = ", ".join(f"c{number}" for number in range(1600))

FILES: Final = {
    "rows": "COPY t FROM stdin;\n1\ta\n2\tb\n\\.\nSELECT 1;\n",
    "NULL and escapes": "COPY t (a, b) FROM stdin;\n\\N\t\\\\N\n\\\\.\t\\n\\x41\\056\n\\.\nSELECT 1",
    "quotes and semicolons": "COPY t FROM stdin;\nit's;\t\"\n$$\t/* --\n(;\tSELECT 1;\n\\.\nSELECT 1;",
    "lines that look like the end": (
        "COPY t (a) FROM stdin CSV;\n \\.\n\\.x\n\\. \nx\\.\n\\\\.\n\\.\nSELECT 1"
    ),
    "lines for psql": "COPY t (a) FROM stdin CSV;\n\\echo\n\\i x\n\\restrict\n;\n\\.\nSELECT 1",
    "CSV": 'COPY t FROM stdin (FORMAT csv);\n"a\n;\n""b""","c\n\n"\n\\.\nSELECT 1;',
    "CSV that psql cuts in its quotes": 'COPY t (a) FROM stdin CSV;\n"a\n\\.\nSELECT 1;',
    "CSV with a header": "COPY t (a) FROM stdin CSV HEADER;\na\n1\n\\.\n",
    "windows": "COPY t FROM stdin;\r\n1\ta\r\n2\tb\r\n\\.\r\nSELECT 1;\r\n",
    "windows CSV": 'COPY t FROM stdin CSV;\r\n1,"a\r\nb"\r\n\\.\r\nSELECT 1;\r\n',
    "no rows": "COPY t FROM stdin;\n\\.\nSELECT 1;",
    "an empty row": "COPY t (a) FROM stdin;\n\n\\.\nSELECT 1;",
    "the end of the file": "SELECT 1; COPY t (a) FROM stdin;\n1\n\\.",
    "no rows and the end of the file": "COPY t FROM stdin;\n\\.",
    "behind another": "SELECT 1; COPY t (a) FROM stdin;\n1\n\\.\nSELECT 2; SELECT 3",
    "a comment behind": "COPY t (a) FROM stdin; -- x; y\n1\n\\.\nSELECT 1;",
    "a block comment behind": f"COPY t (a) FROM stdin; {COMMENT}\n1\n\\.\nSELECT 1;",
    "over lines": "COPY t\n(a)\nFROM -- x;\nstdin\n;\n1\n\\.\nSELECT 1;",
    "two": "COPY t (a) FROM stdin;\n1\n\\.\n\n\nCOPY t (b) FROM stdin;\n2\n\\.\n",
    "case": "copy T (A) from StdIn;\n1\n\\.\nSELECT 1;",
    "FROM STDOUT": "COPY t (a) FROM STDOUT;\n1\n\\.\nSELECT 1;",
    "TO STDOUT": (
        "COPY t TO STDOUT;\nSELECT 1;\nCOPY (SELECT 'FROM stdin') TO STDOUT;\nCOPY t TO STDIN; SELECT 2"
    ),
    "a query from a table named stdin": "COPY (SELECT a FROM stdin) TO STDOUT;\nSELECT 1;",
    "a table named stdin": "COPY stdin FROM stdin;\n1\n\\.\nSELECT 1;",
    "a file named stdin": "COPY t FROM 'stdin';\nSELECT 1;",
    "a quoted stdin": 'COPY t FROM "stdin";\nSELECT 1;',
    "1600 columns": f"COPY wide ({COLUMNS}) FROM stdin;\n" + "\t".join("1" * 1600) + "\n\\.\nSELECT 1;",
    "the syntax before 9.0": "COPY t FROM stdin WITH DELIMITER '|' NULL AS 'x';\n1|x\n\\.\nSELECT 1;",
    "the syntax before 7.3": "COPY t FROM stdin USING DELIMITERS '|';\n1|x\n\\.\nSELECT 1;",
    "a condition": "COPY t FROM stdin WHERE a <> 'binary';\nbinary\t1\nx\t2\n\\.\nSELECT 1;",
    "the word binary": "COPY t FROM stdin (NULL 'binary'); -- binary\nbinary\t1\n\\.\nSELECT 1;",
    "not ASCII": "COPY t FROM stdin;\né\t\N{GRINNING FACE}\N{LINE SEPARATOR}\n\\.\nSELECT 'ü';",
    "in a body": "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC COPY t FROM stdin; END;\nSELECT 1;",
    "in dollar quotes": "DO $$ BEGIN COPY t FROM stdin;\n END $$;\nSELECT 1;",
    "in a transaction": "BEGIN; COPY t (a) FROM stdin;\n1\n\\.\nCOMMIT;SELECT 1",
    "restrict": "\\restrict x\nSELECT 1;\nCOPY t (a) FROM stdin;\n1\n\\.\n\\unrestrict x\nSELECT 2",
    "restrict on a line": "SELECT 1; \\restrict 'x;y'\r\nSELECT 2;\n\\unrestrict 'x;y'",
    "strings with escapes": f"SET standard_conforming_strings = off;\n{STRINGS}",
    "strings with escapes, to": f"set session standard_conforming_strings to 'f' ;\n{STRINGS}",
    "strings with escapes, quoted": f'SET "standard_conforming_strings" = 0;\n{STRINGS}',
    "strings without": f"SET standard_conforming_strings = on;\n{STRINGS}",
    "strings without again": (
        f"SET standard_conforming_strings = off;\nRESET standard_conforming_strings;\n{STRINGS}"
    ),
    "strings without, RESET ALL": f"SET standard_conforming_strings = off;\nRESET ALL;\n{STRINGS}",
    "strings without, DISCARD": f"SET standard_conforming_strings = off;\nDISCARD ALL;\n{STRINGS}",
    "strings without, DEFAULT": (
        f"SET standard_conforming_strings = off;\nSET standard_conforming_strings TO DEFAULT;\n{STRINGS}"
    ),
    "what is no value": f"SET standard_conforming_strings = o;\n{STRINGS}",
}
# psql asks for a line's end behind the last line; and it ends rows inside the quotes of CSV, as we do.
REFUSED_BY_SERVER: Final = {"the end of the file", "CSV that psql cuts in its quotes"}


def kept(connection: psycopg.Connection) -> list[list[tuple[object, ...]]]:
    """What is in the tables."""
    return [
        connection.execute(f"SELECT * FROM {table} ORDER BY ctid").fetchall()
        for table in ("t", "stdin", "wide")
    ]


@pytest.fixture
def connection(one_postgresql: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(conninfo(one_postgresql), autocommit=True) as connection:
        connection.execute("CREATE TABLE t (a text, b text); CREATE TABLE stdin (a text)")
        connection.execute(f"CREATE TABLE wide ({COLUMNS.replace(',', ' int2,')} int2)")
        yield connection


def holds_rows(statement: Statement) -> bool:
    return statement.data is not None and statement.data[0] < statement.data[1]


def test_psql_sends_the_same_statements_and_rows(psql: Psql, connection: psycopg.Connection) -> None:
    for case, text in FILES.items():
        source = text.encode()
        sent = [message.removeprefix(COMMENT).removesuffix(";").strip() for message in psql(source)]
        by_psql = kept(connection)
        connection.execute("TRUNCATE t, stdin, wide")
        statements = split(source, POSTGRESQL)
        assert [message for message in sent if message] == [statement.sql for statement in statements], case
        for statement in statements:
            if statement.data and case not in REFUSED_BY_SERVER:
                with connection.cursor().copy(statement.sql.encode()) as copy:
                    copy.write(source[slice(*statement.data)])
        assert kept(connection) == by_psql, case
        assert any(by_psql) is (any(map(holds_rows, statements)) and case not in REFUSED_BY_SERVER), case
        connection.execute("TRUNCATE t, stdin, wide")
