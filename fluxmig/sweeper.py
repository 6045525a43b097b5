"""Removes what a process was to remove, when it has gone without: a process of its own, which outlives it.

The one that is watched writes what it makes before it makes it, as lines of JSON into a pipe. Where the pipe
ends before it has taken a line back, however that came, what the line names is removed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

__all__ = ["Sweeper", "remove_folder"]

_PATIENCE_S = 10.0


@dataclass
class Sweeper:
    """The process, and what it knows of. For use by several threads at once."""

    _process: subprocess.Popen[str] = field(init=False)
    _numbers: count[int] = field(default_factory=count)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        # In a session of its own: Ctrl-C in the terminal is for the one that is watched.
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            text=True,
            start_new_session=True,
        )

    def watch(self, kind: str, **facts: str) -> int:
        """Notes what is to be removed; call it before it is made. Gives the number to forget it by."""
        number = next(self._numbers)
        self._tell({"number": number, "kind": kind, **facts})
        return number

    def forget(self, number: int) -> None:
        """Takes back what has been removed."""
        self._tell({"number": number})

    def close(self) -> None:
        """Has removed what is left."""
        with suppress(BrokenPipeError):
            self._process.communicate(timeout=_PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tell(self, line: dict[str, Any]) -> None:
        pipe = self._process.stdin
        with self._lock, suppress(BrokenPipeError):  # it was killed; what is removed in time needs it not
            if pipe:
                pipe.write(json.dumps(line) + "\n")
                pipe.flush()


def remove_folder(folder: Path) -> None:
    """Removes a folder with all that is in it: an embedded server, too, once its users are gone."""
    server = folder / "pg"
    with suppress(FileNotFoundError):
        _stop_server(server)
    kept_elsewhere = server.resolve() if server.is_symlink() else None
    deadline = time.monotonic() + _PATIENCE_S
    while folder.exists() and time.monotonic() < deadline:  # initdb may still be at work
        shutil.rmtree(folder, ignore_errors=True)
    if kept_elsewhere:
        shutil.rmtree(kept_elsewhere, ignore_errors=True)


def _stop_server(folder: Path) -> None:
    import fcntl  # noqa: PLC0415  # where there is an embedded server, there is fcntl

    from fluxmig import _guardian  # noqa: PLC0415

    with (folder / "users.lock").open("ab") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        _guardian.stop(folder / "data")


def _remove_database(url: str, name: str) -> None:
    from fluxmig.databases import on_server  # noqa: PLC0415  # loads SQLAlchemy

    with on_server(url) as databases:
        databases.drop(name)


def _remove_containers(owner: str) -> None:
    from fluxmig.containers import remove  # noqa: PLC0415  # loads the container engine's client

    remove(owner)


_REMOVERS: Final[dict[str, Callable[..., None]]] = {
    "folder": lambda path: remove_folder(Path(path)),
    "database": _remove_database,
    "containers": _remove_containers,
}


def main(lines: Iterable[str]) -> None:
    """Hears until the pipe ends, and removes what is left, the last thing first."""
    noted: dict[int, dict[str, str]] = {}
    for line in lines:
        with suppress(ValueError):  # cut off by the end
            facts = json.loads(line)
            number = facts.pop("number")
            noted.pop(number, None)
            if facts:
                noted[number] = facts
    for facts in reversed(noted.values()):
        with suppress(Exception):
            _REMOVERS[facts.pop("kind")](*facts.values())


if __name__ == "__main__":
    with open(0, encoding="utf-8") as pipe:
        main(pipe)
