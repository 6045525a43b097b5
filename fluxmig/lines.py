"""Lines of styled text -> plain text, terminal text; prints nothing.

A line is a list of spans `(text, style)`: a style is one of `_CODES`, or empty, and plain text drops it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluxmig.excerpt import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Line", "cut", "plain", "terminal"]

Line = list[tuple[str, str]]

_CODES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33}
"""Of ISO 6429, 8.3.117 (SGR)."""


def plain(lines: Iterable[Line]) -> str:
    """The lines without their styles, and without control characters: files and servers choose the words."""
    return _shown("\n".join(["".join([text for text, _ in line]) for line in lines]))


def terminal(lines: Iterable[Line]) -> str:
    """The lines with ANSI colours, and no other control characters."""
    return "\n".join(["".join([_colored(_shown(text), style) for text, style in line]) for line in lines])


def cut(text: str, columns: int) -> str:
    """The text without control characters, and what of it has room in so many columns of a terminal."""
    from rich.cells import set_cell_size  # noqa: PLC0415  # only for a terminal

    return set_cell_size(_shown(text), columns).rstrip()


def _colored(text: str, style: str) -> str:
    """The text in its style; each line by itself, for a pager may show any."""
    if not style:
        return text
    parts = text.split("\n")
    return "\n".join([f"\x1b[{_CODES[style]}m{part}\x1b[0m" if part else "" for part in parts])


def _shown(text: str) -> str:
    """The text without control characters but for the ends of its lines."""
    return "\n".join(map(visible, text.split("\n")))
