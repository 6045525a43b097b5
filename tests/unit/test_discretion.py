"""`fluxmig.discretion`: what may be shown where a URL is involved."""

from __future__ import annotations

import pytest

from fluxmig.discretion import known, masked, repeats, word

URL = "postgresql://ada:S3cret%21x@db.example:5432/studio?sslmode=require"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"connecting to {URL}", "connecting to ***"),
        ("password S3cret%21x", "password ***"),
        ("password 'S3cret!x' of ada", "password '***' of ada"),
        ("ada:S3cret%21x at db.example", "*** at db.example"),
        ("database studio at db.example:5432", "database studio at db.example:5432"),
        ("S3cret", "S3cret"),
    ],
)
def test_masked(text: str, shown: str) -> None:
    assert masked(text, None, URL) == shown


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("postgresql://h/d?user=ada&password=S3cret&x=1", "S3cret"),
        ("postgresql://h/d?sslpassword=S3cret", "S3cret"),
        ("host=h user=ada password='S3 cret' dbname=d", "S3 cret"),
        ("host=h PASSWORD = S3cret", "S3cret"),
        ("postgresql://:S3cret@h/d", "S3cret"),
        ("postgresql://ada:x@S3cret@h/d", "x@S3cret"),
        ("postgresql://ada:a+b+c+d@h/d", "a b c d"),
    ],
)
def test_where_passwords_stand(url: str, secret: str) -> None:
    assert masked(f"<{secret}>", url) == "<***>"


def test_what_hides_nothing_stays() -> None:
    """A password that is the user's name, too, or has hardly a letter: all else would be unreadable."""
    assert masked("File fluxmig/postgresql.py", "postgresql://postgresql:postgresql@h/d") == (
        "File fluxmig/postgresql.py"
    )
    assert masked("abc", "postgresql://ada:abc@h/d") == "abc"


@pytest.mark.parametrize(
    "text",
    [
        "host db.example is not known",
        "no database studio",
        "S3cret!x",
        "S3CRET is no port",
        "port 5432",
    ],
)
def test_a_text_that_repeats_a_url(text: str) -> None:
    assert repeats(text, URL)


@pytest.mark.parametrize(
    "text",
    [
        "Connection refused",
        "connection timeout expired",
        "the session may not read",
        "students",  # no word of the URL, and no long part of one
        "",
    ],
)
def test_a_text_that_does_not(text: str) -> None:
    assert not repeats(text, URL)
    assert not repeats(text, "postgresql://h/d?sslmode=require&target_session_attrs=read-write")


@pytest.mark.parametrize(
    ("name", "shown"),
    [("sslmode", "sslmode"), ("connect_timeout", "connect_timeout"), ("bogus", "bogus")]
    + [(name, "…") for name in ("S3cret", "SECRET", "a1", "a b", "a-b", "_a", "")],
)
def test_word(name: str, shown: str) -> None:
    assert word(name) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("postgresql", "postgresql"),
        ("postgressql", "postgressql"),
        ("PostgreSQL+Psycopg", "PostgreSQL+Psycopg"),
        ("mysql+mysqldb", "mysql+mysqldb"),
        ("hunter2", "…"),
        ("postgresql+hunter2", "postgresql+…"),
    ],
)
def test_known(name: str, shown: str) -> None:
    assert known(name) == shown
