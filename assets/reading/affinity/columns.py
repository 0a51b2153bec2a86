"""Columns of the counts and shares, and where each comes from, as Dagster shows them.

Belongs here: lineage. Does not: names and types (``warehouse.py`` has them).
"""

from __future__ import annotations

import dagster as dg

from assets.reading.pipeline import USER_INTERACTION_KEY, asset_key
from assets.reading.warehouse import DAILY_COUNTS, META, SHARES, column_schema

_COUNTS_KEY = asset_key(DAILY_COUNTS)
_META_KEY = asset_key(META)


COUNTS_SCHEMA = column_schema(DAILY_COUNTS)
SHARES_SCHEMA = column_schema(SHARES)

COUNTS_LINEAGE = dg.TableColumnLineage(
    {
        "day": [dg.TableColumnDep(USER_INTERACTION_KEY, "updated_at")],
        "user_id": [dg.TableColumnDep(USER_INTERACTION_KEY, "user_id")],
        "category_name": [dg.TableColumnDep(_META_KEY, "category_name")],
        "events": [
            dg.TableColumnDep(USER_INTERACTION_KEY, "content_id"),
            dg.TableColumnDep(USER_INTERACTION_KEY, "read_percent"),
            dg.TableColumnDep(_META_KEY, "content_id"),
        ],
    }
)
SHARES_LINEAGE = dg.TableColumnLineage(
    {
        "query_date": [dg.TableColumnDep(_COUNTS_KEY, "day")],
        "user_id": [dg.TableColumnDep(_COUNTS_KEY, "user_id")],
        "category_name": [dg.TableColumnDep(_COUNTS_KEY, "category_name")],
        "events": [dg.TableColumnDep(_COUNTS_KEY, "events")],
        "share": [dg.TableColumnDep(_COUNTS_KEY, "events")],
    }
)
