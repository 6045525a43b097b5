"""The files of a folder, read once and made ready once, for as many databases as there are."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from fluxmig import layouts, script

if TYPE_CHECKING:
    from pathlib import Path

    from fluxmig.dialects import Dialect
    from fluxmig.layouts.numbered import Folder
    from fluxmig.model import DownScript, FileProblem, Migration, Script

__all__ = ["Files", "prepared"]


def prepared(name: str, file: Migration | DownScript, dialect: Dialect) -> Script | FileProblem:
    """A migration's file, or its down script, made ready for a database; or why it cannot be run."""
    given = (name, file.path, file.checksum, file.source)
    return script.prepare(*given, dialect.rules, dialect.no_transaction_reason, dialect.refusal)


class Files:
    """A folder as it was when it was read; any number of threads may share it.

    Attributes:
        folder: What was read.
        digest: SHA-256, in hexadecimal, of the names and the bytes of all migrations and down scripts.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.digest = _digest(folder)
        self._ready: dict[tuple[object, ...], Script | FileProblem] = {}

    @classmethod
    def read(cls, folder: Path) -> Files:
        """The files of a folder now; raises as `layouts.read` does."""
        return cls(layouts.read(folder))

    def script(self, name: str, file: Migration | DownScript, dialect: Dialect) -> Script | FileProblem:
        """As `prepared`; each file once for each kind of database and the way its sessions read SQL."""
        key = (name, file.path, file.checksum, type(dialect), dialect.rules)
        found = self._ready.get(key)
        if found is None:  # two threads may both make it ready, and make the same
            found = self._ready[key] = prepared(name, file, dialect)
        return found

    def __reduce__(self) -> tuple[type[Files], tuple[Folder]]:
        """To another process go the files, and not what was made of them."""
        return Files, (self.folder,)


def _digest(folder: Folder) -> str:
    digest = hashlib.sha256()
    for migration in folder.migrations:
        down = migration.down.checksum if migration.down else ""
        digest.update(f"{migration.name}\0{migration.checksum}\0{down}\n".encode())
    return digest.hexdigest()
