"""The mask file: header, table of exposures, checksums; and whose mask a file is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from staticmask_cli._version import __version__
from staticmask_cli.accumulate import Bits, MaskAccumulator, pack
from staticmask_cli.errors import OutputError, printable
from staticmask_cli.exposures import silenced
from staticmask_cli.instruments import ChipIdentity
from staticmask_cli.records import ChipRecord, count_exposures
from staticmask_cli.settings import Settings

CREATOR = f"staticmask {__version__}"
TABLE = "EXPOSURES"

#: What to do about a mask that cannot be added to.
REDO = "--no-update redoes it from the exposures that are given"

# What reading something that is no mask of ours, or a damaged one, comes to.
_NO_MASK = (OSError, ValueError, TypeError, LookupError, AttributeError, fits.VerifyError)

# Column of the table, attribute of the record, FITS format, what it means.
_COLUMNS = (
    ("FILE", "file", "A", "file of the exposure"),
    ("EXTVER", "extver", "J", "version of its SCI extension"),
    ("MODE", "mode", "D", "mode of the sky, in the exposure's units"),
    ("RMS", "rms", "D", "clipped rms of the sky"),
    ("NBINS", "nbins", "K", "bins of the histogram; no mode below 2"),
    ("THRESH", "threshold", "D", "mode - STATSIG x rms: lower pixels are bad"),
    ("LOWPIX", "low", "K", "pixels below the threshold"),
    ("DQPIX", "flagged", "K", "pixels that the DQ array calls bad"),
    ("HEADHASH", "header_hash", "A", "hash of its header; blank if it cannot be used"),
    ("DATASUM", "datasum", "A", "DATASUM of its SCI header"),
    ("PIXHASH", "pixel_hash", "A", "hash of the pixels that were read"),
    ("USED", "used", "L", "took part in the mask"),
    ("REASON", "reason", "A", "why not, or what it lacked"),
)


def mask_hdus(
    mask: MaskAccumulator,
    identity: ChipIdentity,
    records: Sequence[ChipRecord],
    settings: Settings,
) -> fits.HDUList:
    """Make a mask file in memory.

    Equal masks, records and settings give equal bytes: no clock, no folder,
    no order of inputs goes in.

    Parameters
    ----------
    mask : MaskAccumulator
        The bad pixels.
    identity : ChipIdentity
        The silicon.
    records : sequence of ChipRecord
        One for each chip that belongs to the identity, as `merged` returns them.
    settings : Settings
        Of the run.

    Returns
    -------
    HDUList
        The mask as primary HDU, then the table of exposures, with checksums.
    """
    primary = fits.PrimaryHDU(mask.mask())
    primary.header.extend(
        _card(*card)
        for card in (
            ("CREATOR", CREATOR, "program that made this mask"),
            ("FILETYPE", "STATIC MASK", "1: good pixel, 0: bad pixel"),
            ("INSTRUME", identity.instrument, "instrument"),
            ("DETECTOR", identity.detector, "detector"),
            ("CHIP", identity.number, "place of the chip in a full-frame file"),
            ("XCORNER", identity.x0, "detector pixels left of the first column"),
            ("YCORNER", identity.y0, "detector pixels below the first row"),
            ("BINAXIS1", identity.xbin, "detector pixels to a pixel along axis 1"),
            ("BINAXIS2", identity.ybin, "detector pixels to a pixel along axis 2"),
            ("STATSIG", settings.static_sig, "bad if so many rms below the mode"),
            ("FINBITS", settings.final_bits or "None", "DQ bits that count as good"),
            ("GROUP", str(settings.group), "extensions that were asked for"),
            ("INCEMPTY", settings.include_empty, "exposures without exposure time too"),
            ("NEXPOSUR", count_exposures(records), "exposures that took part"),
            ("NCHIPS", sum(r.used for r in records), "SCI extensions that took part"),
            ("NBAD", mask.bad, "bad pixels"),
        )
    )
    hdus = fits.HDUList([primary, _table(records)])
    for hdu in hdus:
        # "HDU checksum updated by staticmask", where astropy would put the time.
        hdu.add_checksum(when="by staticmask")
    return hdus


def _card(keyword: str, value: Any, comment: str) -> fits.Card:
    """Return a header card, without its comment if that has no room beside a long value."""
    room = 80 - len("KEYWORD = '' / ") - len(comment)
    return fits.Card(keyword, value, comment if len(str(value)) < room else None)


def _table(records: Sequence[ChipRecord]) -> fits.BinTableHDU:
    columns = []
    for name, attribute, letter, _ in _COLUMNS:
        values: list[Any] = [getattr(record, attribute) for record in records]
        width = ""
        if letter == "A":
            width = str(max([1, *map(len, values)]))
        columns.append(fits.Column(name=name, format=width + letter, array=values))
    # Not BinTableHDU.from_columns(), which imports astropy.table: 0.1 s, all for nothing.
    table = fits.BinTableHDU(name=TABLE)
    table.data = fits.FITS_rec.from_columns(fits.ColDefs(columns))
    table.update_header()
    for number, (*_, meaning) in enumerate(_COLUMNS, start=1):
        table.header.comments[f"TTYPE{number}"] = meaning
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldMask:
    """A mask on disk, made by this program.

    Attributes
    ----------
    identity : ChipIdentity
        The silicon.
    static_sig : float
    final_bits : str
        As the header has it: ``None``, if no flags were read.
    group : str
    include_empty : bool
        The settings that it was made with.
    bad : int
        Number of bad pixels.
    records : tuple of ChipRecord
        Its table.
    bits : ndarray of uint8 or None
        The bad pixels, if they were asked for.
    """

    identity: ChipIdentity
    static_sig: float
    final_bits: str
    group: str
    include_empty: bool
    bad: int
    records: tuple[ChipRecord, ...]
    bits: Bits | None


def read_held(path: Path, *, pixels: bool) -> HeldMask:
    """Read a mask to which exposures are to be added.

    Parameters
    ----------
    path : Path
        The mask.
    pixels : bool
        Whether its pixels are wanted; its checksums are looked at too then.

    Raises
    ------
    OutputError
        If it is no mask with our table, or damaged.
    """
    shown = printable(path)
    try:
        with silenced(), fits.open(path, memmap=False) as hdus:
            header, table = hdus[0].header, hdus[TABLE]
            rows = zip(*(table.data[name].tolist() for name, *_ in _COLUMNS), strict=True)
            names = [attribute for _, attribute, *_ in _COLUMNS]
            held = HeldMask(
                identity=_identity(header),
                static_sig=float(header["STATSIG"]),
                final_bits=str(header["FINBITS"]),
                group=str(header["GROUP"]),
                include_empty=bool(header["INCEMPTY"]),
                bad=int(header["NBAD"]),
                records=tuple(ChipRecord(**dict(zip(names, row, strict=True))) for row in rows),
                bits=pack(hdus[0].data == 0) if pixels else None,
            )
            damaged = pixels and not all(
                hdu.verify_checksum() == 1 and hdu.verify_datasum() == 1 for hdu in hdus
            )
    except PermissionError:
        raise OutputError(f"{shown}: permission to read it is denied") from None
    except _NO_MASK:
        raise OutputError(
            f"{shown}: has no table of its exposures, so none can be added; {REDO}"
        ) from None
    if damaged:
        raise OutputError(f"{shown}: is damaged, its checksums are wrong; {REDO}")
    return held


def other_identity(path: Path, identity: ChipIdentity) -> ChipIdentity | None:
    """Tell whose mask a file on disk is, if it is not that of `identity`.

    Returns
    -------
    ChipIdentity or None
        None if there is no such file, it is a mask of `identity`, or a bare
        mask of its shape, such as DrizzlePac's, that does not tell.

    Raises
    ------
    OutputError
        If the file is no mask at all: it is not ours to replace.
    """
    if not os.path.lexists(path):
        return None
    try:
        if not path.is_file():
            raise ValueError("opening a pipe would wait for ever")
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
        raise OutputError(
            f"{printable(path)}: is in the way and no static mask of this shape; move it away"
        ) from None
    return told if told != identity else None


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


def read_mask(path: str | Path) -> NDArray[np.int16]:
    """Read a mask: 1 good, 0 bad, int16, rows x columns."""
    with fits.open(path, memmap=False) as hdus:
        return np.asarray(hdus[0].data, dtype=np.int16)
