"""The commands as Python functions, and DrizzlePac's createMask."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from staticmask_cli.config.checks import (
    check_apply,
    checked_pixel,
    checked_sigmas,
    is_given,
    native,
)
from staticmask_cli.config.merging import (
    ARGUMENT,
    Configuration,
    merge,
    parse,
    read_mapping,
    suggestion,
)
from staticmask_cli.config.spec import DEFAULT, keys
from staticmask_cli.errors import ConfigError
from staticmask_cli.exposures.dq_bits import BADPIX
from staticmask_cli.masking import apply as _apply
from staticmask_cli.masking import combine as _combine
from staticmask_cli.masking import compare as _compare
from staticmask_cli.masking import edit as _edit
from staticmask_cli.masking import explain as _explain
from staticmask_cli.masking import export as _export
from staticmask_cli.masking import import_mask as _import_mask
from staticmask_cli.masking import recount as _recount
from staticmask_cli.masking import sweep as _sweep
from staticmask_cli.masking.apply import FlaggedChip
from staticmask_cli.masking.astrodrizzle import replaced_step
from staticmask_cli.masking.compare import Difference
from staticmask_cli.masking.explain import Explanation
from staticmask_cli.masking.export import Export
from staticmask_cli.masking.exposure_loop import Progress
from staticmask_cli.masking.make import make_masks
from staticmask_cli.masking.sweep import SweepRow
from staticmask_cli.reports.report import MaskReport, Report, RunRecord
from staticmask_cli.settings import ExportFormat, Settings

log = logging.getLogger(__name__)

Name = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Input = Name | Iterable[Name]

# A float that no caller can pass: it distinguishes createMask's default from the same
# number given explicitly, which must override the configuration.
_DRIZZLEPAC_SIG = float("4.0")


def create_masks(
    input: Input | None = None,  # noqa: A002 - the configuration's name
    *,
    config: Name | None = None,
    group: str | int | None = None,
    static: bool | None = None,
    static_sig: float | None = None,
    background: str | None = None,
    final_bits: str | int | Iterable[int] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    prefix: str | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    shard: str | None = None,
    include_empty: bool | None = None,
    allow_duplicates: bool | None = None,
    keep_going: bool | None = None,
    any_product: bool | None = None,
    update: bool | None = None,
    overwrite: bool | None = None,
    verify: bool | None = None,
    lock_timeout: float | None = None,
    min_exposures: float | str | None = None,
    counts: bool | None = None,
    report: str | os.PathLike[str] | None = None,
    preview: str | os.PathLike[str] | None = None,
    strict: bool | None = None,
    max_low_excess: float | None = None,
    max_mode_offset: float | None = None,
    max_rms_ratio: float | None = None,
    max_clustered: float | None = None,
    max_single_exposure: float | None = None,
    max_unrepeated: float | None = None,
    max_threshold_depth: float | None = None,
    max_bad: float | None = None,
    dry_run: bool = False,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Report:
    """Make one static bad-pixel mask for every detector chip in the exposures.

    Arguments that are None are taken from `config`, then from the packaged
    defaults. Environment variables are ignored.

    Parameters
    ----------
    input : str, path, or iterable of these, optional
        Names, URLs, patterns, comma lists, @lists and association tables.
    config : str or path, optional
        A configuration file, or an ``astrodrizzle.cfg``.
    group : str or int, optional
        Extensions to use: ``"sci,1"``, or HDU numbers.
    static : bool, optional
        False to make no mask.
    static_sig : float, optional
        A pixel is bad if it is more than this many rms below the mode.
    background : str, optional
        ``"chip"``: compare pixels with mode and rms of their chip; ``"local"``: with
        background and noise of their place, for crowded and nebulous fields.
    final_bits : str, int or iterable of int, optional
        DQ bits that count as good; pixels with others are bad. ``"None"``
        overrides a value from `config`.
    output_dir : str or path, optional
        Folder for the masks, created if missing.
    prefix : str, optional
        File-name prefix that replaces instrument and detector.
    jobs : int, optional
        Number of chips to measure at the same time; 0 for the number of cores.
    scheduler : str, optional
        Address or file of a dask scheduler whose workers measure, or ``"local"``.
    shard : str, optional
        ``"I/N"``: use only part I of N of the exposures, which their names determine; see
        `combine`. I may count from 0 or from 1.
    include_empty : bool, optional
        Use exposures without exposure time or good pixels.
    allow_duplicates : bool, optional
        Use all of several exposures with the same pixels.
    keep_going : bool, optional
        Skip exposures that cannot be used, and list them in ``report.failed``.
    any_product : bool, optional
        Accept files that are not calibrated Hubble exposures.
    update : bool, optional
        Add the exposures to existing masks.
    overwrite : bool, optional
        Replace edited or imported masks, and files with a mask's name that are not masks.
    verify : bool, optional
        With `update`: check that the pixels of known exposures are unchanged.
    lock_timeout : float, optional
        Seconds to wait for another run that writes to the same folder.
    min_exposures : float or str, optional
        Exposures in which a pixel must be bad: a number of them, a share such
        as 0.5 or ``"50%"`` of those that cover the pixel, or ``"all"``.
    counts : bool, optional
        Store how often each pixel was bad and was covered.
    report, preview : str or path, optional
        File of the report page, and folder for its plots; they need the
        ``report`` extra.
    strict : bool, optional
        Log failed quality checks as errors, not as warnings. The masks are
        written and nothing is raised; see ``report.failed_checks``.
    max_low_excess, max_mode_offset, max_rms_ratio : float, optional
    max_clustered, max_single_exposure, max_unrepeated : float, optional
    max_threshold_depth, max_bad : float, optional
        Limits of the quality checks.
    dry_run : bool
        Find the masks that would be made; read no pixels and write nothing.
    executor : concurrent.futures.Executor, optional
        Measures the chips, instead of threads; of any library. It is not shut down.
    progress : callable, optional
        Called after each exposure with the number done and the number in all.

    Returns
    -------
    Report
        The masks (``report.masks[0].read()`` reads one), the statistics of
        every chip, and the warnings.

    Raises
    ------
    ConfigError
        If an argument or the configuration is wrong.
    InputError
        If an exposure cannot be used, or none with `keep_going`; nothing was
        written.
    OutputError
        If a mask cannot be written, or exposures cannot be added to it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     report = create_masks("tests/data/o4k19a010_flt.fits", output_dir=folder)
    ...     mask = report.masks[0].read()
    >>> report
    <Report: 1 mask, 1 exposure, 0 warnings, all checks passed>
    >>> mask.shape, int((mask == 0).sum())
    ((256, 256), 38)
    """
    merged = _merged(locals())
    _check_callables(executor, progress, merged.settings.scheduler)
    return make_masks(
        merged.settings,
        dry_run=dry_run,
        executor=executor,
        progress=progress,
        run_record=_run_record(merged),
    )


def sweep(
    input: Input | None = None,  # noqa: A002 - the configuration's name
    sigmas: Iterable[float] = (3.0, 3.5, 4.0, 5.0, 6.0),
    *,
    config: Name | None = None,
    group: str | int | None = None,
    background: str | None = None,
    final_bits: str | int | Iterable[int] | None = None,
    prefix: str | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    include_empty: bool | None = None,
    allow_duplicates: bool | None = None,
    keep_going: bool | None = None,
    any_product: bool | None = None,
    min_exposures: float | str | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> tuple[SweepRow, ...]:
    """Count the bad pixels that masks would have at several sigmas.

    Each exposure is read once, and nothing is written.

    Parameters
    ----------
    input : str, path, or iterable of these, optional
        As for `create_masks`.
    sigmas : iterable of float
        Values of ``static_sig``.
    config, group, background, final_bits, prefix, jobs, scheduler, include_empty
    allow_duplicates, keep_going, any_product, min_exposures, executor, progress
        As for `create_masks`.

    Returns
    -------
    tuple of SweepRow
        By mask, then in the order of `sigmas`.

    Raises
    ------
    ConfigError, InputError
        As for `create_masks`.

    Examples
    --------
    >>> for row in sweep("tests/data/o4k19a010_flt.fits", [3, 4]):
    ...     print(row.static_sig, row.bad, f"{row.expected:.1f}")
    3.0 66 205.0
    4.0 38 5.4
    """
    settings = _settings(locals())
    _check_callables(executor, progress, settings.scheduler)
    values = native(sigmas)
    if not isinstance(values, Iterable) or isinstance(values, str):
        raise ConfigError(f"sigmas: {sigmas!r} is not a list of numbers")
    return _sweep.sweep(settings, checked_sigmas(values), executor=executor, progress=progress)


def explain(
    input: Input | None = None,  # noqa: A002 - the configuration's name
    *,
    x: int,
    y: int,
    config: Name | None = None,
    group: str | int | None = None,
    static_sig: float | None = None,
    background: str | None = None,
    final_bits: str | int | Iterable[int] | None = None,
    prefix: str | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    include_empty: bool | None = None,
    allow_duplicates: bool | None = None,
    keep_going: bool | None = None,
    any_product: bool | None = None,
    min_exposures: float | str | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> tuple[Explanation, ...]:
    """Return each exposure's value and result for a pixel.

    Parameters
    ----------
    input : str, path, or iterable of these, optional
        As for `create_masks`.
    x, y : int
        Column and row, counted from 1, as in DS9.
    config, group, static_sig, background, final_bits, prefix, jobs, scheduler, include_empty
    allow_duplicates, keep_going, any_product, min_exposures, executor, progress
        As for `create_masks`.

    Returns
    -------
    tuple of Explanation
        One for each mask.

    Raises
    ------
    ConfigError, InputError
        As for `create_masks`; also if the pixel is outside all chips.

    Examples
    --------
    >>> (pixel,) = explain("tests/data/o4k19a010_flt.fits", x=17, y=5)
    >>> pixel.is_bad, pixel.count, pixel.coverage
    (False, 0, 2)
    """
    pixel = checked_pixel(native(x), native(y))
    settings = _settings(locals())
    _check_callables(executor, progress, settings.scheduler)
    return _explain.explain(settings, [pixel], executor=executor, progress=progress)


def compare(
    input: Input | None = None,  # noqa: A002 - the configuration's name
    *,
    old: Name,
    config: Name | None = None,
    group: str | int | None = None,
    static_sig: float | None = None,
    background: str | None = None,
    final_bits: str | int | Iterable[int] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    prefix: str | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    include_empty: bool | None = None,
    allow_duplicates: bool | None = None,
    keep_going: bool | None = None,
    any_product: bool | None = None,
    min_exposures: float | str | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> tuple[Difference, ...]:
    """Compare masks with older ones; nothing is written.

    Parameters
    ----------
    input : str, path, or iterable of these, optional
        Exposures, whose masks are made but not written; or masks.
    old : str or path
        The older mask, or a folder of masks, also DrizzlePac's.
    config, group, static_sig, background, final_bits, output_dir, prefix, jobs, scheduler
    include_empty, allow_duplicates, keep_going, any_product, min_exposures, executor
    progress
        As for `create_masks`.

    Returns
    -------
    tuple of Difference
        By name.

    Raises
    ------
    ConfigError, InputError
        As for `create_masks`; also if the masks do not belong together.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> exposure = "tests/data/o4k19a010_flt.fits"
    >>> with TemporaryDirectory() as folder:
    ...     _ = create_masks(exposure, output_dir=folder)
    ...     (difference,) = compare(exposure, old=folder, static_sig=3)
    >>> difference.is_same, difference.old, difference.new
    (False, 38, 66)
    """
    settings = _settings(locals())
    _check_callables(executor, progress, settings.scheduler)
    return _compare.compare(settings, _name(old, "old"), executor=executor, progress=progress)


def recount(
    input: Input,  # noqa: A002 - the configuration's name
    min_exposures: float | str,
    *,
    config: Name | None = None,
    jobs: int | None = None,
    lock_timeout: float | None = None,
    max_low_excess: float | None = None,
    max_mode_offset: float | None = None,
    max_rms_ratio: float | None = None,
    max_clustered: float | None = None,
    max_single_exposure: float | None = None,
    max_unrepeated: float | None = None,
    max_threshold_depth: float | None = None,
    max_bad: float | None = None,
) -> tuple[MaskReport, ...]:
    """Rewrite masks that have counts for another ``min_exposures``.

    No exposure is read.

    Parameters
    ----------
    input : str, path, or iterable of these
        Masks that were made with ``counts``, or folders of them.
    min_exposures : float or str
        As for `create_masks`.
    config, jobs, lock_timeout, max_low_excess, max_mode_offset, max_rms_ratio
    max_clustered, max_single_exposure, max_unrepeated, max_threshold_depth, max_bad
        As for `create_masks`.

    Returns
    -------
    tuple of MaskReport
        The rewritten masks.

    Raises
    ------
    ConfigError, InputError, OutputError
        As for `create_masks`; also if a mask has no counts.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = create_masks("tests/data/o4k19a010_flt.fits", output_dir=folder, counts=True)
    ...     (mask,) = recount(folder, "all")
    >>> mask.bad
    24
    """
    if min_exposures is None:
        raise ConfigError("min_exposures: None is not a number of exposures")
    return _recount.recount(_settings(locals()))


def combine(
    input: Input,  # noqa: A002 - the configuration's name
    *,
    output_dir: str | os.PathLike[str],
    config: Name | None = None,
    prefix: str | None = None,
    overwrite: bool | None = None,
    jobs: int | None = None,
    lock_timeout: float | None = None,
    max_low_excess: float | None = None,
    max_mode_offset: float | None = None,
    max_rms_ratio: float | None = None,
    max_clustered: float | None = None,
    max_single_exposure: float | None = None,
    max_unrepeated: float | None = None,
    max_threshold_depth: float | None = None,
    max_bad: float | None = None,
) -> tuple[MaskReport, ...]:
    """Make the masks of all exposures of several masks; no exposure is read.

    The result equals, byte for byte, one run over all exposures, whatever the order of the
    masks and in whatever groups they are combined.

    Parameters
    ----------
    input : str, path, or iterable of these
        Masks of parts of the exposures, made with the same settings, or folders of them.
        An exposure that is in two of them counts once. Masks that were made with
        ``min_exposures`` other than 1 need counts.
    output_dir, overwrite
        As for `export`.
    config, prefix, jobs, lock_timeout, max_low_excess, max_mode_offset, max_rms_ratio
    max_clustered, max_single_exposure, max_unrepeated, max_threshold_depth, max_bad
        As for `create_masks`.

    Returns
    -------
    tuple of MaskReport
        A mask for each chip, by name.

    Raises
    ------
    ConfigError, InputError, OutputError
        As for `create_masks`; also if the masks do not belong together or a mask exists.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> exposure = "tests/data/o4k19a010_flt.fits"
    >>> with TemporaryDirectory() as folder:
    ...     for n in (1, 2):
    ...         _ = create_masks(exposure, shard=f"{n}/2", output_dir=f"{folder}/part{n}")
    ...     (mask,) = combine(f"{folder}/part*/*", output_dir=f"{folder}/all")
    >>> mask.bad, mask.exposures
    (38, 1)
    """
    return _combine.combine(_settings(locals()))


def apply(
    input: Input | None = None,  # noqa: A002 - the configuration's name
    to: Input = (),
    *,
    output_dir: str | os.PathLike[str] | None = None,
    bit: str | int = BADPIX,
    undo: bool = False,
    in_place: bool = False,
    dry_run: bool = False,
    config: Name | None = None,
    group: str | int | None = None,
    keep_going: bool | None = None,
    any_product: bool | None = None,
    overwrite: bool | None = None,
    lock_timeout: float | None = None,
    progress: Progress | None = None,
) -> tuple[FlaggedChip, ...]:
    """Set the bad pixels of masks as a bit in the DQ arrays of exposures.

    The smallest mask that covers a chip is used, so that masks of full frames serve
    subarrays. Nothing in the exposures changes but DQ and HISTORY, and a table is added.

    Parameters
    ----------
    input : str, path, or iterable of these
        Masks, or folders of them; None with `undo`.
    to : str, path, or iterable of these
        Exposures, as ``input`` of `create_masks`.
    output_dir : str or path, optional
        Folder for the copies; required unless `in_place`.
    bit : str or int
        Name or number of the DQ bit. ``BADPIX`` is 4, but 32 for NICMOS.
    undo : bool
        Take back exactly the pixels that were set, instead.
    in_place : bool
        Change the exposures instead of writing copies.
    dry_run : bool
        Check everything, but write nothing.
    overwrite : bool, optional
        Replace files in the folder, even if they are not unchanged copies.
    config, group, keep_going, any_product, lock_timeout
        As for `create_masks`.
    progress : callable, optional
        Called after each exposure is checked, with the number done and the number in all.

    Returns
    -------
    tuple of FlaggedChip
        For each chip: the file, the mask, and the numbers of pixels that are bad, that
        were flagged before by any bit, and in which the bit was newly set.

    Raises
    ------
    ConfigError, InputError, OutputError
        As for `create_masks`; also if no mask covers a chip, or several of one size do.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = create_masks("tests/data/o4k19a010_flt.fits", output_dir=folder)
    ...     chips = apply(folder, "tests/data/o4k19a010_flt.fits", output_dir=folder)
    >>> chips[0].chip, chips[0].bad, chips[0].flagged, chips[0].new
    ('SCI,1', 38, 38, 38)
    """
    _check_callables(None, progress)
    arguments = locals()
    merged = _merged(arguments)
    given = {"input": input, "output_dir": output_dir}
    check_apply(
        {name for name, value in given.items() if value is not None},
        has_folder=merged.origins["output_dir"] != DEFAULT,
        undo=undo,
        in_place=in_place,
    )
    for warning in merged.warnings:
        log.warning("%s", warning)
    return _apply.apply_masks(
        merged.settings.without_masks(),
        _entries(to) or (),
        bit=str(native(bit)),
        undo=undo,
        in_place=in_place,
        dry_run=dry_run,
        progress=progress,
    )


@contextmanager
def astrodrizzle(masks: Input) -> Iterator[None]:
    """Let AstroDrizzle use masks in the place of its own static-mask step.

    Within the context, AstroDrizzle computes no static masks: it uses the smallest mask
    of each chip that covers it. Neither the masks nor the exposures are changed for that,
    and the log (of ``staticmask_cli``, level INFO) names the mask of each chip. All other
    steps are AstroDrizzle's.

    Parameters
    ----------
    masks : str, path, or iterable of these
        Masks, patterns, or folders of masks.

    Raises
    ------
    StaticMaskError
        If DrizzlePac is not installed, or is of a version in which the step has moved.
    InputError
        If masks cannot be read. AstroDrizzle raises it before its first step if a chip
        has no mask.

    Examples
    --------
    >>> from drizzlepac.astrodrizzle import AstroDrizzle  # doctest: +SKIP
    >>> with astrodrizzle("masks"):  # doctest: +SKIP
    ...     AstroDrizzle("*flt.fits", output="field")
    """
    entries = _entries(masks) or []
    # The exposures are AstroDrizzle's: it decides which to use.
    given = {"input": entries, "any_product": True, "include_empty": True}
    settings = merge(flags=_flags(given)).settings
    with replaced_step(entries, settings):
        yield


def export(
    input: Input,  # noqa: A002 - the configuration's name
    format: str,  # noqa: A002 - the option's name
    *,
    output_dir: str | os.PathLike[str],
    config: Name | None = None,
    overwrite: bool | None = None,
    jobs: int | None = None,
    lock_timeout: float | None = None,
) -> tuple[Export, ...]:
    """Write masks in the forms that other programs read.

    Parameters
    ----------
    input : str, path, or iterable of these
        Masks, also DrizzlePac's, or folders of them.
    format : str
        ``"bad"``: a FITS image, 1 for bad pixels. ``"csv"``: x and y of each bad pixel,
        from 1, with count and coverage if the mask has counts. ``"reg"``: DS9 regions.
        ``"bpixtab"``: a bad-pixel table for calacs, calwf3 or calstis; two chips of a
        detector become one table.
    output_dir : str or path
        Folder for the files, created if missing.
    overwrite : bool, optional
        Replace existing files.
    config, jobs, lock_timeout
        As for `create_masks`.

    Returns
    -------
    tuple of Export
        The files.

    Raises
    ------
    ConfigError, InputError, OutputError
        As for `create_masks`; also if a mask cannot have this form or a file exists.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = create_masks("tests/data/o4k19a010_flt.fits", output_dir=folder)
    ...     (regions,) = export(folder, "reg", output_dir=folder)
    ...     Path(regions.path).name, regions.bad
    ('STISCCD_256x256_1_bad.reg', 38)
    """
    try:
        form = ExportFormat(format)
    except ValueError:
        names = ", ".join(ExportFormat)
        raise ConfigError(f"format: {format!r} is none of {names}") from None
    return _export.export(_settings(locals()), form)


def import_mask(
    input: Input,  # noqa: A002 - the configuration's name
    *,
    like: Name,
    output_dir: str | os.PathLike[str],
    config: Name | None = None,
    overwrite: bool | None = None,
    lock_timeout: float | None = None,
) -> MaskReport:
    """Make a mask from tables of pixels and DS9 regions; no exposure is read.

    No exposures can be added to such a mask; `edit` joins it to others.

    Parameters
    ----------
    input : str, path, or iterable of these
        Tables (``.csv``): x,y in a line, from 1, where ranges such as 10:20 and ``*`` are
        allowed. Regions (``.reg``): boxes and points in image or physical coordinates.
    like : str or path
        The mask whose chip and name the new one has.
    output_dir, overwrite
        As for `export`.
    config, lock_timeout
        As for `create_masks`.

    Returns
    -------
    MaskReport
        The mask.

    Raises
    ------
    ConfigError, InputError, OutputError
        As for `create_masks`; also if a table cannot be understood or the mask exists.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     (mask,) = create_masks("tests/data/o4k19a010_flt.fits", output_dir=folder).masks
    ...     table = Path(folder, "mine.csv")
    ...     _ = table.write_text("17,*")
    ...     mine = import_mask(table, like=mask.path, output_dir=Path(folder, "mine"))
    >>> mine.bad
    256
    """
    return _import_mask.import_mask(_settings(locals()), _name(like, "like"))


def edit(
    input: Name,  # noqa: A002 - the configuration's name
    *,
    output_dir: str | os.PathLike[str],
    or_: Input | None = None,
    and_: Input | None = None,
    fill_gaps: int | None = None,
    fill_columns: float | None = None,
    grow: int | None = None,
    config: Name | None = None,
    overwrite: bool | None = None,
    lock_timeout: float | None = None,
) -> MaskReport:
    """Change a mask of one chip into another one; no exposure is read.

    The changes are made in the order of the parameters and recorded in the mask. No
    exposures can be added to it, and it cannot be recounted.

    Parameters
    ----------
    input : str or path
        The mask.
    output_dir
        As for `export`; the edited mask has the name of `input`.
    or_, and_ : str, path, or iterable of these, optional
        Masks of the same chip, also imported ones and DrizzlePac's. Pixels that are bad in
        one of `or_` become bad; then pixels that are good in one of `and_` become good.
    fill_gaps : int, optional
        Fill gaps of up to this many good pixels between bad pixels of a column.
    fill_columns : float, optional
        Fill columns that are bad in more than this share of their rows, from 0 to less
        than 1.
    grow : int, optional
        Grow bad pixels by this many pixels to every side, also diagonally.
    overwrite
        As for `export`.
    config, lock_timeout
        As for `create_masks`.

    Returns
    -------
    MaskReport
        The edited mask; the changes are ``mask.mask.edits``.

    Raises
    ------
    ConfigError, InputError, OutputError
        As for `create_masks`; also if no change is given, a mask is of another chip, or
        the edited mask exists.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     (mask,) = create_masks("tests/data/o4k19a010_flt.fits", output_dir=folder).masks
    ...     larger = edit(mask.path, output_dir=Path(folder, "larger"), grow=1)
    >>> print(larger.mask.edits[0])
    grow 1: +290 -0 bad pixels
    """
    changes = _edit.Changes(
        or_=_entries(or_) or (),
        and_=_entries(and_) or (),
        fill_gaps=native(fill_gaps),
        fill_columns=native(fill_columns),
        grow=native(grow),
    )
    return _edit.edit(_settings(locals()), changes)


def _settings(arguments: Mapping[str, Any]) -> Settings:
    """Return the settings of a function other than `create_masks`, from its arguments."""
    merged = _merged(arguments)
    for warning in merged.warnings:
        log.warning("%s", warning)
    return merged.settings.without_masks()


def _merged(arguments: Mapping[str, Any]) -> Configuration:
    """Merge the arguments of a function that are configuration keys with its ``config``."""
    given = {name: arguments.get(name) for name in keys()}
    given["input"] = _entries(given["input"])
    given["final_bits"] = _bits(given["final_bits"])
    config = arguments["config"]
    file = None if config is None else _name(config, "config")
    return merge(config_file=file, flags=_flags(given))


def _flags(given: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    return {name: (value, ARGUMENT) for name, value in given.items() if value is not None}


def _check_callables(
    executor: Executor | None, progress: Progress | None, scheduler: str | None = None
) -> None:
    if executor is not None and not isinstance(executor, Executor):
        raise ConfigError(f"executor: {executor!r} is not a concurrent.futures.Executor")
    if executor is not None and scheduler is not None:
        raise ConfigError("executor and scheduler are both given; give one of them")
    if progress is not None and not callable(progress):
        raise ConfigError(f"progress: {progress!r} is not callable")


def _run_record(merged: Configuration) -> RunRecord:
    """Return the record of a run, with the warnings of its configuration."""
    run_record = RunRecord()
    for warning in (*merged.warnings, *merged.of_a_run):
        run_record.warn(warning)
    return run_record


def createMask(  # noqa: N802 - DrizzlePac's name
    input: Input | None = None,  # noqa: A002 - DrizzlePac's name
    static_sig: float = _DRIZZLEPAC_SIG,
    group: str | int | None = None,
    editpars: bool = False,
    configObj: Name | Mapping[str, Any] | None = None,  # noqa: N803 - same
    **inputDict: Any,  # noqa: N803 - same
) -> Report | None:
    """Make masks, called as ``drizzlepac.staticMask.createMask`` is documented.

    Parameters
    ----------
    input : str, path, or iterable of these
        As for `create_masks`; if None, `configObj` must name the exposures.
    static_sig : float
        As for `create_masks`; the default is that of `configObj`.
    group : str or int, optional
        As for `create_masks`.
    editpars : bool
        Open the configuration in ``$EDITOR`` first.
    configObj : str, path, mapping or ConfigObj, optional
        A configuration file's name, ``"defaults"``, or its contents.
    **inputDict
        Further keys of the configuration, such as ``final_bits``.

    Returns
    -------
    Report or None
        As for `create_masks`; None if the editor was left without saving.

    Raises
    ------
    ConfigError
        Also if neither `input` nor `configObj` names exposures; it is a
        ValueError, as DrizzlePac's is.
    InputError, OutputError
        As for `create_masks`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     report = createMask(
    ...         "tests/data/o4k19a010_flt.fits", static_sig=5.0, output_dir=folder
    ...     )
    >>> report.masks[0].bad
    28
    """
    given = dict(inputDict)
    for name in ("updatewcs", "_task_name_"):  # DrizzlePac's scripts may pass them on
        given.pop(name, None)
    given |= {"input": _entries(input), "group": group}
    if static_sig is not _DRIZZLEPAC_SIG or configObj is None:
        given["static_sig"] = static_sig
    given["final_bits"] = _bits(given.get("final_bits"))
    if unknown := [name for name in given if name not in keys()]:
        raise ConfigError(*(f"'{n}' is not a key of createMask{suggestion(n)}" for n in unknown))
    file, mapping = _source(configObj)
    if input is None and not _names_input(file, mapping):
        raise ConfigError("createMask: please supply an input image")
    merged = merge(config_file=file, mapping=mapping, flags=_flags(given))
    if editpars:
        from staticmask_cli.config.editor import edit  # noqa: PLC0415 - needs click, others do not

        edited = edit(merged.layer)
        if edited is None:
            return None
        merged = edited
    return make_masks(merged.settings, run_record=_run_record(merged))


def _source(config: Name | Mapping[str, Any] | None) -> tuple[str | None, Mapping[str, Any] | None]:
    if config is None or isinstance(config, Mapping):
        return None, config
    name = _name(config, "configObj")
    return None if name in ("", "defaults") else name, None


def _names_input(file: str | None, mapping: Mapping[str, Any] | None) -> bool:
    if file is not None:
        mapping = parse(Path(os.path.expanduser(file)), file)  # noqa: PTH111
    if mapping is None:
        return False
    entries, _ = read_mapping(mapping, "configObj").layer.get("input", (None, ""))
    return is_given(entries)


def _entries(entries: Input | None) -> list[str] | None:
    if entries is None:
        return None
    found = native(entries)
    # An open file is iterable, too, but its lines are not names.
    is_one = isinstance(found, str) or not isinstance(found, Iterable) or hasattr(found, "read")
    return [_name(entry, "input") for entry in ([found] if is_one else found)]


def _name(value: Any, argument: str) -> str:
    """Return the name of a file as text.

    Raises
    ------
    ConfigError
        If it is not a file name.
    """
    name = native(value)
    if isinstance(name, str):
        return name
    hint = "; give its name" if hasattr(value, "read") else ""
    kind = type(value).__name__
    raise ConfigError(f"{argument}: {kind} is not the name of a file{hint}")


def _bits(bits: Any) -> Any:
    """Return final_bits as text; a negative number is the complement of a sum of bits."""
    bits = native(bits)
    if isinstance(bits, Iterable) and not isinstance(bits, str):
        return ",".join(map(str, map(native, bits)))
    return f"~{~bits}" if isinstance(bits, int) and bits < 0 else bits
