"""Which month an object asks for."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.domains.months import FIRST, Month, month_asked

NOW = datetime(2025, 4, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "written", "month"),
    [
        ("2025-03/done", NOW, "2025-03"),
        ("2024-12/a/b.txt", NOW, "2024-12"),
        ("done", NOW, "2025-03"),
        ("2025-03", NOW, "2025-03"),  # no folder: the month before it was written
        ("done.2025-01", NOW, "2025-03"),
        ("archive/2024-01/x", NOW, "2025-03"),
        # Just after midnight in Kyiv it is still March in UTC.
        (
            "done",
            datetime(2025, 4, 1, 1, tzinfo=timezone(timedelta(hours=3))),
            "2025-02",
        ),
        ("done", datetime(2025, 1, 1, tzinfo=UTC), "2024-12"),
    ],
)
def test_the_month_of_a_key(key: str, written: datetime, month: str) -> None:
    assert month_asked(key, written, NOW) == month


@pytest.mark.parametrize(
    "key", ["2025-13/x", "2025-00/x", "2025-04/x", "2031-01/x",
            "2019-12/x"],
)  # fmt: skip
def test_a_month_that_cannot_be_reported_asks_for_none(key: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        month_asked(key, NOW, NOW)


def test_a_marker_of_the_running_month_counts_once_it_is_over() -> None:
    with pytest.raises(ValueError, match="2025-04 cannot be reported"):
        month_asked("2025-04/x", NOW, NOW)
    assert month_asked("2025-04/x", NOW, datetime(2025, 5, 1, tzinfo=UTC)) == "2025-04"


@given(st.dates(date(2020, 2, 1), date(2199, 12, 31)))
def test_months_follow_one_another(day: date) -> None:
    month = Month(day.replace(day=1))
    assert month.after.before == month == month.before.after
    assert month.before < month < month.after
    assert (month.after.start - timedelta(days=1)).month == day.month
    assert Month.parse(str(month)) == month
    assert Month.parse(FIRST) < month
