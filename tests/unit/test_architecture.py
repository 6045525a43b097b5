"""Who may import whom, who may touch the world, and who may ask which database it is.

The lists below are the architecture. A module that stands in none of them fails the tests.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import fluxmig

ROOT = Path(fluxmig.__file__).parent

# From the bottom to the top. A module imports what stands in lines above its own, and nothing else of
# fluxmig: neither what stands below nor what stands beside it.
LAYERS = (
    "_guardian",
    "errors  policies",
    "model.databases  model.files  model.ledger  model.mending  model.plan  model.reversals  model.scripts",
    "model.news  model.reports",
    "model",
    "loading.paths  pauses  fleet.model",
    "loading.nouns  trace",
    "loading.tables",
    "loading  loading.buffer  loading.convert  loading.mapping  loading.order  loading.scanning",
    "loading.columns  loading.matching  loading.reading  loading.spool",
    "loading.guessing",
    "loading.fitting",
    "loading.planning  loading.repeats  loading.tallies",
    "loading.records",
    "loading.culprits",
    "signals  catalog  config  content  diff  discretion  excerpt  git  names  sql",
    "creation  layouts.numbered  lines",
    "fleet.waves  layouts  objects  planner  render  render_diff  script",
    "check  dialects.existing  foresight  mend  presence  render_adopt  render_mend",
    "adopt  hazards  render_check  render_load",
    "render_rehearsal",
    "render_fleet  render_html",
    "render_fleet_html",
    "dialects.loading  dialects.tracing",
    "dialects.base",
    "dialects.mysql_catalog  dialects.mysql_errors  dialects.mysql_existing  dialects.mysql_limits",
    "dialects.mysql_privileges  dialects.mysql_structure  dialects.mysql_trace",
    "dialects.duckdb_loading  dialects.mysql_loading  dialects.mysql_session  dialects.mysql_watch",
    "dialects.sqlite_loading",
    "dialects.postgresql_catalog  dialects.postgresql_databases",
    "dialects.postgresql_errors  dialects.postgresql_index  dialects.postgresql_ledger",
    "dialects.postgresql_limits  dialects.postgresql_look",
    "dialects.postgresql_session  dialects.postgresql_trace  dialects.postgresql_watch",
    "dialects.psycopg_driver  dialects.sqlite_catalog  dialects.sqlite_session",
    "dialects.postgresql_dump  dialects.postgresql_loading  dialects.postgresql_pooler",
    "dialects.duckdb  dialects.generic  dialects.mysql  dialects.postgresql  dialects.sqlite",
    "dialects.postgresql_kin",
    "dialects",
    "files",
    "ledger  loading.writing  lock  lookout  preparation  sending",
    "at_once  duplicates  loading.load  patience",
    "bookkeeping  stepwise  transcript",
    "execute",
    "reversal  running",
    "migrator",
    "_accounts",
    "embedded",
    "unreachable",
    "connect",
    "containers  databases",
    "sweeper",
    "rehearsal  scratch  structure",
    "fleet.targets",
    "fleet.compiled  fleet.leash  fleet.sources  fleet.state",
    "fleet.work",
    "fleet.worker",
    "fleet.crew",
    "fleet.pacing",
    "fleet.runner",
    "fleet.passes  fleet.rehearsals",
    "fleet",
    "console",
    "cli_adopt  cli_check  cli_create  cli_load  cli_mend  cli_rehearse  cli_rollback",
    "cli_fleet  cli_run  cli_status",
    "cli",
    "__main__",
    "testing.clones",
    "testing.templates",
    "testing.session",
    "testing.fixtures",
    "testing.suite",
    "testing",
    "pytest_plugin",
)
LEVEL = {module: level for level, layer in enumerate(LAYERS) for module in layer.split()}

# The package itself is the public names, and its version, which these need.
PACKAGE_IMPORTS_WHEN_USED = {"errors", "loading.nouns", "migrator", "model"}
IMPORT_THE_PACKAGE = {"cli", "migrator", "testing.templates"}

# Nothing else of other people's code is imported when a module is loaded, or later.
THIRD_PARTY = {
    "sqlalchemy": {
        "at_once",
        "bookkeeping",
        "connect",
        "containers",
        "databases",
        "dialects.base",
        "dialects.duckdb",
        "dialects.duckdb_loading",
        "dialects.existing",
        "dialects.generic",
        "dialects.loading",
        "dialects.mysql",
        "dialects.mysql_catalog",
        "dialects.mysql_existing",
        "dialects.mysql_limits",
        "dialects.mysql_loading",
        "dialects.mysql_session",
        "dialects.mysql_structure",
        "dialects.mysql_trace",
        "dialects.postgresql",
        "dialects.postgresql_catalog",
        "dialects.postgresql_databases",
        "dialects.postgresql_errors",
        "dialects.postgresql_index",
        "dialects.postgresql_limits",
        "dialects.postgresql_loading",
        "dialects.postgresql_look",
        "dialects.postgresql_pooler",
        "dialects.postgresql_session",
        "dialects.postgresql_watch",
        "dialects.psycopg_driver",
        "dialects.sqlite",
        "dialects.sqlite_catalog",
        "dialects.sqlite_loading",
        "dialects.sqlite_session",
        "dialects.tracing",
        "execute",
        "fleet.leash",
        "fleet.sources",
        "fleet.state",
        "ledger",
        "loading.load",
        "loading.writing",
        "lock",
        "migrator",
        "reversal",
        "running",
        "scratch",
        "sending",
        "stepwise",
        "structure",
        "testing.fixtures",
        "testing.session",
        "testing.suite",
        "testing.templates",
        "transcript",
    },
    "click": {
        "cli",
        "cli_adopt",
        "cli_check",
        "cli_create",
        "cli_fleet",
        "cli_load",
        "cli_mend",
        "cli_rehearse",
        "cli_rollback",
        "cli_run",
        "cli_status",
        "console",
    },
    "distributed": {"fleet.crew"},
    "rich": {"lines"},
    "dotenv": {"config"},
    "psycopg": {"dialects.psycopg_driver"},
    "docker": {"containers"},
    "testcontainers": {"containers"},
    "pytest": {"pytest_plugin", "testing.fixtures", "testing.suite"},
}
AT_LOAD = {"sqlalchemy", "click", "pytest"}

# These never load SQLAlchemy, whatever they import. `dialects` and all above it do.
PURE = (
    "errors policies model trace catalog config content creation diff discretion excerpt git lines names"
    " layouts.numbered render render_diff sql layouts planner script check adopt preparation render_check"
    " mend render_adopt render_mend hazards render_rehearsal render_html fleet.model fleet.waves render_fleet"
    " render_fleet_html fleet embedded console cli_check cli_fleet cli_mend cli_rehearse cli_rollback"
    " cli_create cli_run cli_status cli testing pytest_plugin"
    " loading.planning loading.guessing loading.spool render_load cli_load"
)


class Import(NamedTuple):
    """One imported module, by its full name, and whether that happens when the importer is loaded."""

    module: str
    is_late: bool


def names() -> list[str]:
    """Every module of the package but the package itself, without `fluxmig.` before it."""
    found = [path.relative_to(ROOT).with_suffix("").parts for path in ROOT.rglob("*.py")]
    dotted = (".".join(parts).removesuffix("__init__").removesuffix(".") for parts in found)
    return sorted(name for name in dotted if name)


MODULES = names()


@cache
def tree(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text("utf-8"), str(path))


def imports(module: str) -> set[Import]:
    """What a module imports at run time: not what only the type checker sees."""
    found: set[Import] = set()

    def visit(node: ast.AST, *, is_late: bool) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for branch in node.orelse:
                visit(branch, is_late=is_late)
            return
        if isinstance(node, ast.Import):
            found.update(Import(alias.name, is_late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import in line {node.lineno}"
            found.update(Import(_imported(node.module or "", alias.name), is_late) for alias in node.names)
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, is_late=is_late or is_function)

    visit(tree(module), is_late=False)
    return found


def _imported(package: str, name: str) -> str:
    """`from fluxmig import sql` imports a module, `from fluxmig.sql import split` too, but the other."""
    within = f"{package}.{name}".removeprefix("fluxmig.")
    return f"fluxmig.{within}" if package.partition(".")[0] == "fluxmig" and within in MODULES else package


def own(module: str, *, late: bool | None = None) -> set[str]:
    """The modules of fluxmig that a module imports; "" for the package itself."""
    return {
        found.module.removeprefix("fluxmig").removeprefix(".")
        for found in imports(module)
        if found.module.partition(".")[0] == "fluxmig" and late in (None, found.is_late)
    }


# --- imports ----------------------------------------------------------------------------------------------


def test_every_module_has_its_place() -> None:
    placed = [module for layer in LAYERS for module in layer.split()]
    assert sorted(placed) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    allowed = {other for other in MODULES if LEVEL[other] < LEVEL[module]}
    allowed |= {""} if module in IMPORT_THE_PACKAGE else set()
    assert own(module) <= allowed


def test_the_package_imports_what_it_shows() -> None:
    assert own("", late=False) == set()
    assert own("", late=True) == PACKAGE_IMPORTS_WHEN_USED


def test_the_guardian_knows_the_standard_library_alone() -> None:
    assert {found.module.partition(".")[0] for found in imports("_guardian")} <= sys.stdlib_module_names


@pytest.mark.parametrize("module", ["", *MODULES])
def test_who_imports_what_of_others(module: str) -> None:
    others = {
        (package, found.is_late)
        for found in imports(module)
        if (package := found.module.partition(".")[0]) not in {*sys.stdlib_module_names, "fluxmig"}
    }
    assert {package for package, _ in others} <= {
        package for package, users in THIRD_PARTY.items() if module in users
    }
    assert {package for package, is_late in others if not is_late} <= AT_LOAD


def test_the_list_of_others_names_nobody_too_many() -> None:
    for package, users in THIRD_PARTY.items():
        found = {
            module
            for module in MODULES
            if any(found.module.partition(".")[0] == package for found in imports(module))
        }
        assert found == users, package


IMPORT_ONE_BY_ONE = """
import importlib, sys
for module in sys.argv[1].split():
    importlib.import_module(f"fluxmig.{module}")
    if "sqlalchemy" in sys.modules:
        print(module)
        break
