"""Fixtures: a fresh database on every source, and a folder of migrations; and a limit for every clean-up."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support import COMMITS_DDL, FILES, LACKING, OLDER, SOURCES, Database, Servers, Write, cannot_be_had

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytest_plugins = ["tests.chance", "pytester"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts its background jobs so, and the processes that tests interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# PyMySQL makes ready for TLS with each connection, on a socket too, and reads all the authorities that the
# machine trusts, for 20 ms. Processes that tests start have this as well.
os.environ["SSL_CERT_FILE"] = os.devnull

# How long an example takes says how busy the machine is.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STDERR] = os.dup(2)  # before it is captured


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests with containers come first: so they are one worker's, and the others start none."""
    items.sort(key=lambda item: "container" not in item.nodeid)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Thousands of tests stay to the end: no collection of garbage need look at them."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Begins to count anew: pytest and pytest-timeout stop at a failure, and what hung may hang again."""
    if limit_s := float(item.config.getini("faulthandler_timeout")):
        faulthandler.dump_traceback_later(limit_s, exit=True, file=item.config.stash[STDERR])


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    running = Servers()
    yield running
    running.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The sources of `database`, `postgresql` and `mariadb`: all of the kind.

    Without containers where the module says `CONTAINERS = False`: a server in a container is the same server;
    what only asks how versions differ needs no other of each. An older one in one is for a `long` run.

    Where it says `VERSIONS = False`, fluxmig itself decides what is asked, with the same statements for each
    PostgreSQL: an older one is for a `long` run, and for `FLUXMIG_TEST_SOURCES=postgresql-15`.
    """
    containers = getattr(metafunc.module, "CONTAINERS", True)
    versions = getattr(metafunc.module, "VERSIONS", True)
    sources = [source for source in SOURCES if containers or not source.startswith("container")]
    kinds = {
        "database": sources,
        "postgresql": [source for source in sources if source.startswith(("postgresql", "container"))],
        "mariadb": [source for source in sources if source in COMMITS_DDL],
    }
    later = {source for source in OLDER if source.startswith("container") or not versions}
    for name in kinds.keys() & set(metafunc.fixturenames):
        wanted = [
            pytest.param(source, marks=[pytest.mark.long] * (source in later)) for source in kinds[name]
        ]
        metafunc.parametrize(name, wanted, indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Database]:
    """A fresh, empty database, once on every source.

    A test whose marker names what its database has to be able to do is skipped where that cannot do it.
    """
    for marker, (sources, why) in LACKING.items():
        if request.node.get_closest_marker(marker) and request.param in sources:
            pytest.skip(f"{request.param} {why}")
    yield from _fresh(request.param, servers, tmp_path)


@pytest.fixture
def postgresql(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Database]:
    """A fresh, empty PostgreSQL database, once on every source."""
    yield from _fresh(request.param, servers, tmp_path)


@pytest.fixture
def mariadb(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Database]:
    """A fresh, empty MariaDB database; a MySQL one, too, where there is a server."""
    yield from _fresh(request.param, servers, tmp_path)


@pytest.fixture
def sqlite(servers: Servers, tmp_path: Path) -> Iterator[Database]:
    """A fresh SQLite file."""
    yield from _fresh("sqlite", servers, tmp_path)


@pytest.fixture
def firebird(servers: Servers, tmp_path: Path) -> Iterator[Database]:
    """A fresh Firebird file: what no class knows."""
    yield from _fresh("firebird", servers, tmp_path)


@pytest.fixture
def duckdb(servers: Servers, tmp_path: Path) -> Iterator[Database]:
    """A fresh DuckDB file."""
    yield from _fresh("duckdb", servers, tmp_path)


@pytest.fixture
def one_postgresql(servers: Servers, tmp_path: Path) -> Iterator[Database]:
    """A fresh, empty database on the embedded PostgreSQL alone, where one server says as much as five."""
    yield from _fresh("postgresql-18", servers, tmp_path)


def _fresh(source: str, servers: Servers, tmp_path: Path) -> Iterator[Database]:
    if source in FILES:
        if source == "duckdb" and find_spec("duckdb_engine") is None:
            cannot_be_had("duckdb", "duckdb: duckdb-engine is not installed")
        database = Database(source, FILES[source].format(tmp_path))
        yield database
        database.dispose()
    else:
        with servers.get(source).database() as database:
            yield database


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for migrations."""
    path = tmp_path / "migrations"
    path.mkdir()
    return path


@pytest.fixture
def write(folder: Path) -> Write:
    """Writes migrations: `write({"001_a.sql": "CREATE ..."})`."""

    def write_files(files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (folder / name).write_bytes(data)

    return write_files
