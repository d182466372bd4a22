"""One chip, measured: what a worker does, in whatever thread, process or machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.exposures.chips import Chip
from staticmask_cli.exposures.fingerprint import fingerprint
from staticmask_cli.exposures.pixels import chip_arrays, matches_datasum
from staticmask_cli.masks.records import ChipRecord
from staticmask_cli.statistics.bad_pixels import BadPixels, Criteria, find_bad_pixels
from staticmask_cli.statistics.clusters import n_clustered
from staticmask_cli.statistics.sky import sky_statistics
from staticmask_cli.statistics.votes import Bits, pack, positions


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
    """Read a chip and find its bad pixels; as `measure_at` for one sigma."""
    return measure_at(chip, [static_sig])[0]


def measure_at(chip: Chip, sigmas: Sequence[float]) -> list[Measured]:
    """Read a chip once and find its bad pixels at several sigmas.

    Parameters
    ----------
    chip : Chip
        Where the pixels are.
    sigmas : sequence of float
        Values of ``static_sig``: how many rms below the mode a pixel is low.

    Returns
    -------
    list of Measured
        One for each of `sigmas`.

    Raises
    ------
    InputError
        If its file cannot be read.
    """
    with chip_arrays(chip) as (pixels, flags):
        statistics = sky_statistics(pixels)
        hashed = pixel_hash(chip, pixels, flags)
        measured = []
        for static_sig in sigmas:
            criteria = Criteria(static_sig=static_sig, good_bits=chip.good_bits)
            found = find_bad_pixels(pixels, flags, criteria, statistics=statistics)
            bad = pack(found.low)
            if found.flagged is not None:  # as bits: another array of bool costs memory
                bad |= pack(found.flagged)
            unseen = None if found.not_finite is None else pack(found.not_finite)
            record = record_of(chip, found, hashed)
            measured.append(Measured(record=record, bad=bad, unseen=unseen))
        return measured


def hash_of(chip: Chip) -> str:
    """Read a chip and return its `ChipRecord.pixel_hash`; raises what `measure` does."""
    with chip_arrays(chip) as (pixels, flags):
        return pixel_hash(chip, pixels, flags)


def pixel_hash(chip: Chip, pixels: NDArray[Any], flags: NDArray[Any] | None) -> str:
    """Return a hash of what makes a chip's bad pixels: its pixels, and its flags if they count.

    It is half of the hash of each array, and changes with any change of either.
    """
    science = fingerprint(pixels)
    if flags is None or chip.good_bits is None:
        return science
    return science[:16] + fingerprint(flags)[:16]


def wrong_sums(chip: Chip) -> list[str]:
    """Return the names of a chip's arrays that do not have the DATASUM of their headers."""
    arrays = [array for array in (chip.science, chip.flags) if array is not None]
    return [array.name for array in arrays if not matches_datasum(array)]


def record_of(chip: Chip, found: BadPixels, pixel_hash: str) -> ChipRecord:
    """Return what was found on a chip, as masks keep it."""
    sky = found.statistics
    low = positions(pack(found.low))
    return ChipRecord(
        file=chip.file,
        extver=chip.extver,
        mode=sky.mode,
        rms=sky.rms,
        nbins=sky.nbins,
        threshold=found.threshold,
        n_low=low.size,
        n_flagged=0 if found.flagged is None else int(np.count_nonzero(found.flagged)),
        n_finite=sky.n_finite,
        lowest=sky.lowest,
        median=sky.median,
        noise=sky.noise,
        n_clustered=n_clustered(low, found.low.shape[1]),
        calibration=chip.calibration,
        header_hash=chip.header_hash,
        datasum=chip.datasum,
        pixel_hash=pixel_hash,
        used=found.used,
        reason=found.reason,
    )


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
