"""Tables and their foreign keys -> the order in which to write them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluxmig.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fluxmig.loading.tables import ForeignKey, TableShape

__all__ = ["in_order"]


def in_order(
    tables: Mapping[str, TableShape], filled: Mapping[str, frozenset[str]], *, defers: bool
) -> tuple[tuple[str, ...], bool]:
    """The tables, each behind those that it refers to; and whether keys are to be deferred for that.

    Otherwise they stay in the order in which they come. The keys of one that refers to itself are deferred.

    Args:
        tables: By name.
        filled: Which columns of each get values for certain. Of a circle, a key of others may be left out:
            the data may not use it, and where they do, the database says so.
        defers: Whether the database can defer every foreign key, whatever its constraint says.

    Raises:
        ConfigError: Some refer to each other in a circle, by keys that are checked at once.
    """
    needs: dict[str, list[ForeignKey]] = {
        name: [key for key in table.foreign_keys if key.table in tables and key.table != name]
        for name, table in tables.items()
    }
    order: list[str] = []
    deferred = any(key.table == name for name, table in tables.items() for key in table.foreign_keys)
    while len(order) < len(tables):
        left = [name for name in tables if name not in order]
        ready = [name for name in left if all(key.table in order for key in needs[name])]
        if not ready:
            ready = [_breaks(left, needs, filled, order, defers=defers)]
            deferred = True
        order.append(ready[0])
    return tuple(order), deferred


def _breaks(
    left: Sequence[str],
    needs: Mapping[str, Sequence[ForeignKey]],
    filled: Mapping[str, frozenset[str]],
    order: Sequence[str],
    *,
    defers: bool,
) -> str:
    """A table of a circle whose own keys can wait for the end of the transaction, or need not be used."""
    circle = _circle(left, needs)
    ways: tuple[Callable[[str, ForeignKey], bool], ...] = (
        lambda _, key: defers or key.deferrable,
        lambda name, key: key.deferrable or not filled[name].issuperset(key.columns),
    )
    for can_wait in ways:
        for name in circle:
            if all(can_wait(name, key) for key in needs[name] if key.table not in order):
                return name
    keys = ", ".join(dict.fromkeys(_named(name, needs, circle) for name in circle))
    raise ConfigError(
        f"{' -> '.join((*circle, circle[0]))}: these tables refer to each other, by keys that are checked at"
        f" once ({keys})",
        remedy="make one DEFERRABLE (ALTER TABLE ... ALTER CONSTRAINT ... DEFERRABLE), where the database"
        " can; or leave its column out, and fill it with a second load that updates",
    )


def _circle(left: Sequence[str], needs: Mapping[str, Sequence[ForeignKey]]) -> list[str]:
    """Tables that refer to each other, one after the other."""
    seen: list[str] = []
    for name in _way(left[0], left, needs):
        if name in seen:
            return seen[seen.index(name) :]
        seen.append(name)
    raise AssertionError(left)  # each of them needs another one of them


def _way(name: str, left: Sequence[str], needs: Mapping[str, Sequence[ForeignKey]]) -> Iterator[str]:
    while True:
        yield name
        name = next(key.table for key in needs[name] if key.table in left)


def _named(name: str, needs: Mapping[str, Sequence[ForeignKey]], circle: Sequence[str]) -> str:
    key = next(key for key in needs[name] if key.table in circle)
    return key.name or f"{name} ({', '.join(key.columns)})"
