"""Signals that end the command, and moments in which they have to wait.

Imported first of all, before anything that takes its time.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

INTERRUPTED = 130  # the exit status; as shells have it: 128 + SIGINT

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# One who sends a further signal after so many seconds finds the command stuck.
_PATIENCE = 5.0


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Let signals wait until the block is done; then they do what they would have done.

    Python runs their handlers in the main thread alone; in another one there is
    nothing to do. The handlers are those of before afterwards.
    """
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    try:
        with ExitStack() as restoring:
            if threading.current_thread() is threading.main_thread():
                for number in _SIGNALS:
                    handler = signal.getsignal(number)
                    # None: not set from Python, so that it could not be set again.
                    if handler not in (signal.SIG_IGN, None):
                        restoring.callback(signal.signal, number, handler)
                        signal.signal(number, note)
            yield
    finally:
        for one in came:
            signal.raise_signal(one)


class _Command:
    """What signals find the command at."""

    first: float | None = None  # when the first of them came
    is_interruptible = False


def install_handlers() -> None:
    """Have signals end this process as Ctrl-C does: workers stop, temporary files go.

    They raise KeyboardInterrupt once and where `interruptible` allows it, so that
    neither an import nor the clean-up after one of them ends in a traceback.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    now = time.monotonic()
    if _Command.first is None:
        _Command.first = now
        if _Command.is_interruptible:
            raise KeyboardInterrupt
    elif now - _Command.first > _PATIENCE:
        os._exit(INTERRUPTED)


def ignore_signals() -> None:
    """Ignore signals from now on, if they were taken over: there is nothing left to interrupt.

    Python, when it ends, would have them kill the process.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is _end:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let signals raise KeyboardInterrupt in the block; also one that has come before it."""
    _Command.is_interruptible = True
    try:
        if _Command.first is not None:
            raise KeyboardInterrupt
        yield
    finally:
        _Command.is_interruptible = False
