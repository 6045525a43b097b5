"""What MySQL and MariaDB say about an error: its number, its place and the object that it names.

Numbers and symbols: MySQL 8.0 Error Message Reference, chapter 2; MariaDB's list of error codes. They mean
the same in both where both have them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fluxmig import sql
from fluxmig.dialects.base import ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.exc import DBAPIError

__all__ = [
    "BEING_MADE",
    "DOUBTFUL",
    "DUPLICATES",
    "GONE",
    "HELD_UP",
    "NO_SAVEPOINT",
    "REMEDIES",
    "WAYS_OUT",
    "code_of",
    "explain",
]
__all__ += ["TROUBLES", "is_done", "is_duplicate", "is_lost", "place", "trouble"]

DUPLICATES: Final[Mapping[str, str]] = {
    "1007": "ER_DB_CREATE_EXISTS",
    "1050": "ER_TABLE_EXISTS_ERROR",  # of views and sequences, too
    "1060": "ER_DUP_FIELDNAME",
    "1061": "ER_DUP_KEYNAME",
    "1068": "ER_MULTIPLE_PRI_KEY",
    "1125": "ER_UDF_EXISTS",
    "1304": "ER_SP_ALREADY_EXISTS",
    "1359": "ER_TRG_ALREADY_EXISTS",
    "1396": "ER_CANNOT_USER",
    "1537": "ER_EVENT_ALREADY_EXISTS",
    "1826": "ER_FK_DUP_NAME",  # MariaDB: ER_DUP_CONSTRAINT_NAME, of checks
    "3822": "ER_CHECK_CONSTRAINT_DUP_NAME",
}
DOUBTFUL: Final = frozenset({"1060", "1068", "1396"})
"""Of two columns of a query, too; of a second primary key, for one; of whatever is wrong with a user."""
# MariaDB 10.11, measured: the name of a foreign key that another one has. HA_ERR_FOUND_DUPP_KEY.
_FOREIGN_KEY: Final = ("1005", re.compile(r"\berrno: 121\b"))

GONE: Final = frozenset(
    {
        "1008",  # ER_DB_DROP_EXISTS
        "1051",  # ER_BAD_TABLE_ERROR
        "1091",  # ER_CANT_DROP_FIELD_OR_KEY
        "1305",  # ER_SP_DOES_NOT_EXIST
        "1360",  # ER_TRG_DOES_NOT_EXIST
        "1539",  # ER_EVENT_DOES_NOT_EXIST
        "4091",  # ER_UNKNOWN_SEQUENCES, MariaDB
        "4092",  # ER_UNKNOWN_VIEW, MariaDB
    }
)
HELD_UP: Final = frozenset({"1020", "1205", "1213", "3572"})
"""ER_CHECKREAD, ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK, ER_LOCK_NOWAIT."""
_LOST: Final = frozenset({"2002", "2003", "2005", "2006", "2012", "2013", "2055"})
"""The client's own, CR_CONNECTION_ERROR and its like: there is no connection, or none was to be had."""
BEING_MADE: Final = "1684"
"""ER_WARN_I_S_SKIPPED_TABLE, of MySQL: another session is making or altering the table."""
NO_SAVEPOINT: Final = "1305"
"""ER_SP_DOES_NOT_EXIST, of savepoints, too."""

REMEDIES: Final[Mapping[str, str]] = {
    "1153": "split the statement, or have the server's max_allowed_packet raised",  # ER_NET_PACKET_TOO_LARGE
    "1419": "the server keeps a binary log: ask somebody with SUPER, or for log_bin_trust_function_creators",
    "1568": "begin the file with `-- fluxmig: no-transaction`",  # ER_CANT_CHANGE_TX_CHARACTERISTICS
    "1665": "SET binlog_format = 'ROW' where the isolation level is READ COMMITTED",
}
_GRANTS = "`fluxmig verify` lists the privileges that a run needs"
WAYS_OUT: Final[Mapping[str, str]] = {
    "1044": _GRANTS,  # ER_DBACCESS_DENIED_ERROR
    "1142": _GRANTS,  # ER_TABLEACCESS_DENIED_ERROR
    "1143": _GRANTS,  # ER_COLUMNACCESS_DENIED_ERROR
    "1227": _GRANTS,  # ER_SPECIFIC_ACCESS_DENIED_ERROR
    "1046": "name the database in the URL",  # ER_NO_DB_ERROR
    "1049": "CREATE DATABASE first, or choose another with --schema",  # ER_BAD_DB_ERROR
    "1290": "the server admits no writing",  # ER_OPTION_PREVENTS_STATEMENT
    "1792": "the session or the server admits no writing",  # ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
    "1836": "the server admits no writing",  # ER_READ_ONLY_MODE
    # CR_SERVER_GONE_ERROR, of what could not be sent.
    "2006": "run it again when the server is there;"
    " it also hangs up on what is longer than its max_allowed_packet",
}

