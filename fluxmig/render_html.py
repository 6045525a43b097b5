"""A rehearsal -> one page of HTML that needs nothing else: no network, no font, no program but its own.

Its frame, with the style and what sorts the tables, is `page.html` beside this module.
"""

from __future__ import annotations

from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from fluxmig.excerpt import visible
from fluxmig.model import Outcome
from fluxmig.render_rehearsal import doing, duration, locking, sizes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fluxmig.trace import FileTrace, Lock, LockMode, Rehearsal, RehearsalFinding, StatementTrace

__all__ = ["page"]

_SQL_CHARACTERS = 2000
"""How much of a statement is shown."""

_LANES = 40
"""How many relations have a lane in a file's timeline."""

_LEGEND = (
    ("all", "readers and writers wait"),
    ("write", "writers wait"),
    ("ddl", "others cannot alter it"),
    ("row", "nobody waits"),
)
_OUTCOMES = {
    Outcome.APPLIED: ("good", "applied"),
    Outcome.MARKED: ("odd", "would be marked"),
    Outcome.FAILED: ("bad", "failed"),
    Outcome.SKIPPED: ("soft", "skipped"),
}


def page(rehearsal: Rehearsal) -> str:
    """The whole page; names and texts of others are escaped."""
    frame = Template(files("fluxmig").joinpath("page.html").read_text("utf-8"))
    parts = [_findings(rehearsal)] if rehearsal.findings else []
    parts += [_file(file, knows_locks=rehearsal.knows_locks) for file in rehearsal.files]
    if rehearsal.pending:
        names = "".join(f"<li><code>{_text(name)}</code></li>" for name in rehearsal.pending)
        parts.append(f"<h2>Not reached</h2><ul>{names}</ul>")
    if not rehearsal.files and not rehearsal.pending:
        parts.append("<h2>Nothing to rehearse</h2><p>Every migration is applied.</p>")
    return frame.substitute(
        title=f"Rehearsal: {_verdict(rehearsal)}",
        place=_place(rehearsal),
        tiles=_tiles(rehearsal),
        body="\n".join(parts),
    )


def _verdict(rehearsal: Rehearsal) -> str:
    if not rehearsal.ok:
        return "not ready for production"
    return "nothing is denied" if rehearsal.findings else "nothing was found"


def _place(rehearsal: Rehearsal) -> str:
    where = f"On {rehearsal.product} {rehearsal.version} ({rehearsal.source}), from {rehearsal.base}."
    blind = f"{rehearsal.product} does not tell who locks what: no locks are shown."
    lines = [where, *rehearsal.remarks, *(() if rehearsal.knows_locks else (blind,))]
    return "\n".join(f"<p>{_text(line)}</p>" for line in lines)


def _tiles(rehearsal: Rehearsal) -> str:
    applied = sum(file.result.outcome is Outcome.APPLIED for file in rehearsal.files)
    failed, denied = len(rehearsal.failed), len(rehearsal.denied)
    tiles = [
        (str(applied), "applied", "good"),
        (str(failed), "failed", "bad" if failed else "soft"),
        (str(len(rehearsal.findings)), "findings", "odd" if rehearsal.findings else "soft"),
        (str(denied), "denied", "bad" if denied else "soft"),
        (duration(rehearsal.duration_ms), "in all", ""),
    ]
    items = "".join(
        f'<li><b class="{style}">{value}</b><span>{name}</span></li>' for value, name, style in tiles
    )
    return f'<ul class="tiles">{items}</ul>'


# --- findings ---------------------------------------------------------------------------------------------


def _findings(rehearsal: Rehearsal) -> str:
    rows = []
    for number, finding in enumerate(rehearsal.findings):
        place = finding.path.name + (f":{finding.line}" if finding.line else "")
        style, state = _state(finding)
        more = [*filter(None, [finding.remedy]), *sizes(rehearsal, [finding])]
        way = "".join(f"<p>{_text(text)}</p>" for text in more)
        rows.append(
            f'<tr><td class="place" data-sort="{number}">'
            f'<a href="#{_anchor(finding.path.name)}"><code>{_text(place)}</code></a></td>'
            f'<td><span class="tag {style}">{_text(finding.name)}</span></td>'
            f'<td class="told">{_text(finding.message)}{way}</td><td class="{style}">{state}</td></tr>'
        )
    return "<h2>Findings</h2>" + _table(("Place", "Finding", "What, and the safer way", "State"), rows)


def _state(finding: RehearsalFinding) -> tuple[str, str]:
    if finding.denied:
        return "bad", "denied"
    return ("soft", "allowed") if finding.allowed else ("odd", "open")


# --- files ------------------------------------------------------------------------------------------------


