"""Databases of PostgreSQL, made and dropped. Section numbers are those of the manual of PostgreSQL 18."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from fluxmig.dialects.base import identifier, send_as_is

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["FAST", "create", "drop", "make_fast"]

FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""What a server does without whose data need not survive (18.5, 28.1). All take effect without a restart."""

_HAS_STRATEGY = (15,)
_HAS_FORCE = (13,)
_END_SESSIONS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = :name"
)


def create(connection: Connection, name: str, template: str | None) -> None:
    """Makes a database, from `template1` unless a template is given."""
    version = connection.dialect.server_version_info or ()
    strategy = " STRATEGY file_copy" if version >= _HAS_STRATEGY else ""
    copied = f" TEMPLATE {identifier(template)}" if template else ""
    send_as_is(connection, f"CREATE DATABASE {identifier(name)}{copied}{strategy}")


def drop(connection: Connection, name: str) -> None:
    """Drops a database; a login that may not end the sessions of others waits for these (DROP DATABASE)."""
    version = connection.dialect.server_version_info or ()
    if version < _HAS_FORCE:
        connection.execute(_END_SESSIONS, {"name": name})
    force = " WITH (FORCE)" if version >= _HAS_FORCE else ""
    send_as_is(connection, f"DROP DATABASE IF EXISTS {identifier(name)}{force}")


def make_fast(connection: Connection) -> None:
    """Has a running server do without, on a connection in autocommit; by its superuser."""
    for name, value in FAST.items():
        send_as_is(connection, f"ALTER SYSTEM SET {name} = {value}")
    send_as_is(connection, "SELECT pg_reload_conf()")
