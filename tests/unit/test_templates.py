"""What a template is named by, and what of earlier sessions may go."""

from __future__ import annotations

import hashlib
import linecache
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from fluxmig import scratch
from fluxmig.testing import templates
from fluxmig.testing.templates import Recipe, Seed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from fluxmig.scratch import Server

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def seed(connection: Connection) -> None:
    """Does nothing."""


def other(connection: Connection) -> None:
    """Does nothing either."""


class Seeds:
    """What holds a seed whose doings depend on it."""

    def one(self, connection: Connection) -> None:
        """Does nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with scratch.open_server("sqlite", shared=tmp_path / "shared", keep=True) as server:
        yield server


@pytest.fixture
def recipe(folder: Path) -> Recipe:
    (folder / "001_a.sql").write_text("CREATE TABLE a (id integer);")
    return Recipe(folder)


def test_a_name_is_the_same_for_the_same(server: Server, recipe: Recipe, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "001_a.sql").write_text("CREATE TABLE a (id integer);")
    assert recipe.digest(server) == Recipe(elsewhere).digest(server)
    assert Recipe(elsewhere, (seed,)).digest(server) == Recipe(elsewhere, (seed,)).digest(server)


def test_a_name_is_another_for_everything_that_is_in_it(
    server: Server, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "seed.sql"
    path.write_text("SELECT 1;")
    folder = recipe.migrations
    seeds: list[tuple[Seed, ...]] = [
        (),
        (seed,),
        (other,),
        ("SELECT 2;",),
        ("SELECT 3;",),
        (path,),
        ("SELECT 2;", path),
    ]
    digests = [Recipe(folder, each).digest(server) for each in seeds]
    digests += [Recipe(folder, table="t").digest(server), Recipe(folder, schema="s").digest(server)]
    path.write_text("SELECT 4;")
    digests.append(Recipe(folder, (path,)).digest(server))
    (folder / "001_a.sql").write_text("CREATE TABLE a (id bigint);")
    digests.append(recipe.digest(server))
    (folder / "001_a.sql").rename(folder / "001_b.sql")
    digests.append(recipe.digest(server))
    monkeypatch.setattr("fluxmig.__version__", "99")
    digests.append(recipe.digest(server))
    assert len(set(digests)) == len(digests)
    assert {len(digest) for digest in digests} == {16}


@pytest.mark.parametrize("kind", ["string", "known string", "partial", "method"])
def test_a_function_of_which_nobody_can_tell_what_it_does_is_never_the_same(
    server: Server, recipe: Recipe, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where Python 3.13 keeps the text of `python -c`, which starts a worker, as that of "<string>"."""
    scope: dict[str, Any] = {}
    exec("def made(connection): pass", scope)
    text = "import sys\n"
    if kind == "known string":
        monkeypatch.setitem(linecache.cache, "<string>", (len(text), None, [text], "<string>"))
    others: dict[str, Seed] = {"partial": partial(seed), "method": Seeds().one}
    function = others.get(kind, scope["made"])
    made = Recipe(recipe.migrations, (function,))
    assert made.digest(server) != made.digest(server)


def test_functions_of_one_file_differ_by_their_place_and_by_what_they_were_given(
    server: Server, recipe: Recipe
) -> None:
    def closing_over(count: int) -> Seed:
        return lambda connection: seed(connection) if count else None

    def defaulting_to(count: int) -> Seed:
        def made(connection: Connection, count: int = count) -> None:
            """Does nothing."""

        return made

    def naming(count: int) -> Seed:
        def made(connection: Connection, *, count: int = count) -> None:
            """Does nothing."""

        return made

    def digests() -> list[str]:
        lambdas: list[Seed] = [
            lambda connection: None,
            lambda connection: None,
        ]
        seeds = [
            *lambdas,
            *(make(count) for make in (closing_over, defaulting_to, naming) for count in (1, 2)),
        ]
        return [Recipe(recipe.migrations, (each,)).digest(server) for each in seeds]

    assert len(set(digests())) == len(digests())
    assert digests() == digests()


def test_what_earlier_sessions_have_left_is_dropped(server: Server) -> None:
    """A session's copies, unless it goes on; what was not used for a week; and all but the newest three."""
    databases = server.databases
    project = hashlib.sha256(b"x").hexdigest()[:12]
    notes = {
        "fluxmig_template_1": f"{project} 2026-01-31T01:00:00",
        "fluxmig_template_2": f"{project} 2026-01-31T02:00:00",
        "fluxmig_template_3": f"{project} 2026-01-31T03:00:00",
        "fluxmig_template_4": f"{project} 2026-01-31T04:00:00",
        "fluxmig_template_5": "another 2026-01-31T00:00:00",
        "fluxmig_template_6": "another 2026-01-24T11:00:00",
        "fluxmig_template_7": "another 2026-01-24T11:00:00",
        "fluxmig_template_8_new": None,
        "fluxmig_template_9": "a person's own words",
        "fluxmig_kept_dead_1": "kept 2026-01-24T11:00:00",
        "fluxmig_kept_dead_2": "kept 2026-01-30T11:00:00",
        "fluxmig_test_dead_1": None,
        "fluxmig_test_live_1": None,
        "app": None,
    }
    for name, note in notes.items():
        databases.create(name, None)
        if note:
            databases.note(name, note)
    with databases.claimed("live"), databases.claimed("fluxmig_template_7", shared=True):
        dropped = templates.prune(server, now=NOW)
    gone = {"fluxmig_template_1", "fluxmig_template_6", "fluxmig_kept_dead_1", "fluxmig_test_dead_1"}
    assert set(dropped) == gone
    assert set(databases.names("")) == set(notes) - gone
