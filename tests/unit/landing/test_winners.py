from __future__ import annotations

import pytest

from landing.batch.counts import RowCounts, UnbalancedCounts, total
from landing.batch.records import RecordTable


@pytest.mark.parametrize("name", ["a b", "a;", 'a"', "", "Robert'); --", "1a"])
def test_only_plain_identifiers_reach_a_statement(name):
    with pytest.raises(ValueError, match="identifier"):
        RecordTable(name, ())
    with pytest.raises(ValueError, match="identifier"):
        RecordTable("campaigns", ("user_id", name))


def test_counts_balance_or_are_an_error():
    good = RowCounts(read=10, written=4, unchanged=3, superseded=2, rejected=1)
    good.require_balance("x")
    assert total([good, good]) == RowCounts(20, 8, 6, 4, 2)
    with pytest.raises(UnbalancedCounts, match="gs://b/x"):
        RowCounts(read=10, written=9).require_balance("gs://b/x")