_CONNECTIONS = "close other connections, or raise {}"
_DISK = "the disk of the server is full, or a limit of its tables: make room there, and run again"
_MEMORY = "the server has not enough memory: give it more, or do less in one migration"
TROUBLES: Final[Mapping[str, str]] = {
    "1021": _DISK,  # ER_DISK_FULL
    "1114": _DISK,  # ER_RECORD_FILE_FULL
    "1037": _MEMORY,  # ER_OUTOFMEMORY
    "1038": _MEMORY,  # ER_OUT_OF_SORTMEMORY
    "1041": _MEMORY,  # ER_OUT_OF_RESOURCES
    "1040": _CONNECTIONS.format("max_connections"),  # ER_CON_COUNT_ERROR
    "1203": _CONNECTIONS.format("max_user_connections"),  # ER_TOO_MANY_USER_CONNECTIONS
    "1226": "close other connections, or have the limit of the login raised",  # ER_USER_LIMIT_REACHED
    "1053": "the server is being stopped: run again when it is there",  # ER_SERVER_SHUTDOWN
}
"""Of what the server could not do, and may do at another time."""
_NO_ROOM: Final = re.compile(r"\b(?:err(?:no|code): 28\b|error 28\b)", re.IGNORECASE)
"""ENOSPC, whatever the number of the error that brings it: 3, 1005, 1026, 1030."""

# A line of what was sent, which is one statement, and not of the file.
_NEAR: Final = re.compile(r" near '(?P<fragment>.*)' at line (?P<line>\d+)$", re.DOTALL)
_AT_LINE: Final = re.compile(r" at line \d+$")
_ROUTINE: Final = re.compile(r"(?:PROCEDURE|FUNCTION) (\S+) (?:already exists|does not exist)")
_QUOTED: Final = re.compile(r"`([^`]+)`|(?<!\w)'([^']+)'")  # and not behind the apostrophe of "Can't"
_CUT: Final = 80
"""Characters of the statement that a message holds (sql_yacc.yy, ER_PARSE_ERROR: %-.80s)."""


def code_of(error: DBAPIError) -> str | None:
    """The server's number of an error, whichever driver brought it; None where the driver made it."""
    original = error.orig
    arguments = original.args if original else ()
    number = getattr(original, "errno", None) or next(iter(arguments), None)
    return str(number) if isinstance(number, int) and number > 0 else None


def explain(error: DBAPIError, script: str) -> ServerError:
    """The number, the message, the place and the object."""
    original = error.orig
    code = code_of(error)
    arguments = original.args if original else ()
    message = str(arguments[1] if len(arguments) > 1 else arguments[0] if arguments else original).strip()
    routine = _ROUTINE.search(message)
    quoted = _QUOTED.search(message)
    name = routine[1] if routine else (quoted[1] or quoted[2]) if quoted else None
    near = _NEAR.search(message)
    return ServerError(
        message=_AT_LINE.sub("", message) if near else message,
        code=code or type(original).__name__,
        offset=place(near["fragment"], int(near["line"]), script) if near else None,
        object=name.rpartition(".")[2] if name else None,
    )


def place(fragment: str, line: int, script: str) -> int | None:
    """Where the text begins that a message quotes: the statement from the error on, or the head of that."""
    if len(fragment) < _CUT and script.endswith(fragment):
        return len(script) - len(fragment)
    head = fragment.removesuffix("...")
    places = [found.start() for found in re.finditer(re.escape(head), script)] if head else []
    if len(places) > 1:
        places = [place for place in places if script.count("\n", 0, place) + 1 == line]
    return places[0] if len(places) == 1 else None


def is_lost(error: DBAPIError) -> bool:
    """Whether there is no connection any more, or none was to be had."""
    return error.connection_invalidated or code_of(error) in _LOST


def trouble(error: ServerError) -> str | None:
    """What to do about a server that could not go on; or None."""
    if _NO_ROOM.search(error.message):
        return _DISK
    return TROUBLES.get(error.code or "")


def is_duplicate(error: ServerError) -> bool:
    """Whether the error means that an object is there already."""
    code, errno = _FOREIGN_KEY
    return error.code in DUPLICATES or (error.code == code and errno.search(error.message) is not None)


def is_done(statement: str, error: ServerError, rules: sql.Rules) -> bool:
    """Whether the error of a statement that is sent again says that it was done the first time.

    A statement is done as a whole or not at all (MySQL 8.0, 13.1.1; MariaDB, "Atomic DDL"); of an ALTER TABLE
    with several parts, the first one tells.
    """
    match sql.words(statement, rules, 1):
        case ("CREATE",):
            return is_duplicate(error)
        case ("DROP",):
            return error.code in GONE
        case ("ALTER",):
            return (is_duplicate(error) or error.code in GONE) and _is_of_first_part(statement, error, rules)
        case _:
            return False


def _is_of_first_part(statement: str, error: ServerError, rules: sql.Rules) -> bool:
    parts: list[str] = []
    depth = 0
    for written in sql.tokens(statement, rules):
        depth += (written == "(") - (written == ")")
        if written == "," and not depth:
            break
        parts.append((sql.unquoted(written, fold=str) or written).lower())
    if error.code == "1068":  # it names nothing
        return parts[3:6] == ["add", "primary", "key"]
    return error.object is not None and error.object.lower() in parts[3:]
