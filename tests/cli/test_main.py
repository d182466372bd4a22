"""The command, as a user runs it."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner, Result

from staticmask_cli import __version__, create_masks
from staticmask_cli.cli import logs, main, terminal
from staticmask_cli.config.merging import merge
from staticmask_cli.config.spec import default, keys
from tests.support.makers import REAL, exposure, instrument_exposure, sky

NAME = "ACSHRC_64x80_1_staticMask.fits"
RESULT = re.compile(r"^(\S+)  (\d+)/(\d+)  (\d+\.\d{4})  (\d+)$")

# A text for each option, and the value that it means.
OPTIONS = {
    "static_sig": ("3.5", 3.5),
    "static": ("no", False),
    "final_bits": ("64,32", "64,32"),
    "group": ("sci,1", "sci,1"),
    "output_dir": ("out", "out"),
    "prefix": ("combo", "combo"),
    "jobs": ("3", 3),
    "include_empty": ("yes", True),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Stand in a folder with one exposure that the default pattern finds."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("STATICMASK_")]:
        monkeypatch.delenv(name)
    exposure(tmp_path / "j1_flt.fits", [sky(1)])
    return tmp_path


@pytest.fixture
def invoke():
    """Run the command in this process: quicker, where a process of its own shows nothing more."""
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str | Path, **environment: str) -> Result:
        result = CliRunner().invoke(main.main, [*map(str, arguments)], env=environment)
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result

    yield run
    # What a command may do to its process must not reach other tests.
    signal.signal(signal.SIGTERM, handler)
    for log_handler in [*logs.log.handlers]:
        logs.log.removeHandler(log_handler)
        log_handler.close()
    logs.log.propagate = True
    logs.log.setLevel(logging.NOTSET)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# Results and messages.


def test_a_real_exposure_gives_a_mask_and_one_line(staticmask, tmp_path):
    run = staticmask(REAL, "--static-sig", "4.0")
    assert run.returncode == 0
    assert run.stderr == ""
    assert run.stdout == "./STISCCD_256x256_1_staticMask.fits  38/65536  0.0580  1\n"
    assert (tmp_path / "STISCCD_256x256_1_staticMask.fits").is_file()


def test_every_mask_has_a_line_for_awk_sorted_by_path(invoke, tmp_path):
    for row, seed in [("wfpc2", 1), ("wfpc2", 2), ("acs_wfc", 1)]:
        instrument_exposure(tmp_path / "in", row, seed)
    result = invoke("in/*.fits", "-o", "out")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    matches = [RESULT.match(line) for line in lines]
    assert all(matches)
    assert lines == sorted(lines)
    assert len(lines) == 6
    for match in matches:
        path, bad, total, percent, exposures = match.groups()
        header = fits.getheader(path)
        mask = fits.getdata(path)
        assert int(bad) == header["NBAD"] == np.count_nonzero(mask == 0)
        assert int(total) == mask.size
        assert float(percent) == round(100 * int(bad) / int(total), 4)
        assert int(exposures) == header["NEXPOSUR"] == (2 if "WFPC2" in path else 1)


def test_a_folder_with_blanks_leaves_the_other_columns_countable_from_the_right(invoke):
    result = invoke("-o", "my masks")
    assert result.stdout.split("  ") == [f"my masks/{NAME}", "20/5120", "0.3906", "1\n"]


def test_standard_output_has_only_results(staticmask, tmp_path):
    exposure(tmp_path / "j0_flt.fits", [sky(2)], primary={"EXPTIME": 0.0})
    quiet = staticmask()
    loud = staticmask("-vv", STATICMASK_NONSENSE="1")
    assert quiet.stdout == loud.stdout
    assert [bool(RESULT.match(line)) for line in loud.stdout.splitlines()] == [True]
    assert len(quiet.stderr.splitlines()) == 1
    assert quiet.stderr.startswith("staticmask: warning: j0_flt.fits")
    assert "EXPTIME is 0" in quiet.stderr
    assert len(loud.stderr.splitlines()) > 3
    assert all(line.startswith("staticmask: ") for line in loud.stderr.splitlines())


def test_verbose_reports_mode_rms_threshold_and_low_pixels_of_every_chip(invoke, tmp_path):
    instrument_exposure(tmp_path / "in", "acs_wfc", 1)
    result = invoke("-v", "in/acs_wfc01_flt.fits", "-o", "out")
    table = [fits.getdata(path, "EXPOSURES")[0] for path in sorted(Path("out").iterdir())]
    assert result.stderr.splitlines() == [
        f"staticmask: acs_wfc01_flt.fits SCI,{i} (CCDCHIP {3 - i}): "
        f"mode {row['MODE']:.6g}  rms {row['RMS']:.6g}  "
        f"threshold {row['THRESH']:.6g}  low pixels {row['LOWPIX']}"
        for i, row in enumerate(table, start=1)
    ]
    assert result.stdout == invoke("in/acs_wfc01_flt.fits", "-o", "out").stdout


def test_verbose_lists_the_ignored_parts_of_an_astrodrizzle_cfg(invoke):
    Path("a.cfg").write_text(
        "_task_name_ = astrodrizzle\nrunfile = a.log\n[STEP 2: SKY SUBTRACTION]\nskysub = True\n",
        encoding="utf-8",
    )
    assert "a.cfg: ignored" in invoke("-c", "a.cfg", "-v").stderr
    assert invoke("-c", "a.cfg").stderr == ""


def test_quiet_prints_errors_only(invoke, tmp_path):
    exposure(tmp_path / "j0_flt.fits", [sky(2)], primary={"EXPTIME": 0.0})
    result = invoke("-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert (tmp_path / NAME).is_file()
    result = invoke("-q", "missing.fits")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "staticmask: error: missing.fits: file not found\n"


def test_the_log_file_gets_all_messages_with_times_and_is_appended_to(staticmask, tmp_path):
    stamp = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} "
    log = tmp_path / "night.log"
    log.write_text("what was there\n", encoding="utf-8")
    first = staticmask("--log-file", log)
    assert first.stderr == "", "the log file is no reason to say more on the terminal"
    second = staticmask("--log-file", log, "-q", "missing.fits")
    lines = log.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "what was there"
    assert all(re.match(stamp, line) for line in lines[1:])
    said = [re.sub(stamp, "", line) for line in lines[1:]]
    assert any(line.startswith("INFO j1_flt.fits SCI,1: mode ") for line in said)
    assert said[-2:] == [
        "ERROR missing.fits: file not found",
        "DEBUG ended with exit status 1",
    ]
    assert (first.returncode, second.returncode) == (0, 1)


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (".", "is a folder"),
        ("j1_flt.fits/night.log", "j1_flt.fits is a file, not a folder"),
        ("new_staticMask.fits", "has the name of a FITS file"),
        ("a\0b", "is not a file name"),
    ],
)
def test_a_log_file_that_cannot_be_written_stops_the_run_before_it_begins(
    place, why, invoke, tmp_path
):
    result = invoke("--log-file", place)
    assert result.exit_code == 2
    assert result.stderr.startswith("staticmask: error: --log-file: ")
    assert why in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / NAME).exists()


# What does not run.


def test_a_dry_run_says_what_would_be_made_reads_no_pixels_and_writes_nothing(invoke, tmp_path):
    # The pixels are compressed, and damaged where only reading them reveals it.
    primary = fits.PrimaryHDU()
    primary.header.update({"INSTRUME": "ACS", "DETECTOR": "SBC", "EXPTIME": 400.0})
    packed = fits.CompImageHDU(sky(2), name="SCI", compression_type="GZIP_1", quantize_level=0.0)
    # An array behind it, so that the file is longer than its unpacked pixels would be.
    rest = fits.ImageHDU(np.zeros((64, 80), "f8"), name="ERR")
    path = tmp_path / "j2_flt.fits"
    fits.HDUList([primary, packed, rest]).writeto(path)
    content = path.read_bytes()
    assert content.count(b"\x1f\x8b\x08") == 64, "a tile for each row"
    path.write_bytes(content.replace(b"\x1f\x8b\x08", b"\0\0\0"))

    before = contents(tmp_path)
    result = invoke("-n", "-o", "out")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "read   j1_flt.fits",
        "read   j2_flt.fits",
        f"write  out/{NAME}  -/5120  -  1",
        "write  out/ACSSBC_64x80_1_staticMask.fits  -/5120  -  1",
    ]
    assert contents(tmp_path) == before
    assert not Path("out").exists()

    result = invoke("-o", "out")
    assert result.exit_code == 1
    assert "j2_flt.fits" in result.stderr
    assert contents(tmp_path) == before


def test_a_dry_run_finds_what_is_wrong_with_headers(invoke):
    result = invoke("-n", "missing.fits", "j1_flt.fits", "--group", "sci,2")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert [line.split(":")[2].strip() for line in result.stderr.splitlines()] == [
        "missing.fits",
        "j1_flt.fits",
    ]


def test_no_static_makes_nothing_and_says_so(invoke, tmp_path):
    before = contents(tmp_path)
    result = invoke("--no-static")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "staticmask: warning: static is off: no mask is made\n"
    assert contents(tmp_path) == before


def test_a_configuration_that_switches_static_off_is_named(invoke, tmp_path):
    (tmp_path / "my.cfg").write_text("[STEP 1: STATIC MASK]\nstatic = no\n", encoding="utf-8")
    result = invoke("-c", "my.cfg", "--summary", "-")
    line = "static is off (set by my.cfg, line 2): no mask is made"
    assert result.stderr == f"staticmask: warning: {line}\n"
    assert json.loads(result.stdout)["warnings"] == [line]


def test_a_key_outside_its_section_is_warned_of_once_by_every_command(invoke, tmp_path):
    (tmp_path / "my.cfg").write_text("static_sig = 3\n", encoding="utf-8")
    line = "my.cfg: static_sig belongs in [STEP 1: STATIC MASK]; used all the same"
    for options in (["-o", "out"], ["--show-config"], ["explain", "--pixel", "1,1"], ["-n"]):
        result = invoke(*options, "-c", "my.cfg")
        assert result.exit_code == 0
        assert result.stderr == f"staticmask: warning: {line}\n"
    summary = json.loads(invoke("-c", "my.cfg", "-o", "out", "--summary", "-").stdout)
    assert summary["warnings"] == [line]


def test_files_that_clash_are_named_as_they_were_given(invoke, monkeypatch):
    monkeypatch.setenv("STATICMASK_REPORT", "one")
    result = invoke("--summary", "one")
    assert result.exit_code == 2
    assert (
        "report (set by STATICMASK_REPORT) and --summary name the same file: one" in result.stderr
    )
    result = invoke("--summary", "two", "--report", "two")
    assert "--report and --summary name the same file: two" in result.stderr


def test_help_is_the_same_without_docstrings():
    helps = [
        subprocess.run(
            [sys.executable, *flags, "-m", "staticmask_cli", "--help"],
            capture_output=True,
            check=True,
        ).stdout
        for flags in ([], ["-OO"])
    ]
    assert b"INPUT may be exposures, their URLs" in helps[0]
    assert helps[0] == helps[1]


@pytest.mark.parametrize("options", [["--version"], ["-h"], ["--help"], ["--show-config"]])
def test_what_only_informs_writes_nothing(options, invoke, tmp_path):
    before = contents(tmp_path)
    result = invoke(*options)
    assert result.exit_code == 0
    assert result.stdout
    assert result.stderr == ""
    assert contents(tmp_path) == before


def test_the_version_is_the_packages(staticmask):
    assert staticmask("--version").stdout == f"staticmask {__version__}\n"


def test_the_module_calls_itself_by_the_commands_name(staticmask):
    # The fixture runs python -m staticmask_cli.
    assert staticmask("-h").stdout.startswith("Usage: staticmask [make] [OPTIONS] [INPUT]...\n")
    assert "try 'staticmask make --help'" in staticmask("--bogus").stderr


def test_help_names_every_option(invoke):
    text = invoke("--help").stdout
    for name in OPTIONS:
        flag = name.replace("_", "-")
        assert f"--{flag} " in text or f"--[no-]{flag} " in text
    for option in ("--config", "--show-config", "--editpars", "--dry-run", "--log-file"):
        assert option in text


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["--show-config"], ["--bogus"], ["-j", "x"]]
)
def test_help_and_wrong_usage_wait_for_neither_numpy_nor_astropy(arguments):
    code = (
        "import sys\n"
        "from staticmask_cli.cli.main import main\n"
        "try:\n"
        f"    main({arguments})\n"
        "finally:\n"
        "    modules = {name.split('.')[0] for name in sys.modules}\n"
        "    print('loaded', sorted(modules & {'numpy', 'astropy'}), file=sys.stderr)\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert run.stderr.splitlines()[-1] == "loaded []"


# Configuration.


def shown(text: str, path: Path) -> dict[str, object]:
    """Return the settings that a shown configuration stands for."""
    path.write_text(text, encoding="utf-8")
    settings = merge(config_file=path).settings
    return {name: getattr(settings, name) for name in keys()}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_a_flag_and_a_variable_and_the_flag_wins(name, invoke, tmp_path):
    text, means = OPTIONS[name]
    variable = f"STATICMASK_{name.upper()}"
    flag = f"--{name.replace('_', '-')}"
    if isinstance(means, bool):
        as_flag = [flag if means else f"--no-{name.replace('_', '-')}"]
        other = "False" if means else "True"
    else:
        as_flag = [flag, text]
        other = str(default(name) if default(name) is not None else "None")
    for result, origin in [
        (invoke("--show-config", *as_flag), as_flag[0]),
        (invoke("--show-config", **{variable: text}), variable),
        (invoke("--show-config", *as_flag, **{variable: other}), as_flag[0]),
    ]:
        assert result.exit_code == 0
        lines = result.stdout.splitlines()
        (place,) = (i for i, line in enumerate(lines) if line.startswith(f"{name} = "))
        assert lines[place - 1] == f"# Set by: {origin}"
        value = shown(result.stdout, tmp_path / "shown.cfg")[name]
        assert (str(value) if name == "group" else value) == means


@pytest.mark.parametrize(("short", "name"), [("-o", "output_dir"), ("-j", "jobs")])
def test_frequent_options_have_short_names(short, name, invoke, tmp_path):
    text, means = OPTIONS[name]
    result = invoke("--show-config", short, text)
    assert shown(result.stdout, tmp_path / "shown.cfg")[name] == means


def test_every_switch_can_be_turned_either_way(invoke, tmp_path):
    for flags, static, include_empty in [
        (["--static", "--include-empty"], True, True),
        (["--no-static", "--no-include-empty"], False, False),
    ]:
        values = shown(invoke("--show-config", *flags).stdout, tmp_path / "shown.cfg")
        assert (values["static"], values["include_empty"]) == (static, include_empty)


def test_a_variable_counts_in_a_real_run(staticmask, tmp_path):
    run = staticmask(
        STATICMASK_INPUT="j1_flt.fits", STATICMASK_PREFIX="combo", STATICMASK_OUTPUT_DIR="out"
    )
    assert run.returncode == 0
    assert run.stdout == "out/combo_64x80_1_staticMask.fits  20/5120  0.3906  1\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["combo_64x80_1_staticMask.fits"]


def test_a_stray_variable_is_warned_of_and_no_hindrance(invoke):
    result = invoke(STATICMASK_STATIC_SIGMA="3")
    assert result.exit_code == 0
    assert result.stderr.startswith("staticmask: warning: STATICMASK_STATIC_SIGMA ")
    assert len(result.stderr.splitlines()) == len(result.stdout.splitlines()) == 1


def test_the_shown_configuration_can_be_fed_back(staticmask, tmp_path):
    (tmp_path / "mine.cfg").write_text("[RUNNING]\njobs = 2\n", encoding="utf-8")
    first = staticmask(
        *("--show-config", "-c", "mine.cfg", "--static-sig", "3.5", "j1_flt.fits", "j,2_flt.fits"),
        STATICMASK_PREFIX="combo",
    )
    assert first.returncode == 0
    (tmp_path / "shown.cfg").write_text(first.stdout, encoding="utf-8")
    second = staticmask("--show-config", "--config", "shown.cfg")

    def values(text: str) -> list[str]:
        return [line for line in text.splitlines() if not line.startswith("# Set by: ")]

    def origins(text: str) -> list[str]:
        return [line[10:] for line in text.splitlines() if line.startswith("# Set by: ")]

    assert values(first.stdout) == values(second.stdout)
    expected = dict.fromkeys(keys(), "default") | {
        "input": "INPUT",
        "static_sig": "--static-sig",
        "prefix": "STATICMASK_PREFIX",
        "jobs": "mine.cfg",
    }
    assert origins(first.stdout) == list(expected.values())
    assert set(origins(second.stdout)) == {"shown.cfg"}


def test_the_shown_configuration_holds_no_escape_sequences(staticmask, tmp_path):
    (tmp_path / "\x1b[31m.cfg").write_text("[RUNNING]\njobs = 2\n", encoding="utf-8")
    run = staticmask("--show-config", "-c", "\x1b[31m.cfg")
    assert run.returncode == 0
    assert "# Set by: \\x1b[31m.cfg\n" in run.stdout
    assert "\x1b" not in run.stdout
    run = staticmask("--show-config", "\x1b[31m_flt.fits")
    assert (run.returncode, run.stdout) == (2, "")
    assert "'\\x1b[31m_flt.fits' cannot be written to a configuration file" in run.stderr


def test_a_name_that_is_not_utf_8_can_be_shown_or_is_refused_without_traceback(staticmask):
    run = staticmask("--show-config", os.fsdecode(b"caf\xe9_flt.fits"))
    assert "Traceback" not in run.stderr
    assert run.returncode in (0, 2)


def test_without_input_the_configurations_counts(invoke, tmp_path):
    exposure(tmp_path / "other.fits", [sky(2)])
    Path("mine.cfg").write_text("input = other.fits\n", encoding="utf-8")
    assert invoke("-c", "mine.cfg").exit_code == 0
    assert fits.getdata(NAME, "EXPOSURES")["FILE"].tolist() == ["other.fits"]
    assert invoke("-c", "mine.cfg", "j1_flt.fits").exit_code == 0
    assert fits.getdata(NAME, "EXPOSURES")["FILE"].tolist() == ["j1_flt.fits"]
    assert invoke().exit_code == 0
    assert fits.getdata(NAME, "EXPOSURES")["FILE"].tolist() == ["j1_flt.fits"]


@pytest.mark.parametrize("nothing", ["", " "])
def test_a_blank_input_is_an_error_not_the_default_pattern(nothing, invoke, tmp_path):
    # "$FILES" in a script, where the variable is empty.
    result = invoke(nothing)
    assert result.exit_code in (1, 2)
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / NAME).exists()


# Exit status.


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["j1_flt.fits"], 0),
        (["missing.fits"], 1),
        (["no*match.fits"], 1),
        (["@missing"], 1),
        (["-o", "j1_flt.fits"], 1),
        (["--group", "sci,7"], 1),
        (["--final-bits", "0"], 1),  # there are no DQ arrays
        (["--bogus"], 2),
        (["--static-sig"], 2),
        (["--static-sig", "x"], 2),
        (["--static-sig", "-1"], 2),
        (["--final-bits", "x"], 2),
        (["--group", "x"], 2),
        (["--prefix", "../x"], 2),
        (["--jobs", "1.5"], 2),
        (["-c", "missing.cfg"], 2),
        (["-c", "j1_flt.fits"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_the_exit_status_is_0_done_1_failed_2_usage_or_configuration(
    arguments, status, invoke, tmp_path
):
    before = contents(tmp_path)
    result = invoke(*arguments)
    assert result.exit_code == status
    if status:
        assert result.stdout == ""
        assert result.stderr
        assert contents(tmp_path) == before
    else:
        assert (tmp_path / NAME).is_file()


def test_errors_are_lines_without_traceback_all_of_them(staticmask):
    run = staticmask("missing.fits", "no*match.fits", "@missing")
    assert run.returncode == 1
    assert [line.split(": ")[:3] for line in run.stderr.splitlines()] == [
        ["staticmask", "error", "missing.fits"],
        ["staticmask", "error", "no*match.fits"],
        ["staticmask", "error", "missing"],
    ]


def test_all_configuration_errors_are_listed_before_any_input_is_read(staticmask, tmp_path):
    (tmp_path / "bad.cfg").write_text("inptu = a\n[RUNNING]\njobs = -1\n", encoding="utf-8")
    run = staticmask("-c", "bad.cfg", "--static-sig", "x", "missing.fits")
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 3
    for part in ("bad.cfg: inptu", "bad.cfg: [RUNNING] jobs = '-1'", "--static-sig: 'x'"):
        assert run.stderr.count(f"staticmask: error: {part}") == 1


# Equal files.


def test_any_number_of_jobs_gives_the_same_bytes(invoke, tmp_path):
    flags = [np.arange(64 * 80, dtype=np.int16).reshape(64, 80) % 128 for _ in range(2)]
    for seed in range(6):
        instrument_exposure(tmp_path / "in", "wfc3_uvis", seed, flags=flags)
    for jobs in ("1", "4", "0"):
        result = invoke("in/*flt.fits", "--final-bits", "63", "-j", jobs, "-o", f"out{jobs}")
        assert result.exit_code == 0
    made = contents(tmp_path / "out1")
    assert len(made) == 2
    assert made == contents(tmp_path / "out4") == contents(tmp_path / "out0")


def test_a_second_run_replaces_the_masks_by_the_same_bytes(invoke, tmp_path):
    first = invoke()
    before = contents(tmp_path)
    assert NAME in before
    second = invoke("*.fits")  # a mask of ours is no input
    assert (first.stdout, second.stdout) == (second.stdout, first.stdout)
    assert contents(tmp_path) == before


# The editor.


@pytest.fixture
def editor(tmp_path):
    """Return the environment with an editor that makes the given edits, one at each call.

    An edit is a pair of texts, old and new; None stands for leaving without
    saving. What the editor was shown is kept in seen.0, seen.1 and so on.
    """
    script = tmp_path / "editor.py"

    def use(*edits: tuple[str, str] | None) -> dict[str, str]:
        script.write_text(
            "import pathlib, sys\n"
            f"edits = {list(edits)!r}\n"
            "here = pathlib.Path(__file__).parent\n"
            "call = len(list(here.glob('seen.*')))\n"
            "file = pathlib.Path(sys.argv[-1])\n"
            "text = file.read_text()\n"
            "(here / f'seen.{call}').write_text(text)\n"
            "if edits[call]:\n"
            "    assert edits[call][0] in text\n"
            "    file.write_text(text.replace(*edits[call]))\n",
            encoding="utf-8",
        )
        # click would ask $VISUAL first.
        return {"EDITOR": shlex.join([sys.executable, str(script)]), "VISUAL": ""}

    return use


def test_editpars_opens_the_merged_configuration_and_runs_what_was_saved(
    staticmask, editor, tmp_path
):
    environment = editor(("static_sig = 3.5", "static_sig = 5"))
    run = staticmask(
        *("--editpars", "--static-sig", "3.5", "-o", "out", "j1_flt.fits"),
        **environment,
        STATICMASK_PREFIX="combo",
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("out/combo_64x80_1_staticMask.fits  ")
    assert fits.getval(tmp_path / "out" / "combo_64x80_1_staticMask.fits", "STATSIG") == 5.0
    opened = (tmp_path / "seen.0").read_text(encoding="utf-8")
    assert "# Set by: --static-sig\nstatic_sig = 3.5\n" in opened
    assert "# Set by: STATICMASK_PREFIX\nprefix = combo\n" in opened


def test_editpars_unsaved_runs_nothing(staticmask, editor, tmp_path):
    run = staticmask("--editpars", **editor(None))
    assert run.returncode == 0
    assert run.stdout == ""
    assert "not saved" in run.stderr
    assert (tmp_path / "seen.0").is_file()
    assert not (tmp_path / NAME).exists()


def test_wrong_values_send_the_user_back_to_the_editor_with_the_errors_shown(
    staticmask, editor, tmp_path
):
    environment = editor(
        ("static_sig = 4.0", "static_sig = four\nstatic_sgi = 4"),
        ("static_sig = four\nstatic_sgi = 4", "static_sig = 5"),
    )
    run = staticmask("--editpars", **environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert fits.getval(tmp_path / NAME, "STATSIG") == 5.0
    again = (tmp_path / "seen.1").read_text(encoding="utf-8")
    head = [line for line in again.splitlines() if line.startswith("#!")]
    assert again.splitlines()[: len(head)] == head
    assert any("[STEP 1: STATIC MASK] static_sig = 'four' is not a number" in line for line in head)
    assert any("static_sgi is not a known key; did you mean 'static_sig'?" in line for line in head)
    assert "\nstatic_sig = four\n" in again, "what the user wrote is still there"


def test_a_syntax_error_sends_the_user_back_with_the_line_as_the_editor_counts_it(
    staticmask, editor, tmp_path
):
    run = staticmask("--editpars", **editor(("static = True", "static True"), None))
    assert run.returncode == 0
    assert not (tmp_path / NAME).exists()
    lines = (tmp_path / "seen.1").read_text(encoding="utf-8").splitlines()
    (complaint,) = (line for line in lines if "is not understood" in line)
    number = int(re.search(r"line (\d+):", complaint)[1])
    assert lines[number - 1] == "static True"


def test_giving_up_after_an_error_runs_nothing(staticmask, editor, tmp_path):
    run = staticmask("--editpars", **editor(("jobs = 0", "jobs = many"), None))
    assert run.returncode == 0
    assert "not saved" in run.stderr
    assert (tmp_path / "seen.1").is_file()
    assert not (tmp_path / NAME).exists()


def test_an_editor_that_cannot_be_run_is_an_error(staticmask, tmp_path):
    run = staticmask("--editpars", EDITOR="no-such-editor", VISUAL="")
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert "no-such-editor" in run.stderr
    assert not (tmp_path / NAME).exists()


# Interruption.

# The signal is the process's own, sent once, at the moment that matters. The
# worker that sent it gives a clean-up the chance to come first, and the process
# lingers at its end: a worker that was not stopped continues with its next mask.
INTERRUPTED = """
import atexit, os, pathlib, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored in the background
from astropy.io import fits
from staticmask_cli.masking import make
from staticmask_cli.__main__ import main
where, name = sys.argv[1:3]
holder, attribute = {
    "measuring": (make, "measure"),
    "writing": (fits.HDUList, "writeto"),
    "renaming": (pathlib.Path, "replace"),
}[where]
original = getattr(holder, attribute)
went_on = threading.Event()
def unfinished():
    return [name for name in os.listdir("out") if name.endswith(".part")]
