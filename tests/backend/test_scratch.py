"""Scratch databases with real servers: what each source gives, and what is said where one cannot be had."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.pool import NullPool

from fluxmig import embedded, scratch
from fluxmig.dialects import postgresql_databases
from fluxmig.errors import ConfigError
from fluxmig.model import DatabaseInfo
from tests.support import IMAGES, POSTGRESQL_15, STEPWISE, cannot_be_had

if TYPE_CHECKING:
    from tests.support import Servers

CONTAINERS = False


def like(server: str, version: str) -> DatabaseInfo:
    return DatabaseInfo("postgresql+psycopg", server, version)


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        result = connection.execute(text(sql))
        return [tuple(row) for row in result] if result.returns_rows else []


@pytest.fixture(params=["embedded", "container", "URL", "sqlite"])
def source(request: pytest.FixtureRequest, servers: Servers) -> str:
    if request.param == "container":
        servers.get("container-18")
        return f"container:{IMAGES[0]}"
    return servers.get("postgresql-18").admin_url if request.param == "URL" else str(request.param)


def name_of(url: str) -> str:
    return Path(make_url(url).database or "").stem


def test_databases_are_made_copied_and_dropped(source: str) -> None:
    said: list[str] = []
    with scratch.open_server(source, tell=said.append) as server:
        first = server.create()
        rows(first, "CREATE TABLE t AS SELECT 1 AS x")
        second, named = server.create(template=name_of(first)), server.create("of_a_name_x")
        assert rows(second, "SELECT x FROM t") == [(1,)]
        assert (name_of(named), len({first, second})) == ("of_a_name_x", 2)
        server.drop(named)
        again = server.create("of_a_name_x")
        rows(again, "CREATE TABLE t (x integer)")
        server.drop(again)
        if source.startswith(("embedded", "container")):
            settings = "('fsync', 'full_page_writes', 'synchronous_commit')"
            sql = f"SELECT DISTINCT setting FROM pg_settings WHERE name IN {settings}"
            assert rows(first, sql) == [("off",)]
    is_container = source.startswith("container")
    assert said == ([f"starting a container of {IMAGES[0]}"] if is_container else [])
    assert server.source == ("a given server" if "://" in source else source)
    assert server.product == ("SQLite" if source == "sqlite" else "PostgreSQL")
    assert re.match(r"3\.\d+\.\d+$" if source == "sqlite" else r"\d\d\.\d+", server.version)
    assert server.remarks == ()


def test_what_is_not_dropped_goes_at_the_end(servers: Servers) -> None:
    url = servers.get("postgresql-18").admin_url
    with scratch.open_server(url) as server:
        names = [name_of(server.create()) for _ in range(2)]
        assert len(there(url, names)) == 2
        engine = create_engine(make_url(url).set(database=names[0]))
        session = engine.connect()  # which holds nothing up
    assert there(url, names) == []
    session.invalidate()
    session.close()


def there(url: str, names: list[str]) -> list[tuple[Any, ...]]:
    return rows(url, f"SELECT datname FROM pg_database WHERE datname IN ('{names[0]}', '{names[1]}')")


def test_a_login_that_may_create_databases_is_enough(servers: Servers) -> None:
    admin = servers.get("postgresql-18").admin_url
    rows(admin, "CREATE ROLE maker LOGIN CREATEDB")
    url = make_url(admin).set(username="maker").render_as_string(hide_password=False)
    try:
        with scratch.open_server(url) as server:
            databases = server.databases
            first = server.create("fluxmig_maker_1")
            rows(first, "CREATE TABLE t (x integer)")
            databases.rename("fluxmig_maker_1", "fluxmig_maker_2")
            databases.note("fluxmig_maker_2", "a word")
            copy = server.create(template="fluxmig_maker_2")
            assert rows(copy, "SELECT * FROM t") == []
            assert databases.names("fluxmig_maker") == {"fluxmig_maker_2": "a word"}
            with databases.claimed("it", shared=True), databases.claimed("it", wait=False) as is_free:
                assert not is_free
            with databases.claimed("it") as is_free:  # at once, or when the server has ended that session
                assert is_free
            server.drop(copy)
            databases.drop("fluxmig_maker_2")
    finally:
        rows(admin, "DROP ROLE maker")


@pytest.mark.parametrize(
    ("source", "method"), [("postgresql-18", ["SET file_copy_method = clone"]), ("postgresql-15", [])]
)
def test_files_are_cloned_where_the_server_can(servers: Servers, source: str, method: list[str]) -> None:
    """On a server that syncs nothing, as those of tests."""
    engine = create_engine(servers.get(source).admin_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *told: sent.append(told[2]))
    with engine.connect() as connection:
        sent.clear()
        postgresql_databases.create(connection, "fluxmig_cloned", "template1")
        asked = [each for each in sent if not each.startswith("SELECT")]
        postgresql_databases.drop(connection, "fluxmig_cloned")
    assert asked == [*method, 'CREATE DATABASE "fluxmig_cloned" TEMPLATE "template1" STRATEGY file_copy']


@pytest.mark.parametrize("source", STEPWISE)
def test_mariadb_makes_them_and_copies_none(servers: Servers, source: str) -> None:
    url = servers.get(source).admin_url
    product, version = {"mariadb": ("MariaDB", "10.11.99"), "mysql": ("MySQL", "9.7.99")}[source]
    with scratch.open_server(url, like=like(product, version)) as server:
        database = server.create()
        rows(database, "CREATE TABLE t (x integer)")
        assert (server.product, server.remarks) == (product, ())
        with pytest.raises(ConfigError) as caught:
            server.create(template=name_of(database))
        name = name_of(database)
    assert str(caught.value) == f"{product} cannot copy a database\napply the migrations to a new one"
    assert rows(url, f"SELECT 1 FROM information_schema.schemata WHERE schema_name = '{name}'") == []


# --- which one --------------------------------------------------------------------------------------------


def test_a_server_of_the_same_release_is_found() -> None:
    if not POSTGRESQL_15.is_dir():
        cannot_be_had("postgresql", f"there is no {POSTGRESQL_15}")
    with scratch.open_server(like=like("PostgreSQL", "15.2")) as server:
        assert (server.source, server.version[:3], server.remarks) == ("embedded", "15.", ())


def test_a_server_of_another_release_is_told_of() -> None:
    with scratch.open_server("embedded", like=like("PostgreSQL", "99.2")) as server:
        newest = max(embedded.installed().values(), key=lambda version: int(version.partition(".")[0]))
        assert server.version == newest
        assert server.remarks == (f"PostgreSQL {newest} stands in for PostgreSQL 99.2",)


def test_the_first_that_works_says_why_the_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that is in no package: first its container, then the nearest there is."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    with scratch.open_server(like=like("PostgreSQL", "99.2")) as server:
        assert server.source == "embedded"
        assert server.remarks == (
            "container was passed over: no container of postgres:99: no container engine answers",
            f"PostgreSQL {server.version} stands in for PostgreSQL 99.2",
        )


def test_without_any_all_are_listed_with_their_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    with pytest.raises(ConfigError) as caught, scratch.open_server(postgres_bin=tmp_path):
        pass
    assert str(caught.value) == (
        "no scratch database can be had here:\n"
        f"- embedded: {tmp_path} is no folder of PostgreSQL binaries: no program initdb and no postgres\n"
        "- container: no container of postgres:18: no container engine answers\n"
        "  start Docker or Podman, or set DOCKER_HOST to its socket"
    )


SQLITE = "sqlite:///app.db"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("postgres", "this is no source of scratch databases"),
        ("embedded:folder", "this is no source of scratch databases"),
        (SQLITE, "fluxmig makes no databases of SQLite"),
        ("nonsense://", "SQLAlchemy knows no database or driver '…'"),
    ],
)
def test_what_is_no_source_is_refused(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # SQLite makes what it is to open
    with pytest.raises(ConfigError) as caught, scratch.open_server(source):
        pass
    assert caught.value.message == message


@pytest.mark.parametrize("product", ["DuckDB", "YugabyteDB", "generic"])
def test_some_products_have_none(product: str) -> None:
    with pytest.raises(ConfigError) as caught, scratch.open_server(like=like(product, "1.0")):
        pass
    assert str(caught.value) == f"there are no scratch databases of {product}"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluxmig.containers.find_spec", lambda _: None)
    with pytest.raises(ConfigError) as caught, scratch.open_server("container"):
        pass
    assert str(caught.value) == "the package testcontainers is not installed\npip install 'fluxmig[testing]'"


def test_an_image_that_is_not_there_is_named(servers: Servers) -> None:
    servers.get("container-18")
    with pytest.raises(ConfigError) as caught, scratch.open_server("container:localhost/no-such-image:1"):
        pass
    assert caught.value.message.startswith("no container of localhost/no-such-image:1: ")
    assert caught.value.remedy == "docker pull localhost/no-such-image:1"
