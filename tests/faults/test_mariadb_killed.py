"""kill -9 of MariaDB in the middle of a run: the next run finishes, and nothing is done twice or left out.

A server of the tests' own. This is its crash, and not that of the machine.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chance import repeated
from tests.faults.scripts import mariadb_files, picture, put
from tests.support import MariaDBServer, cannot_be_had, install_mariadb, mariadb_url, roomy, start_mariadb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from tests.chance import Figures
    from tests.faults.support import Processes

FILES, AT_MOST = 15, 3
LATER_S = 0.03
WRITTEN = "--innodb-flush-log-at-trx-commit=2"
"""Each commit is handed to the system, which lives on where the server is killed."""


class Mortal:
    """A server that can be killed, and started again on the same data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.start()
        self.server = MariaDBServer("mortal", mariadb_url(folder))

    def start(self) -> None:
        started = start_mariadb(self._folder, WRITTEN)
        assert isinstance(started, subprocess.Popen), started
        self._process = started

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.server.dispose()
        self.kill()


@pytest.fixture(scope="module")
def mortal() -> Iterator[Mortal]:
    folder = Path(tempfile.mkdtemp(prefix="fluxmig-mortal-", dir=roomy()))
    if why := install_mariadb(folder):
        cannot_be_had("mariadb", f"mariadb: {why}")
    server = Mortal(folder)
    yield server
    server.close()
    shutil.rmtree(folder)


@pytest.mark.parametrize("time", repeated(1, 20))
def test_at_random_moments(
    mortal: Mortal, processes: Processes, tmp_path: Path, *, chance: Random, figures: Figures, time: int
) -> None:
    folder = put(tmp_path / "migrations", mariadb_files(FILES))
    with mortal.server.database() as alone:
        processes.run("run", "--database-url", alone.url, "--migrations", folder)
        expected = picture(alone)
    while figures.total() < AT_MOST:
        with mortal.server.database() as database:
            command = ("run", "--database-url", database.url, "--migrations", folder)
            left = FILES
            for _ in range(AT_MOST):
                process = processes.start(*command)
                process.reaches(chance.randrange(max(left // 2, 1)), chance.uniform(0, LATER_S))
                mortal.kill()
                code = process.wait()
                mortal.start()
                if code == 0:
                    break
                assert code == 6, process.said
                figures["kill -9 of the server of MariaDB"] += 1
                left -= process.lines
            last = processes.run(*command)
            assert last.wait() == 0, last.said
            assert picture(database) == expected
