"""All objects of a MySQL or MariaDB database, and their definitions, by information_schema (24.3).

Left out is what the server counts: AUTO_INCREMENT, rows. Definers and grants are the server's, and not the
database's. Views are kept with the database's own name before each table, which is left out too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from fluxmig.catalog import Entry

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from fluxmig.catalog import Catalog

__all__ = ["snapshot"]

_ALL: Final = """
SELECT 'table', table_name, NULL,
    CONCAT_WS(' ', engine, table_collation, row_format, create_options, NULLIF(table_comment, ''))
FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE';
SELECT 'column', CONCAT(table_name, '.', column_name), table_name, CONCAT(
    CONCAT_WS(' ', column_type, c.collation_name, IF(is_nullable = 'NO', 'NOT NULL', NULL),
        CONCAT('DEFAULT ', column_default), NULLIF(extra, ''),
        CONCAT('AS ', NULLIF(generation_expression, '')), NULLIF(column_comment, '')),
    ', number ', ordinal_position)
FROM information_schema.columns AS c JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE';
SELECT 'constraint', CONCAT(r.constraint_name, ' on ', r.table_name), r.table_name, CONCAT_WS(' ',
    'foreign key to', r.referenced_table_name, 'by', GROUP_CONCAT(
        CONCAT(column_name, ' = ', referenced_column_name) ORDER BY ordinal_position SEPARATOR ', '),
    'on update', MAX(update_rule), 'on delete', MAX(delete_rule))
FROM information_schema.referential_constraints AS r JOIN information_schema.key_column_usage AS u
    ON u.constraint_schema = r.constraint_schema AND u.constraint_name = r.constraint_name
    AND u.table_name = r.table_name
WHERE r.constraint_schema = DATABASE()
GROUP BY r.table_name, r.constraint_name, r.referenced_table_name;
SELECT 'view', table_name, NULL,
    CONCAT_WS(' ', REPLACE(view_definition, CONCAT('`', DATABASE(), '`.'), ''), 'check', check_option)
FROM information_schema.views WHERE table_schema = DATABASE();
SELECT LOWER(routine_type), routine_name, NULL, CONCAT_WS(' ',
    (SELECT GROUP_CONCAT(CONCAT_WS(' ', parameter_mode, parameter_name, p.dtd_identifier)
        ORDER BY ordinal_position SEPARATOR ', ') FROM information_schema.parameters AS p
        WHERE specific_schema = routine_schema AND p.specific_name = r.specific_name),
    sql_data_access, IF(is_deterministic = 'YES', 'deterministic', NULL), 'security', security_type,
    NULLIF(routine_comment, ''), routine_definition)
FROM information_schema.routines AS r WHERE routine_schema = DATABASE();
SELECT 'trigger', CONCAT(trigger_name, ' on ', event_object_table), event_object_table,
    CONCAT_WS(' ', action_timing, event_manipulation, action_order, action_statement)
FROM information_schema.triggers WHERE trigger_schema = DATABASE();
SELECT 'event', event_name, NULL, CONCAT_WS(' ', event_type, execute_at, interval_value, interval_field,
    starts, ends, status, on_completion, event_definition)
FROM information_schema.events WHERE event_schema = DATABASE()
"""
# MySQL has indexes of expressions, and invisible ones (28.3.34).
_INDEXES: Final = """
SELECT 'index', CONCAT(index_name, ' on ', table_name), table_name, CONCAT_WS(' ',
    IF(non_unique, NULL, 'unique'), index_type, 'of', GROUP_CONCAT(
        CONCAT_WS(' ', {column}, sub_part, IF(collation = 'D', 'descending', NULL))
        ORDER BY seq_in_index SEPARATOR ', '),
    {hidden}, NULLIF(index_comment, ''))
FROM information_schema.statistics WHERE table_schema = DATABASE()
GROUP BY table_name, index_name, non_unique, index_type, index_comment
"""
# A check's name is its table's on MariaDB, which has the table beside it, and the database's on MySQL, where
# it may be one that is not enforced.
_CHECKS: Final = """
SELECT 'constraint', CONCAT(constraint_name, ' on ', table_name), table_name,
    CONCAT_WS(' ', 'check', check_clause{enforced})
FROM information_schema.check_constraints{join}
WHERE constraint_schema = DATABASE()
"""
_OF_MARIADB: Final = (
    _INDEXES.format(column="column_name", hidden="NULL"),
    _CHECKS.format(enforced="", join=""),
)
_OF_MYSQL: Final = (
    _INDEXES.format(
        column="COALESCE(column_name, CONCAT('(', expression, ')'))",
        hidden="MAX(IF(is_visible = 'NO', 'invisible', NULL))",
    ),
    _CHECKS.format(
        enforced=", IF(enforced = 'NO', 'not enforced', NULL)",
        join=" JOIN information_schema.table_constraints USING (constraint_schema, constraint_name)",
    ),
)


def snapshot(connection: Connection, without: frozenset[str], *, is_mariadb: bool) -> Catalog:
    """All objects of the connection's database that its login sees. Only reads.

    Args:
        connection: Whose database.
        without: Tables that are left out, with all that is part of them.
        is_mariadb: Whether it is MariaDB.
    """
    found = {}
    for query in (*_ALL.split(";"), *(_OF_MARIADB if is_mariadb else _OF_MYSQL)):
        for kind, name, table, definition in connection.execute(text(query)).all():
            if (table or name) not in without:
                found[kind, name] = Entry(str(definition), table)
    return found
