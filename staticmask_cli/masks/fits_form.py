"""The FITS form of a mask: all keywords and columns, for both writing and reading."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from staticmask_cli._version import __version__
from staticmask_cli.errors import InputError
from staticmask_cli.exposures.extent import Extent
from staticmask_cli.exposures.fits_files import open_fits
from staticmask_cli.exposures.headers import HeaderError, as_float
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masks.editing import Edit, Operation
from staticmask_cli.masks.quality import Quality, failed
from staticmask_cli.masks.records import ChipRecord, as_text, count_chips, count_exposures
from staticmask_cli.masks.static_mask import StaticMask, Votes
from staticmask_cli.settings import Background, MinExposures, Recipe
from staticmask_cli.statistics.votes import BitCounter, pack

CREATOR = f"staticmask {__version__}"
TABLE = "EXPOSURES"
COUNTS = ["COUNT", "COVERAGE"]
#: FILETYPE of a mask, and of an image of its bad pixels.
_MASK, BAD_IMAGE = "STATIC MASK", "BAD PIXEL IMAGE"
#: Table of the changes to a mask; the last extension.
EDITS = "EDITS"

#: Keyword, attribute of the identity, its type, comment. NAXIS1 and NAXIS2 complete it.
IDENTITY: tuple[tuple[str, str, type, str], ...] = (
    ("INSTRUME", "instrument", str, "instrument"),
    ("DETECTOR", "detector", str, "detector"),
    ("CHIP", "number", int, "position of the chip in a full-frame file"),
    ("XCORNER", "x0", int, "detector pixels left of the first column"),
    ("YCORNER", "y0", int, "detector pixels below the first row"),
    ("BINAXIS1", "xbin", int, "detector pixels per pixel along axis 1"),
    ("BINAXIS2", "ybin", int, "detector pixels per pixel along axis 2"),
)
#: Keyword, attribute of the recipe, its type in the header, comment.
RECIPE: tuple[tuple[str, str, type, str], ...] = (
    ("STATSIG", "static_sig", float, "threshold: background - STATSIG * noise"),
    ("BACKGRND", "background", Background, "mode and rms of the chip, or local values"),
    ("FINBITS", "final_bits", str, "DQ bits that count as good"),
    ("GROUP", "group", str, "extensions that were selected"),
    ("INCEMPTY", "include_empty", bool, "exposures without exposure time are used"),
    ("MINEXPOS", "min_exposures", MinExposures, "number or share of exposures to be bad in"),
    ("DUPLICAT", "allow_duplicates", bool, "all exposures with the same pixels are used"),
)
# How values of our own types are read.
_READ: dict[type, Callable[[Any], Any]] = {MinExposures: MinExposures.of, Background: Background}
#: Represents None in a header.
_NONE = "None"
_BLOCK = 2880  # bytes, of which headers and data of a FITS file are multiples


class _Column(NamedTuple):
    """A column of the table: its name, the record's attribute, FITS format, unit and meaning."""

    name: str
    attribute: str
    format: str
    unit: str | None
    meaning: str


