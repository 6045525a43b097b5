"""A second session that sees which locks a statement takes outside of transactions, while it has them."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from fluxmig.pauses import growing

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Look"]

_PID = text("SELECT pg_catalog.pg_backend_pid()")
_OF_ANOTHER = text(
    "SELECT relation::int8, mode FROM pg_catalog.pg_locks WHERE pid = :pid AND locktype = 'relation'"
    " AND granted AND relation::int8 >= 16384"
)


_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.0002, 0.05
"""Between two questions: most statements on a scratch database are over in a moment."""


class Look:
    """A second session that asks for the locks of the first, again and again, until it is told to stop."""

    def __init__(self, connection: Connection) -> None:
        self._pid = connection.scalar(_PID)
        self._engine = connection.engine
        self._seen: set[tuple[int, str]] = set()
        self._ready, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="fluxmig look", daemon=True)
        self._thread.start()
        self._ready.wait()

    def stop(self) -> frozenset[tuple[int, str]]:
        """All that was seen."""
        self._done.set()
        self._thread.join()
        return frozenset(self._seen)

    def _run(self) -> None:
        try:
            # What cannot be asked is not told: the statement itself decides what becomes of the rehearsal.
            with suppress(SQLAlchemyError), self._engine.connect() as connection:
                asking = connection.execution_options(isolation_level="AUTOCOMMIT")
                for pause_s in growing(_FIRST_PAUSE_S, _LONGEST_PAUSE_S):
                    rows = asking.execute(_OF_ANOTHER, {"pid": self._pid})
                    self._seen |= {(oid, mode) for oid, mode in rows}
                    self._ready.set()
                    if self._done.wait(pause_s):
                        break
        finally:
            self._ready.set()
