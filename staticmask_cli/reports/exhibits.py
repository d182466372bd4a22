"""Draw the pictures of a mask: over one exposure, which is read again, and for all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.chips import Chip, open_exposure
from staticmask_cli.exposures.pixels import chip_arrays
from staticmask_cli.masks.quality import failed
from staticmask_cli.masks.records import ChipRecord
from staticmask_cli.reports import figures, pictures
from staticmask_cli.reports.pictures import Bools, Window
from staticmask_cli.reports.report import MaskReport, Report
from staticmask_cli.settings import Background
from staticmask_cli.statistics.bad_pixels import Criteria, find_bad_pixels, flagged_pixels
from staticmask_cli.statistics.chance import bad_by_chance

_TOOK_PART = ("read", "known", "verified")
_FEWEST_OF_TREND = 3  # exposures
#: The columns of a mask's table about its sky: the attribute of a record for each heading.
SKY_COLUMNS = {
    Background.CHIP: {"mode": "mode", "rms": "rms", "threshold": "threshold"},
    Background.LOCAL: {"background": "local_background", "local noise": "local_noise"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """A mask over the exposure of the run that has the most bad pixels.

    Attributes
    ----------
    record : ChipRecord
        Record of the chip.
    n_finite : int
        Number of its finite pixels.
    inside : int
        Number of bad pixels of the mask in `window`.
    window : tuple of slice
        Rows and columns shown by the zoom.
    overview : bytes
        The whole chip. All pictures are PNG images.
    zoom, zoom_exposure : tuple of bytes
        `window` with the bad pixels filled, and without the mask; for light and dark
        pages, or only for light ones if no page is requested.
    counts : Histogram or None
        Data of the histogram; None if the sky was not measured.
    histogram : tuple of bytes
        As `zoom`; empty if `counts` is None.
    flags : tuple of tuple of int, or None
        Each DQ bit that is set and does not count as good, with its number of
        pixels; None if flags were not read.
    """

    record: ChipRecord
    n_finite: int
    inside: int
    window: Window
    overview: bytes
    zoom: tuple[bytes, ...]
    zoom_exposure: tuple[bytes, ...]
    counts: figures.Histogram | None
    histogram: tuple[bytes, ...]
    flags: tuple[tuple[int, int], ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CountMap:
    """How often the pixels of a mask were bad.

    Attributes
    ----------
    png : bytes
        The map.
    classes : tuple of tuple
        For each colour of the map: the colour, the lowest and the highest count
        that it represents, and the number of pixels.
    """

    png: bytes
    classes: tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskPictures:
    """The part of a report about one mask.

    Attributes
    ----------
    mask : MaskReport
        The mask.
    records : tuple of tuple
        Its records, each with its failed checks, by date, then as in the mask.
    expected : float
        Number of bad pixels expected from noise.
    exhibit : Exhibit or str
        The mask over an exposure, or why it cannot be shown.
    count_map : CountMap or None
        None if one exposure suffices to make a pixel bad and no counts are kept.
    trend : tuple of bytes
        As `Exhibit.zoom`; empty for fewer than three exposures with a sky.
    """

    mask: MaskReport
    records: tuple[tuple[ChipRecord, tuple[str, ...]], ...]
    expected: float
    exhibit: Exhibit | str
    count_map: CountMap | None
    trend: tuple[bytes, ...]

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name and content of each picture, as drawn for light pages."""
        if isinstance(self.exhibit, Exhibit):
            yield "mask", self.exhibit.overview
            yield "zoom", self.exhibit.zoom[0]
            yield "zoom_exposure", self.exhibit.zoom_exposure[0]
            if self.exhibit.histogram:
                yield "histogram", self.exhibit.histogram[0]
        if self.count_map:
            yield "counts", self.count_map.png
        if self.trend:
            yield "trend", self.trend[0]


