"""A URL -> an Engine that has been reached, or one clear line why not.

No message repeats a URL, nor does the driver's error in a message's chain (`unreachable`, `discretion`).
"""

from __future__ import annotations

import math
import re
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, ResourceClosedError, SAWarning

from fluxmig.discretion import known, word
from fluxmig.errors import ConfigError, DatabaseConnectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import URL, Engine

__all__ = ["backend_of", "parse_url", "reach", "within"]

_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "pymysql": "fluxmig[mysql]",
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
}
_CONNECT_TIMEOUT_S = 10
_KEEPALIVES = {"keepalives": 1, "keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 4}
"""When a silent peer is asked whether it is there, in seconds, and how often until it is given up."""
# Files are UTF-8; libmariadb's own default for mysqlclient is latin1.
_MYSQL_ARGUMENTS: dict[str, dict[str, object]] = {
    "pymysql": {"charset": "utf8mb4", "connect_timeout": _CONNECT_TIMEOUT_S, "program_name": "fluxmig"},
    "mysqldb": {"charset": "utf8mb4", "connect_timeout": _CONNECT_TIMEOUT_S},
    "mariadbconnector": {"connect_timeout": _CONNECT_TIMEOUT_S},
}
# SQLAlchemy asks each new server for a type that nothing here uses, in three round trips.
_OPTIONS: dict[str, dict[str, Any]] = {
    "psycopg": {"use_native_hstore": False},
    "psycopg2": {"use_native_hstore": False},
}
_WARNINGS = Lock()
"""Python has one list of what to do about warnings, for all threads."""
_SQLITE = b"SQLite format 3\0"
_PAUSE_S = 0.25
_SHAPE = (
    "the form is postgresql://USER:PASSWORD@HOST:5432/DATABASE,"
    " with @ : / ? # % in the password as %40 %3A %2F %3F %23 %25"
)
_OTHER_SERVER = r"Could not determine version from string '(\w+)"
_OTHER_DIALECT = "for CockroachDB: pip install sqlalchemy-cockroachdb, and write cockroachdb+psycopg://"
_LACKING = r"'(\w+)' package is required"
"""PyMySQL's, of a password that it has to encrypt: the package is asked for by one login in a few."""
_SECRETS = ("password", "passwd", "sslpassword")
"""Options of URLs that an Engine would show: SQLAlchemy hides but the password in its usual place."""


def parse_url(raw: str) -> URL:
    """The URL with the driver that fluxmig prefers where it names none.

    Raises:
        ConfigError: It cannot be read; the message holds nothing of it.
    """
    try:
        url = make_url(raw.strip())
    except (ArgumentError, ValueError):
        raise ConfigError("the database URL cannot be read", remedy=_SHAPE) from None
    if "\0" in unquote(raw):
        raise ConfigError("the database URL holds a NUL", remedy=_SHAPE)
    name = url.drivername.lower()
    if not name.startswith("sqlite"):
        # Where a password holds such a character as it is, a piece of it passes for user, host or database,
        # and would be shown.
        rest = raw.partition("://")[2]
        if rest.count("@") > 1:
            raise ConfigError("the database URL holds more than one @", remedy=_SHAPE)
        # Likewise where & or ; or a second ? stands for the ? before the options.
        parts = (
            url.host,
            url.database,
            *(
                value
                for key, values in url.query.items()
                if key not in {"options", "password", "sslpassword"}
                for value in ([values] if isinstance(values, str) else values)
            ),
        )
        misread = any(re.search(r"[;&?=\s]|passw", part) for part in parts if part)
        if misread or re.search(r"[/?#]", rest.rpartition("@")[0].partition(":")[0]):
            raise ConfigError("the database URL cannot be read", remedy=_SHAPE)
    elif re.search(r":[^/]*@", url.database or ""):
        raise ConfigError("the database URL cannot be read", remedy="the form is sqlite:///FILE")
    return url.set(drivername=_DRIVERS.get(name, name))


def backend_of(raw: str) -> str:
    """SQLAlchemy's name of the database that a URL is of, by its scheme alone; it is not asked.

    Raises:
        ConfigError: There is no scheme; the message holds nothing of the URL.
    """
    word, _, rest = raw.strip().lower().partition(":")
    if word == "embedded" and "//" not in rest:
        return "postgresql"
    if not word or not rest.startswith("//"):
        raise ConfigError("the database URL cannot be read", remedy=_SHAPE)
    name = word.partition("+")[0]
    return _DRIVERS.get(name, name).partition("+")[0]


@contextmanager
def reach(  # noqa: PLR0913  # keywords, and each a decision of the caller
    raw: str,
    *,
    read_only: bool = False,
    must_exist: bool = False,
    wait_s: float = 0.0,
    production: bool = False,
    environ: Mapping[str, str] | None = None,
    postgres_bin: Path | None = None,
    directory: Path | None = None,
    at_most_s: float | None = None,
    prepare: Callable[[Engine], None] = lambda _: None,
) -> Iterator[Engine]:
    """An Engine whose database has answered; it is disposed of afterwards.

    Args:
        raw: A SQLAlchemy URL; or `embedded` or `embedded:FOLDER` for a private PostgreSQL.
        read_only: Whether nothing may be written: a SQLite file is opened so, and one that is not there
            is not made, but read as empty.
        must_exist: Whether a SQLite file that is not there is an error instead.
        wait_s: How long to wait for a server that does not answer yet.
        production: Whether PostgreSQL must use SSL, unless the URL says otherwise.
        environ: Where libpq's own variables are looked up; nothing by default.
        postgres_bin: The binaries of the embedded server.
        directory: Where relative folders start; the working directory by default.
        at_most_s: How long one try to connect may take, where that is less than usual.
        prepare: Called with the Engine before it connects.

    Raises:
        ConfigError: The URL, the driver, or the embedded server's binaries.
        DatabaseConnectionError: There was no answer, or a refusal.
    """
    word, _, folder = raw.strip().partition(":")
    if word == "embedded" and "//" not in folder:
        from fluxmig import embedded  # noqa: PLC0415  # only where a server is to be started

        place = (directory or Path()) / (
            Path(folder).expanduser() if folder else Path(".fluxmig", "postgres")
        )
        with embedded.start_embedded(place, binaries=postgres_bin) as server:
            url = make_url(server.url)
            with _reach(url, raw, _arguments(url, {}, production=False), 0, prepare) as engine:
                yield engine
        return
    url = parse_url(raw)
    if url.get_backend_name() == "sqlite":
        url = _sqlite(url, directory or Path(), read_only=read_only, must_exist=must_exist)
    arguments = _arguments(url, environ or {}, production=production)
    if at_most_s is not None and "connect_timeout" in arguments:
        arguments["connect_timeout"] = min(_CONNECT_TIMEOUT_S, math.ceil(at_most_s))
    with _reach(url, raw, arguments, wait_s, prepare) as engine:
        yield engine


def within(
    raw: str, schema: str, shared: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> tuple[str, str | None]:
    """A URL whose sessions find names in a schema, and that schema for a ledger, where it has to be named.

    On PostgreSQL by `search_path` as the session begins with it (19.11.1), which is what RESET brings back; a
    pooler that would have it reach others refuses it. On MySQL and MariaDB a schema is a database.

    Args:
        raw: A SQLAlchemy URL.
        schema: Where names are made, and looked up first.
        shared: Where they are looked up then.
        environ: Where libpq's own options are looked up, which these are added to.

    Raises:
        ConfigError: The URL cannot be read, or the database has no schemas for sessions.
    """
    url = parse_url(raw)
    backend = url.get_backend_name()
    if backend in {"mysql", "mariadb"} and not shared:
        return url.set(database=schema).render_as_string(hide_password=False), None
    if backend != "postgresql":
        raise ConfigError(
            f"sessions of {known(url.drivername)} cannot be put into a schema",
            remedy="give each database as a target of its own",
        )
    names = ", ".join('"' + name.replace('"', '""') + '"' for name in (schema, *shared))
    given = url.query.get("options") or (environ or {}).get("PGOPTIONS", "")
    before = [given] if isinstance(given, str) else given
    path = re.sub(r"([\\\s])", r"\\\1", names)  # libpq's options are divided by spaces
    options = " ".join(filter(None, (*before, f"-c search_path={path}")))
    return url.update_query_dict({"options": options}).render_as_string(hide_password=False), schema


@contextmanager
def _reach(
    url: URL, raw: str, arguments: dict[str, object], wait_s: float, prepare: Callable[[Engine], None]
) -> Iterator[Engine]:
    secrets = {name: value for name, value in url.query.items() if name in _SECRETS}
    engine = _engine(url.difference_update_query(secrets), arguments | secrets)
    try:
        prepare(engine)
        _knock(engine, raw, wait_s)
        yield engine
    finally:
        engine.pool.dispose()  # Engine.dispose() would make another one, for what is not to come


def _engine(url: URL, arguments: dict[str, object]) -> Engine:
    try:
        is_async = url.get_dialect().is_async
    except (NoSuchModuleError, ValueError):
        raise ConfigError(
            f"SQLAlchemy knows no database or driver {known(url.drivername)!r}",
            remedy="check the word before :// in the URL, or install the package that brings it",
        ) from None
    if is_async:
        raise ConfigError(
            f"{url.drivername} is an asyncio driver, and the command line needs another",
            remedy=f"write {url.get_backend_name()}:// without a driver",
        )
    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("error", SAWarning)  # an option that is not taken would only be a warning
            return create_engine(url, connect_args=arguments, **_OPTIONS.get(url.get_driver_name(), {}))
    except ImportError as error:
        from fluxmig import unreachable  # noqa: PLC0415  # only on the way out

        name = error.name or url.get_driver_name()
        # Without a name, the driver is there and lacks something: psycopg does without libpq.
        why = "is not installed" if error.name else f"cannot be loaded: {unreachable.reason(str(error))}"
        raise ConfigError(
            f"the driver {name} {why}", remedy=f"pip install '{_PACKAGES.get(name, name)}'"
        ) from error
    except (ArgumentError, SAWarning, TypeError, ValueError):
        raise _bad_options(url) from None


def _bad_options(url: URL) -> ConfigError:
    if url.get_backend_name() == "sqlite" and not url.query:
        remedy = "the form is sqlite:///FILE, with a fourth slash where FILE begins with one"
        return ConfigError("the database URL cannot be read", remedy=remedy)
    return ConfigError(
        f"the database URL has options that the driver does not take: {', '.join(map(word, url.query))}",
        remedy="correct what stands behind the ? in the URL, or leave it out",
    )


def _arguments(url: URL, environ: Mapping[str, str], *, production: bool) -> dict[str, object]:
    """What the driver is given beside the URL, and only where the URL does not say it."""
    if url.get_backend_name() in {"mysql", "mariadb"}:
        usual = _MYSQL_ARGUMENTS.get(url.get_driver_name(), {})
        return {name: value for name, value in usual.items() if name not in url.query}
    if url.get_backend_name() != "postgresql":
        return {}
    libpq = url.get_driver_name() in {"psycopg", "psycopg2"}
    if production and not libpq and not any("ssl" in option for option in url.query):
        raise ConfigError(
            f"in production SSL is required, and fluxmig cannot require it of {url.get_driver_name()}",
            remedy="write postgresql:// without a driver, or the driver's own option for SSL into the URL",
        )
    if not libpq:
        return {}
    arguments: dict[str, object] = {"fallback_application_name": "fluxmig", **_timeouts(url, environ)}
    if str(url.query.get("host")).startswith("/"):
        arguments["hostaddr"] = ""  # PGHOSTADDR would win over the folder of the socket
    if production:
        root = url.query.get("sslrootcert") or environ.get("PGSSLROOTCERT")
        wanted = "verify-full" if root else "require"
        if environ.get("PGSSLMODE") not in {"require", "verify-ca", "verify-full"}:
            arguments["sslmode"] = wanted
    arguments = {name: value for name, value in arguments.items() if name not in url.query}
    # Prepared statements belong to a server connection, which a pooler may change at any time.
    return arguments | ({"prepare_threshold": None} if url.get_driver_name() == "psycopg" else {})


def _timeouts(url: URL, environ: Mapping[str, str]) -> dict[str, object]:
    """How long libpq waits for a server: to connect, for an answer, and for what it has sent to arrive.

    A server that has vanished is missed after `keepalives_idle` and all intervals, a minute by default, and
    `tcp_user_timeout` is the same for what is being sent. Where it is set, Linux goes by it and not by the
    count of the intervals (tcp(7)); without it, what is sent is sent again for a quarter of an hour. It also
    ends a connection whose peer is there and takes nothing for so long (tcp_timer.c, tcp_probe_timer).

    A service decides for itself: what is given here would win over its file.
    """
    if "service" in url.query or environ.get("PGSERVICE"):
        return {}
    given = {"connect_timeout": _CONNECT_TIMEOUT_S}
    if environ.get("PGCONNECT_TIMEOUT"):
        del given["connect_timeout"]
    idle, interval, count = (
        int(value) if isinstance(value := url.query.get(name), str) and value.isdecimal() else default
        for name, default in _KEEPALIVES.items()
        if name != "keepalives"
    )
    return {**given, **_KEEPALIVES, "tcp_user_timeout": 1000 * (idle + interval * count)}


def _sqlite(url: URL, directory: Path, *, read_only: bool, must_exist: bool) -> URL:
    """The file as an absolute path; for reading, never made."""
    name = url.database
    if not name or name == ":memory:" or name.startswith("file:"):
        return url
    path = (directory / name).absolute()
    try:
        return _sqlite_file(url, path, read_only=read_only, must_exist=must_exist)
    except OSError as error:  # a name that is too long, say
        raise DatabaseConnectionError(
            f"cannot open the SQLite database: {error.strerror}", remedy="name another file"
        ) from None


def _sqlite_file(url: URL, path: Path, *, read_only: bool, must_exist: bool) -> URL:
    if not path.parent.is_dir():
        from fluxmig import unreachable  # noqa: PLC0415  # likewise

        raise DatabaseConnectionError(
            f"cannot open the SQLite database: {unreachable.existing(path)} has no such folder",
            remedy="make the folder first",
        )
    if path.is_dir():
        raise DatabaseConnectionError(
            f"cannot open the SQLite database {path}: it is a folder", remedy="name a file"
        )
    if url.drivername in {"sqlite", "sqlite+pysqlite"} and not _may_be_sqlite(path):
        raise DatabaseConnectionError(
            f"cannot open the SQLite database {path}: it is something else", remedy="name another file"
        )
    if not path.exists() and must_exist:
        raise DatabaseConnectionError(
            f"{path.parent} has no such SQLite database yet", remedy="`fluxmig run` makes it"
        )
    if not read_only:
        return url.set(database=str(path))
    if not path.exists():
        return url.set(database=":memory:", query={})  # with `uri` among them, it would be a file's name
    return url.set(database=f"file:{quote(str(path))}", query={**url.query, "mode": "ro", "uri": "true"})


def _may_be_sqlite(path: Path) -> bool:
    """Whether the file begins as a database does (fileformat2.html, 1.3); an empty one is a database too."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) in {b"", _SQLITE}
    except OSError:
        return True  # absent or closed to us; SQLite says it better


def _knock(engine: Engine, raw: str, wait_s: float) -> None:
    """Opens one connection, which stays in the pool; again and again while the server is not ready."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            with engine.connect():
                return
        except AssertionError as error:  # SQLAlchemy's, of a server whose version is not PostgreSQL's
            found = re.search(_OTHER_SERVER, str(error))
            if found is None:
                raise
            raise ConfigError(
                f"the server is {found[1]}, which SQLAlchemy does not take for PostgreSQL",
                remedy=_OTHER_DIALECT,
            ) from None
        except UnicodeError:  # may hold what could not be encoded
            raise ConfigError(
                "the database URL holds a character or a host name that cannot be sent", remedy=_SHAPE
            ) from None
        except (DBAPIError, OSError, ResourceClosedError) as error:
            from fluxmig import unreachable  # noqa: PLC0415  # likewise

            # What SQLAlchemy has to say of a connection that was lost while it was set up is not why.
            is_closed = isinstance(error, ResourceClosedError)
            why = (error.__context__ if is_closed else None) or error
            if not unreachable.may_pass(why) or time.monotonic() >= deadline:
                cause = why if unreachable.shows(engine.url, raw, why) else None
                raise unreachable.refusal(engine.url, raw, why) from cause
        except Exception as error:  # noqa: BLE001  # whatever a driver makes of words that it does not know
            if lacking := re.search(_LACKING, str(error)):
                raise ConfigError(
                    f"the driver {engine.driver} needs the package {lacking[1]} to send this password",
                    remedy=f"pip install {lacking[1]}",
                ) from None
            raise _bad_options(engine.url) from None
        time.sleep(_PAUSE_S)
