"""Rows that have to wait until the tables are filled that they refer to: in a file, once they are many."""

from __future__ import annotations

import pickle
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fluxmig.loading.tables import Rows

__all__ = ["Spool"]

_IN_MEMORY = 2**23


class Spool:
    """Rows in the order in which they came. They are taken out once."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # `close` does
        self._count = 0

    def add(self, rows: Rows) -> None:
        """Keeps some more."""
        pickle.dump(rows, self._file, pickle.HIGHEST_PROTOCOL)
        self._count += 1

    def take(self) -> Iterator[Rows]:
        """All of them; then there are none."""
        self._file.seek(0)
        for _ in range(self._count):
            rows: Rows = pickle.load(self._file)  # noqa: S301  # what `add` has written, in a file without a name
            yield rows
        self._count = 0
        self._file.seek(0)
        self._file.truncate()

    def close(self) -> None:
        """Forgets what is left."""
        self._file.close()
