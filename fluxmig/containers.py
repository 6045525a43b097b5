"""Database servers in containers, by testcontainers."""

from __future__ import annotations

import gc
import secrets
import time
import warnings
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sqlalchemy import URL

from fluxmig.connect import reach
from fluxmig.dialects.postgresql_databases import make_fast
from fluxmig.errors import ConfigError, DatabaseConnectionError, FluxmigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from testcontainers.core.container import DockerContainer

__all__ = ["LABEL", "remove", "start"]

LABEL = "fluxmig"
"""The label of every container; its value says whose it is."""

_START_TIMEOUT_S = 120.0
_LOG_LINES = 10


@dataclass(frozen=True, slots=True)
class _Image:
    """How a server of an image is started, as the documentation of the official images has it.

    Attributes:
        driver: What its URL begins with.
        user: Its superuser, and
        database: a database to connect to.
        port: Where it listens.
        password: The variable that takes the superuser's password.
        data: Where it keeps its data: in memory.
        environment: More variables.
        command: What stands behind the image's own entry point.
    """

    driver: str
    user: str
    database: str | None
    port: int
    password: str
    data: str
    environment: Mapping[str, str]
    command: tuple[str, ...]


_POSTGRES = _Image(
    "postgresql+psycopg",
    "postgres",
    "postgres",
    5432,
    "POSTGRES_PASSWORD",
    "/fluxmig",
    # A place of its own: where the image keeps its data differs between versions.
    {"PGDATA": "/fluxmig/data", "POSTGRES_INITDB_ARGS": "--no-sync", "POSTGRES_USER": "postgres"},
    (),
)
_FAST = ("--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--skip-log-bin", "--sync-binlog=0")
_MYSQL = _Image("mysql+pymysql", "root", None, 3306, "MYSQL_ROOT_PASSWORD", "/var/lib/mysql", {}, _FAST)
_MARIADB = _Image("mariadb+pymysql", "root", None, 3306, "MARIADB_ROOT_PASSWORD", "/var/lib/mysql", {}, _FAST)
_KINDS = {"mariadb": _MARIADB, "mysql": _MYSQL, "percona": _MYSQL}
"""By a word in the image's name; every other image is one of PostgreSQL's."""


def start(image: str, owner: str, tell: Callable[[str], None], *, outlives: bool = False) -> str:
    """The URL of the superuser of a server in a new container, which `remove` removes.

    Args:
        image: Its name, with or without a tag.
        owner: The value of its label.
        tell: Called with a line before what may take long.
        outlives: Whether others may use it when this process is gone. Ryuk, with which testcontainers ends
            what is left, would not know of them.

    Raises:
        ConfigError: There is no testcontainers, no container engine or no such image.
        DatabaseConnectionError: The server did not start; its own last words are in the message.
    """
    if find_spec("testcontainers") is None:
        raise ConfigError(
            "the package testcontainers is not installed", remedy="pip install 'fluxmig[testing]'"
        )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ResourceWarning
        )  # a client that finds no engine leaves its socket open
        result = _started(image, owner, tell, outlives=outlives)
        if isinstance(result, FluxmigError):
            gc.collect()
            raise result
    return result


def _started(image: str, owner: str, tell: Callable[[str], None], *, outlives: bool) -> str | FluxmigError:
    """The URL; or the error, without what led to it."""
    kind = next((kind for word, kind in _KINDS.items() if word in image), _POSTGRES)
    password = secrets.token_hex(8)
    container = None
    try:
        container = _container(image, kind, password, owner)
        tell(f"starting a container of {image}")
        with _without_ryuk() if outlives else nullcontext():
            container.start()
        where = container.get_container_host_ip(), int(container.get_exposed_port(kind.port))
        url = URL.create(kind.driver, kind.user, password, *where, database=kind.database)
        raw = url.render_as_string(hide_password=False)
        _await(container, kind, image, raw)
    except FluxmigError as error:
        _stop(container)
        return error.with_traceback(None)
    except Exception as error:  # noqa: BLE001  # whatever an engine, its client and a proxy in between raise
        _stop(container)
        return _refusal(image, error)
    except BaseException:
        _stop(container)
        raise
    container.get_docker_client().client.close()
    return raw


def remove(owner: str) -> None:
    """Removes all containers of an owner, whatever they do."""
    from testcontainers.core.docker_client import DockerClient  # noqa: PLC0415  # only where there are any

    client = DockerClient().client
    try:
        for container in client.api.containers(all=True, filters={"label": f"{LABEL}={owner}"}):
            client.api.remove_container(container["Id"], force=True, v=True)
    finally:
        client.close()


def _container(image: str, kind: _Image, password: str, owner: str) -> DockerContainer:
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415  # an optional package

    container = DockerContainer(image, labels={LABEL: owner}, command=" ".join(kind.command) or None)
    container.with_envs(**kind.environment, **{kind.password: password})
    container.with_exposed_ports(kind.port)
    container.tmpfs = {kind.data: "rw"}
    return container


@contextmanager
def _without_ryuk() -> Iterator[None]:
    from testcontainers.core.config import testcontainers_config  # noqa: PLC0415  # an optional package

    was_disabled = testcontainers_config.ryuk_disabled
    testcontainers_config.ryuk_disabled = True
    try:
        yield
    finally:
        testcontainers_config.ryuk_disabled = was_disabled


def _await(container: DockerContainer, kind: _Image, image: str, url: str) -> None:
    """Waits until the server answers, and makes it fast."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            with reach(url) as engine:
                if kind is _POSTGRES:
                    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                        make_fast(connection)
                return
        except DatabaseConnectionError as error:
            wrapped = container.get_wrapped_container()
            wrapped.reload()
            if wrapped.status in {"exited", "dead"} or time.monotonic() > deadline:
                said = wrapped.logs(tail=_LOG_LINES).decode(errors="replace").strip()
                raise DatabaseConnectionError(
                    f"the server in a container of {image} did not start: {error.message}\n{said}"
                ) from None
        time.sleep(0.1)


def _stop(container: DockerContainer | None) -> None:
    """Removes the container; an engine that is gone has none, and the first error counts."""
    with suppress(Exception):
        if container:
            container.stop()


def _refusal(image: str, error: Exception) -> ConfigError:
    """What a container engine has raised, in a line, with the way out."""
    from docker.errors import APIError, DockerException  # noqa: PLC0415  # an optional package

    if isinstance(error, APIError):
        reason, remedy = error.explanation or str(error), f"docker pull {image}"
    elif isinstance(error, DockerException):
        reason = "no container engine answers"
        remedy = "start Docker or Podman, or set DOCKER_HOST to its socket"
    else:
        reason, remedy = str(error) or type(error).__name__, None
    first_line = str(reason).strip().partition("\n")[0]
    return ConfigError(f"no container of {image}: {first_line}", remedy=remedy)
