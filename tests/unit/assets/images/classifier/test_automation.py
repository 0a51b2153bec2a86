"""When a new model is asked for: after updates, once, and not while more are coming."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from assets.images.classifier.model_asset import CLASSIFIER_KEY, MODEL, retrain_when_changed

CATALOG, INVENTORY = MODEL.key("product_catalog"), MODEL.key("image_inventory")
_BATCHES = dg.DynamicPartitionsDefinition(name="batches_of_the_test")


@dg.asset(key=CATALOG, partitions_def=_BATCHES)
def catalog() -> None: ...


@dg.asset(key=INVENTORY, partitions_def=_BATCHES)
def inventory() -> None: ...


@dg.asset(
    key=CLASSIFIER_KEY,
    deps=[CATALOG, INVENTORY],
    automation_condition=retrain_when_changed(),
    output_required=False,
)
def classifier() -> Iterator[dg.MaterializeResult]:
    # As when too little has changed: nothing is materialized.
    yield from ()


class Daemon:
    """Looks, and runs what is asked for."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.defs = dg.Definitions(assets=[catalog, inventory, classifier])
        self.cursor: Any = None

    def look(self) -> int:
        """How many models are asked for."""
        found = dg.evaluate_automation_conditions(
            self.defs, instance=self.instance, cursor=self.cursor
        )
        self.cursor = found.cursor
        return found.total_requested

    def land(self, key: dg.AssetKey, batch: str) -> None:
        self.instance.add_dynamic_partitions(_BATCHES.name or "", [batch])
        self.instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=batch))


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with dg.instance_for_test() as instance:
        yield Daemon(instance)


def test_nothing_is_asked_for_without_an_update(daemon: Daemon) -> None:
    assert [daemon.look() for _ in range(3)] == [0, 0, 0]


def test_an_update_asks_once_though_nothing_is_materialized(daemon: Daemon) -> None:
    daemon.look()
    daemon.land(CATALOG, "a")
    assert [daemon.look() for _ in range(3)] == [1, 0, 0]
    daemon.land(INVENTORY, "b")
    daemon.land(INVENTORY, "c")
    assert [daemon.look() for _ in range(3)] == [1, 0, 0]


def test_what_landed_before_anybody_looked_asks_once(daemon: Daemon) -> None:
    daemon.land(CATALOG, "a")
    assert [daemon.look() for _ in range(3)] == [1, 0, 0]


def test_a_model_is_not_asked_for_because_of_itself(daemon: Daemon) -> None:
    daemon.look()
    daemon.land(CATALOG, "a")
    assert daemon.look() == 1
    daemon.instance.report_runless_asset_event(dg.AssetMaterialization(CLASSIFIER_KEY))
    assert [daemon.look() for _ in range(2)] == [0, 0]
