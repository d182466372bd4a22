"""Masks equal DrizzlePac's, pixel for pixel: on the real exposure and on generated cases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from staticmask_cli import create_masks
from tests.benchmarks.peer_cases import NUMBERS, PIXELS
from tests.support.makers import DATA, REAL, exposure

pytestmark = pytest.mark.usefixtures("implementation")

CASES = json.loads(NUMBERS.read_text(encoding="utf-8"))


def assert_same_numbers(record: object, stats: dict) -> None:
    """Compare to the last bit: sums over so few pixels come out equal in any order."""
    assert record.rms == stats["rms"]
    if stats["nbins"] >= 2:
        assert (record.nbins, record.mode) == (stats["nbins"], stats["mode"])
        assert record.threshold == stats["threshold"]
    else:
        assert record.nbins == 1


@pytest.mark.parametrize("static_sig", [3.0, 4.0])
def test_mask_of_the_real_exposure(static_sig: float, tmp_path: Path) -> None:
    (mask,) = create_masks(REAL, static_sig=static_sig, output_dir=tmp_path).masks
    expected = fits.getdata(DATA / f"STISCCD_256x256_1_sig{static_sig}.fits.gz")
    np.testing.assert_array_equal(mask.read(), expected)
    assert mask.bad == np.count_nonzero(expected == 0) > 0
    stats = json.loads((DATA / f"STISCCD_256x256_1_sig{static_sig}.json").read_text("utf-8"))
    for record, numbers in zip(mask.chips, stats, strict=True):
        assert_same_numbers(record, numbers)


@pytest.mark.parametrize("name", CASES)
def test_masks_of_a_generated_case(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    with np.load(PIXELS) as arrays:
        pixels = [arrays[f"{name}/pixels{i}"] for i in range(len(case["chips"]))]
        expected = {n: arrays[f"{name}/mask{n}"] for n in case["masks"]}
    path = exposure(
        tmp_path / "case_flt.fits", pixels, primary=case["primary"], chips=case["chips"]
    )
    masks = create_masks(path, output_dir=tmp_path / "masks").masks
    if case["primary"]["INSTRUME"] == "NICMOS":  # the peer's driver numbers it by EXTVER
        assert [mask.identity.number for mask in masks] == [case["primary"]["CAMERA"]]
        expected = {case["primary"]["CAMERA"]: expected[1]}
    assert sorted(mask.identity.number for mask in masks) == sorted(expected)
    for mask in masks:
        bad = np.packbits(mask.read() == 0)
        np.testing.assert_array_equal(bad, expected[mask.identity.number])
    records = sorted((r for mask in masks for r in mask.chips), key=lambda r: r.extver)
    for record, numbers in zip(records, case["stats"], strict=True):
        assert_same_numbers(record, numbers)


def test_the_cases_are_not_trivial() -> None:
    """Nearly every case has bad pixels, or comparing masks would show nothing."""
    with np.load(PIXELS) as arrays:
        with_bad = {k.split("/")[0] for k in arrays if "/mask" in k and arrays[k].any()}
    assert set(CASES) - with_bad <= {"one_bin", "two_values", "sparse_counts", "threshold_tie"}
