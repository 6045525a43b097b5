"""kill -9 of MariaDB or MySQL in the middle of a run: the next one finishes, nothing is lost or done twice.

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
from tests.mysqld import MARIADB, MYSQL
from tests.support import STEPWISE, MariaDBServer, cannot_be_had, roomy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from tests.chance import Figures
    from tests.faults.support import Processes
    from tests.mysqld import Program

FILES, AT_MOST = 15, 3
LATER_S = 0.03
WRITTEN = "--innodb-flush-log-at-trx-commit=2"
"""Each commit is handed to the system, which lives on where the server is killed."""


class Mortal:
    """A server that can be killed, and started again on the same data."""

    def __init__(self, program: Program, folder: Path) -> None:
        self._program, self._folder = program, folder
        self.start()
        self.server = MariaDBServer(program.source, program.url(folder))

    def start(self) -> None:
        started = self._program.start(self._folder, WRITTEN)
        assert isinstance(started, subprocess.Popen), started
        self._process = started

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.server.dispose()
        self.kill()


@pytest.fixture(scope="module", params=STEPWISE)
def mortal(request: pytest.FixtureRequest) -> Iterator[Mortal]:
    program = {each.source: each for each in (MARIADB, MYSQL)}[request.param]
    folder = Path(tempfile.mkdtemp(prefix="fluxmig-mortal-", dir=roomy()))
    if why := program.install(folder):
        cannot_be_had(program.source, f"{program.source}: {why}")
    server = Mortal(program, folder)
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
                figures[f"kill -9 of the server of {database.product}"] += 1
                left -= process.lines
            last = processes.run(*command)
            assert last.wait() == 0, last.said
            assert picture(database) == expected
