"""What PostgreSQL says when it refuses, cannot, or is no server to write to: its words, and the way out.

Codes are those of Appendix A of the manual. What is said of a code holds in every language of the server; its
words are looked at only where one code has two meanings.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from fluxmig.dialects.base import PAST_THE_POOLER, ServerError, quoted
from fluxmig.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.exc import DBAPIError

__all__ = ["ENDS_SESSION", "is_lost", "of", "read_only", "remedy", "trouble", "way_out"]

_WAYS_OUT = {
    "42501": "`fluxmig verify` lists the privileges that a run needs; accept and rename need UPDATE, too",
    "3F000": "CREATE SCHEMA first, or choose another with --schema",
    # protocol_violation: what PgBouncer says of its own.
    "08P01": f"a pooler is in between, and refuses this. {PAST_THE_POOLER}",
    "25006": "the server, or the login's default_transaction_read_only, admits no writing",
}

_WITHOUT = "begin the file with `-- fluxmig: no-transaction`"
_LIFTED = (
    "`SET {0} = 0;` at the head of the file lifts it, and ALTER ROLE ... SET {0} changes it for the login"
)
_REMEDIES = {
    "25001": f"it cannot run inside a transaction: {_WITHOUT}",  # active_sql_transaction
    "2D000": f"COMMIT and ROLLBACK in a procedure or DO need a file without a transaction: {_WITHOUT}",
    "55P04": f"the new value can be used when it is committed: in a later migration, or {_WITHOUT}",
    "25P03": "fluxmig kept silent for longer than idle_in_transaction_session_timeout allows: "
    + _LIFTED.format("idle_in_transaction_session_timeout"),
    "25P04": _LIFTED.format("transaction_timeout"),
}
ENDS_SESSION = frozenset({"25P03", "25P04"})  # idle_in_transaction_session_timeout, transaction_timeout

_TROUBLES = {
    "53100": "the disk of the server is full: make room there, and run again",  # disk_full
    "53200": "the server has not enough memory: give it more, or do less in one migration",  # out_of_memory
    "53300": "close other connections, or raise the server's limit",  # too_many_connections
    "53400": "the login or the server has a limit for this: raise it, and run again",
}
_BY_CLASS = {  # operator intervention, system error, internal error
    "57": "the server was stopped, or is about to be: run again when it is there",
    "58": "the log of the server tells more",
    "XX": "the log of the server tells more",
}
_CANCELED = "57014"  # query_canceled
_LOGINS = "ALTER ROLE ... SET statement_timeout changes it for the login"
_SCRIPTS = (
    "--statement-timeout, or `-- fluxmig: statement-timeout=...` in the file, sets another; 0 is for ever"
)

# What psycopg and libpq say before and behind what happened.
_PREAMBLE = re.compile(r"^(?:(?:consuming input|sending [\w ]+|flushing|connection) (?:failed|is bad): )+")


def of(error: DBAPIError) -> ServerError:
    """The fields of the ErrorResponse (54.8), as the driver kept them; else what the driver says itself."""
    original = error.orig
    diagnostic: Any = getattr(original, "diag", None)
    code = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    message = getattr(diagnostic, "message_primary", None)
    if message is None:
        first = next(iter(str(original).strip().splitlines()), type(original).__name__)
        return ServerError(_PREAMBLE.sub("", first), code)
    position = diagnostic.statement_position
    return ServerError(
        message=message,
        code=code,
        offset=int(position) - 1 if position else None,
        completed=getattr(original, "completed", None),
        object=quoted(message),
        detail=diagnostic.message_detail,
        hint=diagnostic.message_hint,
        context=diagnostic.context,
    )


def is_lost(error: DBAPIError) -> bool:
    """Whether the connection is gone; or there was none, of which libpq tells without a code."""
    return error.connection_invalidated or (isinstance(error, OperationalError) and of(error).code is None)


def way_out(error: ServerError) -> str | None:
    """Of what a person has to arrange before fluxmig's own statements can run."""
    return _WAYS_OUT.get(error.code or "")


def trouble(error: ServerError) -> str | None:
    """Of what the server could not do, and may do at another time."""
    code = error.code or ""
    if code == _CANCELED:
        return _who_cancelled(error.message, _LOGINS)
    return _TROUBLES.get(code) or _BY_CLASS.get(code[:2])


def remedy(error: ServerError) -> str | None:
    """Of a refused statement of a script."""
    code = error.code or ""
    if code == _CANCELED:
        return _who_cancelled(error.message, _SCRIPTS)
    return _REMEDIES.get(code) or _TROUBLES.get(code)


def _who_cancelled(message: str, way_out: str) -> str:
    """By the server's words in English (postgres.c, ProcessInterrupts)."""
    if "user request" in message:
        return "somebody cancelled it on the server, and not fluxmig: run again"
    if "statement timeout" in message:
        return f"it took longer than statement_timeout allows: {way_out}"
    return f"statement_timeout has ended it, or somebody on the server: {way_out}"


# --- whether it may be written to -------------------------------------------------------------------------

_FACTS = text(
    "SELECT pg_catalog.pg_is_in_recovery(), setting, source, pg_catalog.current_database(),"
    " CAST(session_user AS text)"
    " FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only'"
)
_WHO = {  # pg_settings.source (53.25)
    "user": ("for the user {user}", "ALTER ROLE {user} RESET {setting}"),
    "database": ("for the database {database}", "ALTER DATABASE {database} RESET {setting}"),
    "database user": (
        "for the user {user} in the database {database}",
        "ALTER ROLE {user} IN DATABASE {database} RESET {setting}",
    ),
    "configuration file": ("in the server's configuration", "set it to off there"),
    "client": ("in the URL's options, or in PGOPTIONS", "take it out there"),
}
_ELSEWHERE = ("for this session", "set it to off")
_SETTING = "default_transaction_read_only"


def read_only(connection: Connection, reported: tuple[str | None, ...]) -> ConfigError | None:
    """Why nothing can be written; None where nothing is known against it.

    Args:
        connection: Asked only where the server has not told already.
        reported: in_hot_standby and default_transaction_read_only, as PostgreSQL reports them since version
            14 (54.2.7); None where the driver or a pooler does not tell.
    """
    if reported == ("off", "off"):
        return None
    standby, setting, source, database, user = connection.execute(_FACTS).one()
    if standby:
        return ConfigError(
            "the server is a standby, and admits no writing",
            remedy="connect to the primary; of several hosts in the URL,"
            " target_session_attrs=read-write behind the ? takes the one that it is",
        )
    if setting == "off":
        return None
    where, way = _WHO.get(source, _ELSEWHERE)
    names = {"user": user, "database": database, "setting": _SETTING}
    return ConfigError(
        f"nothing can be written: {_SETTING} is on {where.format_map(names)}",
        remedy=f"{way.format_map(names)}, or take another login",
    )
