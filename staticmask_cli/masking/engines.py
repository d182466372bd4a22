"""Engines run the tasks of a run: threads of this process, or an executor on any machines."""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from staticmask_cli._version import __version__
from staticmask_cli.errors import StaticMaskError
from staticmask_cli.settings import Settings
from staticmask_cli.threads import Threads

#: Value of the key `scheduler` that starts a scheduler and workers on this machine.
LOCAL = "local"

# Number of workers of an executor that does not reveal it.
_UNKNOWN = 64
# Seconds between questions to a scheduler for its number of workers, which may change.
_INTERVAL = 5.0
# Seconds to wait for a scheduler, and for a worker if it has none.
_PATIENCE = 60.0
# Seconds without any result after which to check that there still are workers.
_SILENCE = 60.0


class Engine:
    """An executor, and how much to give it.

    Parameters
    ----------
    executor : Executor
        The executor. It is not shut down.
    is_local : bool
        Whether it is threads of this process.
    """

    def __init__(self, executor: Executor, *, is_local: bool = False) -> None:
        self.is_local = is_local
        self._executor = executor
        self._asked = -math.inf
        self._n_workers = 0
        # dask returns the earlier result of a task that looks the same.
        self._run, self._numbers = uuid4().hex, count()

    @property
    def n_workers(self) -> int:
        """Number of tasks that it runs at a time, as far as that is known; at least 1."""
        if time.monotonic() - self._asked >= _INTERVAL:
            self._n_workers = _n_workers(self._executor)
            self._asked = time.monotonic()
        return max(1, self._n_workers)

    @property
    def n_busy(self) -> int:
        """Number of exposures to give it at a time.

        Threads have what they need at once, and each exposure takes memory of this process;
        on other machines one waits for each that is read.
        """
        return (self.n_workers if self.is_local else 2 * self.n_workers) + 2

    @property
    def n_open(self) -> int:
        """Number of exposures that may be open, of which most wait for a slow one before them."""
        return (4 if self.is_local else 16) * (self.n_workers + 2)

    def submit(
        self, path: object, task: Callable[..., Any], *args: Any, **more: Any
    ) -> Future[Any]:
        """Have a worker call `task` with the other arguments.

        Parameters
        ----------
        path : object
            The exposure, for messages.
        task : callable
            The task; it and its arguments can be pickled.

        Raises
        ------
        StaticMaskError
            If the executor takes no tasks.
        """
        number = (self._run, next(self._numbers))
        try:
            return self._executor.submit(_called, __version__, number, task, *args, **more)
        except Exception as error:
            raise _failed(path, error) from error

    def result(self, path: object, future: Future[Any]) -> Any:
        """Return the result of a task.

        Raises
        ------
        StaticMaskError
            If the executor could not run it.
        Exception
            What the task raised.
        """
        try:
            result = future.result()
        except Exception as error:
            raise _failed(path, error) from error
        if isinstance(result, _Raised):
            raise result.error
        return result

    def wait(self, done: queue.SimpleQueue[Any]) -> Any:
        """Return the next item of a queue into which tasks put theirs when they are done.

        Raises
        ------
        StaticMaskError
            If there are no workers.
        """
        while True:
            try:
                return done.get(timeout=_SILENCE)
            except queue.Empty:
                self._asked = -math.inf
                self.n_workers  # noqa: B018 - asks
                if not self._n_workers:
                    raise StaticMaskError(
                        f"the scheduler has no workers (waited {_SILENCE:g} s); nothing was "
                        "written; start workers and run again"
                    ) from None


def _failed(path: object, error: BaseException) -> StaticMaskError:
    """Return the error of an executor as ours."""
    if isinstance(error, StaticMaskError):
        return error
    if isinstance(error, BrokenExecutor):
        return StaticMaskError(
            f"{path}: its worker process was killed, perhaps because memory ran out; "
            "nothing was written; use fewer --jobs"
        )
    line = next(iter(str(error).splitlines()), "")
    what = f"{type(error).__name__}: {line}" if line else type(error).__name__
    advice = "run again"
    if isinstance(error, ImportError):
        advice = f"install staticmask {__version__} where the workers run"
    return StaticMaskError(
        f"{path}: the executor could not run its task ({what}); nothing was written; {advice}"
    )


