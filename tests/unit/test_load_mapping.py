"""What a mapping says, what files alone mean, and in which order tables are written."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from fluxmig.errors import ConfigError, DataFileError
from fluxmig.loading import mapping
from fluxmig.loading.guessing import mapping_of
from fluxmig.loading.nouns import DataFiles, LoadMapping, OnConflict, Rule, Source
from fluxmig.loading.order import in_order
from fluxmig.loading.paths import EACH
from fluxmig.loading.planning import plan
from fluxmig.loading.tables import Column, ForeignKey, Kind, TableShape

if TYPE_CHECKING:
    from pathlib import Path


def one(**entry: Any) -> Rule:
    (rule,) = mapping.of_dict({"load": [{"file": "a.json", "table": "a", **entry}]}).rules
    return rule


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$", ()),
        ("$[*]", (EACH,)),
        ("$.users[*]", ("users", EACH)),
        ("$.a.b-c[*].d[]", ("a", "b-c", EACH, "d", EACH)),
    ],
)
def test_paths(text: str, expected: tuple[str, ...]) -> None:
    assert mapping.steps(text) == expected


@pytest.mark.parametrize("text", ["", "users", "$users", "$.", "$.a[0]", "$..a", "$[*]x"])
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        mapping.steps(text)
    assert str(caught.value) == f"path: {text!r} is no path\nas in $.users[*], or $.projects[*].members[*]"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("displayName", "display_name"),
        ("URL", "url"),
        ("avatarURL", "avatar_url"),
        ("HTTPServer", "http_server"),
        ("project-members", "project_members"),
        ("a_b", "a_b"),
        ("line2Text", "line2_text"),
    ],
)
def test_snake_case(name: str, expected: str) -> None:
    assert mapping.snake(name) == expected


def test_what_is_said_of_columns() -> None:
    said = {
        "a": "b.c",
        "d": ".",
        "e": "parent.id",
        "f": {"value": 5},
        "g": {"from": "x", "default": False, "epoch": "ms"},
        "h": {"from": "y", "encoding": "hex"},
    }
    assert one(columns=said).columns == {
        "a": Source(("b", "c")),
        "d": Source(()),
        "e": Source(parent="id"),
        "f": Source(value=5),
        "g": Source(("x",), default=False, epoch="ms"),
        "h": Source(("y",), encoding="hex"),
    }


def test_a_file_of_toml(tmp_path: Path) -> None:
    text = """
    zone = "UTC"
    on-conflict = "update"
    [[load]]
    file = "data/users.ndjson.gz"
    table = "app.users"
    ignore = ["x"]
    rest-into = "rest"
    key = "users_email_key"
    [[load.children]]
    path = "tags[*]"
    table = "tags"
    on-conflict = "skip"
    """
    (tmp_path / "load.toml").write_text(text)
    file = str(tmp_path / "data" / "users.ndjson.gz")
    child = Rule("tags", ("tags", EACH), file, zone="UTC", on_conflict=OnConflict.SKIP)
    assert mapping.read(tmp_path / "load.toml") == LoadMapping(
        (
            Rule(
                "app.users",
                file=file,
                lines=True,
                ignore=frozenset({"x"}),
                rest_into="rest",
                on_conflict=OnConflict.UPDATE,
                key="users_email_key",
                zone="UTC",
                children=(child,),
            ),
        )
    )


LEAVE = "Correct it, or leave it out."


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"tabel": "a"}, "mapping: load 1: tabel: unknown key\nDid you mean table?"),
        ({"columns": []}, f"mapping: load 1: columns: must be a table\n{LEAVE}"),
        ({"lines": 1}, f"mapping: load 1: lines: must be true or false\n{LEAVE}"),
        ({"table": ""}, 'mapping: load 1: table is missing\ntable = "users"'),
        ({"on-conflict": "x"}, f"mapping: load 1: on-conflict: must be one of error, skip, update\n{LEAVE}"),
        ({"zone": "Mars"}, "mapping: load 1: zone: 'Mars' is no time zone\nas in UTC, or Europe/Berlin"),
        (
            {"rest-into": "r", "ignore-unknown": True},
            "mapping: load 1: rest-into and ignore-unknown\ntake one of the two",
        ),
        (
            {"columns": {"a": {}}},
            'mapping: load 1: columns: a: must have from or value\nas in { from = "owner.id" }',
        ),
        (
            {"columns": {"a": 5}},
            (
                "mapping: load 1: columns: a: must be a path, or a table\n"
                'as in "owner.id", or { value = "import" }'
            ),
        ),
        (
            {"columns": {"a": {"from": "b", "epoch": "h"}}},
            "mapping: load 1: columns: a: epoch: must be one of s, ms, us\nthe unit of the number",
        ),
        (
            {"columns": {"a": {"value": {"b": [1.5, float("nan")]}}}},
            f"mapping: load 1: columns: a: value: must be a value of JSON\n{LEAVE}",
        ),
        (
            {"columns": {"a": {"from": "b", "default": [date(2026, 1, 5)]}}},
            f"mapping: load 1: columns: a: default: must be a value of JSON\n{LEAVE}",
        ),
        (
            {"columns": {"a": "b[*]"}},
            "mapping: load 1: columns: a: a column has one value\nchildren make rows of an array",
        ),
        (
            {"children": [{"table": "b"}]},
            'mapping: load 1: child 1: path is missing\npath = "members[*]", as seen from the record',
        ),
        (
            {"lines": True, "path": "$.a[*]"},
            (
                "mapping: load 1: path: a file of lines has no document around them\n"
                'leave path out, or begin it with "$[*]", which is a line'
            ),
        ),
    ],
)
def test_what_is_no_mapping(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        one(**entry)
    assert str(caught.value) == message


def test_constants_keep_their_digits(tmp_path: Path) -> None:
    (tmp_path / "load.toml").write_text(
        '[[load]]\nfile = "x.json"\ntable = "a"\ncolumns.b = { value = 0.10 }\n'
    )
    (rule,) = mapping.read(tmp_path / "load.toml").rules
    assert repr(rule.columns["b"].value) == repr(Decimal("0.10"))
    assert repr(one(columns={"a": {"value": [0.1]}}).columns["a"].value) == repr([Decimal("0.1")])


def test_mappings_of_nothing(tmp_path: Path) -> None:
    for text, message in (
        ("", "it has no [[load]]"),
        ("x", "not TOML: Expected '=' after a key"),
    ):
        (tmp_path / "load.toml").write_text(text)
        with pytest.raises(ConfigError) as caught:
            mapping.read(tmp_path / "load.toml")
        assert caught.value.message.startswith(f"{tmp_path / 'load.toml'}: {message}")
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        mapping.read(tmp_path / "none.toml")


# --- files alone ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "document", "into", "expected"),
    [
        ("users.json", [], (), [("users", (EACH,))]),
        ("userSettings.json", [], (), [("user_settings", (EACH,))]),
        ("users.json", {"people": [], "n": 1}, (), [("users", ("people", EACH))]),
        ("export.json", {"projectMembers": []}, (), [("project_members", ("projectMembers", EACH))]),
        ("x.json", {"a": [], "b": []}, ("b", "a"), [("b", ("b", EACH)), ("a", ("a", EACH))]),
        ("x.json", [], ("users",), [("users", (EACH,))]),
        ("x.ndjson", {}, ("users",), [("users", (EACH,))]),
    ],
)
def test_files_alone(
    tmp_path: Path, name: str, document: object, into: tuple[str, ...], expected: object
) -> None:
    (tmp_path / name).write_text(json.dumps(document))
    tables = ["users", "project_members"]
    rules = mapping_of(DataFiles((str(tmp_path / name),), into), lambda: tables).rules
    assert [(rule.table, rule.path) for rule in rules] == expected


@pytest.mark.parametrize(
    ("document", "into", "message"),
    [
        ({"a": [], "b": []}, (), "x.json holds several arrays: a, b"),
        ({"a": [], "b": []}, ("a", "c"), "x.json holds several arrays: a, b"),
        ({"a": 1}, (), "x.json holds an object without an array in it"),
        (5, (), "x.json holds a single value"),
        ([], ("a", "b"), "x.json holds one array, and --into names 2 tables"),
    ],
)
def test_files_that_do_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: object, into: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.json").write_text(json.dumps(document))
    with pytest.raises(ConfigError) as caught:
        mapping_of(DataFiles(("x.json",), into), list)
    assert caught.value.message == message


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataFileError) as caught:
        mapping_of(DataFiles((str(tmp_path / "x.json"),)), list)
    assert caught.value.message == f"{tmp_path}/x.json: the file is empty"


# --- the order of tables ----------------------------------------------------------------------------------


def tables(*keys: str) -> dict[str, TableShape]:
    """Of `a>b`, a refers to b; `a>>b`, by a key that can wait."""
    shapes = {name: TableShape(name, {}) for name in "abcd"}
    for key in keys:
        name, table = key[0], key[-1]
        found = ForeignKey(f"{name}_{table}", (f"{table}_id",), table, ("id",), deferrable=">>" in key)
        shapes[name] = TableShape(name, {}, foreign_keys=(*shapes[name].foreign_keys, found))
    return shapes


@pytest.mark.parametrize(
    ("keys", "order", "deferred"),
    [
        ((), "abcd", False),
        (("a>b", "b>c"), "cbad", False),
        (("a>d", "c>a", "b>c"), "dacb", False),
        (("a>b", "b>>a"), "cdba", True),
        (("a>a",), "abcd", True),
        (("a>x",), "abcd", False),
    ],
)
def test_the_order_of_tables(keys: tuple[str, ...], order: str, *, deferred: bool) -> None:
    filled = dict.fromkeys("abcd", frozenset({"a_id", "b_id"}))
    assert in_order(tables(*keys), filled, defers=False) == (tuple(order), deferred)


def test_a_circle() -> None:
    shapes = tables("a>b", "b>c", "c>a")
    filled = {name: frozenset({"a_id", "b_id", "c_id"}) for name in "abcd"}
    with pytest.raises(ConfigError) as caught:
        in_order(shapes, filled, defers=False)
    assert caught.value.message == (
        "a -> b -> c -> a: these tables refer to each other, by keys that are checked at once (a_b, b_c, c_a)"
    )
    assert in_order(shapes, filled, defers=True)[1]
    assert in_order(shapes, filled | {"b": frozenset()}, defers=False)[0] == ("d", "b", "a", "c")


# --- plans ------------------------------------------------------------------------------------------------

COLUMNS = {"id": Column("id", Kind.INTEGER, nullable=False), "name": Column("name")}
PARENT = TableShape("a", COLUMNS, ("id",), {"a_pkey": ("id",)})
CHILD = TableShape(
    "b", {**COLUMNS, "a_id": Column("a_id")}, foreign_keys=(ForeignKey("k", ("a_id",), "a", ("id",)),)
)


def planned(*rules: Rule, batch: int | None = None) -> Any:
    return plan(LoadMapping(rules), {"a": PARENT, "b": CHILD}, defers=False, keeps_nul=True, batch=batch)


@pytest.mark.parametrize(
    ("rules", "batch", "message"),
    [
        ([Rule("a", columns={"x": Source()})], None, "a.x: there is no such column"),
        ([Rule("a", columns={"name": Source(parent="id")})], None, "a.name: there is no parent"),
        ([Rule("a", rest_into="x")], None, "a.x is not there"),
        ([Rule("a", rest_into="id")], None, "a.id is text, and not JSON"),
        ([Rule("b", on_conflict=OnConflict.SKIP)], None, "b has no primary key"),
        (
            [Rule("a", key="a_pkey")],
            None,
            "a: a_pkey is to tell a conflict, which is an error by any key",
        ),
        (
            [Rule("a", file="x"), Rule("a", file="y", on_conflict=OnConflict.SKIP)],
            None,
            "a: two rules differ in on-conflict or key",
        ),
        (
            [Rule("a", file="-"), Rule("b", ("x", EACH), file="-")],
            None,
            "standard input is to be read twice, and can be once",
        ),
        ([Rule("a", file="-")], 5, "standard input cannot be gone on with"),
        (
            [Rule("a", file="x/a.json"), Rule("a", file="y/a.json")],
            5,
            "two files are called a.json, and the log could not tell how far each has come",
        ),
        ([Rule("a", children=(Rule("a", ("x",)),))], None, "no foreign key leads from a to a"),
        (
            [Rule("a", children=(Rule("b", ("x",), columns={"a_id": Source(parent="no")}),))],
            None,
            "b.a_id: a has no column no",
        ),
    ],
)
def test_what_cannot_be_planned(rules: list[Rule], batch: int | None, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(*rules, batch=batch)
    assert caught.value.message == message


def test_passes() -> None:
    """What reads one array is read once; a file that is read twice is read by two."""
    found = planned(Rule("b", ("b", EACH), "x"), Rule("a", ("a", EACH), "x"), Rule("b", ("b", EACH), "x"))
    assert found.order == ("a", "b")
    assert [(each.root, len(each.fitters)) for each in found.passes] == [(("a", EACH), 1), (("b", EACH), 2)]
