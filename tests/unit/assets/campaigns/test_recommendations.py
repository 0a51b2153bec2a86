"""The order of similar users and their campaigns, without any server."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from assets.campaigns.recommendations import natural, nearest, ranked, settled


def at(day: int) -> datetime:
    return datetime(2025, 11, day, tzinfo=UTC)


def test_natural_order():
    users = ["user_10", "user_2", "user_1", "anna", "user_02", "7", "user", "user_2b"]
    assert sorted(users, key=natural) == [
        "7", "anna", "user", "user_1", "user_02", "user_2", "user_2b", "user_10",
    ]  # fmt: skip


@given(st.lists(st.text(max_size=8), unique=True))
def test_natural_order_is_total(users):
    other_way_round = users[::-1]
    assert sorted(users, key=natural) == sorted(other_way_round, key=natural)


def test_ties_follow_the_rounded_score():
    hits = [("user_10", 0.90000049), ("user_2", 0.9000001), ("me", 1.0), ("user_1", 0.8999994)]
    best = nearest("me", hits, 2)
    assert [(near.user_id, near.score) for near in best] == [("user_2", 0.9), ("user_10", 0.9)]
    assert [near.user_id for near in nearest("me", hits, 9)] == ["user_2", "user_10", "user_1"]


def test_settled_only_when_the_last_score_is_below_the_kth():
    hits = [("me", 1.0), ("a", 0.9), ("b", 0.8), ("c", 0.8)]
    assert not settled("me", hits, 4, 2)  # more may score 0.8
    assert settled("me", hits, 4, 1)
    assert settled("me", hits, 5, 2)  # fewer came than were asked for
    assert not settled("me", hits, 4, 4)  # k is not reached
    assert not settled("me", [("a", 0.9), ("b", 0.8999999)], 2, 1)  # equal when rounded


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=40),
    st.integers(1, 6),
    st.integers(1, 45),
)
def test_a_settled_answer_is_the_answer_over_all(levels, k, limit):
    """Whatever order a server gives equal scores in."""
    everyone = sorted(((f"u{i}", level / 4) for i, level in enumerate(levels)),
                      key=lambda hit: -hit[1])  # fmt: skip
    seen = everyone[:limit]
    if settled("u0", seen, limit, k):
        assert nearest("u0", seen, k) == nearest("u0", everyone, k)


def test_campaigns_by_events_then_name():
    campaigns = {"a": {"Winter", "Spring"}, "b": {"Winter"}, "c": {"Autumn"}, "d": {"Never"}}
    frequencies = {
        ("a", "Winter"): (2, at(1)),
        ("b", "Winter"): (1, at(9)),
        ("a", "Spring"): (3, at(3)),
        ("c", "Autumn"): (1, at(4)),
        ("z", "Autumn"): (50, at(5)),  # nobody asked about z
    }
    found = ranked(["a", "b", "c", "d"], campaigns, frequencies)
    assert [(c.campaign, c.events, c.users, c.last_at) for c in found] == [
        ("Spring", 3, 1, at(3)),
        ("Winter", 3, 2, at(9)),
        ("Autumn", 1, 1, at(4)),
        ("Never", 0, 1, None),  # the graph knows it, analytics not yet
    ]
