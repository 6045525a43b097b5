"""The values of one column, converted together where they are plain, and one by one where they are not. Pure.

What is asked here of a whole column at once is what `convert` asks of each value; it only says yes.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from itertools import repeat
from types import NoneType
from typing import TYPE_CHECKING, Any

from fluxmig.loading.convert import UnfitError, json_texts
from fluxmig.loading.tables import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from fluxmig.loading.tables import Column

__all__ = ["converted"]

_TOO_FINE = re.compile(r"[.,]\d{7}")


def converted(column: Column, convert: Callable[[Any], Any], values: list[Any], *, nul: bool) -> list[Any]:
    """All of them, as `convert` makes them; null stays null, where the column takes it.

    Args:
        column: The column.
        convert: What converts a value that is not null.
        values: What records have.
        nul: Whether the database can keep the character NUL in a text.

    Raises:
        UnfitError: One of them does not fit.
    """
    types = set(map(type, values))
    if NoneType in types:
        if not column.nullable:
            raise UnfitError("null, and the column takes none")
        present = [value for value in values if value is not None]
        made = iter(converted(column, convert, present, nul=nul) if present else ())
        return [None if value is None else next(made) for value in values]
    if column.kind in {Kind.JSON, Kind.JSONB}:
        return _documents(column, convert, values, nul=nul)
    if len(types) == 1 or types == {int, Decimal}:
        found = _plain(column, Decimal if Decimal in types else types.pop(), values, nul=nul)
        if found is not None:
            return found
    return list(map(convert, values))


def _plain(column: Column, kind: type, values: list[Any], *, nul: bool) -> list[Any] | None:
    """Values of one type, if they are all such that little or nothing is to be done.

    Whole numbers may be among those with a point.
    """
    match column.kind:
        case Kind.TEXT | Kind.OTHER if kind is str:
            text = "".join(values)
            is_short = column.length is None or max(map(len, values)) <= column.length
            return values if is_short and text.isascii() and (nul or "\0" not in text) else None
        case Kind.BOOLEAN if kind is bool:
            return values
        case Kind.INTEGER if kind is int and column.low is not None and column.high is not None:
            return values if column.low <= min(values) and max(values) <= column.high else None
        case Kind.NUMERIC if (
            kind in {Decimal, int} and column.precision is not None and column.digits is None
        ):
            return values if _is_within(column.precision, column.scale or 0, values) else None
        case Kind.UUID if kind is str:
            return values if _are_uuids(values) else None
        case Kind.TIMESTAMPTZ if kind is str and not _TOO_FINE.search("\n".join(values)):
            moments = _moments(values)
            return values if moments and column.takes_iso and _are_plain(values) else moments
    return None


def _documents(column: Column, convert: Callable[[Any], Any], values: list[Any], *, nul: bool) -> list[str]:
    texts = json_texts(values)
    text = "".join(texts)
    has_no_nul = nul or column.kind is Kind.JSON or "\\u0000" not in text
    return texts if text.isascii() and has_no_nul else list(map(convert, values))


def _is_at(text: str, character: str, place: int, length: int) -> bool:
    """Whether a character is at that place in each piece of a text whose pieces are all of that length."""
    return text[place::length] == character * (len(text) // length)


def _are_uuids(values: list[str]) -> bool:
    """Whether they are written as databases write them: in lower case, with four dashes."""
    if set(map(len, values)) != {36}:
        return False
    text = "".join(values)
    if text != text.lower() or not all(_is_at(text, "-", place, 36) for place in (8, 13, 18, 23)):
        return False
    try:
        return len(bytes.fromhex(text.replace("-", ""))) == 16 * len(values)  # which passes over space
    except ValueError:
        return False


def _are_plain(values: list[str]) -> bool:
    """Whether points in time are all written as `2026-01-05T09:30:00`, and the same behind that."""
    length = len(values[0])
    text = "".join(values)
    if (
        set(map(len, values)) != {length}
        or "," in text
        or not (_is_at(text, "T", 10, length) or _is_at(text, " ", 10, length))
    ):
        return False
    marks = ((4, "-"), (7, "-"), (13, ":"), (16, ":"))
    return all(_is_at(text, mark, place, length) for place, mark in marks)


def _is_within(precision: int, places: int, numbers: list[Any]) -> bool:
    bound = 10 ** max(precision - places, 0)
    if not (-bound < min(numbers) and max(numbers) < bound):
        return False
    try:
        return list(map(round, numbers, repeat(places))) == numbers
    except ArithmeticError:  # one has more digits than the context of `decimal`
        return False


def _moments(values: list[str]) -> list[datetime] | None:
    try:
        moments = list(map(datetime.fromisoformat, values))
    except ValueError:
        return None
    return moments if None not in {moment.tzinfo for moment in moments} else None
