"""How large a FITS file is, and whether what its headers claim can be true.

Looked at before astropy sees the file: it would read a header that never ends,
unpack what a gzipped file holds, or make room for what a compressed array
claims to be, however much that is.
"""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from staticmask_cli.errors import InputError, printable

BLOCK_SIZE = 2880  # FITS files come in blocks of so many bytes

_CARD = 80  # bytes
_LONGEST_HEADER = 1000 * BLOCK_SIZE  # 36,000 cards; Hubble's have some 300
_MOST_HDUS = 3000  # a Hubble file with hundreds of repeats has fewer
# Whatever unpacks to so little may, however small it is packed; beyond, only
# what shrinks as data do: exposures to a fifth at best, with empty arrays to less.
_ALWAYS_UNPACKED = 2**28
_LARGEST_RATIO = 100

_GZIP = b"\x1f\x8b"
_END = re.compile(rb"END(?![A-Z0-9_-])")
_SIZES = re.compile(rb"(Z?BITPIX|Z?NAXIS\d{0,3}|PCOUNT|GCOUNT|GROUPS) *= *([^ /]+)")
_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Extent:
    """The size of a file.

    Attributes
    ----------
    plain : bool
        Whether it is FITS as it stands, not gzipped.
    size : int
        Its bytes, unpacked.
    """

    plain: bool
    size: int


def measure_extent(path: Path) -> Extent:
    """Walk through a file's headers, unpacking it to its end if it is gzipped.

    Parameters
    ----------
    path : Path
        A regular file.

    Returns
    -------
    Extent

    Raises
    ------
    InputError
        If a header does not end, tells of a negative size or of more than the
        file can hold, or the file goes on behind what its headers tell.
    """
    packed = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(_GZIP)) != _GZIP:
            _walk(path, file, packed, packed)
            return Extent(plain=True, size=packed)
    try:
        with gzip.open(path) as stream:
            return Extent(plain=False, size=_walk(path, stream, packed, None))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{printable(path)}: is not a readable FITS file: {printable(error).rstrip('.')}"
        ) from None


def _walk(path: Path, file: BinaryIO | gzip.GzipFile, packed: int, size: int | None) -> int:
    """Go from header to header and return where the file ends; `size` if that is known."""
    place = 0
    for number in range(_MOST_HDUS + 1):
        if size is not None:
            if place >= size:
                return size
            file.seek(place)
        header = _header(path, file, number)
        if header is None:
            return size if size is not None else file.tell()
        data, unpacked = _claims(path, header, number)
        place += len(header)
        total = place + max(data if size is None else 0, unpacked)
        if total > max(_ALWAYS_UNPACKED, _LARGEST_RATIO * packed):
            raise InputError(
                f"{printable(path)}: HDU {number} claims to unpack to {total} bytes, more than a "
                f"file of {packed} bytes can hold"
            )
        place += -(-data // BLOCK_SIZE) * BLOCK_SIZE
        if size is None and not _skip(file, place):
            return file.tell()
    raise InputError(f"{printable(path)}: has more than {_MOST_HDUS} HDUs; no exposure has")


def _header(path: Path, file: BinaryIO | gzip.GzipFile, number: int) -> bytes | None:
    """Read a header, up to the end of its last block; None if there is none or it is not one."""
    header = bytearray()
    while len(header) < _LONGEST_HEADER:
        block = file.read(BLOCK_SIZE)
        if len(block) < BLOCK_SIZE:
            return None  # the end, or too little for a header: astropy's reader tells
        header += block
        if any(match.start() % _CARD == 0 for match in _END.finditer(block)):
            return bytes(header)
    raise InputError(
        f"{printable(path)}: is damaged: the header of HDU {number} does not end within "
        f"{_LONGEST_HEADER} bytes"
    )


def _claims(path: Path, header: bytes, number: int) -> tuple[int, int]:
    """Return the bytes of an HDU's data, and those of what a compressed array unpacks to."""
    told: dict[bytes, bytes] = {}
    for match in _SIZES.finditer(header):
        if match.start() % _CARD == 0:
            told.setdefault(match[1], match[2])
    try:
        data = _bytes(told, b"")
        unpacked = _bytes(told, b"Z") if b"ZNAXIS" in told else 0
    except (ValueError, OverflowError):
        raise InputError(
            f"{printable(path)}: is damaged: the size of HDU {number} is no number"
        ) from None
    if data < 0 or unpacked < 0:
        raise InputError(f"{printable(path)}: is damaged: HDU {number} has a negative size")
    return data, unpacked


def _bytes(told: dict[bytes, bytes], prefix: bytes) -> int:
    """Return the size of an array that a header tells of."""

    def integer(keyword: bytes, absent: int) -> int:
        value = told.get(keyword)
        return absent if value is None else int(float(value)) if b"." in value else int(value)

    naxis = integer(prefix + b"NAXIS", 0)
    sides = [integer(b"%sNAXIS%d" % (prefix, axis), 0) for axis in range(1, min(naxis, 999) + 1)]
    if told.get(b"GROUPS") == b"T" and sides[:1] == [0]:  # random groups
        sides = sides[1:]
    if not sides:
        return 0
    if min(sides) < 0:
        return -1
    # Not more digits than a claim can need: 999 sides would make a number of thousands.
    pixels = 1
    for side in sides:
        pixels = min(pixels * side, 2**62)
    extra, groups = (0, 1) if prefix else (integer(b"PCOUNT", 0), integer(b"GCOUNT", 1))
    return abs(integer(prefix + b"BITPIX", 8)) // 8 * groups * (extra + pixels)


def _skip(file: BinaryIO | gzip.GzipFile, place: int) -> bool:
    """Unpack up to a place; False if the file ends before."""
    while (left := place - file.tell()) > 0:
        if not file.read(min(left, _PIECE)):
            return False
    return True
