"""Plain-SQL database migrations for teams that already have SQLAlchemy engines.

    from fluxmig import Migrator

    report = Migrator(engine, "migrations").run()

Each name is loaded when it is first used, and SQLAlchemy with `Migrator` or one of the three functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
        DataFiles,
        LoadMapping,
        LoadProgress,
        LoadReport,
        OnConflict,
        Refusal,
        Rule,
        Source,
        TableTotals,
    )
    from fluxmig.migrator import (
        Migrator,
        get_applied_migrations,
        load,
        run_migration,
    )
    from fluxmig.model import (
        Action,
        Adoption,
        AdoptionKind,
        AdoptionReport,
        Allowance,
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

__version__ = "0.1.0"

__all__ = [
    "Action",
    "Adoption",
    "AdoptionKind",
    "AdoptionReport",
    "Allowance",
    "Capabilities",
    "Change",
    "Condition",
    "ConfigError",
    "DataFileError",
    "DataFiles",
    "DatabaseConnectionError",
    "DatabaseInfo",
    "DownScript",
    "Event",
    "Failure",
    "FileProblem",
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

_OF_MIGRATOR = frozenset({"Migrator", "get_applied_migrations", "load", "run_migration"})


def __getattr__(name: str) -> Any:
    # Each loads when it is first used: the command line's help needs none of them, and no SQLAlchemy either.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fluxmig import errors  # noqa: PLC0415

    found: Any = errors
    if name in _OF_MIGRATOR:
        from fluxmig import migrator as found  # noqa: PLC0415
    elif name not in errors.__all__:
        from fluxmig import model as found  # noqa: PLC0415

        if name not in found.__all__:
            from fluxmig.loading import nouns as found  # noqa: PLC0415
    return getattr(found, name)


def __dir__() -> list[str]:
    return sorted(__all__)
