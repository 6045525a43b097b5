"""The ledger `schema_migrations` and the log `schema_migrations_log`, through SQLAlchemy Core.

The ledger's columns are those of FluxStudio's Node runner, so both tools can use one table by turns. The log
is append-only and fluxmig's own; the Node runner never looks at it.
"""

from __future__ import annotations

import base64
import zlib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    and_,
    delete,
    false,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable

from fluxmig.dialects.base import TableStyle, has_table, send_as_is
from fluxmig.errors import LedgerError
from fluxmig.layouts.numbered import migration_of
from fluxmig.model import Event, LogEntry, Progress, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Insert, ScalarSelect, Select
    from sqlalchemy import Dialect as Driver

    from fluxmig.dialects.base import Tables

__all__ = ["KEPT_BYTES", "Ledger", "Snapshot"]

KEPT_BYTES = 2**20
"""How large a file may be for its text to be kept in the log."""

_SMALL_BYTES = 2**14
"""How large a text may be to be remembered as the log keeps it: 32 MB at most, of all that are."""

_ENDS = frozenset(
    {Event.APPLIED, Event.MARKED, Event.ROLLED_BACK, Event.UNRECORDED, Event.RESTARTED}
    | {Event.MARKED_BY_HAND, Event.ADOPTED, Event.RESOLVED, Event.RENAMED}
)
"""Behind one of these, earlier progress says nothing."""

_ATTEMPT = (Event.STARTED.value, Event.PROGRESS.value, Event.FAILED.value)
"""What an attempt without a transaction writes on its way."""

_ANY_SCHEMA = "fluxmig: any schema"
"""Stands for the schema in SQL that is made once for all of them: many of one database may have a ledger."""

_AT_ONCE = 500
"""Names in one query: databases allow so many parameters and not many more."""

_EVENTS = {event.value: event for event in Event}

_PLAIN_STYLE = TableStyle()

_TRIAL = "(a trial of fluxmig's)"

_ENTRY = (
    *("event", "migration_name", "message", "error_code", "statement_number", "line", "id", "logged_at"),
    *("duration_ms", "checksum", "database_user", "client", "fluxmig_version"),
    *("reason", "statements", "lost", "unchecked"),
)

_LATER = ("reason", "statements", "lost", "unchecked", "source")
"""Columns that a log of an earlier version does not have."""

