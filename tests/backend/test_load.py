"""Files of JSON into tables, on every database."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from fluxmig import (
    ConfigError,
    DatabaseConnectionError,
    DataFileError,
    DataFiles,
    LoadError,
    LoadReport,
    LockTimeoutError,
    Migrator,
    OnConflict,
    Rule,
    TableTotals,
    load,
)
from fluxmig.dialects import duckdb_loading
from tests.support import STEPWISE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Database

CONTAINERS = VERSIONS = False

USERS = """CREATE TABLE users (
  id integer NOT NULL PRIMARY KEY,
  email varchar(40) NOT NULL,
  display_name varchar(100),
  is_active boolean DEFAULT true,
  balance numeric(10, 2),
  CONSTRAINT users_email_key UNIQUE (email)
)"""
PROJECTS = """CREATE TABLE projects (
  id integer NOT NULL PRIMARY KEY,
  owner_id integer NOT NULL,
  name varchar(100) NOT NULL CHECK (name <> 'bad'),
  CONSTRAINT projects_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES users (id)
)"""
MEMBERS = """CREATE TABLE project_members (
  project_id integer NOT NULL,
  user_id integer NOT NULL,
  role varchar(20) DEFAULT 'designer',
  PRIMARY KEY (project_id, user_id),
  CONSTRAINT members_project_fkey FOREIGN KEY (project_id) REFERENCES projects (id),
  CONSTRAINT members_user_fkey FOREIGN KEY (user_id) REFERENCES users (id)
)"""
ADA = {"id": 1, "email": "ada@example.com", "displayName": "Ada Lovelace", "isActive": True, "balance": 10.25}
PAST_CONFLICTS = (
    "--on-conflict skip leaves a row that is there as it is, update gives it the record's values; the key is"
    " the primary key, or the unique constraint that --key names"
)
NOTHING = "nothing is loaded; --max-rejects N lets so many records be refused, --rejects FILE keeps them"
BOB = {"id": 2, "email": "bob@example.com", "displayName": None}


@pytest.fixture
def tables(database: Database) -> Database:
    """A database with three tables that refer to each other."""
    for sql in (USERS, PROJECTS, MEMBERS):
        database.rows(sql)
    return database


def engine_of(database: Database) -> Any:
    """An engine whose SQLite checks foreign keys, as the others do."""
    engine = database.engine()
    if database.source == "sqlite":
        event.listen(engine, "connect", lambda driver, _: driver.execute("PRAGMA foreign_keys = ON"))
    return engine


def put(folder: Path, name: str, value: object) -> str:
    path = folder / name
    text = value if isinstance(value, str) else json.dumps(value)
    path.write_text(text, encoding="utf-8")
    return str(path)


def into(database: Database, *files: str, **said: Any) -> LoadReport:
    options = {name: said.pop(name) for name in ("batch", "max_rejects", "dry_run") if name in said}
    tables = tuple(filter(None, said.pop("into", "").split(",")))
    return load(engine_of(database), DataFiles(files, tables, rule=Rule("", **said)), **options)


def totals(report: LoadReport) -> dict[str, tuple[int, int, int, int, int]]:
    return {of.table: (of.read, of.inserted, of.updated, of.skipped, of.refused) for of in report.tables}


def test_a_file_names_its_table(tables: Database, tmp_path: Path) -> None:
    report = into(tables, put(tmp_path, "users.json", [ADA, BOB]))
    assert report.tables == (TableTotals("users", read=2, inserted=2),)
    rows = tables.rows("SELECT id, email, display_name, is_active, balance FROM users ORDER BY id")
    assert [tuple(map(str, row[:3])) for row in rows] == [
        ("1", "ada@example.com", "Ada Lovelace"),
        ("2", "bob@example.com", "None"),
    ]
    assert [bool(row[3]) for row in rows] == [True, True]  # the second by the column's default
    assert (str(rows[0][4]), rows[1][4]) == ("10.25", None)
    assert tables.log("event, migration_name, message") == [
        ("loaded", "users.json", "users: 2 inserted, 0 updated")
    ]


def test_files_are_written_in_the_order_of_their_keys(tables: Database, tmp_path: Path) -> None:
    projects = put(tmp_path, "projects.json", [{"id": 7, "ownerId": 1, "name": "Tour"}])
    report = into(tables, projects, put(tmp_path, "users.json", [ADA]))
    assert [of.table for of in report.tables] == ["users", "projects"]
    assert tables.scalar("SELECT count(*) FROM projects") == 1


MAPPING = """
[[load]]
file = "all.json"
path = "$.data.projects[*]"
table = "projects"

[load.columns]
owner_id = "owner.id"

[[load.children]]
path = "members[*]"
table = "project_members"
columns = { user_id = "user", role = { from = "role", default = "reviewer" } }

