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

__all__ = ["DOWN", "MAX_NAME", "down_of", "is_down", "is_fit", "migration_of", "names_in", "number_of"]
__all__ += ["problem_of", "sort_key"]

MAX_NAME = 255
"""Characters that `migration_name VARCHAR(255)` holds."""

DOWN = ".down.sql"
"""What the name of a down script ends with."""
# CLDR root collation of ASCII: white space, punctuation and symbols in this order, then digits, then letters.
_RANKED = "\t\n _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789"
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""What no file name should hold: control characters, and what stands for bytes that are no UTF-8."""


def number_of(name: str) -> int | None:
    """The leading number of a file name, or None."""
    digits = re.match(r"[0-9]+", name)
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
    decomposed = base = unicodedata.normalize("NFD", name)
    if not name.isascii():
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


def names_in(folder: Path) -> list[str]:
    """The names in a folder that end in `.sql`, or in what may be meant for it, in no order.

    Raises:
        ConfigError: There is no such folder, or it cannot be read.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208  # names are enough, and paths take time
    except FileNotFoundError:
        raise ConfigError(
            f"there is no folder {folder}",
            remedy="`fluxmig create NAME` makes it, --migrations FOLDER or FLUXMIG_MIGRATIONS names another",
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read the folder {folder}: {error.strerror}") from error
    return [name for name in names if _seen(name).lower().endswith(".sql") and not name.startswith(".")]


def _seen(name: str) -> str:
    """The name without the spaces and dots at its end, which hardly show."""
    return name if name.endswith(".sql") else re.sub(r"[\s.]+\Z", "", name)


def problem_of(name: str) -> tuple[str, str] | None:
    """Why no migration can have the name, and the way out; or None."""
    if len(name) > MAX_NAME:
        return (
            f"the name has {len(name)} characters, and the ledger holds {MAX_NAME}",
            "give it a shorter name",
        )
    if odd := _ODD.search(name):
        what = "is not UTF-8" if odd[0] >= "\ud800" else "holds a control character"
        return f"the name {what}", "rename the file"
    if not name.endswith(".sql"):
        return "ends in something like .sql, but not in .sql", f"rename it to {_seen(name)[:-4]}.sql"
    return None
