"""What has become of the records of a load so far, and how many more may be refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fluxmig.errors import LoadError
from fluxmig.loading.nouns import TableTotals
from fluxmig.loading.tables import Written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fluxmig.loading.nouns import Refusal
    from fluxmig.loading.tables import Rows

__all__ = ["Tallies", "Tally"]

_GATHERED = 20
"""Refusals after which a dry run ends."""


@dataclass(slots=True)
class Tally:
    """What has become of the rows of one table so far.

    Attributes:
        read: How many the files had.
        refused: How many are refused.
        written: What became of the others.
        names: The columns that got values.
    """

    read: int = 0
    refused: int = 0
    written: Written = field(default_factory=Written)
    names: dict[str, None] = field(default_factory=dict)

    def totals(self, table: str) -> TableTotals:
        """The same, as a noun; what is neither new, nor changed, nor refused was passed over."""
        new, changed = self.written.inserted, self.written.updated
        return TableTotals(
            table, self.read, new, changed, self.read - new - changed - self.refused, self.refused
        )


class Tallies:
    """Those of all tables, and the records that are refused.

    Attributes:
        refusals: Which, and why, in the order in which that was found.
    """

    def __init__(
        self,
        tables: Iterable[str],
        *,
        most: int = 0,
        is_dry: bool = False,
        tell: Callable[[Refusal, Any], None] | None = None,
    ) -> None:
        """Counts from zero.

        Args:
            tables: The tables.
            most: How many records may be refused.
            is_dry: Whether refusals are gathered, up to a number, before there are too many.
            tell: Hears of each refusal, and of what is refused.
        """
        self._tables = {table: Tally() for table in tables}
        self._most, self._is_dry, self._tell_one = most, is_dry, tell
        self.refusals: list[Refusal] = []

    def __getitem__(self, table: str) -> Tally:
        return self._tables[table]

    def totals(self, tables: Iterable[str] | None = None) -> tuple[TableTotals, ...]:
        """Those of these tables, or of all, in order."""
        return tuple(self[table].totals(table) for table in tables or self._tables)

    def refuse(self, refusal: Refusal, record: Any) -> None:
        """Counts a record that does not fit; raises `LoadError` where that is one too many."""
        self.refusals.append(refusal)
        tally = self[refusal.table]
        tally.read += 1
        tally.refused += 1
        self._tell(refusal, record)

    def refuse_row(self, refusal: Refusal, rows: Rows) -> None:
        """Likewise a row that the database refuses."""
        self.refusals.append(refusal)
        self._tell(refusal, rows.row(0))

    def settle(self) -> None:
        """Raises `LoadError` where a dry run has gathered more than may be."""
        if len(self.refusals) > self._most:
            raise self._too_many()

    def _tell(self, refusal: Refusal, data: Any) -> None:
        if self._tell_one:
            self._tell_one(refusal, data)
        if len(self.refusals) > (max(self._most, _GATHERED) if self._is_dry else self._most):
            raise self._too_many()

    def _too_many(self) -> LoadError:
        lines = [str(refusal) for refusal in (self.refusals if self._is_dry else self.refusals[-1:])]
        if self._most:
            lines.append(f"{len(self.refusals)} records are refused, and {self._most} may be")
        return LoadError("\n".join(lines), refusals=self.refusals)
