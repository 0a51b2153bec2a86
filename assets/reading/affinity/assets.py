"""The assets of reading's answers: counts per day, shares per query date.

Belongs here: what Dagster shows. Does not: the statements (``computation.py``), the conditions
(``automation.py``).
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame.step import no_vain_retries
from assets.reading.affinity.automation import recompute_counts, recompute_shares
from assets.reading.pipeline import ANSWERS, USER_INTERACTION_KEY
from assets.reading.rules import WINDOW_DAYS
from assets.reading.settings import ReadingSettings
from assets.reading.tables import DAILY_COUNTS, META, SHARES
from resources.bigquery import BigQueryResource
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    from assets.reading.affinity.computation import DayFigures, Days, Replaced
    from assets.sinks.bigquery import Warehouse

# Known to be beta; the version is pinned, and tests hold what is used of it.
warnings.filterwarnings(
    "ignore",
    message=r"Parameter `(backfill_policy|allow_nonexistent_upstream_partitions)`",
    category=dg.BetaWarning,
)

COUNTS_KEY = ANSWERS.key(DAILY_COUNTS.name)
SHARES_KEY = ANSWERS.key(SHARES.name)
META_KEY = ANSWERS.key(META.name)

COUNTS_MATCH_EVENTS = "counts_match_events"
SHARES_SUM_TO_ONE = "shares_sum_to_one"

#: A query date sees its own day and the days before it.
_WINDOW = dg.TimeWindowPartitionMapping(
    start_offset=-WINDOW_DAYS, end_offset=0, allow_nonexistent_upstream_partitions=True
)

#: Of a range of dates, so many of the newest show their categories: a picture takes some kilobytes.
_PREVIEWED = timedelta(days=30)

Events = Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]


@dg.asset(
    **ANSWERS.step(
        DAILY_COUNTS.name,
        group="answers",
        deps=[USER_INTERACTION_KEY, META_KEY],
        backfill_policy=dg.BackfillPolicy.single_run(),
        automation_condition=recompute_counts(USER_INTERACTION_KEY),
        code_version="1",
        kinds={"bigquery"},
        schema=DAILY_COUNTS.column_schema(),
        lineage=DAILY_COUNTS.column_lineage(),
        check_specs=[
            dg.AssetCheckSpec(
                COUNTS_MATCH_EVENTS,
                asset=COUNTS_KEY,
                description="The counts are what counting events and categories directly gives.",
            )
        ],
    )
)
def daily_category_counts(
    context: dg.AssetExecutionContext,
    bigquery: BigQueryResource,
    postgres: PostgresResource,
    reading: ReadingSettings,
) -> Events:
    """Per day, user and category: events read beyond 90 percent, counted once per category.

    A range of days is one run and a statement per 100 days. A day is replaced as a whole, at once.
    """
    from assets.reading.affinity.computation import COUNT_SPAN, replace_counts

    yield from _replace(
        context,
        bigquery,
        postgres,
        reading,
        replace=replace_counts,
        span=COUNT_SPAN,
        check=COUNTS_MATCH_EVENTS,
    )


@dg.asset(
    **ANSWERS.step(
        SHARES.name,
        group="answers",
        deps=[dg.AssetDep(COUNTS_KEY, partition_mapping=_WINDOW)],
        backfill_policy=dg.BackfillPolicy.single_run(),
        automation_condition=recompute_shares(COUNTS_KEY),
        code_version="1",
        kinds={"bigquery"},
        schema=SHARES.column_schema(),
        lineage=SHARES.column_lineage(),
        check_specs=[
            dg.AssetCheckSpec(
                SHARES_SUM_TO_ONE,
                asset=SHARES_KEY,
                description="Every user's shares on a query date sum to 1.",
            )
        ],
    )
)
def user_category_shares(
    context: dg.AssetExecutionContext,
    bigquery: BigQueryResource,
    postgres: PostgresResource,
    reading: ReadingSettings,
) -> Events:
    """Per query date and user: each category's share of the two weeks up to and with that date.

    Made of the counts of 15 days. A range of dates is one run and a statement per 15 dates.
    """
    from assets.reading.affinity.computation import SHARE_SPAN, replace_shares

    yield from _replace(
        context,
        bigquery,
        postgres,
        reading,
        replace=replace_shares,
        span=SHARE_SPAN,
        check=SHARES_SUM_TO_ONE,
    )


def _replace(
    context: dg.AssetExecutionContext,
    bigquery: BigQueryResource,
    postgres: PostgresResource,
    reading: ReadingSettings,
    *,
    replace: "Callable[[Warehouse, Any, Days], Replaced]",
    span: int,
    check: str,
) -> Events:
    """Replace the run's partitions, ``span`` at a time; then the check and the materialization."""
    from assets.reading.affinity.computation import Days, top_shares
    from assets.reading.tables import warehouse_of

    keys = context.partition_key_range
    days = Days(date.fromisoformat(keys.start), date.fromisoformat(keys.end))
    name = context.asset_key.path[-1]
    figures: dict[date, DayFigures] = {}
    wrong: dict[date, str] = {}
    seconds = 0.0
    with (
        no_vain_retries(
            lambda error: (
                f"{name} cannot succeed as it is: {error}. Mend the cause (see `make "
                "doctor`); the partitions are asked for again within ten minutes."
            )
        ),
        bigquery.client() as client,
        postgres.connect(autocommit=True) as conn,
    ):
        warehouse = warehouse_of(client, reading.dataset)
        warehouse.ensure()
        for part in days.spans(span):
            replaced = replace(warehouse, conn, part)
            figures.update(replaced.days)
            wrong.update(replaced.wrong)
            seconds += replaced.seconds
            context.log.info(
                "%s_replaced first=%s last=%s rows=%d seconds=%.2f",
                name,
                part.first,
                part.last,
                sum(day.row_count for day in replaced.days.values()),
                replaced.seconds,
            )
        newest = Days(max(days.first, days.last - _PREVIEWED), days.last)
        top = top_shares(warehouse, newest) if context.asset_key == SHARES_KEY else {}
        table = warehouse.table(name)
    _report_partitions(context, figures, top)
    yield _check(check, wrong)
    yield dg.MaterializeResult(
        metadata={
            "dagster/table_name": table,
            "partitions": days.count,
            "rows_in_all_partitions": sum(day.row_count for day in figures.values()),
            "seconds": round(seconds, 3),
        }
    )


