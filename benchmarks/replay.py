"""A server that answers what a real one has answered before, after a time, and does no work for it.

What a client sends to PostgreSQL for the same files is the same for each database, byte for byte, and so is
what it has to hear. So what passes is recorded for some (`Recorder`), and then repeated for any number
(`repeating`): that shows what a client costs by itself, also of ten thousand databases that no machine could
have.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedIOBase
    from pathlib import Path
    from typing import Self

__all__ = ["Exchange", "Recorder", "repeating"]

Exchange: TypeAlias = list[tuple[bytes, bytes]]
"""What the client sends and what it hears then, in order. The first one is the start-up."""

NAME = ".s.PGSQL.5432"
"""A socket's, in its folder (20.3.1)."""
_ANSWERED = b"QS"
"""Query and Sync, which the server answers up to ReadyForQuery (54.2)."""
_TERMINATE, _READY = b"X", b"Z"
_MANY = 1024


class Recorder:
    """Passes connections on, one after the other, between a socket of its own and the server's.

    Attributes:
        exchanges: What has passed, by connection.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        """Listens at once.

        Args:
            folder: Where its socket is to be.
            server: The server's socket.
        """
        self.exchanges: list[Exchange] = []
        self._server, self._path = server, folder / NAME
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self._path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)  # which ends the waiting for a connection
        self._thread.join()
        self._listening.close()
        self._path.unlink()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                self._pass_on(self._listening.accept()[0])

    def _pass_on(self, accepted: socket.socket) -> None:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self._server))
        client, server = accepted.makefile("rwb"), connection.makefile("rwb")
        exchange: Exchange = []
        with accepted, connection, client, server:
            request = _message(client)
            while request:
                server.write(request)
                server.flush()
                answer, kind = b"", b""
                while kind != _READY:
                    kind = server.read(1)
                    answer += kind + _message(server)
                exchange.append((request, answer))
                client.write(answer)
                client.flush()
                request = _asked(client)
        self.exchanges.append(exchange)


@contextmanager
def repeating(folder: Path, exchanges: list[Exchange], latency_s: float) -> Iterator[None]:
    """A process that answers so on a socket in the folder, to any number at once, each time so much later.

    Who says what was not said in one of the exchanges has his connection closed.
    """
    context = multiprocessing.get_context("forkserver")
    ready = context.Event()
    process = context.Process(
        target=_repeat, args=(str(folder / NAME), exchanges, latency_s, ready), daemon=True
    )
    process.start()
    ready.wait()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _message(stream: BufferedIOBase) -> bytes:
    """What stands behind a message's type: its length, which is a part of it, and the rest."""
    length = stream.read(4)
    return length + stream.read(struct.unpack("!i", length)[0] - 4)


def _asked(stream: BufferedIOBase) -> bytes:
    """The client's messages up to one that is answered; none at the end."""
    request = b""
    while (kind := stream.read(1)) not in {b"", _TERMINATE}:
        request += kind + _message(stream)
        if kind in _ANSWERED:
            return request
    return b""


def _repeat(path: str, exchanges: list[Exchange], latency_s: float, ready: threading.Event) -> None:
    async def message(reader: asyncio.StreamReader) -> bytes:
        length = await reader.readexactly(4)
        return length + await reader.readexactly(struct.unpack("!i", length)[0] - 4)

    async def asked(reader: asyncio.StreamReader) -> bytes:
        request = b""
        while (kind := await reader.readexactly(1)) != _TERMINATE:
            request += kind + await message(reader)
            if kind in _ANSWERED:
                return request
        return b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await message(reader)  # the start-up has the database's name in it
            possible, number = exchanges, 0
            while possible:
                await asyncio.sleep(latency_s)
                writer.write(possible[0][number][1])
                request, number = await asked(reader), number + 1
                possible = [each for each in possible if len(each) > number and each[number][0] == request]
        writer.close()

    async def listen() -> None:
        server = await asyncio.start_unix_server(serve, path, backlog=_MANY)
        ready.set()
        await server.serve_forever()

    asyncio.run(listen())
