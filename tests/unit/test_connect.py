"""`fluxmig.connect` without a server: URLs, drivers, options, and SQLite's files."""

from __future__ import annotations

import builtins
import os
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymysql
import pytest
import sqlalchemy
from sqlalchemy import event, text

from fluxmig import connect, embedded
from fluxmig.connect import parse_url, reach
from fluxmig.errors import ConfigError, DatabaseConnectionError, FluxmigError

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (
    "the form is postgresql://USER:PASSWORD@HOST:5432/DATABASE,"
    " with @ : / ? # % in the password as %40 %3A %2F %3F %23 %25"
)
POSTGRESQL = "postgresql+psycopg"


def refusal(raw: str, kind: type[FluxmigError] = ConfigError, **options: Any) -> str:
    with pytest.raises(kind) as caught, reach(raw, **options):
        pass
    assert caught.type is kind
    return str(caught.value)


# --- parse_url --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "driver"),
    [
        ("postgres://h/d", POSTGRESQL),
        ("postgresql://h/d", POSTGRESQL),
        ("postgresql+psycopg://h/d", POSTGRESQL),
        ("PostgreSQL://h/d", POSTGRESQL),
        ("postgresql+psycopg2://h/d", "postgresql+psycopg2"),
        ("postgresql+pg8000://h/d", "postgresql+pg8000"),
        ("mysql://h/d", "mysql+pymysql"),
        ("mysql+mysqldb://h/d", "mysql+mysqldb"),
        ("mariadb://h/d", "mariadb+pymysql"),
        ("mariadb+mariadbconnector://h/d", "mariadb+mariadbconnector"),
        ("sqlite://", "sqlite"),
        ("sqlite:///a.db", "sqlite"),
        ("oracle+oracledb://h/d", "oracle+oracledb"),
        ("nonsense://h/d", "nonsense"),
    ],
)
def test_the_driver(raw: str, driver: str) -> None:
    assert parse_url(raw).drivername == driver


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        ("postgresql://u:p@h:1/d", ("u", "p", "h", 1, "d")),
        ("postgresql://u@h/d", ("u", None, "h", None, "d")),
        ("postgresql://h", (None, None, "h", None, None)),
        ("postgresql://", (None, None, None, None, None)),
        ("postgresql:///d", (None, None, None, None, "d")),
        ("postgresql://u:@h/d", ("u", "", "h", None, "d")),
        ("postgresql://:p@h/d", ("", "p", "h", None, "d")),
        ("postgresql://u:p@/d", ("u", "p", None, None, "d")),
        ("postgresql://u:p@[::1]:1/d", ("u", "p", "::1", 1, "d")),
        ("postgresql://u:a%40b%3Ac%2Fd%3Fe%23f%25g@h/d", ("u", "a@b:c/d?e#f%g", "h", None, "d")),
        ("postgresql://u%40server:p@h/d", ("u@server", "p", "h", None, "d")),
        ("postgresql://u:a:b/c?d#e%f@h/d", ("u", "a:b/c?d#e%f", "h", None, "d")),
        ("postgresql://größe:ключ@h/d", ("größe", "ключ", "h", None, "d")),
        ("  postgresql://u:p@h/d\n", ("u", "p", "h", None, "d")),
        ("sqlite:////srv/a@b/c@d.db", (None, None, None, None, "/srv/a@b/c@d.db")),
    ],
)
def test_the_parts(raw: str, parts: tuple[object, ...]) -> None:
    url = parse_url(raw)
    assert (url.username, url.password, url.host, url.port, url.database) == parts


