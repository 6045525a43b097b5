"""Who takes part: how each wants its migrations laid out, and how it is called."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fluxmig.embedded import find_binaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeAlias

    from benchmarks.server import Address

    Files: TypeAlias = Iterable[tuple[str, str]]

__all__ = ["FLUXMIG", "LOOP", "PSQL", "Tool", "environment", "fluxmig", "peers", "versions"]

_ROOT = Path(__file__).parent.parent
_NPM = ("dbmate", "node-pg-migrate", "pg", "graphile-migrate")
_PIP = ("alembic", "yoyo-migrations", "psycopg[binary]")


@dataclass(frozen=True, slots=True)
class Tool:
    """A migration tool, or what stands for the limit.

    Attributes:
        name: Its name.
        lay_out: Writes the migrations into a new folder.
        call: The words of the command that applies what is pending in a folder.
    """

    name: str
    lay_out: Callable[[Path, Files], None]
    call: Callable[[Path, Address], Sequence[str | Path]]


def _plain(folder: Path, files: Files) -> None:
    for name, text in files:
        (folder / f"{name}.sql").write_text(text)


# --- fluxmig and the limits -------------------------------------------------------------------------------


def fluxmig(*words: str | Path) -> list[str | Path]:
    """The words of a command of fluxmig's."""
    return [Path(sys.executable).parent / "fluxmig", *words]


def _fluxmig(folder: Path, address: Address) -> Sequence[str | Path]:
    return fluxmig("run", "--migrations", folder, "--database-url", address.url())


def _psql_files(folder: Path, files: Files) -> None:
    lines = ["CREATE TABLE schema_migrations (id serial PRIMARY KEY, migration_name varchar(255) UNIQUE);"]
    for name, text in files:
        (folder / f"{name}.sql").write_text(text)
        row = f"INSERT INTO schema_migrations (migration_name) VALUES ('{name}.sql');"  # noqa: S608
        lines.append(f"BEGIN;\n\\i {folder / name}.sql\n{row}\nCOMMIT;")
    (folder / "all.psql").write_text("\n".join(lines))


def _psql(folder: Path, address: Address) -> Sequence[str | Path]:
    program = shutil.which("psql", path=find_binaries()) or "psql"
    return [program, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", folder / "all.psql", address.url()]


def _loop(folder: Path, address: Address) -> Sequence[str | Path]:
    return [sys.executable, _ROOT / "benchmarks" / "loop.py", "run", address.url(), folder]


FLUXMIG = Tool("fluxmig", _plain, _fluxmig)
PSQL = Tool("psql", _psql_files, _psql)
LOOP = Tool("psycopg loop", _plain, _loop)

# --- peers ------------------------------------------------------------------------------------------------


def peers(folder: Path) -> list[Tool]:
    """Those that npm and pip have; installed into the folder where they are not there yet."""
    found = []
    if npm := shutil.which("npm"):
        if not (folder / "node_modules").exists():
            folder.mkdir(parents=True, exist_ok=True)
            words = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), *_NPM]
            subprocess.run(words, check=True, capture_output=True)
        bin_ = folder / "node_modules" / ".bin"
        found += [
            Tool("dbmate", _dbmate_files, lambda place, address: _dbmate(folder, place, address)),
            Tool("node-pg-migrate", _plain, lambda place, address: _node_pg_migrate(bin_, place, address)),
            Tool("graphile-migrate", _graphile_files, lambda place, address: _graphile(bin_, place, address)),
        ]
    if not (folder / "venv").exists():
        venv.create(folder / "venv", with_pip=True)
        subprocess.run([folder / "venv/bin/pip", "install", "-q", *_PIP], check=True, capture_output=True)
    python = folder / "venv" / "bin"
    found += [
        Tool("Alembic", _alembic_files, lambda place, address: _alembic(python, place, address)),
        Tool("yoyo", _plain, lambda place, address: _yoyo(python, place, address)),
    ]
    return found


