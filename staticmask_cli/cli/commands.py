"""The commands: the arguments and options of each, and the function that it runs.

To add a command, write its core in ``masking/`` and a function here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from staticmask_cli._version import __version__
from staticmask_cli.cli.options import (
    Command,
    Option,
    Pixel,
    Sigmas,
    common_options,
    complete_files,
    key_options,
)
from staticmask_cli.cli.run import TROUBLE, Outcome, Run, execute
from staticmask_cli.config import spec
from staticmask_cli.config.checks import check_apply
from staticmask_cli.errors import CHECKS_FAILED, ConfigError
from staticmask_cli.exposures.dq_bits import BADPIX
from staticmask_cli.exposures.inputs import are_masks
from staticmask_cli.settings import ExportFormat, Settings

if TYPE_CHECKING:
    from staticmask_cli.reports.report import MaskReport

# The keys that select exposures and define how to read them.
_READING = (
    *("group", "include_empty", "allow_duplicates", "keep_going", "any_product"),
    *("background", "final_bits", "min_exposures", "prefix", "jobs", "scheduler"),
)
_CHECKS = (
    *("strict", "max_low_excess", "max_mode_offset", "max_rms_ratio", "max_clustered"),
    *("max_single_exposure", "max_unrepeated", "max_threshold_depth", "max_bad"),
)
_APPLYING = ("group", "keep_going", "any_product", "output_dir", "overwrite", "lock_timeout")

# The texts are not docstrings, which python -OO removes.
#: The usage of each command, without the name of the program.
SYNOPSIS = {
    "make": ["[make] [OPTIONS] [INPUT]..."],
    "sweep": ["sweep [--sigmas 3,3.5,4,5,6] [OPTIONS] [INPUT]..."],
    "explain": ["explain --pixel X,Y [--pixel X,Y]... [OPTIONS] [INPUT]..."],
    "compare": ["compare OLD [OPTIONS] [INPUT]..."],
    "recount": ["recount MASK... -m N [OPTIONS]"],
    "apply": [
        "apply MASK... --to EXPOSURES {-o DIR | --in-place} [OPTIONS]",
        "apply --undo --to EXPOSURES {-o DIR | --in-place} [OPTIONS]",
    ],
    "export": ["export MASK... --format FORMAT -o DIR [OPTIONS]"],
    "import": ["import TABLE... --like MASK -o DIR [OPTIONS]"],
    "edit": ["edit MASK -o DIR [--or MASK] [--and MASK] [OPTIONS]"],
    "combine": ["combine MASK... -o DIR [OPTIONS]"],
}
_MAKE = """
Make static bad-pixel masks from calibrated Hubble exposures, one for each chip.
INPUT may be exposures, their URLs, quoted patterns, comma lists, @lists (@-: standard
input) or association tables (*_asn.fits). It defaults to the configuration's,
'*flt.fits'.

\b
Examples:
  staticmask '*flt.fits' --static-sig 4.0
  staticmask @exposures.txt -o masks --final-bits 64,32
  staticmask '*flt.fits' --min-exposures 2 --report masks.html
  staticmask sweep '*flt.fits' --sigmas 3,3.5,4,5,6
  staticmask compare masks '*flt.fits'
"""
_MAKE_SHORT = "Make masks (the default)."
_AFTER_MAKE = """
Run 'staticmask COMMAND --help' for its options. The command is the first word; a file
of that name is ./NAME. Options override STATICMASK_<OPTION> in the environment, which
overrides --config. Results go to standard output: path, bad/total pixels, percent bad,
exposures. Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 exposures
skipped (--keep-going), 4 checks failed (--strict), 70 bug, 130 interrupted.
"""
_SWEEP = """
Count the bad pixels that masks would have at several sigmas.

Each exposure is read once, and nothing is written. The columns are mask, sigma,
bad/total pixels, percent bad, and the bad pixels expected from noise, with percent.
"""
_EXPLAIN = """
Show each exposure's value and result for a pixel.

