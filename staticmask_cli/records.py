"""What was found on each chip: the rows of a mask's table of exposures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipRecord:
    """What one chip of one exposure gave to a mask: a row of its table.

    Attributes
    ----------
    file : str
        Name of the exposure's file, without its folder.
    extver : int
        Version of its SCI extension.
    mode, rms : float
        The sky's, in the exposure's units; NaN if not measured.
    nbins : int
        Bins of the histogram.
    threshold : float
        mode - static_sig x rms; NaN if not measured.
    low : int
        Pixels below it.
    flagged : int
        Pixels that the DQ array calls bad.
    used : bool
        Whether it took part.
    reason : str
        Why it did not, or what it lacked; empty if nothing.
    """

    file: str
    extver: int
    mode: float = math.nan
    rms: float = math.nan
    nbins: int = 0
    threshold: float = math.nan
    low: int = 0
    flagged: int = 0
    used: bool = False
    reason: str = ""


def count_exposures(records: Sequence[ChipRecord]) -> int:
    """Return how many exposures (files) took part."""
    chips = Counter((record.file, record.extver) for record in records if record.used)
    # Files of one name in several folders are several: each has the same extensions.
    files: Counter[str] = Counter()
    for (file, _), number in chips.items():
        files[file] = max(files[file], number)
    return files.total()
