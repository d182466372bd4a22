"""Quality checks, which show whether to trust a mask: each has a value, a limit and a text.

They use only what a mask file contains, so that an updated or recounted mask is
checked like a new one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masks.records import ChipRecord, Records
from staticmask_cli.masks.static_mask import StaticMask
from staticmask_cli.settings import ONCE, Background, Recipe, Settings
from staticmask_cli.statistics.chance import low_probability
from staticmask_cli.statistics.clusters import n_clustered
from staticmask_cli.statistics.votes import is_set, positions

# Shares of bad pixels are relative to at least this many, so that a handful of pixels
# does not fail a check.
_HANDFUL = 100
# With fewer pixels, the mode of a chip is too uncertain to be checked.
_FEWEST = 30_000
# Advice if a check failed that crowding and nebulosity fail.
_ADVICE = {
    Background.CHIP: "; --background local compares pixels with their surroundings",
    Background.LOCAL: "",
}
# In a smaller mask, a few percent are only a handful of pixels.
_FEWEST_FOR_SHARE = 2_000


class QualityCheck(NamedTuple):
    """One quality check of a mask, or of one chip in it.

    Attributes
    ----------
    name : str
        ``low_excess``, ``mode_offset``, ``rms_ratio``, ``clustered``,
        ``single_exposure``, ``unrepeated``, ``votes``, ``bad`` or ``threshold_depth``.
    subject : str
        Exposure and extension, or the mask's file name.
    value, limit : float
        The value, and the largest one that passes.
    text : str
        Explanation of a failure.
    setting : str
        The setting that defines the limit.
    advice : str
        What to do about a failure; the end of `text`.
    """

    name: str
    subject: str
    value: float
    limit: float
    text: str
    setting: str
    advice: str = ""

    @property
    def failed(self) -> bool:
        """Whether the value exceeds the limit."""
        return self.value > self.limit

    def __str__(self) -> str:
        return f"{self.subject}: {self.text} ({self.setting})"

    @property
    def kind(self) -> str:
        """The message that is common to all failures of this check."""
        if self.name == "votes":
            return "min_exposures exceeds the exposures available"
        return f"{self.name} is above {self.setting}{self.advice}"

    def short(self) -> str:
        """Return name, value and limit."""
        return f"{self.name} {self.value:.3g} > {self.limit:g}"


class Quality(NamedTuple):
    """The quality checks of one mask.

    Attributes
    ----------
    mask : tuple of QualityCheck
        Checks of the mask itself.
    chips : tuple of tuple of QualityCheck
        Checks of each of its records.
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


def check_quality(name: str, mask: StaticMask, settings: Settings) -> Quality:
    """Check a mask and its chips.

    Parameters
    ----------
    name : str
        File name of the mask.
    mask : StaticMask
        The mask; without identity and recipe, nothing is checked. Of an edited mask only
        the chips are checked: its pixels are no longer those of its exposures.
    settings : Settings
        The limits. Of a part of the exposures, only the chips are checked.
    """
    identity, recipe = mask.identity, mask.recipe
    if identity is None or recipe is None:
        return Quality()
    return Quality(
        mask=()
        if mask.edits or settings.shard is not None
        else (
            *mask_checks(name, mask, recipe, settings),
            *use_checks(name, mask, identity, recipe, settings),
        ),
        chips=_all_chip_checks(identity, mask.records, recipe, settings),
    )


def _all_chip_checks(
    identity: ChipIdentity, records: Records, recipe: Recipe, settings: Settings
) -> tuple[tuple[QualityCheck, ...], ...]:
    found: list[tuple[QualityCheck, ...]] = [()] * len(records)
    rows = records.rows
    is_checked = rows["used"] & records.has_sky & (rows["n_finite"] >= _FEWEST)
    for row in np.flatnonzero(is_checked).tolist():
        found[row] = chip_checks(identity, records[row], recipe, settings)
    return tuple(found)


def chip_checks(
    identity: ChipIdentity, record: ChipRecord, recipe: Recipe, settings: Settings
) -> tuple[QualityCheck, ...]:
    """Check one chip of one exposure, whose sky was measured from enough pixels.

    Parameters
    ----------
    identity : ChipIdentity
        Identity of the chip.
    record : ChipRecord
        Its statistics.
    recipe : Recipe
        The settings by which the mask was made.
    settings : Settings
        The limits.

    Returns
    -------
    tuple of QualityCheck
        The checks that apply.
    """
    subject = record.name
    chance = record.n_finite * low_probability(recipe.static_sig, recipe.background)
    advice = _ADVICE[recipe.background]
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
            advice,
        ),
        _check(
            "clustered",
            subject,
            share,
            settings,
            f"{record.n_clustered} of {record.n_low} low pixels are clustered, which is rare for "
            "defects; holes of stars or nebulosity may be masked",
            advice,
        ),
    ]
    is_chips = recipe.background is Background.CHIP
    if is_chips and record.noise > 0 and not _counts_few_photons(identity, record.threshold):
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
                advice,
            ),
            _check(
                "rms_ratio",
                subject,
                ratio,
                settings,
                f"the rms {record.rms:.6g} is {ratio:.3g} times the noise {record.noise:.6g}; "
                "stars or nebulosity widen it, and bad pixels are missed",
                advice,
            ),
        ]
    return tuple(found)


