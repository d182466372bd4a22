"""The command line: options, help, exit codes, progress; no arithmetic, no numpy.

Everything that the options mean stands in the configspec; this module only
hands over what the user typed.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from staticmask_cli._version import __version__
from staticmask_cli.cli import questions
from staticmask_cli.cli.logs import crash_line, log, start_log_file, start_logging, stop_log_file
from staticmask_cli.cli.options import OPTIONS, complete, key_options
from staticmask_cli.cli.terminal import echo, shown_progress
from staticmask_cli.config import merging, spec
from staticmask_cli.errors import (
    CHECKS_FAILED,
    ConfigError,
    OutputError,
    StaticMaskError,
    printable,
)
from staticmask_cli.exposures.inputs import names_in
from staticmask_cli.files.signals import (
    INTERRUPTED,
    ignore_signals,
    interruptible,
    signals_deferred,
)
from staticmask_cli.reports.summary import Summary

if TYPE_CHECKING:
    from staticmask_cli.reports.report import RunRecord

_TROUBLE = 2
_LEFT_OUT = 3
_BUG = 70  # EX_SOFTWARE of sysexits.h

# Not the command's docstring, which python -OO takes away.
_HELP = """
Make static bad-pixel masks from calibrated Hubble exposures.

Pixels that lie more than --static-sig rms below the mode of their chip, in
any of the exposures, are bad; so are, with --final-bits, the pixels that
the DQ arrays call bad. One mask file is written for each detector chip.

INPUT is one or several exposures, quoted patterns, comma lists, @lists, @-
for a list on standard input, or association tables (*_asn.fits). Without
INPUT the configuration's is used ('*flt.fits').

Numbers that speak against a mask are warnings, with --strict the exit status.
--sweep, --explain, --compare and --recount ask for something else than masks.

Standard output gets a line for each mask: path, bad/total pixels, percent
bad, number of exposures.
"""
_EPILOG = """
\b
Examples:
  staticmask '*flt.fits' --static-sig 4.0
  staticmask @exposures.txt -o masks --final-bits 64,32
  staticmask j8xi01010_asn.fits --prefix combo -v
  staticmask '*flt.fits' --min-exposures 2 --report masks.html
  staticmask '*flt.fits' --sweep 3,3.5,4,5,6

Each option is also a configuration key, and an environment variable
STATICMASK_<OPTION>. Flags win over the environment, that over --config FILE,
that over the packaged defaults.

