"""The ledger `schema_migrations` and the log `schema_migrations_log`, through SQLAlchemy Core.

The ledger's columns are those of FluxStudio's Node runner, so both tools can use one table by turns. The log
is append-only and fluxmig's own; the Node runner never looks at it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING

from sqlalchemy import (
    TIMESTAMP,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    inspect,
    select,
)

from fluxmig.errors import LedgerError
from fluxmig.model import Event, LogEntry, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection
    from sqlalchemy.sql.functions import FunctionElement

__all__ = ["Ledger", "Snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What both tables hold.

    Attributes:
        exists: Whether the ledger is there.
        log_exists: Whether the log is there.
        records: The ledger's rows in the order of application.
        last_events: The newest row of the log for each migration.
    """

    exists: bool = False
    log_exists: bool = False
    records: tuple[Record, ...] = ()
    last_events: Mapping[str, LogEntry] = field(default_factory=dict)


class Ledger:
    """Both tables of one database. Every name is bound or quoted, never interpolated.

    Attributes:
        table: The ledger.
        log_table: The log.
        writes_log: Whether events are written to the log; set to False where it cannot be made.
    """

    def __init__(
        self,
        name: str,
        schema: str | None,
        *,
        current_user: FunctionElement[str] | None,
        client: str,
        version: str,
    ) -> None:
        """Describes the tables; touches no database.

        Args:
            name: The ledger's name; the log's is that with `_log` behind it.
            schema: The schema of both, or None.
            current_user: The expression for the database user, or None where there are no users; then
                `client` stands in its place.
            client: Who runs fluxmig, as `user@host`.
            version: fluxmig's version, for the log.
        """
        self._client, self._version = client, version
        self._has_users = current_user is not None
        self.writes_log = True
        metadata = MetaData()
        self.table = Table(
            name,
            metadata,
            Column("id", Integer, primary_key=True, autoincrement=True),
            Column("migration_name", String(255), unique=True, nullable=False),
            Column("applied_at", TIMESTAMP(timezone=True), server_default=func.now()),
            Column("execution_time_ms", Integer),
            Column("checksum", String(64)),
            Column("applied_by", String(255), server_default=current_user),
            schema=schema,
        )
        self.log_table = Table(
            f"{name}_log",
            metadata,
            Column("id", Integer, primary_key=True, autoincrement=True),
            Column("event", String(32), nullable=False),
            Column("migration_name", String(255), nullable=False, index=True),
            Column("logged_at", TIMESTAMP(timezone=True), server_default=func.now(), nullable=False),
            Column("duration_ms", Integer),
            Column("checksum", String(64)),
            Column("database_user", String(255), server_default=current_user),
            Column("client", String(255)),
            Column("fluxmig_version", String(32)),
            Column("error_code", String(64)),
            Column("message", Text),
            Column("statement_number", Integer),
            Column("line", Integer),
            schema=schema,
        )

    # --- reading ------------------------------------------------------------------------------------------

    def read(self, connection: Connection, *, may_read: Callable[[Connection, Table], bool]) -> Snapshot:
        """Everything, in a fixed number of queries. Creates nothing.

        Args:
            connection: Where to read.
            may_read: Whether the login may read a table; a log that it may not read is as good as none.
        """
        exists = self.exists(connection)
        log_exists = self.log_exists(connection)
        log_readable = log_exists and may_read(connection, self.log_table)
        return Snapshot(
            exists,
            log_exists,
            self._records(connection) if exists else (),
            self._last_events(connection) if log_readable else {},
        )

    def exists(self, connection: Connection) -> bool:
        """Whether the ledger is there."""
        return inspect(connection).has_table(self.table.name, schema=self.table.schema)

    def log_exists(self, connection: Connection) -> bool:
        """Whether the log is there."""
        return inspect(connection).has_table(self.log_table.name, schema=self.log_table.schema)

    def has(self, connection: Connection, name: str) -> bool:
        """Whether the ledger has the migration; asked again under the lock."""
        column = self.table.c.migration_name
        return connection.execute(select(column).where(column == name)).first() is not None

    def _records(self, connection: Connection) -> tuple[Record, ...]:
        records = []
        for row in connection.execute(select(self.table).order_by(self.table.c.id)):
            number, name, applied_at, execution_time_ms, checksum, applied_by = row
            if applied_at is not None and applied_at.tzinfo is None:  # SQLite keeps UTC, without saying so
                applied_at = applied_at.replace(tzinfo=UTC)
            records.append(Record(number, name, applied_at, execution_time_ms, checksum, applied_by))
        return tuple(records)

    def _last_events(self, connection: Connection) -> dict[str, LogEntry]:
        log = self.log_table.c
        newest = select(func.max(log.id)).group_by(log.migration_name)
        columns = (log.event, log.migration_name, log.message, log.error_code, log.statement_number, log.line)
        rows = connection.execute(select(*columns).where(log.id.in_(newest)))
        return {row.migration_name: LogEntry(Event(row[0]), *row[1:]) for row in rows if row[0] in set(Event)}

    # --- writing ------------------------------------------------------------------------------------------

    def create(self, connection: Connection) -> None:
        """Creates the ledger, if it is not there."""
        if not self.exists(connection):
            self.table.create(connection)

    def create_log(self, connection: Connection) -> None:
        """Creates the log, if it is not there."""
        if not self.log_exists(connection):
            self.log_table.create(connection)

    def record(
        self,
        connection: Connection,
        event: Event,
        *,
        name: str,
        checksum: str,
        duration_ms: int,
        entry: LogEntry | None = None,
    ) -> None:
        """Adds the migration to the ledger and the event to the log.

        Args:
            connection: In the transaction that shall hold both rows.
            event: Applied or marked.
            name: The migration.
            checksum: All 64 digits.
            duration_ms: The script.
            entry: What the log shall tell beside.
        """
        values = {"migration_name": name, "checksum": checksum, "execution_time_ms": duration_ms}
        if not self._has_users:
            values["applied_by"] = self._client
        statement = insert(self.table).values(values).inline()
        written = connection.execute(statement, execution_options={"preserve_rowcount": True})
        _expect_one(written.rowcount, self.table, name)
        self.log(connection, entry or LogEntry(event, name), checksum=checksum, duration_ms=duration_ms)

    def remove(self, connection: Connection, event: Event, *, name: str, duration_ms: int) -> None:
        """Removes the migration from the ledger and adds the event to the log."""
        found = connection.execute(delete(self.table).where(self.table.c.migration_name == name))
        _expect_one(found.rowcount, self.table, name)
        self.log(connection, LogEntry(event, name), duration_ms=duration_ms)

    def log(
        self,
        connection: Connection,
        entry: LogEntry,
        *,
        checksum: str | None = None,
        duration_ms: int | None = None,
    ) -> None:
        """Adds a row to the log, unless there is none."""
        if not self.writes_log:
            return
        values = {
            "event": entry.event.value,
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
        if not self._has_users:
            values["database_user"] = self._client
        connection.execute(insert(self.log_table).values(values).inline())


def _expect_one(count: int, table: Table, name: str) -> None:
    if count not in {1, -1}:  # -1: the driver cannot tell (PEP 249)
        raise LedgerError(f"{table.fullname}: {count} rows were written for {name}, and not 1", names=[name])
