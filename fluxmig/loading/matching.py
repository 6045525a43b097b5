"""Which fields of a record go to which columns. Pure.

That is decided once for all records with the same fields; what is asked of each record afterwards is to give
up its values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from fluxmig.loading.convert import UnfitError
from fluxmig.loading.mapping import snake
from fluxmig.loading.nouns import OnConflict
from fluxmig.loading.paths import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fluxmig.loading.nouns import Rule, Source
    from fluxmig.loading.tables import Column, TableShape

    Get = Callable[["Group"], list[Any]]
    Generate = Callable[[TableShape, Column, int], list[Any] | None]

__all__ = ["Group", "Matcher", "Plan"]

_MOST = 1000
"""Plans that are kept: records may be maps, each with names of its own."""

_WAYS_OUT = "--ignore-unknown passes over such, --rest-into COLUMN keeps them"


@dataclass(frozen=True, slots=True)
class Group:
    """Records with the same fields.

    Attributes:
        records: The records.
        numbers: Of each, the number of what the file has.
        above: Of each, the place of the parent's row.
        parents: The values of the parents' rows, by column.
    """

    records: Sequence[Any]
    numbers: Sequence[int]
    above: Sequence[int]
    parents: Mapping[str, list[Any]]

    def those(self, places: Sequence[int]) -> Group:
        """Some of them."""
        return Group(
            [self.records[place] for place in places],
            [self.numbers[place] for place in places],
            [self.above[place] for place in places] if self.above else [],
            self.parents,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """How records with certain fields become rows.

    Attributes:
        names: The columns that get values.
        sources: Of each, how to get the values; and whether they are still to be converted.
        problem: Why none of them fits, instead: the column, the path, and the reason.
    """

    names: tuple[str, ...] = ()
    sources: tuple[tuple[Get, bool], ...] = ()
    problem: tuple[str | None, tuple[str, ...], str] | None = None


@dataclass(slots=True)
class Matcher:
    """What makes plans for the records of one rule.

    Attributes:
        rule: The rule.
        table: Its table.
        said: What fills columns, as the rule says, and the foreign key to the parent.
        below: The fields that are the children's.
        asked: The columns whose values children take, and that have a default.
        generate: Has the database make so many keys of a table, for rows whose children need them.
    """

    rule: Rule
    table: TableShape
    said: Mapping[str, Source]
    below: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()
    generate: Generate | None = None
    _plans: dict[Any, Plan] = field(default_factory=dict)
    _filled: dict[str, None] = field(default_factory=dict)

    def signatures(self, records: Sequence[Any]) -> list[Any]:
        """What fields each record has; None where it is no object."""
        deep = self._deep
        if not deep and set(map(type, records)) == {dict}:
            return list(map(tuple, records))
        return [
            None
            if type(record) is not dict
            else (tuple(record), tuple(_at(record, path) is not ABSENT for path in deep))
            if deep
            else tuple(record)
            for record in records
        ]

    @property
    def _deep(self) -> list[tuple[str, ...]]:
        return [source.path for source in self.said.values() if len(source.path) > 1]

    def plan(self, signature: Any) -> Plan:
        """How records with these fields become rows."""
        if len(self._plans) > _MOST:
            self._plans.clear()
        if signature not in self._plans:
            keys, flags = signature if self._deep and signature is not None else (signature, ())
            deep = dict(zip(self._deep, flags, strict=False))
            self._plans[signature] = self._of_scalar() if signature is None else self._of_object(keys, deep)
        return self._plans[signature]

    def _of_scalar(self) -> Plan:
        """The plan of what is no object: a column has to take the value itself."""
        takes = [
            name
            for name, source in self.said.items()
            if source.path == () and source.value is ABSENT and source.parent is None
        ]
        if not takes:
            return Plan(problem=(None, (), "not an object, and no column takes the value itself"))
        return self._of_object((), {})

    def _of_object(self, keys: Sequence[str], deep: Mapping[tuple[str, ...], bool]) -> Plan:
        by_name = self._by_name(keys)
        names: dict[str, tuple[Get, bool]] = {}
        for name, column in self.table.columns.items():
            source = self.said.get(name)
            found = self._got(source, by_name.get(name), keys, deep)
            if found is not None:
                names[name] = found
            elif column.is_generated or column.has_default or name == self.rule.rest_into:
                continue
            elif not column.nullable:
                path = source.path if source else (name,)
                return Plan(problem=(name, path, "missing, and the column takes no null and has no default"))
        for name in self.asked - names.keys():
            names[name] = self._made(self.table.columns[name]), False
        unknown = self._unknown(keys, by_name)
        if unknown and self.rule.rest_into:
            if self.rule.rest_into in names:
                why = f"it takes a value of its own, and the rest ({', '.join(unknown)}) cannot go there, too"
                return Plan(problem=(self.rule.rest_into, (), why))
            names[self.rule.rest_into] = (_rest(unknown), True)
        elif unknown and not self.rule.ignore_unknown:
            return Plan(problem=(None, (), self._no_column(unknown)))
        if not names:
            return Plan(problem=(None, (), "it has nothing that a column takes"))
        return self._even(names)

    def _made(self, column: Column) -> Get:
        def get(group: Group) -> list[Any]:
            count = len(group.records)
            made = self.generate(self.table, column, count) if self.generate else None
            if made is None:
                raise UnfitError(
                    "missing, and what the database gives it cannot be known before it is written"
                )
            return made

        return get

    def _even(self, names: dict[str, tuple[Get, bool]]) -> Plan:
        """The same with null for what other records have: rows with the same columns are written together.

        Not where rows may be updated: what a record does not have is left as it is then.
        """
        if self.rule.on_conflict is not OnConflict.UPDATE:
            columns = [self.table.columns[name] for name in names]
            plain = {each.name: None for each in columns if each.nullable and not each.has_default}
            if not plain.keys() <= self._filled.keys():
                self._filled |= plain
                self._plans.clear()
            names |= {name: (_constant(None), False) for name in self._filled if name not in names}
        ordered = [name for name in self.table.columns if name in names]
        return Plan(tuple(ordered), tuple(names[name] for name in ordered))

    def _got(
        self,
        source: Source | None,
        key: str | None,
        keys: Sequence[str],
        deep: Mapping[tuple[str, ...], bool],
    ) -> tuple[Get, bool] | None:
        """How to get the values of a column, and whether they are still to be converted; None for none."""
        if source is None:
            return (_field(key), True) if key is not None else None
        if source.parent is not None:
            return _of_parent(source.parent), False
        if source.value is not ABSENT:
            return _constant(source.value), True
        if not source.path:
            return (lambda group: list(group.records)), True
        if deep.get(source.path, len(source.path) == 1 and source.path[0] in keys):
            return (_field(source.path[0]) if len(source.path) == 1 else _deep(source.path)), True
        return (_constant(source.default), True) if source.default is not ABSENT else None

    def _by_name(self, keys: Sequence[str]) -> dict[str, str]:
        """The columns that fields find by their names: the same, or the same in snake_case."""
        found: dict[str, str] = {}
        for spelling in (str, snake):
            for key in keys:
                name = spelling(key)
                column = self.table.columns.get(name)
                if column is None or column.is_generated or key in self._taken or key in found.values():
                    continue
                if name not in self.said and name not in found:
                    found[name] = key
        return found

    @property
    def _taken(self) -> frozenset[str]:
        """The fields that the rule speaks of."""
        named = {source.path[0] for source in self.said.values() if source.path}
        return self.rule.ignore | named | self.below

    def _unknown(self, keys: Sequence[str], by_name: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(key for key in keys if key not in self._taken and key not in by_name.values())

    def _no_column(self, unknown: Sequence[str]) -> str:
        computed = [
            key for key in unknown if (column := self.table.columns.get(snake(key))) and column.is_generated
        ]
        fields = "no column for the field" + ("s" if len(unknown) > 1 else "")
        why = f" (the database computes {', '.join(computed)})" if computed else ""
        return f"{fields} {', '.join(unknown)}{why}; {_WAYS_OUT}"

    def path(self, name: str, record: Any) -> tuple[str, ...]:
        """Where in a record the value of a column is."""
        source = self.said.get(name)
        if source is not None:
            return source.path
        key = self._by_name(tuple(record) if type(record) is dict else ()).get(name)
        return (key,) if key is not None else ()


# --- getting values ---------------------------------------------------------------------------------------


def _field(key: str) -> Get:
    get = itemgetter(key)
    return lambda group: list(map(get, group.records))


def _deep(path: Sequence[str]) -> Get:
    return lambda group: [_at(record, path) for record in group.records]


def _constant(value: Any) -> Get:
    return lambda group: [value] * len(group.records)


def _of_parent(name: str) -> Get:
    def get(group: Group) -> list[Any]:
        values = group.parents.get(name)
        if values is None:
            raise UnfitError(f"the record above has no {name}")
        return [values[place] for place in group.above]

    return get


def _rest(keys: Sequence[str]) -> Get:
    return lambda group: [{key: record[key] for key in keys} for record in group.records]


def _at(record: Any, path: Sequence[str]) -> Any:
    """What a record has at a path of keys, or ABSENT."""
    for key in path:
        if type(record) is not dict or key not in record:
            return ABSENT
        record = record[key]
    return record
