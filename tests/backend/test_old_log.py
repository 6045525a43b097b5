"""A log that an earlier version made, without the columns that came later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from fluxmig import Condition, Migrator
from tests.support import LATER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Database, Write

CONTAINERS = VERSIONS = False
FIRST = "CREATE TABLE a (id integer);\n"
SECOND = "CREATE TABLE a (id integer);\nCREATE TABLE b (id integer);\n"


@pytest.fixture
def old(database: Database, folder: Path, write: Write) -> Database:
    """One migration is applied, and one is pending and will be marked."""
    write({"001_a.sql": FIRST})
    Migrator(database.engine(), folder).run()
    database.age_log()
    write({"002_b.sql": SECOND})
    return database


def test_it_is_read_as_it_is(old: Database, folder: Path) -> None:
    migrator = Migrator(old.engine(), folder)
    steps = {"started", "progress"}  # of a file that runs without a transaction
    assert [entry.event for entry in migrator.log() if entry.event not in steps] == ["applied"]
    (first, _) = migrator.status()
    assert first.last_event is not None
    assert (first.last_event.name, first.last_event.statements) == ("001_a.sql", None)
    assert migrator.verify().ok
    assert [script.name for script in migrator.plan().scripts] == ["002_b.sql"]
    with pytest.raises(Exception, match="lost"):
        old.rows("SELECT lost FROM schema_migrations_log")


def test_a_run_gives_it_the_columns(old: Database, folder: Path) -> None:
    report = Migrator(old.engine(), folder).run()
    assert report.findings == ()
    assert old.log("event, lost, source IS NULL") == [
        ("applied", None, 1),
        ("marked", 1, 0),
    ]
    (_, second) = Migrator(old.engine(), folder).status()
    assert second.conditions == (Condition.MARKED,)


def test_whoever_may_not_alter_it_writes_what_there_is_room_for(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": FIRST})
    Migrator(one_postgresql.engine(), folder).run()
    database = make_url(one_postgresql.url).database
    role = f"writer_of_{database}"
    one_postgresql.rows(
        "".join(f"ALTER TABLE schema_migrations_log DROP COLUMN {column};" for column in LATER)
        + f"CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role};"
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};"
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role};"
    )
    write({"002_b.sql": SECOND})
    try:
        engine = one_postgresql.engine(connect_args={"options": f"-c role={role}"})
        report = Migrator(engine, folder).run()
        assert report.findings == ()
        assert one_postgresql.rows("SELECT event FROM schema_migrations_log ORDER BY id") == [
            ("applied",),
            ("marked",),
        ]
        write({"003_c.sql": "SELECT 1;"})
        (finding,) = Migrator(engine, folder).mark("3", reason="it is there").findings
        assert (finding.message, finding.remedy) == (
            "public.schema_migrations_log is that of an earlier version, so the reason is not kept",
            "the login may not add its columns: run fluxmig once as its owner",
        )
        assert Migrator(engine, folder).unmark("3").findings == ()
        engine.dispose()
    finally:
        one_postgresql.rows(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_the_text_is_kept_compressed_up_to_a_size(database: Database, folder: Path, write: Write) -> None:
    large = FIRST + "-- " + "x" * 2**20 + "\n"
    write({"001_a.sql": "\ufeff" + FIRST, "002_large.sql": large.replace(" a ", " large ")})
    migrator = Migrator(database.engine(), folder)
    migrator.run()
    with database.engine().connect() as connection:
        ledger = migrator._ledger(connection)
        assert ledger.text(connection, "001_a.sql") == FIRST.encode()
        assert ledger.text(connection, "002_large.sql") is None
        assert ledger.text(connection, "003_none.sql") is None
