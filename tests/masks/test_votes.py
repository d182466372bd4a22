"""How often a pixel must be bad: votes, counts, and masks recounted without an exposure."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from staticmask_cli import ConfigError, OutputError, create_masks, recount
from staticmask_cli.masks.builder import MaskBuilder
from staticmask_cli.masks.records import ChipRecord, Records
from staticmask_cli.settings import MinExposures
from staticmask_cli.statistics.sky import low_pixels, sky_statistics
from staticmask_cli.statistics.votes import BitCounter, pack
from tests.support.makers import REAL, exposure, instrument_exposure, sky
from tests.support.runs import Run, small, tree

NAME = "ACSHRC_16x20_1_staticMask.fits"
SHAPE = (16, 20)
VOTES = [1, 2, 3, 5, 9, 0.1, 0.25, 0.5, 2 / 3, 0.99]


def arrays(count: int, *, with_nan: bool = True) -> list[np.ndarray]:
    """Return skies of one chip; some pixels are low in several, some hold no number in some."""
    rng = np.random.default_rng(7)
    always, often = rng.random((2, *SHAPE)) < 0.05
    found = []
    for n in range(count):
        pixels = sky(n, SHAPE, low=5, high=5)
        pixels[always] = -900
        pixels[often & (rng.random(SHAPE) < 0.5)] = -800
        if with_nan:
            pixels[rng.random(SHAPE) < 0.1] = np.nan
            pixels[0, n % SHAPE[1]] = np.inf
        found.append(pixels)
    return found


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("votes")
    flags = [np.where(np.arange(320).reshape(SHAPE) % (n + 50) == 0, 4, 0) for n in range(6)]
    return [
        exposure(folder / f"e{n}_flt.fits", [array], flags=[flags[n].astype("i2")], errors=False)
        for n, array in enumerate(arrays(6))
    ]


def counted(pixels: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return by the plainest means how often each pixel is low, and how often it is a number."""
    low = [low_pixels(a, sky_statistics(a), 4.0) for a in pixels]
    return np.sum(low, axis=0), np.sum([np.isfinite(a) for a in pixels], axis=0)


def enough(count: np.ndarray, coverage: np.ndarray, votes: float) -> np.ndarray:
    """Return which pixels are bad, pixel by pixel."""
    bad = np.zeros(count.shape, bool)
    for place in np.ndindex(count.shape):
        bad[place] = count[place] >= 1 and (
            count[place] >= votes
            if votes >= 1
            else Fraction(int(count[place])) >= Fraction(f"{votes:.12g}") * int(coverage[place])
        )
    return bad


# The counters.


@given(
    rows=st.lists(st.lists(st.booleans(), min_size=21, max_size=21), max_size=40),
    held=st.lists(st.integers(0, 70000), min_size=21, max_size=21),
)
def test_upright_counters_count(rows: list[list[bool]], held: list[int]) -> None:
    counter = BitCounter()
    for row in rows[::2]:
        counter.add(pack(np.array(row)))
    counter.add_counts(np.array(held))
    for row in rows[1::2]:
        counter.add(pack(np.array(row)))
    expected = np.array(held) + np.array(rows, dtype=int).reshape(-1, 21).sum(axis=0)
    assert counter.counts(21).tolist() == expected.tolist()


def test_adding_to_a_counter_changes_no_input() -> None:
    bits = np.array([255, 1], np.uint8)
    counter = BitCounter()
    for _ in range(5):
        counter.add(bits)
    assert bits.tolist() == [255, 1]
    assert counter.counts(16).tolist() == [5] * 8 + [0] * 7 + [5]


