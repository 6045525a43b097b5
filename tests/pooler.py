"""A real PgBouncer in front of a test's database, where it is installed.

With `FLUXMIG_TEST_REQUIRE=pgbouncer`, its absence is a failure and no skip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
from sqlalchemy import make_url

from fluxmig import _accounts
from tests.dying import dying_with_this
from tests.support import Database, cannot_be_had, roomy

if TYPE_CHECKING:
    from collections.abc import Iterator

_PORT = 6432  # in the socket's name; no port is opened
_LIMIT_S = 120


@contextmanager
def pgbouncer(database: Database, mode: str, **settings: object) -> Iterator[Database]:
    """The database through a PgBouncer of its own, in a mode: transaction, session or statement.

    Args:
        database: On a server that this machine's PgBouncer can reach by the URL's host.
        mode: PgBouncer's `pool_mode`.
        settings: More of its settings.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None:
        cannot_be_had("pgbouncer", "PgBouncer is not installed")
    url = make_url(database.url)
    folder = Path(tempfile.mkdtemp(prefix="pgb-", dir=roomy()))
    account = _accounts.account_for(folder / "none")  # it refuses to run as root, as PostgreSQL does
    if account:
        os.chown(folder, account["user"], account["group"])
    server = f"host={url.query.get('host') or url.host} port={url.query.get('port') or url.port}"
    lines = {
        "pool_mode": mode,
        "unix_socket_dir": folder,
        "listen_port": _PORT,
        "auth_type": "any",
        **settings,
    }
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n* = {server} user={url.username}\n[pgbouncer]\n"
        + "".join(f"{name} = {value}\n" for name, value in lines.items())
    )
    said = folder / "said"
    through = (
        f"postgresql+psycopg://{url.username}@/{url.database}?host={quote(str(folder), '')}&port={_PORT}"
    )
    pooled = Database(database.source, through)
    with said.open("wb") as output:
        running = subprocess.Popen(
            [*dying_with_this("KILL"), program, configuration],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **account,
        )
    try:
        _wait_for(running, said)
        yield pooled
    finally:
        pooled.dispose()
        running.kill()
        running.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(running: subprocess.Popen[Any], said: Path) -> None:
    deadline = time.monotonic() + _LIMIT_S
    # It says so behind listen(), before which its socket is there; and a knock would be a client.
    while b"process up" not in said.read_bytes():
        assert running.poll() is None, said.read_text()
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.01)


def client(database: Database) -> psycopg.Connection:
    """A client that is not fluxmig, in autocommit; to be closed."""
    url = make_url(database.url).set(drivername="postgresql")
    words = url.render_as_string(hide_password=False)
    return psycopg.connect(words, autocommit=True, prepare_threshold=None)
