"""File names of masks, from their identities."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.exposures.products import MASK_ENDING


def mask_names(
    identities: Mapping[ChipIdentity, ChipIdentity | None], prefix: str | None
) -> dict[ChipIdentity, str]:
    """Return a unique file name for each identity.

    Parameters
    ----------
    identities : mapping
        For each identity of a run, the other identity whose mask on disk has its
        documented name, or None.
    prefix : str or None
        Replaces instrument and detector.

    Returns
    -------
    dict
        The documented name, ``[label]_[rows]x[columns]_[number]_staticMask.fits``,
        if only one identity claims it; otherwise a longer name that distinguishes the
        claimants: it adds the corner, and binning and (after a prefix) instrument and
        detector if they differ.
    """
    claims: dict[str, set[ChipIdentity]] = {}
    for identity, on_disk in identities.items():
        claims.setdefault(documented_name(identity, prefix), set()).update(
            {identity} if on_disk is None else {identity, on_disk}
        )
    names = {}
    for identity in identities:
        name = documented_name(identity, prefix)
        claimants = claims[name]
        if len(claimants) > 1:
            label = len({i.label for i in claimants}) > 1
            binning = len({(i.xbin, i.ybin) for i in claimants}) > 1
            name = full_name(identity, prefix, label=label, binning=binning)
        names[identity] = name
    return names


def documented_name(identity: ChipIdentity, prefix: str | None) -> str:
    """Return the name that DrizzlePac documents for an identity's mask."""
    start = prefix or identity.label
    return f"{start}_{identity.rows}x{identity.columns}_{identity.number}{MASK_ENDING}"


def possible_names(identity: ChipIdentity, prefix: str | None) -> tuple[str, ...]:
    """Return all possible names of an identity's mask, the documented one last."""
    longer = (
        full_name(identity, prefix, label=label, binning=binning)
        for label, binning in itertools.product((False, True), repeat=2)
    )
    return tuple(dict.fromkeys((*longer, documented_name(identity, prefix))))


def full_name(identity: ChipIdentity, prefix: str | None, *, label: bool, binning: bool) -> str:
    """Return the documented name with the corner, and with label and binning if requested."""
    start = f"{prefix}_{identity.label}" if prefix and label else prefix or identity.label
    end = f"x{identity.x0}y{identity.y0}"
    if binning and (identity.xbin, identity.ybin) != (1, 1):
        end += f"b{identity.xbin}x{identity.ybin}"
    shape = f"{identity.rows}x{identity.columns}"
    return f"{start}_{shape}_{identity.number}_{end}{MASK_ENDING}"
