"""A server without room on its disk, or without memory: a clear failure, logged where that can be.

The full disks are real: a tmpfs of its own, mounted by root, for a tablespace or for all of the data. Where
none can be mounted, these tests are skipped: what only pretends to be full fails in other places.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event
from sqlalchemy.pool import NullPool

from fluxmig import DatabaseConnectionError, MigrationFailedError, Migrator
from tests.faults.own_server import OwnServer, command, own_server
from tests.faults.support import until
from tests.support import cannot_be_had, roomy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.support import Result
    from tests.support import Database, Write

ROOM = "the disk of the server is full: make room there, and run again"
AT_THE_ROW = (
    "This came when its ledger row was written, after every statement had run. Everything is rolled back."
)
NO_MEMORY = "the server has not enough memory: give it more, or do less in one migration"


@contextmanager
def disk(folder: Path, size: str, owner: int) -> Iterator[Path]:
    """A small file system, mounted on a new folder."""
    place = Path(tempfile.mkdtemp(prefix="fluxmig-disk-", dir=folder))
    place.chmod(0o755)
    options = f"size={size},mode=755,uid={owner}"
    mount = shutil.which("mount")
    if os.geteuid() != 0 or not mount:
        cannot_be_had("mounts", "only root can mount a tmpfs")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", options, "fluxmig-test", place],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        cannot_be_had("mounts", f"no tmpfs can be mounted: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
        place.rmdir()


def fill(place: Path, leave: int = 0) -> Path:
    """Takes all room of a small file system but so many bytes, by a file that is to be deleted again."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        while (room := shutil.disk_usage(place).free - leave) > 0:
            file.write(b"\1" * min(room, 2**20))
    return filler


def run(url: str, folder: Path, *args: object) -> Result:
    return command(*(args or ("run",)), "--database-url", url, "--migrations", folder)


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    with own_server(settings={"autovacuum": "off"}) as server:
        server.start()
        yield server


@pytest.fixture(scope="module")
def small(server: OwnServer) -> Iterator[Path]:
    """The place of the tablespace `small`, which has room for 32 pages."""
    with disk(server.folder, "256k", server.account.get("user", os.geteuid())) as place:
        server.rows(f"CREATE TABLESPACE small LOCATION '{place}'")
        yield place
        server.stop()  # its files are open


class Scene:
    """A database with one migration applied."""

    def __init__(self, server: OwnServer, folder: Path, write: Write) -> None:
        self.server, self.folder, self.write, self.name = server, folder, write, server.database()
        self.url = server.url(self.name)
        write({"001_a.sql": "CREATE TABLE a (id integer);"})
        assert run(self.url, folder).code == 0

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return self.server.rows(sql, self.name)

    def move(self, table: str) -> None:
        """Puts a table into the small tablespace; each new row of it needs a new page there."""
        self.rows(f"ALTER TABLE {table} ADD COLUMN filler text DEFAULT repeat('x', 1500)")
        self.rows(f"UPDATE {table} SET filler = repeat('y', 1500)")
        self.rows(f"ALTER TABLE {table} SET (fillfactor = 10)")
        self.rows(f"ALTER TABLE {table} SET TABLESPACE small")

    def records(self) -> list[object]:
        return [row[0] for row in self.rows("SELECT migration_name FROM schema_migrations ORDER BY id")]

    def failures(self) -> list[tuple[object, ...]]:
        return self.rows(
            "SELECT migration_name, error_code, statement_number FROM schema_migrations_log"
            " WHERE event = 'failed' ORDER BY id"
        )

    def is_there(self, name: str) -> bool:
        return self.rows(f"SELECT to_regclass('{name}') IS NOT NULL") == [(True,)]


@pytest.fixture
def scene(server: OwnServer, folder: Path, write: Write) -> Iterator[Scene]:
    scene = Scene(server, folder, write)
    yield scene
    server.rows(f"DROP DATABASE {scene.name} WITH (FORCE)")


# --- the disk ---------------------------------------------------------------------------------------------


def test_no_room_for_a_statement(scene: Scene, small: Path, write: Write) -> None:
    write(
        {
            "002_b.sql": "CREATE TABLE b (id integer) TABLESPACE small;\n"
            "INSERT INTO b SELECT generate_series(1, 50000);",
            "003_c.sql": "CREATE TABLE c (id integer);",
        }
    )
    result = run(scene.url, scene.folder)
    assert result.code == 1
    first, rest = result.err.split("\n", 1)
    assert first.startswith(f'error: {scene.folder}/002_b.sql:2:1: could not extend file "pg_tblspc/')
    assert first.endswith(": No space left on device [53100]")
    assert rest == (
        "in statement 2 of 2: INSERT INTO b SELECT generate_series(1, 50000)\n"
        "  1 | CREATE TABLE b (id integer) TABLESPACE small;\n"
        "  2 | INSERT INTO b SELECT generate_series(1, 50000);\n"
        "    | ^\n"
        "HINT: Check free disk space.\n"
        f"{ROOM}\n"
    )
    assert (scene.records(), scene.is_there("b"), scene.is_there("c")) == (["001_a.sql"], False, False)
    assert scene.failures() == [("002_b.sql", "53100", 2)]


