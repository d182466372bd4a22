"""Faults of the commands that write new files from masks: export, import and edit."""

from __future__ import annotations

import os
import random
import time
from functools import partial
from pathlib import Path

import pytest
from astropy.io import fits

from staticmask_cli import OutputError, edit, export, import_mask
from staticmask_cli.files.locks import locked
from tests.files.test_faults import COMMAND, finished, listed, little_room, python
from tests.support.handed_on import mask_file, some_bad
from tests.support.runs import tree

NAME = "ACSHRC_1024x1024_1_staticMask.fits"
# Each writes one file from masks or tables 0 and 1: as Python code, and as options.
WRITES = {
    "export": (
        "export(f'm{n}', 'csv', output_dir='x', overwrite=True)",
        ["export", "m0", "--format", "csv"],
    ),
    "image": (
        "export(f'm{n}', 'bad', output_dir='x', overwrite=True)",
        ["export", "m0", "--format", "bad"],
    ),
    "import": (
        f"import_mask(f't{{n}}.csv', like='m0/{NAME}', output_dir='x', overwrite=True)",
        ["import", "t0.csv", "--like", f"m0/{NAME}"],
    ),
    "edit": (
        "edit('m0', grow=n + 1, output_dir='x', overwrite=True)",
        ["edit", "m0", "--grow", "1"],
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two masks and two tables."""
    for n in (0, 1):
        mask = mask_file(tmp_path / f"m{n}", some_bad(n, (1024, 1024)))
        (table,) = export(mask, "csv", output_dir=tmp_path)
        Path(table.path).rename(tmp_path / f"t{n}.csv")
    return tmp_path


@pytest.mark.parametrize("what", WRITES)
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_killed_at_any_time_leaves_whole_files_and_the_originals(
    what: str, kills: int, folder: Path
) -> None:
    before = tree(folder)
    names = "from staticmask_cli import edit, export, import_mask\n"
    code, _ = WRITES[what]
    wholes = []
    for n in (0, 1):
        assert finished(python(f"{names}n = {n}\n{code}", folder)) == (0, "")
        (path,) = (folder / "x").iterdir()
        wholes.append(path.read_bytes())
    loop = f"{names}print('ready', flush=True)\nwhile True:\n    for n in (0, 1):\n        {code}\n"
    rng = random.Random(6)
    n_with_parts = 0
    for number in range(60):
        if number >= kills and n_with_parts:
            break
        process = python(loop, folder)
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.2, 0.8))
        process.kill()
        process.communicate()
        assert path.read_bytes() in wholes
        n_with_parts += any(name.endswith(".part") for name in listed(folder / "x"))
    assert n_with_parts, "no run was killed while writing"
    assert finished(python(f"{names}n = 0\n{code}", folder)) == (0, "")
    assert listed(folder / "x") == [path.name]
    assert {name: found for name, found in tree(folder).items() if name in before} == before


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("what", WRITES)
def test_a_full_disk_keeps_what_was_there(what: str, is_new: bool, folder: Path) -> None:
    _, options = WRITES[what]
    if not is_new:
        (folder / "x").mkdir()
        for name in (NAME, *(f"ACSHRC_1024x1024_1_bad.{end}" for end in ("csv", "fits"))):
            (folder / "x" / name).write_text("mine", "utf-8")
    before = tree(folder)
    arguments = (*options, "-o", "x", "--overwrite")
    status, said = finished(python(COMMAND, folder, *arguments, preexec_fn=little_room))
    assert status == 1
    assert said.startswith("staticmask: error: x/ACSHRC_1024x1024_1_")
    assert said.endswith(": cannot be written: File too large\n")
    assert said.count("\n") == 1
    now = tree(folder)
    assert {name: found[0] for name, found in now.items()} == {
        name: found[0] for name, found in before.items()
    }


def test_a_locked_folder_is_waited_for(folder: Path) -> None:
    (folder / "x").mkdir()
    with locked(folder / "x", 0):
        for write in (
            lambda **more: export(folder / "m0", "reg", **more),
            lambda **more: edit(folder / "m0", grow=1, **more),
            lambda **more: import_mask(folder / "t0.csv", like=folder / "m0" / NAME, **more),
        ):
            with pytest.raises(OutputError, match="x: locked by another thread"):
                write(output_dir=folder / "x", lock_timeout=0)


@pytest.mark.parametrize("what", ["export", "edit"])
def test_a_file_that_changes_meanwhile_is_not_replaced(
    what: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from staticmask_cli.masking import export as exporting  # noqa: PLC0415
    from staticmask_cli.masking import write  # noqa: PLC0415

    module = exporting if what == "export" else write
    original = module.put_in_place

    def overtaken(parts: dict[Path, Path], *more: object) -> object:
        for path in parts:
            path.write_text("theirs", "utf-8")
            os.utime(path, ns=(1, 1))
        return original(parts, *more)

    monkeypatch.setattr(module, "put_in_place", overtaken)
    write_it = partial(export, format="reg") if what == "export" else partial(edit, grow=1)
    with pytest.raises(OutputError, match=r"changed since it was read; not replaced; run again$"):
        write_it(folder / "m0", output_dir=folder / "x")
    (path,) = (folder / "x").iterdir()
    assert path.read_text("utf-8") == "theirs"


def test_a_damaged_mask_is_neither_exported_nor_edited(folder: Path) -> None:
    path = folder / "m0" / NAME
    raw = bytearray(path.read_bytes())
    with fits.open(path) as hdus:
        raw[hdus[0].fileinfo()["datLoc"] + 1] ^= 1
    path.write_bytes(raw)
    for options in (["export", "m0", "--format", "bad"], ["edit", "m0", "--grow", "1"]):
        status, said = finished(python(COMMAND, folder, *options, "-o", "x"))
        assert (status, said) == (
            1,
            f"staticmask: error: m0/{NAME}: is damaged: its checksums are wrong\n",
        )
    assert not (folder / "x").exists()
