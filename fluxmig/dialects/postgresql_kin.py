"""What speaks PostgreSQL's protocol and is distributed: CockroachDB and YugabyteDB.

By their manuals and issue trackers; neither was at hand. CockroachDB's advisory locks are stubs that always
say yes, or are not there (cockroach#13546), and YugabyteDB had none for long (yugabyte-db#3642): the ledger's
unique row decides between runners. DDL is not rolled back with certainty (CockroachDB, "Online Schema
Changes"): a file with any of it runs statement by statement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from fluxmig import sql
from fluxmig.dialects.base import TableStyle
from fluxmig.dialects.generic import IN_TRANSACTION, ROWS
from fluxmig.dialects.postgresql import PostgreSQL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from fluxmig.dialects.base import Dialect
    from fluxmig.errors import ConfigError
    from fluxmig.model import Session

__all__ = ["AnyPostgreSQL", "CockroachDB", "YugabyteDB"]

_COPY = "COPY"


class _Distributed(PostgreSQL):
    """PostgreSQL without locks of fluxmig's own, and without a rollback of DDL that one could count on."""

    table_style: ClassVar[TableStyle] = TableStyle(ddl_in_savepoints=False)
    has_lock: ClassVar[bool] = False
    has_session_lock: ClassVar[bool] = False
    has_transactional_ddl: bool | None = False
    elapsed_ms_sql: ClassVar[str] = ""
    lock_kind: ClassVar[str] = "the ledger's unique row"
    has_concurrent_index: ClassVar[bool] = False
    scratch: ClassVar[tuple[str, ...]] = ()
    image: ClassVar[str] = ""
    tested: ClassVar[str] = "not on a live cluster"

    def met(self, connection: Connection) -> Dialect:
        """Itself: it has been."""
        return self

    def can_begin(self, connection: Connection) -> bool:
        """Of rows."""
        return True

    def may_be_atomic(self, statement: str) -> bool:
        """By the verb."""
        return sql.words(statement, self.rules, 1)[0] in {*ROWS, _COPY}

    def no_transaction_reason(self, words: Sequence[str]) -> str | None:
        """All that is not about rows or the session."""
        if reason := super().no_transaction_reason(words):
            return reason
        return None if words[0] in {*IN_TRANSACTION, _COPY} else " ".join(words[:2])

    def claim(self, connection: Connection, key: str) -> bool:
        """Nothing is taken: the ledger's unique row decides."""
        return True

    def claim_session(self, connection: Connection, key: str) -> bool:
        """Likewise."""
        return True

    def release_session(self, connection: Connection, key: str) -> None:
        """Nothing was taken."""

    def claim_sql(self, key: str, *, session: bool) -> str:
        """Likewise."""
        return ""

    def release_sql(self, key: str) -> str:
        """Likewise."""
        return ""

    def lock_holder(self, connection: Connection, key: str) -> Session | None:
        """Nobody."""
        return None

    def read_only(self, connection: Connection) -> ConfigError | None:
        """Not asked: neither has standbys as PostgreSQL has them."""
        return None


class CockroachDB(_Distributed):
    """CockroachDB through sqlalchemy-cockroachdb, without which SQLAlchemy does not take its version."""

    name: ClassVar[str] = "cockroachdb"
    product: str = "CockroachDB"


class YugabyteDB(_Distributed):
    """YugabyteDB, which SQLAlchemy takes for PostgreSQL."""

    product: str = "YugabyteDB"


class AnyPostgreSQL(PostgreSQL):
    """PostgreSQL, until the server has been met that a URL of PostgreSQL's leads to."""

    def met(self, connection: Connection) -> Dialect:
        """By what the server says of its version when a connection begins (55.2.7, ParameterStatus).

        `crdb_version` is how psycopg tells CockroachDB, too (psycopg.crdb).
        """
        driver: Any = connection.connection.driver_connection
        ask = getattr(getattr(driver, "info", None), "parameter_status", None)
        if ask is None:
            return self
        if ask("crdb_version"):
            return CockroachDB()
        return YugabyteDB() if "-YB-" in (ask("server_version") or "") else self
