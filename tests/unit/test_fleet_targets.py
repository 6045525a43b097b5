"""What a list says of a fleet, and what is refused of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fluxmig.errors import ConfigError
from fluxmig.fleet import targets

if TYPE_CHECKING:
    from fluxmig.fleet.model import Target

BASE = "postgresql://app:${PW}@db1:5433/control?sslmode=require"


def one(line: str, base: str | None = BASE) -> Target:
    (target,) = targets.of_text(line, "targets.txt", base)
    return target


@pytest.mark.parametrize(
    ("line", "name", "url", "group"),
    [
        ("postgresql://u@db1/acme", "db1/acme", "postgresql://u@db1/acme", "db1"),
        (
            "postgresql://u:${PW}@db1:6543/acme",
            "db1:6543/acme",
            "postgresql://u:${PW}@db1:6543/acme",
            "db1:6543",
        ),
        ("acme postgresql://u@db1/x?sslmode=require", "acme", "postgresql://u@db1/x?sslmode=require", "db1"),
        ("postgresql://u@/app?host=/run/pg", "app", "postgresql://u@/app?host=/run/pg", "/run/pg"),
        ("sqlite:////srv/one.db", "/srv/one.db", "sqlite:////srv/one.db", "local"),
        ("${ACME_URL}", "ACME_URL", "${ACME_URL}", "${ACME_URL}"),
        ("acme ${ACME_URL} group=eu", "acme", "${ACME_URL}", "eu"),
        ("acme", "acme", "postgresql://app:${PW}@db1:5433/acme?sslmode=require", "db1:5433"),
        (
            "acme database=t-1 # the first",
            "acme",
            "postgresql://app:${PW}@db1:5433/t-1?sslmode=require",
            "db1:5433",
        ),
    ],
)
def test_a_line(line: str, name: str, url: str, group: str) -> None:
    target = one(line)
    assert (target.name, target.url, target.group, target.place) == (name, url, group, "targets.txt:1")


def test_labels_and_schema() -> None:
    target = one("postgresql://u@db1/app schema=acme tier=gold since=2026")
    assert (target.name, target.schema) == ("db1/app/acme", "acme")
    assert target.labels == {"tier": "gold", "since": "2026"}


def test_comments_and_empty_lines_are_nothing() -> None:
    found = targets.of_text("# all\n\n  \na sqlite:///a#b # c\n", "t", None)
    assert [(each.name, each.url, each.place) for each in found] == [("a", "sqlite:///a#b", "t:4")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("acme globex", "targets.txt:1: this is no target"),
        ("acme postgresql://u@db1/x gold", "targets.txt:1: something behind the target is no KEY=VALUE"),
        ("postgresql://u@db1/x postgresql://u@db1/y", "targets.txt:1: this is no target"),
        ("postgresql://u:p@ss@db1/x", "targets.txt:1: the database URL holds more than one @"),
        ("tier=gold", "targets.txt:1: this is no target"),
        ("a/b", "targets.txt:1: this is neither a URL nor a name that can be put into one"),
        ("u:p@ss@db1/x", "targets.txt:1: this is neither a URL nor a name that can be put into one"),
        ("x" * 256, "targets.txt:1: this is neither a URL nor a name that can be put into one"),
        ("x" * 256 + " sqlite:///x", "targets.txt:1: the name has more than 255 characters"),
        ("a\0b sqlite:///x", "targets.txt:1: the name has a NUL"),
        ("acme sqlite:///x tier=gold tier=silver", "targets.txt:1: tier= is given twice"),
        ("acme postgresql://u:${A-B}@db1/x", "targets.txt:1: there is a ${ that begins no variable"),
        ("acme postgresql://u:${}@db1/x", "targets.txt:1: there is a ${ that begins no variable"),
        ("${URL", "targets.txt:1: this is neither a URL nor a name that can be put into one"),
    ],
)
def test_a_line_that_is_none(line: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        one(line)
    assert caught.value.message == message
    assert "p@ss" not in str(caught.value)


def test_a_name_needs_a_base() -> None:
    with pytest.raises(
        ConfigError, match=r"^targets\.txt:1: acme is a name, and it is not said on which server"
    ):
        one("acme", None)


def test_the_url_is_never_shown() -> None:
    assert "secret" not in repr(one("acme postgresql://u:secret@db1/x"))


def test_rows() -> None:
    rows: list[dict[str, object]] = [
        {"NAME": "acme", "url": "postgresql://u@db2/acme", "Group": "eu", "tier": 3, "note": None},
        {"database": "globex"},
    ]
    first, second = targets.of_rows(rows, "--targets-sql", BASE)
    assert (first.name, first.group, first.labels) == ("acme", "eu", {"tier": "3"})
    assert (second.name, second.url) == ("globex", "postgresql://app:${PW}@db1:5433/globex?sslmode=require")
    assert second.place == "--targets-sql, row 2"


def test_a_row_without_a_name() -> None:
    with pytest.raises(ConfigError, match=r"^--targets-sql, row 1: there is neither a url nor a name"):
        targets.of_rows([{"tier": 1}], "--targets-sql", BASE)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("tenant_%", ["tenant_1", "tenantx", "tenant_"]),
        (r"tenant\_%", ["tenant_1", "tenant_"]),
        ("%", ["tenant_1", "tenantx", "tenant_", "public", "a.b"]),
        ("a.b", ["a.b"]),
        ("tenant", []),
    ],
)
def test_patterns_are_those_of_like(pattern: str, expected: list[str]) -> None:
    assert list(targets.matching(["tenant_1", "tenantx", "tenant_", "public", "a.b"], pattern)) == expected


def test_schemas() -> None:
    found = targets.of_schemas(["t2", "t1", "shared", "x"], "%", "postgresql://u@db1/app", ["shared"])
    assert [(each.name, each.schema, each.shared, each.group) for each in found] == [
        ("t1", "t1", ("shared",), "db1"),
        ("t2", "t2", ("shared",), "db1"),
        ("x", "x", ("shared",), "db1"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a sqlite:///1\nb sqlite:///2\na sqlite:///3", "the name a is given twice: t:1 and t:3"),
        ("a postgresql://u@DB1/x\nb postgresql://v:w@db1/x", "a and b are one database: t:1 and t:2"),
        ("a postgresql://db1/x\nb postgresql+psycopg://db1:5432/x", "a and b are one database: t:1 and t:2"),
        ("a mysql://db1:3306/x\nb mariadb://db1/x", "a and b are one database: t:1 and t:2"),
    ],
)
def test_duplicates_are_refused_with_both_places(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        targets.unique(targets.of_text(text, "t", None))
    assert (caught.value.message, caught.value.remedy) == (message, "take one of them out")


def test_other_ports_are_other_databases() -> None:
    text = "postgresql://db1/x\npostgresql://db1:5433/x\nmysql://db1:5432/x\npostgresql://db1:15432/x"
    assert len(targets.unique(targets.of_text(text, "t", None))) == 4


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_files_of_any_system_do(end: str) -> None:
    found = targets.of_text(end.join(["a sqlite:///1", "", "b sqlite:///2\x85", ""]), "t", None)
    assert [(each.name, each.url, each.place) for each in found] == [
        ("a", "sqlite:///1", "t:1"),
        ("b", "sqlite:///2", "t:3"),
    ]


def test_two_schemas_of_one_database_are_two_targets() -> None:
    found = targets.of_text("sqlite:///x schema=a\nsqlite:///x schema=b", "t", None)
    assert len(targets.unique(found)) == 2


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ((), ["eu/a", "eu/b", "us/c"]),
        (("eu/*",), ["eu/a", "eu/b"]),
        (("us/c", "eu/a"), ["eu/a", "us/c"]),
        (("tier=gold",), ["eu/a", "us/c"]),
        (("group=eu",), ["eu/a", "eu/b"]),
    ],
)
def test_selection(words: tuple[str, ...], names: list[str]) -> None:
    text = "postgresql://eu/a tier=gold\npostgresql://eu/b\npostgresql://us/c tier=gold"
    found = targets.selected(targets.of_text(text, "t", None), words)
    assert [each.name for each in found] == names


def test_a_word_that_is_for_none() -> None:
    with pytest.raises(ConfigError, match=r"^--select tier=silver is for no target"):
        targets.selected(targets.of_text("sqlite:///x tier=gold", "t", None), ["tier=silver"])


# --- variables --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:${PW}@db1/x", "postgresql://u:p%40s%2Fs@db1/x"),
        ("${URL}", "postgresql://u:p%40ss@db1/x"),
        ("postgresql://u@${HOST}/x", "postgresql://u@db9/x"),
        ("postgresql://u@db1/x", "postgresql://u@db1/x"),
    ],
)
def test_variables(url: str, expected: str) -> None:
    environ = {"PW": "p@s/s", "URL": "postgresql://u:p%40ss@db1/x", "HOST": "db9"}
    assert targets.expanded(url, environ) == expected


def test_a_variable_that_is_not_set() -> None:
    with pytest.raises(ConfigError) as caught:
        targets.expanded("postgresql://u:${PW}@db1/x", {}, "t:3")
    assert str(caught.value) == "t:3: the variable PW is not set\nset it where the work is done"


def test_the_group_of_a_host_that_is_a_variable() -> None:
    found = targets.of_text("a ${URL}\nb postgresql://u@${HOST}/x\nc ${NOT_HERE}", "t", None)
    located = targets.located(found, {"URL": "postgresql://u:pw@db1/x", "HOST": "db9"})
    assert [each.group for each in located] == ["db1", "db9", "${NOT_HERE}"]
    assert [each.url for each in located] == [each.url for each in found]
