"""Plain-SQL database migrations for teams that already have SQLAlchemy engines.

    from fluxmig import Migrator

    report = Migrator(engine, "migrations").run()

SQLAlchemy is imported when `Migrator` or one of the three functions is first used, and not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fluxmig.errors import (
    ConfigError,
    DatabaseConnectionError,
    DataFileError,
    FluxmigError,
    LedgerError,
    LoadError,
    LockTimeoutError,
    MigrationFailedError,
    MigrationFileError,
    RollbackError,
)
from fluxmig.loading.nouns import (
    Files,
    LoadMapping,
    LoadProgress,
    LoadReport,
    OnConflict,
    Refusal,
    Rule,
    Source,
    TableTotals,
)
from fluxmig.model import (
    Action,
    Adoption,
    AdoptionKind,
    AdoptionReport,
    Capabilities,
    Change,
    Condition,
    DatabaseInfo,
    DownScript,
    Event,
    Failure,
    FileProblem,
    Finding,
    Limits,
    LogEntry,
    Lost,
    Mending,
    Migration,
    MigrationStatus,
    Mode,
    Notice,
    OnDuplicate,
    Outcome,
    Plan,
    Progress,
    Record,
    RedoPlan,
    RedoReport,
    Report,
    RollbackReport,
    RollbackResult,
    Script,
    Session,
    Settlement,
    State,
    Statement,
    Statements,
    StepResult,
    Verification,
    Wait,
    WaitReason,
)

if TYPE_CHECKING:
    from fluxmig.migrator import Migrator, get_applied_migrations, load, run_migration

__version__ = "0.1.0"

__all__ = [
    "Action",
    "Adoption",
    "AdoptionKind",
    "AdoptionReport",
    "Capabilities",
    "Change",
    "Condition",
    "ConfigError",
    "DataFileError",
    "DatabaseConnectionError",
    "DatabaseInfo",
    "DownScript",
    "Event",
    "Failure",
    "FileProblem",
    "Files",
    "Finding",
    "FluxmigError",
    "LedgerError",
    "Limits",
    "LoadError",
    "LoadMapping",
    "LoadProgress",
    "LoadReport",
    "LockTimeoutError",
    "LogEntry",
    "Lost",
    "Mending",
    "Migration",
    "MigrationFailedError",
    "MigrationFileError",
    "MigrationStatus",
    "Migrator",
    "Mode",
    "Notice",
    "OnConflict",
    "OnDuplicate",
    "Outcome",
    "Plan",
    "Progress",
    "Record",
    "RedoPlan",
    "RedoReport",
    "Refusal",
    "Report",
    "RollbackError",
    "RollbackReport",
    "RollbackResult",
    "Rule",
    "Script",
    "Session",
    "Settlement",
    "Source",
    "State",
    "Statement",
    "Statements",
    "StepResult",
    "TableTotals",
    "Verification",
    "Wait",
    "WaitReason",
    "__version__",
    "get_applied_migrations",
    "load",
    "run_migration",
]

_LAZY = frozenset({"Migrator", "get_applied_migrations", "load", "run_migration"})


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from fluxmig import migrator  # noqa: PLC0415  # SQLAlchemy loads here and not at start-up

        return getattr(migrator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
