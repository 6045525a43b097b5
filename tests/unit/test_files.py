"""Files that many databases share: read once, made ready once, and the same."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from fluxmig import MigrationFileError, Migrator, files
from fluxmig.dialects import dialect_named
from fluxmig.files import Files, prepared

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Database, Write


def test_each_file_is_made_ready_once_for_each_kind_of_database(
    folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write({"001_a.sql": "CREATE TABLE a (b integer);", "001_a.down.sql": "DROP TABLE a;"})
    shared = Files.read(folder)
    (migration,) = shared.folder.migrations
    assert migration.down
    asked = []

    def counting(name: str, *rest: object) -> object:
        asked.append(name)
        return prepared(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "prepared", counting)
    for _ in range(3):
        for dialect in ("postgresql", "sqlite"):
            for file in (migration, migration.down):
                found = shared.script("001_a.sql", file, dialect_named(dialect))
                assert found == prepared("001_a.sql", file, dialect_named(dialect))
    assert len(asked) == 4


def test_the_digest_is_that_of_names_and_bytes(folder: Path, write: Write) -> None:
    seen = set()
    for change in (
        {"001_a.sql": "SELECT 1;"},
        {"001_a.sql": "SELECT 2;"},
        {"001_a.down.sql": "SELECT 3;"},
        {"002_b.sql": "SELECT 2;"},
    ):
        write(change)
        assert Files.read(folder).digest == Files.read(folder).digest
        seen.add(Files.read(folder).digest)
    assert len(seen) == 4


def test_to_another_process_go_the_files(folder: Path, write: Write) -> None:
    write({"001_a.sql": "SELECT 1;"})
    shared = Files.read(folder)
    shared.script("001_a.sql", shared.folder.migrations[0], dialect_named("sqlite"))
    copy = pickle.loads(pickle.dumps(shared))
    assert (copy.digest, copy.folder) == (shared.digest, shared.folder)


def test_what_cannot_be_read_is_refused(folder: Path, write: Write) -> None:
    write({"001_a.sql": b"\xff"})
    with pytest.raises(MigrationFileError):
        Files.read(folder)


def test_a_migrator_takes_them_as_they_were(sqlite: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (b integer);"})
    shared = Files.read(folder)
    write({"002_b.sql": "CREATE TABLE b (c integer);"})
    migrator = Migrator(sqlite.engine(), shared)
    assert [step.name for step in migrator.run().results] == ["001_a.sql"]
    assert [status.name for status in migrator.status()] == ["001_a.sql"]
    assert [step.name for step in Migrator(sqlite.engine(), folder).run().results] == ["002_b.sql"]
