"""The runner's lock: asked for again and again, so that nobody ever waits inside a call to the server."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from fluxmig.errors import LockTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from fluxmig.dialects import Dialect

__all__ = ["Lock"]

_PAUSE_S = 0.1
"""Between two tries."""


@dataclass(frozen=True, slots=True)
class Lock:
    """The lock of one ledger.

    Attributes:
        bind: An Engine; or the caller's Connection.
        dialect: What its database can do.
        key: Whose it is: runners of different ledgers in one database do not wait for each other.
        wait_s: How long to wait for another runner; 0 is at once.
    """

    bind: Engine | Connection
    dialect: Dialect
    key: str
    wait_s: float = 300.0

    @contextmanager
    def transaction(self, characteristics: str | None = None) -> Iterator[Connection]:
        """A transaction that has the lock until it ends.

        Args:
            characteristics: What is asked of the transaction, `ISOLATION LEVEL SERIALIZABLE` say.

        Raises:
            LockTimeoutError: Another runner kept it for too long.
        """
        deadline = time.monotonic() + self.wait_s
        while True:
            with self.dialect.transaction(self.bind) as connection:
                if characteristics:
                    self.dialect.characterize(connection, characteristics)
                if self.dialect.claim(connection, self.key):
                    yield connection
                    return
                holder = self._holder_if_late(connection, deadline)
            self._pause(deadline, holder)

    def take_session(self, connection: Connection) -> None:
        """Takes the lock for a session, until `release_session`; raises as `transaction` does."""
        deadline = time.monotonic() + self.wait_s
        while not self.dialect.claim_session(connection, self.key):
            self._pause(deadline, self._holder_if_late(connection, deadline))

    def release_session(self, connection: Connection) -> None:
        """Gives it back; the server itself frees the lock of a session that is gone."""
        with suppress(SQLAlchemyError):
            self.dialect.release_session(connection, self.key)

    def _holder_if_late(self, connection: Connection, deadline: float) -> str | None:
        return self.dialect.lock_holder(connection, self.key) if time.monotonic() >= deadline else None

    def _pause(self, deadline: float, holder: str | None) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise LockTimeoutError(
                f"another runner holds the lock: {holder or 'it is not known which'}",
                remedy="wait for it to finish, or give --wait-lock more seconds",
            )
        time.sleep(min(_PAUSE_S, left))
