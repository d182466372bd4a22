"""Masks in other programs' forms, and masks from pixel lists and regions."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from staticmask_cli import (
    ConfigError,
    InputError,
    OutputError,
    StaticMask,
    create_masks,
    export,
    import_mask,
)
from staticmask_cli.masks.editing import Operation
from staticmask_cli.settings import ExportFormat
from tests.support.handed_on import (
    bad_in_regions,
    bad_in_table,
    bare_mask,
    identity,
    mask_file,
    some_bad,
)
from tests.support.makers import instrument_exposure
from tests.support.runs import Run, header, small, tree

NAME = "ACSHRC_16x20_1_staticMask.fits"
FORMS = [form.value for form in ExportFormat]
FILES = {
    "bad": "ACSHRC_16x20_1_bad.fits",
    "csv": "ACSHRC_16x20_1_bad.csv",
    "reg": "ACSHRC_16x20_1_bad.reg",
    "bpixtab": "ACSHRC_16x20_1_bpx.fits",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a mask of two exposures, with counts."""
    exposures = [small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("ab")]
    (mask,) = create_masks(exposures, output_dir=tmp_path / "m", counts=True).masks
    return Path(mask.path)


# Exports.


@pytest.mark.parametrize("form", FORMS)
def test_a_mask_is_exported_and_does_not_change(
    form: str, path: Path, staticmask: Run, tmp_path: Path
) -> None:
    before = tree(path.parent)
    result = staticmask("export", "m", "--format", form, "-o", "x", "--summary", "s.json")
    n_bad = StaticMask.read(path).n_bad
    file = FILES[form]
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"x/{file}  {n_bad}  m/{NAME}\n"
    assert tree(path.parent) == before
    assert [p.name for p in (tmp_path / "x").iterdir()] == [file]
    assert json.loads((tmp_path / "s.json").read_text("utf-8"))["answer"] == [
        {"mask": f"m/{NAME}", "path": f"x/{file}", "format": form, "bad": n_bad}
    ]
    (told,) = export(path, form, output_dir=tmp_path / "again")
    assert (told.format, told.bad, told.masks) == (form, n_bad, (str(path),))
    assert Path(told.path).read_bytes() == (tmp_path / "x" / file).read_bytes()


def test_the_image_has_1_for_bad_pixels_and_the_identity_of_the_mask(
    path: Path, tmp_path: Path
) -> None:
    (told,) = export(path, "bad", output_dir=tmp_path)
    mask, head = StaticMask.read(path), header(told.path)
    with fits.open(told.path, checksum=True) as hdus:
        assert hdus[0].data.dtype == np.uint8
        np.testing.assert_array_equal(hdus[0].data.astype(bool), mask.bad)
    made = header(path)
    for keyword in ("INSTRUME", "DETECTOR", "CHIP", "XCORNER", "BINAXIS1", "LTV1", "LTM2_2"):
        assert head[keyword] == made[keyword]
    assert (head["NBAD"], head["NEXPOSUR"]) == (mask.n_bad, 2)


def test_the_image_of_a_chip_of_two_names_its_ccdchip(tmp_path: Path) -> None:
    mask = mask_file(tmp_path, some_bad(1), "WFC3 UVIS", 2, x0=30)
    (told,) = export(mask, "bad", output_dir=tmp_path)
    head = header(told.path)
    assert (head["CCDCHIP"], head["LTV1"], head["TELESCOP"]) == (1, -30, "HST")


def test_an_exported_image_is_never_taken_for_a_mask(path: Path, tmp_path: Path) -> None:
    (told,) = export(path, "bad", output_dir=tmp_path / "x")
    renamed = tmp_path / "x" / NAME
    Path(told.path).rename(renamed)
    with pytest.raises(InputError, match="is an exported image, not a mask; give the mask itself"):
        StaticMask.read(renamed)


def test_the_pixel_list_says_how_often_a_pixel_was_bad(path: Path, tmp_path: Path) -> None:
    (told,) = export(path, "csv", output_dir=tmp_path)
    mask = StaticMask.read(path)
    expected = [
        f"{x + 1},{y + 1},{mask.count[y, x]},{mask.coverage[y, x]}"
        for y, x in np.argwhere(mask.bad)
    ]
    lines = Path(told.path).read_text("utf-8").splitlines()
    assert lines == ["x,y,count,coverage", *expected]


