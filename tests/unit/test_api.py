"""The public API: its names, its types, and what importing it loads."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import json
import pkgutil
import re
import subprocess
import sys
import typing
from importlib import resources
from pathlib import Path
from types import ModuleType

import pytest

import fluxmig
from fluxmig import errors, migrator, model, policies, testing
from fluxmig.loading import nouns
from fluxmig.testing import fixtures

ROOT = Path(fluxmig.__file__).parent.parent

HEAVY = ("sqlalchemy", "psycopg", "rich", "dotenv", "tomllib", "asyncio", "testcontainers", "pytest")


def test_all_is_what_is_there() -> None:
    public = {*errors.__all__, *model.__all__, *nouns.__all__, *migrator.__all__, "__version__"}
    assert fluxmig.__all__ == sorted(public)
    assert dir(fluxmig) == fluxmig.__all__


def test_every_name_is_there() -> None:
    for home in (errors, model, nouns, migrator):
        for name in home.__all__:
            assert getattr(fluxmig, name) is getattr(home, name)


def test_nothing_else_is_there() -> None:
    found = {
        name
        for name, value in vars(fluxmig).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert found - set(fluxmig.__all__) <= {"annotations", "TYPE_CHECKING", "Any"}
    with pytest.raises(AttributeError, match=r"^module 'fluxmig' has no attribute 'Migrater'$"):
        fluxmig.Migrater  # noqa: B018


def test_star_import() -> None:
    names: dict[str, object] = {}
    exec("from fluxmig import *", names)
    assert set(names) - {"__builtins__"} == set(fluxmig.__all__)


@pytest.mark.parametrize(
    "name",
    [
        module.name
        for module in pkgutil.walk_packages(fluxmig.__path__, "fluxmig.")
        if not module.name.rpartition(".")[2].startswith("_")
    ],
)
def test_all_of_each_module_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_the_version_is_a_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", fluxmig.__version__)


def test_the_types_are_for_others_too() -> None:
    marker = resources.files("fluxmig") / "py.typed"
    assert marker.is_file()
    assert marker.read_bytes() == b""


def test_the_names_for_tests_are_what_is_there() -> None:
    factories = {name for name in fixtures.__all__ if name.endswith("_fixture")}
    assert testing.__all__ == sorted({"Server", "Template", "open_server"} | factories)
    assert dir(testing) == testing.__all__
    assert {getattr(testing, name).__name__ for name in testing.__all__} == set(testing.__all__)
    with pytest.raises(AttributeError, match=r"^module 'fluxmig.testing' has no attribute 'nonsense'$"):
        testing.nonsense  # noqa: B018


# --- the nouns --------------------------------------------------------------------------------------------

NOUNS: list[type] = [getattr(model, name) for name in model.__all__]
VALUES = [noun for noun in NOUNS if not issubclass(noun, enum.Enum)]


@pytest.mark.parametrize("noun", VALUES)
def test_nouns_are_frozen_values(noun: type) -> None:
    assert dataclasses.is_dataclass(noun)
    parameters = vars(noun)["__dataclass_params__"]
    assert (parameters.frozen, parameters.eq, parameters.order) == (True, True, False)
    assert "__slots__" in vars(noun)
    assert "__dict__" not in dir(noun)
    assert noun.__doc__


def test_nouns_are_values_or_words() -> None:
    assert {noun for noun in NOUNS if noun not in VALUES} == {
        noun for noun in NOUNS if issubclass(noun, enum.StrEnum)
    }
    topics = [f"{model.__name__}.{topic.name}" for topic in pkgutil.iter_modules(model.__path__)]
    defined = {
        name
        for module in (*topics, policies.__name__)
        for name, value in vars(importlib.import_module(module)).items()
        if isinstance(value, type) and value.__module__ == module
    }
    assert defined == set(model.__all__)


def test_a_noun_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"^module 'fluxmig.model' has no attribute 'Nonsense'$"):
        model.Nonsense  # noqa: B018


PACKED = {(model.Statements, "cells")}
"""An array of numbers, written once: files of data have millions of statements."""


@pytest.mark.parametrize("noun", VALUES)
def test_nouns_hold_nothing_that_changes(noun: type) -> None:
    # Of Python 3.11, array[int] is no type; and it changes as a list does.
    known = {each.__name__: each for each in NOUNS} | vars(sys.modules[noun.__module__])
    known |= {"Path": Path, "datetime": object, "array": list}
    hints = typing.get_type_hints(noun, known)
    for field in dataclasses.fields(noun):
        outer = typing.get_origin(hints[field.name])
        assert (outer in {list, dict, set}) is ((noun, field.name) in PACKED), field.name


# --- what is loaded ---------------------------------------------------------------------------------------

LOADED = "import json, sys; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
CLI = """
import sys
from fluxmig.cli import main
try:
    main(sys.argv[1:])
except SystemExit as error:
    assert not error.code, error.code
"""


def loaded(program: str, *arguments: str, cwd: Path) -> set[str]:
    """The packages that are loaded when a program has run."""
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{LOADED}", *arguments],
        capture_output=True,
        encoding="utf-8",
        check=True,
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT)},
    )
    return {name.partition(".")[0] for name in json.loads(done.stderr)}


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        pytest.param("import fluxmig", (), id="import fluxmig"),
        pytest.param("import fluxmig, fluxmig.testing", (), id="import fluxmig.testing"),
        pytest.param("from fluxmig import FluxmigError, State, Report", (), id="import nouns and errors"),
        pytest.param(CLI, (), id="fluxmig"),
        pytest.param(CLI, ("--version",), id="fluxmig --version"),
        pytest.param(CLI, ("--help",), id="fluxmig --help"),
        pytest.param(CLI, ("run", "--help"), id="fluxmig run --help"),
        pytest.param(CLI, ("create", "x"), id="fluxmig create x"),
        pytest.param(CLI, ("create", "x", "--with-down", "--json"), id="fluxmig create x --json"),
    ],
)
def test_what_is_not_loaded(program: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    found = loaded(program, *arguments, cwd=tmp_path)
    assert "fluxmig" in found
    assert found.isdisjoint(HEAVY), found & set(HEAVY)


def test_what_is_loaded_when_it_is_used(tmp_path: Path) -> None:
    """The other test could not fail if this one did not see these."""
    found = loaded("import fluxmig; fluxmig.Migrator", cwd=tmp_path)
    assert "sqlalchemy" in found
    assert not found & {"psycopg", "rich", "dotenv", "click"}


def test_who_migrates_loads_nothing_of_a_load(tmp_path: Path) -> None:
    program = "import fluxmig, sys; fluxmig.Migrator; print([m for m in sys.modules if 'loading' in m])"
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "[]\n"


def test_the_type_checker_sees_what_is_loaded_late() -> None:
    assert fluxmig.Migrator is migrator.Migrator
    assert fluxmig.run_migration is migrator.run_migration
    assert fluxmig.get_applied_migrations is migrator.get_applied_migrations
