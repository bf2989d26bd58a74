"""The text of the page: escaped, self-contained, complete, readable for everyone."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from renalis.errors import OutputError
from renalis.measurement import Measurements
from renalis.report import ReportContent, write_report
from renalis.report.html import render
from renalis.volume import Volume

VOID = {"meta", "link", "img", "input", "br", "path", "rect", "image"}


class Outline(HTMLParser):
    """All elements with their attributes, and the text of styles and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.raw: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.raw.append((self.open[-1], data))
        else:
            self.words += data


@pytest.fixture(scope="module")
def outline(page: str) -> Outline:
    return Outline(page)


def test_elements_are_closed_and_ids_unique(outline: Outline) -> None:
    assert outline.open == []
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in outline.elements:
        for name in ("for", "aria-labelledby"):
            if name in attributes:
                assert attributes[name] in ids


def test_nothing_is_loaded_from_elsewhere(outline: Outline) -> None:
    for tag, attributes in outline.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            if name in attributes:
                assert attributes[name].startswith("data:"), (tag, name)
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
    styles = "".join(text for tag, text in outline.raw if tag == "style")
    assert "url(" not in styles
    assert "@import" not in styles


def test_policy_has_the_hashes_of_what_is_there(outline: Outline, page: str) -> None:
    (policy,) = [
        attributes["content"]
        for tag, attributes in outline.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_hostile_words_are_text(outline: Outline, content: ReportContent) -> None:
    for words in (content.case_id, content.notes[0], content.scan_facts[0][1]):
        assert words in outline.words
    scripts = [attributes for tag, attributes in outline.elements if tag == "script"]
    assert sorted(attributes.get("type", "") for attributes in scripts) == [
        "", "application/json", "application/json",
    ]  # fmt: skip
    assert "<img src=x" in outline.words


def test_everything_that_has_to_be_said_is_said(outline: Outline, content: ReportContent) -> None:
    words = " ".join(outline.words.split())
    for needed in (
        "not for diagnosis", "W 400 L 40", "CC BY-NC-SA 4.0", "made-up model 1",
        "The scan ends above the left lower pole.", "Removed 2 parts, 0.4 ml.",
        "patient's right is at the left", "Right kidney", "T1", "C1",
    ):  # fmt: skip
        assert needed in words, needed


def test_pictures_and_tables_can_be_read_aloud(outline: Outline) -> None:
    figures = 0
    for tag, attributes in outline.elements:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg" and attributes.get("role") == "img":
            figures += 1
            assert re.search(
                r"slice \d+ of \d+; outlined: |slice \d+ of \d+; nothing", attributes["aria-label"]
            )
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
        if tag in ("canvas",):
            assert attributes["aria-label"]
    assert figures == 3 + 1 + 2 * 3 + 2 * 3  # overview and pair, stack, kidneys, lesions
    tags = [tag for tag, _ in outline.elements]
    assert tags.count("table") - tags.count("caption") == 2  # the two lists of facts


def test_page_is_small(page: str) -> None:
    assert len(page.encode()) < 6_000_000


def test_page_is_the_same_every_time(content: ReportContent, page: str) -> None:
    assert render(content) == page


def test_page_without_findings_says_so(healthy: tuple[Volume, Volume, Measurements]) -> None:
    image, labels, measured = healthy
    read = Outline(render(ReportContent("case_2", image, labels, measured)))
    assert "No kidney, no tumor and no cyst was found in this scan." in read.words
    tags = [tag for tag, _ in read.elements]
    assert tags.count("figure") == 3
    assert "canvas" not in tags


def test_page_without_lesions_says_so(content: ReportContent) -> None:
    measured = dataclasses.replace(content.measurements, lesions=())
    labels = content.labels.like((content.labels.array > 0).astype("uint8"), content.labels.kind)
    read = Outline(render(dataclasses.replace(content, measurements=measured, labels=labels)))
    assert "No tumor and no cyst was found." in read.words


def test_report_is_whole_or_absent(content: ReportContent, tmp_path: Path) -> None:
    written = write_report(tmp_path / "report.html", content)
    assert written.read_text(encoding="utf-8").endswith("</html>")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        write_report(tmp_path / "file" / "report.html", content)
