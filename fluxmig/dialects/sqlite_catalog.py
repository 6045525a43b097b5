"""All objects of a SQLite database, and their definitions, out of the text that SQLite keeps of each.

ALTER TABLE edits that text (lang_altertable.html): a column that is added comes to stand behind the table's
constraints, and names get quotes. So a table is taken apart, and words and blanks are made equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from fluxmig import sql
from fluxmig.catalog import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from fluxmig.catalog import Catalog

__all__ = ["snapshot"]

_ALL: Final = text(
    "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql <> '' AND substr(name, 1, 7) <> 'sqlite_'"
)
_CONSTRAINTS: Final = frozenset({"constraint", "primary", "unique", "check", "foreign"})


def snapshot(connection: Connection, without: frozenset[str]) -> Catalog:
    """All objects of the connection's main database. Only reads.

    Args:
        connection: Whose database.
        without: Tables that are left out, with their indexes and triggers.
    """
    found: dict[tuple[str, str], Entry] = {}
    for kind, name, table, source in connection.execute(_ALL).all():
        if table in without:
            continue
        words = [_plain(token) for token in sql.tokens(source, sql.SQLITE)]
        if kind == "table" and "(" in words and words[1] != "virtual":
            found |= _table(name, words)
        else:
            found[kind, name] = Entry(" ".join(words), None if kind in {"table", "view"} else table)
    return found


def _table(name: str, words: list[str]) -> Catalog:
    """A table, its columns and its constraints."""
    opening = words.index("(")
    closing = len(words) - 1 - words[::-1].index(")")
    found = {("table", name): Entry(" ".join(words[closing + 1 :]))}
    columns = 0
    for item in _items(words[opening + 1 : closing]):
        if item[0] in _CONSTRAINTS:
            found["constraint", f"{' '.join(item)} on {name}"] = Entry("", name)
        else:
            columns += 1
            found["column", f"{name}.{item[0]}"] = Entry(f"{' '.join(item[1:])}, number {columns}", name)
    return found


def _items(words: list[str]) -> Iterator[list[str]]:
    """What commas divide outside of parentheses."""
    depth = 0
    item: list[str] = []
    for word in [*words, ","]:
        depth += (word == "(") - (word == ")")
        if word == "," and not depth:
            yield item
            item = []
        else:
            item.append(word)


def _plain(token: str) -> str:
    """A name without its quotes, and a word in small letters; a string as it is."""
    if token.startswith("'"):
        return token
    name = sql.unquoted(token)
    return sql.ascii_lower(token if name is None else name)
