"""The stock of databases: made ahead, dropped behind, and never in the way of the end."""

from __future__ import annotations

import threading
from itertools import count

import pytest

from fluxmig.testing import clones
from fluxmig.testing.clones import Clones
from tests.faults.support import until


class Shop:
    """What makes and drops, and remembers."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.dropped: list[str] = []
        self.failing: Exception | None = None
        self.stuck = threading.Event()
        self.stuck.set()
        self.begun = threading.Event()
        self._numbers = count(1)

    def make(self) -> str:
        self.begun.set()
        self.stuck.wait()
        if self.failing:
            raise self.failing
        self.made.append(f"url {next(self._numbers)}")
        return self.made[-1]

    def drop(self, url: str) -> None:
        if self.failing:
            raise self.failing
        self.dropped.append(url)


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def stock(shop: Shop) -> Clones:
    return Clones(shop.make, shop.drop)


def test_two_are_made_ahead_and_no_more_than_expected(stock: Clones, shop: Shop) -> None:
    stock.expect(3)
    until(lambda: len(shop.made) == 2, "nothing is made ahead")
    assert [stock.take(), stock.take(), stock.take()] == ["url 1", "url 2", "url 3"]
    stock.give_back("url 1")
    assert stock.close(drop=True) == []
    assert (shop.made, shop.dropped) == (["url 1", "url 2", "url 3"], ["url 1"])


def test_without_an_expectation_none_is_made_ahead(stock: Clones, shop: Shop) -> None:
    assert stock.take() == "url 1"
    assert stock.close(drop=True) == []
    assert shop.made == ["url 1"]


def test_what_is_ready_at_the_end_is_dropped_where_the_server_stays(stock: Clones, shop: Shop) -> None:
    stock.expect(9)
    until(lambda: len(shop.made) == 2, "nothing is made ahead")
    assert stock.close(drop=True) == []
    assert shop.dropped == shop.made


def test_nothing_is_dropped_where_it_goes_with_the_server(stock: Clones, shop: Shop) -> None:
    stock.expect(9)
    until(lambda: len(shop.made) == 2, "nothing is made ahead")
    assert stock.close(drop=False) == []
    assert shop.dropped == []


def test_an_error_is_raised_where_the_next_is_taken(stock: Clones, shop: Shop) -> None:
    shop.failing = ValueError("no room")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^no room$"):
            stock.take()
    shop.failing = None
    assert stock.take() == "url 1"
    assert stock.close(drop=True) == []


def test_errors_that_nobody_met_are_told_at_the_end(stock: Clones, shop: Shop) -> None:
    taken = stock.take()
    shop.failing = ValueError("no room")
    stock.expect(1)
    stock.give_back(taken)
    until(lambda: stock._ready, "nothing is made ahead")
    assert list(map(str, stock.close(drop=True))) == ["no room", "no room"]


def test_who_waits_at_the_end_is_told(stock: Clones, shop: Shop) -> None:
    shop.stuck.clear()
    failed: list[Exception] = []

    def take() -> None:
        try:
            stock.take()
        except RuntimeError as error:
            failed.append(error)

    thread = threading.Thread(target=take)
    thread.start()
    until(lambda: stock._waiting and shop.begun.is_set(), "nobody waits")
    ending = threading.Thread(target=lambda: stock.close(drop=True))
    ending.start()
    thread.join(10)
    shop.stuck.set()
    ending.join(10)
    assert list(map(str, failed)) == ["the session of these databases has ended"]
    assert shop.dropped == shop.made == ["url 1"]


def test_a_thread_that_hangs_does_not_hold_up_the_end(
    stock: Clones, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clones, "_END_S", 0.05)
    shop.stuck.clear()
    stock.expect(1)
    shop.begun.wait(10)
    failures = stock.close(drop=True)
    assert list(map(str, failures)) == ["fluxmig maker of databases did not come to an end"]
    shop.stuck.set()
