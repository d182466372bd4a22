"""Masks of parts of the exposures, combined in any way: the masks of one run over all."""

from __future__ import annotations

import contextlib
import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from staticmask_cli import InputError, OutputError, StaticMask, combine, create_masks, edit
from staticmask_cli.exposures.shards import is_in_shard
from staticmask_cli.settings import Shard
from tests.support.runs import Run, small, tree
from tests.support.samples import SHAPE, VOTES, contents, write_sample

NAME = "ACSHRC_16x20_1_staticMask.fits"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return folder


def one_run(paths: list[Path], folder: Path, **options: object) -> dict[str, bytes]:
    """Return the masks of one run; with counts, if these are needed to combine masks."""
    counts = "counts" in options or "min_exposures" in options
    create_masks(paths, output_dir=folder, keep_going=True, **options | {"counts": counts})
    return contents(folder)


def grown(data: st.DataObject, folders: list[Path], root: Path, **options: object) -> Path:
    """Combine masks in a random tree; return the folder of its root."""
    number = 0
    while len(folders) > 1 or not number:
        size = data.draw(st.integers(1, len(folders)))
        chosen, folders = folders[:size], folders[size:]
        out = root / f"node{number}"
        combine(data.draw(st.permutations(chosen)), output_dir=out, **options)
        folders, number = data.draw(st.permutations([*folders, out])), number + 1
    return folders[0]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), options=st.sampled_from(VOTES), copies=st.booleans())
def test_any_tree_of_any_parts_is_one_run_byte_for_byte(
    data: st.DataObject, options: dict, copies: bool, sample: Path, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path, ignore_errors=True)  # of the last example
    tmp_path.mkdir()
    paths = sorted(sample.glob("*.fits"))
    if copies and not {"counts", "min_exposures"} & options.keys():
        for name in ("h0", "h3", "o1"):  # count once, whatever is first
            paths.append(Path(shutil.copy(sample / f"{name}_flt.fits", tmp_path / f"{name}b.fits")))
            paths.append(Path(shutil.copy(sample / f"{name}_flt.fits", tmp_path / f"a{name}.fits")))
    paths = data.draw(st.permutations(paths))
    n = data.draw(st.integers(1, 5))
    part_of = [data.draw(st.integers(0, n - 1)) for _ in paths]
    # A part that cannot open any exposure makes no mask.
    safe = next(k for k, path in zip(part_of, paths, strict=True) if path.name[0] in "ho")
    part_of = [safe if p.name[:3] == "cut" else k for p, k in zip(paths, part_of, strict=True)]
    folders = []
    for number in set(part_of):
        part = [path for path, k in zip(paths, part_of, strict=True) if k == number]
        folders.append(tmp_path / f"part{number}")
        create_masks(part, output_dir=folders[-1], keep_going=True, shard="1/1", **options)
    root = grown(data, folders, tmp_path)
    assert contents(root) == one_run(paths, tmp_path / "one", **options)
    assert len(contents(root)) == 4


@pytest.mark.parametrize("votes", [1, 2])
def test_a_shard_of_each_number_is_a_part_and_updates_combine_too(
    votes: int, sample: Path, tmp_path: Path
) -> None:
    paths = [path for path in sorted(sample.glob("*.fits")) if path.name[:3] != "cut"]
    options = {"min_exposures": votes, "update": True}
    for number in range(3):
        for some in (paths[::2], paths):
            out = tmp_path / f"part{number}"
            create_masks(some, output_dir=out, shard=f"{number}/3", **options)
    combine(tmp_path / "part*" / "*_staticMask.fits", output_dir=tmp_path / "all")
    counts = {"counts": True} if votes == 2 else {}
    one = (
        one_run(paths, tmp_path / "one", min_exposures=votes, **counts)
        if counts
        else one_run(paths, tmp_path / "one")
    )
    assert contents(tmp_path / "all") == one


@pytest.fixture
def halves(tmp_path: Path) -> list[Path]:
    """Return the masks of two exposures each, of four."""
    paths = [small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("abcd")]
    return halves_of(paths, tmp_path)


def halves_of(paths: list[Path], folder: Path, **options: object) -> list[Path]:
    middle = len(paths) // 2
    found = []
    for number, some in enumerate((paths[:middle], paths[middle:])):
        (mask,) = create_masks(some, output_dir=folder / f"half{number}", **options).masks
        found.append(Path(mask.path))
    return found


