"""What only MySQL and MariaDB do: commits that nobody asked for, quotes by sql_mode, DELIMITER, numbers."""

from __future__ import annotations

import gc
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from fluxmig import (
    Condition,
    ConfigError,
    DatabaseConnectionError,
    LockTimeoutError,
    MigrationFailedError,
    MigrationFileError,
    Migrator,
    Mode,
    Outcome,
)
from fluxmig.dialects import mysql_existing
from fluxmig.dialects.base import ServerError
from fluxmig.dialects.mysql import MySQL
from fluxmig.objects import created
from tests.cli.support import process

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import URL, Connection

    from fluxmig import Failure, StepResult, Wait
    from tests.support import Database, Write

STEPS = "SELECT event, statement_number FROM schema_migrations_log WHERE migration_name = '{}' ORDER BY id"
OWN = {"schema_migrations", "schema_migrations_log"}


def failure_of(migrator: Migrator) -> Failure:
    with pytest.raises(MigrationFailedError) as caught:
        migrator.run()
    (step,) = caught.value.failures
    assert step.failure is not None
    return step.failure


def last(migrator: Migrator) -> StepResult:
    return migrator.run().results[-1]


# --- what is committed at once ----------------------------------------------------------------------------


def test_what_cannot_be_rolled_back_is_said_and_the_next_run_goes_on(
    mariadb: Database, folder: Path, write: Write
) -> None:
    rows = "INSERT INTO t VALUES (1);\nINSERT INTO {} VALUES (2);\n"
    file = f"CREATE TABLE t (id int);\n{rows}CREATE TABLE u (id int);\n"
    write({"001_a.sql": file.format("nowhere")})
    migrator = Migrator(mariadb.engine(), folder)
    failure = failure_of(migrator)
    name = make_url(mariadb.url).database
    assert str(failure) == (
        f"{folder}/001_a.sql:3:13: Table '{name}.nowhere' doesn't exist [1146]\n"
        "in statement 3 of 4: INSERT INTO nowhere VALUES (2)\n"
        "  1 | CREATE TABLE t (id int);\n"
        "  2 | INSERT INTO t VALUES (1);\n"
        "  3 | INSERT INTO nowhere VALUES (2);\n"
        "    |             ^\n"
        "  4 | CREATE TABLE u (id int);\n"
        f"Statement 3 of 4 failed; statements 1 and 2 are done and cannot be rolled back on {mariadb.product}"
        ". The next run goes on with statement 3; `fluxmig run --restart 001_a.sql` begins with statement 1."
    )
    assert mariadb.rows("SELECT * FROM t") == [(1,)]
    assert migrator.status()[0].conditions == (Condition.FAILED, Condition.PARTIAL)
    write({"001_a.sql": file.format("t")})
    step = last(migrator)
    assert (step.resumed_at, step.mode, step.reason) == (3, Mode.NO_TRANSACTION, "CREATE TABLE")
    assert mariadb.rows("SELECT * FROM t") == [(1,), (2,)]
    assert mariadb.tables() == OWN | {"t", "u"}


def test_a_file_of_rows_is_one_transaction(mariadb: Database, folder: Path, write: Write) -> None:
    write({"001_t.sql": "CREATE TABLE t (id int, name text)"})
    rows = "INSERT INTO t VALUES (1, 'one');\nREPLACE INTO t VALUES (2, 'two');\nUPDATE t SET id = 9;\n"
    write({"002_rows.sql": f"SET @x = 1;\n{rows}DELETE FROM nowhere;"})
    migrator = Migrator(mariadb.engine(), folder)
    failure = failure_of(migrator)
    assert (failure.done, failure.remedy) == (0, None)
    assert mariadb.rows("SELECT * FROM t") == []
    assert migrator.status()[1].conditions == (Condition.FAILED,)
    write({"002_rows.sql": rows})
    step = last(migrator)
    assert (step.mode, step.statements) == (Mode.TRANSACTION, 3)
    assert mariadb.rows("SELECT * FROM t") == [(9, "one"), (9, "two")]
    assert mariadb.rows(STEPS.format("002_rows.sql")) == [("failed", 5), ("applied", None)]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("TRUNCATE TABLE t", "TRUNCATE TABLE"),
        ("ANALYZE TABLE t", "ANALYZE TABLE"),
        ("RENAME TABLE t TO v", "RENAME TABLE"),
        ("CALL p()", "CALL P"),
        ("GRANT SELECT ON t TO CURRENT_USER()", "GRANT SELECT"),
        ("SET @x = 1, autocommit = 1", "SET autocommit"),
        ("SET PASSWORD = ''", "SET PASSWORD"),
        ("/*!40101 SET @y = 1 */", "an executable comment"),
        ("EXECUTE s", "EXECUTE S"),
        ("CREATE TEMPORARY TABLE x (id int)", None),
        ("DROP TEMPORARY TABLE IF EXISTS x", None),
        ("SET @x = 1", None),
        ("SET SESSION sql_mode = ''", None),
        ("LOAD DATA INFILE 'x' INTO TABLE t", None),
        ("DO SLEEP(0)", None),
        ("SELECT 1 INTO @x", None),
        ("SHOW TABLES", None),
    ],
)
def test_what_needs_no_transaction(
    mariadb: Database, folder: Path, write: Write, statement: str, reason: str
) -> None:
    write({"001_a.sql": f"{statement};\nINSERT INTO t VALUES (1);"})
    (script,) = Migrator(mariadb.engine(), folder).plan().scripts
    assert script.reason == reason


def test_a_procedure_that_commits_keeps_its_progress(mariadb: Database, folder: Path, write: Write) -> None:
    body = "BEGIN INSERT INTO t VALUES (2); COMMIT; CREATE TABLE made (id int); INSERT INTO t VALUES (3); END"
    write(
        {"001_t.sql": f"CREATE TABLE t (id int);\nDELIMITER //\nCREATE PROCEDURE p() {body}//\nDELIMITER ;\n"}
    )
    write({"002_rows.sql": "INSERT INTO t VALUES (1);\nCALL p();\nINSERT INTO nowhere VALUES (4);"})
    failure = failure_of(Migrator(mariadb.engine(), folder))
    assert failure.done == 2
    assert mariadb.rows("SELECT * FROM t") == [(1,), (2,), (3,)]


