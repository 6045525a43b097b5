"""The databases that tests run on: where they come from, and a fresh one for each test.

`SOURCES` names them all, or those of `FLUXMIG_TEST_SOURCES=sqlite,postgresql-15`. One that cannot be had on
this machine is skipped with its reason; with
`FLUXMIG_TEST_REQUIRE=postgresql,sqlite,mariadb,duckdb,firebird,containers,pgbouncer,chromium` a skip of that
kind is a failure; so are for root `namespaces` and `mounts`, and `mysql`, which is one only where there is
MySQL's own server, or where it is asked for.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import re
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from fluxmig import embedded
from fluxmig.containers import LABEL
from fluxmig.errors import ConfigError
from fluxmig.sweeper import Sweeper
from tests.mysqld import MARIADB, MYSQL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from tests.mysqld import Program

Write = Callable[[Mapping[str, str | bytes]], None]
"""What the fixture `write` is: file names and contents."""

FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "log_line_prefix": "%m [%p] %q%d %e ",  # whose test it is, and the SQLSTATE
}
POSTGRESQL_15 = Path("/usr/lib/postgresql/15/bin")
IMAGES = os.environ.get("FLUXMIG_TEST_POSTGRES_IMAGES", "postgres:18,postgres:15").split(",")
LATER = ("reason", "statements", "lost", "unchecked", "source")
EXAMPLES = Path(__file__).parent.parent / "migrations"

_KINDS = {"container": "containers", "postgresql": "postgresql", "mariadb": "mariadb", "mysql": "mysql"}
_KINDS["firebird"] = "firebird"
_REQUIRED = frozenset(filter(None, os.environ.get("FLUXMIG_TEST_REQUIRE", "").split(",")))
_WANTED = frozenset(filter(None, os.environ.get("FLUXMIG_TEST_SOURCES", "").split(",")))
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

    @property
    def is_duckdb(self) -> bool:
        return self.url.startswith("duckdb")

    @property
    def is_mysql(self) -> bool:
        """Whether it is MySQL or MariaDB."""
        return self.url.startswith(("mysql", "mariadb"))

    @property
    def is_firebird(self) -> bool:
        return self.url.startswith("firebird")

    @property
    def product(self) -> str:
        """As messages name it."""
        names = {
            "duckdb": "DuckDB",
            "postgresql": "PostgreSQL",
            "sqlite": "SQLite",
            "mysql": "MySQL",
            "mariadb": "MariaDB",
            "firebird": "firebird",  # as SQLAlchemy has it: no class knows it
        }
        return names[make_url(self.url).get_backend_name()]

    def quoted(self, name: str) -> str:
        """A name as its SQL quotes it."""
        return f"`{name}`" if self.is_mysql else f'"{name}"'

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

    def log(self, columns: str = "event, migration_name") -> list[tuple[object, ...]]:
        """The rows of fluxmig's log.

        Where what creates cannot be rolled back, nearly every file runs statement by statement, and its steps
        stand in the log; they are left out here.
        """
        steps = " WHERE event NOT IN ('started', 'progress')" if self.source in COMMITS_DDL else ""
        return self.rows(f"SELECT {columns} FROM schema_migrations_log{steps} ORDER BY id")

    def age_log(self) -> None:
        """Takes from the log the columns that an earlier version's did not have."""
        if self.is_duckdb:  # where no column goes while there is an index
            self.rows("DROP INDEX ix_schema_migrations_log_migration_name")
        for column in LATER:
            self.rows(f"ALTER TABLE schema_migrations_log DROP COLUMN {column}")

    def tables(self) -> set[str]:
        """The names of all tables."""
        if self.is_duckdb:
            sql = "SELECT table_name FROM duckdb_tables()"
        elif self.is_firebird:
            sql = "SELECT LOWER(TRIM(rdb$relation_name)) FROM rdb$relations WHERE rdb$system_flag = 0"
        elif self.is_postgresql:
            sql = (
                "SELECT tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            )
        elif self.is_mysql:
            sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
            sql += " AND table_type = 'BASE TABLE'"
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
    """Something that makes databases.

    Attributes:
        source: Where it comes from, one of `SOURCES`.
        admin_url: A database of its superuser.
        binaries: The folder of its programs, and
        log: The file with what it says; None where it runs elsewhere.
    """

    source: str
    admin_url: str
    binaries: Path | None = None
    log: Path | None = None

    def complaints(self, database: Database) -> list[str]:
        """The lines of the log about what went wrong in the database, for whomever."""
        assert self.log
        name = re.escape(make_url(database.url).database or "")
        bad = re.compile(rf" \[\d+\] {name} \w{{5}} (?:WARNING|ERROR|FATAL|PANIC): .*")
        return [found[0] for found in bad.finditer(self.log.read_text(errors="replace"))]

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        name = f"fluxmig_test_{os.getpid()}_{next(_numbers)}"
        with self._admin.connect() as connection:
            connection.execute(text(self._creation(name)))
        url = make_url(self.admin_url).set(database=name)
        database = Database(self.source, url.render_as_string(hide_password=False))
        try:
            yield database
        finally:
            database.dispose()
            with self._admin.connect() as connection:
                self._drop(connection, name)

    def dispose(self) -> None:
        self._admin.dispose()

    def _creation(self, name: str) -> str:
        # Where nothing is synced, two checkpoints cost less than a log of all that is copied.
        strategy = "" if self.source == "postgresql-url" else " STRATEGY file_copy"
        return f"CREATE DATABASE {name}{strategy}"

    def _drop(self, connection: Connection, name: str) -> None:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))

    @cached_property
    def _admin(self) -> Engine:
        """Keeps its connection, which costs a server as much as a small test."""
        return create_engine(self.admin_url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)


