"""What people are told of a run: no secret, no exact figure, the first line of what went wrong."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster_shared.error import SerializableErrorInfo

from local.openai.telegram_html import shown
from sensors import run_story
from sensors.alerts import ALERTED, run_alerts
from sensors.run_story import Failure

(DOMAINS,) = ALERTED
LINK = "http://ui/runs/r1"


def run(
    job: str = "domains", selection: list[str] | None = None, tags: dict[str, str] | None = None
) -> dg.DagsterRun:
    keys = frozenset(dg.AssetKey(name.split("/")) for name in selection) if selection else None
    return dg.DagsterRun(job_name=job, run_id="r1", tags=tags, asset_selection=keys)


def safe(text: str) -> str:
    return text.replace("s3cret", "***")


def test_whose_runs_are_told_of() -> None:
    assert DOMAINS.concerns(run())
    assert DOMAINS.concerns(run("__ASSET_JOB", ["domains/domain_summaries"]))
    assert not DOMAINS.concerns(run("__ASSET_JOB", ["music/gold_songs"]))
    assert not DOMAINS.concerns(run("__ASSET_JOB"))
    assert not DOMAINS.concerns(run("music", ["domains/domain_summaries"]))


def test_a_success_tells_figures_of_what_was_published() -> None:
    metadata = {
        "published": 10_400, "rejected": 27, "cost_dollars": 1.2345, "other": 5,
        "dagster/uri": "s3://bucket/a&b/2025-03",
    }  # fmt: skip
    told = run_story.success(DOMAINS, run(tags={"dagster/partition": "2025-03"}), [metadata], LINK)
    assert told is not None
    assert told.title == "domains 2025-03 published"
    assert told.dedupe_key == "run/r1"
    assert shown(told.body_html).splitlines() == [
        "domains published: 10,400", "rejected: 27", "cost: $1.23", "files: s3://bucket/a&b/2025-03",
    ]  # fmt: skip


def test_a_success_without_a_result_is_not_told() -> None:
    assert run_story.success(DOMAINS, run(), [], LINK) is None


def test_a_range_of_months_is_named() -> None:
    ends = {
        "dagster/asset_partition_range_start": "2025-01",
        "dagster/asset_partition_range_end": "2025-03",
    }
    assert (
        run_story.canceled(DOMAINS, run(tags=ends), LINK).title
        == "domains 2025-01–2025-03 was cancelled"
    )


def test_a_failure_names_step_class_and_first_line() -> None:
    failures = [Failure("domains/domain_summaries", "OutOfBudgetError", "<b>budget</b> is used up")]
    told = run_story.failure(DOMAINS, run(), failures, LINK, safe)
    assert told.severity == "error"
    assert shown(told.body_html) == (
        "domains/domain_summaries: OutOfBudgetError: <b>budget</b> is used up"
    )


def test_secrets_are_taken_out_before_the_text_is_cut() -> None:
    text = "x" * (run_story.LONGEST_ERROR - 3) + "s3cret"
    told = run_story.failure(DOMAINS, run(), [Failure("", "Error", text)], LINK, safe)
    assert "s3" not in told.body_html


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("status 429, 12 left of 200", "status 429, 12 left of 200"),
        ("revenue 1234567.89 of shop", "revenue … of shop"),
        ("revenue 1,234,567 and 4711", "revenue … and …"),
        ("rate 0.0312.", "rate …."),
        ("month 2025-03, shop4711.com, 1M–2M", "month 2025-03, shop4711.com, 1M–2M"),
    ],
)
def test_no_exact_figure_is_told(text: str, left: str) -> None:
    assert run_story.without_figures(text) == left


def test_what_dagster_wraps_around_an_error_is_left_out() -> None:
    inner = SerializableErrorInfo(
        "assets.domains.x.BudgetError: used up\nmore\n", [], "BudgetError"
    )
    outer = SerializableErrorInfo(
        "dagster.StepError: Error occurred\n", [], "DagsterExecutionStepExecutionError", inner
    )
    assert run_story.failure_of("domains__domain_summaries", outer) == Failure(
        "domains/domain_summaries", "BudgetError", "used up"
    )
    assert run_story.failure_of(None, SerializableErrorInfo("", [], None)) == Failure(
        "", "Error", ""
    )


def test_sensors_are_those_of_the_chosen_pipelines() -> None:
    assert [one.name for one in run_alerts(["domains"])] == [
        "run_success_alert",
        "run_failure_alert",
    ]
    assert run_alerts(["music"]) == []
