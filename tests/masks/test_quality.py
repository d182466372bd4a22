"""Quality checks: which masks fail, by which values, and where a user sees it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import comb
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from staticmask_cli import create_masks
from staticmask_cli.masks.quality import QualityCheck
from staticmask_cli.reports.report import MaskReport, Report
from staticmask_cli.settings import MinExposures
from staticmask_cli.statistics.chance import bad_by_chance, clipped_rms, low_probability
from staticmask_cli.statistics.clusters import n_clustered
from staticmask_cli.statistics.sky import low_pixels, sky_statistics
from tests.support import fields
from tests.support.makers import REAL, sky
from tests.support.makers import exposure as write_exposure
from tests.support.runs import Run

SHAPE = (256, 256)  # the smallest detectors: everything larger leaves less to chance
SEEDS = (0, 1)
SIGMA = 4.0
HANDFUL = 100  # shares are relative to at least this many bad pixels

# Which checks each field is made for: of the exposures' chips, and of the mask.
MADE_FOR = {
    "crowded": ({"mode_offset", "rms_ratio"}, set()),
    "nebulous": ({"mode_offset"}, set()),
    "dark": ({"low_excess", "clustered"}, {"clustered", "bad"}),
}


@dataclass(frozen=True)
class Case:
    """A field, its files and what a run with the default settings found."""

    field: fields.Field
    paths: list[Path]
    folder: Path
    report: Report

    @property
    def mask(self) -> MaskReport:
        return self.report.masks[0]

    def again(self, **settings: object) -> MaskReport:
        return masks(self.paths, self.folder / "again", **settings)


Cases = Callable[[str, int], Case]


def masks(paths: list[Path], folder: Path, **settings: object) -> MaskReport:
    return create_masks(paths, output_dir=folder, **settings).masks[0]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """Make each field once."""
    made: dict[tuple[str, int], Case] = {}

    def case(kind: str, seed: int) -> Case:
        if (kind, seed) not in made:
            folder = tmp_path_factory.mktemp(f"{kind}{seed}")
            one = fields.field(kind, seed, 4, SHAPE)
            paths = one.write(folder)
            report = create_masks(paths, output_dir=folder)
            made[kind, seed] = Case(one, paths, folder, report)
        return made[kind, seed]

    return case


def failed_names(checks: tuple[QualityCheck, ...]) -> set[str]:
    return {check.name for check in checks if check.failed}


def value(checks: tuple[QualityCheck, ...], name: str) -> float:
    return next(check.value for check in checks if check.name == name)


# Which masks fail


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["clean", "defective"])
def test_a_good_field_passes_all_checks(cases: Cases, kind: str, seed: int) -> None:
    case = cases(kind, seed)
    quality = case.mask.quality
    assert [v.name for v in quality.mask] == [
        "clustered",
        "single_exposure",
        "votes",
        "bad",
        "threshold_depth",
    ]
    assert [[v.name for v in chip] for chip in quality.chips] == [
        ["low_excess", "clustered", "mode_offset", "rms_ratio"]
    ] * 4
    assert case.report.failed_checks == ()


def test_a_real_exposure_passes_all_checks(tmp_path: Path) -> None:
    report = create_masks(REAL, output_dir=tmp_path)
    assert report.failed_checks == ()
    assert all(len(chip) == 4 for chip in report.masks[0].quality.chips)  # all checks apply


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", MADE_FOR)
def test_each_field_fails_the_checks_that_it_is_made_for(
    cases: Cases, kind: str, seed: int
) -> None:
    quality = cases(kind, seed).mask.quality
    of_chips, of_mask = MADE_FOR[kind]
    for chip in quality.chips:
        # The rms of nebulae scatters about its limit; their mode reveals them.
        assert failed_names(chip) - {"rms_ratio"} == of_chips - {"rms_ratio"}
        assert of_chips <= failed_names(chip)
    assert failed_names(quality.mask) == of_mask


@pytest.mark.parametrize("seed", SEEDS)
def test_a_shadow_is_laid_to_its_exposure(cases: Cases, seed: int) -> None:
    quality = cases("shadow", seed).mask.quality
    assert [failed_names(chip) for chip in quality.chips] == [set()] * 3 + [
        {"low_excess", "clustered"}
    ]
    assert failed_names(quality.mask) == {"clustered", "single_exposure"}
    of_chip = [v for v in quality.failed if v.name == "low_excess"]
    assert [v.subject for v in of_chip] == ["jfld03abq_flt.fits SCI,1"]


@pytest.mark.parametrize(
    "name", ["low_excess", "mode_offset", "rms_ratio", "clustered", "single_exposure"]
)
def test_each_limit_affects_only_its_check(cases: Cases, name: str) -> None:
    kind = "crowded" if name in ("mode_offset", "rms_ratio") else "shadow"
    case = cases(kind, 0)
    all_names = {v.name for v in case.report.failed_checks}
    assert name in all_names
    mask = case.again(**{f"max_{name}": 1e3})
    assert {v.name for v in mask.quality.failed} == all_names - {name}
    assert np.array_equal(mask.read(), case.mask.read())  # a check changes no mask


def test_a_number_at_its_limit_is_not_beyond_it(cases: Cases) -> None:
    case = cases("shadow", 0)
    at = value(case.mask.quality.mask, "single_exposure")
    assert "single_exposure" not in failed_names(case.again(max_single_exposure=at).quality.mask)
    assert "single_exposure" in failed_names(
        case.again(max_single_exposure=at * (1 - 1e-9)).quality.mask
    )


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0, 6.0])
def test_a_crowded_field_without_negative_pixels_is_not_a_photon_counter(
    cases: Cases, tmp_path: Path, sigma: float
) -> None:
    # As in the core of 47 Tuc, where light of stars lies on every pixel.
    pixels = cases("crowded", 0).field.exposures[0]
    pixels = np.maximum(pixels - np.quantile(pixels, 0.001), 0)
    path = write_exposure(tmp_path / "x_flt.fits", [pixels], errors=False)
    mask = masks([path], tmp_path, static_sig=sigma)
    (record,), (chip,) = mask.chips, mask.quality.chips
    assert record.lowest >= 0 > record.threshold
    assert {"mode_offset", "rms_ratio"} <= failed_names(chip)


@pytest.mark.parametrize(
    ("instrument", "detector"),
    [("ACS", "SBC"), ("STIS", "NUV-MAMA"), ("STIS", "FUV-MAMA"), ("COS", "NUV"), ("ACS", "HRC")],
)
def test_photon_counters_are_checked_only_where_pixels_can_be_low(
    instrument: str, detector: str, tmp_path: Path
) -> None:
    stars = fields.stars(np.random.default_rng(0), SHAPE, 0.15)
    named = {"INSTRUME": instrument, "DETECTOR": detector}
    for sky_level, can_be_low in ((1, False), (400, True)):
        light = np.random.default_rng(1).poisson(sky_level + stars * sky_level**0.5 / 20)
        path = tmp_path / f"x{sky_level}_flt.fits"
        write_exposure(path, [light.astype("f4")], primary=named, errors=False)
        mask = masks([path], tmp_path / str(sky_level), static_sig=3)
        ((record,), (chip,)) = mask.chips, mask.quality.chips
        assert (record.threshold > 0) == can_be_low
        is_checked = can_be_low or detector == "HRC"
        assert ({"mode_offset", "rms_ratio"} <= {v.name for v in chip}) == is_checked
        assert bool(failed_names(chip)) == is_checked


def quantized(pixels: np.ndarray, step: float, path: Path) -> MaskReport:
    """Judge pixels in steps, written as the whole numbers that they are."""
    steps = np.rint(pixels / step)
    steps = np.clip(steps - steps.min(), 0, 65535).astype("u2")
    return masks([write_exposure(path, [steps], errors=False)], path.parent / path.stem)


@pytest.mark.parametrize("step", [0.05, 0.12, 0.3, 0.5, 0.8, 1.0, 1.4, 2.0, 2.5, 3.0])
def test_quantized_pixels_pass_the_checks(step: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 1, SHAPE)
    for phase in (0.0, 0.25, 0.5):  # between the sky and the nearest step
        mask = quantized(noise + phase * step, step, tmp_path / f"x{phase}_flt.fits")
        assert {"mode_offset", "rms_ratio"} <= {v.name for v in mask.quality.chips[0]}
        assert mask.quality.failed == ()


@pytest.mark.parametrize("counts", [5, 10, 20, 50, 100])
@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_photon_counts_pass_the_checks(kind: str, counts: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(counts).poisson(counts, SHAPE).astype(kind)
    path = write_exposure(tmp_path / "x_flt.fits", [pixels], errors=False)
    quality = masks([path], tmp_path).quality
    assert {"mode_offset", "rms_ratio"} <= {v.name for v in quality.chips[0]}
    assert quality.failed == ()


@pytest.mark.parametrize("step", [0.05, 0.3, 1.0, 2.0])
def test_steps_hide_no_crowded_field(cases: Cases, step: float, tmp_path: Path) -> None:
    noise = np.hypot(fields.SKY**0.5, fields.READ_NOISE)
    pixels = cases("crowded", 0).field.exposures[0]
    mask = quantized(pixels, step * noise, tmp_path / "x_flt.fits")
    assert "rms_ratio" in failed_names(mask.quality.chips[0])


def test_chips_that_cannot_be_checked_are_not(tmp_path: Path) -> None:
    flat = np.full(SHAPE, 3, "f4")
    counts = np.random.default_rng(0).poisson(0.3, SHAPE).astype("f4")
    photons = np.random.default_rng(0).poisson(3.0, SHAPE).astype("f4")
    paths = [
        write_exposure(tmp_path / f"x{n}_flt.fits", [pixels], errors=False)
        for n, pixels in enumerate([flat, counts, sky(0), photons])
    ]
    report = create_masks(paths, output_dir=tmp_path)
    of_file = {
        record.file: chip
        for mask in report.masks
        for record, chip in zip(mask.chips, mask.quality.chips, strict=True)
    }
    assert of_file["x0_flt.fits"] == ()  # no sky
    assert of_file["x2_flt.fits"] == ()  # 64 x 80 pixels
    for file in ("x1_flt.fits", "x3_flt.fits"):
        assert [v.name for v in of_file[file]] == [
            "low_excess",
            "clustered",
            "mode_offset",
            "rms_ratio",
        ]
    assert report.failed_checks == ()


@pytest.mark.parametrize(("side", "expected"), [(4, 16.0), (6, 36.0), (12, 100.0)])
def test_a_handful_of_pixels_is_taken_of_a_hundred(
    tmp_path: Path, side: int, expected: float
) -> None:
    pixels = np.random.default_rng(5).normal(40, 6, SHAPE).astype("f4")
    pixels = np.maximum(pixels, 40 - 3.5 * 6)  # so that none is low by chance
    pixels[100 : 100 + side, 50 : 50 + side] = -500
    paths = [
        write_exposure(tmp_path / f"x{n}_flt.fits", [array], errors=False)
        for n, array in enumerate([pixels, np.maximum(pixels, 30)])
    ]
    mask = masks(paths, tmp_path)
    assert mask.bad == side**2
    assert value(mask.quality.mask, "clustered") == expected
    assert value(mask.quality.chips[0], "clustered") == expected
    # Fewer than three are expected from noise in this many pixels.
    assert value(mask.quality.mask, "single_exposure") == pytest.approx(expected, abs=3)


# By which numbers


@pytest.mark.parametrize("kind", ["defective", "crowded", "nebulous", "dark", "shadow"])
def test_a_chips_numbers_are_those_of_its_pixels(cases: Cases, kind: str) -> None:
    case = cases(kind, 0)
    for pixels, record, chip in zip(
        case.field.exposures, case.mask.chips, case.mask.quality.chips, strict=True
    ):
        below, median = np.percentile(pixels.astype("f8"), [15.865525393145708, 50])
        low = pixels < record.threshold
        by_chance = pixels.size * low_probability(SIGMA)
        # The program takes the nearest pixel, numpy interpolates: neighbours in
        # the sorted sample lie 1e-4 of the noise apart.
        noise = pytest.approx(median - below, rel=2e-3)
        assert record.noise == noise
        assert value(chip, "mode_offset") == pytest.approx(
            abs(record.mode - median) / (median - below), abs=2e-3
        )
        assert value(chip, "rms_ratio") == pytest.approx(record.rms / (median - below), rel=2e-3)
        # From here on counts: equal but for the rounding of doubles.
        assert value(chip, "low_excess") == pytest.approx(
            100 * (low.sum() - by_chance) / pixels.size, rel=1e-12
        )
        assert value(chip, "clustered") == pytest.approx(
            100 * filled(low) / max(low.sum(), HANDFUL), rel=1e-12
        )


@pytest.mark.parametrize("kind", ["defective", "dark", "shadow"])
def test_a_masks_numbers_are_those_of_its_pixels(cases: Cases, kind: str) -> None:
    case = cases(kind, 0)
    bad = case.mask.read() == 0
    each = [masks([path], case.folder / "one").read() == 0 for path in case.paths]
    times = np.sum(each, axis=0)
    *others, alone = sorted(int((one & (times == 1)).sum()) for one in each)
    excess = max(0.0, alone - max(np.median(others), bad.size * low_probability(SIGMA)))
    quality = case.mask.quality
    share = max(bad.sum(), HANDFUL)
    assert value(quality.mask, "clustered") == pytest.approx(100 * filled(bad) / share, rel=1e-12)
    assert value(quality.mask, "single_exposure") == pytest.approx(100 * excess / share, rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_the_mask_would_have_is_what_it_has(cases: Cases, seed: int) -> None:
    case = cases("shadow", seed)
    check = next(v for v in case.report.failed_checks if v.name == "single_exposure")
    said = re.search(
        r"(\d+) of (\d+) bad pixels are bad only in (\S+) SCI,1; .* (\d+)$", check.text
    )
    assert said
    assert (int(said[2]), said[3]) == (case.mask.bad, case.paths[-1].name)
    without = masks(case.paths[:-1], case.folder / "without")
    assert int(said[4]) == without.bad
    assert int(said[1]) == case.mask.bad - without.bad
    assert without.quality.failed == ()


def test_median_and_noise_of_a_large_chip_are_a_samples() -> None:
    pixels = np.random.default_rng(4).normal(100, 7, (1024, 1024)).astype("f4")
    found = sky_statistics(pixels)
    # A quantile q of n Gaussian numbers scatters by sqrt(q (1 - q) / n) over the
    # density there: 0.005 and 0.006 sigma with n = 61681; five of each.
    assert found.median == pytest.approx(100, abs=7 * 0.025)
    assert found.noise == pytest.approx(7, abs=7 * 0.04)


def test_median_and_noise_are_quantiles_that_snap_to_no_step() -> None:
    pixels = np.random.default_rng(6).normal(40.3, 2.4, SHAPE).astype("f4")
    found = sky_statistics(pixels)
    exact = pixels.astype("f8")
    below = np.quantile(
        exact, low_probability(1 / clipped_rms()), method="interpolated_inverted_cdf"
    )
    assert found.median == np.median(exact)
    assert found.noise == pytest.approx(np.median(exact) - below, rel=1e-9)
    # Of whole numbers the noise has half a step more.
    whole = sky_statistics(np.rint(pixels))
    assert whole.median == pytest.approx(found.median, abs=0.05)
    assert whole.noise == pytest.approx(found.noise + 0.5, abs=0.1)


# Groups


def is_solid(bad: np.ndarray, y: int, x: int) -> bool:
    """Tell whether a bad pixel has three more in line both ways."""
    return all(
        any(place + 4 <= line.size and line[place : place + 4].all() for place in starts)
        for line, at in ((bad[y], x), (bad[:, x], y))
        for starts in [range(max(0, at - 3), at + 1)]
    )


def filled(bad: np.ndarray) -> int:
    """Count pixels in groups of which a quarter is solid, each group by flooding it."""
    left = {(int(y), int(x)) for y, x in np.argwhere(bad)}
    total = 0
    while left:
        wave = [left.pop()]
        group = []
        while wave:
            y, x = wave.pop()
            group.append((y, x))
            around = {(y + i, x + j) for i, j in product((-1, 0, 1), repeat=2)} & left
            left -= around
            wave += around
        if 4 * sum(is_solid(bad, y, x) for y, x in group) >= len(group):
            total += len(group)
    return total


@given(
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.floats(0, 0.95),
    st.integers(0, 2**32 - 1),
)
def test_clumps_are_those_that_flooding_finds(
    shape: tuple[int, int], share: float, seed: int
) -> None:
    bad = np.random.default_rng(seed).random(shape) < share
    assert n_clustered(np.flatnonzero(bad), shape[1]) == filled(bad)


@pytest.mark.parametrize(
    ("drawing", "count"),
    [
        ("####/####/####/####", 16),
        ("####/####/####", 0),  # three columns side by side, or rows
        ("####.../####.../####.../####.../....###", 19),  # corners touch
        ("#.../.#../..#./...#", 0),
        ("#..#/.##./.##./#..#", 0),
        ("##../##../..##/..##", 0),
        ("#..#/#..#/#..#/####", 0),  # a row and two columns
        ("..#./..#./####/..#.", 0),
        ("#..#/#..#/#..#/#..#", 0),
        (".##./..../..../####", 0),
    ],
)
def test_what_is_a_clump(drawing: str, count: int) -> None:
    bad = np.array([[c == "#" for c in line] for line in drawing.split("/")])
    assert n_clustered(np.flatnonzero(bad), bad.shape[1]) == count
    assert n_clustered(np.flatnonzero(bad.T), bad.shape[0]) == count


def test_groups_do_not_go_on_beyond_a_rows_end() -> None:
    bad = np.zeros((8, 8), bool)
    bad[:, 0] = bad[:, -1] = True  # neighbours in the flat array
    assert n_clustered(np.flatnonzero(bad), 8) == 0


# Chance


def test_the_rms_of_clipped_noise() -> None:
    pixels = np.random.default_rng(0).normal(0, 1, 4_000_000).astype("f4")
    found = sky_statistics(pixels)
    # An rms of n numbers scatters by 1 / sqrt(2 n): 0.00035; five of them.
    assert found.rms == pytest.approx(clipped_rms(), abs=0.0018)


@pytest.mark.parametrize("static_sig", [2.0, 3.0, 4.0])
def test_how_often_noise_makes_a_pixel_low(static_sig: float) -> None:
    pixels = np.random.default_rng(1).normal(0, 1, 8_000_000).astype("f4")
    low = int((pixels < -static_sig * sky_statistics(pixels).rms).sum())
    expected = pixels.size * low_probability(static_sig)
    # The rms' own scatter moves the threshold, and so the number, much less.
    assert low == pytest.approx(expected, abs=5 * expected**0.5)


def test_how_often_noise_makes_a_pixel_low_in_a_chip() -> None:
    # The whole way, with the mode, which scatters by 0.05 rms on such a chip:
    # at 4 rms that alone changes the number by a quarter.
    rng = np.random.default_rng(2)
    low = 0
    for _ in range(8):
        pixels = rng.normal(40, 6, (1024, 1024)).astype("f4")
        low += int(low_pixels(pixels, sky_statistics(pixels), SIGMA).sum())
    expected = 8 * 2**20 * low_probability(SIGMA)
    assert low == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize("votes", ["1", "2", "3", "0.5"])
def test_chance_in_several_exposures(votes: str) -> None:
    rng = np.random.default_rng(3)
    static_sig, pixels, exposures = 2.0, 500_000, 4
    noise = rng.normal(0, 1, (exposures, pixels)).astype("f4")
    times = (noise < -static_sig * clipped_rms()).sum(axis=0)
    bad = int((times >= MinExposures.of(votes).needed(exposures)).sum())
    expected = bad_by_chance({exposures: pixels}, static_sig, MinExposures.of(votes))
    assert bad == pytest.approx(expected, abs=5 * expected**0.5)


@pytest.mark.parametrize("votes", ["1", "2", "5", "0.3", "0.5"])
def test_chance_by_counting_all_outcomes(votes: str) -> None:
    least = MinExposures.of(votes)
    seen = {0: 7, 1: 1000, 2: 30, 4: 5}
    p = low_probability(1.0)
    by_hand = sum(
        pixels
        * sum(
            comb(coverage, k) * p**k * (1 - p) ** (coverage - k)
            for k in range(coverage + 1)
            if k >= least.needed(coverage)
        )
        for coverage, pixels in seen.items()
    )
    # Logarithms of factorials cost some of a double's digits.
    assert bad_by_chance(seen, 1.0, least) == pytest.approx(by_hand, rel=1e-12)


def test_chance_with_numbers_at_their_ends() -> None:
    assert low_probability(0.0) == 0.5
    assert low_probability(1e3) == 0.0
    assert bad_by_chance({3: 100}, 1e3, MinExposures(1)) == 0.0
    assert bad_by_chance({}, 4.0, MinExposures(1)) == 0.0
    assert bad_by_chance({5: 100}, 4.0, MinExposures(6)) == 0.0
    # So many exposures that n over k is no double.
    assert bad_by_chance({30_000: 1000}, 0.0, MinExposures.of(0.5)) == pytest.approx(500, rel=0.01)


# How a user hears of it


def test_failed_checks_are_recorded_in_the_mask(cases: Cases) -> None:
    case = cases("shadow", 0)
    with fits.open(case.mask.path) as hdus:
        header = hdus[0].header
        comments = "".join(map(str, header["COMMENT"]))
        spoken_of = list(hdus[1].data["QCFAILED"])
    assert header["QCFAILED"].split() == ["clustered", "low_excess", "single_exposure"]
    assert header["NQCFAIL"] == len(case.report.failed_checks) == 4
    failed = [v for v in case.mask.quality.mask if v.failed]
    assert comments.count("check failed: ") == len(failed) == 2
    for check in failed:
        assert f"check failed: {check.name} {check.value:.3g} > {check.limit:g}" in comments
    assert "only in jfld03abq_flt.fits SCI,1" in comments
    low, groups = (v.short() for v in case.mask.quality.chips[3] if v.failed)
    assert spoken_of == ["", "", "", f"{low}; {groups}"]


def test_a_good_mask_says_so(cases: Cases) -> None:
    with fits.open(cases("defective", 0).mask.path) as hdus:
        header = hdus[0].header
        assert (header["QCFAILED"], header["NQCFAIL"]) == ("none", 0)
        assert "check failed" not in str(header.get("COMMENT", ""))
        assert set(hdus[1].data["QCFAILED"]) == {""}


@pytest.mark.parametrize("quiet", [(), ("-q",)])
def test_strict_shows_in_the_exit_status(
    cases: Cases, staticmask: Run, tmp_path: Path, quiet: tuple[str, ...]
) -> None:
    case = cases("shadow", 0)
    run = staticmask("--strict", *quiet, "-o", tmp_path / "out", *case.paths)
    assert run.returncode == 4
    for check in case.report.failed_checks:
        assert str(check) in run.stderr
    assert "Traceback" not in run.stderr
    with fits.open(tmp_path / "out" / Path(case.mask.path).name) as hdus:
        assert np.array_equal(hdus[0].data, case.mask.read())


def test_strict_says_nothing_of_a_good_mask(cases: Cases, staticmask: Run, tmp_path: Path) -> None:
    run = staticmask("--strict", "-q", "-o", tmp_path / "out", *cases("defective", 0).paths)
    assert (run.returncode, run.stderr) == (0, "")


def test_without_strict_failed_checks_are_warnings(
    cases: Cases, staticmask: Run, tmp_path: Path
) -> None:
    case = cases("shadow", 0)
    run = staticmask("-o", tmp_path / "out", *case.paths)
    assert run.returncode == 0
    for check in case.report.failed_checks:
        assert str(check) in run.stderr
    quiet = staticmask("-q", "-o", tmp_path / "out", *case.paths)
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_limits_are_options(cases: Cases, staticmask: Run, tmp_path: Path) -> None:
    case = cases("shadow", 0)
    limits = [f"--max-{name}=100" for name in ("low-excess", "clustered", "single-exposure")]
    run = staticmask("--strict", *limits, "-o", tmp_path / "out", *case.paths)
    assert run.returncode == 0
    assert fits.getval(tmp_path / "out" / Path(case.mask.path).name, "QCFAILED") == "none"


# Unusable masks


def of_no_use(run: Run, folder: Path, name: str, *arguments: str) -> str:
    """Return the reason why a mask is not usable, reported wherever a user may look."""
    options = ("--strict", "-o", "m", "--summary", "s.json", "--report", "r.html")
    result = run(*arguments, *options, cwd=folder)
    assert result.returncode == 4
    (mask,) = json.loads((folder / "s.json").read_text(encoding="utf-8"))["masks"]
    (check,) = [v for v in mask["quality_checks"] if v["failed"]]
    assert check["name"] == name
    assert check["text"] in result.stderr
    page = (folder / "r.html").read_text(encoding="utf-8")
    assert '<section class="checks useless">' in page
    assert check["text"] in html.unescape(page)
    head = fits.getheader(folder / mask["path"])
    assert name in head["QCFAILED"].split()
    assert f"check failed: {name} " in "".join(map(str, head["COMMENT"]))
    return check["text"]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Return a folder with exposures whose mask is good, though small."""
    for seed in range(4):
        write_exposure(tmp_path / f"x{seed}_flt.fits", [sky(seed)], errors=False)
    return tmp_path


