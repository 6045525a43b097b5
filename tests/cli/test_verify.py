"""`fluxmig verify`: what it says of a database and a folder, and its exit codes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.support import Database

ONE = {"001_a.sql": "CREATE TABLE a (id integer);"}


def masked(text: str) -> str:
    text = re.sub(r"^(Server: +\w+) \S+", r"\1 VERSION", text, flags=re.MULTILINE)
    return re.sub(r"^(Time: +).+$", r"\1TIME", text, flags=re.MULTILINE)


def problems(text: str) -> str:
    """What stands below the facts."""
    return text.partition("\n\n")[2]


# --- facts ------------------------------------------------------------------------------------------------


def test_sqlite(cli: Cli, write: Callable[..., None], tmp_path: Path) -> None:
    write(ONE)
    cli("run")
    write({"002_b.sql": "SELECT 1;"})
    result = cli("verify")
    assert (
        masked(result.out)
        == f"""\
Server:     SQLite VERSION (sqlite+pysqlite)
Time:       TIME
Database:   {tmp_path}/test.db
Ledger:     schema_migrations exists
May create: yes
May write:  yes
Migrations: 1 applied, 1 pending

All is well.
"""
    )
    assert (result.code, result.err) == (0, "")


def test_postgresql(on_postgresql: Cli, write: Callable[..., None], one_postgresql: Database) -> None:
    write(ONE)
    result = on_postgresql("verify")
    assert (
        masked(result.out)
        == f"""\
Server:     PostgreSQL VERSION (postgresql+psycopg)
Time:       TIME
Database:   {make_url(one_postgresql.url).database}
User:       postgres
SSL:        off
Ledger:     public.schema_migrations is made by the first run
May create: yes
Migrations: 0 applied, 1 pending

All is well.
"""
    )
    assert (result.code, result.err) == (0, "")
    assert one_postgresql.tables() == set()


def test_version_and_time_are_the_servers(on_postgresql: Cli, folder: Path, one_postgresql: Database) -> None:
    out = on_postgresql("verify").out
    assert f"PostgreSQL {one_postgresql.scalar('SHOW server_version')} (" in out
    assert re.search(r"^Time: +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]*[+-]\d\d", out, re.MULTILINE)


# --- problems, each with its exit code --------------------------------------------------------------------


def test_modified_and_missing_files(cli: Cli, write: Callable[..., None], folder: Path) -> None:
    write({**ONE, "002_b.sql": "SELECT 1;"})
    cli("run")
    write({"001_a.sql": "SELECT 1;"})
    (folder / "002_b.sql").unlink()
    result = cli("verify")
    assert (
        problems(result.out)
        == """\
problem: changed since it was applied: 001_a.sql
  put the old text back, and write the change as a new migration; or `fluxmig accept 001_a.sql` if the \
edit is the right one; `fluxmig status --diff` shows it
problem: applied, but not in the folder: 002_b.sql
  bring the file back, or check --migrations; `fluxmig unmark 002_b.sql` if it is gone for good
2 problems
"""
    )
    assert (result.code, result.err) == (4, "")


def test_a_failed_migration(cli: Cli, write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;\nSELEKT 1;"})
    cli("run")
    result = cli("verify")
    assert (
        problems(result.out)
        == """\
problem: 001_a.sql failed at its last attempt (line 2): near "SELEKT": syntax error
  mend it, and `fluxmig run`
