"""An AsyncEngine of each database, through the one line that the README gives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from fluxmig import Condition, MigrationFailedError, Migrator

if TYPE_CHECKING:
    from pathlib import Path

    from fluxmig import Failure, MigrationStatus
    from tests.support import Database, Write

CONTAINERS = False

DRIVERS = {"postgresql": "psycopg_async", "sqlite": "aiosqlite", "mysql": "asyncmy", "mariadb": "asyncmy"}
FILES = {
    "001_a.sql": "CREATE TABLE a (id integer, name varchar(50));",
    "002_rows.sql": "INSERT INTO a VALUES (1, '100% :x %(y)s');\nUPDATE a SET id = 2;",
    "003_session.sql": "CREATE TEMPORARY TABLE x (id integer);\nINSERT INTO a VALUES (3, 'é😀');",
}


def failed(folder: Path, write: Write, url: str) -> tuple[Failure, tuple[MigrationStatus, ...]]:
    """Runs three files and then a fourth that fails; and what is said of it."""

    async def go() -> tuple[Failure, tuple[MigrationStatus, ...]]:
        engine = create_async_engine(url, poolclass=NullPool)
        try:
            async with engine.connect() as connection:
                report = await connection.run_sync(lambda c: Migrator(c, folder).run())
                assert [step.name for step in report.results] == list(FILES)
                assert not connection.in_transaction()
            write({"004_bad.sql": "INSERT INTO a VALUES (4, 'four');\nINSERT INTO nowhere VALUES (1);"})
            async with engine.connect() as connection:
                with pytest.raises(MigrationFailedError) as caught:
                    await connection.run_sync(lambda c: Migrator(c, folder).run())
            async with engine.connect() as connection:
                statuses = await connection.run_sync(lambda c: Migrator(c, folder).status())
        finally:
            await engine.dispose()
        failure = caught.value.failures[0].failure
        assert failure is not None
        return failure, statuses

    return asyncio.run(go())


def test_the_one_line(database: Database, folder: Path, write: Write) -> None:
    write(FILES)
    url = make_url(database.url)
    kind = url.get_backend_name()
    if kind not in DRIVERS:
        pytest.skip(f"there is no asynchronous driver for {database.product}")
    url = url.set(drivername=f"{kind}+{DRIVERS[kind]}")
    failure, statuses = failed(folder, write, url.render_as_string(hide_password=False))
    assert (failure.line, failure.done) == (2, 0)
    assert database.rows("SELECT id, name FROM a ORDER BY id") == [(2, "100% :x %(y)s"), (3, "é😀")]
    assert [status.conditions for status in statuses] == [(), (), (), (Condition.FAILED,)]
