"""Statements -> the objects they create, and which of these will be there already. Pure.

What is said holds where the statements before it do what they say: none of the file fails earlier, and the
file that makes the object is not rolled back. A statement that could have removed or hidden an object
silences it: the words of its name decide, wherever they stand. Functions, roles, policies and rules are not
looked at, nor is what functions and triggers do unseen.

Sources: PostgreSQL manual, part VI (SQL commands) and 5.10.3 (the search path); SQLite lang_*.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fluxmig import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence

    from fluxmig.model import Script, Statement

__all__ = ["Created", "Duplicate", "created", "effects", "foreseen"]


@dataclass(frozen=True, slots=True)
class Created:
    """An object that a statement makes; names without quotes, folded as PostgreSQL does, else as written.

    Attributes:
        kind: "table", "foreign table", "view", "materialized view", "index", "sequence", "type", "schema",
            "extension", "trigger", "column" or "constraint".
        name: Its name.
        schema: Its schema, where written.
        table: Of an index, trigger, column or constraint: its table.
        table_schema: The schema of that, where written.
    """

    kind: str
    name: str
    schema: str | None = None
    table: str | None = None
    table_schema: str | None = None

    def __str__(self) -> str:
        name = self.name if self.schema is None else f"{self.schema}.{self.name}"
        if self.table is None:
            return f"{self.kind} {name}"
        table = self.table if self.table_schema is None else f"{self.table_schema}.{self.table}"
        return f"{self.kind} {name} on {table}"

    @property
    def is_qualified(self) -> bool:
        """Whether no search path decides which object it is."""
        schema = self.table_schema if self.table else self.schema
        return schema is not None or self.kind in {"schema", "extension"}


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A statement that would hit an object that is there already.

    Attributes:
        script: The name of its migration.
        statement: The statement.
        created: The object.
        made_by: The statement of the plan that makes the object before, and the name of its migration; None
            where it is in the database now.
    """

    script: str
    statement: Statement
    created: Created
    made_by: tuple[str, Statement] | None = None


def created(statement: str, rules: sql.Rules) -> tuple[Created, ...]:
    """What a statement makes that must not be there already; empty with IF NOT EXISTS or OR REPLACE.

    Also empty for what lives in the session only, and where names cannot be read for certain.
    """
    effect = _effect(statement, rules)
    return () if effect.perhaps else effect.creates


def foreseen(
    scripts: Iterable[Script], rules: sql.Rules, existing: Callable[[Sequence[Created]], Collection[Created]]
) -> tuple[Duplicate, ...]:
    """The first statement of each script that would hit an object that is there already, in order.

    What a script makes that hits one does not count for later scripts: it will be rolled back.

    Args:
        scripts: In the order in which they will run.
        rules: The database's.
        existing: Which of these the database has now; asked once, or not at all.
    """
    plan = [(script, list(effects(script, rules))) for script in scripts]
    questions = dict.fromkeys(each for _, effects in plan for _, effect in effects for each in effect.creates)
    course = _Course(frozenset(existing(list(questions)) if questions else ()))
    duplicates = (course.run(script, effects) for script, effects in plan)
    return tuple(duplicate for duplicate in duplicates if duplicate)


# --- what a statement does --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Effect:
    """What a statement does to the objects of a database.

    Attributes:
        creates: What it makes.
        perhaps: It makes it only where it is not there yet.
        silences: Words, in lower case: what has one in its name may be another object now, or gone.
        changes_path: Names without a schema may stand for other objects, for the rest of the file.
    """

    creates: tuple[Created, ...] = ()
    perhaps: bool = False
    silences: frozenset[str] = frozenset()
    changes_path: bool = False


_ALL: Final = frozenset(("(all)",))
"""No word of a name: it silences everything. The other one silences what may go with a table."""
_PARTS: Final = frozenset(("(parts)",))

_NOTHING: Final = _Effect()
_ANYTHING: Final = _Effect(silences=_ALL, changes_path=True)