_RECORDS = tuple(
    event.value
    for event in (
        Event.APPLIED,
        Event.MARKED,
        Event.MARKED_BY_HAND,
        Event.ADOPTED,
        Event.ACCEPTED,
        Event.RENAMED,
    )
)
"""Events with the text that the ledger's record stands for."""

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What both tables hold.

    Attributes:
        exists: Whether the ledger is there.
        log_exists: Whether the log is there.
        records: The ledger's rows in the order of application.
        last_events: The newest row of the log for each migration.
        progress: How far each script has come that runs without a transaction and has not come to its end.
        texts: What the log has kept of the migrations in question.
    """

    exists: bool = False
    log_exists: bool = False
    records: tuple[Record, ...] = ()
    last_events: Mapping[str, LogEntry] = field(default_factory=dict)
    progress: Mapping[str, Progress] = field(default_factory=dict)
    texts: Mapping[str, bytes] = field(default_factory=dict)


class Ledger:
    """Both tables of one database. Every name is bound or quoted, never interpolated.

    Attributes:
        writes_log: Whether events are written to the log; set to False where it cannot be made.
        is_brought: Whether the tables are not there yet, and a script that is about to run makes them itself:
            the dump of a database that had them.
        reserved: The migration whose row was written, or removed, before its script.
        log_is_old: Whether the log was found without the columns that came later.
    """

    def __init__(
        self,
        name: str,
        schema: str | None,
        *,
        current_user: ColumnElement[str] | None,
        client: str,
        version: str,
        style: TableStyle | None = None,
        is_passing: Callable[[DBAPIError], bool] = attrgetter("connection_invalidated"),
        has_table: Callable[[Connection, Table], bool] = has_table,
    ) -> None:
        """Describes the tables; touches no database.

        Args:
            name: The ledger's name; the log's is that with `_log` behind it.
            schema: The schema of both, or None.
            current_user: The expression for the database user, or None where there are no users; then
                `client` stands in its place.
            client: Who runs fluxmig, as `user@host`.
            version: fluxmig's version, for the log.
            style: How the database wants them made.
            is_passing: Whether an error says nothing of the tables.
            has_table: How to ask whether one of them is there.
        """
        self._has_table = has_table
        self._client, self._version, self._is_passing = client, version, is_passing
        self._has_users = current_user is not None
        self._style = style = style or _PLAIN_STYLE
        self.writes_log, self.is_brought, self.log_is_old = True, False, False
        self.reserved: str | None = None
        self._name, self._schema, self._current_user = name, schema, current_user

    @property
    def table(self) -> Table:
        """The ledger."""
        return self._tables[0]

    @property
    def log_table(self) -> Table:
        """The log."""
        return self._tables[1]

    @cached_property
    def _tables(self) -> tuple[Table, Table]:
        """Both; described when they are first asked for, since who finds nothing to do never asks."""
        return _tables(self._name, self._schema, self._style, self._current_user)

    @property
    def _of_any_schema(self) -> tuple[Table, Table]:
        """Both as `_ANY_SCHEMA` has them, where they are in one."""
        return _tables(self._name, self._schema and _ANY_SCHEMA, self._style, self._current_user)

    @property
    def keeps_log(self) -> bool:
        """Whether events are written: there is a log, or none is brought yet."""
        return self.writes_log and not self.is_brought

    # --- reading ------------------------------------------------------------------------------------------

    def read(
        self,
        connection: Connection,
        *,
        may_read: Callable[[Connection, Table], bool],
        in_question: Callable[[Sequence[Record]], Sequence[str]] = lambda _: (),
        tables: Tables | None = None,
    ) -> Snapshot:
        """Everything, in a fixed number of queries; one more where a text is in question. Creates nothing.

        Args:
            connection: Where to read.
            may_read: Whether the login may read a table; a log that it may not read is as good as none.
            in_question: Of which records the kept text is asked for.
            tables: What is known to be there, in a database that can join both tables in full. Then one query
                does, and none where neither is there.
        """
        if tables and tables.log_columns.issuperset(self._of_any_schema[1].c.keys()):
            records, last_events, has_started = self._joined(connection)
            progress = self.progress(connection) if has_started else {}
            texts = self._texts(connection, in_question(records))
            return Snapshot(True, True, records, last_events, progress, texts)
        exists = tables.exists if tables else self.exists(connection)
        log_exists = tables.log_exists if tables else self.log_exists(connection)
        records = self._records(connection) if exists else ()
        if not log_exists or not may_read(connection, self.log_table) or self._is_known_to_fail(connection):
            return Snapshot(exists, log_exists, records)
        names = in_question(records)
        try:
            last_events, progress, texts = self._from_log(
                connection,
                lambda: (
                    self._last_events(connection, exists=exists),
                    self.progress(connection),
                    self._texts(connection, names),
                ),
            )
        except DBAPIError as error:
            if self._is_passing(error):
                raise
            return Snapshot(exists, log_exists, records)  # another's table
        return Snapshot(exists, log_exists, records, last_events, progress, texts)

    def entries(self, connection: Connection, name: str | None = None) -> tuple[LogEntry, ...]:
        """The rows of the log in the order of writing; of one migration where its name is given."""

        def read() -> tuple[LogEntry, ...]:
            query = self._select_entries().order_by(self.log_table.c.id)
            if name is not None:
                query = query.where(self.log_table.c.migration_name == name)
            return tuple(_entries(connection.execute(query).all()))

        return self._from_log(connection, read)

    def text(self, connection: Connection, name: str) -> bytes | None:
        """The text that the ledger's record of a migration stands for; None where the log has not kept it.

        It is that of the file without a byte order mark, and kept of files of up to `KEPT_BYTES`.
        """
        return self._from_log(connection, lambda: self._texts(connection, [name])).get(name)

    def _texts(self, connection: Connection, names: Sequence[str]) -> dict[str, bytes]:
        """The texts of several migrations, but of those whose text was not kept; no query for no names."""
        found: dict[str, bytes] = {}
        if not names:
            return found
        log = self.log_table.c
        # Who resolves a failed one as done records the file as it is then; a marked one has its text.
        resolved = and_(log.event == Event.RESOLVED.value, log.checksum.is_not(None))
        records = or_(log.event.in_(_RECORDS), resolved)
        for first in range(0, 0 if self.log_is_old else len(names), _AT_ONCE):
            some = names[first : first + _AT_ONCE]
            newest = select(func.max(log.id)).where(log.migration_name.in_(some), records)
            rows = connection.execute(
                select(log.migration_name, log.source).where(log.id.in_(newest.group_by(log.migration_name)))
            )
            for name, kept in rows:
                if (text := _unpacked(kept)) is not None:
                    found[name] = text
        return found

    def progress(self, connection: Connection, name: str | None = None) -> dict[str, Progress]:
        """How far each script has come that was started and has not come to its end.

        Args:
            connection: Where to read.
            name: Only this one's, where it is given.
        """
        if not self.keeps_log:
            return {}
        log = self.log_table.c
        begun = select(log.migration_name).where(log.event == Event.STARTED.value)
        if name is not None:
            begun = begun.where(log.migration_name == name)
        if connection.execute(begun.limit(1)).first() is None:
            return {}
        query = select(log.migration_name, log.event, func.max(log.id)).group_by(
            log.migration_name, log.event
        )
        if name is not None:
            query = query.where(log.migration_name.in_({name, migration_of(name)}))
        newest: dict[str, dict[str, int]] = {}
        for script, event, number in connection.execute(query):
            newest.setdefault(script, {})[event] = number
        found = {}
        for script, events in newest.items():
            started, done = events.get(Event.STARTED, 0), events.get(Event.PROGRESS, 0)
            if not started:
                continue
            of_migration = newest.get(migration_of(script), events)
            end = max(max(of.get(event, 0) for of in (events, of_migration)) for event in _ENDS)
            if started < end:
                continue
            rows = connection.execute(
                select(log.event, log.statement_number, log.checksum)
                .where(log.migration_name == script, log.id >= max(done, end), log.event.in_(_ATTEMPT))
                .order_by(log.id)
            ).all()
            first = rows[0] if done > end else (None, 0, "")
            found[script] = Progress(first[1], first[2], _cut_off([row[0] for row in rows]))
        return found

    def loading(self, connection: Connection, digest: str) -> dict[str, int]:
        """How many records of each file a load has done that has not come to its end.

        Args:
            connection: Where to read.
            digest: What the load is known by.
        """
        if not self.keeps_log or not self.log_exists(connection):
            return {}
        log = self.log_table.c
        query = select(log.event, log.migration_name, log.statement_number).order_by(log.id)
        done: dict[str, int] = {}
        for event, name, number in connection.execute(query.where(log.checksum == digest)):
            if event == Event.LOADED:
                done.clear()
            elif event == Event.LOADING:
                done[name] = number
        return done

    def exists(self, connection: Connection) -> bool:
        """Whether the ledger is there."""
        return self._has_table(connection, self.table)

    def log_exists(self, connection: Connection) -> bool:
        """Whether the log is there."""
        return self._has_table(connection, self.log_table)

    def has(self, connection: Connection, name: str) -> bool:
        """Whether the ledger has the migration; asked again under the lock."""
        if self.is_brought and not self.exists(connection):
            return False
        column = self.table.c.migration_name
        return connection.execute(select(column).where(column == name)).first() is not None

    def names(self, connection: Connection) -> frozenset[str]:
        """The names of all that the ledger has."""
        if self.is_brought:
            return frozenset()
        return frozenset(connection.scalars(select(self.table.c.migration_name)))

    def _records(self, connection: Connection) -> tuple[Record, ...]:
        rows = connection.execute(select(self.table).order_by(self.table.c.id)).all()
        return tuple(_record(*row) for row in rows)

    def _joined(self, connection: Connection) -> tuple[tuple[Record, ...], dict[str, LogEntry], bool]:
        """The ledger, the newest rows of the log, and whether a script was ever started by itself."""
        table, log_table = self._of_any_schema
        options = {"schema_translate_map": {_ANY_SCHEMA: self._schema}}
        found = connection.execute(_joining(table, log_table), execution_options=options)
        rows = [tuple(row) for row in found.all()]
        behind = 1 + len(table.c)
        records = tuple(_record(*row[1:behind]) for row in rows if row[1] is not None)
        entries = _entries(row[behind:] for row in rows if row[behind] is not None)
        return records, {entry.name: entry for entry in entries}, any(row[0] for row in rows[:1])

    def _last_events(self, connection: Connection, *, exists: bool) -> dict[str, LogEntry]:
        """The newest row of each migration, of those that tell what it is.

        Args:
            connection: Where to read.
            exists: Whether there is a ledger.
        """
        rows = connection.execute(self._select_newest(exists=exists))
        return {entry.name: entry for entry in _entries(rows.all())}

    def _select_newest(self, *, exists: bool) -> Select[Any]:
        """The newest row of each migration, as `_newest` has it."""
        return _newest(self.table if exists else None, self.log_table, is_old=self.log_is_old)

    def _select_entries(self) -> Select[Any]:
        """The columns of the log that there are, but for the text; in the order of a `LogEntry`'s."""
        return _entry_columns(self.log_table, is_old=self.log_is_old)

    def _from_log(self, connection: Connection, read: Callable[[], _Read]) -> _Read:
        """What `read` gives; again, where the log turns out to be that of an earlier version."""
        if not self._style.has_savepoints:  # what fails would be the end of the transaction
            self.log_is_old = not self._columns_of_log(connection).issuperset(_LATER)
        try:
            with self._part(connection):
                return read()
        except DBAPIError as error:
            if self.log_is_old or not self._style.has_savepoints or self._is_passing(error):
                raise
        self.log_is_old = True
        with connection.begin_nested():
            return read()

    def _is_known_to_fail(self, connection: Connection) -> bool:
        """Whether the log is another's table, where finding out by an error would end the transaction."""
        if self._style.has_savepoints:
            return False
        needed = {column.name for column in self.log_table.c if column.name not in _LATER}
        return not needed <= self._columns_of_log(connection)

    def _columns_of_log(self, connection: Connection) -> set[str]:
        """As a query tells them: not every dialect can read its catalog."""
        rows = connection.execute(select(text("*")).select_from(self.log_table).where(false()))
        return set(rows.keys())

    def _part(self, connection: Connection) -> AbstractContextManager[object]:
        """A part of the transaction that may fail alone, where there is such a thing."""
        return connection.begin_nested() if self._style.has_savepoints else nullcontext()

    # --- writing ------------------------------------------------------------------------------------------

    def create(self, connection: Connection) -> None:
        """Creates the ledger, if it is not there.

        Where what a script creates cannot be rolled back, one that is there is tried, and nothing left in it:
        a login that may not write it is told before anything runs.
        """
        if not self.exists(connection):
            self.table.create(connection)
        elif self._style.has_savepoints and not self._style.ddl_in_savepoints:
            with connection.begin_nested() as trial:
                connection.execute(self.record_statement(_TRIAL, "", None))
                connection.execute(delete(self.table).where(self.table.c.migration_name == _TRIAL))
                trial.rollback()

    def both(self, driver: Driver) -> str:
        """The SQL that makes both tables, as text for one message."""
        kind: Callable[[], Driver] = type(driver)
        made = _both(*self._of_any_schema, kind)
        if self._schema:
            place, name = map(driver.identifier_preparer.quote_schema, (_ANY_SCHEMA, self._schema))
            made = tuple(command.replace(f"{place}.", f"{name}.", 1) for command in made)
        # An index has the schema in its name.
        indexes = (str(CreateIndex(index).compile(dialect=driver)) for index in self.log_table.indexes)
        return ";\n".join(
            command % () for command in (*made, *indexes)
        )  # percent signs are doubled for the driver

    def create_log(self, connection: Connection) -> None:
        """Creates the log; where there is one, tries it, and leaves nothing in it."""
        if not self.log_exists(connection):
            self.log_table.create(connection)
            return
        if self.log_is_old:
            self._add_columns(connection)
        connection.execute(self._select_entries().where(false()))
        if not self._style.has_savepoints:
            return
        with connection.begin_nested() as trial:
            connection.execute(self.log_statement(LogEntry(Event.STARTED, self.log_table.name)))
            trial.rollback()

    def _add_columns(self, connection: Connection) -> None:
        """Gives a log of an earlier version the columns that came later; without the right to, it stays."""
        log = self.log_table
        there = self._columns_of_log(connection)
        quote = connection.dialect.identifier_preparer
        try:
            with self._part(connection) if self._style.ddl_in_savepoints else nullcontext():
                for name in _LATER:
                    if name not in there:
                        kind = log.c[name].type.compile(connection.dialect)
                        send_as_is(
                            connection, f"ALTER TABLE {quote.format_table(log)} ADD COLUMN {name} {kind}"
                        )
        except DBAPIError as error:
            if self._is_passing(error):
                raise
        else:
            self.log_is_old = False

    def reserve(self, connection: Connection, name: str, *, checksum: str, present: bool) -> None:
        """Writes the row of a migration before its script runs, or removes it, for `record` and `remove`.

        Where a database knows no lock that two runners could agree on, the row is one: the second runner
        waits for the first one's transaction, or is refused. Those two then write the log, and the duration.
        """
        if present:
            found = connection.execute(delete(self.table).where(self.table.c.migration_name == name))
            _expect_one(found.rowcount, self.table, name)
        else:
            connection.execute(self.record_statement(name, checksum, None))
        self.reserved = name

    def claim(self, connection: Connection) -> None:
        """Has a transaction that has just begun take the lock of a write to the log; writes nothing."""
        log = self.log_table
        connection.execute(update(log).where(false()).values(id=log.c.id))

    def record(
        self,
        connection: Connection,
        entry: LogEntry,
        *,
        checksum: str,
        duration_ms: int | None,
        source: bytes | None = None,
    ) -> None:
        """Adds the migration to the ledger and the event to the log.

        Args:
            connection: In the transaction that shall hold both rows.
            entry: Applied or marked, and what the log shall tell beside.
            checksum: All 64 digits.
            duration_ms: The script; None where none ran.
            source: The file's bytes, for the log to keep.
        """
        if self.is_brought:
            self.create(connection)
            self.create_log(connection)
            self.is_brought = False
        if self.reserved == entry.name:
            self.update(connection, entry.name, {"execution_time_ms": duration_ms})
        else:
            statement = self.record_statement(entry.name, checksum, duration_ms)
            written = connection.execute(statement, execution_options={"preserve_rowcount": True})
            count = written.rowcount
            if count == -1:  # SQLAlchemy before 2.0.28 keeps none of an INSERT
                count = int(self.has(connection, entry.name))
            _expect_one(count, self.table, entry.name)
        self.log(connection, entry, checksum=checksum, duration_ms=duration_ms, source=source)

    def record_statement(self, name: str, checksum: str, duration_ms: int | None) -> Insert:
        """What adds a row to the ledger."""
        values: dict[str, object] = {"migration_name": name, "checksum": checksum}
        values["execution_time_ms"] = duration_ms
        if not self._has_users:
            values["applied_by"] = self._client
        if self._style.counts:
            values["id"] = _next_number(self.table)
        return insert(self.table).values(values).inline()

    def remove(self, connection: Connection, entry: LogEntry, *, duration_ms: int | None = None) -> None:
        """Removes the migration from the ledger and adds the event to the log."""
        if self.reserved != entry.name:
            found = connection.execute(delete(self.table).where(self.table.c.migration_name == entry.name))
            _expect_one(found.rowcount, self.table, entry.name)
        self.log(connection, entry, duration_ms=duration_ms)

    def update(self, connection: Connection, name: str, values: Mapping[str, object]) -> None:
        """Gives columns of the migration's row in the ledger other values; the log is left alone."""
        row = update(self.table).where(self.table.c.migration_name == name).values(values)
        _expect_one(connection.execute(row).rowcount, self.table, name)

    def log(
        self,
        connection: Connection,
        entry: LogEntry,
        *,
        checksum: str | None = None,
        duration_ms: int | None = None,
        source: bytes | None = None,
    ) -> None:
        """Adds a row to the log, unless there is none."""
        if self.keeps_log:
            connection.execute(
                self.log_statement(entry, checksum=checksum, duration_ms=duration_ms, source=source)
            )

    def kept(self, source: bytes) -> str | None:
        """A text as the log keeps it; None if it is too large, or the log has no place for it."""
        return None if self.log_is_old else _kept(source)

    def log_statement(
        self,
        entry: LogEntry,
        *,
        checksum: str | None = None,
        duration_ms: int | None = None,
        source: bytes | None = None,
    ) -> Insert:
        """What adds a row to the log."""
        values: dict[str, object] = {
            "event": str(entry.event),
            "migration_name": entry.name,
            "message": entry.message,
            "error_code": entry.error_code,
            "statement_number": entry.statement_number,
            "line": entry.line,
            "checksum": checksum,
            "duration_ms": duration_ms,
            "client": self._client,
            "fluxmig_version": self._version,
        }
        later = {
            "reason": entry.reason,
            "statements": entry.statements,
            "lost": entry.lost,
            "unchecked": entry.unchecked,
            "source": self.kept(source) if source is not None else None,
        }
        if not self.log_is_old:
            values |= {name: value for name, value in later.items() if value is not None}
        if not self._has_users:
            values["database_user"] = self._client
        if self._style.counts:
            values["id"] = _next_number(self.log_table)
        return insert(self.log_table).values(values).inline()