# Represents the unit of the exposures' pixels.
_PIXEL_UNIT = "as the exposures"
COLUMNS = tuple(
    _Column(*column)
    for column in (
        ("FILE", "file", "A", None, "file of the exposure"),
        ("EXTVER", "extver", "J", None, "version of its SCI extension"),
        ("MODE", "mode", "D", _PIXEL_UNIT, "mode of the sky, in UNIT"),
        ("RMS", "rms", "D", _PIXEL_UNIT, "clipped rms of the sky, in UNIT"),
        ("NBINS", "nbins", "K", None, "bins of the histogram; no mode below 2"),
        ("LOCBACK", "local_background", "D", _PIXEL_UNIT, "median local background, in UNIT"),
        ("LOCNOISE", "local_noise", "D", _PIXEL_UNIT, "median local noise, in UNIT"),
        ("THRESH", "threshold", "D", _PIXEL_UNIT, "MODE - STATSIG * RMS: lower pixels are bad"),
        ("LOWPIX", "n_low", "K", "pixel", "pixels below the threshold"),
        ("DQPIX", "n_flagged", "K", "pixel", "pixels that the DQ array flags as bad"),
        ("NPIX", "n_finite", "K", "pixel", "finite pixels"),
        ("LOWEST", "lowest", "D", _PIXEL_UNIT, "lowest finite pixel, in UNIT"),
        ("MEDIAN", "median", "D", _PIXEL_UNIT, "median of the finite pixels, in UNIT"),
        ("NOISE", "noise", "D", _PIXEL_UNIT, "median - 16th percentile, in UNIT"),
        ("NCLUST", "n_clustered", "K", "pixel", "low pixels that are clustered"),
        ("UNIT", "unit", "A", None, "unit of the pixels (BUNIT)"),
        ("DATE_OBS", "date_obs", "A", None, "start of the exposure, UTC"),
        ("TARGET", "target", "A", None, "target (TARGNAME)"),
        ("FILTER", "filter", "A", None, "filters"),
        ("EXPTIME", "exposure_time", "D", "s", "exposure time"),
        ("CALIBRAT", "calibration", "A", None, "root name of the exposure and suffix"),
        ("HEADHASH", "header_hash", "A", None, "hash of its header; blank if unusable"),
        ("DATASUM", "datasum", "A", None, "DATASUM of its SCI header"),
        ("PIXHASH", "pixel_hash", "A", None, "hash of the pixels that were read"),
        ("USED", "used", "L", None, "whether it is part of the mask"),
        ("REASON", "reason", "A", None, "why not, or what was missing"),
    )
)
_FAILED = _Column("QCFAILED", "", "A", None, "quality checks that the chip failed")
_UNIQUE = _Column("UNIQUE", "unique", "PJ", None, "0-based y * NAXIS1 + x of pixels bad only here")
_ALL = (*COLUMNS, _FAILED, _UNIQUE)
# The columns of `EDITS`.
_OF_EDIT = (
    _Column("OPERATION", "operation", "A", None, "import, or change, in this order"),
    _Column("OPERAND", "operand", "A", None, "other mask or table, or number"),
    _Column("SHA256", "sha256", "A", None, "of its array or, for a table, of the file"),
    _Column("GAINED", "gained", "K", "pixel", "pixels that became bad"),
    _Column("LOST", "lost", "K", "pixel", "pixels that became good"),
)
#: NumPy kind of the values of a column after reading, by its format.
_KINDS = {"A": "U", "J": "i", "K": "i", "D": "f", "L": "b"}
# NumPy type of a column as stored in the file, by its format; the width of text varies. Of a
# variable-length array (PJ), a row holds the number of elements and the offset in the heap.
_STORED = {"J": ">i4", "K": ">i8", "D": ">f8", "L": "S1", "PJ": np.dtype((">i4", 2))}
#: FITS standard names of Hubble's pixel units. The standard has no electron.
_UNITS = {"COUNTS": "count", "DN": "adu"}


_NO_TABLE = "is not a mask with a table of exposures in the form of this version"
_NO_SENSE = "is damaged: its numbers make no sense"


class MaskFormError(Exception):
    """A file is not a mask of this program, or is damaged; the message is the reason."""


# Writing.


def write_mask(mask: StaticMask, file: Any) -> None:
    """Write a mask with its identity and recipe to a file opened for writing."""
    # Not verified: each card was valid when it was made, and verifying takes a millisecond.
    mask_hdus(mask).writeto(file, output_verify="ignore")


def mask_hdus(mask: StaticMask) -> fits.HDUList:
    """Create a mask file in memory.

    Equal masks, records and recipes give equal bytes: the file does not depend on
    time, folders or the order of inputs.

    Parameters
    ----------
    mask : StaticMask
        A mask with its identity and recipe.

    Returns
    -------
    HDUList
        The mask as primary HDU, the table of exposures, with ``mask.keeps_counts``
        COUNT and COVERAGE, and for an edited mask EDITS; all with checksums.
    """
    hdus = fits.HDUList([fits.PrimaryHDU(mask.pixels), _table(mask)])
    if mask.votes is not None and mask.keeps_counts:
        hdus += _counts(mask.votes, mask.shape)
    if mask.edits:
        hdus.append(_edits_table(mask.edits))
    _fill(hdus[0].header, mask, len(hdus) - 1)
    return with_checksums(hdus)


