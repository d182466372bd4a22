"""Setting the bad pixels of masks as a DQ bit of exposures, and taking them back."""

from __future__ import annotations

import logging
import os
import stat
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from staticmask_cli.errors import InputError, OutputError
from staticmask_cli.exposures.chips import Chip, open_exposure
from staticmask_cli.exposures.dq_bits import BADPIX, other_meaning, single_bit
from staticmask_cli.exposures.fits_files import read_association
from staticmask_cli.exposures.fits_parts import FitsFile, fits_file
from staticmask_cli.exposures.flagging import (
    ChipFlags,
    differ_in_flags_only,
    flagged,
    is_flagged,
    unflagged,
)
from staticmask_cli.exposures.inputs import resolve
from staticmask_cli.exposures.products import flags_twin
from staticmask_cli.exposures.urls import Url
from staticmask_cli.files.atomic import (
    Sink,
    State,
    created_folder,
    folder_problems,
    put_in_place,
    staged,
    state_of,
)
from staticmask_cli.files.locks import locked
from staticmask_cli.files.signals import signals_deferred
from staticmask_cli.masking.engines import jobs_of
from staticmask_cli.masking.exposure_loop import Progress, log_skipped
from staticmask_cli.masks.matching import MaskSet
from staticmask_cli.masks.records import file_text
from staticmask_cli.reports.report import ExposureReport, ExposureState, RunRecord
from staticmask_cli.settings import Settings

log = logging.getLogger(__name__)

#: Headings of `FlaggedChip.cells`.
HEADING = ("exposure", "chip", "mask", "bad", "flagged", "new")
#: The same with --undo.
UNDO_HEADING = ("exposure", "DQ array", "mask", "taken back")

# Exposures written together, for each core: none waits for the disk alone.
_BATCH = 2
# Bytes of a file name, to which those of its temporary name are added.
_LONGEST_NAME = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class FlaggedChip:
    """The flags that `apply` set, or took back, in the DQ array of one chip.

    Attributes
    ----------
    path : str
        The file with the DQ array that was written, or would be in a dry run.
    chip : str
        The chip; after ``undo``, the DQ array.
    mask : str
        Name of the mask.
    bit : int or None
        The DQ bit; None after ``undo``.
    bad : int or None
        Bad pixels of the mask in the chip; None after ``undo``.
    flagged : int or None
        Those that some bit flagged before; None after ``undo``.
    new : int
        Those in which the bit was newly set; after ``undo``, taken back.
    """

    path: str
    chip: str
    mask: str
    new: int
    bit: int | None = None
    bad: int | None = None
    flagged: int | None = None

    def cells(self) -> tuple[str, ...]:
        """Return the cells of a table."""
        counts = (self.bad, self.flagged, self.new)
        return self.path, self.chip, self.mask, *(str(n) for n in counts if n is not None)

    def document(self) -> dict[str, Any]:
        """Return it in JSON types."""
        names = ("path", "chip", "mask", "bit", "bad", "flagged", "new")
        return {name: getattr(self, name) for name in names}


class _Copy(NamedTuple):
    """A file to be written: its contents, and its source as it was when it was checked."""

    target: Path
    before: State
    source: State
    file: FitsFile
    is_written: bool


class _Plan(NamedTuple):
    """One exposure that was checked: the files to be written, and what to report."""

    path: Path
    copies: tuple[_Copy, ...]
    chips: tuple[FlaggedChip, ...]


class _Output(NamedTuple):
    """Where files are written, and what they must not replace.

    Attributes
    ----------
    folder : Path or None
        The folder for copies; None to change the exposures.
    overwrite : bool
        As in `Settings`.
    inputs : set of str
        The exposures and their DQ files, without links.
    run_record : RunRecord
        Receives warnings.
    """

    folder: Path | None
    overwrite: bool
    inputs: set[str]
    run_record: RunRecord


class _UnmatchedError(InputError):
    """Chips of an exposure cannot be flagged: the first place of each reason."""

    def __init__(self, places: Mapping[str, str]) -> None:
        super().__init__(*(f"{place}: {reason}" for reason, place in places.items()))
        self.places = places


