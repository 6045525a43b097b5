"""Templates: databases with all migrations in them, made once, of which every test gets a copy.

A template is named by a digest of all that is in it, so that one of that name is the right one, whoever has
made it: another worker, or an earlier session on a server that stays. Where a database cannot be copied
(MySQL, MariaDB), every copy is migrated anew.
"""

from __future__ import annotations

import hashlib
import secrets
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING

from sqlalchemy import Connection, make_url
from sqlalchemy.exc import SQLAlchemyError

import fluxmig
from fluxmig import layouts, script
from fluxmig.connect import reach
from fluxmig.dialects import dialect_of
from fluxmig.errors import ConfigError, FluxmigError, MigrationFileError
from fluxmig.migrator import Migrator
from fluxmig.model import FileProblem, Mode, OnDuplicate
from fluxmig.sending import RefusedError, send_script, send_statement
from fluxmig.testing.clones import Clones

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Engine

    from fluxmig.scratch import Server

__all__ = ["CLONES", "Recipe", "Seed", "Template", "keep", "open_template", "prune", "run_sql"]

Seed = str | Path | Callable[[Connection], object]
"""What comes behind the migrations: SQL; a file of it; or a function that is given a Connection, and whose
work is committed."""

TEMPLATES, CLONES, KEPT = "fluxmig_template_", "fluxmig_test_", "fluxmig_kept_"
"""What the names of databases begin with."""

_NEWEST = 3
"""Of each folder, how many templates stay on a server."""
_UNUSED = timedelta(days=7)


@dataclass(frozen=True)
class Recipe:
    """What a template is made of.

    Attributes:
        migrations: The folder.
        seeds: What comes behind, in this order.
        table: As for `Migrator`.
        schema: As for `Migrator`.
        on_duplicate: As for `Migrator`.
    """

    migrations: Path
    seeds: tuple[Seed, ...] = ()
    table: str = "schema_migrations"
    schema: str | None = None
    on_duplicate: OnDuplicate = OnDuplicate.MARK

    def digest(self, server: Server) -> str:
        """What is in a template of it, on a server, in 16 digits. Reads the files."""
        folder = layouts.read(self.migrations)
        facts = [
            fluxmig.__version__,
            server.product,
            server.version,
            self.table,
            str(self.schema),
            self.on_duplicate,
            *(f"{migration.name} {migration.checksum}" for migration in folder.migrations),
            *map(_fact, self.seeds),
        ]
        return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]

    def migrator(self, engine: Engine, folder: Path | None = None) -> Migrator:
        """What applies the migrations, or those of another folder, as the project does."""
        return Migrator(
            engine,
            folder or self.migrations,
            table=self.table,
            schema=self.schema,
            on_duplicate=self.on_duplicate,
        )

    def apply(self, url: str) -> None:
        """Migrates a new database, and seeds it. Writes.

        Raises:
            FluxmigError: As `Migrator.run`; or a seed is refused, or cannot be read.
        """
        with reach(url) as engine:
            self.migrator(engine).run()
            for seed in self.seeds:
                if callable(seed):
                    with engine.begin() as connection:
                        seed(connection)
                else:
                    run_sql(engine, seed)


def _fact(seed: Seed) -> str:
    """All that the seed is; of a function, its file, its place there, and what it has been given."""
    if not callable(seed):
        return _text(seed)
    if isinstance(seed, FunctionType):
        code = seed.__code__
        with suppress(
            OSError
        ):  # a place such as "<string>" is no file, whatever Python may have kept under that name
            source = Path(code.co_filename).read_bytes()
            bound = [cell.cell_contents for cell in seed.__closure__ or ()]
            given = (bound, seed.__defaults__, seed.__kwdefaults__)
            return f"{seed.__qualname__} {code.co_firstlineno} {given!r} {hashlib.sha256(source).hexdigest()}"
    return secrets.token_hex(8)  # nobody can tell what it does: never the same


def _text(seed: str | Path) -> str:
    if isinstance(seed, str):
        return seed
    try:
        return seed.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{seed} cannot be read: {error}", remedy="name a file of SQL") from error


def run_sql(engine: Engine, seed: str | Path) -> None:
    """Runs SQL as that of a migration is run, but that nothing is recorded. Writes.

    Raises:
        FluxmigError: It is refused, or cannot be read.
    """
    path = seed if isinstance(seed, Path) else Path("seed.sql")
    with engine.connect() as connection:
        dialect = dialect_of(engine).met(connection)
    given = (path.name, path, "", _text(seed).encode())
    prepared = script.prepare(*given, dialect.rules, dialect.no_transaction_reason, dialect.refusal)
    if isinstance(prepared, FileProblem):
        raise MigrationFileError([prepared])
    try:
        if prepared.mode is Mode.TRANSACTION:
            with dialect.transaction(engine) as connection:
                send_script(dialect, connection, prepared)
        else:
            with dialect.autocommit(engine) as connection:
                for statement in prepared.statements:
                    send_statement(dialect, connection, prepared, statement)
    except RefusedError as refused:
        raise FluxmigError(f"{path.name} was refused\n{refused.failure}") from refused.__cause__
    finally:
        engine.dispose()  # it may have set its session otherwise


