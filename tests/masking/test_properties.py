"""What holds for whatever exposures: properties of whole runs, files and all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.support.makers import exposure, sky
from tests.support.runs import expected, flagged, only, run

pytestmark = pytest.mark.usefixtures("implementation")

SHAPE = (9, 11)
EXAMPLES = settings(max_examples=15)

# Two sorts of skies: noise with a few low and high pixels, and arrays in which
# hypothesis puts what it likes, down to one value everywhere and no mode at all.
noise = st.integers(0, 10**6).map(lambda seed: sky(seed, SHAPE, low=4, high=4))
anything = arrays(np.float32, SHAPE, elements=st.floats(-1e4, 1e4, width=32))
counts = arrays(np.int16, SHAPE, elements=st.integers(-20, 300))
skies = st.one_of(noise, anything, counts)
flags = arrays(np.int16, SHAPE, elements=st.sampled_from([0, 0, 0, 4, 16, 20, -32768]))


@contextmanager
def written(pixels: Sequence[np.ndarray], **more: object) -> Iterator[list[Path]]:
    """Write an exposure of each array into a folder that lives as long as the example."""
    with tempfile.TemporaryDirectory() as folder:
        yield [
            exposure(
                Path(folder) / f"{number}_flt.fits",
                [array],
                errors=False,
                **{key: [value[number]] for key, value in more.items()},
            )
            for number, array in enumerate(pixels)
        ]


def mask_of(paths: Sequence[Path], **options: object) -> np.ndarray:
    return only(run(*paths, out=paths[0].parent / "out", jobs=1, **options))


@EXAMPLES
@given(st.lists(skies, min_size=1, max_size=4))
def test_a_mask_is_the_union_of_what_is_low_in_each_exposure(pixels: list[np.ndarray]) -> None:
    with written(pixels) as paths:
        np.testing.assert_array_equal(mask_of(paths), expected(pixels))


@EXAMPLES
@given(st.data(), st.lists(skies, min_size=2, max_size=4))
def test_the_order_of_exposures_does_not_matter(
    data: st.DataObject, pixels: list[np.ndarray]
) -> None:
    with written(pixels) as paths:
        order = data.draw(st.permutations(paths))
        np.testing.assert_array_equal(mask_of(paths), mask_of(order))


@EXAMPLES
@given(
    st.lists(st.tuples(skies, flags), min_size=2, max_size=4),
    st.integers(1, 3),
    st.sampled_from([None, 0, 16]),
)
def test_two_runs_over_a_split_list_find_together_what_one_run_finds(
    exposures: list[tuple[np.ndarray, np.ndarray]], cut: int, final_bits: int | None
) -> None:
    pixels, dq = zip(*exposures, strict=True)
    cut = min(cut, len(pixels) - 1)
    with written(pixels, flags=dq) as paths:
        # Examples may repeat an array, with other flags: not one exposure here.
        options = {"final_bits": final_bits, "allow_duplicates": True}
        first, second = mask_of(paths[:cut], **options), mask_of(paths[cut:], **options)
        np.testing.assert_array_equal(mask_of(paths, **options), first & second)


@EXAMPLES
@given(
    arrays(np.int16, SHAPE, elements=st.integers(-12, 12)),
    st.lists(st.tuples(st.integers(1, 98), st.integers(-3000, -60)), max_size=4),
    st.integers(-4000, 4000),
)
def test_a_constant_added_to_the_sky_does_not_change_the_mask(
    deviations: np.ndarray, holes: list[tuple[int, int]], constant: int
) -> None:
    # Whole numbers below 2**24: no pixel is rounded, and neither are their differences.
    # The first pixel, at which the search for the extremes starts, lies in the sky's midst.
    for place, depth in holes:
        deviations.reshape(-1)[place] = depth
    deviations[0, 0] = 0
    plain = deviations.astype(np.float32)
    with written([plain, plain + np.float32(constant)]) as paths:
        report = run(paths[0], out=paths[0].parent / "plain")
        (record,) = report.masks[0].chips
        # The mean, and with it the threshold, is rounded differently at another
        # height; only a pixel that lies on the threshold itself can feel that.
        assume(record.nbins < 2 or np.abs(plain - record.threshold).min() > 1e-2)
        np.testing.assert_array_equal(only(report), mask_of(paths[1:]))


@EXAMPLES
@given(st.lists(skies, min_size=1, max_size=3), st.floats(0.01, 8), st.floats(0.01, 8))
def test_a_larger_static_sig_never_finds_more_bad_pixels(
    pixels: list[np.ndarray], one: float, other: float
) -> None:
    with written(pixels) as paths:
        many = mask_of(paths, static_sig=min(one, other))
        few = mask_of(paths, static_sig=max(one, other))
        assert (many <= few).all()


@EXAMPLES
@given(skies, flags, st.integers(0, 65535))
def test_bad_pixels_are_the_low_ones_and_those_with_a_bit_that_is_not_good(
    pixels: np.ndarray, dq: np.ndarray, good: int
) -> None:
    with written([pixels], flags=[dq]) as paths:
        np.testing.assert_array_equal(
            mask_of(paths, final_bits=good), expected([pixels]) & flagged(dq, good)
        )


@EXAMPLES
@given(st.lists(skies, min_size=1, max_size=3))
def test_a_copy_of_an_exposure_changes_nothing_in_the_mask(pixels: list[np.ndarray]) -> None:
    with written(pixels) as paths:
        copy = shutil.copy(paths[0], paths[0].with_name("copy_flt.fits"))
        np.testing.assert_array_equal(mask_of([*paths, copy]), mask_of(paths))
