"""What sessions of pytest share, keep and leave behind, and whom they get along with."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from fluxmig import scratch
from fluxmig.sweeper import remove_folder
from tests.faults.support import LIMIT_S, until
from tests.support import cannot_be_had

COUNTED = """
import pytest
from sqlalchemy import text
from fluxmig.testing import engine_fixture

def counted(connection):
    with open("seeded", "a") as file:
        print("once", file=file)

engine = engine_fixture(seed=counted)

@pytest.mark.parametrize("number", range(8))
def test_it(engine, number):
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM users")) == 0
        connection.execute(text("INSERT INTO users VALUES (1, 'x')"))
"""


def made(project: pytest.Pytester) -> int:
    """How often the template was made."""
    return len((project.path / "seeded").read_text().splitlines())


@pytest.mark.parametrize("source", ["embedded", "sqlite"])
def test_workers_make_the_template_once(source: str, project: pytest.Pytester) -> None:
    project.makepyfile(COUNTED)
    done = project.runpytest_subprocess("-p", "xdist", "-n2", f"--fluxmig-server={source}")
    done.assert_outcomes(passed=8)
    assert made(project) == 1
    assert done.stdout.str().count(f": {source}") == 1


@pytest.mark.parametrize("source", ["postgresql-18"], indirect=True)
def test_a_given_server_keeps_the_template(source: str, project: pytest.Pytester) -> None:
    project.makepyfile(COUNTED)
    for workers in (["-p", "xdist", "-n2"], []):
        done = project.runpytest_subprocess(*workers, f"--fluxmig-server={source}")
        done.assert_outcomes(passed=8)
    assert made(project) == 1
    assert names(source, "fluxmig_test_") == []
    (project.path / "migrations" / "002_more.sql").write_text("CREATE TABLE more (id integer);")
    project.runpytest_subprocess(f"--fluxmig-server={source}").assert_outcomes(passed=8)
    assert made(project) == 2


def names(url: str, prefix: str) -> list[str]:
    engine = create_engine(url)
    with engine.connect() as connection:
        sql = text("SELECT datname FROM pg_database WHERE starts_with(datname, :prefix)")
        found = list(connection.scalars(sql, {"prefix": prefix}))
    engine.dispose()
    return found


def test_an_embedded_server_that_is_left_keeps_the_template(project: pytest.Pytester) -> None:
    project.makepyfile(COUNTED)
    folder = scratch.shared_folder("kept embedded")
    if folder.exists():
        cannot_be_had("postgresql", f"{folder} is in use")
    try:
        for _ in range(2):
            done = project.runpytest_subprocess("--fluxmig-reuse", "--fluxmig-server=embedded")
            done.assert_outcomes(passed=8)
        assert made(project) == 1
        assert not (folder / "pg" / "data" / "postmaster.pid").exists()
    finally:
        remove_folder(folder, wait=True)


FAILING = """
import pytest

@pytest.mark.parametrize("number", range(4))
def test_it(migrated_url, number):
    assert number != 2
"""


def test_the_database_of_a_failed_test_is_kept(project: pytest.Pytester) -> None:
    project.makepyfile(FAILING)
    done = project.runpytest_subprocess(
        "-p", "xdist", "-n2", "--fluxmig-keep-failed", "--fluxmig-server=embedded"
    )
    done.assert_outcomes(passed=3, failed=1)
    (kept,) = re.findall(r"^kept of (\S+): (.*)$", done.stdout.str(), re.MULTILINE)
    assert kept[0].endswith("::test_it[2]")
    engine = create_engine(kept[1])
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM users")) == 0
    engine.dispose()
    folder = Path(str(make_url(kept[1]).query["host"])).parents[1]
    for pid in sweepers(folder):
        os.kill(pid, signal.SIGTERM)  # and not in an hour
    until(lambda: not folder.exists(), f"{folder} is still there")


def sweepers(folder: Path) -> list[int]:
    """Those who have the folder's lock."""
    lock = (folder / "users.lock").stat().st_ino
    found = re.findall(rf"FLOCK\s+ADVISORY\s+READ\s+(\d+) \S+:{lock} ", Path("/proc/locks").read_text())
    return [int(pid) for pid in found]


