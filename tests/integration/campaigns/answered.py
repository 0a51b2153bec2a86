"""The stores of campaigns, loaded as the sinks load them, and what they should answer.

The answers are computed by brute force over all users, in float64, without any code of campaigns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from assets.campaigns import analytics, graph, message_embeddings, profiles
from assets.campaigns.recommendations import Stores
from assets.embeddings import Space
from assets.sinks.neo4j import Graph
from resources.bigquery import BigQueryResource
from resources.milvus import MilvusResource
from resources.neo4j import Neo4jResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource
from tests.integration.campaigns.world import World


class Campaigns:
    """The three stores loaded with batches, and what they should answer."""

    def __init__(self, env, milvus, driver, bigquery):
        self.pg = PostgresResource(url=env["POSTGRES_URL"])
        self.openai = OpenAIResource(
            base_url=env["OPENAI_BASE_URL"],
            api_key=env["OPENAI_API_KEY"],
            embedding_model=env["OPENAI_EMBEDDING_MODEL"],
        )
        self.world = World(self.pg.url)
        space = Space(self.openai.embedding_model)
        self.profiles = profiles.store(milvus, env["CAMPAIGNS_MILVUS_PROFILES"], space)
        self.messages = message_embeddings.store(milvus, env["CAMPAIGNS_MILVUS_MESSAGES"], space)
        self.stores = Stores(
            milvus,
            env["CAMPAIGNS_MILVUS_PROFILES"],
            Graph(driver, env["NEO4J_DATABASE"]),
            analytics.warehouse_of(bigquery, env["CAMPAIGNS_DATASET"]),
        )

    def load(self, batch_id, events):
        chunks = self.world.deliver(batch_id, events)
        profiles.write(chunks, self.profiles, self.pg, self.openai, batch_id=batch_id)
        graph.write(chunks, self.stores.graph, self.pg, batch_id=batch_id)
        analytics.write(chunks, self.stores.warehouse, self.pg, batch_id=batch_id)
        return chunks

    def vectors(self) -> tuple[list[str], np.ndarray]:
        """Unit means of messages asked of the API directly, in float64."""
        of_users = self.world.messages_of()
        texts = sorted({m for c in of_users.values() for m in c})
        with self.openai.client() as client:
            answer = client.embeddings.create(
                model=self.openai.embedding_model, input=texts, dimensions=1024
            )
        of = {t: np.array(d.embedding) for t, d in zip(texts, answer.data, strict=True)}
        users = sorted(of_users)
        means = np.array([sum(of[m] * n for m, n in of_users[u].items()) for u in users])
        return users, means / np.linalg.norm(means, axis=1, keepdims=True)

    def scores(self) -> tuple[list[str], np.ndarray]:
        """The users, and every pair's cosine similarity."""
        users, units = self.vectors()
        return users, units @ units.T

    def expected(self, k) -> dict[str, tuple]:
        """For every user: similar users with scores, and campaigns with their counts."""
        users, scores = self.scores()
        pairs = self.world.pairs()
        found = {}
        for row, user in enumerate(users):
            order = sorted(
                (-round(float(scores[row, i]), 6), numbers(users[i]))
                for i in range(len(users))
                if i != row
            )[:k]
            near = [(name[-1], -score) for score, name in order]
            found[user] = (near, campaigns_of({u for u, _ in near}, pairs))
        return found


def campaigns_of(users: set[str], pairs) -> list[tuple]:
    """The campaigns of these users, most events first."""
    campaigns = []
    for campaign in {c for u, c in pairs if u in users}:
        of = [v for (u, c), v in pairs.items() if c == campaign and u in users]
        campaigns.append(
            (-sum(n for n, _, _ in of), campaign, len(of), max(last for *_, last in of))
        )
    return [(c, -n, u, last) for n, c, u, last in sorted(campaigns)]


def numbers(user: str) -> tuple:
    """Natural order for ids of the kind that the test data has, and the id."""
    digits = re.search(r"\d+$", user)
    return (user[: digits.start()] if digits else user, int(digits[0]) if digits else 0, user)


def plain(one) -> tuple:
    return (
        [(s.user_id, s.score) for s in one.similar],
        [(c.campaign, c.events, c.users, c.last_at) for c in one.campaigns],
    )


def assert_right(found: dict[str, tuple], world: Campaigns, k: int) -> None:
    """Nobody nearer is missing, in the order of the scores, with these users' own campaigns.

    Scores are right to a unit of their last digit: Milvus computes them in float32, the expectation
    in float64. So of two users that are as near as that either may be the k-th.
    """
    unit = 1.01e-6
    users, scores = world.scores()
    row_of = {user: row for row, user in enumerate(users)}
    pairs = world.world.pairs()
    for user, (similar, campaigns) in found.items():
        names = [name for name, _ in similar]
        of = scores[row_of[user]]
        assert len(set(names)) == k, user
        assert user not in names
        assert similar == sorted(similar, key=lambda s: (-s[1], numbers(s[0]))), user
        assert [score for _, score in similar] == pytest.approx(
            [of[row_of[name]] for name in names], abs=unit
        )
        others = np.delete(of, [row_of[name] for name in (user, *names)])
        assert others.max() <= similar[-1][1] + unit, user
        assert campaigns == campaigns_of(set(names), pairs), user


@contextmanager
def opened(env) -> Iterator[Campaigns]:
    milvus = MilvusResource(uri=env["MILVUS_URI"], token=env["MILVUS_TOKEN"]).client()
    neo4j = Neo4jResource(
        uri=env["NEO4J_URI"], user=env["NEO4J_USER"], password=env["NEO4J_PASSWORD"]
    )
    bigquery = BigQueryResource(
        project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
    )
    with neo4j.driver() as driver, bigquery.client() as client:
        yield Campaigns(env, milvus, driver, client)
    milvus.close()
