"""The passes of a plan -> records, with the rows that they make; those that do not fit are handed on."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fluxmig.errors import DataFileError
from fluxmig.loading.fitting import MisfitError
from fluxmig.loading.mapping import is_compressed
from fluxmig.loading.nouns import LoadProgress, Refusal
from fluxmig.loading.paths import STDIN
from fluxmig.loading.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fluxmig.loading.fitting import Fitter
    from fluxmig.loading.planning import Pass
    from fluxmig.loading.reading import Batch
    from fluxmig.loading.tables import Rows

__all__ = ["Records"]


@dataclass(frozen=True, slots=True)
class Records:
    """What reads the files of a load.

    Attributes:
        refuse: Hears of each record that does not fit, and has it where it is one; it may raise.
        goes_on: Whether a line that is no JSON is refused, too, instead of ending the load.
        stdin: Standard input, where there is one.
        on_progress: Hears how far a file is read.
    """

    refuse: Callable[[Refusal, Any], None]
    goes_on: bool = False
    stdin: IO[bytes] | None = None
    on_progress: Callable[[LoadProgress], None] | None = None

    def rows(
        self, each: Pass, behind: int = 0, most: int | None = None
    ) -> Iterator[tuple[Batch, list[Rows]]]:
        """What a file has behind so many records, at most so many at a time.

        Raises:
            DataFileError: The file cannot be read, or is not what it should be.
        """
        with self._opened(each.file) as (file, size):
            reader = Reader(each.file, file, compressed=is_compressed(each.file))
            left = most
            for batch in self._read(each, reader):
                rest: Batch | None = batch.behind(behind)
                while rest is not None:
                    now, rest = rest.parted(left)
                    yield now, [rows for fitter in each.fitters for rows in self._fit(fitter, now)]
                    if most is not None and left is not None:
                        left = left - len(now.records) or most
                if self.on_progress:
                    self.on_progress(LoadProgress(each.label, reader.read, size))

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[IO[bytes], int | None]]:
        if name == STDIN:
            if self.stdin is None:
                raise DataFileError("there is no standard input", remedy="give `stdin`, a file of bytes")
            yield self.stdin, None
            return
        path = Path(name)
        try:
            file = path.open("rb")
        except OSError as error:
            raise DataFileError(f"{name}: cannot be read: {error.strerror}") from error
        with file:
            yield file, path.stat().st_size

    def _read(self, each: Pass, reader: Reader) -> Iterator[Batch]:
        if not each.lines:
            return reader.batches(each.root)
        table = each.fitters[0].table.name

        def refuse(number: int, line: int, reason: str, text: str) -> None:
            self.refuse(Refusal(each.file, number, table, reason, line), text)

        return reader.lines(refuse if self.goes_on else None)

    def _fit(self, fitter: Fitter, batch: Batch) -> list[Rows]:
        """The rows of records, without those that do not fit."""
        found: list[Rows] = []
        records, numbers, start = batch.records, batch.numbers, 0
        while start < len(records):
            try:
                return found + fitter.fit(records[start:], numbers[start:])
            except MisfitError as error:
                bad = start + error.place
                if bad > start:
                    found += fitter.fit(records[start:bad], numbers[start:bad])
                self.refuse(replace(error.refusal, line=batch.line_of(bad)), records[bad])
                start = bad + 1
        return found