def next_one(*arguments, **more):
    result = original(*arguments, **more)
    went_on.set()
    return result
def interrupted(*arguments, **more):
    result = original(*arguments, **more)
    setattr(holder, attribute, next_one)
    there = unfinished()
    print("unfinished:", len(there), file=sys.stderr)
    os.kill(os.getpid(), getattr(signal, name))
    for _ in range(20 * bool(there)):
        if there != unfinished():
            break
        time.sleep(0.01)
    return result
setattr(holder, attribute, interrupted)
atexit.register(went_on.wait, 0.2)
sys.argv[1:] = ["in/*flt.fits", "-o", "out", "-j", "1"]
main()
"""


def interrupt(where: str, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", INTERRUPTED, where, name],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("where", ["measuring", "writing"])
def test_an_interrupted_run_ends_with_130_leaves_old_masks_and_no_temporary_file(
    where, name, invoke, tmp_path
):
    instrument_exposure(tmp_path / "in", "acs_wfc", 1)
    assert invoke("in/*flt.fits", "-o", "out").exit_code == 0
    before = contents(tmp_path / "out")
    assert len(before) == 2
    instrument_exposure(tmp_path / "in", "acs_wfc", 2)

    run = interrupt(where, name)
    assert run.returncode == 130
    assert run.stdout == ""
    assert "Traceback" not in run.stderr
    assert "interrupted" in run.stderr.splitlines()[-1]
    assert run.stderr.splitlines()[0] == f"unfinished: {int(where == 'writing')}"
    assert contents(tmp_path / "out") == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("arguments", [[], ["--show-config"]])
def test_results_that_cannot_be_written_are_an_error_without_traceback(arguments):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        run = subprocess.run(
            [sys.executable, "-W", "error", "-m", "staticmask_cli", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert "No space left on device" in run.stderr


def test_an_interruption_between_two_masks_waits_for_the_second_one(invoke, tmp_path):
    instrument_exposure(tmp_path / "in", "acs_wfc", 1)
    assert invoke("in/*flt.fits", "-o", "out").exit_code == 0
    before = contents(tmp_path / "out")
    instrument_exposure(tmp_path / "in", "acs_wfc", 2)

    run = interrupt("renaming", "SIGTERM")
    after = contents(tmp_path / "out")
    assert run.returncode == 130
    assert set(after) == set(before), "no temporary file is left"
    assert all(after[name] != before[name] for name in before)
    line = run.stderr.splitlines()[-1]
    assert line.startswith("staticmask: error: interrupted; these masks are in place: out/")
    assert "Traceback" not in run.stderr


# The terminal.


def seen_on(master: int) -> str:
    """Return all that was written on a terminal whose other end is closed."""
    said = b""
    try:
        while part := os.read(master, 4096):
            said += part
    except OSError:  # so a terminal ends
        pass
    finally:
        os.close(master)
    return said.decode()


def on_a_terminal(arguments: list[str]) -> tuple[int, str, str]:
    """Run the command with standard error on a terminal; return status, output and errors."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "staticmask_cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
    ) as process:
        os.close(slave)
        output, _ = process.communicate(timeout=60)
    return process.returncode, output, seen_on(master)


