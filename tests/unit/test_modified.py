"""What the planner says of edited, renamed and doubly numbered files."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from fluxmig import planner
from fluxmig.layouts.numbered import number_of
from fluxmig.model import Condition, Finding, Migration, MigrationStatus, Record
from fluxmig.planner import Selection

BOM = b"\xef\xbb\xbf"
LF, CRLF, CR = b"a;\nb;\n", b"a;\r\nb;\r\n", b"a;\rb;\r"
MIXED = b"a;\r\nb;\n"
MODIFIED, MISSING, LATE = Condition.MODIFIED, Condition.MISSING, Condition.OUT_OF_ORDER


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file(name: str, data: bytes) -> Migration:
    """A file as the layout reads it."""
    return Migration(name, number_of(name), Path("migrations", name), sha256(data), data.removeprefix(BOM))


def record(name: str, checksum: str | None) -> Record:
    return Record(1, name, checksum=checksum)


def status(
    files: dict[str, bytes], records: dict[str, str | None], texts: dict[str, bytes] | None = None
) -> tuple[MigrationStatus, ...]:
    migrations = [file(name, data) for name, data in files.items()]
    rows = [
        Record(number, name, checksum=checksum) for number, (name, checksum) in enumerate(records.items())
    ]
    return planner.statuses(migrations, rows, {}, texts=texts or {})


# --- line endings and byte order marks --------------------------------------------------------------------

FORMS = [LF, CRLF, CR, BOM + LF, BOM + CRLF, BOM + CR]


@pytest.mark.parametrize("digits", [16, 40, 64])
@pytest.mark.parametrize("now", [*FORMS, MIXED, BOM + MIXED])
@pytest.mark.parametrize("applied", FORMS)
def test_neither_line_endings_nor_bom_modify(applied: bytes, now: bytes, digits: int) -> None:
    assert planner.same_content(sha256(applied)[:digits], file("1.sql", now))
    assert planner.in_question([file("1.sql", now)], [record("1.sql", sha256(applied)[:digits])]) == ()


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(sha256(CRLF).upper(), id="upper case"),
        pytest.param(f" {sha256(CRLF)[:16]}  ", id="padded"),
        pytest.param(None, id="unknown"),
        pytest.param("", id="empty"),
        pytest.param(sha256(LF), id="its own"),
    ],
)
def test_stored_checksums_as_they_come(stored: str | None) -> None:
    assert planner.same_content(stored, file("1.sql", LF))


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(sha256(CRLF)[:15], id="15 digits prove nothing"),
        pytest.param(sha256(CRLF) + "0", id="too many digits"),
        pytest.param(sha256(MIXED), id="mixed line endings, which no checksum tells"),
        pytest.param(sha256(LF + b"\n"), id="a line more"),
        pytest.param(sha256(LF[:-1]), id="no end of the last line"),
        pytest.param(sha256(b"a; \nb;\n"), id="a space more"),
        pytest.param(sha256(LF + BOM), id="a mark at the end"),
    ],
)
def test_what_is_another_text(stored: str) -> None:
    assert not planner.same_content(stored, file("1.sql", LF))
    assert planner.in_question([file("1.sql", LF)], [record("1.sql", stored)]) == ("1.sql",)


def test_what_is_in_question() -> None:
    files = [file("1.sql", LF), file("2.sql", LF), file("4.sql", LF)]
    records = [record("1.sql", sha256(b"x")), record("3.sql", sha256(b"x")), record("4.sql", None)]
    assert planner.in_question(files, records) == ("1.sql", "3.sql")
    assert planner.in_question([files[0], files[2]], records) == ("1.sql",), "nothing could be a new name"


# --- the kept text ----------------------------------------------------------------------------------------

# What was applied, what the log has kept, the file now -> whether it is modified, and what was applied, if
# that is known.
KEPT: dict[str, tuple[bytes, bytes | None, bytes, tuple[bool, bytes | None]]] = {
    "mixed line endings, all LF now": (MIXED, MIXED, LF, (False, None)),
    "mixed line endings, all CRLF now": (MIXED, MIXED, BOM + CRLF, (False, None)),
    "mixed line endings and a mark, all LF now": (BOM + MIXED, MIXED, LF, (False, None)),
    "mixed line endings, mixed otherwise now": (MIXED, MIXED, b"a;\nb;\r\n", (False, None)),
    "mixed line endings, not kept": (MIXED, None, LF, (True, None)),
    "another text": (LF, LF, b"c;\n", (True, LF)),
    "another text, and it had a mark": (BOM + CRLF, CRLF, b"c;\n", (True, CRLF)),
    "another text, not kept": (LF, None, b"c;\n", (True, None)),
    "kept is not what was applied": (b"d;\n", MIXED, LF, (True, None)),
    "kept is what is there, and not what was applied": (b"d;\n", b"c;\n", b"c;\n", (True, None)),
}


@pytest.mark.parametrize(("applied", "kept", "now", "expected"), KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("digits", [16, 64])
def test_the_kept_text_decides(
    applied: bytes, kept: bytes | None, now: bytes, expected: tuple[bool, bytes | None], digits: int
) -> None:
    texts = {} if kept is None else {"1.sql": kept}
    (found,) = status({"1.sql": now}, {"1.sql": sha256(applied)[:digits]}, texts)
    assert (MODIFIED in found.conditions, found.applied_source) == expected


TEXT = st.text(st.sampled_from("ab;\r\n\ufeff\u2028 ")).map(str.encode)


@given(TEXT, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans())
def test_a_kept_text_is_never_modified_by_a_conversion(
    applied: bytes,
    ending: bytes,
    marked: bool,  # noqa: FBT001
) -> None:
    lines = applied.removeprefix(BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    now = BOM * marked + lines.replace(b"\n", ending)
    (found,) = status({"1.sql": now}, {"1.sql": sha256(applied)}, {"1.sql": applied.removeprefix(BOM)})
    assert found.conditions == ()


@given(TEXT, TEXT)
@example(b"a", b"a\n")
@example(b"a\n", b"a\n\r\n")
@example(b"a\n", b"a \n")
def test_any_other_edit_modifies(applied: bytes, now: bytes) -> None:
    one, other = (
        text.decode().lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n") for text in (applied, now)
    )
    assume(one != other)
    (found,) = status({"1.sql": now}, {"1.sql": sha256(applied)}, {"1.sql": applied.removeprefix(BOM)})
    assert (found.conditions, found.applied_source) == ((MODIFIED,), applied.removeprefix(BOM))


# --- renamed files ----------------------------------------------------------------------------------------


def found(
    statuses: tuple[MigrationStatus, ...], only: str | None = None
) -> list[tuple[str, str, str | None]]:
    todo = planner.select(statuses, Selection(only=only))
    return [(item.kind, item.message, item.remedy) for item in planner.findings(statuses, todo)]


NOW = ("renamed", "1.sql is now 2.sql: same content")
RENAME = "`fluxmig rename 1.sql 2.sql` mends the ledger; `fluxmig unmark 1.sql` if it shall run again"
BRING_BACK = "bring the file back, or check --migrations; `fluxmig unmark 1.sql` if it is gone for good"


@pytest.mark.parametrize(
    ("applied", "now"),
    [(LF, LF), (LF, CRLF), (CRLF, LF), (BOM + CRLF, LF), (LF, BOM + CR), (MIXED, MIXED), (b"", b"")],
)
@pytest.mark.parametrize("digits", [16, 64])
def test_a_renamed_file(applied: bytes, now: bytes, digits: int) -> None:
    statuses = status({"2.sql": now}, {"1.sql": sha256(applied)[:digits]})
    assert [(each.name, each.conditions, each.renamed_to) for each in statuses] == [
        ("1.sql", (MISSING,), ("2.sql",)),
        ("2.sql", (), ()),
    ]
    assert found(statuses) == [(*NOW, RENAME)]


@pytest.mark.parametrize(
    ("stored", "now"),
    [
        pytest.param(None, LF, id="no checksum"),
        pytest.param("", LF, id="an empty checksum"),
        pytest.param(sha256(LF)[:15], LF, id="15 digits"),
        pytest.param(sha256(LF), b"c;\n", id="another content"),
        pytest.param(sha256(MIXED), LF, id="mixed line endings"),
    ],
)
def test_what_is_missing_and_not_renamed(stored: str | None, now: bytes) -> None:
    statuses = status({"2.sql": now}, {"1.sql": stored})
    assert found(statuses) == [("missing", "applied, but not in the folder: 1.sql", BRING_BACK)]


def test_a_copy_is_no_new_name() -> None:
    statuses = status({"1.sql": LF, "2.sql": LF}, {"1.sql": sha256(LF)})
    assert found(statuses) == []


def test_what_is_applied_under_both_names_is_missing() -> None:
    statuses = status({"2.sql": LF}, {"1.sql": sha256(LF), "2.sql": sha256(LF)})
    assert found(statuses) == [("missing", "applied, but not in the folder: 1.sql", BRING_BACK)]


def test_several_new_names() -> None:
    statuses = status({"3.sql": LF, "2.sql": CRLF}, {"1.sql": sha256(LF)})
    assert [each.renamed_to for each in statuses] == [("2.sql", "3.sql"), (), ()]
    assert found(statuses) == [
        (
            "renamed",
            "applied, but not in the folder: 1.sql; pending, with the same content: 2.sql, 3.sql",
            "`fluxmig rename 1.sql NEW` mends the ledger; `fluxmig unmark 1.sql` if it shall run again",
        )
    ]


def test_several_old_names() -> None:
    statuses = status({"3.sql": LF}, {"1.sql": sha256(LF), "2.sql": sha256(CRLF)[:16]})
    assert [each.renamed_to for each in statuses] == [("3.sql",), ("3.sql",), ()]
    (finding,) = planner.findings(statuses, planner.pending(statuses))
    assert finding == Finding(
        "renamed",
        "applied, but not in the folder: 1.sql, 2.sql; pending, with the same content: 3.sql",
        ("1.sql", "2.sql", "3.sql"),
        "`fluxmig rename OLD NEW` mends the ledger; `fluxmig unmark OLD` if it shall run again",
    )


def test_two_renamed_files_beside_one_that_is_missing() -> None:
    files = {"11.sql": LF, "12.sql": b"c;"}
    statuses = status(files, {"1.sql": sha256(LF), "2.sql": sha256(b"c;"), "3.sql": sha256(b"d;")})
    assert [item[1] for item in found(statuses)] == [
        "applied, but not in the folder: 3.sql",
        "1.sql is now 11.sql: same content",
        "2.sql is now 12.sql: same content",
    ]


def test_a_renamed_file_is_told_whatever_is_about_to_run() -> None:
    statuses = status({"2.sql": LF, "3.sql": b"c;"}, {"1.sql": sha256(LF)})
    assert found(statuses, only="3") == found(statuses) == [(*NOW, RENAME)]


def test_a_renamed_file_is_not_told_to_be_out_of_order() -> None:
    statuses = status({"2.sql": LF, "1.sql": b"c;"}, {"3.sql": sha256(LF)})
    assert [(each.name, each.conditions) for each in statuses] == [
        ("1.sql", (LATE,)),
        ("2.sql", (LATE,)),
        ("3.sql", (MISSING,)),
    ]
    assert [item[:2] for item in found(statuses)] == [
        ("renamed", "3.sql is now 2.sql: same content"),
        ("out of order", "sorted before 3.sql, which is applied: 1.sql"),
    ]


def test_commands_in_remedies_can_be_pasted_into_a_shell() -> None:
    statuses = status({"2 b.sql": LF, "3 $(c).sql": b"c;"}, {"1 'a'.sql": sha256(LF), "3 $(c).sql": "0" * 64})
    remedies = [finding.remedy or "" for finding in planner.findings(statuses, planner.pending(statuses))]
    commands = re.findall(r"`(fluxmig .*?)`", "\n".join(remedies))
    assert [shlex.split(command)[1:] for command in commands] == [
        ["accept", "3 $(c).sql"],
        ["status", "--diff"],
        ["rename", "1 'a'.sql", "2 b.sql"],
        ["unmark", "1 'a'.sql"],
    ]


# --- numbers ----------------------------------------------------------------------------------------------

ORDER = "they run in the order of their names; to have another, renumber"
TIMESTAMPS = "20260101120000_a.sql, 20260101120000_b.sql"
LEAVE = "they are applied, so leave their names as they are"


@pytest.mark.parametrize(
    ("names", "applied", "expected"),
    [
        ((), (), []),
        (("1_a.sql", "2_b.sql", "a.sql", "b.sql"), (), []),
        (("001_a.sql", "001_b.sql"), ("001_a.sql", "001_b.sql"), [("001", "001_a.sql, 001_b.sql", LEAVE)]),
        (
            ("1_a.sql", "001_b.sql"),
            ("001_b.sql",),
            [("001", "001_b.sql, 1_a.sql", f"{ORDER} 1_a.sql")],
        ),
        (
            ("20260101120000_a.sql", "20260101120000_b.sql", "0_c.sql", "00_d.sql"),
            ("0_c.sql", "00_d.sql"),
            [
                ("000", "0_c.sql, 00_d.sql", LEAVE),
                ("20260101120000", TIMESTAMPS, f"{ORDER} {TIMESTAMPS}"),
            ],
        ),
    ],
)
def test_shared_numbers(
    names: tuple[str, ...], applied: tuple[str, ...], expected: list[tuple[str, str, str]]
) -> None:
    statuses = status({name: name.encode() for name in names}, dict.fromkeys(applied))
    assert planner.shared_numbers(statuses) == tuple(
        Finding("number", f"number {number} is shared by {files}", tuple(files.split(", ")), remedy)
        for number, files, remedy in expected
    )


def test_a_missing_file_shares_no_number() -> None:
    assert planner.shared_numbers(status({"1_a.sql": b""}, {"1_b.sql": None})) == ()
