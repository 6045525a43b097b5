"""What is said of statements that did not take effect, and of objects that are gone: tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fluxmig import sql
from fluxmig.model import Script
from fluxmig.objects import Presence
from fluxmig.presence import Applied, absent, lost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fluxmig.objects import Created

    Ask = Callable[[Sequence[Created]], Mapping[Created, Presence]]


def asking(there: str, elsewhere: str = "", unknown: str = "") -> Ask:
    """A database with these objects, and some of which it cannot tell; by their names in words."""

    def existing(wanted: Sequence[Created]) -> dict[Created, Presence]:
        return {
            each: Presence(
                is_there=str(each) in there.split("; "), is_elsewhere=str(each) in elsewhere.split("; ")
            )
            for each in wanted
            if str(each) not in unknown.split("; ")
        }

    return existing


def script(name: str, text: str) -> Script:
    return Script(name, Path(name), "", sql.split(text.encode(), sql.POSTGRESQL))


# --- lost -------------------------------------------------------------------------------------------------

THERE = (
    "table t; column a on t; column b on t; index i on t; view v; schema s; trigger x on t; type e; role r;"
    " constraint c on t; primary key (a) on t; enum value one of e; policy p on t; extension x; table part"
)
# A statement, what it would have made, and whether all that is there.
LOST: list[tuple[str, list[str], bool | None]] = [
    ("CREATE TABLE t (a int, b int)", ["table t"], True),
    ("CREATE TABLE IF NOT EXISTS t (a int)", ["table t"], True),
    ("CREATE TABLE t (a int, q int)", ["table t"], False),
    ("CREATE TABLE t (a int, CONSTRAINT c CHECK (a > 0))", ["table t"], True),
    ("CREATE TABLE t (a int, CONSTRAINT d CHECK (a > 0))", ["table t"], False),
    ("CREATE TABLE t AS SELECT 1 AS a", ["table t"], None),
    ("CREATE TABLE u AS SELECT 1 AS a", ["table u"], False),
    ("CREATE TABLE t (LIKE u)", ["table t"], True),
    ("CREATE TABLE u (a int)", ["table u"], False),
    ("CREATE TABLE part PARTITION OF t DEFAULT", ["partition part"], False),
    ("CREATE TEMP TABLE t (a int)", [], None),
    ("CREATE INDEX i ON t (a)", ["index i on t"], True),
    ("CREATE INDEX IF NOT EXISTS j ON t (a)", ["index j on t"], False),
    ("CREATE INDEX ON t (a)", [], None),
    ("CREATE VIEW v AS SELECT 1", ["view v"], True),
    ("CREATE OR REPLACE VIEW v AS SELECT 1", ["view v"], None),
    ("CREATE OR REPLACE VIEW w AS SELECT 1", ["view w"], False),
    ("CREATE TRIGGER x BEFORE INSERT ON t EXECUTE FUNCTION f()", ["trigger x on t"], True),
    ("CREATE TRIGGER y BEFORE INSERT ON t EXECUTE FUNCTION f()", ["trigger y on t"], False),
    ("CREATE OR REPLACE TRIGGER x BEFORE INSERT ON t EXECUTE FUNCTION f()", ["trigger x on t"], None),
    ("CREATE FUNCTION known() RETURNS int AS $$ x $$", ["function known"], None),
    ("CREATE OR REPLACE FUNCTION known() RETURNS int AS $$ x $$", ["function known"], None),
    ("CREATE OR REPLACE FUNCTION f() RETURNS int AS $$ x $$", ["function f"], False),
    ("CREATE SCHEMA s", ["schema s"], True),
    ("CREATE SCHEMA s CREATE TABLE t ()", ["schema s"], None),
    ("CREATE ROLE r", ["role r"], True),
    ("CREATE POLICY p ON t", ["policy p on t"], True),
    ("ALTER TYPE e ADD VALUE 'one'", ["enum value one of e"], True),
    ("ALTER TYPE e ADD VALUE IF NOT EXISTS 'two'", ["enum value two of e"], False),
    ("ALTER TABLE t ADD a int", ["column a on t"], True),
    ("ALTER TABLE t ADD a int, ADD q int", ["column a on t", "column q on t"], False),
    ("ALTER TABLE t ADD a int, ALTER b SET NOT NULL", ["column a on t"], None),
    ("ALTER TABLE t ADD COLUMN IF NOT EXISTS a int", ["column a on t"], True),
    ("ALTER TABLE t ADD COLUMN IF NOT EXISTS q int", ["column q on t"], False),
    ("ALTER TABLE t ADD PRIMARY KEY (a)", ["primary key (a) on t"], True),
    ("ALTER TABLE t ADD PRIMARY KEY (b)", ["primary key (b) on t"], False),
    ("ALTER TABLE t OWNER TO r", [], None),
    ("INSERT INTO t VALUES (1)", [], None),
    ("COMMENT ON TABLE t IS 'x'", [], None),
    ("GRANT SELECT ON t TO r", [], None),
    ("DO $$ BEGIN CREATE TABLE t (); END $$", [], None),
    ("DROP TABLE u", [], None),
    ("SELECT 1", [], None),
]


@pytest.mark.parametrize(("statement", "objects", "exists"), LOST, ids=[case[0] for case in LOST])
def test_a_lost_statement(statement: str, objects: list[str], exists: bool | None) -> None:  # noqa: FBT001
    file = script("1.sql", f"CREATE TABLE met (); {statement}")
    (found,) = lost(file, 1, sql.POSTGRESQL, asking(f"{THERE}; table met", unknown="function known"))
    assert (found.statement.number, list(found.objects), found.exists) == (2, objects, exists)


def test_the_statement_that_met_the_duplicate_is_lost_where_a_part_of_it_is_not_there() -> None:
    file = script("1.sql", "CREATE TABLE t (a int, q int); CREATE VIEW v AS SELECT 1")
    first, second = lost(file, 1, sql.POSTGRESQL, asking(THERE))
    assert (first.statement.number, first.exists) == (1, False)
    assert (second.statement.number, second.exists) == (2, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SET x = 1; RESET x; SHOW x; SAVEPOINT s; CREATE TABLE t (); RELEASE s", {5: True}),
        ("SET search_path = q; CREATE TABLE u (); CREATE TABLE s.u ()", {2: None, 3: False}),
        ("CREATE TABLE u (); DROP TABLE u", {1: None, 2: None}),
        ("CREATE TABLE u (); ALTER TABLE u RENAME TO w", {1: None, 2: None}),
        ("DROP TABLE u; CREATE TABLE u ()", {1: None, 2: False}),
        ("CREATE TABLE u (); SELECT f()", {1: None, 2: None}),
        ("CREATE TABLE t (a int, q int); ALTER TABLE t DROP q", {1: True, 2: None}),
        ("CREATE INDEX j ON t (a); DROP INDEX i", {1: False, 2: None}),
        ("CREATE VIEW w AS SELECT 1; CREATE OR REPLACE VIEW w AS SELECT 1", {1: False, 2: False}),
    ],
)
def test_what_other_statements_of_the_file_do_to_it(text: str, expected: dict[int, bool | None]) -> None:
    found = lost(script("1.sql", text), None, sql.POSTGRESQL, asking(THERE))
    assert {each.statement.number: each.exists for each in found} == expected


def test_the_database_is_asked_once_or_not_at_all() -> None:
    asked: list[int] = []

    def existing(wanted: Sequence[Created]) -> dict[Created, Presence]:
        asked.append(len(wanted))
        return {}

    assert [each.exists for each in lost(script("1", "SELECT 1"), None, sql.POSTGRESQL, existing)] == [None]
    assert absent([Applied("1", script("1", "SELECT 1"))], sql.POSTGRESQL, existing) == ()
    assert asked == []
    lost(script("1", "CREATE TABLE t (a int); CREATE TABLE t (a int)"), 1, sql.POSTGRESQL, existing)
    absent([Applied("1", script("1", "CREATE TABLE t (a int)"))], sql.POSTGRESQL, existing)
    assert asked == [2, 2]


# --- absent -----------------------------------------------------------------------------------------------

INDEXED = "CREATE TABLE t (); CREATE INDEX i ON t (a)"
# The statements of the applied files, in order; what is there; and what is said to be gone, by file and line.
ABSENT: list[tuple[list[str], str, list[str]]] = [
    (["CREATE TABLE t (a int)"], "table t; column a on t", []),
    (["CREATE TABLE t (a int)"], "", ["1: table t (line 1)"]),
    (["CREATE TABLE t (a int, b int)"], "table t; column a on t", ["1: column b on t (line 1)"]),
    (["SELECT 1;\nCREATE INDEX i ON t (a)"], "", ["1: index i on t (line 2)"]),
    (["CREATE TABLE t ()", "CREATE TABLE IF NOT EXISTS t ()"], "", ["1: table t (line 1)"]),
    (["CREATE TABLE t ()", "DROP TABLE t"], "", []),
    (["CREATE TABLE t ()", "DROP TABLE t", "CREATE TABLE t ()"], "", ["3: table t (line 1)"]),
    (["CREATE TABLE t (); DROP TABLE t"], "", []),
    (["DROP TABLE IF EXISTS t; CREATE TABLE t ()"], "", ["1: table t (line 1)"]),
    (["CREATE TABLE t (); CREATE TABLE u ()", "DROP TABLE t"], "", ["1: table u (line 1)"]),
    (["CREATE TABLE t ()", "ALTER TABLE t RENAME TO u"], "", []),
    (["CREATE TABLE t ()", "SELECT f()"], "", []),
    (["CREATE TABLE t ()", "CREATE OR REPLACE VIEW t AS SELECT 1"], "view t", ["1: table t (line 1)"]),
    (["CREATE TABLE t ()", "DO $$ BEGIN DROP TABLE u; END $$"], "", ["1: table t (line 1)"]),
    (["CREATE TABLE t ()", "DO $$ BEGIN DROP TABLE t; END $$"], "", []),
    ([INDEXED, "ALTER TABLE t DROP a"], "table t", []),
    ([INDEXED, "ALTER TABLE u DROP a"], "table t", ["1: index i on t (line 1)"]),
    ([INDEXED, "DROP TABLE u CASCADE"], "table t", ["1: index i on t (line 1)"]),
    (["CREATE INDEX i ON m (a)", "DROP TABLE u CASCADE"], "", []),
    (["CREATE VIEW v AS SELECT 1", "DROP TABLE u CASCADE"], "", []),
    (["CREATE VIEW v AS SELECT 1", "DROP TABLE u"], "", ["1: view v (line 1)"]),
    (["CREATE TABLE w (r u)", "DROP TABLE u CASCADE"], "table w", []),
    (["ALTER TABLE t ADD PRIMARY KEY (a)", "ALTER TABLE t DROP CONSTRAINT t_pkey"], "", []),
    ([INDEXED, "CREATE TABLE p PARTITION OF q DEFAULT; DROP INDEX j"], "table t", []),
    (["CREATE TABLE p PARTITION OF q DEFAULT"], "", []),
    (["SET search_path = s; CREATE TABLE t (); CREATE TABLE s.u ()"], "", ["1: table s.u (line 1)"]),
    (["SET search_path = s", "CREATE TABLE t ()"], "", ["2: table t (line 1)"]),
    (["CREATE FUNCTION f() RETURNS int AS $$ x $$"], "", ["1: function f (line 1)"]),
    (["CREATE FUNCTION known() RETURNS int AS $$ x $$"], "", []),
    (["CREATE TABLE other ()"], "", []),
    (["INSERT INTO t VALUES (1)", "COMMENT ON TABLE t IS 'x'"], "", []),
]  # fmt: skip


def gone(files: Sequence[Applied], there: str) -> list[str]:
    ask = asking(there, elsewhere="table other", unknown="function known")
    found = []
    for finding in absent(files, sql.POSTGRESQL, ask):
        (name,) = finding.names
        assert finding.kind == "absent"
        assert finding.remedy
        start, _, objects = finding.message.partition(" is recorded as applied, but ")
        assert start == name
        found.append(f"{name}: {objects.removesuffix(' is not there').removesuffix(' are not there')}")
    return found


@pytest.mark.parametrize(("texts", "there", "expected"), ABSENT)
def test_what_is_gone(texts: list[str], there: str, expected: list[str]) -> None:
    files = [Applied(str(number), script(str(number), text)) for number, text in enumerate(texts, start=1)]
    assert gone(files, there) == expected


def test_a_file_that_cannot_be_read_could_have_removed_anything() -> None:
    one, two = script("1", "CREATE TABLE t ()"), script("3", "CREATE TABLE u ()")
    assert gone([Applied("1", one), Applied("2", None), Applied("3", two)], "") == ["3: table u (line 1)"]


def test_of_a_file_that_is_not_checked_only_what_it_removes_counts() -> None:
    one, two = script("1", "CREATE TABLE t ()"), script("2", "DROP TABLE t; CREATE TABLE u ()")
    assert gone([Applied("1", one), Applied("2", two, is_checked=False)], "") == []


def test_many_objects_are_counted() -> None:
    text = ";\n".join(f"CREATE TABLE t{number} (a int)" for number in range(1, 8))
    (finding,) = absent([Applied("1.sql", script("1.sql", text))], sql.POSTGRESQL, asking(""))
    assert finding.message == (
        "1.sql is recorded as applied, but table t1 (line 1), table t2 (line 2), table t3 (line 3),"
        " table t4 (line 4), table t5 (line 5) and 2 more are not there"
    )
    assert finding.remedy == (
        "make them in a new migration; or `fluxmig unmark 1.sql`, and run it with"
        " --on-duplicate complete; if they were meant to go, a migration with DROP ... IF EXISTS says so"
    )


def test_one_object() -> None:
    (finding,) = absent([Applied("1.sql", script("1.sql", "CREATE TABLE t ()"))], sql.POSTGRESQL, asking(""))
    assert finding.message == "1.sql is recorded as applied, but table t (line 1) is not there"
    assert finding.remedy == (
        "make it in a new migration; or `fluxmig unmark 1.sql`, and run it with"
        " --on-duplicate complete; if it was meant to go, a migration with DROP ... IF EXISTS says so"
    )