def test_an_exposure_in_several_masks_counts_once(halves: list[Path], tmp_path: Path) -> None:
    exposures = sorted(tmp_path.glob("*_flt.fits"))
    create_masks(exposures[1:3], output_dir=tmp_path / "middle")
    combine([*halves, tmp_path / "middle"], output_dir=tmp_path / "all")
    combine([tmp_path / "all", halves[1]], output_dir=tmp_path / "again")
    one = one_run(exposures, tmp_path / "one")
    assert contents(tmp_path / "all") == contents(tmp_path / "again") == one


def test_with_counts_masks_must_be_disjoint_or_one_has_all_of_the_other(tmp_path: Path) -> None:
    exposures = [small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("abcd")]
    halves = halves_of(exposures, tmp_path, counts=True)
    for name, some in (("all", exposures), ("middle", exposures[1:3])):
        create_masks(some, output_dir=tmp_path / name, counts=True)
    combine([*halves, tmp_path / "all", tmp_path / "middle"], output_dir=tmp_path / "same")
    assert contents(tmp_path / "same") == contents(tmp_path / "all")
    with pytest.raises(InputError, match="so how often pixels were bad is unknown") as error:
        combine([*halves, tmp_path / "middle"], output_dir=tmp_path / "no")
    (line,) = error.value.problems
    assert line.startswith(f"{tmp_path}/middle/{NAME}: shares 1 SCI extension with {halves[0]}, ")
    assert not (tmp_path / "no").exists()


# Masks that do not belong together.


def changed(path: Path) -> Path:
    with fits.open(path) as hdus:
        hdus[1].data[3, 4] += 1
        hdus.writeto(path, overwrite=True)
    return path


def other_pixels(folder: Path) -> dict:
    changed(folder / "a_flt.fits")
    return {"of": "a_flt.fits"}


def other_calibration(folder: Path) -> dict:
    return {"of": small(folder / "a_flc.fits", 9).name}


def all_changed(folder: Path) -> dict:
    for name in "ab":
        changed(folder / f"{name}_flt.fits")
    return {"of": "[ab]_flt.fits"}


Harm = Callable[[Path], dict]


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (other_pixels, r"half0/.*: a_flt\.fits SCI,1: differs from that in .*more/.*; make the"),
        (
            all_changed,
            r"half0/.*: a_flt\.fits SCI,1: differs .* \(and 1 more such SCI extensions\)",
        ),
        (other_calibration, r"more/.*: a_flc\.fits SCI,1: is the same exposure as .*half0/.*a_flt"),
        (lambda _: {"static_sig": 5}, "more/.*: was made with static_sig 5, not 4 as .*half0/"),
        (lambda _: {"final_bits": 0}, "more/.*: was made with final_bits 0, not None as .*half0/"),
        (lambda _: {"counts": True}, "half0/.*: has no counts, but .*more/.* has; .*1 more"),
        (
            lambda _: {"min_exposures": 2},
            "more/.*: was made with min_exposures 2, not 1 as .*half0/",
        ),
    ],
)
def test_exposures_settings_and_counts_must_agree(
    harm: Harm, said: str, halves: list[Path], tmp_path: Path
) -> None:
    options = harm(tmp_path)
    small(tmp_path / "e_flt.fits", 5, flags=[np.zeros(SHAPE, "i2")])
    given = tmp_path / options.pop("of", "e_flt.fits")
    (mask,) = create_masks(given, output_dir=tmp_path / "more", **options).masks
    before = tree(tmp_path)
    with pytest.raises(InputError, match=said) as error:
        combine([*halves, mask.path], output_dir=tmp_path / "all")
    assert len(error.value.problems) == 1
    assert tree(tmp_path) == before


def test_masks_without_the_counts_that_they_need_are_errors(tmp_path: Path) -> None:
    exposures = [small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("abcd")]
    halves = halves_of(exposures, tmp_path, min_exposures=2)
    said = "was made with min_exposures 2, but has no counts; rerun with --counts"
    with pytest.raises(InputError) as error:
        combine(halves, output_dir=tmp_path / "all")
    assert error.value.problems == (f"{halves[0]}: {said} (and 1 more)",)


def test_copies_with_other_flags_are_errors(tmp_path: Path) -> None:
    for name, bit in (("a", 0), ("b", 4096)):
        path = small(tmp_path / f"{name}_flt.fits", 1, flags=[np.full(SHAPE, bit, "i2")])
        create_masks(path, output_dir=tmp_path / name, final_bits=0)
    with pytest.raises(InputError, match=r"b/.*: b_flt\.fits SCI,1: has the same .* other DQ"):
        combine([tmp_path / "a", tmp_path / "b"], output_dir=tmp_path / "all")


