"""A script's SQL -> the server, exactly as written; what the server refuses -> a Failure with its place."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol

from sqlalchemy.exc import DBAPIError

from fluxmig import sql
from fluxmig.dialects.base import ServerError, UnsoundError
from fluxmig.errors import DatabaseConnectionError
from fluxmig.excerpt import excerpt
from fluxmig.model import Failure, Mode
from fluxmig.script import messages

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from fluxmig.dialects import Dialect
    from fluxmig.model import Script, Statement
    from fluxmig.script import Message

__all__ = ["MESSAGE_LIMIT", "Observer", "RefusedError", "failure", "raise_if_lost", "refused"]
__all__ += ["send_script", "send_statement"]

MESSAGE_LIMIT = 2**17
"""Bytes of SQL in one message, where a file has more: the server and the driver hold it several times, and
libpq a result of some 3 KB for each of its statements."""


class RefusedError(Exception):
    """The database refused a script.

    Attributes:
        failure: What to tell.
        server: What the database said.
    """

    def __init__(self, failure: Failure, server: ServerError) -> None:
        super().__init__(failure.headline)
        self.failure = failure
        self.server = server


class Observer(Protocol):
    """Who watches statements run, one by one."""

    def watching(
        self, connection: Connection, script: Script, statement: Statement
    ) -> AbstractContextManager[None]:
        """Around one statement; it may ask on the connection before and behind it, and must not change it."""


def send_script(
    dialect: Dialect, connection: Connection, script: Script, observer: Observer | None = None
) -> None:
    """The whole file, or what an earlier attempt has left of it; in as few messages as the driver can.

    Statement by statement where somebody watches.

    Raises:
        RefusedError: The database refused a statement.
        DatabaseConnectionError: The connection was lost.
    """
    if observer or not dialect.whole_file(connection):
        for place in range(script.done, len(script.statements)):
            send_statement(dialect, connection, script, script.statements[place], observer=observer)
        return
    for message in messages(script, MESSAGE_LIMIT):
        if message.rows:
            send_statement(dialect, connection, script, script.statements[message.first])
            continue
        text = script.source[message.start : message.end].decode()
        try:
            dialect.send(connection, text)
        except UnicodeEncodeError as error:
            raise _not_encodable(dialect, script, error, message.start) from error
        except DBAPIError as error:
            raise_if_lost(dialect, error, script)
            server = dialect.explain(error, text)
            raise refused(dialect, script, message, text, server) from error


def refused(
    dialect: Dialect, script: Script, message: Message, text: str, server: ServerError
) -> RefusedError:
    """The server's error at a message, with its place: by its position, or by how many statements were done.

    Args:
        dialect: The database's.
        script: The script.
        message: Its part that was sent.
        text: That part's text.
        server: What the server said of it.
    """
    statement: Statement | None = None
    offset: int | None = None
    if server.offset is not None:
        offset = message.start + len(text[: server.offset].encode())
        statement = script.statements[script.statements.index_at(offset) or 0]
    elif server.completed is not None and server.completed < message.last - message.first:
        statement = script.statements[message.first + server.completed]
    elif message.last - message.first == 1:
        statement = script.statements[message.first]
    return RefusedError(failure(dialect, script, server, statement, offset), server)


def send_statement(
    dialect: Dialect,
    connection: Connection,
    script: Script,
    statement: Statement,
    tell: Callable[[str], None] | None = None,
    observer: Observer | None = None,
) -> None:
    """One statement, and its rows if it is a COPY; raises as `send_script` does.

    Args:
        dialect: The database's.
        connection: Where to send it.
        script: What it belongs to.
        statement: The statement.
        tell: For a statement outside of transactions: who hears what is mended before and behind it.
        observer: Who watches it run, or nobody.
    """
    offset = None
    again = script.interrupted and statement.number == script.done + 1
    guard = dialect.guarded(connection, statement.sql, tell, again=again) if tell else nullcontext()
    watch = observer.watching(connection, script, statement) if observer else nullcontext()
    try:
        with guard, watch:
            if statement.data:
                start, end = statement.data
                dialect.copy(connection, statement.sql, memoryview(script.source)[start:end])
            else:
                dialect.send(connection, statement.sql)
    except UnsoundError as error:
        server = ServerError(error.message)
        raise RefusedError(
            failure(dialect, script, server, statement, remedy=error.remedy), server
        ) from error
    except UnicodeEncodeError as error:
        raise _not_encodable(dialect, script, error, statement.start) from error
    except DBAPIError as error:
        raise_if_lost(dialect, error, script)
        server = dialect.explain(error, statement.sql)
        if statement.data and server.row is not None:
            offset = _start_of_row(script.source, statement, dialect.rules, server.row)
        elif server.offset is not None:
            offset = statement.start + len(statement.sql[: server.offset].encode())
        raise RefusedError(failure(dialect, script, server, statement, offset), server) from error


def raise_if_lost(dialect: Dialect, error: DBAPIError, script: Script, *, at_commit: bool = False) -> None:
    """Raises `DatabaseConnectionError` if the error is that of a connection that is gone.

    But for one that a limit of the session's own has ended: what ran has failed then.
    """
    server = dialect.explain(error)
    if not dialect.is_lost(error) or dialect.ends_session(server):
        return
    code = f" [{server.code}]" if server.code else ""
    message = f"the connection was lost in {script.path}: {server.message}{code}"
    if at_commit:
        remedy = "It is applied as a whole, or not at all: `fluxmig status` tells which; run again to go on."
    elif script.mode is Mode.TRANSACTION:
        remedy = "The server rolls the migration back; run again when it is there."
    else:
        remedy = (
            "The script ran without a transaction: `fluxmig status` tells how many of its statements are"
            " done, and the next run goes on behind them."
        )
    remedy = "\n".join(filter(None, (dialect.remedy(server), remedy)))
    raise DatabaseConnectionError(message, remedy=remedy, in_doubt=at_commit) from error


def failure(
    dialect: Dialect,
    script: Script,
    server: ServerError,
    statement: Statement | None,
    offset: int | None = None,
    *,
    remedy: str | None = None,
) -> Failure:
    """The server's error with its place in the file: the error's own, else where its object is named."""
    place = offset
    if place is None and statement is not None:
        mention = _only_mention(statement, server.object) if server.object else None
        place = statement.start if mention is None else mention
    line, column = (None, None) if place is None else sql.line_column(script.source, place)
    return Failure(
        path=script.path,
        message=server.message,
        code=server.code,
        line=line,
        column=column,
        statement=statement,
        statements=len(script.statements),
        object=server.object,
        detail=server.detail,
        hint=server.hint,
        context=server.context,
        excerpt="" if place is None else excerpt(script.source, place),
        remedy=remedy or dialect.remedy(server),
    )


def _not_encodable(dialect: Dialect, script: Script, error: UnicodeEncodeError, start: int) -> RefusedError:
    """What the driver says of a character behind an offset, where the client's encoding does not have it."""
    character = error.object[error.start]
    server = ServerError(f"the character {character!r} is not in the client's encoding, {error.encoding}")
    offset = script.source.index(character.encode(), start)
    statement = script.statements[script.statements.index_at(offset) or 0]
    refusal = failure(dialect, script, server, statement, offset, remedy=dialect.encoding_remedy)
    return RefusedError(refusal, server)


