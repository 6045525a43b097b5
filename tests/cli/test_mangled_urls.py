"""Database URLs that were mistyped in some 1,500 ways: nothing that fluxmig says has a piece of the password.

Each is one of the shapes below with one to four mistakes, chosen by a seed. A piece is any six characters of
the password in a row, also percent-encoded, in whatever case. No server is reached: port 1 is closed, and no
name but `localhost` is known, which the tests say in place of the system's resolver.
"""

from __future__ import annotations

import random
import socket
import ssl
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import pytest

from fluxmig import config
from fluxmig.connect import backend_of, reach
from fluxmig.errors import ConfigError, FluxmigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Cli

SEED = 20_260_105
OF_EACH = 260
PIECE = 6

PASSWORDS = ("Zq7xK9vWt3Lp", "battery9staple4horse", "pÄ55wörtlich-Ünique", "b/w:8?d#Xy@77k%Q1")
"""The last one is written percent-encoded, but where a mistake is to leave it raw."""

QUERY = "sslmode=disable&connect_timeout=2"
SHAPES = {
    "postgresql": (
        "postgresql://ada:{p}@127.0.0.1:1/studio",
        f"postgresql://ada:{{p}}@127.0.0.1:1/studio?{QUERY}",
        "postgresql://ada:{p}@127.0.0.1,localhost:1/studio",
        "postgresql://ada:{p}@[::1]:1/studio",
        "postgresql://ada:{p}@db.example/studio",
        "postgresql://:{p}@127.0.0.1:1/studio",
        "postgresql://{p}@127.0.0.1:1/studio",
        "postgresql://ada:{p}@/studio?host=/nowhere&port=1",
        "postgresql://ada:{p}@/studio?host=127.0.0.1:1&host=127.0.0.1:2&target_session_attrs=read-write",
        "postgres://ada:{p}@127.0.0.1:1",
    ),
    "options": (
        "postgresql://ada@127.0.0.1:1/studio?password={p}",
        f"postgresql://127.0.0.1:1/studio?user=ada&password={{p}}&{QUERY}",
        "postgresql://ada@127.0.0.1:1/studio?sslpassword={p}&sslmode=require",
        "postgresql://ada@127.0.0.1:1/studio?options=-c%20my.secret%3D{p}",
        "postgresql://ada@127.0.0.1:1/studio?service={p}",
        "postgresql://ada@127.0.0.1:1/studio?passfile=/{p}",
        "postgresql://ada@127.0.0.1:1/studio?sslkey=/{p}&sslcert=/{p}",
        "postgresql://ada@127.0.0.1/studio?port={p}",
        "postgresql://ada@127.0.0.1:1/studio?{p}=1",
        "postgresql:///studio?host=127.0.0.1&port=1&user=ada&password={p}",
    ),
    "drivers": (
        "postgresql+psycopg://ada:{p}@127.0.0.1:1/studio",
        "postgresql+psycopg2://ada:{p}@127.0.0.1:1/studio",
        "postgresql+asyncpg://ada:{p}@127.0.0.1:1/studio",
        "postgresql+pg8000://ada:{p}@127.0.0.1:1/studio?password={p}",
        "mysql+mysqldb://ada:{p}@127.0.0.1:1/studio",
    ),
    "mysql": (
        "mysql://ada:{p}@127.0.0.1:1/studio",
        "mysql+pymysql://ada:{p}@127.0.0.1:1/studio?charset=utf8mb4",
        "mariadb://ada:{p}@db.example:3306/studio",
        "mysql://127.0.0.1:1/studio?user=ada&password={p}",
    ),
    "sqlite": (
        "sqlite:///ada:{p}@127.0.0.1:1/studio.db",
        "sqlite://ada:{p}@/studio.db",
        "sqlite:////nowhere/studio.db?password={p}",
        "sqlite:///studio.db?key={p}&mode=ro&uri=true",
    ),
    "others": (
        "mongodb://ada:{p}@127.0.0.1:1/studio",
        "postgressql://ada:{p}@127.0.0.1:1/studio",
        "jdbc:postgresql://127.0.0.1:1/studio?user=ada&password={p}",
        "ada:{p}@127.0.0.1:1/studio",
        "host=127.0.0.1 port=1 user=ada password={p} dbname=studio",
        "host=127.0.0.1 password='{p}'",
        "DATABASE_URL=postgresql://ada:{p}@127.0.0.1:1/studio",
        "{p}",
    ),
}

SIGNS = "/:@?#%&=;,.+[]{}<>|\\\"'` \t\n"
INSERTED: tuple[str, ...] = (*SIGNS, "://", "//", "@@", "%2", "%zz", "%00", "%ff")
ODD = "\x00\x07\x1b\x7f\u00a0\u200b\u202e\uff1a\uff20\ufeff\udcff\u00e9\U0001f511"


def _sign(random_: random.Random, url: str) -> int:
    """The place of one of the signs that divide a URL."""
    return random_.choice([place for place, sign in enumerate(url) if sign in SIGNS] or [0])


def _delete(random_: random.Random, url: str) -> str:
    place = _sign(random_, url)
    return url[:place] + url[place + 1 :]


def _double(random_: random.Random, url: str) -> str:
    place = _sign(random_, url)
    return url[:place] + url[place : place + 1] * random_.randint(2, 3) + url[place + 1 :]


def _insert(random_: random.Random, url: str) -> str:
    place = random_.randint(0, len(url))
    return url[:place] + random_.choice(INSERTED) + url[place:]


