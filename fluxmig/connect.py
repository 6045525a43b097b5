"""A URL -> an Engine that has been reached, or one clear line why not.

No message repeats a URL: only the host, port, database and user of one that could be read.
"""

from __future__ import annotations

import re
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SAWarning

from fluxmig.dialects.base import PAST_THE_POOLER
from fluxmig.errors import ConfigError, DatabaseConnectionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import URL, Engine

__all__ = ["backend_of", "parse_url", "reach"]

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
_PRODUCTS = {"postgresql": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}
_CONNECT_TIMEOUT_S = 10
# Files are UTF-8; libmariadb's own default for mysqlclient is latin1.
_MYSQL_ARGUMENTS: dict[str, dict[str, object]] = {
    "pymysql": {"charset": "utf8mb4", "connect_timeout": _CONNECT_TIMEOUT_S, "program_name": "fluxmig"},
    "mysqldb": {"charset": "utf8mb4", "connect_timeout": _CONNECT_TIMEOUT_S},
    "mariadbconnector": {"connect_timeout": _CONNECT_TIMEOUT_S},
}
_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}
_SQLITE = b"SQLite format 3\0"
_PAUSE_S = 0.25
_SHAPE = (
    "the form is postgresql://USER:PASSWORD@HOST:5432/DATABASE,"
    " with @ : / ? # % in the password as %40 %3A %2F %3F %23 %25"
)

_OTHER_SERVER = re.compile(r"Could not determine version from string '(\w+)")
_OTHER_DIALECT = "for CockroachDB: pip install sqlalchemy-cockroachdb, and write cockroachdb+psycopg://"

# What a driver says -> what to check. The words are libpq's, PostgreSQL's, PgBouncer's, MySQL's and SQLite's
# own, in English; in another language the message stands alone.
_CHECKS = (
    (
        r"query_wait_timeout|server_login_retry",
        "a pooler is in between, and has no connection to the server: is that up, and the pool large enough?",
    ),
    (r"statement pooling", f"a pooler is in between that takes no transactions. {PAST_THE_POOLER}"),
    (
        r"unsupported startup parameter",
        f"a pooler is in between: take this out of the URL. Or {PAST_THE_POOLER}",
    ),
    (
        r"starting up|not yet accepting|shutting down|recovery",
        "--wait SECONDS waits for a server that is starting",
    ),
    (
        r"translate host name|name or service not known|name resolution|nodename",
        "check the host name in the URL",
    ),
    (r"timeout|timed out|no route|unreachable", "check host and port, and whether a firewall is in between"),
    (
        r"refused|^no such file or directory|can't connect",
        "is the server running there? --wait SECONDS waits for one",
    ),
    (r"password|authentication failed|access denied", "check user and password in the URL"),
    (r'role ".*" does not exist', "check the user in the URL, or create it"),
    (r"not permitted to log in", "ALTER ROLE ... LOGIN, or take another user"),
    (r"database .*does not exist|unknown database", "create the database, or check its name in the URL"),
    (r"permission denied for database|connect privilege", "GRANT CONNECT ON DATABASE ... TO this user"),
    (
        r"pg_hba\.conf",
        "the server does not admit this host, user, database or encryption; see its pg_hba.conf",
    ),
    (
        r"ssl|certificate",
        "check sslmode and sslrootcert; in production SSL is required unless the URL says sslmode=disable",
    ),
    (
        r"too many|connection slots|no more connections",
        "close other connections, or raise the server's limit",
    ),
    (r"unable to open database file", "does the folder exist, and may you write there?"),
)
_TRANSIENT = re.compile(
    r"starting up|not yet accepting|shutting down|recovery|refused|^no such file or directory|can't connect"
    r"|translate host name|name or service not known|name resolution|nodename|timeout|timed out|no route"
    r"|unreachable|closed the connection unexpectedly|lost connection|reset by peer|server_login_retry",
    re.IGNORECASE,
)
# libpq's words for an option of the URL that it cannot use, and psycopg's.
_MISTAKES = re.compile(
    r"invalid (?:connection option|port number|\w+ value)|bad value for|must be an integer"
    r"|servname not supported",
    re.IGNORECASE,
)
# What libpq says before the reason: the host and port, or the socket, that it had tried.
_SERVER = re.compile(
    r'connection to server (?:at "(?P<host>[^"]*)"(?: \([^)]*\))?, port (?P<port>\d+)'
    r'|on socket "(?P<socket>[^"]*)") failed: '
)