[[load]]
file = "all.json"
path = "$.data.users[*]"
table = "users"
ignore = ["password"]
"""


def test_a_mapping_makes_rows_of_what_is_nested(tables: Database, tmp_path: Path) -> None:
    project = {
        "id": 7,
        "name": "Tour",
        "owner": {"id": 1, "name": "Ada"},
        "members": [{"user": 1, "role": "lead"}, {"user": 2}],
    }
    empty = {"id": 8, "name": "Empty", "owner": {"id": 2}, "members": None}
    document = {
        "data": {"projects": [project, empty], "users": [{**ADA, "password": "x"}, BOB]},
        "version": 3,
    }
    put(tmp_path, "all.json", document)
    (tmp_path / "load.toml").write_text(MAPPING)
    report = load(engine_of(tables), tmp_path / "load.toml")
    assert totals(report) == {
        "users": (2, 2, 0, 0, 0),
        "projects": (2, 2, 0, 0, 0),
        "project_members": (2, 2, 0, 0, 0),
    }
    assert tables.rows("SELECT project_id, user_id, role FROM project_members ORDER BY user_id") == [
        (7, 1, "lead"),
        (7, 2, "reviewer"),
    ]
    assert tables.rows("SELECT id, owner_id FROM projects ORDER BY id") == [(7, 1), (8, 2)]


def test_nothing_is_loaded_where_the_last_record_does_not_fit(tables: Database, tmp_path: Path) -> None:
    high = 2**63 if tables.source == "sqlite" else 2**31
    path = put(tmp_path, "users.ndjson", f"{json.dumps(ADA)}\n{json.dumps({**BOB, 'id': high})}\n")
    with pytest.raises(LoadError) as caught:
        into(tables, path)
    assert caught.value.message == (
        f"{path}:2: record 2, $[*].id -> users.id: not between {-high} and {high - 1}: {high}"
    )
    assert tables.scalar("SELECT count(*) FROM users") == 0


def test_what_the_database_refuses_is_named(tables: Database, tmp_path: Path) -> None:
    into(tables, put(tmp_path, "users.json", [ADA]))
    projects = [
        {"id": number, "owner_id": 1, "name": "good" if number != 5 else "bad"} for number in range(9)
    ]
    path = put(tmp_path, "projects.json", projects)
    with pytest.raises(LoadError) as caught:
        into(tables, path)
    place = "$[*].name -> projects.name: " if tables.is_duckdb else "$[*] -> projects: "
    assert caught.value.message.startswith(f"{path}:1: record 6, {place}")
    assert caught.value.refusals[0].record == 6
    assert tables.scalar("SELECT count(*) FROM projects") == 0
    assert tables.log("event, migration_name")[-1] == ("failed", "projects.json")


@pytest.mark.parametrize("key", ["ownerId", "owner_id"])
def test_a_row_that_is_not_there(tables: Database, tmp_path: Path, key: str) -> None:
    """PostgreSQL checks keys behind the last row of a COPY, and tells the key alone."""
    into(tables, put(tmp_path, "users.json", [ADA]))
    records = [{"id": number, key: 99 if number in {7, 9} else 1, "name": "good"} for number in range(1, 12)]
    path = put(tmp_path, "projects.ndjson", "\n".join(map(json.dumps, records)))
    with pytest.raises(LoadError) as caught:
        into(tables, path)
    (refusal,) = caught.value.refusals
    assert (refusal.file, refusal.record, refusal.table) == (path, 7, "projects")
    assert (refusal.line, refusal.path, refusal.column) == (7, f"$[*].{key}", "owner_id")
    if tables.is_postgresql:
        assert caught.value.message == (
            f"{path}:7: record 7, $[*].{key} -> projects.owner_id: insert or update on table"
            ' "projects" violates foreign key constraint "projects_owner_id_fkey"'
            ' (Key (owner_id)=(99) is not present in table "users".) [23503]'
        )
    message = tables.rows("SELECT message FROM schema_migrations_log WHERE event = 'failed'")[0][0]
    assert "record 7" in str(message)
    assert tables.scalar("SELECT count(*) FROM projects") == 0


@pytest.mark.parametrize("extra", [{}, {"note": "$"}])
@pytest.mark.parametrize(
    ("record", "column"),
    [
        ({"id": 3, "Mail": "a"}, "mail"),
        ({"id": 1, "mail": "c"}, "id"),
        ({"id": 3, "mail": "c", "x": 1, "y": 1}, None),
        ({"id": 3, "mail": "c", "x": 2, "y": 5}, None),
    ],
)
def test_which_column_is_refused(
    database: Database, tmp_path: Path, record: dict[str, Any], column: str | None, extra: dict[str, Any]
) -> None:
    """By the constraint's name, or what the message says; where it is one column, with the field's path."""
    database.rows("CREATE TABLE p (x integer, y integer, PRIMARY KEY (x, y))")
    database.rows("INSERT INTO p VALUES (1, 1), (2, 2)")
    database.rows(
        "CREATE TABLE t (id integer PRIMARY KEY, mail varchar(9), x integer, y integer, note varchar(9),"
        " CONSTRAINT its_mail UNIQUE (mail), UNIQUE (x, y), FOREIGN KEY (x, y) REFERENCES p (x, y))"
    )
    records = [{"id": 1, "mail": "a"}, {"id": 2, "mail": "b", "x": 1, "y": 1}, {**record, **extra}]
    path = put(tmp_path, "t.ndjson", "\n".join(map(json.dumps, records)))
    with pytest.raises(LoadError) as caught:
        into(database, path)
    (refusal,) = caught.value.refusals
    field = {"mail": "Mail" if "Mail" in record else "mail"}.get(column or "", column)
    assert (refusal.record, refusal.line, refusal.column) == (3, 3, column)
    assert refusal.path == (f"$[*].{field}" if field else "$[*]")
    if database.source == "sqlite" and column:  # in what the others say, it is
        assert refusal.value == ('"a"' if column == "mail" else "1")


def test_which_column_a_copy_refuses(postgresql: Database, tmp_path: Path) -> None:
    postgresql.rows('CREATE TABLE t (id integer, "a: b" numeric, line inet)')
    for field, value in (("a: b", "1e300000"), ("line", "nonsense: line")):
        path = put(tmp_path, "t.json", [{"id": 1}, {"id": 2, field: value}])
        with pytest.raises(LoadError) as caught:
            into(postgresql, path)
        (refusal,) = caught.value.refusals
        assert (refusal.record, refusal.column) == (2, field)
        assert caught.value.message.startswith(f"{path}:1: record 2, $[*].{field} -> t.{field}: ")


def test_a_type_that_nobody_knows(postgresql: Database, tmp_path: Path) -> None:
    """SQLAlchemy warns of it, and what it takes is text."""
    postgresql.rows("CREATE TABLE t (id integer, place point, span tstzmultirange, key pg_lsn)")
    into(postgresql, put(tmp_path, "t.json", [{"id": 1, "place": "(1,2)", "span": "{}", "key": "0/0"}]))
    assert postgresql.rows("SELECT place::text, span::text, key::text FROM t") == [("(1,2)", "{}", "0/0")]


def test_a_row_that_is_not_there_below_a_record(tables: Database, tmp_path: Path) -> None:
    into(tables, put(tmp_path, "users.json", [ADA]))
    projects = [
        {"id": number, "name": "good", "owner": {"id": 1}, "members": [{"user": 1}, {"user": number}]}
        for number in (5, 6)
    ]
    put(tmp_path, "all.json", {"data": {"projects": projects, "users": [{**BOB, "id": 5}]}})
    (tmp_path / "load.toml").write_text(MAPPING)
    with pytest.raises(LoadError) as caught:
        load(engine_of(tables), tmp_path / "load.toml")
    (refusal,) = caught.value.refusals
    assert (refusal.record, refusal.table, refusal.line) == (2, "project_members", 1)
    if tables.source not in {"sqlite", "duckdb"}:  # which do not say which one of two keys
        assert refusal.path == "$.data.projects[*].members[*].user"
        assert refusal.column == "user_id"


def test_what_a_temporary_table_has_twice(postgresql: Database, tmp_path: Path) -> None:
    """It is moved by one statement, which tells the key alone; the record behind is the one."""
    postgresql.rows(USERS)
    records = [{"id": number, "email": f"{number % 4}@example.com"} for number in range(1, 11)]
    path = put(tmp_path, "users.ndjson", "\n".join(map(json.dumps, records)))
    with pytest.raises(LoadError) as caught:
        into(postgresql, path, on_conflict=OnConflict.UPDATE)
    (refusal,) = caught.value.refusals
    assert (refusal.line, refusal.record, refusal.path, refusal.code) == (5, 5, "$[*].email", "23505")
    assert "(email)=(1@example.com)" in refusal.reason


A_AND_B = {
    "postgresql": (
        "CREATE TABLE a (id integer PRIMARY KEY, b_id integer NOT NULL)",
        "CREATE TABLE b (id integer PRIMARY KEY, a_id integer NOT NULL REFERENCES a)",
        "ALTER TABLE a ADD CONSTRAINT a_b_fkey FOREIGN KEY (b_id) REFERENCES b DEFERRABLE",
    ),
    "sqlite": (
        "CREATE TABLE a (id integer PRIMARY KEY, b_id integer NOT NULL REFERENCES b)",
        "CREATE TABLE b (id integer PRIMARY KEY, a_id integer NOT NULL REFERENCES a)",
    ),
}


def circle(database: Database) -> Database:
    for sql in A_AND_B["postgresql" if database.is_postgresql else "sqlite"]:
        database.rows(sql)
    return database


@pytest.mark.waiting_keys
def test_a_key_that_waits_for_the_end(database: Database, tmp_path: Path) -> None:
    records = [{"id": 1, "b_id": 2}, {"id": 2, "b_id": 3}]
    files = put(tmp_path, "a.json", records), put(tmp_path, "b.json", [{"id": 2, "a_id": 1}])
    with pytest.raises(LoadError) as caught:
        into(circle(database), *files)
    (refusal,) = caught.value.refusals
    assert (refusal.file, refusal.record, refusal.column) == (files[0], 2, "b_id")
    assert refusal.path == "$[*].b_id"
    if database.source == "sqlite":  # which says nothing of it
        assert str(refusal) == (
            f"{files[0]}:1: record 2, $[*].b_id -> a.b_id: FOREIGN KEY constraint failed"
            " [SQLITE_CONSTRAINT_FOREIGNKEY]: 3"
        )
    assert database.scalar("SELECT count(*) FROM b") == 0


@pytest.mark.waiting_keys
def test_a_key_that_waits_for_the_end_of_a_batch(database: Database, tmp_path: Path) -> None:
    key = "FOREIGN KEY (parent_id) REFERENCES nodes (id) DEFERRABLE"
    database.rows(f"CREATE TABLE nodes (id integer PRIMARY KEY, parent_id integer, {key})")
    records = [{"id": 1, "parent_id": 2}, {"id": 2}, {"id": 3, "parent_id": 1}, {"id": 4, "parent_id": 9}]
    path = put(tmp_path, "nodes.ndjson", "\n".join(map(json.dumps, records)))
    with pytest.raises(LoadError) as caught:
        into(database, path, batch=2)
    assert (caught.value.refusals[0].line, caught.value.refusals[0].path) == (4, "$[*].parent_id")
    assert database.rows("SELECT id FROM nodes ORDER BY id") == [(1,), (2,)]


def test_a_key_of_sqlite_that_was_broken_before(sqlite: Database, tmp_path: Path) -> None:
    circle(sqlite).rows("INSERT INTO b VALUES (7, 8)")
    sqlite.rows("INSERT INTO a VALUES (5, 6)")
    files = put(tmp_path, "a.json", [{"id": 1, "b_id": 2}]), put(tmp_path, "b.json", [{"id": 2, "a_id": 3}])
    with pytest.raises(LoadError) as caught:
        into(sqlite, *files)
    (refusal,) = caught.value.refusals
    assert (refusal.file, refusal.record, refusal.column) == (files[1], 1, "a_id")
    assert (refusal.code, refusal.reason) == ("SQLITE_CONSTRAINT_FOREIGNKEY", "FOREIGN KEY constraint failed")


def test_sqlite_checks_the_keys_of_a_load(tables: Database, tmp_path: Path) -> None:
    """Whatever the connection's pragma says, which has its value again behind the load."""
    engine = tables.engine(poolclass=StaticPool)
    path = put(tmp_path, "projects.json", [{"id": 1, "owner_id": 9, "name": "Tour"}])
    with pytest.raises(LoadError) as caught:
        load(engine, DataFiles((path,)))
    assert caught.value.refusals[0].record == 1
    assert tables.scalar("SELECT count(*) FROM projects") == 0
    if tables.source == "sqlite":
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 0


