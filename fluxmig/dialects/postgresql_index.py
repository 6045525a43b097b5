"""Concurrent index builds that neither leave an invalid index behind nor take one for a good one.

A concurrent build that fails or is killed leaves an index that no query uses, that slows every write, and
whose name is taken (manual of version 18, CREATE INDEX, "Building Indexes Concurrently"). Run again, the
build finds a duplicate, or with IF NOT EXISTS finds nothing to do.
"""

from __future__ import annotations

import re
from collections import deque
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fluxmig import sql
from fluxmig.dialects.base import UnsoundError, identifier, send_as_is

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

__all__ = ["guarded", "invalid_index"]


class _Build(NamedTuple):
    """What a CREATE INDEX says. `schema` is None where the search path decides."""

    name: str | None
    schema: str | None
    table: str


class _Index(NamedTuple):
    """An index, as the catalog has it.

    Attributes:
        is_named: It has the name that was asked for.
        is_constraint: A constraint depends on it.
        definition: Its CREATE INDEX without its name.
        worker: Of an invalid one, the process that may be making it valid, or is dropping it.
    """

    oid: int
    schema: str
    name: str
    is_named: bool | None
    is_valid: bool
    is_constraint: bool
    definition: str
    worker: int | None

    @property
    def sql(self) -> str:
        return identifier(self.schema, self.name)

    @property
    def is_left_behind(self) -> bool:
        return not self.is_valid and not self.is_constraint and self.worker is None


# An index of relkind I belongs to a partitioned table: it is invalid while partitions lack theirs.
#
# A concurrent build holds ShareUpdateExclusiveLock on its table from beginning to end, on its index only now
# and then; any other REINDEX or DROP of an index holds as much or more on the index, until its transaction
# ends. VACUUM locks the table like a build, but is not in pg_stat_progress_create_index. Of other roles'
# processes that view shows the number and nothing else, and nothing at all without track_activities (27.4).
_INDEXES = """
SELECT indexrelid, nspname, pg_class.relname, pg_class.relname = CAST(:name AS pg_catalog.name),
    indisvalid AND indisready,
    EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conindid = indexrelid),
    pg_catalog.replace(pg_catalog.pg_get_indexdef(indexrelid),
        'INDEX ' || pg_catalog.quote_ident(pg_class.relname) || ' ON ', 'INDEX ON '),
    CASE WHEN NOT (indisvalid AND indisready) THEN (
        SELECT pg_catalog.min(pid) FROM pg_catalog.pg_locks
        WHERE granted AND locktype = 'relation' AND pid <> pg_catalog.pg_backend_pid()
            AND database = (
                SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
            AND mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
            AND (relation = indexrelid OR relation = indrelid AND (
                pid IN (SELECT pid FROM pg_catalog.pg_stat_progress_create_index)
                OR pg_catalog.current_setting('track_activities') = 'off'))
    ) END
FROM pg_catalog.pg_index
JOIN pg_catalog.pg_class ON pg_class.oid = indexrelid AND pg_class.relkind = 'i'
JOIN pg_catalog.pg_namespace ON pg_namespace.oid = pg_class.relnamespace
"""
# Names are cut to 63 bytes by the cast, as the server cuts them in the statement. Not by to_regclass: it
# fails where the role may not use the schema, and the statement shall say that itself.
_OF_TABLE = text(f"""{_INDEXES}
JOIN pg_catalog.pg_class AS owner ON owner.oid = indrelid AND owner.relname = CAST(:table AS pg_catalog.name)
WHERE CASE WHEN CAST(:schema AS pg_catalog.name) IS NULL THEN pg_catalog.pg_table_is_visible(indrelid)
    ELSE nspname = CAST(:schema AS pg_catalog.name) END
ORDER BY indexrelid""")
_INVALID = text(f"{_INDEXES} WHERE NOT (indisvalid AND indisready) ORDER BY indexrelid")

# REINDEX, "Rebuilding Indexes Concurrently": _ccnew is the unfinished one, to be dropped; _ccold is the old
# one where the new one has taken its place already, to be dropped as well. A number may follow.
_TRANSIENT = re.compile(r"_cc(?:new|old)\d*\Z")

_LOCK_TIMEOUT = text("SELECT pg_catalog.current_setting('lock_timeout')")
_SET_LOCK_TIMEOUT = text("SELECT pg_catalog.set_config('lock_timeout', :value, false)")

PATIENCE_MS = 2000
"""How long cleaning up after a failure waits for a lock: what held up the build may hold up this, too."""