@dataclass
class Template:
    """A database that every test can have a copy of. For use by several threads at once.

    Attributes:
        name: Its name on the server; None where databases cannot be copied.
        server: The server.
        clones: The copies.
    """

    name: str | None
    server: Server
    clones: Clones = field(repr=False)

    def create(self) -> str:
        """The URL of a copy of one's own. Writes.

        Raises:
            FluxmigError: It could not be migrated, where each copy is.
            SQLAlchemyError: The server refuses.
        """
        return self.clones.take()

    def drop(self, url: str) -> None:
        """Has a copy dropped, whoever is in it; soon, and not before this returns. Writes."""
        self.clones.give_back(url)


def open_template(stack: ExitStack, server: Server, recipe: Recipe, session: str) -> Template:
    """The template of a recipe on a server, made unless it is there; it stays at least until the stack ends.

    Args:
        stack: Ends the preparation of copies.
        server: The server.
        recipe: What it is made of.
        session: A word that is in the names of the copies.

    Raises:
        FluxmigError: As `Recipe.apply`.
        SQLAlchemyError: The server refuses.
    """
    numbers = map(f"{CLONES}{session}_{secrets.token_hex(3)}_{{}}".format, count(1))
    name = None
    if server.databases.has_templates:
        name = TEMPLATES + recipe.digest(server)
        stack.enter_context(server.databases.claimed(name, shared=True))
        _see_to(server, recipe, name)

    def make() -> str:
        url = server.create(next(numbers), template=name)
        try:
            if name is None:
                recipe.apply(url)
        except BaseException:
            server.drop(url)
            raise
        return url

    template = Template(name, server, Clones(make, server.drop, _warm))
    stack.callback(_close, template)
    return template


def _warm(url: str) -> None:
    """Has the server read a new copy's catalog: an Engine's first answer takes 10 ms then, and not 13."""
    with reach(url):
        pass


def _see_to(server: Server, recipe: Recipe, name: str) -> None:
    """Makes the template, unless it is there or another process makes it in this moment."""
    databases = server.databases
    with databases.claimed(f"{name}_new"):
        if name not in databases.names(TEMPLATES):
            new = f"{name}_new"
            databases.drop(new)  # what somebody who was killed has left
            url = databases.create(new, None)
            try:
                recipe.apply(url.render_as_string(hide_password=False))
                databases.rename(new, name)
            except BaseException:
                databases.drop(new)
                raise
        databases.note(name, f"{_project(recipe)} {datetime.now(UTC):%Y-%m-%dT%H:%M:%S}")


def _close(template: Template) -> None:
    failures = template.clones.close(drop=template.server.stays)
    for failure in failures:
        warnings.warn(f"a database for tests: {failure}", RuntimeWarning, stacklevel=2)


def _project(recipe: Recipe) -> str:
    """The folder, as far as it tells projects apart on a server that has templates of many."""
    return hashlib.sha256(str(recipe.migrations.resolve()).encode()).hexdigest()[:12]


# --- what is left -----------------------------------------------------------------------------------------


def keep(server: Server, url: str) -> str:
    """Has a copy stay, and gives its URL, which may be a new one. Writes."""
    if not server.stays:
        server.keep(url)
        return url
    databases = server.databases
    kept = old = databases.name(make_url(url))
    new = old.replace(CLONES, KEPT)
    with suppress(SQLAlchemyError):  # somebody is still in it
        databases.rename(old, new)
        kept = new
        databases.note(new, f"kept {datetime.now(UTC):%Y-%m-%dT%H:%M:%S}")
    server.keep(url)
    return databases.url(kept).render_as_string(hide_password=False)


def prune(server: Server, *, now: datetime) -> list[str]:
    """Drops what earlier sessions have left on a server that stays, and gives the names. Writes.

    That is: copies whose session has ended, of each folder all templates but the newest few, and what was not
    used for a week.
    """
    databases = server.databases
    dropped = []
    for name, key in _left(databases.names("fluxmig_"), now):
        with databases.claimed(key, wait=False) as is_unused:
            if is_unused:
                databases.drop(name)
                dropped.append(name)
    return dropped


def _left(names: Mapping[str, str | None], now: datetime) -> Iterator[tuple[str, str]]:
    """The databases that may go, and the lock that whoever uses one has."""
    templates: dict[str, list[tuple[datetime, str]]] = {}
    for name, note in names.items():
        if name.startswith(CLONES):
            yield name, name.removeprefix(CLONES).partition("_")[0]
            continue
        project, _, written = (note or "").partition(" ")
        try:
            used = datetime.fromisoformat(f"{written}+00:00")
        except ValueError:
            continue  # none of ours, or in the making
        if now - used > _UNUSED:
            yield name, name
        elif name.startswith(TEMPLATES):
            templates.setdefault(project, []).append((used, name))
    for found in templates.values():
        for _, name in sorted(found, reverse=True)[_NEWEST:]:
            yield name, name
