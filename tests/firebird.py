"""Firebird without a server: a database that no class of fluxmig's knows."""

from __future__ import annotations

import ctypes
import itertools
import os
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tests.support import Database, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Firebird"]

_numbers = itertools.count()


class Firebird(Server):
    """Databases that are files in a folder, through the engine in this process."""

    def __init__(self, folder: Path) -> None:
        super().__init__("firebird", "firebird://")
        self._folder = folder

    @classmethod
    def started(cls, folder: Path) -> Firebird | str:
        """With its engine loaded; or why that cannot be had.

        The wheel's own folder has a log that would be written, so a folder of links is used. Two libraries
        are loaded by hand, for the wheel does not say where they are.
        """
        if find_spec("sqlalchemy_firebird") is None or find_spec("firebird.embedded") is None:
            return "firebird-embedded or sqlalchemy-firebird is not installed"
        from firebird.driver import driver_config
        from firebird.embedded.provider import FirebirdProvider

        runtime = FirebirdProvider()
        with suppress(OSError):
            ctypes.CDLL("libtommath.so.1", ctypes.RTLD_GLOBAL)
        try:
            ctypes.CDLL(str(runtime.root / "libtomcrypt.so.1"))
        except OSError as error:
            return f"{error}; Debian's package is libtommath1"
        for entry in runtime.root.iterdir():
            if entry.name not in {"firebird.conf", "firebird.log"}:
                folder.joinpath(entry.name).symlink_to(entry)
        os.environ |= {"FIREBIRD": str(folder), "FIREBIRD_LOCK": str(folder / "lock")}
        driver_config.fb_client_library.value = str(runtime.client_library)
        return cls(folder)

    @contextmanager
    def database(self) -> Iterator[Database]:
        from firebird.driver import create_database

        path = self._folder / f"{next(_numbers)}.fdb"
        create_database(path, user="SYSDBA", charset="UTF8").close()
        database = Database(self.source, f"firebird://SYSDBA@/{path}?charset=UTF8")
        try:
            yield database
        finally:
            database.dispose()
            path.unlink()
