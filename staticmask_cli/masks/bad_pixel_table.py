"""Bad-pixel tables (BPIXTAB) of calacs, calwf3 and calstis.

The form is that of the function ``doDQI`` in these programs (``dodqi.c`` in the public
repository spacetelescope/hstcal), which flags LENGTH pixels from PIX1, PIX2 along AXIS with
VALUE. PIX1 and PIX2 count unbinned pixels of the chip from 1; SIZAXIS1 and SIZAXIS2 in the
header of the table are its size. A row applies to exposures with its CCDAMP, CCDGAIN and
CCDCHIP; N/A and -999 mean any. calacs asks for the type of CCDGAIN without checking that
the table has it, and calwf3 for FILETYPE in the primary header.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from staticmask_cli.exposures.instruments import ChipIdentity, instrument_of
from staticmask_cli.masks.boxes import Boxes, boxes_of
from staticmask_cli.masks.fits_form import CREATOR, with_checksums

_INSTRUMENTS = ("ACS", "WFC3", "STIS")  # whose calibration programs read such tables
_ANY_AMPLIFIER, _ANY = "N/A", -999
_SQUARE = (1024, 1024)  # rows and columns of their detectors that have one chip


def why_no_table(identity: ChipIdentity) -> str:
    """Return why the pixels of a chip cannot be listed in such a table; empty if they can."""
    if identity.instrument not in _INSTRUMENTS:
        *names, last = _INSTRUMENTS
        return f"{identity.instrument} has no bad-pixel tables; {', '.join(names)} and {last} have"
    rows, columns = _frame(identity)
    x_end = identity.x0 + identity.columns * identity.xbin
    y_end = identity.y0 + identity.rows * identity.ybin
    if min(identity.x0, identity.y0) < 0 or x_end > columns or y_end > rows:
        return f"reaches beyond the {columns} x {rows} pixels that a bad-pixel table describes"
    return ""


def _frame(identity: ChipIdentity) -> tuple[int, int]:
    """Return rows and columns of a chip in unbinned pixels."""
    frames = instrument_of(identity.instrument).two_chip_frames
    return frames.get(identity.detector, _SQUARE)


def bad_pixel_table(chips: Iterable[tuple[ChipIdentity, NDArray[np.bool_]]]) -> fits.HDUList:
    """Return the bad-pixel table of the chips of one detector.

    Parameters
    ----------
    chips : iterable of tuple
        Identity and bad pixels, rows x columns, of each chip.

    Returns
    -------
    HDUList
        An empty primary HDU, and a table with the columns PIX1, PIX2, LENGTH, AXIS and VALUE,
        except for STIS also CCDAMP, CCDCHIP and CCDGAIN. VALUE is the bit BADPIX.
    """
    chips = list(chips)
    first = chips[0][0]
    runs = [_runs(boxes_of(bad), identity) for identity, bad in chips]
    columns = [
        fits.Column(name, "J", array=values)
        for name, values in zip(("PIX1", "PIX2", "LENGTH", "AXIS"), np.vstack(runs).T, strict=True)
    ]
    n_rows = sum(map(len, runs))
    value = instrument_of(first.instrument).flags["BADPIX"]
    columns.append(fits.Column("VALUE", "I", array=np.full(n_rows, value)))
    if first.instrument != "STIS":
        numbers = [_ANY if identity.ccdchip is None else identity.ccdchip for identity, _ in chips]
        columns[:0] = [
            fits.Column("CCDAMP", "4A", array=np.full(n_rows, _ANY_AMPLIFIER)),
            fits.Column("CCDCHIP", "J", array=np.repeat(numbers, list(map(len, runs)))),
            fits.Column("CCDGAIN", "E", array=np.full(n_rows, _ANY, np.float32)),
        ]
    table = fits.BinTableHDU.from_columns(columns, name="BPX")
    for axis, size in enumerate(reversed(_frame(first)), start=1):
        table.header[f"SIZAXIS{axis}"] = (size, f"pixels of a chip along axis {axis}")
    primary = fits.PrimaryHDU()
    for keyword, text, comment in (
        ("TELESCOP", "HST", "telescope"),
        ("INSTRUME", first.instrument, "instrument"),
        ("DETECTOR", first.detector, "detector"),
        ("FILETYPE", "BAD PIXELS", "type of reference file"),
        ("DESCRIP", "Static bad pixels, from a static mask", "summary"),
        ("CREATOR", CREATOR, "program that made this table"),
    ):
        primary.header[keyword] = (text, comment)
    return with_checksums([primary, table])


def _runs(boxes: Boxes, identity: ChipIdentity) -> NDArray[np.int64]:
    """Return boxes as runs along their longer side: PIX1, PIX2, LENGTH and AXIS of each."""
    # In unbinned pixels of the detector.
    binning = np.array([identity.xbin, identity.ybin, identity.xbin, identity.ybin])
    x, y, width, height = (boxes * binning + (identity.x0, identity.y0, 0, 0)).T
    is_upright = height >= width
    repeats = np.where(is_upright, width, height)
    # 0, 1, ... within each box
    number = np.arange(repeats.sum()) - np.repeat(repeats.cumsum() - repeats, repeats)
    x, y, length, along_y = (
        np.repeat(values, repeats)
        for values in (x, y, np.where(is_upright, height, width), is_upright)
    )
    return np.stack(
        [
            x + np.where(along_y, number, 0) + 1,
            y + np.where(along_y, 0, number) + 1,
            length,
            np.where(along_y, 2, 1),
        ],
        axis=1,
    )
