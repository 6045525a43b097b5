"""Two texts -> their unified diff, in bounded time."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from difflib import Match, SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["hunks"]

_CONTEXT = 3
_PAIRS = 250_000
"""Pairs of lines that `difflib` may have to compare in one diff; in bad cases, some steps for each pair."""


def hunks(old: str, new: str) -> Iterator[str]:
    """The lines of a unified diff without its two header lines, each with its line ending.

    Only LF ends a line here. `difflib` alone is quadratic, and worse, where many lines are equal or many are
    different. So equal lines at the beginning and the end are set aside first; where the rest is large, it is
    cut at lines that each side has only once; and a part that is still too large is shown as replaced.
    """
    before, after = _lines(old), _lines(new)
    for group in _Matcher(before, after).get_grouped_opcodes(_CONTEXT):
        (_, old_start, _, new_start, _), (_, _, old_end, _, new_end) = group[0], group[-1]
        yield f"@@ -{_range(old_start, old_end)} +{_range(new_start, new_end)} @@\n"
        for tag, i, end_i, j, end_j in group:
            if tag == "equal":
                yield from _marked(" ", before[i:end_i])
            else:
                yield from _marked("-", before[i:end_i])
                yield from _marked("+", after[j:end_j])


def _lines(text: str) -> list[str]:
    """The lines with their LF; `splitlines` would also split where a form feed or U+2028 stands."""
    *whole, last = text.split("\n")
    lines = [f"{line}\n" for line in whole]
    return [*lines, last] if last else lines


def _marked(mark: str, lines: list[str]) -> Iterator[str]:
    for line in lines:
        if line.endswith("\n"):
            yield mark + line
        else:
            yield f"{mark}{line}\n"
            yield "\\ No newline at end of file\n"


def _range(start: int, end: int) -> str:
    """As `diff -u` has it: an empty range names the line before it, and a length of 1 is left out."""
    length = end - start
    return str(end) if length == 1 else f"{start + 1 if length else start},{length}"


class _Matcher(SequenceMatcher[str]):
    """`difflib`'s, with equal lines that are found in bounded time."""

    def __init__(self, old: list[str], new: list[str]) -> None:
        super().__init__()
        self.a, self.b = old, new  # without the index that `set_seqs` makes

    def get_matching_blocks(self) -> list[Match]:
        """The blocks of equal lines in order, none right behind another, and an empty one at the end."""
        blocks: list[Match] = []
        for i, j, size in _blocks(self.a, self.b):
            if blocks and (blocks[-1].a + blocks[-1].size, blocks[-1].b + blocks[-1].size) == (i, j):
                i, j, size = blocks[-1].a, blocks[-1].b, blocks.pop().size + size  # noqa: PLW2901
            if size:
                blocks.append(Match(i, j, size))
        return [*blocks, Match(len(self.a), len(self.b), 0)]


def _blocks(old: list[str], new: list[str]) -> Iterator[tuple[int, int, int]]:
    """Equal lines as (place in old, place in new, how many), in order; how many may be none."""
    head, tail = _common(old, new)
    yield 0, 0, head
    old, new = old[head : len(old) - tail], new[head : len(new) - tail]
    cuts = _cuts(old, new) if len(old) * len(new) > _PAIRS else []
    left, i, j = _PAIRS, 0, 0
    for end_i, end_j in [*cuts, (len(old), len(new))]:
        a, b = old[i:end_i], new[j:end_j]
        same_head, same_tail = _common(a, b)
        yield head + i, head + j, same_head
        a, b = a[same_head : len(a) - same_tail], b[same_head : len(b) - same_tail]
        if len(a) * len(b) <= left:
            left -= len(a) * len(b)
            for x, y, size in SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks():
                yield head + i + same_head + x, head + j + same_head + y, size
        is_cut = end_i < len(old)
        yield head + end_i - same_tail, head + end_j - same_tail, same_tail + is_cut
        i, j = end_i + 1, end_j + 1
    yield head + len(old), head + len(new), tail


def _common(old: list[str], new: list[str]) -> tuple[int, int]:
    """How many lines are equal at the beginning, and how many of the others at the end."""
    shorter = min(len(old), len(new))
    head = next((n for n in range(shorter) if old[n] != new[n]), shorter)
    return head, next((n for n in range(shorter - head) if old[~n] != new[~n]), shorter - head)


def _cuts(old: list[str], new: list[str]) -> list[tuple[int, int]]:
    """The places of lines that each side has only once, as many as stand in one order on both.

    That is the idea of the patience diff: the longest increasing subsequence, found by patience sorting.
    """
    counts, places = Counter(old), {line: place for place, line in enumerate(new)}
    once = {line for line, count in Counter(new).items() if count == 1 and counts[line] == 1}
    pairs = [(i, places[line]) for i, line in enumerate(old) if line in once]
    tops: list[int] = []
    piles: list[int] = []
    left_of: list[int] = []
    for number, (_, j) in enumerate(pairs):
        pile = bisect_left(tops, j)
        left_of.append(piles[pile - 1] if pile else -1)
        tops[pile : pile + 1] = [j]
        piles[pile : pile + 1] = [number]
    found = []
    number = piles[-1] if piles else -1
    while number >= 0:
        found.append(pairs[number])
        number = left_of[number]
    return found[::-1]
