"""What is known of MySQL without a server: privileges, places in messages, what a session keeps."""

from __future__ import annotations

import pytest

from fluxmig import sql
from fluxmig.dialects import dialect_named, mysql_errors, mysql_session
from fluxmig.dialects.base import ServerError
from fluxmig.dialects.mysql import MariaDB, MySQL
from fluxmig.dialects.mysql_privileges import read


@pytest.mark.parametrize(
    ("lines", "privileges", "where", "table", "expected"),
    [
        (["GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION"], {"CREATE"}, "a", None, True),
        (["GRANT USAGE ON *.* TO `u`@`%`"], {"CREATE"}, "a", None, False),
        (["GRANT SELECT, CREATE ON `a`.* TO `u`@`%`"], {"CREATE", "SELECT"}, "a", "t", True),
        (["GRANT SELECT, CREATE ON `a`.* TO `u`@`%`"], {"CREATE"}, "b", None, False),
        (["GRANT SELECT (x, y), INSERT ON `a`.`t` TO `u`@`%`"], {"INSERT"}, "a", "t", True),
        (["GRANT SELECT (x, y), INSERT ON `a`.`t` TO `u`@`%`"], {"SELECT"}, "a", "t", False),
        (["GRANT INSERT ON `a`.`t` TO `u`@`%`"], {"INSERT"}, "a", "u", False),
        ([r"GRANT CREATE ON `app\_%`.* TO `u`@`%`"], {"CREATE"}, "app_1", None, True),
        ([r"GRANT CREATE ON `app\_%`.* TO `u`@`%`"], {"CREATE"}, "appx1", None, False),
        (["GRANT CREATE ON `a_b`.* TO `u`@`%`"], {"CREATE"}, "axb", None, True),
        (["GRANT CREATE ON `we``ird`.* TO `u`@`%`"], {"CREATE"}, "we`ird", None, True),
        (["GRANT EXECUTE ON PROCEDURE `a`.`p` TO `u`@`%`"], {"EXECUTE"}, "a", None, False),
        (["GRANT `admin`@`%` TO `u`@`%`"], {"CREATE"}, "a", None, True),
        ([], {"CREATE"}, "a", None, False),
    ],
)
def test_privileges(
    lines: list[str],
    privileges: set[str],
    where: str,
    table: str | None,
    expected: bool,  # noqa: FBT001
) -> None:
    assert read(lines, tells_roles=False).has(privileges, where, table) is expected


def test_a_role_that_is_told_brings_nothing_unseen() -> None:
    """MariaDB's SHOW GRANTS lists what a role brings."""
    found = read(["GRANT `admin` TO `u`@`%`", "GRANT CREATE ON `a`.* TO `admin`"], tells_roles=True)
    assert found.has({"CREATE"}, "a")
    assert not found.has({"CREATE"}, "b")


@pytest.mark.parametrize(
    ("line", "privilege", "expected"),
    [
        ("GRANT SELECT ON `a`.* TO `u`@`%`", None, True),
        ("GRANT SELECT ON `a`.`t` TO `u`@`%`", None, False),
        ("GRANT USAGE ON *.* TO `u`@`%`", None, False),
        ("GRANT SELECT ON `a`.* TO `u`@`%`", "TRIGGER", False),
        ("GRANT TRIGGER ON `a`.* TO `u`@`%`", "TRIGGER", True),
        ("GRANT ALL PRIVILEGES ON *.* TO `u`@`%`", "EVENT", True),
        ("GRANT `admin`@`%` TO `u`@`%`", None, False),
    ],
)
def test_whether_a_login_would_see_it(line: str, privilege: str | None, expected: bool) -> None:  # noqa: FBT001
    assert read([line], tells_roles=False).sees(privilege, "a") is expected


@pytest.mark.parametrize(
    ("fragment", "line", "script", "place"),
    [
        ("FROM x", 1, "SELECT FROM x", 7),
        ("", 2, "CREATE TABLE t (\n a int", 23),
        ("a, a", 1, "a, a, a", 3),
        ("é b" + "y" * 77, 1, "SELECT é b" + "y" * 90, 7),
        ("x" * 77 + "...", 1, "SELECT " + "x" * 100, 7),
        ("b" * 80, 1, "b" * 80 + " " + "b" * 80 + " c", None),
        ("c" + "b" * 79, 2, "c" + "b" * 90 + "\n c" + "b" * 90, 93),
        ("nowhere", 1, "SELECT 1", None),
    ],
)
def test_the_place_that_a_message_quotes(fragment: str, line: int, script: str, place: int | None) -> None:
    assert mysql_errors.place(fragment, line, script) == place


