"""Ctrl-C and SIGTERM: an error on the main thread, and an end in time whatever that thread is waiting for.

A handler of Python's runs when the main thread comes back to Python; while it is in a driver's C code, it
does not. So a second thread hears of each signal at once (signal.set_wakeup_fd), interrupts what can only be
interrupted from there, and ends the process where the first thread does not.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, contextmanager, suppress
from select import select
from threading import Thread, current_thread, main_thread
from typing import TYPE_CHECKING

from fluxmig.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["heard"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE_S = 1.7
"""From the first signal to the end: whoever sent it waits for two seconds, and then sends SIGKILL."""


@contextmanager
def heard(interrupt: Callable[[], None]) -> Iterator[None]:
    """Raises `StoppedError` in its body at the first signal, and ends the process at the second.

    A signal that is ignored, as those of a shell's background jobs and of `nohup` are, stays so. Where this
    is not the main thread, nothing is changed.

    Args:
        interrupt: Called on another thread at the first signal: what ends a statement that the main thread
            would have to wait for. What it raises is lost.
    """
    if current_thread() is not main_thread():
        yield
        return

    def stop(number: int, _frame: object) -> None:
        for each in _SIGNALS:
            signal.signal(each, lambda *_: None)  # the thread ends the process, and nothing is raised twice
        raise StoppedError(number)

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with ExitStack() as undo:
        undo.callback(os.close, reading)
        for each in _SIGNALS:
            before = signal.getsignal(each)
            if before not in {signal.SIG_IGN, None}:
                undo.callback(signal.signal, each, before)
                signal.signal(each, stop)
        listener = Thread(target=_listen, args=(reading, interrupt), name="fluxmig signals", daemon=True)
        undo.callback(listener.join)
        undo.callback(os.close, writing)  # which ends the thread
        undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writing, warn_on_full_buffer=False))
        listener.start()
        yield


def _listen(reading: int, interrupt: Callable[[], None]) -> None:
    """Hears of signals until the pipe is closed, or ends the process."""
    while number := _next(reading):
        if number in _SIGNALS:
            break
    else:
        return
    with suppress(Exception):
        interrupt()
    if select([reading], [], [], _PATIENCE_S)[0] and not _next(reading):
        return
    with suppress(OSError, ValueError, AttributeError):
        name = signal.Signals(number).name
        os.write(
            sys.stderr.fileno(), f"{name}: ended at once; `fluxmig status` tells what is applied\n".encode()
        )
    os._exit(128 + number)


def _next(reading: int) -> int:
    """The next signal's number; 0 at the end."""
    data = os.read(reading, 1)
    return data[0] if data else 0
