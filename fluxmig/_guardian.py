"""Stops an embedded server once nobody uses it: a process of its own, which outlives the server's users.

`embedded` runs it as `python -I -S _guardian.py FOLDER`, so it knows the standard library and nothing else.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

SOCKET = ".s.PGSQL.5432"
SOCKET_PREFIX = "fluxmig-socket-"  # of a socket's folder elsewhere; only such a one is ever removed
_YOUNG_S = 10.0  # from writing its pid file to listening, a server needs milliseconds
_STOP = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0))  # a fast shutdown, then an immediate one


def find(data: Path) -> tuple[int, Path] | None:
    """The pid of the server that runs on `data` and the folder of its socket, or None if none does.

    The pid file proves nothing: its process may be gone, and the number somebody else's. But who listens on
    the socket, in a folder that only the server's user may enter, is the server. Waits for a server that is
    about to listen, for `_YOUNG_S` at most.
    """
    while (data / "postmaster.pid").exists():
        with suppress(FileNotFoundError):
            pid, folder, written = _pid_file(data)
            with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
                client.connect(str(folder / SOCKET))
                if sys.platform == "linux":  # the listener's pid here: 0 in another container
                    peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
                    pid = struct.unpack("3i", peer)[0]
                return pid, folder
            if time.time() - written > _YOUNG_S or (pid and not _alive(pid)):
                return None
        time.sleep(0.01)
    return None


def stop(data: Path) -> None:
    """Stops the server on `data`, if there is one, and removes what it or a crashed one left."""
    pid, folder = find(data) or (0, data)
    for signum, patience_s in _STOP if pid else ():
        with suppress(ProcessLookupError):
            os.kill(pid, signum)
        deadline = time.monotonic() + patience_s
        while _alive(pid) and (data / "postmaster.pid").exists():  # the file is the last thing to go
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        else:
            break
    clear(data, folder)


def clear(data: Path, folder: Path) -> None:
    """Removes what a dead server left on `data`, and its socket in `folder`; nothing of a live one."""
    if find(data):
        return
    folders = {data, folder}
    with suppress(FileNotFoundError):
        pid, folder, _ = _pid_file(data)
        folders.add(folder)
        if not pid or _exists(pid):  # else the file stays: the next server looks for orphans with it
            (data / "postmaster.pid").unlink()
    for each in folders:
        if each == data or each.name.startswith(SOCKET_PREFIX):
            (each / SOCKET).unlink(missing_ok=True)
            (each / f"{SOCKET}.lock").unlink(missing_ok=True)
            with suppress(OSError):  # the data folder is not empty
                each.rmdir()


def _pid_file(data: Path) -> tuple[int, Path, float]:
    path = data / "postmaster.pid"
    lines = path.read_text(errors="surrogateescape").splitlines() + [""] * 5
    return int(lines[0]) if lines[0].isdigit() else 0, data / lines[4], path.stat().st_mtime


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:  # nobody, or somebody whom this user may not signal, so not a server of this user
        return False
    return True


def _alive(pid: int) -> bool:
    state = ""
    with suppress(OSError):  # no /proc but on Linux, and there are containers that keep zombies
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    return _exists(pid) and state != "Z"


def main(folder: Path) -> None:
    """Waits until nobody holds users.lock, and stops the server. A second guardian returns at once."""
    lock = folder / "users.lock"
    with lock.open("ab") as users, (folder / "guardian.lock").open("ab") as only, suppress(BlockingIOError):
        fcntl.flock(only, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(users, fcntl.LOCK_EX)
        if os.path.samestat(os.fstat(users.fileno()), lock.stat()):  # else it is another folder by now
            stop(folder / "data")
        # `only` is closed before `users`, or the next user could take this guardian for one that stays.


if __name__ == "__main__":
    main(Path(sys.argv[1]))
