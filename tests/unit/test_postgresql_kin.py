"""CockroachDB and YugabyteDB, by what they send when a connection begins. No such server was at hand."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from fluxmig import ConfigError
from fluxmig.connect import reach
from fluxmig.dialects import dialect_named
from fluxmig.dialects.base import ServerError
from fluxmig.dialects.postgresql_kin import AnyPostgreSQL, CockroachDB, YugabyteDB
from tests.support import close_what_is_left_open

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COCKROACH = "CockroachDB CCL v24.1.2 (x86_64-pc-linux-gnu, built 2024/07/15 00:00:00, go1.22.2)"
# ParameterStatus of each, as drivers and issue trackers quote it.
SAID: dict[str, dict[str, str]] = {
    "CockroachDB": {"server_version": "13.0.0", "crdb_version": COCKROACH},
    "YugabyteDB": {"server_version": "11.2-YB-2.20.1.0-b0"},
    "PostgreSQL": {"server_version": "18.1 (Debian 18.1-1.pgdg12+1)"},
}


def connection(parameters: Mapping[str, str]) -> Any:
    info = SimpleNamespace(parameter_status=parameters.get)
    return SimpleNamespace(connection=SimpleNamespace(driver_connection=SimpleNamespace(info=info)))


@pytest.mark.parametrize("product", SAID)
def test_who_it_is(product: str) -> None:
    assert AnyPostgreSQL().met(connection(SAID[product])).product == product


def test_a_driver_that_does_not_say() -> None:
    silent = SimpleNamespace(connection=SimpleNamespace(driver_connection=SimpleNamespace()))
    assert AnyPostgreSQL().met(silent).product == "PostgreSQL"  # type: ignore[arg-type]


def test_the_name_of_its_own_dialect() -> None:
    assert isinstance(dialect_named("cockroachdb"), CockroachDB)


@pytest.mark.parametrize("dialect", [CockroachDB(), YugabyteDB()])
def test_what_neither_promises(dialect: CockroachDB) -> None:
    promised = (dialect.has_lock, dialect.has_session_lock, dialect.has_transactional_ddl)
    assert promised == (False, False, False)
    assert (dialect.claim_sql("x", session=True), dialect.release_sql("x")) == ("", "")
    assert dialect.is_held_up(ServerError("restart transaction", "40001"))
    assert dialect.no_transaction_reason(("CREATE", "TABLE", "T")) == "CREATE TABLE"
    assert dialect.no_transaction_reason(("INSERT", "INTO", "T")) is None
    assert (
        dialect.no_transaction_reason(("CREATE", "INDEX", "CONCURRENTLY", "I")) == "CREATE INDEX CONCURRENTLY"
    )
    assert dialect.may_be_atomic("UPSERT INTO t VALUES (1)")
    assert not dialect.may_be_atomic("CREATE TABLE t (id int)")


# --- an exchange ------------------------------------------------------------------------------------------


def message(kind: bytes, content: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(content) + 4) + content


def row(value: str) -> bytes:
    """One row of one text column, and its end (55.7)."""
    column = b"version\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0)
    data = value.encode()
    return (
        message(b"T", struct.pack("!h", 1) + column)
        + message(b"D", struct.pack("!hi", 1, len(data)) + data)
        + message(b"C", b"SELECT 1\0")
    )


def answer(client: socket.socket) -> None:
    """What CockroachDB sends to whoever connects and asks for its version."""
    stream = client.makefile("rb")
    while True:
        (length,) = struct.unpack("!i", stream.read(4))
        (code,) = struct.unpack("!i", stream.read(length - 4)[:4])
        if code == 196608:  # 3.0; else it asks for encryption
            break
        client.sendall(b"N")
    parameters = {"client_encoding": "UTF8", "standard_conforming_strings": "on", **SAID["CockroachDB"]}
    greeting = message(b"R", struct.pack("!i", 0))
    for name, value in parameters.items():
        greeting += message(b"S", f"{name}\0{value}\0".encode())
    ready = message(b"Z", b"I")
    client.sendall(greeting + message(b"K", struct.pack("!ii", 1, 1)) + ready)
    while kind := stream.read(1):
        (length,) = struct.unpack("!i", stream.read(4))
        query = stream.read(length - 4)
        if kind == b"X":
            return
        client.sendall((row(COCKROACH) if b"version()" in query else message(b"C", b"BEGIN\0")) + ready)


@contextmanager
def cockroach() -> Iterator[int]:
    """The port of a server that has nothing but this to say."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)

        clients: list[socket.socket] = []

        def serve() -> None:
            with suppress(OSError):
                client, _ = server.accept()
                clients.append(client)
                with client:
                    client.settimeout(30)
                    answer(client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        for client in clients:  # whoever has connected may keep that open for as long as its error is held
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        thread.join(30)


def test_by_a_url_of_postgresqls() -> None:
    with (
        cockroach() as port,
        pytest.raises(ConfigError) as caught,
        reach(f"postgresql://root@127.0.0.1:{port}/defaultdb"),
    ):
        pass
    said = str(caught.value)
    del caught  # it holds the connection
    close_what_is_left_open()
    assert said == (
        "the server is CockroachDB, which SQLAlchemy does not take for PostgreSQL\n"
        "for CockroachDB: pip install sqlalchemy-cockroachdb, and write cockroachdb+psycopg://"
    )
