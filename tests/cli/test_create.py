"""`fluxmig create`: names, headers, options. What a folder makes of names is for tests of the layout."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.support import process

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Cli

HEADER = re.compile(
    r"-- Migration: (?P<title>.+)\n"
    r"-- Created: (?P<created>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\n"
    r"-- Description:(?P<description>.*)\n\n"
)


def test_the_first_migration_makes_the_folder(bare: Cli) -> None:
    result = bare("create", "add user settings")
    assert (result.code, result.out, result.err) == (
        0,
        "Created migrations/001_add_user_settings.sql\n",
        "",
    )
    header = HEADER.fullmatch(Path("migrations/001_add_user_settings.sql").read_text())
    assert header
    assert header["title"] == "add user settings"
    assert header["description"] == ""
    age = datetime.now(UTC) - datetime.fromisoformat(header["created"])
    assert timedelta(seconds=-1) <= age < timedelta(minutes=1)


def test_words_need_no_quotes(bare: Cli) -> None:
    assert bare("create", "add", "user", "settings").out == "Created migrations/001_add_user_settings.sql\n"


def test_the_next_number(bare: Cli, write: Callable[..., None]) -> None:
    write({"009_a.sql": "", "105_b.sql": "", "notes.sql": ""})
    assert bare("create", "AddUserSettings").out == "Created migrations/106_add_user_settings.sql\n"


def test_with_down(bare: Cli) -> None:
    result = bare("create", "--with-down", "a b")
    assert result.out == "Created migrations/001_a_b.sql\nCreated migrations/001_a_b.down.sql\n"
    header = HEADER.fullmatch(Path("migrations/001_a_b.down.sql").read_text())
    assert header
    assert header["description"] == " reverses it"


def test_timestamp(bare: Cli) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    match = re.fullmatch(r"Created migrations/(\d{14})_a\.sql\n", bare("create", "--timestamp", "a").out)
    assert match
    assert before <= datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC) <= datetime.now(UTC)


def test_twice_the_same_name_is_two_files(bare: Cli) -> None:
    assert bare("create", "a").out == "Created migrations/001_a.sql\n"
    assert bare("create", "a").out == "Created migrations/002_a.sql\n"


def test_a_new_file_is_a_migration_that_warns(bare: Cli, cli: Cli) -> None:
    bare("create", "a")
    result = cli("run")
    assert (result.code, result.err) == (
        0,
        "warning: holds no statement: 001_a.sql\n  is the SQL missing?\n",
    )


def test_a_name_without_a_letter(bare: Cli) -> None:
    result = bare("create", "!!!")
    assert (result.code, result.out, result.err) == (
        2,
        "",
        "error: '!!!' holds no letter or digit\nname it like `add user settings`\n",
    )


def test_no_name(bare: Cli) -> None:
    result = bare("create")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Usage: fluxmig create [OPTIONS] NAME...\n")
    assert result.err.endswith("\nError: Missing argument 'NAME...'.\n")


def test_a_file_where_the_folder_should_be(bare: Cli, tmp_path: Path) -> None:
    (tmp_path / "migrations").write_text("")
    result = bare("create", "a")
    assert (result.code, result.out, result.err) == (
        2,
        "",
        "error: cannot create a file in migrations: File exists\n",
    )


def test_another_folder(bare: Cli, tmp_path: Path) -> None:
    assert bare("create", "a", "--migrations", "db/sql").out == "Created db/sql/001_a.sql\n"
    assert (tmp_path / "db/sql/001_a.sql").exists()


@pytest.mark.parametrize("word", ["größe", "名前"])
def test_letters_of_any_alphabet(word: str) -> None:
    result = process("create", word)
    assert (result.returncode, result.stdout) == (0, f"Created migrations/001_{word}.sql\n")


def test_no_database_is_needed(bare: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    assert bare("create", "a").code == 0