def with_checksums(hdus: Iterable[Any]) -> fits.HDUList:
    """Return HDUs as a file in memory, after adding checksums that do not depend on time."""
    hdus = fits.HDUList(hdus)
    for hdu in hdus:
        # "HDU checksum updated by staticmask", where astropy would put the time.
        hdu.add_checksum(when="by staticmask")
    return hdus


def bad_image(mask: StaticMask) -> fits.HDUList:
    """Return the image of a mask's bad pixels: uint8, rows x columns, 1 bad, 0 good."""
    image = fits.PrimaryHDU(mask.bad.view(np.uint8))
    for card in (
        ("CREATOR", CREATOR, "program that made this image"),
        ("FILETYPE", BAD_IMAGE, "1: bad pixel, 0: good pixel"),
        ("BUNIT", "", "the image is dimensionless"),
        *(identity_cards(mask.identity) if mask.identity is not None else ()),
        ("NEXPOSUR", count_exposures(mask.records), "exposures that are part of the mask"),
        ("NBAD", mask.n_bad, "bad pixels"),
    ):
        image.header.append(_card(*card))
    _add_history(image.header, mask.edits)
    return with_checksums([image])


def header_of(mask: StaticMask) -> fits.Header:
    """Return the keywords of a mask's file, without the structural ones."""
    header = fits.Header()
    _fill(header, mask, 1 + len(COUNTS) * mask.keeps_counts + bool(mask.edits))
    return header


def _fill(header: fits.Header, mask: StaticMask, n_extensions: int) -> None:
    """Add all keywords that are not structural to a mask's primary header."""
    cards: list[tuple[str, Any, str]] = [
        ("CREATOR", CREATOR, "program that made this mask"),
        ("FILETYPE", _MASK, "1: good pixel, 0: bad pixel"),
        ("BUNIT", "", "the mask is dimensionless"),
    ]
    quality = Quality() if mask.quality is None else mask.quality
    recipe = mask.recipe
    if mask.identity is not None and (recipe is not None or mask.edits):
        names = sorted({check.name for check in quality.failed})
        cards += [
            ("NEXTEND", n_extensions, "number of extensions"),
            *identity_cards(mask.identity),
            *_exposures(mask.records),
            *((k, _stored(getattr(recipe, name)), c) for k, name, _, c in RECIPE if recipe),
            ("NEXPOSUR", count_exposures(mask.records), "exposures that are part of the mask"),
            ("NCHIPS", count_chips(mask.records), "SCI extensions that are part of the mask"),
            ("NBAD", mask.n_bad, "bad pixels"),
            ("QCFAILED", " ".join(names) or "none", "quality checks that failed"),
            ("NQCFAIL", len(quality.failed), "failed checks of the mask and its chips"),
        ]
    for card in cards:
        header.append(_card(*card))
    for check in failed(quality.mask):
        header.add_comment(as_text(f"check failed: {check.short()}: {check.text}"))
    _add_history(header, mask.edits)


def _add_history(header: fits.Header, edits: Iterable[Edit]) -> None:
    for edit in edits:
        header.add_history(as_text(str(edit)))


def identity_cards(identity: ChipIdentity) -> list[tuple[str, Any, str]]:
    """Return keyword, value and comment of the cards that describe the silicon of a mask."""
    cards = [
        *((keyword, getattr(identity, name), comment) for keyword, name, _, comment in IDENTITY),
        *_physical(identity),
    ]
    if identity.is_hubbles:
        cards.append(("TELESCOP", "HST", "telescope"))
    if identity.ccdchip is not None:
        cards.append(("CCDCHIP", identity.ccdchip, "CCD chip"))
    return cards


