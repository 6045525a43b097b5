"""What was measured -> one Markdown page and its charts, and the figures as JSON."""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["DRIFT", "Section", "Target", "table", "write"]

DRIFT = 0.1
"""How far the control may differ from itself."""
_HOW = (
    "Times are medians of whole processes, start-up included unless said, taken in turns (A B C, A B C, ...);"
    " behind each stands half of the distance between its quartiles, of fewer than four half of that between"
    " the least and the most. A ratio is the median of the ratios of each turn."
)


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
        why: A sentence on what is left, for where it is missed.
    """

    case: str
    limit: str
    wanted: float
    found: float
    unit: str = "times"
    at_least: bool = False
    why: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the figure is good enough."""
        return self.found >= self.wanted if self.at_least else self.found <= self.wanted

    @property
    def cells(self) -> list[str]:
        """A row of the table of targets."""
        bound = "at least" if self.at_least else "at most"
        verdict = "met" if self.is_met else self.missed_by
        wanted, found = f"{bound} {_figure(self.wanted)} {self.unit}", f"{_figure(self.found)} {self.unit}"
        return [self.case, self.limit, wanted, found, verdict]

    @property
    def missed_by(self) -> str:
        """In words."""
        return f"missed by {abs(self.found / self.wanted - 1) * 100:.0f} %"


@dataclass(slots=True)
class Section:
    """What one case tells.

    Attributes:
        title: Its heading.
        text: Its paragraphs and tables, in Markdown.
        targets: Its figures.
        charts: SVG, by title.
        figures: What other pages take from it, by name, as JSON has it.
        drifts: By how much the control differed from itself, as parts of it.
    """

    title: str
    text: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    charts: dict[str, str] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    drifts: list[float] = field(default_factory=list)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(folder: Path, name: str, sections: Iterable[Section], versions: Mapping[str, str]) -> Path:
    """Writes the page, its charts and its figures (`name`.json), and returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = list(sections)
    targets = [target for section in sections for target in section.targets]
    machine = _machine(versions)
    lines = [f"# How fast: {name}", "", machine, "", *_quiet(sections), _HOW, ""]
    if targets:
        heads = ("case", "beside", "wanted", "found", "")
        lines += ["## The targets", "", table(heads, [target.cells for target in targets]), ""]
    if missed := [target for target in targets if not target.is_met]:
        lines += ["## What is missed, and why", ""]
        lines += [*map(_missed, missed), ""]
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
    figures = {key: value for section in sections for key, value in section.figures.items()}
    document = {"page": page.name, "machine": machine, "targets": [asdict(each) for each in targets]}
    text = json.dumps(document | {"figures": figures}, indent=1)
    (folder / f"{name}.json").write_text(text + "\n")
    return page


def _missed(target: Target) -> str:
    beside = f", beside {target.limit}" if target.limit else ""
    return f"- {target.case}{beside}: {target.missed_by}. {target.why}".rstrip()


def _quiet(sections: Iterable[Section]) -> list[str]:
    """How far the control differs from itself, which tells what the other figures are worth."""
    drifts = [drift for section in sections for drift in section.drifts]
    if not drifts:
        return []
    warning = ": **the machine was not quiet enough for these figures**" if max(drifts) > DRIFT else ""
    return [
        f"The control, one loop against itself, drifts by {max(drifts) * 100:.0f} % at most{warning}.",
        "",
    ]


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
        f" {platform.release()}; load {load} (1, 5 and 15 minutes) at the end.\n\n{programs}."
    )


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text() if file.exists() else ""


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == round(value) else f"{value:.2f}"  # noqa: PLR2004
