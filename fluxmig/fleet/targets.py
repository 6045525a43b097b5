"""What a list says -> targets, each with a name, a place and a group, and none of them twice. Pure.

A line of a file is `[NAME] URL [KEY=VALUE ...]`, or a name alone, for the database of that name where the
base URL leads. A row of a query has the same as columns. `${NAME}` in a URL stands for a variable, which is
looked up when the work begins. No message repeats a URL.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from fluxmig.connect import parse_url
from fluxmig.errors import ConfigError
from fluxmig.fleet.model import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["expanded", "located", "matching", "of_rows", "of_schemas", "of_text", "selected", "unique"]

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_LABEL = re.compile(r"([\w.-]+)=(.*)")
_PARTS = re.compile(
    r"(?P<scheme>[^:/]+)://(?:(?P<user>[^/]*)@)?(?P<host>[^/?]*)(?:/(?P<path>[^?]*))?(?P<query>\?.*)?"
)
_DATABASE = re.compile(r"[\w.~$-]{1,255}")
_LINE = re.compile(r"\r\n?|\n")
_PORTS = {"postgres": ":5432", "postgresql": ":5432", "mysql": ":3306", "mariadb": ":3306"}
_LONGEST = 255
"""Characters of a name: what a state keeps."""
_QUERY_HOST = re.compile(r"[?&]host=([^&]*)")
_SHAPE = "a line is NAME, URL or NAME URL, and KEY=VALUE behind it; `#` begins a comment"
_HERE = "local"
"""The group of what has no host."""


def of_text(text: str, source: str, base: str | None = None) -> tuple[Target, ...]:
    """The targets of a file.

    Args:
        text: What is in it.
        source: Its name, for places.
        base: The URL that names alone are databases of.

    Raises:
        ConfigError: A line cannot be read; the message names its place.
    """
    found = []
    for number, line in enumerate(_LINE.split(text), 1):
        words = re.sub(r"(?:^|\s)#.*", "", line).split()
        if words:
            place = f"{source}:{number}"
            found.append(_target(place, _fields(place, words), base))
    return tuple(found)


def of_rows(rows: Iterable[Mapping[str, object]], source: str, base: str | None = None) -> tuple[Target, ...]:
    """The targets of a query: columns `name`, `url`, `database`, `schema` and `group`; all others are labels.

    Raises:
        ConfigError: A row has neither URL nor name; the message says which.
    """
    found = []
    for number, row in enumerate(rows, 1):
        fields = {name.lower(): str(value) for name, value in row.items() if value is not None}
        found.append(_target(f"{source}, row {number}", fields, base))
    return tuple(found)


def of_schemas(
    names: Iterable[str], pattern: str, url: str, shared: Sequence[str] = ()
) -> tuple[Target, ...]:
    """A target for each schema of one database whose name matches.

    Args:
        names: All that there are.
        pattern: As LIKE has it: `%` is any characters, `_` any one, and a backslash takes the next as it is.
        url: The database's.
        shared: The schemas that scripts see behind their own.
    """
    group = _group(url)
    return tuple(
        Target(name, url, schema=name, shared=tuple(shared), group=group, place=f"schema {name}")
        for name in sorted(matching(names, pattern))
        if name not in shared
    )


def matching(names: Iterable[str], pattern: str) -> Iterator[str]:
    """The names that a pattern of LIKE matches."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    joined = "".join({"%": ".*", "_": "."}.get(part) or re.escape(part[-1]) for part in parts)
    whole = re.compile(joined, re.DOTALL)
    return (name for name in names if whole.fullmatch(name))


def unique(targets: Iterable[Target]) -> tuple[Target, ...]:
    """The targets; raises `ConfigError` where two have one name, or are one database and schema."""
    found = tuple(targets)
    names: dict[str, Target] = {}
    homes: dict[tuple[str, str | None], Target] = {}
    for target in found:
        other = names.setdefault(target.name, target)
        _refuse_twice(other, target, f"the name {target.name} is given twice")
        other = homes.setdefault((_home(target.url), target.schema), target)
        _refuse_twice(other, target, f"{other.name} and {target.name} are one database")
    return found


def selected(targets: Sequence[Target], words: Sequence[str]) -> tuple[Target, ...]:
    """The targets that one of the words is for: a pattern of names, as shells have them, or KEY=VALUE.

    Raises:
        ConfigError: One word is for none.
    """
    if not words:
        return tuple(targets)
    chosen: set[str] = set()
    for word in words:
        found = {target.name for target in targets if _is_for(word, target)}
        if not found:
            raise ConfigError(
                f"--select {word} is for no target", remedy="`fluxmig fleet status --json` shows them all"
            )
        chosen |= found
    return tuple(target for target in targets if target.name in chosen)


