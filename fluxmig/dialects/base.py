"""What fluxmig asks of a database; by default, what SQLAlchemy promises of every one, and nothing more.

A subclass overrides what its database does better or otherwise. SQLAlchemy's errors pass through; only
`explain` looks into them.
"""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from socket import SHUT_RDWR, socket
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Protocol, TypeVar

from sqlalchemy import TIMESTAMP, Engine, Text, func, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from fluxmig import sql
from fluxmig.errors import ConfigError
from fluxmig.model import Capabilities, DatabaseInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import ColumnElement, Connection, Table
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.types import TypeEngine

    from fluxmig.catalog import Catalog
    from fluxmig.dialects.loading import Loading
    from fluxmig.dialects.tracing import Tracer
    from fluxmig.model import Limits, Script, Session, Statement
    from fluxmig.objects import Created, Presence
    from fluxmig.trace import TableSize

__all__ = [
    "GIVEN",
    "IN_AUTOCOMMIT",
    "LOCK_TIMEOUT_S",
    "NO_AUTOCOMMIT",
    "PAST_THE_POOLER",
    "Dialect",
    "Heard",
    "Onlooker",
    "Refusal",
    "ServerError",
    "TableStyle",
    "Tables",
    "UnsoundError",
]
__all__ += ["escape", "first_error", "identifier", "literal", "quoted", "send_as_is", "shut_down"]

LOCK_TIMEOUT_S = 5.0
"""How long a statement waits for a table's lock where nobody says otherwise."""

PAST_THE_POOLER = "--direct-url URL or FLUXMIG_DIRECT_URL: the server's own address, past the pooler"
"""The way out where a session of one's own is needed."""

GIVEN: Final = "URL"
"""Of the sources of scratch databases: a server that is given."""

_Managed = TypeVar("_Managed")

Heard = dict[str, Any]
"""What the server says beside its results: severity, message, code, detail and hint."""


Refusal = tuple[str, str]
"""Why a statement cannot be part of a migration, and the way out."""


IN_AUTOCOMMIT: Final = "the engine is in AUTOCOMMIT: a failed migration could not be rolled back"
NO_AUTOCOMMIT: Final = (
    "take autocommit out of the URL, or give fluxmig"
    ' engine.execution_options(isolation_level="READ COMMITTED")'
)

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
        row: The line among the rows of a COPY, from 1.
        object: The object that the message names.
        detail: The server's DETAIL.
        hint: The server's HINT.
        context: The server's CONTEXT.
    """

    message: str
    code: str | None = None
    offset: int | None = None
    completed: int | None = None
    row: int | None = None
    object: str | None = None
    detail: str | None = None
    hint: str | None = None
    context: str | None = None

    @property
    def reason(self) -> str:
        """The message, with its detail in brackets."""
        return f"{self.message} ({self.detail})" if self.detail else self.message


class UnsoundError(Exception):
    """A statement left, or met, something that is there and does not work; or it cannot be sent at all.

    Attributes:
        message: What.
        remedy: The way out.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message, self.remedy = message, remedy


class Opening(NamedTuple):
    """What begins a transaction that has the runner's lock.

    Attributes:
        text: SQL.
        statements: How many.
        limits: The time-outs that it sets.
    """

    text: str
    statements: int
    limits: Limits


@dataclass(frozen=True, slots=True)
class Tables:
    """What there is of a ledger and its log.

    Attributes:
        schema: That of both.
        exists: Whether the ledger is there.
        log_exists: Whether the log is there.
        log_columns: The log's, where both are there and the login may read it; else none.
    """

    schema: str | None
    exists: bool
    log_exists: bool
    log_columns: frozenset[str]


class Onlooker(Protocol):
    """A second session that tells who holds up the first; used by one thread alone."""

    def blockers(self) -> tuple[Session, ...]:
        """Who is in the way right now; nobody, where the first session does not wait. Only reads."""

    def close(self) -> None:
        """Ends the second session, if it was needed."""


