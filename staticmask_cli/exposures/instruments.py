"""Headers to identities: which silicon a chip is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from staticmask_cli.exposures.headers import as_float, as_integer

# Names in the style of STScI's stginga, which has the ACS and WFC3 ones; the
# others are named alike, with the meanings of hstcal's stisdq.h and of the
# NICMOS and WFPC2 Data Handbooks.
_SHARED = {"LOST": 1, "FILLED": 2, "BADPIX": 4, "MASKED": 8, "HOT": 16, "SATURATED": 256}
_CCD = _SHARED | {
    "WARM": 64,
    "BADREF": 512,
    "TRAP": 1024,
    "ATODSAT": 2048,
    "CRDRIZ": 4096,
    "CRREJ": 8192,
}
DQ_BITS: dict[str, dict[str, int]] = {
    "ACS": _CCD | {"UNSTABLE": 32, "BADCOL": 128, "USER": 16384},
    "WFC3": _CCD | {"CTE": 32, "UNSTABLE": 32, "BADBIAS": 128, "CRMAX": 16384, "USER": 32768},
    "STIS": _SHARED
    | {
        "LARGEBLEM": 32,
        "OVERSCAN": 128,
        "BADREF": 512,
        "SMALLBLEM": 1024,
        "BADBACKGROUND": 2048,
        "DISCARDED": 4096,
        "CRREJ": 8192,
        "NOTCTI": 16384,
    },
    "NICMOS": {
        "LOST": 1,
        "BADLIN": 2,
        "BADDARK": 4,
        "BADFLAT": 8,
        "GROT": 16,
        "BADPIX": 32,
        "SATURATED": 64,
        "FILLED": 128,
        "BADREF": 256,
        "CRREJ": 512,
        "SOURCE": 1024,
        "ZEROSIG": 2048,
        "CRDRIZ": 4096,
        "CRRAMP": 8192,
    },
    "WFPC2": {
        "LOST": 1,
        "BADREF": 2,
        "BADPIX": 4,
        "ATODSAT": 8,
        "FILLED": 16,
        "OTHER": 32,
        "TRAP": 128,
        "QUESTIONABLE": 256,
        "WARM": 512,
        "REPAIRED": 1024,
        "CRDRIZ": 4096,
    },
}


def flag_names(value: int, instrument: str) -> tuple[str, ...]:
    """Return the names of the DQ bits that are set in a value, lowest first.

    Parameters
    ----------
    value : int
        A DQ value; negative if the sign bit of a 16-bit integer is a flag.
    instrument : str
        Which calls bits by their names; a bit without one goes by its number.
    """
    names = {bit: name for name, bit in reversed(DQ_BITS.get(instrument, {}).items())}
    bits = (1 << power for power in range(16 if value < 0 else value.bit_length()))
    return tuple(names.get(bit, str(bit)) for bit in bits if value & bit)


_WFPC2_CHIPS = {1: "PC", 2: "WF2", 3: "WF3", 4: "WF4"}

# CCDCHIP -> place of that chip's SCI extension in a full-frame file. A
# subarray of chip 1 comes as SCI,1 too, so EXTVER cannot tell.
_PLACE_OF_CCDCHIP = {2: 1, 1: 2}
_TWO_CHIP_FRAMES = {("ACS", "WFC"): (2048, 4096), ("WFC3", "UVIS"): (2051, 4096)}
_COS_SEGMENTS = ("FUVA", "FUVB")
_ONE_CHIP = {("ACS", "HRC"), ("ACS", "SBC"), ("WFC3", "IR")}

# Those that count photons one by one, beside all of COS.
_PHOTON_COUNTERS = {("ACS", "SBC"), ("STIS", "NUV-MAMA"), ("STIS", "FUV-MAMA")}

# What may go wrong with a number in a header, so that names and masks stay sane.
_LARGEST_CORNER = 10**6
_LARGEST_BINNING = 1024
_LONGEST_LABEL = 64  # file systems take names of 255 bytes; a prefix may have 100 of them


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipIdentity:
    """The silicon that a mask belongs to. Pixels combine only if all of it agrees.

    Attributes
    ----------
    instrument, detector : str
        Letters, digits and ``-`` only; `detector` may be empty.
    number : int
        The place of the chip's SCI extension in a full-frame file.
    rows, columns : int
        Shape of its array.
    x0, y0 : int
        Corner: unbinned detector pixels left of and below the first pixel.
    xbin, ybin : int
        Detector pixels to one pixel of the array.
    """

    instrument: str
    detector: str
    number: int
    rows: int
    columns: int
    x0: int = 0
    y0: int = 0
    xbin: int = 1
    ybin: int = 1

    @property
    def label(self) -> str:
        """Instrument and detector in one word, as masks' names begin."""
        return self.instrument + self.detector

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def ccdchip(self) -> int | None:
        """CCDCHIP of a chip of ACS/WFC or WFC3/UVIS; None for other detectors."""
        if (self.instrument, self.detector) not in _TWO_CHIP_FRAMES:
            return None
        chips = (chip for chip, place in _PLACE_OF_CCDCHIP.items() if place == self.number)
        return next(chips, None)

    @property
    def counts_photons(self) -> bool:
        """Whether the detector counts single photons: a pixel that saw none is 0, not low."""
        return self.instrument == "COS" or (self.instrument, self.detector) in _PHOTON_COUNTERS

    def __str__(self) -> str:
        text = f"{self.label} {self.rows}x{self.columns} chip {self.number}"
        if (self.x0, self.y0) != (0, 0):
            text += f" from x {self.x0}, y {self.y0}"
        if (self.xbin, self.ybin) != (1, 1):
            text += f" binned {self.xbin}x{self.ybin}"
        return text


