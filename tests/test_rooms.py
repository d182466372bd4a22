"""Each room of the package imports only rooms below it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "staticmask_cli"
# Rooms that each room may import, besides itself and the modules outside the rooms.
BELOW = {
    "files": set(),
    "statistics": set(),
    "exposures": {"files", "statistics"},
    "config": {"exposures"},
    "masks": {"files", "statistics", "exposures"},
    "reports": {"files", "statistics", "exposures", "masks"},
    "masking": {"files", "statistics", "exposures", "masks", "reports"},
    "cli": {"files", "statistics", "exposures", "config", "masks", "reports", "masking"},
}


@pytest.mark.parametrize("room", BELOW)
def test_a_room_imports_only_rooms_below(room: str) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (PACKAGE / room).glob("*.py"))
    imported = set(re.findall(r"staticmask_cli\.(\w+)(?:\.\w+)* import", text))
    assert imported & set(BELOW) <= BELOW[room] | {room}


def test_every_room_is_known() -> None:
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(BELOW)