def test_a_transaction_that_a_file_has_ended_unseen(
    mariadb: Database, folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MySQL, "no_transaction_reason", lambda *_: None)
    write({"001_a.sql": "CREATE TABLE t (id int);\nINSERT INTO t VALUES (1);"})
    failure = failure_of(Migrator(mariadb.engine(), folder))
    assert failure.message == "the script ended the transaction it ran in"
    assert (failure.remedy or "").startswith("What it had done until then is committed, and not recorded.")


def test_own_transactions_hold_rows(mariadb: Database, folder: Path, write: Write) -> None:
    rows = "INSERT INTO t VALUES (1);\nINSERT INTO {} VALUES (2);\n"
    file = f"CREATE TABLE t (id int);\nSTART TRANSACTION;\n{rows}COMMIT;"
    write({"001_a.sql": file.format("nowhere")})
    migrator = Migrator(mariadb.engine(), folder)
    assert failure_of(migrator).done == 1
    assert mariadb.rows("SELECT * FROM t") == []
    write({"001_a.sql": file.format("t")})
    assert last(migrator).resumed_at == 2
    assert mariadb.rows("SELECT * FROM t") == [(1,), (2,)]


@pytest.mark.parametrize(
    ("sql", "message", "remedy"),
    [
        (
            "CREATE TABLE t (id int);\nLOCK TABLES t WRITE;\nUNLOCK TABLES;",
            "001_a.sql:2:1: LOCK TABLES would keep fluxmig from its own tables",
            "remove LOCK TABLES and UNLOCK TABLES; mysqldump --skip-add-locks leaves them out",
        ),
        (
            "FLUSH TABLES WITH READ LOCK;",
            "001_a.sql:1:1: FLUSH ... WITH READ LOCK would keep fluxmig from its own tables",
            "remove the statement",
        ),
        (
            "SOURCE other.sql;",
            "001_a.sql:1:1: SOURCE is a command of the mysql client, not SQL",
            "put the SQL of that file here, or into a migration of its own",
        ),
        (
            "CREATE DEFINER=CURRENT_USER PROCEDURE p()\nBEGIN\n  SELECT 1;\nEND;",
            "001_a.sql:1:1: the body of this routine would end at its first semicolon",
            "write a line `DELIMITER //` before it, // behind it, and a line `DELIMITER ;`",
        ),
        (
            "BEGIN;\nCREATE TABLE t (id int);\nCOMMIT;",
            "001_a.sql:2:1: CREATE TABLE cannot run between BEGIN and COMMIT",
            "remove BEGIN and COMMIT",
        ),
        (
            "-- fluxmig: transaction\nCREATE TABLE t (id int);",
            "001_a.sql:2:1: CREATE TABLE cannot run in a transaction",
            "remove `-- fluxmig: transaction`",
        ),
    ],
)
def test_what_is_refused_before_it_runs(
    mariadb: Database, folder: Path, write: Write, sql: str, message: str, remedy: str
) -> None:
    write({"001_a.sql": sql})
    with pytest.raises(MigrationFileError) as caught:
        Migrator(mariadb.engine(), folder).run()
    lines = str(caught.value).splitlines()
    assert (lines[0].removeprefix(f"{folder}/"), lines[-1]) == (message, remedy)
    assert mariadb.tables() == set()


class CutOffError(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(
    ("before", "statement"),
    [
        ("", "CREATE TABLE x (id int)"),
        ("", "CREATE VIEW v AS SELECT 1"),
        ("CREATE TABLE x (id int);", "DROP TABLE x"),
        ("CREATE VIEW v AS SELECT 1;", "DROP VIEW v"),
        ("CREATE TABLE x (id int);", "ALTER TABLE x ADD COLUMN a int, ADD COLUMN b int"),
        ("CREATE TABLE x (id int, a int);", "ALTER TABLE x DROP COLUMN a, ADD COLUMN b int"),
        ("CREATE TABLE x (id int);", "ALTER TABLE x ADD PRIMARY KEY (id)"),
        ("CREATE TABLE x (id int);", "CREATE INDEX i ON x (id)"),
        ("CREATE TABLE x (id int, KEY i (id));", "DROP INDEX i ON x"),
        ("CREATE PROCEDURE p() SELECT 1;", "DROP PROCEDURE p"),
    ],
)
def test_a_statement_that_was_done_when_it_was_cut_off(
    mariadb: Database, folder: Path, write: Write, before: str, statement: str
) -> None:
    write({"001_a.sql": f"{before}{statement};\nCREATE TABLE end_of_it (id int);"})
    engine = mariadb.engine()

    def cut(_: object, __: object, sent: str, *rest: object) -> None:
        if sent == statement:
            raise CutOffError

    event.listen(engine, "after_cursor_execute", cut)
    with pytest.raises(CutOffError):
        Migrator(engine, folder).run()
    (step,) = Migrator(mariadb.engine(), folder).run().results
    number = 2 if before else 1
    assert (step.outcome, step.resumed_at) == (Outcome.APPLIED, number)
    assert [notice.message for notice in step.notices] == [
        f"statement {number} was done already when the last attempt was cut off"
    ]
    assert "end_of_it" in mariadb.tables()


# --- text as written --------------------------------------------------------------------------------------

DRIVERS = {
    "mariadb+pymysql": "pymysql",
    "mysql+pymysql": "pymysql",
    "mysql+mysqldb": "MySQLdb",
    "mariadb+mysqldb": "MySQLdb",
    "mariadb+mariadbconnector": "mariadb",
}


def by_driver(database: Database, driver: str) -> str:
    """The database's URL for this driver."""
    if find_spec(DRIVERS[driver]) is None:
        pytest.skip(f"the driver {DRIVERS[driver]} is not installed")
    if driver.startswith("mariadb") and database.product == "MySQL":
        pytest.skip("SQLAlchemy takes a MySQL by a URL of MariaDB's for an error")
    query = {"charset": "utf8mb4"} if "mysqldb" in driver else {}
    url = make_url(database.url).set(drivername=driver).update_query_dict(query)
    return url.render_as_string(hide_password=False)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_drivers_text_arrives_as_written(
    mariadb: Database, folder: Path, write: Write, driver: str
) -> None:
    mariadb.url = by_driver(mariadb, driver)
    odd = r"100% %s %(a)s %% :a ::b ? ?? \:c \\ é😀 {x} $1 -- # /* */ ` "
    write({"001_t.sql": "CREATE TABLE t (a text) CHARSET utf8mb4"})
    write(
        {
            "002_rows.sql": f"INSERT INTO t VALUES ('{odd}') -- {odd}\n;\n"
            'INSERT INTO t /* 50% :a */ VALUES ("it\'s")'
        }
    )
    write({"003_routine.sql": f"DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT '{odd}'; END//\n"})
    engine = mariadb.engine()
    report = Migrator(engine, folder).run()
    assert [step.outcome for step in report.results] == [Outcome.APPLIED] * 3
    stored = odd.replace("\\\\", "\0").replace("\\", "").replace("\0", "\\")
    assert mariadb.rows("SELECT a FROM t") == [(stored,), ("it's",)]
    assert mariadb.rows("CALL p()") == [(stored,)]
    write({"004_bad.sql": "SELECT 1;\nSELECT '%' FROM nowhere;"})
    failure = failure_of(Migrator(engine, folder))
    assert (failure.code, failure.line, failure.column) == ("1146", 2, 17)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_second_runner_of_another_driver_waits(
    mariadb: Database, folder: Path, write: Write, driver: str
) -> None:
    url = by_driver(mariadb, driver)
    write({"001_a.sql": "CREATE TABLE a (id int)"})
    engine = mariadb.engine()
    first = Migrator(engine, folder)
    executor = first._executor(*first._read())
    with executor.dialect.transaction(engine) as connection:
        assert executor.dialect.claim(connection, executor.lock.key)
        number = connection.scalar(text("SELECT CONNECTION_ID()"))
        mariadb.url = url
        with pytest.raises(LockTimeoutError) as caught:
            Migrator(mariadb.engine(), folder, wait_lock_s=0).run()
    said = caught.value.message
    assert said.startswith(f"another runner holds the lock: process {number}, user ")
    assert last(Migrator(mariadb.engine(), folder)).outcome is Outcome.APPLIED


def test_routines_and_triggers_behind_delimiter(mariadb: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE t (id int);\nDELIMITER $$\n"
            "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.id = NEW.id + 1; END$$\n"
            "CREATE PROCEDURE p(a int) BEGIN INSERT INTO t VALUES (a); INSERT INTO t VALUES (a); END $$\n"
            "DELIMITER ;\nCALL p(1);\n"
        }
    )
    assert last(Migrator(mariadb.engine(), folder)).statements == 4
    assert mariadb.rows("SELECT id FROM t") == [(2,), (2,)]


