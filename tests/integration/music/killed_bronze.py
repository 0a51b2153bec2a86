"""Bronze and the emptying of raw, killed (SIGKILL) at a named point: run by test_bronze_killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from assets.music.bronze.archive import Archive
from assets.music.bronze.batch_files import ArchiveReading
from landing.batch import quarantine, statuses
from landing.stores.minio import MinioStore
from tests.integration.music.bronze_world import BronzeWorld


def die(*_args: Any, **_kwargs: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def instead(owner: Any, name: str) -> Callable[[], None]:
    return lambda: setattr(owner, name, die)


def after(owner: Any, name: str, calls: int = 1) -> Callable[[], None]:
    original, count = getattr(owner, name), [0]

    def then_die(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        count[0] += 1
        if count[0] == calls:
            die()

    return lambda: setattr(owner, name, then_die)


#: Where, and whether the batch is validated by then.
POINTS: dict[str, tuple[Callable[[], None], bool]] = {
    "third copy": (after(Archive, "keep", 3), False),
    "all copied": (after(ArchiveReading, "settle"), False),
    "decided": (instead(statuses, "count_statuses"), False),
    "staged": (instead(quarantine.QuarantineWriter, "put"), False),
    "noted": (after(ArchiveReading, "save"), False),
    "committed": (after(BronzeWorld, "validate"), True),
    "removal begun": (instead(MinioStore, "remove"), True),
    "two removed, nothing noted": (after(MinioStore, "remove", 2), True),
}


def main(batch_id: str, point: str) -> None:
    POINTS[point][0]()
    world = BronzeWorld(os.environ)
    world.validate(batch_id)
    world.silver_done(batch_id)
    world.remove(batch_id)
