"""MySQL and MariaDB. Section numbers are those of the manual of MySQL 8.0; MariaDB's pages have no numbers.

Neither rolls back what creates and alters (13.3.3, "Statements That Cause an Implicit Commit"): a file that
holds such a statement runs statement by statement, and its progress is kept in the log.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Engine, false, func, literal_column, select, text
from sqlalchemy.dialects.mysql import DATETIME, LONGTEXT
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fluxmig import sql
from fluxmig.dialects import (
    mysql_catalog,
    mysql_errors,
    mysql_existing,
    mysql_limits,
    mysql_privileges,
    mysql_session,
    mysql_structure,
    mysql_trace,
    mysql_watch,
)
from fluxmig.dialects.base import (
    GIVEN,
    IN_AUTOCOMMIT,
    NO_AUTOCOMMIT,
    Dialect,
    TableStyle,
    send_as_is,
    shut_down,
)
from fluxmig.errors import ConfigError
from fluxmig.model import DatabaseInfo, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import ColumnElement, Connection, Table

    from fluxmig.catalog import Catalog
    from fluxmig.dialects.base import Heard, Onlooker, Refusal, ServerError
    from fluxmig.dialects.loading import Loading
    from fluxmig.dialects.mysql_session import SessionState
    from fluxmig.dialects.tracing import Tracer
    from fluxmig.model import Limits, Script
    from fluxmig.objects import Created, Presence

__all__ = ["MariaDB", "MySQL"]

# What commits nothing (13.3.3). Of SET, one variable does; of CALL and EXECUTE nothing is known.
_IN_TRANSACTION = frozenset(
    {"INSERT", "UPDATE", "DELETE", "REPLACE", "SELECT", "WITH", "VALUES", "TABLE", "DO", "LOAD", "SET"}
    | {"SHOW", "EXPLAIN", "DESCRIBE", "DESC", "USE", "HANDLER", "SAVEPOINT", "RELEASE", "ROLLBACK", "("}
    | {"PREPARE", "DEALLOCATE", "SIGNAL", "GET", "HELP", "CHECKSUM"}
)
_CONTROL = frozenset({"BEGIN", "START", "COMMIT", "END"})
"""What a file's own transactions are made of; the rules of every database are about them."""
_SETS_SERVER = (["PASSWORD"], ["DEFAULT"], ["RESOURCE"], ["STATEMENT"])
_ATOMIC = frozenset(
    {"INSERT", "UPDATE", "DELETE", "REPLACE", "SELECT", "WITH", "VALUES", "TABLE", "DO", "LOAD", "CALL", "("}
)
"""Verbs of statements that can be in one transaction with their row of progress; where a CALL commits, the
row is committed by itself."""
_ROUTINES = frozenset({"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"})
_LOOK = 64
"""Words of a statement that `refusal` may get."""
_BEHIND = "fluxmig: behind the transaction"
"""Where a transaction leaves what is to be sent behind it, in `Connection.info`."""
_HEAR = "fluxmig: who hears of warnings"
_SAVEPOINT = "fluxmig_script"
_KEY_LENGTH = 40
"""Of the digest; a lock's name has at most 64 characters (12.14)."""

_MODES = text("SELECT @@SESSION.sql_mode")
_INFO = text("SELECT VERSION(), DATABASE(), CURRENT_USER(), CAST(UTC_TIMESTAMP() AS CHAR)")
_HOLDER = text(
    "SELECT user, NULL, host, DATE_FORMAT(UTC_TIMESTAMP() - INTERVAL time SECOND, '%Y-%m-%d %T+00'),"
    " LOWER(command) FROM information_schema.processlist WHERE id = :id"
)
_SESSIONS = text("SELECT id FROM information_schema.processlist WHERE db = :name")