@pytest.mark.parametrize(
    ("mode", "sql", "rows"),
    [
        ("", r"""INSERT INTO t VALUES ('a\';b'), ("c\";d");""", [("a';b",), ('c";d',)]),
        (
            "NO_BACKSLASH_ESCAPES",
            r"""INSERT INTO t VALUES ('a\'); INSERT INTO t VALUES ("c\");""",
            [("a\\",), ("c\\",)],
        ),
        ("ANSI_QUOTES", r"""INSERT INTO t ("a") VALUES ('a\';b'); SELECT 1 AS "x\";""", [("a';b",)]),
        ("ANSI", r"""INSERT INTO t ("a") SELECT 'a' || '\';b' AS "x\"; SELECT 1;""", [("a';b",)]),
    ],
)
def test_the_sessions_sql_mode_decides_what_hides_a_semicolon(
    mariadb: Database, folder: Path, write: Write, mode: str, sql: str, rows: list[tuple[object, ...]]
) -> None:
    mariadb.rows("CREATE TABLE t (a text)")
    engine = mariadb.engine()

    @event.listens_for(engine, "connect")
    def _(connection: object, _: object) -> None:
        connection.cursor().execute(f"SET SESSION sql_mode = '{mode}'")  # type: ignore[attr-defined]

    write({"001_a.sql": sql})
    assert last(Migrator(engine, folder)).outcome is Outcome.APPLIED
    assert mariadb.rows("SELECT a FROM t") == rows


# --- the session ------------------------------------------------------------------------------------------

SETS = (
    "SET @mine = 5;\nSET NAMES latin1;\nSET foreign_key_checks = 0, time_zone = '+05:00';\n"
    "USE information_schema;\n"
    "PREPARE s FROM 'SELECT 1';\nCREATE TEMPORARY TABLE {}.schema_migrations (id int);\n"
    "SET sql_mode = 'ANSI_QUOTES';\n"
)
SEEN = (
    "SELECT @mine, @@character_set_client, @@foreign_key_checks, @@time_zone, DATABASE(), @@sql_mode,"
    " @@autocommit, @@lock_wait_timeout"
)


@pytest.mark.parametrize("last_one", ["", "CREATE TABLE {}.t (id int);\n", "SET autocommit = 0;\n"])
@pytest.mark.parametrize("of_caller", [True, False])
def test_what_a_file_sets_reaches_nobody(
    mariadb: Database,
    folder: Path,
    write: Write,
    last_one: str,
    of_caller: bool,  # noqa: FBT001
) -> None:
    name = make_url(mariadb.url).database
    write({"001_a.sql": (SETS + last_one).format(name, name), "002_b.sql": f"CREATE TABLE seen AS {SEEN}"})
    with mariadb.engine().connect() as connection:
        before = connection.execute(text(SEEN)).one()
        connection.rollback()
        Migrator(connection if of_caller else mariadb.engine(), folder).run()
        if of_caller:
            assert connection.execute(text(SEEN)).one() == before
            with pytest.raises(DBAPIError, match="1243"):
                connection.exec_driver_sql("EXECUTE s")
    (row,) = mariadb.rows("SELECT * FROM seen")
    # Without the time-out, which is ours while a file runs; 1 or 0: a file has its own transaction, or none.
    assert (row[:6], int(str(row[7]))) == (tuple(before)[:6], 5)
    assert mariadb.rows("SELECT migration_name FROM schema_migrations ORDER BY id") == [
        ("001_a.sql",),
        ("002_b.sql",),
    ]


def test_what_was_set_is_set_again_where_a_file_goes_on(
    mariadb: Database, folder: Path, write: Write
) -> None:
    file = "SET @x = 7;\nSET sql_mode = '';\nCREATE TABLE t (id int);\nINSERT INTO {} VALUES (@x);"
    write({"001_a.sql": file.format("nowhere")})
    migrator = Migrator(mariadb.engine(), folder)
    failure_of(migrator)
    write({"001_a.sql": file.format("t")})
    assert last(migrator).resumed_at == 4
    assert mariadb.rows("SELECT id FROM t") == [(7,)]


