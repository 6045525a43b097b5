"""The connection fails at every single round trip: the next run finishes, and nothing is lost or done twice.

By kill -9 of the client, by a reset, by an end that only the client hears of, and by a black hole. Both ends
of this hole are well, and TCP goes on, so that only a signal ends the run, SIGTERM or SIGKILL.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.faults.proxy import At, Fault, Moment, Proxy
from tests.faults.scripts import CONCURRENT, FIRST, MIXED, TRANSACTIONAL, Picture, picture, put
from tests.faults.support import LIMIT_S, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from random import Random

    from tests.chance import Figures
    from tests.faults.conftest import Undisturbed
    from tests.faults.support import Process, Processes
    from tests.support import Database, Server, Servers

KILL, WAITED_FOR = "kill", "reset, waited for"
MOMENTS: dict[str, tuple[Moment, ...]] = {
    KILL: tuple(Moment),
    Fault.RESET: (Moment.BEFORE, Moment.SENT, Moment.ANSWERED),
    WAITED_FOR: (Moment.BEFORE, Moment.SENT, Moment.ANSWERED),
    Fault.CUT: (Moment.BEFORE, Moment.SENT, Moment.ANSWERED),
    Fault.HOLE: (Moment.BEFORE, Moment.ANSWERED),
}
SETS = {
    "transactional": {
        "001_first.sql": FIRST,
        "002_file.sql": TRANSACTIONAL.format(2),
        "003_file.sql": TRANSACTIONAL.format(3),
    },
    "mixed": {
        "001_first.sql": FIRST,
        "002_file.sql": CONCURRENT.format(2),
        "003_file.sql": MIXED.format(3),
    },
}
SHARDS = 40
WAITING = """SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'virtualxid'"""


class Case(NamedTuple):
    """What happens where."""

    round_trip: int
    fault: str
    moment: Moment


@dataclass(frozen=True)
class Wire:
    """Runs of one folder, each on a database of its own, and what comes of them.

    Attributes:
        queries: What each round trip of a run begins with.
        expected: What the database holds after an undisturbed run.
    """

    server: Server
    processes: Processes
    folder: Path
    queries: Sequence[str]
    expected: Picture

    def code(self, case: Case) -> int:
        """The exit code of the run that fails so, if it does not come to its end all the same."""
        first_lock = next(number for number, query in enumerate(self.queries, 1) if "pg_try_adv" in query)
        if case.fault == Fault.HOLE and case.moment is Moment.BEFORE:
            return 128 + signal.SIGTERM
        if case.fault in {KILL, Fault.HOLE}:
            return -signal.SIGKILL
        return 0 if case.fault == WAITED_FOR and case.round_trip >= first_lock else 6

    @property
    def cases(self) -> Iterator[Case]:
        """All there are."""
        for round_trip in range(1, len(self.queries) + 1):
            for fault, moments in MOMENTS.items():
                yield from (Case(round_trip, fault, moment) for moment in moments)

    def check(self, case: Case) -> None:
        """Lets one run fail so, and holds what it and the next ones come to."""
        where = f"{case}: {self.queries[case.round_trip - 1]}"
        with self.server.database() as database:
            with self.failed(database, case) as process:
                code = process.wait()
                assert code in {0, self.code(case)}, (where, process.said)
                assert code != 0 or self.is_done(database), (where, process.said)
                other = self.start(database.url, "--wait-lock", 0)
                # If the server does not know yet of the first one's end, it waits for that and nothing else.
                until(lambda: other.has_ended() or database.scalar(WAITING), "it waits for something else")
            code = other.wait()
            held = "error: another runner holds the lock: process " in other.errors.read_text()
            assert code == (5 if held else 0), (where, other.said)
            last = self.run(database.url)
            assert last.wait() == 0, (where, last.said)
            assert picture(database, self.server.binaries) == self.expected, where

    @contextmanager
    def failed(self, database: Database, case: Case) -> Iterator[Process]:
        """A run that the fault has happened to; when this ends, the server hears of that, too."""
        started: SimpleQueue[Process] = SimpleQueue()

        def kill() -> None:
            started.get().kill()

        special: dict[str, Fault | Callable[[], None]] = {KILL: kill, WAITED_FOR: Fault.RESET}
        fault = special.get(case.fault) or Fault(case.fault)
        patience = ["--wait-lock", LIMIT_S]
        patience += ["--retry-connection", LIMIT_S] if case.fault == WAITED_FOR else []
        with Proxy(database.url, At(case.round_trip, case.moment, fault)) as proxy:
            process = self.start(proxy.url, *patience)
            started.put(process)
            until(lambda: proxy.happened.is_set() or process.has_ended(), "nothing happened")
            if case.fault == Fault.HOLE:
                process.kill(signal.SIGTERM if case.moment is Moment.BEFORE else signal.SIGKILL)
            process.wait()
            assert proxy.happened.is_set(), (case, process.said)
            yield process

    def is_done(self, database: Database) -> bool:
        ledger = database.rows("SELECT migration_name FROM schema_migrations ORDER BY id")
        return [row[0] for row in ledger] == self.expected.ledger

    def start(self, url: str, *options: object) -> Process:
        return self.processes.start("run", "--database-url", url, "--migrations", self.folder, *options)

    def run(self, url: str, *options: object) -> Process:
        process = self.start(url, *options)
        process.wait()
        return process


@pytest.fixture(params=SETS)
def wire(
    request: pytest.FixtureRequest,
    servers: Servers,
    processes: Processes,
    undisturbed: Undisturbed,
    tmp_path: Path,
) -> Wire:
    server = servers.get("postgresql-18")
    folder = put(tmp_path / "migrations", SETS[request.param])
    with server.database() as database, Proxy(database.url) as proxy:
        done = processes.run("run", "--database-url", proxy.url, "--migrations", folder)
        assert done.wait() == 0, done.said
    return Wire(server, processes, folder, proxy.queries, undisturbed(server, folder))


@pytest.mark.long
@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_round_trip(wire: Wire, figures: Figures, shard: int) -> None:
    failures = []
    for case in list(wire.cases)[shard::SHARDS]:
        try:
            wire.check(case)
        except AssertionError as error:
            failures.append(str(error))
        figures[f"{case.fault} at a round trip"] += 1
    assert not failures, "\n\n".join(failures)


def test_some_round_trips(wire: Wire, figures: Figures, chance: Random) -> None:
    """The last commit, whatever runs outside of a transaction, and others by chance."""
    commit = max(number for number, query in enumerate(wire.queries, 1) if query.endswith("COMMIT"))
    alone = [
        number for number, query in enumerate(wire.queries, 1) if query.startswith(("CREATE U", "VACUUM"))
    ]
    cases = [Case(commit, fault, Moment.ANSWERED) for fault in MOMENTS]
    cases += [Case(number, fault, Moment.SENT) for number in alone for fault in (KILL, Fault.CUT)]
    cases += chance.sample(list(wire.cases), 6)
    for case in cases:
        wire.check(case)
        figures[f"{case.fault} at a round trip"] += 1
