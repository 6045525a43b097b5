r"""The bytes of a file -> statements with positions, by a dialect's lexical rules.

A semicolon ends a statement unless something hides it: a string, a quoted identifier, a comment, a dollar
quote, parentheses, or the body of a routine or trigger. A `Rules` value says which of these a dialect has;
one lexer, compiled from it, knows nothing else.

The lexer is two regular expressions. `token` reads one token, and decides everything. `skip` jumps over a run
of tokens that cannot end a statement, and only saves time. Every repeat is possessive and without groups, so
time is linear and memory constant whatever the text. What stands between statements and belongs to none (a
`DELIMITER` line, the rows of a COPY, a line for psql) is read in `split`.

It reads bytes: in UTF-8, no byte of a character beyond ASCII is that of an ASCII character, and a file of a
gigabyte is held once and in its own size.

Sources: PostgreSQL manual 4.1, scan.l (server), psqlscan.l (psql). SQLite tokenize.c, complete.c. MySQL
manual 11.1.1, 11.2 and 11.7, sql_lex.cc (server), mysql.cc (client). Rules name theirs where they stand.
"""

from __future__ import annotations

import re
import sys
from array import array
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from fluxmig.model import Statements

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GENERIC", "MYSQL", "POSTGRESQL", "SQLITE", "Block", "Rules", "SplitError", "UnclosedError"]
__all__ += ["ascii_lower", "first_word", "line_column", "split", "tokens", "unquoted", "words"]


class SplitError(Exception):
    """A script that cannot be taken apart.

    Attributes:
        message: What is wrong.
        offset: Where; `line` and `column`, from 1, say the same.
        remedy: The way out, or None.
    """

    def __init__(self, message: str, source: bytes, offset: int, remedy: str | None = None) -> None:
        self.message = message
        self.offset = offset
        self.remedy = remedy
        self.line, self.column = line_column(source, offset)
        super().__init__(f"line {self.line}, column {self.column}: {message}")


class UnclosedError(SplitError):
    """A string, quoted identifier or comment is opened and never closed.

    Attributes:
        what: "string", "quoted identifier", "block comment" or "dollar-quoted string $tag$".
    """

    def __init__(self, what: str, source: bytes, offset: int) -> None:
        self.what = what
        super().__init__(f"this {what} is not closed", source, offset)


@dataclass(frozen=True, slots=True)
class Block:
    """A kind of statement whose body holds semicolons.

    Attributes:
        header: A pattern of its first six words, joined by spaces; the first is CREATE or EXPLAIN.
        second: The second of them is one of these.
        step: (depth, word before, word) -> depth, for each token outside parentheses, in upper case and ""
            for anything quoted. Semicolons end the statement at depth 0, where it starts.
    """

    header: str
    second: frozenset[str]
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
        psql: Files are written for psql: rows stand behind COPY ... FROM stdin, and a backslash outside of
            everything quoted begins a command of psql's own. What SET says of standard_conforming_strings
            holds for the statements after it.
        pragmas: PRAGMA sets the session, foreign_keys only outside of transactions.
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
    psql: bool = False
    pragmas: bool = False
    block: Block | None = None

    def __hash__(self) -> int:
        return hash((self.line_comment, self.more_quotes, self.backslash_escapes))  # all would take longer


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
    psql=True,
    block=Block(
        r"CREATE (OR REPLACE )?(FUNCTION|PROCEDURE)\b",
        frozenset({"OR", "FUNCTION", "PROCEDURE"}),
        _atomic_body,
    ),
)