@pytest.mark.parametrize(
    "keeps", ["SET @x = LAST_INSERT_ID()", "SELECT 1 INTO @x", "CREATE TEMPORARY TABLE x (id int)"]
)
def test_what_went_with_the_session_is_not_gone_behind(
    mariadb: Database, folder: Path, write: Write, keeps: str
) -> None:
    write({"001_a.sql": f"{keeps};\nCREATE TABLE t (id int);\nSELECT 1 FROM nowhere;"})
    migrator = Migrator(mariadb.engine(), folder)
    failure_of(migrator)
    with pytest.raises(Exception, match="what statement 1 made was gone with its session"):
        migrator.run()


# --- the caller's connection ------------------------------------------------------------------------------


def test_in_a_transaction_of_the_caller(mariadb: Database, folder: Path, write: Write) -> None:
    write({"001_t.sql": "CREATE TABLE t (id int)"})
    engine = mariadb.engine()
    with engine.begin() as connection:
        inside = Migrator(connection, folder)
        with pytest.raises(
            ConfigError, match=r"^001_t.sql has to run outside a transaction \(CREATE TABLE\)"
        ):
            inside.run()
    write({"000_rows.sql": "SELECT 1"})
    with engine.begin() as connection, pytest.raises(ConfigError) as caught:
        Migrator(connection, folder).run(only="0")
    assert caught.value.message == (
        f"{make_url(mariadb.url).database}.schema_migrations or its log is not there yet, and making it would"
        " commit the transaction that the given connection is inside"
    )
    assert mariadb.tables() == set()
    Migrator(engine, folder).run()
    write({"002_rows.sql": "INSERT INTO t VALUES (1)"})
    with engine.connect() as connection:
        connection.begin()
        assert last(Migrator(connection, folder)).outcome is Outcome.APPLIED
        connection.rollback()
        assert connection.scalar(text("SELECT count(*) FROM t")) == 0
    assert [status.record is None for status in Migrator(engine, folder).status()] == [False, False, True]


# --- the tables -------------------------------------------------------------------------------------------


def test_names_that_differ_by_case_are_two_and_large_texts_fit(
    mariadb: Database, folder: Path, write: Write
) -> None:
    large = f"SELECT '{'🐬 %' * 30_000}'"
    write({"001_a.sql": large, "001_A.sql": "SELECT 1", "001_ä.sql": "SELECT 2"})
    migrator = Migrator(mariadb.engine(), folder)
    assert len(migrator.run().results) == 3
    write({"001_a.sql": f"{large}, 2"})
    (modified,) = [status.name for status in migrator.status() if status.conditions]
    assert modified == "001_a.sql"
    types: dict[object, object] = dict(
        mariadb.rows(  # type: ignore[arg-type]
            "SELECT column_name, column_type FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name = 'schema_migrations_log'"
        )
    )
    assert {types[name] for name in ("message", "reason", "source")} == {"longtext"}
    assert types["logged_at"] == "datetime(6)"
    collations = (
        "SELECT DISTINCT table_collation FROM information_schema.tables WHERE table_schema = DATABASE()"
    )
    assert mariadb.rows(collations) == [("utf8mb4_bin",)]


def test_times_are_utc_whatever_the_session_says(mariadb: Database, folder: Path, write: Write) -> None:
    url = make_url(mariadb.url).update_query_dict({"init_command": "SET time_zone = '+09:00'"})
    write({"001_a.sql": "SELECT 1"})
    engine = create_engine(url, poolclass=NullPool)
    Migrator(engine, folder).run()
    (status,) = Migrator(engine, folder).status()
    now = mariadb.scalar("SELECT UTC_TIMESTAMP()")
    assert status.record is not None
    assert status.record.applied_at is not None
    assert abs((status.record.applied_at.replace(tzinfo=None) - now).total_seconds()) < 3600  # type: ignore[operator]


# --- numbers ----------------------------------------------------------------------------------------------

SETUP = """
CREATE TABLE t (id int, PRIMARY KEY (id), KEY i (id), CONSTRAINT ck CHECK (id > 0)) ENGINE=InnoDB;
CREATE TABLE r (id int, CONSTRAINT fk FOREIGN KEY (id) REFERENCES t (id)) ENGINE=InnoDB;
CREATE TABLE k (id int);
CREATE VIEW v AS SELECT 1 AS one;
CREATE PROCEDURE p() SELECT 1;
CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 1;
CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @x = 1;
CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO SELECT 1;
"""
DUPLICATES = [
    ("CREATE TABLE t (id int)", "1050", "t"),
    ("CREATE TABLE `t` (id int)", "1050", "t"),
    ("CREATE VIEW v AS SELECT 1 AS one", "1050", "v"),
    ("ALTER TABLE t ADD COLUMN id int", "1060", "id"),
    ("CREATE INDEX i ON t (id)", "1061", "i"),
    ("ALTER TABLE t ADD INDEX i (id)", "1061", "i"),
    ("ALTER TABLE t ADD PRIMARY KEY (id)", "1068", None),
    ("CREATE PROCEDURE p() SELECT 1", "1304", "p"),
    ("CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 1", "1304", "f"),
    ("CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @x = 1", "1359", "tr"),
    ("CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO SELECT 1", "1537", "e"),
    ("ALTER TABLE t ADD CONSTRAINT ck CHECK (id > 0)", "1826", "ck"),
    ("ALTER TABLE r ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES t (id)", "1005", None),
    ("CREATE DATABASE {}", "1007", "{}"),
]
MYSQL = {"1826": "3822", "1005": "1826"}
"""Where MySQL has another number than MariaDB."""


@pytest.mark.parametrize(("statement", "code", "name"), DUPLICATES)
def test_what_counts_as_a_duplicate(
    mariadb: Database, folder: Path, write: Write, statement: str, code: str, name: str | None
) -> None:
    here = str(make_url(mariadb.url).database)
    write({"001_a.sql": SETUP, "002_b.sql": statement.format(here)})
    for policy in ("verify", "mark"):
        step = last(Migrator(mariadb.engine(), folder, on_duplicate=policy))
        assert (step.outcome, step.lost) == (Outcome.MARKED, ())
        assert step.failure is not None
        is_mysql = mariadb.product == "MySQL"
        assert step.failure.code == (MYSQL.get(code, code) if is_mysql else code)
        if name and not (is_mysql and code == "1359"):  # which names no trigger there
            assert step.failure.object == name.format(here)
        Migrator(mariadb.engine(), folder).unmark("002_b")


