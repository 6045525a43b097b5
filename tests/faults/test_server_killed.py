"""The server is ended in the middle of a run, and started again: the next run finishes.

A server of the tests' own. Without fsync it loses nothing of what it had handed to the kernel, which lives
on; so this is its crash, and not that of the machine.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import make_url

from fluxmig import embedded
from tests.chance import repeated
from tests.faults.scripts import picture, postgresql_files, put
from tests.faults.support import Process, until
from tests.support import Server, roomy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from tests.chance import Figures
    from tests.faults.conftest import Undisturbed
    from tests.faults.support import Processes
    from tests.support import Database

FILES = 50
AT_MOST, RUNNERS = 4, 8
"""Ends of the server in the life of one database, and so many are tried in one test; runners at once."""
LATER_S = 0.03
KILL = "kill -9 of the server"
WAYS = {KILL: signal.SIGKILL, "pg_ctl stop -m immediate": signal.SIGQUIT}  # as pg_ctl does it
OPTIONS = {"fsync": "off"}


class Mortal:
    """A server that can be ended, and started again on the same data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._claims = ExitStack()
        started = self.start()
        self.server = Server("mortal", started.url, started.binaries, started.folder / "server.log")

    def start(self) -> embedded.EmbeddedServer:
        started = self._claims.enter_context(embedded.start_embedded(self._folder, options=OPTIONS))
        self._pid = int((started.data / "postmaster.pid").read_text().split("\n", 1)[0])
        return started

    def end(self, way: str) -> None:
        os.kill(self._pid, WAYS[way])

    def close(self) -> None:
        self.server.dispose()
        self._claims.close()


@pytest.fixture(scope="module")
def mortal() -> Iterator[Mortal]:
    folder = Path(tempfile.mkdtemp(prefix="fluxmig-mortal-", dir=roomy()))
    folder.chmod(0o755)  # for the server's own user, where the tests run as root
    server = Mortal(folder / "pg")
    yield server
    server.close()
    shutil.rmtree(folder)


# --- at random moments ------------------------------------------------------------------------------------


