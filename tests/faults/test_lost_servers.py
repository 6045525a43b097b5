"""A server that goes away in the middle: terminated, stopped, killed; and comes back.

What a run had done is committed with its ledger row, or not at all, and the next one finishes it. A gate has
the server sleep at a point of the migration or of fluxmig's own statements, and that is where it is ended.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from fluxmig import MigrationFailedError, Migrator
from tests.faults.own_server import (
    FAST_STOP,
    GATE,
    IMMEDIATE_STOP,
    VERSIONS,
    OwnServer,
    command,
    meanwhile,
    own_server,
)
from tests.faults.support import IN_DOUBT, ROLLED_BACK, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fluxmig import Notice
    from tests.cli.support import Result
    from tests.support import Write

SCRIPT = """CREATE TABLE b (id integer);
CREATE CONSTRAINT TRIGGER c AFTER INSERT ON b DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION wait_at('commit');
INSERT INTO b VALUES (1);
SELECT wait_at('statement');
"""
TRIGGERS = """
CREATE TRIGGER w AFTER INSERT ON schema_migrations FOR EACH ROW EXECUTE FUNCTION wait_at('ledger');
CREATE TRIGGER w AFTER INSERT ON schema_migrations_log FOR EACH ROW
  WHEN (NEW.event = 'applied') EXECUTE FUNCTION wait_at('log');
"""

TERMINATED = "terminating connection due to administrator command [57P01]"
CLOSED = "server closed the connection unexpectedly"
SHUTDOWN = "002_b.sql: WARNING: terminating connection due to immediate shutdown command\n"
CRASH = """002_b.sql: WARNING: terminating connection because of crash of another server process
  DETAIL: The postmaster has commanded this server process to roll back the current transaction and exit,\
 because another server process exited abnormally and possibly corrupted shared memory.
  HINT: In a moment you should be able to reconnect to the database and repeat your command.