def test_a_quick_run_shows_no_bar_on_a_terminal():
    status, output, said = on_a_terminal(["j1_flt.fits"])
    assert status == 0
    assert said == ""
    assert output == f"./{NAME}  20/5120  0.3906  1\n"


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 5])  # 5 are more than are read ahead
@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "new"],
        ["-o", "m", "--update"],
        ["-o", "m", "--update", "--verify"],
        ["--dry-run"],
        ["-o", "new", "--report", "r.html", "--preview", "p"],
        ["sweep", "--sigmas", "3,4"],
        ["explain", "--pixel", "17,5"],
        ["compare", "m"],
        ["compare", "m", "m"],
        ["recount", "m", "--min-exposures", "1"],
        ["export", "m", "--format", "bpixtab", "-o", "x"],
        ["import", "mine.csv", "--like", f"m/{NAME}", "-o", "i"],
        ["edit", "m", "--grow", "1", "-o", "e"],
        ["--show-config"],
    ],
    ids=" ".join,
)
def test_every_command_runs_on_a_terminal(arguments, count, tmp_path, monkeypatch):
    for seed in range(2, count + 1):
        exposure(tmp_path / f"j{seed}_flt.fits", [sky(seed)])
    create_masks(output_dir="m", counts=True)
    (tmp_path / "mine.csv").write_text("3,*", "utf-8")
    monkeypatch.setenv("STATICMASK_JOBS", "2")
    status, output, said = on_a_terminal(arguments)
    assert status == 0, said
    assert "staticmask:" not in said  # a bar may be seen, no error or warning
    assert output