@dataclass(frozen=True, slots=True, eq=False)
class TableStyle:
    """How a database wants the ledger and the log made; equal to itself alone.

    Attributes:
        time: The type of a point in time.
        now: The expression for the present one.
        text: The type of a text of any length.
        options: What SQLAlchemy's `Table` takes beside.
        has_savepoints: Whether a part of a transaction can be rolled back;
        ddl_in_savepoints: and whether what creates and alters is, too.
        counts: Whether the number of a row has to be counted, since no column does that by itself.
    """

    time: TypeEngine[datetime] = field(default_factory=lambda: TIMESTAMP(timezone=True))
    now: ColumnElement[datetime] = field(default_factory=func.now)
    text: TypeEngine[str] = field(default_factory=Text)
    options: Mapping[str, str] = field(default_factory=dict)
    has_savepoints: bool = True
    ddl_in_savepoints: bool = True
    counts: bool = False


@contextmanager
def first_error(manager: AbstractContextManager[_Managed]) -> Iterator[_Managed]:
    """The same, but that an error within it is not replaced by that of a rollback which fails, too."""
    managed = manager.__enter__()
    try:
        yield managed
    except BaseException as error:
        with suppress(SQLAlchemyError):
            manager.__exit__(type(error), error, error.__traceback__)
        raise
    manager.__exit__(None, None, None)


def escape(script: str) -> str:
    r"""The text to give to `text()` so that the database gets the script as written.

    `text()` takes `:name` for a parameter; `\:` stands for a colon.
    """
    return script.replace(":", "\\:")