def test_if_each_copy_counts_masks_must_be_disjoint(tmp_path: Path) -> None:
    path = small(tmp_path / "a_flt.fits", 1)
    for name in "ab":
        create_masks(path, output_dir=tmp_path / name, allow_duplicates=True)
    with pytest.raises(InputError, match=r"b/.*: a_flt\.fits SCI,1: is in .*a/.* too; with allow"):
        combine([tmp_path / "a", tmp_path / "b"], output_dir=tmp_path / "all")


def damaged(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[2 * 2880 + 7] ^= 1
    path.write_bytes(raw)


def test_all_problems_are_in_one_error_a_line_each(
    halves: list[Path], tmp_path: Path, staticmask: Run
) -> None:
    for number in range(3):
        damaged(Path(shutil.copytree(halves[0].parent, tmp_path / f"damaged{number}")) / NAME)
    edit(halves[0], output_dir=tmp_path / "edited", grow=1)
    bare = tmp_path / "driz_staticMask.fits"
    fits.PrimaryHDU(np.ones(SHAPE, "i2")).writeto(bare)
    create_masks(tmp_path / "a_flt.fits", output_dir=tmp_path / "other", static_sig=3)
    (tmp_path / "text_staticMask.fits").write_text("no FITS")
    before = tree(tmp_path)
    given = ["half0", "damaged0", "damaged1", "damaged2", "edited", bare.name, "other"]
    result = staticmask("combine", *given, "text_staticMask.fits", "-o", "all")
    assert (result.returncode, result.stdout) == (1, "")
    lines = sorted(line.removeprefix("staticmask: error: ") for line in result.stderr.splitlines())
    assert lines == [
        f"damaged0/{NAME}: is damaged: its checksums are wrong (and 2 more)",
        f"{bare.name}: is not a mask with a table of exposures in the form of this version",
        f"edited/{NAME}: was edited; combine masks as make writes them, and edit the result",
        f"other/{NAME}: was made with static_sig 3, not 4 as half0/{NAME}",
        "text_staticMask.fits: is not a FITS file: no SIMPLE card",
    ]
    assert tree(tmp_path) == before


def test_existing_masks_and_inputs_are_not_replaced(halves: list[Path], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"half0/.*: is an input, which is never replaced"):
        combine(halves, output_dir=tmp_path / "half0")
    combine(halves, output_dir=tmp_path / "all")
    before = contents(tmp_path / "all")
    with pytest.raises(OutputError, match=r"all/.*: exists; use --overwrite to"):
        combine(halves, output_dir=tmp_path / "all")
    assert contents(tmp_path / "all") == before
    (mask,) = combine(halves[0], output_dir=tmp_path / "all", overwrite=True)
    assert StaticMask.read(mask.path).records == StaticMask.read(halves[0]).records


def test_regions_of_a_chip_get_names_as_in_one_run(tmp_path: Path) -> None:
    paths = [small(tmp_path / f"{n}_flt.fits", n, chips=[{"LTV1": -100.0 * n}]) for n in range(2)]
    for path in paths:
        create_masks(path, output_dir=tmp_path / path.stem)
    combine([tmp_path / path.stem for path in paths], output_dir=tmp_path / "all")
    assert contents(tmp_path / "all") == one_run(paths, tmp_path / "one")
    assert len(contents(tmp_path / "all")) == 2


def test_a_copy_that_has_changed_is_noticed(tmp_path: Path) -> None:
    a = small(tmp_path / "a_flt.fits", 1)
    b = Path(shutil.copy(a, tmp_path / "b_flt.fits"))
    create_masks([a, b], output_dir=tmp_path / "both")
    create_masks(changed(b), output_dir=tmp_path / "b")
    with pytest.raises(InputError, match=r"both/.*: b_flt\.fits SCI,1: differs from that in .*b/"):
        combine([tmp_path / "both", tmp_path / "b"], output_dir=tmp_path / "all")


@pytest.mark.parametrize("options", [{}, {"counts": True}])
def test_gzipped_masks_can_be_combined(options: dict, tmp_path: Path) -> None:
    exposures = [small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("abcd")]
    for path in (halves := halves_of(exposures, tmp_path, **options)):
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    combine([path.parent for path in halves], output_dir=tmp_path / "all")
    assert contents(tmp_path / "all") == one_run(exposures, tmp_path / "one", **options)


@pytest.mark.parametrize("seed", range(60))
def test_a_changed_byte_of_a_table_is_an_error_or_a_mask_and_never_a_trace(
    seed: int, halves: list[Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    raw = bytearray(halves[0].read_bytes())
    begin = raw.index(b"XTENSION")
    for keyword in (b"CHECKSUM=", b"DATASUM ="):  # without sums, only the form is checked
        while (place := raw.find(keyword, begin)) >= 0:
            raw[place : place + len(keyword)] = b"COMMENT  "
    # A card of the header, or a number in the rows or after them.
    place = int(
        rng.choice(
            [
                begin + 80 * rng.integers(1, 90) + rng.integers(8, 32),
                len(raw) - rng.integers(1, 2880),
            ]
        )
    )
    raw[place] = int(rng.choice(list(b"0123456789 -.AJKDEP")))
    halves[0].write_bytes(raw)
    for read in (StaticMask.read, lambda path: combine([path, halves[1]], output_dir=tmp_path)):
        with contextlib.suppress(InputError):
            read(halves[0])


# Shards.


@given(st.integers(1, 50), st.lists(st.from_regex(r"[a-z0-9]{1,9}_fl[tc]\.fits", fullmatch=True)))
def test_every_exposure_is_in_one_shard_whatever_the_others(n: int, names: list[str]) -> None:
    for name in names:
        shards = [k for k in range(1, n + 1) if is_in_shard(Path(name), Shard(k, n))]
        assert len(shards) == 1
        assert is_in_shard(Path("folder") / f"{name}.gz", Shard(shards[0] % n, n))


def test_the_division_into_shards_stays_the_same_in_all_versions() -> None:
    names = [f"j8bt{n:02d}nyq_flt.fits" for n in range(9)] + ["any.fits"]
    shards = [next(k for k in range(4) if is_in_shard(Path(n), Shard(k, 4))) for n in names]
    assert shards == [0, 3, 3, 1, 0, 2, 2, 0, 0, 2]


def test_an_empty_shard_succeeds_and_makes_nothing(staticmask: Run, tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    results = [
        staticmask("a_flt.fits", "--shard", f"{n}/3", "-o", f"s{n}", "--summary", f"{n}.json")
        for n in range(1, 4)
    ]
    assert [result.returncode for result in results] == [0, 0, 0]
    empty = [result for result in results if not result.stdout]
    assert len(empty) == 2
    for result in empty:
        assert "is empty (exposures in all: 1); no mask is made" in result.stderr
    assert len(list(tmp_path.glob("s*"))) == 1


def test_a_shard_of_exposures_that_cannot_be_used_lists_them(
    staticmask: Run, tmp_path: Path
) -> None:
    small(tmp_path / "a_flt.fits", primary={"EXPTIME": 0.0})
    (tmp_path / "b_flt.fits").write_text("no FITS")
    result = staticmask("a_flt.fits", "--shard", "1/1", "-o", "s", "--strict")
    assert (result.returncode, result.stdout) == (0, f"s/{NAME}  0/320  0.0000  0\n")
    assert staticmask("b_flt.fits", "--shard", "1/1", "-o", "t").returncode == 1
    result = staticmask("b_flt.fits", "--shard", "1/1", "-o", "t", "-k")
    assert (result.returncode, result.stdout) == (3, "")
    assert not (tmp_path / "t").exists()
    # The mask of all parts is checked.
    assert staticmask("combine", "s", "-o", "all", "--strict").returncode == 4


def test_a_missing_exposure_is_an_error_of_its_shard_alone(staticmask: Run, tmp_path: Path) -> None:
    paths = [small(tmp_path / f"{n}_flt.fits", n) for n in range(9)]
    given = [path.name for path in paths]
    paths[4].unlink()
    results = [staticmask(*given, "--shard", f"{n}/3", "-o", f"s{n}") for n in range(3)]
    assert sorted(result.returncode for result in results) == [0, 0, 1]


@pytest.mark.parametrize("wrong", ["0/0", "4/3", "1", "1/", "-1/3", "1.0/2", "a/b", "1/2/3"])
def test_other_shards_are_wrong_usage(wrong: str, staticmask: Run) -> None:
    result = staticmask("a_flt.fits", f"--shard={wrong}")
    assert result.returncode == 2
    assert "is not None, or I/N with I from 0 or 1 up to N, such as 3/64" in result.stderr
