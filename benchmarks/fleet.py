"""How fast many databases are migrated, beside a pool of threads over psycopg and beside dbmate.

    python benchmarks/fleet.py --databases 100 --dbmate node_modules/@dbmate/linux-x64/bin/dbmate
    python benchmarks/fleet.py --databases 1000
    python benchmarks/fleet.py --schemas 1000
    python benchmarks/fleet.py --simulate 10000

On an embedded server of its own, in memory where there is enough of it, which shares the cores with who is
measured. 10 files, each a table and an index. `bare` sends each file and a row of the ledger in a
transaction; `same` also what fluxmig sends beside: the lock, the look under it, and the log with its row.
Each has connections of its own, 8 at once, as fluxmig and `xargs -P8` have. The CPU is that of the client.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from fluxmig import embedded
from fluxmig.fleet.crew import _Threads
from fluxmig.fleet.model import Job, Manner, Pace, Result, Target, TargetState
from fluxmig.fleet.pacing import Pacing
from fluxmig.fleet.runner import Runner
from fluxmig.fleet.state import opened
from fluxmig.fleet.waves import waves

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = {
    f"{number:03}_t{number}.sql": f"CREATE TABLE t{number} (id integer PRIMARY KEY, name text);\n"
    f"CREATE INDEX t{number}_name ON t{number} (name);\n"
    for number in range(1, 11)
}
PARALLEL, LOOPED = 8, 100
"""How many at once; and at most so many databases for a shell loop, which takes minutes for more."""
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
        self.url = self._embedded.url.replace("+psycopg", "")
        self._admin = psycopg.connect(self.url, autocommit=True)

    def of(self, name: str) -> str:
        """The URL of a database."""
        return self.url.replace("/postgres?", f"/{name}?")

    def databases(self, count: int) -> list[str]:
        """So many new ones, by their URLs."""
        names = [f"d{number}" for number in range(count)]
        for name in names:
            self._admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            self._admin.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
        return [self.of(name) for name in names]

    def schemas(self, count: int) -> list[str]:
        """A new database with so many; the URLs lead into them."""
        self._admin.execute("DROP DATABASE IF EXISTS d0 WITH (FORCE)")
        self._admin.execute("CREATE DATABASE d0 STRATEGY file_copy")
        with psycopg.connect(self.of("d0"), autocommit=True) as connection:
            for number in range(count):
                connection.execute(f"CREATE SCHEMA s{number}")
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
                connection.execute(sql)
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
                connection.execute(sql)
                connection.execute(ROW, (name, 1, "0" * 64))
                connection.execute(LOGGED, (name, "0" * 64, sql))


def pool(work: Callable[[str], None], urls: list[str]) -> None:
    """Threads over psycopg."""
    with ThreadPoolExecutor(PARALLEL) as threads:
        list(threads.map(work, urls))


class Tools:
    """Programs, and the files in the form of each."""

    def __init__(self, folder: Path, dbmate: str | None) -> None:
        self._folder, self.dbmate = folder, dbmate and str(Path(dbmate).absolute())
        for name, form in (("migrations", "{}"), ("dbmate", "-- migrate:up\n{}-- migrate:down\n")):
            (folder / name).mkdir()
            for file, sql in FILES.items():
                (folder / name / file).write_text(form.format(sql))

    def fluxmig(self, *words: str) -> None:
        """A command of a fleet's, in a process of its own."""
        command = [sys.executable, "-m", "fluxmig", "fleet", *words, "--parallel", str(PARALLEL)]
        subprocess.run(command, cwd=self._folder, stdout=subprocess.DEVNULL, check=True)

    def targets(self, urls: list[str]) -> tuple[str, ...]:
        """The option that names them."""
        lines = [f"t{number} {url}\n" for number, url in enumerate(urls)]
        (self._folder / "targets.txt").write_text("".join(lines))
        return "--targets", "targets.txt"

    def in_a_loop(self, urls: list[str], at_once: int) -> None:
        """dbmate, as a shell would call it."""
        sockets = [url.replace("host=", "socket=").replace("postgresql:", "postgres:") for url in urls]
        words = f"{self.dbmate} --no-dump-schema --migrations-dir dbmate --url '{{}}&sslmode=disable' up"
        command = ["xargs", "-P", str(at_once), "-I{}", "sh", "-c", f"{words} >/dev/null"]
        text = "".join(f"{url}\n" for url in sockets)
        subprocess.run(command, cwd=self._folder, input=text, text=True, check=True)


@dataclass(frozen=True, order=True)
class Cost:
    """What something took, in seconds."""

    wall: float
    cpu: float


