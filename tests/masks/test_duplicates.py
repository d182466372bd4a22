"""Copies of an exposure under other names count once, in whatever order they come."""

from __future__ import annotations

import gzip
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from staticmask_cli import InputError, StaticMaskError, create_masks, explain, sweep
from tests.support.makers import exposure, sky
from tests.support.runs import Run, expected, only, run, small

SHAPE = (16, 20)


def copy(path: Path, name: str) -> Path:
    target = path.parent / name
    target.parent.mkdir(exist_ok=True)
    shutil.copy(path, target)
    return target


def test_copies_under_other_names_count_once_with_a_warning(tmp_path: Path) -> None:
    a, b = (small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("ab"))
    copies = [copy(a, "c_flt.fits"), copy(a, "OrIg_files/a_flt.fits")]
    packed = tmp_path / "a_flt.fits.gz"
    packed.write_bytes(gzip.compress(a.read_bytes()))
    report = run(a, b, *copies, packed, out=tmp_path / "m", min_exposures=2)
    assert report.masks[0].exposures == 2
    assert only(report).all(), "no pixel is low in both"
    states = [e.state for e in report.exposures]
    assert states == ["read", "read", "duplicate", "duplicate", "duplicate"]
    assert len(report.warnings) == 3
    for path in (*copies, packed):
        said = f"{path}: SCI,1: has the same pixels as {a} SCI,1; they count once"
        assert any(warning.startswith(said) for warning in report.warnings)


def test_reports_of_exposures_and_masks_agree_on_which_copy_counts(tmp_path: Path) -> None:
    b = small(tmp_path / "b_flt.fits")
    report = run(b, copy(b, "a_flt.fits"), out=tmp_path / "m")
    used = {record.file: record.used for e in report.exposures for _, record in e.chips}
    assert used == {record.file: record.used for record in report.masks[0].chips}
    assert used == {"a_flt.fits": True, "b_flt.fits": False}


def test_copies_count_each_if_they_may(tmp_path: Path) -> None:
    a = small(tmp_path / "a_flt.fits")
    options = {"min_exposures": 2, "allow_duplicates": True, "update": True}
    for _ in range(2):  # the second run finds both known
        report = run(a, copy(a, "b_flt.fits"), out=tmp_path / "m", **options)
        assert (report.masks[0].exposures, report.warnings) == (2, ())
        assert np.array_equal(only(report), expected([sky(1, SHAPE, low=5, high=5)]))
    assert fits.getval(report.masks[0].path, "DUPLICAT") is True
    with pytest.raises(StaticMaskError, match="allow_duplicates True, not False"):
        run(a, out=tmp_path / "m", **options | {"allow_duplicates": False})


def test_split_repeats_and_their_whole_file_count_once(tmp_path: Path) -> None:
    stis = {"INSTRUME": "STIS", "DETECTOR": "CCD"}
    pixels = [sky(seed, SHAPE) for seed in range(2)]
    paths = [exposure(tmp_path / "o_flt.fits", pixels, primary=stis)]
    for number, array in enumerate(pixels, 1):
        paths.append(exposure(tmp_path / f"o{number}_flt.fits", [array], primary=stis))
    for number, order in enumerate(itertools.permutations(paths)):
        folder = tmp_path / str(number)
        for path in order:
            report = run(path, out=folder, min_exposures=2, update=True)
        (mask,) = report.masks
        assert mask.bad == 0
        assert sum(record.used for record in mask.chips) == 2
        one = run(*paths, out=tmp_path / "one", min_exposures=2, counts=True)
        assert Path(mask.path).read_bytes() == Path(one.masks[0].path).read_bytes()


def test_chips_without_a_sky_are_not_copies(tmp_path: Path) -> None:
    flags = np.zeros(SHAPE, "i2")
    paths = []
    for number in range(3):
        flags[number] = 4
        flat = [np.zeros(SHAPE, "f4")]
        paths.append(exposure(tmp_path / f"{number}_flt.fits", flat, flags=[flags]))
    report = run(*paths, out=tmp_path / "m", final_bits=0, min_exposures=2)
    assert report.masks[0].exposures == 3
    assert (only(report) == 0).sum() == 2 * SHAPE[1]


