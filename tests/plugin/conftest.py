"""Inner sessions of pytest: a project in a folder of its own, and pytest as a process on it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from tests.support import Servers

USERS = "CREATE TABLE users (id integer PRIMARY KEY, name varchar(40) NOT NULL);\n"
SETTINGS = """
[pytest]
addopts = -p fluxmig.pytest_plugin -p no:cacheprovider -W error
"""


@pytest.fixture
def imported() -> Iterator[dict[str, ModuleType]]:
    """Modules to be there behind the test too, where `pytester` has taken away those that came with it.

    A driver that is imported again raises errors that are not those of its part in C, which stays.
    """
    modules: dict[str, ModuleType] = {}
    yield modules
    sys.modules.update(modules)


@pytest.fixture
def project(
    imported: dict[str, ModuleType], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.Pytester]:
    """A project with one migration, and no plugin but fluxmig's: most cost more than the tests."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in [name for name in os.environ if name.endswith("DATABASE_URL") or name == "PYTEST_ADDOPTS"]:
        monkeypatch.delenv(name)
    pytester.mkdir("migrations").joinpath("001_users.sql").write_text(USERS)
    pytester.makefile(".ini", pytest=SETTINGS)
    yield pytester
    imported.update(sys.modules)


@pytest.fixture
def source(request: pytest.FixtureRequest, servers: Servers) -> str:
    """A source of scratch databases: the URL of a server of the tests, but for two words."""
    name: str = request.param
    return name if name in {"sqlite", "embedded"} else servers.get(name).admin_url
