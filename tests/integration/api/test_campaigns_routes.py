"""Campaigns over HTTP, against the servers that the sinks have loaded."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

import psycopg
import pytest

from tests.integration.campaigns.answered import opened
from tests.integration.campaigns.world import changes, small

pytestmark = pytest.mark.servers("postgres", "milvus", "openai", "bolt", "bigquery")
AT = datetime(2026, 11, 28, 12, 0, 1, tzinfo=UTC)


@pytest.fixture
def campaigns(env):
    with opened(env) as found:
        yield found


def delivered(url: str) -> None:
    """That the ledger was told of a batch that a sink has taken."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO landing.batch (batch_id, source, pipeline, objects, bytes,"
            " created_at) VALUES ('b2', 'campaigns', 'campaigns', 1, 1, now())"
        )
        connection.execute(
            "INSERT INTO landing.batch_sink (batch_id, sink, state, run_id, done_at)"
            " VALUES ('b2', 'engagement_graph', 'done', 'run-7', %s)",
            (AT,),
        )


def test_every_answer_is_that_of_brute_force_and_names_what_it_rests_on(
    service, campaigns, env, monkeypatch
):
    monkeypatch.setenv("QUINTET_UI_URL", "http://ui")
    campaigns.load("b1", small())
    campaigns.load("b2", changes())
    delivered(env["POSTGRES_URL"])
    expected = campaigns.expected(3)
    for user, (similar, ranked) in expected.items():
        path = f"/v1/campaigns/users/{quote(user, safe='')}"
        said = service.get(f"{path}/recommendations", params={"k": 3})
        assert said.status_code == 200, said.text
        found = said.json()
        answer = found["answer"]
        assert [(one["user_id"], one["score"]) for one in answer["similar"]] == similar
        assert [
            (one["campaign"], one["events"], one["users"], datetime.fromisoformat(one["last_at"]))
            for one in answer["campaigns"]
        ] == ranked
        assert found["rests_on"]["id"] == "b2"
        assert datetime.fromisoformat(found["rests_on"]["written_at"]) == AT
        assert found["rests_on"]["run"].endswith("/runs/run-7")
        near = service.get(f"{path}/similar", params={"k": 3}).json()["answer"]
        assert [(one["user_id"], one["score"]) for one in near["similar"]] == similar
        events = [one for one in campaigns.world.events.values() if one.user_id == user]
        engaged = service.get(f"{path}/engagement").json()["answer"]
        assert engaged["events"] == len(events)
        assert datetime.fromisoformat(engaged["last_at"]) == max(one.timestamp for one in events)
        own = service.get(f"{path}/campaigns").json()["answer"]["campaigns"]
        assert {(one["campaign"], one["events"]) for one in own} == {
            (campaign, count)
            for (who, campaign), (count, *_) in campaigns.world.pairs().items()
            if who == user
        }


def test_nothing_is_sent_again_that_has_not_changed(service, campaigns):
    campaigns.load("b1", small())
    first = service.get("/v1/campaigns/users/user_1/similar")
    tag = first.headers["etag"]
    again = service.get("/v1/campaigns/users/user_1/similar", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    campaigns.load("b2", changes())
    later = service.get("/v1/campaigns/users/user_1/similar", headers={"If-None-Match": tag})
    assert later.status_code == 200
    assert later.headers["etag"] != tag


def test_users_without_an_answer_are_told_apart(service, campaigns):
    campaigns.load("b1", small())
    nobody = service.get("/v1/campaigns/users/nobody/similar")
    assert (nobody.status_code, nobody.json()["code"]) == (404, "unknown_user")
    silent = service.get("/v1/campaigns/users/user_3/recommendations")
    assert (silent.status_code, silent.json()["code"]) == (409, "no_vector")
    assert service.get("/v1/campaigns/users/user_3/engagement").status_code == 200


@pytest.mark.parametrize(
    "user", ['" or 1 == 1 or "', "'; DROP TABLE api.key; --", "{$gt: ''}", "`}) DETACH DELETE n //"]
)
@pytest.mark.parametrize("of", ["similar", "campaigns", "engagement", "recommendations"])
def test_what_looks_like_a_statement_is_a_name_of_nobody(service, campaigns, user, of):
    campaigns.load("b1", small())
    said = service.get(f"/v1/campaigns/users/{quote(user, safe='')}/{of}")
    assert (said.status_code, said.json()["code"]) == (404, "unknown_user")
