r"""Text -> statements with positions, by a dialect's lexical rules.

A semicolon ends a statement unless something hides it: a string, a quoted identifier, a comment, a dollar
quote, parentheses, or the body of a routine or trigger. A `Rules` value says which of these a dialect has;
one lexer, compiled from it, knows nothing else.

The lexer is two regular expressions. `token` reads one token, and decides everything. `skip` jumps over a run
of tokens that cannot end a statement, and only saves time. Every repeat is possessive and without groups, so
time is linear and memory constant whatever the text. What stands between statements and belongs to none (a
`DELIMITER` line) is read in `split`.

Sources: PostgreSQL manual 4.1, scan.l (server), psqlscan.l (psql). SQLite tokenize.c, complete.c. MySQL
manual 11.1.1, 11.2 and 11.7, sql_lex.cc (server), mysql.cc (client). Rules name theirs where they stand.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from fluxmig.model import Statement

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GENERIC", "MYSQL", "POSTGRESQL", "SQLITE", "Block", "Rules", "UnclosedError"]
__all__ += ["line_column", "split", "words"]


class UnclosedError(Exception):
    """A string, quoted identifier or comment is opened and never closed.

    Attributes:
        what: "string", "quoted identifier", "block comment" or "dollar-quoted string $tag$".
        offset: Where it was opened; `line` and `column`, from 1, say the same.
    """

    def __init__(self, what: str, sql: str, offset: int) -> None:
        self.what = what
        self.offset = offset
        self.line, self.column = line_column(sql, offset)
        super().__init__(f"{what} opened at line {self.line}, column {self.column} is never closed")


@dataclass(frozen=True, slots=True)
class Block:
    """A kind of statement whose body holds semicolons.

    Attributes:
        header: Matches its first six words, joined by spaces; the first is CREATE or EXPLAIN.
        step: (depth, word before, word) -> depth, for each token outside parentheses, in upper case and ""
            for anything quoted. Semicolons end the statement at depth 0, where it starts.
    """

    header: re.Pattern[str]
    step: Callable[[int, str, str], int]


@dataclass(frozen=True, slots=True)
class Rules:
    """What hides a semicolon in a dialect. The defaults are standard SQL (ISO 9075-2, 5.2 and 5.3).

    Attributes:
        line_comment: Pattern of a comment that ends with its line, without the line's end.
        nested_comments: Block comments hold block comments.
        open_comments: The end of the text closes a block comment.
        executable_comments: `/*! ... */` and `/*M! ... */` are code.
        ansi_quotes: "..." is an identifier; if not, it is a string.
        more_quotes: What else opens an identifier, of "`[".
        backslash_escapes: In every string, a backslash escapes the next character.
        escape_strings: In E'...' it does.
        dollar_quotes: $tag$ ... $tag$ is a string.
        parentheses: Semicolons inside parentheses end nothing.
        delimiter_command: A line `DELIMITER xx` sets what ends the statements after it.
        block: The statements whose bodies hold semicolons, if there are any.
    """

    line_comment: str = r"--[^\n]*+"
    nested_comments: bool = True
    open_comments: bool = False
    executable_comments: bool = False
    ansi_quotes: bool = True
    more_quotes: str = ""
    backslash_escapes: bool = False
    escape_strings: bool = False
    dollar_quotes: bool = False
    parentheses: bool = False
    delimiter_command: bool = False
    block: Block | None = None


def _atomic_body(depth: int, before: str, word: str) -> int:
    """psqlscan.l, {identifier}: BEGIN and CASE open, END closes.

    Stricter than psql twice: BEGIN opens only before ATOMIC, the one word the grammar allows there, so a
    function may be named "begin"; and what follows AS or a dot is a name, as in `SELECT 1 AS end`.
    """
    if word == "ATOMIC" and before == "BEGIN":
        return depth + 1
    if depth and before not in {"AS", "."}:
        return depth + (word == "CASE") - (word == "END")
    return depth


def _trigger_body(depth: int, before: str, word: str) -> int:
    """complete.c: a trigger ends with a semicolon, END and a semicolon, and with nothing less."""
    if word == "END" and before == ";":
        return 0
    return depth if word == ";" else 1


GENERIC: Final = Rules()

POSTGRESQL: Final = Rules(
    line_comment=r"--[^\n\r]*+",  # scan.l: {comment}
    escape_strings=True,
    dollar_quotes=True,
    parentheses=True,  # psqlscan.l: paren_depth, for CREATE RULE ... DO (a; b)
    block=Block(re.compile(r"CREATE (OR REPLACE )?(FUNCTION|PROCEDURE)\b"), _atomic_body),
)

SQLITE: Final = Rules(
    nested_comments=False,
    open_comments=True,  # tokenize.c: CC_SLASH
    more_quotes="`[",
    block=Block(re.compile(r"(EXPLAIN (QUERY PLAN )?)?CREATE (TEMP |TEMPORARY )?TRIGGER\b"), _trigger_body),
)

MYSQL: Final = Rules(
    line_comment=r"(?:#|--(?=[\x00-\x20\x7f]|\Z))[^\n]*+",  # sql_lex.cc: MY_LEX_MINUS_OR_COMMENT
    nested_comments=False,
    executable_comments=True,
    ansi_quotes=False,
    more_quotes="`",
    backslash_escapes=True,
    delimiter_command=True,
)


def line_column(sql: str, offset: int) -> tuple[int, int]:
    r"""Line and column of an offset, both from 1.

    A line ends at \n, as psql counts its input: \r\n ends one line, a lone \r none.
    """
    return sql.count("\n", 0, offset) + 1, offset - sql.rfind("\n", 0, offset)


def split(sql: str, rules: Rules) -> list[Statement]:
    """The statements of a script, in order, without empty ones; the last needs no terminator.

    Raises:
        UnclosedError: A string, quoted identifier or comment is never closed.
    """
    lexer = _lexer(rules, ";")
    statements: list[Statement] = []
    position = counted = line_start = 0
    line = 1
    while True:
        kind, start, end = _token(sql, position, lexer)
        if kind == "end":
            return statements
        if kind == "delimiter":
            position = end
        elif rules.delimiter_command and (command := _DELIMITER_COMMAND.match(sql, start)):
            lexer = _lexer(rules, command["quoted"] or command["bare"])
            position = command.end()
        else:
            end, position = _end_of_statement(sql, start, end, lexer)
            line += sql.count("\n", counted, start)
            line_start = max(line_start, sql.rfind("\n", counted, start) + 1)
            counted = start
            number, column = len(statements) + 1, start - line_start + 1
            statements.append(Statement(number, sql[start:end], start, end, line, column))


def words(statement_sql: str, rules: Rules, limit: int = 8) -> tuple[str, ...]:
    r"""The first tokens of a statement, to tell what it does; the rest is not read.

    Words are in upper case. Anything quoted is its last character (`'`, `"`, a backtick, `]`, `$`, and `/`
    for an executable comment). All else comes one character at a time.

    Raises:
        UnclosedError: One of these tokens is never closed.
    """
    return _words(statement_sql, 0, _lexer(rules, ";"), limit)


# --- the lexer --------------------------------------------------------------------------------------------

_SPACE: Final = r"[ \t\n\r\f\v]"  # scan.l: {space}
_NO_WORD: Final = "".join(c for c in map(chr, range(128)) if not (c.isalnum() or c in "_$"))
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_UNCLOSED: Final = {"string": "string", "identifier": "quoted identifier", "comment": "block comment"}
# mysql.cc, com_delimiter and get_arg: the first argument, quoted or not; the rest of the line is ignored.
_DELIMITER_COMMAND: Final = re.compile(
    r"""(?i)delimiter[ \t]+(?:(?P<quote>['"`])(?P<quoted>[^\n\\]+?)(?P=quote)|(?P<bare>[^\s\\]+))[^\n]*"""
)


class _Lexer(NamedTuple):
    """The rules, compiled. Both patterns match anywhere; a token's kind is the name of its group."""

    rules: Rules
    token: Callable[[str, int], re.Match[str]]
    skip: Callable[[str, int], re.Match[str]]


def _token(sql: str, position: int, lexer: _Lexer) -> tuple[str, int, int]:
    """Kind, start and end of the next token at or behind a position between tokens."""
    while True:
        match = lexer.token(sql, position)
        kind = match.lastgroup or ""
        start, end = match.span(kind)
        if kind == "nested":
            position = _end_of_comment(sql, start)
        elif kind == "dollar":  # scan.l: <xdolq>; the first identical delimiter closes it
            delimiter = sql[start:end]
            if (close := sql.find(delimiter, end)) < 0:
                raise UnclosedError(f"dollar-quoted string {delimiter}", sql, start)
            return "quoted", start, close + len(delimiter)
        elif kind in _UNCLOSED:
            raise UnclosedError(_UNCLOSED[kind], sql, start)
        else:
            return kind, start, end


def _end_of_comment(sql: str, start: int) -> int:
    """Where a block comment that may hold others ends."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(sql, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    raise UnclosedError("block comment", sql, start)


def _end_of_statement(sql: str, start: int, end: int, lexer: _Lexer) -> tuple[int, int]:
    """Where the statement with this first token ends, and where to read on behind its delimiter."""
    block = lexer.rules.block
    if sql[start:end].upper() not in {"CREATE", "EXPLAIN"} or (
        block and not block.header.match(" ".join(_words(sql, start, lexer, 6)))
    ):
        block = None
    end = start
    depth = parentheses = 0
    before = ""
    while True:
        if not block:
            end = lexer.skip(sql, end).end()
        kind, begin, after = _token(sql, end, lexer)
        if kind == "end" or (kind == "delimiter" and not depth and not parentheses):
            return end, after
        end = after
        if kind == "open":
            parentheses += 1
        elif kind == "close":
            parentheses = max(parentheses - 1, 0)
        if block and not parentheses:
            word = "" if kind == "quoted" else sql[begin:after].upper()
            depth = block.step(depth, before, word)
            before = word


def _words(sql: str, position: int, lexer: _Lexer, limit: int) -> tuple[str, ...]:
    """The first tokens at or behind a position, as `words` gives them."""
    found: list[str] = []
    while len(found) < limit:
        kind, start, position = _token(sql, position, lexer)
        if kind == "end":
            break
        found.append(sql[position - 1] if kind == "quoted" else sql[start:position].upper())
    return tuple(found)


def _many(body: str, *, at_most: int | None = None) -> str:
    """Pattern of the body as often as it matches, with no way back into it.

    Before Python 3.11.5, a possessive repeat of more than one character goes wrong where its last try matches
    in part (python/cpython#106052). An atomic group is as exact there, and keeps what it has tried in memory
    until it ends; `at_most` bounds that where stopping early is no harm.
    """
    if sys.version_info >= (3, 11, 5):
        return f"(?:{body})*+"
    return f"(?>(?:{body}){{0,{at_most or ''}}})"


def _quoted(quote: str, *, backslash: bool = False) -> str:
    """Pattern of something quoted; a doubled quote does not close it."""
    if quote == "[":  # tokenize.c: CC_QUOTE2
        return r"\[[^\]]*+\]"
    plain = rf"[^{quote}\\]*+" if backslash else rf"[^{quote}]*+"
    escape = rf"{quote}{quote}|\\." if backslash else quote * 2
    return quote + plain + _many(rf"(?:{escape}){plain}") + quote


def _escape_string(line_comment: str) -> str:
    """Pattern of E'...' with the strings on later lines that continue it.

    scan.l, <xqs> {quotecontinue}: they are read in the state of the first, so backslashes escape there too.
    """
    string = _quoted("'", backslash=True)
    gap = _many(rf"[ \t\f\v]|{line_comment}") + r"[\n\r]" + _many(rf"{_SPACE}|{line_comment}[\n\r]")
    return rf"[eE]{string}{_many(gap + string)}(?!{gap}')"


def _block_comment(rules: Rules) -> str:
    """Pattern of a block comment that holds no other."""
    if rules.nested_comments:
        return r"/\*[^*/]*+" + _many(r"(?:\*(?!/)|/(?!\*))[^*/]*+") + r"\*/"
    start = r"/\*(?!M?!)" if rules.executable_comments else r"/\*"
    inside = "[^*]*+" + _many(r"\*(?!/)[^*]*+")
    return rf"{start}(?!\Z){inside}(?:\*/|\Z)" if rules.open_comments else rf"{start}{inside}\*/"


@lru_cache(maxsize=64)
def _lexer(rules: Rules, delimiter: str) -> _Lexer:
    """The lexer for statements that end with this delimiter."""
    strings = "'" if rules.ansi_quotes else "'\""
    identifiers = rules.more_quotes + '"' * rules.ansi_quotes
    quoted = "|".join(
        [_quoted(quote, backslash=rules.backslash_escapes) for quote in strings]
        + [_quoted(quote) for quote in identifiers]
        + [_escape_string(rules.line_comment)] * rules.escape_strings
    )
    comment = rf"{rules.line_comment}|{_block_comment(rules)}"
    if rules.executable_comments:  # sql_lex.cc: it holds strings and comments like other code
        code = rf"[^*'\"`/#-]++|{quoted}|{comment}|\*(?!/)|[/#-]"
        quoted += r"|/\*M?!" + _many(code) + r"\*/"
    # scan.l: the e of somee'...' ends a word, the e of e'...' starts none; $ and digits start none either.
    start, within = f"[^{re.escape(_NO_WORD)}$0-9]", f"[^{re.escape(_NO_WORD)}]"
    if delimiter != ";":  # mysql.cc: in `END$$`, the delimiter ends the word
        within = f"(?:(?!{re.escape(delimiter)}){within})"
    word = ("(?![eE]')" if rules.escape_strings else "") + start + _many(within)

    kinds = {
        "end": r"\Z",
        "delimiter": re.escape(delimiter),
        "quoted": quoted,
        "word": word,
        "number": "[0-9]++",
        "string": rf"(?>(?:[eE](?='))?)[{strings}]",
        "identifier": f"[{re.escape(identifiers)}]" if identifiers else "",
        "dollar": rf"\$(?>(?:{start}[^{re.escape(_NO_WORD)}$]*+)?)\$" if rules.dollar_quotes else "",
        "nested": r"/\*" if rules.nested_comments else "",
        "comment": "" if rules.nested_comments or rules.open_comments else r"/\*",
        "open": r"\(" if rules.parentheses else "",
        "close": r"\)" if rules.parentheses else "",
        "other": ".",
    }
    blank = _many(rf"{_SPACE}++|{comment}")
    token = "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in kinds.items() if pattern)

    special = rf";$#-/{strings}{identifiers}" + "()" * rules.parentheses
    plain = "".join(c for c in _NO_WORD if not c.isspace() and c not in special)
    simple = rf"{blank}(?:{word}|[0-9{re.escape(plain)}]++|{quoted}|-|/(?!\*))"
    skip = _many(rf"{simple}|{blank}\({_many(simple)}{blank}\)", at_most=1000) if delimiter == ";" else ""
    patterns = (re.compile(pattern, re.DOTALL).match for pattern in (f"{blank}(?:{token})", skip))
    return _Lexer(rules, *cast("list[Callable[[str, int], re.Match[str]]]", list(patterns)))
