"""kill -9 of the client at random moments: the next run finishes, and the database is as if nothing had been.

A run is killed when it has said so many lines, and a little later; the next one likewise, and so on, in one
database, so that what one kill leaves meets the next one.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.chance import repeated
from tests.faults.scripts import mariadb_files, picture, postgresql_files, put, sqlite_files
from tests.support import STEPWISE, Database

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.chance import Figures
    from tests.faults.conftest import Undisturbed
    from tests.faults.support import Processes
    from tests.support import Servers

FILES, FILES_ON_MARIADB = 50, 15
AT_MOST = 6
"""Kills in one database, and so many are tried in one test."""


def kill_some(
    processes: Processes,
    database: Database,
    folder: Path,
    chance: Random,
    figures: Figures,
    *,
    within_s: float,
) -> None:
    """Runs that are killed, up to one that is faster; and then one that is not.

    Args:
        processes: What starts them.
        database: Where they run.
        folder: The migrations.
        chance: When they are killed.
        figures: Where that is counted.
        within_s: How much later than a line at most: longer than any one of the files takes.
    """
    command = ("run", "--database-url", database.url, "--migrations", folder)
    left = len(list(folder.iterdir()))
    for _ in range(chance.randint(AT_MOST // 2, AT_MOST)):
        process = processes.start(*command)
        process.reaches(chance.randrange(max(left // 2, 1)), chance.uniform(0, within_s))
        process.kill()
        if process.wait() == 0:
            break
        assert process.wait() == -signal.SIGKILL, process.said
        figures[f"kill -9 of the client on {database.product}"] += 1
        left -= process.lines
    last = processes.run(*command)
    assert last.wait() == 0, last.said


@pytest.mark.parametrize("source", ["postgresql-18", pytest.param("postgresql-15", marks=pytest.mark.long)])
@pytest.mark.parametrize("time", repeated(2, 20))
def test_postgresql(
    servers: Servers,
    processes: Processes,
    undisturbed: Undisturbed,
    tmp_path: Path,
    *,
    chance: Random,
    figures: Figures,
    source: str,
    time: int,
) -> None:
    server = servers.get(source)
    folder = put(tmp_path / "migrations", postgresql_files(FILES))
    expected = undisturbed(server, folder)
    while figures.total() < AT_MOST:
        with server.database() as database:
            kill_some(processes, database, folder, chance, figures, within_s=0.03)
            assert picture(database, server.binaries) == expected


@pytest.mark.parametrize("time", repeated(2, 50))
def test_sqlite(
    processes: Processes, tmp_path: Path, memory: Path, chance: Random, figures: Figures, time: int
) -> None:
    folder = put(tmp_path / "migrations", sqlite_files(FILES))
    alone = Database("sqlite", f"sqlite:///{memory}/alone.db")
    processes.run("run", "--database-url", alone.url, "--migrations", folder)
    expected = picture(alone)
    while figures.total() < AT_MOST:
        database = Database("sqlite", f"sqlite:///{memory}/{figures.total()}.db")
        kill_some(processes, database, folder, chance, figures, within_s=0.005)
        assert picture(database) == expected


@pytest.mark.parametrize("source", STEPWISE)
@pytest.mark.parametrize("time", repeated(1, 20))
def test_mariadb(
    servers: Servers,
    processes: Processes,
    tmp_path: Path,
    *,
    source: str,
    chance: Random,
    figures: Figures,
    time: int,
) -> None:
    """Where no rollback takes back what was made, and only the log tells how far a file has come."""
    server = servers.get(source)
    folder = put(tmp_path / "migrations", mariadb_files(FILES_ON_MARIADB))
    with server.database() as alone:
        processes.run("run", "--database-url", alone.url, "--migrations", folder)
        expected = picture(alone)
    while figures.total() < AT_MOST:
        with server.database() as database:
            kill_some(processes, database, folder, chance, figures, within_s=0.03)
            assert picture(database) == expected