class MariaDBServer(Server):
    """The same of MariaDB or MySQL, whose DROP DATABASE waits for whoever has a table open."""

    def _creation(self, name: str) -> str:
        return f"CREATE DATABASE {name}"

    def _drop(self, connection: Connection, name: str) -> None:
        sessions = text("SELECT id FROM information_schema.processlist WHERE db = :name")
        for number in connection.scalars(sessions, {"name": name}).all():
            with contextlib.suppress(DBAPIError):  # it has ended by itself
                connection.execute(text(f"KILL {number}"))
        connection.execute(text(f"DROP DATABASE {name}"))


class Servers:
    """The servers of this session, each started when first asked for; none outlives this process."""

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
        kind = next(kind for start, kind in _KINDS.items() if source.startswith(start))
        cannot_be_had(kind, f"{source}: {server}")

    def close(self) -> None:
        self._open.close()

    @cached_property
    def _sweeper(self) -> Sweeper:
        return self._open.enter_context(Sweeper())

    def _folder(self) -> Path:
        """A new folder for a server: it goes with this process, and with it what runs in it."""
        folder = Path(tempfile.mkdtemp(prefix="fluxmig-", dir=roomy()))
        (folder / "users.lock").touch()
        self._sweeper.watch("folder", path=str(folder))
        self._open.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _start(self, source: str) -> Server | str:
        if source.startswith("container"):
            return self._start_container(source)
        starter: Callable[[], Server | str] = {
            "postgresql-18": lambda: self._start_embedded(source, None),
            "postgresql-15": lambda: self._start_embedded(source, POSTGRESQL_15),
            "postgresql-url": lambda: Server(source, os.environ["FLUXMIG_TEST_POSTGRES_URL"]),
            "mariadb": lambda: self._start_mysqld(MARIADB),
            "mysql": lambda: self._start_mysqld(MYSQL),
            "firebird": self._start_firebird,
        }[source]
        return starter()

    def _start_embedded(self, source: str, binaries: Path | None) -> Server | str:
        if binaries and not binaries.is_dir():
            return f"there is no {binaries}"
        folder = self._folder()
        folder.chmod(0o755)  # for the server's own user, where the tests run as root
        try:
            server = embedded.start_embedded(folder / "pg", binaries=binaries, options=FAST)
        except ConfigError as error:
            return str(error)
        self._open.enter_context(server)
        return Server(source, server.url, server.binaries, server.folder / "server.log")

    def _start_mysqld(self, program: Program) -> Server | str:
        if url := os.environ.get(f"FLUXMIG_TEST_{program.source.upper()}_URL"):
            return MariaDBServer(program.source, url)
        folder = self._folder()
        process = program.install(folder) or program.start(folder)
        if isinstance(process, str):
            return process
        self._open.callback(_stop, process)
        return MariaDBServer(program.source, program.url(folder))

    def _start_firebird(self) -> Server | str:
        from tests.firebird import Firebird

        return Firebird.started(self._folder())

    def _start_container(self, source: str) -> Server | str:
        from testcontainers.community.postgres import PostgresContainer

        image = IMAGES[_EVERY[source]]
        folder = self._folder()
        (folder / "container").touch()
        try:
            container = PostgresContainer(image, driver="psycopg", labels={LABEL: folder.name})
            container.start()
        except Exception as error:  # noqa: BLE001  # whatever a missing engine raises
            missing = f"no container of {image}: {error!r}"
        else:
            missing = ""
            self._open.callback(container.stop)
        close_what_is_left_open()  # not before the error is gone, which holds what is open
        if missing:
            return missing
        server = Server(source, container.get_connection_url())
        admin = create_engine(server.admin_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with admin.connect() as connection:
            for name, value in FAST.items():
                connection.execute(text(f"ALTER SYSTEM SET {name} = '{value}'"))
            connection.execute(text("SELECT pg_reload_conf()"))
        return server


COMMITS_DDL = {"mariadb", "mysql", "firebird"}
"""The sources where what creates is committed at once, or cannot be used before it is."""
LACKING = {
    "transactional_ddl": (COMMITS_DDL, "does not roll back what creates and drops"),
    "savepoints": ({"duckdb"}, "has no savepoints"),
    "caseless": ({"duckdb"}, "has no collation in its keys"),
    "later_keys": ({"duckdb"}, "has no foreign key that is added to a table later"),
    "waiting_keys": (
        {"duckdb", "mariadb", "mysql"},
        "checks a foreign key with each row or statement",
    ),
    "catalog": ({"duckdb"}, "has no catalog that fluxmig compares"),
    "own_databases": ({"duckdb"}, "is a file, and fluxmig makes none of its kind"),
    "concurrent_writers": ({"duckdb"}, "is for one process, and one of two that write at once is refused"),
}
"""For each marker of a test, the sources that cannot do what it asks for, and why."""
FILES = {"sqlite": "sqlite:///{}/test.db", "duckdb": "duckdb:///{}/test.duckdb"}
"""The URLs of sources without a server."""
SOURCES = {"sqlite": 0, "postgresql-18": 0, "postgresql-15": 0, "container-18": 0, "container-15": 1}
SOURCES |= {"mariadb": 0, "duckdb": 0}
if "FLUXMIG_TEST_POSTGRES_URL" in os.environ:
    SOURCES["postgresql-url"] = 0
if MYSQL.path or "FLUXMIG_TEST_MYSQL_URL" in os.environ or "mysql" in _REQUIRED | _WANTED:
    SOURCES["mysql"] = 0
_EVERY = SOURCES
SOURCES = {source: place for source, place in _EVERY.items() if source in (_WANTED or _EVERY)}
"""The names of the sources; for containers, the place of their image in `IMAGES`."""
STEPWISE = [source for source in ("mariadb", "mysql") if source in {"mariadb", *SOURCES}]
"""The servers for tests of what no rollback takes back: MariaDB's, and MySQL's where it is a source."""
OLDER = frozenset({"postgresql-15", "container-15"} - _WANTED)
"""The sources of which there is a newer one, unless they were asked for by name."""


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def close_what_is_left_open() -> None:
    """What others leave open: testcontainers when it has waited, SQLAlchemy when it takes no version."""
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