Exit status: 0 done, 1 the run failed, 2 wrong usage or configuration, 3 masks
written but exposures left out (--keep-going), 4 masks written but checks
against them (--strict), 70 an error in staticmask itself, 130 interrupted; after
--compare 0 same, 1 different, 2 trouble.
"""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 90},
    help=_HELP,
    epilog=_EPILOG,
)
@click.argument("inputs", metavar="[INPUT]...", nargs=-1, shell_complete=complete("file"))
@key_options
@click.option(
    "-c",
    "--config",
    "config_file",
    metavar="FILE",
    shell_complete=complete("file"),
    help="Configuration file to merge "
    "over the defaults; DrizzlePac's staticMask.cfg and astrodrizzle.cfg do as they are.",
)
@click.option(
    "--show-config",
    is_flag=True,
    help="Print the merged configuration, each value with "
    "where it was set, as a file for --config; make nothing.",
)
@click.option(
    "--editpars",
    is_flag=True,
    help="Edit the merged configuration in $EDITOR first; if it is not saved, nothing runs.",
)
@click.option(
    "-n",
    "--dry-run",
    is_flag=True,
    help="Print what would be read, skipped and written; read no pixels, write nothing.",
)
@click.option(
    "-v",
    "--verbose",
    count=True,
    help="Tell of every chip its mode, rms, threshold and number of low pixels; twice: the "
    "settings too.",
)
@click.option(
    "-q", "--quiet", is_flag=True, help="Print neither results nor warnings, only errors."
)
@click.option(
    "--log-file",
    metavar="FILE",
    shell_complete=complete("file"),
    help="Append all messages to FILE, with times; its folder is created if missing.",
)
@click.option(
    "--summary",
    "summary_file",
    metavar="FILE",
    shell_complete=complete("file"),
    help="Write what the run did into FILE, as JSON, also if it fails; -: to standard output, "
    "which then gets nothing else.",
)
@click.option(
    "--sweep",
    metavar="SIGMAS",
    help="Print how many pixels masks at several sigmas, such as 3,3.5,4,5,6, would hold, and how "
    "many noise alone gives; write nothing.",
)
@click.option(
    "--explain",
    metavar="X,Y",
    multiple=True,
    help="Print what every exposure tells of a pixel, counted from 1 as in DS9; write nothing. "
    "May be given several times.",
)
@click.option(
    "--compare",
    metavar="OLD",
    shell_complete=complete("file"),
    help="Print the pixels that come and go against an older mask or folder of masks, "
    "DrizzlePac's too; write nothing. INPUT may name masks. Exit status as diff's.",
)
@click.option(
    "--recount",
    is_flag=True,
    help="Rewrite the masks that INPUT names, made with --counts, for another --min-exposures; "
    "no exposure is read.",
)
@click.version_option(__version__, prog_name="staticmask", message="%(prog)s %(version)s")
def main(**options: Any) -> None:
    """Run the command."""
    start_logging(options["verbose"], quiet=options["quiet"])
    summary = Summary(options["summary_file"])
    try:
        with interruptible():
            status = _finish(options, summary, *_attempt(options, summary))
    except KeyboardInterrupt:
        status = _finish(options, summary, INTERRUPTED, (_interruption(summary.run_record),))
    ignore_signals()
    log.debug("ended with exit status %d", status)
    sys.exit(status)


def _attempt(options: dict[str, Any], summary: Summary) -> tuple[int, tuple[str, ...]]:
    """Return how a run ended, and what it failed of, a line each."""
    try:
        return _run(options, summary), ()
    except StaticMaskError as error:
        return _failed(error.exit_status, options), error.problems
    except MemoryError:
        return _failed(1, options), ("memory ran out; fewer --jobs, or fewer sigmas, need less",)
    except Exception as error:  # noqa: BLE001 - a bug of ours: told in one line, kept whole in a file
        return _BUG, (crash_line(error, options["log_file"]),)


def _finish(options: dict[str, Any], summary: Summary, status: int, errors: tuple[str, ...]) -> int:
    """Log what a run failed of, and write its summary; return the exit status."""
    for problem in errors:
        log.error("%s", problem)
    try:
        summary.write(status, errors, echo)
    except OutputError as error:
        log.error("%s", error)
        return _failed(status or error.exit_status, options)
    return status


def _interruption(run_record: RunRecord | None) -> str:
    """Return what an interrupted run has done and what not, in a line."""
    masks = run_record.masks if run_record and not run_record.dry_run else ()
    line = "interrupted"
    if written := [mask.path for mask in masks if mask.state == "written"]:
        line += f"; these masks are in place: {', '.join(written)}"
    if run_record and masks and run_record.unfinished:
        line += f"; not finished: {', '.join(run_record.unfinished)}"
    return line


def _failed(status: int, options: dict[str, Any]) -> int:
    """Return the exit status of a failure: after --compare as diff has it, where 1 is "differs"."""
    return _TROUBLE if status == 1 and options["compare"] is not None else status


def _run(options: dict[str, Any], summary: Summary) -> int:
    _check_working_folder()
    summary.check()
    flags = _flags(options)
    _check_files_differ(options, summary, options["inputs"], options["report"], "--report")
    if options["log_file"] is not None:
        start_log_file(options["log_file"])
    merged = merging.merge(config_file=options["config_file"], environment=os.environ, flags=flags)
    question = questions.asked(options, flags)
    _check_files_differ(options, summary, merged.settings.input, *_report_of(merged))
    summary.settings, summary.origins = merged.settings, merged.origins
    _tell(merged)
    if options["show_config"]:
        echo(spec.dump(merged.layer))
        return 0
    if options["editpars"]:
        from staticmask_cli.config.editor import edit  # noqa: PLC0415 - seldom needed

        edited = edit(merged.layer)
        if edited is None:
            log.warning("--editpars: not saved, so nothing was run")
            return 0
        merged = edited
        summary.settings, summary.origins = merged.settings, merged.origins
        _tell(merged)
        _check_files_differ(options, summary, merged.settings.input, *_report_of(merged))
    log.debug("settings: %s", merged.settings)
    # Imported late: '--help' and a wrong option must not wait for numpy and
    # astropy. What they make stays: looking for garbage in between would take a
    # tenth of the time that a run needs to start. A signal waits, for an import
    # may swallow what its handler raises.
    with signals_deferred():
        gc.disable()
        from staticmask_cli.masking.make import make_masks  # noqa: PLC0415
        from staticmask_cli.reports.report import RunRecord  # noqa: PLC0415

        gc.freeze()
        gc.enable()
    # While headers are read here, threads that are done with a block of pixels
    # wait for their turn; at Python's 5 ms that took 4 % of a long run.
    sys.setswitchinterval(2e-4)
    with shown_progress(quiet=options["quiet"]) as progress:
        run_record = summary.run_record = RunRecord(warnings=list(merged.warnings))
        is_printed = not options["quiet"] and not summary.takes_standard_output
        run_record.unfinished += ["standard output"] * is_printed
        if question is not None:
            lines, status = questions.answer(
                question,
                merged.settings,
                run_record,
                verbose=options["verbose"] > 0,
                progress=progress,
            )
        else:
            for warning in merged.of_a_run:
                run_record.warn(warning)
            report = make_masks(
                merged.settings,
                dry_run=options["dry_run"],
                progress=progress,
                run_record=run_record,
            )
            lines, status = report.lines(), 0
            if report.failed_checks and merged.settings.strict:
                status = CHECKS_FAILED
    for line in lines:
        log.debug("%s", line)
    if is_printed:
        echo("".join(f"{printable(line)}\n" for line in lines))
        run_record.unfinished.remove("standard output")
    is_left_out = any(exposure.state == "failed" for exposure in run_record.exposures)
    # After a comparison diff's statuses hold; what was left out has been told.
    return status or (_LEFT_OUT if is_left_out and options["compare"] is None else 0)


def _flags(options: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    flags: dict[str, tuple[Any, str]] = {}
    if options["inputs"]:
        flags["input"] = (list(options["inputs"]), "INPUT")
    for name in OPTIONS:
        if options[name] is not None:
            off = "no-" if options[name] is False else ""
            flags[name] = (options[name], f"--{off}{name.replace('_', '-')}")
    return flags


def _tell(merged: merging.Configuration) -> None:
    """Log what is odd about a configuration."""
    for note in merged.notes:
        log.info("%s", note)
    for warning in merged.warnings:
        log.warning("%s", warning)


def _report_of(merged: merging.Configuration) -> tuple[str | None, str]:
    """Return the report's file, and how messages name the option."""
    origin = merged.layer["report"][1]
    name = origin if origin.startswith("-") else f"report (set by {origin})"
    return merged.settings.report, name


