"""`python -m benchmarks.readme NAME`: puts the figures of a page into the README, as they were measured.

It writes what stands between `<!-- benchmarks -->` and `<!-- /benchmarks -->`, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

__all__ = ["between", "section", "shown"]

_ROOT = Path(__file__).parent.parent
_RESULTS = _ROOT / "benchmarks" / "results"
_BEGIN, _END = "<!-- benchmarks -->\n", "<!-- /benchmarks -->\n"
_OWN, _COMPILED = "fluxmig", "dbmate"
_TIMES = {
    "one file": "one file, which is start-up",
    "nothing": "nothing to do, 1,000 files applied",
    "disk 100": "100 files, on the disk",
    "disk 1000": "1,000 files, on the disk",
    "memory 1000": "1,000 files, in memory",
    "far 20": "100 files, 20 ms away",
}
"""Rows of the table by their names among the figures; in seconds."""


def section(name: str, document: dict[str, Any]) -> str:
    """The chart, the table, and what they say of a compiled program's start-up.

    Args:
        name: The page's.
        document: Its figures.

    Raises:
        KeyError: The files on the disk or the round trips are not among them.
    """
    figures = document["figures"]
    rows = {words: _seconds(figures[key]) for key, words in _TIMES.items() if key in figures}
    tools = sorted(rows[_TIMES["disk 1000"]].keys() | figures["round trips"], key=_order(figures))
    lines = [f"![1,000 files, on the disk](benchmarks/results/{name}-1-000-files-on-the-disk.svg)", ""]
    lines += [_row(["seconds", *tools]), _row(["---"] * (1 + len(tools)))]
    for words, seconds in rows.items():
        lines.append(_row([words, *(f"{seconds[tool]:.2f}" if tool in seconds else "" for tool in tools)]))
    trips = figures["round trips"]
    lines.append(
        _row(["round trips a file", *(f"{trips[tool]:.0f}" if tool in trips else "" for tool in tools)])
    )
    lines += ["", *_of_start_up(rows), f"[All of it]({_page(name)}), with what is missed and why."]
    return "\n".join(lines) + "\n"


def _of_start_up(rows: dict[str, dict[str, float]]) -> list[str]:
    """Where a compiled program is ahead, and what is left of that without start-up."""
    first, many = (rows.get(_TIMES[key], {}) for key in ("one file", "memory 1000"))
    if not all(_COMPILED in seconds for seconds in (first, many)):
        return []
    ahead = [
        words for words, seconds in rows.items() if seconds.get(_COMPILED, seconds[_OWN]) < seconds[_OWN]
    ]
    rest = {tool: many[tool] - first[tool] for tool in (_OWN, _COMPILED)}
    text = (
        f"The lighter part of a bar is what one file takes. {_COMPILED}, a compiled program, is done with it"
        f" in {first[_COMPILED]:.2f} s; fluxmig takes {first[_OWN]:.2f} s, most of it until Python has"
        f" loaded SQLAlchemy. Without that, 1,000 files in memory take fluxmig {rest[_OWN]:.2f} s, and"
        f" {_COMPILED} {rest[_COMPILED]:.2f} s."
    )
    text += f" As a whole, {_COMPILED} is ahead here: {'; '.join(ahead)}." if ahead else ""
    return [text, ""]


def _seconds(figures: dict[str, Any]) -> dict[str, float]:
    return {
        tool: each["seconds"] if isinstance(each, dict) else each
        for tool, each in figures.items()
        if "again" not in tool
    }


def _order(figures: dict[str, Any]) -> Any:
    """fluxmig, then the others by their time for 1,000 files on the disk."""
    times = _seconds(figures["disk 1000"])
    return lambda tool: (tool != _OWN, times.get(tool, float("inf")), tool)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _page(name: str) -> str:
    return f"benchmarks/results/{name}.md"


def between(text: str, new: str) -> str:
    """A text with something else between the marks.

    Raises:
        ValueError: One of the marks is not there.
    """
    start = text.index(_BEGIN) + len(_BEGIN)
    return text[:start] + new + text[text.index(_END, start) :]


def shown(text: str) -> str:
    """The name of the page whose figures a text has."""
    names: list[str] = re.findall(
        r"\(benchmarks/results/([\w-]+)\.md\)", text[text.index(_BEGIN) : text.index(_END)]
    )
    return names[-1]


def main() -> None:
    """Writes the README."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.readme",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", default="full", help="the page's; `full` by default")
    name = parser.parse_args().name
    readme = _ROOT / "README.md"
    document = json.loads((_RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    text = between(readme.read_text(encoding="utf-8"), section(name, document))
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