def identify(
    primary: Mapping[str, Any],
    science: Mapping[str, Any],
    extver: int,
    shape: tuple[int, int],
) -> ChipIdentity:
    """Tell which silicon an SCI extension shows.

    Parameters
    ----------
    primary, science : mapping
        Header of the primary HDU and of the SCI extension.
    extver : int
        Version of the SCI extension.
    shape : tuple of int
        Rows and columns of its array.

    Returns
    -------
    ChipIdentity

    Raises
    ------
    ValueError
        If a keyword that is needed is missing or makes no sense; the message
        is the reason, without a file name.
    """
    instrument = _word(primary, "INSTRUME").upper()
    detector, number = _detector_and_number(instrument, primary, science, extver, shape)
    if (length := len(instrument + detector)) > _LONGEST_LABEL:
        raise ValueError(
            f"INSTRUME and DETECTOR have {length} characters, too many for the name of a mask "
            f"(at most {_LONGEST_LABEL})"
        )
    x_scale, y_scale = (as_float(science, f"LTM{axis}_{axis}", 1.0) for axis in (1, 2))
    if x_scale <= 0 or y_scale <= 0:
        raise ValueError(f"LTM1_1 and LTM2_2 are {x_scale:g} and {y_scale:g}, not positive")
    return ChipIdentity(
        instrument=instrument,
        detector=detector,
        number=number,
        rows=shape[0],
        columns=shape[1],
        x0=_corner(as_float(science, "LTV1", 0.0), x_scale, "LTV1"),
        y0=_corner(as_float(science, "LTV2", 0.0), y_scale, "LTV2"),
        xbin=_binning(primary, science, "BINAXIS1"),
        ybin=_binning(primary, science, "BINAXIS2"),
    )


def _detector_and_number(
    instrument: str,
    primary: Mapping[str, Any],
    science: Mapping[str, Any],
    extver: int,
    shape: tuple[int, int],
) -> tuple[str, int]:
    if instrument == "WFPC2":
        number = as_integer(science, "DETECTOR")
        if number not in _WFPC2_CHIPS:
            raise ValueError(f"DETECTOR of a WFPC2 chip is {number}, not 1 to 4")
        return _WFPC2_CHIPS[number], number
    if instrument == "NICMOS":
        camera = as_integer(primary, "CAMERA")
        if camera not in (1, 2, 3):
            raise ValueError(f"CAMERA of NICMOS is {camera}, not 1 to 3")
        return str(camera), camera
    if instrument in ("ACS", "WFC3", "STIS"):
        detector = _word(primary, "DETECTOR").upper()
        if (instrument, detector) in _TWO_CHIP_FRAMES:
            frame = _TWO_CHIP_FRAMES[instrument, detector]
            return detector, _place(science, extver, is_full_frame=shape == frame)
        if instrument == "STIS" or (instrument, detector) in _ONE_CHIP:
            return detector, 1  # several SCI extensions are repeats of one chip
        raise ValueError(f"DETECTOR is {detector}, which {instrument} does not have")
    detector = _word(primary, "DETECTOR") if "DETECTOR" in primary else ""
    if (instrument, detector.upper()) == ("COS", "FUV"):
        detector = _word(primary, "SEGMENT").upper()  # two pieces of silicon, a file for each
        if detector not in _COS_SEGMENTS:
            raise ValueError(f"SEGMENT is {detector}, not {' or '.join(_COS_SEGMENTS)}")
    return detector, extver


def _place(science: Mapping[str, Any], extver: int, *, is_full_frame: bool) -> int:
    if "CCDCHIP" not in science:
        if is_full_frame and extver in _PLACE_OF_CCDCHIP.values():
            return extver
        raise ValueError("no CCDCHIP tells which of the two chips this is")
    chip = as_integer(science, "CCDCHIP")
    if chip not in _PLACE_OF_CCDCHIP:
        raise ValueError(f"CCDCHIP is {chip}, not 1 or 2")
    return _PLACE_OF_CCDCHIP[chip]


def _word(header: Mapping[str, Any], keyword: str) -> str:
    """Return a header's text as it may stand in a file name."""
    if keyword not in header:
        raise ValueError(f"no {keyword} in the primary header")
    text = str(header[keyword]).strip()
    if "/" in text or ".." in text:
        raise ValueError(f"{keyword} is {text!r}, which would lead out of the output folder")
    word = re.sub(r"[^A-Za-z0-9-]", "", text)
    if not re.search(r"[A-Za-z0-9]", word):
        raise ValueError(f"{keyword} is {text!r}, which holds no letter or digit")
    if word.startswith("-"):
        raise ValueError(f"{keyword} is {text!r}, which begins with '-', as options do")
    return word


def _corner(offset: float, scale: float, keyword: str) -> int:
    """Return how many detector pixels lie before an array's first edge.

    LTV and LTM give array pixel = LTM x detector pixel + LTV, and the edge of
    an array's first pixel is its coordinate 0.5 (IRAF's logical coordinates).
    """
    corner = (0.5 - offset) / scale - 0.5
    if abs(corner) > _LARGEST_CORNER:
        raise ValueError(f"{keyword} is {offset:g}, far off any detector")
    return round(corner)


def _binning(primary: Mapping[str, Any], science: Mapping[str, Any], keyword: str) -> int:
    for header in (science, primary):  # ACS and WFC3 have it there, STIS here
        if keyword in header:
            binning = as_integer(header, keyword)
            if not 1 <= binning <= _LARGEST_BINNING:
                raise ValueError(f"{keyword} is {binning}")
            return binning
    return 1