@pytest.mark.parametrize(
    ("statement", "code", "name", "expected"),
    [
        ("CREATE TABLE t (id int)", "1050", "t", True),
        ("CREATE TABLE t (id int)", "1142", None, False),
        ("DROP TABLE t", "1051", "t", True),
        ("DROP TABLE t", "1142", None, False),
        ("ALTER TABLE t ADD COLUMN a int, ADD COLUMN b int", "1060", "a", True),
        ("ALTER TABLE t ADD COLUMN a int, ADD COLUMN b int", "1060", "b", False),
        ("ALTER TABLE t ADD `A` int", "1060", "a", True),
        ("ALTER TABLE t DROP COLUMN a", "1091", "a", True),
        ("ALTER TABLE t ADD PRIMARY KEY (a)", "1068", None, True),
        ("ALTER TABLE t ADD COLUMN a int PRIMARY KEY", "1068", None, False),
        ("ALTER TABLE t RENAME TO u", "1146", "t", False),
        ("INSERT INTO t VALUES (1)", "1062", "1", False),
    ],
)
def test_what_was_done_the_first_time(statement: str, code: str, name: str | None, expected: bool) -> None:  # noqa: FBT001
    assert MySQL().is_done(statement, ServerError("", code, object=name)) is expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SET NAMES utf8mb4", True),
        ("SET @x = 1", True),
        ("SET @old = @@sql_mode", True),
        ("SET @x = LAST_INSERT_ID()", None),
        ("SET @x = (SELECT 1)", None),
        ("SET sql_mode = CONCAT(@@sql_mode, ',ANSI')", True),
        ("SET GLOBAL x = 1", False),
        ("SET @@GLOBAL.x = 1", False),
        ("SET PASSWORD = 'x'", False),
        ("USE other", True),
        ("PREPARE s FROM 'SELECT 1'", True),
        ("DEALLOCATE PREPARE s", True),
        ("CREATE TEMPORARY TABLE t (id int)", None),
        ("CREATE OR REPLACE TEMPORARY TABLE t (id int)", None),
        ("CREATE TABLE temporary (id int)", False),
        ("SELECT a INTO @x FROM t", None),
        ("SELECT @x := 1", None),
        ("SELECT 1", False),
        ("/*!40101 SET NAMES utf8 */", True),
        ("/*!40000 ALTER TABLE t DISABLE KEYS */", False),
        ("CALL p()", False),
        ("CREATE TABLE t (id int)", False),
    ],
)
def test_what_is_sent_again_in_a_new_session(statement: str, expected: bool | None) -> None:  # noqa: FBT001
    assert mysql_session.repeatable(statement, sql.MYSQL) is expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 1", "SELECT 1;\n"),
        (
            "CREATE PROCEDURE p() BEGIN SELECT 1; END",
            "DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; END//\nDELIMITER ;\n",
        ),
        ("SELECT '//;'", "DELIMITER $$\nSELECT '//;'$$\nDELIMITER ;\n"),
    ],
)
def test_a_statement_by_hand(statement: str, expected: str) -> None:
    assert MySQL().by_hand(statement) == expected


def test_both_names_are_known() -> None:
    assert isinstance(dialect_named("mysql"), MySQL)
    assert isinstance(dialect_named("mariadb"), MariaDB)


@pytest.mark.parametrize("code", sorted(mysql_errors.DUPLICATES))
def test_every_duplicate_counts(code: str) -> None:
    assert MySQL().is_duplicate(ServerError("", code))


def test_a_foreign_keys_name_is_told_by_the_engines_number() -> None:
    said = 'Can\'t create table `x`.`q` (errno: {} "...")'
    assert MySQL().is_duplicate(ServerError(said.format(121), "1005"))
    assert not MySQL().is_duplicate(ServerError(said.format(150), "1005"))
