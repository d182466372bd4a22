"""Mask files read back: what they hold, and whose mask a file is."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from staticmask_cli.errors import InputError, OutputError
from staticmask_cli.exposures.extent import Extent
from staticmask_cli.exposures.fits_files import open_fits, scan
from staticmask_cli.exposures.headers import HeaderError, as_float
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masks.output import COLUMNS, TABLE
from staticmask_cli.masks.records import ChipRecord, count_chips
from staticmask_cli.settings import MinExposures, Recipe
from staticmask_cli.statistics.votes import Bits, pack

#: What to do about a mask that cannot be added to.
REDO = "--no-update redoes it from the exposures that are given"

_NO_TABLE = "is no mask with a table of its exposures as this version makes them"
#: numpy's kinds of what a column holds, by its letter in COLUMNS.
_KINDS = {"A": "U", "J": "i", "K": "i", "D": "f", "L": "b"}


class _UselessError(Exception):
    """A file is no mask of ours, or a damaged one; the message is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldMask:
    """A mask on disk, made by this program.

    Attributes
    ----------
    identity : ChipIdentity
        The silicon.
    recipe : Recipe
        How it was made.
    records : tuple of ChipRecord
        Its table; with `ChipRecord.alone` if its pixels were asked for.
    has_counts : bool
        Whether it has COUNT and COVERAGE.
    gzipped : bool
        Whether its file is gzipped.
    bits : ndarray of uint8 or None
        The bad pixels, if they were asked for.
    counts : tuple of ndarray, or None
        COUNT and COVERAGE, if they are there and were asked for.
    """

    identity: ChipIdentity
    recipe: Recipe
    records: tuple[ChipRecord, ...]
    has_counts: bool
    gzipped: bool
    bits: Bits | None
    counts: tuple[NDArray[Any], NDArray[Any]] | None


def read_counted(path: Path) -> HeldMask:
    """Read a mask that is to be recounted; raises what `read_held` does, also if it cannot be."""
    hint = "make it anew with --counts"
    held = read_held(path, pixels=True, hint=hint)
    if held.gzipped:
        raise OutputError(f"{path}: is gzipped; unpack it first")
    if not held.has_counts:
        raise OutputError(f"{path}: keeps no counts; {hint}")
    return held


def read_held(path: Path, *, pixels: bool, hint: str = REDO) -> HeldMask:
    """Read a mask that is to be added to, or recounted.

    Parameters
    ----------
    path : Path
        The mask.
    pixels : bool
        Whether its pixels are wanted; its checksums are looked at too then.
    hint : str
        What to do if it is of no use.

    Raises
    ------
    OutputError
        If it is no mask with our table, or damaged.
    """
    try:
        # Compressed images as the tables that they are: checksums are of those.
        with open_fits(path, disable_image_compression=True) as (hdus, extent):
            _check_whole(hdus, extent, pixels=pixels)
            held = _read(hdus, extent, pixels=pixels)
        if pixels and held.has_counts:
            with open_fits(path) as (hdus, _):
                counts = np.asarray(hdus["COUNT"].data), np.asarray(hdus["COVERAGE"].data)
            held = replace(held, counts=counts)
        _check_sense(held)
    except InputError as error:
        raise OutputError(*(f"{problem}; {hint}" for problem in error.problems)) from None
    except (_UselessError, HeaderError) as error:
        raise OutputError(f"{path}: {error}; {hint}") from None
    return held


def _check_whole(hdus: fits.HDUList, extent: Extent, *, pixels: bool) -> None:
    """Refuse what is not a mask of ours, lacks a part of it or has changed since it was written."""
    promised = _value(hdus[0].header, "NEXTEND", int)
    present = len(extent.places) - 1
    if present != promised or extent.notes:
        what = f"with {present} of {promised} extensions" if present < promised else "in its length"
        raise _UselessError(f"is damaged, {what}")
    tables = all(isinstance(hdu, fits.BinTableHDU) for hdu in hdus[1:])
    if not tables or [hdu.name for hdu in hdus[1:]] not in ([TABLE], [TABLE, "COUNT", "COVERAGE"]):
        raise _UselessError(_NO_TABLE)
    # Before the data are touched: astropy < 7.2 changes text when it reads it.
    for hdu in hdus if pixels else [hdus[TABLE]]:
        if _sums(hdu) != (1, 1):
            raise _UselessError("is damaged, its checksums are wrong")


