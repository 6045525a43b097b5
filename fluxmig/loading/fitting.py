"""Records -> rows of tables: fields find their columns, and values are converted. Pure.

Records with the same fields are handled together, column by column: what is asked of each record costs more
than all the rest. Only where one does not fit are they looked at one by one, to name it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from fluxmig.errors import ConfigError
from fluxmig.loading.columns import converted
from fluxmig.loading.convert import UnfitError, converter, json_text
from fluxmig.loading.mapping import snake
from fluxmig.loading.nouns import OnConflict, Refusal, Source
from fluxmig.loading.paths import ABSENT, EACH, path_text, writable
from fluxmig.loading.tables import Kind, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fluxmig.loading.nouns import Rule
    from fluxmig.loading.tables import Column, TableShape

    Get = Callable[["_Group"], list[Any]]
    Generate = Callable[[TableShape, Column, int], list[Any] | None]

__all__ = ["Fitter", "MisfitError"]

_WAYS_OUT = "--ignore-unknown passes over such, --rest-into COLUMN keeps them"

_SHOWN = 60
"""Characters of a value that a message shows."""


class MisfitError(Exception):
    """A record does not fit.

    Attributes:
        refusal: Which, and why; without its line.
        place: Which of the records that were given, from 0.
    """

    def __init__(self, refusal: Refusal, place: int = 0) -> None:
        super().__init__(str(refusal))
        self.refusal, self.place = refusal, place


class _MixedError(Exception):
    """Among several records there is one that does not fit."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Records with the same fields.

    Attributes:
        records: The records.
        numbers: Of each, the number of what the file has.
        above: Of each, the place of the parent's row.
        parents: The values of the parents' rows, by column.
    """

    records: list[Any]
    numbers: list[int]
    above: list[int]
    parents: Mapping[str, list[Any]]

    def those(self, places: Sequence[int]) -> _Group:
        """Some of them."""
        return _Group(
            [self.records[place] for place in places],
            [self.numbers[place] for place in places],
            [self.above[place] for place in places] if self.above else [],
            self.parents,
        )


@dataclass(frozen=True, slots=True)
class _Plan:
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
class Fitter:
    """What makes rows of the records of one rule, and of its children's.

    Attributes:
        rule: The rule.
        table: Its table.
        children: The fitters of its children.
        nul: Whether the database can keep the character NUL in a text.
        generate: Has the database make so many keys of a table, for rows whose children need them.
    """

    rule: Rule
    table: TableShape
    children: tuple[Fitter, ...] = ()
    nul: bool = True
    generate: Generate | None = None
    above: tuple[str, ...] = ()
    _said: dict[str, Source] = field(default_factory=dict)
    _converters: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    _plans: dict[Any, _Plan] = field(default_factory=dict)
    _filled: dict[str, None] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        rule: Rule,
        tables: Mapping[str, TableShape],
        *,
        nul: bool = True,
        parent: TableShape | None = None,
        above: tuple[str, ...] = (),
    ) -> Fitter:
        """The fitter of a rule and those below it.

        Raises:
            ConfigError: The rule names a column that the table does not have, or cannot take.
        """
        table = tables[rule.table]
        below = tuple(
            cls.of(child, tables, nul=nul, parent=table, above=(*above, *rule.path))
            for child in rule.children
        )
        said = _from_parent(rule, table, parent) | dict(rule.columns)
        fitter = cls(rule, table, below, nul, above=above, _said=said)
        fitter.check(parent)
        return fitter

    def check(self, parent: TableShape | None) -> None:
        """Raises `ConfigError` for what the rule says of columns that is not so."""
        for name, source in self._said.items():
            column = self.table.columns.get(name)
            if column is None or column.is_generated:
                why = "the database computes it" if column else "there is no such column"
                raise ConfigError(f"{self.table.name}.{name}: {why}", remedy="take it out of the mapping")
            if source.parent is not None and (parent is None or source.parent not in parent.columns):
                owner = f"{parent.name} has no column {source.parent}" if parent else "there is no parent"
                raise ConfigError(
                    f"{self.table.name}.{name}: {owner}", remedy="parent.COLUMN is the parent's row"
                )
        if rest := self.rule.rest_into:
            column = self.table.columns.get(rest)
            if column is None or column.kind not in {Kind.JSON, Kind.JSONB, Kind.TEXT}:
                why = f"is {column.type}, and not JSON" if column else "is not there"
                raise ConfigError(
                    f"{self.table.name}.{rest} {why}", remedy="--rest-into takes a column of JSON"
                )

    @property
    def family(self) -> tuple[Fitter, ...]:
        """Itself and all below it, parents first."""
        return (self, *(each for child in self.children for each in child.family))

    @property
    def filled(self) -> frozenset[str]:
        """The columns that rows give values to for certain: those that are named, and those that need one."""
        needed = {
            name
            for name, column in self.table.columns.items()
            if not column.nullable and not column.has_default
        }
        return frozenset(self._said.keys() | needed)

    # --- records to rows ----------------------------------------------------------------------------------

    def fit(self, records: Sequence[Any], numbers: Sequence[int]) -> list[Rows]:
        """The rows of these records, and of what is below them, parents first.

        Raises:
            MisfitError: A record does not fit; it is the first that does not.
        """
        try:
            return list(self._fit(self._below_root(records, numbers)))
        except (_MixedError, MisfitError):
            for place, record in enumerate(records):
                try:
                    list(self._fit(self._below_root([record], [numbers[place]])))
                except MisfitError as error:
                    raise MisfitError(error.refusal, place) from None
                except _MixedError:
                    raise self._first_below([record], [numbers[place]], place) from None
            raise

    def _first_below(self, records: Sequence[Any], numbers: Sequence[int], place: int) -> MisfitError:
        """The first of the rows of one record that does not fit."""
        group = self._below_root(records, numbers)
        for each in range(len(group.records)):
            try:
                list(self._fit(group.those([each])))
            except MisfitError as error:
                return MisfitError(error.refusal, place)
        raise AssertionError(group)

    def _below_root(self, records: Sequence[Any], numbers: Sequence[int]) -> _Group:
        inner = self.rule.path[len(self.rule.root) :]
        group = _Group(list(records), list(numbers), [], {})
        return self._descend(inner, group, {}) if inner else group

    def _fit(self, group: _Group) -> Iterator[Rows]:
        for signature, some in self._alike(group):
            plan = self._plan(signature)
            if plan.problem:
                if len(some.records) > 1:
                    raise _MixedError
                column, path, reason = plan.problem
                raise MisfitError(self._refusal(some.numbers[0], column, path, reason))
            columns = [
                self._values(name, get, some, is_raw=is_raw)
                for name, (get, is_raw) in zip(plan.names, plan.sources, strict=True)
            ]
            yield Rows(self.table.name, plan.names, columns, some.numbers)
            if self.children:
                values = dict(zip(plan.names, columns, strict=True))
                for child in self.children:
                    below = child._descend(child.rule.path, some, values)  # noqa: SLF001  # one of its kind
                    if below.records:
                        yield from child._fit_below(below)  # noqa: SLF001

    def _fit_below(self, group: _Group) -> Iterator[Rows]:
        """As `_fit`; but of several records of one parent, the one that does not fit is found here."""
        try:
            yield from list(self._fit(group))
        except _MixedError:
            if len(set(group.numbers)) > 1:
                raise
            for place in range(len(group.records)):
                list(self._fit(group.those([place])))
            raise

    def _values(self, name: str, get: Get, group: _Group, *, is_raw: bool) -> list[Any]:
        """The values of one column; converted, unless they come from the parent's row."""
        values: list[Any] = []
        try:
            values = get(group)
            return (
                converted(self.table.columns[name], self._convert(name), values, nul=self.nul)
                if is_raw
                else values
            )
        except UnfitError as error:
            if len(group.records) > 1:
                raise _MixedError from None
            path = self._path(name, group.records[0])
            shown = json_text(values[0]) if values else None
            raise MisfitError(self._refusal(group.numbers[0], name, path, str(error), shown)) from None

    def _convert(self, name: str) -> Callable[[Any], Any]:
        if name not in self._converters:
            source = self._said.get(name, _BY_NAME)
            self._converters[name] = converter(self.table.columns[name], source, self.rule.zone, nul=self.nul)
        return self._converters[name]

    def _alike(self, group: _Group) -> Iterator[tuple[Any, _Group]]:
        """The records by their fields; in order where a later row may be about an earlier one."""
        signatures = self._signatures(group.records)
        if not signatures:
            return
        if signatures.count(signatures[0]) == len(signatures):
            yield signatures[0], group
        elif self.rule.on_conflict is OnConflict.UPDATE:
            for signature, run in groupby(range(len(signatures)), signatures.__getitem__):
                yield signature, group.those(list(run))
        else:
            found: dict[Any, list[int]] = {}
            for place, signature in enumerate(signatures):
                found.setdefault(signature, []).append(place)
            for signature, places in found.items():
                yield signature, group.those(places)

    def _signatures(self, records: list[Any]) -> list[Any]:
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
        return [source.path for source in self._said.values() if len(source.path) > 1]

    def _descend(self, path: Sequence[str], group: _Group, values: Mapping[str, list[Any]]) -> _Group:
        """What stands at a path in each record; nothing where a record has no such thing."""
        found = _Group([], [], [], values)
        for place, record in enumerate(group.records):
            try:
                below = _elements(record, path)
            except UnfitError as error:
                if len(group.records) > 1:
                    raise _MixedError from None
                raise MisfitError(self._refusal(group.numbers[0], None, (), str(error))) from None
            found.records.extend(below)
            found.numbers.extend([group.numbers[place]] * len(below))
            found.above.extend([place] * len(below))
        return found

    # --- how ----------------------------------------------------------------------------------------------

    def _plan(self, signature: Any) -> _Plan:
        if signature not in self._plans:
            keys, flags = signature if self._deep and signature is not None else (signature, ())
            deep = dict(zip(self._deep, flags, strict=False))
            self._plans[signature] = self._of_scalar() if signature is None else self._of_object(keys, deep)
        return self._plans[signature]

    def _of_scalar(self) -> _Plan:
        """The plan of what is no object: a column has to take the value itself."""
        takes = [
            name
            for name, source in self._said.items()
            if source.path == () and source.value is ABSENT and source.parent is None
        ]
        if not takes:
            return _Plan(problem=(None, (), "not an object, and no column takes the value itself"))
        return self._of_object((), {})

    def _of_object(self, keys: Sequence[str], deep: Mapping[tuple[str, ...], bool]) -> _Plan:
        by_name = self._by_name(keys)
        names: dict[str, tuple[Get, bool]] = {}
        for name, column in self.table.columns.items():
            source = self._said.get(name)
            found = self._got(source, by_name.get(name), keys, deep)
            if found is not None:
                names[name] = found
            elif column.is_generated or column.has_default or name == self.rule.rest_into:
                continue
            elif not column.nullable:
                path = source.path if source else (name,)
                return _Plan(problem=(name, path, "missing, and the column takes no null and has no default"))
        for name in self._asked - names.keys():
            names[name] = self._made(self.table.columns[name]), False
        unknown = self._unknown(keys, by_name)
        if unknown and self.rule.rest_into:
            names[self.rule.rest_into] = (_rest(unknown), True)
        elif unknown and not self.rule.ignore_unknown:
            return _Plan(problem=(None, (), self._no_column(unknown)))
        if not names:
            return _Plan(problem=(None, (), "it has nothing that a column takes"))
        return self._even(names)

    @property
    def _asked(self) -> set[str]:
        """The columns that children take, and the database gives values to, where records do not."""
        named = {source.parent for child in self.children for source in child._said.values()}  # noqa: SLF001
        return {name for name in named if name and self.table.columns[name].has_default}

    def _made(self, column: Column) -> Get:
        def get(group: _Group) -> list[Any]:
            count = len(group.records)
            made = self.generate(self.table, column, count) if self.generate else None
            if made is None:
                raise UnfitError(
                    "missing, and what the database gives it cannot be known before it is written"
                )
            return made

        return get

    def _even(self, names: dict[str, tuple[Get, bool]]) -> _Plan:
        """The same with null for what other records have: rows with the same columns are written together.

        Not where rows may be updated: what a record does not have is left as it is then.
        """
        if self.rule.on_conflict is not OnConflict.UPDATE:
            plain = {name: None for name in names if not self.table.columns[name].has_default}
            if not plain.keys() <= self._filled.keys():
                self._filled |= {name: None for name in plain if self.table.columns[name].nullable}
                self._plans.clear()
            names |= {name: (_constant(None), False) for name in self._filled if name not in names}
        ordered = [name for name in self.table.columns if name in names]
        return _Plan(tuple(ordered), tuple(names[name] for name in ordered))

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
            return (lambda group: group.records), True
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
                if name not in self._said and name not in found:
                    found[name] = key
        return found

    @property
    def _taken(self) -> frozenset[str]:
        """The fields that the rule speaks of."""
        named = {source.path[0] for source in self._said.values() if source.path}
        below = {child.rule.path[0] for child in self.children if child.rule.path}
        return self.rule.ignore | named | below

    def _unknown(self, keys: Sequence[str], by_name: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(key for key in keys if key not in self._taken and key not in by_name.values())

    def _no_column(self, unknown: Sequence[str]) -> str:
        computed = [
            key for key in unknown if (column := self.table.columns.get(snake(key))) and column.is_generated
        ]
        fields = "no column for the field" + ("s" if len(unknown) > 1 else "")
        why = f" (the database computes {', '.join(computed)})" if computed else ""
        return f"{fields} {', '.join(unknown)}{why}; {_WAYS_OUT}"

    # --- words --------------------------------------------------------------------------------------------

    def _path(self, name: str, record: Any) -> tuple[str, ...]:
        source = self._said.get(name)
        if source is not None:
            return source.path
        key = self._by_name(tuple(record) if type(record) is dict else ()).get(name)
        return (key,) if key is not None else ()

    def _refusal(
        self, number: int, column: str | None, path: tuple[str, ...], reason: str, value: str | None = None
    ) -> Refusal:
        shown = value if value is None or len(value) <= _SHOWN else f"{value[: _SHOWN - 1]}…"
        where = writable(path_text((*self.above, *self.rule.path, *path)))
        return Refusal(
            self.rule.file,
            number,
            self.table.name,
            writable(reason),
            column=column,
            path=where,
            value=shown and writable(shown),
        )


_BY_NAME = Source()


def _from_parent(rule: Rule, table: TableShape, parent: TableShape | None) -> dict[str, Source]:
    """The columns that name the parent's row, where one foreign key does and the rule says nothing of it."""
    if parent is None or any(source.parent is not None for source in rule.columns.values()):
        return {}
    keys = [key for key in table.foreign_keys if key.table == parent.name]
    if len(keys) != 1:
        said = "several foreign keys lead" if keys else "no foreign key leads"
        raise ConfigError(
            f"{said} from {table.name} to {parent.name}",
            remedy=f'name the parent\'s key among the columns of {table.name}: project_id = "parent.id", say',
        )
    pairs = zip(keys[0].columns, keys[0].referred, strict=True)
    return {name: Source(parent=of) for name, of in pairs if name not in rule.columns}


# --- getting values ---------------------------------------------------------------------------------------


def _field(key: str) -> Get:
    return lambda group: [record[key] for record in group.records]


def _deep(path: Sequence[str]) -> Get:
    return lambda group: [_at(record, path) for record in group.records]


def _constant(value: Any) -> Get:
    return lambda group: [value] * len(group.records)


def _of_parent(name: str) -> Get:
    def get(group: _Group) -> list[Any]:
        values = group.parents.get(name)
        if values is None:
            raise UnfitError(f"the record above has no {name}")
        return [values[place] for place in group.above]

    return get


def _rest(keys: Sequence[str]) -> Get:
    return lambda group: [{key: record[key] for key in keys} for record in group.records]


def _at(record: Any, path: Sequence[str]) -> Any:
    for key in path:
        if type(record) is not dict or key not in record:
            return ABSENT
        record = record[key]
    return record


def _elements(record: Any, path: Sequence[str]) -> list[Any]:
    """What stands at a path of keys and arrays; what is null or not there has nothing below it."""
    found = [record]
    for place, step in enumerate(path):
        if step == EACH:
            if any(type(each) is not list for each in found if each is not None):
                raise UnfitError(f"{path_text(path[:place])} is no array")
            found = [inner for each in found if each is not None for inner in each]
        else:
            found = [each[step] for each in found if type(each) is dict and step in each]
    return [each for each in found if each is not None] if path and path[-1] != EACH else found
