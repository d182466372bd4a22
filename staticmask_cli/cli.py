"""The command line: options, help, exit codes, progress; no arithmetic, no numpy.

Everything that the options mean stands in the configspec; this module only
hands over what the user typed.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from staticmask_cli import config, configspec, questions
from staticmask_cli._version import __version__
from staticmask_cli.errors import NOT_TO_BE_TRUSTED, ConfigError, OutputError, StaticMaskError
from staticmask_cli.logs import crash_line, log, start_logging
from staticmask_cli.options import OPTIONS, complete, key_options
from staticmask_cli.settings import Settings
from staticmask_cli.summary import Summary
from staticmask_cli.terminal import echo, shown_progress

_TROUBLE = 2
_LEFT_OUT = 3
_BUG = 70  # EX_SOFTWARE of sysexits.h
_INTERRUPTED = 130  # as shells have it: 128 + SIGINT

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
written but exposures left out (--keep-going), 4 masks written but verdicts
against them (--strict), 70 an error in staticmask itself, 130 interrupted; after
--compare 0 same, 1 different, 2 trouble.
"""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 90},
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
    help="Append all messages to FILE, with times.",
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
    """Make static bad-pixel masks from calibrated Hubble exposures.

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
    summary = Summary(options["summary_file"])
    errors: tuple[str, ...] = ()
    try:
        start_logging(options["verbose"], quiet=options["quiet"], log_file=options["log_file"])
        _check_working_folder()
        summary.check()
        status = _run(options, summary)
    except StaticMaskError as error:
        # As diff has it, where 1 is a difference.
        status = _TROUBLE if options["compare"] is not None else error.exit_status
        errors = error.problems
    except MemoryError:
        status, errors = 1, ("memory ran out; fewer --jobs, or fewer sigmas, need less",)
    except KeyboardInterrupt:
        status, errors = _INTERRUPTED, ("interrupted",)
    except Exception as error:  # noqa: BLE001 - a bug of ours: told in one line, kept whole in a file
        status, errors = _BUG, (crash_line(error, options["log_file"]),)
    for problem in errors:
        log.error("%s", problem)
    try:
        summary.write(status, errors, echo)
    except OutputError as error:
        status = status or error.exit_status
        log.error("%s", error)
    log.debug("ended with exit status %d", status)
    sys.exit(status)


def _run(options: dict[str, Any], summary: Summary) -> int:
    flags = _flags(options)
    merged = config.merge(config_file=options["config_file"], environment=os.environ, flags=flags)
    question = questions.asked(options, flags)
    _check_files_differ(options, merged.settings)
    summary.configuration = merged
    for note in merged.notes:
        log.log(
            logging.WARNING if note.startswith(config.ENVIRONMENT_PREFIX) else logging.INFO,
            "%s",
            note,
        )
    if options["show_config"]:
        echo(configspec.dump(merged.layer))
        return 0
    if options["editpars"]:
        from staticmask_cli.editor import edit  # noqa: PLC0415 - seldom needed

        edited = edit(merged.layer)
        if edited is None:
            log.warning("--editpars: not saved, so nothing was run")
            return 0
        merged = summary.configuration = edited
    log.debug("settings: %s", merged.settings)
    _end_tidily()
    # Imported late: '--help' and a wrong option must not wait for numpy and
    # astropy. What they make stays: looking for garbage in between would take a
    # tenth of the time that a run needs to start.
    gc.disable()
    from staticmask_cli.masking import make_masks  # noqa: PLC0415
    from staticmask_cli.report import Journal  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    # While headers are read here, threads that are done with a block of pixels
    # wait for their turn; at Python's 5 ms that took 4 % of a long run.
    sys.setswitchinterval(2e-4)
    with shown_progress(quiet=options["quiet"]) as progress:
        journal = summary.journal = Journal()
        if question is not None:
            lines, status = questions.answer(
                question,
                merged.settings,
                journal,
                verbose=options["verbose"] > 0,
                progress=progress,
            )
        else:
            report = make_masks(
                merged.settings, dry_run=options["dry_run"], progress=progress, journal=journal
            )
            lines, status = report.lines(), 0
            if report.verdicts and merged.settings.strict:
                status = NOT_TO_BE_TRUSTED
    for line in lines:
        log.debug("%s", line)
    if not options["quiet"] and not summary.takes_standard_output:
        echo("".join(f"{line}\n" for line in lines))
    is_left_out = any(exposure.state == "failed" for exposure in journal.exposures)
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


def _check_files_differ(options: dict[str, Any], settings: Settings) -> None:
    """Refuse to write two things into one file, of which one would be lost."""
    files = {
        "--report": settings.report,
        "--summary": options["summary_file"],
        "--log-file": options["log_file"],
    }
    taken: dict[str, str] = {}
    for option, file in files.items():
        if file is None or file == "-":
            continue
        path = os.path.realpath(os.path.expanduser(file))  # noqa: PTH111 - Path's can raise
        if path in taken and (os.path.isfile(path) or not os.path.lexists(path)):  # noqa: PTH113
            raise ConfigError(f"{taken[path]} and {option} name one file: {file}")
        taken[path] = option


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError(
            f"the working folder cannot be used: {error.strerror}; change to another"
        ) from None


def _end_tidily() -> None:
    """Have signals end the run as Ctrl-C does: workers stop, temporary files go."""

    def terminated(*_: Any) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, terminated)
