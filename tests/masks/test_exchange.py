"""Pixel lists, DS9 regions and bad-pixel tables: what is written, and what can be read."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from staticmask_cli import InputError
from staticmask_cli.masks.bad_pixel_table import bad_pixel_table, why_no_table
from staticmask_cli.masks.pixel_lists import as_pixel_list, read_pixel_list
from staticmask_cli.masks.regions import as_regions, read_regions
from staticmask_cli.masks.static_mask import StaticMask
from tests.support.handed_on import bad_in_regions, bad_in_table, identity, some_bad

ARRAYS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9))
SHAPE = (4, 6)  # rows and columns of the masks below


def mask_of(bad: np.ndarray) -> StaticMask:
    return StaticMask(shape=bad.shape, bits=np.packbits(bad))


def pixels(bad: np.ndarray) -> list[tuple[int, int]]:
    """Return x and y of the bad pixels, from 1, by rows."""
    return [(x + 1, y + 1) for y, x in np.argwhere(bad).tolist()]


# Pixel lists.


@given(ARRAYS)
def test_a_pixel_list_read_back_is_the_mask(bad: np.ndarray) -> None:
    text = as_pixel_list(mask_of(bad))
    assert text.splitlines() == ["x,y", *(f"{x},{y}" for x, y in pixels(bad))]
    np.testing.assert_array_equal(read_pixel_list("t.csv", text, bad.shape), bad)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("x,y\n", []),
        ("3,2", [(3, 2)]),
        (" 3 , 2 # dead\r\n\r\n# more\r\n6,4\r\n", [(3, 2), (6, 4)]),
        ("Y,why,X\n1,hot,2\n", [(2, 1)]),
        ("x,y,count,coverage\n2,1,3,4\n", [(2, 1)]),
        ("2,1,3,4\n", [(2, 1)]),
        ("3,*", [(3, y) for y in (1, 2, 3, 4)]),
        ("*,4", [(x, 4) for x in (1, 2, 3, 4, 5, 6)]),
        ("2:3,1:2", [(2, 1), (3, 1), (2, 2), (3, 2)]),
        ("2 : 3,1\n2,1", [(2, 1), (3, 1)]),
        ("6:6,4:4", [(6, 4)]),
    ],
)
def test_pixels_columns_rows_and_rectangles_can_be_listed(
    text: str, expected: list[tuple[int, int]]
) -> None:
    assert pixels(read_pixel_list("t.csv", text, SHAPE)) == expected


NO_PIXEL = "is not x,y: two numbers from 1, ranges such as 10:20, or *"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("7,1", "line 1: '7,1' lies outside the mask of 6 columns and 4 rows"),
        ("x,y\n1,3:5", "line 2: '1,3:5' lies outside the mask of 6 columns and 4 rows"),
        *(
            (text, f"line 1: '{text}' {NO_PIXEL}")
            for text in (
                "0,1",
                "1",
                "1,",
                "-1,2",
                "1.5,2",
                "a,b",
                "3:2,1",
                "1 2",
                "1:2:3,1",
                "\u0661,1",
            )
        ),
        ("1,1\nx,y\n", f"line 2: 'x,y' {NO_PIXEL}"),
    ],
)
def test_a_line_of_a_list_that_cannot_be_used_is_named(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_pixel_list("t.csv", text, SHAPE)
    assert caught.value.problems == (f"t.csv: {said}",)


def test_the_same_fault_in_many_lines_is_one_line_with_a_number() -> None:
    text = "".join(f"{x},1\n" for x in range(5, 50)) + "dead\n"
    with pytest.raises(InputError) as caught:
        read_pixel_list("t.csv", text, SHAPE)
    assert caught.value.problems == (
        "t.csv: line 3: '7,1' lies outside the mask of 6 columns and 4 rows (and 42 more)",
        f"t.csv: line 46: 'dead' {NO_PIXEL}",
    )


# Regions.


@given(ARRAYS)
def test_regions_read_back_are_the_mask_for_us_and_a_plain_reader(bad: np.ndarray) -> None:
    text = as_regions(mask_of(bad))
    np.testing.assert_array_equal(bad_in_regions(text, bad.shape), bad)
    np.testing.assert_array_equal(read_regions("r.reg", text, bad.shape, identity(bad.shape)), bad)


def test_a_mask_with_many_bad_columns_has_few_regions() -> None:
    bad = np.zeros((500, 400), bool)
    bad[:, ::10] = True
    bad[100:, 5] = True
    assert as_regions(mask_of(bad)).count("box(") == 41


RECTANGLE = [(2, 1), (3, 1), (2, 2), (3, 2)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# Region file format: DS9 version 4.1\nglobal color=#0f0 font='a; b'\nimage\n", []),
        ("image\nbox(2.5,1.5,2,2,0)", RECTANGLE),
        ("image;box(2.5,1.5,2,2)", RECTANGLE),
        ("IMAGE; BOX(2.5, 1.5, 2, 2, 0.0) # color=red text={a; (b)}", RECTANGLE),
        ("image\n+box 2.5 1.5 2 2 0", RECTANGLE),
        ("image;box(2.2,1.8,2,2,90)", RECTANGLE),
        ("image;box(2.5,2.5,2,4,-90)", [(x, y) for y in (2, 3) for x in (1, 2, 3, 4)]),
        # Centres on the edge: the lower one is inside.
        ("image;box(3,2,2,2,0)", RECTANGLE),
        ("image;box(2.75,1.75,1.3,1.3,0)", [(3, 2)]),
        ("image;box(6,4,3,3,0)", [(5, 3), (6, 3), (5, 4), (6, 4)]),
        ("image;point(3,2) # point=x\n", [(3, 2)]),
        ("image;point(3.4,1.6)", [(3, 2)]),
        ("image;point 3 2; point 1 1", [(1, 1), (3, 2)]),
        ("image\n# point(9,9)\npoint(3,2) # it's dead\npoint(1,1)", [(1, 1), (3, 2)]),
        ("image; point(1,1) # color=red; point(3,2)", [(1, 1), (3, 2)]),
        ("image;box(3,2.5,1,100,0)", [(3, y) for y in (1, 2, 3, 4)]),
    ],
)
def test_hand_made_boxes_and_points_are_read(text: str, expected: list[tuple[int, int]]) -> None:
    assert pixels(read_regions("r.reg", text, SHAPE, identity(SHAPE))) == expected


def test_physical_coordinates_are_those_of_the_detector() -> None:
    chip = identity(SHAPE, x0=100, y0=200, xbin=2, ybin=1)
    # Pixel 3,2 has the detector's columns 105 and 106, and row 202.
    for text in (
        "physical; box(105.5,202,2,1,0)",
        "box(105.5,202,2,1,0)",  # DS9's default
        "physical\npoint(105,202)",
        "physical\npoint(106,202.4)",
        "image;point(3,2)",
        "physical;image;point(3,2)",
    ):
        assert pixels(read_regions("r.reg", text, SHAPE, chip)) == [(3, 2)], text
    text = "physical; box(104.5,201.5,4,2,0)"
    assert pixels(read_regions("r.reg", text, SHAPE, chip)) == RECTANGLE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image\ncircle(3,2,1)", "line 2: 'circle(3,2,1)' is not a box or a point"),
        ("image;-box(3,2,1,1,0)", "line 1: '-box(3,2,1,1,0)' is an excluded region; remove it"),
        (
            "image;box(3,2,1,1,30)",
            "line 1: 'box(3,2,1,1,30)' is turned; only multiples of 90 degrees can be read",
        ),
        (
            'image;box(3,2,1",1",0)',
            "line 1: 'box(3,2,1\",1\",0)' has a value that is not a number of pixels",
        ),
        ("image;box(3,2,nan,1)", "line 1: 'box(3,2,nan,1)' has a value that is not a number of"),
        ("image;box(3,2,1)", "line 1: 'box(3,2,1)' is not box(x,y,width,height,angle)"),
        ("image;box(3,2,1,1,2,2,0)", "line 1: 'box(3,2,1,1,2,2,0)' is not box(x,y,width,height,"),
        ("image;point(3)", "line 1: 'point(3)' is not point(x,y)"),
        ("image\npoint(7,1)", "line 2: 'point(7,1)' covers no pixel of 6 columns and 4 rows"),
        ("image;box(2.5,1.5,0.9,9)", "line 1: 'box(2.5,1.5,0.9,9)' covers no pixel of 6 columns"),
        ("image;box(2,1,0,0)", "line 1: 'box(2,1,0,0)' covers no pixel"),
        ("image;box(-5,1,2,2)", "line 1: 'box(-5,1,2,2)' covers no pixel"),
        ("hello", "line 1: 'hello' is not a region"),
        ("3,2", "line 1: '3,2' is not a region"),
        (
            "# DS9\nfk5\nbox(10,20,1,1,0)\n",
            "line 2: 'fk5' is not image or physical; save the regions in DS9's image coordinates",
        ),
    ],
)
def test_a_region_that_cannot_be_used_is_named(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_regions("r.reg", text, SHAPE, identity(SHAPE))
    (problem,) = caught.value.problems
    assert problem.startswith(f"r.reg: {said}")


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for reads in (
        lambda: read_pixel_list("t.csv", text, SHAPE),
        lambda: read_regions("r.reg", text, SHAPE, identity(SHAPE)),
        lambda: read_regions("r.reg", f"image;box({text})", SHAPE, identity(SHAPE)),
    ):
        with suppress(InputError):
            assert reads().shape == SHAPE


# Bad-pixel tables.


@given(
    arrays(bool, (5, 7)),
    st.sampled_from(["ACS WFC", "ACS HRC", "WFC3 UVIS", "WFC3 IR", "STIS CCD"]),
    st.sampled_from([(0, 0, 1, 1), (100, 3, 1, 1), (2, 4, 2, 3)]),
    st.sampled_from([1, 2]),
)
def test_a_bad_pixel_table_expands_to_the_mask(
    tmp_path_factory: pytest.TempPathFactory,
    bad: np.ndarray,
    detector: str,
    place: tuple[int, ...],
    number: int,
) -> None:
    x0, y0, xbin, ybin = place
    number = number if detector in ("ACS WFC", "WFC3 UVIS") else 1
    chip = identity(bad.shape, detector, number, x0=x0, y0=y0, xbin=xbin, ybin=ybin)
    path = tmp_path_factory.mktemp("t") / "t_bpx.fits"
    bad_pixel_table([(chip, bad)]).writeto(path)
    flags = bad_in_table(path, chip.ccdchip or 1)
    inside = flags[y0 : y0 + 5 * ybin, x0 : x0 + 7 * xbin]
    np.testing.assert_array_equal(inside, 4 * bad.repeat(ybin, 0).repeat(xbin, 1))
    assert (flags != 0).sum() == (inside != 0).sum()
    if chip.ccdchip is not None:
        assert not bad_in_table(path, 3 - chip.ccdchip).any()


def test_a_bad_column_is_one_row_of_a_table() -> None:
    bad = np.zeros((200, 100), bool)
    bad[:, 7] = bad[50, 20:60] = bad[100:140, 80:82] = True
    rows = bad_pixel_table([(identity(bad.shape, "STIS CCD"), bad)])[1].data
    assert [tuple(row)[:4] for row in rows] == [
        (8, 1, 200, 2),
        (21, 51, 40, 1),
        (81, 101, 40, 2),
        (82, 101, 40, 2),
    ]


@pytest.mark.parametrize(
    ("detector", "size", "selection"),
    [
        ("ACS WFC", (4096, 2048), ("N/A", 2, -999.0)),
        ("WFC3 UVIS", (4096, 2051), ("N/A", 2, -999.0)),
        ("ACS SBC", (1024, 1024), ("N/A", -999, -999.0)),
        ("WFC3 IR", (1024, 1024), ("N/A", -999, -999.0)),
        ("STIS NUV-MAMA", (1024, 1024), None),
    ],
)
def test_a_table_has_what_the_calibration_programs_read(
    detector: str, size: tuple[int, int], selection: tuple[object, ...] | None
) -> None:
    primary, table = bad_pixel_table([(identity(detector=detector), some_bad(1))])
    instrument, name = detector.split()
    assert primary.data is None
    for keyword, value in (
        ("TELESCOP", "HST"),
        ("INSTRUME", instrument),
        ("DETECTOR", name),
        ("FILETYPE", "BAD PIXELS"),
    ):
        assert primary.header[keyword] == value
    assert (table.header["SIZAXIS1"], table.header["SIZAXIS2"]) == size
    own = ["CCDAMP", "CCDCHIP", "CCDGAIN"] if selection else []
    assert table.columns.names == [*own, "PIX1", "PIX2", "LENGTH", "AXIS", "VALUE"]
    if selection:
        assert {tuple(row)[:3] for row in table.data} == {selection}
    for hdu in (primary, table):
        assert (hdu.verify_checksum(), hdu.verify_datasum()) == (1, 1)


def test_a_mask_without_bad_pixels_is_a_table_without_rows() -> None:
    table = bad_pixel_table([(identity(), np.zeros((16, 20), bool))])[1]
    assert len(table.data) == 0
    assert table.header["SIZAXIS1"] == 1024


@pytest.mark.parametrize(
    ("chip", "said"),
    [
        (identity(detector="NICMOS 2"), "NICMOS has no bad-pixel tables; ACS, WFC3 and STIS have"),
        (identity((2048, 2048), "STIS FUV-MAMA"), "reaches beyond the 1024 x 1024 pixels"),
        (identity(x0=-1), "reaches beyond the 1024 x 1024 pixels"),
        (identity((1024, 1024)), ""),
    ],
)
def test_some_chips_have_no_bad_pixel_table(chip: object, said: str) -> None:
    assert why_no_table(chip).startswith(said)
    assert bool(why_no_table(chip)) == bool(said)
