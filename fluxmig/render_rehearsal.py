"""A rehearsal -> text and JSON. Prints nothing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from fluxmig import render
from fluxmig.model import Outcome
from fluxmig.render_check import annotation
from fluxmig.trace import WorkKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fluxmig.render import Line
    from fluxmig.trace import FileTrace, Lock, Rehearsal, RehearsalFinding, StatementTrace, Work

__all__ = [
    "denied_lines",
    "doing",
    "duration",
    "github_lines",
    "locking",
    "place_lines",
    "rehearsal_json",
    "rehearsal_lines",
]
__all__ += ["shown"]

_BAD, _ODD, _GOOD, _DIM, _HEAD = "red", "yellow", "green", "dim", "bold"
_WIDTH = 46
"""Columns that a statement has in the table."""

_DOES = {
    WorkKind.REWRITE: "rewrites {}",
    WorkKind.INDEX: "builds {}",
    WorkKind.SCAN: "reads all of {}",
    WorkKind.TRUNCATE: "empties {}",
    WorkKind.DROP_TABLE: "drops {}",
    WorkKind.DROP_COLUMN: "drops {}",
    WorkKind.RENAME: "renames {}",
    WorkKind.REQUIRED: "requires {}",
}


def place_lines(product: str, version: str, source: str, base: str, remarks: Sequence[str]) -> list[Line]:
    """Where the rehearsal takes place, before it begins."""
    head: Line = [("Rehearsing on ", ""), (f"{product} {version}", _HEAD), (f" ({source}), from {base}", "")]
    return [head, *([(f"  {remark}", _DIM)] for remark in remarks)]


def rehearsal_lines(rehearsal: Rehearsal) -> list[Line]:
    """Of each file that something was found of: its statements and the findings; and the counts."""
    lines: list[Line] = []
    for file in rehearsal.files:
        found = [each for each in rehearsal.findings if each.path == file.path]
        if found or file.failed:
            is_of_statements = file.failed or any(each.statement for each in found)
            table = _table(file) if is_of_statements else []
            lines += [[], [(str(file.path), _HEAD)], *table, *_findings(found)]
            lines += [[(f"  {text}", _DIM)] for text in sizes(rehearsal, found)]
        if file.failed and file.result.failure:
            lines += [[(f"  {line}", _BAD)] for line in str(file.result.failure).split("\n")]
    if not rehearsal.files and not rehearsal.pending:
        lines.append([("Nothing to rehearse: every migration is applied.", "")])
    if rehearsal.pending:
        lines += [
            [],
            [("Not reached:", _HEAD)],
            *([("  [ ] ", _ODD), (name, "")] for name in rehearsal.pending),
        ]
    if not rehearsal.knows_locks and rehearsal.files:
        lines += [[], [(f"{rehearsal.product} does not tell who locks what: no locks are shown.", _DIM)]]
    return [*lines, [], [(_summary(rehearsal), _HEAD)]]


def _summary(rehearsal: Rehearsal) -> str:
    denied = len(rehearsal.denied)
    allowed = sum(finding.allowed for finding in rehearsal.findings)
    counts = [f"{number} {word}" for number, word in ((denied, "denied"), (allowed, "allowed")) if number]
    found = f"Findings: {len(rehearsal.findings)}" + (f" ({', '.join(counts)})" if counts else "")
    applied = sum(file.result.outcome is Outcome.APPLIED for file in rehearsal.files)
    took = f"Time: {rehearsal.duration_ms / 1000:.2f}s"
    return f"Applied: {applied} | Failed: {len(rehearsal.failed)} | {found} | {took}"


def denied_lines(rehearsal: Rehearsal) -> list[Line]:
    """What the rehearsal fails for beside failed files."""
    counts = Counter(finding.name for finding in rehearsal.denied)
    named = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in counts.items())
    return [[("denied: ", _BAD), (named, "")]]


# --- statements -------------------------------------------------------------------------------------------


def _table(file: FileTrace) -> list[Line]:
    rows = [("line", "statement", "time", "rows", "on what was there before")]
    styles = [_DIM]
    for trace in file.statements:
        known = "" if trace.rows is None else str(trace.rows)
        facts = trace.error or ", ".join((*locking(file, trace), *doing(trace)))
        rows.append(
            (str(trace.statement.line), shown(trace, _WIDTH), duration(trace.duration_ms), known, facts)
        )
        styles.append(_BAD if trace.error else "")
    if len(rows) == 1:
        return []
    line, statement, time, number, _ = (max(len(row[column]) for row in rows) for column in range(5))
    return [
        [
            (f"  {row[0]:>{line}}  {row[1]:<{statement}}  {row[2]:>{time}}  {row[3]:>{number}}  ", _DIM),
            (row[4], style),
        ]
        for row, style in zip(rows, styles, strict=True)
    ]


def shown(trace: StatementTrace, width: int) -> str:
    """Its beginning in one line, and how many it is of."""
    more = f" (and {trace.count - 1} more)" if trace.count > 1 else ""
    text, room = " ".join(trace.statement.sql[: 4 * width].split()), width - len(more)
    return (text if len(text) <= room else f"{text[: room - 1]}…") + more


def duration(took_ms: float) -> str:
    """For people: what takes less than a tenth of a second in milliseconds."""
    return f"{took_ms:.1f} ms" if took_ms < 100 else f"{took_ms / 1000:.2f} s"  # noqa: PLR2004  # see above


def locking(file: FileTrace, trace: StatementTrace) -> list[str]:
    """What it locks of what was there before, but for the locks of plain reads and writes."""
    return [f"{lock.mode} on {lock.relation}" for lock in file.stronger(trace) if lock.mode.blocks_ddl]


def doing(trace: StatementTrace) -> list[str]:
    """What the server did to what was there before."""
    return [_DOES[work.kind].format(work.name) for work in trace.work if work.existed]


# --- findings ---------------------------------------------------------------------------------------------


def _findings(found: Sequence[RehearsalFinding]) -> list[Line]:
    """Each with its place; of one statement, the same way out once."""
    lines: list[Line] = []
    for number, finding in enumerate(found):
        place = f"{finding.path}:{finding.line}" if finding.line else str(finding.path)
        style = _BAD if finding.denied else _DIM if finding.allowed else _ODD
        state = " (denied)" if finding.denied else " (allowed)" if finding.allowed else ""
        lines.append([(f"  {place}: ", ""), (f"{finding.name}{state}", style), (f": {finding.message}", "")])
        behind = found[number + 1] if number + 1 < len(found) else None
        if finding.remedy and not (
            behind and (behind.statement, behind.remedy) == (finding.statement, finding.remedy)
        ):
            lines.append([(f"      {finding.remedy}", _DIM)])
    return lines


def sizes(rehearsal: Rehearsal, found: Sequence[RehearsalFinding]) -> list[str]:
    """How large the tables are in the target that findings are about, each once."""
    told = []
    for relation in dict.fromkeys(finding.relation for finding in found):
        if relation and (size := rehearsal.sizes.get(relation)):
            rows = "1 row" if size.rows == 1 else f"{size.rows:,} rows"
            told.append(f"in the target, {relation} has about {rows}, {_size(size.bytes)}")
    return told


def _size(number: float) -> str:
    for unit in ("kB", "MB", "GB"):
        number /= 1024
        if number < 1000:  # noqa: PLR2004  # three digits
            return f"{number:.0f} {unit}" if unit == "kB" else f"{number:.1f} {unit}"
    return f"{number / 1024:.1f} TB"


def github_lines(rehearsal: Rehearsal, prefix: str | None = None) -> list[Line]:
    """A workflow command for each finding and each failed file, which GitHub shows beside the line.

    Args:
        rehearsal: What was found.
        prefix: The folder from the root of the repository, with a slash behind; None where there is none.
    """
    lines: list[str] = []
    for finding in rehearsal.findings:
        level = "error" if finding.denied else "notice" if finding.allowed else "warning"
        place = {"file": _path(finding.path, prefix), "line": finding.line}
        title = f"fluxmig rehearse, {finding.name}"
        lines.append(annotation(level, place, title, finding.message, finding.remedy))
    for failure in filter(None, (file.result.failure for file in rehearsal.failed)):
        place = {"file": _path(failure.path, prefix), "line": failure.line}
        lines.append(annotation("error", place, "fluxmig rehearse, failed", failure.message, failure.remedy))
    return [[(line, "")] for line in lines]


def _path(path: Path, prefix: str | None) -> str:
    return path.as_posix() if prefix is None else prefix + path.name


# --- JSON -------------------------------------------------------------------------------------------------


def rehearsal_json(rehearsal: Rehearsal) -> dict[str, Any]:
    """Where, each file with its statements, and the findings."""
    return {
        "format": 1,
        "command": "rehearse",
        "ok": rehearsal.ok,
        "database": {
            "product": rehearsal.product,
            "version": rehearsal.version,
            "source": rehearsal.source,
            "base": rehearsal.base,
            "knows_locks": rehearsal.knows_locks,
            "remarks": list(rehearsal.remarks),
        },
        "files": [_file_json(file) for file in rehearsal.files],
        "findings": [_finding_json(finding, rehearsal) for finding in rehearsal.findings],
        "pending": list(rehearsal.pending),
        "warnings": render.findings_json(rehearsal.warnings),
        "duration_ms": rehearsal.duration_ms,
    }


def _file_json(file: FileTrace) -> dict[str, Any]:
    trip = file.round_trip
    return {
        **render.step_json(file.result),
        "path": str(file.path),
        "allowed": [allowance.name for allowance in file.allowed],
        "traces": [_trace_json(trace) for trace in file.statements],
        "round_trip": trip
        and {
            "has_down": trip.has_down,
            "down_failure": trip.down_failure,
            "not_restored": list(trip.not_restored),
            "up_failure": trip.up_failure,
            "differs": list(trip.differs),
        },
    }


def _trace_json(trace: StatementTrace) -> dict[str, Any]:
    return {
        "number": trace.number,
        "last": trace.last,
        "line": trace.statement.line,
        "first_line": trace.statement.first_line,
        "duration_ms": round(trace.duration_ms, 3),
        "rows": trace.rows,
        "in_transaction": trace.in_transaction,
        "locks": [_lock_json(lock) for lock in trace.locks],
        "work": [_work_json(work) for work in trace.work],
        "notices": list(trace.notices),
        "error": trace.error,
    }


def _lock_json(lock: Lock) -> dict[str, Any]:
    return {
        "relation": lock.relation,
        "kind": lock.kind,
        "mode": lock.mode.value,
        "existed": lock.existed,
        "until": lock.until,
    }


def _work_json(work: Work) -> dict[str, Any]:
    return {"kind": work.kind.value, "name": work.name, "table": work.table, "existed": work.existed}


def _finding_json(finding: RehearsalFinding, rehearsal: Rehearsal) -> dict[str, Any]:
    size = rehearsal.sizes.get(finding.relation or "")
    return {
        "name": finding.name,
        "file": str(finding.path),
        "line": finding.line,
        "statement": finding.statement,
        "message": finding.message,
        "remedy": finding.remedy,
        "relation": finding.relation,
        "target_rows": size.rows if size else None,
        "target_bytes": size.bytes if size else None,
        "allowed": finding.allowed,
        "denied": finding.denied,
    }
