"""What a file of JSON is read as, whole or cut off, and where it says that it is none."""

from __future__ import annotations

import gzip
import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fluxmig.errors import DataFileError
from fluxmig.loading import buffer
from fluxmig.loading.paths import EACH, STDIN
from fluxmig.loading.reading import Reader, shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

USERS = ("users", EACH)


def records(text: str | bytes, path: Sequence[str] = (EACH,)) -> list[Any]:
    data = text if isinstance(text, bytes) else text.encode()
    return [record for batch in Reader("f.json", io.BytesIO(data)).batches(path) for record in batch.records]


def lines(text: str) -> list[Any]:
    return [
        record for batch in Reader("f.ndjson", io.BytesIO(text.encode())).lines() for record in batch.records
    ]


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("[]", (EACH,), []),
        (" [ ] ", (EACH,), []),
        ("\ufeff[1]", (EACH,), [1]),
        ('[{"a": 1}, 2, null, "x"]', (EACH,), [{"a": 1}, 2, None, "x"]),
        ('{"x": {"users": [9]}, "users": [1, 2], "y": "]"}', USERS, [1, 2]),
        ('{"a": {"b": {"c": [[1], {}]}}}', ("a", "b", "c", EACH), [[1], {}]),
        ('{"a": {"b": 5}}', ("a", "b"), [5]),
        ("5", (), [5]),
        ('{"x": "a\\"]{", "users": [1]}', USERS, [1]),
        ("[0.10, 1e400, 12345678901234567890.123456789]", (EACH,), "exact"),
    ],
)
def test_the_records_at_a_path(text: str, path: tuple[str, ...], expected: Any) -> None:
    if expected == "exact":
        expected = [Decimal("0.10"), Decimal("1e400"), Decimal("12345678901234567890.123456789")]
    assert records(text, path) == expected


CUT = "\nwas it written, or copied, to its end?"
UTF_8 = "\nJSON is UTF-8: save the file so, `iconv -f UTF-16 -t UTF-8` say"
CP1252 = UTF_8.replace("UTF-16", "CP1252")
LINES = "\na file of one record a line ends in .ndjson or .jsonl, or is read with --lines"


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("", (EACH,), "f.json:1:1: the file is empty\nan empty array is []"),
        ("[1, 2", (EACH,), f"f.json:1:5: the file ends in the middle of record 2{CUT}"),
        ('[1,\n{"a":', (EACH,), f"f.json:2:1: the file ends in the middle of record 2{CUT}"),
        ('[1,\n"abc', (EACH,), f"f.json:2:1: the file ends in the middle of record 2{CUT}"),
        ("[1, 2]\nx", (EACH,), f"f.json:2:1: there is more behind the end of the document{LINES}"),
        ('{"a": 1}\n{"a": 2}', (), f"f.json:2:1: there is more behind the end of the document{LINES}"),
        ("[1 2]", (EACH,), "f.json:1:4: a comma or ] is missing here"),
        ("[1}", (EACH,), "f.json:1:3: a comma or ] is missing before this"),
        ("[1,]", (EACH,), "f.json:1:4: not JSON: expecting value"),
        ("[tru]", (EACH,), "f.json:1:2: not JSON: expecting value"),
        ("[NaN]", (EACH,), "f.json:1:2: NaN is no number of JSON"),
        ("[1, -Infinity]", (EACH,), "f.json:1:5: -Infinity is no number of JSON"),
        ('[{"a": 1, "a": 2}]', (EACH,), 'f.json:1:2: the name "a" stands twice in one object'),
        (
            "[" + "1" * 5000 + "]",
            (EACH,),
            "f.json:1:2: a whole number with more digits than any column holds",
        ),
        (
            "[1, 1e99999999999999999999]",
            (EACH,),
            "f.json:1:5: a number with a larger exponent than any column holds",
        ),
        ("[" * 100_000, (EACH,), "f.json:1:2: arrays and objects are nested too deeply"),
        ('["a\nb"]', (EACH,), "f.json:1:4: not JSON: invalid control character"),
        (b'["\xe9"]', (EACH,), f"f.json:1: not UTF-8: the byte 0xe9{CP1252}"),
        (b'[1,\n"\xc3', (EACH,), f"f.json:2: not UTF-8: the byte 0xc3{CP1252}"),
        ("[1]".encode("utf-16"), (EACH,), f"f.json:1: not UTF-8: it looks like UTF-16 or UTF-32{UTF_8}"),
        ("[1]".encode("utf-16-le"), (EACH,), f"f.json:1: not UTF-8: it looks like UTF-16 or UTF-32{UTF_8}"),
        ('{"a": [1]}', (EACH,), "f.json:1:1: $ is an object, and not an array"),
        ('"x"', USERS, "f.json:1:1: $ is a string, and not an object"),
        ('{"users": 5}', USERS, "f.json:1:11: $.users is a number, and not an array"),
        ('{"a": 1, "b": 2}', USERS, "f.json:1:17: there is no $.users: it has a, b"),
        ("{}", USERS, "f.json:1:3: there is no $.users: it is empty"),
        ('{"users": [], "users": []}', USERS, 'f.json:1:15: the name "users" stands twice in $'),
        ('{"a" 5}', USERS, "f.json:1:6: a colon is missing here"),
        ('{"a": 5,}', USERS, "f.json:1:9: a name in quotation marks is missing here"),
        ("{5: 5}", USERS, "f.json:1:2: a name in quotation marks is missing here"),
        ('{"a": 5 "b": 6}', USERS, "f.json:1:9: a comma or } is missing here"),
        ('{"users": [1]', USERS, "f.json:1:14: a comma or } is missing here"),
        ('{"a": {"b": [', USERS, f"f.json:1:14: the file ends in the middle of a value{CUT}"),
        ('{"a":', USERS, f"f.json:1:6: the file ends in the middle of a value{CUT}"),
    ],
)
def test_what_is_no_document(text: str | bytes, path: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataFileError) as caught:
        records(text, path)
    assert str(caught.value) == message
    assert caught.value.exit_code == 3


