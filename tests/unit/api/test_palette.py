"""The palette's contrasts, computed as WCAG 2.2 says, in both schemes."""

from __future__ import annotations

import re
from importlib import resources
from itertools import pairwise

import pytest

SHEET = (resources.files("api.pages") / "static" / "site.css").read_text("utf-8")
_LIGHT, _DARK = re.findall(r":root \{(.*?)\}", SHEET, re.DOTALL)
SCHEMES = {
    name: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    for name, block in (("light", _LIGHT), ("dark", _DARK))
}
#: What is read, on what: 4.5 (1.4.3).
TEXTS = [
    *((text, ground) for text in ("ink", "muted", "accent", "accent-strong", "late", "well")
      for ground in ("ground", "surface")),
    ("on-accent", "accent"), ("on-accent", "accent-strong"), ("ink", "plain-ground"),
    ("well", "well-ground"), ("late", "late-ground"), ("ink", "late-ground"),
    ("accent", "late-ground"), ("accent", "plain-ground"), ("muted", "plain-ground"),
]  # fmt: skip
#: What must be seen to be used or understood: 3 (1.4.11).
SHAPES = [
    *(("control", ground) for ground in ("surface", "ground", "rail")),
    ("accent", "rail"), ("accent", "ground"),
    *((f"series-{number}", "surface") for number in range(8)),
]  # fmt: skip


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_is_the_most_and_nothing_is_less_than_one():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_texts_can_be_read_and_shapes_be_seen(scheme):
    colours = SCHEMES[scheme]
    for least, pairs in ((4.5, TEXTS), (3.0, SHAPES)):
        for front, back in pairs:
            found = contrast(colours[front], colours[back])
            assert found >= least, f"{front} on {back}: {found:.2f}"


def test_both_schemes_have_every_colour_and_no_rule_has_one_of_its_own():
    light, dark = SCHEMES.values()
    assert set(light) == set(dark)
    assert set(re.findall(r"var\(--([\w-]+)\)", SHEET)) <= set(light)
    rules = SHEET.replace(_LIGHT, "").replace(_DARK, "")
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgb|hsl", rules)
    assert len({light[f"series-{number}"] for number in range(8)}) == 8


def test_neighbours_on_the_chart_do_not_look_alike():
    for colours in SCHEMES.values():
        series = [colours[f"series-{number}"] for number in range(8)]
        for one, other in pairwise(series):
            apart = sum(
                abs(int(one[at : at + 2], 16) - int(other[at : at + 2], 16)) for at in (1, 3, 5)
            )
            assert apart > 100, (one, other)
