"""A file of JSON -> its records, in batches, each with its place. Reads as much as a batch needs at a time.

The parser is the standard library's, whose C scanner takes one record at a time out of a buffer: it keeps
every digit of a number, shows the names of an object before one of them is lost, and says where it stopped.
(orjson rounds numbers and keeps the last of two equal names; ijson keeps the last, too, and knows no places.)
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from dataclasses import dataclass
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, NoReturn

from fluxmig.errors import DataFileError
from fluxmig.loading.paths import EACH, STDIN, path_text, writable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Batch", "Reader", "shape_of"]

_CHUNK = 2**19
"""Bytes that are read at a time."""

_SPACE = re.compile(r"[ \t\r\n]*")
_BEHIND = re.compile(r"[ \t\r\n]*([,\]}])[ \t\r\n]*")
_TOKEN = re.compile(r'[^"{}\[\]]+|"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)
_NAMES = {"{": "an object", "[": "an array", '"': "a string", "t": "true", "f": "false", "n": "null"}
_PROBLEMS = (ValueError, StopIteration, RecursionError)
"""What the scanner raises."""

_CUT_OFF = 16
"""Characters before the end of the buffer: an error there may be the buffer's end and not the file's."""

_UTF_8 = "JSON is UTF-8: save the file so, `iconv -f UTF-16 -t UTF-8` say"


class _BadValueError(ValueError):
    """A value that JSON has no place for, or that would lose something."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that follow each other.

    Attributes:
        first: The number of the first one, from 1.
        records: What they are.
        text: Where they stand, and
        starts: the offset of each in it.
        line: The line on which the text begins.
    """

    first: int
    records: list[Any]
    text: str
    starts: list[int]
    line: int

    @property
    def numbers(self) -> range:
        """Theirs."""
        return range(self.first, self.first + len(self.records))

    def line_of(self, place: int) -> int:
        """The line on which a record begins, from 1."""
        return self.line + self.text.count("\n", 0, self.starts[place])

    def line_of_number(self, number: int | None) -> int | None:
        """The same by the record's number; None for one of others."""
        return self.line_of(number - self.first) if number in self.numbers and number else None

    def behind(self, number: int) -> Batch | None:
        """Those behind the record of that number; None where there are none."""
        if number < self.first:
            return self
        place = number - self.first + 1
        return self._from(place, len(self.records)) if place < len(self.records) else None

    def parted(self, most: int | None) -> tuple[Batch, Batch | None]:
        """The first so many of them, and the others, if there are any."""
        if most is None or len(self.records) <= most:
            return self, None
        return self._from(0, most), self._from(most, len(self.records))

    def _from(self, start: int, end: int) -> Batch:
        records, starts = self.records[start:end], self.starts[start:end]
        return Batch(self.first + start, records, self.text, starts, self.line)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _BadValueError(f"the name {json.dumps(twice)} stands twice in one object")
    return found


def _constant(word: str) -> NoReturn:
    raise _BadValueError(f"{word} is no number of JSON")


_DECODER: Any = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=Decimal, parse_constant=_constant)
_SCAN: Callable[[str, int], tuple[Any, int]] = _DECODER.scan_once  # as `raw_decode`, which scans space, too


