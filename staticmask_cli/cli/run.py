"""One run of a command, from its options to its exit status.

No numpy, no arithmetic: the command's function imports what it runs.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from staticmask_cli.cli.logs import (
    crash_line,
    flush_warnings,
    log,
    start_log_file,
    start_logging,
    stop_log_file,
)
from staticmask_cli.cli.options import given_keys
from staticmask_cli.cli.terminal import Row, echo, laid_out, shown_progress
from staticmask_cli.config import merging, spec
from staticmask_cli.config.checks import is_given
from staticmask_cli.errors import ConfigError, OutputError, StaticMaskError
from staticmask_cli.exposures.inputs import names_in
from staticmask_cli.exposures.urls import without_secrets
from staticmask_cli.files.signals import (
    INTERRUPTED,
    ignore_signals,
    interruptible,
    signals_deferred,
)
from staticmask_cli.reports.summary import Summary
from staticmask_cli.settings import Settings

if TYPE_CHECKING:
    from staticmask_cli.masking.exposure_loop import Progress
    from staticmask_cli.reports.report import RunRecord

#: Exit status of a comparison that fails, as diff's.
TROUBLE = 2
_SKIPPED = 3
_BUG = 70  # EX_SOFTWARE of sysexits.h


class Run(NamedTuple):
    """The arguments of a command's function.

    Attributes
    ----------
    options : dict
        The options of the command.
    given : dict
        The configuration keys among them, with value and origin.
    configuration : Configuration
        The merged configuration.
    record : RunRecord
        The record of the run.
    progress : callable or None
        Called after each exposure with the number done and the number in all.
    """

    options: dict[str, Any]
    given: dict[str, tuple[Any, str]]
    configuration: merging.Configuration
    record: RunRecord
    progress: Progress | None

    @property
    def settings(self) -> Settings:
        """The settings of the configuration."""
        return self.configuration.settings


class Outcome(NamedTuple):
    """The rows for standard output, the exit status, and headings for a terminal."""

    rows: list[Row]
    status: int = 0
    heading: Row | None = None


def execute(
    function: Callable[[Run], Outcome], options: dict[str, Any], *, failure: int
) -> NoReturn:
    """Run a command and exit.

    Parameters
    ----------
    function : callable
        The command's function; its outcome is printed.
    options : dict
        The options of the command.
    failure : int
        Exit status if input or output fails.
    """
    start_logging(options["verbose"], quiet=options["quiet"])
    summary = Summary(options["summary_file"])
    try:
        with interruptible():
            status, errors = _attempt(function, options, summary, failure)
            status = _finish(summary, status, errors, failure)
    except KeyboardInterrupt:
        status = _finish(summary, INTERRUPTED, (_interruption(summary.run_record),), failure)
    ignore_signals()
    flush_warnings()
    log.debug("ended with exit status %d", status)
    sys.exit(status)


def _attempt(
    function: Callable[[Run], Outcome], options: dict[str, Any], summary: Summary, failure: int
) -> tuple[int, tuple[str, ...]]:
    """Return the exit status of a run and its errors, one line each."""
    try:
        status = _run(function, options, summary)
    except StaticMaskError as error:
        problems = error.problems
        if (record := summary.run_record) and "show" in record.timings:  # all masks are written
            problems += (f"the masks are in place: {', '.join(m.path for m in record.masks)}",)
        return error.exit_status if error.exit_status != 1 else failure, problems
    except MemoryError:
        return failure, ("out of memory; use fewer --jobs, or fewer sigmas",)
    except Exception as error:  # noqa: BLE001 - a bug of ours: one line, with details in a file
        return _BUG, (crash_line(error, options["log_file"]),)
    exposures = summary.run_record.exposures if summary.run_record else ()
    is_skipped = any(exposure.state == "failed" for exposure in exposures)
    # A comparison has the exit statuses of diff, none of which means this.
    return status or (_SKIPPED if is_skipped and failure != TROUBLE else 0), ()


def _finish(summary: Summary, status: int, errors: tuple[str, ...], failure: int) -> int:
    """Log the errors of a run and write its summary; return the exit status."""
    for problem in errors:
        log.error("%s", problem)
    try:
        summary.write(status, errors, echo)
    except OutputError as error:
        log.error("%s", error)
        return status if status > 1 else failure
    return status


def _interruption(run_record: RunRecord | None) -> str:
    """Return a line that lists the finished and unfinished outputs of an interrupted run."""
    masks = run_record.masks if run_record and not run_record.dry_run else ()
    line = "interrupted"
    if written := [mask.path for mask in masks if mask.state == "written"]:
        line += f"; these masks are in place: {', '.join(written)}"
    if run_record and masks and run_record.unfinished:
        line += f"; not finished: {', '.join(run_record.unfinished)}"
    return line


def _run(function: Callable[[Run], Outcome], options: dict[str, Any], summary: Summary) -> int:
    _check_working_folder()
    summary.check()
    given = given_keys(options)
    _check_files_differ(
        options, summary, options["inputs"], {name: given[name] for name in _PAGES & given.keys()}
    )
    if options["log_file"] is not None:
        start_log_file(options["log_file"])
    merged = merging.merge(config_file=options["config_file"], environment=os.environ, flags=given)
    _use(merged, options, summary)
    if options.get("show_config"):
        echo(spec.dump(merged.layer))
        return 0
    if options.get("editpars"):
        from staticmask_cli.config.editor import edit  # noqa: PLC0415 - seldom needed

        edited = edit(merged.layer)
        if edited is None:
            log.warning("--editpars: not saved, so nothing was run")
            return 0
        merged = edited
        _use(merged, options, summary)
    log.debug("settings: %s", without_secrets(merged.settings))
    # Imported late, so that --help and errors in options do not wait for numpy and
    # astropy. Signals are deferred, because an import may suppress their exception.
    with signals_deferred():
        importlib.import_module("staticmask_cli.masking.make")
        from staticmask_cli.reports.report import RunRecord  # noqa: PLC0415

        gc.freeze()
        gc.enable()  # `__main__` turned it off
    # NumPy needs the GIL before each operation on a block of pixels, for which threads wait
    # this long while another one decompresses an image. With Python's default of 5 ms, that
    # took longer than the operations.
    sys.setswitchinterval(5e-5)
    with shown_progress(quiet=options["quiet"]) as progress:
        run_record = summary.run_record = RunRecord(warnings=list(merged.warnings))
        is_printed = not options["quiet"] and not summary.takes_standard_output
        run_record.unfinished += ["standard output"] * is_printed
        outcome = function(
            Run(
                options=options,
                given=given,
                configuration=merged,
                record=run_record,
                progress=progress,
            )
        )
    flush_warnings()
    for row in outcome.rows:
        log.debug("%s", "  ".join(row))
    if is_printed:
        echo(laid_out(outcome.rows, outcome.heading))
        run_record.unfinished.remove("standard output")
    return outcome.status


def _use(merged: merging.Configuration, options: dict[str, Any], summary: Summary) -> None:
    """Check the files that a configuration names, log its warnings and pass it to the summary."""
    _check_files_differ(
        options, summary, merged.settings.input, {name: merged.layer[name] for name in _PAGES}
    )
    summary.settings, summary.origins = merged.settings, merged.origins
    for note in merged.notes:
        log.info("%s", note)
    for warning in merged.warnings:
        log.warning("%s", warning)


# The configuration keys that name outputs other than masks.
_PAGES = {"report", "preview"}


def _check_files_differ(
    options: dict[str, Any],
    summary: Summary,
    inputs: tuple[str, ...],
    pages: dict[str, tuple[Any, str]],
) -> None:
    """Refuse to write two outputs to the same file, or an output to an input."""
    taken = {_file_key(name): "INPUT" for name in names_in(inputs)}
    if options["config_file"]:
        taken[_file_key(options["config_file"])] = "--config"
    files = {
        origin if origin.startswith("-") else f"{name} (set by {origin})": file
        for name, (file, origin) in sorted(pages.items(), reverse=True)
        if is_given(file)
    }
    files |= {"--summary": options["summary_file"], "--log-file": options["log_file"]}
    for option, file in files.items():
        if file is None or file == "-":
            continue
        path = _file_key(file)
        is_device = os.path.exists(file) and not os.path.isfile(file)  # noqa: PTH110, PTH113
        if path in taken and not is_device:
            stop_log_file()
            summary.forget()
            raise ConfigError(f"{taken[path]} and {option} name the same file: {file}")
        taken[path] = option


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError(
            f"the working folder cannot be used: {error.strerror}; change to another"
        ) from None


def _file_key(name: str) -> Hashable:
    """Return device and inode of a file, or its path if it does not exist."""
    if "\0" in name:
        return name  # refused where it is used
    path = os.path.realpath(os.path.expanduser(name))  # noqa: PTH111 - Path's can raise
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return path
    return found.st_dev, found.st_ino