Columns and rows count from 1, as in DS9. Nothing is written.
"""
_COMPARE = """
Compare masks with older ones.

OLD is a mask or a folder of masks, also DrizzlePac's. INPUT may be exposures, whose
masks are made but not written, or masks. The columns are mask, pixels gained and
lost, and bad pixels of the old and the new mask; the columns of the detector that
differ most follow.

Exit status: 0 no difference, 1 differences, 2 trouble.
"""
_RECOUNT = """
Rewrite masks for another --min-exposures.

MASK may be masks made with --counts, or folders of them. No exposure is read.
"""
_APPLY = """
Set the bad pixels of masks in the DQ arrays of exposures.

MASK may be masks or folders of them. The smallest mask that covers a chip is used, so
that masks of full frames serve subarrays. Copies of the exposures are written, with
HISTORY and a table STATICMASK for --undo; all other arrays stay as they are. The columns
are exposure, chip, mask, bad pixels, those that were flagged before by any bit, and
those in which the bit is new.

--undo takes back exactly the pixels that an earlier run set.
"""
_EXPORT = """
Write masks in the forms that other programs read.

MASK may be masks, also DrizzlePac's, or folders of them. bad: an image, 1 for bad pixels.
csv: x and y of each bad pixel, from 1, and how often it was bad and covered, if counted.
reg: DS9 regions. bpixtab: a bad-pixel table for calacs, calwf3 or calstis; two chips of a
detector become one table. The columns are file, bad pixels and masks.
"""
_IMPORT = """
Make a mask from tables of pixels or DS9 regions.

TABLE may be text (.csv): x,y in a line, from 1, where ranges such as 10:20 and * are
allowed, so that 17,* is a column. Or regions (.reg): boxes and points in image or
physical coordinates. The mask is for the chip of --like and has its name. No exposure
is read, and none can be added to it; 'staticmask edit' joins it to other masks.
"""
_EDIT = """
Change a mask of one chip into another one.

No exposure is read. The changes are made in the order in which the options are listed
below. The edited mask has the name of MASK and records the changes. It can be compared,
exported and edited, but no exposures can be added to it, and it cannot be recounted.
"""
_COMBINE = """
Combine masks of parts of the exposures.