def _physical(identity: ChipIdentity) -> list[tuple[str, Any, str]]:
    """Return the keywords from which DS9 computes detector coordinates, as in Hubble files."""
    x_scale, y_scale = 1 / identity.xbin, 1 / identity.ybin
    return [
        ("LTV1", 0.5 - (identity.x0 + 0.5) * x_scale, "offset in X to the detector's origin"),
        ("LTV2", 0.5 - (identity.y0 + 0.5) * y_scale, "offset in Y to the detector's origin"),
        ("LTM1_1", x_scale, "pixels per detector pixel in X"),
        ("LTM2_2", y_scale, "pixels per detector pixel in Y"),
    ]


def _exposures(records: Iterable[ChipRecord]) -> Iterator[tuple[str, Any, str]]:
    """Yield the keywords that describe all exposures that are part of a mask."""
    used = [record for record in records if record.used]
    versions = {record.extver for record in used}
    if len(versions) == 1:
        yield "EXTVER", versions.pop(), "version of the SCI extension in all exposures"
    starts = [record.date_obs for record in used if record.date_obs]
    if starts:
        ends = [_end(record) for record in used if record.date_obs]
        for which, date, meaning in (
            ("OBS", min(starts), "start of the earliest exposure, UTC"),
            ("END", max(ends), "end of the latest exposure, UTC"),
        ):
            yield f"DATE-{which}", date, meaning
            yield f"MJD-{which}", _mjd(date), f"DATE-{which} as Modified Julian Date"


def _end(record: ChipRecord) -> str:
    """Return the end of an exposure, to the second; its start if only that is known."""
    if "T" in record.date_obs and record.exposure_time > 0:
        with suppress(OverflowError):  # headers may have any number
            time = dt.timedelta(seconds=record.exposure_time)
            return (dt.datetime.fromisoformat(record.date_obs) + time).isoformat(timespec="seconds")
    return record.date_obs


def _mjd(date: str) -> float:
    """Return a date as MJD; without it, astropy.wcs adds the same and warns."""
    since = dt.datetime.fromisoformat(date).replace(tzinfo=dt.UTC)
    return round((since - dt.datetime(1858, 11, 17, tzinfo=dt.UTC)) / dt.timedelta(days=1), 6)


def _stored(value: Any) -> Any:
    """Return a value of the recipe as stored in a header."""
    if value is None:
        return _NONE
    if isinstance(value, Background):
        return value.value
    return value.plain if isinstance(value, MinExposures) else value


def _card(keyword: str, value: Any, comment: str) -> fits.Card:
    """Return a header card, without its comment if a long value leaves no room for it."""
    room = 80 - len("KEYWORD = '' / ") - len(comment)
    return fits.Card(keyword, value, comment if len(str(value)) < room else None)


def _table(mask: StaticMask) -> fits.BinTableHDU:
    """Return the table of exposures in the state in which astropy reads it from a file.

    Building it from columns takes ten times as long, and the checksums that astropy then
    computes do not match the bytes that it writes, because of the variable-length arrays.
    """
    records = mask.records
    of_chips = mask.quality.chips if mask.quality else ((),) * len(records)
    heap = np.concatenate([np.empty(0, np.uint32), *(r.unique for r in records)]).astype(">i4")
    sizes = np.array([record.unique.size for record in records], dtype=np.int64)
    values: dict[str, Any] = {c.name: [getattr(r, c.attribute) for r in records] for c in COLUMNS}
    values["USED"] = ["T" if used else "F" for used in values["USED"]]
    values[_FAILED.name] = ["; ".join(c.short() for c in failed(checks)) for checks in of_chips]
    values[_UNIQUE.name] = np.stack([sizes, heap.itemsize * (sizes.cumsum() - sizes)], axis=1)
    widths = {c.name: max([1, *map(len, values[c.name])]) for c in _ALL if c.format == "A"}
    types = _STORED | {name: f"S{width}" for name, width in widths.items()}
    rows = np.empty(len(records), [(c.name, types.get(c.name, types.get(c.format))) for c in _ALL])
    for column in _ALL:
        rows[column.name] = values[column.name]
    pixel_unit = _unit(records)
    cards: list[tuple[str, Any, str | None]] = [
        ("XTENSION", "BINTABLE", "binary table extension"),
        ("BITPIX", 8, "array data type"),
        ("NAXIS", 2, "number of array dimensions"),
        ("NAXIS1", rows.itemsize, "length of dimension 1"),
        ("NAXIS2", rows.size, "length of dimension 2"),
        ("PCOUNT", heap.nbytes, "number of group parameters"),
        ("GCOUNT", 1, "number of groups"),
        ("TFIELDS", len(_ALL), "number of table fields"),
    ]
    longest = f"({sizes.max(initial=0)})"
    for n, (name, _, letter, unit, meaning) in enumerate(_ALL, start=1):
        end = longest if name == _UNIQUE.name else ""
        cards += [
            (f"TTYPE{n}", name, meaning),
            (f"TFORM{n}", f"{widths.get(name, '')}{letter}{end}", None),
        ]
        if (shown := pixel_unit if unit == _PIXEL_UNIT else unit) is not None:
            cards.append((f"TUNIT{n}", shown, None))
    header = fits.Header([*cards, ("EXTNAME", TABLE, "extension name")])
    data = header.tostring().encode() + rows.tobytes() + heap.tobytes()
    return fits.BinTableHDU.fromstring(data + bytes(-len(data) % _BLOCK))


