"""Scratch databases: throwaway databases of a server that is started for them, or of a given one.

Nothing is left behind, however the process ends: what it makes and has not removed, a second process removes
(`sweeper`).
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from fluxmig import containers, embedded
from fluxmig.databases import Databases, in_folder, on_server
from fluxmig.dialects import NAMES, dialect_named
from fluxmig.dialects.base import GIVEN
from fluxmig.dialects.postgresql_databases import FAST
from fluxmig.errors import ConfigError, DatabaseConnectionError
from fluxmig.sweeper import Sweeper, remove_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fluxmig.dialects import Dialect
    from fluxmig.errors import FluxmigError
    from fluxmig.model import DatabaseInfo

__all__ = ["PREFIX", "Server", "open_server"]

PREFIX = "fluxmig_scratch_"
"""What the names of scratch databases begin with."""

_ROOM_BYTES = 2**30
_TAG = "18"
_MEMORY = "/dev/shm"  # noqa: S108  # names of files there are random
_SOURCES = "auto, embedded, container, container:IMAGE, sqlite, or the URL of a server"


Note = Callable[[str], Callable[[], None]]
"""Has a database swept that is about to be made, until what it returns is called."""


@dataclass(frozen=True)
class Server:
    """Somewhere that makes scratch databases. For use by several threads at once.

    Attributes:
        source: Where it comes from, for people; never a URL.
        product: "PostgreSQL", "MySQL", "MariaDB" or "SQLite".
        version: The server's.
        remarks: Lines for people: what was passed over and why, and what is not as it was asked for.
    """

    source: str
    product: str
    version: str
    remarks: tuple[str, ...]
    _databases: Databases = field(repr=False)
    _note: Note | None = field(repr=False)
    _made: dict[str, Callable[[], None]] = field(default_factory=dict, repr=False)
    _names: Iterator[str] = field(
        default_factory=lambda: map(f"{PREFIX}{secrets.token_hex(4)}_{{}}".format, count(1)), repr=False
    )

    def create(self, name: str | None = None, *, template: str | None = None) -> str:
        """The URL of a new database. Writes.

        Args:
            name: Its name; a unique one by default.
            template: The name of the database that it is a copy of.

        Raises:
            ConfigError: There are no templates there.
            SQLAlchemyError: The server refuses.
        """
        name = name or next(self._names)
        if self._note:
            self._made[name] = self._note(name)
        return self._databases.create(name, template).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Drops a database that it has made, whoever is in it. Writes."""
        self._drop(self._databases.name(make_url(url)))

    def _drop(self, name: str) -> None:
        self._databases.drop(name)
        if forget := self._made.pop(name, None):
            forget()

    def close(self) -> None:
        """Drops what was made and not dropped, where the server stays."""
        for name in reversed(list(self._made)):
            with suppress(Exception):  # the sweeper tries again
                self._drop(name)


@contextmanager
def open_server(
    source: str = "auto",
    *,
    like: DatabaseInfo | None = None,
    environ: Mapping[str, str] = {},
    postgres_bin: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Server]:
    """Somewhere that makes scratch databases; with them, it is gone afterwards.

    What is started keeps its data in memory where there is room, and syncs nothing.

    Args:
        source: `embedded`; `container` or `container:IMAGE`; the URL of a server, by a login that may create
            databases; `sqlite`; or `auto`: the embedded server or else a container, or what `like` needs.
        like: The database that they have to resemble, by product and release.
        environ: Where libpq's own variables are looked up for a URL.
        postgres_bin: The binaries of the embedded server.
        tell: Called with a line before what may take long.

    Raises:
        ConfigError: The source is none, or cannot be had here; of `auto`, each with its reason and way out.
        DatabaseConnectionError: The server did not start, or does not answer.
    """
    with ExitStack() as stack:
        sweeper = stack.enter_context(Sweeper())
        opening = _Opening(_dialect(like), like, environ, postgres_bin, tell, sweeper)
        yield _first(stack, opening) if source == "auto" else stack.enter_context(opening.server(source))


def _dialect(like: DatabaseInfo | None) -> Dialect:
    """What knows the product that is wanted: PostgreSQL, unless something else has to be resembled."""
    if like is None:
        return dialect_named("postgresql")
    for dialect in map(dialect_named, NAMES):
        if dialect.product == like.server and dialect.scratch:
            return dialect
    raise ConfigError(f"there are no scratch databases of {like.server}")


def _first(stack: ExitStack, opening: _Opening) -> Server:
    """The first server that can be had."""
    failed: list[tuple[str, FluxmigError]] = []
    for source in opening.candidates():
        try:
            remarks = tuple(f"{other} was passed over: {error.message}" for other, error in failed)
            return stack.enter_context(opening.server(source, remarks))
        except (ConfigError, DatabaseConnectionError) as error:
            failed.append((source, error))
    reasons = "\n".join(f"- {source}: {error}".replace("\n", "\n  ") for source, error in failed)
    raise ConfigError(f"no scratch database can be had here:\n{reasons}")


