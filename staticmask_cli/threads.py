"""Threads, whose number the system limits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from staticmask_cli.errors import StaticMaskError


class Threads(ThreadPoolExecutor):
    """Threads for work; if one cannot be started, that is an error of the user's."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand over work.

        Raises
        ------
        StaticMaskError
            If the system allows no further thread.
        """
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError as error:
            if "start new thread" not in str(error):
                raise
            raise StaticMaskError(
                "a thread cannot be started: the limit of processes or memory is reached; "
                "raise it (ulimit -u), or use fewer --jobs"
            ) from None
