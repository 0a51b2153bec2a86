"""Features of every domain within each of its categories.

Belongs here: from sums and categories to the columns of ``tables.FEATURES``, with polars. Does
not: reading the source, bins themselves (``bins.py``), what may leave our walls (``prompts.py``).
Imported lazily: needs polars.

Statistics leave out domains whose figure is unknown. Of fewer than FEWEST figures, and of a
category with fewer domains, there are none: they would give single domains away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import polars as pl  # noqa: TID253

from assets.domains import bins
from assets.domains.tables import FEATURES, MEASURES, STATISTICS
from assets.frame.table_frames import frame_schema

#: Domains of which a category needs so many before anything is said of it.
FEWEST = 5
#: A change by less than this share of the month before is no change.
FLAT = 0.05

_HALF = 0.5
_PERCENTILES = {"median": _HALF, "percentile_10": 0.1, "percentile_90": 0.9}


def features(metrics: pl.DataFrame, categories: pl.DataFrame) -> pl.DataFrame:
    """One row per domain and category, one with the category ``""`` for a domain without any.

    ``metrics`` and ``categories`` are as tables.METRICS and tables.CATEGORIES have them, of one
    month. Most revenue first, then by domain and category.
    """
    rows = (
        metrics.with_columns(_number(name) for name in ("revenue", "conv_rate", "aov"))
        .join(categories.select("domain", "category"), on="domain", how="left")
        .with_columns(pl.col("category").fill_null(""))
        .sort("revenue", "domain", "category", descending=[True, False, False])
    )
    stated = rows.join(_statistics(rows), on="category", how="left", maintain_order="left")
    ranked = _main_categories(stated.with_columns(*_standing()))
    known = (pl.col("category") != "") & (pl.col("cat_domains") >= FEWEST)
    hidden = [name for name in ranked.columns if _of_category(name)]
    return (
        ranked.with_columns(pl.when(known).then(pl.col(name)).alias(name) for name in hidden)
        .with_columns(
            pl.when(pl.col("category") != "").then(pl.col("cat_domains")).alias("cat_domains"),
            *(_direction(name) for name in ("revenue", "sessions", "conv_rate")),
            *_binned(("revenue", "transactions", "sessions"), bins.magnitude),
            *_binned(("aov",), bins.order_value),
            *_binned(("conv_rate",), bins.conversion_rate),
        )
        .select(pl.col(name).cast(kind) for name, kind in frame_schema(FEATURES).items())
    )


def _of_category(name: str) -> bool:
    """Whether the column tells of the category, or of a place in it."""
    return name.startswith(("cat_", "top_cat_")) and name != "cat_domains"


def _number(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Float64)


def _statistics(rows: pl.DataFrame) -> pl.DataFrame:
    """By category; ``rows`` are in the order in which the first of equal ones is the top."""
    return rows.group_by("category").agg(
        *(
            _of_enough(name, _statistic(kind, name)).alias(f"cat_{kind}_{name}")
            for name in MEASURES
            for kind in STATISTICS
        ),
        *(
            _of_enough(
                name, pl.col("domain").filter(pl.col(name) == pl.col(name).max()).first()
            ).alias(f"top_cat_{name}_domain")
            for name in MEASURES
        ),
        pl.len().cast(pl.Int64).alias("cat_domains"),
    )


def _of_enough(name: str, value: pl.Expr) -> pl.Expr:
    """The value where enough domains have a figure of that name."""
    return pl.when(pl.col(name).count() >= FEWEST).then(value)


def _statistic(kind: str, name: str) -> pl.Expr:
    if kind == "high":
        return pl.col(name).max()
    if kind == "low":
        return pl.col(name).min()
    return _percentile(pl.col(name).cast(pl.Float64), _PERCENTILES[kind])


def _percentile(values: pl.Expr, share: float) -> pl.Expr:
    """Linear interpolation, rounded as numpy does, so that others get the same last digit."""
    ordered = values.drop_nulls().sort()
    place = (ordered.len().cast(pl.Float64) - 1) * share
    low = place.floor().cast(pl.Int64)
    part = place - low
    below = ordered.get(low, null_on_oob=True)
    above = ordered.get(place.ceil().cast(pl.Int64), null_on_oob=True)
    step = above - below
    if share == _HALF:
        value = (below + above) / 2
    else:
        lower = below + step * part
        value = pl.when(part < _HALF).then(lower).otherwise(above - step * (1 - part))
    return pl.when(ordered.len() > 0).then(value)


def _standing() -> list[pl.Expr]:
    """Rank, percentile and share of a row within its category."""
    best = pl.col("revenue").rank("min", descending=True).over("category")
    others_below = pl.col("revenue").rank("min").over("category") - 1
    visits = pl.col("sessions").sum().over("category")
    return [
        best.cast(pl.Int64).alias("cat_revenue_rank"),
        pl.when(pl.col("cat_domains") > 1)
        .then(others_below * 100.0 / (pl.col("cat_domains") - 1))
        .alias("cat_revenue_percentile"),
        pl.when(visits > 0).then(pl.col("sessions") / visits).alias("cat_sessions_share"),
    ]


def _main_categories(rows: pl.DataFrame) -> pl.DataFrame:
    """With ``main_category``: where the domain's share of visits is largest; ties by name."""
    main = (
        rows.sort("cat_sessions_share", "category", descending=[True, False], nulls_last=True)
        .group_by("domain", maintain_order=True)
        .agg(pl.col("category").first(), pl.lit(value=True).first().alias("main_category"))
    )
    return rows.join(
        main, on=["domain", "category"], how="left", maintain_order="left"
    ).with_columns(pl.col("main_category").fill_null(value=False))


def _direction(name: str) -> pl.Expr:
    now, before = _number(name), _number(f"{name}_before")
    change = now - before
    return (
        pl.when(change.is_null())
        .then(None)
        .when(change.abs() <= before.abs() * FLAT)
        .then(pl.lit("flat"))
        .when(change > 0)
        .then(pl.lit("up"))
        .otherwise(pl.lit("down"))
        .alias(f"{name}_direction")
    )


def _binned(
    names: Sequence[str], into: Callable[[Decimal | float | None], str | None]
) -> list[pl.Expr]:
    return [
        pl.col(name)
        .map_elements(into, return_dtype=pl.String, skip_nulls=True)
        .alias(f"binned_{name}")
        for name in names
    ]
