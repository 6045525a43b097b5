"""What a script can leave in a connection to SQLite, and how it is taken back.

Pragmas, temporary objects, attached databases. Inside a transaction, some of it cannot be taken back
(pragma.html, lang_detach.html); that is tried again behind its end.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import DBAPIError

from fluxmig.dialects.base import identifier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

__all__ = ["SessionState", "Violation", "foreign_key", "may_change", "restore", "state", "violations"]

_HINTS: Final = re.compile(rb"\b(?:PRAGMA|ATTACH|TEMP|TEMPORARY)\b", re.IGNORECASE)
# Those that are the connection's and tell their value; the file's own (journal_mode, user_version) stay.
_PRAGMAS: Final = (
    *("analysis_limit", "automatic_index", "busy_timeout", "cache_size", "cache_spill", "cell_size_check"),
    *("checkpoint_fullfsync", "defer_foreign_keys", "foreign_keys", "fullfsync", "ignore_check_constraints"),
    *("legacy_alter_table", "query_only", "read_uncommitted", "recursive_triggers"),
    *("reverse_unordered_selects", "secure_delete", "synchronous", "temp_store", "trusted_schema"),
    *("wal_autocheckpoint", "writable_schema"),
)

Violation = tuple[str, int | None, str, int]
"""A row of PRAGMA foreign_key_check: the table, the row, the table that it references, and which key."""


@dataclass(frozen=True, slots=True)
class SessionState:
    """What a connection has before a script.

    Attributes:
        pragmas: The values of those that are the connection's.
        databases: The names of the databases that are attached.
        temporary: The temporary tables, views, indexes and triggers, by kind and name.
    """

    pragmas: Mapping[str, object]
    databases: frozenset[str]
    temporary: frozenset[tuple[str, str]]


def may_change(source: bytes) -> bool:
    """Whether a script may leave something in its connection."""
    return _HINTS.search(source) is not None


def state(connection: Connection) -> SessionState:
    """What `restore` needs."""
    pragmas = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in _PRAGMAS}
    return SessionState(pragmas, _databases(connection), _temporary(connection))


def restore(connection: Connection, before: SessionState) -> None:
    """Takes back what is new or has changed, as far as SQLite lets it."""
    connection.exec_driver_sql("PRAGMA query_only = OFF")
    undo = [f"DROP {kind} IF EXISTS temp.{identifier(name)}" for kind, name in _new(connection, before)]
    undo += [f"DETACH {identifier(name)}" for name in _databases(connection) - before.databases]
    for name, value in before.pragmas.items():
        if value is not None and connection.exec_driver_sql(f"PRAGMA {name}").scalar() != value:
            undo.append(f"PRAGMA {name} = {value}")
    for statement in undo:
        with suppress(DBAPIError):
            connection.exec_driver_sql(statement)


def foreign_key(words: tuple[str, ...]) -> bool:
    """Whether a statement of these words is PRAGMA foreign_key_check."""
    return words[:1] == ("PRAGMA",) and "FOREIGN_KEY_CHECK" in words[1:4]


def violations(connection: Connection, statement: str = "PRAGMA foreign_key_check") -> list[Violation]:
    """The rows that reference nothing; also of tables whose keys are not enforced."""
    return [(row[0], row[1], row[2], row[3]) for row in connection.exec_driver_sql(statement)]


def _databases(connection: Connection) -> frozenset[str]:
    rows = connection.exec_driver_sql("PRAGMA database_list")
    return frozenset(row[1] for row in rows if row[1] not in {"main", "temp"})


def _temporary(connection: Connection) -> frozenset[tuple[str, str]]:
    rows = connection.exec_driver_sql(
        "SELECT upper(type), name FROM sqlite_temp_master WHERE sql IS NOT NULL"
    )
    return frozenset((row[0], row[1]) for row in rows)


def _new(connection: Connection, before: SessionState) -> list[tuple[str, str]]:
    """New temporary objects; tables last, which take their indexes and triggers along."""
    return sorted(_temporary(connection) - before.temporary, key=lambda each: each[0] == "TABLE")
