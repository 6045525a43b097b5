"""The cases: each measures, and tells a section of the page."""

from __future__ import annotations

import itertools
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import fresh as fresh_databases
from benchmarks import large, loop, profiles, split
from benchmarks.bench import figures, times
from benchmarks.measure import command, in_turns
from benchmarks.page import Section, Target, table
from benchmarks.pending import distance, many, modes, pending, round_trips
from benchmarks.relay import Relay
from benchmarks.tools import FLUXMIG, PSQL, environment, fluxmig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.bench import Bench
    from benchmarks.measure import Run

__all__ = ["CASES"]


def _loop(*words: str | Path) -> list[str | Path]:
    return [sys.executable, Path(__file__).parent / "loop.py", *words]


# --- starting up ------------------------------------------------------------------------------------------


def start_up(bench: Bench) -> Section:
    """`--help` and `create`, beside what an import of click takes."""
    numbers = itertools.count()

    def create() -> Run:
        folder = bench.folder / f"created-{next(numbers)}"
        return command(fluxmig("create", "add settings", "--migrations", folder), environment())

    limit = "import click"
    click: list[str | Path] = [sys.executable, "-c", limit]
    own: dict[str, Callable[[], Run]] = {
        "fluxmig --help": lambda: command(fluxmig("--help"), environment()),
        "fluxmig create": create,
    }
    found = in_turns({limit: lambda: command(click, environment()), **own}, bench.rounds * 2)
    why = "What is loaded beside click is fluxmig's own, and what that needs of Python."
    targets = [Target(name, limit, 1.5, found[name].ratio(found[limit]), why=why) for name in own]
    return Section("Starting up", [times(found, limit)], targets)


# --- nothing to do ----------------------------------------------------------------------------------------


def nothing(bench: Bench) -> Section:
    """A run where everything is applied already: the one that there is most often."""
    count, server = bench.count(1000), bench.memory
    with ExitStack() as stack:
        there = {}
        for tool in (FLUXMIG, *bench.peers):
            if tool.name != "yoyo" or not bench.is_quick:
                there[tool] = stack.enter_context(server.database())
                bench.apply(tool, server, there[tool], count)
        url = server.address(there[FLUXMIG]).url("postgresql+psycopg")
        contestants: dict[str, Callable[[], Run]] = {
            "one query": lambda: command(_loop("ask", url), environment())
        }
        for tool, database in there.items():
            contestants[tool.name] = partial(bench.apply, tool, server, database, count)
        found = in_turns(contestants, bench.rounds)
        trips, connections, of_service = _round_trips_of_nothing(bench, there[FLUXMIG], count)
        service = _loop("service", url, bench.files(FLUXMIG, count))
        own_ms, files_ms = map(float, subprocess.check_output(service, env=environment(whole=True)).split())
    case = f"nothing to do, {count:,} files"
    ratio = found[FLUXMIG.name].ratio(found["one query"])
    why = "What is loaded beside SQLAlchemy and psycopg, and the files: see the profile of start-up."
    targets = [
        Target(case, "a Python that connects and asks once", 1.15, ratio, why=why),
        Target(f"{case}: connections", "", 1, connections, ""),
        Target(f"{case}: round trips once connected", "", 3, trips, ""),
        Target("the same in a running service: round trips", "", 3, of_service, ""),
        Target(
            "the same in a running service, its own time",
            "",
            30,
            own_ms,
            "ms",
            why=f"{files_ms:.1f} ms of it read and hash the files; the rows of both tables take the rest.",
        ),
    ]
    return Section("Nothing to do", [times(found, "one query")], targets, figures={"nothing": figures(found)})


def _round_trips_of_nothing(bench: Bench, database: str, count: int) -> tuple[float, float, float]:
    """Of a command once connected, its connections, and of a run in a service."""
    server = bench.memory
    with Relay(server.socket) as relay:
        through = server.address(database, relay.port).url("postgresql+psycopg")
        command(_loop("connect", through), environment())
        connecting = relay.traffic.round_trips
        bench.apply(FLUXMIG, server, database, count, relay.port)
        trips, connections = relay.traffic.round_trips - 2 * connecting, relay.traffic.connections - 1
        before = relay.traffic.round_trips + connecting
        command(_loop("service", through, bench.files(FLUXMIG, count)), environment())
        return trips, connections, (relay.traffic.round_trips - before) / loop.TURNS