def apply_masks(
    settings: Settings,
    exposures: Iterable[str],
    *,
    bit: str = BADPIX,
    undo: bool = False,
    in_place: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
    run_record: RunRecord | None = None,
) -> tuple[FlaggedChip, ...]:
    """Set the bad pixels of masks as a bit in the DQ arrays of exposures.

    Parameters
    ----------
    settings : Settings
        ``input`` is masks, or folders of masks; it is ignored with `undo`.
    exposures : iterable of str
        Exposures, in every form that `make_masks` takes.
    bit : str
        Name or number of the bit.
    undo : bool
        Whether to take the bits back that an earlier run set.
    in_place : bool
        Whether to change the exposures instead of writing copies to
        ``settings.output_dir``.
    dry_run : bool
        Whether to check everything and write nothing.
    progress : callable, optional
        Called after each exposure is checked.
    run_record : RunRecord, optional
        Receives a report of every exposure.

    Returns
    -------
    tuple of FlaggedChip

    Raises
    ------
    InputError
        If masks or exposures cannot be used; lists all problems. Nothing was written.
    OutputError
        If a file cannot be written; those before it were.
    """
    run_record = RunRecord() if run_record is None else run_record
    run_record.dry_run = dry_run
    masks = None if undo else MaskSet(settings.input)
    found, unresolved = resolve(exposures, read_association)
    paths = [path for path in found if isinstance(path, Path)]
    remote = [f"{path}: is at a URL; download it" for path in found if isinstance(path, Url)]
    problems = [*unresolved, *remote]
    folder = None if in_place else Path(settings.output_dir)
    closed = folder_problems(folder) if folder else []
    if closed:
        raise OutputError(*closed)
    if folder:
        names = Counter(path.name.removesuffix(".gz") for path in paths)
        several = "several exposures have this name; write their copies to several folders"
        same = [f"{p}: {several}" for p in paths if names[p.name.removesuffix(".gz")] > 1]
        if same:
            raise InputError(*problems, *same)

    output = _Output(folder, settings.overwrite, _real_paths(paths), run_record)

    def plan(path: Path) -> _Plan:
        if masks is None:
            return _plan_undo(path, output)
        return _plan(path, masks, bit, output, settings)

    plans, unusable = _checked(paths, plan, run_record, progress)
    problems += unusable
    if problems and not (settings.keep_going and plans):
        raise InputError(*problems)
    if not dry_run:
        _write(plans, folder, settings, run_record)
    log_skipped(problems)
    return tuple(chip for one in plans for chip in one.chips)


# Checking.


def _real_paths(paths: Iterable[Path]) -> set[str]:
    """Return the paths of exposures and of their DQ files, without links."""
    twins = (twin for path in paths if (twin := flags_twin(path)) is not None)
    return {os.path.realpath(path) for path in (*paths, *twins)}


def _checked(
    paths: Sequence[Path],
    plan: Callable[[Path], _Plan],
    run_record: RunRecord,
    progress: Progress | None,
) -> tuple[list[_Plan], list[str]]:
    """Return the plans of exposures, and one line for each problem of the others."""
    plans: list[_Plan] = []
    problems: list[str] = []
    unmatched: dict[str, list[str]] = {}
    for number, path in enumerate(paths, 1):
        state = ExposureState.READ
        reasons: tuple[str, ...] = ()
        try:
            plans.append(plan(path))
        except _UnmatchedError as error:
            state, reasons = ExposureState.FAILED, error.problems
            for reason, place in error.places.items():
                unmatched.setdefault(reason, []).append(place)
        except InputError as error:
            state, reasons = ExposureState.FAILED, error.problems
            problems += error.problems
        run_record.exposures.append(ExposureReport(path=str(path), state=state, reasons=reasons))
        if progress:
            progress(number, len(paths))
    for reason, (place, *others) in unmatched.items():
        more = f" (and {len(others)} more)" if others else ""
        problems.append(f"{place}: {reason}{more}")
    return plans, problems


