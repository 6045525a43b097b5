"""A value of JSON -> what a column takes, or why it does not fit. Pure.

Nothing is invented and nothing is lost: a number keeps every digit or is refused, a point in time has its
zone, a text its length. What comes out is Python's own: str, int, Decimal, float, bool, bytes, datetime,
date, time, list; a JSON column gets its text.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from functools import partial
from json.encoder import c_make_encoder, encode_basestring  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from fluxmig.loading.tables import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fluxmig.loading.nouns import Source
    from fluxmig.loading.tables import Column

    Convert = Callable[[Any], Any]

__all__ = ["UnfitError", "converter", "json_text", "json_texts"]

_UUID = re.compile(r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}")
_TIME_OF_DAY = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,6}0*)?)?")
_NANOSECONDS = re.compile(r"(\.\d{6})0+(?!\d)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000}
_BOOLEANS = {"true": True, "false": False}
_FAR = 10**18  # more than any unit needs for the years that Python knows
_MOST_DIGITS = 4300  # as Python reads of a whole number
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES = {str: "a string", bool: "true or false", int: "a number", Decimal: "a number", dict: "an object"}
_NAMES |= {list: "an array", float: "a number"}


class UnfitError(ValueError):
    """Why a value does not fit, to be read behind its place."""


def converter(column: Column, source: Source, zone: str | None = None, *, nul: bool = True) -> Convert:
    """What converts a value for a column that is not null; it raises `UnfitError`.

    Args:
        column: The column.
        source: What the mapping says of it.
        zone: The time zone of a point in time that names none; None refuses it.
        nul: Whether the database can keep the character NUL in a text.
    """
    return _of(column, source, _zone(zone), nul=nul)


def json_text(value: Any) -> str:
    """A value as JSON, with every digit of its numbers."""
    try:
        return "".join(_ENCODE(value, 0))
    except _InexactError:
        return _exact(value)


def json_texts(values: list[Any]) -> list[str]:
    """The same of many values."""
    mark = ',"\x7f",'  # stands between them, unless one of them has it, too
    marked: list[Any] = ["\x7f"] * (2 * len(values) - 1)
    marked[::2] = values
    try:
        found = "".join(_ENCODE(marked, 0))[1:-1].split(mark)
    except _InexactError:
        return list(map(json_text, values))
    return found if len(found) == len(values) else list(map(json_text, values))


def _zone(name: str | None) -> tzinfo | None:
    """UTC needs no database of zones, which small systems do not have."""
    return None if name is None else UTC if name == "UTC" else ZoneInfo(name)


# --- by kind ----------------------------------------------------------------------------------------------


def _of(column: Column, source: Source, zone: tzinfo | None, *, nul: bool) -> Convert:
    match column.kind:
        case kind if kind in _PLAIN:
            return _PLAIN[kind]
        case Kind.INTEGER:
            convert: Convert = partial(_integer, column.low, column.high)
        case Kind.NUMERIC:
            convert = _numeric(column.precision, column.scale, column.digits)
        case Kind.TIMESTAMP | Kind.TIMESTAMPTZ:
            convert = partial(_timestamp, source.epoch, zone, column.kind is Kind.TIMESTAMPTZ)
        case Kind.JSON | Kind.JSONB:
            convert = partial(_json, nul or column.kind is Kind.JSON)
        case Kind.BYTES:
            convert = partial(_bytes, source.encoding)
        case Kind.ENUM:
            convert = partial(_enum, column.choices)
        case Kind.ARRAY:
            one = _of(column.item or column, source, zone, nul=nul)
            convert = partial(_array, lambda value: None if value is None else one(value))
        case _:
            convert = partial(_text, column.length, nul)
    return convert


def _text(length: int | None, nul: bool, value: Any) -> str:  # noqa: FBT001  # bound by `partial`
    if type(value) is not str:
        if type(value) not in {int, Decimal}:
            raise _wrong(value, "a string")
        value = str(value)
    if length is not None and len(value) > length:
        raise UnfitError(f"{len(value)} characters, and the column takes {length}")
    return _storable(value, nul=nul)


def _storable(value: str, *, nul: bool) -> str:
    if not nul and "\0" in value:
        raise UnfitError("the character NUL, which the database cannot keep in a text")
    if not value.isascii() and (found := _SURROGATE.search(value)):
        code = f"\\u{ord(found[0]):04x}"
        raise UnfitError(f"{code} alone is half a character, and no text of UTF-8")
    return value


def _integer(low: int | None, high: int | None, value: Any) -> int:
    number = _number(value, "a whole number")
    if (low is not None and number < low) or (high is not None and number > high):
        raise UnfitError(f"not between {low} and {high}")
    if type(number) is Decimal and number.adjusted() > _MOST_DIGITS:  # int() would write them all down
        raise UnfitError("a whole number with more digits than any column holds")
    whole = int(number)
    if whole != number:
        raise UnfitError("not a whole number")
    return whole


def _numeric(precision: int | None, scale: int | None, most: int | None) -> Convert:
    """What keeps within a column's digits."""
    places = scale or 0

    def numeric(value: Any) -> Decimal | int:
        number = _number(value, "a number")
        if precision is None and most is None:
            return number
        digits, exponent = _digits(number)
        if most is not None and digits > most:
            raise UnfitError(f"{digits} digits, and the database keeps {most}")
        if precision is not None and -exponent > places:
            raise UnfitError(f"{-exponent} digits behind the point, and the column takes {places}")
        if precision is not None and digits + exponent > precision - places:
            before = f"{digits + exponent} digits before the point"
            raise UnfitError(f"{before}, and the column takes {precision - places}")
        return number

    return numeric


