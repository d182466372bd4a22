"""Chips of the same exposure, which count once: copies, and other calibrations."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.exposures.opening import FilePath
from staticmask_cli.masks.records import ChipRecord

# Number of digits of `ChipRecord.pixel_hash` that depend only on the science pixels.
_SCIENCE = 16


class CalibrationError(ValueError):
    """Another calibration of the same exposure is used already."""


class Duplicates:
    """The chips of a run and of the masks that it updates, to find those of the same exposure.

    Parameters
    ----------
    allow : bool
        Whether to use all of several chips with the same pixels.
    """

    def __init__(self, *, allow: bool) -> None:
        self._allow = allow
        self._registered: dict[Hashable, tuple[ChipRecord, str]] = {}

    def register(self, identity: ChipIdentity, record: ChipRecord, file: str) -> None:
        """Add a chip, unless one of the same exposure is registered.

        Parameters
        ----------
        identity : ChipIdentity
            Its identity.
        record : ChipRecord
            Its record.
        file : str
            Its exposure, for messages.
        """
        for mark in marks(record):
            self._registered.setdefault((identity, mark), (record, file))

    def drop(self, identity: ChipIdentity, record: ChipRecord) -> None:
        """Remove a chip, if it is registered."""
        for mark in marks(record):
            if self._registered.get((identity, mark), (None, ""))[0] is record:
                del self._registered[identity, mark]

    def original(self, identity: ChipIdentity, record: ChipRecord) -> str | None:
        """Return the name of the chip of which `record` is a copy; None if it is not a copy.

        Raises
        ------
        CalibrationError
            If it is another calibration of a registered exposure.
        ValueError
            If it has the same science pixels but other DQ flags, so that it is
            unclear which of the two to use.
        """
        found = {
            kind: self._registered[identity, (kind, mark)]
            for kind, mark in marks(record)
            if (identity, (kind, mark)) in self._registered
        }
        if "exposure" in found:
            other, file = found["exposure"]
            if other.calibration != record.calibration:
                raise CalibrationError(
                    f"is the same exposure as {file}, calibrated in another way; give one of them"
                )
        if self._allow or "pixels" not in found:
            return None
        other, file = found["pixels"]
        name = f"{file} {other.chip_name}"
        if other.pixel_hash != record.pixel_hash:
            raise ValueError(
                f"has the same pixels as {name} but other DQ flags; give one of them, or use "
                "both with --allow-duplicates"
            )
        return name


def problem(path: FilePath, chip: str, error: ValueError) -> str:
    """Return the line that reports an error of a chip, or of its whole exposure."""
    place = "" if isinstance(error, CalibrationError) else f"{chip}: "
    return f"{path}: {place}{error}"


def are_of_one_exposure(some: Iterable[ChipRecord], others: Iterable[ChipRecord]) -> bool:
    """Return whether any chip of `some` belongs to the same exposure as one of `others`."""
    return not {m for r in some for m in _all_marks(r)}.isdisjoint(
        m for r in others for m in _all_marks(r)
    )


def marks(record: ChipRecord) -> Iterator[tuple[str, Any]]:
    """Yield the keys that a used chip shares with other chips of its exposure."""
    if not record.used:
        return
    if record.calibration:
        yield "exposure", record.calibration.rpartition("_")[0]
    if record.has_sky:
        yield "pixels", record.pixel_hash[:_SCIENCE]
    elif record.pixel_hash:  # chips without a measurable sky may have the same pixels by chance
        yield "pixels", record.in_table().key


def _all_marks(record: ChipRecord) -> Iterator[tuple[str, Any]]:
    yield "name", (record.in_table().file, record.extver)
    yield from marks(record)
