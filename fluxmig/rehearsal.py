"""A run for real on a scratch database, and what was seen of it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fluxmig.catalog import differences
from fluxmig.dialects import dialect_of
from fluxmig.errors import MigrationFailedError, MigrationFileError, RollbackError
from fluxmig.hazards import findings
from fluxmig.model import Outcome
from fluxmig.trace import FileTrace, Rehearsal, RoundTrip

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from sqlalchemy import Engine

    from fluxmig.catalog import Catalog
    from fluxmig.dialects import Dialect
    from fluxmig.dialects.tracing import Tracer
    from fluxmig.migrator import Migrator
    from fluxmig.model import Notice, Script, StepResult
    from fluxmig.trace import TableSize

__all__ = ["Stage", "rehearse"]


class _BrokenError(Exception):
    """A round trip has left the database as no run of the files would: what follows would tell nothing."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a rehearsal takes place.

    Attributes:
        engine: The scratch database's.
        migrator: The folder on it.
        own: The names of the ledger and the log.
        source: Where the database came from, for people.
        base: What it held before, for people.
        remarks: What to know of it, whole sentences.
        sizes: How large the tables of the target are, by name.
        denied: The names of findings that the rehearsal fails for.
        round_trip: Whether each migration is taken back and applied again.
        on_start: Called before each migration, on the calling thread.
        on_step: Called after each, likewise, with what is known of it.
        on_notice: Called with what the server says meanwhile, likewise.
    """

    engine: Engine
    migrator: Migrator
    own: frozenset[str]
    source: str
    base: str
    remarks: tuple[str, ...] = ()
    sizes: Mapping[str, TableSize] = field(default_factory=dict)
    denied: Collection[str] = ()
    round_trip: bool = False
    on_start: Callable[[Script], None] | None = None
    on_step: Callable[[FileTrace], None] | None = None
    on_notice: Callable[[Notice], None] | None = None


def rehearse(stage: Stage, *, keep_going: bool = False) -> Rehearsal:
    """Runs what is pending, as `Migrator.run` does. Writes; that a migration fails is no error here.

    Args:
        stage: Where, and how.
        keep_going: Whether to go on after a failure.

    Raises:
        FluxmigError: Other ones than of a failed migration, as `Migrator.run`.
    """
    started = time.perf_counter()
    with stage.engine.connect() as connection:
        dialect = dialect_of(stage.engine).met(connection)
        info = dialect.info(connection, None)
    performance = _Performance(stage, dialect, dialect.tracer(stage.own))
    plan = stage.migrator.plan()
    performance.run(keep_going=keep_going)
    files = tuple(performance.files)
    reached = {file.name for file in files}
    return Rehearsal(
        info.server,
        info.version,
        stage.source,
        stage.base,
        performance.tracer.knows_locks,
        files,
        tuple(each for file in files for each in findings(file, dialect.rules, stage.denied)),
        tuple(script.name for script in plan.scripts if script.name not in reached),
        stage.round_trip,
        stage.remarks,
        tuple(found for found in plan.findings if found.kind != "duplicate"),  # that is found for real
        stage.sizes,
        round(1000 * (time.perf_counter() - started)),
    )


@dataclass(slots=True)
class _Performance:
    """One rehearsal, and what was seen of it so far.

    Attributes:
        stage: Where.
        dialect: What its database can do.
        tracer: Who watches the statements.
        files: What was seen of each migration.
    """

    stage: Stage
    dialect: Dialect
    tracer: Tracer
    files: list[FileTrace] = field(default_factory=list)
    _script: Script | None = None
    _before: Catalog | None = None

    def run(self, *, keep_going: bool) -> None:
        """All that is pending. Of a failed file its trace tells, and of a broken round trip the trip."""
        try:
            with suppress(MigrationFailedError, _BrokenError):
                self.stage.migrator.run(
                    keep_going=keep_going,
                    on_start=self.begin,
                    on_step=self.end,
                    on_notice=self.stage.on_notice,
                    observer=self.tracer,
                )
        finally:
            self.tracer.close()

    def begin(self, script: Script) -> None:
        """Before a migration."""
        self._script = script
        if self.stage.round_trip:
            self._before = self._catalog()
        if self.stage.on_start:
            self.stage.on_start(script)

    def end(self, result: StepResult) -> None:
        """Behind a migration; takes it back and applies it again, where that was asked for."""
        script = self._script
        if script is None:
            return
        file = FileTrace(script.path, result, script.allowed, self.tracer.traces(script))
        is_whole = True
        if self.stage.round_trip and result.outcome is Outcome.APPLIED:
            trip, is_whole = self._round_trip(result.name)
            file = replace(file, round_trip=trip)
        self.files.append(file)
        if self.stage.on_step:
            self.stage.on_step(file)
        if not is_whole:
            raise _BrokenError

    def _round_trip(self, name: str) -> tuple[RoundTrip, bool]:
        """What came of it, and whether the database is as if there had been none."""
        migrator, after = self.stage.migrator, self._catalog()
        status = next(each for each in migrator.status() if each.name == name)
        if status.migration is None or status.migration.down is None:
            return RoundTrip(has_down=False), True
        try:
            migrator.rollback(expected=(name,))
        except (RollbackError, MigrationFileError) as error:
            why = error.failure.headline if isinstance(error, RollbackError) and error.failure else None
            is_whole = not self._differences(after, self._catalog())
            return RoundTrip(down_failure=why or error.message.partition("\n")[0]), is_whole
        trip = RoundTrip(not_restored=self._differences(self._before, self._catalog()))
        try:
            (again,) = migrator.run(only=name).results
        except MigrationFailedError as error:
            (again,) = error.failures
        if again.failure:  # it failed, or was marked for what the down script has left
            return replace(trip, up_failure=again.failure.headline), False
        return replace(trip, differs=self._differences(after, self._catalog())), True

    def _catalog(self) -> Catalog | None:
        with self.stage.engine.connect() as connection:
            return self.dialect.catalog(connection, without=self.stage.own)

    @staticmethod
    def _differences(before: Catalog | None, after: Catalog | None) -> tuple[str, ...]:
        """In words; nothing where the dialect knows no catalog."""
        if before is None or after is None:
            return ()
        return tuple(map(str, differences(before, after)))
