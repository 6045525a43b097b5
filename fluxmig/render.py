"""Nouns -> lines of text, JSON. Sees nouns only; prints nothing.

JSON is a dictionary with `"format": 1` and the command's name; its keys are documented in
docs/json.md and change only with the number.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fluxmig.errors import LoadError, RollbackError
from fluxmig.excerpt import visible
from fluxmig.lines import Line, cut, plain, terminal
from fluxmig.model import Condition, Event, Mode, Outcome, State
from fluxmig.model.reports import loss

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fluxmig.errors import FluxmigError, StoppedError
    from fluxmig.loading.nouns import Refusal
    from fluxmig.model import (
        Failure,
        Finding,
        LogEntry,
        Lost,
        MigrationStatus,
        Notice,
        Plan,
        RedoPlan,
        RedoReport,
        Report,
        RollbackReport,
        RollbackResult,
        Script,
        StepResult,
        Verification,
    )

__all__ = [
    "NOTHING_WRITTEN",
    "Line",
    "cut",
    "error_json",
    "finding_lines",
    "findings_json",
    "log_json",
    "log_lines",
    "notice_lines",
    "plain",
    "plan_json",
    "plan_lines",
    "redo_json",
    "redo_lines",
    "redo_plan_json",
    "redo_plan_lines",
    "refusal_json",
    "report_json",
    "report_lines",
    "rollback_json",
    "rollback_lines",
    "status_json",
    "status_lines",
    "step_json",
    "step_lines",
    "taken_back_lines",
    "terminal",
    "verify_json",
    "verify_lines",
]

_RULE = "=" * 60
_GOOD, _ODD, _BAD, _DIM, _HEAD = "green", "yellow", "red", "dim", "bold"
_SHOWN = 10
"""Names that a list shows before it says how many more there are."""


# --- status -----------------------------------------------------------------------------------------------


def status_lines(statuses: Sequence[MigrationStatus]) -> list[Line]:
    """The guide's form; to it, in brackets, what is wrong with a migration."""
    applied = [status for status in statuses if status.state is State.APPLIED]
    pending = [status for status in statuses if status.state is State.PENDING]
    return [
        [("MIGRATION STATUS", _HEAD)],
        [(_RULE, _DIM)],
        [],
        [("Applied Migrations:", _HEAD)],
        *(_status_line(status) for status in applied),
        [],
        [("Pending Migrations:", _HEAD)],
        *(_status_line(status) for status in pending),
        [],
        [(_RULE, _DIM)],
        [(f"Total: {len(statuses)} | Applied: {len(applied)} | Pending: {len(pending)}", _HEAD)],
    ]


def _status_line(status: MigrationStatus) -> Line:
    line: Line = []
    if status.record:
        line += [
            ("  [x] ", _GOOD),
            (status.name, ""),
            (f" ({_duration(status.record.execution_time_ms)})", _DIM),
        ]
    else:
        line += [("  [ ] ", _ODD), (status.name, "")]
    if status.conditions:
        words = ", ".join(_condition(condition, status) for condition in status.conditions)
        bad = {Condition.MODIFIED, Condition.MISSING, Condition.FAILED, Condition.PARTIAL}
        bad &= set(status.conditions)
        line.append((f" [{words}]", _BAD if bad else _ODD))
    return line


def _condition(condition: Condition, status: MigrationStatus) -> str:
    if condition is Condition.MARKED:
        return _mark(status.last_event)
    if condition is not Condition.MISSING or not status.renamed_to:
        return condition.value
    perhaps = " perhaps" if len(status.renamed_to) > 1 else ""
    return f"{condition.value}, now{perhaps} {' or '.join(status.renamed_to)}"


_MARKED_BY = {Event.MARKED: "duplicate", Event.MARKED_BY_HAND: "hand", Event.ADOPTED: "adopt"}


def _mark(event: LogEntry | None) -> str:
    """Why a migration is marked, and how much of it is missing, as far as the log tells."""
    match event and event.event:
        case Event.MARKED_BY_HAND:
            return "marked by hand"
        case Event.ADOPTED:
            return "marked by adopt"
    if event is None or event.statements is None:  # an earlier version's row
        return "marked"
    return f"marked, {loss(event.statements, event.lost or 0, event.unchecked or 0)}"


