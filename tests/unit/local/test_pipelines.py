"""The servers that a pipeline is said to need are those that its variables lead to."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets.pipelines import PIPELINES, required
from local.demos import DEMOS
from local.pipelines import needed_by
from local.service import Place
from local.services import SERVICES
from local.stack import servers_python


@pytest.fixture
def place(tmp_path: Path) -> Place:
    names = [port for service in SERVICES.values() for port in service.ports]
    return Place(tmp_path, servers_python(), {name: 20_000 + i for i, name in enumerate(names)})


def test_every_pipeline_has_its_servers_and_its_demo() -> None:
    assert list(PIPELINES) == list(DEMOS)
    assert set(needed_by(PIPELINES)) == set(SERVICES)
    assert needed_by([]) == []


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_pipelines_servers_set_all_that_it_requires(pipeline: str, place: Place) -> None:
    given: set[str] = set()
    for server in needed_by([pipeline]):
        given |= set(SERVICES[server].variables(place))
    assert given >= set(required([pipeline]))


def test_the_servers_of_two_pipelines_are_listed_once_in_the_stacks_order() -> None:
    assert needed_by(["reading", "campaigns"]) == [
        "postgres", "gcs", "bigquery", "pubsub", "mongo", "bolt", "milvus", "openai",
    ]  # fmt: skip
