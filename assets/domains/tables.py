"""The tables of domains in Postgres, each declared once.

Belongs here: columns, keys, where values come from. Does not: statements. None of these may leave
our walls: they hold exact figures; what is published has bins and texts only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from assets.frame.tables import Column, Table

if TYPE_CHECKING:
    import polars as pl

    from landing.batch.refused import Refusals

#: The five metrics, in the order of the features.
MEASURES = ("revenue", "transactions", "sessions", "conv_rate", "aov")
STATISTICS = ("high", "low", "median", "percentile_10", "percentile_90")

MONTH = Column("month", "date", "First day of the report month.", nullable=False)
DOMAIN = Column("domain", "text", "As the source names it.", nullable=False)

_SUMS = (
    Column("revenue", "numeric(20,2)", "Dollars, over all countries.", nullable=False),
    Column("transactions", "bigint", "Orders, over all countries.", nullable=False),
    Column("sessions", "bigint", "Visits, over all countries.", nullable=False),
)
_RATES = (
    Column("conv_rate", "numeric(20,2)", "Orders per 100 visits, 2 decimals; null without visits."),
    Column("aov", "numeric(20,2)", "Dollars an order, 2 decimals; null without orders."),
)

MARKERS = Table(
    "domains",
    "update_markers",
    "The objects that asked for a month.",
    (),
    (
        Column("marker", "text", "Key of the object.", nullable=False),
        Column("written_at", "timestamptz", "When it was written.", nullable=False),
        Column("bytes", "bigint", "Its size; what it holds is not read.", nullable=False),
    ),
)

METRICS = Table(
    "domains",
    "domain_metrics",
    "Sums and ratios of every domain with rows in the month.",
    ("month", "domain"),
    (
        MONTH,
        DOMAIN,
        *_SUMS,
        *_RATES,
        Column("strongest_country", "text", "Most revenue; ties to more visits, then by name."),
        Column("revenue_before", "numeric(20,2)", "Of the month before; null without rows in it."),
        Column("transactions_before", "bigint", "Of the month before."),
        Column("sessions_before", "bigint", "Of the month before."),
        Column("conv_rate_before", "numeric(20,2)", "Of the month before."),
    ),
    asset="domain_metrics",
)

CATEGORIES = Table(
    "domains",
    "domain_category",
    "The categories of every reported domain, in any country.",
    ("month", "domain", "category"),
    (MONTH, DOMAIN, Column("category", "text", "As the source names it.", nullable=False)),
    asset="domain_metrics",
)


def _statistic(kind: str, measure: str) -> Column:
    texts = {
        "high": "Largest",
        "low": "Smallest",
        "median": "Median",
        "percentile_10": "10th percentile, linear,",
        "percentile_90": "90th percentile, linear,",
    }
    return Column(
        f"cat_{kind}_{measure}", "double precision", f"{texts[kind]} {measure} of the category."
    )


def _direction(measure: str) -> Column:
    return Column(
        f"{measure}_direction",
        "text",
        "Against the month before; null where either is unknown.",
        allowed=("up", "flat", "down"),
    )


FEATURES = Table(
    "domains",
    "domain_features",
    "What is known of a domain within each of its categories.",
    ("month", "domain", "category"),
    (
        MONTH,
        DOMAIN,
        Column("category", "text", "Empty for a domain without one.", nullable=False),
        Column("revenue", "double precision", "Dollars.", nullable=False),
        *_SUMS[1:],
        Column("conv_rate", "double precision", "Orders per 100 visits."),
        Column("aov", "double precision", "Dollars an order."),
        *(_statistic(kind, measure) for measure in MEASURES for kind in STATISTICS),
        *(
            Column(
                f"top_cat_{measure}_domain", "text", f"Whose {measure} is the category's largest."
            )
            for measure in MEASURES
        ),
        Column("binned_aov", "text", "Order value, 25 dollars wide."),
        Column("binned_conv_rate", "text", "Conversion rate, half a point wide."),
        Column("cat_domains", "bigint", "Domains in the category; null without one."),
        Column("cat_revenue_rank", "bigint", "1 for the largest; equal ones share the best."),
        Column(
            "cat_revenue_percentile",
            "double precision",
            "Percent of the category's other domains with less revenue.",
        ),
        Column("cat_sessions_share", "double precision", "Of the category's visits, 0 to 1."),
        _direction("revenue"),
        _direction("sessions"),
        _direction("conv_rate"),
        Column("strongest_country", "text", "Where most of the revenue is from."),
        Column("binned_revenue", "text", "In the series 1, 2, 5, 10.", nullable=False),
        Column("binned_transactions", "text", "In the series 1, 2, 5, 10.", nullable=False),
        Column("binned_sessions", "text", "In the series 1, 2, 5, 10.", nullable=False),
        Column("main_category", "boolean", "Whether the summary names this one.", nullable=False),
    ),
    asset="domain_features",
)

PUBLISHED = Table(
    "domains",
    "published_description",
    "What was published last of a month.",
    ("month", "domain"),
    (
        MONTH,
        DOMAIN,
        Column("category", "text", "The main one, as people read it; null without."),
        Column("description", "text", "One line.", nullable=False),
        Column("prompt_hash", "text", "The prompt that it answers.", nullable=False),
    ),
    asset="published_descriptions",
)


def refusing(table: Table, refusals: Refusals) -> Callable[[pl.DataFrame, str], None]:
    """Tells ``refusals`` of a row of the table, by its key within the month."""

    def refused(row: pl.DataFrame, detail: str) -> None:
        key = " / ".join(str(row.item(0, name)) for name in table.key if name != MONTH.name)
        refusals(key, f"{table.name}: {detail}")

    return refused
