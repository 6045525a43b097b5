"""What each database can do and how: one class a database, the generic one for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluxmig.dialects.base import Dialect
from fluxmig.dialects.duckdb import DuckDB
from fluxmig.dialects.generic import Generic
from fluxmig.dialects.mysql import MariaDB, MySQL
from fluxmig.dialects.postgresql_kin import AnyPostgreSQL, CockroachDB
from fluxmig.dialects.sqlite import SQLite

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["DIALECTS", "Dialect", "Generic", "dialect_named", "dialect_of"]

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (AnyPostgreSQL(), SQLite(), MySQL(), MariaDB(), DuckDB(), CockroachDB())
}


def dialect_of(bind: Engine | Connection) -> Dialect:
    """The class that knows the database behind an engine or a connection."""
    return dialect_named(bind.dialect.name)


def dialect_named(name: str) -> Dialect:
    """The class that knows the database of that name, as SQLAlchemy has it; the generic one if none does."""
    return DIALECTS.get(name) or Generic(name.partition(".")[0])