def draw(mask: MaskReport, report: Report) -> MaskPictures:
    """Draw the pictures of a mask, reading one exposure.

    Parameters
    ----------
    mask : MaskReport
        One mask of the run.
    report : Report
        The run.

    Returns
    -------
    MaskPictures
    """
    checks = mask.quality.chips or ((),) * len(mask.chips)
    records = [
        (record, tuple(check.short() for check in failed(of_one)))
        for record, of_one in zip(mask.chips, checks, strict=True)
    ]
    records.sort(key=lambda pair: pair[0].date_obs)  # stable: without dates nothing changes
    settings = report.settings
    if mask.mask is None:
        raise ValueError("a dry run has no pixels to draw")
    coverage = mask.mask.coverage_histogram()
    return MaskPictures(
        mask=mask,
        records=tuple(records),
        expected=bad_by_chance(
            coverage, settings.static_sig, settings.min_exposures, settings.background
        ),
        exhibit=_exhibit(mask, mask.mask.bad, report),
        count_map=_count_map(mask.mask.count, mask.chips.n_chips),
        trend=_trend(records, report),
    )


def _exhibit(mask: MaskReport, bad: Bools, report: Report) -> Exhibit | str:
    """Draw a mask over an exposure, which is read again; return the reason if that fails."""
    candidates = list(_candidates(mask, report))
    if not candidates:
        return "no exposure of this run is in this mask"
    # max() returns the first of several with the same number.
    path, record = max(candidates, key=lambda pair: pair[1].n_low + pair[1].n_flagged)
    try:
        chip = _chip(path, record, report)
        with chip_arrays(chip) as (pixels, flags):
            return _drawn(chip, record, pixels, flags, bad, report)
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
    raise InputError(f"{path}: SCI,{record.extver}: changed since it was measured; run again")


def _schemes(report: Report) -> tuple[bool, ...]:
    """Return for which pages (dark or not) to draw: both for a report, light for a preview."""
    return (False, True) if report.settings.report else (False,)


def _drawn(
    chip: Chip,
    record: ChipRecord,
    pixels: NDArray[Any],
    flags: NDArray[Any] | None,
    bad: Bools,
    report: Report,
) -> Exhibit:
    settings = report.settings
    criteria = Criteria(
        static_sig=settings.static_sig, background=settings.background, good_bits=chip.good_bits
    )
    sky = find_bad_pixels(pixels, flags, criteria).sky
    window = pictures.zoom_window(bad)
    schemes = _schemes(report)
    counts = figures.count(pixels, sky, settings.static_sig) if sky.is_usable else None
    zooms, zooms_exposure = (
        tuple(
            figures.zoom(pixels, filled, sky.median, sky.noise, window, dark=dark)
            for dark in schemes
        )
        for filled in (bad, None)
    )
    return Exhibit(
        record=record,
        n_finite=sky.n_finite,
        inside=int(np.count_nonzero(bad[window])),
        window=window,
        overview=pictures.overview(pixels, bad, sky.median, sky.noise, window),
        zoom=zooms,
        zoom_exposure=zooms_exposure,
        counts=counts,
        histogram=tuple(
            figures.histogram(counts, record.unit, dark=dark) for dark in schemes if counts
        ),
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


def _count_map(counts: NDArray[np.integer[Any]] | None, most: int) -> CountMap | None:
    """Draw how often pixels were bad, at most `most` times; None if the mask shows the same."""
    if counts is None or most < 2:  # noqa: PLR2004 - exposures
        return None
    classes = pictures.count_classes(most)
    numbers = np.bincount(counts.reshape(-1), minlength=most + 1)
    colours = pictures.count_colours(len(classes))
    return CountMap(
        png=pictures.count_map(counts, classes),
        classes=tuple(
            (colour, low, high, int(numbers[low : high + 1].sum()))
            for colour, (low, high) in zip(colours, classes, strict=True)
        ),
    )


def _trend(records: list[tuple[ChipRecord, tuple[str, ...]]], report: Report) -> tuple[bytes, ...]:
    shown = SKY_COLUMNS[report.settings.background]
    level, noise = list(shown)[:2]
    series: dict[str, list[float]] = {level: [], noise: [], "low pixels": []}
    for record, _ in records:
        measured = (*(getattr(record, shown[name]) for name in (level, noise)), record.n_low)
        is_shown = record.used and record.has_sky
        for values, value in zip(series.values(), measured, strict=True):
            values.append(value if is_shown else math.nan)
    if np.count_nonzero(np.isfinite(series[level])) < _FEWEST_OF_TREND:
        return ()
    marked = [bool(checks) for _, checks in records]
    return tuple(figures.trend(series, marked, dark=dark) for dark in _schemes(report))
