"""Signals that end the command, and blocks in which they are deferred.

Imported before anything slow.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

INTERRUPTED = 130  # exit status, as in shells: 128 + SIGINT

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Seconds after which a second signal kills the command: it is stuck.
_PATIENCE = 5.0


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Defer signals until the end of the block, and then raise them again.

    Python runs signal handlers only in the main thread; in other threads this does
    nothing. The previous handlers are restored.
    """
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    try:
        with ExitStack() as restoring:
            if threading.current_thread() is threading.main_thread():
                for number in _SIGNALS:
                    handler = signal.getsignal(number)
                    # None: not installed from Python, and cannot be restored.
                    if handler not in (signal.SIG_IGN, None):
                        restoring.callback(signal.signal, number, handler)
                        signal.signal(number, note)
            yield
    finally:
        for signal_number in received:
            signal.raise_signal(signal_number)


class _Command:
    """State of the command that the signal handler depends on."""

    first: float | None = None  # time of the first signal
    is_interruptible = False


def install_handlers() -> None:
    """Make signals end this process as Ctrl-C does: stop workers, remove temporary files.

    They raise KeyboardInterrupt only once and only within `interruptible`, so that
    neither an import nor the clean-up after a signal ends in a traceback.
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
    """Ignore the signals handled by `install_handlers`: nothing is left to interrupt.

    Otherwise they would kill the process while Python shuts down.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is _end:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let signals raise KeyboardInterrupt in the block, including one received before it."""
    _Command.is_interruptible = True
    try:
        if _Command.first is not None:
            raise KeyboardInterrupt
        yield
    finally:
        _Command.is_interruptible = False
