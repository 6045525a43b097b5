"""Concurrent builds of indexes that fail, are killed, or meet what such builds left: on real servers."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError

from fluxmig.dialects import postgresql_index
from fluxmig.dialects.base import UnsoundError
from fluxmig.dialects.postgresql import PostgreSQL
from fluxmig.dialects.postgresql_index import guarded, invalid_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support import Database

CONTAINERS = False

UNIQUE = "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)"
DROPPED = 'the invalid index "i" of an earlier attempt was dropped'
BY_HAND = 'drop it by hand, or mend it with REINDEX INDEX CONCURRENTLY "public"."{}", and run again'
LOCK_TIMEOUT = "canceling statement due to lock timeout"
WAIT_S = 60  # for what the server is about to do; never reached


def send(connection: Connection, statement: str, *, again: bool = False) -> list[str]:
    """The notes of a guarded statement."""
    notes: list[str] = []
    with guarded(connection, statement, notes.append, again=again):
        PostgreSQL().send(connection, statement)
    return notes


def autocommit(database: Database) -> Connection:
    return database.engine(isolation_level="AUTOCOMMIT").connect()


def run(database: Database, *statements: str) -> list[str]:
    """The notes of guarded statements, sent on one connection."""
    with autocommit(database) as connection:
        return [note for statement in statements for note in send(connection, statement)]


def attempt(
    connection: Connection, statement: str, work: Callable[[], object] | None = None
) -> tuple[list[str], Exception]:
    """The notes of a guarded statement that fails, or of other work in its place; and the error."""
    notes: list[str] = []
    with pytest.raises((DBAPIError, UnsoundError)) as caught, guarded(connection, statement, notes.append):
        work() if work else PostgreSQL().send(connection, statement)
    return notes, caught.value


def fails(database: Database, message: str, *statements: str) -> None:
    """The statements are sent as they are, and the last fails."""
    with autocommit(database) as connection:
        for statement in statements[:-1]:
            PostgreSQL().send(connection, statement)
        with pytest.raises(DBAPIError, match=message):
            PostgreSQL().send(connection, statements[-1])


def unsound(database: Database, *statements: str) -> tuple[str, str]:
    """Message and remedy with which the last of the guarded statements is refused."""
    with autocommit(database) as connection:
        for statement in statements[:-1]:
            send(connection, statement)
        with pytest.raises(UnsoundError) as caught:
            send(connection, statements[-1])
    return caught.value.message, caught.value.remedy


def ask(database: Database, *statements: str) -> str | None:
    """What `invalid_index` says of the last statement, in the transaction of the others."""
    with database.engine().begin() as connection:
        for statement in statements[:-1]:
            PostgreSQL().send(connection, statement)
        return invalid_index(connection, statements[-1])


def indexes(database: Database) -> dict[str, bool]:
    """Schema and name of every index of the test's tables, and whether it is valid."""
    rows = database.rows(
        "SELECT indexrelid::regclass::text, indisvalid AND indisready FROM pg_index"
        " WHERE indexrelid >= 16384 AND indrelid::regclass::text NOT LIKE 'pg_toast.%' ORDER BY 1"
    )
    return {str(name): bool(valid) for name, valid in rows}


def oid(database: Database, name: str) -> object:
    return database.scalar(f"SELECT '{name}'::regclass::oid")


