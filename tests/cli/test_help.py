"""Help, version, and what is not a command or an option."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import fluxmig
from fluxmig import Condition
from tests.cli.support import environment, process, terminal

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

COMMANDS = (
    *("run", "plan", "rehearse", "status", "log", "rollback", "redo"),
    *("adopt", "mark", "unmark", "accept", "resolve", "rename"),
    *("create", "check", "verify", "load", "fleet"),
)
ASKED = ("--reason", "--yes", "--dry-run", "--wait-lock")
OPTIONS = {
    "": ("--database-url", "--migrations", "--table", "--schema", "--json", "--color", "--debug", "--wait"),
    "run": (
        "--to",
        "--steps",
        "--only",
        "--restart",
        "--dry-run",
        "--on-duplicate",
        "--strict",
        "--strict-order",
        "--keep-going",
        "--wait-lock",
    ),
    "plan": (
        "--to",
        "--steps",
        "--only",
        "--restart",
        "--sql",
        "--on-duplicate",
        "--strict",
        "--strict-order",
    ),
    "rehearse": (
        "--on",
        "--from-url",
        "--from-ref",
        "--round-trip",
        "--deny",
        "--html",
        "--format",
        "--on-duplicate",
        "--strict",
        "--strict-order",
        "--keep-going",
    ),
    "log": ("--last",),
    "status": ("--check", "--diff"),
    "rollback": ("--steps", "--to", "--record-only", "--yes", "--dry-run", "--wait-lock"),
    "redo": ("--yes", "--dry-run", "--wait-lock"),
    "mark": ("--through", "--all", *ASKED),
    "unmark": ASKED,
    "accept": ASKED,
    "resolve": ("--done", "--retry", *ASKED),
    "rename": ASKED,
    "adopt": ("--yes", "--reason", "--dry-run", "--wait-lock"),
    "create": ("--with-down", "--timestamp"),
    "load": (
        "--mapping",
        "--into",
        "--lines",
        "--ignore-unknown",
        "--rest-into",
        "--on-conflict",
        "--key",
        "--zone",
        "--batch",
        "--max-rejects",
        "--rejects",
        "--dry-run",
        "--wait-lock",
    ),
    "check": ("--base", "--format", "--dialect", "--strict"),
    "verify": (),
    "fleet status": ("--targets", "--targets-sql", "--schemas", "--select", "--parallel", "--check"),
    "fleet run": ("--targets", "--canary", "--waves", "--max-failures", "--state", "--resume", "--dry-run"),
    "fleet rehearse": ("--targets", "--on", "--deny", "--on-duplicate"),
    "fleet report": ("--state", "--html"),
}


def listed(text: str, title: str) -> list[str]:
    """The first words of a section's entries."""
    section = re.search(rf"^{title}:\n((?:  .*\n)+)", text, re.MULTILINE)
    return re.findall(r"^  (\S+)", section[1], re.MULTILINE) if section else []


@pytest.mark.parametrize("args", [["--help"], ["-h"], [], ["--json"], ["--color", "never"]])
def test_help(args: list[str], bare: Cli) -> None:
    result = bare(*args)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Usage: fluxmig [OPTIONS] ")
    assert "\n  Plain-SQL database migrations: numbered .sql files, " in result.out
    assert tuple(listed(result.out, "Commands")) == COMMANDS


