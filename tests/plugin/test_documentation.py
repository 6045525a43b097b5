"""What README.md and docs/testing.md show of tests is what happens."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from fluxmig.testing import suite
from tests.support import EXAMPLES

if TYPE_CHECKING:
    import pytest

PAGE = (EXAMPLES.parent / "docs" / "testing.md").read_text(encoding="utf-8")
README = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8").partition("## Databases for tests")[2]
ALSO = """
from sqlalchemy import text

def count(bind):
    return bind.scalar(text("SELECT count(*) FROM customers"))

def test_of_billing(billing_engine, billing_session):
    with billing_engine.connect() as connection:
        assert count(connection) == 2
    assert count(billing_session) == 0

def test_of_the_catalog(catalog_engine):
    with catalog_engine.connect() as connection:
        assert connection.scalar(text("SELECT name FROM users")) == "Ada"
"""


def examples(page: str) -> dict[str, str]:
    """The blocks of Python that name their file in the first line."""
    found = re.findall(r"^```python\n# (\S+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return {
        name: code.replace("import *  # every", "import *  # noqa: F403  # every") for name, code in found
    }


def write(project: pytest.Pytester, files: dict[str, str]) -> None:
    for name, content in files.items():
        (project.path / name).write_text(content)


def test_the_page(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    billing = project.mkdir("billing") / "migrations"
    billing.mkdir()
    (billing / "001_customers.sql").write_text(
        "CREATE TABLE customers (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);"
    )
    write(project, examples(PAGE) | {"test_also.py": ALSO})
    done = project.runpytest_subprocess(
        *("-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function"),
        "--fluxmig-server=embedded",
    )
    done.assert_outcomes(passed=8, skipped=3)


def test_the_readme(project: pytest.Pytester) -> None:
    write(project, examples(README))
    project.runpytest_subprocess("--fluxmig-server=embedded").assert_outcomes(passed=6, skipped=3)


def test_without_pytest(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"^```python\n(from fluxmig import.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(project.path)
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(code, "testing.md", "exec"), {})
    assert printed.getvalue() == "1\nSQLite\n"


def test_the_options_are_those_of_the_plugin(project: pytest.Pytester) -> None:
    told = project.runpytest_subprocess("--help").stdout.str()
    section = told.partition("databases with all migrations in them:")[2].partition("\n\n")[0]
    options = re.findall(r"--fluxmig-[a-z-]+", section)
    keys = re.findall(r"^  (fluxmig_\w+)", told, re.MULTILINE)
    assert options == re.findall(r"^\| `(--fluxmig-[a-z-]+)", PAGE, re.MULTILINE)
    assert sorted(keys) == sorted(re.findall(r"^\| [^|]*\| `(fluxmig_\w+)`", PAGE, re.MULTILINE))


def test_the_ready_made_tests_are_all_named() -> None:
    named = re.findall(r"^\| `(test_\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(named) == [name for name in suite.__all__ if name.startswith("test_")]
