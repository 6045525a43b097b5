"""Whatever is wrong with a database URL, its password is never shown, and something helpful is.

No URL here reaches a server: port 1 is closed, and the rest cannot be read.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from tests.cli.support import process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.support import Database

SECRET = "hunter2"

# A name for each, and the exit code: 2 where it cannot be read or used, 6 where it can and nobody answers.
URLS: dict[str, tuple[int, str]] = {
    # as they should be
    "plain": (6, "postgresql://ada:hunter2@127.0.0.1:1/studio"),
    "short scheme": (6, "postgres://ada:hunter2@127.0.0.1:1/studio"),
    "with driver": (6, "postgresql+psycopg://ada:hunter2@127.0.0.1:1/studio"),
    "upper case scheme": (6, "POSTGRESQL://ada:hunter2@127.0.0.1:1/studio"),
    "capital scheme": (6, "Postgres://ada:hunter2@127.0.0.1:1/studio"),
    "no database": (6, "postgresql://ada:hunter2@127.0.0.1:1"),
    "empty database": (6, "postgresql://ada:hunter2@127.0.0.1:1/"),
    "IPv6": (6, "postgresql://ada:hunter2@[::1]:1/studio"),
    "two hosts": (6, "postgresql://ada:hunter2@127.0.0.1,127.0.0.1:1/studio"),
    "MySQL": (6, "mysql://ada:hunter2@127.0.0.1:1/studio"),
    "MariaDB": (6, "mariadb://ada:hunter2@127.0.0.1:1/studio"),
    "no user": (6, "postgresql://:hunter2@127.0.0.1:1/studio"),
    "no user, no host": (6, "postgresql://:hunter2@:1/studio"),
    "password in the query": (6, "postgresql://ada@127.0.0.1:1/studio?password=hunter2"),
    "user and password in the query": (6, "postgresql://127.0.0.1:1/studio?user=ada&password=hunter2"),
    "two passwords": (6, "postgresql://ada@127.0.0.1:1/studio?password=a&password=hunter2"),
    "password of a key": (6, "postgresql://ada@127.0.0.1:1/studio?sslpassword=hunter2"),
    # special characters in the password, as they are
    "/ in the password": (6, "postgresql://ada:x/hunter2@127.0.0.1:1/studio"),
    "/ behind the password": (6, "postgresql://ada:hunter2/x@127.0.0.1:1/studio"),
    "digit and / in the password": (6, "postgresql://ada:1/hunter2@127.0.0.1:1/studio"),
    ": in the password": (6, "postgresql://ada:x:hunter2@127.0.0.1:1/studio"),
    "? in the password": (6, "postgresql://ada:x?hunter2@127.0.0.1:1/studio"),
    "? and = in the password": (6, "postgresql://ada:x?hunter2=1@127.0.0.1:1/studio"),
    "? at the end of the password": (6, "postgresql://ada:hunter2?@127.0.0.1:1/studio"),
    "# in the password": (6, "postgresql://ada:x#hunter2@127.0.0.1:1/studio"),
    "# at the end of the password": (6, "postgresql://ada:hunter2#@127.0.0.1:1/studio"),
    "% in the password": (6, "postgresql://ada:x%hunter2@127.0.0.1:1/studio"),
    "% at the end of the password": (6, "postgresql://ada:hunter2%@127.0.0.1:1/studio"),
    "encoded letter": (6, "postgresql://ada:%68unter2@127.0.0.1:1/studio"),
    "encoded @": (6, "postgresql://ada:x%40hunter2@127.0.0.1:1/studio"),
    "& in the password": (6, "postgresql://ada:hunter2&x=1@127.0.0.1:1/studio"),
    "brackets": (6, "postgresql://ada:[hunter2]@127.0.0.1:1/studio"),
    "one bracket": (6, "postgresql://ada:x]hunter2[@127.0.0.1:1/studio"),
    "quotes in the password": (6, "postgresql://ada:\"hunter2'@127.0.0.1:1/studio"),
    "backslash": (6, "postgresql://ada:x\\hunter2@127.0.0.1:1/studio"),
    "spaces": (6, "postgresql://ada: hunter2 @127.0.0.1:1/studio"),
    "space": (6, "postgresql://ada:x hunter2@127.0.0.1:1/studio"),
    "tab": (6, "postgresql://ada:hunter2\t@127.0.0.1:1/studio"),
    "line break in the password": (6, "postgresql://ada:x\nhunter2@127.0.0.1:1/studio"),
    "escape sequence": (6, "postgresql://ada:x\x1b[31mhunter2@127.0.0.1:1/studio"),
    "letters": (6, "postgresql://ada:größe-hunter2@127.0.0.1:1/studio"),
    "other letters": (6, "postgresql://ada:пароль-hunter2-🔑@127.0.0.1:1/studio"),
    "not UTF-8": (2, os.fsdecode(b"postgresql://ada:\xffhunter2@127.0.0.1:1/studio")),
    "@ before": (2, "postgresql://ada:@hunter2@127.0.0.1:1/studio"),
    "@ in front": (2, "postgresql://ada:x@hunter2@127.0.0.1:1/studio"),
    "@ behind": (2, "postgresql://ada:hunter2@x@127.0.0.1:1/studio"),
    "three @": (2, "postgresql://ada:x@hunter2@y@127.0.0.1:1/studio"),
    "@ and /": (2, "postgresql://ada:x@y/hunter2@127.0.0.1:1/studio"),
    "@ and ?": (2, "postgresql://ada:x@y?host=hunter2@127.0.0.1:1/studio"),
    "@ and :": (2, "postgresql://ada:x@y:hunter2@127.0.0.1:1/studio"),
    "@ in a password in the query": (2, "postgresql://ada@127.0.0.1:1/studio?password=hunter2@x"),
    "@ in the query, no database": (2, "postgresql://127.0.0.1?user=ada&password=hunter2@x/studio"),
    "MySQL with two @": (2, "mysql://ada:x@hunter2@127.0.0.1:1/studio"),
    # something else where it should not be
    "no @": (2, "postgresql://ada:hunter2/studio"),
    "no @, no database": (2, "postgresql://ada:hunter2"),
    "colon for @": (2, "postgresql://ada:hunter2:127.0.0.1:1/studio"),
    "encoded separator": (2, "postgresql://ada:hunter2%40127.0.0.1:1/studio"),
    "slash for colon": (2, "postgresql://ada/hunter2@127.0.0.1:1/studio"),
    "question mark for colon": (2, "postgresql://ada?hunter2@127.0.0.1:1/studio"),
    "hash for colon": (2, "postgresql://ada#hunter2@127.0.0.1:1/studio"),
    "one slash": (2, "postgresql:/ada:hunter2@127.0.0.1:1/studio"),
    "no slash": (2, "postgresql:ada:hunter2@127.0.0.1:1/studio"),
    "three slashes": (2, "postgresql:///ada:hunter2@127.0.0.1:1/studio"),
    "four slashes": (2, "postgresql:////ada:hunter2@127.0.0.1:1/studio"),
    "backslashes": (2, "postgresql:\\\\ada:hunter2@127.0.0.1:1/studio"),
    "no colon": (2, "postgresql//ada:hunter2@127.0.0.1:1/studio"),
    "space in the scheme": (2, "postgresql ://ada:hunter2@127.0.0.1:1/studio"),
    "no scheme": (2, "ada:hunter2@127.0.0.1:1/studio"),
    "slashes and no scheme": (2, "//ada:hunter2@127.0.0.1:1/studio"),
    "empty scheme": (2, "://ada:hunter2@127.0.0.1:1/studio"),
    "only a password": (2, "hunter2"),
    "only a colon and a password": (2, ":hunter2@"),
    "password and host": (2, "hunter2@127.0.0.1"),
    "port that is no number": (2, "postgresql://ada:hunter2@127.0.0.1:port/studio"),
    "password for port": (2, "postgresql://ada:x@127.0.0.1:hunter2/studio"),
    "port too high": (2, "postgresql://ada:hunter2@127.0.0.1:99999/studio"),
    "negative port": (2, "postgresql://ada:hunter2@127.0.0.1:-1/studio"),
    "two ports": (2, "postgresql://ada:hunter2@127.0.0.1:1:2/studio"),
    "empty port": (2, "postgresql://ada:hunter2@127.0.0.1:/studio"),
    "port in the query": (2, "postgresql://ada@127.0.0.1/studio?port=hunter2"),
    "open bracket": (2, "postgresql://ada:hunter2@[::1/studio"),
    "host with two dots": (2, "postgresql://ada:hunter2@db..example/studio"),
    "long host": (2, f"postgresql://ada:hunter2@{'x' * 300}/studio"),
    "unknown option": (2, "postgresql://ada:hunter2@127.0.0.1:1/studio?bogus=1"),
    "unknown password option": (2, "postgresql://ada@127.0.0.1:1/studio?passwd=hunter2"),
    "option in capitals": (2, "postgresql://ada@127.0.0.1:1/studio?PASSWORD=hunter2"),
    "wrong sslmode": (2, "postgresql://ada:hunter2@127.0.0.1:1/studio?sslmode=yes"),
    "wrong timeout": (2, "postgresql://ada:hunter2@127.0.0.1:1/studio?connect_timeout=soon"),
    "unknown option of MySQL": (2, "mysql://ada:hunter2@127.0.0.1:1/studio?bogus=1"),
    # another scheme, or something around it
    "misspelt scheme": (2, "postgressql://ada:hunter2@127.0.0.1:1/studio"),
    "another database": (2, "mongodb://ada:hunter2@127.0.0.1:1/studio"),
    "HTTP": (2, "http://ada:hunter2@127.0.0.1:1/studio"),
    "asyncio driver": (2, "postgresql+asyncpg://ada:hunter2@127.0.0.1:1/studio"),
    "missing driver": (2, "mysql+cymysql://ada:hunter2@127.0.0.1:1/studio"),
    "embedded with slashes": (2, "embedded://ada:hunter2@127.0.0.1:1/studio"),
    "JDBC": (2, "jdbc:postgresql://127.0.0.1:1/studio?user=ada&password=hunter2"),
    "JDBC with user": (2, "jdbc:postgresql://ada:hunter2@127.0.0.1:1/studio"),
    "keywords": (2, "host=127.0.0.1 port=1 user=ada password=hunter2 dbname=studio"),
    "quotes": (2, '"postgresql://ada:hunter2@127.0.0.1:1/studio"'),
    "single quotes": (2, "'postgresql://ada:hunter2@127.0.0.1:1/studio'"),
    "angle brackets": (2, "<postgresql://ada:hunter2@127.0.0.1:1/studio>"),
    "with its variable": (2, "DATABASE_URL=postgresql://ada:hunter2@127.0.0.1:1/studio"),
    "with its program": (2, "psql postgresql://ada:hunter2@127.0.0.1:1/studio"),
    "spaces around": (6, "  postgresql://ada:hunter2@127.0.0.1:1/studio "),
    "line break behind": (6, "postgresql://ada:hunter2@127.0.0.1:1/studio\n"),
    "SQLite with a password": (2, "sqlite://ada:hunter2@/x.db"),
    "SQLite with a host": (2, "sqlite://ada:hunter2@127.0.0.1/studio"),
    "SQLite with two slashes": (2, "sqlite://hunter2"),
    "SQLite with no slash": (2, "sqlite:hunter2"),
    "SQLite in no folder": (6, "sqlite:////no/where/x.db?password=hunter2"),
}


def test_there_are_enough_of_them() -> None:
    assert len(URLS) >= 60
    assert all(SECRET in url or "%68unter2" in url for _, url in URLS.values())


@pytest.mark.parametrize("name", URLS)
def test_the_password_is_never_shown(
    name: str, bare: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, url = URLS[name]
    usual = bare("status", "--database-url", url)
    assert usual.out == ""
    first, *others = usual.err.splitlines()
    assert first.startswith("error: ")
    assert others, "there is a way out"
    assert "Traceback" not in usual.err

    debug = bare("status", "--database-url", url, "--debug")
    assert debug.err.startswith("Traceback (most recent call last):\n")
    assert debug.err.endswith(f"\n\n{usual.err}")

    as_json = bare("status", "--database-url", url, "--json")
    assert as_json.json["error"]["exit_code"] == code

    monkeypatch.setenv("DATABASE_URL", url)
    by_variable = bare("status")
    assert by_variable == usual

    for result in (usual, debug, as_json, by_variable):
        assert result.code == code
        assert SECRET not in result.out + result.err
        assert "unter2" not in result.out + result.err


@pytest.mark.parametrize(
    "name", ["plain", "@ in front", "port that is no number", "only a password", "quotes"]
)
@pytest.mark.parametrize("place", [".env", "fluxmig.toml"])
def test_nor_from_a_file(name: str, place: str, bare: Cli, folder: Path, tmp_path: Path) -> None:
    code, url = URLS[name]
    if place == ".env":
        (tmp_path / ".env").write_text(f"DATABASE_URL={url}\n")
    else:
        (tmp_path / place).write_text(f"database-url = {json.dumps(url)}\n")
    result = bare("status", "--debug")
    assert result.code in {2, 6}
    assert result.code == code or (name, place) == ("quotes", ".env")  # where quotes are quotes
    assert SECRET not in result.out + result.err


@pytest.mark.parametrize(
    "text",
    [
        "DATABASE_URL='postgresql://ada:hunter2@127.0.0.1:1/studio\n",
        "DATABASE_URL postgresql://ada:hunter2@h\n",
    ],
)
def test_nor_from_a_file_that_cannot_be_read(text: str, bare: Cli, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(text)
    result = bare("status", "--debug")
    assert result.code == 2
    assert SECRET not in result.out + result.err


@pytest.mark.parametrize("option", ["--table", "--schema", "--wait"])
def test_nor_where_it_is_given_for_something_else(option: str, bare: Cli) -> None:
    result = bare("status", "--debug", option, URLS["plain"][1], "--database-url", "sqlite://")
    assert result.code == 2
    assert SECRET not in result.out + result.err


@pytest.mark.parametrize(
    "name", ["plain", "short scheme", "@ in front", "JDBC with user", "no scheme", "spaces"]
)
@pytest.mark.parametrize(
    "args", [["URL"], ["run", "URL"], ["run", "--color", "URL"], ["--color", "URL", "run"], ["--URL", "run"]]
)
def test_nor_where_no_url_is_expected(args: list[str], name: str, bare: Cli) -> None:
    result = bare(*(arg.replace("URL", URLS[name][1]) for arg in args))
    assert (result.code, result.out) == (2, "")
    assert SECRET not in result.err
    assert result.err.splitlines()[-1].endswith(
        "There is a URL where none is expected. A database goes behind --database-url."
    )


def test_in_a_process_of_its_own(folder: Path) -> None:
    """Also what Python itself says, at start and end."""
    done = process("status", "--debug", "--database-url", URLS["plain"][1], "--wait", "0.3")
    assert done.returncode == 6
    assert SECRET not in done.stdout + done.stderr


def test_nor_where_a_run_fails_or_is_kept(
    on_postgresql: Cli, one_postgresql: Database, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server lets in whoever comes, also with a password."""
    url = make_url(one_postgresql.url).set(password=SECRET).render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    said = ""
    for statement, reason in (
        ("SELEKT 1", "syntax error"),
        ("SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(60)", "terminating connection"),
    ):
        write({"001_a.sql": "SELECT 1;", "002_b.sql": f"{statement};"})
        for command in ("run", "status", "plan", "log", "verify"):
            for options in ([], ["--debug"], ["--json"]):
                result = on_postgresql(command, *options)
                said += result.out + result.err
        assert reason in said
    on_postgresql("mark", "--all", "--yes", "--reason", "because")
    kept = one_postgresql.rows("SELECT * FROM schema_migrations_log, schema_migrations")
    assert kept
    assert SECRET not in f"{said} {kept}"
