"""What a database has of pending files: tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fluxmig import sql
from fluxmig.adopt import Candidate, adoptions
from fluxmig.model import AdoptionKind
from fluxmig.objects import Presence
from tests.unit.test_presence import asking, script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fluxmig.objects import Created

EXISTS, ABSENT, CONFLICT, UNKNOWN = AdoptionKind
REMOVED = "table t is not there, and 2.sql may have removed it"
NOT_SEEN = "what it makes is there; the effect of line {} cannot be seen"

# One file, what is there, and what is said of it.
ONE: list[tuple[str, str, AdoptionKind, str]] = [
    ("CREATE TABLE t (a int)", "table t; column a on t", EXISTS, "table t is there"),
    (
        "CREATE TABLE t (); CREATE INDEX i ON t (a); CREATE INDEX j ON t (a); CREATE INDEX k ON t (a)",
        "table t; index i on t; index j on t; index k on t",
        EXISTS,
        "table t, index i on t and 2 more are there",
    ),
    ("SET x = 1; BEGIN; CREATE TABLE t (); COMMIT", "table t", EXISTS, "table t is there"),
    ("CREATE TABLE t (); SELECT 'done' AS state", "table t", EXISTS, "table t is there"),
    ("CREATE EXTENSION IF NOT EXISTS x", "extension x", EXISTS, "extension x is there"),
    ("CREATE TABLE t (a int)", "", ABSENT, "table t is not there"),
    ("CREATE TABLE t (); INSERT INTO t VALUES (1); SELECT f()", "", UNKNOWN, ""),
    ("CREATE TABLE t (); INSERT INTO t VALUES (1)", "", ABSENT, "table t is not there"),
    ("CREATE TABLE t (); CREATE TABLE u ()", "", ABSENT, "table t and table u are not there"),
    ("CREATE SCHEMA IF NOT EXISTS s; CREATE TABLE s.t ()", "schema s", ABSENT, "table s.t is not there"),
    (
        "CREATE SCHEMA s; CREATE TABLE s.t ()",
        "schema s",
        CONFLICT,
        "schema s is there, table s.t is not",
    ),
    (
        "CREATE TABLE t (a int, b int)",
        "table t; column a on t",
        CONFLICT,
        "table t is there, column b on t is not",
    ),
    (
        "CREATE TABLE t (); CREATE TABLE u (); CREATE TABLE w ()",
        "table t",
        CONFLICT,
        "table t is there, table u and table w are not",
    ),
    (
        "CREATE VIEW v AS SELECT 1",
        "taken view v",
        CONFLICT,
        "view v is not there; another object has the name of view v",
    ),
    ("", "", UNKNOWN, "holds no statement"),
    ("-- nothing", "", UNKNOWN, "holds no statement"),
    ("SET x = 1", "", UNKNOWN, "makes nothing that could be looked for"),
    (
        "INSERT INTO t VALUES (1)",
        "",
        UNKNOWN,
        "the effect of line 1 (INSERT INTO t VALUES (1)) cannot be seen",
    ),
    (
        "CREATE TABLE t ();\nUPDATE a SET b = 'a rather long text of a statement';\nGRANT SELECT ON t TO r",
        "table t",
        UNKNOWN,
        NOT_SEEN.format("2 (UPDATE a SET b = 'a rather long text of…) and 1 more"),
    ),
    (
        "CREATE TABLE t (); COMMENT ON TABLE t IS 'x'",
        "table t",
        UNKNOWN,
        NOT_SEEN.format("1 (COMMENT ON TABLE t IS 'x')"),
    ),
    (
        "DROP TRIGGER IF EXISTS x ON t; CREATE TRIGGER x BEFORE INSERT ON t EXECUTE FUNCTION f()",
        "trigger x on t",
        UNKNOWN,
        NOT_SEEN.format("1 (DROP TRIGGER IF EXISTS x ON t)"),
    ),
    (
        "CREATE OR REPLACE VIEW v AS SELECT 1",
        "view v",
        UNKNOWN,
        NOT_SEEN.format("1 (CREATE OR REPLACE VIEW v AS SELECT 1)"),
    ),
    (
        "CREATE TABLE t AS SELECT 1",
        "table t",
        UNKNOWN,
        NOT_SEEN.format("1 (CREATE TABLE t AS SELECT 1)"),
    ),
    (
        "CREATE TABLE t (); DROP TABLE t; CREATE TABLE u ()",
        "table u",
        UNKNOWN,
        NOT_SEEN.format("1 (CREATE TABLE t ()) and 1 more"),
    ),
    ("CREATE TABLE t (); DROP TABLE t; CREATE TABLE u ()", "", ABSENT, "table u is not there"),
    (
        "SET search_path = s; CREATE TABLE t ()",
        "table t",
        UNKNOWN,
        "the effect of line 1 (CREATE TABLE t ()) cannot be seen",
    ),
]


def kinds(files: Sequence[Candidate], there: str) -> list[tuple[AdoptionKind, str]]:
    def existing(wanted: Sequence[Created]) -> dict[Created, Presence]:
        taken = {each: Presence(is_taken=True) for each in wanted if f"taken {each}" in there}
        return {**asking(there, unknown="function known")(wanted), **taken}

    found = adoptions(files, sql.POSTGRESQL, existing)
    assert [each.name for each in found] == [
        file.name for file in files if file.script and not file.is_applied
    ]
    return [(each.kind, each.reason) for each in found]


@pytest.mark.parametrize(("text", "there", "kind", "reason"), ONE)
def test_one_file(text: str, there: str, kind: AdoptionKind, reason: str) -> None:
    ((said, why),) = kinds([Candidate("1.sql", script("1.sql", text))], there)
    assert said is kind
    assert why == reason or not reason


# Files: + applied, the rest pending; what is there; and what is said of the pending ones.
SEVERAL: list[tuple[list[str], str, list[str]]] = [
    (["CREATE TABLE t ()", "CREATE TABLE u ()"], "table u", ["absent", "exists"]),
    (["CREATE TABLE t ()", "DROP TABLE t"], "", [REMOVED, "unknown"]),
    (["DROP TABLE t", "CREATE TABLE t ()"], "", ["unknown", "absent"]),
    (["CREATE TABLE t ()", "DROP TABLE t; CREATE TABLE u ()"], "", ["absent", "absent"]),
    (
        ["CREATE TABLE t ()", "DROP TABLE t; CREATE TABLE u ()"],
        "table u",
        [REMOVED, "unknown"],
    ),
    (["CREATE TABLE t ()", "+DROP TABLE t"], "", [REMOVED]),
    (["CREATE TABLE t ()", "+DROP TABLE u"], "", ["absent"]),
    (["+DROP TABLE t", "CREATE TABLE t ()"], "", ["absent"]),
    (["CREATE TABLE t ()", "+"], "", [REMOVED]),
    (["CREATE TABLE t (); CREATE TABLE u ()", "+DROP TABLE t"], "table u", [REMOVED]),
    (["CREATE TABLE t (); CREATE TABLE u ()", "+DROP TABLE t"], "", ["absent"]),
    (
        ["CREATE TABLE t ()", "ALTER TABLE t RENAME TO u", "DROP TABLE t"],
        "",
        [REMOVED, "unknown", "unknown"],
    ),
    (["CREATE TABLE t (); CREATE TABLE u ()", "SELECT f()"], "table t; table u", ["exists", "unknown"]),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "there", "expected"), SEVERAL)
def test_several_files(texts: list[str], there: str, expected: list[str]) -> None:
    files = []
    for number, text in enumerate(texts, start=1):
        name = f"{number}.sql"
        ready = script(name, text.removeprefix("+")) if text != "+" else None
        files.append(Candidate(name, ready, is_applied=text.startswith("+")))
    found = kinds(files, there)
    assert [
        reason if " " in said else kind for (kind, reason), said in zip(found, expected, strict=True)
    ] == expected


@pytest.mark.parametrize(
    ("done", "words"), [(0, "none of its statements are"), (1, "1 of its statements is")]
)
def test_a_partial_one_is_for_a_person(done: int, words: str) -> None:
    file = Candidate("1.sql", script("1.sql", "CREATE TABLE t ()"), done=done)
    reason = f"partial: {words} known to be done; settle it with `fluxmig resolve`"
    assert kinds([file], "table t") == [(UNKNOWN, reason)]


def test_what_is_there_and_what_is_not() -> None:
    text = "CREATE TABLE t (a int, b int); CREATE TABLE u (a int); CREATE INDEX i ON t (a)"
    (found,) = adoptions(
        [Candidate("1.sql", script("1.sql", text))], sql.POSTGRESQL, asking("table t; column a on t")
    )
    assert (found.there, found.absent) == (("table t",), ("column b on t", "table u", "index i on t"))
