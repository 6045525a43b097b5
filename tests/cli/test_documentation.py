"""What README.md and docs/ say is what happens."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest

from fluxmig import config, dialects, errors, fleet, hazards
from fluxmig.cli import main
from fluxmig.dialects.postgresql_kin import YugabyteDB
from fluxmig.fleet.model import WORST_FIRST
from tests.cli.support import Result, process
from tests.support import EXAMPLES, Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support import Write

ROOT = EXAMPLES.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FILES = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def masked(text: str) -> str:
    return re.sub(r"\d+\.\d\ds", "0.00s", text)


def fluxmig(*words: str, folder: Path, **environ: str) -> Result:
    """`fluxmig WORDS` in a folder, with these variables; in this process, which saves half a second."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "stdin", io.StringIO())
        for name, value in environ.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main.main(list(words), prog_name="fluxmig")
    assert isinstance(ended.value.code, int)
    return Result(ended.value.code, out.getvalue(), err.getvalue())


def environment_table() -> str:
    lines = ["| variable | option | meaning |", "| --- | --- | --- |"]
    for setting in config.SETTINGS:
        variables = ", ".join(f"`{name}`" for name in reversed(setting.environment))
        option = f"`--{setting.key}`" if setting.has_option else ""
        lines.append(f"| {variables} | {option} | {setting.help} |")
    return "\n".join(lines)


def test_the_environment_table_is_that_of_the_settings() -> None:
    found = re.search(r"<!-- environment -->\n(.*?)\n<!-- /environment -->", README, re.DOTALL)
    assert found is not None
    assert found[1].strip() == environment_table()


def capability_table() -> str:
    heads = ["", "rolls DDL back", "lock", "duplicates by", "places of errors by", "concurrent index", "COPY"]
    heads += ["scratch", "tested"]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for dialect in (*map(dialects.dialect_named, dialects.NAMES), YugabyteDB(), dialects.Generic()):
        can = dialect.capabilities
        cells = [dialect.product if dialect.name != "generic" else "any other"]
        rolls_back = {True: "yes", False: "no", None: "found out by a probe"}[can.transactional_ddl]
        cells += [rolls_back, can.lock, can.duplicates, can.positions]
        cells += ["yes" if can.concurrent_index else "", "yes" if can.copy else "", can.scratch, can.tested]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_table_of_databases_is_that_of_their_classes() -> None:
    found = re.search(r"<!-- databases -->\n(.*?)\n<!-- /databases -->", README, re.DOTALL)
    assert found is not None
    assert found[1].strip() == capability_table()


def test_the_exit_codes_are_those_of_the_errors() -> None:
    section = README.split("## Exit codes")[1].split("\n## ")[0]
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    raised = {getattr(errors, name).exit_code for name in errors.__all__}
    assert documented == raised | {0, 10, 130, 143}


def test_the_findings_of_a_rehearsal_are_those_of_the_page() -> None:
    page = (ROOT / "docs" / "rehearse.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- findings -->\n(.*?)\n<!-- /findings -->", page, re.DOTALL)
    rows = "".join(f"\n| `{name}` | {meaning} |" for name, meaning in hazards.NAMES.items())
    assert found is not None
    assert found[1].strip() == f"| name | what |\n| --- | --- |{rows}"


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A folder with the examples; a server's data, which as root may lie elsewhere, goes with the test."""
    shutil.copytree(EXAMPLES, tmp_path / "migrations")
    yield tmp_path
    shutil.rmtree((tmp_path / ".fluxmig" / "postgres").resolve())


def test_the_first_command_does_what_the_readme_shows(clone: Path) -> None:
    (command,) = [block for block in blocks(README, "sh") if "fluxmig run" in block]
    words = command.strip().rpartition(".venv/bin/fluxmig ")[2].split()
    first = process(*words, cwd=clone, stderr=subprocess.STDOUT)
    shown = next(block for block in blocks(README, "text") if "015_add_project_archive" in block)
    parts = masked(shown).split("  ...\n")
    assert len(parts) > 1
    assert re.fullmatch(".*".join(map(re.escape, parts)), masked(first.stdout), re.DOTALL)
    assert first.returncode == 0
    again = process(*words, cwd=clone)
    assert again.stdout.startswith("Nothing to run: every migration is applied.\n")
    assert not (clone / ".fluxmig" / "postgres" / "data" / "postmaster.pid").exists()


