"""A run whose connection is lost, with a stand-in for what runs a script: the losses are the test's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from fluxmig import sql
from fluxmig.errors import DatabaseConnectionError
from fluxmig.model import Mode, Outcome, Plan, Script, StepResult, Wait, WaitReason
from fluxmig.patience import Patience
from fluxmig.running import Run

LOST = DatabaseConnectionError("the connection was lost in 001_a.sql: server closed the connection")
IN_DOUBT = DatabaseConnectionError("the connection was lost in 001_a.sql: gone", in_doubt=True)


@dataclass(frozen=True)
class Executor:
    """Gives or raises what it is told to, in turn."""

    outcomes: list[Outcome | Exception]
    url: str = "sqlite://"
    attempted: frozenset[str] = frozenset()
    patience: Patience = field(default_factory=Patience)
    interruptions: list[KeyboardInterrupt] | None = None
    seen: list[frozenset[str]] = field(default_factory=list)
    released: list[bool] = field(default_factory=list)

    @property
    def bind(self) -> object:
        return create_engine(self.url, poolclass=NullPool)

    def apply(self, script: Script, after: Script | None = None) -> StepResult:
        self.seen.append(self.attempted)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return StepResult(script.name, outcome)

    def release(self) -> None:
        self.released.append(True)

    def recorded(self) -> frozenset[str]:
        return frozenset({"001_a.sql"})


def run(
    *outcomes: Outcome | Exception, mode: Mode = Mode.TRANSACTION, **options: Any
) -> tuple[Run, Executor]:
    script = Script("001_a.sql", Path("001_a.sql"), "", sql.split(b"SELECT 1;", sql.SQLITE), mode=mode)
    plan = Plan(scripts=(script,))
    executor = Executor(list(outcomes), url=options.pop("url", "sqlite://"))
    running = Run(**({"retry_connection_s": 60.0} | options))
    running.pending = ("001_a.sql",)
    running.go(cast("Any", executor), plan)
    assert executor.released == [True]
    return running, executor


def test_it_goes_on_when_the_server_is_there_again() -> None:
    waits: list[Wait] = []
    running, executor = run(LOST, Outcome.APPLIED, tell=waits.append)
    (result,) = running.results
    assert (result.outcome, result.tries) == (Outcome.APPLIED, 2)
    message = f"{LOST.message}; waiting up to 60 s for the server"
    assert waits == [Wait(WaitReason.CONNECTION, message, "001_a.sql")]
    # What the lost attempt has left is no object that was there before.
    assert executor.seen == [frozenset(), frozenset({"001_a.sql"})]
    assert running.report().pending == ()


@pytest.mark.parametrize(
    ("lost", "mode", "outcome"),
    [
        (IN_DOUBT, Mode.TRANSACTION, Outcome.APPLIED),
        (LOST, Mode.NO_TRANSACTION, Outcome.APPLIED),
        (LOST, Mode.TRANSACTION, Outcome.SKIPPED),
    ],
)
def test_what_the_ledger_has_behind_a_loss(lost: Exception, mode: Mode, outcome: Outcome) -> None:
    """It was this run's own commit, unless the connection was lost before it: then another runner's."""
    running, _ = run(lost, Outcome.SKIPPED, mode=mode)
    assert running.results[0].outcome is outcome


def test_without_the_option_a_loss_is_the_end() -> None:
    with pytest.raises(DatabaseConnectionError) as caught:
        run(LOST, Outcome.APPLIED, retry_connection_s=0)
    assert caught.value is LOST


def test_a_script_that_ends_the_server_each_time_is_given_up() -> None:
    with pytest.raises(DatabaseConnectionError):
        run(LOST, LOST, LOST, LOST, Outcome.APPLIED)
    assert run(LOST, LOST, LOST, Outcome.APPLIED)[0].results[0].tries == 4


def test_what_comes_before_the_first_script() -> None:
    outcomes: list[Exception | str] = [LOST, LOST, "done"]

    def action() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    waits: list[Wait] = []
    running = Run(retry_connection_s=60, tell=waits.append)
    assert running.again(cast("Any", Executor([])), action) == "done"
    assert [wait.name for wait in waits] == [None, None]
    outcomes += [LOST] * 5
    with pytest.raises(DatabaseConnectionError):
        running.again(cast("Any", Executor([])), action)
    assert len(outcomes) == 1


def test_a_server_that_does_not_come_back() -> None:
    with pytest.raises(DatabaseConnectionError) as caught:
        run(LOST, Outcome.APPLIED, retry_connection_s=0.2, url="postgresql+psycopg://127.0.0.1:1/x")
    assert caught.value is LOST
