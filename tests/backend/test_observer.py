"""Who watches a run sees each statement that runs, and changes nothing of what it does."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from fluxmig import MigrationFailedError, Migrator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from fluxmig.model import Script, Statement
    from tests.support import Database, Write

CONTAINERS = VERSIONS = False


class Watcher:
    """Keeps which statements began, and which of them ended well."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @contextmanager
    def watching(self, connection: Connection, script: Script, statement: Statement) -> Iterator[None]:
        self.seen.append(f"{script.name}:{statement.number}")
        yield
        self.seen[-1] += " ran"


TWO = "CREATE TABLE a (b integer);\nINSERT INTO a VALUES (1);\n"


@pytest.mark.parametrize("head", ["", "-- fluxmig: no-transaction\n"], ids=["transaction", "none"])
def test_each_statement_is_seen_once(database: Database, folder: Path, write: Write, head: str) -> None:
    write({"001_a.sql": head + TWO})
    watcher = Watcher()
    report = Migrator(database.engine(), folder).run(observer=watcher)
    assert watcher.seen == ["001_a.sql:1 ran", "001_a.sql:2 ran"]
    assert [result.outcome.value for result in report.results] == ["applied"]
    assert database.scalar("SELECT count(*) FROM a") == 1


def test_what_fails_is_seen_to_begin(database: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": TWO + "INSERT INTO a VALUES (1, 2);\nSELECT 1;\n"})
    watcher = Watcher()
    with pytest.raises(MigrationFailedError) as caught:
        Migrator(database.engine(), folder).run(observer=watcher)
    assert watcher.seen == ["001_a.sql:1 ran", "001_a.sql:2 ran", "001_a.sql:3"]
    assert caught.value.failures[0].failure is not None
    assert caught.value.failures[0].failure.line == 3


@pytest.mark.savepoints
def test_both_tries_of_what_is_completed_are_seen(database: Database, folder: Path, write: Write) -> None:
    database.rows("CREATE TABLE a (b integer)")
    write({"001_a.sql": TWO})
    watcher = Watcher()
    Migrator(database.engine(), folder, on_duplicate="complete").run(observer=watcher)
    assert watcher.seen[-2:] == ["001_a.sql:1", "001_a.sql:2 ran"]
    assert database.scalar("SELECT count(*) FROM a") == 1


def test_copy_is_seen(postgresql: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (b integer);\nCOPY a FROM stdin;\n1\n2\n\\.\n"})
    watcher = Watcher()
    Migrator(postgresql.engine(), folder).run(observer=watcher)
    assert watcher.seen == ["001_a.sql:1 ran", "001_a.sql:2 ran"]
    assert postgresql.scalar("SELECT count(*) FROM a") == 2
