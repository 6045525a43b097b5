"""What a database is made of, as values: two snapshots -> in what they differ. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["Catalog", "Difference", "Entry", "differences"]

_WITH_PARTS: Final = ("table", "view", "materialized view", "foreign table", "type")


@dataclass(frozen=True, slots=True)
class Entry:
    """An object of a database.

    Attributes:
        definition: How it is defined; empty where that it is there says all.
        table: The table, or what has columns like one, that it is a part of; or None.
    """

    definition: str
    table: str | None = None


Catalog = Mapping[tuple[str, str], Entry]
"""A kind of object and a name -> the object. Names of the connection's own schema stand without it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An object that is not the same in two snapshots.

    Attributes:
        kind: "table", "column", "index" and so on.
        name: Its name.
        before: Its definition in the first; None where it is not there.
        after: Its definition in the second, likewise.
    """

    kind: str
    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        named = f"{self.kind} {self.name}"
        if self.before is None:
            return f"{named} is new: {self.after}".removesuffix(": ")
        if self.after is None:
            return f"{named} is gone: {self.before}".removesuffix(": ")
        return f"{named} was {self.before or 'plain'}, and is {self.after or 'plain'}"


def differences(before: Catalog, after: Catalog) -> tuple[Difference, ...]:
    """What is not the same, by kind and name; of a table that is new or gone, its parts go without saying.

    Args:
        before: The first snapshot.
        after: The second.
    """
    found = []
    for kind, name in sorted(before.keys() | after.keys()):
        old, new = before.get((kind, name)), after.get((kind, name))
        either = old or new
        wholes = [(whole, either.table) for whole in _WITH_PARTS] if either and either.table else []
        is_told = any((whole in before) != (whole in after) for whole in wholes)
        if old != new and not is_told:
            definitions = [each.definition if each else None for each in (old, new)]
            found.append(Difference(kind, name, *definitions))
    return tuple(found)
