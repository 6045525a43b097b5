"""The nouns: frozen values that the rest of fluxmig passes around.

Positions: `line` and `column` count from 1, in characters; offsets from 0, in bytes of the file without its
byte order mark. Durations are milliseconds (`_ms`). Nothing here touches a file or a database.

Each is loaded with its module when it is first used: Python makes dataclasses anew in each process.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fluxmig.model.databases import Capabilities, DatabaseInfo, Verification
    from fluxmig.model.files import DownScript, FileProblem, Finding, Migration
    from fluxmig.model.ledger import Event, LogEntry, Progress, Record
    from fluxmig.model.mending import (
        Action,
        Adoption,
        AdoptionKind,
        AdoptionReport,
        Change,
        Mending,
        Settlement,
    )
    from fluxmig.model.news import Failure, Notice, Session, Wait, WaitReason
    from fluxmig.model.plan import Condition, MigrationStatus, Plan, State
    from fluxmig.model.reports import Lost, Outcome, Report, StepResult
    from fluxmig.model.reversals import RedoPlan, RedoReport, RollbackReport, RollbackResult
    from fluxmig.model.scripts import Allowance, Limits, Mode, Script, Statement, Statements
    from fluxmig.policies import OnDuplicate

__all__ = [
    "Action",
    "Adoption",
    "AdoptionKind",
    "AdoptionReport",
    "Allowance",
    "Capabilities",
    "Change",
    "Condition",
    "DatabaseInfo",
    "DownScript",
    "Event",
    "Failure",
    "FileProblem",
    "Finding",
    "Limits",
    "LogEntry",
    "Lost",
    "Mending",
    "Migration",
    "MigrationStatus",
    "Mode",
    "Notice",
    "OnDuplicate",
    "Outcome",
    "Plan",
    "Progress",
    "Record",
    "RedoPlan",
    "RedoReport",
    "Report",
    "RollbackReport",
    "RollbackResult",
    "Script",
    "Session",
    "Settlement",
    "State",
    "Statement",
    "Statements",
    "StepResult",
    "Verification",
    "Wait",
    "WaitReason",
]

_HOMES = {
    "model.files": "FileProblem Finding DownScript Migration",
    "model.scripts": "Mode Statement Statements Limits Allowance Script",
    "model.ledger": "Record Event LogEntry Progress",
    "model.plan": "State Condition MigrationStatus Plan",
    "model.mending": "Settlement Action Change Mending AdoptionKind Adoption AdoptionReport",
    "model.news": "Failure Notice Session WaitReason Wait",
    "model.reports": "Lost Outcome StepResult Report",
    "model.reversals": "RollbackResult RollbackReport RedoPlan RedoReport",
    "model.databases": "DatabaseInfo Capabilities Verification",
    "policies": "OnDuplicate",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"fluxmig.{_HOME[name]}"), name)
    return found
