"""What was found on each chip: the rows of a mask's table of exposures."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
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
    n_low : int
        Pixels below it.
    n_flagged : int
        Pixels that the DQ array calls bad.
    n_finite : int
        Pixels that are finite.
    lowest, median, noise : float
        As `SkyStatistics` has them; NaN if not measured.
    n_clustered : int
        Low pixels in solid groups, as detector defects seldom are; see `groups`.
    calibration : str
        Root name of the exposure and suffix, such as ``j8bt06ny_flt``; empty if
        they are not known.
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
    unique : ndarray of uint32
        Places in the flat array of the pixels that no other chip of the mask
        calls bad.
    unit : str
        Unit of the pixels, as BUNIT has it; empty if not known, as are the next three.
    date_obs : str
        Date of the observation, YYYY-MM-DD.
    target, filter : str
        Name of the target, and of the filter or filters.
    exposure_time : float
        In seconds; NaN if not known.
    """

    file: str
    extver: int
    mode: float = math.nan
    rms: float = math.nan
    nbins: int = 0
    threshold: float = math.nan
    n_low: int = 0
    n_flagged: int = 0
    n_finite: int = 0
    lowest: float = math.nan
    median: float = math.nan
    noise: float = math.nan
    n_clustered: int = 0
    calibration: str = ""
    header_hash: str = ""
    datasum: str = ""
    pixel_hash: str = ""
    used: bool = False
    reason: str = ""
    # What belongs to a mask, not to the chip: nothing that tells records apart.
    unique: NDArray[np.uint32] = field(
        default_factory=lambda: np.empty(0, np.uint32), repr=False, compare=False
    )
    unit: str = ""
    date_obs: str = ""
    target: str = ""
    filter: str = ""
    exposure_time: float = math.nan

    @property
    def key(self) -> tuple[str, int, str, str, str]:
        """What identifies a row of the table."""
        return self.file, self.extver, self.header_hash, self.datasum, self.pixel_hash

    @property
    def name(self) -> str:
        """The chip as messages name it."""
        return f"{self.file} SCI,{self.extver}"

    @property
    def has_sky(self) -> bool:
        """Whether its pixels are those of one exposure alone: no two skies have the same noise."""
        return bool(self.pixel_hash) and self.nbins >= 2  # noqa: PLR2004 - `SkyStatistics.is_usable`

    @property
    def gives(self) -> bool:
        """Whether it gives something to the mask, or a copy of it does.

        What does not may be given another time, repaired.
        """
        return self.used or self.has_sky

    @property
    def failed(self) -> bool:
        """Whether its exposure could not be used."""
        return not self.header_hash

    def in_table(self) -> ChipRecord:
        """Return it as a mask's table holds it: texts in printable ASCII."""
        return replace(
            self,
            file=file_text(self.file),
            datasum=as_text(self.datasum),
            reason=as_text(self.reason),
        )


def as_text(text: str) -> str:
    """Return text as FITS tables hold it; what is such text already stays as it is."""
    return printable(text).encode("ascii", "backslashreplace").decode().rstrip()


def file_text(file: str) -> str:
    """Return a file's name as FITS tables hold it, the same whatever the locale."""
    return as_text(os.fsencode(file).decode("utf-8", "backslashreplace"))


def merged(
    existing: Iterable[ChipRecord],
    new: Iterable[ChipRecord],
    given: Iterable[str],
    *,
    allow_duplicates: bool,
) -> list[ChipRecord]:
    """Return the records of a mask, whatever the order in which its exposures came.

    Parameters
    ----------
    existing : iterable of ChipRecord
        Those of the existing mask that stay; none if it is made anew.
    new : iterable of ChipRecord
        Those of the run.
    given : iterable of str
        Files that the run was given: what is known of one that gave nothing
        another time is what this run found.
    allow_duplicates : bool
        Whether each of several chips with the same pixels counts. If not, the
        first of them by name does, and the others give it as their reason.

    Returns
    -------
    list of ChipRecord
        As the table holds them, in its order.
    """
    names = set(map(file_text, given))
    rows = [record for record in existing if record.gives or record.file not in names]
    rows += [record.in_table() for record in new]
    giving = {(record.file, record.extver) for record in rows if record.gives}
    good = {record.file for record in rows if not record.failed}
    rows = [
        record
        for record in rows
        if record.gives
        or not (record.file in good if record.failed else (record.file, record.extver) in giving)
    ]
    rows.sort(key=lambda record: (*record.key, not record.used, record.reason))
    if not allow_duplicates:  # with equal name, headers and pixels they are one
        rows = list({record.key: record for record in reversed(rows)}.values())[::-1]
    originals: dict[str, ChipRecord] = {}
    for number, record in enumerate(rows):
        if record.has_sky and not allow_duplicates:
            original = originals.setdefault(record.pixel_hash, record)
            reason = "" if original is record else same_pixels(original.name)
            rows[number] = replace(record, used=not reason, reason=reason)
    return rows


def same_pixels(name: str) -> str:
    """Return why a chip does not count whose pixels are those of another one."""
    return f"has the same pixels as {name}; they count once"


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