@pytest.mark.parametrize("source", ["postgresql-18"], indirect=True)
def test_a_kept_database_of_a_given_server_has_another_name(source: str, project: pytest.Pytester) -> None:
    project.makepyfile(FAILING)
    done = project.runpytest_subprocess("--fluxmig-keep-failed", f"--fluxmig-server={source}")
    done.assert_outcomes(passed=3, failed=1)
    ((_, kept),) = re.findall(r"^kept of (\S+): (.*)$", done.stdout.str(), re.MULTILINE)
    name = make_url(kept).database or ""
    assert name.startswith("fluxmig_kept_")
    assert names(source, name) == [name]
    engine = create_engine(source, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name}"))
    engine.dispose()


WAITING = """
import time

def test_it(migrated_url, request):
    print(migrated_url)
    open(f"begun-{request.config.workerinput['workerid']}", "w").close()
    time.sleep(600)

def test_that(migrated_url, request):
    test_it(migrated_url, request)
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_session_leaves_nothing(end: signal.Signals, project: pytest.Pytester) -> None:
    """All processes hear of Ctrl-C, and of the other nobody."""
    project.makepyfile(WAITING)
    run = secrets.token_hex(8)
    command = [sys.executable, "-m", "pytest", "-p", "xdist", "-n2", f"--testrunuid={run}"]
    with subprocess.Popen(
        [*command, "--fluxmig-server=embedded"],
        cwd=project.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        until(lambda: len(list(project.path.glob("begun-*"))) == 2, "the tests do not begin")
        assert scratch.shared_folder(run).exists()
        os.killpg(process.pid, end)
        process.communicate(timeout=LIMIT_S)
    until(lambda: not scratch.shared_folder(run).exists(), "the folder is still there")


BESIDE = """
import pytest
from pytest_postgresql import factories
from sqlalchemy import text

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
elsewhere_proc = factories.postgresql_noproc(host={host!r}, port=5432, user="postgres", dbname={name!r})
elsewhere = factories.postgresql("elsewhere_proc")
COUNT = text("SELECT count(*) FROM users")

@pytest.mark.parametrize("number", range(3))
def test_beside(migrated_engine, elsewhere, number):
    elsewhere.execute("CREATE TABLE users (id integer)")
    with migrated_engine.connect() as connection:
        assert connection.scalar(COUNT) == 0

@pytest.mark.asyncio
async def test_asyncio(migrated_async_engine):
    async with migrated_async_engine.begin() as connection:
        await connection.execute(text("INSERT INTO users VALUES (1, 'x')"))
    async with migrated_async_engine.connect() as connection:
        assert await connection.scalar(COUNT) == 1

@pytest.mark.anyio
async def test_anyio(migrated_async_engine):
    async with migrated_async_engine.connect() as connection:
        assert await connection.scalar(COUNT) == 0
"""


@pytest.mark.parametrize("source", ["postgresql-18"], indirect=True)
def test_beside_other_plugins(source: str, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest-asyncio, anyio, pytest-randomly, pytest-xdist and pytest-postgresql, loaded as they are."""
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    project.makefile(
        ".ini",
        pytest="[pytest]\naddopts = -p no:cacheprovider\nasyncio_default_fixture_loop_scope = function\n",
    )
    host = str(make_url(source).query["host"])
    project.makepyfile(BESIDE.format(host=host, name=f"beside_{secrets.token_hex(4)}"))
    project.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n")
    done = project.runpytest_subprocess("-n1", f"--fluxmig-server={source}")
    done.assert_outcomes(passed=5)
    assert "Using --randomly-seed" in done.stdout.str()


LOADED = """
import sys

def test_nothing_is_loaded():
    heavy = {"sqlalchemy", "psycopg", "click", "rich", "dotenv", "testcontainers", "docker", "sqlite3"}
    assert heavy.isdisjoint(sys.modules)
    own = {name for name in sys.modules if name.partition(".")[0] == "fluxmig"}
    assert own == {"fluxmig", "fluxmig.pytest_plugin"}
"""


def test_a_project_without_databases_loads_nothing(project: pytest.Pytester) -> None:
    project.makepyfile(LOADED)
    done = project.runpytest_subprocess()
    done.assert_outcomes(passed=1)
    assert "fluxmig" not in done.stdout.str().replace("fluxmig.pytest_plugin", "").replace(
        "plugins: fluxmig", ""
    )
