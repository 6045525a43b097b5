"""The limits that are programs of one's own: `python -m benchmarks.loop WHAT URL [FOLDER]`.

`run` sends each file with its row in one message, in one transaction; `ask` is what a Python that imports
SQLAlchemy takes for one query, and `connect` for none; `hash` reads and hashes the files and does no more;
`service` tells how long `Migrator(engine).run()` takes the processor where everything is there already, and
how long the files of it do;
`profile` writes cProfile's statistics of a run, by time on the processor, without what is loaded for it.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

_LEDGER = (
    "CREATE TABLE IF NOT EXISTS schema_migrations (id serial PRIMARY KEY, migration_name varchar(255) UNIQUE"
    " NOT NULL, applied_at timestamptz DEFAULT now(), checksum varchar(64))"
)
_ROW = "INSERT INTO schema_migrations (migration_name, checksum) VALUES ('{}', '{}')"
TURNS = 9
"""How often `service` runs."""


def run(url: str, folder: Path) -> None:
    """Applies what the ledger does not have."""
    import psycopg  # noqa: PLC0415  # each of these loads what it needs

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_LEDGER)
        there = {name for (name,) in connection.execute("SELECT migration_name FROM schema_migrations")}
        for file in sorted(folder.glob("*.sql")):
            source = file.read_bytes()
            if file.name in there:
                continue
            row = _ROW.format(file.name, hashlib.sha256(source).hexdigest())
            connection.execute(b"BEGIN;\n" + source + b";\n" + row.encode() + b";\nCOMMIT")


def ask(url: str) -> None:
    """Asks for the ledger."""
    import sqlalchemy  # noqa: PLC0415

    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT migration_name, checksum FROM schema_migrations")).all()


def connect(url: str) -> None:
    """Connects as fluxmig does."""
    import sqlalchemy  # noqa: PLC0415

    with sqlalchemy.create_engine(url, use_native_hstore=False).connect():
        pass


def hashes(folder: Path) -> None:
    """Reads and hashes the files."""
    for file in sorted(folder.glob("*.sql")):
        hashlib.sha256(file.read_bytes()).hexdigest()


def service(url: str, folder: Path) -> tuple[float, float]:
    """How many milliseconds of the processor a run takes that has nothing to do, in a process that stays.

    And how many of them it takes to read and hash the files.
    """
    import statistics  # noqa: PLC0415

    from sqlalchemy import create_engine  # noqa: PLC0415

    from fluxmig import Migrator, layouts  # noqa: PLC0415

    migrator, took = Migrator(create_engine(url, use_native_hstore=False), folder), []
    for _ in range(TURNS):
        began = time.process_time()
        layouts.read(folder)
        read = time.process_time()
        migrator.run()
        took.append(((time.process_time() - read) * 1000, (read - began) * 1000))
    whole, of_files = (statistics.median(each) for each in zip(*took, strict=True))
    return whole, of_files


def profile(url: str, folder: Path, to: Path) -> None:
    """Runs the files behind one that does nothing, which has everything loaded."""
    import cProfile  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    from sqlalchemy import create_engine  # noqa: PLC0415

    from fluxmig import Migrator  # noqa: PLC0415

    engine = create_engine(url, use_native_hstore=False)
    with tempfile.TemporaryDirectory() as first:
        Path(first, "001_nothing.sql").write_text("SELECT 1;")
        Migrator(engine, first, table="first_migrations").run()
    profiler = cProfile.Profile(time.process_time)
    profiler.runcall(Migrator(engine, folder).run)
    profiler.dump_stats(to)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", url, folder]:
            run(url, Path(folder))
        case ["ask", url]:
            ask(url)
        case ["connect", url]:
            connect(url)
        case ["hash", folder]:
            hashes(Path(folder))
        case ["service", url, folder]:
            print(*service(url, Path(folder)))  # noqa: T201
        case ["profile", url, folder, to]:
            profile(url, Path(folder), Path(to))
