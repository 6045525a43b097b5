"""`fluxmig log`, and the notices of a run."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import fluxmig
from tests.cli.support import environment, masked, process, terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Cli
    from tests.support import Database

FILES = {
    "001_a.sql": "CREATE TABLE a (b int);",
    "002_b.sql": "CREATE TABLE a (c int);\nSELECT 1;",
    "003_c.sql": "-- fluxmig: no-transaction\nINSERT INTO a VALUES (1);\nDELETE FROM a;\nSELECT x;\n",
}
LOG = """\
USER, CLIENT, UTC+00:00:
  TIME  applied     001_a.sql (0.00s)
  TIME  marked      002_b.sql (0.00s)
      statement 1, line 1: relation "a" already exists; 1 of 2 statements lost, 1 perhaps [42P07]
  TIME  started     003_c.sql (no transaction: the file says so)
  TIME  progress    003_c.sql (statements 1 to 2 are done)
  TIME  failed      003_c.sql (0.00s)
      statement 3, line 4: column "x" does not exist [42703]
"""


def timeless(text: str) -> str:
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", masked(text))
    return re.sub(r"(?m)^(?:\S+, )?\S+@\S+, UTC", "USER, CLIENT, UTC", text)


@pytest.fixture
def logged(on_postgresql: Cli, write: Callable[..., None], one_postgresql: Database) -> Cli:
    """fluxmig on a database with a log."""
    one_postgresql.rows(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''UTC''', current_database()); END $$"
    )
    write(FILES)
    assert on_postgresql("run").code == 1
    return on_postgresql


# --- the log ----------------------------------------------------------------------------------------------


def test_log(logged: Cli) -> None:
    result = logged("log")
    assert (result.code, timeless(result.out), result.err) == (0, LOG, "")


@pytest.mark.parametrize("name", ["002_b.sql", "002_b"])
def test_of_one_migration(name: str, logged: Cli) -> None:
    result = logged("log", name)
    head, *lines = LOG.splitlines(keepends=True)
    assert (result.code, timeless(result.out), result.err) == (0, head + "".join(lines[1:3]), "")
    assert [entry["name"] for entry in logged("log", name, "--json").json["entries"]] == ["002_b.sql"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("nope", "The log has nothing of nope.\n"), ("postgresql://ada:secret@db", "The log is empty.\n")],
)
def test_of_an_unknown_one(name: str, text: str, logged: Cli) -> None:
    result = logged("log", name)
    assert (result.code, result.out, result.err) == (0, text, "")
    assert logged("log", name, "--json").json == {"format": 1, "command": "log", "entries": []}


def test_the_last(logged: Cli) -> None:
    lines = LOG.splitlines(keepends=True)
    assert timeless(logged("log", "--last", 2).out) == "".join([lines[0], *lines[-3:]])
    assert timeless(logged("log", "--last", 99).out) == LOG
    events = logged("log", "--json").json["entries"]
    assert logged("log", "--last", 2, "--json").json["entries"] == events[-2:]
    refused = logged("log", "--last", 0)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.endswith("Error: Invalid value for '--last': 0 is not in the range x>=1.\n")


def test_json_has_every_row_and_column(logged: Cli, one_postgresql: Database) -> None:
    entries = logged("log", "--json").json["entries"]
    assert [(entry["event"], entry["statement"]) for entry in entries] == [
        ("applied", None),
        ("marked", 1),
        ("started", 1),
        ("progress", 1),
        ("progress", 2),
        ("failed", 3),
    ]
    last = entries[-1]
    ((identity, user, client, checksum),) = one_postgresql.rows(
        "SELECT id, database_user, client, checksum FROM schema_migrations_log ORDER BY id DESC LIMIT 1"
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", last.pop("logged_at"))
    assert isinstance(last.pop("duration_ms"), int)
    assert last == {
        "id": identity,
        "event": "failed",
        "name": "003_c.sql",
        "checksum": checksum,
        "database_user": user,
        "client": client,
        "fluxmig_version": fluxmig.__version__,
        "error_code": "42703",
        "message": 'column "x" does not exist',
        "statement": 3,
        "line": 4,
        "reason": None,
        "statements": None,
        "lost": None,
        "unchecked": None,
    }


def test_after_mending_and_going_on(logged: Cli, write: Callable[..., None]) -> None:
    write({"003_c.sql": FILES["003_c.sql"].replace("SELECT x", "SELECT 1")})
    assert logged("run").code == 0
    assert timeless(logged("log").out) == LOG + (
        "  TIME  started     003_c.sql (no transaction: the file says so, from statement 3)\n"
        "  TIME  applied     003_c.sql (0.00s, no transaction: the file says so)\n"
    )


def test_after_a_restart_and_a_rollback(
    logged: Cli, write: Callable[..., None], one_postgresql: Database
) -> None:
    one_postgresql.rows("TRUNCATE a")
    write({"003_c.sql": FILES["003_c.sql"].replace("SELECT x", "SELECT 1")})
    assert logged("run", "--restart", "3").code == 0
    assert logged("rollback", "--record-only", "--yes").code == 0
    assert timeless(logged("log", "3_c").out + logged("log", "003_c", "--last", 4).out) == (
        "The log has nothing of 3_c.\n"
        "USER, CLIENT, UTC+00:00:\n"
        "  TIME  restarted   003_c.sql\n"
        "  TIME  started     003_c.sql (no transaction: the file says so)\n"
        "  TIME  applied     003_c.sql (0.00s, no transaction: the file says so)\n"
        "  TIME  unrecorded  003_c.sql\n"
    )


def test_an_event_of_a_later_version(logged: Cli, one_postgresql: Database) -> None:
    one_postgresql.rows(
        "INSERT INTO schema_migrations_log (event, migration_name, message)"
        " VALUES ('vaporised', 'x.sql', 'm')"
    )
    result = logged("log", "--last", 1)
    assert (result.code, result.err) == (0, "")
    assert timeless(result.out).splitlines()[1:] == ["  TIME  vaporised   x.sql", "      m"]
    assert logged("log", "--json").json["entries"][-1]["event"] == "vaporised"
    assert logged("status").code == 0


def test_on_sqlite(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "CREATE TABLE a (b);", "002_b.sql": "SELEKT 1;"})
    cli("run")
    result = cli("log")
    assert timeless(result.out) == (
        "USER, CLIENT, UTC+00:00:\n"
        "  TIME  applied     001_a.sql (0.00s)\n"
        "  TIME  failed      002_b.sql (0.00s)\n"
        '      statement 1, line 1: near "SELEKT": syntax error [SQLITE_ERROR]\n'
    )
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize("args", [[], ["001_a.sql"]])
def test_no_log(args: list[str], cli: Cli, sqlite: Database) -> None:
    """Neither without a database, nor in one without a log."""
    said = "The log has nothing of 001_a.sql.\n" if args else "The log is empty.\n"
    result = cli("log", *args)
    assert (result.code, result.out, result.err) == (0, said, "")
    sqlite.rows("CREATE TABLE a (b)")
    assert cli("log", *args) == result
    assert cli("log", *args, "--json").json == {"format": 1, "command": "log", "entries": []}
    assert sqlite.tables() == {"a"}


def test_colour(logged: Cli) -> None:
    shown = logged("log", "--color", "always").out
    assert "\x1b[31mfailed      \x1b[0m" in shown
    assert re.sub(r"\x1b\[\d+m", "", shown) == logged("log").out


# --- notices ----------------------------------------------------------------------------------------------

TALK = {
    "001_talk.sql": "DO $$ BEGIN RAISE NOTICE 'one: 100%%'; RAISE WARNING E'two\nlines \x1b[31m'"
    " USING HINT = 'a hint'; END $$;\nDROP TABLE IF EXISTS nothing;",
    "002_more.sql": "-- fluxmig: no-transaction\nDO $$ BEGIN RAISE NOTICE 'three'; END $$;",
}
SAID = """\
001_talk.sql: NOTICE: one: 100%
001_talk.sql: WARNING: two
  lines \u241b[31m
  HINT: a hint
001_talk.sql: NOTICE: table "nothing" does not exist, skipping
002_more.sql: NOTICE: three
"""


def test_notices_go_to_standard_error(on_postgresql: Cli, write: Callable[..., None]) -> None:
    write(TALK)
    result = on_postgresql("run")
    assert (result.code, result.err) == (0, SAID)
    assert masked(result.out).splitlines()[:2] == [
        "  [x] 001_talk.sql (0.00s)",
        "  [x] 002_more.sql (0.00s, no transaction: the file says so)",
    ]


def test_notices_in_json_only(on_postgresql: Cli, write: Callable[..., None]) -> None:
    write(TALK)
    result = on_postgresql("run", "--json")
    assert (result.code, result.err) == (0, "")
    first, second = (step["notices"] for step in result.json["results"])
    assert first[1] == {
        "severity": "WARNING",
        "message": "two\nlines \x1b[31m",
        "code": "01000",
        "detail": None,
        "hint": "a hint",
    }
    assert [notice["message"] for notice in first + second] == [
        "one: 100%",
        "two\nlines \x1b[31m",
        'table "nothing" does not exist, skipping',
        "three",
    ]


def test_notices_of_a_failed_migration(on_postgresql: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "DO $$ BEGIN RAISE NOTICE 'before'; END $$;\nSELECT 1 / 0;"})
    assert on_postgresql("run").err.startswith("001_a.sql: NOTICE: before\nerror: ")
    assert on_postgresql("run", "--json").json["results"][0]["notices"][0]["message"] == "before"


def test_notices_come_at_once(on_postgresql: Cli, write: Callable[..., None]) -> None:
    """While the migration still runs: it waits for us to end it."""
    write({"001_a.sql": "DO $$ BEGIN RAISE NOTICE 'here'; PERFORM pg_sleep(60); END $$;"})
    with subprocess.Popen(
        [sys.executable, "-m", "fluxmig", "run"],
        env=environment(),
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stderr
        try:
            assert running.stderr.readline() == "001_a.sql: NOTICE: here\n"
            assert running.poll() is None
        finally:
            running.kill()


def test_notices_in_colour(on_postgresql: Cli, write: Callable[..., None]) -> None:
    write(TALK)
    err = on_postgresql("run", "--color", "always").err
    assert "\x1b[33mWARNING: \x1b[0mtwo\n" in err
    assert "\x1b[2mNOTICE: \x1b[0mthree\n" in err
    assert re.sub(r"\x1b\[\d*m", "", err) == SAID


ERASE = "\r\x1b[2K"


def test_notices_on_a_terminal(on_postgresql: Cli, write: Callable[..., None]) -> None:
    """What is being done goes for each notice, and comes again behind it."""
    write({"001_a.sql": "DO $$ BEGIN RAISE NOTICE 'one'; RAISE NOTICE 'two'; END $$;"})
    shown = masked(terminal("run", "--color", "never").out)
    assert shown.startswith(
        f"  ... 001_a.sql{ERASE}001_a.sql: NOTICE: one\n"
        f"  ... 001_a.sql{ERASE}001_a.sql: NOTICE: two\n"
        f"  ... 001_a.sql{ERASE}  [x] 001_a.sql (0.00s)\n"
    )


def test_a_wide_name_does_not_leave_the_line(cli: Cli, write: Callable[..., None]) -> None:
    """Each of these letters takes two columns of eighty."""
    write({f"001_{'名' * 60}.sql": "SELECT 1;"})
    shown = terminal("run", "--color", "never").out
    assert shown.startswith(f"  ... 001_{'名' * 34}{ERASE}  [x] 001_{'名' * 60}.sql (")


def test_notices_stay_out_of_standard_output(on_postgresql: Cli, write: Callable[..., None]) -> None:
    write(TALK)
    done = process("run")
    assert done.stderr == SAID
    assert "NOTICE" not in done.stdout
