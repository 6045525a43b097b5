"""What ends the work on one target from another thread: when its time is over, or when all is to end."""

from __future__ import annotations

from contextlib import suppress
from threading import Event, Lock, Thread, Timer, get_ident
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import event

from fluxmig.dialects import dialect_of
from fluxmig.errors import FluxmigError
from fluxmig.fleet.model import TargetState

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from fluxmig.dialects import Dialect

__all__ = ["EndedError", "Leash"]

_GRACE_S = 2.0
"""Between the end of the statement, which the server is asked for, and that of the connection."""


class EndedError(FluxmigError):
    """The work was to end, and it was possible to end it between two statements."""


class Leash:
    """Holds one target's work; a context that lasts as long as that.

    Attributes:
        state: What the work has become by being ended; None while it goes on.
        why: Likewise, in words.
    """

    def __init__(self, timeout_s: float | None = None) -> None:
        self.state: TargetState | None = None
        self.why = ""
        self._timeout_s = timeout_s
        self._drivers: list[Any] = []
        self._engine: Engine | None = None
        self._dialect: Dialect | None = None
        self._worker = 0
        self._is_over, self._lock = Event(), Lock()
        self._timer: Timer | None = None

    def __enter__(self) -> Self:
        self._worker = get_ident()
        if self._timeout_s is not None:
            why = f"not done in {self._timeout_s:g} s (--timeout)"
            self._timer = Timer(self._timeout_s, self._end, (TargetState.TIMED_OUT, why))
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        if self._timer:
            self._timer.cancel()

    def hold(self, engine: Engine) -> None:
        """Takes hold of the connections that an engine has made, and of those that it makes."""
        self._engine, self._dialect = engine, dialect_of(engine)
        with engine.connect() as connection:
            self._take(connection.connection.dbapi_connection)
        event.listen(engine, "connect", self._take)

    def pull(self, state: TargetState, why: str) -> None:
        """Has the work end soon; returns at once."""
        Thread(target=self._end, args=(state, why), name="fluxmig leash", daemon=True).start()

    def check(self, *_: object) -> None:
        """Raises `EndedError` where the work is to end."""
        if self.state is not None:
            raise EndedError(self.why)

    def _take(self, driver: Any, _record: object = None) -> None:
        with self._lock:
            self._drivers.append(driver)
        if get_ident() == self._worker:  # and none that is made to end another one
            self.check()

    def _end(self, state: TargetState, why: str) -> None:
        """Asks the server to end the statement; then ends the connection, where that was of no help."""
        with self._lock:
            if self.state is not None or self._is_over.is_set():
                return
            self.state, self.why = state, why
            drivers = tuple(self._drivers)
        if self._dialect is None:
            return
        for driver in drivers:
            Thread(target=self._cancel, args=(driver,), name="fluxmig cancel", daemon=True).start()
        if not self._is_over.wait(_GRACE_S):
            for driver in drivers:
                with suppress(Exception):  # whatever a driver raises of a connection that is gone
                    self._dialect.sever(driver)

    def _cancel(self, driver: Any) -> None:
        with suppress(Exception):  # likewise
            if self._dialect and self._engine:
                self._dialect.cancel(driver, self._engine)
