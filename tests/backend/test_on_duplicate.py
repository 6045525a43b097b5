"""What a run does with a migration whose object is there already, by each policy."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from fluxmig import (
    MigrationFailedError,
    Migrator,
    OnDuplicate,
    Outcome,
    StepResult,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Database, Write

CONTAINERS = VERSIONS = False
LOG = "event, migration_name, message, statements, lost, unchecked"

HALF = {
    "001_half.sql": "CREATE TABLE a (id integer);\nCREATE TABLE c (id integer);\n",
    "002_all.sql": (
        "CREATE TABLE a (id integer);\n"
        "CREATE TABLE b (id integer);\n"
        "INSERT INTO b VALUES (1);\n"
        "CREATE TABLE c (id integer);\n"
        "CREATE INDEX b_id_idx ON b (id);\n"
    ),
    "003_next.sql": "CREATE TABLE next_one (id integer);\n",
}
SAME = {
    "001_first.sql": "CREATE TABLE a (id integer);\nCREATE INDEX a_id_idx ON a (id);\n",
    "002_again.sql": (
        "CREATE TABLE a (id integer);\n"
        "CREATE TABLE IF NOT EXISTS a (id integer);\n"
        "CREATE INDEX a_id_idx ON a (id);\n"
    ),
}


def run(database: Database, folder: Path, policy: str) -> StepResult:
    """The step of the second migration, whether it failed or not."""
    try:
        report = Migrator(database.engine(), folder, on_duplicate=policy).run()
    except MigrationFailedError as error:
        report = error.report
    return next(step for step in report.results if step.name.startswith("002"))


def ledger(database: Database) -> list[object]:
    return [row[0] for row in database.rows("SELECT migration_name FROM schema_migrations ORDER BY id")]


# --- mark -------------------------------------------------------------------------------------------------


def test_mark_tells_of_each_statement_whether_its_object_is_there(
    database: Database, folder: Path, write: Write
) -> None:
    write(HALF)
    step = run(database, folder, "mark")
    assert step.outcome is Outcome.MARKED
    assert [(lost.statement.number, lost.objects, lost.exists) for lost in step.lost] == [
        (2, ("table b",), False),
        (3, (), None),
        (4, ("table c",), True),
        (5, ("index b_id_idx on b",), False),
    ]
    assert step.loss == "2 of 5 statements lost, 1 perhaps"
    event, name, message, *counts = database.log(LOG)[1]
    assert (event, name, counts) == ("marked", "002_all.sql", [5, 2, 1])
    assert str(message).replace("!", "").endswith("already exists; 2 of 5 statements lost, 1 perhaps")
    assert "b" not in database.tables()


def test_mark_of_what_is_all_there(database: Database, folder: Path, write: Write) -> None:
    write(SAME)
    step = run(database, folder, "mark")
    assert step.outcome is Outcome.MARKED
    assert [lost.exists for lost in step.lost] == [True, True]
    assert step.loss == "nothing lost"


# --- verify -----------------------------------------------------------------------------------------------


def test_verify_marks_where_nothing_is_lost(database: Database, folder: Path, write: Write) -> None:
    write(SAME)
    step = run(database, folder, "verify")
    assert (step.outcome, step.loss) == (Outcome.MARKED, "nothing lost")
    assert ledger(database) == list(SAME)
    assert database.log(LOG)[1][3:] == (3, 0, 0)


def test_verify_records_nothing_where_something_would_be_lost(
    database: Database, folder: Path, write: Write
) -> None:
    write(HALF)
    step = run(database, folder, "verify")
    assert step.outcome is Outcome.FAILED
    assert step.failure is not None
    assert (step.failure.line, step.failure.object) == (1, "a")
    assert step.failure.remedy == (
        "3 statements are no duplicates, and would be lost;"
        " the first of line 2: CREATE TABLE b (id integer)\n"
        "Nothing is recorded. --on-duplicate complete runs what is not there, and mark gives it up."
    )
    assert ledger(database) == ["001_half.sql"]
    assert [row[0] for row in database.log(LOG)] == ["applied", "failed"]
    assert "b" not in database.tables()


@pytest.mark.parametrize(
    ("statement", "marked"),
    [
        ("CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'", True),
        ("CREATE FUNCTION f(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'", False),
        ("CREATE OR REPLACE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 2'", False),
        ("CREATE FUNCTION g() RETURNS integer LANGUAGE sql AS 'SELECT 1'", False),
        ("CREATE ROLE fluxmig_nobody", False),
        ("CREATE CAST (text AS a) WITH INOUT", False),
        ("SELECT f()", False),
        ("COMMENT ON TABLE a IS 'a'", False),
        ("DO $$ BEGIN CREATE TABLE a (id integer); END $$", False),
        ("ALTER TABLE a ADD COLUMN id integer", True),
        ("ALTER TABLE a ADD COLUMN id integer, ADD COLUMN more integer", False),
        ("CREATE TYPE t AS ENUM ('x')", True),
        ("SET search_path = public", True),
    ],
)
def test_verify_asks_the_server_what_the_catalog_cannot_tell(
    postgresql: Database, folder: Path, write: Write, statement: str, marked: object
) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (id integer); CREATE TYPE t AS ENUM ('x');"
            "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1';",
            "002_b.sql": f"CREATE TABLE a (id integer);\n{statement};\n",
        }
    )
    step = run(postgresql, folder, "verify")
    assert step.outcome is (Outcome.MARKED if marked else Outcome.FAILED)
    functions = "SELECT count(*) FROM pg_proc WHERE proname IN ('f', 'g')"
    assert postgresql.scalar(functions) == 1
    assert postgresql.scalar("SELECT f()") == 1
    assert postgresql.scalar("SELECT count(*) FROM pg_roles WHERE rolname = 'fluxmig_nobody'") == 0


# --- complete ---------------------------------------------------------------------------------------------


@pytest.mark.savepoints
def test_complete_runs_what_is_not_there(database: Database, folder: Path, write: Write) -> None:
    write(HALF)
    step = run(database, folder, "complete")
    assert (step.outcome, step.failure) == (Outcome.APPLIED, None)
    assert [statement.number for statement in step.skipped] == [1, 4]
    assert [notice.message.partition(",")[0] for notice in step.notices] == [
        "statement 1 is passed over",
        "statement 4 is passed over",
    ]
    assert database.rows("SELECT id FROM b") == [(1,)]
    assert ledger(database) == list(HALF)
    without = "no transaction: CREATE TABLE; " if database.is_mysql else ""
    assert database.log(LOG)[1][:3] == (
        "applied",
        "002_all.sql",
        f"{without}statements that were there already: 1, 4",
    )
    assert [status.conditions for status in Migrator(database.engine(), folder).status()] == [(), (), ()]


@pytest.mark.savepoints
def test_everything_else_must_succeed(database: Database, folder: Path, write: Write) -> None:
    write(HALF | {"002_all.sql": HALF["002_all.sql"] + "INSERT INTO nowhere VALUES (1);\n"})
    step = run(database, folder, "complete")
    assert step.outcome is Outcome.FAILED
    assert step.failure is not None
    assert (step.failure.line, step.failure.done) == (6, 5 if database.is_mysql else 0)
    assert ("b" in database.tables()) is database.is_mysql
    assert ledger(database) == ["001_half.sql"]


@pytest.mark.savepoints
@pytest.mark.parametrize(
    ("text", "line", "remedy"),
    [
        (
            "CREATE TABLE a (id integer);\nCREATE TABLE b (id integer);\nCREATE TABLE b (id integer);\n",
            3,
            "The file makes it twice.",
        ),
        (
            "CREATE TABLE a (id integer);\nCREATE TABLE b (id integer, id integer);\n",
            2,
            "Nothing like it was there before: the file makes it twice.",
        ),
    ],
)
def test_what_a_file_makes_twice_is_not_passed_over(
    database: Database, folder: Path, write: Write, text: str, line: int, remedy: str
) -> None:
    write({"001_half.sql": "CREATE TABLE a (id integer);", "002_b.sql": text})
    step = run(database, folder, "complete")
    assert step.outcome is Outcome.FAILED
    assert step.failure is not None
    assert step.failure.line == line
    if database.is_mysql:  # what came before stays
        assert (step.failure.remedy or "").startswith(f"{remedy}\nStatement {line} of {line} failed; ")
    else:
        assert step.failure.remedy == remedy
        assert "b" not in database.tables()


@pytest.mark.parametrize("policy", ["mark", "verify", pytest.param("complete", marks=pytest.mark.savepoints)])
def test_what_a_file_drops_and_makes_twice_is_no_duplicate(
    database: Database, folder: Path, write: Write, policy: str
) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    write({"002_b.sql": "DROP TABLE a;\nCREATE TABLE a (id integer);\nCREATE TABLE a (id integer);\n"})
    step = run(database, folder, policy)
    assert step.outcome is Outcome.FAILED
    assert step.failure is not None
    remedy = "The file makes it twice."
    if database.is_mysql:
        stays = "Statement 3 of 3 failed; statements 1 and 2 are done and cannot be rolled back on"
        remedy = f"{remedy}\n{stays}" if policy == "complete" else stays
    assert step.failure.line == 3
    assert (step.failure.remedy or "").partition(f" {database.product}.")[0] == remedy
    assert ledger(database) == ["001_a.sql"]


def test_a_statement_that_is_there_in_part_is_not_passed_over(
    postgresql: Database, folder: Path, write: Write
) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (id integer, one integer);",
            "002_b.sql": "ALTER TABLE a ADD COLUMN one integer, ADD COLUMN two integer;\n",
        }
    )
    step = run(postgresql, folder, "complete")
    assert step.outcome is Outcome.FAILED
    assert step.failure is not None
    assert step.failure.remedy == (
        "column two on a: not there, and would be lost with the statement; divide it"
    )


@pytest.mark.savepoints
def test_a_table_with_other_columns_is_not_passed_over(
    database: Database, folder: Path, write: Write
) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (id integer, other integer);",
            "002_b.sql": "CREATE TABLE a (id integer, name text);\nCREATE TABLE b (id integer);\n",
        }
    )
    step = run(database, folder, "complete")
    assert step.failure is not None
    assert (
        step.failure.remedy == "column name on a: not there, and would be lost with the statement; divide it"
    )
    if database.is_mysql:  # that attempt has begun it, and a file that is begun is not marked
        return
    step = run(database, folder, "verify")
    assert step.failure is not None
    assert str(step.failure.remedy).startswith("2 statements are no duplicates, and would be lost;")
    step = run(database, folder, "mark")
    assert [(lost.statement.number, lost.exists) for lost in step.lost] == [(1, False), (2, False)]
    assert step.loss == "2 of 2 statements lost"


MORE = [
    "DO $$ BEGIN CREATE TABLE a (id integer); CREATE TABLE b (id integer); END $$",
    "SELECT make()",
    "ALTER TABLE a ADD COLUMN one integer, ALTER COLUMN one SET NOT NULL",
    "ALTER TABLE a ADD COLUMN one integer, ADD CHECK (one > 0)",
    "ALTER TABLE IF EXISTS a ADD COLUMN one integer, ADD COLUMN two integer",
    "ALTER TABLE c RENAME TO a",
    "ALTER TABLE a RENAME COLUMN id TO one",
    "ALTER TABLE a SET SCHEMA s",
    "CREATE SCHEMA s CREATE TABLE b (id integer)",
    "ALTER PUBLICATION p ADD TABLE a, c",
]


@pytest.mark.parametrize("statement", MORE)
def test_what_a_statement_does_beside_its_duplicate_is_not_given_up_unseen(
    postgresql: Database, folder: Path, write: Write, statement: str
) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (id integer, one integer); CREATE TABLE c (id integer);"
            "CREATE SCHEMA s; CREATE TABLE s.a (id integer); CREATE PUBLICATION p FOR TABLE a;"
            "CREATE FUNCTION make() RETURNS void LANGUAGE plpgsql AS"
            " 'BEGIN CREATE TABLE a (id integer); CREATE TABLE b (id integer); END';",
            "002_b.sql": f"{statement};\n",
        }
    )
    step = run(postgresql, folder, "complete")
    assert step.outcome is Outcome.FAILED
    assert step.failure is not None
    assert step.failure.remedy == (
        "The statement may do more than make what is there, and that would be lost: divide it, or take out"
        " what is there."
    )
    step = run(postgresql, folder, "verify")
    assert step.outcome is Outcome.FAILED
    assert step.failure is not None
    assert str(step.failure.remedy).startswith(
        f"1 statement is no duplicate, and would be lost; that of line 1: {statement}"
    )
    assert ledger(postgresql) == ["001_a.sql"]
    step = run(postgresql, folder, "mark")
    assert (step.outcome, step.loss) == (Outcome.MARKED, "1 of 1 statement perhaps lost")


@pytest.mark.parametrize("policy", ["mark", "verify", "complete"])
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE OR REPLACE VIEW b AS SELECT 1 AS x, 2 AS x",
        "CREATE TABLE IF NOT EXISTS b (x integer, x integer)",
        "CREATE TABLE IF NOT EXISTS b (x integer CONSTRAINT a PRIMARY KEY)",
    ],
)
def test_a_statement_that_takes_its_object_as_it_is_meets_no_duplicate(
    postgresql: Database, folder: Path, write: Write, statement: str, policy: str
) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);", "002_b.sql": f"{statement};\n"})
    step = run(postgresql, folder, policy)
    assert step.outcome is Outcome.FAILED
    assert step.failure is not None
    assert step.failure.remedy == (
        "IF NOT EXISTS and OR REPLACE never meet the object itself: this is another, or a fault."
    )
    assert ledger(postgresql) == ["001_a.sql"]


def test_the_catalog_is_asked_for_each_statement_and_not_for_the_whole_file_each_time(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    tables = "".join(f"CREATE TABLE t{number} (id integer);\n" for number in range(50))
    write({"001_a.sql": tables, "002_b.sql": tables})
    asked: list[int] = []
    engine = one_postgresql.engine()

    @event.listens_for(engine, "before_cursor_execute")
    def _listen(*arguments: Any) -> None:
        if "wanted" in (parameters := arguments[3]):
            asked.append(str(parameters["wanted"]).count('"number"'))

    report = Migrator(engine, folder, on_duplicate="complete").run()
    assert len(report.results[1].skipped) == 50
    assert max(asked) == 2  # a table and its column


def test_complete_keeps_savepoints_settings_and_rows_of_the_file(
    postgresql: Database, folder: Path, write: Write
) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (id integer); CREATE SCHEMA s;",
            "002_b.sql": "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\n"
            "CREATE TABLE a (id integer);\n"
            "SET LOCAL search_path = s;\n"
            "CREATE TABLE b (id integer, name text);\n"
            "COPY b FROM stdin;\n1\tone\n2\ttwo\n\\.\n"
            "SAVEPOINT before;\n"
            "INSERT INTO b VALUES (3, 'three');\n"
            "ROLLBACK TO before;\n"
            "RELEASE before;\n"
            "INSERT INTO b VALUES (4, current_setting('transaction_isolation'));\n",
        }
    )
    step = run(postgresql, folder, "complete")
    assert step.failure is None
    assert (step.outcome, [statement.number for statement in step.skipped]) == (Outcome.APPLIED, [2])
    assert postgresql.rows("SELECT * FROM s.b ORDER BY id") == [(1, "one"), (2, "two"), (4, "serializable")]


@pytest.mark.savepoints
@pytest.mark.transactional_ddl
def test_a_connection_inside_a_transaction(database: Database, folder: Path, write: Write) -> None:
    write(HALF)
    engine = database.engine()
    with engine.connect() as connection:
        transaction = connection.begin()
        report = Migrator(connection, folder, on_duplicate="complete").run()
        assert [step.outcome for step in report.results] == [Outcome.APPLIED] * 3
        transaction.rollback()
    assert database.tables() == set()


@pytest.mark.parametrize("head", ["-- fluxmig: no-transaction\n", ""])
def test_complete_without_a_transaction(postgresql: Database, folder: Path, write: Write, head: str) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (id integer); CREATE INDEX a_id_idx ON a (id);",
            "002_b.sql": head + "CREATE TABLE a (id integer);\n"
            "CREATE INDEX CONCURRENTLY a_id_idx ON a (id);\n"
            "BEGIN;\nCREATE TABLE b (id integer);\nCREATE TABLE a (id integer);\nCOMMIT;\n"
            "CREATE INDEX CONCURRENTLY b_id_idx ON b (id);\n",
        }
    )
    step = run(postgresql, folder, "complete")
    assert step.failure is None
    assert (step.outcome, [statement.number for statement in step.skipped]) == (Outcome.APPLIED, [1, 2, 5])
    assert postgresql.scalar("SELECT count(*) FROM pg_indexes WHERE indexname = 'b_id_idx'") == 1
    assert postgresql.log(LOG)[-1][2] == (
        "no transaction: CREATE INDEX CONCURRENTLY; statements that were there already: 1, 2, 5"
    )


def test_complete_goes_on_where_a_duplicate_stopped(postgresql: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (id integer);",
            "002_b.sql": "-- fluxmig: no-transaction\nCREATE TABLE b (id integer);\n"
            "CREATE TABLE a (id integer);\nCREATE TABLE c (id integer);\n",
        }
    )
    assert run(postgresql, folder, "mark").outcome is Outcome.FAILED
    report = Migrator(postgresql.engine(), folder, on_duplicate="complete").run()
    (step,) = report.results
    assert (step.outcome, step.resumed_at) == (Outcome.APPLIED, 2)
    assert [statement.number for statement in step.skipped] == [2]
    assert {"a", "b", "c"} <= postgresql.tables()


def test_the_log_keeps_what_an_attempt_passed_over_before_it_failed(
    postgresql: Database, folder: Path, write: Write
) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (id integer);",
            "002_b.sql": "-- fluxmig: no-transaction\nCREATE TABLE a (id integer);\n"
            "BEGIN;\nCREATE TABLE b (id integer);\nCREATE TABLE a (id integer);\nCOMMIT;\n"
            "SELECT * FROM nowhere;\n",
        }
    )
    assert run(postgresql, folder, "complete").outcome is Outcome.FAILED
    progress = (
        "SELECT statement_number, message FROM schema_migrations_log WHERE event = 'progress' ORDER BY id"
    )
    assert postgresql.rows(progress) == [
        (1, "statements that were there already: 1"),
        (5, "statements that were there already: 4"),
    ]


def test_an_invalid_index_is_not_passed_over(postgresql: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (id integer); INSERT INTO a VALUES (1), (1);",
            "002_b.sql": "CREATE TABLE a (id integer);\nCREATE UNIQUE INDEX a_id_idx ON a (id);\n",
        }
    )
    Migrator(postgresql.engine(), folder).run(only="001_a.sql")
    engine = postgresql.engine(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection, pytest.raises(Exception, match="duplicate"):
        connection.exec_driver_sql("CREATE UNIQUE INDEX CONCURRENTLY a_id_idx ON a (id)")
    with pytest.raises(MigrationFailedError) as caught:
        Migrator(postgresql.engine(), folder, on_duplicate="complete").run()
    assert "is there, but invalid" in str(caught.value)
    assert ledger(postgresql) == ["001_a.sql"]


# --- the word of the file ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "directive", "outcome"),
    [
        pytest.param("fail", "complete", Outcome.APPLIED, marks=pytest.mark.savepoints),
        ("complete", "fail", Outcome.FAILED),
        ("mark", "verify", Outcome.FAILED),
        ("verify", "mark", Outcome.MARKED),
    ],
)
def test_the_file_decides(
    database: Database, folder: Path, write: Write, setting: str, directive: str, outcome: Outcome
) -> None:
    text = f"-- fluxmig: on-duplicate={directive}\n{HALF['002_all.sql']}"
    write(HALF | {"002_all.sql": text})
    assert run(database, folder, setting).outcome is outcome


def test_both_directives(postgresql: Database, folder: Path, write: Write) -> None:
    head = "-- fluxmig: no-transaction\n-- fluxmig: on-duplicate = complete\n"
    write(HALF | {"002_all.sql": head + HALF["002_all.sql"]})
    step = run(postgresql, folder, "fail")
    assert (step.outcome, step.reason) == (Outcome.APPLIED, "the file says so")


@pytest.mark.parametrize("policy", list(OnDuplicate))
def test_a_down_script_has_no_duplicates(
    database: Database, folder: Path, write: Write, policy: OnDuplicate
) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);", "001_a.down.sql": "CREATE TABLE a (id integer);"})
    migrator = Migrator(database.engine(), folder, on_duplicate=policy)
    migrator.run()
    with pytest.raises(Exception, match="already exists"):
        migrator.rollback()
    assert ledger(database) == ["001_a.sql"]


# --- 42P16 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "statement", "marked"),
    [
        ("id integer PRIMARY KEY", "ALTER TABLE a ADD CONSTRAINT a_pkey PRIMARY KEY (id)", True),
        (
            "id integer, CONSTRAINT other PRIMARY KEY (id)",
            "ALTER TABLE a ADD CONSTRAINT a_pkey PRIMARY KEY (id)",
            False,
        ),
        ("id integer PRIMARY KEY", "CREATE TABLE b (x integer PRIMARY KEY, y integer PRIMARY KEY)", False),
        (
            "id integer PRIMARY KEY",
            "CREATE VIEW v AS SELECT 1 AS a; CREATE OR REPLACE VIEW v AS SELECT 1 AS b",
            False,
        ),
    ],
)
def test_invalid_table_definition_is_a_duplicate_only_of_a_primary_key(
    postgresql: Database, folder: Path, write: Write, before: str, statement: str, marked: object
) -> None:
    write({"001_a.sql": f"CREATE TABLE a ({before});", "002_b.sql": f"{statement};\n"})
    step = run(postgresql, folder, "mark")
    assert step.failure is not None
    assert step.failure.code == "42P16"
    assert step.outcome is (Outcome.MARKED if marked else Outcome.FAILED)


# --- what is foreseen -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "remedy"),
    [
        ("mark", "the file would be rolled back and marked as applied"),
        ("verify", "the file would be rolled back and marked as applied, if nothing is lost by that"),
        ("complete", "the statement would be passed over"),
        ("fail", "the file would fail"),
    ],
)
def test_the_plan_says_what_would_become_of_it(
    database: Database, folder: Path, write: Write, policy: str, remedy: str
) -> None:
    write(HALF)
    plan = Migrator(database.engine(), folder, on_duplicate=policy).plan()
    assert [finding.remedy for finding in plan.findings if finding.kind == "duplicate"] == [remedy]


# --- where it ends ----------------------------------------------------------------------------------------

STATEMENTS = (  # each with the places of those it needs
    ("CREATE TABLE a (id integer PRIMARY KEY)", ()),
    ("CREATE TYPE kind AS ENUM ('one', 'two')", ()),
    ("CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'", ()),
    ("ALTER TABLE a ADD COLUMN kind kind NOT NULL DEFAULT 'one'", (0, 1)),
    ("CREATE UNIQUE INDEX a_kind_idx ON a (kind)", (3,)),
    ("CREATE TRIGGER a_touch BEFORE UPDATE ON a FOR EACH ROW EXECUTE FUNCTION touch()", (0, 2)),
    ("ALTER TABLE a ADD CONSTRAINT a_id_check CHECK (id > 0)", (0,)),
)
SHAPE = """
SELECT relname, coalesce(attname, ''), relkind::text FROM pg_class LEFT JOIN pg_attribute
    ON attrelid = pg_class.oid AND attnum > 0 WHERE relnamespace = 'public'::regnamespace
    AND relname NOT LIKE 'schema_migrations%'
