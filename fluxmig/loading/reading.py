"""A file of JSON -> its records, in batches, each with its place. Reads a batch at a time."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import accumulate
from typing import IO, TYPE_CHECKING, Any, NoReturn

from fluxmig.loading.buffer import CUT, Buffer
from fluxmig.loading.paths import EACH, path_text
from fluxmig.loading.scanning import PROBLEMS, BadValueError, Blocks, explained, line_value, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Refuse = Callable[[int, int, str, str], None]

__all__ = ["Batch", "Reader", "shape_of"]

_BEHIND = re.compile(r"[ \t\r\n]*([,\]}])[ \t\r\n]*")
_TOKEN = re.compile(r'[^"{}\[\]]+|"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)
_BETWEEN = re.compile(r'([]} \t\r\n]*\})[ \t\r\n]*,[ \t\r\n]*(\{[ \t\r\n]*"[^"\\]{0,60}")')
"""The end of one object in an array, and the beginning of the next one with its first name."""

_NAMES = {"{": "an object", "[": "an array", '"': "a string", "t": "true", "f": "false", "n": "null"}

_CUT_OFF = 16
"""Characters before the end of the buffer: an error there may be the buffer's end and not the file's."""

_MOST_PATIENCE = 6
"""A power of two: so many buffers at most are scanned one by one before blocks are tried again."""

_UNTERMINATED = "not JSON: unterminated"
_LINES = "a file of one record a line ends in .ndjson or .jsonl, or is read with --lines"


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that follow each other.

    Attributes:
        first: The number of the first one, from 1.
        records: What they are.
        text: Where they stand, and
        starts: tells the offset of each in it, and of as many before them as
        skipped: says.
        line: The line on which the text begins.
    """

    first: int
    records: list[Any]
    text: str
    starts: Callable[[], Sequence[int]]
    line: int
    skipped: int = 0

    @property
    def numbers(self) -> range:
        """Theirs."""
        return range(self.first, self.first + len(self.records))

    def line_of(self, place: int) -> int:
        """The line on which a record begins, from 1."""
        return self.line + self.text.count("\n", 0, self.starts()[self.skipped + place])

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
        first, skipped = self.first + start, self.skipped + start
        return replace(self, first=first, records=self.records[start:end], skipped=skipped)


