"""What MySQL or MariaDB has of the objects that statements would create, by information_schema.

Only reads.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, text

from fluxmig.dialects.existing import known
from fluxmig.objects import Presence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from fluxmig.objects import Created

__all__ = ["existing"]

# Each row: what it is, its database, the table that it belongs to, its name; and the columns of an index.
_FOUND: Final = text("""
SELECT 'schema', schema_name, '', schema_name, '' FROM information_schema.schemata
UNION ALL
SELECT CASE WHEN table_type LIKE '%VIEW' THEN 'view' WHEN table_type = 'SEQUENCE' THEN 'sequence'
    ELSE 'table' END, table_schema, '', table_name, ''
    FROM information_schema.tables WHERE table_schema IN :schemas
UNION ALL
SELECT 'column', table_schema, table_name, column_name, ''
    FROM information_schema.columns WHERE table_schema IN :schemas AND table_name IN :tables
UNION ALL
SELECT 'index', table_schema, table_name, index_name, GROUP_CONCAT(column_name ORDER BY seq_in_index)
    FROM information_schema.statistics WHERE table_schema IN :schemas AND table_name IN :tables
    GROUP BY table_schema, table_name, index_name
UNION ALL
SELECT CASE constraint_type WHEN 'CHECK' THEN 'check' ELSE 'foreign key' END, constraint_schema, table_name,
    constraint_name, '' FROM information_schema.table_constraints
    WHERE constraint_schema IN :schemas AND constraint_type IN ('FOREIGN KEY', 'CHECK')
UNION ALL
SELECT 'trigger', trigger_schema, event_object_table, trigger_name, ''
    FROM information_schema.triggers WHERE trigger_schema IN :schemas
UNION ALL
SELECT LOWER(routine_type), routine_schema, '', routine_name, ''
    FROM information_schema.routines WHERE routine_schema IN :schemas
UNION ALL
SELECT 'event', event_schema, '', event_name, ''
    FROM information_schema.events WHERE event_schema IN :schemas
""").bindparams(bindparam("schemas", expanding=True), bindparam("tables", expanding=True))
_ROWS: Final = ("table", "view", "sequence")
"""Kinds that share their names."""
_CASED: Final = frozenset({*_ROWS, "schema", "trigger"})
"""Kinds whose names are those of files, and differ by case where the files' do (MySQL 8.0, 9.2.3)."""
_NEEDED: Final = {"trigger": "TRIGGER", "event": "EVENT", "function": "EXECUTE", "procedure": "EXECUTE"}
"""What is needed to see all that there is of a kind (24.3); of the rest, any privilege will do."""


def existing(
    connection: Connection, wanted: Sequence[Created], sees: Callable[[str | None, str], bool]
) -> dict[Created, Presence]:
    """By one query; of what is not there, nothing where the login might just not see it.

    Args:
        connection: Where to ask.
        wanted: The objects.
        sees: Whether the login sees all of a database that needs a privilege; None for any.
    """
    if not wanted:
        return {}
    here, lowers = connection.execute(text("SELECT DATABASE(), @@lower_case_table_names")).one()
    is_mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
    catalog = _Catalog(here, lowers=bool(lowers), is_mariadb=is_mariadb)
    catalog.ask(connection, wanted)

    def presence(each: Created) -> Presence | None:
        schema = catalog.home(each)
        if schema is None:
            return None
        is_there, is_taken = catalog.find(each, schema)
        if not is_taken and not sees(_NEEDED.get(each.kind), schema):
            return None
        return Presence(is_there=is_there, is_taken=is_taken, is_lasting=is_taken)

    return known([each for each in wanted if each.kind in catalog.kinds], presence)


class _Catalog:
    """What information_schema tells, by kind and database: table and name, with the columns of an index."""

    kinds = frozenset({*_CASED, *_NEEDED, "column", "index", "primary key", "constraint"})

    def __init__(self, here: str | None, *, lowers: bool, is_mariadb: bool) -> None:
        """Knows nothing yet.

        Args:
            here: The connection's database.
            lowers: Whether case does not tell the names of files apart.
            is_mariadb: Whether the name of a check is its table's; on MySQL it is the database's (15.1.24.6).
        """
        self._here = here
        self._of_database = ("foreign key",) if is_mariadb else ("foreign key", "check")
        self._fold: Callable[[str], str] = str.lower if lowers else str
        self._there: defaultdict[tuple[str, str], dict[tuple[str, str], str]] = defaultdict(dict)

    def ask(self, connection: Connection, wanted: Sequence[Created]) -> None:
        schemas = {schema for each in wanted if (schema := self.home(each))}
        tables = {self._fold(each.table) for each in wanted if each.table}
        asked = {"schemas": sorted(schemas) or [""], "tables": sorted(tables) or [""]}
        for kind, schema, table, name, columns in connection.execute(_FOUND, asked):
            self._there[kind, self._fold(schema)][self._fold(table), self._name(kind, name)] = columns

    def home(self, each: Created) -> str | None:
        """The database that an object is in, or would be."""
        if each.kind == "schema":
            return self._fold(each.name)
        written = each.table_schema if each.table else each.schema
        return self._fold(written) if written else self._here

    def find(self, each: Created, schema: str) -> tuple[bool, bool]:
        """Whether an object is there, and whether what is there would have it refused."""
        kind, table, name = each.kind, self._fold(each.table or ""), self._name(each.kind, each.name)
        if kind == "primary key":
            columns = self._there["index", schema].get((table, "primary"))
            return (columns or "").lower() == ",".join(each.columns).lower(), columns is not None
        if kind == "constraint":
            is_there = any((table, name) in self._there[kind, schema] for kind in ("foreign key", "check"))
            return is_there, is_there or any(name in self._names(each, schema) for each in self._of_database)
        is_there = (table, name) in self._there[kind, schema]
        if kind in _ROWS:
            return is_there, any(name in self._names(each, schema) for each in _ROWS)
        return is_there, is_there or (kind == "trigger" and name in self._names(kind, schema))

    def _name(self, kind: str, name: str) -> str:
        return self._fold(name) if kind in _CASED else name.lower()

    def _names(self, kind: str, schema: str) -> set[str]:
        return {name for _, name in self._there[kind, schema]}
