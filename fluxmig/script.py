"""One file + its database's rules -> a Script that can run, or the problems that refuse it. Pure.

Everything that can be known to go wrong is said here, before the first statement of the first migration.
"""

from __future__ import annotations

import difflib
import itertools
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from fluxmig import sql
from fluxmig.excerpt import excerpt
from fluxmig.model import FileProblem, Mode, Script

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fluxmig.model import Statement

__all__ = ["prepare"]

_LOOK = 64
"""Words of a statement that tell what it is."""

# Statements that no rule here is about. Files of data hold 100,000 of them, so they share what is known.
_PLAIN = {verb: (verb,) for verb in ("INSERT", "UPDATE", "DELETE", "SELECT", "WITH", "VALUES", "SET")}

_DIRECTIVE = re.compile(r"[ \t]*--[ \t]*fluxmig:[ \t]*(?P<text>[^\r\n]*)", re.IGNORECASE)
_DIRECTIVES = tuple(mode.value for mode in Mode)
_BEGIN = frozenset({("BEGIN",), ("BEGIN", "WORK"), ("BEGIN", "TRANSACTION"), ("START", "TRANSACTION")})
_COMMIT = frozenset(
    {(verb, *noise) for verb in ("COMMIT", "END") for noise in ((), ("WORK",), ("TRANSACTION",))}
)


def prepare(
    name: str,
    path: Path,
    checksum: str,
    text: str,
    rules: sql.Rules,
    no_transaction_reason: Callable[[Sequence[str]], str | None],
) -> Script | FileProblem:
    """Splits and classifies one file.

    A file that is wrapped in BEGIN and COMMIT as a whole means one transaction, and gets it, with its ledger
    row inside: both words are blanked out, so that offsets stay those of the file.

    Args:
        name: The migration it belongs to.
        path: The file.
        checksum: The migration's checksum.
        text: The file's text.
        rules: The database's lexical rules.
        no_transaction_reason: Why a statement that begins with these words needs no transaction, or None.
    """
    statements, unclosed = _split(text, rules)
    openings = [_opening(statement, rules) for statement in statements]
    for statement, words in zip(statements, openings, strict=True):
        if refusal := _refusal(words):
            return _problem(path, text, statement.line, statement.column, *refusal)
    if unclosed:
        return _problem(path, text, unclosed.line, unclosed.column, f"this {unclosed.what} is not closed")
    directive = _directive(path, text, statements)
    if isinstance(directive, FileProblem):
        return directive
    blanked = text
    if directive is not Mode.NO_TRANSACTION and _is_wrapped(openings):
        blanked = _blank(_blank(text, statements[0]), statements[-1])
        statements = [replace(inner, number=inner.number - 1) for inner in statements[1:-1]]
        openings = openings[1:-1]
    mode, reason, needing = _mode(directive, statements, openings, no_transaction_reason)
    if needing and directive is Mode.TRANSACTION:
        message = f"{reason} cannot run in a transaction"
        return _problem(path, text, needing.line, needing.column, message, "remove `-- fluxmig: transaction`")
    if needing and blanked is not text:
        message = f"{reason} cannot run between BEGIN and COMMIT"
        return _problem(path, text, needing.line, needing.column, message, "remove BEGIN and COMMIT")
    by_hand = directive is Mode.NO_TRANSACTION
    if found := _misplaced_control(statements, openings, own_transactions=by_hand):
        statement, message, remedy = found
        return _problem(path, text, statement.line, statement.column, message, remedy)
    return Script(name, path, checksum, blanked, tuple(statements), mode, reason)


def _split(text: str, rules: sql.Rules) -> tuple[list[Statement], sql.UnclosedError | None]:
    """The statements; where something is not closed, those before it, and that.

    What is not SQL at all, such as the data of a COPY or a command of psql, often holds a lone quote. It is
    told by the statement before the quote, not by the quote.
    """
    try:
        return sql.split(text, rules), None
    except sql.UnclosedError as error:
        return sql.split(text[: error.offset], rules), error


def _opening(statement: Statement, rules: sql.Rules) -> tuple[str, ...]:
    """The words that tell what a statement is; COPY can name 1600 columns before it says where from."""
    words = sql.words(statement.sql, rules, 1)
    if words[0] in _PLAIN:
        return _PLAIN[words[0]]
    words = sql.words(statement.sql, rules, _LOOK)
    return sql.words(statement.sql, rules, len(statement.sql)) if words[:1] == ("COPY",) else words


