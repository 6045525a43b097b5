"""Who holds a migration up: asked on a thread of its own, since the migration's own session waits."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fluxmig.dialects.base import Onlooker
    from fluxmig.model import Session

__all__ = ["Lookout"]

_PATIENCE_S = 0.4
"""How long a migration runs before one asks: most are done by then. A deadlock is found after a second."""

_EVERY_S = 0.3
"""The server's own work for an answer holds up others for a moment (manual, 9.27.2)."""


class Lookout:
    """Looks after one migration at a time; a context whose end is the end of its thread.

    Attributes:
        blockers: Who was seen to be in the way of the migration last looked after.
    """

    def __init__(self) -> None:
        self.blockers: tuple[Session, ...] = ()
        self._onlooker: Onlooker | None = None
        self._interrupt: Callable[[], None] | None = None
        self._since = 0.0
        self._is_over = Event()
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        if self._thread:
            self._thread.join(timeout=1)  # it may be waiting for a server that does not answer

    @contextmanager
    def over(self, onlooker: Onlooker | None, interrupt: Callable[[], None] | None = None) -> Iterator[None]:
        """Looks on for as long as it lasts.

        Args:
            onlooker: With None, nobody is seen, as where no second session can be had.
            interrupt: What ends the statement under way from another thread, if it has to come from there.
        """
        self.blockers = ()
        self._since, self._onlooker, self._interrupt = time.monotonic(), onlooker, interrupt
        if onlooker is not None and self._thread is None:
            self._thread = Thread(target=self._look_on, name="fluxmig lookout", daemon=True)
            self._thread.start()
        try:
            yield
        except Exception:
            raise
        except BaseException:  # the signal was heard here, and the server goes on with the statement
            with suppress(Exception):  # whatever the driver raises: its connection may be closed by now
                self.interrupt()
            raise
        finally:
            self._onlooker = self._interrupt = None

    def interrupt(self) -> None:
        """Ends the statement that is looked after, where that has to come from another thread."""
        if self._interrupt:
            self._interrupt()

    def _look_on(self) -> None:
        asked: Onlooker | None = None
        while not self._is_over.wait(_EVERY_S):
            onlooker = self._onlooker
            if asked is not None and asked is not onlooker:
                _close(asked)
                asked = None
            if onlooker is None or time.monotonic() - self._since < _PATIENCE_S:
                continue
            asked = onlooker
            with suppress(Exception):  # whatever the driver raises: a name is all that is at stake
                found = onlooker.blockers()
                if found and self._onlooker is onlooker:
                    self.blockers = found
        if asked is not None:
            _close(asked)


def _close(onlooker: Onlooker) -> None:
    with suppress(Exception):
        onlooker.close()