def cut_off(
    mortal: Mortal, processes: Processes, command: tuple[object, ...], left: int, chance: Random
) -> tuple[str, Process]:
    """A run whose server is ended when it has said so many lines, and a little later; and how."""
    process = processes.start(*command)
    process.reaches(chance.randrange(max(left // 2, 1)), chance.uniform(0, LATER_S))
    way = chance.choice(list(WAYS))
    mortal.end(way)
    process.wait()
    mortal.start()
    return way, process


@pytest.mark.parametrize("time", repeated(1, 20))
def test_at_random_moments(
    mortal: Mortal,
    processes: Processes,
    undisturbed: Undisturbed,
    tmp_path: Path,
    chance: Random,
    figures: Figures,
    time: int,
) -> None:
    folder = put(tmp_path / "migrations", postgresql_files(FILES))
    expected = undisturbed(mortal.server, folder)
    while figures.total() < AT_MOST:
        with mortal.server.database() as database:
            command = ("run", "--database-url", database.url, "--migrations", folder)
            left = FILES
            for _ in range(AT_MOST):
                way, process = cut_off(mortal, processes, command, left, chance)
                if process.wait() == 0:
                    break
                assert process.wait() == 6, process.said
                figures[way] += 1
                left -= process.lines
            last = processes.run(*command)
            assert last.wait() == 0, last.said
            assert picture(database, mortal.server.binaries) == expected


@pytest.mark.parametrize("time", repeated(1, 20))
def test_a_run_that_waits_for_it(
    mortal: Mortal,
    processes: Processes,
    undisturbed: Undisturbed,
    tmp_path: Path,
    chance: Random,
    figures: Figures,
    time: int,
) -> None:
    """With --retry-connection one run comes through, however often the server is ended meanwhile."""
    folder = put(tmp_path / "migrations", postgresql_files(FILES))
    with mortal.server.database() as database:
        command = ("run", "--database-url", database.url, "--migrations", folder, "--retry-connection", 120)
        process = processes.start(*command)
        for lines in sorted(chance.sample(range(1, FILES), AT_MOST)):
            process.reaches(lines, chance.uniform(0, LATER_S))
            way = chance.choice(list(WAYS))
            mortal.end(way)
            mortal.start()
            figures[f"{way}, waited for"] += 1
        assert process.wait() == 0, process.said
        assert picture(database, mortal.server.binaries) == undisturbed(mortal.server, folder)


@pytest.mark.parametrize("time", repeated(1, 20))
def test_many_runners_of_which_some_are_killed(
    mortal: Mortal,
    processes: Processes,
    undisturbed: Undisturbed,
    tmp_path: Path,
    chance: Random,
    figures: Figures,
    time: int,
) -> None:
    """Those that are left finish the job between them; one that had not begun may give up."""
    folder = put(tmp_path / "migrations", postgresql_files(FILES))
    with mortal.server.database() as database:
        command = ("run", "--database-url", database.url, "--migrations", folder, "--retry-connection", 120)
        with processes.held():
            survivors = [processes.start(*command) for _ in range(RUNNERS)]
            victims = [processes.start(*command) for _ in range(RUNNERS)]
        end_it = chance.choice(victims)
        for victim in victims:
            victim.reaches(chance.randrange(1, FILES // 2), chance.uniform(0, LATER_S))
            victim.kill()
            if victim is end_it:
                mortal.end(chance.choice(list(WAYS)))
                mortal.start()
        for victim in victims:
            figures["kill -9 among runners at once"] += victim.wait() == -signal.SIGKILL
        for survivor in survivors:
            assert survivor.wait() == (0 if survivor.lines else 6), survivor.said
        last = processes.run(*command)
        assert last.wait() == 0, last.said
        assert picture(database, mortal.server.binaries) == undisturbed(mortal.server, folder)
    figures["ends of the server of runners at once"] += 1


# --- in the middle of what runs without a transaction -----------------------------------------------------

TABLE = """
CREATE TABLE t (id integer, word text);
INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, 500) AS n;
CREATE INDEX i ON t (word);
"""
WRITER, READER, OLD = "INSERT INTO t VALUES (0)", "SELECT FROM t", "SELECT 1"
"""What a transaction has done for whose end a concurrent build waits. OLD is for its snapshot alone."""


@contextmanager
def held_up(database: Database, by: str) -> Iterator[None]:
    """A transaction that stays open: what runs concurrently waits for it (manual, CREATE INDEX)."""
    url = make_url(database.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg.connect(url)) as connection:
        if by is OLD:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute(by.encode())
        yield


@pytest.mark.parametrize(
    "way", ["pg_terminate_backend", *(pytest.param(way, marks=pytest.mark.long) for way in WAYS)]
)
@pytest.mark.parametrize(
    ("statement", "by"),
    [
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS j ON t (word)", OLD),
        ("CREATE INDEX CONCURRENTLY ON t (word)", OLD),
        ("REINDEX INDEX CONCURRENTLY i", READER),
        ("REINDEX TABLE CONCURRENTLY t", WRITER),
        pytest.param("CREATE INDEX CONCURRENTLY j ON t (word)", WRITER, marks=pytest.mark.long),
        pytest.param("CREATE INDEX CONCURRENTLY ON t (word)", WRITER, marks=pytest.mark.long),
        pytest.param("REINDEX INDEX CONCURRENTLY i", WRITER, marks=pytest.mark.long),
        pytest.param("REINDEX INDEX CONCURRENTLY i", OLD, marks=pytest.mark.long),
        pytest.param("REINDEX TABLE CONCURRENTLY t", READER, marks=pytest.mark.long),
        pytest.param("DROP INDEX CONCURRENTLY i", WRITER, marks=pytest.mark.long),
        pytest.param("DROP INDEX CONCURRENTLY i", READER, marks=pytest.mark.long),
    ],
)
def test_in_the_middle(
    mortal: Mortal,
    processes: Processes,
    undisturbed: Undisturbed,
    tmp_path: Path,
    *,
    figures: Figures,
    way: str,
    statement: str,
    by: str,
) -> None:
    folder = put(tmp_path / "migrations", {"001_table.sql": TABLE, "002_build.sql": f"{statement};\n"})
    expected = undisturbed(mortal.server, folder)
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'virtualxid'"
    )
    with mortal.server.database() as database:
        command = ("run", "--database-url", database.url, "--migrations", folder)
        processes.run(*command, "--to", "1")
        with held_up(database, by):
            process = processes.start(*command)
            until(lambda: database.scalar(waiting), "it does not wait")
            if way in WAYS:
                mortal.end(way)
            else:
                database.rows(f"SELECT pg_terminate_backend({database.scalar(waiting)})")
            assert process.wait() == 6, process.said
            if way in WAYS:
                mortal.start()
        figures[f"{way} in the middle of a build"] += 1
        last = processes.run(*command)
        assert last.wait() == 0, last.said
        assert picture(database, mortal.server.binaries) == expected
