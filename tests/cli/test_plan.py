"""`fluxmig plan`: what a run would do, and the SQL that it would send; it writes nothing at all."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from tests.cli.support import environment, masked, process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.support import Database

FILES = {
    "001_a.sql": "CREATE TABLE a (b int);",
    "002_b.sql": "INSERT INTO a VALUES (1);\nINSERT INTO a VALUES (2);",
    "003_c.sql": "CREATE INDEX CONCURRENTLY a_b ON a (b);",
}
HALF = {
    "001_half.sql": "-- fluxmig: no-transaction\nCREATE TABLE IF NOT EXISTS h (i int);\n"
    "SELECT 1 / 0;\nSELECT 1;",
    "002_b.sql": "SELECT 1;",
}
PLAN = """\
Would apply:
  [ ] 001_a.sql (1 statement)
  [ ] 002_b.sql (2 statements)
  [ ] 003_c.sql (1 statement, no transaction: CREATE INDEX CONCURRENTLY)

Would apply: 3 | Nothing was written.
"""


# --- what would run ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["plan"], ["run", "--dry-run"]])
def test_what_a_run_would_do(
    args: list[str], on_postgresql: Cli, write: Callable[..., None], one_postgresql: Database
) -> None:
    write(FILES)
    result = on_postgresql(*args)
    assert (result.code, result.out, result.err) == (0, PLAN, "")
    assert one_postgresql.tables() == set()


def test_nothing_would_run(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;"})
    cli("run")
    result = cli("plan")
    assert (result.code, result.out, result.err) == (0, "Nothing to run.\n", "")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--to", "2"], ["001_a.sql", "002_b.sql"]),
        (["--to", "001_a"], ["001_a.sql"]),
        (["--steps", "1"], ["001_a.sql"]),
        (["--only", "002_b.sql"], ["002_b.sql"]),
        (["--to", "3", "--steps", "2"], ["001_a.sql", "002_b.sql"]),
    ],
)
def test_selection(
    options: list[str], names: list[str], on_postgresql: Cli, write: Callable[..., None]
) -> None:
    write(FILES)
    result = on_postgresql("plan", *options, "--json")
    assert [entry["name"] for entry in result.json["plan"]] == names
    sql = on_postgresql("plan", *options, "--sql")
    assert [line.split()[1] for line in sql.out.splitlines() if line.startswith("-- 0")] == names


def test_half_done(on_postgresql: Cli, write: Callable[..., None]) -> None:
    write(HALF)
    assert on_postgresql("run").code == 1
    result = on_postgresql("plan")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "Would apply:\n"
        "  [ ] 001_half.sql (3 statements, from statement 2, no transaction: the file says so)\n"
        "  [ ] 002_b.sql (1 statement)\n\nWould apply: 2 | Nothing was written.\n"
    )
    assert [entry["resumes_at"] for entry in on_postgresql("plan", "--json").json["plan"]] == [2, 1]
    status = on_postgresql("status", "--json").json["migrations"]
    assert [(entry["conditions"], entry["statements_done"]) for entry in status] == [
        (["failed", "partial"], 1),
        ([], None),
    ]
    assert "  [ ] 001_half.sql [failed, partial]\n" in on_postgresql("status").out
    verified = on_postgresql("verify")
    assert verified.code == 1
    assert "problem: 001_half.sql failed at its last attempt (line 3): division by zero" in verified.out
    assert "which goes on with statement 2\n" in verified.out


@pytest.mark.parametrize("name", ["1", "001_half", "001_half.sql"])
def test_restart(name: str, on_postgresql: Cli, write: Callable[..., None], one_postgresql: Database) -> None:
    write(HALF)
    on_postgresql("run")
    result = on_postgresql("plan", "--restart", name)
    assert result.out.splitlines()[1] == (
        "  [ ] 001_half.sql (3 statements, from statement 1 again, no transaction: the file says so)"
    )
    assert on_postgresql("plan", "--restart", name, "--json").json["plan"][0]["resumes_at"] == 1
    write({"001_half.sql": HALF["001_half.sql"].replace("1 / 0", "1")})
    done = on_postgresql("run", "--restart", name)
    assert masked(done.out).splitlines()[0] == "  [x] 001_half.sql (0.00s, no transaction: the file says so)"
    assert (done.code, done.err) == (0, '001_half.sql: NOTICE: relation "h" already exists, skipping\n')
    events = one_postgresql.rows(
        "SELECT event, statement_number FROM schema_migrations_log WHERE migration_name = '001_half.sql'"
        " ORDER BY id"
    )
    assert events[-6:] == [
        ("restarted", None),
        ("started", 1),
        ("progress", 1),
        ("progress", 2),
        ("progress", 3),
        ("applied", None),
    ]


REFUSALS = {
    "no such one": (
        ["--restart", "9"],
        "--restart 9: there is no such migration\n`fluxmig status` lists them",
    ),
    "not partial": (
        ["--restart", "2"],
        "--restart 002_b.sql: it has done nothing yet that could be done again",
    ),
    "not chosen": (
        ["--restart", "1", "--only", "2"],
        "--restart 001_half.sql: it is not among those that would run",
    ),
    "a URL": (
        ["--restart", "pg://a:secret@b"],
        "--restart: there is no such migration\n`fluxmig status` lists them",
    ),
    "no such goal": (["--to", "9"], "--to 9: there is no such migration\n`fluxmig status` lists them"),
}


@pytest.mark.parametrize(("options", "message"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_refused(
    options: list[str],
    message: str,
    on_postgresql: Cli,
    write: Callable[..., None],
    one_postgresql: Database,
) -> None:
    write(HALF)
    on_postgresql("run")
    before = one_postgresql.rows("SELECT * FROM schema_migrations_log ORDER BY id")
    for args in (["plan"], ["plan", "--sql"], ["run", "--dry-run"], ["run"]):
        result = on_postgresql(*args, *options)
        assert (result.code, result.out, result.err) == (2, "", f"error: {message}\n")
    assert one_postgresql.rows("SELECT * FROM schema_migrations_log ORDER BY id") == before


def test_what_was_done_has_changed_since(on_postgresql: Cli, write: Callable[..., None]) -> None:
    write(HALF)
    on_postgresql("run")
    write({"001_half.sql": HALF["001_half.sql"].replace("h (i int)", "g (i int)")})
    for args in (["plan"], ["plan", "--sql"], ["run"]):
        result = on_postgresql(*args)
        assert (result.code, result.out) == (4, "")
        assert result.err == (
            "error: 001_half.sql: an earlier attempt has done its statement 1, and the file has changed there"
            " since\nput the old text back, and change only what comes after; or `fluxmig run --restart"
            " 001_half.sql` begins with statement 1, once what they did is undone\n"
        )
    assert on_postgresql("plan", "--restart", "1").code == 0


@pytest.mark.parametrize(
    ("policy", "remedy"),
    [("mark", "the file would be rolled back and marked as applied"), ("fail", "the file would fail")],
)
def test_a_duplicate_that_can_be_seen(
    policy: str, remedy: str, cli: Cli, write: Callable[..., None], sqlite: Database
) -> None:
    sqlite.rows("CREATE TABLE a (b)")
    write({"001_a.sql": "CREATE TABLE a (b);"})
    for args in (["plan"], ["run", "--dry-run"]):
        result = cli(*args, "--on-duplicate", policy)
        assert result.err == f"warning: 001_a.sql:1: table a is there already\n  {remedy}\n"
        assert result.code == 0
    (finding,) = cli("plan", "--on-duplicate", policy, "--json").json["findings"]
    assert (finding["kind"], finding["names"], finding["remedy"]) == ("duplicate", ["001_a.sql"], remedy)


def test_restart_of_what_is_applied(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;"})
    cli("run")
    result = cli("plan", "--restart", "1")
    assert (result.code, result.out, result.err) == (2, "", "error: --restart 001_a.sql: it is applied\n")


@pytest.mark.parametrize("sql", [[], ["--sql"]])
@pytest.mark.parametrize(
    ("strict", "message"),
    [
        ("--strict", "changed since it was applied: 005_new.sql"),
        ("--strict-order", "sorted before 005_new.sql, which is applied: 002_late.sql"),
    ],
)
def test_strict(strict: str, message: str, sql: list[str], cli: Cli, write: Callable[..., None]) -> None:
    write({"005_new.sql": "SELECT 1;"})
    cli("run")
    write({"005_new.sql": "SELECT 2;", "002_late.sql": "SELECT 1;"})
    free, bound = cli("plan", *sql), cli("plan", strict, *sql)
    assert free.code == 0
    assert message in (free.out if sql else free.err)
    assert (bound.code, bound.out) == (4, "")
    assert bound.err.startswith(f"error: {message}\n")


def test_an_unreadable_file(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 'x;"})
    for args in (["plan"], ["plan", "--sql"]):
        result = cli(*args)
        assert (result.code, result.out) == (3, "")
        assert result.err.startswith("error: migrations/001_a.sql:1:8: this string is not closed\n")


# --- it only reads ----------------------------------------------------------------------------------------

READERS = {"plan": 0, "plan --sql": 0, "run --dry-run": 0, "status": 0, "log": 0}


@pytest.fixture
def login(one_postgresql: Database) -> Iterator[str]:
    """A role that may connect, and nothing else."""
    name = "fluxmig_test_reader"
    one_postgresql.rows(f"DROP ROLE IF EXISTS {name}")
    one_postgresql.rows(f"CREATE ROLE {name} LOGIN; REVOKE ALL ON SCHEMA public FROM PUBLIC")
    yield name
    one_postgresql.rows(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("applied", [False, True])
def test_a_login_that_may_only_read(
    command: str,
    applied: bool,  # noqa: FBT001  # a parameter
    login: str,
    on_postgresql: Cli,
    write: Callable[..., None],
    one_postgresql: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(FILES)
    if applied:
        on_postgresql("run", "--to", "1")
    one_postgresql.rows(
        f"GRANT USAGE ON SCHEMA public TO {login}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {login}"
    )
    expected = on_postgresql(*command.split())
    tables = one_postgresql.tables()
    url = make_url(one_postgresql.url).set(username=login).render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    result = on_postgresql(*command.split())
    assert result == expected
    assert (result.code, result.err) == (0, "")
    assert one_postgresql.tables() == tables


@pytest.mark.parametrize("command", READERS)
def test_a_login_without_rights(
    command: str,
    login: str,
    on_postgresql: Cli,
    write: Callable[..., None],
    one_postgresql: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An empty database is read as such; a ledger that may not be read is an error."""
    write(FILES)
    admin = one_postgresql.url
    url = make_url(admin).set(username=login).render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    result = on_postgresql("--schema", "public", *command.split())
    assert (result.code, result.err) == (0, "")
    assert one_postgresql.tables() == set()
    monkeypatch.setenv("DATABASE_URL", admin)
    on_postgresql("run", "--to", "1")
    monkeypatch.setenv("DATABASE_URL", url)
    result = on_postgresql("--schema", "public", *command.split())
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: the database refuses: permission denied for schema public [42501]\n")


