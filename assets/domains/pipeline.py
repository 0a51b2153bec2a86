"""The domains pipeline, declared: a marker on S3 to a month's descriptions.

Belongs here: the declaration, and what the code location gets. Does not: the assets
(``assets.py``), what is computed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from assets.domains import months
from assets.domains.reasons import SUMMARY_REASONS
from assets.domains.settings import DomainsSettings
from assets.domains.tables import MARKERS
from assets.frame.declared import LandedFiles, Pipeline
from assets.frame.step import validation_asset
from landing.arrival.identity import ObjectVersion

if TYPE_CHECKING:
    from landing.batch.validation import Rules

#: One partition per report month.
MONTHS = dg.MonthlyPartitionsDefinition(start_date=months.FIRST, fmt=months.FORMAT, timezone="UTC")


def _rules() -> Rules:
    from assets.domains.markers import rules

    return rules(DOMAINS.sinks)


def _report_month(version: ObjectVersion) -> str:
    """The month that an object asks for. Raises ValueError."""
    name = version.key.removeprefix(DomainsSettings.current().prefix)
    return months.month_asked(name, version.modified_at, datetime.now(UTC))


DOMAINS = LandedFiles(
    pipeline="domains",
    job="domains",
    writer="domains",
    owners=("team:seo-data",),
    partitions=MONTHS,
    store="s3",
    pattern=r".*",
    settings=DomainsSettings,
    landing="updates",
    description="Markers on S3: the source's metrics of a month are complete.",
    validation="update_markers",
    sinks=(
        "domain_metrics",
        "domain_features",
        "summary_prompts",
        "domain_summaries",
        "published_descriptions",
    ),
    rules=_rules,
    facts=True,
    staged=MARKERS.column_schema(),
    preview=MARKERS.names,
    unit=_report_month,
    limits={"empty_objects": True},
    starts_alone=True,
)

update_markers = validation_asset(
    DOMAINS, "The objects that asked for the month; none when a person did."
)


#: External assets: the tables of the shops' database that are read.
SOURCES = [
    dg.AssetSpec(
        key=DOMAINS.key(name),
        group_name="domains_landing",
        owners=list(DOMAINS.owners),
        kinds={"postgres"},
        description=f"Table `{table}` of the shops' database: {what}",
        metadata={"dagster/table_name": table},
    )
    for name, table, what in (
        ("shop_metrics", "domain_metrics", "figures by month, country and domain."),
        ("shop_categories", "domain_categories", "a domain's categories by country."),
    )
]


def _definitions() -> dg.Definitions:
    from assets.domains import assets

    return dg.Definitions(assets=[update_markers, *SOURCES, *dg.load_assets_from_modules([assets])])


PIPELINE = Pipeline(
    name="domains",
    settings=DomainsSettings,
    landed=(DOMAINS,),
    definitions=_definitions,
    requires=("POSTGRES_URL", "DOMAINS_SOURCE_URL", "OPENAI_API_KEY"),
    servers=("postgres", "s3", "openai"),
    reasons=SUMMARY_REASONS,
    audit_minute=35,
)
