"""What a fleet's runs have come to, as it comes: in a SQLite file, or in two tables of a control database.

Others may read it meanwhile. No URL is kept, so a run that resumes is given the targets again.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    create_engine,
    event,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from fluxmig.connect import reach
from fluxmig.errors import ConfigError, DatabaseConnectionError
from fluxmig.fleet.model import FleetReport, Result, TargetState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Engine, Row

__all__ = ["DEFAULT", "State", "opened"]

DEFAULT = Path(".fluxmig", "fleet.sqlite")
"""The file of the command line, where no other is named."""

_MAKES = "`fluxmig fleet run`, without --resume, makes one"
_BUSY_S = 30
"""How long a SQLite file that another runner writes is waited for."""

_METADATA = MetaData()
_RUNS = Table(
    "fluxmig_fleet_runs",
    _METADATA,
    Column("run", String(40), primary_key=True),
    Column("began_at", String(40), nullable=False),
    Column("ended_at", String(40)),
    Column("digest", String(64), nullable=False),
    Column("stopped", Text),
)
_RESULTS = Table(
    "fluxmig_fleet_results",
    _METADATA,
    Column("run", String(40), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("target_group", String(255), nullable=False),
    Column("state", String(20), nullable=False),
    Column("wave", String(80), nullable=False),
    Column("began_at", String(40)),
    Column("duration_ms", Integer),
    Column("tries", Integer, nullable=False),
    Column("exit_code", Integer, nullable=False),
    Column("message", Text),
    Column("facts", Text, nullable=False),
)
_IDENTITY = {"run", "name", "number"}
_RESULT = (
    update(_RESULTS)
    .where(_RESULTS.c.run == bindparam("new_run"), _RESULTS.c.name == bindparam("new_name"))
    .values({each.name: bindparam(f"new_{each.name}") for each in _RESULTS.c if each.name not in _IDENTITY})
)
"""What has become of a target; made once, since there is one for each that begins or ends."""


@contextmanager
def opened(
    place: str | Path, environ: Mapping[str, str] | None = None, *, must_exist: bool = False
) -> Iterator[State]:
    """The state at a place; the tables are made where they are missing, unless they must exist.

    Args:
        place: A file, or the URL of a control database.
        environ: Where libpq's own variables are looked up.
        must_exist: Whether it is an error that there is none yet.

    Raises:
        ConfigError: It cannot be had, or used.
        DatabaseConnectionError: The control database does not answer.
    """
    state_at = _found if must_exist else _made
    if "://" in str(place):
        with reach(str(place), must_exist=must_exist, environ=environ) as engine:
            yield state_at(engine, "the control database")
        return
    path = Path(place)
    if must_exist and not path.is_file():
        raise ConfigError(f"there is no state of a fleet at {path}", remedy=_MAKES)
    with suppress(FileExistsError):
        path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_S})
    event.listen(engine, "connect", _set_up)
    try:
        yield state_at(engine, str(path))
    finally:
        engine.dispose()


class State:
    """The runs of fleets, in one place; used by one thread."""

    def __init__(self, engine: Engine, place: str) -> None:
        self._engine, self._place = engine, place

    def begin(self, digest: str, results: Sequence[Result]) -> str:
        """A new run, by its name, with what is to be known of each target before it begins."""
        now = datetime.now(UTC)
        run = f"{now:%Y%m%d-%H%M%S}-{uuid4().hex[:6]}"
        rows = [{**_values(result), "run": run, "number": number} for number, result in enumerate(results)]
        with self._writing() as connection:
            connection.execute(insert(_RUNS), {"run": run, "began_at": now.isoformat(), "digest": digest})
            if rows:
                connection.execute(insert(_RESULTS), rows)
        return run

    def write(self, run: str, results: Iterable[Result]) -> None:
        """What has become of some targets, in one transaction."""
        rows = [{f"new_{key}": value for key, value in _values(result).items()} for result in results]
        if not rows:
            return
        for row in rows:
            row["new_run"] = run
        with self._writing() as connection:
            connection.execute(_RESULT, rows)

    def end(self, run: str, stopped: str | None) -> None:
        """A run has ended."""
        values = {"ended_at": datetime.now(UTC).isoformat(), "stopped": stopped}
        with self._writing() as connection:
            connection.execute(update(_RUNS).where(_RUNS.c.run == run).values(values))

    def report(self, run: str | None = None) -> FleetReport:
        """What a run has come to by now; the last one where none is named.

        Raises:
            ConfigError: There is no such run.
        """
        query = select(_RUNS).order_by(_RUNS.c.began_at.desc()).limit(1)
        with self._writing() as connection:
            found = connection.execute(query.where(_RUNS.c.run == run) if run else query).first()
            if found is None:
                what = f"no run {run}" if run else "no run of a fleet"
                raise ConfigError(f"{self._place} has {what}", remedy=_MAKES)
            rows = connection.execute(
                select(_RESULTS).where(_RESULTS.c.run == found.run).order_by(_RESULTS.c.number)
            ).all()
        began_at, ended_at = datetime.fromisoformat(found.began_at), _time(found.ended_at)
        duration = (ended_at or datetime.now(UTC)) - began_at
        return FleetReport(
            tuple(map(_result, rows)),
            found.stopped,
            round(duration.total_seconds() * 1000),
            found.run,
            began_at,
            ended_at,
        )

    def refuse_strangers(self, names: Iterable[str]) -> None:
        """Raises `ConfigError` where earlier runs knew none of these targets: it is another fleet's."""
        with self._writing() as connection:
            known = set(connection.scalars(select(_RESULTS.c.name).distinct()))
        if known.isdisjoint(names):
            raise ConfigError(
                f"{self._place} is the state of another fleet: its runs knew none of these targets",
                remedy="name the state of the earlier run with --state, or leave --resume out",
            )

    def done(self, digest: str) -> Mapping[str, Result]:
        """The targets that earlier runs of the same have done, by name."""
        query = (
            select(_RESULTS)
            .join(_RUNS, _RUNS.c.run == _RESULTS.c.run)
            .where(_RUNS.c.digest == digest, _RESULTS.c.state == TargetState.DONE.value)
            .order_by(_RUNS.c.began_at)
        )
        with self._writing() as connection:
            return {row.name: _result(row) for row in connection.execute(query)}

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise DatabaseConnectionError(
                f"the state of the fleet cannot be used, {self._place}: {error.orig}",
                remedy="name another place with --state",
            ) from error


