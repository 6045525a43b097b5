"""Every error that fluxmig raises, and the exit code that each stands for.

```
FluxmigError                     1
├── ConfigError                  2  an option, a setting, an URL or a driver
├── MigrationFileError           3  files that cannot be read as migrations
├── DataFileError                3  a file that cannot be read as JSON
├── LedgerError                  4  the ledger and the files disagree
├── LockTimeoutError             5  another runner holds the lock
├── DatabaseConnectionError      6  no connection, or it was lost
├── MigrationFailedError         1  the database refused a migration
├── LoadError                    1  data that do not fit, or that the database refused
└── RollbackError                1  a down script failed, or is not there; or there is nothing to take back
```

`StoppedError`, of a signal to the command line, stands outside: it is a KeyboardInterrupt.

`str(error)` is complete for a person: what happened, where, and the way out, if there is one. The
driver's own error is the `__cause__`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fluxmig.fleet.model import FleetReport
    from fluxmig.loading.nouns import LoadReport, Refusal
    from fluxmig.model import Failure, FileProblem, Report, RollbackReport, Session, StepResult

__all__ = [
    "ConfigError",
    "DataFileError",
    "DatabaseConnectionError",
    "FluxmigError",
    "LedgerError",
    "LoadError",
    "LockTimeoutError",
    "MigrationFailedError",
    "MigrationFileError",
    "RollbackError",
]


class FluxmigError(Exception):
    """The root of the tree: a message, the way out, and an exit code.

    Attributes:
        message: What happened, without the way out.
        remedy: What to do about it, or None.
        report: What a run or rollback had committed before the error, or None where none was under way.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        report: Report | RollbackReport | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.report = report

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """So that an error crosses from a worker process to its parent, fields and all."""
        return _restore, (type(self), self.args, self.__dict__)


class ConfigError(FluxmigError):
    """An option, a setting, a URL or a missing driver. Nothing was run."""

    exit_code = 2


class MigrationFileError(FluxmigError):
    """Files that look like migrations and cannot be read as such. Nothing was run.

    Attributes:
        problems: One entry a finding, in the order of the files.
    """

    exit_code = 3

    def __init__(self, problems: Iterable[FileProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DataFileError(FluxmigError):
    """A file of data cannot be read, or not as JSON. Nothing is loaded, but for the batches before.

    Attributes:
        loaded: What these have loaded, or None where there are none.
    """

    exit_code = 3
    loaded: LoadReport | None = None


class LedgerError(FluxmigError):
    """The ledger and the files disagree, or the table is not a ledger. Nothing was run.

    Attributes:
        names: The migrations in question.
    """

    exit_code = 4

    def __init__(self, message: str, *, remedy: str | None = None, names: Iterable[str] = ()) -> None:
        super().__init__(message, remedy=remedy)
        self.names = tuple(names)


class LockTimeoutError(FluxmigError):
    """Another runner held the lock for longer than one was ready to wait.

    Attributes:
        holder: Who has it, where that is known.
    """

    exit_code = 5

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        report: Report | RollbackReport | None = None,
        holder: Session | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, report=report)
        self.holder = holder


class DatabaseConnectionError(FluxmigError):
    """No connection could be had, or it was lost on the way.

    Attributes:
        in_doubt: Whether it was lost at a commit, so that only the ledger can tell whether that was made.
    """

    exit_code = 6

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        report: Report | RollbackReport | None = None,
        in_doubt: bool = False,
    ) -> None:
        super().__init__(message, remedy=remedy, report=report)
        self.in_doubt = in_doubt


class MigrationFailedError(FluxmigError):
    """The database refused a migration; in a transaction it is rolled back whole.

    Attributes:
        failures: The failed steps, in order; one, unless the run was told to keep going.
        texts: What each has to say, in the same order. The message is the only one, or their number.
        report: What the run did, failures included. It is always there.
    """

    report: Report

    def __init__(self, *, report: Report, failures: Iterable[StepResult]) -> None:
        self.failures = tuple(failures)
        self.texts = tuple(str(failure.failure) for failure in self.failures)
        several = len(self.texts) > 1
        super().__init__(f"{len(self.texts)} migrations failed" if several else self.texts[0], report=report)

    def __str__(self) -> str:
        return "\n\n".join(dict.fromkeys((self.message, *self.texts)))


class LoadError(FluxmigError):
    """Records do not fit the tables, or the database refused them. Nothing is loaded, but for batches before.

    Attributes:
        refusals: Which, and why; the last one is what ended the load.
        loaded: What the batches before have loaded, or None where there are none.
    """

    loaded: LoadReport | None = None

    def __init__(self, message: str, *, remedy: str | None = None, refusals: Iterable[Refusal] = ()) -> None:
        super().__init__(message, remedy=remedy)
        self.refusals = tuple(refusals)


class RollbackError(FluxmigError):
    """A down script failed, and changed nothing; or one is missing, or nothing is applied, and nothing ran.

    Attributes:
        names: The migrations in question.
        failure: Why the database refused the down script, if that is what went wrong; its text is part of
            the message.
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        names: Iterable[str] = (),
        failure: Failure | None = None,
        report: RollbackReport | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, report=report)
        self.names, self.failure = tuple(names), failure


class StoppedError(KeyboardInterrupt):
    """A signal has ended what was being done. No `except Exception` holds it up.

    Attributes:
        message: Which signal.
        remedy: What to do about it, or None.
        exit_code: 128 and the signal's number, as shells have it.
        report: As that of a `FluxmigError`.
        fleet: What was done with a fleet, where that was under way.
    """

    def __init__(self, number: int) -> None:
        import signal  # noqa: PLC0415  # seldom needed, and slow to load

        name = signal.Signals(number).name
        self.message = f"interrupted by {name}"
        self.exit_code = 128 + number
        self.remedy: str | None = None
        self.report: Report | RollbackReport | None = None
        self.fleet: FleetReport | None = None
        super().__init__(name)


def _restore(kind: type[FluxmigError], args: tuple[Any, ...], fields: dict[str, Any]) -> FluxmigError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error
