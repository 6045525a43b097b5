"""How fast many databases are migrated, beside threads over psycopg and beside dbmate.

    python -m benchmarks.fleet                                  # all of these, smaller: 10 minutes
    python -m benchmarks.fleet --databases 1000 --rounds 1      # 5 minutes, and 8 GB
    python -m benchmarks.fleet --schemas 1000 --rounds 1        # 3 minutes
    python -m benchmarks.fleet --growth 1000                    # 3 minutes, and 8 GB
    python -m benchmarks.fleet --far 10000                      # 4 minutes
    python -m benchmarks.fleet --scheduler 10000                # seconds
    python -m benchmarks.fleet --processes 100                  # a minute

Several may be given. 10 files, each a table and an index, 8 targets at once, on an embedded server of its
own, in memory where there is enough of it, which shares the processors with who is measured. The processor's
time is that of the client. Who is compared takes turns; times are medians, and a ratio is the median of those
of each turn.

`bare` are threads over psycopg that send each file and a row of the ledger in a transaction; `same` also
sends what fluxmig keeps: the lock, the look under it, and the log with its row. dbmate takes part where it is
named by --dbmate.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg

from benchmarks.measure import Run, command, in_turns
from benchmarks.replay import Recorder, repeating
from benchmarks.server import MEMORY
from fluxmig import embedded, fleet
from fluxmig.fleet.crew import _Threads
from fluxmig.fleet.model import Job, Manner, Pace, Result, Target, TargetState
from fluxmig.fleet.pacing import Pacing
from fluxmig.fleet.runner import Runner
from fluxmig.fleet.state import opened
from fluxmig.fleet.waves import waves

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.measure import Series

FILES = {
    f"{number:03}_t{number}.sql": f"CREATE TABLE t{number} (id integer PRIMARY KEY, name text);\n"
    f"CREATE INDEX t{number}_name ON t{number} (name);\n"
    for number in range(1, 11)
}
PARALLEL, FAR_AT_ONCE, SCHEDULED_AT_ONCE = 8, 64, 256
"""How many at once: of those that work, of those that are far away, and of those that only take a time."""
LATENCY_S, SCHEDULED_S = 0.02, 0.05
LOOPED = 100
"""At most so many databases for a shell loop, which takes minutes for more."""
LEDGER = """CREATE TABLE schema_migrations (id serial PRIMARY KEY,
migration_name varchar(255) UNIQUE NOT NULL, applied_at timestamptz DEFAULT now(), execution_time_ms integer,
checksum varchar(64), applied_by varchar(255) DEFAULT current_user)"""
LOG = """CREATE TABLE schema_migrations_log (id serial PRIMARY KEY, event varchar(32) NOT NULL,
migration_name varchar(255) NOT NULL, logged_at timestamptz DEFAULT now() NOT NULL, duration_ms integer,
checksum varchar(64), client varchar(255), source text)"""
ROW = "INSERT INTO schema_migrations (migration_name, execution_time_ms, checksum) VALUES (%s, %s, %s)"
LOGGED = """INSERT INTO schema_migrations_log (event, migration_name, checksum, source)
VALUES ('applied', %s, %s, %s)"""


class Server:
    """A server with many databases, or with many schemas of one."""

    def __init__(self, folder: Path) -> None:
        self._embedded = embedded.start_embedded(folder / "pg")
        self.socket = self._embedded.socket_dir / f".s.PGSQL.{self._embedded.port}"
        self.url = self._embedded.url.replace("+psycopg", "")
        self._admin = psycopg.connect(self.url, autocommit=True)
        self._made = 0

    def of(self, name: str) -> str:
        """The URL of a database."""
        return self.url.replace("/postgres?", f"/{name}?")

    def databases(self, count: int) -> list[str]:
        """So many new ones in place of those that were, by their URLs."""
        for number in range(max(count, self._made)):
            self._admin.execute(f"DROP DATABASE IF EXISTS d{number} WITH (FORCE)".encode())
        for number in range(count):
            self._admin.execute(f"CREATE DATABASE d{number} STRATEGY file_copy".encode())
        self._made = count
        return [self.of(f"d{number}") for number in range(count)]

    def schemas(self, count: int) -> list[str]:
        """One new database with so many; the URLs lead into them."""
        self.databases(1)
        with psycopg.connect(self.of("d0"), autocommit=True) as connection:
            for number in range(count):
                connection.execute(f"CREATE SCHEMA s{number}".encode())
        return [f"{self.of('d0')}&options=-csearch_path%3Ds{number}" for number in range(count)]

    def close(self) -> None:
        """Stops the server."""
        self._admin.close()
        self._embedded.close()


def bare(url: str) -> None:
    """What cannot be left out."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(LEDGER)
        for name, sql in FILES.items():
            with connection.transaction():
                connection.execute(sql.encode())
                connection.execute(ROW, (name, 1, "0" * 64))