def test_no_room_for_the_ledgers_row(scene: Scene, small: Path, write: Write) -> None:
    write({"002_b.sql": "CREATE TABLE b (id integer);", "002_b.down.sql": "DROP TABLE b;"})
    scene.move("schema_migrations")
    filler = fill(small)
    result = run(scene.url, scene.folder)
    assert result.code == 1
    said = result.err.split("\n", 1)
    assert said[0].startswith(f'error: {scene.folder}/002_b.sql: could not extend file "pg_tblspc/')
    assert said[1] == f"HINT: Check free disk space.\n{AT_THE_ROW}\n{ROOM}\n"
    assert (scene.records(), scene.is_there("b")) == (["001_a.sql"], False)
    assert scene.failures() == [("002_b.sql", "53100", None)]

    result = run(scene.url, scene.folder, "mark", "--all", "--yes")
    assert result.code == 6
    said = result.err.split("\n", 1)
    assert said[0].startswith("error: the server could not go on: could not extend file ")
    assert said[1] == f"{ROOM}\n"
    assert scene.records() == ["001_a.sql"]

    filler.unlink()
    result = run(scene.url, scene.folder)
    assert (result.code, scene.records(), scene.is_there("b")) == (0, ["001_a.sql", "002_b.sql"], True)


def test_no_room_for_the_logs_row(scene: Scene, small: Path, write: Write) -> None:
    """Before a migration, the log is tried; so here the text that it keeps is too much, and no row at all."""
    text = f"-- {random.Random(1).randbytes(60_000).hex()}\nCREATE TABLE b (id integer);"
    write({"002_b.sql": text})
    scene.rows("ALTER TABLE schema_migrations_log SET TABLESPACE small")
    filler = fill(small, leave=3 * 8192)
    result = run(scene.url, scene.folder)
    assert result.code == 1
    said = result.err.split("\n", 1)
    assert said[0].startswith(f'error: {scene.folder}/002_b.sql: could not extend file "pg_tblspc/')
    assert said[1] == f"HINT: Check free disk space.\n{AT_THE_ROW}\n{ROOM}\n"
    assert (scene.records(), scene.is_there("b")) == (["001_a.sql"], False)
    assert scene.failures() == [("002_b.sql", "53100", None)]

    filler.unlink()
    result = run(scene.url, scene.folder)
    assert (result.code, scene.records(), scene.is_there("b")) == (0, ["001_a.sql", "002_b.sql"], True)


def test_no_room_for_the_log_itself(scene: Scene, small: Path, write: Write) -> None:
    """Nothing is run without the log only because its disk is full."""
    write({"002_b.sql": "CREATE TABLE b (id integer);"})
    scene.move("schema_migrations_log")
    filler = fill(small)
    result = run(scene.url, scene.folder)
    assert result.code == 6
    said = result.err.split("\n", 1)
    assert said[0].startswith("error: the server could not go on: could not extend file ")
    assert said[1] == f"{ROOM}\n"
    assert (scene.records(), scene.is_there("b")) == (["001_a.sql"], False)
    filler.unlink()
    assert run(scene.url, scene.folder).code == 0


def test_no_room_for_the_write_ahead_log(folder: Path, write: Write) -> None:
    """The server ends itself, and starts again when there is room."""
    with disk(Path(roomy() or tempfile.gettempdir()), "64m", 0) as place, own_server(place=place) as server:
        server.start()
        name = server.database()
        url = server.url(name)
        write({"001_a.sql": "CREATE TABLE a (id integer);"})
        assert run(url, folder).code == 0
        much = "SELECT count(pg_logical_emit_message(true, 'x', repeat('x', 1000000)))"
        write({"002_b.sql": f"CREATE TABLE b (id integer);\n{much} FROM generate_series(1, 60);"})
        result = run(url, folder)
        assert result.code == 6
        said = result.err.split("\n", 1)
        assert said[0].startswith(
            f"error: the connection was lost in {folder}/002_b.sql: could not write to "
        )
        assert said[0].endswith(": No space left on device [53100]")
        assert said[1] == f"{ROOM}\nThe server rolls the migration back; run again when it is there.\n"
        until(lambda: server.is_down, "it goes on")
        assert "No space left on device" in server.log
        result = run(url, folder)
        assert result.code == 6
        assert result.err.startswith("error: cannot connect to PostgreSQL at the socket ")

        subprocess.run(["mount", "-o", "remount,size=200m", place], check=True)
        server.start()
        assert server.rows("SELECT to_regclass('b') IS NULL", name) == [(True,)]
        assert server.rows("SELECT migration_name FROM schema_migrations", name) == [("001_a.sql",)]
        assert run(url, folder).code == 0
        assert server.rows("SELECT to_regclass('b') IS NULL", name) == [(False,)]


