"""Masks changed by other masks, by growth and by whole columns."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from staticmask_cli import ConfigError, InputError, OutputError, StaticMask, create_masks, edit
from staticmask_cli.masks.editing import grown, with_whole_columns, without_gaps
from tests.support.handed_on import bare_mask, mask_file, some_bad
from tests.support.makers import exposure, sky
from tests.support.runs import Run, header, small, tree

NAME = "ACSHRC_16x20_1_staticMask.fits"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a mask of two exposures, with counts."""
    exposures = [small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("ab")]
    (mask,) = create_masks(exposures, output_dir=tmp_path / "m", counts=True).masks
    return Path(mask.path)


def test_changes_are_made_in_the_documented_order_and_recorded(
    path: Path, staticmask: Run, tmp_path: Path
) -> None:
    more, fewer = some_bad(1), some_bad(2, share=0.6)
    other = mask_file(tmp_path / "o", more)
    bare = bare_mask(tmp_path / "driz_staticMask.fits", fewer)
    old = StaticMask.read(path)
    before = tree(path.parent)
    result = staticmask(
        *("edit", path, "--grow", "1", "--fill-columns", "0.4", "--fill-gaps", "2"),
        *("--and", bare, "--or", other, "-o", "e", "--summary", "s.json"),
    )
    assert (result.returncode, result.stderr) == (0, "")
    steps = [old.bad | more]
    steps.append(steps[-1] & fewer)
    steps.append(without_gaps(steps[-1], 2))
    steps.append(with_whole_columns(steps[-1], 0.4))
    steps.append(grown(steps[-1], 1))
    numbers = [
        (int((new & ~was).sum()), int((was & ~new).sum()))
        for was, new in zip([old.bad, *steps], steps, strict=False)
    ]
    mask = StaticMask.read(tmp_path / "e" / NAME)
    np.testing.assert_array_equal(mask.bad, steps[-1])
    assert [(str(e.operation), e.operand, e.sha256, e.gained, e.lost) for e in mask.edits] == [
        ("or", NAME, StaticMask.read(other).sha256, *numbers[0]),
        ("and", bare.name, StaticMask.read(bare).sha256, *numbers[1]),
        ("fill_gaps", "2", "", *numbers[2]),
        ("fill_columns", "0.4", "", *numbers[3]),
        ("grow", "1", "", *numbers[4]),
    ]
    assert all(sum(pair) for pair in numbers), "every change counts in this test"
    head = header(tmp_path / "e" / NAME)
    assert list(map(str, head["HISTORY"])) == list(map(str, mask.edits))
    assert head["NBAD"] == steps[-1].sum()
    assert result.stdout.startswith(f"e/{NAME}  {mask.n_bad}/320  ")
    document = json.loads((tmp_path / "s.json").read_text("utf-8"))
    assert [a["operation"] for a in document["answer"]] == [str(e.operation) for e in mask.edits]
    assert document["answer"][0]["gained"] == numbers[0][0]
    assert document["masks"][0]["state"] == "written"
    assert tree(path.parent) == before


def test_what_describes_the_exposures_is_kept(path: Path, tmp_path: Path) -> None:
    old = StaticMask.read(path)
    new = StaticMask.read(edit(path, output_dir=tmp_path / "e", grow=1).path)
    assert (new.identity, new.recipe, new.records) == (old.identity, old.recipe, old.records)
    np.testing.assert_array_equal(new.count, old.count)
    np.testing.assert_array_equal(new.coverage, old.coverage)
    with fits.open(tmp_path / "e" / NAME, checksum=True) as hdus:
        names = [hdu.name for hdu in hdus]
        assert all(hdu.data is not None for hdu in hdus)
    assert names == ["PRIMARY", "EXPOSURES", "COUNT", "COVERAGE", "EDITS"]


def test_an_edited_mask_can_be_edited_again_and_keeps_its_history(
    path: Path, tmp_path: Path
) -> None:
    first = edit(path, output_dir=tmp_path / "1", grow=1)
    second = edit(first.path, output_dir=tmp_path / "2", and_=path)
    mask = StaticMask.read(second.path)
    assert [str(one.operation) for one in mask.edits] == ["grow", "and"]
    np.testing.assert_array_equal(mask.bad, StaticMask.read(path).bad)


def test_edits_of_python_numbers_and_lists(path: Path, tmp_path: Path) -> None:
    masks = [mask_file(tmp_path / str(n), some_bad(n)) for n in (1, 2)]
    mask = edit(path, output_dir=tmp_path / "e", or_=masks, grow=np.int64(2))
    expected = grown(StaticMask.read(path).bad | some_bad(1) | some_bad(2), 2)
    np.testing.assert_array_equal(mask.mask.bad, expected)
    assert [one.operand for one in mask.mask.edits] == [NAME, NAME, "2"]


