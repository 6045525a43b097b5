"""A proxy that knows just enough of PostgreSQL's protocol to fail exactly where a test wants it to.

It counts round trips: from what the client sends when nothing of it is unanswered, to ReadyForQuery from the
server (54.2 of the manual). The first one of a connection is its start-up. What has no answer (Terminate,
CancelRequest) is passed on and not counted.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import threading
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from tests.faults.support import LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

_ENCRYPTION = {80877103, 80877104}  # SSLRequest, GSSENCRequest (54.7)
_CANCEL = 80877102
_ASKS = b"QSp"  # Query, Sync and a password are answered; what stands between is not
_WANTS_ROWS = b"GHW"  # COPY: the server answers, and then waits for the client


class Moment(StrEnum):
    """Where in its round trip a fault happens."""

    BEFORE = "before the server has it"
    SENT = "when the server has it"
    ANSWERED = "when the server has answered, and before the client has that"
    AFTER = "when the client has the answer"


class Fault(StrEnum):
    """What a connection does.

    RESET is for both ends, as far as a Unix socket knows that; CUT for the client alone, while the server
    does not notice. In a HOLE everything is accepted and nothing arrives, on new connections neither.
    """

    RESET = "reset"
    CUT = "cut"
    HOLE = "hole"


@dataclass(frozen=True)
class At:
    """When to do what.

    Attributes:
        round_trip: The number of it, from 1, over all connections.
        moment: Where in it.
        fault: What happens then; or what is called, and then both ends are closed.
    """

    round_trip: int
    moment: Moment
    fault: Fault | Callable[[], None]


@dataclass
class _Link:
    """A client's connection, and the one to the server that belongs to it.

    Attributes:
        round_trip: The number of that which is under way; 0 in between.
        is_started: Whether the client has said who it is; what it sends before has no type (54.2.1).
        is_counted: Whether its round trips are.
        single_bytes: How many answers are a single byte: those to a wish for encryption.
        from_client: What is no whole message yet.
        from_server: Likewise.
        withheld: The server's answer, where the client is not to have it yet.
    """

    client: socket.socket
    server: socket.socket
    round_trip: int = 0
    is_started: bool = False
    is_counted: bool = True
    single_bytes: int = 0
    from_client: bytes = b""
    from_server: bytes = b""
    withheld: bytes = b""


_SOMETIMES = b"fluxmig lookout"
"""The name of a connection that a run makes on a slow machine alone: nobody counts on its round trips."""


class Proxy:
    """Between clients on the loopback interface and a server on a Unix socket; runs until it is closed.

    Attributes:
        queries: What each round trip began with, for people.
        happened: Set when the fault happens.
    """

    def __init__(self, url: str, at: At | None = None) -> None:
        """Listens.

        Args:
            url: The server's database; `host` is the folder of the socket.
            at: When to do what; None is never.
        """
        self._url = make_url(url)
        self._at = at
        self.queries: list[str] = []
        self.happened = threading.Event()
        self._swallows = False
        self._error: BaseException | None = None
        self._sockets: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._end, self._ended = os.pipe()
        self._selector.register(self._end, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._thread = threading.Thread(target=self._serve, name="proxy")
        self._thread.start()

    @property
    def url(self) -> str:
        """The database through the proxy."""
        host, port = self._listener.getsockname()
        return f"postgresql+psycopg://{self._url.username}@{host}:{port}/{self._url.database}"

    def close(self) -> None:
        """Closes both ends of everything, and raises what has gone wrong in between."""
        os.write(self._ended, b"x")
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()
        self._selector.close()
        for each in (*self._sockets, self._listener):
            each.close()
        os.close(self._end)
        os.close(self._ended)
        if self._error:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- in the thread ------------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            while True:
                for key, _ in self._selector.select():
                    if key.fd == self._end:
                        return
                    if self._selector.get_map().get(key.fd) == key:  # else it has gone just now
                        key.data()
        except BaseException as error:  # noqa: BLE001  # `close` raises it
            self._error = error

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        self._sockets.add(client)
        if self._swallows:
            return
        server = socket.socket(socket.AF_UNIX)
        self._sockets.add(server)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(LIMIT_S)
        server.settimeout(LIMIT_S)
        link = _Link(client, server)
        try:
            server.connect(f"{self._url.query['host']}/.s.PGSQL.{self._url.query['port']}")
        except OSError:  # there is no server just now
            self._close(client)
            self._close(server)
            return
        self._selector.register(client, selectors.EVENT_READ, partial(self._hear, link, client))
        self._selector.register(server, selectors.EVENT_READ, partial(self._hear, link, server))

    def _hear(self, link: _Link, side: socket.socket) -> None:
        """Passes on what one side says; its end is the other's."""
        try:
            received = side.recv(2**20)
            if received and side is link.client:
                self._from_client(link, received)
            elif received:
                self._from_server(link, received)
        except ConnectionError:
            received = b""
        if not received:
            self._close(link.client)
            self._close(link.server)

    def _from_client(self, link: _Link, received: bytes) -> None:
        link.from_client += received
        while message := _message(link.from_client, typed=link.is_started):
            link.from_client = link.from_client[len(message) :]
            asks = message[:1] in _ASKS
            if not link.is_started:
                code = int.from_bytes(message[4:8])
                link.single_bytes += code in _ENCRYPTION
                link.is_started = asks = code not in {*_ENCRYPTION, _CANCEL}
                link.is_counted = _SOMETIMES not in message
            if link.is_started and link.is_counted and message[:1] != b"X" and not link.round_trip:
                self.queries.append(_query(message))
                link.round_trip = len(self.queries)
                if self._fails(link, Moment.BEFORE):
                    return
            link.server.sendall(message)
            if asks and self._fails(link, Moment.SENT):
                return

    def _from_server(self, link: _Link, received: bytes) -> None:
        link.from_server += received
        while link.from_server:
            message = link.from_server[:1] if link.single_bytes else _message(link.from_server)
            if not message:
                break
            link.single_bytes -= bool(link.single_bytes)
            link.from_server = link.from_server[len(message) :]
            link.withheld += message
            is_last = message[:1] == b"Z"
            if is_last and self._fails(link, Moment.ANSWERED):
                return
            if is_last or message[:1] in _WANTS_ROWS or not self._is_at(link, Moment.ANSWERED):
                link.client.sendall(link.withheld)
                link.withheld = b""
            if is_last and self._fails(link, Moment.AFTER):
                return
            if is_last:
                link.round_trip = 0

    # --- faults -------------------------------------------------------------------------------------------

    def _is_at(self, link: _Link, moment: Moment) -> bool:
        at = self._at
        return at is not None and (at.round_trip, at.moment) == (link.round_trip, moment)

    def _fails(self, link: _Link, moment: Moment) -> bool:
        """Whether the fault was to happen here; then it has."""
        if self._at is None or not self._is_at(link, moment):
            return False
        fault, self._at = self._at.fault, None
        self.happened.set()
        match fault:
            case Fault.RESET:
                self._close(link.client, reset=True)
                self._close(link.server)
            case Fault.CUT:
                self._close(link.client, reset=True)
                self._selector.unregister(link.server)
            case Fault.HOLE:
                self._swallows = True
                for key in list(self._selector.get_map().values()):
                    if key.fileobj in self._sockets:
                        self._selector.unregister(key.fileobj)
            case call:
                call()
                self._close(link.client)
                self._close(link.server)
        return True

    def _close(self, side: socket.socket, *, reset: bool = False) -> None:
        if side not in self._sockets:
            return
        self._sockets.remove(side)
        if side in self._selector.get_map():
            self._selector.unregister(side)
        if reset:
            side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        side.close()


def _message(data: bytes, *, typed: bool = True) -> bytes:
    """The first message of the data (54.7), or nothing if that is not whole yet."""
    length = int.from_bytes(data[typed : typed + 4]) + typed if len(data) >= typed + 4 else len(data) + 1
    return data[:length] if len(data) >= length else b""


def _query(message: bytes) -> str:
    """The query of a message, or its type."""
    match message[:1]:
        case b"Q":
            text = message[5:-1]
        case b"P":
            text = message[5:].split(b"\0")[1]
        case b"\0":
            text = b"(start-up)"
        case kind:
            text = kind
    return text.decode(errors="replace")
