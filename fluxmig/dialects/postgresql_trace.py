"""What PostgreSQL does for a statement: its locks from pg_locks, its work from the catalog and the counters.

It is asked on the same session where there is a transaction: what that has made, no other sees. What runs
outside of one gives its locks back at its end, so a second session looks on meanwhile, as often as it can.

The file numbers of tables change when they are rewritten (52.11, pg_class.relfilenode); a table that is read
as a whole to check a constraint counts as a scan (27.2, pg_stat_xact_all_tables).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from fluxmig import sql
from fluxmig.dialects.postgresql_look import Look
from fluxmig.dialects.tracing import Seen, Tracer
from fluxmig.trace import Lock, LockMode, TableSize, Work, WorkKind

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from fluxmig.model import Script, Statement
    from fluxmig.trace import StatementTrace

__all__ = ["PostgreSQLTracer", "sizes"]

_KINDS: Final = {
    "r": "table",
    "p": "table",
    "m": "materialized view",
    "v": "view",
    "f": "foreign table",
    "S": "sequence",
    "i": "index",
    "I": "index",
}
"""By pg_class.relkind; TOAST tables and composite types nobody names in a statement."""
_MODES: Final = {f"{mode.value.title().replace(' ', '')}Lock": mode for mode in LockMode}
"""As pg_locks writes them, `AccessExclusiveLock`."""

_MANY: Final = 100
"""Statements of a file that are worth asking about, where nothing was there before that could be locked."""

# Numbers below 16384 are those of the cluster itself (FirstNormalObjectId).
_NAME = "CASE n.nspname WHEN 'public' THEN c.relname::text ELSE n.nspname || '.' || c.relname END"
_OF_A_RELATION = """
    c.oid::int8, {name},
    c.relkind::text, pg_catalog.pg_relation_filenode(c.oid)::int8, i.indrelid::int8,
    pg_catalog.pg_stat_get_xact_numscans(c.oid), pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid),
    CASE WHEN {columns} THEN (
        SELECT pg_catalog.array_agg(
            a.attnum || ' '
            || CASE WHEN a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' THEN '!' ELSE '.' END
            || a.attname ORDER BY a.attnum
        )
        FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ) END
