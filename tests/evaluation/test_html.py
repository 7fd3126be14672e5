"""Pages and figures: complete in themselves, well formed, harmless whatever the texts in them say."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from dextrack.evaluation import figures, html
from dextrack.evaluation.figures import REFERENCE, Curve, Level, Panel
from dextrack.evaluation.html import Card

VOID = {"meta", "img", "br", "path", "use", "rect", "line", "circle"}


class Outline(HTMLParser):
    """Collects tags, attributes and texts; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def svg() -> str:
    time = np.linspace(0.0, 2.0, 50)
    panels = [
        Panel("height, cm", (Curve("reference", 10 * time, REFERENCE, dashed=True), Curve("trial", 9 * time)), (Level(2.0, "lifted"),)),
        Panel("error, cm", (Curve("trial", 0.1 * time),), (Level(5.0, "held"), Level(100.0, "paper"))),
    ]
    return figures.over_time("curves", time, panels, time > 1.0, [(0.5, "contact")])


def test_a_page_asks_nothing_of_others(svg: str) -> None:
    blocks = [html.banner("passed", "all well", html.GOOD), html.figure(svg, "caption", "a curve"), html.table(("a", "b"), [("1", "2")])]
    blocks.append(html.figure(figures.histogram("h", np.array([16.0, 17.0, 40.0]), 16.67, "ms"), "c", "a histogram"))
    blocks.append(html.figure(figures.ranges("r", {"a->b": (1.0, 2.0, 3.0)}, "ms"), "c", "ranges"))
    page = html.page("title", "lead", blocks)
    assert not re.search(r"https?:|//[a-z]|@import|<script|<link", page)
    for tag, attributes in Outline(page).tags:
        for name in ("src", "href", "xlink:href"):
            target = attributes.get(name)
            assert target is None or target.startswith(("#", "data:")), (tag, target)


def test_ids_are_unique_across_the_figures_of_a_page(svg: str) -> None:
    other = figures.histogram("h", np.array([16.0, 17.0]), 16.67, "ms")
    ids = re.findall(r'\bid="([^"]+)"', svg + other)
    assert len(ids) == len(set(ids)) > 10
    for reference in re.findall(r'(?:href="|url\()#([^")]+)', svg + other):
        assert reference in ids


def test_a_figure_takes_its_colours_from_the_page(svg: str) -> None:
    colours = set(re.findall(r"#[0-9a-fA-F]{6}", svg))
    assert colours == set()
    assert {"var(--ink)", "var(--trial)", "var(--reference)"} <= set(re.findall(r"var\(--\w+\)", svg))
    style = html.page("t", "l", [])
    light, dark = style.split("@media (prefers-color-scheme: dark)", 1)
    for variable in re.findall(r"var\((--\w+)\)", svg):
        assert variable + ":" in light
        assert variable + ":" in dark


def contrast(a: str, b: str) -> float:
    """Contrast ratio of two colours by WCAG 2."""
    luminance = []
    for colour in (a, b):
        c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0
        linear = np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        luminance.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(luminance) / min(luminance)


@pytest.mark.parametrize("theme", [0, 1])
def test_text_is_readable_in_both_themes(theme: int) -> None:
    blocks = re.findall(r":root \{[^}]*\}", html.page("t", "l", []))
    colours = dict(re.findall(r"(--[\w-]+):(#[0-9a-f]{6})", blocks[theme]))
    pairs = [(text, paper) for text in ("--ink", "--soft") for paper in ("--paper", "--card")]
    for text, paper in [*pairs, ("--good", "--good-paper"), ("--bad", "--bad-paper")]:
        assert contrast(colours[text], colours[paper]) >= 4.5, (text, paper)
    for line in ("--reference", "--trial"):
        assert contrast(colours[line], colours["--card"]) >= 3.0


def test_threshold_labels_are_all_there(svg: str) -> None:
    words = " ".join(Outline(svg).texts)
    for label in ("lifted", "held", "further up: paper", "contact", "height, cm", "reference"):
        assert label in words


def test_texts_cannot_become_markup() -> None:
    evil = '<script>alert(1)</script>"><img src=x onerror=y>'
    page = html.page(evil, evil, [
        html.banner(evil, evil, html.BAD), html.cards([Card(evil, evil, evil)]), html.table((evil,), [(evil,)]),
        html.figure("<svg></svg>", evil, evil), html.heading(evil), html.paragraph(evil),
    ])  # fmt: skip
    tags = Outline(page).tags
    assert {tag for tag, _ in tags}.isdisjoint({"script", "img"})
    assert not any("onerror" in attributes for _, attributes in tags)


def test_nothing_measured_still_gives_a_figure() -> None:
    empty = figures.over_time("e", np.zeros(1), [Panel("cm", (Curve("trial", np.array([np.nan])),))])
    assert empty.startswith("<svg")
    assert figures.ranges("r", {}, "ms").startswith("<svg")
