"""SQLite on a full disk: a clear error, ledger and objects agree, and with room again the next run finishes.

Full by a file system that is too small, which only root can mount; and by a limit to the size of files, of
which SQLite knows no more than that it could not write.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.faults.scripts import picture, put
from tests.faults.support import LIMIT_S
from tests.support import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.support import Processes

FIRST = "CREATE TABLE done (file integer, part integer, filling blob);"
PARTS = """
INSERT INTO done VALUES ({0}, 1, zeroblob(50 * 1024));
INSERT INTO done VALUES ({0}, 2, zeroblob(50 * 1024));
"""
WITHOUT = f"-- fluxmig: no-transaction{PARTS}"


class Place(NamedTuple):
    """Where there is little room.

    Attributes:
        folder: For the database.
        largest: How large a file may become there, in bytes.
        enlarge: Makes room.
        complaint: What SQLite says.
    """

    folder: Path
    largest: int | None
    enlarge: Callable[[], object]
    complaint: str


@pytest.fixture(params=["file system", "limit"])
def place(request: pytest.FixtureRequest, memory: Path) -> Iterator[Place]:
    if request.param == "limit":
        yield Place(memory, 500 * 1024, lambda: None, "disk I/O error [SQLITE_IOERR_WRITE]")
        return
    if os.geteuid() != 0:
        pytest.skip("only root mounts a file system")

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(memory)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr}")

    mount("size=700k")
    try:
        complaint = "database or disk is full [SQLITE_FULL]"
        yield Place(memory, None, lambda: mount("remount,size=10m"), complaint)
    finally:
        subprocess.run(["umount", str(memory)], check=True, timeout=LIMIT_S)


@pytest.mark.parametrize("parts", [PARTS, WITHOUT], ids=["transactional", "no transaction"])
def test_a_full_disk(place: Place, processes: Processes, tmp_path: Path, parts: str) -> None:
    files = {f"{number:03}_file.sql": parts.format(number) for number in range(2, 13)}
    folder = put(tmp_path / "migrations", {"001_first.sql": FIRST, **files})
    database = Database("sqlite", f"sqlite:///{place.folder}/test.db")
    command = ("run", "--database-url", database.url, "--migrations", folder)
    full = processes.run(*command, largest=place.largest)
    assert full.wait() == 1, full.said
    first = full.errors.read_text().splitlines()[0]
    held = database.scalar("SELECT count(*) FROM schema_migrations")
    assert isinstance(held, int)
    assert 1 < held < 12
    assert first.startswith(f"error: {folder}/{held + 1:03}_file.sql:")
    assert first.endswith(f": {place.complaint}")
    done = database.rows("SELECT file, count(*) FROM done GROUP BY file ORDER BY file")
    assert done[: held - 1] == [(number, 2) for number in range(2, held + 1)]
    half = database.rows("SELECT statement_number FROM schema_migrations_log WHERE event = 'progress'")
    assert sum(int(str(count)) for _, count in done) == (len(half) if half else 2 * (held - 1))
    place.enlarge()
    again = processes.run(*command)
    assert again.wait() == 0, again.said
    alone = Database("sqlite", f"sqlite:///{tmp_path}/alone.db")
    processes.run("run", "--database-url", alone.url, "--migrations", folder)
    assert picture(database, failed={f"{held + 1:03}_file.sql"}) == picture(alone)
