"""What is shown of a fleet, where the command line's tests do not reach."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fluxmig.fleet.model import FleetReport, Result, StateRehearsal, TargetState
from fluxmig.lines import plain
from fluxmig.render_fleet import bars, report_lines, state_lines, summary_lines
from fluxmig.render_fleet_html import fleet_page

BEGAN = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)


def result(name: str, state: TargetState = TargetState.DONE, **facts: object) -> Result:
    return Result(name, "db1", state, "all", **facts)  # type: ignore[arg-type]


def test_bars_are_those_of_the_groups_with_most_left() -> None:
    totals = {f"db{number}": number for number in range(1, 12)}
    ended = [Result(str(number), "db11", TargetState.DONE) for number in range(11)]
    ended.append(Result("x", "db10", TargetState.FAILED))
    lines = bars(totals, ended)
    assert len(lines) == 9
    assert lines[0] == f"  db10  {'█' * 3}{'░' * 27}  1 of 10, 1 failed"
    assert lines[-1] == "  and 3 more: 11 of 14"


def test_a_summary_tells_of_marks_and_of_why_it_stopped() -> None:
    marked = result("a", applied=("001_a.sql",), marked=("001_a.sql",))
    report = FleetReport((marked, result("b", TargetState.WAITING)), "the canary a is failed", 1500)
    assert plain(summary_lines(report)) == (
        "Targets: 2 | Done: 1 | Waiting: 1 | Time: 1.50s\n"
        "1 target with migrations that were marked for a duplicate.\n"
        "No more was handed out: the canary a is failed."
    )


def test_many_failures_are_not_all_listed() -> None:
    failed = tuple(result(f"t{number}", TargetState.FAILED, message="no") for number in range(23))
    shown = plain(report_lines(FleetReport(failed, run="r", began_at=BEGAN, ended_at=BEGAN)))
    assert "  [ ] t19 FAILED no\n  and 3 more; --json has them all\n" in shown


def test_control_characters_of_others_reach_no_terminal_and_no_page() -> None:
    bad = result("a\x1b[2J", TargetState.FAILED, message="\x1b]0;x\x07", began_at=BEGAN, duration_ms=5)
    report = FleetReport((bad,), run="r", began_at=BEGAN, ended_at=BEGAN)
    assert "\x1b" not in plain(report_lines(report))
    assert not {"\x1b", "\x07"} & set(fleet_page(report))


def test_a_state_without_a_rehearsal_says_why() -> None:
    names = tuple(f"t{number}" for number in range(7))
    shown = plain(state_lines(StateRehearsal("f", names, None, 2, message="no\nway", own_code=2)))
    assert shown == "\n7 targets at nothing applied, 2 pending: t0, t1, t2, t3, t4 and 2 more\n  no\n  way"


def test_bars_of_targets_at_the_same_time_are_in_rows_of_their_own() -> None:
    times = ((0, 1000), (0, 2000), (1.5, 500))
    drawn = tuple(
        result(f"t{number}", began_at=BEGAN + timedelta(seconds=start), duration_ms=took)
        for number, (start, took) in enumerate(times)
    )
    page = fleet_page(FleetReport(drawn, run="r", began_at=BEGAN, ended_at=BEGAN))
    places = [part.partition('" height')[0] for part in page.split("<rect ")[1:]]
    assert [place.split(" x=")[1].replace('"', "") for place in places] == [
        "0.0 y=0 width=500.0",
        "0.0 y=7 width=1000.0",
        "750.0 y=0 width=250.0",
    ]
