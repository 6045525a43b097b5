"""Signals: the process ends in time, with the right code, whatever it is doing."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from fluxmig import signals
from fluxmig.errors import StoppedError
from tests.cli.support import LIMIT_S, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support import Write

FLUXMIG = [sys.executable, "-m", "fluxmig"]
NUMBERS = [signal.SIGINT, signal.SIGTERM]
AT_ONCE = "ended at once; `fluxmig status` tells what is applied\n"


@contextmanager
def silent_server() -> Iterator[tuple[int, socket.socket]]:
    """A port that takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.settimeout(LIMIT_S)
        yield listening.getsockname()[1], listening


@contextmanager
def running(*args: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*FLUXMIG, *args],
        env=environment(),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,  # type: ignore[call-overload]
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=LIMIT_S)


@pytest.mark.parametrize("number", NUMBERS)
def test_while_it_connects(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    with silent_server() as (port, listening):
        with running("run", "--database-url", f"postgresql://127.0.0.1:{port}/x") as process:
            connection, _ = listening.accept()
            with connection:
                connection.recv(8)  # it waits for the answer now
                process.send_signal(number)
                out, err = process.communicate(timeout=LIMIT_S)
        assert (out, err) == ("", f"interrupted by {number.name}\n")
        assert process.returncode == 128 + number


def test_json(tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    with silent_server() as (port, listening):
        url = f"postgresql://127.0.0.1:{port}/x"
        with running("status", "--json", "--database-url", url) as process, listening.accept()[0] as server:
            server.recv(8)
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=LIMIT_S)
    assert '"exit_code": 143' in out
    assert '"message": "interrupted by SIGTERM"' in out
    assert '"type": "StoppedError"' in out


STUCK = """
import ctypes
from fluxmig.signals import heard
libc = ctypes.CDLL(None)
with heard(lambda: None):
    while True:
        try:
            print("ready", flush=True)
            while True:
                libc.sleep(1)
        except KeyboardInterrupt:
            pass  # somebody who takes a signal for his own
"""


@contextmanager
def stuck(patience_s: float) -> Iterator[subprocess.Popen[str]]:
    code = f"import fluxmig.signals\nfluxmig.signals._PATIENCE_S = {patience_s}\n{STUCK}"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=LIMIT_S)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_main_thread_that_does_not_end(number: signal.Signals) -> None:
    with stuck(0.1) as process:
        process.send_signal(number)
        _, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 128 + number
        assert err == f"{number.name}: {AT_ONCE}"


def test_a_second_signal_ends_it_at_once() -> None:
    with stuck(3600) as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"  # again: two at the same moment may come in any order
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=LIMIT_S)
        assert err == f"SIGINT: {AT_ONCE}"
        assert process.returncode == 128 + signal.SIGINT


def test_what_is_ignored_stays_so(tmp_path: Path, write: Write) -> None:
    """As a shell's background jobs and `nohup` have it."""
    write({"001_a.sql": "CREATE TABLE a (id integer);"})

    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    with silent_server() as (port, listening):
        url = f"postgresql://127.0.0.1:{port}/x?connect_timeout=2"
        with running("run", "--database-url", url, preexec_fn=ignore) as process:
            connection, _ = listening.accept()
            with connection:
                connection.recv(8)
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 6
    assert "timeout expired" in err


def test_what_was_there_before_comes_back() -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    calls: list[str] = []

    def interrupt() -> None:
        calls.append("interrupt")
        raise RuntimeError

    with pytest.raises(StoppedError) as caught, signals.heard(interrupt):
        signal.raise_signal(signal.SIGTERM)
    assert (caught.value.message, caught.value.exit_code) == ("interrupted by SIGTERM", 143)
    assert calls == ["interrupt"]
    assert [signal.getsignal(number) for number in NUMBERS] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_on_another_thread_nothing_is_changed() -> None:
    from threading import Thread

    seen: list[object] = []

    def body() -> None:
        with signals.heard(_nothing):
            seen.extend(signal.getsignal(number) for number in NUMBERS)

    thread = Thread(target=body)
    thread.start()
    thread.join(60)
    assert seen == [signal.getsignal(number) for number in NUMBERS]


def _nothing() -> None:
    pass
