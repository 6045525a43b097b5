"""The cases with something to do: files by the hundred and the thousand, for everybody, near and far."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks import chart, mix
from benchmarks.bench import AGAIN, drift, figures, times
from benchmarks.measure import command, in_turns
from benchmarks.page import Section, Target, table
from benchmarks.relay import Relay
from benchmarks.tools import FLUXMIG, LOOP, PSQL, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.measure import Run, Series
    from benchmarks.server import Server
    from benchmarks.tools import Tool

__all__ = ["distance", "many", "modes", "pending", "round_trips"]


def pending(bench: Bench) -> Section:
    """A hundred and a thousand files, on the disk and in memory, for everybody."""
    section = Section("Pending files")
    for place, files in (("disk", 100), ("disk", 1000), ("memory", 1000)):
        count, server = bench.count(files), bench.servers[place]
        tools = _everybody(bench, count)
        contestants = {tool.name: partial(bench.fresh, tool, server, count) for tool in tools}
        contestants[AGAIN] = partial(bench.fresh, LOOP, server, count)
        found = in_turns(contestants, bench.rounds)
        first = bench.first_s(tools)
        title = f"{count:,} files, {'on the disk' if place == 'disk' else 'in memory'}"
        shown = {name: series.seconds for name, series in found.items() if name != AGAIN}
        section.charts[title] = chart.bars(f"{title}: seconds, one file's lighter", shown, "s", first=first)
        part, sentence = drift(found)
        section.drifts.append(part)
        section.text += [f"### {title}", times(found, PSQL.name, first), sentence]
        section.targets += _of_pending(bench, found, first, place, files, count)
        section.figures[f"{place} {files}"] = figures(found)
    section.figures["one file"] = first
    return section


def _everybody(bench: Bench, count: int) -> list[Tool]:
    tools = [FLUXMIG, PSQL, LOOP, *bench.peers]
    is_long = count > bench.count(100) and bench.is_quick
    return [tool for tool in tools if not (is_long and tool.name == "yoyo")]  # which takes minutes


def _of_pending(
    bench: Bench,
    found: Mapping[str, Series],
    first: Mapping[str, float],
    place: str,
    files: int,
    count: int,
) -> list[Target]:
    own = found[FLUXMIG.name]
    case = f"{count:,} pending, {'on the disk' if place == 'disk' else 'in memory'}"

    def target(name: str, wanted: float) -> Target:
        other = found[name]
        mine, theirs = own.seconds - first[FLUXMIG.name], other.seconds - first[name]
        why = f"One file takes {first[FLUXMIG.name]:.2f} s, and {name} {first[name]:.2f} s"
        why += f"; without that it is {mine / theirs:.2f} times." if min(mine, theirs) > 0 else "."
        return Target(case, name, wanted, own.ratio(other), why=why)

    ahead = {tool.name: 1.0 for tool in bench.peers if tool.name in found}
    match place, files:
        case ["disk", 100]:
            alone = _without_start_up(bench, found, place, case)
            return [*alone, *(target(name, wanted) for name, wanted in ahead.items())]
        case ["disk", _]:
            return [target(name, wanted) for name, wanted in {PSQL.name: 1.15, **ahead}.items()]
        case _:
            wanted = {LOOP.name: 1.25, "dbmate": 0.9, "Alembic": 0.6, "yoyo": 0.2}
            return [target(name, times) for name, times in wanted.items() if name in found]


def _without_start_up(bench: Bench, found: Mapping[str, Series], place: str, case: str) -> list[Target]:
    """Beside psql, less what one file takes each in the same place."""
    once = {tool.name: partial(bench.fresh, tool, bench.servers[place], 1) for tool in (FLUXMIG, PSQL)}
    one = in_turns(once, bench.rounds)
    mine, limit = (found[name].seconds - one[name].seconds for name in (FLUXMIG.name, PSQL.name))
    if limit <= 0:  # a look at two files, say
        return []
    why = (
        f"{mine * 1000:.0f} ms and {limit * 1000:.0f} ms: psql keeps no log, takes no lock, and splits and"
        " checks nothing; see the profile of a run."
    )
    return [Target(f"{case}, start-up subtracted", PSQL.name, 1.1, mine / limit, why=why)]


def many(bench: Bench) -> Section:
    """Ten times as many files take ten times as long."""
    few, lots = bench.count(1000), bench.count(10_000)
    contestants = {f"{count:,}": partial(bench.fresh, FLUXMIG, bench.memory, count) for count in (few, lots)}
    found = in_turns(contestants, bench.few)
    each = {count: found[f"{count:,}"].seconds / count * 1000 for count in (few, lots)}
    rows = []
    for count, each_ms in each.items():
        series = found[f"{count:,}"]
        rows.append([f"{count:,}", series.time, f"{each_ms:.2f} ms", f"{series.peak_mb:.0f} MB"])
    case = f"{lots:,} pending: a file"
    target = Target(case, f"a file of {few:,}", 1.2, each[lots] / each[few])
    return Section("Many files", [table(("files", "time", "a file", "memory at most"), rows)], [target])


def modes(bench: Bench) -> Section:
    """What costs time, and how much."""
    count, server = bench.count(100), bench.memory
    heads = {
        "as ever": "",
        "without a transaction": "-- fluxmig: no-transaction\n",
        "with a SET": "SET search_path = public;\n",
        "to be completed": "-- fluxmig: on-duplicate=complete\n",
        "to be completed, with duplicates": "-- fluxmig: on-duplicate=complete\n",
        "marked for duplicates": "-- fluxmig: on-duplicate=mark\n",
    }

    contestants: dict[str, Callable[[], Run]] = {}
    for number, (name, head) in enumerate(heads.items()):
        folder = bench.folder / f"mode-{number}"
        folder.mkdir()
        for file, text in mix.files(count):
            (folder / f"{file}.sql").write_text(head + text)
        before = mix.tables(count) if "duplicates" in name else ""
        contestants[name] = partial(_in_mode, server, folder, before)
    found = in_turns(contestants, bench.few)
    text = (
        "A file without a transaction runs statement by statement and keeps its progress in the log, a row a"
        " statement. One that may change its session takes the longer way: what it changes is looked up"
        " before, and put back. `complete` costs nothing before there is a duplicate; here four files of ten"
        " make a table that is there."
    )
    return Section("Modes that cost time", [times(found, "as ever"), text])


def _in_mode(server: Server, folder: Path, before: str) -> Run:
    """Has fluxmig apply a folder to a database where this SQL was run before."""
    with server.database() as database:
        server.run(before, database)
        return command(FLUXMIG.call(folder, server.address(database)), environment())


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
    each = found[FLUXMIG.name][0]
    with Relay(bench.memory.socket) as relay, bench.applied(bench.memory, few) as database:
        bench.apply(FLUXMIG, bench.memory, database, more, relay.port)
        there = "fluxmig, with a ledger"
        found[there] = each, relay.traffic.round_trips - each * (more - few)
    rows = [[name, str(each), str(fixed)] for name, (each, fixed) in found.items()]
    targets = [
        Target("round trips a file", "1", 3, each, ""),
        Target("round trips of a run beside, with a ledger", "", 12, found[there][1], ""),
    ]
    text = "Those of connecting are among the fixed ones; a new ledger and its log have to be made."
    title = "Round trips a file"
    shown = {name: float(each) for name, (each, _) in found.items() if name != there}
    return Section(
        "Round trips",
        [table(("", "a file", "fixed"), rows), text],
        targets,
        {title: chart.bars(title, shown, "")},
        {"round trips": shown},
    )


def distance(bench: Bench) -> Section:
    """A hundred files for servers that are 5 and 20 ms away."""
    section, count = Section("Far away"), bench.count(100)
    tools = [FLUXMIG, LOOP, *(tool for tool in bench.peers if tool.name != "yoyo")]
    for far_ms in (20,) if bench.is_quick else (5, 20):
        with Relay(bench.memory.socket, round_trip_ms=far_ms) as relay:
            contestants = {
                tool.name: partial(bench.fresh, tool, bench.memory, count, relay.port) for tool in tools
            }
            found = in_turns(contestants, bench.few)
        title = f"{count} files, {far_ms} ms away"
        shown = {name: series.seconds for name, series in found.items()}
        section.text += [f"### {title}", times(found, LOOP.name)]
        section.charts[title] = chart.bars(f"{title}: seconds", shown, "s")
        section.figures[f"far {far_ms}"] = figures(found)
    others = {tool.name: found[tool.name].seconds for tool in bench.peers if tool.name in found}
    if others:
        best = min(others, key=lambda name: others[name])
        own = found[FLUXMIG.name].seconds
        trips = [seconds * 1000 / far_ms / count for seconds in (own, others[best])]
        why = f"It takes as long as {trips[0]:.1f} round trips a file, and {best} as {trips[1]:.1f}."
        ratio = own / others[best]
        section.targets.append(Target(title, "the best peer", 0.5, ratio, why=why))
    return section