def same(url: str) -> None:
    """What fluxmig sends."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(LEDGER)
        connection.execute(LOG)
        connection.execute("CREATE INDEX ON schema_migrations_log (migration_name)")
        for name, sql in FILES.items():
            with connection.transaction():
                connection.execute("SELECT pg_try_advisory_xact_lock(1)")
                connection.execute("SELECT 1 FROM schema_migrations WHERE migration_name = %s", (name,))
                connection.execute("SET LOCAL lock_timeout = '5s'")
                connection.execute(sql.encode())
                connection.execute(ROW, (name, 1, "0" * 64))
                connection.execute(LOGGED, (name, "0" * 64, sql))


def pool(work: Callable[[str], None], urls: Sequence[str]) -> Run:
    """Threads over psycopg, in this process."""
    began, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(PARALLEL) as threads:
        list(threads.map(work, urls))
    return Run(time.perf_counter() - began, time.process_time() - cpu)


class Tools:
    """Programs, and the files in the form of each."""

    def __init__(self, folder: Path, dbmate: str | None) -> None:
        self.folder, self.dbmate = folder, dbmate and str(Path(dbmate).absolute())
        for name, form in (("migrations", "{}"), ("dbmate", "-- migrate:up\n{}-- migrate:down\n")):
            (folder / name).mkdir()
            for file, sql in FILES.items():
                (folder / name / file).write_text(form.format(sql))

    def fluxmig(self, verb: str, urls: Sequence[str], at_once: int = PARALLEL) -> Run:
        """A command of a fleet's, in a process of its own."""
        lines = [f"t{number} {url}\n" for number, url in enumerate(urls)]
        (self.folder / "targets.txt").write_text("".join(lines))
        words = [sys.executable, "-m", "fluxmig", "fleet", verb, "--targets", "targets.txt"]
        return command([*words, "--parallel", str(at_once)], {}, self.folder)

    def in_a_loop(self, urls: Sequence[str], at_once: int) -> Run:
        """dbmate, as a shell would call it."""
        sockets = [url.replace("host=", "socket=").replace("postgresql:", "postgres:") for url in urls]
        (self.folder / "urls.txt").write_text("".join(f"{url}\n" for url in sockets))
        words = f"{self.dbmate} --no-dump-schema --migrations-dir dbmate --url '{{}}&sslmode=disable' up"
        loop = ["xargs", "-a", "urls.txt", "-P", str(at_once), "-I{}", "sh", "-c", f"{words} >/dev/null"]
        return command(loop, {}, self.folder)


# --- what is measured -------------------------------------------------------------------------------------


