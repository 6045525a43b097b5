"""The splitter: tables of {script, statements} for each dialect, and properties over token soups."""

from __future__ import annotations

import re
from array import array
from dataclasses import replace
from itertools import pairwise
from unittest.mock import patch

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from fluxmig import sql as module
from fluxmig.model import Statement, Statements
from fluxmig.sql import (
    GENERIC,
    MYSQL,
    POSTGRESQL,
    SQLITE,
    Rules,
    SplitError,
    UnclosedError,
    first_word,
    line_column,
    tokens,
    unquoted,
    words,
)

DIALECTS = {"postgresql": POSTGRESQL, "sqlite": SQLITE, "mysql": MYSQL, "generic": GENERIC}
MYSQL_ANSI = replace(MYSQL, ansi_quotes=True)
MYSQL_NO_BACKSLASH = replace(MYSQL, backslash_escapes=False)

Case = tuple[str, str, list[str]]


def split(sql: str, rules: Rules) -> list[Statement]:
    return list(module.split(sql.encode(), rules))


# Read alike by every dialect.
COMMON: list[Case] = [
    ("empty text", "", []),
    ("only space", " \t\r\n\f\v ", []),
    ("only terminators", ";;\n; ;", []),
    ("only comments", "-- a; b\n/* c; d */ -- e", []),
    ("one without terminator", "select 1", ["select 1"]),
    ("one with terminator", "select 1;", ["select 1"]),
    ("two", "select 1; select 2;", ["select 1", "select 2"]),
    ("no space between", "a;b;c", ["a", "b", "c"]),
    ("empty ones between", "a;;\n ;b;", ["a", "b"]),
    ("only a comment between", "a;/* x */;b", ["a", "b"]),
    ("comments around are left out", "-- x\na /* y */ ; -- z\n", ["a"]),
    ("a comment inside is kept", "a /* x; */ b", ["a /* x; */ b"]),
    ("a line comment inside is kept", "a -- x; y\nb; c", ["a -- x; y\nb", "c"]),
    ("a line comment before the terminator", "a -- x\n;b", ["a", "b"]),
    ("many comments before the terminator", "a /* 1 */ -- 2\n /* 3 */\n;b", ["a", "b"]),
    ("a comment right behind a word", "a/*x;*/;b-- ;y\n;c", ["a", "b", "c"]),
    ("windows line ends", "a;\r\nb\r\n;\r\n", ["a", "b"]),
    ("a semicolon in a string", "select ';'; b", ["select ';'", "b"]),
    ("a doubled quote", "select 'it''s; ok'; b", ["select 'it''s; ok'", "b"]),
    ("a doubled quote before the end", "'a'';';b", ["'a'';'", "b"]),
    ("an empty string", "'';b", ["''", "b"]),
    ("four quotes", "'''';b", ["''''", "b"]),
    ("a string over lines", "'a\n;\nb';c", ["'a\n;\nb'", "c"]),
    ("a block comment in a string", "'/*';b;'*/'", ["'/*'", "b", "'*/'"]),
    ("a line comment in a string", "'-- ';b", ["'-- '", "b"]),
    ("a quote in a line comment", "-- don't\na;b", ["a", "b"]),
    ("a quote in a block comment", "/* don't */a;b", ["a", "b"]),
    ("a double quote in comments", '/* " */a;b -- "\n;c', ["a", "b", "c"]),
    ("a semicolon in double quotes", 'a "x;y" b;c', ['a "x;y" b', "c"]),
    ("doubled double quotes", 'a "x"";y";c', ['a "x"";y"', "c"]),
    ("a single quote in double quotes", """ "a';" ;b """, ['"a\';"', "b"]),
    ("a double quote in single quotes", """ 'a";' ;b """, ["'a\";'", "b"]),
    ("a block comment of stars", "/****/a;/***;***/b", ["a", "b"]),
    ("a block comment of slashes", "/* // ; // */a", ["a"]),
    ("slash star slash closes nothing", "/*/ ; */a;b", ["a", "b"]),
    ("a line comment opens no block comment", "-- /*\na;b", ["a", "b"]),
    ("a block comment opens no line comment", "/* -- */a;b", ["a", "b"]),
    ("minus is no comment", "1 - 2;3 - -4", ["1 - 2", "3 - -4"]),
    ("division is no comment", "1 / 2;3 * 4", ["1 / 2", "3 * 4"]),
    ("an operator ends at a comment", "1 +/* ; */2;b", ["1 +/* ; */2", "b"]),
    ("balanced parentheses", "f(1, (2), g('(', ')'));b", ["f(1, (2), g('(', ')'))", "b"]),
    ("a closing parenthesis too many", "a);b", ["a)", "b"]),
    ("not ASCII", "é 'ü;' \N{GRINNING FACE};ß", ["é 'ü;' \N{GRINNING FACE}", "ß"]),
    ("a no-break space is no space", "a;\N{NO-BREAK SPACE};b", ["a", "\N{NO-BREAK SPACE}", "b"]),
    ("an ideographic space is no space", "\N{IDEOGRAPHIC SPACE};b", ["\N{IDEOGRAPHIC SPACE}", "b"]),
    ("a line separator ends no comment", "-- a\N{LINE SEPARATOR};b\nc", ["c"]),
    ("a next line ends no comment", "-- a\N{NEXT LINE};b\nc", ["c"]),
    ("a parameter style", "a = :b and c = ?;d", ["a = :b and c = ?", "d"]),
    ("BEGIN and END are statements", "BEGIN;a;END;b", ["BEGIN", "a", "END", "b"]),
    ("CASE and END", "select case a when 1 then 2 end;b", ["select case a when 1 then 2 end", "b"]),
]

BODY = "BEGIN ATOMIC SELECT 1; SELECT 2; END"