def test_postgresql_is_asked_in_read_only_transactions(
    on_postgresql: Cli, write: Callable[..., None], one_postgresql: Database
) -> None:
    """As the server itself says where a table is read."""
    write(FILES)
    on_postgresql("run", "--to", "1")
    one_postgresql.rows(
        "CREATE FUNCTION read_only() RETURNS boolean LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE WARNING 'read only: %', current_setting('transaction_read_only');"
        " RETURN true; END $$;"
        "ALTER TABLE schema_migrations RENAME TO kept; ALTER TABLE schema_migrations_log RENAME TO kept_log;"
        "CREATE VIEW schema_migrations AS SELECT * FROM kept WHERE read_only();"
        "CREATE VIEW schema_migrations_log AS SELECT * FROM kept_log WHERE read_only()"
    )
    program = (
        "import sys\nimport psycopg\nfrom fluxmig.cli import main\n"
        "connect = psycopg.connect\n"
        "def listening(*args, **kwargs):\n"
        "    made = connect(*args, **kwargs)\n"
        "    made.add_notice_handler(lambda said: print(said.message_primary, file=sys.stderr))\n"
        "    return made\n"
        "psycopg.connect = listening\nmain()\n"
    )
    for command in READERS:
        done = subprocess.run(
            [sys.executable, "-c", program, *command.split()],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0
        assert set(done.stderr.splitlines()) == {"read only: on"}, command


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("command", READERS)
def test_a_sqlite_file_is_not_touched(
    command: str, mode: str, cli: Cli, write: Callable[..., None], sqlite: Database, tmp_path: Path
) -> None:
    write({"001_a.sql": "CREATE TABLE a (b);", "002_b.sql": "CREATE TABLE c (d);"})
    cli("run", "--to", "1")
    sqlite.rows(f"PRAGMA journal_mode = {mode}")
    file = tmp_path / "test.db"
    before = file.read_bytes(), file.stat().st_mtime_ns
    result = cli(*command.split())
    assert (result.code, result.err) == (0, "")
    assert "00" in result.out
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    # SQLite itself makes two for a reader of a file in this mode (wal.html, Read-Only Databases).
    left = {path.name: path.stat().st_size for path in tmp_path.glob("test.db-*")}
    assert left.keys() == ({"test.db-shm", "test.db-wal"} if mode == "wal" else set())
    assert left.get("test.db-wal", 0) == 0


@pytest.mark.parametrize("command", READERS)
def test_a_sqlite_url_that_is_read_only(
    command: str,
    cli: Cli,
    write: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write({"001_a.sql": "CREATE TABLE a (b);", "002_b.sql": "CREATE TABLE c (d);"})
    cli("run", "--to", "1")
    expected = cli(*command.split())
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///file:{tmp_path}/test.db?mode=ro&uri=true")
    assert cli(*command.split()) == expected
    assert expected.code == 0
    refused = cli("run")
    assert refused.code == 1
    assert "002_b.sql:1:1: attempt to write a readonly database [SQLITE_READONLY]\n" in refused.err


@pytest.mark.parametrize("command", READERS)
def test_a_sqlite_file_that_is_not_there_is_not_made(
    command: str, cli: Cli, write: Callable[..., None], tmp_path: Path
) -> None:
    write({"001_a.sql": "CREATE TABLE a (b);"})
    result = cli(*command.split())
    assert (result.code, result.err) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["migrations"]


# --- the SQL ----------------------------------------------------------------------------------------------


def test_the_sql_of_sqlite(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "-- a head\nCREATE TABLE a (b) -- the end"})
    result = cli("plan", "--sql")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(".bail on\n\n-- the ledger and the log\nBEGIN IMMEDIATE;\nCREATE TABLE sche")
    tail = result.out.split("COMMIT;\n", 1)[1]
    assert tail.startswith(
        "\n-- 001_a.sql (one transaction)\nBEGIN IMMEDIATE;\n-- a head\nCREATE TABLE a (b);\n"
        "INSERT INTO schema_migrations (migration_name, execution_time_ms, checksum, applied_by) VALUES"
        " ('001_a.sql', NULL, '"
    )
    assert tail.endswith(");\nCOMMIT;\n")


def test_sql_and_json_are_refused(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;"})
    result = cli("plan", "--sql", "--json")
    assert result.json["error"]["message"] == "--sql prints SQL, and --json a document"
    assert result.err == "error: --sql prints SQL, and --json a document\ntake one of the two\n"
    assert result.code == 2


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_the_sql_is_utf_8_whatever_the_locale(
    encoding: str, cli: Cli, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write({"001_größe_名.sql": "SELECT 'größe 名 \N{GRINNING FACE}'"})
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    done = process("plan", "--sql", encoding="utf-8")
    assert "\nSELECT 'größe 名 \N{GRINNING FACE}';\n" in done.stdout
    assert "'001_größe_名.sql'" in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_head(on_postgresql: Cli, write: Callable[..., None]) -> None:
    """The rows of a large file, into a reader that goes away."""
    write({"001_a.sql": "COPY a FROM stdin;\n" + "1\n" * 2_000_000 + "\\.\n"})
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -m fluxmig plan --sql | head -1', sys.executable],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("\\set ON_ERROR_STOP on\n", "", 0)


def test_no_colour_in_sql(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;"})
    assert cli("plan", "--sql", "--color", "always").out == cli("plan", "--sql").out
    assert "\x1b[" in cli("plan", "--color", "always").out
