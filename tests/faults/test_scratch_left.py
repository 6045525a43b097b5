"""What scratch databases leave behind, however their process ends: nothing."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fluxmig.containers import LABEL
from tests.faults.support import LIMIT_S, running, until
from tests.support import IMAGES, Database, roomy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import Servers

USER = """
import sys
from fluxmig import scratch
source, token, early = sys.argv[1:]
scratch.secrets.token_hex = lambda _: token
def wait(word):
    print(word, flush=True)
    sys.stdin.readline()
def tell(line):
    if early:
        print(line, flush=True)  # and goes on
with scratch.open_server(source, tell=tell) as server:
    server.create()
    wait("ready")
"""
ENDS = [None, signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
"""As usual; Ctrl-C; what ends a job; what nobody hears."""


@pytest.fixture
def token() -> str:
    """What is in the name of all that is made."""
    return secrets.token_hex(8)


def use(source: str, token: str, end: signal.Signals | None, *, early: bool = False) -> None:
    """Has another process make a scratch database, and ends it and its group."""
    command = [sys.executable, "-c", USER, source, token, "early" * early]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, start_new_session=True, **pipes) as process:
        assert process.stdout
        said = process.stdout.readline()
        if end is not None:
            os.killpg(process.pid, end)
        _, errors = process.communicate("\n", timeout=LIMIT_S)
    assert said.startswith("starting" if early else "ready"), errors


@pytest.mark.parametrize(
    ("source", "end"), [*(("embedded", end) for end in ENDS), ("sqlite", None), ("sqlite", signal.SIGKILL)]
)
def test_no_folder_and_no_server(source: str, end: signal.Signals | None, token: str) -> None:
    folder = Path(roomy() or "/tmp", f"fluxmig-{token}")
    use(source, token, end)
    until(lambda: not folder.exists(), f"{folder} is still there")
    until(lambda: token not in running(), "what was in it still runs")


@pytest.mark.parametrize("end", [None, signal.SIGINT, signal.SIGKILL])
def test_no_database_of_a_given_server(
    end: signal.Signals | None, token: str, one_postgresql: Database
) -> None:
    use(one_postgresql.url, token, end)
    there = f"SELECT count(*) FROM pg_database WHERE datname LIKE '%{token}%'"
    until(lambda: one_postgresql.scalar(there) == 0, "the database is still there")


@pytest.fixture
def engine(servers: Servers) -> Iterator[Any]:
    """The container engine's client."""
    servers.get("container-18")
    from testcontainers.core.docker_client import DockerClient

    client = DockerClient().client
    yield client
    client.close()


@pytest.mark.parametrize("end", [None, signal.SIGKILL])
def test_no_container(end: signal.Signals | None, token: str, engine: Any) -> None:
    use(f"container:{IMAGES[0]}", token, end)
    until(lambda: not labelled(engine, token), "the container is still there", pause_s=0.1)


def test_no_container_that_has_not_started(token: str, engine: Any) -> None:
    use(f"container:{IMAGES[0]}", token, signal.SIGKILL, early=True)
    until(lambda: not labelled(engine, token), "the container is still there", pause_s=0.1)


def labelled(engine: Any, token: str) -> list[Any]:
    found: list[Any] = engine.api.containers(all=True, filters={"label": f"{LABEL}={token}"})
    return found
