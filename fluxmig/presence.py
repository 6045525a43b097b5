"""Statements -> whether what they would make is there, as far as the catalog can tell. Pure.

Names are compared, not definitions: a table of the name counts for the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluxmig.model import Lost
from fluxmig.objects import effects

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from fluxmig import sql
    from fluxmig.model import Script
    from fluxmig.objects import Created

__all__ = ["lost"]


def lost(
    script: Script,
    failing: int | None,
    rules: sql.Rules,
    existing: Callable[[Sequence[Created]], Collection[Created]],
) -> tuple[Lost, ...]:
    """The statements of a script that is marked for a duplicate, in order, but for the one that met it.

    Args:
        script: What did not take effect.
        failing: The number of the statement that met the duplicate.
        rules: The database's.
        existing: Which of these objects the database has; asked once, or not at all.
    """
    found = dict(effects(script, rules))
    wanted = dict.fromkeys(each for effect in found.values() for each in effect.creates)
    there = frozenset(existing(list(wanted)) if wanted else ())
    result = []
    for index, statement in enumerate(script.statements):
        if statement.number == failing:
            continue
        creates = found[index].creates if index in found else ()
        exists = all(each in there for each in creates) if creates else None
        result.append(Lost(statement, tuple(str(each) for each in creates), exists))
    return tuple(result)
