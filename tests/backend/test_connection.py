"""How a connection fails, on real servers: the exact line, the way out, the exit code.

The embedded server has only a socket. A `Door` is a TCP port before it, so that the server's own words come
over TCP; what a door says by itself (that the server is starting, silence) is marked as said by the door.
Passwords are asked for by two lines in the server's pg_hba.conf. A container has TCP and passwords by itself.
"""

from __future__ import annotations

import contextlib
import select
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from fluxmig.connect import reach
from fluxmig.errors import ConfigError, DatabaseConnectionError, FluxmigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import Database, Server, Servers

PASSWORD = "hunter2"
_CHUNK = 65536
_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104  # manual, 54.7 Message Formats

SSL_REMEDY = (
    "check sslmode and sslrootcert; in production SSL is required unless the URL says sslmode=disable"
)
PASSWORD_REMEDY = "check user and password in the URL"
REFUSED = "Connection refused\nis the server running there? --wait SECONDS waits for one"


def refusal(url: URL | str, *, kind: type[FluxmigError] = DatabaseConnectionError, **options: object) -> str:
    """What `reach` says of a URL that it cannot reach; never the password."""
    given = url if isinstance(url, str) else url.render_as_string(hide_password=False)
    with pytest.raises(kind) as caught, reach(given, **options):  # type: ignore[arg-type]
        pass
    assert caught.value.exit_code == {DatabaseConnectionError: 6, ConfigError: 2}[kind]
    said = str(caught.value)
    assert PASSWORD not in said
    return said


def answers(url: URL | str, **options: object) -> bool:
    given = url if isinstance(url, str) else url.render_as_string(hide_password=False)
    with reach(given, **options) as engine, engine.connect() as connection:  # type: ignore[arg-type]
        return bool(connection.scalar(text("SELECT 1")))


# --- doors ------------------------------------------------------------------------------------------------


class Door(socketserver.ThreadingTCPServer):
    """A TCP port on 127.0.0.1 before a server's socket.

    Attributes:
        socket_path: The server's socket.
        replies: What the door says by itself to the first clients, one each: an error of PostgreSQL's as
            (SQLSTATE, message), or None to close without a word.
        tls: With what the door speaks TLS; the server behind has none.
        is_open: Whether it listens, or has done so.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self,
        socket_path: Path,
        *,
        replies: tuple[tuple[str, str] | None, ...] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Visitor, bind_and_activate=False)
        self.socket_path, self.replies, self.tls = socket_path, list(replies), tls
        self.is_open = False
        self.server_bind()  # clients are refused until it listens

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def open(self) -> None:
        self.server_activate()
        self.is_open = True
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is the client's affair."""


class _Visitor(socketserver.BaseRequestHandler):
    server: Door

    def handle(self) -> None:
        client: socket.socket = self.request
        if self.server.replies:
            self._reply(client, self.server.replies.pop(0))
            return
        with contextlib.ExitStack() as stack:
            if self.server.tls:
                assert struct.unpack("!ii", client.recv(8))[1] == _SSL_REQUEST
                client.sendall(b"S")
                client = stack.enter_context(self.server.tls.wrap_socket(client, server_side=True))
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            server.connect(str(self.server.socket_path))
            self._pump(client, server)

    @staticmethod
    def _pump(client: socket.socket, server: socket.socket) -> None:
        while True:
            pending = isinstance(client, ssl.SSLSocket) and client.pending()
            ready = [client] if pending else select.select([client, server], [], [])[0]
            for one in ready:
                data = one.recv(_CHUNK)
                if not data:
                    return
                (server if one is client else client).sendall(data)

    @staticmethod
    def _reply(client: socket.socket, reply: tuple[str, str] | None) -> None:
        if reply is None:
            return
        while struct.unpack("!ii", client.recv(8))[1] in {_SSL_REQUEST, _GSS_REQUEST}:
            client.sendall(b"N")
        fields = b"".join(
            key + value.encode() + b"\0"
            for key, value in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", reply[0]), (b"M", reply[1]))
        )
        client.sendall(b"E" + struct.pack("!i", len(fields) + 5) + fields + b"\0")
        client.recv(_CHUNK)