def parse_url(raw: str) -> URL:
    """The URL with the driver that fluxmig prefers where it names none.

    Raises:
        ConfigError: It cannot be read; the message holds nothing of it.
    """
    try:
        url = make_url(raw.strip())
    except (ArgumentError, ValueError):
        raise ConfigError("the database URL cannot be read", remedy=_SHAPE) from None
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
def reach(
    raw: str,
    *,
    read_only: bool = False,
    must_exist: bool = False,
    wait_s: float = 0.0,
    production: bool = False,
    environ: Mapping[str, str] | None = None,
    postgres_bin: Path | None = None,
    directory: Path | None = None,
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

    Raises:
        ConfigError: The URL, the driver, or the embedded server's binaries.
        DatabaseConnectionError: There was no answer, or a refusal.
    """
    word, _, folder = raw.strip().partition(":")
    if word == "embedded" and "//" not in folder:
        from fluxmig import scratch  # noqa: PLC0415  # only where a server is to be started

        place = (directory or Path()) / (
            Path(folder).expanduser() if folder else Path(".fluxmig", "postgres")
        )
        with scratch.start_embedded(place, binaries=postgres_bin) as server:
            url = make_url(server.url)
            # PGHOSTADDR would win over the socket's folder.
            arguments = _arguments(url, {}, production=False) | {"hostaddr": ""}
            with _reach(url, arguments, 0) as engine:
                yield engine
        return
    url = parse_url(raw)
    if url.get_backend_name() == "sqlite":
        url = _sqlite(url, directory or Path(), read_only=read_only, must_exist=must_exist)
    with _reach(url, _arguments(url, environ or {}, production=production), wait_s) as engine:
        yield engine


@contextmanager
def _reach(url: URL, arguments: dict[str, object], wait_s: float) -> Iterator[Engine]:
    engine = _engine(url, arguments)
    try:
        _knock(engine, wait_s)
        yield engine
    finally:
        engine.dispose()


def _engine(url: URL, arguments: dict[str, object]) -> Engine:
    try:
        is_async = url.get_dialect().is_async
    except NoSuchModuleError:
        raise ConfigError(
            f"SQLAlchemy knows no database or driver {url.drivername!r}",
            remedy="check the word before :// in the URL, or install the package that brings it",
        ) from None
    if is_async:
        raise ConfigError(
            f"{url.drivername} is an asyncio driver, and the command line needs another",
            remedy=f"write {url.get_backend_name()}:// without a driver",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SAWarning)  # an option that is not taken would only be a warning
            return create_engine(url, connect_args=arguments)
    except ImportError as error:
        name = error.name or url.get_driver_name()
        # Without a name, the driver is there and lacks something: psycopg does without libpq.
        why = "is not installed" if error.name else f"cannot be loaded: {_reason(str(error))}"
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
        f"the database URL has options that the driver does not take: {', '.join(url.query)}",
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
    arguments: dict[str, object] = {
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "fallback_application_name": "fluxmig",
    }
    if production:
        root = url.query.get("sslrootcert") or environ.get("PGSSLROOTCERT")
        wanted = "verify-full" if root else "require"
        if environ.get("PGSSLMODE") not in {"require", "verify-ca", "verify-full"}:
            arguments["sslmode"] = wanted
    arguments = {name: value for name, value in arguments.items() if name not in url.query}
    # Prepared statements belong to a server connection, which a pooler may change at any time.
    return arguments | ({"prepare_threshold": None} if url.get_driver_name() == "psycopg" else {})


def _sqlite(url: URL, directory: Path, *, read_only: bool, must_exist: bool) -> URL:
    """The file as an absolute path; for reading, never made."""
    name = url.database
    if not name or name == ":memory:" or name.startswith("file:"):
        return url
    path = (directory / name).absolute()
    if not path.parent.is_dir():
        raise DatabaseConnectionError(
            f"cannot open the SQLite database {path}: there is no folder {path.parent}",
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
    if not read_only:
        return url.set(database=str(path))
    if not path.exists() and must_exist:
        raise DatabaseConnectionError(f"there is no file {path} yet", remedy="`fluxmig run` makes it")
    if not path.exists():
        return url.set(database=":memory:")
    return url.set(database=f"file:{quote(str(path))}", query={**url.query, "mode": "ro", "uri": "true"})


def _may_be_sqlite(path: Path) -> bool:
    """Whether the file begins as a database does (fileformat2.html, 1.3); an empty one is a database too."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) in {b"", _SQLITE}
    except OSError:
        return True  # absent or closed to us; SQLite says it better


def _knock(engine: Engine, wait_s: float) -> None:
    """Opens one connection, which stays in the pool; again and again while the server is starting."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            with engine.connect():
                return
        except TypeError:  # a driver's own function got a word that it does not know
            raise _bad_options(engine.url) from None
        except AssertionError as error:  # SQLAlchemy's, of a server whose version is not PostgreSQL's
            found = _OTHER_SERVER.search(str(error))
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
        except (DBAPIError, OSError) as error:
            said = _said(error)
            if "invalid integer value" in said:  # libpq quotes it, and it may be a password
                raise _bad_options(engine.url) from None
            if _MISTAKES.search(said):
                raise ConfigError(
                    f"the database URL is wrong: {_reason(said)}",
                    remedy="correct it in the URL, or leave it out",
                ) from error
            if not _TRANSIENT.search(_reason(said)) or time.monotonic() >= deadline:
                raise _unreachable(engine.url, said) from error
        time.sleep(_PAUSE_S)


def _unreachable(url: URL, said: str) -> DatabaseConnectionError:
    reason = _reason(said)
    remedy = next((check for pattern, check in _CHECKS if re.search(pattern, reason, re.IGNORECASE)), None)
    name = url.get_backend_name()
    if name == "sqlite":
        where = f"open the SQLite database {unquote((url.database or '').removeprefix('file:'))}"
    else:
        facts = [_address(url, _SERVER.search(said))]
        facts += [
            f"{word} {value}" for word, value in (("database", url.database), ("user", url.username)) if value
        ]
        where = f"connect to {_PRODUCTS.get(name, name)} at {', '.join(facts)}"
    return DatabaseConnectionError(f"cannot {where}: {reason}", remedy=remedy)


def _address(url: URL, server: re.Match[str] | None) -> str:
    """Host and port, or the socket: as the URL says, else as libpq says, else as is usual."""
    if server and server["socket"]:
        return f"the socket {server['socket']}"
    given = url.query.get("host") or ""
    if socket := url.query.get("unix_socket"):  # of MySQL's drivers
        return f"the socket {socket}"
    host = url.host or (server and server["host"]) or (given if isinstance(given, str) else ",".join(given))
    if not host or host.startswith("/"):
        return f"the socket in {host}" if host else "the local server"
    port = url.port or (server and server["port"]) or _PORTS.get(url.get_backend_name())
    host = f"[{host}]" if ":" in host and "," not in host else host
    return f"{host}:{port}" if port and "," not in host else host


def _said(error: BaseException) -> str:
    """The driver's message; some drivers put a number before it."""
    original = getattr(error, "orig", None) or error
    match original.args:
        case (int(), str(message)):
            return message
        case _:
            return str(original)


def _reason(said: str) -> str:
    """The first line of a driver's message, without the preamble that repeats where one wanted to go."""
    text = re.sub(r"connection (?:failed|is bad): ", "", _SERVER.sub("", said))
    text = re.sub(r"(?:FATAL|ERROR): +", "", text)
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in lines if line), "no reason was given").rstrip(".")
