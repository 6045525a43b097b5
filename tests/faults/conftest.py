"""Fixtures: processes that are cheap to start, and what a database holds after an undisturbed run."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.scripts import Picture, picture
from tests.faults.support import Processes
from tests.support import roomy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support import Server

    Undisturbed = Callable[[Server, Path], Picture]


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    """Starts processes of fluxmig; those that a test leaves running are killed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="fluxmig-processes-"))
    with Processes(folder) as started:
        yield started
    shutil.rmtree(folder)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where there is enough of it: SQLite waits for its files to be on disk."""
    path = Path(tempfile.mkdtemp(prefix="fluxmig-", dir=roomy()))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def undisturbed(processes: Processes) -> Undisturbed:
    """What a database of a server holds that ran the migrations of a folder without a fault."""
    known: dict[tuple[str, tuple[bytes, ...]], Picture] = {}

    def make(server: Server, folder: Path) -> Picture:
        key = (server.source, tuple(path.read_bytes() for path in sorted(folder.iterdir())))
        if key not in known:
            with server.database() as database:
                processes.run("run", "--database-url", database.url, "--migrations", folder)
                known[key] = picture(database, server.binaries)
        return known[key]

    return make
