"""What makes a folder unsound, alone and beside a branch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fluxmig import check
from fluxmig.check import Base, FileFinding, FolderReport, Level
from fluxmig.creation import create
from fluxmig.dialects import dialect_named
from fluxmig.layouts import numbered
from fluxmig.render import plain
from fluxmig.render_check import check_json, check_lines, github_lines, summary_lines
from tests.support import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support import Write

    Files = Mapping[str, str | bytes]


KINDS = set(re.findall(r'"([a-z ]+)"', " ".join((FileFinding.__doc__ or "").split())))


def examine(
    folder: Path, base: Base | None = None, *, dialect: str = "postgresql", strict: bool = False
) -> FolderReport:
    known = dialect_named(dialect)
    return check.examine(
        numbered.survey(folder),
        dialect,
        known.rules,
        known.no_transaction_reason,
        base=base,
        strict=strict,
    )


def told(report: FolderReport) -> list[str]:
    """The findings as the command line prints them, without the folder; with the level of errors, too."""
    lines = plain(check_lines(report)).splitlines()
    return [
        ("" if finding.level is Level.WARNING else "error: ")
        + line.replace(f"{report.folder}/", "").replace(str(report.folder), "FOLDER")
        for finding, line in zip(report.findings, lines, strict=True)
    ]


NO_NUMBER = "warning: has no number, and runs after all that have one; number it, unless a database has it"
NO_MIGRATION = (
    "warning: holds no migration; `fluxmig create NAME` makes one, --migrations FOLDER names another folder"
)
ONE_NAME = (
    "but for letter case, and some systems can have only one of them; rename the one that no database has"
)
OF_ONE_NUMBER = ", and their names decide the order; renumber the one that no database has"
A_COPY = "; remove the one that no database has; if both are meant, say why in a comment"
NO_STATEMENT = "warning: holds no statement; is the SQL missing?"


@pytest.mark.parametrize(
    ("files", "findings"),
    [
        # --- what cannot be read
        (
            {"001_a.sql": b"SELECT 1;\n-- \xe9t\xe9\n"},
            ["error: 001_a.sql:2:4: is not UTF-8: byte 0xe9; save it as UTF-8"],
        ),
        (
            {"001_a.sql": b"SELECT\0 1;"},
            ["error: 001_a.sql:1:7: holds a NUL byte; is it a binary file, or UTF-16?"],
        ),
        (
            {"001_a.sql": "SELECT 1;".encode("utf-16")},
            ["error: 001_a.sql: is UTF-16, not UTF-8; save it as UTF-8"],
        ),
        (
            {"001_a.SQL": "SELECT 1;"},
            ["error: 001_a.SQL: ends in something like .sql, but not in .sql; rename it to 001_a.sql"],
        ),
        (
            {"001_a\n.sql": "SELECT 1;"},
            [r"error: 001_a\n.sql: the name holds a control character; rename the file"],
        ),
        # --- what cannot run
        (
            {"001_a.sql": "SELECT 1;\nSELECT 'x;\n"},
            ["error: 001_a.sql:2:8: this string is not closed"],
        ),
        (
            {"001_a.sql": "SELECT 1;\n  COMMIT;\n"},
            [
                (
                    "error: 001_a.sql:2:3: COMMIT ends a transaction that the file did not begin; remove the"
                    " statement; for a file without a transaction, begin it with `-- fluxmig: no-transaction`"
                )
            ],
        ),
        (
            {"001_a.sql": "-- fluxmig: no-transactoin\nSELECT 1;"},
            [
                (
                    "error: 001_a.sql:1:13: unknown directive 'no-transactoin';"
                    " did you mean `-- fluxmig: no-transaction`?"
                )
            ],
        ),
        (
            {"001_a.sql": "-- fluxmig: transaction\n-- fluxmig: no-transaction\nSELECT 1;"},
            ["error: 001_a.sql:2:13: no-transaction contradicts transaction; keep one of the two"],
        ),
        (
            {"001_a.sql": "-- fluxmig: transaction\nVACUUM;"},
            ["error: 001_a.sql:2:1: VACUUM cannot run in a transaction; remove `-- fluxmig: transaction`"],
        ),
        (
            {"001_a.sql": "SELECT 1;", "001_a.down.sql": "SELECT 'x"},
            ["error: 001_a.down.sql:1:8: this string is not closed"],
        ),
        # --- down scripts
        (
            {"001_a.sql": "SELECT 1;", "002_b.down.sql": "SELECT 2;"},
            ["error: 002_b.down.sql: reverses 002_b.sql, which is not there; rename it, or add 002_b.sql"],
        ),
        (
            {"002_b.down.sql": "SELECT 'x"},
            [
                "error: 002_b.down.sql: reverses 002_b.sql, which is not there; rename it, or add 002_b.sql",
                "error: 002_b.down.sql:1:8: this string is not closed",
                f"FOLDER: {NO_MIGRATION}",
            ],
        ),
        # Its migration is there, and cannot be read.
        (
            {"001_a.sql": b"\xff", "001_a.down.sql": "SELECT 1"},
            ["error: 001_a.sql:1:1: is not UTF-8: byte 0xff; save it as UTF-8"],
        ),
        # --- one bad file hides no other
        (
            {"001_a.sql": b"\xff", "002_b.sql": "SELECT 'x", "003_c.sql": "", "4.down.sql": "SELECT 1;"},
            [
                "error: 001_a.sql:1:1: is not UTF-8: byte 0xff; save it as UTF-8",
                "error: 002_b.sql:1:8: this string is not closed",
                f"003_c.sql: {NO_STATEMENT}",
                "error: 4.down.sql: reverses 4.sql, which is not there; rename it, or add 4.sql",
            ],
        ),
        # --- names
        (
            {"001_a.sql": "SELECT 1;", "001_b.sql": "SELECT 2;"},
            [f"001_b.sql: warning: has the number of 001_a.sql{OF_ONE_NUMBER}"],
        ),
        (
            {"001_a.sql": "SELECT 1;", "1_b.sql": "SELECT 2;", "01_c.sql": "SELECT 3;"},
            [
                f"01_c.sql: warning: has the number of 001_a.sql{OF_ONE_NUMBER}",
                f"1_b.sql: warning: has the number of 001_a.sql{OF_ONE_NUMBER}",
            ],
        ),
        (
            {"001_a.sql": "SELECT 1;", "seed.sql": "SELECT 2;"},
            [f"seed.sql: {NO_NUMBER}"],
        ),
        ({"a.sql": "SELECT 1;", "b.sql": "SELECT 2;"}, []),
        (
            {"001_a.sql": "SELECT 1;", "001_A.sql": "SELECT 2;"},
            [f"001_A.sql: warning: has the name of 001_a.sql {ONE_NAME}"],
        ),
        (
            {"001_\u00e9.sql": "SELECT 1;", "001_e\u0301.sql": "SELECT 2;"},
            [f"001_\u00e9.sql: warning: has the name of 001_e\u0301.sql {ONE_NAME}"],
        ),
        # --- texts
        ({"001_a.sql": "-- nothing\n"}, [f"001_a.sql: {NO_STATEMENT}"]),
        (
            {"001_a.sql": "SELECT 1;", "001_a.down.sql": ""},
            [f"001_a.down.sql: {NO_STATEMENT}"],
        ),
        (
            {"001_a.sql": "SELECT 1;\n-- fluxmig: no-transaction\n"},
            [
                (
                    "001_a.sql: warning: the directive in line 2 does not count: it stands behind the first"
                    " statement"
                )
            ],
        ),
        (
            {"001_a.sql": "SELECT 1;\n", "002_b.sql": b"\xef\xbb\xbfSELECT 1;\r\n"},
            [f"002_b.sql: warning: has the same text as 001_a.sql{A_COPY}"],
        ),
        (
            {"001_a.sql": "", "002_b.sql": ""},
            [
                f"001_a.sql: {NO_STATEMENT}",
                f"002_b.sql: {NO_STATEMENT}",
            ],
        ),
        # --- the folder
        (
            {},
            [f"FOLDER: {NO_MIGRATION}"],
        ),
    ],
)
def test_a_folder_alone(folder: Path, write: Write, files: Files, findings: list[str]) -> None:
    write(files)
    report = examine(folder)
    assert told(report) == findings
    assert {finding.kind for finding in report.findings} <= KINDS
    assert report.ok is not any(line.startswith("error: ") for line in findings)
    assert report.files == len(files)
    assert examine(folder, strict=True).ok is (not findings)


@pytest.mark.parametrize(
    ("header", "findings"),
    [
        ("", []),
        ("-- Migration: a\n-- Created: 2026-01-05T09:30:00Z\n-- Description: b\n", []),
        ("-- Migration: a\r\n-- Created: 2026-01-05T09:30:00Z\r\n-- Description: b\r\n", []),
        ("-- Created: 2026-01-05\n", []),
        ("-- Created: 2026-01-05 09:30:00+02:00\n", []),
        ("-- Created: 20260105T093000\n", []),
        ("-- Created: October 12, 2025\n", ["1:13: warning: Created is not ISO 8601: 'October 12, 2025'"]),
        ("-- Created: 2026-02-30\n", ["1:13: warning: Created is not ISO 8601: '2026-02-30'"]),
        ("\n\n--Created:2026\n", ["3:11: warning: Created is not ISO 8601: '2026'"]),
        ("-- Created:\n", ["1:12: warning: Created is empty"]),
        ("-- Created: \x1b[31m\n", ["1:13: warning: Created is not ISO 8601: '\\x1b[31m'"]),
        (
            "-- Migration:\n-- Description: \t\n",
            ["1:14: warning: Migration is empty", "2:16: warning: Description is empty"],
        ),
        ("-- Description:\n--   goes on here\n", []),
        ("-- Description:\n-- =====\n", ["1:16: warning: Description is empty"]),
        ("-- Description:\n-- Created: 2026-01-05\n", ["1:16: warning: Description is empty"]),
        ("-- a note\n\n-- Description:\n", ["3:16: warning: Description is empty"]),
        # Prose, other tools' headers, and what stands elsewhere.
        ("-- description:\n-- Date: yesterday\n-- Created by ada\n-- x Created: y\n", []),
        ("SELECT 1;\n-- Created: yesterday\n", []),
        ("/* Created: yesterday */\n", []),
    ],
)
def test_headers(folder: Path, write: Write, header: str, findings: list[str]) -> None:
    write({"001_a.sql": header + "SELECT 1;\n"})
    report = examine(folder)
    assert [line.partition("; ")[0] for line in told(report)] == [f"001_a.sql:{found}" for found in findings]
    assert {finding.kind for finding in report.findings} <= {"header"}
    assert report.ok


def test_the_kinds_are_documented() -> None:
    guide = (EXAMPLES.parent / "docs" / "check.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([^`]+)` \| (?:error|warning) \|", guide, re.MULTILINE)) == KINDS


@pytest.mark.parametrize("with_down", [False, True])
def test_what_create_makes_lacks_its_description_and_statements(folder: Path, *, with_down: bool) -> None:
    create(folder, "add x", now=datetime(2026, 1, 5, tzinfo=UTC), with_down=with_down)
    assert [(finding.path.name, finding.kind) for finding in examine(folder).findings] == [
        ("001_add_x.sql", "empty"),
        ("001_add_x.sql", "header"),
        ("001_add_x.down.sql", "empty"),
    ][: 2 + with_down]


def test_the_example_set_is_sound() -> None:
    report = examine(EXAMPLES)
    assert told(report) == []
    assert plain(summary_lines(report)) == "15 migrations, 3 down scripts: sound."


@pytest.mark.parametrize(
    ("dialect", "findings"),
    [
        ("postgresql", []),
        ("sqlite", ["error: 001_a.sql:1:12: this string is not closed"]),
        ("mysql", ["error: 001_a.sql:1:12: this string is not closed"]),
        ("generic", ["error: 001_a.sql:1:12: this string is not closed"]),
    ],
)
def test_whose_rules(folder: Path, write: Write, dialect: str, findings: list[str]) -> None:
    write({"001_a.sql": "SELECT $a$ ' $a$;"})
    report = examine(folder, dialect=dialect)
    assert (told(report), report.dialect) == (findings, dialect)


# --- beside a branch --------------------------------------------------------------------------------------

THREE: dict[str, bytes | None] = {
    "001_a.sql": b"CREATE TABLE a ();\n",
    "001_a.down.sql": b"DROP TABLE a;\n",
    "002_b.sql": b"CREATE TABLE b ();\n",
}
HERE = {name: text for name, text in THREE.items() if text is not None}


@dataclass(frozen=True)
class Case:
    """What is on disk, what the branch had where this one began and has by now, and what comes of it."""

    changes: Mapping[str, bytes | None]
    findings: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    tip: Mapping[str, bytes | None] = field(default_factory=dict)
    start: Mapping[str, bytes | None] = field(default_factory=lambda: THREE)


X = b"SELECT 'x';\n"
IS_EDITED = (
    "is edited, and main has it: databases may have run the old text; put the old text back, and write the"
)
IS_EDITED += " change as a new migration"
IS_DELETED = "is deleted, and main has it; bring it back: databases may have run it"
GIVE_BACK = "and main has it; give it its name back: databases know it by that"
CASES = {
    "no difference": Case({}),
    "one more": Case({"003_c.sql": X}, new=("003_c.sql",)),
    "two more": Case({"004_d.sql": b"SELECT 2;", "003_c.sql": X}, new=("003_c.sql", "004_d.sql")),
    "all is new": Case({}, new=("001_a.sql", "002_b.sql"), start={}),
    # --- edited
    "edited": Case({"001_a.sql": b"CREATE TABLE aa ();\n"}, (f"error: 001_a.sql: {IS_EDITED}",)),
    "a comment": Case({"001_a.sql": b"CREATE TABLE a (); --\n"}, (f"error: 001_a.sql: {IS_EDITED}",)),
    "emptied": Case(
        {"001_a.sql": b""},
        (
            f"error: 001_a.sql: {IS_EDITED}",
            f"001_a.sql: {NO_STATEMENT}",
        ),
    ),
    "line ends": Case({"001_a.sql": b"CREATE TABLE a ();\r\n"}),
    "line ends of an old Mac": Case({"001_a.sql": b"CREATE TABLE a ();\r"}),
    "line ends the other way": Case({}, start={**THREE, "001_a.sql": b"CREATE TABLE a ();\r\n"}),
    "a byte order mark": Case({"001_a.sql": b"\xef\xbb\xbfCREATE TABLE a ();\n"}),
    "two byte order marks": Case({"001_a.sql": b"\xef\xbb\xbf\xef\xbb\xbfCREATE TABLE a ();\n"}),
    "a byte order mark less": Case({}, start={**THREE, "001_a.sql": b"\xef\xbb\xbfCREATE TABLE a ();\n"}),
    "the last line end": Case({"001_a.sql": b"CREATE TABLE a ();"}, (f"error: 001_a.sql: {IS_EDITED}",)),
    "a text that git does not have": Case({}, start={**THREE, "001_a.sql": None}),
    "main has removed it since": Case(
        {"001_a.sql": b"CREATE TABLE aa ();\n"},
        (f"error: 001_a.sql: {IS_EDITED.replace('main has it', 'main had it')}",),
        tip={"001_a.sql": None},
    ),
    "main edited it": Case({}, tip={"001_a.sql": b"CREATE TABLE aa ();\n"}),
    "both edited it, likewise": Case(
        {"001_a.sql": b"CREATE TABLE aa ();\r\n"}, tip={"001_a.sql": b"CREATE TABLE aa ();\n"}
    ),
    "edited until it cannot be read": Case(
        {"001_a.sql": b"\xff"}, ("error: 001_a.sql:1:1: is not UTF-8: byte 0xff; save it as UTF-8",)
    ),
    "edited until it cannot run": Case(
        {"001_a.sql": b"SELECT 'x"},
        (f"error: 001_a.sql: {IS_EDITED}", "error: 001_a.sql:1:8: this string is not closed"),
    ),
    # --- no run would have taken it
    "mended, was not UTF-8": Case({}, start={**THREE, "001_a.sql": b"-- \xe9\nCREATE TABLE a ();\n"}),
    "mended, did not split": Case({}, start={**THREE, "001_a.sql": b"SELECT 'x"}),
    "removed, did not split": Case({}, start={**THREE, "003_c.sql": b"SELECT 'x"}),
    "removed an orphan": Case({}, start={**THREE, "003_c.down.sql": b"SELECT 1;"}),
    # --- deleted
    "deleted": Case({"002_b.sql": None}, (f"error: 002_b.sql: {IS_DELETED}",)),
    "deleted with its down script": Case(
        {"001_a.sql": None, "001_a.down.sql": None}, (f"error: 001_a.sql: {IS_DELETED}",)
    ),
    "deleted without its down script": Case(
        {"001_a.sql": None},
        (
            f"error: 001_a.sql: {IS_DELETED}",
            "error: 001_a.down.sql: reverses 001_a.sql, which is not there; rename it, or add 001_a.sql",
        ),
    ),
    "main deleted it": Case({}, tip={"002_b.sql": None}),
    "both deleted it": Case({"002_b.sql": None}, tip={"002_b.sql": None}),
    "main got one since": Case({}, tip={"003_c.sql": X}),
    "main got one since, and here it is, too": Case({"003_c.sql": X}, tip={"003_c.sql": X}),
    "main got one with a down script since": Case({}, tip={"003_c.sql": X, "003_c.down.sql": X}),
    # --- renamed
    "renamed": Case(
        {"002_b.sql": None, "003_b.sql": THREE["002_b.sql"]},
        (f"error: 002_b.sql: is renamed to 003_b.sql, {GIVE_BACK}",),
        new=("003_b.sql",),
    ),
    "renamed to what comes too early": Case(
        {"002_b.sql": None, "000_b.sql": THREE["002_b.sql"]},
        (f"error: 002_b.sql: is renamed to 000_b.sql, {GIVE_BACK}",),
        new=("000_b.sql",),
    ),
    "renamed with its down script": Case(
        {
            "001_a.sql": None,
            "001_a.down.sql": None,
            "003_a.sql": b"CREATE TABLE a ();\r\n",
            "003_a.down.sql": THREE["001_a.down.sql"],
        },
        (f"error: 001_a.sql: is renamed to 003_a.sql, {GIVE_BACK}",),
        new=("003_a.sql",),
    ),
    "renamed twice over": Case(
        {"001_a.sql": None, "001_a.down.sql": None, "002_b.sql": None, "003_c.sql": X, "004_d.sql": X},
        (
            f"error: 001_a.sql: is renamed to 003_c.sql, {GIVE_BACK}",
            f"error: 002_b.sql: is renamed to 004_d.sql, {GIVE_BACK}",
            f"004_d.sql: warning: has the same text as 003_c.sql{A_COPY}",
        ),
        new=("003_c.sql", "004_d.sql"),
        start={**THREE, "001_a.sql": X, "002_b.sql": X},
    ),
    "deleted, and another is as empty": Case(
        {"002_b.sql": None, "003_c.sql": b"\n"},
        (f"error: 002_b.sql: {IS_DELETED}", f"003_c.sql: {NO_STATEMENT}"),
        new=("003_c.sql",),
        start={**THREE, "002_b.sql": b"\r\n"},
    ),
    "renamed in letter case": Case(
        {"002_b.sql": None, "002_B.sql": THREE["002_b.sql"]},
        (f"error: 002_b.sql: is renamed to 002_B.sql, {GIVE_BACK}",),
        new=("002_B.sql",),
    ),
    # --- down scripts
    "a mended down script": Case({"001_a.down.sql": b"DROP TABLE IF EXISTS a;"}),
    "a new down script": Case({"002_b.down.sql": b"DROP TABLE b;"}),
    "a deleted down script": Case(
        {"001_a.down.sql": None},
        ("error: 001_a.down.sql: is deleted, and main has it; bring it back: it is the way back",),
    ),
    # --- the order
    "a number that main has": Case(
        {"002_c.sql": X},
        ("error: 002_c.sql: number 002 is taken by 002_b.sql in main; renumber it to 003 or higher",),
        new=("002_c.sql",),
    ),
    "a number that main got since": Case(
        {"003_c.sql": X},
        ("error: 003_c.sql: number 003 is taken by 003_x.sql in main; renumber it to 005 or higher",),
        new=("003_c.sql",),
        tip={"003_x.sql": b"SELECT 3;", "004_y.sql": b"SELECT 4;"},
    ),
    "the same number, written otherwise": Case(
        {"2_c.sql": X},
        ("error: 2_c.sql: number 2 is taken by 002_b.sql in main; renumber it to 003 or higher",),
        new=("2_c.sql",),
    ),
    "too early": Case(
        {"003_c.sql": X},
        ("error: 003_c.sql: sorts before 099_x.sql, which main has; renumber it to 100 or higher",),
        new=("003_c.sql",),
        tip={"099_x.sql": b"SELECT 3;"},
    ),
    "too early, by time": Case(
        {"20260105093000_c.sql": X},
        (
            (
                "error: 20260105093000_c.sql: sorts before 20260105093001_x.sql, which main has;"
                " renumber it to 20260105093002 or higher"
            ),
        ),
        new=("20260105093000_c.sql",),
        tip={"20260105093001_x.sql": b"SELECT 3;"},
    ),
    "another file of one name": Case(
        {"003_c.sql": X},
        ("error: 003_c.sql: is another file in main; renumber it to 004 or higher",),
        new=("003_c.sql",),
        tip={"003_c.sql": b"SELECT 3;"},
    ),
    "without a number": Case(
        {"seed.sql": X},
        (f"seed.sql: {NO_NUMBER}",),
        new=("seed.sql",),
    ),
    "main has one without a number": Case(
        {"003_c.sql": X}, new=("003_c.sql",), tip={"seed.sql": b"SELECT 1;"}
    ),
    "both have none": Case(
        {"roles.sql": X},
        (
            "error: roles.sql: sorts before seed.sql, which main has; renumber it to 003 or higher",
            f"roles.sql: {NO_NUMBER}",
        ),
        new=("roles.sql",),
        tip={"seed.sql": b"SELECT 1;"},
    ),
    "no numbers at all": Case(
        {**dict.fromkeys(THREE), "roles.sql": X, "seed.sql": b"SELECT 1;"},
        ("error: roles.sql: sorts before seed.sql, which main has; rename it, so that it sorts last",),
        new=("roles.sql",),
        start={"seed.sql": b"SELECT 1;"},
    ),
    "two new ones of one number": Case(
        {"003_c.sql": X, "003_d.sql": b"SELECT 4;"},
        (f"003_d.sql: warning: has the number of 003_c.sql{OF_ONE_NUMBER}",),
        new=("003_c.sql", "003_d.sql"),
    ),
    # --- what is odd on main stays so
    "main has two of one number": Case({"002_c.sql": X}, start={**THREE, "002_c.sql": X}),
    "main has an empty one": Case({"003_c.sql": b""}, start={**THREE, "003_c.sql": b""}),
    "main has one that does not split": Case(
        {"003_c.sql": b"SELECT 'x"},
        ("error: 003_c.sql:1:8: this string is not closed",),
        start={**THREE, "003_c.sql": b"SELECT 'x"},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_beside_a_branch(folder: Path, write: Write, case: Case) -> None:
    def changed(files: Mapping[str, bytes | None], changes: Mapping[str, bytes | None]) -> dict[str, bytes]:
        return {name: text for name, text in {**files, **changes}.items() if text is not None}

    write(changed(HERE, case.changes))
    gone = {name for name, text in case.tip.items() if text is None}
    tip = {name: text for name, text in {**case.start, **case.tip}.items() if name not in gone}
    report = examine(folder, Base("main", case.start, tip))
    assert told(report) == list(case.findings)
    assert {finding.kind for finding in report.findings} <= KINDS
    assert report.new == case.new
    assert report.base == "main"


def test_a_base_without_the_folder(folder: Path, write: Write) -> None:
    write({**HERE, "seed.sql": "SELECT 1;"})
    report = examine(folder, Base("main", {}, {}))
    assert [finding.kind for finding in report.findings] == ["number"]
    assert report.new == ("001_a.sql", "002_b.sql", "seed.sql")


# --- rendering --------------------------------------------------------------------------------------------

ERROR = FileFinding(
    Level.ERROR, "refused", Path("db/001_a.sql"), "no\n  good: 100%, really", 3, 7, "mend\r\nit"
)
WARNING = FileFinding(Level.WARNING, "number", Path("db/a,b:c%.sql"), "has no number")
EMPTY = FileFinding(Level.WARNING, "empty", Path("db"), "holds no migration")


def report(*findings: FileFinding, strict: bool = False, base: str | None = None) -> FolderReport:
    return FolderReport(Path("db"), "sqlite", 3, 2, 1, findings, base, ("2.sql",) if base else (), strict)


def test_one_line_a_finding() -> None:
    assert plain(check_lines(report(ERROR, WARNING, EMPTY))).splitlines() == [
        "db/001_a.sql:3:7: no good: 100%, really; mend it",
        "db/a,b:c%.sql: warning: has no number",
        "db: warning: holds no migration",
    ]


@pytest.mark.parametrize(
    ("prefix", "paths"),
    [
        (None, ("db/001_a.sql", "db/a%2Cb%3Ac%25.sql", "db")),
        ("", ("001_a.sql", "a%2Cb%3Ac%25.sql", ".")),
        ("a b/db/", ("a b/db/001_a.sql", "a b/db/a%2Cb%3Ac%25.sql", "a b/db")),
    ],
)
def test_annotations(prefix: str | None, paths: tuple[str, ...]) -> None:
    first, second, third = paths
    assert plain(github_lines(report(ERROR, WARNING, EMPTY), prefix)).splitlines() == [
        (
            f"::error file={first},line=3,col=7,title=fluxmig check%2C refused::"
            "no%0A  good: 100%25, really%0Amend%0D%0Ait"
        ),
        f"::warning file={second},title=fluxmig check%2C number::has no number",
        f"::warning file={third},title=fluxmig check%2C empty::holds no migration",
    ]


@pytest.mark.parametrize(
    ("found", "ok", "text"),
    [
        (report(), True, "2 migrations, 1 down script: sound."),
        (report(base="main"), True, "2 migrations, 1 down script, 1 new since main: sound."),
        (report(WARNING), True, "2 migrations, 1 down script: sound, with 1 warning."),
        (report(WARNING, EMPTY), True, "2 migrations, 1 down script: sound, with 2 warnings."),
        (report(WARNING, strict=True), False, "1 warning in 3 files"),
        (report(strict=True), True, "2 migrations, 1 down script: sound."),
        (report(ERROR), False, "1 error in 3 files"),
        (report(ERROR, ERROR, WARNING, base="main"), False, "2 errors, 1 warning in 3 files"),
        (FolderReport(Path("db"), "sqlite", 1, 1, 0), True, "1 migration: sound."),
    ],
)
def test_the_summary(found: FolderReport, text: str, *, ok: bool) -> None:
    assert found.ok is ok
    assert plain(summary_lines(found)) == text


def test_json() -> None:
    assert check_json(report(ERROR, base="main")) == {
        "format": 1,
        "command": "check",
        "ok": False,
        "dialect": "sqlite",
        "files": 3,
        "migrations": 2,
        "down_scripts": 1,
        "base": "main",
        "new": ["2.sql"],
        "findings": [
            {
                "level": "error",
                "kind": "refused",
                "file": "db/001_a.sql",
                "line": 3,
                "column": 7,
                "message": "no\n  good: 100%, really",
                "remedy": "mend\r\nit",
            }
        ],
    }