"""
LOST_OWN = f"error: the connection was lost: {TERMINATED}\nrun it again when the server is there\n"
CANCELLED_OWN = """error: the server could not go on: canceling statement due to user request [57014]
somebody cancelled it on the server, and not fluxmig: run again
"""


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    with own_server() as server:
        server.start()
        yield server


@pytest.fixture(scope="module")
def server_15() -> Iterator[OwnServer]:
    with own_server(VERSIONS["15"]) as server:
        server.start()
        yield server


@dataclass
class Scene:
    """A database with one migration applied and one pending, and gates wherever that one comes by."""

    server: OwnServer
    folder: Path
    name: str = ""

    def command(self, *args: str) -> Result:
        return command(*args, "--database-url", self.server.url(self.name), "--migrations", self.folder)

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return self.server.rows(sql, self.name)

    def close_gate(self, point: str) -> None:
        self.rows(f"INSERT INTO gate VALUES ('{point}')")

    def is_as_before(self) -> None:
        """Nothing of the pending migration is there, and nobody has the lock."""
        assert self.rows("SELECT to_regclass('b'), (SELECT count(*) FROM a)") == [(None, 0)]
        assert self.rows("SELECT migration_name FROM schema_migrations") == [("001_a.sql",)]
        assert self.rows("SELECT event FROM schema_migrations_log") == [("applied",)]
        assert self.server.scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0

    def is_finished_by_the_next_run(self) -> None:
        self.rows("DELETE FROM gate")
        done = self.command("run")
        assert (done.code, done.err) == (0, "")
        assert self.rows("SELECT id FROM b") == [(1,)]
        assert self.rows("SELECT migration_name FROM schema_migrations ORDER BY id") == [
            ("001_a.sql",),
            ("002_b.sql",),
        ]


def prepared(server: OwnServer, folder: Path, write: Write) -> Scene:
    is_back(server)
    write({"001_a.sql": "CREATE TABLE a (id integer);", "001_a.down.sql": "DROP TABLE a;"})
    scene = Scene(server, folder, server.database(GATE))
    assert scene.command("run").code == 0
    scene.rows(TRIGGERS)
    write({"002_b.sql": SCRIPT})
    return scene


@pytest.fixture
def scene(server: OwnServer, folder: Path, write: Write) -> Scene:
    return prepared(server, folder, write)


@pytest.fixture
def scene_15(server_15: OwnServer, folder: Path, write: Write) -> Scene:
    return prepared(server_15, folder, write)


# --- how a server ends a session --------------------------------------------------------------------------


def terminated(server: OwnServer) -> None:
    server.rows(f"SELECT pg_terminate_backend({server.sleeper()}, 60000)")


def stopped_fast(server: OwnServer) -> None:
    server.sleeper()
    server.stop(FAST_STOP)


def stopped_at_once(server: OwnServer) -> None:
    server.sleeper()
    server.stop(IMMEDIATE_STOP)


def killed(server: OwnServer) -> None:
    """As the system does where memory runs out; the server ends all other sessions, too, and starts again."""
    os.kill(server.sleeper(), signal.SIGKILL)


def another_one_killed(server: OwnServer) -> None:
    server.sleeper()
    os.kill(
        server.scalar("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"), signal.SIGKILL
    )


def is_back(server: OwnServer) -> None:
    """Starts the server if it was stopped, and waits until it takes connections."""
    if server.is_down:
        server.start()

    def answers() -> bool:
        try:
            return server.scalar("SELECT true") is True
        except DBAPIError:
            return False

    until(answers, "the server does not come back")


# Where the server does not tell itself that it ends the session, the commit behind the script is in doubt.
ENDS = [
    pytest.param("statement", terminated, "", TERMINATED, ROLLED_BACK, id="terminated"),
    pytest.param("ledger", terminated, "", TERMINATED, ROLLED_BACK, id="terminated-at-the-ledger"),
    pytest.param("log", terminated, "", TERMINATED, ROLLED_BACK, id="terminated-at-the-log"),
    pytest.param("commit", terminated, "", TERMINATED, IN_DOUBT, id="terminated-at-the-commit"),
    pytest.param("statement", stopped_fast, "", TERMINATED, ROLLED_BACK, id="fast"),
    pytest.param("commit", stopped_fast, "", TERMINATED, IN_DOUBT, id="fast-at-the-commit"),
    pytest.param("statement", stopped_at_once, SHUTDOWN, CLOSED, IN_DOUBT, id="immediate"),
    pytest.param("commit", stopped_at_once, SHUTDOWN, CLOSED, IN_DOUBT, id="immediate-at-the-commit"),
    pytest.param("statement", killed, "", CLOSED, IN_DOUBT, id="killed"),
    pytest.param("ledger", killed, "", CLOSED, IN_DOUBT, id="killed-at-the-ledger"),
    pytest.param("statement", another_one_killed, CRASH, CLOSED, IN_DOUBT, id="another-one-killed"),
]


def ended_in_the_middle(
    scene: Scene, point: str, end: Callable[[OwnServer], None], before: str, said: str, remedy: str
) -> None:
    scene.close_gate(point)
    with meanwhile(lambda: end(scene.server)):
        result = scene.command("run")
    assert (
        result.err
        == f"{before}error: the connection was lost in {scene.folder}/002_b.sql: {said}\n{remedy}\n"
    )
    assert (result.code, result.out) == (6, "")
    is_back(scene.server)
    scene.is_as_before()
    scene.is_finished_by_the_next_run()


@pytest.mark.parametrize(("point", "end", "before", "said", "remedy"), ENDS)
def test_ended_in_the_middle(
    scene: Scene, point: str, end: Callable[[OwnServer], None], before: str, said: str, remedy: str
) -> None:
    ended_in_the_middle(scene, point, end, before, said, remedy)


@pytest.mark.parametrize(("point", "end", "before", "said", "remedy"), [ENDS[4], ENDS[6], ENDS[10]])
def test_ended_in_the_middle_on_version_15(
    scene_15: Scene, point: str, end: Callable[[OwnServer], None], before: str, said: str, remedy: str
) -> None:
    ended_in_the_middle(scene_15, point, end, before, said, remedy)


@pytest.mark.parametrize(("end", "said"), [(terminated, TERMINATED), (killed, CLOSED)])
def test_a_down_script_ended_in_the_middle(
    scene: Scene, write: Write, end: Callable[[OwnServer], None], said: str
) -> None:
    """By a rollback; and by a redo, which has it within a savepoint."""
    write({"001_a.down.sql": "DROP TABLE a;\nSELECT wait_at('statement');"})
    for args in (["rollback", "--yes"], ["redo", "--yes"]):
        scene.close_gate("statement")
        with meanwhile(lambda: end(scene.server)):
            result = scene.command(*args)
        assert result.err == (
            f"error: the connection was lost in {scene.folder}/001_a.down.sql: {said}\n{ROLLED_BACK}\n"
        )
        assert result.code == 6
        is_back(scene.server)
        scene.is_as_before()
    scene.is_finished_by_the_next_run()


# --- at fluxmig's own statements --------------------------------------------------------------------------

COMMANDS = (
    *("status", "verify", "plan", "run", "mark --all --yes", "unmark 1 --yes", "adopt --yes"),
    *("rollback --yes", "redo --yes"),
)


@contextmanager
def locked(scene: Scene) -> Iterator[None]:
    """Nobody can read the ledger."""
    engine = create_engine(scene.server.url(scene.name), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE"))
        yield


def waiting(server: OwnServer) -> int:
    """The process of the session that waits for the ledger."""
    until(lambda: server.fluxmig("wait_event_type = 'Lock'"), "nobody waits for the ledger")
    return server.fluxmig("wait_event_type = 'Lock'") or 0


@pytest.mark.parametrize("args", COMMANDS)
def test_ended_where_the_ledger_is_read(scene: Scene, args: str) -> None:
    server = scene.server
    for end, said in (("pg_terminate_backend", LOST_OWN), ("pg_cancel_backend", CANCELLED_OWN)):
        with locked(scene), meanwhile(lambda: server.rows(f"SELECT {end}({waiting(server)})")):  # noqa: B023
            result = scene.command(*args.split())
        assert (result.code, result.err) == (6, said)
    scene.is_as_before()


def test_ended_where_a_record_is_written(scene: Scene) -> None:
    scene.close_gate("ledger")
    with meanwhile(lambda: terminated(scene.server)):
        result = scene.command("mark", "--all", "--yes")
    assert (result.code, result.err) == (6, LOST_OWN)
    scene.is_as_before()


def test_stopped_while_nothing_runs(scene: Scene) -> None:
    """The pool's connection is dead when it is needed next."""
    engine = create_engine(scene.server.url(scene.name))
    migrator = Migrator(engine, scene.folder)
    assert len(migrator.applied()) == 1
    scene.server.stop(FAST_STOP)
    scene.server.start()
    try:
        with pytest.raises(Exception, match=r"^the connection was lost: terminating connection") as caught:
            migrator.run()
        assert getattr(caught.value, "exit_code", None) == 6
        migrator.run()
    finally:
        engine.dispose()
    assert scene.rows("SELECT count(*) FROM schema_migrations") == [(2,)]


