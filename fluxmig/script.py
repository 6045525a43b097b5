"""One file + its database's rules -> a Script that can run, or the problem that refuses it. Pure.

Everything that can be known to go wrong is said here, before the first statement of the first migration.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from fluxmig import sql
from fluxmig.content import with_lf
from fluxmig.errors import LedgerError
from fluxmig.excerpt import excerpt
from fluxmig.model import Allowance, FileProblem, Finding, Limits, Mode, OnDuplicate, Script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from fluxmig.model import Progress, Statement, Statements

__all__ = ["Digest", "Message", "Unit", "holds_progress", "messages", "prepare", "resume", "resumed"]
__all__ += ["session_statements", "units"]

_LOOK = 64
"""Words of a statement that tell what it is."""

_GLANCE = 8
_AT_A_GLANCE = frozenset({("CREATE", "TABLE"), ("CREATE", "INDEX"), ("CREATE", "VIEW")})
"""Of what begins so, no rule here asks for more words than a glance shows."""

# Statements that no rule here is about. Files of data hold millions of them.
_PLAIN = frozenset({b"INSERT", b"UPDATE", b"DELETE", b"SELECT", b"WITH", b"VALUES"})

_NO_SESSION_VERBS = frozenset({b"INSERT", b"UPDATE", b"DELETE", b"COPY", b"COMMENT", b"GRANT", b"REVOKE"})

_DIRECTIVE = re.compile(rb"--[ \t]*(?i:fluxmig:)[ \t]*(?P<text>[^\r\n]*)")
_TIMEOUTS = ("lock-timeout", "statement-timeout")
_DIRECTIVES = (
    *(mode.value for mode in Mode),
    *(f"on-duplicate={policy.value}" for policy in OnDuplicate),
    *(f"{timeout}=30s" for timeout in _TIMEOUTS),
    "allow=NAME",
)
_NAMES = r"[a-z0-9-]+(?:\s*,\s*[a-z0-9-]+)*"
_UNITS_S = {"ms": 0.001, "s": 1, "min": 60, "h": 3600}
_DURATION = rf"(?P<number>\d+(?:\.\d+)?)(?P<unit>{'|'.join(_UNITS_S)})|0"
_NOISE = frozenset({"WORK", "TRANSACTION"})
_KINDS = frozenset({"DEFERRED", "IMMEDIATE", "EXCLUSIVE"})
"""SQLite: lang_transaction.html. Ours is an immediate one in any case."""
# PostgreSQL: BEGIN, transaction_mode; READ ONLY is not among them, since the ledger's row is written.
_CHARACTERISTICS = (
    r"(?:(?:^| , |(?<=[A-Z]) )(?:ISOLATION LEVEL (?:SERIALIZABLE|REPEATABLE READ|READ (?:UN)?COMMITTED)"
    r"|READ WRITE|(?:NOT )?DEFERRABLE))*"
)
FOREIGN_KEYS = "foreign_keys"
"""SQLite's pragma that has no effect inside a transaction (pragma.html)."""
_OFF = frozenset({"OFF", "NO", "FALSE", "0"})
OWN_TRANSACTIONS = "it has transactions of its own"


class _Directives(NamedTuple):
    """What the lines before the first statement say."""

    mode: Mode | None
    on_duplicate: OnDuplicate | None
    limits: Limits
    allowed: tuple[Allowance, ...]


class _Opening(NamedTuple):
    """The words that tell what a statement is, and its place, from 0."""

    place: int
    words: tuple[str, ...]


class _RefusedError(Exception):
    """A statement that cannot be run."""

    def __init__(self, place: int, message: str, remedy: str) -> None:
        super().__init__(message)
        self.place, self.message, self.remedy = place, message, remedy


