"""Statements -> whether what they would make is there, as far as the catalog can tell. Pure.

Names are compared, not definitions: a table with the name and the columns counts for the table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Final

from fluxmig.model import Finding, Lost
from fluxmig.objects import (
    ALL,
    CASCADE,
    KEYS,
    PARTS,
    Effect,
    effects,
    is_of_session,
    makes_one,
    parts_of,
    some_of,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fluxmig import sql
    from fluxmig.model import Script, Statement
    from fluxmig.objects import Created, Existing, Presence

__all__ = ["Applied", "Removals", "Sight", "Watch", "absent", "in_words", "lost", "sights"]

_NAMED: Final = 5
"""Objects that a message names before it says how many more there are."""

_REMOVAL: Final = "(removal)"
_UNKNOWN: Final = Effect(removes=frozenset((ALL,)))
# What depends on no table, but for its type, and so does not go with one (5.15).
_INDEPENDENT: Final = frozenset(
    {"table", "partition", "foreign table", "column", "type", "enum value", "sequence", "schema", "extension"}
    | {"role", "event"}
)
# Where there are any, what is done to a table is done to others that it does not name (5.11, 5.12).
_CHILDREN: Final = re.compile(rb"\b(?:PARTITION\s+OF|INHERITS?|ATTACH)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be seen of a statement that makes something.

    What the script itself removes again by its name is in none of the lists.

    Attributes:
        statement: The statement.
        effect: What it does.
        there: What of it is there.
        absent: What of it is not there for certain.
        unknown: What of it cannot be told.
        taken: What of the absent would be refused, for something else is there.
    """

    statement: Statement
    effect: Effect
    there: tuple[Created, ...]
    absent: tuple[Created, ...]
    unknown: tuple[Created, ...]
    taken: tuple[Created, ...]

    @property
    def exists(self) -> bool | None:
        """Whether all that the statement would do is there; None where that cannot be told."""
        if self.absent:
            return False
        return True if self.there and not self.unknown and self.effect.whole else None


@dataclass(frozen=True, slots=True)
class Applied:
    """A migration that the ledger has.

    Attributes:
        name: Its name.
        script: The file; None where it is missing, or cannot be read.
        is_checked: Whether what it makes must be there. If not so, only what it removes counts.
    """

    name: str
    script: Script | None
    is_checked: bool = True


_Plan = list[tuple[int, Effect]]


def lost(
    script: Script,
    failing: int | None,
    rules: sql.Rules,
    existing: Existing,
) -> tuple[Lost, ...]:
    """The statements of a script that is marked for a duplicate, in order.

    The one that met it is among them only if a part of what it makes is not there, or if it may do more than
    make that. Those that only set the session are left out.

    Args:
        script: What did not take effect.
        failing: The number of the statement that met the duplicate.
        rules: The database's.
        existing: What the database has of these objects; asked once, or not at all.
    """
    seen = {sight.statement.number: sight for sight in sights([script], rules, existing)[0]}
    result = []
    for statement in script.statements:
        sight = seen.get(statement.number)
        exists = sight.exists if sight else None
        is_there = statement.number == failing and _is_whole_duplicate(statement, rules, exists=exists)
        if is_there or is_of_session(statement.sql, rules):
            continue
        result.append(Lost(statement, in_words(_made(sight.effect)) if sight else (), exists))
    return tuple(result)


def _is_whole_duplicate(statement: Statement, rules: sql.Rules, *, exists: bool | None) -> bool:
    """Whether one duplicate that a statement met says that all it would do is there.

    Args:
        statement: What met it.
        rules: The database's.
        exists: What the catalog says of it.
    """
    return exists or (exists is None and makes_one(statement.sql, rules))


