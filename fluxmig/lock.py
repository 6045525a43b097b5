"""The runner's lock: asked for again and again, so that nobody ever waits inside a call to the server."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from fluxmig.errors import LockTimeoutError
from fluxmig.model import Wait, WaitReason
from fluxmig.pauses import growing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine

    from fluxmig.dialects import Dialect
    from fluxmig.model import Session

__all__ = ["Lock"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.5
"""Between two tries."""

_PATIENCE_S = 1.0
"""How long one waits before one speaks of it: runners that start together pass each other in less."""


@dataclass(frozen=True, slots=True)
class Lock:
    """The lock of one ledger.

    Attributes:
        bind: An Engine; or the caller's Connection.
        dialect: What its database can do.
        key: Whose it is: runners of different ledgers in one database do not wait for each other.
        wait_s: How long to wait for another runner; 0 is at once.
        tell: Hears once of each wait that is longer than a moment, on the calling thread.
    """

    bind: Engine | Connection
    dialect: Dialect
    key: str
    wait_s: float = 300.0
    tell: Callable[[Wait], None] | None = None

    @contextmanager
    def transaction(
        self,
        characteristics: str | None = None,
        *,
        meanwhile: Callable[[Connection], None] | None = None,
        before: Callable[[Connection], None] | None = None,
    ) -> Iterator[Connection]:
        """A transaction that has the lock until it ends.

        Args:
            characteristics: What is asked of the transaction, `ISOLATION LEVEL SERIALIZABLE` say.
            meanwhile: Called each time that another runner has the lock, in a transaction without it; what it
                raises ends the waiting.
            before: Called before the transaction truly begins, as far as the database tells that apart.

        Raises:
            LockTimeoutError: Another runner kept it for too long.
        """
        queue = _Queue(self)
        while True:
            with self.dialect.transaction(self.bind) as connection:
                if before:
                    before(connection)
                if characteristics:
                    self.dialect.characterize(connection, characteristics)
                if self.dialect.claim(connection, self.key):
                    yield connection
                    return
                queue.look(connection, meanwhile)
            queue.pause()

    @contextmanager
    def session(
        self, connection: Connection, *, meanwhile: Callable[[Connection], None] | None = None
    ) -> Iterator[None]:
        """The lock of a session, for as long as this lasts; waits and raises as `transaction` does.

        Args:
            connection: In autocommit.
            meanwhile: As that of `transaction`.
        """
        queue = _Queue(self)
        while not self.dialect.claim_session(connection, self.key):
            queue.look(connection, meanwhile)
            queue.pause()
        try:
            yield
        except BaseException:
            with suppress(
                SQLAlchemyError
            ):  # the first error counts; the server frees what a lost session had
                self.dialect.release_session(connection, self.key)
            raise
        self.dialect.release_session(connection, self.key)

    @contextmanager
    def atomic(self, connection: Connection) -> Iterator[None]:
        """One transaction for a row of progress and what it tells of; nothing where there can be none.

        SQLite's is the lock of every writer, and is waited for as `transaction` waits.

        Args:
            connection: In autocommit.
        """
        if not self.dialect.can_begin(connection):
            yield
            return
        queue = _Queue(self)
        while not self.dialect.begin(connection):
            queue.look(connection, None)
            queue.pause()
        with self.dialect.begun(connection):
            yield


class _Queue:
    """One wait for the lock."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._began = time.monotonic()
        self._pauses = growing(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._holder: Session | None = None
        self._has_told = False

    def look(self, connection: Connection, meanwhile: Callable[[Connection], None] | None) -> None:
        """Asks what has to be asked while there is a connection; then `pause` needs none."""
        try:
            if meanwhile:
                meanwhile(connection)
            if self._left_s <= 0 or self._is_to_be_told:
                self._holder = self._lock.dialect.lock_holder(connection, self._lock.key)
        except SQLAlchemyError:
            # A file that is busy is for the next try to find out; of a lost connection that would only hear
            # that it is to be rolled back.
            if connection.invalidated:
                raise

    def pause(self) -> None:
        """Waits a moment, or raises `LockTimeoutError`."""
        if self._left_s <= 0:
            raise LockTimeoutError(
                self._lock.dialect.lock_held(self._holder),
                remedy="wait for it to finish, or give --wait-lock more seconds",
                holder=self._holder,
            )
        if self._is_to_be_told and self._lock.tell:
            self._has_told = True
            sessions = (self._holder,) if self._holder else ()
            held = self._lock.dialect.lock_held(self._holder)
            message = f"waiting up to {self._left_s:.0f} s more: {held}"
            self._lock.tell(Wait(WaitReason.LOCK, message, sessions=sessions))
        time.sleep(max(0.0, min(next(self._pauses), self._left_s)))

    @property
    def _left_s(self) -> float:
        return self._began + self._lock.wait_s - time.monotonic()

    @property
    def _is_to_be_told(self) -> bool:
        return not self._has_told and time.monotonic() - self._began >= _PATIENCE_S
