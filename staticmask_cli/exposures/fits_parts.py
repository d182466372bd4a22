"""A FITS file as its parts, so that some of them can be changed and all others copied.

astropy would rewrite headers and data that do not change. Here, whatever is not
replaced is copied byte for byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.extent import BLOCK_SIZE, measure_extent
from staticmask_cli.exposures.fits_files import file_errors
from staticmask_cli.exposures.gzipped import open_gzipped

CARD = 80  # bytes
_PIECE = 2**20
_ONES = 2**32 - 1  # what the words of an HDU with a valid CHECKSUM add up to
_TEXT_CARD = re.compile(rb"(.{8})= '[^']*' *(/.*)?", re.DOTALL)
_FIXED_FORMAT = re.compile(rb".{8}= (?=.{70}\Z) *\d+.{50}\Z", re.DOTALL)
_NOT_IN_SUMS = {*range(0x3A, 0x41), *range(0x5B, 0x61)}  # punctuation


@dataclass(frozen=True, slots=True)
class Stored:
    """Data as they are stored in the file, with padding.

    Attributes
    ----------
    offset, size : int
        Their place, in bytes of the unpacked file.
    """

    offset: int
    size: int

    def pieces(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield the bytes."""
        file.seek(self.offset)
        left = self.size
        while left and (piece := file.read(min(left, _PIECE))):
            left -= len(piece)
            yield piece
        if left:
            raise EOFError("the file has become shorter")


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """Data that are not stored in the file: `make` returns them, with padding."""

    make: Callable[[BinaryIO], bytes | bytearray]

    def pieces(self, file: BinaryIO) -> Iterator[bytes | bytearray]:
        """Yield the bytes."""
        yield self.make(file)


Data = Stored | Made


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One HDU: its header and its data, both padded to whole blocks."""

    header: bytes
    data: Data

    def content(self, file: BinaryIO) -> bytearray:
        """Return the data."""
        return bytearray().join(self.data.pieces(file))

    def hash(self, file: BinaryIO) -> str:
        """Return the hash of header and data, as text."""
        found = hashlib.sha256(self.header)
        for piece in self.data.pieces(file):
            found.update(piece)
        return found.hexdigest()[:32]

    def is_whole(self, file: BinaryIO) -> bool:
        """Return whether it has a correct CHECKSUM."""
        total = sum_of(self.data.pieces(file), sum_of([self.header]))
        return self.card("CHECKSUM") is not None and total == _ONES

    @property
    def cards(self) -> list[bytes]:
        """The cards of its header, without END."""
        return cards_of(self.header)

    def card(self, keyword: str) -> bytes | None:
        """Return the first card of a keyword; None if it is missing."""
        start = keyword.encode().ljust(8)
        return next((card for card in self.cards if card.startswith(start)), None)

    def integer(self, keyword: str) -> int | None:
        """Return the whole number that a keyword has; None if it has none."""
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            value = float(_value(self.card(keyword)))
            return int(value) if value.is_integer() else None
        return None

    def text(self, keyword: str) -> str:
        """Return the text of a keyword; empty if it is missing."""
        value = _value(self.card(keyword))
        return value.strip() if isinstance(value, str) else ""

    @property
    def name(self) -> str:
        """EXTNAME,EXTVER."""
        number = self.integer("EXTVER")
        return f"{self.text('EXTNAME').upper()},{1 if number is None else number}"

    def with_cards(self, cards: Iterable[bytes]) -> Part:
        """Return it with another header."""
        return replace(self, header=header_of(cards))

    def with_card(self, card: bytes) -> Part:
        """Return it with another card in place of the first one of that keyword."""
        cards = self.cards
        place = next(i for i, old in enumerate(cards) if old[:8] == card[:8])
        return self.with_cards([*cards[:place], card, *cards[place + 1 :]])

    def with_integer(self, keyword: str, value: int) -> Part:
        """Return it with another number for a keyword that has one, with its comment."""
        card = self.card(keyword) or b""
        comment = card[30:]
        if not _FIXED_FORMAT.match(card):
            comment = b" /" + card.partition(b"/")[2]
        return self.with_card((b"%-8b= %20d" % (keyword.encode(), value) + comment)[:CARD])

    def with_sums(self, file: BinaryIO) -> Part:
        """Return it with the CHECKSUM and DATASUM of its contents, where it has them."""
        part = self
        old = {keyword: part.card(keyword) for keyword in ("DATASUM", "CHECKSUM")}
        data_sum = sum_of(part.data.pieces(file)) if any(old.values()) else 0
        if old["DATASUM"] is not None:
            part = part.with_card(_text_card(old["DATASUM"], b"%d" % data_sum))
        if old["CHECKSUM"] is not None:
            part = part.with_card(_text_card(old["CHECKSUM"], b"0" * 16))
            total = sum_of([part.header], data_sum)
            part = part.with_card(_text_card(old["CHECKSUM"], _encoded(_ONES - total)))
        return part


@dataclass(frozen=True, slots=True, eq=False)
class FitsFile:
    """The parts of a FITS file.

    Attributes
    ----------
    path : Path
        The file that `Stored` data refer to.
    gzipped : bool
        Whether it is gzipped.
    parts : tuple of Part
        The HDUs.
    tail : Stored
        Filling after the last HDU.
    """

    path: Path
    gzipped: bool
    parts: tuple[Part, ...]
    tail: Stored

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open the file for reading its contents; errors as for `file_errors`."""
        with file_errors(self.path), _opened(self.path, gzipped=self.gzipped) as file:
            yield file

    def pieces(self, file: BinaryIO) -> Iterator[bytes | bytearray]:
        """Yield its contents."""
        for part in self.parts:
            yield part.header
            yield from part.data.pieces(file)
        yield from self.tail.pieces(file)

    def write(self, sink: Any) -> None:
        """Write its contents to a file that is open for writing."""
        failure = None
        with self.opened() as file:
            pieces = self.pieces(file)
            while piece := _next(pieces):
                try:
                    sink.write(piece)
                except OSError as error:  # not of this file
                    failure = error
                    break
        if failure is not None:
            raise failure

    def is_same_as(self, other: FitsFile) -> bool:
        """Return whether the contents of another file are the same."""
        if [part.header for part in self.parts] != [part.header for part in other.parts]:
            return False
        data = [[*(part.data for part in file.parts), file.tail] for file in (self, other)]
        with self.opened() as own, other.opened() as others:
            return all(
                b"".join(mine.pieces(own)) == b"".join(theirs.pieces(others))
                for mine, theirs in zip(*data, strict=True)
            )


