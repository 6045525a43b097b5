"""A real PgBouncer in between: transactions go through it, and what needs a session has one or is refused."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import create_engine, event, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, StaticPool

from fluxmig import ConfigError, DatabaseConnectionError, MigrationFailedError, Migrator, Outcome
from fluxmig.connect import reach
from fluxmig.dialects import dialect_of, postgresql_pooler
from fluxmig.dialects.postgresql import PostgreSQL
from tests.pooler import client, pgbouncer
from tests.support import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fluxmig import Report
    from tests.support import Write

DIRECT = "--direct-url URL or FLUXMIG_DIRECT_URL: the server's own address, past the pooler"
SHARED = "a pooler is in between, and each transaction may get another session"
UNKNOWN = "a pooler is in between, and it cannot be told whether the session stays the same"
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
CONCURRENTLY = "CREATE INDEX CONCURRENTLY i ON t (id);"
TWO = {"001_t.sql": "CREATE TABLE t (id integer);", "002_i.sql": CONCURRENTLY}

# All that a client can leave in its session, but for the application's name, which PgBouncer sets by itself.
LEFT = """
SELECT current_user, session_user, array(SELECT name || '=' || setting FROM pg_settings
  WHERE source = 'session' AND name !~ '^(transaction_|application_name|client_encoding)' ORDER BY name),
  nullif(current_setting('app.tenant', true), ''), array(SELECT name FROM pg_prepared_statements),
  array(SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
  array(SELECT pg_listening_channels()), array(SELECT name FROM pg_cursors WHERE is_holdable),
  array(SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())
"""

FILES = {
    "001_tables.sql": "CREATE TABLE t (id integer PRIMARY KEY, body text);\n"
    "INSERT INTO t VALUES (1, 'a:b 5%');",
    "002_set.sql": "SET search_path = pg_catalog; SET TimeZone = 'Asia/Tokyo'; SET app.tenant = 'x';\n"
    "SET client_encoding = 'LATIN1'; SELECT set_config('work_mem', '1MB', false);\n"
    "CREATE TABLE public.s (id integer);",
    "003_role.sql": "CREATE ROLE {role}; GRANT CREATE ON SCHEMA public TO {role}; SET ROLE {role};\n"
    "CREATE TABLE owned (id integer);",
    "004_authorization.sql": "SET SESSION AUTHORIZATION {role}; CREATE TABLE owned_too (id integer);",
    "005_temporary.sql": "CREATE TEMP TABLE scratch AS SELECT * FROM t; CREATE TABLE kept AS TABLE scratch;",
    "006_prepare.sql": "PREPARE p (integer) AS INSERT INTO t VALUES ($1, 'p'); EXECUTE p(2);",
    "007_listen.sql": "LISTEN channel; NOTIFY channel, 'hello';",
    "008_copy.sql": "COPY t (id, body) FROM stdin;\n3\tthree\n4\tfour\n\\.\n"
    "INSERT INTO t VALUES (5, 'five');\n",
    "009_do.sql": "DO $$ BEGIN RAISE NOTICE 'hello'; PERFORM set_config('app.tenant', 'y', false);\n"
    "EXECUTE 'PREPARE q AS SELECT 1'; END $$;",
    "010_serializable.sql": "BEGIN ISOLATION LEVEL SERIALIZABLE;\nINSERT INTO t VALUES (6, 'six');\nCOMMIT;",
    "011_messages.sql": "".join(f"INSERT INTO t VALUES ({n}, '{'x' * 1000}');\n" for n in range(100, 300)),
    "012_cursor.sql": "DECLARE c CURSOR WITH HOLD FOR TABLE t; FETCH 1 FROM c;",
    "013_duplicate.sql": "CREATE TABLE t (id integer);",
    "014_complete.sql": "-- fluxmig: on-duplicate=complete\n"
    "CREATE TABLE t (id integer); CREATE TABLE u (id integer);",
    "015_local.sql": "SET LOCAL lock_timeout = '1s'; LOCK TABLE t; ALTER TABLE t ADD COLUMN more integer;",
    "016_discard.sql": "DISCARD PLANS; DEALLOCATE ALL; UNLISTEN *; RESET ALL; DISCARD TEMP;",
}

FAILING = {
    "set": "SET search_path = nowhere; SET TimeZone = 'Asia/Tokyo'; SET app.tenant = 'x'; SELECT 1 / 0;",
    "prepare": "PREPARE p AS SELECT 1; EXECUTE p; SELECT 1 / 0;",
    "prepare in a block": "DO $$ BEGIN EXECUTE 'PREPARE p AS SELECT 1'; END $$; SELECT 1 / 0;",
    "temporary": "CREATE TEMP TABLE scratch (id integer); LISTEN channel; SELECT 1 / 0;",
    "copy": "PREPARE p AS SELECT 1;\nCOPY ledger_of_nothing FROM stdin;\n1\n\\.\n",
    "at the commit": "PREPARE p AS SELECT 1; CREATE TABLE a (id integer PRIMARY KEY);\n"
    "CREATE TABLE b (id integer REFERENCES a DEFERRABLE INITIALLY DEFERRED); INSERT INTO b VALUES (1);",
    "half-way": "-- fluxmig: on-duplicate=complete\nPREPARE p AS SELECT 1; CREATE TABLE there (id integer);\n"
    "SELECT 1 / 0;",
}


@contextmanager
def other_clients(pooled: Database, number: int) -> Iterator[None]:
    """Clients that are never done with their short transactions."""
    over = threading.Event()

    def work() -> None:
        with closing(client(pooled)) as connection:
            while not over.is_set():
                connection.execute("SELECT pg_sleep(0.001)")

    with ThreadPoolExecutor(number) as pool:
        working = [pool.submit(work) for _ in range(number)]
        try:
            yield
        finally:
            over.set()
        for each in working:
            each.result()


def left(pooled: Database, number: int = 1) -> set[tuple[Any, ...]]:
    """What so many sessions hold, of so many server connections of a pool; each is asked in a transaction."""
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(client(pooled))) for _ in range(number)]
        for each in clients:
            each.execute("BEGIN")
        return {tuple(map(str, each.execute(LEFT).fetchone() or ())) for each in clients}


# --- by transactions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_turns", [0, 1])
def test_eight_runners_apply_every_kind_of_file_once(
    one_postgresql: Database, folder: Path, write: Write, by_turns: int
) -> None:
    role = f"role_of_{make_url(one_postgresql.url).database}"
    write({name: text.replace("{role}", role) for name, text in FILES.items()})

    def run(_: int) -> Report:
        return Migrator(pooled.engine(), folder).run()

    with pgbouncer(one_postgresql, "transaction", default_pool_size=4, server_round_robin=by_turns) as pooled:
        clean = left(pooled, 4)
        with ThreadPoolExecutor(8) as pool:
            reports = list(pool.map(run, range(8)))
        assert left(pooled, 4) == clean
        assert len(clean) == 1
    results = [result for report in reports for result in report.results]
    done = [result for result in results if result.outcome is not Outcome.SKIPPED]
    assert Counter(result.name for result in done) == Counter(list(FILES))
    outcomes = {result.name: result.outcome for result in done}
    assert outcomes.pop("013_duplicate.sql") is Outcome.MARKED
    assert set(outcomes.values()) == {Outcome.APPLIED}
    assert one_postgresql.rows("SELECT count(*), count(DISTINCT migration_name) FROM schema_migrations") == [
        (16, 16)
    ]
    ids = (*range(1, 7), *range(100, 300))
    assert one_postgresql.rows("SELECT count(*), sum(id) FROM t") == [(len(ids), sum(ids))]
    assert one_postgresql.scalar("SELECT body FROM t WHERE id = 1") == "a:b 5%"
    one_postgresql.rows(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize("bind", ["engine", "connection"])
def test_a_failed_file_leaves_nothing_for_the_next_client(
    one_postgresql: Database, folder: Path, write: Write, bind: str
) -> None:
    """Of a pool of one, the next client gets the same session."""
    one_postgresql.rows("CREATE TABLE there (id integer)")
    with pgbouncer(one_postgresql, "transaction", default_pool_size=1) as pooled, ExitStack() as stack:
        clean = left(pooled)
        engine = pooled.engine()
        given = engine if bind == "engine" else stack.enter_context(engine.connect())
        for what, text in FAILING.items():
            write({"001_failing.sql": text})
            with pytest.raises(MigrationFailedError):
                Migrator(given, folder).run()
            assert left(pooled) == clean, what
        write({"001_failing.sql": "PREPARE p AS SELECT 1; SET app.tenant = 'x'; CREATE TABLE there ();"})
        assert Migrator(given, folder).run().results[0].outcome is Outcome.MARKED
        assert left(pooled) == clean


def test_many_questions_prepare_nothing(one_postgresql: Database, folder: Path, write: Write) -> None:
    """psycopg prepares what it has sent five times, and another client would get it."""
    write({"001_t.sql": "CREATE TABLE t (id integer);"})
    with pgbouncer(one_postgresql, "transaction", default_pool_size=1) as pooled:
        clean = left(pooled)
        migrator = Migrator(pooled.engine(), folder)
        migrator.run()
        for _ in range(7):
            migrator.status()
            migrator.log()
            migrator.verify()
        assert left(pooled) == clean


def test_what_is_said_of_the_ledger_goes_through(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    write({"001_t.sql": "CREATE TABLE t (id integer);", "001_t.down.sql": "DROP TABLE t;"})
    write({"002_u.sql": "CREATE TABLE u (id integer);"})
    with pgbouncer(one_postgresql, "transaction", default_pool_size=2, server_round_robin=1) as pooled:
        migrator = Migrator(pooled.engine(), folder)
        migrator.run(to="001_t.sql")
        migrator.mark("002_u.sql", reason="by hand")
        migrator.unmark("002_u.sql")
        migrator.redo("001_t.sql")
        write({"001_t.sql": "CREATE TABLE t (id integer, more text);"})
        migrator.accept("001_t.sql")
        migrator.rollback()
        one_postgresql.rows("CREATE TABLE u (id integer)")
        assert [change.name for change in migrator.adopt().recorded] == ["002_u.sql"]
        migrator.unmark("002_u.sql")
        (folder / "002_u.sql").unlink()
        assert [result.name for result in migrator.run().results] == ["001_t.sql"]
        assert migrator.plan().scripts == ()
        assert migrator.verify().ok


# --- what needs a session ---------------------------------------------------------------------------------


def test_a_file_without_a_transaction_is_refused_before_anything_runs(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    write(TWO)
    message = (
        "002_i.sql has to run outside a transaction (CREATE INDEX CONCURRENTLY), under a lock that its"
        f" session holds; but {SHARED}"
    )
    with pgbouncer(one_postgresql, "transaction") as pooled:
        migrator = Migrator(pooled.engine(), folder)
        with pytest.raises(ConfigError) as caught:
            migrator.run()
        assert (caught.value.message, caught.value.remedy, caught.value.exit_code) == (message, DIRECT, 2)
        assert caught.value.report is not None
        assert caught.value.report.results == ()
        assert one_postgresql.tables() == set()
        for findings in (migrator.plan().findings, migrator.verify().findings):
            assert [(each.kind, each.message, each.names, each.remedy) for each in findings] == [
                ("session", message, ("002_i.sql",), DIRECT)
            ]
        assert migrator.verify().exit_code == 2
        assert one_postgresql.scalar(LOCKS) == 0
        assert [result.name for result in migrator.run(to="001_t.sql").results] == ["001_t.sql"]
        assert one_postgresql.scalar(LOCKS) == 0


def test_a_down_script_without_a_transaction_is_refused(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    write(
        {
            "001_t.sql": "CREATE TABLE t (id integer);",
            "001_t.down.sql": "-- fluxmig: no-transaction\nDROP TABLE t;",
        }
    )
    said = (
        "001_t.down.sql has to run outside a transaction (the file says so), under a lock that its session"
        f" holds; but {SHARED}"
    )
    with pgbouncer(one_postgresql, "transaction") as pooled:
        migrator = Migrator(pooled.engine(), folder)
        migrator.run()
        for method in (migrator.rollback, migrator.redo):
            with pytest.raises(ConfigError) as caught:
                method()
            assert caught.value.message == said
        assert [record.name for record in migrator.applied()] == ["001_t.sql"]
        assert "t" in one_postgresql.tables()


@pytest.mark.parametrize(("size", "by_turns"), [(1, 0), (3, 0), (3, 1)])
def test_sessions_that_are_shared_are_known_under_load(
    one_postgresql: Database, size: int, by_turns: int
) -> None:
    settings = {"default_pool_size": size, "server_round_robin": by_turns}
    with pgbouncer(one_postgresql, "transaction", **settings) as pooled, other_clients(pooled, 4):
        engine = pooled.engine()
        for _ in range(20):
            with dialect_of(engine).autocommit(engine) as connection:
                assert postgresql_pooler.why_shared(connection) == SHARED
            engine.dispose()


def test_sessions_of_ones_own_are_known_under_load(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    write(TWO)
    with pgbouncer(one_postgresql, "session") as pooled, other_clients(pooled, 4):
        migrator = Migrator(pooled.engine(), folder)
        assert [result.outcome for result in migrator.run().results] == [Outcome.APPLIED] * 2
        assert one_postgresql.scalar(LOCKS) == 0
    assert one_postgresql.scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") is True


def test_what_cannot_be_told_is_refused(
    one_postgresql: Database, folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool of one session has no second one to compare with; PgBouncer lets its client wait for it."""
    monkeypatch.setattr(postgresql_pooler, "_PATIENCE_S", 0.2)
    write(TWO)
    with pgbouncer(one_postgresql, "session", default_pool_size=1) as pooled:
        with pytest.raises(ConfigError) as caught:
            Migrator(pooled.engine(), folder).run()
        assert caught.value.message.endswith(f"but {UNKNOWN} (there was no answer in 0.2 s)")
        assert caught.value.remedy == DIRECT
    with pgbouncer(one_postgresql, "session", max_client_conn=1) as pooled:
        with pytest.raises(ConfigError) as caught:
            Migrator(pooled.engine(), folder).run()
        assert f"but {UNKNOWN} (" in caught.value.message
        assert caught.value.message.endswith("no more connections allowed (max_client_conn))")
    assert one_postgresql.tables() == set()


# --- whose connection it is -------------------------------------------------------------------------------


def test_a_connection_of_the_callers(one_postgresql: Database, folder: Path, write: Write) -> None:
    """Also from a pool that has no second one to give."""
    write(TWO)
    for mode in ("transaction", "session"):
        with (
            pgbouncer(one_postgresql, mode) as pooled,
            pooled.engine(pool_size=1, max_overflow=0).connect() as connection,
        ):
            migrator = Migrator(connection, folder)
            if mode == "session":
                assert len(migrator.run().results) == 2
            else:
                with pytest.raises(ConfigError, match=SHARED):
                    migrator.run()
            assert connection.get_isolation_level() == "READ COMMITTED"


def test_the_one_connection_of_a_callers_own_function_stays_open(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    write(TWO)
    with (
        pgbouncer(one_postgresql, "session") as pooled,
        closing(psycopg.connect(**_parameters(pooled))) as only,
    ):
        engine = create_engine("postgresql+psycopg://", creator=lambda: only, poolclass=StaticPool)
        with pytest.raises(ConfigError) as caught:
            Migrator(engine, folder).run()
        assert caught.value.message.endswith(f"but {UNKNOWN} (there is no second connection to ask)")
        assert only.execute("SELECT 1").fetchone() == (1,)


def _parameters(database: Database) -> dict[str, Any]:
    url = make_url(database.url)
    return {"dbname": url.database, "user": url.username, **url.query}


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_an_asyncio_driver(one_postgresql: Database, folder: Path, write: Write, mode: str) -> None:
    write(TWO)

    async def run() -> Report:
        engine = create_async_engine(pooled.url.replace("+psycopg:", "+psycopg_async:"))
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(lambda each: Migrator(each, folder).run())
        finally:
            await engine.dispose()

    with pgbouncer(one_postgresql, mode) as pooled:
        if mode == "session":
            assert len(asyncio.run(run()).results) == 2
        else:
            with pytest.raises(ConfigError, match=SHARED):
                asyncio.run(run())


@pytest.mark.parametrize("mode", ["transaction", "session", "none"])
def test_a_driver_that_keeps_no_process(
    one_postgresql: Database, folder: Path, write: Write, mode: str
) -> None:
    """Then it is found out each time, and the second connections are asked as every driver can be."""
    write(TWO)
    with ExitStack() as stack:
        pooled = one_postgresql if mode == "none" else stack.enter_context(pgbouncer(one_postgresql, mode))
        engine = pooled.engine()
        engine.dialect.driver = "unknown"
        if mode == "transaction":
            with pytest.raises(ConfigError, match=SHARED):
                Migrator(engine, folder).run()
        else:
            assert len(Migrator(engine, folder).run().results) == 2
            assert one_postgresql.scalar(LOCKS) == 0


def test_without_a_pooler_one_question_is_enough(
    one_postgresql: Database, folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none where every file has its transaction."""
    asked = []
    engine = one_postgresql.engine()
    event.listen(engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    monkeypatch.setattr(postgresql_pooler, "_another", pytest.fail)
    write({"001_t.sql": TWO["001_t.sql"]})
    Migrator(engine, folder).run()
    question = "SELECT pg_catalog.pg_backend_pid()"
    assert question not in asked
    write(TWO)
    Migrator(engine, folder).run()
    assert asked.count(question) == 2  # before the run, and on the connection that the file runs on


# --- the second wall --------------------------------------------------------------------------------------


@pytest.fixture
def fooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first test takes every session for one's own."""
    monkeypatch.setattr(PostgreSQL, "why_shared", lambda *_: None)


@pytest.mark.usefixtures("fooled")
@pytest.mark.parametrize("comes_back", [True, False])
def test_the_lock_is_looked_for_before_each_unit(
    one_postgresql: Database, folder: Path, write: Write, *, comes_back: bool
) -> None:
    """Between two units, another client gets the server connection that has the lock, for a while.

    PgBouncer gives the connection next that was given back last: to be met again, or not.
    """
    write(
        {
            "001_t.sql": "CREATE TABLE t (id integer);",
            "002_t.sql": "-- fluxmig: no-transaction\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES (2);",
        }
    )
    with pgbouncer(one_postgresql, "transaction") as pooled, ExitStack() as stack:
        first, second = (stack.enter_context(closing(client(pooled))) for _ in range(2))
        engine = pooled.engine()
        seen: list[str] = []

        def after(*args: Any) -> None:
            seen.append(args[2])
            if seen[-1] == "COMMIT" and any("VALUES (1)" in statement for statement in seen):
                first.execute("BEGIN")
                second.execute("BEGIN")
                seen.clear()

        def before(*args: Any) -> None:
            if "pg_advisory_unlock" in args[2] and first.info.transaction_status:
                for each in (second, first) if comes_back else (first, second):
                    each.execute("ROLLBACK")

        event.listen(engine, "after_cursor_execute", after)
        event.listen(engine, "before_cursor_execute", before)
        with pytest.raises(MigrationFailedError) as caught:
            Migrator(engine, folder).run()
        (failed,) = caught.value.failures
        assert failed.failure is not None
        assert (failed.failure.message, failed.failure.line, failed.failure.done) == (
            "a pooler has given us another session, and the lock is in the one before",
            3,
            1,
        )
        assert str(failed.failure.remedy).startswith(f"{DIRECT}\n1 of 2 statements is done, and stays so")
        deadline = time.monotonic() + 60
        while one_postgresql.scalar(LOCKS) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert one_postgresql.scalar(LOCKS) == 0
    assert one_postgresql.rows("SELECT id FROM t") == [(1,)]
    assert Migrator(one_postgresql.engine(), folder).run().results[0].resumed_at == 2
    assert one_postgresql.rows("SELECT id FROM t ORDER BY id") == [(1,), (2,)]


@pytest.mark.usefixtures("fooled")
def test_two_clients_of_one_session_do_not_both_get_its_lock(one_postgresql: Database) -> None:
    """A session that has a lock gets it again whenever it asks (9.28.10)."""
    with pgbouncer(one_postgresql, "transaction", default_pool_size=1) as pooled:
        dialect = dialect_of(pooled.engine())

        def session() -> Any:
            return stack.enter_context(dialect.autocommit(pooled.engine(poolclass=NullPool)))

        with ExitStack() as stack:
            first, second = session(), session()
            assert dialect.claim_session(first, "key")
            assert not dialect.claim_session(second, "key")
            assert one_postgresql.scalar(LOCKS) == 1
            dialect.release_session(first, "key")
            assert one_postgresql.scalar(LOCKS) == 0
            assert dialect.claim_session(second, "key")
            dialect.release_session(second, "key")
        assert one_postgresql.scalar(LOCKS) == 0


# --- what a pooler refuses --------------------------------------------------------------------------------


def test_statement_pooling_is_refused(one_postgresql: Database, folder: Path, write: Write) -> None:
    write(TWO)
    said = "transaction blocks not allowed in statement pooling mode"
    with pgbouncer(one_postgresql, "statement") as pooled:
        with pytest.raises(DatabaseConnectionError) as caught, reach(pooled.url):
            pass
        assert caught.value.message.endswith(f": {said}")
        assert caught.value.remedy == f"a pooler is in between that takes no transactions. {DIRECT}"
        with pytest.raises(DatabaseConnectionError) as caught:
            Migrator(pooled.engine(), folder).run()
        assert said in caught.value.message
        if caught.value.message.endswith(" [08P01]"):  # psycopg 3.2 keeps the words alone
            assert caught.value.message == f"the connection was lost: {said} [08P01]"
            assert caught.value.remedy == f"a pooler is in between, and refuses this. {DIRECT}"
    assert one_postgresql.tables() == set()


def test_a_startup_parameter_that_is_refused(one_postgresql: Database) -> None:
    """PgBouncer before 1.20 takes no `options` at all, and later ones take few."""
    with pgbouncer(one_postgresql, "transaction") as pooled:
        with (
            pytest.raises(DatabaseConnectionError) as caught,
            reach(f"{pooled.url}&options=-c%20work_mem=1MB"),
        ):
            pass
        assert "unsupported startup parameter" in caught.value.message
        assert caught.value.remedy == f"a pooler is in between: take this out of the URL. Or {DIRECT}"


def test_a_server_that_is_away(one_postgresql: Database) -> None:
    away = Database("away", one_postgresql.url.replace("port=5432", "port=1"))
    with pgbouncer(away, "transaction", query_wait_timeout=1) as pooled:
        with pytest.raises(DatabaseConnectionError) as caught, reach(pooled.url):
            pass
        assert caught.value.remedy == (
            "a pooler is in between, and has no connection to the server:"
            " is that up, and the pool large enough?"
        )
