"""Removes what a process was to remove, when it has gone without: a process of its own, which outlives it.

The one that is watched writes what it makes before it makes it, as lines of JSON into a pipe. Where the pipe
ends before it has taken a line back, however that came, what the line names is removed.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from io import FileIO
    from typing import Self

__all__ = ["Sweeper", "remove_folder"]

_PATIENCE_S = 10.0
_LATER_S = 3600.0


@dataclass
class Sweeper:
    """The process, and what it knows of. For use by several threads at once."""

    _process: subprocess.Popen[str] = field(init=False)
    _numbers: count[int] = field(default_factory=count)
    _lock: Lock = field(default_factory=Lock)
    postponed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        # In a session of its own: Ctrl-C in the terminal is for the one that is watched.
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
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
        """Takes back what has been removed, or what is to stay."""
        self._tell({"number": number})

    def postpone(self, number: int, folder: Path) -> None:
        """Has a folder stay, and the server in it run, for an hour behind the end of this process."""
        if number in self.postponed:
            return
        self.postponed.add(number)
        self._tell({"number": number, "kind": "later", "path": str(folder)})
        if self._process.stdout:
            self._process.stdout.readline()  # it uses the folder now

    def close(self) -> None:
        """Has removed what is left, but for what was postponed; what takes long goes on behind this."""
        with suppress(BrokenPipeError, subprocess.TimeoutExpired):
            if not self.postponed:
                self._process.communicate(timeout=_PATIENCE_S)
        for pipe in filter(None, (self._process.stdin, self._process.stdout)):
            with suppress(BrokenPipeError):
                pipe.close()
        if self._process.returncode is None:
            self._process.returncode = 0  # nobody waits for it

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


def remove_folder(folder: Path, *, wait: bool) -> None:
    """Removes a folder of scratch databases, and the server in it, once nobody uses it any more.

    Args:
        folder: As `scratch` makes it.
        wait: Whether to wait for those who use it; otherwise they are left to do the same.
    """
    from fluxmig import embedded  # noqa: PLC0415  # not before something is to be removed

    try:
        users = embedded.lock(folder / "users.lock", wait=wait)
    except FileNotFoundError:
        return
    if users is None:
        return
    with users:
        container, server = folder / "container", folder / "pg"
        if container.exists():
            from fluxmig.containers import remove  # noqa: PLC0415  # loads the container engine's client

            with suppress(Exception):  # without an engine there is no container either
                remove(folder.name)
        if server.exists():
            _stop_server(server)
        kept_elsewhere = server.resolve() if server.is_symlink() else None
        gone = folder.rename(folder.with_name(f"{folder.name}.gone"))  # whoever comes now makes it anew
    for each in filter(None, (gone, kept_elsewhere)):
        deadline = time.monotonic() + _PATIENCE_S
        while each.exists() and time.monotonic() < deadline:  # initdb may still be at work
            shutil.rmtree(each, ignore_errors=True)


def _stop_server(folder: Path) -> None:
    from fluxmig import _guardian, embedded  # noqa: PLC0415  # likewise

    with suppress(FileNotFoundError):
        users = embedded.lock(folder / "users.lock")
        _guardian.stop(folder / "data")
        if users:
            users.close()


def _remove_database(url: str, name: str) -> None:
    from fluxmig.databases import on_server  # noqa: PLC0415  # loads SQLAlchemy

    with on_server(url) as databases:
        databases.drop(name)


def _held(folder: Path) -> list[FileIO | None]:
    """The folder's locks, so that nobody else stops what is in it."""
    from fluxmig import embedded  # noqa: PLC0415

    paths = [folder / "users.lock", folder / "pg" / "users.lock"]
    return [embedded.lock(path, shared=True) for path in paths if path.exists()]


_REMOVERS: Final[dict[str, Callable[..., None]]] = {
    "folder": lambda path: remove_folder(Path(path), wait=True),
    "database": _remove_database,
}


def main(lines: Iterable[str], said: TextIO) -> None:
    """Hears until the pipe ends, and removes what is left, the last first; later what was postponed."""
    is_asked = Event()
    signal.signal(signal.SIGTERM, lambda *_: is_asked.set())  # not before there is something to remove
    noted: dict[int, dict[str, str]] = {}
    later: dict[str, list[FileIO | None]] = {}
    for line in lines:
        with suppress(ValueError):  # cut off by the end
            facts = json.loads(line)
            number = facts.pop("number")
            noted.pop(number, None)
            if facts.get("kind") == "later":
                later[facts["path"]] = _held(Path(facts["path"]))
                said.write("held\n")
                said.flush()
            elif facts:
                noted[number] = facts
    for facts in reversed(noted.values()):
        with suppress(Exception):
            _REMOVERS[facts.pop("kind")](*facts.values())
    if later:
        is_asked.wait(_LATER_S)
    for path, locks in later.items():
        for lock in filter(None, locks):
            lock.close()
        remove_folder(Path(path), wait=True)


if __name__ == "__main__":
    with open(0, encoding="utf-8") as pipe, open(1, "w", encoding="utf-8") as answers:
        main(pipe, answers)
