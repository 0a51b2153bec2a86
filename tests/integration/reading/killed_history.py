"""A run of one history batch that kills itself (SIGKILL) at a named point: run by test_history."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import dagster as dg

from assets.reading.history import load as history_load
from assets.reading.kinds import EVENTS
from landing.batch import staging
from tests.integration.reading.history_world import HistoryWorld


def die(*_args: Any, **_kwargs: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def instead(owner: Any, name: str) -> Callable[[], None]:
    return lambda: setattr(owner, name, die)


def after(owner: Any, name: str) -> Callable[[], None]:
    original = getattr(owner, name)

    def then_die(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        die()

    return lambda: object.__setattr__(owner, name, then_die)


#: Where, in the order in which a batch gets there.
POINTS = {
    "staged": instead(staging, "save_parts"),
    "loaded": instead(history_load, "run_merge"),
    "merged": after(history_load, "run_merge"),
    "noted": after(EVENTS, "note"),
}


def main(batch_id: str, point: str) -> None:
    POINTS[point]()
    with dg.DagsterInstance.ephemeral() as instance:
        world = HistoryWorld(instance)
        instance.add_dynamic_partitions("reading_batches", [batch_id])
        world.load(batch_id)
