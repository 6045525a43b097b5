"""A PostgreSQL of a test's own, to be stopped, killed, starved and started again; and a command meanwhile."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from fluxmig import _accounts as accounts
from fluxmig.cli import main
from fluxmig.embedded import find_binaries
from fluxmig.errors import ConfigError
from tests.cli.support import Result, masked
from tests.dying import dying_with_this
from tests.faults.support import LIMIT_S, until
from tests.support import FAST, POSTGRESQL_15, cannot_be_had, roomy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

CRASH_SAFE = {**FAST, "synchronous_commit": "on"}
"""No commit is lost where the server is killed, and the machine is not."""

FAST_STOP, IMMEDIATE_STOP, SMART_STOP = signal.SIGINT, signal.SIGQUIT, signal.SIGTERM
"""What `pg_ctl stop -m fast`, `-m immediate` and `-m smart` send to the postmaster (18.5)."""

VERSIONS = {"18": None, "15": POSTGRESQL_15}
"""The folders of programs, by version; None for the embedded server's."""

READY, STANDBY = "ready", "standby"
_STATUS_LINE = 7  # of postmaster.pid, from 0 (miscadmin.h, LOCK_FILE_LINE_PM_STATUS)
_numbers = itertools.count()

GATE = """
CREATE TABLE gate (point text);
CREATE FUNCTION wait_at(here text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM public.gate WHERE point = here) THEN
    PERFORM pg_sleep(600);
  END IF;
END $$;
CREATE FUNCTION wait_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM public.wait_at(TG_ARGV[0]); RETURN NULL; END $$;
"""
"""`SELECT wait_at('here')` sleeps while the gate is closed there, and so does a trigger that waits there."""


def command(*args: object) -> Result:
    """`fluxmig ARGS` in this process, and what it wrote; durations are 0.00s."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main.main([str(arg) for arg in args], prog_name="fluxmig")
        except SystemExit as exited:
            code = exited.code
    assert isinstance(code, int)
    return Result(code, masked(out.getvalue()), masked(err.getvalue()))


@contextmanager
def meanwhile(act: Callable[[], object]) -> Iterator[None]:
    """Has something done on another thread; an error of its is raised at the end."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001  # to be raised where it is seen
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(LIMIT_S)
    for error in failed:
        raise error


