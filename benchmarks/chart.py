"""Bars as SVG, readable on a light page and on a dark one."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["bars"]

_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}"
    ".bar{fill:#8c959f}.own{fill:#0969da}.first{fill:#fff;fill-opacity:.55}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.bar{fill:#6e7681}.own{fill:#4493f8}}"
)
_WIDTH, _LEFT, _ROW, _TOP = 720, 150, 26, 40
_ROOM = 90
"""For the figure behind the longest bar."""


def bars(
    title: str,
    values: Mapping[str, float],
    unit: str,
    *,
    own: str = "fluxmig",
    first: Mapping[str, float] | None = None,
) -> str:
    """A bar a value, the shortest first.

    Args:
        title: Above all.
        values: By name.
        unit: Behind each.
        own: Which has a colour of its own.
        first: What part of some is lighter, from the left; in the same unit.
    """
    first = first or {}
    longest = max(values.values())
    rows = [f'<text class="title" x="0" y="18">{escape(title)}</text>']
    for number, (name, value) in enumerate(sorted(values.items(), key=lambda item: item[1])):
        y, width = _TOP + number * _ROW, (_WIDTH - _LEFT - _ROOM) * value / longest
        figure = f"{value:.2f} {escape(unit)}" if unit else f"{value:g}"
        kind = "own" if name == own else "bar"
        rows += [
            f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{width:.1f}" height="18" rx="2"/>',
            f'<text x="{_LEFT + width + 6:.1f}" y="{y + 14}">{figure}</text>',
        ]
        if lighter := width * min(first.get(name, 0) / value, 1):
            rows.append(f'<rect class="first" x="{_LEFT}" y="{y}" width="{lighter:.1f}" height="18" rx="2"/>')
    height = _TOP + len(values) * _ROW
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" role="img"'
    body = "\n".join(rows)
    return f'{head} aria-label="{escape(title)}">\n<style>{_STYLE}</style>\n{body}\n</svg>\n'
