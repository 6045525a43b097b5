"""Many records scanned in one call: what comes out is what comes out one by one, or nothing does."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from fluxmig.errors import DataFileError
from fluxmig.loading import reading
from fluxmig.loading.paths import EACH
from fluxmig.loading.reading import Reader
from fluxmig.loading.scanning import PROBLEMS, Blocks, line_value, scan

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy


def one_by_one(lines: str) -> list[Any] | None:
    """The exact way: a line after the other, and none of them where one is no JSON."""
    try:
        return [line_value(line) for line in lines.removesuffix("\n").split("\n")]
    except (ValueError, IndexError):
        return None


def array(text: str) -> list[Any] | None:
    """The exact way of elements: those of an array in which they are alone."""
    try:
        found, end = scan(f"[{text}]", 0)
    except PROBLEMS:
        return None
    return found if end == len(text) + 2 else None


def same(found: list[Any], expected: list[Any] | None) -> bool:
    """Whether values, their types, their digits and the order of names are the same."""
    return repr(found) == repr(expected)


# --- hostile values ---------------------------------------------------------------------------------------

SPACES = some.sampled_from(["", "", "", " ", "\t", "\r", "\n", " \n ", "\x0b", "\xa0"])
NAMES = some.sampled_from(
    ['"a"', '"b"', '"a"', '"\\u0061"', '"a\\":"', '"\\":"', '"x:"', '""', '"\x7f"', '"é"']
)
SCALARS = some.sampled_from(
    [
        *(
            "1",
            "0",
            "-0",
            "01",
            "1.",
            "-",
            "1e5",
            "1E400",
            "0.10",
            "-0.0",
            "1.10",
            "1" * 30,
            "1" * 5000,
            f"1e{'9' * 20}",
        ),
        *(
            "12345678901234567890.123456789",
            "9007199254740993",
            "null",
            "true",
            "false",
            "NaN",
            "-Infinity",
            "tru",
        ),
        *(
            '"":',
            '":"',
            '": "',
            '"\\":"',
            '"\\u0022:"',
            '"\\ud800"',
            '"\\udc00\\ud800"',
            '"\x7f"',
            '"\\u007f"',
        ),
        *(
            '"a\tb"',
            '"a\\nb"',
            '"é"',
            '"\U0001f600"',
            '"\\x"',
            '"open',
            '"],["',
            '"},{"',
            "[]",
            "{}",
            "1,2",
            "",
        ),
        *("1 2", '1,"\x7f",2', "[1", "2]", '{"a":1', "}", "],[", "[" * 90 + "]" * 90, "[" * 3000),
    ]
)


def arrays(inner: SearchStrategy[str]) -> SearchStrategy[str]:
    parts = some.lists(some.builds("{}{}{}".format, SPACES, inner, SPACES), max_size=3)
    return parts.map(lambda values: f"[{','.join(values)}]")


def objects(inner: SearchStrategy[str]) -> SearchStrategy[str]:
    members = some.builds("{}{}{}:{}{}".format, SPACES, NAMES, SPACES, SPACES, inner)
    return some.lists(members, max_size=4).map(lambda pairs: f"{{{','.join(pairs)}}}")


VALUES = some.recursive(SCALARS, lambda inner: arrays(inner) | objects(inner), max_leaves=6)
TEXTS = some.builds("{}{}{}".format, SPACES, VALUES, SPACES)


@given(some.lists(TEXTS, min_size=1, max_size=4), some.sampled_from(["", "\n", "\r\n"]))
@example(["1,2,3", "[4", "5]"], "")
@example(['1,"\x7f",2', "[3", "4]"], "")
@example(['{"a":1,"a":2,"b":"\\":"}'], "")
@example(['{"a" :1,"a":2}'], "")
@example(["", "1"], "\n")
def test_lines(parts: list[str], end: str) -> None:
    text = "\n".join(parts) + end
    found = Blocks().lines(text)
    assert found is None or same(found, one_by_one(text))


@given(some.lists(TEXTS, min_size=1, max_size=4))
@example(["1],[2"])
@example(['{"a":1,"a":2,"b":"\\":"}'])
@example(['{"a"\n:1,"a":2}'])
def test_elements(parts: list[str]) -> None:
    text = ",".join(parts)
    found = Blocks().elements(text)
    assert found is None or same(found, array(text))


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from("abc"), inner),
    max_leaves=6,
)


@given(some.lists(JSON, min_size=1, max_size=4), some.sampled_from([(",", ":"), (", ", ": "), (",", " : ")]))
def test_what_is_plain_is_found(values: list[Any], separators: tuple[str, str]) -> None:
    """As programs write it; without that, the tests above would say nothing."""
    texts = [json.dumps(value, separators=separators) for value in values]
    blocks = Blocks()
    assert same(blocks.lines("\n".join(texts)) or [], one_by_one("\n".join(texts)))
    assert same(blocks.elements(",".join(texts)) or [], array(",".join(texts)))


# --- a whole file -----------------------------------------------------------------------------------------


class _NeverBlocks(Blocks):
    """What finds nothing, so that all is scanned one by one."""

    def elements(self, text: str) -> None:
        return None

    def lines(self, text: str) -> None:
        return None


def outcome(read: Callable[[], list[tuple[int, int, Any]]]) -> str:
    try:
        return repr(read())
    except DataFileError as error:
        return str(error)


def read(text: str, *, lines: bool) -> Callable[[], list[tuple[int, int, Any]]]:
    """Number, line and value of each record."""

    def records() -> list[tuple[int, int, Any]]:
        reader = Reader("f", io.BytesIO(text.encode("utf-8", "surrogatepass")))
        return [
            (number, batch.line_of(place), batch.records[place])
            for batch in (reader.lines() if lines else reader.batches([EACH]))
            for place, number in enumerate(batch.numbers)
        ]

    return records


PLAIN = some.builds(
    '{{"id": {}, "tags": [{{"id": {}}},{}{{"id": 2}}], "text": "{}"}}'.format,
    some.integers(0, 9),
    some.integers(0, 9),
    some.sampled_from(["", "\n", " "]),
    some.sampled_from(["", "x", "},{", "\\n", "é"]),
)


@given(
    values=some.lists(PLAIN | objects(VALUES), max_size=12),
    between=some.sampled_from([",", ",\n", " , ", "\n,"]),
    size=some.integers(1, 90),
    lines=some.booleans(),
)
def test_a_file(values: list[str], between: str, size: int, *, lines: bool) -> None:
    """Records, numbers, lines and errors are those of a reader without blocks, wherever a buffer ends."""
    text = "\n".join(values) if lines else f"[{between.join(values)}]"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fluxmig.loading.buffer._CHUNK", size)
        found = outcome(read(text, lines=lines))
        patch.setattr(reading, "Blocks", _NeverBlocks)
        assert found == outcome(read(text, lines=lines))


@pytest.mark.parametrize("count", [0, 20])
def test_where_blocks_are_tried(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Most records of a large document come in blocks; where its look misleads, few are scanned in vain."""
    tried: list[bool] = []

    class Counted(Blocks):
        def elements(self, text: str) -> list[Any] | None:
            found = super().elements(text)
            tried.append(found is not None)
            return found

    monkeypatch.setattr(reading, "Blocks", Counted)
    monkeypatch.setattr("fluxmig.loading.buffer._CHUNK", 1000)
    tags = ",".join(['{"id":7}'] * count)
    record = f'{{"id":1,"tags":[{tags}],"x":5}}'
    text = f"[{','.join([record] * 2000)}]"
    assert len(read(text, lines=False)()) == 2000
    buffers = len(text) // 1000
    if count:
        assert 2 <= len(tried) < buffers // 5
    else:
        assert tried.count(True) >= buffers - 1