# --- the memory -------------------------------------------------------------------------------------------


def test_out_of_memory(folder: Path, write: Write) -> None:
    """By a limit on the address space of the server's processes, as a container may have one."""
    limit = shutil.which("prlimit")
    if not limit:
        pytest.skip("there is no program prlimit, of util-linux, to limit the server with")
    with own_server(settings={"shared_buffers": "16MB"}) as server:
        server.start(before=[limit, "--as=400000000"])
        url = server.url(name := server.database())
        write({"001_a.sql": "CREATE TABLE a AS SELECT 450000000 AS id;"})
        assert run(url, folder).code == 0
        write({"002_b.sql": "CREATE TABLE b (id integer);\nSELECT length(repeat('x', id)) FROM a;"})
        result = run(url, folder)
        assert result.err == (
            f"error: {folder}/002_b.sql:2:1: out of memory [53200]\n"
            "in statement 2 of 2: SELECT length(repeat('x', id)) FROM a\n"
            "  1 | CREATE TABLE b (id integer);\n"
            "  2 | SELECT length(repeat('x', id)) FROM a;\n"
            "    | ^\n"
            'DETAIL: Failed on request of size 450000004 in memory context "ExprContext".\n'
            f"{NO_MEMORY}\n"
        )
        assert result.code == 1
        assert server.rows("SELECT to_regclass('b') IS NULL", name) == [(True,)]
        failed = "SELECT migration_name, error_code FROM schema_migrations_log WHERE event = 'failed'"
        assert server.rows(failed, name) == [("002_b.sql", "53200")]


def test_no_room_for_locks(folder: Path, write: Write) -> None:
    """Each table that a transaction makes is locked until its end."""
    with own_server() as server:
        server.start({"max_locks_per_transaction": "10", "max_connections": "10"})
        url = server.url(name := server.database())
        tables = "".join(f"CREATE TABLE t{number} ();\n" for number in range(1500))
        write({"001_a.sql": "SELECT 1;", "002_b.sql": tables})
        result = run(url, folder)
        assert result.code == 1
        place = re.match(rf"error: {folder}/002_b\.sql:(\d+):1: out of shared memory \[53200\]\n", result.err)
        assert place
        number = int(place[1])
        assert f"in statement {number} of 1500: CREATE TABLE t{number - 1} ()\n" in result.err
        assert result.err.endswith(
            f'HINT: You might need to increase "max_locks_per_transaction".\n{NO_MEMORY}\n'
        )
        assert server.rows("SELECT count(*) FROM pg_tables WHERE tablename LIKE 't%'", name) == [(0,)]
        assert server.rows("SELECT migration_name FROM schema_migrations", name) == [("001_a.sql",)]


# --- SQLite -----------------------------------------------------------------------------------------------


def test_no_room_for_a_file_of_sqlite(sqlite: Database, folder: Path, write: Write) -> None:
    """By a limit of the file's own; `test_full_disk` has real disks."""
    room = "there is no room on the disk of the file: make some, and run again"
    engine = sqlite.engine(poolclass=NullPool)
    pages = 1

    @event.listens_for(engine, "connect")
    def limit(connection: Any, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    write({"001_a.sql": "CREATE TABLE a (t text);"})
    with pytest.raises(DatabaseConnectionError) as own:
        Migrator(engine, folder).run()
    assert str(own.value) == f"the server could not go on: database or disk is full [SQLITE_FULL]\n{room}"
    assert sqlite.tables() == set()
    pages = 100
    Migrator(engine, folder).run()
    write({"002_b.sql": "INSERT INTO a VALUES (printf('%.*c', 500000, 'x'));"})
    with pytest.raises(MigrationFailedError) as failed:
        Migrator(engine, folder).run()
    assert str(failed.value).endswith(f"\n{room}")
    assert sqlite.rows("SELECT error_code FROM schema_migrations_log WHERE event = 'failed'") == [
        ("SQLITE_FULL",)
    ]
    assert sqlite.rows("SELECT count(*) FROM a, schema_migrations") == [(0,)]