def _sums(hdu: Any) -> tuple[int, int]:
    """Return whether CHECKSUM and DATASUM are right: 1; wrong: 0; missing: 2."""
    if not isinstance(hdu, (fits.PrimaryHDU, fits.ImageHDU, fits.BinTableHDU)):
        return 0, 0  # what astropy makes of headers that it cannot read
    return hdu.verify_checksum(), hdu.verify_datasum()


def _read(hdus: fits.HDUList, extent: Extent, *, pixels: bool) -> HeldMask:
    header = hdus[0].header
    identity = _identity(header)
    bits = None
    if pixels:
        mask = np.asarray(hdus[0].data)
        if mask.shape != identity.shape:
            raise _UselessError(_NO_TABLE)
        bits = pack(mask == 0)
    return HeldMask(
        identity=identity,
        recipe=Recipe(
            static_sig=as_float(header, "STATSIG"),
            final_bits=_value(header, "FINBITS", str),
            group=_value(header, "GROUP", str),
            include_empty=_value(header, "INCEMPTY", bool),
            allow_duplicates=_value(header, "DUPLICAT", bool),
            min_exposures=_min_exposures(header),
        ),
        records=_records(hdus[TABLE], pixels=pixels),
        has_counts=len(hdus) > 2,  # noqa: PLR2004 - the mask and its table
        gzipped=extent.gzipped,
        bits=bits,
        counts=None,
    )


def _min_exposures(header: fits.Header) -> MinExposures:
    try:
        return MinExposures.of(header.get("MINEXPOS"))
    except ValueError:
        raise _UselessError(_NO_TABLE) from None


def _value(header: fits.Header, keyword: str, kind: type) -> Any:
    """Return a header's value, if it is of the type that this program writes."""
    value = header.get(keyword)
    if type(value) is not kind:
        raise _UselessError(_NO_TABLE)
    return value


def _check_sense(held: HeldMask) -> None:
    """Refuse numbers that no mask can have; checksums do not tell who made them."""
    rows, columns = held.identity.shape
    most = count_chips(held.records)
    places = [int(record.unique.max(initial=0)) for record in held.records]
    makes_sense = max(places, default=0) < rows * columns and all(
        array.shape == (rows, columns)
        and array.dtype.kind == "i"
        and array.min() >= 0
        and array.max() <= most
        for array in held.counts or ()
    )
    if not makes_sense:
        raise _UselessError("is damaged, its numbers make no sense")


def _records(table: fits.BinTableHDU, *, pixels: bool) -> tuple[ChipRecord, ...]:
    columns = {}
    for name, attribute, letter, _ in COLUMNS:
        columns[attribute] = _column(table, name, _KINDS[letter]).tolist()
    rows = zip(*columns.values(), strict=True)
    records = [ChipRecord(**dict(zip(columns, row, strict=True))) for row in rows]
    if not pixels:
        return tuple(records)
    alone = _column(table, "ALONE", "O")
    if not table.columns["ALONE"].format.startswith("PJ"):
        raise _UselessError(_NO_TABLE)
    return tuple(
        replace(record, unique=places.astype(np.uint32))
        for record, places in zip(records, alone, strict=True)
    )


def _column(table: fits.BinTableHDU, name: str, kind: str) -> NDArray[Any]:
    values = table.data[name] if name in table.columns.names else None
    if values is None or values.dtype.kind != kind or values.ndim != 1:
        raise _UselessError(_NO_TABLE)
    return np.asarray(values)


