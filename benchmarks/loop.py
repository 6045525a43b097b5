"""The limits that are programs of one's own: `python -m benchmarks.loop WHAT URL [FOLDER]`.

`run` sends each file with its row in one message, in one transaction; `ask` is what a Python that imports
SQLAlchemy takes for one query, and `connect` for none; `hash` reads and hashes the files and does no more;
`service` tells how long `Migrator(engine).run()` takes the processor where everything is there already.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import time
from pathlib import Path

_LEDGER = (
    "CREATE TABLE IF NOT EXISTS schema_migrations (id serial PRIMARY KEY, migration_name varchar(255) UNIQUE"
    " NOT NULL, applied_at timestamptz DEFAULT now(), checksum varchar(64))"
)
_ROW = "INSERT INTO schema_migrations (migration_name, checksum) VALUES ('{}', '{}')"
_TURNS = 9


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


def service(url: str, folder: Path) -> float:
    """How many milliseconds of the processor a run takes that has nothing to do, in a process that stays."""
    from sqlalchemy import create_engine  # noqa: PLC0415

    from fluxmig import Migrator  # noqa: PLC0415

    migrator, took = Migrator(create_engine(url), folder), []
    for _ in range(_TURNS):
        began = time.process_time()
        migrator.run()
        took.append((time.process_time() - began) * 1000)
    return statistics.median(took)


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
            print(service(url, Path(folder)))  # noqa: T201
