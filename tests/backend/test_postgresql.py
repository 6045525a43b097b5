"""What is PostgreSQL's own: places in errors, no transaction, sessions, privileges, real SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from fluxmig import (
    Condition,
    ConfigError,
    DatabaseConnectionError,
    Failure,
    MigrationFailedError,
    MigrationFileError,
    Migrator,
    Mode,
    Outcome,
)
from fluxmig.dialects.postgresql import PostgreSQL
from tests.support import EXAMPLES, Database

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Write


NODE_LEDGER = """CREATE TABLE schema_migrations (
    id SERIAL PRIMARY KEY,
    migration_name VARCHAR(255) UNIQUE NOT NULL,
    applied_at TIMESTAMPTZ DEFAULT now(),
    execution_time_ms INTEGER,
    checksum VARCHAR(64),
    applied_by VARCHAR(255) DEFAULT current_user
)"""


def failure_of(database: Database, folder: Path) -> Failure:
    with pytest.raises(MigrationFailedError) as caught:
        Migrator(database.engine(), folder).run()
    assert str(caught.value) == str(caught.value.failures[-1].failure)
    return cast("Failure", caught.value.failures[-1].failure)


# --- the example set --------------------------------------------------------------------------------------


def test_the_examples_apply(postgresql: Database) -> None:
    migrator = Migrator(postgresql.engine(), EXAMPLES)
    report = migrator.run()
    assert {step.outcome for step in report.results} == {Outcome.APPLIED}
    assert [step.name for step in report.results if step.mode is Mode.NO_TRANSACTION] == [
        "013_index_feeds_concurrently.sql"
    ]
    assert report.findings == ()
    assert migrator.verify().ok
    assert postgresql.scalar("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0


def test_the_examples_down_scripts_reverse(one_postgresql: Database) -> None:
    migrator = Migrator(one_postgresql.engine(), EXAMPLES)
    migrator.run(to="5")
    for step in ("006_add_user_settings.sql", "009_add_search.sql", "015_add_project_archive.sql"):
        migrator.run(to=step, steps=10)
        (result,) = migrator.rollback().results
        assert (result.name, result.reversed) == (step, True)
        assert migrator.run(only=step).results[0].outcome is Outcome.APPLIED


# --- the place of an error --------------------------------------------------------------------------------


def test_the_place_behind_non_ascii_text_and_several_lines(
    postgresql: Database, folder: Path, write: Write
) -> None:
    write(
        {
            "001_a.sql": "\ufeff-- Zoë ✏️ 日本\r\nSELECT 'ß' AS \"ü\";\r\n\r\nCREATE TABLE t (\r\n"
            "  név text DEFAULT '日本', x nonsense,\r\n  y integer\r\n);\r\n"
        }
    )
    failure = failure_of(postgresql, folder)
    assert str(failure) == (
        f'{folder}/001_a.sql:5:28: type "nonsense" does not exist [42704]\n'
        "in statement 2 of 2: CREATE TABLE t (\n"
        "  3 |\n"
        "  4 | CREATE TABLE t (\n"
        "  5 |   név text DEFAULT '日本', x nonsense,\n"
        "    |                              ^\n"
        "  6 |   y integer"
    )


def test_a_syntax_error(postgresql: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "SELECT 1;\nSELEC 2;\nSELECT 3;"})
    failure = failure_of(postgresql, folder)
    assert failure.headline == f'{folder}/001_a.sql:2:1: syntax error at or near "SELEC" [42601]'
    assert failure.statement is not None
    assert failure.statement.number == 2


@pytest.mark.parametrize(
    ("statement", "message", "code"),
    [
        (
            "INSERT INTO t VALUES (1)",
            'duplicate key value violates unique constraint "t_pkey"',
            "23505",
        ),
        ("DO $$ BEGIN RAISE EXCEPTION '100%% wrong'; END $$", "100% wrong", "P0001"),
        ("SELECT 1/0", "division by zero", "22012"),
    ],
)
def test_an_error_without_a_place_still_names_its_statement(
    postgresql: Database, folder: Path, write: Write, statement: str, message: str, code: str
) -> None:
    setup = "CREATE TABLE t (id integer PRIMARY KEY);\nINSERT INTO t VALUES (1);\n"
    write({"001_a.sql": f"{setup}SELECT 1; SELECT 2;\n  -- here:\n  {statement};\nSELECT 3;"})
    failure = failure_of(postgresql, folder)
    assert (failure.message, failure.code) == (message, code)
    assert failure.statement is not None
    assert (failure.statement.number, failure.statements) == (5, 6)
    assert (failure.line, failure.column) == (5, 3)
    assert f"in statement 5 of 6: {statement}" in str(failure)
    assert postgresql.tables() == {"schema_migrations", "schema_migrations_log"}


def test_detail_hint_and_context(postgresql: Database, folder: Path, write: Write) -> None:
    body = "BEGIN RAISE EXCEPTION 'no' USING HINT = 'try later', DETAIL = 'the moon'; END"
    write({"001_a.sql": f"DO $$ {body} $$;"})
    failure = failure_of(postgresql, folder)
    assert (failure.detail, failure.hint) == ("the moon", "try later")
    assert failure.context == "PL/pgSQL function inline_code_block line 1 at RAISE"
    assert str(failure).endswith(
        "DETAIL: the moon\nHINT: try later\nCONTEXT: PL/pgSQL function inline_code_block line 1 at RAISE"
    )


def test_an_error_at_the_commit(postgresql: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE p (id integer PRIMARY KEY);\n"
            "CREATE TABLE c (p integer REFERENCES p DEFERRABLE INITIALLY DEFERRED);\n"
            "INSERT INTO c VALUES (7);"
        }
    )
    failure = failure_of(postgresql, folder)
    assert failure.code == "23503"
    assert failure.statement is None
    assert failure.remedy == (
        "This came at the commit, after every statement had run. Everything is rolled back."
    )
    assert postgresql.tables() == {"schema_migrations", "schema_migrations_log"}


# --- SQL as written ---------------------------------------------------------------------------------------

WRITTEN = r"""
CREATE TABLE notes (id integer, body text, at time, data jsonb);
INSERT INTO notes VALUES
  (1, 'Launch at 09:30: 100% done, :name %s %(x)s %% ? {0} $1', '12:00:00'::time, '{"a": [1, 2]}'::jsonb),
  (2, E'tab\t backslash \\ colon \\: quote \'', NULL, '{"k":"v"}'),
  (3, $tag$dollar; $$ ':x' $tag$, NULL, NULL),
  (4, 'ends in a backslash\', NULL, NULL),
  (5, U&'d\0061t\+000061', NULL, NULL);
DO $$
DECLARE n integer := 0;
BEGIN
  SELECT count(*) INTO n FROM notes WHERE body LIKE '%100\%%';
  RAISE NOTICE '% rows: 100%%', n;
  IF n <> 1 THEN RAISE EXCEPTION 'expected 1, got %', n; END IF;
END $$;
CREATE FUNCTION double(x integer) RETURNS integer LANGUAGE sql BEGIN ATOMIC SELECT x * 2; END;
"""


def test_sql_reaches_the_server_as_written(postgresql: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": WRITTEN})
    Migrator(postgresql.engine(), folder).run()
    assert [row[0] for row in postgresql.rows("SELECT body FROM notes ORDER BY id")] == [
        "Launch at 09:30: 100% done, :name %s %(x)s %% ? {0} $1",
        "tab\t backslash \\ colon \\: quote '",
        "dollar; $$ ':x' ",
        "ends in a backslash\\",
        "data",
    ]
    assert postgresql.scalar("SELECT double(21)") == 42


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.text(
        st.one_of(
            st.sampled_from(":%\\?{}$'\"\n\r\tsx()[]"), st.characters(codec="utf-8", exclude_characters="\0")
        )
    )
)
def test_the_server_reads_the_very_text(one_postgresql: Database, content: str) -> None:
    """`current_query()` gives back the message as the server got it; the comment may hold anything."""
    comment = content.replace("\n", " ").replace("\r", " ")
    script = f"--{comment}\nCREATE TEMP TABLE seen AS SELECT current_query() AS q;"
    engine = one_postgresql.engine()
    with engine.connect() as connection:
        PostgreSQL().send(connection, script)
        assert connection.scalar(text("SELECT q FROM seen")) == script
    engine.dispose()


# --- no transaction ---------------------------------------------------------------------------------------


def test_concurrent_indexes_run_without_a_transaction(
    postgresql: Database, folder: Path, write: Write
) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE t (id integer);",
            "002_b.sql": "CREATE INDEX CONCURRENTLY i ON t (id);\nVACUUM t;",
            "003_c.sql": "-- fluxmig: no-transaction\nINSERT INTO t VALUES (1);",
        }
    )
    plan = Migrator(postgresql.engine(), folder).plan()
    assert [(script.mode.value, script.reason) for script in plan.scripts] == [
        ("transaction", None),
        ("no-transaction", "CREATE INDEX CONCURRENTLY"),
        ("no-transaction", "the file says so"),
    ]
    report = Migrator(postgresql.engine(), folder).run()
    assert [step.outcome.value for step in report.results] == ["applied"] * 3
    assert postgresql.scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") is True
    assert postgresql.scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def test_a_failure_without_a_transaction_says_what_is_done(
    postgresql: Database, folder: Path, write: Write
) -> None:
    write(
        {"001_a.sql": "CREATE TABLE t (id integer);\nCREATE INDEX CONCURRENTLY i ON t (id);\nVACUUM nowhere;"}
    )
    failure = failure_of(postgresql, folder)
    assert (failure.done, failure.line, failure.column) == (2, 3, 8)
    assert failure.remedy == (
        "2 of 3 statements are done, and stay so: no transaction, since CREATE INDEX CONCURRENTLY. The next"
        " run goes on with statement 3; `fluxmig run --restart 001_a.sql` begins with statement 1."
    )
    assert "t" in postgresql.tables()
    assert postgresql.scalar("SELECT count(*) FROM schema_migrations") == 0
    assert postgresql.scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def test_the_leftovers_of_an_attempt_are_no_duplicates(
    postgresql: Database, folder: Path, write: Write
) -> None:
    rest = "CREATE INDEX CONCURRENTLY i ON t (id);\n{};\nCREATE TABLE tail (id integer);"
    write({"001_a.sql": "CREATE TABLE t (id integer);\n" + rest.format("bad")})
    failure_of(postgresql, folder)
    write({"001_a.sql": "CREATE TABLE t (id integer);\n" + rest.format("SELECT 1")})
    migrator = Migrator(postgresql.engine(), folder)
    with pytest.raises(MigrationFailedError) as caught:
        migrator.run(restart="1")
    failure = caught.value.failures[0].failure
    assert failure is not None
    assert (failure.code, failure.object, failure.done) == ("42P07", "t", 0)
    assert postgresql.scalar("SELECT count(*) FROM schema_migrations") == 0
    assert "tail" not in postgresql.tables()
    repeatable = rest.format("SELECT 1").replace("CONCURRENTLY i", "CONCURRENTLY IF NOT EXISTS i")
    write({"001_a.sql": "CREATE TABLE IF NOT EXISTS t (id integer);\n" + repeatable})
    (step,) = migrator.run().results
    assert (step.outcome, step.resumed_at) == (Outcome.APPLIED, 1)
    assert "tail" in postgresql.tables()


def test_an_invalid_index_is_no_duplicate(one_postgresql: Database, folder: Path, write: Write) -> None:
    one_postgresql.rows("CREATE TABLE t (id integer)")
    one_postgresql.rows("INSERT INTO t VALUES (1), (1)")
    write({"001_a.sql": "CREATE UNIQUE INDEX CONCURRENTLY i ON t (id);"})
    for _ in range(2):
        assert failure_of(one_postgresql, folder).code == "23505"
    assert one_postgresql.scalar("SELECT count(*) FROM schema_migrations") == 0
    one_postgresql.rows("DELETE FROM t")
    (step,) = Migrator(one_postgresql.engine(), folder).run().results
    assert step.outcome is Outcome.APPLIED
    assert one_postgresql.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == [
        (True,)
    ]


def test_an_invalid_index_is_no_duplicate_in_a_transaction(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    one_postgresql.rows("CREATE TABLE t (id integer)")
    one_postgresql.rows("INSERT INTO t VALUES (1), (1)")
    with (
        one_postgresql.engine(isolation_level="AUTOCOMMIT").connect() as connection,
        pytest.raises(DBAPIError, match="could not create unique index"),
    ):
        connection.execute(text("CREATE UNIQUE INDEX CONCURRENTLY i ON t (id)"))
    write({"001_a.sql": "CREATE UNIQUE INDEX i ON t (id);"})
    failure = failure_of(one_postgresql, folder)
    assert failure.code == "42P07"
    assert failure.remedy == (
        'the index "i" is there, but invalid: an earlier CREATE INDEX CONCURRENTLY failed;'
        ' DROP INDEX "i", and run again'
    )
    assert one_postgresql.scalar("SELECT count(*) FROM schema_migrations") == 0


def test_a_valid_index_is_a_duplicate_without_a_transaction_too(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    one_postgresql.rows("CREATE TABLE t (id integer)")
    one_postgresql.rows("CREATE INDEX i ON t (id)")
    write({"001_a.sql": "CREATE INDEX CONCURRENTLY i ON t (id);\nINSERT INTO t VALUES (2);"})
    (step,) = Migrator(one_postgresql.engine(), folder).run().results
    assert step.outcome is Outcome.MARKED
    assert [lost.statement.sql for lost in step.lost] == ["INSERT INTO t VALUES (2)"]
    assert one_postgresql.rows("SELECT id FROM t") == []


def test_what_is_half_done_is_not_given_up_for_a_duplicate(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    one_postgresql.rows("CREATE TABLE t (id integer)")
    one_postgresql.rows("CREATE INDEX i ON t (id)")
    sql = "INSERT INTO t VALUES (1);\nCREATE INDEX CONCURRENTLY i ON t (id);\nINSERT INTO t VALUES (2);"
    write({"001_a.sql": sql})
    migrator = Migrator(one_postgresql.engine(), folder)
    with pytest.raises(MigrationFailedError) as caught:
        migrator.run()
    assert caught.value.failures[0].failure is not None
    assert caught.value.failures[0].failure.done == 1
    (status,) = migrator.status()
    assert status.conditions == (Condition.FAILED, Condition.PARTIAL)
    one_postgresql.rows("DROP INDEX i")
    assert migrator.run().results[0].resumed_at == 2
    assert one_postgresql.rows("SELECT id FROM t") == [(1,), (2,)]


def test_no_transaction_in_a_callers_transaction_is_refused(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);", "002_b.sql": "VACUUM;"})
    with one_postgresql.engine().begin() as connection, pytest.raises(ConfigError) as caught:
        Migrator(connection, folder).run()
    assert str(caught.value) == (
        "002_b.sql has to run outside a transaction (VACUUM), and the given connection is inside one\n"
        "give fluxmig an Engine, or a Connection that is not in a transaction"
    )
    assert one_postgresql.tables() == set()


def test_no_transaction_on_a_callers_connection_gives_its_level_back(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": "VACUUM;", "002_b.sql": "CREATE TABLE b (id integer);\nbad;"})
    with one_postgresql.engine().connect() as connection:
        with pytest.raises(MigrationFailedError):
            Migrator(connection, folder).run()
        assert connection.get_isolation_level() == "READ COMMITTED"
        connection.rollback()
    assert one_postgresql.tables() == {"schema_migrations", "schema_migrations_log"}


# --- a file's own transactions ----------------------------------------------------------------------------


def test_a_file_wrapped_in_begin_and_commit_is_one_transaction(
    postgresql: Database, folder: Path, write: Write
) -> None:
    write({"001_a.sql": "BEGIN;\nCREATE TABLE a (id integer);\nSELECT 1/0;\nCOMMIT;"})
    failure = failure_of(postgresql, folder)
    assert (failure.line, failure.message) == (3, "division by zero")
    assert "a" not in postgresql.tables()
    write({"001_a.sql": "BEGIN;\nCREATE TABLE a (id integer);\nCOMMIT;"})
    Migrator(postgresql.engine(), folder).run()
    assert "a" in postgresql.tables()
    assert postgresql.scalar("SELECT count(*) FROM schema_migrations") == 1


@pytest.mark.parametrize(
    ("sql", "headline"),
    [
        (
            "COMMIT; CREATE INDEX CONCURRENTLY i ON t (id); BEGIN;",
            "1:1: COMMIT ends a transaction that the file did not begin\n",
        ),
        ("CREATE TABLE t (id integer);\nROLLBACK;", "2:1: ROLLBACK would undo what the ledger"),
        ("-- fluxmig: no-transaction\nBEGIN; SELECT 1;", "2:1: this transaction is never committed"),
        ("\\connect abc\nSELECT 1;", "1:1: \\connect is a command of psql, not SQL\n"),
        ("COPY t FROM stdin;\n", "1:1: the rows of this COPY have no end\n"),
    ],
)
def test_what_cannot_be_taken_is_refused_before_anything_runs(
    one_postgresql: Database, folder: Path, write: Write, sql: str, headline: str
) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);", "002_b.sql": sql})
    with pytest.raises(MigrationFileError) as caught:
        Migrator(one_postgresql.engine(), folder).run()
    assert str(caught.value).startswith(f"{folder}/002_b.sql:{headline}")
    assert one_postgresql.tables() == set()


# --- the session ------------------------------------------------------------------------------------------


def test_what_a_file_sets_does_not_reach_the_ledger_or_the_next_file(
    postgresql: Database, folder: Path, write: Write
) -> None:
    write(
        {
            "001_a.sql": "CREATE SCHEMA other;\nSET search_path = other;\nCREATE TABLE a (id integer);\n"
            "CREATE TEMP TABLE gone (id integer);\nSET statement_timeout = '77s';",
            "002_b.sql": "CREATE TABLE b (id integer);\n"
            "CREATE TABLE timeouts AS SELECT current_setting('statement_timeout') AS t;",
            "003_c.sql": "SELECT pg_catalog.set_config('search_path', '', false);",
            "004_d.sql": "CREATE TABLE d (id integer);",
        }
    )
    Migrator(postgresql.engine(), folder).run()
    rows = postgresql.rows("SELECT schemaname, tablename FROM pg_tables WHERE tablename IN ('a', 'b', 'd')")
    assert sorted(rows) == [("other", "a"), ("public", "b"), ("public", "d")]
    assert postgresql.scalar("SELECT t FROM timeouts") == "0"
    assert postgresql.scalar("SELECT count(*) FROM public.schema_migrations") == 4


SESSION = {
    "001_dump.sql": "SELECT pg_catalog.set_config('search_path', '', false);\n"
    "CREATE TABLE public.a (id integer);",
    "002_block.sql": "DO $$ BEGIN PERFORM set_config('search_path', 'pg_temp', false); END $$;",
    "003_role.sql": "SET ROLE pg_monitor;\nSET work_mem = '77MB';\nSELECT 1;",
    "004_outside.sql": "-- fluxmig: no-transaction\nSET search_path = pg_temp;\nSET ROLE pg_monitor;",
    "005_b.sql": "CREATE TABLE b (id integer);\n"
    "CREATE TABLE seen AS SELECT current_setting('work_mem') AS w, current_user::text AS u;",
}


@pytest.mark.parametrize("way", ["engine", "connection", "transaction"])
def test_a_session_is_the_same_after_each_file(
    postgresql: Database, folder: Path, write: Write, way: str
) -> None:
    write({name: text for name, text in SESSION.items() if way != "transaction" or "outside" not in name})
    engine = postgresql.engine()
    with engine.connect() as connection:
        connection.exec_driver_sql("SET work_mem = '33MB'")
        connection.commit()
        if way == "transaction":
            with connection.begin():
                Migrator(connection, folder).run()
        elif way == "connection":
            Migrator(connection, folder).run()
        else:
            Migrator(engine, folder).run()
        assert connection.exec_driver_sql("SHOW work_mem").scalar() == "33MB"
        assert connection.exec_driver_sql("SHOW search_path").scalar() == '"$user", public'
        assert connection.exec_driver_sql("SHOW role").scalar() == "none"
    tables = postgresql.rows("SELECT schemaname FROM pg_tables WHERE tablename IN ('a', 'b', 'seen')")
    assert tables == [("public",)] * 3
    ((work_mem, user),) = postgresql.rows("SELECT w, u FROM seen")
    assert work_mem == ("4MB" if way == "engine" else "33MB")
    assert user != "pg_monitor"


def test_reading_leaves_the_pools_connection_as_read_only_as_it_was(
    one_postgresql: Database, folder: Path
) -> None:
    engine = one_postgresql.engine(
        pool_size=1, connect_args={"options": "-c default_transaction_read_only=on"}
    )
    Migrator(engine, folder).status()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"


def test_a_ledger_further_down_the_search_path_is_found(
    postgresql: Database, folder: Path, write: Write
) -> None:
    """The Node runner finds it there, too; taking it for absent would run everything again."""
    from sqlalchemy import make_url

    for sql in (
        'CREATE SCHEMA "App One"',
        NODE_LEDGER,
        "INSERT INTO schema_migrations (migration_name) VALUES ('001_a.sql')",
    ):
        postgresql.rows(sql)
    write({"001_a.sql": "CREATE TABLE a (id integer);", "002_b.sql": "CREATE TABLE b (id integer);"})
    url = make_url(postgresql.url).update_query_dict({"options": '-c search_path="App\\ One",public'})
    path = Database("path", url.render_as_string(hide_password=False))
    migrator = Migrator(path.engine(), folder)
    assert [status.state.value for status in migrator.status()] == ["applied", "pending"]
    migrator.run()
    assert postgresql.rows("SELECT migration_name FROM public.schema_migrations ORDER BY id") == [
        ("001_a.sql",),
        ("002_b.sql",),
    ]
    schemas = postgresql.rows(
        "SELECT schemaname FROM pg_tables WHERE tablename IN ('b', 'schema_migrations')"
    )
    assert sorted(schemas) == [("App One",), ("public",)]
    path.dispose()


def test_a_schema_of_ones_own(postgresql: Database, folder: Path, write: Write) -> None:
    postgresql.rows('CREATE SCHEMA "My Schema"')
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    migrator = Migrator(postgresql.engine(), folder, schema="My Schema")
    migrator.run()
    assert postgresql.scalar('SELECT count(*) FROM "My Schema".schema_migrations') == 1
    assert migrator.verify().ok
    assert "public" in str(postgresql.scalar("SELECT schemaname FROM pg_tables WHERE tablename = 'a'"))


def test_a_schema_that_is_not_there(one_postgresql: Database, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    migrator = Migrator(one_postgresql.engine(), folder, schema="nowhere")
    assert [str(finding.message) for finding in migrator.verify().findings] == ["there is no schema nowhere"]
    with pytest.raises(ConfigError) as caught:
        migrator.run()
    assert str(caught.value) == (
        'the database refuses: schema "nowhere" does not exist [3F000]\n'
        "CREATE SCHEMA first, or choose another with --schema"
    )
    assert one_postgresql.tables() == set()


# --- privileges -------------------------------------------------------------------------------------------


@pytest.fixture
def reader(one_postgresql: Database, folder: Path, write: Write) -> Database:
    """A login that may only read, on a database with one migration applied."""
    from sqlalchemy import make_url

    write({"001_a.sql": "CREATE TABLE a (id integer);", "002_b.sql": "CREATE TABLE b (id integer);"})
    Migrator(one_postgresql.engine(), folder).run(steps=1)
    name = f"reader_{one_postgresql.url.rpartition('fluxmig_test_')[2].partition('?')[0]}"
    one_postgresql.rows(f"CREATE ROLE {name} LOGIN")
    one_postgresql.rows(f"GRANT SELECT ON schema_migrations, schema_migrations_log TO {name}")
    url = make_url(one_postgresql.url).set(username=name)
    return Database("reader", url.render_as_string(hide_password=False))


def test_a_login_that_may_only_read(reader: Database, folder: Path) -> None:
    migrator = Migrator(reader.engine(), folder)
    assert [status.state.value for status in migrator.status()] == ["applied", "pending"]
    assert [script.name for script in migrator.plan().scripts] == ["002_b.sql"]
    verification = migrator.verify()
    user = verification.info.user
    assert (verification.can_create, verification.can_write) == (False, False)
    assert [(finding.message, finding.remedy) for finding in verification.findings] == [
        ("the login may not create in schema public", f"GRANT CREATE ON SCHEMA public TO {user}"),
        (
            "the login may not write public.schema_migrations",
            f"GRANT SELECT, INSERT, DELETE ON public.schema_migrations TO {user}",
        ),
    ]
    assert verification.exit_code == 2
    reader.dispose()


def test_a_login_that_may_not_read_the_log(reader: Database, one_postgresql: Database, folder: Path) -> None:
    name = Migrator(reader.engine(), folder).verify().info.user
    one_postgresql.rows(f"REVOKE SELECT ON schema_migrations_log FROM {name}")
    migrator = Migrator(reader.engine(), folder)
    assert [status.state.value for status in migrator.status()] == ["applied", "pending"]
    assert len(migrator.verify().findings) == 2
    reader.dispose()


def test_a_run_by_a_login_that_may_only_read(reader: Database, folder: Path) -> None:
    with pytest.raises(MigrationFailedError) as caught:
        Migrator(reader.engine(), folder).run()
    assert "permission denied for schema public" in str(caught.value)
    reader.dispose()


def test_reading_is_read_only_on_the_server(one_postgresql: Database) -> None:
    with PostgreSQL().reading(one_postgresql.engine()) as connection:
        assert connection.scalar(text("SHOW transaction_read_only")) == "on"
        with pytest.raises(DBAPIError, match="read-only transaction"):
            connection.execute(text("CREATE TABLE t (id integer)"))
    engine = one_postgresql.engine()
    with engine.connect() as given:
        with PostgreSQL().reading(given) as connection:
            assert connection.scalar(text("SHOW transaction_read_only")) == "on"
        assert given.scalar(text("SHOW transaction_read_only")) == "off"


def test_without_a_log_it_still_migrates(one_postgresql: Database, folder: Path, write: Write) -> None:
    """The login may write the ledger, but create nothing in its schema."""
    from sqlalchemy import make_url

    name = f"writer_{one_postgresql.url.rpartition('fluxmig_test_')[2].partition('?')[0]}"
    for sql in (
        "CREATE SCHEMA ops",
        NODE_LEDGER.replace("schema_migrations", "ops.schema_migrations"),
        f"CREATE ROLE {name} LOGIN",
        f"GRANT USAGE ON SCHEMA ops TO {name}",
        f"GRANT SELECT, INSERT, DELETE ON ops.schema_migrations TO {name}",
        f"GRANT USAGE ON SEQUENCE ops.schema_migrations_id_seq TO {name}",
        f"GRANT CREATE ON SCHEMA public TO {name}",
    ):
        one_postgresql.rows(sql)
    write({"001_a.sql": "CREATE TABLE a (id integer);", "002_b.sql": "bad;"})
    url = make_url(one_postgresql.url).set(username=name).render_as_string(hide_password=False)
    limited = Database("writer", url)
    with pytest.raises(MigrationFailedError) as caught:
        Migrator(limited.engine(), folder, schema="ops").run()
    assert [(finding.kind, finding.message) for finding in caught.value.report.findings] == [
        (
            "log",
            (
                "ops.schema_migrations_log cannot be made, so no events are kept:"
                " permission denied for schema ops"
            ),
        )
    ]
    assert one_postgresql.rows("SELECT migration_name, applied_by FROM ops.schema_migrations") == [
        ("001_a.sql", name)
    ]
    limited.dispose()


# --- faults -----------------------------------------------------------------------------------------------


def test_a_connection_lost_in_a_migration(postgresql: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (id integer);",
            "002_b.sql": "CREATE TABLE b (id integer);\nSELECT pg_terminate_backend(pg_backend_pid());",
            "003_c.sql": "CREATE TABLE c (id integer);",
        }
    )
    migrator = Migrator(postgresql.engine(), folder)
    with pytest.raises(DatabaseConnectionError) as caught:
        migrator.run(keep_going=True)
    assert str(caught.value).startswith(f"the connection was lost in {folder}/002_b.sql: ")
    assert str(caught.value).endswith("The server rolls the migration back; run again when it is there.")
    assert caught.value.report is not None
    assert [step.name for step in caught.value.report.results] == ["001_a.sql"]
    assert "b" not in postgresql.tables()
    write({"002_b.sql": "CREATE TABLE b (id integer);"})
    assert len(migrator.run().results) == 2


def test_a_snapshot_from_before_the_commit_of_who_was_faster(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    """The other runner commits between the statement's snapshot and the lock that it asks for."""
    write(
        {
            "001_t.sql": "CREATE TABLE t (id integer PRIMARY KEY);",
            "002_t.sql": "BEGIN ISOLATION LEVEL SERIALIZABLE;\nINSERT INTO t VALUES (1);\nCOMMIT;",
        }
    )
    Migrator(one_postgresql.engine(), folder).run(to="001_t.sql")
    engine = one_postgresql.engine()

    faster: list[int] = []

    def other_runner(*args: Any) -> None:
        _, cursor, statement, *_ = args
        if "advisory_xact_lock" not in statement or faster:
            return
        cursor.execute("SHOW transaction_isolation")
        if cursor.fetchone() == ("serializable",):
            cursor.execute("SELECT 1")
            faster.append(len(Migrator(one_postgresql.engine(), folder).run().results))

    event.listen(engine, "before_cursor_execute", other_runner)
    (result,) = Migrator(engine, folder).run().results
    assert (faster, result.outcome) == ([1], Outcome.SKIPPED)
    assert one_postgresql.scalar("SELECT count(*) FROM schema_migrations_log WHERE event = 'failed'") == 0


def test_the_ledger_is_the_node_runners_table(postgresql: Database, folder: Path, write: Write) -> None:
    """Column by column what DESIGN's table is when made by its own SQL."""
    columns = (
        "SELECT column_name, data_type, character_maximum_length, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_name = 'schema_migrations' ORDER BY ordinal_position"
    )
    indexes = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'schema_migrations' ORDER BY 1"
    postgresql.rows(NODE_LEDGER)
    expected = postgresql.rows(columns), postgresql.rows(indexes)
    postgresql.rows("DROP TABLE schema_migrations")
    write({"001_a.sql": "SELECT 1;"})
    Migrator(postgresql.engine(), folder).run()
    assert (postgresql.rows(columns), postgresql.rows(indexes)) == expected
