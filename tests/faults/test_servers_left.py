"""What a session of these tests leaves running or lying about when it is killed: nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from tests.cli.support import environment
from tests.faults.support import LIMIT_S, running, until

if TYPE_CHECKING:
    from tests.support import Servers

SESSION = """
import sys
from tests.support import Servers
servers = Servers()
for source in sys.argv[1:]:
    print(servers.get(source).admin_url, flush=True)
sys.stdin.readline()
"""


def socket_of(url: str) -> Path | None:
    """The Unix socket of a server in a folder of its own; None for one in a container."""
    place = make_url(url).query
    if "host" in place:
        return Path(str(place["host"]), f".s.PGSQL.{place['port']}")
    return Path(str(place["unix_socket"])) if "unix_socket" in place else None


def listens(url: str) -> bool:
    path, host, port = socket_of(url), make_url(url).host, make_url(url).port
    with socket.socket(socket.AF_UNIX if path else socket.AF_INET) as client:
        return client.connect_ex(str(path) if path else (host, port)) == 0


@pytest.mark.parametrize(
    ("end", "sources"),
    [
        (signal.SIGKILL, ["mariadb", "postgresql-18", "container-18"]),
        (signal.SIGTERM, ["mariadb", "postgresql-18"]),
        (signal.SIGINT, ["mariadb", "postgresql-18"]),
    ],
)
def test_no_server_and_no_folder(end: signal.Signals, sources: list[str], servers: Servers) -> None:
    """The group hears of Ctrl-C in a terminal and of a CI that gives up; kill -9 is for the process alone."""
    for source in sources:
        servers.get(source)  # else this is skipped
    command = [sys.executable, "-c", SESSION, *sources]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(),
        start_new_session=True,
    ) as process:
        assert process.stdout
        urls = [process.stdout.readline().strip() for _ in sources]
        assert all(urls), "it does not start"
        are_there = [listens(url) for url in urls]
        if end is signal.SIGKILL:
            process.kill()
        else:
            os.killpg(process.pid, end)
        process.wait(LIMIT_S)
    assert all(are_there), urls
    for url in urls:
        until(lambda: not listens(url), f"{url} still listens", pause_s=0.1)  # noqa: B023
        if path := socket_of(url):
            folder = next(each for each in path.parents if each.name.startswith("fluxmig-"))
            until(lambda: not folder.exists(), f"{folder} is still there")  # noqa: B023
            until(lambda: folder.name not in running(), f"what was in {folder} still runs")  # noqa: B023