def test_equal_edits_give_equal_bytes(path: Path, tmp_path: Path) -> None:
    one, other = (
        Path(edit(path, output_dir=tmp_path / name, grow=1, fill_columns=0.3).path)
        for name in ("a", "b")
    )
    assert one.read_bytes() == other.read_bytes()


def test_imported_and_gzipped_masks_can_be_edited(path: Path, tmp_path: Path) -> None:
    imported = mask_file(tmp_path / "i", some_bad(1))
    packed = imported.with_name(f"{NAME}.gz")
    packed.write_bytes(gzip.compress(imported.read_bytes()))
    imported.unlink()
    mask = edit(packed, output_dir=packed.parent, or_=path)
    assert Path(mask.path) == imported
    read = StaticMask.read(imported)
    np.testing.assert_array_equal(read.bad, some_bad(1) | StaticMask.read(path).bad)
    assert [str(one.operation) for one in read.edits] == ["import", "or"]


@pytest.mark.parametrize("command", ["update", "recount"])
def test_an_edited_mask_is_neither_updated_nor_recounted(
    command: str, path: Path, staticmask: Run, tmp_path: Path
) -> None:
    edited = Path(edit(path, output_dir=tmp_path / "e", grow=1).path)
    before = edited.read_bytes()
    small(tmp_path / "c_flt.fits", 5)
    if command == "update":
        result = staticmask("c_flt.fits", "-o", "e", "--update")
        said = "exposures cannot be added to it; make their mask in another folder, and join the "
    else:
        result = staticmask("recount", "e", "-m", "2")
        said = "it cannot be recounted; recount the mask of the exposures, and edit that"
    assert result.returncode == 1
    assert result.stderr.startswith(f"staticmask: error: e/{NAME}: was edited, so {said}")
    assert result.stderr.count("\n") == 1
    assert edited.read_bytes() == before


def test_a_new_run_replaces_an_edited_mask_only_on_request(
    path: Path, staticmask: Run, tmp_path: Path
) -> None:
    edited = Path(edit(path, output_dir=tmp_path / "e", grow=1).path)
    before = edited.read_bytes()
    result = staticmask("?_flt.fits", "-o", "e")
    said = "was edited or imported; use another --output-dir, or --overwrite to replace it"
    assert (result.returncode, result.stderr) == (1, f"staticmask: error: e/{NAME}: {said}\n")
    result = staticmask("?_flt.fits", "-o", "e", "--dry-run")
    assert (result.returncode, result.stderr) == (1, f"staticmask: error: e/{NAME}: {said}\n")
    assert edited.read_bytes() == before
    assert staticmask("compare", "e", "?_flt.fits", "-o", "e").returncode == 1, "they differ"
    assert staticmask("?_flt.fits", "-o", "e", "--overwrite").returncode == 0
    assert StaticMask.read(edited).edits == ()
    assert staticmask("?_flt.fits", "-o", "e").returncode == 0


