"""What a FITS file holds, as far as masks need to know it: plain data, nothing read."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


def file_stamp(status: os.stat_result) -> tuple[int, int]:
    """Return what changes if a file is written to: its size and the time of its last change."""
    return status.st_size, status.st_mtime_ns


class HeaderError(ValueError):
    """What a header says makes no sense; the message is the reason, without a file name."""


def as_float(header: Mapping[str, Any], keyword: str, absent: float | None = None) -> float:
    """Return a number from a header, also if it is written as text.

    Raises
    ------
    HeaderError
        If it is not a finite number, or missing and `absent` is None.
    """
    value = header.get(keyword, absent)
    if value is None:
        raise HeaderError(f"no {keyword} in the header")
    try:
        # Of what float() reads in a text, "1_0" is not a number in FITS.
        number = math.nan if isinstance(value, bool) or "_" in str(value) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise HeaderError(f"{keyword} is {str(value)!r}, not a number")
    return number


def as_integer(header: Mapping[str, Any], keyword: str, absent: int | None = None) -> int:
    """Return a whole number from a header, also if it is written as text or as 2.0.

    Raises
    ------
    HeaderError
        If it is not a whole number, or missing and `absent` is None.
    """
    number = as_float(header, keyword, absent)
    if not number.is_integer():
        raise HeaderError(f"{keyword} is {str(header[keyword])!r}, not a whole number")
    return int(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageArray:
    """Where an image's array is, so that it can be read later and elsewhere.

    Attributes
    ----------
    path : str
        The file.
    index : int
        Number of the HDU.
    name : str
        EXTNAME,EXTVER for messages.
    shape : tuple of int
        numpy's order: rows, columns.
    dtype : str
        numpy's name of the type in the file, with its byte order.
    offset : int or None
        Where the array begins in the file; None if only astropy can read it
        (tile-compressed, scaled).
    has_blank : bool
        Whether BLANK stands for "no value" in it.
    is_flags : bool
        Whether its values are DQ flags: bits, none of which stands for "no value".
    stamp : tuple of int
        Size and time of change of the file when it was scanned.
    header_hash : str
        Hash of its header, if it can be a chip's science or flags; else empty.
    datasum : str
        DATASUM of its header; empty if there is none.
    gzipped : bool
        Whether the whole file is gzipped; `offset` then is in what it unpacks to.
    constant : float or None
        The value of all pixels, if the file holds no array (PIXVALUE).
    """

    path: str
    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    stamp: tuple[int, int]
    header_hash: str
    datasum: str
    offset: int | None = None
    has_blank: bool = False
    is_flags: bool = False
    gzipped: bool = False
    constant: float | None = None

    @property
    def is_as_stored(self) -> bool:
        """Whether its pixels stand in the file as they are."""
        return self.offset is not None and (self.is_flags or not self.has_blank)

    @property
    def is_plain(self) -> bool:
        """Whether nothing that scanning has not seen can be wrong with its pixels."""
        return self.constant is not None or (self.is_as_stored and not self.gzipped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hdu:
    """One HDU of a file.

    Attributes
    ----------
    index : int
        Its number, the primary being 0.
    name : str
        EXTNAME in upper case.
    version : int
        EXTVER.
    header : mapping
        Those of its keywords that have a value and that masks depend on.
    array : ImageArray or None
        Its image, if it is one.
    """

    index: int
    name: str
    version: int
    header: Mapping[str, Any]
    array: ImageArray | None
