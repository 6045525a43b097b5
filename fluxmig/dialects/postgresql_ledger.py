"""What a PostgreSQL database has of a ledger and its log, in one query of its catalog."""

from __future__ import annotations

from fluxmig.dialects.base import Tables, identifier, literal

__all__ = ["tables", "tables_sql"]

# The ledger is where the search path finds it, as it does for the Node runner; else in its first schema. The
# kinds of relations are those that SQLAlchemy takes for tables.
_TABLES = """
WITH place (schema) AS (SELECT coalesce({schema},
    (SELECT nspname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pg_class.oid = pg_catalog.to_regclass({name})),
    pg_catalog.current_schema())),
here (oid, name) AS (SELECT pg_class.oid, relname FROM pg_catalog.pg_class, pg_catalog.pg_namespace, place
    WHERE pg_namespace.oid = relnamespace AND nspname = schema AND relname IN ({ledger}, {log})
    AND relkind IN ('r', 'p', 'f', 'v', 'm'))
SELECT schema, EXISTS (SELECT FROM here WHERE name = {ledger}), EXISTS (SELECT FROM here WHERE name = {log}),
    (SELECT pg_catalog.string_agg(attname, ',') FROM pg_catalog.pg_attribute, here
    WHERE attrelid = oid AND name = {log} AND attnum > 0 AND NOT attisdropped
    AND EXISTS (SELECT FROM here WHERE name = {ledger})
    AND pg_catalog.has_table_privilege(oid, 'SELECT'))
FROM place
"""


def tables_sql(table: str, schema: str | None) -> str:
    """The query for the tables; with its names in it, for there are no parameters in a message of many."""
    names = {"ledger": table, "log": f"{table}_log", "name": identifier(table), "schema": schema}
    return _TABLES.format(**{key: literal(name) for key, name in names.items()})


def tables(row: list[str]) -> Tables:
    """What the query's row tells."""
    schema, exists, log_exists, columns = row
    there = frozenset(filter(None, columns.split(",")))
    return Tables(schema or None, exists == "t", log_exists == "t", there)
