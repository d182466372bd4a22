"""Positions of the HDUs of a FITS file, and whether the claims of its headers are possible.

Checked before astropy opens the file. astropy would read a header without end,
loop over billions of axes, unpack any amount of gzipped data, allocate whatever
size a compressed array claims, and treat an invalid header as the end of the file.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from staticmask_cli.errors import InputError

BLOCK_SIZE = 2880  # bytes per block of a FITS file

_CARD = 80  # bytes
_LONGEST_HEADER = 1000 * BLOCK_SIZE  # 36,000 cards; Hubble headers have some 300
_MOST_HDUS = 3000  # a Hubble file with hundreds of repeats has fewer
_MOST = 999  # axes, or columns of a table, allowed by the FITS standard
# Files may always unpack to this many bytes; beyond, at most by this ratio.
# Exposures compress to a fifth at best, or to less if they contain empty arrays.
_ALWAYS_UNPACKED = 2**28
_LARGEST_RATIO = 100

_GZIP = b"\x1f\x8b"
_OTHER_COMPRESSORS = {
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x1f\x9d": "compress",
}
# Bytes that copying and preallocating may append after the last HDU: ignored.
_FILLING = b"\0 \t\r\n\x1a"
_SIMPLE = re.compile(rb"SIMPLE  = *T[ /]")
_END = re.compile(rb"END(?![A-Z0-9_-])")
_SIZES = re.compile(rb"(Z?BITPIX|Z?NAXIS\d{0,3}|PCOUNT|GCOUNT|GROUPS|TFIELDS) *= *([^ /]{1,40})")
_BITPIX = (8, 16, 32, 64, -32, -64)
_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Place:
    """Position of one HDU, in bytes of the unpacked file.

    Attributes
    ----------
    offset : int
        Start of its data.
    header_hash : str
        Hash of the cards of its header.
    """

    offset: int
    header_hash: str


@dataclass(frozen=True, slots=True)
class Extent:
    """The HDUs of a file.

    Attributes
    ----------
    gzipped : bool
        Whether the file is gzipped.
    places : tuple of Place
        Positions of its HDUs.
    notes : tuple of str
        Warnings about its end, without the file name.
    """

    gzipped: bool
    places: tuple[Place, ...]
    notes: tuple[str, ...]


def measure_extent(path: Path, most: int | None = None) -> Extent:
    """Read all headers of a file; if it is gzipped, unpack it to its end.

    Parameters
    ----------
    path : Path
        A regular file.
    most : int, optional
        Read only this many headers, and nothing after them.

    Returns
    -------
    Extent

    Raises
    ------
    InputError
        If the file is not FITS or is truncated, if a header is invalid, has no
        end or claims more than the file can contain, or if other data follow.
    """
    with path.open("rb") as file:
        beginning = file.read(max(map(len, _OTHER_COMPRESSORS)))
        for magic, compressor in _OTHER_COMPRESSORS.items():
            if beginning.startswith(magic):
                raise InputError(
                    f"{path}: is compressed with {compressor}; unpack it, or use gzip or fpack"
                )
        packed = path.stat().st_size
        file.seek(0)
        if not beginning.startswith(_GZIP):
            return _Walk(path, file, packed, size=packed).extent(most)
    with gzip.open(path) as stream:
        return _Walk(path, stream, packed, size=None).extent(most)


class _Walk:
    """A pass over the headers of a file; `size` in bytes, None if it must be unpacked."""

    def __init__(
        self, path: Path, file: BinaryIO | gzip.GzipFile, packed: int, *, size: int | None
    ) -> None:
        self._path = path
        self._file = file
        self._packed = packed
        self._size = size

    def extent(self, most: int | None) -> Extent:
        """Return the extent of the file, or of its first `most` HDUs."""
        places: list[Place] = []
        note = ""
        while len(places) != most and (block := self._file.read(BLOCK_SIZE)):
            number = len(places)
            if number == 0 and not _SIMPLE.match(block):
                break
            if number and not block.startswith(b"XTENSION"):
                note = self._filling(block, number)
                break
            if number == _MOST_HDUS:
                raise self._error(f"has more than {_MOST_HDUS} HDUs")
            header = self._header(block, number)
            offset = self._file.tell()
            data = self._data_size(header, number, offset)
            places.append(Place(offset, hashlib.sha256(header).hexdigest()[:32]))
            if len(places) != most:
                note = self._skip(offset, data, number)
        if not places:
            raise self._error("is not a FITS file: no SIMPLE card")
        return Extent(self._size is None, tuple(places), (note,) if note else ())

    def _error(self, reason: str) -> InputError:
        return InputError(f"{self._path}: {reason}")

    def _header(self, block: bytes, number: int) -> bytes:
        """Read a header to the end of its last block; return its cards, without END."""
        header = bytearray()
        while len(header) < _LONGEST_HEADER:
            if len(block) < BLOCK_SIZE:
                raise self._error(f"is truncated within the header of HDU {number}")
            for match in _END.finditer(block):
                if match.start() % _CARD == 0:
                    return bytes(header + block[: match.start()])
            header += block
            block = self._file.read(BLOCK_SIZE)
        raise self._error(
            f"is damaged: the header of HDU {number} does not end within {_LONGEST_HEADER} bytes"
        )

    def _data_size(self, header: bytes, number: int, offset: int) -> int:
        """Return the size of the data of an HDU in bytes; raise if it is impossible."""
        values: dict[bytes, bytes] = {}
        for card in range(0, len(header), _CARD):
            if match := _SIZES.match(header, card, card + _CARD):
                values.setdefault(match[1], match[2])
        try:
            data = _bytes(values, b"")
            unpacked = _bytes(values, b"Z") if b"ZNAXIS" in values else 0
            columns = _integer(values, b"TFIELDS", b"0")
        except ValueError as error:
            raise self._error(f"is damaged: HDU {number}: {error}") from None
        if not 0 <= columns <= _MOST:
            raise self._error(f"is damaged: HDU {number}: TFIELDS is {columns}, not 0 to {_MOST}")
        most = offset + max(data if self._size is None else 0, unpacked)
        self._check_unpacked(most, f"HDU {number} claims to unpack")
        return data

    def _check_unpacked(self, size: int, what: str) -> None:
        if size > max(_ALWAYS_UNPACKED, _LARGEST_RATIO * self._packed):
            raise self._error(
                f"{what} to {size} bytes, more than a file of {self._packed} bytes can contain"
            )

    def _skip(self, offset: int, data: int, number: int) -> str:
        """Seek to the end of the last block of an HDU; return a warning if the file ends before."""
        place = offset + -(-data // BLOCK_SIZE) * BLOCK_SIZE
        if self._size is not None:
            self._file.seek(min(place, self._size))
        else:
            while (left := place - self._file.tell()) and self._file.read(min(left, _PIECE)):
                pass
        missing = offset + data - self._file.tell()
        if missing > 0:
            raise self._error(f"is truncated: {missing} bytes of HDU {number} are missing")
        if self._file.tell() < place:
            return f"ends within the padding of HDU {number}; may be truncated"
        return ""

    def _filling(self, block: bytes, number: int) -> str:
        """Return a warning about filling after the last HDU; anything else is an error."""
        begin = self._file.tell() - len(block)
        while block:
            if block.strip(_FILLING):
                raise self._error(f"is damaged: the header of HDU {number} is not FITS")
            self._check_unpacked(self._file.tell(), "unpacks")
            block = self._file.read(_PIECE)
        return f"{self._file.tell() - begin} bytes after the last HDU are ignored"


def _bytes(values: dict[bytes, bytes], prefix: bytes) -> int:
    """Return the size in bytes of the array that a header claims."""
    naxis, bitpix = (_integer(values, prefix + name) for name in (b"NAXIS", b"BITPIX"))
    if not 0 <= naxis <= _MOST:
        raise ValueError(f"{prefix.decode()}NAXIS is {naxis}, not 0 to {_MOST}")
    if bitpix not in _BITPIX:
        raise ValueError(f"{prefix.decode()}BITPIX is {bitpix}, not one of {_BITPIX}")
    sides = [_integer(values, b"%sNAXIS%d" % (prefix, axis)) for axis in range(1, naxis + 1)]
    if values.get(b"GROUPS") == b"T" and sides[:1] == [0]:  # random groups
        sides = sides[1:]
    if not sides:
        return 0
    # Limited, because a product of 999 sides could have thousands of digits.
    pixels = 1
    for side in sides:
        pixels = min(pixels * side, 2**62)
    extra, groups = 0, 1
    if not prefix:
        extra, groups = _integer(values, b"PCOUNT", b"0"), _integer(values, b"GCOUNT", b"1")
    if min(*sides, extra, groups) < 0:
        raise ValueError("negative size")
    return abs(bitpix) // 8 * groups * (extra + pixels)


def _integer(values: dict[bytes, bytes], keyword: bytes, absent: bytes = b"") -> int:
    value = values.get(keyword, absent)
    if not value:
        raise ValueError(f"{keyword.decode()} is missing")
    try:
        return int(float(value)) if b"." in value else int(value)
    except (ValueError, OverflowError):
        shown = value[:20].decode("latin-1")
        raise ValueError(f"{keyword.decode()} is {shown}, not a whole number") from None