@contextmanager
def guarded(
    connection: Connection, statement: str, tell: Callable[[str], None], *, again: bool = False
) -> Iterator[None]:
    """Runs a concurrent build of indexes in its body; no invalid index is left or taken for a good one.

    Before CREATE INDEX CONCURRENTLY, the invalid index that an earlier attempt left in its place is dropped;
    after it, the index is checked. Of a build without a name, a failure drops what it left, and success what
    earlier failures left; of REINDEX CONCURRENTLY, a failure drops what it left, and before it goes what one
    that was cut off has left. Around all else, this does nothing.

    Args:
        connection: In autocommit; the body sends the statement on it.
        statement: What the body sends.
        tell: Takes a note for people: what was dropped, or could not be.
        again: Whether an earlier attempt was cut off at this statement, by the end of the server say.

    Raises:
        UnsoundError: An invalid index stands in the way, before the statement; or is its result, after it.
    """
    match sql.words(statement, sql.POSTGRESQL, 16):
        case ("CREATE", "INDEX", "CONCURRENTLY", *_) | ("CREATE", "UNIQUE", "INDEX", "CONCURRENTLY", *_):
            build = _build(statement)
        case ("REINDEX", *words) if "CONCURRENTLY" in words:
            with _reindexing(connection, tell, again=again):
                yield
            return
        case _:
            build = None
    if build is None:
        yield
    elif build.name:
        with _building(connection, build, tell):
            yield
    else:
        with _building_unnamed(connection, build, tell, again=again):
            yield


def invalid_index(connection: Connection, statement: str) -> str | None:
    """The name of the invalid index that a CREATE INDEX would take for its own; else None.

    It has the statement's name and table, and no process is at work on it. Only reads; any statement may be
    asked about.
    """
    build = _build(statement)
    if build is None or build.name is None:
        return None
    index = _named(connection, build)
    return index.name if index and not index.is_valid and index.worker is None else None


# --- the guards -------------------------------------------------------------------------------------------


@contextmanager
def _building(connection: Connection, build: _Build, tell: Callable[[str], None]) -> Iterator[None]:
    index = _named(connection, build)
    if index and not index.is_valid:
        _refuse_if_in_use(index)
        _drop(connection, index, "of an earlier attempt", tell)
    yield
    index = _named(connection, build)
    if index and not index.is_valid:
        _refuse_if_in_use(index)
        raise _not_sound(index)


@contextmanager
def _building_unnamed(
    connection: Connection, build: _Build, tell: Callable[[str], None], *, again: bool
) -> Iterator[None]:
    def indexes() -> list[_Index]:
        return _of_table(connection, build)

    with _cleaning_up(connection, indexes, tell) as before:
        yield
    now = indexes()
    made = [index for index in now if index.oid not in before]
    for index in made:
        if index.is_left_behind:
            raise _not_sound(index)
    built = {index.definition: index for index in made if index.is_valid}
    for index in now:
        ours = built.get(index.definition)
        if ours is None or ours is index:
            continue
        if index.is_left_behind:
            dropped = _try_to_drop(connection, index, "of an earlier attempt", tell)
            if dropped and again and ours.name.removeprefix(index.name).isdigit():
                # The server would have chosen this name, if it had been free.
                send_as_is(connection, f"ALTER INDEX {ours.sql} RENAME TO {identifier(index.name)}")
        elif index.is_valid and again:
            tell(
                f'the index "{ours.name}" is the same as "{index.name}": if that is of the attempt that was'
                " cut off, drop one of them"
            )


@contextmanager
def _reindexing(connection: Connection, tell: Callable[[str], None], *, again: bool) -> Iterator[None]:
    def indexes() -> list[_Index]:
        rows = connection.execute(_INVALID, {"name": None})
        return [index for index in map(_Index._make, rows) if _TRANSIENT.search(index.name)]

    for index in indexes() if again else ():
        if index.is_left_behind:
            _try_to_drop(connection, index, "of an earlier attempt", tell)
    with _cleaning_up(connection, indexes, tell) as before:
        yield
    for index in indexes():
        if index.oid not in before and index.is_left_behind:
            raise UnsoundError(
                f'the invalid index "{index.name}" is left behind', f"DROP INDEX CONCURRENTLY {index.sql}"
            )


@contextmanager
def _cleaning_up(
    connection: Connection, indexes: Callable[[], list[_Index]], tell: Callable[[str], None]
) -> Iterator[set[int]]:
    """The indexes there are before; if the body fails, invalid ones that came since are dropped.

    As far as that can be done: the first error goes on in any case.
    """
    before = {index.oid for index in indexes()}
    try:
        yield before
    except Exception:
        with suppress(SQLAlchemyError), _impatient(connection):
            for index in indexes():
                if index.oid not in before and index.is_left_behind:
                    _try_to_drop(connection, index, "of this attempt", tell)
        raise


