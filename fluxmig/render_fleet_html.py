"""A fleet's run -> one page of HTML: the failures first, then a timeline for each group. Sees nouns only.

The page needs no network, no script and no font of its own, and follows the reader's choice of light or dark.
"""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING

from fluxmig.excerpt import visible
from fluxmig.fleet.model import TargetState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from fluxmig.fleet.model import FleetReport, Result

__all__ = ["fleet_page"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --dim: #60646c; --line: #d9d9e0; --paper: #fff;
  --panel: #f6f6f8; --good: #2b9a66; --bad: #ce2c31; --odd: #ad6200; --live: #0d74ce; }
@media (prefers-color-scheme: dark) { :root { --ink: #edeef0; --dim: #a5a8ae; --line: #3a3c42;
  --paper: #111113; --panel: #1b1c1f; --good: #3dd68c; --bad: #ff6369; --odd: #ffb224; --live: #70b8ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 76rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .75rem; }
p { margin: .25rem 0; }
.dim { color: var(--dim); } .good { color: var(--good); } .bad { color: var(--bad); }
.odd { color: var(--odd); } .live { color: var(--live); }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.5rem 0 0; padding: 0; list-style: none; }
.tiles li { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: .6rem 1rem; min-width: 7rem; }
.tiles b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; line-height: 1.2; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { font: 13px/1.45 ui-monospace, monospace; margin: .5rem 0 0; white-space: pre-wrap; }
summary { cursor: pointer; overflow-wrap: anywhere; }
.lane { display: grid; grid-template-columns: minmax(7rem, 14rem) 1fr; gap: .75rem; align-items: center;
  border-bottom: 1px solid var(--line); padding: .35rem 0; }
.lane span { overflow-wrap: anywhere; }
.lane small { color: var(--dim); display: block; }
svg { display: block; width: 100%; background: var(--panel); border-radius: 4px; }
rect { fill: currentColor; opacity: .75; }
rect:hover { opacity: 1; }
@media (max-width: 40rem) { .lane { grid-template-columns: 1fr; } }
"""
_CLASSES = {TargetState.DONE: "good", TargetState.RUNNING: "live", TargetState.WAITING: "dim"}
_CLASSES |= {TargetState.PENDING: "odd", TargetState.INTERRUPTED: "odd"}
_NUMBERS = {"Applied": "number", "Time": "number"}
_LANES = 200
"""How many groups are drawn; of more, the page says so."""
_ROW, _GAP = 6, 1
"""How high a target's bar is, and what is between two, in pixels."""
_WIDTH = 1000
"""What the whole time is, in the units of the drawing."""


def fleet_page(report: FleetReport) -> str:
    """The page."""
    name = f"Run {report.run}" if report.run else "Run"
    body = "\n".join(
        (*_head(report, name), *_failures(report.failures), *_timeline(report.results), *_all(report))
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(name)}: fluxmig fleet</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _head(report: FleetReport, name: str) -> Iterator[str]:
    """When it was, how it ended, and the counts."""
    yield f"<h1>{_text(name)}</h1>"
    if report.began_at:
        goes_on = "" if report.ended_at else ", and it has not ended"
        seconds = report.duration_ms / 1000
        yield f'<p class="dim">Begun {report.began_at:%Y-%m-%d %H:%M:%S} UTC, {seconds:.1f} s{goes_on}</p>'
    if report.stopped:
        yield f'<p class="bad">No more was handed out: {_text(report.stopped)}.</p>'
    tiles = [f"<li><b>{len(report.results)}</b>targets</li>"]
    for state, number in report.counts.items():
        tiles.append(f'<li><b class="{_class(state)}">{number}</b>{state}</li>')
    yield f'<ul class="tiles">{"".join(tiles)}</ul>'


def _failures(failures: Sequence[Result]) -> Iterator[str]:
    yield "<h2>Failures</h2>"
    if not failures:
        yield "<p>None.</p>"
        return
    yield _table("Target", "State", "What was said")
    for result in failures:
        said = _text(result.message or "")
        if result.detail and result.detail != result.message:
            said = f"<details><summary>{said}</summary><pre>{_text(result.detail)}</pre></details>"
        yield f'<tr><td>{_text(result.name)}</td><td class="bad">{result.state}</td><td>{said}</td></tr>'
    yield "</tbody></table></div>"


def _timeline(results: Iterable[Result]) -> Iterator[str]:
    """A drawing for each group: one bar a target, over the time that the last try at it took."""
    groups: dict[str, list[tuple[datetime, Result]]] = {}
    for result in results:
        if result.began_at and result.wave != "before":
            groups.setdefault(result.group, []).append((result.began_at, result))
    if not groups:
        return
    first = min(began for bars in groups.values() for began, _ in bars)
    whole = max(
        _offset(began, first) + (result.duration_ms or 0)
        for bars in groups.values()
        for began, result in bars
    )
    yield f'<h2>Timeline</h2><p class="dim">Each bar is a target; the width is {whole / 1000:.1f} s.</p>'
    ordered = sorted(groups.items(), key=lambda each: (-_bad(each[1]), each[0]))
    for group, bars in ordered[:_LANES]:
        counts = Counter(result.state for _, result in bars)
        words = ", ".join(f"{counts[state]} {state}" for state in TargetState if counts[state])
        yield f'<div class="lane"><span>{_text(group)}<small>{words}</small></span>'
        yield f"{_lane(group, bars, first, max(1, whole))}</div>"
    if len(ordered) > _LANES:
        yield f'<p class="dim">and {len(ordered) - _LANES} groups more</p>'


def _lane(group: str, bars: Sequence[tuple[datetime, Result]], first: datetime, whole: float) -> str:
    """The bars of one group, in as few rows as keep them apart."""
    ends: list[float] = []
    drawn = []
    for began, result in sorted(bars, key=lambda bar: bar[0]):
        start = _offset(began, first)
        end = start + (result.duration_ms or 0)
        row = next((row for row, busy in enumerate(ends) if busy <= start), len(ends))
        ends[row : row + 1] = [end]
        x, width = start / whole * _WIDTH, max(1.0, (end - start) / whole * _WIDTH)
        title = f"{_text(result.name)}: {result.state}, {(result.duration_ms or 0) / 1000:.2f} s"
        drawn.append(
            f'<rect class="{_class(result.state)}" x="{x:.1f}" y="{row * (_ROW + _GAP)}" width="{width:.1f}"'
            f' height="{_ROW}"><title>{title}</title></rect>'
        )
    height = len(ends) * (_ROW + _GAP)
    label = f"{len(bars)} targets of {_text(group)} over time"
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {_WIDTH} {height}" preserveAspectRatio="none"'
        f' height="{height}">{"".join(drawn)}</svg>'
    )


def _all(report: FleetReport) -> Iterator[str]:
    yield "<h2>All targets</h2>"
    yield "<details><summary>Show them</summary>"
    yield _table("Target", "Group", "State", "Wave", "Applied", "Time")
    for result in report.results:
        time = f"{result.duration_ms / 1000:.2f} s" if result.duration_ms is not None else ""
        yield (
            f"<tr><td>{_text(result.name)}</td><td>{_text(result.group)}</td>"
            f'<td class="{_class(result.state)}">{result.state}</td><td>{_text(result.wave)}</td>'
            f'<td class="number">{len(result.applied)}</td><td class="number">{time}</td></tr>'
        )
    yield "</tbody></table></div></details>"


def _table(*heads: str) -> str:
    """The beginning of a table."""
    cells = "".join(f'<th class="{_NUMBERS.get(head, "words")}">{head}</th>' for head in heads)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>'


def _offset(time: datetime, first: datetime) -> float:
    """Milliseconds since the first one began."""
    return (time - first).total_seconds() * 1000


def _bad(bars: Iterable[tuple[datetime, Result]]) -> int:
    return sum(result.state.is_failure for _, result in bars)


def _class(state: TargetState) -> str:
    return _CLASSES.get(state, "bad")


def _text(text: str) -> str:
    """Fit for HTML, also in an attribute, and without control characters."""
    return escape("\n".join(visible(line) for line in text.split("\n")))