def _report_partitions(
    context: dg.AssetExecutionContext,
    figures: "Mapping[date, DayFigures]",
    top: Mapping[date, list[tuple[str, int, int, float]]],
) -> None:
    """Each partition's own figures, zero where nothing is counted, and its ``top`` categories."""
    from assets.reading.affinity.computation import DayFigures
    from assets.reading.charts import category_chart

    for key in context.partition_keys:
        own = date.fromisoformat(key)
        day = figures.get(own, DayFigures())
        metadata: dict[str, Any] = {
            "dagster/partition_row_count": day.row_count,
            "users": day.users,
            "pairs": day.events,
        }
        if own in top:
            means = {name: share for name, _, _, share in top[own]}
            title = f"Mean share of the most read categories, {own}"
            metadata["preview"] = dg.MetadataValue.md(_preview(top[own]))
            metadata["shares"] = dg.MetadataValue.md(category_chart(means, title))
        context.add_asset_metadata(metadata, partition_key=key)


def _check(name: str, wrong: Mapping[date, str]) -> dg.AssetCheckResult:
    sample = [f"- {day}: {what}" for day, what in sorted(wrong.items())[:10]]
    metadata: dict[str, Any] = {"wrong_partitions": len(wrong)}
    if sample:
        metadata["sample"] = dg.MetadataValue.md("\n".join(sample))
    return dg.AssetCheckResult(
        check_name=name,
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=metadata,
        description=(
            "Materialize these partitions again; if it stays, the statement is wrong."
            if wrong
            else None
        ),
    )


def _preview(rows: list[tuple[str, int, int, float]]) -> str:
    from assets.frame import markdown

    return markdown.table(
        ("category", "pairs", "users", "mean share"),
        ((name, events, users, f"{share:.4f}") for name, events, users, share in rows),
    )