def _file(file: FileTrace, *, knows_locks: bool) -> str:
    style, outcome = _OUTCOMES[file.result.outcome]
    how = f"no transaction: {file.result.reason}" if file.result.reason else "one transaction"
    took = duration(sum(trace.duration_ms for trace in file.statements))
    said = f'<span class="{style}">{outcome}</span>, {took}, {_text(how)}'
    parts = [f'<h2 id="{_anchor(file.name)}">{_text(file.name)} <small>{said}</small></h2>']
    if file.failed and file.result.failure:
        parts.append(f'<pre class="error">{_text(str(file.result.failure))}</pre>')
    heads = ("No.", "Line", "Statement", "Time", "Rows", "On what was there before")
    table = _table(heads, [_row(file, trace) for trace in file.statements]) if file.statements else ""
    if any(file.stronger(trace) for trace in file.statements):
        parts.append(_timeline(file))
    elif table and not file.failed and not any(doing(trace) for trace in file.statements):
        count = "1 statement" if len(file.statements) == 1 else f"{len(file.statements)} statements"
        summary = f"{count} on nothing that was there before" if knows_locks else count
        table = f"<details><summary>{summary}</summary>{table}</details>"
    parts.append(table)
    return "\n".join(parts)


def _row(file: FileTrace, trace: StatementTrace) -> str:
    number = str(trace.number) if trace.count == 1 else f"{trace.number} to {trace.last}"
    facts = [*locking(file, trace), *doing(trace)]
    told = "".join(f"<p>{_text(notice)}</p>" for notice in trace.notices)
    told += f'<p class="bad">{_text(trace.error)}</p>' if trace.error else ""
    rows = "" if trace.rows is None else str(trace.rows)
    sql = trace.statement.sql
    more = "…" if len(sql) > _SQL_CHARACTERS else ""
    return (
        f'<tr><td class="number" data-sort="{trace.number}">{number}</td>'
        f'<td class="number">{trace.statement.line}</td>'
        f'<td class="sql"><code>{_text(sql[:_SQL_CHARACTERS])}{more}</code></td>'
        f'<td class="number" data-sort="{trace.duration_ms:.4f}">{duration(trace.duration_ms)}</td>'
        f'<td class="number">{rows}</td><td class="told">{_text(", ".join(facts))}{told}</td></tr>'
    )


def _table(heads: Iterable[str], rows: Iterable[str]) -> str:
    cells = "".join(f'<th scope="col"><button type="button">{head}</button></th>' for head in heads)
    head, body = f"<thead><tr>{cells}</tr></thead>", f"<tbody>{''.join(rows)}</tbody>"
    return f'<div class="scroll"><table>{head}{body}</table></div>'


# --- the timeline -----------------------------------------------------------------------------------------


def _timeline(file: FileTrace) -> str:
    """A lane for the statements, and one for each relation that they lock, what was there before first."""
    traces = file.statements
    bars = [
        _bar(file, trace, trace, "refused" if trace.error else "work", str(trace.number)) for trace in traces
    ]
    lanes = [_lane("statements", bars)]
    by_relation: dict[str, list[str]] = {}
    taken = [(trace, lock) for trace in traces for lock in file.stronger(trace)]
    for trace, lock in taken:
        end = max((each for each in traces if each.number <= lock.until), key=lambda each: each.number)
        by_relation.setdefault(lock.relation, []).append(
            _bar(file, trace, end, _colour(lock.mode), str(lock.mode), _held(file, lock))
        )
    lanes += [_lane(relation, drawn) for relation, drawn in list(by_relation.items())[:_LANES]]
    legend = "".join(f'<span><i class="{style}"></i>{text}</span>' for style, text in _LEGEND)
    views = (
        '<span class="views"><button type="button" data-view="step" aria-pressed="true">by statement</button>'
        '<button type="button" data-view="time" aria-pressed="false">by time</button></span>'
    )
    label = f"Statements of {file.name} and the locks that they hold, also in the table below"
    caption = f"<figcaption>{legend}{views}</figcaption>"
    return f'<figure aria-label="{_text(label)}">{caption}{"".join(lanes)}</figure>'


def _lane(name: str, bars: Iterable[str]) -> str:
    label = f'<span title="{_text(name)}">{_text(name)}</span>'
    return f'<div class="lane">{label}<div class="track">{"".join(bars)}</div></div>'


def _bar(
    file: FileTrace, first: StatementTrace, last: StatementTrace, style: str, text: str, title: str = ""
) -> str:
    """From the beginning of one statement to the end of another; by their places, and by the clock."""
    traces = file.statements
    start, end = 100 * traces.index(first) / len(traces), 100 * (traces.index(last) + 1) / len(traces)
    whole = max(traces[-1].started_ms + traces[-1].duration_ms, 0.001)
    at, by = 100 * first.started_ms / whole, 100 * (last.started_ms + last.duration_ms) / whole
    place = f"--from:{start:.2f};--to:{end:.2f};--at:{at:.2f};--by:{by:.2f}"
    title = title or f"statement {first.number}, {duration(first.duration_ms)}"
    return f'<div class="bar {style}" style="{place}" title="{_text(title)}">{_text(text)}</div>'


def _colour(mode: LockMode) -> str:
    if mode.blocks_readers:
        return "all"
    if mode.blocks_writers:
        return "write"
    return "ddl" if mode.blocks_ddl else "row"


def _held(file: FileTrace, lock: Lock) -> str:
    end = "the end of the file" if lock.until >= file.statements[-1].last else f"statement {lock.until}"
    return f"{lock.mode} on {lock.relation}, held to {end}"


def _text(text: str) -> str:
    """For people, and for HTML: no control characters, no markup."""
    return escape("\n".join(visible(line) for line in text.split("\n")))


def _anchor(name: str) -> str:
    return escape(f"file-{name}".replace(" ", "-"))