SQLITE: Final = Rules(
    nested_comments=False,
    open_comments=True,  # tokenize.c: CC_SLASH
    more_quotes="`[",
    pragmas=True,
    block=Block(
        r"(EXPLAIN (QUERY PLAN )?)?CREATE (TEMP |TEMPORARY )?TRIGGER\b",
        frozenset({"QUERY", "CREATE", "TEMP", "TEMPORARY", "TRIGGER"}),
        _trigger_body,
    ),
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


def line_column(source: bytes, offset: int) -> tuple[int, int]:
    r"""Line and column of an offset, both from 1; the column in characters.

    A line ends at \n, as psql counts its input: \r\n ends one line, a lone \r none.
    """
    line_start = source.rfind(b"\n", 0, offset) + 1
    return source.count(b"\n", 0, offset) + 1, len(source[line_start:offset].decode(errors="replace")) + 1


def split(source: bytes, rules: Rules) -> Statements:
    """The statements of a script, in order, without empty ones; the last needs no terminator.

    Args:
        source: UTF-8.
        rules: The dialect's.

    Raises:
        UnclosedError: A string, quoted identifier or comment is never closed.
        SplitError: The rows of a COPY have no end or do not begin on the next line; or psql has a command
            here that is not SQL.
    """
    lexer = _lexer(rules, b";")
    ascii_only = source.isascii()
    cells = array("Q")
    data: dict[int, tuple[int, int]] = {}
    gaps: list[tuple[int, int]] = []
    position = counted = 0
    line = column = 1
    while True:
        kind, start, end = _token(source, position, lexer)
        if kind == "end":
            return Statements(source, cells, data, tuple(gaps))
        if kind == "delimiter":
            position = end
            continue
        if kind == "backslash":
            position = _ignored_line(source, start)
            gaps.append((start, position))
            continue
        if rules.delimiter_command and (command := _DELIMITER_COMMAND.match(source, start)):
            lexer = _lexer(rules, command["quoted"] or command["bare"])
            position = command.end()
            continue
        end, position = _end_of_statement(source, start, end, lexer)
        if lines := source.count(b"\n", counted, start):
            line += lines
            counted, column = source.rfind(b"\n", counted, start) + 1, 1
        column += start - counted if ascii_only else len(source[counted:start].decode())
        counted = start
        if rules.psql:
            opening = source[start : start + 5].upper()
            if opening.startswith(b"COPY") and _reads_rows(source, start, end, lexer):
                rows = _rows(source, start, position, lexer)
                data[len(cells) // 4] = rows[:2]
                position = rows[2]
                gaps.append((start, position))
            elif opening.startswith((b"SET", b"RESET", b"DISCA")) and (
                conforming := re.match(_CONFORMING, b" ".join(_texts(source[start:end], lexer, 6)))
            ):
                lexer = _lexer(replace(rules, backslash_escapes=bool(conforming["off"])), b";")
                gaps.append((position, position))  # the server reads a message before it runs any of it
        cells.extend((start, end, line, column))


def words(statement: str | bytes, rules: Rules, limit: int = 8) -> tuple[str, ...]:
    r"""The first tokens of a statement, to tell what it does; the rest is not read.

    Words are in upper case. Anything quoted is its last character (`'`, `"`, a backtick, `]`, `$`, and `/`
    for an executable comment). All else comes one character at a time.

    Raises:
        UnclosedError: One of these tokens is never closed.
    """
    source = statement.encode() if isinstance(statement, str) else statement
    return _words(source, 0, _lexer(rules, b";"), limit)


def tokens(statement: str, rules: Rules, limit: int | None = None) -> list[str]:
    """The first tokens of a statement as written, comments left out; all of them by default.

    Raises:
        UnclosedError: One of these tokens is never closed.
    """
    return [token.decode() for token in _texts(statement.encode(), _lexer(rules, b";"), limit)]


def ascii_lower(name: str) -> str:
    """The name with its ASCII letters in lower case: as PostgreSQL folds names, and SQLite compares them."""
    return name.encode().lower().decode()


def unquoted(token: str, *, fold: Callable[[str], str] = ascii_lower) -> str | None:
    """The name that a token stands for, or None where it is not one.

    Args:
        token: As `tokens` gives it.
        fold: What the database does to a name that is not quoted. PostgreSQL puts ASCII letters into lower
            case, and in UTF-8 no others (4.1.1; scansup.c, downcase_identifier).
    """
    if len(token) > 1 and token[0] in _QUOTED_NAMES and token[-1] == _QUOTED_NAMES[token[0]]:
        return token[1:-1].replace(token[-1] * 2, token[-1])
    return fold(token) if _NAME.fullmatch(token) else None


def first_word(source: bytes, start: int) -> bytes:
    """The word at an offset, in upper case; empty where there is none."""
    return _WORD.match(source, start)[0].upper()  # type: ignore[index]  # it matches everywhere


# --- the lexer --------------------------------------------------------------------------------------------

_SPACE: Final = r"[ \t\n\r\f\v]"  # scan.l: {space}
_NO_WORD: Final = "".join(c for c in map(chr, range(128)) if not (c.isalnum() or c in "_$"))
_COMMENT_EDGE: Final = re.compile(rb"/\*|\*/")
_UNCLOSED: Final = {"string": "string", "identifier": "quoted identifier", "comment": "block comment"}
_GOES_ON: Final = frozenset({"nested", "dollar", *_UNCLOSED})
"""Kinds of what is but the beginning of a token, or of what stands before one."""
_WORD: Final = re.compile(rb"[A-Za-z]*+")
_NAME: Final = re.compile(r"(?![0-9$])(?:[\w$]|[^\x00-\x7f])+", re.ASCII)  # scan.l: {identifier}
_QUOTED_NAMES: Final = {'"': '"', "`": "`", "[": "]"}
# mysql.cc, com_delimiter and get_arg: the first argument, quoted or not; the rest of the line is ignored.
_DELIMITER_COMMAND: Final = re.compile(
    rb"""(?i)delimiter[ \t]+(?:(?P<quote>['"`])(?P<quoted>[^\n\\]+?)(?P=quote)|(?P<bare>[^\s\\]+))[^\n]*"""
)
# scan.l reads a plain string by the setting. Tokens with one space between; bool.c, parse_bool: what is off.
_CONFORMING: Final = (
    rb"""(?i)(?:SET (?:SESSION |LOCAL )?(?P<name>"?)standard_conforming_strings(?P=name) (?:=|TO) """
    rb"""(?:E?(?P<quote>'?)(?P<off>off?|f(?:a(?:l(?:se?)?)?)?|no?|0)(?P=quote)$)?|"""
    rb"""RESET (?:ALL|"?standard_conforming_strings"?)$|DISCARD ALL$)"""
)


class _Lexer(NamedTuple):
    """The rules, compiled. Both patterns match anywhere; a token's kind is the name of its group."""

    rules: Rules
    token: Callable[[bytes, int], re.Match[bytes]]
    skip: Callable[[bytes, int], re.Match[bytes]]


def _token(source: bytes, position: int, lexer: _Lexer) -> tuple[str, int, int]:
    """Kind, start and end of the next token at or behind a position between tokens."""
    while True:
        match = lexer.token(source, position)
        kind = match.lastgroup or ""
        start, end = match.span(kind)
        if kind not in _GOES_ON:
            return kind, start, end
        if kind == "nested":
            position = _end_of_comment(source, start)
        elif kind == "dollar":  # scan.l: <xdolq>; the first identical delimiter closes it
            delimiter = source[start:end]
            if (close := source.find(delimiter, end)) < 0:
                raise UnclosedError(f"dollar-quoted string {delimiter.decode()}", source, start)
            return "quoted", start, close + len(delimiter)
        else:
            raise UnclosedError(_UNCLOSED[kind], source, start)


def _end_of_comment(source: bytes, start: int) -> int:
    """Where a block comment that may hold others ends."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(source, start):
        depth += 1 if edge[0] == b"/*" else -1
        if depth == 0:
            return edge.end()
    raise UnclosedError("block comment", source, start)


def _end_of_statement(source: bytes, start: int, end: int, lexer: _Lexer) -> tuple[int, int]:
    """Where the statement with this first token ends, and where to read on behind its delimiter."""
    block = lexer.rules.block
    if block and not _begins(block, source, start, end, lexer):
        block = None
    end = start
    depth = parentheses = 0
    before = ""
    while True:
        if not block:
            end = lexer.skip(source, end).end()
        kind, begin, after = _token(source, end, lexer)
        if kind == "end" or (kind == "delimiter" and not depth and not parentheses):
            return end, after
        end = after
        if kind == "open":
            parentheses += 1
        elif kind == "close":
            parentheses = max(parentheses - 1, 0)
        elif kind == "backslash":
            raise _psql_command(source, begin)
        if block and not parentheses:
            word = "" if kind == "quoted" else source[begin:after].decode().upper()
            depth = block.step(depth, before, word)
            before = word


def _begins(block: Block, source: bytes, start: int, end: int, lexer: _Lexer) -> bool:
    """Whether a statement with this first token is one of those with such a body."""
    if source[start:end].upper() not in {b"CREATE", b"EXPLAIN"}:
        return False
    kind, second, behind = _token(source, end, lexer)
    if kind != "word" or source[second:behind].upper().decode() not in block.second:
        return False
    return re.match(block.header, " ".join(_words(source, start, lexer, 6))) is not None


def _words(source: bytes, position: int, lexer: _Lexer, limit: int) -> tuple[str, ...]:
    """The first tokens at or behind a position, as `words` gives them."""
    found: list[str] = []
    while len(found) < limit:
        match = lexer.token(source, position)
        if match.lastgroup == "word":  # most are, and nothing else need be asked of one
            found.append(match["word"].upper().decode())
            position = match.end()
            continue
        kind, start, position = _token(source, position, lexer)
        if kind == "end":
            break
        token = source[position - 1 : position] if kind == "quoted" else source[start:position].upper()
        found.append(token.decode())
    return tuple(found)


def _texts(source: bytes, lexer: _Lexer, limit: int | None) -> list[bytes]:
    """The first tokens, as `tokens` gives them."""
    found: list[bytes] = []
    position = 0
    while limit is None or len(found) < limit:
        kind, start, position = _token(source, position, lexer)
        if kind == "end":
            break
        found.append(source[start:position])
    return found


# --- what stands between statements -----------------------------------------------------------------------

_IGNORED: Final = re.compile(rb"\\(?:un)?restrict(?!\S)[^\n\\]*+\n?")  # a backslash begins the next command
_COMMAND: Final = re.compile(rb"\\(?:[A-Za-z_]++|[;:!?.]?)")
# Before the options had parentheses, BINARY was one word (COPY, "Compatibility").
_BINARY: Final = {(word, b"BINARY") for word in (b"COPY", b"STDIN", b"STDOUT", b"WITH", b"FORMAT")}
_BINARY.update((b"FORMAT", name) for name in (b"'BINARY'", b'"BINARY"'))
_ALTERNATIVES: Final = {
    ("c", "connect"): "name the database with --database-url; one migration runs on one database",
    (
        "i",
        "ir",
        "include",
        "include_relative",
    ): "put the SQL of that file here, or into a migration of its own",
    ("copy",): "write COPY ... FROM stdin with the rows behind it, up to a line `\\.`",
    ("set", "unset", "getenv", "prompt"): "write the value where it is used",
    ("echo", "qecho", "warn"): "make it a comment, or DO $$ BEGIN RAISE NOTICE '...'; END $$",
    ("if", "elif", "else", "endif"): "write DO $$ BEGIN IF ... THEN ... END IF; END $$",
    ("gexec",): "write DO $$ BEGIN EXECUTE ...; END $$",
    ("gset",): "use a subquery, or variables in DO $$ ... $$",
    ("g", "gx", ";", "crosstabview", "gdesc", "watch"): "end the statement with a semicolon",
    (
        "parse",
        "bind",
        "bind_named",
        "sendpipeline",
    ): "end the statement with a semicolon, its values written out",
    (":",): "remove the backslash",
    ("r", "reset"): "remove it, and what stands before it and does not end with a semicolon",
    ("lo_import",): "write SELECT lo_from_bytea(0, ...)",
    ("lo_unlink",): "write SELECT lo_unlink(...)",
    ("!", "setenv", "cd"): "do it where fluxmig is called",
    ("password",): "write ALTER ROLE ... PASSWORD",
    ("encoding",): "remove the line: files are UTF-8",
    (".",): "remove the line: there is no COPY ... FROM stdin before it",
    ("q", "quit"): "remove the line, and what stands behind it if it shall not run",
}


def _ignored_line(source: bytes, start: int) -> int:
    r"""Where the line of a command ends that asks nothing of the database.

    `\restrict` and `\unrestrict` keep psql from other commands between them (pg_dump 13.22, 14.19, 15.14,
    16.10, 17.6 and later write them); there are none here.
    """
    if found := _IGNORED.match(source, start):
        return found.end()
    raise _psql_command(source, start)


def _psql_command(source: bytes, start: int) -> SplitError:
    name = _COMMAND.match(source, start)[0].decode()  # type: ignore[index]  # it matches every backslash
    if name == "\\":
        return SplitError("a backslash outside of quotes is no SQL", source, start, "remove it, or quote it")
    ways = (way for names, way in _ALTERNATIVES.items() if name[1:] in names)
    remedy = next(ways, "remove the line: it is for psql's screen, and changes nothing in the database")
    return SplitError(f"{name} is a command of psql, not SQL", source, start, remedy)


def _reads_rows(source: bytes, start: int, end: int, lexer: _Lexer) -> bool:
    """Whether the statement in this range is a COPY that takes its rows from the client, as text.

    Raises:
        SplitError: It takes them in binary.
    """
    found = [token.upper() for token in _texts(source[start:end], lexer, None)]
    if found[0] != b"COPY" or found[1:2] == [b"("]:  # COPY (query) TO
        return False
    for word, following in pairwise(found):
        if word == b"FROM":
            from_client = following in {b"STDIN", b"STDOUT"}  # gram.y, copy_file_name: either is the client
            if from_client and not _BINARY.isdisjoint(pairwise(found)):
                remedy = "let the server read them from a file of its own, or write them as text"
                raise SplitError("binary rows cannot stand in a script", source, start, remedy)
            return from_client
    return False


def _rows(source: bytes, statement: int, position: int, lexer: _Lexer) -> tuple[int, int, int]:
    r"""The range of the rows behind a COPY, and where to read on behind the line `\.` that ends them.

    As psql has it, they begin on the next line and end at the first `\.` that is a line of its own, also in
    CSV. Where psql takes the end of the file for the end of the rows, this is an error: a dump that was cut
    off would run, and statements behind a forgotten `\.` would become rows.
    """
    line_end = source.find(b"\n", position)
    start = (line_end if line_end >= 0 else len(source)) + 1
    if between := _first_between(source[position : start - 1], lexer):
        what, offset = between
        remedy = "put it on a line of its own behind the rows"
        raise SplitError(f"a {what} stands between COPY and its rows", source, position + offset, remedy)
    end = start - 1
    while (end := source.find(b"\n\\.", end)) >= 0:
        after = source[end + 3 : end + 5]
        if after in {b"", b"\r", b"\r\n"} or after[0:1] == b"\n":
            line_end = source.find(b"\n", end + 3)
            return start, end + 1, line_end + 1 if line_end >= 0 else len(source)
        end += 1
    remedy = r"end them with a line `\.`; is the file cut off?"
    raise SplitError("the rows of this COPY have no end", source, statement, remedy)


def _first_between(rest: bytes, lexer: _Lexer) -> tuple[str, int] | None:
    """What the rest of a line holds, and where, if it is more than comments and semicolons."""
    position = 0
    try:
        while True:
            kind, start, position = _token(rest, position, lexer)
            if kind == "end":
                return None
            if kind != "delimiter":
                return "statement", start
    except UnclosedError as error:
        return "comment" if error.what == "block comment" else "statement", error.offset


# --- the patterns -----------------------------------------------------------------------------------------


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
def _lexer(rules: Rules, delimiter_bytes: bytes) -> _Lexer:
    """The lexer for statements that end with this delimiter."""
    delimiter = re.escape(delimiter_bytes.decode("latin-1"))  # a pattern's characters stand for bytes
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
    if delimiter_bytes != b";":  # mysql.cc: in `END$$`, the delimiter ends the word
        within = f"(?:(?!{delimiter}){within})"
    word = ("(?![eE]')" if rules.escape_strings else "") + start + _many(within)

    kinds = {
        "end": r"\Z",
        "delimiter": delimiter,
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
        "backslash": r"\\" if rules.psql else "",
        "other": ".",
    }
    blank = _many(rf"{_SPACE}++|{comment}")
    token = "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in kinds.items() if pattern)

    special = rf";$#-/{strings}{identifiers}" + "()" * rules.parentheses + "\\" * rules.psql
    plain = "".join(c for c in _NO_WORD if not c.isspace() and c not in special)
    simple = rf"{blank}(?:{word}|[0-9{re.escape(plain)}]++|{quoted}|-|/(?!\*))"
    skip = (
        _many(rf"{simple}|{blank}\({_many(simple)}{blank}\)", at_most=1000) if delimiter_bytes == b";" else ""
    )
    patterns = (f"{blank}(?:{token})", skip)
    matchers = [re.compile(pattern.encode("latin-1"), re.DOTALL).match for pattern in patterns]
    return _Lexer(rules, *cast("list[Callable[[bytes, int], re.Match[bytes]]]", matchers))