def _misplaced_control(
    statements: Sequence[Statement], openings: Sequence[tuple[str, ...]], *, own_transactions: bool
) -> tuple[Statement, str, str] | None:
    """The first statement that begins or ends a transaction where it may not, why, and the way out.

    With `own_transactions`, complete transactions of the file's own are fine.
    """
    opened: Statement | None = None
    for statement, words in zip(statements, openings, strict=True):
        control = _control(words)
        if control is None:
            continue
        if control == "roll back":
            return statement, f"{words[0]} would undo what the ledger records as done", "remove the statement"
        if not own_transactions:
            remedy = (
                "remove the statement: the whole file is one transaction with its ledger row;"
                " or begin the file with `-- fluxmig: no-transaction`"
            )
            return statement, f"{words[0]} in the middle of a file that fluxmig runs", remedy
        if control == "open":
            if opened:
                return statement, f"{words[0]} inside the transaction of line {opened.line}", "remove one"
            opened = statement
        elif opened is None:
            return (
                statement,
                f"{words[0]} ends a transaction that the file did not begin",
                "remove the statement",
            )
        else:
            opened = None
    if opened:
        return opened, "this transaction is never committed", "add COMMIT, or remove the statement"
    return None


def _mode(
    directive: Mode | None,
    statements: Sequence[Statement],
    openings: Sequence[tuple[str, ...]],
    no_transaction_reason: Callable[[Sequence[str]], str | None],
) -> tuple[Mode, str | None, Statement | None]:
    """The mode, why it is without a transaction, and the statement that demands it."""
    for statement, words in zip(statements, openings, strict=True):
        if reason := no_transaction_reason(words):
            return Mode.NO_TRANSACTION, reason, statement
    if directive is Mode.NO_TRANSACTION:
        return Mode.NO_TRANSACTION, "the file says so", None
    return Mode.TRANSACTION, None, None


def _directive(path: Path, text: str, statements: Sequence[Statement]) -> Mode | FileProblem | None:
    """The last `-- fluxmig:` line before the first statement, or what is wrong with one."""
    head = text[: statements[0].start] if statements else text
    found: Mode | None = None
    for number, line in enumerate(head.split("\n"), start=1):
        if not (match := _DIRECTIVE.match(line)):
            continue
        word = match["text"].strip()
        if word not in _DIRECTIVES:
            near = difflib.get_close_matches(word, _DIRECTIVES, n=1)
            remedy = (
                f"did you mean `-- fluxmig: {near[0]}`?" if near else f"known are {', '.join(_DIRECTIVES)}"
            )
            return _problem(
                path, text, number, match.start("text") + 1, f"unknown directive {word!r}", remedy
            )
        if found and found != word:
            remedy = "keep one of the two"
            return _problem(
                path, text, number, match.start("text") + 1, f"{word} contradicts {found}", remedy
            )
        found = Mode(word)
    return found


def _refusal(words: tuple[str, ...]) -> tuple[str, str] | None:
    """Why a statement cannot be run at all, and the way out."""
    if words[:1] == ("\\",):
        return "a command of psql, not SQL", "remove the line, or write it as SQL"
    if words[:1] == ("COPY",) and any(pair == ("FROM", "STDIN") for pair in itertools.pairwise(words)):
        return "COPY ... FROM stdin needs data from the client", "write the rows as INSERT"
    return None


def _is_wrapped(openings: Sequence[tuple[str, ...]]) -> bool:
    return (
        len(openings) > 1
        and openings[0] in _BEGIN
        and openings[-1] in _COMMIT
        and not any(_control(words) for words in openings[1:-1])
    )


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


def _blank(text: str, statement: Statement) -> str:
    """The text with a statement and its terminator turned into spaces."""
    end = statement.end
    blank = re.sub(r"[^\r\n]", " ", statement.sql)
    terminator = re.compile(r"\s*;").match(text, end)
    if terminator:
        blank += text[end : terminator.end() - 1] + " "
        end = terminator.end()
    return text[: statement.start] + blank + text[end:]


def _problem(
    path: Path, text: str, line: int, column: int, message: str, remedy: str | None = None
) -> FileProblem:
    return FileProblem(path, message, line, column, excerpt(text, line, column), remedy)