def test_options_stay() -> None:
    url = parse_url("postgresql://h/d?sslmode=require&host=a&host=b")
    assert url.query == {"sslmode": "require", "host": ("a", "b")}


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "secret",
        "secret@h",
        "u:secret@h/d",
        "//u:secret@h/d",
        "://u:secret@h/d",
        "postgresql:u:secret@h/d",
        "postgresql:/u:secret@h/d",
        "postgresql//u:secret@h/d",
        "postgresql://u:secret@h:port/d",
        "postgresql://u:secret@h:1:2/d",
        "postgresql://u:secret",
        "postgresql://u:secret/d",
        "postgresql:///u:secret@h/d",
        "postgresql://u/secret@h/d",
        "postgresql://u?secret@h/d",
        "postgresql://u#secret@h/d",
        "jdbc:postgresql://u:secret@h/d",
        '"postgresql://u:secret@h/d"',
    ],
)
def test_what_cannot_be_read(raw: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(raw)
    assert str(caught.value) == f"the database URL cannot be read\n{SHAPE}"
    assert "secret" not in "".join(traceback.format_exception(caught.value)[1:])


@pytest.mark.parametrize(
    "raw",
    [
        "postgresql://u:x@secret@h/d",
        "postgresql://u:secret@x@h/d",
        "postgresql://u:@secret@h/d",
        "postgresql://u@h/d?password=secret@x",
        "mysql://u:x@secret@h/d",
    ],
)
def test_more_than_one_at(raw: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(raw)
    assert str(caught.value) == f"the database URL holds more than one @\n{SHAPE}"


# --- drivers ----------------------------------------------------------------------------------------------


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`without("psycopg")`: importing it fails, as if it were not installed."""

    def hide(package: str) -> None:
        real = builtins.__import__

        def imports(name: str, *args: Any, **kwargs: Any) -> Any:
            level = args[3] if len(args) > 3 else kwargs.get("level", 0)
            if name.partition(".")[0] == package and not level:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)
            return real(name, *args, **kwargs)

        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(builtins, "__import__", imports)

    return hide


@pytest.mark.parametrize(
    ("raw", "package", "install"),
    [
        ("postgresql://u:secret@h/d", "psycopg", "psycopg[binary]"),
        ("postgresql+psycopg2://u:secret@h/d", "psycopg2", "psycopg2-binary"),
        ("postgresql+pg8000://u:secret@h/d", "pg8000", "pg8000"),
        ("mysql://u:secret@h/d", "pymysql", "fluxmig[mysql]"),
        ("mariadb://u:secret@h/d", "pymysql", "fluxmig[mysql]"),
        ("mysql+mysqldb://u:secret@h/d", "MySQLdb", "mysqlclient"),
        ("mysql+mysqlconnector://u:secret@h/d", "mysql", "mysql-connector-python"),
        ("oracle+oracledb://u:secret@h/d", "oracledb", "oracledb"),
    ],
)
def test_a_missing_driver(raw: str, package: str, install: str, without: Callable[[str], None]) -> None:
    without(package)
    assert refusal(raw) == f"the driver {package} is not installed\npip install '{install}'"


def test_a_driver_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """As psycopg without libpq: an ImportError that names no module."""

    def fail(*_: object, **__: object) -> object:
        raise ImportError("no pq wrapper available.")

    monkeypatch.setattr(connect, "create_engine", fail)
    assert refusal("postgresql://h/d") == (
        "the driver psycopg cannot be loaded: no pq wrapper available\npip install 'psycopg[binary]'"
    )


@pytest.mark.parametrize(
    ("said", "package"),
    [
        (
            "'cryptography' package is required for sha256_password or caching_sha2_password auth methods",
            "cryptography",
        ),
        ("'pynacl' package is required for ed25519_password auth method", "pynacl"),
    ],
)
def test_a_driver_that_needs_a_package_for_the_password(
    monkeypatch: pytest.MonkeyPatch, said: str, package: str
) -> None:
    """PyMySQL, of MySQL's usual passwords where there is neither SSL nor a socket."""

    def fail(*_: object, **__: object) -> object:
        raise RuntimeError(said)

    monkeypatch.setattr(pymysql, "connect", fail)
    assert refusal("mysql://u:secret@h/d") == (
        f"the driver pymysql needs the package {package} to send this password\npip install {package}"
    )


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("nonsense://u:secret@h/d", "…"),
        ("postgresqll://u:secret@h/d", "postgresqll"),
        ("http://u:secret@h/d", "http"),
        ("postgresql+nonsense://u:secret@h/d", "postgresql+…"),
        ("nonsense+psycopg://u:secret@h/d", "…+psycopg"),
        ("mysql++pymysql://u:secret@h/d", "mysql+…+pymysql"),
        ("embedded://u:secret@h/d", "embedded"),
    ],
)
def test_an_unknown_database_or_driver(raw: str, name: str) -> None:
    assert refusal(raw) == (
        f"SQLAlchemy knows no database or driver {name!r}\n"
        "check the word before :// in the URL, or install the package that brings it"
    )


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("postgresql+asyncpg", "postgresql"),
        ("postgresql+psycopg_async", "postgresql"),
        ("sqlite+aiosqlite", "sqlite"),
        ("mysql+aiomysql", "mysql"),
        ("mariadb+asyncmy", "mariadb"),
    ],
)
def test_an_asyncio_driver(name: str, plain: str) -> None:
    """Also where it is not installed."""
    assert refusal(f"{name}://u:secret@h/d") == (
        f"{name} is an asyncio driver, and the command line needs another\nwrite {plain}:// without a driver"
    )


