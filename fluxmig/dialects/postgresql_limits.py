"""How long a statement may wait for a lock, and take, on PostgreSQL (manual of version 18, 19.11.1)."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from fluxmig import sql
from fluxmig.dialects.base import LOCK_TIMEOUT_S, send_as_is

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from fluxmig.model import Limits

__all__ = ["NAMES", "by_hand", "calls", "limit", "limited", "waiting_for_others"]

# A concurrent build waits for every older transaction, by a lock, and others do not wait behind it: SHARE
# UPDATE EXCLUSIVE lets them read and write (13.3.1). A time-out would only leave an invalid index.
_CONCURRENTLY = re.compile(r"(?:CREATE (?:UNIQUE )?|DROP )INDEX CONCURRENTLY\b|REINDEX\b.*\bCONCURRENTLY\b")
# What no session has set is put back as such, and not as another value that was set.
_IN_FORCE = text(
    "SELECT name, pg_catalog.current_setting(name), source = 'session' FROM pg_catalog.pg_settings"
    " WHERE name IN ('lock_timeout', 'statement_timeout')"
)
NAMES = ("lock_timeout", "statement_timeout")
"""In the order in which `calls` sets them, the second where it is asked for."""
_SET = "pg_catalog.set_config('{name}', {value}, {local})"
# The settings come with a unit: 5s, 1min. What is set already stays where it is the shorter one.
_DEFAULT = (
    "CASE WHEN CAST(pg_catalog.current_setting('lock_timeout') AS pg_catalog.interval)"
    " BETWEEN '1 millisecond' AND '{ms} milliseconds'"
    " THEN pg_catalog.current_setting('lock_timeout') ELSE '{ms}ms' END"
)


def limit(connection: Connection, limits: Limits, *, session: bool) -> None:
    """Sets the time-outs, for the session or the transaction; in one query, or none where none is set."""
    connection.execute(text(f"SELECT {calls(limits, session=session)}"))


@contextmanager
def limited(connection: Connection, limits: Limits, *, session: bool) -> Iterator[None]:
    """Sets the time-outs as `limit` does, and back again, also where what was done meanwhile has failed."""
    with _put_back(connection):
        limit(connection, limits, session=session)
        yield


@contextmanager
def waiting_for_others(connection: Connection, statement: str) -> Iterator[None]:
    """Lets a concurrent statement, outside of transactions, wait for locks as long as it takes."""
    if not _CONCURRENTLY.match(" ".join(sql.words(statement, sql.POSTGRESQL, 16))):
        yield
        return
    with _put_back(connection):
        send_as_is(connection, "SET lock_timeout = 0")
        yield


@contextmanager
def _put_back(connection: Connection) -> Iterator[None]:
    """Puts the time-outs back; what SET LOCAL has set before, in the caller's transaction, by a SET."""
    before = connection.execute(_IN_FORCE).all()

    def put_back() -> None:
        for name, value, is_set in before:
            # Not by SET LOCAL: behind it, a SET of the script's would come to light at the commit.
            send_as_is(connection, f"SET {name} TO " + (f"'{value}'" if is_set else "DEFAULT"))

    try:
        yield
    except BaseException:
        with suppress(SQLAlchemyError):  # in a failed transaction, whose end puts them back
            put_back()
        raise
    put_back()


def by_hand(limits: Limits, *, session: bool) -> str:
    """What sets the time-outs, for people who run SQL by hand; psql shows nothing of it."""
    return f"DO $$ BEGIN PERFORM {calls(limits, session=session)}; END $$;\n"


def calls(limits: Limits, *, session: bool) -> str:
    """What sets the time-outs, for the list of a SELECT."""
    local = "false" if session else "true"
    lock = _DEFAULT.format(ms=round(LOCK_TIMEOUT_S * 1000))
    if limits.lock_timeout_s is not None:
        lock = _ms(limits.lock_timeout_s)
    found = [_SET.format(name="lock_timeout", value=lock, local=local)]
    if limits.statement_timeout_s is not None:
        value = _ms(limits.statement_timeout_s)
        found.append(_SET.format(name="statement_timeout", value=value, local=local))
    return ", ".join(found)


def _ms(seconds: float) -> str:
    """A setting's value; what is over 0 stays so, and what is too long for the server is its longest."""
    return f"'{min(max(round(seconds * 1000), 1 if seconds else 0), 2**31 - 1)}ms'"