# Statements that make, remove and rename nothing. One that is not known could do anything.
_HARMLESS: Final = frozenset(
    b"ANALYZE CHECKPOINT CLOSE CLUSTER COMMENT COPY DECLARE DEALLOCATE DELETE FETCH GRANT INSERT LISTEN LOCK"
    b" MERGE MOVE NOTIFY OPTIMIZE PRAGMA PREPARE REASSIGN REFRESH REINDEX RELEASE REPLACE REVOKE SAVEPOINT"
    b" SECURITY SHOW TABLE TRUNCATE UNLISTEN UNLOCK UPDATE VACUUM VALUES".split()
)


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


_WORD: Final = re.compile(r"[\w$]+")
_ESCAPED: Final = _compiled(r'\bU ?& ?"')  # 4.1.1: U&"d\0061t\+000061" is the name data
_SETS_PATH: Final = _compiled(r"search_path|schema|role|authorization|\ball\b")
# What a block of PL/pgSQL cannot do without that removes or moves more than it names.
_OPAQUE: Final = _compiled(
    r"\b(?:EXECUTE(?!\s+(?:FUNCTION|PROCEDURE)\b)|CALL|CASCADE|SCHEMA|EXTENSION|OWNED|AUTHORIZATION|RESET"
    r"|SEARCH_PATH|SET_CONFIG|SET\s+(?:\w+\s+)?ROLE|DISCARD|TEMP|TEMPORARY|ROLLBACK|IMPORT"
    r"|PERFORM\s+[\w.]+\s*\(|LANGUAGE\s+(?!plpgsql\b))"
)
# A query for the sake of a function; these have no other effects, or are looked for.
_CALL: Final = _compiled(r"SELECT (?:\* FROM )?(?:\w+ \. )?(?!setval|set_config|count )[\w\"]+ \(")
# SELECT INTO makes a table, perhaps a temporary one; set_config is SET.
_INTO: Final = _compiled(r"(?<!INSERT )(?<!MERGE )\bINTO\b|set_config")


def effects(script: Script, rules: sql.Rules) -> Iterator[tuple[int, _Effect]]:
    """The statements of a script that will run and have an effect, by their place from 0."""
    source, statements = script.source, script.statements
    for index in range(script.done, len(statements)):
        start = statements.start(index)
        if sql.first_word(source, start) not in _HARMLESS:
            effect = _effect(source[start : statements.end(index)].decode(), rules)
            if effect != _NOTHING:
                yield index, effect


def _effect(statement: str, rules: sql.Rules) -> _Effect:
    try:
        tokens = sql.tokens(statement, rules)
    except sql.SplitError:  # its strings are read by another setting than the rules'
        return _ANYTHING
    text = " ".join(tokens)
    match "" if _ESCAPED.search(text) else text.partition(" ")[0].upper():
        case "CREATE":
            return _create(text, rules)
        case "ALTER" if not _SETTINGS.match(text):
            return _alter(text, tokens, rules)
        case "DROP":
            return _drop(text)
        case "DO" if not _OPAQUE.search(text):
            return _Effect(silences=_words(text) | (_PARTS if "DROP" in text.upper() else set()))
        case "SET" | "RESET" | "DISCARD":
            return _Effect(changes_path=bool(_SETS_PATH.search(text)))
        case "SELECT" | "WITH" if not _CALL.match(text):
            return _Effect(silences=_words(text), changes_path=True) if _INTO.search(text) else _NOTHING
    return _ANYTHING


def _words(text: str) -> frozenset[str]:
    """All that could be names, or parts of names."""
    return frozenset(_WORD.findall(text.lower()))


# --- statements that remove -------------------------------------------------------------------------------

_DROP: Final = _compiled(
    r"DROP (?:(?:TABLE|VIEW|MATERIALIZED VIEW|FOREIGN TABLE|SEQUENCE|TYPE|DOMAIN)"
    r"|(?P<alone>INDEX|TRIGGER|POLICY|RULE|FUNCTION|PROCEDURE|ROLE|USER)) (?!.*\bCASCADE\b)"
)
_SETTINGS: Final = _compiled(r"ALTER (?:SCHEMA|EXTENSION|ROLE|USER|DATABASE|SYSTEM) ")
_MOVES: Final = _compiled(r"\b(?:RENAME|SET SCHEMA|ATTACH|DETACH|EXCHANGE)\b")
_REMOVES: Final = _compiled(r"\bDROP (?!NOT |DEFAULT\b)|\bUSING INDEX\b|\bCHANGE\b")
_REMOVES_PARTS: Final = _compiled(r"\bDROP (?!NOT |DEFAULT\b|CONSTRAINT )|\bSET SCHEMA\b")
_ON_TABLE: Final = _compiled(" ON ")
_CASCADE: Final = _compiled(r"\bCASCADE\b")


