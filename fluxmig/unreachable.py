"""What a driver says when there is no connection -> one clear line, the way out, and whether to wait.

The line shows nothing of a URL that has not proved to be what it was taken for: a host that was tried, a
folder that is there; database and user when the server itself has answered (`discretion`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fluxmig.dialects.base import PAST_THE_POOLER
from fluxmig.discretion import repeats, word
from fluxmig.errors import ConfigError, DatabaseConnectionError

if TYPE_CHECKING:
    from sqlalchemy import URL

    from fluxmig.errors import FluxmigError

__all__ = ["existing", "may_pass", "reason", "refusal", "shows"]

_PRODUCTS = {"postgresql": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}
_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}

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
    (r"not accepting connections", "it is a standby that admits nobody: connect to the primary"),
    (
        r"session is read-only|is in hot standby mode",
        "connect to the primary; --wait SECONDS waits for a standby to become it",
    ),
    (
        r"translate host name|name or service not known|name resolution|nodename|resolve host",
        "check the host name in the URL",
    ),
    (r"timeout|timed out|no route|unreachable", "check host and port, and whether a firewall is in between"),
    (
        r"refused|^no such file or directory|can't connect",
        "is the server running there? --wait SECONDS waits for one",
    ),
    (
        r"access denied for user .* to database",
        "check the database in the URL, or GRANT the user a privilege on it",
    ),
    (r"account is locked", "ALTER USER ... ACCOUNT UNLOCK, or take another user"),
    (r"password has expired", "change it with another client: ALTER USER USER() IDENTIFIED BY ..."),
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
        r"too many|connection slots|no more connections|max_user_connections",
        "close other connections, or raise the server's limit; --wait SECONDS waits for a free one",
    ),
    (r"unable to open database file", "does the folder exist, and may you write there?"),
    (r"closed the connection|reset by peer|lost connection", "--wait SECONDS has it tried again"),
    (r"\bservice\b", "check the service in the URL or in PGSERVICE, and its file"),
)
_TRANSIENT = re.compile(
    r"starting up|not yet accepting|shutting down|recovery|refused|^no such file or directory|can't connect"
    r"|translate host name|name or service not known|name resolution|nodename|timeout|timed out|no route"
    r"|unreachable|closed the connection unexpectedly|lost connection|reset by peer"
    r"|too many|connection slots|no more connections|max_user_connections|session is read-only"
    r"|is in hot standby mode|server_login_retry",
    re.IGNORECASE,
)
# libpq's words for an option of the URL that it cannot use, and psycopg's.
_MISTAKES = re.compile(
    r"invalid (?P<unknown>connection option)|invalid (?:port number|\w+ value|integer value)|bad value for"
    r"|must be an integer|servname not supported",
    re.IGNORECASE,
)
# What the resolver says, with its number where the words are translated (EAI_*, netdb.h).
_UNKNOWN_HOST = re.compile(
    r"translate host name|resolve host|name or service not known|name resolution|nodename|\[Errno -\d+\]",
    re.IGNORECASE,
)
_TRIED = re.compile(
    r"\[Errno 1\d\d\]|refused|timeout|timed out|no route|unreachable|reset by peer|lost connection"
    r"|closed the connection",
    re.IGNORECASE,
)
# What libpq says before the reason: the host and port, or the socket, that it had tried.
_SERVER = re.compile(
    r'connection to server (?:at "(?P<host>[^"]*)"(?: \([^)]*\))?, port (?P<port>\d+)'
    r'|on socket "(?P<socket>[^"]*)") failed: '
)
# And how it says what the server has answered: a severity, in the server's language, and two spaces.
_ANSWER = re.compile(r"(?:failed: |^)[^\s:]+:  ")
_CLIENT_CODES = frozenset({*range(2000, 3000), *range(5000, 6000)})
"""Of MySQL's and MariaDB's codes, those that are the client's own, and no answer of a server (errmsg.h)."""


def may_pass(error: BaseException) -> bool:
    """Whether it is worth to try again, for a server that is not there yet, or has no room."""
    said = _said(error)
    return not _MISTAKES.search(said) and bool(_TRANSIENT.search(reason(said)))


