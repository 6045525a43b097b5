"""The cases: each measures, and tells a section of the page."""

from __future__ import annotations

import itertools
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import chart, large, mix, split
from benchmarks.measure import Run, Series, command, in_turns
from benchmarks.page import Section, Target, table
from benchmarks.relay import Relay
from benchmarks.tools import FLUXMIG, LOOP, PSQL, Tool, environment, fluxmig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks.server import Server

__all__ = ["CASES", "Bench"]

_AGAIN = "psycopg loop, again"
_DRIFT = 0.1
_FULL = 7


@dataclass(slots=True)
class Bench:
    """What the cases share.

    Attributes:
        folder: For files.
        servers: By place, "disk" and "memory".
        peers: The other tools.
        rounds: How often each is measured.
        scale: What the numbers of files and the sizes are multiplied with: 1, or less for a look.
    """

    folder: Path
    servers: Mapping[str, Server]
    peers: Sequence[Tool]
    rounds: int
    scale: float = 1.0
    _folders: dict[tuple[str, int], Path] = field(default_factory=dict)

    @property
    def memory(self) -> Server:
        """The server where the tool shows, and not the disk."""
        return self.servers["memory"]

    @property
    def is_quick(self) -> bool:
        """Whether it is but a look."""
        return self.rounds < _FULL

    def count(self, files: int) -> int:
        """So many files, or fewer."""
        return max(2, round(files * self.scale))

    def files(self, tool: Tool, count: int) -> Path:
        """The folder with the first so many files of the mix, as the tool wants them."""
        key = tool.lay_out.__name__, count
        if key not in self._folders:
            folder = self.folder / f"{key[0].strip('_')}-{count}"
            folder.mkdir()
            tool.lay_out(folder, mix.files(count))
            self._folders[key] = folder
        return self._folders[key]

    def apply(self, tool: Tool, server: Server, database: str, count: int, port: int | None = None) -> Run:
        """Has the tool apply so many files."""
        words = tool.call(self.files(tool, count), server.address(database, port))
        return command(words, environment())

    def fresh(self, tool: Tool, server: Server, count: int, port: int | None = None) -> Run:
        """On an empty database."""
        with server.database() as database:
            return self.apply(tool, server, database, count, port)

    @contextmanager
    def applied(self, server: Server, count: int) -> Iterator[str]:
        """A database that fluxmig has applied so many files to."""
        with server.database() as database:
            self.apply(FLUXMIG, server, database, count)
            yield database


def _loop(*words: str | Path) -> list[str | Path]:
    return [sys.executable, Path(__file__).parent / "loop.py", *words]


def _times(found: Mapping[str, Series], beside: str) -> str:
    """A table of everybody's times."""
    rows = []
    for name, series in sorted(found.items(), key=lambda item: item[1].seconds):
        time = f"{series.seconds:.3f} s ± {series.spread * 100:.0f} %"
        ratio = f"{series.ratio(found[beside]):.2f}"
        rows.append([name, time, f"{series.cpu_s:.3f} s", ratio])
    return table(("", "time", "its own processor time", f"times {beside}"), rows)


def _drift(found: Mapping[str, Series]) -> str:
    """What the control says: the same against itself."""
    drift = abs(found[_AGAIN].ratio(found[LOOP.name]) - 1)
    warning = ": **the machine was not quiet enough for these figures**" if drift > _DRIFT else ""
    return f"The psycopg loop against itself drifts by {drift * 100:.0f} %{warning}."


# --- starting up ------------------------------------------------------------------------------------------


def start_up(bench: Bench) -> Section:
    """`--help` and `create`, beside what an import of click takes."""
    numbers = itertools.count()

    def create() -> Run:
        folder = bench.folder / f"created-{next(numbers)}"
        return command(fluxmig("create", "add settings", "--migrations", folder), environment())

    click: list[str | Path] = [sys.executable, "-c", "import click"]
    found = in_turns(
        {
            "import click": lambda: command(click, {}),
            "fluxmig --help": lambda: command(fluxmig("--help"), environment()),
            "fluxmig create": create,
        },
        bench.rounds * 2,
    )
    limit = found["import click"]
    targets = [
        Target(name, "import click", 1.5, found[name].ratio(limit)) for name in list(found) if name[0] == "f"
    ]
    return Section("Starting up", [_times(found, "import click")], targets)


# --- nothing to do ----------------------------------------------------------------------------------------


