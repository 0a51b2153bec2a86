"""MongoDB's timeouts: ours, unless the URI names its own."""

from __future__ import annotations

import pytest

from resources.mongo import MongoResource


def timeouts(uri: str) -> dict[str, float | None]:
    with MongoResource(uri=uri, connect_timeout=3, operation_timeout=7).client() as client:
        options = client.options
        return {
            "connect": options.pool_options.connect_timeout,
            "selection": options.server_selection_timeout,
            "operation": options.timeout,
        }


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mongodb://127.0.0.1:9", {"connect": 3, "selection": 3, "operation": 7}),
        ("mongodb://127.0.0.1:9/?timeoutMS=1500", {"connect": 3, "selection": 3, "operation": 1.5}),
        (
            "mongodb://u:p@127.0.0.1:9/db?connecttimeoutms=400&serverSelectionTimeoutMS=500",
            {"connect": 0.4, "selection": 0.5, "operation": 7},
        ),
    ],
)
def test_what_the_uri_says_wins(uri, expected):
    assert timeouts(uri) == expected