@pytest.fixture
def clock(monkeypatch):
    """Let each exposure take the given time without waiting for it."""
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


def progress_of(seconds: float, exposures: int, clock, *, quiet: bool = False) -> None:
    with terminal.shown_progress(quiet=quiet) as progress:
        for done in range(1, exposures + 1):
            clock(seconds)
            if progress:
                progress(done, exposures)


def progress_on_a_terminal(monkeypatch, *arguments, **more) -> str:
    """Return what is seen of a run's progress if standard error is a terminal."""
    # No fixture: between set-up and test pytest puts its own stream in place again.
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        progress_of(*arguments, **more)
    return seen_on(master)


def test_a_bar_is_shown_on_a_terminal_if_more_than_a_second_is_left(monkeypatch, clock):
    text = progress_on_a_terminal(monkeypatch, 0.5, 4, clock)
    assert "exposures" in text
    assert "100%" in text
    assert text.endswith("\n"), "results begin on a line of their own"


@pytest.mark.parametrize(("seconds", "exposures"), [(0.01, 90), (0.9, 2), (30.0, 1)])
def test_no_bar_is_shown_if_a_second_or_less_is_left(seconds, exposures, monkeypatch, clock):
    assert progress_on_a_terminal(monkeypatch, seconds, exposures, clock) == ""


