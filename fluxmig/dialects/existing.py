"""What a database has of the objects that statements would create. Only reads the catalog.

Each function answers for all that it is asked at once, in a transaction that may only read, for a login that
may only connect. What cannot be told for certain is left out. SQLAlchemy's errors pass through.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError, NoSuchTableError

from fluxmig.objects import Presence
from fluxmig.sql import ascii_lower

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from fluxmig.objects import Created

__all__ = ["generic", "known", "postgresql", "sqlite"]

# Each row of `found` is an object of the wanted name:
#   here     it is where the statement would make it. What belongs to a table is looked for on the table that
#            the statement would find, all else where it would make it (5.10.3)
#   fits     it is what the statement would make; NULL where that cannot be told, as of functions, whose
#            arguments are not compared
#   refuses  and it would be refused for that. What has rows has a type of its name; the type of an array
#            gives way to it, and so does one that is only announced (CREATE TYPE). A check that is only
#            inherited is merged (ALTER TABLE)
#   lasts    and that until it is named. Indexes and sequences can go with a table, and so can partitions
# An index that a failed CREATE INDEX CONCURRENTLY left is none; one ON ONLY a partitioned table is invalid
# until its partitions have theirs.
_POSTGRESQL: Final = text("""
WITH wanted AS (
    SELECT number, kind, name, "table", columns, schema IS NOT NULL AS written,
        table_schema IS NOT NULL AS table_written, home.oid AS home, table_home.oid AS table_home
    FROM json_to_recordset(CAST(:wanted AS json)) AS w(
        number int, kind text, name name, schema name, "table" name, table_schema name, columns json)
    LEFT JOIN pg_catalog.pg_namespace AS home ON home.nspname = coalesce(schema, current_schema())
    LEFT JOIN pg_catalog.pg_namespace AS table_home ON table_home.nspname = table_schema
), on_table AS (
    SELECT number, kind, name, columns, oid AS relation, relnamespace AS namespace,
        table_written OR pg_table_is_visible(oid) AS here
    FROM wanted JOIN pg_catalog.pg_class ON relname = "table" AND relkind NOT IN ('i', 'I', 'S')
    WHERE kind <> 'enum value' AND (NOT table_written OR relnamespace = table_home)
), found (number, here, fits, refuses, lasts) AS (
    SELECT number, true, true, true, true
    FROM wanted JOIN pg_catalog.pg_namespace ON nspname = name WHERE kind = 'schema'
  UNION ALL
    SELECT number, true, true, true, true
    FROM wanted JOIN pg_catalog.pg_extension ON extname = name WHERE kind = 'extension'
  UNION ALL
    SELECT number, true, true, true, true
    FROM wanted JOIN pg_catalog.pg_roles ON rolname = name WHERE kind = 'role'
  UNION ALL
    SELECT number, relnamespace = home,
        strpos(CASE kind WHEN 'table' THEN 'rp' WHEN 'partition' THEN 'rpf' WHEN 'foreign table' THEN 'f'
            WHEN 'view' THEN 'v' WHEN 'materialized view' THEN 'm' ELSE 'S' END, CAST(relkind AS text)) > 0,
        indisvalid IS NOT FALSE,
        indisvalid IS NOT FALSE AND NOT relispartition
            AND (kind = 'sequence' OR relkind NOT IN ('i', 'I', 'S'))
    FROM wanted JOIN pg_catalog.pg_class ON relname = name AND (NOT written OR relnamespace = home)
    LEFT JOIN pg_catalog.pg_index ON indexrelid = pg_class.oid
    WHERE kind IN ('table', 'partition', 'foreign table', 'view', 'materialized view', 'sequence')
  UNION ALL
    SELECT number, typnamespace = home, kind = 'type' AND coalesce(relkind, 'c') = 'c', true,
        relispartition IS NOT TRUE
    FROM wanted JOIN pg_catalog.pg_type AS taken ON typname = name AND (NOT written OR typnamespace = home)
    LEFT JOIN pg_catalog.pg_class ON pg_class.oid = typrelid
    WHERE kind IN ('type', 'table', 'partition', 'foreign table', 'view', 'materialized view')
        AND typisdefined AND coalesce(relkind, 'c') <> 'S'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_type AS element WHERE element.typarray = taken.oid)
  UNION ALL
    SELECT number, here, indrelid IS NOT DISTINCT FROM relation, true, NOT relispartition
    FROM on_table JOIN pg_catalog.pg_class ON relname = name AND relnamespace = namespace
    LEFT JOIN pg_catalog.pg_index ON indexrelid = pg_class.oid
    WHERE kind = 'index' AND (relkind = 'I' OR indisvalid IS NOT FALSE)
  UNION ALL
    SELECT number, here, true, true, true FROM on_table
    JOIN pg_catalog.pg_trigger ON tgrelid = relation AND tgname = name AND NOT tgisinternal
    WHERE kind = 'trigger'
  UNION ALL
    SELECT number, here, true, true, true FROM on_table
    JOIN pg_catalog.pg_policy ON polrelid = relation AND polname = name WHERE kind = 'policy'
  UNION ALL
    SELECT number, here, attnum > 0, true, true FROM on_table
    JOIN pg_catalog.pg_attribute ON attrelid = relation AND attname = name AND NOT attisdropped
    WHERE kind = 'column'
  UNION ALL
    SELECT number, here, true, conislocal OR contype <> 'c', conislocal OR contype <> 'c' FROM on_table
    JOIN pg_catalog.pg_constraint ON conrelid = relation AND conname = name
    WHERE kind = 'constraint' AND contype IN ('c', 'f', 'p', 'u', 'x')
  UNION ALL
    SELECT number, here, true, true, true FROM on_table
    JOIN pg_catalog.pg_constraint ON conrelid = relation AND contype = 'p'
    WHERE kind = 'primary key' AND ARRAY(SELECT CAST(json_array_elements_text(columns) AS name)) = ARRAY(
        SELECT attname FROM unnest(conkey) WITH ORDINALITY AS key(attnum, place)
        JOIN pg_catalog.pg_attribute USING (attnum) WHERE attrelid = relation ORDER BY place)
  UNION ALL
    SELECT number, table_written OR pg_type_is_visible(pg_type.oid), true, true, true
    FROM wanted
    JOIN pg_catalog.pg_type ON typname = "table" AND (NOT table_written OR typnamespace = table_home)
    JOIN pg_catalog.pg_enum ON enumtypid = pg_type.oid AND enumlabel = name WHERE kind = 'enum value'
  UNION ALL
    SELECT number, pronamespace = home, CASE WHEN pronamespace = home THEN NULL ELSE true END, true, true
    FROM wanted JOIN pg_catalog.pg_proc ON proname = name AND (NOT written OR pronamespace = home)
    WHERE kind IN ('function', 'procedure', 'aggregate')
)
SELECT number, bool_or(here AND fits IS NULL) IS TRUE, bool_or(here AND fits) IS TRUE,
    bool_or(here AND refuses) IS TRUE, bool_or(here AND lasts) IS TRUE,
    bool_or(fits AND here IS NOT TRUE) IS TRUE