class MySQL(Dialect):
    """MySQL 8.0.13 and later, which takes expressions for defaults (11.6)."""

    name: ClassVar[str] = "mysql"
    product: str = "MySQL"
    schemas_are_databases: ClassVar[bool] = True
    rules: sql.Rules = sql.MYSQL
    duplicates: ClassVar[Mapping[str, str]] = mysql_errors.DUPLICATES
    doubtful_duplicates: ClassVar[frozenset[str]] = mysql_errors.DOUBTFUL
    current_user: ClassVar[ColumnElement[str] | None] = literal_column("(CURRENT_USER())")
    # File names that differ by a letter's case, or by a blank at the end, are two. TEXT holds 64 KB.
    # TIMESTAMP ends in 2038, and is told in the session's time zone, which nobody knows.
    table_style: ClassVar[TableStyle] = TableStyle(
        time=DATETIME(fsp=6),
        now=literal_column("(UTC_TIMESTAMP(6))"),
        text=LONGTEXT(),
        options={
            f"{name}_{option}": value
            for name in ("mysql", "mariadb")
            for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
        },
        ddl_in_savepoints=False,
    )
    has_lock: ClassVar[bool] = True
    has_session_lock: ClassVar[bool] = True
    begin_sql: ClassVar[str] = "START TRANSACTION"
    shell_head: ClassVar[str] = "SET NAMES utf8mb4;\n"  # the client ends at the first error by itself
    encoding_remedy: ClassVar[str] = "files are UTF-8: end the URL with ?charset=utf8mb4"
    lock_kind: ClassVar[str] = "GET_LOCK"
    duplicates_by: ClassVar[str] = "error number"
    places_by: ClassVar[str] = "the text that the message quotes"
    scratch: ClassVar[tuple[str, ...]] = ("container", GIVEN)
    image: ClassVar[str] = "mysql"
    async_driver: ClassVar[str] = "mysql+asyncmy"
    tested: ClassVar[str] = "9.7"
    _statement_time: ClassVar[str] = "max_execution_time"
    _innodb_tables: ClassVar[str] = "INNODB_TABLES"
    _transaction_read_only: ClassVar[str] = "transaction_read_only"
    _is_mariadb: ClassVar[bool] = False

    def met(self, connection: Connection) -> Dialect:
        """By whether it is MariaDB, which a URL need not say, and by the session's sql_mode (5.1.11)."""
        modes = str(connection.scalar(_MODES)).upper().split(",")
        known = MariaDB() if getattr(connection.dialect, "is_mariadb", False) else MySQL()
        known.rules = replace(
            sql.MYSQL,
            ansi_quotes="ANSI_QUOTES" in modes,
            backslash_escapes="NO_BACKSLASH_ESCAPES" not in modes,
        )
        return known

    # --- connections and transactions ---------------------------------------------------------------------

    @contextmanager
    def transaction(self, bind: Engine | Connection) -> Iterator[Connection]:
        """As everywhere; the lock of `claim` and time-outs are the session's, and put back behind the end.

        In a transaction of the caller's that is before it ends: where two runners meet there, the ledger's
        unique name decides.
        """
        if isinstance(bind, Engine):
            with bind.connect() as connection, self.transaction(connection):
                yield connection
            return
        nested = bind.in_transaction()
        try:
            with super().transaction(bind) as connection:
                yield connection
        finally:
            if not bind.closed and not bind.invalidated and (behind := bind.info.pop(_BEHIND, None)):
                with suppress(SQLAlchemyError):
                    for statement in behind:
                        send_as_is(bind, statement)
                    if not nested:
                        bind.rollback()

    @contextmanager
    def reading(self, bind: Engine | Connection) -> Iterator[Connection]:
        """A read-only transaction; a savepoint where the caller's connection is in a transaction already."""
        nested = not isinstance(bind, Engine) and bind.in_transaction()
        with self.transaction(bind) as connection:
            if not nested:
                send_as_is(connection, "SET TRANSACTION READ ONLY")  # of the next one, which is this
            yield connection

    def can_begin(self, connection: Connection) -> bool:
        """Of what can be rolled back: rows."""
        return True

    def is_in_transaction(self, connection: Connection) -> bool | None:
        """SERVER_STATUS_IN_TRANS, where the driver tells it."""
        status = getattr(connection.connection.dbapi_connection, "server_status", None)
        return bool(status & 1) if isinstance(status, int) else None

    def has_ended(self, connection: Connection) -> bool:
        """By the savepoint of `claim`: it goes with the transaction (13.3.4)."""
        try:
            send_as_is(connection, f"RELEASE SAVEPOINT {_SAVEPOINT}")
        except DBAPIError as error:
            if mysql_errors.code_of(error) == mysql_errors.NO_SAVEPOINT:
                return True
            raise
        return False

    def refuse_autocommit(self, connection: Connection) -> None:
        """As everywhere, but that drivers have a method for it."""
        ask = getattr(connection.connection.dbapi_connection, "get_autocommit", None)
        if ask is not None and ask():
            raise ConfigError(IN_AUTOCOMMIT, remedy=NO_AUTOCOMMIT)
        super().refuse_autocommit(connection)

    # --- running ------------------------------------------------------------------------------------------

    def send(self, connection: Connection, script: str) -> None:
        """Runs the SQL exactly as written: past the parameters of SQLAlchemy and of the driver.

        Raises:
            UnsoundError: It is longer than the server takes.
        """
        mysql_limits.refuse_too_long(connection, script)
        result = connection.exec_driver_sql(script, execution_options={"no_parameters": True})
        result.close()
        if hear := connection.info.get(_HEAR):
            mysql_watch.tell_warnings(connection, result, hear)

    @contextmanager
    def listening(self, connection: Connection, hear: Callable[[Heard], None]) -> Iterator[None]:
        """SHOW WARNINGS behind each statement of which the driver says that it has any."""
        outer = connection.info.get(_HEAR)

        def both(heard: Heard) -> None:
            if outer:
                outer(heard)
            hear(heard)

        connection.info[_HEAR] = both
        try:
            yield
        finally:
            if not connection.invalidated:
                connection.info[_HEAR] = outer

    def loading(self, connection: Connection) -> Loading:
        """By statements with many parameters, which drivers put into one."""
        from fluxmig.dialects.mysql_loading import MySQLLoading  # noqa: PLC0415  # as that of the base

        return MySQLLoading()

    def may_be_atomic(self, statement: str) -> bool:
        """By the verb."""
        return sql.words(statement, self.rules, 1)[0] in _ATOMIC

    def is_done(self, statement: str, error: ServerError) -> bool:
        """Also of what is gone, and of ALTER TABLE."""
        return mysql_errors.is_done(statement, error, self.rules)

    def no_transaction_reason(self, words: Sequence[str]) -> str | None:
        """All but what is known to commit nothing; of executable comments, CALL and EXECUTE nothing is."""
        match words:
            case ("CREATE" | "DROP", "TEMPORARY", "TABLE", *_) | ("CREATE", "OR", "REPLACE", "TEMPORARY", *_):
                return None
            case ("BEGIN", "NOT", "ATOMIC", *_):
                return "BEGIN NOT ATOMIC"
            case ("SET", *rest) if "AUTOCOMMIT" in rest or rest[:1] in _SETS_SERVER:
                return "SET autocommit" if "AUTOCOMMIT" in rest else f"SET {rest[0]}"
            case (verb, *_) if verb in _IN_TRANSACTION or verb in _CONTROL:
                return None
            case ("/", *_):
                return "an executable comment"
            case (verb, kind, *_) if kind.isalpha():
                return f"{verb} {kind}"
            case _:
                return words[0]

    def refusal(self, words: Sequence[str]) -> Refusal | None:
        """What would keep fluxmig from its own tables; what is for the client; and a body cut to pieces."""
        match words:
            case ("LOCK" | "UNLOCK" as verb, "TABLES" | "TABLE", *_):
                return (
                    f"{verb} TABLES would keep fluxmig from its own tables",
                    "remove LOCK TABLES and UNLOCK TABLES; mysqldump --skip-add-locks leaves them out",
                )
            case ("FLUSH", *rest) if "LOCK" in rest or "EXPORT" in rest:
                return (
                    "FLUSH ... WITH READ LOCK would keep fluxmig from its own tables",
                    "remove the statement",
                )
            case ("SOURCE", *_):
                remedy = "put the SQL of that file here, or into a migration of its own"
                return "SOURCE is a command of the mysql client, not SQL", remedy
            case ("CREATE", *_) if _is_cut_off(words):
                return (
                    "the body of this routine would end at its first semicolon",
                    "write a line `DELIMITER //` before it, // behind it, and a line `DELIMITER ;`",
                )
        return None

    def may_change_session(self, script: Script) -> bool:
        """By the verbs and signs that such SQL cannot do without."""
        return mysql_session.may_change(script)

    def session_state(self, connection: Connection, script: Script) -> SessionState:
        """Variables, the database, and what is temporary."""
        return mysql_session.state(connection, script, self.rules)

    def restore_session(self, connection: Connection, state: SessionState) -> None:
        """Each by its own statement."""
        mysql_session.restore(connection, state)

    def repeatable(self, statement: str) -> bool | None:
        """SET, USE and their like; None for temporary tables, and for variables that hold what was read."""
        return mysql_session.repeatable(statement, self.rules)

    def leaves_traces(self, script: Script) -> bool:
        """Whatever it sets: no transaction takes it back."""
        return True

    def by_hand(self, statement: str) -> str:
        """Between lines of DELIMITER where it holds a semicolon."""
        if ";" not in statement:
            return super().by_hand(statement)
        delimiter = next(each for each in ("//", "$$", "|||", "~~~~") if each not in statement)
        return f"DELIMITER {delimiter}\n{statement}{delimiter}\nDELIMITER ;\n"

    # --- locks --------------------------------------------------------------------------------------------

    def claim(self, connection: Connection, key: str) -> bool:
        """`claim_session`, given back behind the transaction; and a savepoint, for `has_ended`."""
        if not self.claim_session(connection, key):
            return False
        _leave_behind(connection, f"DO RELEASE_LOCK('{_lock_name(key)}')")
        send_as_is(connection, f"SAVEPOINT {_SAVEPOINT}")
        return True

    def claim_session(self, connection: Connection, key: str) -> bool:
        """GET_LOCK (12.14), never waited for. Its name is the server's, and no commit ends it."""
        return connection.scalar(select(func.get_lock(_lock_name(key), 0))) == 1

    def release_session(self, connection: Connection, key: str) -> None:
        """RELEASE_LOCK."""
        connection.scalar(select(func.release_lock(_lock_name(key))))

    def claim_sql(self, key: str, *, session: bool) -> str:
        """The second query gives two rows where one is needed, and is asked where another has the lock."""
        name = _lock_name(key)
        return f"SET @fluxmig = IF(GET_LOCK('{name}', 0) = 1, 1, (SELECT 1 UNION SELECT 2));\n"

    def release_sql(self, key: str) -> str:
        """DO shows nothing."""
        return f"DO RELEASE_LOCK('{_lock_name(key)}');\n"

    def lock_holder(self, connection: Connection, key: str) -> Session | None:
        """The holder's connection; user, host and what it does where the login may see that (PROCESS)."""
        number = connection.scalar(select(func.is_used_lock(_lock_name(key))))
        if number is None:
            return None
        row = connection.execute(_HOLDER, {"id": number}).first()
        return Session(int(number), *(row or ()))

    # --- time-outs ----------------------------------------------------------------------------------------

    def limit(self, connection: Connection, limits: Limits) -> None:
        """lock_wait_timeout and innodb_lock_wait_timeout; max_statement_time or max_execution_time."""
        _leave_behind(connection, *mysql_limits.limit(connection, limits))

    @contextmanager
    def limited(self, connection: Connection, limits: Limits, *, session: bool) -> Iterator[None]:
        """Likewise, and back again."""
        with mysql_limits.limited(connection, limits):
            yield

    def limit_sql(self, limits: Limits, *, session: bool) -> str:
        """Likewise, for the session in any case."""
        return mysql_limits.by_hand(limits, self._statement_time)

    def is_held_up(self, error: ServerError) -> bool:
        """By the number: a lock not had in time, a deadlock, a row that has changed meanwhile."""
        return error.code in mysql_errors.HELD_UP

    def onlooker(self, connection: Connection) -> Onlooker | None:
        """By the server's tables of locks, on a second connection."""
        return mysql_watch.onlooker(connection)

    def interrupter(self, connection: Connection) -> Callable[[], None] | None:
        """KILL QUERY by a second connection: neither server misses who waits for a statement."""
        number = mysql_watch.number_of(connection.connection.dbapi_connection)
        if number is None or connection.dialect.is_async:
            return None
        return partial(mysql_watch.kill_soon, connection.engine.pool.recreate(), number)

    def cancel(self, driver: Any, engine: Engine) -> None:
        """KILL QUERY by a second connection; MariaDB goes on with what nobody waits for any more."""
        number = mysql_watch.number_of(driver)
        if number is not None:
            pool = engine.pool.recreate()
            mysql_watch.kill(pool, number)
            pool.dispose()

    def sever(self, driver: Any) -> None:
        """By PyMySQL's socket."""
        if own := getattr(driver, "_sock", None):
            shut_down(own.fileno())

    # --- errors -------------------------------------------------------------------------------------------

    def explain(self, error: DBAPIError, script: str = "") -> ServerError:
        """The number for the code; the place by the text that the message quotes."""
        return mysql_errors.explain(error, script)

    def is_duplicate(self, error: ServerError) -> bool:
        """By the number."""
        return mysql_errors.is_duplicate(error)

    def is_lost(self, error: DBAPIError) -> bool:
        """Also where there was none."""
        return mysql_errors.is_lost(error)

    def trouble(self, error: ServerError) -> str | None:
        """By the number, and that of the operating system."""
        return mysql_errors.trouble(error)

    def remedy(self, error: ServerError) -> str | None:
        """By the number."""
        return mysql_errors.REMEDIES.get(error.code or "") or mysql_errors.trouble(error)

    def way_out(self, error: ServerError) -> str | None:
        """By the number."""
        return mysql_errors.WAYS_OUT.get(error.code or "")

    def grant(self, privileges: str, schema: str | None, table: str | None, user: str) -> str:
        """A user is a name and a host (13.7.1.6), as CURRENT_USER tells them."""
        name, _, host = user.rpartition("@")
        return f"GRANT {privileges} ON {schema}.{table or '*'} TO '{name}'@'{host}'"

    def has_table(self, connection: Connection, table: Table) -> bool:
        """By DESCRIBE, which on MySQL waits for no table that is just being made, once others were read.

        A query waits (10.11.4, "Metadata Locking"), and keeps the table as it is from then on.
        """
        try:
            return super().has_table(connection, table)
        except DBAPIError as error:
            if mysql_errors.code_of(error) != mysql_errors.BEING_MADE:
                raise
        with suppress(DBAPIError):  # it is not there, or not for this login to read
            connection.execute(select(text("1")).select_from(table).where(false()))
        return super().has_table(connection, table)

    def existing(self, connection: Connection, wanted: Sequence[Created]) -> Mapping[Created, Presence]:
        """By information_schema, which shows what the login has some privilege on (24.1)."""
        granted = mysql_privileges.granted(connection)
        return mysql_existing.existing(connection, wanted, granted.sees)

    def catalog(self, connection: Connection, without: frozenset[str] = frozenset()) -> Catalog | None:
        """By information_schema."""
        return mysql_catalog.snapshot(connection, without, is_mariadb=self._is_mariadb)

    # --- databases ----------------------------------------------------------------------------------------

    def create_database(self, connection: Connection, name: str, template: str | None = None) -> None:
        """Empty: there are no templates."""
        if template is not None:
            raise ConfigError(
                f"{self.product} cannot copy a database", remedy="apply the migrations to a new one"
            )
        send_as_is(connection, f"CREATE DATABASE {_quoted(name)}")

    def drop_database(self, connection: Connection, name: str) -> None:
        """After whoever is in it, since DROP DATABASE waits for those who have a table open (8.11.4)."""
        for number in connection.scalars(_SESSIONS, {"name": name}).all():
            with suppress(DBAPIError):  # it has ended by itself
                connection.exec_driver_sql(f"KILL {number}")
        send_as_is(connection, f"DROP DATABASE IF EXISTS {_quoted(name)}")

    def structure(
        self,
        connection: Connection,
        tables: Sequence[Table],
        programs: Callable[[str], Iterable[Path]],
        environ: Mapping[str, str],
    ) -> list[bytes]:
        """By SHOW CREATE."""
        return [mysql_structure.script(connection).encode()]

    def tracer(self, own: frozenset[str]) -> Tracer:
        """With what InnoDB has written anew."""
        return mysql_trace.MySQLTracer(
            self, own, tables=self._innodb_tables, rebuilds_empty=not self._is_mariadb
        )

    # --- facts --------------------------------------------------------------------------------------------

    def read_only(self, connection: Connection) -> ConfigError | None:
        """read_only and its like, and what exempts the login (5.1.8)."""
        return mysql_privileges.read_only(connection, self._transaction_read_only)

    def ledger_schema(self, connection: Connection, table: str) -> str | None:
        """The database of the connection.

        Raises:
            ConfigError: It has none.
        """
        schema: str | None = connection.scalar(text("SELECT DATABASE()"))
        if schema is None:
            remedy = "end the URL with /DATABASE, or give --schema"
            raise ConfigError("the connection has no database, and the ledger needs one", remedy=remedy)
        return schema

    def info(self, connection: Connection, schema: str | None) -> DatabaseInfo:
        """As the server tells it."""
        version, database, user, time = connection.execute(_INFO).one()
        cipher = connection.execute(text("SHOW SESSION STATUS LIKE 'Ssl_cipher'")).first()
        driver = f"{connection.dialect.name}+{connection.dialect.driver}"
        ssl = bool(cipher and cipher[1])
        return DatabaseInfo(driver, self.product, version, database, user, f"{time}+00", ssl, schema)

    def may_create(self, connection: Connection, schema: str | None) -> bool | None:
        """By SHOW GRANTS; None where there is no such database."""
        there = text("SELECT 1 FROM information_schema.schemata WHERE schema_name = :name")
        if schema is None or connection.scalar(there, {"name": schema}) is None:
            return None
        return mysql_privileges.granted(connection).has({"CREATE"}, schema)

    def may_read(self, connection: Connection, table: Table) -> bool:
        """By SHOW GRANTS."""
        return mysql_privileges.granted(connection).has({"SELECT"}, table.schema, table.name)

    def may_write(self, connection: Connection, table: Table) -> bool | None:
        """By SHOW GRANTS."""
        needed = {"SELECT", "INSERT", "DELETE"}
        return mysql_privileges.granted(connection).has(needed, table.schema, table.name)


