"""The library: the same runs as the command's, from Python."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from staticmask_cli.config.checks import is_given, native
from staticmask_cli.config.merging import (
    ARGUMENT,
    Configuration,
    merge,
    parse,
    read_mapping,
    suggestion,
)
from staticmask_cli.config.spec import keys
from staticmask_cli.errors import ConfigError
from staticmask_cli.masking.exposure_loop import Progress
from staticmask_cli.masking.make import make_masks
from staticmask_cli.reports.report import Report, RunRecord
from staticmask_cli.settings import Settings

log = logging.getLogger(__name__)

Name = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Input = Name | Iterable[Name]

# A float that no caller can hand in: tells createMask's own default from the
# same number given on purpose, which must win over a configuration's.
_DRIZZLEPAC_SIG = float("4.0")


def create_masks(
    input: Input | None = None,  # noqa: A002 - the configuration's name
    *,
    config: Name | None = None,
    group: str | int | None = None,
    static: bool | None = None,
    static_sig: float | None = None,
    final_bits: str | int | Iterable[int] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    prefix: str | None = None,
    jobs: int | None = None,
    include_empty: bool | None = None,
    allow_duplicates: bool | None = None,
    keep_going: bool | None = None,
    any_product: bool | None = None,
    update: bool | None = None,
    overwrite: bool | None = None,
    verify: bool | None = None,
    lock_timeout: float | None = None,
    min_exposures: float | None = None,
    counts: bool | None = None,
    report: str | os.PathLike[str] | None = None,
    preview: str | os.PathLike[str] | None = None,
    strict: bool | None = None,
    max_low_excess: float | None = None,
    max_mode_offset: float | None = None,
    max_rms_ratio: float | None = None,
    max_clustered: float | None = None,
    max_single_exposure: float | None = None,
    max_threshold_depth: float | None = None,
    max_bad: float | None = None,
    dry_run: bool = False,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Report:
    """Make one static bad-pixel mask for every detector chip in the exposures.

    Arguments that are None are taken from `config`, then from the packaged
    defaults. The environment is not looked at.

    Parameters
    ----------
    input : str, path, or iterable of these, optional
        Names, patterns, comma lists, @lists and association tables.
    config : str or path, optional
        A configuration file, also an ``astrodrizzle.cfg``.
    group : str or int, optional
        Extensions to use: ``"sci,1"``, or HDU numbers.
    static : bool, optional
        False makes no mask.
    static_sig : float, optional
        A pixel is bad if it lies more than this many rms below the mode.
    final_bits : str, int or iterable of int, optional
        DQ bits that count as good; pixels with others are bad. ``"None"``
        overrules a `config` that has some.
    output_dir : str or path, optional
        Folder for the masks; made if absent.
    prefix : str, optional
        Begins the masks' names in place of instrument and detector.
    jobs : int, optional
        Chips measured at the same time; 0 for as many as there are cores.
    include_empty : bool, optional
        Use exposures without exposure time or good pixels too.
    allow_duplicates : bool, optional
        Count each of several exposures with the same pixels.
    keep_going : bool, optional
        Leave out exposures that cannot be used; ``report.failed`` tells of them.
    any_product : bool, optional
        Use files too that are not calibrated Hubble exposures, as far as they can
        be measured.
    update : bool, optional
        Add the exposures to the masks on disk.
    overwrite : bool, optional
        Replace files that have a mask's name and are not static masks.
    verify : bool, optional
        With `update`: compare the pixels of exposures that the masks hold already.
    lock_timeout : float, optional
        Seconds to wait for another run that is writing into the same folder.
    min_exposures : float, optional
        In how many of the exposures that saw it a pixel must be bad; below 1,
        in what share of them.
    counts : bool, optional
        Keep how often each pixel was bad, and was seen, in the masks.
    report, preview : str or path, optional
        File and folder for pictures of the masks; they need matplotlib.
    strict : bool, optional
        Log failed quality checks as errors, not as warnings. The masks are written
        and nothing is raised; see ``report.failed_checks``.
    max_low_excess, max_mode_offset, max_rms_ratio : float, optional
    max_clustered, max_single_exposure, max_threshold_depth, max_bad : float, optional
        The limits of the quality checks.
    dry_run : bool
        Find out which masks would be made; measure and write nothing.
    executor : concurrent.futures.Executor, optional
        Does the measuring in place of threads.
    progress : callable, optional
        Called after each exposure with how many are done, and of how many.

    Returns
    -------
    Report
        Masks (``report.masks[0].read()`` reads one) with the statistics of
        every chip, and warnings.

    Raises
    ------
    ConfigError
        If an argument or the configuration is wrong.
    InputError
        If an exposure is, or with `keep_going` all are; nothing was written.
    OutputError
        If a mask cannot be written, or exposures cannot be added to it.
    """
    merged = _merged(
        input,
        config=config,
        group=group,
        static=static,
        static_sig=static_sig,
        final_bits=final_bits,
        output_dir=output_dir,
        prefix=prefix,
        jobs=jobs,
        include_empty=include_empty,
        allow_duplicates=allow_duplicates,
        keep_going=keep_going,
        any_product=any_product,
        update=update,
        overwrite=overwrite,
        verify=verify,
        lock_timeout=lock_timeout,
        min_exposures=min_exposures,
        counts=counts,
        report=report,
        preview=preview,
        strict=strict,
        max_low_excess=max_low_excess,
        max_mode_offset=max_mode_offset,
        max_rms_ratio=max_rms_ratio,
        max_clustered=max_clustered,
        max_single_exposure=max_single_exposure,
        max_threshold_depth=max_threshold_depth,
        max_bad=max_bad,
    )
    if executor is not None and not isinstance(executor, Executor):
        raise ConfigError(f"executor: {executor!r} is not a concurrent.futures.Executor")
    if progress is not None and not callable(progress):
        raise ConfigError(f"progress: {progress!r} cannot be called")
    return make_masks(
        merged.settings,
        dry_run=dry_run,
        executor=executor,
        progress=progress,
        run_record=_journal(merged),
    )


def settings_of(
    input: Input | None,  # noqa: A002 - the configuration's name
    *,
    config: Name | None = None,
    **options: Any,
) -> Settings:
    """Return the settings that arguments make, as `create_masks` takes them.

    Raises
    ------
    ConfigError
        If an argument or the configuration is wrong, or there is no such argument.
    """
    merged = _merged(input, config=config, **options)
    for warning in merged.warnings:
        log.warning("%s", warning)
    return merged.settings


def _merged(
    input: Input | None,  # noqa: A002 - the configuration's name
    *,
    config: Name | None = None,
    **options: Any,
) -> Configuration:
    given = options | {"input": _entries(input), "final_bits": _bits(options.get("final_bits"))}
    _check_known(given, "argument")
    flags = {name: (value, ARGUMENT) for name, value in given.items() if value is not None}
    return merge(config_file=None if config is None else as_name(config, "config"), flags=flags)


def _journal(merged: Configuration) -> RunRecord:
    """Return a run's run_record, with the warnings of its configuration."""
    run_record = RunRecord()
    for warning in (*merged.warnings, *merged.of_a_run):
        run_record.warn(warning)
    return run_record


