"""Instruments: the identity of a chip from its headers, and the names of DQ bits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from staticmask_cli.exposures.headers import as_float, as_integer

# ACS and WFC3 names are those of STScI's stginga. The others follow the same style,
# with the meanings of hstcal's stisdq.h and the NICMOS and WFPC2 Data Handbooks.
_SHARED = {"LOST": 1, "FILLED": 2, "BADPIX": 4, "MASKED": 8, "HOT": 16, "SATURATED": 256}
_CCD = _SHARED | {
    "WARM": 64,
    "BADREF": 512,
    "TRAP": 1024,
    "ATODSAT": 2048,
    "CRDRIZ": 4096,
    "CRREJ": 8192,
}


def flag_names(value: int, instrument: str) -> tuple[str, ...]:
    """Return the names of the DQ bits set in a value, lowest first.

    Parameters
    ----------
    value : int
        A DQ value; negative if the sign bit of a 16-bit integer is a flag.
    instrument : str
        Instrument whose names to use; bits without a name are given as numbers.

    Examples
    --------
    >>> flag_names(16 + 4 + 2**15, "ACS")
    ('BADPIX', 'HOT', '32768')
    """
    names = {bit: name for name, bit in reversed(instrument_of(instrument).flags.items())}
    bits = (1 << power for power in range(16 if value < 0 else value.bit_length()))
    return tuple(names.get(bit, str(bit)) for bit in bits if value & bit)


_WFPC2_CHIPS = {1: "PC", 2: "WF2", 3: "WF3", 4: "WF4"}

# CCDCHIP -> position of the SCI extension of that chip in a full-frame file. EXTVER
# is no substitute, because a subarray of chip 1 is stored as SCI,1.
_PLACE_OF_CCDCHIP = {2: 1, 1: 2}
_COS_SEGMENTS = ("FUVA", "FUVB")

# Limits for header values that determine identities and file names.
_LARGEST_CORNER = 10**6
_LARGEST_BINNING = 1024
_LONGEST_LABEL = 64  # file systems allow 255 bytes per name, of which a prefix may use 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipIdentity:
    """The silicon that a mask belongs to. Only pixels of the same identity are combined.

    Attributes
    ----------
    instrument, detector : str
        Letters, digits and ``-``; `detector` may be empty.
    number : int
        Position of the chip's SCI extension in a full-frame file, from 1.
    rows, columns : int
        Shape of its array.
    x0, y0 : int
        Corner: number of unbinned detector pixels left of and below the first pixel.
    xbin, ybin : int
        Binning: detector pixels per pixel of the array.
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
        """Instrument and detector in one word: the beginning of mask names."""
        return self.instrument + self.detector

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def counts_photons(self) -> bool:
        """Whether the detector counts photons, so that a pixel without any is 0, not low."""
        counters = instrument_of(self.instrument).photon_counters
        return self.detector in counters or "*" in counters

    @property
    def ccdchip(self) -> int | None:
        """CCDCHIP in Hubble's headers; None for detectors with one chip."""
        if self.detector not in instrument_of(self.instrument).two_chip_frames:
            return None
        return next(ccdchip for ccdchip, n in _PLACE_OF_CCDCHIP.items() if n == self.number)

    @property
    def is_hubbles(self) -> bool:
        """Whether the instrument is one of Hubble's."""
        return self.instrument in INSTRUMENTS

    def __str__(self) -> str:
        text = f"{self.label} {self.rows}x{self.columns} chip {self.number}"
        if (self.x0, self.y0) != (0, 0):
            text += f" from x {self.x0}, y {self.y0}"
        if (self.xbin, self.ybin) != (1, 1):
            text += f" binned {self.xbin}x{self.ybin}"
        return text


def sci_name(extver: int, ccdchip: int | None) -> str:
    """Return the name of a SCI extension in messages, such as ``SCI,1 (CCDCHIP 2)``."""
    return f"SCI,{extver}" + ("" if ccdchip is None else f" (CCDCHIP {ccdchip})")


