"""Setting a DQ bit in an exposure's DQ arrays, and taking it back.

The table STATICMASK, which is added to the file, keeps what is needed to take the
bit back: the pixels that were newly set, and the parts of headers that changed.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.chips import FLAG_TABLE
from staticmask_cli.exposures.extent import BLOCK_SIZE
from staticmask_cli.exposures.fits_files import silenced
from staticmask_cli.exposures.fits_parts import (
    CARD,
    Data,
    FitsFile,
    Made,
    Part,
    cards_of,
    padded_data,
)
from staticmask_cli.exposures.headers import ImageArray, as_float

# How the HISTORY of a flagged exposure begins.
_HISTORY = b"HISTORY staticmask apply"

# EXTNAME in the table for the primary header.
_PRIMARY = "PRIMARY,0"
_SUMS = ("CHECKSUM", "DATASUM")
_LONGEST_HISTORY = 72
_INT16 = 16  # BITPIX of the DQ arrays of Hubble
_USUAL_TYPE = ">i2"
_EMPTY_PRIMARY = bytes(fits.PrimaryHDU().header.tostring(), "ascii")


class ChipFlags(NamedTuple):
    """A bit to be set in one DQ array.

    Attributes
    ----------
    array : ImageArray
        The DQ array.
    bad : ndarray of int
        The bad pixels: 0-based row * columns + column.
    bit : int
        The bit.
    name : str
        How the bit is named, for HISTORY.
    mask, datasum : str
        Name of the mask's file, and its DATASUM.
    """

    array: ImageArray
    bad: NDArray[np.int64]
    bit: int
    name: str
    mask: str
    datasum: str


class Count(NamedTuple):
    """Numbers of pixels of one DQ array: bad, flagged before by any bit, newly set.

    `expanded` is what the array was before it became a plain image: constant or
    compressed; empty if it is as it was.
    """

    bad: int
    flagged: int
    new: int
    expanded: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Change:
    """One row of the table: what was changed in one HDU.

    Attributes
    ----------
    hdu : str
        EXTNAME,EXTVER; ``PRIMARY,0`` for the primary header.
    written : str
        Hash of the HDU after the change. A correct CHECKSUM would not show that another
        program has changed the HDU since then.
    old : bytes
        The cards that were replaced; the whole HDU if its array was expanded.
    added : bytes
        The cards that were added.
    rows, columns : int
        Shape of the array; 0 for the primary header.
    mask, datasum, bit, pixels
        As in `ChipFlags`; the pixels that were newly set.
    """

    hdu: str
    written: str
    old: bytes
    added: bytes = b""
    rows: int = 0
    columns: int = 0
    mask: str = ""
    datasum: str = ""
    bit: int = 0
    pixels: NDArray[np.int64]


_COLUMNS: tuple[tuple[str, str, str, Callable[[Any], Any]], ...] = (
    # Name, attribute, format, conversion of a value that was read.
    ("HDU", "hdu", "A", str),
    ("ROWS", "rows", "J", int),
    ("COLUMNS", "columns", "J", int),
    ("MASK", "mask", "A", str),
    ("MASKSUM", "datasum", "A", str),
    ("BIT", "bit", "J", int),
    ("PIXELS", "pixels", "PJ()", lambda value: np.asarray(value, np.int64)),
    ("HDUHASH", "written", "A", str),
    ("OLD", "old", "PB()", lambda value: np.asarray(value, np.uint8).tobytes()),
    ("ADDED", "added", "PB()", lambda value: np.asarray(value, np.uint8).tobytes()),
)


def is_flagged(file: FitsFile) -> bool:
    """Return whether a file has the table of what `flagged` did."""
    return _table_of(file) is not None


def differ_in_flags_only(file: FitsFile, other: FitsFile) -> bool:
    """Return whether two files are the same but for what `flagged` did to either of them."""
    try:
        return unflagged(file)[0].is_same_as(unflagged(other)[0])
    except InputError:
        return False


def flagged(file: FitsFile, chips: Sequence[ChipFlags]) -> tuple[FitsFile, list[Count]]:
    """Set a bit in DQ arrays.

    Parameters
    ----------
    file : FitsFile
        The file with the DQ arrays; not flagged.
    chips : sequence of ChipFlags
        What to set in each of them.

    Returns
    -------
    flagged : FitsFile
    counts : list of Count
        For each of the chips.

    Raises
    ------
    InputError
        If a DQ array cannot hold the bit.
    """
    parts = list(file.parts)
    changes, counts, history = [], [], []
    with file.opened() as source:
        for chip in chips:
            index = chip.array.index
            try:
                if [part.name for part in parts].count(parts[index].name) > 1:
                    raise ValueError("several extensions have its name")  # noqa: TRY301
                parts[index], change, count = _flagged_part(parts[index], chip, source)
            except ValueError as error:
                raise InputError(f"{file.path}: {chip.array.name}: {error}") from None
            changes.append(change)
            counts.append(count)
            history += _history(chip, count)
        parts[0], change = _with_history(parts[0], len(parts), history, source)
        table = _as_part([change, *changes], source)
    return replace(file, parts=(*parts, table)), counts


def unflagged(file: FitsFile) -> tuple[FitsFile, list[tuple[str, str, int]]]:
    """Take back what `flagged` did.

    Parameters
    ----------
    file : FitsFile
        The file, as `flagged` returned it, or changed by other programs since then.

    Returns
    -------
    file : FitsFile
        As it was, if no other program has changed it; otherwise without the bits that
        were set, the table and its HISTORY. The same if it was not flagged.
    counts : list of tuple
        For each DQ array: EXTNAME,EXTVER, name of the mask, number of pixels.

    Raises
    ------
    InputError
        If that is not possible.
    """
    number = _table_of(file)
    if number is None:
        if any(card.startswith(_HISTORY) for card in file.parts[0].cards):
            raise InputError(
                f"{file.path}: its table {FLAG_TABLE} is missing, so that its flags cannot be "
                "undone; get the exposure again"
            )
        return file, []
    parts = [part for index, part in enumerate(file.parts) if index != number]
    counts = []
    with file.opened() as source:
        for change in _changes(file, number, source):
            try:
                index = _index(parts, change)
                parts[index], n_set = _undone(parts[index], change, len(parts), source)
            except ValueError as error:
                raise InputError(
                    f"{file.path}: {change.hdu}: {error}; its flags cannot be undone"
                ) from None
            if change.mask:
                counts.append((change.hdu, change.mask, n_set))
    return replace(file, parts=tuple(parts)), counts


def _table_of(file: FitsFile) -> int | None:
    """Return the number of the table; None if the file has none."""
    numbers = [i for i, part in enumerate(file.parts) if i and part.text("EXTNAME") == FLAG_TABLE]
    return numbers[-1] if numbers else None


# Setting.


def _flagged_part(part: Part, chip: ChipFlags, source: BinaryIO) -> tuple[Part, _Change, Count]:
    old, expanded = b"".join(card for name in _SUMS if (card := part.card(name))), ""
    image = _expanded(part, chip.array.shape, source)
    if image is not part:
        expanded = "compressed" if part.text("XTENSION") == "BINTABLE" else "constant"
        old = part.header + part.content(source)
    form = _Form.of(image)
    if chip.bit >= 1 << form.bits:
        raise ValueError(f"its {form.bits}-bit integers cannot hold the bit {chip.bit}")
    # Not kept, but made again when it is written: a run may have very many of them.
    content = image.content(source)
    values = form.values(content)[chip.bad]
    new = chip.bad[values & form.type(chip.bit) == 0]
    count = Count(chip.bad.size, int((values != 0).sum()), new.size, expanded)
    form.flip(content, new, chip.bit)
    made = replace(image, data=Made(lambda _: content)).with_sums(source)
    change = _Change(
        hdu=part.name,
        written=made.hash(source),
        old=old,
        rows=image.integer("NAXIS2") or 0,
        columns=image.integer("NAXIS1") or 0,
        mask=chip.mask,
        datasum=chip.datasum,
        bit=chip.bit,
        pixels=new,
    )
    return replace(made, data=form.flipped(image.data, new, chip.bit)), change, count


class _Form(NamedTuple):
    """The form of the integers of a DQ array.

    Attributes
    ----------
    bits : int
        Bits of each.
    offset : int
        What is added to the stored bits, modulo 2**bits: the sign bit, for unsigned
        integers in FITS; otherwise 0.
    """

    bits: int
    offset: int

    @classmethod
    def of(cls, part: Part) -> _Form:
        """Return the form of the array of an HDU; ValueError if it has no bits."""
        bits = part.integer("BITPIX") or 0
        header = fits.Header.fromstring(part.header)
        scale, zero = header.get("BSCALE", 1), header.get("BZERO", 0)
        sign_bit = 1 << (bits - 1) if bits else 0
        if not bits or scale != 1 or zero not in (0, sign_bit):
            raise ValueError("is scaled (BSCALE, BZERO): no bits can be set in it")
        return cls(bits, int(zero))

    @property
    def type(self) -> Callable[[int], Any]:
        """Its type, without sign."""
        return np.dtype(f"u{self.bits // 8}").type

    @property
    def stored(self) -> np.dtype[Any]:
        """The type in the file, without sign."""
        return np.dtype(f">u{self.bits // 8}")

    def values(self, content: bytearray) -> NDArray[Any]:
        """Return the flags in data, without sign, and what the padding contains."""
        values: NDArray[Any] = np.frombuffer(content, self.stored) ^ self.type(self.offset)
        return values

    def flip(self, content: bytearray, pixels: NDArray[np.int64], bit: int) -> None:
        """Invert a bit of some pixels in data."""
        np.frombuffer(content, self.stored)[pixels] ^= self.type(bit)

    def flipped(self, data: Data, pixels: NDArray[np.int64], bit: int) -> Data:
        """Return data in which a bit of some pixels is inverted."""

        def make(source: BinaryIO) -> bytearray:
            content = bytearray().join(data.pieces(source))
            self.flip(content, pixels, bit)
            return content

        return Made(make) if pixels.size else data


def _expanded(part: Part, shape: tuple[int, ...], source: BinaryIO) -> Part:
    """Return the HDU of a DQ array as a plain image: constant and compressed ones are expanded.

    Both are read from the HDU, as it was before any flags were set.
    """
    if part.text("XTENSION") == "BINTABLE":
        with _decompressed(part, source) as hdu:
            values = hdu.data
            header = _plain_header(part, hdu)
        if values.min(initial=0) < -(2**15) or values.max(initial=0) >= 2**16:
            raise ValueError("is compressed, and has values of more than 16 bits")

        def make(source: BinaryIO) -> bytes | bytearray:
            # Decompressed again when it is written: a run may have very many of them.
            with _decompressed(part, source) as hdu:
                flags = hdu.data.astype(np.int64) & 0xFFFF
            return padded_data(flags.astype(">u2").tobytes())

        return Part(header, Made(make))
    if part.integer("NAXIS"):
        return part
    value = as_float(fits.Header.fromstring(part.header), "PIXVALUE")
    if value != int(value) or not -(2**15) <= value < 2**16:
        raise ValueError(f"PIXVALUE is {value:g}, not a DQ value of 16 bits")
    flags = np.uint16(int(value) & 0xFFFF)
    data = Made(lambda _: padded_data(np.full(shape, flags, ">u2").tobytes()))
    return replace(part.with_cards(_image_cards(part, shape)), data=data)


@contextmanager
def _decompressed(part: Part, source: BinaryIO) -> Iterator[fits.CompImageHDU]:
    """Open a tile-compressed HDU."""
    contents = io.BytesIO(b"".join((_EMPTY_PRIMARY, part.header, *part.data.pieces(source))))
    with silenced, fits.open(contents) as hdus:
        yield hdus[1]


def _image_cards(part: Part, shape: tuple[int, ...]) -> list[bytes]:
    """Return the cards of an image of 16 bits in place of those of a constant one."""
    cards = []
    for card in part.cards:
        keyword = card[:8].rstrip()
        if keyword == b"BITPIX":
            cards.append(b"BITPIX  = %20d" % _INT16 + card[30:])
        elif keyword == b"NAXIS":
            cards.append(b"NAXIS   = %20d" % 2 + card[30:])
            for axis, length in ((1, shape[1]), (2, shape[0])):
                cards.append((b"NAXIS%d  = %20d" % (axis, length)).ljust(CARD))
        elif keyword not in (b"PIXVALUE", b"NPIX1", b"NPIX2"):
            cards.append(card)
    return cards


def _plain_header(part: Part, compressed: fits.CompImageHDU) -> bytes:
    """Return the header of a tile-compressed image as that of an image of 16 bits."""
    pixels = np.empty(compressed.shape, _USUAL_TYPE)
    header = fits.ImageHDU(pixels, compressed.header.copy()).header
    for name in ("BSCALE", "BZERO", "BLANK", *_SUMS):
        header.remove(name, ignore_missing=True)
    for name in _SUMS:
        if part.card(name):
            header[name] = "0"
    return bytes(header.tostring(), "ascii")


def _history(chip: ChipFlags, count: Count) -> list[bytes]:
    """Return the HISTORY cards of one DQ array."""
    text = (
        f"staticmask apply: {chip.name} set in {count.new} of {count.bad} bad pixels "
        f"of {chip.array.name} by {chip.mask} (DATASUM {chip.datasum or 'none'})"
    )
    lines = textwrap.wrap(text, _LONGEST_HISTORY, subsequent_indent="  ")
    return [f"HISTORY {line}".encode("ascii", "replace").ljust(CARD) for line in lines]


def _with_history(
    primary: Part, n_hdus: int, history: Iterable[bytes], source: BinaryIO
) -> tuple[Part, _Change]:
    """Return the primary HDU for one more extension, with HISTORY, and what was changed."""
    old = [card for name in (*_SUMS, "NEXTEND") if (card := primary.card(name))]
    added = list(history)
    part = primary.with_cards([*primary.cards, *added])
    if part.integer("NEXTEND") == n_hdus - 1:  # it may be wrong, but not because of us
        part = part.with_integer("NEXTEND", n_hdus)
    part = part.with_sums(source)
    change = _Change(
        hdu=_PRIMARY,
        written=part.hash(source),
        old=b"".join(old),
        added=b"".join(added),
        pixels=np.empty(0, np.int64),
    )
    return part, change


def _as_part(changes: Sequence[_Change], source: BinaryIO) -> Part:
    """Return the table."""
    columns = []
    for name, attribute, kind, _ in _COLUMNS:
        values: Any = [getattr(change, attribute) for change in changes]
        form = kind
        if kind == "A":
            form = f"{max(map(len, values)) or 1}A"
        elif kind.startswith("P"):
            type_ = np.uint8 if kind.startswith("PB") else np.int32
            rows = np.empty(len(values), object)
            for row, value in enumerate(values):
                array = np.frombuffer(value, type_) if isinstance(value, bytes) else value
                rows[row] = array.astype(type_)
            values = rows
        columns.append(fits.Column(name=name, format=form, array=values))
    with silenced:
        hdu = fits.BinTableHDU.from_columns(columns, name=FLAG_TABLE)
        hdu.header.add_comment("Pixels that 'staticmask apply' set, 0-based y * COLUMNS + x, and")
        hdu.header.add_comment("what it replaced. 'staticmask apply --undo' needs this table.")
        for name in _SUMS:
            hdu.header[name] = "0"
        file = io.BytesIO()
        hdu.writeto(file)
    content = file.getvalue()[BLOCK_SIZE:]  # after an empty primary HDU
    length = len(hdu.header.tostring())
    data = content[length:]
    return Part(content[:length], Made(lambda _: data)).with_sums(source)


# Taking back.


def _changes(file: FitsFile, number: int, source: BinaryIO) -> list[_Change]:
    """Read the table."""
    part = file.parts[number]
    damaged = InputError(
        f"{file.path}: its table {FLAG_TABLE} is damaged, so that its flags cannot be undone; "
        "get the exposure again"
    )
    if not part.is_whole(source):
        raise damaged
    with silenced:
        table = fits.BinTableHDU.fromstring(part.header + bytes(part.content(source)))
        try:
            rows = zip(*(table.data[name] for name, *_ in _COLUMNS), strict=True)
            return [
                _Change(
                    **{
                        attribute: read_(value)
                        for (_, attribute, _, read_), value in zip(_COLUMNS, row, strict=True)
                    }
                )
                for row in rows
            ]
        except (KeyError, TypeError, ValueError):
            raise damaged from None


def _index(parts: Sequence[Part], change: _Change) -> int:
    """Return the number of the HDU that was changed; ValueError if it is missing."""
    if change.hdu == _PRIMARY:
        return 0
    found = [i for i, part in enumerate(parts) if i and part.name == change.hdu]
    if len(found) != 1:
        raise ValueError("the extension is missing or there are several")
    return found[0]


def _undone(part: Part, change: _Change, n_hdus: int, source: BinaryIO) -> tuple[Part, int]:
    """Return an HDU without a change, and the number of pixels that it set."""
    is_unchanged = part.hash(source) == change.written
    if is_unchanged and change.old.startswith(b"XTENSION"):
        return _original(change.old), change.pixels.size
    n_set = 0
    if (
        not -1
        < change.pixels.min(initial=0)
        <= change.pixels.max(initial=0)
        < max(1, change.rows * change.columns)
    ):
        raise ValueError(f"the table {FLAG_TABLE} was changed")
    if change.pixels.size:
        shape = part.integer("NAXIS2"), part.integer("NAXIS1")
        if part.text("XTENSION") != "IMAGE" or shape != (change.rows, change.columns):
            raise ValueError("another program has replaced the DQ array")
        form = _Form.of(part)
        is_set = form.values(part.content(source))[change.pixels] & form.type(change.bit) != 0
        if is_unchanged and not is_set.all():
            raise ValueError(f"the table {FLAG_TABLE} was changed")
        pixels = change.pixels[is_set]
        n_set = pixels.size
        part = replace(part, data=form.flipped(part.data, pixels, change.bit))
    if change.added:
        part = part.with_cards(_without(part.cards, change.added))
    if is_unchanged:
        for card in cards_of(change.old):
            part = part.with_card(card)
        return part, n_set
    if change.hdu == _PRIMARY and part.integer("NEXTEND") == n_hdus:
        part = part.with_integer("NEXTEND", n_hdus - 1)
    return part.with_sums(source), n_set


def _original(hdu: bytes) -> Part:
    """Return an HDU from its bytes."""
    length = BLOCK_SIZE
    while len(cards_of(hdu[:length])) * CARD == length:
        length += BLOCK_SIZE
    return Part(hdu[:length], Made(lambda _: hdu[length:]))


def _without(cards: Sequence[bytes], added: bytes) -> list[bytes]:
    """Return cards without those that were added, of which each was the last of its kind."""
    kept = list(reversed(cards))
    for card in reversed(cards_of(added)):
        if card in kept:
            kept.remove(card)
    return kept[::-1]