POSTGRESQL_CASES: list[Case] = [
    ("backslash is ordinary", r"'a\';b", [r"'a\'", "b"]),
    ("E string escapes a quote", r"E'a\';b';c", [r"E'a\';b'", "c"]),
    ("e string, small letter", r"e'\'';c", [r"e'\''", "c"]),
    ("E string with a backslash at its end", r"E'a\\';b", [r"E'a\\'", "b"]),
    ("E string with three backslashes", r"E'a\\\';b';c", [r"E'a\\\';b'", "c"]),
    ("E string with a doubled quote", r"E'a'';\';';c", [r"E'a'';\';'", "c"]),
    ("the e of a word is no E", r"somee'a\';b", [r"somee'a\'", "b"]),
    ("the e behind a digit of a word", r"a1e'a\';b", [r"a1e'a\'", "b"]),
    ("the e behind an underscore", r"_e'a\';b", [r"_e'a\'", "b"]),
    ("the e behind a dollar", r"a$e'a\';b", [r"a$e'a\'", "b"]),
    ("the e behind a letter not ASCII", r"ée'a\';b", [r"ée'a\'", "b"]),
    ("E behind punctuation", r"(E'\';');b", [r"(E'\';')", "b"]),
    ("E and a space is no E string", r"E 'a\';b", [r"E 'a\'", "b"]),
    ("E in double quotes is no E", r'"E"' + r"'a\';b", [r'"E"' + r"'a\'", "b"]),
    ("E string with unicode and octal escapes", r"E'\u003b\073;';b", [r"E'\u003b\073;'", "b"]),
    ("E string continues on the next line", "E'a'\n'b\\';c';d", ["E'a'\n'b\\';c'", "d"]),
    ("E string continues behind carriage return", "E'a'\r'b\\';c';d", ["E'a'\r'b\\';c'", "d"]),
    ("E string continues behind a comment", "E'a' -- x'\n 'b\\';c';d", ["E'a' -- x'\n 'b\\';c'", "d"]),
    ("E string continues behind two comments", "E'a'--x\n--y\n'\\';c';d", ["E'a'--x\n--y\n'\\';c'", "d"]),
    ("E string continues twice", "E'a'\n'b'\n'c\\';';d", ["E'a'\n'b'\n'c\\';'", "d"]),
    ("E string does not continue on its line", "E'a' 'b\\';c", ["E'a' 'b\\'", "c"]),
    ("E string does not continue behind a block comment", "E'a'/*\n*/'b\\';c", ["E'a'/*\n*/'b\\'", "c"]),
    ("E string does not continue behind a word", "E'a'\nx'b\\';c", ["E'a'\nx'b\\'", "c"]),
    ("a plain string continues plainly", "'a'\n'b\\';c", ["'a'\n'b\\'", "c"]),
    ("a plain string continued by an E string", "'a'\nE'b\\';c';d", ["'a'\nE'b\\';c'", "d"]),
    ("N string", r"N'a\';b", [r"N'a\'", "b"]),
    ("B string", "B'1;0';b", ["B'1;0'", "b"]),
    ("X string", "x'1f;';b", ["x'1f;'", "b"]),
    ("U& string", r"U&'\0441\';b", [r"U&'\0441\'", "b"]),
    ("U& identifier", r'U&"d\0061;t\";b', [r'U&"d\0061;t\"', "b"]),
    ("backslash in an identifier is ordinary", r'"a\";b', [r'"a\"', "b"]),
    ("dollar quote", "$$a;b$$;c", ["$$a;b$$", "c"]),
    ("dollar quote with a tag", "$a$;$$;$b$;$a$;c", ["$a$;$$;$b$;$a$", "c"]),
    ("dollar quotes of one another", "$a$ $b$;$a$;$b$;$b$;c", ["$a$ $b$;$a$", "$b$;$b$", "c"]),
    ("a tag is case sensitive", "$A$;$a$;$A$;b", ["$A$;$a$;$A$", "b"]),
    ("a tag with digits and underscore", "$_1$;$_1$;b", ["$_1$;$_1$", "b"]),
    (
        "a tag not ASCII",
        "$é\N{GRINNING FACE}$;$é\N{GRINNING FACE}$;b",
        ["$é\N{GRINNING FACE}$;$é\N{GRINNING FACE}$", "b"],
    ),
    ("a tag does not start with a digit", "$1$;$1$;b", ["$1$", "$1$", "b"]),
    ("a tag holds no space", "$a b$;c", ["$a b$", "c"]),
    ("a parameter and a dollar quote", "$1$a$;$a$;b", ["$1$a$;$a$", "b"]),
    ("a number and a dollar quote", "1$a$;$a$;b", ["1$a$;$a$", "b"]),
    ("a dollar in a word", "a$b$c;d$b$;e", ["a$b$c", "d$b$", "e"]),
    ("two dollars in a word", "a$$;b$$;c", ["a$$", "b$$", "c"]),
    ("a dollar behind a word not ASCII", "é$a$;b$a$", ["é$a$", "b$a$"]),
    ("a dollar quote ends inside a word", "$a$x$a$y;b", ["$a$x$a$y", "b"]),
    ("dollars before the closing tag", "$a$;$$a$;b", ["$a$;$$a$", "b"]),
    ("half a tag before the closing tag", "$a$;$a;$a$;b", ["$a$;$a;$a$", "b"]),
    ("a quote in a dollar quote", "$$'$$;b", ["$$'$$", "b"]),
    ("a dollar quote in a quote", "'$$';b;'$$'", ["'$$'", "b", "'$$'"]),
    ("a dollar quote in a comment", "/* $$ */a;b -- $$\n;c", ["a", "b", "c"]),
    ("a comment in a dollar quote", "$$/*$$;b;$$--$$;c", ["$$/*$$", "b", "$$--$$", "c"]),
    ("a lone dollar", "$;b", ["$", "b"]),
    ("nested comments", "/* a /* b; */ c; */d;e", ["d", "e"]),
    ("nested comments without spaces", "/*/*;*/;*/d;e", ["d", "e"]),
    ("comments nested three deep", "/*/*/*;*/;*/;*/d;e", ["d", "e"]),
    ("slash star slash opens a comment in a comment", "/* /*/ ; */ ; */a;b", ["a", "b"]),
    ("star slash star closes only", "/**/*/ a;b", ["*/ a", "b"]),
    ("stars before the end of a nested comment", "/* /** ; **/ ; **/a;b", ["a", "b"]),
    ("a nested comment inside a statement", "a /* x /* ; */ ; */ b;c", ["a /* x /* ; */ ; */ b", "c"]),
    ("a nested comment in parentheses", "(a /* /* ; */ ) */ );c", ["(a /* /* ; */ ) */ )", "c"]),
    ("a line comment hides no end of a block comment", "/* --\n; -- */a;b", ["a", "b"]),
    ("minus minus inside an operator", "1 +-- ; x\n2;b", ["1 +-- ; x\n2", "b"]),
    ("minus minus without a space", "a--b;c\n;d", ["a", "d"]),
    ("three minus signs", "a---;\n;d", ["a", "d"]),
    ("slash star inside an operator", "1 @/*;*/ 2;b", ["1 @/*;*/ 2", "b"]),
    ("slash before minus minus", "1 /--;*\n2;b", ["1 /--;*\n2", "b"]),
    ("minus before slash star", "1 -/*;*/2;b", ["1 -/*;*/2", "b"]),
    ("carriage return ends a line comment", "-- a\rb;c", ["b", "c"]),
    ("a hash is an operator", "1 # 2;b", ["1 # 2", "b"]),
    ("a backtick is an operator", "`;b`", ["`", "b`"]),
    ("brackets are subscripts", "a[1;b]", ["a[1", "b]"]),
    ("empty E string", "E'';b", ["E''", "b"]),
    ("E string of a doubled quote", "E'''';b", ["E''''", "b"]),
    ("E string of a backslash and a doubled quote", r"E'\'''';b", [r"E'\''''", "b"]),
    ("E string over lines", "E'a\n\\';\nb';c", ["E'a\n\\';\nb'", "c"]),
    ("E string with a backslash before the line's end", "E'a\\\n;';b", ["E'a\\\n;'", "b"]),
    ("E string continues behind an empty line", "E'a'\n\n'b\\';c';d", ["E'a'\n\n'b\\';c'", "d"]),
    ("E string continues behind a windows line end", "E'a'\r\n'b\\';c';d", ["E'a'\r\n'b\\';c'", "d"]),
    ("E string continues behind a comment's own line", "E'a'\n--'\n'b\\';c';d", ["E'a'\n--'\n'b\\';c'", "d"]),
    (
        "E string does not continue behind a line and a block comment",
        "E'a'\n/**/'b\\';c",
        ["E'a'\n/**/'b\\'", "c"],
    ),
    ("E string right behind a number", r"1,E'\';';b", [r"1,E'\';'", "b"]),
    ("E string right behind another string", r"'a'E'\';';b", [r"'a'E'\';'", "b"]),
    ("E string right behind an identifier", "\"a\"E'\\';';b", ["\"a\"E'\\';'", "b"]),
    ("E string right behind a comment", r"/**/E'\';';b", [r"E'\';'", "b"]),
    ("E string right behind a dollar quote", r"$$a$$E'\';';b", [r"$$a$$E'\';'", "b"]),
    ("E inside a string that a quote follows", "'E''\\';b", ["'E''\\'", "b"]),
    ("U& string with another escape", "U&'d!0061;' UESCAPE '!';b", ["U&'d!0061;' UESCAPE '!'", "b"]),
    ("U& identifier with another escape", "U&\"d;\" UESCAPE ';';b", ["U&\"d;\" UESCAPE ';'", "b"]),
    ("U and & apart", "U & 'a\\';b", ["U & 'a\\'", "b"]),
    ("B string continues", "B'1'\n'0;';b", ["B'1'\n'0;'", "b"]),
    ("strings side by side", "'a' 'b;''';c", ["'a' 'b;'''", "c"]),
    ("a string and an identifier", "'a;'\"b;\";c", ["'a;'\"b;\"", "c"]),
    ("a string and a cast", "'a;'::text;b", ["'a;'::text", "b"]),
    ("a word right behind a string", "'a;'b;c", ["'a;'b", "c"]),
    ("qualified identifiers", '"a;"."b;".*;c', ['"a;"."b;".*', "c"]),
    ("an identifier of quotes", '"""";""""";";b', ['""""', '""""";"', "b"]),
    ("an identifier over lines", '"a\n;";b', ['"a\n;"', "b"]),
    ("an empty dollar quote", "$$$$;b", ["$$$$", "b"]),
    ("an empty dollar quote with a tag", "$a$$a$;b", ["$a$$a$", "b"]),
    ("two dollar quotes side by side", "$$;$$$$;$$;b", ["$$;$$$$;$$", "b"]),
    ("a dollar quote in a dollar quote", "$a$ $$;$$ $b$;$b$ $a$;c", ["$a$ $$;$$ $b$;$b$ $a$", "c"]),
    ("a dollar quote with a backslash", r"$$\$$;b", [r"$$\$$", "b"]),
    ("a dollar quote behind a string", "'a'$$;$$;b", ["'a'$$;$$", "b"]),
    ("a dollar quote behind an identifier", '"a"$$;$$;b', ['"a"$$;$$', "b"]),
    ("a dollar quote behind a parenthesis", "($$;$$)$$;$$;b", ["($$;$$)$$;$$", "b"]),
    ("a dollar quote behind an operator", "1-$$;$$;b", ["1-$$;$$", "b"]),
    ("a dollar quote behind a comment", "/**/$$;$$/**/;b", ["$$;$$", "b"]),
    ("a dollar quote over lines with a comment", "$$\n-- $$;b\n;c", ["$$\n-- $$", "b", "c"]),
    ("a tag that is the start of another", "$ab$;$a$;$abc$;$ab$;c", ["$ab$;$a$;$abc$;$ab$", "c"]),
    (
        "a tag of a no-break space",
        "$\N{NO-BREAK SPACE}$;$\N{NO-BREAK SPACE}$;b",
        ["$\N{NO-BREAK SPACE}$;$\N{NO-BREAK SPACE}$", "b"],
    ),
    ("a tag with a minus is none", "$a-b$;c", ["$a-b$", "c"]),
    ("parameters", "$1+$2;$3", ["$1+$2", "$3"]),
    ("a parameter and a quote", "$1';';b", ["$1';'", "b"]),
    ("empty block comments", "/**//**/;/**/a/**/;b", ["a", "b"]),
    ("a block comment over lines", "/*\n;\n*/a/*\n;*/\n;b", ["a", "b"]),
    ("a line comment ends with a windows line end", "--;\r\na;b", ["a", "b"]),
    ("a line comment at the end", "a;--b", ["a"]),
    ("a line comment right behind a statement", "a--;", ["a"]),
    ("a quote behind a quote in a comment", "/*'*/';'--'\n;b", ["';'", "b"]),
    ("a dollar quote behind one in a comment", "/*$$*/$$;$$--$$\n;b", ["$$;$$", "b"]),
    ("a comment's start in an identifier", '"/*";b;"*/--";c', ['"/*"', "b", '"*/--"', "c"]),
    ("a comment's start in an E string", r"E'\'/*';b;'*/'", [r"E'\'/*'", "b", "'*/'"]),
    ("a star before slash star", "2 */*;*/ 3;b", ["2 */*;*/ 3", "b"]),
    ("less than before minus minus", "a <-- ;\n b;c", ["a <-- ;\n b", "c"]),
    ("at before minus, and no comment", "a @- b;c", ["a @- b", "c"]),
    ("slashes and stars that open nothing", "a / * b * / c;d", ["a / * b * / c", "d"]),
    ("an open bracket of a comment in one", "/* /* */ ; /**/ */a;b", ["a", "b"]),
    ("a quote in a nested comment", "/* ' /* \" */ $$ */a;b", ["a", "b"]),
    ("JSON operators", "a->>';'#>'{;}'@?'$;';b", ["a->>';'#>'{;}'@?'$;'", "b"]),
    ("named arguments", "f(a => ';', b := ';');c", ["f(a => ';', b := ';')", "c"]),
    ("array slices", "a[1:2][:';'];b", ["a[1:2][:';']", "b"]),
    ("a variable of psql in quotes", "a = :'b;' or :\"c;\";d", ["a = :'b;' or :\"c;\"", "d"]),
    ("numbers", "1.5e-3+.5+1.+0x1F+1_000;b", ["1.5e-3+.5+1.+0x1F+1_000", "b"]),
    ("a parenthesis closed in a comment", "(a /*)*/;--)\n;);b", ["(a /*)*/;--)\n;)", "b"]),
    ("a parenthesis closed in quotes", "(')';\")\";$$)$$;);b", ["(')';\")\";$$)$$;)", "b"]),
    ("a parenthesis closed in an E string", r"(E'\');';a;);b", [r"(E'\');';a;)", "b"]),
    ("brackets hide no parenthesis", "([(];);a;);b", ["([(];);a;)", "b"]),
    ("a form feed and a vertical tab", "a\f;\vb;c", ["a", "b", "c"]),
    ("a control character", "a \x01;b", ["a \x01", "b"]),
    (
        "a byte order mark inside",
        "a;\N{ZERO WIDTH NO-BREAK SPACE};b",
        ["a", "\N{ZERO WIDTH NO-BREAK SPACE}", "b"],
    ),
    ("a combining mark", "e\N{COMBINING ACUTE ACCENT}'a\\';b", ["e\N{COMBINING ACUTE ACCENT}'a\\'", "b"]),
    (
        "semicolons in parentheses",
        "CREATE RULE r AS ON INSERT TO t DO (a;b);c",
        ["CREATE RULE r AS ON INSERT TO t DO (a;b)", "c"],
    ),
    ("semicolons in nested parentheses", "(a;(b;);c);d", ["(a;(b;);c)", "d"]),
    ("a parenthesis in quotes", "'(';b;\"(\";c;$$($$;d", ["'('", "b", '"("', "c", "$$($$", "d"]),
    ("a parenthesis in a comment", "a /* ( */;b -- (\n;c", ["a", "b", "c"]),
    ("closing parentheses do not count below zero", "a));(b;c);d", ["a))", "(b;c)", "d"]),
    ("a statement that starts with a parenthesis", "(select 1);b", ["(select 1)", "b"]),
    ("parentheses left open", "f(a;b;", ["f(a;b;"]),
    ("atomic body", f"CREATE FUNCTION f() {BODY};b", [f"CREATE FUNCTION f() {BODY}", "b"]),
    ("atomic body of a procedure", f"create procedure f() {BODY};b", [f"create procedure f() {BODY}", "b"]),
    (
        "atomic body, OR REPLACE",
        f"CREATE OR REPLACE FUNCTION f() {BODY};b",
        [f"CREATE OR REPLACE FUNCTION f() {BODY}", "b"],
    ),
    (
        "atomic body, small letters",
        "create function f() begin atomic a; end;b",
        ["create function f() begin atomic a; end", "b"],
    ),
    (
        "atomic body, comments between its words",
        "CREATE/*;*/FUNCTION f() BEGIN -- ;\nATOMIC a; END;b",
        ["CREATE/*;*/FUNCTION f() BEGIN -- ;\nATOMIC a; END", "b"],
    ),
    (
        "atomic body, empty",
        "CREATE FUNCTION f() BEGIN ATOMIC END;b",
        ["CREATE FUNCTION f() BEGIN ATOMIC END", "b"],
    ),
    (
        "atomic body with CASE",
        "CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE a WHEN 1 THEN 2 END; c; END;b",
        ["CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE a WHEN 1 THEN 2 END; c; END", "b"],
    ),
    (
        "atomic body with CASE in CASE",
        "CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE CASE 1 END END; c; END;b",
        ["CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE CASE 1 END END; c; END", "b"],
    ),
    (
        "atomic body with CASE in parentheses",
        "CREATE FUNCTION f() BEGIN ATOMIC SELECT (CASE 1 END); c; END;b",
        ["CREATE FUNCTION f() BEGIN ATOMIC SELECT (CASE 1 END); c; END", "b"],
    ),
    (
        "atomic body with END as a label",
        "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1 AS end; c; END;b",
        ["CREATE FUNCTION f() BEGIN ATOMIC SELECT 1 AS end; c; END", "b"],
    ),
    (
        "atomic body with END as a column",
        "CREATE FUNCTION f() BEGIN ATOMIC SELECT t.end; t.case; END;b",
        ["CREATE FUNCTION f() BEGIN ATOMIC SELECT t.end; t.case; END", "b"],
    ),
    (
        "atomic body with END in quotes",
        "CREATE FUNCTION f() BEGIN ATOMIC \"end\"; 'end'; END;b",
        ["CREATE FUNCTION f() BEGIN ATOMIC \"end\"; 'end'; END", "b"],
    ),
    (
        "atomic body with END behind parentheses",
        "CREATE FUNCTION f() BEGIN ATOMIC CASE x AS (y) END; c; END;b",
        ["CREATE FUNCTION f() BEGIN ATOMIC CASE x AS (y) END; c; END", "b"],
    ),
    (
        "a function named begin",
        "CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'x';b",
        ["CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'x'", "b"],
    ),
    (
        "parameters named begin and end",
        "CREATE FUNCTION f(begin int, end_ int) AS $$;$$;b",
        ["CREATE FUNCTION f(begin int, end_ int) AS $$;$$", "b"],
    ),
    (
        "a parameter begin of type atomic",
        "CREATE FUNCTION f(begin atomic) AS '';b",
        ["CREATE FUNCTION f(begin atomic) AS ''", "b"],
    ),
    (
        "a body in dollar quotes",
        "CREATE FUNCTION f() AS $$ BEGIN a; END; $$ LANGUAGE plpgsql;b",
        ["CREATE FUNCTION f() AS $$ BEGIN a; END; $$ LANGUAGE plpgsql", "b"],
    ),
    (
        "a body in a plain string",
        "CREATE FUNCTION f() AS 'BEGIN ATOMIC a;';b",
        ["CREATE FUNCTION f() AS 'BEGIN ATOMIC a;'", "b"],
    ),
    ("END outside a body", "CREATE FUNCTION f() end;b", ["CREATE FUNCTION f() end", "b"]),
    (
        "CASE outside a body",
        "CREATE FUNCTION f() RETURN CASE a;b",
        ["CREATE FUNCTION f() RETURN CASE a", "b"],
    ),
    (
        "two functions",
        f"CREATE FUNCTION f() {BODY};CREATE FUNCTION g() {BODY};b",
        [f"CREATE FUNCTION f() {BODY}", f"CREATE FUNCTION g() {BODY}", "b"],
    ),
    ("BEGIN ATOMIC elsewhere", "SELECT begin atomic;b", ["SELECT begin atomic", "b"]),
    (
        "BEGIN ATOMIC in another CREATE",
        "CREATE VIEW v AS SELECT begin atomic;b",
        ["CREATE VIEW v AS SELECT begin atomic", "b"],
    ),
    (
        "a body left open",
        "CREATE FUNCTION f() BEGIN ATOMIC a; b;",
        ["CREATE FUNCTION f() BEGIN ATOMIC a; b;"],
    ),
    ("a transaction", "BEGIN; SELECT CASE 1 END; END;", ["BEGIN", "SELECT CASE 1 END", "END"]),
    ("DO", "DO $x$ BEGIN a; END $x$;b", ["DO $x$ BEGIN a; END $x$", "b"]),
]