def _edits_table(edits: Sequence[Edit]) -> fits.BinTableHDU:
    columns, comments = [], {}
    for number, (name, attribute, letter, unit, meaning) in enumerate(_OF_EDIT, start=1):
        values = [getattr(edit, attribute) for edit in edits]
        width = max(1, *map(len, values)) if letter == "A" else ""
        columns.append(fits.Column(name, f"{width}{letter}", unit, array=values))
        comments[f"TTYPE{number}"] = meaning
    table = fits.BinTableHDU.from_columns(columns, name=EDITS)
    for keyword, comment in comments.items():
        table.header.comments[keyword] = comment
    return table


def _unit(records: Iterable[ChipRecord]) -> str | None:
    """Return the unit of the pixels in FITS standard form; None if exposures differ in it."""
    units = {record.unit for record in records if record.used}
    if len(units) != 1:
        return None
    name, slash, time = units.pop().upper().partition("/")
    if name not in _UNITS or time not in ("", "S", "SEC"):
        return None
    return _UNITS[name] + ("/s" if slash else "")


def _counts(votes: Votes, shape: tuple[int, int]) -> list[fits.ImageHDU]:
    """Return COUNT and COVERAGE, each in the smallest sufficient FITS type.

    Not tile-compressed: astropy's fitscheck finds no checksums of such images.
    """
    size = shape[0] * shape[1]
    arrays = [np.empty(size, _count_type(votes.n_chips)) for _ in COUNTS]
    begin = 0
    for blocks in votes.blocks(size):
        for array, block in zip(arrays, blocks, strict=True):
            array[begin : begin + block.size] = block
        begin += blocks[0].size
    return [
        fits.ImageHDU(array.astype(_count_type(array.max()), copy=False).reshape(shape), name=name)
        for name, array in zip(COUNTS, arrays, strict=True)
    ]


def _count_type(largest: int) -> np.dtype[Any]:
    return next(t for t in map(np.dtype, ("u1", ">i2", ">i4")) if largest <= np.iinfo(t).max)


# Reading.


class MaskTable(NamedTuple):
    """The contents of a mask's file except its pixels.

    Attributes
    ----------
    identity : ChipIdentity
        The silicon that the mask belongs to.
    recipe : Recipe or None
        The settings by which it was made; None if it was not made from exposures.
    records : tuple of ChipRecord
        Its table of exposures.
    has_counts : bool
        Whether it has COUNT and COVERAGE.
    gzipped : bool
        Whether the file is gzipped.
    edits : tuple of Edit
        As in `StaticMask`.
    """

    identity: ChipIdentity
    recipe: Recipe | None
    records: tuple[ChipRecord, ...]
    has_counts: bool
    gzipped: bool
    edits: tuple[Edit, ...]


def read_table(path: Path) -> MaskTable:
    """Read a mask of this program, except its pixels.

    Raises
    ------
    InputError
        If the file cannot be read.
    MaskFormError
        If it is not a mask of this program, or is damaged.
    """
    with _opened(path) as (hdus, extent):
        _check_whole(hdus, extent, (hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)))
        return _table_of(hdus, extent)