@lru_cache(maxsize=64)
def _tables(
    name: str, schema: str | None, style: TableStyle, current_user: ColumnElement[str] | None
) -> tuple[Table, Table]:
    """The ledger and the log, described: once, so that SQL made for them once can be sent again."""
    options: dict[str, Any] = {"schema": schema, **style.options}
    metadata = MetaData()
    table = Table(
        name,
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=not style.counts),
        Column("migration_name", String(255), unique=True, nullable=False),
        Column("applied_at", style.time, server_default=style.now),
        Column("execution_time_ms", Integer),
        Column("checksum", String(64)),
        Column("applied_by", String(255), server_default=current_user),
        **options,
    )
    log_table = Table(
        f"{name}_log",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=not style.counts),
        Column("event", String(32), nullable=False),
        Column("migration_name", String(255), nullable=False, index=True),
        Column("logged_at", style.time, server_default=style.now, nullable=False),
        Column("duration_ms", Integer),
        Column("checksum", String(64)),
        Column("database_user", String(255), server_default=current_user),
        Column("client", String(255)),
        Column("fluxmig_version", String(32)),
        Column("error_code", String(64)),
        Column("message", style.text),
        Column("statement_number", Integer),
        Column("line", Integer),
        Column("reason", style.text),
        Column("statements", Integer),
        Column("lost", Integer),
        Column("unchecked", Integer),
        Column("source", style.text),
        **options,
    )
    return table, log_table


