"""The files of a report: checked before the run, whole or absent, no other file lost."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from staticmask_cli import ConfigError, OutputError
from staticmask_cli.reports import showing
from staticmask_cli.reports.page import BEGINNING
from tests.support.pages import shown
from tests.support.runs import Run, run, small, tree


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense"])
def test_the_matplotlib_backend_of_a_user_is_ignored(
    backend: str, staticmask: Run, tmp_path: Path
) -> None:
    small(tmp_path / "a_flt.fits")
    (tmp_path / "matplotlibrc").write_text("axes.grid: zork\n", encoding="utf-8")
    result = staticmask("a_flt.fits", "-q", "--report", "r.html", MPLBACKEND=backend)
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "r.html").is_file()


@pytest.mark.parametrize("option", ["--summary", "--log-file"])
def test_a_file_cannot_have_two_outputs(option: str, staticmask: Run, tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    result = staticmask("a_flt.fits", "-o", "m", "--report", "x", option, "./x")
    assert result.returncode == 2
    assert "name the same file" in result.stderr
    assert not (tmp_path / "m").exists()


def test_a_run_writes_the_page_and_the_pictures(tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    out, asked = tmp_path / "m", {"report": str(tmp_path / "m" / "r.html")}
    run(tmp_path / "a_flt.fits", out=out, preview=str(tmp_path / "x" / "p"), **asked)
    stem = "ACSHRC_16x20_1_staticMask"
    names = {f"{stem}_{what}.png" for what in ("mask", "zoom", "zoom_exposure", "histogram")}
    assert {path.name for path in (tmp_path / "x" / "p").iterdir()} == names
    assert (out / "r.html").is_file()


@pytest.mark.parametrize(
    ("options", "needs"),
    [
        ({"report": "r.html"}, "--report needs matplotlib and jinja2"),
        ({"preview": "p"}, "--preview needs matplotlib and jinja2"),
        ({"report": "r.html", "preview": "p"}, "--report and --preview need matplotlib and jinja2"),
    ],
)
@pytest.mark.parametrize("missing", ["matplotlib.figure", "jinja2"])
def test_a_missing_optional_package_is_reported_before_the_run(
    missing: str, options: dict, needs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small(tmp_path / "a_flt.fits")
    monkeypatch.setitem(sys.modules, missing, None)  # importing it fails
    before = tree(tmp_path)
    with pytest.raises(ConfigError) as failed:
        run("a_flt.fits", out=tmp_path / "m", **options)
    assert str(failed.value) == f"{needs}: pip install 'staticmask-cli[report]'"
    assert tree(tmp_path) == before
    run("a_flt.fits", out=tmp_path / "m")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"report": "-"}, "--report: '-': a report cannot go to standard output; name a file"),
        ({"report": "new.fits"}, "--report: new.fits: has the name of a FITS file"),
        ({"report": "a_flt.fits"}, "--report: a_flt.fits: has the name of a FITS file"),
        ({"report": "other.html"}, r"--report: other.html: .*staticmask report"),
        ({"report": "link"}, "--report: link: is a symbolic link"),
        ({"report": "folder"}, "--report: folder: is a folder"),
        ({"report": "a_flt.fits/r.html"}, "--report: a_flt.fits/r.html: a_flt.fits: a_flt.fits is"),
        ({"preview": "a_flt.fits"}, "--preview: a_flt.fits: a_flt.fits is a file, not a folder"),
        ({"preview": "a_flt.fits/p"}, "--preview: a_flt.fits/p: a_flt.fits is a file"),
    ],
)
def test_a_path_that_cannot_be_written_is_reported_before_the_run(
    options: dict, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small(tmp_path / "a_flt.fits")
    (tmp_path / "other.html").write_text("<!doctype html>\n<title>mine</title>\n")
    (tmp_path / "link").symlink_to("a_flt.fits")
    (tmp_path / "folder").mkdir()
    before = tree(tmp_path)
    with pytest.raises(ConfigError) as failed:
        run("a_flt.fits", out=tmp_path / "m", **options)
    assert re.search(problem, str(failed.value))
    assert tree(tmp_path) == before


def test_an_older_report_is_replaced(tmp_path: Path) -> None:
    report = run(small(tmp_path / "a_flt.fits"), out=tmp_path / "m")
    for old in ("", BEGINNING + '0.0.1">\n'):
        (tmp_path / "r.html").write_text(old)
        showing.check(dataclasses.replace(report.settings, report=str(tmp_path / "r.html")))
        shown(report, tmp_path)
        assert not list(tmp_path.glob(".*"))


def test_a_file_that_is_not_a_png_is_not_replaced(tmp_path: Path) -> None:
    report = run(small(tmp_path / "a_flt.fits"), out=tmp_path / "m")
    mine = tmp_path / "p" / "ACSHRC_16x20_1_staticMask_zoom.png"
    mine.parent.mkdir()
    mine.write_text("my notes")
    with pytest.raises(OutputError, match=r"zoom\.png: .*PNG"):
        shown(report, tmp_path, preview=str(tmp_path / "p"))
    assert mine.read_text() == "my notes"
    assert len(list(mine.parent.iterdir())) == 4
    assert (tmp_path / "r.html").is_file()


def test_pictures_are_written_even_if_the_page_cannot_be(tmp_path: Path) -> None:
    report = run(small(tmp_path / "a_flt.fits"), out=tmp_path / "m")
    (tmp_path / "r.html").write_text("came while the run was under way")
    with pytest.raises(OutputError, match=r"r\.html: .*staticmask report"):
        shown(report, tmp_path, preview=str(tmp_path / "p"))
    assert len(list((tmp_path / "p").iterdir())) == 4
    assert (tmp_path / "r.html").read_text().startswith("came")


def test_a_full_disk_leaves_no_partial_page(tmp_path: Path) -> None:
    report = run(small(tmp_path / "a_flt.fits"), out=tmp_path / "m")
    full = dataclasses.replace(report.settings, report="/dev/full")
    with pytest.raises(OutputError, match=r"^--report: /dev/full: cannot be written: No space"):
        showing.show(dataclasses.replace(report, settings=full))


def test_optional_packages_are_imported_only_for_a_report(tmp_path: Path) -> None:
    path = small(tmp_path / "a_flt.fits")
    code = (
        "import sys\nfrom staticmask_cli import create_masks\n"
        f"create_masks([{str(path)!r}], output_dir={str(tmp_path / 'm')!r})\n"
        "assert not [m for m in sys.modules if re.match('matplotlib|PIL|jinja2', m)]\n"
    )
    subprocess.run([sys.executable, "-c", "import re\n" + code], check=True)


def test_a_report_that_cannot_be_written_leaves_the_masks_and_names_them(
    staticmask_process: Run, tmp_path: Path
) -> None:
    small(tmp_path / "a_flt.fits")
    result = staticmask_process("a_flt.fits", "-o", "m", "--report", "/dev/full")
    assert result.returncode == 1
    first, second = result.stderr.splitlines()
    assert first.startswith("staticmask: error: --report: /dev/full: cannot be written: ")
    name = next((tmp_path / "m").glob("*.fits")).name
    assert second == f"staticmask: error: the masks are in place: m/{name}"
