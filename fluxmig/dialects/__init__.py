"""What each database can do and how: one class a database, the generic one for the rest."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from fluxmig.dialects.base import Dialect
from fluxmig.dialects.generic import Generic

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["NAMES", "Dialect", "Generic", "dialect_named", "dialect_of"]

_CLASSES = {
    "postgresql": "postgresql_kin.AnyPostgreSQL",
    "sqlite": "sqlite.SQLite",
    "mysql": "mysql.MySQL",
    "mariadb": "mysql.MariaDB",
    "duckdb": "duckdb.DuckDB",
    "cockroachdb": "postgresql_kin.CockroachDB",
}
"""By SQLAlchemy's names: the module, which is loaded when its database is met, and the class."""

NAMES = tuple(_CLASSES)


def dialect_of(bind: Engine | Connection) -> Dialect:
    """The class that knows the database behind an engine or a connection."""
    return dialect_named(bind.dialect.name)


def dialect_named(name: str) -> Dialect:
    """The class that knows the database of that name, as SQLAlchemy has it; the generic one if none does."""
    if name not in _CLASSES:
        return Generic(name.partition(".")[0])
    return _known(*_CLASSES[name].split("."))


@cache
def _known(module: str, known: str) -> Dialect:
    found: Dialect = getattr(import_module(f"fluxmig.dialects.{module}"), known)()
    return found
