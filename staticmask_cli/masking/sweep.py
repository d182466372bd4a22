"""Masks at several sigmas from one reading: how many pixels each would hold. Nothing is written."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from typing import Any

from staticmask_cli.exposures.chips import Chip
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masking.gathering import Progress
from staticmask_cli.masking.make import jobs_of
from staticmask_cli.masking.measure import Measured, measure_at
from staticmask_cli.masking.survey import survey
from staticmask_cli.masks.builder import MaskAccumulator
from staticmask_cli.masks.naming import mask_names
from staticmask_cli.masks.records import ChipRecord
from staticmask_cli.reports.report import RunRecord
from staticmask_cli.settings import Settings
from staticmask_cli.statistics.chance import bad_by_chance


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One mask at one sigma.

    Attributes
    ----------
    mask : str
        Its file name.
    identity : ChipIdentity
        The silicon it belongs to.
    static_sig : float
        How many rms below the mode a pixel is low.
    bad, total : int
        Bad pixels, and all.
    expected : float
        Bad pixels that noise alone gives, see `noise.bad_by_chance`.
    """

    mask: str
    identity: ChipIdentity
    static_sig: float
    bad: int
    total: int
    expected: float

    def document(self) -> dict[str, Any]:
        """Return it in types that JSON has."""
        return asdict(self)

    def cells(self) -> tuple[str, ...]:
        """Return mask, sigma, bad/total, percent, expected and its percent for a table."""
        return (
            *(self.mask, f"{self.static_sig:.12g}", f"{self.bad}/{self.total}"),
            *(f"{100 * self.bad / self.total:.4f}", f"{self.expected:.1f}"),
            f"{100 * self.expected / self.total:.4f}",
        )


#: The heading of the columns of `SweepRow.cells`.
HEADING = ("# mask", "static_sig", "bad/total", "percent", "noise alone", "percent")


@dataclass(frozen=True, slots=True)
class _Swept:
    """One chip at all sigmas."""

    at_each: list[Measured]

    @property
    def record(self) -> ChipRecord:
        """What holds at any of them."""
        return self.at_each[0].record


def _swept(sigmas: tuple[float, ...], chip: Chip) -> _Swept:
    return _Swept(measure_at(chip, sigmas))


def sweep(
    settings: Settings,
    sigmas: Sequence[float],
    *,
    run_record: RunRecord | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> tuple[SweepRow, ...]:
    """Count the bad pixels of all masks at several sigmas, reading each exposure once.

    Parameters
    ----------
    settings : Settings
        As for a run; its ``static_sig`` does not count.
    sigmas : sequence of float
        Values of ``static_sig``.
    run_record : RunRecord, optional
        Learns what became of every exposure.
    executor : Executor, optional
        Reads the chips in place of threads.
    progress : callable, optional
        Told after each exposure how many are done.

    Returns
    -------
    tuple of SweepRow
        By mask, then in the order of `sigmas`.

    Raises
    ------
    InputError
        All that is wrong with the exposures.
    """
    masks: dict[ChipIdentity, list[MaskAccumulator]] = {}

    run_record = RunRecord() if run_record is None else run_record

    question = functools.partial(_swept, tuple(sigmas))
    for exposure in survey(
        settings,
        question,
        jobs_of(settings),
        run_record=run_record,
        executor=executor,
        progress=progress,
    ):
        for chip, swept in exposure.answers:
            if chip.identity not in masks:
                masks[chip.identity] = [
                    # What was seen is the same at all sigmas.
                    MaskAccumulator(chip.identity.shape, settings.min_exposures, counts=number == 0)
                    for number, _ in enumerate(sigmas)
                ]
            if swept.record.reason:
                reason = swept.record.reason
                run_record.warn(f"{chip.file}: SCI,{chip.extver}: {reason}", kind=reason)
            if swept.record.used and chip.extver not in exposure.duplicates:
                for mask, measured in zip(masks[chip.identity], swept.at_each, strict=True):
                    mask.add(measured.bad, measured.unseen)
    names = mask_names(dict.fromkeys(masks), settings.prefix)
    rows = [
        SweepRow(
            mask=names[identity],
            identity=identity,
            static_sig=sigma,
            bad=mask.bad,
            total=identity.rows * identity.columns,
            expected=bad_by_chance(of_one[0].seen_how_often(), sigma, settings.min_exposures),
        )
        for identity, of_one in masks.items()
        for sigma, mask in zip(sigmas, of_one, strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: row.mask))