class _Raised(NamedTuple):
    """An exception of a task, as a value, so that those of the executor differ from it."""

    error: Exception

    def __reduce__(self) -> tuple[Any, ...]:
        self.error.add_note("".join(traceback.format_exception(self.error)))  # does not travel
        return _Raised, (self.error,)


def _called(
    version: str,
    number: object,  # noqa: ARG001 - distinguishes the task
    task: Callable[..., Any],
    /,
    *args: Any,
    **more: Any,
) -> Any:
    """Run a task in a worker; return what it raises."""
    if version != __version__:
        return _Raised(
            StaticMaskError(
                f"the worker on {socket.gethostname()} has staticmask {__version__}, "
                f"not {version}; install the same version"
            )
        )
    try:
        return task(*args, **more)
    except Exception as error:  # noqa: BLE001 - raised again by `Engine.result`
        return _Raised(error)


def _n_workers(executor: Executor) -> int:
    """Return the number of tasks that an executor runs at a time, as far as it reveals it."""
    # The standard library and loky; mpi4py.
    for name in ("_max_workers", "num_workers"):
        number = getattr(executor, name, None)
        if isinstance(number, int):
            return number
    threads = getattr(getattr(executor, "_client", None), "nthreads", None)  # dask
    return sum(threads().values()) if callable(threads) else _UNKNOWN


def jobs_of(settings: Settings) -> int:
    """Return the number of chips that a run measures at a time on this machine."""
    if settings.jobs:
        return settings.jobs
    if hasattr(os, "sched_getaffinity"):  # the cores assigned by a batch system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def engine_of(settings: Settings, executor: Executor | None) -> Iterator[Engine]:
    """Yield the engine of a run: an executor, a scheduler, or else our own threads.

    Raises
    ------
    StaticMaskError
        If the scheduler cannot be used.
    """
    if executor is not None:
        yield Engine(executor)
    elif settings.scheduler is not None:
        with _scheduler(settings.scheduler, jobs_of(settings)) as client:
            yield Engine(client.get_executor(pure=False))
    else:
        threads = Threads(jobs_of(settings))
        try:
            yield Engine(threads, is_local=True)
        finally:
            threads.stop()


@contextmanager
def _scheduler(address: str, jobs: int) -> Iterator[Any]:
    """Yield a client of a running dask scheduler, or of one that is started on this machine."""
    try:
        import distributed  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise StaticMaskError(
            f"scheduler needs dask ({error}): pip install 'staticmask-cli[dask]'"
        ) from None
    with ExitStack() as stack:
        stack.enter_context(_quiet("distributed"))
        try:
            where: Any = _in_file(address) if Path(address).is_file() else address
            if address == LOCAL:
                cluster = distributed.LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",  # a free port
                    silence_logs=logging.CRITICAL,
                )
                where = stack.enter_context(cluster)
            client = stack.enter_context(distributed.Client(where, timeout=_PATIENCE))
            client.wait_for_workers(1, timeout=_PATIENCE)
        except (OSError, ValueError) as error:
            raise StaticMaskError(
                f"scheduler {address}: cannot be used: {error}; give tcp://HOST:PORT, "
                f"a scheduler file, or {LOCAL}"
            ) from None
        yield client


@contextmanager
def _quiet(library: str) -> Iterator[None]:
    """Log nothing of a library, which has levels for many of its modules; its errors are raised."""
    names = [n for n in logging.root.manager.loggerDict if n.partition(".")[0] == library]
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _in_file(path: str) -> str:
    """Return the address in a file that a dask scheduler wrote."""
    try:
        return str(json.loads(Path(path).read_text("utf-8"))["address"])
    except (KeyError, TypeError, ValueError):
        raise ValueError("is not a scheduler file") from None
