"""Files made ready to run: their statements, and what each says of itself."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator
    from pathlib import Path

    from fluxmig.policies import OnDuplicate

__all__ = ["Allowance", "Limits", "Mode", "Script", "Statement", "Statements"]


class Mode(StrEnum):
    """How a script runs: in one transaction with its ledger row, or statement by statement without."""

    TRANSACTION = "transaction"
    NO_TRANSACTION = "no-transaction"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a script, exactly as written, without its terminator.

    Attributes:
        number: Its place in the script, from 1.
        sql: From its first token to its last; comments inside it included, those before it not.
        start: Offset of its first byte in the script.
        end: Offset behind its last byte.
        line: Line of its first character, from 1.
        column: Column of its first character, from 1.
        data: The rows behind a `COPY ... FROM stdin`: the offset of their first byte and that behind their
            last, without the line that ends them. None for any other statement.
    """

    number: int
    sql: str
    start: int
    end: int
    line: int
    column: int
    data: tuple[int, int] | None = None

    @property
    def first_line(self) -> str:
        """Its first line, for naming it to a person."""
        return self.sql.split("\n", 1)[0].strip()


@dataclass(frozen=True, slots=True, repr=False)
class Statements(Sequence[Statement]):
    """The statements of a script in order, kept as places in its source: 32 bytes each.

    Files of data hold millions of them; a `Statement` is made when it is asked for.

    Attributes:
        source: The script.
        cells: Start, end, line and column of each statement, one after the other.
        data: The range of the rows of each COPY, by its place in the sequence, from 0.
        gaps: Ranges that no message to the server may reach across: a COPY with its rows and the line that
            ends them, psql's own lines; and, empty, places behind which text is read by another setting.
    """

    source: bytes
    cells: array[int] = field(default_factory=lambda: array("Q"), hash=False)
    data: Mapping[int, tuple[int, int]] = field(default_factory=dict, hash=False)
    gaps: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.cells) // 4

    @overload
    def __getitem__(self, index: int) -> Statement: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Statement, ...]: ...
    def __getitem__(self, index: int | slice) -> Statement | tuple[Statement, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        index = range(len(self))[index]
        start, end, line, column = self.cells[4 * index : 4 * index + 4]
        sql = self.source[start:end].decode()
        return Statement(index + 1, sql, start, end, line, column, self.data.get(index))

    def start(self, index: int) -> int:
        """The offset of a statement's first byte; without making the statement."""
        return self.cells[4 * index]

    def end(self, index: int) -> int:
        """The offset behind a statement's last byte, likewise."""
        return self.cells[4 * index + 1]

    def rows(self, index: int) -> tuple[int, int] | None:
        """The range of the rows behind a COPY, likewise."""
        return self.data.get(index)

    def index_at(self, offset: int) -> int | None:
        """The place of the last statement that begins at or before an offset, or None."""
        found = bisect_right(range(len(self)), offset, key=self.start)
        return found - 1 if found else None

    def matches(self, pattern: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
        """Where a pattern is found in the source, from the first statement on, but for the rows of COPYs."""
        position = self.start(0) if self else len(self.source)
        for start, end in (*self.data.values(), (len(self.source),) * 2):
            yield from pattern.finditer(self.source, position, start)
            position = end

    def inner(self) -> Statements:
        """All but the first and the last, numbered from 1."""
        data = {place - 1: rows for place, rows in self.data.items()}
        return Statements(self.source, self.cells[4:-4], data, self.gaps)

    def __repr__(self) -> str:
        return f"<{len(self)} statements>"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a statement may keep others waiting, in seconds; 0 is for ever.

    Attributes:
        lock_timeout_s: How long it waits for the lock of a table; those who come after it wait behind it.
            None is 5, or what the session has set, where that is shorter.
        statement_timeout_s: How long it may take. None is what the session has set.
    """

    lock_timeout_s: float | None = None
    statement_timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Allowance:
    """A finding of a rehearsal that a file allows, by its name, and the line that says so, from 1."""

    name: str
    line: int


@dataclass(frozen=True, slots=True)
class Script:
    """A file made ready to run: split, classified, and found to be runnable.

    Attributes:
        name: The migration it belongs to.
        path: The file.
        checksum: SHA-256 of the bytes of the file.
        statements: Its statements, in order; of a file that is one transaction by its own BEGIN and COMMIT,
            without these two.
        mode: How it runs.
        reason: Why it runs without a transaction, or None.
        characteristics: What it asks of its transaction, `ISOLATION LEVEL SERIALIZABLE` say.
        start: Offset of the first byte that is sent, and
        end: behind the last; what is outside is the BEGIN and COMMIT around the whole.
        transactions: Its own, if it runs without one of ours: the places, from 0, of each BEGIN and of the
            COMMIT that belongs to it.
        done: How many of its statements an earlier attempt has done; this one begins behind them.
        interrupted: Whether that attempt ended without a word, so that the next statement may be done, too.
        on_duplicate: What the file says to do when an object is already there; None where it says nothing.
        limits: What the file says of time-outs.
        allowed: The findings of a rehearsal that the file allows.
        warnings: What a person should know of the file, beside.
    """

    name: str
    path: Path
    checksum: str
    statements: Statements
    mode: Mode = Mode.TRANSACTION
    reason: str | None = None
    characteristics: str | None = None
    start: int = 0
    end: int = 0
    transactions: tuple[tuple[int, int], ...] = ()
    done: int = 0
    interrupted: bool = False
    on_duplicate: OnDuplicate | None = None
    limits: Limits = Limits()
    allowed: tuple[Allowance, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def source(self) -> bytes:
        """The file's bytes, without a byte order mark."""
        return self.statements.source

    @property
    def without(self) -> str | None:
        """That it runs without a transaction, and why, in words; None where it has one."""
        return f"no transaction: {self.reason}" if self.reason else None
