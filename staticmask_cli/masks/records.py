"""The statistics of each chip: the rows of a mask's table of exposures."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import printable
from staticmask_cli.exposures.instruments import sci_name


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChipRecord:
    """The statistics of one chip of one exposure: a row of a mask's table.

    Attributes
    ----------
    file : str
        File name of the exposure, without folder.
    extver : int
        EXTVER of its SCI extension.
    mode, rms : float
        Statistics of the sky, in the exposure's units; NaN if not measured.
    nbins : int
        Number of bins of the histogram; 0 if not measured.
    local_background, local_noise : float
        Medians of the local background and of its noise; NaN if not measured.
    threshold : float
        mode - static_sig x rms; NaN if not measured, or if it depends on the place.
    n_low : int
        Number of pixels below the threshold.
    n_flagged : int
        Number of pixels that the DQ array flags as bad.
    n_finite : int
        Number of finite pixels.
    lowest, median, noise : float
        As in `SkyStatistics`; NaN if not measured.
    n_clustered : int
        Number of low pixels in clusters, which detector defects seldom form.
    calibration : str
        Root name and suffix of the exposure, such as ``j8bt06ny_flt``; empty if
        unknown.
    header_hash : str
        Hash of its SCI header (and of its DQ header, if flags are read); empty
        for an exposure that cannot be used.
    datasum : str
        DATASUM of its SCI header, or empty.
    pixel_hash : str
        Hash of the pixels; empty if they were not read.
    used : bool
        Whether it is part of the mask.
    reason : str
        Why it is not, or what was missing; empty if nothing.
    unit : str
        Unit of its pixels (BUNIT); empty if unknown.
    date_obs : str
        Start of the exposure, UTC, such as ``2002-03-29T10:20:30``; empty if unknown.
    target, filter : str
        Target and filters of the exposure; empty if unknown.
    exposure_time : float
        In seconds; NaN if unknown.
    ccdchip : int or None
        CCDCHIP, for detectors with two chips.
    unique : ndarray of uint32
        Flat indices of the pixels that are bad in no other chip of the mask.
    """

    file: str
    extver: int
    mode: float = math.nan
    rms: float = math.nan
    nbins: int = 0
    local_background: float = math.nan
    local_noise: float = math.nan
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
    unit: str = ""
    date_obs: str = ""
    target: str = ""
    filter: str = ""
    exposure_time: float = math.nan
    ccdchip: int | None = None
    # A property of the mask rather than of the chip: not compared.
    unique: NDArray[np.uint32] = field(
        default_factory=lambda: np.empty(0, np.uint32), repr=False, compare=False
    )

    def __eq__(self, other: object) -> bool:
        """Compare all attributes but `unique`; NaN, for what was not measured, equals NaN."""
        if not isinstance(other, ChipRecord):
            return NotImplemented
        return self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def _compared(self) -> tuple[Any, ...]:
        values = (getattr(self, one.name) for one in fields(self) if one.compare)
        return tuple(None if isinstance(v, float) and math.isnan(v) else v for v in values)

    @property
    def key(self) -> tuple[str, int, str, str]:
        """The attributes that identify a row of the table."""
        return self.file, self.extver, self.header_hash, self.pixel_hash

    @property
    def name(self) -> str:
        """File and chip in messages."""
        return f"{self.file} {self.chip_name}"

    @property
    def chip_name(self) -> str:
        """The chip in messages, such as ``SCI,1 (CCDCHIP 2)``."""
        return sci_name(self.extver, self.ccdchip)

    @property
    def has_sky(self) -> bool:
        """Whether its sky was measured; its noise then makes its pixels unique."""
        has_mode = self.nbins >= 2  # noqa: PLR2004 - `SkyStatistics.is_usable`
        return bool(self.pixel_hash) and (has_mode or self.local_noise > 0)

    @property
    def gives(self) -> bool:
        """Whether it or a copy of it contributes to the mask; if not, it may be given again."""
        return self.used or self.has_sky

    @property
    def failed(self) -> bool:
        """Whether its exposure could not be used."""
        return not self.header_hash

    def in_table(self) -> ChipRecord:
        """Return it as stored in a mask's table: texts in printable ASCII."""
        texts: dict[str, Any] = {"file": file_text(self.file)}
        for name in ("datasum", "reason", "unit", "target", "filter"):
            texts[name] = as_text(getattr(self, name))
        # Most are in that form, and there may be thousands.
        is_changed = any(getattr(self, name) != text for name, text in texts.items())
        return replace(self, **texts) if is_changed else self


def as_text(text: str) -> str:
    """Return text as stored in FITS tables; text in that form is not changed."""
    text = printable(text)
    return (text if text.isascii() else text.encode("ascii", "backslashreplace").decode()).rstrip()


def file_text(file: str) -> str:
    """Return a file name as stored in FITS tables, independent of the locale."""
    return as_text(os.fsencode(file).decode("utf-8", "backslashreplace"))


def merged(
    existing: Iterable[ChipRecord],
    new: Iterable[ChipRecord],
    given: Iterable[str],
    *,
    allow_duplicates: bool,
) -> list[ChipRecord]:
    """Return the records of a mask, independent of the order of its exposures.

    Parameters
    ----------
    existing : iterable of ChipRecord
        Records of the existing mask that stay; none if it is rebuilt.
    new : iterable of ChipRecord
        Records of the run.
    given : iterable of str
        Names of the files given to the run. Their existing records are replaced,
        unless they contribute.
    allow_duplicates : bool
        Whether to use all of several chips with the same pixels. If not, only the
        first by name is used, and the others refer to it in `reason`.

    Returns
    -------
    list of ChipRecord
        As stored in the table, in its order.
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
    if not allow_duplicates:  # records with equal name, headers and pixels are merged
        rows = list({record.key: record for record in reversed(rows)}.values())[::-1]
    originals: dict[str, ChipRecord] = {}
    for number, record in enumerate(rows):
        if record.has_sky and not allow_duplicates:
            original = originals.setdefault(record.pixel_hash, record)
            reason = "" if original is record else same_pixels(original.name)
            if (record.used, record.reason) != (not reason, reason):
                rows[number] = replace(record, used=not reason, reason=reason)
    return rows


def same_pixels(name: str) -> str:
    """Return the reason why a chip is not used that has the same pixels as another."""
    return f"has the same pixels as {name}; they count once"


def count_exposures(records: Sequence[ChipRecord]) -> int:
    """Return the number of exposures (files) that are part of a mask."""
    chips = Counter((record.file, record.extver) for record in records if record.used)
    # Several files may have the same name, in different folders, and the same extensions.
    files: Counter[str] = Counter()
    for (file, _), number in chips.items():
        files[file] = max(files[file], number)
    return files.total()


def count_chips(records: Sequence[ChipRecord]) -> int:
    """Return the number of SCI extensions that are part of a mask: the largest coverage."""
    return sum(record.used for record in records)
