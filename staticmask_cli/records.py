"""What was found on each chip: the rows of a mask's table of exposures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import printable


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
    seen : int
        Pixels that are finite.
    lowest, median, noise : float
        As `SkyStatistics` has them; NaN if not measured.
    clumped : int
        Low pixels in solid groups, as detector defects seldom are; see `groups`.
    header_hash : str
        Hash of its SCI header (and of its DQ header, if flags are read); empty
        for an exposure that cannot be used.
    datasum : str
        DATASUM of its SCI header, or empty.
    pixel_hash : str
        Hash of the pixels that were read; empty if none were.
    used : bool
        Whether it took part.
    reason : str
        Why it did not, or what it lacked; empty if nothing.
    alone : ndarray of uint32
        Places in the flat array of the pixels that no other exposure of the
        mask calls bad; with the first of an exposure's chips if it has repeats.
    """

    file: str
    extver: int
    mode: float = math.nan
    rms: float = math.nan
    nbins: int = 0
    threshold: float = math.nan
    low: int = 0
    flagged: int = 0
    seen: int = 0
    lowest: float = math.nan
    median: float = math.nan
    noise: float = math.nan
    clumped: int = 0
    header_hash: str = ""
    datasum: str = ""
    pixel_hash: str = ""
    used: bool = False
    reason: str = ""
    # What belongs to a mask, not to the chip: nothing that tells records apart.
    alone: NDArray[np.uint32] = field(
        default_factory=lambda: np.empty(0, np.uint32), repr=False, compare=False
    )

    @property
    def key(self) -> tuple[str, int, str, str]:
        """What tells one chip of an exposure from all others."""
        return self.file, self.extver, self.header_hash, self.datasum

    @property
    def failed(self) -> bool:
        """Whether its exposure could not be used, so that it may be good another time."""
        return not self.header_hash

    def in_table(self) -> ChipRecord:
        """Return it as a mask's table holds it: texts in printable ASCII."""
        return replace(
            self,
            file=as_text(self.file),
            datasum=as_text(self.datasum),
            reason=as_text(self.reason),
        )


def as_text(text: str) -> str:
    """Return text as FITS tables hold it; what is such text already stays as it is."""
    return printable(text).encode("ascii", "backslashreplace").decode().rstrip()


def merged(
    held: Sequence[ChipRecord], new: Sequence[ChipRecord], given: Collection[str]
) -> list[ChipRecord]:
    """Return the records of a mask to which exposures were added.

    Parameters
    ----------
    held : sequence of ChipRecord
        Those of the mask on disk.
    new : sequence of ChipRecord
        Those of the run.
    given : collection of str
        Files that the run was given: one that failed another time and is
        among them is told of as it is now.

    Returns
    -------
    list of ChipRecord
        As the table holds them, in its order.
    """
    names = set(map(as_text, given))
    kept = [record for record in held if not (record.failed and record.file in names)]
    there = {record.key for record in kept}
    good = {record.file for record in kept if not record.failed}
    kept += [
        record
        for record in (record.in_table() for record in new)
        if record.key not in there and not (record.failed and record.file in good)
    ]
    return sorted(kept, key=_order)


def _order(record: ChipRecord) -> tuple[str, int, str]:
    return record.file, record.extver, str(record)


def count_exposures(records: Sequence[ChipRecord]) -> int:
    """Return how many exposures (files) took part."""
    chips = Counter((record.file, record.extver) for record in records if record.used)
    # Files of one name in several folders are several: each has the same extensions.
    files: Counter[str] = Counter()
    for (file, _), number in chips.items():
        files[file] = max(files[file], number)
    return files.total()


def count_chips(records: Sequence[ChipRecord]) -> int:
    """Return how many SCI extensions took part: how often a pixel can have been seen."""
    return sum(record.used for record in records)
