"""Processes of fluxmig that are cheap to start and easy to kill, and waiting for what they do."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self

REPOSITORY = Path(__file__).parents[2]
LIMIT_S = 120
"""How long anything may take that a test waits for. Generous, since a machine may be busy."""
ROLLED_BACK = "The server rolls the migration back; run again when it is there."
IN_DOUBT = "It is applied as a whole, or not at all: `fluxmig status` tells which; run again to go on."
"""The way out of a lost connection, where it is known what comes of the file, and where it is not."""

_PLAIN = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")


def until(condition: Callable[[], object], what: str, pause_s: float = 0.005) -> None:
    """Waits for a condition; `what` is the complaint if it never comes."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(pause_s)


def running() -> str:
    """The commands of all processes."""
    command = ["ps", "-axww", "-o", "command="]
    listing = subprocess.run(command, capture_output=True, check=True, timeout=LIMIT_S)
    return listing.stdout.decode(errors="replace")


@dataclass
class Process:
    """A process of fluxmig.

    Attributes:
        pid: Its number, which is no other's until `wait` has returned.
        output: The file with its standard output, which it writes as it goes.
        errors: That with its standard error.
    """

    pid: int
    output: Path
    errors: Path
    _processes: Processes
    _code: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Sends a signal; does nothing where it has ended. From any thread."""
        with self._lock:
            if self._code is None:
                os.kill(self.pid, number)

    def wait(self, limit_s: float = LIMIT_S) -> int:
        """Its exit code, or the number of the signal that ended it, negated.

        One that has not ended by then is killed, and `AssertionError` says what it had written.
        """
        if self._code is None:
            code = self._processes.wait(self.pid, limit_s)
            if code is None:
                self.kill()
                code = self._processes.wait(self.pid, LIMIT_S)
                self._forget(code)
                raise AssertionError(f"it had to be killed after {limit_s} s; {self.said}")
            self._forget(code)
        assert self._code is not None
        return self._code

    def reaches(self, lines: int, later_s: float) -> None:
        """Waits until it has written so many lines, and then so long; or until it has ended."""
        until(lambda: self.lines >= lines or self.has_ended(), "it came to nothing")
        time.sleep(later_s)

    def has_ended(self) -> bool:
        return self._code is not None or self._processes.wait(self.pid, 0) is not None

    def _forget(self, code: int | None) -> None:
        with self._lock:
            self._code = code
            self._processes.forget(self.pid)

    @property
    def lines(self) -> int:
        """How many lines it has written so far."""
        return self.output.read_bytes().count(b"\n") if self.output.exists() else 0

    @property
    def said(self) -> str:
        """All it has written, for people."""
        out, err = (
            path.read_text(errors="replace") if path.exists() else "" for path in (self.output, self.errors)
        )
        return f"exit code {self._code}\n--- standard output\n{out}\n--- standard error\n{err}"


class Processes:
    """Starts processes of fluxmig, by forks of one that has everything imported."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._gate = folder, folder / "gate"
        self._gate.touch()
        self._numbers = itertools.count()
        self._ended: dict[int, int] = {}
        self._started: deque[int] = deque()
        self._said = b""
        self._lock = threading.RLock()
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )

    def start(
        self,
        *arguments: object,
        folder: Path | None = None,
        environment: Mapping[str, str] = {},
        largest: int | None = None,
    ) -> Process:
        """`fluxmig ARGUMENTS`, with nothing of this process's environment that it would read.

        Args:
            arguments: As on the command line.
            folder: Where it is.
            environment: What it reads.
            largest: How large a file may become that it writes, in bytes.
        """
        number = next(self._numbers)
        output, errors = self._folder / f"{number}.out", self._folder / f"{number}.err"
        plain = {name: os.environ[name] for name in _PLAIN if name in os.environ}
        words = [str(argument) for argument in arguments]
        with self._lock:
            place, variables = str(folder or self._folder), {**plain, **environment}
            self._ask("start", str(self._gate), largest, words, place, variables, str(output), str(errors))
            deadline = time.monotonic() + LIMIT_S
            while not self._started:
                assert time.monotonic() < deadline, "no process was started"
                self._listen(deadline - time.monotonic())
            return Process(self._started.popleft(), output, errors, self)

    def run(self, *arguments: object, **options: Any) -> Process:
        """The same, to its end."""
        process = self.start(*arguments, **options)
        process.wait()
        return process

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is started meanwhile begins at the end of this, all at once."""
        with self._gate.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def wait(self, pid: int, limit_s: float) -> int | None:
        """The code of one that has ended; None where it has not within that time."""
        deadline = time.monotonic() + limit_s
        while True:
            with self._lock:
                if pid in self._ended:
                    return self._ended[pid]
                self._listen(min(0.05, max(0.0, deadline - time.monotonic())))
                if pid not in self._ended and time.monotonic() >= deadline:
                    return None

    def forget(self, pid: int) -> None:
        with self._lock:
            del self._ended[pid]
            self._ask("forget", pid)

    def close(self) -> None:
        """Kills what is still running."""
        with self._zygote:
            assert self._zygote.stdin
            self._zygote.stdin.close()
            try:
                code = self._zygote.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                self._zygote.kill()
                raise
        assert code == 0, f"the process that forks ended with {code}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, *words: object) -> None:
        assert self._zygote.stdin
        self._zygote.stdin.write(json.dumps(words).encode() + b"\n")

    def _listen(self, limit_s: float) -> None:
        assert self._zygote.stdout
        if not select.select([self._zygote.stdout], [], [], limit_s)[0]:
            return
        received = os.read(self._zygote.stdout.fileno(), 2**20)
        assert received, f"the process that forks is gone: {self._zygote.wait(LIMIT_S)}"
        *lines, self._said = (self._said + received).split(b"\n")
        for line in lines:
            match json.loads(line):
                case ["started", pid]:
                    self._started.append(pid)
                case ["ended", pid, code]:
                    self._ended[pid] = code
