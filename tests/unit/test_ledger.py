"""The SQL of the ledger and the log that is made once for many databases, and what is remembered of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, make_url
from sqlalchemy.schema import CreateIndex, CreateTable

from fluxmig import ledger as module
from fluxmig.ledger import KEPT_BYTES, Ledger

if TYPE_CHECKING:
    from sqlalchemy.schema import ExecutableDDLElement

USER = func.current_user()
DRIVER = make_url("postgresql+psycopg://").get_dialect()()


def ledger(schema: str | None, name: str = "schema_migrations") -> Ledger:
    return Ledger(name, schema, current_user=USER, client="x", version="0")


@pytest.mark.parametrize("name", ["schema_migrations", 'a "b".c%', module._ANY_SCHEMA])
@pytest.mark.parametrize("schema", [None, "public", "Tenant", 'a "b".c', "50%", module._ANY_SCHEMA])
def test_both_tables_are_made_by_the_same_sql_as_one_by_one(schema: str | None, name: str) -> None:
    of = ledger(schema, name)
    commands: list[ExecutableDDLElement] = [CreateTable(of.table), CreateTable(of.log_table)]
    commands += map(CreateIndex, of.log_table.indexes)
    expected = ";\n".join(str(command.compile(dialect=DRIVER)) % () for command in commands)
    assert of.both(DRIVER) == expected


def test_both_tables_are_compiled_once_for_all_schemas() -> None:
    module._both.cache_clear()
    for number in range(3):
        ledger(f"s{number}").both(DRIVER)
    assert module._both.cache_info().misses == 1


@pytest.mark.parametrize("size", [0, 1, module._SMALL_BYTES, module._SMALL_BYTES + 1, KEPT_BYTES])
def test_a_text_comes_back_from_what_is_kept(size: int) -> None:
    source = (b"SELECT 1; -- " * (size // 13 + 1))[:size]
    of = ledger(None)
    for _ in range(2):
        kept = of.kept(source)
        assert module._unpacked(kept) == source
    assert of.kept(source + b"x" * KEPT_BYTES + b"x") is None


def test_only_small_texts_are_remembered() -> None:
    module._packed_once.cache_clear()
    ledger(None).kept(b"x" * module._SMALL_BYTES)
    ledger(None).kept(b"x" * (module._SMALL_BYTES + 1))
    assert module._packed_once.cache_info().currsize == 1
