"""Databases for tests, with all migrations in them.

The pytest plugin has fixtures for the usual case (`migrated_engine` and its like); the factories here make
more of them, for several folders or databases, and `fluxmig.testing.suite` has tests of the migrations
themselves.
`open_server` gives scratch databases anywhere else, and needs no pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fluxmig.scratch import Server, open_server
    from fluxmig.testing.fixtures import (
        async_engine_fixture,
        connection_fixture,
        engine_fixture,
        template_fixture,
        url_fixture,
    )
    from fluxmig.testing.templates import Template

__all__ = [
    "Server",
    "Template",
    "async_engine_fixture",
    "connection_fixture",
    "engine_fixture",
    "open_server",
    "template_fixture",
    "url_fixture",
]

_MODULES = {
    "Server": "fluxmig.scratch",
    "open_server": "fluxmig.scratch",
    "Template": "fluxmig.testing.templates",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(_MODULES.get(name, "fluxmig.testing.fixtures")), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