# --- options of the URL -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        ("mysql://u:secret@127.0.0.1:1/d?bogus=secret", "bogus"),
        ("mysql://u:secret@127.0.0.1:1/d?bogus=1&more=2", "bogus, more"),
    ],
)
def test_options_that_the_driver_does_not_take(raw: str, names: str) -> None:
    assert refusal(raw) == (
        f"the database URL has options that the driver does not take: {names}\n"
        "correct what stands behind the ? in the URL, or leave it out"
    )


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (":1/d?bogus=secret", "there is no option bogus"),
        (":1/d?Bogus1=secret", "there is no option …"),
        (":1/d?sslmode=secret", "the value of sslmode cannot be used"),
        (":1/d?connect_timeout=secret", "the value of connect_timeout cannot be used"),
        (":99999/d", "the value of port cannot be used"),
        (":-1/d", "the value of port cannot be used"),
    ],
)
def test_options_that_libpq_does_not_take(end: str, said: str) -> None:
    """Without its words, which repeat them; and nobody waits for them to change."""
    assert refusal(f"postgresql://u:secret@127.0.0.1{end}", wait_s=60) == (
        f"the database URL is wrong: {said}\ncorrect it in the URL, or leave it out"
    )


def test_a_port_that_is_none() -> None:
    """Who says it, the driver or the resolver, and how, depends on psycopg's version."""
    said = refusal("postgresql://u@h/d?port=secret")
    assert said.startswith("the database URL ")
    assert "secret" not in said


@pytest.mark.parametrize("host", ["a..b", "x" * 300, ".a"])
@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_host_that_cannot_be_one(scheme: str, host: str) -> None:
    assert refusal(f"{scheme}://u:secret@{host}/d") == (
        f"the database URL holds a character or a host name that cannot be sent\n{SHAPE}"
    )


def test_bytes_that_are_no_utf_8() -> None:
    assert refusal(os.fsdecode(b"postgresql://u:\xff@127.0.0.1:1/d")) == (
        f"the database URL holds a character or a host name that cannot be sent\n{SHAPE}"
    )


# --- what the driver is given beside the URL --------------------------------------------------------------

KEEPALIVES = {"keepalives": 1, "keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 4}
TIMEOUTS = {"connect_timeout": 10, **KEEPALIVES, "tcp_user_timeout": 60_000}
ALWAYS = {**TIMEOUTS, "fallback_application_name": "fluxmig", "prepare_threshold": None}


def arguments(
    raw: str, environ: dict[str, str] | None = None, *, production: bool = True
) -> dict[str, object]:
    return connect._arguments(parse_url(raw), environ or {}, production=production)


def test_what_psycopg_is_always_given() -> None:
    assert arguments("postgresql://h/d", production=False) == ALWAYS


@pytest.mark.parametrize("raw", ["postgresql:///d?host=/run", "postgresql+psycopg2:///d?host=/run"])
def test_a_socket_goes_before_an_address_of_the_environment(raw: str) -> None:
    """libpq takes what is given and empty for given, and PGHOSTADDR for an absent one (32.1.2)."""
    assert arguments(raw, production=False)["hostaddr"] == ""
    assert "hostaddr" not in arguments(f"{raw}&hostaddr=::1", production=False)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("mysql://h/d", {"charset": "utf8mb4", "connect_timeout": 10, "program_name": "fluxmig"}),
        ("mariadb://h/d?charset=latin1&program_name=x", {"connect_timeout": 10}),
        ("mysql+mysqldb://h/d", {"charset": "utf8mb4", "connect_timeout": 10}),
        ("mariadb+mariadbconnector://h/d", {"connect_timeout": 10}),
    ],
)
def test_what_drivers_of_mysql_are_given(raw: str, expected: dict[str, object]) -> None:
    """Not latin1, which libmariadb takes for mysqlclient."""
    assert arguments(raw) == expected


