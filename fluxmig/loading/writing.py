"""Rows of one table -> the database, and what became of them; those that it refuses are found and named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from fluxmig.errors import LoadError
from fluxmig.loading.nouns import OnConflict, Refusal
from fluxmig.loading.tables import Written

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from fluxmig.dialects import Dialect
    from fluxmig.dialects.loading import Loading, Writer
    from fluxmig.loading.tables import Rows, Target
    from fluxmig.loading.tallies import Tally

__all__ = ["TableWriter", "past_conflicts"]


@dataclass(slots=True)
class TableWriter:
    """Writes the rows of one table in a transaction.

    Attributes:
        connection: Where to.
        dialect: What its database can do.
        loading: How rows get into it.
        target: The table.
        tally: Counts.
        refuse: Hears of each refused row, with its values, and raises where there are too many. None: the
            first one ends the load.
    """

    connection: Connection
    dialect: Dialect
    loading: Loading
    target: Target
    tally: Tally
    refuse: Callable[[Refusal, Rows], None] | None = None
    _writer: Writer | None = None
    _sent: int = 0
    _file: str = ""

    def write(self, rows: Rows, file: str) -> None:
        """Writes some more; raises `LoadError` where one is refused and may not be."""
        self._file = file
        self.tally.names |= dict.fromkeys(rows.names)
        writer = self._writer = self._writer or self.loading.writer(self.connection, self.target)
        is_whole = self.refuse is None and self.loading.streams
        if is_whole or not self.dialect.table_style.has_savepoints:
            try:
                writer.write(rows)
            except DBAPIError as error:
                raise self._refused(error) from error
            self._sent += len(rows)
        else:
            self.tally.written += self._part(writer, rows)

    def finish(self) -> None:
        """Has the database take all of it, and compares how many rows it has taken."""
        if self._writer is None:
            return
        try:
            written = self._writer.finish()
        except DBAPIError as error:
            raise self._refused(error) from error
        self._compare(self._sent, written)
        self.tally.written += written
        self._sent = 0

    def abandon(self) -> None:
        """Forgets what the database has not taken."""
        if self._writer is not None:
            self._writer.abandon()

    def _part(self, writer: Writer, rows: Rows) -> Written:
        """Writes rows under a savepoint; where one is refused, it is looked for by halves."""
        try:
            with self.connection.begin_nested():
                writer.write(rows)
                written = writer.finish()
        except DBAPIError as error:
            writer.abandon()
            if self.dialect.is_passing(error):
                raise
            if len(rows) == 1:
                self._refuse(rows, error)
                return Written()
        else:
            self._compare(len(rows), written)
            return written
        half = len(rows) // 2
        return self._part(writer, rows.part(0, half)) + self._part(writer, rows.part(half, len(rows)))

    def _compare(self, sent: int, written: Written) -> None:
        """Raises `LoadError` where the database has taken less than it was given, and no key explains it."""
        if sent and not self.target.key and written.inserted != sent:
            raise LoadError(
                f"{self.target.shape.name}: the database took {written.inserted} of {sent} rows",
                remedy="a trigger or a rule of the table passes rows over",
            )

    def _refuse(self, rows: Rows, error: DBAPIError) -> None:
        refusal = self._refusal(error, rows.numbers[0])
        if self.refuse is None:
            raise LoadError(str(refusal), remedy=self._remedy(error), refusals=[refusal]) from error
        self.refuse(refusal, rows)
        self.tally.refused += 1

    def _refused(self, error: DBAPIError) -> Exception:
        """The error of a load that the database has refused, at the record where it says so."""
        if self.dialect.is_passing(error):
            return error
        server = self.dialect.explain(error, error.statement or "")
        number = column = None
        if self._writer and server.row:
            number, column = self._writer.blamed(server.row, server.context or "")
        refusal = self._refusal(error, number, column)
        return LoadError(str(refusal), remedy=self._remedy(error), refusals=[refusal])

    def _refusal(self, error: DBAPIError, number: int | None, column: str | None = None) -> Refusal:
        server = self.dialect.explain(error, error.statement or "")
        table = self.target.shape.name
        return Refusal(self._file, number, table, server.reason, column=column, code=server.code)

    def _remedy(self, error: DBAPIError) -> str | None:
        server = self.dialect.explain(error)
        if self.loading.is_twice(server):
            return past_conflicts(self.target)
        return self.dialect.way_out(server) or self.dialect.remedy(server)


def past_conflicts(target: Target) -> str:
    """What to do about a key that is there already."""
    if target.on_conflict is OnConflict.ERROR:
        return (
            "--on-conflict skip leaves a row that is there as it is, update gives it the record's values; the"
            " key is the primary key, or the unique constraint that --key names"
        )
    key = ", ".join(target.key)
    return (
        f"--on-conflict {target.on_conflict} goes by {key} alone; --key NAME has it go by another constraint"
    )
