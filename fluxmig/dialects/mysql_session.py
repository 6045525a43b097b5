"""What a script can leave in a session of MySQL or MariaDB, and how it is taken back.

Variables, the database of USE, user variables, temporary tables and prepared statements. There is no SQL that
sets a session back as a whole (MySQL 8.0 C API, mysql_reset_connection): a pooled connection is thrown away,
and what is done here is for the ledger's row, and for a connection of the caller's.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fluxmig import sql
from fluxmig.dialects.base import send_as_is
from fluxmig.script import session_statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

    from fluxmig.model import Script

__all__ = ["SessionState", "may_change", "repeatable", "restore", "state"]

_VERBS: Final = frozenset(
    {b"SET", b"USE", b"PREPARE", b"EXECUTE", b"DEALLOCATE", b"CALL", b"HANDLER", b"XA", b"BEGIN"}
)
_HINTS: Final = re.compile(rb"@|/\*M?!|\b(?:TEMPORARY|GET_LOCK)\b", re.IGNORECASE)
_USER_VARIABLE: Final = re.compile(r"(?<!@)@(?:[\w$.]+|'[^']+'|\"[^\"]+\"|`[^`]+`)")
_TEMPORARY: Final = ("TEMPORARY", "TABLE")
# What changes by itself, or is of the last statement (MySQL 8.0, 5.1.8; MariaDB, "Server System Variables").
_RESTLESS: Final = re.compile(
    r"timestamp|last_insert_id|identity|insert_id|rand_seed[12]|error_count|warning_count|in_transaction"
    r"|(?:last_|gtid_).*|.*_gtid.*|pseudo_thread_id|innodb_buffer_pool_load_incomplete|statement_id"
)
_NUMBER: Final = re.compile(r"-?\d+")
_OF_SERVER: Final = frozenset({"GLOBAL", "PERSIST", "PERSIST_ONLY"})
_NO_VARIABLE: Final = frozenset({"PASSWORD", "DEFAULT", "RESOURCE", "STATEMENT", "TRANSACTION"})


@dataclass(frozen=True, slots=True)
class SessionState:
    """What a session has before a script.

    Attributes:
        database: The default one.
        variables: The system variables.
        user_variables: Those that the script names, with their values.
        temporary: The temporary tables that the script makes, as written.
        prepared: The statements that it prepares.
    """

    database: str | None
    variables: Mapping[str, str]
    user_variables: Mapping[str, Any]
    temporary: tuple[str, ...]
    prepared: tuple[str, ...]


def may_change(script: Script) -> bool:
    """Whether the script may leave something in its session. Routines it calls unseen are not looked into."""
    source, statements = script.source, script.statements
    if _HINTS.search(source):
        return True
    return any(sql.first_word(source, statements.start(place)) in _VERBS for place in range(len(statements)))


def state(connection: Connection, script: Script, rules: sql.Rules) -> SessionState:
    """What `restore` needs."""
    temporary, prepared = [], []
    for statement in session_statements(script):
        tokens = sql.tokens(statement.sql, rules, 12)
        words = tuple(token.upper() for token in tokens)
        if words[:1] == ("PREPARE",):
            prepared += tokens[1:2]
        elif words[:1] == ("CREATE",) and (made := _temporary(tokens, words)):
            temporary.append(made)
    names = sorted(set(_USER_VARIABLE.findall(script.source.decode())))
    values: list[Any] = []
    if names:
        values = list(connection.exec_driver_sql(f"SELECT {', '.join(map(_doubled, names))}").one())
    return SessionState(
        connection.scalar(text("SELECT DATABASE()")),
        _variables(connection),
        dict(zip(names, values, strict=True)),
        tuple(temporary),
        tuple(prepared),
    )


def restore(connection: Connection, before: SessionState) -> None:
    """Sets the session back, as far as the server lets it."""
    after = _variables(connection)
    for name, value in before.variables.items():
        if after.get(name) != value:
            _set(connection, name, value)
    for name, known in before.user_variables.items():
        with suppress(DBAPIError):
            connection.execute(text(f"SET {name} = :value"), {"value": known})
    undo = [f"DROP TEMPORARY TABLE IF EXISTS {name}" for name in before.temporary]
    undo += [f"DEALLOCATE PREPARE {name}" for name in before.prepared]
    if before.database and connection.scalar(text("SELECT DATABASE()")) != before.database:
        undo.append(f"USE `{before.database.replace('`', '``')}`")
    for statement in undo:
        with suppress(DBAPIError):  # the script may have done it
            send_as_is(connection, statement)


def repeatable(statement: str, rules: sql.Rules) -> bool | None:
    """Whether it only sets the session; None where it makes what sending it again would not make again."""
    tokens = sql.tokens(statement, rules, 64)
    words = tuple(token.upper() for token in tokens)
    if words and words[0].startswith(("/*!", "/*M!")):
        inside = re.sub(r"^/\*M?!\d*\s*|\s*\*/$", "", tokens[0])
        return repeatable(inside, rules) if inside else False
    match words:
        case ("SET", *rest):
            return _is_set_again(rest)
        case ("USE" | "PREPARE" | "DEALLOCATE", *_) | ("DROP", "PREPARE", *_):
            return True
        case ("CREATE", *_) if _temporary(tokens, words):
            return None
        case ("SELECT" | "WITH", *_) if _keeps_in_variables(words):
            return None
        case _:
            return False


# --- parts ------------------------------------------------------------------------------------------------


def _is_set_again(words: list[str]) -> bool | None:
    """Of a SET: not where the server keeps it; and not where a user variable gets what a function gives."""
    if not words or words[0] in _OF_SERVER | _NO_VARIABLE or words[:3] == ["@", "@", "GLOBAL"]:
        return False
    is_user_variable = any(
        word == "@" and "@" not in (before, after)
        for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False)
    )
    return None if is_user_variable and "(" in words else True


def _keeps_in_variables(words: Iterable[str]) -> bool:
    text_of_it = " ".join(words)
    return ": =" in text_of_it or "INTO @" in text_of_it


def _temporary(tokens: list[str], words: tuple[str, ...]) -> str | None:
    """The table that a CREATE TEMPORARY TABLE makes, as written."""
    at = next((at for at in range(len(words) - 1) if words[at : at + 2] == _TEMPORARY), None)
    if at not in {1, 3}:
        return None
    place = at + 2 + (3 if words[at + 2 : at + 5] == ("IF", "NOT", "EXISTS") else 0)
    name = "".join(tokens[place : place + 1])
    return f"{name}.{tokens[place + 2]}" if tokens[place + 1 : place + 2] == ["."] else name or None


def _variables(connection: Connection) -> dict[str, str]:
    """The session's system variables, and the server's, which are no harm."""
    rows = connection.exec_driver_sql("SHOW SESSION VARIABLES")
    return {name.lower(): value for name, value in rows if not _RESTLESS.fullmatch(name.lower())}


def _set(connection: Connection, name: str, value: str) -> None:
    """One variable; those of the server, and those that may only be read, are refused and stay."""
    literal = int(value) if _NUMBER.fullmatch(value) else value
    with suppress(DBAPIError):
        connection.execute(text(f"SET SESSION {name} = :value"), {"value": literal})


def _doubled(name: str) -> str:
    return name.replace("%", "%%")
