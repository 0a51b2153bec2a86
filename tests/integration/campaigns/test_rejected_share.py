"""The check of what a batch rejected: rows, and objects as a whole."""

from typing import Any

import dagster as dg
import pytest

from assets.frame.checks import validation_results
from tests.integration.campaigns.harness import Landing, row

pytestmark = pytest.mark.servers("postgres")

BAD = b"record_id,user_id,message,campaign,timestamp\n,u,Hi,,\n,u,Ho,,\n"


def checked(landing: Landing, objects: Any) -> dg.AssetCheckResult:
    batch = landing.batch(objects)
    landing.validate(batch)
    found = {result.check_name: result for result in validation_results(landing.pg, batch)}
    assert found["rows_balance"].passed
    return found["rejected_share"]


def figures(result: dg.AssetCheckResult) -> tuple[float, int, float]:
    names = ("rejected_share", "rejected_objects", "rejected_objects_share")
    share, objects, object_share = (result.metadata[name].value for name in names)
    assert isinstance(share, float)
    assert isinstance(objects, int)
    assert isinstance(object_share, float)
    return share, objects, object_share


def good(number: int) -> list[Any]:
    return [row(f"r{number}-{line}") for line in range(30)]


def test_a_batch_without_rejects_is_green(landing):
    result = checked(landing, {"campaigns/a.csv": good(1), "campaigns/b.csv": good(2)})
    assert (result.passed, figures(result)) == (True, (0.0, 0, 0.0))
    assert "sample" not in result.metadata


def test_an_object_that_was_rejected_as_a_whole_is_not_green(landing):
    result = checked(
        landing, {"campaigns/a.csv": good(1), "campaigns/b|.csv": b"not,our,header\n1,2,3\n"}
    )
    assert not result.passed, "of the rows that were read none was rejected"
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert figures(result) == (0.0, 1, 0.5)
    sample = str(result.metadata["sample"].value)
    assert "campaigns/b\\|.csv" in sample
    assert "header" in sample


def test_nor_is_one_of_which_every_row_was(landing):
    objects: dict[str, Any] = {f"campaigns/{n}.csv": good(n) for n in range(3)}
    result = checked(landing, {**objects, "campaigns/bad.csv": BAD})
    share, rejected, _ = figures(result)
    assert share == pytest.approx(2 / 92, abs=1e-6), "below the limit"
    assert (result.passed, rejected) == (False, 1)
    assert "every one of its 2 rows" in str(result.metadata["sample"].value)


def test_a_batch_of_nothing_else_is_an_error(landing):
    result = checked(landing, {"campaigns/bad.csv": BAD, "campaigns/none.csv": b"none"})
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert figures(result)[1:] == (2, 1.0)


def test_so_many_objects_are_named(landing):
    result = checked(landing, {f"campaigns/{n:02}.csv": BAD for n in range(12)})
    assert figures(result)[1] == 12
    assert str(result.metadata["sample"].value).count("every one of its 2 rows") == 10


def test_objects_that_were_replaced_meanwhile_say_nothing(landing):
    batch = landing.batch({"campaigns/bad.csv": BAD, "campaigns/a.csv": good(1)})
    landing.store.delete("campaigns/a.csv")
    landing.validate(batch)
    (result,) = (
        one for one in validation_results(landing.pg, batch) if one.check_name == "rejected_share"
    )
    assert result.severity == dg.AssetCheckSeverity.ERROR
    assert figures(result)[1:] == (1, 1.0)
