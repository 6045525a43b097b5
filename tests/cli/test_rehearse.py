"""`fluxmig rehearse`: where it takes place, what it tells, when it fails, and what it leaves: nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.support import LIMIT_S, environment, masked
from tests.faults.support import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Cli
    from tests.support import Database, Servers, Write

BASE = "CREATE TABLE messages (id integer PRIMARY KEY, body text);\n"
CHANGE = "ALTER TABLE messages ADD COLUMN sent date;\nCREATE INDEX sent_idx ON messages (sent);\n"


def timeless(text: str) -> str:
    """The text with every duration as 0."""
    return re.sub(r" +time  ", " time  ", re.sub(r" +\d+\.\d ms", " 0.0 ms", masked(text)))


@pytest.fixture
def server(one_postgresql: Database) -> str:
    """The URL of a server that makes databases."""
    return one_postgresql.url


@pytest.fixture
def one_mariadb(servers: Servers) -> Iterator[Database]:
    """A fresh MariaDB database."""
    with servers.get("mariadb").database() as database:
        yield database


def scratch_databases(database: Database) -> list[tuple[object, ...]]:
    return database.rows("SELECT datname FROM pg_database WHERE datname LIKE 'fluxmig\\_scratch\\_%'")


def test_what_it_tells(bare: Cli, server: str, write: Write) -> None:
    write({"001_messages.sql": BASE, "002_sent.sql": CHANGE})
    done = bare("rehearse", "--on", server)
    head, _, rest = done.out.partition("\n")
    assert re.fullmatch(r"Rehearsing on PostgreSQL [\d.]+ \(a given server\), from nothing", head)
    assert timeless(rest) == (
        "  [x] 001_messages.sql (0.00s)\n"
        "  [x] 002_sent.sql (0.00s)\n"
        "\n"
        "migrations/002_sent.sql\n"
        "  line  statement time  rows  on what was there before\n"
        "     1  ALTER TABLE messages ADD COLUMN sent date 0.0 ms        ACCESS EXCLUSIVE on messages\n"
        "     2  CREATE INDEX sent_idx ON messages (sent) 0.0 ms        builds sent_idx\n"
        "  migrations/002_sent.sql:1: access-exclusive-on-existing: ACCESS EXCLUSIVE on messages, held to the"
        " end of the file: 2 statements; readers and writers wait\n"
        "  migrations/002_sent.sql:1: long-hold: ACCESS EXCLUSIVE on messages is kept for 1 more statement\n"
        "      put it last in the file, or in a file of its own\n"
        "  migrations/002_sent.sql:2: index-build: index sent_idx is built on messages while readers and"
        " writers wait\n"
        "      CREATE INDEX CONCURRENTLY lets others write meanwhile\n"
        "\n"
        "Applied: 2 | Failed: 0 | Findings: 3 | Time: 0.00s\n"
    )
    assert (done.code, done.err) == (0, "")


def test_nothing_is_left(bare: Cli, one_postgresql: Database, write: Write) -> None:
    write({"001_messages.sql": BASE, "002_no.sql": "no;\n"})
    assert bare("rehearse", "--on", one_postgresql.url).code == 1
    assert scratch_databases(one_postgresql) == []
    assert one_postgresql.tables() == set()


def test_a_failed_file(bare: Cli, server: str, write: Write) -> None:
    write(
        {
            "001_messages.sql": BASE,
            "002_no.sql": "ALTER TABLE nobody ADD a int;\n",
            "003_b.sql": "SELECT 1;\n",
        }
    )
    done = bare("rehearse", "--on", server)
    assert done.code == 1
    assert 'migrations/002_no.sql:1:13: relation "nobody" does not exist [42P01]' in done.out
    assert "\nNot reached:\n  [ ] 003_b.sql\n" in done.out
    assert timeless(done.out).endswith("\nApplied: 1 | Failed: 1 | Findings: 0 | Time: 0.00s\n")


def test_what_is_denied(bare: Cli, server: str, write: Write) -> None:
    write({"001_messages.sql": BASE, "002_sent.sql": CHANGE})
    done = bare("rehearse", "--on", server, "--deny", "index-build,rewrite", "--deny", "long-hold")
    assert (done.code, done.err) == (1, "denied: long-hold, index-build\n")
    assert "002_sent.sql:2: index-build (denied): index sent_idx" in done.out
    write({"002_sent.sql": f"-- fluxmig: allow=index-build, long-hold\n{CHANGE}"})
    done = bare("rehearse", "--on", server, "--deny", "index-build,long-hold")
    assert (done.code, done.err) == (0, "")
    assert "002_sent.sql:3: index-build (allowed): index sent_idx" in done.out
    assert bare("rehearse", "--on", server, "--deny", "all").err == "denied: access-exclusive-on-existing\n"


def test_annotations(bare: Cli, server: str, write: Write) -> None:
    write(
        {
            "001_messages.sql": BASE,
            "002_sent.sql": f"-- fluxmig: allow=long-hold\n{CHANGE}",
            "003_no.sql": "no;\n",
        }
    )
    done = bare("rehearse", "--on", server, "--format", "github", "--deny", "index-build")
    lines = [line for line in done.out.splitlines() if line.startswith("::")]
    heads = [line.replace("title=fluxmig rehearse%2C ", "").rsplit("::", 1)[0] for line in lines]
    assert heads == [
        "::warning file=migrations/002_sent.sql,line=2,access-exclusive-on-existing",
        "::notice file=migrations/002_sent.sql,line=2,long-hold",
        "::error file=migrations/002_sent.sql,line=3,index-build",
        "::error file=migrations/003_no.sql,line=1,failed",
    ]
    told = [line.rsplit("::", 1)[1].partition("%0A") for line in lines[2:]]
    assert told[0][0] == "index sent_idx is built on messages while readers and writers wait"
    assert told[0][2] == "CREATE INDEX CONCURRENTLY lets others write meanwhile"
    assert told[1] == ('syntax error at or near "no"', "", "")
    done = bare("rehearse", "--on", server, "--format", "github", "--json")
    assert (done.code, done.json["error"]["message"]) == (
        2,
        "--format github prints annotations, and --json a document",
    )


def test_a_name_that_is_none(bare: Cli, write: Write) -> None:
    done = bare("rehearse", "--on", "sqlite", "--deny", "rewrit")
    assert (done.code, done.err) == (
        2,
        "error: --deny: no finding is called 'rewrit'\ndid you mean rewrite?\n",
    )


def test_json(bare: Cli, server: str, write: Write) -> None:
    write({"001_messages.sql": BASE, "002_sent.sql": CHANGE})
    done = bare("rehearse", "--on", server, "--json", "--deny", "index-build")
    document = done.json
    assert (done.code, document["ok"], document["command"], document["pending"]) == (1, False, "rehearse", [])
    assert document["database"]["base"] == "nothing"
    trace = document["files"][1]["traces"][0]
    assert (trace["number"], trace["line"], trace["in_transaction"]) == (1, 1, True)
    assert {
        "relation": "messages",
        "kind": "table",
        "mode": "ACCESS EXCLUSIVE",
        "existed": True,
        "until": 2,
    } in (trace["locks"])
    built = document["files"][1]["traces"][1]["work"]
    assert built == [{"kind": "index build", "name": "sent_idx", "table": "messages", "existed": True}]
    assert [(each["name"], each["denied"]) for each in document["findings"]][-1] == ("index-build", True)


@pytest.mark.parametrize("args", [(), ("--json",)])
def test_an_empty_folder(bare: Cli, folder: Path, args: tuple[str, ...]) -> None:
    done = bare("rehearse", "--on", "sqlite", *args)
    assert done.code == 0
    if args:
        assert (done.json["files"], done.json["ok"]) == ([], True)
    else:
        assert "Nothing to rehearse: every migration is applied.\n" in done.out


def test_sqlite_tells_no_locks(bare: Cli, sqlite: Database, write: Write) -> None:
    write({"001_messages.sql": BASE, "002_sent.sql": CHANGE})
    done = bare("rehearse", "--database-url", sqlite.url)
    assert done.out.startswith("Rehearsing on SQLite ")
    assert "\nSQLite does not tell who locks what: no locks are shown.\n" in done.out
    assert done.code == 0
    assert sqlite.tables() == set()


def test_no_private_server_is_made_to_be_asked(bare: Cli, write: Write, tmp_path: Path) -> None:
    write({"001_messages.sql": BASE})
    done = bare("rehearse", "--database-url", "embedded")
    assert re.match(r"Rehearsing on PostgreSQL [\d.]+ \(embedded\), from nothing\n", done.out)
    assert [path.name for path in tmp_path.iterdir()] == ["migrations"]


def test_the_target_decides_where_and_gives_its_roles(
    bare: Cli, one_postgresql: Database, write: Write
) -> None:
    role = f"fluxmig test {os.getpid()}"
    write({"001_messages.sql": f'{BASE}GRANT SELECT ON messages TO "{role}";\n'})
    one_postgresql.rows(f'CREATE ROLE "{role}"')
    try:
        done = bare("rehearse", "--database-url", one_postgresql.url)
    finally:
        one_postgresql.rows(f'DROP ROLE "{role}"')
    assert re.match(r"Rehearsing on PostgreSQL 18\.\d+ \(embedded\), from nothing\n", done.out)
    assert done.code == 0


# --- what is there before ---------------------------------------------------------------------------------


def test_from_the_target(bare: Cli, one_postgresql: Database, write: Write, tmp_path: Path) -> None:
    write({"001_messages.sql": BASE})
    url = one_postgresql.url
    assert bare("run", "--database-url", url).code == 0
    one_postgresql.rows("INSERT INTO messages SELECT n, 'secret' FROM generate_series(1, 1500) AS n")
    one_postgresql.rows("ANALYZE messages")
    write(
        {
            "002_sent.sql": CHANGE,
            "003_count.sql": "DO $$ BEGIN ASSERT (SELECT count(*) = 0 FROM messages); END $$;\n",
        }
    )
    done = bare("rehearse", "--on", url, "--from-url", "--database-url", url)
    assert "), from the structure of the target, with 1 record in its ledger\n  [x] 002_sent.sql" in done.out
    assert "\n  in the target, messages has about 1,500 rows, 72 kB\n" in done.out
    assert timeless(done.out).endswith("Applied: 2 | Failed: 0 | Findings: 3 | Time: 0.00s\n")
    again = bare("rehearse", "--on", url, "--from-url", url, "--json").json
    assert [(file["name"], file["outcome"]) for file in again["files"]] == [
        ("002_sent.sql", "applied"),
        ("003_count.sql", "applied"),
    ]
    assert {finding["target_rows"] for finding in again["findings"]} == {1500}


def test_an_edited_file_is_told(bare: Cli, server: str, write: Write) -> None:
    write({"001_messages.sql": BASE})
    assert bare("run", "--database-url", server).code == 0
    write({"001_messages.sql": f"{BASE}-- edited\n", "002_sent.sql": CHANGE})
    done = bare("rehearse", "--on", server, "--from-url", server)
    assert (done.code, done.err.partition(":")[0]) == (0, "warning")
    assert "001_messages.sql" in done.err


def test_a_password_is_not_shown(bare: Cli, write: Write) -> None:
    write({"001_messages.sql": BASE})
    done = bare("rehearse", "--debug", "--from-url", "postgresql://app:sec-ret@127.0.0.1:1/x")
    assert (done.code, done.out) == (6, "")
    assert "sec-ret" not in done.err
    assert "127.0.0.1" in done.err


def test_from_a_target_of_sqlite(cli: Cli, sqlite: Database, write: Write) -> None:
    write({"001_messages.sql": BASE})
    assert cli("run").code == 0
    write({"002_sent.sql": CHANGE})
    done = cli("rehearse", "--from-url")
    assert "from the structure of the target, with 1 record in its ledger\n  [x] 002_sent.sql" in done.out
    assert sqlite.scalar("SELECT count(*) FROM schema_migrations") == 1


def git(*args: str) -> None:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *args]
    subprocess.run(command, check=True, capture_output=True)


def test_from_a_branch(bare: Cli, server: str, write: Write) -> None:
    write({"001_messages.sql": BASE})
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "one")
    write({"002_sent.sql": CHANGE})
    done = bare("rehearse", "--on", server, "--from-ref", "main")
    assert "), from 1 file of main\n  [x] 002_sent.sql" in done.out
    assert done.code == 0
    done = bare("rehearse", "--on", server, "--from-ref", "trunk")
    assert done.code == 2
    assert done.err.startswith("error: --from-ref: git knows no such commit 'trunk'\n")


def test_a_branch_that_fails_by_itself(bare: Cli, write: Write) -> None:
    write({"001_no.sql": "no;\n"})
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "one")
    done = bare("rehearse", "--on", "sqlite", "--from-ref", "main")
    assert done.code == 1
    assert done.err.startswith("error: the files of main fail by themselves: ")


def test_one_of_the_two(bare: Cli) -> None:
    done = bare("rehearse", "--on", "sqlite", "--from-url", "sqlite:///a.db", "--from-ref", "main")
    assert (done.code, done.err) == (
        2,
        "error: --from-url and --from-ref both say what is there before\ntake one of the two\n",
    )


# --- back and forth ---------------------------------------------------------------------------------------


def test_a_round_trip(bare: Cli, server: str, write: Write) -> None:
    write(
        {
            "001_messages.sql": BASE,
            "001_messages.down.sql": "DROP TABLE messages;\n",
            "002_sent.sql": "ALTER TABLE messages ADD COLUMN sent date;\n",
            "002_sent.down.sql": "ALTER TABLE messages RENAME COLUMN sent TO gone;\n",
            "003_none.sql": "SELECT 1;\n",
        }
    )
    done = bare("rehearse", "--on", server, "--round-trip", "--json")
    found = [(each["name"], Path(each["file"]).name) for each in done.json["findings"]]
    assert found == [
        ("access-exclusive-on-existing", "002_sent.sql"),
        ("down-incomplete", "002_sent.sql"),
        ("again-differs", "002_sent.sql"),
        ("down-missing", "003_none.sql"),
    ]


# --- the page, and the end --------------------------------------------------------------------------------


def test_a_page_that_cannot_be_written(bare: Cli, write: Write) -> None:
    write({"001_messages.sql": BASE})
    done = bare("rehearse", "--on", "sqlite", "--html", "nowhere/page.html")
    assert (done.code, done.err) == (
        2,
        "error: cannot write nowhere/page.html: No such file or directory\nname another file\n",
    )


def test_an_interrupt_leaves_nothing(server: str, one_postgresql: Database, write: Write) -> None:
    write({"001_slow.sql": "SELECT pg_sleep(60);\n"})
    running = subprocess.Popen(
        [sys.executable, "-m", "fluxmig", "rehearse", "--on", server],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    until(lambda: one_postgresql.scalar(asked) or running.poll() is not None, "it never came to that")
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=LIMIT_S)
    assert (running.returncode, said) == (
        130,
        "interrupted by SIGINT: nothing is left of the scratch database\n",
    )
    assert scratch_databases(one_postgresql) == []