def status_json(statuses: Sequence[MigrationStatus]) -> dict[str, Any]:
    """Every migration with its state, conditions and ledger row, and the three counts."""
    applied = sum(status.state is State.APPLIED for status in statuses)
    return _document(
        "status",
        migrations=[_status_json(status) for status in statuses],
        total=len(statuses),
        applied=applied,
        pending=len(statuses) - applied,
    )


def _status_json(status: MigrationStatus) -> dict[str, Any]:
    record, event = status.record, status.last_event
    return {
        "name": status.name,
        "state": status.state.value,
        "conditions": [condition.value for condition in status.conditions],
        "checksum": status.migration.checksum if status.migration else None,
        "recorded_checksum": record.checksum if record else None,
        "applied_at": record.applied_at.isoformat() if record and record.applied_at else None,
        "applied_by": record.applied_by if record else None,
        "execution_time_ms": record.execution_time_ms if record else None,
        "message": event.message if event and status.conditions else None,
        "statements_done": status.progress.done if status.progress else None,
        "renamed_to": list(status.renamed_to),
        "marked": _mark_json(event) if event and Condition.MARKED in status.conditions else None,
    }


def _mark_json(event: LogEntry) -> dict[str, Any]:
    return {
        "by": _MARKED_BY.get(Event(event.event)),
        "statements": event.statements,
        "lost": event.lost,
        "unchecked": event.unchecked,
    }


# --- run --------------------------------------------------------------------------------------------------


def step_lines(result: StepResult) -> list[Line]:
    """One migration of a run, as it ends; what failed is told by the error."""
    took = f" ({_duration(result.duration_ms)})"
    match result.outcome:
        case Outcome.APPLIED:
            note = f", no transaction: {result.reason}" if result.reason else ""
            note += f", from statement {result.resumed_at}" if result.resumed_at > 1 else ""
            note += (
                f", without {_count(len(result.skipped), 'statement')} whose object was there"
                if result.skipped
                else ""
            )
            return [[("  [x] ", _GOOD), (result.name, ""), (took[:-1] + note + ")", _DIM)]]
        case Outcome.SKIPPED:
            return [[("  [x] ", _GOOD), (result.name, ""), (" (another runner was faster)", _DIM)]]
        case Outcome.FAILED:
            return [[("  [ ] ", _BAD), (result.name, ""), (" FAILED", _BAD), (took, _DIM)]]
        case Outcome.MARKED:
            head: Line = [("  [!] ", _ODD), (result.name, ""), (" MARKED AS APPLIED", _ODD), (took, _DIM)]
            return [head, *([(f"      {text}", "")] for text in _marked(result))]


def _marked(result: StepResult) -> list[str]:
    """Which statement, which object, and what did not take effect."""
    failure = result.failure
    if failure is None:
        return []
    lines = [failure.headline]
    if failure.statement:
        lines.append(
            f"statement {failure.statement.number} of {result.statements}: {failure.statement.first_line}"
        )
    known = [lost for lost in result.lost if lost.exists is False]
    unknown = [lost for lost in result.lost if lost.exists is None]
    lines.append(f"{result.loss}:" if known or unknown else result.loss)
    told = [f"  line {lost.statement.line}: {_lost(lost)}" for lost in (*known, *unknown)]
    lines += told[:_SHOWN]
    if (more := len(told) - _SHOWN) > 0:
        lines.append(f"  and {more} more (--json lists them)")
    if there := len(result.lost) - len(known) - len(unknown):
        rest = "1 other statement are" if there == 1 else f"{there} other statements are"
        lines.append(f"the objects of {rest} there already")
    return lines


def _lost(lost: Lost) -> str:
    """What of a lost statement is not there, or what it does."""
    if lost.exists is None:
        return f"{lost.statement.first_line} (whether it ever ran cannot be told)"
    if not lost.objects:
        return lost.statement.first_line
    return f"{', '.join(lost.objects)} {'is' if len(lost.objects) == 1 else 'are'} not there"