def cost(work: Callable[[], object]) -> Cost:
    """Of this process and of those that it starts."""

    def cpu() -> float:
        spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(each.ru_utime + each.ru_stime for each in spent)

    began, before = time.perf_counter(), cpu()
    work()
    return Cost(time.perf_counter() - began, cpu() - before)


def compare(server: Server, tools: Tools, make: Callable[[int], list[str]], count: int, rounds: int) -> None:
    """Every tool on new targets, in turn, as often as there are rounds; the best of each counts."""
    best: dict[str, Cost] = {}

    def keep(name: str, work: Callable[[], object]) -> None:
        found = cost(work)
        best[name] = min(found, best.get(name, found))

    kind = "schemas" if make == server.schemas else "databases"
    for _ in range(rounds):
        for name, work in (("bare", bare), ("same", same)):
            keep(name, partial(pool, work, make(count)))
        words = tools.targets(make(count))
        if kind == "schemas":
            words = ("--schemas", "s%", "--database-url", server.of("d0"))
        for name, verb in (("fluxmig", "run"), ("fluxmig, nothing to do", "run"), ("fleet status", "status")):
            keep(name, partial(tools.fluxmig, verb, *words))
        if tools.dbmate and kind == "databases":
            keep("dbmate, xargs -P8", partial(tools.in_a_loop, make(count), at_once=PARALLEL))
        if tools.dbmate and kind == "databases" and count <= LOOPED:
            keep("dbmate in a loop", partial(tools.in_a_loop, make(count), at_once=1))
    print(f"| {count} {kind} | seconds | ms each | to bare | ms of CPU each |")
    print("| --- | --- | --- | --- | --- |")
    for name, found in best.items():
        each, cpu = 1000 * found.wall / count, 1000 * found.cpu / count
        print(
            f"| {name} | {found.wall:.2f} | {each:.1f} | {found.wall / best['bare'].wall:.2f} | {cpu:.1f} |"
        )
    most_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"\nNo process had more than {most_kb / 1024:.0f} MB.\n")


def simulate(folder: Path, count: int, at_once: int, latency_s: float) -> None:
    """The scheduler, the threads and the state alone: each target answers after a time, and does nothing."""
    targets = [Target(f"t{number}", "sqlite:///x", group=f"db{number % 100}") for number in range(count)]

    def answer(job: Job, _leash: object) -> Result:
        time.sleep(latency_s)
        task = job.task
        return Result(task.target.name, task.target.group, TargetState.DONE, task.wave, tries=task.tries)

    pace = Pace(parallel=at_once)
    with opened(folder / "state.sqlite") as state:
        started, cpu = time.perf_counter(), time.process_time()
        run = state.begin("x", [Result(target.name, target.group) for target in targets])
        pacing = Pacing(waves(targets, pace), pace)
        runner = Runner(pacing, _Threads(answer), lambda task: Job(task, Manner()), state, run)
        runner.go()
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    ideal = count * latency_s / at_once
    size = sum(path.stat().st_size for path in folder.glob("state.sqlite*"))
    print(
        f"{count} targets of {1000 * latency_s:.0f} ms, {at_once} at once:"
        f" {seconds:.1f} s, ideal {ideal:.1f} s;"
    )
    print(f"{1e6 * cpu / count:.0f} µs of CPU and {size / count:.0f} bytes of state each")
    started = time.perf_counter()
    pacing = Pacing(waves(targets, pace), replace(pace, parallel=count))
    while task := pacing.take(0.0):
        list(pacing.ended(task, Result(task.target.name), 0.0))
    print(f"the scheduler alone: {1e6 * (time.perf_counter() - started) / count:.1f} µs each")


def main() -> None:
    """By the options."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--databases", type=int)
    parser.add_argument("--schemas", type=int)
    parser.add_argument("--simulate", type=int)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--dbmate", help="the program")
    options = parser.parse_args()
    memory = Path("/dev/shm")  # noqa: S108  # databases of benchmarks need not survive
    with tempfile.TemporaryDirectory(
        prefix="fluxmig-fleet-", dir=memory if memory.is_dir() else None
    ) as name:
        folder = Path(name)
        folder.chmod(0o755)  # for the server's own user, where this runs as root
        if options.simulate:
            simulate(folder, options.simulate, 256, 0.05)
        if options.databases or options.schemas:
            server, tools = Server(folder), Tools(folder, options.dbmate)
            try:
                if options.databases:
                    compare(server, tools, server.databases, options.databases, options.rounds)
                if options.schemas:
                    compare(server, tools, server.schemas, options.schemas, options.rounds)
            finally:
                server.close()


if __name__ == "__main__":
    main()
