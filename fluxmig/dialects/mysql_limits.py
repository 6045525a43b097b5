"""How long a statement may wait for a lock, take, and be, on MySQL and MariaDB.

Of time there are variables of the session alone, in whole seconds (MySQL 8.0, 5.1.8 and 15.14): the end of no
transaction puts them back.
"""

from __future__ import annotations

import math
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from fluxmig.dialects.base import LOCK_TIMEOUT_S, UnsoundError, send_as_is

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from fluxmig.model import Limits

__all__ = ["by_hand", "limit", "limited", "refuse_too_long"]

_LOCKS: Final = ("lock_wait_timeout", "innodb_lock_wait_timeout")
"""That of metadata, which DDL waits for; and that of rows."""
_FOR_EVER_S: Final = 31_536_000
"""The longest that the first one takes; the server cuts what is more than it takes."""
_MAY_BE_LONG: Final = 2**18
"""Characters, of at most four bytes each: servers take 1 MiB and more, as a rule 16 or 64."""


def limit(connection: Connection, limits: Limits) -> list[str]:
    """Sets the time-outs of the session, and gives what puts them back."""
    names = [*_LOCKS, *([_statement_variable(connection)] if limits.statement_timeout_s is not None else [])]
    columns = ", ".join(f"@@SESSION.{name}" for name in names)
    before = connection.execute(text(f"SELECT {columns}")).one()
    send_as_is(connection, _setting(limits, names))
    return [f"SET SESSION {name} = {value}" for name, value in zip(names, before, strict=True)]


@contextmanager
def limited(connection: Connection, limits: Limits) -> Iterator[None]:
    """Sets the time-outs as `limit` does, and back again, also where what was done meanwhile has failed."""
    back = limit(connection, limits)
    try:
        yield
    finally:
        with suppress(SQLAlchemyError):  # the connection may be lost
            for statement in back:
                send_as_is(connection, statement)


def by_hand(limits: Limits, statement_variable: str) -> str:
    """What sets the time-outs, for people who run SQL by hand."""
    names = [*_LOCKS, *([statement_variable] if limits.statement_timeout_s is not None else [])]
    return f"{_setting(limits, names)};\n"


def refuse_too_long(connection: Connection, statement: str) -> None:
    """Asks about a long statement whether the server takes so much: else it hangs up without a word.

    Raises:
        UnsoundError: It does not. Measured on MySQL 9.7 and MariaDB 10.11: one byte less, and the command's.
    """
    if len(statement) <= _MAY_BE_LONG:
        return
    length, most = len(statement.encode()), connection.scalar(text("SELECT @@max_allowed_packet"))
    if length + 1 >= most:
        raise UnsoundError(
            f"the statement has {length:,} bytes, and the server takes less than {most:,}",
            remedy="split it, or have the server's max_allowed_packet raised",
        )


def _setting(limits: Limits, names: list[str]) -> str:
    values = {}
    for name in names:
        if name not in _LOCKS:
            seconds = limits.statement_timeout_s or 0
            values[name] = (
                f"{math.ceil(seconds * 1000)}" if name == "max_execution_time" else f"{seconds:.3f}"
            )
        elif limits.lock_timeout_s is None:
            # Of a signed and an unsigned number, MySQL's LEAST makes a decimal, which no variable takes.
            values[name] = f"CAST(LEAST(@@SESSION.{name}, {LOCK_TIMEOUT_S:.0f}) AS UNSIGNED)"
        else:
            values[name] = str(math.ceil(limits.lock_timeout_s) or _FOR_EVER_S)
    return "SET " + ", ".join(f"SESSION {name} = {value}" for name, value in values.items())


def _statement_variable(connection: Connection) -> str:
    """MariaDB has one for every statement; MySQL's is in milliseconds, and for SELECT alone."""
    is_mariadb = getattr(connection.dialect, "is_mariadb", False)
    return "max_statement_time" if is_mariadb else "max_execution_time"
