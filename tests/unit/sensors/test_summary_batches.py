"""Which run follows a batch of prompts."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from assets.domains.asking.awaited import Awaited
from assets.domains.asking.batch_mode import BatchStep
from assets.domains.pipeline import DOMAINS
from sensors.summary_batches import sensor_result

SINCE = datetime(2025, 4, 2, 3, 4, 5, 678, tzinfo=UTC)


def waits(month: int, batched: int = 0) -> Awaited:
    return Awaited(date(2025, month, 1), SINCE, batched)


def test_a_month_that_is_all_answered_is_published() -> None:
    result = sensor_result({"2025-03": BatchStep(collected=1)}, [waits(3)])
    (request,) = result.run_requests or []
    assert request.partition_key == "2025-03"
    assert request.run_key == "summaries/2025-03/2025-04-02T03:04:05.000678+00:00"
    assert request.asset_selection == [
        DOMAINS.key("domain_summaries"), DOMAINS.key("published_descriptions"),
    ]  # fmt: skip


def test_what_failed_in_a_batch_is_left_to_the_run() -> None:
    result = sensor_result({"2025-03": BatchStep(collected=1, left=3)}, [waits(3)])
    assert [one.partition_key for one in result.run_requests or []] == ["2025-03"]


def test_a_month_that_waited_for_another_month_s_batch_is_asked_for_too() -> None:
    looked = {"2025-03": BatchStep(collected=1)}
    result = sensor_result(looked, [waits(2), waits(3)])
    assert [one.partition_key for one in result.run_requests or []] == ["2025-02", "2025-03"]


def test_a_month_that_nobody_waits_for_is_not_asked_for() -> None:
    assert sensor_result({"2025-03": BatchStep(collected=1)}, []).run_requests == []


def test_a_wait_is_asked_for_by_one_run_key_and_the_next_by_another() -> None:
    first, there = waits(3), timezone(timedelta(hours=2))
    again = replace(first, since=SINCE + timedelta(microseconds=1))
    assert replace(first, since=SINCE.astimezone(there)).run_key == first.run_key
    assert again.run_key != first.run_key


def test_what_is_open_or_in_other_hands_is_waited_for() -> None:
    result = sensor_result(
        {
            "2025-02": BatchStep(open_batches=2, left=7, errors=("batch x: boom",)),
            "2025-03": BatchStep(busy=True),
            "2025-04": None,
        },
        [waits(1, 5), waits(2, 7), waits(3), waits(4)],
    )
    assert result.run_requests == []
    assert result.skip_reason is not None
    assert result.skip_reason.skip_message == (
        "2025-02: 7 prompts left in 2 open batches, batch x: boom; "
        "2025-03: another process is at it; "
        "2025-04: the look at its batches failed, see this tick's log; "
        "2025-01: 5 prompts left in another month's batches"
    )


STEPS = st.none() | st.builds(BatchStep, open_batches=st.integers(0, 2), busy=st.booleans())
MONTHS = st.integers(1, 5)


@given(
    st.dictionaries(MONTHS.map(lambda month: f"2025-{month:02}"), STEPS),
    st.dictionaries(MONTHS, st.integers(0, 2)),
)
def test_asked_for_is_who_waits_for_nothing(
    looked: dict[str, BatchStep | None], batched: dict[int, int]
) -> None:
    waiting = [waits(month, count) for month, count in sorted(batched.items())]
    result = sensor_result(looked, waiting)
    asked = {one.partition_key for one in result.run_requests or []}
    assert asked <= {one.month for one in waiting}
    for one in waiting:
        step = looked.get(one.month, BatchStep())
        in_other_hands = step is None or step.busy
        assert (one.month in asked) == (not one.batched and not in_other_hands)
    assert (result.skip_reason is None) == bool(asked)
