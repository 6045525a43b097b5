"""What a file leaves in a PostgreSQL session, and that it is gone after `restore`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from fluxmig.dialects.postgresql_session import may_change, outlives, repeatable, restore, state
from fluxmig.dialects.psycopg_driver import unprepared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from tests.support import Database

CONTAINERS = False

AUTOCOMMIT = "AUTOCOMMIT"
READ_COMMITTED = "READ COMMITTED"


@pytest.fixture(params=[READ_COMMITTED, AUTOCOMMIT])
def connection(request: pytest.FixtureRequest, postgresql: Database) -> Iterator[Connection]:
    """A connection in a transaction, or in autocommit."""
    with postgresql.engine(isolation_level=request.param).connect() as connection:
        yield connection


@pytest.fixture
def transaction(postgresql: Database) -> Iterator[Connection]:
    """A connection in a transaction."""
    with postgresql.engine().connect() as connection:
        yield connection


@pytest.fixture
def roles(postgresql: Database) -> Iterator[tuple[str, str]]:
    """Two roles without rights, the second with a name to be quoted."""
    names = ("fluxmig_nobody", 'Fluxmig "No%Body')
    _drop_roles(postgresql)
    postgresql.rows(f'CREATE ROLE {names[0]}; CREATE ROLE "Fluxmig ""No%Body"')
    yield names
    _drop_roles(postgresql)


def _drop_roles(database: Database) -> None:
    database.rows('DROP ROLE IF EXISTS fluxmig_nobody; DROP ROLE IF EXISTS "Fluxmig ""No%Body"')


def send(connection: Connection, source: str) -> None:
    connection.exec_driver_sql(source, execution_options={"no_parameters": True}).close()


def rows(connection: Connection, query: str) -> list[tuple[object, ...]]:
    result = connection.exec_driver_sql(query, execution_options={"no_parameters": True})
    return [tuple(row) for row in result]


def scalar(connection: Connection, query: str) -> object:
    return rows(connection, query)[0][0]


def run_and_restore(connection: Connection, source: str) -> None:
    with unprepared(connection):  # as `transaction` and `autocommit` have it
        before = state(connection, source.encode())
        send(connection, source)
        restore(connection, before)


SESSION = """
SELECT 'setting ' || name, setting FROM pg_catalog.pg_settings WHERE source = 'session'
    AND name NOT IN ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable')
UNION ALL SELECT 'user', session_user || '/' || current_user || '/' || current_setting('role')
UNION ALL SELECT 'path', current_setting('search_path')
UNION ALL SELECT 'class ' || relname, '' FROM pg_catalog.pg_class WHERE relnamespace = pg_my_temp_schema()
UNION ALL SELECT 'type ' || typname, '' FROM pg_catalog.pg_type WHERE typnamespace = pg_my_temp_schema()
UNION ALL SELECT 'function ' || proname, '' FROM pg_catalog.pg_proc WHERE pronamespace = pg_my_temp_schema()
UNION ALL SELECT 'prepared ' || name, '' FROM pg_catalog.pg_prepared_statements WHERE from_sql
UNION ALL SELECT 'channel ' || c, '' FROM pg_listening_channels() AS c
UNION ALL SELECT 'cursor ' || name, '' FROM pg_catalog.pg_cursors WHERE name <> ''
"""


def session(connection: Connection) -> set[tuple[object, ...]]:
    """All that a session has, asked for at the start of a transaction, and not by the code under test."""
    connection.commit()
    return set(rows(connection, SESSION))


TEMPORARY = """CREATE TEMP TABLE "T%""x" (id serial, g integer GENERATED ALWAYS AS IDENTITY, t text UNIQUE);
    INSERT INTO "T%""x" (t) VALUES ('a');
    CREATE TEMP VIEW "V.1" AS SELECT * FROM "T%""x"; CREATE TEMP SEQUENCE ":s";
    CREATE DOMAIN pg_temp.positive AS integer CHECK (VALUE > 0);
    CREATE TYPE pg_temp.pair AS (a integer, b integer);
    CREATE TYPE pg_temp.span AS RANGE (subtype = integer); CREATE TYPE pg_temp.mood AS ENUM ('good');
    CREATE TEMP TABLE typed OF pg_temp.pair;
    CREATE TEMP TABLE whole (a integer) PARTITION BY LIST (a);
    CREATE TEMP TABLE part PARTITION OF whole FOR VALUES IN (1);
    CREATE FUNCTION pg_temp.f(x pg_temp.positive) RETURNS integer LANGUAGE sql AS 'SELECT 1';
    CREATE PROCEDURE pg_temp.p() LANGUAGE sql AS 'SELECT 1';
    CREATE AGGREGATE pg_temp.total(integer) (SFUNC = int4pl, STYPE = integer);
    CREATE OPERATOR pg_temp.@@@ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4pl);
    CREATE COLLATION pg_temp.c FROM "C"; CREATE TEXT SEARCH CONFIGURATION pg_temp.ts (COPY = simple)"""
"""One of everything that can be temporary."""

LEFT = {
    "settings": "SET work_mem = '77MB'; SET search_path = ''; SET DateStyle = 'SQL'; SET TIME ZONE 'Japan'",
    "set_config": "SELECT pg_catalog.set_config('search_path', '', false), set_config('work_mem', '70', 'f')",
    "block": "DO $$ BEGIN PERFORM set_config('work_mem', '70', false); EXECUTE 'SET ROLE pg_monitor'; END $$",
    "characteristics": "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY",
    "role": "SET ROLE pg_monitor",
    "authorization": "SET SESSION AUTHORIZATION fluxmig_nobody",
    "both": """SET SESSION AUTHORIZATION fluxmig_nobody; SET search_path = ''; SET "work_mem" = '1MB'""",
    "quoted role": """SET ROLE "Fluxmig ""No%Body\"""",
    "superuser's own": "SET dynamic_library_path = '/x'; SET lc_messages = 'C';"
    " SET SESSION AUTHORIZATION fluxmig_nobody",
    "temporary": TEMPORARY,
    "hides the catalog": "CREATE TEMP TABLE text (a integer); CREATE TEMP TABLE pg_settings (name integer);"
    " CREATE TEMP TABLE regclass (a integer)",
    "select into": "SELECT 1 AS a INTO TEMP t",
    "prepared": """PREPARE plan AS SELECT 1; PREPARE "P%""'.Q" (integer) AS SELECT $1""",
    "listen": 'LISTEN channel; LISTEN "Cha%n""n.el"',
    "cursor": """DECLARE "C%""u.r" CURSOR WITH HOLD FOR SELECT 1""",
}


