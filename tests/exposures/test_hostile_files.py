"""Malicious files: each is one clear error, with little memory and time."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from staticmask_cli import StaticMaskError, create_masks
from tests.support.makers import association, exposure, sky
from tests.support.runs import Run, small, tree

# Python, NumPy and astropy alone need about 60 MiB.
_MEMORY = 150  # MiB


def card(keyword: str, value: object) -> bytes:
    return f"{keyword:<8}= {value!s:>20}".ljust(80).encode()


def block(*cards: bytes) -> bytes:
    """Return a header, padded to whole blocks."""
    text = b"".join(cards) + b"END".ljust(80)
    return text + b" " * (-len(text) % 2880)


PRIMARY = block(
    card("SIMPLE", "T"),
    card("BITPIX", 8),
    card("NAXIS", 0),
    card("EXTEND", "T"),
    b"INSTRUME= 'ACS     '".ljust(80),
    b"DETECTOR= 'HRC     '".ljust(80),
)


def extension(*sides: int, naxis: int | None = None, bitpix: int = -32, version: int = 1) -> bytes:
    return block(
        b"XTENSION= 'IMAGE   '".ljust(80),
        card("BITPIX", bitpix),
        card("NAXIS", len(sides) if naxis is None else naxis),
        *(card(f"NAXIS{axis}", side) for axis, side in enumerate(sides, start=1)),
        card("PCOUNT", 0),
        card("GCOUNT", 1),
        b"EXTNAME = 'SCI     '".ljust(80),
        card("EXTVER", version),
    )


def zeros_after(path: Path, start: bytes, mebibytes: int, filler: bytes = b"\0") -> Path:
    """Write a gzipped file that begins as FITS and continues with filler."""
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(start)
        for _ in range(mebibytes):
            file.write(filler * 2**20)
    return path


def small_bytes(folder: Path) -> bytes:
    return small(folder / "whole.fits").read_bytes()


def compressed_claim(path: Path, side: int) -> None:
    """Write a tile-compressed exposure whose header claims an array of another size."""
    exposure(path, [], errors=False)
    packed = fits.CompImageHDU(sky(1), name="SCI", compression_type="GZIP_1", quantize_level=0)
    with fits.open(path) as hdus:
        fits.HDUList([hdus[0].copy(), packed]).writeto(path.with_name("p.fits"))
    raw = path.with_name("p.fits").read_bytes()
    path.with_name("p.fits").unlink()
    for axis in (1, 2):
        raw = re.sub(rb"ZNAXIS%d = +\d+" % axis, lambda m: m[0][:10] + b"%20d" % side, raw)
    path.write_bytes(raw)


FILES = {
    "beyond the file": lambda p: p.write_bytes(PRIMARY + extension(10**6, 10**6)),
    "beyond any file": lambda p: p.write_bytes(PRIMARY + extension(10**18, 10**18)),
    "numbers of no size": lambda p: p.write_bytes(PRIMARY + extension(10**9, *[10**15] * 40)),
    "NAXIS 999": lambda p: p.write_bytes(PRIMARY + extension(*[1] * 999) + bytes(2880)),
    "999 sides of 9": lambda p: p.write_bytes(PRIMARY + extension(*[9] * 999) + bytes(2880)),
    "NAXIS 999 without sides": lambda p: p.write_bytes(PRIMARY + extension(naxis=999)),
    "NAXIS -1": lambda p: p.write_bytes(PRIMARY + extension(naxis=-1)),
    "negative side": lambda p: p.write_bytes(PRIMARY + extension(-80, 64)),
    "two negative sides": lambda p: p.write_bytes(PRIMARY + extension(-80, -64) + bytes(28800)),
    "EXTVER of 18 digits": lambda p: p.write_bytes(
        PRIMARY + extension(8, 8, version=10**17) + bytes(2880)
    ),
    "20,000 extensions": lambda p: p.write_bytes(
        PRIMARY + b"".join(extension(version=n + 1) for n in range(20000))
    ),
    "no END": lambda p: p.write_bytes(PRIMARY[:480] + b"COMMENT ".ljust(80) * 200_000),
    "compressed claim": lambda p: compressed_claim(p, 16000),
}
GZIPPED = {
    "bytes after the end": lambda p, f: zeros_after(p, small_bytes(f), 320),
    "an array of zeros": lambda p, _: zeros_after(p, PRIMARY + extension(8192, 10240), 320),
    "no END": lambda p, _: zeros_after(p, PRIMARY[:480], 320, b" "),
}


def memory_of(folder: Path, name: str) -> tuple[int, str, int]:
    """Run on one file; return exit status, standard error and peak memory in MiB."""
    code = (
        "import sys\nfrom staticmask_cli.cli.main import main\n"
        "try:\n    main([sys.argv[1], '-o', 'm'])\n"
        "finally:\n"
        "    (line,) = [l for l in open('/proc/self/status') if l.startswith('VmHWM')]\n"
        "    print(line.split()[1])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, name],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return run.returncode, run.stderr, int(run.stdout.split()[-1]) // 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("kind", [*FILES, *(f"gzipped: {kind}" for kind in GZIPPED)])
def test_a_malicious_file_is_one_clear_error_and_takes_little_memory(
    kind: str, tmp_path: Path
) -> None:
    if kind in FILES:
        name = "x_flt.fits"
        FILES[kind](tmp_path / name)
    else:
        name = "x_flt.fits.gz"
        GZIPPED[kind.removeprefix("gzipped: ")](tmp_path / name, tmp_path)
    status, said, memory = memory_of(tmp_path, name)
    assert status == 1, said
    assert said.startswith(f"staticmask: error: {name}: ")
    assert len(said.splitlines()) == 1
    assert memory < _MEMORY
    assert not (tmp_path / "m").exists()


def test_an_excessive_unpacked_size_is_detected_in_the_headers(tmp_path: Path) -> None:
    path = zeros_after(tmp_path / "x_flt.fits.gz", PRIMARY + extension(8192, 10240), 320)
    with pytest.raises(StaticMaskError, match="claims to unpack to 335550080 bytes, more than"):
        create_masks(path, output_dir=tmp_path / "m")


def test_a_gzipped_exposure_with_empty_arrays_is_accepted(tmp_path: Path) -> None:
    # Empty DQ arrays, as in real exposures, compress by a factor of a thousand.
    path = exposure(
        tmp_path / "x_flt.fits", [sky(1, (512, 512))], flags=[np.zeros((512, 512), "i2")]
    )
    packed = tmp_path / "x_flt.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert create_masks(packed, output_dir=tmp_path / "m", final_bits=0).masks[0].exposures == 1


@pytest.mark.parametrize("what", ["rows", "width", "heap"])
def test_an_association_that_claims_more_than_it_contains_is_an_error(
    what: str, tmp_path: Path
) -> None:
    path = association(tmp_path / "x_asn.fits", [("J1", "EXP-DTH", True)])
    keyword = {"rows": b"NAXIS2", "width": b"NAXIS1", "heap": b"PCOUNT"}[what].ljust(8) + b"= "
    raw = re.sub(keyword + rb" +\d+ ", keyword + b"%20d " % 10**12, path.read_bytes())
    path.write_bytes(raw)
    with pytest.raises(StaticMaskError, match=r"x_asn\.fits: "):
        create_masks(path, output_dir=tmp_path / "m")


@pytest.mark.parametrize("keyword", ["INSTRUME", "DETECTOR", "EXTNAME", "CCDCHIP"])
@pytest.mark.parametrize("value", [b"\x1b[31mACS", b"AC\nS", b"\xff\xfe", b"../../x", b"/etc/x"])
def test_header_text_is_escaped_on_the_terminal_and_never_leaves_the_output_folder(
    keyword: str, value: bytes, staticmask: Run, tmp_path: Path
) -> None:
    inside = tmp_path / "work"
    small(inside / "x_flt.fits", chips=[{"CCDCHIP": "12345678"}])
    raw = (inside / "x_flt.fits").read_bytes()
    at = raw.index(keyword.encode().ljust(8) + b"= '") + 11
    (inside / "x_flt.fits").write_bytes(raw[:at] + value + raw[at + len(value) :])
    before = tree(tmp_path)
    result = staticmask("x_flt.fits", "-o", "m", "-v", cwd=inside)
    assert result.returncode in (0, 1)
    assert "Traceback" not in result.stderr
    assert all(c.isprintable() or c == "\n" for c in result.stdout + result.stderr)
    after = {k: v for k, v in tree(tmp_path).items() if not k.startswith("work/m")}
    assert {k: v[0] for k, v in after.items()} == {k: v[0] for k, v in before.items()}
    for path in inside.glob("m/*"):
        assert re.fullmatch(r"[A-Za-z0-9_-]+\.fits", path.name)


def test_circular_links_are_an_error(staticmask: Run, tmp_path: Path) -> None:
    (tmp_path / "a_flt.fits").symlink_to("b_flt.fits")
    (tmp_path / "b_flt.fits").symlink_to("a_flt.fits")
    (tmp_path / "folder").symlink_to(".")
    result = staticmask("a_flt.fits", "folder/folder/*flt.fits")
    assert result.returncode == 1
    assert "a_flt.fits: " in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "name", ["two words.fits", "line\nbreak.fits", "quote'\"`.fits", "-n.fits", "$HOME;ls.fits"]
)
def test_exposures_may_have_unusual_names(name: str, staticmask: Run, tmp_path: Path) -> None:
    small(tmp_path / name)
    result = staticmask("--", name)
    assert (result.returncode, result.stderr) == (0, "")
    small(tmp_path / name).write_bytes(b"x" * 2880)
    result = staticmask("--", name)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1


def outcome(path: Path, folder: Path) -> str:
    """Make masks from a file that may be damaged; return the outcome."""
    try:
        report = create_masks(path, output_dir=folder, jobs=1, keep_going=True)
    except StaticMaskError:
        return "refused"
    for mask in report.masks:
        with fits.open(
            mask.path, checksum=True
        ) as hdus:  # a wrong checksum is a warning, hence an error here
            assert hdus[0].data.shape == (mask.identity.rows, mask.identity.columns)
        Path(mask.path).unlink()
    return "made"


@pytest.mark.parametrize("count", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_changed_bytes_are_errors_or_give_masks(count: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    raw = small(tmp_path / "whole.fits", flags=[np.zeros((16, 20), "i2")]).read_bytes()
    path = tmp_path / "x_flt.fits"
    ends = {"made": 0, "refused": 0}
    # Every other change hits a byte that is neither blank nor zero: most others are padding.
    for number in range(count):
        changed = bytearray(raw)
        place = int(rng.integers(len(raw)))
        while number % 2 and raw[place] in b" \0":
            place = int(rng.integers(len(raw)))
        changed[place] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        ends[outcome(path, tmp_path / "m")] += 1
    assert min(ends.values()) > count / 20, ends


def test_a_file_truncated_at_any_block_is_an_error_or_gives_a_mask(tmp_path: Path) -> None:
    raw = small(tmp_path / "whole.fits", flags=[np.zeros((16, 20), "i2")]).read_bytes()
    path = tmp_path / "x_flt.fits"
    ends = []
    for size in range(0, len(raw) + 1, 2880):
        path.write_bytes(raw[:size])
        ends.append(outcome(path, tmp_path / "m"))
    assert ends[0] == "refused"
    assert ends[-1] == "made"
