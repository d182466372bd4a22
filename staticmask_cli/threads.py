"""A thread pool that reports the system's limit on threads, and whose work can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from staticmask_cli.errors import StaticMaskError

_of_thread = threading.local()


class Threads(ThreadPoolExecutor):
    """A thread pool; a thread that cannot be started is a user error, not a bug.

    Parameters
    ----------
    number : int
        The largest number of threads.
    """

    def __init__(self, number: int) -> None:
        self._stopping = threading.Event()
        super().__init__(number, "staticmask", _join, (self._stopping,))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a call.

        Raises
        ------
        StaticMaskError
            If the system refuses to start another thread.
        """
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError as error:
            if "start new thread" not in str(error):
                raise
            raise StaticMaskError(
                "cannot start a thread: the limit on processes or memory is reached; "
                "raise it (ulimit -u), or use fewer --jobs"
            ) from None

    def stop(self) -> None:
        """Cancel pending calls, and wait for those that run; they can ask `stopping`."""
        self._stopping.set()
        self.shutdown(wait=True, cancel_futures=True)


def _join(stopping: threading.Event) -> None:
    _of_thread.stopping = stopping


def stopping() -> threading.Event:
    """Return the event that is set when the results of this thread are no longer wanted."""
    event: threading.Event = _of_thread.__dict__.setdefault("stopping", threading.Event())
    return event
