"""What of a file's bytes counts: not its line endings, and no byte order mark."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fluxmig.content import content, content_checksums, file_checksums, with_lf

BOM = b"\xef\xbb\xbf"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"", b""),
        (b"a\nb\n", b"a\nb\n"),
        (b"a\r\nb\r\n", b"a\nb\n"),
        (b"a\rb\r", b"a\nb\n"),
        (b"a\r\nb\nc\rd", b"a\nb\nc\nd"),
        (b"a\r\r\nb", b"a\n\nb"),
        (b"a\n\rb", b"a\n\nb"),
        (b"\r\n", b"\n"),
        (BOM + b"a", b"a"),
        (BOM + BOM + b"a", b"a"),
        (BOM, b""),
        (b"a" + BOM, b"a" + BOM),
        (BOM[:2] + b"a", BOM[:2] + b"a"),
    ],
)
def test_content(source: bytes, expected: bytes) -> None:
    assert content(source) == expected


@given(st.binary())
def test_content_is_its_own_content(source: bytes) -> None:
    assert content(content(source)) == content(source)


def test_line_endings_alone_leave_a_byte_order_mark() -> None:
    assert with_lf(BOM + b"a\r\nb\rc\n") == BOM + b"a\nb\nc\n"


def test_the_checksums_of_a_file() -> None:
    assert list(file_checksums(b"a\r\n")) == [sha256(b"a\r\n"), sha256(BOM + b"a\r\n")]


def test_the_checksums_of_a_content() -> None:
    forms = [b"a\nb\n", BOM + b"a\nb\n", b"a\r\nb\r\n", BOM + b"a\r\nb\r\n", b"a\rb\r", BOM + b"a\rb\r"]
    for form in forms:
        assert list(content_checksums(form)) == [sha256(other) for other in forms]


LINES = st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])))
"""Lines of a text, without their ends."""


@given(LINES, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
@example(["\ufeffa"], "\n", "\r\n", True)
def test_any_text_is_known_after_any_conversion(
    lines: list[str],
    old: str,
    new: str,
    marked: bool,  # noqa: FBT001
) -> None:
    applied, now = (ending.join(lines).encode() for ending in (old, new))
    assert content(applied) == content(now)
    assert sha256(content(applied).replace(b"\n", old.encode())) in content_checksums(BOM * marked + now)


@given(LINES, LINES)
@example(["a"], ["a", ""])
@example(["a "], ["a"])
@example(["a"], ["A"])
@example(["\u2028"], ["", ""])
def test_any_other_edit_is_one(old: list[str], new: list[str]) -> None:
    applied, now = ("\n".join(lines).lstrip("\ufeff").encode() for lines in (old, new))
    assert (content(applied) == content(now)) is (applied == now)
    assert (sha256(applied) in content_checksums(now)) is (applied == now)