@pytest.mark.parametrize(
    ("statement", "code", "remedy"),
    [
        (
            "CREATE TABLE x (a int, a int)",
            "1060",
            "Nothing like it was there before: the file makes it twice.",
        ),
        (
            "ALTER TABLE k ADD PRIMARY KEY (id), ADD PRIMARY KEY (id)",
            "1068",
            "Nothing like it was there before",
        ),
        ("CREATE USER CURRENT_USER()", "1396", None),
        ("SELECT * FROM (SELECT 1 AS a, 2 AS a) AS x", "1060", None),
        (
            "INSERT INTO k SELECT * FROM (SELECT 1 AS a, 2 AS a) AS x",
            "1060",
            "This is a fault of the statement",
        ),
        (
            "CREATE TABLE x (id int, CONSTRAINT fk FOREIGN KEY (id) REFERENCES t (id))",
            "1005",
            "Another table has a constraint fk: choose another name for this one.",
        ),
        (
            "CREATE TABLE x (id int, CONSTRAINT c CHECK (id > 0), CONSTRAINT `c` CHECK (id > 1))",
            "1826",
            "Nothing like it was there before: the file makes it twice.",
        ),
        ("SELECT 1 FROM nowhere", "1146", None),
    ],
)
def test_what_does_not(
    mariadb: Database, folder: Path, write: Write, statement: str, code: str, remedy: str | None
) -> None:
    write({"001_a.sql": SETUP, "002_b.sql": statement})
    failure = failure_of(Migrator(mariadb.engine(), folder))
    assert failure.code == (MYSQL.get(code, code) if mariadb.product == "MySQL" else code)
    assert (failure.remedy or "").startswith(remedy or "") if remedy else failure.remedy is None


def test_the_name_of_a_check_is_the_databases_on_mysql(mariadb: Database, folder: Path, write: Write) -> None:
    if mariadb.product != "MySQL":
        pytest.skip(f"the name of a check is its table's on {mariadb.product}")
    write({"001_a.sql": SETUP, "002_b.sql": "CREATE TABLE x (id int, CONSTRAINT ck CHECK (id > 0))"})
    failure = failure_of(Migrator(mariadb.engine(), folder))
    assert (failure.code, failure.remedy) == (
        "3822",
        "Another table has a constraint ck: choose another name for this one.",
    )
    (folder / "002_b.sql").unlink()
    write({"003_c.sql": "ALTER TABLE k ADD CONSTRAINT ck CHECK (id > 0)"})
    step = last(Migrator(mariadb.engine(), folder))
    assert (step.outcome, len(step.lost)) == (Outcome.MARKED, 1)


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("SELECT 1;\nSELECT\n  a,,b FROM t;", (3, 6)),
        ("SELECT 'é' x, foo bar baz FROM t;", (1, 23)),
        ("CREATE TABLE t (id int;", (1, 23)),
        ("SELECT 1;\n  SELECT * FROM\n nowhere;", (3, 2)),
        ("SELECT nowhere.x FROM (SELECT 1 b) AS x;", (1, 1)),
        (f"SELECT 1 FRM x WHERE a = '{'y' * 200}';", (1, 14)),
        (f"SELECT 1;\n\n-- \nSELECT 1 a\n,, '{'z' * 200}';", (5, 3)),
    ],
)
def test_the_place_of_an_error(
    mariadb: Database, folder: Path, write: Write, sql: str, place: tuple[int, int]
) -> None:
    write({"001_a.sql": sql})
    failure = failure_of(Migrator(mariadb.engine(), folder))
    line, column = place
    if mariadb.product == "MySQL" and ",," in sql:  # of two commas, each means another one
        column -= 1
    assert (failure.line, failure.column) == (line, column)
    assert " at line " not in failure.message


# --- what is there ----------------------------------------------------------------------------------------

EXISTING = [
    *((statement, True, True) for statement, *_ in DUPLICATES[:-1]),
    ("CREATE TABLE v (id int)", False, True),
    ("CREATE VIEW t AS SELECT 1", False, True),
    ("CREATE TABLE new (id int)", False, False),
    ("ALTER TABLE t ADD COLUMN ID int", True, True),
    ("ALTER TABLE t ADD COLUMN new int", False, False),
    ("CREATE INDEX i ON k (id)", False, False),
    ("ALTER TABLE k ADD PRIMARY KEY (id)", False, False),
    ("CREATE TRIGGER tr BEFORE INSERT ON k FOR EACH ROW SET @x = 1", False, True),
    ("CREATE PROCEDURE f() SELECT 1", False, False),
    ("ALTER TABLE k ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES t (id)", False, True),
    ("CREATE DATABASE nowhere", False, False),
    ("CREATE TABLE nowhere.t (id int)", False, False),
]


@pytest.mark.parametrize(("statement", "is_there", "is_taken"), EXISTING)
def test_the_catalog(mariadb_with_all: Connection, statement: str, is_there: bool, is_taken: bool) -> None:  # noqa: FBT001
    rules = MySQL().rules
    wanted = created(statement, rules)
    assert len(wanted) == 1
    found = mysql_existing.existing(mariadb_with_all, wanted, lambda *_: True)[wanted[0]]
    assert (found.is_there, found.is_taken) == (is_there, is_taken)
    unseen = mysql_existing.existing(mariadb_with_all, wanted, lambda *_: False)
    assert (wanted[0] in unseen) is is_taken


@pytest.fixture
def mariadb_with_all(mariadb: Database, folder: Path, write: Write) -> Iterator[Connection]:
    write({"001_a.sql": SETUP})
    Migrator(mariadb.engine(), folder).run()
    with mariadb.engine().connect() as connection:
        yield connection


