"""Of every mask one exposure, read once more and drawn: what a report shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.chips import Chip, open_exposure
from staticmask_cli.exposures.pixels import chip_arrays
from staticmask_cli.masks.records import ChipRecord
from staticmask_cli.reports import figures, pictures
from staticmask_cli.reports.pictures import Bools, Window
from staticmask_cli.reports.report import MaskReport, Report
from staticmask_cli.statistics.bad_pixels import flagged_pixels
from staticmask_cli.statistics.sky import SkyStatistics, sky_statistics

_TOOK_PART = ("read", "known", "verified")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """A mask over the exposure of the run that gave most to it.

    Attributes
    ----------
    record : ChipRecord
        What the exposure's chip gave to the mask.
    statistics : SkyStatistics
        Of that chip.
    bad, inside : int
        The mask's bad pixels, and those of them in `window`.
    window : tuple of slice
        Rows and columns that the zoom shows.
    overview : bytes
        A PNG, as are the others.
    zoom : tuple of bytes
        For light and for dark pages; one alone if no page was asked for.
    counts : Histogram or None
        The numbers of the histogram; None if the statistics are not usable.
    histogram : tuple of bytes
        As `zoom`; empty if there are no `counts`.
    flags : tuple of tuple of int, or None
        Each DQ bit that does not count as good and is set, and in how many
        pixels; None if flags were not read.
    """

    record: ChipRecord
    statistics: SkyStatistics
    bad: int
    inside: int
    window: Window
    overview: bytes
    zoom: tuple[bytes, ...]
    counts: figures.Histogram | None
    histogram: tuple[bytes, ...]
    flags: tuple[tuple[int, int], ...] | None


def exhibit(mask: MaskReport, report: Report) -> Exhibit | str:
    """Draw a mask over an exposure, which is read for it.

    Parameters
    ----------
    mask : MaskReport
        One mask of the run.
    report : Report
        The run.

    Returns
    -------
    Exhibit or str
        The reason, if there is nothing to show.
    """
    candidates = list(_candidates(mask, report))
    if not candidates or mask.mask is None:
        return "no exposure of this run went into this mask"
    # The first of several that give the same.
    path, record = max(candidates, key=lambda pair: pair[1].n_low + pair[1].n_flagged)
    try:
        chip = _chip(path, record, report)
        with chip_arrays(chip) as (pixels, flags):
            return _drawn(chip, record, pixels, flags, mask.mask.bad, report)
    except InputError as error:
        return "; ".join(error.problems)


def _candidates(mask: MaskReport, report: Report) -> Iterator[tuple[str, ChipRecord]]:
    for exposure in report.exposures:
        if exposure.state in _TOOK_PART:
            for identity, record in exposure.chips:
                if identity == mask.identity and record.used:
                    yield exposure.path, record


def _chip(path: str, record: ChipRecord, report: Report) -> Chip:
    """Find a chip again."""
    for chip in open_exposure(Path(path), report.settings).chips:
        if (chip.extver, chip.header_hash) == (record.extver, record.header_hash):
            return chip
    raise InputError(f"{path}: SCI,{record.extver}: is no longer what was measured")


def _drawn(
    chip: Chip,
    record: ChipRecord,
    pixels: NDArray[Any],
    flags: NDArray[Any] | None,
    bad: Bools,
    report: Report,
) -> Exhibit:
    sky = sky_statistics(pixels)
    window = pictures.zoom_window(bad)
    # A page comes in both schemes, a folder of pictures in one.
    schemes = (False, True) if report.settings.report else (False,)
    counts = figures.count(pixels, sky, report.settings.static_sig) if sky.is_usable else None
    look = (pixels, bad, sky.median, sky.noise, window)
    return Exhibit(
        record=record,
        statistics=sky,
        bad=int(np.count_nonzero(bad)),
        inside=int(np.count_nonzero(bad[window])),
        window=window,
        overview=pictures.overview(*look),
        zoom=tuple(figures.zoom(*look, dark=dark) for dark in schemes),
        counts=counts,
        histogram=tuple(figures.histogram(counts, dark=dark) for dark in schemes if counts),
        flags=None if flags is None else _flags(flags, chip.good_bits or 0),
    )


def _flags(values: NDArray[Any], good_bits: int) -> tuple[tuple[int, int], ...]:
    """Count the pixels that have each DQ bit that does not count as good."""
    times = 1
    if 0 in values.strides:  # a constant array
        values, times = values[:1, :1].copy(), values.size
    bits = [1 << power for power in range(8 * values.dtype.itemsize)]
    found = (
        (bit, times * int(np.count_nonzero(flagged_pixels(values, ~bit))))
        for bit in bits
        if not bit & good_bits
    )
    return tuple((bit, pixels) for bit, pixels in found if pixels)
