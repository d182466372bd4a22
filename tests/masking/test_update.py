"""Exposures added to masks on disk: the same masks as one run over all of them."""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from staticmask_cli import OutputError, StaticMaskError, create_masks
from staticmask_cli.exposures import fits_files, pixels
from staticmask_cli.exposures.fingerprint import fingerprint
from tests.support.makers import exposure, instrument_exposure, sky
from tests.support.runs import Run, small, tree

NAME = "ACSHRC_16x20_1_staticMask.fits"
NAMES = [*(f"n{i}_flt.fits" for i in range(4)), "empty_flt.fits", "odd ☄\n_flt.fits"]
WFC = [f"acs_wfc{i:02d}_flt.fits" for i in (1, 2)]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of exposures of three chips, one of them without exposure time."""
    folder = tmp_path_factory.mktemp("sample")
    flags = np.zeros((16, 20), "i2")
    for seed, name in enumerate(NAMES):
        flags[seed] = 16 * seed
        time = 0.0 if "empty" in name else 400.0
        small(folder / name, seed, flags=[flags], primary={"EXPTIME": time})
    for seed in (1, 2):
        instrument_exposure(folder, "acs_wfc", seed, (16, 20), flags=[np.zeros((16, 20), "i2")] * 2)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), bits=st.sampled_from([None, "0", "16,64"]))
def test_night_after_night_is_one_run_byte_for_byte(
    data: st.DataObject, bits: str | None, sample: Path, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path, ignore_errors=True)  # of the last example
    order = data.draw(st.permutations([*NAMES, *WFC]))
    # An exposure skipped before its chip has a mask is reported only that night.
    if order.index("empty_flt.fits") < min(order.index(n) for n in NAMES if "empty" not in n):
        order = [*(n for n in order if "empty" not in n), "empty_flt.fits"]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order) - 1), max_size=4)))
    cumulative = data.draw(st.booleans())
    for begin, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
        night = order[0 if cumulative else begin : end]
        if night == ["empty_flt.fits"]:  # it alone makes no mask
            night = order[:end]
        create_masks(
            [sample / name for name in night],
            output_dir=tmp_path / "nights",
            update=True,
            final_bits=bits,
        )
    create_masks([sample / n for n in order], output_dir=tmp_path / "one", final_bits=bits)
    assert contents(tmp_path / "nights") == contents(tmp_path / "one")
    assert len(contents(tmp_path / "one")) == 3


def test_known_exposures_are_not_read_and_a_mask_that_holds_all_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    original = pixels.read
    monkeypatch.setattr(
        "staticmask_cli.exposures.pixels.read",
        lambda array: read.append(array.path) or original(array),
    )
    a, b = (small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("ab"))
    create_masks(a, output_dir=tmp_path / "m", update=True)
    report = create_masks([a, b], output_dir=tmp_path / "m", update=True)
    assert [Path(path).name for path in read] == ["a_flt.fits", "b_flt.fits"]
    assert [exposure.state for exposure in report.exposures] == ["known", "read"]
    before = tree(tmp_path / "m")
    report = create_masks([b, a], output_dir=tmp_path / "m", update=True)
    assert len(read) == 2
    assert tree(tmp_path / "m") == before
    assert (report.masks[0].state, report.masks[0].exposures) == ("unchanged", 2)


def with_header(path: Path, index: int = 1, **keywords: object) -> Path:
    with fits.open(path) as hdus:
        hdus[index].header.update(keywords)
        hdus.writeto(path, overwrite=True)
    return path


def with_pixel(path: Path, index: int = 1) -> Path:
    with fits.open(path) as hdus:
        hdus[index].data[3, 4] += 1
        hdus.writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("keywords", [{"MDRIZSKY": 3.5}, {"DATASUM": "12345"}])
def test_an_exposure_whose_header_alone_changed_is_known_by_its_pixels(
    keywords: dict, tmp_path: Path
) -> None:
    a, b = (small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("ab"))
    create_masks(a, output_dir=tmp_path / "m", update=True)
    with_header(a, **keywords)
    report = create_masks([a, b], output_dir=tmp_path / "m", update=True)
    assert [exposure.state for exposure in report.exposures] == ["verified", "read"]
    assert report.warnings == ()
    create_masks([a, b], output_dir=tmp_path / "one")
    assert contents(tmp_path / "m") == contents(tmp_path / "one")
    report = create_masks([a, b], output_dir=tmp_path / "m", update=True)
    assert [exposure.state for exposure in report.exposures] == ["known", "known"]
    assert contents(tmp_path / "m") == contents(tmp_path / "one")


def test_an_exposure_whose_pixels_changed_is_an_error_or_skipped(tmp_path: Path) -> None:
    a, b = (small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("ab"))
    create_masks(a, output_dir=tmp_path / "m", update=True)
    before = tree(tmp_path / "m")
    with_header(with_pixel(a), MEANDARK=3.5)
    options = {"output_dir": tmp_path / "m", "update": True}
    said = r"a_flt\.fits: SCI,1: has changed .* pixels or flags differ; --no-update"
    with pytest.raises(StaticMaskError, match=said):
        create_masks([a, b], **options)
    assert tree(tmp_path / "m") == before
    report = create_masks([a, b], keep_going=True, **options)
    assert [exposure.state for exposure in report.exposures] == ["failed", "read"]
    assert report.masks[0].exposures == 2
    create_masks([a, b], output_dir=tmp_path / "m", update=False)
    create_masks([a, b], **options)


def test_another_calibration_of_an_exposure_in_the_mask_is_an_error(tmp_path: Path) -> None:
    flt, other = (small(tmp_path / f"{n}_flt.fits", n) for n in (1, 2))
    flc = small(tmp_path / "1_flc.fits", 3)
    options = {"output_dir": tmp_path / "m", "update": True}
    create_masks(flt, **options)
    said = r"1_flc\.fits: is the same exposure as 1_flt\.fits, calibrated in another way; give one"
    with pytest.raises(StaticMaskError, match=said):
        create_masks([flc, other], **options)
    report = create_masks([flc, other], keep_going=True, **options)
    assert [exposure.state for exposure in report.exposures] == ["failed", "read"]
    assert report.masks[0].exposures == 2


# What decides that an exposure takes part is part of what identifies it.


@pytest.mark.parametrize("index", [0, 1])
def test_an_exposure_without_exposure_time_is_added_once_it_is_repaired(
    index: int, tmp_path: Path
) -> None:
    a, b = (small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("ab"))
    with_header(a, index, EXPTIME=0.0)
    options = {"output_dir": tmp_path / "m", "update": True}
    report = create_masks([a, b], **options)
    assert [exposure.state for exposure in report.exposures] == ["skipped", "read"]
    with_header(a, index, EXPTIME=400.0)
    report = create_masks([a, b], **options)
    assert [exposure.state for exposure in report.exposures] == ["read", "known"]
    assert report.warnings == ()
    create_masks([a, b], output_dir=tmp_path / "one")
    assert contents(tmp_path / "m") == contents(tmp_path / "one")


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("index", [0, 1])
def test_an_exposure_that_loses_its_exposure_time_is_an_error_or_skipped(
    index: int, verify: bool, tmp_path: Path
) -> None:
    a, b = (small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("ab"))
    options = {"output_dir": tmp_path / "m", "update": True, "verify": verify}
    create_masks(a, **options)
    with_header(a, index, EXPTIME=0.0)
    said = r"a_flt\.fits: SCI,1: was added to the mask, but now EXPTIME is 0; --no-update"
    with pytest.raises(StaticMaskError, match=said):
        create_masks([a, b], **options)
    report = create_masks([a, b], keep_going=True, **options)
    assert [exposure.state for exposure in report.exposures] == ["failed", "read"]
    assert report.masks[0].exposures == 2


def test_an_exposure_that_gave_nothing_may_come_again_with_other_pixels(tmp_path: Path) -> None:
    a, b = (small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("ab"))
    good = a.read_bytes()
    exposure(a, [np.ones((16, 20), "f4")], errors=False)
    options = {"output_dir": tmp_path / "m", "update": True}
    (mask,) = create_masks([a, b], **options).masks
    assert mask.exposures == 1
    a.write_bytes(good)
    (mask,) = create_masks([a, b], **options).masks
    assert mask.exposures == 2
    create_masks([a, b], output_dir=tmp_path / "one")
    assert contents(tmp_path / "m") == contents(tmp_path / "one")


def test_a_file_cut_between_its_repeats_is_completed_the_next_night(tmp_path: Path) -> None:
    path = exposure(
        tmp_path / "o_flt.fits",
        [sky(seed, (16, 20)) for seed in range(3)],
        primary={"INSTRUME": "STIS", "DETECTOR": "CCD"},
        errors=False,
    )
    whole = path.read_bytes()
    other = small(tmp_path / "p_flt.fits", 9, primary={"INSTRUME": "STIS", "DETECTOR": "CCD"})
    options = {"output_dir": tmp_path / "m", "update": True}
    path.write_bytes(whole[: 2880 * 3])  # the primary header and SCI,1
    create_masks([path, other], **options)
    path.write_bytes(whole)
    report = create_masks([path, other], **options)
    assert [exposure.state for exposure in report.exposures] == ["read", "known"]
    one = create_masks([path, other], output_dir=tmp_path / "one")
    assert contents(tmp_path / "m") == contents(tmp_path / "one")
    assert report.masks[0].quality == one.masks[0].quality


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"static_sig": 3}, "static_sig 4, not 3"),
        ({"final_bits": "64"}, "final_bits 96, not 64"),
        ({"final_bits": "None"}, "final_bits 96, not None"),
        ({"group": "sci,1"}, "group None, not sci,1"),
        ({"include_empty": True}, "include_empty False, not True"),
    ],
)
def test_other_settings_are_an_error_that_says_which(
    settings: dict, said: str, tmp_path: Path
) -> None:
    path = small(tmp_path / "a_flt.fits", flags=[np.zeros((16, 20), "i2")])
    folder = tmp_path / "m"
    create_masks(path, output_dir=folder, final_bits="96")
    before = tree(folder)
    settings = {"final_bits": "64,32"} | settings
    with pytest.raises(OutputError, match=f"{NAME}: was made with {said}; --no-update"):
        create_masks(path, output_dir=folder, update=True, **settings)
    assert tree(folder) == before
    create_masks(path, output_dir=folder, **settings)
    create_masks(path, output_dir=folder, update=True, **settings)


def test_the_same_bits_in_other_words_are_the_same_setting(tmp_path: Path) -> None:
    path = small(tmp_path / "a_flt.fits", flags=[np.zeros((16, 20), "i2")])
    for bits in ("96", "64,32", "UNSTABLE+WARM"):
        create_masks(path, output_dir=tmp_path / "m", update=True, final_bits=bits)


def test_a_mask_of_another_identity_is_an_error_and_redone_beside_it(tmp_path: Path) -> None:
    left = small(tmp_path / "left.fits", chips=[{"LTV1": 0.0}])
    right = small(tmp_path / "right.fits", chips=[{"LTV1": -100.0}])
    create_masks(left, output_dir=tmp_path / "m", update=True)
    with pytest.raises(OutputError, match=f"{NAME}: is the mask of .*, not of .*--no-update"):
        create_masks(right, output_dir=tmp_path / "m", update=True)
    assert len(contents(tmp_path / "m")) == 1
    create_masks(right, output_dir=tmp_path / "m", update=False)
    more = small(tmp_path / "more.fits", 2, chips=[{"LTV1": -100.0}])
    (mask,) = create_masks(more, output_dir=tmp_path / "m", update=True).masks
    assert Path(mask.path).name == "ACSHRC_16x20_1_x100y0_staticMask.fits"
    assert mask.exposures == 2


def bare(path: Path) -> None:
    fits.PrimaryHDU(np.ones((16, 20), "i2")).writeto(path, overwrite=True)


def without_table(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 2 * 2880])


def damaged(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[2 * 2880 + 7] ^= 1
    path.write_bytes(raw)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2880])


@pytest.mark.parametrize("harm", [bare, without_table, damaged, cut])
def test_a_mask_that_cannot_be_added_to_is_an_error_and_is_redone(
    harm: object, tmp_path: Path
) -> None:
    a, b = (small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("ab"))
    create_masks(a, output_dir=tmp_path / "m")
    harm(tmp_path / "m" / NAME)
    before = tree(tmp_path / "m")
    with pytest.raises(OutputError, match=f"{NAME}: .*--no-update rebuilds it"):
        create_masks([a, b], output_dir=tmp_path / "m", update=True)
    assert tree(tmp_path / "m") == before
    create_masks([a, b], output_dir=tmp_path / "m")
    create_masks([a, b], output_dir=tmp_path / "m", update=True)


@pytest.mark.parametrize("bits", [None, "0"])
@pytest.mark.parametrize("array", [1, 2])
def test_verify_notices_pixels_that_changed_under_their_header(
    array: int, bits: str | None, tmp_path: Path
) -> None:
    path = exposure(
        tmp_path / "a_flt.fits",
        [sky(1, (16, 20))],
        flags=[np.zeros((16, 20), "i2")],
        errors=False,
    )
    options = {"output_dir": tmp_path / "m", "update": True, "final_bits": bits}
    create_masks(path, **options)
    report = create_masks(path, verify=True, **options)
    assert [exposure.state for exposure in report.exposures] == ["verified"]
    with fits.open(path) as hdus:
        hdus[array].data[3, 4] += 1
        hdus.writeto(path, overwrite=True)
    create_masks(path, **options)  # nobody looks
    if array == 2 and bits is None:  # flags take no part
        create_masks(path, verify=True, **options)
        return
    with pytest.raises(StaticMaskError, match=r"a_flt\.fits: SCI,1: its pixels .*--no-update"):
        create_masks(path, verify=True, **options)


def test_a_dry_run_says_what_would_be_read_skipped_and_written(
    staticmask: Run, tmp_path: Path
) -> None:
    for seed, name in enumerate("ab"):
        small(tmp_path / f"{name}_flt.fits", seed)
    small(tmp_path / "c_flt.fits", 3, primary={"EXPTIME": 0.0})
    assert staticmask("a_flt.fits").returncode == 0
    before = tree(tmp_path)

    def said(*options: str) -> list[str]:
        result = staticmask("-n", "--update", *options)
        assert result.returncode in (0, 3)
        return result.stdout.splitlines()

    end = f"./{NAME}  -/320  -"
    assert said() == [
        "skip   a_flt.fits",
        "read   b_flt.fits",
        "skip   c_flt.fits",
        f"write  {end}  2",
    ]
    assert said("--verify")[0] == "check  a_flt.fits"
    assert said("a_flt.fits") == ["skip   a_flt.fits", f"keep   {end}  1"]
    assert said("-k", "gone.fits", "a_flt.fits")[0] == "fail   gone.fits"
    assert tree(tmp_path) == before


def test_what_another_run_adds_meanwhile_stays(tmp_path: Path) -> None:
    paths = [small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("abc")]
    options = {"output_dir": tmp_path / "m", "update": True}
    create_masks(paths[0], **options)

    def meanwhile(*_: int) -> None:
        create_masks(paths[1], **options)

    create_masks(paths[2], progress=meanwhile, **options)
    create_masks(paths, output_dir=tmp_path / "one")
    assert contents(tmp_path / "m") == contents(tmp_path / "one")


def test_a_mask_that_is_replaced_meanwhile_gets_all_that_was_given(tmp_path: Path) -> None:
    paths = [small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("abc")]
    create_masks(paths[0], output_dir=tmp_path / "m")

    def meanwhile(*_: int) -> None:
        create_masks(paths[1], output_dir=tmp_path / "m")

    create_masks([paths[0], paths[2]], output_dir=tmp_path / "m", update=True, progress=meanwhile)
    create_masks(paths, output_dir=tmp_path / "one")
    assert contents(tmp_path / "m") == contents(tmp_path / "one")


def test_two_versions_of_one_exposure_are_detected_even_in_overlapping_runs(
    tmp_path: Path,
) -> None:
    first, second = (small(tmp_path / folder / "a_flt.fits", n) for n, folder in enumerate("xy"))
    with_header(second, MEANDARK=3.5)
    options = {"output_dir": tmp_path / "m", "update": True}

    def meanwhile(*_: int) -> None:
        create_masks(second, **options)

    with pytest.raises(StaticMaskError, match=r"x/a_flt\.fits: SCI,1: has changed since"):
        create_masks(first, progress=meanwhile, **options)
    create_masks(second, output_dir=tmp_path / "one")
    assert contents(tmp_path / "m") == contents(tmp_path / "one")


@pytest.mark.parametrize("kind", ["calibration", "flags", "time"])
def test_what_is_refused_night_by_night_is_refused_in_overlapping_runs(
    kind: str, tmp_path: Path
) -> None:
    flags = np.zeros((16, 20), "i2")
    name = {"calibration": "a_flc.fits", "flags": "b_flt.fits", "time": "a_flt.fits"}[kind]
    seed = 2 if kind == "calibration" else 1
    first = small(tmp_path / "a_flt.fits", 1, flags=[flags])
    time = 0.0 if kind == "time" else 400.0
    second = tmp_path / "sub" / name
    small(second, seed, flags=[flags + (kind == "flags")], primary={"EXPTIME": time})
    other = small(tmp_path / "c_flt.fits", 3, flags=[flags])
    options = {"output_dir": tmp_path / "m", "update": True, "final_bits": 0}

    def meanwhile(*_: int) -> None:
        create_masks(first, **options)

    with pytest.raises(StaticMaskError, match=r"same exposure|other DQ flags|but now EXPTIME"):
        create_masks([second, other], progress=meanwhile, **options)
    create_masks(first, output_dir=tmp_path / "one", final_bits=0)
    assert contents(tmp_path / "m") == contents(tmp_path / "one")


def test_runs_that_change_the_same_exposures_without_end_end(tmp_path: Path) -> None:
    a, b = (small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("ab"))
    versions = [a, small(tmp_path / "other" / "a_flt.fits", 7)]

    def meanwhile(done: int, of: int) -> None:
        if done == of:
            versions.reverse()
            create_masks(versions[0], output_dir=tmp_path / "m")

    said = "other runs kept changing masks of the same exposures"
    with pytest.raises(OutputError, match=said):
        create_masks(
            [a, b], output_dir=tmp_path / "m", update=True, progress=meanwhile, keep_going=True
        )


def test_exposures_with_the_same_name_and_header_are_distinguished_by_their_pixels(
    tmp_path: Path,
) -> None:
    paths = [small(tmp_path / folder / "a_flt.fits", n) for n, folder in enumerate("xy")]
    options = {"output_dir": tmp_path / "m", "update": True}
    create_masks(paths[0], **options)
    report = create_masks(paths, **options)
    assert [exposure.state for exposure in report.exposures] == ["known", "read"]
    create_masks(paths, output_dir=tmp_path / "one")
    assert contents(tmp_path / "m") == contents(tmp_path / "one")
    report = create_masks(paths, **options)
    assert [exposure.state for exposure in report.exposures] == ["known", "known"]


def test_files_with_the_same_name_are_matched_in_any_order(tmp_path: Path) -> None:
    a, b = (small(tmp_path / folder / "x_flt.fits", n) for n, folder in enumerate("ab"))
    with_header(b, MEANDARK=1.0)
    empty = small(tmp_path / "c" / "x_flt.fits", 3, primary={"EXPTIME": 0.0})
    paths = [a, b, empty]
    create_masks(paths, output_dir=tmp_path / "one")
    for number, order in enumerate(itertools.permutations(paths)):
        options = {"output_dir": tmp_path / str(number), "update": True}
        create_masks(a, **options)
        report = create_masks(order, **options)
        assert [e.path for e in report.exposures] == [str(path) for path in order]
        states = {e.path: e.state for e in report.exposures}
        assert [states[str(path)] for path in paths] == ["known", "read", "skipped"]
        assert contents(tmp_path / str(number)) == contents(tmp_path / "one")


@pytest.mark.parametrize("allow", [False, True])
def test_each_existing_record_matches_only_one_exposure(allow: bool, tmp_path: Path) -> None:
    # Without a sky, or if copies count, equal pixels may be of several exposures.
    flags = np.zeros((16, 20), "i2")
    flags[2, 3] = 4
    pixels = sky(1, (16, 20)) if allow else np.full((16, 20), 7, "f4")
    a, b = (exposure(tmp_path / n / "c_flt.fits", [pixels], flags=[flags]) for n in "ab")
    with_header(b, MEANDARK=1.0)
    options = {"min_exposures": 2, "counts": True, "final_bits": 0, "allow_duplicates": allow}
    (one,) = create_masks([a, b], output_dir=tmp_path / "one", **options).masks
    options |= {"output_dir": tmp_path / "m", "update": True}
    for night in (a, b, [a, b]):
        create_masks(night, **options)
    assert contents(tmp_path / "m") == contents(tmp_path / "one")
    with_header(a, MDRIZSKY=3.0)
    for night in (a, [b, a]):
        (mask,) = create_masks(night, **options).masks
        assert (mask.bad, mask.exposures) == (one.bad, 2)


def test_a_dry_run_counts_an_exposure_whose_header_changed_once(tmp_path: Path) -> None:
    a = small(tmp_path / "a_flt.fits")
    options = {"output_dir": tmp_path / "m", "update": True}
    create_masks(a, **options)
    with_header(a, MDRIZSKY=1.0)
    (mask,) = create_masks(a, dry_run=True, **options).masks
    assert mask.exposures == 1


def test_a_renamed_calibration_of_an_exposure_in_the_mask_is_an_error(tmp_path: Path) -> None:
    names = {"one.fits": "j8bt06nyq_flt.fits", "two.fits": "j8bt06nyq_flc.fits"}
    one, two = (
        small(tmp_path / name, seed, primary={"FILENAME": filename})
        for seed, (name, filename) in enumerate(names.items())
    )
    create_masks(one, output_dir=tmp_path / "m", update=True)
    with pytest.raises(StaticMaskError, match=r"two\.fits: is the same exposure as one\.fits"):
        create_masks(two, output_dir=tmp_path / "m", update=True)


def test_a_calibration_that_cannot_be_used_takes_no_other_one_with_it(tmp_path: Path) -> None:
    flt, flc = (small(tmp_path / f"j8_{s}.fits", n) for n, s in enumerate(("flt", "flc")))
    good = flc.read_bytes()
    for harm in (good[:3000], small(flc, 1, primary={"EXPTIME": 0.0}).read_bytes()):
        flc.write_bytes(harm)
        (mask,) = create_masks([flt, flc], output_dir=tmp_path / "m", keep_going=True).masks
        assert [record.file for record in mask.chips if record.used] == ["j8_flt.fits"]


def test_a_gzipped_mask_is_found_by_its_longer_name_too(tmp_path: Path) -> None:
    paths = [small(tmp_path / f"{x}_flt.fits", x, chips=[{"LTV1": -1.0 * x}]) for x in (0, 100)]
    report = create_masks(paths, output_dir=tmp_path / "m")
    for mask in (Path(m.path) for m in report.masks):
        mask.with_name(f"{mask.name}.gz").write_bytes(gzip.compress(mask.read_bytes()))
        mask.unlink()
    for path in paths:
        with pytest.raises(OutputError, match=r"\.gz: is gzipped; unpack it"):
            create_masks(path, output_dir=tmp_path / "m", update=True)


def test_overwrite_replaces_no_mask_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = (small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("ab"))
    options = {"output_dir": tmp_path / "m", "update": True, "overwrite": True}
    create_masks(a, **options)
    before = tree(tmp_path / "m")
    real, access = fits_files.measure_extent, os.access

    def denied(path: Path, *more: object) -> object:
        if path.name == NAME:  # as for a user who is not root
            raise PermissionError
        return real(path, *more)

    monkeypatch.setattr(fits_files, "measure_extent", denied)
    monkeypatch.setattr(os, "access", lambda p, m: Path(p).name != NAME and access(p, m))
    with pytest.raises(OutputError, match="permission denied; move it away"):
        create_masks(b, **options)
    monkeypatch.undo()
    assert tree(tmp_path / "m") == before


def test_a_gzipped_mask_is_an_error_not_a_new_mask(tmp_path: Path) -> None:
    a, b = (small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("ab"))
    options = {"output_dir": tmp_path / "m", "update": True}
    create_masks(a, **options)
    mask = tmp_path / "m" / NAME
    (tmp_path / "m" / f"{NAME}.gz").write_bytes(gzip.compress(mask.read_bytes()))
    mask.unlink()
    before = tree(tmp_path / "m")
    with pytest.raises(OutputError, match=rf"{NAME}\.gz: is gzipped; unpack it"):
        create_masks(b, **options)
    assert tree(tmp_path / "m") == before


@pytest.mark.parametrize("locale", ["en_US.ISO-8859-1", "C"])
def test_a_name_is_the_same_in_every_locale(locale: str, staticmask: Run, tmp_path: Path) -> None:
    small(tmp_path / "exposición_flt.fits")
    strict = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert staticmask("--update", "-m", "2", LC_ALL="C.UTF-8").returncode == 0
    before = tree(tmp_path)
    result = staticmask("--update", "-m", "2", LC_ALL=locale, **strict)
    assert (result.returncode, result.stdout.split()[-3:]) == (0, ["0/320", "0.0000", "1"])
    assert tree(tmp_path) == before


def test_verify_without_update_is_reported_to_do_nothing(tmp_path: Path) -> None:
    report = create_masks(small(tmp_path / "a_flt.fits"), output_dir=tmp_path / "m", verify=True)
    assert report.warnings == ("verify does nothing without update: every exposure is read",)


# The hash of pixels.


@pytest.mark.parametrize(
    "change",
    [np.flipud, np.fliplr, np.rot90, lambda a: np.roll(a, 1, 0), lambda a: a[:, ::-1][::-1]],
)
@pytest.mark.parametrize("shape", [(40, 40), (1024, 1024)])
def test_the_order_of_pixels_is_part_of_the_hash(change: object, shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).normal(40, 6, shape).astype("f4")
    assert fingerprint(change(pixels)) != fingerprint(pixels)


@pytest.mark.parametrize("rows", [(0, 1), (3, 500), (17, 1041)])
def test_two_rows_that_change_places_change_the_hash(rows: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).normal(40, 6, (1100, 4096)).astype("f4")
    swapped = pixels.copy()
    swapped[list(rows)] = pixels[list(rows[::-1])]
    assert fingerprint(swapped) != fingerprint(pixels)


@settings(max_examples=60)
@given(st.data(), st.sampled_from(["f4", "f8", "i2", "i4", "u1"]))
def test_a_single_pixel_changes_the_hash(data: st.DataObject, dtype: str) -> None:
    rows, columns = data.draw(st.tuples(st.integers(1, 700), st.integers(1, 900)))
    pixels = np.random.default_rng(rows).integers(0, 200, (rows, columns)).astype(dtype)
    same = fingerprint(pixels.copy(order="F"))
    assert fingerprint(pixels) == same
    y, x = data.draw(st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1)))
    pixels[y, x] += 1
    assert fingerprint(pixels) != same


def test_shape_and_type_are_part_of_the_hash() -> None:
    zeros = np.zeros((4, 6), "f4")
    others = [zeros.reshape(6, 4), zeros.astype("f8"), zeros.astype("i4"), np.zeros((4, 5), "f4")]
    assert len({fingerprint(array) for array in [zeros, *others]}) == 5
    constant = np.broadcast_to(np.float64(3), (10**5, 10**5))  # 80 GB, were it spread out
    assert fingerprint(constant) != fingerprint(np.broadcast_to(np.float64(4), (10**5, 10**5)))
