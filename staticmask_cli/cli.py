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
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from staticmask_cli import config, configspec
from staticmask_cli._version import __version__
from staticmask_cli.errors import OutputError, StaticMaskError
from staticmask_cli.logs import crash_line, log, start_logging
from staticmask_cli.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEFT_OUT = 3
_NOT_TO_BE_TRUSTED = 4
_BUG = 70  # EX_SOFTWARE of sysexits.h
_INTERRUPTED = 130  # as shells have it: 128 + SIGINT

# What the configspec does not tell of a key's option: short name, and the
# word that stands for its value; None for a switch.
_OPTIONS: dict[str, tuple[str | None, str | None]] = {
    "static_sig": (None, "FLOAT"),
    "static": (None, None),
    "final_bits": (None, "TEXT"),
    "group": (None, "TEXT"),
    "output_dir": ("-o", "DIR"),
    "prefix": (None, "TEXT"),
    "jobs": ("-j", "N"),
    "include_empty": (None, None),
    "keep_going": ("-k", None),
    "update": (None, None),
    "verify": (None, None),
    "lock_timeout": (None, "FLOAT"),
    "min_exposures": ("-m", "N"),
    "counts": (None, None),
    "report": (None, "FILE"),
    "preview": (None, "DIR"),
    "strict": (None, None),
    "limit_low": (None, "FLOAT"),
    "limit_mode": (None, "FLOAT"),
    "limit_rms": (None, "FLOAT"),
    "limit_groups": (None, "FLOAT"),
    "limit_alone": (None, "FLOAT"),
}

_EPILOG = """
\b
Examples:
  staticmask '*flt.fits' --static-sig 4.0
  staticmask @exposures.txt -o masks --final-bits 64,32
  staticmask j8xi01010_asn.fits --prefix combo -v

Each option is also a configuration key, and an environment variable
STATICMASK_<OPTION>. Flags win over the environment, that over --config FILE,
that over the packaged defaults.

Exit status: 0 done, 1 the run failed, 2 wrong usage or configuration, 3 masks
written but exposures left out (--keep-going), 70 an error in staticmask
itself, 130 interrupted.
"""


def _complete(kind: str) -> Callable[..., list[CompletionItem]]:
    """Return what has the shell complete names of files or folders."""
    return lambda _context, _parameter, incomplete: [CompletionItem(incomplete, type=kind)]


def _key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for every configuration key."""
    for name, (short, metavar) in reversed(_OPTIONS.items()):
        flag = "--" + name.replace("_", "-")
        key = configspec.keys()[name]
        value = configspec.default(name)
        if metavar is None:
            text = flag if value else f"--no-{name.replace('_', '-')}"
            declared = [f"{flag}/--no-{name.replace('_', '-')}"]
        else:
            text = str(value)
            declared = [flag]
        if short:
            declared.insert(0, short)
        help_text = f"{key.help}  [default: {text}]"
        complete = {"DIR": _complete("dir"), "FILE": _complete("file")}.get(metavar or "")
        command = click.option(
            *declared,
            name,
            default=None,
            metavar=metavar,
            help=help_text,
            shell_complete=complete,
        )(command)
    return command


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 90},
    epilog=_EPILOG,
)
@click.argument("inputs", metavar="[INPUT]...", nargs=-1, shell_complete=_complete("file"))
@_key_options
@click.option(
    "-c",
    "--config",
    "config_file",
    metavar="FILE",
    shell_complete=_complete("file"),
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
    shell_complete=_complete("file"),
    help="Append all messages to FILE, with times.",
)
@click.option(
    "--summary",
    "summary_file",
    metavar="FILE",
    shell_complete=_complete("file"),
    help="Write what the run did into FILE, as JSON, also if it fails; -: to standard output, "
    "which then gets nothing else.",
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

    Standard output gets a line for each mask: path, bad/total pixels, percent
    bad, number of exposures.
    """
    summary = Summary(options["summary_file"])
    errors: tuple[str, ...] = ()
    try:
        start_logging(options["verbose"], quiet=options["quiet"], log_file=options["log_file"])
        summary.check()
        status = _run(options, summary)
    except StaticMaskError as error:
        status, errors = error.exit_status, error.problems
    except KeyboardInterrupt:
        status, errors = _INTERRUPTED, ("interrupted",)
    except Exception as error:  # noqa: BLE001 - a bug of ours: told in one line, kept whole in a file
        status, errors = _BUG, (crash_line(error, options["log_file"]),)
    for problem in errors:
        log.error("%s", problem)
    try:
        summary.write(status, errors, _echo)
    except OutputError as error:
        status = status or error.exit_status
        log.error("%s", error)
    log.debug("ended with exit status %d", status)
    sys.exit(status)


def _run(options: dict[str, Any], summary: Summary) -> int:
    merged = config.merge(
        config_file=options["config_file"], environment=os.environ, flags=_flags(options)
    )
    summary.configuration = merged
    for note in merged.notes:
        log.log(
            logging.WARNING if note.startswith(config.ENVIRONMENT_PREFIX) else logging.INFO,
            "%s",
            note,
        )
    if options["show_config"]:
        _echo(configspec.dump(merged.layer))
        return 0
    if options["editpars"]:
        from staticmask_cli.editor import edit  # noqa: PLC0415 - seldom needed

        edited = edit(merged.layer)
        if edited is None:
            log.warning("--editpars: not saved, so nothing was run")
            return 0
        merged = summary.configuration = edited
    log.debug("settings: %s", merged.settings)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _terminated)
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
    with _progress(quiet=options["quiet"]) as progress:
        journal = summary.journal = Journal()
        report = make_masks(
            merged.settings, dry_run=options["dry_run"], progress=progress, journal=journal
        )
    for line in report.lines():
        log.debug("%s", line)
    if not options["quiet"] and not summary.takes_standard_output:
        _echo("".join(f"{line}\n" for line in report.lines()))
    if report.verdicts and merged.settings.strict:
        return _NOT_TO_BE_TRUSTED
    return _LEFT_OUT if report.failed else 0


def _flags(options: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    flags: dict[str, tuple[Any, str]] = {}
    if options["inputs"]:
        flags["input"] = (list(options["inputs"]), "INPUT")
    for name in _OPTIONS:
        if options[name] is not None:
            off = "no-" if options[name] is False else ""
            flags[name] = (options[name], f"--{off}{name.replace('_', '-')}")
    return flags


def _echo(text: str) -> None:
    """Write to standard output; a reader that wants no more of it is no failure."""
    try:
        click.echo(text, nl=False)
    except BrokenPipeError:
        # Or Python would complain of it once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror}") from None


def _terminated(*_: Any) -> None:
    """End as at Ctrl-C: workers stop, temporary files go."""
    raise KeyboardInterrupt


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on a terminal, once more than a second's work turns out to be left."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    began = time.monotonic()
    bar: Any = None

    def progress(done: int, total: int) -> None:
        nonlocal bar
        elapsed = time.monotonic() - began
        if bar is None and done < total and elapsed / done * (total - done) > 1:
            bar = click.progressbar(length=total, label="exposures", file=sys.stderr)
            bar.__enter__()
        if bar is not None:
            bar.update(done - bar.pos)

    try:
        yield progress
    finally:
        if bar is not None:
            bar.__exit__(None, None, None)
