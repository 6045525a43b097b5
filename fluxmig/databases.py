"""What makes and drops databases: a server, or a folder of SQLite files."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import URL, make_url

from fluxmig import embedded
from fluxmig.connect import parse_url, reach
from fluxmig.dialects import dialect_of
from fluxmig.dialects.base import GIVEN
from fluxmig.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection, Engine

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

    @property
    def has_templates(self) -> bool:
        """Whether a database can be a copy of another; if not, none is renamed, noted or claimed either."""

    def create(self, name: str, template: str | None) -> URL:
        """Makes a database, empty or as a copy of another. Writes."""

    def drop(self, name: str) -> None:
        """Drops a database that may be gone already, and ends the sessions in it. Writes."""

    def rename(self, old: str, new: str) -> None:
        """Gives a database that nobody is in another name. Writes."""

    def name(self, url: URL) -> str:
        """The name of a database by its URL."""

    def url(self, name: str) -> URL:
        """The URL of a database by its name."""

    def names(self, prefix: str) -> Mapping[str, str | None]:
        """The databases whose names begin so, with what `note` has written of each. Only reads."""

    def note(self, name: str, words: str) -> None:
        """Writes something down about a database, without quotes in it. Writes."""

    @contextmanager
    def claimed(self, key: str, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
        """Holds a lock among processes; gives False where another has it and one is not to wait."""


@dataclass(frozen=True)
class _OnServer:
    _engine: Engine
    _url: URL
    dialect: Dialect
    info: DatabaseInfo

    @property
    def has_templates(self) -> bool:
        return self.dialect.has_templates

    def create(self, name: str, template: str | None) -> URL:
        with self._connection() as connection:
            self.dialect.create_database(connection, name, template)
        return self.url(name)

    def drop(self, name: str) -> None:
        with self._connection() as connection:
            self.dialect.drop_database(connection, name)

    def rename(self, old: str, new: str) -> None:
        with self._connection() as connection:
            self.dialect.rename_database(connection, old, new)

    def name(self, url: URL) -> str:
        return url.database or ""

    def url(self, name: str) -> URL:
        return self._url.set(database=name)

    def names(self, prefix: str) -> Mapping[str, str | None]:
        with self._connection() as connection:
            return self.dialect.database_names(connection, prefix)

    def note(self, name: str, words: str) -> None:
        with self._connection() as connection:
            self.dialect.note_database(connection, name, words)

    @contextmanager
    def claimed(self, key: str, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
        with self._connection() as connection:
            try:
                yield self.dialect.claim_name(connection, key, shared=shared, wait=wait)
            finally:
                connection.invalidate()  # the lock ends with the session

    def _connection(self) -> AbstractContextManager[Connection]:
        return self.dialect.autocommit(self._engine)


@dataclass(frozen=True)
class _InFolder:
    _folder: Path
    dialect: Dialect
    info: DatabaseInfo
    has_templates: bool = True

    def create(self, name: str, template: str | None) -> URL:
        if template is None:
            self._path(name).touch(exist_ok=False)
        else:
            shutil.copyfile(self._path(template), self._path(name))
        return self.url(name)

    def drop(self, name: str) -> None:
        for suffix in ("", "-journal", "-wal", "-shm", ".note"):  # tempfiles.html, 2
            path = self._path(name)
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    def rename(self, old: str, new: str) -> None:
        self._path(old).rename(self._path(new))

    def name(self, url: URL) -> str:
        return Path(url.database or "").stem

    def url(self, name: str) -> URL:
        return make_url("sqlite://").set(database=str(self._path(name)))

    def names(self, prefix: str) -> Mapping[str, str | None]:
        found: dict[str, str | None] = {}
        for path in self._folder.glob(f"{prefix}*.db"):
            found[path.stem] = None
            with suppress(FileNotFoundError):
                found[path.stem] = self._note(path.stem).read_text(encoding="utf-8")
        return found

    def note(self, name: str, words: str) -> None:
        self._note(name).write_text(words, encoding="utf-8")

    @contextmanager
    def claimed(self, key: str, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
        lock = embedded.lock(self._folder / f"{key}.lock", shared=shared, wait=wait)
        try:
            yield lock is not None
        finally:
            if lock:
                lock.close()

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.db"

    def _note(self, name: str) -> Path:
        return self._folder / f"{name}.db.note"


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
        info = dialect.info(connection, None)
    yield _InFolder(folder, dialect, info)