class Reader:
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
        self._raw = file
        self._file: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=file) if compressed else file
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._place = "", 0
        self._line, self._column = 1, 0  # of its first character; the column from 0
        self._is_first, self._is_whole = True, False
        self._count = 0
        self.read = 0

    # --- what is asked for --------------------------------------------------------------------------------

    def batches(self, path: Sequence[str]) -> Iterator[Batch]:
        """The records at a path of the one document that the file is; the path ends at its first array.

        Raises:
            DataFileError: It is no such document, or has nothing at that path.
        """
        self._space()
        if not self._text:
            self._fail(self._place, "the file is empty", "an empty array is []")
        yield from self._walk(tuple(path), ())
        self._space()
        if self._place < len(self._text):
            self._fail(self._place, "there is more behind the end of the document", _LINES)

    def lines(self, refuse: Callable[[int, int, str], None] | None = None) -> Iterator[Batch]:
        """The records of a file that has one a line; empty lines count for nothing.

        Args:
            refuse: Hears the number and the line of a record that is no JSON, and why, to go on behind it;
                None has it raised.

        Raises:
            DataFileError: A line is no JSON.
        """
        while self._more():
            end = len(self._text) if self._is_whole else self._text.rfind("\n") + 1
            text, line = self._text[:end], self._line
            records, starts, first, start = [], [], self._count + 1, 0
            for each in text.split("\n"):
                if each and not each.isspace():
                    self._count += 1
                    try:
                        records.append(_line(each))
                        starts.append(start)
                    except _BadValueError as error:
                        if refuse is None:
                            self._fail(start, str(error))
                        refuse(self._count, line + text.count("\n", 0, start), str(error))
                        if records:
                            yield Batch(first, records, text, starts, line)
                        records, starts, first = [], [], self._count + 1
                start += len(each) + 1
            if records:
                yield Batch(first, records, text, starts, line)
            self._drop(end)

    def members(self) -> Iterator[tuple[str, str]]:
        """The first character of the document, under the name ""; of an object, that of each member, too."""
        self._space()
        opening = self._text[self._place : self._place + 1]
        yield "", opening
        if opening == "{":
            for name in self._members(()):
                yield name, self._text[self._place]
                self._skip()

    # --- walking ------------------------------------------------------------------------------------------

    def _walk(self, path: tuple[str, ...], walked: tuple[str, ...]) -> Iterator[Batch]:
        """The records at a path that begins here."""
        if not path:
            value = self._value()
            self._count += 1
            yield Batch(self._count, [value], self._text, [self._place], self._line)
            return
        step, *rest = path
        wanted = "[" if step == EACH else "{"
        opening = self._text[self._place]
        if opening != wanted:
            here, needed = path_text(walked), "an array" if step == EACH else "an object"
            self._fail(self._place, f"{here} is {_NAMES.get(opening, 'a number')}, and not {needed}")
        if step == EACH:
            yield from self._elements()
            return
        names, found = [], False
        for name in self._members(walked):
            names.append(name)
            if name == step:
                found = True
                yield from self._walk(tuple(rest), (*walked, step))
            else:
                self._skip()
        if not found:
            has = f"it has {', '.join(names[:10])}" if names else "it is empty"
            self._fail(self._place, f"there is no {path_text((*walked, step))}: {has}")

    def _elements(self) -> Iterator[Batch]:
        """The elements of the array that begins here, as many at a time as the buffer has."""
        self._step()
        if self._text[self._place] == "]":
            self._place += 1
            return
        while True:
            batch, closing, problem = self._some()
            if batch.records:
                yield batch
            if closing is not None:
                if self._text[closing] != "]":
                    self._fail(closing, "a comma or ] is missing before this")
                self._place = closing + 1
                return
            self._go_on(problem, had=bool(batch.records))

    def _some(self) -> tuple[Batch, int | None, Exception | None]:
        """The elements that the buffer has whole; the place of what ends the array; why there is no more."""
        scan, behind, text, place = _SCAN, _BEHIND.match, self._text, self._place
        records: list[Any] = []
        starts: list[int] = []
        closing, problem = None, None
        while closing is None:
            try:
                value, end = scan(text, place)
            except _PROBLEMS as error:
                problem = error.with_traceback(None)  # it holds this frame, which holds the buffer
                break
            found = behind(text, end)
            if found is None:
                if (more := self._behind(end)) < len(text):
                    self._fail(more, "a comma or ] is missing here")
                break
            if found.end() == len(text) and found[1] == "," and not self._is_whole:
                break
            records.append(value)
            starts.append(place)
            place = found.end()
            if found[1] != ",":
                closing = found.start(1)
        batch = Batch(self._count + 1, records, text, starts, self._line)
        self._count += len(records)
        self._place = place
        return batch, closing, problem

    def _go_on(self, problem: Exception | None, *, had: bool) -> None:
        """Reads more behind what could not be scanned; or raises, where more would not help."""
        if problem is not None and not self._may_be_cut_off(problem):
            self._refuse(problem)
        if problem is None and self._is_whole:
            self._fail(self._place, f"the file ends in the middle of record {self._count + 1}", _CUT)
        self._grow(1 if had else len(self._text) - self._place)

    def _value(self) -> Any:
        """The value that begins here, whole."""
        while True:
            try:
                value, end = _SCAN(self._text, self._place)
            except _PROBLEMS as error:
                self._go_on(error, had=False)
                continue
            if end < len(self._text) or self._is_whole:
                self._place = end
                return value
            self._grow(_CHUNK)

    def _members(self, walked: tuple[str, ...]) -> Iterator[str]:
        """The names of the object that begins here; each stops at its value, which has to be taken."""
        self._step()
        seen = set()
        while self._text[self._place] != "}":
            if self._text[self._place] != '"':
                self._fail(self._place, "a name in quotation marks is missing here")
            start = self._place
            name = self._value()
            if name in seen:
                self._fail(start, f"the name {json.dumps(name)} stands twice in {path_text(walked)}")
            seen.add(name)
            self._space()
            if self._text[self._place : self._place + 1] != ":":
                self._fail(self._place, "a colon is missing here")
            self._step()
            yield name
            self._space()
            match self._text[self._place : self._place + 1]:
                case ",":
                    self._step()
                    if self._text[self._place] == "}":
                        self._fail(self._place, "a name in quotation marks is missing here")
                case "}":
                    break
                case _:
                    self._fail(self._place, "a comma or } is missing here")
        self._place += 1

    def _skip(self) -> None:
        """Passes the value that begins here, without keeping it."""
        if self._text[self._place] not in "{[":
            self._value()
            return
        depth = 0
        while True:
            for found in _TOKEN.finditer(self._text, self._place):
                if found.start() != self._place:
                    break
                self._place = found.end()
                if found[0] in "{[":
                    depth += 1
                elif found[0] in "}]":
                    depth -= 1
                    if not depth:
                        return
            if not self._grow(1):
                self._fail(len(self._text), "the file ends in the middle of a value", _CUT)

    # --- the buffer ---------------------------------------------------------------------------------------

    def _step(self) -> None:
        """Passes one character and the space behind it; something has to follow."""
        self._place += 1
        self._space()
        if self._place >= len(self._text):
            self._fail(self._place, "the file ends in the middle of a value", _CUT)

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
        lines = self._text.count("\n", 0, end)
        self._line += lines
        self._column = end - self._text.rfind("\n", 0, end) - 1 if lines else self._column + end
        self._text, self._place = self._text[end:], 0

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
                    f"{self.name}:{line}: not UTF-8: the byte {byte}", remedy=_UTF_8
                ) from None
        return len(self._text) > had

    def _take(self, wanted: int) -> bytes:
        try:
            chunk = self._file.read(wanted)
        except EOFError:
            raise DataFileError(
                f"{self.name}: ends in the middle of its compressed data", remedy=_CUT
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
        """The first bytes without the mark of UTF-8; UTF-16 and UTF-32 are refused by theirs, or by zeros."""
        if chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in chunk[:4]:
            raise DataFileError(f"{self.name}:1: not UTF-8: it looks like UTF-16 or UTF-32", remedy=_UTF_8)
        return chunk.removeprefix(codecs.BOM_UTF8)

    # --- errors -------------------------------------------------------------------------------------------

    def _may_be_cut_off(self, problem: Exception) -> bool:
        """Whether the end of the buffer may be what is wrong."""
        if self._is_whole or isinstance(problem, RecursionError | _BadValueError):
            return False
        if isinstance(problem, json.JSONDecodeError):
            return problem.msg.startswith("Unterminated") or problem.pos >= len(self._text) - _CUT_OFF
        place = problem.value if isinstance(problem, StopIteration) else self._place
        return int(place) >= len(self._text) - _CUT_OFF

    def _refuse(self, problem: Exception) -> NoReturn:
        place, message = _explained(problem, self._place)
        is_end = place >= len(self._text.rstrip()) or message.startswith(_UNTERMINATED)
        if is_end and self._is_whole and not isinstance(problem, _BadValueError | RecursionError):
            self._fail(self._place, f"the file ends in the middle of record {self._count + 1}", _CUT)
        self._fail(place, message)

    def _fail(self, place: int, message: str, remedy: str | None = None) -> NoReturn:
        lines = self._text.count("\n", 0, place)
        column = place - self._text.rfind("\n", 0, place) if lines else self._column + place + 1
        line = self._line + lines
        raise DataFileError(f"{self.name}:{line}:{column}: {writable(message)}", remedy=remedy)


_UNTERMINATED = "not JSON: unterminated"
_CUT = "was it written, or copied, to its end?"
_LINES = "a file of one record a line ends in .ndjson or .jsonl, or is read with --lines"


def _line(text: str) -> Any:
    """The one value of a line, or why there is none."""
    start = len(text) - len(text.lstrip()) if text[0].isspace() else 0
    try:
        value, end = _SCAN(text, start)
    except _BadValueError:
        raise
    except _PROBLEMS as error:
        place, message = _explained(error, start)
        raise _BadValueError(f"{message} (column {place + 1})") from None
    if end < len(text) and text[end:].strip():
        raise _BadValueError(f"there is more behind the record (column {end + 1})")
    return value


def _explained(problem: Exception, place: int) -> tuple[int, str]:
    """Where, and what, in words."""
    match problem:
        case _BadValueError():
            return place, str(problem)
        case json.JSONDecodeError():
            said = problem.msg.removesuffix(" at").removesuffix(" starting")
            return problem.pos, f"not JSON: {said[:1].lower()}{said[1:]}"
        case RecursionError():
            return place, "arrays and objects are nested too deeply"
        case StopIteration():
            return int(problem.value), "not JSON: expecting value"
        case _:  # int() of too many digits
            return place, "a whole number with more digits than any column holds"


def shape_of(reader: Reader) -> tuple[str, tuple[str, ...]]:
    """What a document is: its first character, and of an object the names of the members that are arrays."""
    members = list(reader.members())
    return members[0][1], tuple(name for name, opening in members[1:] if opening == "[")