def test_more_votes_than_exposures_are_a_failed_check(staticmask: Run, good: Path) -> None:
    text = of_no_use(staticmask, good, "votes", "*flt.fits", "-m", "7")
    assert text == "min_exposures 7 exceeds the 4 available"
    assert staticmask("*flt.fits", "-m", "4", "--strict", cwd=good).returncode == 0


def test_a_mask_that_is_recounted_for_too_many_votes_fails_too(staticmask: Run, good: Path) -> None:
    assert staticmask("*flt.fits", "--counts", "--strict", cwd=good).returncode == 0
    result = staticmask("recount", ".", "-m", "5", "--strict", cwd=good)
    assert result.returncode == 4
    assert "min_exposures 5 exceeds the 4 available" in result.stderr


def test_too_many_bad_pixels_are_a_failed_check(staticmask: Run, good: Path) -> None:
    text = of_no_use(staticmask, good, "bad", "*flt.fits", "--static-sig", "1")
    assert re.match(r"\d+ of 5120 pixels are bad, \d\d\.\d %, ", text)
    result = staticmask("*flt.fits", "--static-sig=1", "--strict", "--max-bad=90", cwd=good)
    assert result.returncode == 0


def test_flags_may_make_too_many_bad_pixels(staticmask: Run, tmp_path: Path) -> None:
    flags = np.zeros((64, 80), "i2")
    flags[:5] = 16  # 400 pixels of 5120
    write_exposure(tmp_path / "x_flt.fits", [sky(0, low=0)], flags=[flags])
    text = of_no_use(staticmask, tmp_path, "bad", "x_flt.fits", "--final-bits", "0")
    assert text.startswith("400 of 5120 pixels are bad, 7.81 %, ")


