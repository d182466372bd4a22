"""The report's page, parsed, and checks that hold for every page."""

from __future__ import annotations

import base64
import dataclasses
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from matplotlib.image import imread

from staticmask_cli.reports import showing
from staticmask_cli.reports.page import BEGINNING
from staticmask_cli.reports.report import Report

VOID = {"meta", "img", "source", "br"}
CELLS = {"dt", "dd", "td", "th"}


class Page(HTMLParser):
    """A parsed page; every element must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag in CELLS:
            self.words += " "

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words += data

    def of(self, tag: str, kind: str | None = None) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of a tag, or of those of one class."""
        found = [attributes for name, attributes in self.elements if name == tag]
        return [a for a in found if kind is None or kind in (a.get("class") or "").split()]

    @property
    def pictures(self) -> list[np.ndarray]:
        return [decoded(png(image["src"])) for image in self.of("img")]

    def picture(self, alt: str) -> np.ndarray:
        """Return the picture whose alternative text begins like this."""
        (found,) = [a for a in self.of("img") if (a["alt"] or "").startswith(alt)]
        return decoded(png(found["src"]))


def png(url: str | None) -> bytes:
    head, data = (url or "").split(",")
    assert head == "data:image/png;base64"
    return base64.b64decode(data, validate=True)


def decoded(data: bytes) -> np.ndarray:
    """Return the points of a PNG, row 0 at the top: three numbers from 0 to 255."""
    return np.round(imread(io.BytesIO(data))[..., :3] * 255).astype(int)


def is_colour(points: np.ndarray, colour: str) -> np.ndarray:
    return (points == list(bytes.fromhex(colour[1:]))).all(axis=-1)


def shown(report: Report, tmp_path: Path, **changes: object) -> Page:
    """Write the report of a run that was made without one, and parse its page."""
    settings = dataclasses.replace(report.settings, report=str(tmp_path / "r.html"), **changes)
    showing.show(dataclasses.replace(report, settings=settings))
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text.startswith(BEGINNING)
    assert "://" not in text
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object"}
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    metas = page.of("meta")
    assert {"http-equiv": "Content-Security-Policy", "content": policy} in metas
    assert page.of("html") == [{"lang": "en"}]
    assert len(page.of("title")) == len(page.of("h1")) == len(page.of("main")) == 1
    assert any(meta.get("name") == "viewport" for meta in metas)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) == len(report.masks)
    for link in page.of("a"):
        assert (link["href"] or "")[1:] in ids
    for image in page.of("img"):
        assert image["alt"]
        points = decoded(png(image["src"]))
        assert points.shape[:2] == (int(image["height"] or 0), int(image["width"] or 0))
    for source in page.of("source"):
        assert source["media"] == "(prefers-color-scheme: dark)"
        decoded(png(source["srcset"]))
    wide = page.of("div", "wide")
    assert len(wide) == len(page.of("table")) == len(page.of("caption"))
    assert all((a["tabindex"], a["role"]) == ("0", "region") and a["aria-label"] for a in wide)
    assert all(head.get("scope") in ("col", "row") for head in page.of("th"))
    assert "None" not in page.words.replace("group None", "").split("with the default value")[0]
    return page
