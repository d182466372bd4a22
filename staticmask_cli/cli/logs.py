"""Messages, one line each, on standard error and in a log file."""

from __future__ import annotations

import logging
import os
import traceback
from contextlib import suppress
from io import TextIOWrapper
from typing import TextIO

from staticmask_cli.errors import ConfigError, OutputError, printable
from staticmask_cli.files.atomic import created_folder
from staticmask_cli.files.side_files import SideFile

log = logging.getLogger("staticmask_cli")

# Up to this many warnings of the same kind are shown individually.
_FEW = 3


def start_logging(verbose: int, *, quiet: bool) -> None:
    """Send messages to standard error."""
    log.setLevel(logging.DEBUG)
    stop_log_file()
    log.handlers.clear()
    log.propagate = False
    terminal = _Terminal(every=verbose > 0)
    level = logging.INFO if verbose else logging.WARNING
    terminal.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose > 1 else level)
    terminal.setFormatter(_Formatter("staticmask: %(prefix)s%(message)s"))
    log.addHandler(terminal)


def start_log_file(name: str) -> None:
    """Send messages also to a log file; file and folder are created if missing.

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
    """Close the log file."""
    for handler in [h for h in log.handlers if isinstance(h, _LogFile)]:
        log.removeHandler(handler)
        handler.close()


def flush_warnings() -> None:
    """Show the warnings that are still being collected by kind."""
    for handler in log.handlers:
        if isinstance(handler, _Terminal):
            handler.show_collected()


def _side(name: str) -> SideFile:
    return SideFile(name, "--log-file", "text", b"")


def crash_line(error: Exception, log_file: str | None) -> str:
    """Write the traceback of a bug of ours to a file; return a line that names it."""
    details = "".join(traceback.format_exception(error))
    shown = f"internal error: {type(error).__name__}: {error}"
    try:
        if log_file:
            handle, place = _side(log_file).open_at_end(), log_file
        else:
            import tempfile  # noqa: PLC0415 - seldom needed

            handle, place = tempfile.mkstemp(prefix="staticmask-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(details)
    except OSError:
        return f"{shown}; {details}"
    return f"{shown}; please report it with the details in {place}"


class _Formatter(logging.Formatter):
    """Formats each message as one printable line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Fill in the format; `prefix` is the level, if above INFO."""
        record.message = printable(record.message)
        record.prefix = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return super().formatMessage(record)


class _Terminal(logging.StreamHandler[TextIO]):
    """Standard error, on which many warnings of the same kind are merged into one line.

    Records of the same kind have the same attribute `kind`, a text, and may differ in
    `value`, an optional number.

    Parameters
    ----------
    every : bool
        Whether to show every warning instead.
    """

    def __init__(self, *, every: bool) -> None:
        super().__init__()
        self._every = every
        self._collected: dict[tuple[int, str], list[logging.LogRecord]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Collect records with a kind; show others at once, after those collected."""
        kind = getattr(record, "kind", None)
        if kind and not self._every:
            self._collected.setdefault((record.levelno, kind), []).append(record)
        else:
            self.show_collected()
            super().emit(record)

    def show_collected(self) -> None:
        """Show the collected records: a few individually, many of the same kind as one line."""
        collected, self._collected = self._collected, {}
        for (level, kind), records in collected.items():
            if len(records) > _FEW:
                records = [_merged(level, kind, records)]  # noqa: PLW2901
            for record in records:
                super().emit(record)


def _merged(level: int, kind: str, records: list[logging.LogRecord]) -> logging.LogRecord:
    """Return one record for many of the same kind: their number and the range of values."""
    values = [v for v in (getattr(record, "value", None) for record in records) if v is not None]
    span = f", {min(values):.3g} to {max(values):.3g}" if values else ""
    text = f"{kind}: {len(records)} times{span}; -v, --log-file and --summary list each"
    return logging.LogRecord(log.name, level, "", 0, text, None, None)


class _LogFile(logging.FileHandler):
    """A log file; a full disk is reported once, and the run continues."""

    def __init__(self, side: SideFile) -> None:
        self._side = side
        super().__init__(side.path, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        return os.fdopen(self._side.open_at_end(), "w", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's
        """Stop logging to the file, and report it, even with --quiet."""
        with suppress(OSError):
            stop_log_file()
        log.error("--log-file: %s: cannot be written any more", self._side.name)
