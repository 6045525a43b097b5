"""`load.toml`, or what stands on the command line -> a frozen `LoadMapping`. Pure, but for `read`.

Every key of the file is known, of the right type, and says where it is wrong.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fluxmig.errors import ConfigError
from fluxmig.loading.nouns import LoadMapping, OnConflict, Rule, Source
from fluxmig.loading.paths import ABSENT, EACH, STDIN

if TYPE_CHECKING:
    from pathlib import Path
__all__ = ["is_compressed", "is_lines", "of_dict", "read", "snake", "steps", "zone"]

_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|(?P<each>\[\*?\])")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[-\s]+")
_LINES = (".ndjson", ".jsonl")
_RULE = {
    "table": str,
    "path": str,
    "columns": dict,
    "ignore": list,
    "ignore-unknown": bool,
    "rest-into": str,
    "on-conflict": str,
    "key": str,
    "zone": str,
    "children": list,
}
_ROOT = {**_RULE, "file": str, "lines": bool}
_TOP = {"load": list, "zone": str, "on-conflict": str, "ignore-unknown": bool}
_SOURCE = {
    "from": str,
    "value": (str, int, float, Decimal, bool, list, dict),
    "default": (str, int, float, Decimal, bool, list, dict),
    "epoch": str,
    "encoding": str,
}
_NOUNS = {str: "a text", bool: "true or false", list: "a list", dict: "a table"}


def read(path: Path) -> LoadMapping:
    """The mapping that a file of TOML holds. File names in it start at its folder.

    Raises:
        ConfigError: There is no such file, or it is no mapping; the message names the place.
    """
    import tomllib  # noqa: PLC0415  # most loads have no such file

    try:
        document = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}", remedy="give --mapping FILE"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path}: not TOML: {error}", remedy="Mend the file there.") from None
    return of_dict(document, str(path), path.parent)


def of_dict(document: Mapping[str, Any], name: str = "mapping", folder: Path | None = None) -> LoadMapping:
    """The mapping that a dictionary of the same form holds.

    Args:
        document: As `load.toml`.
        name: What stands before the place of an error.
        folder: Where names of files start; by default where the process is.
    """
    _known(document, _TOP, name)
    common = {key: document[key] for key in ("zone", "on-conflict", "ignore-unknown") if key in document}
    rules = []
    for number, entry in enumerate(document.get("load", ()), 1):
        place = f"{name}: load {number}"
        _known(entry, _ROOT, place)
        if "file" not in entry:
            raise ConfigError(
                f"{place}: file is missing", remedy='file = "users.json", or "-" for standard input'
            )
        file = entry["file"]
        if folder and file != STDIN:
            file = str(folder / file)
        lines = entry.get("lines", is_lines(file))
        rule = _rule({**common, **entry}, place)
        rules.append(_with_file(replace(rule, lines=lines), file))
        if lines and rule.path[:1] != (EACH,):
            raise ConfigError(
                f"{place}: path: a file of lines has no document around them",
                remedy='leave path out, or begin it with "$[*]", which is a line',
            )
    if not rules:
        raise ConfigError(f"{name}: it has no [[load]]", remedy="write one for each table that a file fills")
    return LoadMapping(tuple(rules))


def steps(text: str, place: str = "path", *, inner: bool = False) -> tuple[str, ...]:
    """`$.users[*]` -> its steps.

    Args:
        text: The path.
        place: What stands before an error.
        inner: Whether it begins in a record, so that `$.` may be left out.

    Raises:
        ConfigError: It is no path.
    """
    body = text.removeprefix("$")
    if inner and body and body[0] not in ".[":
        body = f".{body}"
    found: list[str] = []
    end = 0
    for match in _STEP.finditer(body):
        if match.start() != end:
            break
        found.append(match["name"] or EACH)
        end = match.end()
    if end != len(body) or not (inner or text.startswith("$")):
        raise ConfigError(
            f"{place}: {text!r} is no path", remedy="as in $.users[*], or $.projects[*].members[*]"
        )
    return tuple(found)


def snake(name: str) -> str:
    """camelCase, PascalCase and kebab-case -> snake_case."""
    return _WORDS.sub("_", name).lower()


def is_compressed(file: str) -> bool:
    """Whether a file's name says that it is gzip's."""
    return file.lower().endswith(".gz")


def is_lines(file: str) -> bool:
    """Whether a file's name says that it has one record a line."""
    return file.lower().removesuffix(".gz").endswith(_LINES)


# --- one rule ---------------------------------------------------------------------------------------------


