"""The examples of the OpenAPI document, asked as they stand: each has the status of its name."""

from __future__ import annotations

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
    said = operation.asked(asking, values)
    assert str(said.status_code) == status, said.text
