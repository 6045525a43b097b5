"""How long an application's queries stand still while a migration waits for a table.

A report holds `accounts` by an open transaction; a migration wants to add a column; the application goes on
to read. Its reads queue up behind the migration, which queues up behind the report. Measured is the longest
of them, for `psql` (whose wait has no limit) and for `fluxmig run`, in turn.

    python -m benchmarks.kindness [--held SECONDS] [--lock-timeout SECONDS] [--rounds N]
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psycopg

from fluxmig.embedded import find_binaries, start_embedded

SQL = "ALTER TABLE accounts ADD COLUMN note text;"


def longest_read(url: str, command: list[str], held_s: float) -> tuple[float, float]:
    """The longest of the application's reads, and how long the migration took, in seconds."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("DROP TABLE IF EXISTS accounts, schema_migrations, schema_migrations_log")
        admin.execute("CREATE TABLE accounts AS SELECT generate_series(1, 1000) AS id")
    took: list[float] = []
    done = threading.Event()

    def read() -> None:
        with psycopg.connect(url, autocommit=True) as application:
            while not done.is_set():
                began = time.perf_counter()
                application.execute("SELECT count(*) FROM accounts").fetchone()
                took.append(time.perf_counter() - began)
                time.sleep(0.02)

    reader = threading.Thread(target=read)
    with psycopg.connect(url) as report:
        report.execute("SELECT FROM accounts LIMIT 1")
        reader.start()
        began = time.perf_counter()
        migration = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(held_s)
    code = migration.wait()
    elapsed = time.perf_counter() - began
    done.set()
    reader.join()
    if code:
        sys.exit(f"{command[0]} ended with {code}")
    return max(took), elapsed


def main() -> None:
    """Prints a line a tool."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--held", type=float, default=12.0, help="how long the report holds the table")
    parser.add_argument("--lock-timeout", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluxmig-") as folder:
        Path(folder).chmod(0o755)
        migrations = Path(folder, "migrations")
        migrations.mkdir()
        file = migrations / "001_note.sql"
        file.write_text(SQL)
        with start_embedded(Path(folder, "pg")) as server:
            url = server.url.replace("postgresql+psycopg", "postgresql")
            timeout = str(options.lock_timeout)
            tools = {
                "psql": [str(find_binaries() / "psql"), "-X", "-1", "-f", str(file), url],
                f"fluxmig --lock-timeout {timeout}": [
                    *(sys.executable, "-m", "fluxmig", "run", "--database-url", url),
                    *("--migrations", str(migrations), "--lock-timeout", timeout),
                ],
            }
            seen: dict[str, list[tuple[float, float]]] = {name: [] for name in tools}
            for _ in range(options.rounds):
                for name, command in tools.items():
                    seen[name].append(longest_read(url, command, options.held))
    print(f"the table is held for {options.held:.0f} s; medians of {options.rounds}")
    for name, figures in seen.items():
        read, migration = (statistics.median(column) for column in zip(*figures, strict=True))
        print(f"{name:30} longest read {read:6.2f} s    migration {migration:6.2f} s")


if __name__ == "__main__":
    main()