def nothing(bench: Bench) -> Section:
    """A run where everything is applied already: the one that there is most often."""
    count, server = bench.count(1000), bench.memory
    files = bench.files(FLUXMIG, count)
    with bench.applied(server, count) as database:
        url = server.address(database).url("postgresql+psycopg")
        contestants: dict[str, Callable[[], Run]] = {
            "one query": lambda: command(_loop("ask", url), environment()),
            "fluxmig": lambda: bench.apply(FLUXMIG, server, database, count),
        }
        for tool in bench.peers:
            if tool.name == "dbmate":
                other = bench.folder / "dbmate-there"
                contestants[tool.name] = partial(_dbmate_again, bench, tool, other, count)
        found = in_turns(contestants, bench.rounds)
        with Relay(server.socket) as relay:
            through = server.address(database, relay.port).url("postgresql+psycopg")
            command(_loop("connect", through), environment())
            connecting = relay.traffic.round_trips
            bench.apply(FLUXMIG, server, database, count, relay.port)
            trips, connections = relay.traffic.round_trips - 2 * connecting, relay.traffic.connections - 1
        own_ms = float(subprocess.check_output(_loop("service", url, files)))
    case = f"nothing to do, {count:,} files"
    targets = [
        Target(
            case, "a Python that connects and asks once", 1.15, found["fluxmig"].ratio(found["one query"])
        ),
        Target(f"{case}: connections", "", 1, connections, ""),
        Target(f"{case}: round trips once connected", "", 3, trips, ""),
        Target("the same in a running service, its own time", "", 30, own_ms, "ms"),
    ]
    return Section("Nothing to do", [_times(found, "one query")], targets)


_there: dict[Path, str] = {}


def _dbmate_again(bench: Bench, tool: Tool, key: Path, count: int) -> Run:
    """A run of dbmate's that finds nothing to do; on a database that stays."""
    if key not in _there:
        context = bench.memory.database()
        _there[key] = context.__enter__()  # it goes with the server
        bench.apply(tool, bench.memory, _there[key], count)
    return bench.apply(tool, bench.memory, _there[key], count)


# --- something to do --------------------------------------------------------------------------------------


def pending(bench: Bench) -> Section:
    """A hundred and a thousand files, on the disk and in memory, for everybody."""
    section = Section("Pending files")
    for place, files in (("disk", 100), ("disk", 1000), ("memory", 1000)):
        count, server = bench.count(files), bench.servers[place]
        found = in_turns(_everybody(bench, server, count), bench.rounds)
        title = f"{count:,} files, {'on the disk' if place == 'disk' else 'in memory'}"
        shown = {name: series.seconds for name, series in found.items() if name != _AGAIN}
        section.charts[title] = chart.bars(f"{title}: seconds, start-up included", shown, "s")
        section.text += [f"### {title}", _times(found, PSQL.name), _drift(found)]
        section.targets += _of_pending(bench, found, place, files, count)
    return section


def _everybody(bench: Bench, server: Server, count: int) -> dict[str, Callable[[], Run]]:
    tools = [FLUXMIG, PSQL, LOOP, *bench.peers]
    if count > bench.count(100) and bench.is_quick:  # yoyo takes minutes
        tools = [tool for tool in tools if tool.name != "yoyo"]
    found: dict[str, Callable[[], Run]] = {
        tool.name: partial(bench.fresh, tool, server, count) for tool in tools
    }
    return found | {_AGAIN: partial(bench.fresh, LOOP, server, count)}


def _of_pending(
    bench: Bench, found: Mapping[str, Series], place: str, files: int, count: int
) -> list[Target]:
    own = found[FLUXMIG.name]
    case = f"{count:,} pending, {'on the disk' if place == 'disk' else 'in memory'}"
    ahead = [
        Target(case, tool.name, 1.0, own.ratio(found[tool.name]))
        for tool in bench.peers
        if tool.name in found
    ]
    match place, files:
        case ["disk", 100]:
            once = {
                tool.name: partial(bench.fresh, tool, bench.servers[place], 1) for tool in (FLUXMIG, PSQL)
            }
            one = in_turns(once, bench.rounds)
            mine, limit = (found[name].seconds - one[name].seconds for name in (FLUXMIG.name, PSQL.name))
            alone = Target(f"{case}, start-up subtracted", "psql", 1.1, mine / limit) if limit > 0 else None
            return [*filter(None, [alone]), *ahead]
        case ["disk", _]:
            return [Target(case, "psql", 1.15, own.ratio(found[PSQL.name])), *ahead]
        case _:
            wanted = {"dbmate": 0.9, "Alembic": 0.6, "yoyo": 0.2}
            loop = Target(case, "the psycopg loop", 1.25, own.ratio(found[LOOP.name]))
            beside = [
                Target(case, target.limit, wanted[target.limit], target.found)
                for target in ahead
                if target.limit in wanted
            ]
            return [loop, *beside]


