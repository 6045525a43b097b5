"""What is seen of each statement: its locks and for how long, what the server did for it, its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fluxmig import MigrationFailedError, Migrator
from fluxmig.dialects import dialect_of

if TYPE_CHECKING:
    from pathlib import Path

    from fluxmig.model import Script
    from fluxmig.trace import StatementTrace
    from tests.support import Database, Write

CONTAINERS = False
BASE = """
CREATE TABLE users (id integer PRIMARY KEY, name text);
CREATE TABLE messages (id integer PRIMARY KEY, body text, owner integer);
INSERT INTO users SELECT n, 'name ' || n FROM generate_series(1, 10) AS n;
INSERT INTO messages SELECT n, 'text', 1 FROM generate_series(1, 10) AS n;
CREATE VIEW names AS SELECT id, name FROM users;
"""


def traced(database: Database, folder: Path, on_duplicate: str = "mark") -> tuple[StatementTrace, ...]:
    """What was seen of the last file that ran."""
    engine = database.engine()
    with engine.connect() as connection:
        dialect = dialect_of(engine).met(connection)
    tracer = dialect.tracer(frozenset({"schema_migrations", "schema_migrations_log"}))
    scripts: list[Script] = []
    try:
        Migrator(engine, folder, on_duplicate=on_duplicate).run(observer=tracer, on_start=scripts.append)
    except MigrationFailedError:
        pass
    finally:
        tracer.close()
    return tracer.traces(scripts[-1])


def locks(trace: StatementTrace) -> list[str]:
    """Those of what was there before, but for the weakest."""
    return [
        f"{lock.mode} on {lock.relation} until {lock.until}"
        for lock in trace.locks
        if lock.existed and lock.mode.strength > 2
    ]


def work(trace: StatementTrace) -> list[str]:
    return [f"{each.kind} {each.name}" for each in trace.work if each.existed]


@pytest.mark.parametrize(
    ("statement", "expected_locks", "expected_work"),
    [
        ("ALTER TABLE messages ADD COLUMN n integer DEFAULT 1", ["ACCESS EXCLUSIVE on messages"], []),
        ("CREATE INDEX body_idx ON messages (body)", ["SHARE on messages"], ["index build body_idx"]),
        (
            "ALTER TABLE messages ALTER COLUMN id TYPE bigint",
            ["ACCESS EXCLUSIVE on messages", "SHARE on messages"],
            ["rewrite messages"],
        ),
        (
            "ALTER TABLE messages ADD CHECK (id > 0)",
            ["ACCESS EXCLUSIVE on messages"],
            ["scan messages"],
        ),
        ("ALTER TABLE messages ADD CHECK (id > 0) NOT VALID", ["ACCESS EXCLUSIVE on messages"], []),
        (
            "ALTER TABLE messages ALTER COLUMN owner SET NOT NULL",
            ["ACCESS EXCLUSIVE on messages"],
            ["scan messages"],
        ),
        (
            "ALTER TABLE messages ADD FOREIGN KEY (owner) REFERENCES users (id) NOT VALID",
            ["SHARE ROW EXCLUSIVE on messages", "SHARE ROW EXCLUSIVE on users"],
            [],
        ),
        (
            "ALTER TABLE messages ADD UNIQUE (body, id)",
            ["ACCESS EXCLUSIVE on messages", "SHARE on messages"],
            ["index build messages_body_id_key"],
        ),
        ("TRUNCATE messages", ["ACCESS EXCLUSIVE on messages", "SHARE on messages"], ["truncate messages"]),
        ("DROP TABLE messages", ["ACCESS EXCLUSIVE on messages"], ["drop table messages"]),
        (
            "ALTER TABLE messages DROP COLUMN body",
            ["ACCESS EXCLUSIVE on messages"],
            ["drop column messages.body"],
        ),
        (
            "ALTER TABLE messages RENAME COLUMN body TO content",
            ["ACCESS EXCLUSIVE on messages"],
            ["rename messages.body to content"],
        ),
        (
            "ALTER TABLE messages RENAME TO letters",
            ["ACCESS EXCLUSIVE on letters"],
            ["rename messages to letters"],
        ),
        ("DROP VIEW names", ["ACCESS EXCLUSIVE on names"], []),
        ("UPDATE messages SET body = 'new'", [], []),
        (
            "REINDEX INDEX messages_pkey",
            ["SHARE on messages", "ACCESS EXCLUSIVE on messages_pkey"],
            ["index build messages_pkey"],
        ),
    ],
)
def test_what_a_statement_does(
    one_postgresql: Database,
    folder: Path,
    write: Write,
    statement: str,
    expected_locks: list[str],
    expected_work: list[str],
) -> None:
    write({"001_base.sql": BASE, "002_change.sql": f"{statement};\nCREATE TABLE other (id integer);\n"})
    trace, other = traced(one_postgresql, folder)
    assert set(locks(trace)) == {f"{lock} until 2" for lock in expected_locks}
    assert work(trace) == expected_work
    assert locks(other) == []
    assert [(lock.relation, lock.existed) for lock in other.locks] == [("other", False)]


@pytest.mark.parametrize(
    ("statement", "expected_locks", "expected_work"),
    [
        (
            "CREATE INDEX CONCURRENTLY body_idx ON messages (body)",
            ["SHARE UPDATE EXCLUSIVE on messages until 1"],
            ["index build body_idx"],
        ),
        (
            "VACUUM FULL messages",
            ["ACCESS EXCLUSIVE on messages until 1"],
            ["rewrite messages"],
        ),
    ],
)
def test_what_a_statement_does_outside_of_transactions(
    postgresql: Database,
    folder: Path,
    write: Write,
    statement: str,
    expected_locks: list[str],
    expected_work: list[str],
) -> None:
    write(
        {"001_base.sql": BASE, "002_change.sql": f"{statement};\nALTER TABLE users ADD COLUMN n integer;\n"}
    )
    trace, next_one = traced(postgresql, folder)
    assert not trace.in_transaction
    assert set(locks(trace)) >= set(expected_locks)
    assert work(trace) == expected_work
    assert locks(next_one) == ["ACCESS EXCLUSIVE on users until 2"]


def test_a_column_that_rows_would_refuse(one_postgresql: Database, folder: Path, write: Write) -> None:
    text = "ALTER TABLE a ADD c integer NOT NULL, ADD d integer NOT NULL DEFAULT 1, ADD e integer;\n"
    text += "ALTER TABLE a ADD f serial, ADD g integer GENERATED ALWAYS AS IDENTITY, ADD h uuid NOT NULL;\n"
    write({"001_a.sql": "CREATE TABLE a (b integer NOT NULL);\n", "002_change.sql": text})
    first, second = traced(one_postgresql, folder)
    assert work(first) == ["scan a", "required column a.c"]
    assert work(second) == ["rewrite a", "required column a.h"]


@pytest.mark.parametrize("head", ["", "-- fluxmig: no-transaction\n"], ids=["transaction", "none"])
def test_columns_are_known_behind_a_rewrite(
    one_postgresql: Database, folder: Path, write: Write, head: str
) -> None:
    text = "ALTER TABLE messages ALTER id TYPE bigint;\nSELECT 1;\nALTER TABLE messages DROP COLUMN body;\n"
    write({"001_base.sql": BASE, "002_change.sql": head + text})
    rewritten, _, dropped = traced(one_postgresql, folder)
    assert (work(rewritten), work(dropped)) == (["rewrite messages"], ["drop column messages.body"])


def test_a_lock_of_a_transaction_of_the_files_own_ends_with_it(
    postgresql: Database, folder: Path, write: Write
) -> None:
    text = "BEGIN;\nALTER TABLE users ADD COLUMN n integer;\nSELECT 1;\nCOMMIT;\nSELECT 2;\n"
    write({"001_base.sql": BASE, "002_change.sql": text})
    traces = traced(postgresql, folder)
    assert [locks(trace) for trace in traces] == [[], ["ACCESS EXCLUSIVE on users until 3"], [], [], []]


def test_rows_and_notices(postgresql: Database, folder: Path, write: Write) -> None:
    text = (
        "INSERT INTO users VALUES (11, 'a');\nINSERT INTO users VALUES (12, 'b'), (13, 'c');\n"
        "INSERT INTO messages VALUES (11, 'a', 1);\nUPDATE users SET name = 'x' WHERE id > 10;\n"
        "COPY users FROM stdin;\n14\td\n15\te\n\\.\nDO $$ BEGIN RAISE NOTICE 'told'; END $$;\n"
    )
    write({"001_base.sql": BASE, "002_change.sql": text})
    found = [(trace.number, trace.count, trace.rows, trace.notices) for trace in traced(postgresql, folder)]
    assert found == [
        (1, 2, 3, ()),
        (3, 1, 1, ()),
        (4, 1, 3, ()),
        (5, 1, 2, ()),
        (6, 1, None, ("NOTICE: told",)),
    ]


def test_a_dump_into_an_empty_database_is_not_asked_about(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    many = "".join(f"CREATE TABLE t{number} (a integer);\n" for number in range(101))
    write({"001_dump.sql": f"{many}COPY t0 FROM stdin;\n1\n2\n\\.\n"})
    *traces, copied = traced(one_postgresql, folder)
    assert {trace.locks for trace in traces} == {()}
    assert copied.rows == 2
    write({"002_more.sql": many.replace(" t", " u") + "ALTER TABLE t0 ADD b integer;\n"})
    *_, before, last = traced(one_postgresql, folder)
    assert [(lock.relation, lock.existed, lock.until) for lock in before.locks] == [("u100", False, 102)]
    assert locks(last) == ["ACCESS EXCLUSIVE on t0 until 102"]


def test_what_failed_is_the_last(postgresql: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_base.sql": BASE,
            "002_change.sql": "DROP VIEW names;\nALTER TABLE nobody ADD n int;\nSELECT 1;\n",
        }
    )
    dropped, failed = traced(postgresql, folder)
    assert locks(dropped) == ["ACCESS EXCLUSIVE on names until 2"]
    assert (failed.error, failed.locks) == ('relation "nobody" does not exist', ())


def test_what_is_completed_is_seen_in_its_second_try(
    postgresql: Database, folder: Path, write: Write
) -> None:
    text = "ALTER TABLE users ADD COLUMN n integer;\nCREATE TABLE messages (id integer);\nSELECT 1;\n"
    write({"001_base.sql": BASE, "002_change.sql": text})
    traces = traced(postgresql, folder, on_duplicate="complete")
    assert [trace.error for trace in traces] == [None, 'relation "messages" already exists', None]
    assert locks(traces[0]) == ["ACCESS EXCLUSIVE on users until 3"]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("ALTER TABLE messages ADD COLUMN n integer", []),
        ("ALTER TABLE messages DROP COLUMN body", []),
        ("ALTER TABLE messages ADD (n integer NOT NULL, o varchar(20) DEFAULT 'KEY')", []),
        ("ALTER TABLE messages ADD COLUMN n integer AUTO_INCREMENT UNIQUE", ["rewrite messages"]),
        ("ALTER TABLE messages ADD COLUMN n integer AS (id + 1) STORED", ["rewrite messages"]),
        ("ALTER TABLE messages MODIFY id bigint", ["rewrite messages"]),
        ("OPTIMIZE TABLE messages", ["rewrite messages"]),
        ("TRUNCATE TABLE messages", ["truncate messages"]),
        ("DROP TABLE messages", ["drop table messages"]),
        ("RENAME TABLE messages TO letters", ["rename messages to letters"]),
        ("CREATE INDEX body_idx ON messages (body)", []),
        ("INSERT INTO messages VALUES (1, 'a')", []),
    ],
)
@pytest.mark.parametrize("rows", ["", "INSERT INTO messages VALUES (2, 'b');\n"], ids=["empty", "a row"])
def test_what_innodb_does(
    mariadb: Database, folder: Path, write: Write, statement: str, expected: list[str], rows: str
) -> None:
    """And what it would do to rows where there are none: MySQL writes an empty table anew then."""
    write(
        {
            "001_base.sql": f"CREATE TABLE messages (id integer PRIMARY KEY, body varchar(20));\n{rows}",
            "002_change.sql": f"{statement};\nCREATE TABLE other (id integer);\nDROP TABLE other;\n",
        }
    )
    trace, _, dropped = traced(mariadb, folder)
    assert work(trace) == expected
    assert trace.locks == ()
    assert [(each.kind, each.existed) for each in dropped.work] == [("drop table", False)]


def test_odd_names_are_told_as_they_are_written(mariadb: Database, folder: Path, write: Write) -> None:
    name = "order-items: 100%"
    change = f"ALTER TABLE `{name}` ADD COLUMN n integer;\nALTER TABLE `{name}` MODIFY id bigint;"
    write({"001_base.sql": f"CREATE TABLE `{name}` (id integer PRIMARY KEY);", "002_change.sql": change})
    assert [work(trace) for trace in traced(mariadb, folder)] == [[], [f"rewrite {name}"]]


def test_warnings_are_told_of_their_statement(mariadb: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "SELECT 1;\nDROP TABLE IF EXISTS nobody;\nSELECT 2;\n"})
    found = [trace.notices for trace in traced(mariadb, folder)]
    assert (found[0], len(found[1]), found[2]) == ((), 1, ())
    assert "nobody" in found[1][0]


def test_times_and_rows_are_known_everywhere(database: Database, folder: Path, write: Write) -> None:
    write(
        {"001_a.sql": "CREATE TABLE a (b integer);\nINSERT INTO a VALUES (1);\nINSERT INTO a VALUES (2);\n"}
    )
    made, filled = traced(database, folder)
    assert (made.number, made.last, filled.number, filled.last, filled.rows) == (1, 1, 2, 3, 2)
    assert made.duration_ms > 0
    assert filled.started_ms == pytest.approx(made.duration_ms)