def test_adopt_and_verify(mariadb: Database, folder: Path, write: Write) -> None:
    for statement in filter(str.strip, SETUP.split(";")):
        mariadb.rows(statement)
    write(
        {
            "001_a.sql": SETUP.replace("CREATE TABLE k (id int);", ""),
            "002_new.sql": "CREATE EVENT x ON SCHEDULE EVERY 1 DAY DO SELECT 1",
        }
    )
    migrator = Migrator(mariadb.engine(), folder)
    assert [each.kind.value for each in migrator.adopt_plan()] == ["exists", "absent"]
    assert [each.name for each in migrator.adopt().recorded] == ["001_a.sql"]
    assert migrator.verify().findings == ()
    mariadb.rows("DROP EVENT e")
    mariadb.rows("DROP TRIGGER tr")
    (finding,) = migrator.verify().findings
    assert finding.message == (
        "001_a.sql is recorded as applied, but trigger tr on t (line 8) and event e (line 9) are not there"
    )


def test_a_connection_without_a_database(mariadb: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "SELECT 1"})
    url = make_url(mariadb.url)
    engine = create_engine(url.set(database=""), poolclass=NullPool)
    with pytest.raises(ConfigError) as caught:
        Migrator(engine, folder).status()
    assert str(caught.value) == (
        "the connection has no database, and the ledger needs one\n"
        "end the URL with /DATABASE, or give --schema"
    )
    assert last(Migrator(engine, folder, schema=url.database)).outcome is Outcome.APPLIED
    assert mariadb.tables() == OWN


@contextmanager
def login(database: Database, *granted: str, option: str = "") -> Iterator[URL]:
    """The URL of a user who may do that, and is gone afterwards."""
    url = make_url(database.url)
    user = f"'{url.database}'@'localhost'"
    database.rows(f"CREATE USER {user} IDENTIFIED BY 'secret' {option}")
    try:
        for each in granted:
            database.rows(f"GRANT {each} TO {user}")
        yield url.set(username=url.database, password="secret")
    finally:
        database.rows(f"DROP USER {user}")


def test_a_login_that_sees_nothing_is_told_nothing(mariadb: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id int)"})
    name = make_url(mariadb.url).database
    Migrator(mariadb.engine(), folder).run()
    mariadb.rows("CREATE TABLE mine (id int)")
    mariadb.rows("DROP TABLE a")
    with login(mariadb, *(f"SELECT ON {name}.{table}" for table in ("mine", *OWN))) as url:
        engine = create_engine(url, poolclass=NullPool)
        said = [finding.kind for finding in Migrator(engine, folder).verify().findings]
        assert said == ["permission", "permission"]
        assert [finding.kind for finding in Migrator(mariadb.engine(), folder).verify().findings] == [
            "absent"
        ]


# --- time-outs --------------------------------------------------------------------------------------------


def test_a_statement_does_not_wait_for_ever(mariadb: Database, folder: Path, write: Write) -> None:
    write({"001_t.sql": "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);"})
    engine = mariadb.engine()
    Migrator(engine, folder).run()
    write({"002_ddl.sql": "-- fluxmig: lock-timeout=1s\nALTER TABLE t ADD COLUMN a int;"})
    write({"003_rows.sql": "-- fluxmig: lock-timeout=1s\nUPDATE t SET id = 2;"})
    with engine.begin() as holder:
        holder.execute(text("UPDATE t SET id = 3"))
        with pytest.raises(MigrationFailedError) as caught:
            Migrator(mariadb.engine(), folder, lock_retries=0).run(keep_going=True)
    codes = [step.failure.code for step in caught.value.failures if step.failure]
    assert codes == ["1205", "1205"]
    assert [step.outcome for step in Migrator(engine, folder).run().results] == [Outcome.APPLIED] * 2
    with engine.connect() as connection:
        waits = connection.execute(text("SELECT @@lock_wait_timeout, @@innodb_lock_wait_timeout")).one()
        usual = "SELECT @@GLOBAL.lock_wait_timeout, @@GLOBAL.innodb_lock_wait_timeout"
        assert waits == connection.execute(text(usual)).one()


def test_a_deadlock_is_tried_again(mariadb: Database, folder: Path, write: Write) -> None:
    write({"001_t.sql": "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0), (2, 0);"})
    engine = mariadb.engine()
    Migrator(engine, folder).run()
    write({"002_rows.sql": "UPDATE t SET n = 1 WHERE id = 1;\nUPDATE t SET n = 1 WHERE id = 2;"})
    other = mariadb.engine().connect()
    rival = threading.Thread(target=lambda: other.execute(text("UPDATE t SET n = 9 WHERE id = 1")))
    seen: list[str] = []

    @event.listens_for(engine, "after_cursor_execute")
    def _(_: object, __: object, sent: str, *rest: object) -> None:
        if sent.endswith("id = 1") and not seen:  # it has one row and wants the other, and so has the rival
            seen.append(sent)
            rival.start()
            waiting = "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
            while not mariadb.scalar(waiting):
                time.sleep(0.02)

    try:
        # The heavier transaction lives, and the migration's is the lighter one.
        other.execute(text("UPDATE t SET n = 5 WHERE id = 2"))
        numbers = "WITH RECURSIVE s (n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM s WHERE n < 500)"
        other.execute(text(f"INSERT INTO t {numbers} SELECT n, 0 FROM s"))
        waits: list[str] = []

        def free(wait: Wait) -> None:
            waits.append(wait.message)
            rival.join(30)
            other.rollback()

        (step,) = Migrator(engine, folder, on_wait=free).run().results
    finally:
        rival.join(30)
        other.close()
    assert (step.outcome, step.tries) == (Outcome.APPLIED, 2)
    assert "Deadlock found when trying to get lock" in waits[0]
    assert mariadb.rows("SELECT n FROM t WHERE id < 3") == [(1,), (1,)]


def test_a_statement_may_take_so_long(mariadb: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "-- fluxmig: statement-timeout=1s\nSELECT SLEEP(60) FROM information_schema.tables;"})
    failure = failure_of(Migrator(mariadb.engine(), folder))
    assert failure.code in {"1969", "3024"}


def test_a_statement_that_is_longer_than_the_server_takes(
    mariadb: Database, folder: Path, write: Write
) -> None:
    most = mariadb.scalar("SELECT @@max_allowed_packet")
    assert isinstance(most, int)
    head, tail = "SELECT LENGTH('", "') AS length"

    def of(length: int) -> str:
        return f"{head}{'x' * (length - len(head + tail))}{tail};\n"

    write({"001_long.sql": of(most - 2), "002_longer.sql": "SELECT 1;\n" + of(most - 1)})
    failure = failure_of(Migrator(mariadb.engine(), folder))
    assert (failure.path, failure.line) == (folder / "002_longer.sql", 2)
    assert failure.message == f"the statement has {most - 1:,} bytes, and the server takes less than {most:,}"
    assert failure.remedy == "split it, or have the server's max_allowed_packet raised"