def prepare(
    name: str,
    path: Path,
    checksum: str,
    source: bytes,
    rules: sql.Rules,
    no_transaction_reason: Callable[[Sequence[str]], str | None],
    refusal: Callable[[Sequence[str]], tuple[str, str] | None] = lambda _: None,
) -> Script | FileProblem:
    """Splits and classifies one file.

    - A file that is wrapped in BEGIN and COMMIT as a whole means one transaction, and gets it, with its
      ledger row inside.
    - One that has several complete transactions, or statements beside one, runs statement by statement.
    - One that ends what it has not begun, leaves open what it has, or rolls back, is refused: what would
      come of it is not what its ledger row says.

    Args:
        name: The migration it belongs to.
        path: The file.
        checksum: SHA-256 of the file.
        source: The file's bytes, UTF-8.
        rules: The database's lexical rules.
        no_transaction_reason: Why a statement that begins with these words needs no transaction, or None.
        refusal: Why one cannot be part of a migration, and the way out, or None.
    """
    try:
        statements = sql.split(source, rules)
    except sql.SplitError as error:
        return _problem(path, source, error.offset, error.message, error.remedy)
    openings = _openings(statements, rules)
    head_end = statements.start(0) if statements else len(source)
    directives = _directives(path, source, head_end, rules)
    if isinstance(directives, FileProblem):
        return directives
    warnings = _late_directives(statements, rules)
    script = Script(
        name,
        path,
        checksum,
        statements,
        end=len(source),
        on_duplicate=directives.on_duplicate,
        limits=directives.limits,
        allowed=directives.allowed,
        warnings=warnings,
    )
    try:
        _refuse_output(openings if rules.psql else ())
        _refuse(openings, refusal)
        return _classified(script, directives.mode, openings, rules, no_transaction_reason)
    except _RefusedError as refused:
        return _problem(path, source, statements.start(refused.place), refused.message, refused.remedy)


def _openings(statements: Statements, rules: sql.Rules) -> list[_Opening]:
    """What every statement is, those left out that are data."""
    source = statements.source
    found = []
    for place in range(len(statements)):
        start, end = statements.start(place), statements.end(place)
        verb = sql.first_word(source, start)
        if verb in _PLAIN:
            continue
        statement = source[start:end]
        words = sql.words(statement, rules, _GLANCE)
        if len(words) == _GLANCE and words[:2] not in _AT_A_GLANCE:
            # COPY can name 1600 columns before it says where to.
            words = sql.words(statement, rules, end if verb == b"COPY" else _LOOK)
        found.append(_Opening(place, words))
    return found


def _classified(
    script: Script,
    directive: Mode | None,
    openings: Sequence[_Opening],
    rules: sql.Rules,
    no_transaction_reason: Callable[[Sequence[str]], str | None],
) -> Script:
    """The script with its mode, and why it has it."""
    statements = script.statements
    needing = [(place, reason) for place, words in openings if (reason := no_transaction_reason(words))]
    modes = _wrapped(statements, openings, rules)
    if modes is not None and directive is not Mode.NO_TRANSACTION:
        if needing:
            place, reason = needing[0]
            raise _RefusedError(
                place, f"{reason} cannot run between BEGIN and COMMIT", "remove BEGIN and COMMIT"
            )
        start = statements.end(0)
        start += 1 if script.source[start : start + 1] == b";" else 0
        inner = replace(
            script, statements=statements.inner(), start=start, end=statements.start(len(statements) - 1)
        )
        return replace(inner, characteristics=modes or _set_transaction(openings, 1, rules))
    transactions = _transactions(statements, openings, directive)
    inside = [(place, why) for place, why in needing if any(a <= place <= b for a, b in transactions)]
    if inside:
        place, reason = inside[0]
        raise _RefusedError(place, f"{reason} cannot run between BEGIN and COMMIT", "move it out of them")
    if needing and directive is Mode.TRANSACTION:
        place, reason = needing[0]
        remedy = "remove `-- fluxmig: transaction`"
        raise _RefusedError(place, f"{reason} cannot run in a transaction", remedy)
    if needing or transactions or directive is Mode.NO_TRANSACTION:
        reason = needing[0][1] if needing else OWN_TRANSACTIONS if transactions else "the file says so"
        return replace(script, mode=Mode.NO_TRANSACTION, reason=reason, transactions=transactions)
    if rules.pragmas:
        asked, late = _foreign_keys(statements, rules)
        return replace(script, characteristics=asked, warnings=(*script.warnings, *late))
    asked = _set_transaction(openings, 0, rules)
    return replace(script, characteristics=asked) if asked else script