def test_two_chips_of_a_detector_become_one_table(staticmask: Run, tmp_path: Path) -> None:
    masks = {
        chip: mask_file(tmp_path / "m", some_bad(chip, (30, 40)), "ACS WFC", number)
        for number, chip in ((1, 2), (2, 1))
    }
    result = staticmask("export", "m", "--format", "bpixtab", "-o", "x", "--summary", "-")
    document = json.loads(result.stdout)
    assert [row["path"] for row in document["answer"]] == ["x/ACSWFC_bpx.fits"] * 2
    for chip, path in masks.items():
        flags = bad_in_table(tmp_path / "x" / "ACSWFC_bpx.fits", chip)
        np.testing.assert_array_equal(flags[:30, :40] == 4, StaticMask.read(path).bad)
        assert not flags[30:].any()
    (one,) = export(masks[1], "bpixtab", output_dir=tmp_path / "x")
    assert Path(one.path).name == "ACSWFC_30x40_2_bpx.fits"
    assert not bad_in_table(Path(one.path), 2).any()


def test_masks_of_several_detectors_become_several_tables(tmp_path: Path) -> None:
    for detector in ("ACS HRC", "STIS CCD"):
        mask_file(tmp_path / "m", some_bad(1), detector)
    told = export(tmp_path / "m", "bpixtab", output_dir=tmp_path / "x")
    names = [Path(one.path).name for one in told]
    assert names == ["ACSHRC_16x20_1_bpx.fits", "STISCCD_16x20_1_bpx.fits"]


@pytest.mark.parametrize("form", ["bad", "csv", "reg"])
def test_drizzlepacs_masks_and_gzipped_ones_can_be_exported(form: str, tmp_path: Path) -> None:
    bad = some_bad(3)
    path = bare_mask(tmp_path / "m" / NAME, bad)
    packed = path.with_name(f"{NAME}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for mask in (path, packed):
        (told,) = export(mask, form, output_dir=tmp_path / "x", overwrite=True)
        assert Path(told.path).name == FILES[form]
        assert told.bad == bad.sum()
    assert {p.name for p in path.parent.iterdir()} == {path.name, packed.name}


@given(
    arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9)),
    st.sampled_from([(0, 0, 1, 1), (100, 7, 1, 1), (8, 4, 2, 4)]),
    st.sampled_from(["csv", "reg"]),
)
def test_what_is_exported_and_imported_is_the_mask(
    tmp_path_factory: pytest.TempPathFactory,
    bad: np.ndarray,
    place: tuple[int, ...],
    form: str,
) -> None:
    folder = tmp_path_factory.mktemp("round")
    place = dict(zip(("x0", "y0", "xbin", "ybin"), place, strict=True))
    path = mask_file(folder, bad, **place)
    (table,) = export(path, form, output_dir=folder)
    made = import_mask(table.path, like=path, output_dir=folder / "new")
    read = StaticMask.read(made.path)
    np.testing.assert_array_equal(read.bad, bad)
    assert read.identity == identity(bad.shape, **place)
    assert Path(made.path).name == path.name


def test_a_plain_reader_finds_the_same_pixels_in_the_regions(path: Path, tmp_path: Path) -> None:
    (told,) = export(path, "reg", output_dir=tmp_path)
    mask = StaticMask.read(path)
    text = Path(told.path).read_text("utf-8")
    np.testing.assert_array_equal(bad_in_regions(text, mask.shape), mask.bad)


def test_exports_do_not_depend_on_time_and_jobs(path: Path, tmp_path: Path) -> None:
    for form in FORMS:
        one, other = (
            export(path, form, output_dir=tmp_path / name, jobs=jobs)[0]
            for name, jobs in (("a", 1), ("b", 2))
        )
        assert Path(one.path).read_bytes() == Path(other.path).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["m", "--format", "fits", "-o", "x"], "Invalid value for '--format': 'fits' is not one"),
        (["m", "-o", "x"], "Missing option '--format'"),
        (["m", "--format", "csv"], "--output-dir is missing; give a folder"),
        (["--format", "csv", "-o", "x"], "Missing argument 'MASK...'"),
        (["gone.fits", "--format", "csv", "-o", "x"], "gone.fits: file not found"),
        (["a_flt.fits", "--format", "csv", "-o", "x"], "a_flt.fits: not a static mask"),
        (
            ["bare_staticMask.fits", "--format", "bpixtab", "-o", "x"],
            "bare_staticMask.fits: does not record its detector, which a table needs",
        ),
        (
            ["nicmos", "--format", "bpixtab", "-o", "x"],
            "nicmos/NICMOS2_16x20_2_staticMask.fits: NICMOS has no bad-pixel tables; ACS, WFC3",
        ),
        (
            ["m", "copy", "--format", "bpixtab", "-o", "x"],
            f"copy/{NAME}: is of the same chip as m/{NAME}; give one of them",
        ),
        (
            ["m", "copy", "--format", "csv", "-o", "x"],
            "x/ACSHRC_16x20_1_bad.csv: would be written twice; use a folder of its own for each",
        ),
        (["m", "--format", "csv", "-o", "a_flt.fits"], "a_flt.fits: cannot be written: File exist"),
    ],
)
@pytest.mark.usefixtures("path")
def test_what_cannot_be_exported_is_one_line_and_writes_nothing(
    arguments: list[str], said: str, staticmask: Run, tmp_path: Path
) -> None:
    mask_file(tmp_path / "copy", some_bad(1))
    mask_file(tmp_path / "nicmos", some_bad(1), "NICMOS 2", 2)
    bare_mask(tmp_path / "bare_staticMask.fits", some_bad(1))
    before = tree(tmp_path)
    result = staticmask("export", *arguments)
    assert result.returncode == (2 if "issing" in said or "Invalid" in said else 1)
    assert result.stderr.startswith(f"staticmask: error: {said}")
    assert (result.stdout, result.stderr.count("\n")) == ("", 1)
    assert {k: v[0] for k, v in tree(tmp_path).items()} == {k: v[0] for k, v in before.items()}


