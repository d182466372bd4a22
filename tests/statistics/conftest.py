"""Runs the tests of the statistics with each implementation of the inner loops."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from staticmask_cli.statistics import c_loops, loops, numpy_loops


def kernel() -> c_loops.CLoops:
    """Return the C kernel, or skip a test if it cannot run here."""
    try:
        return c_loops.load()
    except c_loops.NotUsableError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True, scope="module", params=["NumPy", "C"])
def implementation(request: pytest.FixtureRequest) -> Iterator[None]:
    chosen = numpy_loops if request.param == "NumPy" else kernel()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "chosen", lambda: chosen)
        yield