def many(bench: Bench) -> Section:
    """Ten times as many files take ten times as long."""
    few, lots = bench.count(1000), bench.count(10_000)
    tools = {f"{count:,}": partial(bench.fresh, FLUXMIG, bench.memory, count) for count in (few, lots)}
    found = in_turns(tools, 1 if bench.is_quick else 3)
    each = {name: found[f"{name:,}"].seconds / name * 1000 for name in (few, lots)}
    rows = [[f"{count:,}", f"{found[f'{count:,}'].seconds:.2f} s", f"{each[count]:.2f} ms"] for count in each]
    target = Target(f"{lots:,} pending: a file", f"a file of {few:,}", 1.2, each[lots] / each[few])
    return Section("Many files", [table(("files", "time", "a file"), rows)], [target])


# --- far away ---------------------------------------------------------------------------------------------


def round_trips(bench: Bench) -> Section:
    """How often each tool waits for an answer."""
    found: dict[str, tuple[int, int]] = {}
    few, more = 10, 20
    for tool in [FLUXMIG, LOOP, *bench.peers]:
        counts = []
        for count in (few, more):
            with Relay(bench.memory.socket) as relay:
                bench.fresh(tool, bench.memory, count, relay.port)
                counts.append(relay.traffic.round_trips)
        each = round((counts[1] - counts[0]) / (more - few))
        found[tool.name] = each, counts[0] - few * each
    with Relay(bench.memory.socket) as relay, bench.applied(bench.memory, few) as database:
        bench.apply(FLUXMIG, bench.memory, database, more, relay.port)
        each = found[FLUXMIG.name][0]
        fixed = relay.traffic.round_trips - each * (more - few)
        found["fluxmig, with a ledger"] = each, fixed
    rows = [[name, str(each), str(fixed)] for name, (each, fixed) in found.items()]
    targets = [
        Target("round trips a file", "1", 3, found["fluxmig"][0], ""),
        Target("round trips of a run beside, with a ledger", "", 12, found["fluxmig, with a ledger"][1], ""),
    ]
    text = "Those of connecting are among the fixed ones; a new ledger and its log have to be made."
    title = "Round trips a file"
    shown = {name: float(each) for name, (each, _) in found.items() if "," not in name}
    charts = {title: chart.bars(title, shown, "")}
    return Section("Round trips", [table(("", "a file", "fixed"), rows), text], targets, charts)


def distance(bench: Bench) -> Section:
    """A hundred files for a server that is 20 ms away."""
    count, far_ms = bench.count(100), 20.0
    rounds = 1 if bench.is_quick else 3
    with Relay(bench.memory.socket, round_trip_ms=far_ms) as relay:
        tools = [FLUXMIG, LOOP, *(tool for tool in bench.peers if tool.name != "yoyo")]
        contestants = {
            tool.name: partial(bench.fresh, tool, bench.memory, count, relay.port) for tool in tools
        }
        found = in_turns(contestants, rounds)
    title = f"{count} files, {far_ms:.0f} ms away"
    shown = {name: series.seconds for name, series in found.items()}
    section = Section("Far away", [_times(found, LOOP.name)])
    section.charts[title] = chart.bars(f"{title}: seconds", shown, "s")
    others = [found[tool.name].seconds for tool in bench.peers if tool.name in found]
    if others:
        ratio = found[FLUXMIG.name].seconds / min(others)
        section.targets.append(Target(title, "the best peer", 0.5, ratio))
    return section


# --- large files, and many rows ---------------------------------------------------------------------------


def splitting(bench: Bench) -> Section:
    """How fast a dump is taken apart."""
    path = bench.folder / "dump.sql"
    split.write(path, split.dump(), round(100 * bench.scale) * split.MEGABYTE)
    measured = {name: split.measured(name, path, 3) for name in ("dump",)}
    speed, held = measured["dump"].megabytes_s, measured["dump"].held_mb
    size = path.stat().st_size / split.MEGABYTE
    targets = [
        Target(f"splitting a dump of {size:.0f} MB", "", 25, speed, "MB/s", at_least=True),
        Target("memory beside the file", "", 50, held, "MB"),
    ]
    return Section("Splitting", [str(measured["dump"])], targets)


