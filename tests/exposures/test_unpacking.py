"""Gzipped exposures: unpacked once, with the masks of the plain files."""

from __future__ import annotations

import gzip
import importlib.util
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from staticmask_cli import InputError, explain
from staticmask_cli.exposures import extent, gzipped, pixels
from staticmask_cli.exposures.fits_files import open_fits, silenced
from tests.support.makers import INSTRUMENTS, exposure, sky
from tests.support.runs import masks, run

SHAPE = (64, 80)


def chips(
    path: Path, seeds: tuple[int, ...] = (1, 2), *, order: str = "SDSD", **more: object
) -> Path:
    """Write an ACS/WFC exposure with flags, its extensions in any order."""
    primary, headers = INSTRUMENTS["acs_wfc"]
    flags = [(np.random.default_rng(seed).random(SHAPE) < 0.01).astype("i2") for seed in seeds]
    exposure(
        path, [sky(seed) for seed in seeds], primary=primary, chips=headers, flags=flags, **more
    )
    with fits.open(path, memmap=False) as hdus:
        arrays = {
            "S": [hdu for hdu in hdus if hdu.name == "SCI"],
            "D": [hdu for hdu in hdus if hdu.name == "DQ"],
        }
        chosen = [arrays[letter].pop(0) for letter in order]
        fits.HDUList([hdus[0], *chosen]).writeto(path, overwrite=True)
    return path


def packed(path: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    new = folder / f"{path.name}.gz"
    new.write_bytes(gzip.compress(path.read_bytes(), 1))
    return new


@pytest.fixture(params=["zlib", "isal"], autouse=True)
def unpacker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Unpack with each of the libraries."""
    if request.param == "zlib":
        monkeypatch.setattr(gzipped, "_IsalError", None)
    elif importlib.util.find_spec("isal") is None:
        pytest.skip("isal is not installed")
    return request.param


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that are unpacked, once for each time."""
    names: list[str] = []

    def opened(path: Path, size: int) -> gzip.GzipFile:
        names.append(path.name)
        return gzipped.open_gzipped(path, size)

    for module in (extent, pixels):
        monkeypatch.setattr(module, "open_gzipped", opened)
    return names


@pytest.mark.parametrize("jobs", [1, 2, 3])
@pytest.mark.parametrize("final_bits", [None, "0"])
def test_an_exposure_is_unpacked_once(
    jobs: int, final_bits: str | None, unpacked: list[str], tmp_path: Path
) -> None:
    plain = [chips(tmp_path / f"{n}_flt.fits", (n, n + 9)) for n in range(3)]
    gzipped_ones = [packed(path, tmp_path / "gz") for path in plain]
    options = {"final_bits": final_bits, "jobs": jobs}
    expected = masks(run(*plain, out=tmp_path / "a", **options))
    assert unpacked == []
    found = masks(run(*gzipped_ones, out=tmp_path / "b", **options))
    assert sorted(unpacked) == [f"{n}_flt.fits.gz" for n in range(3)]
    assert found.keys() == expected.keys()
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name], mask)


@pytest.mark.parametrize(
    ("order", "options", "times"),
    [
        ("SDSD", {"group": "sci,2", "final_bits": "0"}, 1),
        ("SDSD", {"group": "1,3"}, 1),
        # Pixels and flags are too far apart: some arrays are read again.
        ("SSDD", {"final_bits": "0"}, 3),
        ("DDSS", {"final_bits": "0"}, 5),
        ("SSDD", {}, 1),
        # Whether a chip is read depends on the mask: each is read later.
        ("SDSD", {"update": True}, 3),
        ("SDSD", {"dry_run": True}, 1),
    ],
)
def test_any_order_and_selection_gives_the_masks_of_the_plain_file(
    order: str, options: dict, times: int, unpacked: list[str], tmp_path: Path
) -> None:
    plain = chips(tmp_path / "a_flt.fits", order=order)
    path = packed(plain, tmp_path / "gz")
    found = run(path, out=tmp_path / "b", jobs=1, **options)
    assert len(unpacked) == times
    expected = run(plain, out=tmp_path / "a", jobs=1, **options)
    assert [m.path.replace("/b/", "/a/") for m in found.masks] == [m.path for m in expected.masks]
    if not options.get("dry_run"):
        for one, other in zip(found.masks, expected.masks, strict=True):
            np.testing.assert_array_equal(one.read(), other.read())