@contextmanager
def _impatient(connection: Connection) -> Iterator[None]:
    before = connection.scalar(_LOCK_TIMEOUT)
    connection.execute(_SET_LOCK_TIMEOUT, {"value": str(PATIENCE_MS)})
    try:
        yield
    finally:
        connection.execute(_SET_LOCK_TIMEOUT, {"value": before})


# --- indexes ----------------------------------------------------------------------------------------------


def _of_table(connection: Connection, build: _Build) -> list[_Index]:
    return [_Index._make(row) for row in connection.execute(_OF_TABLE, build._asdict())]


def _named(connection: Connection, build: _Build) -> _Index | None:
    return next((index for index in _of_table(connection, build) if index.is_named), None)


def _refuse_if_in_use(index: _Index) -> None:
    """Raises where dropping an invalid index could cost somebody work.

    Waiting for the process would be no use: it waits for everyone with a snapshot, and a DROP that waits for
    its lock has one. The server ends that deadlock by an error.
    """
    if index.worker is not None:
        raise UnsoundError(
            f'the index "{index.name}" is invalid, and process {index.worker} is building or changing'
            " an index of its table",
            "wait until that is done, and run again",
        )
    if index.is_constraint:
        raise UnsoundError(
            f'the index "{index.name}" is invalid, and a constraint depends on it',
            f"REINDEX INDEX CONCURRENTLY {index.sql}, and run again",
        )


def _not_sound(index: _Index) -> UnsoundError:
    return UnsoundError(
        f'the index "{index.name}" is there, but invalid',
        f"DROP INDEX CONCURRENTLY {index.sql}, and run again",
    )


def _drop(connection: Connection, index: _Index, origin: str, tell: Callable[[str], None]) -> None:
    command = f"DROP INDEX CONCURRENTLY {index.sql}"
    try:
        send_as_is(connection, command)
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        raise UnsoundError(
            f'the invalid index "{index.name}" {origin} cannot be dropped: {reason}',
            f"drop it by hand, or mend it with REINDEX INDEX CONCURRENTLY {index.sql}, and run again",
        ) from error
    tell(f'the invalid index "{index.name}" {origin} was dropped')


def _try_to_drop(connection: Connection, index: _Index, origin: str, tell: Callable[[str], None]) -> bool:
    """Whether it could be dropped, where the statement's own outcome does not depend on it."""
    try:
        _drop(connection, index, origin, tell)
    except UnsoundError as error:
        tell(error.message)
        return False
    return True


# --- the statement ----------------------------------------------------------------------------------------


def _build(statement: str) -> _Build | None:
    """What a CREATE INDEX says; None of any other statement, and of one that the server will not take."""
    if "INDEX" not in sql.words(statement, sql.POSTGRESQL, 3):  # as nearly always, and read no further
        return None
    rest = deque(sql.tokens(statement, sql.POSTGRESQL, 32))

    def skip(*words: str) -> bool:
        found = tuple(token.upper() for token in islice(rest, len(words))) == words
        for _ in words if found else ():
            rest.popleft()
        return found

    def name() -> str | None:
        if not skip("U", "&"):
            return sql.unquoted(rest.popleft()) if rest else None
        quoted = sql.unquoted(rest.popleft()) if rest else None
        escape = rest.popleft()[1:-1] if skip("UESCAPE") and rest else "\\"
        return _unescaped(quoted, escape) if quoted else None

    if not skip("CREATE"):
        return None
    skip("UNIQUE")
    if not skip("INDEX"):
        return None
    skip("CONCURRENTLY")
    skip("IF", "NOT", "EXISTS")
    index = None
    if not skip("ON"):
        index = name()
        if index is None or not skip("ON"):
            return None
    skip("ONLY")
    skip("(")
    path = [name()]
    while skip("."):
        path.append(name())
    return _Build(index, path[-2] if len(path) > 1 else None, path[-1]) if path[-1] else None


def _unescaped(name: str, escape: str) -> str:
    r"""A name written as U&"..." (4.1.2.3): \0061 and \+000061 are a, \D83D\DE00 is one character."""
    mark = re.escape(escape)
    code = re.compile(rf"{mark}(?:([\dA-Fa-f]{{4}})|\+((?:0[\dA-Fa-f]|10)[\dA-Fa-f]{{4}})|{mark})", re.ASCII)

    def character(found: re.Match[str]) -> str:
        digits = found[1] or found[2]
        return chr(int(digits, 16)) if digits else escape

    return code.sub(character, name).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
