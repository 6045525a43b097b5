"""How long to wait before the next try: longer each time, and not all at the same moment."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["growing"]


def growing(first_s: float, most_s: float, *, chance: Callable[[], float] = random.random) -> Iterator[float]:
    """Pauses without end, each about twice the one before, up to a limit.

    Half of each is left to chance, so that those who were held up together do not come back together.

    Args:
        first_s: The first one at most.
        most_s: Any of them at most.
        chance: Gives numbers from 0 to 1.
    """
    for doubled in count():
        # Behind 64 doublings a float of any use is over every limit.
        yield min(most_s, first_s * 2.0 ** min(doubled, 64)) * (0.5 + chance() / 2)
