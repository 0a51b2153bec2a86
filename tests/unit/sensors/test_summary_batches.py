"""Which run follows a batch of prompts."""

from assets.domains.asking.batch_mode import BatchStep
from assets.domains.pipeline import DOMAINS
from sensors.summary_batches import sensor_result


def test_a_month_that_is_all_answered_is_published() -> None:
    result = sensor_result([("2025-03", "key", BatchStep(collected=1))])
    (request,) = result.run_requests or []
    assert (request.partition_key, request.run_key) == ("2025-03", "summaries/2025-03/key")
    assert request.asset_selection == [
        DOMAINS.key("domain_summaries"), DOMAINS.key("published_descriptions"),
    ]  # fmt: skip


def test_what_failed_in_a_batch_is_left_to_the_run() -> None:
    result = sensor_result([("2025-03", "key", BatchStep(collected=1, left=3))])
    assert [one.partition_key for one in result.run_requests or []] == ["2025-03"]


def test_what_is_open_or_in_other_hands_is_waited_for() -> None:
    result = sensor_result(
        [
            ("2025-02", "a", BatchStep(open_batches=2, left=7, errors=("batch x: boom",))),
            ("2025-03", "b", BatchStep(busy=True)),
            ("2025-04", "c", None),
        ]
    )
    assert result.run_requests == []
    assert result.skip_reason is not None
    assert result.skip_reason.skip_message == (
        "2025-02: 7 prompts left in 2 open batches, batch x: boom; "
        "2025-03: another process is at it; "
        "2025-04: the look at its batches failed, see this tick's log"
    )
