"""What a fresh migrated database costs a test, with 100 migrations, in turn by each of those who give one.

By hand: CREATE DATABASE ... TEMPLATE, one query, DROP DATABASE, on one connection of psycopg's. The others do
the same for the same query; all on one embedded server that syncs nothing, in memory. pytest-postgresql and
Alembic are left out where they are not installed, the container where no engine answers.

    python -m benchmarks.fresh [--files N] [--rounds N] [--tests N]

It ends with 1 if a limit is not kept: 1.3 times what it costs by hand, for tests that do nothing else; 15 ms
on the path of tests that take 100 ms; 0.5 s, beyond the server's own start, until a session with a template
that is there has its first database.
"""

# ruff: noqa: T201, S608

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from fluxmig import Migrator, scratch
from fluxmig.dialects.postgresql_databases import FAST
from fluxmig.embedded import start_embedded
from fluxmig.errors import FluxmigError
from fluxmig.sweeper import remove_folder
from fluxmig.testing.fixtures import engine as migrated_engine
from fluxmig.testing.session import Options, Session
from fluxmig.testing.templates import Recipe, open_template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fluxmig.scratch import Server

LIMITS = {"times": 1.3, "path_ms": 15.0, "start_s": 0.5}
QUERY = "SELECT count(*) FROM t1"
TEST_S = 0.1
"""How long a test takes that has the next database made meanwhile."""
_names = map("bench_{}".format, itertools.count())


def write_files(folder: Path, count: int) -> None:
    """Writes as many migrations, each with a table, an index and ten rows."""
    for number in range(1, count + 1):
        other = f"REFERENCES t{number - 1} (id)" if number > 1 else ""
        (folder / f"{number:03}_t{number}.sql").write_text(
            f"CREATE TABLE t{number} (id serial PRIMARY KEY, other integer {other}, name text UNIQUE);\n"
            f"CREATE INDEX ON t{number} (other);\n"
            f"INSERT INTO t{number} (name) SELECT g FROM generate_series(1, 10) AS g;\n"
        )


class Contest:
    """All on one server, with one template."""

    def __init__(self, server: Server, files: Path, template: str, tests: int) -> None:
        """Keeps what it is given."""
        self.server, self.files, self.template, self.tests = server, files, template, tests
        self.url = make_url(server.create())
        self.place: dict[str, Any] = {"host": str(self.url.query["host"]), "port": 5432, "user": "postgres"}

    def by_hand(self) -> float:
        """Seconds a test, as somebody would write it."""
        began = time.perf_counter()
        with psycopg.connect(**self.place, dbname="postgres", autocommit=True) as admin:
            for name in itertools.islice(_names, self.tests):
                admin.execute(f"CREATE DATABASE {name} TEMPLATE {self.template} STRATEGY file_copy")
                with psycopg.connect(**self.place, dbname=name) as connection:
                    connection.execute(QUERY)
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        return (time.perf_counter() - began) / self.tests

    def fluxmig(self) -> float:
        """The same by fluxmig; the last one is dropped, too."""
        return self._fluxmig(0.0)[0]

    def fluxmig_path(self) -> float:
        """Seconds on a test's path, from asking to the answer, where the tests take a while."""
        return self._fluxmig(TEST_S)[1]

    def _fluxmig(self, test_s: float) -> tuple[float, float]:
        paths = []
        recipe = Recipe(self.files)
        with ExitStack() as stack:
            template = open_template(stack, self.server, recipe, "bench")
            began = time.perf_counter()
            template.clones.expect(self.tests)
            time.sleep(test_s)
            for _ in range(self.tests):
                asked = time.perf_counter()
                url = template.create()
                with migrated_engine(url) as engine:
                    with engine.connect() as connection:
                        connection.execute(text(QUERY))
                    paths.append(time.perf_counter() - asked)
                    time.sleep(test_s)
                template.drop(url)
            template.clones.close(drop=True)
            took = time.perf_counter() - began
        return took / self.tests, statistics.median(paths)

    def pytest_postgresql(self) -> float:
        """The same by pytest-postgresql's own class, with the template loaded."""
        from pytest_postgresql.janitor import DatabaseJanitor  # noqa: PLC0415  # where it is installed

        began = time.perf_counter()
        for name in itertools.islice(_names, self.tests):
            with (
                DatabaseJanitor(**self.place, dbname=name, template_dbname=self.template),
                psycopg.connect(**self.place, dbname=name) as connection,
            ):
                connection.execute(QUERY)
        return (time.perf_counter() - began) / self.tests

    def replay(self) -> float:
        """An empty database, and all migrations."""
        began = time.perf_counter()
        url = self.server.create()
        engine = create_engine(url)
        Migrator(engine, self.files).run()
        with engine.connect() as connection:
            connection.execute(text(QUERY))
        engine.dispose()
        self.server.drop(url)
        return time.perf_counter() - began

    def alembic(self, server: Server | None = None) -> float:
        """An empty database, and as many revisions of Alembic's, by its library."""
        from alembic import command  # noqa: PLC0415  # where it is installed
        from alembic.config import Config  # noqa: PLC0415

        server = server or self.server
        began = time.perf_counter()
        url = server.create()
        config = Config()
        config.set_main_option("script_location", str(self.files.parent / "alembic"))
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        command.upgrade(config, "head")
        engine = create_engine(url, poolclass=NullPool)
        with engine.connect() as connection:
            connection.execute(text(QUERY))
        server.drop(url)
        return time.perf_counter() - began


