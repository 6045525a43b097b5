"""The text of a file, of which as much is in memory as is being looked at, and the places in it."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from typing import IO, NoReturn

from fluxmig.errors import DataFileError
from fluxmig.loading.paths import STDIN, writable

__all__ = ["CUT", "Buffer"]

_CHUNK = 2**18
"""Bytes that are read at a time. What a server is sent of them finds room in a socket, and it works on that
while the next ones are parsed."""

_SPACE = re.compile(r"[ \t\r\n]*")
_UTF_8 = "JSON is UTF-8: save the file so, `iconv -f {} -t UTF-8` say"

_GZIP = b"\x1f\x8b"  # RFC 1952, 2.3.1

CUT = "was it written, or copied, to its end?"
"""The way out where a file ends too early."""


class Buffer:
    """One pass through a file.

    Attributes:
        name: The file, for messages.
        read: The bytes of the file that were read so far; of a compressed one, those that it has.
    """

    def __init__(self, name: str, file: IO[bytes], *, compressed: bool = False) -> None:
        """Reads nothing yet.

        Args:
            name: The file, for messages.
            file: Its bytes.
            compressed: Whether they are gzip's.
        """
        self.name = "standard input" if name == STDIN else name
        self.read = 0
        self._raw = file
        self._file: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=file) if compressed else file
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._place = "", 0
        self._line, self._column = 1, 0  # of its first character; the column from 0
        self._is_first, self._is_whole = True, False

    # --- going on -----------------------------------------------------------------------------------------

    def _step(self) -> None:
        """Passes one character and the space behind it; something has to follow."""
        self._place += 1
        self._space()
        if self._place >= len(self._text):
            self._fail(self._place, "the file ends in the middle of a value", CUT)

    def _space(self) -> None:
        """Passes space, up to the next character or the end of the file."""
        while True:
            self._place = self._behind(self._place)
            if self._place < len(self._text) or not self._grow(1):
                return

    def _behind(self, place: int) -> int:
        """The place of what comes behind space."""
        found = _SPACE.match(self._text, place)
        return found.end() if found else place

    def _more(self) -> bool:
        """For lines: reads on until there is a whole one; False behind the last."""
        while not self._is_whole and "\n" not in self._text:
            self._grow(len(self._text) or 1)
        return bool(self._text) or self._grow(1)

    def _drop(self, end: int) -> None:
        """Forgets what is before that place."""
        lines = self._text.count("\n", 0, end)
        self._line += lines
        self._column = end - self._text.rfind("\n", 0, end) - 1 if lines else self._column + end
        self._text, self._place = self._text[end:], 0

    # --- reading ------------------------------------------------------------------------------------------

    def _grow(self, least: int) -> bool:
        """Drops what is done and reads on, at least so many bytes; False at the end of the file."""
        if self._is_whole:
            return False
        self._drop(self._place)
        wanted, had = max(_CHUNK, least), len(self._text)
        while not self._is_whole and len(self._text) == had:
            chunk = self._take(wanted)
            self._is_whole = not chunk
            if self._is_first:
                self._is_first = False
                chunk = self._without_mark(chunk)
            try:
                self._text += self._decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line = self._line + self._text.count("\n") + error.object[: error.start].count(b"\n")
                byte = f"{error.object[error.start]:#04x}" if error.start < len(error.object) else "end"
                raise DataFileError(
                    f"{self.name}:{line}: not UTF-8: the byte {byte}", remedy=_UTF_8.format("CP1252")
                ) from None
        return len(self._text) > had

    def _take(self, wanted: int) -> bytes:
        try:
            chunk = self._file.read(wanted)
        except EOFError:
            raise DataFileError(
                f"{self.name}: ends in the middle of its compressed data", remedy=CUT
            ) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataFileError(
                f"{self.name}: not gzip: {error}", remedy="is it compressed at all?"
            ) from None
        except OSError as error:
            raise DataFileError(f"{self.name}: cannot be read: {error.strerror}") from error
        self.read += len(chunk) if self._file is self._raw else 0
        if self._file is not self._raw and self._raw.seekable():
            self.read = self._raw.tell()
        return chunk

    def _without_mark(self, chunk: bytes) -> bytes:
        """The first bytes without the mark of UTF-8; others are refused by theirs, or by zeros."""
        if chunk.startswith(_GZIP):
            raise DataFileError(
                f"{self.name}: it is compressed",
                remedy="a compressed file ends in .gz, or is piped by gunzip -c",
            )
        if chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in chunk[:4]:
            raise DataFileError(
                f"{self.name}:1: not UTF-8: it looks like UTF-16 or UTF-32", remedy=_UTF_8.format("UTF-16")
            )
        return chunk.removeprefix(codecs.BOM_UTF8)

    # --- errors -------------------------------------------------------------------------------------------

    def _fail(self, place: int, message: str, remedy: str | None = None) -> NoReturn:
        """Raises `DataFileError` at a place of the text."""
        lines = self._text.count("\n", 0, place)
        column = place - self._text.rfind("\n", 0, place) if lines else self._column + place + 1
        line = self._line + lines
        raise DataFileError(f"{self.name}:{line}:{column}: {writable(message)}", remedy=remedy)