def test_the_failure_that_the_readme_shows(one_postgresql: Database, tmp_path: Path, write: Write) -> None:
    write(
        {
            "001_create_users.sql": "CREATE TABLE users (id uuid PRIMARY KEY);\n",
            "002_create_projects.sql": "CREATE TYPE mood AS ENUM ('good');\n\nCREATE TABLE projects (\n"
            "  id uuid PRIMARY KEY,\n  owner uuid REFERENCES accounts (id)\n);\n",
        }
    )
    done = fluxmig("run", folder=tmp_path, DATABASE_URL=one_postgresql.url)
    shown = next(block for block in blocks(README, "text") if "accounts" in block)
    assert masked(done.out + done.err) == masked(shown)
    assert done.code == 1


def test_the_edited_file_that_the_readme_shows(sqlite: Database, tmp_path: Path, write: Write) -> None:
    text = "CREATE TABLE projects (\n  id uuid PRIMARY KEY,\n  name text\n);\n"
    write({"002_create_projects.sql": text})
    fluxmig("run", folder=tmp_path, DATABASE_URL=sqlite.url)
    sqlite.rows("UPDATE schema_migrations SET applied_at = '2026-01-05 09:30:00.000000'")
    write({"002_create_projects.sql": text.replace("name text", "name text NOT NULL")})
    done = fluxmig("status", "--diff", folder=tmp_path, DATABASE_URL=sqlite.url)
    shown = next(block for block in blocks(README, "text") if "[modified]" in block)
    first, last = masked(shown).split("...\n")
    assert first in masked(done.out)
    assert masked(done.out).endswith(f"\n\n{last}")


def test_the_file_half_way_that_is_shown(one_postgresql: Database, tmp_path: Path, write: Write) -> None:
    shown = next(block for block in blocks(FILES, "text") if "tasks_owner_idx" in block)
    text = "".join(re.findall(r"^  \d \| (.*\n)", shown, re.MULTILINE))
    write({"001_tasks.sql": "CREATE TABLE tasks (state text, title text);", "002_index_tasks.sql": text})
    done = fluxmig("run", folder=tmp_path, DATABASE_URL=one_postgresql.url)
    assert (done.code, done.err) == (1, shown)


def test_the_refusal_that_is_shown(sqlite: Database, tmp_path: Path, write: Write) -> None:
    text = "-- fluxmig: no-transaction\nCREATE TABLE a (b int);\nCREATE TABLE c (d int);\nno;\n"
    write({"004_add_file_versions.sql": text})
    fluxmig("run", folder=tmp_path, DATABASE_URL=sqlite.url)
    done = fluxmig("mark", "4", folder=tmp_path, DATABASE_URL=sqlite.url)
    (shown,) = blocks((ROOT / "docs" / "ledger.md").read_text(encoding="utf-8"), "text")
    assert (done.code, done.out, done.err) == (4, "", shown)


def test_the_renamed_file_that_is_shown(sqlite: Database, tmp_path: Path, write: Write) -> None:
    write({"001_users.sql": "CREATE TABLE users (id integer);\n"})
    fluxmig("run", folder=tmp_path, DATABASE_URL=sqlite.url)
    (tmp_path / "migrations" / "001_users.sql").rename(tmp_path / "migrations" / "002_users.sql")
    done = fluxmig("run", folder=tmp_path, DATABASE_URL=sqlite.url)
    shown = next(block for block in blocks(FILES, "text") if "a second time" in block)
    assert (done.code, done.out, done.err) == (4, "", shown)


def test_the_rehearsal_that_the_readme_shows(one_postgresql: Database, tmp_path: Path, write: Write) -> None:
    write(
        {
            "001_users.sql": "CREATE TABLE users (id integer PRIMARY KEY);\n",
            "002_messages.sql": "CREATE TABLE messages (id integer PRIMARY KEY, sent timestamptz);\n",
        }
    )
    git("init", "-q", "-b", "main", folder=tmp_path)
    git("add", ".", folder=tmp_path)
    git("commit", "-qm", "Begin", folder=tmp_path)
    git("update-ref", "refs/remotes/origin/main", "main", folder=tmp_path)
    write(
        {
            "003_add_subject.sql": "ALTER TABLE messages ADD COLUMN subject text;\n"
            "ALTER TABLE messages ALTER COLUMN id TYPE bigint;\n"
            "CREATE INDEX messages_sent_idx ON messages (sent);\n"
        }
    )
    words = ("rehearse", "--from-ref", "origin/main", "--deny", "rewrite", "--on", one_postgresql.url)
    done = fluxmig(*words, folder=tmp_path)
    shown = next(block for block in blocks(README, "text") if "Rehearsing" in block)

    def plain(text: str) -> str:
        text = re.sub(r"PostgreSQL [\d.]+ \(.*?\)", "PostgreSQL", masked(text))
        return re.sub(r" +\d+\.\d ms", " 0.0 ms", re.sub(r" +time  ", " time  ", text))

    assert plain(done.out + done.err) == plain(shown)
    assert done.code == 1


