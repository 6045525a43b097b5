"""What is left: where start-up goes, by package, and a run of many files, by module."""

from __future__ import annotations

import pstats
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import fluxmig

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Function = tuple[str, int, str]
    Times = tuple[int, int, float, float]
    Entry = tuple[int, int, float, float, Mapping[Function, Times]]

__all__ = ["imports", "loaded", "shares"]

_LINE = re.compile(r"import time:\s+(?P<own>\d+) \|\s+\d+ \|\s+(?P<name>\S+)")
_ROOT = str(Path(fluxmig.__file__).parent.parent) + "/"
_PACKAGES = "site-packages/"
_PYTHON = "Python's own"


def imports(program: Sequence[str | Path], environment: Mapping[str, str], rounds: int) -> dict[str, float]:
    """How many milliseconds each module takes to load, without those that it loads; the least of the rounds.

    What is loaded by `import_module` counts for who has called that.
    """
    least: dict[str, float] = {}
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", *program],
            env=dict(environment),
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        for match in _LINE.finditer(done.stderr):
            own_ms = int(match["own"]) / 1000
            least[match["name"]] = min(own_ms, least.get(match["name"], own_ms))
    return least


def loaded(modules: Mapping[str, float]) -> list[tuple[str, int, float]]:
    """Package, how many modules of it, and their milliseconds; the longest first."""
    counts, times = Counter[str](), defaultdict[str, float](float)
    for name, own_ms in modules.items():
        package = name.partition(".")[0].removesuffix("_binary")
        kind = _PYTHON if package in sys.stdlib_module_names or package.startswith("_") else package
        counts[kind] += 1
        times[kind] += own_ms
    return [(name, counts[name], own_ms) for name, own_ms in _longest_first(times)]


def shares(statistics: Path) -> list[tuple[str, float]]:
    """Modules of fluxmig's, other packages as a whole, and which part of all time each takes; longest first.

    What is built into Python counts for who has called it.
    """
    entries = cast("Mapping[Function, Entry]", pstats.Stats(str(statistics)).stats)  # type: ignore[attr-defined]
    times = defaultdict[str, float](float)
    for (file, _, _), (_, _, own_s, _, callers) in entries.items():
        for where, seconds in _who(file, own_s, callers):
            times[where] += seconds
    total = sum(times.values())
    return [(name, seconds / total) for name, seconds in _longest_first(times)]


def _longest_first(times: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(times.items(), key=lambda item: -item[1])


def _who(file: str, own_s: float, callers: Mapping[Function, Times]) -> Iterable[tuple[str, float]]:
    if file != "~":
        return [(_place(file), own_s)]
    return [(_place(caller), times[2]) for (caller, _, _), times in callers.items()]


def _place(file: str) -> str:
    """The name that a file's code is shown under."""
    if file.startswith(f"{_ROOT}fluxmig/"):
        return file.removeprefix(_ROOT).removesuffix(".py").replace("/", ".")
    if _PACKAGES in file:
        return file.rpartition(_PACKAGES)[2].partition("/")[0]
    return _PYTHON