@dataclass
class OwnServer:
    """A data folder and the server on it, which may be down.

    Attributes:
        folder: Where everything is: the data, the socket and the log.
        binaries: The server's programs.
        account: Whom they run as.
        settings: What it is always started with.
    """

    folder: Path
    binaries: Path
    account: accounts.Account
    settings: dict[str, str] = field(default_factory=lambda: dict(CRASH_SAFE))
    process: subprocess.Popen[bytes] | None = None
    # prctl(2): the signal at the parent's death is one at the end of the thread that made the process.
    _parent: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    def url(self, database: str = "postgres", user: str = "postgres", **options: object) -> str:
        query = urlencode({"host": str(self.folder), **options}, quote_via=quote)
        return f"postgresql+psycopg://{user}@/{database}?{query}"

    def rows(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """What SQL answers, outside of transactions, on a connection of its own."""
        engine = create_engine(self.url(database), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            result = connection.execute(text(sql.replace(":", "\\:")))
            return [tuple(row) for row in result] if result.returns_rows else []

    def scalar(self, sql: str, database: str = "postgres") -> Any:
        rows = self.rows(sql, database)
        return rows[0][0] if rows else None

    def database(self, *sql: str) -> str:
        """The name of a new database, in which the SQL has run."""
        name = f"d{next(_numbers)}"
        self.rows(f"CREATE DATABASE {name}")
        for each in sql:
            self.rows(each, name)
        return name

    def fluxmig(self, condition: str = "true") -> int | None:
        """The process of a session of fluxmig's; only one for which the condition holds."""
        found = self.scalar(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'fluxmig'"
            f" AND backend_type = 'client backend' AND {condition}"
        )
        return int(found) if found is not None else None

    def sleeper(self) -> int:
        """The process of the session that sleeps at a gate, as soon as there is one."""
        until(lambda: self.fluxmig("wait_event = 'PgSleep'"), "nobody came to the gate")
        return self.fluxmig("wait_event = 'PgSleep'") or 0

    # --- up and down --------------------------------------------------------------------------------------

    def initialise(self) -> None:
        options = ("-E", "UTF8", "--locale=C", "--no-sync", "--wal-segsize=1")
        self.run("initdb", "-U", "postgres", "--auth=trust", *options)

    def run(self, program: str, *args: str | Path) -> None:
        """Runs one of PostgreSQL's programs on the data folder."""
        done = accounts.run(self.account, self.binaries / program, "-D", self.data, *args)
        assert done.returncode == 0, done.stderr

    def launch(self, settings: Mapping[str, str] = {}, *, before: Sequence[str] = ()) -> None:
        """Starts the server, and waits for nothing.

        Args:
            settings: More of them.
            before: A program that runs it, as the caller.
        """
        own = {"unix_socket_directories": str(self.folder), "listen_addresses": "", "port": "5432"}
        command = [*before, *self._as_account(), str(self.binaries / "postgres"), "-D", str(self.data)]
        command += [f"--{name}={value}" for name, value in {**self.settings, **own, **settings}.items()]
        with (self.folder / "server.log").open("ab") as log:
            self.process = self._parent.submit(
                subprocess.Popen,
                command,
                cwd=self.data,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            ).result()

    def start(self, settings: Mapping[str, str] = {}, *, before: Sequence[str] = ()) -> None:
        """Starts the server, and waits until it takes connections."""
        self.launch(settings, before=before)
        until(lambda: self.status() in {READY, STANDBY} or self.is_down, "the server does not start")
        assert not self.is_down, self.log[-2000:]

    def status(self) -> str:
        """What the server says of itself in its pid file."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return ""
        return lines[_STATUS_LINE].strip() if len(lines) > _STATUS_LINE else ""

    @property
    def is_down(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def signal(self, signum: int) -> None:
        assert self.process
        self.process.send_signal(signum)

    def stop(self, signum: int = FAST_STOP) -> None:
        """Stops the server, and waits for its end; whatever it takes."""
        if self.process is None:
            return
        for each in (signum, IMMEDIATE_STOP, signal.SIGKILL):
            if self.process.poll() is None:
                self.process.send_signal(each)
                try:
                    self.process.wait(LIMIT_S)
                except subprocess.TimeoutExpired:
                    continue
        self.process = None

    def close(self) -> None:
        """Stops the server for good."""
        self.stop(IMMEDIATE_STOP)
        self._parent.shutdown()

    def _as_account(self) -> list[str]:
        """Runs the server as its user, and has it stopped should the tests be killed."""
        command = dying_with_this("QUIT")
        if self.account:
            assert command, "to run a server as another user takes setpriv, of util-linux"
            user, group = self.account["user"], self.account["group"]
            command += [f"--reuid={user}", f"--regid={group}", "--clear-groups"]
        return command


@contextmanager
def own_server(
    binaries: Path | None = None, settings: Mapping[str, str] = {}, *, place: Path | None = None
) -> Iterator[OwnServer]:
    """A server of one's own that is ready to be started; afterwards stopped, and its data gone.

    Args:
        binaries: Its programs; those of the embedded server by default.
        settings: What it is always started with, beside `CRASH_SAFE`.
        place: Where its data is, in a folder that its user can enter.
    """
    if binaries and not binaries.is_dir():
        cannot_be_had("postgresql", f"there is no {binaries}")
    folder = Path(tempfile.mkdtemp(prefix="fluxmig-own-", dir=place or roomy()))
    try:
        account = accounts.account_for(folder / "data")
        programs, _ = accounts.usable(find_binaries(binaries), account)
        if account:
            os.chown(folder, account["user"], account["group"])
        folder.chmod(0o755)
        server = OwnServer(folder, programs, account, {**CRASH_SAFE, **settings})
        try:
            server.initialise()
            yield server
        finally:
            server.close()
    except ConfigError as error:
        cannot_be_had("postgresql", str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
