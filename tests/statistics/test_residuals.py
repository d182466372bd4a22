"""Residuals: low pixels are those of the plain rule, and limits never exclude one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staticmask_cli.statistics import local_sky as local
from staticmask_cli.statistics.local_sky import local_sky
from staticmask_cli.statistics.residuals import Calibration, Curve
from staticmask_cli.statistics.votes import pack, positions
from tests.support import fields
from tests.support.plain_local import plain_low

SHAPE = (120, 150)


def step_field(seed: int) -> np.ndarray:
    """Return a chip with four amplifiers, a saturated block, and defects."""
    rng = np.random.default_rng(seed)
    pixels = rng.poisson(200, SHAPE).astype("f4")
    pixels[:60, 75:] = pixels[:60, 75:] * np.float32(1.3) + 300
    pixels[60:, :75] = pixels[60:, :75] * np.float32(0.7) - 250
    pixels[20:40, 20:40] = 80_000
    pixels[rng.random(SHAPE) < 0.005] -= 250
    pixels[:, 100:102] -= 200
    return pixels


def of_kind(kind: str, seed: int) -> np.ndarray:
    if kind == "steps":
        return step_field(seed)
    if kind == "counts":
        return np.random.default_rng(seed).poisson(0.4, SHAPE).astype("f4")
    return fields.field(kind, seed, 1, SHAPE).exposures[0]


KINDS = ("clean", "defective", "crowded", "nebulous", "dark", "steps", "counts")


@pytest.mark.parametrize(("gaps", "block"), [("none", 1000), ("missing", 131072), ("excluded", 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_low_pixels_are_those_of_the_plain_rule(
    kind: str, block: int, gaps: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small blocks: those inside a chip without gaps have bounds of their own.
    monkeypatch.setattr(local, "_BLOCK", block)
    for seed, sigma in ((1, 0.5), (2, 4.0), (3, 50.0)):
        pixels = of_kind(kind, seed)
        excluded = np.zeros(SHAPE, bool)
        if gaps == "missing":
            pixels[33:39, 50:90] = np.nan
            pixels[-1, 7] = np.inf
        elif gaps == "excluded":
            excluded[33:39, 50:90] = True
            excluded[:, 120] = True
        known = np.where(excluded | ~np.isfinite(pixels), np.float32(np.nan), pixels)
        sky = local_sky(pixels, pack(excluded) if gaps == "excluded" else None)
        assert sky.is_usable
        plain = np.flatnonzero(plain_low(pixels, known, sky, sigma))
        # The plain rule is in double precision: no pixel of these fields is so near its limit.
        np.testing.assert_array_equal(positions(sky.low(pixels, sigma)), plain)
        assert plain.size or sigma > 2


@given(seed=st.integers(0, 2**32 - 1), static_sig=st.floats(0.01, 100))
def test_limits_are_never_below_that_of_a_pixel(seed: int, static_sig: float) -> None:
    # Curves as measured: noises that never fall, centres of any kind.
    rng = np.random.default_rng(seed)

    def curve(unit: float) -> Curve:
        n = int(rng.integers(1, 9))
        nodes = np.unique(rng.normal(0, 50 * unit, n).astype("f4"))
        noises = np.sort(rng.gamma(2, unit, nodes.size)).astype("f4")
        return Curve(nodes, rng.normal(0, unit, nodes.size).astype("f4"), noises)

    found = Calibration(curve(float(10 ** rng.uniform(-3, 3))), curve(1.0), curve(1.0))
    n = 300
    nodes = found.by_level.nodes
    spread = nodes[-1] - nodes[0] + found.by_level.noises[-1]
    level = rng.uniform(nodes[0] - 2 * spread, nodes[-1] + 5 * spread, n).astype("f4")
    others = [rng.gamma(1, 30 * float(found.by_level.noises[-1]), n).astype("f4") for _ in "ab"]
    background, noise = found.at(local.Prediction(level, level, *others))
    limits = found.thresholds(static_sig).below(level.copy())
    assert (background - np.float32(static_sig) * noise <= limits).all()


def test_limits_select_few_pixels_of_a_blank_field() -> None:
    # Otherwise, limits that are infinite would pass every other test here.
    pixels = fields.field("clean", 1, 1, (300, 300)).exposures[0]
    for found in local_sky(pixels).calibrations.values():
        limits = found.thresholds(4.0).below(np.full(1, 40, "f4"))
        assert np.median(pixels) - 12 * 7.5 < limits[0] < np.median(pixels) - 2 * 7.5


def test_values_between_the_nodes_of_a_curve_are_linear_and_constant_beyond() -> None:
    curve = Curve(*np.array([[1, 2, 4], [10, 0, 20], [1, 3, 5]], "f4"))
    centres, noises = curve.at(np.array([-9, 1, 1.5, 2, 3, 4, 99], "f4"))
    assert centres.tolist() == [10, 10, 5, 0, 10, 20, 20]
    assert noises.tolist() == [1, 1, 2, 3, 4, 5, 5]


def test_the_noise_is_not_known_where_a_level_has_no_spread() -> None:
    same = Curve(*np.array([[0], [0], [1]], "f4"))
    found = Calibration(Curve(*np.array([[0, 1], [0, 0], [0, 2]], "f4")), same, same)
    level = np.array([-1, 0, 0.5, 1, np.inf], "f4")
    with np.errstate(invalid="ignore"):
        _, noise = found.at(local.Prediction(level, level, *np.ones((2, 5), "f4")))
        _, of_equal = found.at(local.Prediction(level, level, *np.zeros((2, 5), "f4")))
    assert noise.tolist() == [np.inf, np.inf, 1, 2, np.inf]
    assert of_equal.tolist() == [np.inf] * 5  # the neighbours do not differ