class MariaDB(MySQL):
    """MariaDB 10.5 and later: its rules are MySQL's, but for what it has beside."""

    name: ClassVar[str] = "mariadb"
    product: str = "MariaDB"
    image: ClassVar[str] = "mariadb"
    async_driver: ClassVar[str] = "mariadb+asyncmy"
    tested: ClassVar[str] = "10.11"
    _innodb_tables: ClassVar[str] = "INNODB_SYS_TABLES"
    _statement_time: ClassVar[str] = "max_statement_time"
    _transaction_read_only: ClassVar[str] = "tx_read_only"
    _is_mariadb: ClassVar[bool] = True


def _leave_behind(connection: Connection, *statements: str) -> None:
    """Has `transaction` send these behind its end, when what they put back is the session's."""
    connection.info.setdefault(_BEHIND, []).extend(statements)


def _is_cut_off(words: Sequence[str]) -> bool:
    """Whether this is the head of a routine whose body holds semicolons, up to the first of them."""
    if len(words) >= _LOOK or "BEGIN" not in words or "END" in words:
        return False
    return not _ROUTINES.isdisjoint(words[: words.index("BEGIN")])


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _lock_name(key: str) -> str:
    """The key within a lock's length; the ledger's database is part of it, since locks are the server's."""
    return f"fluxmig:{hashlib.sha256(key.encode()).hexdigest()[:_KEY_LENGTH]}"
