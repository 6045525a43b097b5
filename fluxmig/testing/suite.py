"""Tests of a project's migrations, ready-made: `from fluxmig.testing.suite import *` in a module of tests.

Each runs on scratch databases, empty at first, of the server that the plugin's options name.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine

from fluxmig import git
from fluxmig.catalog import differences
from fluxmig.check import Level, examine
from fluxmig.dialects import dialect_of
from fluxmig.errors import ConfigError, FluxmigError
from fluxmig.layouts import numbered
from fluxmig.model import Outcome
from fluxmig.render_check import check_lines
from fluxmig.testing.templates import run_sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from fluxmig.catalog import Catalog
    from fluxmig.model import Report
    from fluxmig.testing.session import Session
    from fluxmig.testing.templates import Recipe

__all__ = [
    "fluxmig_ground",
    "test_a_second_run_does_nothing",
    "test_an_upgrade_from_the_last_release_gives_the_same",
    "test_every_down_script_restores_what_was_there",
    "test_every_migration_applies_to_an_empty_database",
    "test_the_folder_is_sound",
    "test_the_schema_file_gives_the_same",
    "test_two_runners_at_once_apply_each_migration_once",
]

_SHOWN = 20
"""Lines of a failure, before it says how many more there are."""


@dataclass
class Ground:
    """Where the tests run: empty databases, and the project's migrations.

    Attributes:
        session: What the test session has of databases.
    """

    session: Session
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def recipe(self) -> Recipe:
        """The project's migrations."""
        return self.session.options.recipe

    def empty(self) -> Engine:
        """An Engine on a new, empty database; both are gone behind the test."""
        server = self.session.server
        url = server.create()
        self._stack.callback(server.drop, url)
        engine = create_engine(url)
        self._stack.callback(engine.dispose)
        return engine

    def apply(self, engine: Engine, folder: Path | None = None, *, to: str | None = None) -> Report:
        """Applies migrations; what is refused fails the test."""
        try:
            return self.recipe.migrator(engine, folder).run(to=to)
        except FluxmigError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None

    def migrated(self) -> Catalog:
        """What all migrations make of an empty database."""
        engine = self.empty()
        self.apply(engine)
        return self.catalog(engine)

    def catalog(self, engine: Engine) -> Catalog:
        """All that is there but the ledger; skips the test where that is not known."""
        with engine.connect() as connection:
            dialect = dialect_of(connection).met(connection)
            found = dialect.catalog(connection, frozenset({self.recipe.table, f"{self.recipe.table}_log"}))
        if found is None:
            pytest.skip(f"fluxmig has no catalog of {dialect.product}")
        return found

    def close(self) -> None:
        """Drops what was made."""
        self._stack.close()


@pytest.fixture
def fluxmig_ground(fluxmig_session: Session) -> Iterator[Ground]:
    """Where fluxmig's own tests of migrations run."""
    ground = Ground(fluxmig_session)
    yield ground
    ground.close()


def test_the_folder_is_sound(fluxmig_ground: Ground) -> None:
    """What `fluxmig check` has to say, but for its warnings."""
    dialect = fluxmig_ground.session.server.databases.dialect
    folder = numbered.survey(fluxmig_ground.recipe.migrations)
    given = (dialect.name, dialect.rules, dialect.no_transaction_reason)
    report = examine(folder, *given, refusal=dialect.refusal)
    errors = replace(report, findings=report.having(Level.ERROR))
    _fail("".join(text for text, _ in line) for line in check_lines(errors))


def test_every_migration_applies_to_an_empty_database(fluxmig_ground: Ground) -> None:
    """None of them fails, or meets what an earlier one has made."""
    report = fluxmig_ground.apply(fluxmig_ground.empty())
    _fail(
        f"{result.name} is {result.outcome}: {result.failure.message if result.failure else ''}"
        for result in report.results
        if result.outcome is not Outcome.APPLIED
    )


