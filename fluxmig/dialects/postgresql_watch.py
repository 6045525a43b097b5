"""How soon PostgreSQL ends the session of a runner that is gone, and frees the lock with it.

By itself, a server looks for a client that has vanished (its machine off, the network cut) after two hours,
and for one that has died in the middle of a statement when the statement ends. Until then the lock is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, column, func, select, text

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["BEGIN_READ_ONLY", "GIVEN_SQL", "HELD", "READ_ONLY", "claim", "unwatch", "watch"]

# Settings that every user may change (19.3.2). A client that vanishes is missed after 20 + 4 * 10 seconds of
# silence, as `connect` has it for the server, and one that dies after 5. The first four are nothing to a Unix
# socket. The fifth is refused where the system cannot tell, so it is tried on Linux alone. The last two are
# for who sits behind a proxy that goes on to answer for him: no runner's session is idle for long, and one
# that is keeps the next concurrent build waiting, by its lock or its snapshot. Nothing is set that the
# server's version does not have, or that is as strict already.
_WATCH = text("""
SELECT name, now, pg_catalog.set_config(name, value, :local) AS given
FROM (VALUES ('tcp_keepalives_idle', '20'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '4'),
    ('tcp_user_timeout', '60000'), ('client_connection_check_interval', '5000'),
    ('idle_in_transaction_session_timeout', '119999'),
    ('idle_session_timeout', '119999')) AS wanted (name, value),
    pg_catalog.current_setting(name, true) AS now
WHERE CASE WHEN now ~ '^[0-9]+$' THEN now::bigint = 0 OR now::bigint > value::bigint END
    AND (name <> 'client_connection_check_interval' OR pg_catalog.version() LIKE '%linux%')
    AND (name NOT LIKE 'tcp%' OR pg_catalog.inet_client_addr() IS NOT NULL)
""").columns(column("name"), column("now"), column("given"))
# classid and objid hold the key's halves (52.12 pg_locks); objsubid 1 says that it is one bigint.
HELD = (
    "locktype = 'advisory' AND granted AND objsubid = 1"
    " AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
    " AND (classid::pg_catalog.int8 << 32) | objid::pg_catalog.int8 = {key}"
)
"""Of a row of pg_locks: whether it is the lock with a key, and somebody has it."""
_CLAIM = select(func.pg_catalog.pg_try_advisory_xact_lock(bindparam("key")))
_WATCHED_CLAIM = _CLAIM.add_columns(select(func.count(_WATCH.subquery("watch").c.given)).scalar_subquery())
_PATIENT = (
    " SELECT pg_catalog.set_config('idle_in_transaction_session_timeout', '119999', true)"
    " WHERE pg_catalog.current_setting('idle_in_transaction_session_timeout') = '0'"
)
# An idle one would keep a concurrent build waiting.
READ_ONLY = f"SET TRANSACTION READ ONLY;{_PATIENT}"
"""How a transaction that reads goes on behind its BEGIN, in one message."""
BEGIN_READ_ONLY = f"BEGIN READ ONLY;{_PATIENT}"
"""How one begins."""
_SET_LOCAL = "pg_catalog.concat('SET LOCAL ', name, ' = ', pg_catalog.quote_literal(given))"
_IN_TRANSACTION = str(_WATCH).replace(":local", "true")
GIVEN_SQL = f"SELECT pg_catalog.string_agg({_SET_LOCAL}, '; ') FROM ({_IN_TRANSACTION}) AS w"  # noqa: S608
"""Has the server watch the client until the transaction ends; answers with what does the same by itself."""
_BACK = text("SELECT pg_catalog.set_config(:name, :value, false)")
_KEPT = "fluxmig: how the server watched its client"


def claim(connection: Connection, key: int) -> bool:
    """Whether the transaction has the lock now, until its end.

    The server watches the client for as long, but where it is the caller's transaction: what that has set is
    not to be changed.
    """
    if connection.in_nested_transaction():
        return bool(connection.scalar(_CLAIM, {"key": key}))
    return bool(connection.execute(_WATCHED_CLAIM, {"key": key, "local": True}).one()[0])


def watch(connection: Connection) -> None:
    """Has the server watch the client of a session until `unwatch`."""
    rows = connection.execute(_WATCH, {"local": False})
    connection.info[_KEPT] = {name: before for name, before, _ in rows}


def unwatch(connection: Connection) -> None:
    """Gives the session the settings back that it had before."""
    for name, before in connection.info.pop(_KEPT, {}).items():
        connection.execute(_BACK, {"name": name, "value": before})
