"""Dividing exposures into parts by their names, for runs on several machines."""

from __future__ import annotations

import hashlib
import os

from staticmask_cli.exposures.opening import FilePath
from staticmask_cli.exposures.products import calibration_of
from staticmask_cli.settings import Shard


def is_in_shard(path: FilePath, shard: Shard) -> bool:
    """Return whether an exposure is in a part; each is in exactly one.

    It depends on the name of the exposure alone: not on its folder, its calibration, or on
    other exposures. So copies of an exposure that were renamed by their suffix only, and its
    calibrations, are in the same part.

    Examples
    --------
    >>> from pathlib import Path
    >>> [is_in_shard(Path("j8bt06nyq_flt.fits"), Shard(n, 4)) for n in (0, 1, 2, 3, 4)]
    [False, False, True, False, False]
    >>> [is_in_shard(Path("b/j8bt06nyq_flc.fits.gz"), Shard(n, 4)) for n in (0, 1, 2, 3, 4)]
    [False, False, True, False, False]
    """
    name = os.fsencode(exposure_name(path))
    number = int.from_bytes(hashlib.sha256(name).digest()[:8])
    return (number - shard.number) % shard.of == 0


def exposure_name(path: FilePath) -> str:
    """Return what the names of an exposure's calibrations and copies have in common."""
    found = calibration_of(path.name)
    return found[0] if found else path.name
