"""What a run found: frozen results, and the lines in which they are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from staticmask_cli._version import __version__
from staticmask_cli.errors import printable
from staticmask_cli.output import read_mask
from staticmask_cli.records import ChipRecord, count_exposures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from staticmask_cli.instruments import ChipIdentity
    from staticmask_cli.settings import Settings


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
    """

    path: str
    identity: ChipIdentity
    chips: tuple[ChipRecord, ...]
    bad: int | None

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

    def line(self) -> str:
        """Return the result line: ``path  bad/total  percent  exposures``."""
        bad = "-" if self.bad is None else str(self.bad)
        percent = "-" if self.bad is None else f"{100 * self.bad / self.total:.4f}"
        return f"{printable(self.path)}  {bad}/{self.total}  {percent}  {self.exposures}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole run.

    Attributes
    ----------
    settings : Settings
        What it was told to do.
    masks : tuple of MaskReport
        The masks, by name; after a dry run those that would be made.
    warnings : tuple of str
        What a user should know before trusting them.
    dry_run : bool
        Whether nothing was measured or written.
    version : str
        Version of this program.
    """

    settings: Settings
    masks: tuple[MaskReport, ...] = ()
    warnings: tuple[str, ...] = ()
    dry_run: bool = False
    version: str = __version__


def chip_line(record: ChipRecord) -> str:
    """Return what was measured on one chip, in a line."""
    name = f"{printable(record.file)} SCI,{record.extver}"
    if not record.nbins:
        return f"{name}: {record.reason or 'to be used'}"
    line = (
        f"{name}: mode {record.mode:.6g}  rms {record.rms:.6g}  "
        f"threshold {record.threshold:.6g}  low pixels {record.low}"
    )
    if record.flagged:
        line += f"  DQ pixels {record.flagged}"
    return f"{line}  ({record.reason})" if record.reason else line
