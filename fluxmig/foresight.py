"""What a plan would make, and which of it will be there already. Pure.

What is said holds where the statements before it do what they say: none of the file fails earlier, and the
file that makes the object is not rolled back. A statement that could have removed or hidden an object
silences it: the words of its name decide, wherever they stand. Of functions, several can have one name, and
so nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fluxmig.objects import ALL, CASCADE, KEYS, PARTS, ROUTINES, effects, some_of, words

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from fluxmig import sql
    from fluxmig.model import Script, Statement
    from fluxmig.objects import Created, Effect, Existing

__all__ = ["Duplicate", "foreseen"]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A statement that would hit an object that is there already.

    Attributes:
        script: The name of its migration.
        statement: The statement.
        created: The object.
        made_by: The statement of the plan that makes the object before, and the name of its migration; None
            where it is in the database now.
    """

    script: str
    statement: Statement
    created: Created
    made_by: tuple[str, Statement] | None = None


def foreseen(
    scripts: Iterable[Script],
    rules: sql.Rules,
    existing: Existing,
) -> tuple[Duplicate, ...]:
    """The first statement of each script that would hit an object that is there already, in order.

    What a script makes that hits one does not count for later scripts: it will be rolled back.

    Args:
        scripts: In the order in which they will run.
        rules: The database's.
        existing: What the database has of these now; asked once, or not at all.
    """
    plan = [(script, list(effects(script, rules))) for script in scripts]
    questions = dict.fromkeys(each for _, effects in plan for _, effect in effects for each in _made(effect))
    found = existing(list(questions)) if questions else {}
    course = _Course(frozenset(each for each, presence in found.items() if presence.is_lasting))
    duplicates = (course.run(script, effects) for script, effects in plan)
    return tuple(duplicate for duplicate in duplicates if duplicate)


# --- the course of a plan ---------------------------------------------------------------------------------


_PARTS_OF_TABLES = frozenset({"index", "trigger", "constraint", "policy", "primary key", "sequence"})


@dataclass(frozen=True, slots=True)
class _Made:
    """An object that the plan makes: when, and by which statement."""

    created: Created
    time: int
    script: Script
    index: int


class _Course:
    """What is there for certain at each moment of a plan.

    Time counts statements from 1; what the database has now was made at 0. An object is there if no word of
    its name has been silenced since it was made.
    """

    def __init__(self, existing: frozenset[Created]) -> None:
        self.existing = existing
        self.made: dict[Hashable, _Made] = {}
        self.silenced: dict[str, int] = {}
        self.time = 0

    def run(self, script: Script, effects: Iterable[tuple[int, Effect]]) -> Duplicate | None:
        """The script's first duplicate."""
        duplicate: Duplicate | None = None
        changed_path = False
        for index, effect in effects:
            self.time += 1
            changed_path |= effect.changes_path
            self.silenced |= dict.fromkeys(effect.removes | effect.hides, self.time)
            for each in _made(effect):
                is_sure = each.is_qualified or not changed_path
                made = self.made.get(_key(each)) if is_sure else None
                if made and not self._lasts(made.created, made.time):
                    made = None
                if made or (is_sure and each in self.existing and self._lasts(each, 0)):
                    # Of an interrupted script, the next statement may be done.
                    if not (effect.perhaps or duplicate or index < script.done + script.interrupted):
                        made_by = (made.script.name, made.script.statements[made.index]) if made else None
                        duplicate = Duplicate(script.name, script.statements[index], each, made_by)
                    continue
                if each.kind == "index" or not each.table:  # it may hide another of its name
                    hidden = {ALL} if each.kind == "schema" else words(each.name)
                    self.silenced |= dict.fromkeys(hidden, self.time)
                if is_sure and not (effect.perhaps or duplicate):
                    self.made[_key(each)] = _Made(each, self.time, script, index)
        if duplicate:
            self.made = {key: made for key, made in self.made.items() if made.script is not script}
        return duplicate

    def _lasts(self, created: Created, since: int) -> bool:
        """Whether what was there at a time is there still, for certain."""
        named = words(f"{created.name} {created.table or ''}") | {ALL, CASCADE, some_of(created.kind)}
        if created.kind in _PARTS_OF_TABLES:
            named |= {PARTS}
        if created.kind == "primary key":
            named |= {KEYS}
        return all(since >= self.silenced.get(word, 0) for word in named)


def _key(created: Created) -> Hashable:
    """What no two objects can share at a time: all that has rows is a type, too (CREATE TABLE)."""
    has_type = not created.table and created.kind not in {"schema", "extension", "role", "sequence"}
    kind = "type" if has_type else created.kind
    return kind, created.name, created.schema, created.table, created.table_schema


def _made(effect: Effect) -> tuple[Created, ...]:
    return tuple(each for each in effect.creates if each.kind not in ROUTINES)