TRIGGER = "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END"

SQLITE_CASES: list[Case] = [
    ("backslash is ordinary", r"'a\';b", [r"'a\'", "b"]),
    ("backticks", "`a;b`;c", ["`a;b`", "c"]),
    ("doubled backticks", "`a``;b`;c", ["`a``;b`", "c"]),
    ("brackets", "[a;b];c", ["[a;b]", "c"]),
    ("brackets hold quotes", "[a';\"];c", ["[a';\"]", "c"]),
    ("brackets do not nest", "[a[b];c", ["[a[b]", "c"]),
    ("brackets have no doubling", "[a]];b", ["[a]]", "b"]),
    ("blob", "x'00';b", ["x'00'", "b"]),
    ("comments do not nest", "/* /* ; */ a;b", ["a", "b"]),
    ("an open block comment ends with the text", "a; /* b; c", ["a"]),
    ("an open block comment ends with a star", "a /* ; *", ["a"]),
    ("slash star at the very end is two operators", "a /*", ["a /*"]),
    ("carriage return ends no line comment", "a -- x\r;y\n;b", ["a", "b"]),
    ("minus minus without a space", "a--b;c\n;d", ["a", "d"]),
    ("semicolons in parentheses", "(a;b)", ["(a", "b)"]),
    ("dollars quote nothing", "$$;b$$", ["$$", "b$$"]),
    ("E is no prefix", r"E'a\';b", [r"E'a\'", "b"]),
    ("a hash is no comment", "a # ;b", ["a #", "b"]),
    ("trigger", f"{TRIGGER};b", [TRIGGER, "b"]),
    ("trigger, small letters", f"{TRIGGER.lower()};b", [TRIGGER.lower(), "b"]),
    ("trigger, TEMP", "CREATE TEMP TRIGGER t BEGIN a; END;b", ["CREATE TEMP TRIGGER t BEGIN a; END", "b"]),
    (
        "trigger, TEMPORARY",
        "CREATE TEMPORARY TRIGGER t BEGIN a; END;b",
        ["CREATE TEMPORARY TRIGGER t BEGIN a; END", "b"],
    ),
    (
        "trigger, IF NOT EXISTS",
        "CREATE TRIGGER IF NOT EXISTS t BEGIN a; END;b",
        ["CREATE TRIGGER IF NOT EXISTS t BEGIN a; END", "b"],
    ),
    (
        "trigger, EXPLAIN",
        "EXPLAIN CREATE TRIGGER t BEGIN a; END;b",
        ["EXPLAIN CREATE TRIGGER t BEGIN a; END", "b"],
    ),
    (
        "trigger, EXPLAIN QUERY PLAN",
        "EXPLAIN QUERY PLAN CREATE TEMP TRIGGER t BEGIN a; END;b",
        ["EXPLAIN QUERY PLAN CREATE TEMP TRIGGER t BEGIN a; END", "b"],
    ),
    (
        "trigger with CASE",
        "CREATE TRIGGER t BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; a; END;b",
        ["CREATE TRIGGER t BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; a; END", "b"],
    ),
    (
        "trigger with comments before END",
        "CREATE TRIGGER t BEGIN a; -- ;\n/* ; */ END /* ; */;b",
        ["CREATE TRIGGER t BEGIN a; -- ;\n/* ; */ END", "b"],
    ),
    (
        "trigger with comments in its header",
        "CREATE /* ; */ TRIGGER -- ;\nt BEGIN a; END;b",
        ["CREATE /* ; */ TRIGGER -- ;\nt BEGIN a; END", "b"],
    ),
    (
        "trigger with two semicolons before END",
        "CREATE TRIGGER t BEGIN a;; END;b",
        ["CREATE TRIGGER t BEGIN a;; END", "b"],
    ),
    (
        "trigger with END that is not the last word",
        "CREATE TRIGGER t BEGIN a; END x; END;b",
        ["CREATE TRIGGER t BEGIN a; END x; END", "b"],
    ),
    (
        "trigger with END in quotes",
        "CREATE TRIGGER t BEGIN a; \"END\"; 'END'; END;b",
        ["CREATE TRIGGER t BEGIN a; \"END\"; 'END'; END", "b"],
    ),
    (
        "trigger with END inside a word",
        "CREATE TRIGGER t BEGIN a; ENDE; END$; END;b",
        ["CREATE TRIGGER t BEGIN a; ENDE; END$; END", "b"],
    ),
    ("trigger without terminator", TRIGGER, [TRIGGER]),
    (
        "trigger with strings",
        "CREATE TRIGGER t BEGIN SELECT RAISE(ABORT, '; END;'); END;b",
        ["CREATE TRIGGER t BEGIN SELECT RAISE(ABORT, '; END;'); END", "b"],
    ),
    ("two triggers", f"{TRIGGER};{TRIGGER};b", [TRIGGER, TRIGGER, "b"]),
    ("a table named trigger", 'CREATE TABLE "trigger" (a);b', ['CREATE TABLE "trigger" (a)', "b"]),
    ("DROP TRIGGER", "DROP TRIGGER t;b", ["DROP TRIGGER t", "b"]),
    ("EXPLAIN of something else", "EXPLAIN QUERY PLAN SELECT 1;b", ["EXPLAIN QUERY PLAN SELECT 1", "b"]),
    (
        "CREATE TEMP of something else",
        "CREATE TEMP TABLE t (a);END;b",
        ["CREATE TEMP TABLE t (a)", "END", "b"],
    ),
    (
        "trigger with a name in brackets",
        "CREATE TRIGGER [t;] BEGIN a; END;b",
        ["CREATE TRIGGER [t;] BEGIN a; END", "b"],
    ),
    (
        "trigger on quoted names",
        "CREATE TRIGGER `t;` UPDATE OF \"a;\" ON 'b;' BEGIN c; END;d",
        ["CREATE TRIGGER `t;` UPDATE OF \"a;\" ON 'b;' BEGIN c; END", "d"],
    ),
    (
        "trigger with a condition",
        "CREATE TRIGGER t AFTER UPDATE ON a WHEN (new.a = ';') BEGIN b; END;c",
        ["CREATE TRIGGER t AFTER UPDATE ON a WHEN (new.a = ';') BEGIN b; END", "c"],
    ),
    (
        "trigger with END right behind the semicolon",
        "CREATE TRIGGER t BEGIN a;END;b",
        ["CREATE TRIGGER t BEGIN a;END", "b"],
    ),
    (
        "trigger with a transaction behind it",
        "CREATE TRIGGER t BEGIN a; END; BEGIN; b; END; c",
        ["CREATE TRIGGER t BEGIN a; END", "BEGIN", "b", "END", "c"],
    ),
    ("quotes inside quotes of another kind", "\"`[;\"`'[;`[`';];b", ["\"`[;\"`'[;`[`';]", "b"]),
    ("quotes side by side", "'a;'\"b;\"`c;`[d;];e", ["'a;'\"b;\"`c;`[d;]", "e"]),
    ("JSON operators", "a->';'->>'$.b;';c", ["a->';'->>'$.b;'", "c"]),
    ("parameters", "a = ?1 or :b or @c or $d::e;f", ["a = ?1 or :b or @c or $d::e", "f"]),
    ("a block comment of one star and a slash", "/*/;*/a;b", ["a", "b"]),
    ("an open block comment behind a semicolon", "a;/* ; '", ["a"]),
    ("a blob with a semicolon", "X';';b", ["X';'", "b"]),
]

