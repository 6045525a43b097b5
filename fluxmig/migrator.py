"""The library's front door: a folder, an engine, and the verbs of the command line as methods.

What only some of them need is loaded by these: most runs find nothing to do.

For an AsyncEngine: `await connection.run_sync(lambda c: Migrator(c, "migrations").run())`, with a connection
of `async with engine.connect() as connection`.
"""

from __future__ import annotations

import os
import re
import socket
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, PendingRollbackError

import fluxmig
from fluxmig import layouts, model, planner, sql
from fluxmig.dialects import dialect_of
from fluxmig.dialects.base import PAST_THE_POOLER
from fluxmig.errors import (
    ConfigError,
    DatabaseConnectionError,
    FluxmigError,
    LedgerError,
    MigrationFailedError,
    MigrationFileError,
    StoppedError,
)
from fluxmig.files import Files, prepared
from fluxmig.layouts.numbered import Folder
from fluxmig.ledger import Ledger, Snapshot
from fluxmig.lookout import Lookout
from fluxmig.model import (
    Event,
    Finding,
    Limits,
    LogEntry,
    Mode,
    OnDuplicate,
    Outcome,
    Plan,
    Report,
    Script,
    Verification,
)
from fluxmig.preparation import Preparation
from fluxmig.running import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from fluxmig.dialects.base import Tables
    from fluxmig.execute import Executor
    from fluxmig.loading.nouns import DataFiles, LoadMapping, LoadProgress, LoadReport, Refusal
    from fluxmig.model import (
        Adoption,
        AdoptionReport,
        Change,
        Mending,
        Migration,
        MigrationStatus,
        Notice,
        Record,
        RedoPlan,
        RedoReport,
        RollbackReport,
        RollbackResult,
        Settlement,
        StepResult,
        Wait,
    )
    from fluxmig.objects import Existing
    from fluxmig.patience import Patience
    from fluxmig.sending import Observer

__all__ = ["Migrator", "get_applied_migrations", "load", "run_migration"]

_FILE = "check the file's permissions"
_AGAIN = "run it again when the server is there"


def run_migration(
    bind: Engine | Connection,
    path: str | Path,
    *,
    table: str = "schema_migrations",
    schema: str | None = None,
    on_duplicate: OnDuplicate | str = OnDuplicate.MARK,
) -> StepResult:
    """Applies one file and records it. Writes.

    Args:
        bind: An Engine, or a Connection that is used and never closed.
        path: The file; its folder is the folder of migrations.
        table: As for `Migrator`.
        schema: As for `Migrator`.
        on_duplicate: As for `Migrator`.

    Raises:
        MigrationFailedError: The database refused it.
        LedgerError: It is applied already.
        FluxmigError: As `Migrator.run`.
    """
    path = Path(path)
    migrator = Migrator(bind, path.parent, table=table, schema=schema, on_duplicate=on_duplicate)
    return migrator.run(only=path.name).results[0]


def get_applied_migrations(
    bind: Engine | Connection, *, table: str = "schema_migrations", schema: str | None = None
) -> tuple[Record, ...]:
    """The rows of the ledger in the order of application; empty where there is no ledger. Only reads."""
    return Migrator(bind, table=table, schema=schema).applied()


def load(
    bind: Engine | Connection,
    mapping: LoadMapping | DataFiles | Mapping[str, Any] | str | Path,
    *,
    table: str = "schema_migrations",
    schema: str | None = None,
    batch: int | None = None,
    max_rejects: int = 0,
    dry_run: bool = False,
) -> LoadReport:
    """Loads files of JSON into tables. Writes, unless it is a dry run.

    Args:
        bind: An Engine, or a Connection that is used and never closed.
        mapping: What goes where: a `load.toml`, what stands in one, or the files alone.
        table: As for `Migrator`.
        schema: As for `Migrator`.
        batch: As for `Migrator.load`.
        max_rejects: As for `Migrator.load`.
        dry_run: As for `Migrator.load`.

    Raises:
        FluxmigError: As `Migrator.load`.
    """
    migrator = Migrator(bind, table=table, schema=schema)
    return migrator.load(mapping, batch=batch, max_rejects=max_rejects, dry_run=dry_run)


