"""Files, values and surroundings that mean no good: one clear line, no trace, nothing lost."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from staticmask_cli import ConfigError, InputError, create_masks
from staticmask_cli.cli.main import main
from tests.support.makers import association, exposure, sky
from tests.support.runs import Run

SMALL = (24, 32)


def small(path: Path, **more: object) -> Path:
    return exposure(path, [sky(1, SMALL)], errors=False, **more)


def patch(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    assert len(old) == len(new)
    path.write_bytes(data.replace(old, new, 1))


def errors(path: Path, **options: object) -> str:
    with pytest.raises(InputError) as error:
        create_masks(path, output_dir=path.parent / "out", **options)
    assert not (path.parent / "out").exists()
    assert all(path.name in problem for problem in error.value.problems)
    assert all(problem.isprintable() for problem in error.value.problems)
    return str(error.value)


def test_a_negative_size_does_not_send_the_reader_round_for_ever(tmp_path: Path) -> None:
    path = small(tmp_path / "x_flt.fits")
    patch(path, b"NAXIS1  =                   32", b"NAXIS1  =                  -32")
    assert "negative size" in errors(path)


def test_nor_does_one_in_an_association(tmp_path: Path) -> None:
    path = association(tmp_path / "x_asn.fits", [("J1", "EXP-DTH", True)])
    patch(path, b"XTENSION= 'BINTABLE'", b"XTENSION= 'IMAGE   '")
    patch(path, b"NAXIS2  =                    1", b"NAXIS2  =                 -120")
    assert "negative size" in errors(path)


@pytest.mark.parametrize("seed", range(40))
def test_a_changed_byte_is_an_error_or_a_mask_and_never_a_trace(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    for kind in ("", ".gz", ".fz"):
        path = tmp_path / f"x_flt.fits{kind}"
        plain = small(tmp_path / "plain.fits", flags=[np.zeros(SMALL, "i2")])
        data = plain.read_bytes()
        if kind == ".gz":
            data = gzip.compress(data, mtime=0)
        elif kind == ".fz":
            with fits.open(plain) as hdus:
                packed = fits.CompImageHDU(hdus["SCI"].data, hdus["SCI"].header, name="SCI")
                fits.HDUList([hdus[0], packed]).writeto(path)
            data = path.read_bytes()
        damaged = bytearray(data)
        damaged[rng.integers(len(damaged))] = rng.integers(256)
        path.write_bytes(damaged)
        out = tmp_path / f"out{kind}"
        try:
            report = create_masks(path, output_dir=out, final_bits=None if kind == ".fz" else 0)
        except InputError as error:
            assert all(problem.isprintable() for problem in error.problems)  # noqa: PT017
            assert not out.exists()
        else:
            for mask in report.masks:
                with fits.open(mask.path, checksum=True) as hdus:
                    hdus.verify("exception")


@pytest.mark.parametrize("kind", ["", ".gz"])
def test_a_file_cut_at_any_block_is_an_error_or_a_warning(kind: str, tmp_path: Path) -> None:
    whole = small(tmp_path / "x_flt.fits", primary={"NEXTEND": 2}, flags=[np.zeros(SMALL, "i2")])
    data = whole.read_bytes()
    cuts = range(2880, len(data), 2880)
    assert len(cuts) >= 5
    for cut in cuts:
        path = tmp_path / f"cut{cut}.fits{kind}"
        part = data[:cut]
        path.write_bytes(gzip.compress(part) if kind else part)
        try:
            report = create_masks(path, output_dir=tmp_path / "out")
        except InputError as error:
            assert path.name in str(error)  # noqa: PT017 - either way is right
        else:
            assert any("NEXTEND" in warning for warning in report.warnings)


def test_a_constant_array_of_absurd_size_takes_no_memory(tmp_path: Path) -> None:
    path = small(tmp_path / "x_flt.fits")
    with fits.open(path) as hdus:
        empty = fits.ImageHDU(name="SCI")
        empty.header.update(PIXVALUE=1.0, NPIX1=1_000_000, NPIX2=1_000_000)
        fits.HDUList([hdus[0], empty]).writeto(path, overwrite=True)
    assert "larger than any detector" in errors(path)


def test_a_chip_that_does_not_fit_in_memory_is_reported_with_its_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "x_flt.fits"
    header = exposure(path, [np.zeros((2, 2), "f4")], errors=False).read_bytes()
    patched = header.replace(b"NAXIS1  =                    2", b"NAXIS1  =               100000")
    path.write_bytes(
        patched.replace(b"NAXIS2  =                    2", b"NAXIS2  =               100000")
    )
    os.truncate(path, 100_000 * 100_000 * 4 + 28800)  # a hole: it takes no room on the disk
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30,) * 2); "
        "from staticmask_cli.cli.main import main; main(sys.argv[1:])"
    )
    assert resource.RLIMIT_AS
    result = subprocess.run(
        [sys.executable, "-c", program, path, "-j", "1", "-o", tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    *warned, line = result.stderr.splitlines()
    assert all("warning: " in one for one in warned)  # of what follows the array
    assert "x_flt.fits: SCI,1: its 100000 x 100000 pixels do not fit in memory" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("version", [3_000_000_000, -3_000_000_000])
def test_an_extver_beyond_32_bits_is_an_error(version: int, tmp_path: Path) -> None:
    path = small(tmp_path / "x_flt.fits")
    old = b"EXTVER  =                    1"
    patch(path, old, f"EXTVER  ={version:21d}".encode()[: len(old)].ljust(len(old)))
    assert "EXTVER" in errors(path)


def test_two_dq_arrays_of_one_version_are_an_error(tmp_path: Path) -> None:
    path = small(tmp_path / "x_flt.fits", flags=[np.zeros(SMALL, "i2")])
    fits.append(path, np.ones(SMALL, "i2"), fits.Header({"EXTNAME": "DQ", "EXTVER": 1}))
    assert "two DQ arrays" in errors(path, final_bits=0)


def test_a_member_with_escape_sequences_does_not_reach_the_terminal(
    staticmask: Run, tmp_path: Path
) -> None:
    path = association(tmp_path / "x_asn.fits", [("J_31MRED", "EXP-DTH", True)])
    patch(path, b"J_31MRED", b"J\x1b[31mRE")
    result = staticmask("x_asn.fits", "--log-file", "log")
    assert result.returncode == 1
    assert "\x1b" not in result.stderr + (tmp_path / "log").read_text(encoding="utf-8")


def test_a_member_with_an_impossible_file_name_is_missing(tmp_path: Path) -> None:
    columns = [
        fits.Column(name="MEMNAME", format="400A", array=["j" * 400]),
        fits.Column(name="MEMTYPE", format="7A", array=["EXP-DTH"]),
        fits.Column(name="MEMPRSNT", format="L", array=[True]),
    ]
    path = tmp_path / "x_asn.fits"
    fits.BinTableHDU.from_columns(columns).writeto(path)
    assert "is missing" in errors(path)


@pytest.mark.parametrize("name", ["final_bits", "prefix", "output_dir"])
def test_a_blank_argument_is_an_error_and_not_the_default(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{name} is empty"):
        create_masks(small(tmp_path / "x_flt.fits"), **{name: " "})


def test_no_good_bits_at_all_is_not_taken_for_no_flags(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="final_bits is empty"):
        create_masks(small(tmp_path / "x_flt.fits"), final_bits=[])


@pytest.mark.parametrize("value", ["１", "²", "٣"])  # noqa: RUF001 - what it is about
def test_digits_of_other_scripts_are_not_dq_bits(value: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        create_masks(small(tmp_path / "x_flt.fits"), final_bits=value)


@pytest.mark.parametrize("name", ["input", "output_dir", "config"])
def test_a_null_byte_is_an_error_like_any_other(name: str, tmp_path: Path) -> None:
    options = {"input": str(small(tmp_path / "x_flt.fits"))} | {name: "a\0b"}
    with pytest.raises(ConfigError):
        create_masks(**options)


def test_a_run_goes_on_with_standard_error_closed(tmp_path: Path) -> None:
    path = small(tmp_path / "x_flt.fits")
    command = f'"{sys.executable}" -m staticmask_cli "{path}" -o "{tmp_path}/out" 2>&-'
    result = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, text=True, check=True)
    assert result.stdout.startswith(f"{tmp_path}/out/ACSHRC_24x32_1_staticMask.fits  ")


def test_a_closed_pipe_on_standard_output_is_not_a_failure(tmp_path: Path) -> None:
    path = small(tmp_path / "x_flt.fits")
    command = f'"{sys.executable}" -m staticmask_cli "{path}" -o "{tmp_path}/out"'
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"({command}; echo $? >&2) | head -c 0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == "0\n"
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_log_file_on_a_full_disk_costs_no_mask(staticmask: Run, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("asks Linux's /dev/full")
    small(tmp_path / "x_flt.fits")
    result = staticmask("x_flt.fits", "-v", "--log-file", "/dev/full")
    assert result.returncode == 0
    assert result.stderr.count("cannot be written any more") == 1
    assert "Traceback" not in result.stderr
    assert len(result.stdout.splitlines()) == 1


def test_an_editor_that_never_fixes_errors_does_not_loop_forever(
    staticmask: Run, tmp_path: Path
) -> None:
    small(tmp_path / "x_flt.fits")
    result = staticmask("x_flt.fits", "--editpars", EDITOR="sed -i s/4.0/zz/", VISUAL="")
    assert result.returncode == 2
    assert "static_sig" in result.stderr
    assert not list(tmp_path.glob("*staticMask*"))


def test_an_older_mask_with_the_documented_name_is_reported(tmp_path: Path) -> None:
    wfc = {"INSTRUME": "ACS", "DETECTOR": "WFC"}
    for name, x in (("a", 0), ("b", -1024)):
        small(tmp_path / f"{name}_flt.fits", primary=wfc, chips=[{"CCDCHIP": 1, "LTV1": x}])
    create_masks(tmp_path / "a_flt.fits", output_dir=tmp_path)
    report = create_masks(tmp_path / "?_flt.fits", output_dir=tmp_path)
    assert any("the older mask of that name is unchanged" in warning for warning in report.warnings)
    assert len(list(tmp_path.glob("*staticMask.fits"))) == 3


@pytest.mark.parametrize("word", ["", "tests/", "-o m", "-c s", "--log-file l"])
def test_names_of_files_complete_in_the_shell(word: str, staticmask: Run) -> None:
    words = f"staticmask {word}".strip() + (" " if not word else "")
    kind = "dir" if word.startswith("-o") else "file"
    result = staticmask(
        _STATICMASK_COMPLETE="bash_complete",
        COMP_WORDS=words,
        COMP_CWORD=str(len(f"{words}x".split()) - 1),
    )
    *commands, last = result.stdout.splitlines()
    assert last == f"{kind},{word.rsplit(' ', maxsplit=1)[-1]}"
    assert commands == ([] if word else [f"plain,{name}" for name in sorted(main.commands)])


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it never came about")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no terminals to close")
def test_a_closed_terminal_ends_a_run_as_ctrl_c_does(tmp_path: Path) -> None:
    # A pipe that nobody writes into holds the run up where a test can see it.
    small(tmp_path / "x_flt.fits")
    os.mkfifo(tmp_path / "list")
    process = subprocess.Popen(
        [sys.executable, "-m", "staticmask_cli", "@list", "-o", "out"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # Under nohup it would be ignored, and stay so.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509 - one thread
    )
    handled = f"/proc/{process.pid}/status"
    if not Path(handled).exists():
        process.kill()
        pytest.skip("asks Linux's kernel")

    def is_ready() -> bool:
        lines = Path(handled).read_text(encoding="ascii").splitlines()
        (caught,) = (line.split()[1] for line in lines if line.startswith("SigCgt"))
        return bool(int(caught, 16) & 1 << (signal.SIGHUP - 1))

    wait_for(is_ready)
    process.send_signal(signal.SIGHUP)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert message == "staticmask: error: interrupted\n"
    assert not (tmp_path / "out").exists()
