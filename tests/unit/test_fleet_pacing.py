"""Waves, and what is handed out when: by tables and by a clock that the tests turn."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from fluxmig.errors import ConfigError
from fluxmig.fleet.model import WORST_FIRST, Pace, Result, Share, Target, TargetState, Wave, worst
from fluxmig.fleet.pacing import Pacing
from fluxmig.fleet.waves import canary, share, shares, waves

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fluxmig.fleet.model import Task


def fleet(names: str, group: str = "db1") -> tuple[Target, ...]:
    return tuple(Target(name, f"sqlite:///{name}", group=group) for name in names)


def names(found: Sequence[Wave]) -> list[tuple[str, str]]:
    return [(wave.name, "".join(target.name for target in wave.targets)) for wave in found]


# --- waves ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pace", "expected"),
    [
        (Pace(), [("all", "abcdefghij")]),
        (Pace(canary=2), [("canary", "ab"), ("all", "cdefghij")]),
        (Pace(canary=("j", "c")), [("canary", "jc"), ("all", "abdefghi")]),
        (
            Pace(canary=1, waves=shares("10%,50%,100%")),
            [("canary", "a"), ("wave 2 of 3, 50%", "bcde"), ("wave 3 of 3, 100%", "fghij")],
        ),
        (
            Pace(waves=shares("1%,3,100%")),
            [("wave 1 of 3, 1%", "a"), ("wave 2 of 3, 3", "bc"), ("wave 3 of 3, 100%", "defghij")],
        ),
        (Pace(canary=20), [("canary", "abcdefghij")]),
    ],
)
def test_waves(pace: Pace, expected: list[tuple[str, str]]) -> None:
    assert names(waves(fleet("abcdefghij"), pace)) == expected


def test_no_targets_no_waves() -> None:
    assert waves((), Pace(canary=1)) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10%,1%,100%", "the waves do not grow: 10% comes before 1%"),
        ("1%,10%", "the waves end at 10%, and leave targets out"),
        ("1%,many", "'many' is no number of targets"),
        ("101%", "101% is more than all targets"),
    ],
)
def test_waves_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        waves(fleet("ab"), Pace(waves=shares(text)))
    assert caught.value.message == message


def test_a_canary_that_is_no_target() -> None:
    with pytest.raises(ConfigError, match=r"^no target has the name x, which is to be a canary"):
        waves(fleet("ab"), Pace(canary=("a", "x")))


@pytest.mark.parametrize(("text", "found"), [("3", 3), ("a, b", ("a", "b")), ("a", ("a",))])
def test_canaries_by_number_or_name(text: str, found: object) -> None:
    assert canary(text) == found


@pytest.mark.parametrize(
    ("text", "total", "number"), [("5", 3, 3), ("5", 30, 5), ("1%", 1000, 10), ("1%", 3, 1), ("100%", 7, 7)]
)
def test_shares(text: str, total: int, number: int) -> None:
    assert share(text).of(total) == number
    assert str(share(text)) == text


def test_the_worst_code() -> None:
    assert worst(()) == 0
    assert worst((0, 10, 5, 6)) == 6
    assert worst(WORST_FIRST) == 143
    assert worst((2, 3, 4, 1)) == 1


# --- pacing -----------------------------------------------------------------------------------------------


class Played:
    """A fleet that is worked through with a clock of its own: each task takes a second."""

    def __init__(self, pacing: Pacing, answer: Callable[[Task, float], TargetState]) -> None:
        self.now = 0.0
        self.begun: list[tuple[float, str]] = []
        self.final: dict[str, Result] = {}
        self.most: dict[str, int] = {}
        running: deque[tuple[float, Task]] = deque()
        while not pacing.is_over:
            while task := pacing.take(self.now):
                self.begun.append((self.now, task.target.name))
                running.append((self.now + 1, task))
            groups = [each.target.group for _, each in running]
            self.most |= {group: max(groups.count(group), self.most.get(group, 0)) for group in groups}
            if running:
                self.now, task = running.popleft()
                state = answer(task, self.now)
                result = Result(task.target.name, task.target.group, state, tries=task.tries, applied=("x",))
                for each in pacing.ended(task, result, self.now):
                    assert each.name not in self.final
                    self.final[each.name] = each
            else:
                wakes = pacing.wakes_at()
                assert wakes is not None, "nothing runs, nothing waits, and it is not over"
                self.now = max(self.now, wakes)

    @property
    def states(self) -> dict[str, str]:
        return {name: result.state.value for name, result in self.final.items()}


def done(_task: Task, _now: float) -> TargetState:
    return TargetState.DONE


def failing(*failed: str, state: TargetState = TargetState.FAILED) -> Callable[[Task, float], TargetState]:
    return lambda task, _: state if task.target.name in failed else TargetState.DONE


def play(
    targets: Sequence[Target],
    pace: Pace,
    answer: Callable[[Task, float], TargetState] = done,
    wait_lock_s: float = 0.0,
) -> tuple[Played, Pacing]:
    pacing = Pacing(waves(targets, pace), pace, wait_lock_s)
    return Played(pacing, answer), pacing


def test_all_are_done_so_many_at_once() -> None:
    played, pacing = play(fleet("abcdefg"), Pace(parallel=3))
    assert [time for time, _ in played.begun] == [0, 0, 0, 1, 1, 1, 2]
    assert set(played.states.values()) == {"done"}
    assert pacing.stopped is None


def test_a_host_at_its_limit_holds_up_no_other() -> None:
    targets = (*fleet("abcdef", "one"), *fleet("xyz", "two"))
    played, _ = play(targets, Pace(parallel=4, per_host=2))
    assert played.begun[:4] == [(0, "a"), (0, "x"), (0, "b"), (0, "y")]
    assert played.most == {"one": 2, "two": 2}
    assert len(played.final) == 9


def test_groups_take_turns() -> None:
    targets = (*fleet("abc", "one"), *fleet("xyz", "two"))
    played, _ = play(targets, Pace(parallel=1))
    assert [name for _, name in played.begun] == ["a", "x", "b", "y", "c", "z"]


def test_a_wave_begins_when_the_one_before_has_ended() -> None:
    played, _ = play(fleet("abcd"), Pace(parallel=4, canary=1))
    assert played.begun == [(0, "a"), (1, "b"), (1, "c"), (1, "d")]


def test_one_canary_that_fails_ends_it_all() -> None:
    played, pacing = play(fleet("abcd"), Pace(parallel=1, canary=2), failing("a"))
    assert played.states == {"a": "failed"}
    assert pacing.stopped == "the canary a is failed"


def test_a_failure_ends_no_wave_but_no_other_one_begins() -> None:
    pace = Pace(parallel=1, waves=shares("50%,100%"))
    played, pacing = play(fleet("abcd"), pace, failing("a"))
    assert played.states == {"a": "failed", "b": "done"}
    assert pacing.stopped == "1 of 2 targets failed in wave 1 of 2, 50%"


def test_without_other_waves_a_failure_stops_nothing() -> None:
    played, pacing = play(fleet("abcd"), Pace(parallel=1), failing("a", "b"))
    assert len(played.final) == 4
    assert pacing.stopped is None


@pytest.mark.parametrize(("most", "handed_out"), [("0", 1), ("1", 3), ("50%", 4), ("3", 4)])
def test_more_failures_than_may_be(most: str, handed_out: int) -> None:
    pace = Pace(parallel=1, max_failures=share(most))
    played, pacing = play(fleet("abcd"), pace, failing("a", "c"))
    assert len(played.final) == handed_out
    assert (pacing.stopped is None) is (handed_out == 4)


def test_with_a_limit_waves_go_on_below_it() -> None:
    pace = Pace(parallel=1, waves=shares("50%,100%"), max_failures=Share(1))
    played, _ = play(fleet("abcd"), pace, failing("a"))
    assert len(played.final) == 4


def test_what_runs_comes_to_its_end() -> None:
    played, pacing = play(fleet("abcd"), Pace(parallel=3, max_failures=Share(0)), failing("a"))
    assert played.states == {"a": "failed", "b": "done", "c": "done"}
    assert pacing.stopped == "1 target failed, and 0 may"


def test_the_unreachable_are_tried_again_at_the_end() -> None:
    answer = failing("a", state=TargetState.UNREACHABLE)
    played, _ = play(fleet("abc"), Pace(parallel=1), answer)
    assert played.begun == [(0, "a"), (1, "b"), (2, "c"), (4, "a")]
    assert (played.states["a"], played.final["a"].tries) == ("unreachable", 2)


def test_one_that_can_be_reached_then_is_no_failure() -> None:
    def answer(task: Task, _: float) -> TargetState:
        return TargetState.UNREACHABLE if task.late < 2 else TargetState.DONE

    played, pacing = play(fleet("a"), Pace(tries=3, canary=1), answer)
    assert (played.states, played.final["a"].tries, pacing.stopped) == ({"a": "done"}, 3, None)
    assert played.final["a"].applied == ("x", "x", "x")  # what each try has applied


def test_a_busy_one_is_put_back_and_holds_up_nobody() -> None:
    def answer(task: Task, now: float) -> TargetState:
        return TargetState.BUSY if task.target.name == "a" and now < 3 else TargetState.DONE

    played, _ = play(fleet("abc"), Pace(parallel=1), answer, wait_lock_s=60)
    assert [name for _, name in played.begun] == ["a", "b", "c", "a"]
    assert set(played.states.values()) == {"done"}


def test_a_busy_one_is_given_up_after_its_time() -> None:
    played, _ = play(fleet("a"), Pace(), failing("a", state=TargetState.BUSY), wait_lock_s=10)
    assert played.states == {"a": "busy"}
    assert 10 <= played.now <= 12.5


def test_no_time_for_the_lock_is_one_try() -> None:
    played, _ = play(fleet("a"), Pace(), failing("a", state=TargetState.BUSY))
    assert (played.states, len(played.begun)) == ({"a": "busy"}, 1)


def test_what_waits_for_another_try_is_told_when_all_stops() -> None:
    def answer(task: Task, _: float) -> TargetState:
        return {"a": TargetState.BUSY, "b": TargetState.UNREACHABLE}.get(task.target.name, TargetState.FAILED)

    pace = Pace(parallel=1, max_failures=Share(0))
    played, pacing = play(fleet("abcd"), pace, answer, wait_lock_s=600)
    assert played.states == {"a": "busy", "b": "unreachable", "c": "failed"}
    assert pacing.stopped == "1 target failed, and 0 may"


def test_stop() -> None:
    pace = Pace(parallel=2)
    pacing = Pacing(waves(fleet("abc"), pace), pace)
    task = pacing.take(0)
    assert task
    pacing.stop("enough")
    assert pacing.take(0) is None
    assert not pacing.is_over
    result = replace(Result("a"), state=TargetState.DONE)
    assert list(pacing.ended(task, result, 1)) == [result]
    assert pacing.is_over


def test_a_large_fleet_is_worked_through_without_looking_at_all_of_it() -> None:
    """A thousand times as many targets take a thousand times as many steps, whatever their hosts."""
    numbers = count()
    targets = [
        Target(str(next(numbers)), "sqlite:///x", group=f"db{host}") for host in range(100) for _ in range(50)
    ]
    played, _ = play(targets, Pace(parallel=200, per_host=2))
    assert len(played.final) == 5000
    assert set(played.most.values()) == {2}
