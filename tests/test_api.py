"""The library: create_masks, and createMask for scripts written for DrizzlePac."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import inspect
import multiprocessing
import pickle
import shlex
import subprocess
import sys
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np
import pytest
from astropy.io import fits
from configobj import ConfigObj

import staticmask_cli
from staticmask_cli import (
    ConfigError,
    InputError,
    OutputError,
    StaticMaskError,
    create_masks,
    createMask,
)
from staticmask_cli.cli.main import main
from staticmask_cli.config.spec import keys
from staticmask_cli.settings import Group, MinExposures
from tests.support.makers import exposure, instrument_exposure, sky

STEP_1 = "STEP 1: STATIC MASK"
COMMANDS = ["make", "sweep", "explain", "compare", "recount", "apply", "export", "import", "edit"]
FUNCTIONS = {"make": "create_masks", "import": "import_mask"}
NAME = "ACSHRC_64x80_1_staticMask.fits"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Stand in a folder with one exposure that the default pattern finds."""
    monkeypatch.chdir(tmp_path)
    exposure(tmp_path / "j1_flt.fits", [sky(1)])
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def in_a_new_process(code: str) -> str:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


# The package.

HEAVY = "print(sorted({'numpy', 'astropy'} & {name.split('.')[0] for name in sys.modules}))"


def test_importing_the_package_imports_neither_numpy_nor_astropy():
    assert in_a_new_process(f"import sys, staticmask_cli; {HEAVY}") == "[]"
    assert in_a_new_process(f"import sys, staticmask_cli; dir(staticmask_cli); {HEAVY}") == "[]"
    # The check itself can detect it.
    assert (
        in_a_new_process(f"import sys, staticmask_cli.masking.make; {HEAVY}")
        == "['astropy', 'numpy']"
    )


def test_errors_and_version_come_without_numpy_and_astropy():
    code = f"import sys; from staticmask_cli import StaticMaskError, __version__; {HEAVY}"
    assert in_a_new_process(code) == "[]"


def test_public_names_are_listed_and_there():
    assert set(staticmask_cli.__all__) == {
        "ConfigError",
        "InputError",
        "OutputError",
        "StaticMask",
        "StaticMaskError",
        *("apply", "astrodrizzle"),
        "compare",
        *("edit", "explain", "export", "import_mask", "recount", "sweep"),
        "__version__",
        "createMask",
        "create_masks",
        *("ChipRecord", "Difference", "Edit", "ExposureReport", "Explanation", "Export"),
        *("FlaggedChip", "MaskReport", "PixelInChip", "Quality", "QualityCheck", "Report"),
        "SweepRow",
    }
    assert set(staticmask_cli.__all__) <= set(dir(staticmask_cli))
    for name in staticmask_cli.__all__:
        assert getattr(staticmask_cli, name) is not None
    for code in ("dir(staticmask_cli)", "staticmask_cli.__all__"):
        listed = in_a_new_process(f"import staticmask_cli; print('create_masks' in {code})")
        assert listed == "True"


def test_a_star_import_brings_the_public_names_and_no_others():
    code = "from staticmask_cli import *; print([n for n in dir() if not n.startswith('__')])"
    listed = in_a_new_process(code)
    public = sorted(name for name in staticmask_cli.__all__ if not name.startswith("__"))
    assert listed == str(public)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'createMasks'"):
        staticmask_cli.createMasks  # noqa: B018 - looked up, that is all