# --- transaction control ----------------------------------------------------------------------------------


def _control(words: tuple[str, ...]) -> str | None:
    """Whether a statement opens, closes or rolls back a transaction of this session; a savepoint is none."""
    match words:
        case ("ROLLBACK" | "COMMIT", "PREPARED", *_):
            return None
        case ("ROLLBACK" | "ABORT", *rest) if "TO" not in rest:
            return "roll back"
        case ("COMMIT" | "END", *_) | ("PREPARE", "TRANSACTION", *_):
            return "close"
        case ("BEGIN", *_) | ("START", "TRANSACTION", *_):
            return "open"
        case _:
            return None


def _wrapped(statements: Statements, openings: Sequence[_Opening], rules: sql.Rules) -> str | None:
    """What the BEGIN asks of a file that is one transaction as a whole; None where it is not."""
    controls = [opening for opening in openings if _control(opening.words)]
    if [opening.place for opening in controls] != [0, len(statements) - 1]:
        return None
    begin, commit = controls
    ignored = _NOISE if rules.psql else _NOISE | _KINDS
    modes = " ".join(word for word in begin.words[1:] if word not in ignored)
    if begin.words[0] not in {"BEGIN", "START"} or not _is_characteristics(modes, rules):
        return None
    return modes if commit.words[0] in {"COMMIT", "END"} and set(commit.words[1:]) <= _NOISE else None


def _is_characteristics(modes: str, rules: sql.Rules) -> bool:
    return re.fullmatch(_CHARACTERISTICS, modes) is not None if rules.psql else not modes


def _set_transaction(openings: Sequence[_Opening], first: int, rules: sql.Rules) -> str | None:
    """What SET TRANSACTION asks, where it is the first statement; it has to precede every query."""
    for place, words in openings:
        if place == first and words[:2] == ("SET", "TRANSACTION"):
            modes = " ".join(words[2:])
            return modes if modes and _is_characteristics(modes, rules) else None
    return None


def _foreign_keys(statements: Statements, rules: sql.Rules) -> tuple[str | None, tuple[str, ...]]:
    """What PRAGMA foreign_keys says at the head of a file; and what to say of one that comes too late.

    Behind the last other statement it puts back what is put back in any case.
    """
    source = statements.source
    verbs = [sql.first_word(source, statements.start(place)) for place in range(len(statements))]
    others = [place for place, verb in enumerate(verbs) if verb != b"PRAGMA"] or [len(statements)]
    asked = None
    late = []
    for place, verb in enumerate(verbs):
        tokens = sql.tokens(statements[place].sql, rules, 8) if verb == b"PRAGMA" else []
        words = [token.strip("'\"").upper() for token in tokens]
        if FOREIGN_KEYS.upper() not in words[1:4] or not {"=", "("} & set(words):
            continue
        if place < others[0]:
            asked = f"{FOREIGN_KEYS} = {'OFF' if not _OFF.isdisjoint(words[2:]) else 'ON'}"
        elif place < others[-1]:
            line = statements[place].line
            late.append(
                f"PRAGMA {FOREIGN_KEYS} in line {line} has no effect inside the transaction: put it at the"
                " head of the file, or begin the file with `-- fluxmig: no-transaction`"
            )
    return asked, tuple(late)


