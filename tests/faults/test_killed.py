"""kill -9 of the client at random moments: the next run finishes, and the database is as if nothing had been.

A run is killed when it has said so many lines, and a little later; the next one likewise, and so on, in one
database, so that what one kill leaves meets the next one.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.scripts import picture, postgresql_files, put
from tests.faults.support import until

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.chance import Figures
    from tests.faults.conftest import Undisturbed
    from tests.faults.support import Processes
    from tests.support import Servers

FILES = 50
AT_MOST = 6
"""Kills in one database."""
LATER_S = 0.03
"""Longer than any one of the files takes."""


def killed(processes: Processes, command: tuple[object, ...], left: int, chance: Random) -> int | None:
    """How many lines a run had said when it was killed; None where it was faster."""
    process = processes.start(*command)
    enough, later_s = chance.randrange(max(left // 2, 1)), chance.uniform(0, LATER_S)
    until(lambda: process.lines >= enough or process.has_ended(), "it came to nothing")
    time.sleep(later_s)
    process.kill()
    code = process.wait()
    assert code in {0, -signal.SIGKILL}, process.said
    return process.lines if code else None


@pytest.mark.parametrize("source", ["postgresql-18", pytest.param("postgresql-15", marks=pytest.mark.long)])
@pytest.mark.parametrize("kills", [12, pytest.param(150, marks=pytest.mark.long)])
def test_postgresql(
    servers: Servers,
    processes: Processes,
    undisturbed: Undisturbed,
    tmp_path: Path,
    *,
    chance: Random,
    figures: Figures,
    source: str,
    kills: int,
) -> None:
    server = servers.get(source)
    folder = put(tmp_path / "migrations", postgresql_files(FILES))
    expected = undisturbed(server, folder)
    while figures["kills"] < kills:
        with server.database() as database:
            command = ("run", "--database-url", database.url, "--migrations", folder)
            left = FILES
            for _ in range(chance.randint(AT_MOST // 2, AT_MOST)):
                lines = killed(processes, command, left, chance)
                if lines is None:
                    break
                figures["kills"] += 1
                left -= lines
            last = processes.run(*command)
            assert last.wait() == 0, last.said
            assert picture(database, server.binaries) == expected
