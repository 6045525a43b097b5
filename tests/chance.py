"""A plugin of these tests: chances that come again with the same seed, and figures of what was tried.

The seed is in the header of a run and with each failure. `FLUXMIG_TEST_SEED=N` sets it; a test has the same
chances again then, whatever runs beside or before it.
"""

from __future__ import annotations

import os
import random
import secrets
from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


def repeated(short: int, long: int) -> list[object]:
    """Parameters of a test that is run so many times: the first ones always, the others in a `long` run."""
    return [*range(short), *(pytest.param(number, marks=pytest.mark.long) for number in range(short, long))]


Figures = Counter[str]
"""What the fixture `figures` is: what was tried, and how often."""

_SEED = "FLUXMIG_TEST_SEED"
_FIGURES = "figures"


def pytest_configure() -> None:
    os.environ.setdefault(_SEED, str(secrets.randbelow(2**32)))  # the processes of xdist inherit it


def pytest_report_header() -> str:
    return _seed()


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Chances of the test's own."""
    return random.Random(f"{os.environ[_SEED]} {request.node.nodeid}")


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """Counts what was tried, for the end of the run to tell: `figures["kills"] += 1`."""
    counted: Figures = Counter()
    yield counted
    request.node.user_properties.append((_FIGURES, dict(counted)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and "chance" in getattr(item, "fixturenames", ()):
        report.sections.append(("seed", _seed()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    total: Figures = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":
                for name, counted in report.user_properties:
                    if name == _FIGURES:
                        total.update(counted)
    if total:
        words = ", ".join(f"{total[name]} {name}" for name in sorted(total))
        terminalreporter.write_line(f"tried: {words}")


def _seed() -> str:
    return f"{_SEED}={os.environ[_SEED]}"
