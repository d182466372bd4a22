"""Messages: one line each, to standard error and to a log file."""

from __future__ import annotations

import logging
import os
import tempfile
import traceback
from contextlib import suppress

from staticmask_cli.errors import ConfigError, printable

log = logging.getLogger("staticmask_cli")


def start_logging(verbose: int, *, quiet: bool, log_file: str | None) -> None:
    """Send messages to standard error, and to the log file if there is one."""
    log.setLevel(logging.DEBUG)
    log.handlers.clear()
    log.propagate = False
    terminal: logging.Handler = logging.StreamHandler()
    level = logging.INFO if verbose else logging.WARNING
    terminal.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose > 1 else level)
    terminal.setFormatter(_Formatter("staticmask: %(prefix)s%(message)s"))
    log.addHandler(terminal)
    if log_file:
        try:
            path = os.path.expanduser(log_file)  # noqa: PTH111 - Path's can raise
            _check_no_fits(path)
            file = _LogFile(path, encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"--log-file: {log_file}: cannot be written: {reason}") from None
        file.setFormatter(
            _Formatter("%(asctime)s.%(msecs)03d %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        )
        log.addHandler(file)


def _check_no_fits(path: str) -> None:
    """Refuse to append to an exposure, by a slip of the pen."""
    if os.path.isfile(path):  # noqa: PTH113 - never raises
        with open(path, "rb") as file:  # noqa: PTH123 - Path's can raise
            if file.read(6).startswith((b"SIMPLE", b"\x1f\x8b")):  # gzipped, too
                raise ValueError("it is no text")


def crash_line(error: Exception, log_file: str | None) -> str:
    """Keep all that is known of an error of this program's own; return a line that says where."""
    details = "".join(traceback.format_exception(error))
    shown = f"internal error: {type(error).__name__}: {error}"
    try:
        if log_file:
            place = os.path.expanduser(log_file)  # noqa: PTH111 - Path's can raise
            with open(place, "a", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123
                file.write(details)
        else:
            handle, place = tempfile.mkstemp(prefix="staticmask-", suffix=".txt")
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(details)
    except OSError:
        return f"{shown}; {details}"
    return f"{shown}; please report it with the details, which are in {place}"


class _Formatter(logging.Formatter):
    """Puts each message into one line that does no harm to a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Fill in the format; `prefix` is the level, if it is more than information."""
        record.message = printable(record.message)
        record.prefix = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return super().formatMessage(record)


class _LogFile(logging.FileHandler):
    """A log file whose disk may fill up: told once, and no reason to lose masks."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's
        """Stop logging to the file, and say so."""
        log.removeHandler(self)
        with suppress(OSError):
            self.close()
        log.warning("--log-file: %s: cannot be written any more", self.baseFilename)
