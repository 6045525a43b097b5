"""The database at the other end, and what can be promised of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fluxmig.model.files import Finding

__all__ = ["Capabilities", "DatabaseInfo", "Verification"]


@dataclass(frozen=True, slots=True)
class DatabaseInfo:
    """Where one is connected to.

    Attributes:
        dialect: SQLAlchemy's name of the database and driver, `postgresql+psycopg` say.
        server: The product, "PostgreSQL" say.
        version: The server's version.
        database: The database's name, or the file.
        user: The database user, or None where there are none.
        time: The server's clock, as it prints it.
        ssl: Whether the connection is encrypted; None where that has no meaning.
        schema: The schema that holds the ledger, or None where there are none.
    """

    dialect: str
    server: str
    version: str
    database: str | None = None
    user: str | None = None
    time: str | None = None
    ssl: bool | None = None
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What fluxmig can promise on a database; a text is empty where there is no such thing.

    Attributes:
        transactional_ddl: Whether what creates and alters is rolled back with a failed file; None where a
            probe tells, when something is to run.
        lock: What keeps other runners out.
        duplicates: By what "this object already exists" is recognised.
        positions: Where the place of an error comes from.
        concurrent_index: Whether an index can be built beside writers, outside of transactions.
        copy: Whether COPY ... FROM stdin with its rows is streamed.
        scratch: The sources of scratch databases, best first.
        tested: The versions that the tests run on.
    """

    transactional_ddl: bool | None
    lock: str
    duplicates: str
    positions: str
    concurrent_index: bool
    copy: bool
    scratch: str
    tested: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found, without changing anything.

    Attributes:
        info: Where one is connected to.
        table: The ledger's name, with its schema.
        ledger_exists: Whether the ledger is there.
        log_exists: Whether the log is there.
        can_create: Whether the login may create in the schema; None where that cannot be known.
        can_write: Whether the login may write the ledger; None where there is none yet.
        applied: How many migrations are applied.
        pending: How many are pending.
        findings: The problems; empty where all is well.
        warnings: What to know beside, and no problem.
        capabilities: What fluxmig can promise there.
    """

    info: DatabaseInfo
    table: str
    ledger_exists: bool
    log_exists: bool
    can_create: bool | None
    can_write: bool | None
    applied: int
    pending: int
    findings: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    capabilities: Capabilities | None = None

    @property
    def ok(self) -> bool:
        """Whether there is nothing to mend."""
        return not self.findings

    @property
    def exit_code(self) -> int:
        """That of the error which the first problem would be in a run; 0 where there is none."""
        codes = {"permission": 2, "session": 2, "files": 3, "failed": 1}
        return codes.get(self.findings[0].kind, 4) if self.findings else 0
