"""Where targets come from: a file, a query on a control database, the schemas of a database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from fluxmig.connect import reach
from fluxmig.dialects import dialect_of
from fluxmig.dialects.base import escape
from fluxmig.errors import ConfigError
from fluxmig.fleet import targets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fluxmig.fleet.model import Target

__all__ = ["from_file", "from_query", "from_schemas"]


def from_file(
    path: str | Path, *, base: str | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Target, ...]:
    """The targets that a file names, one a line.

    Args:
        path: The file, UTF-8.
        base: The URL that names alone are databases of.
        environ: Where variables are looked up for the host of a target; the rest of its URL stays as it is.

    Raises:
        ConfigError: It cannot be read, or a line of it.
    """
    try:
        content = Path(path).read_bytes().decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8", remedy="save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", remedy="name another file") from error
    found = targets.located(targets.of_text(content, str(path), base), environ or {})
    if not found:
        raise ConfigError(f"{path}: no target is named there", remedy="write NAME, URL or NAME URL a line")
    return found


def from_query(
    url: str, query: str, *, base: str | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Target, ...]:
    """The targets that a query on a control database gives, one a row. Only reads.

    Args:
        url: The control database's; variables in it are replaced.
        query: A SELECT of the columns `name`, `url`, `database`, `schema` and `group`, and others for labels.
        base: The URL that names alone are databases of; the control database's own by default.
        environ: Where variables are looked up.

    Raises:
        ConfigError: The query, or a row of it, cannot be used.
        DatabaseConnectionError: The control database does not answer.
    """
    environ = environ or {}
    control = targets.expanded(url, environ)
    with reach(control, read_only=True, must_exist=True, environ=environ) as engine:
        dialect = dialect_of(engine)
        try:
            with dialect.reading(engine) as connection:
                rows = [dict(row) for row in connection.execute(text(escape(query))).mappings()]
        except DBAPIError as error:
            raise ConfigError(
                f"--targets-sql: {dialect.explain(error).message}", remedy="mend the query"
            ) from error
    return targets.located(targets.of_rows(rows, "--targets-sql", base or url), environ)


def from_schemas(
    url: str, pattern: str, *, shared: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> tuple[Target, ...]:
    """A target for each schema of a database that a pattern of LIKE matches. Only reads.

    Args:
        url: The database's.
        pattern: `tenant_%` say.
        shared: The schemas whose objects scripts see behind their own.
        environ: Where variables are looked up.

    Raises:
        ConfigError: None matches.
        DatabaseConnectionError: The database does not answer.
    """
    environ = environ or {}
    with reach(targets.expanded(url, environ), read_only=True, must_exist=True, environ=environ) as engine:
        dialect = dialect_of(engine)
        with dialect.reading(engine) as connection:
            names = inspect(connection).get_schema_names()
    found = targets.located(targets.of_schemas(names, pattern, url, shared), environ)
    if not found:
        raise ConfigError(f"no schema is like {pattern}", remedy="% stands for any characters, _ for one")
    return found