@pytest.mark.parametrize("raw", ["sqlite:///a.db"])
@pytest.mark.parametrize("production", [True, False])
def test_what_others_are_given(raw: str, production: bool) -> None:  # noqa: FBT001
    assert arguments(raw, {"PGSSLROOTCERT": "r"}, production=production) == {}


@pytest.mark.parametrize(
    ("query", "environ", "sslmode"),
    [
        ("", {}, "require"),
        ("?sslrootcert=r", {}, "verify-full"),
        ("?sslrootcert=system", {}, "verify-full"),
        ("", {"PGSSLROOTCERT": "r"}, "verify-full"),
        # the URL decides
        ("?sslmode=disable", {}, None),
        ("?sslmode=prefer&sslrootcert=r", {}, None),
        ("?sslmode=verify-ca&sslrootcert=r", {}, None),
        ("?sslmode=disable", {"PGSSLMODE": "require"}, None),
        # the environment may ask for more, and not for less
        ("", {"PGSSLMODE": "verify-full"}, None),
        ("", {"PGSSLMODE": "verify-ca"}, None),
        ("", {"PGSSLMODE": "require"}, None),
        ("", {"PGSSLMODE": "prefer"}, "require"),
        ("", {"PGSSLMODE": "disable"}, "require"),
        ("", {"PGSSLMODE": ""}, "require"),
        ("?sslrootcert=r", {"PGSSLMODE": "allow"}, "verify-full"),
    ],
)
def test_ssl_in_production(query: str, environ: dict[str, str], sslmode: str | None) -> None:
    assert arguments(f"postgresql://h/d{query}", environ).get("sslmode") == sslmode


@pytest.mark.parametrize("environ", [{}, {"PGSSLMODE": "require"}, {"PGSSLROOTCERT": "r"}])
def test_ssl_elsewhere(environ: dict[str, str]) -> None:
    assert arguments("postgresql://h/d", environ, production=False) == ALWAYS


def test_the_url_wins() -> None:
    given = arguments("postgresql://h/d?connect_timeout=3&fallback_application_name=x", production=False)
    assert given == {**KEEPALIVES, "tcp_user_timeout": 60_000, "prepare_threshold": None}


@pytest.mark.parametrize(
    ("query", "user_timeout"),
    [
        ("keepalives_idle=100", 140_000),
        ("keepalives_idle=1&keepalives_interval=1&keepalives_count=2", 3_000),
        ("keepalives_idle=soon", 60_000),  # libpq says it better
        ("tcp_user_timeout=0", None),
        ("keepalives=0", 60_000),
    ],
)
def test_what_is_sent_arrives_as_soon_as_a_peer_is_missed(query: str, user_timeout: int | None) -> None:
    given = arguments(f"postgresql://h/d?{query}", production=False)
    assert given.get("tcp_user_timeout") == user_timeout
    assert not given.keys() & {option.partition("=")[0] for option in query.split("&")}


def test_libpqs_variable_wins() -> None:
    given = arguments("postgresql://h/d", {"PGCONNECT_TIMEOUT": "3"}, production=False)
    assert given == {name: value for name, value in ALWAYS.items() if name != "connect_timeout"}


@pytest.mark.parametrize(("query", "environ"), [("?service=s", {}), ("", {"PGSERVICE": "s"})])
def test_a_service_decides_for_itself(query: str, environ: dict[str, str]) -> None:
    """What fluxmig gives would win over its file."""
    given = arguments(f"postgresql://h/d{query}", environ, production=False)
    assert given == {"fallback_application_name": "fluxmig", "prepare_threshold": None}


@pytest.mark.parametrize("option", ["password", "sslpassword"])
def test_an_engine_shows_no_password(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "_knock", lambda *_: None)
    with reach(f"postgresql://u:first@h/d?{option}=second&sslmode=require") as engine:
        assert repr(engine) == "Engine(postgresql+psycopg://u:***@h/d?sslmode=require)"
        given: dict[str, object] = {}

        def stop(*arguments: Any) -> None:
            given.update(arguments[3])
            raise _Stopped

        event.listen(engine, "do_connect", stop)
        with suppress(_Stopped):
            engine.connect()
    assert given[option] == "second"


class _Stopped(Exception):  # noqa: N818
    """Before a connection is tried."""


# --- SQLite -----------------------------------------------------------------------------------------------


