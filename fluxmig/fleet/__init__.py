"""One folder, many databases: each tenant's, each shard's, each region's, or each schema of one.

    import os

    from fluxmig import fleet

    targets = fleet.from_file("targets.txt", environ=os.environ)
    report = fleet.run(targets, "migrations", environ=os.environ, state="fleet.sqlite")

SQLAlchemy is imported when one of the functions is first used, and not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fluxmig.fleet.model import (
    FleetReport,
    Manner,
    Pace,
    Result,
    Share,
    StateRehearsal,
    Target,
    TargetState,
    Wave,
)

if TYPE_CHECKING:
    from fluxmig.fleet.passes import run, status
    from fluxmig.fleet.rehearsals import rehearse
    from fluxmig.fleet.sources import from_file, from_query, from_schemas

__all__ = [
    "FleetReport",
    "Manner",
    "Pace",
    "Result",
    "Share",
    "StateRehearsal",
    "Target",
    "TargetState",
    "Wave",
    "from_file",
    "from_query",
    "from_schemas",
    "rehearse",
    "run",
    "status",
]

_LAZY = {
    "from_file": "sources",
    "from_query": "sources",
    "from_schemas": "sources",
    "rehearse": "rehearsals",
    "run": "passes",
    "status": "passes",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module  # noqa: PLC0415  # SQLAlchemy loads here and not at start-up

        return getattr(import_module(f"fluxmig.fleet.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
