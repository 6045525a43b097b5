"""How long a script waits for others, how often it is tried again, and who it is that it waits for."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fluxmig.lookout import Lookout
from fluxmig.model import Limits, Mode, Wait, WaitReason
from fluxmig.pauses import growing
from fluxmig.sending import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from fluxmig.dialects import Dialect
    from fluxmig.model import Failure, Script, Session

__all__ = ["Patience", "limits_of"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 15.0
"""Between two tries."""


@dataclass(frozen=True, slots=True)
class Patience:
    """With those who hold scripts up: one script at a time.

    Attributes:
        limits: The time-outs of statements, where the file says nothing.
        lock_retries: How often a script in a transaction is tried again.
        shows_queries: Whether the queries of those others are told.
        tell: Hears of each pause, on the calling thread.
        lookout: Sees who they are.
    """

    limits: Limits = field(default_factory=Limits)
    lock_retries: int = 0
    shows_queries: bool = True
    tell: Callable[[Wait], None] | None = None
    lookout: Lookout = field(default_factory=Lookout)
    _held_up: list[RefusedError] = field(default_factory=list)

    def begin(self) -> None:
        """Forgets the script before."""
        self._held_up.clear()

    @property
    def tries(self) -> int:
        """How often the script was tried, from 1."""
        return len(self._held_up) + 1

    def run(self, dialect: Dialect, attempt: Callable[[], None], *, is_own: bool) -> None:
        """Runs an attempt at a script in a transaction; where others were in the way, again after a pause.

        Args:
            dialect: Tells whether it was others.
            attempt: Changes nothing where it raises.
            is_own: Whether the transaction is fluxmig's own. The caller's would go on to hold all that it
                has, and be no later in time.
        """
        for pause_s in growing(_FIRST_PAUSE_S, _LONGEST_PAUSE_S):
            try:
                attempt()
            except RefusedError as refused:
                if not is_own or self.tries > self.lock_retries or not dialect.is_held_up(refused.server):
                    raise
                self._held_up.append(refused)
                if self.tell:
                    self.tell(self._wait(refused.failure, pause_s))
                time.sleep(pause_s)
            else:
                return

    def watched(self, dialect: Dialect, connection: Connection) -> AbstractContextManager[None]:
        """A lookout for who holds up what runs on a connection that has the lock."""
        return self.lookout.over(dialect.onlooker(connection), dialect.interrupter(connection))

    @contextmanager
    def limited(
        self, dialect: Dialect, connection: Connection, script: Script, *, is_own: bool
    ) -> Iterator[None]:
        """Time-outs for a script's statements, and a lookout for who holds them up.

        Args:
            dialect: The database's.
            connection: Where the script runs.
            script: Whose file may say more of time-outs.
            is_own: Whether a transaction of its own ends what is set.
        """
        limits = limits_of(script, self.limits)
        with self.watched(dialect, connection):
            if is_own:
                dialect.limit(connection, limits)
                yield
            else:
                session = script.mode is Mode.NO_TRANSACTION
                with dialect.limited(connection, limits, session=session):
                    yield

    def explained(self, failure: Failure) -> Failure:
        """The failure of a script that was held up, with who was in the way, and what gives it more time."""
        lines = [f"held up by {each}" for each in self._blockers]
        if self._held_up:
            more = "--lock-retries has it tried more often, --lock-timeout longer"
            lines.append(f"It was tried {self.tries} times; {more}.")
        return replace(failure, remedy="\n".join(filter(None, (failure.remedy, *lines))) or None)

    def _wait(self, failure: Failure, pause_s: float) -> Wait:
        blockers = self._blockers
        by = f", held up by {'; '.join(map(str, blockers))}" if blockers else ""
        again = f"try {self.tries} of {self.lock_retries + 1} in {pause_s:.1f} s"
        return Wait(WaitReason.RETRY, f"{failure.headline}{by}; {again}", failure.path.name, blockers)

    @property
    def _blockers(self) -> tuple[Session, ...]:
        found = self.lookout.blockers
        return found if self.shows_queries else tuple(replace(each, query=None) for each in found)


def limits_of(script: Script, limits: Limits) -> Limits:
    """The time-outs of a script: its file has the last word."""
    said = script.limits
    return Limits(
        limits.lock_timeout_s if said.lock_timeout_s is None else said.lock_timeout_s,
        limits.statement_timeout_s if said.statement_timeout_s is None else said.statement_timeout_s,
    )
