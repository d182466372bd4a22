"""The C kernel: its functions equal NumPy's, and NumPy is used wherever it cannot run."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from staticmask_cli.settings import KERNEL_VARIABLE
from staticmask_cli.statistics import c_loops, loops, numpy_loops, rounds
from staticmask_cli.statistics.c_loops import CLoops, NotUsableError, load
from tests.support.makers import REAL, sky
from tests.support.runs import Run

F = np.float32
SPECIAL = [0.0, -0.0, 1.0, 2.0, 1e-45, -1e-40, 3e38, -3e38, 1e20, 16777216.0]
# Around the kernel's rows of 1024 pixels, and NumPy's blocks.
SIZES = [1, 7, 8, 9, 15, 16, 17, 100, 1023, 1025, 4096 + 13, rounds.BLOCK + 1]

finite = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.sampled_from(SPECIAL)
anything = finite | st.sampled_from([math.nan, math.inf, -math.inf])
whole_numbers = st.integers(-300, 70000)


def pixels_of(elements: st.SearchStrategy) -> st.SearchStrategy:
    """Return arrays of 1 to 100 pixels that start anywhere, even between two pixels."""
    arrays = hnp.arrays(F, st.integers(1, 100), elements=elements)
    return st.builds(moved, arrays, st.integers(0, 9))


def moved(pixels: np.ndarray, start: int) -> np.ndarray:
    """Return a copy that starts `start` bytes after an aligned address."""
    memory = np.empty(pixels.nbytes + start + 8, np.uint8)[start : start + pixels.nbytes]
    memory[:] = pixels.view(np.uint8)
    return memory.view(pixels.dtype)


def assert_equal_splits(kernel: CLoops, pixels: np.ndarray, low: F, high: F, longest: int) -> None:
    with np.errstate(all="ignore"):
        expected = numpy_loops.split(pixels, low, high, longest)
        found = kernel.split(pixels, low, high, longest)
    if expected is None:
        assert found is None
        return
    assert found[0].tobytes() == expected[0].tobytes()
    if not np.isnan(pixels).any():
        clipped = np.clip(pixels, low, high).astype(float)
        assert found[1] == pytest.approx(expected[1], rel=0, abs=1e-14 * np.abs(clipped).sum())
        assert found[2] == pytest.approx(expected[2], rel=1e-14)


def assert_equal_counts(
    kernel: CLoops, pixels: np.ndarray, low: F, high: F, mean: F, origin: F, n_bins: int
) -> None:
    with np.errstate(all="ignore"):
        # What clipping.py makes sure of: no overflow, and all bins exist.
        if not np.isfinite(np.square(high - origin)):
            low = high = origin
        scale = F(n_bins - 0.5) / (high - origin)
        if not scale * (high - origin) < n_bins:
            scale = F(0)
        arguments = pixels, low, high, mean, origin, scale, n_bins
        squares, counts = numpy_loops.squares_and_counts(*arguments)
        same_squares, same_counts = kernel.squares_and_counts(*arguments)
    assert counts.tolist() == same_counts.tolist()
    assert counts.sum() == pixels.size
    if math.isfinite(squares):
        assert same_squares == pytest.approx(squares, rel=1e-14)
    else:
        assert not math.isfinite(same_squares)


@given(hnp.arrays(np.uint64, st.tuples(st.integers(0, 9), st.integers(1, 21))), st.integers(0, 9))
def test_mixing_words_gives_equal_lanes(kernel: CLoops, words: np.ndarray, start: int) -> None:
    words = moved(words.reshape(-1), start).reshape(words.shape)
    assert kernel.mix(words).tolist() == numpy_loops.mix(words).tolist()


@given(pixels_of(anything), finite, finite, st.integers(0, 100))
def test_splitting_any_pixels_is_equal(
    kernel: CLoops, pixels: np.ndarray, one: float, other: float, longest: int
) -> None:
    assert_equal_splits(kernel, pixels, F(min(one, other)), F(max(one, other)), longest)


@given(pixels_of(whole_numbers), whole_numbers, whole_numbers)
def test_sums_of_whole_numbers_are_exact(
    kernel: CLoops, pixels: np.ndarray, one: float, other: float
) -> None:
    low, high = F(min(one, other)), F(max(one, other))
    arguments = pixels, low, high, pixels.size
    assert kernel.split(*arguments)[1:] == numpy_loops.split(*arguments)[1:]


@given(pixels_of(finite | whole_numbers), st.data(), st.integers(1, numpy_loops.MOST_BINS))
def test_squares_and_counts_of_any_pixels_are_equal(
    kernel: CLoops, pixels: np.ndarray, data: st.DataObject, n_bins: int
) -> None:
    three = st.lists(st.sampled_from(pixels.tolist()), min_size=3, max_size=3)
    origin, low, high = (F(value) for value in sorted(data.draw(three)))
    assert_equal_counts(kernel, pixels, low, high, F(data.draw(finite)), origin, n_bins)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("start", [0, 4, 5])
def test_arrays_of_any_size_and_start_are_equal(kernel: CLoops, size: int, start: int) -> None:
    pixels = moved(np.resize(sky(7, (64, 80)), size), start)
    low, high = F(30), F(50)
    for longest in (size, size // 8, 0):
        assert_equal_splits(kernel, pixels, low, high, longest)
    for n_bins in (2, 60, numpy_loops.MOST_BINS):
        assert_equal_counts(kernel, pixels, low, high, F(40.1), F(20), n_bins)


def test_arrays_with_gaps_are_refused(kernel: CLoops) -> None:
    with pytest.raises(ValueError, match="contiguous"):
        kernel.split(sky(1).reshape(-1)[::2], F(0), F(1), 9)


def with_digest(content: bytes) -> bytes:
    return content + hashlib.sha256(content).digest()


def compiled(source: str, folder: Path) -> bytes:
    from staticmask_cli.statistics import _build_kernel  # noqa: PLC0415 - needs hatchling

    (folder / "x.c").write_text(source, encoding="utf-8")
    assert _build_kernel.compile_kernel(folder / "x.c", folder / "x.so")
    return (folder / "x.so").read_bytes()


SOURCE = Path(c_loops.__file__).with_name("_kernel.c").read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content, _: content[:-1], "is damaged"),
        (lambda content, _: content[:4096], "is damaged"),
        (lambda content, _: content[:100], "is damaged"),
        (lambda _content, _: b"", "is damaged"),
        (lambda content, _: content.replace(b"\x7fELF", b"\x7fELG"), "is damaged"),
        (lambda _content, _: with_digest(b"not a library"), "cannot be loaded"),
        (
            lambda _content, path: compiled("int other(void) { return 1; }", path),
            "cannot be loaded",
        ),
        (
            lambda _content, path: compiled(SOURCE.replace("return 1; }", "return 0; }", 1), path),
            "is of another version",
        ),
        (lambda _content, path: compiled(SOURCE.replace("mix(", "mux("), path), "cannot be loaded"),
        (
            lambda _content, path: compiled(SOURCE.replace("defined(__x86_64__)", "0"), path),
            "this processor has no AVX2",
        ),
    ],
)
def test_a_library_that_cannot_be_used_leaves_the_work_to_numpy(
    change: Callable[[bytes, Path], bytes],
    reason: str,
    kernel_library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "_kernel.so"
    path.write_bytes(change(kernel_library.read_bytes(), tmp_path))
    with pytest.raises(NotUsableError, match=reason):
        load(path)
    monkeypatch.setattr(c_loops, "load", lambda: load(path))
    with caplog.at_level(logging.DEBUG):
        assert choice(monkeypatch) is numpy_loops
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("the statistics run in NumPy: ")
    assert reason in caplog.messages[0]


def choice(monkeypatch: pytest.MonkeyPatch, value: str | None = None) -> object:
    """Return the choice of a new process, with a value of the environment variable."""
    monkeypatch.delenv(KERNEL_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(KERNEL_VARIABLE, value)
    return loops._choice.__wrapped__()


def test_the_environment_variable_switches_the_kernel_off(
    kernel: CLoops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(c_loops, "load", lambda: kernel)
    for value in ("off", "OFF", "0", "no", "false"):
        assert choice(monkeypatch, value) is numpy_loops
    for value in (None, "", "on"):
        assert choice(monkeypatch, value) is kernel


def test_a_missing_library_leaves_the_work_to_numpy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(c_loops, "load", lambda: load(tmp_path / "missing.so"))
    assert choice(monkeypatch) is numpy_loops


def test_a_verbose_run_logs_once_what_is_used(staticmask_process: Run) -> None:
    result = staticmask_process(REAL, "-vv", "-o", "out", **{KERNEL_VARIABLE: "off"})
    lines = [line for line in result.stderr.splitlines() if "the statistics run in" in line]
    assert len(lines) == 1
    assert lines[0].endswith("the statistics run in NumPy: STATICMASK_KERNEL is off")
    assert "is not the environment variable of an option" not in result.stderr


@pytest.mark.parametrize("cc", ["false", "missing-compiler -x", "cc 'unbalanced", "cc"])
def test_a_compiler_that_fails_is_followed_by_the_next(
    cc: str, kernel_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from staticmask_cli.statistics import _build_kernel  # noqa: PLC0415 - needs hatchling

    source = Path(c_loops.__file__).with_name("_kernel.c")
    monkeypatch.setenv("CC", cc)
    assert _build_kernel.compile_kernel(source, tmp_path / "k.so")
    assert (tmp_path / "k.so").read_bytes() == kernel_library.read_bytes()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not _build_kernel.compile_kernel(source, tmp_path / "k.so")
    assert [path.name for path in tmp_path.iterdir()] == []


@pytest.mark.parametrize(("value", "is_known"), [("ON", True), (" 0 ", True), ("offf", False)])
def test_an_unknown_value_of_the_variable_is_a_warning(
    value: str, is_known: bool, staticmask_process: Run
) -> None:
    result = staticmask_process(REAL, "-o", "out", **{KERNEL_VARIABLE: value})
    assert result.returncode == 0
    warning = f"staticmask: warning: {KERNEL_VARIABLE} is 'offf', not on or off; it is ignored\n"
    assert result.stderr == ("" if is_known else warning)
