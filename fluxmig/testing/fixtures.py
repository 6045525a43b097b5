"""Factories of pytest fixtures: databases with migrations of their own, seeds and scopes.

    orders_engine = engine_fixture("orders/migrations", seed="INSERT INTO currencies VALUES ('EUR')")

A fixture has the name of the variable. `None` for the folder is the project's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from fluxmig.dialects import dialect_named, dialect_of
from fluxmig.errors import FluxmigError
from fluxmig.testing.session import Session
from fluxmig.testing.templates import Seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from fluxmig.testing.session import Options
    from fluxmig.testing.templates import Recipe, Template

__all__ = [
    "FAILED",
    "async_engine_fixture",
    "connection_fixture",
    "engine_fixture",
    "template_fixture",
    "url_fixture",
]
__all__ += ["async_engine", "connection", "database", "engine", "open_session", "template"]

FAILED = pytest.StashKey[bool]()
"""Of a test: that it has failed; of the configuration: that its database is to be kept then."""

Scope = Literal["function", "class", "module", "package", "session"]
Seeds = Seed | Sequence[Seed] | None


def template_fixture(migrations: str | Path | None = None, *, seed: Seeds = None) -> Any:
    """A fixture that gives a `Template`, for tests to make databases of as they like.

    Args:
        migrations: The folder, from pytest's root; the project's own by default.
        seed: What comes behind the migrations: SQL, a path of it, a function that is given a Connection; or
            several of these. It is part of the template, and by default the project's own.
    """

    @pytest.fixture(scope="session")
    def migrated_template(request: pytest.FixtureRequest) -> Template:
        return template(request, migrations, seed)

    return migrated_template


def url_fixture(
    migrations: str | Path | None = None, *, seed: Seeds = None, scope: Scope = "function"
) -> Any:
    """A fixture that gives the URL of a fresh database with all migrations in it.

    Args:
        migrations: As for `template_fixture`, and so is
        seed: this.
        scope: For what a database is fresh, as pytest has it: "function" is each test.
    """

    @pytest.fixture(scope=scope)
    def migrated_url(request: pytest.FixtureRequest) -> Iterator[str]:
        with database(request, migrations, seed) as url:
            yield url

    return migrated_url


def engine_fixture(
    migrations: str | Path | None = None, *, seed: Seeds = None, scope: Scope = "function"
) -> Any:
    """A fixture that gives an Engine on a fresh database with all migrations in it.

    Args:
        migrations: As for `url_fixture`, and so are
        seed: this
        scope: and this.
    """

    @pytest.fixture(scope=scope)
    def migrated_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
        with database(request, migrations, seed) as url, engine(url) as made:
            yield made

    return migrated_engine


def async_engine_fixture(
    migrations: str | Path | None = None, *, seed: Seeds = None, scope: Scope = "function"
) -> Any:
    """The same with an AsyncEngine; it keeps no connection, so that any event loop may use it.

    Args:
        migrations: As for `url_fixture`, and so are
        seed: this
        scope: and this.
    """

    @pytest.fixture(scope=scope)
    def migrated_async_engine(request: pytest.FixtureRequest) -> Iterator[AsyncEngine]:
        with database(request, migrations, seed) as url:
            yield async_engine(url)

    return migrated_async_engine


def connection_fixture(migrations: str | Path | None = None, *, seed: Seeds = None) -> Any:
    """A fixture that gives a Connection in a transaction, which is rolled back behind each test.

    It is in a savepoint, so that a `Session(connection)` may commit and roll back as it likes. All tests use
    one database, and get another where one has committed past that.

    Args:
        migrations: As for `url_fixture`, and so is
        seed: this.
    """

    @pytest.fixture
    def migrated_connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
        with connection(request, migrations, seed) as made:
            yield made

    return migrated_connection


# --- what they give ---------------------------------------------------------------------------------------


def template(request: pytest.FixtureRequest, migrations: str | Path | None, seed: Seeds) -> Template:
    """The template of a fixture."""
    session = _session(request)
    with _plainly():
        return session.template(_recipe(request, session, migrations, seed))


@contextmanager
def database(request: pytest.FixtureRequest, migrations: str | Path | None, seed: Seeds) -> Iterator[str]:
    """The URL of a database for a fixture alone, which is dropped behind it, or kept where a test failed."""
    before = request.session.testsfailed
    found = template(request, migrations, seed)
    _expect(request, found)
    with _plainly():
        url = found.create()
    yield url
    node = request.node
    is_failed = node.stash.get(FAILED, False) or request.session.testsfailed > before
    if is_failed and FAILED in request.config.stash:
        _session(request).keep(url, node.nodeid)
    else:
        found.drop(url)


@contextmanager
def connection(
    request: pytest.FixtureRequest, migrations: str | Path | None, seed: Seeds
) -> Iterator[Connection]:
    """A Connection whose transaction is rolled back."""
    session = _session(request)
    with _plainly():
        shared = session.shared(_recipe(request, session, migrations, seed))
    made = shared.engine.connect()
    outermost = made.begin()
    made.begin_nested()
    yield made
    is_whole = not made.closed and outermost.is_active
    if is_whole:
        is_whole = dialect_of(made).is_in_transaction(made) is not False
    made.close()
    if not is_whole:
        shared.renew()


@contextmanager
def engine(url: str) -> Iterator[Engine]:
    """An Engine, which is disposed of; it asks the server for less than the first one did."""
    made = create_engine(url)
    dialect_of(made).meet_briefly(made)
    try:
        yield made
    finally:
        made.dispose()


def async_engine(url: str) -> AsyncEngine:
    """An AsyncEngine; it closes each connection that is given back to it."""
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415  # SQLAlchemy's own extra

    parsed = make_url(url)
    driver = dialect_named(parsed.get_backend_name()).async_driver
    try:
        return create_async_engine(parsed.set(drivername=driver), poolclass=NullPool)
    except ImportError as error:
        pytest.fail(f"{driver} cannot be loaded: {error}\npip install {error.name}", pytrace=False)


@contextmanager
def open_session(options: Options) -> Iterator[Session]:
    """What a test session has of databases."""
    with _plainly(), Session(options) as session:
        yield session


def _expect(request: pytest.FixtureRequest, found: Template) -> None:
    """Has as many copies made ahead as there are tests that will ask for one."""
    counted = request.config.stash.setdefault(_COUNTED, set())
    name = request.fixturename
    if request.scope == "function" and name and name not in counted:
        counted.add(name)
        found.clones.expect(sum(name in getattr(item, "fixturenames", ()) for item in request.session.items))


_COUNTED = pytest.StashKey[set[str]]()


def _session(request: pytest.FixtureRequest) -> Session:
    session: Session = request.getfixturevalue("fluxmig_session")
    return session


def _recipe(
    request: pytest.FixtureRequest, session: Session, migrations: str | Path | None, seed: Seeds
) -> Recipe:
    """What a factory was given; where nothing, the project's own."""
    own = session.options.recipe
    if migrations is None and seed is None:
        return own
    folder = own.migrations if migrations is None else request.config.rootpath / migrations
    return replace(own, migrations=folder, seeds=_several(seed))


def _several(seed: Seeds) -> tuple[Seed, ...]:
    if seed is None:
        return ()
    return (seed,) if isinstance(seed, str | Path) or callable(seed) else tuple(seed)


@contextmanager
def _plainly() -> Iterator[None]:
    """An error of fluxmig's is told in its own words: where it came about in here tells nobody anything."""
    try:
        yield
    except FluxmigError as error:
        raise pytest.fail.Exception(f"fluxmig: {error}", pytrace=False) from None