def git(*words: str, folder: Path) -> None:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def test_the_librarys_example(one_postgresql: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    example = next(block for block in blocks(README, "python") if "create_engine" in block)
    code = example.replace("postgresql+psycopg://app@localhost/app", one_postgresql.url)
    assert code != example
    monkeypatch.chdir(ROOT)
    scope: dict[str, Any] = {}
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), scope)
    scope["engine"].dispose()
    assert printed.getvalue().splitlines()[0] == "001_create_users.sql applied"
    assert len(printed.getvalue().splitlines()) == 15


@pytest.fixture
def migrated(one_postgresql: Database, tmp_path: Path) -> Database:
    """A database with the example set, and the files that are loaded into it."""
    shutil.copytree(EXAMPLES, tmp_path / "migrations")
    shutil.copytree(ROOT / "docs" / "load", tmp_path / "docs" / "load")
    fluxmig("run", folder=tmp_path, DATABASE_URL=one_postgresql.url)
    return one_postgresql


@pytest.mark.parametrize("page", ["README.md", "docs/load.md"])
def test_the_files_that_are_loaded(migrated: Database, tmp_path: Path, page: str) -> None:
    for block in blocks((ROOT / page).read_text(encoding="utf-8"), "console"):
        command, _, shown = block.partition("\n")
        done = fluxmig(
            *command.removeprefix("$ fluxmig ").split(), folder=tmp_path, DATABASE_URL=migrated.url
        )
        assert (done.code, done.err, masked(done.out)) == (0, "", masked(shown))
    if page == "README.md":
        joined = "SELECT p.name, m.role FROM projects p JOIN project_members m ON m.project_id = p.id"
        assert migrated.rows(f"{joined} WHERE p.name = 'Harbour lights' ORDER BY role") == [
            ("Harbour lights", "designer"),
            ("Harbour lights", "lead"),
        ]


def test_the_record_that_does_not_fit(migrated: Database, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "load.md").read_text(encoding="utf-8")
    text = (tmp_path / "docs" / "load" / "users.json").read_text()
    (tmp_path / "users.json").write_text(text.replace("2025-06-02T09:30:00.000Z", "yesterday"))
    done = fluxmig("load", "users.json", folder=tmp_path, DATABASE_URL=migrated.url)
    shown, _ = blocks(page, "text")
    assert (done.code, done.err) == (1, shown)


def test_the_record_that_leads_nowhere(migrated: Database, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "load.md").read_text(encoding="utf-8")
    file = tmp_path / "docs" / "load" / "projects.json"
    file.write_text(file.read_text().replace('4a02", "email": "grace', '4a99", "email": "grace'))
    done = fluxmig("load", "--mapping", "docs/load/load.toml", folder=tmp_path, DATABASE_URL=migrated.url)
    _, shown = blocks(page, "text")
    assert (done.code, done.err.split()) == (1, shown.split())  # which the page has in more lines


def test_the_mapping_that_is_shown() -> None:
    (shown,) = blocks((ROOT / "docs" / "load.md").read_text(encoding="utf-8"), "toml")
    assert (ROOT / "docs" / "load" / "load.toml").read_text().endswith(shown)


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        found = page.parent / target if target else page
        assert found.is_file(), target
        assert not anchor or anchor in anchors(found), anchor


