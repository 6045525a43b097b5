"""What a database has refused -> the record that it is, and where. Reads the files once more."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fluxmig.loading.convert import json_text
from fluxmig.loading.fitting import shortened
from fluxmig.loading.nouns import Refusal
from fluxmig.loading.paths import STDIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fluxmig.loading.planning import LoadPlan, Pass
    from fluxmig.loading.reading import Batch
    from fluxmig.loading.records import Records
    from fluxmig.loading.tables import Breach, Rows

__all__ = ["culprit", "placed"]


def culprit(
    planned: LoadPlan,
    records: Records,
    breach: Breach,
    among: Callable[[Sequence[tuple[Any, ...]]], Iterable[int]],
    reason: str,
) -> Refusal | None:
    """The refusal of the record whose row has the key; None where none is found, as in standard input.

    Args:
        planned: What was loaded. Keys that the database makes are not asked for again: they are nobody's
            fault.
        records: What reads the files.
        breach: The key.
        among: The places of the breach's keys among others, which only the database can tell for certain.
        reason: Why it is refused.

    Raises:
        DataFileError: A file cannot be read any more.
    """
    _make_no_keys(planned)
    found = None
    for each in planned.passes:
        if breach.table not in each.tables or each.file == STDIN:
            continue
        for batch, parts in records.rows(each):
            for number in (number for rows in parts for number in _numbers(rows, breach, among)):
                is_first = found is None
                blank = Refusal(each.file, number, breach.table, reason, code=breach.code)
                found = _completed(blank, each, batch, parts, breach.columns)
                if not (breach.is_twice and is_first):
                    return found
    return found


def placed(planned: LoadPlan, records: Records, refusal: Refusal, columns: Sequence[str]) -> Refusal:
    """The refusal of a record that is known, with its line and path, and its column where that is one of one.

    As it is, where it cannot be told which part of a file the record is of, as in standard input.

    Args:
        planned: As that of `culprit`.
        records: Likewise.
        refusal: What the database has refused.
        columns: The columns that it speaks of.

    Raises:
        DataFileError: The file cannot be read any more.
    """
    passes = [each for each in planned.passes if each.file == refusal.file and refusal.table in each.tables]
    number = refusal.record
    if len(passes) != 1 or refusal.file == STDIN or number is None:
        return refusal
    _make_no_keys(planned)
    for batch, parts in records.rows(passes[0]):
        if number in batch.numbers:
            return _completed(refusal, passes[0], batch, parts, columns)
    return refusal


def _make_no_keys(planned: LoadPlan) -> None:
    for fitter in (each for of in planned.passes for root in of.fitters for each in root.family):
        fitter.matcher.generate = lambda _, __, count: [None] * count


def _numbers(
    rows: Rows, breach: Breach, among: Callable[[Sequence[tuple[Any, ...]]], Iterable[int]]
) -> Iterator[int]:
    """The numbers of the records behind the rows with that key."""
    if rows.table != breach.table:
        return
    places, keys = [], []
    for place, values in rows.keys(breach.columns):
        places.append(place)
        keys.append(values)
    for found in among(keys) if keys else ():
        yield rows.numbers[places[found]]


def _completed(
    refusal: Refusal, each: Pass, batch: Batch, parts: Sequence[Rows], columns: Sequence[str]
) -> Refusal:
    """With line and path; where one column is to blame, with its value, unless the reason has it."""
    number = refusal.record or batch.first
    column = refusal.column or (columns[0] if len(columns) == 1 else None)
    record = batch.records[number - batch.first]
    path = next(
        fitter.where(column, record)
        for root in each.fitters
        for fitter in root.family
        if fitter.table.name == refusal.table
    )
    values = [
        values[0]
        for rows in parts
        if rows.table == refusal.table and column
        for place, values in rows.keys((column,))
        if rows.numbers[place] == number
    ]
    shown = None
    if len(values) == 1 and not re.search(rf"(?<!\w){re.escape(str(values[0]))}(?!\w)", refusal.reason):
        shown = shortened(json_text(values[0] if isinstance(values[0], int) else str(values[0])))
    line = batch.line_of_number(number)
    return replace(refusal, line=line, column=column, path=path, value=shown)
