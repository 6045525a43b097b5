"""One load: a plan, files and a database -> rows, a row of the log, and a report.

All of it is one transaction, under the runners' lock; with a batch size, each batch is one, together with the
row of the log that says how far it has come.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fluxmig.errors import ConfigError, DataFileError, LoadError
from fluxmig.loading import mapping
from fluxmig.loading.culprits import culprit, placed
from fluxmig.loading.guessing import mapping_of
from fluxmig.loading.nouns import (
    DataFiles,
    LoadMapping,
    LoadProgress,
    LoadReport,
    Refusal,
    TableTotals,
)
from fluxmig.loading.planning import names_of, plan, refuse_absent
from fluxmig.loading.records import Records
from fluxmig.loading.repeats import Repeats
from fluxmig.loading.spool import Spool
from fluxmig.loading.tallies import Tallies
from fluxmig.loading.writing import TableWriter, past_conflicts
from fluxmig.model import Event, Finding, Limits, LogEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Engine

    from fluxmig.dialects import Dialect
    from fluxmig.dialects.loading import Loading
    from fluxmig.ledger import Ledger
    from fluxmig.loading.planning import LoadPlan, Pass
    from fluxmig.loading.tables import Column, Rows, TableShape
    from fluxmig.lock import Lock

__all__ = ["Load", "understood"]

_STAYS = (
    "the batches before are loaded; the same command goes on behind them, if no file changes; if one does,"
    " --on-conflict skip passes over what is there"
)
_NOTHING = "nothing is loaded; --max-rejects N lets so many records be refused, --rejects FILE keeps them"


def understood(
    said: LoadMapping | DataFiles | Mapping[str, Any] | str | Path, tables: Callable[[], Sequence[str]]
) -> LoadMapping:
    """The mapping that is meant: by itself, by its file, by what stands in one, or by files alone.

    Raises:
        ConfigError: What is meant cannot be told.
        DataFileError: A file cannot be read.
    """
    match said:
        case LoadMapping():
            return said
        case DataFiles():
            return mapping_of(said, tables)
        case str() | Path():
            return mapping.read(Path(said))
        case _:
            return mapping.of_dict(said)


@dataclass(slots=True)
class Load:
    """One load, and what has become of it so far.

    Attributes:
        bind: An Engine; or the caller's Connection.
        dialect: What its database can do.
        ledger: Where it is recorded.
        lock: What keeps runners out.
        mapping: What goes where.
        limits: How long a statement may wait.
        stdin: Standard input, where the mapping reads it.
        batch: How many records a transaction has; None: one has all.
        max_rejects: How many records may be refused.
        on_refusal: Hears of each refusal, and of what was refused.
        on_progress: Hears how far it has come.
    """

    bind: Engine | Connection
    dialect: Dialect
    ledger: Ledger
    lock: Lock
    mapping: LoadMapping
    limits: Limits = field(default_factory=Limits)
    stdin: IO[bytes] | None = None
    batch: int | None = None
    max_rejects: int = 0
    on_refusal: Callable[[Refusal, Any], None] | None = None
    on_progress: Callable[[LoadProgress], None] | None = None
    _started: float = field(default_factory=time.perf_counter)
    _is_dry: bool = False
    _tallies: Tallies = field(init=False)
    _records: Records = field(init=False)
    _findings: list[Finding] = field(default_factory=list)
    _resumed: dict[str, int] = field(default_factory=dict)
    _live: TableWriter | None = None
    _connection: Connection | None = None
    _keys: dict[str, int] = field(default_factory=dict)
    _committed: tuple[TableTotals, ...] | None = None

    # --- what is asked for --------------------------------------------------------------------------------

    def go(self) -> LoadReport:
        """Loads.

        Raises:
            ConfigError: The mapping does not fit the tables, or cannot be carried out. Nothing is loaded.
            DataFileError: A file is not what it should be. Nothing is loaded, but for the batches before.
            LoadError: More records than may be do not fit, or the database refused them. Likewise.
        """
        loading, planned = self._planned()
        label = planned.passes[0].label
        try:
            self._carry_out(loading, planned)
        except (DataFileError, LoadError) as error:
            self._failed(error, label)
            raise
        except KeyboardInterrupt as error:
            self._log(LogEntry(Event.INTERRUPTED, label, str(error) or None))
            raise
        return self._report()

    def check(self) -> LoadReport:
        """What does not fit, as far as that can be told without writing. Only reads.

        Raises:
            ConfigError, DataFileError, LoadError: As `go`; of the last, several refusals are gathered.
        """
        self._is_dry = True
        _, planned = self._planned()
        seen = Repeats(planned.targets.values())
        try:
            for each in planned.passes:
                for batch, rows in self._records.rows(each):
                    for some in rows:
                        self._tallies[some.table].read += len(some)
                        for refusal in seen.among(some, each.file):
                            line = batch.line_of_number(refusal.record)
                            self._tallies.refuse(replace(refusal, line=line), None)
            self._tallies.settle()
        except LoadError as error:
            if seen.table:
                error.remedy = past_conflicts(planned.targets[seen.table])
            raise
        return self._report()

    # --- one transaction, or many -------------------------------------------------------------------------

    def _carry_out(self, loading: Loading, planned: LoadPlan) -> None:
        """Loads; what the database refuses is a `LoadError`, with the record that it is about."""
        try:
            if self.batch is None:
                self._at_once(loading, planned)
            else:
                self._in_batches(loading, planned)
        except LoadError as error:
            if isinstance(error.__cause__, DBAPIError):
                raise self._placed(error, error.__cause__, loading, planned) from error.__cause__
            raise
        except DBAPIError as error:  # at the commit, or none of the rows' doing
            if self.dialect.is_passing(error):
                raise
            server = self.dialect.explain(error)
            code = f" [{server.code}]" if server.code else ""
            failure = LoadError(
                f"the database refuses: {server.message}{code}",
                remedy=self.dialect.way_out(server) or self.dialect.remedy(server),
                refusals=self._tallies.refusals,
            )
            raise self._placed(failure, error, loading, planned) from error

    def _placed(
        self, failure: LoadError, error: DBAPIError, loading: Loading, planned: LoadPlan
    ) -> LoadError:
        """The failure, with the record that is to blame where the database has told only of its key."""
        again = replace(self._records, refuse=lambda _, __: None, goes_on=True, on_progress=None)
        shapes = [target.shape for target in planned.targets.values()]
        if any(refusal.record for refusal in failure.refusals[-1:]):
            if self.max_rejects:  # of which the last one is one too many
                return failure
            last = failure.refusals[-1]
            columns = loading.blamed(error, planned.targets[last.table].shape)
            with suppress(DataFileError):
                last = placed(planned, again, last, columns)
            return LoadError(str(last), remedy=failure.remedy, refusals=[last])
        reason = self.dialect.explain(error).reason
        suspects: list[Refusal] = []
        for breach in loading.breaches(error, shapes):
            with suppress(DataFileError, SQLAlchemyError), self.dialect.reading(self.bind) as connection:
                among = partial(loading.among, connection, planned.targets[breach.table].shape, breach)
                found = culprit(planned, again, breach, among, reason)
                suspects += [found] if found else []
                if found and breach.is_sure:
                    break
        if not suspects or len({suspect.record for suspect in suspects}) > 1:
            return failure  # a file is another one by now, say, or it was standard input
        found = suspects[0] if len(suspects) == 1 else replace(suspects[0], column=None, path=None)
        return LoadError(str(found), remedy=failure.remedy, refusals=[*failure.refusals[:-1], found])

    def _planned(self) -> tuple[Loading, LoadPlan]:
        """The plan, by the tables as they are; what cannot be is refused here."""
        with self.dialect.reading(self.bind) as connection:
            loading = self.dialect.loading(connection)
            try:
                shapes = loading.shapes(connection, names_of(self.mapping))
            except DBAPIError as error:
                if self.dialect.is_passing(error):
                    raise
                why = self.dialect.explain(error).message
                raise ConfigError(
                    f"the tables of {self.dialect.product} cannot be read: {why}",
                    remedy="a load needs a dialect of SQLAlchemy that reads its database's catalog",
                ) from error
            absent = None in shapes.values()
            there = refuse_absent(shapes, loading.tables(connection) if absent else ())
        planned = plan(
            self.mapping, there, defers=loading.defers, keeps_nul=loading.keeps_nul, batch=self.batch
        )
        self._tallies = Tallies(
            planned.order, most=self.max_rejects, is_dry=self._is_dry, tell=self.on_refusal
        )
        self._records = Records(
            self._tallies.refuse, self.max_rejects > 0, self.stdin, on_progress=self.on_progress
        )
        for fitter in (each for of in planned.passes for root in of.fitters for each in root.family):
            fitter.matcher.generate = partial(self._generate, loading)
        return loading, planned

    def _generate(self, loading: Loading, shape: TableShape, column: Column, count: int) -> list[Any] | None:
        """Keys of rows that are not written yet, for their children."""
        behind = self._keys.get(shape.name, 0)
        if self._is_dry:
            return list(range(count))
        if self._live:  # nothing can be asked while rows are streamed
            self._live.finish()
        if self._connection is not None:
            made = loading.keys(self._connection, shape, column, count, behind)
        else:
            with self.dialect.transaction(self.bind) as connection:
                made = loading.keys(connection, shape, column, count, behind)
        if made and isinstance(made[-1], int):
            self._keys[shape.name] = made[-1]
        return made

    def _at_once(self, loading: Loading, planned: LoadPlan) -> None:
        spools: dict[tuple[str, str], Spool] = {}
        read: set[int] = set()
        try:
            with self._writing(loading, planned) as connection:
                for table in planned.order:
                    writer = self._writer(connection, loading, planned, table)
                    with _abandoned(writer):
                        for number, each in enumerate(planned.passes):
                            if table in each.tables and number not in read:
                                read.add(number)
                                self._stream(each, writer, spools)
                        for (file, waiting), spool in spools.items():
                            if waiting == table:
                                for rows in spool.take():
                                    writer.write(rows, file)
                        writer.finish()
                self._finish(connection, loading, planned)
                for each in planned.passes:
                    self._loaded(connection, each, planned)
        finally:
            for spool in spools.values():
                spool.close()

    def _stream(self, each: Pass, writer: TableWriter, spools: dict[tuple[str, str], Spool]) -> None:
        """Reads a file; the rows of one table are written as they come, and others wait their turn."""
        self._live = writer
        for _, rows in self._records.rows(each):
            for some in rows:
                self._tallies[some.table].read += len(some)
                if some.table == writer.target.shape.name:
                    writer.write(some, each.file)
                    continue
                waiting = (each.file, some.table)
                if waiting not in spools:
                    spools[waiting] = Spool()
                spools[waiting].add(some)

    def _in_batches(self, loading: Loading, planned: LoadPlan) -> None:
        digest = _digest(self.mapping, planned)
        with self.dialect.reading(self.bind) as connection:
            done = self.ledger.loading(connection, digest)
        for each in planned.passes:
            behind = done.get(each.label, 0)
            if behind:
                self._resumed[each.label] = behind
            for number, rows in self._batches(each, behind):
                with self._writing(loading, planned) as connection:
                    self._write(connection, loading, planned, each, rows)
                    entry = LogEntry(Event.LOADING, each.label, statement_number=number)
                    self.ledger.log(connection, entry, checksum=digest)
                self._committed = self._tallies.totals()
        with self._writing(loading, planned) as connection:
            self._finish(connection, loading, planned)
            for each in planned.passes:
                self._loaded(connection, each, planned, digest)

    def _batches(self, each: Pass, behind: int) -> Iterator[tuple[int, list[Rows]]]:
        """Rows of so many records at a time, and the number of the last of them."""
        gathered: list[Rows] = []
        count, last = 0, behind
        for batch, rows in self._records.rows(each, behind, self.batch):
            gathered += rows
            count += len(batch.records)
            last = batch.first + len(batch.records) - 1
            if count >= (self.batch or 1):
                yield last, gathered
                gathered, count = [], 0
        if count:
            yield last, gathered

    def _write(
        self, connection: Connection, loading: Loading, planned: LoadPlan, each: Pass, rows: Sequence[Rows]
    ) -> None:
        for table in (table for table in planned.order if table in each.tables):
            writer = self._writer(connection, loading, planned, table)
            with _abandoned(writer):
                for some in (some for some in rows if some.table == table):
                    writer.tally.read += len(some)
                    writer.write(some, each.file)
                writer.finish()

    @contextmanager
    def _writing(self, loading: Loading, planned: LoadPlan) -> Iterator[Connection]:
        """A transaction under the runners' lock."""
        with self.lock.transaction(before=self.dialect.enforce) as connection:
            self.dialect.limit(connection, self.limits)
            with loading.session(connection, defer=planned.deferred):
                self._connection = connection
                try:
                    yield connection
                finally:
                    self._connection = self._live = None

    def _writer(self, connection: Connection, loading: Loading, planned: LoadPlan, table: str) -> TableWriter:
        target, tally = planned.targets[table], self._tallies[table]
        refuse = self._tallies.refuse_row if self.max_rejects else None
        return TableWriter(connection, self.dialect, loading, target, tally, refuse)

    def _finish(self, connection: Connection, loading: Loading, planned: LoadPlan) -> None:
        """Moves what counts columns on."""
        for table in planned.order:
            names = tuple(self._tallies[table].names)
            moved = loading.move(connection, planned.targets[table].shape, names)
            self._findings += [Finding("sequence", each) for each in moved]

    # --- the log and the report ---------------------------------------------------------------------------

    def _loaded(
        self, connection: Connection, each: Pass, planned: LoadPlan, digest: str | None = None
    ) -> None:
        counts = self._tallies.totals(table for table in planned.order if table in each.tables)
        message = "; ".join(f"{of.table}: {of.inserted} inserted, {of.updated} updated" for of in counts)
        elapsed_ms = round((time.perf_counter() - self._started) * 1000)
        entry = LogEntry(Event.LOADED, each.label, message)
        self.ledger.log(connection, entry, checksum=digest, duration_ms=elapsed_ms)

    def _failed(self, error: DataFileError | LoadError, label: str) -> None:
        """Keeps it in the log, and adds what stays and the way out."""
        self._log(LogEntry(Event.FAILED, label, error.message))
        if self._committed:
            error.loaded = replace(self._report(), tables=self._committed)
        if self.batch is not None:
            stays = _STAYS
            error.remedy = f"{error.remedy}\n{stays}" if error.remedy else stays
        elif isinstance(error, LoadError) and error.refusals and not self.max_rejects:
            error.remedy = f"{error.remedy}\n{_NOTHING}" if error.remedy else _NOTHING

    def _log(self, entry: LogEntry) -> None:
        """Keeps what went wrong in the log; an error on the way never hides it."""
        with suppress(SQLAlchemyError), self.dialect.transaction(self.bind) as connection:
            self.ledger.log(connection, entry)

    def _report(self) -> LoadReport:
        return LoadReport(
            self._tallies.totals(),
            tuple(self._tallies.refusals),
            tuple(self._findings),
            self._resumed,
            self._is_dry,
            round((time.perf_counter() - self._started) * 1000),
        )


@contextmanager
def _abandoned(writer: TableWriter) -> Iterator[None]:
    """Has the server forget what is under way, where something else goes wrong."""
    try:
        yield
    except BaseException:
        with suppress(Exception):
            writer.abandon()
        raise


def _digest(said: LoadMapping, planned: LoadPlan) -> str:
    """What this load is known by when it is gone on with: what is in the files, and what becomes of it."""
    known = hashlib.sha256(repr(said.rules).encode())
    for file in dict.fromkeys(each.file for each in planned.passes):
        try:
            with Path(file).open("rb") as content:
                known.update(hashlib.file_digest(content, "sha256").digest())
        except OSError as error:
            raise DataFileError(f"{file}: cannot be read: {error.strerror}") from error
    return known.hexdigest()
