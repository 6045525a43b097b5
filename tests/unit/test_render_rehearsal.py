"""A rehearsal as text, JSON and a page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fluxmig import sql
from fluxmig.hazards import findings
from fluxmig.model import Failure, Mode, Outcome, Statement, StepResult
from fluxmig.render import plain
from fluxmig.render_html import page
from fluxmig.render_rehearsal import duration, place_lines, rehearsal_json, rehearsal_lines
from fluxmig.trace import FileTrace, Lock, LockMode, Rehearsal, StatementTrace, TableSize, Work, WorkKind

PATH = Path("migrations/002_<b>.sql")


def statement(number: int, text: str) -> Statement:
    return Statement(number, text, 0, len(text), number, 1)


def rehearsal(**facts: object) -> Rehearsal:
    table = "<script>alert(1)</script>"
    traces = (
        StatementTrace(
            statement(1, f'ALTER TABLE "{table}" ADD COLUMN "a&b" text'),
            1,
            0.0,
            1.25,
            locks=(Lock(table, "table", LockMode.ACCESS_EXCLUSIVE, existed=True, until=9),),
            notices=("NOTICE: <i>",),
        ),
        StatementTrace(statement(2, "INSERT INTO t VALUES (1)"), 8, 1.25, 120.0, rows=7),
        StatementTrace(
            statement(9, "REINDEX TABLE t\x1b[31m"),
            9,
            121.25,
            3.0,
            work=(Work(WorkKind.REWRITE, table, table, existed=True),),
        ),
    )
    file = FileTrace(
        PATH, StepResult(PATH.name, Outcome.APPLIED, 130, Mode.TRANSACTION, 9), statements=traces
    )
    whole = Rehearsal(
        "PostgreSQL",
        "18.1",
        "embedded",
        "nothing",
        knows_locks=True,
        files=(file,),
        findings=findings(file, sql.POSTGRESQL, frozenset({"rewrite"})),
        pending=("003_next.sql",),
        duration_ms=130,
    )
    return replace(whole, **facts)  # type: ignore[arg-type]


def test_text() -> None:
    assert plain(place_lines("PostgreSQL", "18.1", "embedded", "nothing", ["One thing."])) == (
        "Rehearsing on PostgreSQL 18.1 (embedded), from nothing\n  One thing."
    )
    text = plain(rehearsal_lines(rehearsal()))
    assert re.search(
        r"^     2  INSERT INTO t VALUES \(1\) \(and 6 more\) +0\.12 s     7  $", text, re.MULTILINE
    )
    assert "\x1b" not in text
    assert text.endswith(
        "\n\nNot reached:\n  [ ] 003_next.sql\n"
        "\nApplied: 1 | Failed: 0 | Findings: 3 (1 denied) | Time: 0.13s"
    )


@pytest.mark.parametrize(
    ("rows", "size", "shown"),
    [
        (1, 8192, "about 1 row, 8 kB"),
        (12_000_000, 3_650_722_201, "about 12,000,000 rows, 3.4 GB"),
        (10**9, 5 * 2**40, "about 1,000,000,000 rows, 5.0 TB"),
    ],
)
def test_the_size_of_a_table_in_the_target(rows: int, size: int, shown: str) -> None:
    of = rehearsal(sizes={"<script>alert(1)</script>": TableSize(rows, size)})
    assert f"in the target, <script>alert(1)</script> has {shown}\n" in plain(rehearsal_lines(of))
    assert f"in the target, &lt;script&gt;alert(1)&lt;/script&gt; has {shown}</p>" in page(of)


def test_a_server_that_does_not_tell() -> None:
    text = plain(rehearsal_lines(rehearsal(product="SQLite", knows_locks=False)))
    assert "SQLite does not tell who locks what: no locks are shown." in text


@pytest.mark.parametrize(
    ("took_ms", "shown"), [(0.04, "0.0 ms"), (99.94, "99.9 ms"), (100.0, "0.10 s"), (61_000.0, "61.00 s")]
)
def test_durations(took_ms: float, shown: str) -> None:
    assert duration(took_ms) == shown


def test_json_has_every_fact() -> None:
    document = rehearsal_json(rehearsal())
    assert document["format"] == 1
    (file,) = document["files"]
    assert file["path"] == str(PATH)
    assert file["round_trip"] is None
    assert [(trace["number"], trace["last"], trace["rows"]) for trace in file["traces"]] == [
        (1, 1, None),
        (2, 8, 7),
        (9, 9, None),
    ]
    assert file["traces"][2]["work"][0]["kind"] == "rewrite"
    assert [finding["denied"] for finding in document["findings"]] == [False, False, True]


class Elements(HTMLParser):
    """Which tags stand open at the end, and what could reach for the network."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.reaching: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        if tag not in {"meta", "br", "link", "img"}:
            self.open.append(tag)
        self.reaching += [f"{tag} {name}" for name, value in attrs if name in {"src", "srcset"}]
        self.reaching += [
            str(value) for name, value in attrs if name == "href" and not str(value).startswith("#")
        ]
        self.reaching += [tag] if tag in {"link", "img", "iframe", "object"} else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_alone() -> None:
    text = page(rehearsal())
    elements = Elements()
    elements.feed(text)
    assert (elements.open, elements.reaching, elements.scripts) == ([], [], 1)
    assert not re.search(r"url\(|@import|https?:", text)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "\x1b" not in text
    assert "<title>Rehearsal: not ready for production</title>" in text
    assert "statement 1, 1.2 ms" in text
    assert "held to the end of the file" in text


def test_the_page_of_a_failure() -> None:
    failure = Failure(PATH, 'relation "<x>" does not exist', "42P01", 1, 13, statement(1, "DROP TABLE x"), 1)
    file = FileTrace(PATH, StepResult(PATH.name, Outcome.FAILED, failure=failure))
    text = page(rehearsal(files=(file,), findings=()))
    assert "relation &quot;&lt;x&gt;&quot; does not exist [42P01]" in text
    assert "not ready for production" in text


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ({"findings": ()}, "nothing was found"),
        ({"files": (), "findings": (), "pending": ()}, "nothing was found"),
    ],
)
def test_the_verdict_of_the_page(facts: dict[str, object], verdict: str) -> None:
    assert f"<h1>Rehearsal: {verdict}</h1>" in page(rehearsal(**facts))