def _transactions(
    statements: Statements, openings: Sequence[_Opening], directive: Mode | None
) -> tuple[tuple[int, int], ...]:
    """The file's own transactions: the places of BEGIN and of what ends it."""
    found: list[tuple[int, int]] = []
    opened: _Opening | None = None
    by_hand = (
        "" if directive else "; for a file without a transaction, begin it with `-- fluxmig: no-transaction`"
    )
    for opening in openings:
        place, words = opening
        control = _control(words)
        named = " ".join(words[: 1 + (words[0] in {"START", "PREPARE"})])
        if control == "roll back":
            message = f"{named} would undo what the ledger records as done"
            raise _RefusedError(place, message, "remove the statement")
        if control and directive is Mode.TRANSACTION:
            message = f"{named} in a file that shall run in one transaction"
            raise _RefusedError(place, message, "remove the statement, or `-- fluxmig: transaction`")
        if control == "open":
            if opened:
                line = statements[opened.place].line
                message = f"{named} inside the transaction of line {line}"
                raise _RefusedError(place, message, "remove the statement, or add COMMIT before it")
            opened = opening
        elif control == "close":
            if opened is None:
                message = f"{named} ends a transaction that the file did not begin"
                raise _RefusedError(place, message, f"remove the statement{by_hand}")
            if "CHAIN" in words and "NO" not in words:
                message = f"{named} AND CHAIN leaves a transaction open"
                raise _RefusedError(place, message, f"write {named} and BEGIN")
            found.append((opened.place, place))
            opened = None
    if opened:
        message = "this transaction is never committed"
        raise _RefusedError(opened.place, message, f"add COMMIT, or remove the statement{by_hand}")
    return tuple(found)


def _refuse(openings: Sequence[_Opening], refusal: Callable[[Sequence[str]], tuple[str, str] | None]) -> None:
    """Refuses what the database could not go on behind."""
    for place, words in openings:
        if why := refusal(words):
            raise _RefusedError(place, *why)


def _refuse_output(openings: Sequence[_Opening]) -> None:
    """Refuses COPY ... TO STDOUT, whose rows nobody would read."""
    for place, words in openings:
        depth = 0
        for number, word in enumerate(words if words[0] == "COPY" else ()):
            depth += (word == "(") - (word == ")")
            if word == "TO" and not depth and words[number + 1 : number + 2] == ("STDOUT",):
                message = "COPY ... TO STDOUT sends rows to the client, and there is none to read them"
                raise _RefusedError(place, message, "remove the statement")


# --- directives -------------------------------------------------------------------------------------------


def _directives(path: Path, source: bytes, head_end: int, rules: sql.Rules) -> _Directives | FileProblem:
    """What the `-- fluxmig:` lines before the first statement say, or what is wrong with one."""
    found: dict[str, str] = {}
    allowed: list[Allowance] = []
    for match in _DIRECTIVE.finditer(source, 0, head_end):
        if not _counts(match, 0, rules):
            continue
        word = re.sub(r"\s*=\s*", "=", match["text"].decode().strip())
        key, _, value = word.rpartition("=")
        if key in _TIMEOUTS:
            if not re.fullmatch(_DURATION, value):
                message = f"{value!r} is no time for {key}"
                remedy = f"write a number and ms, s, min or h: `-- fluxmig: {key}=30s`; 0 is for ever"
                return _problem(path, source, match.start("text"), message, remedy)
        elif key == "allow" and re.fullmatch(_NAMES, value):
            line, _ = sql.line_column(source, match.start())
            allowed += [Allowance(name.strip(), line) for name in value.split(",")]
            continue
        elif word not in _DIRECTIVES or key == "allow":
            import difflib  # noqa: PLC0415  # only on the way out

            near = difflib.get_close_matches(word.lower(), _DIRECTIVES, n=1)
            remedy = (
                f"did you mean `-- fluxmig: {near[0]}`?" if near else f"known are {', '.join(_DIRECTIVES)}"
            )
            return _problem(path, source, match.start("text"), f"unknown directive {word!r}", remedy)
        if found.setdefault(key, value) != value:
            message = f"{word} contradicts {key}{'=' if key else ''}{found[key]}"
            return _problem(path, source, match.start("text"), message, "keep one of the two")
    mode, policy = found.get(""), found.get("on-duplicate")
    limits = Limits(*(_seconds(found[timeout]) if timeout in found else None for timeout in _TIMEOUTS))
    by_file = OnDuplicate(policy) if policy else None
    return _Directives(Mode(mode) if mode else None, by_file, limits, tuple(allowed))


