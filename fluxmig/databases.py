"""What makes and drops databases: a server, or a folder of SQLite files."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import URL, make_url

from fluxmig.connect import parse_url, reach
from fluxmig.dialects import dialect_of
from fluxmig.dialects.base import GIVEN
from fluxmig.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Engine

    from fluxmig.dialects import Dialect
    from fluxmig.model import DatabaseInfo

__all__ = ["Databases", "in_folder", "on_server"]


class Databases(Protocol):
    """Somewhere that databases can be made. For use by several threads at once."""

    @property
    def dialect(self) -> Dialect:
        """What knows its product."""

    @property
    def info(self) -> DatabaseInfo:
        """What it says of itself."""

    def create(self, name: str, template: str | None) -> URL:
        """Makes a database, empty or as a copy of another. Writes."""

    def drop(self, name: str) -> None:
        """Drops a database that may be gone already, and ends the sessions in it. Writes."""

    def name(self, url: URL) -> str:
        """The name of a database by its URL."""


@dataclass(frozen=True)
class _OnServer:
    _engine: Engine
    _url: URL
    dialect: Dialect
    info: DatabaseInfo

    def create(self, name: str, template: str | None) -> URL:
        with self.dialect.autocommit(self._engine) as connection:
            self.dialect.create_database(connection, name, template)
        return self._url.set(database=name)

    def drop(self, name: str) -> None:
        with self.dialect.autocommit(self._engine) as connection:
            self.dialect.drop_database(connection, name)

    def name(self, url: URL) -> str:
        return url.database or ""


@dataclass(frozen=True)
class _InFolder:
    _folder: Path
    dialect: Dialect
    info: DatabaseInfo

    def create(self, name: str, template: str | None) -> URL:
        if template is None:
            self._path(name).touch(exist_ok=False)
        else:
            shutil.copyfile(self._path(template), self._path(name))
        return make_url("sqlite://").set(database=str(self._path(name)))

    def drop(self, name: str) -> None:
        for suffix in ("", "-journal", "-wal", "-shm"):  # tempfiles.html, 2
            path = self._path(name)
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    def name(self, url: URL) -> str:
        return Path(url.database or "").stem

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.db"


@contextmanager
def on_server(raw: str, environ: Mapping[str, str] = {}) -> Iterator[Databases]:
    """What makes databases on the server of a URL, by its login.

    Raises:
        ConfigError: The URL, the driver, or a database of which fluxmig makes none.
        DatabaseConnectionError: There was no answer, or a refusal.
    """
    with reach(raw, environ=environ) as engine:
        with engine.connect() as connection:
            dialect = dialect_of(engine).met(connection)
            info = dialect.info(connection, None)
        if GIVEN not in dialect.scratch:
            raise ConfigError(
                f"fluxmig makes no databases of {info.server}",
                remedy="give the URL of a PostgreSQL, MySQL or MariaDB server, or `sqlite`",
            )
        # The engine's own URL lacks the options that may hold a password.
        yield _OnServer(engine, parse_url(raw), dialect, info)


@contextmanager
def in_folder(folder: Path) -> Iterator[Databases]:
    """What makes SQLite files in a folder."""
    with reach("sqlite://") as engine, engine.connect() as connection:
        dialect = dialect_of(engine)
        yield _InFolder(folder, dialect, dialect.info(connection, None))