def test_a_second_run_does_nothing(fluxmig_ground: Ground) -> None:
    """All of them are recorded."""
    engine = fluxmig_ground.empty()
    fluxmig_ground.apply(engine)
    before = fluxmig_ground.catalog(engine)
    again = fluxmig_ground.apply(engine)
    _fail(f"{result.name} ran again" for result in again.results)
    _fail(map(str, differences(before, fluxmig_ground.catalog(engine))))


def test_every_down_script_restores_what_was_there(fluxmig_ground: Ground) -> None:
    """The catalog is the same before a migration and behind its down script; of rows nothing is known."""
    ground, wrong = fluxmig_ground, []
    migrations = numbered.read(ground.recipe.migrations).migrations
    if not any(migration.down for migration in migrations):
        pytest.skip("no migration has a down script")
    engine = ground.empty()
    earlier = None
    for migration in migrations:
        if migration.down:
            if earlier:
                ground.apply(engine, to=earlier)
            if problem := _not_restored(ground, engine, migration.name):
                wrong.append(f"{migration.down.path.name}:\n{problem}")
                engine = ground.empty()
        earlier = migration.name
    _fail(wrong)


def _not_restored(ground: Ground, engine: Engine, name: str) -> str:
    """What a down script leaves behind or takes along; where nothing, the migration is applied again."""
    before = ground.catalog(engine)
    ground.apply(engine, to=name)
    try:
        ground.recipe.migrator(engine).rollback()
    except FluxmigError as error:
        return str(error)
    problem = "\n".join(map(str, differences(before, ground.catalog(engine))))
    if not problem:
        ground.apply(engine, to=name)
    return problem


def test_two_runners_at_once_apply_each_migration_once(fluxmig_ground: Ground) -> None:
    """As when two instances of a service start."""
    engine = fluxmig_ground.empty()
    both = Barrier(2)

    def run() -> Report:
        own = create_engine(engine.url)
        try:
            both.wait()
            return fluxmig_ground.apply(own)
        finally:
            own.dispose()

    with ThreadPoolExecutor(2) as pool:
        reports = [future.result() for future in [pool.submit(run), pool.submit(run)]]
    done = Counter(
        result.name
        for report in reports
        for result in report.results
        if result.outcome in {Outcome.APPLIED, Outcome.MARKED}
    )
    names = [migration.name for migration in numbered.read(fluxmig_ground.recipe.migrations).migrations]
    _fail(f"{name} was applied {done[name]} times" for name in names if done[name] != 1)


def test_the_schema_file_gives_the_same(fluxmig_ground: Ground) -> None:
    """`schema.sql`, where a project has one, makes what the migrations make."""
    path = fluxmig_ground.session.options.schema_file
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    engine = fluxmig_ground.empty()
    try:
        run_sql(engine, path)
    except FluxmigError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    found = differences(fluxmig_ground.catalog(engine), fluxmig_ground.migrated())
    _fail(map(str, found), f"in {path.name}, and with the migrations")


def test_an_upgrade_from_the_last_release_gives_the_same(fluxmig_ground: Ground, tmp_path: Path) -> None:
    """A database of the last release, upgraded, is like one that was made afresh."""
    ground, base = fluxmig_ground, fluxmig_ground.session.options.base
    try:
        where = git.repository(ground.recipe.migrations, ground.session.options.environ)
        base = base or git.last_tag(where)
        if base is None:
            pytest.skip("git has no tag; --fluxmig-base GIT_REF names the last release")
        (released,) = git.files(where, [git.commit(where, base)], numbered.is_fit)
    except ConfigError as error:
        if base:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        pytest.skip(error.message)
    for name, content in released.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
    engine = ground.empty()
    ground.apply(engine, tmp_path)
    ground.apply(engine)
    found = differences(ground.catalog(engine), ground.migrated())
    _fail(map(str, found), f"upgraded from {base}, and afresh")


def _fail(problems: Iterable[str], where: str = "") -> None:
    """Fails the test with the problems, if there are any."""
    found = list(problems)
    if found:
        more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        head = [f"not the same {where}:"] if where else []
        pytest.fail("\n".join([*head, *found[:_SHOWN], *more]), pytrace=False)