def test_a_log_that_another_is_making_is_waited_for(mariadb: Database, folder: Path, write: Write) -> None:
    """A RENAME has the one table for itself, and waits for the other one, until it gives up."""
    write({"001_a.sql": "CREATE TABLE zz (id int)"})
    Migrator(mariadb.engine(), folder).run()
    refused: list[BaseException] = []

    def rename() -> None:
        with mariadb.engine().connect() as connection:
            connection.execute(text("SET SESSION lock_wait_timeout = 1"))
            try:
                connection.execute(text("RENAME TABLE schema_migrations_log TO l, zz TO z"))
            except DBAPIError as error:
                refused.append(error)

    rival = threading.Thread(target=rename)
    with mariadb.engine().begin() as holder:
        holder.execute(text("SELECT * FROM zz"))
        rival.start()
        waiting = "SELECT count(*) FROM information_schema.processlist WHERE state LIKE '%metadata lock%'"
        while not mariadb.scalar(waiting):
            time.sleep(0.02)
        assert [each.conditions for each in Migrator(mariadb.engine(), folder).status()] == [()]
        rival.join(30)
    assert len(refused) == 1


@pytest.mark.parametrize("driver", ["pymysql", "mysqldb"])
def test_a_signal_to_a_driver_ends_what_the_server_does(
    mariadb: Database, folder: Path, write: Write, driver: str
) -> None:
    """Else it goes on, and the next run waits for its lock."""
    url = by_driver(mariadb, f"mysql+{driver}")
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)"
    write({"001_a.sql": f"{numbers} SELECT count(*) FROM n a, n b, n c, n d WHERE a.i + b.i + c.i <> d.i;"})
    running = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'WITH RECURSIVE%'"
    command = [sys.executable, "-m", "fluxmig", "run", "--database-url", url, "--migrations", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as started:
        while not mariadb.scalar(running):
            assert started.poll() is None
            time.sleep(0.02)
        started.send_signal(signal.SIGINT)
        said = started.communicate(timeout=60)[1]
    assert (started.returncode, "interrupted by SIGINT" in said) == (130, True), said
    deadline = time.monotonic() + 60
    while mariadb.scalar(running):
        assert time.monotonic() < deadline, "the server goes on"
        time.sleep(0.05)


# --- logins -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("granted", "can_create", "can_write"),
    [
        ("ALL PRIVILEGES ON {}.*", True, True),
        ("SELECT ON {}.*", False, False),
        ("SELECT, INSERT, DELETE ON {}.*", False, True),
        ("SELECT, CREATE ON *.*", True, False),
    ],
)
def test_what_a_login_may(
    mariadb: Database,
    folder: Path,
    write: Write,
    granted: str,
    can_create: bool,  # noqa: FBT001
    can_write: bool,  # noqa: FBT001
) -> None:
    write({"001_a.sql": "CREATE TABLE a (id int)"})
    Migrator(mariadb.engine(), folder).run()
    name = make_url(mariadb.url).database
    with login(mariadb, granted.format(f"`{name}`")) as url:
        engine = create_engine(url, poolclass=NullPool)
        verified = Migrator(engine, folder).verify()
        assert (verified.can_create, verified.can_write) == (can_create, can_write)
        assert verified.info.user == f"{name}@localhost"
        to = f"TO '{name}'@'localhost'"
        expected = [] if can_create else [f"GRANT CREATE ON {name}.* {to}"]
        if not can_write:
            expected.append(f"GRANT SELECT, INSERT, DELETE ON {name}.schema_migrations {to}")
        remedies = [each.remedy for each in verified.findings if each.kind == "permission"]
        assert remedies == expected
        for remedy in expected:
            mariadb.rows(remedy)
        assert [status.conditions for status in Migrator(engine, folder).status()] == [()]
        again = Migrator(engine, folder).verify()
        assert (again.can_create, again.can_write) == (True, True)


def test_a_login_that_may_not_write(mariadb: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id int)"})
    Migrator(mariadb.engine(), folder).run()
    write({"002_b.sql": "CREATE TABLE b (id int)"})
    with (
        login(mariadb, f"SELECT ON {make_url(mariadb.url).database}.*") as url,
        pytest.raises(ConfigError) as caught,
    ):
        Migrator(create_engine(url, poolclass=NullPool), folder).run()
    assert caught.value.remedy == "`fluxmig verify` lists the privileges that a run needs"


@pytest.mark.parametrize(
    ("option", "said", "way"),
    [
        ("ACCOUNT LOCK", "ccount is locked", "ALTER USER ... ACCOUNT UNLOCK, or take another user"),
        ("", "to database '", "check the database in the URL, or GRANT the user a privilege on it"),
    ],
)
def test_a_login_that_is_not_admitted(
    mariadb: Database, tmp_path: Path, option: str, said: str, way: str
) -> None:
    with login(mariadb, option=option) as url:
        told = url.render_as_string(hide_password=False)
        result = process("status", "--database-url", told, "--migrations", str(tmp_path))
    assert result.returncode == 6
    assert said in result.stderr
    assert result.stderr.endswith(f"\n{way}\n")


# --- by hand ----------------------------------------------------------------------------------------------


def run_by_hand(database: Database, sql: Sequence[str]) -> None:
    """The SQL as a person gives it to the client."""
    client = shutil.which("mariadb") or shutil.which("mysql")
    if client is None:
        pytest.skip("there is no mariadb client")
    url = make_url(database.url)
    place = [f"--socket={url.query['unix_socket']}"] if "unix_socket" in url.query else [f"--host={url.host}"]
    place += [f"--user={url.username}", *([f"--password={url.password}"] if url.password else [])]
    command = [client, "--no-defaults", *place, str(url.database)]
    done = subprocess.run(command, input="".join(sql).encode(), capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_the_plans_sql_does_what_a_run_does(mariadb: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_t.sql": "CREATE TABLE t (a varchar(50));\nDELIMITER //\n"
            "CREATE PROCEDURE p() BEGIN INSERT INTO t VALUES ('x;y'); INSERT INTO t VALUES ('100%'); END//\n",
            "002_rows.sql": r"INSERT INTO t VALUES ('a\'b');"
            "\nDELIMITER //\nCALL p()//\nDELIMITER ;\nUPDATE t SET a = UPPER(a);",
            "003_rows.sql": "DELIMITER //\nINSERT INTO t VALUES ('é')//\nINSERT INTO t VALUES (';')//",
        }
    )
    migrator = Migrator(mariadb.engine(), folder)
    run_by_hand(mariadb, list(migrator.plan_sql()))
    assert mariadb.rows("SELECT a FROM t") == [("A'B",), ("X;Y",), ("100%",), ("é",), (";",)]
    assert [status.conditions for status in migrator.status()] == [(), (), ()]
    assert migrator.run().results == ()


