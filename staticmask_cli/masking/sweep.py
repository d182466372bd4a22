"""Number of bad pixels at several sigmas, reading each exposure once. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from staticmask_cli.exposures.chips import Chip
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masking.exposure_loop import Progress, read_exposures
from staticmask_cli.masking.measure import Measured, measure_at
from staticmask_cli.masks.builder import MaskBuilder
from staticmask_cli.masks.naming import mask_names
from staticmask_cli.masks.records import ChipRecord
from staticmask_cli.reports.report import RunRecord
from staticmask_cli.settings import Background, Settings
from staticmask_cli.statistics.chance import bad_by_chance


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One mask at one sigma.

    Attributes
    ----------
    mask : str
        File name of the mask.
    identity : ChipIdentity
        The silicon that the mask belongs to.
    static_sig : float
        Threshold, in units of the noise below the background.
    bad, total : int
        Number of bad pixels, and of all pixels.
    expected : float
        Bad pixels expected from noise, see `bad_by_chance`.
    """

    mask: str
    identity: ChipIdentity
    static_sig: float
    bad: int
    total: int
    expected: float

    def document(self) -> dict[str, Any]:
        """Return it in JSON types."""
        return asdict(self)

    def cells(self) -> tuple[str, ...]:
        """Return the cells of a table, in the order of `HEADING`."""
        return (
            *(self.mask, f"{self.static_sig:.12g}", f"{self.bad}/{self.total}"),
            *(f"{100 * self.bad / self.total:.4f}", f"{self.expected:.1f}"),
            f"{100 * self.expected / self.total:.4f}",
        )


#: The heading of the columns of `SweepRow.cells`.
HEADING = ("# mask", "static_sig", "bad/total", "percent", "expected", "percent")


@dataclass(frozen=True, slots=True)
class _Swept:
    """One chip at all sigmas."""

    at_each: list[Measured]

    @property
    def record(self) -> ChipRecord:
        """The record at the first sigma."""
        return self.at_each[0].record


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
        As for `make_masks`; ``static_sig`` is ignored.
    sigmas : sequence of float
        Values of ``static_sig``.
    run_record : RunRecord, optional
        Receives a report of every exposure.
    executor : Executor, optional
        Measures the chips instead of our own threads; it is not shut down.
    progress : callable, optional
        Called after each exposure.

    Returns
    -------
    tuple of SweepRow
        By mask, then in the order of `sigmas`.

    Raises
    ------
    InputError
        If exposures cannot be used; lists all problems.
    """
    run_record = RunRecord() if run_record is None else run_record
    builders: dict[ChipIdentity, list[MaskBuilder]] = {}
    work = partial(_swept, sigmas=sigmas, background=settings.background)
    for one in read_exposures(settings, work, run_record, executor=executor, progress=progress):
        identity = one.chip.identity
        if identity not in builders:
            builders[identity] = [
                # The coverage is the same at all sigmas.
                MaskBuilder(identity.shape, settings.min_exposures, counts=number == 0)
                for number, _ in enumerate(sigmas)
            ]
        if one.result is not None and one.record.used:
            for builder, measured in zip(builders[identity], one.result.at_each, strict=True):
                builder.add(measured.bad, measured.not_finite, one.record.pixel_hash)
    names = mask_names(dict.fromkeys(builders), settings.prefix)
    rows = [
        SweepRow(
            mask=names[identity],
            identity=identity,
            static_sig=sigma,
            bad=builder.build().n_bad,
            total=identity.rows * identity.columns,
            expected=bad_by_chance(
                of_one[0].build().coverage_histogram(),
                sigma,
                settings.min_exposures,
                settings.background,
            ),
        )
        for identity, of_one in builders.items()
        for sigma, builder in zip(sigmas, of_one, strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: row.mask))


def _swept(chip: Chip, sigmas: Sequence[float], background: Background) -> _Swept:
    return _Swept(measure_at(chip, sigmas, background))
