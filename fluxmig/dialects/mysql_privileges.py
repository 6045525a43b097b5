"""What a login of MySQL or MariaDB may do, by SHOW GRANTS. Only reads.

Privileges of routines and of single columns are left out: nobody's ledger is made of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fluxmig.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

__all__ = ["Granted", "granted", "read", "read_only"]

_NAME: Final = r"(?:`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\"|[^.\s]+)"
_GRANT: Final = re.compile(rf"GRANT (?P<what>.+?) ON (?P<database>{_NAME})\.(?P<table>{_NAME}) TO ")
_ROLE: Final = re.compile(r"GRANT (?!.* ON )")
_ALL: Final = "ALL PRIVILEGES"


@dataclass(frozen=True, slots=True)
class Granted:
    """What was granted.

    Attributes:
        grants: Privileges, with the pattern of the database and the table they are for; "*" is all.
        is_partly_known: Whether there are roles whose privileges are not told.
    """

    grants: tuple[tuple[frozenset[str], str, str], ...]
    is_partly_known: bool

    def has(self, needed: Iterable[str], database: str | None, table: str | None = None) -> bool:
        """Whether all of these are granted; taken for granted where a role may bring them."""
        return self.is_partly_known or all(
            any(
                (privilege in what or _ALL in what) and _fits(where, database) and on in {"*", table}
                for what, where, on in self.grants
            )
            for privilege in needed
        )

    def sees(self, privilege: str | None, database: str | None) -> bool:
        """Whether information_schema shows all of a database that needs this privilege, None for any."""
        return not self.is_partly_known and any(
            on == "*"
            and _fits(where, database)
            and (what - {"USAGE"} if privilege is None else {privilege, _ALL} & what)
            for what, where, on in self.grants
        )


def granted(connection: Connection) -> Granted:
    """The login's own privileges; on MariaDB with those of its role."""
    lines = [str(row[0]) for row in connection.exec_driver_sql("SHOW GRANTS")]
    return read(lines, tells_roles=bool(getattr(connection.dialect, "is_mariadb", False)))


def read_only(connection: Connection, transaction: str) -> ConfigError | None:
    """Why nothing can be written; None where nothing is known against it.

    Args:
        connection: Where to ask.
        transaction: The variable that makes a session's transactions read-only.
    """
    is_mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
    names = [
        "GLOBAL.read_only",
        f"SESSION.{transaction}",
        *([] if is_mariadb else ["GLOBAL.super_read_only"]),
    ]
    values = connection.exec_driver_sql(f"SELECT {', '.join(f'@@{name}' for name in names)}").one()
    is_on = {name for name, value in zip(names, values, strict=True) if str(value) not in {"0", "OFF"}}
    if names[1] in is_on:
        return ConfigError(
            f"nothing can be written: {transaction} is on for this session",
            remedy="have it set to 0: the server's configuration sets it, or the URL's init_command",
        )
    if names[0] not in is_on:
        return None
    elsewhere = "connect to the primary; or, where it is none, have SET GLOBAL {} = 0 run there"
    if "GLOBAL.super_read_only" in is_on:
        return ConfigError(
            "the server admits no writing: super_read_only is on", remedy=elsewhere.format("read_only")
        )
    exempt = ("READ ONLY ADMIN", "SUPER") if is_mariadb else ("CONNECTION_ADMIN", "SUPER")
    has = granted(connection).has
    if any(has({each}, None) for each in exempt):
        return None
    return ConfigError(
        f"the server admits no writing: read_only is on, and the login has not {exempt[0]}",
        remedy=elsewhere.format("read_only"),
    )


def read(lines: Sequence[str], *, tells_roles: bool) -> Granted:
    """What the lines of SHOW GRANTS say.

    Args:
        lines: As the server gives them.
        tells_roles: Whether what a role brings is among them.
    """
    found = [match for line in lines if (match := _GRANT.match(line))]
    return Granted(
        tuple(
            (
                frozenset(re.split(r"\s*,\s*(?![^(]*\))", match["what"])),
                _plain(match["database"]),
                _plain(match["table"]),
            )
            for match in found
        ),
        not tells_roles and any(_ROLE.match(line) for line in lines),
    )


def _plain(name: str) -> str:
    return name[1:-1].replace(name[0] * 2, name[0]) if name[0] in '`"' else name


def _fits(pattern: str, database: str | None) -> bool:
    """Whether a grant is for a database; its name is a pattern there (MySQL 8.0, 13.7.1.6)."""
    if pattern == "*":
        return True
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    regex = "".join(wild.get(part) or re.escape(part[-1]) for part in parts)
    return database is not None and re.fullmatch(regex, database, re.DOTALL) is not None