"""
_RELATIONS = """
SELECT {facts} FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'v', 'f', 'S', 'i', 'I') AND n.nspname <> 'pg_toast'
"""
_ALL = _RELATIONS.format(facts=_OF_A_RELATION.format(name=_NAME, columns="c.relkind IN ('r', 'p')"))
_ALL_BUT_COLUMNS = _RELATIONS.format(facts=_OF_A_RELATION.format(name=_NAME, columns="false"))
_REQUIRED: Final = "!"
"""Before the name of a column that is NOT NULL and gets no value by itself; before others a full stop."""

_LOCKED = """
SELECT l.relation::int8, l.mode, l.virtualtransaction, {facts} FROM pg_catalog.pg_locks AS l
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
WHERE l.pid = pg_catalog.pg_backend_pid() AND l.granted AND (l.locktype = 'virtualxid'
    OR l.locktype = 'relation' AND l.relation::int8 >= 16384 AND l.relation::int8 <> ALL (%(own)s::int8[])
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
    AND (c.oid IS NULL OR c.relkind IN ('r', 'p', 'm', 'v', 'f', 'S', 'i', 'I') AND n.nspname <> 'pg_toast')
ORDER BY l.relation::int8 NULLS FIRST, l.mode <> 'AccessExclusiveLock' DESC, l.mode
"""
_HELD = _LOCKED.format(
    facts=_OF_A_RELATION.format(
        name=_NAME, columns="l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p')"
    )
)
_COUNTED = """
SELECT {name}, c.reltuples::int8,
    (c.relpages + coalesce(t.relpages, 0))::int8 * pg_catalog.current_setting('block_size')::int8
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid
WHERE c.oid >= 16384 AND c.relkind IN ('r', 'm') AND c.reltuples > 0
"""
_SIZES = _COUNTED.format(name=_NAME)


@dataclass(frozen=True, slots=True)
class _Relation:
    """A row of pg_class, and what belongs to it."""

    oid: int
    name: str
    kind: str
    file: int | None
    table: int | None
    scans: int
    inserted: int
    columns: Mapping[str, str] | None

    @classmethod
    def of(cls, row: Sequence[Any]) -> _Relation:
        oid, name, kind, file, table, scans, inserted, columns = row
        pairs = None if columns is None else dict(each.split(" ", 1) for each in columns)
        return cls(oid, name, kind, file, table, scans, inserted, pairs)


@dataclass(slots=True)
class _Taken:
    """A lock that a statement took, for as long as it is held.

    Attributes:
        key: The relation's number and the mode, as pg_locks writes it.
        transaction: The one that holds it, by its virtual number.
        by: The number of the statement.
        lock: What to tell of it.
    """

    key: tuple[int, str]
    transaction: str
    by: int
    lock: Lock


@dataclass
class PostgreSQLTracer(Tracer):
    """Watches scripts run on PostgreSQL.

    Attributes:
        knows_locks: It does.
    """

    knows_locks: bool = True
    _known: dict[int, _Relation] = field(default_factory=dict)
    _before: frozenset[int] = frozenset()
    _asks: bool = True
    _own: list[int] = field(default_factory=list)
    _taken: list[_Taken] = field(default_factory=list)
    _open: list[_Taken] = field(default_factory=list)
    _unasked: list[_Taken] = field(default_factory=list)
    _look: Look | None = None

    def traces(self, script: Script) -> tuple[StatementTrace, ...]:
        """With the locks of each; those that are still held were to the file's end."""
        traces = super().traces(script)
        if traces:
            self._close([*self._open, *self._unasked], traces[-1].last)
        by_statement: dict[int, list[Lock]] = {}
        for taken in self._taken:
            by_statement.setdefault(taken.by, []).append(taken.lock)
        return tuple(replace(each, locks=tuple(by_statement.get(each.number, ()))) for each in traces)

    def begin(self, connection: Connection, script: Script) -> None:
        """Keeps what is there."""
        source = script.source.lower()
        asks = any(word in source for word in (b"drop", b"rename", b"not null"))
        self._known = _all(connection, _ALL if asks else _ALL_BUT_COLUMNS)
        self._before = frozenset(self._known)
        is_empty = all(self._is_own(relation) for relation in self._known.values())
        self._asks = not is_empty or len(script.statements) <= _MANY
        for kept in (self._own, self._taken, self._open, self._unasked):
            kept.clear()

    def before(self, connection: Connection, statement: Statement, *, inside: bool) -> None:
        """Has a second session look on at what runs outside of transactions."""
        if not inside:
            self._look = Look(connection)

    def failed(self) -> None:
        """Looks on no longer."""
        self._looked()

    def after(self, connection: Connection, statement: Statement, *, inside: bool) -> Seen:
        """What is new, by what was known before.

        What the file itself has made, nobody waits for: it is asked about once. A dump holds thousands of
        locks in the end.
        """
        held = dict.fromkeys(self._looked(), "")
        if not self._asks and not statement.data:
            return Seen()
        is_open = bool(self.dialect.is_in_transaction(connection))
        if is_open:
            (_, _, current, *_), *rows = connection.exec_driver_sql(_HELD, {"own": self._own}).all()
            held = {(row[0], row[1]): row[2] for row in rows}
            now = {row[0]: None if row[3] is None else _Relation.of(row[3:]) for row in rows}
        else:
            current, everything = None, _all(connection, _ALL)
            now = {oid: everything.get(oid) for oid in sorted({*everything, *self._known})}
        number, words = statement.number, sql.words(statement.sql, self.dialect.rules)
        work = tuple(self._work(now, words[0]))
        if not is_open:
            held |= dict.fromkeys(self._certain(work, now, words), "")
        self._close([each for each in self._open if held.get(each.key) != each.transaction], number - 1)
        self._close([each for each in self._unasked if each.transaction != current], number - 1)
        self._take(held, now, number, is_open=is_open)
        inserted = self._inserted(now) if statement.data else None
        self._keep(now)
        return Seen(work, inserted)

    def _take(
        self,
        held: Mapping[tuple[int, str], str],
        now: Mapping[int, _Relation | None],
        number: int,
        *,
        is_open: bool,
    ) -> None:
        """Keeps the locks that are new."""
        known = {taken.key for taken in self._open}
        for key, transaction in held.items():
            lock = None if key in known else self._lock(key, now, held, number)
            if lock:
                taken = _Taken(key, transaction, number, lock)
                self._taken.append(taken)
                if is_open:
                    (self._open if lock.existed else self._unasked).append(taken)

    def _keep(self, now: Mapping[int, _Relation | None]) -> None:
        """Knows what is there now; columns that were not asked for are as they were."""
        self._own += [oid for oid in now if oid not in self._before and oid not in self._known]
        for oid, relation in now.items():
            old = self._known.get(oid)
            if relation is None:
                self._known.pop(oid, None)
            elif relation.columns is None and old:
                self._known[oid] = replace(relation, columns=old.columns)
            else:
                self._known[oid] = relation

    def _looked(self) -> frozenset[tuple[int, str]]:
        """What the second session has seen."""
        look, self._look = self._look, None
        return look.stop() if look else frozenset()

    def _close(self, taken: Iterable[_Taken], until: int) -> None:
        """Keeps until when these were held."""
        closed = set()
        for each in taken:
            each.lock = replace(each.lock, until=max(until, each.by))
            closed.add(id(each))
        if closed:
            self._open = [each for each in self._open if id(each) not in closed]
            self._unasked = [each for each in self._unasked if id(each) not in closed]

    def _lock(
        self,
        key: tuple[int, str],
        now: Mapping[int, _Relation | None],
        held: Container[tuple[int | None, str]],
        number: int,
    ) -> Lock | None:
        """What to tell of a lock; None of an index that its table's lock covers, and of fluxmig's tables."""
        oid, word = key
        relation, mode = now.get(oid) or self._known.get(oid), _MODES.get(word)
        if relation is None or mode is None or self._is_own(relation):
            return None
        is_index = relation.kind in {"i", "I"}
        if is_index and (mode is not LockMode.ACCESS_EXCLUSIVE or (relation.table, word) in held):
            return None
        return Lock(relation.name, _KINDS[relation.kind], mode, oid in self._before, number)

    def _is_own(self, relation: _Relation) -> bool:
        table = self._known.get(relation.table) if relation.table else None
        return (table or relation).name.rpartition(".")[2].removesuffix("_id_seq") in self.own

    def _work(self, now: Mapping[int, _Relation | None], verb: str) -> Iterator[Work]:
        """What was done to these relations since they were looked at last."""
        changed = {
            oid
            for oid, relation in now.items()
            if relation and oid in self._known and relation.file != self._known[oid].file
        }
        built = set()
        for oid, relation in now.items():
            if relation and relation.kind == "i" and (oid in changed or oid not in self._known):
                table = now.get(relation.table or 0) or self._known.get(relation.table or 0)
                if table and table.oid not in changed and not self._is_own(relation):
                    built.add(table.oid)
                    yield Work(WorkKind.INDEX, relation.name, table.name, table.oid in self._before)
        for oid, relation in now.items():
            old, existed = self._known.get(oid), oid in self._before
            if old and relation is None and old.kind in {"r", "p"}:
                yield Work(WorkKind.DROP_TABLE, old.name, old.name, existed)
            if old is None or relation is None or self._is_own(relation):
                continue
            name = relation.name
            if oid in changed and relation.kind in {"r", "m"}:
                kind = WorkKind.TRUNCATE if verb == "TRUNCATE" else WorkKind.REWRITE
                yield Work(kind, name, name, existed)
            elif verb == "ALTER" and relation.scans > old.scans and oid not in built:
                yield Work(WorkKind.SCAN, name, name, existed)
            if name != old.name:
                yield Work(WorkKind.RENAME, f"{old.name} to {name}", old.name, existed)
            yield from _of_columns(old, relation, existed=existed)

    def _certain(
        self, work: Iterable[Work], now: Mapping[int, _Relation | None], words: Sequence[str]
    ) -> Iterator[tuple[int, str]]:
        """The locks of what was done outside of transactions, by the manual (13.3.2).

        A statement on a small table is over before anybody has looked.
        """
        numbers = {relation.name: oid for oid, relation in now.items() if relation}
        for each in work:
            if each.kind is WorkKind.REWRITE:
                yield numbers[each.table], "AccessExclusiveLock"
            elif each.kind is WorkKind.INDEX and "CONCURRENTLY" in words:
                yield numbers[each.table], "ShareUpdateExclusiveLock"
            elif each.kind is WorkKind.INDEX:
                yield numbers[each.table], "ShareLock"
                if words[0] == "REINDEX":
                    yield numbers[each.name], "AccessExclusiveLock"

    def _inserted(self, now: Mapping[int, _Relation | None]) -> int:
        """How many rows a COPY has brought: of the tables it has touched, the one with the most."""
        known = self._known
        return max(
            (
                relation.inserted - (known[oid].inserted if oid in known else 0)
                for oid, relation in now.items()
                if relation
            ),
            default=0,
        )


def sizes(connection: Connection) -> dict[str, TableSize]:
    """How large the tables are, by what the catalog says: a table's own size is told under its lock only."""
    return {name: TableSize(rows, size) for name, rows, size in connection.exec_driver_sql(_SIZES)}


def _of_columns(old: _Relation, new: _Relation, *, existed: bool) -> Iterator[Work]:
    """The columns that are gone, have another name, or are new and required."""
    if old.columns is None or new.columns is None:
        return
    for number, name in old.columns.items():
        before, now = f"{new.name}.{name[1:]}", new.columns.get(number)
        if now is None:
            yield Work(WorkKind.DROP_COLUMN, before, new.name, existed)
        elif now[1:] != name[1:]:
            yield Work(WorkKind.RENAME, f"{before} to {now[1:]}", new.name, existed)
    for number, name in new.columns.items():
        if number not in old.columns and name.startswith(_REQUIRED):
            yield Work(WorkKind.REQUIRED, f"{new.name}.{name[1:]}", new.name, existed)


def _all(connection: Connection, query: str) -> dict[int, _Relation]:
    """Every relation by its number."""
    return {row[0]: _Relation.of(row) for row in connection.exec_driver_sql(query)}
