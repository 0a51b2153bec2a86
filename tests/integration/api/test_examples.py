"""The examples of the OpenAPI document, asked as they stand: each has the status of its name."""

from __future__ import annotations

import time
from http.client import SERVICE_UNAVAILABLE

import pytest

from tests.integration.api.filled import tasks
from tests.integration.api.operations import JSON, operations

pytestmark = pytest.mark.xdist_group("filled stores")


def examples():
    return [(one, status) for one in operations() for status in sorted(one.statuses)]


@pytest.mark.parametrize(
    ("operation", "status"), examples(), ids=lambda one: str(one).replace("/", "_")
)
def test_an_example_is_answered_as_it_says(asking, filled, operation, status):
    if operation.media_types - {JSON}:
        pytest.skip("what is uploaded is no example of a document")
    values = operation.values(status)
    assert None not in values.values(), "a parameter that is needed has no example"
    assert operation.body is not None or JSON not in operation.media_types
    if operation.method != "get":
        tasks(filled)
    late = time.monotonic() + 30
    while (said := operation.asked(asking, values)).status_code == SERVICE_UNAVAILABLE:
        # A system counts as away while its machine is too busy to answer a look.
        assert time.monotonic() < late, said.text
        time.sleep(0.5)
    assert str(said.status_code) == status, said.text