ENV = """
from alembic import context
from sqlalchemy import create_engine, pool
engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
from alembic import op
revision, down_revision = {number!r}, {before!r}
def upgrade():
    op.execute({sql!r})
"""


def write_revisions(files: Path) -> None:
    """Writes the same migrations as revisions of Alembic's."""
    versions = files.parent / "alembic" / "versions"
    versions.mkdir(parents=True)
    (versions.parent / "env.py").write_text(ENV)
    before = None
    for path in sorted(files.iterdir()):
        number = path.name[:3]
        content = REVISION.format(number=number, before=before, sql=path.read_text().replace(":", "\\:"))
        (versions / f"{number}.py").write_text(content)
        before = number


def session_starts(files: Path, rounds: int) -> tuple[float, float]:
    """Seconds until a server that has its data answers; and until a session on it has its first database."""
    folder = scratch.shared_folder(f"benchmark {files}")
    options = Options("embedded", Recipe(files), {}, shared=folder, keep=True)

    def session() -> float:
        began = time.perf_counter()
        with Session(options) as made:
            url = made.template(options.recipe).create()
            took = time.perf_counter() - began
            made.template(options.recipe).drop(url)
        return took

    def server() -> float:
        began = time.perf_counter()
        with start_embedded(folder / "pg", options=FAST):
            return time.perf_counter() - began

    try:
        session()
        taken = [(server(), session()) for _ in range(rounds)]
    finally:
        remove_folder(folder, wait=True)
    servers, sessions = zip(*taken, strict=True)
    return statistics.median(servers), statistics.median(sessions)


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured.

    Attributes:
        version: The server's.
        taken: Seconds a test, by contestant, of each round.
        server_s: Until the server answers that has its data.
        first_s: Until a session on it has its first database.
        left_out: Why someone does not take part.
    """

    version: str
    taken: Mapping[str, Sequence[float]]
    server_s: float
    first_s: float
    left_out: Sequence[str]

    @property
    def medians(self) -> dict[str, float]:
        """Seconds a test, by contestant."""
        return {name: statistics.median(seconds) for name, seconds in self.taken.items()}

    @property
    def kept(self) -> dict[str, float]:
        """What each of `LIMITS` is for."""
        medians = self.medians
        return {
            "times": medians["fluxmig"] / medians["by hand"],
            "path_ms": medians["fluxmig, on the path"] * 1000,
            "start_s": self.first_s - self.server_s,
        }


def measured(count: int, rounds: int, tests: int) -> Found:
    """Measures everyone in turn.

    Args:
        count: How many migrations.
        rounds: How often each has its turn.
        tests: How many databases one after the other.
    """
    left_out: list[str] = []
    with tempfile.TemporaryDirectory(prefix="fluxmig-") as folder, ExitStack() as stack:
        files = Path(folder, "migrations")
        files.mkdir()
        write_files(files, count)
        server = stack.enter_context(scratch.open_server("embedded"))
        template = open_template(stack, server, Recipe(files), "bench").name or ""
        contest = Contest(server, files, template, tests)
        contestants: dict[str, Callable[[], float]] = {
            "by hand": contest.by_hand,
            "fluxmig": contest.fluxmig,
            "fluxmig, on the path": contest.fluxmig_path,
            "pytest-postgresql": contest.pytest_postgresql,
            "plain replay": contest.replay,
            "Alembic": contest.alembic,
            "testcontainers + Alembic": lambda: contest.alembic(container),
        }
        if find_spec("pytest_postgresql") is None:
            del contestants["pytest-postgresql"]
            left_out.append("pytest-postgresql is not installed")
        if find_spec("alembic") is None:
            del contestants["Alembic"], contestants["testcontainers + Alembic"]
            left_out.append("Alembic is not installed")
        else:
            write_revisions(files)
            try:
                container = stack.enter_context(scratch.open_server("container"))
            except FluxmigError as error:
                left_out.append(str(error))
                del contestants["testcontainers + Alembic"]
        taken: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, run in contestants.items():
                taken[name].append(run())
        server_s, first_s = session_starts(files, rounds)
        return Found(server.version, taken, server_s, first_s, left_out)


def main() -> None:
    """Prints a line a contestant."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=100, help="how many migrations")
    parser.add_argument("--rounds", type=int, default=7, help="how often each has its turn")
    parser.add_argument("--tests", type=int, default=10, help="how many databases one after the other")
    options = parser.parse_args()
    found = measured(options.files, options.rounds, options.tests)
    print(f"PostgreSQL {found.version}, {options.files} migrations, {options.rounds} rounds in turn")
    for why in found.left_out:
        print(f"left out: {why}")
    medians = found.medians
    for name, seconds in medians.items():
        low, high = min(found.taken[name]), max(found.taken[name])
        times = f"{seconds / medians['by hand']:6.2f} x by hand"
        print(f"{name:26} {seconds * 1000:8.1f} ms ({low * 1000:.1f} to {high * 1000:.1f}) {times}")
    print(f"the server's start {found.server_s:.2f} s; until the first database {found.first_s:.2f} s")
    broken = [
        f"{name}: {value:.2f}, limit {LIMITS[name]}"
        for name, value in found.kept.items()
        if value > LIMITS[name]
    ]
    if broken:
        sys.exit("\n".join(broken))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