MYSQL_CASES: list[Case] = [
    ("backslash escapes a quote", r"'a\';b';c", [r"'a\';b'", "c"]),
    ("backslash escapes itself", r"'a\\';c", [r"'a\\'", "c"]),
    ("backslash in a double-quoted string", r'"a\";b";c', [r'"a\";b"', "c"]),
    ("backslash in backticks is ordinary", r"`a\`;c", [r"`a\`", "c"]),
    ("backslash before a doubled quote", r"'\''';';c", [r"'\''';'", "c"]),
    ("backticks", "`a;'`;c", ["`a;'`", "c"]),
    ("doubled backticks", "`a``;`;c", ["`a``;`", "c"]),
    ("a character set introducer", r"_utf8mb4'\';';N'\';';c", [r"_utf8mb4'\';'", r"N'\';'", "c"]),
    ("hash comment", "a # ; '\n;b#x", ["a", "b"]),
    ("minus minus and a space", "a -- ;\n;b", ["a", "b"]),
    ("minus minus and a tab", "a --\t;\n;b", ["a", "b"]),
    ("minus minus and a line end", "a --\n;b", ["a", "b"]),
    ("minus minus and a control character", "a --\x01;\n;b", ["a", "b"]),
    ("minus minus at the end", "a --", ["a"]),
    ("minus minus and a digit is arithmetic", "5--1;b", ["5--1", "b"]),
    ("minus minus and a quote is arithmetic", "5--';';b", ["5--';'", "b"]),
    ("three minus signs and a space", "5--- ;\n1;b", ["5--- ;\n1", "b"]),
    ("comments do not nest", "/* /* ; */ a;b", ["a", "b"]),
    ("an optimizer hint is a comment", "SELECT /*+ x('; */ 1;b", ["SELECT /*+ x('; */ 1", "b"]),
    ("an executable comment is a statement", "/*!40101 SET a=1 */;b", ["/*!40101 SET a=1 */", "b"]),
    ("an executable comment of MariaDB", "/*M!100101 SET a=1 */;b", ["/*M!100101 SET a=1 */", "b"]),
    (
        "an executable comment inside",
        "CREATE TABLE t (a int) /*!50100 ENGINE=x */;b",
        ["CREATE TABLE t (a int) /*!50100 ENGINE=x */", "b"],
    ),
    (
        "an executable comment with semicolons",
        "/*!50003 BEGIN a; b; END */;c",
        ["/*!50003 BEGIN a; b; END */", "c"],
    ),
    ("an executable comment with a string", "/*! SET a='*/;' */;b", ["/*! SET a='*/;' */", "b"]),
    (
        "an executable comment with comments",
        "/*! a /* ; */ b -- */\n # */\n ; */;c",
        ["/*! a /* ; */ b -- */\n # */\n ; */", "c"],
    ),
    ("an executable comment with operators", "/*! 1-1/2*3 **/;c", ["/*! 1-1/2*3 **/", "c"]),
    ("two executable comments", "/*!1 CREATE*/ /*!2 TRIGGER t*/;b", ["/*!1 CREATE*/ /*!2 TRIGGER t*/", "b"]),
    ("star slash outside a comment", "1*/* ; */2;b", ["1*/* ; */2", "b"]),
    ("semicolons in parentheses", "(a;b)", ["(a", "b)"]),
    ("dollars quote nothing", "$$;b$$", ["$$", "b$$"]),
    ("brackets quote nothing", "[a;b]", ["[a", "b]"]),
    ("DELIMITER", "DELIMITER //\na; b; END//\nDELIMITER ;\nc;d", ["a; b; END", "c", "d"]),
    ("DELIMITER, small letters and spaces", "  delimiter \t $$  \na;b$$\n", ["a;b"]),
    ("DELIMITER glued to a word", "DELIMITER $$\nBEGIN a; END$$\nb$$", ["BEGIN a; END", "b"]),
    ("DELIMITER of letters ends a word", "DELIMITER go\na; cargo;go", ["a; car", ";"]),
    ("DELIMITER of two semicolons", "DELIMITER ;;\na;b;;\nDELIMITER ;\nc;", ["a;b", "c"]),
    (
        "DELIMITER in a string or comment",
        "DELIMITER //\na '//' /* // */ b # //\n//\nc",
        ["a '//' /* // */ b", "c"],
    ),
    ("DELIMITER with empty statements", "DELIMITER //\n////\n a // // b", ["a", "b"]),
    ("DELIMITER in quotes", "DELIMITER '//'\na;//b", ["a;", "b"]),
    ("DELIMITER ignores the rest of its line", "DELIMITER // -- x; y\na;b//c", ["a;b", "c"]),
    (
        "DELIMITER with windows line ends",
        "DELIMITER //\r\na;b//\r\nDELIMITER ;\r\nc;d\r\n",
        ["a;b", "c", "d"],
    ),
    ("DELIMITER behind a comment", "-- x\nDELIMITER //\na;b//", ["a;b"]),
    ("DELIMITER behind a statement", "a;DELIMITER //\nb;c//d", ["a", "b;c", "d"]),
    ("DELIMITER as a name", "select delimiter x;b", ["select delimiter x", "b"]),
    ("DELIMITER as the start of a name", "delimiters x;b", ["delimiters x", "b"]),
    ("DELIMITER without argument", "DELIMITER\n;b", ["DELIMITER", "b"]),
    ("DELIMITER takes no backslash", "DELIMITER \\\\\na;b", ["DELIMITER \\\\\na", "b"]),
    (
        "DELIMITER and dumped triggers",
        "DELIMITER ;;\n/*!50003 CREATE*/ /*!50003 TRIGGER t BEGIN a; END */;;\nDELIMITER ;\nb;",
        ["/*!50003 CREATE*/ /*!50003 TRIGGER t BEGIN a; END */", "b"],
    ),
    ("backslash before the line's end", "'a\\\n;';b", ["'a\\\n;'", "b"]),
    ("backslash before a percent sign", r"'\%;\_';b", [r"'\%;\_'", "b"]),
    ("a doubled double quote in a string", r'"a"";\";b";c', [r'"a"";\";b"', "c"]),
    ("strings of both kinds side by side", "'a;' \"b;'\" 'c\";';d", ["'a;' \"b;'\" 'c\";'", "d"]),
    ("hexadecimal and bit literals", "X'3B'+b'01'+0x3B;b", ["X'3B'+b'01'+0x3B", "b"]),
    ("quoted variables", "SET @`a;`=@'b;',@\"c;\"=@@d;e", ["SET @`a;`=@'b;',@\"c;\"=@@d", "e"]),
    ("an account", "DROP USER 'a;'@'b;', `c;`@\"%;\";d", ["DROP USER 'a;'@'b;', `c;`@\"%;\"", "d"]),
    ("names with dollars and digits", "a$b.1c.$d;e", ["a$b.1c.$d", "e"]),
    ("NULL as a backslash and N", r"SELECT \N;b", [r"SELECT \N", "b"]),
    ("hash right behind a word", "a#;\n;b", ["a", "b"]),
    ("hash in an operator", "1+# ;\n2;b", ["1+# ;\n2", "b"]),
    ("hash in quotes", "'#';\"#\";`#`;b", ["'#'", '"#"', "`#`", "b"]),
    ("minus minus and a semicolon", "a--;b", ["a--", "b"]),
    ("minus minus and a delete character", "a --\x7f;\n;b", ["a", "b"]),
    ("minus minus and a no-break space", "a --\N{NO-BREAK SPACE};b", ["a --\N{NO-BREAK SPACE}", "b"]),
    ("minus minus and a windows line end", "a --\r\n;b", ["a", "b"]),
    ("carriage return ends no comment", "# a\r;b\n;c -- \r;\n;d", ["c", "d"]),
    ("a comment inside a word", "a/*;*/b;c", ["a/*;*/b", "c"]),
    ("a quote in a comment of each kind", "/*'*/a;#\"\nb;-- `\nc", ["a", "b", "c"]),
    ("an executable comment with nothing", "/*!*/;b", ["/*!*/", "b"]),
    ("an executable comment of a later version", "/*!99999 a; */;b", ["/*!99999 a; */", "b"]),
    (
        "an executable comment with each quote",
        "/*! `*/` \"*/\" '*/' ; */;b",
        ["/*! `*/` \"*/\" '*/' ; */", "b"],
    ),
    ("an executable comment in a comment", "/* /*! ; */a;b", ["a", "b"]),
    ("a space before the exclamation mark", "/* !; */a;b", ["a", "b"]),
    ("a capital M before the exclamation mark only", "/*m!; */a;b", ["a", "b"]),
    ("DELIMITER in backticks and in double quotes", 'DELIMITER `//`\na;//DELIMITER "$$"\nb;$$', ["a;", "b;"]),
    ("DELIMITER of a quote's character behind another", "DELIMITER $'\na;$'b$'", ["a;", "b"]),
    ("DELIMITER back to the one before", "DELIMITER //\na//DELIMITER ;\nb;c//;d", ["a", "b", "c//", "d"]),
    (
        "BEGIN and END hide nothing",
        "CREATE PROCEDURE p() BEGIN a; END;b",
        ["CREATE PROCEDURE p() BEGIN a", "END", "b"],
    ),
]

MYSQL_MODE_CASES: list[tuple[str, Rules, str, list[str]]] = [
    ("ANSI_QUOTES: no backslash in identifiers", MYSQL_ANSI, r'"a\";b;c', [r'"a\"', "b", "c"]),
    ("ANSI_QUOTES: backslash in strings", MYSQL_ANSI, r"'a\';b';c", [r"'a\';b'", "c"]),
    ("NO_BACKSLASH_ESCAPES: single quotes", MYSQL_NO_BACKSLASH, r"'a\';b", [r"'a\'", "b"]),
    ("NO_BACKSLASH_ESCAPES: double quotes", MYSQL_NO_BACKSLASH, r'"a\";b', [r'"a\"', "b"]),
]

GENERIC_CASES: list[Case] = [
    ("backslash is ordinary", r"'a\';b", [r"'a\'", "b"]),
    ("nested comments", "/* a /* b; */ c; */d;e", ["d", "e"]),
    ("minus minus without a space", "a--b;c\n;d", ["a", "d"]),
    ("semicolons in parentheses", "(a;b)", ["(a", "b)"]),
    ("dollars quote nothing", "$$;b$$", ["$$", "b$$"]),
    ("backticks and brackets quote nothing", "`a;b`;[c;d]", ["`a", "b`", "[c", "d]"]),
    ("E is no prefix", r"E'a\';b", [r"E'a\'", "b"]),
    (
        "no bodies",
        "CREATE FUNCTION f() BEGIN ATOMIC a; END;b",
        ["CREATE FUNCTION f() BEGIN ATOMIC a", "END", "b"],
    ),
    ("DELIMITER is a word", "DELIMITER //\na;b", ["DELIMITER //\na", "b"]),
]

TABLES = {
    "postgresql": POSTGRESQL_CASES,
    "sqlite": SQLITE_CASES,
    "mysql": MYSQL_CASES,
    "generic": GENERIC_CASES,
}


@pytest.mark.parametrize(
    ("rules", "sql", "expected"),
    [
        pytest.param(rules, sql, expected, id=f"{dialect}: {case}")
        for dialect, rules in DIALECTS.items()
        for case, sql, expected in COMMON + TABLES[dialect]
    ]
    + [pytest.param(rules, sql, expected, id=case) for case, rules, sql, expected in MYSQL_MODE_CASES],
)
def test_split(rules: Rules, sql: str, expected: list[str]) -> None:
    assert [statement.sql for statement in split(sql, rules)] == expected


