"""Lines of styled text -> plain text, terminal text; prints nothing.

A line is a list of spans `(text, style)`; styles are rich's, and plain text just drops them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluxmig.excerpt import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Line", "cut", "plain", "terminal"]

Line = list[tuple[str, str]]


def plain(lines: Iterable[Line]) -> str:
    """The lines without their styles, and without control characters: files and servers choose the words."""
    return "\n".join("".join(_shown(text) for text, _ in line) for line in lines)


def terminal(lines: Iterable[Line]) -> str:
    """The lines with ANSI colours, and no other control characters."""
    from rich.console import Console  # noqa: PLC0415  # only where colour is wanted
    from rich.text import Text  # noqa: PLC0415

    console = Console(
        force_terminal=True, color_system="standard", no_color=False, width=10_000, highlight=False
    )
    with console.capture() as captured:
        for line in lines:
            console.print(Text.assemble(*((_shown(text), style) for text, style in line)), soft_wrap=True)
    return captured.get().removesuffix("\n")


def cut(text: str, columns: int) -> str:
    """The text without control characters, and what of it has room in so many columns of a terminal."""
    from rich.cells import set_cell_size  # noqa: PLC0415  # only for a terminal

    return set_cell_size(_shown(text), columns).rstrip()


def _shown(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))