1 problem
"""
    )
    assert (result.code, result.err) == (1, "")


@pytest.mark.parametrize(
    ("others", "lost"),
    [
        (1, "1 of 2 statements perhaps lost"),
        (2, "2 of 3 statements perhaps lost"),
    ],
)
def test_a_marked_migration(others: int, lost: str, cli: Cli, write: Callable[..., None]) -> None:
    write({**ONE, "002_b.sql": "CREATE TABLE a (id integer);" + "SELECT 1;" * others})
    cli("run")
    result = cli("verify")
    assert problems(result.out) == (
        "problem: 002_b.sql is recorded without having run to the end:"
        f" table a already exists; {lost}\n"
        "  make what is missing in a new migration, then `fluxmig resolve 002_b.sql --done`; or"
        " `fluxmig resolve 002_b.sql --retry` and run it with --on-duplicate complete\n"
        "1 problem\n"
    )
    assert (result.code, result.err) == (4, "")


def test_an_object_that_is_gone(cli: Cli, write: Callable[..., None], sqlite: Database) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);\nCREATE INDEX a_id ON a (id);"})
    cli("run")
    sqlite.rows("DROP INDEX a_id")
    result = cli("verify")
    assert (
        problems(result.out)
        == """\
problem: 001_a.sql is recorded as applied, but index a_id on a (line 2) is not there
  make it in a new migration; or `fluxmig unmark 001_a.sql`, and run it with --on-duplicate complete; \