def _plan(
    path: Path,
    masks: MaskSet,
    bit: str,
    output: _Output,
    settings: Settings,
) -> _Plan:
    """Check an exposure that is to be flagged."""
    run_record = output.run_record
    source = _dq_path(path)
    state = _state(source)
    exposure = open_exposure(path, replace(settings, final_bits=None), any_flags=True)
    for note in exposure.notes:
        run_record.warn(f"{path}: {note}", kind=note)
    places: dict[str, str] = {}
    matched = []
    for chip in exposure.chips:
        try:
            matched.append((chip, _flags_of(chip, masks, bit)))
        except ValueError as error:
            places.setdefault(str(error), f"{path}: {chip.name}")
    if places:
        raise _UnmatchedError(places)
    for chip, flags in matched:
        if name := other_meaning(flags.bit, chip.identity.instrument):
            meaning = f"bit {flags.bit} means {name} for {chip.identity.instrument}"
            run_record.warn(f"{path}: {meaning}", kind=meaning)
    # A file that was flagged before gets the flags of these masks instead.
    original, earlier = unflagged(fits_file(source))
    names = [flags.array.name for _, flags in matched]
    for name in (name for name, *_ in earlier if name not in names):
        dropped = f"the flags that an earlier run set in {name} are taken back"
        run_record.warn(f"{source}: {dropped}", kind=dropped)
    file, counts = flagged(original, [flags for _, flags in matched])
    for (_, flags), count in zip(matched, counts, strict=True):
        if count.expanded:
            name = f"{source}: {flags.array.name}"
            log.info("%s: is %s and becomes a plain image", name, count.expanded)
    copies = _copies(path, source, state, file, output)
    target = _named(source, copies, output.folder)
    chips = tuple(
        FlaggedChip(
            path=target,
            chip=chip.name,
            mask=flags.mask,
            bit=flags.bit,
            bad=count.bad,
            flagged=count.flagged,
            new=count.new,
        )
        for (chip, flags), count in zip(matched, counts, strict=True)
    )
    return _Plan(path, copies, chips)


def _flags_of(chip: Chip, masks: MaskSet, bit: str) -> ChipFlags:
    """Return what to set in the DQ array of a chip; ValueError if impossible."""
    mask = masks.of(chip.identity)
    number = single_bit(bit, chip.identity.instrument)
    if chip.flags is None:
        where = " in its DQ file (_c1m)" if chip.identity.instrument == "WFPC2" else ""
        raise ValueError(f"has no DQ array of integers and of its shape{where}")
    name = str(number) if bit.isdecimal() else f"{bit.upper()} ({number})"
    bad = np.flatnonzero(mask.bad)
    file = file_text(mask.path.name)
    return ChipFlags(chip.flags, bad, number, name, file, mask.datasum)


def _plan_undo(path: Path, output: _Output) -> _Plan:
    """Check an exposure whose flags are to be taken back."""
    source = _dq_path(path)
    state = _state(source)
    file, counts = unflagged(fits_file(source))
    if not counts:
        nothing = "has no flags of 'staticmask apply'"
        output.run_record.warn(f"{source}: {nothing}", kind=nothing)
    copies = _copies(path, source, state, file, output)
    target = _named(source, copies, output.folder)
    chips = tuple(FlaggedChip(path=target, chip=c, mask=m, new=n) for c, m, n in counts)
    return _Plan(path, copies, chips)


def _named(source: Path, copies: Sequence[_Copy], folder: Path | None) -> str:
    """Return the name of the file with DQ arrays that is written; not of what a link leads to."""
    return str(source if folder is None else copies[-1].target)


def _state(path: Path) -> State:
    """Return the state of a file, not of a link to it."""
    return state_of(Path(os.path.realpath(path)))


def _dq_path(path: Path) -> Path:
    """Return the file with the DQ arrays: the exposure, or the DQ file of WFPC2."""
    twin = flags_twin(path)
    if twin is None or any(part.text("EXTNAME") == "DQ" for part in fits_file(path).parts):
        return path
    if not twin.exists():
        raise InputError(f"{path}: DQ file {twin.name} not found; put it into the same folder")
    return twin