def until(database: Database, query: str) -> object:
    """What the query answers, as soon as it answers anything."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if found := database.scalar(query):
            return found
        time.sleep(0.01)
    pytest.fail(f"this never came true: {query}")


@contextmanager
def holding(
    database: Database, statement: str = "LOCK TABLE t IN ROW EXCLUSIVE MODE"
) -> Iterator[Connection]:
    """An open transaction of another session; by default it has written, and builds wait for its end."""
    with database.engine().connect() as connection:
        connection.execute(text(statement))
        yield connection


@contextmanager
def held_up(database: Database, work: Callable[[], object]) -> Iterator[tuple[Future[object], object]]:
    """The work, begun in a thread and held up in its build of an index on "t"; and its process."""
    with ThreadPoolExecutor(1) as pool:
        with holding(database):
            future = pool.submit(work)
            process = until(
                database,
                "SELECT pid FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting for%'"
                " AND index_relid > 0 AND datname = current_database()",
            )
            yield future, process
        future.exception(WAIT_S)


@pytest.fixture(autouse=True)
def table(request: pytest.FixtureRequest) -> None:
    """A table "t" with a duplicate in "a" and none in "b"."""
    name = "postgresql" if "postgresql" in request.fixturenames else "one_postgresql"
    database: Database = request.getfixturevalue(name)
    database.rows("CREATE TABLE t (a int, b int, c text)")
    database.rows("INSERT INTO t VALUES (1, 1), (1, 2)")


def mend(database: Database, table: str = "t") -> None:
    database.rows(f"DELETE FROM {table} WHERE b = 2")


# --- what a failed build left -----------------------------------------------------------------------------


def test_a_failed_unique_build_is_repaired_by_the_next(postgresql: Database) -> None:
    with pytest.raises(DBAPIError, match="could not create unique index"):
        run(postgresql, UNIQUE)
    assert indexes(postgresql) == {"i": False}
    with pytest.raises(DBAPIError, match="could not create unique index"):
        run(postgresql, UNIQUE)
    mend(postgresql)
    assert run(postgresql, UNIQUE) == [DROPPED]
    assert indexes(postgresql) == {"i": True}


def test_if_not_exists_is_no_excuse(postgresql: Database) -> None:
    fails(postgresql, "could not create unique index", UNIQUE)
    statement = "create index concurrently if not exists i on t (a)"
    assert ask(postgresql, statement) == "i"
    assert run(postgresql, statement) == [DROPPED]
    assert ask(postgresql, statement) is None
    assert indexes(postgresql) == {"i": True}


LONG = "x" * 62
OIL = "Öl" + "l" * 60  # 63 bytes
NAMES = [
    # The statement behind CREATE UNIQUE INDEX CONCURRENTLY, and the name.
    ("i ON t (a)", "i"),
    ("I /* on s.t */ ON -- only\n ONLY T USING btree (a)", "i"),
    ('"I" ON public.t (a)', "I"),
    ('IF NOT EXISTS "a ""b"" c" ON "public"."t" (a)', 'a "b" c'),
    ('"100%s %% %(a)s" ON t (a)', "100%s %% %(a)s"),
    ('":name \\:x {0} $1 ?" ON t (a)', ":name \\:x {0} $1 ?"),
    ('"ON" ON ONLY (t) (a)', "ON"),
    ("IF ON t (a)", "if"),
    ("if not exists u ON t (a)", "u"),
    ("ÄPFEL ON t (a)", "Äpfel"),
    (f"{LONG}ä ON t (a)", LONG),
    (f'"{LONG}yz" ON t (a)', LONG + "y"),
    ('U&"d\\0061t\\+000061 \\\\ \\D83D\\DE00" ON U&"\\0074" (a)', "data \\ 😀"),
    ("U&\"d!0061t\\0061\" UESCAPE '!' ON t (a)", "dat\\0061"),
    ('i ON s."T %" (a)', "i"),
    ('i ON DATABASE.s."T %" (a)', "i"),
    (f"i ON Ö{'L' * 62} (lower(c), a) WHERE a > 0", "i"),
]


@pytest.mark.parametrize(("rest", "name"), NAMES)
def test_names(one_postgresql: Database, rest: str, name: str) -> None:
    database = str(one_postgresql.scalar("SELECT current_database()"))
    statement = "CREATE UNIQUE INDEX CONCURRENTLY " + rest.replace("DATABASE", database)
    one_postgresql.rows('CREATE SCHEMA s CREATE TABLE s."T %" (a int, b int)')
    one_postgresql.rows('INSERT INTO s."T %" VALUES (1, 1), (1, 2)')
    one_postgresql.rows(f"CREATE TABLE \"{OIL}\" AS SELECT a, b, 'c' AS c FROM t")
    fails(one_postgresql, "could not create unique index", statement)
    state = "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE "
    state += "indexrelid >= 16384 AND relnamespace <> 'pg_toast'::regnamespace"
    assert one_postgresql.rows(state) == [(name, False)]
    for table in ("t", 's."T %"', f'"{OIL}"'):
        mend(one_postgresql, table)
    assert ask(one_postgresql, statement) == name
    assert ask(one_postgresql, statement.replace(" CONCURRENTLY", "")) == name
    assert run(one_postgresql, statement) == [f'the invalid index "{name}" of an earlier attempt was dropped']
    assert one_postgresql.rows(state) == [(name, True)]


def test_the_search_path_finds_the_table_whatever_the_file_set(postgresql: Database) -> None:
    postgresql.rows("CREATE SCHEMA s CREATE TABLE s.t (a int, b int)")
    postgresql.rows("INSERT INTO s.t VALUES (1, 1), (1, 2)")
    for table in ("s.t", "public.t"):
        fails(postgresql, "could not create unique index", UNIQUE.replace(" t ", f" {table} "))
    mend(postgresql)
    mend(postgresql, "s.t")
    path = "SET search_path = s, public, pg_catalog"
    assert ask(postgresql, path, UNIQUE) == "i"
    assert ask(postgresql, "SET search_path = ''", UNIQUE) is None
    assert run(postgresql, path, UNIQUE) == [DROPPED]
    assert indexes(postgresql) == {"i": False, "s.i": True}
    assert ask(postgresql, "CREATE INDEX i ON s.t (a)") is None
    assert ask(postgresql, "CREATE INDEX i ON public.t (a)") == "i"
    path = "SET search_path = ''"
    assert run(postgresql, path, "CREATE INDEX CONCURRENTLY i ON public.t (a)") == [DROPPED]
    assert indexes(postgresql) == {"i": True, "s.i": True}


def test_functions_of_the_file_are_not_taken_for_the_servers(one_postgresql: Database) -> None:
    one_postgresql.rows("CREATE FUNCTION replace(text, text, text) RETURNS text RETURN 'same'")
    one_postgresql.rows("CREATE FUNCTION current_setting(text) RETURNS text RETURN 'off'")
    fails(one_postgresql, "could not create unique index", UNIQUE)
    path = "SET search_path = public, pg_catalog"
    assert run(one_postgresql, path, "CREATE INDEX CONCURRENTLY ON t (b)") == []
    assert indexes(one_postgresql) == {"i": False, "t_b_idx": True}
    with holding(one_postgresql, "LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE"):
        assert ask(one_postgresql, path, UNIQUE) == "i"


def test_a_cancelled_build(postgresql: Database) -> None:
    statement = "CREATE INDEX CONCURRENTLY i ON t (a)"
    with held_up(postgresql, lambda: run(postgresql, statement)) as (build, process):
        postgresql.rows(f"SELECT pg_cancel_backend({process})")
        with pytest.raises(DBAPIError, match="canceling statement due to user request"):
            build.result(WAIT_S)
    assert indexes(postgresql) == {"i": False}
    assert run(postgresql, statement) == [DROPPED]
    assert indexes(postgresql) == {"i": True}


@pytest.mark.parametrize(
    ("statement", "left", "note", "now"),
    [
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)", "i", DROPPED, "i"),
        (
            "CREATE INDEX CONCURRENTLY ON t (a)",
            "t_a_idx",
            'the invalid index "t_a_idx" of an earlier attempt was dropped',
            "t_a_idx1",
        ),
    ],
)
def test_a_killed_build(postgresql: Database, statement: str, left: str, note: str, now: str) -> None:
    with held_up(postgresql, lambda: run(postgresql, statement)) as (build, process):
        postgresql.rows(f"SELECT pg_terminate_backend({process})")
        with pytest.raises(DBAPIError, match=r"terminating connection|connection (was )?(closed|lost)"):
            build.result(WAIT_S)
    assert indexes(postgresql) == {left: False}
    assert run(postgresql, statement) == [note]
    assert indexes(postgresql) == {now: True}


def test_the_drop_waits_no_longer_than_the_session_would(postgresql: Database) -> None:
    fails(postgresql, "could not create unique index", UNIQUE)
    with holding(postgresql, "LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE"):
        assert unsound(postgresql, "SET lock_timeout = 20", UNIQUE) == (
            f'the invalid index "i" of an earlier attempt cannot be dropped: {LOCK_TIMEOUT}',
            BY_HAND.format("i"),
        )
    assert indexes(postgresql) == {"i": False}


def test_a_role_that_may_not_drop_it(one_postgresql: Database) -> None:
    fails(one_postgresql, "could not create unique index", UNIQUE)
    message, remedy = unsound(one_postgresql, "SET ROLE pg_monitor", UNIQUE)
    assert (
        message == 'the invalid index "i" of an earlier attempt cannot be dropped: must be owner of index i'
    )
    assert remedy == BY_HAND.format("i")
    assert indexes(one_postgresql) == {"i": False}


def test_a_schema_that_the_role_may_not_use_is_the_servers_to_refuse(one_postgresql: Database) -> None:
    one_postgresql.rows("CREATE SCHEMA s CREATE TABLE s.t (a int)")
    statement = "CREATE INDEX CONCURRENTLY i ON s.t (a)"
    with pytest.raises(DBAPIError, match="permission denied for schema s"):
        run(one_postgresql, "SET ROLE pg_monitor", statement)
    assert ask(one_postgresql, "SET ROLE pg_monitor", statement) is None


# --- what is never dropped --------------------------------------------------------------------------------


def test_a_valid_index_stays(postgresql: Database) -> None:
    run(postgresql, "CREATE INDEX CONCURRENTLY i ON t (a)")
    before = oid(postgresql, "i")
    assert run(postgresql, "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (b)") == []
    with pytest.raises(DBAPIError, match='relation "i" already exists'):
        run(postgresql, "CREATE INDEX CONCURRENTLY i ON t (a)")
    assert oid(postgresql, "i") == before
    assert indexes(postgresql) == {"i": True}


def test_an_index_of_another_table_stays(postgresql: Database) -> None:
    postgresql.rows("CREATE TABLE u (a int)")
    fails(postgresql, "could not create unique index", UNIQUE)
    statement = "CREATE INDEX CONCURRENTLY i ON u (a)"
    assert ask(postgresql, statement) is None
    with pytest.raises(DBAPIError, match='relation "i" already exists'):
        run(postgresql, statement)
    assert indexes(postgresql) == {"i": False}


@pytest.mark.parametrize("role", ["", "SET ROLE pg_signal_backend"])  # sees other roles' processes, or not
@pytest.mark.parametrize("other", ["i", "j"])
def test_a_build_in_another_session_is_left_alone(postgresql: Database, role: str, other: str) -> None:
    if other != "i":
        fails(postgresql, "could not create unique index", UNIQUE)
    work = f"CREATE INDEX CONCURRENTLY {other} ON t (b)"
    with held_up(postgresql, lambda: run(postgresql, work)) as (build, process):
        assert unsound(postgresql, role, "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)") == (
            f'the index "i" is invalid, and process {process} is building or changing an index of its table',
            "wait until that is done, and run again",
        )
        assert ask(postgresql, role, "CREATE INDEX i ON t (a)") is None
        assert indexes(postgresql)["i"] is False
    assert build.result() == []
    assert indexes(postgresql)[other] is True


def test_a_repair_in_an_open_transaction_is_left_alone(postgresql: Database) -> None:
    fails(postgresql, "could not create unique index", UNIQUE)
    mend(postgresql)
    with holding(postgresql, "REINDEX INDEX i") as other:
        process = other.scalar(text("SELECT pg_backend_pid()"))
        assert unsound(postgresql, UNIQUE) == (
            f'the index "i" is invalid, and process {process} is building or changing an index of its table',
            "wait until that is done, and run again",
        )
        other.commit()
    assert indexes(postgresql) == {"i": True}


def test_a_build_in_another_session_of_a_server_that_does_not_track_them(postgresql: Database) -> None:
    database = postgresql.scalar("SELECT quote_ident(current_database())")
    postgresql.rows(f"ALTER DATABASE {database} SET track_activities = off")
    statement = "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)"
    with ThreadPoolExecutor(1) as pool, holding(postgresql):
        build = pool.submit(run, postgresql, statement)
        process = until(
            postgresql,
            "SELECT pid FROM pg_locks, pg_index WHERE mode = 'ShareUpdateExclusiveLock'"
            " AND relation = indrelid AND relation = 't'::regclass",
        )
        assert unsound(postgresql, statement)[0] == (
            f'the index "i" is invalid, and process {process} is building or changing an index of its table'
        )
    assert build.result(WAIT_S) == []
    assert indexes(postgresql) == {"i": True}


def test_readers_and_the_session_itself_are_no_builders(postgresql: Database) -> None:
    fails(postgresql, "could not create unique index", UNIQUE)
    with holding(postgresql, "SELECT * FROM t WHERE a = 1"):
        assert ask(postgresql, UNIQUE) == "i"
    assert ask(postgresql, "ALTER INDEX i SET (fillfactor = 90)", UNIQUE) == "i"


def test_the_index_of_a_constraint_is_left_alone(postgresql: Database) -> None:
    postgresql.rows("ALTER TABLE t ADD CONSTRAINT i UNIQUE (b)")
    postgresql.rows("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass")
    assert ask(postgresql, "CREATE UNIQUE INDEX IF NOT EXISTS i ON t (b)") == "i"
    assert unsound(postgresql, "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (b)") == (
        'the index "i" is invalid, and a constraint depends on it',
        'REINDEX INDEX CONCURRENTLY "public"."i", and run again',
    )
    assert run(postgresql, "CREATE UNIQUE INDEX CONCURRENTLY ON t (b)") == []
    assert indexes(postgresql) == {"i": False, "t_b_idx": True}


def test_the_index_of_a_partitioned_table_waits_for_its_partitions(postgresql: Database) -> None:
    postgresql.rows("CREATE TABLE p (a int) PARTITION BY LIST (a)")
    postgresql.rows("CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)")
    postgresql.rows("CREATE UNIQUE INDEX i ON ONLY p (a)")
    assert indexes(postgresql) == {"i": False}
    assert ask(postgresql, "CREATE INDEX IF NOT EXISTS i ON ONLY p (a)") is None
    with pytest.raises(DBAPIError, match='cannot create index on partitioned table "p" concurrently'):
        run(postgresql, "CREATE INDEX CONCURRENTLY i ON p (a)")
    postgresql.rows("INSERT INTO p VALUES (1), (1)")
    statement = "CREATE UNIQUE INDEX CONCURRENTLY i1 ON p1 (a)"
    fails(postgresql, "could not create unique index", statement)
    assert indexes(postgresql) == {"i": False, "i1": False}
    postgresql.rows("ALTER INDEX i ATTACH PARTITION i1")
    message, remedy = unsound(postgresql, statement)
    assert message == (
        'the invalid index "i1" of an earlier attempt cannot be dropped:'
        " cannot drop index i1 because index i requires it"
    )
    assert remedy == BY_HAND.format("i1")
    assert indexes(postgresql) == {"i": False, "i1": False}


# --- after a build ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "made"), [("i", "i"), ("", "t_a_idx")])
@pytest.mark.parametrize("flag", ["indisvalid", "indisready"])
def test_the_result_is_checked(one_postgresql: Database, name: str, made: str, flag: str) -> None:
    def work() -> None:
        one_postgresql.rows(f"CREATE INDEX {made} ON t (a)")
        one_postgresql.rows(f"UPDATE pg_index SET {flag} = false WHERE indrelid = 't'::regclass")

    with autocommit(one_postgresql) as connection:
        notes, error = attempt(connection, f"CREATE INDEX CONCURRENTLY {name} ON t (a)", work)
    assert isinstance(error, UnsoundError)
    assert error.message == str(error) == f'the index "{made}" is there, but invalid'
    assert error.remedy == f'DROP INDEX CONCURRENTLY "public"."{made}", and run again'
    assert notes == []
    assert indexes(one_postgresql) == {made: False}


def test_a_build_that_another_session_began_meanwhile_is_no_result(postgresql: Database) -> None:
    statement = "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)"
    with ExitStack() as stack, autocommit(postgresql) as connection:
        other = held_up(postgresql, lambda: run(postgresql, statement))
        notes, error = attempt(connection, statement, lambda: stack.enter_context(other))
        process = postgresql.scalar(
            "SELECT pid FROM pg_stat_progress_create_index WHERE datname = current_database()"
        )
    assert str(error) == (
        f'the index "i" is invalid, and process {process} is building or changing an index of its table'
    )
    assert notes == []
    assert indexes(postgresql) == {"i": True}


@pytest.mark.parametrize("statement", ["CREATE INDEX CONCURRENTLY ON t (a)", "REINDEX TABLE CONCURRENTLY t"])
@pytest.mark.parametrize("end", ["SELECT 1", "SELECT 1 / 0"])
def test_a_build_that_another_session_began_meanwhile_goes_on(
    postgresql: Database, statement: str, end: str
) -> None:
    notes: list[str] = []
    with ExitStack() as stack, autocommit(postgresql) as connection:
        other = held_up(postgresql, lambda: run(postgresql, "CREATE INDEX CONCURRENTLY i_ccnew ON t (a)"))
        stack.enter_context(
            pytest.raises(DBAPIError, match="division by zero") if "/" in end else ExitStack()
        )
        with guarded(connection, statement, notes.append):
            postgresql.rows("CREATE INDEX ON t (a)")
            stack.enter_context(other)
            PostgreSQL().send(connection, end)
    assert notes == []
    assert indexes(postgresql) == {"i_ccnew": True, "t_a_idx": True}


# --- builds without a name --------------------------------------------------------------------------------


def test_an_unnamed_build_twice_is_two_indexes(postgresql: Database) -> None:
    statement = "CREATE INDEX CONCURRENTLY ON t (a)"
    assert run(postgresql, statement, statement) == []
    assert indexes(postgresql) == {"t_a_idx": True, "t_a_idx1": True}


def test_a_failed_unnamed_build_leaves_nothing(postgresql: Database) -> None:
    fails(postgresql, "could not create unique index", UNIQUE)
    with autocommit(postgresql) as connection:
        notes, error = attempt(connection, "CREATE UNIQUE INDEX CONCURRENTLY ON t (a) WHERE b < 10")
    assert 'could not create unique index "t_a_idx"' in str(error)
    assert notes == ['the invalid index "t_a_idx" of this attempt was dropped']
    assert indexes(postgresql) == {"i": False}


def test_an_unnamed_build_drops_what_has_its_definition_alone(postgresql: Database) -> None:
    columns = ["(a)", "(a DESC)", "(a) INCLUDE (b)", "(a) WHERE b < 10", "((a + 0))", "(lower('x' || a))"]
    for number, column in enumerate(columns):
        statement = f'CREATE UNIQUE INDEX CONCURRENTLY "INDEX i{number} ON " ON t {column}'
        fails(postgresql, "could not create unique index", statement)
    fails(postgresql, "could not create unique index", "CREATE UNIQUE INDEX CONCURRENTLY k ON t ((a + 0))")
    mend(postgresql)
    assert run(postgresql, "CREATE INDEX CONCURRENTLY ON t (a)") == []  # not unique
    postgresql.rows("DROP INDEX t_a_idx")
    left = [f'"INDEX i{number} ON "' for number in range(len(columns))]
    assert run(postgresql, "CREATE UNIQUE INDEX CONCURRENTLY ON t (a) WHERE b < 10") == [
        f"the invalid index {left[3]} of an earlier attempt was dropped"
    ]
    assert run(postgresql, "CREATE UNIQUE INDEX CONCURRENTLY ON t ((a + 0))") == [
        f"the invalid index {left[4]} of an earlier attempt was dropped",
        'the invalid index "k" of an earlier attempt was dropped',
    ]
    expected = dict.fromkeys([left[0], left[1], left[2], left[5]], False)
    assert indexes(postgresql) == expected | {"t_a_idx": True, "t_expr_idx": True}
    assert run(postgresql, "CREATE UNIQUE INDEX l ON t (a)", "CREATE INDEX CONCURRENTLY ON t (b)") == []


def test_cleaning_up_does_not_wait_for_what_held_up_the_build(
    postgresql: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_index, "PATIENCE_MS", 20)
    statement = "CREATE INDEX CONCURRENTLY ON t (a)"
    with holding(postgresql), autocommit(postgresql) as connection:

        def work() -> None:
            connection.execute(text("SET lock_timeout = 20"))
            try:
                PostgreSQL().send(connection, statement)
            finally:
                connection.execute(text("SET lock_timeout = '2h'"))
                connection.execute(text("SET statement_timeout = '20s'"))

        notes, error = attempt(connection, statement, work)
        assert connection.scalar(text("SHOW lock_timeout")) == "2h"
    assert LOCK_TIMEOUT in str(error)
    assert notes == [f'the invalid index "t_a_idx" of this attempt cannot be dropped: {LOCK_TIMEOUT}']
    assert indexes(postgresql) == {"t_a_idx": False}
    assert run(postgresql, statement) == ['the invalid index "t_a_idx" of an earlier attempt was dropped']
    assert indexes(postgresql) == {"t_a_idx1": True}


# --- REINDEX ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    ["REINDEX INDEX CONCURRENTLY i", "reindex (verbose, concurrently) index public.i"],
)
def test_a_failed_reindex_leaves_what_was_there(postgresql: Database, statement: str) -> None:
    fails(postgresql, "could not create unique index", UNIQUE)
    fails(postgresql, 'unique index "i_ccnew"', statement)  # an older one, and none of ours
    with autocommit(postgresql) as connection:
        notes, error = attempt(connection, statement)
    assert 'could not create unique index "i_ccnew1"' in str(error)
    assert notes == ['the invalid index "i_ccnew1" of this attempt was dropped']
    assert indexes(postgresql) == {"i": False, "i_ccnew": False}
    mend(postgresql)
    assert run(postgresql, statement) == []
    assert indexes(postgresql) == {"i": True, "i_ccnew": False}


def test_a_cancelled_reindex_of_a_table_leaves_nothing_of_its_toast_either(postgresql: Database) -> None:
    run(postgresql, "CREATE INDEX i ON t (a)")
    invalid = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
    statement = "REINDEX TABLE CONCURRENTLY t"
    notes: list[str] = []

    def work() -> None:
        with autocommit(postgresql) as connection, guarded(connection, statement, notes.append):
            try:
                PostgreSQL().send(connection, statement)
            finally:
                other.rollback()

    with ThreadPoolExecutor(1) as pool, holding(postgresql) as other:
        future = pool.submit(work)
        process = until(
            postgresql,
            "SELECT pid FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting for%'"
            " AND index_relid > 0 AND datname = current_database()",
        )
        toast = [row[0] for row in postgresql.rows(invalid) if row[0] != "i_ccnew"]
        postgresql.rows(f"SELECT pg_cancel_backend({process})")
        with pytest.raises(DBAPIError, match="canceling statement due to user request"):
            future.result(WAIT_S)
    name = str(toast[0]).removeprefix("pg_toast.")
    assert sorted(notes) == [
        'the invalid index "i_ccnew" of this attempt was dropped',
        f'the invalid index "{name}" of this attempt was dropped',
    ]
    assert postgresql.rows(invalid) == []
    assert indexes(postgresql) == {"i": True}


def test_a_reindex_drops_the_old_one_that_it_had_replaced_but_no_foreign_one(
    one_postgresql: Database,
) -> None:
    def work() -> None:
        for name in ("i_ccold2", "i_ccnew_x", "j"):
            fails(one_postgresql, "could not create", f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON t (a)")
        one_postgresql.rows("SELECT 1 / 0")

    with autocommit(one_postgresql) as connection:
        notes, error = attempt(connection, "REINDEX SCHEMA CONCURRENTLY public", work)
    assert "division by zero" in str(error)
    assert notes == ['the invalid index "i_ccold2" of this attempt was dropped']
    assert indexes(one_postgresql) == {"i_ccnew_x": False, "j": False}


def test_a_reindex_is_checked(one_postgresql: Database) -> None:
    statement = "CREATE UNIQUE INDEX CONCURRENTLY i_ccnew ON t (a)"
    with autocommit(one_postgresql) as connection:
        notes, error = attempt(
            connection,
            "REINDEX DATABASE CONCURRENTLY",
            lambda: fails(one_postgresql, "could not create unique index", statement),
        )
    assert isinstance(error, UnsoundError)
    assert error.message == 'the invalid index "i_ccnew" is left behind'
    assert error.remedy == 'DROP INDEX CONCURRENTLY "public"."i_ccnew"'
    assert notes == []
    assert indexes(one_postgresql) == {"i_ccnew": False}


# --- what was cut off ------------------------------------------------------------------------------------


def send_again(database: Database, statement: str) -> list[str]:
    """The notes of a statement at which an earlier attempt was cut off."""
    with autocommit(database) as connection:
        return send(connection, statement, again=True)


def test_a_build_without_a_name_gets_the_one_that_was_left(postgresql: Database) -> None:
    statement = "CREATE INDEX CONCURRENTLY ON t (a)"
    with held_up(postgresql, lambda: run(postgresql, statement)) as (build, process):
        postgresql.rows(f"SELECT pg_terminate_backend({process})")
        assert isinstance(build.exception(WAIT_S), DBAPIError)
    assert indexes(postgresql) == {"t_a_idx": False}
    assert send_again(postgresql, statement) == [
        'the invalid index "t_a_idx" of an earlier attempt was dropped'
    ]
    assert indexes(postgresql) == {"t_a_idx": True}


def test_a_build_without_a_name_keeps_its_own_beside_anothers(one_postgresql: Database) -> None:
    """The name of what was dropped is one that the server would not have chosen."""
    statement = "CREATE UNIQUE INDEX CONCURRENTLY {} ON t (a)"
    fails(one_postgresql, "could not create unique index", statement.format("t_a"))
    mend(one_postgresql)
    assert send_again(one_postgresql, statement.format("")) == [
        'the invalid index "t_a" of an earlier attempt was dropped'
    ]
    assert indexes(one_postgresql) == {"t_a_idx": True}


def test_a_build_without_a_name_that_was_done(postgresql: Database) -> None:
    """Whether the first one is of the attempt that was cut off, nobody can tell."""
    statement = "CREATE INDEX CONCURRENTLY ON t (a)"
    run(postgresql, statement)
    (note,) = send_again(postgresql, statement)
    same = 'the index "t_a_idx1" is the same as "t_a_idx"'
    assert note == f"{same}: if that is of the attempt that was cut off, drop one of them"
    assert indexes(postgresql) == {"t_a_idx": True, "t_a_idx1": True}


def test_a_reindex_drops_what_one_that_was_cut_off_has_left(postgresql: Database) -> None:
    run(postgresql, "CREATE INDEX CONCURRENTLY i ON t (a)")
    statement = "REINDEX INDEX CONCURRENTLY i"
    with held_up(postgresql, lambda: run(postgresql, statement)) as (build, process):
        postgresql.rows(f"SELECT pg_terminate_backend({process})")
        assert isinstance(build.exception(WAIT_S), DBAPIError)
    assert indexes(postgresql) == {"i": True, "i_ccnew": False}
    assert run(postgresql, statement) == []
    assert indexes(postgresql) == {"i": True, "i_ccnew": False}  # whose it is, is not known
    assert send_again(postgresql, statement) == [
        'the invalid index "i_ccnew" of an earlier attempt was dropped'
    ]
    assert indexes(postgresql) == {"i": True}


# --- all else ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX i ON t (a)",
        'CREATE UNIQUE INDEX "CONCURRENTLY" ON t (a)',
        "DROP INDEX CONCURRENTLY i",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY m",
        "REINDEX TABLE t",
        'REINDEX INDEX "CONCURRENTLY"',
        "CREATE TABLE x (a int)",
        "SELECT 'CREATE INDEX CONCURRENTLY i ON t (a)'",
        "CREATE INDEX CONCURRENTLY",
        "CREATE INDEX CONCURRENTLY i",
        "CREATE INDEX CONCURRENTLY 1 ON t (a)",
        "CREATE INDEX CONCURRENTLY i ON",
        "CREATE INDEX CONCURRENTLY U& ON t",
        "CREATE INDEX CONCURRENTLY U&",
        'CREATE INDEX CONCURRENTLY U&"i" UESCAPE',
        "",
    ],
)
def test_all_else_costs_no_query(one_postgresql: Database, statement: str) -> None:
    engine = one_postgresql.engine(isolation_level="AUTOCOMMIT")
    sent: list[str] = []
    with engine.connect() as connection:
        event.listen(engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
        with guarded(connection, statement, print):
            pass
        assert sent == []
        connection.execute(text("SELECT 1"))
        assert sent == ["SELECT 1"]


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE index (i int)", "CREATE INDEX ON t (a)", "ALTER INDEX i RENAME TO j"]
)
def test_only_a_named_create_index_can_meet_an_invalid_one(one_postgresql: Database, statement: str) -> None:
    fails(one_postgresql, "could not create unique index", UNIQUE)
    assert ask(one_postgresql, statement) is None
    assert ask(one_postgresql, "CREATE INDEX IF NOT EXISTS i ON t (a)") == "i"


def test_a_table_that_is_not_there(one_postgresql: Database) -> None:
    assert ask(one_postgresql, "CREATE INDEX i ON nowhere (a)") is None
    with pytest.raises(DBAPIError, match='relation "nowhere" does not exist'):
        run(one_postgresql, "CREATE INDEX CONCURRENTLY ON nowhere (a)")
