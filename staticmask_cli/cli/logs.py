"""Messages: one line each, to standard error and to a log file."""

from __future__ import annotations

import logging
import os
import tempfile
import traceback
from contextlib import suppress
from io import TextIOWrapper

from staticmask_cli.errors import ConfigError, OutputError, printable
from staticmask_cli.files.atomic import created_folder
from staticmask_cli.files.side_files import SideFile

log = logging.getLogger("staticmask_cli")


def start_logging(verbose: int, *, quiet: bool) -> None:
    """Send messages to standard error."""
    log.setLevel(logging.DEBUG)
    log.handlers.clear()
    log.propagate = False
    terminal: logging.Handler = logging.StreamHandler()
    level = logging.INFO if verbose else logging.WARNING
    terminal.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose > 1 else level)
    terminal.setFormatter(_Formatter("staticmask: %(prefix)s%(message)s"))
    log.addHandler(terminal)


def start_log_file(name: str) -> None:
    """Send messages to a log file too, made with its folder if missing.

    Raises
    ------
    ConfigError
        If it cannot be written.
    """
    side = _side(name)
    if problem := side.problem():
        raise ConfigError(problem)
    try:
        with created_folder(side.path.parent):
            file = _LogFile(side)
    except OutputError as error:
        raise ConfigError(*(f"--log-file: {line}" for line in error.problems)) from None
    except OSError as error:
        raise ConfigError(f"--log-file: {name}: cannot be written: {error.strerror}") from None
    file.setFormatter(
        _Formatter("%(asctime)s.%(msecs)03d %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    )
    log.addHandler(file)


def stop_log_file() -> None:
    """Send no more messages to a log file."""
    for handler in [h for h in log.handlers if isinstance(h, _LogFile)]:
        log.removeHandler(handler)
        handler.close()


def _side(name: str) -> SideFile:
    return SideFile(name, "--log-file", "text", b"")


def crash_line(error: Exception, log_file: str | None) -> str:
    """Keep all that is known of an error of this program's own; return a line that says where."""
    details = "".join(traceback.format_exception(error))
    shown = f"internal error: {type(error).__name__}: {error}"
    try:
        if log_file:
            handle, place = _side(log_file).open_at_end(), log_file
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

    def __init__(self, side: SideFile) -> None:
        self._side = side
        super().__init__(side.path, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        return os.fdopen(self._side.open_at_end(), "w", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's
        """Stop logging to the file, and say so."""
        with suppress(OSError):
            stop_log_file()
        log.warning("--log-file: %s: cannot be written any more", self._side.name)