# --- large files, and many rows ---------------------------------------------------------------------------


def splitting(bench: Bench) -> Section:
    """How fast a dump is taken apart, beside PostgreSQL's own scanner."""
    path, rows = bench.folder / "dump.sql", []
    splitters = ["fluxmig"] + ["libpg_query"] * bool(find_spec("pglast"))
    for kind in ("dump", "inserts"):
        split.write(path, split.TEXTS[kind](), round(100 * bench.scale) * split.MEGABYTE)
        for splitter in splitters if kind == "inserts" else splitters[:1]:
            found = split.measured(kind, path, 3, splitter)
            speed, held = f"{found.megabytes_s:.0f} MB/s", f"{found.held_mb:.0f} MB"
            rows.append([kind, splitter, f"{found.megabytes:.0f} MB", f"{found.statements:,}", speed, held])
            if kind == "dump":
                dump = found
    size = dump.megabytes
    targets = [
        Target(f"splitting a dump of {size:.0f} MB", "", 25, dump.megabytes_s, "MB/s", at_least=True),
        Target("memory beside the file", "", 50, dump.held_mb, "MB"),
    ]
    heads = ("text", "by", "size", "statements", "by its own processor time", "memory beside the text")
    text = (
        "libpg_query's is the scanner of PostgreSQL, in C, through pglast; it knows no rows of a COPY, so the"
        " dump is not for it."
    )
    dumped = {"megabytes_s": round(dump.megabytes_s, 1), "held_mb": round(dump.held_mb, 1)}
    return Section("Splitting", [table(heads, rows), text], targets, figures={"splitting": dumped})


def large_file(bench: Bench) -> Section:
    """One file of 200 MB, beside psql."""
    size = round(200 * bench.scale)
    migrations = bench.folder / "large"
    migrations.mkdir()
    path = migrations / "001_large.sql"
    written = large.write(path, "copy", size * large.MEGABYTE)

    def of_fluxmig() -> Run:
        with bench.memory.database() as database:
            return large.run(FLUXMIG.call(migrations, bench.memory.address(database)), environment())

    def of_psql() -> Run:
        with bench.memory.database() as database:
            *words, _, url = PSQL.call(migrations, bench.memory.address(database))
            return large.run([*words, path, url], environment())

    found = in_turns({FLUXMIG.name: of_fluxmig, PSQL.name: of_psql}, bench.few)
    path.unlink()
    ratio = found[FLUXMIG.name].ratio(found[PSQL.name])
    why = (
        "A run reads, hashes and splits the file before it sends any of it, and has to start; psql sends each"
        " line as it reads it."
    )
    target = Target(f"a file of {size} MB", PSQL.name, 1.3, ratio, why=why)
    text = [f"One COPY of {written / large.MEGABYTE:.0f} MB.", times(found, PSQL.name, memory=True)]
    return Section("A large file", text, [target])


def status(bench: Bench) -> Section:
    """`status` of ten thousand files and rows, beside reading and hashing them."""
    count, server = bench.count(10_000), bench.memory
    files, none = bench.files(FLUXMIG, count), bench.folder / "none"
    none.mkdir()
    limit = "reading and hashing"
    with bench.applied(server, count) as database, server.database() as empty:

        def show(folder: Path, where: str) -> Run:
            words = fluxmig("status", "--migrations", folder, "--database-url", server.address(where).url())
            return command(words, environment())

        found = in_turns(
            {
                limit: lambda: command(_loop("hash", files), environment()),
                f"{limit} nothing": lambda: command(_loop("hash", none), environment()),
                "fluxmig status": lambda: show(files, database),
                "fluxmig status of nothing": lambda: show(none, empty),
            },
            bench.rounds,
        )
    ratio = found["fluxmig status"].ratio(found[limit])
    start_s = found["fluxmig status of nothing"].seconds
    rest = found["fluxmig status"].seconds - start_s, found[limit].seconds - found[f"{limit} nothing"].seconds
    why = (
        f"Of nothing it takes {start_s:.2f} s, to load Python, SQLAlchemy and psycopg and to connect; without"
        f" that of both, {rest[0] / rest[1]:.2f} times."
    )
    target = Target(f"status, {count:,} files and rows", f"{limit} the files", 1.5, ratio, why=why)
    text = "Nothing is cached: each file is read and hashed every time."
    return Section("Status", [times(found, limit), text], [target])


