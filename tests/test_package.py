"""Packaging: the exact contents of wheel and sdist; every way of installing works."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from staticmask_cli import __version__
from tests.support.makers import REAL

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "staticmask_cli"
TEMPLATE = ("macros.html.jinja", "mask.html.jinja", "page.css", "page.html.jinja")
SOURCES = {"statistics/_build_kernel.py", "statistics/_kernel.c"}  # not installed
MODULES = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")} - SOURCES
KERNEL = "staticmask_cli/statistics/_kernel.so"
HAS_COMPILER = platform.machine() == "x86_64" and any(map(shutil.which, ("cc", "gcc", "clang")))


def run(*command: object, **environment: str) -> str:
    result = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ | environment,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the sdist, and the wheel from it, as `python -m build` does."""
    folder = tmp_path_factory.mktemp("dist")
    builder = tmp_path_factory.mktemp("builder") / "venv"
    venv.create(builder, with_pip=True)
    python = builder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "build")
    run(python, "-m", "build", "--outdir", folder, ROOT)
    return {"wheel": next(folder.glob("*.whl")), "sdist": next(folder.glob("*.tar.gz"))}


@pytest.fixture(scope="module")
def plain_wheel(dist: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel where no compiler is found."""
    folder = tmp_path_factory.mktemp("plain")
    pip = sys.executable, "-m", "pip"
    run(*pip, "wheel", "--quiet", "--no-deps", "-w", folder, dist["sdist"], PATH="/missing", CC="x")
    return next(folder.glob("*.whl"))


def test_a_wheel_is_for_any_platform_unless_it_contains_the_kernel(
    dist: dict[str, Path], plain_wheel: Path
) -> None:
    assert plain_wheel.name.endswith("-py3-none-any.whl")
    assert files_of(plain_wheel) == expected_files()
    assert dist["wheel"].name.endswith("-py3-none-any.whl") != HAS_COMPILER
    assert "-py3-none-" in dist["wheel"].name


def files_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def expected_files() -> set[str]:
    """Return the contents of a wheel without the kernel."""
    info, data = (f"staticmask_cli-{__version__}.{end}" for end in ("dist-info", "data"))
    return {
        *(f"staticmask_cli/{name}" for name in MODULES),
        "staticmask_cli/py.typed",
        "staticmask_cli/reports/summary.schema.json",
        *(f"staticmask_cli/reports/template/{name}" for name in TEMPLATE),
        "staticmask_cli/config/staticmask.cfg",
        "staticmask_cli/config/staticmask.cfgspc",
        f"{data}/data/share/man/man1/staticmask.1",
        *(f"{info}/{n}" for n in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")),
        f"{info}/licenses/LICENSE",
    }


def test_the_wheel_contains_exactly_the_expected_files(dist: dict[str, Path]) -> None:
    assert files_of(dist["wheel"]) == expected_files() | ({KERNEL} if HAS_COMPILER else set())


def test_the_sdist_contains_sources_tests_and_documents(dist: dict[str, Path]) -> None:
    with tarfile.open(dist["sdist"]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {
        *(f"staticmask_cli/{name}" for name in MODULES | SOURCES),
        *("config/staticmask.cfg", "config/staticmask.cfgspc", "man/staticmask.1"),
        *("README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml"),
        *("tests/support/makers.py", "tests/data/o4k19a010_flt.fits"),
    } <= names
    assert KERNEL not in names


@pytest.mark.parametrize("how", ["wheel", "plain wheel", "sdist", "editable"])
def test_every_way_of_installing_works(
    how: str, dist: dict[str, Path], plain_wheel: Path, tmp_path: Path
) -> None:
    # Dependencies come from the environment of the tests, through a .pth file:
    # only the installation of this package is tested.
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    shared = [p for p in sys.path if p.endswith("site-packages")]
    where = dist | {"plain wheel": plain_wheel}
    target = ["--editable", ROOT] if how == "editable" else [where[how]]
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", *target)
    (site / "shared.pth").write_text("\n".join(shared), encoding="utf-8")
    command = tmp_path / "venv" / "bin" / "staticmask"
    log = tmp_path / "log"
    output = run(command, REAL, "-vv", "--log-file", log, "-o", tmp_path / "masks")
    assert output.endswith("STISCCD_256x256_1_staticMask.fits  38/65536  0.0580  1\n")
    kernel = "NumPy: " if how == "plain wheel" or not HAS_COMPILER else "the C kernel"
    assert f"the statistics run in {kernel}" in log.read_text(encoding="utf-8")
    assert run(command, "--version") == f"staticmask {__version__}\n"
    man = tmp_path / "venv" / "share" / "man" / "man1" / "staticmask.1"
    assert man.read_bytes() == (ROOT / "man" / "staticmask.1").read_bytes()