if it was meant to go, a migration with DROP ... IF EXISTS says so
1 problem
"""
    )
    assert (result.code, result.err) == (4, "")
    write({"002_b.sql": "DROP INDEX IF EXISTS a_id;"})
    cli("run")
    assert cli("verify").code == 0


def test_what_another_runner_recorded_without_having_run_it(
    on_postgresql: Cli, write: Callable[..., None], one_postgresql: Database
) -> None:
    """It took "already exists" at the first statement for all of them, and kept no log."""
    write(
        {
            "001_talk.sql": "CREATE TABLE talks (id integer, title text);",
            "002_talk_again.sql": "CREATE TABLE talks (id integer);\n"
            "CREATE INDEX talks_title ON talks (title);\n"
            "CREATE TRIGGER touch BEFORE UPDATE ON talks FOR EACH ROW EXECUTE FUNCTION touched();",
            "003_more.sql": "CREATE INDEX IF NOT EXISTS talks_title ON talks (title);\n"
            "DO $$ BEGIN ALTER TABLE talks ADD COLUMN kind text; END $$;",
        }
    )
    on_postgresql("run")
    one_postgresql.rows("DROP TABLE schema_migrations_log")
    one_postgresql.rows("UPDATE schema_migrations SET checksum = left(checksum, 16)")
    result = on_postgresql("verify")
    assert problems(result.out) == (
        "problem: 002_talk_again.sql is recorded as applied,"
        " but trigger touch on talks (line 3) is not there\n"
        "  make it in a new migration; or `fluxmig unmark 002_talk_again.sql`, and run it with"
        " --on-duplicate complete; if it was meant to go, a migration with DROP ... IF EXISTS says so\n"
        "1 problem\n"
    )
    assert (result.code, result.err) == (4, "")
    assert result.out.count("not there") == 1
    (finding,) = on_postgresql("verify", "--json").json["findings"]
    assert (finding["kind"], finding["names"]) == ("absent", ["002_talk_again.sql"])


def test_a_marked_one_is_told_once(cli: Cli, write: Callable[..., None]) -> None:
    write({**ONE, "002_b.sql": "CREATE TABLE a (id integer);\nCREATE TABLE b (id integer);"})
    cli("run")
    kinds = [finding["kind"] for finding in cli("verify", "--json").json["findings"]]
    assert kinds == ["marked"]


def test_what_the_edited_text_of_a_file_would_make_was_never_made(
    cli: Cli, write: Callable[..., None]
) -> None:
    write(ONE)
    cli("run")
    write({"001_a.sql": "CREATE TABLE a (id integer);\nCREATE TABLE b (id integer);"})
    kinds = [finding["kind"] for finding in cli("verify", "--json").json["findings"]]
    assert kinds == ["modified"]


def test_what_a_missing_file_may_have_removed(
    cli: Cli, write: Callable[..., None], folder: Path, sqlite: Database
) -> None:
    write({**ONE, "002_b.sql": "DROP TABLE a;", "003_c.sql": "CREATE TABLE c (id integer);"})
    cli("run")
    (folder / "002_b.sql").unlink()
    sqlite.rows("DROP TABLE c")
    findings = cli("verify", "--json").json["findings"]
    assert [(finding["kind"], finding["names"]) for finding in findings] == [
        ("missing", ["002_b.sql"]),
        ("absent", ["003_c.sql"]),
    ]


def test_what_a_partial_one_has_removed(
    on_postgresql: Cli, write: Callable[..., None], one_postgresql: Database
) -> None:
    write({**ONE, "002_b.sql": "-- fluxmig: no-transaction\nDROP TABLE a;\nSELEKT 1;"})
    on_postgresql("run")
    assert "a" not in one_postgresql.tables()
    kinds = [finding["kind"] for finding in on_postgresql("verify", "--json").json["findings"]]
    assert kinds == ["failed"]


def test_an_object_in_another_schema_is_not_missed(
    on_postgresql: Cli, write: Callable[..., None], one_postgresql: Database
) -> None:
    write(ONE)
    on_postgresql("run")
    one_postgresql.rows("CREATE SCHEMA archive; ALTER TABLE a SET SCHEMA archive")
    assert on_postgresql("verify").code == 0


def test_a_file_that_cannot_be_read(cli: Cli, write: Callable[..., None]) -> None:
    write(ONE)
    cli("run")
    write({"002_latin.sql": b"-- \xfc"})
    result = cli("verify")
    assert problems(result.out) == (
        "problem: migrations/002_latin.sql:1:4: is not UTF-8: byte 0xfc\nsave it as UTF-8\n1 problem\n"
    )
    assert (result.code, result.err) == (3, "")


def test_no_folder(cli: Cli, write: Callable[..., None]) -> None:
    write(ONE)
    cli("run")
    result = cli("verify", "--migrations", "nowhere")
    assert problems(result.out).startswith("problem: there is no folder nowhere")
    assert (result.code, result.err) == (3, "")


def test_no_such_schema(on_postgresql: Cli, folder: Path) -> None:
    result = on_postgresql("verify", "--schema", "audit")
    assert problems(result.out) == ("problem: there is no schema audit\n  CREATE SCHEMA audit\n1 problem\n")
    assert (result.code, result.err) == (2, "")


def test_no_privileges(
    on_postgresql: Cli, write: Callable[..., None], one_postgresql: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(ONE)
    on_postgresql("run")
    role = f"reader_{make_url(one_postgresql.url).database}"
    one_postgresql.rows(f"CREATE ROLE {role} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    one_postgresql.rows(f"GRANT SELECT ON schema_migrations, schema_migrations_log TO {role}")
    try:
        url = make_url(one_postgresql.url).set(username=role)
        monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
        result = on_postgresql("verify")
        refused = on_postgresql("run", "--migrations", "migrations")
    finally:
        one_postgresql.rows(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert f"User:       {role}\n" in result.out
    assert "May create: no\nMay write:  no\n" in result.out
    assert problems(result.out) == (
        "problem: the login may not create in schema public\n"
        f"  GRANT CREATE ON SCHEMA public TO {role}\n"
        "problem: the login may not write public.schema_migrations\n"
        f"  GRANT SELECT, INSERT, DELETE ON public.schema_migrations TO {role}\n"
        "2 problems\n"
    )
    assert (result.code, result.err) == (2, "")
    assert refused.code == 0  # nothing is pending, so nothing is written


def test_no_sqlite_file_yet(cli: Cli, folder: Path, tmp_path: Path) -> None:
    result = cli("verify")
    assert (result.code, result.out, result.err) == (
        6,
        "",
        f"error: {tmp_path} has no such SQLite database yet\n`fluxmig run` makes it\n",
    )
    assert not (tmp_path / "test.db").exists()
