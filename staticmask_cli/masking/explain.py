"""Why a pixel is bad: its value and result in every exposure. Nothing is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.chips import Chip
from staticmask_cli.exposures.instruments import ChipIdentity, flag_names
from staticmask_cli.exposures.pixels import chip_arrays
from staticmask_cli.masking.exposure_loop import Progress, read_exposures
from staticmask_cli.masking.measure import pixel_hash, record_of
from staticmask_cli.masks.naming import mask_names
from staticmask_cli.masks.records import ChipRecord
from staticmask_cli.reports.report import RunRecord
from staticmask_cli.settings import Settings
from staticmask_cli.statistics.bad_pixels import BadPixels, Criteria, find_bad_pixels
from staticmask_cli.statistics.votes import is_set

#: Column and row of a pixel, counted from 1, as in DS9.
Place = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelInChip:
    """A pixel in one chip of one exposure.

    Attributes
    ----------
    file : str
        File name of the exposure, without folder.
    extver : int
        EXTVER of the SCI extension.
    value : float
        Value of the pixel, in the exposure's units.
    background, noise, threshold : float
        What it is compared with: mode and rms of the chip, or local values, and the
        threshold; NaN if the sky cannot be measured.
    low, flagged : bool
        Whether the pixel is below the threshold, and whether ``final_bits``
        makes its flags bad.
    is_finite : bool
        Whether it is finite.
    used : bool
        Whether the chip is part of the mask.
    dq : int or None
        Its DQ value as an unsigned 16-bit integer; None if the chip has no flags.
    dq_names : tuple of str
        Names of the DQ bits that are set.
    """

    file: str
    extver: int
    value: float
    background: float
    noise: float
    threshold: float
    low: bool
    flagged: bool
    is_finite: bool
    used: bool
    dq: int | None
    dq_names: tuple[str, ...]

    @property
    def sigmas_below(self) -> float:
        """Distance of the pixel below the background, in units of the noise."""
        return (self.background - self.value) / self.noise if self.noise > 0 else math.nan

    def state(self) -> str:
        """Return the result in a word or two, such as ``low+DQ``."""
        if self.low or self.flagged:
            return "+".join(["low"] * self.low + ["DQ"] * self.flagged)
        if not self.used:
            return "no sky"
        return "good" if self.is_finite else "not finite"

    def line(self) -> str:
        """Return it as one line."""
        dq = "-" if self.dq is None else " ".join([str(self.dq), *self.dq_names])
        return (
            f"  {self.file} SCI,{self.extver}: {self.state()}  value {self.value:.6g}  "
            f"background {self.background:.6g}  noise {self.noise:.6g}  "
            f"threshold {self.threshold:.6g}  "
            f"sigmas below {self.sigmas_below:.3g}  DQ {dq}"
        )


@dataclass(frozen=True, slots=True)
class _ChipPixels:
    """The requested pixels in one chip; None for those outside the chip."""

    record: ChipRecord
    pixels: list[PixelInChip | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One pixel of one mask.

    Attributes
    ----------
    mask : str
        File name of the mask.
    identity : ChipIdentity
        The silicon that the mask belongs to.
    place : tuple of int
        Column and row, counted from 1.
    chips : tuple of PixelInChip
        The pixel in each chip; empty if it is outside the mask.
    needed : int
        Number of chips in which it must be bad.
    """

    mask: str
    identity: ChipIdentity
    place: Place
    chips: tuple[PixelInChip, ...]
    needed: int

    @property
    def count(self) -> int:
        """Number of chips in which it is bad."""
        return sum(chip.low or chip.flagged for chip in self.chips)

    @property
    def coverage(self) -> int:
        """Number of used chips in which it is finite."""
        return sum(chip.is_finite and chip.used for chip in self.chips)

    @property
    def is_bad(self) -> bool:
        """Whether it is bad in the mask."""
        return self.count >= self.needed

    def document(self) -> dict[str, Any]:
        """Return it as in the JSON summary."""
        chips = [asdict(chip) | {"state": chip.state()} for chip in self.chips]
        result = {"count": self.count, "coverage": self.coverage, "is_bad": self.is_bad}
        return asdict(self) | {"place": list(self.place), "chips": chips} | result

    def lines(self) -> list[str]:
        """Return a line for the mask, and one for each exposure."""
        x, y = self.place
        head = f"{self.mask}  {x},{y}"
        if not self.chips:
            shape = f"{self.identity.columns} columns and {self.identity.rows} rows"
            return [f"{head}  outside: the mask has {shape}"]
        state = "bad" if self.is_bad else "good"
        count = f"bad in {self.count} of {self.coverage} SCI extensions, {self.needed} needed"
        return [f"{head}  {state}  {count}", *(chip.line() for chip in self.chips)]


