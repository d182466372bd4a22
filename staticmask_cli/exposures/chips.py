"""The chips of an exposure: selection of extensions, identity, and matching DQ flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.dq_bits import good_bits
from staticmask_cli.exposures.fits_files import scan
from staticmask_cli.exposures.headers import (
    Hdu,
    HeaderError,
    ImageArray,
    as_float,
    as_integer,
    as_word,
)
from staticmask_cli.exposures.instruments import (
    DQ_BITS,
    ChipIdentity,
    identify,
    instrument_of,
    sci_name,
)
from staticmask_cli.exposures.observation import Observation, observe
from staticmask_cli.exposures.opening import FilePath, exists
from staticmask_cli.exposures.products import calibration, flags_twin, why_refused
from staticmask_cli.settings import Group, Settings

#: EXTNAME of the table of flags that were set from masks; see `flagging`.
FLAG_TABLE = "STATICMASK"

_DIMENSIONS = 2  # rows and columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """One SCI extension of an exposure.

    Attributes
    ----------
    file : str
        File name of the exposure, without folder.
    extver : int
        EXTVER of the extension.
    identity : ChipIdentity
        The silicon that it images.
    science : ImageArray
        Location of its pixels.
    flags : ImageArray or None
        Location of its DQ flags; None if they are not requested.
    good_bits : int or None
        Sum of the DQ bits that count as good; None: flags are ignored.
    calibration : str
        As `ChipRecord.calibration`.
    observation : Observation
        Metadata of the exposure.
    skipped : str or None
        Why it is not used; None if it is.
    """

    file: str
    extver: int
    identity: ChipIdentity
    science: ImageArray
    flags: ImageArray | None
    good_bits: int | None
    calibration: str
    observation: Observation
    skipped: str | None = None

    @property
    def name(self) -> str:
        """The chip in messages, such as ``SCI,1 (CCDCHIP 2)``."""
        return sci_name(self.extver, self.identity.ccdchip)

    @property
    def header_hash(self) -> str:
        """Hash of the headers of the arrays that determine its bad pixels."""
        if self.flags is None:
            return self.science.header_hash
        # Half of each: any change of a header changes both halves of its hash.
        return self.science.header_hash[:16] + self.flags.header_hash[:16]

    @property
    def datasum(self) -> str:
        """DATASUM of its SCI header; empty if missing."""
        return self.science.datasum

    @property
    def is_plain(self) -> bool:
        """Whether scanning the headers is enough to know that its arrays can be read."""
        return self.science.is_plain and (self.flags is None or self.flags.is_plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """One exposure: the chips of one file.

    Attributes
    ----------
    chips : tuple of Chip
        Those that take part or are skipped; at least one.
    notes : tuple of str
        Warnings about the file, without its name.
    """

    chips: tuple[Chip, ...]
    notes: tuple[str, ...]


def open_exposure(path: FilePath, settings: Settings, *, any_flags: bool = False) -> Exposure:
    """Find the chips of an exposure, reading only headers.

    Parameters
    ----------
    path : Path or Url
        Path of the exposure.
    settings : Settings
        Extensions to use, and whether flags count.
    any_flags : bool
        Whether to find flags, if present, regardless of the settings.

    Returns
    -------
    Exposure

    Raises
    ------
    InputError
        Lists all problems of the file, one line each.
    """
    hdus, notes = scan(path)
    return exposure_of(path, hdus, notes, settings, any_flags=any_flags)


def exposure_of(
    path: FilePath,
    hdus: Sequence[Hdu],
    notes: Sequence[str],
    settings: Settings,
    *,
    any_flags: bool = False,
) -> Exposure:
    """Find the chips in the HDUs of a file; as `open_exposure`, after scanning."""
    primary = hdus[0].header
    reason = None if settings.any_product else why_refused(primary, path.name)
    if reason is not None:
        raise InputError(f"{path}: {reason}; give calibrated exposures, or use --any-product")
    flags = None
    if settings.final_bits is not None:
        flags = _flags(path, hdus, primary)
    elif any_flags:
        with suppress(InputError):
            flags = _flags(path, hdus, primary)
    problems: list[str] = []
    chips: list[Chip] = []
    try:
        science = _selected(hdus, settings.group)
        skipped = None if settings.include_empty else _no_good_pixels(science)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    for hdu in science:
        try:
            chips.append(_chip(path, hdu, primary, hdus, flags, settings, skipped))
        except ValueError as error:
            problems.append(f"{path}: SCI,{hdu.version}: {error}")
    if problems:
        raise InputError(*problems)
    more = _missing_extensions(hdus, science)
    if settings.final_bits is not None:
        more += _already_flagged(path, hdus)
    return Exposure(chips=tuple(chips), notes=(*notes, *more))


def _already_flagged(path: FilePath, hdus: Sequence[Hdu]) -> tuple[str, ...]:
    """Return a warning if DQ arrays have flags from masks, which masks would feed on."""
    twin = flags_twin(path)
    if twin is not None and exists(twin):
        hdus = (*hdus, *scan(twin)[0])
    if all(hdu.name != FLAG_TABLE for hdu in hdus):
        return ()
    warning = (
        "its DQ flags include pixels of a mask, which final_bits puts into masks again; "
        "use the exposure as it was before 'staticmask apply'"
    )
    return (warning,)


def _missing_extensions(hdus: Sequence[Hdu], science: Sequence[Hdu]) -> tuple[str, ...]:
    """Return a warning if extensions seem to be missing.

    NEXTEND can be stale, but only NEXTEND reveals that a file was truncated
    between two extensions. Without it, a missing DQ array does after most
    truncations: it is the last extension that Hubble's pipelines write for a chip.
    """
    primary = hdus[0].header
    present = len(hdus) - 1
    warning = None
    if "NEXTEND" in primary:
        with suppress(HeaderError):
            if (promised := as_integer(primary, "NEXTEND")) > present:
                warning = f"NEXTEND is {promised}, but found {present} extensions; may be truncated"
    elif instrument_of(as_word(primary, "INSTRUME").upper()).has_dq:
        flagged = {hdu.version for hdu in hdus if hdu.name == "DQ"}
        lacking = [f"SCI,{hdu.version}" for hdu in science if hdu.version not in flagged]
        if lacking:
            warning = f"{', '.join(lacking)}: DQ and NEXTEND are missing; may be truncated"
    return () if warning is None else (warning,)


def _selected(hdus: Sequence[Hdu], group: Group | None) -> list[Hdu]:
    """Return the selected SCI extensions."""
    science = [hdu for hdu in hdus[1:] if hdu.name == "SCI"]
    if not science:
        raise ValueError("has no SCI extension; not a calibrated exposure")
    versions = [hdu.version for hdu in science]
    for version in versions:
        if versions.count(version) > 1:
            raise ValueError(f"has {versions.count(version)} extensions named SCI,{version}")
    if group is None:
        return science
    if group.extver is not None:
        chosen = [hdu for hdu in science if hdu.version == group.extver]
        if not chosen:
            available = ", ".join(f"'sci,{version}'" for version in versions)
            raise ValueError(f"has no group '{group}'; available: {available}")
        return chosen
    by_index = {hdu.index: hdu for hdu in science}
    for index in group.hdus:
        if index not in by_index:
            what = "is not a SCI extension" if index < len(hdus) else "does not exist"
            available = ", ".join(map(str, by_index))
            raise ValueError(f"group {group}: HDU {index} {what}; SCI extensions: {available}")
    return [by_index[index] for index in group.hdus]


def _chip(
    path: FilePath,
    hdu: Hdu,
    primary: Mapping[str, Any],
    hdus: Sequence[Hdu],
    flags: Mapping[int, ImageArray] | None,
    settings: Settings,
    skipped: str | None,
) -> Chip:
    science = hdu.array
    if science is None:
        raise ValueError("is a table, not an image")
    if science.constant is not None and not science.shape:
        science = _with_sibling_shape(science, hdu, hdus)
    if not science.shape or 0 in science.shape:
        raise ValueError("is empty")
    if len(science.shape) != _DIMENSIONS:
        raise ValueError(f"has {len(science.shape)} dimensions, not 2")
    rows, columns = science.shape
    identity = identify(primary, hdu.header, hdu.version, (rows, columns))
    chip_flags = None
    bits = None
    if flags is not None and settings.final_bits is None:
        with suppress(ValueError):
            chip_flags = _matching_flags(flags, hdu.version, science)
    elif flags is not None and settings.final_bits is not None:
        chip_flags = _matching_flags(flags, hdu.version, science)
        try:
            bits = good_bits(settings.final_bits, DQ_BITS.get(identity.instrument, {}))
        except ValueError as error:
            raise ValueError(f"final_bits for {identity.instrument}: {error}") from None
    if skipped is None and not settings.include_empty:
        skipped = _no_exposure_time(hdu.header, primary)
    return Chip(
        file=path.name,
        extver=hdu.version,
        identity=identity,
        science=science,
        flags=chip_flags,
        good_bits=bits,
        calibration=calibration(primary, path.name),
        observation=observe(identity.instrument, primary, hdu.header),
        skipped=skipped,
    )


def _with_sibling_shape(science: ImageArray, hdu: Hdu, hdus: Sequence[Hdu]) -> ImageArray:
    """Give a constant array without NPIX1 and NPIX2 the shape of its ERR or DQ array."""
    for other in hdus:
        is_sibling = other.version == hdu.version and other.name in ("ERR", "DQ")
        if is_sibling and other.array and len(other.array.shape) == _DIMENSIONS:
            return replace(science, shape=other.array.shape)
    raise ValueError("is constant (PIXVALUE), but NPIX1 and NPIX2 are missing")


def _flags(
    path: FilePath, hdus: Sequence[Hdu], primary: Mapping[str, Any]
) -> dict[int, ImageArray] | None:
    """Return the DQ arrays by EXTVER, from the file itself or, for WFPC2, its DQ file."""
    own = _by_version(path, [hdu for hdu in hdus if hdu.name == "DQ"])
    twin = flags_twin(path)
    if own or as_word(primary, "INSTRUME").upper() != "WFPC2" or twin is None:
        return own
    if not exists(twin):
        raise InputError(
            f"{path}: DQ file {twin.name} not found; "
            "put it into the same folder, or do not set final_bits"
        )
    # The extensions of the DQ file are often named SCI, too.
    return _by_version(twin, scan(twin)[0][1:])


def _by_version(path: FilePath, hdus: Sequence[Hdu]) -> dict[int, ImageArray]:
    arrays: dict[int, ImageArray] = {}
    for hdu in hdus:
        if hdu.array is not None:
            if hdu.version in arrays:
                raise InputError(f"{path}: has two DQ arrays with EXTVER {hdu.version}")
            arrays[hdu.version] = flags_of(hdu.array)
    return arrays


def flags_of(array: ImageArray) -> ImageArray:
    """Return an array as DQ flags."""
    return replace(array, is_flags=True)


def _matching_flags(
    flags: Mapping[int, ImageArray], extver: int, science: ImageArray
) -> ImageArray:
    array = flags.get(extver)
    if array is None:
        raise ValueError("has no DQ extension; do not set final_bits, to ignore flags")
    if array.constant is not None and not array.shape:
        array = replace(array, shape=science.shape)
    if array.shape != science.shape:
        shapes = " and ".join("x".join(map(str, a.shape)) or "empty" for a in (science, array))
        raise ValueError(f"the shapes of SCI and DQ differ: {shapes}")
    if array.dtype[1] == "f" and array.constant is None:
        raise ValueError("the DQ array does not contain integers")
    return array


def _no_good_pixels(science: Sequence[Hdu]) -> str | None:
    """Return a reason if NGOODPIX says that the exposure has no good pixel."""
    counts = [as_float(hdu.header, "NGOODPIX") for hdu in science if "NGOODPIX" in hdu.header]
    if len(counts) == len(science) and sum(counts) == 0:
        return "NGOODPIX is 0: it has no good pixel"
    return None


def _no_exposure_time(header: Mapping[str, Any], primary: Mapping[str, Any]) -> str | None:
    """Return a reason if the exposure time is not positive.

    STIS and NICMOS keep it in the SCI headers, the others in the primary.
    """
    source = header if "EXPTIME" in header else primary
    if "EXPTIME" not in source:
        return None
    time = as_float(source, "EXPTIME")
    return f"EXPTIME is {time:g}" if time <= 0 else None
