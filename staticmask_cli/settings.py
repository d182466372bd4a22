"""The settings of a run, checked and frozen: the only form in which options are passed on."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

#: Environment variable that switches the C kernel off; it is not an option, because
#: results do not depend on it.
KERNEL_VARIABLE = "STATICMASK_KERNEL"
#: Its values, for switching the kernel off and on, in any case.
KERNEL_OFF, KERNEL_ON = ("off", "no", "false", "0"), ("on", "yes", "true", "1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The extensions to use: one SCI version, or HDU numbers.

    Attributes
    ----------
    extver : int or None
        EXTVER of the one SCI extension to use.
    hdus : tuple of int
        Numbers of the HDUs to use, 0 being the primary; empty if `extver` is given.
    """

    extver: int | None = None
    hdus: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.extver is not None:
            return f"sci,{self.extver}"
        return ",".join(map(str, self.hdus))


class Shard(NamedTuple):
    """One of several parts of the exposures.

    Attributes
    ----------
    number : int
        Which part, from 0 or from 1: part 0 is the last one.
    of : int
        Number of parts.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


_NUMBER = re.compile(r"(\d{1,9}(\.\d{0,30})?|\.\d{1,30})(e-\d{1,2})?", re.ASCII)
_LARGEST_NUMBER = 32767  # exposures: the largest int16


@dataclass(frozen=True, slots=True)
class MinExposures:
    """The number of exposures in which a pixel must be bad: a number, or a share of them.

    Attributes
    ----------
    number : int
        Number of exposures; ignored if there is a share.
    share : Fraction or None
        Share of the exposures that cover the pixel, up to 1 for all of them.
    """

    number: int = 1
    share: Fraction | None = None

    @classmethod
    def of(cls, value: object) -> MinExposures:
        """Read a number or text: ``3``, ``0.5``, ``50%`` or ``all``.

        Raises
        ------
        AmbiguousError
            If the value is ``1.0``, which may mean one exposure or all of them.
        ValueError
            If it is neither a number of exposures nor a share.
        """
        text = str(value).strip().lower()
        if text == "all":
            return cls(share=Fraction(1))
        bare = text.removesuffix("%").rstrip()
        if not _NUMBER.fullmatch(bare):
            raise ValueError(value)
        is_percent = bare != text
        # Rounded to the digits that a FITS header keeps.
        number = Fraction(f"{float(bare) / (100 if is_percent else 1):.12g}")
        if number == 1 and not is_percent and not text.isdigit():
            raise AmbiguousError("is ambiguous: use 1 for one exposure, or 100% for all of them")
        if 0 < number < 1 or (number == 1 and is_percent):
            return cls(share=number)
        if is_percent or number.denominator != 1 or not 0 < number <= _LARGEST_NUMBER:
            raise ValueError(value)
        return cls(number=number.numerator)

    @property
    def plain(self) -> int | float | str:
        """The value in a type for FITS headers and JSON, as read by `of`."""
        if self.share is None:
            return self.number
        return "all" if self.share == 1 else float(self.share)

    def __str__(self) -> str:
        return str(self.plain) if isinstance(self.plain, str) else f"{self.plain:.12g}"

    def needed(self, coverage: int) -> int:
        """Return the number of exposures, of those that cover a pixel, in which it must be bad."""
        return self.number if self.share is None else max(1, math.ceil(self.share * coverage))


#: A pixel that is bad in any exposure is bad in the mask: the default.
ONCE = MinExposures()


class AmbiguousError(ValueError):
    """A value that has two meanings."""


class Background(StrEnum):
    """The background and noise with which pixels are compared."""

    CHIP = "chip"
    LOCAL = "local"


class ExportFormat(StrEnum):
    """The form of an exported mask."""

    #: An image, 1 for bad pixels.
    BAD = "bad"
    #: A table in text, with a line for each bad pixel.
    CSV = "csv"
    #: Regions for DS9.
    REG = "reg"
    #: A bad-pixel table for calacs, calwf3 or calstis.
    BPIXTAB = "bpixtab"


class Recipe(NamedTuple):
    """The settings that determine the pixels of a mask, as recorded in its header.

    Attributes
    ----------
    static_sig : float
    background : Background
    final_bits : str or None
        None if no flags were read.
    group : str or None
    include_empty : bool
    min_exposures : MinExposures
    allow_duplicates : bool
        As in `Settings`.
    """

    static_sig: float
    background: Background
    final_bits: str | None
    group: str | None
    include_empty: bool
    min_exposures: MinExposures
    allow_duplicates: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The merged and validated configuration of one run.

    The attributes are the configuration's keys; their defaults and ranges are
    defined in ``config/staticmask.cfgspc``.

    Attributes
    ----------
    input : tuple of str
        Names, patterns, @lists and association tables.
    group : Group or None
        Extensions to use; None for every SCI extension.
    static : bool
        Whether to make masks.
    static_sig : float
        A pixel is low if it is more than this many times the noise below the background.
    background : Background
        Whether background and noise are the mode and the rms of the chip, or local.
    final_bits : str or None
        DQ bits that count as good; None if the DQ arrays are not read.
    output_dir : str
        Folder for the masks.
    prefix : str or None
        Prefix of the masks' file names that replaces instrument and detector.
    jobs : int
        Number of chips to measure at the same time; 0 for the number of cores.
    scheduler : str or None
        Address or file of a dask scheduler that runs the tasks, or ``"local"``; None for
        threads.
    shard : Shard or None
        The part of the exposures to use; None for all.
    include_empty : bool
        Whether to use exposures without exposure time or good pixels.
    allow_duplicates : bool
        Whether to use all of several chips with the same pixels.
    keep_going : bool
        Whether to skip exposures that cannot be used, rather than fail.
    any_product : bool
        Whether to accept files that are not calibrated Hubble exposures.
    update : bool
        Whether to add the exposures to existing masks.
    overwrite : bool
        Whether to replace edited masks, and files with a mask's name that are not static
        masks; for export, import and edit, all files with the name of an output.
    verify : bool
        Whether to compare the pixels of exposures that are already in a mask.
    lock_timeout : float
        Seconds to wait for another run that writes to the same folder.
    min_exposures : MinExposures
        Number or share of the exposures in which a pixel must be bad.
    counts : bool
        Whether to store how often each pixel was bad and was covered.
    report, preview : str or None
        File of the report page, and folder for its pictures.
    strict : bool
        Whether a failed quality check sets the exit status.
    max_low_excess, max_mode_offset, max_rms_ratio : float
    max_clustered, max_single_exposure, max_unrepeated, max_threshold_depth, max_bad : float
        The limits of the quality checks.
    changed : frozenset of str
        The keys whose values differ from their defaults.
    """

    input: tuple[str, ...]
    group: Group | None
    static: bool
    static_sig: float
    background: Background
    final_bits: str | None
    output_dir: str
    prefix: str | None
    jobs: int
    scheduler: str | None
    shard: Shard | None
    include_empty: bool
    allow_duplicates: bool
    keep_going: bool
    any_product: bool
    update: bool
    overwrite: bool
    verify: bool
    lock_timeout: float
    min_exposures: MinExposures
    counts: bool
    report: str | None
    preview: str | None
    strict: bool
    max_low_excess: float
    max_mode_offset: float
    max_rms_ratio: float
    max_clustered: float
    max_single_exposure: float
    max_unrepeated: float
    max_threshold_depth: float
    max_bad: float
    changed: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    @property
    def recipe(self) -> Recipe:
        """The settings that determine the pixels of a mask."""
        return Recipe(
            static_sig=self.static_sig,
            background=self.background,
            final_bits=self.final_bits,
            group=None if self.group is None else str(self.group),
            include_empty=self.include_empty,
            min_exposures=self.min_exposures,
            allow_duplicates=self.allow_duplicates,
        )

    @property
    def keeps_counts(self) -> bool:
        """Whether masks store counts: on request, or because it takes them to add others."""
        is_added_to = self.update or self.shard is not None
        return self.counts or (is_added_to and self.min_exposures != ONCE)

    def without_masks(self) -> Settings:
        """Return these settings for commands that write no masks, without the options for that."""
        return replace(
            self, shard=None, static=True, update=False, verify=False, report=None, preview=None
        )
