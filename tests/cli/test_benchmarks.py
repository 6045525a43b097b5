"""The benchmarks run, each case once with a few files; what they find is not looked at."""

from __future__ import annotations

import cProfile
import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import profiles, readme
from benchmarks.bench import AGAIN, drift, times
from benchmarks.cases import CASES
from benchmarks.chart import bars
from benchmarks.measure import Run, Series
from benchmarks.mix import files, tables
from benchmarks.page import Section, Target, write
from fluxmig.sql import POSTGRESQL, split
from tests.faults.support import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

PARTS = (
    ("start-up", "round-trips"),
    ("nothing", "fresh", "pending", "many", "distance", "modes"),
    ("splitting", "large", "status", "profile"),
)


@pytest.mark.timeout(600)  # processes by the hundred, beside other tests
@pytest.mark.parametrize(
    "cases", [PARTS[0], *(pytest.param(part, marks=pytest.mark.long) for part in PARTS[1:])], ids=",".join
)
def test_a_smoke(tmp_path: Path, cases: tuple[str, ...]) -> None:
    only = [word for case in cases for word in ("--only", case)]
    words: list[str | Path] = [sys.executable, "-m", "benchmarks", "--smoke", *only, "--results", tmp_path]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, encoding="utf-8", check=True)
    page = tmp_path / "smoke.md"
    assert done.stdout == "".join(f"{case} ...\n" for case in cases) + f"{page}\n"
    text = page.read_text()
    assert text.count("\n## ") >= len(cases)
    if "round-trips" in cases:
        assert "\n| round trips a file | 1 | at most 3  | " in text
        assert json.loads((tmp_path / "smoke.json").read_text())["figures"]["round trips"]["fluxmig"] <= 3
    if "profile" in cases:
        assert "\n| sqlalchemy | " in text


def test_every_case_has_its_smoke() -> None:
    assert sorted(case for part in PARTS for case in part) == sorted(CASES)


# --- what is measured -------------------------------------------------------------------------------------


def series(*seconds: float) -> Series:
    return Series([Run(each, each / 2, 2000) for each in seconds])


def test_a_ratio_is_that_of_each_turn() -> None:
    mine, theirs = series(1, 2, 9), series(1, 1, 3)
    assert mine.ratio(theirs) == 2
    assert mine.seconds == 2


@pytest.mark.parametrize(
    ("seconds", "spread", "time"),
    [
        ((4,), 0.0, "4.000 s"),
        ((1, 2, 9), 2.0, "2.000 s ± 200 %"),
        ((1, 2, 3, 4, 5), 0.5, "3.000 s ± 50 %"),
    ],
)
def test_how_far_it_spreads(seconds: tuple[float, ...], spread: float, time: str) -> None:
    assert (series(*seconds).spread, series(*seconds).time) == (spread, time)


def test_a_table_of_times() -> None:
    found = {"psql": series(2), "fluxmig": series(3)}
    assert times(found, "psql", {"fluxmig": 1.0}, memory=True).splitlines() == [
        "|  | time | its own processor time | times psql | without one file's | memory at most |",
        "| --- | --- | --- | --- | --- | --- |",
        "| psql | 2.000 s | 1.000 s | 1.00 |  | 2 MB |",
        "| fluxmig | 3.000 s | 1.500 s | 1.50 | 2.000 s | 2 MB |",
    ]


@pytest.mark.parametrize(("again", "warns"), [(1.05, False), (1.2, True), (0.8, True)])
def test_a_control_that_drifts_is_told(again: float, warns: bool) -> None:  # noqa: FBT001
    part, sentence = drift({"psycopg loop": series(1), AGAIN: series(again)})
    assert part == pytest.approx(abs(again - 1))
    assert ("not quiet enough" in sentence) == warns


def test_the_tables_of_the_mix_are_those_of_its_files() -> None:
    made = [statement.first_line for statement in split(tables(10).encode(), POSTGRESQL)]
    assert made == [
        line for _, text in files(10) for line in text.splitlines() if line.startswith("CREATE TABLE")
    ]


# --- what is shown ----------------------------------------------------------------------------------------

MISSED = Target("a case", "the limit", 1.15, 1.38, why="It starts.")


@pytest.mark.long
def test_fleets() -> None:
    counts = ("--schemas", "2", "--far", "3", "--scheduler", "4", "--rounds", "1")
    words = [sys.executable, "-m", "benchmarks.fleet", *counts]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, encoding="utf-8", check=True)
    rows = re.findall(r"^(?:\| )?(\d+ schemas|\d+ targets|run, nothing to do)\b", done.stdout, re.MULTILINE)
    assert rows == ["4 targets", "2 schemas", "3 targets", "run, nothing to do"]