def test_lone_surrogates_are_left_to_the_column() -> None:
    assert records('["\\ud800"]') == ["\ud800"]


def test_lines() -> None:
    assert lines('{"a": 1}\n\n \t\r\n [2] \r\n3') == [{"a": 1}, [2], 3]
    assert lines("") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('1\n{"a": 1} x\n', "f.ndjson:2:1: there is more behind the record (column 9)"),
        ('1\n{"a":\n', "f.ndjson:2:1: not JSON: expecting value (column 6)"),
        ('1\n\n {"a": NaN}', "f.ndjson:3:1: NaN is no number of JSON"),
    ],
)
def test_what_is_no_line(text: str, message: str) -> None:
    with pytest.raises(DataFileError) as caught:
        lines(text)
    assert str(caught.value) == message


def test_lines_that_are_refused() -> None:
    refused: list[tuple[int, int, str, str]] = []
    reader = Reader("f", io.BytesIO(b"1\n\nx\n2\n[\n3"))
    found = [
        (number, record)
        for batch in reader.lines(lambda *why: refused.append(why))
        for number, record in zip(batch.numbers, batch.records, strict=True)
    ]
    assert found == [(1, 1), (3, 2), (5, 3)]
    assert [(number, line, text) for number, line, _, text in refused] == [(2, 3, "x"), (4, 5, "[")]


def test_where_records_begin() -> None:
    (batch,) = Reader("f", io.BytesIO(b'[1,\n{"a":\n2}, 3,\n\n4]')).batches([EACH])
    assert [batch.line_of(place) for place in range(4)] == [1, 2, 3, 5]
    behind = batch.behind(2)
    assert behind
    assert (behind.records, list(behind.numbers), behind.line_of(1)) == ([3, 4], [3, 4], 5)
    assert batch.behind(4) is None
    now, rest = batch.parted(3)
    assert rest
    assert (now.records, rest.records, rest.first) == ([1, {"a": 2}, 3], [4], 4)


def test_gzip() -> None:
    data = gzip.compress(b"[1, 2]")
    (batch,) = Reader("f", io.BytesIO(data), compressed=True).batches([EACH])
    assert batch.records == [1, 2]
    for broken, message in (
        (data[:-9], "f: ends in the middle of its compressed data"),
        (b"[1, 2]", "f: not gzip: Not a gzipped file (b'[1')"),
    ):
        with pytest.raises(DataFileError) as caught:
            list(Reader("f", io.BytesIO(broken), compressed=True).batches([EACH]))
        assert caught.value.message == message


def test_gzip_under_another_name() -> None:
    with pytest.raises(DataFileError) as caught:
        list(Reader(STDIN, io.BytesIO(gzip.compress(b"[1]"))).batches([EACH]))
    assert str(caught.value) == (
        "standard input: it is compressed\na compressed file ends in .gz, or is piped by gunzip -c"
    )


def test_standard_input_has_a_name() -> None:
    with pytest.raises(DataFileError, match=r"^standard input:1:1: the file is empty"):
        list(Reader(STDIN, io.BytesIO()).batches([EACH]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1, "b": [{}], "c": {"d": []}, "e": []}', ("{", ("b", "e"))),
        (" [1", ("[", ())),
        ("", ("", ())),
    ],
)
def test_the_shape_of_a_document(text: str, expected: tuple[str, tuple[str, ...]]) -> None:
    assert shape_of(Reader("f", io.BytesIO(text.encode()))) == expected


VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    some.lists(VALUES, max_size=5), some.dictionaries(some.text(), VALUES, max_size=2), some.integers(1, 9)
)
def test_a_buffer_that_ends_anywhere(values: list[Any], around: dict[str, Any], size: int) -> None:
    """Whatever is read at a time, the records are those of the whole."""
    whole = json.dumps({**around, "users": values}, ensure_ascii=False, indent=size % 3 or None)
    by_line = "\n".join(json.dumps(value) for value in values)
    usual = buffer._CHUNK
    buffer._CHUNK = size
    try:
        assert records(whole, USERS) == values
        assert lines(by_line) == values
    finally:
        buffer._CHUNK = usual
