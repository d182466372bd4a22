"""Adding up chips and masks: which pixels are bad in one chip alone, with how much memory."""

from __future__ import annotations

import numpy as np
import pytest

from staticmask_cli.masks.builder import MaskBuilder
from staticmask_cli.masks.records import ChipRecord, Records, merged
from staticmask_cli.statistics.votes import pack

SHAPE = (16, 16)


@pytest.mark.parametrize("n_chips", [1, 2, 30, 300])
@pytest.mark.parametrize("share", [0.01, 0.3])
@pytest.mark.parametrize("per_mask", [0, 1, 7])
def test_pixels_of_one_chip_are_known_however_many_chips_there_are(
    n_chips: int, share: float, per_mask: int
) -> None:
    rng = np.random.default_rng(n_chips)
    bad = rng.random((n_chips, *SHAPE)) < share
    bad[:, :4] &= rng.random((n_chips, 4, SHAPE[1])) < 3 / n_chips  # some in one chip
    records = [
        ChipRecord(
            file=f"{n:04d}.fits",
            extver=1,
            header_hash="x",
            pixel_hash=f"{n:032x}",
            nbins=9,
            used=True,
        )
        for n in range(n_chips)
    ]
    whole, part, largest = MaskBuilder(SHAPE), MaskBuilder(SHAPE), 0
    for n in range(n_chips):
        part.add(pack(bad[n]), None, records[n].pixel_hash)
        if not per_mask:
            whole.add(pack(bad[n]), None, records[n].pixel_hash)
        elif (n + 1) % per_mask == 0 or n + 1 == n_chips:
            begin = n // per_mask * per_mask
            some = merged([Records.of(records[begin : n + 1])], allow_duplicates=False)
            whole.add_mask(part.build(records=some))
            part = MaskBuilder(SHAPE)
        largest = max(largest, whole._n_only)
    mask = whole.build(records=merged([Records.of(records)], allow_duplicates=False))
    count = bad.sum(axis=0)
    assert (mask.bad == (count > 0)).all()
    for n, record in enumerate(mask.records):
        assert record.unique.tolist() == np.flatnonzero(bad[n] & (count == 1)).tolist()
    assert largest < 3 * SHAPE[0] * SHAPE[1] + bad[0].size