@pytest.mark.parametrize("module", ["api", "reports.report"])
def test_the_examples_of_docstrings_run(module, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    results = doctest.testmod(importlib.import_module(f"staticmask_cli.{module}"))
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("name", [*COMMANDS, "createMask"])
def test_every_public_function_has_an_example(name):
    function = getattr(staticmask_cli, FUNCTIONS.get(name, name))
    assert ">>> " in inspect.getdoc(function)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_function_takes_what_its_command_does(name):
    """What a terminal is for, and the exit status, have no argument."""
    command = main.commands[name]
    options = {p.name for p in command.params if isinstance(p, click.Option)} & set(keys())
    parameters = set(
        inspect.signature(getattr(staticmask_cli, FUNCTIONS.get(name, name))).parameters
    )
    assert parameters & set(keys()) == (options | {"input"}) - ({"strict"} - parameters)
    reads = {"executor", "progress"}
    assert (parameters & reads == reads) == (name in COMMANDS[:4])


# create_masks.


def test_arguments_are_named_as_the_options_are():
    parameters = inspect.signature(create_masks).parameters
    assert set(keys()) | {"config", "dry_run"} <= set(parameters)
    assert all(parameters[name].default is None for name in keys())
    assert all(
        p.kind is inspect.Parameter.KEYWORD_ONLY for n, p in parameters.items() if n != "input"
    )


def test_every_argument_reaches_the_settings(tmp_path):
    exposure(tmp_path / "j2_flt.fits", [sky(2)], flags=[np.zeros((64, 80), "i2")])
    report = create_masks(
        "j2_flt.fits",
        group="sci,1",
        static=True,
        static_sig=3,
        final_bits=96,
        output_dir=tmp_path / "out",
        prefix="combo",
        jobs=2,
        include_empty=True,
        min_exposures=1,
        counts=True,
        strict=True,
        max_rms_ratio=2,
    )
    settings = report.settings
    assert settings.input == ("j2_flt.fits",)
    assert settings.group == Group(extver=1)
    assert settings.static is True
    assert settings.static_sig == 3.0
    assert settings.final_bits == "96"
    assert settings.output_dir == str(tmp_path / "out")
    assert settings.prefix == "combo"
    assert settings.jobs == 2
    assert settings.include_empty is True
    assert settings.min_exposures == MinExposures(1)
    assert settings.counts is True
    assert settings.strict is True
    assert settings.max_rms_ratio == 2.0
    (mask,) = report.masks
    assert mask.path == str(tmp_path / "out" / "combo_64x80_1_staticMask.fits")
    assert fits.getval(mask.path, "STATSIG") == 3.0
    assert fits.getval(mask.path, "FINBITS") == "96"


def test_without_arguments_the_defaults_count(tmp_path):
    report = create_masks()
    assert report.settings.input == ("*flt.fits",)
    assert [Path(mask.path) for mask in report.masks] == [Path(NAME)]
    assert (tmp_path / NAME).is_file()


@pytest.mark.parametrize(
    "given",
    [
        "j?_flt.fits",
        "j1_flt.fits, j2_flt.fits",
        "@list",
        Path("j1_flt.fits"),
        [Path("j1_flt.fits"), "j2_flt.fits"],
        ("j1_flt.fits", "j2_flt.fits"),
        {"j1_flt.fits": 1, "j2_flt.fits": 2},
        iter(("j1_flt.fits", "j2_flt.fits")),
    ],
    ids=["pattern", "commas", "@list", "path", "list", "tuple", "dict", "iterator"],
)
def test_input_is_a_text_a_path_or_any_iterable_of_them(given, tmp_path):
    exposure(tmp_path / "j2_flt.fits", [sky(2)])
    Path("list").write_text("j1_flt.fits\nj2_flt.fits\n", encoding="utf-8")
    (mask,) = create_masks(given).masks
    wanted = ["j1_flt.fits"] if isinstance(given, Path) else ["j1_flt.fits", "j2_flt.fits"]
    assert [chip.file for chip in mask.chips] == wanted
    assert mask.exposures == len(wanted)


@pytest.mark.parametrize(
    "given",
    [
        b"j1_flt.fits",
        [b"j1_flt.fits"],
        np.array(["j1_flt.fits"], "S"),
        np.array(["j1_flt.fits"]),
        np.array(["j1_flt.fits"], object),
        np.array("j1_flt.fits"),
        np.array(b"j1_flt.fits"),
        np.str_("j1_flt.fits"),
        np.bytes_(b"j1_flt.fits"),
        [np.array("j1_flt.fits")],
    ],
    ids=repr,
)
def test_names_may_be_bytes_and_numpys(given):
    assert create_masks(given).settings.input == ("j1_flt.fits",)
    assert len(createMask(configObj={"input": given}).masks) == 1


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (5, "int is not the name of a file"),
        ([None], "NoneType is not"),
        ([["j1_flt.fits"]], "list is not"),
        (np.array([["j1_flt.fits"]]), "list is not"),
        (np.array([1.5]), "float is not"),
        (object(), "object is not"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_input_that_is_not_a_name_is_a_config_error_in_one_line(given, kind):
    with pytest.raises(ConfigError, match=f"^input: {kind}[^\n]*$"):
        create_masks(given)


@pytest.mark.parametrize("many", [False, True])
def test_an_open_file_is_refused_and_not_read_for_names(many):
    with Path("j1_flt.fits").open("rb") as file:
        for arguments in (
            {"input": [file] if many else file},
            {"config": file},
        ):
            with pytest.raises(ConfigError, match="BufferedReader is not the name of a file"):
                create_masks(**arguments)
        with pytest.raises(ConfigError, match=r"output_dir: .* is not the name of a folder"):
            create_masks(output_dir=file)
        with pytest.raises(ConfigError, match="old: BufferedReader is not"):
            staticmask_cli.compare("j1_flt.fits", old=file)


def test_other_arguments_may_be_bytes_and_numpys():
    settings = create_masks(
        static_sig=np.array(3.5),
        static=np.bool_(True),
        jobs=np.array(2),
        group=np.array([1]),
        prefix=b"combo",
        output_dir=np.array("out"),
        final_bits=np.array(None),
        min_exposures=np.float32(0.5),
    ).settings
    assert (settings.static_sig, settings.static, settings.jobs) == (3.5, True, 2)
    assert (settings.group, settings.prefix) == (Group(hdus=(1,)), "combo")
    assert (settings.output_dir, settings.final_bits) == ("out", None)
    assert settings.min_exposures == MinExposures.of("50%")


def test_questions_take_numpys_numbers_too():
    x, y = np.array([3, 4], "i4")
    assert staticmask_cli.explain("j1_flt.fits", x=np.array(x), y=y)
    assert len(staticmask_cli.sweep("j1_flt.fits", np.array([3, 4], "f4"))) == 2
    with pytest.raises(ConfigError, match="are not the column and row of a pixel"):
        staticmask_cli.explain("j1_flt.fits", x=np.array(3.5), y=1)
    with pytest.raises(ConfigError, match="sigmas"):
        staticmask_cli.sweep("j1_flt.fits", [[3.0]])


@pytest.mark.parametrize("nothing", [[], (), "", " ", [""], ["", " "]], ids=repr)
@pytest.mark.parametrize("make", [create_masks, createMask])
def test_an_input_that_names_nothing_is_an_error_not_the_default_pattern(make, nothing, tmp_path):
    # A script's search found nothing: masks of whatever lies around would be a bad surprise.
    with pytest.raises((ConfigError, InputError)):
        make(nothing)
    assert not (tmp_path / NAME).exists()


def test_exposures_with_the_same_name_in_two_folders_are_two(tmp_path):
    paths = [exposure(tmp_path / f / "j_flt.fits", [sky(i)]) for i, f in enumerate("ab")]
    (mask,) = create_masks(paths).masks
    assert len(mask.chips) == 2
    assert mask.exposures == 2
    assert fits.getval(mask.path, "NEXPOSUR") == 2


def test_the_environment_is_not_looked_at(monkeypatch):
    monkeypatch.setenv("STATICMASK_STATIC_SIG", "2.0")
    monkeypatch.setenv("STATICMASK_PREFIX", "combo")
    report = create_masks()
    assert report.settings.static_sig == 4.0
    assert Path(report.masks[0].path).name == NAME


def test_arguments_win_over_a_configuration_file_and_that_over_the_defaults(tmp_path):
    file = tmp_path / "mine.cfg"
    file.write_text(
        f"input = j1_flt.fits\n[{STEP_1}]\nstatic_sig = 3\nfinal_bits = 64\n", encoding="utf-8"
    )
    settings = create_masks(config=file, static_sig=5.0, final_bits="None").settings
    assert settings.input == ("j1_flt.fits",)
    assert settings.static_sig == 5.0
    assert settings.final_bits is None
    assert create_masks(config=str(file), final_bits="None").settings.static_sig == 3.0


@pytest.mark.parametrize(
    ("final_bits", "text"),
    [
        (0, "0"),
        (96, "96"),
        ("64,32", "64,32"),
        ([64, 32], "64,32"),
        ((64,), "64"),
        (~96, "~96"),
        (np.int64(96), "96"),
        (np.uint16(96), "96"),
        (np.array([64, 32], np.int16), "64,32"),
    ],
    ids=repr,
)
def test_final_bits_may_be_text_or_integers_numpys_too(final_bits, text, tmp_path):
    path = exposure(tmp_path / "j2_flt.fits", [sky(2)], flags=[np.zeros((64, 80), "i2")])
    assert create_masks(path, final_bits=final_bits).settings.final_bits == text


@pytest.mark.parametrize("integer", [2, np.int64(2), np.uint8(2)], ids=repr)
def test_jobs_may_be_any_integer(integer):
    assert create_masks(jobs=integer).settings.jobs == 2


def test_group_may_be_an_hdu_number():
    report = create_masks(group=1)
    assert report.settings.group == Group(hdus=(1,))


def test_static_off_makes_nothing_and_says_so(tmp_path):
    before = contents(tmp_path)
    report = create_masks(static=False, output_dir="out")
    assert report.masks == ()
    assert report.warnings == ("static is off: no mask is made",)
    assert contents(tmp_path) == before


# The report.


def test_the_report_is_frozen_and_lists_every_chip(tmp_path):
    paths = [instrument_exposure(tmp_path, "acs_wfc", seed) for seed in (1, 2)]
    report = create_masks(paths, static_sig=4.5)
    assert [mask.identity.number for mask in report.masks] == [1, 2]
    for mask in report.masks:
        assert mask.total == 64 * 80
        assert mask.exposures == 2
        assert [chip.file for chip in mask.chips] == [path.name for path in paths]
        for chip in mask.chips:
            assert chip.used
            assert chip.reason == ""
            assert chip.n_low > 0
            assert chip.n_flagged == 0
            assert chip.nbins > 1
            assert chip.threshold == chip.mode - 4.5 * chip.rms
    for frozen, name in [
        (report, "masks"),
        (report.settings, "jobs"),
        (report.masks[0], "state"),
        (report.masks[0].identity, "number"),
        (report.masks[0].chips[0], "mode"),
    ]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(frozen, name, None)
    assert isinstance(report.masks, tuple)
    assert pickle.loads(pickle.dumps(report)) == report


def test_a_report_is_short_to_look_at(tmp_path):
    for seed in range(24):
        instrument_exposure(tmp_path / "in", "acs_wfc", seed)
    report = create_masks(tmp_path / "in" / "*flt.fits", output_dir="m")
    assert sum(len(exposure.chips) for exposure in report.exposures) == 48
    assert repr(report) == "<Report: 2 masks, 24 exposures, 0 warnings, 2 failed checks>"
    for one in (*report.masks, *report.exposures, report._repr_html_()):
        assert len(repr(one)) < 500
    path = "m/ACSWFC_64x80_1_staticMask.fits"
    bad, percent = report.masks[0].bad, report.masks[0].cells()[2]
    assert repr(report.masks[0]) == (
        f"<MaskReport {path}: {bad} bad pixels ({percent} %), 24 exposures, written>"
    )
    assert report._repr_html_().count("<tr>") == 3
    assert f"<td>{path}</td>" in report._repr_html_()


def test_a_report_in_a_notebook_has_no_markup_of_file_names():
    report = create_masks("j1_flt.fits", output_dir="<b>&")
    assert "<td>&lt;b&gt;&amp;/" in report._repr_html_()


def test_a_report_as_a_table_has_a_row_for_each_chip_of_each_exposure(tmp_path):
    for seed in (1, 2):
        instrument_exposure(tmp_path / "in", "acs_wfc", seed)
    exposure(tmp_path / "in" / "z_flt.fits", [sky(1)], primary={"EXPTIME": 0.0})
    report = create_masks("in/*flt.fits", output_dir="m")
    table = report.to_table()
    records = [record for e in report.exposures for _, record in e.chips]
    assert len(table) == len(records) == 5
    for name in ("file", "extver", "n_low", "n_finite", "used", "reason"):
        assert table[name].tolist() == [getattr(record, name) for record in records]
    np.testing.assert_array_equal(table["mode"], [record.mode for record in records])
    assert set(table["mask"]) == {mask.path for mask in report.masks} | {""}
    assert set(table["state"]) == {"read", "skipped"}
    assert len(create_masks(static=False).to_table()) == 0


def test_any_executor_gives_the_same_answers(processes, tmp_path):
    for seed in (1, 2):
        instrument_exposure(tmp_path / "in", "acs_wfc", seed)
    create_masks("in/*flt.fits", output_dir="m")
    for ask in (
        lambda **more: staticmask_cli.sweep("in/*flt.fits", [3, 4], **more),
        lambda **more: staticmask_cli.explain("in/*flt.fits", x=3, y=4, **more),
        lambda **more: [
            d.document() for d in staticmask_cli.compare("in/*flt.fits", old="m", **more)
        ],
    ):
        calls: list[tuple[int, int]] = []
        answer = ask(executor=processes, progress=lambda *counts, calls=calls: calls.append(counts))
        assert answer == ask()
        assert calls[-1] == (2, 2)
        with pytest.raises(ConfigError, match="executor: 3 is not a"):
            ask(executor=3)
    assert processes.submit(int).result() == 0, "it is left open"


def test_masks_are_read_on_demand():
    (mask,) = create_masks().masks
    array = mask.read()
    assert array.dtype == np.int16
    assert array.shape == (64, 80)
    assert set(np.unique(array)) == {0, 1}
    assert np.count_nonzero(array == 0) == mask.bad == 20
    assert np.array_equal(array, fits.getdata(mask.path))
    array[:] = 7  # it is the caller's own
    assert np.count_nonzero(mask.read() == 0) == 20


def test_a_dry_run_measures_and_writes_nothing(tmp_path):
    before = contents(tmp_path)
    report = create_masks(dry_run=True, output_dir="out")
    assert report.dry_run
    (mask,) = report.masks
    assert mask.path == str(Path("out") / NAME)
    assert mask.bad is None
    assert mask.exposures == 1
    assert np.isnan(mask.chips[0].mode)
    assert contents(tmp_path) == before


def test_warnings_are_in_the_report(tmp_path):
    exposure(tmp_path / "j0_flt.fits", [sky(3)], primary={"EXPTIME": 0.0})
    report = create_masks()
    (warning,) = report.warnings
    assert warning.startswith("j0_flt.fits")
    assert "EXPTIME is 0" in warning
    chips = {chip.file: chip.used for chip in report.masks[0].chips}
    assert chips == {"j0_flt.fits": False, "j1_flt.fits": True}
    assert create_masks(include_empty=True).warnings == ()


# Executors and progress.


@pytest.fixture(scope="module")
def processes():
    # spawn: what every system has, and where nothing is inherited.
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        yield executor


def test_any_executor_gives_the_same_bytes_and_is_left_open(processes, tmp_path):
    flags = [np.arange(64 * 80, dtype=np.int16).reshape(64, 80) % 128 for _ in range(2)]
    for seed in range(5):
        instrument_exposure(tmp_path / "in", "acs_wfc", seed, flags=flags)
    made = {}
    with ThreadPoolExecutor(3) as threads:
        executors: dict[str, Executor | None] = {
            "own": None,
            "threads": threads,
            "processes": processes,
        }
        for name, executor in executors.items():
            report = create_masks(
                f"{tmp_path}/in/*flt.fits",  # the processes need not stand in this folder
                final_bits=63,
                output_dir=name,
                executor=executor,
                jobs=1,
            )
            assert len(report.masks) == 2
            made[name] = contents(tmp_path / name)
            if executor:
                assert executor.submit(abs, -1).result() == 1, "it is the caller's to shut down"
    assert len(made["own"]) == 2
    assert made["own"] == made["threads"] == made["processes"]


def test_an_error_in_another_process_arrives_as_it_is(processes, tmp_path):
    # Cut after the names were resolved: the worker finds the pixels missing.
    exposure(tmp_path / "j2_flt.fits", [sky(2)])
    path = tmp_path / "j2_flt.fits"

    class Cutting(Executor):
        def submit(self, function, /, *arguments, **more):
            path.write_bytes(path.read_bytes()[: 2880 * 3])
            return processes.submit(function, *arguments, **more)

    with pytest.raises(InputError, match=r"j2_flt\.fits: is truncated"):
        create_masks(path, executor=Cutting())
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("dry_run", [False, True])
def test_progress_is_reported_after_every_exposure_even_a_skipped_one(dry_run, tmp_path):
    for seed in (2, 3):
        exposure(tmp_path / f"j{seed}_flt.fits", [sky(seed)], primary={"EXPTIME": seed - 2.0})
    calls: list[tuple[int, int]] = []
    create_masks(progress=lambda done, total: calls.append((done, total)), dry_run=dry_run)
    assert calls == [(1, 3), (2, 3), (3, 3)]


# Errors.


def test_errors_have_a_common_base_and_carry_their_lines():
    for error, status in [(ConfigError, 2), (InputError, 1), (OutputError, 1)]:
        assert issubclass(error, StaticMaskError)
        raised = error("one", "two")
        assert raised.problems == ("one", "two")
        assert str(raised) == "one\ntwo"
        assert raised.exit_status == status
        again = pickle.loads(pickle.dumps(raised))
        assert (type(again), again.problems) == (error, raised.problems)


def test_all_wrong_arguments_are_listed_at_once(tmp_path):
    with pytest.raises(ConfigError) as error:
        create_masks(
            static_sig=-1, jobs=1.5, group="x", final_bits="FOO", prefix="../x", include_empty="?"
        )
    told = error.value.problems
    assert len(told) == 6
    for name in ("static_sig", "jobs", "group", "final_bits", "prefix", "include_empty"):
        assert sum(line.startswith(f"{name}: ") for line in told) == 1
    assert not (tmp_path / NAME).exists()


def test_all_wrong_inputs_are_listed_at_once_and_nothing_is_written(tmp_path):
    (tmp_path / "text_flt.fits").write_text("no FITS", encoding="utf-8")
    with pytest.raises(InputError) as error:
        create_masks(["j1_flt.fits", "missing.fits", "no*match.fits", "@nolist", "text_flt.fits"])
    assert [line.split(":")[0] for line in error.value.problems] == [
        "missing.fits",
        "no*match.fits",
        "nolist",
        "text_flt.fits",
    ]
    assert not (tmp_path / NAME).exists()


def test_an_output_folder_that_is_a_file_is_an_output_error():
    with pytest.raises(OutputError, match=r"j1_flt\.fits is a file, not a folder"):
        create_masks(output_dir="j1_flt.fits")


def test_an_argument_that_does_not_exist_is_a_type_error():
    with pytest.raises(TypeError, match="static_sigma"):
        create_masks(static_sigma=3)


# createMask.


def test_create_mask_has_drizzlepacs_signature():
    assert [
        (p.name, p.default, p.kind.name) for p in inspect.signature(createMask).parameters.values()
    ] == [
        ("input", None, "POSITIONAL_OR_KEYWORD"),
        ("static_sig", 4.0, "POSITIONAL_OR_KEYWORD"),
        ("group", None, "POSITIONAL_OR_KEYWORD"),
        ("editpars", False, "POSITIONAL_OR_KEYWORD"),
        ("configObj", None, "POSITIONAL_OR_KEYWORD"),
        ("inputDict", inspect.Parameter.empty, "VAR_KEYWORD"),
    ]


def test_create_mask_writes_what_create_masks_does(tmp_path):
    create_masks("j1_flt.fits", static_sig=3.5, group="sci,1", output_dir="one")
    report = createMask("j1_flt.fits", 3.5, "sci,1", output_dir="two")
    assert report.settings.static_sig == 3.5
    assert report.settings.group == Group(extver=1)
    assert contents(tmp_path / "one") == contents(tmp_path / "two") != {}


@pytest.mark.parametrize(
    "source",
    [None, "", "defaults", {}, {"input": None}, {"input": ""}, {STEP_1: {"static_sig": 3.0}}],
    ids=repr,
)
def test_create_mask_without_input_is_a_value_error(source, tmp_path):
    with pytest.raises(ValueError, match="input"):
        createMask(configObj=source)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("text", ["", "input = ''\n", "input = None\n", "input = INDEF\n"])
def test_create_mask_with_a_file_that_names_no_input_is_a_value_error(text, tmp_path):
    # DrizzlePac's own specification has input = "" as its default.
    Path("mine.cfg").write_text(f"{text}[{STEP_1}]\nstatic_sig = 3.0\n", encoding="utf-8")
    with pytest.raises(ValueError, match="input"):
        createMask(configObj="mine.cfg")
    assert not (tmp_path / NAME).exists()


def as_file(values: dict) -> str:
    config = ConfigObj(values)
    config.filename = "mine.cfg"
    config.write()
    return config.filename


SOURCES = {
    "file name": as_file,
    "path": lambda values: Path(as_file(values)),
    "dict": dict,
    "ConfigObj": ConfigObj,
    "ConfigObj of a file": lambda values: ConfigObj(as_file(values)),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_config_obj_names_input_and_settings(kind):
    values = {
        "input": "j1_flt.fits",
        "group": "sci,1",
        STEP_1: {"static": True, "static_sig": 2.5},
        "OUTPUT": {"prefix": "combo"},
    }
    report = createMask(configObj=SOURCES[kind](values))
    assert report.settings.input == ("j1_flt.fits",)
    assert report.settings.group == Group(extver=1)
    assert report.settings.static_sig == 2.5
    assert Path(report.masks[0].path).name == "combo_64x80_1_staticMask.fits"


@pytest.mark.parametrize("kind", SOURCES)
def test_static_sig_given_wins_over_config_obj_even_if_it_is_the_default_number(kind):
    source = SOURCES[kind]({"input": "j1_flt.fits", STEP_1: {"static_sig": 2.5}})
    assert createMask(configObj=source).settings.static_sig == 2.5
    assert createMask(configObj=source, static_sig=3.0).settings.static_sig == 3.0
    assert createMask(configObj=source, static_sig=4.0).settings.static_sig == 4.0
    assert createMask(None, 4.0, configObj=source).settings.static_sig == 4.0


def test_static_sig_is_four_without_any_other_word():
    assert createMask("j1_flt.fits").settings.static_sig == 4.0
    assert createMask("j1_flt.fits", configObj="defaults").settings.static_sig == 4.0
    assert createMask("j1_flt.fits", 3, configObj="defaults").settings.static_sig == 3.0


def test_arguments_and_input_dict_win_over_config_obj(tmp_path):
    path = exposure(tmp_path / "j2_flt.fits", [sky(2)], flags=[np.zeros((64, 80), "i2")])
    values = {
        "input": "missing.fits",
        "group": "sci,7",
        STEP_1: {"final_bits": "4"},
        "OUTPUT": {"output_dir": "elsewhere"},
        "RUNNING": {"jobs": 7},
    }
    settings = createMask(
        path, group=1, configObj=values, final_bits=[64, 32], output_dir="out", jobs=1
    ).settings
    assert settings.input == (str(path),)
    assert settings.group == Group(hdus=(1,))
    assert settings.final_bits == "64,32"
    assert (settings.output_dir, settings.jobs) == ("out", 1)
    assert (tmp_path / "out" / NAME).is_file()
    assert not (tmp_path / "elsewhere").exists()


def test_config_obj_and_input_dict_are_not_changed():
    values = {"input": "j1_flt.fits", STEP_1: {"static_sig": 2.5}}
    config = ConfigObj(values)
    createMask(configObj=values, static_sig=3.0)
    createMask(configObj=config, static_sig=3.0)
    assert values == {"input": "j1_flt.fits", STEP_1: {"static_sig": 2.5}}
    assert config.dict() == values


def test_what_drizzlepacs_own_scripts_pass_on_is_taken():
    values = {"_task_name_": "staticMask", "input": "j1_flt.fits", "_RULES_": {"_rule1_": "True"}}
    report = createMask(configObj=values, updatewcs=False, _task_name_="staticMask")
    assert len(report.masks) == 1


def test_an_unknown_key_of_input_dict_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ConfigError) as error:
        createMask("j1_flt.fits", static_sgi=3.0, prefxi="x")
    first, second = error.value.problems
    assert "'static_sgi'" in first
    assert "did you mean 'static_sig'?" in first
    assert "'prefxi'" in second
    assert "did you mean 'prefix'?" in second
    assert not (tmp_path / NAME).exists()


def test_a_configuration_without_sections_is_used_with_a_warning(caplog):
    report = createMask("j1_flt.fits", configObj={"static_sig": 3.0})
    assert report.settings.static_sig == 3.0
    (warning,) = report.warnings
    assert warning == "configObj: static_sig belongs in [STEP 1: STATIC MASK]; used all the same"
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [warning]


def test_an_unknown_key_of_config_obj_is_an_error():
    with pytest.raises(ConfigError, match=r"configObj: .*static_sgi .*did you mean 'static_sig'"):
        createMask("j1_flt.fits", configObj={STEP_1: {"static_sgi": 3.0}})


def test_a_config_obj_file_that_is_missing_is_an_error():
    with pytest.raises(ConfigError, match=r"missing\.cfg: cannot be read"):
        createMask("j1_flt.fits", configObj="missing.cfg")
    with pytest.raises(ConfigError, match=r"missing\.cfg: cannot be read"):
        createMask(configObj="missing.cfg")


# editpars.


@pytest.fixture
def editor(tmp_path, monkeypatch):
    """Put a program in the place of $EDITOR that replaces a text; without one it saves nothing."""

    def use(old: str | None, new: str = "") -> None:
        script = tmp_path / "editor.py"
        script.write_text(
            "import pathlib, sys\n"
            "file = pathlib.Path(sys.argv[-1])\n"
            "pathlib.Path('seen.cfg').write_bytes(file.read_bytes())\n"
            + (
                ""
                if old is None
                else f"file.write_text(file.read_text().replace({old!r}, {new!r}))\n"
            ),
            encoding="utf-8",
        )
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setenv("EDITOR", shlex.join([sys.executable, str(script)]))

    return use


def test_editpars_runs_what_was_saved(editor):
    editor("static_sig = 3.5", "static_sig = 5.0")
    report = createMask("j1_flt.fits", 3.5, editpars=True, prefix="combo")
    assert report.settings.static_sig == 5.0
    assert report.settings.input == ("j1_flt.fits",)
    assert report.settings.prefix == "combo"
    assert fits.getval(report.masks[0].path, "STATSIG") == 5.0
    assert "static_sig = 3.5" in Path("seen.cfg").read_text(encoding="utf-8").splitlines()


def test_editpars_unsaved_runs_nothing(editor, tmp_path):
    editor(None)
    assert createMask("j1_flt.fits", editpars=True, output_dir="out") is None
    assert Path("seen.cfg").is_file()
    assert not (tmp_path / "out").exists()


def test_an_editor_that_does_not_exist_is_an_error(monkeypatch):
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "no-such-editor")
    with pytest.raises(ConfigError, match=r"--editpars: .*no-such-editor"):
        createMask("j1_flt.fits", editpars=True)
