"""Which chips are of one exposure, and so count once: copies, and other calibrations of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any

from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masks.records import ChipRecord

# So many digits of a `ChipRecord.pixel_hash` depend only on the science pixels.
_SCIENCE = 16


class CalibrationError(ValueError):
    """An exposure counts already, calibrated in another way."""


class Duplicates:
    """The chips of a run, and of the masks to which it adds, by what makes them one exposure.

    Parameters
    ----------
    allow : bool
        Whether each of several chips with the same pixels counts.
    """

    def __init__(self, *, allow: bool) -> None:
        self._allow = allow
        self._registered: dict[Hashable, tuple[ChipRecord, str]] = {}

    def register(self, identity: ChipIdentity, record: ChipRecord, file: str) -> None:
        """Add a chip, unless one of the same exposure is registered.

        Parameters
        ----------
        identity : ChipIdentity
            The silicon it shows.
        record : ChipRecord
            What was measured on it.
        file : str
            The name of its exposure in messages.
        """
        for mark in marks(record):
            self._registered.setdefault((identity, mark), (record, file))

    def drop(self, identity: ChipIdentity, record: ChipRecord) -> None:
        """Take back the registration of a chip, if it has one."""
        for mark in marks(record):
            if self._registered.get((identity, mark), (None, ""))[0] is record:
                del self._registered[identity, mark]

    def original(self, identity: ChipIdentity, record: ChipRecord) -> str | None:
        """Return the name of the chip of which `record` is a copy; None if it is none.

        Raises
        ------
        CalibrationError
            If it is another calibration of an exposure that counts.
        ValueError
            If it has the same science pixels and other DQ flags, so that neither
            can stand for the other.
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
                f"has the same pixels as {name} but other DQ flags; give one of them, or count "
                "both with --allow-duplicates"
            )
        return name


def problem(path: Path, chip: str, error: ValueError) -> str:
    """Return the line on what is wrong with a chip of that name, or with its exposure."""
    place = "" if isinstance(error, CalibrationError) else f"{chip}: "
    return f"{path}: {place}{error}"


def are_of_one_exposure(some: Iterable[ChipRecord], others: Iterable[ChipRecord]) -> bool:
    """Return whether a chip among `some` is of the same exposure as one among `others`."""
    return not {m for r in some for m in _all_marks(r)}.isdisjoint(
        m for r in others for m in _all_marks(r)
    )


def marks(record: ChipRecord) -> Iterator[tuple[str, Any]]:
    """Yield what a chip that counts has in common with others of its exposure."""
    if not record.used:
        return
    if record.calibration:
        yield "exposure", record.calibration.rpartition("_")[0]
    if record.has_sky:
        yield "pixels", record.pixel_hash[:_SCIENCE]
    elif record.pixel_hash:  # without a sky many exposures have the same pixels
        yield "pixels", record.in_table().key


def _all_marks(record: ChipRecord) -> Iterator[tuple[str, Any]]:
    yield "name", (record.in_table().file, record.extver)
    yield from marks(record)
