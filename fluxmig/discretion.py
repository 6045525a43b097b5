"""What may be shown where a database URL is involved: nothing that is, or may be, a piece of a password.

A URL that was mistyped is taken apart in the wrong places: a piece of the password passes for a host, a
database, an option. So it is not enough to know the password; what repeats any piece of the URL is held back,
unless the piece has proved to be what it was taken for.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from urllib.parse import unquote, unquote_plus

__all__ = ["known", "masked", "repeats", "word"]

_MASK = "***"
_SHORTEST, _LONG = 4, 6
"""Characters. What is shorter tells nothing, and is found everywhere; what is not long, within words."""
_NAMES = re.findall(
    r"\w+",
    "postgres postgresql mysql mariadb sqlite oracle mssql cockroachdb mongodb psycopg psycopg2 asyncpg"
    " pg8000 pymysql mysqldb aiomysql asyncmy pysqlite aiosqlite oracledb http https embedded",
)
# Options with words for values, which drivers use for words (libpq, 32.1.2).
_PLAIN = re.compile(
    r"(?<=[?&])(?:target_session_attrs=(?:any|read-write|read-only|primary|standby|prefer-standby)"
    r"|sslmode=(?:disable|allow|prefer|require|verify-ca|verify-full))(?=&|\s*$)"
)
_PASSWORD = re.compile(r"(?i)(?:pass\w*|pwd)\s*=\s*('(?:[^'\\]|\\.)*'?|[^&;\s]*)")


def repeats(text: str, url: str) -> bool:
    """Whether a text, such as a driver's words, has something of a URL in it."""
    folded = text.casefold()
    words = set(re.split(r"\W+", folded))
    return any(piece in words or (len(piece) >= _LONG and piece in folded) for piece in _pieces(url))


def word(name: str) -> str:
    """The name of an option where it can be nothing else; a password seldom has but small letters."""
    return name if re.fullmatch(r"[a-z]+(?:_[a-z]+)*", name) else "…"


def known(drivername: str) -> str:
    """What stands before `://`, but for words that are no database's or driver's, and not like one."""
    return "+".join(
        part if get_close_matches(part.lower(), _NAMES, n=1, cutoff=0.8) else "…"
        for part in drivername.split("+")
    )


def masked(text: str, *urls: str | None) -> str:
    """The text without the URLs and their passwords, as they stand there and decoded."""
    secrets = {secret for url in urls if url for secret in _secrets(url)}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _MASK)
    return text


def _secrets(url: str) -> set[str]:
    """The URL itself and all that stands where passwords do."""
    whole = url.strip()
    found = {whole, *_PASSWORD.findall(whole)}
    userinfo, at, _ = whole.partition("://")[2].rpartition("@")
    if at:
        found |= {userinfo, userinfo.partition(":")[2]}
    found |= {each.strip("'") for each in found}
    found = {each for each in found if whole.count(each) == 1}  # a password like the user hides nothing
    found |= {decode(each) for each in found for decode in (unquote, unquote_plus)}
    return {each for each in found if len(each) >= _SHORTEST}


def _pieces(url: str) -> set[str]:
    """The runs of letters and digits, and those between the signs that divide URLs."""
    found: set[str] = set()
    url = _PLAIN.sub("", url)
    for text in (url, unquote(url), unquote_plus(url)):
        found.update(re.split(r"\W+", text.casefold()), re.split(r"[\s:/?#@&;=,]+", text.casefold()))
    return {piece for piece in found if len(piece) >= _SHORTEST}