def compare(tools: Tools, make: Callable[[int], list[str]], kind: str, count: int, rounds: int) -> None:
    """Every tool, on new targets; fluxmig also where nothing is left to do."""
    contestants: dict[str, Callable[[], Run]] = {
        "psycopg, bare": lambda: pool(bare, make(count)),
        "psycopg, same": lambda: pool(same, make(count)),
    }
    urls: list[str] = []

    def anew() -> Run:
        urls[:] = make(count)
        return tools.fluxmig("run", urls)

    contestants["fluxmig fleet run"] = anew
    contestants["fluxmig fleet run, nothing to do"] = lambda: tools.fluxmig("run", urls)
    contestants["fluxmig fleet status"] = lambda: tools.fluxmig("status", urls)
    contestants["fluxmig fleet run, one target"] = lambda: tools.fluxmig("run", urls[:1])
    if tools.dbmate and kind == "databases":
        contestants[f"dbmate, xargs -P{PARALLEL}"] = lambda: tools.in_a_loop(make(count), PARALLEL)
        if count <= LOOPED:
            contestants["dbmate in a loop"] = lambda: tools.in_a_loop(make(count), 1)
    found = in_turns(contestants, rounds)
    start_up = found.pop("fluxmig fleet run, one target").cpu_s
    print(f"| {count} {kind} | seconds | to bare | ms of CPU each | without start-up | MB at most |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, series in found.items():
        of_start = start_up if name.startswith("fluxmig") else 0.0
        print(_row(name, series, found["psycopg, bare"], count, of_start))
    print(f"\nfluxmig starts in {start_up:.2f} s of CPU, once.\n")


def _row(name: str, series: Series, limit: Series, count: int, start_up_s: float) -> str:
    each = 1000 * series.cpu_s / count
    alone = each - 1000 * start_up_s / count
    peak = f"{series.peak_mb:.0f}" if series.peak_mb else ""
    return (
        f"| {name} | {series.seconds:.2f} | {series.ratio(limit):.2f} | {each:.1f} | {alone:.1f} | {peak} |"
    )


def growth(server: Server, tools: Tools, count: int) -> None:
    """The same for a twentieth, a fifth and all: what grows with the number of targets."""
    print("| databases | run, ms each | ms of CPU | MB | nothing to do, ms each | ms of CPU | MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for size in sorted({max(1, count // 20), max(1, count // 5), count}):
        urls = server.databases(size)
        runs = [tools.fluxmig("run", urls), tools.fluxmig("run", urls)]
        one = tools.fluxmig("run", urls[:1])
        cells = [
            f"{1000 * (run.wall_s - one.wall_s) / size:.1f} | {1000 * (run.cpu_s - one.cpu_s) / size:.1f}"
            f" | {run.peak_kb / 1000:.0f}"
            for run in runs
        ]
        print(f"| {size} | {' | '.join(cells)} |")
    print("\nWithout start-up, which is that of a run over one target.\n")


def far(server: Server, tools: Tools, count: int) -> None:
    """Targets that answer later, and without work: what one process of fluxmig's can do by itself."""
    server.databases(2)
    print(f"{count} targets, {1000 * LATENCY_S:.0f} ms away, {FAR_AT_ONCE} at once:\n")
    print("| | round trips | seconds | ideal | ms of CPU each | MB at most |")
    print("| --- | --- | --- | --- | --- | --- |")
    for what in ("run", "run, nothing to do"):
        folder = tools.folder / quote(what, "")
        folder.mkdir()
        place = f"host={quote(str(folder), '')}&port=5432"
        urls = [f"postgresql://postgres@/d{number}?{place}" for number in range(count)]
        with Recorder(folder, server.socket) as recorder:
            tools.fluxmig("run", urls[:2], 1)  # the first one of a process asks more than the others
        with repeating(folder, recorder.exchanges, LATENCY_S):
            one = tools.fluxmig("run", urls[:1])
            run = tools.fluxmig("run", urls, FAR_AT_ONCE)
        trips = len(recorder.exchanges[-1])
        ideal = count * trips * LATENCY_S / FAR_AT_ONCE
        cpu = 1000 * (run.cpu_s - one.cpu_s) / count
        print(f"| {what} | {trips} | {run.wall_s:.1f} | {ideal:.1f} | {cpu:.2f} | {run.peak_kb / 1000:.0f} |")
    print()


def scheduled(folder: Path, count: int) -> None:
    """The scheduler, the threads and the state alone: each target takes its time, and does nothing."""
    targets = [Target(f"t{number}", "sqlite:///x", group=f"db{number % 100}") for number in range(count)]

    def answer(job: Job, _leash: object) -> Result:
        time.sleep(SCHEDULED_S)
        task = job.task
        return Result(task.target.name, task.target.group, TargetState.DONE, task.wave, tries=task.tries)

    pace = Pace(parallel=SCHEDULED_AT_ONCE)
    with opened(folder / "state.sqlite") as state:
        started, cpu = time.perf_counter(), time.process_time()
        run = state.begin("x", [Result(target.name, target.group) for target in targets])
        pacing = Pacing(waves(targets, pace), pace)
        runner = Runner(pacing, _Threads(answer), lambda task: Job(task, Manner()), state, run)
        runner.go()
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    ideal = count * SCHEDULED_S / SCHEDULED_AT_ONCE
    size = sum(path.stat().st_size for path in folder.glob("state.sqlite*"))
    print(
        f"{count} targets of {1000 * SCHEDULED_S:.0f} ms, {SCHEDULED_AT_ONCE} at once:"
        f" {seconds:.1f} s, ideal {ideal:.1f} s;"
    )
    print(f"{1e6 * cpu / count:.0f} µs of CPU and {size / count:.0f} bytes of state each")
    started = time.perf_counter()
    pacing = Pacing(waves(targets, pace), replace(pace, parallel=count))
    while task := pacing.take(0.0):
        list(pacing.ended(task, Result(task.target.name), 0.0))
    print(f"the scheduler alone: {1e6 * (time.perf_counter() - started) / count:.1f} µs each\n")


def in_processes(server: Server, tools: Tools, count: int, rounds: int) -> None:
    """Threads of one process beside pools of processes, which are there before."""
    context = multiprocessing.get_context("forkserver")
    pools = {number: ProcessPoolExecutor(number, mp_context=context) for number in (2, PARALLEL)}

    def go(executor: ProcessPoolExecutor | None, urls: Sequence[str], at_once: int) -> Run:
        targets = [Target(f"t{number}", url) for number, url in enumerate(urls)]
        began = time.perf_counter()
        report = fleet.run(
            targets, tools.folder / "migrations", pace=Pace(parallel=at_once), executor=executor
        )
        if report.exit_code:
            raise RuntimeError(report.failures[0].detail)
        return Run(time.perf_counter() - began)

    contestants: dict[str, Callable[[], Run]] = {
        f"{PARALLEL} threads": lambda: go(None, server.databases(count), PARALLEL)
    }
    for number, executor in pools.items():
        # More at once than there are, so that none has to wait for its next one.
        contestants[f"{number} processes"] = partial(
            lambda executor, number: go(executor, server.databases(count), 2 * number), executor, number
        )
        go(executor, server.databases(4 * number), 2 * number)
    found = in_turns(contestants, rounds)
    threads = found[f"{PARALLEL} threads"]
    print(f"| {count} databases | seconds | to threads |\n| --- | --- | --- |")
    for name, series in found.items():
        print(f"| {name} | {series.seconds:.2f} | {series.ratio(threads):.2f} |")
    print()
    for executor in pools.values():
        executor.shutdown()


def main() -> None:
    """By the options."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.fleet", description=__doc__, formatter_class=raw)
    counts = ("databases", "schemas", "growth", "far", "scheduler", "processes")
    for name in counts:
        parser.add_argument(f"--{name}", type=int, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--dbmate", help="the program")
    options = parser.parse_args()
    if all(getattr(options, name) is None for name in counts):
        vars(options).update(databases=100, schemas=100, growth=200, far=2000, scheduler=10000, processes=100)
    with tempfile.TemporaryDirectory(
        prefix="fluxmig-fleet-", dir=MEMORY if MEMORY.is_dir() else None
    ) as name:
        folder = Path(name)
        folder.chmod(0o755)  # for the server's own user, where this runs as root
        if options.scheduler:
            scheduled(folder, options.scheduler)
        server, tools = Server(folder), Tools(folder, options.dbmate)
        try:
            if options.databases:
                compare(tools, server.databases, "databases", options.databases, options.rounds)
            if options.schemas:
                compare(tools, server.schemas, "schemas", options.schemas, options.rounds)
            if options.growth:
                growth(server, tools, options.growth)
            if options.far:
                far(server, tools, options.far)
            if options.processes:
                in_processes(server, tools, options.processes, options.rounds)
        finally:
            server.close()


if __name__ == "__main__":
    main()