def sights(
    scripts: Sequence[Script],
    rules: sql.Rules,
    existing: Existing,
) -> list[list[Sight]]:
    """What can be seen of the statements of each script that make something, in order.

    Args:
        scripts: Each for itself: none of them counts for another.
        rules: The database's.
        existing: What the database has of these objects; asked once, or not at all.
    """
    plans = [list(effects(script, rules)) for script in scripts]
    wanted = dict.fromkeys(each for plan in plans for _, effect in plan for each in _made(effect))
    found = existing(list(wanted)) if wanted else {}
    return [_sights(script, plan, found) for script, plan in zip(scripts, plans, strict=True)]


def _sights(script: Script, plan: _Plan, found: Mapping[Created, Presence]) -> list[Sight]:
    watch = Watch(script, plan)
    return [watch.sight(index, found) for index, effect in plan if _made(effect)]


class Watch:
    """What can be seen of the statements of a script, one at a time."""

    def __init__(self, script: Script, plan: _Plan) -> None:
        """Keeps what the statements do; asks nothing."""
        self._script, self._effects = script, dict(plan)
        self._removals = Removals([(script, plan)])
        for index, effect in plan:
            self._removals.note(effect, index)
        self._path_until = next((index for index, effect in plan if effect.changes_path), None)

    def missing(
        self,
        statement: Statement,
        rules: sql.Rules,
        existing: Existing,
    ) -> str | None:
        """What would be lost with a statement that met a duplicate, and the way out; None where nothing is.

        Args:
            statement: What met it.
            rules: The database's.
            existing: What the database has of these objects; asked once, or not at all.
        """
        index = statement.number - 1
        exists = None
        if effect := self._effects.get(index):
            made = _made(effect)
            sight = self.sight(index, existing(made) if made else {})
            if sight.absent:
                objects = ", ".join(in_words(sight.absent))
                return f"{objects}: not there, and would be lost with the statement; divide it"
            exists = sight.exists
        if _is_whole_duplicate(statement, rules, exists=exists):
            return None
        more = "The statement may do more than make what is there, and that would be lost"
        return f"{more}: divide it, or take out what is there."

    def sight(self, index: int, found: Mapping[Created, Presence]) -> Sight:
        """What can be seen of a statement that has an effect.

        Args:
            index: Its place, from 0.
            found: What the database has of what it makes.
        """
        effect = self._effects[index]
        is_path_changed = self._path_until is not None and self._path_until <= index
        there: list[Created] = []
        absent: list[Created] = []
        unknown: list[Created] = []
        for each in _made(effect):
            gone = self._removals.since(each, index)
            if any(word[0] != "(" for word in gone):
                continue
            if each not in found or (is_path_changed and not each.is_qualified):
                unknown.append(each)
            elif found[each].is_there:
                there.append(each)
            else:
                (unknown if gone else absent).append(each)
        taken = tuple(each for each in absent if found[each].is_taken)
        return Sight(
            self._script.statements[index], effect, tuple(there), tuple(absent), tuple(unknown), taken
        )


def absent(
    files: Sequence[Applied],
    rules: sql.Rules,
    existing: Existing,
) -> tuple[Finding, ...]:
    """What applied migrations have made that is not there, for certain; a finding a migration.

    For certain: no later statement may have removed it or given it another name, and no other schema has one
    of its name. Partitions come and go, and are not looked for.

    Args:
        files: In the order of application.
        rules: The database's.
        existing: What the database has of these objects; asked once, or not at all.
    """
    plans = [(file, list(effects(file.script, rules)) if file.script else [(0, _UNKNOWN)]) for file in files]
    removals = Removals([(file.script, plan) for file, plan in plans if file.script])
    made: dict[Created, tuple[int, Applied, int]] = {}
    time = 0
    for file, plan in plans:
        changed_path = False
        for index, effect in plan:
            time += 1
            removals.note(effect, time)
            changed_path |= effect.changes_path
            for each in _made(effect) if file.is_checked else ():
                is_sure = each.kind != "partition" and (each.is_qualified or not changed_path)
                if is_sure and (each not in made or removals.since(each, made[each][0])):
                    made[each] = time, file, index
    wanted = [each for each, (since, *_) in made.items() if not removals.since(each, since)]
    found = existing(wanted) if wanted else {}
    gone: dict[str, dict[Created, Statement]] = {file.name: {} for file in files}
    for each in wanted:
        presence = found.get(each)
        if presence and not presence.is_there and not presence.is_elsewhere:
            _, file, index = made[each]
            if file.script:
                gone[file.name][each] = file.script.statements[index]
    return tuple(_finding(name, objects) for name, objects in gone.items() if objects)


