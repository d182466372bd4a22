"""The examples in docstrings run and print what they show."""

from __future__ import annotations

import doctest
import importlib
import shutil
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "staticmask_cli"
WITH_EXAMPLES = [
    path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".")
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Those of the public functions use the exposure that the repository contains.
    shutil.copytree(PACKAGE.parent / "tests" / "data", tmp_path / "tests" / "data")
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried > 0
    assert failed == 0


def test_every_public_function_of_the_statistics_has_an_example() -> None:
    lacking = []
    for path in (PACKAGE / "statistics").glob("[!_]*.py"):
        module = importlib.import_module(f"staticmask_cli.statistics.{path.stem}")
        for name, value in vars(module).items():
            is_ours = getattr(value, "__module__", "") == module.__name__
            if is_ours and callable(value) and not isinstance(value, type) and name[0] != "_":
                lacking += [] if ">>> " in (value.__doc__ or "") else [f"{path.stem}.{name}"]
    assert lacking == []
