"""A plan -> the SQL that a run would send, for a person with psql or the sqlite3 shell. Writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.schema import CreateIndex, CreateTable

from fluxmig.excerpt import visible
from fluxmig.model import Event, LogEntry, Mode
from fluxmig.patience import limits_of
from fluxmig.script import Digest, holds_progress, messages, session_statements, units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ClauseElement, Table
    from sqlalchemy.engine import Dialect as Driver
    from sqlalchemy.schema import DDLElement

    from fluxmig.dialects import Dialect
    from fluxmig.ledger import Ledger, Snapshot
    from fluxmig.model import Limits, Plan, Script

__all__ = ["transcript"]

_PIECE = 2**20
"""Bytes of a script that are given out at a time."""


def transcript(
    plan: Plan,
    ledger: Ledger,
    snapshot: Snapshot,
    dialect: Dialect,
    driver: Driver,
    key: str,
    limits: Limits,
) -> Iterator[str]:
    """The SQL in pieces, each a line or more: the scripts as written, with what fluxmig sends around them.

    The texts that the log keeps are left out, and what only a run can know: durations; what exactly a script
    has set in its session, which is reset as a whole; duplicates and invalid indexes, at which the SQL just
    fails. Where another runner has the lock, it fails and does not wait. Comments behind a script's last
    statement are left out: SQLite takes one that is not closed.

    Args:
        plan: What would run.
        ledger: Where it would be recorded.
        snapshot: Which of the tables are there.
        dialect: What the database can do.
        driver: SQLAlchemy's dialect, of an engine that has connected.
        key: The lock's.
        limits: The time-outs of statements.
    """
    by_hand = _ByHand(ledger, dialect, driver, key, limits)
    yield dialect.shell_head
    for finding in plan.findings:
        yield from (_comment(f"warning: {finding.message}"), _comment(finding.remedy or ""))
    if not plan.scripts:
        yield "-- Nothing to run.\n"
        return
    tables = [(ledger.table, snapshot.exists), (ledger.log_table, snapshot.log_exists)]
    if not ledger.is_brought and not all(there for _, there in tables):
        yield f"\n-- the ledger and the log\n{dialect.begin_sql};\n{dialect.claim_sql(key, session=False)}"
        for table, there in tables:
            if not there:
                yield by_hand.creation(table)
        yield "COMMIT;\n"
    for script in plan.scripts:
        yield from by_hand.script(script, restarts=script.name in plan.restarts)


class _ByHand:
    """One database's way of putting things."""

    def __init__(self, ledger: Ledger, dialect: Dialect, driver: Driver, key: str, limits: Limits) -> None:
        self._ledger, self._dialect, self._driver = ledger, dialect, driver
        self._key, self._limits = key, limits
        self._are_there = not ledger.is_brought

    def script(self, script: Script, *, restarts: bool) -> Iterator[str]:
        how = script.without or "one transaction"
        resumed = f", from statement {script.done + 1}" if script.done else ""
        yield f"\n{_comment(f'{script.name} ({how}{resumed})')}"
        if restarts:
            yield self._log(LogEntry(Event.RESTARTED, script.name))
        if script.mode is Mode.TRANSACTION:
            yield self._dialect.begin_by_hand(script.characteristics)
            yield self._dialect.claim_sql(self._key, session=False)
            yield self._dialect.limit_sql(limits_of(script, self._limits), session=False)
            yield from self._session_again(script)
            yield from self._whole(script)
            yield from self._end(script)
            yield "COMMIT;\n"
        else:
            yield self._dialect.claim_sql(self._key, session=True)
            limit = self._dialect.limit_sql(limits_of(script, self._limits), session=True)
            yield limit
            yield from self._session_again(script)
            yield from self._units(script)
            yield f"{self._dialect.begin_sql};\n"
            yield from self._end(script)
            yield "COMMIT;\n"
            yield self._dialect.release_sql(self._key)

    def creation(self, table: Table, *, if_not_exists: bool = False) -> str:
        made: list[DDLElement] = [CreateTable(table, if_not_exists=if_not_exists)]
        made += [CreateIndex(index, if_not_exists=if_not_exists) for index in table.indexes]
        return "".join(f"{self._text(element).strip()};\n" for element in made)

    def _whole(self, script: Script) -> Iterator[str]:
        statements = script.statements
        for message in messages(script, _PIECE):
            end = statements.end(message.last - 1)
            yield script.source[message.start : end].decode()
            if message.rows:
                yield from self._rows(script, message.rows)
            elif message.last == len(statements):
                yield ";\n"
            else:
                yield f"{script.source[end : message.end].decode()}\n"

    def _units(self, script: Script) -> Iterator[str]:
        name, digest = script.path.name, Digest(script)
        started = LogEntry(Event.STARTED, name, script.without, statement_number=script.done + 1)
        yield self._log(started, script.checksum)
        for unit in units(script):
            last = script.statements[unit.last - 1]
            entry = LogEntry(Event.PROGRESS, name, statement_number=unit.last)
            progress = self._log(entry, digest.of_first(unit.last))
            if self._dialect.may_change_session(script):
                progress = self._dialect.owner_sql + progress
            alone = f"{self._dialect.begin_sql};\n{progress}COMMIT;\n"
            if unit.own:
                for place in range(unit.first, unit.last - 1):
                    yield from self._one(script, place)
                ended = "".join(self._one(script, unit.last - 1))
                yield progress + ended if holds_progress(script, unit) else ended + alone
            elif self._dialect.may_be_atomic(last.sql):
                yield f"{self._dialect.begin_sql};\n"
                yield from self._one(script, unit.first)
                yield f"{progress}COMMIT;\n"
            else:
                yield from self._one(script, unit.first)
                yield alone

    def _one(self, script: Script, place: int) -> Iterator[str]:
        statement = script.statements[place]
        if statement.data:
            yield statement.sql
            yield from self._rows(script, statement.data)
        else:
            yield self._dialect.by_hand(statement.sql)

    def _rows(self, script: Script, rows: tuple[int, int]) -> Iterator[str]:
        yield ";\n"
        source = memoryview(script.source)
        start, end = rows
        while start < end:
            line_end = script.source.find(b"\n", min(start + _PIECE, end) - 1) + 1
            yield bytes(source[start:line_end]).decode()
            start = line_end
        yield "\\.\n"

    def _session_again(self, script: Script) -> Iterator[str]:
        for statement in session_statements(script, script.done):
            if self._dialect.repeatable(statement.sql):
                yield from self._one(script, statement.number - 1)

    def _end(self, script: Script) -> Iterator[str]:
        if self._dialect.may_change_session(script):
            yield self._dialect.reset_sql
        if not self._are_there:
            self._are_there = True
            yield self.creation(self._ledger.table, if_not_exists=True)
            yield self.creation(self._ledger.log_table, if_not_exists=True)
        row = self._ledger.record_statement(script.name, script.checksum, None)
        yield f"{self._text(row)};\n"
        yield self._log(LogEntry(Event.APPLIED, script.name, script.without), script.checksum)

    def _log(self, entry: LogEntry, checksum: str | None = None) -> str:
        if not self._are_there:
            return ""
        return f"{self._text(self._ledger.log_statement(entry, checksum=checksum))};\n"

    def _text(self, element: ClauseElement) -> str:
        """What SQLAlchemy would send, with its values in it."""
        compiled = str(element.compile(dialect=self._driver, compile_kwargs={"literal_binds": True}))
        # Where the driver has percent signs for parameters, SQLAlchemy has doubled every other one.
        return compiled.replace("%%", "%") if self._driver.paramstyle in {"format", "pyformat"} else compiled


def _comment(text: str) -> str:
    """Lines of comment; nothing in the text can end one."""
    return "".join(f"-- {visible(line)}\n" for line in text.split("\n") if line)
