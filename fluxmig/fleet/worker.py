"""A job in a process other than the fleet's own: a pool's, or a cluster's on another machine.

Here alone a library module reads the environment: what a worker knows, secrets above all, it looks up itself.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from fluxmig.errors import ConfigError, FluxmigError
from fluxmig.files import Files
from fluxmig.fleet.model import Result, TargetState
from fluxmig.fleet.work import work

if TYPE_CHECKING:
    from pathlib import Path

    from fluxmig.fleet.model import Job

__all__ = ["Parcel", "keep", "work_here"]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A folder that the worker reads itself.

    Attributes:
        path: Where it is, here and there.
        digest: What it has to hold.
    """

    path: Path
    digest: str


def work_here(job: Job, parcel: Parcel | Files) -> Result:
    """What came of a job; variables are those of this process."""
    name = f"{socket.gethostname()}:{os.getpid()}"
    try:
        files = parcel if isinstance(parcel, Files) else _read(parcel)
    except FluxmigError as error:
        target = job.task.target
        return Result(
            target.name,
            target.group,
            TargetState.REFUSED,
            job.task.wave,
            exit_code=error.exit_code,
            message=error.message.splitlines()[0],
            detail=str(error),
            tries=job.task.tries,
            worker=name,
        )
    return replace(work(job, files, os.environ), worker=name)


def keep(files: Files) -> Files:
    """The files, as a task of their own: a cluster ships them once, and again where a worker was lost."""
    return files


@lru_cache(maxsize=2)
def _read(parcel: Parcel) -> Files:
    files = Files.read(parcel.path)
    if files.digest != parcel.digest:
        raise ConfigError(
            f"{parcel.path} does not hold the same on the worker {socket.gethostname()}",
            remedy="have the workers see the same folder; dask:// ships it",
        )
    return files