def report_lines(report: Report) -> list[Line]:
    """The summary of a run: what is left, if anything, and the counts."""
    counts = {outcome: len(report.having(outcome)) for outcome in Outcome}
    lines: list[Line] = []
    if not report.results and not report.pending:
        lines.append([("Nothing to run: every migration is applied.", "")])
    elif report.pending:
        lines += [[], [("Still pending:", _HEAD)]]
        lines += [[("  [ ] ", _ODD), (name, "")] for name in report.pending[:_SHOWN]]
        if more := len(report.pending) - _SHOWN:
            lines += [[(f"  and {more} more", _DIM)]] if more > 0 else []
    summary = f"Applied: {counts[Outcome.APPLIED]} | Marked: {counts[Outcome.MARKED]}"
    summary += f" | Failed: {counts[Outcome.FAILED]} | Pending: {len(report.pending)}"
    return [*lines, [], [(f"{summary} | Time: {_duration(report.duration_ms)}", _HEAD)]]


def report_json(report: Report, command: str = "run") -> dict[str, Any]:
    """The steps, what is left, and the findings."""
    return _document(
        command,
        dry_run=False,
        results=[step_json(result) for result in report.results],
        pending=list(report.pending),
        findings=findings_json(report.findings),
        duration_ms=report.duration_ms,
    )


def step_json(result: StepResult) -> dict[str, Any]:
    """What became of one migration."""
    return {
        "name": result.name,
        "outcome": result.outcome.value,
        "duration_ms": result.duration_ms,
        "mode": result.mode.value,
        "reason": result.reason,
        "statements": result.statements,
        "resumed_at": result.resumed_at,
        "tries": result.tries,
        "failure": _failure_json(result.failure) if result.failure else None,
        "lost_statements": [
            {
                "number": lost.statement.number,
                "line": lost.statement.line,
                "first_line": lost.statement.first_line,
                "objects": list(lost.objects),
                "exists": lost.exists,
            }
            for lost in result.lost
        ],
        "skipped_statements": [
            {"number": statement.number, "line": statement.line, "first_line": statement.first_line}
            for statement in result.skipped
        ],
        "notices": [_notice_json(notice) for notice in result.notices],
    }


def notice_lines(notice: Notice) -> list[Line]:
    """What the server says while a migration runs, as it comes."""
    style = _ODD if notice.severity in {"WARNING", "ERROR"} else _DIM
    first, *rest = notice.message.split("\n")
    lines: list[Line] = [[(f"{notice.name}: ", _DIM), (f"{notice.severity}: ", style), (first, "")]]
    lines += [[(f"  {line}", "")] for line in rest]
    for label, text in (("DETAIL", notice.detail), ("HINT", notice.hint)):
        if text:
            lines.append([(f"  {label}: ", _DIM), (text, "")])
    return lines


def _notice_json(notice: Notice) -> dict[str, Any]:
    return {
        "severity": notice.severity,
        "message": notice.message,
        "code": notice.code,
        "detail": notice.detail,
        "hint": notice.hint,
    }


def _failure_json(failure: Failure) -> dict[str, Any]:
    return {
        "file": str(failure.path),
        "line": failure.line,
        "column": failure.column,
        "message": failure.message,
        "code": failure.code,
        "object": failure.object,
        "detail": failure.detail,
        "hint": failure.hint,
        "context": failure.context,
        "statement": failure.statement.number if failure.statement else None,
        "statements_done": failure.done,
        "remedy": failure.remedy,
    }


# --- dry run ----------------------------------------------------------------------------------------------


def plan_lines(plan: Plan) -> list[Line]:
    """What a run would do."""
    if not plan.scripts:
        return [[("Nothing to run.", "")]]
    return [
        [("Would apply:", _HEAD)],
        *(
            [("  [ ] ", _ODD), (script.name, ""), (f" ({_kind(script, plan)})", _DIM)]
            for script in plan.scripts
        ),
        [],
        [(f"Would apply: {len(plan.scripts)} | Nothing was written.", _HEAD)],
    ]


def _kind(script: Script, plan: Plan) -> str:
    text = _statements(script)
    text += f", from statement {script.done + 1}" if script.done else ""
    text += ", from statement 1 again" if script.name in plan.restarts else ""
    return f"{text}, no transaction: {script.reason}" if script.mode is Mode.NO_TRANSACTION else text


def _statements(script: Script) -> str:
    return _count(len(script.statements), "statement")


def plan_json(plan: Plan, command: str = "plan") -> dict[str, Any]:
    """The scripts that would run, in order."""
    scripts = [_planned_json(script) for script in plan.scripts]
    return _document(command, dry_run=True, plan=scripts, findings=findings_json(plan.findings))


