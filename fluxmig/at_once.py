"""A script and both of its rows in one message, where the dialect can: three round trips a file.

The first begins the transaction, takes the lock and asks for the migration's row, the second is the message,
the third commits. Nothing less is promised: whatever is odd is left to the longer way, step by step, which
tells it in full.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from fluxmig.dialects.base import literal
from fluxmig.model import Event, LogEntry, Mode
from fluxmig.script import messages
from fluxmig.sending import MESSAGE_LIMIT, raise_if_lost, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection, Engine, Insert
    from sqlalchemy import Dialect as Driver

    from fluxmig.dialects import Dialect
    from fluxmig.ledger import Ledger
    from fluxmig.model import Limits, Script
    from fluxmig.script import Message

__all__ = ["AtOnce", "NotAtOnceError"]


_ROWS = "fluxmig: the rows that were compiled"
"""In `Table.info` of a ledger."""


class NotAtOnceError(Exception):
    """It could not be done so, and nothing of it is done once the transaction is rolled back."""


@dataclass(slots=True)
class AtOnce:
    """One ledger's way of running scripts so.

    Attributes:
        dialect: The database's.
        ledger: Where to record.
        key: The lock's.
    """

    dialect: Dialect
    ledger: Ledger
    key: str

    def can_record(self, bind: Engine | Connection, limits: Limits) -> bool:
        """Whether a row can be added to the log that is there; nothing stays of the one that is tried."""
        if not self.dialect.elapsed_ms_sql:
            return False
        (trial,) = self._made(bind.dialect, "trial", lambda: [self._trial()])
        return self.dialect.try_at_once(bind, trial.text({}), limits)

    def message(self, script: Script) -> Message | None:
        """The script as one message; None where it is none, or something is to be done before its rows."""
        if not self.dialect.elapsed_ms_sql or self.ledger.is_brought:
            return None
        if script.mode is not Mode.TRANSACTION or script.done or script.characteristics:
            return None
        found = messages(script, MESSAGE_LIMIT)
        first = next(found, None)
        if first is None or first.rows or next(found, None) or self.dialect.may_change_session(script):
            return None
        return first

    def begin(self, connection: Connection, script: Script, limits: Limits) -> None:
        """Begins a transaction that has the lock and its time-outs until it ends.

        Raises:
            NotAtOnceError: Another runner has the lock, or was faster; or the driver cannot.
        """
        table = self.ledger.table
        try:
            can_go_on = self.dialect.begin_at_once(connection, self.key, table, script.name, limits)
        except DBAPIError as error:
            if self.dialect.is_passing(error):
                raise
            raise NotAtOnceError from error
        if not can_go_on:
            raise NotAtOnceError

    def send(self, connection: Connection, script: Script, message: Message) -> None:
        """Runs the script, which is this message, and records it as applied.

        Raises:
            NotAtOnceError: A row was refused, or not written once.
            RefusedError: The database refused a statement of the script.
            DatabaseConnectionError: The connection was lost.
        """
        text = script.source[message.start : message.end].decode()
        rows = "".join(f"{row};\n" for row in self._both_rows(connection.dialect, script))
        try:
            # The line's end closes a comment, and the semicolon the script's last statement.
            counts = self.dialect.send_at_once(connection, f"{text}\n;\n{rows}")
        except UnicodeEncodeError as error:
            raise NotAtOnceError from error
        except DBAPIError as error:
            raise_if_lost(self.dialect, error, script)
            server = self.dialect.explain(error, text)
            behind = (server.completed or 0) >= message.last or (server.offset or 0) > len(text)
            if behind:
                raise NotAtOnceError from error
            raise refused(self.dialect, script, message, text, server) from error
        if counts[message.last : message.last + 1] != [1]:
            raise NotAtOnceError

    def _both_rows(self, driver: Driver, script: Script) -> list[str]:
        kept = self.ledger.kept(script.source)
        rows = self._made(driver, kept is not None, lambda: self._statements(script))
        values = {
            "migration_name": literal(script.name),
            "checksum": literal(script.checksum),
            "execution_time_ms": self.dialect.elapsed_ms_sql,
            "duration_ms": self.dialect.elapsed_ms_sql,
            "source": literal(kept),
        }
        return [row.text(values) for row in rows]

    def _made(self, driver: Driver, which: object, make: Callable[[], list[Insert]]) -> list[_Row]:
        """The rows of these statements: compiled once, also for other databases whose tables are the same."""
        ledger = self.ledger
        known: dict[object, list[_Row]] = ledger.table.info.setdefault(_ROWS, {})
        key = (type(driver), ledger.keeps_log, ledger.log_is_old, which)
        if key not in known:
            known[key] = [_Row(statement, driver) for statement in make()]
        return known[key]

    def _trial(self) -> Insert:
        return self.ledger.log_statement(LogEntry(Event.STARTED, self.ledger.log_table.name))

    def _statements(self, script: Script) -> list[Insert]:
        ledger = self.ledger
        rows = [ledger.record_statement(script.name, script.checksum, 0)]
        if ledger.keeps_log:
            entry = LogEntry(Event.APPLIED, script.name)
            rows.append(
                ledger.log_statement(entry, checksum=script.checksum, duration_ms=0, source=script.source)
            )
        return rows


class _Row:
    """An INSERT as text, compiled once for many rows."""

    def __init__(self, statement: Insert, driver: Driver) -> None:
        compiled = statement.compile(dialect=driver)
        self._sql = str(compiled)
        self._values = {name: literal(value) for name, value in compiled.params.items()}

    def text(self, values: Mapping[str, str]) -> str:
        """The INSERT of these values, which are SQL, and for the rest of those that it was compiled with."""
        return self._sql % {**self._values, **values}
