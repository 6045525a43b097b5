"""Files + ledger + dialect -> what would be done, with every script made ready, or refused. Pure.

What the catalog knows is asked by a function that is given. What only some plans need is loaded by these.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fluxmig import model, planner, script
from fluxmig.errors import LedgerError, MigrationFileError
from fluxmig.files import prepared
from fluxmig.model import (
    Condition,
    Event,
    FileProblem,
    Finding,
    OnDuplicate,
    Plan,
    Script,
    State,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fluxmig.dialects import Dialect
    from fluxmig.foresight import Duplicate
    from fluxmig.layouts.numbered import Folder
    from fluxmig.ledger import Snapshot
    from fluxmig.model import (
        Adoption,
        DownScript,
        Migration,
        MigrationStatus,
        RedoPlan,
        RollbackReport,
    )
    from fluxmig.objects import Existing

__all__ = ["Preparation"]


@dataclass(frozen=True, slots=True)
class Preparation:
    """A folder beside what the ledger and the log hold.

    Attributes:
        folder: The files.
        snapshot: Both tables, read for these files.
        dialect: Whose rules the scripts follow.
        prepare: What makes one file ready.
        statuses: Every migration in either, in the order of the files.
    """

    folder: Folder
    snapshot: Snapshot
    dialect: Dialect
    prepare: Callable[[str, Migration | DownScript, Dialect], Script | FileProblem] = prepared
    statuses: tuple[MigrationStatus, ...] = field(init=False)

    def __post_init__(self) -> None:
        now = self.snapshot
        statuses = planner.statuses(
            self.folder.migrations, now.records, now.last_events, now.progress, now.texts
        )
        object.__setattr__(self, "statuses", statuses)

    # --- what would be done -------------------------------------------------------------------------------

    def plan(self, selection: planner.Selection, refused: frozenset[str]) -> Plan:
        """What to run, everything split and checked.

        Args:
            selection: Which of the pending ones.
            refused: The kinds of findings that stop a run.

        Raises:
            ConfigError: The selection names what is not there.
            LedgerError: A finding is refused, or an earlier attempt's progress cannot be built upon.
            MigrationFileError: A file cannot be run.
        """
        todo = planner.select(self.statuses, selection)
        found = planner.findings(self.statuses, todo)
        for finding in found:
            if finding.kind in refused:
                raise LedgerError(finding.message, remedy=finding.remedy, names=finding.names)
        scripts = _sound(self.scripts(todo))
        _refuse_to_run_again(found, scripts)
        restart = planner.to_restart(self.statuses, todo, selection)
        ready = []
        for item in scripts:
            progress = None if item.name == restart else self.snapshot.progress.get(item.name)
            ready.append(script.resumed(item, progress, self.dialect.repeatable))
        restarts = frozenset({restart} if restart else ())
        return Plan(tuple(ready), (*self.folder.findings, *found, *_of_files(ready)), restarts)

    def duplicates(self, plan: Plan, policy: OnDuplicate, existing: Existing) -> tuple[Finding, ...]:
        """What a plan would hit that is there already, where that can be seen without writing."""
        from fluxmig.foresight import foreseen  # noqa: PLC0415

        policies = {each.name: each.on_duplicate or policy for each in plan.scripts}
        attempted = self.snapshot.progress.keys()  # what was begun is not marked for what it finds
        return tuple(
            _foreseen(found, policies[found.script], is_begun=found.script in attempted)
            for found in foreseen(plan.scripts, self.dialect.rules, existing)
        )

    def way_back(
        self, steps: int | None, to: str | None, *, record_only: bool
    ) -> tuple[RollbackReport, list[Script | None]]:
        """What to take back, newest first, and the down script of each made ready; None to run none."""
        chosen, behind = planner.to_take_back(self.statuses, steps, to)
        scripts: list[Script] = []
        findings: tuple[Finding, ...] = ()
        if not record_only:
            planner.refuse_without_down(
                chosen, otherwise=", or `--record-only` removes the records and reverses nothing"
            )
            scripts = self._downs(chosen)
            findings = (*planner.of_reversal(self.statuses, chosen), *_of_files(scripts))
        results = tuple(model.RollbackResult(status.name, reversed=not record_only) for status in chosen)
        return model.RollbackReport(results, findings, behind), [*scripts] or [None] * len(chosen)

    def redo(self, name: str | None) -> RedoPlan:
        """Both scripts of the migration to redo, the last one applied by default."""
        chosen = planner.to_redo(self.statuses, name)
        (down,) = self._downs((chosen,))
        (up,) = _sound(self.scripts([chosen.migration] if chosen.migration else []))
        dialect = self.dialect
        apart = planner.apart(
            down,
            up,
            product=dialect.product,
            has_transactional_ddl=dialect.has_transactional_ddl,
            has_savepoints=dialect.table_style.has_savepoints,
        )
        later = planner.applied_after(self.statuses, chosen.name)
        odd = [finding for finding in planner.of_reversal((), (chosen,)) if finding.kind == "marked"]
        return model.RedoPlan(down, up, apart, later, (*odd, *_of_files((down, up))))

    # --- what is there ------------------------------------------------------------------------------------

    def absent(self, existing: Existing) -> tuple[Finding, ...]:
        """What applied migrations have made that is not there.

        Of one that was marked for a duplicate, nothing was made. Of one that has changed since, that is half
        taken back, or that a person has settled, only what it removes is looked at.
        """
        from fluxmig import presence  # noqa: PLC0415

        settled = {Event.MARKED_BY_HAND, Event.RESOLVED}
        by_name = {status.name: status for status in self.statuses if not _is_marked(status)}
        applied = [by_name[record.name] for record in self.snapshot.records if record.name in by_name]
        partial_ones = [status for status in by_name.values() if Condition.PARTIAL in status.conditions]
        files = []
        for status in (*applied, *partial_ones):
            is_settled = status.last_event is not None and status.last_event.event in settled
            is_odd = bool({Condition.MODIFIED, Condition.PARTIAL} & set(status.conditions))
            checked = not (is_settled or is_odd or status.down_progress)
            files.append(presence.Applied(status.name, self._readable(status, by_name), is_checked=checked))
        return presence.absent(files, self.dialect.rules, existing)

    def adoptions(self, existing: Existing) -> tuple[Adoption, ...]:
        """What the database has of each pending migration, in the order of the files.

        Of one that was marked for a duplicate, nothing was made and nothing removed.

        Raises:
            MigrationFileError: A pending file cannot be read as a migration.
        """
        from fluxmig.adopt import Candidate, adoptions  # noqa: PLC0415

        files = []
        problems = []
        for status in self.statuses:
            if _is_marked(status):
                continue
            item = self._script(status.name, status.migration) if status.migration else None
            if isinstance(item, FileProblem) and status.state is State.PENDING:
                problems.append(item)
            ready = item if isinstance(item, Script) else None
            progress = status.progress if Condition.PARTIAL in status.conditions else None
            done = progress.done if progress else None
            files.append(Candidate(status.name, ready, status.state is State.APPLIED, done))
        if problems:
            raise MigrationFileError(problems)
        return adoptions(files, self.dialect.rules, existing)

    # --- scripts ------------------------------------------------------------------------------------------

    def readable(self) -> list[Script]:
        """The pending files that can be run."""
        return [item for item in self.scripts(planner.pending(self.statuses)) if isinstance(item, Script)]

    def unreadable(self) -> list[Finding]:
        """The pending files that cannot be run."""
        return [
            Finding("files", str(replace(item, remedy=None)), (item.path.name,), item.remedy)
            for item in self.scripts(planner.pending(self.statuses))
            if isinstance(item, FileProblem)
        ]

    def scripts(self, migrations: Iterable[Migration]) -> list[Script | FileProblem]:
        """The files made ready, each, or why it cannot be run."""
        return [self._script(migration.name, migration) for migration in migrations]

    def _script(self, name: str, file: Migration | DownScript) -> Script | FileProblem:
        return self.prepare(name, file, self.dialect)

    def _downs(self, chosen: Iterable[MigrationStatus]) -> list[Script]:
        """The down scripts of these, made ready, to go on behind what an earlier attempt has done."""
        pairs = [(status.name, status.migration.down) for status in chosen if status.migration]
        scripts = _sound(self._script(name, down) for name, down in pairs if down)
        progress, repeatable = self.snapshot.progress, self.dialect.repeatable
        return [script.resumed(each, progress.get(each.path.name), repeatable) for each in scripts]

    def _readable(self, status: MigrationStatus, by_name: Mapping[str, MigrationStatus]) -> Script | None:
        """The file of a migration, also under a new name; None where it is missing or cannot be read."""
        file = status.migration
        if not file and len(status.renamed_to) == 1:
            file = by_name[status.renamed_to[0]].migration
        item = self._script(status.name, file) if file else None
        return item if isinstance(item, Script) else None


def _refuse_to_run_again(findings: Iterable[Finding], scripts: Iterable[Script | FileProblem]) -> None:
    """Raises `LedgerError` where a script has run already, under another name, and has a statement."""
    about = {item.name for item in scripts if isinstance(item, Script) and item.statements}
    refused = [found for found in findings if found.kind == "renamed" and not about.isdisjoint(found.names)]
    if refused:
        messages = [found.message for found in refused]
        several = "`fluxmig rename OLD NEW` mends the ledger; `fluxmig unmark OLD` if it shall run again"
        raise LedgerError(
            "would run a second time: " + "\n".join(messages),
            remedy=refused[0].remedy if len(refused) == 1 else several,
            names=[name for found in refused for name in found.names],
        )


def _is_marked(status: MigrationStatus) -> bool:
    """Whether it is recorded for a duplicate, so that nothing of it has run."""
    event = status.last_event
    return status.record is not None and event is not None and event.event is Event.MARKED


def _of_files(scripts: Iterable[Script]) -> list[Finding]:
    """What is odd about files that are about to run."""
    scripts = tuple(scripts)
    names = tuple(item.path.name for item in scripts if not item.statements)
    found = []
    if names:
        found.append(
            Finding("empty", f"holds no statement: {', '.join(names)}", names, "is the SQL missing?")
        )
    for item in scripts:
        name = item.path.name
        found += [Finding("directive", f"{name}: {text}", (name,)) for text in item.warnings]
    return found


def _foreseen(found: Duplicate, policy: OnDuplicate, *, is_begun: bool) -> Finding:
    where = f"{found.script}:{found.statement.line}: {found.created}"
    if found.made_by:
        maker, statement = found.made_by
        message = f"{where} is made before, by {maker}:{statement.line}"
    else:
        message = f"{where} is there already"
    remedy = "the file would fail"
    if policy is OnDuplicate.COMPLETE:
        remedy = "the statement would be passed over"
    elif policy is not OnDuplicate.FAIL and not is_begun:
        remedy = "the file would be rolled back and marked as applied"
        remedy += ", if nothing is lost by that" if policy is OnDuplicate.VERIFY else ""
    return Finding("duplicate", message, (found.script,), remedy)


def _sound(scripts: Iterable[Script | FileProblem]) -> list[Script]:
    """The scripts; raises `MigrationFileError` where one cannot be run, for all that cannot."""
    found = list(scripts)
    if problems := [each for each in found if isinstance(each, FileProblem)]:
        raise MigrationFileError(problems)
    return [each for each in found if isinstance(each, Script)]