def _planned_json(script: Script) -> dict[str, Any]:
    return {
        "name": script.path.name,
        "checksum": script.checksum,
        "mode": script.mode.value,
        "reason": script.reason,
        "statements": len(script.statements),
        "resumes_at": script.done + 1,
    }


# --- the log ----------------------------------------------------------------------------------------------


_EVENT_STYLES: dict[str, str] = {
    Event.APPLIED: _GOOD,
    Event.LOADED: _GOOD,
    Event.FAILED: _BAD,
    Event.STARTED: _DIM,
    Event.PROGRESS: _DIM,
}
_BY_PEOPLE = frozenset({Event.UNRECORDED, Event.MARKED_BY_HAND, Event.ADOPTED})
_BY_PEOPLE |= {Event.ACCEPTED, Event.RESOLVED, Event.RENAMED}
_WIDTH = len(Event.ROLLED_BACK)


def log_lines(entries: Sequence[LogEntry], name: str | None = None, last: int | None = None) -> list[Line]:
    """One event a line, oldest first, under who made them; of failed and marked ones what and where beside.

    Progress is left out where a later event of the same script tells as much.

    Args:
        entries: In the order of writing.
        name: The migration that was asked for, if one was.
        last: At most so many lines of events.
    """
    lines: list[Line] = []
    before = None
    shown = _telling(entries)[-(last or 0) :]
    width = max((_WIDTH, *(len(entry.event) for entry in shown)))
    for entry in shown:
        time = entry.logged_at.isoformat(" ", "seconds") if entry.logged_at else ""
        who = tuple(filter(None, dict.fromkeys((entry.database_user, entry.client))))
        maker = ", ".join((*who, f"UTC{time[19:]}"))
        if maker != before:
            lines.append([(f"{maker}:", _DIM)])
            before = maker
        lines += _log_lines(entry, time[:19], width)
    if not lines and name and "://" not in name:  # a URL in the wrong place may hold a password
        return [[(f"The log has nothing of {name}.", "")]]
    return lines or [[("The log is empty.", "")]]


def _telling(entries: Sequence[LogEntry]) -> list[LogEntry]:
    """The entries without the progress that a later one includes."""
    includes = {Event.PROGRESS, Event.APPLIED, Event.ROLLED_BACK, Event.LOADING, Event.LOADED}
    later: dict[str, Event | str] = {}
    found = []
    for entry in reversed(entries):
        if entry.event not in {Event.PROGRESS, Event.LOADING} or later.get(entry.name) not in includes:
            found.append(entry)
        later[entry.name] = entry.event
    return found[::-1]


def _log_lines(entry: LogEntry, time: str, width: int) -> list[Line]:
    number, message, event = entry.statement_number, entry.message, entry.event
    notes = [_duration(entry.duration_ms)] if entry.duration_ms is not None else []
    beneath = ""
    if event == Event.PROGRESS:
        notes.append("statement 1 is done" if number == 1 else f"statements 1 to {number} are done")
    elif event == Event.LOADING:
        notes.append(f"{number} records are done")
    elif event in {Event.APPLIED, Event.STARTED, Event.LOADED}:
        notes += [message] if message else []
        notes += [f"from statement {number}"] if number and number > 1 else []
    elif event in _BY_PEOPLE:
        notes += [message] if message else []
    else:
        where = f"statement {number}" if number else ""
        where += (f", line {entry.line}" if where else f"line {entry.line}") if entry.line else ""
        message = f"{message or ''} [{entry.error_code}]".strip() if entry.error_code else message
        beneath = ": ".join(visible(part) for part in (where, message) if part)
    notes += [f"why: {entry.reason}"] if entry.reason else []
    style = _EVENT_STYLES.get(event, _ODD)
    line: Line = [(f"  {time}  ", _DIM), (f"{event:<{width}} ", style)]
    line.append((entry.name, ""))
    if notes:
        line.append((f" ({visible(', '.join(notes))})", _DIM))
    return [line, [(f"      {beneath}", "")]] if beneath else [line]


def log_json(entries: Sequence[LogEntry]) -> dict[str, Any]:
    """Every row of the log, with all its columns."""
    return _document("log", entries=[_log_json(entry) for entry in entries])