@pytest.mark.parametrize("source", LEFT.values(), ids=LEFT.keys())
@pytest.mark.usefixtures("roles")
def test_nothing_is_left(connection: Connection, source: str) -> None:
    before = session(connection)
    run_and_restore(connection, source)
    assert session(connection) == before


@pytest.mark.parametrize("source", LEFT.values(), ids=LEFT.keys())
@pytest.mark.usefixtures("roles")
def test_each_leaves_something_and_is_known_to(connection: Connection, source: str) -> None:
    before = session(connection)
    send(connection, source)
    assert session(connection) != before
    assert may_change(source.encode())


OWN = """SET work_mem = '33MB'; SET application_name = 'o''wn "%s"'; SET app.tenant = 'o''wn %';
    SET "My.Name" = 'x'; SET search_path = 'own', "$user"; LISTEN own; PREPARE own AS SELECT 8;
    CREATE TEMP TABLE own AS SELECT 7 AS a; CREATE TEMP VIEW seen AS SELECT a FROM own;
    DECLARE own CURSOR WITH HOLD FOR SELECT generate_series(9, 10)"""
CHANGED = """SET work_mem = '1MB'; SET application_name = ''; SET app.tenant = 'other'; RESET "my.name";
    SET search_path = ''; SET app.other = 'x'; SELECT set_config('App.Third', 'y', false);
    UNLISTEN *; LISTEN other"""


@pytest.mark.parametrize("source", [*LEFT.values(), CHANGED], ids=[*LEFT.keys(), "settings of the caller"])
@pytest.mark.usefixtures("roles")
def test_what_is_the_callers_stays(connection: Connection, postgresql: Database, source: str) -> None:
    send(connection, OWN)
    before = session(connection)
    run_and_restore(connection, source)
    assert session(connection) == before
    assert scalar(connection, "SHOW work_mem") == "33MB"
    assert scalar(connection, "SHOW application_name") == 'o\'wn "%s"'
    assert scalar(connection, "SHOW app.tenant") == "o'wn %"
    assert scalar(connection, 'SHOW "My.Name"') == "x"
    assert scalar(connection, "SHOW search_path") == 'own, "$user"'
    assert scalar(connection, "SELECT a FROM seen") == 7
    assert scalar(connection, "EXECUTE own") == 8
    assert scalar(connection, "FETCH own") == 9
    assert not scalar(connection, "SELECT current_setting('app.other', true)")
    assert not scalar(connection, "SELECT current_setting('app.third', true)")
    connection.commit()
    assert heard(connection, postgresql) == ["own"]