def _check_known(given: Iterable[str], kind: str) -> None:
    unknown = [name for name in given if name not in keys()]
    if unknown:
        raise ConfigError(*(f"'{n}' is no {kind}{suggestion(n)}" for n in unknown))


def createMask(  # noqa: N802 - DrizzlePac's name
    input: Input | None = None,  # noqa: A002 - DrizzlePac's name
    static_sig: float = _DRIZZLEPAC_SIG,
    group: str | int | None = None,
    editpars: bool = False,
    configObj: Name | Mapping[str, Any] | None = None,  # noqa: N803 - same
    **inputDict: Any,  # noqa: N803 - same
) -> Report | None:
    """Do what ``drizzlepac.staticMask.createMask`` documents.

    Parameters
    ----------
    input : str, path, or iterable of these
        As for `create_masks`; if None, `configObj` must name the exposures.
    static_sig : float
        As for `create_masks`; if it is not given, `configObj`'s counts.
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
        As `create_masks`; None if the editor was left without saving.

    Raises
    ------
    ConfigError
        Also if neither `input` nor `configObj` names exposures; it is a
        ValueError, as DrizzlePac's is.
    InputError, OutputError
        As `create_masks`.
    """
    given = dict(inputDict)
    for name in ("updatewcs", "_task_name_"):  # DrizzlePac's scripts may pass them on
        given.pop(name, None)
    given |= {"input": _entries(input), "group": group}
    if static_sig is not _DRIZZLEPAC_SIG or configObj is None:
        given["static_sig"] = static_sig
    given["final_bits"] = _bits(given.get("final_bits"))
    _check_known(given, "key of createMask's")
    file, mapping = _source(configObj)
    if input is None and not _names_input(file, mapping):
        raise ConfigError("createMask: please supply an input image")
    flags = {name: (value, ARGUMENT) for name, value in given.items() if value is not None}
    merged = merge(config_file=file, mapping=mapping, flags=flags)
    if editpars:
        from staticmask_cli.config.editor import edit  # noqa: PLC0415 - needs click, others do not

        edited = edit(merged.layer)
        if edited is None:
            return None
        merged = edited
    return make_masks(merged.settings, run_record=_journal(merged))


def _source(config: Name | Mapping[str, Any] | None) -> tuple[str | None, Mapping[str, Any] | None]:
    if config is None or isinstance(config, Mapping):
        return None, config
    name = as_name(config, "configObj")
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
    # An open file is iterable, too: its lines are no names.
    is_one = isinstance(found, str) or not isinstance(found, Iterable) or hasattr(found, "read")
    return [as_name(entry, "input") for entry in ([found] if is_one else found)]


def as_name(value: Any, argument: str) -> str:
    """Return the name of a file as text.

    Raises
    ------
    ConfigError
        If it is something else.
    """
    name = native(value)
    if isinstance(name, str):
        return name
    hint = "; give its name" if hasattr(value, "read") else ""
    kind = type(value).__name__
    raise ConfigError(f"{argument}: {kind} is not the name of a file{hint}")


def _bits(bits: Any) -> Any:
    """Return final_bits as text: a negative number has all bits but those that it lacks."""
    bits = native(bits)
    if isinstance(bits, Iterable) and not isinstance(bits, str):
        return ",".join(map(str, map(native, bits)))
    return f"~{~bits}" if isinstance(bits, int) and bits < 0 else bits
