"""`fluxmig mark`, `unmark`, `accept`, `resolve` and `rename`: what they show, when they ask, exit codes."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.support import process, terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.support import Database

FILES = {
    "001_users.sql": "CREATE TABLE users (id integer);",
    "002_files.sql": "CREATE TABLE files (id integer);",
    "003_teams.sql": "CREATE TABLE teams (id integer);",
}
PARTIAL = "-- fluxmig: no-transaction\nCREATE TABLE p (id integer);\nINSERT INTO nowhere VALUES (1);\n"
WOULD_MARK = "".join(f"  [x] {name} is recorded as applied; its SQL is not run\n" for name in FILES)
MARKED = "".join(f"  [x] {name} recorded as applied; its SQL is not run\n" for name in FILES)
STAYS = "; the SQL is NOT reversed, and the next run applies it again"
AGAIN = "the next run begins with its statement 1; what statement 1 has done is NOT undone"
QUESTION = "Mark as applied? [y/N]:"


@pytest.fixture
def pending(write: Callable[..., None]) -> None:
    """Three files, and nothing in the database."""
    write(FILES)


@pytest.fixture
def troubled(cli: Cli, write: Callable[..., None], folder: Path) -> None:
    """One that is edited, one that was renamed, one that is marked, and one that is partial."""
    write({**FILES, "004_again.sql": FILES["001_users.sql"] + "SELECT 1;", "005_partial.sql": PARTIAL})
    assert cli("run").code == 1
    write({"001_users.sql": FILES["001_users.sql"] + "\n-- edited\n"})
    (folder / "002_files.sql").rename(folder / "002_documents.sql")


def ledger(database: Database) -> list[object]:
    return [row[0] for row in database.rows("SELECT migration_name FROM schema_migrations ORDER BY id")]


def log(database: Database) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT event, migration_name, message, reason FROM schema_migrations_log ORDER BY id DESC LIMIT 1"
    )


# --- in a pipeline ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pending")
@pytest.mark.parametrize(
    "words", [["--all"], ["--through", "3"], ["1", "2", "3"], ["003_teams", "1", "002_files.sql", "1"]]
)
def test_mark(words: list[str], cli: Cli, sqlite: Database) -> None:
    result = cli("mark", *words, "--yes", "--reason", "restored from a dump")
    assert (result.code, result.out, result.err) == (0, MARKED, "")
    assert ledger(sqlite) == list(FILES)
    assert log(sqlite) == [("marked by hand", "003_teams.sql", None, "restored from a dump")]
    shown = cli("status").out
    assert "  [x] 003_teams.sql (N/A) [marked by hand]\n" in shown
    assert cli("verify").code == 0
    assert "marked by hand 003_teams.sql (why: restored from a dump)\n" in cli("log").out


@pytest.mark.usefixtures("troubled")
@pytest.mark.parametrize(
    ("command", "out", "last", "left"),
    [
        (
            "unmark 3 004_again",
            f"  [ ] 003_teams.sql record removed{STAYS}\n  [ ] 004_again.sql record removed{STAYS}\n",
            ("unrecorded", "004_again.sql", None, "so"),
            ["001_users.sql", "002_files.sql"],
        ),
        (
            "unmark 002_files",
            "  [ ] 002_files.sql record removed; the SQL is NOT reversed\n",
            ("unrecorded", "002_files.sql", None, "so"),
            ["001_users.sql", "003_teams.sql", "004_again.sql"],
        ),
        (
            "accept 1",
            "  [x] 001_users.sql has the checksum of the file as it is\n",
            ("accepted", "001_users.sql", None, "so"),
            ["001_users.sql", "002_files.sql", "003_teams.sql", "004_again.sql"],
        ),
        (
            "resolve 4 --done",
            "  [x] 004_again.sql settled, and stays recorded\n",
            ("resolved", "004_again.sql", "as done", "so"),
            ["001_users.sql", "002_files.sql", "003_teams.sql", "004_again.sql"],
        ),
        (
            "resolve 4 --retry",
            "  [ ] 004_again.sql record removed; the next run applies it\n",
            ("resolved", "004_again.sql", "to be run again", "so"),
            ["001_users.sql", "002_files.sql", "003_teams.sql"],
        ),
        (
            "resolve 5 --done",
            "  [x] 005_partial.sql recorded as applied with 1 statement done; the rest is not run\n",
            ("resolved", "005_partial.sql", "as done", "so"),
            ["001_users.sql", "002_files.sql", "003_teams.sql", "004_again.sql", "005_partial.sql"],
        ),
        (
            "resolve 5 --retry",
            f"  [ ] 005_partial.sql {AGAIN}\n",
            ("resolved", "005_partial.sql", "to be run again", "so"),
            ["001_users.sql", "002_files.sql", "003_teams.sql", "004_again.sql"],
        ),
        (
            "rename 002_files 002_documents",
            "  [x] 002_files.sql its record has the name 002_documents.sql\n",
            ("renamed", "002_documents.sql", "from 002_files.sql", "so"),
            ["001_users.sql", "002_documents.sql", "003_teams.sql", "004_again.sql"],
        ),
    ],
)
def test_the_others(
    command: str, out: str, last: tuple[object, ...], left: list[str], cli: Cli, sqlite: Database
) -> None:
    result = cli(*command.split(), "--yes", "--reason", "so")
    assert (result.code, result.out, result.err) == (0, out, "")
    assert log(sqlite) == [last]
    assert ledger(sqlite) == left


@pytest.mark.usefixtures("troubled")
def test_everything_can_be_mended(cli: Cli, sqlite: Database) -> None:
    assert cli("verify").code == 4
    cli("accept", "1", "--yes")
    cli("rename", "002_files", "002_documents", "--yes")
    cli("resolve", "4", "5", "--done", "--yes")
    assert cli("verify").code == 0
    assert cli("status", "--check").out.count("[") == 5
    assert ledger(sqlite) == [
        "001_users.sql",
        "002_documents.sql",
        "003_teams.sql",
        "004_again.sql",
        "005_partial.sql",
    ]


@pytest.mark.parametrize("words", [["--all"], ["--through", "1"]])
@pytest.mark.parametrize("more", [[], ["--yes"], ["--dry-run"]])
def test_nothing_to_mark(
    words: list[str], more: list[str], cli: Cli, write: Callable[..., None], sqlite: Database
) -> None:
    write({"001_a.sql": "SELECT 1;"})
    cli("run")
    result = cli("mark", *words, *more)
    assert (result.code, result.out, result.err) == (0, "Nothing to do: none of them is pending.\n", "")
    assert ledger(sqlite) == ["001_a.sql"]


# --- asking -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pending")
@pytest.mark.parametrize("answer", ["y", "yes"])
def test_yes_on_a_terminal(answer: str, cli: Cli, sqlite: Database) -> None:
    shown = terminal("mark", "--all", "--color", "never", answers=[(QUESTION, f"{answer}\n")])
    assert (shown.code, shown.out) == (0, f"{WOULD_MARK}{QUESTION} {answer}\n{MARKED}")
    assert ledger(sqlite) == list(FILES)


@pytest.mark.usefixtures("pending", "cli")
@pytest.mark.parametrize("answer", ["n", ""])
def test_no_on_a_terminal(answer: str, sqlite: Database) -> None:
    shown = terminal("mark", "--all", "--color", "never", answers=[(QUESTION, f"{answer}\n")])
    assert (shown.code, shown.out) == (1, f"{WOULD_MARK}{QUESTION} {answer}\nNothing was changed.\n")
    assert sqlite.tables() == set()


@pytest.mark.usefixtures("pending", "cli")
@pytest.mark.parametrize(
    ("key", "end", "code"),
    [("\x03", "interrupted by SIGINT: nothing was changed\n", 130), ("\x04", "Aborted!\n", 1)],
    ids=["Ctrl-C", "Ctrl-D"],
)
def test_leaving_the_question(key: str, end: str, code: int, sqlite: Database) -> None:
    shown = terminal("mark", "--all", "--color", "never", answers=[(QUESTION, key)])
    assert shown.out.startswith(f"{WOULD_MARK}{QUESTION}")
    assert shown.out.endswith(end)
    assert "Traceback" not in shown.out
    assert shown.code == code
    assert sqlite.tables() == set()


@pytest.mark.usefixtures("troubled")
@pytest.mark.parametrize(
    ("command", "will", "question"),
    [
        (
            "unmark 3",
            f"  [ ] 003_teams.sql only its record goes{STAYS}",
            "Remove from the ledger?",
        ),
        ("accept 1", "  [x] 001_users.sql its checksum becomes that of the file as it is", "Accept?"),
        ("resolve 4 --done", "  [x] 004_again.sql stays recorded, and is settled", "Resolve, to be done?"),
        (
            "resolve 4 --retry",
            "  [ ] 004_again.sql its record goes, and the next run applies it",
            "Resolve, to run again?",
        ),
        (
            "rename 002_files 002_documents",
            "  [x] 002_files.sql its record gets the name 002_documents.sql",
            "Rename in the ledger?",
        ),
    ],
)
def test_each_has_its_question(command: str, will: str, question: str, sqlite: Database) -> None:
    before = ledger(sqlite), log(sqlite)
    question += " [y/N]:"
    shown = terminal(*command.split(), "--color", "never", answers=[(question, "n\n")])
    assert (shown.code, shown.out) == (1, f"{will}\n{question} n\nNothing was changed.\n")
    assert (ledger(sqlite), log(sqlite)) == before


@pytest.mark.usefixtures("pending", "cli")
def test_the_question_leaves_standard_output_alone() -> None:
    shown = terminal("mark", "1", "--json", answers=[(QUESTION, "y\n")], stdout=subprocess.PIPE)
    assert [change["name"] for change in shown.json["changes"]] == ["001_users.sql"]
    assert QUESTION in shown.err
    assert shown.code == 0


@pytest.mark.usefixtures("pending", "cli")
def test_yes_is_not_asked() -> None:
    shown = terminal("mark", "--all", "--yes", "--color", "never")
    assert (shown.code, shown.out) == (0, MARKED)


@pytest.mark.usefixtures("pending", "cli")
def test_without_a_terminal_yes_is_needed(sqlite: Database) -> None:
    result = process("mark", "--all")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"{WOULD_MARK}error: nothing was changed: there is no terminal to ask on\ngive --yes\n"
    )
    assert sqlite.tables() == set()


@pytest.mark.usefixtures("troubled")
@pytest.mark.parametrize(
    "command",
    ["unmark 1", "accept 1", "resolve 4 --done", "resolve 5 --retry", "rename 002_files 002_documents"],
)
def test_without_a_terminal_none_of_them_acts(command: str, cli: Cli, sqlite: Database) -> None:
    before = ledger(sqlite), log(sqlite)
    result = cli(*command.split())
    assert (result.code, result.out) == (2, "")
    assert result.err.endswith("error: nothing was changed: there is no terminal to ask on\ngive --yes\n")
    assert (ledger(sqlite), log(sqlite)) == before


def test_what_is_refused_is_refused_before_the_question(cli: Cli, write: Callable[..., None]) -> None:
    write(FILES)
    cli("run")
    shown = terminal("accept", "1", "--color", "never")
    assert (shown.code, shown.out) == (4, "error: 001_users.sql is unchanged since it was applied\n")


# --- dry run ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pending")
def test_a_dry_run_writes_nothing(cli: Cli, sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (["--dry-run"], ["--dry-run", "--yes"], ["--yes"]):
        result = cli("mark", "--all", *words)
        monkeypatch.setenv("DRY_RUN", "true")
        assert (result.code, result.out, result.err) == (0, f"{WOULD_MARK}Nothing was written.\n", "")
    assert sqlite.tables() == set()


@pytest.mark.usefixtures("troubled")
@pytest.mark.parametrize(
    "command",
    ["unmark 1", "accept 1", "resolve 4 --done", "resolve 5 --retry", "rename 002_files 002_documents"],
)
def test_a_dry_run_of_the_others(command: str, cli: Cli, sqlite: Database) -> None:
    before = ledger(sqlite), log(sqlite)
    result = cli(*command.split(), "--dry-run")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("  [")
    assert result.out.endswith("\nNothing was written.\n")
    assert cli(*command.split(), "--dry-run", "--json").json["dry_run"] is True
    assert (ledger(sqlite), log(sqlite)) == before


# --- JSON -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("troubled")
def test_json(cli: Cli) -> None:
    result = cli("rename", "002_files", "002_documents", "--yes", "--json", "--reason", "tidy")
    assert (result.code, result.err) == (0, "")
    assert result.json == {
        "format": 1,
        "command": "rename",
        "dry_run": False,
        "changes": [
            {
                "name": "002_files.sql",
                "action": "rename",
                "conditions": ["missing"],
                "to": "002_documents.sql",
            }
        ],
        "reason": "tidy",
        "findings": [],
    }
    document = cli("resolve", "4", "5", "--retry", "--yes", "--json").json
    assert (document["command"], document["reason"]) == ("resolve", None)
    assert [(change["action"], change["conditions"]) for change in document["changes"]] == [
        ("rerun", ["marked"]),
        ("retry", ["failed", "partial"]),
    ]


@pytest.mark.usefixtures("troubled")
def test_json_of_a_refusal(cli: Cli) -> None:
    result = cli("mark", "1", "--yes", "--json")
    assert result.code == 4
    assert result.json["command"] == "mark"
    assert result.json["error"]["type"] == "LedgerError"
    assert result.json["error"]["message"].startswith("001_users.sql is applied already, since ")
    unasked = cli("mark", "--through", "4", "--json")
    assert (unasked.code, unasked.json["error"]["remedy"]) == (2, "give --yes")


def test_status_json_says_who_marked(cli: Cli, write: Callable[..., None]) -> None:
    write({**FILES, "004_again.sql": FILES["001_users.sql"] + "CREATE TABLE more (id integer);"})
    cli("mark", "2", "--yes")
    cli("run")
    marks = [entry["marked"] for entry in cli("status", "--json").json["migrations"]]
    assert marks == [
        None,
        {"by": "hand", "statements": None, "lost": None, "unchecked": None},
        None,
        {"by": "duplicate", "statements": 2, "lost": 1, "unchecked": 0},
    ]
    assert "[marked, 1 of 2 statements lost]\n" in cli("status").out


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pending")
@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("mark", "Give NAME..., or --through NAME, or --all."),
        ("mark 1 --all", "Give NAME..., or --through NAME, or --all."),
        ("mark 1 --through 2", "Give NAME..., or --through NAME, or --all."),
        ("mark --all --through 2", "Give NAME..., or --through NAME, or --all."),
        ("unmark", "Missing argument 'NAME...'."),
        ("accept", "Missing argument 'NAME...'."),
        ("resolve --done", "Missing argument 'NAME...'."),
        ("resolve 1", "Give --done or --retry."),
        ("resolve 1 --done --retry", "Give --done or --retry."),
        ("rename 1", "Missing argument 'NEW'."),
        ("mark --all --reason", "Option '--reason' requires an argument."),
    ],
)
def test_usage(command: str, error: str, cli: Cli, sqlite: Database) -> None:
    result = cli(*command.split())
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[-1] == f"Error: {error}"
    assert sqlite.tables() == set()


UNKNOWN, LISTS = "there is no such migration\n", "`fluxmig status` lists them\n"
IS_PARTIAL = (
    "005_partial.sql is partial: 1 of its statements is done\n"
    "`fluxmig resolve 005_partial.sql --done` records it"
    " without the rest, `--retry` has it begin with statement 1\n"
)
IS_MISSING = (
    "002_files.sql is applied, but not in the folder\n"
    "bring the file back, or `fluxmig unmark` removes the record\n"
)
IS_PENDING = (
    "002_documents.sql is pending, and no attempt at it has failed\n"
    "`fluxmig run` applies it, `fluxmig mark` records it without running\n"
)


@pytest.mark.usefixtures("troubled")
@pytest.mark.parametrize(
    ("command", "code", "error"),
    [
        ("mark 9", 2, f"9: {UNKNOWN}{LISTS}"),
        (
            "mark migrations/005_partial.sql",
            2,
            f"migrations/005_partial.sql: {UNKNOWN}did you mean 005_partial.sql? {LISTS}",
        ),
        (
            "unmark postgresql://ada:secret@db/app",
            2,
            "there is no such migration: a URL is no name\n`fluxmig status` lists them\n",
        ),
        ("unmark 2", 2, "2 is ambiguous: 002_documents.sql and 002_files.sql\ngive the file's name\n"),
        (
            "mark 5",
            4,
            IS_PARTIAL,
        ),
        ("unmark 002_documents", 4, "002_documents.sql is pending: there is no record to remove\n"),
        ("accept 3", 4, "003_teams.sql is unchanged since it was applied\n"),
        (
            "accept 002_files",
            4,
            IS_MISSING,
        ),
        (
            "resolve 002_documents --retry",
            4,
            IS_PENDING,
        ),
        ("rename 3 002_documents", 4, "003_teams.sql is still in the folder\n"),
        ("rename 002_files 005_partial", 4, None),
    ],
)
def test_refusals(command: str, code: int, error: str | None, cli: Cli, sqlite: Database) -> None:
    before = ledger(sqlite), log(sqlite)
    result = cli(*command.split(), "--yes")
    assert (result.code, result.out) == (code, "")
    if error:
        assert result.err == f"error: {error}"
    assert "secret" not in result.err
    assert (ledger(sqlite), log(sqlite)) == before


@pytest.mark.usefixtures("pending", "cli")
def test_a_reason_that_is_not_utf_8(sqlite: Database) -> None:
    result = process("mark", "--all", "--yes", "--reason", "\udcff")
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        "error: the reason is not UTF-8, or holds a NUL\nwrite it in plain words\n",
    )
    assert sqlite.tables() == set()


@pytest.mark.usefixtures("pending")
def test_another_holds_the_lock(cli: Cli, sqlite: Database) -> None:
    engine = sqlite.engine()
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        result = cli("mark", "--all", "--yes", "--wait-lock", "0")
    assert result.code == 5
    assert result.err.startswith("error: the file is locked: by another runner, or ")
    assert sqlite.tables() == set()
