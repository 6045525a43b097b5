"""A folder of migrations, alone or beside a branch -> what is unsound about it. Pure: no file, no database.

An error is what a run would refuse, or what changes the history that databases may have. A warning is what a
run takes and people seldom mean; and what nobody could mend without changing that history: two files of one
number, or with names that differ in letter case only.
"""

from __future__ import annotations

import codecs
import io
import re
import string
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from fluxmig import script
from fluxmig.content import content
from fluxmig.layouts.numbered import encoding_problem, is_down, migration_of, number_of, sort_key
from fluxmig.model import FileProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from fluxmig.layouts.numbered import Folder
    from fluxmig.model import DownScript, Migration, Script
    from fluxmig.sql import Rules

__all__ = ["Base", "FileFinding", "FolderReport", "Level", "examine"]

_HEADER = re.compile(r"--[ \t]*(?P<key>Migration|Created|Description)[ \t]*:[ \t]*(?P<text>.*)")
_KEEP = "put the old text back, and write the change as a new migration"


class Level(StrEnum):
    """Whether a finding makes the folder unsound; a warning does only where one is strict."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class FileFinding:
    """Something wrong with a file of the folder, or with the folder itself.

    Attributes:
        level: Error or warning.
        kind: A word for programs: "unreadable", "refused", "orphan", "edited", "deleted", "renamed", "out of
            order", "number", "case", "copy", "empty", "directive", "header".
        path: The file, which may be gone; or the folder.
        message: A clause for people, whose subject is the file.
        line: Where in the file, from 1, or None.
        column: Likewise, in characters.
        remedy: The way out, or None.
    """

    level: Level
    kind: str
    path: Path
    message: str
    line: int | None = None
    column: int | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Base:
    """The folder as another branch has it: the bytes of each file by its name, None where git has no text.

    Attributes:
        ref: The branch, as a person calls it.
        start: At the commit where the present branch began.
        tip: At its newest commit.
    """

    ref: str
    start: Mapping[str, bytes | None]
    tip: Mapping[str, bytes | None]


@dataclass(frozen=True, slots=True)
class FolderReport:
    """What a check found.

    Attributes:
        folder: The folder.
        dialect: The database whose rules the files were read by.
        files: How many files were looked at.
        migrations: How many of them are migrations, and
        down_scripts: how many reverse one.
        findings: In the order of the files, and within a file of the lines.
        base: The branch that the folder was compared with, or None.
        new: The migrations that this branch does not have, in order.
        strict: Whether warnings count.
    """

    folder: Path
    dialect: str
    files: int
    migrations: int
    down_scripts: int
    findings: tuple[FileFinding, ...] = ()
    base: str | None = None
    new: tuple[str, ...] = ()
    strict: bool = False

    @property
    def ok(self) -> bool:
        """Whether the folder is sound."""
        return not (self.findings if self.strict else self.having(Level.ERROR))

    def having(self, level: Level) -> tuple[FileFinding, ...]:
        """The findings of that level, in order."""
        return tuple(finding for finding in self.findings if finding.level is level)


def examine(
    folder: Folder,
    dialect: str,
    rules: Rules,
    no_transaction_reason: Callable[[Sequence[str]], str | None],
    *,
    refusal: Callable[[Sequence[str]], tuple[str, str] | None] = lambda _: None,
    base: Base | None = None,
    strict: bool = False,
) -> FolderReport:
    """Everything that can be known of a folder without a database.

    Beside a branch, warnings are of what is not as that branch has it: the rest has to stay as it is.

    Args:
        folder: As `survey` gives it, with what cannot be read.
        dialect: The name of the database whose rules are the next two.
        rules: As for `script.prepare`.
        no_transaction_reason: As for `script.prepare`.
        refusal: As for `script.prepare`.
        base: The branch to compare with, if there is one.
        strict: Whether warnings count.
    """

    def prepare(path: Path, source: bytes, checksum: str = "") -> Script | FileProblem:
        name = migration_of(path.name)
        return script.prepare(name, path, checksum, source, rules, no_transaction_reason, refusal)

    findings = [_problem("unreadable", problem) for problem in folder.problems]
    findings += _orphans(folder)
    without_statement = set()
    for file in _files(folder):
        prepared = prepare(file.path, file.source, file.checksum)
        if isinstance(prepared, FileProblem):
            findings.append(_problem("refused", prepared))
            continue
        if not prepared.statements:
            without_statement.add(file.name)
            findings.append(_warning("empty", file.path, "holds no statement", remedy="is the SQL missing?"))
        findings += [_warning("directive", file.path, text) for text in prepared.warnings]
        findings += _header(file.path, file.source)
    against = _Comparison(folder, base, prepare) if base else None
    if against:
        findings += against.findings
    taken = {finding.path.name for finding in findings if finding.kind == "number"}
    findings += _names([migration.name for migration in folder.migrations], folder.path, taken)
    findings += _copies([m for m in folder.migrations if m.name not in without_statement])
    if not folder.migrations and not folder.problems:
        findings.append(
            _warning(
                "empty",
                folder.path,
                "holds no migration",
                remedy="`fluxmig create NAME` makes one, --migrations FOLDER names another folder",
            )
        )
    if against:
        findings = [
            found for found in findings if found.level is Level.ERROR or found.path.name not in against.theirs
        ]
    return FolderReport(
        folder.path,
        dialect,
        files=sum(1 for _ in _files(folder)) + len(folder.problems),
        migrations=len(folder.migrations),
        down_scripts=sum(migration.down is not None for migration in folder.migrations),
        findings=tuple(sorted(findings, key=_place)),
        base=base.ref if base else None,
        new=against.new if against else (),
        strict=strict,
    )


def _place(finding: FileFinding) -> tuple[object, ...]:
    """A down script comes behind its migration."""
    name, line, column = finding.path.name, finding.line or 0, finding.column or 0
    return sort_key(migration_of(name)), is_down(name), line, column, finding.level


def _files(folder: Folder) -> Iterator[Migration | DownScript]:
    for migration in folder.migrations:
        yield migration
        if migration.down:
            yield migration.down
    yield from folder.strays


def _problem(kind: str, problem: FileProblem) -> FileFinding:
    return FileFinding(
        Level.ERROR, kind, problem.path, problem.message, problem.line, problem.column, problem.remedy
    )


def _error(kind: str, path: Path, message: str, *, remedy: str) -> FileFinding:
    return FileFinding(Level.ERROR, kind, path, message, remedy=remedy)


def _warning(
    kind: str,
    path: Path,
    message: str,
    line: int | None = None,
    column: int | None = None,
    *,
    remedy: str | None = None,
) -> FileFinding:
    return FileFinding(Level.WARNING, kind, path, message, line, column, remedy)


# --- the folder alone -------------------------------------------------------------------------------------


def _orphans(folder: Folder) -> Iterator[FileFinding]:
    unread = {problem.path.name for problem in folder.problems}
    for stray in folder.strays:
        if (up := migration_of(stray.name)) not in unread:
            yield _error(
                "orphan", stray.path, f"reverses {up}, which is not there", remedy=f"rename it, or add {up}"
            )


def _names(names: Sequence[str], folder: Path, taken: Iterable[str]) -> Iterator[FileFinding]:
    """What the names say, one finding a file at most.

    Args:
        names: Of the migrations, in order.
        folder: Where they are.
        taken: Those of whose numbers enough is said.
    """
    seen: dict[str, str] = {}
    numbers: dict[int, str] = {}
    is_numbered = any(number_of(name) is not None for name in names)
    for name in names:
        number = number_of(name)
        # What macOS and Windows take for one name: there the folder has one of the two files.
        same = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        first = name if number is None else numbers.setdefault(number, name)
        if same != name:
            message = (
                f"has the name of {same} but for letter case, and some systems can have only one of them"
            )
            yield _warning("case", folder / name, message, remedy="rename the one that no database has")
        elif first != name and name not in taken:
            message = f"has the number of {first}, and their names decide the order"
            yield _warning("number", folder / name, message, remedy="renumber the one that no database has")
        elif number is None and is_numbered:
            message = "has no number, and runs after all that have one"
            yield _warning("number", folder / name, message, remedy="number it, unless a database has it")


def _copies(migrations: Iterable[Migration]) -> Iterator[FileFinding]:
    """Files with the text of another: most often one of them was renumbered, and came back in a merge."""
    first: dict[bytes, str] = {}
    for migration in migrations:
        if (original := first.setdefault(content(migration.source), migration.name)) != migration.name:
            message = f"has the same text as {original}"
            remedy = "remove the one that no database has; if both are meant, say why in a comment"
            yield _warning("copy", migration.path, message, remedy=remedy)


def _header(path: Path, source: bytes) -> Iterator[FileFinding]:
    """What is wrong with the lines that `create` begins a file with, where it has them."""
    comments: list[str] = []
    for line in io.BytesIO(source):
        if line.strip() and not line.lstrip().startswith(b"--"):
            break
        comments.append(line.decode().rstrip())
    for number, (comment, following) in enumerate(pairwise([*comments, ""]), 1):
        found = _HEADER.match(comment)
        if not found:
            continue
        key, text, column = found["key"], found["text"], found.start("text") + 1
        goes_on = not _HEADER.match(following) and bool(following.strip(" \t-="))
        if key == "Created" and not _is_iso(text):
            message = f"Created is not ISO 8601: {text!r}" if text else "Created is empty"
            remedy = "write it like 2026-01-05T09:30:00Z"
            yield _warning("header", path, message, number, column, remedy=remedy)
        elif not text and not goes_on:
            yield _warning("header", path, f"{key} is empty", number, column, remedy="say what it is for")


def _is_iso(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


# --- beside a branch --------------------------------------------------------------------------------------


class _Comparison:
    """The folder as it is on disk, beside the folder as a branch has it.

    What the present branch did is the difference to where it began. What the other branch did itself is not
    its doing, wherever it comes from: merged, rebased or picked.

    Attributes:
        theirs: The names of the files that are as the branch has them, or had when this one began.
        new: The migrations that are only here, in order.
        findings: What a run after the merge would refuse, miss, or do out of order.
    """

    def __init__(
        self, folder: Folder, base: Base, prepare: Callable[[Path, bytes], Script | FileProblem]
    ) -> None:
        self._folder, self._base, self._prepare = folder.path, base, prepare
        self._here = {file.name: file for file in _files(folder)}
        self._tip = sorted((name for name in base.tip if not is_down(name)), key=sort_key)
        unread = {problem.path.name for problem in folder.problems}
        # Where the other branch has removed a file itself, nothing is said.
        gone = sorted((base.start.keys() & base.tip.keys()) - self._here.keys() - unread, key=sort_key)
        self._gone = [name for name in gone if self._counts(name)]
        self.theirs = frozenset(name for name in self._here if self._is_theirs(name))
        ups = [name for name in self._here if name not in self.theirs and not is_down(name)]
        self.new = tuple(name for name in ups if name not in base.start)
        renamed = self._renamed()
        self.findings = [
            *(self._edited(name) for name in ups if name in base.start and self._counts(name)),
            *(self._missing(name, renamed) for name in self._gone),
            *(found for name in self.new if name not in renamed.values() for found in self._order(name)),
        ]

    def _is_theirs(self, name: str) -> bool:
        mine = content(self._here[name].source)
        versions = [side[name] for side in (self._base.start, self._base.tip) if name in side]
        return any(theirs is None or content(theirs) == mine for theirs in versions)

    def _counts(self, name: str) -> bool:
        """Whether a file where the branch began must stay as it is.

        What no run would have taken may be mended. A down script belongs to its migration, which tells.
        """
        source = self._base.start[name]
        if is_down(name):
            return migration_of(name) in self._here
        if source is None:
            return True
        path, text = self._folder / name, source.removeprefix(codecs.BOM_UTF8)
        return not encoding_problem(path, text) and not isinstance(self._prepare(path, text), FileProblem)

    def _renamed(self) -> dict[str, str]:
        """The new names of those that are gone from under their old ones."""
        names = defaultdict(list)
        for name in reversed(self.new):
            names[content(self._here[name].source)].append(name)
        found = {}
        for name in self._gone:
            text = content(self._base.start[name] or b"")
            if not is_down(name) and text.strip() and names[text]:
                found[name] = names[text].pop()
        return found

    def _edited(self, name: str) -> FileFinding:
        has = "has" if name in self._base.tip else "had"
        message = f"is edited, and {self._base.ref} {has} it: databases may have run the old text"
        return _error("edited", self._folder / name, message, remedy=_KEEP)

    def _missing(self, name: str, renamed: Mapping[str, str]) -> FileFinding:
        path, ref = self._folder / name, self._base.ref
        if name in renamed:
            message = f"is renamed to {renamed[name]}, and {ref} has it"
            return _error("renamed", path, message, remedy="give it its name back: databases know it by that")
        what = "it is the way back" if is_down(name) else "databases may have run it"
        return _error("deleted", path, f"is deleted, and {ref} has it", remedy=f"bring it back: {what}")

    def _order(self, name: str) -> Iterator[FileFinding]:
        """What keeps a new file from coming after all those of the other branch, one finding at most.

        A file without a number comes last for ever. Those of the other branch hold back what has none
        either, or no number could ever follow.
        """
        theirs, number, path, ref = self._tip, number_of(name), self._folder / name, self._base.ref
        remedy = _next_number(theirs)
        same = next((other for other in theirs if number is not None and number_of(other) == number), None)
        before = [other for other in theirs if number is None or number_of(other) is not None]
        if name in theirs:
            yield _error("number", path, f"is another file in {ref}", remedy=remedy)
        elif same:
            message = f"number {_digits(name)} is taken by {same} in {ref}"
            yield _error("number", path, message, remedy=remedy)
        elif before and sort_key(name) < sort_key(before[-1]):
            message = f"sorts before {before[-1]}, which {ref} has"
            yield _error("out of order", path, message, remedy=remedy)


def _next_number(names: Iterable[str]) -> str:
    """The advice to take a number behind those of all these files, with as many digits."""
    numbered = [name for name in names if number_of(name) is not None]
    if not numbered:
        return "rename it, so that it sorts last"
    digits = _digits(max(numbered, key=sort_key))
    return f"renumber it to {int(digits) + 1:0{len(digits)}d} or higher"


def _digits(name: str) -> str:
    """The leading number as it is written."""
    return name[: len(name) - len(name.lstrip(string.digits))]
