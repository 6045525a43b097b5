"""Migrations that show how often each of their parts was run, and what a database that ran them all holds."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from tests.support import Database

FIRST = """
CREATE TABLE done (file integer NOT NULL, part integer NOT NULL);
CREATE TABLE t (id integer PRIMARY KEY, word text NOT NULL);
INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, 500) AS n;
INSERT INTO done VALUES (1, 1);
"""
TRANSACTIONAL = """
CREATE TABLE t_{0} (id integer PRIMARY KEY, t integer REFERENCES t (id));
INSERT INTO done VALUES ({0}, 1);
CREATE INDEX i_{0} ON t_{0} (t);
ALTER TABLE t ADD COLUMN c_{0} integer;
CREATE FUNCTION f_{0}() RETURNS integer LANGUAGE sql AS 'SELECT {0}; SELECT {0}';
INSERT INTO done VALUES ({0}, 2);
"""
CONCURRENT = "CREATE INDEX CONCURRENTLY i_{0} ON t (word, id);\n"
MIXED = """
INSERT INTO done VALUES ({0}, 1);
CREATE UNIQUE INDEX CONCURRENTLY i_{0} ON t (word, id);
BEGIN;
CREATE TABLE t_{0} (id integer PRIMARY KEY);
INSERT INTO done VALUES ({0}, 2);
COMMIT;
INSERT INTO done VALUES ({0}, 3);
VACUUM done;
INSERT INTO done VALUES ({0}, 4);
"""
SQLITE_FIRST = """
CREATE TABLE done (file integer NOT NULL, part integer NOT NULL);
CREATE TABLE t (id integer PRIMARY KEY, word text NOT NULL);
INSERT INTO done VALUES (1, 1);
"""
SQLITE_TRANSACTIONAL = TRANSACTIONAL.replace("CREATE FUNCTION", "-- CREATE FUNCTION")
SQLITE_MIXED = MIXED.replace("VACUUM done", "VACUUM").replace(" CONCURRENTLY", "")
# What makes and alters is committed at once there; the third kind holds rows alone, and is a transaction.
MARIADB_STEPS = """
INSERT INTO done VALUES ({0}, 1);
CREATE TABLE t_{0} (id integer PRIMARY KEY, t integer);
CREATE INDEX i_{0} ON t_{0} (t);
ALTER TABLE t ADD COLUMN c_{0} integer;
CREATE TABLE gone_{0} (id integer);
DROP TABLE gone_{0};
INSERT INTO done VALUES ({0}, 2);
"""
MARIADB_ROWS = """
INSERT INTO done VALUES ({0}, 1);
INSERT INTO t (id, word) VALUES ({0}, 'word');
INSERT INTO done VALUES ({0}, 2);
"""

_INVALID = (
    "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT (indisvalid AND indisready AND indislive)"
)
_TOKEN = re.compile(r"^\\(?:un)?restrict .*\n", re.MULTILINE)


def postgresql_files(count: int, *, concurrent: bool = True) -> dict[str, str]:
    """So many migrations; every fifth one without a transaction, if `concurrent`."""
    others = {0: MIXED, 5: CONCURRENT} if concurrent else {}
    return _files(count, FIRST, lambda number: others.get(number % 10, TRANSACTIONAL))


def sqlite_files(count: int) -> dict[str, str]:
    """The same; every tenth one without a transaction."""
    return _files(count, SQLITE_FIRST, lambda number: SQLITE_TRANSACTIONAL if number % 10 else SQLITE_MIXED)


def mariadb_files(count: int) -> dict[str, str]:
    """The same, for where every file that makes something runs step by step."""
    return _files(count, SQLITE_FIRST, lambda number: MARIADB_STEPS if number % 3 else MARIADB_ROWS)


def _files(count: int, first: str, kind: Callable[[int], str]) -> dict[str, str]:
    others = {f"{number:03}_file.sql": kind(number).format(number) for number in range(2, count + 1)}
    return {"001_first.sql": first, **others}


def put(folder: Path, files: Mapping[str, str]) -> Path:
    """Writes the files into the folder, which is made."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@dataclass(frozen=True)
class Picture:
    """What a database holds. Two that are equal went through the same migrations, each of them once.

    Attributes:
        schema: What pg_dump writes, or what SQLite and MariaDB themselves say.
        rows: Of all tables but the ledger and the log, in an order of their own.
        ledger: The names in the ledger, in the order of application.
        progress: By script that ran without a transaction, the statements after which its progress was kept.
    """

    schema: str
    rows: Mapping[str, list[tuple[object, ...]]]
    ledger: list[object]
    progress: Mapping[object, list[object]]


def picture(database: Database, binaries: Path | None = None, *, failed: Collection[object] = ()) -> Picture:
    """What the database holds; checks that its log tells the same as its ledger, and that indexes are valid.

    Args:
        database: Which.
        binaries: Those of the server, where it is one.
        failed: The scripts that may have failed on the way.
    """
    with create_engine(database.url, poolclass=NullPool).connect() as connection:

        def ask(sql: str) -> list[tuple[object, ...]]:
            return [tuple(row) for row in connection.exec_driver_sql(sql)]

        tables = database.tables() - {"schema_migrations", "schema_migrations_log", "sqlite_sequence"}
        if binaries:
            assert ask(_INVALID) == []
            schema = _dump(database, binaries)
        elif connection.dialect.name == "sqlite":
            assert ask("PRAGMA integrity_check") == [("ok",)]
            schema = repr(ask("SELECT sql FROM sqlite_master ORDER BY name"))
        else:
            schema = repr([ask(f"SHOW CREATE TABLE {table}") for table in sorted(tables)])
        rows = {table: sorted(ask(f"SELECT * FROM {table}"), key=repr) for table in sorted(tables)}
        ledger = [row[0] for row in ask("SELECT migration_name FROM schema_migrations ORDER BY id")]
        log = ask("SELECT migration_name, event, statement_number FROM schema_migrations_log ORDER BY id")
        return Picture(schema, rows, ledger, _progress(log, ledger, failed))


def _dump(database: Database, binaries: Path) -> str:
    url = make_url(database.url).set(drivername="postgresql").render_as_string(hide_password=False)
    command = [str(binaries / "pg_dump"), "--schema-only", f"--dbname={url}"]
    return _TOKEN.sub("", subprocess.check_output(command, text=True, timeout=120))


def _progress(
    log: list[tuple[object, ...]], ledger: list[object], failed: Collection[object]
) -> dict[object, list[object]]:
    """Of scripts without a transaction; checks that each one was applied once, and went no further then."""
    progress: dict[object, list[object]] = {}
    applied = [name for name, event, _ in log if event == "applied"]
    assert applied == ledger
    assert len(set(applied)) == len(applied)
    ended: set[object] = set()
    for name, event, number in log:
        assert event in {"started", "progress", "applied"} | ({"failed"} if name in failed else set())
        assert name not in ended, [row for row in log if row[0] == name]
        if event == "applied":
            ended.add(name)
        elif event == "progress":
            progress.setdefault(name, []).append(number)
    return progress
