"""One user's recommendation against the bare calls that it is made of, on the same clients."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from typing import Any

#: From the most active to the least.
ASKED_USERS = 30
K = 5


def answers(
    ours: list[float],
    with_lookup: list[float],
    given_vector: list[float],
    asking: Callable[[str, int], list[str]] | None = None,
) -> None:
    """Append the seconds of recommend() and of its bare calls, in turn, user by user.

    ``asking`` gives the users like one in another way, of which the seconds are then.
    """
    import numpy as np
    from google.cloud.bigquery import ArrayQueryParameter

    from assets.campaigns import answers as asked
    from assets.campaigns import recommendations
    from resources.bigquery import BigQueryResource, run
    from resources.milvus import MilvusResource
    from resources.neo4j import Neo4jResource
    from resources.postgres import PostgresResource

    env = os.environ
    with PostgresResource(url=env["POSTGRES_URL"]).connect() as connection:
        ranked = connection.execute(
            "SELECT user_id FROM campaigns.record WHERE message_hash IS NOT NULL"
            " GROUP BY user_id ORDER BY count(*) DESC, user_id"
        ).fetchall()
    step = max(1, len(ranked) // ASKED_USERS)
    users = [user for (user,) in ranked[::step]][:ASKED_USERS]
    with (
        contextlib.closing(
            MilvusResource(uri=env["MILVUS_URI"], token=env.get("MILVUS_TOKEN", "")).client()
        ) as milvus,
        Neo4jResource(
            uri=env["NEO4J_URI"], user=env["NEO4J_USER"], password=env["NEO4J_PASSWORD"],
            database=env["NEO4J_DATABASE"],
        ).driver() as driver,
        BigQueryResource(
            project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
        ).client() as bigquery,
    ):  # fmt: skip
        profiles = env["CAMPAIGNS_MILVUS_PROFILES"]
        stores = asked.stores(
            milvus,
            driver,
            bigquery,
            profiles=profiles,
            database=env["NEO4J_DATABASE"],
            dataset=env["CAMPAIGNS_DATASET"],
        )
        frequencies = stores.warehouse.sql(recommendations.FREQUENCIES)

        def vector_of(user: str) -> Any:
            name = json.dumps(user, ensure_ascii=False)
            (row,) = milvus.query(
                profiles, filter=f"user_id == {name}", output_fields=["vector"],
                consistency_level="Strong",
            )  # fmt: skip
            return np.asarray(row["vector"], dtype="f4")

        def bare(user: str, vector: Any) -> list[str]:
            limit = recommendations.FIRST_LIMIT
            while True:
                (hits,) = milvus.search(
                    profiles, data=[vector], limit=limit, anns_field="vector",
                    search_params={"metric_type": "COSINE", "params": {"ef": limit}},
                    output_fields=["user_id"], consistency_level="Strong",
                )  # fmt: skip
                scored = [(hit["user_id"], float(hit["distance"])) for hit in hits]
                last = limit == recommendations.LAST_LIMIT
                if last or recommendations.settled(user, scored, limit, K):
                    break
                limit = min(limit * 2, recommendations.LAST_LIMIT)
            near = [found.user_id for found in recommendations.nearest(user, scored, K)]
            driver.execute_query(
                recommendations.CAMPAIGNS, rows=near, database_=env["NEO4J_DATABASE"]
            )
            list(run(bigquery, frequencies, [ArrayQueryParameter("users", "STRING", near)]))
            return near

        def recommended(user: str, k: int) -> list[str]:
            return [found.user_id for found in asked.recommendation(stores, user, k).similar]

        answer = asking or recommended
        for user in users[:3]:  # connections and caches
            answer(user, K)
            bare(user, vector_of(user))
        for number, user in enumerate(users):
            order = ("ours", "bare") if number % 2 else ("bare", "ours")
            near: list[str] = []
            found: list[str] = []
            for who in order:
                began = time.perf_counter()
                if who == "ours":
                    found = answer(user, K)
                    ours.append(time.perf_counter() - began)
                    continue
                vector = vector_of(user)
                looked_up = time.perf_counter()
                near = bare(user, vector)
                ended = time.perf_counter()
                with_lookup.append(ended - began)
                given_vector.append(ended - looked_up)
            if found != near:
                raise RuntimeError(f"the bare calls found other users like {user}: {near}")
