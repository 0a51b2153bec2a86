"""The warehouse against a server that speaks BigQuery's protocol."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assets.frame.tables import Column, Table
from assets.sinks.bigquery import Warehouse
from resources.bigquery import BigQueryResource

THINGS = Table(
    pipeline="things",
    name="things",
    description="Things.",
    key=("thing_id",),
    columns=(
        Column("thing_id", "text", "Which.", nullable=False),
        Column("size", "integer", "How big."),
    ),
)
LATER = replace(
    THINGS,
    columns=(
        *THINGS.columns,
        Column("colour", "text", "What it looks like.", nullable=False),
        Column("sizes", "double precision[]", "In every unit."),
    ),
)


@pytest.mark.servers("bigquery")
def test_a_column_that_is_declared_later_is_added_and_rows_stay(env: dict[str, str]) -> None:
    resource = BigQueryResource(
        project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
    )
    with resource.client() as client:
        before = Warehouse(client, env["CAMPAIGNS_DATASET"], (THINGS,))
        before.ensure()
        before.run("INSERT INTO `{things}` (thing_id, size) VALUES ('a', 1)")
        after = Warehouse(client, env["CAMPAIGNS_DATASET"], (LATER,))
        for _ in range(2):
            after.ensure()
        after.run("INSERT INTO `{things}` (thing_id, size, colour) VALUES ('b', 2, 'red')")
        rows = after.run("SELECT thing_id, size, colour FROM `{things}` ORDER BY thing_id")
        assert [tuple(row.values()) for row in rows] == [("a", 1, None), ("b", 2, "red")]
        # An older release beside it takes nothing away.
        before.ensure()
        assert len(list(after.run("SELECT colour, sizes FROM `{things}`"))) == 2
