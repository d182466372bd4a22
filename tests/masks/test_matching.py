"""Matching masks with chips: the smallest mask that covers them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from staticmask_cli import InputError, create_masks
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masks.matching import MaskSet
from tests.support.makers import exposure, sky


def mask(folder: Path, name: str, corner: tuple[int, int], shape: tuple[int, int], seed: int = 1):
    """Make the mask of a part of CCDCHIP 2 whose corner is at x, y; return its path and pixels."""
    chip = {"CCDCHIP": 2, "LTV1": -corner[0], "LTV2": -corner[1]}
    primary = {"INSTRUME": "ACS", "DETECTOR": "WFC"}
    path = exposure(folder / f"{name}_flt.fits", [sky(seed, shape)], primary=primary, chips=[chip])
    (made,) = create_masks(path, output_dir=folder / name).masks
    return Path(made.path), made.read() == 0


def part(
    x0: int, y0: int, rows: int, columns: int, *, label: str = "ACS WFC 1", binning: int = 1
) -> ChipIdentity:
    instrument, detector, number = label.split()
    return ChipIdentity(
        instrument=instrument,
        detector=detector,
        number=int(number),
        rows=rows,
        columns=columns,
        x0=x0,
        y0=y0,
        xbin=binning,
        ybin=binning,
    )


WHOLE = part(0, 0, 60, 80)


def test_a_mask_of_the_whole_chip_is_cut_to_the_region_of_a_subarray(tmp_path):
    path, bad = mask(tmp_path, "whole", (0, 0), (60, 80))
    found = MaskSet([str(path)]).of(part(10, 20, 30, 40))
    assert found.path == path
    assert found.datasum == fits.getheader(path)["DATASUM"]
    np.testing.assert_array_equal(found.bad, bad[20:50, 10:50])
    np.testing.assert_array_equal(MaskSet([str(path)]).of(WHOLE).bad, bad)


def test_the_smallest_mask_that_covers_a_chip_is_used(tmp_path):
    whole, _ = mask(tmp_path, "whole", (0, 0), (60, 80))
    some, bad = mask(tmp_path, "some", (8, 16), (40, 50), seed=2)
    for paths in ([whole, some], [some, whole]):
        masks = MaskSet(map(str, paths))
        found = masks.of(part(10, 20, 30, 40))
        assert found.path == some
        np.testing.assert_array_equal(found.bad, bad[4:34, 2:42])
        assert masks.of(part(0, 0, 30, 40)).path == whole


@pytest.mark.parametrize(
    "identity",
    [
        part(50, 20, 30, 40),
        part(0, 40, 30, 40),
        part(-2, 0, 10, 10),
        part(0, 0, 61, 80),
    ],
)
def test_a_chip_that_no_mask_covers_is_an_error(identity, tmp_path):
    path, _ = mask(tmp_path, "whole", (0, 0), (60, 80))
    with pytest.raises(ValueError, match=f"^no mask covers {identity}: {path}$"):
        MaskSet([str(path)]).of(identity)


@pytest.mark.parametrize(
    "identity",
    [
        part(0, 0, 60, 80, label="ACS WFC 2"),
        part(0, 0, 60, 80, label="ACS HRC 1"),
        part(0, 0, 60, 80, label="WFC3 UVIS 1"),
        part(0, 0, 30, 40, binning=2),
    ],
)
def test_other_silicon_and_binnings_have_no_mask(identity, tmp_path):
    path, _ = mask(tmp_path, "whole", (0, 0), (60, 80))
    with pytest.raises(ValueError, match=f"^no mask of {identity}$"):
        MaskSet([str(path)]).of(identity)


def test_of_several_masks_of_the_same_size_none_is_chosen(tmp_path):
    first, _ = mask(tmp_path, "first", (0, 0), (60, 80))
    second, _ = mask(tmp_path, "second", (0, 0), (60, 80), seed=2)
    some, bad = mask(tmp_path, "some", (8, 16), (40, 50), seed=3)
    masks = MaskSet(map(str, [first, second, some]))
    message = f"^several masks of the same size cover {WHOLE}: {first}, {second}$"
    with pytest.raises(ValueError, match=message):
        masks.of(WHOLE)
    np.testing.assert_array_equal(masks.of(part(8, 16, 40, 50)).bad, bad)


def test_masks_that_cannot_be_matched_are_errors(tmp_path):
    _, bad = mask(tmp_path, "whole", (0, 0), (60, 80))
    bare = tmp_path / "bare_staticMask.fits"
    fits.PrimaryHDU((~bad).astype("i2")).writeto(bare)
    broken = tmp_path / "broken_staticMask.fits"
    broken.write_text("broken")
    with pytest.raises(InputError) as caught:
        MaskSet([str(bare), str(broken)])
    first, second = caught.value.problems
    assert first == f"{bare}: does not record its chip; make it with staticmask"
    assert second.startswith(f"{broken}: ")
