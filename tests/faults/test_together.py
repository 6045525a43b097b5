"""Many runners at once: each migration is applied once, all exit 0, and the server has no complaints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chance import repeated
from tests.faults.scripts import mariadb_files, picture, postgresql_files, put, sqlite_files
from tests.support import STEPWISE, Database

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chance import Figures
    from tests.faults.conftest import Undisturbed
    from tests.faults.support import Process, Processes
    from tests.support import Servers

RUNNERS = 32
RUNNERS_ON_SQLITE = RUNNERS_ON_MARIADB = 16
FILES, FILES_ON_MARIADB = 50, 15


def runners(processes: Processes, count: int, database: Database, folder: Path) -> list[Process]:
    """So many processes that begin at once, when they have ended."""
    with processes.held():
        command = ("run", "--database-url", database.url, "--migrations", folder)
        started = [processes.start(*command) for _ in range(count)]
    for each in started:
        assert each.wait() == 0, each.said
    return started


def applied(process: Process) -> int:
    """How many migrations it says it has applied."""
    return sum("[x]" in line and "faster" not in line for line in process.output.read_text().splitlines())


@pytest.mark.parametrize(
    ("concurrent", "is_empty"),
    [
        pytest.param(True, True, id="mixed, empty database"),
        pytest.param(False, False, id="transactional, all pending"),
        pytest.param(True, False, id="mixed, all pending", marks=pytest.mark.long),
        pytest.param(False, True, id="transactional, empty database", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("time", repeated(1, 10))
def test_postgresql(
    servers: Servers,
    processes: Processes,
    undisturbed: Undisturbed,
    tmp_path: Path,
    figures: Figures,
    time: int,
    *,
    concurrent: bool,
    is_empty: bool,
) -> None:
    server = servers.get("postgresql-18")
    nothing = {"000_nothing.sql": "SELECT 1;"}
    folder = put(tmp_path / "migrations", nothing | postgresql_files(FILES, concurrent=concurrent))
    with server.database() as database:
        if not is_empty:
            runners(processes, 1, database, put(tmp_path / "first", nothing))
        done = runners(processes, RUNNERS, database, folder)
        assert picture(database, server.binaries) == undisturbed(server, folder)
        assert sum(applied(each) for each in done) == FILES + is_empty
        assert server.complaints(database) == []
    figures[f"times {RUNNERS} runners at once on PostgreSQL"] += 1


@pytest.mark.parametrize("time", repeated(1, 20))
def test_sqlite(processes: Processes, tmp_path: Path, memory: Path, figures: Figures, time: int) -> None:
    folder = put(tmp_path / "migrations", sqlite_files(FILES))
    alone, database = (Database("sqlite", f"sqlite:///{memory}/{name}.db") for name in ("alone", "test"))
    runners(processes, 1, alone, folder)
    done = runners(processes, RUNNERS_ON_SQLITE, database, folder)
    assert picture(database) == picture(alone)
    assert sum(applied(each) for each in done) == FILES
    figures[f"times {RUNNERS_ON_SQLITE} runners at once on SQLite"] += 1


@pytest.mark.parametrize("source", STEPWISE)
@pytest.mark.parametrize("time", repeated(1, 10))
def test_mariadb(
    servers: Servers, processes: Processes, tmp_path: Path, figures: Figures, source: str, time: int
) -> None:
    server = servers.get(source)
    folder = put(tmp_path / "migrations", mariadb_files(FILES_ON_MARIADB))
    with server.database() as alone, server.database() as database:
        runners(processes, 1, alone, folder)
        done = runners(processes, RUNNERS_ON_MARIADB, database, folder)
        assert picture(database) == picture(alone)
        assert sum(applied(each) for each in done) == FILES_ON_MARIADB
    figures[f"times {RUNNERS_ON_MARIADB} runners at once on {database.product}"] += 1
