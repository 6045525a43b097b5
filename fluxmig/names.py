"""The names of migrations' files: their numbers, their order, and what is wrong with one.

Order: the leading number as an integer, then the name; files without a number last. Names are compared as
FluxStudio's Node runner compares them (JavaScript's `localeCompare`: the Unicode root collation), so that
both tools run files of one number in the same order: `_` sorts before `.`, and case counts last.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from fluxmig.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DOWN", "MAX_NAME", "down_of", "entries_in", "is_down", "is_fit", "migration_of", "names_in"]
__all__ += ["number_of", "problem_of", "sort_key"]

MAX_NAME = 255
"""Characters that `migration_name VARCHAR(255)` holds."""

DOWN = ".down.sql"
"""What the name of a down script ends with."""
# CLDR root collation of ASCII: white space, punctuation and symbols in this order, then digits, then letters.
_RANKED = "\t\n _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789"
_ODD = r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]"
"""What no file name should hold: control characters, and what stands for bytes that are no UTF-8."""
_DIGITS = re.compile(r"[0-9]+")


@lru_cache(maxsize=2**15)
def number_of(name: str) -> int | None:
    """The leading number of a file name, or None."""
    digits = _DIGITS.match(name)
    return int(digits[0]) if digits else None


def is_down(name: str) -> bool:
    """Whether it is the name of a down script."""
    return name.endswith(DOWN)


def migration_of(name: str) -> str:
    """The file name of the migration that a script belongs to, be it a down script or the migration."""
    return name.removesuffix(DOWN) + ".sql" if is_down(name) else name


def is_fit(name: str) -> bool:
    """Whether a file of that name is a migration or a down script, as far as its name goes."""
    return not name.startswith(".") and problem_of(name) is None


def down_of(name: str) -> str:
    """The file name of a migration's down script, whether there is one or not."""
    return name.removesuffix(".sql") + DOWN


@lru_cache(maxsize=2**15)
def sort_key(name: str) -> tuple[object, ...]:
    """What file names are ordered by: a total order, since the name itself comes last."""
    number = number_of(name)
    if name.isascii():  # nothing to decompose, and a table of bytes is looked up faster
        ranks = name.encode().translate(_ASCII_RANKS).decode("latin-1")
        return number is None, number or 0, ranks, name.casefold(), name.swapcase(), name
    decomposed = unicodedata.normalize("NFD", name)
    base = "".join(character for character in decomposed if not unicodedata.combining(character))
    return (
        number is None,
        number or 0,
        base.translate(_RANKS),
        decomposed.casefold(),
        decomposed.swapcase(),
        name,
    )


class _Ranks(dict[int, str]):
    """For `str.translate`: the characters in whose order those of names are compared."""

    def __missing__(self, code: int) -> str:
        rank = min(len(_RANKED) + ord(chr(code).lower()[0]), sys.maxunicode)
        return self.setdefault(code, chr(rank))


_RANKS = _Ranks({ord(character): chr(rank) for rank, character in enumerate(_RANKED)})
_ASCII_RANKS = bytes(ord(_RANKS[code]) for code in range(128)) + bytes(128)


def entries_in(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder under a name that ends in `.sql`, or in what may be meant for it, in no order.

    Raises:
        ConfigError: There is no such folder, or it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if _is_meant(entry.name)]
    except FileNotFoundError:
        raise ConfigError(
            f"there is no folder {folder}",
            remedy="`fluxmig create NAME` makes it, --migrations FOLDER or FLUXMIG_MIGRATIONS names another",
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read the folder {folder}: {error.strerror}") from error


def names_in(folder: Path) -> list[str]:
    """The names of the same; raises likewise."""
    return [entry.name for entry in entries_in(folder)]


def _is_meant(name: str) -> bool:
    """Whether it is, or may be meant for, the name of a migration or a down script."""
    return not name.startswith(".") and (name.endswith(".sql") or _seen(name).lower().endswith(".sql"))


def _seen(name: str) -> str:
    """The name without the spaces and dots at its end, which hardly show."""
    return re.sub(r"[\s.]+\Z", "", name)


def problem_of(name: str) -> tuple[str, str] | None:
    """Why no migration can have the name, and the way out; or None."""
    if len(name) > MAX_NAME:
        return (
            f"the name has {len(name)} characters, and the ledger holds {MAX_NAME}",
            "give it a shorter name",
        )
    if not name.isprintable() and (odd := re.search(_ODD, name)):  # none of these is printable
        what = "is not UTF-8" if odd[0] >= "\ud800" else "holds a control character"
        return f"the name {what}", "rename the file"
    if not name.endswith(".sql"):
        return "ends in something like .sql, but not in .sql", f"rename it to {_seen(name)[:-4]}.sql"
    return None