def test_a_chip_that_is_skipped_because_of_a_later_header_is_not_used(tmp_path: Path) -> None:
    path = chips(tmp_path / "a_flt.fits")
    with fits.open(path, mode="update") as hdus:
        for hdu in hdus[1:]:
            hdu.header["NGOODPIX"] = 0 if hdu.name == "SCI" else 5
    with pytest.raises(InputError, match="no exposure is left"):
        run(packed(path, tmp_path / "gz"), out=tmp_path / "m")


def test_explain_finds_the_flags_of_a_gzipped_exposure(unpacked: list[str], tmp_path: Path) -> None:
    plain = chips(tmp_path / "a_flt.fits")
    y, x = np.argwhere(fits.getdata(plain, "DQ", 1))[0].tolist()
    path = packed(plain, tmp_path / "gz")
    found = explain(path, x=x + 1, y=y + 1)
    assert len(unpacked) == 1
    assert next(one.chips[0].dq for one in found) == 1


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("harm", ["cut", "changed"])
def test_a_damaged_file_is_one_error(at: float, harm: str, tmp_path: Path) -> None:
    path = packed(chips(tmp_path / "a_flt.fits"), tmp_path / "gz")
    data = bytearray(path.read_bytes())
    place = min(int(at * len(data)), len(data) - 5)  # at the end: the checksum or the size
    rest = b"" if harm == "cut" else b"\xa5\x5a" + data[place + 2 :]
    path.write_bytes(data[:place] + rest)
    with pytest.raises(InputError) as caught:
        run(path, out=tmp_path / "m")
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"{path}: ")
    assert not (tmp_path / "m").exists()


def test_the_faster_library_is_used_if_it_is_installed(unpacker: str, tmp_path: Path) -> None:
    path = packed(chips(tmp_path / "a_flt.fits"), tmp_path / "gz")
    with gzipped.open_gzipped(path, path.stat().st_size) as file:
        assert type(file).__module__ == {"zlib": "gzip", "isal": "isal.igzip"}[unpacker]


# Warnings of other packages.


def test_warnings_are_suppressed_until_no_thread_reads(tmp_path: Path) -> None:
    before = warnings.filters[:]
    path = chips(tmp_path / "a_flt.fits")
    inside, leave = threading.Barrier(2), threading.Event()

    def read() -> None:
        with open_fits(path):
            inside.wait()
            leave.wait()

    thread = threading.Thread(target=read)
    thread.start()
    inside.wait()
    with silenced:
        warnings.warn("in both", stacklevel=1)
    warnings.warn("in the other thread", stacklevel=1)  # an error if it were not suppressed
    leave.set()
    thread.join()
    assert warnings.filters[:] == before
    with pytest.raises(UserWarning, match="after them"):
        warnings.warn("after them", stacklevel=1)


@pytest.mark.parametrize("name", ["SCI", "DQ"])
@pytest.mark.parametrize("flags", [{}, {"final_bits": 0}], ids=["", "flags"])
def test_an_extension_without_data_between_others_is_that_of_the_plain_file(name, flags, tmp_path):
    path = chips(tmp_path / "a_flt.fits")
    with fits.open(path, memmap=False) as hdus:
        empty = fits.ImageHDU(name=name, ver=3)
        empty.header["BITPIX"] = -32
        fits.HDUList([*hdus[:3], empty, *hdus[3:]]).writeto(path, overwrite=True)
    results = []
    for one in (path, packed(path, tmp_path / "packed")):
        try:
            results.append(masks(run(one, out=tmp_path / f"out_{len(results)}", **flags)))
        except InputError as error:
            results.append([str(line).partition(": ")[2] for line in error.problems])
    plain, unpacked = results
    if name == "SCI":
        assert plain == unpacked
        assert "is empty" in plain[0]
    else:
        np.testing.assert_equal(plain, unpacked)


def test_an_image_with_gcount_0_is_damaged(tmp_path):
    path = chips(tmp_path / "a_flt.fits")
    content = path.read_bytes()
    path.write_bytes(
        content.replace(b"GCOUNT  =                    1", b"GCOUNT  =                    0")
    )
    for one in (path, packed(path, tmp_path / "packed")):
        with pytest.raises(InputError, match="is damaged: HDU 1 has GCOUNT 0"):
            run(one, out=tmp_path / "out")
