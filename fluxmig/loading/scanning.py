"""Text of JSON -> values: one by one, or many at once where that is certain to give the same. Pure.

The parser is the standard library's: its C scanner keeps every digit of a number, shows the names of an
object before one of them is lost, and says where it stopped. (orjson rounds numbers and keeps the last of two
equal names; so do ijson and msgspec with names, and ijson knows no places.)

What costs most of it is to be called for each record and each object, so `Blocks` scans many records in one
call, and looks for lost names by counting. It never says what is wrong: there, it finds none of the records.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    Scan = Callable[[str, int], tuple[Any, int]]

__all__ = ["PROBLEMS", "BadValueError", "Blocks", "explained", "line_value", "scan"]

PROBLEMS = (ValueError, StopIteration, RecursionError, InvalidOperation)
"""What a scanner raises."""

_SPACE = b" \t\r\n"
_MARK = "\x7f"  # the only control character that may stand in a text of JSON


class BadValueError(ValueError):
    """A value that JSON has no place for, or that would lose something."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadValueError(f"the name {json.dumps(twice)} stands twice in one object")
    return found


def _constant(word: str) -> NoReturn:
    raise BadValueError(f"{word} is no number of JSON")


def _scanner(**hook: Any) -> Scan:
    """As `JSONDecoder.raw_decode`, but that space before the value is an error."""
    decoder: Any = json.JSONDecoder(parse_float=Decimal, parse_constant=_constant, **hook)
    found: Scan = decoder.scan_once
    return found


scan: Scan = _scanner(object_pairs_hook=_pairs)
"""The value that begins at a place of a text, and the place behind it."""


def line_value(text: str) -> Any:
    """The one value of a line; raises `BadValueError` where there is none, or more."""
    start = len(text) - len(text.lstrip()) if text[0].isspace() else 0
    try:
        value, end = scan(text, start)
    except BadValueError:
        raise
    except PROBLEMS as error:
        place, message = explained(error, start)
        raise BadValueError(f"{message} (column {place + 1})") from None
    if end < len(text) and text[end:].strip():
        raise BadValueError(f"there is more behind the record (column {end + 1})")
    return value


def explained(problem: Exception, place: int) -> tuple[int, str]:
    """Where, and what, in words.

    Args:
        problem: One of `PROBLEMS`.
        place: Where the value begins.
    """
    match problem:
        case BadValueError():
            return place, str(problem)
        case json.JSONDecodeError():
            said = problem.msg.removesuffix(" at").removesuffix(" starting")
            return problem.pos, f"not JSON: {said[:1].lower()}{said[1:]}"
        case RecursionError():
            return place, "arrays and objects are nested too deeply"
        case StopIteration():
            return int(problem.value), "not JSON: expecting value"
        case InvalidOperation():
            return place, "a number with a larger exponent than any column holds"
        case _:  # int() of too many digits
            return place, "a whole number with more digits than any column holds"


class Blocks:
    """A scanner of many records at once, which finds each value that `scan` would find, or none of them.

    Whether an object has a name twice is told by counting. Each member has a colon, with the closing
    quotation mark of its name before it, and nothing but space in between. So a text without its space has at
    least as many `":` as members. Where the objects that are made of it have as many names, none was lost.
    """

    def __init__(self) -> None:
        sizes: list[int] = []

        def counted(found: dict[str, Any]) -> dict[str, Any]:
            sizes.append(len(found))
            return found

        self._scan, self._sizes = _scanner(object_hook=counted), sizes

    def elements(self, text: str) -> list[Any] | None:
        """The values of a text that has a comma between each two of them; None where that is not certain."""
        values = self._values(f"[{text}]")
        return values if values is not None and self._has_all_names(text) else None

    def lines(self, text: str) -> list[Any] | None:
        """The values of a text that has a line for each; None where that is not certain.

        A mark that the text does not have stands between the lines meanwhile. A value that goes over several
        lines has it inside, and a line with several values has none between them.
        """
        body = text.removesuffix("\n")
        if _MARK in body:
            return None
        marked = body.replace("\n", f',"{_MARK}",')
        values = self._values(f"[{marked}]")
        if values is None:
            return None
        found, marks = values[::2], values[1::2]
        is_whole = len(marks) == body.count("\n") == marks.count(_MARK) == len(found) - 1
        return found if is_whole and self._has_all_names(text) else None

    def _values(self, array: str) -> list[Any] | None:
        """The elements of an array that is all of a text."""
        self._sizes.clear()
        try:
            values, end = self._scan(array, 0)
        except PROBLEMS:
            return None
        return values if end == len(array) else None

    def _has_all_names(self, text: str) -> bool:
        """Whether the objects of the last scan have as many names as the text may have members."""
        return text.encode().translate(None, _SPACE).count(b'":') == sum(self._sizes)