def test_an_unknown_format_is_a_configuration_error(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'png' is none of bad, csv, reg, bpixtab"):
        export(path, "png", output_dir=tmp_path)


def test_existing_files_are_replaced_only_on_request(staticmask: Run, tmp_path: Path) -> None:
    for seed in range(3):
        mask_file(tmp_path / "m", some_bad(seed), x0=seed).rename(
            tmp_path / "m" / f"{seed}_staticMask.fits"
        )
    command = ["export", "m", "--format", "reg", "-o", "x"]
    assert staticmask(*command).returncode == 0
    mine = tmp_path / "x" / "0_bad.reg"
    mine.write_text("mine", "utf-8")
    result = staticmask(*command)
    assert (result.returncode, result.stderr) == (
        1,
        "staticmask: error: x/0_bad.reg: exists; use --overwrite to replace it (and 2 more)\n",
    )
    assert mine.read_text("utf-8") == "mine"
    assert staticmask(*command, "--overwrite").returncode == 0
    assert mine.read_text("utf-8").startswith("# Region file")
    mine.unlink()
    mine.mkdir()
    result = staticmask(*command, "--overwrite")
    assert result.stderr == (
        "staticmask: error: x/0_bad.reg: is not a regular file; move it away\n"
    )


# Imports.


def test_an_imported_mask_records_its_tables_and_has_no_exposures(
    path: Path, staticmask: Run, tmp_path: Path
) -> None:
    (tmp_path / "mine.csv").write_text("3,*\n1:2,5\n", "utf-8")
    (tmp_path / "mine.reg").write_text("image;point(1,5);box(10,10,1,1,0)", "utf-8")
    result = staticmask("import", "mine.csv", "mine.reg", "--like", path, "-o", "i")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"i/{NAME}  19/320  5.9375  0\n"
    mask = StaticMask.read(tmp_path / "i" / NAME)
    assert (mask.identity, mask.recipe, mask.records) == (StaticMask.read(path).identity, None, ())
    assert [(e.operation, e.operand, e.gained, e.lost) for e in mask.edits] == [
        (Operation.IMPORT, "mine.csv", 18, 0),
        (Operation.IMPORT, "mine.reg", 1, 0),
    ]
    head = header(tmp_path / "i" / NAME)
    assert list(map(str, head["HISTORY"])) == [
        "import mine.csv: +18 -0 bad pixels",
        "import mine.reg: +1 -0 bad pixels",
    ]
    assert (head["NBAD"], head["NEXPOSUR"], "STATSIG" in head) == (19, 0, False)
    with fits.open(tmp_path / "i" / NAME, checksum=True) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "EXPOSURES", "EDITS"]
        assert len(hdus["EXPOSURES"].data) == 0
    assert repr(mask) == "<StaticMask ACSHRC 16x20 chip 1: 19 of 320 pixels bad, edits: 2>"
    assert mask.to_ccddata().header["NEXTEND"] == 2
    assert staticmask("compare", "i", "i").returncode == 0
    assert staticmask("export", "i", "--format", "csv", "-o", "x").returncode == 0


def test_an_imported_mask_is_neither_updated_nor_recounted(
    path: Path, staticmask: Run, tmp_path: Path
) -> None:
    (tmp_path / "mine.csv").write_text("3,*\n", "utf-8")
    made = Path(import_mask(tmp_path / "mine.csv", like=path, output_dir=tmp_path / "i").path)
    before = made.read_bytes()
    for command, said in (
        (["a_flt.fits", "-o", "i", "--update"], "exposures cannot be added to it; make their"),
        (["recount", "i", "-m", "2"], "it cannot be recounted; recount the mask of the exposures"),
    ):
        result = staticmask(*command)
        assert result.returncode == 1
        assert result.stderr.startswith(f"staticmask: error: i/{NAME}: was imported, so {said}")
        assert result.stderr.count("\n") == 1
    assert made.read_bytes() == before


