"""Files + what is there -> which of them a database has already, though its ledger does not say so. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fluxmig.model import Adoption, AdoptionKind
from fluxmig.objects import ALL, Effect, effects, is_of_session, only_reads
from fluxmig.presence import Removals, in_words, sights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fluxmig import sql
    from fluxmig.model import Script, Statement
    from fluxmig.objects import Created, Existing
    from fluxmig.presence import Sight

__all__ = ["Candidate", "adoptions"]

_NAMED: Final = 2
"""Objects that a reason names before it says how many more there are."""
_WIDTH: Final = 40
"""Characters that a reason shows of a statement."""

# What files share: it may be there before any of them, and says nothing of the rest of a file.
_SHARED: Final = frozenset({"schema", "extension", "role"})
_UNKNOWN: Final = Effect(removes=frozenset((ALL,)))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A migration of the folder, or one that the ledger has.

    Attributes:
        name: Its name.
        script: The file; None where it is missing, or cannot be read.
        is_applied: Whether the ledger has it.
        done: Of a partial one, how many of its statements are done; else None.
    """

    name: str
    script: Script | None
    is_applied: bool = False
    done: int | None = None


def adoptions(
    files: Sequence[Candidate],
    rules: sql.Rules,
    existing: Existing,
) -> tuple[Adoption, ...]:
    """What each pending file comes to, in the order of the files.

    What is not there may have been there, and have been removed by a file further down: by one that the
    ledger has, or by a pending one, unless nothing of that is there either.

    Args:
        files: In their order, those that are applied among them.
        rules: The database's.
        existing: What the database has of these objects; asked once, or not at all.
    """
    pending = [file for file in files if file.script and not file.is_applied]
    seen = sights([file.script for file in pending if file.script], rules, existing)
    seen_of = {file.name: sight for file, sight in zip(pending, seen, strict=True)}
    plans = [list(effects(file.script, rules)) if file.script else [(0, _UNKNOWN)] for file in files]
    removals = Removals([(file.script, plan) for file, plan in zip(files, plans, strict=True) if file.script])
    found: list[Adoption] = []
    for place in reversed(range(len(files))):
        file = files[place]
        if file.script and not file.is_applied:
            adoption = _adoption(file, file.script, seen_of[file.name], rules, _Later(removals, place, files))
            found.append(adoption)
            if adoption.kind is AdoptionKind.ABSENT:  # it never ran, and so has removed nothing
                continue
        for _, effect in plans[place]:
            removals.note(effect, place)
    return tuple(reversed(found))


@dataclass(frozen=True, slots=True)
class _Later:
    """The files behind a place."""

    removals: Removals
    place: int
    files: Sequence[Candidate]

    def remover(self, created: Created) -> str | None:
        """The first that may have removed an object, or None."""
        gone = self.removals.since(created, self.place)
        return self.files[min(gone.values())].name if gone else None


def _adoption(
    file: Candidate, script: Script, seen: Sequence[Sight], rules: sql.Rules, later: _Later
) -> Adoption:
    there = [each for sight in seen for each in sight.there]
    removed = {each: name for sight in seen for each in sight.absent if (name := later.remover(each))}
    absent = [each for sight in seen for each in sight.absent if each not in removed]
    own = [each for sight in seen for each in sight.there if not _is_shared(each, sight)]
    taken = [each for sight in seen for each in sight.taken if each not in removed]
    kind, reason = AdoptionKind.UNKNOWN, ""
    if not script.statements:
        reason = "holds no statement"
    elif file.done is not None:
        done = "1 of its statements is" if file.done == 1 else f"{file.done or 'none'} of its statements are"
        reason = f"partial: {done} known to be done; settle it with `fluxmig resolve`"
    elif absent and (own or taken):
        kind = AdoptionKind.CONFLICT
        reason = f"{_named(own)} there, {_named(absent)} not" if own else f"{_named(absent)} not there"
        reason += f"; another object has the name of {in_words(taken)[0]}" if taken else ""
    elif absent:
        kind, reason = AdoptionKind.ABSENT, f"{_named(absent)} not there"
    elif removed:
        gone = next(iter(removed))
        reason = f"{gone} is not there, and {removed[gone]} may have removed it"
    elif unseen := _unseen(script, seen, rules):
        reason = f"{'what it makes is there; ' if there else ''}{_in_words(unseen)} cannot be seen"
    elif there:
        kind, reason = AdoptionKind.EXISTS, f"{_named(there)} there"
    else:
        reason = "makes nothing that could be looked for"
    return Adoption(file.name, kind, reason, in_words(there), in_words((*absent, *removed)))


def _is_shared(created: Created, sight: Sight) -> bool:
    return sight.effect.perhaps and created.kind in _SHARED


def _unseen(script: Script, seen: Sequence[Sight], rules: sql.Rules) -> list[Statement]:
    """The statements of which cannot be told whether they have been run."""
    told = {sight.statement.number for sight in seen if sight.exists}
    return [
        statement
        for statement in script.statements
        if statement.number not in told
        and not is_of_session(statement.sql, rules)
        and not only_reads(statement.sql, rules)
    ]


def _in_words(statements: Sequence[Statement]) -> str:
    first = statements[0].first_line
    shown = first if len(first) <= _WIDTH else f"{first[: _WIDTH - 1]}…"
    more = f" and {len(statements) - 1} more" if len(statements) > 1 else ""
    return f"the effect of line {statements[0].line} ({shown}){more}"


def _named(objects: Sequence[Created]) -> str:
    """The objects, and the verb that goes with them."""
    words = list(in_words(objects))
    named = words[:_NAMED]
    if more := len(words) - len(named):
        named.append(f"{more} more")
    joined = " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))
    return f"{joined} {'is' if len(words) == 1 else 'are'}"
