r"""How many rows a second `fluxmig load` writes, beside psql's \copy and a loop of INSERTs.

The rows are the same: a UUID, two texts, a boolean, a number, an integer, a point in time and an object, into
a table with a primary key; as CSV for psql, as one document and as lines for fluxmig. They take turns, and
what is shown are medians. psql and fluxmig are processes of their own, and their start counts; Python finds
its bytecode, as that of an installed package. The loop is psycopg's, one statement a row in one transaction,
on a tenth of the rows. `--memory MEGABYTES` shows the time and the most memory that it takes to load files of
that size: of lines, of one document, and each of them compressed.

    python benchmarks/load.py [--rows N] [--rounds N] [--memory MEGABYTES]
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from fluxmig.embedded import find_binaries, start_embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TABLE = """
DROP TABLE IF EXISTS people;
CREATE TABLE people (
  id uuid PRIMARY KEY, email text NOT NULL, display_name text NOT NULL, active boolean NOT NULL,
  balance numeric(12, 2), logins integer, created_at timestamptz NOT NULL, settings jsonb
)
"""
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
PART = 10
"""The loop of INSERTs gets one row in so many."""


def records(count: int) -> Iterator[dict[str, Any]]:
    """The rows, as an application of JavaScript would write them."""
    for number in range(count):
        yield {
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))),
            "email": f"person{number}@example.com",
            "displayName": f"Person Number {number}",
            "active": number % 3 == 0,
            "balance": number % 100_000 / 100,
            "logins": number % 1000,
            "createdAt": (FIRST + timedelta(seconds=number)).isoformat().replace("+00:00", "Z"),
            "settings": {"theme": "dark", "size": number % 20},
        }


def row(record: dict[str, Any]) -> list[Any]:
    """The same as CSV and INSERT have it."""
    *plain, settings = record.values()
    return [*plain, json.dumps(settings)]


def write(folder: Path, count: int) -> None:
    """The three files."""
    with (
        (folder / "people.csv").open("w", newline="") as rows,
        (folder / "people.json").open("w") as document,
        (folder / "people.ndjson").open("w") as lines,
    ):
        table = csv.writer(rows)
        for number, record in enumerate(records(count)):
            table.writerow(row(record))
            text = json.dumps(record)
            document.write(f"{',' if number else '['}\n{text}")
            lines.write(f"{text}\n")
        document.write("\n]\n")


def inserts(url: str, folder: Path, count: int) -> None:
    """A statement a row, in one transaction."""
    sql = "INSERT INTO people VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
    with psycopg.connect(url) as connection, (folder / "people.ndjson").open() as lines:
        for _, line in zip(range(count), lines, strict=False):
            connection.execute(sql, row(json.loads(line)))


def large(folder: Path, megabytes: int) -> Iterator[Path]:
    """Files of that size, one at a time: each is gone when the next one is asked for."""
    lines, document = folder / "large.ndjson", folder / "large.json"
    with lines.open("w") as file:
        for record in records(sys.maxsize):
            file.write(f"{json.dumps(record)}\n")
            if file.tell() > megabytes * 1_000_000:
                break
    yield lines
    yield compressed(lines)
    with lines.open() as file, document.open("w") as other:
        other.writelines(f"{',' if number else '['}\n{line}" for number, line in enumerate(file))
        other.write("]\n")
    lines.unlink()
    yield document
    yield compressed(document)


def compressed(path: Path) -> Path:
    """The same file by gzip, quickly."""
    found = path.with_name(f"{path.name}.gz")
    with path.open("rb") as file, gzip.open(found, "wb", compresslevel=1) as other:
        shutil.copyfileobj(file, other, 2**20)
    return found


def memory(path: Path, load: list[str], environment: Mapping[str, str]) -> str:
    """How much the process had at most that loads a file, and for how long it ran."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [*load, path.name, "--into", "people"], cwd=path.parent, env=environment, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    took, size = time.perf_counter() - began, path.stat().st_size / 1_000_000
    peak = f"at most {used.ru_maxrss / 1024:.0f} MB of memory"
    return f"{path.name:18} {size:6.0f} MB, exit code {process.returncode}: {took:.0f} s, {peak}"


def main() -> None:
    """Prints a line a way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluxmig-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        write(folder, options.rows)
        with start_embedded(folder / "pg") as server:
            url = server.url.replace("postgresql+psycopg", "postgresql")
            psql = [str(find_binaries() / "psql"), "-X", "-q", url, "-c", r"\copy people FROM people.csv CSV"]
            load = [sys.executable, "-m", "fluxmig", "--database-url", url, "load"]
            bytecode = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
            environment = {**os.environ, **bytecode}
            tenth = options.rows // PART

            def process(*command: str) -> Callable[[], int]:
                def run() -> int:
                    subprocess.run(
                        command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL
                    )
                    return int(options.rows)

                return run

            def loop() -> int:
                inserts(url, folder, tenth)
                return int(tenth)

            ways: dict[str, Callable[[], int]] = {
                r"psql \copy, CSV": process(*psql),
                "fluxmig load, a document": process(*load, "people.json"),
                "fluxmig load, lines": process(*load, "people.ndjson"),
                "a loop of INSERTs": loop,
            }
            seen: dict[str, list[float]] = {way: [] for way in ways}
            with psycopg.connect(url, autocommit=True) as admin:
                admin.execute(TABLE)
                (folder / "none.json").write_text("[]")
                process(*load, "none.json", "--into", "people")()
                for _ in range(options.rounds):
                    for way, run in ways.items():
                        admin.execute(TABLE)
                        began = time.perf_counter()
                        seen[way].append(run() / (time.perf_counter() - began))
                print(f"{options.rows} rows; medians of {options.rounds}")
                base = statistics.median(next(iter(seen.values())))
                for way, rates in seen.items():
                    rate = statistics.median(rates)
                    between = f"({min(rates):,.0f} to {max(rates):,.0f})"
                    print(f"{way:28} {rate:10,.0f} rows/s   {rate / base:5.2f}   {between}")
                for path in large(folder, options.memory) if options.memory else ():
                    admin.execute(TABLE)
                    print(memory(path, load, environment))
                    if path.suffix == ".gz":
                        path.unlink()


if __name__ == "__main__":
    main()