def read_mask(path: Path) -> StaticMask:
    """Read a mask of this program and verify all checksums; errors as for `read_table`."""
    with _opened(path) as (hdus, extent):
        _check_whole(hdus, extent, hdus)
        return _mask(hdus, _table_of(hdus, extent))


def read_any(path: Path) -> StaticMask:
    """Read any static mask, also DrizzlePac's; see `StaticMask.read`."""
    not_a_mask = InputError(
        f"{path}: not a static mask: its primary HDU is not an array of 0 and 1"
    )
    with _opened(path) as (hdus, extent):
        if any(0 in _sums(hdu) for hdu in hdus):
            raise InputError(f"{path}: is damaged: its checksums are wrong")
        if hdus[0].header.get("FILETYPE") == BAD_IMAGE:  # 0 and 1 mean the opposite
            raise InputError(f"{path}: is an exported image, not a mask; give the mask itself")
        pixels = np.asarray(hdus[0].data)
        if pixels.ndim != 2 or not ((pixels == 0) | (pixels == 1)).all():  # noqa: PLR2004 - rows, columns
            raise not_a_mask
        with suppress(MaskFormError):
            return _mask(hdus, _table_of(hdus, extent))
        try:
            identity = identity_of(hdus[0].header) if "CREATOR" in hdus[0].header else None
        except MaskFormError:
            raise not_a_mask from None
        rows, columns = pixels.shape
        return StaticMask(shape=(rows, columns), bits=pack(pixels == 0), identity=identity)


def read_pixels(path: str | Path) -> NDArray[np.int16]:
    """Read the array of a mask: 1 good, 0 bad, int16, rows x columns."""
    with open_fits(Path(path)) as (hdus, _):
        return np.asarray(hdus[0].data, dtype=np.int16)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[fits.HDUList, Extent]]:
    """Open a mask without decompressing images; an invalid header becomes a MaskFormError."""
    try:
        with open_fits(path, disable_image_compression=True) as opened:
            yield opened
    except HeaderError as error:
        raise MaskFormError(str(error)) from None


def identity_of(header: fits.Header) -> ChipIdentity:
    """Return the identity in a mask's header; MaskFormError if it has none."""
    return ChipIdentity(
        rows=_value(header, "NAXIS2", int),
        columns=_value(header, "NAXIS1", int),
        **{attribute: _value(header, keyword, kind) for keyword, attribute, kind, _ in IDENTITY},
    )


def _recipe(header: fits.Header) -> Recipe:
    values: dict[str, Any] = {}
    for keyword, attribute, kind, _ in RECIPE:
        if kind in _READ:
            try:
                value: Any = _READ[kind](header.get(keyword))
            except ValueError:
                raise MaskFormError(_NO_TABLE) from None
        else:
            value = as_float(header, keyword) if kind is float else _value(header, keyword, kind)
        values[attribute] = None if value == _NONE else value
    return Recipe(**values)


def _value(header: fits.Header, keyword: str, kind: type) -> Any:
    """Return a value from a header; MaskFormError unless it has the type that we write."""
    value = header.get(keyword)
    if type(value) is not kind:
        raise MaskFormError(_NO_TABLE)
    return value


def _check_whole(
    hdus: fits.HDUList, extent: Extent, summed: Iterable[fits.hdu.base.ExtensionHDU]
) -> None:
    """Refuse a file that lacks extensions, or whose HDUs `summed` do not match their checksums."""
    promised = _value(hdus[0].header, "NEXTEND", int)
    present = len(extent.places) - 1
    if present != promised or extent.notes:
        counts = f"it has {present} of {promised} extensions"
        raise MaskFormError(f"is damaged: {counts if present < promised else 'wrong length'}")
    _check_form(hdus)
    # Before the data are read: astropy < 7.2 changes text when reading it.
    for hdu in summed:
        if _sums(hdu) != (1, 1):
            raise MaskFormError("is damaged: its checksums are wrong")


