"""A fleet's run -> one page of HTML: the failures first, then a timeline for each group. Sees nouns only.

Its frame, `page.html`, is a rehearsal's, too: it needs nothing else, and follows the choice of light or dark.
"""

from __future__ import annotations

from collections import Counter
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from fluxmig.excerpt import visible
from fluxmig.fleet.model import TargetState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from fluxmig.fleet.model import FleetReport, Result

__all__ = ["fleet_page"]

_STYLE = """<style>
.group { display: grid; grid-template-columns: minmax(110px, 220px) minmax(320px, 1fr); gap: 12px;
  align-items: center; border-top: 1px solid var(--line); padding: 6px 0; }
.group > span { font: 13px var(--mono); overflow-wrap: anywhere; }
.group small { color: var(--soft); display: block; font-family: var(--sans); }
svg { display: block; width: 100%; background: var(--code); border-radius: 3px; }
rect { fill: currentColor; opacity: .8; } rect:hover { opacity: 1; }
.live { color: var(--link); }
td pre { font: 13px/1.45 var(--mono); white-space: pre-wrap; overflow-wrap: anywhere; margin: 6px 0 0; }
</style>"""
_CLASSES = {TargetState.DONE: "good", TargetState.RUNNING: "live", TargetState.WAITING: "soft"}
_CLASSES |= {TargetState.PENDING: "odd", TargetState.INTERRUPTED: "odd"}
_LANES = 200
"""How many groups are drawn; of more, the page says so."""
_ROW, _GAP = 6, 1
"""How high a target's bar is, and what is between two, in pixels."""
_WIDTH = 1000
"""What the whole time is, in the units of the drawing."""


def fleet_page(report: FleetReport) -> str:
    """The page; names and texts of others are escaped."""
    frame = Template(files("fluxmig").joinpath("page.html").read_text("utf-8"))
    body = (_STYLE, *_failures(report.failures), *_timeline(report.results), *_all(report))
    return frame.substitute(
        title=_text(f"Fleet run {report.run}" if report.run else "Fleet run"),
        place="\n".join(_place(report)),
        tiles=_tiles(report),
        body="\n".join(body),
    )


def _place(report: FleetReport) -> Iterator[str]:
    """When it was, and how it ended."""
    if report.began_at:
        goes_on = "" if report.ended_at else ", and it has not ended"
        seconds = report.duration_ms / 1000
        yield f"<p>Begun {report.began_at:%Y-%m-%d %H:%M:%S} UTC, {seconds:.1f} s{goes_on}.</p>"
    if report.stopped:
        yield f'<p class="bad">No more was handed out: {_text(report.stopped)}.</p>'


def _tiles(report: FleetReport) -> str:
    tiles = [f"<li><b>{len(report.results)}</b><span>targets</span></li>"]
    for state, number in report.counts.items():
        tiles.append(f'<li><b class="{_class(state)}">{number}</b><span>{state}</span></li>')
    return f'<ul class="tiles">{"".join(tiles)}</ul>'


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
    yield f"<h2>Timeline</h2><p>Each bar is a target; from left to right {whole / 1000:.1f} s.</p><figure>"
    ordered = sorted(groups.items(), key=lambda each: (-_bad(each[1]), each[0]))
    for group, bars in ordered[:_LANES]:
        counts = Counter(result.state for _, result in bars)
        words = ", ".join(f"{counts[state]} {state}" for state in TargetState if counts[state])
        yield f'<div class="group"><span>{_text(group)}<small>{words}</small></span>'
        yield f"{_lane(group, bars, first, max(1, whole))}</div>"
    if len(ordered) > _LANES:
        yield f"<p>and {len(ordered) - _LANES} groups more</p>"
    yield "</figure>"


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
            f"<td>{len(result.applied)}</td><td>{time}</td></tr>"
        )
    yield "</tbody></table></div></details>"


def _table(*heads: str) -> str:
    """The beginning of a table, which sorts itself by its heads."""
    cells = "".join(f'<th><button type="button">{head}</button></th>' for head in heads)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>'


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
