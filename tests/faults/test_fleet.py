"""A fleet under faults: each target's ledger is true at the end, and the next run finishes the job."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from fluxmig import DatabaseConnectionError, fleet
from fluxmig.fleet import Manner, Pace, Target, TargetState, crew
from fluxmig.fleet.state import opened
from tests.faults.own_server import IMMEDIATE_STOP, own_server
from tests.faults.proxy import At, Fault, Moment, Proxy
from tests.faults.scripts import postgresql_files, put
from tests.faults.support import until
from tests.support import cannot_be_had

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fluxmig.fleet import Result
    from tests.faults.own_server import OwnServer
    from tests.faults.support import Processes
    from tests.support import Database, Servers

TARGETS, FILES = 32, 8
CLUSTERED = 12
PARTS = "SELECT file, part, count(*) FROM done GROUP BY file, part HAVING count(*) <> 1"
NAMES = "SELECT migration_name FROM schema_migrations ORDER BY id"


@pytest.fixture(scope="module")
def mortal() -> Iterator[OwnServer]:
    """A server that can be ended, and started again."""
    with own_server(settings={"max_connections": "120"}) as server:
        server.start()
        yield server


def listed(server: OwnServer, count: int) -> list[Target]:
    names = [f"fleet_{number}" for number in range(count)]
    for name in names:
        server.rows(f"CREATE DATABASE {name} STRATEGY file_copy")
    return [Target(name, server.url(name)) for name in names]


def test_two_fleets_and_a_server_that_is_ended(
    mortal: OwnServer, processes: Processes, tmp_path: Path
) -> None:
    folder = put(tmp_path / "migrations", postgresql_files(FILES))
    targets = listed(mortal, TARGETS)
    place = tmp_path / "targets.txt"
    place.write_text("".join(f"{each.name} {each.url}\n" for each in targets))
    command = (
        "fleet",
        "run",
        "--targets",
        place,
        "--migrations",
        folder,
        "--state",
        tmp_path / "state.sqlite",
    )
    with processes.held():
        runners = [processes.start(*command, "--parallel", "8", "--wait", "30") for _ in range(2)]

    def half_way() -> bool:
        return bool(mortal.scalar("SELECT to_regclass('t_4')", targets[TARGETS // 3].name))

    until(half_way, "nothing is applied")
    mortal.stop(IMMEDIATE_STOP)
    mortal.start()
    codes = [each.wait() for each in runners]
    last = processes.run(*command, "--resume")
    assert last.wait() == 0, last.said
    assert set(codes) <= {0, 1, 6}, [each.said for each in runners]
    expected = [(path.name,) for path in sorted(folder.iterdir())]
    for target in targets:
        assert mortal.rows(NAMES, target.name) == expected, target.name
        assert mortal.rows(PARTS, target.name) == [], target.name
    with opened(tmp_path / "state.sqlite") as state:
        assert {each.state for each in state.report().results} == {TargetState.DONE}


@pytest.mark.parametrize("round_trip", [1, 9])
def test_a_black_hole_is_given_up(servers: Servers, tmp_path: Path, round_trip: int) -> None:
    folder = put(tmp_path / "migrations", postgresql_files(4, concurrent=False))
    server = servers.get("postgresql-18")
    with server.database() as one:
        with Proxy(one.url, At(round_trip, Moment.SENT, Fault.HOLE)) as proxy:
            pace = Pace(timeout_s=1, tries=1)
            (lost,) = fleet.run([Target("hole", proxy.url)], folder, pace=pace).results
        assert lost.state in {TargetState.TIMED_OUT, TargetState.UNREACHABLE}
        session = f"datname = '{one.url.rpartition('/')[2].partition('?')[0]}' AND pid <> pg_backend_pid()"
        one.rows(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {session}")
        (again,) = fleet.run([Target("one", one.url)], folder).results
        assert again.state is TargetState.DONE
        assert one.rows(NAMES) == [(path.name,) for path in sorted(folder.iterdir())]
        assert one.rows(PARTS) == []


@pytest.mark.parametrize("moment", [Moment.SENT, Moment.AFTER])
@pytest.mark.parametrize("round_trip", [1, 2, 3])
def test_a_connection_that_is_lost_is_tried_again(
    servers: Servers, tmp_path: Path, round_trip: int, moment: Moment
) -> None:
    """Also one that was lost while it was set up, as in the first three round trips."""
    folder = put(tmp_path / "migrations", {"001_a.sql": "CREATE TABLE a (id integer);"})
    with (
        servers.get("postgresql-18").database() as one,
        Proxy(one.url, At(round_trip, moment, Fault.RESET)) as proxy,
    ):
        (result,) = fleet.run([Target("t", proxy.url)], folder, manner=Manner(wait_lock_s=30)).results
        assert (result.state, result.message) == (TargetState.DONE, None)
        assert result.tries == 2
        assert proxy.happened.is_set()
        assert one.log() == [("applied", "001_a.sql")]


def killing_one_worker() -> Callable[[Result], None]:
    """Kills the worker that the first result comes from, and no other."""
    killed: list[int] = []

    def on_result(result: Result) -> None:
        if not killed:
            assert result.worker
            killed.append(int(result.worker.rpartition(":")[2]))
            os.kill(killed[0], signal.SIGKILL)

    return on_result


def test_a_cluster_whose_workers_are_killed(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The targets of a worker that dies run again elsewhere; their own locks and ledgers decide."""
    try:
        from distributed import LocalCluster
    except ImportError as error:
        cannot_be_had("dask", f"dask.distributed is not installed: {error}")
    monkeypatch.setenv("FLEET_TEST_USER", "postgres")
    slow = {f"1{number:02}_slow.sql": "SELECT pg_sleep(0.05);" for number in range(4)}
    folder = put(tmp_path / "migrations", postgresql_files(4, concurrent=False) | slow)
    with ExitStack() as stack:
        server = servers.get("postgresql-18")
        databases = [stack.enter_context(server.database()) for _ in range(CLUSTERED)]
        targets = [
            Target(f"t{number}", each.url.replace("//postgres@", "//${FLEET_TEST_USER}@"))
            for number, each in enumerate(databases)
        ]
        cluster = stack.enter_context(
            LocalCluster(n_workers=3, threads_per_worker=2, processes=True, dashboard_address=":0")  # type: ignore[no-untyped-call]
        )
        address = cluster.scheduler_address.removeprefix("tcp://")
        report = fleet.run(
            targets,
            folder,
            executor=f"dask://{address}",
            pace=Pace(parallel=6),
            on_result=killing_one_worker(),
        )
        assert [result.state for result in report.results] == [TargetState.DONE] * CLUSTERED, report.results
        assert len({result.worker for result in report.results}) > 1
        for each in databases:
            assert each.rows(NAMES) == [(path.name,) for path in sorted(folder.iterdir())]
            assert each.rows(PARTS) == []