def test_a_table_without_pixels_is_a_warning(path: Path, staticmask: Run, tmp_path: Path) -> None:
    (tmp_path / "none.reg").write_text("image\n", "utf-8")
    result = staticmask("import", "none.reg", "--like", path, "-o", "i")
    assert result.stdout == f"i/{NAME}  0/320  0.0000  0\n"
    assert result.stderr == "staticmask: warning: none.reg: lists no pixel\n"


@pytest.mark.parametrize("kind", ["csv", "reg"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"99,99", None),
        (b"3,\xff", "is not text in UTF-8"),
        (None, "file not found"),
    ],
)
def test_a_table_that_cannot_be_read_is_an_error(
    kind: str, content: bytes | None, said: str | None, path: Path, tmp_path: Path
) -> None:
    table = tmp_path / f"t.{kind}"
    if content is not None:
        table.write_bytes(content)
    with pytest.raises(InputError, match=f"t.{kind}: {said or 'line 1'}"):
        import_mask(table, like=path, output_dir=tmp_path / "i")
    assert not (tmp_path / "i").exists()


def test_other_errors_of_an_import(path: Path, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("3,*\n", "utf-8")
    out = {"output_dir": tmp_path / "i"}
    with pytest.raises(InputError, match=r"1.fits: is neither a table \(.csv\) nor regions of DS9"):
        import_mask(path.rename(path.with_name("1.fits")), like=path.with_name("1.fits"), **out)
    path.with_name("1.fits").rename(path)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=r"folder\.csv: cannot be read: Is a directory"):
        import_mask(tmp_path / "folder.csv", like=path, **out)
    with pytest.raises(InputError, match="gone: file not found"):
        import_mask(table, like=tmp_path / "gone", **out)
    bare = bare_mask(tmp_path / "b_staticMask.fits", some_bad(1))
    with pytest.raises(InputError, match="does not record its chip; give a mask of this program"):
        import_mask(table, like=bare, **out)
    with pytest.raises(ConfigError, match="like: int is not the name of a file"):
        import_mask(table, like=3, **out)
    with pytest.raises(InputError) as caught:
        import_mask([tmp_path / "a.csv", tmp_path / "b.reg"], like=path, **out)
    assert len(caught.value.problems) == 2
    assert not (tmp_path / "i").exists()


def test_a_file_that_is_too_large_for_a_table_is_not_read(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("staticmask_cli.masking.import_mask._LARGEST", 10)
    (tmp_path / "t.csv").write_text("1,1\n" * 3, "utf-8")
    with pytest.raises(InputError, match=r"t\.csv: is too large for a table of pixels"):
        import_mask(tmp_path / "t.csv", like=path, output_dir=tmp_path / "i")


def test_an_import_never_replaces_the_mask_that_it_is_like(path: Path, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("3,*\n", "utf-8")
    before = tree(path.parent)
    with pytest.raises(OutputError, match="is an input, which is never replaced; use another --"):
        import_mask(table, like=path, output_dir=path.parent, overwrite=True)
    (tmp_path / "link").symlink_to(path.parent)
    with pytest.raises(OutputError, match="is an input, which is never replaced"):
        import_mask(table, like=path, output_dir=tmp_path / "link", overwrite=True)
    assert tree(path.parent) == before
    import_mask(table, like=path, output_dir=tmp_path / "i")
    with pytest.raises(OutputError, match="exists; use --overwrite to replace it"):
        import_mask(table, like=path, output_dir=tmp_path / "i")
    import_mask(table, like=path, output_dir=tmp_path / "i", overwrite=True)


def test_masks_of_every_instrument_are_exported_and_imported(tmp_path: Path) -> None:
    for row in ("acs_wfc", "wfpc2", "nicmos3", "other"):
        instrument_exposure(tmp_path, row, 1, (16, 20))
    exposures = sorted(tmp_path.glob("*_*.fits"))
    report = create_masks(exposures, output_dir=tmp_path / "m", any_product=True)
    assert len(report.masks) == 8
    for form in ("csv", "reg"):
        told = export(tmp_path / "m", form, output_dir=tmp_path / form)
        assert len(told) == 8
        for mask, table in zip(sorted(m.path for m in report.masks), told, strict=True):
            made = import_mask(table.path, like=mask, output_dir=tmp_path / f"new_{form}")
            assert made.mask.sha256 == StaticMask.read(mask).sha256