def _check_files_differ(
    options: dict[str, Any],
    summary: Summary,
    inputs: Iterable[str],
    report: str | None,
    report_name: str,
) -> None:
    """Refuse to write two things into one file, or into an input: one would be lost."""
    taken = {_real(name): "INPUT" for name in names_in(inputs)}
    if options["config_file"]:
        taken[_real(options["config_file"])] = "--config"
    files = {
        report_name: report,
        "--summary": options["summary_file"],
        "--log-file": options["log_file"],
    }
    for option, file in files.items():
        if file is None or file == "-":
            continue
        path = _real(file)
        is_device = os.path.exists(file) and not os.path.isfile(file)  # noqa: PTH110, PTH113
        if path in taken and not is_device:
            stop_log_file()
            summary.forget()
            raise ConfigError(f"{taken[path]} and {option} name one file: {file}")
        taken[path] = option


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError(
            f"the working folder cannot be used: {error.strerror}; change to another"
        ) from None


def _real(name: str) -> Hashable:
    """Return what a file is known by, whatever its name: device and inode, or its path."""
    if "\0" in name:
        return name  # refused where it is looked at
    path = os.path.realpath(os.path.expanduser(name))  # noqa: PTH111 - Path's can raise
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return path
    return found.st_dev, found.st_ino