def large_file(bench: Bench) -> Section:
    """One file of 200 MB, beside psql."""
    size, rows = round(200 * bench.scale), []
    migrations = bench.folder / "large"
    migrations.mkdir()
    written = large.write(migrations / "001_large.sql", "copy", size * large.MEGABYTE)
    found: dict[str, list[tuple[float, int]]] = {"fluxmig": [], "psql": []}
    for _ in range(1 if bench.is_quick else 3):
        for name, runs in found.items():
            with bench.memory.database() as database:
                address = bench.memory.address(database)
                words = fluxmig("run", "--migrations", migrations, "--database-url", address.url())
                if name == "psql":
                    psql = PSQL.call(migrations, address)
                    words = [*psql[:-2], migrations / "001_large.sql", psql[-1]]
                runs.append(large.run(words))
    best = {name: min(runs) for name, runs in found.items()}
    for name, (seconds, peak) in best.items():
        rows.append([name, f"{seconds:.2f} s", f"{peak / large.MEGABYTE:.0f} MB"])
    text = [f"One COPY of {written / large.MEGABYTE:.0f} MB.", table(("", "time", "memory at most"), rows)]
    target = Target(f"a file of {size} MB", "psql", 1.3, best["fluxmig"][0] / best["psql"][0])
    return Section("A large file", text, [target])


def status(bench: Bench) -> Section:
    """`status` of ten thousand files and rows, beside reading and hashing them."""
    count, server = bench.count(10_000), bench.memory
    files = bench.files(FLUXMIG, count)
    with bench.applied(server, count) as database:
        url = server.address(database).url()
        words = fluxmig("status", "--migrations", files, "--database-url", url)
        found = in_turns(
            {
                "reading and hashing": lambda: command(_loop("hash", files), {}),
                "fluxmig status": lambda: command(words, environment()),
            },
            bench.rounds,
        )
    ratio = found["fluxmig status"].ratio(found["reading and hashing"])
    target = Target(f"status, {count:,} files and rows", "reading and hashing the files", 1.5, ratio)
    text = "Nothing is cached: each file is read and hashed every time."
    return Section("Status", [_times(found, "reading and hashing"), text], [target])


def fresh(bench: Bench) -> Section:
    """A migrated database for each test, beside CREATE DATABASE ... TEMPLATE by hand."""
    rounds = 1 if bench.is_quick else 3
    words = [sys.executable, "-m", "benchmarks.fresh", "--rounds", str(rounds)]
    done = subprocess.run(
        words, cwd=Path(__file__).parent.parent, capture_output=True, check=False, encoding="utf-8"
    )
    verdict = "Every limit is kept." if done.returncode == 0 else "Not every limit is kept."
    return Section("A fresh database for each test", [f"```text\n{done.stdout.strip()}\n```", verdict])


def modes(bench: Bench) -> Section:
    """What costs time, and how much."""
    count, server = bench.count(100), bench.memory
    heads = {"as ever": "", "statement by statement": "-- fluxmig: no-transaction\n"}
    heads["to be completed"] = "-- fluxmig: on-duplicate=complete\n"
    heads["with a SET"] = "SET search_path = public;\n"

    def contestant(head: str, folder: Path) -> Callable[[], Run]:
        folder.mkdir()
        for name, text in mix.files(count):
            (folder / f"{name}.sql").write_text(head + text)

        def measure() -> Run:
            with server.database() as database:
                return command(FLUXMIG.call(folder, server.address(database)), environment())

        return measure

    contestants = {
        name: contestant(head, bench.folder / f"mode-{number}")
        for number, (name, head) in enumerate(heads.items())
    }
    found = in_turns(contestants, max(1, bench.rounds // 2))
    text = (
        "A file without a transaction keeps its progress in the log, a row a statement. One that may change"
        " its session takes the longer way: what it changes is looked up before, and put back. `complete`"
        " costs nothing before there is a duplicate."
    )
    return Section("Modes that cost time", [_times(found, "as ever"), text])


CASES: dict[str, Callable[[Bench], Section]] = {
    "start-up": start_up,
    "nothing": nothing,
    "pending": pending,
    "round-trips": round_trips,
    "distance": distance,
    "splitting": splitting,
    "large": large_file,
    "status": status,
    "fresh": fresh,
    "modes": modes,
    "many": many,
}
