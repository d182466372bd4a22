"""A thread pool that reports the system's limit on threads as a user error."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from staticmask_cli.errors import StaticMaskError


class Threads(ThreadPoolExecutor):
    """A thread pool; a thread that cannot be started is a user error, not a bug."""

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