@pytest.mark.parametrize(
    ("type_", "there", "value", "shown"),
    [
        ("uuid", "{6f1c2a90-0000-4000-8000-00000000000a}", "6F1C2A90-0000-4000-8000-00000000000B", "6f1c2a9"),
        ("numeric(6, 2)", "1", "2.0", "2.00"),
        ("numeric", "1", "2.00", "2.00"),
        ("timestamptz", "2026-01-05T13:30Z", "2026-01-05T13:30:00+01:00", "2026-01-05 1"),
        ("timestamp", "2026-01-05T13:30", "2026-01-05T12:30:00+01:00", "2026-01-05 11:30:00"),
        ("time", "09:30", "10:30", "10:30:00"),
        ("char(8)", "a", "b", "b       "),
        ("double precision", "1", 1e25, "1e+25"),
        ("boolean", "t", False, "f"),
        ("bytea", "a", "AP8=", "\\x00ff"),
        ("integer[]", "{1}", [2, 3], "{2,3}"),
        ("interval", "1 day", "48:00", "48:00:00"),
        ("inet", "10.0.0.1", "10.0.0.2/32", "10.0.0.2"),
    ],
)
def test_a_key_that_is_written_otherwise(  # a table of them
    postgresql: Database, tmp_path: Path, type_: str, there: str, value: object, shown: str
) -> None:
    postgresql.rows(f'CREATE TABLE a (":%s" {type_} PRIMARY KEY)')
    postgresql.rows(f'CREATE TABLE b (id integer, "Key: %s" {type_} REFERENCES a, UNIQUE ("Key: %s"))')
    postgresql.rows(f"INSERT INTO a VALUES ('{there}')")
    records = [{"id": 1}, {"id": 2, "Key: %s": value}, {"id": 3, "Key: %s": value}]
    path = put(tmp_path, "b.json", records)
    with pytest.raises(LoadError) as caught:
        into(postgresql, put(tmp_path, "other.json", records[:2]), into="b")
    assert (caught.value.refusals[0].record, caught.value.refusals[0].column) == (2, "Key: %s")
    assert f"=({shown}" in caught.value.refusals[0].reason
    postgresql.rows('ALTER TABLE b DROP CONSTRAINT "b_Key: %s_fkey", ADD PRIMARY KEY (id)')
    with pytest.raises(LoadError) as caught:
        into(postgresql, path, on_conflict=OnConflict.UPDATE)
    (refusal,) = caught.value.refusals
    assert (refusal.record, refusal.column, refusal.code) == (3, "Key: %s", "23505")


@pytest.mark.parametrize("key", ["a) b", "(x)=(y)", "it's \\ \t é"])
def test_a_key_of_any_text(postgresql: Database, tmp_path: Path, key: str) -> None:
    postgresql.rows("CREATE TABLE a (x text, y boolean, PRIMARY KEY (x, y))")
    postgresql.rows("CREATE TABLE b (id integer, x text, y boolean, FOREIGN KEY (x, y) REFERENCES a)")
    postgresql.rows("INSERT INTO a VALUES ('a', true), ('', true)")
    records = [
        *({"id": 1, "x": key, "y": None}, {"id": 2, "x": "a", "y": True}, {"id": 3, "x": "", "y": True}),
        {"id": 4, "x": key, "y": False},
    ]
    path = put(tmp_path, "b.json", records)
    with pytest.raises(LoadError) as caught:
        into(postgresql, path)
    (refusal,) = caught.value.refusals
    assert (refusal.record, refusal.column, refusal.path) == (4, None, "$[*]")