def _copies(
    path: Path,
    source: Path,
    state: State,
    file: FitsFile,
    output: _Output,
) -> tuple[_Copy, ...]:
    """Return the files to be written for an exposure; the one with DQ arrays is last."""
    folder = output.folder
    if folder is None:
        real = Path(os.path.realpath(source))
        if file.gzipped:
            raise InputError(f"{source}: is gzipped; unpack it, or write a copy of it")
        if not os.access(real, os.W_OK) or not real.stat().st_mode & stat.S_IWUSR:
            raise InputError(f"{source}: is read-only; write a copy of it")
        if closed := folder_problems(real.parent):
            raise InputError(*closed)
        return (_Copy(real, state, state, file, file.is_same_as(fits_file(source))),)
    files = [(source, state, file)]
    if source != path:
        files.insert(0, (path, _state(path), fits_file(path)))
    copies = []
    for original, read, contents in files:
        name = original.name.removesuffix(".gz") if contents.gzipped else original.name
        if contents.gzipped:
            plain = "is gzipped; its copy is not"
            output.run_record.warn(f"{original}: {plain}", kind=plain)
        target = folder / name
        if len(os.fsencode(name)) > _LONGEST_NAME:
            raise InputError(f"{target}: the name is too long; give the exposure a shorter one")
        before = state_of(target)
        found = None if before is None else _existing(target, original, output.inputs)
        is_written = found is not None and contents.is_same_as(found)
        is_kept = before is not None and not is_written and not output.overwrite
        if is_kept and not (found and _is_flagged_copy(found, original)):
            raise InputError(
                f"{target}: exists and is not an unchanged flagged copy of {original}; "
                "choose another folder, or use --overwrite to replace it"
            )
        copies.append(_Copy(target, before, read, contents, is_written))
    return tuple(copies)


def _is_flagged_copy(file: FitsFile, original: Path) -> bool:
    """Return whether a file is a copy with flags, which a backup has not."""
    return is_flagged(file) and differ_in_flags_only(file, fits_file(original))


def _existing(target: Path, original: Path, inputs: Container[str]) -> FitsFile | None:
    """Return the FITS file in the place of a copy; None if it is a file of another kind.

    Raises
    ------
    InputError
        If it cannot be replaced.
    """
    real = os.path.realpath(target)
    if real in inputs:
        which = "it" if real == os.path.realpath(original) else f"the exposure {target}"
        raise InputError(f"{original}: its copy would replace {which}; choose another folder")
    if target.is_symlink() or not target.is_file():
        raise InputError(f"{target}: exists and is not a file; choose another folder")
    try:
        return fits_file(target)
    except InputError:
        return None


# Writing.


def _write(
    plans: Sequence[_Plan], folder: Path | None, settings: Settings, run_record: RunRecord
) -> None:
    """Write the files, a batch of exposures at a time; OutputError after those before it."""
    targets = [copy.target for plan in plans for copy in plan.copies]
    folders = sorted({target.parent for target in targets}) if folder is None else [folder]
    with ExitStack() as stack:
        for place in folders:
            stack.enter_context(created_folder(place))
            stack.enter_context(locked(place, settings.lock_timeout))
        jobs = jobs_of(settings)
        size = _BATCH * jobs
        for start in range(0, len(plans), size):
            done = [chip.document() for plan in plans[:start] for chip in plan.chips]
            run_record.answer = done  # valid also if the run fails
            try:
                _write_batch(plans[start : start + size], jobs, in_place=folder is None)
            except (InputError, OutputError) as error:
                last = f"the last one is {plans[start - 1].path}"
                some = f"{start} of {len(plans)} exposures are done, {last}; run again"
                raise OutputError(*error.problems, *([some] if start else [])) from None


def _write_batch(plans: Sequence[_Plan], jobs: int, *, in_place: bool) -> None:
    changed = [copy for plan in plans for copy in plan.copies if not copy.is_written]
    files = {copy.target: partial(_write_file, copy, in_place=in_place) for copy in changed}
    with staged(files, jobs) as parts, signals_deferred():
        _, problems = put_in_place(parts, {copy.target: copy.before for copy in changed})
    if problems:
        raise OutputError(*problems)


def _write_file(copy: _Copy, sink: Sink, *, in_place: bool) -> None:
    source = copy.file.path
    if in_place:
        Path(sink.name).chmod(stat.S_IMODE(source.stat().st_mode))
    copy.file.write(sink)
    if _state(source) != copy.source:
        raise OutputError(f"{source}: changed while it was read; run again")


def advice(chips: Iterable[FlaggedChip]) -> list[str]:
    """Return the settings of AstroDrizzle under which the bits count, in lines."""
    bits = " or ".join(str(bit) for bit in sorted({c.bit for c in chips if c.bit is not None}))
    if not bits:
        return []
    return [
        "AstroDrizzle counts these pixels as bad with static=False, driz_sep_bits and",
        f"final_bits without {bits}, and sky_bits without {bits} and not None.",
        "Do not let it restore older exposures from OrIg_files.",
    ]