def _made(engine: Engine, place: str) -> State:
    """The state, with its tables; another runner may make them at the same time, and be first with each."""
    state = State(engine, place)
    for _ in _METADATA.tables:
        with suppress(DBAPIError):
            _METADATA.create_all(engine)
            return state
    with state._writing() as connection:  # noqa: SLF001  # for its errors
        _METADATA.create_all(connection)
    return state


def _found(engine: Engine, place: str) -> State:
    """The state whose tables are there; raises `ConfigError` where they are not."""
    state = State(engine, place)
    with state._writing() as connection:  # noqa: SLF001  # for its errors
        if not inspect(connection).has_table(_RUNS.name):
            raise ConfigError(f"{place} has no run of a fleet", remedy=_MAKES)
    return state


def _set_up(connection: Any, _: object) -> None:
    """Has readers and a writer not wait for each other, and a commit not for the disk.

    A result that is lost with the machine is found again by the target's own ledger.
    """
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


_FACTS = ("applied", "marked", "pending", "at", "conditions", "fingerprint", "detail", "worker")


def _values(result: Result) -> dict[str, Any]:
    facts = {name: getattr(result, name) for name in _FACTS}
    return {
        "name": result.name,
        "target_group": result.group,
        "state": result.state.value,
        "wave": result.wave,
        "began_at": result.began_at.isoformat() if result.began_at else None,
        "duration_ms": result.duration_ms,
        "tries": result.tries,
        "exit_code": result.exit_code,
        "message": result.message,
        "facts": json.dumps(facts),
    }


def _result(row: Row[Any]) -> Result:
    facts = json.loads(row.facts)
    result = Result(
        row.name,
        row.target_group,
        TargetState(row.state),
        row.wave,
        exit_code=row.exit_code,
        message=row.message,
        began_at=_time(row.began_at),
        duration_ms=row.duration_ms,
        tries=row.tries,
    )
    return replace(result, **facts | {name: tuple(facts[name]) for name in ("applied", "marked")})


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
