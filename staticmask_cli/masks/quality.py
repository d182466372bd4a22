"""Whether to trust a mask: numbers held against limits, each with a sentence for people.

Nothing here reads files or pixels: all of it follows from what a mask file
holds, so that a mask that was added to, or recounted, is judged like a new one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from staticmask_cli.errors import printable
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masks.builder import MaskAccumulator
from staticmask_cli.masks.records import ChipRecord, count_chips
from staticmask_cli.settings import Recipe, Settings
from staticmask_cli.statistics.chance import low_probability
from staticmask_cli.statistics.clusters import clumped
from staticmask_cli.statistics.votes import needed, positions

# A share of bad pixels is taken of so many where fewer are bad: what becomes of a
# handful of pixels is no reason to distrust a mask.
_HANDFUL = 100
# So few pixels of a chip leave its mode to chance, and a mask of few good ones:
# they are not judged.
_FEWEST = 30_000
# Of a mask of fewer pixels a few percent are a handful.
_FEWEST_FOR_SHARE = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One number held against its limit.

    Attributes
    ----------
    name : str
        ``low``, ``mode``, ``rms``, ``groups``, ``alone``, ``votes``, ``bad`` or
        ``depth``.
    subject : str
        Exposure and extension, or the mask's file name.
    value, limit : float
        The number, and beyond what it speaks against the subject.
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
    def is_against(self) -> bool:
        """Whether it is a reason not to trust the subject."""
        return self.value > self.limit

    def __str__(self) -> str:
        return f"{self.subject}: {self.text} ({self.setting})"

    def short(self) -> str:
        """Return name, number and limit."""
        return f"{self.name} {self.value:.3g} > {self.limit:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """All that is to be said of one mask.

    Attributes
    ----------
    mask : tuple of Verdict
        Of the mask itself.
    chips : tuple of tuple of Verdict
        Of each of its records.
    """

    mask: tuple[Verdict, ...] = ()
    chips: tuple[tuple[Verdict, ...], ...] = ()

    @property
    def against(self) -> tuple[Verdict, ...]:
        """The reasons not to trust it."""
        return against([*self.mask, *(verdict for chip in self.chips for verdict in chip)])


def against(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Return those that speak against their subject."""
    return tuple(verdict for verdict in verdicts if verdict.is_against)


def judge(
    name: str,
    identity: ChipIdentity,
    mask: MaskAccumulator,
    records: Sequence[ChipRecord],
    recipe: Recipe,
    settings: Settings,
) -> Judgement:
    """Judge a mask of an identity and its chips; other parameters as for `mask_verdicts`."""
    return Judgement(
        mask=(
            *mask_verdicts(name, mask, records, recipe, settings),
            *use_verdicts(name, identity, mask, records, recipe, settings),
        ),
        chips=tuple(
            chip_verdicts(identity, record, recipe.static_sig, settings) for record in records
        ),
    )


def chip_verdicts(
    identity: ChipIdentity, record: ChipRecord, static_sig: float, settings: Settings
) -> tuple[Verdict, ...]:
    """Judge one chip of one exposure.

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
    tuple of Verdict
        Those that can be given: none of a chip that has no sky, or next to no
        pixels.
    """
    if not record.used or record.nbins < 2 or record.seen < _FEWEST:  # noqa: PLR2004 - no sky
        return ()
    subject = f"{printable(record.file)} SCI,{record.extver}"
    chance = record.seen * low_probability(static_sig)
    excess = 100 * (record.low - chance) / record.seen
    share = _percent(record.clumped, record.low)
    found = [
        _verdict(
            "low",
            subject,
            excess,
            settings,
            f"{record.low} pixels are low where noise alone gives {chance:.0f}, {excess:.3g} % of "
            "the chip more; shadows, nebulosity or a wrong sky may be masked",
        ),
        _verdict(
            "groups",
            subject,
            share,
            settings,
            f"{record.clumped} of its {record.low} low pixels lie in solid groups, as "
            "defects seldom do; holes of stars or nebulosity may be masked",
        ),
    ]
    if record.noise > 0 and not _counts_few_photons(identity, record):
        offset = abs(record.mode - record.median) / record.noise
        ratio = record.rms / record.noise
        found += [
            _verdict(
                "mode",
                subject,
                offset,
                settings,
                f"its mode {record.mode:.6g} lies {offset:.3g} times the noise from its median "
                f"{record.median:.6g}; in a crowded or nebulous field that is not the sky",
            ),
            _verdict(
                "rms",
                subject,
                ratio,
                settings,
                f"its rms {record.rms:.6g} is {ratio:.3g} times the noise {record.noise:.6g}; "
                "stars or nebulosity widen it, and bad pixels escape",
            ),
        ]
    return tuple(found)


