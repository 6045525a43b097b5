"""A proxy on the loopback interface that makes a server seem far away, and counts the round trips to it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

__all__ = ["Relay", "Traffic"]

_CHUNK = 2**18


@dataclass(slots=True)
class Traffic:
    """What has passed.

    Attributes:
        connections: How many clients have come.
        round_trips: How often a server answered what a client had sent, those of connecting among them. What
            is sent without waiting for an answer belongs to the next one.
    """

    connections: int = 0
    round_trips: int = 0


class Relay:
    """Between clients on the loopback interface and a server's Unix socket, until the context ends.

    Attributes:
        port: Where clients connect, on 127.0.0.1.
        traffic: What has passed so far.
    """

    def __init__(self, socket: Path, *, round_trip_ms: float = 0.0) -> None:
        """Listens at once.

        Args:
            socket: The server's.
            round_trip_ms: By how much a round trip is longer than to the server itself.
        """
        self.traffic = Traffic()
        self._socket, self._delay_s = socket, round_trip_ms / 2000
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        listening = asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result()
        self.port = int(self._server.sockets[0].getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.traffic.connections += 1
        server, to_server = await asyncio.open_unix_connection(str(self._socket))
        unanswered = asyncio.Event()
        await asyncio.gather(
            self._pass_on(client, to_server, unanswered, is_client=True),
            self._pass_on(server, to_client, unanswered, is_client=False),
        )

    async def _pass_on(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        unanswered: asyncio.Event,
        *,
        is_client: bool,
    ) -> None:
        """Everything that one side says, as late as the distance has it; its end is the other's."""
        try:
            while data := await source.read(_CHUNK):
                if is_client:
                    unanswered.set()
                elif unanswered.is_set():
                    unanswered.clear()
                    self.traffic.round_trips += 1
                if self._delay_s:
                    self._loop.call_later(self._delay_s, target.write, data)
                else:
                    target.write(data)
        except ConnectionError:
            pass
        self._loop.call_later(self._delay_s, target.close)
