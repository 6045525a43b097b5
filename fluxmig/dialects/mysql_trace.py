"""What InnoDB does for a statement: what is written anew or emptied gets another number.

Who locks what, neither MySQL nor MariaDB tells everybody: the metadata locks are a plugin's, or those of a
schema that is switched off by default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fluxmig import sql
from fluxmig.dialects.base import escape
from fluxmig.dialects.tracing import Seen, Tracer
from fluxmig.trace import Work, WorkKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from fluxmig.model import Script, Statement

__all__ = ["MySQLTracer"]

_CHANGING: Final = frozenset({"ALTER", "CREATE", "DROP", "OPTIMIZE", "RENAME", "TRUNCATE"})
"""Verbs of statements that may give a table another number."""
_ENCODED: Final = re.compile(r"@([0-9a-f]{4})")
# With rows, measured on 9.7: to add and drop columns changes the dictionary alone (17.12.1), but for these.
_WRITES_ANEW: Final = frozenset(
    {"AUTO_INCREMENT", "STORED", "PRIMARY", "UNIQUE", "KEY", "INDEX", "FULLTEXT", "SPATIAL", "CHECK"}
    | {"CONSTRAINT", "FOREIGN", "REFERENCES", "MODIFY", "CHANGE", "CONVERT", "ENGINE", "ROW_FORMAT"}
    | {
        "KEY_BLOCK_SIZE",
        "ENCRYPTION",
        "TABLESPACE",
        "PARTITION",
        "PARTITIONING",
        "ORDER",
        "FORCE",
        "ALGORITHM",
    }
)


@dataclass
class MySQLTracer(Tracer):
    """Watches scripts run on MySQL or MariaDB; by a login that may not ask InnoDB, as on every database.

    Attributes:
        tables: Where InnoDB tells the numbers of tables: MariaDB has kept the old name.
        rebuilds_empty: Whether a column that is added or dropped has an empty table written anew, and none
            that has rows: MySQL does so.
    """

    tables: str = "INNODB_TABLES"
    rebuilds_empty: bool = False
    _known: dict[int, str] = field(default_factory=dict)
    _before: frozenset[str] = frozenset()

    def begin(self, connection: Connection, script: Script) -> None:
        """Keeps what is there."""
        self._known = self._numbers(connection)
        self._before = frozenset(self._known.values())

    def after(self, connection: Connection, statement: Statement, *, inside: bool) -> Seen:
        """By what has another number, or another name, than it had."""
        verb = sql.words(statement.sql, self.dialect.rules, 1)[0]
        if verb not in _CHANGING:
            return Seen()
        now = self._numbers(connection)
        work = tuple(self._work(now, verb))
        if self.rebuilds_empty and _adds_or_drops_columns(statement, self.dialect.rules):
            work = tuple(
                each
                for each in work
                if each.kind is not WorkKind.REWRITE or _has_rows(connection, each.table)
            )
        self._known = now
        return Seen(work)

    def _work(self, now: dict[int, str], verb: str) -> Iterator[Work]:
        there = set(now.values())
        for number, name in self._known.items():
            existed = name in self._before
            if now.get(number) == name or name in self.own:
                continue
            if number in now:
                yield Work(WorkKind.RENAME, f"{name} to {now[number]}", name, existed)
            elif name in there:
                kind = WorkKind.TRUNCATE if verb == "TRUNCATE" else WorkKind.REWRITE
                yield Work(kind, name, name, existed)
            else:
                yield Work(WorkKind.DROP_TABLE, name, name, existed)

    def _numbers(self, connection: Connection) -> dict[int, str]:
        """The names of the tables by InnoDB's numbers; a partition counts for its table."""
        asked = text(
            f"SELECT table_id, name FROM information_schema.{self.tables}"  # noqa: S608  # one of two names
            " WHERE name LIKE CONCAT(DATABASE(), '/%')"
        )
        try:
            found = connection.execute(asked).all()
        except DBAPIError:  # the login lacks PROCESS
            return {}
        return {number: _decoded(name.partition("/")[2].partition("#")[0]) for number, name in found}


def _adds_or_drops_columns(statement: Statement, rules: sql.Rules) -> bool:
    """Whether an ALTER TABLE does so, and nothing for which rows would be written anew."""
    tokens = [token.upper() for token in sql.tokens(statement.sql, rules)]
    by_expression = ("DEFAULT", "(") in pairwise(tokens)
    return not {"ADD", "DROP"}.isdisjoint(tokens) and _WRITES_ANEW.isdisjoint(tokens) and not by_expression


def _decoded(name: str) -> str:
    """A table's name; InnoDB keeps it as that of a file (11.2.4), and other letters than ASCII's stay so."""
    return _ENCODED.sub(lambda found: chr(int(found[1], 16)), name)


def _has_rows(connection: Connection, table: str) -> bool:
    """Also where it cannot be told, as of a name that could not be decoded."""
    quoted = table.replace("`", "``")
    asked = text(escape(f"SELECT 1 FROM `{quoted}` LIMIT 1"))  # noqa: S608
    try:
        return connection.execute(asked).first() is not None
    except DBAPIError:
        return True
