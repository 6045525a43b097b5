"""PostgreSQL of the suite's own, with the durability that it has by itself: on the disk, and in memory."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg

from fluxmig.embedded import start_embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fluxmig.embedded import EmbeddedServer

__all__ = ["MEMORY", "Address", "Server"]

MEMORY = Path("/dev/shm")  # noqa: S108  # a file system in memory, on Linux
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is: a socket's folder, or a host and a port."""

    database: str
    host: str
    port: int

    def url(self, scheme: str = "postgresql", **options: str) -> str:
        """As a URL; a folder stands among the options."""
        place = f"127.0.0.1:{self.port}"
        if self.host.startswith("/"):
            place, options = "", {"host": quote(self.host, ""), "port": str(self.port), **options}
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"{scheme}://postgres@{place}/{self.database}{'?' if query else ''}{query}"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        place: "disk" or "memory".
        embedded: What runs.
    """

    place: str
    embedded: EmbeddedServer

    @property
    def socket(self) -> Path:
        """Its socket."""
        return self.embedded.socket_dir / f".s.PGSQL.{self.embedded.port}"

    def address(self, database: str, port: int | None = None) -> Address:
        """Of a database; through a relay, where its port is given."""
        if port is None:
            return Address(database, str(self.embedded.socket_dir), self.embedded.port)
        return Address(database, "127.0.0.1", port)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The name of an empty database, which goes afterwards."""
        name = f"bench_{next(_numbers)}"
        self.run(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def run(self, sql: str, database: str = "postgres") -> None:
        """Runs SQL in a session of its own, without a transaction."""
        with psycopg.connect(self.address(database).url(), autocommit=True) as connection:
            connection.execute(sql.encode())


@contextmanager
def started(place: str, folder: Path) -> Iterator[Server]:
    """A server whose data is in the folder, until the context ends."""
    with start_embedded(folder) as embedded:
        yield Server(place, embedded)
