"""What a run is told to do, checked and frozen: the only form in which options travel."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The extensions that take part: one SCI version, or HDU numbers.

    Attributes
    ----------
    extver : int or None
        EXTVER of the one SCI extension to use.
    hdus : tuple of int
        Numbers of the HDUs to use, the primary being 0; empty if `extver` is given.
    """

    extver: int | None = None
    hdus: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.extver is not None:
            return f"sci,{self.extver}"
        return ",".join(map(str, self.hdus))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The settings that tell which pixels a mask holds, as its header has them.

    Attributes
    ----------
    static_sig : float
    final_bits : str or None
        None if no flags were read.
    group : str or None
    include_empty : bool
    min_exposures : Fraction
    allow_duplicates : bool
        As in `Settings`.
    """

    static_sig: float
    final_bits: str | None
    group: str | None
    include_empty: bool
    min_exposures: Fraction
    allow_duplicates: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The merged and validated configuration of one run.

    The attributes are the configuration's keys; their defaults and ranges
    stand in ``config/staticmask.cfgspc``.

    Attributes
    ----------
    input : tuple of str
        Names, patterns, @lists and association tables.
    group : Group or None
        Extensions to use; None for every SCI extension.
    static : bool
        Whether masks are made at all.
    static_sig : float
        How many rms below the mode a pixel is bad.
    final_bits : str or None
        DQ bits that count as good; None: DQ is not read.
    output_dir : str
        Folder for the masks.
    prefix : str or None
        Begins the masks' names in place of instrument and detector.
    jobs : int
        Chips measured at the same time; 0 for as many as there are cores.
    include_empty : bool
        Whether exposures without exposure time or good pixels are used.
    allow_duplicates : bool
        Whether each of several chips with the same pixels counts.
    keep_going : bool
        Whether exposures that cannot be used are skipped, not fatal.
    any_product : bool
        Whether files are used that are not calibrated Hubble exposures.
    update : bool
        Whether exposures are added to the masks on disk.
    overwrite : bool
        Whether files that are no static masks are replaced under a mask's name.
    verify : bool
        Whether the pixels of exposures that masks hold already are compared.
    lock_timeout : float
        Seconds to wait for another run that writes into the same folder.
    min_exposures : Fraction
        In how many of the exposures that saw it a pixel must be bad; below 1,
        in what share of them.
    counts : bool
        Whether masks keep how often each pixel was bad and was seen.
    report, preview : str or None
        File and folder for pictures of the masks.
    strict : bool
        Whether a failed quality check sets the exit status.
    max_low_excess, max_mode_offset, max_rms_ratio : float
    max_clustered, max_single_exposure, max_threshold_depth, max_bad : float
        The limits of the quality checks.
    changed : frozenset of str
        The keys whose values differ from their defaults.
    """

    input: tuple[str, ...]
    group: Group | None
    static: bool
    static_sig: float
    final_bits: str | None
    output_dir: str
    prefix: str | None
    jobs: int
    include_empty: bool
    allow_duplicates: bool
    keep_going: bool
    any_product: bool
    update: bool
    overwrite: bool
    verify: bool
    lock_timeout: float
    min_exposures: Fraction
    counts: bool
    report: str | None
    preview: str | None
    strict: bool
    max_low_excess: float
    max_mode_offset: float
    max_rms_ratio: float
    max_clustered: float
    max_single_exposure: float
    max_threshold_depth: float
    max_bad: float
    changed: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    @property
    def recipe(self) -> Recipe:
        """What of it tells which pixels a mask holds."""
        return Recipe(
            static_sig=self.static_sig,
            final_bits=self.final_bits,
            group=None if self.group is None else str(self.group),
            include_empty=self.include_empty,
            min_exposures=self.min_exposures,
            allow_duplicates=self.allow_duplicates,
        )

    @property
    def keeps_counts(self) -> bool:
        """Whether masks keep counts: asked for, or needed so that exposures can be added."""
        return self.counts or (self.update and self.min_exposures != 1)


def as_number(votes: Fraction) -> int | float:
    """Return `Settings.min_exposures` as users, headers and JSON have it."""
    return votes.numerator if votes.denominator == 1 else float(votes)
