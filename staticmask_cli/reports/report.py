"""What a run found: frozen results, and the lines in which they are told."""

from __future__ import annotations

import hashlib
import html
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from staticmask_cli._version import __version__
from staticmask_cli.errors import printable
from staticmask_cli.masks.held import read_mask
from staticmask_cli.masks.quality import Quality, QualityCheck
from staticmask_cli.masks.records import ChipRecord, count_exposures

if TYPE_CHECKING:
    import numpy as np
    from astropy.table import Table
    from numpy.typing import NDArray

    from staticmask_cli.exposures.instruments import ChipIdentity
    from staticmask_cli.masks.builder import MaskAccumulator
    from staticmask_cli.settings import Settings

log = logging.getLogger(__name__)


#: Headings of the cells of a mask.
HEADING = ("mask", "bad/total", "percent bad", "exposures")
# Columns of `Report.to_table` that are attributes of a chip's record, with their types.
_OF_RECORD = {
    "file": str,
    "extver": int,
    "mode": float,
    "rms": float,
    "threshold": float,
    "n_low": int,
    "n_flagged": int,
    "n_finite": int,
    "used": bool,
    "reason": str,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskReport:
    """One mask.

    Attributes
    ----------
    path : str
        Its file.
    identity : ChipIdentity
        The silicon it belongs to.
    chips : tuple of ChipRecord
        What each chip of each exposure gave to it, or why it gave nothing.
    bad : int or None
        Bad pixels; None after a dry run.
    state : str
        ``written``, ``unchanged`` (it held all exposures already) or ``planned``.
    quality : Quality
        Whether to trust it; its `chips` belong to those of `chips`.
    pixels : MaskAccumulator or None
        The mask that is in the file; None after a dry run.
    """

    path: str
    identity: ChipIdentity
    chips: tuple[ChipRecord, ...]
    bad: int | None
    state: str
    quality: Quality = field(default_factory=Quality)
    pixels: MaskAccumulator | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        _, percent, exposures = self.cells()[1:]
        bad = (
            "not measured" if self.bad is None else f"{_some(self.bad, 'bad pixel')} ({percent} %)"
        )
        return f"<MaskReport {self.path}: {bad}, {_some(int(exposures), 'exposure')}, {self.state}>"

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the mask's array as it stands in the file; None after a dry run."""
        if self.pixels is None:
            return None
        return hashlib.sha256(self.pixels.mask().data).hexdigest()

    @property
    def total(self) -> int:
        """Number of pixels."""
        return self.identity.rows * self.identity.columns

    @property
    def exposures(self) -> int:
        """Number of exposures that took part."""
        return count_exposures(self.chips)

    def read(self) -> NDArray[np.int16]:
        """Read the mask from its file: rows x columns, int16, 1 good, 0 bad.

        The file is looked for at `path`, which may be relative to the folder
        in which the run was made; after a dry run there is none.
        """
        return read_mask(self.path)

    def cells(self) -> tuple[str, ...]:
        """Return path, bad/total, percent bad and number of exposures for a table."""
        bad = "-" if self.bad is None else str(self.bad)
        percent = "-" if self.bad is None else f"{100 * self.bad / self.total:.4f}"
        return self.path, f"{bad}/{self.total}", percent, str(self.exposures)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureReport:
    """What became of one exposure.

    Attributes
    ----------
    path : str
        The file, as it was named or found.
    state : str
        ``read``: measured; ``known``: the masks hold it already; ``verified``:
        so, and its pixels are the same; ``duplicate``: its pixels are those of
        another exposure, with which it counts once; ``left out``: it has no exposure time
        or no good pixel; ``failed``: it cannot be used; ``not read``: in a dry
        run, or because the run failed, it was not come to.
    reasons : tuple of str
        What is wrong with it, a line each.
    chips : tuple
        Identity and record of each of its chips that takes part or is left
        out; empty if it could not be opened.
    """

    path: str
    state: str
    reasons: tuple[str, ...] = ()
    chips: tuple[tuple[ChipIdentity, ChipRecord], ...] = ()

    def __repr__(self) -> str:
        return f"<ExposureReport {self.path}: {self.state}, {_some(len(self.chips), 'chip')}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole run.

    Attributes
    ----------
    settings : Settings
        What it was told to do.
    masks : tuple of MaskReport
        The masks, by name; after a dry run those that would be made.
    exposures : tuple of ExposureReport
        What became of every exposure that was given.
    warnings : tuple of str
        What a user should know before trusting them.
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
        parts.append(f"{_some(n_failed, 'failed check')}" if n_failed else "all checks passed")
        return f"<Report: {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        """Return a table of the masks for notebooks."""
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
            One row for each chip of each exposure that was read, skipped or is
            in a mask, in the order of `exposures`: path, state of the exposure,
            mask (its path, empty if there is none), file, extver, mode, rms,
            threshold, n_low, n_flagged, n_finite, used and reason. Mode, rms
            and threshold are in the units of the exposure; NaN if not measured.

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
        known = "check" if self.settings.verify else "skip "
        verbs = {"known": known, "left out": "skip ", "failed": "fail "}
        exposures = [(verbs.get(e.state, "read "), e.path) for e in self.exposures]
        keeping = {"planned": "write", "unchanged": "keep "}
        return [*exposures, *((keeping[mask.state], *mask.cells()) for mask in self.masks)]

    @property
    def failed_checks(self) -> tuple[QualityCheck, ...]:
        """The reasons not to trust the masks."""
        return tuple(check for mask in self.masks for check in mask.quality.failed)

    @property
    def failed(self) -> tuple[ExposureReport, ...]:
        """The exposures that could not be used, and were left out."""
        return tuple(exposure for exposure in self.exposures if exposure.state == "failed")


@dataclass(slots=True)
class RunRecord:
    """What a run has done so far: all that is known of one that fails.

    Attributes
    ----------
    exposures : list of ExposureReport
        Those that are done.
    masks : tuple of MaskReport
        Those that are on disk, or planned.
    warnings : list of str
        As in `Report`.
    timings : dict
        Seconds that each stage took: resolve, measure, write.
    dry_run : bool
        As in `Report`.
    answer : list of dict, or None
        What was found out in place of a run, of types that JSON has.
    unfinished : list of str
        What else is to be written when the masks are in place, and is not yet.
    """

    exposures: list[ExposureReport] = field(default_factory=list)
    masks: tuple[MaskReport, ...] = ()
    warnings: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    dry_run: bool = False
    answer: list[dict[str, Any]] | None = None
    unfinished: list[str] = field(default_factory=list)

    def warn(self, warning: str, kind: str | None = None) -> None:
        """Record and log a warning; `kind` is what it has in common with those of other chips."""
        self.warnings.append(warning)
        log.warning("%s", warning, extra={"kind": kind})

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Note how long a stage takes."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.timings[stage] = time.monotonic() - began


def _some(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def chip_line(record: ChipRecord) -> str:
    """Return what was measured on one chip, in a line."""
    name = f"{record.file} SCI,{record.extver}"
    if not record.nbins:
        return f"{name}: {record.reason or 'to be used'}"
    line = (
        f"{name}: mode {record.mode:.6g}  rms {record.rms:.6g}  "
        f"threshold {record.threshold:.6g}  low pixels {record.n_low}"
    )
    if record.n_flagged:
        line += f"  DQ pixels {record.n_flagged}"
    return f"{line}  ({record.reason})" if record.reason else line
