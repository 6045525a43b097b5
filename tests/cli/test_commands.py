"""The table of commands, which is there before the commands are."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from fluxmig.cli import main
from fluxmig.console import Group

CONTEXT = click.Context(main)
LOADED = """
import sys
from fluxmig.cli import main
try:
    main.main(sys.argv[1:], prog_name="fluxmig")
finally:
    heavy = {"sqlalchemy", "psycopg", "rich", "fluxmig.model", "fluxmig.render"}
    print(sorted(heavy & sys.modules.keys()), file=sys.stderr)
"""


@pytest.mark.parametrize("name", main.list_commands(CONTEXT))
def test_the_first_line_of_each_commands_help(name: str) -> None:
    assert isinstance(main, Group)
    command = main.get_command(CONTEXT, name)
    assert command
    assert command.name == name
    assert main.summaries[name][1] == command.get_short_help_str(limit=200)


@pytest.mark.parametrize("args", [["--help"], ["--version"], [], ["create", "add x", "--migrations", "{}"]])
def test_what_needs_no_database_loads_little(args: list[str], tmp_path: object) -> None:
    command = [sys.executable, "-c", LOADED, *(arg.format(tmp_path) for arg in args)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert done.stderr == "[]\n"
