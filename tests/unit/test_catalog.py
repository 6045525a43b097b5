"""In what two snapshots of a catalog differ, and how that is said."""

from __future__ import annotations

import pytest

from fluxmig.catalog import Catalog, Difference, Entry, differences

USERS: Catalog = {
    ("table", "users"): Entry(""),
    ("column", "users.id"): Entry("integer, number 1", "users"),
    ("index", "users_id"): Entry("CREATE INDEX ...", "users"),
}
VIEW: Catalog = {("view", "v"): Entry("SELECT 1"), ("column", "v.x"): Entry("integer, number 1", "v")}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (USERS, dict(USERS), []),
        ({}, USERS, ["table users is new"]),
        (USERS, {}, ["table users is gone"]),
        ({}, VIEW, ["view v is new: SELECT 1"]),
        (VIEW, {}, ["view v is gone: SELECT 1"]),
        (
            USERS,
            {
                ("table", "users"): Entry("unlogged"),
                ("column", "users.id"): Entry("bigint, number 1", "users"),
                ("column", "users.name"): Entry("text, number 2", "users"),
            },
            [
                "column users.id was integer, number 1, and is bigint, number 1",
                "column users.name is new: text, number 2",
                "index users_id is gone: CREATE INDEX ...",
                "table users was plain, and is unlogged",
            ],
        ),
    ],
)
def test_differences(before: Catalog, after: Catalog, said: list[str]) -> None:
    assert [str(each) for each in differences(before, after)] == said


def test_a_difference_has_both_definitions() -> None:
    changed = {**VIEW, ("view", "v"): Entry("SELECT 2")}
    assert differences(VIEW, changed) == (Difference("view", "v", "SELECT 1", "SELECT 2"),)
