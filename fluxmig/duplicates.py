"""A statement whose object is there already: whether that is so, and a script without such statements."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from fluxmig import sql
from fluxmig.objects import created, is_soft, makes_one, named_constraints
from fluxmig.sending import RefusedError, send_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy import Connection

    from fluxmig.dialects import Dialect
    from fluxmig.dialects.base import ServerError
    from fluxmig.model import Lost, Script, Statement
    from fluxmig.objects import Created
    from fluxmig.presence import Watch
    from fluxmig.sending import Observer

__all__ = ["Skipping", "makes_again", "refuted", "there_already", "with_remedy", "would_be_lost"]

_DATA = frozenset({b"INSERT", b"UPDATE", b"DELETE", b"MERGE", b"COPY", b"WITH", b"TRUNCATE"})
"""Verbs of statements that create nothing."""

_BARE = _DATA | {b"SET", b"SAVEPOINT", b"RELEASE", b"ROLLBACK"}
"""Verbs of statements that need no savepoint around, or must not have one: releasing it would release the
script's own, and SET TRANSACTION DEFERRABLE is refused inside."""


def refuted(
    dialect: Dialect, connection: Connection, script: Script, statement: Statement, server: ServerError
) -> str | None:
    """Why a duplicate is none: nothing was there before the script, or it does not work. None: it is one.

    Asked when nothing of the script is there: where it has not begun, or is rolled back. The reason may be
    empty, where the server's message says all.
    """
    if sql.words(statement.sql, dialect.rules, 1)[0].encode() in _DATA:
        return "This is a fault of the statement, and no object that was there before."
    if is_soft(statement.sql, dialect.rules):
        return "IF NOT EXISTS and OR REPLACE never meet the object itself: this is another, or a fault."
    if broken := dialect.broken_duplicate(connection, statement.sql):
        return broken
    made = created(statement.sql, dialect.rules)
    found = dialect.existing(connection, made) if made else {}
    # What the script sets may have it look for names elsewhere than this connection does.
    is_sure = all(each.is_qualified for each in made) or not dialect.may_change_session(script)
    if made and is_sure and all(each in found and not found[each].is_taken for each in made):
        return (
            _of_another_table(dialect, connection, statement)
            or "Nothing like it was there before: the file makes it twice."
        )
    return "" if not made and server.code in dialect.doubtful_duplicates else None


def _of_another_table(dialect: Dialect, connection: Connection, statement: Statement) -> str | None:
    """Of a new table: the constraint whose name another table has taken, where names are the database's."""
    named = named_constraints(statement.sql, dialect.rules)
    found = dialect.existing(connection, named) if named else {}
    taken = next((each.name for each in named if each in found and found[each].is_taken), None)
    return taken and f"Another table has a constraint {taken}: choose another name for this one."


def makes_again(dialect: Dialect, script: Script, statement: Statement) -> bool:
    """Whether a statement makes what one before it has made; it may have been there before both."""
    made = created(statement.sql, dialect.rules)
    return bool(made) and not _made_by_first(dialect, script, statement.number - 1).isdisjoint(made)


def _made_by_first(dialect: Dialect, script: Script, count: int) -> set[Created]:
    """What the first statements of a script make."""
    return {
        each
        for place in range(count)
        if sql.first_word(script.source, script.statements.start(place)) not in _BARE
        for each in created(script.statements[place].sql, dialect.rules)
    }


def would_be_lost(
    dialect: Dialect, connection: Connection, script: Script, lost: tuple[Lost, ...]
) -> Iterator[Lost]:
    """Of the statements that a mark loses, those that are no duplicates, in order.

    Of what the catalog cannot tell, CREATE is tried, where what it makes can be rolled back.
    """
    for each in lost:
        verb = sql.words(each.statement.sql, dialect.rules, 1)[0]
        if each.exists or (
            each.exists is None
            and verb == "CREATE"
            and dialect.table_style.ddl_in_savepoints
            and makes_one(each.statement.sql, dialect.rules)
            and _is_refused(dialect, connection, script, each.statement)
        ):
            continue
        yield each


def _is_refused(dialect: Dialect, connection: Connection, script: Script, statement: Statement) -> bool:
    """Whether the server calls the statement a duplicate; nothing of it stays."""
    with connection.begin_nested() as trial:
        try:
            with connection.begin_nested():
                send_statement(dialect, connection, script, statement)
        except RefusedError as refused:
            return (
                dialect.is_duplicate(refused.server)
                and refused.server.code not in dialect.doubtful_duplicates
            )
        trial.rollback()
    return False


@dataclass(frozen=True, slots=True)
class Skipping:
    """Sends the statements of one script, and passes over those whose object was there before it.

    Attributes:
        dialect: What the database can do.
        script: What they belong to.
        watch: What can be seen of them.
        own_tables: Those of fluxmig itself, which are never passed over.
        tell: Hears what is passed over.
        skipped: The statements passed over so far, in order.
        observer: Who watches the others run, or nobody.
    """

    dialect: Dialect
    script: Script
    watch: Watch
    own_tables: frozenset[str]
    tell: Callable[[str], None]
    skipped: list[Statement] = field(default_factory=list)
    observer: Observer | None = None
    _made: set[Created] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._made.update(_made_by_first(self.dialect, self.script, self.script.done))

    def send(self, connection: Connection, statement: Statement) -> None:
        """Runs a statement under a savepoint, or passes over it; raises as `send_statement` does."""
        bare = sql.first_word(self.script.source, statement.start) in _BARE
        plain = bare or not self.dialect.table_style.ddl_in_savepoints
        try:
            with nullcontext() if plain else connection.begin_nested():
                send_statement(self.dialect, connection, self.script, statement, observer=self.observer)
        except RefusedError as refused:
            self.skip(connection, statement, refused)
        else:
            self.note(statement)

    def note(self, statement: Statement) -> None:
        """Keeps what a statement that has run has made: the file must not make it again."""
        if sql.first_word(self.script.source, statement.start) not in _BARE:
            self._made.update(created(statement.sql, self.dialect.rules))

    def skip(self, connection: Connection, statement: Statement, refused: RefusedError) -> None:
        """Passes over a statement that was refused, or raises why it cannot be passed over."""
        server = refused.server
        if not self.dialect.is_duplicate(server) or server.object in self.own_tables:
            raise refused
        made = created(statement.sql, self.dialect.rules)
        if not self._made.isdisjoint(made):
            raise with_remedy(refused, "The file makes it twice.")
        if (why := refuted(self.dialect, connection, self.script, statement, server)) is not None:
            raise with_remedy(refused, why)
        ask = partial(self.dialect.existing, connection)
        if lost := self.watch.missing(statement, self.dialect.rules, ask):
            raise with_remedy(refused, lost)
        self.skipped.append(statement)
        self.tell(f"statement {statement.number} is passed over, {server.message}: {statement.first_line}")


def there_already(numbers: Iterable[int]) -> str:
    """What the log says of statements that were passed over."""
    return f"statements that were there already: {', '.join(map(str, numbers))}"


def with_remedy(refused: RefusedError, remedy: str) -> RefusedError:
    """The refusal with another way out, unless that is empty."""
    again = RefusedError(replace(refused.failure, remedy=remedy or refused.failure.remedy), refused.server)
    again.__cause__ = refused.__cause__
    return again
