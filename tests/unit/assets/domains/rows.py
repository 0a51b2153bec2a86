"""A row of features as its columns are called, for tests of what is made of one."""

from __future__ import annotations

from typing import Any

from assets.domains.tables import FEATURES

SHOES = "Lifestyle/Fashion_and_Apparel"


def feature_row(**changed: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(FEATURES.names)
    row |= {
        "domain": "shoestore.com", "category": SHOES, "revenue": 1_234_567.89,
        "transactions": 4_321, "sessions": 654_321, "conv_rate": 0.66, "aov": 285.71,
        "cat_high_revenue": 98_765_432.1, "cat_median_revenue": 345_678.9,
        "cat_high_sessions": 7_654_321, "cat_median_sessions": 87_654.5,
        "cat_percentile_10_conv_rate": 0.31, "cat_percentile_90_conv_rate": 4.87,
        "cat_percentile_10_aov": 12.34, "cat_percentile_90_aov": 333.33,
        "top_cat_revenue_domain": "giant.com",
        "binned_revenue": "1M–2M", "binned_sessions": "500K–1M", "binned_transactions": "2K–5K",
        "binned_conv_rate": "0.50-1.00", "binned_aov": "275-300",
        "revenue_direction": "up", "sessions_direction": "flat", "conv_rate_direction": None,
    }  # fmt: skip
    return row | changed