class Migrator:
    """A folder of migrations and a database.

    With an Engine, each migration has a transaction of its own. With a Connection, everything happens in it
    and it is never closed: outside a transaction, each migration commits; inside one, each is a savepoint,
    and whether it stays is the caller's to decide.

    Nothing is read before a method is called. Methods say whether they write.
    """

    def __init__(  # noqa: PLR0913  # keywords, and each a decision of the caller
        self,
        bind: Engine | Connection,
        migrations: str | Path | Files = "migrations",
        *,
        table: str = "schema_migrations",
        schema: str | None = None,
        on_duplicate: OnDuplicate | str = OnDuplicate.MARK,
        strict: bool = False,
        strict_order: bool = False,
        wait_lock_s: float = 300.0,
        lock_timeout_s: float | None = None,
        lock_retries: int = 10,
        statement_timeout_s: float | None = None,
        retry_connection_s: float = 0.0,
        query_text: bool = True,
        on_wait: Callable[[Wait], None] | None = None,
    ) -> None:
        """Keeps what it is given; touches neither folder nor database.

        Args:
            bind: An Engine or a Connection.
            migrations: The folder; or its files, read once for many databases.
            table: The ledger's name; the log's is that with `_log` behind it.
            schema: The ledger's schema; the connection's own by default.
            on_duplicate: What to do when an object is already there.
            strict: Whether files changed since they were applied stop a run.
            strict_order: Whether pending files that sort before an applied one stop a run.
            wait_lock_s: How many seconds to wait while another runner has the lock; 0 is at once.
            lock_timeout_s: How many seconds a statement waits for the lock of a table, 0 for ever; by default
                5, or what the server has set for the session, where that is shorter.
            lock_retries: How often a migration in a transaction is tried again that was held up so, or by a
                deadlock or a serialization failure.
            statement_timeout_s: How many seconds a statement may take, 0 for ever; by default what the server
                has set.
            retry_connection_s: How many seconds `run` waits for a server that it has lost the connection to,
                to go on then; 0 is not to go on. It needs an Engine.
            query_text: Whether the queries of those who hold a migration up are told.
            on_wait: Called when one has to wait, and for whom, on the calling thread.
        """
        if not isinstance(bind, Engine | Connection):
            raise ConfigError(
                f"an Engine or a Connection is needed, and not {type(bind).__name__}",
                remedy="for an AsyncEngine: await connection.run_sync(lambda c: Migrator(c).run())",
            )
        self._bind = bind
        self._files = migrations if isinstance(migrations, Files) else None
        self._folder = migrations.folder.path if isinstance(migrations, Files) else Path(migrations)
        self._table, self._schema = table, schema
        self._on_duplicate = OnDuplicate(on_duplicate)
        self._strict, self._strict_order = strict, strict_order
        self._wait_lock_s = wait_lock_s
        self._limits, self._lock_retries = Limits(lock_timeout_s, statement_timeout_s), lock_retries
        self._retry_connection_s = retry_connection_s
        self._query_text, self._on_wait = query_text, on_wait
        self._lookout = Lookout()
        self._dialect = dialect_of(bind)

    # --- reading ------------------------------------------------------------------------------------------

    def applied(self) -> tuple[Record, ...]:
        """The rows of the ledger in the order of application. Only reads."""
        with self._errors():
            _, snapshot = self._read()
        return snapshot.records

    def status(self) -> tuple[MigrationStatus, ...]:
        """Every migration on disk or in the ledger, in the order of the files. Only reads."""
        folder = self._read_folder()
        with self._errors():
            _, snapshot = self._read(folder)
        return self._preparation(folder, snapshot).statuses

    def plan(
        self,
        *,
        to: str | None = None,
        steps: int | None = None,
        only: str | None = None,
        restart: str | None = None,
    ) -> Plan:
        """What `run` would do with the same arguments, and everything it would refuse. Only reads."""
        folder = self._read_folder()
        with self._errors():
            _, snapshot = self._read(folder)
            ready = self._preparation(folder, snapshot)
            plan = ready.plan(planner.Selection(to, steps, only, restart), self._refused)
            with self._dialect.reading(self._bind) as connection:
                found = ready.duplicates(plan, self._on_duplicate, self._existing(connection))
            alone = self._without_a_session(plan.scripts)
            return replace(plan, findings=(*plan.findings, *found, *alone, *self._unprobed(plan)))

    def plan_sql(
        self,
        *,
        to: str | None = None,
        steps: int | None = None,
        only: str | None = None,
        restart: str | None = None,
    ) -> Iterator[str]:
        """The SQL that `run` would send, in pieces, for psql or the sqlite3 shell. Only reads."""
        from fluxmig.transcript import transcript  # noqa: PLC0415

        folder = self._read_folder()
        with self._errors():
            ledger, snapshot = self._read(folder)
        ready = self._preparation(folder, snapshot)
        plan = ready.plan(planner.Selection(to, steps, only, restart), self._refused)
        ledger.is_brought = self._is_brought(plan, ledger, snapshot)
        key = self._executor(ledger, snapshot).lock.key
        return transcript(plan, ledger, snapshot, self._dialect, self._bind.dialect, key, self._limits)

    def log(self, name: str | None = None) -> tuple[LogEntry, ...]:
        """The rows of the log in the order of writing. Only reads.

        Args:
            name: Of this migration alone, where it is given; its `.sql` may be left out.
        """
        with self._errors(), self._dialect.reading(self._bind) as connection:
            ledger = self._ledger(connection)
            if not ledger.log_exists(connection):
                return ()
            entries = ledger.entries(connection, name)
            return entries or (ledger.entries(connection, f"{name}.sql") if name else ())

    def verify(self) -> Verification:
        """Whether the database and the folder are fit for a run. Only reads, and changes nothing."""
        findings: list[Finding] = []
        warnings: list[Finding] = []
        folder = None
        try:
            folder = self._read_folder()
        except (MigrationFileError, ConfigError) as error:
            findings.append(Finding("files", error.message, (), error.remedy))
        with self._errors(), self._dialect.reading(self._bind) as connection:
            ledger = self._ledger(connection)
            snapshot = self._snapshot(ledger, connection, folder)
            info = self._dialect.info(connection, ledger.table.schema)
            can_create = self._dialect.may_create(connection, ledger.table.schema)
            can_write = self._dialect.may_write(connection, ledger.table) if snapshot.exists else None
            if refusal := self._dialect.read_only(connection):
                findings.append(Finding("permission", refusal.message, (), refusal.remedy))
            absent: tuple[Finding, ...] = ()
            ready = self._preparation(folder, snapshot) if folder else None
            if ready:
                absent = ready.absent(self._existing(connection))
        with self._errors():
            alone = self._without_a_session(ready.readable()) if ready else ()
        todo: tuple[Migration, ...] = ()
        if ready:
            todo = planner.pending(ready.statuses)
            findings += ready.folder.findings
            for finding in planner.findings(ready.statuses, todo):
                is_problem = finding.kind != "out of order" or self._strict_order
                (findings if is_problem else warnings).append(finding)
            findings += (*planner.unsettled(ready.statuses), *absent, *ready.unreadable(), *alone)
            warnings += planner.shared_numbers(ready.statuses)
        findings += self._permissions(ledger, info.user, can_create=can_create, can_write=can_write)
        return Verification(
            info,
            ledger.table.fullname,
            snapshot.exists,
            snapshot.log_exists,
            can_create,
            can_write,
            applied=len(snapshot.records),
            pending=len(todo),
            findings=tuple(findings),
            warnings=tuple(warnings),
            capabilities=self._dialect.capabilities,
        )

    def adopt_plan(self) -> tuple[Adoption, ...]:
        """What the database has of each pending migration, in the order of the files. Only reads.

        By names: of tables, columns, indexes and the like, and not by their definitions.

        Raises:
            MigrationFileError: A pending file cannot be read as a migration.
        """
        folder = self._read_folder()
        with self._errors(), self._dialect.reading(self._bind) as connection:
            return self._adoptions(connection, self._ledger(connection), folder)

    def rollback_plan(
        self, steps: int | None = None, *, to: str | None = None, record_only: bool = False
    ) -> RollbackReport:
        """What `rollback` would do with the same arguments; raises as it does. Only reads."""
        folder = self._folder_if_readable()
        with self._errors():
            _, snapshot = self._read(folder)
        planned, _ = self._way_back(folder, snapshot, steps, to, record_only=record_only)
        return planned

    def redo_plan(self, name: str | None = None) -> RedoPlan:
        """What `redo` would do with the same arguments; raises as it does. Only reads."""
        with self._errors():
            _, snapshot = self._read()
        return self._preparation(self._read_folder(), snapshot).redo(name)

    # --- writing ------------------------------------------------------------------------------------------

    def load(
        self,
        mapping: LoadMapping | DataFiles | Mapping[str, Any] | str | Path,
        *,
        batch: int | None = None,
        max_rejects: int = 0,
        dry_run: bool = False,
        stdin: IO[bytes] | None = None,
        on_refusal: Callable[[Refusal, Any], None] | None = None,
        on_progress: Callable[[LoadProgress], None] | None = None,
    ) -> LoadReport:
        """Loads files of JSON into tables. Writes, unless it is a dry run.

        Args:
            mapping: What goes where: a `load.toml`, what stands in one, or the files alone.
            batch: How many records a transaction has, so that what was interrupted goes on; None: it has all.
            max_rejects: How many records may be refused without an end.
            dry_run: Only says what does not fit.
            stdin: What a mapping reads as the file `-`.
            on_refusal: Called with each refusal and what was refused, on the calling thread.
            on_progress: Called after each piece of a file, likewise.

        Raises:
            ConfigError: The mapping does not fit the tables. Nothing is loaded.
            DataFileError: A file is not JSON. Nothing is loaded, but for the batches before.
            LoadError: Records do not fit, or the database refused them. Likewise.
            LockTimeoutError, DatabaseConnectionError: Likewise.
        """
        from fluxmig.loading.load import Load, understood  # noqa: PLC0415  # who migrates needs nothing of it

        with self._errors():
            ledger, snapshot = self._read()
            with self._dialect.reading(self._bind) as connection:
                tables = partial(self._dialect.loading(connection).tables, connection)
                found = understood(mapping, tables)
        executor = self._executor(ledger, snapshot)
        findings = [] if dry_run else self._without_log(executor)
        with self._errors():
            load = Load(
                self._bind,
                self._dialect,
                ledger,
                executor.lock,
                found,
                self._limits,
                stdin,
                batch,
                max_rejects,
                on_refusal,
                on_progress,
            )
            report = load.check() if dry_run else load.go()
        return replace(report, findings=(*findings, *report.findings))

    def run(
        self,
        *,
        to: str | None = None,
        steps: int | None = None,
        only: str | None = None,
        restart: str | None = None,
        keep_going: bool = False,
        on_start: Callable[[Script], None] | None = None,
        on_step: Callable[[StepResult], None] | None = None,
        on_notice: Callable[[Notice], None] | None = None,
        observer: Observer | None = None,
    ) -> Report:
        """Applies the pending migrations in order. Writes.

        Args:
            to: Up to and including this file name or number.
            steps: At most so many.
            only: This file name or number alone.
            restart: Of this partial migration, what an earlier attempt has done is done again.
            keep_going: Whether to go on after a failure; the error comes at the end then.
            on_start: Called before each migration, on the calling thread.
            on_step: Called after each migration, likewise.
            on_notice: Called with what the server says while a migration runs, likewise. An error of its own
                is lost.
            observer: Who watches the statements, which are then sent one by one; for rehearsals.

        Raises:
            MigrationFileError: A file cannot be read as a migration. Nothing was run.
            LedgerError: `strict` or `strict_order` refused something, or the table is no ledger. Nothing
                was run.
            MigrationFailedError: The database refused a migration. What came before stays applied.
            LockTimeoutError, DatabaseConnectionError: On the way; what came before stays applied.
                Of these three, `report` says what that is.
        """
        folder = self._read_folder()
        run = Run(keep_going, self._retry_connection_s, self._on_wait, on_start, on_step)
        try:
            with self._errors():
                ledger, snapshot = self._read(folder)
                ready = self._preparation(folder, snapshot)
                if planner.pending(ready.statuses):
                    self._probe(ledger)
                    ready = self._preparation(folder, snapshot)
                plan = ready.plan(planner.Selection(to, steps, only, restart), self._refused)
                self._refuse_without_a_session(plan.scripts)
                run.pending = tuple(migration.name for migration in planner.pending(ready.statuses))
                run.findings += plan.findings
                if not plan.scripts:
                    return run.report()
                executor = replace(self._executor(ledger, snapshot, on_notice), observer=observer)
                ledger.is_brought = self._is_brought(plan, ledger, snapshot)
                run.findings += run.again(executor, lambda: self._without_log(executor, plan.scripts[0]))
                run.go(executor, plan)
        except (FluxmigError, StoppedError) as error:
            error.report = run.report()
            raise
        report = run.report()
        if failures := report.having(Outcome.FAILED):
            cause = executor.causes.get(failures[0].name)
            raise MigrationFailedError(report=report, failures=failures) from cause
        return report

    def rollback(
        self,
        steps: int | None = None,
        *,
        to: str | None = None,
        record_only: bool = False,
        expected: Sequence[str] | None = None,
        on_step: Callable[[RollbackResult], None] | None = None,
        on_notice: Callable[[Notice], None] | None = None,
    ) -> RollbackReport:
        """Takes the last applied migrations back, newest first, each in a transaction of its own. Writes.

        Each is reversed by its down script, and its record removed with it. All of these are read, split and
        checked before the first one runs.

        Args:
            steps: At most so many; one, where `to` is not given either.
            to: All that was applied after this file name or number, which itself stays; "0" is before the
                first.
            record_only: Whether to remove the records alone, and leave what the SQL has done.
            expected: What a person has agreed to, by name: where it would not be these any more, nothing is
                done.
            on_step: Called after each, on the calling thread.
            on_notice: Called with what the server says while a down script runs, likewise. An error of its
                own is lost.

        Raises:
            RollbackError: Nothing is applied; or one of the migrations has no down script, or no file, and
                nothing was done. Or a down script failed: that one changed nothing, unless it runs without a
                transaction, and what came before it is taken back. `report` says what that is.
            LedgerError: `to` is not applied, or others than the expected ones would be taken back. Nothing
                was done.
        """
        from fluxmig.reversal import take_back  # noqa: PLC0415

        planned, results, findings = model.RollbackReport(), list[model.RollbackResult](), list[Finding]()

        def report() -> RollbackReport:
            return replace(planned, results=tuple(results), findings=tuple(findings))

        try:
            with self._errors():
                folder = self._folder_if_readable()
                ledger, snapshot = self._read(folder)
                if snapshot.records and not record_only:
                    self._probe(ledger)
                planned, scripts = self._way_back(folder, snapshot, steps, to, record_only=record_only)
                findings += planned.findings
                _refuse_unexpected(planned.names, expected)
                self._refuse_without_a_session(script for script in scripts if script)
                if not scripts:
                    return report()
                executor = self._executor(ledger, snapshot, on_notice)
                findings += _without_log(executor)
                with executor.patience.lookout:
                    for name, script in zip(planned.names, scripts, strict=True):
                        result = take_back(executor, name, script)
                        if result is None:
                            findings.append(_overtaken(name))
                            continue
                        results.append(result)
                        if on_step:
                            on_step(result)
        except (FluxmigError, StoppedError) as error:
            error.report = report()
            raise
        return report()

    def redo(
        self, name: str | None = None, *, on_notice: Callable[[Notice], None] | None = None
    ) -> RedoReport:
        """Takes a migration back by its down script, and applies its file as it is now. Writes.

        Both in one transaction, so that a failure of either changes nothing; where that cannot be
        (`RedoPlan.apart`), one after the other. It becomes the last one in the ledger. What was applied after
        it is not touched.

        Args:
            name: Its file name or number; the last one applied by default.
            on_notice: Called with what the server says meanwhile, on the calling thread. An error of its own
                is lost.

        Raises:
            RollbackError: Nothing is applied; or it has no down script, or no file; or the down script
                failed. Nothing was done, unless the down script runs without a transaction.
            MigrationFailedError: The file failed. Nothing was done; or the migration is taken back and
                pending, and the message and `report` say so.
            LedgerError: It is not applied.
        """
        from fluxmig.reversal import redo  # noqa: PLC0415

        findings: list[Finding] = []
        try:
            with self._errors():
                ledger, snapshot = self._read()
                if snapshot.records:
                    self._probe(ledger)
                plan = self._preparation(self._read_folder(), snapshot).redo(name)
                self._refuse_without_a_session((plan.down, plan.up))
                findings += plan.findings
                executor = self._executor(ledger, snapshot, on_notice)
                findings += _without_log(executor)
                with executor.patience.lookout:
                    report = redo(executor, plan)
        except FluxmigError as error:
            error.report = replace(error.report or model.RollbackReport(), findings=tuple(findings))
            raise
        return replace(report, findings=tuple(findings))

    def interrupt(self) -> None:
        """Ends the statement that another thread of this process is waiting for, if the driver can.

        For a signal's sake: the psycopg driver hears of one by itself, and SQLite's does not.
        """
        self._lookout.interrupt()

    # --- what the ledger says -----------------------------------------------------------------------------
    #
    # All of these write, with `dry_run` nothing but the answer; run or reverse no SQL of a migration; take a
    # file name, with or without `.sql`, or a number that one file alone has; and write `reason` into the log.
    # All changes are made in one transaction, or none.

    def mark(
        self,
        *names: str,
        through: str | None = None,
        all_pending: bool = False,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> Mending:
        """Records pending migrations as applied, without running them. Writes.

        Args:
            names: These; or
            through: all that are pending, up to and including this one; or
            all_pending: all. Of these last two there may be none, and then nothing is written.
            reason: Why, for the log.
            dry_run: Whether to write nothing.

        Raises:
            ConfigError: A name stands for nothing, or for several files.
            LedgerError: One of them is applied already or partial, or became so meanwhile.
        """
        from fluxmig import mend  # noqa: PLC0415

        return self._mend(
            lambda statuses: mend.mark(statuses, names, through=through, all_pending=all_pending),
            reason,
            dry_run=dry_run,
        )

    def unmark(self, *names: str, reason: str | None = None, dry_run: bool = False) -> Mending:
        """Removes the records of migrations, and touches nothing else. Writes; raises as `mark` does."""
        from fluxmig import mend  # noqa: PLC0415

        return self._mend(lambda statuses: mend.unmark(statuses, names), reason, dry_run=dry_run)

    def accept(self, *names: str, reason: str | None = None, dry_run: bool = False) -> Mending:
        """Records that edited files are right: their checksums replace the old ones. Writes.

        Raises:
            ConfigError: As `mark`.
            LedgerError: One of them is not applied, not in the folder, or unchanged.
        """
        from fluxmig import mend  # noqa: PLC0415

        return self._mend(lambda statuses: mend.accept(statuses, names), reason, dry_run=dry_run)

    def resolve(
        self, *names: str, settlement: Settlement | str, reason: str | None = None, dry_run: bool = False
    ) -> Mending:
        """Settles migrations that failed, stopped half-way, or were marked for a duplicate. Writes.

        Args:
            names: These.
            settlement: `DONE`: what failed or is partial is recorded as applied, without running the rest;
                the record of a marked one is right. `RETRY`: the next run begins with statement 1; the record
                of a marked one goes. Where a down script stopped half-way, the next rollback begins with its
                statement 1.
            reason: Why, for the log.
            dry_run: Whether to write nothing.

        Raises:
            ConfigError: As `mark`.
            LedgerError: One of them has nothing to settle; or the log, which alone could keep it, cannot be
                written.
        """
        from fluxmig import mend  # noqa: PLC0415

        settled = model.Settlement(settlement)
        return self._mend(lambda statuses: mend.resolve(statuses, names, settled), reason, dry_run=dry_run)

    def rename(self, old: str, new: str, *, reason: str | None = None, dry_run: bool = False) -> Mending:
        """Gives the record of a migration the name that its file has now. Writes.

        Raises:
            ConfigError: As `mark`.
            LedgerError: The old file is still there, or the old name not in the ledger; the new file is not
                there, applied already, or another than what was applied.
        """
        from fluxmig import mend  # noqa: PLC0415

        return self._mend(lambda statuses: mend.rename(statuses, old, new), reason, dry_run=dry_run)

    def mend(self, changes: Iterable[Change], *, reason: str | None = None) -> Mending:
        """Makes the changes that one of the methods above gave for a dry run, and no others. Writes.

        Raises:
            LedgerError: What they were decided on is no longer so; its message tells what is. Nothing is
                written then.
            LockTimeoutError, DatabaseConnectionError: Nothing is written, unless the message of the latter
                says that a commit is in doubt.
        """
        from fluxmig import bookkeeping, mend  # noqa: PLC0415

        changes = tuple(changes)
        mend.refuse_unfit(reason)
        if not changes:
            return model.Mending()
        with self._errors():
            ledger, snapshot = self._read()
            executor = self._executor(ledger, snapshot)
            findings = _without_log(executor)
            for finding in findings:
                _refuse_without_log(changes, finding)
            if reason and ledger.keeps_log and ledger.log_is_old:
                findings.append(_without_reason(ledger))
            check = partial(self._refuse_if_changed, changes)
            try:
                bookkeeping.write(changes, reason, ledger=ledger, lock=executor.lock, check=check)
            except IntegrityError:  # a tool that knows no lock came between check and writing
                with self._dialect.reading(self._bind) as connection:
                    check(connection)
                raise
        return model.Mending(changes, tuple(findings))

    def adopt(self, reason: str | None = None) -> AdoptionReport:
        """Records the pending migrations of which all is there, as `adopt_plan` tells, in one transaction.

        Runs nothing of any file. What another runner has recorded meanwhile is left out.

        Args:
            reason: Why, for the log.

        Raises:
            MigrationFileError: A pending file cannot be read as a migration. Nothing was recorded.
            LockTimeoutError: Another runner had the lock for too long. Nothing was recorded.
        """
        shown = {each.name for each in self.adopt_plan() if each.kind is model.AdoptionKind.EXISTS}
        if not shown:
            return model.AdoptionReport()
        folder = self._read_folder()
        with self._errors():
            ledger, snapshot = self._read()
            executor = self._executor(ledger, snapshot)
            findings = tuple(_without_log(executor))
            with executor.lock.transaction() as connection:
                found = self._adoptions(connection, ledger, folder)
                chosen = tuple(
                    each for each in found if each.kind is model.AdoptionKind.EXISTS and each.name in shown
                )
                files = {migration.name: migration for migration in folder.migrations}
                for each in chosen:
                    file = files[each.name]
                    entry = LogEntry(Event.ADOPTED, each.name, each.reason, reason=reason)
                    ledger.record(
                        connection, entry, checksum=file.checksum, duration_ms=None, source=file.source
                    )
        return model.AdoptionReport(chosen, findings)

    # --- parts --------------------------------------------------------------------------------------------

    def _mend(
        self,
        decide: Callable[[Sequence[MigrationStatus]], tuple[Change, ...]],
        reason: str | None,
        *,
        dry_run: bool,
    ) -> Mending:
        from fluxmig import mend  # noqa: PLC0415

        mend.refuse_unfit(reason)
        changes = decide(self.status())
        return model.Mending(changes) if dry_run else self.mend(changes, reason=reason)

    def _refuse_if_changed(self, changes: Sequence[Change], connection: Connection) -> None:
        """Reads both tables again, and raises where what the changes were decided on is no longer so.

        Without the texts that the log keeps: the files are those that were decided on.
        """
        from fluxmig import mend  # noqa: PLC0415

        files = tuple(
            status.migration for change in changes for status in change.statuses if status.migration
        )
        folder = Folder(self._folder, files)
        now = self._snapshot(self._ledger(connection), connection, None)
        mend.refuse_if_changed(changes, self._preparation(folder, now).statuses)

    def _read(self, folder: Folder | None = None) -> tuple[Ledger, Snapshot]:
        """The ledger and what it holds; for `_statuses` of a folder, with the texts that these need."""
        with self._dialect.reading_tables(self._bind, self._table, self._schema) as (connection, tables):
            ledger = self._ledger(connection, tables)
            return ledger, self._snapshot(ledger, connection, folder, tables)

    def _snapshot(
        self, ledger: Ledger, connection: Connection, folder: Folder | None, tables: Tables | None = None
    ) -> Snapshot:
        in_question = partial(planner.in_question, folder.migrations if folder else ())
        may_read = self._dialect.may_read
        return ledger.read(connection, may_read=may_read, in_question=in_question, tables=tables)

    def _ledger(self, connection: Connection, tables: Tables | None = None) -> Ledger:
        """The ledger with its schema spelled out, so that no search path that a file sets can hide it.

        What the dialect can do is known from here on: it has met the server.
        """
        self._dialect = self._dialect.met(connection)
        return Ledger(
            self._table,
            self._schema
            or (tables.schema if tables else self._dialect.ledger_schema(connection, self._table)),
            current_user=self._dialect.current_user,
            client=_client(),
            version=fluxmig.__version__,
            style=self._dialect.table_style,
            is_passing=self._dialect.is_passing,
            has_table=self._dialect.has_table,
        )

    def _read_folder(self) -> Folder:
        return self._files.folder if self._files else layouts.read(self._folder)

    def _probe(self, ledger: Ledger) -> None:
        """Has the dialect know what can be rolled back, where that is not known. Writes."""
        self._dialect = self._dialect.probed(self._bind, ledger.table.schema)

    def _preparation(self, folder: Folder, snapshot: Snapshot) -> Preparation:
        return Preparation(folder, snapshot, self._dialect, self._files.script if self._files else prepared)

    @property
    def _refused(self) -> frozenset[str]:
        """The kinds of findings that stop a run."""
        modified = {"modified"} if self._strict else set()
        return frozenset(modified | ({"out of order"} if self._strict_order else set()))

    def _existing(self, connection: Connection) -> Existing:
        """What asks the catalog."""
        return partial(self._dialect.existing, connection)

    def _adoptions(self, connection: Connection, ledger: Ledger, folder: Folder) -> tuple[Adoption, ...]:
        ready = self._preparation(folder, self._snapshot(ledger, connection, folder))
        return ready.adoptions(self._existing(connection))

    def _executor(
        self, ledger: Ledger, snapshot: Snapshot, on_notice: Callable[[Notice], None] | None = None
    ) -> Executor:
        from fluxmig.at_once import AtOnce  # noqa: PLC0415
        from fluxmig.execute import Executor  # noqa: PLC0415
        from fluxmig.lock import Lock  # noqa: PLC0415

        key = f"fluxmig:{ledger.table.fullname}"
        return Executor(
            self._bind,
            self._dialect,
            ledger,
            Lock(self._bind, self._dialect, key, self._wait_lock_s, self._on_wait),
            self._on_duplicate,
            self._patience(),
            attempted=frozenset(snapshot.progress),
            on_notice=on_notice,
            at_once=AtOnce(self._dialect, ledger, key),
            is_ready=snapshot.exists and snapshot.log_exists and not ledger.log_is_old,
            is_new=not snapshot.exists and not snapshot.log_exists,
        )

    def _without_log(self, executor: Executor, first: Script | None = None) -> list[Finding]:
        with self._errors():
            return _without_log(executor, first)

    def _patience(self) -> Patience:
        from fluxmig.patience import Patience  # noqa: PLC0415

        self._lookout = Lookout()
        return Patience(
            self._limits,
            self._lock_retries,
            shows_queries=self._query_text,
            tell=self._on_wait,
            lookout=self._lookout,
        )

    def _refuse_without_a_session(self, scripts: Iterable[Script]) -> None:
        """Raises `ConfigError` before anything runs, where a script needs a session and cannot have one."""
        scripts = tuple(scripts)
        if self._is_inside_a_transaction:
            for planned in scripts:
                if planned.mode is Mode.NO_TRANSACTION:
                    raise ConfigError(
                        f"{_outside(planned)}, and the given connection is inside one",
                        remedy="give fluxmig an Engine, or a Connection that is not in a transaction",
                    )
        for finding in self._without_a_session(scripts):
            raise ConfigError(finding.message, remedy=finding.remedy)

    def _without_a_session(self, scripts: Iterable[Script]) -> tuple[Finding, ...]:
        """What would be refused for want of a session to hold a lock; asks only if a script needs one."""
        alone = tuple(planned for planned in scripts if planned.mode is Mode.NO_TRANSACTION)
        if not alone or self._is_inside_a_transaction:
            return ()
        why = self._dialect.why_shared(self._bind)
        if why is None:
            return ()
        names = tuple(planned.path.name for planned in alone)
        message = f"{_outside(alone[0])}, under a lock that its session holds; but {why}"
        return (Finding("session", message, names, PAST_THE_POOLER),)

    def _unprobed(self, plan: Plan) -> tuple[Finding, ...]:
        """That a plan cannot tell in which mode its scripts will run, where only a probe can."""
        if not plan.scripts or self._dialect.has_transactional_ddl is not None:
            return ()
        message = (
            f"whether {self._dialect.product} rolls back what creates and drops is found out when something"
            " runs; where it does not, files that do so run statement by statement"
        )
        return (Finding("probe", message),)

    @property
    def _is_inside_a_transaction(self) -> bool:
        return isinstance(self._bind, Connection) and self._bind.in_transaction()

    def _is_brought(self, plan: Plan, ledger: Ledger, snapshot: Snapshot) -> bool:
        """Whether the first script makes the ledger itself: the dump of a database that had one."""
        if snapshot.exists or not plan.scripts:
            return False
        table, statements = ledger.table, plan.scripts[0].statements
        if next(statements.matches(_named(table.name)), None) is None:
            return False
        from fluxmig.objects import Created, created  # noqa: PLC0415

        own = {Created("table", table.name, schema) for schema in (None, table.schema)}
        return any(
            not own.isdisjoint(created(statements[place].sql, self._dialect.rules))
            for place in range(len(statements))
            if sql.first_word(statements.source, statements.start(place)) == b"CREATE"
        )

    def _folder_if_readable(self) -> Folder | None:
        try:
            return self._read_folder()
        except (ConfigError, MigrationFileError):
            return None

    def _way_back(
        self,
        folder: Folder | None,
        snapshot: Snapshot,
        steps: int | None,
        to: str | None,
        *,
        record_only: bool,
    ) -> tuple[RollbackReport, list[Script | None]]:
        """What to take back, newest first, and the down script of each made ready; None to run none."""
        if folder is None:
            # The ledger is enough to remove records, and to see that it is empty; else this raises.
            needed = snapshot.records and not record_only
            folder = self._read_folder() if needed else Folder(self._folder, ())
        ready = self._preparation(folder, snapshot)
        return ready.way_back(steps, to, record_only=record_only)

    def _permissions(
        self, ledger: Ledger, user: str | None, *, can_create: bool | None, can_write: bool | None
    ) -> list[Finding]:
        schema, name = ledger.table.schema, ledger.table.fullname
        grant = self._dialect.grant
        found = []
        if schema is None and self._dialect.current_user is not None:
            found.append(
                Finding("permission", "no schema of the search path exists", (), "CREATE SCHEMA, or --schema")
            )
        elif can_create is None and schema is not None:
            found.append(Finding("permission", f"there is no schema {schema}", (), f"CREATE SCHEMA {schema}"))
        elif can_create is False:
            where = f"in schema {schema}" if schema else "in the database's folder"
            remedy = grant("CREATE", schema, None, user) if schema and user else _FILE
            found.append(Finding("permission", f"the login may not create {where}", (), remedy))
        if can_write is False:
            needed = "SELECT, INSERT, DELETE"
            remedy = grant(needed, schema, ledger.table.name, user) if user else _FILE
            found.append(Finding("permission", f"the login may not write {name}", (), remedy))
        return found

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns what the database says outside a migration into the errors of this package."""
        try:
            yield
        except PendingRollbackError as error:  # what a lost connection's next statement is told
            raise DatabaseConnectionError("the connection was lost", remedy=_AGAIN) from error
        except DBAPIError as error:
            server = self._dialect.explain(error)
            code = f" [{server.code}]" if server.code else ""
            remedy = self._dialect.way_out(server)
            if self._dialect.is_lost(error) or error.orig is None:
                what = "the connection was lost" if error.connection_invalidated else "cannot connect"
                raise DatabaseConnectionError(
                    f"{what}: {server.message}{code}", remedy=remedy or _AGAIN
                ) from error
            if way := self._dialect.trouble(server):
                raise DatabaseConnectionError(
                    f"the server could not go on: {server.message}{code}", remedy=way
                ) from error
            if remedy:
                raise ConfigError(f"the database refuses: {server.message}{code}", remedy=remedy) from error
            raise LedgerError(
                f"the database refused fluxmig's own statement on {self._table}: {server.message}{code}",
                remedy="if the table is another tool's, choose another name with --table",
            ) from error


@lru_cache(maxsize=8)
def _named(table: str) -> re.Pattern[bytes]:
    """What a script has somewhere that makes the table: its name, if no quotation can write it otherwise."""
    name = re.escape(table) if re.fullmatch(r"\w+", table, re.ASCII) else ""
    return re.compile(name.encode(), re.IGNORECASE)


def _client() -> str:
    """Who runs this, as user@host; not from the environment, where anything can stand."""
    try:
        import pwd  # noqa: PLC0415  # POSIX only

        user = pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        user = f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"[:255]


def _outside(planned: Script) -> str:
    return f"{planned.path.name} has to run outside a transaction ({planned.reason})"


def _without_log(executor: Executor, first: Script | None = None) -> list[Finding]:
    """Makes the ledger and the log ready; gives why there is no log, where the ledger could be had alone."""
    why = executor.prepare(first)
    name = executor.ledger.log_table.fullname
    return [Finding("log", f"{name} cannot be made, so no events are kept: {why}")] if why else []


def _without_reason(ledger: Ledger) -> Finding:
    name = ledger.log_table.fullname
    message = f"{name} is that of an earlier version, so the reason is not kept"
    return Finding("log", message, (), "the login may not add its columns: run fluxmig once as its owner")


def _overtaken(name: str) -> Finding:
    return Finding("overtaken", f"{name} was taken back by another runner meanwhile", (name,))


def _refuse_unexpected(names: Sequence[str], expected: Sequence[str] | None) -> None:
    if expected is not None and tuple(names) != tuple(expected):
        raise LedgerError(
            f"nothing was taken back: by now it would be {', '.join(names) or 'nothing'}",
            remedy="the ledger has changed meanwhile: look again, by `fluxmig rollback --dry-run`",
            names=names,
        )


def _refuse_without_log(changes: Iterable[Change], finding: Finding) -> None:
    """Raises `LedgerError` where there is no log, and it alone could keep some of the changes."""
    from fluxmig import bookkeeping  # noqa: PLC0415

    names = [change.name for change in changes if change.action in bookkeeping.IN_THE_LOG_ALONE]
    if names:
        raise LedgerError(
            f"{finding.message}; and it alone could keep that {', '.join(names)} is settled",
            remedy="GRANT INSERT on it, or ask somebody who may write it",
            names=names,
        )
