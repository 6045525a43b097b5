"""SQL of fluxmig's own, made by SQLAlchemy once for all targets of a kind, and not once for each engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fluxmig.dialects import dialect_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["share"]

_MOST = 300
"""How many statements are kept. There are some dozens for each kind of database."""


class _Compiled:
    """What SQLAlchemy's `compiled_cache` may be: looked up and added to, here by any number of threads.

    SQLAlchemy's keys begin with an engine's dialect, of which class, driver and the server's version matter.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], Any] = {}

    def get(self, key: tuple[Any, ...]) -> Any:
        return self._kept.get(_shared(key))

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        if len(self._kept) >= _MOST:
            self._kept.clear()
        self._kept[_shared(key)] = compiled


_COMPILED = _Compiled()


def share(engine: Engine) -> None:
    """Has an engine that has not connected yet use what others have made, and what they know of servers."""
    dialect_of(engine).meet_briefly(engine)
    engine.update_execution_options(compiled_cache=_COMPILED)


def _shared(key: tuple[Any, ...]) -> tuple[Any, ...]:
    dialect, *rest = key
    return (type(dialect), dialect.driver, dialect.server_version_info, *rest)
