"""Edited, converted and renamed files, on every database: what is said, and what is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event, make_url

from fluxmig import Condition, LedgerError, MigrationFailedError, Migrator, State, ledger

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Database, Write

CONTAINERS = VERSIONS = False
BOM = b"\xef\xbb\xbf"
LF = b"CREATE TABLE a (id integer);\nCREATE TABLE b (id integer);\n"
CRLF = LF.replace(b"\n", b"\r\n")
MIXED = LF.replace(b"\n", b"\r\n", 1)
LEDGER = "SELECT migration_name FROM schema_migrations ORDER BY id"


def names(database: Database) -> list[object]:
    return [row[0] for row in database.rows(LEDGER)]


def modified(migrator: Migrator) -> list[str]:
    """The modified migrations, of which everything that tells them tells the same."""
    found = [status.name for status in migrator.status() if Condition.MODIFIED in status.conditions]
    for findings in (migrator.plan().findings, migrator.run().findings, migrator.verify().findings):
        assert [list(finding.names) for finding in findings if finding.kind == "modified"] == (
            [found] if found else []
        )
    return found


@pytest.mark.parametrize(
    ("applied", "now"),
    [
        (LF, CRLF),
        (CRLF, LF),
        (LF, BOM + LF),
        (BOM + CRLF, LF),
        (LF, LF.replace(b"\n", b"\r")),
        (LF, MIXED),
        pytest.param(MIXED, LF, id="by the kept text"),
        pytest.param(BOM + MIXED, CRLF, id="by the kept text, with a mark"),
    ],
)
def test_line_endings_and_bom_never_modify(
    applied: bytes, now: bytes, database: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": applied})
    Migrator(database.engine(), folder).run()
    before = database.rows("SELECT checksum FROM schema_migrations")
    write({"001_a.sql": now})
    migrator = Migrator(database.engine(), folder, strict=True)
    assert modified(migrator) == []
    assert migrator.verify().ok
    assert database.rows("SELECT checksum FROM schema_migrations") == before


def test_an_edit_does(database: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": MIXED, "002_b.sql": b"SELECT 1;"})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    write({"001_a.sql": LF + b"\n"})
    assert modified(migrator) == ["001_a.sql"]
    assert [status.applied_source for status in migrator.status()] == [MIXED, None]
    with pytest.raises(LedgerError, match=r"^changed since it was applied: 001_a\.sql\n"):
        Migrator(database.engine(), folder, strict=True).run()


def test_a_large_text_is_not_kept(
    database: Database, folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "KEPT_BYTES", len(MIXED) - 1)
    write({"001_a.sql": MIXED, "002_b.sql": b"CREATE TABLE c (id integer);"})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    write({"001_a.sql": LF, "002_b.sql": b"CREATE TABLE c (id bigint);"})
    assert modified(migrator) == ["001_a.sql", "002_b.sql"]
    assert [status.applied_source for status in migrator.status()] == [None, b"CREATE TABLE c (id integer);"]


def test_rows_of_the_node_runner(database: Database, folder: Path, write: Write) -> None:
    """It stores 16 digits, and no text."""
    write({"001_a.sql": CRLF, "002_b.sql": b"SELECT 1;\r\nSELECT 2;\n"})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    database.rows("UPDATE schema_migrations SET checksum = substr(checksum, 1, 16)")
    database.rows("DROP TABLE schema_migrations_log")
    assert modified(migrator) == []
    write({"001_a.sql": LF, "002_b.sql": b"SELECT 1;\nSELECT 2;\n"})
    assert modified(migrator) == ["002_b.sql"]
    assert [status.applied_source for status in migrator.status()] == [None, None]


def test_what_another_tool_applied_since_is_not_taken_for_the_kept_text(
    database: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": LF})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    database.rows("UPDATE schema_migrations SET checksum = '0123456789abcdef'")
    (status,) = migrator.status()
    assert (status.conditions, status.applied_source) == ((Condition.MODIFIED,), None)


@pytest.mark.parametrize("junk", ["", "?", "é", "QUJD", "A"])
def test_what_the_log_should_not_hold(junk: str, database: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": LF})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    write({"001_a.sql": b"SELECT 1;"})
    database.rows(f"UPDATE schema_migrations_log SET source = '{junk}'")
    (status,) = migrator.status()
    assert (status.conditions, status.applied_source) == ((Condition.MODIFIED,), None)


def test_a_log_of_an_earlier_version(database: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": LF})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    database.age_log()
    write({"001_a.sql": b"SELECT 1;"})
    assert modified(migrator) == ["001_a.sql"]
    write({"001_a.sql": CRLF})
    assert modified(migrator) == []


def test_more_modified_files_than_one_query_names(
    database: Database, folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{number:03d}_a.sql": f"SELECT {number};\r\nSELECT 1;\n" for number in range(7)}
    write(files)
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    monkeypatch.setattr(ledger, "_AT_ONCE", 3)
    write({name: text.replace("\r", "") for name, text in files.items()})
    assert modified(migrator) == []


def test_texts_cost_a_query_only_where_one_is_in_question(
    database: Database, folder: Path, write: Write
) -> None:
    write({f"{number:03d}_a.sql": f"SELECT {number};\r\nSELECT 1;\n" for number in range(9)})
    engine = database.engine()
    migrator = Migrator(engine, folder)
    migrator.run()
    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: sent.append(args[2]))

    def queries() -> tuple[int, int]:
        """How many, and how many of them ask for texts."""
        sent.clear()
        migrator.status()
        return len(sent), sum(".source" in statement for statement in sent)

    usual, none = queries()
    write({f"{number:03d}_a.sql": f"SELECT {number};\nSELECT 1;\n" for number in range(4)})
    assert none == 0
    assert queries() == (usual + 1, 1)
    write({f"{number:03d}_a.sql": f"SELECT {number};" for number in range(9)})
    assert queries() == (usual + 1, 1)


def test_a_log_that_one_may_not_read(one_postgresql: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": MIXED})
    Migrator(one_postgresql.engine(), folder).run()
    write({"001_a.sql": LF})
    role = f"reader_{make_url(one_postgresql.url).database}"
    one_postgresql.rows(f"CREATE ROLE {role}; GRANT SELECT ON schema_migrations TO {role}")
    try:
        with one_postgresql.engine().connect() as connection:
            connection.exec_driver_sql(f"SET ROLE {role}")
            connection.commit()
            (status,) = Migrator(connection, folder).status()
    finally:
        one_postgresql.rows(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert (status.conditions, status.applied_source) == ((Condition.MODIFIED,), None)


# --- half-way ---------------------------------------------------------------------------------------------

HALF = b"""-- fluxmig: no-transaction
CREATE TABLE a (
  id integer
);
CREATE TABLE b (id integer);
INSERT INTO nowhere
VALUES (1);
"""


@pytest.mark.parametrize(("before", "after"), [(b"\n", b"\r\n"), (b"\r\n", b"\n")])
def test_a_half_done_file_goes_on_after_a_conversion(
    before: bytes, after: bytes, database: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": HALF.replace(b"\n", before)})
    migrator = Migrator(database.engine(), folder)
    with pytest.raises(MigrationFailedError):
        migrator.run()
    mended = HALF.replace(b"nowhere", b"b")
    write({"001_a.sql": BOM + mended.replace(b"\n", after)})
    (result,) = migrator.run().results
    assert result.resumed_at == 3
    assert database.rows("SELECT id FROM b") == [(1,)]


def test_a_half_done_file_does_not_after_an_edit(database: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": HALF})
    migrator = Migrator(database.engine(), folder)
    with pytest.raises(MigrationFailedError):
        migrator.run()
    write({"001_a.sql": HALF.replace(b"a (\n", b"a (\n\n")})
    with pytest.raises(LedgerError, match=r"statements 1 to 2, and the file has changed there since\n"):
        migrator.run()


# --- renamed files ----------------------------------------------------------------------------------------

TABLES = {"001_a.sql": "CREATE TABLE a (id integer);\n", "002_b.sql": "CREATE TABLE b (id integer);\n"}
REFUSED = """\
would run a second time: 001_a.sql is now 003_a.sql: same content
`fluxmig rename 001_a.sql 003_a.sql` mends the ledger; `fluxmig unmark 001_a.sql` if it shall run again"""


@pytest.fixture
def renamed(database: Database, folder: Path, write: Write) -> Migrator:
    write(TABLES)
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    (folder / "001_a.sql").rename(folder / "003_a.sql")
    return migrator


def test_a_renamed_file_is_not_run_again(renamed: Migrator, database: Database, write: Write) -> None:
    write(
        {
            "004_c.sql": "CREATE TABLE c (id integer);\n",
            "003_a.sql": TABLES["001_a.sql"].replace("\n", "\r\n"),
        }
    )
    for refuse in (renamed.run, renamed.plan, lambda: list(renamed.plan_sql()), lambda: renamed.run(to="3")):
        with pytest.raises(LedgerError) as caught:
            refuse()
        assert (str(caught.value), caught.value.names) == (REFUSED, ("001_a.sql", "003_a.sql"))
    assert names(database) == list(TABLES)
    assert "c" not in database.tables()
    assert [(status.name, status.state, status.renamed_to) for status in renamed.status()] == [
        ("001_a.sql", State.APPLIED, ("003_a.sql",)),
        ("002_b.sql", State.APPLIED, ()),
        ("003_a.sql", State.PENDING, ()),
        ("004_c.sql", State.PENDING, ()),
    ]
    verification = renamed.verify()
    assert (verification.exit_code, [finding.kind for finding in verification.findings]) == (4, ["renamed"])


def test_what_is_chosen_beside_it_runs(renamed: Migrator, database: Database, write: Write) -> None:
    write({"004_c.sql": "CREATE TABLE c (id integer);\n"})
    report = renamed.run(only="4")
    assert [result.name for result in report.results] == ["004_c.sql"]
    assert [finding.kind for finding in report.findings] == ["renamed"]
    assert names(database) == [*TABLES, "004_c.sql"]


def test_after_its_record_is_gone_it_runs_again(renamed: Migrator, database: Database) -> None:
    database.rows("DELETE FROM schema_migrations WHERE migration_name = '001_a.sql'")
    database.rows("DROP TABLE a")
    assert [result.name for result in renamed.run().results] == ["003_a.sql"]
    assert names(database) == ["002_b.sql", "003_a.sql"]


def test_after_its_record_has_the_new_name_nothing_is_said(renamed: Migrator, database: Database) -> None:
    database.rows(
        "UPDATE schema_migrations SET migration_name = '003_a.sql' WHERE migration_name = '001_a.sql'"
    )
    assert (renamed.run().results, renamed.run().findings) == ((), ())
    assert renamed.verify().ok


def test_several_renamed_files(database: Database, folder: Path, write: Write) -> None:
    write(TABLES)
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    for name in TABLES:
        (folder / name).rename(folder / f"1{name}")
    with pytest.raises(LedgerError) as caught:
        migrator.run()
    assert str(caught.value) == (
        "would run a second time: 001_a.sql is now 1001_a.sql: same content\n"
        "002_b.sql is now 1002_b.sql: same content\n"
        "`fluxmig rename OLD NEW` mends the ledger; `fluxmig unmark OLD` if it shall run again"
    )
    assert caught.value.names == ("001_a.sql", "1001_a.sql", "002_b.sql", "1002_b.sql")


@pytest.mark.parametrize("content", ["", "\n", "-- nothing yet\n"])
def test_what_holds_no_statement_does_no_harm(
    content: str, database: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": content})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    (folder / "001_a.sql").rename(folder / "002_a.sql")
    report = migrator.run()
    assert [finding.kind for finding in report.findings] == ["renamed", "empty"]
    assert names(database) == ["001_a.sql", "002_a.sql"]


# --- order and numbers ------------------------------------------------------------------------------------


def test_what_verify_warns_of(database: Database, folder: Path, write: Write) -> None:
    write({"002_b.sql": "SELECT 1;", "2_c.sql": "SELECT 2;"})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    write({"001_a.sql": "SELECT 3;"})
    verification = migrator.verify()
    assert (verification.ok, verification.exit_code, verification.findings) == (True, 0, ())
    assert [(finding.kind, finding.message) for finding in verification.warnings] == [
        ("out of order", "sorted before 2_c.sql, which is applied: 001_a.sql"),
        ("number", "number 002 is shared by 002_b.sql, 2_c.sql"),
    ]
    assert migrator.status()[0].conditions == (Condition.OUT_OF_ORDER,)


def test_a_strict_order_makes_it_a_problem(database: Database, folder: Path, write: Write) -> None:
    write({"002_b.sql": "SELECT 1;"})
    migrator = Migrator(database.engine(), folder, strict_order=True)
    migrator.run()
    write({"001_a.sql": "SELECT 3;"})
    verification = migrator.verify()
    assert (verification.exit_code, verification.warnings) == (4, ())
    assert [finding.kind for finding in verification.findings] == ["out of order"]


def test_a_renamed_file_of_mixed_line_endings_is_not_run_again(
    database: Database, folder: Path, write: Write
) -> None:
    text = "CREATE TABLE IF NOT EXISTS a (id integer);\r\nINSERT INTO a VALUES (1);\n"
    write({"001_a.sql": text})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    (folder / "001_a.sql").unlink()
    write({"002_a.sql": text.replace("\r\n", "\n")})
    with pytest.raises(LedgerError, match=r"001_a.sql is now 002_a.sql: same content"):
        migrator.run()
    assert database.rows("SELECT id FROM a") == [(1,)]
    migrator.rename("1", "2")
    assert [status.conditions for status in migrator.status()] == [()]
    assert migrator.verify().ok