# --- a server ---------------------------------------------------------------------------------------------

ROLES = {
    "fluxmig_ada": f"LOGIN PASSWORD '{PASSWORD}'",
    "fluxmig_shut": "LOGIN",
    "fluxmig_full": "LOGIN CONNECTION LIMIT 0",
    "fluxmig_group": "NOLOGIN",
    "fluxmig_guest": "LOGIN",
}


@pytest.fixture(scope="module")
def server(servers: Servers) -> Iterator[Server]:
    """The embedded server, with roles that it treats in different ways."""
    found = servers.get("postgresql-18")
    admin = create_engine(found.admin_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        hba = Path(connection.scalar(text("SHOW hba_file")) or "")
        before = hba.read_text()
        hba.write_text(
            f"local all fluxmig_ada scram-sha-256\nlocal all fluxmig_shut reject\n{before}", encoding="utf-8"
        )
        connection.execute(text("SELECT pg_reload_conf()"))
        for name, options in ROLES.items():
            connection.execute(text(f"CREATE ROLE {name} {options}"))
    yield found
    with admin.connect() as connection:
        for name in ROLES:
            connection.execute(text(f"DROP ROLE {name}"))
        hba.write_text(before)
        connection.execute(text("SELECT pg_reload_conf()"))


@pytest.fixture
def local(server: Server, one_postgresql: Database) -> URL:
    """A fresh database behind the server's socket, as the superuser."""
    return make_url(one_postgresql.url)


@pytest.fixture
def socket_path(local: URL) -> Path:
    return Path(str(local.query["host"]), f".s.PGSQL.{local.query.get('port', 5432)}")


@pytest.fixture
def doors(socket_path: Path) -> Iterator[list[Door]]:
    made: list[Door] = []
    yield made
    for door in made:
        if door.is_open:  # else there is no loop to end, and `shutdown` would wait for it for ever
            door.shutdown()
        door.server_close()


@pytest.fixture
def door(doors: list[Door], socket_path: Path) -> Door:
    doors.append(Door(socket_path))
    doors[0].open()
    return doors[0]


@pytest.fixture
def remote(local: URL, door: Door) -> URL:
    """The same database over TCP, in clear."""
    return local.set(host="127.0.0.1", port=door.port, query={"sslmode": "disable"})


def place(url: URL) -> str:
    """Where the server has answered."""
    return f"{port_of(url)}, database {url.database}, user {url.username}"


def port_of(url: URL) -> str:
    """Where it has not: database and user are no more than what the URL was taken for."""
    return f"cannot connect to PostgreSQL at 127.0.0.1:{url.port}"


# --- the server's own words -------------------------------------------------------------------------------


def test_it_can_be_reached(local: URL, remote: URL) -> None:
    assert answers(local)
    assert answers(remote)
    assert answers(remote.set(username="fluxmig_ada", password=PASSWORD))
    assert answers(local.set(username="fluxmig_ada", password=PASSWORD))


@pytest.mark.parametrize("password", ["wrong", "hunter", "p@ss:w/rd?#%", "größe", "fluxmig_ada"])
def test_wrong_password(password: str, remote: URL) -> None:
    url = remote.set(username="fluxmig_ada", password=password)
    assert refusal(url) == (
        f'{place(url)}: password authentication failed for user "fluxmig_ada"\n{PASSWORD_REMEDY}'
    )


def test_wrong_password_on_a_socket(local: URL, socket_path: Path) -> None:
    url = local.set(username="fluxmig_ada", password="wrong")
    assert refusal(url) == (
        f"cannot connect to PostgreSQL at the socket {socket_path}, database {url.database},"
        ' user fluxmig_ada: password authentication failed for user "fluxmig_ada"\n'
        f"{PASSWORD_REMEDY}"
    )


def test_no_password(remote: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", "/nowhere")
    url = remote.set(username="fluxmig_ada")
    assert refusal(url) == f"{port_of(url)}: fe_sendauth: no password supplied\n{PASSWORD_REMEDY}"


def test_unknown_database(remote: URL) -> None:
    url = remote.set(database="nowhere")
    assert refusal(url) == (
        f'{place(url)}: database "nowhere" does not exist\ncreate the database, or check its name in the URL'
    )


def test_unknown_role(remote: URL) -> None:
    url = remote.set(username="nobody_here", password=PASSWORD)
    assert refusal(url) == (
        f'{place(url)}: role "nobody_here" does not exist\ncheck the user in the URL, or create it'
    )


def test_a_role_that_may_not_log_in(remote: URL) -> None:
    url = remote.set(username="fluxmig_group")
    assert refusal(url) == (
        f'{place(url)}: role "fluxmig_group" is not permitted to log in\n'
        "ALTER ROLE ... LOGIN, or take another user"
    )


def test_no_connect_privilege(remote: URL, one_postgresql: Database) -> None:
    url = remote.set(username="fluxmig_guest")
    assert answers(url)
    one_postgresql.rows(f"REVOKE CONNECT ON DATABASE {url.database} FROM PUBLIC")
    assert refusal(url) == (
        f'{place(url)}: permission denied for database "{url.database}"\n'
        "GRANT CONNECT ON DATABASE ... TO this user"
    )


def test_too_many_connections_of_a_role(remote: URL) -> None:
    url = remote.set(username="fluxmig_full")
    assert refusal(url) == (
        f'{place(url)}: too many connections for role "fluxmig_full"\n'
        "close other connections, or raise the server's limit; --wait SECONDS waits for a free one"
    )


def test_too_many_connections_to_a_database(remote: URL, one_postgresql: Database) -> None:
    url = remote.set(username="fluxmig_guest")
    one_postgresql.rows(f"ALTER DATABASE {url.database} CONNECTION LIMIT 0")
    assert refusal(url) == (
        f'{place(url)}: too many connections for database "{url.database}"\n'
        "close other connections, or raise the server's limit; --wait SECONDS waits for a free one"
    )


def test_rejected_by_pg_hba(remote: URL) -> None:
    url = remote.set(username="fluxmig_shut")
    assert refusal(url) == (
        f'{place(url)}: pg_hba.conf rejects connection for host "[local]", user "fluxmig_shut",'
        f' database "{url.database}", no encryption\n'
        "the server does not admit this host, user, database or encryption; see its pg_hba.conf"
    )


# --- nobody there -----------------------------------------------------------------------------------------


def test_refused() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        said = refusal(f"postgresql://ada:{PASSWORD}@127.0.0.1:{port}/studio")
    assert said == f"cannot connect to PostgreSQL at 127.0.0.1:{port}: {REFUSED}"


def test_refused_by_name() -> None:
    said = refusal(f"postgresql://ada:{PASSWORD}@localhost:1/studio")
    assert said == f"cannot connect to PostgreSQL at localhost:1: {REFUSED}"


def test_refused_by_every_host() -> None:
    said = refusal(f"postgresql://ada:{PASSWORD}@/studio?host=127.0.0.1:1&host=127.0.0.1:2")
    assert said == f"cannot connect to PostgreSQL at 127.0.0.1:2: {REFUSED}"


def test_no_socket(tmp_path: Path) -> None:
    said = refusal(f"postgresql://ada:{PASSWORD}@/studio?host={tmp_path}")
    assert said == (
        f"cannot connect to PostgreSQL at the socket {tmp_path}/.s.PGSQL.5432:"
        " No such file or directory\nis the server running there? --wait SECONDS waits for one"
    )


def test_no_folder_of_a_socket() -> None:
    """What is not there may be anything."""
    said = refusal(f"postgresql://ada:{PASSWORD}@/studio?host=/nowhere")
    assert said == (
        "cannot connect to PostgreSQL at its socket:"
        " No such file or directory\nis the server running there? --wait SECONDS waits for one"
    )


def test_a_host_that_does_not_resolve() -> None:
    """Likewise."""
    said = refusal(f"postgresql://ada:{PASSWORD}@db.invalid/studio")
    assert said == (
        "cannot connect to PostgreSQL: the host name in the URL is not known\ncheck the host name in the URL"
    )


def test_silence() -> None:
    """Said by the door: nothing. libpq waits two seconds at least, and without the URL's word for ever."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        said = refusal(f"postgresql://ada:{PASSWORD}@127.0.0.1:{port}/studio?connect_timeout=2")
    assert said == (
        f"cannot connect to PostgreSQL at 127.0.0.1:{port}:"
        " connection timeout expired\ncheck host and port, and whether a firewall is in between"
    )
    assert time.monotonic() - started > 1.5


def test_hung_up(doors: list[Door], socket_path: Path, local: URL) -> None:
    """Said by the door: the end of the connection."""
    doors.append(Door(socket_path, replies=(None,)))
    doors[0].open()
    url = local.set(host="127.0.0.1", port=doors[0].port, query={"sslmode": "disable"})
    assert refusal(url) == (
        f"{port_of(url)}: server closed the connection unexpectedly\n--wait SECONDS has it tried again"
    )


# --- waiting ----------------------------------------------------------------------------------------------


def test_wait_for_a_port(doors: list[Door], socket_path: Path, local: URL) -> None:
    door = Door(socket_path)
    doors.append(door)
    url = local.set(host="127.0.0.1", port=door.port, query={"sslmode": "disable"})
    assert refusal(url) == f"{port_of(url)}: {REFUSED}"
    timer = threading.Timer(2, door.open)
    started = time.monotonic()
    timer.start()
    assert answers(url, wait_s=3600)  # and no longer than it takes, or the test would be ended
    assert time.monotonic() - started > 1.9
    timer.join()


STARTING = ("57P03", "the database system is starting up")
AWAY = ("08P01", "server login has been failing, try again later (server_login_retry)")
AWAY_REMEDY = (
    "a pooler is in between, and has no connection to the server: is that up, and the pool large enough?"
)


@pytest.mark.parametrize("said", [STARTING, AWAY], ids=["PostgreSQL", "PgBouncer"])
def test_wait_for_a_server_that_is_starting(
    doors: list[Door], socket_path: Path, local: URL, said: tuple[str, str]
) -> None:
    """Said by the door, in PostgreSQL's words, or a pooler's: twice that it is starting."""
    doors.append(Door(socket_path, replies=(said, said)))
    doors[0].open()
    url = local.set(host="127.0.0.1", port=doors[0].port, query={})
    assert answers(url, wait_s=30)
    assert doors[0].replies == []


def test_a_server_that_is_starting_and_nobody_waits(doors: list[Door], socket_path: Path, local: URL) -> None:
    """Said by the door, in PostgreSQL's words."""
    doors.append(Door(socket_path, replies=(STARTING,)))
    doors[0].open()
    url = local.set(host="127.0.0.1", port=doors[0].port, query={})
    assert refusal(url) == (
        f"{place(url)}: the database system is starting up\n"
        "--wait SECONDS waits for a server that is starting"
    )


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (AWAY, AWAY_REMEDY),
        (
            ("08P01", "no more connections allowed (max_client_conn)"),
            "close other connections, or raise the server's limit; --wait SECONDS waits for a free one",
        ),
    ],
)
def test_a_pooler_without_a_connection(
    doors: list[Door], socket_path: Path, local: URL, said: tuple[str, str], remedy: str
) -> None:
    """Said by the door, in PgBouncer's words."""
    doors.append(Door(socket_path, replies=(said,)))
    doors[0].open()
    url = local.set(host="127.0.0.1", port=doors[0].port, query={})
    assert refusal(url) == f"{place(url)}: {said[1]}\n{remedy}"