class Dialect:
    """A database.

    Attributes:
        name: SQLAlchemy's name of it.
        product: Its name for people.
        rules: How its SQL is split.
        duplicates: The codes that mean "this object already exists", with the manual's names for them.
        doubtful_duplicates: Those of these codes that mean other things, too: only the catalog can tell.
        current_user: The expression for the database user, or None where there are no users.
        has_lock: Whether `claim` keeps other runners out; where not so, the ledger's unique row does.
        table_style: How the ledger and the log are made.
        has_session_lock: Whether `claim_session` keeps other runners out.
        has_transactional_ddl: Whether what creates and alters can be rolled back; None where a probe tells.
        begin_sql: What begins a transaction.
        elapsed_ms_sql: For how long a message of many statements has run, asked in it; empty where there is
            none.
        reset_sql: What sets a session back as a whole, at the end of a transaction, for people who run SQL by
            hand.
        owner_sql: What goes on as the user who connected, until the transaction's end, likewise.
        shell_head: What has the database's own shell stop at the first error.
        encoding_remedy: The way out where the driver cannot encode a character of a file.
        lock_kind: What keeps other runners out, for people.
        duplicates_by: By what a duplicate is recognised, for people.
        places_by: Where the place of an error comes from, for people.
        has_concurrent_index: Whether an index can be built beside writers, outside of transactions.
        scratch: The sources of scratch databases, best first.
        image: The container image that scratch databases come from, without a tag; empty where there is none.
        has_templates: Whether a database can be made as a copy of another one.
        async_driver: SQLAlchemy's name of the driver for asyncio.
        release_length: How many numbers of a version name a release, whose servers all behave alike.
        tested: The versions that the tests run on.
        schemas_are_databases: Whether the schema of a name leads out of the database.
    """

    name: ClassVar[str] = "generic"
    product: str = "database"
    rules: sql.Rules = sql.GENERIC
    duplicates: ClassVar[Mapping[str, str]] = {}
    doubtful_duplicates: ClassVar[frozenset[str]] = frozenset()
    current_user: ClassVar[ColumnElement[str] | None] = None
    table_style: ClassVar[TableStyle] = TableStyle()
    has_lock: ClassVar[bool] = False
    has_session_lock: ClassVar[bool] = False
    has_transactional_ddl: bool | None = False
    begin_sql: ClassVar[str] = "BEGIN"
    elapsed_ms_sql: ClassVar[str] = ""
    reset_sql: ClassVar[str] = ""
    owner_sql: ClassVar[str] = ""
    shell_head: ClassVar[str] = ""
    encoding_remedy: ClassVar[str] = "files are UTF-8: have the connection use it, too"
    lock_kind: ClassVar[str] = "the ledger's unique row"
    duplicates_by: ClassVar[str] = ""
    places_by: ClassVar[str] = ""
    has_concurrent_index: ClassVar[bool] = False
    scratch: ClassVar[tuple[str, ...]] = ()
    image: ClassVar[str] = ""
    has_templates: ClassVar[bool] = False
    release_length: ClassVar[int] = 2
    async_driver: ClassVar[str] = ""
    tested: ClassVar[str] = ""
    schemas_are_databases: ClassVar[bool] = False

    @property
    def capabilities(self) -> Capabilities:
        """What fluxmig can promise there."""
        return Capabilities(
            self.has_transactional_ddl,
            self.lock_kind,
            self.duplicates_by,
            self.places_by,
            self.has_concurrent_index,
            self.rules.psql,
            ", ".join(self.scratch),
            self.tested,
        )

    def met(self, connection: Connection) -> Dialect:
        """The one that knows this very server, and how its session reads SQL; itself by default."""
        return self

    def probed(self, bind: Engine | Connection, schema: str | None) -> Dialect:
        """The one that knows whether what creates and alters can be rolled back; itself, where it does.

        Where nobody has said, it is tried. Writes, and leaves nothing.
        """
        return self

    # --- connections and transactions ---------------------------------------------------------------------

    @contextmanager
    def transaction(self, bind: Engine | Connection) -> Iterator[Connection]:
        """One transaction; a savepoint where the caller's connection is in one already."""
        if isinstance(bind, Engine):
            with first_error(bind.begin()) as connection:
                self.refuse_autocommit(connection)
                yield connection
        elif bind.in_transaction():
            with first_error(bind.begin_nested()):
                yield bind
        else:
            with first_error(bind.begin()):
                self.refuse_autocommit(bind)
                yield bind

    @contextmanager
    def reading(self, bind: Engine | Connection) -> Iterator[Connection]:
        """A transaction that only reads, and that the database keeps to that where it can."""
        with self.transaction(bind) as connection:
            yield connection

    @contextmanager
    def reading_tables(
        self, bind: Engine | Connection, table: str, schema: str | None
    ) -> Iterator[tuple[Connection, Tables | None]]:
        """As `reading`; with what there is of a ledger, where that can be asked in the same round trip."""
        with self.reading(bind) as connection:
            yield connection, None

    @contextmanager
    def autocommit(self, bind: Engine | Connection) -> Iterator[Connection]:
        """A connection on which every statement is its own transaction; the caller's gets its level back.

        Raises:
            ConfigError: The caller's connection is inside a transaction.
        """
        if isinstance(bind, Engine):
            connection = bind.execution_options(isolation_level="AUTOCOMMIT").connect()
            try:
                yield connection
            finally:
                # The level is put back past SQLAlchemy's own errors; where the server has gone meanwhile,
                # what was sent before has told, and what is sent next will.
                with suppress(bind.dialect.loaded_dbapi.Error):
                    connection.close()
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

    def can_begin(self, connection: Connection) -> bool:
        """Whether a row of progress can be in one transaction with what it tells of, in autocommit."""
        return bool(self.has_transactional_ddl)

    def begin(self, connection: Connection) -> bool:
        """In autocommit, begins a transaction by SQL; False at once where others are writing."""
        connection.exec_driver_sql(self.begin_sql)
        return True

    @contextmanager
    def begun(self, connection: Connection) -> Iterator[None]:
        """Ends what `begin` has begun."""
        try:
            yield
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            with suppress(SQLAlchemyError):
                self.abandon(connection)
            raise

    def abandon(self, connection: Connection) -> None:
        """On a connection in autocommit, rolls back what has been begun by SQL, unless it has ended."""
        if self.is_in_transaction(connection) is not False:
            connection.exec_driver_sql("ROLLBACK")

    def is_in_transaction(self, connection: Connection) -> bool | None:
        """Whether the driver says that a transaction is open; None where it does not say."""
        return None

    def begin_again(self, connection: Connection) -> None:
        """Rolls a transaction back and begins another one, with no chance for a pooler in between.

        So that what a rollback does not undo can be undone where it was done. Nothing is done where the
        database cannot do this, or has no pooler; and inside a savepoint, which goes with the transaction.
        """

    def has_ended(self, connection: Connection) -> bool:
        """Whether a script has ended the transaction that `claim` was called in."""
        return self.is_in_transaction(connection) is False

    def characterize(self, connection: Connection, characteristics: str) -> None:
        """Gives a transaction that has just begun the characteristics that its script asks for."""
        connection.exec_driver_sql(f"SET TRANSACTION {characteristics}")

    def begin_by_hand(self, characteristics: str | None) -> str:
        """What begins a transaction with these by hand."""
        asked = f"SET TRANSACTION {characteristics};\n" if characteristics else ""
        return f"{self.begin_sql};\n{asked}"

    def refuse_autocommit(self, connection: Connection) -> None:
        """Raises `ConfigError` where the driver commits by itself: nothing could be rolled back."""
        if getattr(connection.connection.dbapi_connection, "autocommit", False) is True:
            raise ConfigError(IN_AUTOCOMMIT, remedy=NO_AUTOCOMMIT)

    def meet_briefly(self, engine: Engine) -> None:
        """Has an engine that has not connected yet ask less of a server whose like this process has met."""

    def begin_all(self, engine: Engine) -> None:
        """Has each transaction of an engine begin on the server, too, where its driver puts that off."""

    # --- running ------------------------------------------------------------------------------------------

    def whole_file(self, connection: Connection) -> bool:
        """Whether the driver takes a file of many statements in one message."""
        return False

    def send(self, connection: Connection, script: str) -> None:
        """Runs the SQL exactly as written: through `text()`, or past it what `text()` would change."""
        if _MISREAD.search(script):
            send_as_is(connection, script)
            return
        # Not cached: a file runs once, and the engine's cache would keep its text.
        connection.execute(text(escape(script)), execution_options={"compiled_cache": None}).close()

    def can_send_at_once(self, connection: Connection) -> bool:
        """Whether messages of many statements can begin and end transactions, and may write."""
        return False

    def opening_at_once(
        self, connection: Connection, key: str, ledger: Table, name: str, limits: Limits
    ) -> Opening | None:
        """What begins a transaction for a script, takes the lock, looks for its row and sets the time-outs.

        None where there can be no such message.
        """
        return None

    def send_at_once(
        self,
        connection: Connection,
        message: str,
        opening: Opening | None,
        meanwhile: Callable[[], None] | None = None,
    ) -> float | None:
        """Runs a message as written, at whose end no transaction is open; and behind it a script's opening.

        Args:
            connection: Where to send it.
            message: SQL, or nothing.
            opening: That of the script that comes next, if there is one.
            meanwhile: Called while the database works.

        Returns:
            None where another runner has the lock, or was faster, or there is no opening. Else how many
            seconds ago the database takes the transaction to have begun.

        Raises:
            DBAPIError: A statement was refused, and nothing behind it was run.
        """
        raise NotImplementedError

    def trial_at_once(self, statement: str, limits: Limits) -> str:
        """A message that tries a statement, of which nothing stays."""
        raise NotImplementedError

    def claim_at_once(
        self, connection: Connection, key: str, tables: Sequence[Table], limits: Limits
    ) -> bool:
        """In one round trip: begins a transaction, and takes the lock.

        False where another runner has it, or where one of the tables is there.
        """
        raise NotImplementedError

    def copy(self, connection: Connection, statement: str, rows: memoryview) -> None:
        """Runs a COPY ... FROM stdin and streams its rows, for a dialect whose rules know such rows."""
        raise NotImplementedError

    def enforce(self, connection: Connection) -> None:
        """Before a transaction: has its foreign keys checked, where they need not be."""

    def loading(self, connection: Connection) -> Loading:
        """How rows get into its tables."""
        from fluxmig.dialects.loading import Loading  # noqa: PLC0415  # who migrates needs nothing of it

        return Loading()

    def listening(
        self, connection: Connection, hear: Callable[[Heard], None]
    ) -> AbstractContextManager[None]:
        """Has `hear` called, at once, with what the server says beside its results, if the driver can."""
        return nullcontext()

    @contextmanager
    def guarded(
        self, connection: Connection, statement: str, tell: Callable[[str], None], *, again: bool
    ) -> Iterator[None]:
        """Around a statement outside of transactions: mends what an earlier attempt has left half-done.

        Args:
            connection: Where the body sends it.
            statement: The statement.
            tell: Takes a note for people.
            again: Whether an earlier attempt was cut off here, so that it may be half-done, or done.

        Raises:
            UnsoundError: What the statement made, or met, does not work.
        """
        yield

    def to_check(self, script: Script) -> Iterable[Statement]:
        """What `check` looks at."""
        return ()

    def check(self, connection: Connection, script: Script) -> tuple[Statement, UnsoundError] | None:
        """Behind a script in its transaction: what it took for there and does not work, or None."""
        return None

    def may_be_atomic(self, statement: str) -> bool:
        """Whether a statement of a script without a transaction can be in one with its row of progress."""
        return False

    def must_be_alone(self, error: ServerError) -> bool:
        """Whether what was tried in such a transaction has shown that it cannot be in one."""
        return False

    def is_done(self, statement: str, error: ServerError) -> bool:
        """Whether the error of a statement that is sent again says that it was done the first time."""
        return sql.words(statement, self.rules, 1) == ("CREATE",) and self.is_duplicate(error)

    def no_transaction_reason(self, words: Sequence[str]) -> str | None:
        """Why a statement that begins with these words cannot run in a transaction, or None."""
        return None

    def refusal(self, words: Sequence[str]) -> Refusal | None:
        """Why a statement that begins with these words cannot be part of a migration at all, or None."""
        return None

    def may_change_session(self, script: Script) -> bool:
        """Whether the script may set something that the ledger's row or the next script would see."""
        return False

    def session_state(self, connection: Connection, script: Script) -> Any:
        """What `restore_session` needs to undo what the script sets."""
        return None

    def restore_session(self, connection: Connection, state: Any) -> None:
        """Sets the session back to the state."""

    @contextmanager
    def acting_as(self, connection: Connection, state: Any) -> Iterator[None]:
        """In a transaction: as the user of the state, whom the script may have replaced; None: it has not."""
        yield

    def repeatable(self, statement: str) -> bool | None:
        """Whether a statement only sets the session, and has to be sent again in a new one.

        None where it makes something in the session that cannot be made again by sending it.
        """
        return False

    def leaves_traces(self, script: Script) -> bool:
        """Whether one that may change the session does so in a way that outlives its transaction."""
        return False

    def by_hand(self, statement: str) -> str:
        """The statement as the database's own shell takes it."""
        return f"{statement};\n"

    # --- locks --------------------------------------------------------------------------------------------

    def claim(self, connection: Connection, key: str) -> bool:
        """Takes the runner's lock until the transaction ends; False at once where another has it."""
        return True

    def claim_session(self, connection: Connection, key: str) -> bool:
        """Takes the runner's lock until `release_session`; False at once where another has it."""
        return True

    def release_session(self, connection: Connection, key: str) -> None:
        """Gives back what `claim_session` took."""

    def is_pooled(self, connection: Connection) -> bool:
        """Whether something is in between that might exchange the session of a connection for another one."""
        return False

    def holds_session(self, connection: Connection, key: str) -> bool:
        """Whether the session that answers now has what `claim_session` took."""
        return True

    def why_shared(self, bind: Engine | Connection) -> str | None:
        """Why there is no session of one's own to hold a lock in, or None. Not for use in a transaction."""
        return None

    def claim_sql(self, key: str, *, session: bool) -> str:
        """What takes the lock by hand, for the transaction or the session; it fails where another has it."""
        return ""

    def release_sql(self, key: str) -> str:
        """What gives the session's lock back by hand."""
        return ""

    def lock_holder(self, connection: Connection, key: str) -> Session | None:
        """Who holds the runner's lock."""
        return None

    def lock_held(self, holder: Session | None) -> str:
        """That one cannot have the runner's lock, and what is known of who has it."""
        return f"another runner holds the lock: {holder or 'it is not known which'}"

    # --- time-outs ----------------------------------------------------------------------------------------

    def limit(self, connection: Connection, limits: Limits) -> None:
        """Sets the time-outs of a transaction, until its end."""

    @contextmanager
    def limited(self, connection: Connection, limits: Limits, *, session: bool) -> Iterator[None]:
        """Sets the time-outs for as long as it lasts: of a session, or of a transaction that goes on."""
        yield

    def limit_sql(self, limits: Limits, *, session: bool) -> str:
        """What sets the time-outs by hand, for the transaction or the session."""
        return ""

    def is_held_up(self, error: ServerError) -> bool:
        """Whether others were in the way, so that the same may do at another time."""
        return False

    def interrupter(self, connection: Connection) -> Callable[[], None] | None:
        """What ends a statement of this connection from another thread; None where a signal to us does."""
        return None

    def cancel(self, driver: Any, engine: Engine) -> None:
        """Asks the server, from another thread, to end what a driver's connection waits for, if it can.

        Args:
            driver: The driver's connection.
            engine: What has made it, and can make another one.
        """

    def sever(self, driver: Any) -> None:
        """Ends a driver's connection from another thread, whatever it waits for, if that can be done."""

    def onlooker(self, connection: Connection) -> Onlooker | None:
        """What can tell, on another thread, who holds this session up; None where that cannot be told."""
        return None

    # --- errors -------------------------------------------------------------------------------------------

    def is_lost(self, error: DBAPIError) -> bool:
        """Whether there is no connection any more, or none was to be had."""
        return error.connection_invalidated

    def ends_session(self, error: ServerError) -> bool:
        """Whether a limit that the session has has ended it: what ran has failed, and would fail again."""
        return False

    def trouble(self, error: ServerError) -> str | None:
        """What to do about a server that could not do now what it can do at another time; or None."""
        return None

    def is_passing(self, error: DBAPIError) -> bool:
        """Whether the error is none of what was sent: the connection is lost, or the server in trouble."""
        return self.is_lost(error) or self.trouble(self.explain(error)) is not None

    def explain(self, error: DBAPIError, script: str = "") -> ServerError:
        """What the database said. `script` is the text that was sent."""
        code = getattr(error.orig, "sqlstate", None) or type(error.orig).__name__
        return ServerError(str(error.orig).strip(), code)

    def is_duplicate(self, error: ServerError) -> bool:
        """Whether the error means that an object is there already."""
        return error.code in self.duplicates

    def broken_duplicate(self, connection: Connection, statement: str) -> str | None:
        """Why the object that is there is not what the statement would have made, or None."""
        return None

    def remedy(self, error: ServerError) -> str | None:
        """What to do about a refused statement, where there is more to say than the server does; or None."""
        return None

    def way_out(self, error: ServerError) -> str | None:
        """What to do, where fluxmig's own statements fail for want of a privilege or a schema; or None."""
        return None

    def has_table(self, connection: Connection, table: Table) -> bool:
        """Whether a table is there."""
        return has_table(connection, table)

    def grant(self, privileges: str, schema: str | None, table: str | None, user: str) -> str:
        """What gives a user privileges: on a table, or in a schema."""
        where = f"SCHEMA {schema}" if table is None else ".".join(filter(None, (schema, table)))
        return f"GRANT {privileges} ON {where} TO {user}"

    def existing(self, connection: Connection, wanted: Sequence[Created]) -> Mapping[Created, Presence]:
        """What is there of these objects; what cannot be told is left out. Only reads."""
        from fluxmig.dialects import existing  # noqa: PLC0415  # most runs do not ask

        return existing.generic(connection, wanted)

    def structure(
        self,
        connection: Connection,
        tables: Sequence[Table],
        programs: Callable[[str], Iterable[Path]],
        environ: Mapping[str, str],
    ) -> list[bytes]:
        """Scripts that make what the database holds, without its rows. Only reads.

        Args:
            connection: To the database.
            tables: Whose rows may be taken along, where that costs nothing more.
            programs: Where a program of a name may be.
            environ: The environment for programs.

        Raises:
            ConfigError: It cannot be read here, for want of a program, say.
            DatabaseConnectionError: It cannot be read, for want of a privilege, say.
        """
        raise ConfigError(
            f"fluxmig cannot read the structure of {self.product}", remedy="leave --from-url out"
        )

    def roles(self, connection: Connection) -> tuple[str, ...]:
        """The users and roles of the server that a script may name; empty where they are not known."""
        return ()

    def create_role(self, connection: Connection, name: str) -> None:
        """Makes a role that may not log in."""

    def sizes(self, connection: Connection) -> Mapping[str, TableSize]:
        """How large the tables are, by the names that `tracer` tells; takes no lock of theirs. Only reads."""
        return {}

    def tracer(self, own: frozenset[str]) -> Tracer:
        """Who watches a rehearsal and sees what can be seen there; `own` are the ledger and the log."""
        from fluxmig.dialects.tracing import Tracer  # noqa: PLC0415

        return Tracer(self, own)

    def catalog(self, connection: Connection, without: frozenset[str] = frozenset()) -> Catalog | None:
        """All objects of the database and their definitions, or None where that is not known. Only reads.

        Args:
            connection: Whose database.
            without: Tables that are left out, with all that is part of them.
        """
        return None

    # --- databases ----------------------------------------------------------------------------------------

    def create_database(self, connection: Connection, name: str, template: str | None = None) -> None:
        """Makes a database, on a connection in autocommit; a copy where a template is given.

        Raises:
            ConfigError: It cannot be made so there.
        """
        raise ConfigError(f"fluxmig cannot make a database of {self.product}", remedy="make it by hand")

    def drop_database(self, connection: Connection, name: str) -> None:
        """Drops a database that may be gone already, and ends the sessions in it; likewise."""

    def rename_database(self, connection: Connection, old: str, new: str) -> None:
        """Gives a database that nobody is in another name; likewise. Where `has_templates`."""

    def database_names(self, connection: Connection, prefix: str) -> Mapping[str, str | None]:
        """The databases whose names begin so, with what is noted of each. Where `has_templates`."""
        return {}

    def note_database(self, connection: Connection, name: str, words: str) -> None:
        """Has words noted of a database, for `database_names`. Where `has_templates`."""

    def claim_name(self, connection: Connection, key: str, *, shared: bool, wait: bool) -> bool:
        """Takes a lock until the session ends; False where another has it. Where `has_templates`."""
        return True

    def release(self, version: str) -> str:
        """The release that a version belongs to: "18" of PostgreSQL's "18.6"."""
        return ".".join(re.findall(r"\d+", version)[: self.release_length])

    # --- facts --------------------------------------------------------------------------------------------

    def read_only(self, connection: Connection) -> ConfigError | None:
        """Why nothing can be written on this connection, where that is known before it is tried; or None."""
        return None

    def ledger_schema(self, connection: Connection, table: str) -> str | None:
        """The schema that an unqualified ledger is in, or would be; None where a name needs none."""
        return None

    def info(self, connection: Connection, schema: str | None) -> DatabaseInfo:
        """Where one is connected to."""
        version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
        url = connection.engine.url
        return DatabaseInfo(
            dialect=f"{connection.dialect.name}+{connection.dialect.driver}",
            server=self.product,
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


def has_table(connection: Connection, table: Table) -> bool:
    """Whether a table is there, as SQLAlchemy asks every database."""
    return inspect(connection).has_table(table.name, schema=table.schema)


def send_as_is(connection: Connection, command: str) -> None:
    """Runs SQL past `text()`, whatever percent signs and colons are in it."""
    connection.exec_driver_sql(command, execution_options={"no_parameters": True}).close()


def shut_down(descriptor: int) -> None:
    """Ends the connection of a socket for whoever waits for it; the socket itself is its owner's to close."""
    with socket(fileno=os.dup(descriptor)) as own:
        own.shutdown(SHUT_RDWR)


def identifier(*names: str | None) -> str:
    """The names as SQL writes them. Not by SQLAlchemy, which doubles percent signs for a driver's sake."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names if name)


def literal(value: str | int | None) -> str:
    """The value as standard SQL writes it: a backslash is nothing special."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "NULL" if value is None else str(value)


def quoted(message: str) -> str | None:
    """The first name that a message quotes, whatever the quotes of its language."""
    found = re.search(r"""["«„“'`]([^"»“”'`]+)["»“”'`]""", message)
    return found[1] if found else None
