"""What changed, as text, in colour, and as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from fluxmig import ledger, render
from fluxmig.model import Condition, Migration, MigrationStatus, Record, State
from fluxmig.render_diff import diff_json, diff_lines

AT = datetime(2025, 3, 9, 17, 4, 5, 678901, UTC)


def status(
    name: str, now: bytes, applied: bytes | None, *conditions: Condition, at: datetime | None = AT
) -> MigrationStatus:
    file = Migration(name, 1, Path("my migrations", name), "0" * 64, now)
    record = Record(1, name, at, 12, "1" * 64)
    return MigrationStatus(name, State.APPLIED, conditions, file, record, applied_source=applied)


FINE = status("001_a.sql", b"SELECT 1;\n", None)
EDITED = status("002_b.sql", b"SELECT 2;\n\x1b[31m", b"SELECT 1;\r\n-- c\r\n", Condition.MODIFIED)
LOST = status("003_c.sql", b"SELECT 2;\n", None, Condition.MARKED, Condition.MODIFIED)
NO_TIME = status("004_d.sql", b"-- b\n", b"-- a\n", Condition.MODIFIED, at=None)
MISSING = MigrationStatus("005_e.sql", State.APPLIED, (Condition.MISSING,), None, Record(1, "005_e.sql"))

DIFF = """\
--- 002_b.sql\tapplied 2025-03-09 17:04:05+00:00
+++ my migrations/002_b.sql
@@ -1,2 +1,2 @@
-SELECT 1;
--- c
+SELECT 2;
+{}[31m
\\ No newline at end of file
"""


def test_nothing_is_modified() -> None:
    assert diff_lines([]) == diff_lines([FINE, MISSING]) == []


def test_each_modified_one() -> None:
    assert render.plain(diff_lines([FINE, EDITED, LOST, NO_TIME, MISSING])) == (
        "\n"
        + DIFF.format("␛")
        + "\n003_c.sql: applied 2025-03-09 17:04:05+00:00, and changed since; the old text is not kept\n"
        "  another tool or an earlier version recorded it, or it was larger than 1 MiB;"
        " `git log -p -- 'my migrations/003_c.sql'` may have it\n"
        "\n"
        "--- 004_d.sql\tapplied\n+++ my migrations/004_d.sql\n@@ -1 +1 @@\n--- a\n+-- b"
    )


def test_what_is_kept_is_as_large_as_it_says() -> None:
    assert ledger.KEPT_BYTES == 2**20


def test_colours() -> None:
    styles = [(text, style) for line in diff_lines([EDITED]) for text, style in line]
    assert styles == [
        ("--- 002_b.sql\tapplied 2025-03-09 17:04:05+00:00", "bold"),
        ("+++ my migrations/002_b.sql", "bold"),
        ("@@ -1,2 +1,2 @@", "dim"),
        ("-SELECT 1;", "red"),
        ("--- c", "red"),
        ("+SELECT 2;", "green"),
        ("+\x1b[31m", "green"),
        ("\\ No newline at end of file", "dim"),
    ]
    assert "\x1b[32m+␛[31m\x1b[0m" in render.terminal(diff_lines([EDITED]))


def test_empty_lines_around_a_change() -> None:
    edited = status("1.sql", b"\n\nb\n\n", b"\n\na\n\n", Condition.MODIFIED)
    assert render.plain(diff_lines([edited])).split("\n")[4:] == [" ", " ", "-a", "+b", " "]


def test_json() -> None:
    statuses = [FINE, EDITED, LOST, MISSING]
    before = render.status_json(statuses)
    document = diff_json(before, statuses)
    assert [
        (migration.pop("diff"), migration.pop("applied_text_kept")) for migration in document["migrations"]
    ] == [(None, None), (DIFF.format("\x1b"), True), (None, False), (None, None)]
    assert document == before
    assert json.loads(json.dumps(document)) == document
