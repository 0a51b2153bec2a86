"""The set that is learned from: hold-out, fingerprints, distances."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.images.classifier import examples
from tests.unit.assets.images.classifier.drawn import example

_COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 1000), max_size=6)


def test_a_quarter_is_held_out_by_its_id_alone() -> None:
    held = [number for number in range(20_000) if examples.held_out(number)]
    assert len(held) == pytest.approx(5_000, rel=0.05)
    # For ever: a product that was tested on must not be learned from later.
    assert held[:12] == [2, 5, 6, 10, 17, 20, 22, 23, 28, 30, 33, 35]


def test_a_version_is_of_the_set_whatever_its_order() -> None:
    some = [example(number) for number in range(20)]
    version = examples.version_of(some, "a", "1")
    assert examples.version_of(reversed(some), "a", "1") == version
    assert examples.version_of(some[:-1], "a", "1") != version
    assert examples.version_of(some, "a", "2") != version
    for change in ({"content": "x"}, {"article_type": "x"}, {"base_colour": None}):
        other = [dataclasses.replace(some[0], **change), *some[1:]]
        assert examples.version_of(other, "a", "1") != version
    # Where it lies is nothing that is learned.
    moved = [dataclasses.replace(some[0], key="elsewhere"), *some[1:]]
    assert examples.version_of(moved, "a", "1") == version


def test_changed_share() -> None:
    assert examples.changed_share("abcd", "abcd") == 0
    assert examples.changed_share("abcd", "abcde") == 0.25
    assert examples.changed_share("abcd", "abcx") == 0.5
    assert examples.changed_share("", "abc") == 1


def test_labels_are_counted_without_the_unknown() -> None:
    some = [example(number) for number in range(9)]
    some[0] = dataclasses.replace(some[0], base_colour=None)
    counts = examples.label_counts(some)
    assert sum(counts["master_category"].values()) == 9
    assert sum(counts["base_colour"].values()) == 8
    assert list(counts["article_type"].values()) == sorted(
        counts["article_type"].values(), reverse=True
    )


@given(_COUNTS, _COUNTS)
def test_distance_is_a_distance(before: dict[str, int], now: dict[str, int]) -> None:
    far = examples.distance(before, now)
    assert 0 <= far <= 1
    assert far == pytest.approx(examples.distance(now, before))
    assert examples.distance(before, before) == 0
    twice = {label: 2 * count for label, count in before.items()}
    assert examples.distance(before, twice) == pytest.approx(0)


def test_distance_of_known_ones() -> None:
    assert examples.distance({"a": 1}, {"b": 7}) == 1
    assert examples.distance({"a": 50, "b": 50}, {"a": 60, "b": 40}) == pytest.approx(0.1)
    assert examples.distance({}, {"a": 1}) == 1