@pytest.mark.parametrize(
    ("rules", "sql", "what", "line", "column"),
    [
        (POSTGRESQL, "a;\n b 'c;\nd", "string", 2, 4),
        (POSTGRESQL, "'a''b", "string", 1, 1),
        (POSTGRESQL, "a; 'b'';", "string", 1, 4),
        (POSTGRESQL, r"E'a\'", "string", 1, 1),
        (POSTGRESQL, "E'a\\", "string", 1, 1),
        (POSTGRESQL, "x E'a'\n'b\\';", "string", 1, 3),
        (POSTGRESQL, "x E'a' -- y\n 'b'\n'c", "string", 1, 3),
        (POSTGRESQL, "x N'a", "string", 1, 4),
        (POSTGRESQL, "(a, (b, 'c)));", "string", 1, 9),
        (POSTGRESQL, 'a\n"b"";', "quoted identifier", 2, 1),
        (POSTGRESQL, "a /* b; */ /*", "block comment", 1, 12),
        (POSTGRESQL, "a;\n\n  /* /* b */ c", "block comment", 3, 3),
        (POSTGRESQL, "/*/", "block comment", 1, 1),
        (POSTGRESQL, "é $$ a; $a$", "dollar-quoted string $$", 1, 3),
        (POSTGRESQL, "a;\r\nb $é1$ $é$", "dollar-quoted string $é1$", 2, 3),
        (POSTGRESQL, "CREATE FUNCTION f() BEGIN ATOMIC a; 'b END;", "string", 1, 37),
        (POSTGRESQL, "CREATE FUNCTION /* f", "block comment", 1, 17),
        (SQLITE, "a 'b\\''", "string", 1, 3),
        (SQLITE, 'a "b', "quoted identifier", 1, 3),
        (SQLITE, "a `b", "quoted identifier", 1, 3),
        (SQLITE, "a\n[b", "quoted identifier", 2, 1),
        (SQLITE, "CREATE TRIGGER t BEGIN\n 'a; END;", "string", 2, 2),
        (MYSQL, r"a 'b\';", "string", 1, 3),
        (MYSQL, 'a "b;', "string", 1, 3),
        (MYSQL, "a `b;", "quoted identifier", 1, 3),
        (MYSQL, "a;/* b", "block comment", 1, 3),
        (MYSQL, "a;/*! b", "block comment", 1, 3),
        (MYSQL, "a;/*!50000 'b */", "block comment", 1, 3),
        (MYSQL, "a /*", "block comment", 1, 3),
        (MYSQL, "DELIMITER //\na; 'b//\n", "string", 2, 4),
        (MYSQL_ANSI, 'a "b;', "quoted identifier", 1, 3),
        (GENERIC, "a 'b;", "string", 1, 3),
        (GENERIC, 'a "b;', "quoted identifier", 1, 3),
        (GENERIC, "/* /* */", "block comment", 1, 1),
    ],
)
def test_unclosed(rules: Rules, sql: str, what: str, line: int, column: int) -> None:
    with pytest.raises(UnclosedError) as caught:
        split(sql, rules)
    error = caught.value
    assert (error.what, error.line, error.column) == (what, line, column)
    assert line_column(sql.encode(), error.offset) == (line, column)
    assert str(error) == f"line {line}, column {column}: this {what} is not closed"
    assert (error.message, error.remedy) == (f"this {what} is not closed", None)


def test_statement_has_its_number_offsets_and_position() -> None:
    sql = "-- é\r\n  a 1;;\n/* x\n*/ b\n2 -- y\n; c\rd; 'ü'; e"
    assert [(s.number, s.sql, s.start, s.end, s.line, s.column) for s in split(sql, POSTGRESQL)] == [
        (1, "a 1", 9, 12, 2, 3),
        (2, "b\n2", 23, 26, 4, 4),
        (3, "c\rd", 34, 37, 6, 3),
        (4, "'ü'", 39, 43, 6, 8),
        (5, "e", 45, 46, 6, 13),
    ]


@pytest.mark.parametrize(
    ("sql", "offset", "expected"),
    [
        ("", 0, (1, 1)),
        ("ab", 2, (1, 3)),
        ("a\nb", 1, (1, 2)),
        ("a\nb", 2, (2, 1)),
        ("a\r\nb", 3, (2, 1)),
        ("a\rb", 2, (1, 3)),
        ("\n\n\nx", 3, (4, 1)),
        ("é\N{GRINNING FACE}x", 6, (1, 3)),
        ("é\né\N{GRINNING FACE}x", 9, (2, 3)),
    ],
)
def test_line_column(sql: str, offset: int, expected: tuple[int, int]) -> None:
    assert line_column(sql.encode(), offset) == expected


@pytest.mark.parametrize(
    ("rules", "sql", "limit", "expected"),
    [
        (POSTGRESQL, "", 8, ()),
        (POSTGRESQL, "-- only\n/* comments */", 8, ()),
        (POSTGRESQL, "create Unique INDEX concurrently i", 4, ("CREATE", "UNIQUE", "INDEX", "CONCURRENTLY")),
        (POSTGRESQL, "/* a */ create -- b\n /* /* c */ */ index", 8, ("CREATE", "INDEX")),
        (POSTGRESQL, "copy t(a1, \"b\") from 'x'", 20, ("COPY", "T", "(", "A1", ",", '"', ")", "FROM", "'")),
        (POSTGRESQL, "E'a\\'b' N'c' $$d$$ $1 12.5", 20, ("'", "N", "'", "$", "$", "1", "12", ".", "5")),
        (POSTGRESQL, "a;b", 8, ("A", ";", "B")),
        (POSTGRESQL, "vacuum", 1, ("VACUUM",)),
        (POSTGRESQL, "vacuum 'unclosed", 1, ("VACUUM",)),
        (SQLITE, "[a b] `c` \"d\" x'00'", 8, ("]", "`", '"', "X", "'")),
        (MYSQL, '# a\n-- b\n/*+ c */ drop /*!50000 d */ "e" `f`', 8, ("DROP", "/", '"', "`")),
        (GENERIC, "grant all", 8, ("GRANT", "ALL")),
    ],
)
def test_words(rules: Rules, sql: str, limit: int, expected: tuple[str, ...]) -> None:
    assert words(sql, rules, limit) == expected


def test_words_raises_for_what_is_never_closed() -> None:
    with pytest.raises(UnclosedError, match=r"^line 1, column 8: this string is not closed$"):
        words("vacuum 'a", POSTGRESQL)


# --- what psql files hold ---------------------------------------------------------------------------------

COPY = "COPY t FROM stdin"
Parts = list[str | tuple[str, str]]
WIDE = ", ".join(f'c{number} , "FROM"' for number in range(800))

# The statements; a COPY with its rows as a pair.
COPY_CASES: list[tuple[str, str, Parts]] = [
    ("rows", f"{COPY};\n1\ta\n2\tb\n\\.\nb;", [(COPY, "1\ta\n2\tb\n"), "b"]),
    ("NULL and escapes", f"{COPY};\n\\N\t\\\\.\\n\\t\\x41\n\\.\nb", [(COPY, "\\N\t\\\\.\\n\\t\\x41\n"), "b"]),
    ("no rows", f"{COPY};\n\\.\nb", [(COPY, ""), "b"]),
    ("only an empty row", f"{COPY};\n\n\\.\nb", [(COPY, "\n"), "b"]),
    ("the end of the file behind the last line", f"{COPY};\n1\n\\.", [(COPY, "1\n")]),
    ("no rows and the end of the file", f"{COPY};\n\\.", [(COPY, "")]),
    ("the end of the file behind a carriage return", f"{COPY};\r\n1\r\n\\.\r", [(COPY, "1\r\n")]),
    ("windows line ends", f"{COPY};\r\n1\r\n\\.\r\nb;\r\n", [(COPY, "1\r\n"), "b"]),
    ("a windows line end behind the last line only", f"{COPY};\n1\n\\.\r\nb", [(COPY, "1\n"), "b"]),
    ("quotes", f"{COPY};\nit's\n\"\n$$\n/*\n--\n(\n\\.\nb", [(COPY, "it's\n\"\n$$\n/*\n--\n(\n"), "b"]),
    ("semicolons", f"{COPY};\n;\na;b;\n\\.\nb", [(COPY, ";\na;b;\n"), "b"]),
    ("a statement in the rows", f"{COPY};\n{COPY};\n\\.\nb", [(COPY, f"{COPY};\n"), "b"]),
    (
        "commands of psql in the rows",
        f"{COPY};\n\\i x\n\\restrict\n\\.\nb",
        [(COPY, "\\i x\n\\restrict\n"), "b"],
    ),
    ("a space behind backslash dot", f"{COPY};\n\\. \n\\.\nb", [(COPY, "\\. \n"), "b"]),
    ("a space before backslash dot", f"{COPY};\n \\.\n\\.\nb", [(COPY, " \\.\n"), "b"]),
    ("a letter behind backslash dot", f"{COPY};\n\\.x\n\\..\n\\.\nb", [(COPY, "\\.x\n\\..\n"), "b"]),
    ("a carriage return alone", f"{COPY};\n\\.\rx\n\\.\r\r\n\\.\nb", [(COPY, "\\.\rx\n\\.\r\r\n"), "b"]),
    ("backslash dot at the end of a row", f"{COPY};\n1\\.\n2\t\\.\n\\.\nb", [(COPY, "1\\.\n2\t\\.\n"), "b"]),
    ("two backslashes and a dot", f"{COPY};\n\\\\.\n\\.\nb", [(COPY, "\\\\.\n"), "b"]),
    ("rows not ASCII", f"{COPY};\né\t\N{GRINNING FACE}\n\\.\nü", [(COPY, "é\t\N{GRINNING FACE}\n"), "ü"]),
    (
        "a line separator ends no row",
        f"{COPY};\na\N{LINE SEPARATOR}\\.\n\\.\nb",
        [(COPY, "a\N{LINE SEPARATOR}\\.\n"), "b"],
    ),
    ("CSV", f'{COPY} CSV;\n1,"a\n;b\n"\n\\.\nb', [(f"{COPY} CSV", '1,"a\n;b\n"\n'), "b"]),
    (
        "CSV, where psql too ends at backslash dot in quotes",
        f'{COPY} (FORMAT csv);\n"a\n\\.\nb\n;c',
        [(f"{COPY} (FORMAT csv)", '"a\n'), "b", "c"],
    ),
    ("behind another statement", f"a;{COPY};\n1\n\\.\nb", ["a", (COPY, "1\n"), "b"]),
    (
        "behind another on its line and a comment",
        f"a; /* b; */ {COPY} ;\n1\n\\.\nb",
        ["a", (COPY, "1\n"), "b"],
    ),
    ("a line comment behind it", f"{COPY}; -- b; c\n1\n\\.\nb", [(COPY, "1\n"), "b"]),
    ("a line comment right behind it", f"{COPY};--\n1\n\\.\nb", [(COPY, "1\n"), "b"]),
    ("a block comment behind it", f"{COPY}; /* b; * /* c */ */ /**/\n1\n\\.\nb", [(COPY, "1\n"), "b"]),
    ("a semicolon behind it", f"{COPY};; ; \n1\n\\.\nb", [(COPY, "1\n"), "b"]),
    ("space behind it", f"{COPY}; \t\f\v\r\n1\n\\.\nb", [(COPY, "1\n"), "b"]),
    ("a line comment before the semicolon", f"{COPY} -- x;\n;\n1\n\\.\nb", [(COPY, "1\n"), "b"]),
    ("a block comment before the semicolon", f"{COPY} /* ;\n */;\n1\n\\.\nb", [(COPY, "1\n"), "b"]),
    (
        "comments inside",
        "COPY/**/t--\nFROM/*;*/stdin;\n1\n\\.\nb",
        [("COPY/**/t--\nFROM/*;*/stdin", "1\n"), "b"],
    ),
    ("over lines", "COPY t\n(a)\nFROM\nstdin\n;\n1\n\\.\nb", [("COPY t\n(a)\nFROM\nstdin", "1\n"), "b"]),
    ("two", f"{COPY};\n1\n\\.\n{COPY};\n2\n\\.\nb", [(COPY, "1\n"), (COPY, "2\n"), "b"]),
    ("two, and an empty line between", f"{COPY};\n\\.\n\n\n{COPY};\n\\.\n", [(COPY, ""), (COPY, "")]),
    ("upper case", "COPY T FROM STDIN;\n1\n\\.\nb", [("COPY T FROM STDIN", "1\n"), "b"]),
    ("lower case", "copy t from stdin;\n1\n\\.\nb", [("copy t from stdin", "1\n"), "b"]),
    ("mixed case", "Copy t From StdIn;\n1\n\\.\nb", [("Copy t From StdIn", "1\n"), "b"]),
    (
        "FROM STDOUT means the client too",
        "COPY t FROM stdout;\n1\n\\.\nb",
        [("COPY t FROM stdout", "1\n"), "b"],
    ),
    (
        "a schema and quoted names",
        'COPY "s".t("FROM", a) FROM stdin;\n1\n\\.\nb',
        [('COPY "s".t("FROM", a) FROM stdin', "1\n"), "b"],
    ),
    (
        "1600 columns",
        f"COPY t ({WIDE}) FROM stdin;\n1\n\\.\nb",
        [(f"COPY t ({WIDE}) FROM stdin", "1\n"), "b"],
    ),
    (
        "options",
        f"{COPY} WITH (NULL 'x;', HEADER);\n1\n\\.\nb",
        [(f"{COPY} WITH (NULL 'x;', HEADER)", "1\n"), "b"],
    ),
    ("a condition", f"{COPY} WHERE a <> 'binary';\n1\n\\.\nb", [(f"{COPY} WHERE a <> 'binary'", "1\n"), "b"]),
    (
        "the word binary as a value",
        f"{COPY} (NULL 'binary');\n1\n\\.\nb",
        [(f"{COPY} (NULL 'binary')", "1\n"), "b"],
    ),
    (
        "the word binary as a name",
        'COPY "binary" ("binary") FROM stdin;\n1\n\\.\nb',
        [('COPY "binary" ("binary") FROM stdin', "1\n"), "b"],
    ),
    ("the word binary in a comment", f"{COPY} /* binary */; -- binary\n1\n\\.\nb", [(COPY, "1\n"), "b"]),
    (
        "the syntax before 7.3",
        f"{COPY} USING DELIMITERS '|';\n1\n\\.\nb",
        [(f"{COPY} USING DELIMITERS '|'", "1\n"), "b"],
    ),
    (
        "the syntax before 9.0",
        f"{COPY} WITH DELIMITER '|' NULL AS 'x';\n1\n\\.\nb",
        [(f"{COPY} WITH DELIMITER '|' NULL AS 'x'", "1\n"), "b"],
    ),
    ("TO STDOUT", "COPY t TO STDOUT;\n1;\nb", ["COPY t TO STDOUT", "1", "b"]),
    ("TO STDIN", "COPY t TO STDIN;b", ["COPY t TO STDIN", "b"]),
    (
        "a query that reads from something",
        "COPY (SELECT a FROM stdin) TO STDOUT;b",
        ["COPY (SELECT a FROM stdin) TO STDOUT", "b"],
    ),
    ("a query, no space", "COPY(VALUES (1)) TO STDOUT;b", ["COPY(VALUES (1)) TO STDOUT", "b"]),
    ("from a file", "COPY t FROM 'stdin';b", ["COPY t FROM 'stdin'", "b"]),
    ("from a program", "COPY t FROM PROGRAM 'stdin';b", ["COPY t FROM PROGRAM 'stdin'", "b"]),
    ("a quoted stdin", 'COPY t FROM "stdin";b', ['COPY t FROM "stdin"', "b"]),
    ("a table named stdin", "COPY stdin FROM stdin;\n1\n\\.\nb", [("COPY stdin FROM stdin", "1\n"), "b"]),
    ("a table named stdin, to a file", "COPY stdin TO 'x';b", ["COPY stdin TO 'x'", "b"]),
    ("another word that starts like it", "copyright from stdin;b", ["copyright from stdin", "b"]),
    ("not a statement of its own", "EXPLAIN COPY t FROM stdin;b", ["EXPLAIN COPY t FROM stdin", "b"]),
    ("without FROM", "COPY;COPY t;b", ["COPY", "COPY t", "b"]),
    ("without what is behind FROM", "COPY t FROM;b", ["COPY t FROM", "b"]),
    ("in a string", f"'{COPY};\n1\n';b", [f"'{COPY};\n1\n'", "b"]),
    ("in a comment", f"/* {COPY};\n1\n*/b", ["b"]),
    (
        "in the body of a function",
        f"CREATE FUNCTION f() BEGIN ATOMIC {COPY}; END;b",
        [f"CREATE FUNCTION f() BEGIN ATOMIC {COPY}; END", "b"],
    ),
    ("in dollar quotes", f"DO $$ BEGIN {COPY}; END $$;b", [f"DO $$ BEGIN {COPY}; END $$", "b"]),
    ("in parentheses", f"(a; {COPY};\n1);b", [f"(a; {COPY};\n1)", "b"]),
    ("between restrict and unrestrict", f"\\restrict x\n{COPY};\n1\n\\.\n\\unrestrict x\n", [(COPY, "1\n")]),
]


