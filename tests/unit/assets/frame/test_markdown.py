from __future__ import annotations

import pytest

from assets.frame import markdown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (0, "0"),
        ("AC/DC | Live\n`x`", r"AC/DC \| Live \`x\`"),
        ("<b>[a](b)", r"\<b>\[a](b)"),
        ("back\\slash", "back\\\\slash"),
        ("x" * 61, "x" * 59 + "…"),
    ],
)
def test_cell(value, shown):
    assert markdown.cell(value) == shown


def test_table():
    assert markdown.table(("a", "b|c"), [(1, None), ("x|y", 2.5)]) == (
        "| a | b\\|c |\n|---|---|\n| 1 |  |\n| x\\|y | 2.5 |"
    )
