"""What is shown of a domain beside its category: bins, and nothing exact."""

from __future__ import annotations

import re

from assets.domains.figures import figures_of
from tests.unit.assets.domains.rows import feature_row


def test_every_measure_stands_beside_its_category() -> None:
    found = {one.measure: one for one in figures_of(feature_row())}
    assert {name: (one.bin, one.begins, one.direction) for name, one in found.items()} == {
        "revenue": ("1M–2M", 1e6, "up"),
        "sessions": ("500K–1M", 5e5, "flat"),
        "conversion rate": ("0.50-1.00", 0.5, None),
        "order value": ("275-300", 275, None),
    }
    assert [(one.of, one.bin) for one in found["revenue"].category] == [
        ("median", "200K–500K"), ("largest", "50M–100M"),
    ]  # fmt: skip
    assert [(one.of, one.bin) for one in found["order value"].category] == [
        ("10th percentile", "0-25"), ("90th percentile", "325-350"),
    ]  # fmt: skip


def test_no_exact_figure_is_in_it() -> None:
    row = feature_row()
    said = repr(figures_of(row))
    for name, value in row.items():
        if isinstance(value, float | int):
            assert not re.search(rf"(?<!\d){re.escape(f'{value:g}')}(?!\d)", said), name
            assert str(value) not in said, name
    assert "giant.com" not in said


def test_what_is_unknown_is_left_out() -> None:
    few = {name: None for name in feature_row() if name.startswith("cat_")}
    row = feature_row(conv_rate=None, binned_conv_rate=None, aov=None, binned_aov=None, **few)
    assert [(one.measure, one.category) for one in figures_of(row)] == [
        ("revenue", ()), ("sessions", ()),
    ]  # fmt: skip