@pytest.mark.parametrize(
    ("sql", "expected"), [pytest.param(sql, expected, id=case) for case, sql, expected in COPY_CASES]
)
def test_copy(sql: str, expected: Parts) -> None:
    source = sql.encode()
    statements = module.split(source, POSTGRESQL)
    found = [(s.sql, source[slice(*s.data)].decode()) if s.data else s.sql for s in statements]
    assert found == expected
    assert [statements.rows(place) for place in range(len(statements))] == [s.data for s in statements]


@pytest.mark.parametrize("rules", [GENERIC, SQLITE, MYSQL])
def test_only_files_for_psql_hold_rows(rules: Rules) -> None:
    statements = module.split(b"COPY t FROM stdin;\n1;\n\\.\n;", rules)
    assert [(s.sql, s.data) for s in statements] == [("COPY t FROM stdin", None), ("1", None), ("\\.", None)]
    assert statements.gaps == ()


NO_END = r"end them with a line `\.`; is the file cut off?"
NOT_HERE = "put it on a line of its own behind the rows"
NOT_TEXT = "let the server read them from a file of its own, or write them as text"


@pytest.mark.parametrize(
    ("sql", "line", "column", "message", "remedy"),
    [
        *(
            (sql, 2, 3, "the rows of this COPY have no end", NO_END)
            for sql in [
                f"a;\n  {COPY};",
                f"a;\n  {COPY}",
                f"a;\n  {COPY};\n",
                f"a;\n  {COPY} -- x",
                f"a;\n  {COPY};\n1\n2",
                f"a;\n  {COPY};\n1\n2\n",
                f"a;\n  {COPY};\n\\. \n \\.\n\\.x\n\\",
                f"a;\n  {COPY};\n1\n\\.;\n",
            ]
        ),
        (f"é; {COPY}; b;\n1\n\\.\n", 1, 23, "a statement stands between COPY and its rows", NOT_HERE),
        (f"{COPY};b\n1\n\\.\n", 1, 19, "a statement stands between COPY and its rows", NOT_HERE),
        (f"{COPY}; 'b\n1\n\\.\n", 1, 20, "a statement stands between COPY and its rows", NOT_HERE),
        (
            f"{COPY}; /* c */ \\echo\n1\n\\.\n",
            1,
            28,
            "a statement stands between COPY and its rows",
            NOT_HERE,
        ),
        (f"{COPY};\\.", 1, 19, "a statement stands between COPY and its rows", NOT_HERE),
        (f"{COPY};\r1\r\\.\r", 1, 20, "a statement stands between COPY and its rows", NOT_HERE),
        (
            f"{COPY};{COPY};\n1\n\\.\n2\n\\.\n",
            1,
            19,
            "a statement stands between COPY and its rows",
            NOT_HERE,
        ),
        (f"{COPY}; /* b\n1\n\\.\n*/", 1, 20, "a comment stands between COPY and its rows", NOT_HERE),
        *(
            (f"a;\n{copy};\n\\.\n", 2, 1, "binary rows cannot stand in a script", NOT_TEXT)
            for copy in [
                "COPY BINARY t FROM stdin",
                "copy binary t (a) from stdin",
                f"{COPY} BINARY",
                f"{COPY} WITH BINARY",
                f"{COPY} (FORMAT binary)",
                f"{COPY} WITH (FREEZE, FORMAT 'binary')",
                f'{COPY} (FORMAT "binary", FREEZE)',
                f"{COPY}/**/(format/**/BINARY)",
            ]
        ),
    ],
)
def test_copy_refused(sql: str, line: int, column: int, message: str, remedy: str) -> None:
    with pytest.raises(SplitError) as caught:
        split(sql, POSTGRESQL)
    error = caught.value
    assert (error.line, error.column, error.message, error.remedy) == (line, column, message, remedy)
    assert str(error) == f"line {line}, column {column}: {message}"
    assert line_column(sql.encode(), error.offset) == (line, column)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("\\restrict abc\na;\n\\unrestrict abc\n", ["a"]),
        ("\\restrict 'a;b'\na", ["a"]),
        ("\\unrestrict a", []),
        ("\\restrict a\r\na;\r\n\\unrestrict a\r\n", ["a"]),
        (" \\restrict a\n", []),
        ("a; \\restrict b; c\nd", ["a", "d"]),
        ("-- a\n\\restrict\ta\n/* b */ \\unrestrict a\nc", ["c"]),
        ("\\restrict\na", ["a"]),
    ],
)
def test_restrict_is_ignored(sql: str, expected: list[str]) -> None:
    assert [statement.sql for statement in split(sql, POSTGRESQL)] == expected


DATABASE = "name the database with --database-url; one migration runs on one database"
INCLUDE = "put the SQL of that file here, or into a migration of its own"
SEMICOLON = "end the statement with a semicolon"
WRITTEN_OUT = "end the statement with a semicolon, its values written out"
VALUE = "write the value where it is used"
NOTICE = "make it a comment, or DO $$ BEGIN RAISE NOTICE '...'; END $$"
CONDITION = "write DO $$ BEGIN IF ... THEN ... END IF; END $$"
CALLER = "do it where fluxmig is called"
SCREEN = "remove the line: it is for psql's screen, and changes nothing in the database"
THROWN_AWAY = "remove it, and what stands before it and does not end with a semicolon"

COMMANDS: dict[str, str] = {
    **dict.fromkeys([r"\c", r"\connect"], DATABASE),
    **dict.fromkeys([r"\i", r"\ir", r"\include", r"\include_relative"], INCLUDE),
    r"\copy": r"write COPY ... FROM stdin with the rows behind it, up to a line `\.`",
    **dict.fromkeys([r"\set", r"\unset", r"\getenv", r"\prompt"], VALUE),
    **dict.fromkeys([r"\echo", r"\qecho", r"\warn"], NOTICE),
    **dict.fromkeys([r"\if", r"\elif", r"\else", r"\endif"], CONDITION),
    r"\gexec": "write DO $$ BEGIN EXECUTE ...; END $$",
    r"\gset": "use a subquery, or variables in DO $$ ... $$",
    **dict.fromkeys([r"\g", r"\gx", r"\;", r"\crosstabview", r"\gdesc", r"\watch"], SEMICOLON),
    **dict.fromkeys([r"\parse", r"\bind", r"\bind_named", r"\sendpipeline"], WRITTEN_OUT),
    r"\:": "remove the backslash",
    **dict.fromkeys([r"\r", r"\reset"], THROWN_AWAY),
    r"\lo_import": "write SELECT lo_from_bytea(0, ...)",
    r"\lo_unlink": "write SELECT lo_unlink(...)",
    **dict.fromkeys([r"\!", r"\setenv", r"\cd"], CALLER),
    r"\password": "write ALTER ROLE ... PASSWORD",
    r"\encoding": "remove the line: files are UTF-8",
    r"\.": "remove the line: there is no COPY ... FROM stdin before it",
    **dict.fromkeys([r"\q", r"\quit"], "remove the line, and what stands behind it if it shall not run"),
    **dict.fromkeys(
        [r"\a", r"\C", r"\close", r"\conninfo", r"\copyright", r"\d", r"\dt", r"\e", r"\ef"], SCREEN
    ),
    **dict.fromkeys([r"\errverbose", r"\ev", r"\f", r"\h", r"\H", r"\l", r"\lo_export", r"\lo_list"], SCREEN),
    **dict.fromkeys([r"\o", r"\p", r"\pset", r"\s", r"\sf", r"\sv", r"\t", r"\T", r"\timing", r"\w"], SCREEN),
    **dict.fromkeys([r"\x", r"\z", r"\?", r"\unknown", r"\Restrict", r"\restricted", r"\I"], SCREEN),
}


