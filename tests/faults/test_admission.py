"""Servers that admit nobody for the time being, or nobody who writes: what is said, and what helps."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from tests.faults.own_server import SMART_STOP, STANDBY, VERSIONS, OwnServer, command, meanwhile, own_server
from tests.faults.support import until
from tests.support import roomy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from tests.cli.support import Result
    from tests.support import Write

WAIT = 50
"""Seconds for --wait, where something is to happen meanwhile."""

STARTING = "--wait SECONDS waits for a server that is starting"
FULL = "close other connections, or raise the server's limit; --wait SECONDS waits for a free one"
IS_STANDBY = """the server is a standby, and admits no writing
{}connect to the primary; of several hosts in the URL, target_session_attrs=read-write behind the ? takes the\
 one that it is
"""
FILES = {
    "001_a.sql": "CREATE TABLE a (id integer);",
    "001_a.down.sql": "DROP TABLE a;",
    "002_b.sql": "SELECT 1;",
}


@pytest.fixture(scope="module")
def data() -> Iterator[OwnServer]:
    with own_server() as server:
        yield server


@pytest.fixture
def server(data: OwnServer) -> Iterator[OwnServer]:
    """A server that is down, for a test to start as it needs it."""
    yield data
    data.stop()
    for name in ("standby.signal", "recovery.signal"):
        (data.data / name).unlink(missing_ok=True)


@pytest.fixture
def server_15() -> Iterator[OwnServer]:
    with own_server(VERSIONS["15"]) as server:
        yield server


@pytest.fixture
def files(folder: Path, write: Write) -> Path:
    write(FILES)
    return folder


def run(url: str, files: Path, *args: object) -> Result:
    return command(*(args or ("run",)), "--database-url", url, "--migrations", files)


def cannot_connect(server: OwnServer, said: str, remedy: str, user: str = "postgres") -> str:
    """The error of somebody whom the server has answered."""
    return (
        f"error: cannot connect to PostgreSQL at the socket {server.folder}/.s.PGSQL.5432,"
        f" database postgres, user {user}: {said}\n{remedy}\n"
    )


# --- not now ----------------------------------------------------------------------------------------------


def test_a_server_that_is_starting(server: OwnServer, files: Path) -> None:
    """It restores from an archive, and that takes as long as the test wants."""
    hold = server.folder / "hold"
    hold.touch()
    (server.data / "recovery.signal").touch()
    server.launch({"restore_command": f"while test -e {hold}; do sleep 0.02; done; false"})
    until((server.folder / ".s.PGSQL.5432").exists, "it does not listen")
    result = run(server.url(), files)
    assert (result.code, result.out) == (6, "")
    assert result.err == cannot_connect(server, "the database system is starting up", STARTING)

    refused = server.log.count("FATAL:  the database system is starting up")

    def go_on() -> None:
        until(lambda: server.log.count("FATAL:  the database system is starting up") > refused, "nobody came")
        hold.unlink()

    with meanwhile(go_on):
        result = run(server.url(), files, "run", "--wait", WAIT)
    assert (result.code, result.err) == (0, "")


def test_a_server_that_is_shutting_down(server: OwnServer, files: Path) -> None:
    """It waits for a session to end, and comes back afterwards."""
    server.start()
    with session(server) as connection:
        server.signal(SMART_STOP)
        until(lambda: "received smart shutdown request" in server.log, "it does not stop")
        result = run(server.url(), files)
        assert (result.code, result.out) == (6, "")
        assert result.err == cannot_connect(server, "the database system is shutting down", STARTING)
        refused = server.log.count("FATAL:  the database system is shutting down")

        def come_back() -> None:
            until(
                lambda: server.log.count("FATAL:  the database system is shutting down") > refused,
                "nobody came",
            )
            connection.close()
            until(lambda: server.is_down, "it does not stop")
            server.start()

        with meanwhile(come_back):
            result = run(server.url(), files, "run", "--wait", WAIT)
    assert result.code == 0


@contextmanager
def session(server: OwnServer, user: str = "postgres") -> Iterator[Connection]:
    with create_engine(server.url(user=user), poolclass=NullPool).connect() as connection:
        yield connection


def too_many_connections(server: OwnServer, files: Path, kept: str) -> None:
    """All of them; and all but those that are kept for superusers."""
    server.start({"max_connections": "4", "superuser_reserved_connections": "1", "autovacuum": "off"})
    server.rows("CREATE ROLE grace LOGIN; GRANT ALL ON SCHEMA public TO grace")
    with ExitStack() as sessions:
        one, *_ = [sessions.enter_context(session(server, "grace")) for _ in range(3)]
        result = run(server.url(user="grace"), files)
        assert result.code == 6
        assert result.err == cannot_connect(
            server, f"remaining connection slots are reserved for {kept}", FULL, "grace"
        )
        sessions.enter_context(session(server))
        result = run(server.url(), files)
        assert result.code == 6
        assert result.err == cannot_connect(server, "sorry, too many clients already", FULL)
        refused = server.log.count("FATAL: ")

        def leave() -> None:
            until(lambda: server.log.count("FATAL: ") > refused, "nobody came")
            one.close()

        with meanwhile(leave):
            result = run(server.url(), files, "run", "--wait", WAIT)
    assert (result.code, result.err) == (0, "")


def test_too_many_connections(server: OwnServer, files: Path) -> None:
    too_many_connections(server, files, "roles with the SUPERUSER attribute")
    server.rows(
        "DROP OWNED BY grace; DROP ROLE grace; DROP TABLE a, schema_migrations, schema_migrations_log"
    )


def test_too_many_connections_on_version_15(server_15: OwnServer, files: Path) -> None:
    too_many_connections(server_15, files, "non-replication superuser connections")


# --- nobody who writes ------------------------------------------------------------------------------------


@contextmanager
def standby_of(server: OwnServer) -> Iterator[OwnServer]:
    """A hot standby of the server's own making, which follows it."""
    folder = Path(tempfile.mkdtemp(prefix="fluxmig-own-", dir=roomy()))
    settings = {**server.settings, "log_connections": "on"}
    standby = OwnServer(folder, server.binaries, server.account, settings)
    try:
        folder.chmod(0o755)
        if server.account:
            shutil.chown(folder, server.account["user"], server.account["group"])
        standby.run("pg_basebackup", "-R", "-c", "fast", "-h", server.folder, "-U", "postgres", "--no-sync")
        standby.start()
        yield standby
    finally:
        standby.close()
        shutil.rmtree(folder, ignore_errors=True)