@lru_cache(maxsize=16)
def _joining(table: Table, log_table: Table) -> Select[Any]:
    """The ledger beside the newest rows of the log, and whether a script was ever started by itself."""
    ledger, log = table.c, log_table.c
    newest = _newest(table, log_table, is_old=False).subquery("newest")
    joined = table.outerjoin(newest, newest.c.migration_name == ledger.migration_name, full=True)
    started = select(log.id).where(log.event == Event.STARTED.value).exists()
    return select(started, *ledger, *newest.c).select_from(joined).order_by(ledger.id)


def _newest(table: Table | None, log_table: Table, *, is_old: bool) -> Select[Any]:
    """The newest row of each migration.

    Not `accepted`, which leaves a marked one marked; nor the failure or the interruption of one that the
    ledger has, which is that of an attempt to redo it and left it as it was.

    Args:
        table: The ledger, where there is one.
        log_table: The log.
        is_old: Whether the log has no columns that came later.
    """
    log = log_table.c
    tells = log.event != Event.ACCEPTED.value
    if table is not None:
        applied = select(table.c.migration_name)
        in_vain = (Event.FAILED.value, Event.INTERRUPTED.value)
        tells &= log.event.not_in(in_vain) | log.migration_name.not_in(applied)
    newest = select(func.max(log.id)).where(tells)
    return _entry_columns(log_table, is_old=is_old).where(log.id.in_(newest.group_by(log.migration_name)))


