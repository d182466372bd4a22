"""Quality checks: whether to trust a mask, each with its number, its limit and a sentence.

Nothing here reads files or pixels: all of it follows from what a mask file
holds, so that a mask that was updated or recounted is checked like a new one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masks.builder import MaskAccumulator
from staticmask_cli.masks.records import ChipRecord, count_chips
from staticmask_cli.settings import ONCE, Recipe, Settings
from staticmask_cli.statistics.chance import low_probability
from staticmask_cli.statistics.clusters import n_clustered
from staticmask_cli.statistics.votes import positions

# Shares of bad pixels are taken of at least this many: a handful of pixels is no
# reason to distrust a mask.
_HANDFUL = 100
# With fewer pixels the mode of a chip is left to chance: it is not checked.
_FEWEST = 30_000
# In a smaller mask a few percent are a handful of pixels.
_FEWEST_FOR_SHARE = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityCheck:
    """One quality check of a mask, or of one chip in it.

    Attributes
    ----------
    name : str
        ``low_excess``, ``mode_offset``, ``rms_ratio``, ``clustered``,
        ``single_exposure``, ``votes``, ``bad`` or ``threshold_depth``.
    subject : str
        Exposure and extension, or the mask's file name.
    value, limit : float
        The number, and the largest value that passes.
    text : str
        What it means.
    setting : str
        The setting that decides.
    """

    name: str
    subject: str
    value: float
    limit: float
    text: str
    setting: str

    @property
    def failed(self) -> bool:
        """Whether the number is beyond its limit."""
        return self.value > self.limit

    def __str__(self) -> str:
        return f"{self.subject}: {self.text} ({self.setting})"

    @property
    def kind(self) -> str:
        """What it has in common with the same check of other chips, if it failed."""
        return f"{self.name} is above {self.setting}"

    def short(self) -> str:
        """Return name, number and limit."""
        return f"{self.name} {self.value:.3g} > {self.limit:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The quality checks of one mask.

    Attributes
    ----------
    mask : tuple of QualityCheck
        Of the mask itself.
    chips : tuple of tuple of QualityCheck
        Of each of its records.
    """

    mask: tuple[QualityCheck, ...] = ()
    chips: tuple[tuple[QualityCheck, ...], ...] = ()

    @property
    def failed(self) -> tuple[QualityCheck, ...]:
        """The checks that failed."""
        return failed([*self.mask, *(check for chip in self.chips for check in chip)])


def failed(checks: Iterable[QualityCheck]) -> tuple[QualityCheck, ...]:
    """Return the checks that failed."""
    return tuple(check for check in checks if check.failed)


def check_quality(
    name: str,
    identity: ChipIdentity,
    mask: MaskAccumulator,
    records: Sequence[ChipRecord],
    recipe: Recipe,
    settings: Settings,
) -> Quality:
    """Check a mask of an identity and its chips; other parameters as for `mask_checks`."""
    return Quality(
        mask=(
            *mask_checks(name, mask, records, recipe, settings),
            *use_checks(name, identity, mask, records, recipe, settings),
        ),
        chips=tuple(
            chip_checks(identity, record, recipe.static_sig, settings) for record in records
        ),
    )


def chip_checks(
    identity: ChipIdentity, record: ChipRecord, static_sig: float, settings: Settings
) -> tuple[QualityCheck, ...]:
    """Check one chip of one exposure.

    Parameters
    ----------
    identity : ChipIdentity
        The silicon.
    record : ChipRecord
        What was measured on it.
    static_sig : float
        How many rms below the mode its low pixels are.
    settings : Settings
        The limits.

    Returns
    -------
    tuple of QualityCheck
        The checks that apply; none if the chip has no sky or very few pixels.
    """
    if not record.used or record.nbins < 2 or record.n_finite < _FEWEST:  # noqa: PLR2004 - no sky
        return ()
    subject = f"{record.file} SCI,{record.extver}"
    chance = record.n_finite * low_probability(static_sig)
    excess = 100 * (record.n_low - chance) / record.n_finite
    share = _percent(record.n_clustered, record.n_low)
    found = [
        _check(
            "low_excess",
            subject,
            excess,
            settings,
            f"{record.n_low} low pixels, {chance:.0f} expected from noise; excess {excess:.3g} % "
            "of the chip; shadows, nebulosity or a wrong sky may be masked",
        ),
        _check(
            "clustered",
            subject,
            share,
            settings,
            f"{record.n_clustered} of {record.n_low} low pixels are clustered, which is rare for "
            "defects; holes of stars or nebulosity may be masked",
        ),
    ]
    if record.noise > 0 and not _counts_few_photons(identity, record):
        offset = abs(record.mode - record.median) / record.noise
        ratio = record.rms / record.noise
        found += [
            _check(
                "mode_offset",
                subject,
                offset,
                settings,
                f"the mode {record.mode:.6g} is {offset:.3g} times the noise from the median "
                f"{record.median:.6g}; in a crowded or nebulous field it is not the sky",
            ),
            _check(
                "rms_ratio",
                subject,
                ratio,
                settings,
                f"the rms {record.rms:.6g} is {ratio:.3g} times the noise {record.noise:.6g}; "
                "stars or nebulosity widen it, and bad pixels are missed",
            ),
        ]
    return tuple(found)