def in_words(objects: Iterable[Created]) -> tuple[str, ...]:
    """The objects as a message names them; what goes without saying for a table that is named is left out."""
    return tuple(str(each) for each in _salient(objects))


def _salient(objects: Iterable[Created]) -> list[Created]:
    objects = list(objects)
    tables = {(each.name, each.schema) for each in objects if each.kind.endswith("table")}
    parts = {"column", "constraint"}
    return [
        each for each in objects if each.kind not in parts or (each.table, each.table_schema) not in tables
    ]


def _finding(name: str, objects: Mapping[Created, Statement]) -> Finding:
    salient = _salient(objects)
    named = [f"{each} (line {objects[each].line})" for each in salient[:_NAMED]]
    if more := len(salient) - len(named):
        named.append(f"{more} more")
    all_named = " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))
    one = len(salient) == 1
    return Finding(
        "absent",
        f"{name} is recorded as applied, but {all_named} {'is' if one else 'are'} not there",
        (name,),
        f"make {'it' if one else 'them'} in a new migration; or `fluxmig unmark {quote(name)}`, and run it"
        f" with --on-duplicate complete; if {'it was' if one else 'they were'} meant to go, a migration with"
        " DROP ... IF EXISTS says so",
    )


def _made(effect: Effect) -> tuple[Created, ...]:
    return effect.creates + effect.parts


# --- what is removed --------------------------------------------------------------------------------------


class Removals:
    """When what is in a name was last taken away, in the caller's time."""

    def __init__(self, scripts: Iterable[tuple[Script, _Plan]]) -> None:
        """Looks at all of them for what depends on what; notes nothing yet."""
        kinds: dict[str, set[str]] = {}
        self._types: frozenset[str] = frozenset()
        self._has_children = False
        for script, plan in scripts:
            self._has_children |= bool(_CHILDREN.search(script.source))
            for _, effect in plan:
                self._types |= effect.types
                for each in effect.creates:
                    kinds.setdefault(each.name, set()).add(each.kind)
        self._tables = {name for name, found in kinds.items() if "table" in found and not _VIEWS & found}
        self._last: dict[str, int] = {}

    def note(self, effect: Effect, time: int) -> None:
        """Keeps what a statement may remove."""
        removes = effect.removes
        if CASCADE in removes and not removes.isdisjoint(self._types):  # columns of its type go along
            removes |= {ALL}
        if removes:
            self._last |= dict.fromkeys((*removes, _REMOVAL), time)

    def since(self, created: Created, time: int) -> dict[str, int]:
        """Why an object that was made at a time may be gone, and when that was.

        For a word of its name; or for one in parentheses, which stands for what goes without its name.
        """
        names = words(f"{created.name} {created.table or ''}") | {ALL, some_of(created.kind)}
        if created.table and created.kind not in {"column", "enum value"}:
            names |= parts_of(created.table)
        if created.kind in {"sequence", "partition"}:
            names |= {PARTS}
        if created.kind == "primary key":
            names |= {KEYS}
        if self._has_children:
            names |= {_REMOVAL, CASCADE} if created.table else {CASCADE}
        elif created.kind not in _INDEPENDENT and not (
            created.kind in {"index", "trigger"} and created.table in self._tables
        ):
            names |= {CASCADE}
        return {name: self._last[name] for name in names if self._last.get(name, time) > time}


_VIEWS: Final = frozenset({"view", "materialized view"})