_Opened = tuple[str, Databases, Note | None]
"""A server's name for people, what makes databases there, and what notes each where the server stays."""


@dataclass(frozen=True)
class _Opening:
    """What `open_server` was asked for."""

    dialect: Dialect
    like: DatabaseInfo | None
    environ: Mapping[str, str]
    postgres_bin: Path | None
    tell: Callable[[str], None]
    sweeper: Sweeper

    @property
    def release(self) -> str:
        """The release that is wanted; empty for any."""
        return self.dialect.release(self.like.version) if self.like else ""

    def candidates(self) -> list[str]:
        """The sources of the product, best first: the same release goes before an earlier one of another."""
        sources = [source for source in self.dialect.scratch if source != GIVEN]
        if self.release and "embedded" in sources and not self.postgres_bin:
            releases = {self.dialect.release(version) for version in embedded.installed().values()}
            if self.release not in releases:
                sources.reverse()
        return sources

    @contextmanager
    def server(self, source: str, remarks: tuple[str, ...] = ()) -> Iterator[Server]:
        """The server of a source."""
        word, _, rest = source.partition(":")
        openers = {"embedded": self._embedded, "container": self._container, "sqlite": self._sqlite}
        if "//" in rest:
            opened = self._given(source)
        elif word in openers:
            opened = openers[word](rest)
        else:  # it may be a URL that was mistyped, and is not repeated
            raise ConfigError("this is no source of scratch databases", remedy=f"give {_SOURCES}")
        with opened as (name, databases, note):
            info = databases.info
            remarks += self._difference(databases)
            server = Server(name, info.server, info.version, remarks, databases, note)
            try:
                yield server
            finally:
                server.close()

    def _difference(self, databases: Databases) -> tuple[str, ...]:
        """In what the server is another one than it has to resemble."""
        found, like = databases.info, self.like
        if like is None:
            return ()
        release = databases.dialect.release
        if (found.server, release(found.version)) == (like.server, release(like.version)):
            return ()
        return (f"{found.server} {found.version} stands in for {like.server} {like.version}",)

    @contextmanager
    def _given(self, url: str) -> Iterator[_Opened]:
        with on_server(url, self.environ) as databases:

            def note(name: str) -> Callable[[], None]:
                return partial(self.sweeper.forget, self.sweeper.watch("database", url=url, name=name))

            yield "a given server", databases, note

    @contextmanager
    def _sqlite(self, rest: str) -> Iterator[_Opened]:
        _refuse(rest)
        with self._folder() as folder, in_folder(folder) as databases:
            yield "sqlite", databases, None

    @contextmanager
    def _embedded(self, rest: str) -> Iterator[_Opened]:
        _refuse(rest)
        with self._folder() as folder:
            folder.chmod(0o711)  # the server's own user, where root runs it, has to pass through
            binaries = self.postgres_bin or self._nearest()
            with (
                embedded.start_embedded(folder / "pg", binaries=binaries, options=FAST) as server,
                on_server(server.url) as databases,
            ):
                yield "embedded", databases, None

    @contextmanager
    def _container(self, image: str) -> Iterator[_Opened]:
        image = image or f"{self.dialect.image}:{self.release or _TAG}"
        owner = secrets.token_hex(8)
        number = self.sweeper.watch("containers", owner=owner)
        with containers.run(image, owner, self.tell) as url, on_server(url) as databases:
            yield f"container:{image}", databases, None
        self.sweeper.forget(number)

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """A new folder, in memory where there is room."""
        folder = Path(_roomy(), f"fluxmig-{secrets.token_hex(8)}")
        number = self.sweeper.watch("folder", path=str(folder))
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            remove_folder(folder)
            self.sweeper.forget(number)

    def _nearest(self) -> Path | None:
        """The binaries of the wanted release, or of the nearest one, and rather of a newer than an older."""
        if not self.release:
            return None
        wanted = int(self.release)
        installed = embedded.installed()
        releases = {folder: int(self.dialect.release(version)) for folder, version in installed.items()}
        return min(
            releases, key=lambda each: (abs(releases[each] - wanted), releases[each] < wanted), default=None
        )


def _refuse(rest: str) -> None:
    """Nothing may stand behind the word."""
    if rest:
        raise ConfigError("this is no source of scratch databases", remedy=f"give {_SOURCES}")


def _roomy() -> str:
    """Memory, where there is enough of it: scratch databases need not survive."""
    with suppress(OSError):
        if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES:
            return _MEMORY
    return tempfile.gettempdir()
