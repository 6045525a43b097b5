"""Files and nothing else said -> a mapping: what a file is called, and what it holds, name the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fluxmig.errors import ConfigError, DataFileError
from fluxmig.loading.mapping import is_compressed, is_lines, snake
from fluxmig.loading.nouns import LoadMapping, Rule
from fluxmig.loading.paths import EACH, STDIN
from fluxmig.loading.reading import Reader, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fluxmig.loading.nouns import DataFiles

__all__ = ["mapping_of"]

_BY_MAPPING = "a mapping says which part goes where: --mapping load.toml"


def mapping_of(files: DataFiles, tables: Callable[[], Sequence[str]]) -> LoadMapping:
    """The mapping that files need; reads those that have an object around their records.

    Args:
        files: The files.
        tables: Tells the tables that there are.

    Raises:
        ConfigError: What is meant cannot be told.
        DataFileError: A file cannot be read.
    """
    if not files.names:
        raise ConfigError("no file is named", remedy="give files, - for standard input, or --mapping FILE")
    if len(files.names) > 1 and files.into and len(files.into) != len(files.names):
        raise ConfigError(
            f"{len(files.names)} files, and {len(files.into)} tables",
            remedy="--into names one for each file, in order",
        )
    rules: list[Rule] = []
    for place, name in enumerate(files.names):
        into = files.into if len(files.names) == 1 else files.into[place : place + 1]
        rules += _of_file(files, name, into, tables)
    return LoadMapping(tuple(rules))


def _of_file(
    files: DataFiles, name: str, into: tuple[str, ...], tables: Callable[[], Sequence[str]]
) -> list[Rule]:
    lines = files.lines if files.lines is not None else is_lines(name)
    rule = replace(files.rule, file=name, lines=lines)
    if name == STDIN and not into:
        raise ConfigError("standard input has no name to go by", remedy="--into names the table")
    opening, arrays = ("[", ()) if lines or name == STDIN else _look(name)
    if opening == "[":
        if len(into) > 1:
            raise ConfigError(
                f"{name} holds one array, and --into names {len(into)} tables", remedy=_BY_MAPPING
            )
        return [replace(rule, table=into[0] if into else _stem(name))]
    if not opening:
        raise DataFileError(f"{name}: the file is empty", remedy="an empty array is []")
    if opening != "{" or not arrays:
        held = "an object without an array in it" if opening == "{" else "a single value"
        raise ConfigError(f"{name} holds {held}", remedy=_BY_MAPPING)
    if len(arrays) == 1 and len(into) < 2:  # noqa: PLR2004
        return [
            replace(
                rule, path=(arrays[0], EACH), table=into[0] if into else _known(name, arrays[0], tables())
            )
        ]
    by_table = {snake(array): array for array in arrays} | {array: array for array in arrays}
    if not into or not set(into) <= by_table.keys():
        raise ConfigError(
            f"{name} holds several arrays: {', '.join(arrays)}",
            remedy=f"--into {','.join(map(snake, arrays))} takes each by its name; or {_BY_MAPPING}",
        )
    return [replace(rule, path=(by_table[table], EACH), table=table) for table in into]


def _look(name: str) -> tuple[str, tuple[str, ...]]:
    try:
        with Path(name).open("rb") as file:
            return shape_of(Reader(name, file, compressed=is_compressed(name)))
    except OSError as error:
        raise DataFileError(f"{name}: cannot be read: {error.strerror}") from error


def _known(name: str, array: str, tables: Sequence[str]) -> str:
    """The table that the array is called like, or else the file."""
    return next((word for word in (array, snake(array), _stem(name)) if word in tables), snake(array))


def _stem(name: str) -> str:
    return snake(Path(name).name.partition(".")[0])