def test_a_bar_bears_a_call_before_the_first_exposure_is_done(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with terminal.shown_progress(quiet=False) as progress:
        progress(0, 4)


def test_quiet_shows_no_bar(monkeypatch, clock):
    assert progress_on_a_terminal(monkeypatch, 5.0, 4, clock, quiet=True) == ""


def test_cron_sees_no_bar(clock, capsys):
    progress_of(5.0, 4, clock)
    assert capsys.readouterr() == ("", "")


# Commands.


def test_the_first_word_is_a_command_or_the_command_is_make(invoke):
    bare = invoke("j1_flt.fits", "-o", "a")
    for arguments in (["make", "j1_flt.fits", "-o", "a"], ["-o", "a", "j1_flt.fits"], ["-o", "a"]):
        result = invoke(*arguments)
        assert (result.exit_code, result.stdout) == (0, bare.stdout)
    assert invoke("--static-sig", "5", "j1_flt.fits", "-n").stdout.startswith("read ")
    assert invoke("sweep", "j1_flt.fits").stdout.startswith("# mask  static_sig  ")


@pytest.mark.parametrize("command", main.main.commands)
def test_a_file_with_the_name_of_a_command_is_named_with_its_folder(command, invoke, tmp_path):
    (tmp_path / "j1_flt.fits").rename(tmp_path / command)
    result = invoke("-o", "m", f"./{command}")
    assert result.exit_code == 0
    assert result.stdout == f"m/{NAME}  20/5120  0.3906  1\n"
    result = invoke("-o", "m", command, "j1_flt.fits")
    assert result.exit_code == 2
    assert result.stderr == (
        f"staticmask: error: the command '{command}' must be the first word; a file of that name "
        f"is ./{command}; try 'staticmask make --help'\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep", "--static-sig", "3"], "No such option '--static-sig'"),
        (["sweep", "--update"], "No such option '--update'"),
        (["sweep", "--dry-run"], "No such option '--dry-run'"),
        (["explain"], "Missing option '--pixel'"),
        (["explain", "--pixel", "1,1", "--report", "r.html"], "No such option '--report'"),
        (["compare"], "Missing argument 'OLD'"),
        (["compare", "m", "--no-static"], "No such option '--no-static'"),
        (["recount", "--min-exposures", "2"], "Missing argument 'MASK...'"),
        (["recount", "m", "-m", "2", "--final-bits", "0"], "No such option '--final-bits'"),
        (["--sigmas", "3"], "No such option '--sigmas'"),
        (["import", "t.csv", "-o", "m"], "Missing option '--like'"),
        (["export", "m", "--format", "csv", "--update"], "No such option '--update'"),
        (["edit", "-o", "m"], "Missing argument 'MASK'"),
    ],
)
def test_a_wrong_combination_is_refused_in_one_line(arguments, said, invoke):
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"staticmask: error: {said}")
    assert result.stderr.count("\n") == 1
    assert "--static " not in result.stderr