def _digits(number: Decimal | int) -> tuple[int, int]:
    """How many digits a number has without zeros at its end, and the power of ten behind them."""
    _, digits, exponent = Decimal(number).as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    return len(text), int(exponent) + len(digits) - len(text) if text else 0


def _float(value: Any) -> float:
    number = float(_number(value, "a number"))
    if math.isinf(number):
        raise UnfitError("too large a number")
    return number


def _number(value: Any, wanted: str) -> Decimal | int:
    """A number; also one in a string, as programs write those that JavaScript would round."""
    if type(value) in {int, Decimal}:
        return value  # type: ignore[no-any-return]
    if type(value) is str and value.isascii() and "_" not in value:
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if number.is_finite():
            return number
    raise _wrong(value, wanted)


def _boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    if type(value) is int and value in {0, 1}:
        return value == 1
    if type(value) is str and value in _BOOLEANS:
        return _BOOLEANS[value]
    raise _wrong(value, "true or false")


def _uuid(value: Any) -> str:
    if type(value) is not str or not _UUID.fullmatch(value):
        raise _wrong(value, "a UUID")
    plain = value.lower()
    if len(plain) == 36:  # noqa: PLR2004  # with all its dashes
        return plain
    plain = plain.replace("-", "")
    return "-".join((plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:]))