def test_copies_with_other_flags_are_an_error_or_skipped(tmp_path: Path) -> None:
    paths = []
    for name, bit in (("a", 0), ("b", 4096)):
        flags = np.full(SHAPE, bit, "i2")
        paths.append(small(tmp_path / f"{name}_flt.fits", 1, flags=[flags]))
    assert run(*paths, out=tmp_path / "m").masks[0].exposures == 1, "flags are not read"
    said = r"b_flt\.fits: SCI,1: has the same pixels as .*a_flt\.fits SCI,1 but other DQ flags"
    with pytest.raises(InputError, match=said):
        run(*paths, out=tmp_path / "m", final_bits=0)
    with pytest.raises(InputError, match=said):
        sweep(paths, [4.0], final_bits=0)
    report = run(*paths, out=tmp_path / "m", final_bits=0, keep_going=True)
    assert [e.state for e in report.exposures] == ["read", "failed"]


def test_questions_count_copies_once_too(tmp_path: Path) -> None:
    a = small(tmp_path / "a_flt.fits")
    paths = [a, copy(a, "b_flt.fits")]
    y, x = np.argwhere(expected([sky(1, SHAPE, low=5, high=5)]) == 0)[0]
    for allow in (False, True):
        options = {"min_exposures": 2, "allow_duplicates": allow}
        (row,) = sweep(paths, [4.0], **options)
        (pixel,) = explain(paths, x=int(x) + 1, y=int(y) + 1, **options)
        (mask,) = run(*paths, out=tmp_path / str(allow), **options).masks
        assert row.bad == mask.bad
        assert pixel.is_bad == (mask.read()[y, x] == 0) == allow
        assert len(pixel.chips) == 1 + allow


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), bits=st.sampled_from([None, "0"]), votes=st.sampled_from([1, 2]))
def test_nights_with_copies_are_one_run_byte_for_byte(
    data: st.DataObject, bits: str | None, votes: int, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path, ignore_errors=True)
    tmp_path.mkdir()
    names = ["a", "b", "c", "OrIg_files/a", "sub/b"]
    # Which exposure each of the files has.
    seeds = [data.draw(st.integers(1, 3), label=name) for name in names]
    seeds[3:] = seeds[:2]  # of one name is one exposure
    flags = [np.zeros(SHAPE, "i2")]
    paths = [
        small(tmp_path / f"{name}_flt.fits", seed, flags=flags)
        for name, seed in zip(names, seeds, strict=True)
    ]
    # A header may differ between copies, and change between two nights.
    with fits.open(paths[3], mode="update") as hdus:
        hdus[1].header["MDRIZSKY"] = 1.0
    order = data.draw(st.permutations(paths))
    cut = data.draw(st.integers(1, len(order)))
    options = {"final_bits": bits, "min_exposures": votes, "counts": True}
    for night in (order[:cut], order):
        create_masks(night, output_dir=tmp_path / "nights", update=True, **options)
    create_masks(paths, output_dir=tmp_path / "one", **options)
    (mask,) = (tmp_path / "nights").iterdir()
    assert mask.read_bytes() == (tmp_path / "one" / mask.name).read_bytes()
    assert fits.getval(mask, "NCHIPS") == len(set(seeds))


def test_a_run_is_the_same_whichever_shell_pattern_finds_the_copies(
    staticmask: Run, tmp_path: Path
) -> None:
    a = small(tmp_path / "a_flt.fits")
    copy(a, "OrIg_files/a_flt.fits")
    result = staticmask("**/*_flt.fits", "-m", "2")
    assert result.stdout.split()[-3:] == ["0/320", "0.0000", "1"]
    assert result.stderr.splitlines()[0].startswith("staticmask: warning: a_flt.fits: SCI,1: has")
