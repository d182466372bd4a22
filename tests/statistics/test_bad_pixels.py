"""What makes a pixel bad: one function for making, sweeping and explaining."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from staticmask_cli.exposures import products
from staticmask_cli.statistics import bad_pixels
from staticmask_cli.statistics.bad_pixels import Criteria, find_bad_pixels
from staticmask_cli.statistics.sky import sky_statistics
from tests.support.makers import sky
from tests.support.plain import plain_statistics

SHAPE = (64, 80)


@pytest.mark.parametrize("module", [bad_pixels, products])
def test_the_examples_run(module: object) -> None:
    failed, tried = doctest.testmod(module)
    assert tried > 0
    assert failed == 0


@pytest.mark.parametrize("static_sig", [2.0, 4.0, 6.5])
@pytest.mark.parametrize("good_bits", [None, 0, 16, ~4])
def test_low_flagged_and_unseen_pixels_are_those_of_the_definition(
    static_sig: float, good_bits: int | None
) -> None:
    pixels = sky(1, SHAPE)
    pixels[3, 4:9] = np.nan
    flags = np.random.default_rng(2).choice([0, 4, 16, 20, -32768], SHAPE).astype("i2")
    found = find_bad_pixels(pixels, flags, Criteria(static_sig=static_sig, good_bits=good_bits))
    mode, rms, _ = plain_statistics(pixels)
    assert found.threshold == mode - static_sig * rms
    low = pixels.astype("f8") < found.threshold
    assert np.array_equal(found.low, low)
    assert np.array_equal(found.not_finite, np.isnan(pixels))
    if good_bits is None:
        assert found.flagged is None
        assert np.array_equal(found.bad, low)
    else:
        flagged = (flags.astype(int) & 0xFFFF & ~good_bits) != 0
        assert np.array_equal(found.flagged, flagged)
        assert np.array_equal(found.bad, low | flagged)
    assert (found.used, found.reason) == (True, "")


def test_statistics_that_are_known_are_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = sky(1, SHAPE)
    statistics = sky_statistics(pixels)
    criteria = Criteria(static_sig=4.0)
    first = find_bad_pixels(pixels, None, criteria)
    monkeypatch.setattr(bad_pixels, "sky_statistics", lambda _: pytest.fail("measured again"))
    again = find_bad_pixels(pixels, None, criteria, statistics=statistics)
    assert np.array_equal(first.low, again.low)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full(SHAPE, 7, "f4"), "no low pixels found: its histogram has one bin"),
        (np.full(SHAPE, np.nan, "f4"), "no low pixels found: it has no finite pixel"),
    ],
)
def test_a_chip_without_a_sky_takes_part_by_its_flags_alone(
    pixels: np.ndarray, reason: str
) -> None:
    flags = np.zeros(SHAPE, "i2")
    flags[3, 5] = 4
    criteria = Criteria(static_sig=4.0, good_bits=0)
    without = find_bad_pixels(pixels, None, criteria)
    assert (without.used, without.reason, without.bad.any()) == (False, reason, False)
    found = find_bad_pixels(pixels, flags, criteria)
    assert (found.used, found.reason) == (True, reason)
    assert np.argwhere(found.bad).tolist() == [[3, 5]]
