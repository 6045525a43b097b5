"""Two places with a wire between them, which can be cut: network namespaces of Linux, for root.

No packet of theirs leaves them. Names are this process's own, and go in the end with all that is in them.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support import cannot_be_had

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = itertools.count()
_NOBODY = "02:00:00:00:00:01"
"""A hardware address that no card has."""


@dataclass(frozen=True)
class Place:
    """One end of the wire.

    Attributes:
        name: Of the namespace.
        card: Of the wire's end there.
        address: Its address.
        prefix: What runs a program there, as root.
    """

    name: str
    card: str
    address: str

    @property
    def prefix(self) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.name}", "--"]

    def ip(self, *args: str) -> None:
        _run("ip", "-netns", self.name, *args)


@dataclass(frozen=True)
class Wire:
    """Two places. A cut wire looks whole from both ends, and what is sent arrives nowhere."""

    server: Place
    client: Place

    def cut(self) -> None:
        for here, there in ((self.server, self.client), (self.client, self.server)):
            to = (there.address, "dev", here.card, "lladdr", _NOBODY, "nud", "permanent")
            here.ip("neighbour", "replace", *to)

    def mend(self) -> None:
        for place in (self.server, self.client):
            place.ip("neighbour", "flush", "dev", place.card, "nud", "permanent")


@contextmanager
def wire() -> Iterator[Wire]:
    """A wire; skips the test where none can be had."""
    if os.geteuid() != 0:
        cannot_be_had("namespaces", "only root can make network namespaces")
    if missing := [program for program in ("ip", "nsenter") if not shutil.which(program)]:
        cannot_be_had("namespaces", f"no program {' and no '.join(missing)}")
    number = f"{os.getpid()}x{next(_numbers)}"
    server = Place(f"fluxmig-{number}-server", f"fs{number}"[:15], "10.213.7.1")
    client = Place(f"fluxmig-{number}-client", f"fc{number}"[:15], "10.213.7.2")
    places = (server, client)
    try:
        try:
            for place in places:
                _run("ip", "netns", "add", place.name)
            ends = (server.card, "netns", server.name, "type", "veth", "peer", "name", client.card)
            _run("ip", "link", "add", *ends, "netns", client.name)
            for place in places:
                place.ip("address", "add", f"{place.address}/30", "dev", place.card)
                place.ip("link", "set", place.card, "up")
        except subprocess.CalledProcessError as error:
            cannot_be_had("namespaces", f"{' '.join(error.cmd)}: {error.stderr.strip()}")
        yield Wire(server, client)
    finally:
        for place in places:  # the wire goes with its ends
            subprocess.run(["ip", "netns", "delete", place.name], capture_output=True, check=False)


def _run(*command: str) -> None:
    subprocess.run(command, capture_output=True, text=True, check=True)
