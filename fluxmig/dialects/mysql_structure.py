"""The structure of a MySQL or MariaDB database as SQL, by SHOW CREATE."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

__all__ = ["script"]

_OBJECTS = text("""
SELECT 'TABLE', table_name FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')
UNION ALL SELECT routine_type, routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()
UNION ALL SELECT 'VIEW', table_name FROM information_schema.views WHERE table_schema = DATABASE()
UNION ALL SELECT 'TRIGGER', trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()
""")
_PLACE = {"TABLE": 1, "VIEW": 1, "FUNCTION": 2, "PROCEDURE": 2, "TRIGGER": 2}
"""Which column of SHOW CREATE has the statement."""

_END = "$$$fluxmig"
"""What ends a statement, as bodies of triggers and routines hold semicolons."""

_DEFINER = re.compile(r" DEFINER=(?:`[^`]*`|'[^']*')@(?:`[^`]*`|'[^']*')")


def script(connection: Connection) -> str:
    """What makes the tables, triggers, routines and views of the database; whoever runs it owns them."""
    made = "".join(f"{statement}\n{_END}\n" for statement in _statements(connection))
    return f"SET SESSION foreign_key_checks = 0;\nDELIMITER {_END}\n{made}DELIMITER ;\n"


def _statements(connection: Connection) -> Iterator[str]:
    views: dict[str, str] = {}
    for kind, name in connection.execute(_OBJECTS).all():
        quoted = "`" + str(name).replace("`", "``") + "`"
        row = connection.exec_driver_sql(
            f"SHOW CREATE {kind} {quoted}", execution_options={"no_parameters": True}
        ).one()
        made = _DEFINER.sub("", str(row[_PLACE[str(kind)]]), count=1)
        if kind == "VIEW":
            views[quoted] = made
        else:
            yield made
    while views:  # those that read no other one first
        ready = [
            name for name, made in views.items() if not any(other in made for other in views if other != name)
        ]
        for name in ready or list(views):
            yield views.pop(name)
