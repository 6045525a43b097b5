"""Files of JSON into DuckDB: what it tells of tables, and what it says of rows, in its own way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from fluxmig import DataFiles, LoadError, LoadReport, OnConflict, Rule, load
from fluxmig.dialects import duckdb_loading

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Database

KINDS: dict[str, tuple[str, Any, str]] = {
    "id": ("integer PRIMARY KEY", 1, "1"),
    "tiny": ("utinyint", 255, "255"),
    "huge": ("hugeint", -(2**127), str(-(2**127))),
    "amount": ("decimal(38, 10)", "12345678901234567890.1234567891", "12345678901234567890.1234567891"),
    "ratio": ("double", 1e-7, "1e-07"),
    "is_on": ("boolean", "false", "false"),
    "key": ("uuid", "6F1C2A90000040008000-00000000000A", "6f1c2a90-0000-4000-8000-00000000000a"),
    "doc": ("json", {"a": [1.10, None, "\0 é"]}, '{"a":[1.1,null,"\\u0000 é"]}'),
    "at": ("timestamptz", "2026-01-05T13:30:00.5+01:00", "2026-01-05 12:30:00.5+00"),
    "plain": ("timestamp", "2026-01-05T13:30:00+01:00", "2026-01-05 12:30:00"),
    "rough": ("timestamp_s", "2026-01-05T13:30:00Z", "2026-01-05 13:30:00"),
    "day": ("date", "2026-01-05", "2026-01-05"),
    "clock": ("time", "09:30", "09:30:00"),
    "raw": ("blob", "AP9cMA==", "\\x00\\xFF\\x5C0"),
    "mood": ("enum('good', 'it''s')", "it's", "it's"),
    "numbers": ("integer[]", [1, None, 3], "[1, NULL, 3]"),
    "words": ("varchar[3]", ['q"\\', "", "NULL"], "['q\"\\\\', '', 'NULL']"),
    "grid": ("decimal(4, 1)[][]", [[1.5], [2, None]], "[[1.5], [2.0, NULL]]"),
    "blobs": ("blob[]", ["AP8=", None], "['\\\\x00\\\\xFF', NULL]"),
    "moods": ("enum('a]', 'b')[]", ["a]"], "['a]']"),
    "span": ("interval", "3 days", "3 days"),
    "pair": ("struct(a integer, b varchar)", "{'a': 1, 'b': x}", "{'a': 1, 'b': x}"),
    "nothing": ("varchar", None, "None"),
    'odd %s :"x': ("varchar", "100% {x} :y\t\n\0z", "100% {x} :y\t\n\0z"),
}


def put(folder: Path, name: str, *records: Any) -> str:
    (folder / name).write_text("".join(f"{json.dumps(each)}\n" for each in records), encoding="utf-8")
    return str(folder / name)


def into(database: Database, path: str, table: str = "", *, max_rejects: int = 0, **said: Any) -> LoadReport:
    files = DataFiles((path,), tuple(filter(None, [table])), rule=Rule("", **said))
    return load(database.engine(), files, max_rejects=max_rejects)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.parametrize("policy", list(OnConflict))
def test_values_of_each_kind(duckdb: Database, tmp_path: Path, policy: OnConflict) -> None:
    columns = ", ".join(f"{quoted(name)} {kind}" for name, (kind, _, _) in KINDS.items())
    duckdb.rows(f"CREATE TABLE kinds ({columns}, twice integer GENERATED ALWAYS AS (id * 2))")
    record = {name: value for name, (_, value, _) in KINDS.items()}
    into(duckdb, put(tmp_path, "kinds.ndjson", record), on_conflict=policy)
    texts = ", ".join(f"CAST({quoted(name)} AS VARCHAR)" for name in KINDS)
    with duckdb.engine().connect() as connection:
        connection.exec_driver_sql("SET TimeZone = 'UTC'")
        row = connection.exec_driver_sql(f"SELECT {texts} FROM kinds").one()
    found = dict(zip(KINDS, map(str, row), strict=True))
    expected = {name: value for name, (_, _, value) in KINDS.items()}
    assert found == expected


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("tiny", 256, "not between 0 and 255"),
        ("amount", "1.00000000001", "11 digits behind the point, and the column takes 10"),
        ("mood", "odd", "not one of good, it's"),
        ("numbers", ["x"], "not a whole number"),
        ("twice", 4, "no column for the field twice (the database computes twice)"),
    ],
)
def test_what_does_not_fit(duckdb: Database, tmp_path: Path, column: str, value: object, reason: str) -> None:
    names = ("tiny", "amount", "mood", "numbers")
    columns = ", ".join(f"{name} {KINDS[name][0]}" for name in names)
    duckdb.rows(f"CREATE TABLE kinds (id integer, {columns}, twice integer GENERATED ALWAYS AS (id * 2))")
    with pytest.raises(LoadError) as caught:
        into(duckdb, put(tmp_path, "kinds.ndjson", {"id": 1}, {"id": 2, column: value}))
    assert caught.value.refusals[0].record == 2
    assert caught.value.refusals[0].reason.startswith(reason)


TABLES = (
    "CREATE SCHEMA app",
    "CREATE TABLE app.a (x decimal(4, 2), y varchar, PRIMARY KEY (x, y))",
    """CREATE TABLE app.b (
      id integer PRIMARY KEY, x decimal(4, 2), y varchar, since timestamptz UNIQUE,
      size integer CHECK (size > 0 OR y = 'any'), FOREIGN KEY (x, y) REFERENCES app.a (x, y)
    )""",
    'CREATE UNIQUE INDEX "by size, y" ON app.b (size, y)',
    "INSERT INTO app.a VALUES (1, 'a, y: 1')",
)
GOOD = {"id": 1, "x": 1, "y": "a, y: 1", "since": "2026-01-05T12:00:00Z", "size": 1}


@pytest.mark.parametrize(
    ("record", "column"),
    [
        ({"id": 1}, "id"),
        ({"id": "1.0"}, "id"),
        ({"since": "2026-01-05T13:00:00+01:00"}, "since"),
        ({"size": 1}, None),
        ({"x": "2.0"}, None),
        ({"y": "a"}, None),
        ({"size": 0}, None),
    ],
)
def test_what_the_database_refuses(
    duckdb: Database, tmp_path: Path, record: dict[str, Any], column: str | None
) -> None:
    for sql in TABLES:
        duckdb.rows(sql)
    base = {**GOOD, "since": None, "size": 7}
    records = [GOOD, {**base, "id": 2, "size": 8}, {**base, "id": 3} | record, {**base, "id": 4, "size": 9}]
    with pytest.raises(LoadError) as caught:
        into(duckdb, put(tmp_path, "b.ndjson", *records), "app.b")
    (refusal,) = caught.value.refusals
    assert (refusal.record, refusal.line, refusal.column) == (3, 3, column)
    assert refusal.code == "ConstraintException"
    assert duckdb.scalar("SELECT count(*) FROM app.b") == 0
    into(duckdb, put(tmp_path, "b.ndjson", GOOD), "app.b")
    with pytest.raises(LoadError) as caught:
        into(duckdb, put(tmp_path, "b.ndjson", records[1], records[2]), "app.b")
    assert caught.value.refusals[0].record == 2


@pytest.mark.parametrize("policy", ["skip", "update"])
def test_rows_with_one_key_in_one_file(duckdb: Database, tmp_path: Path, policy: str) -> None:
    duckdb.rows("CREATE TABLE t (a decimal(4, 2), b varchar, c integer, n integer DEFAULT 5, UNIQUE (a, b))")
    duckdb.rows("INSERT INTO t VALUES (1, 'x', 0, 0)")
    records = [{"a": "1.0", "b": "x", "c": 1}, {"a": 1, "b": "x", "c": 2}, {"a": 2, "b": "x", "c": 3}]
    records += [{"a": "2.00", "b": "x", "c": 4}, {"a": 3, "b": None, "c": 5}, {"a": 3, "b": None, "c": 6}]
    path = put(tmp_path, "t.ndjson", *records)
    report = into(duckdb, path, on_conflict=OnConflict(policy), key="t_a_b_key")
    (of,) = report.tables
    rows = duckdb.rows("SELECT c, n FROM t ORDER BY c")
    if policy == "skip":
        assert (of.inserted, of.updated, of.skipped) == (3, 0, 3)
        assert rows == [(0, 0), (3, 5), (5, 5), (6, 5)]
    else:
        assert (of.inserted, of.updated, of.skipped) == (3, 3, 0)
        assert rows == [(2, 0), (4, 5), (5, 5), (6, 5)]


def test_a_sequence_is_moved(duckdb: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb.rows("CREATE SCHEMA app")
    duckdb.rows('CREATE SEQUENCE app."it\'s odd" INCREMENT 5')
    duckdb.rows("CREATE TABLE t (id integer DEFAULT nextval('app.\"it''s odd\"') PRIMARY KEY, name varchar)")
    report = into(duckdb, put(tmp_path, "t.ndjson", {"id": 42}, {"id": 3}))
    assert [finding.message for finding in report.findings] == ['app."it\'s odd" is moved to 46']
    duckdb.rows("INSERT INTO t (name) VALUES ('next')")
    assert duckdb.scalar("SELECT max(id) FROM t") == 51
    assert into(duckdb, put(tmp_path, "t.ndjson", {"id": 4})).findings == ()
    monkeypatch.setattr(duckdb_loading, "_FURTHEST", 10)
    report = into(duckdb, put(tmp_path, "t.ndjson", {"id": 200}))
    assert [finding.message for finding in report.findings] == [
        'app."it\'s odd" stays at 51, for id goes up to 200, which is too far'
    ]


def test_what_does_not_fit_may_be_refused_and_what_duckdb_refuses_not(
    duckdb: Database, tmp_path: Path
) -> None:
    duckdb.rows("CREATE TABLE t (id integer PRIMARY KEY)")
    report = into(duckdb, put(tmp_path, "t.ndjson", {"id": 1}, {"id": "x"}, {"id": 3}), max_rejects=2)
    assert (report.tables[0].inserted, report.tables[0].refused) == (2, 1)
    with pytest.raises(LoadError) as caught:
        into(duckdb, put(tmp_path, "t.ndjson", {"id": 4}, {"id": 1}), max_rejects=2)
    assert caught.value.message.endswith("[ConstraintException]")
    assert duckdb.scalar("SELECT count(*) FROM t") == 2


@pytest.mark.parametrize(("first", "record"), [(1, 2), (9, None)])
def test_two_keys_of_which_one_is_refused(
    duckdb: Database, tmp_path: Path, first: int, record: int | None
) -> None:
    """DuckDB names the column of the other table, and both are called so there."""
    for name in ("a", "b"):
        duckdb.rows(f"CREATE TABLE {name} (id integer PRIMARY KEY)")
    duckdb.rows("INSERT INTO a SELECT * FROM range(1, 10)")
    duckdb.rows("INSERT INTO b SELECT * FROM range(1, 9)")
    duckdb.rows("CREATE TABLE t (a integer REFERENCES a (id), b integer REFERENCES b (id))")
    path = put(tmp_path, "t.ndjson", {"a": first, "b": 1}, {"a": 9 if first == 1 else 1, "b": 9})
    with pytest.raises(LoadError) as caught:
        into(duckdb, path)
    assert [(of.record, of.column) for of in caught.value.refusals] == [(record, None)]
