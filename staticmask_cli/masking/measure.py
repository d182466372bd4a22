"""Measuring one chip: the work of a thread, or of a process on any machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.exposures.chips import Chip
from staticmask_cli.exposures.fingerprint import fingerprint
from staticmask_cli.exposures.pixels import chip_arrays, matches_datasum
from staticmask_cli.masks.records import ChipRecord
from staticmask_cli.settings import Background
from staticmask_cli.statistics.bad_pixels import BadPixels, Criteria, find_bad_pixels
from staticmask_cli.statistics.clusters import n_clustered
from staticmask_cli.statistics.votes import Bits, compact, expanded, positions


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The result of a worker for one chip.

    Attributes
    ----------
    record : ChipRecord
        The statistics.
    bad : ndarray of uint8
        The bad pixels, as bits.
    not_finite : ndarray of uint8 or None
        The pixels that are not finite, as bits; None if all are finite.
    """

    record: ChipRecord
    bad: Bits
    not_finite: Bits | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel from another process in few bytes: most chips have few bad pixels."""
        not_finite = None if self.not_finite is None else compact(self.not_finite)
        return _received, (self.record, compact(self.bad), not_finite)


def _received(record: ChipRecord, bad: Any, not_finite: Any) -> Measured:
    return Measured(
        record=record,
        bad=expanded(*bad),
        not_finite=None if not_finite is None else expanded(*not_finite),
    )


def measure(chip: Chip, static_sig: float, background: Background) -> Measured:
    """Read a chip and find its bad pixels; as `measure_at` for one sigma."""
    return measure_at(chip, [static_sig], background)[0]


def measure_at(chip: Chip, sigmas: Sequence[float], background: Background) -> list[Measured]:
    """Read a chip once and find its bad pixels at several sigmas.

    Parameters
    ----------
    chip : Chip
        The chip to read.
    sigmas : sequence of float
        Values of ``static_sig``: thresholds, in units of the noise below the background.
    background : Background
        Which background and noise.

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
        sky = None
        hashed = pixel_hash(chip, pixels, flags)
        measured = []
        for static_sig in sigmas:
            criteria = Criteria(
                static_sig=static_sig, background=background, good_bits=chip.good_bits
            )
            found = find_bad_pixels(pixels, flags, criteria, sky=sky)
            sky = found.sky
            record = record_of(chip, found, hashed)
            measured.append(Measured(record=record, bad=found.bad, not_finite=found.not_finite))
        return measured


def hash_of(chip: Chip) -> str:
    """Read a chip and return its `ChipRecord.pixel_hash`; errors as for `measure_at`."""
    with chip_arrays(chip) as (pixels, flags):
        return pixel_hash(chip, pixels, flags)


def pixel_hash(chip: Chip, pixels: NDArray[Any], flags: NDArray[Any] | None) -> str:
    """Return a hash of the data that determine bad pixels: pixels, and flags if they count.

    With flags, it consists of half of each array's hash; any change of either array
    changes it.
    """
    science = fingerprint(pixels)
    if flags is None or chip.good_bits is None:
        return science
    return science[:16] + fingerprint(flags)[:16]


def wrong_sums(chip: Chip) -> list[str]:
    """Return the names of a chip's arrays that do not match DATASUM."""
    arrays = [array for array in (chip.science, chip.flags) if array is not None]
    return [array.name for array in arrays if not matches_datasum(array)]


def record_of(chip: Chip, found: BadPixels, pixel_hash: str) -> ChipRecord:
    """Return the record of a measured chip."""
    sky = found.sky
    low = positions(found.low)
    return replace(
        unmeasured(chip),
        **sky.recorded,
        threshold=found.threshold,
        n_low=low.size,
        n_flagged=0 if found.flagged is None else int(np.bitwise_count(found.flagged).sum()),
        n_finite=sky.n_finite,
        lowest=sky.lowest,
        median=sky.median,
        noise=sky.noise,
        n_clustered=n_clustered(low, chip.science.shape[1]),
        pixel_hash=pixel_hash,
        used=found.used,
        reason=found.reason,
    )


def unmeasured(chip: Chip) -> ChipRecord:
    """Return the record of a chip that is skipped, or not measured in a dry run."""
    observed = chip.observation
    return ChipRecord(
        file=chip.file,
        extver=chip.extver,
        unit=observed.unit,
        date_obs=observed.date_obs,
        target=observed.target,
        filter=observed.filter,
        exposure_time=observed.exposure_time,
        ccdchip=chip.identity.ccdchip,
        calibration=chip.calibration,
        header_hash=chip.header_hash,
        datasum=chip.datasum,
        used=chip.skipped is None,
        reason=f"skipped: {chip.skipped}" if chip.skipped else "",
    )
