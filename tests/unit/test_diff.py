"""Unified diffs: golden ones, any two texts, and those that would take hours."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxmig import diff
from fluxmig.diff import hunks

TEN = "".join(f"{number}\n" for number in range(1, 11))

GOLDEN: dict[str, tuple[str, str, str]] = {
    "equal": (TEN, TEN, ""),
    "both empty": ("", "", ""),
    "one line": ("a\n", "b\n", "@@ -1 +1 @@\n-a\n+b\n"),
    "added to nothing": ("", "a\nb\n", "@@ -0,0 +1,2 @@\n+a\n+b\n"),
    "all removed": ("a\nb\n", "", "@@ -1,2 +0,0 @@\n-a\n-b\n"),
    "three lines around": (
        TEN,
        TEN.replace("5", "five"),
        "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n",
    ),
    "two places, near": (
        TEN,
        TEN.replace("2\n", "").replace("9", "nine"),
        "@@ -1,10 +1,9 @@\n 1\n-2\n 3\n 4\n 5\n 6\n 7\n 8\n-9\n+nine\n 10\n",
    ),
    "two places, apart": (
        TEN,
        TEN.replace("1\n2", "0\n1\n2").replace("10", "ten"),
        "@@ -1,3 +1,4 @@\n+0\n 1\n 2\n 3\n@@ -7,4 +8,4 @@\n 7\n 8\n 9\n-10\n+ten\n",
    ),
    "the last line ends now": (
        "a\nb",
        "a\nb\n",
        "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n",
    ),
    "the last line ends no more": (
        "a\n",
        "a",
        "@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n",
    ),
    "neither ends": (
        "a\nb",
        "c\nb",
        "@@ -1,2 +1,2 @@\n-a\n+c\n b\n\\ No newline at end of file\n",
    ),
    "comments": ("-- a\n", "++ b\n", "@@ -1 +1 @@\n--- a\n+++ b\n"),
    "what Python takes for line ends": (
        "a\x0cb\u2028c\n",
        "a\x0cb\u2028d\n",
        "@@ -1 +1 @@\n-a\x0cb\u2028c\n+a\x0cb\u2028d\n",
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), GOLDEN.values(), ids=GOLDEN)
def test_hunks(old: str, new: str, expected: str) -> None:
    assert "".join(hunks(old, new)) == expected


def applied(old: str, lines: list[str]) -> str:
    """The text after a diff: what `patch` makes of it."""
    before = re.findall(r"[^\n]*\n|[^\n]+\Z", old)
    after: list[str] = []
    at = 0
    kept = None
    for line in lines:
        if head := re.fullmatch(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@\n", line):
            start = int(head[1]) - (head[2] != "0")
            after += before[at:start]
            at = start
            assert len(after) == int(head[3]) - (head[4] != "0")
        elif line == "\\ No newline at end of file\n":
            if kept:
                after[-1] = after[-1].removesuffix("\n")
        else:
            kept = line[0] in " +"
            if kept:
                after.append(line[1:])
            if line[0] in " -":
                assert before[at].removesuffix("\n") == line[1:].removesuffix("\n")
                at += 1
    return "".join([*after, *before[at:]])


TEXT = st.text("ab\n", max_size=60)


@given(TEXT, TEXT)
def test_a_diff_makes_one_text_of_the_other(old: str, new: str) -> None:
    assert applied(old, list(hunks(old, new))) == new


@given(st.text("abcdefgh\n", max_size=200), st.text("abcdefgh\n", max_size=200), st.integers(0, 30))
def test_also_where_it_is_cut(old: str, new: str, pairs: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diff, "_PAIRS", pairs)
        lines = list(hunks(old, new))
    assert applied(old, lines) == new


def changed(lines: list[str]) -> int:
    return sum(line[0] in "+-" for line in lines)


def rows(count: int) -> list[str]:
    return [f"INSERT INTO t VALUES ({number}, 'some words');\n" for number in range(count)]


def test_few_changes_of_a_large_file_stay_few() -> None:
    old = rows(26_000)
    new = ["-- first\n", *old[:13_000], "-- middle\n", *old[13_000:-1], "-- last\n"]
    lines = list(hunks("".join(old), "".join(new)))
    assert (len("".join(old)) > 2**20, changed(lines)) == (True, 4)
    assert applied("".join(old), lines) == "".join(new)


def test_many_changes_of_a_large_file_stay_apart() -> None:
    old = rows(26_000)
    new = [line.replace("some", "other") if number % 2 else line for number, line in enumerate(old)]
    assert changed(list(hunks("".join(old), "".join(new)))) == 26_000


RANDOM = random.Random(4)


def at_random(kinds: int, count: int) -> list[str]:
    return RANDOM.choices([f"{kind}\n" for kind in range(kinds)], k=count)


LARGE: dict[str, tuple[list[str], list[str]]] = {
    "every line differs": (rows(26_000), [line.upper() for line in rows(26_000)]),
    "another order": (rows(26_000), RANDOM.sample(rows(26_000), 26_000)),
    "one line over and over": (["x\n"] * 500_000, ["x\n"] * 400_000),
    "two lines at random": (at_random(2, 500_000), at_random(2, 500_000)),
    "hundreds of lines at random": (at_random(500, 250_000), at_random(500, 250_000)),
    "the worst that is compared": (["a\n", "a\n", "b\n"] * 166, ["a\n", "b\n", "b\n"] * 166),
}


@pytest.mark.parametrize(("old", "new"), LARGE.values(), ids=LARGE)
def test_it_takes_seconds_at_most(old: list[str], new: list[str]) -> None:
    started = time.process_time()
    lines = list(hunks("".join(old), "".join(new)))
    assert time.process_time() - started < 10  # about 1 s at most
    assert applied("".join(old), lines) == "".join(new)
