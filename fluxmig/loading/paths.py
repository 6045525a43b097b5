"""How places in a document are written, and what stands for those that are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ABSENT", "EACH", "STDIN", "path_text", "writable"]

ABSENT: Final = object()
"""What a record has at a path that it does not have; null is something else."""

EACH: Final = "[*]"
"""The step of a path that stands for every element of an array."""

STDIN: Final = "-"
"""The name of standard input among files."""


def path_text(path: Sequence[str]) -> str:
    """A path as people write it: `$.users[*]`."""
    return "$" + "".join(step if step == EACH else f".{step}" for step in path)


def writable(text: str) -> str:
    """The text as it can be written anywhere: of half a character, its code."""
    return text.encode("utf-8", "backslashreplace").decode()
