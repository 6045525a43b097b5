"""A network that swallows all: neither side waits for ever, and the next run finishes the job.

Server and client are in network namespaces of the test's own, and the wire between them is cut in the middle.
The time-outs are short, by the URL and by the server's configuration; with those that fluxmig sets by itself
it takes a minute (`long`).
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import TYPE_CHECKING

import pytest

from tests.faults.namespaces import Wire, wire
from tests.faults.own_server import OwnServer, own_server
from tests.faults.support import IN_DOUBT, LIMIT_S, ROLLED_BACK, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import Write

REPOSITORY = Path(__file__).parents[2]
SHORT = "?connect_timeout=4&keepalives_idle=1&keepalives_interval=1&keepalives_count=1"
"""A silent server is given up after 4 seconds, and so is what is sent: fluxmig sees to that."""
STRICT = {
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "1",
    "tcp_user_timeout": "2000",
    "client_connection_check_interval": "500",
}

SLEEPS = "CREATE TABLE b (id integer);\nSELECT pg_sleep(600) WHERE EXISTS (SELECT FROM gate);"
# The server takes a row a millisecond: when the first ones are there, most are still to be sent.
SLOWLY = """CREATE TABLE b (id integer, filler text);
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM gate) THEN PERFORM pg_sleep(0.001); END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER t BEFORE INSERT ON b FOR EACH ROW EXECUTE FUNCTION slowly();
"""
ROWS = 20_000
COPIES = f"{SLOWLY}COPY b FROM stdin;\n" + f"1\t{'x' * 400}\n" * ROWS + "\\.\n"
# libpq sees that the socket is closed, or why it is: who sends may meet either first (fe-misc.c).
CLOSED = "server closed the connection unexpectedly"
SCENES = {
    "while it is silent": (
        SLEEPS,
        "wait_event = 'PgSleep'",
        {"could not receive data from server: Connection timed out"},
    ),
    "while rows are sent": (
        COPIES,
        "EXISTS (SELECT FROM pg_stat_progress_copy WHERE tuples_processed > 0)",
        {"could not send data to server: Connection timed out", CLOSED},
    ),
}
"""What runs, how far it has come when the wire is cut, and what is said of it."""


@pytest.fixture(scope="module")
def network() -> Iterator[tuple[Wire, OwnServer]]:
    """A wire, and a server at one end of it."""
    with wire() as found, own_server() as server:
        hba = server.data / "pg_hba.conf"
        hba.write_text(f"{hba.read_text()}host all all {found.client.address}/32 trust\n")
        yield found, server


@contextmanager
def fluxmig(there: Wire, server: OwnServer, name: str, folder: Path, options: str) -> Iterator[Popen[str]]:
    """`fluxmig run` at the other end of the wire, in a process of its own."""
    url = f"postgresql://postgres@{there.server.address}/{name}{options}"
    command = [*there.client.prefix, sys.executable, "-m", "fluxmig", "run"]
    process = Popen(
        [*command, "--database-url", url, "--migrations", folder],
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def cut_in_the_middle(
    network: tuple[Wire, OwnServer],
    folder: Path,
    write: Write,
    what: str,
    settings: dict[str, str],
    options: str,
) -> tuple[float, float]:
    """How long client and server took to give each other up, in seconds; after a rerun that is good."""
    there, server = network
    script, condition, said = SCENES[what]
    server.start({**settings, "listen_addresses": there.server.address}, before=there.server.prefix)
    name = server.database("CREATE TABLE gate (closed boolean)", "INSERT INTO gate VALUES (true)")
    write({"001_a.sql": "CREATE TABLE a (id integer);", "002_b.sql": script})
    try:
        with fluxmig(there, server, name, folder, options) as process:
            until(lambda: server.fluxmig(condition) or process.poll() is not None, "it does not come so far")
            there.cut()
            cut_at = time.monotonic()
            _, err = process.communicate(timeout=120)
            took_s = time.monotonic() - cut_at
            lost = f"error: the connection was lost in {folder}/002_b.sql: "
            again = IN_DOUBT if what == "while it is silent" else ROLLED_BACK
            assert err.removeprefix(lost).removesuffix(f"\n{again}\n") in said
            assert process.returncode == 6
        until(lambda: server.fluxmig() is None, "the session of the vanished client goes on")
        server_took_s = time.monotonic() - cut_at
        assert server.scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
        assert server.rows("SELECT to_regclass('b')", name) == [(None,)]
        assert server.rows("SELECT migration_name FROM schema_migrations", name) == [("001_a.sql",)]
        server.rows("DELETE FROM gate", name)
        there.mend()
        with fluxmig(there, server, name, folder, options) as process:
            _, err = process.communicate(timeout=LIMIT_S)
            assert (process.returncode, err) == (0, "")
        assert server.rows("SELECT count(*) FROM schema_migrations", name) == [(2,)]
    finally:
        there.mend()
        server.stop()
    return took_s, server_took_s


@pytest.mark.parametrize("what", ["while it is silent", "while rows are sent"])
def test_the_wire_is_cut(network: tuple[Wire, OwnServer], folder: Path, write: Write, what: str) -> None:
    took_s, _ = cut_in_the_middle(network, folder, write, what, STRICT, SHORT)
    assert took_s > 1, "it was the cut that ended it"


@pytest.mark.long
@pytest.mark.parametrize("what", ["while it is silent", "while rows are sent"])
def test_what_fluxmig_sets(network: tuple[Wire, OwnServer], folder: Path, write: Write, what: str) -> None:
    """About a minute, on both sides; by themselves they take a quarter of an hour, or two hours."""
    for took_s in cut_in_the_middle(network, folder, write, what, {}, ""):
        assert 30 < took_s < 100