def _counts_few_photons(identity: ChipIdentity, threshold: Any) -> Any:
    """Return whether no pixel can be low because the noise is that of a few counts."""
    return identity.counts_photons & (threshold <= 0)


def mask_checks(
    name: str, mask: StaticMask, recipe: Recipe, settings: Settings
) -> tuple[QualityCheck, ...]:
    """Check the bad pixels of a mask; none if it has very few pixels."""
    if mask.total < _FEWEST:
        return ()
    records, bad = mask.records, mask.n_bad
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
    # If more than one vote is required, no pixel depends on a single exposure.
    if records.n_chips > 1 and recipe.min_exposures == ONCE:
        owner = np.repeat(np.arange(len(records)), records.sizes)
        parts = np.bincount(owner[is_set(mask.bits, records.unique)], minlength=len(records))
        by_chance = low_probability(recipe.static_sig, recipe.background)
        expected = records.rows["n_finite"] * by_chance
        most = int(parts.argmax())
        worst = records[most]
        alone, *others = np.sort(parts)[::-1][: records.n_chips].tolist()
        # Every exposure has some unique pixels, by chance or from flagged cosmic rays;
        # only an excess over the others counts.
        usual = max(float(np.median(others)), float(expected[most]))
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
        # Flagged pixels, such as cosmic rays, seldom repeat.
        if recipe.background is Background.LOCAL and recipe.final_bits is None:
            once, noise = int(parts.sum()), float(expected.sum())
            found.append(
                _check(
                    "unrepeated",
                    name,
                    _percent(max(0.0, once - noise), bad),
                    settings,
                    f"{once} of {bad} bad pixels are low in a single exposure only, {noise:.0f} "
                    "expected from noise; small structures of the sky may be masked",
                    "; use --min-exposures 2",
                )
            )
    return tuple(found)


def use_checks(
    name: str, mask: StaticMask, identity: ChipIdentity, recipe: Recipe, settings: Settings
) -> tuple[QualityCheck, ...]:
    """Check whether a mask, even a small one, is usable at all."""
    chips = mask.records.n_chips
    votes = recipe.min_exposures.needed(chips)
    found = [
        QualityCheck(
            name="votes",
            subject=name,
            value=votes,
            limit=chips,
            text=f"min_exposures {votes} exceeds the {chips} available"
            if chips
            else "no exposure has a measurable sky or flagged pixels",
            setting="min_exposures",
        )
    ]
    bad, total = mask.n_bad, mask.total
    if total >= _FEWEST_FOR_SHARE:
        percent = 100 * bad / total
        text = (
            f"{bad} of {total} pixels are bad, {percent:.3g} %, more than a detector has "
            "defects; check static_sig and final_bits"
        )
        found.append(_check("bad", name, percent, settings, text))
    depths = _depths(identity, mask.records)
    if depths.size:
        depth = min(float(depths.min()), sys.float_info.max)  # JSON has no infinity
        text = (
            f"no exposure has a low pixel: every threshold is at least {depth:.3g} times the noise "
            f"below the lowest pixel; static_sig {recipe.static_sig:g} is too large, or stars or "
            "nebulosity widen the rms"
        )
        advice = _ADVICE[recipe.background]
        found.append(_check("threshold_depth", name, depth, settings, text, advice))
    return tuple(found)


def _depths(identity: ChipIdentity, records: Records) -> NDArray[np.float64]:
    """Return the distance of each threshold below the lowest pixel, in units of the noise."""
    rows = records.rows
    threshold, noise = rows["threshold"], rows["noise"]
    is_measured = rows["used"] & ~np.isnan(threshold) & (noise > 0)
    rows = rows[is_measured & ~_counts_few_photons(identity, threshold)]
    with np.errstate(all="ignore"):
        depths = np.maximum(0.0, (rows["lowest"] - rows["threshold"]) / rows["noise"])
    return np.where(rows["n_low"] > 0, 0.0, depths)


def _percent(part: float, bad: int) -> float:
    return 100 * part / max(bad, _HANDFUL)


def _check(
    name: str, subject: str, value: float, settings: Settings, text: str, advice: str = ""
) -> QualityCheck:
    limit = getattr(settings, f"max_{name}")
    return QualityCheck(
        name=name,
        subject=subject,
        value=value,
        limit=limit,
        text=text + advice,
        setting=f"max_{name} {limit:g}",
        advice=advice,
    )
