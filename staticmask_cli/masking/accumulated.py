"""What a run has found so far: the bad pixels and records of each chip's mask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masking.exposure_loop import ChipResult, ExposureResult
from staticmask_cli.masking.measure import Measured
from staticmask_cli.masks.builder import MaskBuilder
from staticmask_cli.masks.existing import ExistingMasks
from staticmask_cli.masks.records import ChipRecord, Records, merged
from staticmask_cli.masks.static_mask import StaticMask
from staticmask_cli.settings import Settings


@dataclass(slots=True)
class Accumulated:
    """The chips of one identity in a run.

    Attributes
    ----------
    builder : MaskBuilder
        Bad pixels of the chips that were read and are used.
    records : list of ChipRecord
        Records that are not in the existing mask.
    known : list of ChipRecord
        Records that are in the existing mask.
    superseded : list of ChipRecord
        Records of the existing mask that records of this run replace.
    parts : list of Records
        Records of masks of parts.
    """

    builder: MaskBuilder
    records: list[ChipRecord] = field(default_factory=list)
    known: list[ChipRecord] = field(default_factory=list)
    superseded: list[ChipRecord] = field(default_factory=list)
    parts: list[Records] = field(default_factory=list)

    def add(self, one: ChipResult[Measured]) -> None:
        """Add a chip."""
        (self.known if one.is_known else self.records).append(one.record)
        if one.superseded is not None:
            self.superseded.append(one.superseded)
        if one.result is not None and one.record.used:
            self.builder.add(one.result.bad, one.result.not_finite, one.record.pixel_hash)

    @property
    def contributes(self) -> bool:
        """Whether any chip contributes to the mask."""
        if self.known or any(r.used or r.pixel_hash for r in self.records):
            return True
        return any(
            (part.rows["used"] | (part.rows["pixel_hash"] != b"")).any() for part in self.parts
        )

    @property
    def has_good(self) -> bool:
        """Whether any chip's exposure can be used, or is skipped only because it is empty."""
        return any(not record.failed for record in self.records)


class Accumulation:
    """The chips of all identities in a run.

    Parameters
    ----------
    settings : Settings
        The settings of the run.
    existing : ExistingMasks, optional
        The existing masks, if exposures are added to them.

    Attributes
    ----------
    found : dict
        The chips of each identity.
    failures : list of ChipRecord
        Records of exposures that could not be opened, which all masks list.
    """

    def __init__(self, settings: Settings, existing: ExistingMasks | None = None) -> None:
        self.found: dict[ChipIdentity, Accumulated] = {}
        self.failures: list[ChipRecord] = []
        self._settings = settings
        self._existing = existing

    def add(self, exposures: Iterable[ExposureResult[Measured]]) -> None:
        """Add exposures as they are read."""
        for exposure in exposures:
            self.failures += [] if exposure.failure is None else [exposure.failure]
            for one in exposure.chips:
                self._of(one.chip.identity).add(one)
                del one  # frees its bits before waiting for the next exposure
            del exposure

    def add_part(self, masks: Iterable[StaticMask], failures: Iterable[ChipRecord]) -> None:
        """Add what another accumulation found in other exposures."""
        self.failures += failures
        for mask in masks:
            if mask.identity is not None:
                of_one = self._of(mask.identity)
                of_one.builder.add_mask(mask)
                of_one.parts.append(Records(mask.records.rows, mask.records.ccdchip))

    def masks(self) -> list[StaticMask]:
        """Return the masks, to add them to others."""
        return [
            of_one.builder.build(
                identity,
                self._settings.recipe,
                merged(
                    [Records.of(of_one.records, identity.ccdchip)],
                    allow_duplicates=self._settings.allow_duplicates,
                ),
            )
            for identity, of_one in self.found.items()
        ]

    def _of(self, identity: ChipIdentity) -> Accumulated:
        if identity not in self.found:
            table = self._existing.table(identity) if self._existing else None
            # A mask that has counts keeps them.
            counts = self._settings.keeps_counts or (table is not None and table.has_counts)
            builder = MaskBuilder(identity.shape, self._settings.min_exposures, counts=counts)
            self.found[identity] = Accumulated(builder)
        return self.found[identity]