def _check_form(hdus: fits.HDUList) -> None:
    names = [hdu.name for hdu in hdus[1:]]
    of_exposures = names[:-1] if EDITS in names else names
    kinds = [fits.ImageHDU if name in COUNTS else fits.BinTableHDU for name in names]
    is_known = of_exposures in ([TABLE], [TABLE, *COUNTS])
    if not is_known or not all(map(isinstance, hdus[1:], kinds)):
        raise MaskFormError(_NO_TABLE)


def _sums(hdu: Any) -> tuple[int, int]:
    """Return 1 if CHECKSUM and DATASUM are correct, 0 if wrong, 2 if missing; for each."""
    if not isinstance(hdu, (fits.PrimaryHDU, fits.ImageHDU, fits.BinTableHDU)):
        return 0, 0  # astropy could not interpret the header
    return hdu.verify_checksum(), hdu.verify_datasum()


def _table_of(hdus: fits.HDUList, extent: Extent) -> MaskTable:
    _check_form(hdus)
    header = hdus[0].header
    edits = _edits(hdus[EDITS]) if EDITS in hdus else ()
    is_made = not edits or edits[0].operation is not Operation.IMPORT
    return MaskTable(
        identity=identity_of(header),
        recipe=_recipe(header) if is_made else None,
        records=_records(hdus[TABLE], identity_of(header)),
        has_counts=COUNTS[0] in hdus,
        gzipped=extent.gzipped,
        edits=edits,
    )


def _edits(table: fits.BinTableHDU) -> tuple[Edit, ...]:
    values = [_column(table, column.name, _KINDS[column.format]).tolist() for column in _OF_EDIT]
    try:
        edits = tuple(Edit(Operation(name), *more) for name, *more in zip(*values, strict=True))
    except ValueError:
        raise MaskFormError(_NO_TABLE) from None
    if not edits:
        raise MaskFormError(_NO_SENSE)
    return edits


def _records(table: fits.BinTableHDU, identity: ChipIdentity) -> tuple[ChipRecord, ...]:
    values = {c.attribute: _column(table, c.name, _KINDS[c.format]).tolist() for c in COLUMNS}
    rows = zip(*values.values(), strict=True)
    return tuple(
        ChipRecord(**dict(zip(values, row, strict=True)), ccdchip=identity.ccdchip) for row in rows
    )


def _column(table: fits.BinTableHDU, name: str, kind: str) -> NDArray[Any]:
    values = table.data[name] if name in table.columns.names else None
    if values is None or values.dtype.kind != kind or values.ndim != 1:
        raise MaskFormError(_NO_TABLE)
    return np.asarray(values)


def _mask(hdus: fits.HDUList, table: MaskTable) -> StaticMask:
    """Return the mask, with checks of its numbers, which correct checksums do not prove."""
    shape = table.identity.shape
    pixels = np.asarray(hdus[0].data)
    unique = _column(hdus[TABLE], _UNIQUE.name, "O")
    if pixels.shape != shape or not hdus[TABLE].columns[_UNIQUE.name].format.startswith("PJ"):
        raise MaskFormError(_NO_TABLE)
    records = tuple(
        replace(record, unique=places.astype(np.uint32))
        for record, places in zip(table.records, unique, strict=True)
    )
    most = count_chips(records)
    counts = [np.asarray(hdus[name].data) for name in COUNTS] if table.has_counts else []
    if max((int(r.unique.max(initial=0)) for r in records), default=0) >= pixels.size or any(
        c.shape != shape or c.dtype.kind not in "iu" or c.min() < 0 or c.max() > most
        for c in counts
    ):
        raise MaskFormError(_NO_SENSE)
    votes = None
    if counts:
        votes = Votes(bad=BitCounter(), not_finite=BitCounter(), n_chips=most)
        votes.bad.add_counts(counts[0])
        votes.not_finite.add_counts(np.int32(most) - counts[1])
    return StaticMask(
        shape=shape,
        bits=pack(pixels == 0),
        identity=table.identity,
        recipe=table.recipe,
        records=records,
        votes=votes,
        keeps_counts=votes is not None,
        edits=table.edits,
    )
