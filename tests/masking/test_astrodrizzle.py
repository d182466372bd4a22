"""Masks in AstroDrizzle: a stand-in has what our step uses of DrizzlePac.

``python -m tests.benchmarks.astrodrizzle`` runs the real one.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from staticmask_cli import InputError, StaticMaskError, astrodrizzle, create_masks
from tests.support.makers import instrument_exposure
from tests.support.runs import masks, tree

CONFIG = {"STEP 1: STATIC MASK": {"static": True}}


class Image:
    """DrizzlePac's imageObject, as far as it is used."""

    scienceExt = "SCI"  # noqa: N815 - DrizzlePac's name

    def __init__(self, path: Path, chips: int, *, group: list[int] | None = None) -> None:
        self._filename = str(path)
        self._chips = {
            f"SCI,{n}": SimpleNamespace(outputNames={"staticMask": None})
            for n in range(1, chips + 1)
        }
        self.group = group
        self.inmemory = False
        self.virtualOutputs: dict[str, Any] = {}

    def __getitem__(self, name: str) -> SimpleNamespace:
        return self._chips[name]

    def getExtensions(self) -> list[int]:  # noqa: N802 - DrizzlePac's name
        return list(range(1, len(self._chips) + 1))

    def saveVirtualOutputs(self, outputs: dict[str, Any]) -> None:  # noqa: N802 - same
        self.virtualOutputs |= outputs

    def mask(self, number: int) -> np.ndarray:
        """Return the mask that AstroDrizzle would read."""
        name = self._chips[f"SCI,{number}"].outputNames["staticMask"]
        return self.virtualOutputs[name].data if self.inmemory else fits.getdata(name)


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Install the stand-in for DrizzlePac."""
    package, module = ModuleType("drizzlepac"), ModuleType("drizzlepac.staticMask")
    package.__version__ = "3.11.0"
    module.PROCSTEPS_NAME, module.STEP_NUM = "Static Mask", 1
    module.util = SimpleNamespace(getSectionName=lambda config, _: next(iter(config)))
    module.createStaticMask = lambda *_, **__: pytest.fail("DrizzlePac's step ran")
    package.staticMask = module
    monkeypatch.setitem(sys.modules, "drizzlepac", package)
    monkeypatch.setitem(sys.modules, "drizzlepac.staticMask", module)
    return module


@pytest.fixture
def made(tmp_path: Path) -> dict[str, np.ndarray]:
    """Make two exposures of two chips, and their masks."""
    for seed in (1, 2):
        instrument_exposure(tmp_path, "acs_wfc", seed)
    return masks(create_masks(tmp_path / "*flt.fits", output_dir=tmp_path / "masks"))


def images(folder: Path, **more: object) -> list[Image]:
    return [Image(path, 2, **more) for path in sorted(folder.glob("*flt.fits"))]


@pytest.mark.parametrize("in_memory", [False, True])
def test_each_chip_gets_its_mask(step, made, in_memory, tmp_path, caplog):
    before = tree(tmp_path)
    given = images(tmp_path)
    for image in given:
        image.inmemory = in_memory
    original = step.createStaticMask
    steps = SimpleNamespace(addStep=lambda _: None, endStep=lambda _: None)
    with caplog.at_level(logging.INFO), astrodrizzle(tmp_path / "masks"):
        step.createStaticMask(given, CONFIG, procSteps=steps)
        for image in given:
            for number, expected in enumerate(made.values(), start=1):
                np.testing.assert_array_equal(image.mask(number), expected)
                assert image.mask(number).dtype.kind == "i"
        names = {
            Path(image[f"SCI,{n}"].outputNames["staticMask"]) for image in given for n in (1, 2)
        }
        assert len(names) == 4
        for name in names if not in_memory else ():
            name.unlink()  # AstroDrizzle deletes what it takes for its own
    assert step.createStaticMask is original
    assert tree(tmp_path) == before
    assert len([line for line in caplog.messages if ": mask " in line]) == 4


def test_a_group_selects_chips(step, made, tmp_path):
    given = images(tmp_path, group=[2])
    with astrodrizzle(tmp_path / "masks"):
        step.createStaticMask(given, CONFIG)
        assert given[0]["SCI,1"].outputNames["staticMask"] is None
        np.testing.assert_array_equal(given[0].mask(2), made["ACSWFC_64x80_2_staticMask.fits"])


@pytest.mark.usefixtures("made")
def test_a_chip_without_a_mask_is_an_error_before_any_is_assigned(step, tmp_path):
    (tmp_path / "masks" / "ACSWFC_64x80_2_staticMask.fits").unlink()
    given = images(tmp_path)
    with astrodrizzle(tmp_path / "masks"), pytest.raises(InputError) as caught:
        step.createStaticMask(given, CONFIG)
    assert [line.partition(": ")[2] for line in caught.value.problems] == [
        "SCI,2: no mask of ACSWFC 64x80 chip 2"
    ] * 2
    assert given[0]["SCI,1"].outputNames["staticMask"] is None


@pytest.mark.usefixtures("made")
def test_without_the_step_masks_are_not_used_and_a_warning_is_logged(step, tmp_path, caplog):
    given = images(tmp_path)
    with astrodrizzle(tmp_path / "masks"):
        step.createStaticMask(given, {"STEP 1: STATIC MASK": {"static": False}})
    assert given[0]["SCI,1"].outputNames["staticMask"] is None
    assert "static is off in AstroDrizzle's configuration: masks are not used" in caplog.messages


@pytest.mark.usefixtures("made")
def test_drizzlepacs_own_step_is_restored_after_an_error(step, tmp_path):
    original = step.createStaticMask

    def fails() -> None:
        with astrodrizzle(tmp_path / "masks"):
            assert step.createStaticMask is not original
            raise RuntimeError("theirs")

    with pytest.raises(RuntimeError, match="theirs"):
        fails()
    assert step.createStaticMask is original


@pytest.mark.usefixtures("step")
def test_masks_that_are_missing_are_an_error_at_once(tmp_path):
    with pytest.raises(InputError, match="missing"), astrodrizzle(tmp_path / "missing"):
        pytest.fail("entered")


@pytest.mark.usefixtures("made")
def test_without_drizzlepac_the_message_is_clear(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "drizzlepac", None)
    monkeypatch.delitem(sys.modules, "drizzlepac.staticMask", raising=False)
    with (
        pytest.raises(StaticMaskError, match="DrizzlePac cannot be imported"),
        astrodrizzle(tmp_path / "masks"),
    ):
        pytest.fail("entered")


@pytest.mark.usefixtures("made")
def test_a_version_in_which_the_step_has_moved_is_an_error(step, tmp_path):
    del step.createStaticMask
    with (
        pytest.raises(StaticMaskError, match=r"^drizzlepac 3.11.0 has no staticMask.createStat"),
        astrodrizzle(tmp_path / "masks"),
    ):
        pytest.fail("entered")