def test_a_key_in_standard_input(postgresql: Database) -> None:
    """It cannot be read again."""
    for sql in (USERS, PROJECTS):
        postgresql.rows(sql)
    data = io.BytesIO(b'[{"id": 1, "owner_id": 9, "name": "x"}]')
    with pytest.raises(LoadError) as caught:
        Migrator(engine_of(postgresql)).load(DataFiles(("-",), ("projects",)), stdin=data)
    assert caught.value.message.startswith("standard input: one of its records -> projects: insert or update")


@pytest.mark.parametrize("policy", ["error", "skip", "update"])
def test_what_is_there_already(tables: Database, tmp_path: Path, policy: str) -> None:
    into(tables, put(tmp_path, "users.json", [ADA]))
    path = put(
        tmp_path, "users.json", [{"id": 1, "email": "new@example.com"}, BOB, {**BOB, "display_name": "Bob"}]
    )
    if policy == "error":
        with pytest.raises(LoadError) as caught:
            into(tables, path, ignore_unknown=True)
        assert caught.value.refusals[0].record == 1
        assert caught.value.remedy == f"{PAST_CONFLICTS}\n{NOTHING}"
        assert tables.rows("SELECT id, email FROM users") == [(1, "ada@example.com")]
        return
    report = into(tables, path, ignore_unknown=True, on_conflict=OnConflict(policy))
    rows = tables.rows("SELECT id, email, display_name FROM users ORDER BY id")
    if policy == "skip":
        assert totals(report) == {"users": (3, 1, 0, 2, 0)}
        assert rows == [(1, "ada@example.com", "Ada Lovelace"), (2, "bob@example.com", None)]
    else:  # what a record does not have stays as it is
        assert totals(report) == {"users": (3, 1, 2, 0, 0)}
        assert rows == [(1, "new@example.com", "Ada Lovelace"), (2, "bob@example.com", "Bob")]


@pytest.mark.parametrize("policy", ["skip", "update"])
def test_another_constraint_than_the_one_that_says_so(tables: Database, tmp_path: Path, policy: str) -> None:
    into(tables, put(tmp_path, "users.json", [ADA]))
    path = put(tmp_path, "users.json", [BOB, {**ADA, "id": 9}])
    with pytest.raises(LoadError) as caught:
        into(tables, path, on_conflict=OnConflict(policy))
    assert caught.value.refusals[0].record == 2
    assert caught.value.remedy == (
        f"--on-conflict {policy} goes by id alone; --key NAME has it go by another constraint\n{NOTHING}"
    )


@pytest.mark.parametrize("policy", ["skip", "update"])
def test_many_keys_that_are_there(tables: Database, tmp_path: Path, policy: str) -> None:
    """They are looked up so many at a time."""
    users = [{"id": number, "email": f"{number}@example.com"} for number in range(1, 451)]
    into(tables, put(tmp_path, "users.json", users[::3]))
    path = put(tmp_path, "users.json", [{**each, "email": f"{each['id']}"} for each in users])
    report = into(tables, path, on_conflict=OnConflict(policy))
    counts = (450, 300, 0, 150, 0) if policy == "skip" else (450, 300, 150, 0, 0)
    assert totals(report) == {"users": counts}
    changed = 300 if policy == "skip" else 450
    assert tables.scalar("SELECT count(*) FROM users WHERE email NOT LIKE '%@%'") == changed


@pytest.mark.parametrize("policy", ["skip", "update"])
@pytest.mark.parametrize("columns", ["a", "a,b"])
def test_null_is_like_no_other_key(database: Database, tmp_path: Path, policy: str, columns: str) -> None:
    database.rows(f"CREATE TABLE t (a integer, b integer, c integer, UNIQUE ({columns}))")
    database.rows("INSERT INTO t VALUES (NULL, 1, 0), (1, 1, 0)")
    records = [{"a": None, "b": 1, "c": 1}, {"a": None, "b": 1, "c": 2}, {"a": 1, "b": 1, "c": 3}]
    path = put(tmp_path, "t.json", records)
    report = into(database, path, on_conflict=OnConflict(policy), key=columns)
    assert totals(report) == {"t": (3, 2, 0, 1, 0) if policy == "skip" else (3, 2, 1, 0, 0)}
    last = (1, 1, 0) if policy == "skip" else (1, 1, 3)
    assert database.rows("SELECT a, b, c FROM t WHERE a = 1") == [last]
    assert database.rows("SELECT c FROM t WHERE a IS NULL ORDER BY c") == [(0,), (1,), (2,)]


@pytest.mark.caseless
@pytest.mark.parametrize("max_rejects", [0, 3])
@pytest.mark.parametrize("policy", ["skip", "update"])
def test_keys_that_the_database_takes_for_the_same(
    database: Database, tmp_path: Path, policy: str, max_rejects: int
) -> None:
    """A collation that case does not matter to; also between records of one file."""
    email = f"varchar(20) {'COLLATE NOCASE' if database.source == 'sqlite' else ''}"
    if database.is_postgresql:
        database.rows("CREATE EXTENSION citext")
        email = "citext"
    database.rows(f"CREATE TABLE users (id integer, email {email} PRIMARY KEY)")
    database.rows("INSERT INTO users VALUES (1, 'ada')")
    records = [
        *({"id": 2, "email": "Ada"}, {"id": 3, "email": "BOB"}),
        *({"id": 4, "email": "ADA"}, {"id": 5, "email": "bob"}),
    ]
    path = put(tmp_path, "users.json", records)
    report = into(database, path, on_conflict=OnConflict(policy), max_rejects=max_rejects)
    counts = (4, 1, 0, 3, 0) if policy == "skip" else (4, 1, 3, 0, 0)
    assert totals(report) == {"users": counts}
    expected = [(1, "ada"), (3, "bob")] if policy == "skip" else [(4, "ada"), (5, "bob")]
    assert sorted((row[0], str(row[1]).lower()) for row in database.rows("SELECT * FROM users")) == expected


def test_a_unique_constraint_says_what_is_there(tables: Database, tmp_path: Path) -> None:
    into(tables, put(tmp_path, "users.json", [ADA]))
    path = put(tmp_path, "users.json", [{"id": 9, "email": "ada@example.com", "display_name": "A"}])
    for key in ("users_email_key", "email"):
        report = into(tables, path, on_conflict=OnConflict.SKIP, key=key)
        assert totals(report) == {"users": (1, 0, 0, 1, 0)}
    with pytest.raises(ConfigError) as caught:
        into(tables, path, on_conflict=OnConflict.SKIP, key="nonsense")
    assert caught.value.message == "users has no unique constraint nonsense"


