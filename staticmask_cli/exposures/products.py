"""Kinds of Hubble products, by header or else by file name; names of masks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from staticmask_cli.errors import printable
from staticmask_cli.exposures.headers import as_word
from staticmask_cli.exposures.opening import FilePath

Located = TypeVar("Located", bound=FilePath)

#: Suffixes of calibrated exposures. Where an exposure can have two of them, the more
#: fully corrected one is first: with CTE correction before without.
CALIBRATED = ("flc", "flt", "crc", "crj", "sfl", "cal", "c0m", "c0h")

#: Ending of the name of every static mask.
MASK_ENDING = "_staticMask.fits"
#: Endings of masks, including gzipped ones.
MASK_ENDINGS = (MASK_ENDING, f"{MASK_ENDING}.gz")

_RAW = "a raw exposure"
_INTERMEDIATE = "an intermediate file of the calibration"
_DRIZZLED = "drizzled"
_RECTIFIED = "a rectified spectral image"
_FLAGS = "the DQ file of a WFPC2 exposure"
_SUPPORT = "a support file"
_JITTER = "a jitter file"
_OTHER_MISSION = "a JWST product"
# Kinds of other products, including missions with similar names, by suffix.
_NOT_CALIBRATED = {
    **dict.fromkeys(("raw", "d0m", "d0h", "rawtag", "rawaccum", "rawacq"), _RAW),
    **dict.fromkeys(("ima", "blv_tmp", "blc_tmp", "crj_tmp", "crc_tmp", "rac_tmp"), _INTERMEDIATE),
    **dict.fromkeys(("drz", "drc", "mos"), _DRIZZLED),
    **dict.fromkeys(("x2d", "sx2"), _RECTIFIED),
    **dict.fromkeys(("c1m", "c1h"), _FLAGS),
    **dict.fromkeys(("spt", "shm", "shf"), _SUPPORT),
    **dict.fromkeys(("jit", "jif"), _JITTER),
    **dict.fromkeys(("uncal", "rate", "rateints", "calints", "crf", "i2d", "s2d"), _OTHER_MISSION),
}

# root_suffix.fits; root.suffix for GEIS files. A COS segment or the plane of a
# drizzled image may follow the suffix.
_NAME = re.compile(
    rf"(?P<root>.+)[_.](?P<suffix>{'|'.join([*CALIBRATED, *_NOT_CALIBRATED])})"
    r"(?P<part>_(?:a|b|sci|wht|ctx))?(?:\.fits?)?(?:\.(?:gz|fz))?"
)
_JWST_NAME = re.compile(r"jw\d{11}_.+")
# HAP names end with the name of the exposure, but without its ninth letter, which
# only records how it was transmitted.
_HAP_NAME = re.compile(r"hst_.+_(?P<exposure>[a-z0-9]{8})")
_EXPOSURE_NAME = re.compile(r"(?P<exposure>[ijlnouvwxyz][a-z0-9]{7})[a-z]")

# Pairs of science and DQ files: GEIS files, and FITS files converted from them.
_SCIENCE_TWIN = re.compile(r"(.+_c)0([mh](?:\..+)?)", re.IGNORECASE)

# Calibration steps, at least one of which every instrument has: PERFORM means that
# the file is raw.
_FIRST_STEPS = ("DQICORR", "MASKCORR")
#: Keywords of the primary header that this module uses.
KEYWORDS = ("TELESCOP", "FILENAME", "ROOTNAME", "NDRIZIM", *_FIRST_STEPS)


def calibration_of(name: str) -> tuple[str, str] | None:
    """Return exposure and calibration of a file, from its name alone.

    Parameters
    ----------
    name : str
        File name, without folder.

    Returns
    -------
    tuple of str, or None
        Root and suffix in lower case. The root is common to all files of an
        exposure (the first 8 letters of Hubble names). Two names with the same
        root and different suffixes are the same exposure, calibrated in two
        ways. None if the name is of another form.

    Examples
    --------
    >>> calibration_of("j8bt06nyq_flt.fits.gz")
    ('j8bt06ny', 'flt')
    >>> calibration_of("hst_9019_06_acs_hrc_f475w_j8bt06ny_flc.fits")
    ('j8bt06ny', 'flc')
    """
    root, suffix = _split(name)
    return (root, suffix) if suffix in CALIBRATED else None


def why_refused(primary: Mapping[str, Any], name: str) -> str | None:
    """Return why a file is not a calibrated Hubble exposure; None if it may be one.

    Parameters
    ----------
    primary : mapping
        Its primary header; at least `KEYWORDS`.
    name : str
        Its file name, used only if the header is not conclusive.

    Examples
    --------
    >>> why_refused({"TELESCOP": "HST", "FILENAME": "j8bt06nyq_raw.fits"}, "x.fits")
    'is a raw exposure: FILENAME is j8bt06nyq_raw.fits'
    """
    telescope = as_word(primary, "TELESCOP")
    if telescope and not telescope.upper().startswith(("HST", "HUBBLE")):
        return f"is not a Hubble exposure: TELESCOP is {telescope}"
    if "NDRIZIM" in primary:
        return f"is {_DRIZZLED}: its header has NDRIZIM"
    filename = as_word(primary, "FILENAME")
    if product := _product(filename, telescope):
        return None if product in CALIBRATED else f"is {product}: FILENAME is {filename}"
    for step in _FIRST_STEPS:
        if as_word(primary, step).upper() == "PERFORM":
            return f"is {_RAW}: {step} is PERFORM"
    product = _product(name, telescope)
    return (
        None if product is None or product in CALIBRATED else f"is {product}, according to its name"
    )


def _product(name: str, telescope: str) -> str | None:
    """Return the suffix of a calibrated exposure, or another kind of product; None if unknown."""
    suffix = _split(name)[1]
    product = _NOT_CALIBRATED.get(suffix, suffix) or None
    if telescope:  # known to be Hubble's, whatever its name
        return None if product == _OTHER_MISSION else product
    return _OTHER_MISSION if _JWST_NAME.fullmatch(name.lower()) else product


def calibration(primary: Mapping[str, Any], name: str) -> str:
    """Return root and suffix of an exposure as ``root_suffix``; empty if unknown.

    Parameters
    ----------
    primary : mapping
        Its primary header; at least `KEYWORDS`.
    name : str
        Its file name, used only if the header lacks FILENAME.
    """
    found = calibration_of(as_word(primary, "FILENAME")) or calibration_of(name)
    if found is None:
        return ""
    root = _root(as_word(primary, "ROOTNAME").lower()) or found[0]
    return printable(f"{root}_{found[1]}").encode("ascii", "backslashreplace").decode()


def best_first(paths: Iterable[FilePath]) -> list[FilePath]:
    """Return exposures with less corrected calibrations last, according to their names."""
    ranks = {
        path: (found[0], CALIBRATED.index(found[1]))
        for path in paths
        if (found := calibration_of(path.name))
    }
    best: dict[str, int] = {}
    for root, rank in ranks.values():
        best[root] = min(rank, best.get(root, rank))
    return sorted(paths, key=lambda path: path in ranks and ranks[path][1] > best[ranks[path][0]])


def flags_twin(path: Located) -> Located | None:
    """Return the DQ file of a WFPC2 exposure, from its name; None for other names."""
    match = _SCIENCE_TWIN.fullmatch(path.name)
    return cast("Located", path.with_name("1".join(match.groups()))) if match else None


def _split(name: str) -> tuple[str, str]:
    """Return root and suffix of a product name, in lower case; empty if it has none."""
    match = _NAME.fullmatch(name.lower())
    if match is None:
        return "", ""
    # The two segments of COS are not two calibrations.
    return _root(match["root"]) + (match["part"] or ""), match["suffix"]


def _root(name: str) -> str:
    known = _HAP_NAME.fullmatch(name) or _EXPOSURE_NAME.fullmatch(name)
    return known["exposure"] if known else name
