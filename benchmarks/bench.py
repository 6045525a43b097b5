"""What the cases share: servers, files, tools, and how a series of measurements is shown."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import mix
from benchmarks.measure import command, in_turns
from benchmarks.page import DRIFT, table
from benchmarks.tools import FLUXMIG, LOOP, environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.measure import Run, Series
    from benchmarks.server import Server
    from benchmarks.tools import Tool

__all__ = ["AGAIN", "Bench", "drift", "figures", "times"]

AGAIN = f"{LOOP.name}, again"
"""The control: one of those who take part, against itself."""
_FULL = 7


@dataclass(slots=True)
class Bench:
    """What the cases share.

    Attributes:
        folder: For files.
        servers: By place, "disk" and "memory".
        peers: The other tools.
        rounds: How often each is measured.
        scale: What the numbers of files and the sizes are multiplied with: 1, or less for a look.
    """

    folder: Path
    servers: Mapping[str, Server]
    peers: Sequence[Tool]
    rounds: int
    scale: float = 1.0
    _folders: dict[tuple[str, int], Path] = field(default_factory=dict)
    _first: dict[str, float] = field(default_factory=dict)

    @property
    def memory(self) -> Server:
        """The server where the tool shows, and not the disk."""
        return self.servers["memory"]

    @property
    def is_quick(self) -> bool:
        """Whether it is but a look."""
        return self.rounds < _FULL

    @property
    def few(self) -> int:
        """How often that is measured which takes long."""
        return 1 if self.is_quick else 3

    def count(self, files: int) -> int:
        """So many files, or fewer."""
        return max(2, round(files * self.scale))

    def files(self, tool: Tool, count: int) -> Path:
        """The folder with the first so many files of the mix, as the tool wants them."""
        key = tool.lay_out.__name__, count
        if key not in self._folders:
            folder = self.folder / f"{key[0].strip('_')}-{count}"
            folder.mkdir()
            tool.lay_out(folder, mix.files(count))
            self._folders[key] = folder
        return self._folders[key]

    def apply(self, tool: Tool, server: Server, database: str, count: int, port: int | None = None) -> Run:
        """Has the tool apply so many files."""
        words = tool.call(self.files(tool, count), server.address(database, port))
        return command(words, environment())

    def fresh(self, tool: Tool, server: Server, count: int, port: int | None = None) -> Run:
        """On an empty database."""
        with server.database() as database:
            return self.apply(tool, server, database, count, port)

    def first_s(self, tools: Sequence[Tool]) -> dict[str, float]:
        """How many seconds each takes for one file, in memory: start-up, for the most part. Measured once."""
        new = {tool.name: partial(self.fresh, tool, self.memory, 1) for tool in tools}
        new = {name: measure for name, measure in new.items() if name not in self._first}
        self._first |= {name: series.seconds for name, series in in_turns(new, self.rounds).items()}
        return {tool.name: self._first[tool.name] for tool in tools}

    @contextmanager
    def applied(self, server: Server, count: int) -> Iterator[str]:
        """A database that fluxmig has applied so many files to."""
        with server.database() as database:
            self.apply(FLUXMIG, server, database, count)
            yield database


def times(
    found: Mapping[str, Series],
    beside: str,
    first: Mapping[str, float] | None = None,
    *,
    memory: bool = False,
) -> str:
    """A table of everybody's times.

    Args:
        found: By name.
        beside: With whom they are compared.
        first: The seconds of start-up, where a column shall be without them.
        memory: Whether a column tells the most memory.
    """
    rows, first = [], first or {}
    for name, series in sorted(found.items(), key=lambda item: item[1].seconds):
        row = [name, series.time, f"{series.cpu_s:.3f} s"]
        row.append(f"{series.ratio(found[beside]):.2f}")
        if first:
            row.append(f"{series.seconds - first[name]:.3f} s" if name in first else "")
        if memory:
            row.append(f"{series.peak_mb:.0f} MB")
        rows.append(row)
    heads = ["", "time", "its own processor time", f"times {beside}"]
    return table(heads + ["without one file's"] * bool(first) + ["memory at most"] * memory, rows)


def figures(found: Mapping[str, Series]) -> dict[str, dict[str, float]]:
    """The same for other pages."""
    return {
        name: {"seconds": round(series.seconds, 4), "spread": round(series.spread, 3)}
        for name, series in found.items()
    }


def drift(found: Mapping[str, Series]) -> tuple[float, str]:
    """By what part the control differs from itself, and the sentence."""
    part = abs(found[AGAIN].ratio(found[LOOP.name]) - 1)
    warning = ": **not quiet enough for these figures**" if part > DRIFT else ""
    return part, f"The {LOOP.name} against itself drifts by {part * 100:.0f} %{warning}."
