"""How PostgreSQL watches the client of a runner that has the lock, and that nobody else is watched so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from fluxmig import Migrator

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from tests.support import Database, Write

SETTINGS = (
    "SELECT name, setting FROM pg_settings WHERE name LIKE 'tcp\\_%' OR name LIKE 'idle\\_%'"
    " OR name = 'client_connection_check_interval' ORDER BY name"
)
FILES = {
    "001_a.sql": f"CREATE TABLE a AS {SETTINGS};",
    "002_b.sql": f"-- fluxmig: no-transaction\nCREATE TABLE b AS {SETTINGS};",
}


def settings(connection: Connection) -> dict[str, str]:
    found = {str(row.name): str(row.setting) for row in connection.execute(text(SETTINGS))}
    if not connection.in_nested_transaction():
        connection.rollback()
    return found


def seen(database: Database, table: str) -> dict[str, str]:
    """What a migration has seen."""
    return {str(name): str(value) for name, value in database.rows(f"SELECT name, setting FROM {table}")}


def expected(database: Database, before: dict[str, str]) -> dict[str, str]:
    """On a Unix socket, the server knows nothing of TCP."""
    has_tcp = database.scalar("SELECT inet_server_addr() IS NOT NULL")
    tcp = {"idle": "20", "interval": "10", "count": "4"} if has_tcp else {}
    return {
        **before,
        **{f"tcp_keepalives_{name}": value for name, value in tcp.items()},
        **({"tcp_user_timeout": "60000"} if has_tcp else {}),
        "client_connection_check_interval": "5000",
        "idle_in_transaction_session_timeout": "119999",
        "idle_session_timeout": "119999",
    }


def test_while_the_lock_is_held(postgresql: Database, folder: Path, write: Write) -> None:
    write(FILES)
    with postgresql.engine().connect() as connection:
        before = settings(connection)
        Migrator(connection, folder).run()
        assert settings(connection) == before
    for table in "ab":
        assert seen(postgresql, table) == expected(postgresql, before)


def test_what_is_stricter_stays(postgresql: Database, folder: Path, write: Write) -> None:
    write(FILES)
    strict = {"client_connection_check_interval": "1500", "idle_session_timeout": "60000"}
    with postgresql.engine().connect() as connection:
        for name, value in strict.items():
            connection.execute(text(f"SET {name} = {value}"))
        connection.commit()
        before = settings(connection)
        Migrator(connection, folder).run()
        assert settings(connection) == before
    for table in "ab":
        assert seen(postgresql, table) == {**expected(postgresql, before), **strict}


def test_a_transaction_of_the_callers_is_as_it_was(postgresql: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": FILES["001_a.sql"]})
    with postgresql.engine().connect() as connection:
        before = settings(connection)
        with connection.begin(), connection.begin_nested():
            Migrator(connection, folder).run()
            assert settings(connection) == before
    assert seen(postgresql, "a") == before


@pytest.mark.parametrize("mode", ["", "-- fluxmig: no-transaction\n"])
def test_also_where_it_fails(one_postgresql: Database, folder: Path, write: Write, mode: str) -> None:
    write({"001_a.sql": f"{mode}SELECT 1/0;"})
    with one_postgresql.engine().connect() as connection:
        before = settings(connection)
        with pytest.raises(Exception, match="division by zero"):
            Migrator(connection, folder).run()
        assert settings(connection) == before