@contextmanager
def pool_of_processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("forkserver")) as pool:
        yield pool


def test_a_pool_whose_worker_is_killed(servers: Servers, tmp_path: Path) -> None:
    """The pool is of no use any more, and says so; a run with another one does what is left."""
    folder = put(tmp_path / "migrations", postgresql_files(4, concurrent=False))
    place = tmp_path / "state.sqlite"
    with ExitStack() as stack:
        server = servers.get("postgresql-18")
        databases = [stack.enter_context(server.database()) for _ in range(CLUSTERED)]
        targets = [Target(f"t{number}", each.url) for number, each in enumerate(databases)]
        with pool_of_processes() as pool:
            pace = Pace(parallel=4)
            report = fleet.run(
                targets, folder, executor=pool, pace=pace, state=place, on_result=killing_one_worker()
            )
        lost = report.failures
        assert 0 < len(lost) < CLUSTERED
        assert {(each.state, each.message, each.exit_code) for each in lost} == {
            (TargetState.UNREACHABLE, "its worker was lost: BrokenProcessPool", 6)
        }
        with pool_of_processes() as pool:
            again = fleet.run(targets, folder, executor=pool, state=place, resume=True)
        assert {each.state for each in again.results} == {TargetState.DONE}
        for each in databases:
            assert each.rows(NAMES) == [(path.name,) for path in sorted(folder.iterdir())]
            assert each.rows(PARTS) == []


def test_a_signal_with_a_cluster(servers: Servers, processes: Processes, tmp_path: Path) -> None:
    """No more is handed out; what a worker has begun it ends, and the ledger tells."""
    try:
        from distributed import LocalCluster
    except ImportError as error:
        cannot_be_had("dask", f"dask.distributed is not installed: {error}")
    folder = put(tmp_path / "migrations", {"001_a.sql": "SELECT pg_advisory_xact_lock(7);"})
    place = tmp_path / "state.sqlite"
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with ExitStack() as stack:
        databases = [stack.enter_context(servers.get("postgresql-18").database()) for _ in range(4)]
        listing = tmp_path / "targets.txt"
        listing.write_text("".join(f"t{number} {each.url}\n" for number, each in enumerate(databases)))
        holders = [stack.enter_context(each.engine().connect()) for each in databases]
        for holder in holders:
            holder.exec_driver_sql("SELECT pg_advisory_lock(7)")
        cluster = stack.enter_context(
            LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0")  # type: ignore[no-untyped-call]
        )
        address = cluster.scheduler_address.removeprefix("tcp://")
        options = ("--targets", listing, "--migrations", folder, "--state", place, "--parallel", "2")
        runner = processes.start("fleet", "run", "--executor", f"dask://{address}", *options)

        def begun() -> list[Database]:
            return [each for each in databases if each.scalar(waiting)]

        until(begun, "nothing waits")
        (first,) = begun()
        runner.kill(signal.SIGINT)
        assert runner.wait() == 130, runner.said
        with opened(place) as state:
            states = [each.state for each in state.report().results]
        assert states == [TargetState.INTERRUPTED] * 2 + [TargetState.WAITING] * 2
        for holder in holders:
            holder.exec_driver_sql("SELECT pg_advisory_unlock(7)")
        until(lambda: first.scalar("SELECT count(*) FROM schema_migrations"), "the worker gives up")
        assert [each.tables() for each in databases if each is not first] == [set()] * 3


def test_a_scheduler_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    folder = put(tmp_path / "migrations", {"001_a.sql": "SELECT 1;"})
    with pytest.raises(
        DatabaseConnectionError, match=r"^cannot connect to the dask scheduler at 127\.0\.0\.1:1\n"
    ):
        fleet.run([Target("t", "sqlite:///x")], folder, executor="dask://127.0.0.1:1")


def test_a_cluster_without_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take every target, and begin none."""
    try:
        from distributed import LocalCluster
    except ImportError as error:
        cannot_be_had("dask", f"dask.distributed is not installed: {error}")
    monkeypatch.setattr(crew, "_WORKER_S", 1)
    with LocalCluster(n_workers=0, dashboard_address=":0") as cluster:  # type: ignore[no-untyped-call]
        address = cluster.scheduler_address.removeprefix("tcp://")
        with pytest.raises(DatabaseConnectionError) as caught:
            fleet.run([Target("t", "sqlite:///x")], tmp_path, executor=f"dask://{address}")
    assert str(caught.value) == (
        f"the dask scheduler at {address} has no worker, and none has come in 1 s\n"
        f"start some: dask worker tcp://{address}"
    )