def test_a_server_that_is_not_there_for_a_library(scene: Scene) -> None:
    """Without the command line, which would have knocked."""
    engine = create_engine(scene.server.url(scene.name))
    scene.server.stop(FAST_STOP)
    try:
        with pytest.raises(Exception, match=r"^cannot connect: ") as caught:
            Migrator(engine, scene.folder).run()
    finally:
        engine.dispose()
        scene.server.start()
    assert str(caught.value) == (
        f'cannot connect: connection to server on socket "{scene.server.folder}/.s.PGSQL.5432" failed:'
        " No such file or directory\nrun it again when the server is there"
    )
    assert getattr(caught.value, "exit_code", None) == 6


# --- what a clean-up that fails must not hide -------------------------------------------------------------


@pytest.mark.parametrize("first", ["", "-- fluxmig: no-transaction\n"])
def test_the_first_error_counts(scene: Scene, write: Write, first: str) -> None:
    """The session ends between the error of a statement and the ROLLBACK, or what else cleans up."""
    server = scene.server
    write({"002_b.sql": f"{first}DO $$ BEGIN RAISE NOTICE 'now'; RAISE division_by_zero; END $$;"})

    def end(_: Notice) -> None:
        until(lambda: server.fluxmig("state IN ('idle', 'idle in transaction (aborted)')"), "no error")
        server.rows(f"SELECT pg_terminate_backend({server.fluxmig()}, 60000)")

    engine = create_engine(server.url(scene.name, application_name="fluxmig"))
    try:
        with pytest.raises(MigrationFailedError) as caught:
            Migrator(engine, scene.folder).run(on_notice=end)
    finally:
        engine.dispose()
    (failure,) = caught.value.failures
    assert failure.failure
    assert (failure.failure.message, failure.failure.code) == ("division_by_zero", "22012")
    log = "SELECT error_code FROM schema_migrations_log WHERE event = 'failed'"
    assert scene.rows(log) == [("22012",)]
    assert scene.rows("SELECT count(*) FROM schema_migrations") == [(1,)]
    assert server.scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
