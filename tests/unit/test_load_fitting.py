"""Records of many kinds -> rows, and which of them does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from fluxmig.loading import matching
from fluxmig.loading.fitting import Fitter, MisfitError
from fluxmig.loading.nouns import OnConflict, Rule, Source
from fluxmig.loading.paths import EACH
from fluxmig.loading.tables import Column, ForeignKey, Kind, Rows, TableShape

COLUMNS = (
    Column("id", Kind.INTEGER, nullable=False),
    Column("name"),
    Column("note"),
    Column("state", has_default=True),
    Column("rest", Kind.JSONB),
)
PARENT = TableShape("a", {column.name: column for column in COLUMNS})
CHILD = TableShape(
    "b",
    {"a_id": Column("a_id", Kind.INTEGER, nullable=False), "tag": Column("tag", nullable=False)},
    foreign_keys=(ForeignKey("k", ("a_id",), "a", ("id",)),),
)


def fit(records: list[Any], **said: Any) -> list[Rows]:
    fitter = Fitter.of(Rule("a", file="f", **said), {"a": PARENT, "b": CHILD})
    return fitter.fit(records, range(1, len(records) + 1))


def rows(records: list[Any], **said: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(found.table, found.row(place)) for found in fit(records, **said) for place in range(len(found))]


TAGS = Rule("b", ("tags", EACH), "f", columns={"tag": Source()})


@pytest.mark.parametrize(
    ("record", "said", "expected"),
    [
        ({"id": 1, "Name": "x"}, {}, {"id": 1, "name": "x"}),
        ({"id": 1, "x": {"y": "z"}}, {"columns": {"name": Source(("x", "y"))}}, {"id": 1, "name": "z"}),
        ({"id": 1, "x": {}}, {"columns": {"name": Source(("x", "y"), default="d")}}, {"id": 1, "name": "d"}),
        ({"id": 1}, {"columns": {"note": Source(value="c")}}, {"id": 1, "note": "c"}),
        ({"id": 1, "x": 2, "y": 3}, {"rest_into": "rest"}, {"id": 1, "rest": '{"x":2,"y":3}'}),
        ({"id": 1, "rest": [1]}, {"rest_into": "rest"}, {"id": 1, "rest": "[1]"}),
        ({"id": 1, "x": 2}, {"ignore_unknown": True}, {"id": 1}),
        ({"id": 1, "x": 2}, {"ignore": frozenset({"x"})}, {"id": 1}),
    ],
)
def test_how_fields_find_columns(record: Any, said: dict[str, Any], expected: dict[str, Any]) -> None:
    assert rows([record], **said) == [("a", expected)]


def test_rows_with_and_without_a_field() -> None:
    """Null stands where others have a value; a default is left to the database."""
    found = rows([{"id": 1}, {"id": 2, "name": "x"}, {"id": 3, "state": "s"}, {"id": 4, "note": "n"}])
    assert [row for _, row in found] == [
        {"id": 1},
        {"id": 2, "name": "x"},
        {"id": 3, "name": None, "state": "s"},
        {"id": 4, "name": None, "note": "n"},
    ]
    update = {"on_conflict": OnConflict.UPDATE}
    assert [row for _, row in rows([{"id": 1, "name": "x"}, {"id": 1, "note": "n"}], **update)] == [
        {"id": 1, "name": "x"},
        {"id": 1, "note": "n"},
    ]


def test_children() -> None:
    records = [{"id": 1, "tags": ["x", "y"]}, {"id": 2}, {"id": 3, "tags": None}, {"id": 4, "tags": ["z"]}]
    found = [row for table, row in rows(records, children=(TAGS,)) if table == "b"]
    assert found == [{"a_id": 1, "tag": "x"}, {"a_id": 1, "tag": "y"}, {"a_id": 4, "tag": "z"}]


def test_records_below_the_elements_of_an_array() -> None:
    records = [{"in": {"it": [{"id": 1}, {"id": 2}]}}, {"in": {}}, {"in": {"it": [{"id": 3}]}}]
    found = fit(records, path=(EACH, "in", "it", EACH))
    assert [(list(some.numbers), some.columns[0]) for some in found] == [([1, 1, 3], [1, 2, 3])]


@pytest.mark.parametrize(
    ("records", "said", "place", "text"),
    [
        ([{"id": 1}, {"id": "x"}, {"id": "y"}], {}, 1, 'record 2, $[*].id -> a.id: not a whole number: "x"'),
        ([{"id": 1}, 5], {}, 1, "record 2, $[*] -> a: not an object, and no column takes the value itself"),
        ([{}], {}, 0, "record 1, $[*].id -> a.id: missing, and the column takes no null and has no default"),
        (
            [{"id": 1, "rest": {}, "x": 2}],
            {"rest_into": "rest"},
            0,
            "record 1, $[*] -> a.rest: it takes a value of its own, and the rest (x) cannot go there, too",
        ),
        (
            [{"id": 1, "tags": ["x"]}, {"id": 2, "tags": ["x", "y", {}, 1]}],
            {"children": (TAGS,)},
            1,
            "record 2, $[*].tags[*] -> b.tag: an object, and not a string: {}",
        ),
        (
            [{"id": 1, "tags": "x"}],
            {"children": (TAGS,)},
            0,
            "record 1, $[*].tags[*] -> b: $.tags is no array",
        ),
        (
            [{"id": 1, "name": ["x" * 99]}],
            {},
            0,
            f'record 1, $[*].name -> a.name: an array, and not a string: ["{"x" * 57}…',
        ),
        ([{"id": 1, "x\ud800": 1}], {}, 0, "record 1, $[*] -> a: no column for the field x\\ud800; "),
    ],
)
def test_which_record_does_not_fit(records: list[Any], said: dict[str, Any], place: int, text: str) -> None:
    with pytest.raises(MisfitError) as caught:
        fit(records, **said)
    assert caught.value.place == place
    assert str(caught.value.refusal).startswith(f"f: {text}")
    assert "; " in text or str(caught.value.refusal) == f"f: {text}"


def test_plans_of_maps_are_not_kept_for_ever() -> None:
    fitter = Fitter.of(Rule("a", rest_into="rest"), {"a": PARENT, "b": CHILD})
    for number in range(3 * matching._MOST):
        fitter.fit([{"id": number, f"field {number}": 1}], [1])
    assert len(fitter.matcher._plans) <= matching._MOST + 1
