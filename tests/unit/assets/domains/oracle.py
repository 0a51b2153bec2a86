"""Features computed anew with pandas, from the definitions and not from the code under test."""

from __future__ import annotations

import numpy as np
import pandas as pd

MEASURES = ["revenue", "transactions", "sessions", "conv_rate", "aov"]
FEWEST = 5


def features(metrics: pd.DataFrame, categories: pd.DataFrame) -> pd.DataFrame:
    """One row per (domain, category), "" for none; columns by the names of the old system."""
    rows = metrics.merge(categories, on="domain", how="left")
    rows["category"] = rows["category"].fillna("")
    rows = rows.sort_values(
        ["revenue", "domain", "category"], ascending=[False, True, True], kind="stable"
    ).reset_index(drop=True)
    made = [_within(part) for _, part in rows.groupby("category", sort=False)]
    out = pd.concat(made).sort_index()
    for name in ("revenue", "sessions", "conv_rate"):
        out[f"{name}_direction"] = [
            _direction(now, before)
            for now, before in zip(out[name], out[f"{name}_before"], strict=True)
        ]
    return out


def _within(part: pd.DataFrame) -> pd.DataFrame:
    out = part.copy()
    named = part["category"].iloc[0] != ""
    large = named and len(part) >= FEWEST
    for name in MEASURES:
        values = part[name].astype(float)
        told = large and values.notna().sum() >= FEWEST
        for kind, value in {
            "high": values.max(), "low": values.min(), "median": values.median(),
            "percentile_10": values.quantile(0.1), "percentile_90": values.quantile(0.9),
        }.items():  # fmt: skip
            out[f"cat_{kind}_{name}"] = value if told else np.nan
        top = part.loc[values.idxmax(), "domain"] if told else None
        out[f"top_cat_{name}_domain"] = top
    out["cat_domains"] = len(part) if named else np.nan
    below = np.array([(part["revenue"] < value).sum() for value in part["revenue"]])
    above = np.array([(part["revenue"] > value).sum() for value in part["revenue"]])
    total = part["sessions"].sum()
    share = part["sessions"] / total if total else pd.Series(np.nan, index=part.index)
    out["cat_revenue_rank"] = above + 1 if large else np.nan
    out["cat_revenue_percentile"] = below * 100.0 / max(len(part) - 1, 1) if large else np.nan
    out["cat_sessions_share"] = share if large else np.nan
    out["share"] = share
    return out


def main_categories(out: pd.DataFrame) -> dict[str, str]:
    """By domain, the category where its share of visits is the largest, the first by name."""
    ordered = out.sort_values(
        ["share", "category"], ascending=[False, True], na_position="last", kind="stable"
    )
    return dict(ordered.groupby("domain", sort=False)["category"].first())


def _direction(now: float, before: float) -> str | None:
    if pd.isna(now) or pd.isna(before):
        return None
    if abs(now - before) <= abs(before) * 0.05:
        return "flat"
    return "up" if now > before else "down"