@given(st.data())
def test_unique_pixels_are_bad_in_one_chip_only(data: st.DataObject) -> None:
    pixels = st.lists(st.booleans(), min_size=30, max_size=30)
    bad = [np.array(one) for one in data.draw(st.lists(pixels, min_size=1, max_size=5))]
    # The first chips in a mask that is added to the others, before or after them.
    begin = data.draw(st.integers(0, len(bad)))
    is_first = data.draw(st.booleans())
    end = data.draw(st.integers(begin, len(bad)))  # of those that are in both
    records = [
        ChipRecord(file=f"{n}", extver=1, pixel_hash=f"{n}", used=True) for n in range(len(bad))
    ]
    existing, mask = MaskBuilder((5, 6)), MaskBuilder((5, 6))
    for n in range(end):
        existing.add(pack(bad[n]), None, f"{n}")
    held = existing.build(records=Records.of(records[:end]))
    if is_first:
        mask.add_mask(held)
    for n in range(end if is_first else begin, len(bad)):
        mask.add(pack(bad[n]), None, f"{n}")
    if not is_first:
        mask.add_mask(held)
    how_often = np.sum(bad, axis=0)
    for record, one in zip(mask.build(records=Records.of(records)).records, bad, strict=True):
        assert record.unique.tolist() == np.flatnonzero(one & (how_often == 1)).tolist()


@pytest.mark.parametrize(
    ("votes", "coverage", "least"),
    [
        ("1", 0, 1),
        ("3", 2, 3),
        ("0.5", 0, 1),
        ("0.5", 5, 3),
        ("0.1", 30, 3),  # in doubles 0.1 x 30 is above 3
        ("10%", 9, 1),
        ("all", 0, 1),
        ("all", 7, 7),
        ("100%", 7, 7),
    ],
)
def test_a_share_is_exact_and_one_at_the_least(votes: str, coverage: int, least: int) -> None:
    assert MinExposures.of(votes).needed(coverage) == least


# Masks.


@pytest.mark.parametrize("votes", VOTES)
def test_a_mask_holds_what_was_bad_often_enough(votes: float, paths: list[Path], tmp_path) -> None:
    (mask,) = create_masks(paths, output_dir=tmp_path, min_exposures=votes, counts=True).masks
    count, coverage = counted(arrays(6))
    assert coverage.min() < coverage.max() == 6
    with fits.open(mask.path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "EXPOSURES", "COUNT", "COVERAGE"]
        np.testing.assert_array_equal(hdus["COUNT"].data, count)
        np.testing.assert_array_equal(hdus["COVERAGE"].data, coverage)
        assert hdus["COUNT"].data.dtype == np.uint8
        np.testing.assert_array_equal(hdus[0].data == 0, enough(count, coverage, votes))
        assert hdus[0].header["MINEXPOS"] == float(f"{votes:.12g}")
    without = tmp_path / "without"
    (same,) = create_masks(paths, output_dir=without, min_exposures=votes).masks
    np.testing.assert_array_equal(same.read(), mask.read())
    with fits.open(same.path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "EXPOSURES"]


def test_checksums_of_all_extensions_are_right(paths: list[Path], tmp_path: Path) -> None:
    (mask,) = create_masks(paths, output_dir=tmp_path, counts=True).masks
    with fits.open(mask.path, checksum=True, disable_image_compression=True) as hdus:
        for hdu in hdus:  # a wrong one is a warning, and warnings are errors
            assert hdu.data is not None
            assert {"CHECKSUM", "DATASUM"} <= set(hdu.header)


def test_flags_vote_too_and_a_chip_without_sky_has_no_voice(tmp_path: Path) -> None:
    flags = np.zeros(SHAPE, "i2")
    flags[2, 3] = 4
    a = small(tmp_path / "a_flt.fits", 1, flags=[flags])
    b = small(tmp_path / "b_flt.fits", 2, flags=[flags * 0])
    blank = exposure(tmp_path / "c_flt.fits", [np.full(SHAPE, 7, "f4")], flags=[flags])
    options = {"output_dir": tmp_path, "counts": True}
    (mask,) = create_masks([a, b, blank], final_bits="0", min_exposures=2, **options).masks
    with fits.open(mask.path) as hdus:
        assert hdus["COUNT"].data[2, 3] == 2  # in a and in the one without sky
        assert set(np.unique(hdus["COVERAGE"].data)) == {3}
        assert hdus[0].data[2, 3] == 0
    (mask,) = create_masks([a, b, blank], **options).masks
    with fits.open(mask.path) as hdus:
        assert set(np.unique(hdus["COVERAGE"].data)) == {2}


