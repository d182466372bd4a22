"""find_bad_pixels() equals the plain definition."""

from __future__ import annotations

import numpy as np
import pytest

from staticmask_cli.statistics import bad_pixels
from staticmask_cli.statistics.bad_pixels import Criteria, find_bad_pixels
from staticmask_cli.statistics.sky import low_pixels, sky_statistics
from staticmask_cli.statistics.votes import positions
from tests.support.makers import sky
from tests.support.plain import plain_statistics

pytestmark = pytest.mark.usefixtures("implementation")

SHAPE = (64, 80)


@pytest.mark.parametrize("static_sig", [2.0, 4.0, 6.5])
@pytest.mark.parametrize("good_bits", [None, 0, 16, ~4])
def test_low_flagged_and_not_finite_pixels_match_the_definition(
    static_sig: float, good_bits: int | None
) -> None:
    pixels = sky(1, SHAPE)
    pixels[3, 4:9] = np.nan
    flags = np.random.default_rng(2).choice([0, 4, 16, 20, -32768], SHAPE).astype("i2")
    found = find_bad_pixels(pixels, flags, Criteria(static_sig=static_sig, good_bits=good_bits))
    mode, rms, _ = plain_statistics(pixels)
    assert found.threshold == mode - static_sig * rms
    low = pixels.astype("f8") < found.threshold
    assert np.array_equal(found.low, np.packbits(low))
    assert np.array_equal(found.not_finite, np.packbits(np.isnan(pixels)))
    if good_bits is None:
        assert found.flagged is None
        assert np.array_equal(found.bad, np.packbits(low))
    else:
        flagged = (flags.astype(int) & 0xFFFF & ~good_bits) != 0
        assert np.array_equal(found.flagged, np.packbits(flagged))
        assert np.array_equal(found.bad, np.packbits(low | flagged))
    assert (found.used, found.reason) == (True, "")


def test_given_statistics_are_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = sky(1, SHAPE)
    statistics = sky_statistics(pixels)
    criteria = Criteria(static_sig=4.0)
    first = find_bad_pixels(pixels, None, criteria)
    monkeypatch.setattr(bad_pixels, "sky_statistics", lambda _: pytest.fail("computed again"))
    again = find_bad_pixels(pixels, None, criteria, sky=statistics)
    assert np.array_equal(first.low, again.low)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full(SHAPE, 7, "f4"), "no low pixels found: its histogram has one bin"),
        (np.full(SHAPE, np.nan, "f4"), "no low pixels found: it has no finite pixel"),
    ],
)
def test_a_chip_without_measurable_sky_contributes_only_its_flags(
    pixels: np.ndarray, reason: str
) -> None:
    flags = np.zeros(SHAPE, "i2")
    flags[3, 5] = 4
    criteria = Criteria(static_sig=4.0, good_bits=0)
    without = find_bad_pixels(pixels, None, criteria)
    assert (without.used, without.reason, without.bad.any()) == (False, reason, False)
    found = find_bad_pixels(pixels, flags, criteria)
    assert (found.used, found.reason) == (True, reason)
    assert positions(found.bad).tolist() == [3 * SHAPE[1] + 5]


@pytest.mark.parametrize("size", [1, 7, 9, bad_pixels._BLOCK - 1, 2 * bad_pixels._BLOCK + 3])
def test_arrays_of_any_size_are_packed_as_a_whole(size: int) -> None:
    pixels = sky(3, (1, size))
    pixels[0, :: max(1, size // 9)] -= 100
    statistics = sky_statistics(pixels)
    found = find_bad_pixels(pixels, None, Criteria(static_sig=2.0), sky=statistics)
    assert np.array_equal(found.low, np.packbits(low_pixels(pixels, statistics, 2.0)))
