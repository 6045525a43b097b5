"""What is found of a file, by what was seen of its statements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fluxmig import sql
from fluxmig.hazards import NAMES, findings, nearest
from fluxmig.model import Allowance, Failure, Lost, Outcome, Statement, StepResult
from fluxmig.trace import FileTrace, Lock, LockMode, RoundTrip, StatementTrace, Work, WorkKind

PATH = Path("migrations/007_a.sql")
ALL, SHARE, WEAK = LockMode.ACCESS_EXCLUSIVE, LockMode.SHARE, LockMode.ROW_EXCLUSIVE


def lock(mode: LockMode, until: int, relation: str = "messages", *, existed: bool = True) -> Lock:
    return Lock(relation, "table", mode, existed, until)


def work(kind: WorkKind, name: str = "messages", table: str = "messages", *, existed: bool = True) -> Work:
    return Work(kind, name, table, existed)


def trace(number: int, text: str, *seen: Lock | Work, **facts: Any) -> StatementTrace:
    statement = Statement(number, text, 0, len(text), number, 1)
    locks = tuple(each for each in seen if isinstance(each, Lock))
    did = tuple(each for each in seen if isinstance(each, Work))
    return StatementTrace(statement, number, 0.0, 1.0, locks=locks, work=did, **facts)


def file(*traces: StatementTrace, outcome: Outcome = Outcome.APPLIED, **facts: Any) -> FileTrace:
    return FileTrace(PATH, StepResult(PATH.name, outcome), statements=traces, **facts)


def told(of: FileTrace) -> list[tuple[str, int | None, str, str | None]]:
    return [
        (each.name, each.line, each.message, each.remedy)
        for each in findings(of, sql.POSTGRESQL, frozenset())
    ]


APART = "put it last in the file, or in a file of its own"


def test_the_verdict_in_words() -> None:
    found = told(
        file(
            trace(1, "ALTER TABLE messages ADD COLUMN a int", lock(ALL, 3)),
            trace(2, "SELECT 1"),
            trace(3, "SELECT 2"),
        )
    )
    message = (
        "ACCESS EXCLUSIVE on messages, held to the end of the file: 3 statements; readers and writers wait"
    )
    assert found == [
        ("access-exclusive-on-existing", 1, message, APART),
        ("long-hold", 1, "ACCESS EXCLUSIVE on messages is kept for 2 more statements", APART),
    ]


@pytest.mark.parametrize(
    ("text", "seen", "expected"),
    [
        (
            "CREATE INDEX i ON messages (a)",
            (lock(SHARE, 1), work(WorkKind.INDEX, "i")),
            [
                (
                    "share-lock-on-existing",
                    "SHARE on messages, held for this statement; writers wait",
                    "CREATE INDEX CONCURRENTLY lets others write meanwhile",
                ),
                (
                    "index-build",
                    "index i is built on messages while writers wait",
                    "CREATE INDEX CONCURRENTLY lets others write meanwhile",
                ),
            ],
        ),
        (
            "CREATE INDEX CONCURRENTLY i ON messages (a)",
            (lock(LockMode.SHARE_UPDATE_EXCLUSIVE, 1), work(WorkKind.INDEX, "i")),
            [],
        ),
        ("CREATE TABLE new (a int)", (lock(ALL, 1, "new", existed=False),), []),
        ("INSERT INTO messages VALUES (1)", (lock(WEAK, 1),), []),
        (
            "ALTER TABLE messages ALTER a TYPE bigint",
            (lock(ALL, 1), work(WorkKind.REWRITE)),
            [
                (
                    "access-exclusive-on-existing",
                    "ACCESS EXCLUSIVE on messages, held for this statement; readers and writers wait",
                    "add a column of the new type, fill it in batches, and switch over to it",
                ),
                (
                    "rewrite",
                    "messages is written anew, row by row, under ACCESS EXCLUSIVE",
                    "add a column of the new type, fill it in batches, and switch over to it",
                ),
            ],
        ),
    ],
    ids=["index", "concurrent index", "own table", "plain write", "rewrite"],
)
def test_what_a_statement_is_found_to_do(
    text: str, seen: tuple[Lock | Work, ...], expected: list[tuple[str, str, str | None]]
) -> None:
    assert [(name, message, way) for name, _, message, way in told(file(trace(1, text, *seen)))] == expected


@pytest.mark.parametrize(
    ("text", "kind", "way"),
    [
        ("ALTER TABLE m ADD CONSTRAINT c CHECK (a > 0)", WorkKind.SCAN, "add it NOT VALID"),
        ("ALTER TABLE m ADD FOREIGN KEY (a) REFERENCES n (a)", WorkKind.SCAN, "add it NOT VALID"),
        ("ALTER TABLE m ALTER a SET NOT NULL", WorkKind.SCAN, "in files before, add CHECK"),
        ("ALTER TABLE m VALIDATE CONSTRAINT c", WorkKind.SCAN, "in a file of its own"),
        ("ALTER TABLE m ATTACH PARTITION n DEFAULT", WorkKind.SCAN, "a valid CHECK"),
        ("ALTER TABLE m ADD UNIQUE (a)", WorkKind.INDEX, "CREATE UNIQUE INDEX CONCURRENTLY"),
        ("ALTER TABLE m ADD PRIMARY KEY (a)", WorkKind.INDEX, "CREATE UNIQUE INDEX CONCURRENTLY"),
        ("REINDEX TABLE m", WorkKind.INDEX, "REINDEX ... CONCURRENTLY"),
        ("ALTER TABLE m ADD COLUMN b serial", WorkKind.REWRITE, "add the column without a value"),
        ("VACUUM (FULL) m", WorkKind.REWRITE, "plain VACUUM"),
        ("REFRESH MATERIALIZED VIEW m", WorkKind.REWRITE, "REFRESH MATERIALIZED VIEW CONCURRENTLY"),
    ],
)
def test_the_safer_way(text: str, kind: WorkKind, way: str) -> None:
    found = told(file(trace(1, text, lock(ALL, 1, "m"), work(kind, "m", "m"))))
    ways = [remedy for name, *_, remedy in found if name != "depends-on-rows"]
    assert [remedy and remedy.startswith(way) for remedy in ways] == [True, True]


def test_a_lock_that_is_held_already_is_told_once() -> None:
    found = told(
        file(
            trace(1, "ALTER TABLE messages ADD a int", lock(SHARE, 2)),
            trace(2, "ALTER TABLE messages ADD b int", lock(ALL, 3)),
            trace(3, "CREATE INDEX i ON messages (a)", lock(SHARE, 3), work(WorkKind.INDEX, "i")),
        )
    )
    names = [(name, line) for name, line, _, _ in found]
    assert names == [
        ("share-lock-on-existing", 1),
        ("long-hold", 1),
        ("access-exclusive-on-existing", 2),
        ("long-hold", 2),
        ("index-build", 3),
    ]
    assert found[0][2] == "SHARE on messages, held to the end of its transaction: 2 statements; writers wait"
    assert found[-1][2] == "index i is built on messages while readers and writers wait"


def test_what_loses_rows_or_names() -> None:
    kinds = [WorkKind.TRUNCATE, WorkKind.DROP_TABLE, WorkKind.DROP_COLUMN, WorkKind.RENAME]
    found = told(file(trace(1, "DO", lock(ALL, 1), *(work(kind) for kind in kinds))))
    assert [name for name, *_ in found[1:]] == ["truncate", "drop-table", "drop-column", "rename"]
    own = told(file(trace(1, "DO", *(work(kind, existed=False) for kind in kinds))))
    assert own == []


def test_a_scan_counts_under_a_lock_only() -> None:
    weak = lock(LockMode.SHARE_UPDATE_EXCLUSIVE, 1)
    found = told(file(trace(1, "ALTER TABLE messages VALIDATE CONSTRAINT c", weak, work(WorkKind.SCAN))))
    assert [name for name, *_ in found] == ["depends-on-rows"]


ASK = "ask the target for such rows before"
DEFAULT = "give it a default; or add it without NOT NULL, fill it, and SET NOT NULL in a later file"


@pytest.mark.parametrize(
    ("text", "seen", "expected"),
    [
        (
            "ALTER TABLE messages ADD CHECK (a > 0)",
            (work(WorkKind.SCAN), work(WorkKind.SCAN, "users", "users")),
            [("fails where rows of messages do not meet it", ASK)],
        ),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY i ON messages (a)",
            (work(WorkKind.INDEX, "i"),),
            [("fails where rows of messages are not unique", ASK)],
        ),
        ("CREATE INDEX CONCURRENTLY is_unique ON messages (a)", (work(WorkKind.INDEX, "is_unique"),), []),
        (
            "ALTER TABLE messages ADD COLUMN a int NOT NULL",
            (work(WorkKind.SCAN), work(WorkKind.REQUIRED, "messages.a")),
            [
                (
                    "messages.a is NOT NULL without a default: fails as soon as messages has a row",
                    DEFAULT,
                )
            ],
        ),
        ("CREATE TABLE n (a int NOT NULL)", (work(WorkKind.REQUIRED, "n.a", "n", existed=False),), []),
    ],
)
def test_what_rows_could_make_of_it(
    text: str, seen: tuple[Work, ...], expected: list[tuple[str, str]]
) -> None:
    found = told(file(trace(1, text, *seen)))
    assert [(message, way) for name, _, message, way in found if name == "depends-on-rows"] == expected


def test_a_refused_statement_is_not_judged() -> None:
    assert told(file(trace(1, "DROP TABLE a", error="no"), outcome=Outcome.FAILED)) == []


def test_what_a_mark_would_lose() -> None:
    statements = [Statement(number, "CREATE", 0, 6, number + 1, 1) for number in range(1, 6)]
    failure = Failure(PATH, 'relation "a" already exists', "42P07", 3, 1, statements[1], 5)
    lost = tuple(Lost(each, ("table x",), exists=False) for each in (statements[0], *statements[2:]))
    result = StepResult(PATH.name, Outcome.MARKED, statements=5, failure=failure, lost=lost)
    (found,) = findings(FileTrace(PATH, result), sql.POSTGRESQL, frozenset({"marked"}))
    assert (found.name, found.line, found.statement, found.denied) == ("marked", 3, 2, True)
    assert found.message == (
        'relation "a" already exists: the file would be marked as applied, 4 of 5 statements lost'
        " (line 2, line 4, line 5 and 1 more)"
    )


@pytest.mark.parametrize(
    ("trip", "expected"),
    [
        (RoundTrip(), []),
        (RoundTrip(has_down=False), [("down-missing", "there is no down script")]),
        (RoundTrip(down_failure="a.sql:1:1: no"), [("down-failed", "the down script failed: a.sql:1:1: no")]),
        (
            RoundTrip(not_restored=("a", "b", "c", "d"), differs=("e",)),
            [
                ("down-incomplete", "the down script does not bring back what was there: a, b, c and 1 more"),
                ("again-differs", "applied again, the file gives something else: e"),
            ],
        ),
        (RoundTrip(up_failure="no"), [("again-differs", "applied again, the file fails: no")]),
    ],
)
def test_the_way_back_and_forth(trip: RoundTrip, expected: list[tuple[str, str]]) -> None:
    assert [(name, message) for name, _, message, _ in told(file(round_trip=trip))] == expected


def test_what_a_file_allows_is_not_denied() -> None:
    seen = file(
        trace(2, "ALTER TABLE messages ALTER a TYPE bigint", lock(ALL, 2), work(WorkKind.REWRITE)),
        allowed=(Allowance("rewrite", 1),),
    )
    denied = frozenset({"rewrite", "access-exclusive-on-existing"})
    found = [(each.name, each.allowed, each.denied) for each in findings(seen, sql.POSTGRESQL, denied)]
    assert found == [("access-exclusive-on-existing", False, True), ("rewrite", True, False)]


def test_what_is_allowed_in_vain() -> None:
    allowed = (Allowance("rewrit", 1), Allowance("rewrite", 2))
    assert told(file(trace(3, "SELECT 1"), allowed=allowed)) == [
        ("unknown-name", 1, "allow=rewrit: no finding has that name", "did you mean rewrite?"),
        ("unused-allow", 2, "allow=rewrite: there is nothing to allow", "take it out"),
    ]
    failed = file(trace(3, "SELECT 1"), allowed=allowed, outcome=Outcome.FAILED)
    assert [name for name, *_ in told(failed)] == ["unknown-name"]


def test_several_inserts_are_one() -> None:
    many = replace(trace(1, "INSERT INTO a VALUES (1)", lock(ALL, 9)), last=8)
    found = told(file(many, trace(9, "SELECT 1")))
    assert found[1][2] == "ACCESS EXCLUSIVE on messages is kept for 1 more statement"


def test_every_name_is_plain() -> None:
    assert all(name.replace("-", "").isalpha() and name.islower() for name in NAMES)
    assert nearest("whatever") == f"there are {', '.join(NAMES)}"