@pytest.mark.parametrize(("command", "remedy"), COMMANDS.items())
@pytest.mark.parametrize(
    ("before", "behind", "line", "column"),
    [
        ("", "", 1, 1),
        ("a;\n é; ", " x\n", 2, 5),
        ("select 1 ", "\n", 1, 10),
        ("f(1, (", "))", 1, 7),
        ("CREATE FUNCTION f() BEGIN ATOMIC a; ", " x; END", 1, 37),
        (f"{COPY};\n\\.\n", "\n", 3, 1),
    ],
)
def test_commands_of_psql_are_refused(
    command: str, remedy: str, before: str, behind: str, line: int, column: int
) -> None:
    with pytest.raises(SplitError) as caught:
        split(before + command + behind, POSTGRESQL)
    error = caught.value
    assert (error.line, error.column, error.remedy) == (line, column, remedy)
    assert error.message == f"{command} is a command of psql, not SQL"


@pytest.mark.parametrize("sql", ["select 1 \\restrict a\n", "f(\n \\unrestrict a\n)"])
def test_restrict_is_refused_inside_a_statement(sql: str) -> None:
    with pytest.raises(SplitError, match=r"restrict is a command of psql, not SQL$") as caught:
        split(sql, POSTGRESQL)
    assert (caught.value.offset, caught.value.remedy) == (sql.index("\\"), SCREEN)


@pytest.mark.parametrize(
    ("sql", "column"),
    [
        ("\\", 1),
        ("a \\", 3),
        ("a\\\nb", 2),
        ("a\\'b'", 2),
        ("a \\1", 3),
        ("\\é", 1),
        ("'a\\';\\'b'", 6),
        ("a\\\\b", 2),
        ("\\restrict a \\\\ select 1", 13),
    ],
)
def test_a_backslash_outside_of_quotes_is_refused(sql: str, column: int) -> None:
    with pytest.raises(SplitError) as caught:
        split(sql, POSTGRESQL)
    error = caught.value
    assert str(error) == f"line 1, column {column}: a backslash outside of quotes is no SQL"
    assert error.remedy == "remove it, or quote it"


@pytest.mark.parametrize(
    "sql",
    [
        "'\\i x'",
        "E'\\i x \\\\'",
        "N'\\'",
        "U&'\\0041'",
        '"\\i"',
        'U&"\\0041"',
        "$$\\i x\n\\q$$",
        "$a$\n\\.\n$a$",
        "a /* \\i */ b",
        "a -- \\i\nb",
        "(a, '\\')",
    ],
)
def test_a_quoted_backslash_is_no_command(sql: str) -> None:
    assert [statement.sql for statement in split(f"/* \\q */ -- \\q\n{sql};\nb -- \\q", POSTGRESQL)] == [
        sql,
        "b",
    ]


@pytest.mark.parametrize("rules", [GENERIC, SQLITE, MYSQL])
def test_a_backslash_is_a_command_in_files_for_psql_only(rules: Rules) -> None:
    assert [s.sql for s in split("\\restrict a\n;a \\i b; \\q", rules)] == ["\\restrict a", "a \\i b", "\\q"]


OFF = "SET standard_conforming_strings = off"
STRINGS = "'a\\';b--'\n;c"
PLAIN = ["'a\\'", "b", "c"]
ESCAPED = ["'a\\';b--'", "c"]


@pytest.mark.parametrize(
    "sql",
    [
        OFF,
        "set standard_conforming_strings=off",
        "SET standard_conforming_strings TO off",
        "SET standard_conforming_strings to 'off'",
        "SET standard_conforming_strings TO'off'",
        "SET standard_conforming_strings = 'OFF'",
        "SET standard_conforming_strings = e'off'",
        "SET standard_conforming_strings = of",
        "SET standard_conforming_strings = false",
        "SET standard_conforming_strings = fals",
        "SET standard_conforming_strings = F",
        "SET standard_conforming_strings = no",
        "SET standard_conforming_strings = n",
        "SET standard_conforming_strings = 0",
        "SET standard_conforming_strings = '0'",
        "SET SESSION standard_conforming_strings = off",
        "SET LOCAL standard_conforming_strings = off",
        "SET\n/* x */ Standard_Conforming_Strings -- y\n TO\toff",
        'SET "standard_conforming_strings" = off',
        f"reset all;{OFF}",
        f"a; {OFF} ; b; SET a = on",
        f"{OFF}; SET standard_conforming_strings_ = on; reset a; discard temp; 'SET' reset_all",
    ],
)
def test_strings_with_backslash_escapes_behind(sql: str) -> None:
    found = [statement.sql for statement in split(f"{sql};\n{STRINGS}", POSTGRESQL)]
    assert found[-2:] == ESCAPED
    quoted = ['"\\"', "$$\\$$", "E'\\''", "last"]
    found = [statement.sql for statement in split(f"{sql};\n{';'.join(quoted)}", POSTGRESQL)]
    assert found[-4:] == quoted


@pytest.mark.parametrize(
    "sql",
    [
        "SET standard_conforming_strings = on",
        "SET standard_conforming_strings = 'on'",
        "SET standard_conforming_strings TO true",
        "SET standard_conforming_strings = 1",
        "SET standard_conforming_strings = yes",
        "SET standard_conforming_strings TO DEFAULT",
        "SET LOCAL standard_conforming_strings TO on",
        'SET "standard_conforming_strings" = on',
        "RESET standard_conforming_strings",
        'reset "standard_conforming_strings"',
        "RESET ALL",
        "DISCARD ALL",
    ],
)
def test_strings_without_backslash_escapes_behind(sql: str) -> None:
    found = [statement.sql for statement in split(f"{OFF};{sql};\n{STRINGS}", POSTGRESQL)]
    assert found[2:] == PLAIN
    assert [statement.sql for statement in split(f"{sql};{STRINGS}", POSTGRESQL)][1:] == PLAIN


@pytest.mark.parametrize(
    "sql",
    [
        f"'{OFF}'",
        f"a {OFF}",
        f"$$ {OFF}; $$",
        f"/* {OFF}; */ a",
        f"CREATE FUNCTION f() {OFF} AS ''",
        "SET standard_conforming_strings",
        "SET standard_conforming_string = off",
        "SET standard_conforming_strings = offf",
        "SET standard_conforming_strings = o",
        "SET a = off, standard_conforming_strings = off",
        "SET escape_string_warning = off",
        f"({OFF})",
    ],
)
def test_what_does_not_set_standard_conforming_strings(sql: str) -> None:
    assert [statement.sql for statement in split(f"{sql};{STRINGS}", POSTGRESQL)] == [
        sql.removeprefix(f"/* {OFF}; */ "),
        *PLAIN,
    ]


@pytest.mark.parametrize("rules", [GENERIC, SQLITE])
def test_standard_conforming_strings_mean_nothing_elsewhere(rules: Rules) -> None:
    assert [statement.sql for statement in split(f"{OFF};{STRINGS}", rules)] == [OFF, *PLAIN]


# --- statements as a sequence -----------------------------------------------------------------------------

SCRIPT = b"-- x\na;\nCOPY t FROM stdin;\n1\n2\n\\.\n\\restrict y\n c; SET standard_conforming_strings=on; d"


def test_statements_are_a_sequence() -> None:
    statements = module.split(SCRIPT, POSTGRESQL)
    texts = ["a", "COPY t FROM stdin", "c", "SET standard_conforming_strings=on", "d"]
    assert len(statements) == 5
    assert [s.sql for s in statements] == texts
    assert [statements[place].sql for place in (0, 4, -1, -5)] == ["a", "d", "d", "a"]
    assert [s.number for s in (statements[-1], statements[1])] == [5, 2]
    assert statements[1].data == statements[-4].data == (27, 31)
    assert statements[0].data is None
    for place in (5, -6):
        with pytest.raises(IndexError):
            statements[place]
    for part in (slice(1, 3), slice(None), slice(-2, None), slice(None, None, -2), slice(9), slice(3, 1)):
        assert [s.sql for s in statements[part]] == texts[part]
    assert [s.sql for s in reversed(statements)] == texts[::-1]
    assert statements[2] in statements
    assert statements.index(statements[2]) == 2
    assert repr(statements) == "<5 statements>"


def test_statements_give_places_without_making_statements() -> None:
    statements = module.split(SCRIPT, POSTGRESQL)
    for place, statement in enumerate(statements):
        assert statements.start(place) == statement.start
        assert statements.end(place) == statement.end
        assert statements.rows(place) == statement.data
    assert (statements.start(-1), statements.end(-1)) == (statements[4].start, statements[4].end)


@pytest.mark.parametrize(
    ("offset", "place"),
    [(0, None), (4, None), (5, 0), (6, 0), (7, 0), (8, 1), (30, 1), (46, 1), (47, 2), (999, 4)],
)
def test_the_statement_at_an_offset(offset: int, place: int | None) -> None:
    assert module.split(SCRIPT, POSTGRESQL).index_at(offset) == place


def test_no_statement_at_any_offset_of_an_empty_script() -> None:
    assert module.split(b"", POSTGRESQL).index_at(0) is None


def test_the_gaps_are_what_is_no_sql() -> None:
    statements = module.split(SCRIPT, POSTGRESQL)
    rows, line, setting = statements.gaps
    assert SCRIPT[slice(*rows)] == b"COPY t FROM stdin;\n1\n2\n\\.\n"
    assert SCRIPT[slice(*line)] == b"\\restrict y\n"
    assert setting == (statements.end(3) + 1,) * 2


def test_inner_statements() -> None:
    inner = module.split(SCRIPT, POSTGRESQL).inner()
    assert [(s.number, s.sql, s.line, s.data) for s in inner] == [
        (1, "COPY t FROM stdin", 3, (27, 31)),
        (2, "c", 8, None),
        (3, "SET standard_conforming_strings=on", 8, None),
    ]
    assert [(s.number, s.sql, s.data) for s in inner.inner()] == [(1, "c", None)]
    assert list(inner.inner().inner()) == list(module.split(b"a", POSTGRESQL).inner()) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("-- t\n", []),
        ("-- t\nSELECT t; -- t", [12, 18]),
        ("t; COPY t FROM stdin;\nt\nt\n\\.\nt", [0, 8, 29]),
        ("COPY t FROM stdin;\nt\n\\.\nCOPY t FROM stdin;\n\\.\n-- t", [5, 29, 49]),
    ],
)
def test_matches_are_no_rows(text: str, found: list[int]) -> None:
    """And nothing before the first statement."""
    statements = module.split(text.encode(), POSTGRESQL)
    assert [match.start() for match in statements.matches(re.compile(rb"\bt\b"))] == found