def other_identity(
    path: Path, identity: ChipIdentity, *, overwrite: bool = False
) -> ChipIdentity | None:
    """Tell whose mask a file on disk is, if it is not that of `identity`.

    Parameters
    ----------
    path : Path
        The file, which may be missing.
    identity : ChipIdentity
        Whose mask is to have its name.
    overwrite : bool
        Whether a file that is no mask may be replaced.

    Returns
    -------
    ChipIdentity or None
        None if the file is missing, may be replaced, is a mask of `identity`,
        or a bare mask of its shape, such as DrizzlePac's.

    Raises
    ------
    OutputError
        If the file is no mask at all: it is not ours to replace.
    """
    if not os.path.lexists(path):
        return None
    try:
        if is_empty(path):
            return None
        with open_fits(path, most=1) as (hdus, _):
            header = hdus[0].header
            shape = header.get("NAXIS2"), header.get("NAXIS1")
            if "CREATOR" not in header and shape == identity.shape:
                return None
            found = _identity(header)
    except (InputError, FileNotFoundError, _UselessError) as error:
        if not os.path.lexists(path):  # removed since it was seen
            return None
        # What cannot be read may be a mask; an exposure may have no other copy.
        is_readable = path.is_file() and os.access(path, os.R_OK)
        is_replaceable = is_readable and not _is_exposure(path)
        if overwrite and is_replaceable:
            return None
        hint = "use --overwrite to replace it" if is_replaceable else "move it away"
        reason = f"{path}: exists but is not a static mask of this shape"
        problems = error.problems if isinstance(error, InputError) else (reason,)
        raise OutputError(*(f"{problem}; {hint}" for problem in problems)) from None
    return found if found != identity else None


def is_empty(path: Path) -> bool:
    """Return whether a file is empty, as a full disk leaves it: nothing can be lost with it."""
    return path.is_file() and path.stat().st_size == 0


def _is_exposure(path: Path) -> bool:
    try:
        return any(hdu.name == "SCI" for hdu in scan(path)[0])
    except InputError:
        return False


def _identity(header: fits.Header) -> ChipIdentity:
    return ChipIdentity(
        instrument=_value(header, "INSTRUME", str),
        detector=_value(header, "DETECTOR", str),
        number=_value(header, "CHIP", int),
        rows=_value(header, "NAXIS2", int),
        columns=_value(header, "NAXIS1", int),
        x0=_value(header, "XCORNER", int),
        y0=_value(header, "YCORNER", int),
        xbin=_value(header, "BINAXIS1", int),
        ybin=_value(header, "BINAXIS2", int),
    )


def read_any(path: Path) -> tuple[ChipIdentity | None, NDArray[np.bool_]]:
    """Read the bad pixels of any static mask, DrizzlePac's too.

    Returns
    -------
    identity : ChipIdentity or None
        None if the mask does not tell, as DrizzlePac's does not.
    bad : ndarray of bool
        Rows x columns.

    Raises
    ------
    InputError
        If the file cannot be read, or holds something else.
    """
    no_mask = f"{path}: is no static mask, an array of 0 and 1 in its primary HDU"
    try:
        with open_fits(path, disable_image_compression=True) as (hdus, _):
            if any(0 in _sums(hdu) for hdu in hdus):
                raise InputError(f"{path}: is damaged, its checksums are wrong")
            pixels = np.asarray(hdus[0].data)
            identity = _identity(hdus[0].header) if "CREATOR" in hdus[0].header else None
    except _UselessError:
        raise InputError(no_mask) from None
    if pixels.ndim != 2 or not np.isin(pixels, (0, 1)).all():  # noqa: PLR2004 - rows and columns
        raise InputError(no_mask)
    return identity, pixels == 0


def read_mask(path: str | Path) -> NDArray[np.int16]:
    """Read a mask: 1 good, 0 bad, int16, rows x columns."""
    with open_fits(Path(path)) as (hdus, _):
        return np.asarray(hdus[0].data, dtype=np.int16)