def _only_mention(statement: Statement, name: str) -> int | None:
    """The offset of the one place where a statement has the name that the server's message quotes.

    For many errors PostgreSQL sends no position: a missing table behind REFERENCES, a duplicate.
    """
    found = list(re.finditer(rf"(?<![\w$]){re.escape(name)}(?![\w$])", statement.sql, re.IGNORECASE))
    if len(found) != 1:
        return None
    return statement.start + len(statement.sql[: found[0].start()].encode())


def _start_of_row(source: bytes, statement: Statement, rules: sql.Rules, number: int) -> int:
    """The offset of the row of a COPY that the server calls a line; of the last where there are fewer.

    Of a row over many lines, the server tells the last. It counts (copyfromparse.c, CopyReadLineText) the
    ends of rows, and in CSV what ends lines inside quotes; but in the first row it does not know yet what
    that is, and takes carriage returns for it.
    """
    start, end = statement.data or (0, 0)
    quotes = _csv_quotes(sql.tokens(statement.sql, rules))
    pattern = rb"\\.|\n"
    if quotes:
        quote, escape = (re.escape(character.encode()) for character in quotes)
        inside = rb"[^%b]*+" % quote
        if quote != escape:
            inside = rb"(?:[^%b%b]++|%b.)*" % (quote, escape, escape)
        pattern = rb"%b%b(?:%b|\Z)|\n" % (quote, inside, quote)
    line, row, ending = 1, start, b"\r"
    for found in re.compile(pattern, re.DOTALL).finditer(source, start, end):
        if found[0] != b"\n":
            line += found[0].count(ending) if quotes else 0
        elif line >= number or found.end() == end:
            break
        else:
            if row == start and source[found.start() - 1 : found.start()] != b"\r":
                ending = b"\n"
            line, row = line + 1, found.end()
    return row


def _csv_quotes(tokens: list[str]) -> tuple[str, str] | None:
    """The QUOTE and the ESCAPE of a COPY in CSV; None where it is not in CSV."""
    words = [token.strip("'\"").upper() for token in tokens]
    behind = words.index("FROM", 2) + 2
    options = words[behind : words.index("WHERE", behind) if "WHERE" in words[behind:] else None]
    if "CSV" not in options:
        return None
    found: dict[str, str] = {}
    for option in ("QUOTE", "ESCAPE"):
        if option in options:
            place = behind + options.index(option) + 1
            found[option] = tokens[place + (words[place] == "AS")][-2]  # whatever escapes it stands before
    quote = found.get("QUOTE", '"')
    return quote, found.get("ESCAPE", quote)
