"""Every BigQuery statement is BigQuery's SQL, which the embedded server alone cannot show."""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot import exp

from assets.campaigns import answers, recommendation_table, recommendations, tables
from assets.campaigns.analytics import NEWEST
from assets.sinks.bigquery import hashes_statement
from assets.sinks.bigquery_merging import merge_statement, statement_of_rows
from resources.bigquery import table_id

NAMES = {table.name: table_id("my-project", "marketing", table.name) for table in tables.WAREHOUSE}
STATEMENTS = {
    name: template.format(**NAMES)
    for name, template in {
        "merge": merge_statement(tables.USER_EVENTS, tables.USER_EVENTS_STAGING, NEWEST),
        "merge_of_some_days": merge_statement(
            tables.USER_EVENTS, tables.USER_EVENTS_STAGING, NEWEST, some_days=True
        ),
        "merge_of_rows": statement_of_rows(tables.USER_EVENTS, ("timestamp", "seq", "line")),
        "hashes": hashes_statement(tables.USER_EVENTS),
        "recommendation_merge": merge_statement(
            tables.RECOMMENDATIONS, tables.RECOMMENDATIONS_STAGING, ["computed_at"]
        ),
        "recommendation_delete": recommendation_table.DELETE,
        "frequencies": recommendations.FREQUENCIES,
        "activity": answers.ACTIVITY,
    }.items()
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_parses_as_bigquery(name):
    (statement,) = sqlglot.parse(STATEMENTS[name], dialect="bigquery")
    assert not isinstance(statement, exp.Command)
    assert {table.catalog for table in statement.find_all(exp.Table) if table.catalog} == {
        "my-project"
    }


@pytest.mark.parametrize("name", ["merge", "recommendation_merge"])
def test_merge_source_has_one_row_per_key_and_one_batch(name):
    merge = sqlglot.parse_one(STATEMENTS[name], dialect="bigquery")
    source = merge.args["using"].find(exp.Select)
    assert "@batch_id" in source.args["where"].sql(dialect="bigquery")
    assert "ROW_NUMBER() OVER" in source.args["qualify"].sql(dialect="bigquery")


@pytest.mark.parametrize(
    ("name", "key", "columns"),
    [
        (
            "merge",
            "record_id",
            "record_id user_id message campaign timestamp row_hash source ingested_at",
        ),
        (
            "recommendation_merge",
            "user_id",
            "user_id computed_at batch_id tie_limit_reached similar_users campaigns",
        ),
    ],
)
def test_merge_writes_every_column(name, key, columns):
    merge = sqlglot.parse_one(STATEMENTS[name], dialect="bigquery")
    inserted = [c.name for c in merge.find(exp.Insert).this.find_all(exp.Identifier)]
    assert inserted == columns.split()
    updated = {e.this.name: e.expression for e in merge.find(exp.Update).args["expressions"]}
    assert set(updated) == set(columns.split()) - {key}
    assert all(value.name == name and value.table == "s" for name, value in updated.items())


@pytest.mark.parametrize("name", ["merge", "merge_of_some_days", "merge_of_rows", "hashes"])
def test_only_the_days_of_the_batch_are_read(name):
    sql = STATEMENTS[name]
    assert "timestamp, DAY) IN UNNEST(@days)" in sql
    assert "@days" not in STATEMENTS["recommendation_merge"]


@pytest.mark.parametrize(
    ("project", "dataset"),
    [("p`; DROP TABLE x", "d"), ("proj", "d`x"), ("proj", "d.e"), ("", "d"), ("proj", "")],
)
def test_identifiers_come_from_an_allow_list(project, dataset):
    with pytest.raises(ValueError, match="not a"):
        table_id(project, dataset, "user_events")
