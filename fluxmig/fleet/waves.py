"""Targets -> the waves in which they are worked on. Pure."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from fluxmig.errors import ConfigError
from fluxmig.fleet.model import Share, Wave

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fluxmig.fleet.model import Pace, Target

__all__ = ["canary", "share", "shares", "waves"]

_SHARE = re.compile(r"\s*(\d{1,9}|\d{1,3}(?:\.\d+)?%)\s*")


def waves(targets: Sequence[Target], pace: Pace) -> tuple[Wave, ...]:
    """The waves, in order; each target is in one, and no wave is empty.

    Raises:
        ConfigError: A canary is no target, or the shares do not grow up to all.
    """
    first, rest = _parted(targets, pace.canary)
    made = [Wave("canary", first, is_canary=True)] if first else []
    before = len(first)
    given = _checked(pace.waves)
    for place, each in enumerate(given, 1):
        upto = max(before, each.of(len(targets)))
        name = "all" if len(given) == 1 else f"wave {place} of {len(given)}, {each}"
        made.append(Wave(name, rest[before - len(first) : upto - len(first)]))
        before = upto
    return tuple(wave for wave in made if wave.targets)


def share(text: str) -> Share:
    """`10` or `5%`; raises `ConfigError`."""
    found = _SHARE.fullmatch(text)
    if not found:
        raise ConfigError(
            f"{text!r} is no number of targets", remedy="write a number, or one with % behind it"
        )
    number = float(found[1].removesuffix("%"))
    if found[1].endswith("%") and number > 100:  # noqa: PLR2004  # of a hundred
        raise ConfigError(f"{text} is more than all targets", remedy="write 100% or less")
    return Share(number, is_percentage=found[1].endswith("%"))


def shares(text: str) -> tuple[Share, ...]:
    """`1%,10%,100%`; raises `ConfigError`."""
    return tuple(share(part) for part in text.split(","))


def canary(text: str) -> int | tuple[str, ...]:
    """A number of targets, or names with commas between; raises `ConfigError` where that is nobody."""
    text = text.strip()
    if text.isdecimal():
        chosen: int | tuple[str, ...] = int(text)
    else:
        chosen = tuple(name.strip() for name in text.split(",") if name.strip())
    if not chosen:
        raise ConfigError(
            f"{text!r} makes no target a canary", remedy="write how many, or their names; or leave it out"
        )
    return chosen


def _parted(
    targets: Sequence[Target], chosen: int | tuple[str, ...]
) -> tuple[tuple[Target, ...], tuple[Target, ...]]:
    """The canaries, and the others."""
    if isinstance(chosen, int):
        return tuple(targets[:chosen]), tuple(targets[chosen:])
    by_name = {target.name: target for target in targets}
    if unknown := [name for name in chosen if name not in by_name]:
        raise ConfigError(
            f"no target has the name {unknown[0]}, which is to be a canary",
            remedy="`fluxmig fleet status --json` shows the names",
        )
    names = set(chosen)
    first = tuple(by_name[name] for name in dict.fromkeys(chosen))
    return first, tuple(target for target in targets if target.name not in names)


def _checked(given: tuple[Share, ...]) -> tuple[Share, ...]:
    """The shares, up to all; raises `ConfigError` where they do not grow, or end before."""
    if not given:
        return (Share(100, is_percentage=True),)
    if empty := next((each for each in given if not each.number), None):
        raise ConfigError(f"a wave of {empty} has no target", remedy="write 1%,10%,100% say")
    for one, other in pairwise(given):
        if one.is_percentage == other.is_percentage and one.number >= other.number:
            raise ConfigError(
                f"the waves do not grow: {one} comes before {other}", remedy="write 1%,10%,100% say"
            )
    if given[-1] != Share(100, is_percentage=True):
        raise ConfigError(f"the waves end at {given[-1]}, and leave targets out", remedy="end them with 100%")
    return given
