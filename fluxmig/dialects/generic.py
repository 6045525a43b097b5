"""A database that no class knows, through what SQLAlchemy says of it.

Whether a rollback takes back what creates and alters, SQLAlchemy does not say. It is tried, once, before
something is run.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, ClassVar, Final

from sqlalchemy import Column, Engine, Integer, MetaData, Table, insert, inspect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fluxmig import sql
from fluxmig.dialects.base import Dialect
from fluxmig.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

__all__ = ["IN_TRANSACTION", "ROWS", "Generic"]

ROWS: Final = frozenset(
    {"INSERT", "UPDATE", "DELETE", "MERGE", "UPSERT", "REPLACE", "SELECT", "WITH", "VALUES", "TABLE", "("}
)
"""Verbs of statements about rows, which every transaction can take back."""
IN_TRANSACTION: Final = (
    ROWS
    | {"SET", "RESET", "SHOW", "EXPLAIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "START", "COMMIT"}
    | {"END", "PREPARE", "DEALLOCATE", "LOCK"}
)
"""And of those about the session and its transaction."""
_OPENS: Final = frozenset({"BEGIN", "START"})
_CLOSES: Final = frozenset({"COMMIT", "END"})
_EACH: Final = "fluxmig: whether each statement is committed"
"""In `Connection.info`, where that is done here and not by the driver."""


class Generic(Dialect):
    """A database that no class knows."""

    has_transactional_ddl: bool | None = None
    tested: ClassVar[str] = "Firebird 5.0"

    def __init__(self, product: str = "database") -> None:
        self.product = product

    def met(self, connection: Connection) -> Dialect:
        """Itself; it has SQLAlchemy's name of the database already."""
        return self

    def probed(self, bind: Engine | Connection, schema: str | None) -> Dialect:
        """By a table of its own, of which nothing is left; inside a transaction of the caller's not at all.

        Where it cannot be tried, nothing is rolled back for certain.
        """
        if self.has_transactional_ddl is not None:
            return self
        known = Generic(self.product)
        is_inside = not isinstance(bind, Engine) and bind.in_transaction()
        known.has_transactional_ddl = False if is_inside else _rolls_back(bind, schema)
        return known

    def no_transaction_reason(self, words: Sequence[str]) -> str | None:
        """All that is not about rows or the session, where the probe has shown that it is not rolled back."""
        if self.has_transactional_ddl is not False or words[0] in IN_TRANSACTION:
            return None
        return " ".join(words[:2])

    def may_be_atomic(self, statement: str) -> bool:
        """By the verb."""
        return sql.words(statement, self.rules, 1)[0] in ROWS

    # --- statement by statement ---------------------------------------------------------------------------

    @contextmanager
    def autocommit(self, bind: Engine | Connection) -> Iterator[Connection]:
        """A connection on which `send` commits each statement; in AUTOCOMMIT only where DDL is rolled back.

        Not every driver has that mode, and in it a row of progress could not be in one transaction with what
        it tells of. What has to run outside of every transaction is that of a database with such DDL.
        """
        if isinstance(bind, Engine):
            with bind.connect() as connection, self.autocommit(connection):
                yield connection
        elif bind.in_transaction() or (self.has_transactional_ddl and _takes_autocommit(bind)):
            with super().autocommit(bind):
                yield bind
        else:
            bind.info[_EACH] = True
            try:
                yield bind
            finally:
                if not bind.invalidated:
                    bind.info.pop(_EACH, None)
                    bind.rollback()

    def can_begin(self, connection: Connection) -> bool:
        """Where each statement is committed here, and can wait for another one."""
        return _EACH in connection.info

    def begin(self, connection: Connection) -> bool:
        """Has the commit wait."""
        connection.info[_EACH] = False
        return True

    @contextmanager
    def begun(self, connection: Connection) -> Iterator[None]:
        """Commits."""
        try:
            yield
            connection.commit()
        except BaseException:
            with suppress(SQLAlchemyError):
                self.abandon(connection)
            raise
        connection.info[_EACH] = True

    def abandon(self, connection: Connection) -> None:
        """Rolls back."""
        if not connection.invalidated:
            connection.rollback()
            connection.info[_EACH] = True

    def send(self, connection: Connection, script: str) -> None:
        """As everywhere; and commits, outside of transactions. Those of a file are the driver's, too."""
        is_each = connection.info.get(_EACH)
        if is_each is None:
            super().send(connection, script)
            return
        (verb,) = sql.words(script, self.rules, 1) or ("",)
        try:
            if verb in _OPENS:
                self.begin(connection)
            elif verb in _CLOSES:
                connection.commit()
                connection.info[_EACH] = True
            else:
                super().send(connection, script)
                if is_each:
                    connection.commit()
        except DBAPIError:
            if is_each and not connection.invalidated:
                connection.rollback()
            raise


def _takes_autocommit(connection: Connection) -> bool:
    """Whether the driver has that mode: some dialects list it, and cannot set it."""
    level = connection.get_execution_options().get("isolation_level", connection.default_isolation_level)
    try:
        connection.execution_options(isolation_level="AUTOCOMMIT")
    except Exception:  # noqa: BLE001  # whatever a dialect raises that cannot
        return False
    connection.execution_options(isolation_level=level)
    return True


def _rolls_back(bind: Engine | Connection, schema: str | None) -> bool:
    """Whether a table can be made, written and rolled back in one transaction.

    Firebird rolls it back, too, but does not let it be written before the commit: most files would fail.

    Raises:
        ConfigError: The table stays, and cannot be dropped.
    """
    name = f"fluxmig_probe_{secrets.token_hex(4)}"
    probe = Table(name, MetaData(), Column("id", Integer), schema=schema)
    with bind.connect() if isinstance(bind, Engine) else nullcontext(bind) as connection:
        is_usable = False
        try:
            probe.create(connection)
            connection.execute(insert(probe).values(id=1))
            is_usable = True
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
        finally:
            if not connection.invalidated:
                connection.rollback()
        stays = inspect(connection).has_table(name, schema=schema)
        if stays:
            try:
                probe.drop(connection)
                connection.commit()
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise
                raise ConfigError(
                    f"{probe.fullname}, which was made to see whether that can be rolled back, cannot be"
                    f" dropped: {error.orig}",
                    remedy="drop it, and give fluxmig a login that may drop what it makes",
                ) from error
        connection.rollback()
    return is_usable and not stays
