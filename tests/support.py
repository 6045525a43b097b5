"""The databases that tests run on: where they come from, and a fresh one for each test.

`SOURCES` names them all. One that cannot be had on this machine is skipped with its reason; with
`FLUXMIG_TEST_REQUIRE=postgresql,sqlite,containers,pgbouncer` a skip of that kind is a failure.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from fluxmig import scratch
from fluxmig.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

Write = Callable[[Mapping[str, str | bytes]], None]
"""What the fixture `write` is: file names and contents."""

FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
POSTGRESQL_15 = Path("/usr/lib/postgresql/15/bin")
IMAGES = os.environ.get("FLUXMIG_TEST_POSTGRES_IMAGES", "postgres:18,postgres:15").split(",")
EXAMPLES = Path(__file__).parent.parent / "migrations"

_REQUIRED = frozenset(filter(None, os.environ.get("FLUXMIG_TEST_REQUIRE", "").split(",")))
_numbers = itertools.count()


def cannot_be_had(kind: str, reason: str) -> NoReturn:
    """Skips the test with the reason; fails it where such things are required."""
    if kind in _REQUIRED:
        pytest.fail(f"{kind} is required, and cannot be had: {reason}")
    pytest.skip(reason)


@dataclass
class Database:
    """A fresh, empty database of one test.

    Attributes:
        source: Where it comes from, one of `SOURCES`.
        url: As a user would give it.
    """

    source: str
    url: str
    _engines: list[Engine] = field(default_factory=list)

    @property
    def is_postgresql(self) -> bool:
        return self.url.startswith("postgresql")

    def engine(self, **options: object) -> Engine:
        """A new engine, disposed of when the test ends."""
        engine = create_engine(self.url, **options)
        self._engines.append(engine)
        return engine

    def scalar(self, sql: str) -> object:
        """What a query answers, asked on a connection of its own."""
        rows = self.rows(sql)
        return rows[0][0] if rows else None

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with _asking(self.url).begin() as connection:
            result = connection.execute(text(sql.replace(":", "\\:")))
            return [tuple(row) for row in result] if result.returns_rows else []

    def tables(self) -> set[str]:
        """The names of all tables."""
        if self.is_postgresql:
            sql = (
                "SELECT tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            )
        else:
            sql = "SELECT name FROM sqlite_master WHERE type = 'table'"
        return {str(row[0]) for row in self.rows(sql)}

    def dispose(self) -> None:
        for engine in self._engines:
            engine.dispose()


@lru_cache(maxsize=4)
def _asking(url: str) -> Engine:
    """An engine that keeps no connection; it asks a server what it is once only."""
    return create_engine(url, poolclass=NullPool)


@dataclass
class Server:
    """Something that makes databases."""

    source: str
    admin_url: str

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        name = f"fluxmig_test_{os.getpid()}_{next(_numbers)}"
        # Where nothing is synced, two checkpoints cost less than a log of all that is copied.
        strategy = "" if self.source == "postgresql-url" else "STRATEGY file_copy"
        with self._admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} {strategy}"))
        url = make_url(self.admin_url).set(database=name)
        database = Database(self.source, url.render_as_string(hide_password=False))
        try:
            yield database
        finally:
            database.dispose()
            with self._admin.connect() as connection:
                connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))

    def dispose(self) -> None:
        self._admin.dispose()

    @cached_property
    def _admin(self) -> Engine:
        """Keeps its connection, which costs a server as much as a small test."""
        return create_engine(self.admin_url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)


class Servers:
    """The servers of this session, each started when first asked for."""

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()
        self._servers: dict[str, Server | str] = {}

    def get(self, source: str) -> Server:
        """The server; skips the test, or fails it where it is required, if it cannot be had."""
        if source not in self._servers:
            self._servers[source] = self._start(source)
            if isinstance(started := self._servers[source], Server):
                self._open.callback(started.dispose)
        server = self._servers[source]
        if isinstance(server, Server):
            return server
        kind = "containers" if source.startswith("container") else "postgresql"
        cannot_be_had(kind, f"{source}: {server}")

    def close(self) -> None:
        self._open.close()

    def _start(self, source: str) -> Server | str:
        if source.startswith("container"):
            return self._start_container(source)
        starter: Callable[[], Server | str] = {
            "postgresql-18": lambda: self._start_embedded(source, None),
            "postgresql-15": lambda: self._start_embedded(source, POSTGRESQL_15),
            "postgresql-url": lambda: Server(source, os.environ["FLUXMIG_TEST_POSTGRES_URL"]),
        }[source]
        return starter()

    def _start_embedded(self, source: str, binaries: Path | None) -> Server | str:
        if binaries and not binaries.is_dir():
            return f"there is no {binaries}"
        folder = tempfile.mkdtemp(prefix="fluxmig-", dir=roomy())
        self._open.callback(shutil.rmtree, folder, ignore_errors=True)
        Path(folder).chmod(0o755)  # for the server's own user, where the tests run as root
        try:
            server = scratch.start_embedded(Path(folder, "pg"), binaries=binaries, options=FAST)
        except ConfigError as error:
            return str(error)
        self._open.enter_context(server)
        return Server(source, server.url)

    def _start_container(self, source: str) -> Server | str:
        from testcontainers.community.postgres import PostgresContainer

        image = IMAGES[SOURCES[source]]
        try:
            container = PostgresContainer(image, driver="psycopg")
            container.start()
        except Exception as error:  # noqa: BLE001  # whatever a missing engine raises
            missing = f"no container of {image}: {error!r}"
        else:
            missing = ""
            self._open.callback(container.stop)
        _close_what_is_left_open()  # not before the error is gone, which holds what is open
        if missing:
            return missing
        server = Server(source, container.get_connection_url())
        admin = create_engine(server.admin_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with admin.connect() as connection:
            for name, value in FAST.items():
                connection.execute(text(f"ALTER SYSTEM SET {name} = '{value}'"))
            connection.execute(text("SELECT pg_reload_conf()"))
        return server


SOURCES = {"sqlite": 0, "postgresql-18": 0, "postgresql-15": 0, "container-18": 0, "container-15": 1}
if "FLUXMIG_TEST_POSTGRES_URL" in os.environ:
    SOURCES["postgresql-url"] = 0
"""The names of the sources; for containers, the place of their image in `IMAGES`."""


def _close_what_is_left_open() -> None:
    """testcontainers leaves the connections to the engine open that it asked and waited with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def roomy() -> str | None:
    """Memory, where there is enough of it: databases of tests need not survive."""
    shared = Path("/dev/shm")
    with contextlib.suppress(OSError):
        if os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 2**30:
            return str(shared)
    return None