def _log_json(entry: LogEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "event": str(entry.event),
        "name": entry.name,
        "logged_at": entry.logged_at.isoformat() if entry.logged_at else None,
        "duration_ms": entry.duration_ms,
        "checksum": entry.checksum,
        "database_user": entry.database_user,
        "client": entry.client,
        "fluxmig_version": entry.fluxmig_version,
        "error_code": entry.error_code,
        "message": entry.message,
        "statement": entry.statement_number,
        "line": entry.line,
        "reason": entry.reason,
        "statements": entry.statements,
        "lost": entry.lost,
        "unchecked": entry.unchecked,
    }


# --- rollback ---------------------------------------------------------------------------------------------


NOTHING_WRITTEN: Line = [("Nothing was written.", _HEAD)]
"""The last line of what would be done."""


def rollback_lines(report: RollbackReport, *, done: bool) -> list[Line]:
    """What was taken back, or would be; or that there is nothing to."""
    overtaken = any(finding.kind == "overtaken" for finding in report.findings)
    if not report.results and not overtaken:
        since = f"nothing was applied after {report.to}" if report.to else "nothing is applied"
        return [[(f"Nothing to take back: {since}.", "")]]
    return [line for result in report.results for line in taken_back_lines(result, done=done)]


def taken_back_lines(result: RollbackResult, *, done: bool) -> list[Line]:
    """One migration of a rollback, as it ends, or before it begins."""
    if result.reversed:
        took = f" ({_duration(result.duration_ms)})" if done else ""
        text = "reversed by its down script" if done else "its down script runs, and its record goes"
        return [[("  [ ] ", _ODD), (result.name, ""), (f" {text}{took}", "")]]
    text = "record removed" if done else "only its record goes"
    return [[("  [ ] ", _ODD), (result.name, ""), (f" {text}; the SQL is NOT reversed", _ODD)]]


def rollback_json(
    report: RollbackReport, command: str = "rollback", *, dry_run: bool = False
) -> dict[str, Any]:
    """What was taken back, or would be."""
    return _document(
        command,
        dry_run=dry_run,
        results=[_taken_back_json(result) for result in report.results],
        to=report.to,
        findings=findings_json(report.findings),
    )


def _taken_back_json(result: RollbackResult) -> dict[str, Any]:
    return {"name": result.name, "reversed": result.reversed, "duration_ms": result.duration_ms}


# --- redo -------------------------------------------------------------------------------------------------


def redo_plan_lines(plan: RedoPlan) -> list[Line]:
    """What a redo would do, and what it would leave if the second half of it failed."""
    together = "Both in one transaction: if one fails, nothing is changed."
    one_by_one = f"One after the other, not in one transaction: {plan.apart}."
    lines: list[Line] = [
        [("  [ ] ", _ODD), (plan.name, ""), (f" its down script runs ({_statements(plan.down)})", "")],
        [
            ("  [x] ", _GOOD),
            (plan.name, ""),
            (f" is applied again, as it is now ({_statements(plan.up)})", ""),
        ],
        [(one_by_one if plan.apart else together, _ODD if plan.apart else "")],
    ]
    if plan.apart:
        lines.append([("If the second fails, the migration is taken back and pending.", _ODD)])
    return [*lines, *_later_lines(plan.later)]


def redo_lines(report: RedoReport) -> list[Line]:
    """What was taken back, and applied again."""
    taken_back = taken_back_lines(report.reversed, done=True)
    return [*taken_back, *step_lines(report.applied), *_later_lines(report.later)]


def _later_lines(names: Sequence[str]) -> list[Line]:
    if not names:
        return []
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return [[(f"Applied after it, and not touched: {', '.join(names[:_SHOWN])}{more}", _DIM)]]


def redo_plan_json(plan: RedoPlan) -> dict[str, Any]:
    """The two scripts in the order they would run."""
    return _document(
        "redo",
        dry_run=True,
        plan=[_planned_json(script) for script in (plan.down, plan.up)],
        apart=plan.apart,
        later=list(plan.later),
        findings=findings_json(plan.findings),
    )


def redo_json(report: RedoReport) -> dict[str, Any]:
    """What was taken back, and applied again."""
    return _document(
        "redo",
        dry_run=False,
        reversed=_taken_back_json(report.reversed),
        results=[step_json(report.applied)],
        later=list(report.later),
        findings=findings_json(report.findings),
    )


