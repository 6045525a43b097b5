"""What a fleet was found in, and what was done with it -> text and JSON. Sees nouns only."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from fluxmig.fleet.model import TargetState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fluxmig.fleet.model import FleetReport, Result, StateRehearsal, Wave
    from fluxmig.lines import Line

__all__ = ["bars", "failure_lines", "failures_lines", "fleet_json", "plan_lines", "rehearsals_json"]
__all__ += ["report_lines", "state_lines", "status_lines", "summary_lines", "wave_lines"]

_GOOD, _ODD, _BAD, _DIM, _HEAD = "green", "yellow", "red", "dim", "bold"
_RULE = "=" * 60
_NAMES = 5
"""Targets of one state that are named."""
_SHOWN = 20
"""Targets, or groups, that a list shows before it says how many more there are."""
_BARS, _BAR = 8, 30
"""How many groups have a bar, and how long it is."""


def plan_lines(waves: Sequence[Wave]) -> list[Line]:
    """The waves of a run that is to come, where there is more than one."""
    if len(waves) <= 1:
        return []
    return [[(f"{wave.name}: {_targets(len(wave.targets))}", "")] for wave in waves]


def failure_lines(result: Result) -> list[Line]:
    """One target that failed, with its error in a line."""
    return [
        [
            ("  [ ] ", _ODD),
            (result.name, ""),
            (f" {result.state.upper()}", _BAD),
            (f" {result.message}" if result.message else "", ""),
        ]
    ]


def wave_lines(wave: Wave, results: Mapping[str, Result], seconds: float) -> list[Line]:
    """What has come of a wave, in a line."""
    found = [results[target.name] for target in wave.targets if target.name in results]
    counts = Counter(result.state for result in found)
    done = counts.pop(TargetState.DONE, 0)
    others = "".join(f", {counts[state]} {state}" for state in TargetState if counts[state])
    style = _BAD if others else _GOOD
    return [
        [(f"{wave.name}: {done} of {len(wave.targets)} done{others}", style), (f" ({seconds:.2f}s)", _DIM)]
    ]


def summary_lines(report: FleetReport) -> list[Line]:
    """The counts, and why no more was handed out."""
    counts = " | ".join(f"{state.capitalize()}: {number}" for state, number in report.counts.items())
    parts = [f"Targets: {len(report.results)}", counts, f"Time: {report.duration_ms / 1000:.2f}s"]
    lines: list[Line] = [[(" | ".join(filter(None, parts)), _HEAD)]]
    marked = sum(bool(result.marked) for result in report.results)
    if marked:
        lines.append([(f"{_targets(marked)} with migrations that were marked for a duplicate.", _ODD)])
    if report.stopped:
        lines.append([(f"No more was handed out: {report.stopped}.", _BAD)])
    return lines


def status_lines(report: FleetReport) -> list[Line]:
    """How many targets are at which migration, what is wrong, and the counts."""
    lines: list[Line] = [[("FLEET STATUS", _HEAD)], [(_RULE, _DIM)], []]
    known = [result for result in report.results if result.pending is not None]
    width = max((len(at) for at, *_ in _places(known)), default=0)
    for at, pending, number in _places(known):
        line: Line = [("  [ ] " if pending else "  [x] ", _ODD if pending else _GOOD)]
        line += [(f"{at:<{width}}", ""), (f"  {_targets(number)}", "")]
        if pending:
            line.append((f", {pending} pending", _ODD))
        lines.append(line)
    for condition, number in _conditions(known).items():
        lines.append([(f"  {condition}: in {_targets(number)}", _ODD)])
    lines += failures_lines(report)
    return [*lines, [], [(_RULE, _DIM)], *summary_lines(report)]


def report_lines(report: FleetReport) -> list[Line]:
    """A run as the state has it: its waves, its failures, the counts."""
    began = f", begun {report.began_at:%Y-%m-%d %H:%M:%S} UTC" if report.began_at else ""
    lines: list[Line] = [[(f"Run {report.run}", _HEAD), (began, "")]]
    if report.ended_at is None:
        lines += [
            [("It has not ended: it is still running, or was killed.", _ODD)],
            [("`fluxmig fleet run --resume` does what is left.", "")],
        ]
    lines.append([])
    waves = list(dict.fromkeys(result.wave for result in report.results if result.wave))
    for wave in waves:
        counts = Counter(result.state for result in report.results if result.wave == wave)
        lines.append([_wave(wave, counts, counts.total())])
    lines += failures_lines(report)
    return [*lines, [], *summary_lines(report)]


def bars(totals: Mapping[str, int], results: Iterable[Result]) -> list[str]:
    """A bar for each group, the ones with most left first.

    Args:
        totals: How many targets each group has.
        results: Those that are final.
    """
    ended, failed = Counter[str](), Counter[str]()
    for result in results:
        ended[result.group] += 1
        failed[result.group] += result.state.is_failure
    order = sorted(totals, key=lambda group: (ended[group] - totals[group], group))
    width = max((len(group) for group in order[:_BARS]), default=0)
    lines = []
    for group in order[:_BARS]:
        full = _BAR * ended[group] // max(1, totals[group])
        bad = f", {failed[group]} failed" if failed[group] else ""
        counts = f"{ended[group]} of {totals[group]}{bad}"
        lines.append(f"  {group:<{width}}  {'█' * full}{'░' * (_BAR - full)}  {counts}")
    if len(order) > _BARS:
        rest = order[_BARS:]
        done, total = (sum(counts[group] for group in rest) for counts in (ended, totals))
        lines.append(f"  and {len(rest)} more: {done} of {total}")
    return lines


def state_lines(state: StateRehearsal) -> list[Line]:
    """Which targets a rehearsal was for, and what it has shown."""
    names = ", ".join(state.names[:_NAMES]) + (
        f" and {len(state.names) - _NAMES} more" if len(state.names) > _NAMES else ""
    )
    where = f"{_targets(len(state.names))} at {state.at or _NOTHING}, {state.pending} pending: "
    lines: list[Line] = [[], [(where, _HEAD), (names, "")]]
    if state.rehearsal:
        from fluxmig import render_rehearsal  # noqa: PLC0415  # only where there was one

        return [*lines, *render_rehearsal.rehearsal_lines(state.rehearsal)]
    return [*lines, *([(f"  {line}", _BAD)] for line in (state.message or "").split("\n"))]


def rehearsals_json(
    states: Sequence[StateRehearsal], report: FleetReport, command: str, exit_code: int
) -> dict[str, Any]:
    """Each state with its targets and its rehearsal, and the targets that could not be asked."""
    from fluxmig import render_rehearsal  # noqa: PLC0415  # only where there was one

    return {
        "format": 1,
        "command": command,
        "exit_code": exit_code,
        "states": [
            {
                "fingerprint": state.fingerprint,
                "targets": list(state.names),
                "at": state.at,
                "pending": state.pending,
                "message": state.message,
                "rehearsal": render_rehearsal.rehearsal_json(state.rehearsal) if state.rehearsal else None,
            }
            for state in states
        ],
        "failures": [_result_json(result) for result in report.failures],
    }


def fleet_json(report: FleetReport, command: str) -> dict[str, Any]:
    """Each target, the counts, and how many are at which migration."""
    known = [result for result in report.results if result.at is not None or result.fingerprint is not None]
    return {
        "format": 1,
        "command": command,
        "run": report.run,
        "began_at": report.began_at.isoformat() if report.began_at else None,
        "ended_at": report.ended_at.isoformat() if report.ended_at else None,
        "stopped": report.stopped,
        "exit_code": report.exit_code,
        "duration_ms": report.duration_ms,
        "counts": {state.value: number for state, number in report.counts.items()},
        "at": [
            {"migration": at if at != _NOTHING else None, "pending": pending, "targets": number}
            for at, pending, number in _places(known)
        ],
        "targets": [_result_json(result) for result in report.results],
    }


def _result_json(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "group": result.group,
        "state": result.state.value,
        "wave": result.wave or None,
        "applied": list(result.applied),
        "marked": list(result.marked),
        "pending": result.pending,
        "at": result.at,
        "conditions": dict(result.conditions),
        "fingerprint": result.fingerprint,
        "exit_code": result.exit_code,
        "message": result.message,
        "detail": result.detail,
        "began_at": result.began_at.isoformat() if result.began_at else None,
        "duration_ms": result.duration_ms,
        "tries": result.tries,
        "worker": result.worker,
    }


# --- parts ------------------------------------------------------------------------------------------------

_NOTHING = "nothing applied"


def _places(results: Sequence[Result]) -> list[tuple[str, int, int]]:
    """How many targets have which migration for their last one, and how many pending; the furthest first."""
    found = Counter((result.at or _NOTHING, result.pending or 0) for result in results)
    return [
        (at, pending, number) for (at, pending), number in sorted(found.items(), key=lambda each: each[0][1])
    ]


def _wave(name: str, counts: Counter[TargetState], total: int) -> tuple[str, str]:
    """What has come of a wave."""
    others = "".join(
        f", {counts[state]} {state}"
        for state in TargetState
        if counts[state] and state is not TargetState.DONE
    )
    return f"{name}: {counts[TargetState.DONE]} of {total} done{others}", _BAD if others else _GOOD


def _conditions(results: Iterable[Result]) -> dict[str, int]:
    """In how many targets there is something wrong with a migration."""
    return dict(Counter(condition for result in results for condition in result.conditions))


def failures_lines(report: FleetReport) -> list[Line]:
    """The first failures, and how many there are more."""
    failures = report.failures
    if not failures:
        return []
    lines: list[Line] = [[]]
    for result in failures[:_SHOWN]:
        lines += failure_lines(result)
    if len(failures) > _SHOWN:
        lines.append([(f"  and {len(failures) - _SHOWN} more; --json has them all", _DIM)])
    return lines


def _targets(number: int) -> str:
    return f"{number} target" if number == 1 else f"{number} targets"