@pytest.mark.parametrize(
    "columns",
    [
        "a varchar(9) UNIQUE, b integer",
        "a varchar(9) CONSTRAINT it UNIQUE, b integer",
        "a varchar(9), b integer, UNIQUE (a)",
        '"a" numeric(9, 0) NOT NULL UNIQUE, b integer UNIQUE',
    ],
)
def test_a_unique_column(database: Database, tmp_path: Path, columns: str) -> None:
    """Wherever its table says so."""
    if database.is_mysql:
        columns = columns.replace('"', "").replace("CONSTRAINT it", "")
    database.rows(f"CREATE TABLE t (id integer PRIMARY KEY, {columns})")
    database.rows("INSERT INTO t (id, a) VALUES (1, '5')")
    path = put(tmp_path, "t.json", [{"id": 7, "a": "5", "b": 3}])
    assert totals(into(database, path, on_conflict=OnConflict.SKIP, key="a")) == {"t": (1, 0, 0, 1, 0)}
    with pytest.raises(ConfigError) as caught:
        into(database, path, on_conflict=OnConflict.SKIP, key="a,b")
    assert caught.value.message == "t has no unique constraint a,b"


def test_an_index_of_sqlite_that_tells_no_conflict(sqlite: Database, tmp_path: Path) -> None:
    sqlite.rows("CREATE TABLE t (id integer, a text, b text)")
    sqlite.rows("CREATE UNIQUE INDEX partial ON t (a) WHERE b IS NULL")
    sqlite.rows("CREATE UNIQUE INDEX folded ON t (lower(b))")
    for key in ("a", "b", "partial", "folded"):
        with pytest.raises(ConfigError, match=f"^t has no unique constraint {key}\n.*: none$"):
            into(sqlite, put(tmp_path, "t.json", [{"id": 1}]), on_conflict=OnConflict.SKIP, key=key)


def test_which_column_mariadb_refuses(mariadb: Database, tmp_path: Path) -> None:
    mariadb.rows("CREATE TABLE t (id integer PRIMARY KEY, made timestamp NULL, word varchar(3), bits bit(2))")
    for field, value in (("made", "0001-01-01T00:00:00Z"), ("bits", "abcd")):
        path = put(tmp_path, "t.json", [{"id": 1}, {"id": 2, field: value}])
        with pytest.raises(LoadError) as caught:
            into(mariadb, path)
        (refusal,) = caught.value.refusals
        assert (refusal.record, refusal.line, refusal.path) == (2, 1, f"$[*].{field}")


def test_json_of_mariadb(mariadb: Database, tmp_path: Path) -> None:
    """It is text with a check there; MySQL has a type for it, and writes it with blanks."""
    mariadb.rows("CREATE TABLE t (id integer PRIMARY KEY, `doc s` json, plain longtext, rest json NOT NULL)")
    records = [{"id": 1, "doc s": {"a": [1.10]}, "plain": "[", "other": None}, {"id": 2, "doc s": "text"}]
    report = into(mariadb, put(tmp_path, "t.json", [records[0]]), rest_into="rest")
    assert totals(report) == {"t": (1, 1, 0, 0, 0)}
    doc, plain, rest = mariadb.rows("SELECT `doc s`, plain, rest FROM t")[0]
    assert [str(doc).replace(" ", ""), plain, str(rest).replace(" ", "")] == [
        '{"a":[1.1]}',
        "[",
        '{"other":null}',
    ]
    into(mariadb, put(tmp_path, "t.json", [{**records[1], "rest": []}]))
    assert mariadb.scalar("SELECT `doc s` FROM t WHERE id = 2") == '"text"'


@pytest.mark.savepoints
def test_refused_records_are_kept_apart(tables: Database, tmp_path: Path) -> None:
    into(tables, put(tmp_path, "users.json", [ADA]))
    projects: list[Any] = [{"id": number, "owner_id": 1, "name": "good"} for number in range(1, 21)]
    projects[3]["name"] = "bad"  # the database says so
    projects[7]["owner_id"] = 99  # likewise
    projects[9]["id"] = "ten"
    projects[15]["colour"] = "red"
    path = put(tmp_path, "projects.json", projects)
    seen: list[tuple[int | None, Any]] = []
    migrator = Migrator(engine_of(tables))
    report = migrator.load(
        DataFiles((path,)),
        max_rejects=4,
        on_refusal=lambda refusal, data: seen.append((refusal.record, data)),
    )
    assert totals(report) == {"projects": (20, 16, 0, 0, 4)}
    assert sorted(number or 0 for number, _ in seen) == [4, 8, 10, 16]
    assert {refusal.record: refusal.column for refusal in report.refusals}[10] == "id"
    assert tables.scalar("SELECT count(*) FROM projects") == 16
    tables.rows("DELETE FROM projects")
    with pytest.raises(LoadError) as caught:
        migrator.load(DataFiles((path,)), max_rejects=3)
    assert caught.value.message.splitlines()[-1] == "4 records are refused, and 3 may be"
    assert tables.scalar("SELECT count(*) FROM projects") == 0


def test_batches_go_on_where_they_stopped(tables: Database, tmp_path: Path) -> None:
    users = [{"id": number, "email": f"{number}@example.com"} for number in range(1, 11)]
    path = put(tmp_path, "users.json", users)
    tables.rows("INSERT INTO users (id, email) VALUES (8, 'in the way')")
    with pytest.raises(LoadError) as caught:
        into(tables, path, batch=3)
    assert caught.value.loaded
    assert totals(caught.value.loaded) == {"users": (6, 6, 0, 0, 0)}
    assert tables.scalar("SELECT count(*) FROM users") == 7
    tables.rows("DELETE FROM users WHERE id = 8")
    report = into(tables, path, batch=3)
    assert (report.resumed, totals(report)) == ({"users.json": 6}, {"users": (4, 4, 0, 0, 0)})
    assert tables.scalar("SELECT count(*) FROM users") == 10
    assert [row for row in tables.log("event, statement_number") if row[0] != "failed"] == [
        ("loading", 3),
        ("loading", 6),
        ("loading", 9),
        ("loading", 10),
        ("loaded", None),
    ]
    with pytest.raises(LoadError):  # it was done, so it begins anew
        into(tables, path, batch=3)


KILLED = """
import os, signal, sys
from sqlalchemy import create_engine
from fluxmig import DataFiles, Migrator
from fluxmig.loading import buffer

def heard(progress):
    if progress.done > 4_000:
        os.kill(os.getpid(), signal.SIGKILL)

buffer._CHUNK = 500
Migrator(create_engine(sys.argv[1])).load(DataFiles((sys.argv[2],)), batch=10, on_progress=heard)
"""