def ask(raw: str, sql: str, **options: Any) -> object:
    with reach(raw, **options) as engine, engine.begin() as connection:
        result = connection.execute(text(sql))
        return result.scalar() if result.returns_rows else None


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["a.db", "größe ü.db", "a#b.db", "x@y.db", "100%.db"])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_file_is_made_and_read_again(name: str, absolute: bool, here: Path) -> None:  # noqa: FBT001
    raw = f"sqlite:///{here}/{name}" if absolute else f"sqlite:///{name}"
    ask(raw, "CREATE TABLE a (b)")
    assert [path.name for path in here.iterdir()] == [name]
    assert ask(raw, "SELECT count(*) FROM a", read_only=True) == 0


def test_a_relative_path_starts_in_the_given_folder(
    here: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    ask("sqlite:///a.db", "CREATE TABLE a (b)", directory=elsewhere)
    assert (elsewhere / "a.db").exists()
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("raw", ["sqlite://", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true"])
def test_memory(raw: str, here: Path) -> None:
    assert ask(raw, "SELECT 1") == 1
    assert ask(raw, "SELECT 1", read_only=True, must_exist=True) == 1
    assert list(here.iterdir()) == []


def test_the_uri_form(here: Path) -> None:
    ask("sqlite:///file:a.db?uri=true", "CREATE TABLE a (b)")
    assert ask("sqlite:///file:a.db?mode=ro&uri=true", "SELECT count(*) FROM a") == 0
    assert [path.name for path in here.iterdir()] == ["a.db"]


@pytest.mark.parametrize("query", ["", "?mode=ro&uri=true", "?timeout=1"])
def test_a_missing_file_is_not_made_for_reading(query: str, here: Path) -> None:
    assert ask(f"sqlite:///a.db{query}", "SELECT count(*) FROM sqlite_master", read_only=True) == 0
    assert list(here.iterdir()) == []


def test_a_missing_file_that_must_be_there(here: Path) -> None:
    said = refusal("sqlite:///a.db", DatabaseConnectionError, read_only=True, must_exist=True)
    assert said == f"{here} has no such SQLite database yet\n`fluxmig run` makes it"
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("read_only", [True, False])
def test_a_missing_folder(read_only: bool, here: Path) -> None:  # noqa: FBT001
    said = refusal("sqlite:///no/where/a.db", DatabaseConnectionError, read_only=read_only)
    assert said == f"cannot open the SQLite database: {here} has no such folder\nmake the folder first"


def test_for_reading_it_is_opened_so(here: Path) -> None:
    ask("sqlite:///a.db", "CREATE TABLE a (b)")
    with pytest.raises(Exception, match="attempt to write a readonly database"):
        ask("sqlite:///a.db", "INSERT INTO a VALUES (1)", read_only=True)


@pytest.mark.parametrize("read_only", [True, False])
def test_a_folder_in_place_of_the_file(read_only: bool, here: Path) -> None:  # noqa: FBT001
    (here / "a.db").mkdir()
    said = refusal("sqlite:///a.db", DatabaseConnectionError, read_only=read_only)
    assert said == (f"cannot open the SQLite database {here}/a.db: it is a folder\nname a file")


@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_that_is_no_database(read_only: bool, here: Path) -> None:  # noqa: FBT001
    (here / "a.db").write_bytes(b"nonsense " * 1000)
    said = refusal("sqlite:///a.db", DatabaseConnectionError, read_only=read_only)
    assert said == (f"cannot open the SQLite database {here}/a.db: it is something else\nname another file")


def test_an_empty_file_is_a_database(here: Path) -> None:
    (here / "a.db").touch()
    assert ask("sqlite:///a.db", "SELECT count(*) FROM sqlite_master", read_only=True) == 0


def test_a_name_that_is_too_long(here: Path) -> None:
    assert refusal(f"sqlite:///{'x' * 300}", DatabaseConnectionError) == (
        "cannot open the SQLite database: File name too long\nname another file"
    )


@pytest.mark.parametrize("raw", ["sqlite:///a\0.db", "sqlite:///a%00.db", "postgresql://u:p\0@h/d"])
def test_a_nul(raw: str) -> None:
    assert refusal(raw) == f"the database URL holds a NUL\n{SHAPE}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_a_file_that_may_not_be_read(here: Path) -> None:
    sqlite3.connect(here / "a.db").close()
    (here / "a.db").chmod(0)
    said = refusal("sqlite:///a.db", DatabaseConnectionError, read_only=True)
    assert said == (
        f"cannot open the SQLite database {here}/a.db: unable to open database file\n"
        "does the folder exist, and may you write there?"
    )


def test_a_read_only_file_can_be_read(here: Path) -> None:
    ask("sqlite:///a.db", "CREATE TABLE a (b)")
    (here / "a.db").chmod(0o400)
    assert ask("sqlite:///a.db", "SELECT count(*) FROM a", read_only=True) == 0


@pytest.mark.parametrize("raw", ["sqlite://secret", "sqlite://u:secret@/a.db", "sqlite://u:secret@h/a.db"])
def test_sqlite_with_a_host(raw: str, here: Path) -> None:
    assert refusal(raw) == (
        "the database URL cannot be read\n"
        "the form is sqlite:///FILE, with a fourth slash where FILE begins with one"
    )


# --- embedded ---------------------------------------------------------------------------------------------


class _Started(Exception):  # noqa: N818
    """Instead of a server."""


@pytest.mark.parametrize(
    ("raw", "folder"),
    [
        ("embedded", "{here}/.fluxmig/postgres"),
        (" embedded\n", "{here}/.fluxmig/postgres"),
        ("embedded:", "{here}/.fluxmig/postgres"),
        ("embedded:pg", "{here}/pg"),
        ("embedded:./a/../pg", "{here}/a/../pg"),
        ("embedded:/srv/pg", "/srv/pg"),
        ("embedded:~/pg", "{home}/pg"),
        ("embedded:a:b", "{here}/a:b"),
    ],
)
def test_the_folder_of_the_embedded_server(
    raw: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def start(place: Path, *, binaries: Path | None = None) -> None:
        asked.extend((str(place), binaries))
        raise _Started

    monkeypatch.setattr(embedded, "start_embedded", start)
    with pytest.raises(_Started), reach(raw, postgres_bin=Path("/pg/bin"), directory=tmp_path):
        pass
    assert asked == [folder.format(here=tmp_path, home=Path.home()), Path("/pg/bin")]


# --- imports ----------------------------------------------------------------------------------------------


def test_no_driver_is_imported_before_it_is_used() -> None:
    code = "import sys, fluxmig.connect; print({'psycopg', 'pymysql', 'sqlite3'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout == "set()\n"


# --- passwords in the wrong place -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        "postgresql://localhost:1/d&password=s3cret",
        "postgresql://localhost:1/d;password=s3cret",
        "postgresql://localhost:1/d?sslmode=require?password=s3cret",
        "postgresql://localhost:1/d?connect_timeout=5;password=s3cret",
        "postgresql://host=localhost user=u password=s3cret",
        "sqlite:///u:s3cret@h/x.db",
    ],
)
def test_a_password_behind_the_wrong_sign_is_not_shown(raw: str) -> None:
    said = refusal(raw)
    assert said.startswith("the database URL cannot be read\n")
    assert "s3cret" not in said


@pytest.mark.parametrize("driver", ["pg8000", "asyncpg"])
def test_a_driver_of_which_ssl_cannot_be_required(driver: str) -> None:
    url = sqlalchemy.make_url(f"postgresql+{driver}://u@h/d")
    message = rf"^in production SSL is required, and fluxmig cannot require it of {driver}\n"
    with pytest.raises(ConfigError, match=message):
        connect._arguments(url, {}, production=True)
    assert connect._arguments(url.set(query={"sslmode": "disable"}), {}, production=True) == {}


def test_psycopg2_takes_sslmode_too() -> None:
    arguments = connect._arguments(sqlalchemy.make_url("postgresql+psycopg2://u@h/d"), {}, production=True)
    assert arguments["sslmode"] == "require"
    assert "prepare_threshold" not in arguments


def test_threads_leave_what_python_does_about_warnings_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each puts back the list that it found, which must not be the one that another has put up meanwhile."""
    inside, most, make = 0, 0, sqlalchemy.create_engine

    def slowly(*args: Any, **options: Any) -> Any:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.01)
        inside -= 1
        return make(*args, **options)

    def reached() -> None:
        with reach("sqlite://"):
            pass

    monkeypatch.setattr(connect, "create_engine", slowly)
    before = list(warnings.filters)
    threads = [threading.Thread(target=reached) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, warnings.filters) == (1, before)
