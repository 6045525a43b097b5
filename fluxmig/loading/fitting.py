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
from fluxmig.loading.matching import Group, Matcher
from fluxmig.loading.nouns import OnConflict, Refusal, Source
from fluxmig.loading.paths import EACH, path_text, writable
from fluxmig.loading.tables import Kind, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fluxmig.loading.matching import Get
    from fluxmig.loading.nouns import Rule
    from fluxmig.loading.tables import TableShape

__all__ = ["Fitter", "MisfitError"]

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


@dataclass(slots=True)
class Fitter:
    """What makes rows of the records of one rule, and of its children's.

    Attributes:
        rule: The rule.
        table: Its table.
        matcher: Which fields go to which of its columns.
        children: The fitters of its children.
        nul: Whether the database can keep the character NUL in a text.
        above: The path to the parents' records.
    """

    rule: Rule
    table: TableShape
    matcher: Matcher
    children: tuple[Fitter, ...] = ()
    nul: bool = True
    above: tuple[str, ...] = ()
    _converters: dict[str, Callable[[Any], Any]] = field(default_factory=dict)

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
        taken = frozenset(child.rule.path[0] for child in below if child.rule.path)
        parents = {source.parent for child in below for source in child.matcher.said.values()}
        asked = frozenset(name for name in parents if name and table.columns[name].has_default)
        fitter = cls(rule, table, Matcher(rule, table, said, taken, asked), below, nul, above)
        fitter.check(parent)
        return fitter

    def check(self, parent: TableShape | None) -> None:
        """Raises `ConfigError` for what the rule says of columns that is not so."""
        for name, source in self.matcher.said.items():
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
        return frozenset(self.matcher.said.keys() | needed)

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

    def _below_root(self, records: Sequence[Any], numbers: Sequence[int]) -> Group:
        inner = self.rule.path[len(self.rule.root) :]
        group = Group(records, numbers, [], {})
        return self._descend(inner, group, {}) if inner else group

    def _fit(self, group: Group) -> Iterator[Rows]:
        for signature, some in self._alike(group):
            plan = self.matcher.plan(signature)
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

    def _fit_below(self, group: Group) -> Iterator[Rows]:
        """As `_fit`; but of several records of one parent, the one that does not fit is found here."""
        try:
            yield from list(self._fit(group))
        except _MixedError:
            if len(set(group.numbers)) > 1:
                raise
            for place in range(len(group.records)):
                list(self._fit(group.those([place])))
            raise

    def _values(self, name: str, get: Get, group: Group, *, is_raw: bool) -> list[Any]:
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
            path = self.matcher.path(name, group.records[0])
            shown = json_text(values[0]) if values else None
            raise MisfitError(self._refusal(group.numbers[0], name, path, str(error), shown)) from None

    def _convert(self, name: str) -> Callable[[Any], Any]:
        if name not in self._converters:
            source = self.matcher.said.get(name, _BY_NAME)
            self._converters[name] = converter(self.table.columns[name], source, self.rule.zone, nul=self.nul)
        return self._converters[name]

    def _alike(self, group: Group) -> Iterator[tuple[Any, Group]]:
        """The records by their fields; in order where a later row may be about an earlier one."""
        signatures = self.matcher.signatures(group.records)
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

    def _descend(self, path: Sequence[str], group: Group, values: Mapping[str, list[Any]]) -> Group:
        """What stands at a path in each record; nothing where a record has no such thing."""
        records: list[Any] = []
        numbers: list[int] = []
        above: list[int] = []
        for place, record in enumerate(group.records):
            try:
                below = _elements(record, path)
            except UnfitError as error:
                if len(group.records) > 1:
                    raise _MixedError from None
                raise MisfitError(self._refusal(group.numbers[0], None, (), str(error))) from None
            records.extend(below)
            numbers.extend([group.numbers[place]] * len(below))
            above.extend([place] * len(below))
        return Group(records, numbers, above, values)

    # --- words --------------------------------------------------------------------------------------------

    def where(self, column: str | None, record: Any) -> str:
        """The path to the value of a column, or to what the row is made of.

        Args:
            column: The column, or None.
            record: The record of the file; the fields of what is below it may have other names.
        """
        whole = (*self.above, *self.rule.path)
        own = record if whole == self.rule.root else None
        return writable(path_text((*whole, *(self.matcher.path(column, own) if column else ()))))

    def _refusal(
        self, number: int, column: str | None, path: tuple[str, ...], reason: str, value: str | None = None
    ) -> Refusal:
        where = writable(path_text((*self.above, *self.rule.path, *path)))
        return Refusal(
            self.rule.file,
            number,
            self.table.name,
            writable(reason),
            column=column,
            path=where,
            value=value and shortened(value),
        )


def shortened(value: str) -> str:
    """The beginning of a value as JSON, to be shown."""
    return writable(value if len(value) <= _SHOWN else f"{value[: _SHOWN - 1]}…")


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