def _timestamp(epoch: str | None, zone: tzinfo | None, keeps_zone: bool, value: Any) -> datetime:  # noqa: FBT001  # bound by `partial`
    if epoch is not None and type(value) in {int, Decimal}:
        moment = _since_epoch(epoch, value)
    elif type(value) is not str:
        hint = "; the mapping's epoch says what a number means" if type(value) in {int, Decimal} else ""
        raise UnfitError(f"{_NAMES.get(type(value), 'null')}, and no point in time of ISO 8601{hint}")
    else:
        moment = _iso(value)
    if keeps_zone:
        if moment.tzinfo is not None:
            return moment
        if zone is None:
            raise UnfitError(
                "a point in time without a zone; the mapping's zone, or --zone, says which it is"
            )
        return moment.replace(tzinfo=zone)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _iso(value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise UnfitError("not a point in time of ISO 8601") from None
    if len(value) > 26 and re.search(r"[.,]\d{6}0*[1-9]", value):  # noqa: PLR2004  # Python would cut them off
        raise UnfitError("more than six digits of a second, and the column takes six")
    return moment


def _since_epoch(unit: str, value: Decimal | int) -> datetime:
    if not -_FAR < value < _FAR:
        raise UnfitError(f"out of range, as {unit} since 1970")
    microseconds = Decimal(value) * 1_000_000 / _PER_SECOND[unit]
    if microseconds != int(microseconds):
        raise UnfitError("more than six digits of a second, and the column takes six")
    try:
        return _EPOCH + timedelta(microseconds=int(microseconds))
    except OverflowError:
        raise UnfitError(f"out of range, as {unit} since 1970") from None


def _date(value: Any) -> date:
    if type(value) is not str:
        raise _wrong(value, "a date of ISO 8601")
    try:
        return date.fromisoformat(value)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise UnfitError("not a date of ISO 8601") from None
    if moment.time() != time():
        raise UnfitError("a date with a time of day, which the column would lose")
    return moment.date()


def _time(value: Any) -> time:
    if type(value) is not str or not _TIME_OF_DAY.fullmatch(value):
        raise _wrong(value, "a time of day, as 09:30:00")
    try:
        return time.fromisoformat(value)
    except ValueError:
        raise UnfitError("not a time of day") from None


def _json(nul: bool, value: Any) -> str:  # noqa: FBT001  # bound by `partial`
    text = json_text(value)
    if not nul and "\\u0000" in text and _ESCAPED_NUL.search(text):
        raise UnfitError("the character NUL, which the database cannot keep in a text")
    return _storable(text, nul=True)


def _bytes(encoding: str, value: Any) -> bytes:
    if type(value) is not str:
        raise _wrong(value, f"bytes in {encoding}")
    try:
        return bytes.fromhex(value) if encoding == "hex" else base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        raise UnfitError(f"not bytes in {encoding}") from None


def _enum(choices: Sequence[str], value: Any) -> str:
    if type(value) is not str or value not in choices:
        raise UnfitError(f"not one of {', '.join(choices)}")
    return value


def _array(one: Convert, value: Any) -> list[Any]:
    if type(value) is not list:
        raise _wrong(value, "an array")
    return [_array(one, each) if type(each) is list else one(each) for each in value]


def _wrong(value: Any, wanted: str) -> UnfitError:
    if type(value) is str:
        return UnfitError(f"not {wanted}")
    return UnfitError(f"{_NAMES.get(type(value), 'null')}, and not {wanted}")


_PLAIN: dict[Kind, Convert] = {
    Kind.FLOAT: _float,
    Kind.BOOLEAN: _boolean,
    Kind.UUID: _uuid,
    Kind.DATE: _date,
    Kind.TIME: _time,
}
"""What needs to know nothing of the column."""


# --- JSON again -------------------------------------------------------------------------------------------


class _InexactError(Exception):
    """A number that a float would round."""


def _as_float(value: Any) -> float:
    number = float(value)
    if math.isinf(number) or Decimal(repr(number)) != value:
        raise _InexactError
    return number


_ENCODER = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), check_circular=False, default=_as_float
)
# JSONEncoder makes a new one of these for each value, which costs more than most values do.
_ENCODE: Callable[[Any, int], Iterable[str]] = (
    c_make_encoder(None, _as_float, encode_basestring, None, ":", ",", False, False, False)
    if c_make_encoder
    else lambda value, _: _ENCODER.iterencode(value)
)


def _exact(value: Any) -> str:
    """As `json.dumps`, in Python and slowly, with numbers that a float would round."""
    match value:
        case dict():
            pairs = (f"{json.dumps(name, ensure_ascii=False)}:{_exact(each)}" for name, each in value.items())
            return "{" + ",".join(pairs) + "}"
        case list():
            return "[" + ",".join(map(_exact, value)) + "]"
        case Decimal():
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False)
