"""Mask files read back: what they hold, and whose mask a file is."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from staticmask_cli.accumulate import Bits, pack
from staticmask_cli.errors import InputError, OutputError, printable
from staticmask_cli.exposures import scan, silenced
from staticmask_cli.extent import measure_extent
from staticmask_cli.instruments import ChipIdentity
from staticmask_cli.output import COLUMNS, TABLE
from staticmask_cli.records import ChipRecord, count_chips
from staticmask_cli.settings import Recipe

#: What to do about a mask that cannot be added to.
REDO = "--no-update redoes it from the exposures that are given"

_GZIP = b"\x1f\x8b"

# What reading something that is no mask of ours, or a damaged one, comes to.
_NO_MASK = (OSError, ValueError, TypeError, LookupError, AttributeError, fits.VerifyError)


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
    bits : ndarray of uint8 or None
        The bad pixels, if they were asked for.
    counts : tuple of ndarray, or None
        COUNT and COVERAGE, if they are there and were asked for.
    """

    identity: ChipIdentity
    recipe: Recipe
    records: tuple[ChipRecord, ...]
    has_counts: bool
    bits: Bits | None
    counts: tuple[NDArray[Any], NDArray[Any]] | None


def read_counted(path: Path) -> HeldMask:
    """Read a mask that is to be recounted; raises what `read_held` does, also if it cannot be."""
    hint = "make it anew with --counts"
    held = read_held(path, pixels=True, hint=hint)
    with path.open("rb") as file:
        if file.read(len(_GZIP)) == _GZIP:
            raise OutputError(f"{printable(path)}: is gzipped; unpack it first")
    if not held.has_counts:
        raise OutputError(f"{printable(path)}: keeps no counts; {hint}")
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
    shown = printable(path)
    counts = None
    try:
        _check_regular(path)
        with (
            silenced(),
            fits.open(path, memmap=False, disable_image_compression=True) as hdus,
        ):
            header = hdus[0].header
            names = [hdu.name for hdu in hdus]
            has_counts = "COUNT" in names and "COVERAGE" in names
            held = HeldMask(
                identity=_identity(header),
                recipe=Recipe(
                    static_sig=float(header["STATSIG"]),
                    final_bits=str(header["FINBITS"]),
                    group=str(header["GROUP"]),
                    include_empty=bool(header["INCEMPTY"]),
                    min_exposures=Fraction(str(header["MINEXPOS"])),
                    allow_duplicates=bool(header["DUPLICAT"]),
                ),
                records=_records(hdus[TABLE], pixels=pixels),
                has_counts=has_counts,
                bits=pack(hdus[0].data == 0) if pixels else None,
                counts=None,
            )
            damaged = pixels and not all(
                hdu.verify_checksum() == 1 and hdu.verify_datasum() == 1 for hdu in hdus
            )
        if pixels and has_counts and not damaged:
            with silenced(), fits.open(path, memmap=False) as hdus:
                counts = hdus["COUNT"].data, hdus["COVERAGE"].data
        damaged |= not _makes_sense(held, counts)
    except PermissionError:
        raise OutputError(f"{shown}: permission to read it is denied") from None
    except _NO_MASK:
        raise OutputError(
            f"{shown}: is no mask with a table of its exposures as this version makes them; {hint}"
        ) from None
    if damaged:
        raise OutputError(f"{shown}: is damaged, its checksums are wrong; {hint}")
    return replace(held, counts=counts)


def _check_regular(path: Path) -> None:
    if not path.is_file():
        raise ValueError("opening a pipe would wait for ever")


def _makes_sense(held: HeldMask, counts: tuple[NDArray[Any], NDArray[Any]] | None) -> bool:
    """Say whether numbers are such as a mask can have; checksums do not tell who made them."""
    rows, columns = held.identity.shape
    most = count_chips(held.records)
    places = [int(record.alone.max(initial=0)) for record in held.records]
    return (
        max(places, default=0) < rows * columns
        and held.recipe.min_exposures > 0
        and all(
            array.shape == (rows, columns)
            and array.dtype.kind == "i"
            and array.min() >= 0
            and array.max() <= most
            for array in counts or ()
        )
    )


def _records(table: fits.BinTableHDU, *, pixels: bool) -> tuple[ChipRecord, ...]:
    names = [attribute for _, attribute, *_ in COLUMNS]
    rows = zip(*(table.data[name].tolist() for name, *_ in COLUMNS), strict=True)
    records = [ChipRecord(**dict(zip(names, row, strict=True))) for row in rows]
    if not pixels:
        return tuple(records)
    alone = table.data["ALONE"]
    return tuple(
        replace(record, alone=np.asarray(alone[number]).astype(np.uint32))
        for number, record in enumerate(records)
    )


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
        _check_regular(path)
        if path.stat().st_size == 0:  # what a full disk leaves: nothing that could be lost
            return None
        with silenced():
            header = fits.getheader(path)
        if "CREATOR" not in header and (header["NAXIS2"], header["NAXIS1"]) == identity.shape:
            return None
        told = _identity(header)
    except FileNotFoundError:  # removed since it was seen
        return None
    except PermissionError:
        raise OutputError(f"{printable(path)}: permission to read it is denied") from None
    except _NO_MASK:
        # An exposure may have no other copy.
        is_replaceable = path.is_file() and not _is_exposure(path)
        if overwrite and is_replaceable:
            return None
        hint = "; use --overwrite to replace it" if is_replaceable else "; move it away"
        raise OutputError(
            f"{printable(path)}: exists but is not a static mask of this shape{hint}"
        ) from None
    return told if told != identity else None


def _is_exposure(path: Path) -> bool:
    try:
        return any(hdu.name == "SCI" for hdu in scan(path))
    except InputError:
        return False


def _identity(header: fits.Header) -> ChipIdentity:
    return ChipIdentity(
        instrument=header["INSTRUME"],
        detector=header["DETECTOR"],
        number=header["CHIP"],
        rows=header["NAXIS2"],
        columns=header["NAXIS1"],
        x0=header["XCORNER"],
        y0=header["YCORNER"],
        xbin=header["BINAXIS1"],
        ybin=header["BINAXIS2"],
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
    shown = printable(path)
    try:
        _check_regular(path)
        measure_extent(path)  # unpacks a gzipped one to its end, with its CRC
        with silenced(), fits.open(path, memmap=False) as hdus:
            pixels = np.asarray(hdus[0].data)
            identity = _identity(hdus[0].header) if "CREATOR" in hdus[0].header else None
        if pixels.ndim != 2 or not np.isin(pixels, (0, 1)).all():  # noqa: PLR2004 - rows and columns
            raise ValueError("no mask")
    except PermissionError:
        raise InputError(f"{shown}: permission to read it is denied") from None
    except _NO_MASK:
        raise InputError(
            f"{shown}: is no static mask, an array of 0 and 1 in its primary HDU, or is damaged"
        ) from None
    return identity, pixels == 0


def read_mask(path: str | Path) -> NDArray[np.int16]:
    """Read a mask: 1 good, 0 bad, int16, rows x columns."""
    with fits.open(path, memmap=False) as hdus:
        return np.asarray(hdus[0].data, dtype=np.int16)
