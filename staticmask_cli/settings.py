"""What a run is told to do, checked and frozen: the only form in which options travel."""

from __future__ import annotations

from dataclasses import dataclass


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
    keep_going : bool
        Whether exposures that cannot be used are left out, not fatal.
    update : bool
        Whether exposures are added to the masks on disk.
    verify : bool
        Whether the pixels of exposures that masks hold already are compared.
    lock_timeout : float
        Seconds to wait for another run that writes into the same folder.
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
    keep_going: bool
    update: bool
    verify: bool
    lock_timeout: float