class Reader(Buffer):
    """One pass through a file, record by record."""

    def __init__(self, name: str, file: IO[bytes], *, compressed: bool = False) -> None:
        """As `Buffer`."""
        super().__init__(name, file, compressed=compressed)
        self._count = 0
        self._blocks = Blocks()
        self._between: re.Match[str] | None = None  # what stood between the last two elements
        self._failed, self._waits = 0, 0  # how often blocks were none, and how many buffers to wait

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

    def lines(self, refuse: Refuse | None = None) -> Iterator[Batch]:
        """The records of a file that has one a line; empty lines count for nothing.

        Args:
            refuse: Hears the number and the line of a record that is no JSON, why, and its text, to go on
                behind it; None has it raised.

        Raises:
            DataFileError: A line is no JSON.
        """
        while self._more():
            end = len(self._text) if self._is_whole else self._text.rfind("\n") + 1
            text = self._text[:end]
            block = self._blocks.lines(text)
            if block is None:
                yield from self._one_by_one(text, refuse)
            else:
                starts = cache(partial(_line_starts, text))
                yield Batch(self._count + 1, block, text, starts, self._line)
                self._count += len(block)
            self._drop(end)

    def _one_by_one(self, text: str, refuse: Refuse | None) -> Iterator[Batch]:
        """The records of lines of which some may be empty, or no JSON."""
        records: list[Any] = []
        starts: list[int] = []
        first, start = self._count + 1, 0
        for each in text.split("\n"):
            if each and not each.isspace():
                self._count += 1
                try:
                    records.append(line_value(each))
                    starts.append(start)
                except BadValueError as error:
                    if refuse is None:
                        self._fail(start, str(error))
                    refuse(self._count, self._line + text.count("\n", 0, start), str(error), each)
                    if records:
                        yield Batch(first, records, text, partial(list, starts), self._line)
                    records, starts, first = [], [], self._count + 1
            start += len(each) + 1
        if records:
            yield Batch(first, records, text, partial(list, starts), self._line)

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
            yield Batch(self._count, [value], self._text, partial(list, [self._place]), self._line)
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
        self._between = None
        while True:
            block = self._block()
            if block is not None:
                yield block
                continue
            batch, closing, problem = self._some()
            if batch.records:
                yield batch
            if closing is not None:
                if self._text[closing] != "]":
                    self._fail(closing, "a comma or ] is missing before this")
                self._place = closing + 1
                return
            self._go_on(problem, had=bool(batch.records))

    def _block(self) -> Batch | None:
        """The elements up to the last place that looks like the end of one; None where it is not certain.

        What is whole with brackets around it, from where an element begins to a comma, is elements alone. But
        the comma may be inside of one, where that has objects of the same look; then the next buffers wait.
        """
        if self._between is None:
            return None
        if self._waits:
            self._waits -= 1
            return None
        text, place = self._text, self._place
        cut = text.rfind(self._between[0], place)
        if cut < 0:
            return None
        end = cut + self._between.end(1) - self._between.start()
        records = self._blocks.elements(text[place:end])
        if records is None:
            self._failed = min(self._failed + 1, _MOST_PATIENCE)
            self._waits = 2**self._failed - 1
            return None
        self._failed = 0
        starts = cache(partial(_element_starts, text, place, end))
        batch = Batch(self._count + 1, records, text, starts, self._line)
        self._count += len(records)
        self._place = cut + self._between.start(2) - self._between.start()
        return batch

    def _some(self) -> tuple[Batch, int | None, Exception | None]:
        """The elements that the buffer has whole; the place of what ends the array; why there is no more."""
        behind, text, place = _BEHIND.match, self._text, self._place
        records: list[Any] = []
        starts: list[int] = []
        closing, problem = None, None
        while closing is None:
            try:
                value, end = scan(text, place)
            except PROBLEMS as error:
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
        if len(records) > 1:
            tail = text[starts[-2] : starts[-1]]
            self._between = _BETWEEN.match(text, starts[-2] + len(tail.rstrip("]}, \t\r\n")))
        batch = Batch(self._count + 1, records, text, partial(list, starts), self._line)
        self._count += len(records)
        self._place = place
        return batch, closing, problem

    def _go_on(self, problem: Exception | None, *, had: bool) -> None:
        """Reads more behind what could not be scanned; or raises, where more would not help."""
        if problem is not None and not self._may_be_cut_off(problem):
            self._refuse(problem)
        if problem is None and self._is_whole:
            self._fail(self._place, f"the file ends in the middle of record {self._count + 1}", CUT)
        self._grow(1 if had else len(self._text) - self._place)

    def _value(self) -> Any:
        """The value that begins here, whole."""
        while True:
            try:
                value, end = scan(self._text, self._place)
            except PROBLEMS as error:
                self._go_on(error, had=False)
                continue
            if end < len(self._text) or self._is_whole:
                self._place = end
                return value
            self._grow(1)

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
                self._fail(len(self._text), "the file ends in the middle of a value", CUT)

    # --- errors -------------------------------------------------------------------------------------------

    def _may_be_cut_off(self, problem: Exception) -> bool:
        """Whether the end of the buffer may be what is wrong."""
        if self._is_whole or isinstance(problem, RecursionError | BadValueError):
            return False
        if isinstance(problem, json.JSONDecodeError):
            return problem.msg.startswith("Unterminated") or problem.pos >= len(self._text) - _CUT_OFF
        place = problem.value if isinstance(problem, StopIteration) else self._place
        return int(place) >= len(self._text) - _CUT_OFF

    def _refuse(self, problem: Exception) -> NoReturn:
        place, message = explained(problem, self._place)
        is_end = place >= len(self._text.rstrip()) or message.startswith(_UNTERMINATED)
        if is_end and self._is_whole and not isinstance(problem, BadValueError | RecursionError):
            self._fail(self._place, f"the file ends in the middle of record {self._count + 1}", CUT)
        self._fail(place, message)


def _line_starts(text: str) -> list[int]:
    """Where each line begins."""
    return [0, *accumulate(len(line) + 1 for line in text.split("\n"))]


def _element_starts(text: str, place: int, end: int) -> list[int]:
    """Where each of the elements of an array begins that are whole between two places."""
    starts = []
    while place < end:
        starts.append(place)
        _, stop = scan(text, place)
        found = _BEHIND.match(text, stop)
        place = found.end() if found else end
    return starts


def shape_of(reader: Reader) -> tuple[str, tuple[str, ...]]:
    """What a document is: its first character, and of an object the names of the members that are arrays."""
    members = list(reader.members())
    return members[0][1], tuple(name for name, opening in members[1:] if opening == "[")