"""


@pytest.mark.parametrize(
    ("modules", "guilty"), [(PURE, ""), ("errors ledger model", "ledger\n")], ids=["pure", "this test works"]
)
def test_what_never_loads_sqlalchemy(modules: str, guilty: str) -> None:
    command = [sys.executable, "-c", IMPORT_ONE_BY_ONE, modules]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, cwd=ROOT.parent)
    assert done.stdout == guilty


# --- the world --------------------------------------------------------------------------------------------

# What only the command line and the pytest plugin do: print, ask, exit, read the environment. What another
# module needs of it, it is given.
WORLD = {"print", "input", "breakpoint", "exit", "quit"}
WORLD |= {"sys.exit", "sys.stdout", "sys.stderr", "sys.stdin", "os._exit", "os.abort"}
WORLD |= {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.path.expandvars"}
WORLD |= {"click.echo", "click.secho", "click.confirm", "click.prompt", "logging.basicConfig"}


COMMAND_LINE = {"console", "signals", "pytest_plugin"}
WORKERS = {"fleet.worker": {"os.environ"}}
"""What runs in a process that has no command line of fluxmig's."""


def dotted(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


@pytest.mark.parametrize("module", [module for module in ["", *MODULES] if module not in COMMAND_LINE])
def test_only_the_command_line_meets_the_world(module: str) -> None:
    found = {f"line {node.lineno}: {dotted(node)}" for node in _expressions(module) if dotted(node) in WORLD}
    for statement in ast.walk(tree(module)):
        if isinstance(statement, ast.ImportFrom):
            brought = {f"{statement.module}.{alias.name}" for alias in statement.names}
            found |= {f"line {statement.lineno}: {name}" for name in brought & WORLD}
    assert {each.partition(": ")[2] or each for each in found} <= WORKERS.get(module, set()), found


def test_the_command_line_does_meet_the_world() -> None:
    assert {"os.environ", "click.echo", "sys.stdout"} <= {dotted(node) for node in _expressions("console")}


def _expressions(module: str) -> list[ast.expr]:
    return [node for node in ast.walk(tree(module)) if isinstance(node, ast.expr)]


# --- databases --------------------------------------------------------------------------------------------

PRODUCTS = ("postgres", "sqlite", "mysql", "mariadb", "oracle", "mssql", "psycopg", "pymysql", "asyncpg")
# A URL tells which driver to load and with which arguments, before there is a connection with a dialect.
KNOW_PRODUCTS = {
    "connect",
    "unreachable",
    *(module for module in MODULES if module.partition(".")[0] == "dialects"),
}


def asks_which_database(node: ast.AST) -> bool:
    """Whether it compares something with a product's name: `==`, `in`, `case`, `startswith`."""
    if isinstance(node, ast.Compare):
        parts = [node.left, *node.comparators]
    elif isinstance(node, ast.MatchValue):
        parts = [node.value]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        parts = node.args if node.func.attr in {"startswith", "endswith"} else []
    else:
        parts = []
    constants = (found for part in parts for found in ast.walk(part) if isinstance(found, ast.Constant))
    return any(str(found.value).lower().startswith(PRODUCTS) for found in constants)


@pytest.mark.parametrize(
    "source",
    [
        'dialect.name == "postgresql"',
        '"sqlite" != connection.dialect.name',
        'engine.dialect.name in {"mysql", "mariadb"}',
        'url.get_backend_name() not in ("sqlite",)',
        'url.drivername.startswith("postgresql")',
        'match dialect.driver:\n    case "psycopg":\n        pass',
    ],
)
def test_such_a_question_is_seen(source: str) -> None:
    assert any(asks_which_database(node) for node in ast.walk(ast.parse(source)))


@pytest.mark.parametrize("module", [module for module in ["", *MODULES] if module not in KNOW_PRODUCTS])
def test_only_dialects_ask_which_database_it_is(module: str) -> None:
    found = {ast.unparse(node) for node in ast.walk(tree(module)) if asks_which_database(node)}
    assert found == set()
