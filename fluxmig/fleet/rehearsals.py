"""What is pending on a fleet, run for real on a scratch copy of one target for each distinct state."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fluxmig import scratch, structure
from fluxmig.connect import parse_url, reach, within
from fluxmig.dialects import dialect_of
from fluxmig.errors import ConfigError, FluxmigError
from fluxmig.files import Files
from fluxmig.fleet.model import Manner, StateRehearsal
from fluxmig.fleet.targets import expanded
from fluxmig.migrator import Migrator
from fluxmig.rehearsal import Stage
from fluxmig.rehearsal import rehearse as rehearse_one

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from sqlalchemy import Engine

    from fluxmig.fleet.model import FleetReport, Result, Target
    from fluxmig.model import DatabaseInfo
    from fluxmig.trace import Rehearsal

__all__ = ["rehearse"]


def rehearse(
    targets: Iterable[Target],
    report: FleetReport,
    migrations: str | Path | Files = "migrations",
    *,
    manner: Manner | None = None,
    source: str = "auto",
    environ: Mapping[str, str] | None = None,
    postgres_bin: Path | None = None,
    denied: Collection[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[StateRehearsal]:
    """A rehearsal for each state that targets with something pending are in, as each is done.

    Targets of one kind of database whose ledgers say the same are in one state: the first stands for all.
    Only reads the targets. That a migration fails, or a target cannot be copied, is no error here.

    Args:
        targets: The fleet.
        report: What `status` has found of it.
        migrations: The folder, or its files.
        manner: As that of `run`.
        source: Where scratch databases come from, as `fluxmig rehearse --on` has it.
        environ: As that of `run`.
        postgres_bin: The binaries of the embedded server.
        denied: The names of findings that a rehearsal fails for.
        tell: Called with a line before what may take long.
    """
    files = migrations if isinstance(migrations, Files) else Files.read(Path(migrations))
    by_name = {target.name: target for target in targets}
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in report.results:
        if result.pending and result.fingerprint:
            kind = _kind(by_name[result.name], environ or {})
            groups.setdefault((kind, result.fingerprint), []).append(result)
    with ExitStack() as stack:
        stages = _Stages(stack, files, manner or Manner(), source, environ or {}, postgres_bin, denied, tell)
        for (_, fingerprint), results in groups.items():
            names, first = tuple(result.name for result in results), results[0]
            state = (fingerprint, names, first.at, first.pending or 0)
            try:
                yield StateRehearsal(*state, rehearsal=stages.rehearse(by_name[first.name]))
            except FluxmigError as error:
                yield StateRehearsal(*state, message=str(error), own_code=error.exit_code)


def _kind(target: Target, environ: Mapping[str, str]) -> str:
    """SQLAlchemy's name of the database; of a URL that is not known here, nothing."""
    try:
        return parse_url(expanded(target.url, environ)).get_backend_name()
    except ConfigError:  # the rehearsal will say so
        return ""


@dataclass(frozen=True, slots=True)
class _Stages:
    """Scratch databases, on one server for each product and release that targets have."""

    stack: ExitStack
    files: Files
    manner: Manner
    source: str
    environ: Mapping[str, str]
    postgres_bin: Path | None
    denied: Collection[str]
    tell: Callable[[str], None]
    servers: dict[tuple[str, str], scratch.Server] = field(default_factory=dict)

    def rehearse(self, target: Target) -> Rehearsal:
        """What is pending on a target, on a copy of its structure and its ledger."""
        manner, table = self.manner, self.manner.table
        url, schema = self._within(target, expanded(target.url, self.environ, target.place))
        own = frozenset({table, f"{table}_log"})
        with ExitStack() as stack:
            engine = stack.enter_context(
                reach(url, read_only=True, production=manner.production, environ=self.environ)
            )
            server = self._server(engine)
            made = server.create()
            stack.callback(server.drop, made)
            copy = stack.enter_context(reach(self._within(target, made)[0]))
            count = structure.copy(
                engine,
                copy,
                (table, f"{table}_log"),
                schema,
                environ=self.environ,
                postgres_bin=self.postgres_bin,
            )
            migrator = Migrator(
                copy,
                self.files,
                table=table,
                schema=schema,
                on_duplicate=manner.on_duplicate,
                strict=manner.strict,
                strict_order=manner.strict_order,
            )
            base = f"the structure of {target.name}, with {count} records in its ledger"
            stage = Stage(copy, migrator, own, server.source, base, server.remarks, denied=self.denied)
            return rehearse_one(stage, keep_going=manner.keep_going)

    def _within(self, target: Target, url: str) -> tuple[str, str | None]:
        if target.schema is None:
            return url, self.manner.schema
        return within(url, target.schema, target.shared, self.environ)

    def _server(self, engine: Engine) -> scratch.Server:
        with engine.connect() as connection:
            info: DatabaseInfo = dialect_of(engine).met(connection).info(connection, None)
        key = (info.server, info.version)
        if key not in self.servers:
            opened = scratch.open_server(
                self.source,
                like=info,
                environ=self.environ,
                postgres_bin=self.postgres_bin,
                tell=self.tell,
            )
            self.servers[key] = self.stack.enter_context(opened)
        return self.servers[key]
