"""Copies of an exposure under other names: by their pixels they are one, and count once."""

from __future__ import annotations

from staticmask_cli.instruments import ChipIdentity
from staticmask_cli.records import ChipRecord

# As many digits of a `ChipRecord.pixel_hash` depend on the science pixels alone.
_SCIENCE = 16


class Duplicates:
    """The chips that count in a run's masks, by their pixels.

    Parameters
    ----------
    allow : bool
        Whether each of several chips with the same pixels counts.
    """

    def __init__(self, *, allow: bool) -> None:
        self._allow = allow
        self._originals: dict[tuple[ChipIdentity, str], tuple[ChipRecord, str]] = {}

    def register(self, identity: ChipIdentity, record: ChipRecord, name: str) -> None:
        """Add a chip, unless it does not count or one with the same pixels does already.

        Parameters
        ----------
        identity : ChipIdentity
            The silicon it shows.
        record : ChipRecord
            What was measured on it.
        name : str
            What messages call it.
        """
        if not self._allow and _counts(record):
            self._originals.setdefault(_key(identity, record), (record, name))

    def drop(self, identity: ChipIdentity, record: ChipRecord) -> None:
        """Take back the registration of a chip, if it has one."""
        registered, _ = self._originals.get(_key(identity, record), (None, ""))
        if registered is record:
            del self._originals[_key(identity, record)]

    def original(self, identity: ChipIdentity, record: ChipRecord) -> str | None:
        """Return the name of the chip that counts and has the pixels of `record`, if there is one.

        Raises
        ------
        ValueError
            If its science pixels are the same and its DQ flags differ, so that
            neither can stand for the other.
        """
        original, name = self._originals.get(_key(identity, record), (None, ""))
        if original is None or not _counts(record):
            return None
        if original.pixel_hash != record.pixel_hash:
            raise ValueError(
                f"has the same pixels as {name} but other DQ flags; give one of them, or count "
                "both with --allow-duplicates"
            )
        return name


def _key(identity: ChipIdentity, record: ChipRecord) -> tuple[ChipIdentity, str]:
    return identity, record.pixel_hash[:_SCIENCE]


def _counts(record: ChipRecord) -> bool:
    return record.used and record.has_sky