def _next(pieces: Iterator[bytes | bytearray]) -> bytes | bytearray | None:
    return next((piece for piece in pieces if piece), None)


def fits_file(path: Path) -> FitsFile:
    """Find the parts of a FITS file.

    Raises
    ------
    InputError
        If it cannot be read, is not FITS or is damaged.
    """
    with file_errors(path):
        extent = measure_extent(path)
        with _opened(path, gzipped=extent.gzipped) as file:
            parts: list[Part] = []
            start = 0
            for place in extent.places:
                file.seek(start)
                header = file.read(place.offset - start)
                if header_of(cards_of(header)) != header:
                    raise InputError(f"{path}: HDU {len(parts)}: bytes after END are not blank")
                data = Stored(place.offset, -(-place.size // BLOCK_SIZE) * BLOCK_SIZE)
                parts.append(Part(header, data))
                start = data.offset + data.size
            end = file.seek(0, io.SEEK_END)
    if end < start:
        raise InputError(f"{path}: ends within the padding of its last HDU; may be truncated")
    return FitsFile(path, extent.gzipped, tuple(parts), Stored(start, end - start))


@contextmanager
def _opened(path: Path, *, gzipped: bool) -> Iterator[BinaryIO]:
    if not gzipped:
        with path.open("rb") as file:
            yield file
        return
    # Parts are read in any order, for which gzip would unpack the file again and again.
    with open_gzipped(path, path.stat().st_size) as packed:
        contents = packed.read()
    yield cast("BinaryIO", io.BytesIO(contents))


def cards_of(header: bytes) -> list[bytes]:
    """Return the cards of a header, without END and what follows it."""
    cards = [header[i : i + CARD] for i in range(0, len(header), CARD)]
    end = next((i for i, card in enumerate(cards) if re.match(rb"END(?![A-Z0-9_-])", card)), None)
    return cards[:end]


def header_of(cards: Iterable[bytes]) -> bytes:
    """Return the header that consists of some cards, with END and padding."""
    header = b"".join(cards) + b"END".ljust(CARD)
    return header + b" " * (-len(header) % BLOCK_SIZE)


def padded_data(data: bytes | bytearray) -> bytes | bytearray:
    """Return data with the padding of images and tables."""
    return data + bytes(-len(data) % BLOCK_SIZE)


def sum_of(pieces: Iterable[bytes | bytearray], start: int = 0) -> int:
    r"""Return the ones' complement sum of 32-bit words, as DATASUM has it.

    Examples
    --------
    >>> sum_of([b"\xff\xff\xff\xff", b"\0\0\0\2"])
    2
    """
    total = start
    for piece in pieces:
        words: NDArray[np.uint32] = np.frombuffer(piece, ">u4")
        total += int(words.sum(dtype=np.uint64))
    while total > _ONES:
        total = (total & _ONES) + (total >> 32)
    return total


def _value(card: bytes | None) -> Any:
    """Return the value of a card; None if it has none."""
    if card is None:
        return None
    try:
        return fits.Card.fromstring(card).value
    except (fits.VerifyError, ValueError):
        return None


def _text_card(card: bytes, value: bytes) -> bytes:
    """Return a card with another text, and with its comment."""
    match = _TEXT_CARD.fullmatch(card)
    start = b"%b= '%b'" % (card[:8], value)
    comment = match[2] if match and match[2] else b""
    return (start.ljust(30) + b" " + comment)[:CARD].ljust(CARD)


def _encoded(value: int) -> bytes:
    """Return a sum in the ASCII form of CHECKSUM (FITS standard, appendix J)."""
    columns = []
    for byte in value.to_bytes(4):
        quotient, remainder = divmod(byte, 4)
        letters = [0x30 + quotient + remainder, *[0x30 + quotient] * 3]
        for first in (0, 2):
            while _NOT_IN_SUMS.intersection(letters[first : first + 2]):
                letters[first] += 1
                letters[first + 1] -= 1
        columns.append(letters)
    text = bytes(columns[i][j] for j in range(4) for i in range(4))
    return text[-1:] + text[:-1]