def _seconds(duration: str) -> float:
    match = re.fullmatch(_DURATION, duration)
    return float(match["number"]) * _UNITS_S[match["unit"]] if match and match["number"] else 0.0


def _late_directives(statements: Statements, rules: sql.Rules) -> tuple[str, ...]:
    """What to say of directives behind the first statement, where they do not count."""
    source = statements.source
    found = []
    for match in statements.matches(_DIRECTIVE):
        at = match.start()
        place = statements.index_at(at) or 0
        before = [end for _, end in statements.gaps if end <= at]
        between = at >= statements.end(place) and not any(start <= at < end for start, end in statements.gaps)
        if between and _counts(match, max([statements.end(place), *before]), rules):
            line, _ = sql.line_column(source, at)
            found.append(f"the directive in line {line} does not count: it stands behind the first statement")
    return tuple(found)


def _counts(match: re.Match[bytes], start: int, rules: sql.Rules) -> bool:
    """Whether a directive has a line of its own and is not in a block comment.

    Args:
        match: The directive.
        start: Some offset before it in the space between the same two statements.
        rules: The database's lexical rules.
    """
    source, at = match.string, match.start()
    line = source[source.rfind(b"\n", 0, at) + 1 : at].rpartition(b"\r")[2]
    try:
        return not line.strip(b" \t") and bool(sql.split(source[start:at] + b"x", rules))
    except sql.UnclosedError:
        return False


# --- how a script is sent ---------------------------------------------------------------------------------


class Message(NamedTuple):
    """What the server gets at once.

    Attributes:
        start: Offset of its first byte in the script.
        end: Offset behind its last.
        first: Place of its first statement, from 0.
        last: The place behind its last.
        rows: The range of the rows that follow it, if it is a COPY.
    """

    start: int
    end: int
    first: int
    last: int
    rows: tuple[int, int] | None = None


def messages(script: Script, limit: int) -> Iterator[Message]:
    """The script in messages of about `limit` bytes that no gap interrupts; from behind what is done.

    Together they are the file byte for byte, but for its gaps and the BEGIN and COMMIT around it.
    """
    statements = script.statements
    count, place = len(statements), script.done
    if place >= count:
        return
    position = statements.start(place) if place else script.start
    gaps = [gap for gap in statements.gaps if position <= gap[0] <= script.end]
    for gap_start, gap_end in [*gaps, (script.end, script.end)]:
        while place < count and statements.start(place) < gap_start:
            last = place + 1
            while (
                last < count
                and statements.start(last) < gap_start
                and statements.end(last) - position <= limit
            ):
                last += 1
            whole = last == count or statements.start(last) >= gap_start
            end = gap_start if whole else statements.start(last)
            yield Message(position, end, place, last)
            place, position = last, end
        if place < count and statements.start(place) == gap_start and (rows := statements.rows(place)):
            yield Message(gap_start, statements.end(place), place, place + 1, rows)
            place += 1
        position = gap_end


class Unit(NamedTuple):
    """What of a script without a transaction is done as a whole, or not.

    Attributes:
        first: Place of its first statement, from 0.
        last: The place behind its last.
        own: Whether it is a transaction of the file's own, from BEGIN to COMMIT.
    """

    first: int
    last: int
    own: bool = False


def units(script: Script) -> Iterator[Unit]:
    """The parts of a script without a transaction, in order; from behind what is done."""
    place = script.done
    for begin, commit in [*script.transactions, (len(script.statements), len(script.statements))]:
        while place < begin:
            yield Unit(place, place + 1)
            place += 1
        if place == begin < len(script.statements):
            yield Unit(begin, commit + 1, own=True)
            place = commit + 1