def _odd(random_: random.Random, url: str) -> str:
    place = random_.randint(0, len(url))
    return url[:place] + random_.choice(ODD) + url[place:]


def _exchange(random_: random.Random, url: str) -> str:
    place = _sign(random_, url)
    return url[:place] + random_.choice(SIGNS) + url[place + 1 :]


def _encode(random_: random.Random, url: str) -> str:
    """One sign, or the whole, percent-encoded once more."""
    if random_.random() < 0.2:
        return quote(url, safe=":/" if random_.random() < 0.5 else "", errors="surrogateescape")
    place = random_.randint(0, max(len(url) - 1, 0))
    return url[:place] + quote(url[place : place + 1], "", errors="surrogateescape") + url[place + 1 :]


def _decode(_: random.Random, url: str) -> str:
    return unquote(url)


def _cut(random_: random.Random, url: str) -> str:
    """Something is missing: at the end, or in the middle."""
    first, last = sorted(random_.randint(0, len(url)) for _ in range(2))
    return url[:last] if random_.random() < 0.3 else url[:first] + url[last:]


def _wrap(random_: random.Random, url: str) -> str:
    before, behind = random_.choice(
        [('"', '"'), ("'", "'"), ("<", ">"), (" ", "\n"), ("url=", ""), ("//", "")]
    )
    return before + url + behind


def _case(random_: random.Random, url: str) -> str:
    return random_.choice((url.upper(), url.lower(), url.swapcase()))


MISTAKES: tuple[Callable[[random.Random, str], str], ...] = (
    *(_delete, _double, _insert, _exchange) * 3,
    *(_odd, _encode, _decode, _cut, _wrap, _case),
)


def mangled(kind: str) -> list[tuple[str, str]]:
    """URLs of a kind, and the password of each."""
    random_ = random.Random(f"{SEED} {kind}")
    urls = []
    for _ in range(OF_EACH):
        shape, password = random_.choice(SHAPES[kind]), random_.choice(PASSWORDS)
        is_raw = random_.random() < 0.2
        url = shape.replace("{p}", password if is_raw else quote(password, ""))
        for _ in range(random_.randint(0 if is_raw else 1, 4)):
            url = random_.choice(MISTAKES)(random_, url)
        urls.append((url, password))
    return urls


def leaked(text: str, password: str) -> str | None:
    """A piece of the password that the text shows, or None."""
    shown = {text.casefold(), unquote(text).casefold()}
    folded = password.casefold()
    for first in range(len(folded) - PIECE + 1):
        piece = folded[first : first + PIECE]
        if any(form in each for form in {piece, ascii(piece)[1:-1]} for each in shown):
            return piece
    return None


def _resolve(host: str | bytes | None, port: Any, *_: object, **__: object) -> Any:
    """As the system's resolver does where it knows no names."""
    known = {"localhost": "127.0.0.1", "127.0.0.1": "127.0.0.1", "::1": "::1", None: "127.0.0.1"}
    name = host.decode() if isinstance(host, bytes) else host
    if name is not None:
        name.encode("idna")
    if name not in known:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    family = socket.AF_INET6 if ":" in known[name] else socket.AF_INET
    return [(family, socket.SOCK_STREAM, 6, "", (known[name], int(port or 0)))]


@pytest.fixture(autouse=True)
def closed_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _resolve)
    # pymysql reads all certificates of the system before each try, for a TLS that it never comes to.
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: None)


def test_there_are_enough_of_them() -> None:
    found = [each for kind in SHAPES for each in mangled(kind)]
    assert len(set(found)) >= 1_500
    still = sum(leaked(url, password) is not None for url, password in found)
    assert still > 0.7 * len(found), "most of them have a piece of the password in them"


@pytest.mark.parametrize("kind", SHAPES)
def test_no_error_has_a_piece_of_the_password(kind: str) -> None:
    refused = 0
    for url, password in mangled(kind):
        try:
            backend_of(url)
            with reach(url, read_only=True):
                continue  # SQLite opens many names
        except FluxmigError as error:
            refused += 1
            said = [str(error), repr(error), repr(error.args), repr(vars(error))]
            said += traceback.format_exception(error)
        for text in said:
            assert not leaked(text, password), f"{url!r}: {text}"
    assert refused > 0.8 * OF_EACH


@pytest.mark.parametrize("kind", SHAPES)
def test_no_output_has_one(kind: str, bare: Cli) -> None:
    for url, password in mangled(kind)[::8]:
        for options in (["--debug", "--json"], ["--debug"], []):
            result = bare("status", "--database-url", url, *options)
            assert result.code in {0, 2, 3, 6}, url
            assert not leaked(result.out + result.err, password), f"{url!r}: {result.out}{result.err}"


@pytest.mark.parametrize("kind", SHAPES)
def test_nor_has_what_is_kept_of_a_url(kind: str) -> None:
    for url, password in mangled(kind):
        with suppress(ConfigError):
            assert not leaked(repr(config.load({"database_url": url}, {}, Path("/nowhere"))), password)


def test_no_piece_is_found_in_whatever_is_shown() -> None:
    """The check itself: what it is to find, and what not."""
    password = PASSWORDS[0]
    for shown in (
        password,
        password.lower(),
        f"x{password[:6]}",
        quote(password[3:9].encode().hex()) + password[-6:],
    ):
        assert leaked(f"one {shown} two", password)
    assert leaked("".join(f"%{ord(letter):02X}" for letter in password), password)
    assert not leaked(f"{password[:5]} {password[5:10]}", password)
