"""Reading the chips of a gzipped exposure while it is unpacked, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.chips import Chip, Exposure, exposure_of, flags_of
from staticmask_cli.exposures.fits_files import Scan, file_errors
from staticmask_cli.exposures.headers import Hdu
from staticmask_cli.exposures.opening import FilePath
from staticmask_cli.exposures.pixels import are_kept, read_from
from staticmask_cli.settings import Group, Settings

Result = TypeVar("Result")


def open_and_read(
    path: FilePath,
    settings: Settings,
    work: Callable[[Chip], Result] | None,
    *,
    any_flags: bool = False,
) -> tuple[Exposure, dict[Chip, Result]]:
    """Find the chips of an exposure, and read those of a gzipped file on the way.

    Whether a chip is used depends on later headers, too: a chip is only known for
    certain when the file has been unpacked to its end. It is read as soon as its
    arrays are, and the result is dropped if the chip turns out to be another.

    Parameters
    ----------
    path : Path or Url
        Path of the exposure.
    settings : Settings
        Extensions to use, and whether flags count.
    work : callable or None
        Reads a chip by `chip_arrays`; None to read only headers.
    any_flags : bool
        As for `open_exposure`.

    Returns
    -------
    exposure : Exposure
    results : dict
        Results of `work` for chips of the exposure; not for all: those of files that
        are not gzipped, for instance, remain to be read.

    Raises
    ------
    InputError
        As for `open_exposure`, or if an array cannot be read.
    """
    needs_flags = any_flags or settings.final_bits is not None
    hdus: list[Hdu] = []
    results: dict[Chip, Result] = {}
    scan = Scan(path)
    for hdu in scan:
        hdus.append(hdu)
        is_read = hdu.name == "SCI" or (needs_flags and hdu.name == "DQ")
        if work is None or scan.unpacked is None or not is_read:
            continue
        array = hdu.array if hdu.name == "SCI" or not hdu.array else flags_of(hdu.array)
        if array is None or not array.is_as_stored or not _is_selected(hdu, settings.group):
            continue
        with file_errors(path):
            read_from(scan.unpacked, array)  # of a truncated array, the scan reports the error
        if hdu.name == ("DQ" if needs_flags else "SCI"):
            chip = _chip_so_far(path, hdus, settings, any_flags=any_flags)
            if chip is not None and are_kept(chip):
                results[chip] = work(chip)
    exposure = exposure_of(path, hdus, scan.notes, settings, any_flags=any_flags)
    return exposure, {chip: results[chip] for chip in exposure.chips if chip in results}


def _is_selected(hdu: Hdu, group: Group | None) -> bool:
    """Return whether the chip of an HDU can be one of the selected ones."""
    if group is None or hdu.name != "SCI":
        return True
    return hdu.version == group.extver or hdu.index in group.hdus


def _chip_so_far(
    path: FilePath, hdus: Sequence[Hdu], settings: Settings, *, any_flags: bool
) -> Chip | None:
    """Return the chip of the latest HDU, as far as the HDUs so far determine it."""
    same = [hdu for hdu in hdus if hdu.index == 0 or hdu.version == hdus[-1].version]
    with suppress(InputError):
        found = exposure_of(path, same, (), replace(settings, group=None), any_flags=any_flags)
        return found.chips[0]
    return None
