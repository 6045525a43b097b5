"""Which of the objects that statements would create a database has already. Only reads the catalog.

Each function answers for all that it is asked at once, in a transaction that may only read, for a login that
may only connect. What cannot be told for certain is left out. SQLAlchemy's errors pass through.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect, text
from sqlalchemy.exc import NoSuchTableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from fluxmig.objects import Created
from fluxmig.sql import ascii_lower

__all__ = ["generic", "postgresql", "sqlite"]

# A table is looked for where the statement would find it, all else where the statement would make it
# (5.10.3). Indexes that are not valid are no duplicates. What has rows has a type of its name; the type of
# an array gives way to it, and so does one that is only announced (CREATE TYPE). Indexes and sequences count
# only for each other: they can go with a table, and so can partitions. A check that is only inherited is
# merged (ALTER TABLE).
_POSTGRESQL: Final = text("""
WITH wanted AS (
    SELECT * FROM json_to_recordset(CAST(:wanted AS json)) AS w(
        number int, kind text, name name, schema name, "table" name, table_schema name)
), placed AS (
    SELECT number, kind, name, pg_class.oid AS relation,
        CASE WHEN "table" IS NULL THEN home.oid ELSE pg_class.relnamespace END AS namespace
    FROM wanted
    LEFT JOIN pg_catalog.pg_namespace AS home ON home.nspname = coalesce(schema, current_schema())
    LEFT JOIN pg_catalog.pg_namespace AS written ON written.nspname = table_schema
    LEFT JOIN pg_catalog.pg_class ON relname = "table" AND CASE WHEN table_schema IS NULL
        THEN pg_table_is_visible(pg_class.oid) ELSE relnamespace = written.oid END
)
SELECT number FROM placed WHERE CASE kind
    WHEN 'schema' THEN EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = name)
    WHEN 'extension' THEN EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = name)
    WHEN 'trigger' THEN EXISTS (SELECT FROM pg_catalog.pg_trigger
        WHERE tgname = name AND tgrelid = relation AND NOT tgisinternal)
    WHEN 'column' THEN EXISTS (SELECT FROM pg_catalog.pg_attribute
        WHERE attname = name AND attrelid = relation AND NOT attisdropped)
    WHEN 'constraint' THEN EXISTS (SELECT FROM pg_catalog.pg_constraint
        WHERE conname = name AND conrelid = relation AND contype IN ('c', 'f', 'p', 'u', 'x')
        AND (conislocal OR contype <> 'c'))
    ELSE (kind <> 'type' AND EXISTS (SELECT FROM pg_catalog.pg_class AS taken
        LEFT JOIN pg_catalog.pg_index ON indexrelid = taken.oid
        WHERE taken.relname = name AND taken.relnamespace = namespace AND NOT taken.relispartition
        AND indisvalid IS NOT FALSE AND (kind IN ('index', 'sequence') OR relkind NOT IN ('i', 'I', 'S'))))
    OR (kind NOT IN ('index', 'sequence') AND EXISTS (SELECT FROM pg_catalog.pg_type AS taken
        LEFT JOIN pg_catalog.pg_class AS rows ON rows.oid = taken.typrelid
        WHERE taken.typname = name AND taken.typnamespace = namespace AND taken.typisdefined
        AND relispartition IS NOT TRUE AND coalesce(relkind, 'c') <> 'S'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_type AS element WHERE element.typarray = taken.oid)))
END
""")

# A virtual table whose module is not loaded cannot be asked for its columns, nor be given one.
_SQLITE: Final = text("""
SELECT CASE type WHEN 'view' THEN 'table' ELSE type END, lower(name), '' FROM sqlite_master UNION ALL
SELECT 'column', lower(c.name), lower(m.name) FROM sqlite_master AS m JOIN pragma_table_xinfo(m.name) AS c
WHERE m.type = 'table' AND m.sql NOT LIKE 'CREATE VIRTUAL %'
""")


def postgresql(connection: Connection, wanted: Sequence[Created]) -> frozenset[Created]:
    """Those that are there, in one query; works on PostgreSQL 12 and later."""
    rows = [{"number": number, **asdict(each)} for number, each in enumerate(wanted)]
    parameters = {"wanted": json.dumps(rows, ensure_ascii=False)}
    return frozenset(wanted[number] for number in connection.scalars(_POSTGRESQL, parameters))


def sqlite(connection: Connection, wanted: Sequence[Created]) -> frozenset[Created]:
    """Those that are there, in one query; of attached databases nothing is known."""
    there = {tuple(row) for row in connection.execute(_SQLITE)}

    def is_there(each: Created) -> bool:
        is_column = each.kind == "column"
        if ascii_lower((each.table_schema if is_column else each.schema) or "main") != "main":
            return False
        kinds = ("table", "index") if each.kind == "index" else (each.kind.replace("view", "table"),)
        table = ascii_lower(each.table or "") if is_column else ""
        return any((kind, ascii_lower(each.name), table) in there for kind in kinds)

    return frozenset(each for each in wanted if is_there(each))


def generic(connection: Connection, wanted: Sequence[Created]) -> frozenset[Created]:
    """Those tables, views, indexes and columns that are there, in a few queries for each schema and table.

    Names are compared as written: databases differ in which they take for equal.
    """
    inspector = inspect(connection)

    @cache
    def names(ask: str, *place: str | None) -> frozenset[str]:
        try:
            found = getattr(inspector, ask)(*place)
            return frozenset(each if isinstance(each, str) else each["name"] for each in found)
        except (NoSuchTableError, NotImplementedError):  # some dialects have no such question
            return frozenset()

    def is_there(each: Created) -> bool:
        if each.kind in {"table", "view"}:
            return any(each.name in names(ask, each.schema) for ask in ("get_table_names", "get_view_names"))
        asks = {"index": "get_indexes", "column": "get_columns"}
        return each.kind in asks and each.name in names(asks[each.kind], each.table, each.table_schema)

    return frozenset(each for each in wanted if is_there(each))
