"""Fixtures: the command line in a folder and an environment of its own."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest

from fluxmig.cli import main
from fluxmig.config import SETTINGS
from tests.cli.support import Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support import Database

    Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty working directory, and no variable that fluxmig, libpq or Python's buffers would heed."""
    monkeypatch.chdir(tmp_path)
    for name in [name for setting in SETTINGS for name in setting.environment]:
        monkeypatch.delenv(name, raising=False)
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSSLMODE", "PGSSLROOTCERT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # else no test could see what stays in a buffer
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def bare(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`bare("status", "--check")`: fluxmig without a database URL."""

    def run(*args: object) -> Result:
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            main.main([str(arg) for arg in args], prog_name="fluxmig")
        out, err = capsys.readouterr()
        code = exit_info.value.code
        assert isinstance(code, int)
        return Result(code, out, err)

    return run


@pytest.fixture
def cli(bare: Cli, sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """fluxmig with a fresh SQLite file, which is also the fixture `sqlite`."""
    monkeypatch.setenv("DATABASE_URL", sqlite.url)
    return bare


@pytest.fixture
def on_postgresql(bare: Cli, one_postgresql: Database, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """fluxmig with a fresh PostgreSQL database, which is also the fixture `one_postgresql`."""
    monkeypatch.setenv("DATABASE_URL", one_postgresql.url)
    return bare
