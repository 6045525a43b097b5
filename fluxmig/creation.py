"""The next migration's file, made."""

from __future__ import annotations

import os
import re
import unicodedata
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fluxmig.errors import ConfigError
from fluxmig.names import DOWN, MAX_NAME, names_in, number_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["create"]


def create(
    folder: Path, description: str, *, now: datetime, with_down: bool = False, timestamp: bool = False
) -> tuple[Path, ...]:
    """Makes the next migration's file, and its down script where asked; never overwrites.

    The number is one more than the highest, three digits at least; two at once get two numbers where the
    system can lock a folder (POSIX), and never the same file anywhere.

    Args:
        folder: Made where it is missing.
        description: Words; the file's name is their snake case.
        now: With a time zone; it becomes the header's `Created` and the timestamp.
        with_down: Whether to make `NNN_description.down.sql` too.
        timestamp: Whether the number is `YYYYMMDDHHMMSS` in UTC.

    Returns:
        The files made, the migration first.

    Raises:
        ConfigError: Nothing of the description can stand in a file name, or the folder cannot be written.
    """
    slug = _snake(description)
    now = now.astimezone(UTC)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            number = _next_number(folder, now if timestamp else None)
            stem = f"{number:03d}_{slug}"
            if (size := len(os.fsencode(stem + DOWN))) > MAX_NAME:
                raise ConfigError(
                    f"the name would have {size} bytes with {DOWN}, and {MAX_NAME} is the most",
                    remedy="use fewer words",
                )
            names = [f"{stem}.sql", f"{stem}{DOWN}"][: 1 + with_down]
            for name in names:
                _write_new(folder / name, _header(description, now, down=name.endswith(DOWN)))
    except OSError as error:
        raise ConfigError(f"cannot create a file in {folder}: {error.strerror or error}") from error
    return tuple(folder / name for name in names)


def _snake(description: str) -> str:
    text = unicodedata.normalize("NFC", description).removesuffix(".sql")
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    slug = re.sub(r"[\W_]+", "_", text).strip("_").lower()
    if not slug:
        raise ConfigError(
            f"{description!r} holds no letter or digit", remedy="name it like `add user settings`"
        )
    return slug


def _next_number(folder: Path, now: datetime | None) -> int:
    numbers = {number for name in names_in(folder) if (number := number_of(name)) is not None}
    if now is None:
        return max(numbers, default=0) + 1
    number = int(now.strftime("%Y%m%d%H%M%S"))
    while number in numbers:
        number += 1
    return number


def _header(description: str, now: datetime, *, down: bool) -> str:
    title = " ".join("".join(c if c.isprintable() else " " for c in description).split())
    created = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    what = "reverses it" if down else ""
    return f"-- Migration: {title}\n-- Created: {created}\n-- Description:{' ' + what if what else ''}\n\n"


def _write_new(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the folder against other `create`s; without `fcntl`, files opened with "x" have to do."""
    try:
        import fcntl  # noqa: PLC0415  # not on every system
    except ImportError:  # pragma: no cover
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