def test_batches_go_on_where_the_process_was_killed(tables: Database, tmp_path: Path) -> None:
    users = [{"id": number, "email": f"{number}@example.com"} for number in range(1, 201)]
    path = put(tmp_path, "users.ndjson", "\n".join(map(json.dumps, users)))
    ended = subprocess.run([sys.executable, "-c", KILLED, tables.url, path], check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    done = int(str(tables.scalar("SELECT count(*) FROM users")))
    assert 50 < done < 150
    assert done % 10 == 0
    report = into(tables, path, batch=10)
    assert (report.resumed, totals(report)) == (
        {"users.ndjson": done},
        {"users": (200 - done, 200 - done, 0, 0, 0)},
    )
    assert tables.scalar("SELECT count(*) FROM users") == 200


def test_a_dry_run_writes_nothing_and_tells_all(tables: Database, tmp_path: Path) -> None:
    good = put(tmp_path, "users.json", [ADA, BOB])
    report = into(tables, good, dry_run=True)
    assert (report.dry_run, totals(report)["users"][0]) == (True, 2)
    again = {"id": 1, "email": "other"}
    bad = put(tmp_path, "more.json", [{"id": 1}, {**BOB, "x": 1}, ADA, again])
    with pytest.raises(LoadError) as caught:
        into(tables, bad, into="users", dry_run=True)
    assert [refusal.reason for refusal in caught.value.refusals] == [
        "missing, and the column takes no null and has no default",
        "no column for the field x; --ignore-unknown passes over such, --rest-into COLUMN keeps them",
        "an earlier record has the same id",
    ]
    assert caught.value.remedy == PAST_CONFLICTS
    assert tables.tables() == {"users", "projects", "project_members"}
    assert tables.scalar("SELECT count(*) FROM users") == 0


@pytest.mark.parametrize("name", ["users.json.gz", "users.ndjson.gz"])
def test_compressed(tables: Database, tmp_path: Path, name: str) -> None:
    text = json.dumps([ADA]) if name == "users.json.gz" else json.dumps(ADA)
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()))
    assert totals(into(tables, str(path))) == {"users": (1, 1, 0, 0, 0)}
    path.write_bytes(gzip.compress(text.encode())[:-12])
    with pytest.raises(DataFileError) as caught:
        into(tables, str(path), on_conflict=OnConflict.SKIP)
    assert caught.value.message == f"{path}: ends in the middle of its compressed data"


def test_standard_input(tables: Database) -> None:
    migrator = Migrator(engine_of(tables))
    report = migrator.load(DataFiles(("-",), ("users",)), stdin=io.BytesIO(json.dumps([ADA]).encode()))
    assert totals(report) == {"users": (1, 1, 0, 0, 0)}
    assert tables.log() == [("loaded", "standard input")]


