"""Scratch databases: throwaway databases of a server that is started for them, or of a given one.

Nothing is left behind, however the process ends: what it makes and has not removed, a second process removes
(`sweeper`).
"""

from __future__ import annotations

import hashlib
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
from fluxmig.errors import ConfigError, DatabaseConnectionError, FluxmigError
from fluxmig.sweeper import Sweeper, remove_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from io import FileIO

    from fluxmig.dialects import Dialect
    from fluxmig.model import DatabaseInfo

__all__ = ["PREFIX", "Server", "open_server", "shared_folder"]

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
        databases: What makes them.
        stays: Whether it outlives this, so that each database has to be dropped.
        is_given: Whether it is a given server, whose password is not to be shown.
    """

    source: str
    product: str
    version: str
    remarks: tuple[str, ...]
    databases: Databases = field(repr=False)
    stays: bool
    is_given: bool
    _note: Note = field(repr=False)
    _linger: Callable[[], None] = field(repr=False)
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
        self._made[name] = self._note(name)
        return self.databases.create(name, template).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Drops a database that it has made, whoever is in it. Writes."""
        self._drop(self.databases.name(make_url(url)))

    def keep(self, url: str) -> None:
        """Has a database stay: on a server that stays until it is dropped, elsewhere for another hour."""
        if forget := self._made.pop(self.databases.name(make_url(url)), None):
            forget()
        self._linger()

    def _drop(self, name: str) -> None:
        self.databases.drop(name)
        if forget := self._made.pop(name, None):
            forget()

    def close(self) -> None:
        """Drops what was made and not dropped, where the server stays."""
        for name in reversed(list(self._made) if self.stays else []):
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
    shared: Path | None = None,
    keep: bool = False,
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
        shared: A folder by which several processes share what is started; it need not be there. The last one
            to leave removes all.
        keep: Whether what is started in the shared folder stays for others to come: a container runs on, an
            embedded server stops, and its data stay.

    Raises:
        ConfigError: The source is none, or cannot be had here; of `auto`, each with its reason and way out.
        DatabaseConnectionError: The server did not start, or does not answer.
    """
    with ExitStack() as stack:
        sweeper = stack.enter_context(Sweeper())
        opening = _Opening(_dialect(like), like, environ, postgres_bin, tell, shared, keep, sweeper)
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


@dataclass(frozen=True)
class _Opened:
    """A server: its name for people, what makes databases there, and what becomes of these."""

    source: str
    databases: Databases
    stays: bool
    is_given: bool = False
    note: Note = lambda _: _nothing
    linger: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class _Opening:
    """What `open_server` was asked for."""

    dialect: Dialect
    like: DatabaseInfo | None
    environ: Mapping[str, str]
    postgres_bin: Path | None
    tell: Callable[[str], None]
    shared: Path | None
    keep: bool
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
        with opened as found:
            info, databases = found.databases.info, found.databases
            remarks += self._difference(databases)
            about = (found.source, info.server, info.version, remarks)
            server = Server(*about, databases, found.stays, found.is_given, found.note, found.linger)
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
        is_alike = release(like.version) in {"", release(found.version)}
        if found.server == like.server and is_alike:
            return ()
        return (f"{found.server} {found.version} stands in for {like.server} {like.version}",)

    @contextmanager
    def _given(self, url: str) -> Iterator[_Opened]:
        with on_server(url, self.environ) as databases:
            note = partial(self._note, url)
            yield _Opened("a given server", databases, stays=True, is_given=True, note=note)

    @contextmanager
    def _sqlite(self, rest: str) -> Iterator[_Opened]:
        _refuse(rest)
        with self._folder() as (folder, linger), in_folder(folder) as databases:
            yield _Opened("sqlite", databases, self.keep, linger=linger)

    @contextmanager
    def _embedded(self, rest: str) -> Iterator[_Opened]:
        _refuse(rest)
        with self._folder() as (folder, linger):
            folder.chmod(0o711)  # the server's own user, where root runs it, has to pass through
            binaries = self.postgres_bin or self._nearest()
            with (
                embedded.start_embedded(folder / "pg", binaries=binaries, options=FAST) as server,
                on_server(server.url) as databases,
            ):
                yield self._opened("embedded", server.url, databases, linger)

    @contextmanager
    def _container(self, image: str) -> Iterator[_Opened]:
        image = image or f"{self.dialect.image}:{self.release or _TAG}"
        with self._folder() as (folder, linger):
            url = self._url_of_container(folder, image)
            with on_server(url) as databases:
                yield self._opened(f"container:{image}", url, databases, linger)

    def _url_of_container(self, folder: Path, image: str) -> str:
        """Of the one that another process has started in the folder, or of a new one."""
        noted = folder / "container"
        starting = embedded.lock(folder / "start.lock")
        try:
            if noted.exists():
                url = noted.read_text(encoding="utf-8")
                with suppress(DatabaseConnectionError), on_server(url):
                    return url
                containers.remove(folder.name)  # it has stopped
            noted.touch(mode=0o600)  # from here on there may be something to remove
            outlives = self.shared is not None
            url = containers.start(image, folder.name, self.tell, outlives=outlives)
            noted.write_text(url, encoding="utf-8")
        except FluxmigError:
            noted.unlink(missing_ok=True)
            raise
        finally:
            if starting:
                starting.close()
        return url

    def _opened(self, source: str, url: str, databases: Databases, linger: Callable[[], None]) -> _Opened:
        """A server that may stay."""
        if self.keep:
            return _Opened(source, databases, stays=True, note=partial(self._note, url))
        return _Opened(source, databases, stays=False, linger=linger)

    def _note(self, url: str, name: str) -> Callable[[], None]:
        """Has a database of a server that stays swept, until what is returned is called."""
        return partial(self.sweeper.forget, self.sweeper.watch("database", url=url, name=name))

    @contextmanager
    def _folder(self) -> Iterator[tuple[Path, Callable[[], None]]]:
        """A folder, in memory where there is room, and what has it stay for a while; new, unless shared."""
        folder = self.shared or Path(_roomy(), f"fluxmig-{secrets.token_hex(8)}")
        if self.keep:
            with _joined(folder):
                yield folder, _nothing
            return
        number = self.sweeper.watch("folder", path=str(folder))
        try:
            with _joined(folder):
                yield folder, partial(self.sweeper.postpone, number, folder)
        finally:
            if number not in self.sweeper.postponed:
                remove_folder(folder, wait=False)
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


def _nothing() -> None:
    """Where there is nothing to do."""


def _joined(folder: Path) -> FileIO:
    """The folder's lock, shared, for as long as one uses the folder."""
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.geteuid():  # in a folder of everybody's, it may be anybody's
            raise ConfigError(f"{folder} belongs to another user", remedy="remove it, or name another source")
        with suppress(FileNotFoundError):  # removed in this moment
            users = embedded.lock(folder / "users.lock", shared=True)
            if users:
                return users


def shared_folder(word: str) -> Path:
    """A folder for `shared`, the same for all processes of this user that say the same word."""
    digest = hashlib.sha256(word.encode()).hexdigest()[:16]
    return Path(_roomy(), f"fluxmig-{os.getuid()}-{digest}")


def _roomy() -> str:
    """Memory, where there is enough of it: scratch databases need not survive."""
    with suppress(OSError):
        if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES:
            return _MEMORY
    return tempfile.gettempdir()