def holds_progress(script: Script, unit: Unit) -> bool:
    """Whether the file's own transaction can hold its row of progress, right before its last statement.

    Not so of a PREPARE TRANSACTION, which commits at some later time, and of a BEGIN READ ONLY.
    """
    opening = sql.tokens(script.statements[unit.first].sql, sql.GENERIC)
    verb = sql.first_word(script.source, script.statements.start(unit.last - 1))
    return verb in {b"COMMIT", b"END"} and "READ ONLY" not in " ".join(opening).upper()


# --- what is done already ---------------------------------------------------------------------------------


class Digest:
    """SHA-256 of the first statements of a script: what an attempt that resumes must find unchanged.

    Line endings do not count, as they do not for a migration that is applied.
    """

    def __init__(self, script: Script) -> None:
        self._statements = script.statements
        self._done = 0
        self._hash = hashlib.sha256()

    def of_first(self, count: int) -> str:
        """64 hexadecimal digits; `count` must not fall from call to call."""
        source = self._statements.source
        view = memoryview(source)
        for place in range(self._done, count):
            sql_of_it = (self._statements.start(place), self._statements.end(place))
            for start, end in (sql_of_it, self._statements.rows(place) or (0, 0)):
                has_cr = source.find(b"\r", start, end) >= 0
                part = with_lf(source[start:end]) if has_cr else view[start:end]
                self._hash.update(len(part).to_bytes(8, "big"))
                self._hash.update(part)
        self._done = count
        return self._hash.hexdigest()


def resume(
    script: Script, progress: Progress | None, repeatable: Callable[[str], bool | None]
) -> Script | Finding:
    """The script, to go on behind what an earlier attempt has done; or why it cannot.

    Args:
        script: As the file is now.
        progress: What the log says, or None.
        repeatable: Whether a statement only sets the session, so that it has to be sent again in a new one;
            None where it made something in the session that is gone for good.
    """
    if progress is None:
        return replace(script, done=0, interrupted=False) if script.done or script.interrupted else script
    done = progress.done
    name = quote(script.name)
    restart = f"`fluxmig run --restart {name}` begins with statement 1, once what they did is undone"
    if script.path.name != script.name:
        restart = (
            f"`fluxmig resolve {name} --retry` has the next rollback begin with statement 1, once what"
            " they did is undone; `fluxmig rollback --record-only` removes the record, once all is"
        )
    said = f"{script.name}: an earlier attempt has done {_first(done)}"
    same = done <= len(script.statements) and (not done or Digest(script).of_first(done) == progress.digest)
    if not same:
        remedy = f"put the old text back, and change only what comes after; or {restart}"
        return Finding("partial", f"{said}, and the file has changed there since", (script.name,), remedy)
    script = replace(script, done=done, interrupted=progress.interrupted)
    for statement in session_statements(script, done):
        if repeatable(statement.sql) is None:
            message = f"{said}; what statement {statement.number} made was gone with its session"
            return Finding("partial", f"{message}: {statement.first_line}", (script.name,), restart)
    return script


def resumed(script: Script, progress: Progress | None, repeatable: Callable[[str], bool | None]) -> Script:
    """As `resume`; raises `LedgerError` where the script cannot go on."""
    found = resume(script, progress, repeatable)
    if isinstance(found, Finding):
        raise LedgerError(found.message, remedy=found.remedy, names=found.names)
    return found


def session_statements(script: Script, count: int | None = None) -> Iterator[Statement]:
    """Of the first statements, or of all, those that can leave something in the session, by their verbs."""
    for place in range(len(script.statements) if count is None else count):
        if sql.first_word(script.source, script.statements.start(place)) not in _NO_SESSION_VERBS:
            yield script.statements[place]


def _first(count: int) -> str:
    return (
        "its statement 1"
        if count == 1
        else f"its statements 1 to {count}"
        if count
        else "none of its statements"
    )


def _problem(path: Path, source: bytes, offset: int, message: str, remedy: str | None = None) -> FileProblem:
    line, column = sql.line_column(source, offset)
    return FileProblem(path, message, line, column, excerpt(source, offset), remedy)