def expanded(url: str, environ: Mapping[str, str], place: str = "") -> str:
    """A URL with its variables replaced; what stands where user and password do is percent-encoded.

    Raises:
        ConfigError: One is not set.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in environ:
            where = f"{place}: " if place else ""
            raise ConfigError(
                f"{where}the variable {found[1]} is not set", remedy="set it where the work is done"
            )
        given = environ[found[1]]
        is_part = "://" in url[: found.start()] and "@" in url[found.end() :]
        return quote(given, safe="") if is_part else given

    return _VARIABLE.sub(value, url)


def located(targets: Iterable[Target], environ: Mapping[str, str]) -> tuple[Target, ...]:
    """The targets, the groups of those known whose URL, or host, is a variable that is set here."""
    return tuple(_located(target, environ) for target in targets)


# --- one target -------------------------------------------------------------------------------------------


def _located(target: Target, environ: Mapping[str, str]) -> Target:
    if not _VARIABLE.search(target.group):
        return target
    try:
        url = expanded(target.url, environ)
        parse_url(url)
    except ConfigError:  # the work will say so, where it is done
        return target
    return replace(target, group=_group(url))


def _fields(place: str, words: Sequence[str]) -> dict[str, str]:
    """What a line says, by key."""
    fields: dict[str, str] = {}
    plain = [word for word in words[:2] if _is_url(word) or not _LABEL.fullmatch(word)]
    match plain:
        case [url] if _is_url(url):
            fields["url"] = url
        case [name]:
            fields["name"] = name
        case [name, url] if _is_url(url) and not _is_url(name):
            fields |= {"name": name, "url": url}
        case _:
            raise ConfigError(f"{place}: this is no target", remedy=_SHAPE)
    for word in words[len(plain) :]:
        label = _LABEL.fullmatch(word)
        if not label or _is_url(word):
            raise ConfigError(f"{place}: something behind the target is no KEY=VALUE", remedy=_SHAPE)
        if label[1] in fields:
            raise ConfigError(f"{place}: {label[1]}= is given twice", remedy="take one of them out")
        fields[label[1]] = label[2]
    return fields


def _target(place: str, fields: Mapping[str, str], base: str | None) -> Target:
    rest = dict(fields)
    url, name = rest.pop("url", None), rest.pop("name", None)
    database = rest.pop("database", None)
    schema, group = rest.pop("schema", None), rest.pop("group", None)
    if url is None:
        url = _in_base(place, database or name, base)
        name = name or database
    if not _VARIABLE.fullmatch(url):
        try:
            parse_url(_VARIABLE.sub("1", url))
        except ConfigError as error:
            raise ConfigError(f"{place}: {error.message}", remedy=error.remedy) from None
    if "${" in _VARIABLE.sub("", url):
        raise ConfigError(
            f"{place}: there is a ${{ that begins no variable",
            remedy="a variable is ${NAME}, of letters, digits and _; write a $ that is none as %24",
        )
    name = name or _name(url, schema)
    if len(name) > _LONGEST or "\0" in name:
        what = "a NUL" if "\0" in name else f"more than {_LONGEST} characters"
        raise ConfigError(f"{place}: the name has {what}", remedy="give another one")
    return Target(name, url, schema=schema, group=group or _group(url), labels=rest, place=place)


def _in_base(place: str, database: str | None, base: str | None) -> str:
    if database is None:
        raise ConfigError(
            f"{place}: there is neither a url nor a name", remedy="call a column so: SELECT dbname AS name"
        )
    if not _DATABASE.fullmatch(database):
        raise ConfigError(
            f"{place}: this is neither a URL nor a name that can be put into one", remedy="write its URL"
        )
    if base is None:
        raise ConfigError(
            f"{place}: {database} is a name, and it is not said on which server",
            remedy="give --database-url, in which it takes the place of the database, or write its URL",
        )
    parts = _PARTS.fullmatch(base.strip())
    if not parts:
        raise ConfigError(
            "the database URL cannot be read", remedy="the form is postgresql://USER@HOST/DATABASE"
        )
    head = base.strip()[: parts.end("host")]
    return f"{head}/{database}{parts['query'] or ''}"


def _is_url(word: str) -> bool:
    return "://" in word.partition("=")[0] or _VARIABLE.fullmatch(word) is not None


def _name(url: str, schema: str | None) -> str:
    """A name that says where it is, and stays the same whatever else is in the list."""
    if whole := _VARIABLE.fullmatch(url):
        return whole[1] if schema is None else f"{whole[1]}/{schema}"
    parts = _PARTS.fullmatch(url.strip())
    words = [parts["host"], unquote(parts["path"] or "")] if parts else []
    return "/".join(filter(None, (*words, schema))) or _HERE


def _group(url: str) -> str:
    """Host and port; of a whole variable, itself."""
    parts = _PARTS.fullmatch(url.strip())
    if not parts:
        return url if _VARIABLE.fullmatch(url) else _HERE
    inside = _QUERY_HOST.search(parts["query"] or "")
    return parts["host"] or (unquote(inside[1]) if inside else "") or _HERE


def _home(url: str) -> str:
    """The URL without user and password, and without the port that is usual."""
    parts = _PARTS.fullmatch(url.strip())
    if not parts:
        return url
    usual = _PORTS.get(parts["scheme"].lower().partition("+")[0], "")
    return f"{parts['host'].lower().removesuffix(usual)}/{parts['path']}{parts['query'] or ''}"


def _is_for(word: str, target: Target) -> bool:
    label = _LABEL.fullmatch(word)
    if label:
        known = {**target.labels, "group": target.group}
        return fnmatchcase(known.get(label[1], ""), label[2]) if label[1] in known else False
    return fnmatchcase(target.name, word)


def _refuse_twice(one: Target, other: Target, message: str) -> None:
    if one is not other:
        raise ConfigError(
            f"{message}: {one.place or one.name} and {other.place or other.name}",
            remedy="take one of them out",
        )