def test_a_table_that_is_not_there(tables: Database, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        into(tables, put(tmp_path, "user.json", [ADA]))
    assert str(caught.value) == (
        "there is no table user\n"
        "did you mean users? fluxmig load fills tables that migrations have made; --into names them"
    )


def test_tables_that_cannot_be_read(
    duckdb: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_loading, "_COLUMNS", text("SELECT nonsense"))
    duckdb.rows("CREATE TABLE users (id integer)")
    with pytest.raises(ConfigError, match=r"^the tables of DuckDB cannot be read: "):
        into(duckdb, put(tmp_path, "users.json", [ADA]))


@pytest.mark.later_keys
def test_a_circle_of_keys(tables: Database, tmp_path: Path) -> None:
    key = "FOREIGN KEY (a_id) REFERENCES a (id)"
    tables.rows("CREATE TABLE a (id integer PRIMARY KEY, b_id integer NOT NULL)")
    tables.rows(f"CREATE TABLE b (id integer PRIMARY KEY, a_id integer NOT NULL, {key})")
    files = (
        put(tmp_path, "a.json", [{"id": 1, "b_id": 2}]),
        put(tmp_path, "b.json", [{"id": 2, "a_id": 1}]),
    )
    if tables.source == "sqlite":
        tables.rows("DROP TABLE a")
        tables.rows("CREATE TABLE a (id integer PRIMARY KEY, b_id integer NOT NULL REFERENCES b (id))")
        assert totals(into(tables, *files)) == {"a": (1, 1, 0, 0, 0), "b": (1, 1, 0, 0, 0)}
        return
    tables.rows("ALTER TABLE a ADD CONSTRAINT a_b_fkey FOREIGN KEY (b_id) REFERENCES b (id)")
    with pytest.raises(ConfigError) as caught:
        into(tables, *files)
    assert caught.value.message.startswith("a -> b -> a: these tables refer to each other, by keys that are")
    if tables.is_postgresql:
        tables.rows("ALTER TABLE a ALTER CONSTRAINT a_b_fkey DEFERRABLE")
        assert totals(into(tables, *files)) == {"a": (1, 1, 0, 0, 0), "b": (1, 1, 0, 0, 0)}


def test_a_table_that_refers_to_itself(tables: Database, tmp_path: Path) -> None:
    key = "FOREIGN KEY (parent_id) REFERENCES nodes (id)"
    tables.rows(f"CREATE TABLE nodes (id integer PRIMARY KEY, parent_id integer, {key})")
    rows = [{"id": 1, "parent_id": None}, {"id": 2, "parent_id": 3}, {"id": 3, "parent_id": 1}]
    path = put(tmp_path, "nodes.json", rows)
    if tables.is_mysql or tables.is_duckdb:  # they check row by row, and nothing makes them wait
        with pytest.raises(LoadError):
            into(tables, path)
        path = put(tmp_path, "nodes.json", [rows[0], rows[2], rows[1]])
    assert totals(into(tables, path)) == {"nodes": (3, 3, 0, 0, 0)}


NESTED = """
[[load]]
file = "projects.json"
table = "albums"
[[load.children]]
path = "tags[*]"
table = "tags"
columns = { name = "." }
"""
COUNTED = {"sqlite": "integer PRIMARY KEY", "duckdb": "integer DEFAULT nextval('counted') PRIMARY KEY"}
COUNTED |= dict.fromkeys(STEPWISE, "integer PRIMARY KEY AUTO_INCREMENT")


@pytest.mark.parametrize("batch", [None, 1])
def test_children_of_rows_whose_keys_the_database_gives(
    database: Database, tmp_path: Path, batch: int | None
) -> None:
    if database.is_duckdb:
        database.rows("CREATE SEQUENCE counted")
    key = COUNTED.get(database.source, "integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
    database.rows(f"CREATE TABLE albums (id {key}, title varchar(20) NOT NULL)")
    database.rows(
        "CREATE TABLE tags (album_id integer NOT NULL, name varchar(20) NOT NULL,"
        " FOREIGN KEY (album_id) REFERENCES albums (id))"
    )
    database.rows("INSERT INTO albums (title) VALUES ('first')")
    put(tmp_path, "projects.json", [{"title": "a", "tags": ["x", "y"]}, {"title": "b", "tags": ["x"]}])
    (tmp_path / "load.toml").write_text(NESTED)
    report = load(engine_of(database), tmp_path / "load.toml", batch=batch)
    assert totals(report) == {"albums": (2, 2, 0, 0, 0), "tags": (3, 3, 0, 0, 0)}
    joined = "SELECT title, name FROM tags JOIN albums ON albums.id = album_id ORDER BY title, name"
    assert database.rows(joined) == [("a", "x"), ("a", "y"), ("b", "x")]
    database.rows("INSERT INTO albums (title) VALUES ('next')")  # past the greatest
    assert database.scalar("SELECT id FROM albums WHERE title = 'next'") == 4


def test_sequences_are_moved(postgresql: Database, tmp_path: Path) -> None:
    postgresql.rows(
        'CREATE TABLE "Odd %s" (id serial PRIMARY KEY, always bigint GENERATED ALWAYS AS IDENTITY)'
    )
    path = put(tmp_path, "odd.json", [{"id": 41, "always": 7}, {"id": 3, "always": 9}])
    report = into(postgresql, path, into="Odd %s")
    assert [finding.message for finding in report.findings] == [
        '"Odd %s_id_seq" is moved to 41',
        'public."Odd %s_always_seq" is moved to 9',
    ]
    postgresql.rows('INSERT INTO "Odd %s" DEFAULT VALUES')
    assert postgresql.rows('SELECT * FROM "Odd %s" ORDER BY id DESC LIMIT 1') == [(42, 10)]
    report = into(postgresql, put(tmp_path, "more.json", [{"id": 1}]), into="Odd %s")
    assert report.findings == ()


# --- values -----------------------------------------------------------------------------------------------

KINDS = {
    "id": ("integer PRIMARY KEY", 1, "1"),
    "words": ("varchar(40)", "a\tb\\c\nd é", "a\tb\\c\nd é"),
    "is_on": ("boolean", True, "1"),
    "amount": ("numeric(12, 3)", 1234567.125, "1234567.125"),
    "ratio": ("double precision", 0.1, "0.1"),
    "day": ("date", "2026-01-05", "2026-01-05"),
    "at_utc": ("timestamp", "2026-01-05T13:30:00.000+01:00", "2026-01-05 12:30:00"),
    "absent": ("varchar(40)", None, "None"),
}


def test_values_of_each_kind(database: Database, tmp_path: Path) -> None:
    columns = ", ".join(f"{name} {kind}" for name, (kind, _, _) in KINDS.items())
    database.rows(f"CREATE TABLE kinds ({columns})")
    record = {name: value for name, (_, value, _) in KINDS.items()}
    into(database, put(tmp_path, "kinds.json", [record]))
    (row,) = database.rows(f"SELECT {', '.join(KINDS)} FROM kinds")
    found = [str(int(value)) if value is True else str(value).removesuffix(".000000") for value in row]
    assert found == [expected for _, _, expected in KINDS.values()]


POSTGRESQL = {
    "key": ("uuid", "6F1C2A90-0000-4000-8000-00000000000A", "6f1c2a90-0000-4000-8000-00000000000a"),
    "big": ("numeric", "12345678901234567890.123456789", "12345678901234567890.123456789"),
    "doc": ("jsonb", {"a": [1.10, None, '\\ " \n é']}, '{"a": [1.1, null, "\\\\ \\" \\n é"]}'),
    "plain": ("json", {"a": "\0"}, '{"a":"\\u0000"}'),
    "at": ("timestamptz", "2026-01-05T13:30:00.5+01:00", "2026-01-05 12:30:00.5+00"),
    "clock": ("time", "09:30", "09:30:00"),
    "zoned": ("timetz", "09:30+02", "09:30:00+02"),
    "raw": ("bytea", "AP9cMA==", "\\x00ff5c30"),
    "mood": ("mood", "good", "good"),
    "numbers": ("integer[]", [1, None, 3], "{1,NULL,3}"),
    "words": ("text[]", ["a,b", 'q"\\', "", "NULL"], '{"a,b","q\\"\\\\","","NULL"}'),
    "grid": ("integer[][]", [[1, 2], [3, 4]], "{{1,2},{3,4}}"),
    "keys": ("uuid[]", ["6f1c2a90-0000-4000-8000-00000000000a"], "{6f1c2a90-0000-4000-8000-00000000000a}"),
    "blobs": ("bytea[]", ["AP8="], '{"\\\\x00ff"}'),
    "address": ("inet", "10.0.0.1", "10.0.0.1/32"),
    "span": ("interval", "3 days", "3 days"),
    "short": ("short", "abc", "abc"),
    "flag": ("boolean", None, None),
    "odd %s": ("text", "100% {x} :y", "100% {x} :y"),
}


def test_values_of_postgresql(postgresql: Database, tmp_path: Path) -> None:
    postgresql.rows("CREATE TYPE mood AS ENUM ('good', 'bad')")
    postgresql.rows("CREATE DOMAIN short AS varchar(3)")
    columns = ", ".join(f'"{name}" {kind}' for name, (kind, _, _) in POSTGRESQL.items())
    twice = "id integer PRIMARY KEY, twice integer GENERATED ALWAYS AS (id * 2) STORED"
    postgresql.rows(f"CREATE TABLE kinds ({twice}, {columns})")
    record = {name: value for name, (_, value, _) in POSTGRESQL.items()}
    path = put(tmp_path, "kinds.json", [{"id": 1, **record}])
    into(postgresql, path)
    into(postgresql, path, on_conflict=OnConflict.UPDATE)
    postgresql.rows("ALTER ROLE CURRENT_USER SET timezone = 'UTC'")
    texts = ", ".join(f'"{name}"::text' for name in POSTGRESQL)
    (row,) = postgresql.rows(f"SELECT {texts} FROM kinds")
    assert dict(zip(POSTGRESQL, row, strict=True)) == {
        name: expected for name, (_, _, expected) in POSTGRESQL.items()
    }


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("doc", {"a": "\0"}, "the character NUL, which the database cannot keep in a text"),
        ("odd %s", "\ud800", "\\ud800 alone is half a character, and no text of UTF-8"),
        ("short", "long", "value too long for type character varying(3)"),
        ("mood", "odd", "not one of good, bad"),
        ("twice", 4, "no column for the field twice (the database computes twice)"),
        ("address", "x", 'invalid input syntax for type inet: "x"'),
    ],
)
def test_what_does_not_fit_postgresql(
    one_postgresql: Database, tmp_path: Path, column: str, value: object, reason: str
) -> None:
    one_postgresql.rows("CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN short AS varchar(3)")
    names = ("doc", "odd %s", "short", "mood", "address")
    columns = ", ".join(f'"{name}" {POSTGRESQL[name][0]}' for name in names)
    twice = "id integer PRIMARY KEY, twice integer GENERATED ALWAYS AS (id * 2) STORED"
    one_postgresql.rows(f"CREATE TABLE kinds ({twice}, {columns})")
    path = put(tmp_path, "kinds.json", [{"id": 1}, {"id": 2, column: value}])
    with pytest.raises(LoadError) as caught:
        into(one_postgresql, path)
    assert (caught.value.refusals[0].record, caught.value.refusals[0].table) == (2, "kinds")
    assert caught.value.refusals[0].reason.startswith(reason)
    assert one_postgresql.scalar("SELECT count(*) FROM kinds") == 0


