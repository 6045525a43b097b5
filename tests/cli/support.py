"""What the tests of the command line share: results, masks, processes and a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

REPOSITORY = Path(__file__).parents[2]
LIMIT_S = 120
"""How long a process may take that a test waits for. Generous, since a machine may be busy."""

# Gives the process the terminal that is its standard input, so that Ctrl-C reaches it; then runs fluxmig.
_CONTROL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "fluxmig", *sys.argv[1:]])
"""


@dataclass(frozen=True)
class Result:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Standard output, which has to be one JSON document and nothing else."""
        return cast("dict[str, Any]", json.loads(self.out))


def masked(text: str) -> str:
    """The text with every duration as 0.00s."""
    return re.sub(r"\b\d+\.\d\ds", "0.00s", text)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def process(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """`python -m fluxmig ARGS` in a process of its own, with pipes."""
    command = [sys.executable, "-m", "fluxmig", *args]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(command, env=environment(), text=True, check=False, timeout=LIMIT_S, **pipes)


def terminal(*args: str, answers: Iterable[tuple[str, str]] = (), stdout: int | None = None) -> Result:
    """`python -m fluxmig ARGS` in a terminal of 80 columns; what it shows there is `err` and `out` in one.

    Args:
        args: The command's.
        answers: For each question, what its last words are and what is typed then.
        stdout: `subprocess.PIPE` to have standard output piped; then it is `out`, and the terminal `err`.
    """
    controller, terminal_fd = pty.openpty()
    fcntl.ioctl(terminal_fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    running = subprocess.Popen(
        [sys.executable, "-c", _CONTROL, *args],
        stdin=terminal_fd,
        stdout=terminal_fd if stdout is None else stdout,
        stderr=terminal_fd,
        env={**environment(), "COLUMNS": ""},
        start_new_session=True,
    )
    os.close(terminal_fd)
    try:
        shown = _talk(controller, list(answers))
        piped = (running.communicate(timeout=LIMIT_S)[0] or b"").decode()
    finally:
        running.kill()
        running.wait()
        if running.stdout:
            running.stdout.close()
        os.close(controller)
    shown = shown.replace("\r\n", "\n")
    return Result(running.returncode, shown if stdout is None else piped, shown)


def _talk(controller: int, answers: list[tuple[str, str]]) -> str:
    """What the terminal shows until it is closed; each answer is typed when its question stands there."""
    shown = b""
    answered = 0
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if not select.select([controller], [], [], 0.1)[0]:
            continue
        try:
            shown += (data := os.read(controller, 65536))
        except OSError:  # Linux says so when the last process has closed its side
            break
        if not data:
            break
        if answers and shown[answered:].decode(errors="ignore").rstrip().endswith(answers[0][0]):
            answered = len(shown)
            time.sleep(0.2)  # a signal between the question and the wait for its answer would be lost
            os.write(controller, answers.pop(0)[1].encode())
    else:
        raise AssertionError(f"still running; the terminal shows {shown!r}")
    assert not answers, f"never asked: {answers[0][0]!r}; the terminal shows {shown!r}"
    return shown.decode()