def test_repeats_in_one_file_vote_each(tmp_path: Path) -> None:
    (mask,) = create_masks(REAL, output_dir=tmp_path, min_exposures=2).masks
    with fits.open(REAL) as hdus:
        count, _ = counted([hdu.data for hdu in hdus if hdu.name == "SCI"])
    np.testing.assert_array_equal(mask.read() == 0, count == 2)
    assert 0 < mask.bad < (count > 0).sum()


def test_unreachable_votes_are_reported(staticmask: Run, tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    said = f"staticmask: warning: {NAME}: min_exposures 2 exceeds the 1 available"
    result = staticmask("a_flt.fits", "-m", "2", "--counts")
    assert (result.returncode, result.stderr) == (0, f"{said} (min_exposures)\n")
    result = staticmask("recount", NAME, "-m", "2")
    assert (result.returncode, result.stderr) == (0, f"{said} (min_exposures)\n")
    assert result.stdout == f"{NAME}  0/320  0.0000  1\n"


# Recounting.


@pytest.mark.parametrize("bits", [None, "0"])
@pytest.mark.parametrize("votes", VOTES)
def test_recounting_is_a_fresh_run_byte_for_byte(
    votes: float, bits: str | None, paths: list[Path], tmp_path: Path
) -> None:
    options = {"counts": True, "final_bits": bits}
    create_masks(paths, output_dir=tmp_path / "m", min_exposures=3, **options)
    (told,) = recount(tmp_path / "m" / NAME, votes)
    (fresh,) = create_masks(
        paths, output_dir=tmp_path / "fresh", min_exposures=votes, **options
    ).masks
    assert (tmp_path / "m" / NAME).read_bytes() == Path(fresh.path).read_bytes()
    assert (told.bad, told.exposures) == (fresh.bad, fresh.exposures)
    assert told.quality == fresh.quality


def test_the_command_recounts_several_masks_at_once(staticmask: Run, tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        instrument_exposure(tmp_path, "acs_wfc", seed, (120, 130))
    assert staticmask("*flt.fits", "-o", "m", "--counts").returncode == 0
    assert staticmask("*flt.fits", "-o", "two", "--counts", "-m", "2").returncode == 0
    for entry in ("m", "m/*_staticMask.fits"):
        result = staticmask("recount", entry, "--min-exposures", "2")
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.count("\n") == 2
        for path in (tmp_path / "two").iterdir():
            assert path.read_bytes() == (tmp_path / "m" / path.name).read_bytes()
    assert len(list((tmp_path / "m").iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["recount", "plain", "-m", "2"],
            "ACSHRC_16x20_1_staticMask.fits: has no COUNT extension",
        ),
        (["recount", "-m", "2"], "Missing argument 'MASK...'"),
        (["recount", "m"], "--min-exposures is missing; give a number, a share or all"),
        (["recount", "gone.fits", "-m", "2"], "gone.fits: file not found"),
        (["recount", "a_flt.fits", "-m", "2"], "a_flt.fits: is not a mask with a table"),
        (["recount", "m", "-m", "0"], "--min-exposures: '0' is not a number of exposures"),
        (["recount", "m", "-m", "1.5"], "--min-exposures: '1.5' is not a number of exposures"),
        (["recount", "m", "-m", "nan"], "--min-exposures: 'nan' is not a number of exposures"),
        (["recount", "m", "-m", "2", "--static-sig", "3"], "No such option '--static-sig'"),
        (["recount", "m", "-m", "2", "-n"], "No such option '-n'"),
    ],
)
def test_masks_that_cannot_be_recounted_are_reported_and_unchanged(
    arguments: list[str], said: str, staticmask: Run, tmp_path: Path
) -> None:
    small(tmp_path / "a_flt.fits")
    create_masks(tmp_path / "a_flt.fits", output_dir=tmp_path / "plain")
    create_masks(tmp_path / "a_flt.fits", output_dir=tmp_path / "m", counts=True)
    before = {name: held for name, (held, *_) in tree(tmp_path).items()}
    result = staticmask(*arguments)
    assert result.returncode in (1, 2)
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    # A lock was there, but no file is another.
    assert {name: held for name, (held, *_) in tree(tmp_path).items()} == before


def test_however_a_folder_is_spelled_it_has_one_lock_and_links_stay(
    staticmask: Run, tmp_path: Path
) -> None:
    instrument_exposure(tmp_path, "acs_wfc", 1, (16, 20))
    (first, second) = create_masks(
        tmp_path / "*flt.fits", output_dir=tmp_path / "m", counts=True
    ).masks
    link = tmp_path / "l_staticMask.fits"
    link.symlink_to(first.path)
    names = [Path(first.path).name, Path(second.path).name]
    litter = tmp_path / "m" / f".{names[0]}.01234567.part"
    litter.write_bytes(b"of a killed run")
    result = staticmask("recount", link, f"m/../m/{names[1]}", "-m", "2", "--lock-timeout", "0")
    assert result.returncode == 0, result.stderr
    assert link.is_symlink()
    assert fits.getval(first.path, "MINEXPOS") == fits.getval(second.path, "MINEXPOS") == 2
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == names


def test_a_gzipped_mask_is_not_recounted(tmp_path: Path) -> None:
    create_masks(small(tmp_path / "a_flt.fits"), output_dir=tmp_path, counts=True)
    path = tmp_path / f"{NAME}.gz"
    path.write_bytes(gzip.compress((tmp_path / NAME).read_bytes()))
    with pytest.raises(OutputError, match="is gzipped; unpack it first"):
        recount(path, 2)


@pytest.mark.parametrize("count", [-1, 9])
def test_counts_that_cannot_be_are_damage(count: int, tmp_path: Path) -> None:
    # Written by somebody else, with checksums that are right.
    create_masks(small(tmp_path / "a_flt.fits"), output_dir=tmp_path / "m", counts=True)
    with fits.open(tmp_path / "m" / NAME) as hdus:
        hdus["COUNT"].data = np.full(hdus["COUNT"].shape, count, np.int16)
        hdus["COUNT"].add_checksum()
        hdus.writeto(tmp_path / NAME)
    with pytest.raises(OutputError, match="is damaged"):
        recount(tmp_path / NAME, 2)


def test_a_damaged_mask_is_not_recounted(tmp_path: Path) -> None:
    create_masks(small(tmp_path / "a_flt.fits"), output_dir=tmp_path, counts=True)
    path = tmp_path / NAME
    whole = bytearray(path.read_bytes())
    with fits.open(path, disable_image_compression=True) as hdus:
        place = hdus["COUNT"].fileinfo()["datLoc"] + 9
    whole[place] ^= 1
    path.write_bytes(whole)
    with pytest.raises(
        OutputError, match="is damaged: its checksums are wrong; rerun with --counts"
    ):
        recount(path, 2)
    assert path.read_bytes() == whole


# Night after night.


@pytest.mark.slow
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), votes=st.sampled_from([1, 2, 0.5]), counts=st.booleans())
def test_nights_with_votes_are_one_run_byte_for_byte(
    data: st.DataObject, votes: float, counts: bool, paths: list[Path], tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "m", ignore_errors=True)
    order = data.draw(st.permutations(paths))
    cut = data.draw(st.integers(1, len(order) - 1))
    options = {"min_exposures": votes, "counts": counts, "final_bits": "0"}
    for night in (order[:cut], order[cut:]):
        create_masks(night, output_dir=tmp_path / "m", update=True, **options)
    create_masks(paths, output_dir=tmp_path / "one", update=False, **options | {"counts": True})
    if votes == 1 and not counts:
        create_masks(paths, output_dir=tmp_path / "one", **options)
    assert (tmp_path / "m" / NAME).read_bytes() == (tmp_path / "one" / NAME).read_bytes()


