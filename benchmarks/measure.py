"""Times that can be compared: taken in turns, by medians, with how far they spread."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["Run", "Series", "command", "in_turns"]

_SLOW_S, _TURNS_OF_SLOW = 6.5, 3
_SHOWN = 2000
"""Characters of what a command has said that failed."""


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement.

    Attributes:
        wall_s: How long it took.
        cpu_s: The time on the processor, of the process and its children alone; not of the server.
        peak_kb: The most memory that it held.
    """

    wall_s: float
    cpu_s: float = 0.0
    peak_kb: int = 0


@dataclass(slots=True)
class Series:
    """The measurements of one contestant, in the order of taking."""

    runs: list[Run] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The median time."""
        return statistics.median(run.wall_s for run in self.runs)

    @property
    def cpu_s(self) -> float:
        """The median time on the processor."""
        return statistics.median(run.cpu_s for run in self.runs)

    @property
    def peak_mb(self) -> float:
        """The median of the most memory, in megabytes."""
        return statistics.median(run.peak_kb for run in self.runs) / 1000

    @property
    def spread(self) -> float:
        """Half of the distance between the quartiles, as a part of the median; of fewer than four, of all."""
        seconds = [run.wall_s for run in self.runs]
        low, high = min(seconds), max(seconds)
        if len(seconds) >= 4:  # noqa: PLR2004  # quartiles of fewer say nothing
            low, _, high = statistics.quantiles(seconds, n=4)
        return (high - low) / 2 / self.seconds

    @property
    def time(self) -> str:
        """The median time and how far it spreads, in words."""
        spread = f" ± {self.spread * 100:.0f} %" if len(self.runs) > 1 else ""
        return f"{self.seconds:.3f} s{spread}"

    def ratio(self, other: Series) -> float:
        """The median of the ratios of both in each turn: what slows the machine down slows both."""
        pairs = zip(self.runs, other.runs, strict=False)
        return statistics.median(mine.wall_s / theirs.wall_s for mine, theirs in pairs)


def command(words: Sequence[str | Path], environment: Mapping[str, str], folder: Path | None = None) -> Run:
    """Runs a command to its end, and measures it.

    Raises:
        RuntimeError: It has failed; the message has the end of what it said.
    """
    began = time.perf_counter()
    with subprocess.Popen(
        words,
        env={**os.environ, **environment},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        said = process.stdout.read() if process.stdout else b""
        _, status, usage = os.wait4(process.pid, 0)
        elapsed_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        name = " ".join(map(str, words))
        raise RuntimeError(
            f"{name} ended with {process.returncode}:\n{said.decode(errors='replace')[-_SHOWN:]}"
        )
    return Run(elapsed_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)


def in_turns(contestants: Mapping[str, Callable[[], Run]], rounds: int) -> dict[str, Series]:
    """A series of each: A B C, A B C, ...; who is slow takes part in the first turns alone."""
    found = {name: Series() for name in contestants}
    for number in range(rounds):
        for name, measure in contestants.items():
            runs = found[name].runs
            if number < _TURNS_OF_SLOW or runs[0].wall_s < _SLOW_S:
                runs.append(measure())
    return found
