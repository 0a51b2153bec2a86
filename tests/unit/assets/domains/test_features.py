"""Features against an independent computation with pandas, to the last digit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from assets.domains.features import FEWEST, features
from assets.domains.tables import CATEGORIES, FEATURES, METRICS
from assets.frame.table_frames import frame_schema
from tests.unit.assets.domains import oracle

MONTH = date(2025, 3, 1)

#: The 39 columns of the system before, in its order.
SEED_COLUMNS = [
    "domain", "category", "revenue", "transactions", "sessions", "conv_rate", "aov",
    *(f"cat_{kind}_{name}"
      for name in oracle.MEASURES
      for kind in ("high", "low", "median", "percentile_10", "percentile_90")),
    *(f"top_cat_{name}_domain" for name in oracle.MEASURES),
    "binned_aov", "binned_conv_rate",
]  # fmt: skip


def _rate(top: Decimal, bottom: int) -> Decimal | None:
    return round(top / bottom, 2) if bottom else None


def metrics(rows: Sequence[tuple[str, Decimal, int, int, Decimal | None]]) -> pl.DataFrame:
    """Domain, revenue, transactions, sessions, revenue of the month before."""
    return pl.DataFrame(
        [
            {
                "month": MONTH, "domain": domain, "revenue": revenue, "transactions": orders,
                "sessions": visits, "conv_rate": _rate(Decimal(orders * 100), visits),
                "aov": _rate(revenue, orders), "strongest_country": "US",
                "revenue_before": before,
                "transactions_before": None if before is None else orders,
                "sessions_before": None if before is None else visits + 3,
                "conv_rate_before": None if before is None else Decimal("2.50"),
            }
            for domain, revenue, orders, visits, before in rows
        ],
        schema=frame_schema(METRICS),
    )  # fmt: skip


def categories(pairs: list[tuple[str, str]]) -> pl.DataFrame:
    rows = [{"month": MONTH, "domain": domain, "category": name} for domain, name in pairs]
    return pl.DataFrame(rows, schema=frame_schema(CATEGORIES))


def assert_as_pandas(made: pl.DataFrame, source: pl.DataFrame, pairs: pl.DataFrame) -> None:
    frame = source.to_pandas()
    for name in ("revenue", "conv_rate", "aov", "revenue_before", "conv_rate_before"):
        frame[name] = [np.nan if value is None else float(value) for value in source[name]]
    for name in ("transactions_before", "sessions_before"):
        frame[name] = frame[name].astype(float)
    expected = oracle.features(frame, pairs.select("domain", "category").to_pandas())
    assert made["domain"].to_list() == list(expected["domain"])
    assert made["category"].to_list() == list(expected["category"])
    for name in made.columns:
        if name in {"month", "main_category"} or name.startswith("binned_"):
            continue
        found = made[name].to_list()
        wanted = [None if pd.isna(value) else value for value in expected[name]]
        assert found == wanted, name
    main = {
        row["domain"]: row["category"] for row in made.iter_rows(named=True) if row["main_category"]
    }
    assert main == oracle.main_categories(expected)


def test_the_columns_of_the_system_before_come_first_and_in_its_order() -> None:
    names = [name for name in FEATURES.names if name != "month"]
    assert names[:39] == SEED_COLUMNS
    assert len(names) >= 45


@settings(max_examples=40, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(st.data())
def test_features_are_those_of_pandas(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 18))
    money = st.decimals(min_value=0, max_value=10**9, places=2)
    domains = [f"d{number:02}.com" for number in range(count)]
    rows = [
        (
            domain,
            data.draw(money),
            data.draw(st.integers(0, 50)),
            data.draw(st.integers(0, 1000)),
            data.draw(st.none() | money),
        )
        for domain in domains
    ]
    pairs = [
        (domain, name)
        for domain in domains
        for name in data.draw(st.sets(st.sampled_from(["a", "b", "c/d"]), max_size=2))
    ]
    source, named = metrics(rows), categories(pairs)
    assert_as_pandas(features(source, named), source, named)


def test_equal_ones_share_a_rank_and_the_first_is_the_top() -> None:
    rows = [(f"{letter}.com", Decimal(100), 10, 100, None) for letter in "edcba"]
    source, named = metrics(rows), categories([(row[0], "shoes") for row in rows])
    made = features(source, named)
    assert made["cat_revenue_rank"].to_list() == [1] * 5
    assert set(made["top_cat_aov_domain"]) == {"a.com"}
    assert_as_pandas(made, source, named)


def test_a_small_category_says_nothing_of_itself() -> None:
    rows = [(f"{n}.com", Decimal(100 * n), n, 100, None) for n in range(1, FEWEST)]
    made = features(metrics(rows), categories([(row[0], "birds") for row in rows]))
    told = [name for name in made.columns if name.startswith(("cat_", "top_cat_"))]
    told.remove("cat_domains")
    assert made.select(told).null_count().row(0) == (len(rows),) * len(told)
    assert made["cat_domains"].to_list() == [len(rows)] * len(rows)
    assert made["main_category"].all()


def test_domains_without_category_are_not_compared_with_each_other() -> None:
    rows = [(f"{n}.com", Decimal(n), n, 100, None) for n in range(1, 10)]
    made = features(metrics(rows), categories([]))
    assert made["category"].to_list() == [""] * 9
    assert made["cat_domains"].null_count() == made["cat_median_revenue"].null_count() == 9


def test_without_orders_or_visits_rates_are_unknown() -> None:
    made = features(metrics([("a.com", Decimal(0), 0, 0, Decimal(0))]), categories([]))
    row = made.row(0, named=True)
    assert row["conv_rate"] is row["aov"] is row["binned_aov"] is row["binned_conv_rate"] is None
    assert row["binned_revenue"] == row["binned_transactions"] == row["binned_sessions"] == "0"
    assert row["revenue_direction"] == "flat"
    assert row["conv_rate_direction"] is None


@pytest.mark.skipif(not os.environ.get("QUINTET_DATA_DIR"), reason="needs the real data")
def test_features_of_the_real_domains_are_those_of_pandas() -> None:
    folder = Path(os.environ["QUINTET_DATA_DIR"]) / "domains"
    raw = pd.read_csv(folder / "domain_metrics_calibrated.csv.gz", keep_default_na=False)
    raw["cents"] = (raw["transactionrevenue"].astype(float) * 100).round().astype("int64")
    sums = {
        month: part.groupby("domain")[["cents", "transactions", "sessions"]].sum()
        for month, part in raw.groupby(raw["date"].str[:7])
    }
    before = sums["2025-02"]
    rows = [
        (
            domain,
            Decimal(int(row.cents)) / 100,
            int(row.transactions),
            int(row.sessions),
            Decimal(int(before.cents[domain])) / 100 if domain in before.index else None,
        )
        for domain, row in sums["2025-03"].iterrows()
    ]
    assert len(rows) == 10_427
    assert sum(row[2] == 0 for row in rows) == 62
    assert sum(row[3] == 0 for row in rows) == 10
    named = pd.read_csv(folder / "domain_categories_calibrated.csv.gz", keep_default_na=False)
    pairs = named[named["category"] != ""][["domain", "category"]].drop_duplicates()
    assert (named["category"] == "").sum() == 3_714
    assert pairs["category"].nunique() == 105
    source, linked = metrics(rows), categories(list(pairs.itertuples(index=False, name=None)))
    assert_as_pandas(features(source, linked), source, linked)