def identify(
    primary: Mapping[str, Any],
    science: Mapping[str, Any],
    extver: int,
    shape: tuple[int, int],
) -> ChipIdentity:
    """Identify the silicon of an SCI extension.

    Parameters
    ----------
    primary, science : mapping
        Headers of the primary HDU and of the SCI extension.
    extver : int
        EXTVER of the SCI extension.
    shape : tuple of int
        Rows and columns of its array.

    Returns
    -------
    ChipIdentity

    Raises
    ------
    ValueError
        If a required keyword is missing or invalid; the message is the reason,
        without the file name.

    Examples
    --------
    >>> primary = {"INSTRUME": "ACS", "DETECTOR": "WFC"}
    >>> print(identify(primary, {"CCDCHIP": 1}, extver=2, shape=(2048, 4096)))
    ACSWFC 2048x4096 chip 2
    """
    instrument = _word(primary, "INSTRUME").upper()
    detector, number = instrument_of(instrument).chip(instrument, primary, science, extver, shape)
    if (length := len(instrument + detector)) > _LONGEST_LABEL:
        raise ValueError(
            f"INSTRUME and DETECTOR have {length} characters, too many for a file name "
            f"(at most {_LONGEST_LABEL})"
        )
    x_scale, y_scale = (as_float(science, f"LTM{axis}_{axis}", 1.0) for axis in (1, 2))
    if x_scale <= 0 or y_scale <= 0:
        raise ValueError(f"LTM1_1 and LTM2_2 are {x_scale:g} and {y_scale:g}, but must be > 0")
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


def _chip_of_detector(
    instrument: str,
    primary: Mapping[str, Any],
    science: Mapping[str, Any],
    extver: int,
    shape: tuple[int, int],
) -> tuple[str, int]:
    """Return detector and number of a chip; several SCI extensions of one chip are repeats."""
    known = instrument_of(instrument)
    detector = _word(primary, "DETECTOR").upper()
    if frame := known.two_chip_frames.get(detector):
        return detector, _place(science, extver, is_full_frame=shape == frame)
    if known.one_chip_detectors and detector not in known.one_chip_detectors:
        raise ValueError(f"DETECTOR is {detector}, not a detector of {instrument}")
    return detector, 1


def _chip_of_wfpc2(
    _: str, __: Mapping[str, Any], science: Mapping[str, Any], *___: Any
) -> tuple[str, int]:
    number = as_integer(science, "DETECTOR")
    if number not in _WFPC2_CHIPS:
        raise ValueError(f"DETECTOR of a WFPC2 chip is {number}, not 1 to 4")
    return _WFPC2_CHIPS[number], number


def _chip_of_nicmos(_: str, primary: Mapping[str, Any], *__: Any) -> tuple[str, int]:
    camera = as_integer(primary, "CAMERA")
    if camera not in (1, 2, 3):
        raise ValueError(f"CAMERA of NICMOS is {camera}, not 1 to 3")
    return str(camera), camera


def _chip_of_cos(
    instrument: str, primary: Mapping[str, Any], science: Mapping[str, Any], extver: int, *_: Any
) -> tuple[str, int]:
    detector, number = _chip_of_any(instrument, primary, science, extver)
    if detector.upper() == "FUV":
        detector = _word(primary, "SEGMENT").upper()  # two detectors, each with its own file
        if detector not in _COS_SEGMENTS:
            raise ValueError(f"SEGMENT is {detector}, not {' or '.join(_COS_SEGMENTS)}")
    return detector, number


def _chip_of_any(
    _: str, primary: Mapping[str, Any], __: Mapping[str, Any], extver: int, *___: Any
) -> tuple[str, int]:
    return _word(primary, "DETECTOR") if "DETECTOR" in primary else "", extver


def _place(science: Mapping[str, Any], extver: int, *, is_full_frame: bool) -> int:
    if "CCDCHIP" not in science:
        if is_full_frame and extver in _PLACE_OF_CCDCHIP.values():
            return extver
        raise ValueError("CCDCHIP is missing")
    chip = as_integer(science, "CCDCHIP")
    if chip not in _PLACE_OF_CCDCHIP:
        raise ValueError(f"CCDCHIP is {chip}, not 1 or 2")
    return _PLACE_OF_CCDCHIP[chip]


def _word(header: Mapping[str, Any], keyword: str) -> str:
    """Return the text of a keyword, reduced to characters that are safe in a file name."""
    if keyword not in header:
        raise ValueError(f"{keyword} is missing in the primary header")
    text = str(header[keyword]).strip()
    if "/" in text or ".." in text:
        raise ValueError(f"{keyword} is {text!r}, which would leave the output folder")
    word = re.sub(r"[^A-Za-z0-9-]", "", text)
    if not re.search(r"[A-Za-z0-9]", word):
        raise ValueError(f"{keyword} is {text!r}, which contains no letters or digits")
    if word.startswith("-"):
        raise ValueError(f"{keyword} is {text!r}, which begins with '-'")
    return word