# --- verify -----------------------------------------------------------------------------------------------


def verify_lines(verification: Verification) -> list[Line]:
    """Where one is connected to, what the ledger is like, and each warning and problem with its remedy."""
    info = verification.info
    ledger = f"{verification.table} {'exists' if verification.ledger_exists else 'is made by the first run'}"
    facts = {
        "Server": f"{info.server} {info.version} ({info.dialect})",
        "Time": info.time,
        "Database": info.database,
        "User": info.user,
        "SSL": _yes(info.ssl, "on", "off"),
        "Ledger": ledger,
        "May create": _yes(verification.can_create, "yes", "no"),
        "May write": _yes(verification.can_write, "yes", "no"),
        "Migrations": f"{verification.applied} applied, {verification.pending} pending",
    }
    lines: list[Line] = [
        [(f"{label + ':':<12}", _DIM), (value, "")] for label, value in facts.items() if value is not None
    ]
    lines.append([])
    for finding in verification.warnings:
        lines += finding_lines(finding)
    for finding in verification.findings:
        lines += finding_lines(finding, "problem", _BAD)
    if verification.ok and not verification.warnings:
        return [*lines, [("All is well.", _GOOD)]]
    problems = _count(len(verification.findings), "problem") if verification.findings else "no problems"
    warnings = f", {_count(len(verification.warnings), 'warning')}" if verification.warnings else ""
    return [*lines, [(f"{problems}{warnings}", _GOOD if verification.ok else _BAD)]]


def verify_json(verification: Verification) -> dict[str, Any]:
    """The facts and the findings."""
    info = verification.info
    return _document(
        "verify",
        ok=verification.ok,
        server={"product": info.server, "version": info.version, "dialect": info.dialect, "time": info.time},
        database=info.database,
        user=info.user,
        ssl=info.ssl,
        ledger={
            "table": verification.table,
            "exists": verification.ledger_exists,
            "log_exists": verification.log_exists,
            "may_create": verification.can_create,
            "may_write": verification.can_write,
        },
        applied=verification.applied,
        pending=verification.pending,
        findings=findings_json(verification.findings),
        warnings=findings_json(verification.warnings),
        capabilities=asdict(verification.capabilities) if verification.capabilities else None,
    )


def _yes(value: bool | None, yes: str, no: str) -> str | None:  # noqa: FBT001  # three values, not a switch
    return None if value is None else yes if value else no


# --- what all share ---------------------------------------------------------------------------------------


def finding_lines(finding: Finding, label: str = "warning", style: str = _ODD) -> list[Line]:
    """A finding, and under it the way out."""
    lines: list[Line] = [[(f"{label}: ", style), (finding.message, "")]]
    if finding.remedy:
        lines.append([(f"  {finding.remedy}", _DIM)])
    return lines


def error_json(
    command: str, error: FluxmigError | StoppedError, report: dict[str, Any] | None = None
) -> dict[str, Any]:
    """An error, with what had been done before it."""
    fields: dict[str, Any] = {
        "type": type(error).__name__,
        "message": error.message,
        "remedy": error.remedy,
        "exit_code": error.exit_code,
    }
    if isinstance(error, RollbackError):
        fields["names"] = list(error.names)
        fields["failure"] = _failure_json(error.failure) if error.failure else None
    if isinstance(error, LoadError):
        fields["refusals"] = [refusal_json(refusal) for refusal in error.refusals]
    return {**(report or _document(command)), "error": fields}


def refusal_json(refusal: Refusal) -> dict[str, Any]:
    """One record, or row of it, that is not in its table."""
    return {
        "file": refusal.file,
        "record": refusal.record,
        "line": refusal.line,
        "table": refusal.table,
        "column": refusal.column,
        "path": refusal.path,
        "value": refusal.value,
        "reason": refusal.reason,
        "code": refusal.code,
    }


def _document(command: str, **fields: Any) -> dict[str, Any]:
    return {"format": 1, "command": command, **fields}


def findings_json(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Findings, as every document has them."""
    return [
        {
            "kind": finding.kind,
            "message": finding.message,
            "names": list(finding.names),
            "remedy": finding.remedy,
        }
        for finding in findings
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else noun + 's'}"


def _duration(milliseconds: int | None) -> str:
    return "N/A" if milliseconds is None else f"{milliseconds / 1000:.2f}s"