WRITING = ("run", "mark --all --yes", "unmark 1 --yes", "rollback --yes", "redo --yes", "accept 1 --yes")


def test_a_standby(server: OwnServer, files: Path, write: Write) -> None:
    server.start()
    name = server.database()
    assert run(server.url(name), files, "run", "--to", "1").code == 0
    write({"001_a.sql": "CREATE TABLE a (id integer); -- edited"})
    with standby_of(server) as standby:
        before = standby.log
        for args in WRITING:
            result = run(standby.url(name), files, *args.split())
            assert result.code == 2, args
            assert result.err.endswith("error: " + IS_STANDBY.format("")), args
            assert "[ ]" not in result.out, "nothing was begun"
        tried = standby.log.removeprefix(before)
        assert "ERROR" not in tried
        assert "FATAL" not in tried

        for args in ("status", "plan", "log", "run --dry-run"):
            assert run(standby.url(name), files, *args.split()).code == 0, args
        result = run(standby.url(name), files, "verify")
        assert result.code == 2
        assert "problem: " + IS_STANDBY.format("  ") in result.out
        write(FILES)

        # the way out, and the time between
        url = f"postgresql://postgres@/{name}?host={standby.folder}&host={server.folder}"
        result = run(f"{url}&target_session_attrs=read-write", files)
        assert (result.code, result.err) == (0, "")
        until(
            lambda: standby.scalar("SELECT count(*) FROM schema_migrations", name) == 2, "it does not follow"
        )
        result = run(standby.url(name), files)  # where nothing is to be done, nothing is refused
        assert (result.code, result.err) == (0, "")

        alone = standby.url(name, target_session_attrs="read-write")
        result = run(alone, files)
        assert result.code == 6
        assert result.err == (
            f"error: cannot connect to PostgreSQL at the socket {standby.folder}/.s.PGSQL.5432:"
            " session is read-only\n"
            "connect to the primary; --wait SECONDS waits for a standby to become it\n"
        )
        write({"003_c.sql": "SELECT 1;"})
        asked = standby.log.count("connection authorized")

        def promote() -> None:
            until(lambda: standby.log.count("connection authorized") > asked, "nobody came")
            assert standby.scalar("SELECT pg_promote()")

        with meanwhile(promote):
            result = run(alone, files, "run", "--wait", WAIT)
        assert (result.code, result.err) == (0, "")


def test_a_standby_that_admits_nobody(server: OwnServer, files: Path) -> None:
    (server.data / "standby.signal").touch()
    server.start({"hot_standby": "off"})
    assert server.status() == STANDBY
    result = run(server.url(), files, "run", "--wait", WAIT)  # for which nobody waits
    assert result.code == 6
    said = "the database system is not accepting connections"
    assert result.err == cannot_connect(
        server, said, "it is a standby that admits nobody: connect to the primary"
    )


READ_ONLY = "default_transaction_read_only"


@pytest.mark.parametrize(
    ("setting", "where", "way_out"),
    [
        ("ALTER ROLE ada SET {} = on", "for the user ada", "ALTER ROLE ada RESET {}"),
        (
            "ALTER DATABASE {database} SET {} = on",
            "for the database {database}",
            "ALTER DATABASE {database} RESET {}",
        ),
        (
            "ALTER ROLE ada IN DATABASE {database} SET {} = on",
            "for the user ada in the database {database}",
            "ALTER ROLE ada IN DATABASE {database} RESET {}",
        ),
        ("ALTER SYSTEM SET {} = on", "in the server's configuration", "set it to off there"),
        ("", "in the URL's options, or in PGOPTIONS", "take it out there"),
    ],
    ids=["role", "database", "role in database", "server", "options"],
)
def test_a_login_that_may_only_read(
    server: OwnServer, files: Path, setting: str, where: str, way_out: str
) -> None:
    server.start()
    server.rows("DROP ROLE IF EXISTS ada")
    server.rows("CREATE ROLE ada LOGIN SUPERUSER")
    name = server.database()
    options = {} if setting else {"options": f"-c {READ_ONLY}=on"}
    if setting:
        server.rows(setting.format(READ_ONLY, database=name))
    server.rows("SELECT pg_reload_conf()")
    url = server.url(name, "ada", **options)
    try:
        until(lambda: run(url, files, "verify").code == 2, "the setting is not in force")
        said = f"nothing can be written: {READ_ONLY} is on {where.format(database=name)}\n"
        said += "{}" + f"{way_out.format(READ_ONLY, database=name)}, or take another login\n"
        assert "problem: " + said.format("  ") in run(url, files, "verify").out
        result = run(url, files)
        assert (result.code, result.out, result.err) == (2, "", "error: " + said.format(""))
        assert server.rows("SELECT count(*) FROM pg_class WHERE relname LIKE 'schema_migrations%'", name) == [
            (0,)
        ]
    finally:
        server.stop()
        (server.data / "postgresql.auto.conf").write_text("")
