"""Fixtures: processes of fluxmig that are cheap to start."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.support import Processes

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    """Starts processes of fluxmig; those that a test leaves running are killed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="fluxmig-processes-"))
    with Processes(folder) as started:
        yield started
    shutil.rmtree(folder)
