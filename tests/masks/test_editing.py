"""Boxes of pixels, and the changes that edit makes, against plain pixel-by-pixel versions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from staticmask_cli.masks.boxes import boxes_of, filled
from staticmask_cli.masks.editing import Edit, Operation, grown, with_whole_columns, without_gaps

ARRAYS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9))


@given(ARRAYS)
def test_boxes_cover_the_bad_pixels_each_once(bad: np.ndarray) -> None:
    boxes = boxes_of(bad)
    times = sum((filled([box], bad.shape).astype(int) for box in boxes), np.zeros(bad.shape, int))
    np.testing.assert_array_equal(times, bad)
    np.testing.assert_array_equal(filled(boxes, bad.shape), bad)
    assert boxes[:, [1, 0]].tolist() == sorted(boxes[:, [1, 0]].tolist())


def test_a_bad_column_a_block_and_a_row_are_a_box_each() -> None:
    bad = np.zeros((100, 50), bool)
    bad[:, 7] = bad[20:40, 20:30] = bad[60, 40:] = True
    assert boxes_of(bad).tolist() == [[7, 0, 1, 100], [20, 20, 10, 20], [40, 60, 10, 1]]


@given(ARRAYS, st.integers(1, 12))
def test_growing_reaches_n_pixels_to_every_side(bad: np.ndarray, n: int) -> None:
    rows, columns = bad.shape
    expected = [
        [bad[max(y - n, 0) : y + n + 1, max(x - n, 0) : x + n + 1].any() for x in range(columns)]
        for y in range(rows)
    ]
    before = bad.copy()
    np.testing.assert_array_equal(grown(bad, n), expected)
    np.testing.assert_array_equal(bad, before)


@given(ARRAYS, st.integers(1, 9))
def test_gaps_are_filled_only_between_bad_pixels_of_a_column(bad: np.ndarray, n: int) -> None:
    expected = bad.copy()
    for x in range(bad.shape[1]):
        places = np.flatnonzero(bad[:, x])
        for one, other in pairwise(places):
            if other - one - 1 <= n:
                expected[one:other, x] = True
    np.testing.assert_array_equal(without_gaps(bad, n), expected)


@given(ARRAYS, st.integers(0, 99))
def test_columns_bad_in_more_than_a_share_are_filled(bad: np.ndarray, percent: int) -> None:
    whole = [100 * int(column.sum()) > percent * len(column) for column in bad.T]
    expected = bad | np.array(whole)
    np.testing.assert_array_equal(with_whole_columns(bad, percent / 100), expected)


def test_a_share_is_the_decimal_number_that_was_given() -> None:
    bad = np.zeros((100, 1), bool)
    bad[:7] = True  # 0.07 * 100 > 7 in floating point, 0.57 * 100 < 57
    assert not with_whole_columns(bad, 0.07).all()
    bad[:57] = True
    assert not with_whole_columns(bad, 0.57).all()
    bad[:58] = True
    assert with_whole_columns(bad, 0.57).all()


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (Edit(Operation.GROW, "2", "", 8, 0), "grow 2: +8 -0 bad pixels"),
        (Edit(Operation.AND, "b.fits", "0", 0, 3), "and b.fits: +0 -3 bad pixels"),
    ],
)
def test_a_change_is_one_line(edit: Edit, text: str) -> None:
    assert str(edit) == text