# --- who is in the way, and what the server says ----------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        ("SELECT * FROM t", "ALTER TABLE t ADD COLUMN n int;"),
        ("UPDATE t SET id = 2", "UPDATE t SET id = 3;"),
    ],
    ids=["a table", "a row"],
)
def test_who_is_in_the_way_is_named(
    mariadb: Database, folder: Path, write: Write, theirs: str, mine: str
) -> None:
    write({"001_t.sql": "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);"})
    Migrator(mariadb.engine(), folder).run()
    write({"002_b.sql": mine})
    with mariadb.engine().begin() as other:
        number = other.scalar(text("SELECT CONNECTION_ID()"))
        other.execute(text(theirs))
        migrator = Migrator(mariadb.engine(), folder, lock_timeout_s=5, lock_retries=0)
        failure = failure_of(migrator)
    assert failure.code == "1205"
    assert f"\nheld up by process {number}, user root, " in f"\n{failure.remedy}"


def test_what_a_statement_warns_of(mariadb: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "DROP TABLE IF EXISTS nowhere;\nCREATE TABLE t (id int);"})
    write(
        {"002_b.sql": "SET SESSION sql_mode = '';\nINSERT INTO t VALUES ('1x');\nINSERT INTO t VALUES (2);"}
    )
    heard: list[tuple[str, str, str | None]] = []
    Migrator(mariadb.engine(), folder).run(
        on_notice=lambda notice: heard.append((notice.name, notice.severity, notice.code))
    )
    assert heard == [("001_a.sql", "NOTICE", "1051"), ("002_b.sql", "WARNING", "1265")]


def test_a_server_that_admits_no_writing(mariadb: Database, folder: Path, write: Write) -> None:
    """Whoever may write there all the same, as root may, is not refused."""
    name = make_url(mariadb.url).database
    write({"001_a.sql": "CREATE TABLE a (id int);"})
    mariadb.rows(f"CREATE USER '{name}'@'localhost'")
    mariadb.rows(f"GRANT ALL ON {name}.* TO '{name}'@'localhost'")
    url = make_url(mariadb.url).set(username=name)
    login = create_engine(url, poolclass=NullPool)
    before = mariadb.scalar("SELECT @@GLOBAL.read_only")
    try:
        mariadb.rows("SET GLOBAL read_only = 1")
        with pytest.raises(ConfigError) as caught:
            Migrator(login, folder).run()
        exempt = "CONNECTION_ADMIN" if mariadb.product == "MySQL" else "READ ONLY ADMIN"
        assert str(caught.value) == (
            f"the server admits no writing: read_only is on, and the login has not {exempt}\n"
            "connect to the primary; or, where it is none, have SET GLOBAL read_only = 0 run there"
        )
        assert [finding.message for finding in Migrator(login, folder).verify().findings] == [
            caught.value.message
        ]
        assert Migrator(mariadb.engine(), folder).run().results[0].outcome is Outcome.APPLIED
    finally:
        mariadb.rows(f"SET GLOBAL read_only = {before}")
        mariadb.rows(f"DROP USER '{name}'@'localhost'")


def test_a_session_that_admits_no_writing(mariadb: Database, folder: Path, write: Write) -> None:
    variable = "transaction_read_only" if mariadb.product == "MySQL" else "tx_read_only"
    write({"001_a.sql": "CREATE TABLE a (id int);"})
    engine = mariadb.engine(connect_args={"init_command": f"SET SESSION {variable} = 1"})
    with pytest.raises(ConfigError, match=f"^nothing can be written: {variable} is on for this session\n"):
        Migrator(engine, folder).run()
    assert mariadb.tables() == set()


@pytest.mark.parametrize(
    ("code", "message", "way"),
    [
        ("1114", "The table 't' is full", "the disk of the server is full, or a limit of its tables: "),
        ("1030", 'Got error 28 "No space left on device" from storage engine InnoDB', "the disk of the "),
        ("1026", "Error writing file 'x' (Errcode: 28 \"No space left on device\")", "the disk of the "),
        ("1040", "Too many connections", "close other connections, or raise max_connections"),
        ("1030", "Got error 1 from storage engine", None),
    ],
)
def test_a_server_in_trouble(code: str, message: str, way: str | None) -> None:
    found = MySQL().trouble(ServerError(message, code))
    assert found is None if way is None else (found or "").startswith(way)


def test_no_connection_is_free(mariadb: Database, tmp_path: Path) -> None:
    may = f"SELECT ON {make_url(mariadb.url).database}.*"
    with (
        login(mariadb, may, option="WITH MAX_USER_CONNECTIONS 1") as url,
        create_engine(url, poolclass=NullPool).connect(),
    ):
        told = url.render_as_string(hide_password=False)
        result = process("status", "--database-url", told, "--migrations", str(tmp_path))
    assert result.returncode == 6
    assert result.stderr.endswith(
        "\nclose other connections, or raise the server's limit; --wait SECONDS waits for a free one\n"
    )


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # PyMySQL leaves its socket open
def test_a_server_that_is_gone_between_two_connections(tmp_path: Path, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id int);"})
    engine = create_engine(f"mariadb+pymysql://root@localhost/x?unix_socket={tmp_path}/nobody")
    with pytest.raises(DatabaseConnectionError) as caught:
        Migrator(engine, folder).run()
    assert caught.value.message.startswith("cannot connect: Can't connect to MySQL server on 'localhost'")
    assert caught.value.remedy == "run it again when the server is there"
    del caught
    gc.collect()  # while the warning is ignored
