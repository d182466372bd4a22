"""The mask file: header, table of exposures, checksums; and whose mask a file is."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from staticmask_cli._version import __version__
from staticmask_cli.accumulate import MaskAccumulator
from staticmask_cli.errors import OutputError, printable
from staticmask_cli.instruments import ChipIdentity
from staticmask_cli.records import ChipRecord, count_exposures
from staticmask_cli.settings import Settings

CREATOR = f"staticmask {__version__}"
TABLE = "EXPOSURES"


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
        One for each chip that belongs to the identity, in any order.
    settings : Settings
        Of the run.

    Returns
    -------
    HDUList
        The mask as primary HDU, then the table of exposures, with checksums.
    """
    records = sorted(records, key=lambda r: tuple(map(str, (r.file, f"{r.extver:09d}", r))))
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
            values = [printable(v).encode("ascii", "backslashreplace").decode() for v in values]
            width = str(max([1, *map(len, values)]))
        columns.append(fits.Column(name=name, format=width + letter, array=values))
    # Not BinTableHDU.from_columns(), which imports astropy.table: 0.1 s, all for nothing.
    table = fits.BinTableHDU(name=TABLE)
    table.data = fits.FITS_rec.from_columns(fits.ColDefs(columns))
    table.update_header()
    for number, (*_, meaning) in enumerate(_COLUMNS, start=1):
        table.header.comments[f"TTYPE{number}"] = meaning
    return table


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
            raise ValueError("opening a pipe would wait for ever")  # noqa: TRY301
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = fits.getheader(path)
        shape = header["NAXIS2"], header["NAXIS1"]
        if "CREATOR" not in header and shape == identity.shape:
            return None
        told = ChipIdentity(
            instrument=header["INSTRUME"],
            detector=header["DETECTOR"],
            number=header["CHIP"],
            rows=shape[0],
            columns=shape[1],
            x0=header["XCORNER"],
            y0=header["YCORNER"],
            xbin=header["BINAXIS1"],
            ybin=header["BINAXIS2"],
        )
    except PermissionError:
        raise OutputError(f"{printable(path)}: permission to read it is denied") from None
    except (OSError, ValueError, TypeError, LookupError, fits.VerifyError):
        raise OutputError(
            f"{printable(path)}: is in the way and no static mask of this shape; move it away"
        ) from None
    return told if told != identity else None


def read_mask(path: str | Path) -> NDArray[np.int16]:
    """Read a mask: 1 good, 0 bad, int16, rows x columns."""
    with fits.open(path, memmap=False) as hdus:
        return np.asarray(hdus[0].data, dtype=np.int16)
