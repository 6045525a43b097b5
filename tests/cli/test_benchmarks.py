"""The benchmarks run; what they find is not looked at."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.chart import bars
from benchmarks.measure import Run, Series
from benchmarks.page import Target
from tests.faults.support import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path


def test_a_smoke(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "benchmarks", "--smoke", "--only", "start-up", "--only", "round-trips"]
    done = subprocess.run(
        [*words, "--results", tmp_path], cwd=REPOSITORY, capture_output=True, encoding="utf-8", check=True
    )
    page = tmp_path / "smoke.md"
    assert done.stdout == f"start-up ...\nround-trips ...\n{page}\n"
    text = page.read_text()
    assert "\n## Starting up\n" in text
    assert "\n| round trips a file | 1 | at most 3  | 3  | met |\n" in text


def test_fleets() -> None:
    counts = ("--schemas", "2", "--far", "3", "--scheduler", "4", "--rounds", "1")
    words = [sys.executable, "-m", "benchmarks.fleet", *counts]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, encoding="utf-8", check=True)
    rows = re.findall(r"^(?:\| )?(\d+ schemas|\d+ targets|run, nothing to do)\b", done.stdout, re.MULTILINE)
    assert rows == ["4 targets", "2 schemas", "3 targets", "run, nothing to do"]


def test_a_target_says_by_how_much_it_is_missed() -> None:
    missed = Target("a case", "the limit", 1.15, 1.38)
    assert missed.cells == ["a case", "the limit", "at most 1.15 times", "1.38 times", "missed by 20 %"]
    met = Target("a speed", "", 25, 61.4, "MB/s", at_least=True)
    assert met.cells == ["a speed", "", "at least 25 MB/s", "61.40 MB/s", "met"]


def test_a_ratio_is_that_of_each_turn() -> None:
    mine, theirs = (Series([Run(second) for second in seconds]) for seconds in ((1, 2, 9), (1, 1, 3)))
    assert mine.ratio(theirs) == 2
    assert (mine.seconds, mine.spread) == (2, 0.0)
    assert Series([Run(second) for second in (1, 2, 3, 4, 5)]).spread == 0.5


def test_bars_are_in_the_order_of_their_lengths() -> None:
    svg = bars("a < b", {"slow": 2.0, "fluxmig": 1.0}, "s")
    assert svg.index(">fluxmig<") < svg.index(">slow<")
    assert 'aria-label="a &lt; b"' in svg
    assert svg.count('class="own"') == 1
