"""The mask file: header, table of exposures, counts, checksums."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from staticmask_cli._version import __version__
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masks.builder import MaskAccumulator
from staticmask_cli.masks.quality import Quality, failed
from staticmask_cli.masks.records import ChipRecord, as_text, count_chips, count_exposures
from staticmask_cli.settings import Recipe

CREATOR = f"staticmask {__version__}"
TABLE = "EXPOSURES"
# Tiles of so many rows pack well and are read in one go.
_TILE_ROWS = 64
_LARGEST_INT16 = 2**15 - 1

#: Column of the table, attribute of the record, FITS format, what it means.
COLUMNS = (
    ("FILE", "file", "A", "file of the exposure"),
    ("EXTVER", "extver", "J", "version of its SCI extension"),
    ("MODE", "mode", "D", "mode of the sky, in the exposure's units"),
    ("RMS", "rms", "D", "clipped rms of the sky"),
    ("NBINS", "nbins", "K", "bins of the histogram; no mode below 2"),
    ("THRESH", "threshold", "D", "mode - STATSIG x rms: lower pixels are bad"),
    ("LOWPIX", "n_low", "K", "pixels below the threshold"),
    ("DQPIX", "n_flagged", "K", "pixels that the DQ array calls bad"),
    ("NPIX", "n_finite", "K", "pixels that are finite"),
    ("LOWEST", "lowest", "D", "lowest finite pixel"),
    ("MEDIAN", "median", "D", "median, in the exposure's units"),
    ("NOISE", "noise", "D", "noise: how far below it 16 % of the pixels end"),
    ("NCLUST", "n_clustered", "K", "low pixels that are clustered"),
    ("CALIBRAT", "calibration", "A", "root name of the exposure, and suffix"),
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
    recipe: Recipe,
    quality: Quality,
) -> fits.HDUList:
    """Make a mask file in memory.

    Equal masks, records and recipes give equal bytes: no clock, no folder,
    no order of inputs goes in.

    Parameters
    ----------
    mask : MaskAccumulator
        The bad pixels.
    identity : ChipIdentity
        The silicon.
    records : sequence of ChipRecord
        One for each chip that belongs to the identity, as `merged` returns them.
    recipe : Recipe
        How it was made.
    quality : Quality
        Whether to trust it; its `chips` belong to `records`.

    Returns
    -------
    HDUList
        The mask as primary HDU, the table of exposures and, if `mask` keeps
        counts, COUNT and COVERAGE, tile-compressed; all with checksums.
    """
    primary = fits.PrimaryHDU(mask.mask())
    extensions = [_table(records, quality)]
    if mask.keeps_counts:
        extensions.append(_compressed("COUNT", mask.count()))
        extensions.append(_compressed("COVERAGE", mask.coverage()))
    names = sorted({check.name for check in quality.failed})
    primary.header.extend(
        _card(*card)
        for card in (
            ("CREATOR", CREATOR, "program that made this mask"),
            ("FILETYPE", "STATIC MASK", "1: good pixel, 0: bad pixel"),
            ("NEXTEND", len(extensions), "number of extensions"),
            ("INSTRUME", identity.instrument, "instrument"),
            ("DETECTOR", identity.detector, "detector"),
            ("CHIP", identity.number, "place of the chip in a full-frame file"),
            ("XCORNER", identity.x0, "detector pixels left of the first column"),
            ("YCORNER", identity.y0, "detector pixels below the first row"),
            ("BINAXIS1", identity.xbin, "detector pixels to a pixel along axis 1"),
            ("BINAXIS2", identity.ybin, "detector pixels to a pixel along axis 2"),
            ("STATSIG", recipe.static_sig, "bad if so many rms below the mode"),
            ("FINBITS", recipe.final_bits, "DQ bits that count as good"),
            ("GROUP", recipe.group, "extensions that were asked for"),
            ("INCEMPTY", recipe.include_empty, "exposures without exposure time too"),
            ("MINEXPOS", recipe.min_exposures.plain, "bad in so many exposures, or share"),
            ("DUPLICAT", recipe.allow_duplicates, "exposures with the same pixels count each"),
            ("NEXPOSUR", count_exposures(records), "exposures that took part"),
            ("NCHIPS", count_chips(records), "SCI extensions that took part"),
            ("NBAD", mask.bad, "bad pixels"),
            ("QCFAILED", " ".join(names) or "none", "quality checks that failed"),
            ("NQCFAIL", len(quality.failed), "failed checks of the mask and its chips"),
        )
    )
    for check in failed(quality.mask):
        primary.header.add_comment(as_text(f"check failed: {check.short()}: {check.text}"))
    hdus = fits.HDUList([primary, *extensions])
    for hdu in hdus:
        # "HDU checksum updated by staticmask", where astropy would put the time.
        hdu.add_checksum(when="by staticmask")
    return hdus


def _card(keyword: str, value: Any, comment: str) -> fits.Card:
    """Return a header card, without its comment if that has no room beside a long value."""
    room = 80 - len("KEYWORD = '' / ") - len(comment)
    return fits.Card(keyword, value, comment if len(str(value)) < room else None)


def _table(records: Sequence[ChipRecord], quality: Quality) -> fits.BinTableHDU:
    columns = []
    meanings = []
    for name, attribute, letter, meaning in COLUMNS:
        columns.append(_column(name, letter, [getattr(record, attribute) for record in records]))
        meanings.append(meaning)
    spoken = ["; ".join(check.short() for check in failed(c)) for c in quality.chips]
    columns.append(_column("QCFAILED", "A", spoken))
    meanings.append("quality checks that failed")
    places = np.empty(len(records), dtype=object)
    for number, record in enumerate(records):
        places[number] = record.unique.astype(np.int32)
    columns.append(fits.Column(name="ALONE", format="PJ()", array=places))
    meanings.append("pixels bad here alone: row x columns + column")
    # Not BinTableHDU.from_columns(), which imports astropy.table: 0.1 s, all for nothing.
    table = fits.BinTableHDU(name=TABLE)
    table.data = fits.FITS_rec.from_columns(fits.ColDefs(columns))
    for number, meaning in enumerate(meanings, start=1):
        table.header.comments[f"TTYPE{number}"] = meaning
    return _as_written(table)


def _column(name: str, letter: str, values: Sequence[Any]) -> fits.Column:
    width = str(max([1, *map(len, values)])) if letter == "A" else ""
    return fits.Column(name=name, format=width + letter, array=list(values))


def _compressed(name: str, array: NDArray[np.uint32]) -> fits.BinTableHDU:
    """Return a tile-compressed image as the table that it is in a file."""
    small = array.max(initial=0) <= _LARGEST_INT16
    image = fits.CompImageHDU(
        array.astype(np.int16 if small else np.int32),
        name=name,
        compression_type="RICE_1",
        tile_shape=(min(_TILE_ROWS, array.shape[0]), array.shape[1]),
    )
    return _as_written(image)


def _as_written(hdu: fits.BinTableHDU | fits.CompImageHDU) -> fits.BinTableHDU:
    """Return a table as a file has it.

    astropy's checksums of tables with arrays of any length, made before they are
    written, are not those of what it writes; it gives compressed images none.
    """
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
    file.seek(0)
    # Left open: the table reads from there when it is written.
    return fits.open(file, memmap=False, disable_image_compression=True)[1]