def heard(connection: Connection, database: Database) -> list[str]:
    """On which of the channels of these tests the connection hears another's messages."""
    channels: list[str] = []
    driver: Any = connection.connection.driver_connection
    driver.add_notify_handler(lambda message: channels.append(message.channel))
    database.rows("NOTIFY own; NOTIFY other; NOTIFY channel")
    scalar(connection, "SELECT 1")
    connection.commit()
    return channels


def test_a_role_and_an_authorization_of_the_callers_stay(
    connection: Connection, roles: tuple[str, str]
) -> None:
    send(connection, f'GRANT {roles[0]} TO "Fluxmig ""No%Body"')
    send(connection, f'SET SESSION AUTHORIZATION "Fluxmig ""No%Body"; SET ROLE {roles[0]}')
    before = session(connection)
    run_and_restore(connection, "RESET SESSION AUTHORIZATION; SET ROLE pg_monitor; SET work_mem = '1MB'")
    assert session(connection) == before
    assert rows(connection, "SELECT session_user, current_user") == [(roles[1], roles[0])]


def test_what_lasts_for_the_transaction_does_not_reach_the_ledgers_row(
    transaction: Connection, postgresql: Database, roles: tuple[str, str]
) -> None:
    send(transaction, "CREATE TABLE ledger (who text DEFAULT current_user, path text)")
    before = session(transaction)
    user = scalar(transaction, "SELECT current_user")
    run_and_restore(
        transaction,
        "CREATE SCHEMA other; CREATE TABLE other.ledger (LIKE ledger);"
        " CREATE TEMP TABLE ledger (LIKE ledger) ON COMMIT DROP;"
        f" SET LOCAL work_mem = '1MB'; SET LOCAL app.x = '1'; SET LOCAL search_path = other;"
        f" SET LOCAL SESSION AUTHORIZATION {roles[0]}",
    )
    send(
        transaction,
        "INSERT INTO ledger (path) SELECT current_setting('search_path') || current_setting('app.x')",
    )
    assert scalar(transaction, "SHOW work_mem") == "4MB"
    assert session(transaction) == before
    assert postgresql.rows("SELECT who, path FROM public.ledger") == [(user, '"$user", public')]


def test_temp_buffers_is_given_back_though_it_cannot_be_set_any_more(connection: Connection) -> None:
    before = session(connection)
    run_and_restore(connection, "SET temp_buffers = '80MB'; CREATE TEMP TABLE t AS SELECT 1 AS a")
    assert session(connection) == before
    assert scalar(connection, "SHOW temp_buffers") == "8MB"


def test_a_cursor_of_the_transaction_does_not_keep_its_table(transaction: Connection) -> None:
    before = session(transaction)
    run_and_restore(
        transaction, "CREATE TEMP TABLE t AS SELECT 1; DECLARE c CURSOR FOR SELECT * FROM t; FETCH c"
    )
    assert rows(transaction, "SELECT name FROM pg_cursors WHERE name = 'c'") == []
    assert session(transaction) == before


DEFERRED = """CREATE TEMP TABLE p (id integer PRIMARY KEY);
    CREATE TEMP TABLE q (id integer CONSTRAINT "q%""p" REFERENCES p DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO q VALUES (1);"""


@pytest.mark.parametrize("own", ["SELECT 1", "CREATE TEMP TABLE own (id integer)"])
def test_a_check_that_the_commit_was_to_make_does_not_keep_its_table(
    transaction: Connection, own: str
) -> None:
    send(transaction, own)
    before = session(transaction)
    run_and_restore(transaction, f"{DEFERRED} INSERT INTO p VALUES (1)")
    assert session(transaction) == before
    with pytest.raises(DBAPIError, match='violates foreign key constraint "q%""p"'.replace('""', '"')):
        run_and_restore(transaction, DEFERRED)
    transaction.rollback()
    assert session(transaction) == before


def test_in_a_savepoint_of_the_callers_transaction(transaction: Connection) -> None:
    before = session(transaction)
    for source in ("temporary", "settings", "prepared", "listen"):
        with transaction.begin_nested():
            run_and_restore(transaction, LEFT[source])
    assert session(transaction) == before


def test_after_a_rollback_what_was_prepared_is_gone(transaction: Connection) -> None:
    before = state(transaction)
    with pytest.raises(DBAPIError, match="division by zero"):
        send(transaction, "PREPARE stays AS SELECT 1; SELECT 1 / 0")
    transaction.rollback()
    assert ("prepared stays", "") in session(transaction)
    restore(transaction, before)
    assert rows(transaction, "SELECT name FROM pg_prepared_statements WHERE from_sql") == []