FROM found GROUP BY number
""")

# A virtual table whose module is not loaded cannot be asked for its columns, nor be given one.
_SQLITE: Final = text("""
SELECT type, lower(name), lower(tbl_name), sql LIKE 'CREATE VIRTUAL %' FROM sqlite_master UNION ALL
SELECT 'column', lower(c.name), lower(m.name), 0
FROM sqlite_master AS m JOIN pragma_table_xinfo(m.name) AS c
WHERE m.type = 'table' AND m.sql NOT LIKE 'CREATE VIRTUAL %'
""")


def postgresql(connection: Connection, wanted: Sequence[Created]) -> dict[Created, Presence]:
    """By one query; works on PostgreSQL 12 and later."""
    rows = [{"number": number, **asdict(each)} for number, each in enumerate(wanted)]
    parameters = {"wanted": json.dumps(rows, ensure_ascii=False)}
    found = dict.fromkeys(wanted, Presence())
    for number, is_unknown, is_there, is_taken, is_lasting, is_elsewhere in connection.execute(
        _POSTGRESQL, parameters
    ):
        if is_unknown:
            found.pop(wanted[number], None)  # it may be asked twice
        else:
            found[wanted[number]] = Presence(
                is_there=is_there, is_taken=is_taken, is_lasting=is_lasting, is_elsewhere=is_elsewhere
            )
    return found


def sqlite(connection: Connection, wanted: Sequence[Created]) -> dict[Created, Presence]:
    """By one query; of attached databases nothing is known, nor of the columns of virtual tables."""
    there: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    virtual = set[str]()
    for kind, name, table, is_virtual in connection.execute(_SQLITE):
        there[kind].add((name, table if kind in {"index", "trigger", "column"} else ""))
        virtual |= {name} if is_virtual else set()
    names = {kind: {name for name, _ in found} for kind, found in there.items()}

    def presence(each: Created) -> Presence | None:
        name, table = ascii_lower(each.name), ascii_lower(each.table or "")
        schema = each.table_schema if each.kind == "column" else each.schema
        if ascii_lower(schema or "main") != "main" or (each.kind == "column" and table in virtual):
            return None
        match each.kind:
            case "table" | "view":
                lasting = any(name in names.get(kind, ()) for kind in ("table", "view"))
                taken = lasting or name in names.get("index", ())
            case "index":
                lasting = taken = any(name in names.get(kind, ()) for kind in ("table", "view", "index"))
            case "trigger":
                lasting = taken = name in names.get("trigger", ())
            case "column":
                lasting = taken = (name, table) in there["column"]
            case _:
                return None
        is_there = (name, table) in there[each.kind]
        return Presence(is_there=is_there, is_taken=taken, is_lasting=lasting)

    return known(wanted, presence)


def generic(connection: Connection, wanted: Sequence[Created]) -> dict[Created, Presence]:
    """Of tables, views, indexes, columns and primary keys, in a few queries for each schema and table.

    Names are compared as written: databases differ in which they take for equal, so of what is there in other
    letters nothing is said.
    """
    inspector = inspect(connection)
    asks = {"table": "get_table_names", "view": "get_view_names", "index": "get_indexes"}
    asks |= {"column": "get_columns", "primary key": "get_pk_constraint"}

    @cache
    def names(kind: str, *place: str | None) -> frozenset[str] | None:
        try:
            found = getattr(inspector, asks[kind])(*place)
        except NoSuchTableError:
            return frozenset()
        except NotImplementedError:  # some dialects have no such question
            return None
        except DBAPIError as error:  # some refuse one about what is not there
            if error.connection_invalidated:
                raise
            return None
        if kind == "primary key":
            return frozenset((f"({', '.join(found['constrained_columns'])})",))
        return frozenset(each if isinstance(each, str) else each["name"] for each in found)

    def is_there(kind: str, each: Created) -> bool | None:
        there = names(kind, *((each.table, each.table_schema) if each.table else (each.schema,)))
        if there is None or each.name in there:
            return there is not None or None
        return None if each.name.lower() in {name.lower() for name in there} else False

    def presence(each: Created) -> Presence | None:
        if each.kind not in asks:
            return None
        found = is_there(each.kind, each)
        other = {"table": "view", "view": "table"}.get(each.kind)
        taken = is_there(other, each) if other and not found else found
        if found is None or taken is None:
            return None
        return Presence(is_there=found, is_taken=taken, is_lasting=taken)

    return known(wanted, presence)


def known(
    wanted: Sequence[Created], presence: Callable[[Created], Presence | None]
) -> dict[Created, Presence]:
    """What a function tells of each, without those of which it tells nothing."""
    found = ((each, presence(each)) for each in wanted)
    return {each: there for each, there in found if there is not None}