@pytest.mark.parametrize("command", [name for name in main.main.commands if name != "make"])
def test_each_command_has_a_short_help_of_its_own_options(command, invoke):
    text = invoke(command, "--help").stdout
    assert text.startswith(f"Usage: staticmask {command} ")
    assert len(text.splitlines()) < 60
    options = [p for p in main.main.commands[command].params if isinstance(p, click.Option)]
    assert all(option.opts[-1] in text.replace("[no-]", "") for option in options)
    assert ("--dry-run" in text) == (command == "apply")
    assert "Commands:" not in text


def test_the_help_has_all_commands_and_sections_in_less_than_100_lines(staticmask_process):
    text = staticmask_process("--help", COLUMNS="90").stdout
    lines = text.splitlines()
    assert len(lines) < 100
    assert max(map(len, lines)) <= 90
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == [*("Input:", "Mask:", "Output:", "Quality checks:", "Running:", "Commands:")]
    assert text.count("\n    staticmask ") == 5, "examples"
    for command in main.main.commands:
        assert re.search(rf"^  {command}  +[A-Z]", text, re.MULTILINE)
    assert staticmask_process("make", "--help", COLUMNS="90").stdout == text


def test_configuration_and_environment_count_in_every_command(invoke, tmp_path):
    exposure(tmp_path / "j2_flt.fits", [sky(2)])
    create_masks(output_dir="m", counts=True)
    (tmp_path / "my.cfg").write_text("input = j2_flt.fits\n[OUTPUT]\nprefix = p\n", "utf-8")
    for arguments in (["sweep"], ["explain", "--pixel", "1,1"], ["make", "-n"]):
        assert "p_64x80_1_staticMask.fits" in invoke(*arguments, "-c", "my.cfg").stdout
        result = invoke(*arguments, STATICMASK_PREFIX="q", STATICMASK_INPUT="j1_flt.fits")
        assert "q_64x80_1_staticMask.fits" in result.stdout
    assert invoke("compare", "m", STATICMASK_STATIC_SIG="40").exit_code == 1
    assert invoke("compare", "m").exit_code == 0
    before = fits.getdata(f"m/{NAME}")
    assert invoke("recount", "m", STATICMASK_MIN_EXPOSURES="2").exit_code == 0
    assert fits.getval(f"m/{NAME}", "MINEXPOS") == 2
    (tmp_path / "all.cfg").write_text("[MASK]\nmin_exposures = all\n", "utf-8")
    assert invoke("recount", "m", "-c", "all.cfg").exit_code == 0
    assert fits.getval(f"m/{NAME}", "MINEXPOS") == "all"
    assert (fits.getdata(f"m/{NAME}") == 0).sum() < (before == 0).sum()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["sw"], {"plain,sweep"}),
        ([""], {"plain,make", "plain,compare", "plain,recount", "file,"}),
        (["--stat"], {"plain,--static", "plain,--static-sig"}),
        (["--min-exposures", "2", "--over"], {"plain,--overwrite"}),
        (["sweep", "--sig"], {"plain,--sigmas"}),
        (["sweep", "j1"], {"file,j1"}),
        (["explain", "--pi"], {"plain,--pixel"}),
        (["compare", "ol"], {"file,ol"}),
        (["-o", "ma"], {"dir,ma"}),
        (["make", "--report", "r"], {"file,r"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_shells_complete_commands_options_and_files(words, found, staticmask):
    for shell in ("bash", "zsh", "fish"):
        environment = {
            "_STATICMASK_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": " ".join(["staticmask", *words]),
            "COMP_CWORD": words[-1] if shell == "fish" else str(len(words)),
        }
        result = staticmask(**environment)
        assert result.returncode == 0
        lines = result.stdout.splitlines()
        if shell == "zsh":
            lines = [",".join(lines[i : i + 2]) for i in range(0, len(lines), 3)]
        assert found <= {line.split("\t")[0] for line in lines}, shell
        script = staticmask(_STATICMASK_COMPLETE=f"{shell}_source").stdout
        assert "staticmask" in script


# Tables on a terminal, and warnings of one kind.


def shown_on_a_terminal(arguments: list[str], monkeypatch, **environment: str) -> list[str]:
    """Return the lines on a terminal that is standard output."""
    master, slave = pty.openpty()
    for name, value in ({"TERM": "xterm", "NO_COLOR": ""} | environment).items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-W", "error", "-m", "staticmask_cli", *arguments]
    with subprocess.Popen(command, stdout=slave) as process:
        os.close(slave)
        process.wait(timeout=60)
    return seen_on(master).splitlines()


def test_a_table_on_a_terminal_is_aligned_and_has_headings(invoke, monkeypatch, tmp_path):
    for row, seed in [("wfpc2", 1), ("acs_wfc", 1)]:
        instrument_exposure(tmp_path / "in", row, seed)
    piped = invoke("in/*.fits", "-o", "out").stdout.splitlines()
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {}):
        lines = shown_on_a_terminal(["in/*.fits", "-o", "out"], monkeypatch, **environment)
        assert lines[0].startswith("\x1b[1m") == (not environment)
        heading, *rows = [click.unstyle(line) for line in lines]
        assert heading.split("  ")[0] == "mask"
        assert [row.split() for row in rows] == [line.split() for line in piped]
        assert len(set(map(len, rows))) == 1
    assert shown_on_a_terminal(["in/*.fits", "-o", "out", "-q"], monkeypatch) == []
    old = shown_on_a_terminal(["compare", "out", "in/*.fits"], monkeypatch, NO_COLOR="1")
    assert old[0].split() == ["mask", "gained", "lost", "old", "new"]
    assert len({len(line) for line in old[1:]}) == 1
    one = shown_on_a_terminal(["j1_flt.fits", "-o", "m"], monkeypatch)
    assert one == [f"m/{NAME}  20/5120  0.3906  1"], "a single mask needs no heading"


def test_sweeps_are_aligned_on_a_terminal(invoke, monkeypatch):
    lines = shown_on_a_terminal(["sweep", "--sigmas", "3,40"], monkeypatch)
    piped = invoke("sweep", "--sigmas", "3,40").stdout.splitlines()
    assert [line.split() for line in lines] == [line.split() for line in piped]
    assert [line.index("/5120") for line in lines[1:]] == [lines[1].index("/5120")] * 2


@pytest.mark.parametrize("command", [["make", "-o", "m"], ["sweep", "--sigmas", "4"]])
def test_many_warnings_of_one_kind_are_one_line(command, invoke, tmp_path):
    for number in range(5):
        exposure(tmp_path / f"e{number}_flt.fits", [sky(number)], primary={"EXPTIME": 0.0})
    result = invoke(*command, "--log-file", "night.log", "--summary", "s.json")
    (line,) = result.stderr.splitlines()
    assert "EXPTIME is 0: 5 times; " in line
    text = (tmp_path / "night.log").read_text(encoding="utf-8")
    warnings = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["warnings"]
    for number in range(5):
        assert text.count(f"WARNING e{number}_flt.fits: SCI,1: ") == 1
        assert sum(f"e{number}_flt.fits" in warning for warning in warnings) == 1
    every = invoke(*command, "-v").stderr
    assert sum("warning: e" in line for line in every.splitlines()) == 5
    few = invoke(*command, "j1_flt.fits", "e[0-2]_flt.fits").stderr
    assert [line.split(": ")[2] for line in few.splitlines()] == [
        f"e{number}_flt.fits" for number in range(3)
    ]


def test_many_failed_checks_are_one_line_with_the_range_of_values(invoke, tmp_path):
    for number in range(5):
        array = sky(number, (200, 200))
        array[:40, : 40 + 10 * number] = -1e3
        exposure(tmp_path / "in" / f"e{number}_flt.fits", [array])
    result = invoke("in/*flt.fits", "-o", "m", "--strict", "--log-file", "night.log")
    assert result.exit_code == 4
    (line,) = (line for line in result.stderr.splitlines() if "low_excess" in line)
    match = re.fullmatch(
        r"staticmask: error: low_excess is above max_low_excess 0.5; --background local compares "
        r"pixels with their surroundings: 5 times, "
        r"([\d.]+) to ([\d.]+); -v, --log-file and --summary list each",
        line,
    )
    assert 3 < float(match[1]) < float(match[2]) < 9
    text = (tmp_path / "night.log").read_text(encoding="utf-8")
    assert text.count("ERROR e") >= 5


# Files that would be lost.


def test_a_lock_is_not_a_log_file(invoke, tmp_path):
    for option in ("--log-file", "--summary", "--report"):
        result = invoke(option, "m/.staticmask.lock", "-o", "m")
        assert result.exit_code == 2
        assert "is the name of a folder's lock" in result.stderr
        assert not (tmp_path / "m").exists()


def test_report_and_preview_need_two_names(invoke, monkeypatch, tmp_path):
    result = invoke("--report", "r", "--preview", "./r")
    assert result.exit_code == 2
    assert "--report and --preview name the same file: ./r" in result.stderr
    monkeypatch.setenv("STATICMASK_PREVIEW", "r")
    result = invoke("--report", "r")
    assert "--report and preview (set by STATICMASK_PREVIEW) name the same file: r" in result.stderr
    assert not (tmp_path / NAME).exists()


def test_a_lost_log_is_reported_also_if_quiet(invoke, monkeypatch):
    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(logs._LogFile, "flush", fails)
    result = invoke("-q", "--log-file", "night.log")
    assert result.exit_code == 0
    assert result.stderr == (
        "staticmask: error: --log-file: night.log: cannot be written any more\n"
    )


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["sweep", "--help"]])
def test_help_on_a_full_device_is_one_error(words):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        result = subprocess.run(
            [sys.executable, "-m", "staticmask_cli", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    message = "staticmask: error: standard output cannot be written: No space left on device\n"
    assert (result.returncode, result.stderr) == (1, message)


def test_a_reader_that_closes_the_help_early_gets_no_message():
    command = shlex.join([sys.executable, "-u", "-m", "staticmask_cli", "--help"])
    result = subprocess.run(
        ["sh", "-c", f"{command} | true"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_a_closed_standard_output_is_no_failure(tmp_path):
    exposure(tmp_path / "a_flt.fits", [sky(1)])
    command = shlex.join([sys.executable, "-m", "staticmask_cli", "sweep", "a_flt.fits"])
    result = subprocess.run(
        ["sh", "-c", f"exec {command} >&-"], cwd=tmp_path, capture_output=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, b"")


def test_a_command_behind_options_is_named_in_the_error(invoke):
    result = invoke("-o", "m", "explain", "--pixel", "3,3")
    assert result.exit_code == 2
    assert "; the command 'explain' must be the first word; " in result.stderr


def test_texts_of_checks_that_pass_are_empty(invoke, tmp_path):
    exposure(tmp_path / "a_flt.fits", [sky(1, (200, 200), low=0)])
    invoke("a_flt.fits", "--summary", "s.json")
    (mask,) = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["masks"]
    assert mask["quality_checks"]
    assert all(check["failed"] == bool(check["text"]) for check in mask["quality_checks"])
