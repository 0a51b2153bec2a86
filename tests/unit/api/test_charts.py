"""Geometry of the charts: nothing is lost, nothing lies outside."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.pages.charts import HEIGHT, OTHERS, SERIES, WIDTH, Bin, Column, Figure, scale, stacked

_NAMES = [*"abcdefghijklm", "<script>"]
_COUNTS = st.dictionaries(st.sampled_from(_NAMES), st.integers(1, 50), max_size=len(_NAMES))


@given(st.lists(_COUNTS, max_size=20))
def test_columns_are_full_or_empty_and_blocks_are_their_shares(counts):
    columns = [
        Column(str(at), {name: n / sum(one.values()) for name, n in one.items()})
        for at, one in enumerate(counts)
    ]
    chart = stacked(columns)
    every = Counter(name for one in counts for name in one)
    assert len(chart.legend) == min(len(every), SERIES + 1)
    assert set(chart.legend) <= {*every, OTHERS}
    assert len(chart.columns) == len(counts)
    for drawn, column in zip(chart.columns, columns, strict=True):
        assert 0 <= drawn.x <= drawn.x + drawn.width <= WIDTH
        assert sum(one.height for one in drawn.blocks) == pytest.approx(
            HEIGHT if column.shares else 0, abs=0.1
        )
        foot = HEIGHT
        for one in drawn.blocks:
            assert one.y + one.height == pytest.approx(foot, abs=0.02)
            assert chart.legend[one.series] == one.name
            foot = one.y
            if one.name != OTHERS:
                assert one.share == pytest.approx(column.shares[one.name])
        left = sum(share for name, share in column.shares.items() if name not in chart.legend)
        folded = sum(one.share for one in drawn.blocks if one.name == OTHERS)
        assert folded == pytest.approx(left)


def test_the_largest_series_come_first_and_ties_by_name():
    chart = stacked([Column("x", {"b": 0.25, "a": 0.25, "z": 0.5}), Column("y", {})])
    assert chart.legend == ("z", "a", "b")
    assert chart.columns[1].blocks == ()


@given(st.lists(st.floats(-1, 1e15), min_size=1, max_size=4))
def test_bins_lie_on_their_scale_in_their_order(edges):
    own, *category = (Bin(str(edge), str(edge), edge) for edge in edges)
    drawn = scale(Figure("revenue", None, own, tuple(category)))
    places = [drawn.own.x, *(one.x for one in drawn.category)]
    assert all(0 < place < 100 for place in places)
    for edge, place in zip(edges, places, strict=True):
        for other, its in zip(edges, places, strict=True):
            assert not (edge < other and place > its)