def test_a_mask_that_has_counts_keeps_them(paths: list[Path], tmp_path: Path) -> None:
    create_masks(paths[:3], output_dir=tmp_path / "m", counts=True)
    create_masks(paths[3:], output_dir=tmp_path / "m", update=True)
    create_masks(paths, output_dir=tmp_path / "one", counts=True)
    assert (tmp_path / "m" / NAME).read_bytes() == (tmp_path / "one" / NAME).read_bytes()


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        ({}, {"counts": True}, "no counts"),
        ({"min_exposures": 2}, {"min_exposures": 2}, "no counts"),
        ({"counts": True}, {"min_exposures": 0.5}, "min_exposures 1, not 0.5"),
    ],
)
def test_other_votes_cannot_be_added(
    first: dict, then: dict, said: str, paths: list[Path], tmp_path: Path
) -> None:
    create_masks(paths[:2], output_dir=tmp_path / "m", **first)
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=said):
        create_masks(paths[2:], output_dir=tmp_path / "m", update=True, **then)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("options", [{}, {"min_exposures": 2}])
def test_exposures_that_another_run_adds_meanwhile_count_once(
    options: dict, paths: list[Path], tmp_path: Path
) -> None:
    options |= {"output_dir": tmp_path / "m", "update": True}
    create_masks(paths[0], **options)
    done = []

    def meanwhile(*_: int) -> None:
        if not done:
            done.append(create_masks(paths[1:3], **options))

    report = create_masks(paths[1:], progress=meanwhile, **options)
    assert [e.state for e in report.exposures] == ["known", "known", "read", "read", "read"]
    create_masks(paths, **options | {"output_dir": tmp_path / "one"})
    assert (tmp_path / "m" / NAME).read_bytes() == (tmp_path / "one" / NAME).read_bytes()