def test_statements_are_equal_by_their_content() -> None:
    statements = module.split(SCRIPT, POSTGRESQL)
    again = module.split(bytes(bytearray(SCRIPT)), POSTGRESQL)
    assert statements == again
    assert hash(statements) == hash(again)
    one = Statements(b"a", array("Q", [0, 1, 1, 1]))
    assert one == module.split(b"a", POSTGRESQL)
    assert one != replace(one, data={0: (1, 1)})
    assert one != replace(one, gaps=((1, 1),))
    others = [b"a", SCRIPT + b"d", b"\n" + SCRIPT, SCRIPT.replace(b"\\restrict y", b"-- restrict"), b""]
    assert all(statements != module.split(other, POSTGRESQL) for other in others)


# --- tokens and names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "sql", "limit", "expected"),
    [
        (POSTGRESQL, "", None, []),
        (POSTGRESQL, "-- a\n/* b */", None, []),
        (POSTGRESQL, 'Alter /* x */ table "A b".é', None, ["Alter", "table", '"A b"', ".", "é"]),
        (POSTGRESQL, "a=E'\\'' $x$ $$ $x$;b", None, ["a", "=", "E'\\''", "$x$ $$ $x$", ";", "b"]),
        (POSTGRESQL, "a b c", 2, ["a", "b"]),
        (POSTGRESQL, "a b", 9, ["a", "b"]),
        (POSTGRESQL, "a 'open", 1, ["a"]),
        (POSTGRESQL, "a", 0, []),
        (POSTGRESQL, "E'a'\n'\\'' U&'b'", None, ["E'a'\n'\\''", "U", "&", "'b'"]),
        (POSTGRESQL, "x::int[1]", None, ["x", ":", ":", "int", "[", "1", "]"]),
        (SQLITE, "[a b]`c`", None, ["[a b]", "`c`"]),
        (MYSQL, 'a # b\n`c`"d\\""/*! e */', None, ["a", "`c`", '"d\\""', "/*! e */"]),
    ],
)
def test_tokens(rules: Rules, sql: str, limit: int | None, expected: list[str]) -> None:
    assert tokens(sql, rules, limit) == expected


def test_tokens_raises_for_what_is_never_closed() -> None:
    with pytest.raises(UnclosedError, match=r"^line 1, column 3: this quoted identifier is not closed$"):
        tokens('a "b', POSTGRESQL)


@pytest.mark.parametrize(
    ("token", "name"),
    [
        ("a", "a"),
        ("Abc_1$", "abc_1$"),
        ("_", "_"),
        ("ÉcolE", "École"),
        ("a\N{GRINNING FACE}", "a\N{GRINNING FACE}"),
        ("\N{NO-BREAK SPACE}", "\N{NO-BREAK SPACE}"),
        ('"A b"', "A b"),
        ('"a""b"', 'a"b'),
        ('""', ""),
        ('""""', '"'),
        ("`A``b`", "A`b"),
        ("[A b]", "A b"),
        ("'a'", None),
        ("$$a$$", None),
        ("1", None),
        ("1a", None),
        ("$1", None),
        (".", None),
        ("[", None),
        ('"', None),
        ("(", None),
        ("", None),
        ("a b", None),
        ("a\n", None),
    ],
)
def test_unquoted(token: str, name: str | None) -> None:
    assert unquoted(token) == name


def test_unquoted_folds_as_it_is_told() -> None:
    assert [unquoted(token, fold=str.upper) for token in ("a", '"a"', "É")] == ["A", "a", "É"]


@pytest.mark.parametrize(
    ("source", "start", "word"),
    [
        (b"copy t", 0, b"COPY"),
        (b"a; Select 1", 3, b"SELECT"),
        (b"(select 1)", 0, b""),
        (b"set_x", 0, b"SET"),
        (b"begin;", 0, b"BEGIN"),
        (b"", 0, b""),
        ("aé".encode(), 0, b"A"),
    ],
)
def test_first_word(source: bytes, start: int, word: bytes) -> None:
    assert first_word(source, start) == word


# --- properties -------------------------------------------------------------------------------------------

WHOLE = [
    *(
        "a",
        "e",
        "E",
        " ",
        "\n",
        ";",
        ";\n",
        ";;",
        "'b'",
        "'b''c'",
        '"c"',
        "(d)",
        "(e;f)",
        "$$g;$$",
        "$h$;$h$",
        "$1",
    ),
    *(
        "/* i; */",
        "-- j;\n",
        "E'\\';'",
        "E'k'\n'\\';'",
        "N'l'",
        "U&'m'",
        "[n]",
        "`o`",
        "/*!p;*/",
        "/* /* ; */ */",
    ),
    *("case ", " end ", "end;", "begin ", "begin atomic ", "as ", "create table ", "create function "),
    *("create or replace procedure ", "create trigger ", "create temp trigger ", "explain create trigger "),
]
PIECES = [
    *"aeE1_$;;;;'\"`[]()*/-#\\+,.:\n\r\t\f\x01 é\N{NO-BREAK SPACE}",
    *("--", "-- ", "/*", "*/", "/*!", "''", '""', "$$", "$a$", "E'", "\\'", "'\n'", "U&"),
]
SOUP = st.lists(st.sampled_from(["", *WHOLE * 6, *PIECES]), min_size=8, max_size=25).map("".join)
FOR_PSQL = [
    "\n;COPY a FROM stdin;\n1;'\n\\.\n",
    'copy/*;*/a(b) from stdin with csv --\n;-- c\r\n"\r\n\\.\r\n',
    ";copy a from stdin;\n\\.",
    "\\restrict a'\n",
    ";set standard_conforming_strings = off;",
    "; SET standard_conforming_strings TO 'on' ;",
    "; reset all;",
    "'\\';'",
]
PSQL_SOUP = st.lists(st.sampled_from([*FOR_PSQL * 3, *WHOLE, "", "\\."]), min_size=4, max_size=20).map(
    "".join
)
ANY_RULES = st.sampled_from([*DIALECTS.values(), MYSQL_ANSI, MYSQL_NO_BACKSLASH])
ANY_SOUP = st.one_of(st.tuples(SOUP, ANY_RULES), st.tuples(PSQL_SOUP, st.just(POSTGRESQL)))
slow_enough = settings(max_examples=300)


@slow_enough
@given(ANY_SOUP)
@example(("é;copy a from stdin;\né\n\\.\nb", POSTGRESQL))
def test_statements_are_verbatim_slices_in_order(soup: tuple[str, Rules]) -> None:
    sql, rules = soup
    source = sql.encode()
    try:
        statements = module.split(source, rules)
    except SplitError:
        return
    behind = 0
    for number, statement in enumerate(statements, 1):
        assert statement.number == number
        text = source[statement.start : statement.end].decode()
        assert statement.sql == text == text.strip(" \t\n\r\f\v")
        assert behind <= statement.start < statement.end
        assert line_column(source, statement.start) == (statement.line, statement.column)
        behind = statement.end + 1
        if statement.data:
            start, end = statement.data
            assert behind <= start <= end
            assert source[start - 1 : start] == source[end - 1 : end] == b"\n"
            assert re.match(rb"\\\.\r?(\n|\Z)", source[end:])
            assert not re.search(rb"^\\\.\r?$", source[start:end], re.MULTILINE)
            behind = end + 2
    for (_, end), (start, _) in pairwise(statements.gaps):
        assert end <= start
    assert not any(start < s.start < end for start, end in statements.gaps for s in statements)


@slow_enough
@given(SOUP, ANY_RULES)
def test_statements_joined_again_split_into_the_same(sql: str, rules: Rules) -> None:
    try:
        texts = [statement.sql for statement in split(sql, rules)]
    except SplitError:
        return
    assume(not any(text.endswith("--") for text in texts))  # MySQL: two operators in `--;`, a comment in `--`
    assert [statement.sql for statement in split(";\n".join(texts), rules)] == texts
    assert [statement.sql for text in texts for statement in split(text, rules)] == texts


@slow_enough
@given(ANY_SOUP)
@example(("a(b;c)(d /* /* */ */);e", POSTGRESQL))
def test_skipping_changes_nothing(soup: tuple[str, Rules]) -> None:
    def outcome() -> object:
        try:
            return module.split(sql.encode(), rules)
        except SplitError as error:
            return str(error), error.offset

    def slow_lexer(rules: Rules, delimiter: bytes) -> module._Lexer:
        return real_lexer(rules, delimiter)._replace(skip=re.compile(b"").match)  # type: ignore[arg-type]

    sql, rules = soup
    real_lexer = module._lexer
    fast = outcome()
    with patch.object(module, "_lexer", slow_lexer):
        assert outcome() == fast


@pytest.mark.parametrize(
    ("rules", "start", "unit"),
    [
        (POSTGRESQL, "a ", unit)
        for unit in [
            *("'", '"', "(", "()", "(a ", "(a(b)'c')", "$", "$a ", "$a$b", "$a$", "#", "--", "-- \n", "-"),
            *("/*", "/**/", "/*a/*b*/c*/", "*", "*/", "\\", "E'a'\n", "e''--\n", "(e'", "a ", "a", "\r"),
        ]
    ]
    + [(POSTGRESQL, "create function f() begin atomic ", unit) for unit in ("case ", "begin atomic ", "a;")]
    + [
        (POSTGRESQL, "copy t from stdin;\n", unit)
        for unit in ("\n", "\n\\.x", "\n\\.\r", "\\.", "a\n", "\n\\.\ncopy t from stdin;", "'")
    ]
    + [(POSTGRESQL, "", unit) for unit in ("copy t to stdout;", "copy(", "copy t from ", "\\restrict a\n")]
    + [(POSTGRESQL, "", unit) for unit in ("set standard_conforming_strings=off;", "set a;", "set (")]
    + [(POSTGRESQL, "copy t from stdin;", unit) for unit in ("/**/", "/*", ";", "--", " ")]
    + [(SQLITE, "a ", unit) for unit in ("[", "`", "/*", "/**/")]
    + [(SQLITE, "create trigger t begin ", unit) for unit in ("end ", "; end a ")]
    + [(MYSQL, "a ", unit) for unit in ("`", "\\'", "-", "/*", "/*!", "/*!1 a*/", "/*!'", "*/")],
)
def test_a_megabyte_of_one_thing_comes_to_an_end(rules: Rules, start: str, unit: str) -> None:
    """No clock: what is quadratic takes minutes here."""
    try:
        statements = module.split((start + unit * (1_000_000 // len(unit))).encode(), rules)
        outcome = statements.end(-1) if statements else len(statements.source)
    except SplitError as error:
        outcome = error.offset
    assert 0 <= outcome <= 1_000_100


def test_comments_nest_a_hundred_thousand_deep() -> None:
    depth = 100_000
    (statement,) = split("/*" * depth + "*/" * depth + "a", POSTGRESQL)
    assert (statement.sql, statement.column) == ("a", 4 * depth + 1)
    with pytest.raises(UnclosedError, match=r"^line 1, column 1: this block comment is not closed$"):
        split("/*" * depth + "*/" * (depth - 1), POSTGRESQL)


@pytest.mark.parametrize(
    "sql",
    ["'" + "x''" * 3_000_000 + "'", "E'" + r"\'x" * 3_000_000 + "'", "(a, " + "'b', " * 2_000_000 + "c)"],
    ids=["string", "escape string", "list"],
)
def test_one_statement_of_ten_megabytes(sql: str) -> None:
    assert [len(statement.sql) for statement in split(f"{sql};b", POSTGRESQL)] == [len(sql), 1]
    assert words(f"insert into {sql}", POSTGRESQL, 2) == ("INSERT", "INTO")
