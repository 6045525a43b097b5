"""Statements -> the objects they create, and the names of those they may remove. Pure.

What functions and triggers do unseen is not looked at, nor what a program reads from a table and executes.

Sources: PostgreSQL manual, part VI (SQL commands), 5.10.3 (the search path) and 41 (PL/pgSQL); SQLite
lang_*.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

from fluxmig import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from fluxmig.model import Script

__all__ = ["ALL", "CASCADE", "KEYS", "PARTS", "ROUTINES", "Created", "Effect", "Existing", "Presence"]
__all__ += [
    "created",
    "effects",
    "is_of_session",
    "is_soft",
    "makes_one",
    "named_constraints",
    "only_reads",
    "parts_of",
    "some_of",
]
__all__ += ["words"]

ROUTINES: Final = frozenset({"function", "procedure", "aggregate"})
"""Kinds of which several can have one name."""


@dataclass(frozen=True, slots=True)
class Created:
    """An object that a statement makes; names without quotes, folded as PostgreSQL does, else as written.

    Attributes:
        kind: "table", "partition", "foreign table", "view", "materialized view", "index", "sequence", "type",
            "enum value", "schema", "extension", "role", "function", "procedure", "aggregate", "trigger",
            "event", "policy", "column", "constraint" or "primary key".
        name: Its name; of a primary key, its columns in parentheses.
        schema: Its schema, where written.
        table: Of an index, trigger, policy, column, constraint or primary key: its table. Of an enum value:
            its type.
        table_schema: The schema of that, where written.
        columns: Of a primary key: its columns, in order.
    """

    kind: str
    name: str
    schema: str | None = None
    table: str | None = None
    table_schema: str | None = None
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        name = self.name if self.schema is None else f"{self.schema}.{self.name}"
        if self.table is None:
            return f"{self.kind} {name}"
        table = self.table if self.table_schema is None else f"{self.table_schema}.{self.table}"
        return f"{self.kind} {name} {'of' if self.kind == 'enum value' else 'on'} {table}"

    @property
    def is_qualified(self) -> bool:
        """Whether no search path decides which object it is."""
        schema = self.table_schema if self.table else self.schema
        return schema is not None or self.kind in {"schema", "extension", "role"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """What a database has of an object that a statement would make.

    Attributes:
        is_there: One of its kind and name is where the statement would make it, and works.
        is_taken: What is there would have the database refuse the statement.
        is_lasting: And that is so until it is named: it goes along with nothing else.
        is_elsewhere: Another schema has one of its kind and name; False where the schema is written.
    """

    is_there: bool = False
    is_taken: bool = False
    is_lasting: bool = False
    is_elsewhere: bool = False


Existing: TypeAlias = "Callable[[Sequence[Created]], Mapping[Created, Presence]]"
"""What asks a database what it has of objects; what cannot be told is left out."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a statement does to the objects of a database.

    Attributes:
        creates: What it makes.
        perhaps: It makes it only where it is not there yet, or in place of what is there.
        parts: What it makes beside that: the columns and constraints of a new table, and columns that it adds
            only where they are not there yet.
        types: Words, in lower case, of the types of new columns.
        whole: Whether this is all it does, as far as names tell.
        removes: Words, in lower case: what has one in its name may be gone, or have another name. In
            parentheses stands what may go without its name: `ALL`, `PARTS`, `CASCADE`, `KEYS`, `parts_of`.
        hides: Words likewise: what has one in its name may be another object now.
        changes_path: Names without a schema may stand for other objects, for the rest of the file.
    """

    creates: tuple[Created, ...] = ()
    perhaps: bool = False
    parts: tuple[Created, ...] = ()
    types: frozenset[str] = frozenset()
    whole: bool = False
    removes: frozenset[str] = frozenset()
    hides: frozenset[str] = frozenset()
    changes_path: bool = False


ALL: Final = "(all)"
"""Anything may be gone."""
PARTS: Final = "(parts)"
"""What belongs to a table may be gone, and partitions with what belongs to them."""
CASCADE: Final = "(cascade)"
"""What depends on a table may be gone: views and what belongs to them, constraints, policies, functions."""
KEYS: Final = "(keys)"
"""A constraint is gone, which may be a primary key."""


def parts_of(table: str) -> frozenset[str]:
    """What the column of a table may take along: indexes, constraints and the like of that table."""
    return frozenset(f"({word})" for word in words(table))


def some_of(kind: str) -> str:
    """An object of this kind may be gone, whatever its name."""
    return f"(some {kind})"


def created(statement: str, rules: sql.Rules) -> tuple[Created, ...]:
    """What a statement makes that must not be there already; empty with IF NOT EXISTS or OR REPLACE.

    Also empty for what lives in the session only, and where names cannot be read for certain.
    """
    effect = _effect(statement, rules)
    return () if effect.perhaps else effect.creates


def named_constraints(statement: str, rules: sql.Rules) -> tuple[Created, ...]:
    """The constraints that a CREATE TABLE has names for."""
    table = next((each for each in created(statement, rules) if each.kind == "table"), None)
    if table is None:
        return ()
    tokens = sql.tokens(statement, rules)
    names = (_folded(name, rules) for word, name in pairwise(tokens) if word.upper() == "CONSTRAINT")
    return tuple(Created("constraint", name, None, table.name, table.schema) for name in names if name)


def effects(script: Script, rules: sql.Rules) -> Iterator[tuple[int, Effect]]:
    """The statements of a script that will run and have an effect, by their place from 0."""
    source, statements = script.source, script.statements
    for index in range(script.done, len(statements)):
        start = statements.start(index)
        if sql.first_word(source, start) not in _HARMLESS:
            effect = _effect(source[start : statements.end(index)].decode(), rules)
            if effect != _NOTHING:
                yield index, effect


def is_of_session(statement: str, rules: sql.Rules) -> bool:
    """Whether a statement does nothing that outlives its session: SET, SHOW, BEGIN and the like."""
    if sql.first_word(statement[:16].encode(), 0) in _PLAIN:
        return False
    return bool(_OF_SESSION.match(" ".join(sql.words(statement, rules, 5))))


_MAKES_ONE: Final = re.compile(
    r"CREATE (?!SCHEMA\b.* (?:CREATE|GRANT) )"
    r"|(?P<adds>ALTER )(?:FOREIGN )?[A-Z]+ (?:IF EXISTS )?(?:ONLY )?\S+(?: \. \S+)* ADD "
)
_SOFT: Final = re.compile(r"CREATE (?:OR REPLACE |.*\bIF NOT EXISTS\b)")


def makes_one(statement: str, rules: sql.Rules) -> bool:
    """Whether a statement makes one object and does nothing else, so that one duplicate says all of it.

    Not so of a block or a function, which may do anything; of a RENAME, for two objects are there then; and
    of what makes several.
    """
    found = _MAKES_ONE.match(" ".join(sql.words(statement, rules, len(statement))))
    if not found:
        return False
    return not found["adds"] or len(list(_items(sql.tokens(statement, rules)))) == 1


def is_soft(statement: str, rules: sql.Rules) -> bool:
    """Whether a statement says IF NOT EXISTS or OR REPLACE, and so never meets its own object."""
    return bool(_SOFT.match(" ".join(sql.words(statement, rules, 8))))


def only_reads(statement: str, rules: sql.Rules) -> bool:
    """Whether a statement is a query that calls no function."""
    if sql.first_word(statement[:16].encode(), 0) not in {b"SELECT", b"VALUES", b"TABLE"}:
        return False
    return {"(", "INTO", "into", "Into"}.isdisjoint(sql.tokens(statement, rules))


# --- what a statement does --------------------------------------------------------------------------------

_NOTHING: Final = Effect()
_ANYTHING: Final = Effect(removes=frozenset((ALL,)), changes_path=True)

# Files of data hold millions of them.
_PLAIN: Final = frozenset({b"INSERT", b"UPDATE", b"DELETE", b"CREATE", b"ALTER", b"DROP", b"COMMENT"})
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
# What a block of PL/pgSQL cannot do without that may change which objects names stand for.
_OPAQUE: Final = _compiled(
    r"\b(?:EXECUTE(?!\s+(?:FUNCTION|PROCEDURE)\b)|CALL|CASCADE|SCHEMA|EXTENSION|OWNED|AUTHORIZATION|RESET"
    r"|SEARCH_PATH|SET_CONFIG|SET\s+(?:\w+\s+)?ROLE|DISCARD|TEMP|TEMPORARY|ROLLBACK|IMPORT"
    r"|PERFORM\s+[\w.]+\s*\(|LANGUAGE\s+(?!plpgsql\b))"
)
# A query for the sake of a function; these have no other effects, or are looked for.
_CALL: Final = _compiled(r"SELECT (?:\* FROM )?(?:\w+ \. )?(?!setval|set_config|count )[\w\"]+ \(")
# SELECT INTO makes a table, perhaps a temporary one; set_config is SET.
_INTO: Final = _compiled(r"(?<!INSERT )(?<!MERGE )\bINTO\b|set_config")
_TRANSACTION: Final = _compiled(r"(?:BEGIN|START TRANSACTION|(?:COMMIT|END)(?! PREPARED))\b")
# MySQL has SET and RESET that outlive the session, too.
_OF_SESSION: Final = re.compile(
    r"(?:SET(?! (?:@ @ )?(?:GLOBAL|PERSIST|PERSIST_ONLY|PASSWORD|DEFAULT ROLE|RESOURCE GROUP)\b)"
    r"|RESET(?! (?:MASTER|REPLICA|SLAVE|PERSIST|BINARY)\b)|SHOW|BEGIN|START TRANSACTION|SAVEPOINT|RELEASE"
    r"|(?:COMMIT|ROLLBACK)(?! PREPARED)|END|ABORT|SELECT (?:PG_CATALOG \. )?SET_CONFIG \()"
)


def _effect(statement: str, rules: sql.Rules) -> Effect:
    try:
        return _effect_of(sql.tokens(statement, rules), rules)
    except sql.SplitError:  # its strings are read by another setting than the rules'
        return _ANYTHING


def _effect_of(tokens: Sequence[str], rules: sql.Rules) -> Effect:
    text = " ".join(tokens)
    match "" if _ESCAPED.search(text) else text.partition(" ")[0].upper():
        case "CREATE":
            return _create(text, tokens, rules)
        case "ALTER" if not _SETTINGS.match(text):
            return _alter(text, tokens, rules)
        case "DROP":
            return _drop(text)
        case "DO":
            return _do(text, tokens, rules)
        case "SET" | "RESET" | "DISCARD":
            return Effect(changes_path=bool(_SETS_PATH.search(text)))
        case "SELECT" | "WITH" if not _CALL.match(text):
            return Effect(hides=words(text), changes_path=True) if _INTO.search(text) else _NOTHING
        case "BEGIN" | "START" | "COMMIT" | "END" if _TRANSACTION.match(text):
            return _NOTHING  # what SET LOCAL has changed is not taken for what it was before
    return _ANYTHING


def words(text: str) -> frozenset[str]:
    """All that could be names, or parts of names, in lower case."""
    return frozenset(_WORD.findall(text.lower()))


# --- names ------------------------------------------------------------------------------------------------

_NAME: Final = r'(?:"(?:[^"]|"")*+"|`[^`]*+`|\[[^]]*+\]|[^\W\d][\w$]*+)'


def _qualified(name: str) -> str:
    """The pattern of a name with its schema, if it has one."""
    return rf"(?:(?P<{name}_schema>{_NAME}) \. )?(?P<{name}>{_NAME})(?= (?!\.)|$)"


def _named(found: re.Match[str] | None, group: str, rules: sql.Rules) -> tuple[str, str | None] | None:
    """A name and its schema, where written; None where they cannot be read."""
    if not (found and found[group]):
        return None
    written = found[f"{group}_schema"]
    name, schema = _folded(found[group], rules), _folded(written, rules) if written else None
    return (name, schema) if name and (schema or not written) else None


def _folded(written: str, rules: sql.Rules) -> str | None:
    """The name that is written; None where PostgreSQL cuts it (4.1.1), or no word could take it away."""
    name = sql.unquoted(written) if rules.psql else sql.unquoted(written, fold=str)
    is_known = name and _WORD.search(name) and not (rules.psql and len(name.encode()) > 63)  # noqa: PLR2004
    return name if is_known else None


def _is_temporary(schema: str | None) -> bool:
    return bool(re.match(r"pg_temp|temp$", schema or "", re.IGNORECASE))


def _items(tokens: Sequence[str]) -> Iterator[Sequence[str]]:
    """What stands between the commas outside of parentheses."""
    depth = start = 0
    for at, written in enumerate([*tokens, ","]):
        depth += (written == "(") - (written == ")")
        if written == "," and not depth:
            yield tokens[start:at]
            start = at + 1


# --- statements that remove -------------------------------------------------------------------------------

_DROP: Final = _compiled(
    r"DROP (?P<kind>(?:FOREIGN )?TABLE|(?:MATERIALIZED )?VIEW|SEQUENCE|TYPE|DOMAIN"
    r"|INDEX|TRIGGER|EVENT(?! TRIGGER)|POLICY|RULE|FUNCTION|PROCEDURE|ROLE|USER) "
)
_ALONE: Final = frozenset(
    {"INDEX", "TRIGGER", "EVENT", "POLICY", "RULE", "FUNCTION", "PROCEDURE", "ROLE", "USER"}
)
# What depends on others of these can be anything at all: columns, tables of a type, triggers.
_WIDE: Final = frozenset({"TYPE", "DOMAIN", "FUNCTION", "PROCEDURE", "ROLE", "USER"})
_SETTINGS: Final = _compiled(r"ALTER (?:SCHEMA|EXTENSION|ROLE|USER|DATABASE|SYSTEM) ")
_MOVES: Final = _compiled(r"\b(?:RENAME|SET SCHEMA|ATTACH|DETACH|EXCHANGE)\b")
_REMOVES: Final = _compiled(r"\bDROP (?!NOT |DEFAULT\b)|\bUSING INDEX\b|\bCHANGE\b")
_REMOVES_PARTS: Final = _compiled(r"\bDROP (?!NOT |DEFAULT\b|CONSTRAINT )|\bSET SCHEMA\b")
_ON_TABLE: Final = _compiled(" ON ")
_CASCADE: Final = _compiled(r"\bCASCADE\b")


def _drop(text: str) -> Effect:
    found = _DROP.match(text)
    kind = found["kind"].upper() if found else ""
    cascades = bool(_CASCADE.search(text))
    if not found or (cascades and kind in _WIDE):
        return _ANYTHING
    removes = words(_ON_TABLE.split(text)[0] if kind in _ALONE else text)
    removes |= {PARTS} if kind not in _ALONE else set()
    return Effect(removes=removes | {CASCADE} if cascades else removes)


def _alter(text: str, tokens: Sequence[str], rules: sql.Rules) -> Effect:
    table = _TABLE.match(text)
    moves = _MOVES.search(text)
    if table and moves and _RENAMES_PART.match(text):
        return Effect(removes=words(text[table.end() :]))
    if moves or _REMOVES.search(text):
        cascades = bool(_CASCADE.search(text))
        if cascades and not table:
            return _ANYTHING
        removes = words(text[table.end() :] if table and not moves else text) | {KEYS}
        if table and cascades:
            removes |= words(table["table"]) | {CASCADE}
        if _REMOVES_PARTS.search(text):
            removes |= {PARTS} | (parts_of(table["table"]) if table else set())
        return Effect(removes=removes)
    if table and not table["if_exists"]:
        return _added(table, tokens, rules)
    value = _VALUE.match(text) if rules.psql else None
    return _enum_value(value, rules) if value else _NOTHING


# --- blocks of PL/pgSQL -----------------------------------------------------------------------------------

_DOLLARS: Final = re.compile(r"\$[^$]*\$")
# A function for its own sake; these remove nothing.
_PERFORM: Final = _compiled(
    r"PERFORM (?:(?:\w+ \. )?(?:pg_\w+|setval|set_config|count|now)|\d+|\*|(?!\S+ [.(])) ?"
)
_PLACEHOLDER: Final = re.compile(r"%(?:\d+\$)?[IL]")
_SOME: Final = "some_name_of_format"
_DROPS_SOME: Final = _compiled(
    r"DROP (?P<kind>INDEX|TRIGGER|POLICY|FUNCTION|PROCEDURE) "
    r"|ALTER TABLE (?:IF EXISTS |ONLY )*\S+ DROP CONSTRAINT (?:IF EXISTS )?\S+$"
)
_IN_TEXT: Final = _compiled(r"\b(?:DROP|RENAME|SET\s+SCHEMA|ATTACH|DETACH|CALL|IMPORT|DISCARD)\b")


def _do(text: str, tokens: Sequence[str], rules: sql.Rules) -> Effect:
    is_opaque = bool(_OPAQUE.search(text))
    hides = frozenset((ALL,)) if is_opaque else words(text) | ({PARTS} if "DROP" in text.upper() else set())
    rest = [*tokens[1:]]
    language = next((place for place, word in enumerate(rest) if word.upper() == "LANGUAGE"), None)
    if language is not None and "".join(rest[language + 1 : language + 2]).strip("'\"").lower() == "plpgsql":
        del rest[language : language + 2]
    body = _literal(rest[0]) if len(rest) == 1 else None
    if body is None:
        return _ANYTHING
    return Effect(removes=_removed_by(body, rules), hides=hides, changes_path=is_opaque)


def _removed_by(block: str, rules: sql.Rules) -> frozenset[str]:
    """What the statements of a block may remove, whichever of them run."""
    try:
        body = sql.tokens(block, rules)
    except sql.SplitError:
        return frozenset((ALL,))
    removes = frozenset[str]()
    at = 0
    while at < len(body):
        word = body[at].upper()
        if word not in {"DROP", "ALTER", "CALL", "IMPORT", "DISCARD", "PERFORM", "EXECUTE"}:
            at += 1
            continue
        end = next((i for i in range(at, len(body)) if body[i] == ";"), len(body))
        statement, at = body[at:end], end
        if word == "PERFORM":
            removes |= set() if _PERFORM.match(" ".join(statement)) else {ALL}
        elif word == "EXECUTE":
            removes |= _executed(statement[1:], body, rules)
        else:
            removes |= _effect_of(statement, rules).removes
    return removes


def _executed(expression: Sequence[str], body: Sequence[str], rules: sql.Rules) -> frozenset[str]:
    """What EXECUTE may remove: by its text, or where that is put together, by all texts of the block."""
    first = " ".join(expression[:2]).upper()
    if first.partition(" ")[0] in {"FUNCTION", "PROCEDURE"}:  # of a trigger
        return frozenset()
    is_format = first == "FORMAT ("
    text = _literal((*expression, "", "", "")[2 if is_format else 0])
    if text is not None and (is_format or len(expression) == 1):
        template = _PLACEHOLDER.sub(_SOME, text)
        if sql.first_word(template.encode(), 0) in _HARMLESS:
            return frozenset()
        if not is_format or "%" not in template:
            return _some_of(_effect(template, rules).removes, template)
    texts = " ".join(written for written in body if written[0] in "'$Ee" and written[-1] in "'$")
    return frozenset((ALL,)) if text is None or _IN_TEXT.search(texts) else frozenset()


def _some_of(removes: frozenset[str], template: str) -> frozenset[str]:
    """What may be gone where a statement names what it removes by a value."""
    if _SOME not in removes:
        return removes
    found = _DROPS_SOME.match(" ".join(template.split()))
    if not found or CASCADE in removes:
        return frozenset((ALL,))
    kind = (found["kind"] or "constraint").lower()
    return frozenset((some_of(kind), *([KEYS] if kind == "constraint" else [])))


def _literal(token: str) -> str | None:
    """The text of a string as written; None of one with escapes, or where it is no string."""
    if token.startswith("'"):
        return token[1:-1].replace("''", "'") if "\\" not in token else None
    tag = _DOLLARS.match(token)
    return token[tag.end() : -tag.end()] if tag else None


# --- statements that create -------------------------------------------------------------------------------

# 13.1.23 of MySQL's manual, and whoever a routine or view runs as.
_WHO: Final = r"(?:'[^']*'|\"[^\"]*\"|`[^`]*`|[\w.%-]+)"
_OF_MYSQL: Final = (
    r"FULLTEXT|SPATIAL|ALGORITHM = \w+|SQL SECURITY \w+"
    rf"|DEFINER = (?:CURRENT_USER(?: \( \))?|{_WHO}(?: @ {_WHO})?)"
)
_CREATE: Final = _compiled(
    r"CREATE (?P<replace>OR REPLACE )?+(?P<temporary>(?:GLOBAL |LOCAL )?+TEMP(?:ORARY)? )?+"
    rf"(?:(?:UNLOGGED|RECURSIVE|VIRTUAL|UNIQUE|CONSTRAINT|{_OF_MYSQL}) )*+"
    r"(?P<kind>(?:FOREIGN )?TABLE|(?:MATERIALIZED )?VIEW|SEQUENCE|TYPE|DOMAIN|SCHEMA|DATABASE|EXTENSION"
    r"|INDEX|TRIGGER|EVENT(?! TRIGGER )|POLICY|FUNCTION|PROCEDURE|AGGREGATE|ROLE|USER(?! MAPPING )|GROUP)"
    rf" (?:CONCURRENTLY )?+(?P<soft>IF NOT EXISTS )?(?:{_qualified('name')})?"
)
_ON: Final = _compiled(rf"(?: (?!ON )\S+)*? ON (?:ONLY )?+{_qualified('table')}")
_ALTER: Final = rf"ALTER TABLE (?P<if_exists>IF EXISTS )?+(?:ONLY )?+{_qualified('table')} "
_TABLE: Final = _compiled(_ALTER)
_RENAMES_PART: Final = _compiled(rf"{_ALTER}RENAME (?:COLUMN|CONSTRAINT) ")
_ADD: Final = _compiled(
    rf"(?:{_ALTER})?+ADD (?>(?P<constraint>CONSTRAINT )|COLUMN "
    r"|(?!(?:PRIMARY|UNIQUE|CHECK|FOREIGN|EXCLUDE|NOT|INDEX|KEY|FULLTEXT|SPATIAL|PARTITION|PERIOD|SYSTEM) ))"
    rf"(?P<soft>IF NOT EXISTS )?+(?P<name>{_NAME}) (?!NOT )"  # NOT NULL may be there without harm
)
_KEY: Final = _compiled(rf"(?:{_ALTER})?+ADD PRIMARY KEY \( (?P<columns>{_NAME}(?: , {_NAME})*+) \)(?: |$)")
_VALUE: Final = _compiled(
    rf"ALTER TYPE {_qualified('table')} ADD VALUE (?P<soft>IF NOT EXISTS )?"
    r"(?P<label>'(?:[^'\\]|'')*+')(?: |$)"
)
# MySQL, "ALTER TABLE Statement": an index, of a constraint without a name or with one, and other constraints.
_INDEX: Final = _compiled(
    rf"(?:{_ALTER})?+ADD (?:CONSTRAINT (?P<constraint>{_NAME}) )?"
    r"(?:(?:UNIQUE|FULLTEXT|SPATIAL)(?: (?:INDEX|KEY))?|INDEX|KEY)"
    rf" (?P<soft>IF NOT EXISTS )?+(?:(?P<name>{_NAME}) )?(?:USING \w+ )?\("
)
_CONSTRAINT: Final = _compiled(
    rf"(?:{_ALTER})?+ADD CONSTRAINT (?P<name>{_NAME}) (?P<kind>FOREIGN|CHECK|PRIMARY) (?P<key>KEY )?"
)
_KINDS: Final = {"domain": "type", "user": "role", "group": "role", "database": "schema"}
# Reserved words (Appendix C) that begin no column. Only MySQL has all of the second line.
_NO_COLUMN: Final = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "LIKE", "NOT"})
_NO_COLUMN_ELSEWHERE: Final = frozenset({"INDEX", "KEY", "FULLTEXT", "SPATIAL", "PERIOD"})


def _create(text: str, tokens: Sequence[str], rules: sql.Rules) -> Effect:
    found = _CREATE.match(text)
    if not found:
        return _NOTHING
    kind = _KINDS.get(found["kind"].lower(), found["kind"].lower())
    if found["kind"].upper() in {"DATABASE", "EVENT"} and not rules.executable_comments:
        return _NOTHING
    name = _named(found, "name", rules)
    on: tuple[str, str | None] | tuple[()] | None = ()
    if kind in {"index", "trigger", "policy"}:
        on = _named(_ON.match(text, found.end()), "table", rules)
    if kind in {"index", "trigger", "policy", "role", *ROUTINES} and not (
        name and on is not None and (rules.psql or kind != "role")
    ):
        return _NOTHING
    if not name or on is None or (kind == "schema" and name[0] == "authorization"):
        return _ANYTHING
    if kind in ROUTINES:
        is_made = not _is_temporary(name[1])
        perhaps = bool(found["replace"] or found["soft"])
        is_whole = not (rules.psql or found["replace"])  # MySQL's have no arguments in their names
        return Effect((Created(kind, *name),), perhaps=perhaps, whole=is_whole) if is_made else _NOTHING
    if found["temporary"] or _is_temporary(name[1]):
        return Effect(hides=words(name[0]), changes_path=True)
    rest = text[found.end() :].upper()
    if kind == "type" and not rest:
        return Effect(hides=words(name[0]))  # a type is announced by its name alone
    is_partition = rest.startswith(" PARTITION ")  # it goes with its table
    made = Created("partition" if is_partition else kind, *name, *on)
    inside: list[Sequence[str]] = []
    holds_data = False
    if kind.endswith("table") and not is_partition:
        inside, holds_data = _inside(tokens, is_written=rest.startswith(" ("))
    parts = [_part(item, made, rules) for item in inside]
    replaced = words(name[0]) if found["replace"] else frozenset[str]()
    return Effect(
        (made,),
        perhaps=bool(found["replace"] or found["soft"] or is_partition),
        parts=tuple(part for part in parts if part),
        types=_types(item[1:] for item in inside),
        whole=not (found["replace"] or holds_data or (kind == "schema" and rest)),
        removes=frozenset() if rules.psql else replaced,  # MariaDB drops the table
        hides=replaced,
    )


def _inside(tokens: Sequence[str], *, is_written: bool) -> tuple[list[Sequence[str]], bool]:
    """The columns and constraints that a table is written with, and whether it begins with rows.

    Args:
        tokens: The statement.
        is_written: Whether the first parentheses hold the columns.
    """
    inside: list[str] = []
    outside: set[str] = set()
    depth = closed = 0
    for written in tokens:
        depth -= written == ")"
        if not depth:
            outside.add(written.upper())
            closed += written == ")"
        elif not closed:
            inside.append(written)
        depth += written == "("
    return list(_items(inside)) if is_written else [], not outside.isdisjoint({"AS", "SELECT"})


def _types(definitions: Iterable[Sequence[str]]) -> frozenset[str]:
    return words(" ".join(written for definition in definitions for written in definition[:3]))


def _part(item: Sequence[str], table: Created, rules: sql.Rules) -> Created | None:
    """The column or named constraint that this part of CREATE TABLE makes."""
    first, second, third = (token.upper() for token in (*item, "", "", "")[:3])
    kind, written = "column", item[0] if item else ""
    if first == "EXCLUDE" and second in {"USING", "("}:
        return None
    if first == "CONSTRAINT" and rules.psql and third != "NOT":
        kind, written = "constraint", second and item[1]
    elif first in _NO_COLUMN or (first in _NO_COLUMN_ELSEWHERE and not rules.psql):
        return None
    name = _folded(written, rules) if written else None
    return Created(kind, name, None, table.name, table.schema) if name else None


def _added(table: re.Match[str], tokens: Sequence[str], rules: sql.Rules) -> Effect:
    """The columns, constraints and the primary key that ALTER TABLE adds."""
    on = _named(table, "table", rules)
    creates: list[Created] = []
    parts: list[Created] = []
    types: list[Sequence[str]] = []
    items = list(_items(tokens)) if on else []
    for item in items:
        text = " ".join(item)
        added, key = _ADD.match(text), _KEY.match(text)
        if on and key:
            columns = [_folded(column, rules) for column in re.findall(_NAME, key["columns"])]
            known = tuple(column for column in columns if column)
            if len(known) == len(columns):
                creates.append(Created("primary key", f"({', '.join(known)})", None, *on, known))
        elif on and rules.executable_comments and (extra := _added_beside(text, on, rules)):
            (parts if extra[1] else creates).append(extra[0])
        elif on and added and (rules.psql or not added["constraint"]):
            name = _folded(added["name"], rules)
            made = Created("constraint" if added["constraint"] else "column", name or "", None, *on)
            if name:
                (parts if added["soft"] else creates).append(made)
                types.append(text[added.end() :].split(" "))
    whole = bool(items) and len(creates) + len(parts) == len(items)
    return Effect(tuple(creates), parts=tuple(parts), types=_types(types), whole=whole)


def _added_beside(text: str, on: tuple[str, str | None], rules: sql.Rules) -> tuple[Created, bool] | None:
    """The index or constraint that a part of MySQL's ALTER TABLE adds, and whether IF NOT EXISTS is said."""
    if index := _INDEX.match(text):
        written = index["name"] or index["constraint"]
        name = _folded(written, rules) if written else None
        return (Created("index", name, None, *on), bool(index["soft"])) if name else None
    constraint = _CONSTRAINT.match(text)
    if not constraint or constraint["kind"].upper() == "PRIMARY":
        return None
    name = _folded(constraint["name"], rules)
    return (Created("constraint", name, None, *on), False) if name else None


def _enum_value(found: re.Match[str], rules: sql.Rules) -> Effect:
    """The label that ALTER TYPE adds."""
    on, label = _named(found, "table", rules), found["label"][1:-1].replace("''", "'")
    if not on or not _WORD.search(label):
        return _NOTHING
    return Effect((Created("enum value", label, None, *on),), perhaps=bool(found["soft"]), whole=True)