def _rule(entry: Mapping[str, Any], place: str, *, inner: bool = False) -> Rule:
    if not entry.get("table"):
        raise ConfigError(f"{place}: table is missing", remedy='table = "users"')
    if entry.get("rest-into") and entry.get("ignore-unknown"):
        raise ConfigError(f"{place}: rest-into and ignore-unknown", remedy="take one of the two")
    return Rule(
        table=entry["table"],
        path=steps(entry.get("path", "$[*]"), f"{place}: path", inner=inner),
        columns=_columns(entry.get("columns", {}), f"{place}: columns"),
        ignore=frozenset(map(str, entry.get("ignore", ()))),
        ignore_unknown=entry.get("ignore-unknown", False),
        rest_into=entry.get("rest-into"),
        on_conflict=_choice(OnConflict, entry.get("on-conflict", "error"), f"{place}: on-conflict"),
        key=entry.get("key"),
        zone=zone(entry.get("zone"), f"{place}: zone"),
        children=tuple(
            _child(child, entry, place, i) for i, child in enumerate(entry.get("children", ()), 1)
        ),
    )


def _child(entry: Any, parent: Mapping[str, Any], place: str, number: int) -> Rule:
    place = f"{place}: child {number}"
    _known(entry, _RULE, place)
    if "path" not in entry:
        raise ConfigError(f"{place}: path is missing", remedy='path = "members[*]", as seen from the record')
    inherited = {key: parent[key] for key in ("zone", "on-conflict") if key in parent}
    return _rule({**inherited, **entry}, place, inner=True)


def _with_file(rule: Rule, file: str) -> Rule:
    children = tuple(_with_file(child, file) for child in rule.children)
    return replace(rule, file=file, children=children)


def _columns(table: Mapping[str, Any], place: str) -> dict[str, Source]:
    return {column: _source(said, f"{place}: {column}") for column, said in table.items()}


def _source(said: Any, place: str) -> Source:
    """`"owner.id"`, `"parent.id"`, or a table with more to say."""
    if isinstance(said, str):
        said = {"from": said}
    if not isinstance(said, Mapping):
        raise ConfigError(
            f"{place}: must be a path, or a table", remedy='as in "owner.id", or { value = "import" }'
        )
    _known(said, _SOURCE, place)
    if ("from" in said) is ("value" in said):
        raise ConfigError(f"{place}: must have from or value", remedy='as in { from = "owner.id" }')
    if said.get("epoch") not in {None, "s", "ms", "us"}:
        raise ConfigError(f"{place}: epoch: must be one of s, ms, us", remedy="the unit of the number")
    if said.get("encoding") not in {None, "base64", "hex"}:
        raise ConfigError(f"{place}: encoding: must be base64 or hex", remedy="how the bytes are written")
    source = Source(
        value=_json(said.get("value", ABSENT), f"{place}: value"),
        default=_json(said.get("default", ABSENT), f"{place}: default"),
        epoch=said.get("epoch"),
        encoding=said.get("encoding", "base64"),
    )
    if "from" not in said:
        return source
    if said["from"].startswith("parent."):
        return replace(source, parent=said["from"].removeprefix("parent."))
    path = () if said["from"] == "." else steps(said["from"], place, inner=True)
    if EACH in path:
        raise ConfigError(f"{place}: a column has one value", remedy="children make rows of an array")
    return replace(source, path=path)


def _json(value: Any, place: str) -> Any:
    """A value of TOML, or of Python, as a file of JSON would have it; raises `ConfigError` for others."""
    match value:
        case dict():
            return {str(name): _json(each, place) for name, each in value.items()}
        case list():
            return [_json(each, place) for each in value]
        case float():
            return _json(Decimal(repr(value)), place)
        case Decimal() if value.is_finite():
            return value
        case None | str() | int():
            return value
        case _ if value is ABSENT:
            return value
        case _:
            raise ConfigError(f"{place}: must be a value of JSON", remedy="Correct it, or leave it out.")


def zone(name: str | None, place: str) -> str | None:
    """The name of a time zone, or None; raises `ConfigError` where there is none of that name."""
    if name in {None, "UTC"}:
        return name
    try:
        ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"{place}: {name!r} is no time zone", remedy="as in UTC, or Europe/Berlin"
        ) from None
    return name


def _choice(choices: type[OnConflict], word: str, place: str) -> OnConflict:
    if word not in set(choices):
        raise ConfigError(
            f"{place}: must be one of {', '.join(choices)}", remedy="Correct it, or leave it out."
        )
    return choices(word)


def _known(entry: Any, keys: Mapping[str, Any], place: str) -> None:
    """Raises `ConfigError` for a key that there is not, or a value of the wrong type."""
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{place}: must be a table", remedy="write [[load]], with keys below it")
    for key, value in entry.items():
        if key not in keys:
            close = difflib.get_close_matches(key, keys, n=1)
            remedy = f"Did you mean {close[0]}?" if close else f"The keys are: {', '.join(keys)}."
            raise ConfigError(f"{place}: {key}: unknown key", remedy=remedy)
        if not isinstance(value, keys[key]):
            noun = _NOUNS.get(keys[key], "a value of JSON")
            raise ConfigError(f"{place}: {key}: must be {noun}", remedy="Correct it, or leave it out.")