def _drop(text: str) -> _Effect:
    found = _DROP.match(text)
    if not found:
        return _ANYTHING
    parts = frozenset[str]() if found["alone"] else _PARTS
    return _Effect(silences=_words(_ON_TABLE.split(text)[0] if found["alone"] else text) | parts)


def _alter(text: str, tokens: list[str], rules: sql.Rules) -> _Effect:
    table = _TABLE.match(text)
    moves = _MOVES.search(text)
    if moves or _REMOVES.search(text):
        if _CASCADE.search(text):
            return _ANYTHING
        words = _words(text[table.end() :] if table and not moves else text)
        return _Effect(silences=words | _PARTS if _REMOVES_PARTS.search(text) else words)
    return _added(table, tokens, rules) if table and not table["if_exists"] else _NOTHING


# --- statements that create -------------------------------------------------------------------------------

_NAME: Final = r'(?:"(?:[^"]|"")*+"|`[^`]*+`|\[[^]]*+\]|[^\W\d][\w$]*+)'


def _qualified(name: str) -> str:
    """The pattern of a name with its schema, if it has one."""
    return rf"(?:(?P<{name}_schema>{_NAME}) \. )?(?P<{name}>{_NAME})(?= (?!\.)|$)"


_CREATE: Final = _compiled(
    r"CREATE (?P<replace>OR REPLACE )?+(?P<temporary>(?:GLOBAL |LOCAL )?+TEMP(?:ORARY)? )?+"
    r"(?:(?:UNLOGGED|RECURSIVE|VIRTUAL|UNIQUE|CONSTRAINT) )*+"
    r"(?P<kind>(?:FOREIGN )?TABLE|(?:MATERIALIZED )?VIEW|SEQUENCE|TYPE|DOMAIN|SCHEMA|EXTENSION|INDEX|TRIGGER)"
    rf" (?:CONCURRENTLY )?+(?P<soft>IF NOT EXISTS )?(?:{_qualified('name')})?"
)
_ON: Final = _compiled(rf"(?: (?!ON )\S+)*? ON (?:ONLY )?+{_qualified('table')}")
_ALTER: Final = rf"ALTER TABLE (?P<if_exists>IF EXISTS )?+(?:ONLY )?+{_qualified('table')} "
_TABLE: Final = _compiled(_ALTER)
_ADD: Final = _compiled(
    rf"(?:{_ALTER})?+ADD (?>(?P<constraint>CONSTRAINT )|COLUMN "
    r"|(?!(?:PRIMARY|UNIQUE|CHECK|FOREIGN|EXCLUDE|NOT|INDEX|KEY|FULLTEXT|SPATIAL|PARTITION|PERIOD|SYSTEM) ))"
    rf"(?P<name>{_NAME}) (?!NOT )"  # IF NOT EXISTS; a constraint that is NOT NULL may be there without harm
)


def _create(text: str, rules: sql.Rules) -> _Effect:
    found = _CREATE.match(text)
    if not found:
        return _NOTHING
    kind = found["kind"].lower()
    name = _named(found, "name", rules)
    on: tuple[str, str | None] | tuple[()] | None = ()
    if kind in {"index", "trigger"}:
        on = _named(_ON.match(text, found.end()), "table", rules)
        if not (name and on):
            return _NOTHING
    if not name or on is None or (kind == "schema" and name[0] == "authorization"):
        return _ANYTHING
    if found["temporary"] or re.match(r"pg_temp|temp$", name[1] or "", re.IGNORECASE):
        return _Effect(silences=_words(name[0]), changes_path=True)
    rest = text[found.end() :].upper()
    # A type is announced by its name alone; a partition goes with its table.
    announced = kind == "type" and not rest
    perhaps = found["replace"] or found["soft"] or announced or rest.startswith(" PARTITION ")
    made = Created("type" if kind == "domain" else kind, *name, *on)
    return _Effect((made,), bool(perhaps), _words(name[0]) if found["replace"] else frozenset())


