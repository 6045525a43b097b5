"""How fast a large file runs, and what it holds in memory, beside the database's own shell.

    python -m benchmarks.large --mb 200 --kind inserts
    python -m benchmarks.large --mb 1000 --kind copy
    python -m benchmarks.large --mb 200 --kind inserts --url sqlite

`fluxmig run` runs in a process of its own, on a new database of an embedded server. With --url, the database
is that, and its table `large` is dropped before each run; `sqlite` is a new file.
"""

# ruff: noqa: S608, T201

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, make_url, text

from benchmarks.measure import Run
from fluxmig import embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import URL

MEGABYTE = 1_000_000
TABLE = "CREATE TABLE large (id integer, name text, street text, note text, price numeric(10,2));\n"


def copy() -> Iterator[str]:
    """One COPY, as pg_dump writes it."""
    yield TABLE + "\nCOPY large (id, name, street, note, price) FROM stdin;\n"
    for row in itertools.count():
        yield f"{row}\tcustomer {row}\tstreet {row}, it's 100% \\\\x; and on\t\\N\t{row % 10_000}.25\n"


def inserts() -> Iterator[str]:
    """What `pg_dump --inserts` writes."""
    yield TABLE
    for row in itertools.count():
        values = f"{row}, 'customer {row}', 'street {row}, it''s 100% :x; and on', NULL, {row % 10_000}.25"
        yield f"INSERT INTO large VALUES ({values});\n"


def statements() -> Iterator[str]:
    """The shortest statements that are any use."""
    yield TABLE
    yield from itertools.repeat("SELECT 1;\n")


KINDS: dict[str, tuple[Callable[[], Iterator[str]], str]] = {
    "copy": (copy, "\\.\n"),
    "inserts": (inserts, ""),
    "statements": (statements, ""),
}
"""The pieces of each kind, and what stands behind them."""


def write(path: Path, kind: str, size: int) -> int:
    """Writes a file of at least this many bytes, and returns how many."""
    pieces, end = KINDS[kind]
    endless = pieces()
    with path.open("wb") as file:
        while file.tell() < size:
            file.write("".join(itertools.islice(endless, 1000)).encode())
        file.write(end.encode())
        return file.tell()


# What a child has held counts what it was before it became another program: a copy of a small process.
CHILD = """
import os, sys, time
started = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[
    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
])
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def run(command: Sequence[str | Path], environment: Mapping[str, str]) -> Run:
    """Runs a command to its end; the most memory is its own, and not that of a copy of this process."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", CHILD, *command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    wall_s, cpu_s, peak = done.stdout.split()
    unit = 1000 if sys.platform == "darwin" else 1
    return Run(float(wall_s), float(cpu_s), int(peak) // unit)


def report(name: str, size: int, run: Run) -> None:
    """Prints one line."""
    megabytes, seconds, peak = size / MEGABYTE, run.wall_s, run.peak_kb * 1024
    print(
        f"{name:8} {megabytes:6.0f} MB {seconds:7.1f} s {megabytes / seconds:7.1f} MB/s"
        f" {peak / MEGABYTE:7.1f} MB at most, {peak / size:.2f} times the file",
        flush=True,
    )


def shell(url: URL, path: Path) -> list[str | Path] | None:
    """The database's own shell, running a file; None where it is not there."""
    if url.get_backend_name() == "sqlite":
        program = shutil.which("sqlite3")
        return [program, "-bail", str(url.database), f".read {path}"] if program else None
    program = shutil.which("psql", path=embedded.find_binaries()) or shutil.which("psql")
    conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return [program, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", path, conninfo] if program else None


def clear(url: URL) -> None:
    """Drops what an earlier run has made."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for table in ("large", "schema_migrations", "schema_migrations_log"):
            connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
    engine.dispose()


def main() -> None:
    """Measures once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mb", type=int, default=200, help="the size of the file, in millions of bytes")
    parser.add_argument("--kind", choices=KINDS, default="copy", help="what it holds")
    parser.add_argument("--url", help="a database, or sqlite; by default, an embedded PostgreSQL")
    parser.add_argument("--folder", help="where the file and the database are; the system's by default")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder)))
        folder.chmod(0o755)  # for the server's own user, where this runs as root
        if options.url == "sqlite":
            options.url = f"sqlite:///{folder}/large.db"
        if not options.url:
            options.url = stack.enter_context(embedded.start_embedded(folder / "pg")).url
        url = make_url(options.url)
        migrations = folder / "migrations"
        migrations.mkdir()
        size = write(migrations / "001_large.sql", options.kind, options.mb * MEGABYTE)
        fluxmig: list[str | Path] = [sys.executable, "-m", "fluxmig", "run", "--migrations", migrations]
        clear(url)
        report("fluxmig", size, run(fluxmig, {"FLUXMIG_DATABASE_URL": options.url}))
        clear(url)
        if command := shell(url, migrations / "001_large.sql"):
            report(Path(command[0]).name, size, run(command, {}))
            clear(url)
        else:
            print("the database's own shell is not there")


if __name__ == "__main__":
    main()
