"""The generic database: what SQLAlchemy promises of every one, and nothing more.

A subclass overrides what its database does better or otherwise. SQLAlchemy's errors pass through; only
`explain` looks into them.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sqlalchemy import Engine, text

from fluxmig import sql
from fluxmig.errors import ConfigError
from fluxmig.model import DatabaseInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Table
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.sql.functions import FunctionElement

    from fluxmig.model import Script

__all__ = ["Dialect", "ServerError", "escape", "quoted"]


# What text() cannot carry. Percent signs: SQLAlchemy doubles them where the driver halves them, which psycopg
# does in time quadratic to their number (10 MB with 115,000 of them: 86 s), and before 2.0.58 it took
# `%(name)s` for a parameter of SQLite. The mark is its own, and it looks for it in every text.
_MISREAD = re.compile(r"%|__\[POSTCOMPILE_")


@dataclass(frozen=True, slots=True)
class ServerError:
    """What the database said about an error.

    Attributes:
        message: The primary message.
        code: SQLSTATE, or the driver's name of the error.
        offset: Where in the text that was sent, in characters from 0.
        completed: How many statements of that text had been done before.
        object: The object that the message names.
        detail: The server's DETAIL.
        hint: The server's HINT.
        context: The server's CONTEXT.
    """

    message: str
    code: str | None = None
    offset: int | None = None
    completed: int | None = None
    object: str | None = None
    detail: str | None = None
    hint: str | None = None
    context: str | None = None


def escape(script: str) -> str:
    r"""The text to give to `text()` so that the database gets the script as written.

    `text()` takes `:name` for a parameter; `\:` stands for a colon.
    """
    return script.replace(":", "\\:")


class Dialect:
    """A database of which nothing is known but that SQLAlchemy can talk to it.

    Attributes:
        name: SQLAlchemy's name of it.
        product: Its name for people.
        rules: How its SQL is split.
        duplicates: The codes that mean "this object already exists", with the manual's names for them.
        current_user: The expression for the database user, or None where there are no users.
    """

    name: ClassVar[str] = "generic"
    product: ClassVar[str] = "database"
    rules: ClassVar[sql.Rules] = sql.GENERIC
    duplicates: ClassVar[Mapping[str, str]] = {}
    current_user: ClassVar[FunctionElement[str] | None] = None

    # --- connections and transactions ---------------------------------------------------------------------

    @contextmanager
    def transaction(self, bind: Engine | Connection) -> Iterator[Connection]:
        """One transaction; a savepoint where the caller's connection is in one already."""
        if isinstance(bind, Engine):
            with bind.begin() as connection:
                self.refuse_autocommit(connection)
                yield connection
        elif bind.in_transaction():
            with bind.begin_nested():
                yield bind
        else:
            with bind.begin():
                self.refuse_autocommit(bind)
                yield bind

    @contextmanager
    def reading(self, bind: Engine | Connection) -> Iterator[Connection]:
        """A transaction that only reads, and that the database keeps to that where it can."""
        with self.transaction(bind) as connection:
            yield connection

    @contextmanager
    def autocommit(self, bind: Engine | Connection) -> Iterator[Connection]:
        """A connection on which every statement is its own transaction; the caller's gets its level back.

        Raises:
            ConfigError: The caller's connection is inside a transaction.
        """
        if isinstance(bind, Engine):
            with bind.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                yield connection
            return
        if bind.in_transaction():
            raise ConfigError(
                "a migration has to run outside a transaction, and the given connection is inside one",
                remedy="give fluxmig an Engine, or a Connection that is not in a transaction",
            )
        level = bind.get_execution_options().get("isolation_level", bind.default_isolation_level)
        bind.execution_options(isolation_level="AUTOCOMMIT")
        try:
            yield bind
            bind.commit()
        finally:
            bind.rollback()
            bind.execution_options(isolation_level=level)

    def refuse_autocommit(self, connection: Connection) -> None:
        """Raises `ConfigError` where the driver commits by itself: nothing could be rolled back."""
        if getattr(connection.connection.dbapi_connection, "autocommit", False) is True:
            raise ConfigError(
                "the engine is in AUTOCOMMIT: a failed migration could not be rolled back",
                remedy="take autocommit out of the URL, or give fluxmig"
                ' engine.execution_options(isolation_level="READ COMMITTED")',
            )

    # --- running ------------------------------------------------------------------------------------------

    def whole_file(self, connection: Connection) -> bool:
        """Whether the driver takes a file of many statements in one message."""
        return False

    def send(self, connection: Connection, script: str) -> None:
        """Runs the SQL exactly as written: through `text()`, or past it what `text()` would change."""
        if _MISREAD.search(script):
            connection.exec_driver_sql(script, execution_options={"no_parameters": True}).close()
            return
        # Not cached: a file runs once, and the engine's cache would keep its text.
        connection.execute(text(escape(script)), execution_options={"compiled_cache": None}).close()

    def no_transaction_reason(self, words: Sequence[str]) -> str | None:
        """Why a statement that begins with these words cannot run in a transaction, or None."""
        return None

    def may_change_session(self, script: Script) -> bool:
        """Whether the script may set something that the ledger's row or the next script would see."""
        return False

    def session_state(self, connection: Connection) -> Mapping[str, str]:
        """What `restore_session` needs to undo what a script sets."""
        return {}

    def restore_session(self, connection: Connection, state: Mapping[str, str]) -> None:
        """Sets the session back to the state."""

    def leaves_traces(self, script: Script) -> bool:
        """Whether the script may change the session in a way that outlives its transaction."""
        return False

    # --- locks --------------------------------------------------------------------------------------------

    def claim(self, connection: Connection, key: str) -> bool:
        """Takes the runner's lock until the transaction ends; False at once where another has it."""
        return True

    def claim_session(self, connection: Connection, key: str) -> bool:
        """Takes the runner's lock until `release_session`; False at once where another has it."""
        return True

    def release_session(self, connection: Connection, key: str) -> None:
        """Gives back what `claim_session` took."""

    def lock_holder(self, connection: Connection, key: str) -> str | None:
        """Who holds the runner's lock, for people."""
        return None

    # --- errors -------------------------------------------------------------------------------------------

    def explain(self, error: DBAPIError, script: str = "") -> ServerError:
        """What the database said. `script` is the text that was sent."""
        return ServerError(str(error.orig).strip(), type(error.orig).__name__)

    def is_duplicate(self, error: ServerError) -> bool:
        """Whether the error means that an object is there already."""
        return error.code in self.duplicates

    def broken_duplicate(self, connection: Connection, error: ServerError) -> str | None:
        """Why an object that is there is not what the statement would have made, or None."""
        return None

    def way_out(self, error: ServerError) -> str | None:
        """What to do, where fluxmig's own statements fail for want of a privilege or a schema; or None."""
        return None

    # --- facts --------------------------------------------------------------------------------------------

    def ledger_schema(self, connection: Connection, table: str) -> str | None:
        """The schema that an unqualified ledger is in, or would be; None where a name needs none."""
        return None

    def info(self, connection: Connection, schema: str | None) -> DatabaseInfo:
        """Where one is connected to."""
        version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
        url = connection.engine.url
        return DatabaseInfo(
            dialect=f"{connection.dialect.name}+{connection.dialect.driver}",
            server=self.product if self.name != "generic" else connection.dialect.name,
            version=version,
            database=url.database,
            user=url.username,
            schema=schema,
        )

    def may_create(self, connection: Connection, schema: str | None) -> bool | None:
        """Whether the login may create tables in the schema; None where that cannot be known."""
        return None

    def may_read(self, connection: Connection, table: Table) -> bool:
        """Whether the login may select from the table; taken for granted where that cannot be known."""
        return True

    def may_write(self, connection: Connection, table: Table) -> bool | None:
        """Whether the login may insert into and delete from the table; None where that cannot be known."""
        return None


def quoted(message: str) -> str | None:
    """The first name that a message quotes, whatever the quotes of its language."""
    found = re.search(r"""["«„“'`]([^"»“”'`]+)["»“”'`]""", message)
    return found[1] if found else None