def test_the_readme_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\(([^)#]+)", README))
    assert {str(page.relative_to(ROOT)) for page in PAGES[1:]} <= linked


def test_the_lowest_versions_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "tests" / "lowest.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.replace("==", ">=") for line in lines if not line.startswith("#")}
    assert pinned - {"psycopg-binary>=3.2.2"} == {
        dependency.replace("[binary]", "") for dependency in project["dependencies"]
    }


# --- docs/json.md -----------------------------------------------------------------------------------------


def shape(value: object) -> object:
    """The keys of a document, and those of the first entry of each list; leaves count for nothing."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value and isinstance(value[0], dict) else []
    return None


def test_json_has_the_documented_keys(one_postgresql: Database, tmp_path: Path, write: Write) -> None:
    documented = {}
    for block in blocks((ROOT / "docs" / "json.md").read_text(encoding="utf-8"), "json"):
        document = json.loads(block)
        kind = "error" if "error" in document else ""
        documented[f"{document['command']} {kind}".strip()] = document

    def got(*words: str, url: str = one_postgresql.url) -> Any:
        return json.loads(fluxmig("--json", *words, folder=tmp_path, DATABASE_URL=url).out)

    write({"001_a.sql": "CREATE TABLE a (id integer);", "001_a.down.sql": "DROP TABLE a;"})
    plan = got("plan")
    assert got("run", "--dry-run") == plan | {"command": "run"}
    got("run")
    write(
        {
            "001_a.sql": "CREATE TABLE a (id bigint);",
            "002_b.sql": "DROP TABLE IF EXISTS b; CREATE TABLE a (id int); SELECT 1;",
        }
    )
    run = got("run")
    rehearsed = {"001_a.sql": "CREATE TABLE a (id int PRIMARY KEY);", "002_a.sql": "CREATE INDEX ON a (id);"}
    (tmp_path / "rehearsed").mkdir()
    for name, text in (*rehearsed.items(), ("001_a.down.sql", "DROP TABLE a;")):
        (tmp_path / "rehearsed" / name).write_text(text)
    words = ("rehearse", "--on", one_postgresql.url, "--round-trip", "--migrations", "rehearsed")
    (tmp_path / "a.json").write_text('[{"id": 1}, {"id": "x"}]')
    (tmp_path / "targets.txt").write_text("acme sqlite:///acme.db\nglobex sqlite:///globex.db\n")
    Database("sqlite", f"sqlite:///{tmp_path}/acme.db").rows("CREATE TABLE a (other)")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "001_a.sql").write_text("CREATE TABLE a (id integer);")
    of_fleet = ("--targets", "targets.txt", "--migrations", "one", "--on-duplicate", "fail")
    seen = {
        "load": got("load", "a.json", "--max-rejects", "1"),
        "status": got("status"),
        "run": run,
        "plan": plan | {"findings": []},
        "log": got("log"),
        "rollback": got("rollback", "--record-only"),
        "redo": got("redo", "1", "--yes") | {"findings": []},
        "mark": got("mark", "2", "--yes"),
        "adopt": got("adopt", "--table", "another"),
        "create": got("create", "add invoices"),
        "rehearse": got(*words),
        "fleet run": got("fleet", "run", *of_fleet),
        "fleet rehearse": got("fleet", "rehearse", "--on", "nowhere", *of_fleet),
        "check": got("check"),
        "verify": got("verify") | {"findings": []},
        "run error": got("run", url="postgresql://127.0.0.1:1/x"),
    }
    assert {name: shape(document) for name, document in seen.items()} == {
        name: shape(document) for name, document in documented.items()
    }


# --- docs/fleet.md ----------------------------------------------------------------------------------------


def test_the_list_of_targets_that_is_shown(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
    (shown,) = [block for block in blocks(text, "text") if "ACME_PASSWORD" in block]
    path = tmp_path / "targets.txt"
    path.write_text(shown)
    found = fleet.from_file(path, base="postgresql://app@db9.example.com/control")
    assert [(each.name, each.group) for each in found] == [
        ("acme", "db1.example.com"),
        ("globex", "db2.example.com"),
        ("INITECH_URL", "${INITECH_URL}"),
        ("umbrella", "db9.example.com"),
    ]
    assert found[0].labels == {"tier": "gold"}


def test_the_order_of_exit_codes_that_is_shown() -> None:
    text = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"in this order: ([\d, ]+)\.", text)
    assert [int(code) for code in shown.split(", ")] == [code for code in WORST_FIRST if code < 128]


def test_the_commands_for_fleets_that_are_shown(tmp_path: Path, write: Write) -> None:
    write({"001_a.sql": "CREATE TABLE a (id integer);"})
    (tmp_path / "targets.txt").write_text("".join(f"sqlite:///{name}.db\n" for name in "abcd"))
    pages = [README, (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")]
    shown = [line for page in pages for block in blocks(page, "sh") for line in block.splitlines()]
    commands = [line.split()[1:] for line in shown if line.startswith("fluxmig fleet ")]
    assert len(commands) == 4
    for words in commands:
        done = fluxmig(*words, folder=tmp_path)
        assert (done.code, done.err) == (0, ""), words
    assert (tmp_path / "run.html").is_file()
    assert "Targets: 4 | Done: 4" in done.out