def test_failed_checks_of_chips_stay_and_those_of_the_mask_go(tmp_path: Path) -> None:
    pixels = sky(1, (200, 200))
    pixels[50:90, 50:90] -= 200
    exposure(tmp_path / "a_flt.fits", [pixels])
    (mask,) = create_masks(tmp_path / "a_flt.fits", output_dir=tmp_path / "m").masks
    failed = header(mask.path)["QCFAILED"].split()
    (row,) = fits.getdata(mask.path, 1)
    of_chips = {check.split()[0] for check in row["QCFAILED"].split("; ")}
    assert {"clustered", "low_excess"} <= set(failed)
    edited = edit(mask.path, output_dir=tmp_path / "e", grow=1)
    assert set(header(edited.path)["QCFAILED"].split()) == of_chips
    assert "COMMENT" not in header(edited.path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "no change is given: use --or, --and, --fill-gaps, --fill-columns or --grow"),
        ({"grow": 0}, "--grow: 0 is not a number of pixels from 1 to 1000"),
        ({"grow": 1001}, "--grow: 1001 is not a number of pixels"),
        ({"grow": 1.5}, "--grow: 1.5 is not a number of pixels"),
        ({"grow": True}, "--grow: True is not a number of pixels"),
        ({"fill_gaps": -1}, "--fill-gaps: -1 is not a number of pixels"),
        ({"fill_columns": 1}, "--fill-columns: 1 is not a share from 0 to less than 1"),
        ({"fill_columns": -0.1}, "--fill-columns: -0.1 is not a share"),
        ({"fill_columns": float("nan")}, "--fill-columns: nan is not a share"),
        ({"fill_columns": "half"}, "--fill-columns: 'half' is not a share"),
    ],
)
def test_wrong_numbers_are_configuration_errors(
    options: dict[str, object], said: str, path: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        edit(path, output_dir=tmp_path / "e", **options)
    assert str(caught.value).startswith(said)
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["m", "-o", "e", "--grow", "x"], 2, "Invalid value for '--grow'"),
        (["m", "--grow", "1"], 2, "--output-dir is missing; give a folder"),
        (["m", "o", "-o", "e", "--grow", "1"], 2, "2 masks are given to be edited; edit one at"),
        (["gone.fits", "-o", "e", "--grow", "1"], 1, "gone.fits: file not found"),
        (["m", "-o", "e", "--or", "gone.fits"], 1, "gone.fits: file not found"),
        (["m", "-o", "e", "--and", "a_flt.fits"], 1, "a_flt.fits: not a static mask"),
        (
            ["driz_staticMask.fits", "-o", "e", "--grow", "1"],
            1,
            "driz_staticMask.fits: does not record its chip; edit a mask of this program, and",
        ),
        (["m", "-o", "e", "--or", "large.fits"], 1, "large.fits: has 17x20 pixels, not 16x20"),
        (
            ["m", "-o", "e", "--or", "corner"],
            1,
            f"corner/{NAME}: is the mask of ACSHRC 16x20 chip 1 from x 4, y 0, not of ACSHRC",
        ),
        (
            ["m", "-o", "m", "--grow", "1", "--overwrite"],
            1,
            f"m/{NAME}: is an input, which is never replaced; use another --output-dir",
        ),
        (
            ["m", "-o", "o", "--or", "o", "--overwrite"],
            1,
            f"o/{NAME}: is an input, which is never replaced; use another --output-dir",
        ),
        (["m", "-o", "old", "--grow", "1"], 1, f"old/{NAME}: exists; use --overwrite to replace"),
    ],
)
@pytest.mark.usefixtures("path")
def test_what_cannot_be_edited_is_one_line_and_writes_nothing(
    arguments: list[str], status: int, said: str, staticmask: Run, tmp_path: Path
) -> None:
    for folder in ("o", "old"):
        mask_file(tmp_path / folder, some_bad(1))
    mask_file(tmp_path / "corner", some_bad(1), x0=4)
    bare_mask(tmp_path / "driz_staticMask.fits", some_bad(1))
    bare_mask(tmp_path / "large.fits", some_bad(1, (17, 20)))
    before = {name: found[0] for name, found in tree(tmp_path).items()}
    result = staticmask("edit", *arguments)
    assert (result.returncode, result.stdout) == (status, "")
    assert result.stderr.startswith(f"staticmask: error: {said}")
    assert result.stderr.count("\n") == 1
    assert {name: found[0] for name, found in tree(tmp_path).items()} == before


def test_all_problems_of_other_masks_are_reported(path: Path, tmp_path: Path) -> None:
    large = bare_mask(tmp_path / "large.fits", some_bad(1, (17, 20)))
    corner = mask_file(tmp_path / "corner", some_bad(1), x0=4)
    with pytest.raises(InputError) as caught:
        edit(path, output_dir=tmp_path / "e", or_=[large, corner], and_=large)
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("harm", ["table", "operation", "rows"])
def test_a_damaged_table_of_changes_is_noticed(harm: str, path: Path, tmp_path: Path) -> None:
    edited = Path(edit(path, output_dir=tmp_path / "e", grow=1).path)
    raw = edited.read_bytes()
    place = raw.rindex(b"grow")
    edited.write_bytes(raw[:place] + b"glow" + raw[place + 4 :])
    if harm != "table":  # with correct checksums
        with fits.open(edited, mode="update") as hdus:
            if harm == "rows":
                hdus["EDITS"].data = hdus["EDITS"].data[:0]
            for hdu in hdus:
                hdu.add_checksum()
    small(tmp_path / "c_flt.fits", 5)
    with pytest.raises(OutputError, match=r"is damaged|is not a mask with a table"):
        create_masks(tmp_path / "c_flt.fits", output_dir=tmp_path / "e", update=True)
    if harm == "table":
        with pytest.raises(InputError, match="is damaged"):
            StaticMask.read(edited)
