"""Identities to file names: what a mask is called."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.exposures.products import MASK_ENDING


def mask_names(
    identities: Mapping[ChipIdentity, ChipIdentity | None], prefix: str | None
) -> dict[ChipIdentity, str]:
    """Give every identity a file name of its own.

    Parameters
    ----------
    identities : mapping
        Identities of a run, and for each the other one whose mask on disk has
        its documented name, or None.
    prefix : str or None
        In place of instrument and detector.

    Returns
    -------
    dict
        The documented name, ``[label]_[rows]x[columns]_[number]_staticMask.fits``,
        wherever one identity claims it; else that name with what distinguishes the
        claimants: the corner always, binning and (behind a prefix)
        instrument and detector if they differ.
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
    """Return all names that an identity's mask can have, the documented one last."""
    longer = (
        full_name(identity, prefix, label=label, binning=binning)
        for label, binning in itertools.product((False, True), repeat=2)
    )
    return tuple(dict.fromkeys((*longer, documented_name(identity, prefix))))


def full_name(identity: ChipIdentity, prefix: str | None, *, label: bool, binning: bool) -> str:
    """Return the documented name with the identity's corner and what else is asked for."""
    start = f"{prefix}_{identity.label}" if prefix and label else prefix or identity.label
    end = f"x{identity.x0}y{identity.y0}"
    if binning and (identity.xbin, identity.ybin) != (1, 1):
        end += f"b{identity.xbin}x{identity.ybin}"
    shape = f"{identity.rows}x{identity.columns}"
    return f"{start}_{shape}_{identity.number}_{end}{MASK_ENDING}"
