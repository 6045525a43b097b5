"""The ready-made tests: that they pass where all is well, and what they say where it is not."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SOUND = {
    "002_add_notes.sql": "ALTER TABLE users ADD COLUMN note text;",
    "002_add_notes.down.sql": "ALTER TABLE users DROP COLUMN note;",
    "003_index.sql": "CREATE INDEX users_name ON users (name);",
    "003_index.down.sql": "DROP INDEX users_name;",
}
SCHEMA = "CREATE TABLE users (id integer PRIMARY KEY, name varchar(40) NOT NULL, note text);\n"
SCHEMA += "CREATE INDEX users_name ON users (name);\n"
NAMES = [
    "test_the_folder_is_sound",
    "test_every_migration_applies_to_an_empty_database",
    "test_a_second_run_does_nothing",
    "test_every_down_script_restores_what_was_there",
    "test_two_runners_at_once_apply_each_migration_once",
    "test_the_schema_file_gives_the_same",
    "test_an_upgrade_from_the_last_release_gives_the_same",
]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).write_text(content)


def release(folder: Path, tag: str) -> None:
    """Commits all that is there, and tags it."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "migrations"], ["commit", "-qm", "all"], ["tag", tag]):
        subprocess.run([*git, *words], cwd=folder, check=True)


@pytest.mark.parametrize("source", ["sqlite", "postgresql-18"], indirect=True)
def test_a_sound_project_passes(source: str, project: pytest.Pytester) -> None:
    release(project.path, "v1")
    write(project.path / "migrations", SOUND)
    write(project.path, {"schema.sql": SCHEMA})
    project.makepyfile("from fluxmig.testing.suite import *")
    done = project.runpytest_subprocess("-v", f"--fluxmig-server={source}")
    done.assert_outcomes(passed=7)
    done.stdout.fnmatch_lines_random([f"*::{name} PASSED*" for name in NAMES])


def test_they_come_by_an_option_too_and_skip_what_is_not_there(project: pytest.Pytester) -> None:
    project.makepyfile("def test_of_the_project(): pass")
    done = project.runpytest_subprocess(
        "-rs", "--fluxmig-suite", "--fluxmig-server=sqlite", "-k", "project or schema or down or release"
    )
    done.assert_outcomes(passed=1, skipped=3, deselected=4)
    done.stdout.fnmatch_lines_random(
        [
            "*no migration has a down script",
            f"*there is no {project.path}/schema.sql",
            "*--base needs git's working tree, and * is in none",
        ]
    )


def test_what_is_wrong_is_named(project: pytest.Pytester) -> None:
    release(project.path, "v1")
    folder = project.path / "migrations"
    write(folder, SOUND)
    write(
        folder,
        {
            "001_users.sql": "CREATE TABLE users (id bigint PRIMARY KEY, name varchar(40) NOT NULL);",
            "002_add_notes.down.sql": "SELECT 1;",
            "003_index.down.sql": "DROP INDEX nonsense;",
            "004_again.sql": "CREATE TABLE users (id integer);",
            "005_open.down.sql": "SELECT 1;",
        },
    )
    write(project.path, {"schema.sql": SCHEMA})
    done = project.runpytest_subprocess("--fluxmig-suite", "--fluxmig-server=sqlite", "--fluxmig-base=v1")
    done.assert_outcomes(failed=5, passed=2)
    down = folder / "003_index.down.sql"
    lines = done.stdout.lines
    assert any(line.startswith(f"{folder}/005_open.down.sql: reverses 005_open.sql") for line in lines)
    for line in (
        "004_again.sql is marked: table users already exists",
        "002_add_notes.down.sql:",
        "column users.note is new: text, number 3",
        "003_index.down.sql:",
        "the down script of 003_index.sql failed, and changed nothing",
        f"{down}:1:1: no such index: nonsense [SQLITE_ERROR]",
        "not the same in schema.sql, and with the migrations:",
        "column users.id was integer primary key, number 1, and is bigint primary key, number 1",
        "not the same upgraded from v1, and afresh:",
    ):
        assert line in lines, line


def test_a_ref_that_is_not_there_fails(project: pytest.Pytester) -> None:
    release(project.path, "v1")
    done = project.runpytest_subprocess(
        "--fluxmig-suite", "--fluxmig-server=sqlite", "--fluxmig-base=v2", "-k", "release"
    )
    done.assert_outcomes(failed=1, deselected=6)
    assert "--base: git knows no such commit 'v2'" in done.stdout.lines