# --- databases for tests ----------------------------------------------------------------------------------


def fresh(bench: Bench) -> Section:
    """A migrated database for each test, beside CREATE DATABASE ... TEMPLATE by hand."""
    found = fresh_databases.measured(bench.count(100), bench.few, bench.count(10))
    medians, limits = found.medians, fresh_databases.LIMITS
    rows = []
    for name, seconds in medians.items():
        spread = (max(found.taken[name]) - min(found.taken[name])) / 2 / seconds
        each = f"{seconds * 1000:.1f} ms ± {spread * 100:.0f} %"
        rows.append([name, each, f"{seconds / medians['by hand']:.2f}"])
    kept, case = found.kept, "a fresh migrated database for each test"
    targets = [
        Target(case, "by hand", limits["times"], kept["times"]),
        Target(
            f"{case}, on its path",
            "",
            limits["path_ms"],
            kept["path_ms"],
            "ms",
            why="It is a connection to a database that nobody has used yet, and two queries.",
        ),
        Target(
            "until a session has its first", "the server's start", limits["start_s"], kept["start_s"], "s"
        ),
    ]
    text = [table(("", "a test", "times by hand"), rows), *(f"Left out: {why}." for why in found.left_out)]
    return Section("A fresh database for each test", text, targets)


# --- what is left -----------------------------------------------------------------------------------------


def profile(bench: Bench) -> Section:
    """Where start-up goes, and a run of a thousand files in memory."""
    count, server = bench.count(1000), bench.memory
    with bench.applied(server, count) as database:
        words = FLUXMIG.call(bench.files(FLUXMIG, count), server.address(database))
        loaded = profiles.loaded(profiles.imports(words, environment(whole=True), bench.rounds))
    total = sum(own_ms for _, _, own_ms in loaded)
    rows = [
        [name, str(modules), f"{own_ms:.1f} ms", f"{own_ms / total * 100:.0f} %"]
        for name, modules, own_ms in loaded
        if own_ms / total >= _SHOWN
    ]
    statistics = bench.folder / "statistics"
    with server.database() as database:
        url = server.address(database).url("postgresql+psycopg")
        command(_loop("profile", url, bench.files(FLUXMIG, count), statistics), environment())
    shares = [[name, f"{part * 100:.0f} %"] for name, part in profiles.shares(statistics) if part >= _SHOWN]
    text = [
        "### Start-up",
        _OF_START_UP.format(total, bench.rounds),
        table(("", "modules", "time", "part"), rows),
        "### A run",
        _OF_A_RUN.format(count),
        table(("", "part"), shares),
    ]
    return Section("Profile", text)


_SHOWN = 0.01
"""What part of all a row of a profile has at least."""
_OF_START_UP = (
    "What a run with nothing to do loads, in {:.0f} ms (`python -X importtime`, the least of {} for each"
    " module, without those that it loads itself):"
)
_OF_A_RUN = (
    "{:,} files in memory, with everything loaded before; by cProfile, of the process's own time on the"
    " processor, with what is built into Python counted for who calls it:"
)

CASES: Mapping[str, Callable[[Bench], Section]] = {
    "start-up": start_up,
    "nothing": nothing,
    "pending": pending,
    "many": many,
    "round-trips": round_trips,
    "distance": distance,
    "splitting": splitting,
    "large": large_file,
    "status": status,
    "fresh": fresh,
    "modes": modes,
    "profile": profile,
}
"""In the order of the page."""