def test_a_target_says_by_how_much_it_is_missed() -> None:
    assert MISSED.cells == ["a case", "the limit", "at most 1.15 times", "1.38 times", "missed by 20 %"]
    met = Target("a speed", "", 25, 61.4, "MB/s", at_least=True)
    assert met.cells == ["a speed", "", "at least 25 MB/s", "61.40 MB/s", "met"]


def test_a_page(tmp_path: Path) -> None:
    met = replace(MISSED, found=1.0)
    sections = [
        Section("One", ["A text."], [MISSED, met], {"A chart": "<svg/>"}, {"one": {"fluxmig": 1.5}}, [0.02]),
        Section("Two", drifts=[0.25]),
    ]
    page = write(tmp_path, "some", sections, {"psql": "18"})
    text = page.read_text()
    assert "psql 18." in text
    assert "drifts by 25 % at most: **the machine was not quiet enough for these figures**.\n" in text
    missed = (
        "\n## What is missed, and why\n\n- a case, beside the limit: missed by 20 %. It starts.\n\n## One"
    )
    assert missed in text
    assert "![A chart](some-a-chart.svg)\n\nA text.\n" in text
    assert (tmp_path / "some-a-chart.svg").read_text() == "<svg/>"
    document = json.loads((tmp_path / "some.json").read_text())
    assert document["figures"] == {"one": {"fluxmig": 1.5}}
    assert [target["found"] for target in document["targets"]] == [1.38, 1.0]


def test_bars_are_in_the_order_of_their_lengths() -> None:
    svg = bars("a < b", {"slow": 2.0, "fluxmig": 1.0}, "s", first={"slow": 0.5})
    assert svg.index(">fluxmig<") < svg.index(">slow<")
    assert 'aria-label="a &lt; b"' in svg
    assert svg.count('class="own"') == svg.count('class="first"') == 1


def test_what_is_loaded_is_counted_by_package() -> None:
    modules = {"json": 1.0, "_json": 0.5, "psycopg.sql": 2.0, "psycopg_binary": 4.0, "fluxmig": 3.0}
    assert profiles.loaded(modules) == [("psycopg", 2, 6.0), ("fluxmig", 1, 3.0), ("Python's own", 2, 1.5)]


def test_what_is_built_in_counts_for_who_calls_it(tmp_path: Path) -> None:
    profiler = cProfile.Profile(time.process_time)
    profiler.runcall(lambda: [split(b"SELECT 1;" * 1000, POSTGRESQL) for _ in range(10)])
    profiler.dump_stats(tmp_path / "statistics")
    parts = dict(profiles.shares(tmp_path / "statistics"))
    assert parts["fluxmig.sql"] == max(parts.values())
    assert sum(parts.values()) == pytest.approx(1)


# --- the README -------------------------------------------------------------------------------------------

FIGURES: dict[str, Any] = {
    "one file": {"fluxmig": 0.5, "dbmate": 0.1},
    "disk 100": {"fluxmig": {"seconds": 0.7}, "dbmate": {"seconds": 0.4}},
    "disk 1000": {
        "dbmate": {"seconds": 3.0},
        "fluxmig": {"seconds": 2.5},
        "psql": {"seconds": 2.0},
        AGAIN: {"seconds": 1.9},
    },
    "memory 1000": {"fluxmig": {"seconds": 1.5}, "dbmate": {"seconds": 1.6}},
    "round trips": {"fluxmig": 2.0, "dbmate": 8.0},
}


OF_START_UP = (
    "The lighter part of a bar is what one file takes. dbmate, a compiled program, is done with it in 0.10 s;"
    " fluxmig takes 0.50 s, most of it until Python has loaded SQLAlchemy. Without that, 1,000 files in"
    " memory take fluxmig 1.00 s, and dbmate 1.50 s. As a whole, dbmate is ahead here: one file, which is"
    " start-up; 100 files, on the disk."
)


def test_the_readmes_section() -> None:
    assert readme.section("some", {"figures": FIGURES}).splitlines() == [
        "![1,000 files, on the disk](benchmarks/results/some-1-000-files-on-the-disk.svg)",
        "",
        "| seconds | fluxmig | psql | dbmate |",
        "| --- | --- | --- | --- |",
        "| one file, which is start-up | 0.50 |  | 0.10 |",
        "| 100 files, on the disk | 0.70 |  | 0.40 |",
        "| 1,000 files, on the disk | 2.50 | 2.00 | 3.00 |",
        "| 1,000 files, in memory | 1.50 |  | 1.60 |",
        "| round trips a file | 2 |  | 8 |",
        "",
        OF_START_UP,
        "",
        "[All of it](benchmarks/results/some.md), with what is missed and why.",
    ]


def test_the_readme_has_the_figures_of_its_page() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    name = readme.shown(text)
    figures = json.loads((REPOSITORY / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    assert readme.between(text, readme.section(name, figures)) == text
