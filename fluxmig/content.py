"""What of a file's bytes is its content: not its line endings, and no byte order mark at its beginning.

Editors and version control change both without being asked, and the SQL stays what it was. Checksums are
those of the bytes all the same.
"""

from __future__ import annotations

import codecs
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["content", "content_checksums", "file_checksums", "with_lf"]

_LINE_ENDINGS = (b"\n", b"\r\n", b"\r")


def content(source: bytes) -> bytes:
    """The bytes with LF line endings, and without byte order marks at their beginning."""
    while source.startswith(codecs.BOM_UTF8):
        source = source[len(codecs.BOM_UTF8) :]
    return with_lf(source)


def with_lf(data: bytes) -> bytes:
    """The bytes with LF for each CRLF and each CR."""
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def file_checksums(source: bytes) -> Iterator[str]:
    """SHA-256, in hexadecimal, of the file with these bytes: without a byte order mark, and with one."""
    for mark in (b"", codecs.BOM_UTF8):
        checksum = hashlib.sha256(mark)
        checksum.update(source)
        yield checksum.hexdigest()


def content_checksums(source: bytes) -> Iterator[str]:
    """The same of each file with this content whose line endings are all of one kind.

    Lazy, since each is a pass over the bytes; the likeliest first.
    """
    plain = content(source)
    for line_ending in _LINE_ENDINGS:
        yield from file_checksums(plain.replace(b"\n", line_ending))
