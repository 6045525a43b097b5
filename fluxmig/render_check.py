"""What `check` found -> text, GitHub's annotations, JSON. Prints nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fluxmig.check import Level
from fluxmig.model.files import place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fluxmig.check import FileFinding, FolderReport
    from fluxmig.render import Line

__all__ = ["annotation", "check_json", "check_lines", "github_lines", "summary_lines"]


def check_lines(report: FolderReport) -> list[Line]:
    """One line a finding: the place, what is wrong, and behind a semicolon the way out."""
    return [_line(finding) for finding in report.findings]


def _line(finding: FileFinding) -> Line:
    line: Line = [(f"{place(finding.path, finding.line, finding.column)}: ", "bold")]
    if finding.level is Level.WARNING:
        line.append(("warning: ", "yellow"))
    line.append((_flat(finding.message), ""))
    if finding.remedy:
        line.append((f"; {_flat(finding.remedy)}", "dim"))
    return line


def _flat(text: str) -> str:
    return re.sub(r"\s*[\r\n]+\s*", " ", text)


def summary_lines(report: FolderReport) -> list[Line]:
    """What all of it comes to."""
    errors, warnings = len(report.having(Level.ERROR)), len(report.having(Level.WARNING))
    counts = [_count(errors, "error")] if errors else []
    counts += [_count(warnings, "warning")] if warnings else []
    if not report.ok:
        return [[(f"{', '.join(counts)} in {_count(report.files, 'file')}", "red")]]
    parts = [_count(report.migrations, "migration")]
    parts += [_count(report.down_scripts, "down script")] if report.down_scripts else []
    parts += [f"{len(report.new)} new since {report.base}"] if report.base else []
    text = f"{', '.join(parts)}: sound"
    return [[(f"{text}, with {', '.join(counts)}." if counts else f"{text}.", "green")]]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def github_lines(report: FolderReport, prefix: str | None = None) -> list[Line]:
    """One workflow command a finding, which GitHub shows beside the file's line.

    Args:
        report: What was found.
        prefix: The folder from the root of the repository, with a slash behind; None where there is none:
            then paths are as elsewhere.
    """
    return [[(_annotation(finding, report, prefix), "")] for finding in report.findings]


def _annotation(finding: FileFinding, report: FolderReport, prefix: str | None) -> str:
    path = finding.path.as_posix()
    if prefix is not None:
        path = prefix.rstrip("/") or "." if finding.path == report.folder else prefix + finding.path.name
    place = {"file": path, "line": finding.line, "col": finding.column}
    title = f"fluxmig check, {finding.kind}"
    return annotation(finding.level.value, place, title, finding.message, finding.remedy)


def annotation(
    level: str, place: Mapping[str, str | int | None], title: str, message: str, remedy: str | None
) -> str:
    """The workflow command that has GitHub show a message, and the way out, beside a line."""
    properties = {**place, "title": title}
    listed = ",".join(
        f"{key}={_property(str(value))}" for key, value in properties.items() if value is not None
    )
    text = f"{message}\n{remedy}" if remedy else message
    return f"::{level} {listed}::{_data(text)}"


# Escaped as actions/toolkit has it: packages/core/src/command.ts.
def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def check_json(report: FolderReport) -> dict[str, Any]:
    """The counts and the findings."""
    return {
        "format": 1,
        "command": "check",
        "ok": report.ok,
        "dialect": report.dialect,
        "files": report.files,
        "migrations": report.migrations,
        "down_scripts": report.down_scripts,
        "base": report.base,
        "new": list(report.new),
        "findings": [
            {
                "level": finding.level.value,
                "kind": finding.kind,
                "file": str(finding.path),
                "line": finding.line,
                "column": finding.column,
                "message": finding.message,
                "remedy": finding.remedy,
            }
            for finding in report.findings
        ],
    }
