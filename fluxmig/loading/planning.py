"""A mapping and its tables -> what is read in which passes, and written in which order. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fluxmig.errors import ConfigError
from fluxmig.loading.fitting import Fitter
from fluxmig.loading.nouns import LoadMapping, OnConflict, Rule
from fluxmig.loading.order import in_order
from fluxmig.loading.paths import STDIN
from fluxmig.loading.tables import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fluxmig.loading.tables import TableShape

__all__ = ["LoadPlan", "Pass", "names_of", "plan", "refuse_absent"]


@dataclass(frozen=True, slots=True)
class Pass:
    """What is read in one go.

    Attributes:
        file: The file.
        lines: Whether it has one record a line.
        root: The path that it is read by.
        fitters: What makes rows of its records.
    """

    file: str
    lines: bool
    root: tuple[str, ...]
    fitters: tuple[Fitter, ...]

    @property
    def label(self) -> str:
        """What it is, for people and the log."""
        return Rule("", self.root, self.file).label

    @property
    def tables(self) -> tuple[str, ...]:
        """What it fills."""
        return tuple(dict.fromkeys(each.table for fitter in self.fitters for each in fitter.rule.family))


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What a load does.

    Attributes:
        passes: What is read; in batches, in this order.
        order: The tables, as they are written.
        targets: What is done to each.
        deferred: Whether foreign keys are to be checked at the end.
    """

    passes: tuple[Pass, ...]
    order: tuple[str, ...]
    targets: Mapping[str, Target]
    deferred: bool


def names_of(mapping: LoadMapping) -> tuple[str, ...]:
    """The tables that a mapping names."""
    return tuple(dict.fromkeys(each.table for rule in mapping.rules for each in rule.family))


def refuse_absent(shapes: Mapping[str, TableShape | None], there: Sequence[str]) -> dict[str, TableShape]:
    """The tables; raises `ConfigError` for those that there are not."""
    absent = [name for name, shape in shapes.items() if shape is None]
    if absent:
        close = [near for name in absent for near in difflib.get_close_matches(name, there, n=1)]
        said = f"did you mean {', '.join(close)}? " if close else ""
        raise ConfigError(
            f"there is no table {' and no '.join(absent)}",
            remedy=f"{said}fluxmig load fills tables that migrations have made; --into names them",
        )
    return {name: shape for name, shape in shapes.items() if shape is not None}


def plan(
    mapping: LoadMapping,
    shapes: Mapping[str, TableShape],
    *,
    defers: bool,
    keeps_nul: bool,
    batch: int | None = None,
) -> LoadPlan:
    """What a load does, or why it cannot.

    Args:
        mapping: What is asked for.
        shapes: The tables that it names.
        defers: Whether the database can defer every foreign key.
        keeps_nul: Whether it can keep the character NUL in a text.
        batch: How many records are one transaction, if not all.

    Raises:
        ConfigError: A table has not what the mapping says, or keys leave no order to write in.
    """
    fitters = [Fitter.of(rule, shapes, nul=keeps_nul) for rule in mapping.rules]
    filled: dict[str, frozenset[str]] = dict.fromkeys(shapes, frozenset())
    for fitter in fitters:
        for each in fitter.family:
            filled[each.table.name] |= each.filled
    order, deferred = in_order(shapes, filled, defers=defers)
    passes: dict[tuple[str, bool, tuple[str, ...]], list[Fitter]] = {}
    for fitter in fitters:
        rule = fitter.rule
        passes.setdefault((rule.file, rule.lines, rule.root), []).append(fitter)
    found = [Pass(*read, tuple(of)) for read, of in passes.items()]
    _refuse_twice(found)
    found.sort(key=lambda each: min(order.index(table) for table in each.tables))
    if batch is not None:
        _refuse_batches(found, shapes)
    return LoadPlan(tuple(found), order, _targets(fitters), deferred)


def _targets(fitters: Iterable[Fitter]) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    for fitter in fitters:
        for each in fitter.family:
            target = Target(each.table, each.rule.on_conflict, _key(each.rule, each.table))
            if targets.setdefault(each.table.name, target) != target:
                raise ConfigError(
                    f"{each.table.name}: two rules differ in on-conflict or key",
                    remedy="one table has one way to take rows: say the same in both",
                )
    return targets


def _key(rule: Rule, table: TableShape) -> tuple[str, ...]:
    """The columns by which a row is known to be there; none where that is an error."""
    if rule.on_conflict is OnConflict.ERROR:
        if rule.key is not None:
            raise ConfigError(
                f"{table.name}: {rule.key} is to tell a conflict, which is an error by any key",
                remedy="on-conflict says what to do: skip, or update",
            )
        return ()
    if rule.key is None:
        if not table.primary_key:
            raise ConfigError(f"{table.name} has no primary key", remedy="--key names a unique constraint")
        return table.primary_key
    by_columns = {",".join(names): names for names in table.uniques.values()}
    if rule.key not in table.uniques.keys() | by_columns.keys():
        known = ", ".join(table.uniques) or "none"
        raise ConfigError(
            f"{table.name} has no unique constraint {rule.key}",
            remedy=f"those of whole columns and rows, which their columns name, too: {known}",
        )
    return table.uniques.get(rule.key) or by_columns[rule.key]


def _refuse_twice(passes: Sequence[Pass]) -> None:
    if sum(each.file == STDIN for each in passes) > 1:
        raise ConfigError(
            "standard input is to be read twice, and can be once", remedy="save it as a file, and give that"
        )


def _refuse_batches(passes: Sequence[Pass], shapes: Mapping[str, TableShape]) -> None:
    """Raises `ConfigError` where a batch would refer to rows of a later one."""
    if any(each.file == STDIN for each in passes):
        raise ConfigError(
            "standard input cannot be gone on with", remedy="save it as a file, or leave out --batch"
        )
    labels = [each.label for each in passes]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise ConfigError(
            f"two files are called {twice}, and the log could not tell how far each has come",
            remedy="load the files one after the other, or leave out --batch",
        )
    done: set[str] = set()
    for each in passes:
        for table in each.tables:
            for key in shapes[table].foreign_keys:
                if key.table in shapes and key.table not in done and key.table not in each.tables:
                    raise ConfigError(
                        f"{each.label}: in batches, {table} would be written before {key.table}, its parent",
                        remedy="load the files one after the other, or leave out --batch",
                    )
        done.update(each.tables)