@pytest.mark.parametrize("votes", ["1", "2"])
def test_a_sigma_that_no_pixel_reaches_is_a_failed_check(
    staticmask: Run, good: Path, votes: str
) -> None:
    text = of_no_use(
        staticmask, good, "threshold_depth", "*flt.fits", "--static-sig=1000", "-m", votes
    )
    assert "static_sig 1000 is too large" in text


def test_the_largest_sigmas_can_be_summarized(staticmask: Run, good: Path) -> None:
    result = staticmask("*flt.fits", "--static-sig=1e308", "--summary=-", "--strict", cwd=good)
    assert result.returncode == 4
    (mask,) = json.loads(result.stdout)["masks"]
    assert [v["name"] for v in mask["quality_checks"] if v["failed"]] == ["threshold_depth"]


@pytest.mark.parametrize("shape", [(16, 20), (64, 80), (256, 256)])
@pytest.mark.parametrize("sigma", [4.0, 6.0, 8.0])
def test_a_clean_chip_has_a_good_mask_though_an_empty_one(
    shape: tuple[int, int], sigma: float, tmp_path: Path
) -> None:
    for seed in range(3):
        pixels = np.random.default_rng(seed).normal(40, 6, shape).astype("f4")
        path = write_exposure(tmp_path / f"x{seed}_flt.fits", [pixels], errors=False)
        mask = masks([path], tmp_path / f"m{seed}", static_sig=sigma)
        assert mask.quality.failed == ()
        assert mask.bad == 0 or sigma < 6


# Votes, which are the remedy


def test_votes_keep_a_shadow_out_of_the_mask(cases: Cases) -> None:
    case = cases("shadow", 0)
    mask = case.again(min_exposures=2)
    assert mask.quality.mask[0].value == 0.0
    assert failed_names(mask.quality.mask) == set()
    # Defects that are found, and no pixel of the shadow that is none: 8 noises
    # deep, all are found in two of four exposures, but where a star shines.
    bad = mask.read() == 0
    assert (bad & case.field.defects).sum() >= 0.95 * case.field.defects.sum()
    assert (bad & ~case.field.defects).sum() <= 1