def _counts_few_photons(identity: ChipIdentity, record: ChipRecord) -> bool:
    """Whether no pixel can be low, and the noise is that of a few counts, not Gaussian."""
    return identity.counts_photons and record.threshold <= 0


def mask_verdicts(
    name: str,
    mask: MaskAccumulator,
    records: Sequence[ChipRecord],
    recipe: Recipe,
    settings: Settings,
) -> tuple[Verdict, ...]:
    """Judge a mask.

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
    tuple of Verdict
        Those that can be given: none of a mask that has next to no pixels.
    """
    if mask.shape[0] * mask.shape[1] < _FEWEST:
        return ()
    bad = mask.bad
    groups = clumped(positions(mask.bits), mask.shape[1])
    found = [
        _verdict(
            "groups",
            name,
            _percent(groups, bad),
            settings,
            f"{groups} of its {bad} bad pixels lie in solid groups, as defects seldom do; "
            "sources, nebulosity or flagged cosmic rays may be masked",
        )
    ]
    # If more votes than one are needed, none of an exposure's pixels hangs on it alone.
    if count_chips(records) > 1 and recipe.min_exposures == 1:
        parts = [int(mask.contains(record.alone).sum()) for record in records]
        worst = records[parts.index(max(parts))]
        alone, *others = sorted(parts, reverse=True)[: count_chips(records)]
        # What every exposure has alone, by chance or because its flags have
        # cosmic rays, speaks against none.
        usual = max(float(np.median(others)), worst.seen * low_probability(recipe.static_sig))
        excess = max(0.0, alone - usual)
        found.append(
            _verdict(
                "alone",
                name,
                _percent(excess, bad),
                settings,
                f"{alone} of its {bad} bad pixels are bad in {printable(worst.name)} alone; "
                f"without it the mask would have {bad - alone}",
            )
        )
    return tuple(found)


def use_verdicts(
    name: str,
    identity: ChipIdentity,
    mask: MaskAccumulator,
    records: Sequence[ChipRecord],
    recipe: Recipe,
    settings: Settings,
) -> tuple[Verdict, ...]:
    """Check whether a mask is of any use, also a small one; parameters as for `judge`."""
    chips = count_chips(records)
    votes = needed(recipe.min_exposures, chips)
    found = [
        Verdict(
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
            f"{bad} of its {total} pixels are bad, {percent:.3g} %, more than a detector has "
            "defects; check static_sig and final_bits"
        )
        found.append(_verdict("bad", name, percent, settings, text))
    # How far each threshold lies below all pixels.
    depths = [
        0.0 if record.low else max(0.0, (record.lowest - record.threshold) / record.noise)
        for record in records
        if record.used and record.nbins > 1 and record.noise > 0
        if not _counts_few_photons(identity, record)
    ]
    if depths:
        depth = min(*depths, sys.float_info.max)  # JSON has no infinity
        text = (
            f"no exposure has a low pixel, each threshold lies {depth:.3g} times the noise or more "
            f"below the lowest pixel; static_sig {recipe.static_sig:g} is too large, or stars or "
            "nebulosity widen the rms"
        )
        found.append(_verdict("depth", name, depth, settings, text))
    return tuple(found)


def _percent(part: float, bad: int) -> float:
    return 100 * part / max(bad, _HANDFUL)


def _verdict(name: str, subject: str, value: float, settings: Settings, text: str) -> Verdict:
    limit = getattr(settings, f"limit_{name}")
    setting = f"limit_{name} {limit:g}"
    return Verdict(name=name, subject=subject, value=value, limit=limit, text=text, setting=setting)
