"""docs/taking-over.md: its commands, typed in its order, print what it shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import make_url

from fluxmig.sql import POSTGRESQL, split
from tests.cli.support import LIMIT_S, REPOSITORY
from tests.support import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Database

PAGE = REPOSITORY / "docs" / "taking-over.md"
LEDGER = """
CREATE TABLE schema_migrations (id SERIAL PRIMARY KEY, migration_name VARCHAR(255) UNIQUE NOT NULL,
  applied_at TIMESTAMPTZ DEFAULT now(), execution_time_ms INTEGER, checksum VARCHAR(64),
  applied_by VARCHAR(255) DEFAULT current_user);
"""


def as_the_node_runner(url: str, folder: Path) -> None:
    """Applies a folder as FluxStudio's runner does: each file in a transaction, whatever comes of it.

    A stand-in for a program of another language, by the facts that are known of it: what is there already is
    recorded as applied, other failures are passed over, and the checksum has 16 digits. Before one of the
    files, somebody has run its first statement by hand.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(LEDGER)
        for path in sorted(folder.glob("*.sql")):
            if path.name.endswith(".down.sql"):
                continue
            if path.name.startswith("003"):
                connection.execute(split(path.read_bytes(), POSTGRESQL)[0].sql)
            try:
                with connection.transaction():
                    connection.execute(path.read_bytes())
            except (psycopg.errors.DuplicateTable, psycopg.errors.DuplicateObject):
                pass
            except psycopg.Error:
                continue
            row = (path.name, sha256(path.read_bytes()).hexdigest()[:16])
            connection.execute(
                "INSERT INTO schema_migrations (migration_name, checksum) VALUES (%s, %s)", row
            )


@pytest.fixture
def folder(tmp_path: Path, one_postgresql: Database) -> Path:
    """The example set, after the Node runner and some untidy hands."""
    folder = tmp_path / "migrations"
    shutil.copytree(EXAMPLES, folder)
    libpq = make_url(one_postgresql.url).set(drivername="postgresql")
    as_the_node_runner(libpq.render_as_string(hide_password=False), folder)
    (folder / "010_add_template_category.sql").rename(folder / "010_add_message_template_category.sql")
    edited = folder / "006_add_user_settings.sql"
    edited.write_text(edited.read_text("utf-8").replace("DEFAULT 'system'", "DEFAULT 'dark'"), "utf-8")
    return folder


def test_the_page(folder: Path, one_postgresql: Database) -> None:
    text = PAGE.read_text("utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    commands = [entry for block in blocks for entry in re.split(r"(?m)^\$ ", block)[1:]]
    assert len(commands) > 5
    for entry in commands:
        command, _, shown = entry.partition("\n")
        assert masked(printed(command, folder.parent, one_postgresql.url)) == masked(shown.rstrip("\n")), (
            command
        )


def printed(command: str, directory: Path, url: str) -> str:
    """What a person sees who types the command: both streams, in their order."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "DATABASE_URL": url, "PYTHONUNBUFFERED": "1"}
    environment["PATH"] = f"{directory / 'bin'}:{os.environ['PATH']}"
    (directory / "bin").mkdir(exist_ok=True)
    program = directory / "bin" / "fluxmig"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m fluxmig "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        command,
        shell=True,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    return done.stdout.rstrip("\n")


def masked(text: str) -> str:
    """Without what differs from day to day, machine to machine, and version to version."""
    text = re.sub(r"\b\d+\.\d\ds", "0.00s", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.\d]*(?:[+-]\d\d(?::\d\d)?)?", "TIME", text)
    text = re.sub(r"\S+@\S+, UTC\S+", "CLIENT, UTC", text)
    text = re.sub(r"PostgreSQL \d+\.\d+", "PostgreSQL VERSION", text)
    text = re.sub(r"(?m)^(Database:   ).*", r"\1NAME", text)
    return re.sub(r"fluxmig_test_\d+_\d+", "NAME", text)
