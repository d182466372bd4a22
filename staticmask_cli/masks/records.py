"""The statistics of each chip: the rows of a mask's table of exposures."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, overload

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
        return bool(_has_sky(bool(self.pixel_hash), self.nbins, self.local_noise))

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


def _has_sky(was_read: Any, nbins: Any, local_noise: Any) -> Any:
    """Return whether a sky was measured, for one record or for columns of them."""
    has_mode = nbins >= 2  # noqa: PLR2004 - `SkyStatistics.is_usable`
    return was_read & (has_mode | (local_noise > 0))


# NumPy types of the columns, by the type of the attribute; the width of texts varies.
_TYPES = {"str": "S", "int": "i8", "float": "f8", "bool": "?"}
_COLUMNS = {
    one.name: _TYPES[str(one.type)]
    for one in fields(ChipRecord)
    if one.name not in ("ccdchip", "unique")
}
_KEY = ("file", "extver", "header_hash", "pixel_hash")
_NO_PIXELS = np.empty(0, np.uint32)


class Records(Sequence[ChipRecord]):
    """The records of a mask, as stored in its table.

    There may be a hundred thousand. As columns they take a tenth of the memory of objects
    and are compared and sorted at once; a `ChipRecord` is made when one is asked for.

    Parameters
    ----------
    rows : structured ndarray
        A field for each attribute of `ChipRecord` but `ccdchip` and `unique`; texts as ASCII.
    ccdchip : int or None
        CCDCHIP of all records.
    unique : ndarray of uint32
        The attributes `unique`, one after the other.
    sizes : ndarray of int, optional
        Number of pixels of each record in `unique`; if missing, all are 0.
    """

    def __init__(
        self,
        rows: NDArray[Any],
        ccdchip: int | None = None,
        unique: NDArray[np.uint32] = _NO_PIXELS,
        sizes: NDArray[np.int64] | None = None,
    ) -> None:
        self.rows = rows
        self.ccdchip = ccdchip
        self.unique = unique
        self.sizes = np.zeros(rows.size, np.int64) if sizes is None else sizes
        self._ends = self.sizes.cumsum()

    @classmethod
    def of(cls, records: Iterable[ChipRecord] = (), ccdchip: int | None = None) -> Records:
        """Return records of a run as stored in a table, without their unique pixels."""
        stored = [record.in_table() for record in records]
        columns = {
            name: np.array([getattr(record, name) for record in stored], kind)
            for name, kind in _COLUMNS.items()
        }
        return cls.from_columns(columns, ccdchip)

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, NDArray[Any]], ccdchip: int | None = None, *pixels: NDArray[Any]
    ) -> Records:
        """Return records from an array for each attribute; other parameters as of the class."""
        kinds = [(name, columns[name].dtype if k == "S" else k) for name, k in _COLUMNS.items()]
        rows = np.empty(columns["file"].size, kinds)
        for name in _COLUMNS:
            rows[name] = columns[name]
        return cls(rows, ccdchip, *pixels)

    def __len__(self) -> int:
        return self.rows.size

    @overload
    def __getitem__(self, index: int) -> ChipRecord: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ChipRecord, ...]: ...
    def __getitem__(self, index: int | slice) -> ChipRecord | tuple[ChipRecord, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        values = dict(zip(_COLUMNS, self.rows[index].item(), strict=True))
        texts = {name: v.decode() for name, v in values.items() if isinstance(v, bytes)}
        end = self._ends[index]
        unique = self.unique[end - self.sizes[index] : end]
        return ChipRecord(**values | texts, ccdchip=self.ccdchip, unique=unique)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"<Records: {len(self)}>"

    @property
    def has_sky(self) -> NDArray[np.bool_]:
        """The property of each record."""
        rows = self.rows
        has_sky: NDArray[np.bool_] = _has_sky(
            rows["pixel_hash"] != b"", rows["nbins"], rows["local_noise"]
        )
        return has_sky

    @property
    def gives(self) -> NDArray[np.bool_]:
        """The property of each record."""
        gives: NDArray[np.bool_] = self.rows["used"] | self.has_sky
        return gives

    @property
    def failed(self) -> NDArray[np.bool_]:
        """The property of each record."""
        failed: NDArray[np.bool_] = self.rows["header_hash"] == b""
        return failed

    @property
    def n_chips(self) -> int:
        """Number of SCI extensions that are part of the mask: the largest coverage."""
        return int(self.rows["used"].sum())

    @cached_property
    def n_exposures(self) -> int:
        """Number of exposures (files) that are part of the mask."""
        used = self.rows[self.rows["used"]]
        chips = Counter(zip(used["file"].tolist(), used["extver"].tolist(), strict=True))
        # Several files may have the same name, in different folders, and the same extensions.
        files: Counter[bytes] = Counter()
        for (file, _), number in chips.items():
            files[file] = max(files[file], number)
        return files.total()

    @cached_property
    def _files(self) -> NDArray[np.bytes_]:
        return np.ascontiguousarray(self.rows["file"])

    def named(self, file: str) -> tuple[ChipRecord, ...]:
        """Return the records of the files of a name; all must be in the order of a table."""
        name = file_text(file).encode()
        if len(name) > self._files.itemsize:
            return ()
        begin, end = (
            int(np.searchsorted(self._files, np.array(name, self._files.dtype), side))
            for side in ("left", "right")
        )
        return self[begin:end]

    def where(self, chosen: NDArray[np.bool_ | np.intp]) -> Records:
        """Return some of the records, in the given order, without their unique pixels."""
        return Records(self.rows[chosen], self.ccdchip)

    def replaced_by(self, given: Iterable[str], superseded: Iterable[ChipRecord]) -> Records:
        """Return the records that stay in a mask to which exposures are added.

        Parameters
        ----------
        given : iterable of str
            Names of the files given to the run; their records go, unless they contribute.
        superseded : iterable of ChipRecord
            Further records that go, each once.
        """
        names = [file_text(name).encode() for name in given]
        stays = self.gives | ~np.isin(self.rows["file"], np.array(names, np.bytes_))
        gone = Counter(record.key for record in superseded)
        files = [file.encode() for file, *_ in gone]
        for row in np.flatnonzero(np.isin(self.rows["file"], np.array(files, np.bytes_))).tolist():
            if gone[key := self[row].key]:
                gone[key] -= 1
                stays[row] = False
        return self.where(stays)

    def is_same_as(self, other: Records) -> bool:
        """Return whether two versions of a mask have the same exposures, used in the same way."""
        columns = (*_KEY, "used", "reason")
        return all(np.array_equal(self.rows[name], other.rows[name]) for name in columns)

    def changes(self, other: Records) -> list[ChipRecord]:
        """Return the records that are not in both of two versions of a mask."""
        columns = (*_KEY, "used", "reason")
        mine, others = (
            {row: i for i, row in enumerate(one.rows[[*columns]].tolist())} for one in (self, other)
        )
        return [
            *(self[i] for row, i in mine.items() if row not in others),
            *(other[i] for row, i in others.items() if row not in mine),
        ]


def merged(parts: Iterable[Records], *, allow_duplicates: bool) -> Records:
    """Return the records of the mask of several sets of exposures, in the order of its table.

    They do not depend on how the exposures are divided into sets.

    Parameters
    ----------
    parts : iterable of Records
        The records of each set; at least one.
    allow_duplicates : bool
        Whether to use all of several chips with the same pixels. If not, only the
        first by name is used, and the others refer to it in `reason`.

    Returns
    -------
    Records
        Without their unique pixels, which `MaskBuilder` knows.
    """
    parts = list(parts)
    together = Records(np.concatenate([part.rows for part in parts]), parts[0].ccdchip)
    chosen = np.flatnonzero(_is_wanted(together))
    order = [together.rows[name][chosen] for name in (*_KEY, "used", "reason")]
    order[-2] = ~order[-2]  # used ones first
    by_name = np.lexsort(order[::-1])
    chosen = chosen[by_name]
    # Of records with equal name, headers and pixels, the first is kept, unless each counts.
    kept = together.gives[chosen] & allow_duplicates
    kept[:1] = True
    for values in order[: len(_KEY)]:
        kept[1:] |= values[by_name[1:]] != values[by_name[:-1]]
    records = together.where(chosen[kept])
    del together  # may be large
    return records if allow_duplicates else _without_copies(records)


def _is_wanted(records: Records) -> NDArray[np.bool_]:
    """Return which records are listed: not those that give nothing if another of the name does."""
    wanted = records.gives
    idle = np.flatnonzero(~wanted)
    rows, failed = records.rows, records.failed
    related = np.isin(rows["file"], rows["file"][idle])
    good = set(rows["file"][related & ~failed].tolist())
    giving = set(rows[["file", "extver"]][related & wanted].tolist())
    wanted[idle] = [
        not (chip[0] in good if has_failed else chip in giving)
        for chip, has_failed in zip(
            rows[["file", "extver"]][idle].tolist(), failed[idle].tolist(), strict=True
        )
    ]
    return wanted


def _without_copies(records: Records) -> Records:
    """Use the first of several sorted records with the same pixels."""
    rows = records.rows
    sky = np.flatnonzero(records.has_sky)
    _, first, group = np.unique(rows["pixel_hash"][sky], return_index=True, return_inverse=True)
    original = sky[first[group]]
    copies = np.flatnonzero(sky != original)
    reasons = [same_pixels(records[original[i]].name).encode() for i in copies]
    width = max([rows["reason"].itemsize, *map(len, reasons)])
    kinds = {name: rows.dtype[name] for name in _COLUMNS} | {"reason": np.dtype(f"S{width}")}
    rows = rows.astype(list(kinds.items()), copy=False)
    rows["used"][sky] = sky == original
    rows["reason"][sky] = b""
    rows["reason"][sky[copies]] = reasons
    return Records(rows, records.ccdchip)


def same_pixels(name: str) -> str:
    """Return the reason why a chip is not used that has the same pixels as another."""
    return f"has the same pixels as {name}; they count once"
