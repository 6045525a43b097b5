"""The fixtures, as a project uses them, on every source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import IMAGES, STEPWISE

if TYPE_CHECKING:
    from tests.support import Servers

PROJECT = """
import asyncio
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.orm import Session
from fluxmig.testing import *
from fluxmig.testing import engine_fixture

COUNT = text("SELECT count(*) FROM users")
ADD = text("INSERT INTO users VALUES (7, 'seven')")

def two_more(connection):
    connection.execute(text("INSERT INTO users VALUES (8, 'eight')"))
    connection.execute(text("INSERT INTO users VALUES (9, 'nine')"))

seeded_engine = engine_fixture(seed=["INSERT INTO users VALUES (1, 'one: 100%'); -- and", two_more])
module_engine = engine_fixture(scope="module")
orders_url = url_fixture("orders")
orders_async_engine = async_engine_fixture("orders")
seeded_connection = connection_fixture(seed=two_more)
orders_template = template_fixture("orders")

def count(engine):
    with engine.connect() as connection:
        return connection.scalar(COUNT)

@pytest.mark.parametrize("number", range(4))
def test_a_fresh_engine(migrated_engine, migrated_url, number):
    assert count(migrated_engine) == 0
    assert make_url(migrated_url) == migrated_engine.url
    with migrated_engine.begin() as connection:
        connection.execute(ADD)
    assert count(migrated_engine) == 1

@pytest.mark.parametrize("number", range(2))
def test_of_a_module(module_engine, number, seen=[]):
    seen.append(str(module_engine.url))
    with module_engine.begin() as connection:
        connection.execute(text(f"INSERT INTO users VALUES ({number}, 'x')"))
    assert count(module_engine) == len(seen)
    assert len(set(seen)) == 1

def test_a_seed(seeded_engine):
    assert count(seeded_engine) == 3

def test_another_folder(orders_url):
    engine = create_engine(orders_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM orders")).all() == []
    engine.dispose()

async def asked(engine, query):
    async with engine.connect() as connection:
        return await connection.scalar(query)

def test_asyncio(migrated_async_engine, orders_async_engine):
    assert asyncio.run(asked(migrated_async_engine, COUNT)) == 0
    assert asyncio.run(asked(orders_async_engine, text("SELECT count(*) FROM orders"))) == 0

@pytest.mark.parametrize("number", range(3))
def test_a_connection(migrated_connection, number):
    session = Session(migrated_connection)
    assert session.scalar(COUNT) == 0
    session.execute(ADD)
    session.commit()
    session.execute(text("DELETE FROM users"))
    session.rollback()
    assert session.scalar(COUNT) == 1
    session.close()

@pytest.mark.parametrize("number", range(3))
def test_a_connection_that_is_committed(seeded_connection, number):
    assert seeded_connection.scalar(COUNT) == 2
    seeded_connection.execute(ADD)
    seeded_connection.commit()

def test_templates(migrated_template, orders_template):
    urls = [migrated_template.create(), migrated_template.create(), orders_template.create()]
    assert len(set(urls)) == 3
    migrated_template.drop(urls[0])
    assert (migrated_template.name is None) == urls[0].startswith(("mariadb", "mysql"))
    orders_template.drop(urls[2])
"""


@pytest.mark.parametrize("source", ["sqlite", "embedded", *STEPWISE], indirect=True)
def test_every_fixture(source: str, project: pytest.Pytester) -> None:
    project.mkdir("orders").joinpath("001_orders.sql").write_text("CREATE TABLE orders (id integer);")
    project.makepyfile(PROJECT)
    done = project.runpytest_subprocess(f"--fluxmig-server={source}")
    done.assert_outcomes(passed=16)
    done.stdout.fnmatch_lines(["*= fluxmig =*", f"*: {'a given server' if '://' in source else source}"])


def test_every_fixture_in_a_container(servers: Servers, project: pytest.Pytester) -> None:
    servers.get("container-18")
    project.mkdir("orders").joinpath("001_orders.sql").write_text("CREATE TABLE orders (id integer);")
    project.makepyfile(PROJECT)
    done = project.runpytest_subprocess("-p", "xdist", "-n2", f"--fluxmig-server=container:{IMAGES[0]}")
    done.assert_outcomes(passed=16)
    assert done.stdout.str().count(f": container:{IMAGES[0]}") == 1


def test_what_goes_wrong_is_told_in_plain_words(project: pytest.Pytester) -> None:
    project.mkdir("broken").joinpath("001_broken.sql").write_text("CREATE TABLE t (a);\nCREATE TALBE;\n")
    project.makepyfile(
        """
        from fluxmig.testing import engine_fixture, url_fixture
        broken = engine_fixture("broken")
        missing = engine_fixture("nowhere")
        refused = url_fixture(seed="INSERT INTO nowhere VALUES (1);")
        lost = url_fixture(seed=__import__("pathlib").Path("lost.sql"))
        def test_broken(broken): pass
        def test_broken_again(broken): pass
        def test_missing(missing): pass
        def test_refused(refused): pass
        def test_lost(lost): pass
        """
    )
    done = project.runpytest_subprocess("--fluxmig-server=sqlite")
    done.assert_outcomes(errors=5)
    lines = done.stdout.lines
    folder = project.path / "broken"
    assert (
        lines.count(f'fluxmig: {folder}/001_broken.sql:2:8: near "TALBE": syntax error [SQLITE_ERROR]') == 2
    )
    assert f"fluxmig: there is no folder {project.path}/nowhere" in lines
    assert "fluxmig: seed.sql was refused" in lines
    assert "seed.sql:1:1: no such table: nowhere [SQLITE_ERROR]" in lines
    assert "fluxmig: lost.sql cannot be read: [Errno 2] No such file or directory: 'lost.sql'" in lines
    assert not any("site-packages" in line or "Traceback" in line for line in lines)


def test_a_source_that_is_none(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(migrated_url): pass")
    done = project.runpytest_subprocess("--fluxmig-server=postgres")
    done.assert_outcomes(errors=1)
    assert "fluxmig: this is no source of scratch databases" in done.stdout.lines
