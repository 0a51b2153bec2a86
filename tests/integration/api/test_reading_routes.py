"""A user's category shares over HTTP, against a recount of the events in Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta

import pytest

from assets.reading.answers import shares_over_days
from tests.integration.reading.affinity_world import EDGE, LAST, NOBODY, READER, fill, world_of

pytestmark = pytest.mark.servers("postgres", "bigquery")


@pytest.fixture
def world(env):
    with world_of(env) as made:
        fill(made)
        yield made


def recounted(world, user, day, *, days=14, beyond=90.0) -> Counter[str]:
    """Pairs of an event and a category, by category."""
    names = defaultdict(list)
    for content, name in world.categories:
        names[content].append(name)
    first = day - timedelta(days=days)
    read = {
        (content, at)
        for who, content, percent, at in world.events
        if who == user and percent > beyond and first <= at.date() <= day
    }
    return Counter(name for content, _ in read for name in names[content])


def test_shares_and_counts_are_those_of_a_recount(service, world):
    users = [READER, EDGE, NOBODY, *sorted({who for who, *_ in world.events})[:6]]
    found_any = False
    for user in users:
        for asked in ({}, {"days": 3}, {"beyond": 50}, {"days": 0, "beyond": 0}):
            said = service.get(
                f"/v1/reading/users/{user}/categories",
                params={"query_date": LAST.isoformat(), **asked},
            )
            assert said.status_code == 200, said.text
            categories = said.json()["answer"]["categories"]
            expected = recounted(world, user, LAST, **asked)
            assert {one["category"]: one["events"] for one in categories} == dict(expected)
            for one in categories:
                share = expected[one["category"]] / expected.total()
                assert one["share"] == pytest.approx(share, abs=1e-12)
            found_any = found_any or bool(categories)
    assert found_any


@pytest.mark.parametrize(("days", "beyond"), [(14, 90), (0, 0), (3, 50)])
def test_shares_over_days_are_those_of_each_date(world, days, beyond):
    client, dataset = world.warehouse.client, world.warehouse.dataset
    for user in (READER, NOBODY):
        found = shares_over_days(client, dataset, user, LAST, dates=9, days=days, beyond=beyond)
        assert [one.last for one in found] == [LAST - timedelta(days=n) for n in reversed(range(9))]
        for one in found:
            assert one.first == one.last - timedelta(days=days)
            expected = recounted(world, user, one.last, days=days, beyond=beyond)
            assert {each.category: each.events for each in one.categories} == dict(expected)
            assert sum(one.shares.values()) == pytest.approx(1 if expected else 0)


def test_the_old_address_has_the_old_shape(service, world):
    shares = world.shares(LAST)
    for user in (READER, NOBODY):
        said = service.get("/user_content/", params={"user_id": user, "query_date": str(LAST)})
        assert said.status_code == 200
        assert said.json() == pytest.approx(shares.get(user, {}), abs=1e-12)
    assert said.json() == {}


@pytest.mark.parametrize(
    "asked",
    [
        {}, {"query_date": "yesterday"}, {"query_date": "0001-01-01"}, {"query_date": "2022-02-30"},
        {"query_date": "2022-03-01", "days": -1}, {"query_date": "2022-03-01", "days": 10**9},
        {"query_date": "2022-03-01", "beyond": "all"},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_asked_is_told_by_name(service, asked):
    said = service.get("/v1/reading/users/1/categories", params=asked)
    assert (said.status_code, said.json()["code"]) == (422, "invalid_request")
    assert {one["name"] for one in said.json()["errors"]} <= {"query_date", "days", "beyond"}
    assert service.get(f"/v1/reading/users/{2**63}/categories").status_code == 422


def test_before_anything_is_loaded_it_says_so(service):
    said = service.get("/v1/reading/users/1/categories", params={"query_date": "2022-03-01"})
    assert (said.status_code, said.json()["code"]) == (409, "nothing_loaded")