def _entry_columns(log_table: Table, *, is_old: bool) -> Select[Any]:
    """The columns of a log, but for the text; in the order of a `LogEntry`'s."""
    there = [name for name in _ENTRY if not is_old or name not in _LATER]
    return select(*(log_table.c[name] for name in there))


@lru_cache(maxsize=16)
def _both(table: Table, log_table: Table, driver: Callable[[], Driver]) -> tuple[str, ...]:
    """What makes each of the tables, compiled once for many databases."""
    return tuple(str(CreateTable(each).compile(dialect=driver())) for each in (table, log_table))


def _next_number(table: Table) -> ScalarSelect[int]:
    """The number of the next row; where two ask at once, one of them is refused."""
    return select(func.coalesce(func.max(table.c.id), 0) + 1).scalar_subquery()


def _cut_off(events: Sequence[str]) -> bool:
    """Whether one of the attempts since the last progress, from that on, has ended without a word."""
    following = (*events[1:], None)
    return any(Event.FAILED not in pair for pair in zip(events, following, strict=True))


def _expect_one(count: int, table: Table, name: str) -> None:
    if count not in {1, -1}:  # -1: the driver cannot tell (PEP 249)
        raise LedgerError(f"{table.fullname}: {count} rows were written for {name}, and not 1", names=[name])