UNION ALL SELECT proname, '', 'function' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT tgname, '', 'trigger' FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT conname, '', 'constraint' FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    AND conname NOT LIKE 'schema_migrations%'
UNION ALL SELECT typname, '', 'type' FROM pg_type
    WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'
ORDER BY 1, 2, 3
"""


def subsets() -> list[tuple[int, ...]]:
    """Those of the places that hold all that each needs; the empty one is left out."""
    places = range(len(STATEMENTS))
    found = (subset for size in places for subset in itertools.combinations(places, size + 1))
    return [subset for subset in found if all(set(STATEMENTS[place][1]) <= set(subset) for place in subset)]


@pytest.mark.parametrize("head", ["", "-- fluxmig: no-transaction\n"])
def test_complete_ends_where_a_fresh_database_does(
    one_postgresql: Database, folder: Path, write: Write, head: str
) -> None:
    write({"001_a.sql": head + "".join(f"{statement};\n" for statement, _ in STATEMENTS)})
    engine = one_postgresql.engine()
    expected = None
    assert len(subsets()) == 27
    for subset in [(), *subsets()]:
        one_postgresql.rows("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
        one_postgresql.rows("".join(f"{STATEMENTS[place][0]};" for place in subset) or "SELECT 1")
        (step,) = Migrator(engine, folder, on_duplicate="complete").run().results
        assert [statement.number - 1 for statement in step.skipped] == list(subset)
        shape = one_postgresql.rows(SHAPE)
        expected = expected or shape
        assert shape == expected


@pytest.mark.parametrize("policy", ["mark", "verify", "complete"])
def test_a_duplicate_behind_a_search_path(
    postgresql: Database, folder: Path, write: Write, policy: str
) -> None:
    write(
        {
            "001_a.sql": "CREATE SCHEMA s; CREATE TABLE s.a (id integer);",
            "002_b.sql": "SET search_path = s;\nCREATE TABLE a (id integer);\n",
        }
    )
    step = run(postgresql, folder, policy)
    expected = {"mark": Outcome.MARKED, "verify": Outcome.MARKED, "complete": Outcome.APPLIED}
    assert step.outcome is expected[policy], step.failure


@pytest.mark.parametrize(
    ("code", "text", "outcome"),
    [
        ("P0001", 'relation "a" already exists', Outcome.FAILED),
        ("23505", "already exists", Outcome.FAILED),
        ("42P07", "Relation »a« existiert bereits", Outcome.MARKED),
    ],
)
def test_the_code_decides_and_not_the_words(
    postgresql: Database, folder: Path, write: Write, code: str, text: str, outcome: Outcome
) -> None:
    raises = f"DO $$ BEGIN RAISE EXCEPTION '{text}' USING ERRCODE = '{code}'; END $$;\n"
    write({"001_a.sql": "CREATE TABLE a (id integer);", "002_b.sql": raises})
    assert run(postgresql, folder, "mark").outcome is outcome
