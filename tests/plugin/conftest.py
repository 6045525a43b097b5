"""Inner sessions of pytest: a project in a folder of its own, and pytest as a process on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support import Servers

USERS = "CREATE TABLE users (id integer PRIMARY KEY, name varchar(40) NOT NULL);\n"
SETTINGS = """
[pytest]
addopts = -p fluxmig.pytest_plugin -p no:cacheprovider -W error
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with one migration, and no plugin but fluxmig's: most cost more than the tests."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in [name for name in os.environ if name.endswith("DATABASE_URL") or name == "PYTEST_ADDOPTS"]:
        monkeypatch.delenv(name)
    pytester.mkdir("migrations").joinpath("001_users.sql").write_text(USERS)
    pytester.makefile(".ini", pytest=SETTINGS)
    return pytester


@pytest.fixture
def source(request: pytest.FixtureRequest, servers: Servers) -> str:
    """A source of scratch databases: the URL of a server of the tests, but for two words."""
    name: str = request.param
    return name if name in {"sqlite", "embedded"} else servers.get(name).admin_url
