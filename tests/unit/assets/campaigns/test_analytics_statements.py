"""Every BigQuery statement is BigQuery's SQL, which the embedded server alone cannot show."""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot import exp

from assets.campaigns import analytics, recommendation_table, recommendations
from resources.bigquery import table_id

NAMES = {"events": table_id("my-project", "marketing", "user_events")}
STATEMENTS = {
    **analytics.statements("my-project", "marketing"),
    **{
        f"recommendation_{name}": sql
        for name, sql in recommendation_table.statements("my-project", "marketing").items()
    },
    "frequencies": recommendations.FREQUENCIES.format(**NAMES),
    "activity": recommendations.ACTIVITY.format(**NAMES),
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


def test_merge_writes_every_column():
    merge = sqlglot.parse_one(STATEMENTS["merge"], dialect="bigquery")
    columns = {name for name, _, _ in analytics._SCHEMA}
    inserted = {c.name for c in merge.find(exp.Insert).this.find_all(exp.Identifier)}
    assert inserted == columns
    updated = {e.this.name for e in merge.find(exp.Update).args["expressions"]}
    assert updated == columns - {"record_id"}


@pytest.mark.parametrize(
    ("project", "dataset"),
    [("p`; DROP TABLE x", "d"), ("proj", "d`x"), ("proj", "d.e"), ("", "d"), ("proj", "")],
)
def test_identifiers_come_from_an_allow_list(project, dataset):
    with pytest.raises(ValueError, match="not a"):
        table_id(project, dataset, "user_events")
