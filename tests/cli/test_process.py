"""What only a process of its own shows: signals, pipes, full disks, encodings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.support import LIMIT_S, environment, masked, process, terminal
from tests.faults.support import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Cli
    from tests.support import Database

FLUXMIG = (sys.executable, "-m", "fluxmig")
SLOW = {
    "001_a.sql": "CREATE TABLE a (id integer);",
    "002_slow.sql": "CREATE TABLE b (id integer); SELECT pg_sleep(60);",
    "003_c.sql": "CREATE TABLE c (id integer);",
}
SLEEPS = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"
ENDLESS = (
    "CREATE TABLE n AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c;"
)
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


def ledger(database: Database) -> list[object]:
    return [row[0] for row in database.rows("SELECT migration_name FROM schema_migrations ORDER BY id")]


# --- Ctrl-C -----------------------------------------------------------------------------------------------


STOPPED = """
Still pending:
{}
Applied: 1 | Marked: 0 | Failed: 0 | Pending: {} | Time: 0.00s
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("mode", ["", "-- fluxmig: no-transaction\n"])
def test_interrupt(
    mode: str,
    number: signal.Signals,
    on_postgresql: Cli,
    write: Callable[..., None],
    one_postgresql: Database,
) -> None:
    write({**SLOW, "002_slow.sql": mode + SLOW["002_slow.sql"]})
    with subprocess.Popen(
        [*FLUXMIG, "run"], env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout
        try:
            first = running.stdout.readline()
            until(lambda: one_postgresql.scalar(SLEEPS), "it never came to that")
            running.send_signal(number)
            out, err = running.communicate(timeout=LIMIT_S)
        finally:
            running.kill()
    assert masked(first) == "  [x] 001_a.sql (0.00s)\n"
    assert masked(out) == STOPPED.format("  [ ] 002_slow.sql\n  [ ] 003_c.sql\n", 2)
    assert err == f"interrupted by {number.name}: run again to go on\n"
    assert running.returncode == 128 + number
    assert ledger(one_postgresql) == ["001_a.sql"]
    assert ("b" in one_postgresql.tables()) is bool(mode)
    last = "SELECT event, message FROM schema_migrations_log ORDER BY id DESC LIMIT 1"
    assert one_postgresql.rows(last) == [("interrupted", number.name)]


ERASE = "\r\x1b[2K"


def test_what_is_being_done_is_shown_on_a_terminal_and_goes(cli: Cli, write: Callable[..., None]) -> None:
    name = f"002_{'b' * 100}.sql"
    write({"001_a.sql": "CREATE TABLE a (id integer);", name: "bad;"})
    shown = masked(terminal("run", "--color", "never").out)
    assert shown.startswith(
        f"  ... 001_a.sql{ERASE}  [x] 001_a.sql (0.00s)\n"
        f"  ... 002_{'b' * 69}{ERASE}  [ ] {name} FAILED (0.00s)\n"
    )
    assert ERASE not in terminal("run", stdout=subprocess.PIPE).out


def test_control_c_in_a_terminal(cli: Cli, write: Callable[..., None], sqlite: Database) -> None:
    """A statement of SQLite that does not end, interrupted by the key."""
    write({"001_a.sql": SLOW["001_a.sql"], "002_slow.sql": ENDLESS})
    shown = terminal("run", "--color", "never", answers=[("002_slow.sql", "\x03")])
    assert shown.code == 130
    left = STOPPED.format("  [ ] 002_slow.sql\n", 1)
    assert masked(shown.out) == (
        f"  ... 001_a.sql{ERASE}  [x] 001_a.sql (0.00s)\n"
        f"  ... 002_slow.sql^C{ERASE}{left}interrupted by SIGINT: run again to go on\n"
    )
    assert ledger(sqlite) == ["001_a.sql"]


# --- pipes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["status", "status --json", "run --dry-run", "plan", "plan --sql", "log", "verify", "--help"]
)
def test_a_reader_that_goes_away(command: str, cli: Cli, write: Callable[..., None]) -> None:
    """`fluxmig status | head -1`."""
    write({f"{number:03d}_{'a' * 200}.sql": "SELECT 1;" for number in range(1, 500)})
    cli("run", "--steps", 1)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = process(*command.split(), stdout=writing)
    finally:
        os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 1


def test_head(cli: Cli, write: Callable[..., None]) -> None:
    write({f"{number:03d}_{'a' * 200}.sql": "SELECT 1;" for number in range(1, 1000)})
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -m fluxmig status | head -1', sys.executable],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("MIGRATION STATUS\n", "", 0)


def test_a_run_whose_reader_goes_away_stops_between_migrations(
    cli: Cli, write: Callable[..., None], sqlite: Database
) -> None:
    write({f"{number:03d}_a.sql": f"CREATE TABLE t{number} (id integer);" for number in range(1, 4)})
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = process("run", stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
    applied = ledger(sqlite)
    assert applied == [f"{number:03d}_a.sql" for number in range(1, len(applied) + 1)]
    assert len(sqlite.tables()) == len(applied) + 2  # both of fluxmig's own
    assert cli("run").code == 0


@needs_full
def test_a_full_disk(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;"})
    for args in (["status"], ["status", "--json"], ["run"]):
        with Path("/dev/full").open("wb") as full:
            done = process(*args, stdout=full)
        assert done.stderr == "error: cannot write the output: No space left on device\n"
        assert done.returncode == 1


def test_results_and_remarks_are_apart(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "", "002_b.sql": "SELEKT 1;"})
    done = process("run")
    assert done.stdout.startswith("  [x] 001_a.sql (")
    assert "error" not in done.stdout
    assert "warning" not in done.stdout
    assert done.stderr.startswith("warning: holds no statement: 001_a.sql\n")
    assert "\nerror: migrations/002_b.sql:1:1: " in done.stderr


def test_each_line_comes_when_its_migration_is_done(
    on_postgresql: Cli, write: Callable[..., None], one_postgresql: Database
) -> None:
    """Also into a pipe, where Python would keep lines back."""
    write(SLOW)
    with subprocess.Popen([*FLUXMIG, "run"], env=environment(), text=True, stdout=subprocess.PIPE) as running:
        assert running.stdout
        try:
            assert masked(running.stdout.readline()) == "  [x] 001_a.sql (0.00s)\n"
            assert running.poll() is None
        finally:
            running.kill()


# --- encodings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-8", "001_größe_名.sql"),
        ("latin-1", "001_größe_\\u540d.sql"),
        ("ascii", "001_gr\\xf6\\xdfe_\\u540d.sql"),
    ],
)
def test_names_that_the_terminal_cannot_show(
    encoding: str,
    name: str,
    cli: Cli,
    write: Callable[..., None],
    sqlite: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write({"001_größe_名.sql": "SELECT 1;", "002_b.sql": "SELECT 1;"})
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    done = process("run", encoding=encoding)
    assert masked(done.stdout).splitlines()[:2] == [f"  [x] {name} (0.00s)", "  [x] 002_b.sql (0.00s)"]
    assert (done.returncode, done.stderr) == (0, "")
    assert ledger(sqlite) == ["001_größe_名.sql", "002_b.sql"]


def test_a_folder_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    done = process("create", "a", "--migrations", os.fsdecode(b"gr\xf6\xdfe"))
    assert (done.returncode, done.stdout) == (0, "Created gr\\udcf6\\udcdfe/001_a.sql\n")
    assert Path(os.fsdecode(b"gr\xf6\xdfe"), "001_a.sql").exists()
