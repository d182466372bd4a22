"""Chips of the same exposure, which count once: copies, and other calibrations."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Any

import numpy as np

from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.exposures.opening import FilePath
from staticmask_cli.masks.records import ChipRecord, Records

#: Kind and value of what chips of one exposure have in common.
Mark = tuple[str, Any]
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
        self._masks: dict[ChipIdentity, tuple[Records, dict[str, dict[Any, int]]]] = {}

    def register_mask(self, identity: ChipIdentity, records: Records) -> None:
        """Add the chips of a mask."""
        self._masks[identity] = records, _index(records)

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
        found = {mark[0]: other for mark in marks(record) if (other := self._find(identity, mark))}
        if "exposure" in found:
            former, file = found["exposure"]
            if former.calibration != record.calibration:
                raise CalibrationError(
                    f"is the same exposure as {file}, calibrated in another way; give one of them"
                )
        if self._allow or "pixels" not in found:
            return None
        former, file = found["pixels"]
        name = f"{file} {former.chip_name}"
        if former.pixel_hash != record.pixel_hash:
            raise ValueError(
                f"has the same pixels as {name} but other DQ flags; give one of them, or use "
                "both with --allow-duplicates"
            )
        return name

    def _find(self, identity: ChipIdentity, mark: Mark) -> tuple[ChipRecord, str] | None:
        """Return the chip with a mark, and its exposure; those of masks come first."""
        if identity in self._masks:
            records, rows = self._masks[identity]
            if (row := rows[mark[0]].get(mark[1])) is not None:
                return records[row], records[row].file
        return self._registered.get((identity, mark))


def problem(path: FilePath, chip: str, error: ValueError) -> str:
    """Return the line that reports an error of a chip, or of its whole exposure."""
    place = "" if isinstance(error, CalibrationError) else f"{chip}: "
    return f"{path}: {place}{error}"


def are_of_one_exposure(some: Iterable[ChipRecord], others: Iterable[ChipRecord]) -> bool:
    """Return whether any chip of `some` belongs to the same exposure as one of `others`."""
    return not {m for r in some for m in _all_marks(r)}.isdisjoint(
        m for r in others for m in _all_marks(r)
    )


def marks(record: ChipRecord) -> Iterator[Mark]:
    """Yield the keys that a used chip shares with other chips of its exposure."""
    if not record.used:
        return
    yield from _marks(record.calibration, record.pixel_hash, record.has_sky)
    # Chips without a measurable sky may have the same pixels by chance.
    if record.pixel_hash and not record.has_sky:
        yield "pixels", record.in_table().key


def _marks(calibration: str, pixel_hash: str, has_sky: bool) -> Iterator[Mark]:
    if calibration:
        yield "exposure", calibration.rpartition("_")[0]
    if has_sky:
        yield "pixels", pixel_hash[:_SCIENCE]


def _index(records: Records) -> dict[str, dict[Any, int]]:
    """Return the first row with each mark of a kind."""
    found: dict[str, dict[Any, int]] = {"exposure": {}, "pixels": {}}
    rows, has_sky = records.rows, records.has_sky
    used = np.flatnonzero(rows["used"])
    for row, calibration, pixel_hash, sky in zip(
        used.tolist(),
        rows["calibration"][used].astype(np.str_).tolist(),
        rows["pixel_hash"][used].astype(np.str_).tolist(),
        has_sky[used].tolist(),
        strict=True,
    ):
        for kind, mark in _marks(calibration, pixel_hash, sky) if sky else marks(records[row]):
            found[kind].setdefault(mark, row)
    return found


def _all_marks(record: ChipRecord) -> Iterator[Mark]:
    yield "name", (record.in_table().file, record.extver)
    yield from marks(record)
