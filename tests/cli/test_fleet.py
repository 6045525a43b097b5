"""`fluxmig fleet` at the command line: what it says, how it ends, and what of it stays."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from fluxmig.fleet.state import opened
from tests.cli.support import LIMIT_S, environment, terminal
from tests.faults.support import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.support import Database, Write

SECRET = "not-to-be-seen"


@pytest.fixture
def tenants(tmp_path: Path, write: Write) -> Path:
    """Three SQLite databases in a list, of which the second has a table that a migration makes."""
    write({"001_a.sql": "CREATE TABLE a (id integer);", "002_b.sql": "CREATE TABLE b (id integer);"})
    path = tmp_path / "targets.txt"
    path.write_text("".join(f"{name} sqlite:///{name}.db group=g{name[-1]}\n" for name in ("t1", "t2", "t3")))
    return path


def spoil(path: Path) -> None:
    """Has the migration 002 fail on one of them, since its table is there."""
    with opened_raw(path) as connection:
        connection.execute("CREATE TABLE b (other)")


def opened_raw(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path))


def masked(text: str) -> str:
    text = re.sub(r"\d+\.\d\ds", "0.00s", text)
    return re.sub(r"\d{8}-\d{6}-[0-9a-f]{6}", "RUN", re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text))


def test_a_run_and_its_report(bare: Cli, tenants: Path, tmp_path: Path) -> None:
    spoil(tmp_path / "t2.db")
    done = bare("fleet", "run", "--targets", tenants, "--on-duplicate", "fail", "--parallel", "1")
    failure = "  [ ] t2 FAILED migrations/002_b.sql:1:14: table b already exists [SQLITE_ERROR]\n"
    summary = "Targets: 3 | Done: 2 | Failed: 1 | Time: 0.00s\n"
    assert masked(done.out) == f"{failure}all: 2 of 3 done, 1 failed (0.00s)\n{summary}"
    assert (done.code, done.err) == (1, "")
    shown = bare("fleet", "report")
    head = "Run RUN, begun TIME UTC\n\nall: 2 of 3 done, 1 failed\n\n"
    assert masked(shown.out) == f"{head}{failure}\n{summary}"
    assert (shown.code, shown.err) == (0, "")


def test_a_status(bare: Cli, tenants: Path) -> None:
    bare("fleet", "run", "--targets", tenants, "--select", "t1", "--to", "1")
    shown = bare("fleet", "status", "--targets", tenants)
    rule = "=" * 60
    assert masked(shown.out) == (
        f"FLEET STATUS\n{rule}\n\n  [ ] 001_a.sql        1 target, 1 pending\n"
        f"  [ ] nothing applied  2 targets, 2 pending\n\n{rule}\nTargets: 3 | Pending: 3 | Time: 0.00s\n"
    )
    assert (shown.code, shown.err) == (0, "")
    assert bare("fleet", "status", "--targets", tenants, "--check").code == 10
    bare("fleet", "run", "--targets", tenants)
    assert bare("fleet", "status", "--targets", tenants, "--check").code == 0


def test_a_dry_run_changes_nothing(bare: Cli, tenants: Path, tmp_path: Path) -> None:
    shown = bare("fleet", "run", "--targets", tenants, "--canary", "t3", "--dry-run")
    assert "  [ ] nothing applied  3 targets, 2 pending\n" in shown.out
    assert shown.out.endswith("\ncanary: 1 target\nall: 2 targets\n")
    assert (shown.code, list(tmp_path.glob("*.db")), (tmp_path / ".fluxmig").exists()) == (0, [], False)


def test_canaries_that_fail(bare: Cli, tenants: Path, tmp_path: Path) -> None:
    spoil(tmp_path / "t2.db")
    options = ("--canary", "t2", "--waves", "50%,100%", "--on-duplicate", "fail")
    done = bare("fleet", "run", "--targets", tenants, *options)
    assert masked(done.out).splitlines()[1:] == [
        "canary: 0 of 1 done, 1 failed (0.00s)",
        "Targets: 3 | Failed: 1 | Waiting: 2 | Time: 0.00s",
        "No more was handed out: the canary t2 is failed.",
    ]
    assert (done.code, done.err) == (1, "")


def test_a_dry_run_up_to_a_migration(bare: Cli, tenants: Path) -> None:
    shown = bare("fleet", "run", "--targets", tenants, "--to", "1", "--dry-run")
    assert "  [ ] nothing applied  3 targets, 1 pending\n" in shown.out
    bare("fleet", "run", "--targets", tenants, "--to", "1")
    shown = bare("fleet", "run", "--targets", tenants, "--to", "1", "--dry-run")
    assert "Targets: 3 | Done: 3 | " in shown.out


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--to", "NONSENSE"), "--to NONSENSE: there is no such migration"),
        (("--to", "9"), "--to 9: there is no such migration"),
        (("--canary", "nobody"), "no target has the name nobody, which is to be a canary"),
        (("--canary", "0"), "'0' makes no target a canary"),
        (("--canary", ""), "'' makes no target a canary"),
        (("--canary", " , "), "',' makes no target a canary"),
        (("--waves", "0%,100%"), "a wave of 0% has no target"),
        (("--waves", "50%,10%,100%"), "the waves do not grow: 50% comes before 10%"),
        (("--waves", "50%"), "the waves end at 50%, and leave targets out"),
        (("--waves", ""), "'' is no number of targets"),
        (("--max-failures", ""), "'' is no number of targets"),
        (("--select", "stage=live"), "--select stage=live is for no target"),
        (("--migrations", "nowhere"), "there is no folder nowhere"),
        (("--targets-url", "sqlite:///t1.db"), "--targets-url says nothing without --targets-sql"),
        (("--shared-schema", "public"), "--shared-schema says nothing without --schemas"),
    ],
)
def test_what_is_wrong_of_all_is_said_once(
    bare: Cli, tenants: Path, tmp_path: Path, options: tuple[str, ...], message: str, dry: tuple[str, ...]
) -> None:
    """Before a target is connected to, which would make its file, and before a state is kept."""
    result = bare("fleet", "run", "--targets", tenants, *options, *dry)
    assert (result.code, result.out, result.err.splitlines()[0]) == (2, "", f"error: {message}")
    assert ([*tmp_path.glob("*.db")], (tmp_path / ".fluxmig").exists()) == ([], False)


def test_what_cannot_be_resumed(bare: Cli, tenants: Path, tmp_path: Path) -> None:
    def said(*options: object) -> str:
        result = bare("fleet", "run", "--targets", tenants, "--resume", *options)
        assert (result.code, result.out) == (2, "")
        return result.err

    makes = "`fluxmig fleet run`, without --resume, makes one\n"
    state = tmp_path / "state.sqlite"
    assert said("--state", state) == f"error: there is no state of a fleet at {state}\n{makes}"
    assert not state.exists()
    state.touch()
    assert said("--state", state) == f"error: {state} has no run of a fleet\n{makes}"
    other = tmp_path / "other.txt"
    other.write_text("somebody sqlite:///somebody.db\n")
    assert bare("fleet", "run", "--targets", other, "--state", state).code == 0
    assert said("--state", state) == (
        f"error: {state} is the state of another fleet: its runs knew none of these targets\n"
        "name the state of the earlier run with --state, or leave --resume out\n"
    )
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["somebody.db"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_report_makes_nothing(bare: Cli, tmp_path: Path, *, is_there: bool) -> None:
    database = tmp_path / "some.db"
    if is_there:
        spoil(database)
    result = bare("fleet", "report", "--state", f"sqlite:///{database}")
    assert (result.code, result.out) == (2 if is_there else 6, "")
    assert database.exists() == is_there
    if is_there:
        assert result.err.startswith("error: the control database has no run of a fleet\n")
        with opened_raw(database) as connection:
            assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("b",)]


def test_the_schema_of_the_ledgers(bare: Cli, one_postgresql: Database, tmp_path: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    one_postgresql.rows("CREATE SCHEMA ops")
    (tmp_path / "targets.txt").write_text(f"it {one_postgresql.url}\n")
    for command in ("run", "run", "status"):
        shown = bare("fleet", command, "--targets", tmp_path / "targets.txt", "--schema", "ops")
        assert (shown.code, shown.err) == (0, "")
    assert "Done: 1" in shown.out
    assert one_postgresql.rows("SELECT migration_name FROM ops.schema_migrations") == [("001_a.sql",)]
    assert one_postgresql.scalar("SELECT to_regclass('public.schema_migrations')") is None


def test_json(bare: Cli, tenants: Path, tmp_path: Path) -> None:
    spoil(tmp_path / "t2.db")
    done = bare("fleet", "run", "--targets", tenants, "--on-duplicate", "fail", "--json")
    document = done.json
    assert (done.code, done.err) == (1, "")
    assert {key: document[key] for key in ("format", "command", "stopped", "exit_code", "counts")} == {
        "format": 1,
        "command": "fleet run",
        "stopped": None,
        "exit_code": 1,
        "counts": {"done": 2, "failed": 1},
    }
    failed = document["targets"][1]
    assert (failed["name"], failed["group"], failed["state"], failed["applied"]) == (
        "t2",
        "g2",
        "failed",
        ["001_a.sql"],
    )
    report = bare("fleet", "--json", "report", document["run"]).json
    assert report["command"] == "fleet report"
    assert report["targets"] == document["targets"]
    status = bare("--json", "fleet", "status", "--targets", tenants).json
    assert status["at"] == [
        {"migration": "002_b.sql", "pending": 0, "targets": 2},
        {"migration": "001_a.sql", "pending": 1, "targets": 1},
    ]


def test_a_page(bare: Cli, tenants: Path, tmp_path: Path) -> None:
    tenants.write_text(tenants.read_text() + f"<b> postgresql://u:{SECRET}@127.0.0.1:1/x\n")
    bare("fleet", "run", "--targets", tenants, "--html", "run.html")
    page = (tmp_path / "run.html").read_text()
    assert page.index("&lt;b&gt;") < page.index("<h2>Timeline</h2>")
    assert page.count("<rect ") == 4
    assert "<b>4</b><span>targets" in page
    assert not re.search(r"https?://|src=|<link|@import", page)
    assert SECRET not in page
    bare("fleet", "report", "--html", "again.html")
    assert (tmp_path / "again.html").read_text().count("<rect ") == 4
    refused = bare("fleet", "run", "--targets", tenants, "--state", "x", "--html", "no/such/folder.html")
    assert (refused.code, refused.err.splitlines(), (tmp_path / "x").exists()) == (
        2,
        ["error: no/such/folder.html: cannot be written: there is no folder no/such", "name another file"],
        False,
    )
    refused = bare("fleet", "report", "--html", "no/such/folder.html")
    assert (refused.code, refused.err.splitlines()[0]) == (
        2,
        "error: no/such/folder.html: cannot be written: No such file or directory",
    )


def test_a_variable_of_dotenv(
    bare: Cli, tenants: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants.write_text("a ${A_URL}\nb sqlite:///${B_NAME}.db\n")
    (tmp_path / ".env").write_text("A_URL=sqlite:///a.db\nB_NAME=c\n")
    monkeypatch.setenv("B_NAME", "b")  # the environment wins
    done = bare("fleet", "run", "--targets", tenants)
    assert (done.code, done.err) == (0, "")
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["a.db", "b.db"]


def test_secrets_stay_where_they_are(
    bare: Cli, tenants: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PW", SECRET)
    tenants.write_text(
        "a postgresql://u:${PW}@127.0.0.1:1/x\nb postgresql://u:${PW}@127.0.0.1:1/y?nonsense=1\n"
    )
    said = ""
    for args in (
        ("run", "--targets", tenants, "--html", "x.html", "--debug"),
        ("status", "--targets", tenants),
        ("report", "--json"),
    ):
        result = bare("fleet", *args)
        said += result.out + result.err
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != tenants)
    assert SECRET not in said
    assert SECRET.encode() not in kept
    assert "127.0.0.1:1" in said


@pytest.mark.parametrize(
    ("args", "message", "remedy"),
    [
        (
            ("status",),
            "it is not said which databases",
            "give one of --targets FILE, --targets-sql SQL and --schemas PATTERN",
        ),
        (
            ("run", "--targets", "x", "--schemas", "%"),
            "it is said in two ways which databases",
            "give one of --targets FILE, --targets-sql SQL and --schemas PATTERN",
        ),
        (("run", "--schemas", "t%"), "there is no database URL", "give --database-url URL"),
        (("run", "--targets-sql", "SELECT 1"), "there is no database URL", "give --targets-url URL"),
        (
            ("report",),
            "there is no state of a fleet at .fluxmig/fleet.sqlite",
            "`fluxmig fleet run`, without --resume, makes one",
        ),
    ],
)
def test_what_is_missing(args: tuple[str, ...], message: str, remedy: str, bare: Cli, tenants: Path) -> None:
    refused = bare("fleet", *args)
    assert (refused.code, refused.err) == (2, f"error: {message}\n{remedy}\n")


def test_a_query_and_schemas(bare: Cli, one_postgresql: Database, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    for name in ("t1", "t2"):
        one_postgresql.rows(f"CREATE SCHEMA {name}")
    url = one_postgresql.url
    done = bare("fleet", "run", "--schemas", "t_", "--database-url", url)
    assert (done.code, done.err) == (0, "")
    query = f"SELECT 't1' AS name, '{url}' AS url, 't1' AS schema"
    shown = bare("fleet", "status", "--targets-sql", query, "--targets-url", url)
    assert "  [x] 001_a.sql  1 target\n" in shown.out


def test_a_rehearsal(bare: Cli, tenants: Path) -> None:
    bare("fleet", "run", "--targets", tenants, "--select", "t1")
    bare("fleet", "run", "--targets", tenants, "--select", "t2", "--to", "1")
    shown = bare("fleet", "rehearse", "--targets", tenants)
    parts = masked(shown.out).split("\n\n")
    assert [part.strip() for part in parts if "target" in part] == [
        "1 target at 001_a.sql, 1 pending: t2",
        "1 target at nothing applied, 2 pending: t3",
    ]
    assert shown.out.count("Failed: 0") == 2
    assert (shown.code, shown.err) == (0, "")
    document = bare("fleet", "rehearse", "--targets", tenants, "--json").json
    assert [(state["targets"], state["rehearsal"]["ok"]) for state in document["states"]] == [
        (["t2"], True),
        (["t3"], True),
    ]
    bare("fleet", "run", "--targets", tenants)
    assert bare("fleet", "rehearse", "--targets", tenants).out == "Nothing is pending.\n"


def test_a_terminal_has_bars(tenants: Path, write: Write) -> None:
    shown = terminal("fleet", "run", "--targets", str(tenants), "--parallel", "1")
    assert shown.code == 0
    assert "g1  ██████████████████████████████  1 of 1" in shown.out
    last = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", shown.out).splitlines()[-1]
    assert masked(last) == "Targets: 3 | Done: 3 | Time: 0.00s"


# --- signals ----------------------------------------------------------------------------------------------


def started(*args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fluxmig", "fleet", "run", *args],
        env=environment(),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def fleet_of(database: Database, tmp_path: Path, write: Write) -> Path:
    """Two schemas that are quick, and one whose second migration lasts; the list names them in this order."""
    write({"001_a.sql": "CREATE TABLE a (id integer);", "002_b.sql": "SELECT slow();"})
    for name, seconds in (("t1", 0), ("t2", 0), ("t3", 600), ("t4", 0)):
        database.rows(f"CREATE SCHEMA {name}")
        body = f"SELECT pg_sleep({seconds})"
        database.rows(f"CREATE FUNCTION {name}.slow() RETURNS void LANGUAGE sql AS '{body}'")
    path = tmp_path / "targets.txt"
    path.write_text("".join(f"{name} {database.url} schema={name}\n" for name in ("t1", "t2", "t3", "t4")))
    return path


SLEEPING = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_the_state_tells_the_truth(
    number: signal.Signals, bare: Cli, one_postgresql: Database, tmp_path: Path, write: Write
) -> None:
    path = fleet_of(one_postgresql, tmp_path, write)
    with started("--targets", str(path), "--parallel", "1") as process:
        until(lambda: one_postgresql.scalar(SLEEPING), "nothing sleeps")
        process.send_signal(number)
        out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 128 + number
    assert masked(out).splitlines() == [
        "Targets: 4 | Done: 2 | Interrupted: 1 | Waiting: 1 | Time: 0.00s",
        "No more was handed out: interrupted.",
    ]
    assert err == f"interrupted by {number.name}: `fluxmig fleet run --resume` does what is left\n"
    until(lambda: one_postgresql.scalar(SLEEPING) == 0, "it still sleeps")
    with opened(tmp_path / ".fluxmig" / "fleet.sqlite") as state:
        results = state.report().results
    assert [each.state.value for each in results] == ["done", "done", "interrupted", "waiting"]
    assert results[2].applied == ("001_a.sql",)
    one_postgresql.rows("CREATE OR REPLACE FUNCTION t3.slow() RETURNS void LANGUAGE sql AS 'SELECT'")
    rest = bare("fleet", "run", "--targets", path, "--resume", "--json").json
    assert [(each["wave"], each["applied"]) for each in rest["targets"]] == [
        ("before", ["001_a.sql", "002_b.sql"]),
        ("before", ["001_a.sql", "002_b.sql"]),
        ("all", ["002_b.sql"]),
        ("all", ["001_a.sql", "002_b.sql"]),
    ]


def test_a_runner_that_is_killed_loses_nothing(
    bare: Cli, one_postgresql: Database, tmp_path: Path, write: Write
) -> None:
    path = fleet_of(one_postgresql, tmp_path, write)
    with started("--targets", str(path), "--parallel", "2", "--json") as process:
        until(lambda: one_postgresql.scalar(SLEEPING), "nothing sleeps")
        until(lambda: one_postgresql.scalar("SELECT to_regclass('t4.a')"), "the last one is not reached")
        process.kill()
    shown = bare("fleet", "report")
    assert "It has not ended: it is still running, or was killed.\n" in shown.out
    one_postgresql.rows("CREATE OR REPLACE FUNCTION t3.slow() RETURNS void LANGUAGE sql AS 'SELECT'")
    one_postgresql.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        " AND datname = current_database()"
    )
    done = bare("fleet", "run", "--targets", path, "--resume")
    assert (done.code, done.err) == (0, "")
    for name in ("t1", "t2", "t3", "t4"):
        applied = one_postgresql.rows(f"SELECT migration_name FROM {name}.schema_migrations ORDER BY id")
        assert applied == [("001_a.sql",), ("002_b.sql",)]
