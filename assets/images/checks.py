"""Checks over all of images, not one batch: they run by schedule, for they read whole tables.

Belongs here: what the tables must hold to. Does not: the rules that tables declare
(``assets/frame/table_rules.py``), the checks of everything that lands (``assets/frame/checks.py``).
"""

from collections.abc import Iterator

import dagster as dg

from assets.frame import markdown, table_rules
from assets.images.pipeline import CATALOGUE
from assets.images.tables import TABLES
from assets.sinks.result import SAMPLE
from resources.postgres import PostgresResource

#: By check: the rules of one kind that the asset's table has.
_RULES = {
    dg.AssetCheckKey(CATALOGUE.key(table.asset or ""), kind): rules
    for table in TABLES
    for kind in table_rules.KINDS
    if (rules := table_rules.rules(table, kind))
}


@dg.multi_asset_check(
    name="images_table_rules",
    specs=[
        dg.AssetCheckSpec(key.name, asset=key.asset_key, description=table_rules.SAYS[key.name])
        for key in _RULES
    ],
    can_subset=True,
)
def table_rules_hold(
    context: dg.AssetCheckExecutionContext, postgres: PostgresResource
) -> Iterator[dg.AssetCheckResult]:
    """What the tables' declarations ask of every row."""
    with postgres.connect() as conn:
        for key in sorted(context.selected_asset_check_keys):
            rules = _RULES[key]
            broken = table_rules.broken(conn, rules)
            rows = [(one.rule, one.rows, ", ".join(one.sample)) for one in broken]
            shown = markdown.table(("rule", "rows", "keys"), rows[:SAMPLE])
            yield dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=not broken,
                description=f"{len(broken)} rules are broken. Write the table again by a backfill "
                "of the job that fills it; if it fails again, keep the sample."
                if broken
                else None,
                metadata={
                    "rules": len(rules),
                    "rules_broken": len(broken),
                    "rows_breaking_rules": sum(one.rows for one in broken),
                    **({"sample": dg.MetadataValue.md(shown)} if rows else {}),
                },
            )
