"""MariaDB's server and MySQL's own, each on data of the tests' own behind a socket.

MariaDB's is the one that is installed. MySQL's is what `FLUXMIG_TEST_MYSQLD` names, or a `mysqld` that is not
MariaDB's; `.ci/mysql` fetches one.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.dying import dying_with_this

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MARIADB", "MYSQL", "Program"]

_SBIN: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
_FAST: Final = [
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=32M",
    "--innodb-doublewrite=0",
    "--skip-log-bin",
    "--character-set-server=utf8mb4",
]
# Whoever waits for a table that nobody gives back is a failure, and not a day's wait.
_OPTIONS: Final = ["--skip-networking", "--lock-wait-timeout=30", "--max-connections=200"]


@dataclass(frozen=True)
class Program:
    """A program that is such a server.

    Attributes:
        source: What tests call it.
        path: The program; None where there is none.
        missing: What to say then.
        installer: What makes its data, and with which options.
        options: What is its own.
    """

    source: str
    path: str | None
    missing: str
    installer: Sequence[str | None]
    options: Sequence[str]

    def install(self, folder: Path) -> str | None:
        """Makes its data in a folder; gives why that cannot be done, or None."""
        installer, *options = self.installer
        if not (self.path and installer):
            return self.missing
        (folder / "tmp").mkdir()  # of its own: a server that starts takes away what others have in theirs
        command = [installer, *self._common(folder), *filter(None, options)]
        with (folder / "log").open("wb") as log:
            if subprocess.run(command, stdout=log, stderr=log, check=False, timeout=120).returncode:
                return f"{Path(installer).name} failed: {_end_of_log(folder)}"
        return None

    def start(self, folder: Path, *options: str) -> subprocess.Popen[bytes] | str:
        """Starts the server on that data, up to where it listens; or gives why it did not."""
        assert self.path
        (folder / "socket").unlink(missing_ok=True)  # one that was killed leaves it there
        places = [f"--socket={folder}/socket", f"--pid-file={folder}/pid"]
        command = [*dying_with_this("KILL"), self.path, *self._common(folder), *places, *_OPTIONS, *options]
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while not _listens(folder / "socket"):
            if process.poll() is not None or time.monotonic() > deadline:
                return f"{self.source}'s server did not start: {_end_of_log(folder)}"
            time.sleep(0.02)
        return process

    def url(self, folder: Path) -> str:
        """A URL of its superuser."""
        return f"{self.source}+pymysql://root@localhost?unix_socket={folder}/socket"

    def _common(self, folder: Path) -> list[str]:
        common = ["--no-defaults", f"--datadir={folder}/data", f"--tmpdir={folder}/tmp", *_FAST]
        return [*common, *self.options, *["--user=root"] * (os.geteuid() == 0)]


def _mysqld() -> str | None:
    """MySQL's own; MariaDB has its name as well."""
    named = os.environ.get("FLUXMIG_TEST_MYSQLD") or shutil.which("mysqld", path=_SBIN)
    return named if named and Path(named).resolve().name != "mariadbd" else None


def _end_of_log(folder: Path) -> str:
    return (folder / "log").read_text(errors="replace")[-2000:]


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


MARIADB: Final = Program(
    "mariadb",
    shutil.which("mariadbd", path=_SBIN),
    "there is no mariadbd; Debian's package is mariadb-server",
    [
        shutil.which("mariadb-install-db", path=_SBIN),
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ],
    ["--innodb-log-file-size=8M", "--key-buffer-size=64K", "--aria-pagecache-buffer-size=8M"],
)
MYSQL: Final = Program(
    "mysql",
    _mysqld(),
    "there is no mysqld of MySQL's; FLUXMIG_TEST_MYSQLD names one, and `.ci/mysql` fetches it",
    [_mysqld(), "--initialize-insecure"],
    ["--innodb-redo-log-capacity=16M", "--secure-file-priv=", "--mysqlx=OFF"],
)
