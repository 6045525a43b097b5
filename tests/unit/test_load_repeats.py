"""Keys that records of a file share: which are told, and which only look alike."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fluxmig.loading.nouns import OnConflict
from fluxmig.loading.repeats import Repeats
from fluxmig.loading.tables import Rows, TableShape, Target

TABLE = TableShape("t", {}, ("a",), {"t_pkey": ("a",), "t_b_c_key": ("b", "c")})


def told(rows: Rows, on_conflict: OnConflict = OnConflict.ERROR) -> list[tuple[int, str | None]]:
    """The numbers of the records that come too late, and their keys."""
    repeats = Repeats([Target(TABLE, on_conflict)])
    found = [(refusal.record or 0, refusal.value) for refusal in repeats.among(rows, "t.json")]
    assert (repeats.table is None) == (not found)
    return found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([-1, -2, 0, 2**61 - 1], []),
        ([-1, -2, -1], [(12, "a = -1")]),
        ([Decimal(-1), Decimal(-2)], []),
        ([Decimal("1.0"), Decimal("1.00")], [(11, "a = 1.00")]),
        ([-1.0, -2.0, -2.0], [(12, "a = -2.0")]),
        (["x", "y", "x", "x"], [(12, "a = x"), (13, "a = x")]),
        ([[-1], [-2], [-1]], [(12, "a = [-1]")]),
        ([{"k": 1}, {"k": 2}, {"k": 1}], [(12, "a = {'k': 1}")]),
        ([None, None], []),
    ],
)
def test_keys(values: list[Any], expected: list[tuple[int, str]]) -> None:
    rows = Rows("t", ("a",), [values], range(10, 10 + len(values)))
    assert told(rows) == expected
    assert told(rows, OnConflict.SKIP) == []


def test_keys_of_several_columns() -> None:
    rows = Rows("t", ("c", "b"), [[1, 2, 1], ["x", "x", "x"]], range(1, 4))
    assert told(rows) == [(3, "b = x, c = 1")]
