"""What people see of a month in Dagster: bins and counts, never an exact figure of a domain.

Belongs here: from results to metadata. Does not: computing them.
Imported lazily: needs polars.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl  # noqa: TID253

from assets.domains.tables import FEATURES
from assets.frame import markdown, pictures

if TYPE_CHECKING:
    from assets.domains.asking.ledger import Costs
    from assets.domains.asking.progress import AskingReport
    from assets.domains.descriptions import MonthSummaries
    from assets.domains.prompts import SummaryPrompt

#: Summaries, prompts and rejects shown.
SHOWN = 5
#: Bars of a chart; what lies above them is one more.
MOST_BINS = 24


def bins_drawn(features: pl.DataFrame) -> dict[str, Any]:
    """How the domains spread over the bins, one chart each, from the lowest bin on."""
    once = features.filter("main_category")
    names = [name.removeprefix("binned_") for name in FEATURES.names if name.startswith("binned_")]
    return {f"{name}_bins": dg.MetadataValue.md(_bars(once, name)) for name in names}


def _bars(features: pl.DataFrame, name: str) -> str:
    counted = (
        features.drop_nulls(f"binned_{name}")
        .group_by(f"binned_{name}")
        .agg(pl.len(), pl.col(name).min().alias("lowest"))
        .sort("lowest")
        .select(f"binned_{name}", "len")
    )
    shown = counted.head(MOST_BINS).rows()
    if rest := counted["len"].sum() - sum(count for _, count in shown):
        shown.append(("above", rest))
    figure = pictures.figure(5.0, 3.6)
    axes = figure.subplots()
    axes.barh([label for label, _ in shown][::-1], [count for _, count in shown][::-1])
    axes.set_xlabel("domains")
    return pictures.markdown(figure, name)


def prompts_shown(prompts: Sequence[SummaryPrompt]) -> dict[str, Any]:
    """Some prompts as they are sent."""
    rows = [(one.domain, one.request["messages"][-1]["content"]) for one in prompts[:SHOWN]]
    return {"prompts": dg.MetadataValue.md(markdown.table(("domain", "data"), rows))}


def asking_figures(report: AskingReport) -> dict[str, Any]:
    """Counts, tokens and dollars of one run's asking."""
    return {
        "prompts": report.prompts,
        "answered_now": report.answered,
        "answered_before": report.unchanged,
        "requests": report.requests,
        "retries": sum(report.retries.values()),
        "retries_by_class": dg.MetadataValue.json(dict(report.retries)),
        "asked_again": sum(report.reasks.values()),
        "prompt_tokens": report.prompt_tokens,
        "completion_tokens": report.completion_tokens,
        "cost_dollars": report.cost / 1e6,
        "written_off_dollars": report.written_off / 1e6,
        "answers_per_second": round(report.answered / report.seconds, 1) if report.seconds else 0.0,
    }


def month_figures(costs: Costs) -> dict[str, Any]:
    """What the month has cost so far, by whatever run and mode."""
    return {
        "month_requests": costs.requests,
        "month_tokens": costs.prompt_tokens + costs.completion_tokens,
        "month_cost_dollars": costs.spent / 1e6,
    }


def summaries_shown(found: MonthSummaries) -> dict[str, Any]:
    """Some summaries, and some that were rejected with why."""
    good = "\n\n".join(f"> {markdown.escaped(one.text or '')}" for one in found.answered[:SHOWN])
    shown: dict[str, Any] = {
        "rejected": len(found.rejected),
        "summaries": dg.MetadataValue.md(good or "none"),
    }
    if found.rejected:
        rows = [(one.domain, one.reason, one.text) for one in found.rejected[:SHOWN]]
        table = markdown.table(("domain", "reason", "text"), rows)
        shown["rejects"] = dg.MetadataValue.md(table)
        shown["rejected_by_reason"] = dg.MetadataValue.json(found.reasons)
    return shown
