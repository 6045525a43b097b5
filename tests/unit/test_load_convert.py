"""What becomes of a value in a column, and what does not fit; alone, and among others."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fluxmig.loading.columns import converted
from fluxmig.loading.convert import UnfitError, converter, json_text
from fluxmig.loading.nouns import Source
from fluxmig.loading.tables import Column, Kind

INTEGER = Column("c", Kind.INTEGER, low=-(2**31), high=2**31 - 1)
MONEY = Column("c", Kind.NUMERIC, precision=6, scale=2)
WIDE = Column("c", Kind.NUMERIC, precision=50, scale=2)
MOOD = Column("c", Kind.ENUM, choices=("good", "bad"))
UUID = "6f1c2a90-0000-4000-8000-00000000000a"
NOON = datetime(2026, 1, 5, 12, 30, tzinfo=UTC)
BERLIN = timezone(timedelta(hours=1))


def kind(of: Kind) -> Column:
    return Column("c", of)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        (kind(Kind.TEXT), "é😀", "é😀"),
        (kind(Kind.TEXT), 5, "5"),
        (kind(Kind.TEXT), Decimal("0.10"), "0.10"),
        (Column("c", Kind.TEXT, length=3), "äöü", "äöü"),
        (INTEGER, 2**31 - 1, 2**31 - 1),
        (INTEGER, Decimal("3.0"), 3),
        (INTEGER, "-17", -17),
        (kind(Kind.INTEGER), 10**30, 10**30),
        (MONEY, Decimal("9999.99"), Decimal("9999.99")),
        (MONEY, Decimal("1.500"), Decimal("1.500")),
        (MONEY, -9999, -9999),
        (MONEY, "12.25", Decimal("12.25")),
        (kind(Kind.NUMERIC), Decimal("1E+400"), Decimal("1E+400")),
        (Column("c", Kind.NUMERIC, digits=15), Decimal("0.123456789012345"), Decimal("0.123456789012345")),
        (kind(Kind.FLOAT), Decimal("0.1"), 0.1),
        (kind(Kind.BOOLEAN), True, True),
        (kind(Kind.BOOLEAN), 0, False),
        (kind(Kind.BOOLEAN), "true", True),
        (kind(Kind.UUID), UUID.upper(), UUID),
        (kind(Kind.UUID), UUID.replace("-", ""), UUID),
        (kind(Kind.TIMESTAMPTZ), "2026-01-05T12:30:00Z", NOON),
        (kind(Kind.TIMESTAMPTZ), "2026-01-05 13:30:00+01:00", NOON.astimezone(BERLIN)),
        (kind(Kind.TIMESTAMP), "2026-01-05T13:30:00+01:00", NOON.replace(tzinfo=None)),
        (kind(Kind.TIMESTAMP), "2026-01-05T12:30:00", NOON.replace(tzinfo=None)),
        (kind(Kind.DATE), "2026-01-05", date(2026, 1, 5)),
        (kind(Kind.DATE), "2026-01-05T00:00:00.000Z", date(2026, 1, 5)),
        (kind(Kind.TIME), "09:30", time(9, 30)),
        (kind(Kind.JSON), {"a": [1, None, Decimal("0.10")]}, '{"a":[1,null,0.1]}'),
        (kind(Kind.JSONB), Decimal("12345678901234567890.5"), "12345678901234567890.5"),
        (
            kind(Kind.JSONB),
            {"é": [Decimal("0.12345678901234567890"), {}]},
            '{"é":[0.12345678901234567890,{}]}',
        ),
        (kind(Kind.BYTES), "AP8=", b"\0\xff"),
        (MOOD, "good", "good"),
        (WIDE, Decimal(f"{'9' * 48}.12"), Decimal(f"{'9' * 48}.12")),
        (Column("c", Kind.ARRAY, item=INTEGER), [1, None, [2]], [1, None, [2]]),
        (kind(Kind.OTHER), "10.0.0.1", "10.0.0.1"),
    ],
)
def test_what_fits(column: Column, value: Any, expected: Any) -> None:
    convert = converter(column, Source())
    assert repr(convert(value)) == repr(expected)
    assert converted(column, convert, [value], nul=True) == [expected]
    assert converted(column, convert, [value, None], nul=True) == [expected, None]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        (kind(Kind.TEXT), True, "true or false, and not a string"),
        (kind(Kind.TEXT), {}, "an object, and not a string"),
        (Column("c", Kind.TEXT, length=3), "four", "4 characters, and the column takes 3"),
        (kind(Kind.TEXT), "a\0b", "the character NUL, which the database cannot keep in a text"),
        (kind(Kind.TEXT), "a\ud800", "\\ud800 alone is half a character, and no text of UTF-8"),
        (INTEGER, 2**31, "not between -2147483648 and 2147483647"),
        (INTEGER, -(2**31) - 1, "not between -2147483648 and 2147483647"),
        (INTEGER, Decimal("1.5"), "not a whole number"),
        (INTEGER, Decimal("1e999999999"), "not between -2147483648 and 2147483647"),
        (INTEGER, Decimal("1e-999999999"), "not a whole number"),
        (
            kind(Kind.INTEGER),
            Decimal("1e999999999"),
            "a whole number with more digits than any column holds",
        ),
        (INTEGER, "1_0", "not a whole number"),
        (INTEGER, "NaN", "not a whole number"),
        (INTEGER, True, "true or false, and not a whole number"),
        (MONEY, Decimal("1.005"), "3 digits behind the point, and the column takes 2"),
        (WIDE, Decimal(f"{'1' * 30}.125"), "3 digits behind the point, and the column takes 2"),
        (WIDE, Decimal("1e999999999"), "1000000000 digits before the point, and the column takes 48"),
        (MONEY, 10000, "5 digits before the point, and the column takes 4"),
        (Column("c", Kind.NUMERIC, digits=15), 10**16 + 1, "17 digits, and the database keeps 15"),
        (kind(Kind.FLOAT), Decimal("1e400"), "too large a number"),
        (kind(Kind.BOOLEAN), 2, "a number, and not true or false"),
        (kind(Kind.UUID), "x", "not a UUID"),
        (kind(Kind.TIMESTAMPTZ), "2026-02-30T00:00:00Z", "not a point in time of ISO 8601"),
        (
            kind(Kind.TIMESTAMPTZ),
            "2026-01-05T12:30:00",
            "a point in time without a zone; the mapping's zone, or --zone, says which it is",
        ),
        (
            kind(Kind.TIMESTAMPTZ),
            1767616200,
            "a number, and no point in time of ISO 8601; the mapping's epoch says what a number means",
        ),
        (
            kind(Kind.TIMESTAMPTZ),
            "2026-01-05T12:30:00.1234567Z",
            "more than six digits of a second, and the column takes six",
        ),
        (kind(Kind.DATE), "2026-01-05T01:00:00", "a date with a time of day, which the column would lose"),
        (kind(Kind.DATE), "05.01.2026", "not a date of ISO 8601"),
        (kind(Kind.TIME), "25:00", "not a time of day"),
        (kind(Kind.JSONB), {"a": "x\0"}, "the character NUL, which the database cannot keep in a text"),
        (kind(Kind.JSONB), ["\udfff"], "\\udfff alone is half a character, and no text of UTF-8"),
        (kind(Kind.BYTES), "?", "not bytes in base64"),
        (MOOD, "odd", "not one of good, bad"),
        (Column("c", Kind.ARRAY, item=INTEGER), [1, "x"], "not a whole number"),
        (Column("c", Kind.ARRAY, item=INTEGER), 1, "a number, and not an array"),
    ],
)
def test_what_does_not_fit(column: Column, value: Any, reason: str) -> None:
    convert = converter(column, Source(), nul=False)
    with pytest.raises(UnfitError) as caught:
        convert(value)
    assert str(caught.value) == reason
    with pytest.raises(UnfitError):
        converted(column, convert, [value, value], nul=False)


def test_null() -> None:
    column = Column("c", Kind.TEXT, nullable=False, has_default=True)
    with pytest.raises(UnfitError, match=r"^null, and the column takes none$"):
        converted(column, converter(column, Source()), ["x", None], nul=True)


def test_a_backslash_before_the_escape_of_nul_is_no_nul() -> None:
    assert converter(kind(Kind.JSONB), Source(), nul=False)("\\u0000") == '"\\\\u0000"'
    assert converter(kind(Kind.JSON), Source(), nul=False)("\0") == '"\\u0000"'


@pytest.mark.parametrize(
    ("unit", "value"), [("s", 1767616200), ("ms", 1767616200000), ("us", Decimal("1767616200000000.0"))]
)
def test_epochs(unit: str, value: Any) -> None:
    column = kind(Kind.TIMESTAMPTZ)
    assert converter(column, Source(epoch=unit))(value) == NOON
    with pytest.raises(UnfitError, match=rf"^out of range, as {unit} since 1970$"):
        converter(column, Source(epoch=unit))(10**20)


def test_a_zone_for_those_that_name_none() -> None:
    column = kind(Kind.TIMESTAMPTZ)
    assert converter(column, Source(), "Europe/Berlin")("2026-01-05T13:30:00") == NOON


def test_hexadecimal_bytes() -> None:
    convert = converter(kind(Kind.BYTES), Source(encoding="hex"))
    assert convert("00FF") == b"\0\xff"
    with pytest.raises(UnfitError, match=r"^not bytes in hex$"):
        convert("0")


def test_json_keeps_every_digit() -> None:
    value = {"a": Decimal("1E+400"), "b": [True, None, "\n"]}
    assert json_text(value) == '{"a":1E+400,"b":[true,null,"\\n"]}'


UUIDS = [UUID, UUID.replace("6", "7")]
MOMENTS = ["2026-01-05T12:30:00.123Z", "2026-01-05T12:30:00.456Z"]


@pytest.mark.parametrize(
    ("column", "values", "same"),
    [
        (kind(Kind.UUID), UUIDS, True),
        (kind(Kind.UUID), [UUID, UUID.upper()], False),
        (kind(Kind.UUID), [UUID, UUID.replace("-", "")], False),
        (Column("c", Kind.TIMESTAMPTZ, takes_iso=True), MOMENTS, True),
        (Column("c", Kind.TIMESTAMPTZ, takes_iso=True), [MOMENTS[0], "2026-01-05T12:30:00Z"], False),
        (Column("c", Kind.TIMESTAMPTZ, takes_iso=True), ["20260105T123000Z"], False),
        (Column("c", Kind.TIMESTAMPTZ, takes_iso=True), ["2026-01-05T12:30:00,5Z"], False),
        (kind(Kind.TIMESTAMPTZ), MOMENTS, False),
    ],
)
def test_what_may_stay_as_it_is(column: Column, values: list[str], *, same: bool) -> None:
    convert = converter(column, Source())
    found = converted(column, convert, values, nul=True)
    assert found == (values if same else list(map(convert, values)))


@pytest.mark.parametrize("value", [UUID.replace("a", "g"), UUID.replace("a", "²"), UUID[:-1] + " ", "-" * 36])
def test_what_looks_like_a_uuid(value: str) -> None:
    with pytest.raises(UnfitError, match=r"^not a UUID$"):
        converted(kind(Kind.UUID), converter(kind(Kind.UUID), Source()), [UUID, value], nul=True)


# --- together, as one by one ------------------------------------------------------------------------------

NUMBERS = some.sampled_from(
    [
        *(0, -1, 7, 2**31 - 1, 2**31, -(2**31) - 1, 10**40, -(10**40)),
        *map(Decimal, ("0.10", "-0.0", "1.005", "9999.99", "1e400", "3.0", f"{'1' * 30}.5")),
        *map(Decimal, ("1e999999999", "1e-999999999")),
    ]
)
TEXTS = some.sampled_from(
    [
        *("", "a", "é", "a\0", "\ud800", "four", "\x7f", "7", "1e3", "true", "x" * 36),
        *(UUID, UUID.upper(), UUID.replace("-", ""), *MOMENTS),
        *("2026-01-05T12:30:00", "2026-01-05 12:30:00+01:00", "2026-01-05T12:30:00.1234567Z"),
    ]
)
VALUES = some.recursive(
    NUMBERS | TEXTS | some.none() | some.booleans(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
COLUMNS = (
    *(INTEGER, MONEY, WIDE, MOOD, Column("c", Kind.TEXT, length=3), Column("c", Kind.NUMERIC, digits=15)),
    *(Column("c", of, nullable=False) for of in (Kind.TEXT, Kind.JSONB)),
    *map(
        kind, (Kind.JSON, Kind.JSONB, Kind.UUID, Kind.TIMESTAMPTZ, Kind.TIMESTAMP, Kind.BOOLEAN, Kind.FLOAT)
    ),
)


@given(
    column=some.sampled_from(COLUMNS),
    values=some.lists(VALUES, min_size=1, max_size=5) | some.lists(NUMBERS | some.none(), min_size=1),
    nul=some.booleans(),
)
def test_a_column_is_converted_as_each_value_is(column: Column, values: list[Any], *, nul: bool) -> None:
    """What is asked of a whole column at once says neither yes nor no where one by one says otherwise."""
    convert = converter(column, Source(), nul=nul)
    expected: list[Any] | None
    try:
        expected = [None if value is None else convert(value) for value in values]
    except UnfitError:
        expected = None
    if None in values and not column.nullable:
        expected = None
    found: list[Any] | None
    try:
        found = converted(column, convert, values, nul=nul)
    except UnfitError:
        found = None
    assert repr(found) == repr(expected)
