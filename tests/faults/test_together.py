"""Many runners at once: each migration is applied once, all exit 0, and the server has no complaints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.scripts import picture, postgresql_files, put, sqlite_files
from tests.support import Database

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chance import Figures
    from tests.faults.support import Process, Processes
    from tests.support import Servers

RUNNERS = 32
RUNNERS_ON_SQLITE = 16
FILES = 50


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
@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.long)])
def test_postgresql(
    servers: Servers,
    processes: Processes,
    tmp_path: Path,
    figures: Figures,
    times: int,
    *,
    concurrent: bool,
    is_empty: bool,
) -> None:
    server = servers.get("postgresql-18")
    folder = put(tmp_path / "migrations", postgresql_files(FILES, concurrent=concurrent))
    first = put(tmp_path / "first", {"000_nothing.sql": "SELECT 1;"})
    (folder / "000_nothing.sql").write_text("SELECT 1;")
    with server.database() as database:
        runners(processes, 1, database, folder)
        undisturbed = picture(database, server.binaries)
    for _ in range(times):
        with server.database() as database:
            if not is_empty:
                runners(processes, 1, database, first)
            done = runners(processes, RUNNERS, database, folder)
            assert picture(database, server.binaries) == undisturbed
            assert sum(applied(each) for each in done) == FILES + is_empty
            assert server.complaints(database) == []
            figures["runners at once"] += RUNNERS


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.long)])
def test_sqlite(processes: Processes, tmp_path: Path, memory: Path, figures: Figures, times: int) -> None:
    folder = put(tmp_path / "migrations", sqlite_files(FILES))
    alone = Database("sqlite", f"sqlite:///{memory}/alone.db")
    runners(processes, 1, alone, folder)
    undisturbed = picture(alone)
    for number in range(times):
        database = Database("sqlite", f"sqlite:///{memory}/{number}.db")
        done = runners(processes, RUNNERS_ON_SQLITE, database, folder)
        assert picture(database) == undisturbed
        assert sum(applied(each) for each in done) == FILES
        figures["runners at once"] += RUNNERS_ON_SQLITE