def test_counts_that_another_run_makes_meanwhile_stay(paths: list[Path], tmp_path: Path) -> None:
    options = {"output_dir": tmp_path / "m", "update": True}

    def meanwhile(*_: int) -> None:
        if not (tmp_path / "m").exists():
            create_masks(paths[0], counts=True, **options)

    create_masks(paths[1:], progress=meanwhile, **options)
    create_masks(paths, output_dir=tmp_path / "one", counts=True)
    assert (tmp_path / "m" / NAME).read_bytes() == (tmp_path / "one" / NAME).read_bytes()


@pytest.mark.parametrize(
    "votes", ["x", 0, -1, 1.5, 0.9999999999999, 40000, True, "", "1e9", float("nan")]
)
def test_an_invalid_number_of_exposures_is_refused(votes: object, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="min_exposures"):
        create_masks(small(tmp_path / "a_flt.fits"), output_dir=tmp_path, min_exposures=votes)


@pytest.mark.parametrize("votes", ["1.0", "1.", "1e-0", 1.0, np.float64(1)])
def test_one_and_a_point_may_mean_one_exposure_or_all(votes: object, tmp_path: Path) -> None:
    meanings = "is ambiguous: use 1 for one exposure, or 100% for all of them"
    with pytest.raises(ConfigError, match=rf"min_exposures: '1.*' {meanings}"):
        create_masks(small(tmp_path / "a_flt.fits"), output_dir=tmp_path, min_exposures=votes)


def test_all_means_every_exposure_that_covers_the_pixel(paths: list[Path], tmp_path: Path) -> None:
    count, coverage = counted(arrays(6))
    for votes in ("all", "100%"):
        (mask,) = create_masks(paths, output_dir=tmp_path, min_exposures=votes, counts=True).masks
        np.testing.assert_array_equal(mask.read() == 0, (count == coverage) & (count > 0))
        assert fits.getval(mask.path, "MINEXPOS") == "all"
    whole = Path(mask.path).read_bytes()
    recount(mask.path, 2)
    assert Path(mask.path).read_bytes() != whole
    recount(mask.path, "all")
    assert Path(mask.path).read_bytes() == whole
    (half,) = create_masks(paths, output_dir=tmp_path, min_exposures="50%", counts=True).masks
    np.testing.assert_array_equal(half.read() == 0, enough(count, coverage, 0.5))


def test_a_mask_of_all_exposures_takes_more_of_them(paths: list[Path], tmp_path: Path) -> None:
    for night in (paths[:2], paths[2:]):
        create_masks(night, output_dir=tmp_path / "m", update=True, min_exposures="all")
    create_masks(paths, output_dir=tmp_path / "one", min_exposures="all", counts=True)
    assert (tmp_path / "m" / NAME).read_bytes() == (tmp_path / "one" / NAME).read_bytes()
    with pytest.raises(OutputError, match=r"min_exposures all, not 0\.5"):
        create_masks(paths, output_dir=tmp_path / "m", update=True, min_exposures=0.5)
