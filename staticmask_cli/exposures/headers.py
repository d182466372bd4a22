"""Contents of a FITS file as plain data, and conversion of header values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from staticmask_cli.exposures.opening import FilePath, Stamp


class HeaderError(ValueError):
    """A header is invalid; the message is the reason, without the file name."""


def as_float(header: Mapping[str, Any], keyword: str, absent: float | None = None) -> float:
    """Return a number from a header, even if it is stored as text.

    Raises
    ------
    HeaderError
        If it is not a finite number, or missing and `absent` is None.
    """
    value = header.get(keyword, absent)
    if value is None:
        raise HeaderError(f"{keyword} is missing")
    try:
        # float() accepts "1_0", which is not a number in FITS.
        number = math.nan if isinstance(value, bool) or "_" in str(value) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise HeaderError(f"{keyword} is {str(value)!r}, not a number")
    return number


def as_integer(header: Mapping[str, Any], keyword: str, absent: int | None = None) -> int:
    """Return an integer from a header, even if it is stored as text or as 2.0.

    Raises
    ------
    HeaderError
        If it is not a whole number, or missing and `absent` is None.
    """
    number = as_float(header, keyword, absent)
    if not number.is_integer():
        raise HeaderError(f"{keyword} is {str(header[keyword])!r}, not a whole number")
    return int(number)


def as_word(header: Mapping[str, Any], keyword: str) -> str:
    """Return a value from a header as stripped text; empty if missing."""
    return str(header.get(keyword, "")).strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageArray:
    """Location and form of the array of an image, so that another process can read it.

    Attributes
    ----------
    path : Path or Url
        The file; an absolute path.
    index : int
        Number of the HDU.
    name : str
        EXTNAME,EXTVER, for messages.
    shape : tuple of int
        In NumPy order: rows, columns.
    dtype : str
        NumPy type string of the data in the file, with byte order.
    offset : int or None
        Start of the array in the file, in bytes; None if only astropy can read
        it (tile-compressed, scaled).
    has_blank : bool
        Whether its BLANK value represents missing values.
    is_flags : bool
        Whether its values are DQ flags, for which BLANK is ignored.
    stamp : tuple
        The file's stamp when it was scanned.
    header_hash : str
        Hash of its header for SCI and DQ extensions; otherwise empty.
    datasum : str
        DATASUM of its header; empty if missing.
    gzipped : bool
        Whether the file is gzipped; `offset` then refers to the unpacked file.
    constant : float or None
        Value of all pixels, if the file contains no array (PIXVALUE).
    """

    path: FilePath
    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    stamp: Stamp
    header_hash: str
    datasum: str
    offset: int | None = None
    has_blank: bool = False
    is_flags: bool = False
    gzipped: bool = False
    constant: float | None = None

    @property
    def is_as_stored(self) -> bool:
        """Whether its pixels are stored without compression, scaling or missing values."""
        return self.offset is not None and (self.is_flags or not self.has_blank)

    @property
    def is_plain(self) -> bool:
        """Whether scanning the headers is enough to know that its pixels can be read."""
        return self.constant is not None or (self.is_as_stored and not self.gzipped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hdu:
    """One HDU of a file.

    Attributes
    ----------
    index : int
        Its number; 0 is the primary HDU.
    name : str
        EXTNAME in upper case.
    version : int
        EXTVER.
    header : mapping
        Its keywords that masks depend on, if they have a value.
    array : ImageArray or None
        Its image; None for tables.
    """

    index: int
    name: str
    version: int
    header: Mapping[str, Any]
    array: ImageArray | None