def test_waiting_ends() -> None:
    started = time.monotonic()
    said = refusal(f"postgresql://ada:{PASSWORD}@127.0.0.1:1/studio", wait_s=1)
    assert said.endswith(REFUSED)
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize(
    "change", [{"username": "fluxmig_ada", "password": "wrong"}, {"database": "nowhere"}, {"username": "x"}]
)
def test_no_wait_for_what_waiting_does_not_mend(change: dict[str, str], remote: URL) -> None:
    refusal(remote.set(**change), wait_s=3600)  # type: ignore[arg-type]  # or the test would be ended


# --- SSL --------------------------------------------------------------------------------------------------


def test_ssl_is_required_in_production(remote: URL) -> None:
    url = remote.set(query={})
    assert answers(url)
    assert refusal(url, production=True) == (
        f"{port_of(url)}: server does not support SSL, but SSL was required\n{SSL_REMEDY}"
    )


@pytest.mark.parametrize("mode", ["disable", "prefer", "allow"])
def test_the_url_may_say_otherwise(mode: str, remote: URL) -> None:
    assert answers(remote.set(query={"sslmode": mode}), production=True)


def test_sockets_need_no_ssl(local: URL) -> None:
    assert answers(local, production=True)


def test_the_environment_may_not_say_less(remote: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "disable")
    url = remote.set(query={})
    assert answers(url)
    said = refusal(url, production=True, environ={"PGSSLMODE": "disable"})
    assert said.startswith(f"{port_of(url)}: server does not support SSL, but SSL was required")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("there is no program openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names, *files],
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def encrypted(doors: list[Door], socket_path: Path, local: URL, certificate: tuple[Path, Path]) -> URL:
    """The same database behind a door that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    doors.append(Door(socket_path, tls=context))
    doors[0].open()
    return local.set(host="127.0.0.1", port=doors[0].port, query={})


@pytest.fixture
def root(certificate: tuple[Path, Path]) -> str:
    return str(certificate[0])


def ssl_in_use(url: URL, **options: object) -> bool:
    given = url.render_as_string(hide_password=False)
    with reach(given, production=True, **options) as engine, engine.connect() as connection:  # type: ignore[arg-type]
        driver = connection.connection.driver_connection
        assert driver
        return bool(driver.pgconn.ssl_in_use)


def test_production_is_encrypted(encrypted: URL) -> None:
    assert ssl_in_use(encrypted)


def test_a_root_certificate_is_used(encrypted: URL, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ssl_in_use(encrypted.set(query={"sslrootcert": root}))
    monkeypatch.setenv("PGSSLROOTCERT", root)
    assert ssl_in_use(encrypted, environ={"PGSSLROOTCERT": root})


def test_a_certificate_of_another_host_is_refused(encrypted: URL, root: str) -> None:
    url = encrypted.set(host="localhost", query={"sslrootcert": root, "hostaddr": "127.0.0.1"})
    said = refusal(url, production=True)
    assert said == (
        f"cannot connect to PostgreSQL at localhost:{url.port}:"
        ' server certificate for "127.0.0.1" (and 1 other name) does not match host name "localhost"\n'
        f"{SSL_REMEDY}"
    )


def test_a_missing_root_certificate(encrypted: URL, tmp_path: Path) -> None:
    said = refusal(encrypted.set(query={"sslrootcert": f"{tmp_path}/none.pem"}), production=True, wait_s=5)
    shown = "what the driver says repeats a part of the URL, and is not shown"
    assert said == f"{port_of(encrypted)}: {shown}\n{SSL_REMEDY}"


# --- what a server with passwords and TCP of its own says -------------------------------------------------


@pytest.fixture(params=["container-18", "container-15"])
def container(request: pytest.FixtureRequest, servers: Servers) -> URL:
    return make_url(servers.get(request.param).admin_url)


def test_a_container(container: URL) -> None:
    assert answers(container)


def test_a_container_with_a_wrong_password(container: URL) -> None:
    where = (
        f"cannot connect to PostgreSQL at {container.host}:{container.port}, database {container.database}"
    )
    said = refusal(container.set(password="wrong"))
    assert said == (
        f"{where}, user {container.username}:"
        f' password authentication failed for user "{container.username}"\n{PASSWORD_REMEDY}'
    )


def test_a_container_in_production(container: URL) -> None:
    said = refusal(container, production=True)
    assert said.endswith(f": server does not support SSL, but SSL was required\n{SSL_REMEDY}")
    assert str(container.password) not in said.replace(str(container.username), "")


# --- a database file --------------------------------------------------------------------------------------


def test_a_file_that_another_has_locked(sqlite: Database) -> None:
    """It can be reached; what then waits is the run."""
    sqlite.rows("CREATE TABLE a (b integer)")
    with contextlib.closing(sqlite.engine().raw_connection()) as other:
        other.cursor().execute("BEGIN EXCLUSIVE")
        assert answers(f"{sqlite.url}?timeout=0")
