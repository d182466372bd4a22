"""One chip, measured: what a worker does, in whatever thread, process or machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.accumulate import Bits, flagged_pixels, pack, positions
from staticmask_cli.chips import Chip
from staticmask_cli.errors import InputError, printable
from staticmask_cli.fingerprint import fingerprint
from staticmask_cli.groups import clumped
from staticmask_cli.pixels import matches_datasum, read
from staticmask_cli.records import ChipRecord
from staticmask_cli.statistics import (
    SkyStatistics,
    low_pixels,
    sky_statistics,
    unseen_pixels,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a worker sends back for one chip.

    Attributes
    ----------
    record : ChipRecord
        The numbers.
    bad : ndarray of uint8
        Its bad pixels as bits.
    unseen : ndarray of uint8 or None
        Its pixels that are not finite, as bits; None if all are.
    """

    record: ChipRecord
    bad: Bits
    unseen: Bits | None = None


def measure(chip: Chip, static_sig: float) -> Measured:
    """Read a chip and find its bad pixels.

    Parameters
    ----------
    chip : Chip
        Where the pixels are.
    static_sig : float
        How many rms below the mode a pixel is bad.

    Returns
    -------
    Measured

    Raises
    ------
    InputError
        If its file cannot be read.
    """
    with telling_of_memory(chip):
        return _measure(chip, static_sig)


def hash_of(chip: Chip) -> str:
    """Read a chip and return its `ChipRecord.pixel_hash`; raises what `measure` does."""
    with telling_of_memory(chip):
        pixel_hash = fingerprint(read(chip.science))
        if chip.flags is None:
            return pixel_hash
        return _joined(pixel_hash, fingerprint(read(chip.flags)))


def wrong_sums(chip: Chip) -> list[str]:
    """Return the names of a chip's arrays that do not have the DATASUM of their headers."""
    arrays = [array for array in (chip.science, chip.flags) if array is not None]
    return [array.name for array in arrays if not matches_datasum(array)]


def _joined(science: str, flags: str) -> str:
    """Return one hash for both arrays: half of each, which changes with any change of it."""
    return science[:16] + flags[:16]


@contextmanager
def telling_of_memory(chip: Chip) -> Iterator[None]:
    """Turn a want of memory into an InputError that names the chip."""
    try:
        yield
    except MemoryError:
        size = " x ".join(map(str, chip.science.shape))
        raise InputError(
            f"{printable(chip.science.path)}: SCI,{chip.extver}: its {size} pixels do not fit "
            "into memory; fewer --jobs need less"
        ) from None


def mark(
    chip: Chip, statistics: SkyStatistics, science_hash: str, flags: NDArray[Any] | None
) -> ChipRecord:
    """Return what identifies the pixels of a chip, by which copies are found.

    Parameters
    ----------
    chip : Chip
        The chip.
    statistics : SkyStatistics
        Of its science pixels.
    science_hash : str
        Their `fingerprint`.
    flags : ndarray or None
        Its DQ array, if the mask depends on it.
    """
    return ChipRecord(
        file=chip.file,
        extver=chip.extver,
        nbins=statistics.nbins,
        calibration=chip.calibration,
        header_hash=chip.header_hash,
        datasum=chip.datasum,
        pixel_hash=science_hash if flags is None else _joined(science_hash, fingerprint(flags)),
        used=True,
    )


def _measure(chip: Chip, static_sig: float) -> Measured:
    pixels = read(chip.science)
    statistics = sky_statistics(pixels)
    bad = pack(low_pixels(pixels, statistics, static_sig))
    unseen = None if statistics.all_finite else pack(unseen_pixels(pixels))
    low = positions(bad)
    pixel_hash = fingerprint(pixels)  # before the next reading takes their memory
    flagged = 0
    if chip.flags is not None:
        values = read(chip.flags)
        pixel_hash = _joined(pixel_hash, fingerprint(values))
        flags = flagged_pixels(values, chip.good_bits)
        flagged = int(np.count_nonzero(flags))
        bad |= pack(flags)
    used = statistics.is_usable or chip.flags is not None
    record = ChipRecord(
        file=chip.file,
        extver=chip.extver,
        mode=statistics.mode,
        rms=statistics.rms,
        nbins=statistics.nbins,
        threshold=statistics.threshold(static_sig),
        low=low.size,
        flagged=flagged,
        seen=statistics.seen,
        lowest=statistics.lowest,
        median=statistics.median,
        noise=statistics.noise,
        clumped=clumped(low, pixels.shape[1]),
        calibration=chip.calibration,
        header_hash=chip.header_hash,
        datasum=chip.datasum,
        pixel_hash=pixel_hash,
        used=used,
        reason=why_no_low(statistics),
    )
    return Measured(record=record, bad=bad, unseen=unseen)


def why_no_low(statistics: SkyStatistics) -> str:
    """Return why no low pixel was looked for, if none was."""
    if statistics.is_usable:
        return ""
    if statistics.n == 0:
        return "no low pixels found: it has no finite pixel"
    return "no low pixels found: its histogram has one bin"


def unmeasured(chip: Chip) -> ChipRecord:
    """Return the record of a chip that is left out, or not measured in a dry run."""
    reason = f"left out: {chip.left_out}" if chip.left_out else ""
    return ChipRecord(
        file=chip.file,
        extver=chip.extver,
        calibration=chip.calibration,
        header_hash=chip.header_hash,
        datasum=chip.datasum,
        used=not reason,
        reason=reason,
    )