def _corner(offset: float, scale: float, keyword: str) -> int:
    """Return the number of detector pixels before the first edge of an array.

    LTV and LTM define array pixel = LTM x detector pixel + LTV; the first edge of
    an array is at coordinate 0.5 (IRAF's logical coordinates).
    """
    corner = (0.5 - offset) / scale - 0.5
    if abs(corner) > _LARGEST_CORNER:
        raise ValueError(f"{keyword} is {offset:g}, outside any detector")
    return round(corner)


def _binning(primary: Mapping[str, Any], science: Mapping[str, Any], keyword: str) -> int:
    for header in (science, primary):  # SCI header for ACS and WFC3, primary header for STIS
        if keyword in header:
            binning = as_integer(header, keyword)
            if not 1 <= binning <= _LARGEST_BINNING:
                raise ValueError(f"{keyword} is {binning}")
            return binning
    return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """The properties of an instrument.

    Attributes
    ----------
    chip : callable
        Returns detector and number of a chip from instrument, primary and SCI
        header, EXTVER and shape.
    keywords : tuple of str
        Keywords that `chip` uses.
    filters : tuple of str
        Keywords that name the filters.
    flags : dict of str to int
        Names of the DQ bits.
    has_dq : bool
        Whether its calibrated exposures have DQ extensions; WFPC2's are in another file.
    two_chip_frames : mapping
        For each detector with two chips, rows and columns of a full frame.
    one_chip_detectors : tuple of str
        Its detectors with one chip; empty if all names are accepted.
    photon_counters : tuple of str
        Detectors that count single photons; ``*`` for all.
    """

    chip: Callable[..., tuple[str, int]] = _chip_of_any
    keywords: tuple[str, ...] = ("DETECTOR",)
    filters: tuple[str, ...] = ()
    flags: dict[str, int] = field(default_factory=dict)
    has_dq: bool = False
    two_chip_frames: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    one_chip_detectors: tuple[str, ...] = ()
    photon_counters: tuple[str, ...] = ()


#: To add an instrument, add it here.
INSTRUMENTS = {
    "ACS": Instrument(
        chip=_chip_of_detector,
        keywords=("DETECTOR", "CCDCHIP"),
        filters=("FILTER1", "FILTER2"),
        flags=_CCD | {"UNSTABLE": 32, "BADCOL": 128, "USER": 16384},
        has_dq=True,
        two_chip_frames={"WFC": (2048, 4096)},
        one_chip_detectors=("HRC", "SBC"),
        photon_counters=("SBC",),
    ),
    "WFC3": Instrument(
        chip=_chip_of_detector,
        keywords=("DETECTOR", "CCDCHIP"),
        filters=("FILTER",),
        flags=_CCD | {"CTE": 32, "UNSTABLE": 32, "BADBIAS": 128, "CRMAX": 16384, "USER": 32768},
        has_dq=True,
        two_chip_frames={"UVIS": (2051, 4096)},
        one_chip_detectors=("IR",),
    ),
    "STIS": Instrument(
        chip=_chip_of_detector,
        filters=("OPT_ELEM", "FILTER"),
        flags=_SHARED
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
        has_dq=True,
        photon_counters=("NUV-MAMA", "FUV-MAMA"),
    ),
    "NICMOS": Instrument(
        chip=_chip_of_nicmos,
        keywords=("CAMERA",),
        filters=("FILTER",),
        flags={
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
        has_dq=True,
    ),
    "WFPC2": Instrument(
        chip=_chip_of_wfpc2,
        filters=("FILTNAM1", "FILTNAM2"),
        flags={
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
    ),
    "COS": Instrument(
        chip=_chip_of_cos,
        keywords=("DETECTOR", "SEGMENT"),
        filters=("OPT_ELEM",),
        photon_counters=("*",),
    ),
}
_OTHER = Instrument()
#: Names of the DQ bits of each instrument that has them.
DQ_BITS = {name: one.flags for name, one in INSTRUMENTS.items() if one.flags}
#: Keywords of either header that are used here or name filters.
KEYWORDS = (
    *("INSTRUME", "LTV1", "LTV2", "LTM1_1", "LTM2_2", "BINAXIS1", "BINAXIS2"),
    *dict.fromkeys(
        keyword for one in (*INSTRUMENTS.values(), _OTHER) for keyword in one.keywords + one.filters
    ),
)


def instrument_of(name: str) -> Instrument:
    """Return the properties of an instrument; defaults for an unknown one."""
    return INSTRUMENTS.get(name, _OTHER)
