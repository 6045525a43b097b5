"""Databases that are made before they are asked for, and dropped after they are given back, by two threads.

Neither ever holds up the end: what they have not done then, is not done. An error of theirs is raised where
the next database is taken, or told at the end.
"""

from __future__ import annotations

import queue
from collections import deque
from dataclasses import dataclass, field
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Clones"]

_END_S = 10.0
_PAUSE_S = 0.03
"""What is done behind a test and ahead of the next waits so long, not to be in the way of one that begins."""


@dataclass
class Clones:
    """A stock of databases, all alike.

    Attributes:
        make: Makes one, and gives its URL. Called on a thread of its own, one call at a time.
        drop: Drops one; likewise.
        warm: Does to one what makes it answer faster, where nobody waits for it.
        ahead: How many are kept ready.
        expected: How many will be taken, as far as that is known: no more are made ready than that.
    """

    make: Callable[[], str]
    drop: Callable[[str], None]
    warm: Callable[[str], None] = lambda _: None
    ahead: int = 2
    expected: int = 0
    _ready: deque[str | BaseException] = field(default_factory=deque)
    _waiting: int = 0
    _end: Event = field(default_factory=Event)
    _changed: Condition = field(default_factory=Condition)
    _spent: queue.SimpleQueue[str | None] = field(default_factory=queue.SimpleQueue)
    _threads: list[Thread] = field(default_factory=list)
    _failures: list[BaseException] = field(default_factory=list)

    def expect(self, number: int) -> None:
        """Has so many more expected, and the first of them made ready."""
        with self._changed:
            self.expected += number
            self._start()
            self._changed.notify_all()

    def take(self) -> str:
        """The URL of one, for whoever takes it alone.

        Raises:
            BaseException: What `make` has raised.
        """
        with self._changed:
            self._start()
            self.expected = max(self.expected - 1, 0)
            self._waiting += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._ready or self._end.is_set())
            finally:
                self._waiting -= 1
            if not self._ready:
                raise RuntimeError("the session of these databases has ended")
            found = self._ready.popleft()
            self._changed.notify_all()
        if isinstance(found, BaseException):
            raise found
        return found

    def give_back(self, url: str) -> None:
        """Has one dropped, some time."""
        self._spent.put(url)

    def close(self, *, drop: bool) -> list[BaseException]:
        """Ends the threads, and gives what has gone wrong and was not told yet.

        Args:
            drop: Whether what is ready or given back is dropped before.
        """
        with self._changed:
            self._end.set()
            self._changed.notify_all()
            left, self._ready = list(self._ready), deque()
        if not drop:
            while not self._spent.empty():
                self._spent.get()
        for each in left:
            if isinstance(each, BaseException):
                self._failures.append(each)
            elif drop:
                self._spent.put(each)
        for thread in self._threads:  # the maker first: its last one is dropped, too
            if thread is self._threads[-1]:
                self._spent.put(None)
            thread.join(_END_S)
            if thread.is_alive():
                self._failures.append(TimeoutError(f"{thread.name} did not come to an end"))
        return self._failures

    # --- the threads --------------------------------------------------------------------------------------

    def _start(self) -> None:
        if not self._threads and not self._end.is_set():
            for name, work in (("maker", self._make_ahead), ("dropper", self._drop_behind)):
                thread = Thread(target=work, name=f"fluxmig {name} of databases", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _is_needed(self) -> bool:
        return len(self._ready) < self._waiting + min(self.ahead, self.expected)

    def _make_ahead(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._end.is_set() or self._is_needed())
                if not self._waiting:
                    self._changed.wait_for(lambda: self._end.is_set() or self._waiting, _PAUSE_S)
                if self._end.is_set():
                    return
            made: str | BaseException
            try:
                made = self.make()
                if not self._waiting:
                    self.warm(made)
            except BaseException as error:  # noqa: BLE001  # to be raised where it is seen
                made = error
            with self._changed:
                is_late = self._end.is_set()
                if not is_late:
                    self._ready.append(made)
                    self._changed.notify_all()
            if is_late and isinstance(made, str):
                self._spent.put(made)

    def _drop_behind(self) -> None:
        while (url := self._spent.get()) is not None:
            if self._spent.empty():
                self._end.wait(_PAUSE_S)
            try:
                self.drop(url)
            except BaseException as error:  # noqa: BLE001  # likewise, at the end
                self._failures.append(error)