def _added(table: re.Match[str], tokens: list[str], rules: sql.Rules) -> _Effect:
    """The columns and constraints that ALTER TABLE adds."""
    on = _named(table, "table", rules)
    creates: list[Created] = []
    depth = start = 0
    for at, written in enumerate([*tokens, ","]):
        depth += (written == "(") - (written == ")")
        if written == "," and not depth:
            added = _ADD.match(" ".join(tokens[start:at]))
            start = at + 1
            name = _folded(added["name"], rules) if added else None
            if on and added and name and (rules.psql or not added["constraint"]):
                kind = "constraint" if added["constraint"] else "column"
                creates.append(Created(kind, name, None, *on))
    return _Effect(tuple(creates))


def _named(found: re.Match[str] | None, group: str, rules: sql.Rules) -> tuple[str, str | None] | None:
    """A name and its schema, where written; None where they cannot be read."""
    if not (found and found[group]):
        return None
    written = found[f"{group}_schema"]
    name, schema = _folded(found[group], rules), _folded(written, rules) if written else None
    return (name, schema) if name and (schema or not written) else None


def _folded(written: str, rules: sql.Rules) -> str | None:
    """The name that is written; None where PostgreSQL cuts it (4.1.1), or nothing could silence it."""
    name = sql.unquoted(written) if rules.psql else sql.unquoted(written, fold=str)
    is_known = name and _WORD.search(name) and not (rules.psql and len(name.encode()) > 63)  # noqa: PLR2004
    return name if is_known else None


# --- the course of a plan ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Made:
    """An object that the plan makes: when, and by which statement."""

    created: Created
    time: int
    script: Script
    index: int


class _Course:
    """What is there for certain at each moment of a plan.

    Time counts statements from 1; what the database has now was made at 0. An object is there if no word of
    its name has been silenced since it was made.
    """

    def __init__(self, existing: frozenset[Created]) -> None:
        self.existing = existing
        self.made: dict[Hashable, _Made] = {}
        self.silenced: dict[str, int] = {}
        self.time = 0

    def run(self, script: Script, effects: Iterable[tuple[int, _Effect]]) -> Duplicate | None:
        """The script's first duplicate."""
        duplicate: Duplicate | None = None
        changed_path = False
        for index, effect in effects:
            self.time += 1
            changed_path |= effect.changes_path
            self.silenced |= dict.fromkeys(effect.silences, self.time)
            for each in effect.creates:
                is_sure = each.is_qualified or not changed_path
                made = self.made.get(_key(each)) if is_sure else None
                if made and not self._lasts(made.created, made.time):
                    made = None
                if made or (is_sure and each in self.existing and self._lasts(each, 0)):
                    # Of an interrupted script, the next statement may be done.
                    if not (effect.perhaps or duplicate or index < script.done + script.interrupted):
                        made_by = (made.script.name, made.script.statements[made.index]) if made else None
                        duplicate = Duplicate(script.name, script.statements[index], each, made_by)
                    continue
                if each.kind not in {"trigger", "column", "constraint"}:  # it may hide another of its name
                    hidden = _ALL if each.kind == "schema" else _words(each.name)
                    self.silenced |= dict.fromkeys(hidden, self.time)
                if is_sure and not (effect.perhaps or duplicate):
                    self.made[_key(each)] = _Made(each, self.time, script, index)
        if duplicate:
            self.made = {key: made for key, made in self.made.items() if made.script is not script}
        return duplicate

    def _lasts(self, created: Created, since: int) -> bool:
        """Whether what was there at a time is there still, for certain."""
        words = _ALL | _words(f"{created.name} {created.table or ''}")
        if created.kind in {"index", "trigger", "constraint", "sequence"}:
            words |= _PARTS
        return all(since >= self.silenced.get(word, 0) for word in words)


def _key(created: Created) -> Hashable:
    """What no two objects can share at a time: all that has rows is a type, too (CREATE TABLE)."""
    has_type = not created.table and created.kind not in {"schema", "extension", "sequence"}
    kind = "type" if has_type else created.kind
    return kind, created.name, created.schema, created.table, created.table_schema
