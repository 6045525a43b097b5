"""The pytest plugin: databases with all migrations in them, as fixtures.

Loading it loads nothing but pytest; SQLAlchemy comes with the first test that asks for a database.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from sqlalchemy import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from fluxmig.testing.session import Options, Session
    from fluxmig.testing.templates import Template

__all__ = [
    "fluxmig_session",
    "migrated_async_engine",
    "migrated_connection",
    "migrated_engine",
    "migrated_template",
    "migrated_url",
]

_SESSION = pytest.StashKey[Any]()
_TOLD = pytest.StashKey[dict[str, None]]()
"""What is told at the end, each line once, whichever worker it comes from."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and their keys in the configuration file; an option goes first."""
    group = parser.getgroup("fluxmig", "databases with all migrations in them")

    def add(name: str, text: str, **options: Any) -> None:
        key = f"fluxmig_{name.replace('-', '_')}"
        group.addoption(f"--fluxmig-{name}", dest=key, default=None, help=text, **options)
        if "action" in options:
            parser.addini(key, text, type="bool", default=False)
        else:
            parser.addini(key, text, default="")

    add(
        "server",
        "Where databases come from: auto, embedded, container, container:IMAGE, sqlite, or a URL.",
        metavar="SOURCE",
    )
    add("migrations", "The folder of migrations.", metavar="FOLDER")
    add("reuse", "Leave the server for sessions to come.", action="store_true")
    add("keep-failed", "Keep the databases of failed tests, and tell where they are.", action="store_true")
    add("suite", "Also run fluxmig's own tests of the migrations.", action="store_true")
    add("base", "In these, the git ref of the last release; by default the last tag.", metavar="GIT_REF")
    parser.addini("fluxmig_seed", "Files of SQL that come behind the migrations.", type="paths")
    parser.addini(
        "fluxmig_schema", "In fluxmig's own tests, what the migrations result in.", default="schema.sql"
    )


def _asked(config: pytest.Config, name: str) -> Any:
    given = config.getoption(f"fluxmig_{name}")
    return config.getini(f"fluxmig_{name}") if given is None else given


@pytest.fixture(scope="session")
def fluxmig_session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """What the test session has of databases; all of fluxmig's fixtures use it."""
    from fluxmig.testing.fixtures import FAILED, open_session  # noqa: PLC0415  # loads SQLAlchemy

    config = request.config
    if _asked(config, "keep_failed"):
        config.stash[FAILED] = True
    with open_session(_options(config)) as session:
        config.stash[_SESSION] = session
        yield session


@pytest.fixture(scope="session")
def migrated_template(request: pytest.FixtureRequest) -> Template:
    """A template with all migrations in it, to make databases of."""
    from fluxmig.testing import fixtures  # noqa: PLC0415

    return fixtures.template(request, None, None)


@pytest.fixture
def migrated_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a fresh database of the test's own, with all migrations in it."""
    from fluxmig.testing import fixtures  # noqa: PLC0415

    with fixtures.database(request, None, None) as url:
        yield url


@pytest.fixture
def migrated_engine(migrated_url: str) -> Iterator[Engine]:
    """A SQLAlchemy Engine on the database of `migrated_url`."""
    from fluxmig.testing import fixtures  # noqa: PLC0415

    with fixtures.engine(migrated_url) as engine:
        yield engine


@pytest.fixture
def migrated_async_engine(migrated_url: str) -> AsyncEngine:
    """A SQLAlchemy AsyncEngine on the database of `migrated_url`."""
    from fluxmig.testing import fixtures  # noqa: PLC0415

    return fixtures.async_engine(migrated_url)


@pytest.fixture
def migrated_connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A SQLAlchemy Connection in a transaction that is rolled back; a Session on it may commit."""
    from fluxmig.testing import fixtures  # noqa: PLC0415

    with fixtures.connection(request, None, None) as connection:
        yield connection


def _options(config: pytest.Config) -> Options:
    """What the project has decided: pytest's options and configuration, and fluxmig's own."""
    from fluxmig import config as configuration  # noqa: PLC0415
    from fluxmig.connect import backend_of  # noqa: PLC0415
    from fluxmig.dialects import dialect_named  # noqa: PLC0415
    from fluxmig.model import DatabaseInfo  # noqa: PLC0415
    from fluxmig.scratch import shared_folder  # noqa: PLC0415
    from fluxmig.testing.session import Options  # noqa: PLC0415
    from fluxmig.testing.templates import Recipe  # noqa: PLC0415

    root = config.rootpath
    settings = configuration.load({}, os.environ, root)
    migrations = _asked(config, "migrations")
    recipe = Recipe(
        root / migrations if migrations else settings.migrations,
        tuple(config.getini("fluxmig_seed")),
        settings.table,
        settings.schema,
        settings.on_duplicate,
    )
    source = _asked(config, "server") or "auto"
    keep = bool(_asked(config, "reuse"))
    shared = f"kept {source}" if keep else getattr(config, "workerinput", {}).get("testrunuid")
    like = None
    if settings.url and source == "auto":
        backend = backend_of(settings.url)
        like = DatabaseInfo(backend, dialect_named(backend).product, "")
    return Options(
        source,
        recipe,
        os.environ,
        like,
        settings.postgres_bin,
        lambda line: _tell(config, line),
        shared_folder(shared) if shared else None,
        keep=keep,
        schema_file=root / config.getini("fluxmig_schema"),
        base=_asked(config, "base") or None,
    )


def _tell(config: pytest.Config, line: str) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.ensure_newline()
        reporter.write_line(f"fluxmig: {line}")


# --- failed tests, and what is told at the end ------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notes of a test that it has failed, for the fixtures behind it."""
    report = yield
    if report.failed and _SESSION in item.config.stash:
        from fluxmig.testing.fixtures import FAILED  # noqa: PLC0415

        item.stash[FAILED] = True
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Gathers what is to be told; a worker hands it over."""
    config = session.config
    if found := config.stash.get(_SESSION, None):
        lines = dict.fromkeys(_lines(found))
        config.stash.setdefault(_TOLD, {}).update(lines)
        if hasattr(config, "workeroutput"):
            config.workeroutput["fluxmig"] = list(lines)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes over what a worker of pytest-xdist has to tell."""
    lines = getattr(node, "workeroutput", {}).get("fluxmig", [])
    node.config.stash.setdefault(_TOLD, {}).update(dict.fromkeys(lines))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tells which server it was, and which databases are kept."""
    if lines := terminalreporter.config.stash.get(_TOLD, {}):
        terminalreporter.section("fluxmig")
        for line in lines:
            terminalreporter.line(line)


def _lines(session: Session) -> Iterator[str]:
    server = session.opened
    if server:
        yield f"{server.product} {server.version}: {server.source}"
        yield from server.remarks
    for url, test in session.kept:
        yield f"kept of {test}: {url}"


# --- fluxmig's own tests of the migrations ----------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Adds them, where they are asked for and were not imported."""
    if _asked(config, "suite"):
        from fluxmig.testing import suite  # noqa: PLC0415

        path = Path(suite.__file__)
        module = pytest.Module.from_parent(session, path=path, nodeid="fluxmig.testing.suite")
        items.extend(session.genitems(module))