MASK may be masks made with the same settings, or folders of them. No exposure is read.
The result equals, byte for byte, one run over all exposures, whatever the order. Masks made
with --min-exposures other than 1 need --counts, which --shard implies.
"""


def _command(
    name: str,
    keys: Iterable[str],
    text: str,
    *,
    input_metavar: str = "[INPUT]...",
    required: Mapping[str, str] | None = None,
    failure: int = 1,
    **more: Any,
) -> Callable[[Callable[[Run], Outcome]], Command]:
    """Return a decorator that makes a command of a function.

    Parameters
    ----------
    name : str
    keys : iterable of str
        The configuration keys that the command takes as options.
    text : str
        Its help.
    input_metavar : str
        Name of its input in the usage, in brackets if optional.
    required : mapping of str to str, optional
        As for `key_options`.
    failure : int
        Exit status of a run that fails.
    **more
        Further arguments of `Command`.
    """

    def make(function: Callable[[Run], Outcome]) -> Command:
        def callback(**options: Any) -> None:
            execute(function, options, failure=failure)

        def parameters() -> list[click.Parameter]:
            inputs = click.Argument(
                ["inputs"],
                metavar=input_metavar,
                nargs=-1,
                required=not input_metavar.startswith("["),
                shell_complete=complete_files,
                callback=_refuse_commands,
            )
            # click lists the parameters that decorators have added to a function last to first.
            own = reversed(getattr(function, "__click_params__", []))
            return [*key_options(keys, required or {}), *common_options(), *own, inputs]

        shown = SYNOPSIS.values() if name == "make" else [SYNOPSIS[name]]
        return Command(
            name,
            callback=callback,
            parameters=parameters,
            synopsis=[line for lines in shown for line in lines],
            help=text,
            **more,
        )

    return make


def _refuse_commands(
    context: click.Context, _parameter: click.Parameter, words: tuple[str, ...]
) -> tuple[str, ...]:
    """Refuse a command after options, which would be taken for a file."""
    group = context.find_root().command
    for word in words:
        if isinstance(group, click.Group) and word in group.commands:
            raise click.UsageError(
                f"the command '{word}' must be the first word; a file of that name is ./{word}",
                context,
            )
    return words


@_command(
    *("make", spec.keys().keys() - {"input"}, _MAKE),
    short_help=_MAKE_SHORT,
    after=_AFTER_MAKE,
)
@click.option(
    *("-n", "--dry-run"),
    cls=Option,
    is_flag=True,
    help="List what would be read and written; do neither",
)
@click.option(
    "--show-config",
    cls=Option,
    is_flag=True,
    help="Print the configuration, with the source of each value",
)
@click.option(
    "--editpars", cls=Option, is_flag=True, help="Edit the configuration in $EDITOR first"
)
@click.version_option(
    __version__,
    cls=Option,
    prog_name="staticmask",
    message="%(prog)s %(version)s",
    help="Show the version",
)
def make(run: Run) -> Outcome:
    """Make masks."""
    from staticmask_cli.masking.make import make_masks  # noqa: PLC0415 - needs numpy
    from staticmask_cli.reports.report import HEADING  # noqa: PLC0415 - same

    for warning in run.configuration.of_a_run:
        run.record.warn(warning)
    report = make_masks(
        run.settings,
        dry_run=run.options["dry_run"],
        progress=run.progress,
        run_record=run.record,
    )
    is_strict = bool(report.failed_checks) and run.settings.strict
    is_table = len(report.masks) > 1 and not report.dry_run
    return Outcome(report.rows(), CHECKS_FAILED if is_strict else 0, HEADING if is_table else None)


@_command("sweep", _READING, _SWEEP)
@click.option(
    "--sigmas",
    cls=Option,
    heading="Mask",
    type=Sigmas(),
    default="3,3.5,4,5,6",
    metavar="LIST",
    help="Values of --static-sig  [default: 3,3.5,4,5,6]",
)
def sweep(run: Run) -> Outcome:
    """Count the bad pixels at several sigmas."""
    from staticmask_cli.masking.sweep import HEADING, sweep  # noqa: PLC0415 - needs numpy

    rows = sweep(
        run.settings.without_masks(),
        run.options["sigmas"],
        run_record=run.record,
        progress=run.progress,
    )
    run.record.answer = [row.document() for row in rows]
    return Outcome([HEADING, *(row.cells() for row in rows)])


@_command("explain", (*_READING, "static_sig"), _EXPLAIN)
@click.option(
    *("--pixel", "pixels"),
    cls=Option,
    heading="Input",
    type=Pixel(),
    multiple=True,
    required=True,
    metavar="X,Y",
    help="Column and row; may be repeated",
)
def explain(run: Run) -> Outcome:
    """Explain pixels."""
    from staticmask_cli.masking.explain import explain  # noqa: PLC0415 - needs numpy

    explanations = explain(
        run.settings.without_masks(),
        run.options["pixels"],
        run_record=run.record,
        progress=run.progress,
    )
    run.record.answer = [explanation.document() for explanation in explanations]
    return Outcome([(line,) for e in explanations for line in e.lines()])


@_command(
    *("compare", (*_READING, "static_sig", "output_dir"), _COMPARE),
    failure=TROUBLE,
)
@click.argument("old", metavar="OLD", shell_complete=complete_files)
def compare(run: Run) -> Outcome:
    """Compare masks."""
    from staticmask_cli.masking.compare import compare  # noqa: PLC0415 - needs numpy

    old = run.options["old"]
    if not old.strip() or "\0" in old:
        raise ConfigError("OLD is empty; give a mask or a folder of masks")
    unused = [origin for name, (_, origin) in run.given.items() if name != "input"]
    if unused and are_masks(run.settings.input):
        raise ConfigError(f"{', '.join(unused)} cannot be used to compare masks with masks")
    differences = compare(
        run.settings.without_masks(), old, run_record=run.record, progress=run.progress
    )
    run.record.answer = [difference.document() for difference in differences]
    is_verbose = run.options["verbose"] > 0
    rows = [row for d in differences for row in d.rows(every_column=is_verbose)]
    status = 0 if all(d.is_same for d in differences) else 1
    return Outcome(rows, status, ("mask", "gained", "lost", "old", "new"))


@_command(
    *("recount", ("min_exposures", *_CHECKS, "jobs", "lock_timeout"), _RECOUNT),
    input_metavar="MASK...",
    required={"min_exposures": "required"},
)
def recount(run: Run) -> Outcome:
    """Rewrite masks for another ``min_exposures``."""
    from staticmask_cli.masking.recount import recount  # noqa: PLC0415 - needs numpy

    if run.configuration.origins["min_exposures"] == spec.DEFAULT:
        raise ConfigError("--min-exposures is missing; give a number, a share or all")
    masks = recount(run.settings.without_masks(), run_record=run.record)
    return _checked(masks, run.settings)


def _checked(masks: Iterable[MaskReport], settings: Settings) -> Outcome:
    """Log the failed checks of masks that were made of masks; return their outcome."""
    from staticmask_cli.masking.make import log_failed_checks  # noqa: PLC0415 - needs numpy

    checks = [check for mask in masks for check in mask.quality.failed]
    log_failed_checks(checks, settings)
    status = CHECKS_FAILED if checks and settings.strict else 0
    return Outcome([mask.cells() for mask in masks], status)


@_command(
    *("apply", _APPLYING, _APPLY),
    input_metavar="[MASK]...",
    required={"output_dir": "required unless --in-place"},
)
@click.option(
    "--to",
    "exposures",
    cls=Option,
    heading="Input",
    multiple=True,
    required=True,
    metavar="EXPOSURES",
    help="Exposures, a quoted pattern or an @list; may be repeated",
)
@click.option(
    "--bit",
    cls=Option,
    heading="Output",
    default=BADPIX,
    metavar="BIT",
    help=f"DQ bit to set, by name or number  [default: {BADPIX}]",
)
@click.option(
    "--in-place",
    cls=Option,
    heading="Output",
    is_flag=True,
    help="Change the exposures instead of writing copies",
)
@click.option(
    "--undo",
    cls=Option,
    is_flag=True,
    help="Take back what an earlier run set",
)
@click.option(
    *("-n", "--dry-run"),
    cls=Option,
    is_flag=True,
    help="Check everything, write nothing",
)
def apply(run: Run) -> Outcome:
    """Set bad pixels as a DQ bit."""
    from staticmask_cli.masking.apply import (  # noqa: PLC0415 - needs numpy
        HEADING,
        UNDO_HEADING,
        advice,
        apply_masks,
    )

    options = run.options
    undo, in_place = options["undo"], options["in_place"]
    has_folder = run.configuration.origins["output_dir"] != spec.DEFAULT
    check_apply(run.given.keys(), has_folder=has_folder, undo=undo, in_place=in_place)
    chips = apply_masks(
        run.settings.without_masks(),
        options["exposures"],
        bit=options["bit"],
        undo=undo,
        in_place=in_place,
        dry_run=options["dry_run"],
        progress=run.progress,
        run_record=run.record,
    )
    run.record.answer = [chip.document() for chip in chips]
    rows = [chip.cells() for chip in chips]
    rows += [(f"# {line}",) for line in advice(chips)]
    rows += [("# Dry run: nothing was written.",)] if options["dry_run"] else []
    return Outcome(rows, heading=UNDO_HEADING if undo else HEADING)


# The keys of commands that write new files from masks.
_WRITING = ("output_dir", "overwrite", "lock_timeout")


def _check_output_dir(run: Run) -> None:
    if run.configuration.origins["output_dir"] == spec.DEFAULT:
        raise ConfigError("--output-dir is missing; give a folder")


@_command(
    *("export", (*_WRITING, "jobs"), _EXPORT),
    input_metavar="MASK...",
    required={"output_dir": "required"},
)
@click.option(
    *("--format", "form"),
    cls=Option,
    heading="Output",
    type=click.Choice([form.value for form in ExportFormat]),
    required=True,
    metavar="FORMAT",
    help="bad, csv, reg or bpixtab",
)
def export(run: Run) -> Outcome:
    """Export masks."""
    from staticmask_cli.masking.export import HEADING, export  # noqa: PLC0415 - needs numpy

    _check_output_dir(run)
    exports = export(run.settings.without_masks(), ExportFormat(run.options["form"]))
    run.record.answer = [document for one in exports for document in one.documents()]
    return Outcome([one.cells() for one in exports], heading=HEADING)


@_command(
    *("import", _WRITING, _IMPORT),
    input_metavar="TABLE...",
    required={"output_dir": "required"},
)
@click.option(
    "--like",
    cls=Option,
    heading="Input",
    required=True,
    metavar="MASK",
    help="Mask of the chip that the pixels belong to",
)
def import_mask(run: Run) -> Outcome:
    """Make a mask from tables and regions."""
    from staticmask_cli.masking.import_mask import import_mask  # noqa: PLC0415 - needs numpy

    _check_output_dir(run)
    settings = run.settings.without_masks()
    mask = import_mask(settings, run.options["like"], run_record=run.record)
    return Outcome([mask.cells()])


@_command(
    *("edit", _WRITING, _EDIT),
    input_metavar="MASK",
    required={"output_dir": "required"},
)
@click.option(
    *("--or", "or_"),
    cls=Option,
    heading="Mask",
    multiple=True,
    metavar="MASK",
    help="Add the bad pixels of MASK; may be repeated",
)
@click.option(
    *("--and", "and_"),
    cls=Option,
    heading="Mask",
    multiple=True,
    metavar="MASK",
    help="Keep only bad pixels that are bad in MASK too; may be repeated",
)
@click.option(
    "--fill-gaps",
    cls=Option,
    heading="Mask",
    type=int,
    metavar="N",
    help="Fill gaps of up to N pixels between bad pixels of a column",
)
@click.option(
    "--fill-columns",
    cls=Option,
    heading="Mask",
    type=float,
    metavar="FRACTION",
    help="Fill columns that are bad in more than FRACTION of their rows",
)
@click.option(
    "--grow",
    cls=Option,
    heading="Mask",
    type=int,
    metavar="N",
    help="Grow bad pixels by N pixels to every side",
)
def edit(run: Run) -> Outcome:
    """Edit a mask."""
    from staticmask_cli.masking.edit import Changes, edit  # noqa: PLC0415 - needs numpy

    _check_output_dir(run)
    changes = Changes(**{name: run.options[name] for name in Changes._fields})
    mask = edit(run.settings.without_masks(), changes, run_record=run.record)
    return Outcome([mask.cells()])


@_command(
    *("combine", (*_WRITING, "prefix", *_CHECKS, "jobs"), _COMBINE),
    input_metavar="MASK...",
    required={"output_dir": "required"},
)
def combine(run: Run) -> Outcome:
    """Combine masks."""
    from staticmask_cli.masking.combine import combine  # noqa: PLC0415 - needs numpy

    _check_output_dir(run)
    masks = combine(run.settings.without_masks(), run_record=run.record)
    return _checked(masks, run.settings)