def _counts_few_photons(identity: ChipIdentity, record: ChipRecord) -> bool:
    """Whether no pixel can be low, and the noise is that of a few counts, not Gaussian."""
    return identity.counts_photons and record.threshold <= 0


def mask_checks(
    name: str,
    mask: MaskAccumulator,
    records: Sequence[ChipRecord],
    recipe: Recipe,
    settings: Settings,
) -> tuple[QualityCheck, ...]:
    """Check the bad pixels of a mask.

    Parameters
    ----------
    name : str
        Its file name.
    mask : MaskAccumulator
        Its pixels.
    records : sequence of ChipRecord
        One for each chip that belongs to it.
    recipe : Recipe
        How it was made.
    settings : Settings
        The limits.

    Returns
    -------
    tuple of QualityCheck
        The checks that apply; none if the mask has very few pixels.
    """
    if mask.shape[0] * mask.shape[1] < _FEWEST:
        return ()
    bad = mask.bad
    groups = n_clustered(positions(mask.bits), mask.shape[1])
    found = [
        _check(
            "clustered",
            name,
            _percent(groups, bad),
            settings,
            f"{groups} of {bad} bad pixels are clustered, which is rare for defects; "
            "sources, nebulosity or flagged cosmic rays may be masked",
        )
    ]
    # If more votes than one are needed, none of an exposure's pixels hangs on it alone.
    if count_chips(records) > 1 and recipe.min_exposures == ONCE:
        parts = [int(mask.contains(record.unique).sum()) for record in records]
        worst = records[parts.index(max(parts))]
        alone, *others = sorted(parts, reverse=True)[: count_chips(records)]
        # What every exposure has alone, by chance or because its flags have
        # cosmic rays, speaks against none.
        usual = max(float(np.median(others)), worst.n_finite * low_probability(recipe.static_sig))
        excess = max(0.0, alone - usual)
        found.append(
            _check(
                "single_exposure",
                name,
                _percent(excess, bad),
                settings,
                f"{alone} of {bad} bad pixels are bad only in {worst.name}; "
                f"without it the mask would have {bad - alone}",
            )
        )
    return tuple(found)


def use_checks(
    name: str,
    identity: ChipIdentity,
    mask: MaskAccumulator,
    records: Sequence[ChipRecord],
    recipe: Recipe,
    settings: Settings,
) -> tuple[QualityCheck, ...]:
    """Check whether a mask is of any use, also a small one; parameters as for `check_quality`."""
    chips = count_chips(records)
    votes = recipe.min_exposures.needed(chips)
    found = [
        QualityCheck(
            name="votes",
            subject=name,
            value=votes,
            limit=chips,
            text=f"min_exposures {votes} exceeds the {chips} available",
            setting="min_exposures",
        )
    ]
    bad, total = mask.bad, identity.rows * identity.columns
    if total >= _FEWEST_FOR_SHARE:
        percent = 100 * bad / total
        text = (
            f"{bad} of {total} pixels are bad, {percent:.3g} %, more than a detector has "
            "defects; check static_sig and final_bits"
        )
        found.append(_check("bad", name, percent, settings, text))
    # How far each threshold lies below all pixels.
    depths = [
        0.0 if record.n_low else max(0.0, (record.lowest - record.threshold) / record.noise)
        for record in records
        if record.used and record.nbins > 1 and record.noise > 0
        if not _counts_few_photons(identity, record)
    ]
    if depths:
        depth = min(*depths, sys.float_info.max)  # JSON has no infinity
        text = (
            f"no exposure has a low pixel: every threshold is at least {depth:.3g} times the noise "
            f"below the lowest pixel; static_sig {recipe.static_sig:g} is too large, or stars or "
            "nebulosity widen the rms"
        )
        found.append(_check("threshold_depth", name, depth, settings, text))
    return tuple(found)


def _percent(part: float, bad: int) -> float:
    return 100 * part / max(bad, _HANDFUL)


def _check(name: str, subject: str, value: float, settings: Settings, text: str) -> QualityCheck:
    limit = getattr(settings, f"max_{name}")
    setting = f"max_{name} {limit:g}"
    return QualityCheck(
        name=name, subject=subject, value=value, limit=limit, text=text, setting=setting
    )