def explain(
    settings: Settings,
    places: Sequence[Place],
    *,
    run_record: RunRecord | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> tuple[Explanation, ...]:
    """Show the value and result of some pixels in every exposure, reading each once.

    Parameters
    ----------
    settings : Settings
        As for `make_masks`.
    places : sequence of tuple
        Columns and rows, counted from 1.
    run_record : RunRecord, optional
        Receives a report of every exposure.
    executor : Executor, optional
        Reads the chips instead of our own threads; it is not shut down.
    progress : callable, optional
        Called after each exposure.

    Returns
    -------
    tuple of Explanation
        By mask, then in the order of `places`.

    Raises
    ------
    InputError
        If exposures cannot be used, or a pixel is outside all chips; lists all problems.
    """
    run_record = RunRecord() if run_record is None else run_record
    found: dict[ChipIdentity, list[list[PixelInChip]]] = {}
    work = partial(_chip_pixels, settings, places)
    for one in read_exposures(
        settings, work, run_record, any_flags=True, executor=executor, progress=progress
    ):
        if one.result is not None:
            of_one = found.setdefault(one.chip.identity, [[] for _ in places])
            for chips, pixel in zip(of_one, one.result.pixels, strict=True):
                if pixel is not None:
                    chips.append(pixel)
    names = mask_names(dict.fromkeys(found), settings.prefix)
    explained = [
        Explanation(
            mask=names[identity],
            identity=identity,
            place=place,
            chips=tuple(chips),
            needed=settings.min_exposures.needed(
                sum(chip.is_finite and chip.used for chip in chips)
            ),
        )
        for identity, of_one in sorted(found.items(), key=lambda item: names[item[0]])
        for place, chips in zip(places, of_one, strict=True)
    ]
    outside = [
        f"pixel {x},{y}: is outside all chips"
        for x, y in places
        if not any(e.chips for e in explained if e.place == (x, y))
    ]
    if outside:
        raise InputError(*outside)
    return tuple(explained)


def _chip_pixels(settings: Settings, places: Sequence[Place], chip: Chip) -> _ChipPixels:
    """Read a chip and return the requested pixels in it."""
    rows, columns = chip.identity.shape
    criteria = Criteria(
        static_sig=settings.static_sig,
        background=settings.background,
        good_bits=chip.good_bits,
    )
    with chip_arrays(chip) as (pixels, flags):
        found = find_bad_pixels(pixels, flags, criteria)
        record = record_of(chip, found, pixel_hash(chip, pixels, flags))
        found_at = [
            _pixel(chip, found, criteria, pixels, flags, (y - 1, x - 1))
            if x <= columns and y <= rows
            else None
            for x, y in places
        ]
    return _ChipPixels(record, found_at)


def _pixel(
    chip: Chip,
    found: BadPixels,
    criteria: Criteria,
    pixels: NDArray[Any],
    flags: NDArray[Any] | None,
    at: tuple[int, int],
) -> PixelInChip:
    """Return the pixel at a row and column."""
    dq = None if flags is None else int(flags[at]) & 0xFFFF
    place = np.array([np.ravel_multi_index(at, pixels.shape)], dtype=np.uint32)
    background, noise = (float(of_one[0]) for of_one in found.sky.at(pixels, place, found.low))
    return PixelInChip(
        file=chip.file,
        extver=chip.extver,
        value=float(pixels[at]),
        background=background,
        noise=noise,
        threshold=background - criteria.static_sig * noise,
        low=bool(is_set(found.low, place)),
        flagged=found.flagged is not None and bool(is_set(found.flagged, place)),
        is_finite=found.not_finite is None or not is_set(found.not_finite, place),
        used=found.used,
        dq=dq,
        dq_names=() if dq is None else flag_names(dq, chip.identity.instrument),
    )
