"""The results of a run, and the lines that report them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from staticmask_cli._version import __version__
from staticmask_cli.errors import printable
from staticmask_cli.masks.fits_form import read_pixels
from staticmask_cli.masks.quality import Quality, QualityCheck
from staticmask_cli.masks.records import ChipRecord, Records

if TYPE_CHECKING:
    import numpy as np
    from astropy.table import Table
    from numpy.typing import NDArray

    from staticmask_cli.exposures.instruments import ChipIdentity
    from staticmask_cli.masks.static_mask import StaticMask
    from staticmask_cli.settings import Settings

log = logging.getLogger(__name__)


class MaskState(StrEnum):
    """State of a mask after a run."""

    #: New, or exposures were added.
    WRITTEN = "written"
    #: Already contained all exposures.
    UNCHANGED = "unchanged"
    #: Not written, because of a dry run or a comparison.
    PLANNED = "planned"


class ExposureState(StrEnum):
    """State of a chip or an exposure; an exposure has the first of the states of its chips."""

    #: Measured.
    READ = "read"
    #: Not measured, because of a dry run or because the run failed.
    NOT_READ = "not read"
    #: Has the same pixels as another exposure; they count once.
    DUPLICATE = "duplicate"
    #: Already in the mask, with the same pixels.
    VERIFIED = "verified"
    #: Already in the mask.
    KNOWN = "known"
    #: Has no exposure time or no good pixel.
    SKIPPED = "skipped"
    #: Cannot be used.
    FAILED = "failed"


#: Headings of `MaskReport.cells`.
HEADING = ("mask", "bad/total", "percent bad", "exposures")
# Columns of `Report.to_table` that are attributes of a chip's record, with their types.
_OF_RECORD = {
    "file": str,
    "extver": int,
    "mode": float,
    "rms": float,
    "local_background": float,
    "local_noise": float,
    "threshold": float,
    "n_low": int,
    "n_flagged": int,
    "n_finite": int,
    "used": bool,
    "reason": str,
}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MaskReport:
    """One mask.

    Attributes
    ----------
    path : str
        Path of its file.
    state : MaskState
        Its state after the run.
    identity : ChipIdentity
        The silicon that it belongs to.
    chips : sequence of ChipRecord
        The statistics of each chip of each exposure, or why it is not part of the mask.
    mask : StaticMask or None
        The mask; None after a dry run.
    """

    path: str
    state: MaskState
    identity: ChipIdentity
    chips: Records
    mask: StaticMask | None = field(default=None, compare=False)

    @property
    def bad(self) -> int | None:
        """Number of bad pixels; None after a dry run."""
        return None if self.mask is None else self.mask.n_bad

    @property
    def quality(self) -> Quality:
        """The quality checks; none after a dry run."""
        return (self.mask.quality if self.mask else None) or Quality()

    def __repr__(self) -> str:
        _, percent, exposures = self.cells()[1:]
        bad = (
            "not measured" if self.bad is None else f"{_some(self.bad, 'bad pixel')} ({percent} %)"
        )
        return f"<MaskReport {self.path}: {bad}, {_some(int(exposures), 'exposure')}, {self.state}>"

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the mask's array as it is in the file; None after a dry run."""
        return None if self.mask is None else self.mask.sha256

    @property
    def total(self) -> int:
        """Number of pixels."""
        return self.identity.rows * self.identity.columns

    @property
    def exposures(self) -> int:
        """Number of exposures that are part of the mask."""
        return self.chips.n_exposures

    def read(self) -> NDArray[np.int16]:
        """Read the mask from its file: rows x columns, int16, 1 good, 0 bad.

        `path` may be relative to the working folder of the run; after a dry run,
        the file may not exist.
        """
        return read_pixels(self.path)

    def cells(self) -> tuple[str, ...]:
        """Return path, bad/total, percent bad and number of exposures for a table."""
        bad = "-" if self.bad is None else str(self.bad)
        percent = "-" if self.bad is None else f"{100 * self.bad / self.total:.4f}"
        return self.path, f"{bad}/{self.total}", percent, str(self.exposures)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureReport:
    """The result for one exposure.

    Attributes
    ----------
    path : str
        The file, as given or found.
    state : ExposureState
        Its state after the run.
    reasons : tuple of str
        Its problems, one line each.
    chips : tuple
        Identity and record of each of its selected chips; empty if it could not
        be opened.
    """

    path: str
    state: ExposureState
    reasons: tuple[str, ...] = ()
    chips: tuple[tuple[ChipIdentity, ChipRecord], ...] = ()

    def __repr__(self) -> str:
        return f"<ExposureReport {self.path}: {self.state}, {_some(len(self.chips), 'chip')}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The results of a run.

    Attributes
    ----------
    settings : Settings
        The settings of the run.
    masks : tuple of MaskReport
        The masks, by name; after a dry run, those that would be made.
    exposures : tuple of ExposureReport
        The results for all given exposures.
    warnings : tuple of str
        The warnings, one line each.
    dry_run : bool
        Whether nothing was measured or written.
    version : str
        Version of this program.
    """

    settings: Settings
    masks: tuple[MaskReport, ...] = ()
    exposures: tuple[ExposureReport, ...] = ()
    warnings: tuple[str, ...] = ()
    dry_run: bool = False
    version: str = __version__

    def __repr__(self) -> str:
        parts = [
            _some(len(self.masks), "mask"),
            _some(len(self.exposures), "exposure"),
            _some(len(self.warnings), "warning"),
        ]
        n_failed = len(self.failed_checks)
        parts += ["dry run"] * self.dry_run
        if n_failed:
            parts.append(_some(n_failed, "failed check"))
        elif any(mask.quality.mask for mask in self.masks):
            parts.append("all checks passed")
        return f"<Report: {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        """Return a table of the masks for notebooks."""
        import html  # noqa: PLC0415 - not for a run

        heading = "".join(f"<th>{name}</th>" for name in HEADING)
        cells = [[html.escape(printable(cell)) for cell in mask.cells()] for mask in self.masks]
        rows = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in cells)
        caption = html.escape(repr(self))
        return f"<table><caption>{caption}</caption><tr>{heading}</tr>{rows}</table>"

    def to_table(self) -> Table:
        """Return the statistics of the chips of all exposures as an `astropy.table.Table`.

        Returns
        -------
        Table
            One row for each chip of each exposure that could be opened, in the order
            of `exposures`: path, state of the exposure, mask (its path, or empty),
            file, extver, mode, rms, local_background, local_noise, threshold, n_low,
            n_flagged, n_finite, used and reason. Statistics of the sky are in the units
            of the exposure; NaN if not measured.

        Examples
        --------
        >>> from staticmask_cli import create_masks
        >>> report = create_masks("tests/data/o4k19a010_flt.fits", dry_run=True)
        >>> report.to_table().colnames[:5]
        ['path', 'state', 'mask', 'file', 'extver']
        """
        from astropy.table import Table  # noqa: PLC0415 - seldom needed, and slow to import

        paths = {mask.identity: mask.path for mask in self.masks}
        rows = [
            [exposure.path, exposure.state, paths.get(identity, "")]
            + [getattr(record, name) for name in _OF_RECORD]
            for exposure in self.exposures
            for identity, record in exposure.chips
        ]
        kinds = [str, str, str, *_OF_RECORD.values()]
        return Table(rows=rows or None, names=["path", "state", "mask", *_OF_RECORD], dtype=kinds)

    def rows(self) -> list[tuple[str, ...]]:
        """Return the cells of each mask, or the steps of a dry run, for a table."""
        if not self.dry_run:
            return [mask.cells() for mask in self.masks]
        verbs = {
            ExposureState.KNOWN: "check" if self.settings.verify else "skip ",
            ExposureState.SKIPPED: "skip ",
            ExposureState.FAILED: "fail ",
        }
        exposures = [(verbs.get(e.state, "read "), e.path) for e in self.exposures]
        keeping = {MaskState.PLANNED: "write", MaskState.UNCHANGED: "keep "}
        return [*exposures, *((keeping[mask.state], *mask.cells()) for mask in self.masks)]

    @property
    def failed_checks(self) -> tuple[QualityCheck, ...]:
        """The failed quality checks of all masks."""
        return tuple(check for mask in self.masks for check in mask.quality.failed)

    @property
    def failed(self) -> tuple[ExposureReport, ...]:
        """The exposures that could not be used and were skipped."""
        return tuple(e for e in self.exposures if e.state is ExposureState.FAILED)


@dataclass(slots=True)
class RunRecord:
    """The results of a run so far, which remain available if it fails.

    Attributes
    ----------
    exposures : list of ExposureReport
        The exposures that are done.
    masks : tuple of MaskReport
        The masks that are written, unchanged or planned.
    warnings : list of str
        As in `Report`.
    timings : dict
        Duration of each stage in seconds: resolve, measure, write, show.
    dry_run : bool
        As in `Report`.
    answer : list of dict, or None
        Results of sweep, explain, compare, export or edit, in JSON types.
    unfinished : list of str
        Other outputs that have not been written yet.
    """

    exposures: list[ExposureReport] = field(default_factory=list)
    masks: tuple[MaskReport, ...] = ()
    warnings: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    dry_run: bool = False
    answer: list[dict[str, Any]] | None = None
    unfinished: list[str] = field(default_factory=list)

    def warn(self, warning: str, kind: str | None = None) -> None:
        """Record and log a warning, unless it is recorded already.

        `kind` is the text that it has in common with warnings about other chips.
        """
        if warning not in self.warnings:
            self.warnings.append(warning)
            log.warning("%s", warning, extra={"kind": kind})

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Record the duration of a stage."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.timings[stage] = time.monotonic() - began


def _some(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def chip_line(record: ChipRecord) -> str:
    """Return the statistics of one chip, as one line."""
    if record.nbins:
        sky = f"mode {record.mode:.6g}  rms {record.rms:.6g}  threshold {record.threshold:.6g}"
    elif record.local_noise > 0:
        sky = f"background {record.local_background:.6g}  noise {record.local_noise:.6g}  (medians)"
    else:
        return f"{record.name}: {record.reason or 'to be used'}"
    line = f"{record.name}: {sky}  low pixels {record.n_low}"
    if record.n_flagged:
        line += f"  DQ pixels {record.n_flagged}"
    return f"{line}  ({record.reason})" if record.reason else line
