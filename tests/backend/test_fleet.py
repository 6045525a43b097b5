"""Many databases at once: what becomes of each, and that none is in another's way."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Table, create_engine, event, make_url
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable

from fluxmig import Migrator, OnDuplicate, fleet, layouts
from fluxmig.errors import ConfigError, DatabaseConnectionError, MigrationFileError
from fluxmig.fleet import Manner, Pace, Share, Target, TargetState, compiled
from fluxmig.fleet.state import _METADATA, opened
from tests.faults.support import until
from tests.support import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fluxmig.fleet import FleetReport, Result
    from fluxmig.layouts.numbered import Folder
    from tests.support import Servers, Write

    Databases = Callable[[int], list[Database]]

ONE = {"001_a.sql": "CREATE TABLE a (id integer);"}
TWO = {**ONE, "002_b.sql": "CREATE TABLE b (id integer);"}


@pytest.fixture
def databases(servers: Servers) -> Iterator[Databases]:
    """Makes fresh databases on the embedded PostgreSQL."""
    with ExitStack() as stack:
        server = servers.get("postgresql-18")
        yield lambda count: [stack.enter_context(server.database()) for _ in range(count)]


@pytest.fixture
def files(tmp_path: Path) -> Callable[[int], list[Database]]:
    """Makes fresh SQLite files."""
    return lambda count: [Database("sqlite", f"sqlite:///{tmp_path}/{number}.db") for number in range(count)]


def targets(databases: list[Database]) -> list[Target]:
    """`t0`, `t1` and so on."""
    return [Target(f"t{number}", each.url, group="here") for number, each in enumerate(databases)]


def states(report: FleetReport) -> list[str]:
    return [result.state.value for result in report.results]


# --- a run ------------------------------------------------------------------------------------------------


def test_each_one_is_migrated(databases: Databases, files: Databases, folder: Path, write: Write) -> None:
    write(TWO)
    all_of_them = [*databases(2), *files(2)]
    report = fleet.run(targets(all_of_them), folder)
    assert states(report) == ["done"] * 4
    assert [result.applied for result in report.results] == [("001_a.sql", "002_b.sql")] * 4
    assert (report.exit_code, report.stopped, report.run) == (0, None, None)
    for each in all_of_them:
        assert {"a", "b", "schema_migrations", "schema_migrations_log"} <= each.tables()
    again = fleet.run(targets(all_of_them), folder)
    assert [result.applied for result in again.results] == [()] * 4


def test_one_that_fails_is_a_row(databases: Databases, folder: Path, write: Write) -> None:
    write({"001_a.sql": "SELECT 1;", "002_b.sql": "INSERT INTO here VALUES (1);"})
    good, bad = databases(2)
    good.rows("CREATE TABLE here (id integer)")
    report = fleet.run(targets([bad, good]), folder)
    failed, done = report.results
    assert (failed.state, failed.applied, failed.pending) == (TargetState.FAILED, ("001_a.sql",), 1)
    assert failed.message == f'{folder}/002_b.sql:1:13: relation "here" does not exist [42P01]'
    assert failed.detail
    assert failed.detail.startswith(f"{failed.message}\n")
    assert (done.state, done.applied) == (TargetState.DONE, ("001_a.sql", "002_b.sql"))
    assert (report.exit_code, report.counts) == (1, {TargetState.DONE: 1, TargetState.FAILED: 1})


def test_one_that_marks_says_so(files: Databases, folder: Path, write: Write) -> None:
    write(ONE)
    (database,) = files(1)
    database.rows("CREATE TABLE a (id integer)")
    (result,) = fleet.run(targets([database]), folder).results
    assert (result.state, result.applied, result.marked) == (TargetState.DONE, ("001_a.sql",), ("001_a.sql",))


def test_up_to_a_migration(files: Databases, folder: Path, write: Write) -> None:
    write(TWO)
    (result,) = fleet.run(targets(files(1)), folder, manner=Manner(to="1")).results
    assert (result.state, result.applied, result.pending) == (TargetState.DONE, ("001_a.sql",), 1)


def test_what_is_refused(files: Databases, folder: Path, write: Write) -> None:
    write(ONE)
    found = targets(files(1))
    fleet.run(found, folder)
    write({"001_a.sql": "CREATE TABLE a (id bigint);"})
    (result,) = fleet.run(found, folder, manner=Manner(strict=True)).results
    assert (result.state, result.exit_code) == (TargetState.REFUSED, 4)
    assert result.message == "changed since it was applied: 001_a.sql"


def test_an_unreachable_one_is_tried_again_at_the_end(files: Databases, folder: Path, write: Write) -> None:
    write(ONE)
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
    absent = Target("absent", f"postgresql://u:secret@127.0.0.1:{port}/x")
    ended: list[Result] = []
    report = fleet.run([absent, *targets(files(2))], folder, on_result=ended.append)
    assert [result.name for result in ended][-1] == "absent"
    (result, *_) = report.results
    assert (result.state, result.tries, result.exit_code) == (TargetState.UNREACHABLE, 2, 6)
    assert result.message == f"cannot connect to PostgreSQL at 127.0.0.1:{port}: Connection refused"


def test_no_password_is_in_a_result(folder: Path, write: Write, one_postgresql: Database) -> None:
    write(ONE)
    url = make_url(one_postgresql.url).set(username="nobody", password="secret-pw")
    for raw in (url.render_as_string(hide_password=False), "postgresql://u:secret-pw@/x?nonsense=secret-pw"):
        (result,) = fleet.run([Target("t", raw)], folder, pace=Pace(tries=1)).results
        assert result.exit_code in {2, 6}
        assert "secret-pw" not in repr(result)


def test_the_files_are_read_and_made_ready_once(
    files: Databases, folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(ONE)
    read: list[Path] = []
    numbered = layouts.LAYOUTS["numbered"]

    def counting(path: Path) -> Folder:
        read.append(path)
        return numbered(path)

    monkeypatch.setitem(layouts.LAYOUTS, "numbered", counting)
    fleet.run(targets(files(5)), folder)
    assert read == [folder]


def test_a_folder_that_cannot_be_read_is_an_error(files: Databases, folder: Path, write: Write) -> None:
    write({"001_a.sql": b"\xff"})
    with pytest.raises(MigrationFileError):
        fleet.run(targets(files(1)), folder)


def test_the_same_target_twice_is_an_error(files: Databases, folder: Path, write: Write) -> None:
    write(ONE)
    (one,) = targets(files(1))
    with pytest.raises(ConfigError, match=r"^the name t0 is given twice: t0 and t0"):
        fleet.run(lambda: [one, Target("t0", "sqlite:///x")], folder)


def test_canaries_and_waves(files: Databases, folder: Path, write: Write) -> None:
    write(ONE)
    made = files(10)
    made[3].rows("CREATE TABLE a (id integer)")
    ended: list[str] = []
    report = fleet.run(
        targets(made),
        folder,
        pace=Pace(canary=1, waves=(Share(50, is_percentage=True), Share(100, is_percentage=True))),
        manner=Manner(on_duplicate=OnDuplicate.FAIL),
        on_wave=lambda wave: ended.append(wave.name),
    )
    assert ended == ["canary", "wave 1 of 2, 50%"]
    assert states(report) == ["done"] * 3 + ["failed"] + ["done"] + ["waiting"] * 5
    assert report.stopped == "1 of 4 targets failed in wave 1 of 2, 50%"


# --- others in the way ------------------------------------------------------------------------------------


def lock_of(database: Database) -> str:
    """SQL that takes the runner's lock of a database's ledger, by what fluxmig itself would send."""
    migrator = Migrator(database.engine(), "nowhere")
    with database.engine().connect() as connection:
        dialect = migrator._dialect.met(connection)
        return dialect.claim_sql("fluxmig:public.schema_migrations", session=True)


def test_a_busy_one_holds_up_no_other(databases: Databases, folder: Path, write: Write) -> None:
    write(ONE)
    busy, *others = databases(3)
    ended: list[str] = []
    holder = busy.engine().connect()
    holder.exec_driver_sql(lock_of(busy))

    def on_result(result: Result) -> None:
        ended.append(result.name)
        if len(ended) == 2:
            holder.close()
            holder.engine.dispose()

    report = fleet.run(targets([busy, *others]), folder, pace=Pace(parallel=1), on_result=on_result)
    assert ended == ["t1", "t2", "t0"]
    assert states(report) == ["done"] * 3
    assert report.results[0].tries > 1


def test_one_that_stays_busy(databases: Databases, folder: Path, write: Write) -> None:
    write(ONE)
    (busy,) = databases(1)
    with busy.engine().connect() as holder:
        holder.exec_driver_sql(lock_of(busy))
        (result,) = fleet.run(targets([busy]), folder, manner=Manner(wait_lock_s=0)).results
    assert (result.state, result.exit_code) == (TargetState.BUSY, 5)
    assert result.message
    assert result.message.startswith("another runner holds the lock: process ")


def test_another_fleet_is_first_with_each_table_of_the_state(tmp_path: Path) -> None:
    place = tmp_path / "state.sqlite"
    other = create_engine(f"sqlite:///{place}", poolclass=NullPool)
    first: list[str] = []

    def make(table: Table, *_: object, **__: object) -> None:
        with other.begin() as connection:
            connection.execute(CreateTable(table))
        first.append(table.name)

    tables = _METADATA.sorted_tables
    try:
        for table in tables:
            event.listen(table, "before_create", make)
        with opened(place) as state:
            assert state.begin("digest", [])
    finally:
        for table in tables:
            event.remove(table, "before_create", make)
    assert sorted(first) == ["fluxmig_fleet_results", "fluxmig_fleet_runs"]


def test_two_fleets_at_once(databases: Databases, folder: Path, write: Write, tmp_path: Path) -> None:
    write(TWO)
    made = databases(4)
    reports: list[FleetReport] = []

    def run() -> None:
        reports.append(fleet.run(targets(made), folder, state=tmp_path / "state.sqlite"))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [states(report) for report in reports] == [["done"] * 4] * 2
    applied = sorted(name for report in reports for result in report.results for name in result.applied)
    assert applied == ["001_a.sql"] * 4 + ["002_b.sql"] * 4
    for each in made:
        assert each.log() == [("applied", "001_a.sql"), ("applied", "002_b.sql")]


def test_one_that_takes_too_long(databases: Databases, folder: Path, write: Write) -> None:
    write({**ONE, "002_b.sql": "CREATE TABLE b (id integer); SELECT pg_sleep(300);"})
    (slow,) = databases(1)
    fleet.run(targets([slow]), folder, manner=Manner(to="1"))
    (late,) = fleet.run(targets([slow]), folder, pace=Pace(timeout_s=1)).results
    assert (late.state, late.applied, late.exit_code) == (TargetState.TIMED_OUT, (), 6)
    assert late.message
    assert late.message.startswith("not done in 1 s (--timeout): ")
    assert slow.tables() == {"a", "schema_migrations", "schema_migrations_log"}
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%300%' AND pid <> pg_backend_pid()"
    until(lambda: slow.scalar(running) == 0, "the server goes on")


def test_mariadb_is_asked_to_end_it(mariadb: Database, folder: Path, write: Write) -> None:
    """It does not miss who waits for a statement, and would keep the lock for as long as that takes.

    On MySQL a SLEEP that stands alone does not fail then, but gives 1 (14.24, "Miscellaneous Functions").
    """
    write({**ONE, "002_b.sql": "INSERT INTO a VALUES (1); SELECT id FROM a WHERE SLEEP(300);"})
    fleet.run(targets([mariadb]), folder, manner=Manner(to="1"))
    (late,) = fleet.run(targets([mariadb]), folder, pace=Pace(timeout_s=2)).results
    assert (late.state, late.applied, late.exit_code) == (TargetState.TIMED_OUT, (), 6)
    assert late.message
    assert late.message.startswith("not done in 2 s (--timeout)")
    running = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT id%SLEEP(300)'"
    until(lambda: mariadb.scalar(running) == 0, "the server goes on")
    write({"002_b.sql": "INSERT INTO a VALUES (2);"})
    (done,) = fleet.run(targets([mariadb]), folder, manner=Manner(wait_lock_s=0)).results
    assert (done.state, done.applied) == (TargetState.DONE, ("002_b.sql",))
    assert mariadb.rows("SELECT id FROM a") == [(2,)]


def test_sqlite_is_ended_too(files: Databases, folder: Path, write: Write) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;"
    write({"001_a.sql": endless})
    (result,) = fleet.run(targets(files(1)), folder, pace=Pace(timeout_s=0.3)).results
    assert (result.state, result.applied) == (TargetState.TIMED_OUT, ())


def test_a_server_that_never_answers(folder: Path, write: Write) -> None:
    write(ONE)
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        hole = Target("hole", f"postgresql://u@127.0.0.1:{port}/x")
        (result,) = fleet.run([hole], folder, pace=Pace(timeout_s=1, tries=1)).results
    assert result.state in {TargetState.TIMED_OUT, TargetState.UNREACHABLE}
    assert result.exit_code == 6


# --- schemas ----------------------------------------------------------------------------------------------


def test_schemas_of_one_database(postgresql: Database, folder: Path, write: Write) -> None:
    write(
        {
            "001_a.sql": "CREATE TABLE a (id integer);",
            "002_b.sql": "SET search_path = public; SELECT 1;",
            "003_c.sql": "RESET ALL; INSERT INTO a VALUES (1);",
        }
    )
    for name in ("tenant_1", 'tenant_"x y', "tenant_50%", "other"):
        postgresql.rows(f"CREATE SCHEMA {postgresql.quoted(name.replace(chr(34), chr(34) * 2))}")
    found = fleet.from_schemas(postgresql.url, r"tenant\_%")
    names = ['tenant_"x y', "tenant_1", "tenant_50%"]
    assert [each.schema for each in found] == names
    report = fleet.run(found, folder)
    assert states(report) == ["done"] * 3, report.results
    tables = (
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname !~ '^(pg_|information)' ORDER BY 1, 2"
    )
    own = ("a", "schema_migrations", "schema_migrations_log")
    expected = [(name, table) for name in names for table in own]
    assert sorted(postgresql.rows(tables)) == sorted(expected)
    assert postgresql.scalar("SELECT count(*) FROM tenant_1.a") == 1
    for status in fleet.status(found, folder).results:
        assert (status.state, status.at) == (TargetState.DONE, "003_c.sql")


def test_what_is_asked_of_a_ledger_is_made_once_for_all_schemas(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    write(ONE)
    for name in ("t1", "t2"):
        one_postgresql.rows(f"CREATE SCHEMA {name}")
    one, other = fleet.from_schemas(one_postgresql.url, "t_")
    fleet.run([one, other], folder)
    compiled._COMPILED._kept.clear()
    assert states(fleet.status([one], folder)) == ["done"]
    made = dict(compiled._COMPILED._kept)
    assert states(fleet.status([other], folder)) == ["done"]
    assert made
    assert compiled._COMPILED._kept == made


def test_a_schema_sees_no_other_one_unless_it_is_shared(
    one_postgresql: Database, folder: Path, write: Write
) -> None:
    one_postgresql.rows("CREATE SCHEMA t1")
    one_postgresql.rows("CREATE DOMAIN public.word AS text")
    write({"001_a.sql": "CREATE TABLE a (w word);"})
    (alone,) = fleet.run(fleet.from_schemas(one_postgresql.url, "t_"), folder).results
    assert (alone.state, alone.message) == (
        TargetState.FAILED,
        f'{folder}/001_a.sql:1:19: type "word" does not exist [42704]',
    )
    (beside,) = fleet.run(fleet.from_schemas(one_postgresql.url, "t_", shared=["public"]), folder).results
    assert (beside.state, beside.applied) == (TargetState.DONE, ("001_a.sql",))


def test_no_such_schema(one_postgresql: Database) -> None:
    with pytest.raises(ConfigError, match=r"^no schema is like nobody_%"):
        fleet.from_schemas(one_postgresql.url, "nobody_%")


def test_schemas_of_mariadb_are_databases(mariadb: Database, folder: Path, write: Write) -> None:
    write(ONE)
    name = str(make_url(mariadb.url).database)
    (target,) = fleet.from_schemas(mariadb.url, name.replace("_", r"\_"))
    (result,) = fleet.run([target], folder).results
    assert (target.schema, result.state) == (name, TargetState.DONE)
    assert mariadb.tables() == {"a", "schema_migrations", "schema_migrations_log"}


def test_sqlite_has_no_schemas_for_sessions(files: Databases, folder: Path, write: Write) -> None:
    write(ONE)
    (database,) = files(1)
    (result,) = fleet.run([Target("t", database.url, schema="main")], folder).results
    assert (result.state, result.exit_code) == (TargetState.REFUSED, 2)
    assert result.message == "sessions of sqlite cannot be put into a schema"


# --- where targets come from ------------------------------------------------------------------------------


def test_a_query_on_a_control_database(databases: Databases, folder: Path, write: Write) -> None:
    write(ONE)
    control, *tenants = databases(3)
    control.rows("CREATE TABLE tenants (name text, url text, tier text)")
    for number, each in enumerate(tenants):
        control.rows(f"INSERT INTO tenants VALUES ('t{number}', '{each.url}', 'gold')")
    query = "SELECT name, url, tier FROM tenants WHERE tier = 'gold' ORDER BY name"
    found = fleet.from_query(control.url, query)
    assert [(each.name, each.labels, each.place) for each in found] == [
        ("t0", {"tier": "gold"}, "--targets-sql, row 1"),
        ("t1", {"tier": "gold"}, "--targets-sql, row 2"),
    ]
    assert states(fleet.run(found, folder)) == ["done", "done"]


def test_names_are_databases_where_the_control_database_is(databases: Databases, folder: Path) -> None:
    control, tenant = databases(2)
    name = make_url(tenant.url).database
    (target,) = fleet.from_query(control.url, f"SELECT '{name}' AS database")
    assert make_url(target.url).database == name
    assert fleet.status([target], folder).exit_code == 0


def test_a_query_only_reads(one_postgresql: Database) -> None:
    with pytest.raises(
        ConfigError, match=r"^--targets-sql: cannot execute CREATE TABLE in a read-only transaction"
    ):
        fleet.from_query(one_postgresql.url, "CREATE TABLE x ()")


def test_a_file(tmp_path: Path, folder: Path, write: Write) -> None:
    write(ONE)
    path = tmp_path / "targets.txt"
    path.write_bytes(f"\ufeffacme ${{ACME}} tier=gold\nsqlite:///{tmp_path}/b.db\n".encode())
    environ = {"ACME": f"sqlite:///{tmp_path}/a.db"}
    found = fleet.from_file(path, environ=environ)
    assert [(each.name, each.url) for each in found] == [
        ("acme", "${ACME}"),
        (f"{tmp_path}/b.db", f"sqlite:///{tmp_path}/b.db"),
    ]
    assert states(fleet.run(found, folder, environ=environ)) == ["done", "done"]
    (unset, _) = fleet.run(found, folder).results
    assert (unset.state, unset.message) == (
        TargetState.REFUSED,
        f"{path}:1: the variable ACME is not set",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff", "not UTF-8"),
        (b"# acme sqlite:///x\n\n", "no target is named there"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "targets.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        fleet.from_file(path)
    assert caught.value.message == f"{path}: {message}"


# --- a status ---------------------------------------------------------------------------------------------


def test_a_status_tells_who_is_where(
    databases: Databases, files: Databases, folder: Path, write: Write
) -> None:
    write(TWO)
    made = [*databases(2), *files(2)]
    found = targets(made)
    fleet.run([found[0], found[2]], folder)
    fleet.run([found[1]], folder, manner=Manner(to="1"))
    write({"001_a.sql": "CREATE TABLE a (id bigint);"})
    report = fleet.status(found, folder)
    assert states(report) == ["done", "pending", "done", "pending"]
    assert [(result.at, result.pending) for result in report.results] == [
        ("002_b.sql", 0),
        ("001_a.sql", 1),
        ("002_b.sql", 0),
        (None, 2),
    ]
    assert [dict(result.conditions) for result in report.results] == [{"modified": 1}] * 3 + [{}]
    assert report.results[0].fingerprint == report.results[2].fingerprint
    assert len({result.fingerprint for result in report.results}) == 3
    assert (report.exit_code, made[3].tables()) == (0, set())


# --- a rehearsal ------------------------------------------------------------------------------------------


def test_one_rehearsal_for_each_state(databases: Databases, folder: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    done, same, behind, odd = databases(4)
    found = targets([done, same, behind, odd])
    fleet.run(found[:2], folder)
    odd.rows("CREATE TABLE extra (id integer)")
    write({"002_b.sql": "ALTER TABLE a ADD COLUMN b text NOT NULL DEFAULT gen_random_uuid();"})
    absent = Target("absent", "postgresql://u@127.0.0.1:1/x")
    report = fleet.status([*found, absent], folder, pace=Pace(tries=1))
    ahead, others = fleet.rehearse(found, report, folder, source=done.url, denied=["rewrite"])
    assert (ahead.names, ahead.at, ahead.pending) == (("t0", "t1"), "001_a.sql", 1)
    assert (others.names, others.at, others.pending) == (("t2", "t3"), None, 2)
    assert ahead.rehearsal
    assert [finding.name for finding in ahead.rehearsal.denied] == ["rewrite"]
    assert (ahead.exit_code, others.exit_code) == (1, 1)  # of a table that another file has made, too
    assert [each.tables() for each in (done, behind)] == [
        {"a", "schema_migrations", "schema_migrations_log"},
        set(),
    ]


def test_a_rehearsal_for_each_kind_of_database(
    one_postgresql: Database, sqlite: Database, folder: Path, write: Write
) -> None:
    """Their ledgers say the same, and what one takes, the other does not."""
    write(
        {
            "001_a.sql": "CREATE TABLE a (id integer);",
            "002_b.sql": "ALTER TABLE a ALTER COLUMN id TYPE bigint;",
        }
    )
    found = targets([one_postgresql, sqlite])
    report = fleet.run(found, folder, manner=Manner(to="1"))
    assert states(report) == ["done", "done"]
    rehearsed = list(fleet.rehearse(found, fleet.status(found, folder), folder))
    assert [(each.names, each.at, each.exit_code) for each in rehearsed] == [
        (("t0",), "001_a.sql", 0),
        (("t1",), "001_a.sql", 1),
    ]


def test_a_rehearsal_of_a_schema(one_postgresql: Database, folder: Path, write: Write) -> None:
    write(ONE)
    one_postgresql.rows("CREATE SCHEMA t1")
    found = fleet.from_schemas(one_postgresql.url, "t1")
    fleet.run(found, folder)
    write({"002_b.sql": "ALTER TABLE a ADD COLUMN b integer;", "003_c.sql": "SELECT nothing();"})
    (state,) = fleet.rehearse(found, fleet.status(found, folder), folder, source=one_postgresql.url)
    assert state.rehearsal
    assert [file.name for file in state.rehearsal.files] == ["002_b.sql", "003_c.sql"]
    assert [file.name for file in state.rehearsal.failed] == ["003_c.sql"]
    assert (state.exit_code, one_postgresql.scalar("SELECT count(*) FROM t1.schema_migrations")) == (1, 1)


def test_a_state_that_cannot_be_copied(databases: Databases, folder: Path, write: Write) -> None:
    write(ONE)
    (database,) = databases(1)
    found = targets([database])
    report = fleet.status(found, folder)
    (state,) = fleet.rehearse(found, report, folder, source="nowhere")
    assert (state.rehearsal, state.exit_code) == (None, 2)
    assert state.message


# --- the state --------------------------------------------------------------------------------------------


def test_the_state_is_read_while_a_run_goes_on(
    files: Databases, folder: Path, write: Write, tmp_path: Path
) -> None:
    write(ONE)
    place = tmp_path / "state.sqlite"
    seen: list[dict[str, int]] = []

    def on_result(_: Result) -> None:
        with opened(place) as state:
            report = state.report()
        seen.append({state.value: number for state, number in report.counts.items()})
        assert report.ended_at is None

    fleet.run(targets(files(3)), folder, pace=Pace(parallel=1), state=place, on_result=on_result)
    assert seen == [
        {"running": 1, "waiting": 2},
        {"done": 1, "running": 1, "waiting": 1},
        {"done": 2, "running": 1},
    ]
    with opened(place) as state:
        report = state.report()
    assert (states(report), report.stopped, report.ended_at is not None) == (["done"] * 3, None, True)
    assert report.results[0].applied == ("001_a.sql",)


@pytest.mark.parametrize("kind", ["file", "control database"])
def test_a_run_that_resumes(
    kind: str, files: Databases, folder: Path, write: Write, tmp_path: Path, one_postgresql: Database
) -> None:
    place = str(tmp_path / "state.sqlite") if kind == "file" else one_postgresql.url
    write(ONE)
    made = files(3)
    made[1].rows("CREATE TABLE a (id integer)")
    strict = Manner(on_duplicate=OnDuplicate.FAIL)
    first = fleet.run(
        targets(made), folder, state=place, manner=strict, pace=Pace(parallel=1, max_failures=Share(0))
    )
    assert states(first) == ["done", "failed", "waiting"]
    made[1].rows("DROP TABLE a")
    tried: list[str] = []
    second = fleet.run(
        targets(made),
        folder,
        state=place,
        manner=strict,
        resume=True,
        on_result=lambda each: tried.append(each.name),
    )
    assert (sorted(tried), states(second)) == (["t1", "t2"], ["done"] * 3)
    assert [result.wave for result in second.results] == ["before", "all", "all"]
    with opened(place) as state:
        assert states(state.report()) == ["done"] * 3
        assert states(state.report(first.run)) == ["done", "failed", "waiting"]
        with pytest.raises(ConfigError, match=r" has no run nonsense\n"):
            state.report("nonsense")
    write({"002_b.sql": "CREATE TABLE b (id integer);"})
    third = fleet.run(targets(made), folder, state=place, resume=True)
    assert [result.applied for result in third.results] == [("002_b.sql",)] * 3


def test_canaries_of_a_run_that_resumes(files: Databases, folder: Path, write: Write, tmp_path: Path) -> None:
    """Those that are done are none any more; a name that nobody has is an error all the same."""
    write(ONE)
    found, place = targets(files(3)), tmp_path / "state.sqlite"
    fleet.run(found[:1], folder, state=place)
    with pytest.raises(ConfigError, match=r"^no target has the name t9, which is to be a canary"):
        fleet.run(found, folder, state=place, resume=True, pace=Pace(canary=("t0", "t9")))
    waves: list[str] = []
    report = fleet.run(
        found,
        folder,
        state=place,
        resume=True,
        pace=Pace(canary=("t0", "t1")),
        on_wave=lambda wave: waves.append(f"{wave.name}: {' '.join(each.name for each in wave.targets)}"),
    )
    assert (waves, states(report)) == (["canary: t1", "all: t2"], ["done"] * 3)


def test_without_a_state_there_is_nothing_to_resume(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^there is no state to resume from"):
        fleet.run([], folder, resume=True)


def test_a_state_that_is_lost_ends_the_run_and_says_so(
    files: Databases, folder: Path, write: Write, one_postgresql: Database
) -> None:
    write(ONE)

    def on_result(_: Result) -> None:
        one_postgresql.rows("DROP TABLE IF EXISTS fluxmig_fleet_results")

    report = fleet.run(
        targets(files(4)), folder, pace=Pace(parallel=1), state=one_postgresql.url, on_result=on_result
    )
    assert states(report)[0] == "done"
    assert states(report)[-1] == "waiting"
    assert report.stopped
    assert report.stopped.startswith("the state of the fleet cannot be used, the control database: ")
    assert report.exit_code == 6


def test_a_file_that_is_no_state(folder: Path, write: Write, tmp_path: Path) -> None:
    write(ONE)
    place = tmp_path / "state.sqlite"
    place.write_text("something else, and long enough to be looked at" * 10)
    with pytest.raises(
        DatabaseConnectionError, match=r"^the state of the fleet cannot be used, .*not a database"
    ):
        fleet.run([], folder, state=place)


# --- executors --------------------------------------------------------------------------------------------


def test_a_pool_of_processes(
    files: Databases, folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(TWO)
    monkeypatch.setenv("FLEET_TEST_FOLDER", str(tmp_path))
    found = [Target(f"t{number}", f"sqlite:///${{FLEET_TEST_FOLDER}}/{number}.db") for number in range(4)]
    # Not by a fork server: another test may have started it, with the variables of then.
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        report = fleet.run(found, folder, executor=pool)
        assert (states(report), report.exit_code) == (["done"] * 4, 0)
        workers = {result.worker for result in report.results}
        assert f"{socket.gethostname()}:{os.getpid()}" not in workers
        write({"003_c.sql": "SELECT 1;"})
        again = fleet.run(found, folder, executor=pool)
        assert [result.applied for result in again.results] == [("003_c.sql",)] * 4


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), MemoryError(), None])
def test_a_job_that_its_pool_gives_no_result_of(
    error: BaseException | None, folder: Path, write: Write, tmp_path: Path
) -> None:
    class Pool(Executor):
        def submit(self, *_: object, **__: object) -> Future[Any]:
            future: Future[Any] = Future()
            if error is None:
                future.cancel()
            else:
                future.set_exception(error)
            return future

    write(ONE)
    place = tmp_path / "state.sqlite"
    report = fleet.run([Target("t", "sqlite:///x")], folder, executor=Pool(), state=place)
    (lost,) = report.results
    said = f"its worker was lost: {type(error).__name__ if error else 'CancelledError'}"
    assert (lost.state, lost.message, lost.tries) == (TargetState.UNREACHABLE, said, 2)
    with opened(place) as state:
        assert state.report().results == report.results


def test_something_else_is_no_executor(folder: Path, write: Write) -> None:
    write(ONE)
    with pytest.raises(ConfigError, match=r"^there is no executor 'spark://x'\nwrite dask://HOST:PORT$"):
        fleet.run([], folder, executor="spark://x")
