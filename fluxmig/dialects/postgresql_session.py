"""What SQL leaves in a PostgreSQL session, and how it is undone.

Section numbers are those of the manual of version 18. Every name in the queries has its schema: what a file
leaves may hide the catalog's own. A temporary table `text` is a type `text` too, and comes first (19.11.1).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from fluxmig import sql
from fluxmig.dialects.base import identifier, send_as_is

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection

__all__ = ["SessionState", "acting_as", "may_change", "outlives", "repeatable", "restore", "state"]

# The words without which SQL changes no session. SET is passed over in ALTER TABLE and behind UPDATE; behind
# one on an earlier line only where it begins that line: "-- an update" may stand above a SET that is real. A
# word may stand behind an escape such as `\n`, in a string that a DO block executes.
_TARGET = rb"""(?:ONLY[ \t]+)?["\w.$]+(?:[ \t]+(?:AS[ \t]+)?["\w$]+)?"""
_CHANGES = rb"""(?im)
    (?:\bUPDATE[ \t]+(?:%(target)b[ \t]+)?|^[ \t]*(?:DO[ \t]+)?UPDATE(?:[ \t]+%(target)b)?\s+)SET\b
    |(?:(?<!\w)|(?<=\\[bfnrt]))(?:(?P<word>
        SET(?!\s*+\(|\s++(?:(?:NULL|NOT|DEFAULT)(?![\w$\x80-\xff])|DATA\s++TYPE\b))
        |RESET(?!\s*+\()|SET_CONFIG|PREPARE|DEALLOCATE|LISTEN|UNLISTEN|LOAD|DISCARD|TEMP|TEMPORARY
        |(?:REF)?CURSOR)\b|(?P<schema>PG_TEMP))
    """.replace(b"%(target)b", _TARGET)
# Settings with a dot in their names are no rows of pg_settings before their library is loaded (19.16): they
# have to be asked for by name.
_PART = rb'"?[a-z_\x80-\xff][\w$\x80-\xff]*+"?'
_CUSTOM = (
    rb"[sS][eE][tT](?i:\s++(?:(?:SESSION|LOCAL)\s++)?|_config\s*+\(\s*+(?:\w++\s*+:?=>?\s*+)?E?'++)"
    rb"(?i:(?P<name>%b(?:\.%b)+))" % (_PART, _PART)
)
_PARTS = (b"SET", b"TEMP", b"LOAD", b"LISTEN", b"CURSOR", b"PREPARE", b"DISCARD", b"DEALLOCATE")
"""One of these is in each of those words; to find that there is none takes a tenth of the time."""
_LARGE = 65_536  # Above this, to look for the words costs more than the two queries that it may save.
_TEMPORARY = {"TEMP", "TEMPORARY", "LOCAL", "GLOBAL"}
_IN_TEMPORARY_SCHEMA = re.compile(r'\bpg_temp\w*"?\s*\.', re.IGNORECASE)
_DEFINES = {"CREATE", "ALTER", "DROP", "COMMENT", "GRANT", "REVOKE", "SECURITY"}
_SENT_AGAIN = {"SET", "RESET", "PREPARE", "DEALLOCATE", "LISTEN", "UNLISTEN", "LOAD", "DISCARD"}
_SET_CONFIG = re.compile(
    r"SELECT (?:pg_catalog \. )?set_config \( '(?:[^']|'')*' , '(?:[^']|'')*' , (?:true|false|'\w+') \)"
    r"(?: ;)?",
    re.IGNORECASE,
)

# A transaction's own three characteristics end with it; transaction_timeout is a setting like others. How the
# server watches its client belongs to the lock (`postgresql_watch`); of that, dumps set the last two as well,
# and the odd value is fluxmig's own.
# What belongs to another object (a table's row type, a serial's sequence) goes with it (52.18, pg_depend).
# Of prepared statements and cursors, those of the protocol are the driver's.
_STATE = text("""
SELECT 'identity' AS kind, 'session_authorization' AS name, CAST(session_user AS pg_catalog.text) AS value
UNION ALL SELECT 'identity', 'role', pg_catalog.current_setting('role')
UNION ALL SELECT 'setting', name, setting FROM pg_catalog.pg_settings
    WHERE source = 'session'
    AND name NOT IN ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable')
    AND name NOT IN ('tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count',
        'tcp_user_timeout', 'client_connection_check_interval')
    AND NOT (name IN ('idle_in_transaction_session_timeout', 'idle_session_timeout') AND setting = '119999')
UNION ALL SELECT 'setting', name, pg_catalog.current_setting(name, true)
    FROM pg_catalog.unnest(CAST(:custom AS pg_catalog.text[])) AS custom (name)
    WHERE pg_catalog.current_setting(name, true) <> ''
UNION ALL SELECT 'temporary', pg_catalog.concat_ws('/', classid, objid), object.type || ' ' || identity
    FROM pg_catalog.pg_depend AS made, pg_catalog.pg_identify_object(classid, objid, 0) AS object
    WHERE refclassid = CAST('pg_catalog.pg_namespace' AS pg_catalog.regclass)
    AND refobjid = pg_catalog.pg_my_temp_schema()
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS part WHERE part.classid = made.classid
        AND part.objid = made.objid AND part.objsubid = 0 AND part.deptype IN ('a', 'i'))
UNION ALL SELECT 'prepared', name, '' FROM pg_catalog.pg_prepared_statements WHERE from_sql
UNION ALL SELECT 'channel', channel, '' FROM pg_catalog.pg_listening_channels() AS listening (channel)
UNION ALL SELECT 'cursor', name, '' FROM pg_catalog.pg_cursors WHERE name <> ''
""")
_DEFERRABLE = text(
    "SELECT DISTINCT conname FROM pg_catalog.pg_constraint"
    " WHERE condeferrable AND connamespace = pg_catalog.pg_my_temp_schema()"
)
_IDENTITIES = ("session_authorization", "role")
"""The first decides which roles may be set."""
_IDENTITY = text(
    "SELECT CAST(session_user AS pg_catalog.text) AS session_authorization,"
    " pg_catalog.current_setting('role') AS role"
)
_SET_LOCAL = text("SELECT pg_catalog.set_config(:name, :value, true)")
_SET = text("SELECT pg_catalog.set_config(:name, :value, false)")


@dataclass(frozen=True, slots=True)
class SessionState:
    """What a session has that a file may change.

    Attributes:
        identity: The session authorization and the role.
        settings: What was set in this session, by name.
        custom: The names of settings with a dot that were asked for.
        temporary: The temporary objects, by an identity that a new name does not change: what to drop.
        prepared: The statements that PREPARE has made.
        channels: What the session listens on.
        cursors: The open cursors.
    """

    identity: Mapping[str, str]
    settings: Mapping[str, str]
    custom: frozenset[str]
    temporary: Mapping[str, str]
    prepared: frozenset[str]
    channels: frozenset[str]
    cursors: frozenset[str]


# --- by the text ------------------------------------------------------------------------------------------


def may_change(source: bytes) -> bool:
    """Whether the SQL may change its session, by words that it cannot do without, wherever they stand.

    What a function does that is in the database already is not seen. A large file may always.
    """
    if len(source) > _LARGE:
        return True
    folded = source.upper()
    return any(part in folded for part in _PARTS) and any(True for _ in _words_of_change(source))


def outlives(statement: str) -> bool:
    """Whether the statement changes the session in a way that its transaction's end does not undo."""
    return repeatable(statement) is not False


def repeatable(statement: str) -> bool | None:
    """Whether a new session has to be sent the statement again, where an earlier one ran it.

    Returns:
        True where its effect has ended with that session, and it does nothing else; None where its effect has
        ended, too, but it cannot simply be sent again; False where it leaves nothing in a session.
    """
    match sql.words(statement, sql.POSTGRESQL, 3):
        case ("SET", "LOCAL" | "CONSTRAINTS" | "TRANSACTION", *_) | ("PREPARE", "TRANSACTION", "'"):
            return False
        case (first, *_) if first in _SENT_AGAIN:
            return True
        case ("DO", *_):
            words = _words_of_change(statement.encode())
            return None if any(not word.endswith(b"CURSOR") for word in words) else False
        case ("SELECT", *_) if _SET_CONFIG.fullmatch(" ".join(sql.tokens(statement, sql.POSTGRESQL, 12))):
            return True
        case (first, *_) if first in _DEFINES:
            return None if _makes_temporary(statement) else False
        case _:
            return None if _leaves_something(statement) else False


def _makes_temporary(statement: str) -> bool:
    """Whether a statement that defines something makes a temporary object."""
    match sql.words(statement, sql.POSTGRESQL, 4):
        case ("CREATE", "OR", "REPLACE", word) | ("CREATE", word, *_) if word in _TEMPORARY:
            return True
        case ("CREATE", *_):
            return _IN_TEMPORARY_SCHEMA.search(statement) is not None
        case _:
            return False


def _leaves_something(statement: str) -> bool:
    """Whether a query leaves what set_config sets, a temporary table, or a cursor WITH HOLD."""
    folded = statement.lower()
    if "set_config" in folded:
        return True
    if not ("into" in folded and "temp" in folded) and "hold" not in folded:
        return False
    words = sql.words(statement, sql.POSTGRESQL, len(statement))
    if words[0] == "DECLARE":
        return ("CURSOR", "WITH", "HOLD") in zip(words, words[1:], words[2:], strict=False)
    return any(
        into == "INTO" and before != "INSERT" and (made in _TEMPORARY or made.startswith("PG_TEMP"))
        for before, into, made in zip(words, words[1:], words[2:], strict=False)
    )


def _words_of_change(source: bytes) -> Iterator[bytes]:
    """The words for which SQL may change its session, in upper case."""
    found = re.finditer(_CHANGES, source, re.VERBOSE)  # compiled when it is first needed, and kept by `re`
    return (match[0].upper() for match in found if match.lastgroup)


def _custom_names(source: bytes) -> frozenset[str]:
    """The settings with a dot that the SQL names where it sets one."""
    names = (match["name"].decode(errors="replace") for match in re.finditer(_CUSTOM, source))
    return frozenset(name.replace('"', "") for name in names)


# --- on a connection --------------------------------------------------------------------------------------


def state(connection: Connection, source: bytes = b"") -> SessionState:
    """What the session has now, in one query.

    To be asked for before fluxmig's own SET LOCAL: what `restore` sets back holds for the session.

    Args:
        connection: In a transaction or in autocommit.
        source: The SQL that is to run. The settings with a dot that it names are part of the state.
    """
    return _state(connection, _custom_names(source))


def restore(connection: Connection, before: SessionState) -> None:
    """Undoes what has changed since; one query and one command where nothing has.

    What was the caller's and is gone cannot be brought back, but for settings and channels: a temporary table
    that the file dropped, a cursor that it or its COMMIT closed. Nor does a library go that LOAD has brought.
    A rollback does not undo PREPARE: after one this is to be called, too. What SET LOCAL had set before, in
    the caller's transaction, and the file has changed, is set for the session: the server does not tell them
    apart.
    """
    now = _state(connection, before.custom)
    if now.identity != before.identity:
        # Only then are all rows of pg_settings to be seen (53.25).
        for name in _IDENTITIES:
            _set(connection, name, before.identity[name])
        now = _state(connection, before.custom)
    for name, value in before.settings.items():
        if now.settings.get(name) != value:
            _set(connection, name, value)
    for name in now.settings.keys() - before.settings.keys():
        send_as_is(connection, f"RESET {identifier(*name.split('.'))}")
    for name in now.cursors - before.cursors:  # first, for a table in use cannot be dropped
        send_as_is(connection, f"CLOSE {identifier(name)}")
    _drop(connection, now.temporary, before.temporary)
    for name in now.prepared - before.prepared:
        send_as_is(connection, f"DEALLOCATE {identifier(name)}")
    # A LISTEN of this transaction is not to be seen before its end. All take effect then, in their order: no
    # message on the caller's channels is lost (async.c).
    send_as_is(connection, "UNLISTEN *")
    for name in before.channels:
        send_as_is(connection, f"LISTEN {identifier(name)}")


@contextmanager
def acting_as(connection: Connection, before: SessionState) -> Iterator[None]:
    """In a transaction, as the user of a state; and as the one from before again, for what is deferred."""
    now = dict(zip(_IDENTITIES, map(_decoded, connection.execute(_IDENTITY).one()), strict=True))
    changed = [name for name in _IDENTITIES if now[name] != before.identity[name]]
    for name in changed:
        connection.execute(_SET_LOCAL, {"name": name, "value": before.identity[name]})
    yield
    for name in changed:
        connection.execute(_SET_LOCAL, {"name": name, "value": now[name]})


def _state(connection: Connection, custom: frozenset[str]) -> SessionState:
    found: dict[str, dict[str, str]] = {}
    for row in connection.execute(_STATE, {"custom": sorted(custom)}):
        kind, name, value = (_decoded(field) for field in row)
        found.setdefault(kind, {})[name] = value
    return SessionState(
        identity=found["identity"],
        settings=found.get("setting", {}),
        custom=custom,
        temporary=found.get("temporary", {}),
        prepared=frozenset(found.get("prepared", ())),
        channels=frozenset(found.get("channel", ())),
        cursors=frozenset(found.get("cursor", ())),
    )


def _decoded(value: str | bytes) -> str:
    """What psycopg gives as bytes where client_encoding is SQL_ASCII, as some dumps have it."""
    return value.decode() if isinstance(value, bytes) else value


def _drop(connection: Connection, now: Mapping[str, str], before: Mapping[str, str]) -> None:
    """Drops the temporary objects that are new."""
    new = now.keys() - before.keys()
    if not new:
        return
    # What is still to be checked at the commit would keep its table from being dropped.
    for name in connection.scalars(_DEFERRABLE).all():
        send_as_is(connection, f"SET CONSTRAINTS {identifier('pg_temp', name)} IMMEDIATE")
    if not before:
        send_as_is(connection, "DISCARD TEMP")  # it asks for no privilege, and tells of no CASCADE
        return
    # The newest first, since an older one seldom needs a newer one.
    for key in sorted(new, key=lambda key: int(key.split("/")[1]), reverse=True):
        send_as_is(connection, f"DROP {now[key]} CASCADE")


def _set(connection: Connection, name: str, value: str) -> None:
    connection.execute(_SET, {"name": name, "value": value})
