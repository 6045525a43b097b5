"""A folder -> its migrations, in the order they run.

A layout is a module with `read(folder)`; `LAYOUTS` names them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluxmig.layouts import numbered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fluxmig.layouts.numbered import Folder

__all__ = ["LAYOUTS", "read"]

LAYOUTS: dict[str, Callable[[Path], Folder]] = {"numbered": numbered.read}


def read(folder: Path, layout: str = "numbered") -> Folder:
    """The migrations in a folder; raises `MigrationFileError` naming every file that is none."""
    return LAYOUTS[layout](folder)
