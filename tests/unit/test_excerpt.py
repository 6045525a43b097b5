"""The lines around an error: golden texts, and where the caret stands."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fluxmig import excerpt as module


def excerpt(text: str, line: int, column: int | None) -> str:
    lines = text.split("\n")
    before = "".join(f"{content}\n" for content in lines[: line - 1])
    at = before + lines[line - 1][: (column or 1) - 1]
    return module.excerpt(text.encode(), len(at.encode()), caret=column is not None)


FIVE = "one\ntwo\nthree\nfour\nfive"
LONG = "".join(chr(ord("a") + index % 26) for index in range(400))

# What is shown: text, line, column, the excerpt.
GOLDEN: dict[str, tuple[str, int, int | None, list[str]]] = {
    "the only line": ("SELEC 1", 1, 1, ["  1 | SELEC 1", "    | ^"]),
    "no column, no caret": (FIVE, 3, None, ["  1 | one", "  2 | two", "  3 | three", "  4 | four"]),
    "first line": (FIVE, 1, 2, ["  1 | one", "    |  ^", "  2 | two"]),
    "second line": (FIVE, 2, 3, ["  1 | one", "  2 | two", "    |   ^", "  3 | three"]),
    "in the middle": (FIVE, 3, 5, ["  1 | one", "  2 | two", "  3 | three", "    |     ^", "  4 | four"]),
    "last line": (FIVE, 5, 1, ["  3 | three", "  4 | four", "  5 | five", "    | ^"]),
    "last line with its line end": ("a\nb\n", 2, 1, ["  1 | a", "  2 | b", "    | ^"]),
    "behind the last character": ("a\nbc", 2, 3, ["  1 | a", "  2 | bc", "    |   ^"]),
    "behind the last line end": ("a\n", 2, 1, ["  1 | a", "  2 |", "    | ^"]),
    "an empty text": ("", 1, 1, ["  1 |", "    | ^"]),
    "numbers grow wider": (
        "\n" * 7 + "eight\nnine\nten",
        9,
        1,
        ["   7 |", "   8 | eight", "   9 | nine", "     | ^", "  10 | ten"],
    ),
    "empty lines before are shown": ("a\n\nb", 3, 1, ["  1 | a", "  2 |", "  3 | b", "    | ^"]),
    "an empty line behind is not": ("a\n\nb", 1, 1, ["  1 | a", "    | ^"]),
    "a blank line behind is not": ("a\n \t \nb", 1, 1, ["  1 | a", "    | ^"]),
    "spaces at the end are cut": ("a  \nb  ", 2, 1, ["  1 | a", "  2 | b", "    | ^"]),
    "the caret below cut spaces": ("b   ", 1, 3, ["  1 | b", "    |   ^"]),
    "windows line ends": ("a\r\nbc\r\nd\r\n", 2, 2, ["  1 | a", "  2 | bc", "    |  ^", "  3 | d"]),
    "windows, on the line end": ("bc\r\nd", 1, 3, ["  1 | bc", "    |   ^", "  2 | d"]),
    "a tab before": ("\tx y", 1, 4, ["  1 | \tx y", "    | \t  ^"]),
    "a tab between": ("a\tb", 1, 3, ["  1 | a\tb", "    |  \t^"]),
    "on the tab": ("a\tb", 1, 2, ["  1 | a\tb", "    |  ^"]),
    "a tab behind": ("a\tb", 1, 1, ["  1 | a\tb", "    | ^"]),
    "accents": ("é ü ß x", 1, 7, ["  1 | é ü ß x", "    |       ^"]),
    "wide characters": ("漢字 x", 1, 4, ["  1 | 漢字 x", "    |      ^"]),
    "on the second wide character": ("漢字 x", 1, 2, ["  1 | 漢字 x", "    |   ^"]),
    "full-width letters": ("\uff21b", 1, 2, ["  1 | \uff21b", "    |   ^"]),
    "half-width katakana": ("\uff71b", 1, 2, ["  1 | \uff71b", "    |  ^"]),
    "hangul": ("한글x", 1, 3, ["  1 | 한글x", "    |     ^"]),
    "emoji": ("'\N{GRINNING FACE}' x", 1, 5, ["  1 | '\N{GRINNING FACE}' x", "    |      ^"]),
    "combining marks": ("e\u0301a\u0300 x", 1, 6, ["  1 | e\u0301a\u0300 x", "    |    ^"]),
    "an enclosing mark": ("1\u20e3x", 1, 3, ["  1 | 1\u20e3x", "    |  ^"]),
    "a variation selector": ("\u2764\ufe0f x", 1, 4, ["  1 | \u2764\ufe0f x", "    |   ^"]),
    "a zero width space": ("a\u200bx", 1, 3, ["  1 | a\u200bx", "    |  ^"]),
    "120 characters are whole": (LONG[:120], 1, 120, [f"  1 | {LONG[:120]}", f"    | {' ' * 119}^"]),
    "121 are cut at the end": (LONG[:121], 1, 1, [f"  1 | {LONG[:120]}…", "    | ^"]),
    "cut on both sides": (LONG, 1, 201, [f"  1 | …{LONG[140:260]}…", f"    | {' ' * 61}^"]),
    "cut at the start": (LONG, 1, 400, [f"  1 | …{LONG[339:]}", f"    | {' ' * 61}^"]),
    "the last column without a cut": (LONG, 1, 61, [f"  1 | {LONG[:120]}…", f"    | {' ' * 60}^"]),
    "the first column with a cut": (LONG, 1, 62, [f"  1 | …{LONG[1:121]}…", f"    | {' ' * 61}^"]),
    "a long line without a caret": (LONG, 1, None, [f"  1 | {LONG[:120]}…"]),
    "a long neighbour shows its start": (
        f"{LONG}\n{LONG}",
        2,
        201,
        [f"  1 | {LONG[:120]}…", f"  2 | …{LONG[140:260]}…", f"    | {' ' * 61}^"],
    ),
    "wide characters in a cut line": (
        "漢" * 200 + "x",
        1,
        201,
        [f"  1 | …{'漢' * 60}x", f"    | {' ' * 121}^"],
    ),
}


@pytest.mark.parametrize(("text", "line", "column", "shown"), GOLDEN.values(), ids=GOLDEN)
def test_what_is_shown(text: str, line: int, column: int | None, shown: list[str]) -> None:
    assert excerpt(text, line, column).split("\n") == shown


def test_a_place_in_many_megabytes_of_lines() -> None:
    text = "select 1;\n" * 500_000 + "oops\nselect 2;"
    assert excerpt(text, 500_001, 1).split("\n") == [
        "  499999 | select 1;",
        "  500000 | select 1;",
        "  500001 | oops",
        "         | ^",
        "  500002 | select 2;",
    ]


def is_narrow(character: str) -> bool:
    """Whether it takes one cell on every terminal."""
    return (
        unicodedata.category(character)[0] not in "MCZ"
        and unicodedata.east_asian_width(character) not in "WF"
    )


NARROW = st.one_of(st.sampled_from("ab(),;'\" =\t"), st.characters(codec="utf-8").filter(is_narrow))


@st.composite
def places(draw: st.DrawFn) -> tuple[list[str], int, int]:
    """Lines that end in `#`, so that none ends in spaces, which are not shown; and a place in them."""
    lines = [f"{line}#" for line in draw(st.lists(st.text(NARROW, max_size=300), min_size=1, max_size=6))]
    line = draw(st.integers(1, len(lines)))
    return lines, line, draw(st.integers(1, len(lines[line - 1])))


@given(places())
@example((["x" * 150 + "y" + "x" * 150], 1, 151))
def test_the_caret_stands_below_the_character(place: tuple[list[str], int, int]) -> None:
    lines, line, column = place
    rows = excerpt("\n".join(lines), line, column).split("\n")
    at = next(index for index, row in enumerate(rows) if row.startswith(f"  {line} | "))
    above, below = rows[at], rows[at + 1]
    caret = below.index("^")
    assert below[caret:] == "^"
    assert above[caret] == lines[line - 1][column - 1]
    # Tabs in the same columns, and one cell for all else: a terminal moves both rows by as much.
    assert below[:caret] == "    | " + re.sub("[^\t]", " ", above[6:caret])


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert excerpt("SELECT '\x1b[31m\x07\r';\x7f", 1, 9) == "  1 | SELECT '␛[31m␇␍';␡\n    |         ^"
