"""Pauses between tries."""

from __future__ import annotations

from itertools import islice

from fluxmig.pauses import growing


def test_each_is_twice_the_one_before_up_to_a_limit() -> None:
    assert list(islice(growing(0.5, 5, chance=lambda: 1.0), 6)) == [0.5, 1, 2, 4, 5, 5]


def test_half_of_each_is_left_to_chance() -> None:
    assert list(islice(growing(0.5, 5, chance=lambda: 0.0), 5)) == [0.25, 0.5, 1, 2, 2.5]
    assert len(set(islice(growing(1, 1), 20))) > 1


def test_they_never_end() -> None:
    (last,) = islice(growing(1, 3, chance=lambda: 1.0), 5000, 5001)
    assert last == 3