@pytest.mark.parametrize("command", OPTIONS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_fits_a_screen_and_lists_every_option(command: str, flag: str, bare: Cli) -> None:
    result = bare(*command.split(), flag)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert len(lines) <= (40 if command else 52)  # there are many commands
    assert max(len(line) for line in lines) <= 80
    assert set(OPTIONS[command]) <= set(listed(result.out, "Options"))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_points_to_the_common_options(command: str, bare: Cli) -> None:
    last = bare(command, "--help").out.splitlines()[-1]
    assert last == "  Common options (--database-url, --migrations, --json, ...): fluxmig --help"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_first_line_of_a_commands_help_is_its_entry_in_the_list(command: str, bare: Cli) -> None:
    entry = bare(command, "--help").out.splitlines()[2]
    assert f"  {command:<8}{entry}\n" in bare("--help").out


def test_the_help_of_status_names_whatever_may_be_wrong(bare: Cli) -> None:
    text = " ".join(bare("status", "--help").out.split())
    assert {condition for condition in Condition if condition not in text} == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_that_takes_a_number_for_a_name_says_so(command: str, bare: Cli) -> None:
    text = bare(command, "--help").out
    assert not re.findall(r"^  --(?:to|only|restart|through) NAME\b(?!_OR_NUMBER)", text, re.MULTILINE)


def test_help_in_a_terminal_is_the_same(bare: Cli) -> None:
    shown = terminal("--help")
    assert shown.code == 0
    assert shown.out == bare("--help").out.replace("Usage: fluxmig", "Usage: python -m fluxmig")


def test_help_needs_neither_folder_nor_valid_settings(bare: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXMIG_COLOR", "purple")
    for args in ([], ["--help"], ["run", "--help"], ["--version"]):
        assert bare(*args).code == 0


def test_version(bare: Cli) -> None:
    result = bare("--version")
    assert (result.code, result.out, result.err) == (0, f"fluxmig, version {fluxmig.__version__}\n", "")


def test_python_m() -> None:
    done = process("--version")
    assert (done.returncode, done.stdout) == (0, f"fluxmig, version {fluxmig.__version__}\n")
    assert process().stdout.startswith("Usage: python -m fluxmig [OPTIONS]")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_lists_the_commands(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"_FLUXMIG_COMPLETE": f"{shell}_complete", "COMP_WORDS": "fluxmig ", "COMP_CWORD": "1"}
    if shell == "fish":
        variables["COMP_CWORD"] = ""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-c", "from fluxmig.cli import main; main(prog_name='fluxmig')"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert set(COMMANDS) <= set(re.split(r"[\s,]", done.stdout))


# --- what is not there ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("statsu", "status"),
        ("stat", "status"),
        ("runn", "run"),
        ("rn", "run"),
        ("roll-back", "rollback"),
        ("rolback", "rollback"),
        ("rdo", "redo"),
        ("crate", "create"),
        ("verfy", "verify"),
        ("Status", "status"),
    ],
)
def test_did_you_mean(word: str, near: str, bare: Cli) -> None:
    result = bare(word)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Usage: fluxmig [OPTIONS] ")
    assert result.err.endswith(f"\nError: No such command '{word}'. Did you mean '{near}'?\n")


def test_no_command_is_near(bare: Cli) -> None:
    result = bare("frobnicate")
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[-1] == "Error: No such command 'frobnicate'."


def test_unknown_option_of_the_group(bare: Cli) -> None:
    result = bare("--databse-url", "x", "run")
    assert (result.code, result.out) == (2, "")
    assert "No such option" in result.err
    assert "--database-url" in result.err


def test_unknown_option_of_a_command(bare: Cli) -> None:
    result = bare("run", "--dryrun")
    assert (result.code, result.out) == (2, "")
    assert "No such option" in result.err
    assert "--dry-run" in result.err


@pytest.mark.parametrize(
    "command", ["run", "plan", "log 1", "status", "rollback", "redo 1", "rename a b", "check", "verify"]
)
def test_an_argument_too_many(command: str, bare: Cli) -> None:
    result = bare(*command.split(), "x")
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[-1] == "Error: Got unexpected extra argument (x)"


@pytest.mark.parametrize(
    "args",
    [("run", "--to"), ("--database-url",), ("run", "--color", "purple"), ("run", "--on-duplicate", "x")],
)
def test_a_value_missing_or_wrong(args: tuple[str, ...], bare: Cli) -> None:
    result = bare(*args)
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[-1].startswith("Error: ")
