"""Keys that several records of a file have, as far as that can be told without a database."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from fluxmig.loading.nouns import OnConflict, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fluxmig.loading.tables import Rows, Target

__all__ = ["Repeats"]

_MOST = 1_000_000
"""Keys of a table among which equal ones are looked for."""


class Repeats:
    """The keys that a dry run has met, of tables in which a second one would be an error.

    Attributes:
        table: The first table that has one twice; None where none has.
    """

    def __init__(self, targets: Iterable[Target]) -> None:
        self.table: str | None = None
        self._seen: dict[str, dict[tuple[str, ...], set[int]]] = {
            target.shape.name: {key: set() for key in target.shape.uniques.values()}
            for target in targets
            if target.on_conflict is OnConflict.ERROR
        }

    def among(self, rows: Rows, file: str) -> Iterator[Refusal]:
        """The rows whose key an earlier row has, among the first million."""
        for key, seen in self._seen.get(rows.table, {}).items():
            if len(seen) >= _MOST:
                continue
            for place, values in rows.keys(key):
                number = hash(tuple(map(_mark, values)))
                if number in seen:
                    self.table = self.table or rows.table
                    named = ", ".join(f"{name} = {value}" for name, value in zip(key, values, strict=True))
                    reason = f"an earlier record has the same {', '.join(key)}"
                    yield Refusal(file, rows.numbers[place], rows.table, reason, value=named)
                seen.add(number)


def _mark(value: Any) -> Any:
    """What a part of a key is known by: equal values by equal hashes, and -1 by another one than -2."""
    match value:
        case int():
            return str(value)
        case float() | Decimal():
            return value, value + 1
        case list():
            return tuple(map(_mark, value))
        case dict():
            return repr(value)
        case _:
            return value