def versions(folder: Path) -> dict[str, str]:
    """Of those that are installed there."""
    found = {}
    for name in _NPM:
        if (package := folder / "node_modules" / name / "package.json").exists():
            found[name] = json.loads(package.read_text())["version"]
    for place in sorted((folder / "venv").glob("lib/*/site-packages/*.dist-info")):
        name, _, version = place.stem.partition("-")
        if name in {"alembic", "yoyo_migrations"}:
            found[name.removesuffix("_migrations")] = version
    return found


def _dbmate_files(folder: Path, files: Files) -> None:
    for name, text in files:
        (folder / f"{name}.sql").write_text(f"-- migrate:up\n{text}\n-- migrate:down\n")


def _dbmate(installed: Path, folder: Path, address: Address) -> Sequence[str | Path]:
    """The program itself: what npm puts beside it starts Node first."""
    program = next((installed / "node_modules" / "@dbmate").glob("*/bin/dbmate"))
    url = address.url("postgres", sslmode="disable")
    return [program, "--url", url, "-d", folder, "--no-dump-schema", "up"]


def _node_pg_migrate(programs: Path, folder: Path, address: Address) -> Sequence[str | Path]:
    words: list[str | Path] = ["/usr/bin/env", f"DATABASE_URL={address.url()}", programs / "node-pg-migrate"]
    return [*words, "up", "-m", folder, "--migration-file-language", "sql", "--no-single-transaction"]


def _graphile_files(folder: Path, files: Files) -> None:
    """Each file names the hash of the one before."""
    committed = folder / "migrations" / "committed"
    committed.mkdir(parents=True)
    previous = ""
    for number, (name, text) in enumerate(files, 1):
        body = text.strip()
        digest = hashlib.sha1(f"{previous}\n{body}".strip().encode() + b"\n", usedforsecurity=False)
        head = f"--! Previous: {previous or '-'}\n--! Hash: sha1:{digest.hexdigest()}\n\n"
        (committed / f"{number:06d}-{name.partition('_')[2]}.sql").write_text(f"{head}{body}\n")
        previous = f"sha1:{digest.hexdigest()}"


def _graphile(programs: Path, folder: Path, address: Address) -> Sequence[str | Path]:
    (folder / ".gmrc").write_text(json.dumps({"connectionString": address.url()}))
    return ["/usr/bin/env", "-C", folder, programs / "graphile-migrate", "migrate"]


_ENVIRONMENT = """from alembic import context
from sqlalchemy import create_engine
engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
_REVISION = """from alembic import op
revision = {name!r}
down_revision = {previous!r}
def upgrade():
    op.get_bind().exec_driver_sql({text!r}, execution_options={{"no_parameters": True}})
"""


def _alembic_files(folder: Path, files: Files) -> None:
    """A revision each, with the same SQL."""
    revisions = folder / "versions"
    revisions.mkdir()
    (folder / "env.py").write_text(_ENVIRONMENT)
    previous = None
    for name, text in files:
        (revisions / f"r{name}.py").write_text(_REVISION.format(name=name, previous=previous, text=text))
        previous = name


def _alembic(programs: Path, folder: Path, address: Address) -> Sequence[str | Path]:
    url = address.url("postgresql+psycopg").replace("%", "%%")
    (folder / "alembic.ini").write_text(f"[alembic]\nscript_location = {folder}\nsqlalchemy.url = {url}\n")
    return [programs / "alembic", "-c", folder / "alembic.ini", "upgrade", "head"]


def _yoyo(programs: Path, folder: Path, address: Address) -> Sequence[str | Path]:
    url = address.url("postgresql+psycopg")
    return [programs / "yoyo", "apply", "--batch", "--no-config-file", "--database", url, folder]


def environment(*, whole: bool = False) -> dict[str, str]:
    """What all commands get: nothing that a machine's owner has set for one of them, or for Python.

    Args:
        whole: Whether all of it is wanted, and not what differs from that of this process.
    """
    own = ("DATABASE_URL", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGOPTIONS", "PGSERVICE")
    cleared = {name: "" for name in os.environ if name in own or name.startswith("PYTHON")}
    return {**os.environ, **cleared} if whole else cleared