# --- transactions -----------------------------------------------------------------------------------------


@pytest.mark.savepoints
def test_inside_a_transaction_of_the_callers(tables: Database, tmp_path: Path) -> None:
    path = put(tmp_path, "users.json", [ADA])
    engine = engine_of(tables)
    load(engine, DataFiles((put(tmp_path, "more.json", [BOB]),), ("users",)))  # which makes the ledger
    with engine.connect() as connection, connection.begin() as transaction:
        assert totals(load(connection, DataFiles((path,)))) == {"users": (1, 1, 0, 0, 0)}
        with pytest.raises(LoadError):
            load(connection, DataFiles((path,)))
        transaction.rollback()
    assert tables.rows("SELECT id FROM users") == [(2,)]


def test_an_interruption(tables: Database, tmp_path: Path) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt("SIGINT")

    path = put(tmp_path, "users.json", [ADA])
    with pytest.raises(KeyboardInterrupt):
        Migrator(engine_of(tables)).load(DataFiles((path,)), on_progress=interrupt)
    assert tables.scalar("SELECT count(*) FROM users") == 0
    assert tables.log("event, migration_name, message") == [("interrupted", "users.json", "SIGINT")]
    assert Migrator(engine_of(tables), tmp_path).status() == ()


def test_a_trigger_that_passes_rows_over(one_postgresql: Database, tmp_path: Path) -> None:
    one_postgresql.rows(USERS)
    one_postgresql.rows(
        "CREATE FUNCTION pass_over() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN IF NEW.id = 2 THEN RETURN NULL; END IF; RETURN NEW; END'"
    )
    one_postgresql.rows("CREATE TRIGGER odd BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION pass_over()")
    with pytest.raises(LoadError) as caught:
        into(one_postgresql, put(tmp_path, "users.json", [ADA, BOB]))
    assert str(caught.value) == (
        "users: the database took 1 of 2 rows\na trigger or a rule of the table passes rows over"
    )
    assert one_postgresql.scalar("SELECT count(*) FROM users") == 0


def test_a_trigger_of_sqlite_that_does(sqlite: Database, tmp_path: Path) -> None:
    sqlite.rows(USERS)
    sqlite.rows("CREATE TRIGGER odd BEFORE INSERT ON users WHEN NEW.id = 2 BEGIN SELECT RAISE(IGNORE); END")
    also = {**ADA, "id": 2, "email": "b"}
    with pytest.raises(LoadError, match=r"^users: the database took 1 of 2 rows"):
        into(sqlite, put(tmp_path, "users.json", [ADA, also]))
    assert sqlite.scalar("SELECT count(*) FROM users") == 0


async def _load(url: str, files: DataFiles) -> LoadReport:
    engine = create_async_engine(url.replace("+psycopg", "+psycopg_async"))
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(lambda sync: load(sync, files))
    finally:
        await engine.dispose()


def test_an_async_engine(one_postgresql: Database, tmp_path: Path) -> None:
    one_postgresql.rows(USERS)
    report = asyncio.run(_load(one_postgresql.url, DataFiles((put(tmp_path, "users.json", [ADA]),))))
    assert totals(report) == {"users": (1, 1, 0, 0, 0)}
    assert one_postgresql.scalar("SELECT count(*) FROM users") == 1


def test_records_with_other_fields(tables: Database, tmp_path: Path) -> None:
    """Rows with and without a default are written apart, and the others together, with null."""
    users = [
        {"id": number, "email": f"{number}", **({"is_active": False} if number % 2 else {"balance": number})}
        for number in range(1, 7)
    ]
    assert totals(into(tables, put(tmp_path, "users.json", users))) == {"users": (6, 6, 0, 0, 0)}
    rows = tables.rows("SELECT id, is_active, balance FROM users ORDER BY id")
    assert [
        (row[0], bool(row[1]), None if row[2] is None else int(str(row[2]).split(".")[0])) for row in rows
    ] == [(number, number % 2 == 0, None if number % 2 else number) for number in range(1, 7)]


def test_another_runner_has_the_lock(one_postgresql: Database, tmp_path: Path) -> None:
    one_postgresql.rows(USERS)
    path = put(tmp_path, "users.json", [ADA])
    migrator = Migrator(one_postgresql.engine(), wait_lock_s=0)
    migrator.load(DataFiles((path,)))
    other = one_postgresql.engine()
    with other.begin() as connection:
        assert Migrator(connection)._dialect.claim(connection, "fluxmig:public.schema_migrations")
        with pytest.raises(LockTimeoutError):
            migrator.load(DataFiles((path,)))


def test_a_record_that_is_longer_than_the_server_takes(mariadb: Database, tmp_path: Path) -> None:
    most = mariadb.scalar("SELECT @@max_allowed_packet")
    assert isinstance(most, int)
    mariadb.rows("CREATE TABLE long_ones (id integer PRIMARY KEY, t longtext)")
    path = put(tmp_path, "long.json", [{"id": 1, "t": "x" * most}])
    with pytest.raises(DatabaseConnectionError) as caught:
        into(mariadb, path, into="long_ones")
    assert caught.value.remedy
    assert caught.value.remedy.endswith("it also hangs up on what is longer than its max_allowed_packet")
    assert mariadb.rows("SELECT id FROM long_ones") == []


def test_bits_and_sets_of_mysql(mariadb: Database, tmp_path: Path) -> None:
    mariadb.rows("CREATE TABLE odd (id integer PRIMARY KEY, is_on bit, bits bit(3), tags set('a', 'bc'))")
    rows = [
        {"id": 1, "is_on": True, "bits": 5, "tags": "a,bc"},
        {"id": 2, "is_on": False, "bits": 0, "tags": ""},
        {"id": 3, "is_on": None, "bits": 8},
    ]
    report = into(mariadb, put(tmp_path, "odd.json", rows), into="odd", max_rejects=1)
    assert [each.reason for each in report.refusals] == ["not between 0 and 7"]
    assert mariadb.rows("SELECT id, is_on + 0, bits + 0, tags FROM odd") == [
        (1, 1, 5, "a,bc"),
        (2, 0, 0, ""),
    ]


def test_the_zone_of_the_session_is_put_back(mariadb: Database, tmp_path: Path) -> None:
    mariadb.rows(USERS)
    engine = mariadb.engine()
    event.listen(engine, "connect", lambda driver, _: driver.cursor().execute("SET time_zone = '+05:00'"))
    twice = DataFiles((put(tmp_path, "users.json", [ADA, ADA]),))
    with pytest.raises(LoadError):
        load(engine, twice)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT @@SESSION.time_zone").scalar() == "+05:00"
