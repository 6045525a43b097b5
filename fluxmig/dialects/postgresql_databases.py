"""Databases of PostgreSQL, made, copied and dropped. Section numbers are those of version 18's manual."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, func, select, text
from sqlalchemy.exc import DBAPIError

from fluxmig.dialects.base import identifier, send_as_is

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["FAST", "claim", "create", "drop", "make_fast", "names", "note", "rename"]

FAST: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""What a server does without whose data need not survive (18.5, 28.1). All take effect without a restart."""

_HAS_STRATEGY: Final = (15,)
_HAS_FORCE: Final = (13,)
_CLONES: Final = (18,)
_SYNCS: Final = text("SELECT current_setting('fsync') = 'on'")
_END_SESSIONS: Final = text(
    "SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = :name"
)
_NAMES: Final = text(
    "SELECT datname, shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database"
    " WHERE starts_with(datname, :prefix)"
)


def create(connection: Connection, name: str, template: str | None) -> None:
    """Makes a database, from `template1` unless a template is given.

    Of 16 MB, in memory: 18 ms by files and 26 ms through the log; on a disk with fsync: 740 and 460 ms.
    """
    version = connection.dialect.server_version_info or ()
    by_files = version >= _HAS_STRATEGY and not connection.scalar(_SYNCS)
    copied = f" TEMPLATE {identifier(template)}" if template else ""
    command = f"CREATE DATABASE {identifier(name)}{copied}{' STRATEGY file_copy' if by_files else ''}"
    if by_files and version >= _CLONES:
        # Copied by the kernel, and where the file system can, shared until written (19.4.3).
        try:
            send_as_is(connection, "SET file_copy_method = clone")
            send_as_is(connection, command)
        except DBAPIError:
            send_as_is(connection, "SET file_copy_method = copy")
        else:
            return
    send_as_is(connection, command)


def drop(connection: Connection, name: str) -> None:
    """Drops a database, and ends the sessions in it, which the login has to be allowed (DROP DATABASE)."""
    version = connection.dialect.server_version_info or ()
    if version < _HAS_FORCE:
        connection.execute(_END_SESSIONS, {"name": name})
    force = " WITH (FORCE)" if version >= _HAS_FORCE else ""
    send_as_is(connection, f"DROP DATABASE IF EXISTS {identifier(name)}{force}")


def rename(connection: Connection, old: str, new: str) -> None:
    """Gives a database that nobody is in another name."""
    send_as_is(connection, f"ALTER DATABASE {identifier(old)} RENAME TO {identifier(new)}")


def names(connection: Connection, prefix: str) -> dict[str, str | None]:
    """The databases whose names begin so, with what `note` has written."""
    return {row[0]: row[1] for row in connection.execute(_NAMES, {"prefix": prefix})}


def note(connection: Connection, name: str, words: str) -> None:
    """Writes a comment on a database; the words need no quotes."""
    send_as_is(connection, f"COMMENT ON DATABASE {identifier(name)} IS '{words}'")


def claim(connection: Connection, key: str, *, shared: bool, wait: bool) -> bool:
    """Takes a lock for as long as the session lasts (9.27.10); False where another has it."""
    digest = hashlib.sha256(f"fluxmig: {key}".encode()).digest()
    number = int.from_bytes(digest[:8], signed=True)
    function = {
        (False, False): func.pg_try_advisory_lock,
        (False, True): func.pg_advisory_lock,
        (True, False): func.pg_try_advisory_lock_shared,
        (True, True): func.pg_advisory_lock_shared,
    }[shared, wait]
    answer = connection.scalar(select(function(bindparam("key", number))))
    return wait or bool(answer)


def make_fast(connection: Connection) -> None:
    """Has a running server do without, on a connection in autocommit; by its superuser."""
    for name, value in FAST.items():
        send_as_is(connection, f"ALTER SYSTEM SET {name} = {value}")
    send_as_is(connection, "SELECT pg_reload_conf()")
