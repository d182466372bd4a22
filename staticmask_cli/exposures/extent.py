"""Positions of the HDUs of a FITS file, and whether the claims of its headers are possible.

Checked before astropy opens the file. astropy would read a header without end,
loop over billions of axes, unpack any amount of gzipped data, allocate whatever
size a compressed array claims, and treat an invalid header as the end of the file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.gzipped import Readable, open_gzipped
from staticmask_cli.exposures.opening import FilePath, Stamp, open_file, stamp_of

BLOCK_SIZE = 2880  # bytes per block of a FITS file

_CARD = 80  # bytes
_KEYWORD = 8  # bytes
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
_SIZES = re.compile(rb"([A-Z0-9]+) *= *([^ /]{1,40})")
_BITPIX = (8, 16, 32, 64, -32, -64)
_PIECE = 2**20


def padded(*keywords: str) -> frozenset[bytes]:
    """Return keywords as they stand in cards, for `selected`.

    Examples
    --------
    >>> padded("END", "BITPIX") == {b"END     ", b"BITPIX  "}
    True
    """
    return frozenset(keyword.encode("ascii").ljust(_KEYWORD) for keyword in keywords)


_SIZE_KEYWORDS = padded(
    *(prefix + name for prefix in ("", "Z") for name in ("BITPIX", "NAXIS")),
    *(f"{prefix}NAXIS{axis}" for prefix in ("", "Z") for axis in range(1, _MOST + 1)),
    *("PCOUNT", "GCOUNT", "GROUPS", "TFIELDS"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """One HDU of a file.

    Attributes
    ----------
    offset, size : int
        Start and size of its data, in bytes of the unpacked file.
    cards : bytes
        Its header: cards of 80 bytes, without END.
    bitpix, shape : int, tuple of int
        BITPIX and shape, in NumPy order, of its array; of a tile-compressed image,
        those of the image.
    """

    offset: int
    size: int
    cards: bytes
    bitpix: int
    shape: tuple[int, ...]

    @property
    def header_hash(self) -> str:
        """Hash of its header."""
        return hashlib.sha256(self.cards).hexdigest()[:32]


def selected(header: bytes, keywords: Container[bytes]) -> Iterator[bytes]:
    """Yield the cards of some keywords, which are `padded`, with their continuations.

    Most keywords of an exposure are never used; parsing all takes ten times as long.
    """
    start = 0
    while start < len(header):
        end = start + _CARD
        while header[end : end + _KEYWORD] == b"CONTINUE":
            end += _CARD
        if header[start : start + _KEYWORD] in keywords:
            yield header[start:end]
        start = end


@dataclass(frozen=True, slots=True)
class Extent:
    """The HDUs of a file.

    Attributes
    ----------
    stamp : tuple
        Its stamp when it was opened.
    gzipped : bool
        Whether the file is gzipped.
    places : tuple of Place
        Its HDUs.
    notes : tuple of str
        Warnings about its end, without the file name.
    """

    stamp: Stamp
    gzipped: bool
    places: tuple[Place, ...]
    notes: tuple[str, ...]


def measure_extent(path: FilePath, most: int | None = None) -> Extent:
    """Read all headers of a file; if it is gzipped, unpack it to its end.

    Parameters
    ----------
    path : Path or Url
        A regular file.
    most : int, optional
        Read only this many headers, and nothing after them.

    Returns
    -------
    Extent

    Raises
    ------
    InputError
        As for `Walk`.
    """
    with walk(path) as hdus:
        places = tuple(islice(hdus, most))
        return Extent(hdus.stamp, hdus.gzipped, places, hdus.notes)


@contextmanager
def walk(path: FilePath) -> Iterator[Walk]:
    """Open a file for one pass over its HDUs.

    Raises
    ------
    InputError
        If the file is compressed in another way than by gzip.
    """
    with ExitStack() as opened:
        stamp = stamp_of(path)
        file: Readable = opened.enter_context(open_file(path, stamp[0]))
        beginning = file.read(max(map(len, _OTHER_COMPRESSORS)))
        for magic, compressor in _OTHER_COMPRESSORS.items():
            if beginning.startswith(magic):
                raise InputError(
                    f"{path}: is compressed with {compressor}; unpack it, or use gzip or fpack"
                )
        file.seek(0)
        gzipped = beginning.startswith(_GZIP)
        if gzipped:
            file = opened.enter_context(open_gzipped(path, stamp[0]))
        yield Walk(path, file, stamp, gzipped=gzipped)


class Walk:
    """One pass over the HDUs of a file, from its beginning to its end.

    Iterating yields each HDU when its header has been read. The data that have not
    been read from `file` by then are skipped.

    Parameters
    ----------
    path : Path or Url
        The file, for messages.
    file : file object
        The unpacked file.
    stamp : tuple
        The file's stamp when it was opened.
    gzipped : bool
        Whether `file` unpacks it.

    Attributes
    ----------
    file, stamp, gzipped
        As the parameters.
    notes : tuple of str
        Warnings about the end of the file, without its name.

    Raises
    ------
    InputError
        While iterating: if the file is not FITS or is truncated, if a header is
        invalid, has no end or claims more than the file can contain, or if other
        data follow.
    """

    def __init__(self, path: FilePath, file: Readable, stamp: Stamp, *, gzipped: bool) -> None:
        self.file = file
        self.stamp = stamp
        self.gzipped = gzipped
        self.notes: tuple[str, ...] = ()
        self._path = path
        self._packed = stamp[0]
        # Unknown for a gzipped file, until it has been unpacked.
        self._size = None if gzipped else stamp[0]

    def __iter__(self) -> Iterator[Place]:
        number = 0
        while block := self.file.read(BLOCK_SIZE):
            if number == 0 and not _SIMPLE.match(block):
                break
            if number and not block.startswith(b"XTENSION"):
                self.notes += (self._filling(block, number),)
                break
            if number == _MOST_HDUS:
                raise self._error(f"has more than {_MOST_HDUS} HDUs")
            place = self._place(self._header(block, number), number)
            yield place
            self._skip(place, number)
            number += 1
        if not number:
            raise self._error("is not a FITS file: no SIMPLE card")

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
            block = self.file.read(BLOCK_SIZE)
        raise self._error(
            f"is damaged: the header of HDU {number} does not end within {_LONGEST_HEADER} bytes"
        )

    def _place(self, header: bytes, number: int) -> Place:
        """Return an HDU whose header was just read; raise if its size is impossible."""
        offset = self.file.tell()
        values: dict[bytes, bytes] = {}
        for card in selected(header, _SIZE_KEYWORDS):
            if match := _SIZES.match(card, 0, _CARD):
                values.setdefault(match[1], match[2])
        try:
            array = stored = _claimed(values, b"")
            if b"ZNAXIS" in values:
                array = _claimed(values, b"Z")
            columns = _integer(values, b"TFIELDS", b"0")
        except ValueError as error:
            raise self._error(f"is damaged: HDU {number}: {error}") from None
        if not 0 <= columns <= _MOST:
            raise self._error(f"is damaged: HDU {number}: TFIELDS is {columns}, not 0 to {_MOST}")
        unpacks = self._size is None or array is not stored
        if unpacks:
            most = offset + max(array.size, stored.size if self._size is None else 0)
            self._check_unpacked(most, f"HDU {number} claims to unpack")
        return Place(offset, stored.size, header, array.bitpix, array.shape)

    def _check_unpacked(self, size: int, what: str) -> None:
        if size > max(_ALWAYS_UNPACKED, _LARGEST_RATIO * self._packed):
            raise self._error(
                f"{what} to {size} bytes, more than a file of {self._packed} bytes can contain"
            )

    def _skip(self, place: Place, number: int) -> None:
        """Seek to the end of the last block of an HDU; warn if the file ends before."""
        end = place.offset + -(-place.size // BLOCK_SIZE) * BLOCK_SIZE
        if self._size is not None:
            self.file.seek(min(end, self._size))
        else:
            while (left := end - self.file.tell()) and self.file.read(min(left, _PIECE)):
                pass
        missing = place.offset + place.size - self.file.tell()
        if missing > 0:
            raise self._error(f"is truncated: {missing} bytes of HDU {number} are missing")
        if self.file.tell() < end:
            self.notes += (f"ends within the padding of HDU {number}; may be truncated",)

    def _filling(self, block: bytes, number: int) -> str:
        """Return a warning about filling after the last HDU; anything else is an error."""
        begin = self.file.tell() - len(block)
        while block:
            if block.strip(_FILLING):
                raise self._error(f"is damaged: the header of HDU {number} is not FITS")
            self._check_unpacked(self.file.tell(), "unpacks")
            block = self.file.read(_PIECE)
        return f"{self.file.tell() - begin} bytes after the last HDU are ignored"


class _Claim(NamedTuple):
    """The array that a header claims: BITPIX, shape in NumPy order, and size in bytes."""

    bitpix: int
    shape: tuple[int, ...]
    size: int


def _claimed(values: dict[bytes, bytes], prefix: bytes) -> _Claim:
    """Return the array that a header claims; ValueError if there can be no such array."""
    naxis, bitpix = (_integer(values, prefix + name) for name in (b"NAXIS", b"BITPIX"))
    if not 0 <= naxis <= _MOST:
        raise ValueError(f"{prefix.decode()}NAXIS is {naxis}, not 0 to {_MOST}")
    if bitpix not in _BITPIX:
        raise ValueError(f"{prefix.decode()}BITPIX is {bitpix}, not one of {_BITPIX}")
    sides = [_integer(values, b"%sNAXIS%d" % (prefix, axis)) for axis in range(1, naxis + 1)]
    if values.get(b"GROUPS") == b"T" and sides[:1] == [0]:  # random groups
        sides = sides[1:]
    if not sides:
        return _Claim(bitpix, (), 0)
    # Limited, because a product of 999 sides could have thousands of digits.
    pixels = 1
    for side in sides:
        pixels = min(pixels * side, 2**62)
    extra, groups = 0, 1
    if not prefix:
        extra, groups = _integer(values, b"PCOUNT", b"0"), _integer(values, b"GCOUNT", b"1")
    if min(*sides, extra, groups) < 0:
        raise ValueError("negative size")
    return _Claim(bitpix, tuple(sides[::-1]), abs(bitpix) // 8 * groups * (extra + pixels))


def _integer(values: dict[bytes, bytes], keyword: bytes, absent: bytes = b"") -> int:
    value = values.get(keyword, absent)
    if not value:
        raise ValueError(f"{keyword.decode()} is missing")
    try:
        return int(float(value)) if b"." in value else int(value)
    except (ValueError, OverflowError):
        shown = value[:20].decode("latin-1")
        raise ValueError(f"{keyword.decode()} is {shown}, not a whole number") from None
