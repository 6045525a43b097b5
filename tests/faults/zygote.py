"""Forks processes of fluxmig that have everything imported: some milliseconds each, and not half a second.

`support.Processes` runs it as a program, and talks to it in lines of JSON on its standard input and output:
`["start", gate, largest, arguments, folder, environment, output, errors]` is answered by `["started", pid]`,
and the end of each by `["ended", pid, code]`. A process begins when nobody has locked the gate, a file; no
file that it writes gets larger than the largest, in bytes, or null. When it has ended, it stays in the
system's table until `["forget", pid]`, so that no signal ever reaches another one with its number. At the end
of the input, all that run are killed.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import json
import os
import resource
import select
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from types import FrameType

PRELOADED = (
    *("fluxmig.cli", "fluxmig.connect", "fluxmig.migrator", "fluxmig.embedded", "psycopg"),
    *("sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite.pysqlite"),
)


def main() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    at_once = importlib.import_module("fluxmig.at_once")
    at_once._FRESH_S = 60.0  # type: ignore[attr-defined]  # a busy machine has no more round trips to count
    gc.freeze()
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, _nothing)
    running: set[int] = set()
    said = b""
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            os.read(wake, 65536)
        if 0 in ready:
            received = os.read(0, 2**20)
            if not received:
                break
            *lines, said = (said + received).split(b"\n")
            for line in lines:
                _obey(json.loads(line), running, (wake, woken))
        for pid in sorted(running):
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended:
                running.remove(pid)
                code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
                _tell("ended", pid, code)
    for pid in running:
        os.kill(pid, signal.SIGKILL)


def _obey(words: list[Any], running: set[int], own: tuple[int, ...]) -> None:
    match words:
        case ["start", *how]:
            if not (pid := os.fork()):
                signal.set_wakeup_fd(-1)
                for descriptor in own:
                    os.close(descriptor)
                _run(*how)
            running.add(pid)
            _tell("started", pid)
        case ["forget", pid]:
            os.waitpid(pid, 0)


def _tell(*words: object) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


def _run(
    gate: str,
    largest: int | None,
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    output: str,
    errors: str,
) -> NoReturn:
    """In the forked process: what `python -m fluxmig ARGUMENTS` does in that folder and environment."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        gc.unfreeze()
        with Path(gate).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
        if largest is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        for number, path, flags in (
            (0, os.devnull, os.O_RDONLY),
            (1, output, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
            (2, errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        ):
            descriptor = os.open(path, flags, 0o600)
            os.dup2(descriptor, number)
            os.close(descriptor)
        from fluxmig.cli import main as fluxmig

        fluxmig.main(arguments, prog_name="fluxmig")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001  # as the interpreter does with what nobody catches
        traceback.print_exc()
    with suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _nothing(number: int, frame: FrameType | None) -> None:
    """A handler, since without one no signal wakes `select`."""


if __name__ == "__main__":
    main()