def _kept(source: bytes) -> str | None:
    """A text as the log keeps it: compressed, in characters that every database has; None if too large."""
    if len(source) > KEPT_BYTES:
        return None
    return (_packed_once if len(source) <= _SMALL_BYTES else _packed)(source)


def _packed(source: bytes) -> str:
    # With less memory than by default, which takes longer to be had than most texts to be packed.
    pack = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, zlib.MAX_WBITS, 6)
    return base64.b64encode(pack.compress(source) + pack.flush()).decode()


_packed_once = lru_cache(maxsize=1024)(_packed)
"""For many databases that the same files are applied to."""


def _unpacked(kept: str | None) -> bytes | None:
    """The text; None if there is none, or something else than `_kept` makes."""
    try:
        return zlib.decompress(base64.b64decode(kept)) if kept else None
    except (ValueError, zlib.error):
        return None


def _record(
    number: int,
    name: str,
    applied_at: datetime | None,
    time_ms: int | None,
    checksum: str | None,
    by: str | None,
) -> Record:
    return Record(number, name, _aware(applied_at), time_ms, checksum, by)


def _entries(rows: Iterable[Sequence[Any]]) -> Iterator[LogEntry]:
    """The rows of the log, whose columns are those of `_ENTRY`, or the first of them."""
    for event, name, message, code, statement, line, number, logged_at, *others in rows:
        known, at = _EVENTS.get(event, event), _aware(logged_at)
        yield LogEntry(known, name, message, code, statement, line, number, at, *others)


def _aware(time: datetime | None) -> datetime | None:
    """SQLite keeps UTC, without saying so."""
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time
