"""The splitter: tables of {script, statements} for each dialect, and properties over token soups."""

from __future__ import annotations

import re
from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from fluxmig import sql as module
from fluxmig.sql import GENERIC, MYSQL, POSTGRESQL, SQLITE, Rules, UnclosedError, line_column, split, words

DIALECTS = {"postgresql": POSTGRESQL, "sqlite": SQLITE, "mysql": MYSQL, "generic": GENERIC}
MYSQL_ANSI = replace(MYSQL, ansi_quotes=True)
MYSQL_NO_BACKSLASH = replace(MYSQL, backslash_escapes=False)

Case = tuple[str, str, list[str]]

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
    ("a line comment hides no end of a block comment", "/* -- */a;b", ["a", "b"]),
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
    ("a backslash", r"a\;b", ["a\\", "b"]),
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
    assert line_column(sql, error.offset) == (line, column)
    assert str(error) == f"{what} opened at line {line}, column {column} is never closed"


def test_statement_has_its_number_offsets_and_position() -> None:
    sql = "-- é\r\n  a 1;;\n/* x\n*/ b\n2 -- y\n; c\rd; e"
    assert [(s.number, s.sql, s.start, s.end, s.line, s.column) for s in split(sql, POSTGRESQL)] == [
        (1, "a 1", 8, 11, 2, 3),
        (2, "b\n2", 22, 25, 4, 4),
        (3, "c\rd", 33, 36, 6, 3),
        (4, "e", 38, 39, 6, 8),
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
        ("é\N{GRINNING FACE}x", 2, (1, 3)),
    ],
)
def test_line_column(sql: str, offset: int, expected: tuple[int, int]) -> None:
    assert line_column(sql, offset) == expected


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
    with pytest.raises(UnclosedError, match=r"^string opened at line 1, column 8 is never closed$"):
        words("vacuum 'a", POSTGRESQL)


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
ANY_RULES = st.sampled_from([*DIALECTS.values(), MYSQL_ANSI, MYSQL_NO_BACKSLASH])
slow_enough = settings(deadline=None, max_examples=300)


@slow_enough
@given(SOUP, ANY_RULES)
def test_statements_are_verbatim_slices_in_order(sql: str, rules: Rules) -> None:
    try:
        statements = split(sql, rules)
    except UnclosedError:
        return
    behind = 0
    for number, statement in enumerate(statements, 1):
        assert statement.number == number
        assert statement.sql == sql[statement.start : statement.end] == statement.sql.strip(" \t\n\r\f\v")
        assert behind <= statement.start < statement.end
        assert line_column(sql, statement.start) == (statement.line, statement.column)
        behind = statement.end + 1


@slow_enough
@given(SOUP, ANY_RULES)
def test_statements_joined_again_split_into_the_same(sql: str, rules: Rules) -> None:
    try:
        texts = [statement.sql for statement in split(sql, rules)]
    except UnclosedError:
        return
    assume(not any(text.endswith("--") for text in texts))  # MySQL: two operators in `--;`, a comment in `--`
    assert [statement.sql for statement in split(";\n".join(texts), rules)] == texts
    assert [statement.sql for text in texts for statement in split(text, rules)] == texts


@slow_enough
@given(SOUP, ANY_RULES)
@example("a(b;c)(d /* /* */ */);e", POSTGRESQL)
def test_skipping_changes_nothing(sql: str, rules: Rules) -> None:
    def outcome() -> object:
        try:
            return split(sql, rules)
        except UnclosedError as error:
            return error.what, error.offset

    lexer = module._lexer(rules, ";")._replace(skip=re.compile("").match)  # type: ignore[arg-type]
    fast = outcome()
    with patch.object(module, "_lexer", return_value=lexer):
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
    + [(SQLITE, "a ", unit) for unit in ("[", "`", "/*", "/**/")]
    + [(SQLITE, "create trigger t begin ", unit) for unit in ("end ", "; end a ")]
    + [(MYSQL, "a ", unit) for unit in ("`", "\\'", "-", "/*", "/*!", "/*!1 a*/", "/*!'", "*/")],
)
def test_a_megabyte_of_one_thing_comes_to_an_end(rules: Rules, start: str, unit: str) -> None:
    """No clock: what is quadratic takes minutes here."""
    try:
        outcome: int = split(start + unit * (1_000_000 // len(unit)), rules)[-1].end
    except UnclosedError as error:
        outcome = error.offset
    assert outcome >= 1


def test_comments_nest_a_hundred_thousand_deep() -> None:
    depth = 100_000
    (statement,) = split("/*" * depth + "*/" * depth + "a", POSTGRESQL)
    assert (statement.sql, statement.column) == ("a", 4 * depth + 1)
    with pytest.raises(UnclosedError, match=r"^block comment opened at line 1, column 1 is never closed$"):
        split("/*" * depth + "*/" * (depth - 1), POSTGRESQL)


@pytest.mark.parametrize(
    "sql",
    ["'" + "x''" * 3_000_000 + "'", "E'" + r"\'x" * 3_000_000 + "'", "(a, " + "'b', " * 2_000_000 + "c)"],
    ids=["string", "escape string", "list"],
)
def test_one_statement_of_ten_megabytes(sql: str) -> None:
    assert [len(statement.sql) for statement in split(f"{sql};b", POSTGRESQL)] == [len(sql), 1]
    assert words(f"insert into {sql}", POSTGRESQL, 2) == ("INSERT", "INTO")
