"""`fluxmig check`: texts, formats, exit codes, git. What is unsound, the tests of the module ask."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.support import REPOSITORY

if TYPE_CHECKING:
    from tests.cli.conftest import Cli
    from tests.support import Write

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")

A = "CREATE TABLE a (id integer);\n"
B = "CREATE TABLE b (id integer);\n"
C = "CREATE TABLE c (id integer);\n"
IS_EDITED = (
    "is edited, and main has it: databases may have run the old text; put the old text back, and write the"
    " change as a new migration"
)
NOBODY = "postgresql://ada:s3cret@127.0.0.1:1/app"


@pytest.fixture(autouse=True)
def own_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the machine's configuration of git nor a hook that runs the tests."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(Path.cwd().parent))


@dataclass(frozen=True)
class Repo:
    """A repository."""

    root: Path

    def git(self, *arguments: str | Path) -> str:
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
        safe = ["-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always"]
        done = subprocess.run(
            ["git", *identity, *safe, *arguments],
            cwd=self.root,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, message: str = "more") -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def write(self, name: str, text: str | bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)


def init(root: Path) -> Repo:
    root.mkdir(parents=True, exist_ok=True)
    repo = Repo(root)
    repo.git("init", "--quiet")
    return repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """The working directory: main has 001_a.sql and 002_b.sql, and the branch `mine` is checked out."""
    repo = init(tmp_path)
    repo.write("migrations/001_a.sql", A)
    repo.write("migrations/002_b.sql", B)
    repo.commit()
    repo.git("checkout", "--quiet", "-b", "mine")
    return repo


# --- without git ------------------------------------------------------------------------------------------


def test_sound(bare: Cli, write: Write) -> None:
    write({"001_a.sql": A, "001_a.down.sql": "DROP TABLE a;", "002_b.sql": B})
    result = bare("check")
    assert (result.code, result.out, result.err) == (0, "2 migrations, 1 down script: sound.\n", "")


def test_one_line_a_finding(bare: Cli, write: Write) -> None:
    write({"001_a.sql": b"\xff", "002_b.sql": "SELECT 1;\nSELECT 'x;\n", "003_c.sql": "", "5.down.sql": A})
    result = bare("check")
    assert result.code == 3
    assert result.out.splitlines() == [
        "migrations/001_a.sql:1:1: is not UTF-8: byte 0xff; save it as UTF-8",
        "migrations/002_b.sql:2:8: this string is not closed",
        "migrations/003_c.sql: warning: holds no statement; is the SQL missing?",
        "migrations/5.down.sql: reverses 5.sql, which is not there; rename it, or add 5.sql",
    ]
    assert result.err == "3 errors, 1 warning in 4 files\n"


@pytest.mark.parametrize(
    ("strict", "code"),
    [((), 0), (("--strict",), 3), ("variable", 3), ("file", 3)],
)
def test_warnings_count_where_one_is_strict(
    bare: Cli, write: Write, monkeypatch: pytest.MonkeyPatch, strict: str | tuple[str, ...], code: int
) -> None:
    write({"001_a.sql": A, "001_b.sql": B})
    if strict == "variable":
        monkeypatch.setenv("FLUXMIG_STRICT", "true")
    if strict == "file":
        Path("fluxmig.toml").write_text("strict = true\n")
    result = bare("check", *(strict if isinstance(strict, tuple) else ()))
    warning = (
        "migrations/001_b.sql: warning: has the number of 001_a.sql, and their names decide the order;"
        " renumber the one that no database has\n"
    )
    assert result.code == code
    if code:
        assert (result.out, result.err) == (warning, "1 warning in 2 files\n")
    else:
        assert (result.out, result.err) == (f"{warning}2 migrations: sound, with 1 warning.\n", "")


def test_no_folder(bare: Cli) -> None:
    result = bare("check")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "error: there is no folder migrations\n`fluxmig create NAME` makes it, --migrations FOLDER or"
        " FLUXMIG_MIGRATIONS names another\n"
    )


def test_an_empty_folder(bare: Cli, folder: Path) -> None:
    result = bare("check")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "migrations: warning: holds no migration; `fluxmig create NAME` makes one, --migrations FOLDER names"
        " another folder\n0 migrations: sound, with 1 warning.\n"
    )
    assert bare("check", "--strict").code == 3


def test_names_that_reach_for_the_terminal(bare: Cli, write: Write) -> None:
    write({"001_\x1b[31m.sql": A, "002_b.sql": "-- fluxmig: \x1b[31m\nSELECT 1;"})
    for form in ("text", "github"):
        result = bare("check", "--format", form)
        assert result.code == 3
        assert "\x1b" not in result.out
        assert len(result.out.splitlines()) == 2


# --- which database, without asking it --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        (None, "postgresql"),
        (NOBODY, "postgresql"),
        ("postgres://127.0.0.1:1/app", "postgresql"),
        ("postgresql+asyncpg://127.0.0.1:1/app", "postgresql"),
        (
            "postgresql://ada:a@b:c/d#e@127.0.0.1:1/app",
            "postgresql",
        ),  # not for a connection, and none is made
        ("embedded", "postgresql"),
        ("embedded:there", "postgresql"),
        ("sqlite:///there.db", "sqlite"),
        (" SQLite:///there.db ", "sqlite"),
        ("mysql+nosuchdriver://127.0.0.1:1/app", "mysql"),
        ("mariadb://127.0.0.1:1/app", "mariadb"),
        ("oracle+oracledb://127.0.0.1:1/app", "generic"),
    ],
)
def test_the_dialect_is_that_of_the_url(
    bare: Cli, write: Write, monkeypatch: pytest.MonkeyPatch, url: str | None, dialect: str
) -> None:
    write({"001_a.sql": "SELECT $a$ ' $a$;"})
    if url:
        monkeypatch.setenv("DATABASE_URL", url)
    result = bare("check", "--json")
    assert result.json["dialect"] == dialect
    assert result.code == (0 if dialect == "postgresql" else 3)
    assert result.err == ""
    assert [path.name for path in Path().iterdir()] == ["migrations"]


@pytest.mark.parametrize(
    ("dialect", "code"), [("postgresql", 0), ("sqlite", 3), ("mysql", 3), ("generic", 3)]
)
@pytest.mark.parametrize("url", ["sqlite:///there.db", NOBODY, "nonsense with a s3cret"])
def test_the_option_wins(
    bare: Cli, write: Write, monkeypatch: pytest.MonkeyPatch, url: str, dialect: str, code: int
) -> None:
    write({"001_a.sql": "SELECT $a$ ' $a$;"})
    monkeypatch.setenv("DATABASE_URL", url)
    result = bare("check", "--dialect", dialect, "--json")
    assert result.code == code
    assert result.json["dialect"] == dialect
    assert "s3cret" not in result.out + result.err


@pytest.mark.parametrize("url", ["s3cret", "ada:s3cret@host/app", "://s3cret"])
def test_a_url_that_names_no_database(
    bare: Cli, write: Write, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    write({"001_a.sql": A})
    monkeypatch.setenv("DATABASE_URL", url)
    result = bare("check")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: the database URL cannot be read\n")
    assert "s3cret" not in result.err


def test_an_unknown_dialect(bare: Cli) -> None:
    result = bare("check", "--dialect", "oracle")
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[-1].startswith(
        "Error: Invalid value for '--dialect': 'oracle' is not one of"
    )


# --- formats ----------------------------------------------------------------------------------------------


def test_json(bare: Cli, write: Write) -> None:
    write({"001_a.sql": A, "002_b.sql": "SELECT 'x"})
    result = bare("check", "--json")
    assert (result.code, result.err) == (3, "")
    assert result.json == {
        "format": 1,
        "command": "check",
        "ok": False,
        "dialect": "postgresql",
        "files": 2,
        "migrations": 2,
        "down_scripts": 0,
        "base": None,
        "new": [],
        "findings": [
            {
                "level": "error",
                "kind": "refused",
                "file": "migrations/002_b.sql",
                "line": 1,
                "column": 8,
                "message": "this string is not closed",
                "remedy": None,
            }
        ],
    }
    write({"002_b.sql": B})
    result = bare("check", "--json", "--format", "text")
    assert (result.code, result.json["ok"], result.json["findings"]) == (0, True, [])


def test_an_error_in_json(bare: Cli) -> None:
    result = bare("check", "--json")
    assert result.code == 2
    assert result.json["command"] == "check"
    assert result.json["error"]["message"] == "there is no folder migrations"


def test_annotations_name_files_from_where_one_is_without_git(bare: Cli, write: Write) -> None:
    write({"001_a.sql": "SELECT 1;\n SELECT 'x", "002_b.sql": ""})
    result = bare("check", "--format", "github")
    title = "title=fluxmig check%2C"
    assert result.code == 3
    assert result.out.splitlines() == [
        f"::error file=migrations/001_a.sql,line=2,col=9,{title} refused::this string is not closed",
        f"::warning file=migrations/002_b.sql,{title} empty::holds no statement%0Ais the SQL missing?",
    ]
    assert result.err == "1 error, 1 warning in 2 files\n"


def test_annotations_name_files_from_the_root(bare: Cli, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.write("api db/sql, new/001_a.sql", "SELECT 'x")
    monkeypatch.chdir("api db")
    result = bare("check", "--format", "github", "--migrations", "sql, new")
    assert result.out == (
        "::error file=api db/sql%2C new/001_a.sql,line=1,col=8,title=fluxmig check%2C refused::"
        "this string is not closed\n"
    )


def test_annotations_of_what_is_sound(bare: Cli, repo: Repo) -> None:
    result = bare("check", "--format", "github", "--base", "main")
    assert (result.code, result.out) == (0, "2 migrations, 0 new since main: sound.\n")


def test_annotations_and_json(bare: Cli, folder: Path) -> None:
    result = bare("check", "--format", "github", "--json")
    assert result.code == 2
    assert (
        result.err
        == "error: --format github prints annotations, and --json a document\ntake one of the two\n"
    )


# --- beside a branch --------------------------------------------------------------------------------------


def test_new_and_untracked(bare: Cli, repo: Repo) -> None:
    repo.write("migrations/003_c.sql", C)
    result = bare("check", "--base", "main")
    assert (result.code, result.out, result.err) == (0, "3 migrations, 1 new since main: sound.\n", "")
    assert bare("check", "--base", "main", "--json").json["new"] == ["003_c.sql"]


@pytest.mark.parametrize("is_committed", [False, True])
def test_what_a_branch_did(bare: Cli, repo: Repo, *, is_committed: bool) -> None:
    repo.write("migrations/001_a.sql", "SELECT 1;\n")
    Path("migrations/002_b.sql").unlink()
    repo.write("migrations/001_c.sql", C)
    if is_committed:
        repo.commit()
    result = bare("check", "--base", "main")
    assert result.code == 3
    assert result.out.splitlines() == [
        f"migrations/001_a.sql: {IS_EDITED}",
        "migrations/001_c.sql: number 001 is taken by 001_a.sql in main; renumber it to 003 or higher",
        "migrations/002_b.sql: is deleted, and main has it; bring it back: databases may have run it",
    ]
    assert result.err == "3 errors in 2 files\n"


def test_the_findings_that_the_readme_shows(bare: Cli, repo: Repo) -> None:
    repo.write("migrations/007_add_teams.sql", C)
    repo.write("migrations/008_add_roles.sql", "SELECT 8;\n")
    repo.commit()
    repo.git("update-ref", "refs/remotes/origin/main", "mine")
    repo.write("migrations/007_add_tags.sql", "SELECT 7;\n")
    repo.write("migrations/009_add_due_dates.sql", "\n" * 11 + "  'x")
    result = bare("check", "--base", "origin/main")
    assert result.code == 3
    assert f"```text\n{result.out}```" in README


def test_a_renamed_file(bare: Cli, repo: Repo) -> None:
    repo.git("mv", "migrations/002_b.sql", "migrations/003_b.sql")
    result = bare("check", "--base", "main")
    assert result.code == 3
    assert result.out == (
        "migrations/002_b.sql: is renamed to 003_b.sql, and main has it;"
        " give it its name back: databases know it by that\n"
    )


def test_what_main_got_since(bare: Cli, repo: Repo) -> None:
    repo.write("migrations/003_mine.sql", C)
    repo.commit()
    repo.git("checkout", "--quiet", "main")
    repo.write("migrations/003_theirs.sql", "SELECT 3;\n")
    repo.write("migrations/004_theirs.sql", "SELECT 4;\n")
    repo.commit()
    repo.git("checkout", "--quiet", "mine")
    result = bare("check", "--base", "main")
    assert result.code == 3
    assert result.out == (
        "migrations/003_mine.sql: number 003 is taken by 003_theirs.sql in main;"
        " renumber it to 005 or higher\n"
    )
    repo.git("mv", "migrations/003_mine.sql", "migrations/005_mine.sql")
    assert bare("check", "--base", "main").code == 0
    repo.commit()
    repo.git("merge", "--quiet", "main")
    result = bare("check", "--base", "main")
    assert (result.code, result.out) == (0, "5 migrations, 1 new since main: sound.\n")


def test_a_branch_that_main_took_squashed(bare: Cli, repo: Repo) -> None:
    repo.write("migrations/003_c.sql", C)
    repo.commit()
    repo.git("checkout", "--quiet", "main")
    repo.git("merge", "--quiet", "--squash", "mine")
    repo.commit()
    repo.git("checkout", "--quiet", "mine")
    repo.write("migrations/004_d.sql", "SELECT 4;\n")
    result = bare("check", "--base", "main")
    assert (result.code, result.out) == (0, "4 migrations, 1 new since main: sound.\n")


def test_main_itself(bare: Cli, repo: Repo) -> None:
    repo.git("checkout", "--quiet", "main")
    result = bare("check", "--base", "main")
    assert (result.code, result.out) == (0, "2 migrations, 0 new since main: sound.\n")


@pytest.mark.parametrize("ref", ["HEAD", "HEAD~0", "refs/heads/main", "v1", "v2", "@"])
def test_any_name_of_a_commit(bare: Cli, repo: Repo, ref: str) -> None:
    repo.git("tag", "v1")
    repo.git("tag", "--annotate", "v2", "--message", "two")
    result = bare("check", "--base", ref)
    assert (result.code, result.out) == (0, f"2 migrations, 0 new since {ref}: sound.\n")


def test_a_commit_by_its_id(bare: Cli, repo: Repo) -> None:
    assert bare("check", "--base", repo.git("rev-parse", "--short", "HEAD")).code == 0


def test_line_ends_and_what_git_makes_of_them(bare: Cli, repo: Repo) -> None:
    repo.write("migrations/001_a.sql", A.replace("\n", "\r\n"))
    repo.write("migrations/002_b.sql", b"\xef\xbb\xbf" + B.encode())
    assert bare("check", "--base", "main").code == 0


def test_the_folder_is_the_root(bare: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = init(tmp_path / "sql")
    repo.write("001_a.sql", A)
    repo.write("sub/001_x.sql", "SELECT 'x")
    repo.commit()
    repo.write("001_a.sql", B)
    monkeypatch.chdir(repo.root)
    result = bare("check", "--migrations", ".", "--base", "main")
    assert result.code == 3
    assert result.out.startswith("001_a.sql: is edited, and main has it")
    assert bare("check", "--migrations", ".", "--base", "main", "--format", "github").out.startswith(
        "::error file=001_a.sql,title=fluxmig check%2C edited::is edited"
    )


def test_the_folder_is_elsewhere(
    bare: Cli, repo: Repo, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write("migrations/001_a.sql", B)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    folder = repo.root / "migrations"
    result = bare("check", "--migrations", folder, "--base", "main")
    assert result.code == 3
    assert result.out.startswith(f"{folder}/001_a.sql: is edited, and main has it")


def test_the_folder_is_a_link(bare: Cli, repo: Repo) -> None:
    Path("link").symlink_to("migrations")
    repo.write("migrations/001_a.sql", C)
    result = bare("check", "--migrations", "link", "--base", "main")
    assert result.code == 3
    assert result.out.startswith("link/001_a.sql: is edited, and main has it")


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "a'b\"c",
        "größe",
        "-x",
        ":(top)x",
        "*",
        "a\nb",
        "a\tb",
        "$HOME",
        "\\x",
        b"\xff".decode("utf-8", "surrogateescape"),
    ],
)
def test_names_of_folders(bare: Cli, repo: Repo, name: str) -> None:
    repo.write(f"{name}/001_a b'\"ö*.sql", A)
    repo.write(f"{name}/notes.txt", A)
    repo.write(f"{name}/.hidden.sql", A)
    repo.commit()
    repo.git("branch", "--force", "main")
    assert bare("check", "--migrations", f"./{name}", "--base", "main", "--json").json["new"] == []
    repo.write(f"{name}/001_a b'\"ö*.sql", B)
    result = bare("check", "--migrations", f"./{name}", "--base", "main", "--json")
    assert [finding["kind"] for finding in result.json["findings"]] == ["edited"]
    assert bare("check", "--migrations", f"./{name}", "--base", "main").code == 3


def test_a_folder_that_the_base_does_not_have(bare: Cli, repo: Repo) -> None:
    repo.git("mv", "migrations", "sql")
    result = bare("check", "--migrations", "sql", "--base", "main")
    assert (result.code, result.out) == (0, "2 migrations, 2 new since main: sound.\n")


def test_a_folder_that_the_base_has_as_a_file(bare: Cli, repo: Repo) -> None:
    repo.write("sql", "a file")
    repo.commit()
    repo.git("branch", "--force", "main")
    Path("sql").unlink()
    repo.write("sql/001_a.sql", A)
    result = bare("check", "--migrations", "sql", "--base", "main")
    assert (result.code, result.out) == (0, "1 migration, 1 new since main: sound.\n")


def test_links(bare: Cli, repo: Repo, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "x.sql"
    outside.write_text("SELECT 4;\n")
    repo.write("shared/c.sql", C)
    Path("migrations/003_c.sql").symlink_to("../shared/c.sql")
    Path("migrations/004_d.sql").symlink_to(outside)
    repo.commit()
    repo.git("branch", "--force", "main")
    assert bare("check", "--base", "main").code == 0
    outside.write_text("SELECT 5;\n")  # git does not know what it was
    assert bare("check", "--base", "main").code == 0
    repo.write("shared/c.sql", "SELECT 3;\n")
    result = bare("check", "--base", "main")
    assert result.code == 3
    assert result.out.startswith("migrations/003_c.sql: is edited, and main has it")
    repo.write("shared/c.sql", C)
    Path("migrations/004_d.sql").unlink()
    assert bare("check", "--base", "main").out == (
        "migrations/004_d.sql: is deleted, and main has it; bring it back: databases may have run it\n"
    )


def test_a_worktree(bare: Cli, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.git("worktree", "add", "--quiet", "there", "-b", "other", "main")
    monkeypatch.chdir("there")
    Path("migrations/001_a.sql").write_text(C)
    assert bare("check", "--base", "main").code == 3
    assert bare("check", "--base", "mine", "--migrations", "../migrations").code == 0


def test_a_submodule(bare: Cli, repo: Repo, tmp_path_factory: pytest.TempPathFactory) -> None:
    inner = init(tmp_path_factory.mktemp("inner"))
    inner.write("sql/001_a.sql", A)
    inner.commit("of the submodule")
    repo.git("submodule", "--quiet", "add", inner.root, "module")
    repo.commit()
    repo.write("module/sql/002_b.sql", B)
    result = bare("check", "--migrations", "module/sql", "--base", "origin/main")
    assert (result.code, result.out) == (0, "2 migrations, 1 new since origin/main: sound.\n")


def test_a_repository_of_sha256(bare: Cli, tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    repo.git("init", "--quiet", "--object-format=sha256")
    repo.write("migrations/001_a.sql", A)
    repo.commit()
    assert bare("check", "--base", "main").code == 0


def test_in_a_hook(
    bare: Cli, repo: Repo, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = init(tmp_path_factory.mktemp("other"))
    repo.write("migrations/001_a.sql", C)
    for name, value in {
        "GIT_DIR": str(other.root / ".git"),
        "GIT_WORK_TREE": str(other.root),
        "GIT_INDEX_FILE": "nowhere",
        "GIT_PREFIX": "x/",
        "GIT_OBJECT_DIRECTORY": "nowhere",
        "GIT_ICASE_PATHSPECS": "1",
        "GIT_TRACE": "1",
        "LC_ALL": "de_DE.UTF-8",
    }.items():
        monkeypatch.setenv(name, value)
    result = bare("check", "--base", "main")
    assert result.code == 3
    assert result.out.startswith("migrations/001_a.sql: is edited, and main has it")


def test_the_hook_that_the_readme_shows(repo: Repo) -> None:
    repo.git("update-ref", "refs/remotes/origin/main", "main")
    (command,) = re.findall(r"^exec (fluxmig check .*)$", README, re.MULTILINE)
    hook = Path(".git/hooks/pre-commit")
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m {command}\n")
    hook.chmod(0o755)
    repo.write("migrations/001_a.sql", C)
    with pytest.raises(subprocess.CalledProcessError) as raised:
        repo.commit()
    assert "migrations/001_a.sql: is edited" in raised.value.stdout + raised.value.stderr
    repo.write("migrations/001_a.sql", A)
    repo.write("migrations/003_c.sql", C)
    assert repo.commit()


def test_nothing_is_written(bare: Cli, repo: Repo) -> None:
    def state() -> dict[Path, tuple[int, bytes]]:
        files = [path for path in repo.root.rglob("*") if path.is_file()]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    repo.write("migrations/001_a.sql", C)
    before = state()
    assert bare("check", "--base", "main").code == 3
    assert state() == before


# --- what git cannot tell ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ref", ["nosuch", "", "-", "--all", "-h", "--git-dir", "^main", "main..mine", "x y", "ö'"]
)
def test_no_such_commit(bare: Cli, repo: Repo, ref: str) -> None:
    result = bare("check", f"--base={ref}")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        f"error: --base: git knows no such commit {ref!r}\n"
        "`git branch --all` lists the branches that there are\n"
    )


def test_no_such_commit_in_a_clone(
    bare: Cli, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.git("clone", "--quiet", ".", "there")
    monkeypatch.chdir("there")
    result = bare("check", "--base", "origin/dev")
    assert result.code == 2
    assert result.err == "error: --base: git knows no such commit 'origin/dev'\n`git fetch origin dev`\n"
    result = bare("check", "--base", "dev")
    assert result.err == (
        "error: --base: git knows no such commit 'dev'\n"
        "`git branch --all` lists what there is; `git fetch origin` and --base origin/BRANCH\n"
    )


def test_a_password_in_the_wrong_place(bare: Cli, repo: Repo) -> None:
    result = bare("check", "--base", NOBODY)
    assert result.code == 2
    assert "s3cret" not in result.err


def test_a_shallow_clone(bare: Cli, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit("mine")
    repo.git("clone", "--quiet", "--depth=1", "--branch=mine", f"file://{repo.root}", "there")
    monkeypatch.chdir("there")
    result = bare("check", "--base", "origin/main")
    assert result.code == 2
    assert result.err == (
        "error: --base: git knows no such commit 'origin/main'\n"
        "`git fetch origin main`; in GitHub Actions, give actions/checkout `fetch-depth: 0`\n"
    )
    there = Repo(repo.root / "there")
    repo.git("checkout", "--quiet", "main")
    repo.commit("main")
    there.git("fetch", "--quiet", "--depth=1", "origin", "main:refs/remotes/origin/main")
    result = bare("check", "--base", "origin/main")
    assert result.code == 2
    assert result.err == (
        "error: --base: HEAD and origin/main have no commit in common\n"
        "the clone is shallow: `git fetch --unshallow`; in GitHub Actions, give actions/checkout"
        " `fetch-depth: 0`\n"
    )
    there.git("fetch", "--quiet", "--unshallow", "origin", "mine", "main")
    assert bare("check", "--base", "origin/main").code == 0


def test_histories_without_a_common_commit(bare: Cli, repo: Repo) -> None:
    repo.git("checkout", "--quiet", "--orphan", "other")
    repo.git("rm", "--quiet", "--cached", "-r", ".")
    result = bare("check", "--base", "main")
    assert (result.code, result.err) == (2, "error: --base: HEAD has no commit yet\ncommit first\n")
    repo.commit("another beginning")
    result = bare("check", "--base", "main")
    assert (result.code, result.err) == (
        2,
        "error: --base: HEAD and main have no commit in common\nname the branch that this one began from\n",
    )


@pytest.mark.parametrize("is_bare", [False, True])
def test_no_working_tree(bare: Cli, folder: Path, tmp_path: Path, *, is_bare: bool) -> None:
    if is_bare:
        Repo(tmp_path).git("init", "--quiet", "--bare")
    result = bare("check", "--base", "main")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "error: --base needs git's working tree, and migrations is in none\n"
        "run it in a clone, or leave --base out\n"
    )


def test_no_git(bare: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = bare("check", "--base", "main")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "error: --base needs git, which cannot be run: No such file or directory\n"
        "install git, or leave --base out\n"
    )
    assert bare("check", "--format", "github").code == 0


def test_what_git_refuses(bare: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that runs as another user than the checkout: git names the way out itself."""
    program = tmp_path / "git"
    program.write_text(
        "#!/bin/sh\nexec >&2\necho \"fatal: detected dubious ownership in repository at '/work'\"\n"
        "echo 'To add an exception for this directory, call:'\necho\n"
        "printf '\\tgit config --global --add safe.directory /work\\n'\nexit 128\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    result = bare("check", "--base", "main")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "error: --base: git says detected dubious ownership in repository at '/work'\n"
        "`git config --global --add safe.directory /work`\n"
    )


def test_an_object_that_git_lacks(bare: Cli, repo: Repo) -> None:
    blob = repo.git("rev-parse", "main:migrations/001_a.sql")
    (repo.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    result = bare("check", "--base", "main")
    assert (result.code, result.err) == (
        2,
        f"error: --base: git lacks the object {blob}\n`git fsck` tells more; a new clone mends it\n",
    )
