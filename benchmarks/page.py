"""What was measured -> one Markdown page and its charts."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Section", "Target", "table", "write"]


@dataclass(frozen=True, slots=True)
class Target:
    """A figure beside what it should be at most, or at least.

    Attributes:
        case: What was measured.
        limit: Beside what.
        wanted: The figure that it should be.
        found: The figure.
        unit: Behind both, "times" say.
        at_least: Whether it should be as much, and not as little.
    """

    case: str
    limit: str
    wanted: float
    found: float
    unit: str = "times"
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the figure is good enough."""
        return self.found >= self.wanted if self.at_least else self.found <= self.wanted

    @property
    def cells(self) -> list[str]:
        """A row of the table of targets."""
        bound = "at least" if self.at_least else "at most"
        off = abs(self.found / self.wanted - 1) * 100
        verdict = "met" if self.is_met else f"missed by {off:.0f} %"
        wanted, found = f"{bound} {_figure(self.wanted)} {self.unit}", f"{_figure(self.found)} {self.unit}"
        return [self.case, self.limit, wanted, found, verdict]


@dataclass(slots=True)
class Section:
    """What one case tells.

    Attributes:
        title: Its heading.
        text: Its paragraphs and tables, in Markdown.
        targets: Its figures.
        charts: SVG, by title.
    """

    title: str
    text: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    charts: dict[str, str] = field(default_factory=dict)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(folder: Path, name: str, sections: Iterable[Section], versions: Mapping[str, str]) -> Path:
    """Writes the page and its charts, and returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = list(sections)
    targets = [target.cells for section in sections for target in section.targets]
    lines = [f"# How fast: {name}", "", _machine(versions), ""]
    if targets:
        heads = ("case", "beside", "wanted", "found", "")
        lines += ["## The targets", "", table(heads, targets), ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        for title, svg in section.charts.items():
            chart = folder / f"{name}-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}.svg"
            chart.write_text(svg)
            lines += [f"![{title}]({chart.name})", ""]
        for paragraph in section.text:
            lines += [paragraph, ""]
    page = folder / f"{name}.md"
    page.write_text("\n".join(lines).rstrip() + "\n")
    return page


def _machine(versions: Mapping[str, str]) -> str:
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    cpu = next(iter(re.findall(r"model name\s*: (.*)", _read("/proc/cpuinfo"))), platform.processor())
    gigabytes = int(next(iter(re.findall(r"MemTotal:\s*(\d+)", _read("/proc/meminfo"))), 0)) / 1e6
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    own = {
        "fluxmig": version("fluxmig"),
        "Python": platform.python_version(),
        "SQLAlchemy": version("sqlalchemy"),
    }
    own |= {"psycopg": version("psycopg")}
    programs = ", ".join(f"{name} {number}" for name, number in (own | dict(versions)).items())
    return (
        f"Measured {when} on {os.cpu_count()} cores ({cpu}), {gigabytes:.0f} GB, {platform.system()}"
        f" {platform.release()}; load {load} (1, 5 and 15 minutes) at the end.\n\n{programs}.\n\n"
        "Times are medians of whole processes, start-up included unless said, taken in turns (A B C, A B C,"
        " ...); behind each stands half of the distance between its quartiles. A ratio is the median of the"
        " ratios of each turn."
    )


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text() if file.exists() else ""


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == round(value) else f"{value:.2f}"  # noqa: PLR2004