def of_the_driver(connection: Connection) -> list[tuple[object, ...]]:
    """What the driver has prepared, once it has done so."""
    query = "SELECT name FROM pg_prepared_statements WHERE NOT from_sql ORDER BY name"
    for _ in range(10):
        state(connection)
        found = rows(connection, query)
    assert found
    return found


def test_the_drivers_prepared_statements_stay(connection: Connection) -> None:
    before = of_the_driver(connection)
    run_and_restore(connection, "PREPARE plan AS SELECT 1")
    assert of_the_driver(connection) == before


@pytest.mark.parametrize("source", ["DEALLOCATE ALL", "DEALLOCATE ALL; SET work_mem = '1MB'"])
def test_the_driver_bears_the_loss_of_its_prepared_statements(connection: Connection, source: str) -> None:
    before = session(connection)
    of_the_driver(connection)
    run_and_restore(connection, source)
    assert session(connection) == before


def test_discard_all(postgresql: Database) -> None:
    with postgresql.engine(isolation_level=AUTOCOMMIT).connect() as connection:
        send(connection, "SET work_mem = '33MB'; SET app.tenant = 'own'; LISTEN own")
        for _ in range(10):
            state(connection)
        before = session(connection)
        # The setting with a dot is named, so that it is part of the state.
        source = "SET app.tenant = 'other';"
        with unprepared(connection):
            taken = state(connection, source.encode())
            send(connection, source)
            send(connection, "DISCARD ALL")
            restore(connection, taken)
        assert session(connection) == before
        assert scalar(connection, "SHOW app.tenant") == "own"


def test_transaction_timeout_is_a_setting_like_others(connection: Connection) -> None:
    if (connection.dialect.server_version_info or ()) < (17,):
        pytest.skip("transaction_timeout came with PostgreSQL 17")
    run_and_restore(connection, "SET transaction_timeout = '77min'")
    connection.commit()
    assert scalar(connection, "SHOW transaction_timeout") == "0"


def test_without_a_difference_it_costs_a_query_and_a_command(connection: Connection) -> None:
    sent: list[str] = []
    event.listen(connection, "before_cursor_execute", lambda *args: sent.append(args[2]))
    before = state(connection)
    assert len(sent) == 1
    restore(connection, before)
    assert sent[2:] == ["UNLISTEN *"]


# --- by the text ------------------------------------------------------------------------------------------

CHANGES = [
    "SET x = 1",
    "set\tx to 1",
    "SELECT 1;SET ROLE a",
    "/**/SET/**/ROLE a",
    "-- make an update\nSET ROLE a",
    "-- update t\n  SET ROLE a",
    "-- do update t\r SET ROLE a",
    "UPDATE t SET a = 1;\nSET ROLE a",
    "SET nullable.x = 1",
    "SET null$x.y = 1",
    "SET default_tablespace = ''",
    "SET data.x = 1",
    "DO $$ BEGIN SET x = 1; END $$",
    "DO $$BEGIN EXECUTE E'SELECT 1;\\nSET ROLE a'; END$$",
    "DO 'BEGIN SET ROLE a; END'",
    "DO $x$SET$x$",
    "RESET ALL",
    "SELECT pg_catalog.set_config('a', 'b', false)",
    'SELECT pg_catalog."set_config"($$a$$, $$b$$, false)',
    "PREPARE p AS SELECT 1",
    "LISTEN c",
    "UNLISTEN c",
    "LOAD 'plpgsql'",
    "DISCARD TEMP",
    "DEALLOCATE ALL",
    "CREATE TEMP TABLE t (a integer)",
    "CREATE TEMPORARY VIEW v AS SELECT 1",
    "CREATE TABLE pg_temp.t (a integer)",
    "CREATE TABLE pg_temp_3.t (a integer)",
    "SELECT 1 INTO TEMP t",
    "DECLARE c CURSOR FOR SELECT 1",
    "DO $$DECLARE c refcursor; BEGIN OPEN c FOR SELECT 1; END$$",
    "SELECT 1;" * 10_000,
]
CHANGES_NOT = [
    "",
    "CREATE TABLE t (a integer, b text DEFAULT 'x')",
    "UPDATE t SET a = 1",
    "UPDATE t\nSET a = 1",
    '  update only "a"."t" as x\r\n  set a = 1',
    "UPDATE public.t x SET a = 1",
    "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2",
    "INSERT INTO t VALUES (1) ON CONFLICT (a)\nDO UPDATE\nSET a = 2",
    "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES c ON DELETE SET NULL ON UPDATE SET DEFAULT",
    "ALTER TABLE t ALTER a SET NOT NULL, ALTER b SET DEFAULT 1, ALTER c SET DATA TYPE text",
    "ALTER INDEX i SET (fillfactor = 70); ALTER INDEX i RESET (fillfactor)",
    "CREATE TABLE offset_settings (preset text, reset_at date, loaded date, temperature real, data_set text)",
]


