"""`--debug`: the traceback and the driver's own words, before the usual lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Cli

TRACEBACK = "Traceback (most recent call last):\n"
REFUSED = ("status", "--database-url", "postgresql://ada@127.0.0.1:1/studio")


def test_without(bare: Cli) -> None:
    assert "Traceback" not in bare(*REFUSED).err


@pytest.mark.parametrize(
    ("variable", "value", "shown"),
    [
        ("DEBUG", "true", True),
        ("DEBUG", "1", True),
        ("DEBUG", "false", False),
        ("DEBUG", "express:*", False),
        ("FLUXMIG_DEBUG", "true", True),
    ],
)
def test_by_variable(
    variable: str,
    value: str,
    shown: bool,  # noqa: FBT001
    bare: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, value)
    assert (TRACEBACK in bare(*REFUSED).err) is shown


def test_the_drivers_error_and_then_the_usual_lines(bare: Cli) -> None:
    usual, more = bare(*REFUSED), bare(*REFUSED, "--debug")
    assert more.err.startswith(TRACEBACK)
    assert "psycopg.OperationalError: connection failed: connection to server at" in more.err
    assert more.err.endswith("\n\n" + usual.err)
    assert (more.code, more.out) == (usual.code, usual.out) == (6, "")


def test_a_failed_migration(on_postgresql: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELEKT 1;"})
    result = on_postgresql("run", "--debug")
    assert result.err.startswith(TRACEBACK)
    assert 'psycopg.errors.SyntaxError: syntax error at or near "SELEKT"\n' in result.err
    assert result.code == 1


def test_an_error_before_the_settings_are_read(bare: Cli) -> None:
    assert bare("--wait", "soon", "status", "--debug").err.startswith(TRACEBACK)
