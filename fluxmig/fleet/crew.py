"""Who does the work: threads of this process, or an executor, be it a pool of processes or a cluster."""

from __future__ import annotations

import socket
import warnings
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

from fluxmig.errors import ConfigError, DatabaseConnectionError
from fluxmig.fleet.leash import Leash
from fluxmig.fleet.work import work
from fluxmig.fleet.worker import Parcel, keep, work_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fluxmig.files import Files
    from fluxmig.fleet.model import Job, Result, TargetState

__all__ = ["Crew", "crew_of"]

_DASK = "dask://"
_CONNECT_S = 10
_WORKER_S = 120
"""How long the first worker of a cluster is waited for: a machine may have to be started for it."""


class Crew(Protocol):
    """Who does the work.

    Attributes:
        patience_s: How long a job is waited for behind its time-out; None: for ever.
    """

    patience_s: float | None

    def submit(self, job: Job) -> Future[Result]:
        """Begins a job. It ends with a result, and with an error only where the worker was lost."""

    def stop(self, state: TargetState, why: str) -> None:
        """Ends what is under way, where that can be done from here; returns at once."""


class _Threads:
    """A thread a job. How many is the pace's business, and one that hangs does not keep the process."""

    patience_s: float | None = 15.0

    def __init__(self, do: Callable[[Job, Leash], Result]) -> None:
        self._do = do
        self._leashes: dict[Future[Result], Leash] = {}

    def submit(self, job: Job) -> Future[Result]:
        future: Future[Result] = Future()
        leash = self._leashes[future] = Leash(job.timeout_s)
        future.add_done_callback(lambda done: self._leashes.pop(done, None))
        name = f"fluxmig {job.task.target.name}"
        Thread(target=self._run, args=(future, job, leash), name=name, daemon=True).start()
        return future

    def stop(self, state: TargetState, why: str) -> None:
        for leash in tuple(self._leashes.values()):
            leash.pull(state, why)

    def _run(self, future: Future[Result], job: Job, leash: Leash) -> None:
        try:
            future.set_result(self._do(job, leash))
        except BaseException as error:  # noqa: BLE001  # the future tells it
            future.set_exception(error)


class _Elsewhere:
    """An executor, whose workers look up variables themselves and hold each job to its time-out."""

    patience_s: float | None = None

    def __init__(self, executor: Executor, parcel: Any) -> None:
        self._executor, self._parcel = executor, parcel
        self._open: set[Future[Result]] = set()

    def submit(self, job: Job) -> Future[Result]:
        future = self._executor.submit(work_here, job, self._parcel)
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        return future

    def stop(self, state: TargetState, why: str) -> None:  # noqa: ARG002  # what has begun ends by itself
        for future in tuple(self._open):
            future.cancel()


@contextmanager
def crew_of(executor: Executor | str | None, files: Files, environ: Mapping[str, str]) -> Iterator[Crew]:
    """The crew of an executor.

    Args:
        executor: Any of `concurrent.futures`; `dask://HOST:PORT`; or None for threads.
        files: The migrations.
        environ: What threads look up. Others look into the environment of their own process.

    Raises:
        ConfigError: It is something else, or dask.distributed is not installed.
        DatabaseConnectionError: The cluster does not answer, or has no worker.
    """
    match executor:
        case None:
            yield _Threads(lambda job, leash: work(job, files, environ, leash))
        case Executor():
            yield _Elsewhere(executor, Parcel(files.folder.path.absolute(), files.digest))
        case str() if executor.startswith(_DASK):
            with _cluster(executor.removeprefix(_DASK), files) as crew:
                yield crew
        case _:
            raise ConfigError(f"there is no executor {executor!r}", remedy="write dask://HOST:PORT")


@contextmanager
def _cluster(address: str, files: Files) -> Iterator[Crew]:
    try:
        from distributed import Client  # noqa: PLC0415  # an extra
    except ImportError:
        raise ConfigError("dask.distributed is not installed", remedy="pip install 'fluxmig[dask]'") from None
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()  # dask would go on trying
        client: Any = Client(f"tcp://{address}", timeout=_CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, OverflowError) as error:
        raise DatabaseConnectionError(
            f"cannot connect to the dask scheduler at {address}", remedy="is it running there? dask scheduler"
        ) from error
    with client, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the files are large, which is told of every graph
        # A task, and not scattered data, which would be lost with the last worker that had it.
        parcel = client.submit(keep, files, key=f"fluxmig-files-{files.digest}")
        try:
            client.wait_for_workers(1, timeout=_WORKER_S)  # one that grows has none before there is a task
        except TimeoutError as error:
            raise DatabaseConnectionError(
                f"the dask scheduler at {address} has no worker, and none has come in {_WORKER_S} s",
                remedy=f"start some: dask worker tcp://{address}",
            ) from error
        with client.get_executor(pure=False) as executor:
            yield _Elsewhere(executor, parcel)