@pytest.mark.parametrize("source", CHANGES)
def test_a_change_is_not_missed(source: str) -> None:
    assert may_change(source.encode())


@pytest.mark.parametrize("source", CHANGES_NOT)
def test_no_false_alarm(source: str) -> None:
    assert not may_change(source.encode())


REPEATABLE = [
    ("SET x = 1", True),
    ("SET SESSION x = 1", True),
    ("SET ROLE a", True),
    ("SET SESSION AUTHORIZATION DEFAULT", True),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", True),
    ("SET TIME ZONE 'UTC'", True),
    ("SET transaction_timeout = 0", True),
    ("-- a\n/* b */ set search_path = x", True),
    ("RESET ALL", True),
    ("SELECT set_config('a', 'b', false)", True),
    ("SELECT pg_catalog.set_config('search_path', '', false);", True),
    ("select /* a */ PG_CATALOG . SET_CONFIG('it''s', 'x', 'f')", True),
    ("PREPARE p AS SELECT 1", True),
    ("PREPARE transaction AS SELECT 1", True),
    ("DEALLOCATE p", True),
    ("LISTEN c", True),
    ("UNLISTEN *", True),
    ("LOAD 'plpgsql'", True),
    ("DISCARD TEMP", True),
    ("SELECT set_config('a', nextval('s')::text, false)", None),
    ("SELECT set_config('a', 'b', false), nextval('s')", None),
    ("SELECT set_config('a', 'b', false) FROM t", None),
    ("INSERT INTO t SELECT set_config('a', 'b', false)", None),
    ("CREATE TEMP TABLE t (a integer)", None),
    ("CREATE TEMPORARY SEQUENCE s", None),
    ("CREATE LOCAL TEMP TABLE t (a integer)", None),
    ("CREATE GLOBAL TEMPORARY TABLE t (a integer)", None),
    ("CREATE OR REPLACE TEMP VIEW v AS SELECT 1", None),
    ("CREATE TABLE IF NOT EXISTS pg_temp.t (a integer)", None),
    ('CREATE TABLE "pg_temp" . t (a integer)', None),
    ("CREATE FUNCTION pg_temp.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'", None),
    ("SELECT 1 AS a INTO TEMP t", None),
    ("SELECT 1 AS a INTO TEMPORARY TABLE t", None),
    ("SELECT 1 AS a INTO pg_temp.t", None),
    ("WITH a AS (SELECT 1) SELECT * INTO TEMP t FROM a", None),
    ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", None),
    ("DECLARE c INSENSITIVE NO SCROLL CURSOR WITH HOLD FOR SELECT 1", None),
    ("DO $$ BEGIN PERFORM set_config('a', 'b', false); END $$", None),
    ("DO $$ BEGIN CREATE TEMP TABLE t (); END $$", None),
    ("", False),
    ("SET LOCAL x = 1", False),
    ("SET CONSTRAINTS ALL DEFERRED", False),
    ("SET TRANSACTION READ ONLY", False),
    ("PREPARE TRANSACTION 'x'", False),
    ("DECLARE c CURSOR FOR SELECT 1", False),
    ("DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1 AS hold", False),
    ("DO $$ DECLARE c refcursor; BEGIN UPDATE t SET a = 1; END $$", False),
    ("UPDATE t SET a = 1", False),
    ("INSERT INTO temp VALUES (1)", False),
    ("WITH a AS (INSERT INTO temp VALUES (1) RETURNING a) SELECT * FROM a", False),
    ("SELECT 'INTO TEMP t'", False),
    ("CREATE TABLE temp (a integer)", False),
    ("CREATE TABLE local (a integer)", False),
    (
        "CREATE FUNCTION f() RETURNS integer SET search_path = public, pg_temp LANGUAGE sql AS 'SELECT 1'",
        False,
    ),
    ("CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT set_config('a', 'b', false) $$", False),
    ("COMMENT ON TABLE t IS 'pg_temp.t, set_config'", False),
    ("ALTER ROLE a SET search_path = b", False),
]


@pytest.mark.parametrize(("statement", "answer"), REPEATABLE)
def test_repeatable(statement: str, *, answer: bool | None) -> None:
    assert repeatable(statement) is answer
    assert outlives(statement) is (answer is not False)