def refusal(url: URL, given: str, error: BaseException) -> FluxmigError:
    """The error to raise.

    Args:
        url: Where one wanted to go.
        given: The same as the user has written it.
        error: What the driver has raised.
    """
    said = _said(error)
    if mistake := _MISTAKES.search(said):
        return _mistake(url, said, is_unknown=mistake["unknown"] is not None)
    why = reason(said)
    remedy = next((check for pattern, check in _CHECKS if re.search(pattern, why, re.IGNORECASE)), None)
    if url.get_backend_name() == "sqlite":
        return DatabaseConnectionError(f"cannot open the SQLite database{_file(url)}: {why}", remedy=remedy)
    facts = [_address(url, said, error)]
    if _is_answered(error, said):
        facts += [
            f"database {url.database}" if url.database else "",
            f"user {url.username}" if url.username else "",
        ]
    elif _UNKNOWN_HOST.search(why):
        why = "the host name in the URL is not known"
    elif repeats(_unproved(why, url, error), given):
        why = "what the driver says repeats a part of the URL, and is not shown"
    where = ", ".join(filter(None, facts))
    product = _PRODUCTS.get(url.get_backend_name(), url.get_backend_name())
    message = f"cannot connect to {product}{where and f' at {where}'}: {why}"
    return DatabaseConnectionError(message, remedy=remedy)


def shows(url: URL, given: str, error: BaseException) -> bool:
    """Whether all that a driver's error holds may be seen, as in a traceback."""
    said = _said(error)
    if _MISTAKES.search(said) or _UNKNOWN_HOST.search(said):
        return False
    return _is_answered(error, said) or not repeats(_unproved(said, url, error), given)


def reason(said: str) -> str:
    """The first line of a driver's message, without the preamble that repeats where one wanted to go."""
    text = re.sub(r"connection (?:failed|is bad): ", "", _SERVER.sub("", said))
    text = re.sub(r"(?:FATAL|ERROR): +", "", text)
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in lines if line), "no reason was given").rstrip(".")


def existing(path: Path) -> Path:
    """The folder nearest to a path that is there."""
    return next(folder for folder in path.parents if folder.is_dir())


def _said(error: BaseException) -> str:
    """The driver's message; some drivers put a number before it."""
    original = getattr(error, "orig", None) or error
    match original.args:
        case (int(), str(message)):
            return message
        case _:
            return str(original)


def _is_answered(error: BaseException, said: str) -> bool:
    """Whether the words are the server's: so it knows database and user, and tells what it wants to tell."""
    original = getattr(error, "orig", None) or error
    match original.args:
        case (int(code), str()) if not isinstance(original, OSError):
            return code not in _CLIENT_CODES
        case _:
            return bool(_ANSWER.search(said))


def _mistake(url: URL, said: str, *, is_unknown: bool) -> ConfigError:
    """Of an option: by its name, and not in the driver's words, which quote the value."""
    names = [name for name in (*url.query, "port") if re.search(rf"\b{re.escape(name)}\b", said)]
    named = word(names[0]) if names else "…"
    what = f"there is no option {named}" if is_unknown else f"the value of {named} cannot be used"
    return ConfigError(f"the database URL is wrong: {what}", remedy="correct it in the URL, or leave it out")


def _host(url: URL, said: str, error: BaseException) -> str | None:
    """The host, where it was found and tried; of several, the one that libpq tells of."""
    server = _SERVER.search(said)
    if server and not (url.host and "," not in url.host and server["host"]):
        return server["host"]
    is_tried = server or _is_answered(error, said) or _TRIED.search(said)
    return url.host if is_tried and not _UNKNOWN_HOST.search(said) else None


def _unproved(text: str, url: URL, error: BaseException) -> str:
    """A driver's words but for hosts and ports that were tried, and the sockets of folders that are there."""
    said = _said(error)
    host = _host(url, said, error)
    proved = {host, str(url.port) if host and url.port else None}
    for server in _SERVER.finditer(said):
        if server["host"] or Path(server["socket"]).parent.is_dir():
            proved |= {server["host"]}
            text = text.replace(server[0], "")
    for each in filter(None, proved):
        text = text.replace(each, "")
    return text


def _address(url: URL, said: str, error: BaseException) -> str:
    """Host and port, or the socket: as libpq says, else as the URL does, else as is usual."""
    server = _SERVER.search(said)
    socket = server["socket"] if server else url.query.get("unix_socket")  # of MySQL's drivers
    if isinstance(socket, str):
        return f"the socket {socket}" if Path(socket).parent.is_dir() else "its socket"
    host = _host(url, said, error)
    if not host:
        return ""
    port = (server and server["port"]) or url.port or _PORTS.get(url.get_backend_name())
    host = f"[{host}]" if ":" in host and "," not in host else host
    return f"{host}:{port}" if port and "," not in host else host


def _file(url: URL) -> str:
    """A space and the file of a SQLite database, if it is there."""
    path = Path(unquote((url.database or "").removeprefix("file:")))
    return f" {path}" if url.database and path.exists() else ""
